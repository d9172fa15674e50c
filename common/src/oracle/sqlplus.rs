//! One SQL*Plus session per call: everything on standard input, success only when proven.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use super::connect::Connect;
use super::reply::{self, Reply, Seen, Trouble};
use super::runner::{shell_failure, Runner};
use super::script::{Kind, Marks, Script};
use super::sql_error::{SqlError, SqlErrorKind};
use crate::exit::{Exit, Failure};
use crate::explain::{self, Nature};
use crate::process::{Cmd, Done, Ended};
use crate::secret::redact;

/// The settings of FACTS 1.3. They come after CONNECT because glogin.sql runs then and may have changed any of them.
/// What an old release does not know (MARKUP CSV) it refuses before the first query, where that does no harm.
/// SERVEROUTPUT is off: its package is not there while a standby is only mounted. The first two lines differ: should
/// CONNECT ask for a new password (ORA-28001), it takes them for that and for its repetition, and refuses.
const SETTINGS: &str = "\
SET TERMOUT ON ECHO OFF VERIFY OFF
SET SQLPROMPT ''
SET DEFINE OFF
SET PAUSE OFF
SET SHOWMODE OFF
SET SQLCASE MIXED
SET MARKUP HTML OFF
SET MARKUP CSV OFF
SET ERRORLOGGING OFF
SET PAGESIZE 0
SET NEWPAGE NONE
SET HEADING OFF
SET FEEDBACK OFF
SET LINESIZE 32767
SET LONG 200000
SET LONGCHUNKSIZE 32767
SET TRIMOUT ON
SET TRIMSPOOL ON
SET TAB OFF
SET WRAP ON
SET RECSEP OFF
SET EMBEDDED OFF
SET NULL ''
SET COLSEP ' '
SET NUMWIDTH 40
SET NUMFORMAT \"\"
SET TIMING OFF
SET TIME OFF
SET AUTOPRINT OFF
SET AUTOTRACE OFF
SET SERVEROUTPUT OFF
SET SQLBLANKLINES ON
SET SQLTERMINATOR ';'
SET CMDSEP OFF
SET CONCAT '.'
SET ESCAPE OFF
SET ARRAYSIZE 500
CLEAR COLUMNS
CLEAR BREAKS
CLEAR COMPUTES
TTITLE OFF
BTITLE OFF
";

/// Runs scripts in SQL*Plus.
#[derive(Clone)]
pub struct Sqlplus {
    pub runner: Runner,
    pub connect: Connect,
    /// Wall time of one call.
    pub limit: Duration,
    /// Gets the transcript appended, secrets blanked.
    pub log: Option<PathBuf>,
    /// `false`: a signal does not stop the session. For END BACKUP.
    pub interruptible: bool,
}

impl Sqlplus {
    /// A session that may take five minutes and leaves no transcript.
    pub fn new(runner: Runner, connect: Connect) -> Self {
        Self { runner, connect, limit: Duration::from_secs(300), log: None, interruptible: true }
    }

    #[must_use]
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    #[must_use]
    pub fn log(mut self, path: Option<PathBuf>) -> Self {
        self.log = path;
        self
    }

    #[must_use]
    pub fn uninterruptible(mut self) -> Self {
        self.interruptible = false;
        self
    }

    /// Instance and logon for messages.
    pub fn target(&self) -> String {
        format!("{} as {}", self.runner.name(), self.connect)
    }

