//! The modes: once, named logs, `--status`, `--verify`, `--follow`.

use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use common::app::{Frame, Report};
use common::exit::{Exit, Failure};
use common::lock::Lock;
use common::logfile::LogFile;
use common::record::{ArchivedLog, Log, LogStatus};
use common::signals;

use crate::cli::{Cli, Discover};
use crate::cycle::Cycle;
use crate::destination;
use crate::input::{self, Named};
use crate::session::{describe, text, Session, Tally};
use crate::source::{Look, Source};
use crate::state::State;
use crate::{follow, register, standby, status, verify};

/// Runs the tool.
pub fn run(cli: &Cli, frame: &Frame) -> anyhow::Result<Report> {
    check(cli)?;
    let (target, dest_dir) = Session::destination(cli)?;
    let changes = !(cli.common.dry_run || cli.status || cli.verify);
    let mut source = Source::new(cli)?;
    let named = input::read(cli, frame)?;
    let mut look = source.look(named.as_ref().map(|n| n.files.as_slice()))?;
    while cli.follow && source.sid().is_none() {
        // Neither a log nor the environment has told which database this is.
        if !signals::sleep(cli.interval.min(Duration::from_secs(5))) {
            return Ok(Report::new(Exit::Success));
        }
        look = source.look(None)?;
    }
    let Some(sid) = source.sid().map(str::to_owned) else {
        return nothing_found(cli, frame, &look, named.as_ref());
    };
    let lock = match changes {
        true => Some(Lock::take(
            &cli.common.state_dir()?,
            &format!("{sid}.ship"),
            frame.tool,
            &frame.run,
            cli.common.lock_timeout,
        )?),
        false => None,
    };
    let host = target.host.clone().unwrap_or_default();
    let session = Session {
        cli,
        frame,
        log: log_file(cli, frame, &host, changes)?,
        lock,
        connections: Session::connections(cli, &target),
        rsync_log: if changes { Some(cli.common.log_dir()?.join("arch-ship.rsync.log")) } else { None },
        rtt: std::sync::OnceLock::new(),
        temporaries: Mutex::default(),
        next_temporary: std::sync::atomic::AtomicUsize::new(0),
        claims: named.as_ref().map(|n| n.claims.clone()).unwrap_or_default(),
        target,
        dest_dir,
        state: Mutex::new(State::load(&cli.common.state_dir_path()?, &sid, &host, changes)?),
        sid,
        tally: Mutex::new(Tally::default()),
    };
    let notes = std::mem::take(&mut session.state().notes);
    for note in notes {
        session.say(note)?;
    }
    if cli.status {
        status::status(&session, &mut source, look)?;
    } else if cli.verify {
        verify::verify(&session, &mut source, look)?;
    } else if cli.follow {
        follow::follow(&session, &mut source, look)?;
    } else {
        once(&session, &mut source, look, named.as_ref())?;
    }
    destination::sweep(&session);
    let mut report = session.finish();
    if let Some(named) = &named {
        conclude(&mut report, named);
    }
    Ok(report)
}

fn check(cli: &Cli) -> anyhow::Result<()> {
    let usage = |message: &str, hint: &str| -> anyhow::Result<()> {
        Err(Failure::new(Exit::Usage, message).hint(hint).into())
    };
    if cli.files.is_empty() && cli.discover() == Discover::Scan && cli.source_dir.is_empty() {
        return usage(
            "--discover scan needs a directory to look in",
            "name it with --source-dir or SOURCEBASEDIR",
        );
    }
    if cli.register && !standby::is_named(cli) {
        return usage(
            "--register: there is no standby to catalogue at",
            "name it with --dest-host, or with --standby-sid when it is on this machine",
        );
    }
    if let (Some(min), Some(max)) = (cli.seq_min, cli.seq_max) {
        if min > max {
            return usage(&format!("--seq-min {min} is above --seq-max {max}"), "exchange them");
        }
    }
    if cli.common.dry_run && cli.register && cli.files.is_empty() {
        return usage("--register with --dry-run: nothing would be catalogued", "leave one of them out");
    }
    Ok(())
}

fn log_file(cli: &Cli, frame: &Frame, host: &str, changes: bool) -> anyhow::Result<LogFile> {
    if !changes {
        return LogFile::open(None, frame.tool, frame.verbose);
    }
    if cli.follow {
        let host = if host.is_empty() { "local" } else { host };
        return frame.log(&cli.common, &format!("copy_archivelog_to_{host}.log"));
    }
    frame.log(&cli.common, "archivelog_replication.log")
}

