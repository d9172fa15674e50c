//! END BACKUP happens: whoever is killed, whatever hangs, at whatever step.

#![allow(clippy::unwrap_used)]

mod support;

use std::time::{Duration, Instant};

use support::{alive, marked, run, signal, wait_for, Lab, Signal, Started};

const SOON: Duration = Duration::from_secs(30);

/// The next run ends nothing of somebody else, finishes the cycle, and the copies recover.
fn the_next_run_finishes(mut lab: Lab) {
    let ran = lab.run(&[]).exits(0);
    assert!(lab.active().is_empty());
    assert_eq!(ran.of("recovery_window").len(), 1);
    let marks = |name: &str| std::fs::read_to_string(lab.dir.path().join("state").join(name)).unwrap();
    let cycle: serde_json::Value = serde_json::from_str(&marks("hot_backup_cycle.PROD")).unwrap();
    for name in ["ts_USERS.done", "ts_SYSTEM.done"] {
        let mark: serde_json::Value = serde_json::from_str(&marks(name)).unwrap();
        assert_eq!(mark["cycle"], cycle["id"], "a mark has survived its cycle");
    }
    assert!(!lab.dir.path().join("state/backup_mode.PROD").exists());
    lab.prove_recovery();
}

fn kill(group: bool) {
    let lab = Lab::small();
    let started = lab.start_slow(&[]);
    lab.wait_for_copy();
    let keepers = lab.keepers();
    assert_eq!(keepers.len(), 1);
    let run_mark = "ORAPIPE_RUN=PROD-";
    let own = |p: &u32| {
        std::fs::read_to_string(format!("/proc/{p}/cmdline")).is_ok_and(|c| c.contains(&lab.at("data")))
    };
    assert!(marked(run_mark).iter().any(own), "no rsync under way");
    signal(Signal::KILL, started.pid(), group);
    let took = lab.wait_for_end();
    assert!(took < Duration::from_secs(15), "{took:?}");
    wait_for("the dead run's rsyncs are stopped", SOON, || !marked(run_mark).iter().any(own));
    wait_for("the keeper ends when it has nothing to keep", SOON, || !alive(keepers[0]));
    let mut started = started;
    started.child.wait().unwrap();
    the_next_run_finishes(lab);
}

#[test]
fn sigkill_of_the_tool() {
    kill(false);
}

#[test]
fn sigkill_of_its_whole_process_group() {
    kill(true);
}

#[test]
fn sigkill_of_the_keeper_is_made_good_at_once() {
    let mut lab = Lab::small();
    let started = lab.start_slow(&[]);
    for _ in 0..2 {
        lab.wait_for_copy();
        let keepers = lab.keepers();
        signal(Signal::KILL, i64::from(keepers[0]), false);
        wait_for("another keeper", SOON, || lab.keepers().iter().any(|k| *k != keepers[0]));
    }
    let ran = started.finish().exits(0);
    assert_eq!(ran.tablespaces("copied").len(), 4);
    assert!(lab.active().is_empty());
    lab.prove_recovery();
}

#[test]
fn sigkill_of_both_leaves_a_journal_for_the_next_run() {
    let lab = Lab::small();
    let mut started = lab.start_slow(&[]);
    lab.wait_for_copy();
    signal(Signal::STOP, started.pid(), false);
    let keeper = lab.keepers()[0];
    signal(Signal::KILL, i64::from(keeper), false);
    signal(Signal::KILL, started.pid(), true);
    started.child.wait().unwrap();
    let open = lab.active();
    assert!(!open.is_empty());
    let status = lab.run(&["--status"]).exits(5);
    let said: Vec<_> = status.of("log").iter().map(|r| r["message"].to_string()).collect();
    assert!(said.iter().any(|m| m.contains("begun by ts-hotbackup run PROD-")), "{said:?}");
    let dry = lab.run(&["--dry-run", "--end-backup"]).exits(0);
    assert!(dry.of("planned").iter().all(|r| r["action"] == "end_backup"));
    assert_eq!(lab.active(), open);
    let ended = lab.run(&["--end-backup"]).exits(0);
    assert_eq!(ended.of("run_end")[0]["counts"]["ended"], 1);
    assert!(lab.active().is_empty());
    the_next_run_finishes(lab);
}

