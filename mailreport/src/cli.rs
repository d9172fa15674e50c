//! The command line: flags, the originals' environment names, help.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use common::app::{Args, Common, Monitor};
use common::exit::Exit;
use common::values::duration;

/// Report a pipeline by mail, to Prometheus and to Nagios.
///
/// Reads the records of any pipeline on standard input, passes them on byte for byte, and sends one mail, as text and
/// as HTML: the verdict, what is protected now, durations and sizes beside the last runs, every failed item with its
/// code and a hint, the last lines of the logs. It is less than 100 KB whatever the input.
///
/// The verdict is "success" only when every tool ended with status 0 and nothing failed. A tool that began and never
/// ended has died, and one that --expect names and that never reported is missing: both are a critical failure, and so
/// is an input without any record.
///
/// The mail is in the spool, on disk, before the first attempt to send it and leaves it when the server has taken it.
/// What could not be sent goes first in the next run, or with --flush.
#[derive(Debug, Clone, Parser)]
#[command(name = "mailreport", version, max_term_width = 100, after_help = AFTER_HELP)]
pub struct Cli {
    /// Send the mail to ADDRESS. May be repeated, or a list with commas
    #[arg(long, value_name = "ADDRESS", env = "EMAIL_TO", value_delimiter = ',', help_heading = "Mail")]
    pub to: Vec<String>,

    /// Sender [default: user@host]
    #[arg(long, value_name = "ADDRESS", env = "EMAIL_FROM", help_heading = "Mail")]
    pub from: Option<String>,

    /// Put TEXT before the verdict in the subject
    #[arg(long, value_name = "TEXT", help_heading = "Mail")]
    pub subject_prefix: Option<String>,

    /// Language of the mail, its dates and numbers [default: pt when LC_ALL, LC_MESSAGES or LANG begins with pt, else en]
    #[arg(long, value_name = "LANGUAGE", value_enum, help_heading = "Mail")]
    pub language: Option<Language>,

    /// Send the mail always, only when the verdict is not "success", or only when it differs from the last one of
    /// --history
    #[arg(long, value_name = "WHEN", value_enum, default_value = "always", help_heading = "Mail")]
    pub only: Only,

    /// Tools that must have reported: a pipeline without one of them is a critical failure. TOOL:DB and TOOL:DB@HOST
    /// expect it from one database, where the records are of many
    #[arg(long, value_name = "TOOL[:DB[@HOST]],…", value_delimiter = ',', help_heading = "Mail")]
    pub expect: Vec<String>,

    /// Keep one line per run in FILE, for the charts, the last good backups and --only change
    #[arg(long, value_name = "FILE", required_if_eq("only", "change"), help_heading = "Mail")]
    pub history: Option<PathBuf>,

    /// Mail server
    #[arg(long, value_name = "HOST", env = "SMTP_SERVER", help_heading = "Delivery")]
    pub smtp_server: Option<String>,

    /// Port of the mail server
    #[arg(long, value_name = "PORT", env = "SMTP_PORT", default_value_t = 587, help_heading = "Delivery")]
    pub smtp_port: u16,

