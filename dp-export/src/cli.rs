//! The command line: flags, the original's environment names, help.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use common::app::{Args, Common};
use common::values::{bytes, duration};
use common::weekday::Language;

/// Export schemas with Data Pump and judge what was exported.
///
/// Reads schemas as JSON lines on standard input, from ORACLE_USERS or from --schema, and runs expdp for each. The dump
/// is written under a name of its own and takes the place of the last one only when it is proven: expdp's exit status,
/// the final line of this very job, every ORA- code in the log, every table of the schema among those that were
/// exported, every dump file there and not too small. The last good dump is never lost to a failed run.
///
/// All tables of an export are as of one SCN unless --consistent no is given. A time limit stops the job in the server,
/// not only the client.
#[derive(Debug, Clone, Parser)]
#[command(name = "dp-export", version, max_term_width = 100, after_help = AFTER_HELP)]
pub struct Cli {
    /// "check-log FILE…" judges existing logs of expdp, impdp or exp ("-": standard input): 0 everything was saved,
    /// 1 warnings, 2 something is missing or failed. "-" alone reads schemas from standard input even with --schema
    #[arg(value_name = "check-log|-|FILE")]
    pub args: Vec<String>,

    /// Export this schema, logged on by --connect. May be repeated [default: standard input, else ORACLE_USERS]
    #[arg(long = "schema", value_name = "SCHEMA")]
    pub schemas: Vec<String>,

    /// The schemas as the original had them: a JSON list of objects with user, password and schema
    #[arg(long, value_name = "JSON", env = "ORACLE_USERS", hide_env_values = true, hide = true)]
    pub oracle_users: Option<String>,

    /// How --schema logs on: "/ as sysdba" or "/@alias"; one with a password only by the environment
    /// [default: / as sysdba]
    #[arg(long, value_name = "LOGON", env = "SQLPLUS_CONNECTION_STRING", hide_env_values = true)]
    pub connect: Option<String>,

    /// Directory object in the database that the dumps are written to
    #[arg(long, value_name = "NAME", env = "ORACLE_DIRECTORY", default_value = "DATA_PUMP_DIR")]
    pub directory: String,

    /// Net service name or host:port/service of the database [default: the instance named by ORACLE_SID]
    #[arg(long, value_name = "NAME", env = "ORACLE_SERVICE")]
    pub service: Option<String>,

    /// Where the dumps appear on this host [default: the path of the directory object]
    #[arg(long, value_name = "DIR", env = "DB_FOLDER")]
    pub dir: Option<PathBuf>,

    /// Name of the dump: {schema}, {weekday}, {date} (YYYY-MM-DD), {time} (HHMMSS), {db}, {run}; the log has .LOG
    #[arg(long, value_name = "TEMPLATE", default_value = "{schema}_{weekday}.DMP")]
    pub name: String,

    /// Language of {weekday}: segunda-feira or monday
    #[arg(long, value_name = "LANGUAGE", value_enum, default_value = "pt")]
    pub weekday_language: Language,

    /// Stop the job of a schema after this time, in the server too; a schema's own "timeout" comes first
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = duration)]
    pub timeout: Duration,

    /// A smaller dump is a failure: bytes with suffix k, m or g
    #[arg(long, value_name = "SIZE", default_value = "100k", value_parser = bytes)]
    pub min_bytes: u64,

    /// All tables as of one SCN (FLASHBACK_SCN); "no": each table as of its own moment
    #[arg(long, value_name = "yes|no", value_enum, default_value = "yes")]
    pub consistent: Consistent,

    /// Export so many schemas at once
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = jobs)]
    pub jobs: usize,

    /// Another parameter of expdp, such as EXCLUDE=STATISTICS or FILESIZE=4G. May be repeated
    #[arg(long = "parameter", value_name = "NAME=VALUE", value_parser = parameter)]
    pub parameters: Vec<(String, String)>,

    /// Limit for one session of sqlplus and for stopping a job
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration)]
    pub sql_timeout: Duration,

    #[command(flatten)]
    pub common: Common,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Consistent {
    #[value(alias = "on", alias = "true")]
    Yes,
    #[value(alias = "off", alias = "false")]
    No,
}

impl Args for Cli {
    const TOOL: &'static str = "dp-export";

    fn common(&self) -> &Common {
        &self.common
    }
}

fn jobs(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(n @ 1..=16) => Ok(n),
        _ => Err("a number from 1 to 16".to_owned()),
    }
}

/// Parameters that decide what is exported under which name as whom: those are ours.
const OURS: &[&str] = &[
    "USERID",
    "ATTACH",
    "DIRECTORY",
    "DUMPFILE",
    "LOGFILE",
    "NOLOGFILE",
    "JOB_NAME",
    "PARFILE",
    "SCHEMAS",
    "FULL",
    "TABLES",
    "TABLESPACES",
    "TRANSPORT_TABLESPACES",
    "FLASHBACK_SCN",
    "FLASHBACK_TIME",
    "REUSE_DUMPFILES",
    "ESTIMATE_ONLY",
    "ABORT_STEP",
    "KEEP_MASTER",
    "HELP",
    "ENCRYPTION_PASSWORD",
];

fn parameter(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    let name = name.trim().to_ascii_uppercase();
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Err(format!("{name:?} is not the name of a parameter"));
    }
    if OURS.contains(&name.as_str()) {
        return Err(format!("{name} is set by dp-export itself"));
    }
    if value.contains(['\n', '\r']) {
        return Err(format!("the value of {name} has a line end"));
    }
    Ok((name, value.trim().to_owned()))
}

const AFTER_HELP: &str = "Input, one line per schema:
  {\"user\":\"GOLD\",\"password_env\":\"GOLD_PW\",\"schema\":\"GOLD\",\"timeout\":\"3h\"}
  {\"user\":\"FIN\",\"password_file\":\"/etc/orapipe/fin.pw\"}      {\"schema\":\"HR\",\"wallet\":\"prod_hr\"}

Records:
  export   one schema: status, tables, rows, SCN, what was skipped and why
  file     each proven dump (role dump) and each log of expdp (role export_log), with SHA-256
  planned  with --dry-run: what would be exported to which name, and why
  log      warnings, and the findings of check-log

Exit status:
  0    done, or nothing to do
  1    partial: a schema failed, or something was left out of one; the records name each
  2    failed: no schema was exported; for check-log: something is missing or failed
  3    unexpected error: a bug
  4    refused: a guard said no; nothing was changed
  64   wrong usage or configuration
  75   try again: lock held or database unreachable; nothing was changed
  124  a time limit was hit by all that failed; the jobs were stopped in the server
  130  SIGINT, after the jobs were stopped
  143  SIGTERM or SIGHUP, after the jobs were stopped

Example:
  dp-export < schemas.jsonl | zip-rotate --dir /backup | mailreport --to dba@example.com";
