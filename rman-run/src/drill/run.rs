//! The drill from its first look to its evidence.

use std::time::{Duration, Instant};

use anyhow::Context;
use chrono::{DateTime, SecondsFormat, Utc};
use common::app::{host, Frame, Report};
use common::exit::{status_of, Exit, Failure};
use common::lock::Lock;
use common::oracle::sql_error::SqlErrorKind;
use common::record::{Drill, DrillQuery, DrillStatus, Log, Planned, QueryVerdict, Recovery};
use common::signals::{self, Stop};

use super::evidence::{self, Evidence};
use super::journal::Journal;
use super::keeper::Keeper;
use super::plan::{may_begin, recovery, Situation, Surroundings};
use super::prove::{prove, Proof};
use super::queries::{self, Query};
use super::standby::Standby;
use crate::cli::Cli;
use crate::target::Target;

/// How long the keeper waits for the lock of the drill that it has seen die.
const DYING: Duration = Duration::from_secs(60);

/// # Errors
/// Refused, not reachable, or the standby could not be put back; what the drill found is in the report.
pub fn run(cli: &Cli, frame: &Frame) -> anyhow::Result<Report> {
    let args = &cli.drill;
    let quiet = cli.common.dry_run || args.verify_evidence;
    let target = Target::new(cli, frame, quiet)?;
    if args.verify_evidence {
        return verify(&target);
    }
    let asked = match &args.queries {
        Some(path) if !args.recover => {
            let text = std::fs::read_to_string(path)
                .map_err(|e| Failure::new(Exit::Usage, format!("read {}: {e}", path.display())))?;
            queries::parse(&text).with_context(|| path.display().to_string())?
        }
        _ => Vec::new(),
    };
    if cli.common.dry_run {
        return dry_run(&target, &asked);
    }
    let lock = lock(&target)?;
    let standby = Standby { target: &target, args, lock: Some(&lock) };
    let left = Journal::load(&target.state_dir, &target.sid)?;
    let mut report = Report::new(Exit::Success);
    if let Some(journal) = left {
        same_place(&target, &journal)?;
        target.say(Log::warning(format!(
            "the drill of {} was not ended (run {}): putting the standby back",
            journal.started, journal.run
        )))?;
        let by = if args.as_keeper { "keeper" } else { "recover" };
        let why = "the drill was killed, or its host went down";
        let interrupted = Ended { exit: Exit::Failed, reason: Some(why.to_owned()), by: Some(by) };
        // What that drill found is told by its evidence; this run is about the standby.
        let exit = match finish(&standby, journal, interrupted, &mut report)? {
            found @ (DrillStatus::Success | DrillStatus::Partial) => status(found),
            DrillStatus::Failed if report.exit == Some(Exit::Finding) => Exit::Finding,
            DrillStatus::Failed => Exit::Success,
        };
        report.exit = Some(exit);
    }
    if args.recover {
        return Ok(report);
    }
    drill(&standby, &asked, &mut report)?;
    Ok(report)
}

fn status(drill: DrillStatus) -> Exit {
    match drill {
        DrillStatus::Success => Exit::Success,
        DrillStatus::Partial => Exit::Partial,
        DrillStatus::Failed => Exit::Failed,
    }
}

/// One drill or recovery at a time.
fn lock(target: &Target<'_>) -> anyhow::Result<Lock> {
    let name = format!("drill.{}", target.sid);
    let common = &target.cli.common;
    let take =
        || Lock::take(&target.state_dir, &name, target.frame.tool, &target.frame.run, common.lock_timeout);
    let end = Instant::now() + DYING;
    loop {
        match take() {
            Err(error)
                if target.cli.drill.as_keeper
                    && status_of(&error) == Exit::TryAgain
                    && Instant::now() < end =>
            {
                std::thread::sleep(Duration::from_millis(200));
            }
            taken => return taken,
        }
    }
}

