//! What a run needs before it does anything: settings checked, names chosen, lock held.

use std::path::PathBuf;

use chrono::{Local, SecondsFormat};
use common::app::{Args, Frame};
use common::exit::{Exit, Failure};
use common::lock::Lock;
use common::logfile::LogFile;
use common::oracle::connect::Connect;
use common::oracle::home::{Environment, Home};
use common::oracle::runner::Runner;
use common::oracle::sqlplus::Sqlplus;
use common::record::Log;
use common::settings;

use crate::cli::Cli;
use crate::expdp::{self, Expdp};
use crate::journal::{Entry, Journal};
use crate::plan::Policy;
use crate::spec::Spec;

/// Parameters that leave tables or rows out on purpose.
const FILTERS: &[&str] = &["INCLUDE", "QUERY", "CONTENT", "SAMPLE", "DATA_OPTIONS", "VIEWS_AS_TABLES"];

/// What EXCLUDE may name without leaving a table out: with these each table must still be exported.
const NO_TABLES: &[&str] = &[
    "STATISTICS",
    "TABLE_STATISTICS",
    "INDEX_STATISTICS",
    "INDEX",
    "CONSTRAINT",
    "REF_CONSTRAINT",
    "GRANT",
    "OBJECT_GRANT",
    "SYSTEM_GRANT",
    "ROLE_GRANT",
    "DEFAULT_ROLE",
    "TABLESPACE_QUOTA",
    "USER",
    "PASSWORD_HISTORY",
    "TRIGGER",
    "VIEW",
    "SYNONYM",
    "SEQUENCE",
    "PROCEDURE",
    "FUNCTION",
    "PACKAGE",
    "COMMENT",
    "DB_LINK",
    "JOB",
    "AUDIT",
    "MARKER",
];

/// Whether a parameter of expdp leaves tables or rows out on purpose.
fn filters((name, value): &(String, String)) -> bool {
    if name != "EXCLUDE" {
        return FILTERS.contains(&name.as_str());
    }
    // With names (INDEX:"LIKE 'X%'") there may be commas anywhere; those are not looked into.
    let harmless = |word: &str| NO_TABLES.iter().any(|n| n.eq_ignore_ascii_case(word.trim()));
    !value.split(',').all(harmless)
}

/// The programs for one schema's logon.
#[derive(Clone)]
pub struct Work {
    pub sqlplus: Sqlplus,
    pub expdp: Expdp,
}

/// Settings of a whole run.
pub struct Setup<'a> {
    pub cli: &'a Cli,
    pub frame: &'a Frame,
    pub db: String,
    pub policy: Policy,
    pub journal: Journal,
    pub left: Vec<Entry>,
    pub lock: Lock,
    pub log: LogFile,
    pub log_dir: PathBuf,
    private: PathBuf,
    pub filtered: bool,
    /// When the run began, RFC 3339 with the local offset.
    pub begun: String,
}

/// The policy that the command line states; no directory is made and no lock taken.
pub fn policy(cli: &Cli, frame: &Frame, db: &str) -> Policy {
    Policy {
        directory: cli.directory.trim().to_uppercase(),
        dir: cli.dir.clone(),
        name: cli.name.clone(),
        language: cli.weekday_language,
        timeout: cli.timeout,
        parameters: cli.parameters.clone(),
        db: db.to_owned(),
        run: frame.run.clone(),
        now: Local::now().naive_local(),
    }
}

/// Name of the database for files: the instance, else the service.
pub fn database(cli: &Cli) -> String {
    let sid = Environment::of_process().oracle_sid;
    let name = sid.or_else(|| cli.service.clone()).unwrap_or_else(|| "database".to_owned());
    name.replace(|c: char| !(c.is_ascii_alphanumeric() || "_-$#+".contains(c)), "_")
}

/// The connection of `--connect`.
///
/// # Errors
/// Not a logon, or one with a password on the command line.
pub fn connect(cli: &Cli) -> anyhow::Result<Connect> {
    if settings::on_command_line("--oracle-users") {
        return Err(Failure::new(
            Exit::Usage,
            "--oracle-users has passwords, and every user of this host can read arguments",
        )
        .hint("put them into ORACLE_USERS in an env file with mode 600")
        .into());
    }
    let text = cli.connect.as_deref().unwrap_or("/ as sysdba");
    Ok(Connect::of_setting(text, "--connect", "SQLPLUS_CONNECTION_STRING")?)
}

