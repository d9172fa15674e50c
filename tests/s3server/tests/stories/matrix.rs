//! Every operation with every fault: what the tool says is what is so.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{ensure, Context, Result};
use rig::tool::Outcome;
use rustix::process::Signal;
use s3server::proxy::{Fault, Novelty, Rule};
use s3server::Operation::{self, *};

use crate::stage::{bytes, sha256, Stage, PART};

/// What must come of a run that meets the fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expect {
    /// The fault passes, and the tool gets over it.
    Success,
    /// There is no way; the tool says so.
    Failure,
    /// Either, as long as it is true.
    Truth,
}

/// Where the run stands when it meets the fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Begin {
    First,
    /// An earlier run was killed in the middle.
    Resumed,
}

#[derive(Debug, Clone)]
struct Case {
    put: bool,
    bytes: usize,
    begin: Begin,
    rule: Rule,
    name: String,
    expect: Expect,
}

/// Faults that pass, and those that stay.
fn faults() -> Vec<(&'static str, Fault, bool, Expect)> {
    let executed = |status, code| Fault::Error { status, code, retry_after: None, executed: true };
    vec![
        ("500", Fault::internal_error(), true, Expect::Success),
        ("500 after it was done", Fault::error_after(), true, Expect::Success),
        ("503 SlowDown", Fault::slow_down(), true, Expect::Success),
        ("503 after it was done", executed(503, "ServiceUnavailable"), true, Expect::Success),
        ("502", Fault::error(502, "BadGateway"), true, Expect::Success),
        ("200 with an error", Fault::ErrorInside { executed: false }, true, Expect::Truth),
        ("200 with an error after it was done", Fault::ErrorInside { executed: true }, true, Expect::Truth),
        ("reset before", Fault::ResetBefore, true, Expect::Success),
        ("reset after", Fault::ResetAfter, true, Expect::Success),
        ("cut request", Fault::CutRequest, true, Expect::Success),
        ("cut answer", Fault::CutAnswer, true, Expect::Success),
        ("stall", Fault::Stall, true, Expect::Success),
        ("silence", Fault::Silence, true, Expect::Success),
        ("wrong checksum", Fault::WrongChecksum, true, Expect::Truth),
        ("no checksum", Fault::NoChecksum, false, Expect::Truth),
        ("flipped byte to the server", Fault::FlipRequest, true, Expect::Truth),
        ("flipped byte to the client", Fault::FlipAnswer, true, Expect::Truth),
        ("slow", Fault::Slow(8 << 20), true, Expect::Success),
        ("expired token", Fault::error(400, "ExpiredToken"), false, Expect::Failure),
        ("unknown access key", Fault::error(403, "InvalidAccessKeyId"), false, Expect::Failure),
        ("access denied", Fault::error(403, "AccessDenied"), false, Expect::Failure),
        ("clock", Fault::Skewed(25), false, Expect::Truth),
        ("other region", Fault::Redirect("eu-west-1"), false, Expect::Success),
        ("no such bucket", Fault::error(404, "NoSuchBucket"), false, Expect::Failure),
        ("no unsigned trailer", Fault::Refuse(Novelty::UnsignedTrailer), false, Expect::Truth),
        ("no unsigned payload", Fault::Refuse(Novelty::UnsignedPayload), false, Expect::Truth),
        ("no checksum headers", Fault::Refuse(Novelty::Checksum), false, Expect::Truth),
        ("no conditions", Fault::Refuse(Novelty::Condition), false, Expect::Success),
    ]
}