/// sqlplus sessions of the keeper.
fn sessions(lab: &Lab) -> Vec<u32> {
    marked(&format!("ORAPIPE_KEEPER={}", lab.at("state")))
}

#[test]
fn sigkill_of_sqlplus_in_begin_backup() {
    for when in ["", "--after"] {
        let lab = Lab::small();
        let mut args = vec!["hang", "USERS.* BEGIN BACKUP", "--seconds", "4", "--times", "1"];
        args.extend((!when.is_empty()).then_some(when));
        lab.fault(&args);
        let started = Started::new(&mut lab.tool());
        wait_for("a session in BEGIN BACKUP", SOON, || !sessions(&lab).is_empty());
        std::thread::sleep(Duration::from_millis(500));
        for pid in sessions(&lab) {
            signal(Signal::KILL, i64::from(pid), false);
        }
        let ran = started.finish().exits(1);
        assert_eq!(ran.tablespaces("failed"), ["USERS"]);
        wait_for("END BACKUP", SOON, || lab.active().is_empty());
        lab.wait_for_keeper();
        // What the server did after its client was gone is ended too.
        std::thread::sleep(Duration::from_secs(1));
        assert!(lab.active().is_empty());
        the_next_run_finishes(lab);
    }
}

#[test]
fn sigkill_of_sqlplus_in_end_backup() {
    let lab = Lab::small();
    lab.fault(&["hang", "USERS.* END BACKUP", "--seconds", "5", "--times", "1"]);
    let started = Started::new(&mut lab.tool());
    wait_for("a session in END BACKUP", SOON, || {
        !lab.active().is_empty() && {
            let text = std::fs::read_to_string(lab.dir.path().join("state/backup_mode.PROD.log"));
            text.is_ok_and(|t| t.contains("USERS\" END BACKUP"))
        }
    });
    for pid in sessions(&lab) {
        signal(Signal::KILL, i64::from(pid), false);
    }
    let ran = started.finish();
    assert!(matches!(ran.code, Some(0 | 1)), "{ran:?}");
    assert!(lab.active().is_empty());
}

#[test]
fn a_hung_begin_backup_hits_its_limit() {
    let lab = Lab::small();
    lab.fault(&["hang", "USERS.* BEGIN BACKUP", "--times", "1"]);
    let ran = lab.run(&["--sql-timeout", "3s"]).exits(1);
    assert_eq!(ran.tablespaces("failed"), ["USERS"]);
    assert!(ran.reason("USERS").contains("did not end within 3s"), "{}", ran.reason("USERS"));
    assert!(ran.elapsed < Duration::from_secs(60), "{:?}", ran.elapsed);
    assert!(lab.active().is_empty());
    the_next_run_finishes(lab);
}

#[test]
fn a_hung_end_backup_is_tried_again() {
    let mut lab = Lab::small();
    lab.fault(&["hang", "USERS.* END BACKUP", "--times", "1"]);
    let ran = lab.run(&[]).exits(0);
    assert!(ran.elapsed < Duration::from_secs(40), "{:?}", ran.elapsed);
    assert!(lab.active().is_empty());
    lab.prove_recovery();
}

#[test]
fn an_end_backup_that_fails_is_tried_again() {
    let lab = Lab::small();
    lab.fault(&["error", "END BACKUP", "600", "internal error", "--times", "2"]);
    lab.run(&[]).exits(0);
    assert!(lab.active().is_empty());
}

