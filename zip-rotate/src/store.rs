//! Which archives were read and were good: saves reading them every night.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use common::durable;
use serde::{Deserialize, Serialize};

/// The archive as it was when it was read. One that differs is another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    pub bytes: u64,
    /// Seconds since 1970 and nanoseconds.
    pub mtime: (i64, i64),
    pub sha256: String,
    /// When it was read, seconds since 1970; 0 where an earlier version of this program did not write it down.
    #[serde(default)]
    pub proven: i64,
}

/// Seconds for which a proof of the newest good archive is believed. Disks lose bits without a new time of the file,
/// and the last good night must not be one that nobody has read for a month; reading it every night would double the
/// work of the disk or the network.
pub const PROOF_LASTS: i64 = 7 * 86_400;

impl Mark {
    pub fn new(meta: &Metadata, sha256: &str) -> Self {
        Self {
            bytes: meta.len(),
            mtime: (meta.mtime(), meta.mtime_nsec()),
            sha256: sha256.to_owned(),
            proven: chrono::Utc::now().timestamp(),
        }
    }

    /// Whether it was read so long ago that it may have changed on the disk. One of the future is of a clock that was
    /// wrong; but `now` is the begin of a run, which may prove its own archive a day later.
    pub fn is_old(&self, now: i64) -> bool {
        !(-86_400..=PROOF_LASTS).contains(&now.saturating_sub(self.proven))
    }

    pub fn fits(&self, meta: &Metadata) -> bool {
        self.bytes == meta.len() && self.mtime == (meta.mtime(), meta.mtime_nsec())
    }
}

/// The marks of all archives, by their absolute path.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    marks: BTreeMap<PathBuf, Mark>,
    /// False: nothing is written, for a dry run.
    keep: bool,
}

impl Store {
    /// Reads the file; a damaged one is set aside (its new name is returned) and the archives are read anew.
    pub fn open(state_dir: &Path, keep: bool) -> anyhow::Result<(Self, Option<PathBuf>)> {
        let path = state_dir.join("zip-rotate.proofs");
        let mut aside = None;
        let marks = match durable::read(&path)? {
            None => BTreeMap::new(),
            Some(bytes) => match serde_json::from_slice(&bytes) {
                Ok(marks) => marks,
                Err(_) if !keep => BTreeMap::new(),
                Err(_) => {
                    aside = Some(durable::set_aside(&path)?);
                    BTreeMap::new()
                }
            },
        };
        Ok((Self { path, marks, keep }, aside))
    }

    /// The marks of the archives in a directory, by name.
    pub fn of(&self, dir: &Path) -> BTreeMap<String, Mark> {
        let here = self.marks.iter().filter(|(path, _)| path.parent() == Some(dir));
        here.filter_map(|(path, mark)| Some((path.file_name()?.to_str()?.to_owned(), mark.clone()))).collect()
    }

    /// Replaces the marks of a directory.
    pub fn set(&mut self, dir: &Path, marks: &BTreeMap<String, Mark>) -> anyhow::Result<()> {
        self.marks.retain(|path, _| path.parent() != Some(dir));
        self.marks.extend(marks.iter().map(|(name, mark)| (dir.join(name), mark.clone())));
        if !self.keep {
            return Ok(());
        }
        let mut text = serde_json::to_vec_pretty(&self.marks).context("encode the proofs")?;
        text.push(b'\n');
        durable::write(&self.path, &text)
    }

    /// Adds one.
    pub fn add(&mut self, dir: &Path, name: &str, mark: Mark) -> anyhow::Result<()> {
        let mut marks = self.of(dir);
        marks.insert(name.to_owned(), mark);
        self.set(dir, &marks)
    }
}
