//! What to do next with a standby, decided from what it says of itself.

use common::exit::{Exit, Failure};
use common::record::Recovery;

use super::journal::Journal;
use crate::restore::database::State;

/// What the instance says, in one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Situation {
    pub state: Option<State>,
    /// OPEN_MODE: MOUNTED, READ ONLY, READ ONLY WITH APPLY, READ WRITE; empty before it is mounted.
    pub open_mode: String,
    /// CONTROLFILE_TYPE is STANDBY.
    pub standby: bool,
    /// DB_NAME, once it is started.
    pub name: String,
    pub dbid: u64,
    /// A managed recovery process is there.
    pub managed: bool,
    /// It applies the current log as it arrives.
    pub real_time: bool,
    /// Everything below is applied: the lowest checkpoint of the files that recovery moves, or CURRENT_SCN where managed
    /// recovery runs, whose checkpoints come late.
    pub applied: u64,
    /// Release: 11, 12, 19, …
    pub release: u32,
}

impl Situation {
    pub fn open(&self) -> bool {
        self.state == Some(State::Open)
    }
}

/// What a drill has to know beyond that before it may begin.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// DG_BROKER_START.
    pub broker: bool,
    /// PROTECTION_MODE.
    pub protection: String,
    /// Rows of GV$INSTANCE.
    pub instances: u64,
    pub cdb: bool,
    /// The option Managed Standby: Enterprise Edition.
    pub managed_possible: bool,
    /// The primary sends redo to it by itself: a process RFS is there.
    pub receives: bool,
    /// A plain STARTUP finds a parameter file, or one is named.
    pub parameter_file: bool,
}

/// What brings the standby nearer to where it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Shutdown,
    Startup,
    Mount,
    StartManaged,
    /// It is mounted, and managed recovery runs where it did.
    Done,
}

/// Whether a drill may begin.
///
/// # Errors
/// Status 4: not a standby, open, not mounted.
pub fn may_begin(now: &Situation) -> Result<(), Failure> {
    let refuse = |what: String, hint: &str| Err(Failure::new(Exit::Refused, what).hint(hint));
    match now.state {
        Some(State::Mounted | State::Open) if !now.standby => {
            return refuse(
                format!("{} is not a standby by its control file", now.name),
                "a drill runs on the standby; check ORACLE_SID",
            )
        }
        Some(State::Mounted) => {}
        Some(State::Open) => {
            return refuse(
                format!("{} is open already ({})", now.name, now.open_mode),
                "somebody uses it; a drill begins with a standby that is mounted and recovering",
            )
        }
        Some(State::Down | State::Started) | None => {
            return refuse(
                "the standby is not mounted, so nobody recovers it".to_owned(),
                "mount it and recover it first: standby-recover.sh, or startup mount and managed recovery",
            )
        }
    }
    Ok(())
}

/// Who recovers it, where a drill can put it back to just that. `manual`: the user says that nobody but RMAN does.
///
/// # Errors
/// Status 4: the broker, several instances, maximum protection, no parameter file, or nobody recovers it.
pub fn recovery(now: &Situation, around: &Surroundings, manual: bool) -> Result<Recovery, Failure> {
    let refuse = |what: String, hint: &str| Err(Failure::new(Exit::Refused, what).hint(hint));
    if around.broker {
        return refuse(
            format!("the Data Guard broker runs {}: it would start apply while the database is open", now.name),
            "without fast-start failover: alter system set dg_broker_start=false here before the drill, and true after it; \
             managed recovery goes on meanwhile",
        );
    }
    if around.instances > 1 {
        return refuse(
            format!("{} has {} instances, and a drill looks at one", now.name, around.instances),
            "leave only the one that recovers running (srvctl stop instance), and start the others after the drill",
        );
    }
    if around.protection == "MAXIMUM PROTECTION" {
        return refuse(
            format!("{} is in maximum protection: shutting it down could stop the primary", now.name),
            "on the primary: alter database set standby database to maximize availability; set it back after the drill",
        );
    }
    if !around.parameter_file {
        return refuse(
            "the instance would not start again: it has no spfile, and none is in $ORACLE_HOME/dbs"
                .to_owned(),
            "name its parameter file with --pfile (DRILL_PFILE)",
        );
    }
    if now.managed {
        return Ok(Recovery::Managed);
    }
    if around.receives {
        return refuse(
            format!("nobody recovers {}: the primary sends redo (RFS), and MRP is not running", now.name),
            "see the alert log, then: alter database recover managed standby database disconnect",
        );
    }
    if around.managed_possible && !manual {
        return refuse(
            format!("nobody recovers {}: MRP is not running", now.name),
            "start managed recovery; where RMAN recovers it (standby-recover.sh), say so with --manual (DRILL_MANUAL=yes)",
        );
    }
    Ok(Recovery::Manual)
}

/// The next step on the way back. It depends on nothing but what is seen now, so it does not matter who has died where.
///
/// # Errors
/// Status 4: this is not the standby that the drill has opened, or it was activated since; nothing may be done to it.
pub fn next(now: &Situation, journal: &Journal) -> Result<Step, Failure> {
    let forbid = |what: String| {
        Err(Failure::new(Exit::Refused, what)
            .hint("nothing was done to it; look at it, then remove the journal of the drill from the state directory"))
    };
    match now.state {
        None | Some(State::Down) => return Ok(Step::Startup),
        // RMAN makes up an instance of this name where it finds no parameter file.
        Some(State::Started) if now.name.eq_ignore_ascii_case("DUMMY") => return Ok(Step::Shutdown),
        Some(State::Started) if !now.name.eq_ignore_ascii_case(&journal.db) => {
            return forbid(format!(
                "the journal of the drill is of database {}, and the instance is of {}",
                journal.db, now.name
            ))
        }
        Some(State::Started) => return Ok(Step::Mount),
        Some(State::Mounted | State::Open) => {}
    }
    if now.dbid != journal.dbid {
        return forbid(format!(
            "the journal of the drill is of the database with DBID {}, and this one has {}",
            journal.dbid, now.dbid
        ));
    }
    if !now.standby || now.open_mode == "READ WRITE" {
        return forbid(format!("{} was activated since the drill: it is no standby any more", now.name));
    }
    if now.open() {
        return Ok(Step::Shutdown);
    }
    Ok(match journal.recovery {
        Recovery::Managed if !now.managed => Step::StartManaged,
        Recovery::Managed | Recovery::Manual => Step::Done,
    })
}

/// How managed recovery is started again as it ran before.
pub fn start_managed(journal: &Journal, release: u32) -> &'static str {
    match (journal.real_time, release) {
        (true, _) => {
            "ALTER DATABASE RECOVER MANAGED STANDBY DATABASE USING CURRENT LOGFILE DISCONNECT FROM SESSION"
        }
        // Before 12.1 this is what goes without saying, and the words are unknown.
        (false, ..12) => "ALTER DATABASE RECOVER MANAGED STANDBY DATABASE DISCONNECT FROM SESSION",
        (false, _) => {
            "ALTER DATABASE RECOVER MANAGED STANDBY DATABASE USING ARCHIVED LOGFILE DISCONNECT FROM SESSION"
        }
    }
}
