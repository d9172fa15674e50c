//! What is done in this cycle: one file for the cycle, one mark per finished tablespace.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context;
use common::durable;
use common::exit::{Exit, Failure};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::facts::Key;
use crate::plan::FileCopy;

/// Longest encoded name before it is shortened to a hash; file systems allow 255 bytes.
const NAME_MAX: usize = 180;

/// One pass over all tablespaces, over as many runs as it takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cycle {
    /// The run that began it.
    pub id: String,
    pub dbid: u64,
    pub resetlogs_change: u64,
    /// Where it copies to; another place is another cycle.
    pub destination: String,
    /// UTC, RFC 3339.
    pub begun: String,
    /// Set when everything was copied, and the control file and the recovery scripts were there.
    pub closed: Option<String>,
}

/// The content of `ts_<TS>.done`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copied {
    /// [`Cycle::id`]: a mark of another cycle counts for nothing.
    pub cycle: String,
    pub dbid: u64,
    pub container: Option<String>,
    pub tablespace: String,
    /// SCN after END BACKUP of the last of its files.
    pub end_scn: u64,
    pub files: Vec<CopiedFile>,
}

/// A datafile that is at the standby under its name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopiedFile {
    pub file: u64,
    pub path: String,
    pub dest: String,
    pub bytes: u64,
    pub creation_change: u64,
    /// The frozen SCN in the header of the copy: recovery begins here.
    pub checkpoint_scn: u64,
    /// Whether the file could not change while it was copied.
    pub read_only: bool,
}

impl Copied {
    pub fn key(&self) -> Key {
        Key { container: self.container.clone(), name: self.tablespace.clone() }
    }

    /// Whether this very file has been copied to this very place. A later size does not matter: redo carries it.
    pub fn has(&self, file: &FileCopy) -> bool {
        self.files.iter().any(|f| {
            f.file == file.file
                && f.path == file.path
                && f.dest == file.dest
                && f.creation_change == file.creation_change
        })
    }
}

/// The state directory's part that belongs to cycles.
#[derive(Debug, Clone)]
pub struct Store {
    dir: PathBuf,
    sid: String,
}

impl Store {
    pub fn new(dir: &Path, sid: &str) -> Self {
        Self { dir: dir.to_owned(), sid: sid.to_owned() }
    }

    fn cycle_path(&self) -> PathBuf {
        self.dir.join(format!("hot_backup_cycle.{}", self.sid))
    }

    pub fn mark_path(&self, key: &Key) -> PathBuf {
        self.dir.join(format!("ts_{}.done", encode(key)))
    }

    /// The cycle of the last run, and a warning when its file could not be understood.
    pub fn cycle(&self) -> anyhow::Result<(Option<Cycle>, Option<String>)> {
        let path = self.cycle_path();
        let Some(bytes) = durable::read(&path)? else { return Ok((None, None)) };
        match serde_json::from_slice(&bytes) {
            Ok(cycle) => Ok((Some(cycle), None)),
            Err(e) => {
                let aside = durable::set_aside(&path)?;
                let text = format!(
                    "{} cannot be understood ({e}) and was set aside as {}: a new cycle begins",
                    path.display(),
                    aside.display()
                );
                Ok((None, Some(text)))
            }
        }
    }

    /// The cycle of the last run if its file can be understood; touches nothing.
    pub fn peek(&self) -> Option<Cycle> {
        serde_json::from_slice(&std::fs::read(self.cycle_path()).ok()?).ok()
    }

    /// The marks of `cycle` by tablespace. Marks of other cycles, of the original script and half-written ones are
    /// left out.
    ///
    /// # Errors
    /// Status 4 for a mark of another database: two databases cannot share these names.
    pub fn marks(&self, cycle: &Cycle) -> anyhow::Result<BTreeMap<Key, Copied>> {
        let mut found = BTreeMap::new();
        for path in self.mark_files()? {
            let Some(bytes) = durable::read(&path)? else { continue };
            let Ok(mark) = serde_json::from_slice::<Copied>(&bytes) else { continue };
            if mark.dbid != cycle.dbid {
                return Err(Failure::new(
                    Exit::Refused,
                    format!("{} belongs to the database with DBID {}", path.display(), mark.dbid),
                )
                .hint("give each database a state directory of its own")
                .into());
            }
            if mark.cycle == cycle.id {
                found.insert(mark.key(), mark);
            }
        }
        Ok(found)
    }

    /// Begins a cycle. The file comes first: a mark that is not removed in time is bound to the old cycle anyway.
    pub fn begin(&self, cycle: &Cycle) -> anyhow::Result<()> {
        self.write(cycle)?;
        for path in self.mark_files()? {
            durable::remove(&path)?;
        }
        Ok(())
    }

