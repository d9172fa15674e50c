//! The modes: once, named logs, `--status`, `--verify`, `--follow`.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use common::app::{Frame, Report};
use common::exit::{failure, status_of, Exit, Failure};
use common::lock::Lock;
use common::logfile::LogFile;
use common::record::{ArchivedLog, Log, LogStatus};
use common::remote::Target;
use common::signals;

use crate::cli::{Cli, Discover};
use crate::cycle::Cycle;
use crate::destination;
use crate::input::{self, Named};
use crate::notify::Notify;
use crate::session::{describe, text, Session, Tally};
use crate::source::{Look, Source};
use crate::state::State;
use crate::{follow, register, standby, status, verify};

/// Runs the tool.
pub fn run(cli: &Cli, frame: &Frame) -> anyhow::Result<Report> {
    check(cli)?;
    let (target, dest_dir) = Session::destination(cli)?;
    let source = Source::new(cli)?;
    let named = input::read(cli, frame)?;
    let ended = proceed(cli, frame, (target, dest_dir), source, named.as_ref());
    ended.map_err(|error| match &named {
        Some(named) => with_input(error, named),
        None => error,
    })
}

/// The status of the pipeline is that of the input's runs where they ended worse than we do.
fn with_input(error: anyhow::Error, named: &Named) -> anyhow::Error {
    let exit = status_of(&error).worse(named.exit.0);
    if exit == status_of(&error) {
        return error;
    }
    let hint = failure(&error).and_then(|f| f.hint.clone());
    let what = "the input tells of a failure, and nothing was shipped of it";
    error.context(Failure { exit, message: what.to_owned(), hint, code: None })
}

/// What `--follow` waits for before it can begin.
fn waiting_for_the_first(cli: &Cli, look: &Look) -> String {
    let dirs: Vec<String> = cli.source_dir.iter().map(|d| text(d)).collect();
    let unread = look.strays.iter().find(|s| s.bad_name);
    let unread = unread.map(|s| format!(" ({}: {})", s.path.display(), s.reason)).unwrap_or_default();
    format!("no archived log in {}{unread}: waiting for the first, or set ORACLE_SID", dirs.join(", "))
}

