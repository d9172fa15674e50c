//! Killed with -9 at every request, before and after the server did it; then run again.

use std::time::{Duration, Instant};

use anyhow::{ensure, Context, Result};
use rig::tool::Started;
use rustix::process::Signal;
use s3server::proxy::{Fault, Rule};
use s3server::Operation;

use crate::stage::{bytes, sha256, Stage, PART};

const FILE: &str = "o1 mf+80%ç.bkp";
const KEY: &str = "p/o1 mf+80%ç.bkp";

/// Kills the run when the proxy holds a request of it; false when it ended before.
fn kill_when_held(stage: &Stage, mut run: Started) -> Result<bool> {
    let end = Instant::now() + Duration::from_secs(30);
    while stage.proxy.held() == 0 {
        if !run.is_running()? {
            run.wait()?.expect(0)?;
            return Ok(false);
        }
        ensure!(Instant::now() < end, "no request was held");
        std::thread::sleep(Duration::from_millis(1));
    }
    run.signal(Signal::KILL)?;
    run.wait()?;
    stage.server.settle()?;
    Ok(true)
}

#[test]
fn s3_put_killed_at_every_request_and_run_again() -> Result<()> {
    let content = bytes(4 * PART + 1, 1);
    let mut kills = 0;
    for executed in [false, true] {
        for nth in 1.. {
            ensure!(nth < 60, "an upload of five parts makes more than 60 requests");
            let stage = Stage::new()?;
            let path = stage.file(FILE, &content)?;
            stage.proxy.rules(vec![Rule::any(Fault::Hold { executed }).nth(nth)]);
            let run = stage.put()?.arg(&path).args(["--concurrency", "2"]).start()?;
            if !kill_when_held(&stage, run)? {
                break;
            }
            kills += 1;
            stage.proxy.rules(Vec::new());
            let case = || format!("killed at request {nth}, executed: {executed}");
            let again = stage.put()?.arg(&path).run()?.expect(0).with_context(case)?;
            stage.check_object(KEY, &content).with_context(case)?;
            stage.check_no_uploads().with_context(case)?;
            let twice: Vec<_> = stage.server.parts_stored().into_iter().filter(|(_, n)| *n > 1).collect();
            ensure!(twice.is_empty(), "{}: parts were sent again: {twice:?}", case());
            let ids: std::collections::BTreeSet<String> =
                stage.server.parts_stored().into_keys().map(|(id, _)| id).collect();
            ensure!(ids.len() == 1, "{}: parts in {} uploads", case(), ids.len());
            let object = again.of("object").into_iter().next().context("no object record")?;
            ensure!(object.text("sha256") == Some(&sha256(&content)), "{}: {}", case(), object.line);
        }
    }
    ensure!(kills >= 16, "only {kills} kills");
    Ok(())
}

#[test]
fn s3_get_killed_at_every_request_and_run_again() -> Result<()> {
    let content = bytes(3 * PART + 17, 2);
    let stage = Stage::new()?;
    let path = stage.file(FILE, &content)?;
    stage.put()?.arg(&path).run()?.expect(0)?;
    let mut kills = 0;
    for nth in 1.. {
        ensure!(nth < 60, "a download of four ranges makes more than 60 requests");
        let case = || format!("killed at request {nth}");
        let _none = std::fs::remove_file(stage.got(FILE));
        stage.proxy.rules(vec![Rule::any(Fault::Hold { executed: false }).nth(nth)]);
        let run = stage.get()?.arg(KEY).args(["--concurrency", "1"]).start()?;
        if !kill_when_held(&stage, run)? {
            break;
        }
        kills += 1;
        ensure!(!stage.got(FILE).exists(), "{}: a half file has the final name", case());
        stage.proxy.rules(Vec::new());
        stage.server.clear();
        stage.get()?.arg(KEY).run()?.expect(0).with_context(case)?;
        ensure!(std::fs::read(stage.got(FILE))? == content, "{}: other bytes", case());
        ensure!(stage.downloads()? == [FILE], "{}: {:?}", case(), stage.downloads()?);
        let fetched = stage.server.count(Operation::GetObject);
        // HEAD first, then a range each; what had come before the kill is not fetched again.
        ensure!(nth < 4 || fetched < 4, "{}: all {fetched} ranges were fetched again", case());
    }
    ensure!(kills >= 4, "only {kills} kills");
    Ok(())
}

#[test]
fn an_upload_that_nobody_continues_is_cleaned_up() -> Result<()> {
    let content = bytes(2 * PART + 1, 3);
    let stage = Stage::new()?;
    let path = stage.file("a.bkp", &content)?;
    stage.proxy.rules(vec![Rule::on(Operation::UploadPart, Fault::Hold { executed: false }).part(2)]);
    let run = stage.put()?.arg(&path).start()?;
    ensure!(kill_when_held(&stage, run)?, "it ended");
    stage.proxy.rules(Vec::new());
    stage.put()?.arg("--cleanup").run()?.expect(0)?;
    ensure!(stage.server.uploads()?.len() == 1, "a young upload was aborted");
    stage.server.age_uploads(Duration::from_secs(8 * 86_400))?;
    stage.put()?.args(["--cleanup", "--dry-run"]).run()?.expect(0)?;
    ensure!(stage.server.uploads()?.len() == 1, "a dry run aborted an upload");
    let done = stage.put()?.arg("--cleanup").run()?.expect(0)?;
    stage.check_no_uploads()?;
    ensure!(!done.of("removed").is_empty(), "no removed record:\n{}", String::from_utf8_lossy(&done.stdout));
    stage.put()?.arg(&path).run()?.expect(0)?;
    stage.check_object("p/a.bkp", &content)
}
