//! The command line: flags, the original's environment names, help.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use common::app::{Args, Common};
use common::infinibox::ArrayArgs;
use common::values::duration;

/// Take application-consistent InfiniBox snapshots of a running Oracle database.
///
/// Everything is looked up first: volumes, groups, names, limits, ARCHIVELOG mode, backup mode of somebody else. Then the
/// database is put in backup mode (read back from V$BACKUP), all data volumes are snapshot at one instant, backup mode
/// is ended (read back again), the current logs are archived and confirmed for all threads, and the archive volumes are
/// snapshot. One stamp is in all names of a run: orasync_data_<YYYY-MM-DD_HHMMSS>, with _<volume> behind it where there
/// are several volumes or a consistency group.
///
/// END BACKUP always happens, at --max-backup-mode at the latest, whatever the array does. A second process keeps backup
/// mode: it ends what it began when this one fails, is killed or stands still, and a journal in the state directory lets
/// the next run, or --end-backup, do it after a crash of the host.
///
/// A snapshot that the array took too late, or of which nobody knows when it was taken, is never counted. Metadata on
/// each snapshot tells whose it is, to which set it belongs, whether that set is complete, and the redo that it needs.
/// Never touched: snapshots that are not of this tool, and backup mode that somebody else began.
#[derive(Debug, Clone, Parser)]
#[command(name = "ib-snap", version, max_term_width = 100, after_help = AFTER_HELP)]
pub struct Cli {
    /// Volume with datafiles. May be repeated, or separated by commas
    #[arg(long, value_name = "VOLUME", env = "REPLICATED_DATA_VOLUMES", value_delimiter = ',')]
    pub data_volume: Vec<String>,

    /// Volume with archived logs. May be repeated, or separated by commas
    #[arg(long, value_name = "VOLUME", env = "REPLICATED_ARCHIVE_VOLUMES", value_delimiter = ',')]
    pub archive_volume: Vec<String>,

    /// Consistency group of the volumes with datafiles; volumes named besides must be its members
    #[arg(long, value_name = "CG")]
    pub data_cg: Option<String>,

    /// Consistency group of the volumes with archived logs
    #[arg(long, value_name = "CG")]
    pub archive_cg: Option<String>,

    /// Take no snapshots of archive volumes; the redo is archived all the same
    #[arg(long)]
    pub no_archive: bool,

    /// First word of all names of snapshots
    #[arg(long, value_name = "WORD", default_value = "orasync", value_parser = prefix)]
    pub prefix: String,

    /// Use UTC in the names instead of this host's zone, where one hour of the year comes twice
    #[arg(long)]
    pub utc: bool,

    /// Lock the snapshots: the array deletes them for nobody before that time. A date, a date and time (RFC 3339 or
    /// local), or a length of time from now. A lock cannot be shortened
    #[arg(long, value_name = "TIME", value_parser = lock_until)]
    pub lock_until: Option<LockUntil>,

    /// Take one snapshot per volume, all at the same time, instead of one atomic snapshot of all. Right only if each
    /// file system and each disk group lies on one volume; for arrays that know no group snapshots
    #[arg(long)]
    pub separate_snapshots: bool,

    /// End backup mode after so long, whatever the array does; the snapshots do not count then
    #[arg(long, value_name = "DURATION", default_value = "120s", value_parser = duration)]
    pub max_backup_mode: Duration,

    /// Refuse unless every datafile, and with archive snapshots every archive destination, lies on a listed volume, by
    /// mount, block device, LVM, multipath and WWN
    #[arg(long)]
    pub check_coverage: bool,

    /// Back up the control file into DIR, which lies on an archive volume, before that volume's snapshot
    #[arg(long, value_name = "DIR", conflicts_with = "no_archive")]
    pub controlfile_to: Option<PathBuf>,

    /// End backup mode that an earlier run of ours has left on, look after its snapshots, and nothing else. Fit for a
    /// boot unit
    #[arg(long)]
    pub end_backup: bool,

    /// Name for the log file [default: db and the SID]
    #[arg(long, value_name = "NAME", env = "ORACLE_SERVER")]
    pub oracle_server: Option<String>,

