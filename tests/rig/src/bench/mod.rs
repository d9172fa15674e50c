//! Benchmarks: our tools beside what they replace, in one run on one machine.
//!
//! Absolute times mean nothing on another machine or day. What is held against a goal is a ratio of medians of runs
//! that took turns, or a figure in processor seconds.

mod child;
mod contestants;
mod cpu;
mod data;
mod dumps;
mod goal;
mod hotbackup;
mod idle;
mod lan;
mod measure;
mod s3;
mod slow;
mod start;
mod table;
mod zip;

use std::path::{Path, PathBuf};

use anyhow::{ensure, Context};

pub use dumps::Dump;
pub use goal::Goal;
pub use table::Table;

/// How often, on how much, and where.
#[derive(Debug, Clone)]
pub struct Options {
    /// Rounds of our tool and of plain rsync; the median counts.
    pub rounds: usize,
    /// How the slow originals are measured.
    pub originals: Originals,
    /// Where source and destination are, best a file system in memory.
    pub dir: PathBuf,
    /// Directory of the release binaries.
    pub bin: PathBuf,
    /// Only the cases whose name contains this.
    pub only: Option<String>,
}

impl Options {
    /// Whether a case is wanted.
    pub fn wants(&self, case: &str) -> bool {
        self.only.as_deref().is_none_or(|o| case.contains(o))
    }

    /// A release binary of ours.
    pub fn program(&self, name: &str) -> anyhow::Result<PathBuf> {
        let path = self.bin.join(name);
        ensure!(path.is_file(), "{} is not built; run scripts/bench.sh, which builds it", path.display());
        Ok(path)
    }

    /// A new directory below [`Options::dir`], after a look at the free space.
    ///
    /// # Errors
    /// Fewer than `bytes` are free there.
    pub fn space(&self, bytes: u64) -> anyhow::Result<tempfile::TempDir> {
        let free = free_bytes(&self.dir)?;
        ensure!(
            free > bytes,
            "{} has {} MiB free and this needs {} MiB; name another directory with --dir",
            self.dir.display(),
            free >> 20,
            bytes >> 20
        );
        let dir = tempfile::Builder::new().prefix("orapipe-bench-").tempdir_in(&self.dir);
        dir.with_context(|| format!("make a directory in {}", self.dir.display()))
    }
}

/// How the scripts that we replace are measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Originals {
    /// Some of the files, scaled by their number.
    Subset,
    /// All files, once.
    Once,
    /// All files in every round.
    Always,
    /// Not at all.
    Never,
}

/// What `bench ship` measures: a fast network, a slow link, the idle cycle.
pub fn ship(options: &Options, table: &mut Table) -> anyhow::Result<Vec<Goal>> {
    let mut goals = lan::run(options, table)?;
    if options.wants("slow") {
        goals.extend(slow::run(options, table)?);
    }
    if options.wants("idle") {
        goals.extend(idle::run(options, table)?);
    }
    Ok(goals)
}

/// What `bench hotbackup` measures.
pub fn hotbackup(options: &Options, table: &mut Table) -> anyhow::Result<Vec<Goal>> {
    hotbackup::run(options, table)
}

/// What `bench s3` measures: uploads and downloads of large and of small files.
pub fn s3(options: &Options, table: &mut Table) -> anyhow::Result<Vec<Goal>> {
    s3::run(options, table)
}

/// What `bench start` measures.
pub fn start(options: &Options, table: &mut Table) -> anyhow::Result<Vec<Goal>> {
    start::run(options, table)
}

/// What `bench zip` measures.
pub fn zip(options: &Options, table: &mut Table) -> anyhow::Result<Vec<Goal>> {
    zip::run(options, table)
}

fn free_bytes(dir: &Path) -> anyhow::Result<u64> {
    let stat = rustix::fs::statvfs(dir).with_context(|| format!("look at {}", dir.display()))?;
    Ok(stat.f_bavail * stat.f_frsize)
}
