//! The standby side of a story: recovery from what the tools shipped, and the comparison with the truth.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{bail, ensure, Context, Result};
use orasim::server::admin::Admin;
use orasim::server::client::Connection;
use orasim::server::wire::{Request, Response};

use crate::tool::clean_environment;
use crate::world::{World, STANDBY};

/// What `scripts/standby-recover.sh` said and how it ended.
#[derive(Debug, Clone)]
pub struct Recovery {
    pub status: i32,
    pub said: String,
}

/// Runs `scripts/standby-recover.sh` as the standby's operator would, with nothing but what the tools put there.
pub fn recover(world: &World, until_scn: Option<u64>) -> Result<Recovery> {
    let layout = world.layout();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/standby-recover.sh");
    let mut command = Command::new(script);
    command
        .env_clear()
        .envs(clean_environment())
        .env("HOME", &layout.root)
        .env("TMPDIR", &layout.root)
        .env("STATE_DIR", layout.root.join("standby-state"))
        .env("ORACLE_HOME", layout.home())
        .env("ORACLE_SID", STANDBY)
        .arg("--scripts")
        .arg(layout.standby_dir().join("control"))
        .arg("--logs")
        .arg(layout.standby_archive());
    if let Some(scn) = until_scn {
        command.arg("--until-scn").arg(scn.to_string());
    }
    let out = command.output().context("run standby-recover.sh")?;
    let said = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
    Ok(Recovery { status: out.status.code().unwrap_or(-1), said })
}

/// A standby held against the truth.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    pub files: u64,
    pub blocks: u64,
    /// Sizes of the files.
    pub bytes: u64,
    /// Files of offline tablespaces, which are not at the standby.
    pub left_out: u64,
    /// One line per file that differs.
    pub differences: Vec<String>,
}

impl Verdict {
    pub fn equal(&self) -> bool {
        self.files > 0 && self.differences.is_empty()
    }
}

/// Compares the datafiles of the mounted standby with what the primary had when everything below `scn` had happened.
///
/// # Errors
/// The standby has no files, or looks at the primary's own.
pub fn compare(primary: &Path, standby: &Path, scn: u64) -> Result<Verdict> {
    let source = datafiles(primary).context("datafiles of the primary")?;
    let copy = datafiles(standby).context("datafiles of the standby")?;
    let mut verdict = Verdict::default();
    let mut files = BTreeMap::new();
    let mut left_out = Vec::new();
    for (file, (path, offline)) in &copy {
        if *offline {
            left_out.push(*file);
            continue;
        }
        // Else it would always be equal.
        let own = source.values().any(|(p, _)| p == path);
        ensure!(!own, "file {file} of the standby is the primary's {}", path.display());
        verdict.bytes += std::fs::metadata(path).with_context(|| path.display().to_string())?.len();
        files.insert(*file, path.clone());
    }
    verdict.files = files.len() as u64;
    verdict.left_out = left_out.len() as u64;
    ensure!(!files.is_empty(), "the standby has no datafiles");
    for file in &orasim::truth::compare(primary, &files, scn)?.files {
        let offline =
            left_out.contains(&file.file) && source.get(&file.file).is_some_and(|(_, offline)| *offline);
        if offline {
            continue;
        }
        verdict.blocks += u64::from(file.blocks);
        if !file.differing.is_empty() || !file.problems.is_empty() {
            verdict.differences.push(format!(
                "file {} {}: {} blocks differ; {}",
                file.file,
                file.path.display(),
                file.differing.len(),
                file.problems.join("; ")
            ));
        }
    }
    Ok(verdict)
}

/// Blocks in which one half is from before a write and the other from after it.
pub fn torn_blocks(path: &Path) -> Result<u64> {
    let file = File::open(path).with_context(|| format!("open {}", path.display()))?;
    let header = orasim::datafile::Header::read_path(path)
        .map_err(|e| anyhow::anyhow!("{}: {}", path.display(), e.text()))?;
    let mut count = 0;
    for block in 2..=header.blocks {
        let bytes = orasim::datafile::read_block(&file, block)?;
        let address = orasim::block::rdba(header.file, block);
        count += u64::from(orasim::block::check(&bytes, orasim::block::TYPE_DATA, address).is_err());
    }
    Ok(count)
}

/// Path and whether it is offline, by file number.
fn datafiles(dir: &Path) -> Result<BTreeMap<u32, (PathBuf, bool)>> {
    let text = "SELECT file#, name, status FROM v$datafile";
    let mut connection = Connection::open(dir)?;
    let Response::Text(rows) = connection.ask(Request::Admin(Admin::Sql { text: text.to_owned() }))? else {
        bail!("{} does not answer: {text}", dir.display());
    };
    let row = |line: &str| {
        let columns: Vec<&str> = line.split('|').collect();
        match columns.as_slice() {
            [file, name, status] => Ok((file.parse()?, (PathBuf::from(name), *status == "OFFLINE"))),
            _ => bail!("a row of V$DATAFILE: {line}"),
        }
    };
    rows.lines().map(row).collect()
}