fn once(
    session: &Session,
    source: &mut Source<'_>,
    mut look: Look,
    named: Option<&Named>,
) -> anyhow::Result<()> {
    let mut cycle = Cycle::default();
    if let Some(named) = named {
        claims(session, &mut look, named)?;
    } else {
        cycle.set_cutoff(session, source)?;
        if look.logs.is_empty() && look.known.is_empty() {
            empty(session)?;
        }
    }
    let verified = cycle.run(session, look, named.is_some())?;
    if session.cli.register && !session.cli.common.dry_run {
        register::register(session, &verified)?;
    }
    Ok(())
}

/// A source without any log is right for a new database and wrong for one that had some.
fn empty(session: &Session) -> anyhow::Result<()> {
    let dirs: Vec<String> = session.cli.source_dir.iter().map(|d| text(d)).collect();
    let place = if dirs.is_empty() { "V$ARCHIVED_LOG".to_owned() } else { dirs.join(", ") };
    let had = !session.state().is_empty();
    if had {
        session.worse(Exit::Partial);
    }
    let message = format!("no archived log in {place}");
    session.say(Log::warning(if had {
        format!("{message}, though some were shipped before: is the file system mounted?")
    } else {
        message
    }))
}

/// Takes out of the look what the records describe wrongly, and reports what was named and is not there.
fn claims(session: &Session, look: &mut Look, named: &Named) -> anyhow::Result<()> {
    let mut kept = Vec::new();
    for log in std::mem::take(&mut look.logs) {
        match named.claims.get(&log.path).and_then(|c| c.contradiction(&log)) {
            Some(reason) => session.fail(&log, &reason, None, 0)?,
            None => kept.push(log),
        }
    }
    look.logs = kept;
    for file in &named.files {
        if !exists(session.cli, file) {
            session.worse(Exit::Partial);
            session.report(&absent(file))?;
        }
    }
    Ok(())
}

fn exists(cli: &Cli, file: &Path) -> bool {
    let below = || {
        let dirs = crate::scan::directories(&cli.source_dir).unwrap_or_default();
        file.components().count() == 1 && dirs.iter().any(|(dir, _)| dir.join(file).exists())
    };
    file.exists() || below()
}

fn absent(file: &Path) -> ArchivedLog {
    ArchivedLog {
        path: text(file),
        name: file.file_name().map(|n| n.to_string_lossy().into_owned()),
        status: Some(LogStatus::Failed),
        reason: Some("no such file".to_owned()),
        ..ArchivedLog::default()
    }
}

/// The end of a run that could not even tell which database it is for.
fn nothing_found(cli: &Cli, frame: &Frame, look: &Look, named: Option<&Named>) -> anyhow::Result<Report> {
    let mut report = Report::new(Exit::Success);
    let Some(named) = named else {
        let dirs: Vec<String> = cli.source_dir.iter().map(|d| text(d)).collect();
        frame.out.emit(&Log::warning(format!("no archived log in {}", dirs.join(", "))))?;
        return Ok(report);
    };
    for file in named.files.iter().filter(|f| !exists(cli, f)) {
        frame.out.emit(&absent(file))?;
        report.count("failed", 1);
    }
    for stray in &look.strays {
        frame.out.emit(&ArchivedLog { reason: Some(stray.reason.clone()), ..absent(&stray.path) })?;
        report.count("failed", 1);
    }
    if report.counts.contains_key("failed") {
        report.exit = Some(Exit::Partial);
    }
    for log in &look.logs {
        let reason = "neither a header nor ORACLE_SID tells which database it belongs to".to_owned();
        let failed = ArchivedLog { status: Some(LogStatus::Failed), reason: Some(reason), ..describe(log) };
        frame.out.emit(&failed)?;
        report.count("failed", 1);
        report.exit = Some(Exit::Partial);
    }
    conclude(&mut report, named);
    Ok(report)
}

/// The last status of a pipeline tells the truth for all of it.
fn conclude(report: &mut Report, named: &Named) {
    report.exit = Some(report.exit.unwrap_or(Exit::Success).worse(named.exit.0));
    if named.bad_lines > 0 {
        report.count("bad_lines", named.bad_lines);
    }
    report.message = named.message.clone();
}
