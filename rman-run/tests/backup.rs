//! Backups of the simulated database: what is written, recorded, and deleted afterwards.

#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeSet;

use serde_json::{json, Value};
use support::{sha256, Lab, Ran};

/// Each record of a piece is true: the file is there, with that size and that hash.
#[track_caller]
fn check_receipts(lab: &Lab, ran: &Ran) {
    let pieces = ran.pieces();
    assert!(!pieces.is_empty());
    for piece in &pieces {
        let path = piece["path"].as_str().unwrap();
        assert_eq!(std::fs::metadata(path).unwrap().len(), piece["bytes"].as_u64().unwrap(), "{path}");
        assert_eq!(sha256(path), piece["sha256"].as_str().unwrap(), "{path}");
        assert_eq!(piece["db"], "PROD");
    }
    let recorded: BTreeSet<String> = pieces.iter().map(|p| p["path"].as_str().unwrap().to_owned()).collect();
    let last = lab.runs().pop().unwrap();
    let there: BTreeSet<String> = lab
        .pieces()
        .iter()
        .filter(|p| p.starts_with(&last))
        .map(|p| p.to_string_lossy().into_owned())
        .collect();
    assert_eq!(recorded, there);
}

fn numbers(values: &[&Value], field: &str) -> BTreeSet<u64> {
    values.iter().map(|v| v[field].as_u64().unwrap()).collect()
}

