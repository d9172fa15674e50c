//! What a control file knows about backups: the rows behind V$BACKUP_SET, V$BACKUP_PIECE, V$BACKUP_DATAFILE and the like.

use std::{collections::BTreeMap, path::PathBuf};

use chrono::NaiveDateTime;
use serde::{Deserialize, Serialize};

/// V$BACKUP_SET.BACKUP_TYPE and INCREMENTAL_LEVEL in one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SetType {
    /// `D`, level NULL: a full backup, no base for a level 1. Control files and SPFILEs are in such sets too.
    Full,
    /// `D`, level 0.
    Level0,
    /// `I`, level 1.
    Level1,
    /// `L`.
    Logs,
}

impl SetType {
    /// BACKUP_TYPE.
    pub fn letter(self) -> &'static str {
        match self {
            Self::Full | Self::Level0 => "D",
            Self::Level1 => "I",
            Self::Logs => "L",
        }
    }

    /// INCREMENTAL_LEVEL.
    pub fn level(self) -> Option<u32> {
        match self {
            Self::Level0 => Some(0),
            Self::Level1 => Some(1),
            Self::Full | Self::Logs => None,
        }
    }
}

/// One datafile in a set; a row of V$BACKUP_DATAFILE.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SetDatafile {
    pub file: u32,
    pub con_id: u32,
    pub ts: u32,
    pub tablespace: String,
    /// Its path when it was backed up.
    pub path: PathBuf,
    pub creation_scn: u64,
    pub creation_time: NaiveDateTime,
    pub resetlogs_scn: u64,
    pub resetlogs_time: NaiveDateTime,
    /// `None`: part of a full backup.
    pub level: Option<u32>,
    /// INCREMENTAL_CHANGE#: blocks changed before are not in here; 0 for a level 0 and a full backup.
    pub incremental_scn: u64,
    /// Everything below is in here.
    pub checkpoint_scn: u64,
    pub checkpoint_time: NaiveDateTime,
    /// ABSOLUTE_FUZZY_CHANGE#: the highest SCN in it when that is not below the checkpoint, else 0.
    pub fuzzy_scn: u64,
    /// Size of the datafile in blocks, without the operating system's block.
    pub datafile_blocks: u32,
    /// Blocks written into the set, the header included.
    pub blocks: u32,
    pub blocks_read: u32,
    /// Blocks that are corrupt in it (MARKED_CORRUPT), allowed by SET MAXCORRUPT.
    pub corrupt: u32,
    pub read_only: bool,
    pub section_blocks: u32,
}

/// One archived log in a set; a row of V$BACKUP_REDOLOG.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SetLog {
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
}

/// The control file in a set: a row of V$BACKUP_DATAFILE with FILE# = 0.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SetControlfile {
    pub checkpoint_scn: u64,
    pub checkpoint_time: NaiveDateTime,
    pub resetlogs_scn: u64,
    pub resetlogs_time: NaiveDateTime,
    pub creation_time: NaiveDateTime,
    pub blocks: u32,
    /// S for a standby control file, B for a backup one.
    pub kind: char,
    /// In an autobackup: its day as YYYYMMDD and its number on that day.
    pub autobackup: Option<(u32, u32)>,
}

/// The SPFILE in a set: a row of V$BACKUP_SPFILE.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SetSpfile {
    pub modified: NaiveDateTime,
    pub bytes: u64,
    pub unique_name: String,
}

/// A row of V$BACKUP_SET with what is in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BackupSet {
    /// RECID, in LIST the "BS Key".
    pub recid: u32,
    pub stamp: u32,
    /// SET_STAMP and SET_COUNT: together they name the set wherever its pieces are catalogued.
    pub set_stamp: u32,
    pub set_count: u32,
    pub set_type: SetType,
    pub compressed: bool,
    pub start: NaiveDateTime,
    pub completion: NaiveDateTime,
    /// How many pieces the whole set has.
    pub pieces: u32,
    pub incremental_cumulative: bool,
    pub keep: bool,
    pub datafiles: Vec<SetDatafile>,
    pub logs: Vec<SetLog>,
    pub controlfile: Option<SetControlfile>,
    pub spfile: Option<SetSpfile>,
    /// Bytes read from the database for it.
    pub input_bytes: u64,
    pub con_id: u32,
}

/// V$BACKUP_PIECE.STATUS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PieceStatus {
    /// A.
    Available,
    /// X: CROSSCHECK did not find it.
    Expired,
    /// D.
    Deleted,
    /// U: CHANGE … UNAVAILABLE.
    Unavailable,
}

