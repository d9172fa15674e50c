//! `plan`: records in, the records of the pieces out.

use std::os::fd::AsFd;

use anyhow::Context;
use common::app::{Frame, Report};
use common::exit::{Exit, Failure};
use common::record::{Gap, Line, Log, Planned, RecoveryWindow, ThreadWindow, Where};

use crate::cli::{Cli, UntilArgs};

use super::catalogue::{Scn, Target};
use super::intake::{self, Intake, Place};
use super::plan::{Impossible, Plan, Point, Solver};
use super::reason::Reason;
use super::records::Without;
use super::times;

/// Plans a restore from the records on standard input.
pub fn run(cli: &Cli, frame: &Frame) -> anyhow::Result<Report> {
    let target = target(&cli.until)?;
    let mode = |a: &String| a.eq_ignore_ascii_case("full") || a.eq_ignore_ascii_case("incremental");
    if let Some(other) = cli.args.iter().find(|a| *a != "-" && !mode(a)) {
        return Err(Failure::new(
            Exit::Usage,
            format!("plan reads records from standard input, not {other}"),
        )
        .hint(format!("rman-run plan < {other}"))
        .into());
    }
    let stdin = std::io::stdin().as_fd().try_clone_to_owned().context("take standard input")?;
    let mut intake =
        intake::read(stdin.into(), Place::Anywhere, &Without::new(&cli.restore.without), cli.restore.dbid)?;
    // As `restore FULL` will do, or what it needs would not be fetched.
    if cli.args.iter().any(|a| a.eq_ignore_ascii_case("full")) {
        intake.catalogue.datafiles.retain(|d| d.is_base());
    }
    let mut report = Report::new(Exit::Success);
    notes(frame, &intake, &mut report)?;
    let mut solver = Solver::new(&intake.catalogue);
    match solver.plan(target) {
        Ok(plan) => {
            show(frame, &intake, &plan, &mut report)?;
            Ok(report)
        }
        Err(impossible) => {
            refuse(frame, &impossible)?;
            report.exit = report.exit.map(|e| e.worse(Exit::Finding));
            report.message = Some(sentence(&impossible));
            Ok(report)
        }
    }
}

/// The target that was asked for.
pub fn target(until: &UntilArgs) -> anyhow::Result<Target> {
    let usage = |message: String, hint: &str| Failure::new(Exit::Usage, message).hint(hint);
    if let Some(scn) = until.until_scn {
        return Ok(Target::Scn(scn));
    }
    if let Some(text) = &until.until_time {
        let time = times::seconds(text).ok_or_else(|| {
            usage(
                format!("--until-time {text}: not a time"),
                "write it as \"YYYY-MM-DD HH:MM:SS\", the database's clock",
            )
        })?;
        return Ok(Target::Time(time));
    }
    if let Some(text) = &until.until_sequence {
        let (sequence, thread) = text.split_once(':').unwrap_or((text, "1"));
        let found = sequence.trim().parse().ok().zip(thread.trim().parse().ok());
        let (sequence, thread) = found.ok_or_else(|| {
            usage(format!("--until-sequence {text}: not a sequence"), "write 4711, or 4711:2 for thread 2")
        })?;
        return Ok(Target::Sequence { thread, sequence });
    }
    Ok(Target::Latest)
}

/// What is said of the input itself.
pub fn notes(frame: &Frame, intake: &Intake, report: &mut Report) -> anyhow::Result<()> {
    let mut worst = intake.worst;
    if intake.bad_lines > 0 {
        report.count("bad_lines", intake.bad_lines);
        let first = intake.first_bad.clone().unwrap_or_default();
        frame
            .out
            .emit(&Log::error(format!("{} lines of the input are no records; {first}", intake.bad_lines)))?;
        worst = worst.worse(Exit::Partial);
    }
    for died in &intake.died {
        let message = format!("{died} began and did not end: the list of pieces may not be whole");
        frame.out.emit(&Log::error(message))?;
        worst = worst.worse(Exit::Failed);
    }
    if intake.strange_logs > 0 {
        let message =
            format!("{} archived logs are of an incarnation that no backup tells of", intake.strange_logs);
        frame.out.emit(&Log::warning(message))?;
    }
    if intake.blank_pieces > 0 {
        let message =
            format!("{} files do not tell what they hold and cannot be planned with", intake.blank_pieces);
        frame.out.emit(&Log::warning(message))?;
    }
    report.exit = report.exit.map(|e| e.worse(worst));
    Ok(())
}

/// Writes the plan: for each set a `planned` record and the records of its pieces, byte for byte, in the order of use.
fn show(frame: &Frame, intake: &Intake, plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    let catalogue = &intake.catalogue;
    let mut lines = 0;
    for &set in &plan.sets {
        let of_set = &catalogue.sets[set as usize];
        let planned = Planned {
            action: if of_set.on_disk { "use" } else { "fetch" }.to_owned(),
            reason: purpose(intake, plan, set),
            bytes: Some(of_set.bytes),
            ..Planned::default()
        };
        frame.out.emit(&planned)?;
        for copy in intake.pieces(set) {
            for line in std::iter::once(copy.file).chain(copy.copy) {
                lines += 1;
                frame.out.forward(&Line::new(intake.line(line)?, lines))?;
            }
        }
    }
    if plan.start < plan.aim.end {
        frame.out.emit(&window(plan))?;
    }
    left_out(frame, plan, report)?;
    if plan.spfile.is_none() {
        frame.out.emit(&Log::info("there is no server parameter file in any backup"))?;
    }
    if !plan.proved {
        frame.out.emit(&Log::info(
            "a smaller set of pieces may exist: the search was ended after its share of work",
        ))?;
    }
    report.count("pieces", u64::from(plan.pieces));
    report.count("sets", plan.sets.len() as u64);
    report.count("logs", plan.logs.len() as u64);
    report.count("bytes", plan.bytes);
    let mut message =
        format!("{} pieces ({} bytes) restore to {}", plan.pieces, plan.bytes, point(&plan.reached));
    if let Some(lost) = &plan.lost {
        gaps(frame, &lost.reason)?;
        message = format!("{message}, not to {}: {}", point(&lost.known), lost.reason);
        frame.out.emit(&Log::warning(message.clone()))?;
        report.exit = report.exit.map(|e| e.worse(Exit::Partial));
    }
    report.message = Some(message);
    Ok(())
}