#[test]
fn a_full_backup_is_recorded_piece_by_piece_with_its_contents() {
    let lab = Lab::small();
    lab.work();
    let ran = lab.run(&["FULL"]).exits(0);
    check_receipts(&lab, &ran);
    let files = ran.contents("datafile");
    assert_eq!(numbers(&files, "file"), (1..=5).collect());
    assert!(files.iter().all(|f| f["level"] == 0), "{files:#?}");
    assert!(!ran.contents("archived_log").is_empty());
    assert!(!ran.contents("spfile").is_empty());
    let control = ran.contents("controlfile");
    assert_eq!(control[0]["datafiles"].as_array().unwrap().len(), 5);
    assert_eq!(control[0]["threads"].as_array().unwrap().len(), 1);
    assert_eq!(control[0]["incarnations"].as_array().unwrap().len(), 1);
    assert!(control.iter().any(|c| c["autobackup"] == json!(true)), "{control:#?}");
    let name = |p: &Value| p["path"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
    let names: Vec<String> = ran.pieces().into_iter().map(name).collect();
    for prefix in ["db_backup_FULL_", "archivelog_", "controlfile_", "spfile_", "c-"] {
        assert!(names.iter().any(|n| n.starts_with(prefix)), "{prefix}: {names:?}");
    }
    let tag = ran.pieces()[0]["tag"].as_str().unwrap();
    assert!(tag.starts_with("BK_FULL_") && tag.len() == "BK_FULL_0802220001".len(), "{tag}");
    let log = ran.of("file").into_iter().find(|f| f["role"] == "log").unwrap();
    assert!(log["path"].as_str().unwrap().contains("/logs/backup_log_FULL_2"), "{log}");
    assert!(!lab.runs()[0].join(".orapipe_running").exists());
}

#[test]
fn a_run_takes_the_next_second_of_which_the_directory_is_free() {
    let lab = Lab::small();
    let now = chrono::Local::now();
    let name = |s: i64| (now + chrono::TimeDelta::seconds(s)).format("%Y%m%d_%H%M%S_run").to_string();
    let taken: BTreeSet<std::path::PathBuf> =
        (0..40).map(|s| lab.dir.path().join("rman").join(name(s))).collect();
    for dir in &taken {
        std::fs::create_dir(dir).unwrap();
    }
    let ran = lab.run(&["archivelog"]).exits(0);
    check_receipts(&lab, &ran);
    let path = ran.pieces()[0]["path"].as_str().unwrap().to_owned();
    let dir = std::path::Path::new(&path).parent().unwrap().to_owned();
    assert!(!taken.contains(&dir) && dir.to_string_lossy().ends_with("_run"), "{}", dir.display());
}

#[test]
fn an_incremental_builds_on_the_full_one() {
    let lab = Lab::small();
    let full = lab.run(&["full"]).exits(0);
    lab.work();
    std::thread::sleep(std::time::Duration::from_secs(1));
    let ran = lab.run(&["INCREMENTAL"]).exits(0);
    check_receipts(&lab, &ran);
    let bases = numbers(&full.contents("datafile"), "checkpoint_change");
    for file in ran.contents("datafile") {
        assert_eq!(file["level"], 1);
        assert!(bases.contains(&file["incremental_change"].as_u64().unwrap()), "{file} {bases:?}");
    }
}

#[test]
fn an_incremental_that_became_a_level_0_is_a_warning() {
    let lab = Lab::small();
    let ran = lab.run(&["incremental"]).exits(1);
    ran.says("warning", "no level 0 is known for datafiles 1, 2, 3, 4, 5");
    ran.says("warning", "this incremental is a level 0 for datafiles");
    check_receipts(&lab, &ran);
}

#[test]
fn only_logs_take_no_datafiles() {
    let lab = Lab::small();
    lab.work();
    let ran = lab.run(&["archivelog"]).exits(0);
    check_receipts(&lab, &ran);
    assert!(ran.contents("datafile").is_empty());
    assert!(!ran.contents("archived_log").is_empty() && !ran.contents("controlfile").is_empty());
}

#[test]
fn old_logs_go_after_the_backup_that_holds_them_and_young_ones_stay() {
    let lab = Lab::small();
    lab.work();
    lab.work();
    let logs = || std::fs::read_dir(lab.at("db/arch")).unwrap().count();
    let before = logs();
    assert!(before >= 2);
    let ran = lab.run(&["full"]).exits(0);
    assert!(ran.of("removed").is_empty() && logs() > before);
    std::thread::sleep(std::time::Duration::from_secs(1));
    let ran = lab.run(&["archivelog", "--keep-archivelogs", "0"]).exits(0);
    assert_eq!(logs(), 0, "{:#?}", ran.records);
    let held = numbers(&ran.contents("archived_log"), "sequence");
    assert!(ran.of("removed").len() >= held.len() - 1);
}

#[test]
fn logs_that_the_standby_does_not_have_stay() {
    let lab = Lab::small();
    lab.work();
    lab.work();
    std::fs::create_dir_all(lab.at("state")).unwrap();
    std::fs::write(lab.at("state/last_arch_seq_thread1.PROD"), "1\n").unwrap();
    let ran = lab.run(&["full", "--keep-archivelogs", "0"]).exits(0);
    let kept = ran.of("kept");
    assert!(!kept.is_empty());
    assert!(kept.iter().all(|k| k["reason"].as_str().unwrap().contains("arch-ship has verified sequence 1")));
    assert_eq!(ran.of("removed").len(), 1);
}

#[test]
fn a_log_that_is_gone_is_a_gap_and_the_others_are_backed_up() {
    let lab = Lab::small();
    lab.work();
    lab.work();
    lab.work();
    let gone = lab.sql("SELECT name FROM v$archived_log WHERE sequence# = 2");
    std::fs::remove_file(&gone).unwrap();
    let ran = lab.run(&["full"]).exits(1);
    let gaps = ran.of("gap");
    assert_eq!((gaps.len(), &gaps[0]["from"], &gaps[0]["to"]), (1, &json!(2), &json!(2)));
    assert!(!numbers(&ran.contents("archived_log"), "sequence").contains(&2));
    check_receipts(&lab, &ran);
}

#[test]
fn optimization_leaves_nothing_out() {
    let lab = Lab::new(|spec| spec["tablespaces"][3]["read_only"] = json!(true));
    lab.rman("CONFIGURE BACKUP OPTIMIZATION ON;\nEXIT;\n");
    for _ in 0..3 {
        let ran = lab.run(&["full"]).exits(0);
        assert_eq!(numbers(&ran.contents("datafile"), "file"), (1..=5).collect());
        std::thread::sleep(std::time::Duration::from_secs(1));
    }
}

#[test]
fn a_dry_run_shows_the_script_and_changes_nothing() {
    let lab = Lab::small();
    let ran = lab.run(&["full", "-n", "--compressed", "--channels", "1"]).exits(0);
    let planned = ran.of("planned");
    let script = planned[0]["script"].as_str().unwrap();
    assert!(script.contains("BACKUP AS COMPRESSED BACKUPSET INCREMENTAL LEVEL 0 FORMAT"), "{script}");
    assert!(
        lab.runs().is_empty()
            && !lab.dir.path().join("state").exists()
            && !lab.dir.path().join("logs").exists()
    );
    assert_eq!(lab.sql("SELECT COUNT(*) FROM v$backup_piece"), "0");
}

#[test]
fn a_password_is_nowhere_but_in_the_command_file() {
    let lab = Lab::small();
    lab.wrap_rman("tr '\\0' '\\n' < /proc/$$/cmdline >> \"$HOME/argv\"; exec $REAL \"$@\"");
    let mut tool = lab.tool();
    tool.env("RMAN_TARGET_CONNECT_STRING", "sys/change_on_install@prod").args(["full", "-v"]);
    let ran = support::run(&mut tool).exits(0);
    let argv = std::fs::read_to_string(lab.at("argv")).unwrap();
    assert!(argv.contains("cmdfile=") && !argv.contains("change_on_install"), "{argv}");
    assert!(
        !ran.stderr.contains("change_on_install")
            && !format!("{:?}", ran.records).contains("change_on_install")
    );
    for entry in std::fs::read_dir(lab.at("logs")).unwrap() {
        let text = std::fs::read(entry.unwrap().path()).unwrap();
        assert!(!String::from_utf8_lossy(&text).contains("change_on_install"));
    }
    let ran = lab.run(&["full", "--target", "sys/change_on_install@prod"]).exits(64);
    assert!(ran.stderr.contains("every user of this host can read arguments"), "{}", ran.stderr);
}
