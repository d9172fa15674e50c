//! The statements: BEGIN, END, and what V$BACKUP says.

use std::time::Duration;

use anyhow::Context;

use super::{FileState, Scope};
use crate::oracle::identifier::quoted;
use crate::oracle::reply::{Reply, Row};
use crate::oracle::script::{date, scn, Script, Step};
use crate::oracle::sql_error::SqlError;
use crate::oracle::sqlplus::Sqlplus;

/// END BACKUP was not needed any more: already ended, tablespace dropped, files offline or read only meanwhile.
const NOTHING_TO_END: [&str; 6] =
    ["ORA-01142", "ORA-01140", "ORA-01141", "ORA-00959", "ORA-01260", "ORA-01110"];
/// Longest list of an IN condition.
const IN_MAX: usize = 1000;

/// Which database answers, and in which state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    pub dbid: u64,
    pub name: String,
    /// READ WRITE, READ ONLY, MOUNTED.
    pub open_mode: String,
    /// PRIMARY, PHYSICAL STANDBY, …
    pub role: String,
    /// CURRENT; STANDBY, BACKUP, CREATED for what is a copy or was restored.
    pub controlfile_type: String,
}

impl Identity {
    /// Mounted, and by its control file the original: not a standby, not a restored or copied database.
    pub fn is_original(&self) -> bool {
        self.role == "PRIMARY" && self.controlfile_type == "CURRENT"
    }

    pub fn is_open(&self) -> bool {
        self.open_mode.starts_with("READ WRITE")
    }
}

/// Identity and every file that V$BACKUP shows as ACTIVE. Works in a mounted instance too.
pub fn read_all(sqlplus: &Sqlplus) -> anyhow::Result<(Identity, Vec<FileState>)> {
    let mut script = Script::new();
    let columns = [
        scn("DBID"),
        "NAME".to_owned(),
        "OPEN_MODE".to_owned(),
        "DATABASE_ROLE".to_owned(),
        "CONTROLFILE_TYPE".to_owned(),
    ];
    let identity = script.query(&columns, "FROM V$DATABASE");
    let files = script.query(
        &[scn("B.FILE#"), "D.NAME".to_owned(), "B.STATUS".to_owned(), scn("B.CHANGE#"), date("B.TIME")],
        "FROM V$BACKUP B JOIN V$DATAFILE D ON D.FILE# = B.FILE# WHERE B.STATUS = 'ACTIVE' ORDER BY B.FILE#",
    );
    let reply = sqlplus.run(&script).context("read V$BACKUP")?;
    let row = reply.row(identity).context("read V$DATABASE")?;
    let identity = Identity {
        dbid: row.get(0)?,
        name: row.get(1)?,
        open_mode: row.get(2)?,
        role: row.get(3)?,
        controlfile_type: row.get(4)?,
    };
    let files =
        reply.rows(files).iter().map(state).collect::<anyhow::Result<_>>().context("read V$BACKUP")?;
    Ok((identity, files))
}

fn state(row: &Row) -> anyhow::Result<FileState> {
    Ok(FileState {
        file: row.get(0)?,
        path: row.get(1)?,
        active: row.get::<Option<String>>(2)?.as_deref() == Some("ACTIVE"),
        change: row.get(3)?,
        since: row.get(4)?,
        checkpoint: None,
    })
}

/// The state of some files, headers included.
fn query_states(script: &mut Script, files: &[u64]) -> Vec<Step> {
    let columns = [
        scn("B.FILE#"),
        "D.NAME".to_owned(),
        "B.STATUS".to_owned(),
        scn("B.CHANGE#"),
        date("B.TIME"),
        scn("H.CHECKPOINT_CHANGE#"),
    ];
    let from = "FROM V$BACKUP B JOIN V$DATAFILE D ON D.FILE# = B.FILE# \
                JOIN V$DATAFILE_HEADER H ON H.FILE# = B.FILE#";
    files
        .chunks(IN_MAX)
        .map(|some| {
            let list: Vec<String> = some.iter().map(u64::to_string).collect();
            script.query(&columns, format!("{from} WHERE B.FILE# IN ({}) ORDER BY B.FILE#", list.join(", ")))
        })
        .collect()
}

fn states(reply: &Reply, steps: &[Step]) -> anyhow::Result<Vec<FileState>> {
    let rows = steps.iter().flat_map(|s| reply.rows(*s));
    rows.map(|row| Ok(FileState { checkpoint: row.get(5)?, ..state(row)? })).collect()
}

fn enter(script: &mut Script, scope: &Scope) -> anyhow::Result<()> {
    if let Scope::Tablespace { container: Some(container), .. } = scope {
        script.exec(format!("ALTER SESSION SET CONTAINER = {}", quoted(container)?));
    }
    Ok(())
}

