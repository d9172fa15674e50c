//! What a dry run says before it knows any database.

#![allow(clippy::unwrap_used)]

use std::io::Write;
use std::process::{Command, Stdio};

/// Status, standard output and standard error.
fn dp_export(args: &[&str], input: &str) -> (Option<i32>, String, String) {
    let dir = tempfile::tempdir().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_dp-export"))
        .args(args)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("HOME", dir.path())
        .env("ORAPIPE_ALLOW_ROOT", "1")
        .current_dir(dir.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let out = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (out.status.code(), text(&out.stdout), text(&out.stderr))
}

#[test]
fn without_a_schema_it_ends_as_the_run_would() {
    for args in [&["--dry-run"][..], &[]] {
        let (status, stdout, stderr) = dp_export(args, "");
        assert_eq!(status, Some(64), "{stdout}{stderr}");
        assert!(stderr.contains("error: no schema is named"), "{stderr}");
    }
}

#[test]
fn errors_and_hints_are_on_standard_error_too() {
    let example = r#"hint: for example {"user":"GOLD","password_env":"GOLD_PW"}"#;
    for (line, status, words) in [
        (r#"{"user":"GOLD","pasword_file":"x"}"#, 64, r#"unknown key "pasword_file""#),
        ("GOLD", 2, example),
        ("{}", 64, example),
    ] {
        let (ended, stdout, stderr) = dp_export(&["--dry-run"], &format!("{line}\n"));
        assert_eq!(ended, Some(status), "{line}: {stdout}{stderr}");
        assert!(stderr.contains("error: ") && stderr.contains(words), "{line}: {stderr}");
        assert!(stdout.contains(r#""level":"error""#), "{line}: {stdout}");
    }
}