#[test]
fn sigkill_while_begin_backup_hangs() {
    let lab = Lab::small();
    lab.fault(&["hang", "USERS.* BEGIN BACKUP", "--times", "1", "--after"]);
    let mut started = Started::new(&mut lab.tool());
    wait_for("BEGIN BACKUP", SOON, || !lab.active().is_empty());
    signal(Signal::KILL, started.pid(), true);
    started.child.wait().unwrap();
    lab.wait_for_end();
    lab.wait_for_keeper();
    the_next_run_finishes(lab);
}

#[test]
fn the_cap_holds_even_when_the_tool_stands_still() {
    let lab = Lab::small();
    let started = Started::new(lab.tool().args(["--bwlimit", "200k", "--max-backup-mode", "4s", "USERS"]));
    lab.wait_for_copy();
    signal(Signal::STOP, started.pid(), false);
    let began = Instant::now();
    lab.wait_for_end();
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    signal(Signal::CONT, started.pid(), false);
    let ran = started.finish();
    assert_eq!(ran.tablespaces("failed"), ["USERS"], "{ran:?}");
    assert!(ran.reason("USERS").contains("--max-backup-mode"), "{}", ran.reason("USERS"));
    assert!(!lab.dir.path().join("state/ts_USERS.done").exists());
}

#[test]
fn a_crashed_instance_is_ended_when_it_is_mounted_again() {
    for by_keeper in [true, false] {
        let lab = Lab::small();
        let mut started = lab.start_slow(&[]);
        lab.wait_for_copy();
        if !by_keeper {
            signal(Signal::STOP, started.pid(), false);
            signal(Signal::KILL, i64::from(lab.keepers()[0]), false);
        }
        lab.orasim(&["kill", "--dir", &lab.at("db")]);
        signal(Signal::KILL, started.pid(), true);
        started.child.wait().unwrap();
        if !by_keeper {
            lab.run(&["--end-backup"]).exits(75);
        }
        let out = std::process::Command::new(format!("{}/bin/sqlplus", lab.at("home")))
            .env("ORACLE_HOME", lab.at("home"))
            .env("ORACLE_SID", "PROD")
            .args(["-S", "/ as sysdba"])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .and_then(|mut child| {
                use std::io::Write;
                child.stdin.take().unwrap().write_all(b"startup\nexit\n")?;
                child.wait_with_output()
            })
            .unwrap();
        let said = String::from_utf8_lossy(&out.stdout).into_owned();
        assert!(said.contains("ORA-10873"), "{said}");
        if by_keeper {
            wait_for("END BACKUP of the mounted database", Duration::from_secs(60), || {
                lab.active().is_empty()
            });
            lab.wait_for_keeper();
        } else {
            lab.run(&["--end-backup"]).exits(0);
            assert!(lab.active().is_empty());
        }
        lab.sql("ALTER DATABASE OPEN");
        the_next_run_finishes(lab);
    }
}

#[test]
fn backup_mode_of_somebody_else_is_refused_and_never_ended() {
    let lab = Lab::small();
    lab.sql("ALTER TABLESPACE USERS BEGIN BACKUP");
    let open = lab.active();
    assert_eq!(open.len(), 2);
    for args in [&[][..], &["--end-backup"], &["--dry-run"]] {
        let ran = lab.run(args).exits(4);
        assert!(ran.stderr.contains("users01.dbf"), "{}", ran.stderr);
        assert_eq!(lab.active(), open);
    }
    let status = lab.run(&["--status"]).exits(5);
    assert!(status.of("log").iter().any(|r| r["message"].as_str().unwrap().contains("not begun by us")));
    assert!(!lab.dir.path().join("dr").exists());
}

#[test]
fn a_lost_session_and_a_database_that_goes_away_leave_nothing_open() {
    let lab = Lab::small();
    lab.fault(&["kill-session", "USERS.* BEGIN BACKUP", "--after", "--times", "1"]);
    let ran = run(&mut lab.tool()).exits(1);
    assert_eq!(ran.tablespaces("failed"), ["USERS"]);
    assert!(lab.active().is_empty());
    the_next_run_finishes(lab);
}
