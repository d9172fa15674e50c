//! `backup_mode.<SID>`: what we have put in backup mode, written before it is done and removed after its end.

use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::{Deserialize, Serialize};

use super::Scope;
use crate::durable;

/// One obligation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub scope: Scope,
    /// Who asked for it.
    pub tool: String,
    pub run: String,
    pub pid: u32,
    pub host: String,
    pub dbid: u64,
    /// UTC, RFC 3339: right before BEGIN BACKUP was sent.
    pub asked: String,
    pub files: Vec<JournalFile>,
}

/// A datafile of an obligation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalFile {
    pub file: u64,
    pub path: String,
    /// V$BACKUP.CHANGE# that our BEGIN BACKUP gave it; absent as long as its outcome is not known. An ACTIVE file with
    /// another one was put in backup mode by somebody else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<u64>,
}

/// All obligations of one instance.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Journal {
    pub entries: Vec<Entry>,
}

impl Journal {
    pub fn path(state_dir: &Path, sid: &str) -> PathBuf {
        state_dir.join(format!("backup_mode.{sid}"))
    }

    /// Reads it; no file means no obligations.
    ///
    /// # Errors
    /// It cannot be read. One that cannot be understood is set aside, and the second value says so: what is in backup
    /// mode is then nobody's that we know of.
    pub fn load(state_dir: &Path, sid: &str) -> anyhow::Result<(Self, Option<String>)> {
        let path = Self::path(state_dir, sid);
        let Some(bytes) = durable::read(&path)? else { return Ok((Self::default(), None)) };
        match serde_json::from_slice(&bytes) {
            Ok(journal) => Ok((journal, None)),
            Err(e) => {
                let aside = durable::set_aside(&path)?;
                let text = format!(
                    "{} cannot be understood ({e}) and was set aside as {}",
                    path.display(),
                    aside.display()
                );
                Ok((Self::default(), Some(text)))
            }
        }
    }

    /// Reads it without setting a damaged one aside: for looking only.
    pub fn peek(state_dir: &Path, sid: &str) -> Self {
        let bytes = std::fs::read(Self::path(state_dir, sid)).unwrap_or_default();
        serde_json::from_slice(&bytes).unwrap_or_default()
    }

    /// Makes it durable; without obligations the file goes.
    pub fn store(&self, state_dir: &Path, sid: &str) -> anyhow::Result<()> {
        let path = Self::path(state_dir, sid);
        if self.entries.is_empty() {
            return durable::remove(&path);
        }
        let mut text = serde_json::to_vec(self).context("encode the journal of backup mode")?;
        text.push(b'\n');
        durable::write(&path, &text)
    }

    pub fn entry(&self, scope: &Scope) -> Option<&Entry> {
        self.entries.iter().find(|e| e.scope == *scope)
    }

    /// The entry that has put this file in backup mode, if it was one of ours: same number, and the same CHANGE# where
    /// ours is known.
    pub fn owner(&self, file: u64, change: Option<u64>) -> Option<&Entry> {
        self.entries.iter().find(|e| {
            e.files
                .iter()
                .any(|f| f.file == file && (f.change.is_none() || change.is_none() || f.change == change))
        })
    }
}
