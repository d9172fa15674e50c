//! What looks like a backup and is none: refused, or said.

#![allow(clippy::unwrap_used)]

mod support;

use std::os::unix::fs::{symlink, MetadataExt};
use std::time::Duration;

use support::{alive, signal, wait_for, Lab, Signal, Started};

const SOON: Duration = Duration::from_secs(30);

fn inodes(lab: &Lab) -> Vec<(String, u64)> {
    let dir = std::fs::read_dir(lab.at("data")).unwrap();
    let mut found: Vec<_> = dir
        .flatten()
        .map(|e| (e.file_name().to_string_lossy().into_owned(), e.metadata().unwrap().ino()))
        .filter(|(name, _)| name.ends_with(".dbf"))
        .collect();
    found.sort();
    found
}

#[test]
fn a_copy_never_replaces_the_running_database() {
    let lab = Lab::small();
    let before = inodes(&lab);
    let data = lab.at("data");
    // Onto itself, onto itself by a link, and one file of the database onto another.
    symlink(&data, lab.at("link")).unwrap();
    for to in [data.clone(), lab.at("link")] {
        let mut tool = std::process::Command::new(support::TOOL);
        let env = lab.tool();
        for (name, value) in env.get_envs() {
            tool.env(name, value.unwrap());
        }
        let args = ["--state-dir", &lab.at("state"), "--map", &format!("{data}={to}")];
        let ran = support::run(tool.args(args)).exits(4);
        assert!(ran.stderr.contains("would replace the datafiles of the running database"), "{}", ran.stderr);
        assert!(ran.stderr.contains("users01.dbf"), "{}", ran.stderr);
        assert_eq!(inodes(&lab), before);
        assert!(lab.active().is_empty());
    }
    lab.run(&[]).exits(0);
    assert_eq!(inodes(&lab), before);
}

#[test]
fn a_standby_without_system_or_undo_is_refused() {
    let lab = Lab::small();
    for exclude in [".", "^SYSTEM$", "UNDO"] {
        let ran = lab.run(&["--exclude", exclude]).exits(4);
        assert!(ran.stderr.contains("no standby without it"), "{}", ran.stderr);
        assert!(!lab.dir.path().join("dr").exists());
    }
    let ran = lab.run(&["--exclude", "^SYSAUX$"]).exits(1);
    assert_eq!(ran.reason("SYSAUX"), "excluded by --exclude");
}

#[test]
fn a_full_log_disk_does_not_keep_the_database_in_backup_mode() {
    let mut lab = Lab::small();
    std::fs::create_dir(lab.at("state")).unwrap();
    symlink("/dev/full", lab.at("state/backup_mode.PROD.log")).unwrap();
    lab.run(&[]).exits(0);
    assert!(lab.active().is_empty());
    lab.prove_recovery();
}

#[test]
fn a_log_directory_that_goes_does_not_keep_the_database_in_backup_mode() {
    let lab = Lab::small();
    let mut started = Started::new(lab.tool().args(["--bwlimit", "500k", "--log-dir", &lab.at("log")]));
    lab.wait_for_copy();
    std::fs::remove_dir_all(lab.at("log")).unwrap();
    signal(Signal::KILL, started.pid(), false);
    lab.wait_for_end();
    started.child.wait().unwrap();
}

/// The server goes on with BEGIN BACKUP after keeper and session are dead; END BACKUP came too early then.
#[test]
fn a_begin_that_outlives_its_keeper_is_ended() {
    let lab = Lab::small();
    lab.fault(&["hang", "USERS.* BEGIN BACKUP", "--seconds", "5", "--times", "1"]);
    let started = Started::new(&mut lab.tool());
    wait_for("BEGIN BACKUP", SOON, || {
        let text = std::fs::read_to_string(lab.at("state/backup_mode.PROD.log"));
        text.is_ok_and(|t| t.contains("USERS\" BEGIN BACKUP"))
    });
    let keeper = lab.keepers()[0];
    signal(Signal::KILL, i64::from(keeper), false);
    wait_for("the keeper is dead", SOON, || !alive(keeper));
    let ran = started.finish().exits(1);
    assert_eq!(ran.tablespaces("failed"), ["USERS"]);
    assert!(lab.active().is_empty());
    std::thread::sleep(Duration::from_secs(6));
    assert!(lab.active().is_empty(), "left in backup mode");
}

