//! The S3 server of the tests as a program: for the demo, and for comparisons with other clients.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use s3server::server::{credentials, Options, Server, BUCKET};
use s3server::store::Rules;

/// Serves S3 on loopback, prints its settings and READY, and ends with its parent.
#[derive(Debug, Parser)]
struct Args {
    /// Where the objects lie; made when it is missing.
    dir: PathBuf,
    /// 0: any free port.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// The secret key; made for each server when it is not given.
    #[arg(long, env = "S3_SERVER_SECRET", hide_env_values = true)]
    secret: Option<String>,
    /// Check and count the bytes, and forget them.
    #[arg(long)]
    sink: bool,
    /// Keep every version of an object.
    #[arg(long)]
    versioned: bool,
    /// Go on when the parent process has ended.
    #[arg(long)]
    detached: bool,
}

fn main() -> Result<()> {
    let args = Args::parse();
    std::fs::create_dir_all(&args.dir).with_context(|| format!("make {}", args.dir.display()))?;
    let mut options = Options { port: args.port, ..Options::default() };
    options.rules = Rules { sink: args.sink, versioned: args.versioned, ..Rules::default() };
    if let Some(secret) = args.secret {
        options.secret_key = secret;
    }
    let parent = rustix::process::getppid();
    let server = Server::with(&args.dir, options)?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "AWS_ENDPOINT_URL={}", server.endpoint())?;
    for (name, value) in credentials(server.secret()) {
        writeln!(out, "{name}={value}")?;
    }
    writeln!(out, "S3_BUCKET_NAME={BUCKET}")?;
    writeln!(out, "READY")?;
    out.flush()?;
    while args.detached || rustix::process::getppid() == parent {
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}
