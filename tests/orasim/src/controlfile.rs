//! The control file: what the database knows about itself. One real file, replaced whole.
//!
//! The records that only grow (archived logs, log history) of a running database lie beside it in a journal, because
//! rewriting ten thousand of them at each log switch would be the most expensive thing the simulator does.

use std::{
    fs::{self, File, OpenOptions},
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
};

use anyhow::{bail, Context, Result};
use chrono::NaiveDateTime;
use serde::{Deserialize, Serialize};

use crate::instance::spec::TablespaceKind;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    Current,
    Standby,
    Backup,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Incarnation {
    pub number: u32,
    pub resetlogs_scn: u64,
    pub resetlogs_time: NaiveDateTime,
    pub resetlogs_id: u32,
    pub prior_scn: u64,
    pub prior_time: Option<NaiveDateTime>,
    pub prior_number: u32,
    pub current: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ThreadRec {
    pub thread: u16,
    pub enabled: bool,
    pub current_group: u16,
    pub sequence: u32,
    pub checkpoint_scn: u64,
    pub checkpoint_time: NaiveDateTime,
    pub last_scn: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LogStatus {
    Unused,
    Current,
    Active,
    Inactive,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LogRec {
    pub group: u16,
    pub thread: u16,
    pub path: PathBuf,
    pub bytes: u64,
    pub sequence: u32,
    pub status: LogStatus,
    pub archived: bool,
    pub first_scn: u64,
    pub first_time: NaiveDateTime,
    pub next_scn: Option<u64>,
    pub next_time: Option<NaiveDateTime>,
    /// Used blocks once it is no longer current.
    pub nab: Option<u32>,
    pub identity: Option<Identity>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tablespace {
    pub con_id: u32,
    pub ts: u32,
    pub name: String,
    pub kind: TablespaceKind,
    pub read_only: bool,
    pub offline: bool,
    pub created: NaiveDateTime,
}

/// Which file of the machine a path was when a standby control file was made. Primary and standby of a test live on one
/// machine; a file that is still the primary's own would be on another host in reality, so the standby does not see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    pub device: u64,
    pub inode: u64,
}

impl Identity {
    pub fn of(path: &Path) -> Option<Self> {
        use std::os::unix::fs::MetadataExt;
        let meta = fs::metadata(path).ok()?;
        Some(Self { device: meta.dev(), inode: meta.ino() })
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Datafile {
    pub file: u32,
    pub con_id: u32,
    pub ts: u32,
    pub path: PathBuf,
    pub identity: Option<Identity>,
    pub blocks: u32,
    pub create_blocks: u32,
    pub creation_scn: u64,
    pub creation_time: NaiveDateTime,
    pub checkpoint_scn: u64,
    pub checkpoint_time: NaiveDateTime,
    pub checkpoint_count: u32,
    pub offline: bool,
    pub read_only: bool,
    pub last_scn: Option<u64>,
    pub last_time: Option<NaiveDateTime>,
    pub unrecoverable_scn: u64,
    pub unrecoverable_time: Option<NaiveDateTime>,
    /// V$BACKUP: ACTIVE, and CHANGE# and TIME of the last BEGIN.
    pub backup_active: bool,
    pub backup_scn: u64,
    pub backup_time: Option<NaiveDateTime>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tempfile {
    pub file: u32,
    pub con_id: u32,
    pub ts: u32,
    pub path: PathBuf,
    pub blocks: u32,
    pub creation_scn: u64,
    pub creation_time: NaiveDateTime,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ContainerRec {
    pub con_id: u32,
    pub dbid: u32,
    pub name: String,
    pub open_mode: String,
}

/// One row of V$ARCHIVED_LOG.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Archived {
    pub recid: u32,
    pub stamp: u32,
    pub name: Option<String>,
    pub dest_id: u32,
    pub thread: u16,
    pub sequence: u32,
    pub resetlogs_scn: u64,
    pub resetlogs_time: NaiveDateTime,
    pub resetlogs_id: u32,
    pub first_scn: u64,
    pub first_time: NaiveDateTime,
    pub next_scn: u64,
    pub next_time: NaiveDateTime,
    pub blocks: u32,
    pub block_size: u32,
    pub creator: String,
    pub registrar: String,
    pub standby_dest: bool,
    pub applied: bool,
    pub deleted: bool,
    pub completion: NaiveDateTime,
    pub activation: u32,
    pub in_recovery_area: bool,
    #[serde(default)]
    pub identity: Option<Identity>,
}

/// One row of V$LOG_HISTORY.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct History {
    pub recid: u32,
    pub thread: u16,
    pub sequence: u32,
    pub first_scn: u64,
    pub first_time: NaiveDateTime,
    pub next_scn: u64,
    pub resetlogs_scn: u64,
    pub resetlogs_time: NaiveDateTime,
    pub resetlogs_id: u32,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ControlFile {
    /// Told apart from every other control file, so that a journal of another one is not taken for its own.
    pub uid: u64,
    pub kind: Kind,
    pub name: String,
    pub dbid: u32,
    pub created: NaiveDateTime,
    /// CONTROLFILE_SEQUENCE#.
    pub sequence: u32,
    /// CONTROLFILE_CHANGE#: nothing newer is known to it.
    pub scn: u64,
    pub time: NaiveDateTime,
    pub archivelog: bool,
    pub force_logging: bool,
    /// Open for writing, or died so: needs crash recovery.
    pub in_use: bool,
    pub activation: u32,
    pub redo_block_size: u32,
    pub incarnations: Vec<Incarnation>,
    pub threads: Vec<ThreadRec>,
    pub logs: Vec<LogRec>,
    pub containers: Vec<ContainerRec>,
    pub tablespaces: Vec<Tablespace>,
    pub datafiles: Vec<Datafile>,
    pub tempfiles: Vec<Tempfile>,
    pub last_recid: u32,
    /// Records that came with the file; those after them are in the journal.
    pub archived: Vec<Archived>,
    pub history: Vec<History>,
    /// Backups of RMAN.
    #[serde(default)]
    pub rman: crate::pieces::records::Records,
}

const MAGIC: &str = "ORASIM CONTROL FILE 1";

#[derive(Serialize, Deserialize)]
enum Entry {
    Of(u64),
    Archived(Archived),
    History(History),
}

fn journal_path(control_file: &Path) -> PathBuf {
    let mut name = control_file.as_os_str().to_owned();
    name.push(".records");
    PathBuf::from(name)
}

impl ControlFile {
    pub fn incarnation(&self) -> Option<&Incarnation> {
        self.incarnations.iter().find(|i| i.current)
    }

    pub fn datafile(&self, file: u32) -> Option<&Datafile> {
        self.datafiles.iter().find(|f| f.file == file)
    }

    pub fn datafile_mut(&mut self, file: u32) -> Option<&mut Datafile> {
        self.datafiles.iter_mut().find(|f| f.file == file)
    }

    pub fn tablespace(&self, con_id: u32, ts: u32) -> Option<&Tablespace> {
        self.tablespaces.iter().find(|t| t.con_id == con_id && t.ts == ts)
    }

    pub fn tablespace_of(&self, file: &Datafile) -> Option<&Tablespace> {
        self.tablespace(file.con_id, file.ts)
    }

    /// The incarnations from the first to the current one, each with the SCN at which its child took over.
    pub fn lineage(&self) -> Vec<(Incarnation, Option<u64>)> {
        let mut path = Vec::new();
        let mut at = self.incarnation();
        let mut end = None;
        while let Some(i) = at {
            path.push((i.clone(), end));
            end = Some(i.resetlogs_scn);
            at = self.incarnations.iter().find(|p| p.number == i.prior_number && p.number < i.number);
        }
        path.reverse();
        path
    }

    /// The incarnation on the current one's line in which a change of this SCN was made.
    pub fn incarnation_at(&self, scn: u64) -> Option<Incarnation> {
        let path = self.lineage();
        let found = path.iter().rev().find(|(i, _)| i.resetlogs_scn <= scn);
        found.or(path.first()).map(|(i, _)| i.clone())
    }

    /// The whole file, records and all.
    pub fn to_text(&self) -> Result<String> {
        let body = serde_json::to_string(self).context("encode the control file")?;
        Ok(format!("{MAGIC}\n{body}\nEND {}\n", body.len()))
    }

    /// Writes it whole, records and all, as a file that stands alone.
    pub fn write_alone(&self, path: &Path) -> Result<()> {
        let text = self.to_text()?;
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).with_context(|| format!("make {}", parent.display()))?;
        }
        let temporary = path.with_extension("writing");
        fs::write(&temporary, text).with_context(|| format!("write {}", temporary.display()))?;
        fs::rename(&temporary, path).with_context(|| format!("rename to {}", path.display()))
    }

    /// What [`Self::to_text`] made.
    pub fn from_text(text: &str) -> Result<Self> {
        let mut lines = text.lines();
        let (magic, body, end) = (lines.next(), lines.next().unwrap_or_default(), lines.next());
        if magic != Some(MAGIC) || end != Some(format!("END {}", body.len()).as_str()) {
            bail!("no whole control file");
        }
        serde_json::from_str(body).context("decode the control file")
    }

    /// Reads a file and, if it is its own, the journal beside it.
    pub fn read(path: &Path) -> Result<Self> {
        let text =
            fs::read_to_string(path).with_context(|| format!("read control file {}", path.display()))?;
        let mut control =
            Self::from_text(&text).with_context(|| format!("control file {}", path.display()))?;
        let Ok(journal) = File::open(journal_path(path)) else { return Ok(control) };
        let mut own = false;
        for line in BufReader::new(journal).lines() {
            let Ok(line) = line else { break };
            match serde_json::from_str::<Entry>(&line) {
                Ok(Entry::Of(uid)) => own = uid == control.uid,
                Ok(Entry::Archived(a)) if own => {
                    control.last_recid = control.last_recid.max(a.recid);
                    control.archived.push(a);
                }
                Ok(Entry::History(h)) if own => control.history.push(h),
                // The last line of a process that was killed.
                Ok(_) | Err(_) => {}
            }
        }
        Ok(control)
    }
}

/// An open control file: the copy in memory is changed, then the file and its journal follow.
#[derive(Debug)]
pub struct Open {
    pub data: ControlFile,
    path: PathBuf,
    copies: Vec<PathBuf>,
    journal: File,
    archived_in_journal: usize,
    history_in_journal: usize,
    archived_in_file: usize,
    history_in_file: usize,
}

impl Open {
    /// Takes a control file into use; a fresh journal is begun for what is not in the file itself.
    pub fn new(data: ControlFile, paths: &[PathBuf]) -> Result<Self> {
        let Some((path, copies)) = paths.split_first() else { bail!("CONTROL_FILES is empty") };
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).with_context(|| format!("make {}", parent.display()))?;
        }
        let journal = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(true)
            .open(journal_path(path))
            .with_context(|| format!("open the records of {}", path.display()))?;
        let mut open = Self {
            path: path.clone(),
            copies: copies.to_vec(),
            journal,
            archived_in_journal: 0,
            history_in_journal: 0,
            archived_in_file: 0,
            history_in_file: 0,
            data,
        };
        open.rewrite()?;
        Ok(open)
    }

    /// Everything into the file anew, when records have been changed and not only added.
    pub fn rewrite(&mut self) -> Result<()> {
        self.data.sequence += 1;
        self.data.write_alone(&self.path)?;
        for copy in &self.copies {
            self.data.write_alone(copy)?;
        }
        self.archived_in_file = self.data.archived.len();
        self.history_in_file = self.data.history.len();
        self.archived_in_journal = self.archived_in_file;
        self.history_in_journal = self.history_in_file;
        self.journal.set_len(0)?;
        let mut line = serde_json::to_string(&Entry::Of(self.data.uid))?;
        line.push('\n');
        use std::os::unix::fs::FileExt;
        self.journal.write_all_at(line.as_bytes(), 0)?;
        use std::io::Seek;
        self.journal.seek(std::io::SeekFrom::End(0))?;
        Ok(())
    }

    /// Makes the present state durable against the death of this process.
    pub fn save(&mut self) -> Result<()> {
        // Without records in the file a save is small, whatever the database's age.
        if self.archived_in_file + self.history_in_file > 200 && self.data.kind == Kind::Current {
            self.move_records_to_journal()?;
        }
        let mut lines = String::new();
        for a in &self.data.archived[self.archived_in_journal.min(self.data.archived.len())..] {
            lines.push_str(&serde_json::to_string(&Entry::Archived(a.clone()))?);
            lines.push('\n');
        }
        for h in &self.data.history[self.history_in_journal.min(self.data.history.len())..] {
            lines.push_str(&serde_json::to_string(&Entry::History(h.clone()))?);
            lines.push('\n');
        }
        self.journal.write_all(lines.as_bytes()).context("write the records of the control file")?;
        self.archived_in_journal = self.data.archived.len();
        self.history_in_journal = self.data.history.len();
        self.data.sequence += 1;
        let archived = self.data.archived.split_off(self.archived_in_file);
        let history = self.data.history.split_off(self.history_in_file);
        let mut result = self.data.write_alone(&self.path);
        for copy in &self.copies {
            result = result.and_then(|()| self.data.write_alone(copy));
        }
        self.data.archived.extend(archived);
        self.data.history.extend(history);
        result
    }

    fn move_records_to_journal(&mut self) -> Result<()> {
        let mut lines = String::new();
        for a in &self.data.archived[..self.archived_in_file] {
            lines.push_str(&serde_json::to_string(&Entry::Archived(a.clone()))?);
            lines.push('\n');
        }
        for h in &self.data.history[..self.history_in_file] {
            lines.push_str(&serde_json::to_string(&Entry::History(h.clone()))?);
            lines.push('\n');
        }
        self.journal.write_all(lines.as_bytes()).context("write the records of the control file")?;
        self.archived_in_file = 0;
        self.history_in_file = 0;
        Ok(())
    }
}
