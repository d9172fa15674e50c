//! One line per run: for the charts, for the last good backups, and to see a change of the verdict.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use chrono::{DateTime, Utc};
use common::durable;
use serde::{Deserialize, Serialize};

use crate::verdict::Verdict;

/// Lines that are kept when the file is written anew.
pub const KEEP: usize = 500;
/// So many lines make it be written anew.
const MOST: usize = 2 * KEEP;
/// The file is read only so far from its end.
const TAIL: u64 = 16 << 20;

/// What is remembered of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    pub v: u64,
    pub ts: DateTime<Utc>,
    pub run: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub db: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    pub verdict: Verdict,
    pub exit: u8,
    pub seconds: f64,
    pub bytes: u64,
    pub done: u64,
    pub partial: u64,
    pub failed: u64,
    /// The last good backup of each kind, those of earlier runs too: the lines before this one may be gone.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub good: BTreeMap<String, DateTime<Utc>>,
}

/// The history as it was found.
#[derive(Debug, Default)]
pub struct History {
    pub entries: Vec<Entry>,
    lines: Vec<String>,
    corrupt: Vec<Vec<u8>>,
    /// The file has more than was read, or lines that are none.
    rewrite: bool,
    exists: bool,
}

impl History {
    /// Reads a file that need not exist. Lines that cannot be understood are kept apart.
    pub fn load(path: &Path) -> anyhow::Result<Self> {
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(e) => return Err(e).with_context(|| format!("read history {}", path.display())),
        };
        let mut read = || -> std::io::Result<(Vec<u8>, bool)> {
            let about = file.metadata()?;
            if !about.is_file() {
                return Err(std::io::Error::other("not a regular file"));
            }
            let start = about.len().saturating_sub(TAIL);
            file.seek(SeekFrom::Start(start))?;
            let mut bytes = Vec::new();
            (&mut file).take(TAIL).read_to_end(&mut bytes)?;
            Ok((bytes, start > 0))
        };
        let (bytes, cut) = read().with_context(|| format!("read history {}", path.display()))?;
        Ok(Self::parse(&bytes, cut))
    }

    fn parse(bytes: &[u8], cut: bool) -> Self {
        let mut found = Self { exists: true, rewrite: cut, ..Self::default() };
        let mut lines = bytes.split_inclusive(|b| *b == b'\n');
        if cut {
            lines.next();
        }
        for line in lines.filter(|l| !l.trim_ascii().is_empty()) {
            match serde_json::from_slice::<Entry>(line) {
                // A line without its newline was torn by a crash, even if it happens to be whole.
                Ok(entry) if line.ends_with(b"\n") => {
                    found.entries.push(entry);
                    found.lines.push(String::from_utf8_lossy(line).into_owned());
                }
                _ => found.corrupt.push(line.to_vec()),
            }
        }
        found.rewrite |= !found.corrupt.is_empty() || found.lines.len() >= MOST;
        found
    }

    /// How many lines could not be understood.
    pub fn corrupt(&self) -> usize {
        self.corrupt.len()
    }

    /// The runs of one database, oldest first.
    pub fn of(&self, db: Option<&str>) -> Vec<&Entry> {
        self.entries.iter().filter(|e| e.db.as_deref() == db).collect()
    }

    /// Adds a line, durably. Corrupt lines go to a file of their own first, whose name is returned.
    pub fn append(&self, path: &Path, entry: &Entry) -> anyhow::Result<Option<PathBuf>> {
        let mut line = serde_json::to_string(entry).context("encode a line of the history")?;
        line.push('\n');
        if !self.rewrite && self.exists {
            let mut file = OpenOptions::new()
                .append(true)
                .open(path)
                .with_context(|| format!("write history {}", path.display()))?;
            let write = file.write_all(line.as_bytes()).and_then(|()| file.sync_all());
            write.with_context(|| format!("write history {}", path.display()))?;
            return Ok(None);
        }
        let aside = if self.corrupt.is_empty() {
            None
        } else {
            let mut name = path.as_os_str().to_owned();
            name.push(format!(".corrupt-{}", Utc::now().format("%Y%m%dT%H%M%S%3fZ")));
            let aside = PathBuf::from(name);
            durable::write(&aside, &self.corrupt.concat())?;
            Some(aside)
        };
        let skip = self.lines.len().saturating_sub(KEEP - 1);
        let mut text = self.lines[skip..].concat();
        text.push_str(&line);
        durable::write(path, text.as_bytes())?;
        Ok(aside)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(run: usize) -> Entry {
        Entry {
            v: 1,
            ts: Utc::now(),
            run: format!("r{run}"),
            db: Some("PROD".to_owned()),
            host: None,
            verdict: Verdict::Success,
            exit: 0,
            seconds: 1.5,
            bytes: 7,
            done: 1,
            partial: 0,
            failed: 0,
            good: BTreeMap::new(),
        }
    }

    #[test]
    fn a_run_is_one_line_and_other_databases_are_apart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("h.jsonl");
        for i in 0..3 {
            let mut e = entry(i);
            if i == 1 {
                e.db = None;
            }
            assert_eq!(History::load(&path).unwrap().append(&path, &e).unwrap(), None);
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 3);
        let history = History::load(&path).unwrap();
        let runs: Vec<_> = history.of(Some("PROD")).iter().map(|e| e.run.as_str()).collect();
        assert_eq!(runs, ["r0", "r2"]);
    }

    #[test]
    fn corrupt_lines_are_set_aside_with_their_bytes_and_the_good_ones_stay() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("h.jsonl");
        History::load(&path).unwrap().append(&path, &entry(1)).unwrap();
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(b"\0\xff garbage\n{\"v\":1,\"ts\":\"2026").unwrap();
        let history = History::load(&path).unwrap();
        assert_eq!((history.entries.len(), history.corrupt()), (1, 2));
        let aside = history.append(&path, &entry(2)).unwrap().unwrap();
        assert_eq!(std::fs::read(aside).unwrap(), b"\0\xff garbage\n{\"v\":1,\"ts\":\"2026");
        let history = History::load(&path).unwrap();
        assert_eq!((history.entries.len(), history.corrupt()), (2, 0));
    }

    #[test]
    fn it_does_not_grow_for_ever() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("h.jsonl");
        let line = |i| serde_json::to_string(&entry(i)).unwrap() + "\n";
        std::fs::write(&path, (0..MOST).map(line).collect::<String>()).unwrap();
        History::load(&path).unwrap().append(&path, &entry(MOST)).unwrap();
        let history = History::load(&path).unwrap();
        assert_eq!(history.entries.len(), KEEP);
        assert_eq!(history.entries[KEEP - 1].run, format!("r{MOST}"));
    }
}
