//! What is known before anything is decided: logs at the source, what the database says, what the standby has.

use std::collections::BTreeMap;
use std::path::PathBuf;

use chrono::NaiveDateTime;
use serde::{Deserialize, Serialize};

/// Identity of an archived log: sequences start again at 1 with each RESETLOGS, and names need not tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Key {
    /// DBID; 0 when only the name was read.
    pub dbid: u64,
    /// V$DATABASE_INCARNATION.RESETLOGS_ID; 0 when unknown.
    pub resetlogs_id: u64,
    pub thread: u64,
    pub sequence: u64,
}

impl Key {
    pub fn chain(&self) -> Chain {
        Chain { dbid: self.dbid, resetlogs_id: self.resetlogs_id, thread: self.thread }
    }
}

/// The sequences of one thread in one incarnation: what has to be without holes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Chain {
    pub dbid: u64,
    pub resetlogs_id: u64,
    pub thread: u64,
}

impl Chain {
    pub fn key(&self, sequence: u64) -> Key {
        Key { dbid: self.dbid, resetlogs_id: self.resetlogs_id, thread: self.thread, sequence }
    }
}

/// Size, time and identity of a file, here or there: unchanged as long as all three are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FileStat {
    pub bytes: u64,
    /// Modification time in nanoseconds since 1970.
    pub mtime_ns: i64,
    pub inode: u64,
}

/// Whether a log can be shipped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceState {
    Ready,
    /// Still being written, as far as anybody can see.
    NotReady(String),
    /// Incomplete or contradictory and not written for long: nobody is going to finish it.
    Damaged(String),
}

/// A log as found at the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceLog {
    pub key: Key,
    /// RESETLOGS_CHANGE#; 0 when unknown.
    pub resetlogs_change: u64,
    /// FIRST_CHANGE#; `None` when only the name was read.
    pub first_change: Option<u64>,
    /// NEXT_CHANGE#; `None` when only the name was read or the log is open.
    pub next_change: Option<u64>,
    /// The time of NEXT_CHANGE#, in the database host's zone.
    pub next_time: Option<NaiveDateTime>,
    pub path: PathBuf,
    /// Where it goes, relative to the destination directory.
    pub rel: PathBuf,
    pub stat: FileStat,
    pub state: SourceState,
}

impl SourceLog {
    pub fn is_ready(&self) -> bool {
        self.state == SourceState::Ready
    }
}

/// Why a log that the database knows is not at the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Absent {
    /// V$ARCHIVED_LOG says so.
    Deleted,
    /// V$ARCHIVED_LOG has the name and there is no such file.
    FileGone(PathBuf),
    /// V$LOG_HISTORY has it and V$ARCHIVED_LOG has no local copy.
    NeverArchived,
}

/// A log that the database knows, with or without a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    pub first_change: u64,
    pub next_change: u64,
    /// `None`: there is a file.
    pub absent: Option<Absent>,
}

/// What the standby has applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Applied {
    /// Asked for nothing: everything counts as needed.
    Nothing,
    /// Could not be learned; the reason is told. Never the same as 0.
    Unknown(String),
    /// All redo below this SCN is in the standby's datafiles. The sequences are what its control file knows as applied,
    /// by resetlogs id and thread.
    Standby { scn: u64, sequences: BTreeMap<(u64, u64), u64> },
    /// The user vouches for this sequence in the current incarnation.
    Sequence(u64),
}

/// A log that is at the destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    pub path: PathBuf,
    pub first_change: Option<u64>,
    pub next_change: Option<u64>,
    pub next_time: Option<NaiveDateTime>,
}

/// All of it.
#[derive(Debug, Clone)]
pub struct Facts {
    /// Current RESETLOGS_ID of the source; 0 when unknown.
    pub resetlogs_id: u64,
    /// RESETLOGS_CHANGE# by RESETLOGS_ID, as far as known.
    pub incarnations: BTreeMap<u64, u64>,
    pub logs: Vec<SourceLog>,
    /// What the database says, when it was asked.
    pub known: BTreeMap<Key, Known>,
    /// Verified at the destination and unchanged since.
    pub there: BTreeMap<Key, Held>,
    pub applied: Applied,
    /// The last sequence that was there without a hole after an earlier run.
    pub marks: BTreeMap<Chain, u64>,
}

impl Facts {
    /// The SCN at which an incarnation was left: redo from there on belongs to no database any more.
    ///
    /// Of several later incarnations the lowest counts: one that began earlier has orphaned the others.
    pub fn branch(&self, resetlogs_id: u64) -> Option<u64> {
        if resetlogs_id == 0 {
            return None;
        }
        self.incarnations.range(resetlogs_id + 1..).map(|(_, change)| *change).min()
    }
}