/// The run from its first look to its report.
fn proceed(
    cli: &Cli,
    frame: &Frame,
    (target, dest_dir): (Target, PathBuf),
    mut source: Source<'_>,
    named: Option<&Named>,
) -> anyhow::Result<Report> {
    let changes = !(cli.common.dry_run || cli.status || cli.verify);
    if cli.no_header_check && named.is_none() && source.sid().is_none() {
        return Err(Failure::new(
            Exit::Usage,
            "--no-header-check: names do not tell which database the logs are of",
        )
        .hint("set ORACLE_SID")
        .into());
    }
    let mut look = source.look(named.map(|n| n.files.as_slice()))?;
    let notify = Notify::new(cli.follow);
    let mut told = false;
    while cli.follow && source.sid().is_none() {
        notify.ready();
        notify.status("waiting for the first archived log");
        notify.alive();
        // Neither a log nor the environment has told which database this is.
        if !std::mem::replace(&mut told, true) {
            frame.out.emit(&Log::warning(waiting_for_the_first(cli, &look)))?;
        }
        if !signals::sleep(cli.interval.min(Duration::from_secs(5))) {
            return Ok(Report::new(Exit::Success));
        }
        look = source.look(None)?;
    }
    let Some(sid) = source.sid().map(str::to_owned) else {
        return nothing_found(cli, frame, &look, named);
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
        log: log_file(cli, frame, target.log_name(), changes)?,
        lock,
        connections: Session::connections(cli, &target),
        rsync_log: if changes { Some(cli.common.log_dir()?.join("arch-ship.rsync.log")) } else { None },
        rtt: std::sync::OnceLock::new(),
        temporaries: Mutex::default(),
        next_temporary: std::sync::atomic::AtomicUsize::new(0),
        claims: named.map(|n| n.claims.clone()).unwrap_or_default(),
        target,
        dest_dir,
        state: Mutex::new(State::load(&cli.common.state_dir_path()?, &sid, &host, changes)?),
        sid,
        tally: Mutex::new(Tally::default()),
        notify,
    };
    let notes = std::mem::take(&mut session.state().notes);
    for note in notes {
        session.say(note)?;
    }
    // One whose standby is named is on this machine on purpose.
    if !cli.status && !cli.verify && !standby::is_named(cli) {
        if let Some(here) = session.target.stays_here(&session.dest_dir) {
            session.say(Log::warning(here))?;
        }
    }
    if !cli.follow && named.is_none() && look.logs.is_empty() && look.known.is_empty() {
        empty(&session)?;
    }
    if cli.status {
        status::status(&session, &mut source, look)?;
    } else if cli.verify {
        verify::verify(&session, &mut source, look)?;
    } else if cli.follow {
        follow::follow(&session, &mut source, look)?;
    } else {
        once(&session, &mut source, look, named)?;
    }
    destination::sweep(&session);
    let mut report = session.finish();
    if let Some(named) = named {
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
    not_the_source(cli)?;
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

/// A log that is compared with itself is always there.
fn not_the_source(cli: &Cli) -> anyhow::Result<()> {
    if cli.standby.dest_host.is_some() {
        return Ok(());
    }
    let real = |dir: &PathBuf| dir.canonicalize().ok();
    for source in cli.source_dir.iter().filter_map(real) {
        for dir in cli.dest_dir.iter().chain(&cli.also_at) {
            let Some(there) = real(dir) else { continue };
            // A destination is listed two levels deep; the source has date directories.
            let below = |a: &Path, b: &Path| a == b || a.parent() == Some(b);
            if below(&source, &there) || below(&there, &source) && is_source_dir(&there, &source) {
                let message = format!("{} is the source of the logs or holds it", dir.display());
                return Err(Failure::new(Exit::Usage, message)
                    .hint("name a directory of its own for the standby: a log that is compared with itself is always there")
                    .into());
            }
        }
    }
    Ok(())
}

fn is_source_dir(dir: &Path, source: &Path) -> bool {
    let date = |name: &std::ffi::OsStr| crate::scan::is_date_dir(&name.to_string_lossy());
    dir == source || dir.file_name().is_some_and(date)
}

fn log_file(cli: &Cli, frame: &Frame, host: &str, changes: bool) -> anyhow::Result<LogFile> {
    if !changes {
        return LogFile::open(None, frame.tool, frame.verbose);
    }
    if cli.follow {
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
    }
    let verified = cycle.run(session, look, named.is_some())?;
    if session.cli.register && !session.cli.common.dry_run {
        register::register(session, &verified)?;
    }
    Ok(())
}

/// What is said of a source that had logs and has none.
const UNMOUNTED: &str = ", though some were shipped before: is the file system mounted?";

/// A source without any log is right for a new database and wrong for one that had some.
pub fn empty(session: &Session) -> anyhow::Result<()> {
    let dirs: Vec<String> = session.cli.source_dir.iter().map(|d| text(d)).collect();
    let place = if dirs.is_empty() { "V$ARCHIVED_LOG".to_owned() } else { dirs.join(", ") };
    let had = !session.state().is_empty();
    if had {
        session.worse(Exit::Partial);
    }
    let message = format!("no archived log in {place}");
    session.say_once("empty", Log::warning(if had { format!("{message}{UNMOUNTED}") } else { message }))
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
        let mut message = format!("no archived log in {}", dirs.join(", "));
        if shipped_before(&cli.common.state_dir_path()?) {
            report.exit = Some(Exit::Partial);
            message.push_str(UNMOUNTED);
        }
        frame.out.emit(&Log::warning(message))?;
        for stray in look.strays.iter().filter(|s| s.bad_name) {
            frame.out.emit(&ArchivedLog { reason: Some(stray.reason.clone()), ..absent(&stray.path) })?;
            report.count("failed", 1);
            report.exit = Some(Exit::Partial);
        }
        for log in &look.logs {
            let crate::facts::SourceState::Damaged(reason) = &log.state else { continue };
            frame.out.emit(&ArchivedLog {
                status: Some(LogStatus::Failed),
                reason: Some(reason.clone()),
                ..describe(log)
            })?;
            report.count("failed", 1);
            report.exit = Some(Exit::Partial);
        }
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

/// Whether the state of any database knows shipped logs.
fn shipped_before(state_dir: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(state_dir) else { return false };
    entries.flatten().any(|e| {
        let name = e.file_name().to_string_lossy().into_owned();
        let corrupt = name.contains(".corrupt-");
        name.starts_with("shipped_logs.") && !corrupt && e.metadata().is_ok_and(|m| m.len() > 0)
    })
}

/// The last status of a pipeline tells the truth for all of it.
fn conclude(report: &mut Report, named: &Named) {
    report.exit = Some(report.exit.unwrap_or(Exit::Success).worse(named.exit.0));
    if named.bad_lines > 0 {
        report.count("bad_lines", named.bad_lines);
    }
    report.message = named.message.clone();
}
