//! The writer and backup mode of a running database, looked at on disk.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use std::{collections::BTreeMap, path::Path, time::Duration};

use orasim::{
    block, datafile,
    engine::{BackupScope, Command, Engine, ShutdownMode, StartupMode, State, Value},
    instance::{FileSpec, Instance, Spec, TablespaceKind, TablespaceSpec},
    truth,
};

fn spec(dir: &Path, rate: u32) -> Spec {
    let file = |name: &str| FileSpec { path: dir.join("data").join(name), bytes: 1 << 20 };
    Spec {
        name: "PROD".into(),
        sid: "PROD".into(),
        tablespaces: vec![
            TablespaceSpec::new("SYSTEM", vec![file("system01.dbf")]),
            TablespaceSpec::new("Mixed Case", vec![file("m1.dbf"), file("m 2.dbf")]),
            TablespaceSpec { read_only: true, ..TablespaceSpec::new("HIST", vec![file("hist01.dbf")]) },
            TablespaceSpec {
                kind: TablespaceKind::Temporary,
                ..TablespaceSpec::new("TEMP", vec![file("temp01.dbf")])
            },
        ],
        log_bytes: 1 << 20,
        changes_per_second: rate,
        ..Spec::default()
    }
}

fn torn(path: &Path, file: u32) -> usize {
    let open = std::fs::File::open(path).unwrap();
    let blocks = (open.metadata().unwrap().len() / 8192) as u32;
    (2..blocks)
        .filter(|n| {
            let bytes = datafile::read_block(&open, *n).unwrap();
            block::check(&bytes, block::TYPE_DATA, block::rdba(file, *n)).is_err()
        })
        .count()
}

#[test]
fn a_busy_file_is_torn_on_disk_at_every_look() {
    let dir = tempfile::tempdir().unwrap();
    let db = Instance::create(&dir.path().join("db"), &spec(dir.path(), 1500)).unwrap();
    std::thread::sleep(Duration::from_millis(400));
    let files = db.datafiles();
    let mut torn_looks = 0;
    for _ in 0..20 {
        torn_looks += usize::from(torn(&files[&1], 1) > 0);
        std::thread::sleep(Duration::from_millis(13));
    }
    assert!(torn_looks >= 18, "{torn_looks} of 20 looks saw a torn block");
    assert_eq!(torn(&files[&4], 4), 0, "nobody writes a read-only file");
    db.execute(&Command::Shutdown(ShutdownMode::Immediate), &mut None).unwrap();
    assert_eq!(torn(&files[&1], 1), 0, "a clean shutdown leaves whole blocks");
}

#[test]
fn the_database_is_what_the_truth_says_after_shutdown_and_after_a_crash() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("db");
    let mut db = Instance::create(&home, &spec(dir.path(), 3000)).unwrap();
    for round in 0..3 {
        std::thread::sleep(Duration::from_millis(500));
        if round == 1 {
            db.execute(&Command::Shutdown(ShutdownMode::Immediate), &mut None).unwrap();
        } else {
            db.crash();
        }
        assert_eq!(db.state(), State::Down);
        let again = Instance::open(&home).unwrap();
        again.set_rate(0);
        again.execute(&Command::Startup(StartupMode::Open), &mut None).unwrap();
        again.execute(&Command::Shutdown(ShutdownMode::Immediate), &mut None).unwrap();
        let scn = datafile::Header::read_path(&dir.path().join("data/system01.dbf")).unwrap().checkpoint_scn;
        let files: BTreeMap<u32, _> = {
            again.execute(&Command::Startup(StartupMode::Mount), &mut None).unwrap();
            let files = again.datafiles();
            again.execute(&Command::Shutdown(ShutdownMode::Immediate), &mut None).unwrap();
            files
        };
        let comparison = truth::compare(&home, &files, scn).unwrap();
        assert!(comparison.equal(), "round {round}: {:?}", comparison.explain());
        again.set_rate(3000);
        again.execute(&Command::Startup(StartupMode::Open), &mut None).unwrap();
        db = again;
    }
}

#[test]
fn backup_mode_freezes_the_header_and_refuses_as_oracle() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("db");
    let db = Instance::create(&home, &spec(dir.path(), 0)).unwrap();
    let run = |c: Command| db.execute(&c, &mut None);
    let code = |c: Command| db.execute(&c, &mut None).unwrap_err().code();
    let scope = BackupScope::Tablespace("Mixed Case".into());
    run(Command::BeginBackup(scope.clone())).unwrap();
    let path = dir.path().join("data/m1.dbf");
    let frozen = datafile::Header::read_path(&path).unwrap();
    assert_eq!(frozen.flags & datafile::HOT_BACKUP, datafile::HOT_BACKUP);
    assert!(frozen.checkpoint_scn > 959_994_799_549);
    db.write_batch(200).unwrap();
    run(Command::Checkpoint).unwrap();
    run(Command::ArchiveLogCurrent).unwrap();
    let later = datafile::Header::read_path(&path).unwrap();
    assert_eq!(later.checkpoint_scn, frozen.checkpoint_scn);
    assert!(later.checkpoint_count > frozen.checkpoint_count);
    let v = db.view("V$BACKUP", &None).unwrap().unwrap();
    let active: Vec<_> =
        v.rows.iter().filter(|r| r[1] == Value::Text("ACTIVE".into())).map(|r| r[0].clone()).collect();
    assert_eq!(active, [Value::Int(2), Value::Int(3)]);
    assert_eq!(code(Command::BeginBackup(scope.clone())), 1146);
    assert_eq!(code(Command::BeginBackup(BackupScope::Database)), 1146);
    assert_eq!(code(Command::BeginBackup(BackupScope::Tablespace("HIST".into()))), 1642);
    assert_eq!(code(Command::BeginBackup(BackupScope::Tablespace("TEMP".into()))), 3217);
    assert_eq!(code(Command::BeginBackup(BackupScope::Tablespace("MIXED CASE".into()))), 959);
    assert_eq!(code(Command::Shutdown(ShutdownMode::Immediate)), 1149);
    assert_eq!(code(Command::TablespaceReadOnly("Mixed Case".into())), 1150);
    assert_eq!(code(Command::EndBackup(BackupScope::Tablespace("SYSTEM".into()))), 1142);
    assert_eq!(code(Command::EndBackup(BackupScope::Tablespace("HIST".into()))), 1140);

    db.crash();
    let db = Instance::open(&home).unwrap();
    let stopped = db.execute(&Command::Startup(StartupMode::Open), &mut None).unwrap_err();
    assert_eq!(stopped.code(), 10873);
    assert_eq!(db.state(), State::Mounted);
    assert_eq!(db.execute(&Command::EndBackup(BackupScope::Database), &mut None).unwrap_err().code(), 1260);
    db.execute(&Command::Open { read_only: false, resetlogs: false }, &mut None).unwrap();
    assert_eq!(db.state(), State::Open);
    assert_eq!(db.execute(&Command::EndBackup(scope), &mut None).unwrap_err().code(), 1142);
}
