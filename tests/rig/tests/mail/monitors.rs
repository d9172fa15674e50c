//! Nagios, Prometheus, a watchman, the history.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Command, Stdio};

use anyhow::{ensure, Context, Result};
use rig::host::program_path;
use rig::smtp::Manners;
use rig::tool::program;

use crate::pair::{bracket, failure, said, success, tool, Pair};

/// Runs it as Nagios does: one line and a status, no records.
fn nagios(dir: &std::path::Path, stdin: &str, args: &[&str]) -> Result<(String, i32)> {
    let mut child = Command::new(program("mailreport")?)
        .args(args)
        .env_clear()
        .env("HOME", dir)
        .env("STATE_DIR", dir.join("state"))
        .env("ORAPIPE_ALLOW_ROOT", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    // A wrong call ends before it has read anything.
    let _gone = child.stdin.take().context("no pipe")?.write_all(stdin.as_bytes());
    let out = child.wait_with_output()?;
    Ok((String::from_utf8(out.stdout)?, out.status.code().context("no status")?))
}

#[test]
fn nagios_gets_one_line_and_a_status_from_0_to_3() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let partial = bracket("dp-export", "partial", 1, &[]);
    let bug = bracket("dp-export", "error", 3, &[]);
    for (stdin, args, word, status) in [
        (success(), &["--nagios"][..], "OK", 0),
        (partial, &["--nagios"], "WARNING", 1),
        (failure(), &["--nagios"], "CRITICAL", 2),
        (success(), &["--nagios", "--expect", "zip-rotate"], "CRITICAL", 2),
        (String::new(), &["--nagios"], "CRITICAL", 2),
        (bug, &["--nagios"], "UNKNOWN", 3),
        (success(), &["--nagios", "--nonsense"], "UNKNOWN", 3),
    ] {
        let (text, code) = nagios(dir.path(), &stdin, args)?;
        ensure!(code == status && text.starts_with(&format!("ORAPIPE {word} - ")), "{code}: {text}");
        ensure!(text.lines().count() == 1 && text.ends_with('\n'), "{text}");
        if code < 3 {
            let (_, data) = text.split_once(" | ").with_context(|| text.clone())?;
            for item in data.split_whitespace() {
                let (name, values) = item.split_once('=').with_context(|| item.to_owned())?;
                let number: String = values.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
                ensure!(!name.is_empty() && number.parse::<f64>().is_ok(), "{item}");
            }
        }
    }
    Ok(())
}

#[test]
fn promtool_accepts_the_metrics_and_they_tell_the_truth() -> Result<()> {
    let pair = Pair::new(Manners { greylist: 1, ..Manners::default() })?;
    let file = pair.dir.path().join("orapipe.prom");
    let standby = "{\"type\":\"standby\",HEAD,\"threads\":[],\"recoverable_to_scn\":959994830198,\"lag_seconds\":47.5,\"lag_bytes\":7}";
    let export = "{\"type\":\"export\",HEAD,\"schema\":\"H\\\"R\\\\é\",\"status\":\"success\",\"bytes\":5}";
    let stdin = bracket("arch-ship", "partial", 1, &[standby.to_owned(), export.to_owned()]);
    pair.tool()?.arg("--prometheus").arg(&file).stdin(stdin).run()?.expect(1)?;
    let text = std::fs::read_to_string(&file)?;
    for line in [
        "orapipe_verdict{db=\"PROD\"} 1",
        "orapipe_exit_status{db=\"PROD\"} 1",
        "orapipe_items{db=\"PROD\",status=\"done\"} 1",
        "orapipe_tool_exit_status{db=\"PROD\",tool=\"arch-ship\"} 1",
        "orapipe_standby_recoverable_scn{db=\"PROD\"} 959994830198",
        "orapipe_standby_lag_seconds{db=\"PROD\"} 47.500",
        "orapipe_mail_waiting{db=\"PROD\"} 1",
        "orapipe_last_good_timestamp_seconds{db=\"PROD\",kind=\"export:H\\\"R\\\\é\"} 1795154400",
    ] {
        ensure!(text.lines().any(|l| l == line), "{line}\n{text}");
    }
    let mut child = Command::new(program_path("promtool")?)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    child.stdin.take().context("no pipe")?.write_all(text.as_bytes())?;
    let out = child.wait_with_output()?;
    ensure!(out.status.success(), "{}\n{text}", String::from_utf8_lossy(&out.stderr));
    Ok(())
}

