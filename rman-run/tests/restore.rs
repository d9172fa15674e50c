//! Restores of the simulated database, each compared with the truth.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use serde_json::{json, Value};
use support::{wait_for, Lab, Ran};

/// A database with a level 0, two level 1s and the logs between them, and the SCNs at which something was true.
struct Week {
    lab: Lab,
    /// All `file` records, as lines.
    records: String,
    /// Between the backups.
    scns: Vec<u64>,
}

impl Week {
    fn new() -> Self {
        let lab = Lab::small();
        let mut week = Self { lab, records: String::new(), scns: Vec::new() };
        week.write();
        week.back_up("FULL");
        for _ in 0..2 {
            week.write();
            week.back_up("INCREMENTAL");
        }
        week.write();
        week.lab.work();
        week.back_up("archivelog");
        week
    }

    fn write(&mut self) {
        let dir = self.lab.at("db");
        for _ in 0..2 {
            self.lab.orasim(&["writer", "--dir", &dir, "--batch", "60"]);
            self.scns.push(self.scn());
        }
    }

    fn scn(&self) -> u64 {
        let text = self.lab.sql("SELECT TO_CHAR(CURRENT_SCN) FROM V$DATABASE");
        let digits = text.lines().rev().find_map(|l| l.trim().trim_matches(['"', '[', ']']).parse().ok());
        digits.unwrap_or_else(|| panic!("no SCN in {text}"))
    }

    fn back_up(&mut self, how: &str) {
        // The directory of a run is named by the second.
        std::thread::sleep(std::time::Duration::from_millis(1100));
        let ran = self.lab.run(&[how, "--keep-archivelogs", "never"]);
        assert!(matches!(ran.code, Some(0 | 1)), "{ran:?}");
        for record in ran.pieces() {
            self.records.push_str(&format!("{record}\n"));
        }
    }

    /// Everything but the backups is gone.
    fn lose(&self) {
        let dir = self.lab.at("db");
        self.lab.orasim(&["kill", "--dir", &dir]);
        for name in ["data", "db/onlinelog", "db/arch"] {
            let _none = std::fs::remove_dir_all(self.lab.at(name));
        }
        for name in ["control01.ctl", "control01.ctl.records", "in-flight.blocks"] {
            let _none = std::fs::remove_file(Path::new(&dir).join(name));
        }
    }

    fn restore(&self, args: &[&str], input: &str) -> Ran {
        let mut all = vec!["restore"];
        all.extend(args);
        let mut child = self
            .lab
            .tool()
            .args(all)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(input.as_bytes()).unwrap();
        drop(stdin);
        support::finish(child)
    }

    fn state(&self) -> String {
        self.lab.orasim(&["state", "--dir", &self.lab.at("db")])
    }

    /// Every block of every file is what it was at the SCN of the headers.
    #[track_caller]
    fn is_true(&self) {
        let db = self.lab.at("db");
        self.lab.orasim(&["truth-compare", "--primary", &db, "--standby", &db, "--at-standby"]);
    }

    /// The record that has this in its contents.
    fn path_of(&self, holds: impl Fn(&Value) -> bool) -> String {
        let records = self.records.lines().map(|l| serde_json::from_str::<Value>(l).unwrap());
        let found = records.filter(|r| r["contents"].as_array().is_some_and(|c| c.iter().any(&holds))).last();
        found.unwrap()["path"].as_str().unwrap().to_owned()
    }
}

fn checkpoints(ran: &Ran) -> Vec<u64> {
    let mut found: Vec<u64> =
        ran.of("datafile").iter().map(|d| d["checkpoint_scn"].as_u64().unwrap()).collect();
    found.sort_unstable();
    found.dedup();
    found
}

#[test]
fn after_a_total_loss_the_last_archived_change_is_back() {
    let week = Week::new();
    week.lose();
    let ran = week.restore(&["--controlfile", "--no-resetlogs"], &week.records).exits(0);
    assert_eq!(week.state(), "Mounted");
    assert!(checkpoints(&ran)[0] >= *week.scns.last().unwrap(), "{:?} {:?}", checkpoints(&ran), week.scns);
    assert_eq!(ran.of("datafile").len(), 5);
    week.is_true();
    week.lab.sql("ALTER DATABASE OPEN RESETLOGS");
}

