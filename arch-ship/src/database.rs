//! What the source database says of its archived logs. Facts and traps: ORACLE_FACTS 2.5.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use chrono::NaiveDateTime;
use common::exit::{Exit, Failure};
use common::oracle::connect::Connect;
use common::oracle::home::{Environment, Home};
use common::oracle::runner::Runner;
use common::oracle::script::{date, scn, Script};
use common::oracle::sqlplus::Sqlplus;

use crate::facts::{Absent, Key, Known, SourceLog, SourceState};
use crate::scan::{key_of, stat_of, Headers};

/// The archiver may take so long after a log switch before its silence is a problem.
const ARCHIVER_MAY_TAKE: chrono::Duration = chrono::Duration::minutes(5);

/// A session at the source database.
pub struct Database {
    sqlplus: Sqlplus,
    pub sid: String,
}

/// One archived copy: a row of V$ARCHIVED_LOG for a local destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub key: Key,
    pub resetlogs_change: u64,
    pub first_change: u64,
    pub next_change: u64,
    pub next_time: Option<NaiveDateTime>,
    /// BLOCKS × BLOCK_SIZE: the file is at least so long.
    pub bytes: u64,
    /// `None`: deleted or cleared.
    pub name: Option<String>,
}

/// One log switch: a row of V$LOG_HISTORY, or the current log of a thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Switch {
    pub thread: u64,
    pub sequence: u64,
    pub first_change: u64,
    /// `None` for the current log.
    pub next_change: Option<u64>,
    pub first_time: Option<NaiveDateTime>,
}

/// The answer of the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub dbid: u64,
    pub name: String,
    pub resetlogs_id: u64,
    pub resetlogs_change: u64,
    pub current_scn: u64,
    /// SYSDATE.
    pub now: NaiveDateTime,
    /// RESETLOGS_CHANGE# by RESETLOGS_ID.
    pub incarnations: BTreeMap<u64, u64>,
    pub rows: Vec<Row>,
    pub history: Vec<Switch>,
}

impl Database {
    /// Finds the installation. Nothing is started yet.
    pub fn new(limit: Duration, log: Option<PathBuf>) -> anyhow::Result<Self> {
        let home = Home::locate(&Environment::of_process(), true)?;
        let sid = home.sid.clone().unwrap_or_default();
        let sqlplus = Sqlplus::new(Runner::Local(home), Connect::sysdba()).limit(limit).log(log);
        Ok(Self { sqlplus, sid })
    }

    /// The SCN of this moment.
    pub fn current_scn(&self) -> anyhow::Result<u64> {
        let mut script = Script::new();
        let step = script.query(&[scn("CURRENT_SCN")], "FROM v$database");
        self.sqlplus.run(&script)?.row(step)?.get(0)
    }

    /// A value that changes whenever [`Database::ask`] would say something new; cheap.
    pub fn fingerprint(&self) -> anyhow::Result<String> {
        let mut script = Script::new();
        let rows = script.query(
            &[scn("COUNT(*)"), scn("NVL(MAX(recid),0)"), scn("NVL(SUM(DECODE(deleted,'YES',1,0)),0)")],
            "FROM v$archived_log",
        );
        let incarnation = script.query(&[scn("resetlogs_change#")], "FROM v$database");
        let switches = script.query(&[scn("NVL(MAX(recid),0)")], "FROM v$log_history");
        let reply = self.sqlplus.run(&script)?;
        let mut text = String::new();
        for step in [rows, incarnation, switches] {
            for value in &reply.row(step)?.values {
                text.push_str(value.as_deref().unwrap_or("-"));
                text.push('/');
            }
        }
        Ok(text)
    }

