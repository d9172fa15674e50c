//! The writer at full speed, a plain concurrent copy, and recovery.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod support;

use std::{fs, thread, time::Duration};

use support::Pair;

fn busy() -> Pair {
    Pair::new(|s| {
        s.changes_per_second = 1500;
        s.write_pause_ms = 60;
        s.log_bytes = 2 << 20;
    })
}

/// Slowly enough that the writer gets its chance everywhere.
fn slow_copy(pair: &Pair) {
    for (file, from) in pair.db.datafiles() {
        let bytes = 64 << 10;
        let from = fs::File::open(from).unwrap();
        fs::create_dir_all(pair.path("copy")).unwrap();
        let to = fs::File::create(pair.copy_of(file)).unwrap();
        let len = from.metadata().unwrap().len();
        let mut at = 0;
        while at < len {
            let mut buffer = vec![0; bytes.min((len - at) as usize)];
            std::os::unix::fs::FileExt::read_exact_at(&from, &mut buffer, at).unwrap();
            std::os::unix::fs::FileExt::write_all_at(&to, &buffer, at).unwrap();
            at += buffer.len() as u64;
            thread::sleep(Duration::from_millis(1));
        }
    }
}

#[test]
fn ten_rounds_in_backup_mode_recover_to_equality() {
    for round in 0..10 {
        let mut pair = busy();
        thread::sleep(Duration::from_millis(150));
        pair.begin();
        slow_copy(&pair);
        pair.end();
        pair.archive();
        let control = pair.standby_control();
        thread::sleep(Duration::from_millis(100));
        pair.archive();
        pair.ship_all();
        pair.mount_standby(&control).unwrap();
        let (error, _) = pair.recover_all();
        assert_eq!(error.code(), 279, "round {round}: {error:?}");
        pair.assert_equal();
    }
}

#[test]
fn the_same_without_backup_mode_never_does() {
    for round in 0..5 {
        let mut pair = busy();
        thread::sleep(Duration::from_millis(150));
        slow_copy(&pair);
        pair.archive();
        let control = pair.standby_control();
        thread::sleep(Duration::from_millis(100));
        pair.archive();
        pair.ship_all();
        pair.mount_standby(&control).unwrap();
        let (error, _) = pair.recover_all();
        assert_eq!(error.code(), 283, "round {round}: {error:?}");
        assert!(error.stack.iter().any(|(c, _)| [1578, 600].contains(c)), "round {round}: {error:?}");
    }
}
