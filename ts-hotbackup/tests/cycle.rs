//! Whole cycles against the simulated database: what is copied, what is left out, and that it recovers.

#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use serde_json::json;
use support::{ts, Lab, Signal, Started};

fn odd_names() -> Lab {
    Lab::new(|spec, root| {
        let list = spec["tablespaces"].as_array_mut().unwrap();
        let mut read_only = ts(root, "HIST", 1);
        read_only["read_only"] = json!(true);
        let mut offline = ts(root, "OLD", 1);
        offline["offline"] = json!(true);
        let mut undo = ts(root, "UNDO2", 1);
        undo["kind"] = json!("undo");
        list.extend([read_only, offline, undo, ts(root, "Mixed Case", 2), ts(root, "it's/odd", 1)]);
        spec["threads"] = json!(2);
    })
}

#[test]
fn a_cycle_recovers_to_equality() {
    let mut lab = odd_names();
    let ran = lab.run(&[]).exits(0);
    assert_eq!(
        ran.tablespaces("copied"),
        ["HIST", "Mixed Case", "USERS", "it's/odd", "SYSAUX", "SYSTEM", "UNDO2", "UNDOTBS1"]
    );
    assert_eq!(ran.tablespaces("skipped"), ["OLD", "TEMP"]);
    let window = ran.of("recovery_window")[0];
    assert_eq!(window["threads"].as_array().unwrap().len(), 2);
    for record in ran.of("tablespace") {
        assert!(record["backup_mode_seconds"].as_f64().unwrap_or(0.0) < 5.0, "{record}");
    }
    assert!(ran.of("run_end")[0]["status"] == "success" && lab.active().is_empty());
    assert!(!lab.dir.path().join("state/backup_mode.PROD").exists());
    let names: Vec<String> = std::fs::read_dir(lab.at("dr"))
        .unwrap()
        .map(|e| e.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    assert!(names.iter().all(|n| !n.starts_with(".orapipe-")), "{names:?}");
    assert!(lab.dir.path().join("state/ts_it%27s%2Fodd.done").exists());
    assert!(lab.dir.path().join("state/ts_Mixed%20Case.log").exists());
    lab.prove_recovery();
}

#[test]
fn a_finished_cycle_is_closed_and_the_next_one_copies_again() {
    let mut lab = Lab::small();
    let first = lab.run(&[]).exits(0);
    let second = lab.run(&[]).exits(0);
    assert_eq!(first.tablespaces("copied"), second.tablespaces("copied"));
    let scn = |ran: &support::Ran| ran.of("recovery_window")[0]["begin_scn"].as_u64().unwrap();
    assert!(scn(&second) > scn(&first));
    lab.prove_recovery();
}

#[test]
fn a_failed_tablespace_does_not_stop_the_others_and_is_all_that_the_next_run_copies() {
    let mut lab = Lab::small();
    lab.fault(&[
        "error",
        "ALTER TABLESPACE \"USERS\" BEGIN",
        "1146",
        "cannot start online backup",
        "--times",
        "1",
    ]);
    let ran = lab.run(&[]).exits(1);
    assert_eq!(ran.tablespaces("failed"), ["USERS"]);
    assert_eq!(ran.tablespaces("copied"), ["SYSAUX", "SYSTEM", "UNDOTBS1"]);
    assert!(ran.reason("USERS").contains("ORA-01146"), "{}", ran.reason("USERS"));
    assert!(!lab.dir.path().join("state/ts_USERS.done").exists());
    assert!(ran.of("recovery_window").is_empty());
    let env = std::fs::read_to_string(lab.dir.path().join("dr/recover_standby_PROD.env")).unwrap();
    assert!(env.contains("COMPLETE='no'"));
    let again = lab.run(&[]).exits(0);
    assert_eq!(again.tablespaces("copied"), ["USERS"]);
    lab.prove_recovery();
}

#[test]
fn a_file_added_meanwhile_is_copied_in_another_round() {
    let mut lab = Lab::small();
    let started = lab.start_slow(&[]);
    lab.wait_for_copy();
    let path = lab.at("data/late.dbf");
    lab.sql(&format!("CREATE TABLESPACE LATE DATAFILE '{path}' SIZE 1048576"));
    let ran = started.finish().exits(0);
    assert_eq!(ran.tablespaces("copied").last().unwrap(), "LATE");
    lab.prove_recovery();
}

#[test]
fn a_tablespace_dropped_meanwhile_is_no_failure() {
    let lab = Lab::small();
    let path = lab.at("data/gone.dbf");
    lab.sql(&format!("CREATE TABLESPACE ZGONE DATAFILE '{path}' SIZE 1048576"));
    let started = lab.start_slow(&[]);
    lab.wait_for_copy();
    lab.sql("DROP TABLESPACE ZGONE INCLUDING CONTENTS AND DATAFILES");
    let ran = started.finish().exits(0);
    assert_eq!(ran.reason("ZGONE"), "dropped meanwhile");
}

#[test]
fn named_tablespaces_alone_do_not_close_the_cycle() {
    let lab = Lab::small();
    let ran = lab.run(&["USERS"]).exits(0);
    assert_eq!(ran.tablespaces("copied"), ["USERS"]);
    assert!(ran.of("recovery_window").is_empty());
    let rest = lab.run(&[]).exits(0);
    assert_eq!(rest.tablespaces("copied"), ["SYSAUX", "SYSTEM", "UNDOTBS1"]);
    assert_eq!(rest.of("recovery_window").len(), 1);
    let all = lab.run(&["--new-cycle"]).exits(0);
    assert_eq!(all.tablespaces("copied").len(), 4);
}

#[test]
fn a_copy_that_vanished_is_made_again() {
    let lab = Lab::small();
    lab.run(&["USERS"]).exits(0);
    std::fs::write(lab.at("dr/users01.dbf"), b"half").unwrap();
    let ran = lab.run(&[]).exits(0);
    assert!(ran.tablespaces("copied").contains(&"USERS".to_owned()));
}

#[test]
fn a_second_run_is_told_who_holds_the_lock() {
    let lab = Lab::small();
    let started = lab.start_slow(&[]);
    lab.wait_for_copy();
    let second = lab.run(&[]).exits(75);
    assert!(second.stderr.contains(&format!("pid {}", started.pid())), "{}", second.stderr);
    lab.run(&["--end-backup"]).exits(75);
    assert!(!lab.active().is_empty());
    started.finish().exits(0);
}

#[test]
fn sigterm_ends_backup_mode_and_says_so() {
    let lab = Lab::small();
    let started = lab.start_slow(&[]);
    lab.wait_for_copy();
    support::signal(Signal::TERM, started.pid(), false);
    let ran = started.finish().exits(143);
    assert!(lab.active().is_empty() && ran.elapsed < Duration::from_secs(30));
    assert_eq!(ran.of("run_end")[0]["status"], "interrupted");
    let again = lab.run(&[]).exits(0);
    assert!(again.tablespaces("copied").contains(&"USERS".to_owned()));
}

#[test]
fn a_second_signal_does_not_skip_end_backup() {
    let lab = Lab::small();
    lab.fault(&["hang", "END BACKUP", "--seconds", "3", "--times", "1"]);
    let started = lab.start_slow(&[]);
    lab.wait_for_copy();
    for _ in 0..5 {
        support::signal(Signal::INT, started.pid(), false);
        std::thread::sleep(Duration::from_millis(300));
    }
    started.finish().exits(130);
    assert!(lab.active().is_empty());
}

#[test]
fn archived_logs_that_do_not_come_hit_a_limit_and_the_next_run_closes_the_cycle() {
    let mut lab = Lab::small();
    lab.fault(&["physics", "{\"archiver_stuck\": true}"]);
    let ran = lab.run(&["--archive-timeout", "3s"]).exits(124);
    assert!(ran.elapsed < Duration::from_secs(60), "{:?}", ran.elapsed);
    assert_eq!(ran.tablespaces("copied").len(), 4);
    lab.fault(&["physics", "{}"]);
    let again = lab.run(&[]).exits(0);
    assert!(again.tablespaces("copied").is_empty());
    lab.prove_recovery();
}

#[test]
fn many_streams_of_one_tool_leave_nothing_behind() {
    let lab = Lab::new(|spec, root| {
        let list = spec["tablespaces"].as_array_mut().unwrap();
        list.push(ts(root, "WIDE", 12));
    });
    let ran = Started::new(lab.tool().args(["--workers", "10"])).finish().exits(0);
    assert_eq!(ran.of("datafile").len(), 12 + 5);
    assert!(support::marked(&format!("ORAPIPE_RUN={}", ran.records[0]["run"].as_str().unwrap())).is_empty());
}

#[test]
fn a_multitenant_database_is_copied_container_by_container() {
    let mut lab = Lab::new(|spec, root| {
        spec["pdbs"] = json!(["PDB1"]);
        let list = spec["tablespaces"].as_array_mut().unwrap();
        for (name, pdb) in [("SYSTEM", "PDB$SEED"), ("SYSTEM", "PDB1"), ("SYSAUX", "PDB1"), ("USERS", "PDB1")]
        {
            let mut inner = ts(&root.join("data").join(pdb.replace('$', "")), name, 1);
            inner["files"][0]["path"] =
                json!(root.join("data").join(pdb).join(format!("{}.dbf", name.to_lowercase())));
            inner["pdb"] = json!(pdb);
            inner["read_only"] = json!(pdb == "PDB$SEED");
            list.push(inner);
        }
    });
    let ran = lab.run(&[]).exits(0);
    let copied: Vec<String> = ran
        .of("tablespace")
        .iter()
        .filter(|r| r["status"] == "copied")
        .map(|r| format!("{}:{}", r["container"].as_str().unwrap_or("-"), r["name"].as_str().unwrap()))
        .collect();
    assert_eq!(
        copied,
        [
            "-:USERS",
            "PDB1:USERS",
            "-:SYSAUX",
            "-:SYSTEM",
            "-:UNDOTBS1",
            "PDB$SEED:SYSTEM",
            "PDB1:SYSAUX",
            "PDB1:SYSTEM"
        ]
    );
    assert!(
        ran.of("tablespace").iter().find(|r| r["container"] == "PDB$SEED").unwrap()["begin_scn"].is_null()
    );
    assert!(lab.dir.path().join("state/ts_PDB1%3AUSERS.done").exists());
    lab.prove_recovery();
}

#[test]
fn a_datafile_that_grows_meanwhile_recovers() {
    let mut lab = Lab::small();
    let started = lab.start_slow(&[]);
    lab.wait_for_copy();
    lab.sql(&format!("ALTER DATABASE DATAFILE '{}' RESIZE 2097152", lab.at("data/users01.dbf")));
    lab.sql(&format!("ALTER DATABASE DATAFILE '{}' RESIZE 2097152", lab.at("data/system01.dbf")));
    started.finish().exits(0);
    lab.prove_recovery();
}

#[test]
fn an_older_copy_under_the_final_name_is_replaced_whole() {
    let mut lab = Lab::small();
    std::fs::create_dir(lab.at("dr")).unwrap();
    std::fs::write(lab.at("dr/users01.dbf"), vec![7; 3 << 20]).unwrap();
    std::fs::write(lab.at("dr/.orapipe-hot-PROD-20200101T000000000Z-1-f4-1"), b"of a dead run").unwrap();
    lab.run(&[]).exits(0);
    assert_eq!(std::fs::metadata(lab.at("dr/users01.dbf")).unwrap().len(), (1 << 20) + 8192);
    assert!(std::fs::read_dir(lab.at("dr"))
        .unwrap()
        .flatten()
        .all(|e| !e.file_name().to_string_lossy().starts_with(".orapipe-")));
    lab.prove_recovery();
}
