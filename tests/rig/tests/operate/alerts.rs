//! The Prometheus rules, on what mailreport really writes.

use std::fmt::Write;
use std::path::Path;
use std::process::Command;

use crate::{bracket, metrics, program, repository, said, DRILL, GAP, INCREMENT, PIECE, STANDBY};

const RULES: &str = "packaging/prometheus/orapipe.rules.yml";

/// What is in the files, and which alerts fire so many minutes later if nothing is written any more.
struct Case {
    name: &'static str,
    files: Vec<String>,
    after: u64,
    /// Minutes after which there are no samples any more.
    told: u64,
    fires: &'static [&'static str],
}

/// The samples as series of a test: constant, and times counted from the beginning of the test.
fn series(files: &[String], now: i64, samples: u64) -> String {
    let mut text = String::new();
    for line in files.iter().flat_map(|f| f.lines()).filter(|l| !l.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').unwrap();
        let value: f64 = value.parse().unwrap();
        let value = if name.contains("_timestamp_seconds{") { value - now as f64 } else { value };
        let name = name.replace('\\', "\\\\").replace('\'', "''");
        writeln!(text, "      - series: '{name}'\n        values: '{value}+0x{samples}'").unwrap();
    }
    text
}

/// Runs the cases through promtool; what it said.
fn promtool(dir: &Path, rules: &Path, cases: &[Case], now: i64) -> (i32, String) {
    let mut text = format!("rule_files: [{}]\nevaluation_interval: 10m\ntests:\n", rules.display());
    for case in cases {
        write!(
            text,
            "  - name: {}\n    interval: 10m\n    input_series:\n{}    promql_expr_test:\n      \
             - expr: group by (alertname) (ALERTS{{alertstate=\"firing\"}})\n        eval_time: {}m\n        exp_samples: [",
            case.name,
            series(&case.files, now, case.told.min(case.after + 20) / 10),
            case.after
        )
        .unwrap();
        let samples = case.fires.iter().map(|a| format!("{{labels: '{{alertname=\"{a}\"}}', value: 1}}"));
        writeln!(text, "{}]", samples.collect::<Vec<_>>().join(", ")).unwrap();
    }
    let file = dir.join("test.yml");
    std::fs::write(&file, text).unwrap();
    said(Command::new(program("promtool")).args(["test", "rules"]).arg(file))
}

fn cases(dir: &Path) -> Vec<Case> {
    let file = |name: &str, pipeline: &str, stdin: &str, args: &[&str]| {
        let dir = dir.join(name);
        std::fs::create_dir_all(&dir).unwrap();
        metrics(&dir, pipeline, stdin, args)
    };
    let status = |name: &str, inside: &[&str], exit: i64, backup_mode: i64| {
        let stdin = bracket("arch-ship", exit, inside) + &bracket("ts-hotbackup", backup_mode, &[]);
        file(name, "status", &stdin, &["--expect", "arch-ship,ts-hotbackup"])
    };
    let rman =
        |name: &str, inside: &[&str], exit: i64| file(name, "rman", &bracket("rman-run", exit, inside), &[]);
    let late = STANDBY.replace("47.5", "4000");
    // A mail server that is not there: the mail waits.
    let unsent = [
        "--to",
        "dba@example.com",
        "--smtp-server",
        "127.0.0.1:1",
        "--smtp-tls",
        "none",
        "--smtp-timeout",
        "1s",
    ];
    let drill =
        |name: &str, inside: &str, exit: i64| file(name, "drill", &bracket("rman-run", exit, &[inside]), &[]);
    let failed = DRILL.replace("\"success\"", "\"failed\"").replace("\"resumed\":true", "\"resumed\":false");
    let unproved =
        DRILL.replace("\"success\"", "\"partial\"").replace("\"resumed\":true", "\"resumed\":false");
    let quiet = late.replace("\"lag_bytes\":7", "\"lag_bytes\":0");
    let both = rman("both", &[PIECE], 0);
    // The history keeps the age of the level 0 when a level 1 follows.
    let then = rman("both", &[INCREMENT], 0);
    assert!(
        both.contains("kind=\"full\"")
            && then.contains("kind=\"full\"")
            && then.contains("kind=\"incremental\"")
    );
    let died = bracket("rman-run", 0, &[PIECE]);
    let died = died.rsplit_once("{\"type\":\"run_end\"").unwrap().0.to_owned();
    let case = |name, files, after, fires| Case { name, files, after, told: u64::MAX, fires };
    vec![
        case("good", vec![rman("good", &[PIECE], 0), status("good", &[STANDBY], 0, 0)], 20, &[]),
        case("nobody looks", vec![status("good", &[STANDBY], 0, 0)], 60, &["OrapipeRunMissing"]),
        case("a day", vec![then.clone()], 25 * 60, &[]),
        case("no level 1", vec![then.clone()], 30 * 60, &["OrapipeBackupTooOld", "OrapipeRunMissing"]),
        case(
            "no level 0",
            vec![both],
            9 * 24 * 60,
            &["OrapipeBackupTooOld", "OrapipeFullBackupTooOld", "OrapipeRunMissing"],
        ),
        case(
            "a hole",
            vec![status("gap", &[GAP, STANDBY], 5, 0)],
            20,
            &["OrapipeRedoGap", "OrapipeRunFailed"],
        ),
        case("late", vec![status("late", &[&late], 0, 0)], 20, &["OrapipeStandbyLag"]),
        case("quiet", vec![status("quiet", &[&quiet], 0, 0)], 20, &[]),
        case("failed", vec![rman("failed", &[], 2)], 20, &["OrapipeRunFailed"]),
        case("partial", vec![rman("partial", &[PIECE], 1)], 7 * 60, &["OrapipeRunPartial"]),
        case("died", vec![file("died", "rman", &died, &[])], 20, &["OrapipeRunFailed", "OrapipeToolDied"]),
        case(
            "silent",
            vec![file("silent", "rman", &bracket("s3-put", 0, &[]), &["--expect", "rman-run"])],
            20,
            &["OrapipeRunFailed", "OrapipeToolDied"],
        ),
        case(
            "mail",
            vec![file("mail", "rman", &bracket("rman-run", 0, &[PIECE]), &unsent)],
            70,
            &["OrapipeMailWaits"],
        ),
        case("backup mode", vec![status("mode", &[STANDBY], 0, 5)], 20, &["OrapipeRunFailed"]),
        case(
            "stuck",
            vec![status("stuck", &[STANDBY], 0, 5)],
            5 * 60,
            &["OrapipeBackupModeStuck", "OrapipeRunFailed", "OrapipeRunMissing"],
        ),
        case("drilled", vec![drill("drilled", DRILL, 0)], 24 * 60, &[]),
        case(
            "no drill",
            vec![drill("overdue", DRILL, 0)],
            41 * 24 * 60,
            &["OrapipeDrillOverdue", "OrapipeRunMissing"],
        ),
        case(
            "drill failed",
            vec![drill("undrilled", &failed, 5)],
            20,
            &["OrapipeDrillFailed", "OrapipeDrillNotResumed", "OrapipeRunFailed"],
        ),
        case("drill unproved", vec![drill("unproved", &unproved, 1)], 20, &["OrapipeDrillUnproved"]),
        Case { told: 20, ..case("silent host", vec![rman("gone", &[PIECE], 0)], 60, &["OrapipeSilent"]) },
    ]
}

