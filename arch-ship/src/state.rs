//! What is remembered between runs: marks, the SCN cut-off, and the manifest of verified logs.
//!
//! The manifest saves reading logs again that have not changed; everything in it can be learned anew from the two
//! sides. `last_arch_seq_thread<N>.<SID>` keeps the originals' form, a plain number.

use std::collections::{BTreeMap, HashMap};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use chrono::NaiveDateTime;
use common::durable;
use common::record::Log;
use serde::{Deserialize, Serialize};

use crate::facts::{Chain, FileStat, Key};

/// A log that was verified at the destination.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    #[serde(flatten)]
    pub key: Key,
    pub first_change: Option<u64>,
    pub next_change: Option<u64>,
    pub next_time: Option<NaiveDateTime>,
    pub sha256: String,
    pub path: String,
    pub source: FileStat,
    /// Host of the destination; empty for a local one.
    pub host: String,
    pub dest: String,
    /// The file there, right after it was verified.
    pub there: FileStat,
    /// Catalogued in the standby's control file.
    #[serde(default)]
    pub registered: bool,
}

/// How far one thread was without a hole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    pub dbid: u64,
    pub resetlogs_id: u64,
    pub thread: u64,
    pub sequence: u64,
    pub host: String,
}

#[derive(Serialize, Deserialize)]
struct Marks {
    marks: Vec<Mark>,
}

/// The state of one database, loaded; written only through its methods.
#[derive(Debug)]
pub struct State {
    dir: PathBuf,
    sid: String,
    host: String,
    marks: BTreeMap<u64, Mark>,
    entries: HashMap<Key, Entry>,
    /// What is known of other destinations, kept for their own runs.
    other_marks: Vec<Mark>,
    others: BTreeMap<(String, Key), Entry>,
    journal: Option<File>,
    journal_lines: usize,
    /// What had to be said about the files.
    pub notes: Vec<Log>,
}

impl State {
    /// Reads the state of database `sid` in `dir`. With `mend`, a file that cannot be understood is set aside, and a
    /// manifest full of outdated lines is rewritten; without, nothing is changed.
    pub fn load(dir: &Path, sid: &str, host: &str, mend: bool) -> anyhow::Result<Self> {
        let mut state = Self {
            dir: dir.to_path_buf(),
            sid: sid.to_owned(),
            host: host.to_owned(),
            marks: BTreeMap::new(),
            entries: HashMap::new(),
            other_marks: Vec::new(),
            others: BTreeMap::new(),
            journal: None,
            journal_lines: 0,
            notes: Vec::new(),
        };
        state.load_manifest(mend)?;
        state.load_marks(mend)?;
        Ok(state)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.{}", self.sid))
    }

    fn mark_file(&self, thread: u64) -> PathBuf {
        self.file(&format!("last_arch_seq_thread{thread}"))
    }

    fn load_manifest(&mut self, mend: bool) -> anyhow::Result<()> {
        let path = self.file("shipped_logs");
        let Some(bytes) = durable::read(&path)? else { return Ok(()) };
        let mut torn = false;
        for line in bytes.split_inclusive(|b| *b == b'\n') {
            match serde_json::from_slice::<Entry>(line) {
                Ok(entry) => {
                    self.journal_lines += 1;
                    self.take(entry);
                }
                // A line without its end is one that a crash cut off: its log is verified again.
                Err(_) if !line.ends_with(b"\n") => torn = true,
                Err(error) => {
                    self.entries.clear();
                    self.others.clear();
                    self.journal_lines = 0;
                    return self.corrupt(&path, &error.to_string(), mend);
                }
            }
        }
        let outdated = self.is_outdated();
        if mend && (torn || outdated) {
            self.rewrite()?;
        }
        Ok(())
    }

    fn is_outdated(&self) -> bool {
        self.journal_lines > 2 * (self.entries.len() + self.others.len()) + 100
    }

    fn take(&mut self, entry: Entry) {
        if entry.host == self.host {
            self.entries.insert(entry.key, entry);
        } else {
            self.others.insert((entry.host.clone(), entry.key), entry);
        }
    }

