//! The command line: flags, the originals' environment names, help.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use common::app::{Args, Common};
use common::remote::TargetArgs;
use common::values::{duration, rate};

/// Ship archived redo logs to the standby and prove that they arrived.
///
/// A log counts as shipped when it was complete at the source by its own header, was received under a temporary name,
/// has the same hash there, was synced, and was then renamed to its final name. A reader at the standby never sees
/// half a log. A log that is already there with the same content is not sent again; a half file that an earlier script
/// left under the final name is completed; a different file is reported and never overwritten.
///
/// Logs are found in directories (--source-dir) or in V$ARCHIVED_LOG. Without --dest-host the destination is a
/// directory of this machine, for example an NFS mount.
#[derive(Debug, Clone, Parser)]
#[command(name = "arch-ship", version, max_term_width = 100, after_help = AFTER_HELP)]
pub struct Cli {
    /// Look for archived logs below DIR: in date directories (YYYY_MM_DD) and directly. May be repeated
    #[arg(long, value_name = "DIR", env = "SOURCEBASEDIR", value_delimiter = ',')]
    pub source_dir: Vec<PathBuf>,

    /// Put the logs below DIR at the standby [second name of the setting: DESTBASEDIR]
    #[arg(long, value_name = "DIR", env = "DEST_ARCHLOG_DIR")]
    pub dest_dir: Option<PathBuf>,

    /// Another place at the standby where a log may already be. May be repeated
    #[arg(long, value_name = "DIR", env = "DESTBASEDIR_U15", value_delimiter = ',')]
    pub also_at: Vec<PathBuf>,

    #[command(flatten)]
    pub standby: TargetArgs,

    /// File of shell settings that is sourced first at the standby
    #[arg(long, value_name = "FILE", env = "STANDBY_PROFILE")]
    pub standby_profile: Option<String>,

    /// ORACLE_HOME at the standby [default: from its oratab]
    #[arg(long, value_name = "DIR", env = "STANDBY_ORACLE_HOME")]
    pub standby_oracle_home: Option<String>,

    /// ORACLE_SID at the standby [default: from its oratab]
    #[arg(long, value_name = "SID", env = "STANDBY_SID")]
    pub standby_sid: Option<String>,

    /// Use at most N transfers at once; fewer where a fast network gains nothing from more
    #[arg(long, value_name = "N", env = "MAXWORKERS", default_value_t = 5, value_parser = workers)]
    pub workers: usize,

    /// Ship only sequences from N on
    #[arg(long, value_name = "N", env = "SEQ_FILTER_MIN")]
    pub seq_min: Option<u64>,

    /// Ship only sequences up to N
    #[arg(long, value_name = "N", env = "SEQ_FILTER_MAX")]
    pub seq_max: Option<u64>,

    /// Ship only this redo thread
    #[arg(long, value_name = "N|all", env = "THREAD", default_value = "all", value_parser = thread)]
    pub thread: Threads,

    /// Where to find the logs: in the directories or in V$ARCHIVED_LOG [default: scan with --source-dir, else database]
    #[arg(long, value_name = "HOW", env = "DISCOVER", value_enum)]
    pub discover: Option<Discover>,

    /// What the standby has applied: ask it, take nothing as applied, or a sequence up to which all is applied
    #[arg(long, value_name = "query|none|N", env = "APPLIED", default_value = "query", value_parser = applied)]
    pub applied: AppliedFrom,

    /// Ship every log with NEXT_CHANGE# above this SCN; "capture" takes the current SCN once and keeps it
    #[arg(long, value_name = "capture|N", env = "SCN_CUTOFF", value_parser = cutoff)]
    pub scn_cutoff: Option<Cutoff>,

    /// Go on for ever: one cycle every --interval, and at once when a new log appears
    #[arg(long, conflicts_with_all = ["status", "verify", "files", "dry_run"])]
    pub follow: bool,

    /// Time between two cycles of --follow; a bare number is seconds
    #[arg(long, value_name = "DURATION", env = "SLEEP_INTERVAL", default_value = "60s", value_parser = duration)]
    pub interval: Duration,

    /// End a transfer or a remote command that has been silent for so long
    #[arg(long, value_name = "DURATION", default_value = "300s", value_parser = duration)]
    pub io_timeout: Duration,

    /// Try a transfer so many times more after a failure of the network
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub retries: u32,

    /// Use at most this rate for all transfers together: bytes per second with suffix k, m or g
    #[arg(long, value_name = "RATE", value_parser = rate)]
    pub bwlimit: Option<u64>,

    /// Take identity from the name and completeness from a stable size, not from the log's own header
    #[arg(long)]
    pub no_header_check: bool,

    /// Form of the names with --no-header-check, as LOG_ARCHIVE_FORMAT: %t thread, %s sequence, %r resetlogs id
    #[arg(long, value_name = "FORMAT", requires = "no_header_check")]
    pub name_pattern: Option<String>,

    /// Print one `standby` record and a `gap` record for each hole; ship nothing. Status 5 when there is a gap
    #[arg(long, conflicts_with_all = ["verify", "files"])]
    pub status: bool,

    /// Re-check every log at the standby against the source or the recorded hash; ship nothing
    #[arg(long, conflicts_with = "files")]
    pub verify: bool,

    /// Catalogue at the standby (RMAN CATALOG ARCHIVELOG) what has been shipped and is not catalogued yet
    #[arg(long, conflicts_with_all = ["status", "verify"])]
    pub register: bool,

