//! The command line: flags, the originals' environment names, help.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use common::app::{Args, Common};
use common::remote::TargetArgs;
use common::values::{duration, rate};

/// Copy the tablespaces of a running database to the standby host in backup mode.
///
/// One tablespace at a time is put in backup mode (read back from V$BACKUP), its datafiles are copied in parallel with
/// rsync, size and header of each copy are checked there, backup mode is ended (read back again), and only then the
/// copies get their names. SYSTEM, SYSAUX and undo come last. Then the current logs are archived, a standby control
/// file is made and shipped, and the recovery scripts for the standby are written: together with the archived logs
/// of the printed window the copy is a standby.
///
/// END BACKUP always happens. A second process keeps backup mode: it ends what it began when this one fails, is
/// killed or stands still, and a journal in the state directory lets the next run, or --end-backup, do it after a
/// crash of the host.
///
/// What is done in this cycle is not done again: run it again after a failure and it goes on. A finished cycle is
/// closed and the next run begins a new one. Never touched: temporary files, online redo logs, the database's own
/// files, and backup mode that somebody else began.
#[derive(Debug, Clone, Parser)]
#[command(name = "ts-hotbackup", version, max_term_width = 100, after_help = AFTER_HELP)]
pub struct Cli {
    #[command(flatten)]
    pub standby: TargetArgs,

    /// Put datafiles below SRC below DST at the standby; the longest SRC wins. May be repeated, or separated by commas
    #[arg(long, value_name = "SRC=DST", env = "PATH_MAP")]
    pub map: Vec<String>,

    /// Put datafiles that no --map covers directly into DIR [default: none, such a file is an error]
    #[arg(long, value_name = "DIR", env = "DEST_DATAFILE_BASE")]
    pub dest_base: Option<PathBuf>,

    /// Put the standby control file and the recovery scripts into DIR at the standby [default: --dest-base, else the
    /// directory of the copy of datafile 1]
    #[arg(long, value_name = "DIR", env = "DEST_STANDBY_DIR")]
    pub standby_dir: Option<PathBuf>,

    /// Where archived logs arrive at the standby: the RMAN script catalogues them from there. Without it they have to be
    /// catalogued by hand, or by arch-ship --register
    #[arg(long, value_name = "DIR", env = "DEST_ARCHLOG_DIR")]
    pub archlog_dir: Option<PathBuf>,

    /// Copy at most N datafiles at once
    #[arg(long, value_name = "N", env = "PARALLEL_WORKERS", default_value_t = 4, value_parser = workers)]
    pub workers: usize,

    /// Leave out tablespaces whose name matches RE; temporary ones are always left out
    #[arg(long, value_name = "RE", env = "EXCLUDE_TS")]
    pub exclude: Option<String>,

    /// Copy tablespaces whose name matches RE last [default: SYSTEM, SYSAUX and undo]
    #[arg(long, value_name = "RE", env = "CORE_TS")]
    pub last: Option<String>,

    /// End backup mode of a tablespace after so long even if its copy is not done; it counts as failed then
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub max_backup_mode: Option<Duration>,

    /// Begin a new cycle: copy everything again
    #[arg(long, conflicts_with_all = ["end_backup", "status"])]
    pub new_cycle: bool,

    /// End backup mode that an earlier run of ours has left on, and nothing else. Fit for a boot unit
    #[arg(long, conflicts_with_all = ["status", "tablespaces"])]
    pub end_backup: bool,

    /// Show what of this cycle is done and which files are in backup mode, since when and by whom; change nothing
    #[arg(long, conflicts_with = "tablespaces")]
    pub status: bool,

    /// End a transfer or a remote command that has been silent for so long
    #[arg(long, value_name = "DURATION", default_value = "300s", value_parser = duration)]
    pub io_timeout: Duration,

    /// Try a transfer so many times more after a failure of the network
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub retries: u32,

    /// Use at most this rate for all transfers together: bytes per second with suffix k, m or g
    #[arg(long, value_name = "RATE", value_parser = rate)]
    pub bwlimit: Option<u64>,

    /// Limit for one session of sqlplus, the checkpoint of BEGIN BACKUP included
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration)]
    pub sql_timeout: Duration,

    /// Limit for ARCHIVE LOG CURRENT and for the wait until the last log is archived
    #[arg(long, value_name = "DURATION", default_value = "15m", value_parser = duration)]
    pub archive_timeout: Duration,

    /// How to log on: "/ as sysdba" or "/@alias"; one with a password only by the environment [default: / as sysdba]
    #[arg(long, value_name = "LOGON", env = "SQLPLUS_CONNECTION_STRING", hide_env_values = true)]
    pub connect: Option<String>,

    /// Copy these tablespaces only: name as in the dictionary, PDB:NAME in a pluggable database
    #[arg(value_name = "TABLESPACE")]
    pub tablespaces: Vec<String>,

    #[command(flatten)]
    pub common: Common,
}

impl Args for Cli {
    const TOOL: &'static str = "ts-hotbackup";
    const ALIASES: &'static [(&'static str, &'static str)] =
        &[("DRSERVER", "DEST_HOST"), ("SSHUSER", "DEST_USER"), ("DESTBASEDIR", "DEST_ARCHLOG_DIR")];

    fn common(&self) -> &Common {
        &self.common
    }
}

fn workers(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(n @ 1..=10) => Ok(n),
        _ => Err("a number from 1 to 10: sshd drops connections at random above ten".to_owned()),
    }
}

const AFTER_HELP: &str = "Records:
  tablespace       what became of it: SCNs at BEGIN and END, seconds in backup mode
  datafile         one copy: where, bytes, checkpoint SCN in its header
  file             standby control file, pfile and recovery scripts, with SHA-256
  recovery_window  the redo that the copies need: SCNs, first and last sequence of each thread
  planned          with --dry-run: what would be done, and why
  log              warnings: no force logging, a closed pluggable database, unlogged changes

Exit status:
  0    done, or nothing to do
  1    partial: a tablespace failed or is missing; the records name each, run it again
  2    failed; the records say what was changed
  3    unexpected error: a bug
  4    refused: not ARCHIVELOG, a file without a place at the standby, no space, backup mode of somebody else
  5    finding: --status found files in backup mode; a log that the copies need is gone
  64   wrong usage or configuration
  75   try again: lock held, database or standby unreachable; nothing was changed
  124  a time limit was hit, after END BACKUP
  130  SIGINT, after END BACKUP
  143  SIGTERM or SIGHUP, after END BACKUP

Example:
  ts-hotbackup --dest-host dr1 --map /u05=/u15 --map /u06=/u16 --archlog-dir /u15/arch";
