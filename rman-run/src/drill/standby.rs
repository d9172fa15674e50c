//! The standby: what it says of itself, and the statements that move it.

use std::time::{Duration, Instant};

use anyhow::Context;
use common::lock::Lock;
use common::oracle::script::{date, scn, Script};
use common::oracle::sql_error::{SqlError, SqlErrorKind};
use common::oracle::sqlplus::Sqlplus;
use common::record::Log;

use super::journal::Journal;
use super::plan::{next, start_managed, Situation, Step, Surroundings};
use super::queries::Query;
use crate::cli::DrillArgs;
use crate::restore::database::State;
use crate::target::Target;
use crate::validate::beating;

/// How often a mount may fail before the instance is shut down: it may have been started with something else.
const MOUNTS: u32 = 2;
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
    /// Pluggable databases that are open read only, and those that are not, with what they are.
    pub pdbs: Vec<String>,
    pub closed: Vec<String>,
    /// Files that are online by the control file and cannot be read.
    pub unreadable: u64,
}

/// What a test query has answered, and OPEN_MODE just before it.
pub struct Answer {
    pub mode: String,
    pub value: anyhow::Result<Option<String>>,
}

/// Files that recovery moves: read-only and offline ones stay where they are, and those of pluggable databases that were
/// closed at the primary where they were closed.
fn moving(release: u32) -> String {
    let root = if release < 12 { "" } else { " AND H.CON_ID IN (0,1)" };
    format!(
        "FROM V$DATAFILE_HEADER H, V$DATAFILE D WHERE H.FILE# = D.FILE# \
         AND D.ENABLED NOT IN ('READ ONLY','DISABLED') AND H.STATUS = 'ONLINE'{root}"
    )
}