#[test]
fn a_begin_that_breaks_off_is_looked_after_and_not_waited_for() {
    let lab = Lab::small();
    lab.fault(&["error", "USERS.* BEGIN BACKUP", "1114", "IO error writing block", "--times", "1"]);
    let ran = lab.run(&[]).exits(1);
    assert!(ran.elapsed < Duration::from_secs(15), "{:?}", ran.elapsed);
    assert_eq!(ran.tablespaces("failed"), ["USERS"]);
    assert!(lab.active().is_empty());
    assert!(!lab.dir.path().join("state/backup_mode.PROD").exists());
}

#[test]
fn status_of_a_mounted_database_is_an_answer() {
    let lab = Lab::small();
    let mut out = std::process::Command::new(format!("{}/bin/sqlplus", lab.at("home")));
    out.env("ORACLE_HOME", lab.at("home"))
        .env("ORACLE_SID", "PROD")
        .args(["-S", "/ as sysdba", "@mount.sql"])
        .current_dir(lab.dir.path())
        .stdin(std::process::Stdio::null());
    std::fs::write(lab.at("mount.sql"), "shutdown immediate\nstartup mount\nexit\n").unwrap();
    assert!(out.output().unwrap().status.success());
    let ran = lab.run(&["--status"]).exits(0);
    assert!(ran.of("log").iter().any(|r| r["message"].as_str().unwrap().contains("MOUNTED")), "{ran:?}");
}

#[test]
fn status_without_a_database_names_what_the_journal_has() {
    let lab = Lab::small();
    let mut started = lab.start_slow(&[]);
    lab.wait_for_copy();
    signal(Signal::STOP, started.pid(), false);
    signal(Signal::KILL, i64::from(lab.keepers()[0]), false);
    lab.orasim(&["kill", "--dir", &lab.at("db")]);
    signal(Signal::KILL, started.pid(), true);
    started.child.wait().unwrap();
    let ran = lab.run(&["--status"]).exits(75);
    let said: Vec<_> = ran.of("log").iter().map(|r| r["message"].to_string()).collect();
    assert!(said.iter().any(|m| m.contains("was put in backup mode at")), "{said:?}");
}

/// The client's limit is over, the server's checkpoint is not: backup mode comes long after everybody has given it up.
#[test]
fn a_begin_that_comes_late_is_ended() {
    let lab = Lab::small();
    lab.fault(&["hang", "USERS.* BEGIN BACKUP", "--seconds", "27", "--times", "1"]);
    let ran = lab.run(&["--sql-timeout", "3s", "--bwlimit", "90k"]).exits(1);
    assert_eq!(ran.tablespaces("failed"), ["USERS"]);
    assert!(ran.elapsed > Duration::from_secs(30), "it ended before BEGIN BACKUP came: {:?}", ran.elapsed);
    let log = std::fs::read_to_string(lab.at("state/backup_mode.PROD.log")).unwrap();
    assert!(log.contains("tablespace USERS is out of backup mode"), "BEGIN BACKUP never came");
    assert!(lab.active().is_empty(), "left in backup mode");
}

#[test]
fn the_datafiles_of_another_database_are_not_overwritten() {
    let lab = Lab::small();
    lab.run(&["USERS"]).exits(0);
    let path = lab.at("dr/users01.dbf");
    let mut bytes = std::fs::read(&path).unwrap();
    // The DBID in the file header.
    bytes[8192 + 28] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let ran = lab.run(&["--new-cycle"]).exits(4);
    assert!(
        ran.stderr.contains("datafiles of another database") && ran.stderr.contains(&path),
        "{}",
        ran.stderr
    );
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
    assert!(lab.active().is_empty());
}