    /// Asks for everything.
    ///
    /// # Errors
    /// Status 4: the database does not archive. Others as the session's.
    pub fn ask(&self) -> anyhow::Result<Answer> {
        let mut script = Script::new();
        let database = script.query(
            &[
                scn("dbid"),
                "name".to_owned(),
                scn("resetlogs_change#"),
                scn("current_scn"),
                date("SYSDATE"),
                "log_mode".to_owned(),
            ],
            "FROM v$database",
        );
        let incarnations = script.query(
            &[scn("resetlogs_id"), scn("resetlogs_change#")],
            "FROM v$database_incarnation WHERE status IN ('CURRENT','PARENT')",
        );
        let rows = script.query(
            &[
                scn("resetlogs_id"),
                scn("thread#"),
                scn("sequence#"),
                scn("resetlogs_change#"),
                scn("first_change#"),
                scn("next_change#"),
                date("next_time"),
                scn("blocks*block_size"),
                "name".to_owned(),
                "deleted".to_owned(),
                "status".to_owned(),
            ],
            "FROM v$archived_log WHERE standby_dest = 'NO' AND archived = 'YES'",
        );
        let history = script.query(
            &[
                scn("thread#"),
                scn("sequence#"),
                scn("first_change#"),
                scn("next_change#"),
                date("first_time"),
                scn("resetlogs_change#"),
            ],
            "FROM v$log_history WHERE resetlogs_change# = (SELECT resetlogs_change# FROM v$database)",
        );
        let current = script.query(
            &[scn("thread#"), scn("sequence#"), scn("first_change#"), date("first_time")],
            "FROM v$log WHERE status = 'CURRENT'",
        );
        let reply = self.sqlplus.run(&script)?;
        let row = reply.row(database)?;
        let log_mode: String = row.get(5)?;
        let name: String = row.get(1)?;
        if log_mode == "NOARCHIVELOG" {
            return Err(Failure::new(Exit::Refused, format!("database {name} is in NOARCHIVELOG mode"))
                .hint("there is no redo to ship: ALTER DATABASE ARCHIVELOG, in mount mode, then a new copy of it")
                .into());
        }
        let mut answer = Answer {
            dbid: row.get(0)?,
            name,
            resetlogs_id: 0,
            resetlogs_change: row.get(2)?,
            current_scn: row.get(3)?,
            now: row.get(4)?,
            incarnations: BTreeMap::new(),
            rows: Vec::new(),
            history: Vec::new(),
        };
        for row in reply.rows(incarnations) {
            answer.incarnations.insert(row.get(0)?, row.get(1)?);
        }
        let own = answer.incarnations.iter().find(|(_, change)| **change == answer.resetlogs_change);
        answer.resetlogs_id = own.map_or(0, |(id, _)| *id);
        for row in reply.rows(rows) {
            let key = Key {
                dbid: answer.dbid,
                resetlogs_id: row.get(0)?,
                thread: row.get(1)?,
                sequence: row.get(2)?,
            };
            if !answer.incarnations.contains_key(&key.resetlogs_id) {
                continue;
            }
            let deleted: String = row.get(9)?;
            let status: String = row.get(10)?;
            let name: Option<String> = row.get(8)?;
            answer.rows.push(Row {
                key,
                resetlogs_change: row.get(3)?,
                first_change: row.get(4)?,
                next_change: row.get(5)?,
                next_time: row.get(6)?,
                bytes: row.get(7)?,
                name: name.filter(|_| deleted != "YES" && status == "A"),
            });
        }
        for row in reply.rows(history) {
            answer.history.push(Switch {
                thread: row.get(0)?,
                sequence: row.get(1)?,
                first_change: row.get(2)?,
                next_change: Some(row.get(3)?),
                first_time: row.get(4)?,
            });
        }
        for row in reply.rows(current) {
            answer.history.push(Switch {
                thread: row.get(0)?,
                sequence: row.get(1)?,
                first_change: row.get(2)?,
                next_change: None,
                first_time: row.get(3)?,
            });
        }
        Ok(answer)
    }
}

