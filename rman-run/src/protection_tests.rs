use chrono::NaiveDate;
use common::record::ThreadFact;

use super::*;
use crate::facts::{ArchivedLog, Database, Datafile};

fn time(day: u32) -> NaiveDateTime {
    NaiveDate::from_ymd_opt(2026, 8, day).and_then(|d| d.and_hms_opt(20, 0, 0)).unwrap()
}

fn facts() -> Facts {
    let file = |file: u64| Datafile {
        file,
        path: format!("/u/{file}.dbf"),
        creation_change: 5,
        status: "ONLINE".to_owned(),
        enabled: "READ WRITE".to_owned(),
        ..Datafile::default()
    };
    Facts {
        database: Database { resetlogs_change: 1, resetlogs_id: 99, ..Database::default() },
        files: vec![file(1), file(2)],
        threads: vec![ThreadFact { thread: 1, enabled_change: 1, disabled_change: None }],
        ..Facts::default()
    }
}

fn set(repository: &mut Repository, count: u64, there: bool) -> SetKey {
    let key = (1, count);
    repository.sets.insert(key, 1);
    let piece = Piece {
        set: key,
        number: 1,
        handle: format!("/b/{count}"),
        status: "A".to_owned(),
        there,
        ..Piece::default()
    };
    repository.pieces.push(piece);
    key
}

fn datafile(
    repository: &mut Repository,
    set: SetKey,
    file: u64,
    level: u64,
    from: u64,
    checkpoint: u64,
    day: u32,
) {
    repository.files.push(FileBackup {
        set,
        file,
        level,
        incremental_change: from,
        checkpoint_change: checkpoint,
        fuzzy_change: 0,
        creation_change: 5,
        completed: Some(time(day)),
    });
}

fn log(repository: &mut Repository, set: SetKey, sequence: u64, first: u64, next: u64) {
    let key = LogKey { resetlogs_change: 1, thread: 1, sequence };
    repository.logs.push(LogBackup {
        set,
        key,
        first_change: first,
        next_change: next,
        completed: Some(time(2)),
    });
}

fn good() -> Repository {
    let mut r = Repository::default();
    let zero = set(&mut r, 1, true);
    datafile(&mut r, zero, 1, 0, 0, 100, 1);
    datafile(&mut r, zero, 2, 0, 0, 110, 1);
    let one = set(&mut r, 2, true);
    datafile(&mut r, one, 1, 1, 100, 200, 2);
    datafile(&mut r, one, 2, 1, 110, 210, 2);
    let logs = set(&mut r, 3, true);
    log(&mut r, logs, 7, 90, 150);
    log(&mut r, logs, 8, 150, 205);
    log(&mut r, logs, 9, 205, 300);
    r
}

#[test]
fn a_whole_chain_is_recoverable_to_its_last_log() {
    let found = assess(&facts(), &good());
    assert_eq!((found.problems.len(), found.gaps.len()), (0, 0), "{found:?}");
    let window = found.window.unwrap();
    assert_eq!((window.begin_scn, window.end_scn), (200, 300));
    assert_eq!((window.threads[0].first_sequence, window.threads[0].last_sequence), (8, 9));
    assert_eq!((found.level_0, found.any_level), (Some(time(1)), Some(time(2))));
}

#[test]
fn a_lost_level_1_falls_back_to_the_level_0_and_its_redo() {
    let mut r = good();
    r.pieces[1].there = false;
    let found = assess(&facts(), &r);
    assert_eq!(found.problems, Vec::<String>::new());
    let window = found.window.unwrap();
    assert_eq!((window.begin_scn, window.end_scn), (100, 300));
    assert_eq!(found.any_level, Some(time(1)));
}

#[test]
fn a_lost_level_0_is_the_end() {
    let mut r = good();
    r.pieces[0].there = false;
    let found = assess(&facts(), &r);
    assert_eq!(found.problems.len(), 2);
    assert!(found.window.is_none() && found.level_0.is_none());
}

#[test]
fn a_hole_in_the_redo_is_named_and_ends_the_range() {
    let mut r = good();
    r.logs.retain(|l| l.key.sequence != 9);
    let (lost, far) = (set(&mut r, 4, false), set(&mut r, 5, true));
    log(&mut r, lost, 9, 205, 300);
    log(&mut r, far, 10, 300, 400);
    let found = assess(&facts(), &r);
    assert_eq!((found.gaps.len(), found.gaps[0].from, found.gaps[0].to), (1, 9, 9));
    assert!(found.problems[0].contains("beyond 210, and what is there ends at 205"), "{:?}", found.problems);
    // On disk it is as good as in a backup.
    let mut facts = facts();
    let key = LogKey { resetlogs_change: 1, thread: 1, sequence: 9 };
    facts.logs.push(ArchivedLog {
        key,
        first_change: 205,
        next_change: 300,
        on_disk: true,
        ..ArchivedLog::default()
    });
    let found = assess(&facts, &r);
    assert_eq!((found.gaps.len(), found.problems.len(), found.window.unwrap().end_scn), (0, 0, 400));
}

#[test]
fn the_first_log_may_be_the_one_that_is_missing() {
    let mut r = good();
    r.logs.retain(|l| l.key.sequence != 8);
    let mut facts = facts();
    let key = LogKey { resetlogs_change: 1, thread: 1, sequence: 8 };
    facts.logs.push(ArchivedLog {
        key,
        first_change: 150,
        next_change: 205,
        on_disk: false,
        ..ArchivedLog::default()
    });
    let found = assess(&facts, &r);
    assert_eq!((found.gaps[0].from, found.gaps[0].to), (8, 8));
    assert!(!found.problems.is_empty());
}

#[test]
fn files_that_are_new_or_read_only_or_made_again() {
    let mut facts = facts();
    facts.files.push(Datafile { file: 3, creation_change: 250, ..facts.files[0].clone() });
    let found = assess(&facts, &good());
    assert_eq!((found.problems.len(), found.notes.len()), (0, 1));
    // The number is the same, the file is another one.
    facts.files[2] = Datafile { file: 2, creation_change: 7, ..facts.files[0].clone() };
    facts.files.remove(1);
    assert_eq!(assess(&facts, &good()).problems.len(), 1);
    let mut facts = self::facts();
    facts.files[0].enabled = "READ ONLY".to_owned();
    assert_eq!(assess(&facts, &good()).window.unwrap().begin_scn, 210);
}
