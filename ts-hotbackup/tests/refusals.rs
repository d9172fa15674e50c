//! What is refused before anything is touched, what is only looked at, and what a full disk does.

#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use serde_json::json;
use support::{run, ts, wait_for, Lab, Ran};

/// Every file below a directory with its content, to prove that nothing was changed.
fn everything(dir: &Path, into: &mut BTreeMap<String, Vec<u8>>) {
    for entry in std::fs::read_dir(dir).unwrap().flatten() {
        if entry.path().is_dir() {
            everything(&entry.path(), into);
        } else {
            into.insert(entry.path().display().to_string(), std::fs::read(entry.path()).unwrap_or_default());
        }
    }
}

fn untouched(lab: &Lab) -> bool {
    lab.active().is_empty() && !lab.dir.path().join("dr").exists() && !journal(lab).contains("BACKUP")
}

/// Statements that reached the instance, as its own alert of BEGIN BACKUP would show them.
fn journal(lab: &Lab) -> String {
    lab.sql("SELECT COUNT(*) FROM v$backup WHERE change# > 0 AND status = 'ACTIVE'").replace('0', "")
}

#[test]
fn noarchivelog_is_refused() {
    let lab = Lab::new(|spec, _| spec["archivelog"] = json!(false));
    let ran = lab.run(&[]).exits(4);
    assert!(ran.stderr.contains("NOARCHIVELOG mode") && untouched(&lab), "{}", ran.stderr);
}

#[test]
fn files_without_a_place_of_their_own_are_refused() {
    let lab = Lab::new(|spec, root| {
        let list = spec["tablespaces"].as_array_mut().unwrap();
        let path = |dir: &str| root.join(dir).join("same.dbf");
        list.push(json!({"name": "A", "files": [{"path": path("u06"), "bytes": 1 << 20}]}));
        list.push(json!({"name": "B", "files": [{"path": path("u07"), "bytes": 1 << 20}]}));
    });
    let unmapped = lab.run(&[]).exits(4);
    assert!(
        unmapped.stderr.contains("no place at the standby for") && unmapped.stderr.contains("u06/same.dbf")
    );
    let clash = lab.run(&["--dest-base", &lab.at("dr")]).exits(4);
    assert!(clash.stderr.contains("two datafiles have one place"), "{}", clash.stderr);
    assert!(untouched(&lab));
    let rule = |from: &str| format!("{}={}", lab.at(from), lab.at(&format!("dr/{from}")));
    lab.run(&["--map", &rule("u06"), "--map", &rule("u07")]).exits(0);
    assert!(lab.dir.path().join("dr/u07/same.dbf").exists());
}

#[test]
fn wrong_usage_is_64_and_names_the_flag() {
    let lab = Lab::small();
    for args in [
        &["--map", "/u05"][..],
        &["--exclude", "("],
        &["--workers", "0"],
        &["--max-backup-mode", "soon"],
        &["NOSUCH"],
        &["--end-backup", "--status"],
        &["--dest-host", "-oProxyCommand=x"],
    ] {
        let ran = lab.run(args).exits(64);
        assert!(ran.stderr.contains("ts-hotbackup: error: "), "{args:?}: {}", ran.stderr);
    }
    let wrong_sid = run(lab.tool().env("ORACLE_SID", "").env("ORATAB", "/dev/null")).exits(64);
    assert!(wrong_sid.stderr.contains("ORACLE_SID is not set"), "{}", wrong_sid.stderr);
    assert!(untouched(&lab));
}

