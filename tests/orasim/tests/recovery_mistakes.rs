//! The classical mistakes: each must be refused, and for the right reason.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod support;

use std::{fs, os::unix::fs::FileExt};

use orasim::{
    datafile::Header,
    engine::{BackupScope, Command, OraError, Until},
};
use support::{codes, Pair};

/// Recovers as far as it goes; the error that says why the copies are no good.
fn refusal(pair: &Pair) -> OraError {
    let (error, _) = pair.recover_all();
    if error.code() != 279 {
        return error;
    }
    pair.on_standby(Command::Open { read_only: true, resetlogs: false }).unwrap_err()
}

#[test]
fn a_copy_without_backup_mode() {
    let mut pair = Pair::new(|_| {});
    pair.db.write_batch(200).unwrap();
    pair.db.begin_batch(100).unwrap();
    pair.copy_all();
    pair.db.finish_batch().unwrap();
    pair.archive();
    let control = pair.standby_control();
    pair.db.write_batch(200).unwrap();
    pair.archive();
    pair.ship_all();
    pair.mount_standby(&control).unwrap();
    let (error, _) = pair.recover_all();
    assert_eq!(codes(&error), [283, 10562, 1578, 10564, 1110], "a torn block meets redo: {error:?}");
}

#[test]
fn a_copy_without_backup_mode_of_a_database_at_rest_is_still_fuzzy() {
    let mut pair = Pair::new(|_| {});
    pair.db.write_batch(200).unwrap();
    pair.copy_all();
    pair.archive();
    let control = pair.standby_control();
    pair.archive();
    pair.ship_all();
    pair.mount_standby(&control).unwrap();
    let error = refusal(&pair);
    assert_eq!(codes(&error), [10458, 1194, 1110], "{error:?}");
    let error = pair.recover(Until::Change(pair.reached())).unwrap_err();
    assert_eq!(codes(&error), [1547, 1194, 1110]);
}

#[test]
fn blocks_copied_after_end_backup() {
    let mut pair = Pair::new(|_| {});
    pair.db.write_batch(50).unwrap();
    pair.begin();
    pair.copy_all();
    pair.end();
    // The header was copied in time, the blocks of this file are not.
    pair.db.begin_batch(200).unwrap();
    let header = Header::read_path(&pair.copy_of(3)).unwrap();
    pair.copy(3);
    let copy = fs::OpenOptions::new().write(true).open(pair.copy_of(3)).unwrap();
    header.write(&copy).unwrap();
    pair.db.finish_batch().unwrap();
    pair.archive();
    let control = pair.standby_control();
    pair.archive();
    pair.ship_all();
    pair.mount_standby(&control).unwrap();
    let error = refusal(&pair);
    assert_eq!(codes(&error), [283, 10562, 1578, 10564, 1110], "{error:?}");
    assert!(error.stack[1].1.contains("file# 3"), "{error:?}");
}

#[test]
fn recovery_that_stops_before_the_end_marker() {
    let mut pair = Pair::new(|_| {});
    pair.db.write_batch(50).unwrap();
    pair.begin();
    pair.copy_all();
    pair.db.write_batch(100).unwrap();
    pair.archive();
    pair.db.write_batch(100).unwrap();
    let before_end = pair.db.current_scn();
    pair.end();
    pair.archive();
    let control = pair.standby_control();
    pair.ship_all();
    pair.mount_standby(&control).unwrap();
    let error = pair.recover(Until::Change(before_end)).unwrap_err();
    assert_eq!(codes(&error), [1547, 1195, 1110]);
    let error = pair.on_standby(Command::Open { read_only: true, resetlogs: false }).unwrap_err();
    assert_eq!(codes(&error), [10458, 1195, 1110]);
    let error = pair.on_standby(Command::ActivateStandby).unwrap_err();
    assert_eq!(codes(&error), [1195, 1110]);
    // END BACKUP is not a way out on a standby.
    assert_eq!(pair.on_standby(Command::EndBackup(BackupScope::Database)).unwrap_err().code(), 1142);
    pair.recover_all();
    pair.assert_equal();
}

