//! The standby: what it says of itself, and the statements that move it.

use std::time::{Duration, Instant};

use anyhow::Context;
use common::lock::Lock;
use common::oracle::script::{date, scn, Script};
use common::oracle::sql_error::SqlError;
use common::oracle::sqlplus::Sqlplus;
use common::record::Log;

use super::journal::Journal;
use super::plan::{next, start_managed, Situation, Step};
use crate::cli::DrillArgs;
use crate::restore::database::State;
use crate::target::Target;
use crate::validate::beating;

/// Files that recovery moves: read-only and offline ones stay where they are.
const MOVING: &str = "FROM V$DATAFILE_HEADER H, V$DATAFILE D WHERE H.FILE# = D.FILE# \
                      AND D.ENABLED NOT IN ('READ ONLY','DISABLED') AND D.STATUS <> 'OFFLINE'";
/// The longest pause between two tries to put it back.
const LONGEST: Duration = Duration::from_secs(30);
/// A look at the views; the answer takes milliseconds or does not come.
const LOOK: Duration = Duration::from_secs(60);

/// The standby of a drill.
pub struct Standby<'a> {
    pub target: &'a Target<'a>,
    pub args: &'a DrillArgs,
    pub lock: Option<&'a Lock>,
}

/// How far it was when it was open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// Common checkpoint of the files: all redo below is in them.
    pub scn: u64,
    pub time: Option<String>,
    /// What CURRENT_SCN said; recovery goes on only when it gets beyond this.
    pub current: u64,
}