    fn load_marks(&mut self, mend: bool) -> anyhow::Result<()> {
        let path = self.file("ship_marks");
        let bytes = durable::read(&path)?;
        match bytes.as_deref().map(serde_json::from_slice::<Marks>) {
            None => {}
            Some(Ok(found)) => {
                for mark in found.marks {
                    if mark.host == self.host {
                        self.marks.insert(mark.thread, mark);
                    } else {
                        self.other_marks.push(mark);
                    }
                }
            }
            Some(Err(error)) => self.corrupt(&path, &error.to_string(), mend)?,
        }
        let prefix = "last_arch_seq_thread";
        let suffix = format!(".{}", self.sid);
        let Ok(names) = std::fs::read_dir(&self.dir) else { return Ok(()) };
        for name in names.flatten().map(|e| e.file_name().to_string_lossy().into_owned()) {
            let thread =
                name.strip_prefix(prefix).and_then(|n| n.strip_suffix(&suffix)).and_then(|n| n.parse().ok());
            let Some(thread) = thread else { continue };
            let path = self.mark_file(thread);
            let text = durable::read(&path)?.unwrap_or_default();
            let number = std::str::from_utf8(&text).ok().and_then(|t| t.trim().parse::<u64>().ok());
            match (number, self.marks.get(&thread)) {
                (None, _) => {
                    self.corrupt(&path, "it is not a number", mend)?;
                    if let (true, Some(mark)) = (mend, self.marks.get(&thread)) {
                        durable::write(&path, format!("{}\n", mark.sequence).as_bytes())?;
                    }
                }
                // The original counted logs that it only hoped had arrived; ours is told apart by the file beside it.
                (Some(n), None) => self.notes.push(Log::info(format!(
                    "{} says {n} and was not written by this tool: every log is checked at the destination",
                    path.display()
                ))),
                (Some(n), Some(mark)) if n != mark.sequence => self.notes.push(Log::warning(format!(
                    "{} says {n}, verified is {}: the number was changed by somebody else and is not used",
                    path.display(),
                    mark.sequence
                ))),
                (Some(_), Some(_)) => {}
            }
        }
        Ok(())
    }

    fn corrupt(&mut self, path: &Path, what: &str, mend: bool) -> anyhow::Result<()> {
        let where_to = if mend {
            format!("set aside as {}", durable::set_aside(path)?.display())
        } else {
            "left as it is".to_owned()
        };
        self.notes.push(Log::warning(format!(
            "state file {} cannot be understood ({what}): {where_to}; what it held is learned again from both sides",
            path.display()
        )));
        Ok(())
    }

    pub fn entry(&self, key: Key) -> Option<&Entry> {
        self.entries.get(&key)
    }

    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Keeps entries durably. Returns when they are on disk, so that a receipt may be given.
    pub fn keep(&mut self, new: Vec<Entry>) -> anyhow::Result<()> {
        let mut text = Vec::new();
        for entry in &new {
            serde_json::to_writer(&mut text, entry).context("encode a manifest line")?;
            text.push(b'\n');
        }
        let path = self.file("shipped_logs");
        if self.journal.is_none() {
            let fresh = !path.exists();
            let file = OpenOptions::new().create(true).append(true).open(&path);
            self.journal = Some(file.with_context(|| format!("open {}", path.display()))?);
            if fresh {
                durable::sync_dir(&self.dir)?;
            }
        }
        if let Some(journal) = &mut self.journal {
            journal
                .write_all(&text)
                .and_then(|()| journal.sync_data())
                .with_context(|| format!("write {}", path.display()))?;
        }
        self.journal_lines += new.len();
        for entry in new {
            self.take(entry);
        }
        Ok(())
    }

    /// Forgets entries, for logs that are on neither side any more.
    pub fn forget(&mut self, gone: &[Key]) -> anyhow::Result<()> {
        for key in gone {
            self.entries.remove(key);
        }
        // Not worth a rewrite each time one log is purged.
        if self.is_outdated() {
            self.rewrite()?;
        }
        Ok(())
    }

