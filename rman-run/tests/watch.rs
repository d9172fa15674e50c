//! validate, crosscheck and status over good, damaged and lost backups.

#![allow(clippy::unwrap_used)]

mod support;

use std::io::Write;
use std::os::unix::fs::FileExt;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use support::Lab;

fn with_full() -> Lab {
    let lab = Lab::small();
    lab.work();
    lab.run(&["full"]).exits(0);
    lab
}

#[test]
fn status_tells_the_range_and_what_is_overdue() {
    let lab = Lab::small();
    lab.run(&["status"]).exits(5).says("error", "there is no usable level 0 of all datafiles");
    lab.work();
    lab.run(&["full"]).exits(0);
    let ran = lab.run(&["status"]).exits(0);
    ran.says("info", "last level 0 of all datafiles");
    let window = ran.of("recovery_window")[0];
    assert!(window["end_scn"].as_u64() > window["begin_scn"].as_u64(), "{window}");
    std::thread::sleep(Duration::from_secs(2));
    lab.run(&["status", "--level0-every", "1s"]).exits(5).says("error", "overdue after 1s");
    assert!(!lab.dir.path().join("state/rman-run.PROD.sqlplus.log").exists());
}

#[test]
fn status_finds_a_lost_piece_and_counts_it_when_it_lies_in_the_bucket() {
    let lab = with_full();
    let piped = |input: &str| {
        let mut child =
            lab.tool().args(["status", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let out = child.wait_with_output().unwrap();
        (out.status.code(), String::from_utf8_lossy(&out.stdout).into_owned())
    };
    // The repository of the database proves nothing of a bucket without a manifest.
    let run = |exit: u8| {
        format!(
            "{{\"v\":1,\"type\":\"run_begin\",\"tool\":\"s3-get\",\"run\":\"r\"}}\n{{\"v\":1,\"type\":\"run_end\",\"tool\":\"s3-get\",\"run\":\"r\",\"status\":\"x\",\"exit\":{exit},\"seconds\":1,\"counts\":{{}}}}\n"
        )
    };
    for (input, code) in [(String::new(), 5), (run(0), 5), (run(75), 75)] {
        let (status, text) = piped(&input);
        assert_eq!(status, Some(code), "{text}");
        assert!(text.contains("no manifest on standard input: nothing in the bucket is proven"), "{text}");
    }
    let piece = lab.pieces().into_iter().find(|p| p.to_string_lossy().contains("db_backup_")).unwrap();
    std::fs::remove_file(&piece).unwrap();
    lab.run(&["status"]).exits(5).says("error", "has no usable level 0");
    let record = serde_json::json!({"v": 1, "type": "object", "bucket": "b", "key": format!("x/{}", piece.file_name().unwrap().to_string_lossy())});
    let mut failed = record.clone();
    failed["status"] = "failed".into();
    for (input, code) in [(format!("{record}\n"), 0), (format!("{record}\n{failed}\n"), 5)] {
        let (status, text) = piped(&input);
        assert_eq!(status, Some(code), "{text}");
        assert!(text.contains(&record.to_string()), "what comes in goes out");
        let missing = format!("the first is {}", piece.display());
        assert_eq!(text.contains("neither on this host nor in the manifests: 1 of "), code == 5, "{text}");
        assert_eq!(text.contains(&missing), code == 5, "{text}");
    }
}

#[test]
fn a_hole_in_the_redo_is_a_finding_of_status_and_crosscheck() {
    let lab = with_full();
    lab.work();
    lab.work();
    lab.work();
    let max: u64 = lab.sql("SELECT MAX(sequence#) FROM v$archived_log").parse().unwrap();
    let gone = max - 1;
    let path = lab.sql(&format!("SELECT name FROM v$archived_log WHERE sequence# = {gone}"));
    std::fs::remove_file(path).unwrap();
    let hole = |gaps: Vec<&Value>| {
        assert_eq!(
            (gaps.len(), gaps[0]["from"].as_u64(), gaps[0]["to"].as_u64()),
            (1, Some(gone), Some(gone))
        );
    };
    hole(lab.run(&["status"]).exits(5).of("gap"));
    let ran = lab.run(&["crosscheck", "--max-expired", "60"]).exits(5);
    hole(ran.of("gap"));
    ran.says("warning", "is not where it should be");
}

#[test]
fn crosscheck_refuses_when_the_disk_is_away_and_deletes_nothing() {
    let lab = with_full();
    let count = || lab.sql("SELECT COUNT(*) FROM v$backup_piece WHERE status = 'A'");
    let before = count();
    lab.run(&["crosscheck"]).exits(0);
    let away = lab.at("rman.away");
    std::fs::rename(lab.at("rman"), &away).unwrap();
    std::fs::create_dir(lab.at("rman")).unwrap();
    let ran = lab.run(&["crosscheck"]).exits(4);
    assert!(ran.stderr.contains("is not there or empty"), "{}", ran.stderr);
    assert_eq!(count(), before);
    std::fs::remove_dir(lab.at("rman")).unwrap();
    std::fs::rename(&away, lab.at("rman")).unwrap();
    let piece = lab.pieces().remove(0);
    std::fs::remove_file(&piece).unwrap();
    lab.run(&["crosscheck"]).exits(4);
    let ran = lab.run(&["crosscheck", "--max-expired", "99"]);
    assert!(matches!(ran.code, Some(1 | 5)), "{:?} {}", ran.code, ran.stderr);
    ran.says("warning", "is EXPIRED");
    assert_eq!(lab.sql("SELECT COUNT(*) FROM v$backup_piece WHERE status = 'X'"), "1");
}

#[test]
fn validate_reads_everything_and_finds_damage() {
    let lab = with_full();
    let ran = lab.run(&["validate"]).exits(0);
    assert_eq!(ran.of("run_end")[0]["counts"]["good"], 4, "{:#?}", ran.records);
    // A piece with one byte turned.
    let piece = lab.pieces().into_iter().find(|p| p.to_string_lossy().contains("db_backup_")).unwrap();
    let file = std::fs::OpenOptions::new().read(true).write(true).open(&piece).unwrap();
    let middle = file.metadata().unwrap().len() / 2;
    let mut byte = [0];
    file.read_exact_at(&mut byte, middle).unwrap();
    file.write_all_at(&[byte[0] ^ 0xff], middle).unwrap();
    lab.run(&["validate"]).exits(5);
}
