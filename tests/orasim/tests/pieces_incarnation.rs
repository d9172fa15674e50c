//! RESETLOGS in between: old backups are recovered through it, and nothing of the branch that was left comes back.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod pieces_support;

use orasim::{
    engine::{Command, StartupMode},
    pieces::api::{Event, Request, Until},
};
use pieces_support::Db;

fn open_resetlogs(db: &mut Db) {
    db.sql(Command::Open { read_only: false, resetlogs: true }).unwrap();
    db.ask(Request::Session { command_id: "again".into() });
    // %U is made of the second and of a counter that an older control file begins again.
    std::thread::sleep(std::time::Duration::from_millis(1100));
}

#[test]
fn an_old_backup_is_recovered_through_an_incomplete_recovery() {
    let mut db = Db::new(|_| {});
    db.db.write_batch(300).unwrap();
    db.back_up(Some(0));
    db.db.write_batch(200).unwrap();
    let scn = db.db.current_scn() - 40;
    db.db.write_batch(200).unwrap();
    db.back_up_logs(false);
    let control = db.back_up_control();
    db.wipe(false);
    db.mount_from(&control);
    let until = Some(Until::Scn(scn));
    db.restore(until.clone()).good();
    db.recover(until).good();
    db.assert_true();
    open_resetlogs(&mut db);
    // The new branch takes the SCNs of the old one again.
    db.db.write_batch(600).unwrap();
    db.back_up(Some(1));
    db.db.write_batch(100).unwrap();
    db.back_up_logs(false);
    let second = db.back_up_control();
    db.db.write_batch(100).unwrap();
    db.archive();
    let rows = db.rows("V$DATABASE_INCARNATION");
    assert_eq!(rows.len(), 2);
    db.wipe(false);
    db.mount_from(&second);
    db.restore(None).good();
    let ran = db.recover(None);
    assert_eq!(ran.codes(), [6054], "{:#?}", ran.events);
    db.assert_true();
    // And by redo alone, through the RESETLOGS.
    db.wipe(false);
    db.mount_from(&second);
    db.restore(Some(Until::Scn(scn + 1))).good();
    let ran = db.recover(None);
    assert_eq!(ran.codes(), [6054], "{:#?}", ran.events);
    db.assert_true();
    open_resetlogs(&mut db);
    // Before the newest RESETLOGS there is nothing to go back to without RESET DATABASE.
    db.shutdown();
    db.sql(Command::Startup(StartupMode::Mount)).unwrap();
    assert_eq!(db.restore(Some(Until::Scn(scn))).codes(), [20208]);
}

#[test]
fn a_resetlogs_of_the_living_database_is_no_hole() {
    let mut db = Db::new(|s| s.threads = 2);
    db.db.write_batch(200).unwrap();
    db.back_up(Some(0));
    let early = db.back_up_control();
    db.db.write_batch(200).unwrap();
    db.db.resetlogs_now().unwrap();
    db.db.write_batch(200).unwrap();
    db.back_up_logs(true);
    db.db.write_batch(50).unwrap();
    db.archive();
    db.wipe(false);
    db.mount_from(&early);
    let events = db.catalog();
    assert!(events.iter().any(|e| matches!(e, Event::Cataloged { .. })));
    assert_eq!(db.rows("V$DATABASE_INCARNATION").len(), 2, "the pieces told of the new incarnation");
    db.restore(None).good();
    let ran = db.recover(None);
    assert_eq!(ran.codes(), [6054], "{:#?}", ran.events);
    db.assert_true();
    open_resetlogs(&mut db);
    db.db.write_batch(50).unwrap();
}

#[test]
fn a_missing_log_of_the_parent_is_told() {
    let mut db = Db::new(|_| {});
    db.back_up(Some(0));
    db.db.write_batch(200).unwrap();
    db.archive();
    let lost = db.db.dir().join("arch");
    let mut logs: Vec<_> = std::fs::read_dir(&lost).unwrap().flatten().map(|e| e.path()).collect();
    logs.sort();
    db.db.write_batch(100).unwrap();
    db.db.resetlogs_now().unwrap();
    db.db.write_batch(100).unwrap();
    db.archive();
    let control = db.back_up_control();
    std::fs::remove_file(&logs[0]).unwrap();
    db.wipe(false);
    db.mount_from(&control);
    db.restore(None).good();
    let ran = db.recover(None);
    assert_eq!(&ran.codes()[..2], [6053, 6025], "{:?}", ran.failure);
}