    /// Ship these logs only, whatever --thread, --seq-min, --seq-max, --applied and --scn-cutoff say; "-" reads
    /// archived_log and file records from standard input
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,

    #[command(flatten)]
    pub common: Common,
}

/// How logs are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Discover {
    Scan,
    Database,
}

/// Which redo threads are shipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Threads {
    All,
    One(u64),
}

/// Where knowledge of what the standby has applied comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AppliedFrom {
    Query,
    None,
    Sequence(u64),
}

/// Where the SCN cut-off comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cutoff {
    Capture,
    Scn(u64),
}

impl Args for Cli {
    const TOOL: &'static str = "arch-ship";
    const ALIASES: &'static [(&'static str, &'static str)] =
        &[("DESTBASEDIR", "DEST_ARCHLOG_DIR"), ("DRSERVER", "DEST_HOST"), ("SSHUSER", "DEST_USER")];

    fn common(&self) -> &Common {
        &self.common
    }
}

impl Cli {
    /// How logs are found: as asked, else by whether there is a directory to look in.
    pub fn discover(&self) -> Discover {
        self.discover.unwrap_or(if self.source_dir.is_empty() { Discover::Database } else { Discover::Scan })
    }

    /// Whether records are read from standard input.
    pub fn reads_stdin(&self) -> bool {
        self.files.iter().any(|f| f.as_os_str() == "-")
    }
}

fn workers(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(n @ 1..=10) => Ok(n),
        _ => Err("a number from 1 to 10: sshd drops connections at random above ten".to_owned()),
    }
}

fn thread(text: &str) -> Result<Threads, String> {
    match text.parse() {
        Ok(n @ 1..) => Ok(Threads::One(n)),
        _ if text.eq_ignore_ascii_case("all") => Ok(Threads::All),
        _ => Err("a thread number or \"all\"".to_owned()),
    }
}

fn applied(text: &str) -> Result<AppliedFrom, String> {
    match text {
        "query" => Ok(AppliedFrom::Query),
        "none" => Ok(AppliedFrom::None),
        _ => text.parse().map(AppliedFrom::Sequence).map_err(|_| "query, none or a sequence".to_owned()),
    }
}

fn cutoff(text: &str) -> Result<Cutoff, String> {
    match text {
        "capture" => Ok(Cutoff::Capture),
        // 1.2346E+10 is what SQL*Plus prints of an SCN that has lost its lower half.
        _ => text.parse().map(Cutoff::Scn).map_err(|_| "\"capture\" or an SCN in digits".to_owned()),
    }
}

const AFTER_HELP: &str = "Records: archived_log for each log that was looked at and is needed, gap, standby, planned, \
log.

Files: last_arch_seq_thread<N>.<SID> (last contiguous verified sequence), scn_cutoff.<SID> in the state directory; \
archivelog_replication.log, or copy_archivelog_to_<host>.log with --follow, in the log directory.

Example:
  arch-ship --source-dir /u02/fra/PROD/archivelog --dest-host dr1 --dest-user oracle --dest-dir /u02/arch

Exit status:
  0    done, or nothing to do
  1    partial: some logs failed; the records name each
  2    failed; the records say what was changed
  3    unexpected error: a bug
  4    refused: a guard said no, nothing was changed
  5    finding: there is a gap, or --verify found a difference
  64   wrong usage or configuration
  75   try again: lock held, or the standby unreachable; nothing was changed
  124  a time limit was hit, after clean-up
  130  SIGINT, after clean-up
  143  SIGTERM, or SIGHUP without --follow, after clean-up";

#[cfg(test)]
mod tests {
    use super::*;

    fn cli(args: &[&str]) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(std::iter::once("arch-ship").chain(args.iter().copied()))
    }

    #[test]
    fn discovery_follows_the_source_directory() {
        assert_eq!(cli(&[]).unwrap().discover(), Discover::Database);
        assert_eq!(cli(&["--source-dir", "/a"]).unwrap().discover(), Discover::Scan);
        let both = cli(&["--source-dir", "/a", "--discover", "database"]).unwrap();
        assert_eq!(both.discover(), Discover::Database);
    }

    #[test]
    fn a_rounded_scn_is_refused() {
        assert!(cli(&["--scn-cutoff", "1.2346E+10"]).is_err());
        assert_eq!(
            cli(&["--scn-cutoff", "12345678901"]).unwrap().scn_cutoff,
            Some(Cutoff::Scn(12_345_678_901))
        );
    }

    #[test]
    fn the_originals_values_are_understood() {
        let cli = cli(&["--interval", "60", "--ssh-option", "-p 2222 -i key", "--bwlimit", "10m"]).unwrap();
        assert_eq!(cli.interval, Duration::from_secs(60));
        assert_eq!(cli.standby.ssh_option, ["-p 2222 -i key"]);
        assert_eq!(cli.bwlimit, Some(10 << 20));
        assert_eq!((cli.workers, cli.retries, cli.io_timeout), (5, 5, Duration::from_secs(300)));
    }

    #[test]
    fn modes_that_exclude_each_other() {
        for args in [
            &["--follow", "--status"][..],
            &["--verify", "x.arc"],
            &["--workers", "11"],
            &["--thread", "0"],
            &["--follow", "--dry-run"],
            &["--name-pattern", "%t_%s_%r.arc"],
        ] {
            assert!(cli(args).is_err(), "{args:?}");
        }
    }
}
