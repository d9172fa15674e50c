//! The journal of every program call: who ran with which arguments, what it sent, what came back, how it ended.
//!
//! The file holds events, one JSON object per line, written as they happen: a client that is killed leaves its call and its
//! statements behind. The client writes `call` and `exit`, the instance `statement` and `result`. [`read`] folds the
//! events into one [`Call`] each.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustix::fs::{flock, FlockOperation};
use serde::{Deserialize, Serialize};

/// One line of the file.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum Event {
    Call {
        id: String,
        /// RFC 3339, UTC.
        time: String,
        program: String,
        argv: Vec<String>,
        /// Names of the environment variables, without their values.
        env: Vec<String>,
        pid: u32,
        ppid: u32,
    },
    Statement {
        id: String,
        n: u64,
        time: String,
        text: String,
    },
    Result {
        id: String,
        n: u64,
        /// 0, or the number of the first ORA- error.
        code: u32,
        backup: Vec<Backup>,
    },
    Exit {
        id: String,
        time: String,
        status: i32,
    },
}

/// A BEGIN BACKUP or END BACKUP within a statement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backup {
    pub begin: bool,
    /// `TABLESPACE name` (with its container in front: `PDB1:TABLESPACE name`), `DATABASE` or `DATAFILE n`.
    pub scope: String,
    /// Number of files in backup mode in the whole database afterwards, when it could be asked.
    pub active: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    pub text: String,
    /// `None` when no answer was given: the instance or the session died in it, or it is still running.
    pub code: Option<u32>,
    pub backup: Vec<Backup>,
    /// Position in the journal; gives the order among calls.
    pub line: usize,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Call {
    pub id: String,
    pub time: String,
    pub program: String,
    pub argv: Vec<String>,
    pub env: Vec<String>,
    pub pid: u32,
    pub ppid: u32,
    pub statements: Vec<Statement>,
    /// `None` when the program was killed.
    pub status: Option<i32>,
}

pub fn path(dir: &Path) -> PathBuf {
    dir.join("journal.jsonl")
}

pub fn now() -> String {
    chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Micros, true)
}

/// Appends one event under a lock.
///
/// # Errors
/// When the file cannot be opened, locked or written.
pub fn append(dir: &Path, event: &Event) -> Result<()> {
    let path = path(dir);
    let file: File = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&path)
        .with_context(|| format!("cannot open {}", path.display()))?;
    flock(&file, FlockOperation::LockExclusive)?;
    let mut line = serde_json::to_vec(event)?;
    line.push(b'\n');
    (&file).write_all(&line).with_context(|| format!("cannot write {}", path.display()))
}

/// Reads the journal of an instance directory; an absent file is an empty journal.
///
/// # Errors
/// When the file cannot be read or a line is no event.
pub fn read(dir: &Path) -> Result<Vec<Call>> {
    let path = path(dir);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(vec![]),
        Err(e) => return Err(e).with_context(|| format!("cannot read {}", path.display())),
    };
    let mut calls: Vec<Call> = Vec::new();
    let mut by_id: BTreeMap<String, usize> = BTreeMap::new();
    let mut open: BTreeMap<(String, u64), (usize, usize)> = BTreeMap::new();
    for (line, text) in text.lines().enumerate() {
        let event: Event =
            serde_json::from_str(text).with_context(|| format!("{} line {}", path.display(), line + 1))?;
        let (Event::Call { id, .. }
        | Event::Statement { id, .. }
        | Event::Result { id, .. }
        | Event::Exit { id, .. }) = &event;
        let at = *by_id.entry(id.clone()).or_insert_with(|| {
            calls.push(Call { id: id.clone(), ..Call::default() });
            calls.len() - 1
        });
        let call = &mut calls[at];
        match event {
            Event::Call { time, program, argv, env, pid, ppid, .. } => {
                *call = Call { time, program, argv, env, pid, ppid, ..std::mem::take(call) };
            }
            Event::Statement { id, n, text, .. } => {
                open.insert((id, n), (at, call.statements.len()));
                call.statements.push(Statement { text, code: None, backup: vec![], line });
            }
            Event::Result { id, n, code, backup } => {
                if let Some((call, statement)) = open.remove(&(id, n)) {
                    let statement = &mut calls[call].statements[statement];
                    statement.code = Some(code);
                    statement.backup = backup;
                    statement.line = line;
                }
            }
            Event::Exit { status, .. } => call.status = Some(status),
        }
    }
    Ok(calls)
}

/// No argument of any program call may hold a secret.
///
/// # Errors
/// Names the program, its pid and the position of the argument; never the secret itself.
pub fn no_secret_in_argv(calls: &[Call], secrets: &[&str]) -> Result<(), String> {
    for call in calls {
        for (position, arg) in call.argv.iter().enumerate() {
            if secrets.iter().any(|s| !s.is_empty() && arg.contains(s)) {
                return Err(format!(
                    "{} (pid {}) had a secret in argument {position}",
                    call.program, call.pid
                ));
            }
        }
    }
    Ok(())
}