#[test]
fn every_alert_fires_when_it_should_and_only_then() {
    let dir = tempfile::tempdir().unwrap();
    let rules = repository(RULES);
    let (status, text) = said(Command::new(program("promtool")).args(["check", "rules"]).arg(&rules));
    assert_eq!(status, 0, "{text}");
    let now = chrono::Utc::now().timestamp();
    let cases = cases(dir.path());
    let (status, text) = promtool(dir.path(), &rules, &cases, now);
    assert_eq!(status, 0, "{text}");

    // Every alert is in a case, but for the mails that a server refuses for good.
    let text = std::fs::read_to_string(&rules).unwrap();
    for alert in text.lines().filter_map(|l| l.trim().strip_prefix("- alert: ")) {
        let tried = cases.iter().any(|c| c.fires.contains(&alert)) || alert == "OrapipeMailRefused";
        assert!(tried, "{alert} is in no case");
    }
    // On the day of the level 0 there is no level 1, and nobody is woken for it; the day after somebody is.
    let older = |kind: &str, line: &str| match line.rsplit_once(' ') {
        Some((name, at)) if name.contains(&format!("kind=\"{kind}\"")) => {
            format!("{name} {}\n", at.parse::<i64>().unwrap() - 30 * 3600)
        }
        _ => format!("{line}\n"),
    };
    let nightly = cases.iter().find(|c| c.name == "a day").unwrap();
    let aged = |kinds: &[&str]| -> Vec<String> {
        let mut text = nightly.files[0].clone();
        for kind in kinds {
            text = text.lines().map(|l| older(kind, l)).collect();
        }
        vec![text]
    };
    let week = [
        Case { name: "monday", files: aged(&["incremental"]), after: 20, told: u64::MAX, fires: &[] },
        Case {
            name: "tuesday",
            files: aged(&["incremental", "full"]),
            after: 20,
            told: u64::MAX,
            fires: &["OrapipeBackupTooOld"],
        },
    ];
    let (status, said) = promtool(dir.path(), &rules, &week, now);
    assert_eq!(status, 0, "{said}");

    // A rule that never fires is found.
    let broken = dir.path().join("broken.yml");
    std::fs::write(&broken, text.replace("orapipe_redo_gaps > 0", "orapipe_redo_gap > 0")).unwrap();
    let (status, text) = promtool(dir.path(), &broken, &cases[5..6], now);
    assert_ne!(status, 0, "{text}");
}
