//! What a run makes when nothing goes wrong, or little.

use std::time::Duration;

use ibsim::{Config, Fault, Rule, PASSWORD};
use serde_json::Value;

use crate::lab::{mark, run, Lab};

#[test]
fn a_set_is_taken_marked_and_told() {
    let lab = Lab::small();
    let ran = lab.run(&[]).exits(0);
    lab.assert_clean();
    let names: Vec<String> = lab.array.snapshots().iter().map(|s| s.name.clone()).collect();
    assert_eq!(names.len(), 4, "{names:?}");
    let stamp = &names[0]["orasync_data_".len().."orasync_data_".len() + 17];
    let wanted = ["data", "data", "data", "archive"].iter().zip(["DATA1", "DATA2", "DATA3", "ARCH"]);
    for ((kind, volume), name) in wanted.zip(&names) {
        let base = format!("orasync_{kind}_{stamp}");
        assert_eq!(*name, if volume == "ARCH" { base } else { format!("{base}_{volume}") });
    }
    let window = ran.of("recovery_window")[0];
    for snapshot in lab.array.snapshots() {
        assert!(snapshot.write_protected, "{}", snapshot.name);
        assert_eq!(snapshot.metadata["host.created_by"], "orapipe");
        let told = mark(&snapshot);
        assert_eq!((told["state"].as_str(), told["stamp"].as_str()), (Some("complete"), Some(stamp)));
        assert_eq!(told["n"], if snapshot.name.contains("data") { 3 } else { 1 });
        assert_eq!(told["archive"], true);
        assert!(snapshot.metadata["orapipe.set"].len() < 250);
        let redo: Value = serde_json::from_str(&snapshot.metadata["orapipe.redo"]).unwrap();
        assert_eq!((&redo["begin"], &redo["end"]), (&window["begin_scn"], &window["end_scn"]));
        assert_eq!(redo["threads"][0][2], window["threads"][0]["last_sequence"]);
        let record = ran.of("snapshot").into_iter().find(|r| r["id"] == snapshot.id).unwrap().clone();
        assert_eq!((&record["name"], &record["state"]), (&snapshot.name.into(), &"complete".into()));
    }
    assert!(window["begin_scn"].as_u64().unwrap() < window["end_scn"].as_u64().unwrap());
    assert_eq!(lab.array.count("POST", "^/volumes"), 2, "one request for each half");
    assert!(!lab.pending());
    let written = lab.written();
    assert!(written.contains("the set is complete") && !written.contains(PASSWORD), "{written}");
    let log = format!("dbPROD-{stamp}.log");
    assert!(lab.dir.path().join("state").join(&log).exists(), "{log}");
    // Again, at another second: nothing of the first one is in the way.
    std::thread::sleep(Duration::from_millis(1100));
    lab.run(&[]).exits(0);
    assert_eq!(lab.array.snapshots().len(), 8);
}

#[test]
fn three_volumes_on_a_slow_array_are_in_backup_mode_for_less_than_a_second() {
    let lab = Lab::new(Config { latency: Duration::from_millis(200), ..Config::default() });
    let ran = lab.run(&[]).exits(0);
    let took = ran.count("backup_mode_ms");
    assert!((200..1000).contains(&took), "{took} ms");
    let created: Vec<i64> =
        lab.array.snapshots().iter().filter(|s| s.name.contains("data")).map(|s| s.created_at).collect();
    assert!(created.iter().all(|c| *c == created[0]), "one instant: {created:?}");
    eprintln!("{took} ms in backup mode, {:?} in all", ran.elapsed);
}

#[test]
fn one_volume_over_plain_http_has_the_names_of_the_original() {
    let lab = Lab::small();
    let mut command = lab.bare();
    command.env("SOURCE_INFINIBOX", lab.array.host(0)).env("ORACLE_SERVER", "dbuat").args([
        "--insecure-http",
        "--data-volume",
        "DATA1",
        "--no-archive",
        "--prefix",
        "ora",
        "--utc",
    ]);
    run(&mut command).exits(0);
    let names: Vec<String> = lab.array.snapshots().iter().map(|s| s.name.clone()).collect();
    assert_eq!(names.len(), 1);
    assert_eq!(names[0].len(), "ora_data_2026-11-20_153000".len());
    assert!(names[0].starts_with("ora_data_2"), "{names:?}");
    assert_eq!(mark(&lab.snapshot("data"))["archive"], false);
    let log = names[0].replace("ora_data_", "dbuat-") + ".log";
    assert!(lab.dir.path().join("state").join(&log).exists(), "{log}");
}

#[test]
fn a_consistency_group_brings_its_members() {
    let lab = Lab::small();
    lab.array.add_group("DB", &["DATA1", "DATA2", "DATA3"]).unwrap();
    let ran = run(lab.bare().args(["--data-cg", "DB", "--archive-volume", "ARCH"])).exits(0);
    assert_eq!(lab.array.count("POST", "^/cgs"), 1);
    let record = ran.of("snapshot").into_iter().find(|r| r["volume"] == "DATA2").unwrap();
    assert_eq!(record["cg"], "DB");
    assert!(lab.states().values().all(|s| s == "complete"), "{:?}", lab.states());
    assert!(lab.snapshot("_DATA2").write_protected);
    // A volume that is listed and no member would be missing in the set.
    lab.array.add_volume("MORE").unwrap();
    let ran = run(lab.bare().args(["--data-cg", "DB", "--data-volume", "MORE", "--no-archive"])).exits(4);
    assert!(ran.says("MORE is no member"), "{}", ran.stderr);
}