#[test]
fn a_password_goes_by_the_environment_and_nowhere_else() {
    let lab = Lab::small();
    let refused = lab.run(&["--connect", "sys/change_on_install as sysdba"]).exits(64);
    assert!(!refused.stderr.contains("change_on_install"), "{}", refused.stderr);
    let secret = "sys/change_on_install as sysdba";
    let ran = run(lab.tool().env("SQLPLUS_CONNECTION_STRING", secret).arg("-v")).exits(0);
    let shown = run(lab.tool().env("SQLPLUS_CONNECTION_STRING", secret).arg("--show-config"));
    let mut all = BTreeMap::new();
    for dir in ["state", "dr"] {
        everything(&lab.dir.path().join(dir), &mut all);
    }
    let holds = |bytes: &[u8]| bytes.windows(17).any(|w| w == b"change_on_install");
    assert!(!all.values().any(|b| holds(b)), "a file holds the password");
    assert!(!holds(ran.stderr.as_bytes()) && !holds(format!("{:?}{shown:?}", ran.records).as_bytes()));
}

#[test]
fn a_dry_run_plans_everything_and_changes_nothing() {
    let lab = Lab::small();
    std::fs::create_dir(lab.at("state")).unwrap();
    lab.orasim(&["writer", "--dir", &lab.at("db"), "--pause"]);
    let look = || {
        let mut all = BTreeMap::new();
        for dir in ["state", "data", "home"] {
            everything(&lab.dir.path().join(dir), &mut all);
        }
        all.retain(|name, _| !name.contains("/home/orasim/"));
        all
    };
    std::thread::sleep(Duration::from_millis(500));
    let before = look();
    let ran = lab.run(&["--dry-run"]).exits(0);
    let after = look();
    let names = |m: &BTreeMap<String, Vec<u8>>| m.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&before), names(&after));
    assert!(before == after, "a file has changed");
    assert!(untouched(&lab));
    let actions: Vec<_> =
        ran.of("planned").iter().map(|r| r["action"].as_str().unwrap().to_owned()).collect();
    let count = |a: &str| actions.iter().filter(|x| *x == a).count();
    assert_eq!((count("begin_backup"), count("copy"), count("end_backup")), (4, 5, 4), "{actions:?}");
    assert_eq!(
        actions.iter().rev().take(3).rev().cloned().collect::<Vec<_>>(),
        ["archive_log", "create_controlfile", "write_scripts"]
    );
    assert!(ran.of("tablespace").is_empty() && ran.of("recovery_window").is_empty());
}

#[test]
fn status_shows_progress_and_what_is_open() {
    let lab = Lab::small();
    let fresh = lab.run(&["--status"]).exits(0);
    assert_eq!(fresh.of("planned").len(), 4);
    assert!(!lab.dir.path().join("state").exists());
    lab.run(&["USERS"]).exits(0);
    let one = lab.run(&["--status"]).exits(0);
    assert_eq!((one.tablespaces("copied"), one.of("planned").len()), (vec!["USERS".to_owned()], 3));
    let started = lab.start_slow(&[]);
    lab.wait_for_copy();
    let busy = lab.run(&["--status"]).exits(0);
    assert!(busy.of("log").iter().any(|r| r["message"].as_str().unwrap().contains("begun by ts-hotbackup")));
    started.finish().exits(0);
    let done = lab.run(&["--status"]).exits(0);
    assert_eq!((done.tablespaces("copied").len(), done.of("planned").len()), (4, 0));
}

#[test]
fn excluded_tablespaces_are_left_out_and_recovery_is_told() {
    let lab = Lab::small();
    let ran = lab.run(&["--exclude", "^USERS$", "--last", "^SYSAUX$"]).exits(0);
    assert_eq!(ran.tablespaces("copied"), ["SYSTEM", "UNDOTBS1", "SYSAUX"]);
    let rman = std::fs::read_to_string(lab.dir.path().join("dr/recover_standby_PROD.rman")).unwrap();
    assert!(rman.contains("SKIP FOREVER TABLESPACE \"USERS\";"), "{rman}");
}

#[test]
fn a_database_without_force_logging_is_a_warning() {
    let lab = Lab::new(|spec, _| spec["force_logging"] = json!(false));
    let ran = lab.run(&[]).exits(0);
    assert!(ran
        .of("log")
        .iter()
        .any(|r| r["level"] == "warning" && r["message"].to_string().contains("ORA-26040")));
}

