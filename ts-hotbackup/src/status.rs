//! Looks without touching: `--status` and `--dry-run`.

use std::collections::BTreeMap;

use common::app::{host, Report};
use common::exit::{status_of, Exit};
use common::guardian::{judge, read_all, Entry, FileState, Journal};
use common::record::{CopyStatus, Log, Planned, Tablespace};

use crate::cycle::Copied;
use crate::facts::{gather, Facts, Key};
use crate::plan::{plan, How, Plan};
use crate::preflight;
use crate::run::{choose_cycle, skip_record};
use crate::setup::Setup;

/// What of this cycle is done, and what is in backup mode. Status 5 when something is.
pub fn status(setup: &Setup) -> anyhow::Result<Report> {
    let mut report = Report::new(Exit::Success);
    let (open, held) = in_backup_mode(setup)?;
    let now = match gather(&setup.sqlplus) {
        Ok(facts) => {
            cycle(setup, &facts, &mut report)?;
            facts.database.now
        }
        // Mounted only, as after a crash in backup mode (ORA-10873): what is open counts then.
        Err(error) if status_of(&error) == Exit::Refused => {
            setup.say(Log::warning(format!("{error:#}")))?;
            "unknown".to_owned()
        }
        Err(error) => return Err(error),
    };
    report.count("in_backup_mode", open.len() as u64);
    for state in &open {
        setup.say(Log::warning(describe(state, held.owner(state.file, state.change), &now)))?;
    }
    if !open.is_empty() && !is_running(setup) {
        report.exit = Some(Exit::Finding);
        report.message =
            Some(format!("{} datafiles are in backup mode and no run of ours is at work", open.len()));
    }
    Ok(report)
}

/// What of the cycle is done and what is to do.
fn cycle(setup: &Setup, facts: &Facts, report: &mut Report) -> anyhow::Result<()> {
    let (marks, plan) = progress(setup, facts)?;
    for mark in marks.values() {
        setup.frame.out.emit(&mark_record(mark))?;
        report.count("done", 1);
    }
    for skip in &plan.skipped {
        setup.frame.out.emit(&skip_record(skip))?;
        report.count("skipped", 1);
    }
    for step in &plan.steps {
        setup.frame.out.emit(&Planned {
            action: "copy".to_owned(),
            reason: step.reason.clone(),
            tablespace: Some(step.key.to_string()),
            bytes: Some(step.bytes()),
            ..Planned::default()
        })?;
        report.count("to_do", 1);
    }
    Ok(())
}

/// Whether a run holds the lock; its backup mode is in order.
fn is_running(setup: &Setup) -> bool {
    use std::os::fd::AsFd;
    let path = setup.state_dir.join(format!("hot_backup.{}.lock", setup.sid));
    let Ok(file) = std::fs::File::open(path) else { return false };
    let wanted = rustix::fs::FlockOperation::NonBlockingLockShared;
    rustix::fs::flock(file.as_fd(), wanted).is_err()
}

fn in_backup_mode(setup: &Setup) -> anyhow::Result<(Vec<FileState>, Journal)> {
    let journal = Journal::peek(&setup.state_dir, &setup.sid);
    match read_all(&setup.sqlplus) {
        Ok((_, active)) => Ok((active, journal)),
        Err(error) => {
            for e in &journal.entries {
                let text = format!(
                    "{} was put in backup mode at {} by {} run {} (pid {} on {}) and its end is not known",
                    e.scope, e.asked, e.tool, e.run, e.pid, e.host
                );
                setup.say(Log::warning(text))?;
            }
            Err(error)
        }
    }
}

fn describe(state: &FileState, owner: Option<&Entry>, now: &str) -> String {
    let since = state.since.as_deref().unwrap_or("?");
    let whose = match owner {
        Some(e) => format!("begun by {} run {} (pid {} on {})", e.tool, e.run, e.pid, e.host),
        None => "not begun by us".to_owned(),
    };
    format!("datafile {} {} is in backup mode since {since} (now {now}), {whose}", state.file, state.path)
}

