//! A mail server on loopback that keeps every mail as a file, for the demo: prints the settings to reach it and READY,
//! and ends with its parent.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use rig::smtp::{Authority, Manners, Server};

#[derive(Parser)]
struct Args {
    /// Where the mails go, as 1.eml, 2.eml and so on; made when it is missing
    #[arg(value_name = "DIR")]
    dir: PathBuf,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _closed = writeln!(std::io::stderr(), "smtp-sink: error: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(args: &Args) -> Result<()> {
    let parent = rustix::process::getppid();
    std::fs::create_dir_all(&args.dir).with_context(|| format!("make {}", args.dir.display()))?;
    let tls = tempfile::tempdir().context("make a directory for a certificate")?;
    let authority = Authority::new(tls.path())?;
    drop(tls);
    let server = Server::start(&authority, Manners::default())?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "SMTP_SERVER=127.0.0.1\nSMTP_PORT={}\nSMTP_TLS=none\nREADY", server.port())?;
    out.flush()?;
    let mut written = 0;
    while rustix::process::getppid() == parent {
        for mail in server.received().iter().skip(written) {
            written += 1;
            common::durable::write(&args.dir.join(format!("{written}.eml")), &mail.bytes)?;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
