//! What the background writer costs; alone in its process, because its processor time is measured.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use std::{fs, thread, time::Duration};

use orasim::{
    engine::{BackupScope, Command, Engine, StartupMode},
    instance::{FileSpec, Instance, Spec, TablespaceSpec},
};

/// Processor time of this process in ticks of 10 ms.
fn ticks() -> u64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

#[test]
fn the_writer_at_full_speed_leaves_the_machine_to_others() {
    let dir = tempfile::tempdir().unwrap();
    let files =
        (0..40).map(|n| FileSpec { path: dir.path().join(format!("d/f{n}.dbf")), bytes: 2 << 20 }).collect();
    let spec = Spec {
        tablespaces: vec![TablespaceSpec::new("SYSTEM", files)],
        log_bytes: 8 << 20,
        ..Spec::default()
    };
    let db = Instance::create(&dir.path().join("db"), &spec).unwrap();
    db.execute(&Command::BeginBackup(BackupScope::Database), &mut None).unwrap();
    let (scn, before) = (db.current_scn(), ticks());
    thread::sleep(Duration::from_secs(2));
    let (changes, used) = (db.current_scn() - scn, ticks() - before);
    println!("{changes} changes and {used} ticks in 2 s");
    assert!(changes > 2000, "{changes} changes in 2 s");
    assert!(used < 30, "{used} ticks of 200");
    db.crash();
    drop(db);
    let again = Instance::open(&dir.path().join("db")).unwrap();
    assert_eq!(again.execute(&Command::Startup(StartupMode::Open), &mut None).unwrap_err().code(), 10873);
}
