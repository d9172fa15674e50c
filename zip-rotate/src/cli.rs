//! The command line: flags, the originals' environment names, help.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use common::app::{Args, Common};
use common::values::duration;
use common::weekday::Language;

/// Pack dumps into one ZIP, prove it, copy it, and rotate.
///
/// The files are those of the `file` records with role dump or export_log on standard input, or the named ones. They
/// become one standard ZIP, which takes its name only when it was read back from the disk and every member had the
/// CRC-32 and the SHA-256 of what was read for it. Then it is copied to each --copy-to, where the copy is read back and
/// compared as well. Only when all that is done, and the run that made the dumps was a success, old archives go.
///
/// The newest good archive and --keep-min always stay. An archive that lacks something, that is dated in the future or
/// that cannot be read counts for nothing and never makes a good one disposable. Files of others are never touched.
#[derive(Debug, Clone, Parser)]
#[command(name = "zip-rotate", version, max_term_width = 100, after_help = AFTER_HELP)]
pub struct Cli {
    /// Keep the archives in DIR
    #[arg(long, value_name = "DIR", env = "DB_FOLDER")]
    pub dir: Option<PathBuf>,

    /// Name of the archive; {weekday}, {date} as 2026-11-20, {time} as 031500 and {db} are replaced. It also tells
    /// which files of the directory are ours
    #[arg(long, value_name = "NAME", default_value = "backup_{weekday}_{date}.zip", value_parser = template)]
    pub name: String,

    /// Language of {weekday}: segunda-feira or monday
    #[arg(long, value_name = "pt|en", value_enum, default_value_t = Language::Pt)]
    pub weekday_language: Language,

    /// How hard to compress, on zlib's scale: 1 is fast, 9 is small
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(u8).range(1..=9))]
    pub level: u8,

    /// Compress as fast as possible: the same as --level 1
    #[arg(long, conflicts_with = "level")]
    pub fast: bool,

    /// Compress on N threads [default: one per processor, at most 8]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=32))]
    pub threads: Option<u8>,

    /// Copy the archive to DIR as well, for example a network directory. May be repeated
    #[arg(long, value_name = "DIR", env = "CLOUD_FOLDER", value_delimiter = ',')]
    pub copy_to: Vec<PathBuf>,

    /// File that must be in each --copy-to: proof that it is the directory that is meant, and mounted
    #[arg(long, value_name = "NAME")]
    pub copy_sentinel: Option<PathBuf>,

    /// Refuse a --copy-to on the file system of --dir: the network directory is not mounted then
    #[arg(long)]
    pub require_mount: bool,

    /// Give a --copy-to up when it has answered nothing for so long
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration)]
    pub copy_timeout: Duration,

    /// Remove archives that are older than N days
    #[arg(long, value_name = "N", env = "RETENTION_DAYS", default_value_t = 10)]
    pub keep_days: u32,

    /// Keep the N newest good archives whatever their age
    #[arg(long, value_name = "N", env = "KEEP_MINIMUM_BACKUPS", default_value_t = 2)]
    pub keep_min: u32,

    /// Keep at most N good archives, but never fewer than --keep-min
    #[arg(long, value_name = "N", env = "MAX_TOTAL_BACKUPS", default_value_t = 7)]
    pub keep_max: u32,

    /// Afterwards remove the dumps and export logs of earlier days that are, byte for byte, in a proven archive
    #[arg(long)]
    pub remove_dumps: bool,

    /// Pack nothing; only apply the retention to --dir and each --copy-to
    #[arg(long, conflicts_with_all = ["verify", "simulate", "paths"])]
    pub rotate_only: bool,

    /// Read an archive, or all archives of a directory, and check every member; status 5 when one is damaged
    #[arg(long, value_name = "PATH", conflicts_with_all = ["simulate", "paths"])]
    pub verify: Option<PathBuf>,

    /// Print what the retention will keep and remove on each of so many days with one archive a day
    #[arg(long, value_name = "DURATION", conflicts_with = "paths", value_parser = duration)]
    pub simulate: Option<Duration>,

    /// Pack these files; without any, the records on standard input name them
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,

    #[command(flatten)]
    pub common: Common,
}