const SMALL: usize = 70_001;
const LARGE: usize = 2 * PART + 1;

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut add = |put: bool, bytes: usize, begin: Begin, operation: Operation, part: Option<u32>| {
        for (word, fault, passes, expect) in faults() {
            let mut rule = Rule::on(operation, fault.clone());
            if let Some(part) = part {
                rule = rule.part(part);
            }
            if passes {
                rule = rule.first(1);
            }
            // A HEAD is told 404 and 403 without a word of which; S3's own clients guess, and so may ours.
            let silent = operation == HeadObject;
            // A HEAD has no body that could hold an error, and S3 may take minutes to complete an upload: the tool waits a
            // quarter of an hour for that.
            let patient =
                matches!(fault, Fault::Stall | Fault::Silence) && operation == CompleteMultipartUpload;
            if patient || silent && matches!(fault, Fault::ErrorInside { .. }) {
                continue;
            }
            let expect = match expect {
                // Who may not list the unfinished uploads may upload all the same.
                Expect::Failure if silent || operation == ListMultipartUploads => Expect::Truth,
                _ => expect,
            };
            let tool = if put { "put" } else { "get" };
            let part = part.map(|p| format!(" {p}")).unwrap_or_default();
            let name = format!("{tool} {bytes} bytes, {begin:?}: {word} at {operation:?}{part}");
            cases.push(Case { put, bytes, begin, rule, name, expect });
        }
    };
    for operation in [HeadObject, PutObject] {
        add(true, SMALL, Begin::First, operation, None);
    }
    for operation in [HeadObject, ListMultipartUploads, CreateMultipartUpload, CompleteMultipartUpload] {
        add(true, LARGE, Begin::First, operation, None);
    }
    for part in [1, 2, 3] {
        add(true, LARGE, Begin::First, UploadPart, Some(part));
    }
    for operation in [HeadObject, ListParts, UploadPart, CompleteMultipartUpload] {
        add(true, LARGE, Begin::Resumed, operation, None);
    }
    for operation in [HeadObject, GetObject] {
        add(false, SMALL, Begin::First, operation, None);
        add(false, LARGE, Begin::First, operation, None);
        add(false, LARGE, Begin::Resumed, operation, None);
    }
    cases
}

/// Stops a first run where it has done a part of its work.
fn begin(stage: &Stage, case: &Case, key: &str, path: &std::path::Path) -> Result<()> {
    let hold = match case.put {
        true => Rule::on(UploadPart, Fault::Hold { executed: false }).part(3),
        false => Rule::on(GetObject, Fault::Hold { executed: false }).nth(2),
    };
    stage.proxy.rules(vec![hold]);
    let tool = if case.put { stage.put()?.arg(path) } else { stage.get()?.arg(key) };
    let mut run = tool.args(["--concurrency", "1"]).start()?;
    run.until(Duration::from_secs(30), "the middle", |_| Ok(stage.proxy.held() > 0))?;
    run.signal(Signal::KILL)?;
    run.wait()?;
    stage.server.settle()
}

fn run(stage: &Stage, case: &Case, key: &str, path: &std::path::Path) -> Result<Outcome> {
    let patience = if case.expect == Expect::Success { "30s" } else { "3s" };
    let tool = if case.put { stage.put_for(patience)?.arg(path) } else { stage.get_for(patience)?.arg(key) };
    tool.args(["--concurrency", "2"]).run()
}

