//! Prints the crates whose licence or origin is not allowed and ends with 1 if there are any.

use std::io::Write;
use std::process::{Command, ExitCode};

use anyhow::{ensure, Context, Result};

fn main() -> ExitCode {
    match check() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            let _closed = writeln!(std::io::stderr(), "licences: error: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn check() -> Result<bool> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    // Only what is built on the platform that we support; crates for others are not even downloaded.
    let done = Command::new(cargo)
        .args(["metadata", "--locked", "--format-version", "1"])
        .args(["--filter-platform", "x86_64-unknown-linux-gnu"])
        .output()
        .context("run cargo metadata")?;
    ensure!(done.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&done.stderr).trim());
    let metadata: rig::licences::Metadata =
        serde_json::from_slice(&done.stdout).context("read the answer of cargo metadata")?;
    let problems = rig::licences::problems(&metadata);
    let mut out = std::io::stdout();
    for problem in &problems {
        writeln!(out, "licences: {problem}")?;
    }
    let verdict = if problems.is_empty() { "all allowed, all from crates.io" } else { "see above" };
    writeln!(out, "licences: {} crates: {verdict}", metadata.packages.len())?;
    Ok(problems.is_empty())
}