    /// Closes a cycle: the next run begins a new one.
    pub fn close(&self, cycle: &Cycle) -> anyhow::Result<()> {
        let closed = chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
        self.write(&Cycle { closed: Some(closed), ..cycle.clone() })
    }

    fn write(&self, cycle: &Cycle) -> anyhow::Result<()> {
        let mut text = serde_json::to_vec(cycle).context("encode the cycle")?;
        text.push(b'\n');
        durable::write(&self.cycle_path(), &text)
    }

    /// Marks a tablespace as done in its cycle.
    pub fn mark(&self, copied: &Copied) -> anyhow::Result<()> {
        let mut text = serde_json::to_vec(copied).context("encode a mark")?;
        text.push(b'\n');
        durable::write(&self.mark_path(&copied.key()), &text)
    }

    /// Takes a mark back: its copies are gone or were found wrong.
    pub fn unmark(&self, key: &Key) -> anyhow::Result<()> {
        durable::remove(&self.mark_path(key))
    }

    fn mark_files(&self) -> anyhow::Result<Vec<PathBuf>> {
        let dir = std::fs::read_dir(&self.dir)
            .with_context(|| format!("read state directory {}", self.dir.display()))?;
        let mut found = Vec::new();
        for entry in dir {
            let path = entry.with_context(|| format!("read state directory {}", self.dir.display()))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if name.starts_with("ts_") && name.ends_with(".done") {
                found.push(path);
            }
        }
        found.sort();
        Ok(found)
    }
}

/// A tablespace's name for file names: what is not a letter, digit, `_`, `-`, `$` or `#` becomes `%XX`.
pub fn encode(key: &Key) -> String {
    let mut out = String::new();
    for byte in key.to_string().bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'$' | b'#' => out.push(char::from(byte)),
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    if out.len() > NAME_MAX {
        let hash = Sha256::digest(out.as_bytes());
        let hash: String = hash.iter().take(16).map(|b| format!("{b:02x}")).collect();
        out.truncate(NAME_MAX - hash.len() - 1);
        out = format!("{out}%{hash}");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        Key { container: None, name: name.to_owned() }
    }

    fn cycle(id: &str) -> Cycle {
        Cycle {
            id: id.to_owned(),
            dbid: 7,
            resetlogs_change: 1,
            destination: "dr1".to_owned(),
            begun: String::new(),
            closed: None,
        }
    }

    fn mark(cycle: &str, name: &str) -> Copied {
        Copied { cycle: cycle.to_owned(), dbid: 7, tablespace: name.to_owned(), ..Copied::default() }
    }

    #[test]
    fn any_name_makes_one_safe_file_name() {
        assert_eq!(encode(&key("USERS")), "USERS");
        assert_eq!(encode(&key("../My ts/x")), "%2E%2E%2FMy%20ts%2Fx");
        assert_eq!(encode(&key("a%20b")), "a%2520b");
        let pdb = Key { container: Some("PDB1".to_owned()), name: "USERS".to_owned() };
        assert_eq!(encode(&pdb), "PDB1%3AUSERS");
        let long = "\u{e3}".repeat(60);
        assert!(encode(&key(&long)).len() <= NAME_MAX);
        assert_ne!(encode(&key(&long)), encode(&key(&format!("{long}x"))));
    }

    #[test]
    fn marks_never_survive_their_cycle() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(dir.path(), "PROD");
        std::fs::write(dir.path().join("ts_OLD.done"), "").unwrap();
        store.begin(&cycle("one")).unwrap();
        assert!(!dir.path().join("ts_OLD.done").exists());
        store.mark(&mark("one", "My ts")).unwrap();
        assert_eq!(store.marks(&cycle("one")).unwrap().len(), 1);
        // Killed between the new cycle's file and the removal of the old marks.
        assert_eq!(store.marks(&cycle("two")).unwrap().len(), 0);
        store.begin(&cycle("two")).unwrap();
        assert_eq!(store.mark_files().unwrap().len(), 0);
    }

    #[test]
    fn a_mark_of_another_database_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(dir.path(), "PROD");
        store.mark(&Copied { dbid: 8, ..mark("one", "USERS") }).unwrap();
        let error = store.marks(&cycle("one")).unwrap_err();
        assert_eq!(common::exit::status_of(&error), Exit::Refused);
    }

    #[test]
    fn a_corrupt_cycle_is_set_aside_and_said() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(dir.path(), "PROD");
        store.begin(&cycle("one")).unwrap();
        assert_eq!(store.cycle().unwrap().0.unwrap().id, "one");
        std::fs::write(store.cycle_path(), "\0{").unwrap();
        let (none, warning) = store.cycle().unwrap();
        assert!(none.is_none() && warning.unwrap().contains("a new cycle begins"));
        assert!(store.cycle().unwrap().1.is_none());
    }
}
