//! What goes wrong is told, and nothing is deleted after it.

#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use support::{alive, finish, signal, wait_for, Lab, Signal};

fn logs_on_disk(lab: &Lab) -> usize {
    std::fs::read_dir(lab.at("db/arch")).map_or(0, Iterator::count)
}

/// After RMAN has ended well, something happens to a piece.
fn after_backup(then: &str) -> String {
    format!("$REAL \"$@\"; status=$?\nif ls \"$TEMP_BACKUP_DIR\"/*/db_backup_* >/dev/null 2>&1; then {then}; fi\nexit $status")
}

#[test]
fn a_piece_that_is_cut_is_found_and_taken_out_of_the_repository() {
    let lab = Lab::small();
    lab.work();
    lab.wrap_rman(&after_backup(
        "for p in \"$TEMP_BACKUP_DIR\"/*/db_backup_*; do truncate -s -512 \"$p\"; done",
    ));
    let ran = lab.run(&["full", "--keep-archivelogs", "0"]).exits(2);
    ran.says("error", "V$BACKUP_PIECE says");
    ran.says("error", "is not in the backup");
    assert!(ran.contents("datafile").is_empty() && !ran.contents("archived_log").is_empty());
    assert!(ran.of("removed").is_empty() && logs_on_disk(&lab) > 0);
    // No incremental builds on it.
    lab.unwrap_rman();
    std::thread::sleep(Duration::from_secs(1));
    lab.run(&["incremental"]).exits(1).says("warning", "no level 0 is known for datafiles 1, 2, 3, 4, 5");
}

#[test]
fn a_piece_that_is_gone_is_found() {
    let lab = Lab::small();
    lab.wrap_rman(&after_backup("rm -f \"$TEMP_BACKUP_DIR\"/*/db_backup_*"));
    lab.run(&["full"]).exits(2).says("error", "No such file");
}

#[test]
fn neither_a_status_nor_a_missing_last_line_is_overlooked() {
    let lab = Lab::small();
    lab.wrap_rman("$REAL \"$@\"; exit 1");
    let ran = lab.run(&["full", "--keep-archivelogs", "0"]).exits(2);
    ran.says("error", "rman exited 1");
    assert!(ran.of("removed").is_empty());
    // What is whole is recorded all the same: RMAN counts on it.
    assert!(!ran.contents("datafile").is_empty());
    let lab = Lab::small();
    lab.wrap_rman("$REAL \"$@\" | grep -v 'Recovery Manager complete'; exit 0");
    lab.run(&["full"]).exits(2).says("error", "without RMAN's closing line");
}

#[test]
fn a_time_limit_stops_rman_and_the_next_run_counts_nothing_of_it() {
    let lab = Lab::small();
    lab.wrap_rman("$REAL \"$@\"; echo $$ > \"$HOME/pid\"; sleep 600");
    let ran = lab.run(&["full", "--limit", "8s", "--keep-archivelogs", "0"]).exits(124);
    ran.says("error", "stopped; its pieces are not counted");
    assert!(ran.pieces().is_empty() && ran.of("removed").is_empty());
    let pid: i64 = std::fs::read_to_string(lab.at("pid")).unwrap().trim().parse().unwrap();
    assert!(!alive(pid));
    lab.unwrap_rman();
    next_run_knows(&lab);
}

/// The killed run had a whole level 0, and nobody vouches for it: the next incremental does not build on it.
fn next_run_knows(lab: &Lab) {
    let first = lab.runs()[0].clone();
    let before = lab.pieces().len();
    assert!(before > 0);
    std::thread::sleep(Duration::from_secs(1));
    let dry = lab.run(&["incremental", "-n"]).exits(0);
    dry.says("warning", "was interrupted and is not counted");
    dry.says("warning", "no level 0 is known for datafiles 1, 2, 3, 4, 5");
    let ran = lab.run(&["incremental"]).exits(1);
    ran.says("warning", "was interrupted and is not counted");
    ran.says("warning", "no level 0 is known for datafiles 1, 2, 3, 4, 5");
    assert!(ran.pieces().iter().all(|p| !p["path"].as_str().unwrap().starts_with(&*first.to_string_lossy())));
    assert!(lab.pieces().iter().filter(|p| p.starts_with(&first)).count() == before, "nothing is removed");
    std::thread::sleep(Duration::from_secs(1));
    let again = lab.run(&["incremental"]).exits(0);
    assert!(!again.stderr.contains("interrupted"), "{}", again.stderr);
}