/// Every BEGIN BACKUP that succeeded, or whose outcome nobody saw, must be followed by its END.
///
/// An END counts when it succeeded, or when it found the files out of backup mode already (ORA-01142).
///
/// # Errors
/// Names the scopes that were left in backup mode.
pub fn every_begin_has_its_end(calls: &[Call]) -> Result<(), String> {
    let mut statements: Vec<&Statement> = calls.iter().flat_map(|c| &c.statements).collect();
    statements.sort_by_key(|s| s.line);
    let mut open: BTreeSet<String> = BTreeSet::new();
    for statement in statements {
        let marks = match statement.code {
            // Without an answer the text is all there is.
            None => scopes(&statement.text),
            Some(_) => statement.backup.clone(),
        };
        for mark in marks {
            match (mark.begin, statement.code) {
                (true, Some(0) | None) => {
                    open.insert(mark.scope);
                }
                (false, Some(0 | 1142 | 1260)) => {
                    if mark.active == Some(0) || mark.scope == "DATABASE" {
                        open.clear();
                    } else {
                        open.remove(&mark.scope);
                    }
                }
                _ => {}
            }
        }
    }
    if open.is_empty() {
        Ok(())
    } else {
        Err(format!("left in backup mode: {}", open.into_iter().collect::<Vec<_>>().join(", ")))
    }
}

/// The BEGIN and END BACKUPs that a statement text holds, also within EXECUTE IMMEDIATE.
pub fn scopes(text: &str) -> Vec<Backup> {
    use crate::engine::{BackupScope, Command};
    use crate::sql::{parse, plsql, Parsed};
    let scope = |scope: &BackupScope| match scope {
        BackupScope::Tablespace(name) => format!("TABLESPACE {name}"),
        BackupScope::Database => "DATABASE".to_string(),
        BackupScope::Datafile(n) => format!("DATAFILE {n}"),
    };
    match parse(text) {
        Ok(Parsed::Command(Command::BeginBackup(s), _)) => {
            vec![Backup { begin: true, scope: scope(&s), active: None }]
        }
        Ok(Parsed::Command(Command::EndBackup(s), _)) => {
            vec![Backup { begin: false, scope: scope(&s), active: None }]
        }
        Ok(Parsed::Block) => plsql::literals(text).iter().flat_map(|t| scopes(t)).collect(),
        _ => vec![],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(argv: &[&str], statements: &[(&str, Option<u32>)]) -> Call {
        Call {
            program: "sqlplus".into(),
            argv: argv.iter().map(ToString::to_string).collect(),
            statements: statements
                .iter()
                .enumerate()
                .map(|(line, (text, code))| Statement {
                    text: text.to_string(),
                    code: *code,
                    backup: scopes(text),
                    line,
                })
                .collect(),
            ..Call::default()
        }
    }

    #[test]
    fn secrets() {
        let good = [call(&["sqlplus", "-S", "/nolog"], &[])];
        let bad = [call(&["sqlplus", "system/tiger#1@orcl"], &[])];
        assert!(no_secret_in_argv(&good, &["tiger#1"]).is_ok());
        let error = no_secret_in_argv(&bad, &["tiger#1"]).unwrap_err();
        assert!(error.contains("argument 1") && !error.contains("tiger"), "{error}");
    }

    #[test]
    fn begins_and_ends() {
        const B: &str = "ALTER TABLESPACE USERS BEGIN BACKUP";
        const E: &str = "alter tablespace users end backup";
        let check = |s: &[(&str, Option<u32>)]| every_begin_has_its_end(&[call(&[], s)]);
        assert!(check(&[(B, Some(0)), (E, Some(0))]).is_ok());
        assert!(check(&[(B, Some(1146))]).is_ok());
        assert!(check(&[(B, Some(0)), ("ALTER DATABASE END BACKUP", Some(0))]).is_ok());
        assert!(check(&[(B, None), (E, Some(1142))]).is_ok());
        assert!(check(&[(B, Some(0))]).unwrap_err().contains("TABLESPACE USERS"));
        assert!(check(&[(B, None)]).is_err());
        assert!(check(&[(B, Some(0)), (E, Some(1031))]).is_err());
        assert!(check(&[(B, Some(0)), (E, None)]).is_err());
        assert!(check(&[(E, Some(0)), (B, Some(0))]).is_err());
        assert!(
            check(&[("begin execute immediate 'alter tablespace t begin backup'; end;", Some(0))]).is_err()
        );
    }

    #[test]
    fn folds_events() {
        let dir = tempfile::tempdir().unwrap();
        let id = "7-1".to_string();
        let write = |e: Event| append(dir.path(), &e).unwrap();
        write(Event::Call {
            id: id.clone(),
            time: now(),
            program: "sqlplus".into(),
            argv: vec!["-S".into()],
            env: vec!["HOME".into()],
            pid: 7,
            ppid: 1,
        });
        write(Event::Statement { id: id.clone(), n: 1, time: now(), text: "select 1 from dual".into() });
        write(Event::Result { id: id.clone(), n: 1, code: 942, backup: vec![] });
        write(Event::Statement { id: id.clone(), n: 2, time: now(), text: "x".into() });
        write(Event::Exit { id, time: now(), status: 3 });
        let calls = read(dir.path()).unwrap();
        assert_eq!((calls.len(), calls[0].status, calls[0].pid), (1, Some(3), 7));
        assert_eq!(calls[0].statements.iter().map(|s| s.code).collect::<Vec<_>>(), [Some(942), None]);
    }
}