/// Whether the fault was met at all.
fn one(stage: &Stage, case: &Case, n: usize) -> Result<bool> {
    let content = bytes(case.bytes, u32::try_from(n)?);
    let name = format!("file{n}.bkp");
    let key = format!("p/{name}");
    let path = stage.file(&name, &content)?;
    if !case.put {
        stage.proxy.rules(Vec::new());
        stage.put()?.arg(&path).run()?.expect(0).context("store the object")?;
    }
    if case.begin == Begin::Resumed {
        begin(stage, case, &key, &path)?;
    }
    stage.proxy.clear();
    stage.proxy.rules(vec![case.rule.clone()]);
    let outcome = run(stage, case, &key, &path)?;
    let met = stage.proxy.struck() > 0;
    let said =
        || format!("{:?}\n{}\n{}", outcome.status, String::from_utf8_lossy(&outcome.stdout), outcome.stderr);
    let allowed = [0, 1, 2, 4, 5, 64, 75, 124];
    ensure!(outcome.status.is_some_and(|s| allowed.contains(&s)), "status: {}", said());
    stage.check_told(&outcome)?;
    stage.check_secret(&outcome)?;
    if met {
        match case.expect {
            Expect::Success => ensure!(outcome.status == Some(0), "it could have been done: {}", said()),
            Expect::Failure => ensure!(outcome.status != Some(0), "success: {}", said()),
            Expect::Truth => {}
        }
    }
    stage.server.settle()?;
    check(stage, case, &key, &name, &content, &outcome).with_context(said)?;

    stage.proxy.rules(Vec::new());
    let again = run(stage, case, &key, &path)?;
    let said =
        || format!("after {}\nagain: {}\n{}", said(), String::from_utf8_lossy(&again.stdout), again.stderr);
    ensure!(again.status == Some(0), "the second run: {:?} {}", again.status, said());
    check(stage, case, &key, &name, &content, &again).with_context(said)?;
    stage.check_no_uploads().with_context(said)?;
    std::fs::remove_file(&path)?;
    std::fs::remove_file(stage.got(&name)).or_else(|e| if case.put { Ok(()) } else { Err(e) })?;
    let left = stage.downloads()?;
    ensure!(left.is_empty(), "left in the download directory: {left:?} {}", said());
    stage.server.remove(&key)?;
    Ok(met)
}

fn check(stage: &Stage, case: &Case, key: &str, name: &str, content: &[u8], outcome: &Outcome) -> Result<()> {
    let sum = sha256(content);
    if case.put {
        let there = stage.check_object_or_none(key, content)?;
        ensure!(there || outcome.status != Some(0), "success without an object");
        for object in outcome.of("object").iter().filter(|r| r.text("status") != Some("failed")) {
            ensure!(there, "a receipt without an object: {}", object.line);
            ensure!(object.text("sha256") == Some(&sum), "a receipt for other content: {}", object.line);
        }
        return Ok(());
    }
    stage.check_object(key, content)?;
    let path = stage.got(name);
    ensure!(path.exists() || outcome.status != Some(0), "success without a file");
    if path.exists() {
        ensure!(std::fs::read(&path)? == content, "the file is not what was stored");
    }
    for file in outcome.of("file") {
        ensure!(path.exists() && file.text("sha256") == Some(&sum), "a receipt for nothing: {}", file.line);
    }
    Ok(())
}

#[test]
fn every_operation_with_every_fault() -> Result<()> {
    let only = std::env::var("S3_CASE").unwrap_or_default();
    let all: Vec<Case> = cases().into_iter().filter(|c| c.name.contains(&only)).collect();
    let (next, met) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let failures = Mutex::new(Vec::new());
    let worker = || -> Result<()> {
        let stage = Stage::new()?;
        while let Some((n, case)) = all.get(next.load(Ordering::SeqCst)).and_then(|_| {
            let n = next.fetch_add(1, Ordering::SeqCst);
            all.get(n).map(|case| (n, case))
        }) {
            // A failed case must not spoil the next.
            let fresh;
            let stage = if failures.lock().unwrap().is_empty() {
                &stage
            } else {
                fresh = Stage::new()?;
                &fresh
            };
            match one(stage, case, n) {
                Ok(struck) => drop(met.fetch_add(usize::from(struck), Ordering::SeqCst)),
                Err(error) => failures.lock().unwrap().push(format!("== {}\n{error:#}", case.name)),
            }
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..4).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().try_for_each(|w| w.join().unwrap())
    })?;
    let failures = failures.into_inner().unwrap();
    let met = met.into_inner();
    ensure!(failures.is_empty(), "{} of {} cases:\n{}", failures.len(), all.len(), failures.join("\n"));
    eprintln!("{met} of {} combinations met their fault", all.len());
    ensure!(met >= 300 || !only.is_empty(), "only {met} of {} combinations met their fault", all.len());
    Ok(())
}
