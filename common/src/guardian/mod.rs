//! The keeper of backup mode: END BACKUP happens even when the tool that wanted BEGIN BACKUP is killed.
//!
//! The keeper is a second process, the tool's own binary started with [`ARGUMENT`], in a session of its own. It alone
//! runs the SQL*Plus sessions for BEGIN BACKUP, for reading it back and for END BACKUP, so that backup mode has one
//! owner and a BEGIN of the tool can never come after the keeper's END. The tool asks over a pipe ([`Keeper`]). When
//! the pipe ends without a farewell, the tool is dead, by whatever signal: the keeper stops the dead run's other
//! programs, ends what it began, and only then ends itself. A journal in the state directory, written before every
//! BEGIN, lets the next run do the same after a crash of the host.
//!
//! INT, TERM and HUP do not end a keeper that has obligations. When the keeper itself is killed, [`Keeper`] starts
//! another one, which takes the obligations over from the journal.

mod client;
mod database;
mod journal;
mod keeper;
mod orphans;
mod protocol;
mod settle;

pub use client::{Begun, Ended, Keeper, Settings};
pub use database::{read_all, Identity};
pub use journal::{Entry, Journal, JournalFile};
pub use keeper::run_if_asked;
pub use settle::{judge, Verdict};

use serde::{Deserialize, Serialize};

/// Stops every program that a dead run has left, found by its [`RUN_MARK`]: TERM, two seconds, KILL. Returns how many
/// there were.
pub fn stop_programs_of(run: &str) -> usize {
    orphans::stop(RUN_MARK, run)
}

/// First argument of the keeper process. Hidden: nobody types it.
pub const ARGUMENT: &str = "__guardian";

/// Environment variable that marks every program of a run, so that the keeper of a killed run finds them.
pub const RUN_MARK: &str = "ORAPIPE_RUN";

/// What is put in backup mode at once.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// `ALTER DATABASE BEGIN BACKUP`: all online read-write files.
    Database,
    Tablespace {
        /// `None` in the root and in a database without containers.
        container: Option<String>,
        name: String,
    },
}

impl std::fmt::Display for Scope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Database => f.write_str("the database"),
            Self::Tablespace { container: Some(container), name } => {
                write!(f, "tablespace {container}:{name}")
            }
            Self::Tablespace { container: None, name } => write!(f, "tablespace {name}"),
        }
    }
}

/// A datafile as V$DATAFILE, V$BACKUP and V$DATAFILE_HEADER have it at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileState {
    pub file: u64,
    pub path: String,
    /// V$BACKUP.STATUS is ACTIVE.
    pub active: bool,
    /// V$BACKUP.CHANGE#: SCN of the last BEGIN BACKUP.
    pub change: Option<u64>,
    /// V$BACKUP.TIME, by the database's clock.
    pub since: Option<String>,
    /// CHECKPOINT_CHANGE# in the file's header; frozen in backup mode. Read only where it was asked for.
    pub checkpoint: Option<u64>,
}

#[cfg(test)]
mod tests;