#[test]
fn the_log_that_contains_the_start_left_out() {
    let mut pair = Pair::new(|_| {});
    pair.good_backup();
    let start = Header::read_path(&pair.copy_of(1)).unwrap().checkpoint_scn;
    pair.archive();
    let control = pair.standby_control();
    // WHERE FIRST_CHANGE# >= start
    let view = orasim::engine::Engine::view(&pair.db, "V$ARCHIVED_LOG", &None).unwrap().unwrap();
    let first = view.columns.iter().position(|c| c.name == "FIRST_CHANGE#").unwrap();
    let sequence = view.columns.iter().position(|c| c.name == "SEQUENCE#").unwrap();
    let number = |v: &orasim::engine::Value| match v {
        orasim::engine::Value::Int(n) => *n,
        _ => 0,
    };
    let late: Vec<i64> = view
        .rows
        .iter()
        .filter(|r| number(&r[first]) >= start as i64)
        .map(|r| number(&r[sequence]))
        .collect();
    assert!(!late.is_empty() && late.len() < view.rows.len());
    pair.ship(|_, s| late.contains(&s));
    pair.mount_standby(&control).unwrap();
    let (error, next) = pair.recover_all();
    assert_eq!(codes(&error), [279, 289, 280, 308, 27037], "stopped at the first step");
    assert!(error.stack[0].1.starts_with(&format!("change {start} ")));
    assert!(i64::from(next) < late[0]);
}

#[test]
fn a_hole_a_truncated_log_a_damaged_one_and_one_of_another_place() {
    let mut pair = Pair::new(|_| {});
    pair.good_backup();
    pair.archive();
    let control = pair.standby_control();
    for _ in 0..3 {
        pair.db.write_batch(100).unwrap();
        pair.archive();
    }
    pair.ship_all();
    pair.mount_standby(&control).unwrap();
    let logs: Vec<_> = pair.archived().into_iter().collect();
    let ((_, hole), path) = logs[logs.len() - 2].clone();
    let arrived = pair.arrived().join(path.file_name().unwrap());

    fs::remove_file(&arrived).unwrap();
    let (error, next) = pair.recover_all();
    assert_eq!(codes(&error), [279, 289, 280, 278, 308, 27037]);
    assert_eq!(i64::from(next), hole);

    let whole = fs::read(&path).unwrap();
    fs::write(&arrived, &whole[..whole.len() - 512]).unwrap();
    assert_eq!(codes(&pair.recover_all().0), [332, 334]);
    fs::write(&arrived, &whole[..700]).unwrap();
    assert_eq!(codes(&pair.recover_all().0), [332, 334]);
    fs::write(&arrived, &whole[..0]).unwrap();
    assert_eq!(codes(&pair.recover_all().0), [279, 289, 280, 308, 27047]);

    let mut damaged = whole.clone();
    damaged[5 * 512 + 100] ^= 0x10;
    fs::write(&arrived, &damaged).unwrap();
    assert_eq!(codes(&pair.recover_all().0), [354, 353, 334]);
    // In the padding, where only the sum knows.
    let mut damaged = whole.clone();
    let last = damaged.len() - 1;
    damaged[last] ^= 0x01;
    fs::write(&arrived, &damaged).unwrap();
    assert_eq!(codes(&pair.recover_all().0), [354, 353, 334]);
    let mut damaged = whole.clone();
    damaged[512 + 300] ^= 0x10;
    fs::write(&arrived, &damaged).unwrap();
    assert_eq!(codes(&pair.recover_all().0), [367, 334]);

    fs::copy(&logs[logs.len() - 1].1, &arrived).unwrap();
    assert_eq!(codes(&pair.recover_all().0), [310, 334]);

    fs::write(&arrived, &whole).unwrap();
    assert_eq!(pair.recover_all().0.code(), 279);
    pair.assert_equal();
}