    fn rewrite(&mut self) -> anyhow::Result<()> {
        let mut all: Vec<&Entry> = self.entries.values().collect();
        all.sort_by_key(|e| e.key);
        all.extend(self.others.values());
        let mut text = Vec::new();
        for entry in all {
            serde_json::to_writer(&mut text, entry).context("encode a manifest line")?;
            text.push(b'\n');
        }
        self.journal = None;
        self.journal_lines = self.entries.len() + self.others.len();
        durable::write(&self.file("shipped_logs"), &text)
    }

    /// The mark of a thread, whatever its incarnation.
    pub fn mark(&self, thread: u64) -> Option<&Mark> {
        self.marks.get(&thread)
    }

    /// The recorded sequence of exactly this chain.
    pub fn sequence(&self, chain: Chain) -> Option<u64> {
        let mark = self.marks.get(&chain.thread)?;
        (mark.dbid == chain.dbid && mark.resetlogs_id == chain.resetlogs_id).then_some(mark.sequence)
    }

    /// The recorded sequences of all chains.
    pub fn sequences(&self) -> BTreeMap<Chain, u64> {
        let chain = |m: &Mark| Chain { dbid: m.dbid, resetlogs_id: m.resetlogs_id, thread: m.thread };
        self.marks.values().map(|m| (chain(m), m.sequence)).collect()
    }

    /// Writes a mark if it changed.
    pub fn set_mark(&mut self, chain: Chain, sequence: u64) -> anyhow::Result<()> {
        let mark = Mark {
            dbid: chain.dbid,
            resetlogs_id: chain.resetlogs_id,
            thread: chain.thread,
            sequence,
            host: self.host.clone(),
        };
        if self.marks.get(&chain.thread) == Some(&mark) {
            return Ok(());
        }
        self.marks.insert(chain.thread, mark);
        let marks = Marks { marks: self.marks.values().chain(&self.other_marks).cloned().collect() };
        let mut text = serde_json::to_vec(&marks).context("encode the marks")?;
        text.push(b'\n');
        // The incarnation first: a number without it is not trusted.
        durable::write(&self.file("ship_marks"), &text)?;
        durable::write(&self.mark_file(chain.thread), format!("{sequence}\n").as_bytes())
    }

    /// The SCN in `scn_cutoff.<SID>`.
    ///
    /// # Errors
    /// The file holds something else: a guess could leave out redo.
    pub fn cutoff(&self) -> anyhow::Result<Option<u64>> {
        let path = self.file("scn_cutoff");
        let Some(text) = durable::read(&path)? else { return Ok(None) };
        let text = String::from_utf8_lossy(&text);
        let digits = text.trim();
        let scn = digits.parse().ok().filter(|_| digits.bytes().all(|b| b.is_ascii_digit()));
        scn.map(Some).ok_or_else(|| {
            common::exit::Failure::new(
                common::exit::Exit::Refused,
                format!("{} holds {digits:?}, which is no SCN", path.display()),
            )
            .hint("write the SCN in digits into it, or remove it to capture a new one")
            .into()
        })
    }

