//! Grafana and Nagios: every name exists, every expression and definition is understood, every check runs.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use regex::Regex;
use rig::tool::clean_environment;
use serde_json::Value;

use crate::{bracket, metrics, program, repository, said, DRILL, GAP, PIECE, STANDBY};

/// Names of metrics in a text.
fn names(text: &str) -> BTreeSet<String> {
    Regex::new("orapipe_[a-z_]+").unwrap().find_iter(text).map(|m| m.as_str().to_owned()).collect()
}

/// Every metric that mailreport knows: a run with a mail, a standby, a drill and a backup.
fn written(dir: &Path) -> BTreeSet<String> {
    let inside = [PIECE, STANDBY, GAP, DRILL];
    let mail = [
        "--to",
        "dba@example.com",
        "--smtp-server",
        "127.0.0.1:1",
        "--smtp-tls",
        "none",
        "--smtp-timeout",
        "1s",
    ];
    let text = metrics(dir, "rman", &bracket("rman-run", 0, &inside), &mail);
    let text: String = text.lines().filter(|l| !l.starts_with('#')).map(|l| format!("{l}\n")).collect();
    let samples = text.lines().filter_map(|l| l.split_once('{')).map(|(name, _)| name.to_owned());
    samples.collect()
}

#[test]
fn every_panel_and_rule_asks_for_what_is_written_and_every_metric_is_shown() {
    let dir = tempfile::tempdir().unwrap();
    let written = written(dir.path());
    assert!(written.len() >= 24, "{written:?}");
    let text = std::fs::read_to_string(repository("packaging/grafana/orapipe.json")).unwrap();
    let board: Value = serde_json::from_str(&text).unwrap();
    let panels = board["panels"].as_array().unwrap();
    let mut expressions = Vec::new();
    let mut ids = BTreeSet::new();
    for panel in panels {
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "two panels {}", panel["id"]);
        for target in panel["targets"].as_array().unwrap() {
            expressions.push(target["expr"].as_str().unwrap().to_owned());
        }
    }
    let shown: BTreeSet<_> = expressions.iter().flat_map(|e| names(e)).collect();
    assert_eq!(shown, written, "the dashboard against the metrics");
    let rules = std::fs::read_to_string(repository("packaging/prometheus/orapipe.rules.yml")).unwrap();
    let code: String =
        rules.lines().filter(|l| !l.trim().starts_with('#') && !l.contains("description:")).collect();
    assert!(names(&code).is_subset(&written), "{:?}", names(&code).difference(&written));
    for variable in board["templating"]["list"].as_array().unwrap() {
        assert!(names(&variable.to_string()).is_subset(&written));
    }

    // The labels too, by Prometheus itself.
    let mut yaml = "groups:\n  - name: grafana\n    rules:\n".to_owned();
    for (i, expression) in expressions.iter().enumerate() {
        let expression = expression.replace("$db", "PROD").replace('\'', "''");
        yaml.push_str(&format!("      - record: panel:{i}\n        expr: '{expression}'\n"));
    }
    let file = dir.path().join("panels.yml");
    std::fs::write(&file, &yaml).unwrap();
    let check = |file: &Path| said(Command::new(program("promtool")).args(["check", "rules"]).arg(file));
    let (status, text) = check(&file);
    assert_eq!(status, 0, "{text}");
    std::fs::write(&file, yaml.replacen("{db", "{db{", 1)).unwrap();
    assert_ne!(check(&file).0, 0);
}