#[test]
fn a_run_that_was_killed_is_recognised_and_its_rman_is_ended() {
    let lab = Lab::small();
    lab.wrap_rman("$REAL \"$@\"; echo $$ > \"$HOME/pid\"; sleep 600");
    let mut child = lab.start(&["full"]);
    let pid_file = lab.dir.path().join("pid");
    wait_for("RMAN has done its work", Duration::from_secs(180), || {
        pid_file.exists() && !std::fs::read_to_string(&pid_file).unwrap().is_empty()
    });
    let rman: i64 = std::fs::read_to_string(&pid_file).unwrap().trim().parse().unwrap();
    wait_for("the marker names RMAN", Duration::from_secs(10), || {
        let marker = lab.runs()[0].join(".orapipe_running");
        std::fs::read_to_string(marker).unwrap_or_default().contains(&rman.to_string())
    });
    signal(Signal::KILL, i64::from(child.id()));
    child.wait().unwrap();
    assert!(alive(rman), "RMAN outlives a SIGKILL of its parent");
    lab.unwrap_rman();
    let ran = lab.run(&["incremental", "-n"]).exits(0);
    assert!(alive(rman), "a dry run ends nothing: {}", ran.stderr);
    next_run_knows(&lab);
    wait_for("the end of RMAN", Duration::from_secs(10), || !alive(rman));
}

#[test]
fn a_signal_stops_rman() {
    for (stop, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let lab = Lab::small();
        lab.wrap_rman("echo $$ > \"$HOME/pid\"; sleep 600");
        let child = lab.start(&["full"]);
        let pid_file = lab.dir.path().join("pid");
        wait_for("RMAN runs", Duration::from_secs(180), || {
            pid_file.exists() && !std::fs::read_to_string(&pid_file).unwrap().is_empty()
        });
        signal(stop, i64::from(child.id()));
        let ran = finish(child);
        assert_eq!(ran.code, Some(code), "{}", ran.stderr);
        assert_eq!(ran.of("run_end").len(), 1);
        let rman: i64 = std::fs::read_to_string(&pid_file).unwrap().trim().parse().unwrap();
        assert!(!alive(rman) && lab.runs()[0].join(".orapipe_running").exists());
    }
}

#[test]
fn a_second_run_waits_for_nobody() {
    let lab = Lab::small();
    lab.wrap_rman("echo $$ > \"$HOME/pid\"; sleep 600");
    let child = lab.start(&["full"]);
    wait_for("RMAN runs", Duration::from_secs(180), || lab.dir.path().join("pid").exists());
    let ran = lab.run(&["incremental"]).exits(75);
    assert!(ran.stderr.contains("is held by rman-run"), "{}", ran.stderr);
    signal(Signal::TERM, i64::from(child.id()));
    finish(child);
}

#[test]
fn guards_refuse_before_anything_is_written() {
    let lab = Lab::small();
    let ran = lab.run(&["full", "--output-dir", &lab.at("not_mounted")]).exits(4);
    assert!(ran.stderr.contains("is no directory") && ran.stderr.contains("mount it"), "{}", ran.stderr);
    lab.run(&["full", "--output-dir", "relative"]).exits(64);
    lab.run(&["full", "--section-size", "1G", "--max-piece-size", "1G"]).exits(64);
    for flags in [["--map", "/a=/b"], ["--without", "x"], ["--dbid", "7"], ["--until-scn", "7"]] {
        let ran = lab.run(&["full", flags[0], flags[1]]).exits(64);
        assert!(ran.stderr.contains("has no effect with full"), "{}", ran.stderr);
    }
    let lab = Lab::new(|spec| spec["archivelog"] = serde_json::json!(false));
    let ran = lab.run(&["full"]).exits(4);
    assert!(ran.stderr.contains("is not in ARCHIVELOG mode"), "{}", ran.stderr);
    assert!(lab.runs().is_empty());
}