/// A plan without some file of the database is no whole success.
pub fn left_out(frame: &Frame, plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    for (file, _) in &plan.left_out {
        let message =
            format!("datafile {file} was offline and has no backup that can be used: it stays behind");
        frame.out.emit(&Log::warning(message))?;
        report.exit = report.exit.map(|e| e.worse(Exit::Partial));
    }
    Ok(())
}

/// What a set is fetched for.
fn purpose(intake: &Intake, plan: &Plan, set: u32) -> String {
    let catalogue = &intake.catalogue;
    let mut parts = Vec::new();
    if catalogue.controlfiles[plan.controlfile].set == set {
        parts.push(format!("control file of SCN {}", catalogue.controlfiles[plan.controlfile].checkpoint));
    }
    if plan.spfile.is_some_and(|s| catalogue.spfiles[s].set == set) {
        parts.push("server parameter file".to_owned());
    }
    let mut files: Vec<(Option<u8>, Scn, u32)> = Vec::new();
    for item in plan.chains.iter().flat_map(|c| &c.items).map(|i| &catalogue.datafiles[*i as usize]) {
        if item.set == set {
            files.push((item.level, item.checkpoint, item.file));
        }
    }
    if let Some((level, scn, _)) = files.first() {
        let numbers: Vec<String> = files.iter().map(|(_, _, f)| f.to_string()).collect();
        let level = level.map_or("full backup".to_owned(), |l| format!("level {l}"));
        parts.push(format!("{level} of datafile {} at SCN {scn}", numbers.join(", ")));
    }
    let mut logs: Vec<(u32, u64)> = Vec::new();
    for log in plan.logs.iter().filter(|l| catalogue.logs[l.item as usize].set == set) {
        logs.push((log.thread, log.sequence));
    }
    logs.sort_unstable();
    let logs: Vec<String> = logs.iter().map(|(t, s)| format!("thread {t} sequence {s}")).collect();
    if !logs.is_empty() {
        parts.push(format!("log {}", logs.join(", ")));
    }
    parts.join("; ")
}

/// The redo of the plan.
pub fn window(plan: &Plan) -> RecoveryWindow {
    let mut threads: Vec<ThreadWindow> = Vec::new();
    for log in &plan.logs {
        let thread = u64::from(log.thread);
        match threads.iter_mut().find(|t| t.thread == thread) {
            // After RESETLOGS the sequences begin anew: in the order of the SCNs the last is the last.
            Some(window) => window.last_sequence = log.sequence,
            None => threads.push(ThreadWindow {
                thread,
                first_sequence: log.sequence,
                last_sequence: log.sequence,
            }),
        }
    }
    threads.sort_by_key(|t| t.thread);
    RecoveryWindow {
        begin_scn: plan.start,
        end_scn: plan.aim.end,
        resetlogs_id: plan.resetlogs_id.unwrap_or(0),
        threads,
    }
}

/// Says why there is no plan.
pub fn refuse(frame: &Frame, impossible: &Impossible) -> anyhow::Result<()> {
    gaps(frame, &impossible.reason)?;
    frame.out.emit(&Log::error(sentence(impossible)))?;
    common::app::report_error(frame.tool, &finding(impossible).into());
    Ok(())
}

/// The failure that a target which cannot be reached is.
pub fn finding(impossible: &Impossible) -> Failure {
    let failure = Failure::new(Exit::Finding, format!("the target cannot be reached: {}", impossible.reason));
    match &impossible.latest {
        Some(latest) => failure.hint(format!("{} can be reached: --until-scn {}", point(latest), latest.scn)),
        None => failure.hint("nothing can be reached with these pieces; look for more of them"),
    }
}

fn sentence(impossible: &Impossible) -> String {
    let latest = match &impossible.latest {
        Some(latest) => format!("{} can be reached", point(latest)),
        None => "nothing can be reached".to_owned(),
    };
    format!("the target cannot be reached: {}; {latest}", impossible.reason)
}

fn gaps(frame: &Frame, reason: &Reason) -> anyhow::Result<()> {
    let Reason::Log { thread, resetlogs_id, from: Some(from), to, .. } = reason else { return Ok(()) };
    frame.out.emit(&Gap {
        thread: u64::from(*thread),
        resetlogs_id: resetlogs_id.unwrap_or(0),
        from: *from,
        to: to.unwrap_or(*from),
        r#where: Where::Source,
        reason: reason.to_string(),
        hint: "find the archived log and give its record to plan as well".to_owned(),
    })
}

/// "SCN 4711 (2026-10-04 15:00:00)".
pub fn point(point: &Point) -> String {
    match point.time {
        Some(time) => format!("SCN {} ({})", point.scn, times::text(time)),
        None => format!("SCN {}", point.scn),
    }
}