    /// Runs the steps in one session.
    ///
    /// Success means: exit status 0, the session proved alive by a query, begin and end seen of every step and of the
    /// whole, and no error code outside of rows but the tolerated ones.
    ///
    /// # Errors
    /// See [`SqlErrorKind`]. Through `?` the error brings its exit status along.
    pub fn run(&self, script: &Script) -> Result<Reply, SqlError> {
        if let Some(flaw) = script.flaw() {
            return Err(SqlError::not_started(self.target(), Failure::new(Exit::Bug, flaw)));
        }
        let marks = Marks::new();
        let not_started = |e: anyhow::Error| {
            SqlError::not_started(self.target(), Failure::new(Exit::Failed, format!("{e:#}")))
        };
        let cwd = match self.runner {
            Runner::Local(_) => match private_cwd() {
                Ok(dir) => Some(dir),
                Err(e) if self.interruptible => return Err(not_started(e)),
                // A full /tmp must not stop END BACKUP.
                Err(_) => None,
            },
            Runner::Remote { .. } => None,
        };
        let mut cmd = self.command(script, &marks).map_err(|f| SqlError::not_started(self.target(), f))?;
        cmd.cwd = cwd.as_ref().map(|d| d.path().to_owned());
        if let Err(e) = self.log_script(script, &marks) {
            // Nor must a log directory that is gone.
            if self.interruptible {
                return Err(not_started(e));
            }
            cmd.log = None;
        }
        let done = cmd.run().map_err(not_started)?;
        let seen = reply::read(&done.stdout, script, &marks);
        self.judge(script, &done, seen)
    }

    fn command(&self, script: &Script, marks: &Marks) -> Result<Cmd, Failure> {
        let connect = self.connect.line();
        let stdin = format!("{}{}\n{}", BEFORE, connect.expose(), self.after_connect(script, marks));
        let args = ["-S", "-L", "/nolog"].map(str::to_owned);
        let os_auth = matches!(self.connect, Connect::OsAuth { .. });
        let mut cmd =
            self.runner.command("sqlplus", &args, stdin.into_bytes(), self.limit, os_auth, marks)?;
        cmd.log = self.log.clone();
        cmd.secrets.extend(self.connect.secrets());
        cmd.interruptible = self.interruptible;
        Ok(cmd)
    }

    fn after_connect(&self, script: &Script, marks: &Marks) -> String {
        format!(
            "{SETTINGS}WHENEVER SQLERROR EXIT FAILURE ROLLBACK\nPROMPT\nSELECT {} FROM DUAL;\n{}",
            Marks::expression(&marks.alive()),
            script.text(marks)
        )
    }

    fn log_script(&self, script: &Script, marks: &Marks) -> anyhow::Result<()> {
        use anyhow::Context;
        let Some(path) = &self.log else { return Ok(()) };
        let stamp = chrono::Utc::now().format("%Y-%m-%dT%H:%M:%SZ");
        let text = format!("-- {stamp} sqlplus on {}\n{}", self.target(), script.text(marks));
        let clean = redact(text.as_bytes(), &self.connect.secrets());
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .with_context(|| format!("open log {}", path.display()))?;
        // A full log disk must not stop a backup, and least of all its END BACKUP.
        let _full = file.write_all(&clean);
        Ok(())
    }

