//! Asks the standby what it has applied. Not knowing is an answer of its own and never 0.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Context;
use common::oracle::connect::Connect;
use common::oracle::runner::{RemoteHome, Runner, Shell};
use common::oracle::script::{scn, Script};
use common::oracle::sqlplus::Sqlplus;

use crate::cli::Cli;
use crate::facts::Applied;
use crate::session::Session;

/// Whether there is a standby to be asked.
pub fn is_named(cli: &Cli) -> bool {
    let named = [&cli.standby.dest_host, &cli.standby_profile, &cli.standby_oracle_home, &cli.standby_sid];
    named.iter().any(|n| n.is_some())
}

/// The standby's Oracle installation, when there is one to be asked.
pub fn runner(session: &Session) -> Option<Runner> {
    let cli: &Cli = session.cli;
    if !is_named(cli) {
        return None;
    }
    let home = RemoteHome {
        profile: cli.standby_profile.clone(),
        oracle_home: cli.standby_oracle_home.clone(),
        oracle_sid: cli.standby_sid.clone(),
    };
    let shell: Arc<dyn Shell> = Arc::clone(session.control()) as Arc<dyn Shell>;
    Some(Runner::Remote { shell, home })
}

/// A SQL*Plus session there.
pub fn sqlplus(session: &Session) -> Option<Sqlplus> {
    Some(Sqlplus::new(runner(session)?, Connect::sysdba()).limit(session.cli.io_timeout))
}

/// What it says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    pub dbid: u64,
    pub role: String,
    /// Lowest checkpoint SCN of the datafiles that recovery moves; `None` when one of them cannot be read.
    pub scn: Option<u64>,
    pub unreadable: u64,
    /// Highest applied sequence by resetlogs id and thread.
    pub sequences: BTreeMap<(u64, u64), u64>,
}

/// Read-only and offline files stay where they are and say nothing of the recovery.
const MOVING: &str = "FROM v$datafile_header h, v$datafile d WHERE h.file# = d.file# \
                      AND d.enabled NOT IN ('READ ONLY','DISABLED') AND d.status <> 'OFFLINE'";

/// Asks. The sequence that V$MANAGED_STANDBY shows is being applied and not applied, so the datafiles themselves count.
pub fn ask(sqlplus: &Sqlplus) -> anyhow::Result<Word> {
    let mut script = Script::new();
    let database = script.query(&[scn("dbid"), "database_role".to_owned()], "FROM v$database");
    let files = script.query(
        &[
            scn("MIN(h.checkpoint_change#)"),
            scn("COUNT(*)"),
            scn("NVL(SUM(CASE WHEN h.error IS NULL THEN 0 ELSE 1 END),0)"),
        ],
        MOVING,
    );
    let history = script.query(
        &[scn("i.resetlogs_id"), scn("l.thread#"), scn("MAX(l.sequence#)")],
        format!(
            "FROM v$log_history l, v$database_incarnation i WHERE i.resetlogs_change# = l.resetlogs_change# \
             AND l.next_change# <= (SELECT MIN(h.checkpoint_change#) {MOVING}) GROUP BY i.resetlogs_id, l.thread#"
        ),
    );
    let reply = sqlplus.run(&script)?;
    let row = reply.row(files)?;
    let (lowest, count, unreadable): (Option<u64>, u64, u64) = (row.get(0)?, row.get(1)?, row.get(2)?);
    let mut word = Word {
        dbid: reply.row(database)?.get(0)?,
        role: reply.row(database)?.get(1)?,
        scn: lowest.filter(|scn| *scn > 0 && count > 0 && unreadable == 0),
        unreadable,
        sequences: BTreeMap::new(),
    };
    for row in reply.rows(history) {
        word.sequences.insert((row.get(0)?, row.get(1)?), row.get(2)?);
    }
    Ok(word)
}

/// What the standby has applied, for a source database with this DBID (0: unknown).
pub fn applied(session: &Session, dbid: u64) -> Applied {
    let Some(sqlplus) = sqlplus(session) else {
        return Applied::Unknown(
            "there is no standby to ask: no --dest-host and no --standby-sid".to_owned(),
        );
    };
    match ask(&sqlplus).context("ask the standby what it has applied") {
        Ok(word) if dbid != 0 && word.dbid != dbid => Applied::Unknown(format!(
            "{} is another database: its DBID is {}, not {dbid}; name the standby with --standby-sid",
            sqlplus.target(),
            word.dbid
        )),
        Ok(word) if word.role == "PRIMARY" => Applied::Unknown(format!(
            "{} is a primary database: it was activated, or another one is meant",
            sqlplus.target()
        )),
        Ok(Word { scn: Some(scn), sequences, .. }) => Applied::Standby { scn, sequences },
        Ok(word) => Applied::Unknown(format!("{} of its datafiles cannot be read yet", word.unreadable)),
        Err(error) => Applied::Unknown(format!("{error:#}")),
    }
}