impl Standby<'_> {
    fn sqlplus(&self, limit: Duration, sure: bool) -> Sqlplus {
        let sqlplus = self.target.sqlplus.clone().limit(limit);
        if sure {
            sqlplus.uninterruptible()
        } else {
            sqlplus
        }
    }

    fn run(&self, sqlplus: &Sqlplus, script: &Script) -> Result<common::oracle::reply::Reply, SqlError> {
        match self.lock {
            Some(lock) => beating(lock, || sqlplus.run(script)),
            None => sqlplus.run(script),
        }
    }

    /// Asks it. `sure`: also when the run was asked to stop.
    ///
    /// # Errors
    /// It does not answer; that it is not started is an answer.
    pub fn look(&self, sure: bool) -> anyhow::Result<Situation> {
        let sqlplus = self.sqlplus(LOOK.min(self.args.step_limit), sure);
        let mut script = Script::new();
        let instance = script.query(&["STATUS", "VERSION"], "FROM V$INSTANCE");
        let reply = match self.run(&sqlplus, &script) {
            Ok(reply) => reply,
            Err(error) if error.has("ORA-01034") => {
                return Ok(Situation { state: Some(State::Down), ..Situation::default() })
            }
            Err(error) => return Err(error).context("ask the standby for its state"),
        };
        let row = reply.row(instance)?;
        let version: String = row.get(1)?;
        let release: u32 = version.split('.').next().and_then(|v| v.parse().ok()).unwrap_or(0);
        let state = match row.get::<String>(0)?.as_str() {
            "STARTED" => State::Started,
            "MOUNTED" => State::Mounted,
            _ => State::Open,
        };
        if state == State::Started {
            return Ok(Situation { state: Some(state), release, ..Situation::default() });
        }
        // V$MANAGED_STANDBY is on its way out since 12.2 and its successor is not everywhere before 18.
        let process = match release {
            ..18 => "FROM V$MANAGED_STANDBY WHERE PROCESS LIKE 'MRP%'",
            _ => "FROM V$DATAGUARD_PROCESS WHERE NAME LIKE 'MRP%'",
        };
        let mut script = Script::new();
        let columns = ["NAME".to_owned(), scn("DBID"), "OPEN_MODE".to_owned(), "CONTROLFILE_TYPE".to_owned()];
        let columns = [&columns[..], &[scn("CURRENT_SCN")]].concat();
        let database = script.query(&columns, "FROM V$DATABASE");
        let managed = script.query(&[scn("COUNT(*)")], process);
        let mode = script.query(
            &[scn("COUNT(*)")],
            "FROM V$ARCHIVE_DEST_STATUS WHERE RECOVERY_MODE LIKE 'MANAGED REAL TIME%'",
        );
        let files = script.query(&[scn("MIN(H.CHECKPOINT_CHANGE#)")], MOVING);
        let reply = self.run(&sqlplus, &script).context("ask the standby how far it is")?;
        let row = reply.row(database)?;
        let managed = reply.row(managed)?.get::<u64>(0)? > 0;
        let lowest = reply.row(files)?.get::<Option<u64>>(0)?.unwrap_or(0);
        let current = row.get::<Option<u64>>(4)?.unwrap_or(0);
        Ok(Situation {
            state: Some(state),
            name: row.get(0)?,
            dbid: row.get(1)?,
            open_mode: row.get(2)?,
            standby: row.get::<String>(3)? == "STANDBY",
            managed,
            real_time: reply.row(mode)?.get::<u64>(0)? > 0,
            applied: if managed { current.max(lowest) } else { lowest },
            release,
        })
    }

    /// Ends managed recovery; that it does not run is fine.
    pub fn cancel(&self) -> anyhow::Result<()> {
        let mut script = Script::new();
        script.exec_tolerating("ALTER DATABASE RECOVER MANAGED STANDBY DATABASE CANCEL", &["ORA-16136"]);
        self.run(&self.sqlplus(self.args.step_limit, false), &script).context("cancel managed recovery")?;
        anyhow::ensure!(!self.look(false)?.managed, "managed recovery still runs after CANCEL");
        Ok(())
    }

    /// Opens it read only and says to where.
    pub fn open(&self) -> anyhow::Result<Opened> {
        let mut script = Script::new();
        script.exec("ALTER DATABASE OPEN READ ONLY");
        let database = script.query(&["OPEN_MODE".to_owned(), scn("CURRENT_SCN")], "FROM V$DATABASE");
        let files = script.query(
            &[
                scn("MIN(H.CHECKPOINT_CHANGE#)"),
                scn("MAX(H.CHECKPOINT_CHANGE#)"),
                date("MAX(H.CHECKPOINT_TIME)"),
            ],
            MOVING,
        );
        let reply =
            self.run(&self.sqlplus(self.args.step_limit, false), &script).context("open it read only")?;
        let row = reply.row(database)?;
        let mode: String = row.get(0)?;
        anyhow::ensure!(mode == "READ ONLY", "it is {mode} after OPEN READ ONLY");
        let current = row.get::<Option<u64>>(1)?.unwrap_or(0);
        let row = reply.row(files)?;
        let (lowest, highest): (u64, u64) = (row.get(0)?, row.get(1)?);
        anyhow::ensure!(
            lowest == highest,
            "its files are at SCN {lowest} to {highest}, and it opened all the same"
        );
        Ok(Opened { scn: lowest, time: row.get(2)?, current })
    }

    /// Asks one test query in a session of its own, for no longer than `limit`.
    pub fn ask(&self, sql: &str, limit: Duration) -> Result<anyhow::Result<Option<String>>, SqlError> {
        let mut script = Script::new();
        // As a scalar subquery: one value or none, and no more than a SELECT can be in there.
        let row = script.query(&[sql], "FROM DUAL");
        let reply = self.run(&self.sqlplus(limit, false), &script)?;
        Ok(reply.row(row).and_then(|r| r.get::<Option<String>>(0)))
    }

    /// Brings it back to where the journal says it was, whatever it takes, and says how far it is then. A signal does not
    /// stop this.
    ///
    /// # Errors
    /// Status 4: it is not ours to touch any more. Else what the last try failed with, when the time is up.
    pub fn put_back(&self, journal: &Journal) -> anyhow::Result<Situation> {
        let end = Instant::now() + self.args.give_up;
        let mut failed = 0_u32;
        let mut steps = 0_u32;
        loop {
            let taken = self.look(true).and_then(|now| {
                let step = next(&now, journal)?;
                if step != Step::Done {
                    self.take(step, journal, now.release, failed)?;
                }
                Ok((step, now))
            });
            steps += 1;
            match taken {
                Ok((Step::Done, now)) => return Ok(now),
                // A statement that says it did and did not.
                Ok(_) if steps > 4 => failed += 1,
                Ok(_) => continue,
                Err(error) if common::exit::status_of(&error) == common::exit::Exit::Refused => {
                    return Err(error)
                }
                Err(error) => {
                    failed += 1;
                    let message = format!("put the standby back: {error:#}");
                    if Instant::now() >= end {
                        return Err(error.context("put the standby back"));
                    }
                    self.target.log.say(&Log::warning(format!("{message}; trying again")));
                }
            }
            anyhow::ensure!(Instant::now() < end, "put the standby back: it does not stay where it is put");
            self.pause(Duration::from_millis(500).saturating_mul(1 << failed.min(6)).min(LONGEST));
        }
    }

    /// Watches it, and puts it back again when it does not stay there: an OPEN or a CANCEL of a session that was killed is
    /// done by the server all the same, a moment later.
    ///
    /// # Errors
    /// As [`Standby::put_back`].
    pub fn settle(&self, journal: &Journal) -> anyhow::Result<Situation> {
        let end = Instant::now() + self.args.settle;
        loop {
            let now = self.put_back(journal)?;
            if Instant::now() >= end {
                return Ok(now);
            }
            self.pause(Duration::from_millis(500).min(end.saturating_duration_since(Instant::now())));
        }
    }

    /// A pause that a signal does not cut short.
    fn pause(&self, length: Duration) {
        let end = Instant::now() + length;
        while Instant::now() < end {
            if let Some(lock) = self.lock {
                lock.progress();
            }
            std::thread::sleep(Duration::from_millis(100).min(length));
        }
    }

    fn take(&self, step: Step, journal: &Journal, release: u32, failed: u32) -> anyhow::Result<()> {
        let sqlplus = self.sqlplus(self.args.step_limit, true);
        let one = |sql: &str, may: &[&str]| -> anyhow::Result<()> {
            let mut script = Script::new();
            script.exec_tolerating(sql, may);
            self.run(&sqlplus, &script)?;
            Ok(())
        };
        self.target.log.info(&format!("drill: {step:?}"));
        match step {
            // Nothing in a database that is open read only is lost by ABORT.
            Step::Shutdown if failed > 0 => self.rman("SHUTDOWN ABORT;\n", true).context("shut it down"),
            Step::Shutdown => self.rman("SHUTDOWN IMMEDIATE;\n", true).context("shut it down"),
            Step::Startup => {
                let pfile = self.args.pfile.as_ref().map(|p| format!(" PFILE='{}'", p.display()));
                self.rman(&format!("STARTUP NOMOUNT{};\n", pfile.unwrap_or_default()), true)
                    .context("start it")
            }
            Step::Mount => one("ALTER DATABASE MOUNT STANDBY DATABASE", &["ORA-01100"]).context("mount it"),
            Step::StartManaged => {
                // ORA-01153: the broker or somebody else was faster.
                one(start_managed(journal, release), &["ORA-01153"]).context("start managed recovery")
            }
            Step::Done => Ok(()),
        }
    }

    /// Runs RMAN; its log is kept only in our own one, where something went wrong.
    fn rman(&self, text: &str, sure: bool) -> anyhow::Result<()> {
        let dir = tempfile::Builder::new().prefix("orapipe-drill-").tempdir().context("make a directory")?;
        let mut rman = self.target.rman.clone();
        rman.limit = self.args.step_limit;
        rman.interruptible = !sure;
        rman.catalog = None;
        let log = dir.path().join("log");
        let called = match self.lock {
            Some(lock) => beating(lock, || rman.run(text, &log)),
            None => rman.run(text, &log),
        }?;
        if called.ended_well() {
            return Ok(());
        }
        let said: Vec<String> = called.verdict.findings.iter().take(4).map(|f| f.message.clone()).collect();
        anyhow::bail!("{}: {}", called.done.describe(), said.join("; "))
    }

    /// One round of manual recovery: what has arrived is made known and applied. It always ends with an error, for the
    /// next log is not there yet; what counts is where the files are afterwards. That error is returned.
    pub fn recover(&self) -> Option<String> {
        let mut text = String::new();
        for dir in &self.args.logs {
            // With the slash: START WITH takes a prefix, and /arch would also take /arch2.
            let dir = dir.display().to_string();
            text.push_str(&format!("CATALOG START WITH '{}/' NOPROMPT;\n", dir.trim_end_matches('/')));
        }
        text.push_str("RECOVER DATABASE;\n");
        self.rman(&text, false).err().map(|e| format!("{e:#}"))
    }
}