/// The request lines of one connection that is answered with `status`.
fn watchman(status: &'static str) -> Result<(u16, std::thread::JoinHandle<Result<String>>)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    let handle = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept()?;
        let mut bytes = [0; 2048];
        let n = stream.read(&mut bytes)?;
        stream.write_all(
            format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").as_bytes(),
        )?;
        let text = String::from_utf8_lossy(&bytes[..n]).into_owned();
        Ok(text.lines().next().unwrap_or_default().to_owned())
    });
    Ok((port, handle))
}

#[test]
fn a_watchman_hears_of_success_and_of_failure_and_may_be_away() -> Result<()> {
    let dir = tempfile::tempdir()?;
    for (stdin, exit, path) in [(success(), 0, "/ping/uuid?a=b"), (failure(), 2, "/ping/uuid/fail?a=b")] {
        let (port, handle) = watchman("200 OK")?;
        let url = format!("http://127.0.0.1:{port}/ping/uuid?a=b");
        tool(dir.path())?.env_remove("EMAIL_TO").arg("--ping").arg(url).stdin(stdin).run()?.expect(exit)?;
        let line = handle.join().map_err(|_| anyhow::anyhow!("the watchman died"))??;
        ensure!(line == format!("GET {path} HTTP/1.1"), "{line}");
    }
    let (port, handle) = watchman("500 Oops")?;
    let url = format!("http://127.0.0.1:{port}/secret-uuid");
    let run = tool(dir.path())?.env_remove("EMAIL_TO").arg("--ping").arg(url);
    let outcome = run.clone().run()?.expect(0)?;
    let _line = handle.join();
    ensure!(
        said(&outcome).contains("ping 127.0.0.1") && said(&outcome).contains("500"),
        "{}",
        said(&outcome)
    );
    ensure!(!said(&outcome).contains("secret-uuid"), "{}", said(&outcome));
    // Nobody listens there any more.
    run.run()?.expect(0)?;
    Ok(())
}

#[test]
fn the_history_remembers_and_a_mail_comes_only_when_the_verdict_changes() -> Result<()> {
    let pair = Pair::new(Manners::default())?;
    let history = pair.dir.path().join("nightly.jsonl");
    let run = |stdin: String| -> Result<_> {
        pair.tool()?.arg("--history").arg(&history).args(["--only", "change"]).stdin(stdin).run()
    };
    run(success())?.expect(0)?;
    pair.server.expect(1)?;
    run(success())?.expect(0)?;
    pair.server.expect(1)?;
    run(failure())?.expect(2)?;
    run(failure())?.expect(2)?;
    let received = pair.server.expect(2)?;
    // The last good export is of an earlier run, and the mail of the failure says so.
    let (_, text, _) = crate::pair::python(pair.dir.path(), &received[1].bytes)?;
    ensure!(text.contains("Export of HR") && text.contains("2 of 3 successful"), "{text}");
    run(success())?.expect(0)?;
    pair.server.expect(3)?;
    // A line that a crash tore, and garbage.
    let mut broken = std::fs::read(&history)?;
    broken.extend_from_slice(b"\0\0\0{\"v\":1");
    std::fs::write(&history, broken)?;
    let outcome = run(success())?.expect(1)?;
    ensure!(said(&outcome).contains("1 lines could not be understood"), "{}", said(&outcome));
    let outcome = run(success())?.expect(0)?;
    ensure!(std::fs::read_to_string(&history)?.lines().count() == 7, "{}", said(&outcome));
    Ok(())
}