/// V$MANAGED_STANDBY is on its way out since 12.2 and its successor is not everywhere before 18.
fn processes(release: u32, name: &str) -> String {
    match release {
        ..18 => format!("FROM V$MANAGED_STANDBY WHERE PROCESS LIKE '{name}%'"),
        _ => format!("FROM V$DATAGUARD_PROCESS WHERE UPPER(NAME) LIKE '{name}%'"),
    }
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
            let mut script = Script::new();
            let named = script.query(&["MAX(VALUE)"], "FROM V$PARAMETER WHERE NAME = 'db_name'");
            let reply = self.run(&sqlplus, &script).context("ask the instance for its db_name")?;
            let name = reply.row(named)?.get::<Option<String>>(0)?.unwrap_or_default();
            return Ok(Situation { state: Some(state), name, release, ..Situation::default() });
        }
        let mut script = Script::new();
        let columns = ["NAME".to_owned(), scn("DBID"), "OPEN_MODE".to_owned(), "CONTROLFILE_TYPE".to_owned()];
        let columns = [&columns[..], &[scn("CURRENT_SCN")]].concat();
        let database = script.query(&columns, "FROM V$DATABASE");
        let managed = script.query(&[scn("COUNT(*)")], processes(release, "MRP"));
        let mode = script.query(
            &[scn("COUNT(*)")],
            "FROM V$ARCHIVE_DEST_STATUS WHERE RECOVERY_MODE LIKE 'MANAGED REAL TIME%'",
        );
        let files = script.query(&[scn("MIN(H.CHECKPOINT_CHANGE#)")], moving(release));
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

    /// Asks a mounted standby for what decides whether a drill may begin.
    pub fn survey(&self, now: &Situation) -> anyhow::Result<Surroundings> {
        let sqlplus = self.sqlplus(LOOK.min(self.args.step_limit), false);
        let mut script = Script::new();
        let parameter = |script: &mut Script, name| {
            script.query(&["MAX(VALUE)"], format!("FROM V$PARAMETER WHERE NAME = '{name}'"))
        };
        let broker = parameter(&mut script, "dg_broker_start");
        let spfile = parameter(&mut script, "spfile");
        // The column came with 12.1.
        let cdb = if now.release < 12 { "'NO'" } else { "CDB" };
        let database = script.query(&["PROTECTION_MODE", cdb], "FROM V$DATABASE");
        let instances = script.query(&[scn("COUNT(*)")], "FROM GV$INSTANCE");
        let option = script.query(&["MAX(VALUE)"], "FROM V$OPTION WHERE PARAMETER = 'Managed Standby'");
        let receives = script.query(&[scn("COUNT(*)")], processes(now.release, "RFS"));
        let reply = self.run(&sqlplus, &script).context("ask the standby for its surroundings")?;
        let text = |step| -> anyhow::Result<String> {
            Ok(reply.row(step)?.get::<Option<String>>(0)?.unwrap_or_default())
        };
        let row = reply.row(database)?;
        Ok(Surroundings {
            broker: text(broker)?.eq_ignore_ascii_case("TRUE"),
            protection: row.get::<Option<String>>(0)?.unwrap_or_default(),
            instances: reply.row(instances)?.get(0)?,
            cdb: row.get::<Option<String>>(1)?.as_deref() == Some("YES"),
            // An unknown option is one that may be there.
            managed_possible: text(option)? != "FALSE",
            receives: reply.row(receives)?.get::<u64>(0)? > 0,
            parameter_file: !text(spfile)?.is_empty() || self.finds_parameters(),
        })
    }

    fn finds_parameters(&self) -> bool {
        let home = &self.target.rman.home;
        let (Some(dir), Some(sid)) = (&home.home, &home.sid) else { return self.args.pfile.is_some() };
        let names = [format!("spfile{sid}.ora"), "spfile.ora".to_owned(), format!("init{sid}.ora")];
        self.args.pfile.is_some() || names.iter().any(|name| dir.join("dbs").join(name).exists())
    }

    /// OPEN_MODE, as it is now.
    pub fn mode(&self) -> anyhow::Result<String> {
        let mut script = Script::new();
        let row = script.query(&["OPEN_MODE"], "FROM V$DATABASE");
        let reply = self.run(&self.sqlplus(LOOK.min(self.args.step_limit), true), &script)?;
        reply.row(row)?.get(0)
    }

    /// Ends managed recovery; that it does not run is fine.
    pub fn cancel(&self) -> anyhow::Result<()> {
        let mut script = Script::new();
        script.exec_tolerating("ALTER DATABASE RECOVER MANAGED STANDBY DATABASE CANCEL", &["ORA-16136"]);
        self.run(&self.sqlplus(self.args.step_limit, false), &script).context("cancel managed recovery")?;
        anyhow::ensure!(!self.look(false)?.managed, "managed recovery still runs after CANCEL");
        Ok(())
    }

    /// Opens it read only, with its pluggable databases, and says to where.
    pub fn open(&self, release: u32, cdb: bool) -> anyhow::Result<Opened> {
        let mut script = Script::new();
        script.exec("ALTER DATABASE OPEN READ ONLY");
        let database = script.query(&["OPEN_MODE".to_owned(), scn("CURRENT_SCN")], "FROM V$DATABASE");
        let files = script.query(
            &[
                scn("MIN(H.CHECKPOINT_CHANGE#)"),
                scn("MAX(H.CHECKPOINT_CHANGE#)"),
                date("MAX(H.CHECKPOINT_TIME)"),
            ],
            moving(release),
        );
        let unreadable = script.query(
            &[scn("COUNT(*)")],
            "FROM V$DATAFILE_HEADER WHERE STATUS = 'ONLINE' AND ERROR IS NOT NULL",
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
        let time = row.get(2)?;
        let unreadable = reply.row(unreadable)?.get(0)?;
        let (pdbs, closed) = if cdb { self.open_pdbs()? } else { Default::default() };
        Ok(Opened { scn: lowest, time, current, pdbs, closed, unreadable })
    }

    /// OPEN of the root leaves the pluggable databases mounted. Says which are open read only then, and which are not.
    fn open_pdbs(&self) -> anyhow::Result<(Vec<String>, Vec<String>)> {
        let sqlplus = self.sqlplus(self.args.step_limit, false);
        let mut script = Script::new();
        // ORA-65019: all of them are open already.
        script.exec_tolerating("ALTER PLUGGABLE DATABASE ALL OPEN READ ONLY", &["ORA-65019"]);
        match self.run(&sqlplus, &script) {
            Ok(_) => {}
            Err(error) if matches!(error.kind, SqlErrorKind::TimedOut | SqlErrorKind::Interrupted) => {
                return Err(error).context("open the pluggable databases")
            }
            // Some may be open all the same.
            Err(error) => {
                let message = format!("open the pluggable databases: {}", error.text);
                self.target.log.say(&Log::warning(message));
            }
        }
        let mut script = Script::new();
        let rows =
            script.query(&["NAME", "OPEN_MODE"], "FROM V$PDBS WHERE NAME <> 'PDB$SEED' ORDER BY CON_ID");
        let reply = self.run(&sqlplus, &script).context("ask for the pluggable databases")?;
        let (mut open, mut closed) = (Vec::new(), Vec::new());
        for row in reply.rows(rows) {
            let (name, mode): (String, String) = (row.get(0)?, row.get(1)?);
            match mode.as_str() {
                "READ ONLY" => open.push(name),
                _ => closed.push(format!("{name} ({mode})")),
            }
        }
        Ok((open, closed))
    }

    /// Asks one test query in a session of its own, for no longer than `limit`.
    pub fn ask(&self, query: &Query, limit: Duration) -> Result<Answer, SqlError> {
        let mut script = Script::new();
        let mode = script.query(&["OPEN_MODE"], "FROM V$DATABASE");
        if let Some(container) = &query.container {
            script.exec(format!("ALTER SESSION SET CONTAINER = {container}"));
        }
        // As a scalar subquery: one value or none, and no more than a SELECT can be in there.
        let row = script.query(&[&query.sql], "FROM DUAL");
        let reply = self.run(&self.sqlplus(limit, false), &script)?;
        Ok(Answer {
            mode: reply.row(mode).and_then(|r| r.get(0)).unwrap_or_default(),
            value: reply.row(row).and_then(|r| r.get::<Option<String>>(0)),
        })
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
        let (mut shutdowns, mut mounts) = (0_u32, 0_u32);
        let mut busy = false;
        loop {
            let mut tried = Step::Done;
            let taken = self.look(true).and_then(|now| {
                let mut step = next(&now, journal)?;
                if step == Step::Mount && mounts >= MOUNTS {
                    step = Step::Shutdown;
                }
                tried = step;
                if step != Step::Done {
                    self.take(step, journal, now.release, shutdowns > 0 && !busy)?;
                }
                Ok((step, now))
            });
            steps += 1;
            match (&taken, tried) {
                (Ok(_), Step::Shutdown) => (shutdowns, mounts) = (0, 0),
                (Err(error), Step::Shutdown) => {
                    shutdowns += 1;
                    // The last synchronised standby in maximum protection: without it the primary stops.
                    busy |= format!("{error:#}").contains("ORA-01154");
                }
                (Err(_), Step::Mount) => mounts += 1,
                _ => {}
            }
            if taken.is_err() {
                // The way begins anew.
                steps = 0;
            }
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

    fn take(&self, step: Step, journal: &Journal, release: u32, abort: bool) -> anyhow::Result<()> {
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
            Step::Shutdown if abort => self.rman("SHUTDOWN ABORT;\n", true).context("shut it down"),
            Step::Shutdown => self.rman("SHUTDOWN IMMEDIATE;\n", true).context("shut it down"),
            Step::Startup => {
                let pfile = journal
                    .pfile
                    .as_ref()
                    .or(self.args.pfile.as_ref())
                    .map(|p| format!(" PFILE='{}'", p.display()));
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

    /// One round of manual recovery: what has arrived is made known, and one log beyond `from` is applied. No more, for a
    /// standby may be held back on purpose. What counts is where the files are afterwards; an error is returned.
    pub fn recover(&self, journal: &Journal, from: u64) -> Option<String> {
        self.one_log(journal, from).err().map(|e| format!("{e:#}"))
    }

    fn one_log(&self, journal: &Journal, from: u64) -> anyhow::Result<()> {
        let mut text = String::new();
        let logs = if journal.logs.is_empty() { &self.args.logs } else { &journal.logs };
        for dir in logs {
            // With the slash: START WITH takes a prefix, and /arch would also take /arch2.
            let dir = dir.display().to_string();
            text.push_str(&format!("CATALOG START WITH '{}/' NOPROMPT;\n", dir.trim_end_matches('/')));
        }
        if !text.is_empty() {
            self.rman(&text, false).context("make the logs known")?;
        }
        let mut script = Script::new();
        let next = script.query(
            &[scn("MIN(NEXT_CHANGE#)")],
            format!(
                "FROM V$ARCHIVED_LOG WHERE NEXT_CHANGE# > {from} AND NAME IS NOT NULL AND DELETED = 'NO' \
                 AND RESETLOGS_CHANGE# = (SELECT RESETLOGS_CHANGE# FROM V$DATABASE)"
            ),
        );
        let sqlplus = self.sqlplus(LOOK.min(self.args.step_limit), false);
        let reply = self.run(&sqlplus, &script).context("ask for the next log")?;
        let Some(next) = reply.row(next)?.get::<Option<u64>>(0)? else {
            anyhow::bail!("no log beyond SCN {from} has arrived");
        };
        self.rman(&format!("RECOVER DATABASE UNTIL SCN {next};\n"), false).context("recover")
    }
}