#[test]
fn a_log_of_another_incarnation() {
    let mut pair = Pair::new(|_| {});
    pair.good_backup();
    pair.archive();
    let control = pair.standby_control();
    pair.db.resetlogs_now().unwrap();
    let sequence = pair.archived_rows().len();
    // The new incarnation reaches the sequence that the old one stopped before.
    for _ in 0..=sequence {
        pair.db.write_batch(20).unwrap();
        pair.archive();
    }
    pair.ship_all();
    pair.mount_standby(&control).unwrap();
    let (error, next) = pair.recover_all();
    assert_eq!(codes(&error), [279, 289, 280, 278, 308, 27037]);
    let new_log = pair.archived()[&(1, i64::from(next))].clone();
    let suggested = error.stack[1].1.trim_start_matches("suggestion : ").to_owned();
    fs::copy(new_log, &suggested).unwrap();
    assert_eq!(codes(&pair.recover_all().0), [342, 334]);
}

#[test]
fn a_stale_datafile_of_an_earlier_cycle() {
    let mut pair = Pair::new(|_| {});
    pair.good_backup();
    pair.archive();
    let stale = fs::read(pair.copy_of(3)).unwrap();
    let first_cycle = pair.archived().keys().map(|(_, s)| *s).max().unwrap();
    pair.db.write_batch(300).unwrap();
    pair.archive();
    pair.good_backup();
    pair.archive();
    let control = pair.standby_control();
    fs::write(pair.copy_of(3), &stale).unwrap();
    pair.ship(|_, s| s > first_cycle);
    pair.mount_standby(&control).unwrap();
    let (error, next) = pair.recover_all();
    assert_eq!(codes(&error), [279, 289, 280, 308, 27037], "the old log is asked for: {error:?}");
    assert!(i64::from(next) <= first_cycle);
    // Somebody who patches the header forward does not get away with it.
    let copy = fs::OpenOptions::new().write(true).open(pair.copy_of(3)).unwrap();
    let mut header = Header::read_path(&pair.copy_of(3)).unwrap();
    header.checkpoint_scn = Header::read_path(&pair.copy_of(4)).unwrap().checkpoint_scn;
    header.write(&copy).unwrap();
    let error = refusal(&pair);
    assert!([283, 10458].contains(&error.code()), "{error:?}");
    // With the old logs it is a good file, only older.
    copy.write_all_at(&stale, 0).unwrap();
    pair.ship_all();
    assert_eq!(pair.recover_all().0.code(), 279);
    pair.assert_equal();
}

#[test]
fn one_whole_block_of_an_earlier_copy() {
    let mut pair = Pair::new(|_| {});
    pair.db.change_block(3, 20).unwrap();
    pair.run(Command::Checkpoint).unwrap();
    let stale = orasim::datafile::read_block(&fs::File::open(&pair.db.datafiles()[&3]).unwrap(), 20).unwrap();
    pair.db.change_block(3, 20).unwrap();
    pair.begin();
    pair.copy_all();
    pair.end();
    pair.db.change_block(3, 20).unwrap();
    pair.archive();
    let control = pair.standby_control();
    pair.ship_all();
    let copy = fs::OpenOptions::new().write(true).open(pair.copy_of(3)).unwrap();
    copy.write_all_at(&stale, 20 * 8192).unwrap();
    pair.mount_standby(&control).unwrap();
    let (error, _) = pair.recover_all();
    assert_eq!(codes(&error), [283, 600, 10567, 10564, 1110], "{error:?}");
    assert!(error.stack[1].1.contains("[3020], [3], [20]"), "{error:?}");
}

