//! Writes the generated documents, or with `--check` only says which are out of date and ends with 1 if any is.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

#[derive(Parser)]
struct Args {
    /// Only say what is out of date
    #[arg(long)]
    check: bool,
}

fn main() -> ExitCode {
    rig::docs::forget_settings();
    match run(&Args::parse()) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            let _closed = writeln!(std::io::stderr(), "docs: error: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(args: &Args) -> Result<u8> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut out = std::io::stdout();
    if !args.check {
        let n = rig::docs::write(&root)?;
        writeln!(out, "docs: wrote {n} files")?;
        return Ok(0);
    }
    let stale = rig::docs::stale(&root)?;
    for line in &stale {
        writeln!(out, "docs: {line}")?;
    }
    if stale.is_empty() {
        writeln!(out, "docs: up to date")?;
        Ok(0)
    } else {
        writeln!(out, "docs: run: cargo run -p rig --bin docs")?;
        Ok(1)
    }
}