/// Nagios' own check of the definitions, with the hosts and contacts that they are for.
#[test]
fn nagios_understands_the_definitions() {
    let dir = tempfile::tempdir().unwrap();
    let nagios = ["nagios4", "nagios"].into_iter().find_map(|n| rig::host::program_path(n).ok());
    let nagios = nagios.expect("nagios4 is not installed: run scripts/setup.sh");
    let site = "define timeperiod {\n timeperiod_name 24x7\n alias always\n monday 00:00-24:00\n}\n\
                define command {\n command_name tell\n command_line /bin/true\n}\n\
                define contact {\n contact_name dba\n host_notifications_enabled 0\n service_notifications_enabled 0\n \
                host_notification_period 24x7\n service_notification_period 24x7\n host_notification_options n\n \
                service_notification_options n\n host_notification_commands tell\n service_notification_commands tell\n}\n\
                define contactgroup {\n contactgroup_name admins\n members dba\n}\n";
    let hosts = ["db1", "dr1"].map(|h| {
        format!("define host {{\n host_name {h}\n address 127.0.0.1\n max_check_attempts 3\n check_period 24x7\n \
                 notification_period 24x7\n contact_groups admins\n}}\n")
    });
    std::fs::write(dir.path().join("site.cfg"), format!("{site}{}", hosts.concat())).unwrap();
    let text = std::fs::read_to_string(repository("packaging/nagios/orapipe.cfg")).unwrap();
    // As root it would become a user who may not write here.
    let root = rustix::process::geteuid().is_root();
    let user = if root { "nagios_user=root\nnagios_group=root\n" } else { "" };
    let check = |definitions: &str| {
        let path = |name: &str| dir.path().join(name).display().to_string();
        std::fs::write(path("orapipe.cfg"), definitions).unwrap();
        let main = format!(
            "log_file={}\ncfg_file={}\ncfg_file={}\ncheck_result_path={}\nlock_file={}\nillegal_macro_output_chars=`\n{user}",
            path("log"),
            path("site.cfg"),
            path("orapipe.cfg"),
            dir.path().display(),
            path("lock")
        );
        std::fs::write(path("nagios.cfg"), main).unwrap();
        said(Command::new(&nagios).arg("-v").arg(path("nagios.cfg")))
    };
    let (status, said) = check(&text);
    assert_eq!(status, 0, "{said}");
    assert!(said.contains("Checked 4 services") && !said.contains("Warning: Service"), "{said}");
    assert_ne!(check(&text.replace("command_name  check_orapipe", "command_name  check_oracle")).0, 0);
    // What NRPE is told to run is a check of ours.
    for line in text.lines().filter_map(|l| l.split_once("check_orapipe.sh ")) {
        let words: Vec<&str> = line.1.split_whitespace().collect();
        assert!(["standby", "protected", "backup-mode", "evidence"].contains(&words[0]), "{words:?}");
    }
    for service in text.lines().filter_map(|l| l.trim().strip_prefix("check_command")) {
        let name = service.trim().strip_prefix("check_orapipe!").unwrap();
        assert!(text.contains(&format!("command[orapipe_{name}]=")), "{name} is no command of NRPE");
    }
}

#[test]
fn the_checks_end_as_nagios_wants_it() {
    let dir = tempfile::tempdir().unwrap();
    let bin = dir.path().join("bin");
    std::fs::create_dir(&bin).unwrap();
    let stand_in = |name: &str, records: &str, status: i32| {
        let records = records.replace('\'', "'\\''");
        let text = format!(
            "#!/bin/sh\necho \"$0 $*\" >>'{0}/calls'\nprintf '%s' '{records}'\nexit {status}\n",
            dir.path().display()
        );
        rig::host::write_program(&bin.join(name), &text).unwrap();
    };
    let check = |args: &[&str]| {
        let mut command = Command::new(repository("scripts/check_orapipe.sh"));
        command.env_clear().envs(clean_environment()).env("HOME", dir.path()).env("ORAPIPE_BIN", &bin);
        said(command.args(args))
    };
    stand_in("arch-ship", &bracket("arch-ship", 0, &[STANDBY]), 0);
    let (status, text) = check(&["standby", "PROD"]);
    assert_eq!(status, 0, "{text}");
    assert!(
        text.starts_with("ORAPIPE OK - ") && text.contains("lag=") && text.lines().count() == 1,
        "{text}"
    );
    stand_in("arch-ship", &bracket("arch-ship", 5, &[GAP, STANDBY]), 5);
    let (status, text) = check(&["standby", "PROD"]);
    assert!(
        status == 2 && text.starts_with("ORAPIPE CRITICAL - ") && text.contains("gaps=1"),
        "{status} {text}"
    );
    stand_in("ts-hotbackup", &bracket("ts-hotbackup", 5, &[]), 5);
    assert_eq!(check(&["backup-mode", "PROD"]).0, 2);
    stand_in("rman-run", &bracket("rman-run", 0, &[]), 0);
    assert_eq!(check(&["protected", "PROD"]).0, 0);
    assert_eq!(check(&["evidence", "PROD"]).0, 0);
    let calls = std::fs::read_to_string(dir.path().join("calls")).unwrap();
    assert!(
        calls.contains("rman-run drill --verify-evidence\n") && calls.contains("rman-run status\n"),
        "{calls}"
    );
    // Records without their run prove nothing.
    stand_in("arch-ship", &(STANDBY.replace("HEAD", "\"tool\":\"arch-ship\"") + "\n"), 0);
    assert_eq!(check(&["standby", "PROD"]).0, 2);
    // A tool that dies before it says anything, and wrong calls.
    stand_in("arch-ship", "", 137);
    assert_eq!(check(&["standby", "PROD"]).0, 2);
    for args in [&["standby"][..], &["lag", "PROD"], &["standby", "../x"], &[]] {
        let (status, text) = check(args);
        assert!(status == 3 && text.starts_with("ORAPIPE UNKNOWN - "), "{args:?}: {status} {text}");
    }
}