impl Answer {
    /// The logs that have a file, and what is known of all.
    ///
    /// Of several copies of one log the first good one counts.
    pub fn logs(&self, headers: &mut Headers, check: bool) -> (Vec<SourceLog>, BTreeMap<Key, Known>) {
        let mut logs = Vec::new();
        let mut known: BTreeMap<Key, Known> = BTreeMap::new();
        for row in &self.rows {
            let (log, absent) = match &row.name {
                None => (None, Some(Absent::Deleted)),
                Some(name) => match file_of(row, Path::new(name), headers, check) {
                    Ok(Some(log)) => (Some(log), None),
                    Ok(None) => (None, Some(Absent::FileGone(PathBuf::from(name)))),
                    Err(state) => (Some(of_row(row, Path::new(name), state)), None),
                },
            };
            logs.extend(log);
            let entry = known.entry(row.key).or_insert_with(|| Known {
                first_change: row.first_change,
                next_change: row.next_change,
                absent: absent.clone(),
            });
            // A copy with a file outweighs one without, and a named file says more than "deleted".
            match (&entry.absent, &absent) {
                (Some(_), None) | (Some(Absent::Deleted), Some(Absent::FileGone(_))) => entry.absent = absent,
                _ => {}
            }
        }
        for (key, switch) in self.never_archived(&known) {
            known.insert(key, switch);
        }
        (logs, known)
    }

    /// Log switches that V$ARCHIVED_LOG should know by now and does not.
    fn never_archived(&self, known: &BTreeMap<Key, Known>) -> Vec<(Key, Known)> {
        let mut found = Vec::new();
        for switch in &self.history {
            let Some(next_change) = switch.next_change else { continue };
            let key = Key {
                dbid: self.dbid,
                resetlogs_id: self.resetlogs_id,
                thread: switch.thread,
                sequence: switch.sequence,
            };
            // Rows age out of V$ARCHIVED_LOG sooner than out of V$LOG_HISTORY.
            let oldest = known.range(key.chain().key(0)..).next().filter(|(k, _)| k.chain() == key.chain());
            let aged_out = oldest.is_some_and(|(k, _)| key.sequence < k.sequence);
            let ended = self
                .history
                .iter()
                .find(|s| s.thread == switch.thread && s.sequence == switch.sequence + 1)
                .and_then(|s| s.first_time);
            let overdue = ended.is_some_and(|t| self.now - t > ARCHIVER_MAY_TAKE);
            if !known.contains_key(&key) && !aged_out && overdue {
                let absent = Some(Absent::NeverArchived);
                found.push((key, Known { first_change: switch.first_change, next_change, absent }));
            }
        }
        found
    }
}

fn of_row(row: &Row, path: &Path, state: SourceState) -> SourceLog {
    SourceLog {
        key: row.key,
        resetlogs_change: row.resetlogs_change,
        first_change: Some(row.first_change),
        next_change: Some(row.next_change),
        next_time: row.next_time,
        path: path.to_path_buf(),
        rel: PathBuf::from(path.file_name().unwrap_or_default()),
        stat: crate::facts::FileStat { bytes: row.bytes, mtime_ns: 0, inode: 0 },
        state,
    }
}

/// The file of a row, checked against it; `None` when there is none.
fn file_of(
    row: &Row,
    path: &Path,
    headers: &mut Headers,
    check: bool,
) -> Result<Option<SourceLog>, SourceState> {
    let damaged = |reason: String| Err(SourceState::Damaged(reason));
    if !path.is_absolute() {
        return damaged("in ASM or a service and not in a file system: only files can be shipped".to_owned());
    }
    let stat = match std::fs::metadata(path) {
        Ok(meta) => stat_of(&meta),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return damaged(format!("unreadable: {e}")),
    };
    let mut log = of_row(row, path, SourceState::Ready);
    log.stat = stat;
    if stat.bytes < row.bytes {
        return Err(SourceState::Damaged(format!(
            "truncated: it has {} bytes, V$ARCHIVED_LOG says {}",
            stat.bytes, row.bytes
        )));
    }
    if !check {
        return Ok(Some(log));
    }
    let header = match headers.read(path, stat) {
        Ok(Ok(header)) => header,
        Ok(Err(verdict)) => return damaged(verdict.to_string()),
        Err(_) if !path.exists() => return Ok(None),
        Err(error) => return damaged(format!("unreadable: {error:#}")),
    };
    let own = (key_of(header), Some(header.first_scn), header.next_scn);
    if own != (row.key, log.first_change, log.next_change) {
        return damaged(format!(
            "not the log that V$ARCHIVED_LOG names: its header says DBID {} resetlogs id {} thread {} sequence {} \
             from SCN {}",
            header.dbid, header.resetlogs_id, header.thread, header.sequence, header.first_scn
        ));
    }
    if header.used_bytes().is_none_or(|used| stat.bytes < used) {
        return damaged(format!("truncated: it has {} bytes", stat.bytes));
    }
    Ok(Some(log))
}

