//! Compares a standby's or a restored database's datafiles with what was there at an SCN, for the demo: one `NAME=value` per line, the
//! differences on standard error. Ends with 1 when anything differs.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use rig::standby::Verdict;

#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Every block of the recovered standby against the truth.
    Truth {
        #[arg(long)]
        primary: PathBuf,
        #[arg(long)]
        standby: PathBuf,
        #[arg(long)]
        scn: u64,
    },
    /// Every block of a database that was restored in place, and is mounted, against its own truth at the SCN that it has
    /// reached.
    Restored { dir: PathBuf },
    /// Counts blocks that are torn: one half from before a write, one from after.
    Torn { files: Vec<PathBuf> },
}

fn main() -> ExitCode {
    match run(&Args::parse().what) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            let _closed = writeln!(std::io::stderr(), "dr-compare: error: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(what: &What) -> Result<bool> {
    match what {
        What::Truth { primary, standby, scn } => truth(primary, standby, *scn),
        What::Restored { dir } => restored(dir),
        What::Torn { files } => torn(files),
    }
}

fn restored(dir: &Path) -> Result<bool> {
    let found = orasim::server::physics::compare(dir, dir, None)?;
    for line in found.explain() {
        writeln!(std::io::stderr(), "{line}")?;
    }
    let blocks: u64 = found.files.iter().map(|f| u64::from(f.blocks)).sum();
    let (files, scn, equal) = (found.files.len(), found.scn, found.equal());
    writeln!(std::io::stdout(), "files={files}\nblocks={blocks}\nreached={scn}\nequal={equal}")?;
    Ok(equal)
}

fn truth(primary: &Path, standby: &Path, scn: u64) -> Result<bool> {
    let verdict = rig::standby::compare(primary, standby, scn)?;
    for line in &verdict.differences {
        writeln!(std::io::stderr(), "{line}")?;
    }
    let Verdict { files, blocks, bytes, left_out, .. } = verdict;
    let equal = verdict.equal();
    writeln!(
        std::io::stdout(),
        "files={files}\nblocks={blocks}\nbytes={bytes}\nleft_out={left_out}\nequal={equal}"
    )?;
    Ok(equal)
}

fn torn(files: &[PathBuf]) -> Result<bool> {
    let mut count = 0;
    for path in files {
        count += rig::standby::torn_blocks(path)?;
    }
    writeln!(std::io::stdout(), "torn={count}")?;
    Ok(true)
}
