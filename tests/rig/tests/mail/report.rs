//! The report itself: any pipeline, any size, always the truth.

use std::time::Duration;

use anyhow::{ensure, Result};

use crate::pair::{bracket, python, said, tool};

#[test]
fn a_producer_that_died_and_a_tool_that_never_reported_are_critical() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let whole = crate::pair::success();
    let (begun, _) = whole.split_once("{\"v\":1,\"type\":\"run_end\"").unwrap_or_default();
    let run = tool(dir.path())?.arg("--output").arg("m.eml");
    for (stdin, args, what) in [
        (begun, &[][..], "dp-export (run PROD-1) began and never ended"),
        (whole.as_str(), &["--expect", "dp-export,zip-rotate"], "zip-rotate was expected and never reported"),
        ("", &[], "No tool reported anything"),
    ] {
        let outcome = run.clone().args(args).stdin(stdin).run()?.expect(2)?;
        let (subject, text, _) = python(dir.path(), &std::fs::read(dir.path().join("m.eml"))?)?;
        ensure!(
            subject.starts_with("CRITICAL FAILURE: ") && text.contains(what),
            "{text}\n{}",
            said(&outcome)
        );
    }
    Ok(())
}

#[test]
fn a_million_records_take_little_time_and_memory_and_make_a_small_mail() -> Result<()> {
    let dir = tempfile::tempdir()?;
    // A debug build in a busy test run: a tenth of them, and only memory and size are held to the goal.
    let mut lines = Vec::with_capacity(100_000);
    for i in 0..100_000u32 {
        let status = if i % 3 == 0 { "failed" } else { "shipped" };
        lines.push(format!(
            "{{\"type\":\"archived_log\",HEAD,\"path\":\"/u02/fra/PROD/archivelog/1_{i}_99.arc\",\"status\":\"{status}\",\
             \"bytes\":209715200,\"reason\":\"ORA-{i:05}: <b>&amp; ação 😀 {i}\",\"thread\":1,\"sequence\":{i}}}"
        ));
        if i % 10 == 0 {
            lines.push(format!("{{\"type\":\"log\",HEAD,\"level\":\"warning\",\"message\":\"linha {i} com ação & <tags> {}\"}}", "ç".repeat(300)));
            lines.push(format!("bad line {i}"));
        }
    }
    let stdin = bracket("arch-ship", "success", 0, &lines);
    let outcome = tool(dir.path())?
        .args(["--output", "m.eml", "--html", "m.html"])
        .stdin(stdin.clone())
        .limit(Duration::from_secs(100))
        .run();
    // Bad lines are no records of the contract: only the passage and the size are looked at here.
    let outcome = match outcome {
        Ok(outcome) => Some(outcome),
        Err(error) => {
            ensure!(format!("{error:#}").contains("not JSON"), "{error:#}");
            None
        }
    };
    let mail = std::fs::read(dir.path().join("m.eml"))?;
    ensure!(mail.len() < 100_000, "{} bytes", mail.len());
    let (subject, text, html) = python(dir.path(), &mail)?;
    ensure!(subject.starts_with("PARTIAL: ") && text.contains("and 43,"), "{subject}\n{text}");
    ensure!(!html.contains("<tags>") && html.contains("&#60;tags&#62;"), "a log line is markup");
    if let Some(outcome) = outcome {
        ensure!(outcome.max_rss < 64 << 20, "{} bytes of memory", outcome.max_rss);
        ensure!(
            outcome.stdout.windows(stdin.len()).any(|w| w == stdin.as_bytes()),
            "something was not passed on"
        );
    }
    Ok(())
}

#[test]
fn portuguese_when_the_locale_is_and_english_when_it_is_not() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let run = tool(dir.path())?.arg("--output").arg("m.eml");
    for (lang, args, verdict, size) in [
        ("pt_BR.UTF-8", &[][..], "SUCESSO: PROD em dbprod01", "1,0 GiB"),
        ("C.UTF-8", &[], "SUCCESS: PROD on dbprod01", "1.0 GiB"),
        ("pt_BR.UTF-8", &["--language", "en"], "SUCCESS: PROD on dbprod01", "1.0 GiB"),
    ] {
        run.clone().env("LANG", lang).args(args).run()?.expect(0)?;
        let (subject, text, _) = python(dir.path(), &std::fs::read(dir.path().join("m.eml"))?)?;
        ensure!(subject.starts_with(verdict) && text.contains(size), "{subject}\n{text}");
    }
    Ok(())
}

#[test]
fn wrong_settings_cost_no_record_and_only_status_1() -> Result<()> {
    let dir = tempfile::tempdir()?;
    // Neither a server nor sendmail: the pipeline's records pass, and the reason is said.
    let outcome = tool(dir.path())?.run()?.expect(1)?;
    ensure!(outcome.stderr.contains("hint: set SMTP_SERVER"), "{}", outcome.stderr);
    ensure!(
        String::from_utf8_lossy(&outcome.stdout).contains(&crate::pair::success()),
        "the records are lost"
    );
    Ok(())
}

#[test]
fn a_reader_that_goes_away_costs_no_mail() -> Result<()> {
    let pair = crate::pair::Pair::new(rig::smtp::Manners::default())?;
    let script = format!(
        "( sleep 1; cat records ) | {} --smtp-timeout 2s | head -n 1 > first; echo ${{PIPESTATUS[1]}}",
        rig::tool::program("mailreport")?.display()
    );
    std::fs::write(pair.dir.path().join("records"), crate::pair::success().repeat(2000))?;
    let out = std::process::Command::new("bash")
        .args(["-c", &script])
        .current_dir(pair.dir.path())
        .env("ORAPIPE_ALLOW_ROOT", "1")
        .env("STATE_DIR", pair.dir.path().join("state"))
        .env("EMAIL_TO", crate::pair::TO)
        .env("SMTP_SERVER", format!("127.0.0.1:{}", pair.server.port()))
        .env("SMTP_TLS", "none")
        .output()?;
    ensure!(String::from_utf8_lossy(&out.stdout).trim() == "2", "{out:?}");
    pair.server.expect(1)?;
    Ok(())
}

#[test]
fn a_wrong_setting_does_not_break_the_pipe_of_the_tools_before() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let stdin = crate::pair::success().repeat(3000);
    std::fs::write(dir.path().join("records"), &stdin)?;
    let script = "( cat records; echo $? > written ) | $TOOL > out; echo ${PIPESTATUS[1]}";
    let out = std::process::Command::new("bash")
        .args(["-c", script])
        .current_dir(dir.path())
        .env("TOOL", rig::tool::program("mailreport")?)
        .env("ORAPIPE_ALLOW_ROOT", "1")
        .env("SMTP_PORT", "smtp")
        .output()?;
    ensure!(String::from_utf8_lossy(&out.stdout).trim() == "64", "{out:?}");
    ensure!(
        std::fs::read_to_string(dir.path().join("written"))?.trim() == "0",
        "the tool before could not write"
    );
    ensure!(std::fs::read_to_string(dir.path().join("out"))?.contains(&stdin), "the records are lost");
    Ok(())
}
