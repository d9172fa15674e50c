//! The exports that are under way, so that a run that was killed leaves neither jobs nor files behind.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::Context;
use common::durable;
use serde::{Deserialize, Serialize};

/// One export that has begun and not ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub schema: String,
    pub owner: String,
    pub job: String,
    pub dir: PathBuf,
    /// Stem of the names that the server writes: `orapipe_7f3a`.
    pub stem: String,
    /// Renames that have been decided: the dump is proven. They are finished by whoever finds them.
    #[serde(default)]
    pub promote: Vec<(PathBuf, PathBuf)>,
}

/// The journal, one file per database.
pub struct Journal {
    path: PathBuf,
    entries: Mutex<Vec<Entry>>,
}

impl Journal {
    /// Opens the journal and hands over what an earlier run left in it.
    ///
    /// # Errors
    /// The file cannot be read. One that cannot be understood is set aside; the jobs are found in the database too.
    pub fn open(state_dir: &Path, db: &str) -> anyhow::Result<(Self, Vec<Entry>, Option<PathBuf>)> {
        let path = state_dir.join(format!("dp-export.{db}.json"));
        let mut aside = None;
        let entries: Vec<Entry> = match durable::read(&path)? {
            None => Vec::new(),
            Some(bytes) => match serde_json::from_slice(&bytes) {
                Ok(entries) => entries,
                Err(_) => {
                    aside = Some(durable::set_aside(&path)?);
                    Vec::new()
                }
            },
        };
        Ok((Self { path, entries: Mutex::new(entries.clone()) }, entries, aside))
    }

    /// Notes an export before anything of it exists.
    pub fn begin(&self, entry: Entry) -> anyhow::Result<()> {
        self.change(|entries| entries.push(entry))
    }

    /// Notes that the dump is proven and which names its files get.
    pub fn promote(&self, job: &str, renames: &[(PathBuf, PathBuf)]) -> anyhow::Result<()> {
        self.change(|entries| {
            for entry in entries.iter_mut().filter(|e| e.job == job) {
                entry.promote = renames.to_vec();
            }
        })
    }

    /// Forgets an export of which nothing is left to do.
    pub fn end(&self, job: &str) -> anyhow::Result<()> {
        self.change(|entries| entries.retain(|e| e.job != job))
    }

    fn change(&self, change: impl FnOnce(&mut Vec<Entry>)) -> anyhow::Result<()> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next = entries.clone();
        change(&mut next);
        let bytes = serde_json::to_vec_pretty(&next).context("encode the journal")?;
        durable::write(&self.path, &bytes)?;
        *entries = next;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(job: &str) -> Entry {
        Entry {
            schema: "GOLD".into(),
            owner: "GOLD".into(),
            job: job.into(),
            dir: "/dp".into(),
            stem: job.to_lowercase(),
            promote: vec![],
        }
    }

    #[test]
    fn the_next_run_finds_what_was_under_way() {
        let dir = tempfile::tempdir().unwrap();
        let (journal, left, _) = Journal::open(dir.path(), "PROD").unwrap();
        assert!(left.is_empty());
        journal.begin(entry("A")).unwrap();
        journal.begin(entry("B")).unwrap();
        journal.promote("B", &[("/a".into(), "/b".into())]).unwrap();
        journal.end("A").unwrap();
        let (_, left, aside) = Journal::open(dir.path(), "PROD").unwrap();
        assert_eq!((left.len(), left[0].job.as_str(), left[0].promote.len()), (1, "B", 1));
        assert_eq!(aside, None);
    }

    #[test]
    fn a_journal_that_cannot_be_understood_is_set_aside() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("dp-export.PROD.json"), "[{").unwrap();
        let (_, left, aside) = Journal::open(dir.path(), "PROD").unwrap();
        assert!(left.is_empty());
        assert_eq!(std::fs::read(aside.unwrap()).unwrap(), b"[{");
    }
}