#[test]
fn only_one_threads_logs() {
    let mut pair = Pair::new(|s| s.threads = 2);
    pair.good_backup();
    pair.archive();
    let control = pair.standby_control();
    pair.ship(|t, _| t == 1);
    pair.mount_standby(&control).unwrap();
    let (error, _) = pair.recover_all();
    assert_eq!(codes(&error)[..3], [279, 289, 280]);
    assert!(error.stack[0].1.ends_with("needed for thread 2"), "{error:?}");
    assert!(pair.on_standby(Command::Open { read_only: true, resetlogs: false }).is_err());
}

#[test]
fn a_control_file_older_than_the_files() {
    let mut pair = Pair::new(|_| {});
    let control = pair.standby_control();
    pair.good_backup();
    pair.archive();
    pair.ship_all();
    pair.mount_standby(&control).unwrap();
    let error = pair.recover(Until::End).unwrap_err();
    assert_eq!(codes(&error), [1122, 1110, 1207], "{error:?}");
}

#[test]
fn a_target_below_a_file() {
    let mut pair = Pair::new(|_| {});
    pair.good_backup();
    let target = Header::read_path(&pair.copy_of(1)).unwrap().checkpoint_scn - 5;
    pair.archive();
    let control = pair.standby_control();
    pair.ship_all();
    pair.mount_standby(&control).unwrap();
    assert_eq!(codes(&pair.recover(Until::Change(target)).unwrap_err()), [1547, 1152, 1110]);
}

#[test]
fn a_file_that_was_added_and_not_copied() {
    let mut pair = Pair::new(|_| {});
    pair.good_backup();
    pair.archive();
    let control = pair.standby_control();
    let file = pair.path("data/new01.dbf");
    pair.run(Command::CreateTablespace { name: "NEW".into(), file, bytes: 256 << 10, undo: false }).unwrap();
    pair.db.write_batch(100).unwrap();
    pair.archive();
    pair.ship_all();
    pair.mount_standby(&control).unwrap();
    let (error, _) = pair.recover_all();
    assert_eq!(codes(&error), [283, 1111, 1110, 1274], "{error:?}");
    let unnamed = pair.standby.as_ref().unwrap().datafiles()[&7].clone();
    assert!(unnamed.ends_with("UNNAMED00007"), "{}", unnamed.display());
    assert_eq!(pair.recover(Until::End).unwrap_err().code(), 1157, "and again");
}

#[test]
fn a_nologging_load_without_force_logging() {
    let mut pair = Pair::new(|s| s.force_logging = false);
    pair.good_backup();
    pair.db.nologging_load(3, 10, 5).unwrap();
    pair.archive();
    let control = pair.standby_control();
    pair.archive();
    pair.ship_all();
    pair.mount_standby(&control).unwrap();
    pair.recover_all();
    let comparison = pair.compare(pair.reached());
    assert!(!comparison.equal());
    let file = comparison.files.iter().find(|f| f.file == 3).unwrap();
    assert_eq!(file.differing, [10, 11, 12, 13, 14]);
}

#[test]
fn online_logs_beside_the_copies_are_used_without_a_word() {
    let mut pair = Pair::new(|_| {});
    pair.good_backup();
    pair.archive();
    let control = pair.standby_control();
    pair.db.write_batch(30).unwrap();
    pair.ship_all();
    pair.mount_standby(&control).unwrap();
    let logs = orasim::engine::Engine::view(&pair.db, "V$LOGFILE", &None).unwrap().unwrap();
    for row in &logs.rows {
        let orasim::engine::Value::Text(member) = &row[3] else { panic!() };
        let to = pair.path("copy").join(std::path::Path::new(member).file_name().unwrap());
        fs::copy(member, &to).unwrap();
        pair.on_standby(Command::RenameFile { from: member.into(), to }).unwrap();
    }
    let chain_end = pair.archived_rows().iter().map(|(_, _, next)| *next).max().unwrap();
    let reply = pair.recover(Until::End).unwrap();
    assert_eq!(reply.notes, ["Media recovery complete."]);
    assert!(pair.reached() as i64 > chain_end, "past the end of the archived chain");
}