#[test]
fn a_database_that_is_down_is_75() {
    let lab = Lab::small();
    lab.orasim(&["kill", "--dir", &lab.at("db")]);
    lab.run(&[]).exits(75);
    lab.run(&["--end-backup"]).exits(0);
}

#[test]
fn a_corrupt_state_is_set_aside_and_said() {
    let lab = Lab::small();
    lab.run(&["USERS"]).exits(0);
    std::fs::write(lab.at("state/hot_backup_cycle.PROD"), "\0").unwrap();
    std::fs::write(lab.at("state/backup_mode.PROD"), "{").unwrap();
    let ran = lab.run(&[]).exits(0);
    assert_eq!(ran.tablespaces("copied").len(), 4);
    let said = ran.of("log").iter().filter(|r| r["message"].to_string().contains("was set aside as")).count();
    assert_eq!(said, 2);
}

/// Runs the tool in a mount namespace where `dr` is a file system of so many KiB.
fn on_small_disk(lab: &Lab, kib: u32, then: &str, args: &[&str]) -> Ran {
    std::fs::create_dir_all(lab.at("dr")).unwrap();
    let script =
        format!("mount -t tmpfs -o size={kib}k tmpfs '{dr}' || exit 99\n{then}\n\"$@\"", dr = lab.at("dr"));
    let tool = lab.tool();
    let mut command = std::process::Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", &script, "sh"]).arg(tool.get_program());
    command.args(tool.get_args()).args(args).env_clear();
    for (name, value) in tool.get_envs() {
        if let Some(value) = value {
            command.env(name, value);
        }
    }
    run(&mut command)
}

#[test]
fn a_disk_that_is_too_small_is_refused_before_anything() {
    let lab = Lab::small();
    let ran = on_small_disk(&lab, 3000, "", &[]).exits(4);
    assert!(ran.stderr.contains("MiB free and the copies need"), "{}", ran.stderr);
    assert!(lab.active().is_empty());
}

#[test]
fn a_disk_that_fills_up_meanwhile_fails_the_tablespace_and_ends_backup_mode() {
    let lab = Lab::small();
    let fill = format!("(sleep 1.5; head -c 20000000 /dev/zero > '{}/filler') 2>/dev/null &", lab.at("dr"));
    let ran = on_small_disk(&lab, 8000, &fill, &["--bwlimit", "500k", "USERS"]);
    assert_eq!(ran.code, Some(2), "{}", ran.stderr);
    assert!(ran.reason("USERS").contains("No space left on device"), "{}", ran.reason("USERS"));
    assert!(lab.active().is_empty());
}

#[test]
fn a_directory_at_the_standby_that_cannot_be_written_fails_before_begin_backup() {
    let lab = Lab::small();
    std::fs::write(lab.at("dr"), "a file where a directory is wanted").unwrap();
    let ran = lab.run(&[]);
    assert_eq!(ran.code, Some(2), "{}", ran.stderr);
    assert!(lab.active().is_empty() && ran.of("tablespace").iter().all(|r| r["status"] == "skipped"));
}

#[test]
fn a_run_that_is_refused_leaves_no_keeper() {
    let lab = Lab::new(|spec, _| spec["archivelog"] = json!(false));
    lab.run(&[]).exits(4);
    wait_for("the keeper's end", Duration::from_secs(10), || lab.keepers().is_empty());
}

#[test]
fn state_files_are_not_for_everybody_to_write() {
    let lab = Lab::new(|spec, root| {
        let list = spec["tablespaces"].as_array_mut().unwrap();
        list.push(ts(root, "ONE", 1));
    });
    lab.run(&["ONE"]).exits(0);
    let mode = std::fs::metadata(lab.at("state/ts_ONE.done")).unwrap().permissions().mode();
    assert_eq!(mode & 0o022, 0, "{mode:o}");
}
