//! END BACKUP comes: at the cap, at a signal, at SIGKILL, when the tool stands still.

use std::time::{Duration, Instant};

use ibsim::{Fault, Rule};
use rustix::process::Signal;

use crate::lab::{signal, wait_for, Lab, Started};

const SOON: Duration = Duration::from_secs(30);

fn hanging() -> Lab {
    let lab = Lab::small();
    lab.array.faults(vec![Rule::on("POST", "^/volumes", Fault::Hang)]).unwrap();
    lab
}

fn in_backup_mode(lab: &Lab, args: &[&str]) -> Started {
    let started = lab.start(args);
    wait_for("backup mode and a request", SOON, || {
        !lab.active().is_empty() && lab.array.count("POST", "^/volumes") > 0
    });
    started
}

/// The next run is as if nothing had been.
fn the_next_run_is_good(lab: &Lab) {
    lab.array.faults(Vec::new()).unwrap();
    // Two runs of one second would have the same names.
    std::thread::sleep(Duration::from_millis(1100));
    lab.run(&[]).exits(0);
    let complete = lab.states().values().filter(|s| *s == "complete").count();
    assert_eq!(complete, 4, "{:?}", lab.states());
    assert!(lab.states().values().all(|s| s != "none"), "{:?}", lab.states());
}

#[test]
fn the_cap_ends_backup_mode_whatever_the_array_does() {
    let lab = hanging();
    let started = in_backup_mode(&lab, &["--max-backup-mode", "2s"]);
    let began = Instant::now();
    wait_for("END BACKUP", SOON, || lab.active().is_empty());
    assert!(began.elapsed() < Duration::from_millis(3500), "{:?}", began.elapsed());
    let ran = started.finish().exits(124);
    assert!(ran.says("--max-backup-mode 2s") && ran.says("out of backup mode"), "{}", ran.stderr);
    let held = ran.count("backup_mode_ms");
    assert!((2000..3000).contains(&held), "{held}");
    assert!(ran.of("snapshot").is_empty());
    the_next_run_is_good(&lab);
}

#[test]
fn children_do_not_get_the_password() {
    let lab = Lab::small();
    lab.fault(&["hang", "begin backup", "--seconds", "3"]);
    let started = lab.start(&[]);
    let of_ours = |password: bool| {
        let all = std::fs::read_dir("/proc").unwrap().flatten();
        let pids = all.filter_map(|e| e.file_name().to_str()?.parse::<i64>().ok());
        let environ = |pid: &i64| {
            let bytes = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            let text = String::from_utf8_lossy(&bytes).into_owned();
            text.contains(&lab.at("home")) && (!password || text.contains(ibsim::PASSWORD))
        };
        pids.filter(|pid| *pid != started.pid()).filter(environ).count()
    };
    // The keeper, and sqlplus in BEGIN BACKUP.
    wait_for("sqlplus", SOON, || of_ours(false) >= 2 && lab.statements().contains("BEGIN BACKUP"));
    assert_eq!(of_ours(true), 0);
    started.finish().exits(0);
}

#[test]
fn a_signal_ends_backup_mode_at_once() {
    for (which, code) in [(Signal::TERM, 143), (Signal::INT, 130), (Signal::HUP, 143)] {
        let lab = hanging();
        let started = in_backup_mode(&lab, &[]);
        signal(which, started.pid());
        signal(which, started.pid());
        let ended = wait_for("END BACKUP", SOON, || lab.active().is_empty());
        assert!(ended < Duration::from_secs(3), "{ended:?}");
        let ran = started.finish().exits(code);
        assert!(ran.elapsed < Duration::from_secs(20), "{:?}", ran.elapsed);
        lab.assert_clean();
        assert!(lab.array.snapshots().is_empty());
    }
}

#[test]
fn a_killed_run_leaves_no_backup_mode_and_its_snapshots_are_marked_by_the_next() {
    let lab = Lab::small();
    // The array has executed it, and nobody was told.
    lab.array.faults(vec![Rule::on("POST", "^/volumes", Fault::HangAfter)]).unwrap();
    let started = in_backup_mode(&lab, &[]);
    wait_for("the snapshots", SOON, || lab.array.snapshots().len() == 3);
    signal(Signal::KILL, started.pid());
    lab.assert_clean();
    assert_eq!(lab.array.snapshots().len(), 3);
    the_next_run_is_good(&lab);
    assert_eq!(lab.states().values().filter(|s| *s == "incomplete").count(), 3);
    assert!(!lab.pending());
}

#[test]
fn a_run_that_stands_still_is_ended_by_its_keeper() {
    let lab = hanging();
    let started = in_backup_mode(&lab, &["--max-backup-mode", "2s"]);
    signal(Signal::STOP, started.pid());
    let ended = wait_for("END BACKUP", SOON, || lab.active().is_empty());
    assert!(ended < Duration::from_secs(7), "{ended:?}");
    signal(Signal::CONT, started.pid());
    let ran = started.finish();
    assert!([Some(124), Some(2)].contains(&ran.code), "{ran:?}");
    assert!(!ran.says("MAY STILL BE"), "{}", ran.stderr);
    the_next_run_is_good(&lab);
}

#[test]
fn snapshots_of_backup_mode_that_somebody_ended_do_not_count() {
    let lab = Lab::small();
    lab.array
        .faults(vec![Rule::on("POST", "^/volumes", Fault::slow_answer(Duration::from_secs(2))).first(1)])
        .unwrap();
    let started = in_backup_mode(&lab, &[]);
    lab.sql("ALTER DATABASE END BACKUP");
    let ran = started.finish().exits(2);
    assert!(ran.says("did not stay in backup mode"), "{}", ran.stderr);
    assert_eq!(lab.array.snapshots().len(), 3);
    assert!(lab.states().values().all(|s| s == "incomplete"), "{:?}", lab.states());
}

#[test]
fn a_begin_that_fails_asks_nothing_of_the_array() {
    let lab = Lab::small();
    lab.fault(&["error", "begin backup", "1031", "insufficient privileges"]);
    let ran = lab.run(&[]);
    assert_eq!(ran.code, Some(2), "{}", ran.stderr);
    lab.assert_clean();
    assert_eq!(lab.array.count("POST", "^/volumes"), 0);
    assert!(!lab.pending());
}