    /// How the connection is encrypted: by STARTTLS, which the server must offer, by TLS from the first byte, or not
    /// [default: implicit on port 465, none on port 25, else starttls]
    #[arg(
        long,
        value_name = "HOW",
        env = "SMTP_TLS",
        value_enum,
        ignore_case = true,
        help_heading = "Delivery"
    )]
    pub smtp_tls: Option<Tls>,

    /// Trust the certificates in FILE (PEM) and no others [default: those of the system]
    #[arg(long, value_name = "FILE", env = "SMTP_CA_FILE", help_heading = "Delivery")]
    pub smtp_ca_file: Option<PathBuf>,

    /// Log on as USER. The password comes from SMTP_PASSWORD or --smtp-password-file
    #[arg(long, value_name = "USER", env = "SMTP_USERNAME", help_heading = "Delivery")]
    pub smtp_username: Option<String>,

    /// The password; from the environment or the env file only, refused on the command line
    #[arg(
        long,
        value_name = "PASSWORD",
        env = "SMTP_PASSWORD",
        hide_env_values = true,
        help_heading = "Delivery"
    )]
    pub smtp_password: Option<String>,

    /// Read the password from the first line of FILE, which only its owner may read
    #[arg(long, value_name = "FILE", env = "SMTP_PASSWORD_FILE", help_heading = "Delivery")]
    pub smtp_password_file: Option<PathBuf>,

    /// Longest time for one step of the dialogue with the server; five times as long for its answer to the whole mail
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration, help_heading = "Delivery")]
    pub smtp_timeout: Duration,

    /// Hand the mail to a local program, called with -t -i, instead of a server [default program: /usr/sbin/sendmail]
    #[arg(
        long,
        value_name = "PROGRAM",
        num_args = 0..=1,
        default_missing_value = "/usr/sbin/sendmail",
        help_heading = "Delivery"
    )]
    pub sendmail: Option<PathBuf>,

    /// Keep mails that could not be sent in DIR [default: spool in the state directory]
    #[arg(long, value_name = "DIR", help_heading = "Delivery")]
    pub spool: Option<PathBuf>,

    /// Only send what is in the spool; reads no records
    #[arg(long, conflicts_with_all = ["test", "nagios", "ping", "prometheus", "output", "html"], help_heading = "Delivery")]
    pub flush: bool,

    /// Send a mail that says it is a test; reads no records
    #[arg(long, conflicts_with_all = ["nagios", "ping", "prometheus", "history", "expect"], help_heading = "Delivery")]
    pub test: bool,

    /// Write the mail to FILE (.eml) as well; without SMTP_SERVER and --sendmail that is all
    #[arg(long, value_name = "FILE", help_heading = "Other reports")]
    pub output: Option<PathBuf>,

    /// Write the HTML part to FILE
    #[arg(long, value_name = "FILE", help_heading = "Other reports")]
    pub html: Option<PathBuf>,

    /// Write metrics to FILE for the textfile collector of the node exporter; its name must end in .prom. One file per
    /// pipeline: of orapipe_NAME.prom every metric gets the label pipeline="NAME"
    #[arg(long, value_name = "FILE", value_parser = prom_file, help_heading = "Other reports")]
    pub prometheus: Option<PathBuf>,

    /// Print one status line with performance data instead of records, and exit with 0 to 3 as Nagios wants it
    #[arg(long, help_heading = "Other reports")]
    pub nagios: bool,

    /// Request URL after a success and URL/fail after anything else, as healthchecks.io wants it
    #[arg(long, value_name = "URL", value_parser = ping_url, help_heading = "Other reports")]
    pub ping: Option<String>,

    #[command(flatten)]
    pub common: Common,
}

/// Language of the mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Language {
    Pt,
    En,
}

/// When the mail is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Only {
    Failure,
    Change,
    Always,
}

/// How the connection is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Tls {
    Starttls,
    Implicit,
    None,
}

impl Args for Cli {
    const TOOL: &'static str = "mailreport";

    fn common(&self) -> &Common {
        &self.common
    }

    fn monitor(args: &[OsString]) -> Option<Monitor> {
        args.iter().any(|a| a == "--nagios").then_some(nagios_line as Monitor)
    }
}

/// The status line, once the run has made one.
pub static STATUS_LINE: OnceLock<(String, u8)> = OnceLock::new();

fn nagios_line(exit: Exit, message: Option<&str>) -> (String, u8) {
    match STATUS_LINE.get() {
        Some(line) => line.clone(),
        None => {
            let message = message.unwrap_or("no report was made").replace(['\n', '|'], " ");
            (format!("ORAPIPE UNKNOWN - status {}: {message}\n", exit.code()), 3)
        }
    }
}

