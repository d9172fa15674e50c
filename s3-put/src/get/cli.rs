//! The command line of s3-get.

use std::path::PathBuf;

use clap::Parser;
use common::app::{Args, Common};
use common::values::{bytes, rate};

use super::place::Place;

/// Bring files back from S3 and prove that they are what was stored.
///
/// --manifests prints the records of the stored manifests: what there is to restore from. --dest downloads the objects
/// of the `object` records on standard input, or KEY…: ranges in parallel under a temporary name, every one of the same
/// object (ETag); then SHA-256 and S3's own checksum are compared, the file is synced and gets its name. A file that is
/// there with the same content is not fetched again; one with another content is never overwritten. A killed download
/// is continued.
#[derive(Debug, Clone, Parser)]
#[command(name = "s3-get", version, max_term_width = 100, after_help = AFTER_HELP)]
pub struct Cli {
    #[command(flatten)]
    pub place: Place,

    /// Print the records of the manifests below <prefix>manifests/, oldest first
    #[arg(long, conflicts_with_all = ["dest", "verify", "keys"])]
    pub manifests: bool,

    /// Only manifests stored since then: a duration as 35days, a date as 2026-11-01, or RFC 3339
    #[arg(long, value_name = "TIME", requires = "manifests")]
    pub since: Option<String>,

    /// Put the files into DIR, each under the last part of its key
    #[arg(long, value_name = "DIR", conflicts_with = "verify")]
    pub dest: Option<PathBuf>,

    /// Read the objects and compare their hashes, keep nothing
    #[arg(long)]
    pub verify: bool,

    /// Size of a range
    #[arg(long, value_name = "BYTES", default_value = "8m", value_parser = range_size)]
    pub range_size: u64,

    /// Fetch so many ranges at once. Memory is about (N + 2) times the size of a range
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub concurrency: u16,

    /// Use at most this rate for all transfers together: bytes per second with suffix k, m or g
    #[arg(long, value_name = "RATE", value_parser = rate)]
    pub bwlimit: Option<u64>,

    /// Fetch these objects; "-" reads records from standard input as well [default: only standard input]
    #[arg(value_name = "KEY")]
    pub keys: Vec<String>,

    #[command(flatten)]
    pub common: Common,
}

impl Args for Cli {
    const TOOL: &'static str = "s3-get";
    const ALIASES: &'static [(&'static str, &'static str)] =
        &[("AWS_DEFAULT_REGION", "AWS_REGION"), ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3")];

    fn common(&self) -> &Common {
        &self.common
    }
}

impl Cli {
    /// Whether records are read from standard input.
    pub fn reads_stdin(&self) -> bool {
        !self.manifests && (self.keys.is_empty() || self.keys.iter().any(|k| k == "-"))
    }
}

fn range_size(text: &str) -> Result<u64, String> {
    match bytes(text)? {
        size @ 65_536..=1_073_741_824 => Ok(size),
        _ => Err("from 64k to 1g".to_owned()),
    }
}

const AFTER_HELP: &str = "Records: file for each file that is whole and proven, with role, tag and contents of the \
records that led to it; log, planned. --verify writes an object record for each object instead.

Files: .<name>.orapipe-part and .<name>.orapipe-ranges in DIR while a file is fetched; s3-get.log in the log directory.

Example:
  s3-get --manifests | rman-run plan | s3-get --dest /restore | rman-run restore

Exit status:
  0    done, or nothing to do
  1    partial: some objects failed or could not be proven; the records name each
  2    failed, or a producer died; the records say what was changed
  3    unexpected error: a bug
  4    refused: access denied, no room, or another content under every name; nothing was changed
  5    finding: --verify found an object that is not what was stored
  64   wrong usage or configuration, no credentials, no such bucket
  75   try again: the server is unreachable; nothing was changed
  130  SIGINT, after clean-up; the next run goes on where this one stopped
  143  SIGTERM or SIGHUP, after clean-up; the same";

#[cfg(test)]
mod tests {
    use super::*;

    fn cli(args: &[&str]) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(std::iter::once("s3-get").chain(args.iter().copied()))
    }

    #[test]
    fn modes_that_exclude_each_other() {
        for args in [
            &["--manifests", "--dest", "/d"][..],
            &["--verify", "--dest", "/d"],
            &["--since", "1day"],
            &["--manifests", "key"],
            &["--range-size", "1k"],
        ] {
            assert!(cli(args).is_err(), "{args:?}");
        }
        assert!(cli(&["--verify"]).unwrap().reads_stdin());
        assert!(!cli(&["--manifests", "--since", "1day"]).unwrap().reads_stdin());
    }
}
