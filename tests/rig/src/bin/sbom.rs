//! Writes the bill of materials of the programs, and the licence texts of what they contain; see `--help`.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{ensure, Context, Result};
use chrono::DateTime;
use clap::Parser;
use rig::sbom;

/// Write the bill of materials (CycloneDX 1.6, JSON) of orapipe's programs, and the licence texts of their crates.
#[derive(Parser)]
#[command(name = "sbom", max_term_width = 100)]
struct Args {
    /// The bill of materials
    #[arg(long, value_name = "FILE")]
    bom: PathBuf,

    /// The licence texts
    #[arg(long, value_name = "FILE")]
    notices: PathBuf,

    /// The time of the sources in seconds since 1970; the document says no other
    #[arg(long, value_name = "SECONDS", env = "SOURCE_DATE_EPOCH", default_value_t = 0)]
    epoch: i64,

    /// The version of the package
    #[arg(long, value_name = "VERSION", default_value = env!("CARGO_PKG_VERSION"))]
    version: String,
}

const PLATFORM: &str = "x86_64-unknown-linux-gnu";

fn main() -> ExitCode {
    match Args::try_parse() {
        Ok(args) => match write(&args) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                let _closed = writeln!(std::io::stderr(), "sbom: error: {error:#}");
                ExitCode::from(2)
            }
        },
        Err(e) => {
            let _closed = e.print();
            ExitCode::from(if e.use_stderr() { 64 } else { 0 })
        }
    }
}

fn write(args: &Args) -> Result<()> {
    let metadata = cargo(&["metadata", "--locked", "--format-version", "1", "--filter-platform", PLATFORM])?;
    let metadata: sbom::Metadata =
        serde_json::from_str(&metadata).context("read the answer of cargo metadata")?;
    let tree = |edges: &str| -> Result<_> {
        let mut words =
            vec!["tree", "--locked", "--target", PLATFORM, "--prefix", "depth", "--format", "{p}"];
        words.extend(["--edges", edges]);
        words.extend(sbom::TOOLS.iter().flat_map(|tool| ["--package", tool]));
        sbom::tree(&cargo(&words)?)
    };
    let linked = tree("normal,no-proc-macro")?;
    let all = tree("normal,build")?;
    let at = DateTime::from_timestamp(args.epoch, 0).context("SOURCE_DATE_EPOCH is no time")?;
    let facts = sbom::Facts { version: &args.version, at, metadata: &metadata, linked: &linked, all: &all };
    let mut bom = serde_json::to_string_pretty(&sbom::bom(&facts)?)?;
    bom.push('\n');
    std::fs::write(&args.bom, bom).with_context(|| format!("write {}", args.bom.display()))?;
    std::fs::write(&args.notices, sbom::notices(&facts)?)
        .with_context(|| format!("write {}", args.notices.display()))?;
    writeln!(
        std::io::stdout(),
        "sbom: {} crates linked, {} with those of the build",
        linked.len(),
        all.len()
    )?;
    Ok(())
}

fn cargo(words: &[&str]) -> Result<String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let done = Command::new(cargo).args(words).output().with_context(|| format!("run cargo {}", words[0]))?;
    ensure!(done.status.success(), "cargo {}: {}", words[0], String::from_utf8_lossy(&done.stderr).trim());
    String::from_utf8(done.stdout).with_context(|| format!("read the answer of cargo {}", words[0]))
}