impl Args for Cli {
    const TOOL: &'static str = "zip-rotate";

    fn common(&self) -> &Common {
        &self.common
    }
}

impl Cli {
    /// The level in force.
    pub fn level(&self) -> u8 {
        if self.fast {
            1
        } else {
            self.level
        }
    }

    /// Threads that compress.
    pub fn threads(&self) -> usize {
        match self.threads {
            Some(n) => usize::from(n),
            None => std::thread::available_parallelism().map_or(1, usize::from).min(8),
        }
    }
}

fn template(text: &str) -> Result<String, String> {
    if text.contains('/') || text.starts_with('.') || text.is_empty() {
        return Err("a file name: no slash, no dot at its beginning".to_owned());
    }
    if !text.to_ascii_lowercase().ends_with(".zip") {
        return Err("a name that ends in .zip".to_owned());
    }
    let mut rest = text.to_owned();
    for known in ["{weekday}", "{date}", "{time}", "{db}"] {
        rest = rest.replace(known, "");
    }
    if rest.contains(['{', '}']) {
        return Err("{weekday}, {date}, {time} and {db} are what can be replaced".to_owned());
    }
    if !text.contains("{date}") && !text.contains("{weekday}") {
        return Err(
            "a name with {date} or {weekday}: else each archive would replace the one before".to_owned()
        );
    }
    Ok(text.to_owned())
}

const AFTER_HELP: &str = "Records: file (role archive) for the archive and for each copy, kept, removed, planned, log. \
Records on standard input are passed on.

Files: <name>.zip with a member zip-rotate.jsonl that tells what is in it; zip-rotate.proofs in the state directory \
(which archives were read and were good); zip-rotate.log in the log directory.

Example:
  dp-export < schemas.jsonl | zip-rotate --dir /u03/dumps --copy-to /mnt/backup/dumps --copy-sentinel .mounted

Exit status:
  0    done, or nothing to do
  1    partial: a file is missing in the archive, or a copy failed; nothing was removed then
  2    failed: no archive was made; what was there is untouched
  3    unexpected error: a bug
  4    refused: not enough space, a policy that keeps nothing; nothing was changed
  5    finding: --verify found a damaged archive
  64   wrong usage or configuration
  75   try again: lock held; nothing was changed
  124  a time limit was hit, after clean-up
  130  SIGINT, after clean-up
  143  SIGTERM or SIGHUP, after clean-up";

#[cfg(test)]
mod tests {
    use super::*;

    fn cli(args: &[&str]) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(std::iter::once("zip-rotate").chain(args.iter().copied()))
    }

    #[test]
    fn the_defaults_are_the_originals() {
        let cli = cli(&[]).unwrap();
        assert_eq!((cli.keep_days, cli.keep_min, cli.keep_max, cli.level()), (10, 2, 7, 6));
        assert_eq!(cli.name, "backup_{weekday}_{date}.zip");
        assert_eq!(cli.weekday_language, Language::Pt);
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for args in [
            &["--name", "backup.zip"][..],
            &["--name", "a/{date}.zip"],
            &["--name", "{day}_{date}.zip"],
            &["--name", "{date}.tar"],
            &["--name", ".{date}.zip"],
            &["--level", "0"],
            &["--fast", "--level", "6"],
            &["--copy-timeout", "0"],
            &["--rotate-only", "/a.dmp"],
            &["--verify", "/a.zip", "--simulate", "40d"],
        ] {
            assert!(cli(args).is_err(), "{args:?}");
        }
        assert_eq!(cli(&["--fast"]).unwrap().level(), 1);
    }
}
