//! Faults of the physics: what can be broken in a running instance.

use serde::{Deserialize, Serialize};

/// Settable at run time with `Instance::set_faults`, and kept beside the instance so that a restart does not heal it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Faults {
    /// Overrides the archiver's speed, in bytes per second.
    pub archiver_bytes_per_second: Option<u64>,
    /// The archiver does nothing: ARCHIVE LOG CURRENT waits.
    pub archiver_stuck: bool,
    /// Local destinations (LOG_ARCHIVE_DEST_n) that answer "no space left on device" in the middle of the file.
    pub full_dests: Vec<u32>,
    /// How long a waiting ARCHIVE LOG CURRENT waits before it answers ORA-16038/19502 or ORA-00257, in milliseconds; `None`
    /// is for ever.
    pub archive_wait_limit_ms: Option<u64>,
    /// (thread, sequence) of logs whose archived files vanish as soon as they have been archived; the rows stay.
    pub lose_archived: Vec<(u16, u32)>,
    /// The next so many redo writes never reach the log (lost writes of the disk).
    pub lose_redo_writes: u32,
    /// How long the checkpoint of BEGIN BACKUP takes, in milliseconds.
    pub begin_backup_ms: u64,
    /// How long END BACKUP takes, in milliseconds.
    pub end_backup_ms: u64,
    /// BEGIN BACKUP fails with this code (0 = no).
    pub begin_backup_error: u32,
    /// END BACKUP fails with this code (0 = no).
    pub end_backup_error: u32,
    /// RMAN's pieces whose writing fails: ORA-19502 with an I/O error after so many blocks of a set.
    pub piece_fails_after_blocks: Option<u32>,
    /// The same with "no space left on device".
    pub piece_no_space_after_blocks: Option<u32>,
    /// The server process of an RMAN backup dies after so many blocks of a set: the half piece stays, no row is made.
    pub backup_dies_after_blocks: Option<u32>,
    /// PROTECTION_MODE of V$DATABASE, where it is not MAXIMUM PERFORMANCE. Only the word: nothing waits for a standby here.
    pub protection_mode: Option<String>,
    /// So many instances more in GV$INSTANCE. Only the rows.
    pub other_instances: u32,
    /// Started with a PFILE: the parameter spfile is empty.
    pub no_spfile: bool,
    /// A primary sends redo by itself: a row RFS among the processes. Nothing arrives.
    pub receives_redo: bool,
    /// Pluggable databases that OPEN leaves as they are.
    pub pdbs_stay_mounted: Vec<String>,
}