fn same_place(target: &Target<'_>, journal: &Journal) -> Result<(), Failure> {
    let home = &target.rman.home.home;
    if journal.host == host() {
        let (Some(then), Some(now)) = (&journal.home, home) else { return Ok(()) };
        if then == now {
            return Ok(());
        }
        return Err(Failure::new(
            Exit::Refused,
            format!(
                "the drill that was not ended used ORACLE_HOME {}, and this is {}",
                then.display(),
                now.display()
            ),
        )
        .hint("with another ORACLE_HOME the instance looks as if it were down; set it as it was"));
    }
    Err(Failure::new(
        Exit::Refused,
        format!("a drill on host {} was not ended, and this is {}", journal.host, host()),
    )
    .hint("run rman-run drill --recover there; a state directory belongs to one host"))
}

fn dry_run(target: &Target<'_>, asked: &[Query]) -> anyhow::Result<Report> {
    let standby = Standby { target, args: &target.cli.drill, lock: None };
    let plan = |action: &str, reason: &str, script: Option<&str>| {
        target.frame.out.emit(&Planned {
            action: action.to_owned(),
            reason: reason.to_owned(),
            script: script.map(str::to_owned),
            ..Planned::default()
        })
    };
    if let Some(journal) = Journal::load(&target.state_dir, &target.sid)? {
        same_place(target, &journal)?;
        plan("put_back", "an earlier drill was not ended", None)?;
        if target.cli.drill.recover {
            return Ok(Report::new(Exit::Success));
        }
    } else if !target.cli.drill.recover {
        let now = standby.look(false)?;
        may_begin(&now)?;
        if recovery(&now, &standby.survey(&now)?, target.cli.drill.manual)? == Recovery::Managed {
            let sql = "ALTER DATABASE RECOVER MANAGED STANDBY DATABASE CANCEL";
            plan("cancel_recovery", "managed recovery runs", Some(sql))?;
        }
    }
    if !target.cli.drill.recover {
        plan("open", "read only", Some("ALTER DATABASE OPEN READ ONLY"))?;
        for query in asked {
            plan("ask", &query.name, Some(&query.sql))?;
        }
        plan("put_back", "shut down, mount, recover as before", None)?;
    }
    Ok(Report::new(Exit::Success))
}

/// How the middle of a drill ended.
struct Ended {
    exit: Exit,
    reason: Option<String>,
    /// Who puts the standby back, when it is not the drill itself.
    by: Option<&'static str>,
}

fn drill(standby: &Standby<'_>, asked: &[Query], report: &mut Report) -> anyhow::Result<()> {
    let target = standby.target;
    let now = standby.look(false)?;
    may_begin(&now)?;
    let around = standby.survey(&now)?;
    let recovery = recovery(&now, &around, standby.args.manual)?;
    if around.protection == "MAXIMUM AVAILABILITY" {
        let what = "the primary runs in maximum availability: its commits wait for this standby to go, once";
        target.say(Log::warning(what))?;
    }
    let started = Utc::now();
    let mut journal = Journal {
        v: 1,
        run: target.frame.run.clone(),
        host: host(),
        user: user(),
        sid: target.sid.clone(),
        db: now.name.clone(),
        dbid: now.dbid,
        started: started.to_rfc3339_opts(SecondsFormat::Millis, true),
        recovery,
        real_time: now.real_time,
        before: now.applied,
        home: target.rman.home.home.clone(),
        pfile: standby.args.pfile.clone(),
        logs: standby.args.logs.clone(),
        ..Journal::default()
    };
    let keeper =
        Keeper::start(&target.frame.run, &target.log_dir.join(format!("drill.{}.keeper.log", target.sid)))?;
    journal.save(&target.state_dir)?;
    let ended = match open_and_ask(standby, &mut journal, &now, &around, asked) {
        Ok((exit, found)) => {
            let reasons: Vec<String> = found.into_iter().chain(reason(&journal.queries)).collect();
            Ended { exit, reason: (!reasons.is_empty()).then(|| reasons.join("; ")), by: None }
        }
        Err(error) => {
            common::app::report_error(target.frame.tool, &error);
            Ended { exit: exit_of(&error), reason: Some(format!("{error:#}")), by: None }
        }
    };
    let exit = ended.exit;
    let found = finish(standby, journal, ended, report)?;
    // Only now: when it could not be put back, the keeper goes on trying.
    keeper.farewell();
    let found = match (exit, found) {
        // The drill did what it had to; somebody, or something, has ended recovery since.
        (Exit::Success, DrillStatus::Failed) if report.exit == Some(Exit::Finding) => Exit::Finding,
        (Exit::Success, found) => status(found),
        (exit, _) => exit,
    };
    report.exit = Some(report.exit.unwrap_or(Exit::Success).worse(found));
    Ok(())
}

