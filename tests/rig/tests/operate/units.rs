//! The systemd units: understood by systemd, closed as far as Oracle lets them, and never cutting END BACKUP off.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use crate::{program, repository, said};

/// The units with their text, by file name.
fn units() -> BTreeMap<String, String> {
    let entries = std::fs::read_dir(repository("packaging/systemd")).unwrap().flatten();
    let read = |e: std::fs::DirEntry| {
        (e.file_name().into_string().unwrap(), std::fs::read_to_string(e.path()).unwrap())
    };
    let found: BTreeMap<_, _> = entries.map(read).collect();
    assert!(found.len() >= 24, "{:?}", found.keys());
    found
}

/// The values of a directive.
fn values<'a>(text: &'a str, name: &str) -> Vec<&'a str> {
    text.lines().filter_map(|l| l.strip_prefix(name)?.strip_prefix('=')).collect()
}

fn services() -> BTreeMap<String, String> {
    units().into_iter().filter(|(name, _)| name.ends_with(".service")).collect()
}

/// The programs that the units start, as paths in an installation.
fn started(text: &str) -> Vec<String> {
    values(text, "ExecStart").iter().map(|v| v.split(' ').next().unwrap().to_owned()).collect()
}

/// A copy whose programs exist, for systemd-analyze looks for them.
fn installed() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let bin = dir.path().join("bin");
    std::fs::create_dir(&bin).unwrap();
    for (name, text) in units() {
        let mut text = text;
        for path in started(&text) {
            let stub = bin.join(path.rsplit('/').next().unwrap());
            std::fs::write(&stub, "#!/bin/sh\n").unwrap();
            std::fs::set_permissions(&stub, PermissionsExt::from_mode(0o755)).unwrap();
            text = text.replace(&format!("ExecStart={path}"), &format!("ExecStart={}", stub.display()));
        }
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    dir
}

fn verify(dir: &TempDir) -> String {
    let names = units().into_keys().map(|n| n.replace("@.", "@PROD."));
    let mut command = Command::new(program("systemd-analyze"));
    command.args(["verify", "--man=no"]).args(names).current_dir(dir.path());
    // The colon: what the system itself has comes after.
    command.env("SYSTEMD_UNIT_PATH", format!("{}:", dir.path().display()));
    said(&mut command).1
}

#[test]
fn systemd_understands_every_line_of_every_unit() {
    let dir = installed();
    assert_eq!(verify(&dir), "");
    // It would say so.
    let path = dir.path().join("orapipe-follow@.service");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("WatchdogSec", "WatchdogSecs")).unwrap();
    assert!(verify(&dir).contains("Unknown key"), "{}", verify(&dir));
    std::fs::write(&path, text.replace("Conflicts=", "Conflicts=nonsense ")).unwrap();
    assert!(!verify(&dir).is_empty());
}

#[test]
fn every_unit_starts_something_that_is_ours_and_every_timer_has_its_unit() {
    let all = units();
    let tools = ["arch-ship", "ts-hotbackup", "mailreport"];
    // Made by the helpers of ib-snap; the package check sees whether they are there.
    let storage = ["orasync.sh", "remove_old_snaps.sh"];
    for (name, text) in &all {
        if name.ends_with(".timer") {
            let service = name.replace(".timer", ".service");
            assert!(all.contains_key(&service), "{name} starts nothing");
            assert_eq!(values(text, "WantedBy"), ["timers.target"], "{name}");
            continue;
        }
        for path in started(text) {
            let file = path.rsplit('/').next().unwrap();
            match path.strip_prefix("/usr/bin/") {
                Some(tool) => assert!(tools.contains(&tool), "{name}: {path}"),
                None => {
                    assert!(path.starts_with("/usr/libexec/orapipe/"), "{name}: {path}");
                    assert!(
                        storage.contains(&file) || repository("scripts").join(file).is_file(),
                        "{name}: {path}"
                    );
                }
            }
        }
    }
}

/// Services that start an instance, whose processes must neither be narrowed nor killed with them.
const INSTANCE: [&str; 3] = ["orapipe-drill@", "orapipe-standby-recover@", "orapipe-reconcile@"];
/// Services that put a database in backup mode.
const BACKUP_MODE: [&str; 2] = ["orapipe-hotbackup@", "orapipe-snap@"];