/// The marks that count and what is still to do, without writing anything.
fn progress(setup: &Setup, facts: &Facts) -> anyhow::Result<(BTreeMap<Key, Copied>, Plan)> {
    let store = setup.store();
    let (cycle, fresh) = if setup.cli.status {
        match store.peek().filter(|c| c.dbid == facts.database.dbid) {
            // A closed cycle is shown as it ended.
            Some(cycle) => (cycle, false),
            None => choose_cycle(setup, &store, facts)?,
        }
    } else {
        choose_cycle(setup, &store, facts)?
    };
    let marks = if fresh { BTreeMap::new() } else { store.marks(&cycle)? };
    let plan = plan(facts, &setup.policy, &marks)?;
    if setup.cli.status {
        let state = match (&cycle.closed, fresh) {
            (_, true) => "no cycle has begun".to_owned(),
            (Some(closed), _) => format!("cycle {} of {} was finished at {closed}", cycle.id, cycle.begun),
            (None, _) => format!(
                "cycle {} of {}: {} tablespaces done, {} to do",
                cycle.id,
                cycle.begun,
                marks.len(),
                plan.steps.len()
            ),
        };
        setup.say(Log::info(state))?;
    }
    Ok((marks, plan))
}

fn mark_record(mark: &Copied) -> Tablespace {
    Tablespace {
        name: mark.tablespace.clone(),
        container: mark.container.clone(),
        status: CopyStatus::Copied,
        begin_scn: mark.files.iter().map(|f| f.checkpoint_scn).min(),
        end_scn: (mark.end_scn > 0).then_some(mark.end_scn),
        files: Some(mark.files.len() as u64),
        bytes: Some(mark.files.iter().map(|f| f.bytes).sum()),
        ..Tablespace::default()
    }
}

/// `--dry-run`: what a run would do, as `planned` records.
pub fn dry_run(setup: &Setup) -> anyhow::Result<Report> {
    let mut report = Report::new(Exit::Success);
    let mut planned =
        |action: &str, reason: String, tablespace: Option<String>, more: Option<(&str, &str, u64)>| {
            report.count("planned", 1);
            setup.frame.out.emit(&Planned {
                action: action.to_owned(),
                reason,
                tablespace,
                path: more.map(|(path, _, _)| path.to_owned()),
                dest: more.map(|(_, dest, _)| dest.to_owned()),
                bytes: more.map(|(_, _, bytes)| bytes),
                ..Planned::default()
            })
        };
    let (identity, active) = read_all(&setup.sqlplus)?;
    let journal = Journal::peek(&setup.state_dir, &setup.sid);
    let verdict = judge(&journal, &identity, &active, &host());
    for state in active.iter().filter(|s| !verdict.foreign.contains(s)) {
        let reason = describe(state, journal.owner(state.file, state.change), "unknown");
        planned("end_backup", reason, None, Some((&state.path, "", 0)))?;
    }
    if setup.cli.end_backup {
        if !verdict.foreign.is_empty() {
            return Err(crate::run::foreign(&verdict.foreign).into());
        }
        return Ok(report);
    }
    let mut facts = gather(&setup.sqlplus)?;
    // A run would end these first.
    for file in facts.tablespaces.iter_mut().flat_map(|t| &mut t.files) {
        file.in_backup &= verdict.foreign.iter().any(|f| f.file == file.file);
    }
    let warnings = preflight::database(&facts)?;
    let (_, plan) = progress(setup, &facts)?;
    for skip in &plan.skipped {
        planned("skip", skip.reason.clone(), Some(skip.key.to_string()), None)?;
    }
    for key in &plan.done {
        planned("skip", "done in this cycle".to_owned(), Some(key.to_string()), None)?;
    }
    for step in &plan.steps {
        let name = Some(step.key.to_string());
        if step.how == How::InBackupMode {
            planned("begin_backup", step.reason.clone(), name.clone(), None)?;
        }
        for file in &step.files {
            planned("copy", step.reason.clone(), name.clone(), Some((&file.path, &file.dest, file.bytes)))?;
        }
        if step.how == How::InBackupMode {
            planned("end_backup", "its files are copied and checked".to_owned(), name, None)?;
        }
    }
    if plan.completes() {
        planned("archive_log", "the copies need the redo up to the last END BACKUP".to_owned(), None, None)?;
        planned("create_controlfile", "the standby is mounted with it".to_owned(), None, None)?;
        planned("write_scripts", "rename, catalogue and recover at the standby".to_owned(), None, None)?;
    }
    for warning in warnings {
        setup.say(Log::warning(warning))?;
    }
    Ok(report)
}