/// A standby that cannot be opened because its copy is not consistent is a finding, and the reason for having drills.
fn exit_of(error: &anyhow::Error) -> Exit {
    let text = format!("{error:#}");
    let needs_redo =
        ["ORA-10458", "ORA-01194", "ORA-01152", "ORA-01195", "ORA-01113", "ORA-16004", "ORA-01157"];
    match status_of(error) {
        Exit::Failed if needs_redo.iter().any(|code| text.contains(code)) => Exit::Finding,
        // 75 promises that nothing was changed.
        Exit::TryAgain => Exit::Failed,
        exit => exit,
    }
}

fn open_and_ask(
    standby: &Standby<'_>,
    journal: &mut Journal,
    now: &Situation,
    around: &Surroundings,
    asked: &[Query],
) -> anyhow::Result<(Exit, Vec<String>)> {
    let state_dir = &standby.target.state_dir;
    if now.managed {
        standby.target.log.info("drill: cancel managed recovery");
        standby.cancel()?;
    }
    standby.target.log.info("drill: open read only");
    let opened = standby.open(now.release, around.cdb)?;
    let since = Instant::now();
    journal.scn = Some(opened.scn);
    journal.before = journal.before.max(opened.scn);
    if now.managed {
        // Its checkpoints come late, so CURRENT_SCN is what is looked at.
        journal.before = journal.before.max(opened.current);
    }
    journal.time.clone_from(&opened.time);
    journal.pdbs.clone_from(&opened.pdbs);
    journal.opened = Some(Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true));
    journal.save(state_dir)?;
    standby.target.say(Log::info(format!(
        "{} is open read only at SCN {}{}",
        journal.db,
        opened.scn,
        opened.time.as_ref().map(|t| format!(" ({t})")).unwrap_or_default()
    )))?;
    let mut findings = Vec::new();
    if !opened.closed.is_empty() {
        findings.push(format!("pluggable databases that did not open: {}", opened.closed.join(", ")));
    }
    if opened.unreadable > 0 {
        findings.push(format!("{} datafiles cannot be read", opened.unreadable));
    }
    let mut exit = if findings.is_empty() { Exit::Success } else { Exit::Finding };
    let mut applying = None;
    for query in asked {
        let left = standby.args.open_limit.saturating_sub(since.elapsed());
        let found = match signals::pending() {
            _ if applying.is_some() => skipped(query, "recovery runs in the open database"),
            Some(_) => skipped(query, "the drill was asked to stop"),
            None if left.is_zero() => skipped(query, "the database has been open long enough"),
            None => ask(standby, query, left.min(standby.args.query_limit), &mut applying),
        };
        exit = exit.worse(match found.verdict {
            QueryVerdict::Passed => Exit::Success,
            QueryVerdict::Differs | QueryVerdict::Error => Exit::Finding,
            QueryVerdict::Late | QueryVerdict::Skipped => match signals::pending() {
                None => Exit::TimedOut,
                Some(Stop::Interrupt) => Exit::Interrupted,
                Some(Stop::Terminate) => Exit::Terminated,
            },
        });
        journal.queries.push(found);
        journal.save(state_dir)?;
    }
    if applying.is_none() {
        applying = Some(standby.mode()?).filter(|mode| mode != "READ ONLY");
    }
    if let Some(mode) = applying {
        exit = exit.worse(Exit::Finding);
        findings.push(format!(
            "it became {mode}: somebody has started recovery in the open database, which needs Active Data Guard"
        ));
    }
    Ok((exit, findings))
}

