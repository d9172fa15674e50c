//! Faults of the physics, and what a session sees of them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod support;

use std::{
    fs,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use orasim::{
    engine::{Command, Engine, Until, Value, View},
    instance::{DestSpec, Instance},
    oratime,
    redolog::Log,
};
use support::{codes, Pair};

fn view(db: &Arc<Instance>, name: &str) -> View {
    db.view(name, &None).unwrap().unwrap()
}

fn column(view: &View, name: &str) -> Vec<Value> {
    let at = view.columns.iter().position(|c| c.name == name).unwrap();
    view.rows.iter().map(|r| r[at].clone()).collect()
}

#[test]
fn an_archived_log_grows_under_its_final_name_and_is_published_when_whole() {
    let pair = Pair::new(|s| s.archive_bytes_per_second = 800_000);
    pair.db.write_batch(1200).unwrap();
    let db = Arc::clone(&pair.db);
    let session = thread::spawn(move || db.execute(&Command::ArchiveLogCurrent, &mut None));
    let path = pair.path("db/arch/1_1_1197553613.dbf");
    let mut seen_half = 0;
    let begun = Instant::now();
    while !session.is_finished() {
        assert!(begun.elapsed() < Duration::from_secs(20));
        let published = !view(&pair.db, "V$ARCHIVED_LOG").rows.is_empty();
        if path.exists() && !published {
            seen_half += usize::from(Log::read(&path).is_err());
        }
        thread::sleep(Duration::from_millis(5));
    }
    session.join().unwrap().unwrap();
    assert!(seen_half > 3, "{seen_half}");
    let log = Log::read(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().len(), u64::from(log.header.nab) * 512);
    let rows = view(&pair.db, "V$ARCHIVED_LOG");
    assert_eq!(column(&rows, "BLOCKS")[0], Value::Int(i64::from(log.header.nab) - 1));
    assert_eq!(column(&rows, "NEXT_CHANGE#")[0], Value::Int(log.header.next_scn as i64));
}

#[test]
fn a_stuck_archiver_and_a_full_destination_stop_the_database_until_they_are_healed() {
    let pair = Pair::new(|_| {});
    let mut faults = pair.db.faults();
    faults.archiver_stuck = true;
    faults.archive_wait_limit_ms = Some(300);
    pair.db.set_faults(faults.clone()).unwrap();
    let begun = Instant::now();
    assert_eq!(codes(&pair.run(Command::ArchiveLogCurrent).unwrap_err()), [257]);
    assert!(begun.elapsed() >= Duration::from_millis(300));
    faults.archiver_stuck = false;
    faults.full_dests = vec![1];
    pair.db.set_faults(faults.clone()).unwrap();
    thread::sleep(Duration::from_millis(300));
    assert_eq!(pair.run(Command::ArchiveLogCurrent).unwrap_err().code(), 16038);
    let dest = view(&pair.db, "V$ARCHIVE_DEST");
    assert_eq!(column(&dest, "STATUS")[0], Value::Text("ERROR".into()));
    assert!(view(&pair.db, "V$ARCHIVED_LOG").rows.is_empty());
    // All groups full: changes hang too.
    let db = Arc::clone(&pair.db);
    let writer = thread::spawn(move || db.write_batch(20_000));
    thread::sleep(Duration::from_millis(700));
    assert!(!writer.is_finished());
    faults.full_dests.clear();
    faults.archive_wait_limit_ms = None;
    pair.db.set_faults(faults).unwrap();
    writer.join().unwrap().unwrap();
    pair.archive();
    assert_eq!(column(&view(&pair.db, "V$ARCHIVE_DEST"), "STATUS")[0], Value::Text("VALID".into()));
    // The backlog was archived without a hole.
    let sequences: Vec<i64> = pair.archived().keys().map(|(_, s)| *s).collect();
    assert_eq!(sequences, (1..=sequences.len() as i64).collect::<Vec<_>>());
}

#[test]
fn a_lost_log_keeps_its_row_and_a_lost_redo_write_is_found_by_its_blocks() {
    let pair = Pair::new(|_| {});
    let mut faults = pair.db.faults();
    faults.lose_archived = vec![(1, 2)];
    pair.db.set_faults(faults.clone()).unwrap();
    pair.archive();
    pair.db.write_batch(10).unwrap();
    pair.archive();
    let logs = pair.archived();
    assert!(logs[&(1, 1)].exists() && !logs[&(1, 2)].exists());
    faults.lose_redo_writes = 1;
    pair.db.set_faults(faults).unwrap();
    pair.db.write_batch(10).unwrap();
    pair.db.write_batch(10).unwrap();
    pair.archive();
    assert!(Log::read(&pair.archived()[&(1, 3)]).is_err());
}

#[test]
fn two_places_and_a_service_have_a_row_each() {
    let pair = Pair::new(|s| {
        let dir = s.tablespaces[0].files[0].path.parent().unwrap().parent().unwrap().to_owned();
        s.dests = vec![
            DestSpec { id: 1, directory: Some(dir.join("fra")), omf: true, service: None },
            DestSpec { id: 2, directory: Some(dir.join("a r c h")), omf: false, service: None },
            DestSpec { id: 3, directory: None, omf: false, service: Some("dr_service".into()) },
        ];
    });
    pair.archive();
    let rows = view(&pair.db, "V$ARCHIVED_LOG");
    assert_eq!(column(&rows, "DEST_ID"), [Value::Int(1), Value::Int(2), Value::Int(3)]);
    let Value::Text(omf) = &column(&rows, "NAME")[0] else { panic!() };
    let day = oratime::now().format("%Y_%m_%d").to_string();
    assert!(omf.contains(&format!("fra/PROD/archivelog/{day}/o1_mf_1_1_")), "{omf}");
    assert!(Log::read(std::path::Path::new(omf)).is_ok());
    assert_eq!(column(&rows, "NAME")[2], Value::Text("dr_service".into()));
    assert_eq!(column(&rows, "STANDBY_DEST")[2], Value::Text("YES".into()));
}

#[test]
fn begin_backup_takes_as_long_as_its_checkpoint() {
    let pair = Pair::new(|_| {});
    let mut faults = pair.db.faults();
    faults.begin_backup_ms = 250;
    pair.db.set_faults(faults).unwrap();
    let begun = Instant::now();
    pair.begin();
    assert!(begun.elapsed() >= Duration::from_millis(250));
    assert_eq!(
        Instance::open(&pair.path("db")).unwrap().faults().begin_backup_ms,
        250,
        "kept over a restart"
    );
}

#[test]
fn until_time_stops_at_the_clock_of_the_redo() {
    let mut pair = Pair::new(|_| {});
    pair.good_backup();
    pair.archive();
    let control = pair.standby_control();
    pair.db.write_batch(50).unwrap();
    let before = pair.db.current_scn();
    thread::sleep(Duration::from_millis(1100));
    let time = oratime::now();
    thread::sleep(Duration::from_millis(1100));
    pair.db.write_batch(50).unwrap();
    pair.archive();
    pair.ship_all();
    pair.mount_standby(&control).unwrap();
    pair.recover(Until::Time(time)).unwrap();
    assert!(pair.reached() <= before + 2, "{} {before}", pair.reached());
    pair.assert_equal();
    pair.recover_all();
    assert!(pair.reached() > before + 50);
    pair.assert_equal();
}

#[test]
fn ten_thousand_logs_and_750_files_are_seen_quickly() {
    let pair = Pair::new(|s| {
        s.fake_logs.count = 10_000;
        let dir = s.tablespaces[0].files[0].path.parent().unwrap().to_owned();
        for n in 0..744 {
            s.tablespaces[0]
                .files
                .push(orasim::instance::FileSpec { path: dir.join(format!("f{n}.dbf")), bytes: 32 << 10 });
        }
    });
    for (name, count) in
        [("V$ARCHIVED_LOG", 10_000), ("V$LOG_HISTORY", 10_000), ("V$DATAFILE", 750), ("V$BACKUP", 750)]
    {
        let begun = Instant::now();
        assert_eq!(view(&pair.db, name).rows.len(), count);
        assert!(begun.elapsed() < Duration::from_millis(50), "{name} took {:?}", begun.elapsed());
    }
    let begun = Instant::now();
    pair.archive();
    pair.begin();
    pair.end();
    assert!(begun.elapsed() < Duration::from_millis(1500), "{:?}", begun.elapsed());
}
