//! check-log as a program: statuses, several files, wrong use.

#![allow(clippy::unwrap_used)]

mod support;

use std::io::Write;
use std::process::{Command, Stdio};

use support::{run, Ran, TOOL};

const GOOD: &str = "\nRecovery Manager: Release 19.0.0.0.0 - Production\n\nRMAN> backup database;\n\
    Starting backup at 02-AUG-26\npiece handle=/b/x tag=T comment=NONE\nFinished backup at 02-AUG-26\n\nRecovery Manager complete.\n";

fn check(dir: &tempfile::TempDir, args: &[&str]) -> Ran {
    let mut command = Command::new(TOOL);
    command.env("ORAPIPE_ALLOW_ROOT", "1").env("STATE_DIR", dir.path()).current_dir(dir.path());
    run(command.arg("check-log").args(args))
}

#[test]
fn the_worst_of_several_files_is_the_status() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    write("good", GOOD);
    write("warning", &GOOD.replace("Finished", "RMAN-06554: WARNING: file 1 is in backup mode\nFinished"));
    write("bad", &GOOD.replace("Recovery Manager complete.", ""));
    check(&dir, &["good"]).exits(0).says("info", "good: success: 0 errors, 0 warnings in");
    let warning = check(&dir, &["good", "warning"]).exits(1);
    let found = warning.of("log").into_iter().find(|r| r["code"] == "RMAN-06554").unwrap();
    assert!(found["message"]
        .as_str()
        .unwrap()
        .starts_with("warning line 7: a datafile is in backup mode: RMAN-06554"));
    let bad = check(&dir, &["bad", "warning", "good"]).exits(2);
    bad.says("error", "bad: failure: 1 error, 0 warnings");
    assert_eq!(bad.of("run_end")[0]["counts"]["success"], 1);
    assert_eq!(bad.of("run_end")[0]["counts"]["failure"], 1);
    check(&dir, &["good", "gone"]).exits(2).says("error", "gone: failure: the log cannot be read");
    check(&dir, &["."]).exits(2).says("error", "it is a directory");
}

#[test]
fn standard_input_is_judged_too() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = Command::new(TOOL)
        .env("ORAPIPE_ALLOW_ROOT", "1")
        .env("STATE_DIR", dir.path())
        .args(["check-log", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(GOOD.as_bytes()).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn wrong_use_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let ran = check(&dir, &[]).exits(64);
    assert!(ran.stderr.contains("check-log needs the name of a log"), "{}", ran.stderr);
    std::fs::write(dir.path().join("good"), GOOD).unwrap();
    let ran = check(&dir, &["good", "--compressed"]).exits(64);
    assert!(ran.stderr.contains("--compressed has no effect with check-log"), "{}", ran.stderr);
    let mut command = Command::new(TOOL);
    command.env("ORAPIPE_ALLOW_ROOT", "1").env("STATE_DIR", dir.path());
    let ran = run(command.args(["FULL", "extra"])).exits(64);
    assert!(ran.stderr.contains("full takes no argument"), "{}", ran.stderr);
}