    /// Limit for one session of sqlplus, the checkpoint of BEGIN BACKUP included
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration)]
    pub sql_timeout: Duration,

    /// Limit for ARCHIVE LOG CURRENT and for the wait until the last log is archived
    #[arg(long, value_name = "DURATION", default_value = "15m", value_parser = duration)]
    pub archive_timeout: Duration,

    /// How to log on: "/ as sysdba" or "/@alias"; one with a password only by the environment [default: / as sysdba]
    #[arg(long, value_name = "LOGON", env = "SQLPLUS_CONNECTION_STRING", hide_env_values = true)]
    pub connect: Option<String>,

    #[command(flatten)]
    pub array: ArrayArgs,

    #[command(flatten)]
    pub common: Common,
}

impl Args for Cli {
    const TOOL: &'static str = "ib-snap";

    fn common(&self) -> &Common {
        &self.common
    }
}

/// The end of a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockUntil {
    /// Epoch milliseconds.
    Time(i64),
    /// From the time of the run on.
    For(Duration),
}

fn lock_until(text: &str) -> Result<LockUntil, String> {
    use chrono::{DateTime, Local, NaiveDate, NaiveDateTime, TimeZone};
    if let Ok(length) = humantime::parse_duration(text) {
        return match length {
            Duration::ZERO => Err("must be longer than nothing".to_owned()),
            length => Ok(LockUntil::For(length)),
        };
    }
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Ok(LockUntil::Time(time.timestamp_millis()));
    }
    let text = text.replace('T', " ");
    let local = ["%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M"]
        .iter()
        .find_map(|form| NaiveDateTime::parse_from_str(&text, form).ok())
        .or_else(|| NaiveDate::parse_from_str(&text, "%Y-%m-%d").ok()?.and_hms_opt(0, 0, 0));
    let local = local.and_then(|l| Local.from_local_datetime(&l).latest());
    local
        .map(|l| LockUntil::Time(l.timestamp_millis()))
        .ok_or_else(|| "a date, a date and time, or a length of time: 2026-12-31, 14days".to_owned())
}

fn prefix(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    if text.is_empty() || text.len() > 40 || !text.chars().all(plain) {
        return Err("letters, digits, _ - . only, at most 40".to_owned());
    }
    Ok(text.to_owned())
}

const AFTER_HELP: &str = "Records:
  snapshot         one snapshot that the array has confirmed, and whether its set is complete
  recovery_window  the redo that the set needs: SCNs, first and last sequence of each thread
  file             the backup of the control file, with SHA-256
  planned          with --dry-run: what would be done, and why
  log              warnings: a late snapshot, no force logging, metadata refused

Exit status:
  0    done: the set is complete
  1    partial: the data snapshots are good and the archive step or the marks failed; the set counts as incomplete
  2    failed; nothing of this run counts as a backup. The database is out of backup mode unless the message says that it
       may still be in it
  3    unexpected error: a bug
  4    refused: not ARCHIVELOG, backup mode of somebody else, a volume that is no volume, a file on no listed volume
  64   wrong usage or configuration
  75   try again: lock held, database or array unreachable; nothing was changed
  124  a time limit was hit, after END BACKUP
  130  SIGINT, after END BACKUP
  143  SIGTERM or SIGHUP, after END BACKUP

Example:
  SOURCE_INFINIBOX=ibox1 SOURCE_INFINIBOX_USER=orasnap SOURCE_INFINIBOX_PASSWORD_FILE=/etc/orapipe/ibox.pw \\
    ib-snap --data-volume ora-data1,ora-data2 --archive-volume ora-arch --check-coverage --ca-file /etc/orapipe/ibox.pem";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_ends_at_a_time_or_after_one() {
        assert_eq!(lock_until("14days"), Ok(LockUntil::For(Duration::from_secs(14 * 86400))));
        assert_eq!(lock_until("2026-12-31T00:00:00Z"), Ok(LockUntil::Time(1_798_675_200_000)));
        assert!(matches!(lock_until("2026-12-31"), Ok(LockUntil::Time(_))));
        assert!(matches!(lock_until("2026-12-31 10:00"), Ok(LockUntil::Time(_))));
        for bad in ["soon", "0s", "2026-13-01", ""] {
            assert!(lock_until(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_prefix_is_a_word() {
        assert!(prefix("orasync_PROD-1.x").is_ok());
        for bad in ["", "a b", "a/b", "é", &"x".repeat(41)] {
            assert!(prefix(bad).is_err(), "{bad}");
        }
    }
}