    fn judge(&self, script: &Script, done: &Done, seen: Seen) -> Result<Reply, SqlError> {
        let begun = script
            .steps
            .iter()
            .enumerate()
            .any(|(i, s)| !matches!(s.kind, Kind::Query(_)) && (i < seen.ended || seen.open == Some(i)));
        let error = |kind, step: Option<usize>, trouble: &Trouble| {
            let text = if trouble.text.is_empty() { done.describe() } else { trouble.told() };
            let text = redact(text.as_bytes(), &self.connect.secrets());
            SqlError::new(
                kind,
                self.target(),
                step.and_then(|i| script.steps.get(i)).map(super::script::StepText::label),
                trouble.codes.clone(),
                String::from_utf8_lossy(&text).into_owned(),
                // A signal or time-out may have hit a statement whose begin we have not read yet.
                begun || (seen.alive && script.changes() && !matches!(done.ended, Ended::Exited(_))),
            )
        };
        let at = seen.open.or((seen.alive && !seen.done).then_some(seen.ended));
        let none = Trouble::default();
        let trouble =
            if seen.alive { at.and_then(|i| seen.steps.get(&i)).unwrap_or(&none) } else { &seen.before };
        match done.ended {
            Ended::TimedOut(_) => {
                let limit = Trouble { codes: trouble.codes.clone(), text: vec![done.describe()] };
                return Err(error(SqlErrorKind::TimedOut, at, &limit));
            }
            Ended::Interrupted => {
                let stop = Trouble { codes: Vec::new(), text: vec![done.describe()] };
                return Err(error(SqlErrorKind::Interrupted, at, &stop));
            }
            Ended::Exited(_) | Ended::Signalled(_) => {}
        }
        if let Some(message) = &seen.shell {
            return Err(SqlError::not_started(self.target(), shell_failure(&self.runner, message)));
        }
        if !seen.alive {
            return Err(error(self.before_alive(done, &seen.before), None, &seen.before));
        }
        for (i, step) in script.steps.iter().enumerate() {
            let Some(trouble) = seen.steps.get(&i) else { continue };
            let fine = match &step.kind {
                Kind::Tolerating(codes) => trouble.codes.iter().all(|c| codes.contains(c) || is_place(c)),
                Kind::Exec | Kind::Query(_) => trouble.codes.is_empty(),
            };
            if !fine {
                return Err(error(kind_of(&trouble.codes), Some(i), trouble));
            }
        }
        if let Some(trouble) = seen.steps.get(&script.steps.len()).filter(|t| !t.codes.is_empty()) {
            return Err(error(kind_of(&trouble.codes), None, trouble));
        }
        if !seen.done || seen.ended != script.steps.len() || seen.torn.is_some() {
            let what = if seen.torn.is_some() { "a row is torn" } else { "the end marker is missing" };
            let missing = Trouble { codes: Vec::new(), text: vec![format!("{what}: {}", done.describe())] };
            return Err(error(SqlErrorKind::Protocol, at.or(seen.torn), &missing));
        }
        if !done.success() {
            return Err(error(SqlErrorKind::Protocol, None, &none));
        }
        Ok(seen.reply)
    }

    /// Why the first query was not answered.
    fn before_alive(&self, done: &Done, before: &Trouble) -> SqlErrorKind {
        let denied = |c: &String| explain::nature(c) == Nature::Logon || c == "ORA-01031";
        let away = |c: &String| explain::nature(c) == Nature::Temporary;
        // ssh answers 255 when it did not get through.
        let no_link = matches!(self.runner, Runner::Remote { .. }) && done.ended == Ended::Exited(255);
        if before.codes.iter().any(denied) {
            SqlErrorKind::LogonDenied
        } else if before.codes.iter().any(away) || (no_link && before.codes.is_empty()) {
            SqlErrorKind::NotAvailable
        } else if before.codes.iter().any(|c| c.starts_with("ORA-") || c.starts_with("TNS-")) {
            SqlErrorKind::Statement
        } else {
            SqlErrorKind::Protocol
        }
    }
}

/// Sent before CONNECT: a password may hold `&`, and a failed SPOOL or a full disk must not pass unseen.
const BEFORE: &str = "SET DEFINE OFF\nWHENEVER OSERROR EXIT FAILURE\n";

/// A line that only says where or that a message follows.
fn is_place(code: &str) -> bool {
    matches!(code, "ORA-06512" | "ORA-01110")
}

fn kind_of(codes: &[String]) -> SqlErrorKind {
    let away = codes.iter().any(|c| explain::is_lost_connection(c));
    if away {
        SqlErrorKind::NotAvailable
    } else {
        SqlErrorKind::Statement
    }
}

/// An empty directory of our own: before 12.2 SQL*Plus runs a login.sql that lies in the current one.
fn private_cwd() -> anyhow::Result<tempfile::TempDir> {
    use anyhow::Context;
    tempfile::Builder::new().prefix("orapipe-sql-").tempdir().context("make a directory for sqlplus")
}

#[cfg(test)]
mod tests;
