//! Compares the standby's datafiles with what the primary had at an SCN, for the demo: one `NAME=value` per line, the
//! differences on standard error. Ends with 1 when anything differs.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{bail, ensure, Context, Result};
use clap::{Parser, Subcommand};
use orasim::server::admin::Admin;
use orasim::server::client::Connection;
use orasim::server::wire::{Request, Response};

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

fn rows(dir: &Path, text: &str) -> Result<Vec<Vec<String>>> {
    let mut connection = Connection::open(dir)?;
    match connection.ask(Request::Admin(Admin::Sql { text: text.to_owned() }))? {
        Response::Text(text) => Ok(text.lines().map(|l| l.split('|').map(str::to_owned).collect()).collect()),
        other => bail!("{text}: {other:?}"),
    }
}

/// Path and whether it is offline, by file number.
fn datafiles(dir: &Path) -> Result<BTreeMap<u32, (PathBuf, bool)>> {
    let rows = rows(dir, "SELECT file#, name, status FROM v$datafile")?;
    rows.iter()
        .map(|row| match row.as_slice() {
            [file, name, status] => Ok((file.parse()?, (PathBuf::from(name), status == "OFFLINE"))),
            other => bail!("a row of V$DATAFILE: {other:?}"),
        })
        .collect()
}

fn truth(primary: &Path, standby: &Path, scn: u64) -> Result<bool> {
    let source = datafiles(primary).context("datafiles of the primary")?;
    let copy = datafiles(standby).context("datafiles of the standby")?;
    let mut files = BTreeMap::new();
    let mut bytes = 0;
    let mut left_out = Vec::new();
    for (file, (path, offline)) in &copy {
        if *offline {
            left_out.push(*file);
            continue;
        }
        // A standby that looks at the primary's own files would always be equal.
        ensure!(
            source.values().all(|(p, _)| p != path),
            "file {file} of the standby is the primary's {}",
            path.display()
        );
        bytes += std::fs::metadata(path).with_context(|| path.display().to_string())?.len();
        files.insert(*file, path.clone());
    }
    ensure!(!files.is_empty(), "the standby has no datafiles");
    let compared = orasim::truth::compare(primary, &files, scn)?;
    let mut equal = true;
    let mut blocks = 0;
    for verdict in &compared.files {
        if left_out.contains(&verdict.file) && source.get(&verdict.file).is_some_and(|(_, offline)| *offline)
        {
            continue;
        }
        blocks += u64::from(verdict.blocks);
        if !verdict.differing.is_empty() || !verdict.problems.is_empty() {
            equal = false;
            let path = verdict.path.display();
            let problems = verdict.problems.join("; ");
            writeln!(
                std::io::stderr(),
                "file {} {path}: {} blocks differ; {problems}",
                verdict.file,
                verdict.differing.len()
            )?;
        }
    }
    let mut out = std::io::stdout();
    writeln!(
        out,
        "files={}\nblocks={blocks}\nbytes={bytes}\nleft_out={}\nequal={equal}",
        files.len(),
        left_out.len()
    )?;
    Ok(equal)
}

fn torn(files: &[PathBuf]) -> Result<bool> {
    let mut count = 0_u64;
    for path in files {
        let file = File::open(path).with_context(|| format!("open {}", path.display()))?;
        let header = orasim::datafile::Header::read_path(path)
            .map_err(|e| anyhow::anyhow!("{}: {}", path.display(), e.text()))?;
        for block in 2..=header.blocks {
            let bytes = orasim::datafile::read_block(&file, block)?;
            let address = orasim::block::rdba(header.file, block);
            if orasim::block::check(&bytes, orasim::block::TYPE_DATA, address).is_err() {
                count += 1;
            }
        }
    }
    writeln!(std::io::stdout(), "torn={count}")?;
    Ok(true)
}