#[test]
fn separate_snapshots_are_taken_at_the_same_time() {
    let lab = Lab::new(Config { latency: Duration::from_millis(200), ..Config::default() });
    let ran = lab.run(&["--separate-snapshots"]).exits(0);
    assert_eq!(lab.array.count("POST", "^/volumes$"), 4);
    assert!(ran.count("backup_mode_ms") < 1000, "{}", ran.count("backup_mode_ms"));
    assert!(lab.states().values().all(|s| s == "complete"));
}

#[test]
fn a_lock_and_the_control_file_are_as_asked_for() {
    let lab = Lab::small();
    let dir = lab.at("arch");
    let ran = lab.run(&["--lock-until", "2days", "--controlfile-to", &dir]).exits(0);
    let two_days = 2 * 86_400_000;
    for snapshot in lab.array.snapshots() {
        let left = snapshot.lock_expires_at.unwrap() - lab.array.now();
        assert!(snapshot.locked && (two_days - 60_000..=two_days + 2_000).contains(&left), "{left}");
    }
    assert!(ran.of("snapshot").iter().all(|r| r["locked_until"].is_string()));
    let file = ran.of("file")[0];
    let path = file["path"].as_str().unwrap();
    let inside = lab.snapshot("archive").bytes.unwrap().join("orasync_control_PROD.ctl");
    assert_eq!(std::fs::read(path).unwrap(), std::fs::read(inside).unwrap(), "it is in the snapshot");
    assert_eq!(file["role"], "controlfile");
    // The last log that the set needs is in the archive snapshot.
    let last = ran.of("recovery_window")[0]["threads"][0]["last_sequence"].as_u64().unwrap();
    let logs = std::fs::read_dir(lab.snapshot("archive").bytes.unwrap()).unwrap();
    let names: Vec<String> = logs.flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect();
    assert!(names.iter().any(|n| n.contains(&format!("1_{last}_"))), "{last} in {names:?}");
}

#[test]
fn a_dry_run_tells_the_plan_and_changes_nothing() {
    let lab = Lab::small();
    let ran = lab.run(&["--dry-run"]).exits(0);
    let deeds: Vec<&str> = ran.of("planned").iter().map(|r| r["action"].as_str().unwrap()).collect();
    assert_eq!(
        deeds,
        ["begin_backup", "snapshot", "snapshot", "snapshot", "end_backup", "archive_log", "snapshot", "mark"]
    );
    assert!(lab.array.snapshots().is_empty() && !lab.dir.path().join("state").exists());
    assert!(!lab.statements().contains("BEGIN BACKUP"));
    assert!(lab.array.log().iter().all(|r| r.line().starts_with("GET")));
}

#[test]
fn an_archive_step_that_fails_leaves_an_incomplete_set() {
    let lab = Lab::small();
    let forbidden = Fault::Status { status: 403, code: "NO_WAY".into(), retry_after: None, executed: false };
    lab.array.faults(vec![Rule::on("POST", "^/volumes$", forbidden)]).unwrap();
    let ran = lab.run(&[]).exits(1);
    lab.assert_clean();
    assert!(ran.says("NO_WAY") && ran.says("the set is incomplete"), "{}", ran.stderr);
    assert_eq!(lab.array.snapshots().len(), 3);
    assert!(lab.states().values().all(|s| s == "incomplete"), "{:?}", lab.states());
    assert!(ran.of("snapshot").iter().all(|r| r["state"] == "incomplete"));
    assert_eq!(ran.of("recovery_window").len(), 1);
}

#[test]
fn metadata_that_is_refused_is_said() {
    let lab = Lab::small();
    let refused = Fault::Status {
        status: 400,
        code: "METADATA_IS_NOT_SUPPORTED_FOR_ENTITY".into(),
        retry_after: None,
        executed: false,
    };
    lab.array.faults(vec![Rule::on("PUT", "^/metadata", refused)]).unwrap();
    let ran = lab.run(&[]).exits(1);
    assert!(ran.says("has no mark") && ran.says("METADATA_IS_NOT_SUPPORTED_FOR_ENTITY"), "{}", ran.stderr);
    assert_eq!(lab.array.snapshots().len(), 4);
    assert!(!lab.pending(), "what is refused today is refused tomorrow");
}

#[test]
fn old_versions_can_be_snapshot_too() {
    for version in [ibsim::Version::V2_2, ibsim::Version::V5_0] {
        let lab = Lab::new(Config::version(version));
        let ran = lab.run(&[]).exits(0);
        assert_eq!(ran.of("snapshot").len(), 4, "{version}");
        assert!(lab.states().values().all(|s| s == "complete"), "{version} {:?}", lab.states());
    }
}