#[test]
fn any_scn_can_be_reached_and_the_database_opens() {
    let week = Week::new();
    let mut seed = 11u64;
    let (low, high) = (week.scns[2], *week.scns.last().unwrap());
    for round in 0..4 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let scn = low + (seed >> 33) % (high - low);
        week.lose();
        let until = scn.to_string();
        let ran =
            week.restore(&["--controlfile", "--no-resetlogs", "--until-scn", &until], &week.records).exits(0);
        assert_eq!(checkpoints(&ran), [scn], "round {round}");
        week.is_true();
    }
    week.lose();
    let until = week.scns[3].to_string();
    week.restore(&["FULL", "--controlfile", "--until-scn", &until], &week.records).exits(0);
    assert_eq!(week.state(), "Open");
}

#[test]
fn a_damaged_or_missing_piece_stops_the_restore_before_anything_is_touched() {
    let week = Week::new();
    let level0 = week.path_of(|c| c["kind"] == "datafile" && c["level"] == 0);
    let log = week.path_of(|c| c["kind"] == "archived_log");
    week.lose();
    let bytes = std::fs::read(&level0).unwrap();
    let mut flipped = bytes.clone();
    flipped[bytes.len() / 2] ^= 1;
    std::fs::write(&level0, &flipped).unwrap();
    let ran = week.restore(&["--controlfile"], &week.records).exits(5);
    ran.says("error", "is damaged: its SHA-256 is");
    assert!(ran.stderr.contains("has no full or level 0 backup before SCN"), "{}", ran.stderr);
    assert!(ran.stderr.contains("is missing or damaged"), "{}", ran.stderr);
    assert_eq!(week.state(), "Down");
    std::fs::write(&level0, &bytes).unwrap();

    std::fs::remove_file(&log).unwrap();
    let ran = week.restore(&["--controlfile"], &week.records).exits(5);
    assert!(ran.stderr.contains("is lost, nothing was touched: thread 1 sequence"), "{}", ran.stderr);
    assert_eq!(week.state(), "Down");
    let hint = ran.stderr.split("--until-scn ").nth(1).unwrap().trim();
    let scn: u64 = hint.split_whitespace().next().unwrap().parse().unwrap();
    let ran = week
        .restore(&["--controlfile", "--no-resetlogs", "--until-scn", &scn.to_string()], &week.records)
        .exits(0);
    assert_eq!(checkpoints(&ran), [scn]);
    week.is_true();
}

#[test]
fn lost_datafiles_alone_are_recovered_to_the_last_change_without_resetlogs() {
    let week = Week::new();
    let last = week.scn();
    week.lab.orasim(&["kill", "--dir", &week.lab.at("db")]);
    std::fs::remove_dir_all(week.lab.at("data")).unwrap();
    let ran = week.restore(&[], &week.records).exits(0);
    assert_eq!(week.state(), "Open");
    assert!(checkpoints(&ran)[0] >= last, "{:?} {last}", checkpoints(&ran));
    let end = ran.of("run_end")[0]["message"].as_str().unwrap().to_owned();
    assert!(end.ends_with("and opened"), "{end}");
}

#[test]
fn an_open_database_is_not_overwritten() {
    let week = Week::new();
    let ran = week.restore(&["--controlfile"], &week.records).exits(4);
    assert!(ran.stderr.contains("the database is open"), "{}", ran.stderr);
    assert_eq!(week.state(), "Open");
}

#[test]
fn a_dry_run_shows_the_scripts_and_changes_nothing() {
    let week = Week::new();
    week.lose();
    let ran = week
        .restore(&["--controlfile", "--dry-run", "--until-scn", &week.scns[4].to_string()], &week.records);
    let ran = ran.exits(0);
    let scripts: Vec<String> =
        ran.of("planned").iter().map(|p| p["script"].as_str().unwrap().to_owned()).collect();
    assert!(scripts[0].contains("RESTORE CONTROLFILE FROM '"), "{scripts:#?}");
    assert!(scripts[3].contains(&format!("SET UNTIL SCN {};", week.scns[4])), "{scripts:#?}");
    assert_eq!(scripts.last().unwrap(), "ALTER DATABASE OPEN RESETLOGS;\nEXIT;\n");
    assert_eq!(week.state(), "Down");
    assert!(!Path::new(&week.lab.at("data")).exists());
}