    pub fn set_cutoff(&self, scn: u64) -> anyhow::Result<()> {
        durable::write(&self.file("scn_cutoff"), format!("{scn}\n").as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHAIN: Chain = Chain { dbid: 7, resetlogs_id: 100, thread: 1 };

    fn stat(bytes: u64) -> FileStat {
        FileStat { bytes, mtime_ns: 5, inode: 6 }
    }

    fn entry(sequence: u64) -> Entry {
        Entry {
            key: CHAIN.key(sequence),
            first_change: Some(1),
            next_change: Some(2),
            next_time: None,
            sha256: "00".to_owned(),
            path: format!("/a/{sequence}"),
            source: stat(1),
            host: "dr1".to_owned(),
            dest: format!("/b/{sequence}"),
            there: stat(1),
            registered: false,
        }
    }

    fn load(dir: &Path) -> State {
        State::load(dir, "PROD", "dr1", true).unwrap()
    }

    #[test]
    fn what_is_kept_is_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let mut state = load(dir.path());
        state.keep(vec![entry(4), entry(5)]).unwrap();
        state.set_mark(CHAIN, 5).unwrap();
        let number = std::fs::read_to_string(dir.path().join("last_arch_seq_thread1.PROD")).unwrap();
        assert_eq!(number, "5\n");
        let again = load(dir.path());
        assert_eq!(again.entry(CHAIN.key(5)), Some(&entry(5)));
        assert_eq!(again.sequence(CHAIN), Some(5));
        assert_eq!(again.sequence(Chain { resetlogs_id: 101, ..CHAIN }), None);
        assert!(again.notes.is_empty(), "{:?}", again.notes);
        assert!(State::load(dir.path(), "PROD", "dr2", false).unwrap().is_empty());
    }

    #[test]
    fn a_line_that_a_crash_cut_off_costs_only_itself() {
        let dir = tempfile::tempdir().unwrap();
        load(dir.path()).keep(vec![entry(4), entry(5)]).unwrap();
        let path = dir.path().join("shipped_logs.PROD");
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() - 20]).unwrap();
        let mut state = load(dir.path());
        assert!(state.entry(CHAIN.key(4)).is_some() && state.entry(CHAIN.key(5)).is_none());
        state.keep(vec![entry(6)]).unwrap();
        let again = load(dir.path());
        assert!(again.entry(CHAIN.key(6)).is_some(), "the torn line must not swallow the next one");
        assert!(again.notes.is_empty());
    }

    #[test]
    fn a_corrupt_file_is_set_aside_and_said() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["shipped_logs.PROD", "ship_marks.PROD", "last_arch_seq_thread1.PROD"] {
            std::fs::write(dir.path().join(name), b"\0garbage\n").unwrap();
        }
        let untouched = State::load(dir.path(), "PROD", "dr1", false).unwrap();
        assert_eq!((untouched.notes.len(), std::fs::read_dir(dir.path()).unwrap().count()), (3, 3));
        let state = load(dir.path());
        assert_eq!(state.notes.len(), 3, "{:?}", state.notes);
        assert!(state.is_empty() && state.mark(1).is_none());
        assert!(load(dir.path()).notes.is_empty());
    }

    #[test]
    fn what_is_known_of_another_host_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let mut one = load(dir.path());
        one.keep(vec![entry(4)]).unwrap();
        one.set_mark(CHAIN, 4).unwrap();
        let mut two = State::load(dir.path(), "PROD", "dr2", true).unwrap();
        two.keep((0..400).map(|_| Entry { host: "dr2".to_owned(), ..entry(9) }).collect()).unwrap();
        two.set_mark(CHAIN, 9).unwrap();
        two.forget(&[]).unwrap();
        let lines = std::fs::read_to_string(dir.path().join("shipped_logs.PROD")).unwrap().lines().count();
        assert_eq!(lines, 2, "rewritten");
        let one = load(dir.path());
        assert_eq!((one.sequence(CHAIN), one.entry(CHAIN.key(4))), (Some(4), Some(&entry(4))));
        let two = State::load(dir.path(), "PROD", "dr2", true).unwrap();
        assert_eq!((two.sequence(CHAIN), two.entries().count()), (Some(9), 1));
    }

    #[test]
    fn the_originals_number_is_no_proof() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("last_arch_seq_thread2.PROD"), "197800\n").unwrap();
        let state = load(dir.path());
        assert!(state.mark(2).is_none());
        assert!(state.notes[0].message.contains("says 197800 and was not written by this tool"));
    }

    #[test]
    fn a_cutoff_that_is_no_scn_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let state = load(dir.path());
        assert_eq!(state.cutoff().unwrap(), None);
        state.set_cutoff(959_994_799_549).unwrap();
        assert_eq!(state.cutoff().unwrap(), Some(959_994_799_549));
        std::fs::write(dir.path().join("scn_cutoff.PROD"), "9.5999E+11\n").unwrap();
        let error = state.cutoff().unwrap_err();
        assert_eq!(common::exit::status_of(&error), common::exit::Exit::Refused);
    }
}