/// A row of V$BACKUP_PIECE.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Piece {
    /// RECID, in LIST the "BP Key".
    pub recid: u32,
    pub stamp: u32,
    pub set_stamp: u32,
    pub set_count: u32,
    /// PIECE#.
    pub piece: u32,
    /// COPY#.
    pub copy: u32,
    pub handle: PathBuf,
    /// Upper case; `None` for an autobackup.
    pub tag: Option<String>,
    pub status: PieceStatus,
    pub start: NaiveDateTime,
    pub completion: NaiveDateTime,
    pub bytes: u64,
    pub compressed: bool,
    pub in_recovery_area: bool,
    /// SESSION_RECID and SESSION_STAMP of its job; 0 for a catalogued piece.
    pub session_recid: u32,
    pub session_stamp: u32,
}

/// A row of V$DATAFILE_COPY.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Copy {
    pub recid: u32,
    pub stamp: u32,
    pub path: PathBuf,
    pub tag: Option<String>,
    pub file: u32,
    pub creation_scn: u64,
    pub resetlogs_scn: u64,
    pub resetlogs_time: NaiveDateTime,
    pub checkpoint_scn: u64,
    pub checkpoint_time: NaiveDateTime,
    pub fuzzy_scn: u64,
    pub blocks: u32,
    pub completion: NaiveDateTime,
    pub status: PieceStatus,
}

/// A row of V$RMAN_STATUS.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    pub recid: u32,
    pub stamp: u32,
    pub parent_recid: Option<u32>,
    pub parent_stamp: Option<u32>,
    pub session_recid: u32,
    pub session_stamp: u32,
    /// 0 for the session, 1 for a command.
    pub row_level: u32,
    /// `SESSION` or `COMMAND` with its words, as ROW_TYPE has it.
    pub row_type: String,
    pub command_id: String,
    /// `RMAN`, `BACKUP`, `RESTORE`, `RECOVER`, `CATALOG` …
    pub operation: String,
    /// `RUNNING`, `COMPLETED`, `COMPLETED WITH WARNINGS`, `COMPLETED WITH ERRORS`, `FAILED`.
    pub status: String,
    pub start: NaiveDateTime,
    pub end: Option<NaiveDateTime>,
    pub input_bytes: u64,
    pub output_bytes: u64,
    /// `DB FULL`, `DB INCR`, `ARCHIVELOG`, `DATAFILE FULL`, `DATAFILE INCR`, `CONTROLFILE`, `SPFILE`.
    pub object_type: Option<String>,
    pub autobackup_done: bool,
}

/// Everything of it in one control file.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Records {
    /// Last RECID given.
    pub last_recid: u32,
    /// Last SET_COUNT given.
    pub last_set: u32,
    /// Day (YYYYMMDD) and number of the last autobackup.
    pub last_autobackup: Option<(u32, u32)>,
    pub sets: Vec<BackupSet>,
    pub pieces: Vec<Piece>,
    pub copies: Vec<Copy>,
    pub statuses: Vec<Status>,
    /// CONFIGURE: names and values as V$RMAN_CONFIGURATION has them. A setting that is not there has its default.
    pub configuration: BTreeMap<String, String>,
    /// RECIDs of archived logs that CROSSCHECK did not find.
    pub expired_logs: Vec<u32>,
    /// V$BACKUP_CORRUPTION: file, block, set stamp, set count, piece.
    pub corruption: Vec<(u32, u32, u32, u32, u32)>,
}

impl Records {
    /// The next RECID of any record.
    pub fn recid(&mut self) -> u32 {
        self.last_recid += 1;
        self.last_recid
    }

    pub fn set(&self, stamp: u32, count: u32) -> Option<&BackupSet> {
        self.sets.iter().find(|s| (s.set_stamp, s.set_count) == (stamp, count))
    }

    /// Pieces of a set that are thought to be there, in order of their numbers; of several copies all.
    pub fn available(&self, set: &BackupSet) -> Vec<&Piece> {
        let mut found: Vec<&Piece> = self
            .pieces
            .iter()
            .filter(|p| {
                (p.set_stamp, p.set_count) == (set.set_stamp, set.set_count)
                    && p.status == PieceStatus::Available
            })
            .collect();
        found.sort_by_key(|p| (p.piece, p.copy, p.recid));
        found
    }

    /// Whether every piece of the set is thought to be there.
    pub fn complete(&self, set: &BackupSet) -> bool {
        let there = self.available(set);
        (1..=set.pieces).all(|n| there.iter().any(|p| p.piece == n))
    }
}