fn skipped(query: &Query, reason: &str) -> DrillQuery {
    DrillQuery {
        name: query.name.clone(),
        sql: query.sql.clone(),
        verdict: QueryVerdict::Skipped,
        expected: query.expected.clone(),
        reason: Some(reason.to_owned()),
        ..DrillQuery::default()
    }
}

fn ask(standby: &Standby<'_>, query: &Query, limit: Duration, applying: &mut Option<String>) -> DrillQuery {
    let since = Instant::now();
    let answer = standby.ask(query, limit).map(|answer| {
        *applying = Some(answer.mode).filter(|mode| mode != "READ ONLY");
        answer.value
    });
    let seconds = rounded(since.elapsed());
    let mut found = DrillQuery { seconds, reason: None, ..skipped(query, "") };
    match answer {
        Ok(Ok(result)) => {
            let equal = query.expected.as_ref().is_none_or(|e| e == result.as_deref().unwrap_or_default());
            found.verdict = if equal { QueryVerdict::Passed } else { QueryVerdict::Differs };
            found.result = result;
        }
        Ok(Err(error)) => {
            found.verdict = QueryVerdict::Error;
            found.reason = Some(format!("{error:#}"));
        }
        Err(error) => {
            found.verdict = match error.kind {
                SqlErrorKind::TimedOut => QueryVerdict::Late,
                SqlErrorKind::Interrupted => QueryVerdict::Skipped,
                _ => QueryVerdict::Error,
            };
            found.reason = Some(error.text);
        }
    }
    found
}

/// The first query that did not pass.
fn reason(queries: &[DrillQuery]) -> Option<String> {
    let bad = queries.iter().find(|q| q.verdict != QueryVerdict::Passed)?;
    let got = || bad.result.clone().unwrap_or_else(|| "nothing".to_owned());
    Some(match (bad.verdict, &bad.reason) {
        (QueryVerdict::Differs, _) => {
            format!(
                "query {}: {} instead of {}",
                bad.name,
                got(),
                bad.expected.as_deref().unwrap_or_default()
            )
        }
        (_, reason) => format!("query {}: {}", bad.name, reason.as_deref().unwrap_or("no answer")),
    })
}