impl Cli {
    /// The language asked for, else that of the locale.
    pub fn language(&self) -> Language {
        let locale = || {
            let set = |name| std::env::var(name).ok().filter(|v| !v.is_empty());
            set("LC_ALL").or_else(|| set("LC_MESSAGES")).or_else(|| set("LANG")).unwrap_or_default()
        };
        self.language.unwrap_or_else(|| {
            if locale().to_ascii_lowercase().starts_with("pt") {
                Language::Pt
            } else {
                Language::En
            }
        })
    }

    /// Whether there is something other than a mail to make.
    pub fn reports_elsewhere(&self) -> bool {
        self.output.is_some()
            || self.html.is_some()
            || self.prometheus.is_some()
            || self.nagios
            || self.ping.is_some()
    }
}

fn prom_file(text: &str) -> Result<PathBuf, String> {
    if text.ends_with(".prom") {
        Ok(PathBuf::from(text))
    } else {
        Err("the node exporter reads only names that end in .prom".to_owned())
    }
}

fn ping_url(text: &str) -> Result<String, String> {
    let rest = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"))
        .ok_or("a URL that begins with http:// or https://")?;
    let host = rest.split(['/', '?']).next().unwrap_or_default();
    if host.contains('@') {
        return Err("a password on the command line shows in the list of processes".to_owned());
    }
    if host.is_empty() || text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err("there is no host in it, or a blank".to_owned());
    }
    Ok(text.to_owned())
}

const AFTER_HELP: &str = "Records: what came in, byte for byte; mail (sent, spooled, written), planned, log.

Files: spool/*.mail (mails that wait), spool/failed/*.mail (mails that a server refused for good) in the state directory.

Example:
  dp-export --schema HR | zip-rotate --dir /backup | mailreport --to dba@example.com --expect dp-export,zip-rotate \\
  --history /var/lib/orapipe/nightly.jsonl

Exit status:
  0    the pipeline was a success and the mail was sent or written
  1    the pipeline was partial, or there is only a problem with the mail: it waits in the spool
  2    the pipeline failed, a tool died or never reported
  3    unexpected error: a bug
  4    refused: a guard said no, nothing was changed
  5    finding: a tool of the pipeline found a problem (gap, corruption, mismatch, not recoverable)
  64   wrong usage or configuration
  75   try again: a tool of the pipeline found the lock held or the other side unreachable
  124  a time limit was hit in the pipeline
  130  SIGINT, after clean-up
  143  SIGTERM or SIGHUP, after clean-up
  With --nagios: 0 OK, 1 WARNING (partial), 2 CRITICAL, 3 UNKNOWN (a bug, wrong usage)";

#[cfg(test)]
mod tests {
    use super::*;

    fn cli(args: &[&str]) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(std::iter::once("mailreport").chain(args.iter().copied()))
    }

    #[test]
    fn sendmail_needs_no_program() {
        let parsed = cli(&["--sendmail", "--to", "a@b.c,d@e.f"]).unwrap();
        assert_eq!(parsed.sendmail, Some("/usr/sbin/sendmail".into()));
        assert_eq!(parsed.to, ["a@b.c", "d@e.f"]);
        assert_eq!(cli(&["--sendmail", "/x/y"]).unwrap().sendmail, Some("/x/y".into()));
    }

    #[test]
    fn what_cannot_work_is_refused() {
        for args in [
            &["--only", "change"][..],
            &["--flush", "--test"],
            &["--prometheus", "/tmp/orapipe.txt"],
            &["--ping", "https://user:secret@hc/x"],
            &["--ping", "ftp://x"],
            &["--smtp-timeout", "0s"],
            &["--smtp-tls", "ssl"],
        ] {
            assert!(cli(args).is_err(), "{args:?}");
        }
        assert!(cli(&["--only", "change", "--history", "/h", "--smtp-tls", "STARTTLS"]).is_ok());
    }
}
