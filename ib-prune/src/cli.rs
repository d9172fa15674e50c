//! The command line: flags, the originals' environment names, help.

use std::time::Duration;

use clap::Parser;
use common::app::{Args, Common};
use common::infinibox::ArrayArgs;
use common::values::duration;

/// Delete InfiniBox snapshots of ib-snap that the retention no longer needs.
///
/// Every snapshot is looked at, then it is decided what goes, then each one is looked at again right before its deletion.
/// Only snapshots of our own go: by name, type, parent and metadata; without metadata, what the original script has left
/// goes by its name. A set (data and archive snapshots of one run) goes as a whole or not at all, the data first. The
/// newest complete sets of each database always stay, and so does what is locked, mapped, cloned, replicated, or needed
/// by another snapshot that stays.
///
/// A snapshot's age is counted by the array's clock. Deleted is deleted: the array has no way back.
#[derive(Debug, Clone, Parser)]
#[command(name = "ib-prune", version, max_term_width = 100, after_help = AFTER_HELP)]
pub struct Cli {
    /// Delete sets that are older than AGE: 14days, 36h; a bare number is days
    #[arg(long, value_name = "AGE", default_value = "14days", value_parser = age)]
    pub older_than: Duration,

    /// Only snapshots whose name contains TEXT: the prefix that ib-snap has given them, or a part of the name that narrows
    /// the choice
    #[arg(long = "match", value_name = "TEXT", default_value = "orasync", value_parser = text)]
    pub word: String,

    /// Keep the N newest complete sets (data and archive) of each database whatever their age
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub keep_last: usize,

    /// Leave snapshots without metadata alone: those of the original script, and those of arrays that store none
    #[arg(long)]
    pub require_metadata: bool,

    /// Refuse to delete more than N sets, or more than N% of the sets, of one database in one run; a percentage allows five
    /// sets in any case
    #[arg(long, value_name = "N|N%", default_value = "50%", value_parser = limit)]
    pub max_delete: Limit,

    /// Delete more than --max-delete allows: the first run on an array with old leftovers
    #[arg(long)]
    pub force: bool,

    /// Go on although the clocks of the array and of this host differ by more than ten minutes, or the array does not tell
    /// its time
    #[arg(long)]
    pub ignore_clock_difference: bool,

    /// Data volumes of the database, for snapshots without metadata: they and --archive-volume belong together. Without
    /// them it is concluded from the times. May be repeated
    #[arg(long, value_name = "VOLUME", env = "REPLICATED_DATA_VOLUMES", value_delimiter = ',')]
    pub data_volume: Vec<String>,

    /// Archive volumes of the database, for snapshots without metadata. May be repeated
    #[arg(long, value_name = "VOLUME", env = "REPLICATED_ARCHIVE_VOLUMES", value_delimiter = ',')]
    pub archive_volume: Vec<String>,

    /// Print what would be kept and deleted on each of so many days, with a new set every --simulate-every. Begins with
    /// what is on the array, if one is named, else with nothing; changes nothing
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub simulate: Option<Duration>,

    /// Time between two new sets of --simulate
    #[arg(long, value_name = "DURATION", default_value = "1day", value_parser = duration, requires = "simulate")]
    pub simulate_every: Duration,

    #[command(flatten)]
    pub array: ArrayArgs,

    #[command(flatten)]
    pub common: Common,
}

/// The most that one run may delete of one database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Per cent of its sets; a handful is always fine.
    Share(usize),
    Sets(usize),
}

impl Args for Cli {
    const TOOL: &'static str = "ib-prune";

    fn common(&self) -> &Common {
        &self.common
    }
}

/// The original counted in days.
fn age(text: &str) -> Result<Duration, String> {
    match text.parse::<u32>() {
        Ok(days) => duration(&format!("{days}days")),
        Err(_) => duration(text),
    }
}

fn text(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err("a part of a name: with none, every snapshot would be meant".to_owned()),
        found => Ok(found.to_owned()),
    }
}

fn limit(text: &str) -> Result<Limit, String> {
    let found = match text.strip_suffix('%') {
        Some(share) => share.parse().ok().filter(|n| (1..=100).contains(n)).map(Limit::Share),
        None => text.parse().ok().map(Limit::Sets),
    };
    found.ok_or_else(|| "a number of sets, or a percentage as 50%".to_owned())
}

const AFTER_HELP: &str = "Records: removed for each snapshot that is gone, kept with the reason for each other one that \
is ours or has the word in its name, planned with --dry-run and --simulate, log. Records on standard input are passed on; \
when the run before has died or failed, nothing is deleted.

Files: ib-prune.log in the log directory, ib-prune.<array>.lock in the state directory.

Example:
  ib-prune --older-than 14days --keep-last 3 --dry-run

Exit status:
  0    done, or nothing to do
  1    partial: a snapshot could not be deleted; the records name each
  2    failed: the array refused every deletion, or stopped answering; the records say what is gone
  3    unexpected error: a bug
  4    refused: clocks that differ, too many deletions, a policy that keeps nothing; nothing was changed
  64   wrong usage or configuration
  75   try again: lock held, or the array unreachable; nothing was changed
  130  SIGINT, after the set at hand
  143  SIGTERM or SIGHUP, after the set at hand";

#[cfg(test)]
mod tests {
    use super::*;

    fn cli(args: &[&str]) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(std::iter::once("ib-prune").chain(args.iter().copied()))
    }

    #[test]
    fn the_defaults_are_the_contracts() {
        let cli = cli(&[]).unwrap();
        assert_eq!(cli.older_than, Duration::from_secs(14 * 86_400));
        assert_eq!((cli.word.as_str(), cli.keep_last), ("orasync", 1));
        assert_eq!(cli.max_delete, Limit::Share(50));
    }

    #[test]
    fn ages_are_days_where_nothing_else_is_said() {
        let age = |text| cli(&["--older-than", text]).map(|c| c.older_than.as_secs());
        assert_eq!(age("20").unwrap(), 20 * 86_400);
        assert_eq!(age("36h").unwrap(), 36 * 3600);
        for bad in ["0", "-1", "", "soon", "0days"] {
            assert!(age(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for args in [
            &["--match", ""][..],
            &["--match", "  "],
            &["--max-delete", "0%"],
            &["--max-delete", "101%"],
            &["--max-delete", "many"],
            &["--simulate-every", "1h"],
            &["--simulate", "0d"],
        ] {
            assert!(cli(args).is_err(), "{args:?}");
        }
        assert_eq!(cli(&["--max-delete", "100%"]).unwrap().max_delete, Limit::Share(100));
        assert_eq!(cli(&["--max-delete", "0"]).unwrap().max_delete, Limit::Sets(0));
        assert!(cli(&["--simulate", "10d", "--simulate-every", "1h"]).is_ok());
    }
}
