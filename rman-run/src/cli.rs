//! The command line: what to do, flags, the originals' environment names, help.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use common::app::{Args, Common};
use common::values::duration;

// Named by path because the documentation generator compiles this file from another place.
#[path = "cli/backup.rs"]
mod backup;
#[path = "cli/drill.rs"]
mod drill;
#[path = "cli/plan.rs"]
mod plan;
#[path = "cli/restore.rs"]
mod restore;

pub use backup::{BackupArgs, Keep};
pub use drill::DrillArgs;
pub use plan::UntilArgs;
pub use restore::RestoreArgs;

/// Back up an Oracle database with RMAN and prove it; judge RMAN logs; plan a restore and run it.
///
/// RMAN ends with status 0 after backups that cannot be restored: files left out, a level 1 without its level 0, logs
/// that are gone. So the verdict is made of its status, its error stack, the sentences that hide a loss, the datafiles
/// of V$DATAFILE against those in this very backup, and every piece read back from disk.
///
/// What can be done:
///
///   full         incremental level 0, archived logs, control file, spfile, into a directory of its own
///
///   incremental  the same with level 1; says so when RMAN makes a level 0 of it
///
///   archivelog   archived logs, control file, spfile
///
///   validate     read all datafiles, archived logs and backups for damage; nothing is written
///
///   crosscheck   compare RMAN's repository with the disk; never deletes, names the holes in the chain of logs
///
///   status       what is protected now: last good backups, recoverable range, holes
///
///   check-log    the verdict on any RMAN log: check-log FILE…
///
///   plan         from the records of pieces on standard input the smallest set that restores to the target
///
///   restore      restore from the pieces on standard input or in RESTORE_SOURCE_DIR; restore FULL or INCREMENTAL
///
///   drill        on the standby: open it read only, ask test queries, put it back into recovery, leave evidence
#[derive(Debug, Clone, Parser)]
#[command(name = "rman-run", version, max_term_width = 100, after_help = AFTER_HELP)]
pub struct Cli {
    /// What to do; capitals work too
    #[arg(value_name = "COMMAND", value_enum, ignore_case = true, hide_possible_values = true)]
    pub command: Command,

    /// check-log: the logs to judge, "-" is standard input. restore: FULL or INCREMENTAL [default: what is best].
    /// plan: the same, and "-" for standard input
    #[arg(value_name = "ARG")]
    pub args: Vec<String>,

    /// How to log on to the target: "/", "/@alias"; one with a password only by the environment
    #[arg(
        long,
        value_name = "LOGON",
        env = "RMAN_TARGET_CONNECT_STRING",
        hide_env_values = true,
        default_value = "/"
    )]
    pub target: String,

    /// Log on to this recovery catalog too: "/@alias"; one with a password only by the environment
    /// [default: none, the control file is the repository]
    #[arg(long, value_name = "LOGON", env = "RMAN_CATALOG_CONNECT_STRING", hide_env_values = true)]
    pub catalog: Option<String>,

    /// Use so many channels; Standard Edition has one
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = channels)]
    pub channels: u32,

    /// Stop RMAN after so long
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = duration)]
    pub limit: Duration,

    #[command(flatten)]
    pub backup: BackupArgs,

    #[command(flatten)]
    pub until: UntilArgs,

    #[command(flatten)]
    pub restore: RestoreArgs,

    #[command(flatten)]
    pub drill: DrillArgs,

    #[command(flatten)]
    pub common: Common,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "kebab-case")]
pub enum Command {
    Full,
    Incremental,
    Archivelog,
    Validate,
    Crosscheck,
    Status,
    CheckLog,
    Plan,
    Restore,
    Drill,
}

impl Command {
    /// As it is typed.
    pub fn word(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Incremental => "incremental",
            Self::Archivelog => "archivelog",
            Self::Validate => "validate",
            Self::Crosscheck => "crosscheck",
            Self::Status => "status",
            Self::CheckLog => "check-log",
            Self::Plan => "plan",
            Self::Restore => "restore",
            Self::Drill => "drill",
        }
    }
}

impl Args for Cli {
    const TOOL: &'static str = "rman-run";

    fn common(&self) -> &Common {
        &self.common
    }
}

fn channels(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(n @ 1..=64) => Ok(n),
        _ => Err("a number from 1 to 64".to_owned()),
    }
}

/// Where pieces are: a name for messages and plans.
pub(crate) fn directory(text: &str) -> Result<PathBuf, String> {
    if text.contains(['\'', '"', '\n', '%']) {
        return Err(
            "a directory name without quotes, % and line ends: it is written into RMAN's FORMAT".to_owned()
        );
    }
    Ok(PathBuf::from(text))
}

const AFTER_HELP: &str = "Records:
  file      a backup piece: bytes, SHA-256, tag, level, contents; RMAN's own log
  gap       archived logs that are neither on disk nor in a backup
  log       findings with their RMAN- or ORA- code, meaning and severity
  drill     the evidence of a drill: SCN, queries with their answers, whether recovery goes on
  planned   with --dry-run: the steps and the RMAN script
  kept, removed   archived logs that were deleted after their backup was verified, or why not

Exit status:
  0    done, or nothing to do; check-log: a success
  1    partial: done with warnings; the records name each; check-log: a success with warnings
  2    failed; the records say what was changed; check-log: a failure
  3    unexpected error: a bug
  4    refused: not ARCHIVELOG, no space, disk not mounted, database open, no standby; nothing was changed
  5    finding: damage, a hole, a backup that is overdue, a target that cannot be reached, a drill whose standby does
       not open or answers something else
  64   wrong usage or configuration
  75   try again: lock held, database not reachable; nothing was changed
  124  a time limit was hit, after clean-up
  130  SIGINT, after clean-up
  143  SIGTERM or SIGHUP, after clean-up

Example:
  rman-run full --output-dir /u05/rman | s3-put --delete-source | mailreport";