/// Puts the standby back, sees recovery go on, writes the evidence, and forgets the obligation, in that order.
fn finish(
    standby: &Standby<'_>,
    journal: Journal,
    ended: Ended,
    report: &mut Report,
) -> anyhow::Result<DrillStatus> {
    let target = standby.target;
    // A session that is gone may have asked for something that the server still does.
    let doubtful = ended.by.is_some() || (ended.exit != Exit::Success && journal.opened.is_none());
    let back = standby.put_back(&journal).and_then(|now| match doubtful {
        true => standby.settle(&journal),
        false => Ok(now),
    });
    let closed = Utc::now();
    let proof = match &back {
        Ok(_) => prove(standby, &journal, journal.before).unwrap_or_else(|error| Proof {
            reason: Some(format!("it is back, and could not be asked whether recovery goes on: {error:#}")),
            exit: Some(Exit::Partial),
            reached: None,
        }),
        Err(error) => Proof { reason: Some(format!("{error:#}")), ..Proof::default() },
    };
    let whole = ended.exit == Exit::Success && journal.opened.is_some();
    let unasked = whole && journal.queries.is_empty();
    let drill = match (whole, proof.reached, proof.exit) {
        (true, Some(_), _) if unasked => DrillStatus::Partial,
        (true, Some(_), _) => DrillStatus::Success,
        (true, None, Some(Exit::Partial)) => DrillStatus::Partial,
        _ => DrillStatus::Failed,
    };
    let nothing = unasked.then(|| "no test query was asked: name a file with --queries".to_owned());
    let reasons: Vec<String> = ended.reason.into_iter().chain(nothing).chain(proof.reason).collect();
    let mut record = Drill {
        host: journal.host.clone(),
        user: journal.user.clone(),
        started: journal.started.clone(),
        status: drill,
        recovery: journal.recovery,
        resumed: proof.reached.is_some(),
        seconds: since(&journal.started, Utc::now()),
        queries: journal.queries.clone(),
        pdbs: (!journal.pdbs.is_empty()).then(|| journal.pdbs.clone()),
        db: Some(journal.db.clone()),
        sid: Some(journal.sid.clone()),
        dbid: Some(journal.dbid),
        scn: journal.scn,
        time: journal.time.clone(),
        open_seconds: journal.opened.as_ref().map(|opened| since(opened, closed)),
        resumed_scn: proof.reached,
        put_back_by: ended.by.map(str::to_owned),
        reason: (!reasons.is_empty()).then(|| reasons.join("; ")),
        ..Drill::default()
    };
    let (line, problems) =
        Evidence::of(&target.state_dir, &target.sid).append(&mut record, &target.frame.out)?;
    // Nobody may be listening any more; the standby and its evidence are none the worse for it.
    if back.is_ok() {
        journal.remove(&target.state_dir)?;
    }
    target.frame.out.emit_kept(&record, &line)?;
    let passed = record.queries.iter().filter(|q| q.verdict == QueryVerdict::Passed).count() as u64;
    report.count("queries", record.queries.len() as u64);
    report.count("passed", passed);
    for problem in &problems {
        target.say(Log::error(format!("the evidence of earlier drills: {problem}")))?;
        report.exit = Some(report.exit.unwrap_or(Exit::Success).worse(Exit::Finding));
    }
    if let Err(error) = back {
        let refused = status_of(&error) == Exit::Refused;
        let hint = common::exit::failure(&error).and_then(|f| f.hint.clone()).filter(|_| refused);
        return Err(error.context(Failure {
            exit: if refused { Exit::Refused } else { Exit::Failed },
            message: "the standby is not back in recovery".to_owned(),
            hint: hint.or_else(|| Some("the cause mended: rman-run drill --recover".to_owned())),
            code: None,
        }));
    }
    report.exit = Some(report.exit.unwrap_or(Exit::Success).worse(proof.exit.unwrap_or(Exit::Success)));
    Ok(drill)
}

fn verify(target: &Target<'_>) -> anyhow::Result<Report> {
    let evidence = Evidence::of(&target.state_dir, &target.sid);
    let (chain, head) = evidence.read()?;
    let problems = evidence::check(&chain, head.as_ref());
    for problem in &problems {
        target.say(Log::error(format!("{}: {problem}", evidence.path().display())))?;
    }
    let mut report = Report::new(if problems.is_empty() { Exit::Success } else { Exit::Finding });
    report.count("drills", chain.lines.len() as u64);
    if problems.is_empty() {
        let what = format!("{} drills, every line follows from the one before it", chain.lines.len());
        target.say(Log::info(format!("{}: {what}", evidence.path().display())))?;
    }
    Ok(report)
}

fn since(begin: &str, end: DateTime<Utc>) -> f64 {
    let begin = DateTime::parse_from_rfc3339(begin).map(|t| t.with_timezone(&Utc)).unwrap_or(end);
    rounded(end.signed_duration_since(begin).to_std().unwrap_or_default())
}

fn rounded(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1000.0).round() / 1000.0
}

/// Whoever logged in where sudo was used, else the user.
fn user() -> String {
    let named = |name: &str| std::env::var(name).ok().filter(|v| !v.is_empty());
    let uid = || rustix::process::getuid().as_raw().to_string();
    let user = named("LOGNAME").or_else(|| named("USER")).unwrap_or_else(uid);
    match named("SUDO_USER") {
        Some(caller) if caller != user => format!("{user} ({caller})"),
        _ => user,
    }
}
