//! Backups of a database that is being changed bring back exactly what was there, to the end and to any SCN.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod pieces_support;

use std::time::Duration;

use orasim::{
    engine::Engine,
    engine::{Command, State},
    pieces::api::{Backup, Event, Request, Until},
};
use pieces_support::{handles, Db};

/// Level 0, a cumulative and differential level 1s, logs in pieces and on disk, a control file; all under a live writer.
fn week(db: &mut Db) -> (Vec<u64>, std::path::PathBuf) {
    db.db.set_rate(3000);
    let mut scns = Vec::new();
    let mut note = |db: &Db| {
        std::thread::sleep(Duration::from_millis(60));
        scns.push(db.db.current_scn());
    };
    db.db.write_batch(300).unwrap();
    let events = db.back_up(Some(0));
    assert!(!events.iter().any(|e| matches!(e, Event::NoParent { .. })));
    let floor = db.db.current_scn();
    note(db);
    db.back_up(Some(1));
    note(db);
    db.back_up_logs(true);
    let cumulative = Backup { cumulative: true, compressed: true, ..db.database(Some(1)) };
    db.run(Request::Backup(cumulative)).good();
    note(db);
    db.back_up(Some(1));
    db.back_up_logs(false);
    note(db);
    let control = db.back_up_control();
    note(db);
    db.archive();
    db.db.set_rate(0);
    assert!(floor <= scns[0]);
    (scns, control)
}

#[test]
fn a_lost_database_comes_back_to_its_last_archived_change() {
    let mut db = Db::new(|_| {});
    let (_, control) = week(&mut db);
    db.wipe(false);
    db.mount_from(&control);
    let events = db.restore(None).good();
    assert!(events.iter().any(|e| matches!(e, Event::PieceRead { .. })));
    let ran = db.recover(None);
    // The end of the known redo is the end of a recovery without UNTIL.
    assert_eq!(ran.codes(), [6054], "{:#?}", ran.failure);
    let increments = ran.events.iter().filter(|e| {
        matches!(e, Event::RestoreStart { what: orasim::pieces::api::Restoring::Incremental(_), .. })
    });
    assert_eq!(increments.count(), 2, "the cumulative one and the one after it");
    db.assert_true();
    db.sql(Command::Open { read_only: false, resetlogs: true }).unwrap();
    assert_eq!(db.db.state(), State::Open);
    db.db.write_batch(50).unwrap();
}

#[test]
fn any_moment_since_the_first_backup_can_be_reached() {
    let mut db = Db::new(|_| {});
    let (scns, control) = week(&mut db);
    let mut seed = 7u64;
    for i in 0..8 {
        seed = orasim::block::mix(seed);
        let (low, high) = (scns[0], scns[4]);
        let scn = if i < 5 { scns[i] } else { low + seed % (high - low) };
        db.wipe(false);
        db.mount_from(&control);
        let until = Some(Until::Scn(scn));
        db.restore(until.clone()).good();
        let events = db.recover(until).good();
        assert!(!events.iter().any(|e| matches!(e, Event::OracleError(_))), "{events:#?}");
        assert_eq!(db.reached(), scn);
        db.assert_true();
    }
}

#[test]
fn recovery_takes_logs_out_of_pieces_and_later_backups_from_the_catalogue() {
    let mut db = Db::new(|_| {});
    db.db.set_rate(2000);
    let early = db.back_up_control();
    db.back_up(Some(0));
    db.db.write_batch(200).unwrap();
    db.back_up(Some(1));
    db.back_up_logs(true);
    db.db.set_rate(0);
    db.wipe(true);
    db.mount_from(&early);
    let (sets, _) = db.sets();
    assert!(sets.is_empty());
    let nothing = db.restore(None);
    assert!(nothing.codes().contains(&6023), "{:?}", nothing.failure);
    let events = db.catalog();
    assert!(events.iter().filter(|e| matches!(e, Event::Cataloged { .. })).count() >= 3, "{events:#?}");
    db.restore(None).good();
    let ran = db.recover(None);
    assert_eq!(ran.codes(), [6054], "{:#?} {:#?}", ran.failure, ran.events);
    assert!(ran.events.iter().any(|e| matches!(e, Event::LogApplied { .. })));
    db.assert_true();
    db.sql(Command::Open { read_only: false, resetlogs: true }).unwrap();
}

#[test]
fn a_lost_datafile_of_a_database_that_lives_on_is_recovered_completely() {
    let mut db = Db::new(|_| {});
    db.back_up(None);
    db.db.write_batch(400).unwrap();
    db.back_up_logs(true);
    db.db.write_batch(100).unwrap();
    let scn = db.db.current_scn();
    db.db.crash();
    let path = db.db.datafiles();
    assert!(path.is_empty());
    db.sql(Command::Startup(orasim::engine::StartupMode::Mount)).unwrap();
    let lost = db.db.datafiles()[&3].clone();
    std::fs::remove_file(&lost).unwrap();
    let files = orasim::pieces::api::Files::Datafiles(vec![3]);
    db.run(Request::Restore(orasim::pieces::api::Restore {
        files: files.clone(),
        ..pieces_support::restore(None)
    }))
    .good();
    db.run(Request::Recover(orasim::pieces::api::Recover { files, ..pieces_support::recover(None) })).good();
    db.sql(Command::Open { read_only: false, resetlogs: false }).unwrap();
    assert!(db.db.current_scn() >= scn);
    db.shutdown();
    db.sql(Command::Startup(orasim::engine::StartupMode::Mount)).unwrap();
    db.assert_true();
}

#[test]
fn pieces_of_a_limited_size_and_sections_and_copies_are_put_together_again() {
    let mut db = Db::new(|_| {});
    db.db.write_batch(500).unwrap();
    let limited = Backup { max_piece_size: Some(400 << 10), ..db.database(None) };
    let events = db.run(Request::Backup(limited)).good();
    let made = handles(&events);
    assert!(made.len() > 2, "{made:?}");
    for piece in &made {
        assert!(std::fs::metadata(piece).unwrap().len() <= 400 << 10);
    }
    let sections = Backup { section_size: Some(100 << 10), tag: Some("sec".into()), ..db.database(Some(0)) };
    let events = db.run(Request::Backup(sections)).good();
    assert!(handles(&events).len() >= 12, "{events:#?}");
    let copies = Backup { copies: 2, tag: Some("two".into()), ..db.database(Some(0)) };
    let events = db.run(Request::Backup(copies)).good();
    assert_eq!(handles(&events).len(), 2);
    let first = handles(&events)[0].clone();
    db.db.write_batch(50).unwrap();
    let control = db.back_up_control();
    db.archive();
    for tag in [None, Some("SEC"), Some("TWO")] {
        db.wipe(false);
        db.mount_from(&control);
        if tag == Some("TWO") {
            std::fs::remove_file(&first).unwrap();
        }
        let order =
            orasim::pieces::api::Restore { from_tag: tag.map(String::from), ..pieces_support::restore(None) };
        let events = db.run(Request::Restore(order)).good();
        let duplicate = events.iter().any(|e| matches!(e, Event::Failover { duplicate: true, .. }));
        assert_eq!(duplicate, tag == Some("TWO"));
        assert_eq!(db.recover(None).codes(), [6054]);
        db.assert_true();
    }
}