fn statement(scope: &Scope, what: &str) -> anyhow::Result<String> {
    Ok(match scope {
        Scope::Database => format!("ALTER DATABASE {what} BACKUP"),
        Scope::Tablespace { name, .. } => format!("ALTER TABLESPACE {} {what} BACKUP", quoted(name)?),
    })
}

/// Why BEGIN BACKUP did not succeed.
#[derive(Debug)]
pub(super) enum BeginError {
    /// Oracle refused the statement: nothing was begun by us.
    Refused(anyhow::Error),
    /// The statement failed on its way: nothing is under way any more, and some files may be in backup mode.
    Broken(anyhow::Error),
    /// Nobody knows: lost connection, time limit, a killed session.
    Unknown(anyhow::Error),
}

/// BEGIN BACKUP and what V$BACKUP and the headers say right after it, in one session.
pub(super) fn begin(sqlplus: &Sqlplus, scope: &Scope, files: &[u64]) -> Result<Vec<FileState>, BeginError> {
    let mut script = Script::new();
    let made = enter(&mut script, scope).and_then(|()| statement(scope, "BEGIN"));
    script.exec(made.map_err(BeginError::Refused)?);
    let steps = query_states(&mut script, files);
    let reply = sqlplus.run(&script).map_err(|e| {
        let outcome = outcome(&e);
        outcome(anyhow::Error::from(e).context(format!("begin backup of {scope}")))
    })?;
    states(&reply, &steps).map_err(|e| BeginError::Unknown(e.context("read V$BACKUP back")))
}

/// Codes by which Oracle refuses BEGIN BACKUP before it touches a file. After any other (a header that cannot be
/// written, an internal error) some files of the tablespace may be in backup mode.
const CHECKED_BEFORE: [&str; 17] = [
    "ORA-00900",
    "ORA-00959",
    "ORA-00972",
    "ORA-01031",
    "ORA-01109",
    "ORA-01123",
    "ORA-01128",
    "ORA-01140",
    "ORA-01146",
    "ORA-01507",
    "ORA-01642",
    "ORA-02097",
    "ORA-03217",
    "ORA-16000",
    "ORA-65011",
    "ORA-65019",
    "ORA-65040",
];

/// What the failure of the session says about its BEGIN BACKUP.
pub(super) fn outcome(e: &SqlError) -> fn(anyhow::Error) -> BeginError {
    use crate::oracle::sql_error::SqlErrorKind as Kind;
    match e.kind {
        Kind::Statement => {
            let begin =
                e.step.as_deref().is_some_and(|s| s.contains("BEGIN BACKUP") || s.contains("SET CONTAINER"));
            match begin && e.codes.iter().any(|c| c.starts_with("ORA-")) {
                true if e.codes.iter().any(|c| CHECKED_BEFORE.contains(&c.as_str())) => BeginError::Refused,
                true => BeginError::Broken,
                false => BeginError::Unknown,
            }
        }
        Kind::LogonDenied | Kind::NotStarted => BeginError::Refused,
        Kind::NotAvailable if !e.begun => BeginError::Refused,
        Kind::NotAvailable | Kind::TimedOut | Kind::Interrupted | Kind::Protocol => BeginError::Unknown,
    }
}

/// What one END BACKUP session saw.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct EndSeen {
    pub before: Vec<FileState>,
    pub after: Vec<FileState>,
    /// CURRENT_SCN after END BACKUP.
    pub scn: u64,
}

/// END BACKUP, with the state of the files before and after it, in one session.
pub(super) fn end(sqlplus: &Sqlplus, scope: &Scope, files: &[u64]) -> anyhow::Result<EndSeen> {
    let mut script = Script::new();
    enter(&mut script, scope)?;
    let before = query_states(&mut script, files);
    script.exec_tolerating(statement(scope, "END")?, &NOTHING_TO_END);
    let after = query_states(&mut script, files);
    let now = script.query(&[scn("CURRENT_SCN")], "FROM V$DATABASE");
    let reply = sqlplus.run(&script).with_context(|| format!("end backup of {scope}"))?;
    Ok(EndSeen {
        before: states(&reply, &before)?,
        after: states(&reply, &after)?,
        scn: reply.row(now).context("read CURRENT_SCN")?.get(0)?,
    })
}

/// END BACKUP of single files of a database that is mounted and cannot be opened before (ORA-10873).
pub(super) fn end_mounted(sqlplus: &Sqlplus, files: &[u64]) -> anyhow::Result<()> {
    let mut script = Script::new();
    for file in files {
        script.exec_tolerating(format!("ALTER DATABASE DATAFILE {file} END BACKUP"), &NOTHING_TO_END);
    }
    sqlplus.run(&script).context("end backup of datafiles of the mounted database")?;
    Ok(())
}

/// A session for obligations: no signal stops it.
pub(super) fn steadfast(sqlplus: &Sqlplus, limit: Duration) -> Sqlplus {
    sqlplus.clone().limit(limit).uninterruptible()
}