#[test]
fn nothing_cuts_end_backup_off_and_no_database_is_killed_with_a_unit() {
    for (name, text) in services() {
        let one = |directive: &str| values(&text, directive).first().copied().unwrap_or("");
        let is = |list: &[&str]| list.iter().any(|n| name.starts_with(n));
        assert_eq!(one("User"), "oracle", "{name}");
        // It would remove the shared memory of the running database.
        assert_eq!(one("RemoveIPC"), "no", "{name}");
        assert!(!one("TimeoutStopSec").is_empty(), "{name}");
        assert!(!one("KillMode").is_empty() || name.starts_with("orapipe-failed@"), "{name}");
        if is(&BACKUP_MODE) {
            // The keeper of backup mode is another process of the same unit.
            assert_eq!(
                (one("KillMode"), one("KillSignal"), one("TimeoutStopSec")),
                ("process", "SIGTERM", "30min")
            );
        }
        if is(&INSTANCE) {
            assert_eq!((one("KillMode"), one("SendSIGKILL")), ("process", "no"), "{name}");
            for narrow in ["NoNewPrivileges", "RestrictNamespaces", "SystemCallFilter", "PrivateDevices"] {
                assert!(values(&text, narrow).is_empty(), "{name}: {narrow}");
            }
            for limit in ["LimitNOFILE", "LimitNPROC", "LimitMEMLOCK", "LimitSTACK"] {
                assert!(!one(limit).is_empty(), "{name}: {limit}");
            }
        } else {
            for closed in ["NoNewPrivileges=yes", "ProtectHome=read-only", "CapabilityBoundingSet="] {
                assert!(text.lines().any(|l| l == closed), "{name}: {closed}");
            }
        }
        // What would break a local connection (see the comments in the units).
        if !name.starts_with("orapipe-failed@") {
            assert_eq!((one("PrivateTmp"), one("ProtectSystem")), ("no", "full"), "{name}");
            for broken in
                ["PrivateIPC", "PrivateUsers", "MemoryDenyWriteExecute", "PrivateDevices", "LockPersonality"]
            {
                assert!(values(&text, broken).is_empty(), "{name}: {broken}");
            }
            assert_eq!(values(&text, "SuccessExitStatus").last(), Some(&"130 143"), "{name}");
            assert!(one("Environment").contains("ORAPIPE_ENV_FILE=/etc/orapipe/%i.env"), "{name}");
        }
        // Its parser takes a comment behind a value for a part of it.
        assert!(values(&text, "EnvironmentFile").is_empty(), "{name}");
        let quiet = ["orapipe-failed@", "orapipe-reconcile@"];
        let told = values(&text, "OnFailure");
        assert_eq!(told, if is(&quiet) { vec![] } else { vec!["orapipe-failed@%n.service"] }, "{name}");
    }
}

#[test]
fn the_hardening_is_the_same_everywhere() {
    let block = |text: &str| {
        text.split_once("# Hardening.").map(|(_, b)| b.split("\n[Install]").next().unwrap().trim().to_owned())
    };
    let blocks: Vec<String> = services().values().filter_map(|t| block(t)).collect();
    assert!(blocks.len() >= 10, "{}", blocks.len());
    assert!(blocks.iter().all(|b| *b == blocks[0]));
}

#[test]
fn the_exposure_that_systemd_sees_stays_low() {
    let dir = installed();
    for name in services().into_keys() {
        // In tenths; a unit that starts an instance cannot be closed.
        let most = match &name {
            n if INSTANCE.iter().any(|i| n.starts_with(i)) => 95,
            n if n.starts_with("orapipe-failed@") => 20,
            _ => 40,
        };
        let unit: PathBuf = dir.path().join(&name);
        let mut command = Command::new(program("systemd-analyze"));
        command.args(["security", "--offline=yes", &format!("--threshold={most}")]).arg(unit);
        let (status, text) = said(&mut command);
        assert_eq!(status, 0, "{name}: {}", text.lines().last().unwrap_or_default());
    }
}

#[test]
fn the_calendar_of_every_timer_is_one() {
    for (name, text) in units().into_iter().filter(|(n, _)| n.ends_with(".timer")) {
        for when in values(&text, "OnCalendar") {
            let (status, text) = said(Command::new(program("systemd-analyze")).args(["calendar", when]));
            assert_eq!(status, 0, "{name}: {text}");
        }
    }
}
