//! `status`: the last good backups, the range that can be recovered, and the holes in it.

use std::collections::HashSet;
use std::time::Duration;

use chrono::NaiveDateTime;
use common::app::{Frame, Report};
use common::exit::{Exit, Failure};
use common::record::{Input, Log, Object, ObjectStatus};

use crate::cli::Cli;
use crate::facts;
use crate::protection::{self, Assessment};
use crate::solver::producers::Producers;
use crate::target::Target;

/// # Errors
/// The database cannot be reached. That something is overdue or lost is status 5.
pub fn run(cli: &Cli, frame: &Frame) -> anyhow::Result<Report> {
    let stored = stored(cli, frame)?;
    let target = Target::new(cli, frame, true)?;
    let facts = facts::gather(&target.sqlplus)?;
    let repository = protection::gather(&target.sqlplus, &facts, &stored.names)?;
    let found = protection::assess(&facts, &repository);
    let mut report = Report::new(Exit::Success);
    report.count("gaps", found.gaps.len() as u64);
    report.count("pieces", repository.pieces.len() as u64);
    let missing: Vec<&str> =
        repository.pieces.iter().filter(|p| !p.there).map(|p| p.handle.as_str()).collect();
    report.count("missing_pieces", missing.len() as u64);
    // Without `-` nobody has said what lies in the bucket, and pieces leave this host every night.
    if let (Some(first), false) = (missing.first(), cli.args.is_empty()) {
        target.say(Log::warning(format!(
            "neither on this host nor in the manifests: {} of {} pieces, the first is {first}",
            missing.len(),
            repository.pieces.len()
        )))?;
    }
    for gap in &found.gaps {
        frame.out.emit(gap)?;
    }
    for note in &found.notes {
        target.say(Log::info(note))?;
    }
    let mut late = Vec::new();
    for (what, when, limit) in ages(&found, cli) {
        let (line, overdue) = age(what, when, facts.database.now, limit);
        if overdue {
            late.push(line);
        } else {
            target.say(Log::info(line))?;
        }
    }
    if let Some(window) = &found.window {
        frame.out.emit(window)?;
    }
    let problems: Vec<&String> = found.problems.iter().chain(&late).collect();
    for problem in &problems {
        target.say(Log::error(problem.as_str()))?;
    }
    let finding = !problems.is_empty() || !found.gaps.is_empty();
    report.exit = Some(stored.exit.worse(if finding { Exit::Finding } else { Exit::Success }));
    Ok(report)
}

fn ages(found: &Assessment, cli: &Cli) -> [(&'static str, Option<NaiveDateTime>, Duration); 3] {
    let options = &cli.backup;
    [
        ("level 0 of all datafiles", found.level_0, options.level0_every),
        ("backup of all datafiles", found.any_level, options.backup_every),
        ("backup of archived logs", found.archived_logs, options.backup_every),
    ]
}

fn age(
    what: &str,
    when: Option<NaiveDateTime>,
    now: Option<NaiveDateTime>,
    limit: Duration,
) -> (String, bool) {
    let (Some(when), Some(now)) = (when, now) else {
        return (format!("there is no usable {what}"), true);
    };
    let age = now.signed_duration_since(when).to_std().unwrap_or_default();
    let overdue = age > limit;
    let shown = humantime::format_duration(Duration::from_secs(age.as_secs()));
    let late = if overdue {
        format!(", overdue after {}", humantime::format_duration(limit))
    } else {
        String::new()
    };
    (format!("last {what}: {when}, {shown} ago{late}"), overdue)
}

/// Pieces that are said to lie elsewhere.
struct Stored {
    names: HashSet<String>,
    exit: Exit,
}

/// With `-` the records of stored pieces come on standard input (`s3-get --manifests`), and go on.
fn stored(cli: &Cli, frame: &Frame) -> anyhow::Result<Stored> {
    match cli.args.as_slice() {
        [] => return Ok(Stored { names: HashSet::new(), exit: Exit::Success }),
        [one] if one == "-" => {}
        _ => {
            return Err(Failure::new(Exit::Usage, "status takes no argument but \"-\"")
                .hint("s3-get --manifests | rman-run status - counts what lies in the bucket")
                .into())
        }
    }
    let mut input = Input::new(std::io::stdin().lock(), Some(frame.out.clone()));
    let (mut names, mut producers) = (HashSet::new(), Producers::default());
    let mut exit = Exit::Success;
    let mut told = false;
    while let Some(line) = input.next_line()? {
        let object = match line.kind() {
            // A `file` record is about a disk, and the disk is looked at anyway.
            Ok(Some(kind)) if kind == "object" => line.as_payload::<Object>().ok(),
            Ok(_) => {
                producers.line(line.raw());
                continue;
            }
            Err(error) => {
                frame.out.emit(&Log::warning(format!("{error:#}")))?;
                exit = exit.worse(Exit::Partial);
                continue;
            }
        };
        let Some(object) = object else { continue };
        told = true;
        let path = object.path.unwrap_or(object.key);
        let name = path.rsplit('/').next().unwrap_or_default();
        // The last word counts, as in the planner.
        match object.status {
            Some(ObjectStatus::Failed) => names.remove(name),
            _ => names.insert(name.to_owned()),
        };
    }
    for died in producers.died() {
        let message = format!("{died} began and did not end: the list of stored pieces may not be whole");
        frame.out.emit(&Log::error(message))?;
        exit = exit.worse(Exit::Failed);
    }
    exit = exit.worse(producers.worst());
    if !told {
        let message = "no manifest on standard input: nothing in the bucket is proven";
        let hint = "is the bucket empty, or --prefix or --since of s3-get --manifests wrong?";
        frame.out.emit(&Log::error(message))?;
        common::app::report_error(frame.tool, &Failure::new(Exit::Finding, message).hint(hint).into());
        // A producer that failed has said why nothing came; "try again" stays that.
        if exit == Exit::Success {
            exit = Exit::Finding;
        }
    }
    Ok(Stored { names, exit })
}
