//! What runs the tools and watches them: systemd units, logrotate, Prometheus, Grafana, Nagios, and the scripts between.

// A test that cannot go on has failed.
#![allow(clippy::unwrap_used)]

mod alerts;
mod dashboards;
mod mail;
mod notify;
mod rotation;
mod scripts;
mod stopping;
mod units;

use std::path::{Path, PathBuf};
use std::process::Command;

/// A file of the repository.
fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path).canonicalize().unwrap()
}

/// Status and everything that it said.
fn said(command: &mut Command) -> (i32, String) {
    let out = command.output().unwrap();
    let text = [out.stdout, out.stderr].concat();
    (out.status.code().unwrap_or(-1), String::from_utf8_lossy(&text).into_owned())
}

/// A program that must be there.
fn program(name: &str) -> PathBuf {
    rig::host::program_path(name).unwrap()
}

/// The records of a run around others; HEAD in them is the envelope.
fn bracket(tool: &str, exit: i64, inside: &[&str]) -> String {
    let at = chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
    let head = format!("\"v\":1,\"tool\":\"{tool}\",\"run\":\"{tool}-1\",\"ts\":\"{at}\"");
    let mut text =
        format!("{{\"type\":\"run_begin\",{head},\"version\":\"1\",\"host\":\"db1\",\"db\":\"PROD\"}}\n");
    for line in inside {
        text.push_str(&line.replace("HEAD", &head));
        text.push('\n');
    }
    let word = if exit == 0 { "success" } else { "failed" };
    text + &format!(
        "{{\"type\":\"run_end\",{head},\"status\":\"{word}\",\"exit\":{exit},\"seconds\":2,\"counts\":{{}}}}\n"
    )
}

/// What mailreport writes for Prometheus about these records, with a history beside it.
fn metrics(dir: &Path, pipeline: &str, stdin: &str, args: &[&str]) -> String {
    use std::io::Write;
    let file = dir.join(format!("orapipe_PROD_{pipeline}.prom"));
    let mut child = Command::new(rig::tool::program("mailreport").unwrap())
        .env_clear()
        .envs(rig::tool::clean_environment())
        .env("HOME", dir)
        .env("STATE_DIR", dir.join("state"))
        .env("TZ", "UTC")
        .arg("--prometheus")
        .arg(&file)
        .arg("--history")
        .arg(dir.join(format!("history.{pipeline}.jsonl")))
        .args(args)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap();
    child.wait().unwrap();
    std::fs::read_to_string(file).unwrap()
}

const PIECE: &str =
    "{\"type\":\"file\",HEAD,\"path\":\"/b/1\",\"bytes\":10,\"role\":\"backup_piece\",\"level\":0}";
const INCREMENT: &str =
    "{\"type\":\"file\",HEAD,\"path\":\"/b/2\",\"bytes\":10,\"role\":\"backup_piece\",\"level\":1}";
const STANDBY: &str = "{\"type\":\"standby\",HEAD,\"threads\":[],\"recoverable_to_scn\":959994830198,\
                       \"lag_seconds\":47.5,\"lag_bytes\":7}";
const GAP: &str =
    "{\"type\":\"gap\",HEAD,\"thread\":1,\"resetlogs_id\":1,\"from\":4,\"to\":5,\"where\":\"source\",\
                   \"reason\":\"deleted\",\"hint\":\"restore it\"}";
const DRILL: &str = "{\"type\":\"drill\",HEAD,\"host\":\"dr1\",\"user\":\"oracle\",\"started\":\"2026-11-20T10:00:00.000Z\",\
                     \"status\":\"success\",\"recovery\":\"managed\",\"resumed\":true,\"seconds\":90.5,\"number\":3,\
                     \"prev\":\"00\",\"queries\":[{\"name\":\"1\",\"sql\":\"select 1 from dual\",\"verdict\":\"passed\",\
                     \"seconds\":0.1,\"result\":\"1\"}],\"scn\":959994830198,\"open_seconds\":61.5}";
