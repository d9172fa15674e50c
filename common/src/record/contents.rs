//! What a backup set holds: the facts from which a restore is planned without the database.

use serde::{Deserialize, Serialize};

/// One thing in a backup set, as V$BACKUP_FILES and its sisters tell it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Content {
    Datafile(DatafileContent),
    ArchivedLog(LogContent),
    /// Boxed: it carries the structure of the database and is large.
    Controlfile(Box<ControlfileContent>),
    Spfile(SpfileContent),
    /// One that a newer tool knows.
    #[serde(other)]
    Other,
}

/// A datafile as of one checkpoint: V$BACKUP_DATAFILE.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DatafileContent {
    /// V$DATAFILE.FILE#.
    pub file: u64,
    /// 0 or 1; absent for a plain full backup, on which no level 1 can build.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<u64>,
    /// INCREMENTAL_CHANGE#: blocks changed since this SCN are in it. 0 for a full copy of the file.
    #[serde(default)]
    pub incremental_change: u64,
    /// CHECKPOINT_CHANGE#: redo from this SCN on must be applied after it is restored.
    pub checkpoint_change: u64,
    /// ABSOLUTE_FUZZY_CHANGE#: highest SCN in any block, when above the checkpoint; recovery must pass it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fuzzy_change: Option<u64>,
    /// Time of the checkpoint, as the database's clock had it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint_time: Option<String>,
    /// RESETLOGS_CHANGE# of the incarnation in which it was made.
    pub resetlogs_change: u64,
    /// CREATION_CHANGE# of the datafile: tells a file apart from a dropped one of the same number.
    #[serde(default)]
    pub creation_change: u64,
    /// Size of the datafile in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
}

/// An archived log: V$BACKUP_REDOLOG.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LogContent {
    /// Redo thread.
    pub thread: u64,
    /// Log sequence number.
    pub sequence: u64,
    /// First SCN in the log.
    pub first_change: u64,
    /// First SCN of the next log.
    pub next_change: u64,
    /// Time of the first SCN, as the database's clock had it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_time: Option<String>,
    /// Time of the next log's first SCN, as the database's clock had it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_time: Option<String>,
    /// RESETLOGS_CHANGE# of its incarnation.
    pub resetlogs_change: u64,
    /// RESETLOGS_ID of its incarnation, the %r of LOG_ARCHIVE_FORMAT.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resetlogs_id: Option<u64>,
}

/// A control file and the structure of the database that it describes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ControlfileContent {
    /// CHECKPOINT_CHANGE# of the control file.
    pub checkpoint_change: u64,
    /// Time of the checkpoint, as the database's clock had it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint_time: Option<String>,
    /// RESETLOGS_CHANGE# of the current incarnation.
    pub resetlogs_change: u64,
    /// Whether the piece is an autobackup, which RESTORE … FROM AUTOBACKUP finds by its name.
    #[serde(default)]
    pub autobackup: bool,
    /// The datafiles that the database had: V$DATAFILE.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub datafiles: Vec<DatafileFact>,
    /// The redo threads: V$THREAD.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub threads: Vec<ThreadFact>,
    /// The incarnations: V$DATABASE_INCARNATION.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub incarnations: Vec<IncarnationFact>,
}

/// A datafile that belongs to the database.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DatafileFact {
    /// V$DATAFILE.FILE#.
    pub file: u64,
    /// Its path in the database.
    pub path: String,
    /// Name of its tablespace.
    pub tablespace: String,
    /// CREATION_CHANGE#.
    pub creation_change: u64,
    /// Size in bytes.
    pub bytes: u64,
    /// Checkpoint SCN since which the file is read only: no redo has to be applied to a backup made at it or later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_only_since: Option<u64>,
    /// OFFLINE_CHANGE# of a file that was offline: it cannot be brought beyond it by this backup alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offline_change: Option<u64>,
}

/// A redo thread.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ThreadFact {
    /// Redo thread.
    pub thread: u64,
    /// ENABLE_CHANGE#: it has redo from this SCN on.
    pub enabled_change: u64,
    /// DISABLE_CHANGE#, when it was disabled: it has no redo from this SCN on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled_change: Option<u64>,
}

/// An incarnation of the database.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct IncarnationFact {
    /// RESETLOGS_CHANGE#.
    pub resetlogs_change: u64,
    /// RESETLOGS_ID.
    pub resetlogs_id: u64,
    /// RESETLOGS_CHANGE# of the incarnation that it branched from, at SCN `resetlogs_change`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prior_resetlogs_change: Option<u64>,
    /// CURRENT, PARENT or ORPHAN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
}

/// A server parameter file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SpfileContent {
    /// When it was last changed, as the database's clock had it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modified: Option<String>,
}