/// Where sqlplus of one schema logs on; for a dry run there is no transcript.
pub fn sqlplus(cli: &Cli, spec: &Spec) -> anyhow::Result<(Home, Sqlplus)> {
    let home = Home::locate(&Environment::of_process(), spec.connect.needs_sid())?;
    let sqlplus = Sqlplus::new(Runner::Local(home.clone()), spec.connect.clone()).limit(cli.sql_timeout);
    Ok((home, sqlplus))
}

impl<'a> Setup<'a> {
    pub fn new(cli: &'a Cli, frame: &'a Frame) -> anyhow::Result<Self> {
        let db = database(cli);
        let policy = policy(cli, frame, &db);
        let state_dir = cli.common.state_dir()?;
        let log_dir = cli.common.log_dir()?;
        let lock = Lock::take(
            &state_dir,
            &format!("dp-export.{db}"),
            Cli::TOOL,
            &frame.run,
            cli.common.lock_timeout,
        )?;
        let log = frame.log(&cli.common, "dp-export.log")?;
        let private = private_dir(&state_dir)?;
        expdp::clean(&private, &db)?;
        let (journal, left, aside) = Journal::open(&state_dir, &db)?;
        let filtered = cli.parameters.iter().any(filters);
        let begun = Local::now().to_rfc3339_opts(SecondsFormat::Secs, false);
        let setup =
            Self { cli, frame, db, policy, journal, left, lock, log, log_dir, private, filtered, begun };
        if let Some(aside) = aside {
            setup.say(Log::warning(format!(
                "the journal could not be understood; it is kept as {}",
                aside.display()
            )))?;
        }
        Ok(setup)
    }

    /// `n` is the number of the schema in the run.
    pub fn work(&self, spec: &Spec, n: usize) -> anyhow::Result<Work> {
        let (home, sqlplus) = sqlplus(self.cli, spec)?;
        let stamp = self.policy.now.format("%Y%m%d_%H%M%S");
        let name = spec.schema.replace(|c: char| !(c.is_ascii_alphanumeric() || "_$#".contains(c)), "_");
        // One run, one schema: two runs may begin in the same second, and two names may become the same here.
        let log = self.log_dir.join(format!("expdp_{name}_{stamp}_{}_{n}.log", std::process::id()));
        let transcript = self.log_dir.join("dp-export.sqlplus.log");
        let (private, db) = (self.private.clone(), self.db.clone());
        let expdp = Expdp { home, connect: spec.connect.clone(), private, db, log };
        Ok(Work { sqlplus: sqlplus.log(Some(transcript)), expdp })
    }

    /// A sentence for people and for mailreport.
    pub fn say(&self, record: Log) -> anyhow::Result<()> {
        self.log.say(&record);
        self.frame.out.emit(&record)
    }
}

fn private_dir(state_dir: &std::path::Path) -> anyhow::Result<PathBuf> {
    use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
    let dir = state_dir.join("dp-export.private");
    let made = std::fs::DirBuilder::new().mode(0o700).recursive(true).create(&dir);
    made.and_then(|()| std::fs::set_permissions(&dir, PermissionsExt::from_mode(0o700)))
        .map_err(|e| anyhow::anyhow!("make directory {}: {e}", dir.display()))?;
    Ok(dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaving_out_statistics_leaves_out_no_table() {
        let filters = |name: &str, value: &str| filters(&(name.to_owned(), value.to_owned()));
        assert!(!filters("EXCLUDE", "STATISTICS") && !filters("EXCLUDE", "statistics, index"));
        assert!(filters("EXCLUDE", "TABLE:\"LIKE 'TMP%'\"") && filters("EXCLUDE", "STATISTICS,TABLE"));
        assert!(filters("EXCLUDE", "INDEX:\"IN ('A','B')\"") && filters("INCLUDE", "TABLE"));
        assert!(!filters("FILESIZE", "4G"));
    }

    #[test]
    fn parameter_files_of_another_database_are_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let private = private_dir(dir.path()).unwrap();
        for name in ["A.orapipe_1.par", "AB.orapipe_1.par"] {
            std::fs::write(private.join(name), "userid=x").unwrap();
        }
        expdp::clean(&private, "A").unwrap();
        assert!(!private.join("A.orapipe_1.par").exists() && private.join("AB.orapipe_1.par").exists());
    }
}
