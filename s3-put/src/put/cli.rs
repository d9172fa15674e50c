//! The command line of s3-put: flags, the originals' environment names, help.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use common::app::{Args, Common};
use common::values::{bytes, rate};

use super::place::{prefix, Place};

/// Store files in S3 and prove that they are there.
///
/// Reads `file` records from standard input, passes every line on, and uploads the files; or uploads PATH…. A file
/// counts as stored when the server has confirmed the CRC64NVME of the whole object, which was computed while the file
/// was read, together with its SHA-256, and when the file has not changed meanwhile. A server that keeps no such
/// checksum is asked for the content again. An object that is already there is never overwritten.
///
/// A killed upload is continued by the next run, on this host or another: no finished part is sent twice.
#[derive(Debug, Clone, Parser)]
#[command(name = "s3-put", version, max_term_width = 100, after_help = AFTER_HELP)]
pub struct Cli {
    #[command(flatten)]
    pub place: Place,

    /// Key of an object: {prefix}, {yyyy}, {mm}, {dd} (day of the file's last change, local time), {name}, {role},
    /// {tag}, {db}, {run}, {host}
    #[arg(long, value_name = "TEMPLATE", default_value = "{prefix}{yyyy}/{mm}/{dd}/{name}")]
    pub key: String,

    /// Upload only files of this role, as backup_piece or archived_log. May be repeated [default: all]
    #[arg(long, value_name = "ROLE", value_delimiter = ',')]
    pub role: Vec<String>,

    /// Size of a part, at least 5m; larger by itself where a file would have more than 10,000 parts
    #[arg(long, value_name = "BYTES", default_value = "8m", value_parser = part_size)]
    pub part_size: u64,

    /// Send so many parts or small files at once. Memory is about (N + 2) times the size of a part
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub concurrency: u16,

    /// Storage class, as STANDARD_IA or GLACIER_IR
    #[arg(long, value_name = "CLASS")]
    pub storage_class: Option<String>,

    /// Encryption at the server: AES256, aws:kms or aws:kms:dsse
    #[arg(long, value_name = "METHOD")]
    pub sse: Option<String>,

    /// Key of the encryption; implies --sse aws:kms
    #[arg(long, value_name = "ID")]
    pub kms_key_id: Option<String>,

    /// Lock the objects until then: RFC 3339, or a duration from now on as 30days
    #[arg(long, value_name = "TIME")]
    pub object_lock_until: Option<String>,

    /// Who may shorten the lock: those with a special right, or nobody
    #[arg(
        long,
        value_name = "MODE",
        value_enum,
        default_value = "governance",
        requires = "object_lock_until"
    )]
    pub object_lock_mode: LockMode,

    /// Use at most this rate for all transfers together: bytes per second with suffix k, m or g
    #[arg(long, value_name = "RATE", value_parser = rate)]
    pub bwlimit: Option<u64>,

    /// Delete the local files after all uploads of the run are verified, the manifest is stored, and every producer
    /// has ended with success
    #[arg(long, conflicts_with = "no_manifest")]
    pub delete_source: bool,

    /// Store all records of the run as <prefix>manifests/YYYY/MM/DD/<run>.jsonl; this is the default
    #[arg(long, overrides_with = "no_manifest")]
    pub manifest: bool,

    /// Store no manifest
    #[arg(long)]
    pub no_manifest: bool,

    /// Upload the run's logs (records of role log, and our own) below PREFIX, and keep of the local ones the latest of
    /// FULL, today's of INCREMENTAL and the current one
    #[arg(long, value_name = "PREFIX", env = "S3_LOG_PREFIX", value_parser = prefix)]
    pub log_prefix: Option<String>,

    /// Abort unfinished uploads below the prefix that are older than --older-than, and forget them; upload nothing
    #[arg(long, conflicts_with_all = ["paths", "delete_source"])]
    pub cleanup: bool,

    /// Age from which --cleanup takes an upload as given up
    #[arg(long, value_name = "DURATION", default_value = "7days", value_parser = common::values::duration, requires = "cleanup")]
    pub older_than: Duration,

    /// Upload these files; "-" reads records from standard input as well [default: only standard input]
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,

    #[command(flatten)]
    pub common: Common,
}

/// Modes of an object lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LockMode {
    Governance,
    Compliance,
}

impl Args for Cli {
    const TOOL: &'static str = "s3-put";
    const ALIASES: &'static [(&'static str, &'static str)] =
        &[("AWS_DEFAULT_REGION", "AWS_REGION"), ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3")];

    fn common(&self) -> &Common {
        &self.common
    }
}

impl Cli {
    /// Whether records are read from standard input.
    pub fn reads_stdin(&self) -> bool {
        !self.cleanup && (self.paths.is_empty() || self.paths.iter().any(|p| p.as_os_str() == "-"))
    }

    /// Whether a manifest is stored.
    pub fn stores_manifest(&self) -> bool {
        !self.no_manifest
    }
}

fn part_size(text: &str) -> Result<u64, String> {
    match bytes(text)? {
        size @ 5_242_880..=5_368_709_120 => Ok(size),
        _ => Err("from 5m to 5g: S3 takes no smaller and no larger parts".to_owned()),
    }
}

const AFTER_HELP: &str = "Credentials come from where every AWS program takes them: AWS_ACCESS_KEY_ID and \
AWS_SECRET_ACCESS_KEY, AWS_PROFILE and ~/.aws, SSO, web identity, the ECS container, the EC2 instance. A certificate \
authority of your own: SSL_CERT_FILE.

Records: object for each file (status uploaded, resumed, present or failed), a file record of role manifest, removed \
for what was deleted, planned, log.

Files: s3-put/*.journal in the state directory, one per unfinished upload; s3-put.log in the log directory, or \
s3-put_<time>.log with --log-prefix.

Example:
  rman-run full | s3-put --bucket dba-backups --delete-source | mailreport

Exit status:
  0    done, or nothing to do
  1    partial: some files or the manifest failed; the records name each
  2    failed, or a producer died; the records say what was changed
  3    unexpected error: a bug
  4    refused: access denied, clock skew, or another content under every key; nothing was changed
  64   wrong usage or configuration, no credentials, no such bucket
  75   try again: the server is unreachable; nothing was changed
  130  SIGINT, after clean-up; the next run goes on where this one stopped
  143  SIGTERM or SIGHUP, after clean-up; the same";

#[cfg(test)]
mod tests {
    use super::*;

    fn cli(args: &[&str]) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(std::iter::once("s3-put").chain(args.iter().copied()))
    }

    #[test]
    fn parts_have_the_sizes_of_s3() {
        assert_eq!(cli(&["--part-size", "5m"]).unwrap().part_size, 5 << 20);
        assert!(cli(&["--part-size", "4m"]).is_err());
        assert!(cli(&["--part-size", "6g"]).is_err());
    }

    #[test]
    fn sources_are_not_deleted_without_a_manifest() {
        assert!(cli(&["--delete-source", "--no-manifest"]).is_err());
        assert!(cli(&["--delete-source"]).unwrap().stores_manifest());
        assert!(!cli(&["--no-manifest"]).unwrap().stores_manifest());
    }

    #[test]
    fn standard_input_is_read_without_paths_or_with_a_dash() {
        assert!(cli(&[]).unwrap().reads_stdin());
        assert!(!cli(&["a"]).unwrap().reads_stdin());
        assert!(cli(&["a", "-"]).unwrap().reads_stdin());
        assert!(!cli(&["--cleanup"]).unwrap().reads_stdin());
    }
}
