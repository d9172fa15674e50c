//! Compares the standby's datafiles with what the primary had at an SCN, for the demo: one `NAME=value` per line, the
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
        What::Torn { files } => torn(files),
    }
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
