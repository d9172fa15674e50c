//! What is known of the backups of one database: sets, what they hold, and whether they can still be read.

use std::collections::HashMap;

/// An SCN.
pub type Scn = u64;

/// NEXT_CHANGE# from which on a log has no known end: it was archived while it was current.
pub const OPEN_END: Scn = 0xffff_ffff_ffff;

/// A backup set, or a single file that is used like one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Set {
    /// V$BACKUP_SET.SET_STAMP and SET_COUNT; 0 and a running number for a file that is no backup piece.
    pub stamp: u64,
    pub count: u64,
    /// Number of pieces; all are needed.
    pub pieces: u32,
    /// A usable copy of each piece is known.
    pub available: bool,
    /// Bytes to fetch, for the cheapest copy of each piece; 0 for an archived log that is on disk.
    pub bytes: u64,
    /// Nothing has to be fetched: it is on disk.
    pub on_disk: bool,
    /// When it was completed, in seconds; only for the order of equals.
    pub completed: i64,
    /// The first piece of which no usable copy is known.
    pub lacking: u32,
}

/// A datafile in a set: V$BACKUP_DATAFILE.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DatafileItem {
    pub set: u32,
    pub file: u32,
    /// 0 or 1; `None` for a plain full backup.
    pub level: Option<u8>,
    pub incremental: Scn,
    pub checkpoint: Scn,
    pub fuzzy: Scn,
    pub resetlogs: Scn,
    pub creation: Scn,
    /// Time of the checkpoint in seconds.
    pub time: Option<i64>,
}

impl DatafileItem {
    /// Whether it can be restored without another backup.
    pub fn is_base(&self) -> bool {
        self.incremental == 0 || (self.creation > 0 && self.incremental <= self.creation)
    }

    /// Highest SCN of any of its blocks.
    pub fn highest(&self) -> Scn {
        self.fuzzy
    }
}

/// An archived log in a set or on disk: V$BACKUP_REDOLOG, V$ARCHIVED_LOG.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LogItem {
    pub set: u32,
    pub thread: u32,
    pub sequence: u64,
    pub first: Scn,
    pub next: Scn,
    pub first_time: Option<i64>,
    pub next_time: Option<i64>,
    pub resetlogs: Scn,
    pub resetlogs_id: Option<u64>,
}

/// A control file in a set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ControlfileItem {
    pub set: u32,
    pub checkpoint: Scn,
    pub time: Option<i64>,
    pub resetlogs: Scn,
    /// Index into [`Catalogue::structures`]; `None` when the record does not tell.
    pub structure: Option<u32>,
}

/// A datafile in a control file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileFact {
    pub file: u32,
    pub creation: Scn,
    pub read_only_since: Option<Scn>,
    pub offline_change: Option<Scn>,
}

/// A redo thread in a control file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Thread {
    pub thread: u32,
    pub enabled: Scn,
    pub disabled: Option<Scn>,
}

/// An incarnation in a control file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Incarnation {
    pub resetlogs: Scn,
    pub id: u64,
    pub prior: Option<Scn>,
}

/// The structure of the database as one or more control files have it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Structure {
    /// In the order of [`FileFact`].
    pub files: Vec<FileFact>,
    pub threads: Vec<Thread>,
    pub incarnations: Vec<Incarnation>,
}

impl Structure {
    pub fn file(&self, file: u32, creation: Scn) -> Option<&FileFact> {
        let from = self.files.partition_point(|f| (f.file, f.creation) < (file, creation));
        self.files.get(from).filter(|f| (f.file, f.creation) == (file, creation))
    }
}

/// A server parameter file in a set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SpfileItem {
    pub set: u32,
    pub modified: Option<i64>,
}

/// Everything.
#[derive(Debug, Clone, Default)]
pub struct Catalogue {
    pub sets: Vec<Set>,
    pub datafiles: Vec<DatafileItem>,
    pub logs: Vec<LogItem>,
    pub controlfiles: Vec<ControlfileItem>,
    pub spfiles: Vec<SpfileItem>,
    pub structures: Vec<Structure>,
    pub interned: HashMap<Structure, u32>,
}

impl Catalogue {
    /// The set can be read.
    pub fn available(&self, set: u32) -> bool {
        self.sets.get(set as usize).is_some_and(|s| s.available)
    }

    /// Keeps equal structures once: a thousand control files have perhaps ten.
    pub fn intern(&mut self, mut structure: Structure) -> u32 {
        structure.files.sort_unstable();
        structure.threads.sort_unstable();
        structure.incarnations.sort_unstable();
        if let Some(&known) = self.interned.get(&structure) {
            return known;
        }
        let index = self.structures.len() as u32;
        self.structures.push(structure.clone());
        self.interned.insert(structure, index);
        index
    }
}

/// Where recovery ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// The latest point that can be reached.
    Latest,
    /// All redo below this SCN.
    Scn(Scn),
    /// All redo before this second of the database's clock.
    Time(i64),
    /// All redo before this log.
    Sequence { thread: u32, sequence: u64 },
}
