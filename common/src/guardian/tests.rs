//! Whose backup mode it is: the decisions, without a database.

use super::*;

fn entry(scope: &str, files: &[(u64, Option<u64>)]) -> Entry {
    Entry {
        scope: Scope::Tablespace { container: None, name: scope.to_owned() },
        tool: "ts-hotbackup".to_owned(),
        run: "r1".to_owned(),
        pid: 1,
        host: "prod1".to_owned(),
        dbid: 7,
        asked: "2026-01-01T00:00:00.000Z".to_owned(),
        files: files
            .iter()
            .map(|(n, change)| JournalFile { file: *n, path: format!("/u05/{n}.dbf"), change: *change })
            .collect(),
    }
}

fn active(file: u64, change: u64) -> FileState {
    FileState {
        file,
        path: format!("/u05/{file}.dbf"),
        active: true,
        change: Some(change),
        ..FileState::default()
    }
}

fn open() -> Identity {
    Identity {
        dbid: 7,
        name: "PROD".to_owned(),
        open_mode: "READ WRITE".to_owned(),
        role: "PRIMARY".to_owned(),
        controlfile_type: "CURRENT".to_owned(),
    }
}

fn mounted() -> Identity {
    Identity { open_mode: "MOUNTED".to_owned(), ..open() }
}

#[test]
fn ours_is_ended_and_somebody_elses_is_named() {
    let journal = Journal { entries: vec![entry("USERS", &[(4, Some(100)), (5, Some(100))])] };
    let verdict = judge(&journal, &open(), &[active(4, 100), active(9, 90)], "prod1");
    assert_eq!(verdict.end, [journal.entries[0].scope.clone()]);
    assert_eq!(verdict.foreign.iter().map(|f| f.file).collect::<Vec<_>>(), [9]);
    assert!(judge(&journal, &open(), &[], "prod1").is_settled());
}

#[test]
fn a_later_begin_of_somebody_else_is_not_ours() {
    let journal = Journal { entries: vec![entry("USERS", &[(4, Some(100))])] };
    let verdict = judge(&journal, &open(), &[active(4, 200)], "prod1");
    assert!(verdict.is_settled() && verdict.foreign.len() == 1, "{verdict:?}");
    let unknown = Journal { entries: vec![entry("USERS", &[(4, None)])] };
    assert_eq!(judge(&unknown, &open(), &[active(4, 200)], "prod1").end.len(), 1);
}

#[test]
fn a_crashed_original_is_ended_file_by_file() {
    let journal = Journal { entries: vec![entry("USERS", &[(4, Some(100)), (5, Some(100))])] };
    let verdict = judge(&journal, &mounted(), &[active(4, 100), active(5, 100)], "prod1");
    assert_eq!((verdict.end_mounted, verdict.end.len()), (vec![4, 5], 0));
}

#[test]
fn a_copy_is_never_declared_good() {
    let journal = Journal { entries: vec![entry("USERS", &[(4, Some(100))])] };
    let refused = |identity: Identity, file: FileState, host: &str| {
        let verdict = judge(&journal, &identity, &[file], host);
        assert!(verdict.end_mounted.is_empty() && verdict.end.is_empty());
        verdict.forbidden.unwrap()
    };
    let standby =
        Identity { role: "PHYSICAL STANDBY".to_owned(), controlfile_type: "STANDBY".to_owned(), ..mounted() };
    assert!(refused(standby, active(4, 100), "prod1").contains("a copy"));
    let restored = Identity { controlfile_type: "BACKUP".to_owned(), ..mounted() };
    assert!(refused(restored, active(4, 100), "prod1").contains("a copy"));
    let moved = FileState { path: "/u15/4.dbf".to_owned(), ..active(4, 100) };
    assert!(refused(mounted(), moved, "prod1").contains("/u15/4.dbf"));
    assert!(refused(mounted(), active(4, 100), "dr1").contains("host prod1"));
    assert!(refused(Identity { dbid: 8, ..mounted() }, active(4, 100), "prod1").contains("DBID 8"));
}

#[test]
fn another_database_settles_nothing() {
    let journal = Journal { entries: vec![entry("USERS", &[(4, Some(100))])] };
    // Nothing is ACTIVE there, and the obligation stands.
    let other = judge(&journal, &Identity { dbid: 8, ..open() }, &[], "prod1");
    assert!(!other.is_settled() && other.forbidden.unwrap().contains("DBID 8"));
    let standby =
        Identity { role: "PHYSICAL STANDBY".to_owned(), controlfile_type: "STANDBY".to_owned(), ..mounted() };
    assert!(!judge(&journal, &standby, &[], "prod1").is_settled());
    assert!(judge(&Journal::default(), &standby, &[], "prod1").is_settled());
}

#[test]
fn a_journal_without_obligations_is_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = Journal { entries: vec![entry("My ts", &[(4, None)])] };
    journal.store(dir.path(), "PROD").unwrap();
    assert_eq!(Journal::load(dir.path(), "PROD").unwrap(), (journal.clone(), None));
    journal.entries.clear();
    journal.store(dir.path(), "PROD").unwrap();
    assert!(!Journal::path(dir.path(), "PROD").exists());
}

#[test]
fn a_corrupt_journal_is_set_aside_and_said() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(Journal::path(dir.path(), "PROD"), "{\"entries\": [").unwrap();
    let (journal, warning) = Journal::load(dir.path(), "PROD").unwrap();
    assert!(journal.entries.is_empty() && warning.unwrap().contains("was set aside as"));
}

#[test]
fn only_a_refusal_of_oracle_means_that_nothing_was_begun() {
    use super::database::{outcome, BeginError};
    use crate::oracle::sql_error::{SqlError, SqlErrorKind};
    let judged = |kind, codes: &[&str], begun| {
        let codes = codes.iter().map(|c| (*c).to_owned()).collect();
        let step = Some("ALTER TABLESPACE \"USERS\" BEGIN BACKUP".to_owned());
        let error = SqlError::new(kind, "PROD".to_owned(), step, codes, String::new(), begun);
        outcome(&error)(anyhow::anyhow!("x"))
    };
    use SqlErrorKind::{NotAvailable, Statement, TimedOut};
    assert!(matches!(judged(Statement, &["ORA-01146", "ORA-01110"], true), BeginError::Refused(_)));
    assert!(matches!(judged(NotAvailable, &["ORA-01034"], false), BeginError::Refused(_)));
    // The header of the second file could not be written: the first one is in backup mode.
    assert!(matches!(judged(Statement, &["ORA-01114", "ORA-01110"], true), BeginError::Broken(_)));
    assert!(matches!(judged(NotAvailable, &["ORA-03113"], true), BeginError::Unknown(_)));
    assert!(matches!(judged(TimedOut, &[], true), BeginError::Unknown(_)));
}
