//! Runs an sshd that stands for the DR host, for the demo: writes the settings to reach it to FILE and serves until its
//! standard input ends or a signal comes.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use rig::host::{netns_available, HostOptions, SshHost};

#[derive(Parser)]
struct Args {
    /// Where the settings go, as lines of an env file
    #[arg(long, value_name = "FILE")]
    settings: PathBuf,
    /// Set NAME=VALUE in every remote session
    #[arg(long, value_name = "NAME=VALUE")]
    env: Vec<String>,
    /// Stay on the loopback interface even where a network namespace could be made
    #[arg(long)]
    loopback: bool,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _closed = writeln!(std::io::stderr(), "dr-host: error: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(args: &Args) -> Result<()> {
    common::signals::install()?;
    let mut env = Vec::new();
    for pair in &args.env {
        let (name, value) = pair.split_once('=').with_context(|| format!("{pair} has no ="))?;
        env.push((name.to_owned(), value.to_owned()));
    }
    let namespace = !args.loopback && netns_available();
    let host = SshHost::start(&HostOptions { env, namespace, ..HostOptions::default() })?;
    let network = if namespace { "a network namespace of its own" } else { "the loopback interface" };
    let settings = format!(
        "DEST_HOST={}\nDEST_USER={}\nSSH_OPTIONS=\"{}\"\n# in {network}\n",
        host.host(),
        host.user(),
        host.ssh_options()
    );
    common::durable::write(&args.settings, settings.as_bytes())?;
    let left = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&left);
    std::thread::spawn(move || {
        // Whoever started us holds the other end; its death is the end of input.
        let mut nothing = [0; 64];
        while matches!(std::io::stdin().read(&mut nothing), Ok(n) if n > 0) {}
        seen.store(true, Ordering::SeqCst);
    });
    while common::signals::pending().is_none() && !left.load(Ordering::SeqCst) {
        common::signals::sleep(Duration::from_millis(100));
    }
    drop(host);
    Ok(())
}