/// This host's clock in the form of the database's dates.
pub fn local_now() -> NaiveDateTime {
    chrono::DateTime::<chrono::Local>::from(SystemTime::now()).naive_local()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: i64) -> NaiveDateTime {
        NaiveDateTime::default() + chrono::Duration::minutes(minutes)
    }

    fn row(sequence: u64, name: Option<&str>) -> Row {
        Row {
            key: Key { dbid: 7, resetlogs_id: 100, thread: 1, sequence },
            resetlogs_change: 1,
            first_change: sequence * 10,
            next_change: sequence * 10 + 10,
            next_time: None,
            bytes: 3,
            name: name.map(str::to_owned),
        }
    }

    fn switch(sequence: u64, minute: i64, current: bool) -> Switch {
        Switch {
            thread: 1,
            sequence,
            first_change: sequence * 10,
            next_change: (!current).then_some(sequence * 10 + 10),
            first_time: Some(at(minute)),
        }
    }

    fn answer(rows: Vec<Row>, history: Vec<Switch>) -> Answer {
        Answer {
            dbid: 7,
            name: "PROD".to_owned(),
            resetlogs_id: 100,
            resetlogs_change: 1,
            current_scn: 1000,
            now: at(100),
            incarnations: BTreeMap::from([(100, 1)]),
            rows,
            history,
        }
    }

    #[test]
    fn of_several_copies_the_one_with_a_file_counts() {
        let dir = tempfile::tempdir().unwrap();
        let good = dir.path().join("1_5_100.arc");
        std::fs::write(&good, "xyz").unwrap();
        let short = dir.path().join("1_6_100.arc");
        std::fs::write(&short, "x").unwrap();
        let answer = answer(
            vec![
                row(5, None),
                row(5, Some("/gone/1_5_100.arc")),
                row(5, good.to_str()),
                row(6, short.to_str()),
                row(7, Some("+FRA/PROD/ARCHIVELOG/thread_1_seq_7.1.1")),
                row(8, Some("/gone/1_8_100.arc")),
                row(9, None),
            ],
            Vec::new(),
        );
        let (logs, known) = answer.logs(&mut Headers::default(), false);
        let absent = |s: u64| known[&row(s, None).key].absent.clone();
        assert_eq!(absent(5), None);
        assert_eq!(absent(8), Some(Absent::FileGone(PathBuf::from("/gone/1_8_100.arc"))));
        assert_eq!(absent(9), Some(Absent::Deleted));
        let states: Vec<_> = logs.iter().map(|l| (l.key.sequence, l.is_ready())).collect();
        assert_eq!(states, [(5, true), (6, false), (7, false)]);
        let SourceState::Damaged(reason) = &logs[2].state else { panic!("{:?}", logs[2]) };
        assert!(reason.contains("ASM"));
    }

    #[test]
    fn a_switch_that_was_not_archived_for_minutes_is_reported() {
        // 5 is archived, 6 ended at minute 50, 7 at minute 98: the archiver may still be at work on it.
        let history = vec![
            switch(4, 0, false),
            switch(5, 10, false),
            switch(6, 20, false),
            switch(7, 50, false),
            switch(8, 98, true),
        ];
        let (_, known) = answer(vec![row(5, None)], history).logs(&mut Headers::default(), false);
        let never: Vec<_> = known
            .iter()
            .filter(|(_, k)| k.absent == Some(Absent::NeverArchived))
            .map(|(k, _)| k.sequence)
            .collect();
        assert_eq!(never, [6], "4 has aged out of V$ARCHIVED_LOG, 7 is only just over");
    }
}