#[test]
fn a_directory_with_its_manifest_and_one_without() {
    let week = Week::new();
    let dir = week.lab.at("downloaded");
    std::fs::create_dir(&dir).unwrap();
    for path in week.lab.pieces() {
        std::fs::rename(&path, Path::new(&dir).join(path.file_name().unwrap())).unwrap();
    }
    std::fs::write(Path::new(&dir).join("run.jsonl"), &week.records).unwrap();
    week.lose();
    week.restore(&["--controlfile", "--no-resetlogs", "--source-dir", &dir], "").exits(0);
    week.is_true();
    std::fs::remove_file(Path::new(&dir).join("run.jsonl")).unwrap();
    week.lose();
    week.restore(&["--controlfile", "--no-resetlogs", "--source-dir", &dir], "").exits(0);
    week.is_true();
}

#[test]
fn datafiles_go_where_the_map_says() {
    let week = Week::new();
    week.lose();
    let (from, to) = (week.lab.at("data"), week.lab.at("elsewhere"));
    std::fs::create_dir(&to).unwrap();
    let ran =
        week.restore(&["--controlfile", "--no-resetlogs", "--map", &format!("{from}={to}")], &week.records);
    let ran = ran.exits(0);
    assert!(
        ran.of("datafile").iter().all(|d| d["path"].as_str().unwrap().starts_with(&to)),
        "{:#?}",
        ran.of("datafile")
    );
    week.is_true();
}

#[test]
fn a_feeder_that_died_or_pieces_of_another_database_touch_nothing() {
    let week = Week::new();
    week.lose();
    let begin =
        json!({"v": 1, "type": "run_begin", "tool": "s3-get", "run": "x", "version": "1", "host": "h"});
    let ran = week.restore(&["--controlfile"], &format!("{begin}\n{}", week.records)).exits(2);
    assert!(ran.stderr.contains("s3-get (run x) began and did not end"), "{}", ran.stderr);
    assert_eq!(week.state(), "Down");
    let end = json!({
        "v": 1, "type": "run_end", "tool": "s3-get", "run": "x",
        "status": "failed", "exit": 2, "seconds": 1, "counts": {},
    });
    let ran = week.restore(&["--controlfile"], &format!("{begin}\n{}{end}\n", week.records)).exits(2);
    assert!(ran.stderr.contains("what feeds us ended with status 2"), "{}", ran.stderr);
    assert_eq!(week.state(), "Down");
    let other = week.records.replace("\"db\":\"PROD\"", "\"db\":\"OTHER\"");
    let ran = week.restore(&["--controlfile"], &other).exits(4);
    assert!(ran.stderr.contains("the instance is of database PROD"), "{}", ran.stderr);
    assert!(!Path::new(&week.lab.at("db")).join("control01.ctl").exists());
}

#[test]
fn what_a_cut_plan_brings_is_recovered_and_not_opened_unasked() {
    let week = Week::new();
    week.lose();
    let begin =
        json!({"v": 1, "type": "run_begin", "tool": "rman-run", "run": "p", "version": "1", "host": "h"});
    let end = json!({
        "v": 1, "type": "run_end", "tool": "rman-run", "run": "p",
        "status": "partial", "exit": 1, "seconds": 1, "counts": {},
    });
    let input = format!("{begin}\n{}{end}\n", week.records);
    let ran = week.restore(&["--controlfile"], &input).exits(1);
    assert_eq!(week.state(), "Mounted");
    ran.says("warning", "left mounted: the run before this one could not bring all");
    week.is_true();
    // With a target it is what was asked for.
    week.lose();
    let until = week.scns[3].to_string();
    week.restore(&["--controlfile", "--until-scn", &until], &input).exits(1);
    assert_eq!(week.state(), "Open");
}

#[test]
fn killed_in_the_middle_and_run_again() {
    let week = Week::new();
    week.lose();
    week.lab.wrap_rman("if grep -q 'RESTORE DATABASE' \"${4#cmdfile=}\"; then touch \"$ORACLE_HOME/reached\"; sleep 600; fi\nexec $REAL \"$@\"");
    let mut child = week
        .lab
        .tool()
        .args(["restore", "--controlfile", "--no-resetlogs"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(week.records.as_bytes()).unwrap();
    let reached = Path::new(&week.lab.at("home")).join("reached");
    wait_for("RESTORE begins", std::time::Duration::from_secs(60), || reached.exists());
    std::thread::sleep(std::time::Duration::from_millis(300));
    child.kill().unwrap();
    child.wait().unwrap();
    week.lab.unwrap_rman();
    let ran = week.restore(&["--controlfile", "--no-resetlogs"], &week.records).exits(0);
    ran.says("warning", "was still running and was ended");
    week.is_true();
}
