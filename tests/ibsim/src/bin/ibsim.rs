//! The simulated InfiniBox as a program: for scripts, other languages, and by hand.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{ensure, Context, Result};
use clap::{Parser, ValueEnum};
use ibsim::bytes::Freezer;
use ibsim::{Array, Certificate, Config, Guesses, Version, PASSWORD};

/// Serves the management API of an InfiniBox on loopback, prints its settings and READY, and ends with its parent.
#[derive(Debug, Parser)]
#[command(name = "ibsim", version)]
struct Args {
    /// 2.2, 3.0, 4.0.30, 5.0, 7.3, 8.4, or all four numbers.
    #[arg(long, default_value = "8.4")]
    release: Version,
    /// A volume, with the directory that stands for its bytes if there is one; repeatable.
    #[arg(long = "volume", value_name = "NAME[=DIR]")]
    volumes: Vec<String>,
    /// A consistency group of volumes; repeatable.
    #[arg(long = "cg", value_name = "NAME=VOLUME,…")]
    groups: Vec<String>,
    /// HTTP port of the first address; 0: any free port.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// HTTPS port of the first address; 0: any free port.
    #[arg(long, default_value_t = 0)]
    tls_port: u16,
    /// Management addresses.
    #[arg(long, default_value_t = 1)]
    addresses: usize,
    /// What the HTTPS side shows.
    #[arg(long, value_enum, default_value = "signed")]
    certificate: Kind,
    /// Milliseconds before each request is executed.
    #[arg(long, default_value_t = 0)]
    latency: u64,
    /// Milliseconds after which an idle connection is closed.
    #[arg(long, default_value_t = 15_000)]
    keep_alive: u64,
    /// Milliseconds that the array's clock is ahead of ours.
    #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
    clock_offset: i64,
    /// Every guess the other way round.
    #[arg(long)]
    other_guesses: bool,
    /// A process that stands still (SIGSTOP) while bytes are copied; repeatable.
    #[arg(long = "freeze", value_name = "PID")]
    freeze: Vec<i32>,
    /// Keeps the bytes of snapshots and ca.pem here; a temporary directory when it is not given.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Go on when the parent process has ended.
    #[arg(long)]
    detached: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Kind {
    Signed,
    SelfSigned,
    Expired,
    WrongName,
}

fn main() -> Result<()> {
    let args = Args::parse();
    ensure!(args.addresses > 0, "--addresses: at least one");
    let mut config = Config {
        version: args.release,
        port: args.port,
        tls_port: args.tls_port,
        addresses: args.addresses,
        certificate: match args.certificate {
            Kind::Signed => Certificate::Signed,
            Kind::SelfSigned => Certificate::SelfSigned,
            Kind::Expired => Certificate::Expired,
            Kind::WrongName => Certificate::WrongName,
        },
        latency: Duration::from_millis(args.latency),
        keep_alive: Duration::from_millis(args.keep_alive),
        clock_offset_ms: args.clock_offset,
        dir: args.dir,
        door: true,
        ..Config::default()
    };
    if args.other_guesses {
        config.guesses = Guesses::other();
    }
    if !args.freeze.is_empty() {
        let pids = args.freeze;
        config.freezer = Some(Freezer::processes(move || Ok(pids.clone())));
    }
    let parent = rustix::process::getppid();
    let array = Array::start(config)?;
    for volume in &args.volumes {
        let (name, dir) = volume.split_once('=').map_or((volume.as_str(), None), |(n, d)| (n, Some(d)));
        array.add_volume(name).with_context(|| format!("--volume {volume}"))?;
        if let Some(dir) = dir {
            array.bind(name, dir.as_ref()).with_context(|| format!("--volume {volume}"))?;
        }
    }
    for group in &args.groups {
        let (name, volumes) =
            group.split_once('=').with_context(|| format!("--cg {group}: NAME=VOLUME,…"))?;
        let volumes: Vec<&str> = volumes.split(',').collect();
        array.add_group(name, &volumes).with_context(|| format!("--cg {group}"))?;
    }
    let mut out = std::io::stdout().lock();
    for n in 0..args.addresses {
        writeln!(out, "IBSIM_HTTP_{n}={}", array.host(n))?;
        writeln!(out, "IBSIM_HTTPS_{n}={}", array.tls_host(n))?;
    }
    writeln!(out, "IBSIM_CA_FILE={}", array.ca_file().display())?;
    writeln!(out, "IBSIM_USER=admin")?;
    writeln!(out, "IBSIM_PASSWORD={PASSWORD}")?;
    writeln!(out, "READY")?;
    out.flush()?;
    while args.detached || rustix::process::getppid() == parent {
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}
