//! full, incremental, archivelog: facts, plan, RMAN, proof, records, and then what may be deleted.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use common::app::{Frame, Report};
use common::durable;
use common::exit::{Exit, Failure};
use common::lock::Lock;
use common::logfile::Progress;
use common::process::Ended;
use common::record::{File, Kept, Level, Log, Planned, Removed, Role};

use super::delete;
use super::evidence::{self, Evidence, Piece};
use super::interrupted::{self, Marker, Partial};
use super::pieces::{read_back, stopped, Seen};
use super::plan::{plan, Kind, Plan, Policy};
use super::prove::{prove, Case, Proof};
use crate::check;
use crate::cli::{Cli, Keep};
use crate::facts::{self, Facts, LogKey};
use crate::rman::Called;
use crate::target::Target;
use crate::verdict::{Outcome, Severity};

/// One backup.
///
/// # Errors
/// Refusals and everything that leaves no backup to judge; what is wrong with a backup is in the report.
pub fn run(cli: &Cli, frame: &Frame, kind: Kind) -> anyhow::Result<Report> {
    let output_dir = output_dir(cli)?;
    let target = Target::new(cli, frame, cli.common.dry_run)?;
    let lock = match cli.common.dry_run {
        true => None,
        false => Some(Lock::take(
            &target.state_dir,
            &target.lock_name(),
            frame.tool,
            &frame.run,
            cli.common.lock_timeout,
        )?),
    };
    let started = chrono::Local::now();
    let partials = interrupted::find(&output_dir, &target.sid)?;
    tell_partials(&target, &partials)?;
    let mut report = Report::new(Exit::Success);
    if !partials.is_empty() {
        report.count("interrupted_runs", partials.len() as u64);
        if lock.is_some() {
            forget(&target, &partials, &started.format("%Y%m%d_%H%M%S").to_string())?;
        }
    }
    let mut before = facts::gather(&target.sqlplus)?;
    // A killed run vouches for nothing, also where a dry run could not take its pieces out of the repository.
    before.parents.retain(|p| !partials.iter().any(|d| Path::new(&p.handle).starts_with(&d.dir)));
    let policy = Policy {
        kind,
        free: facts::free_space(&output_dir),
        output_dir,
        compressed: cli.backup.compressed,
        section_size: cli.backup.section_size.clone(),
        max_piece_size: cli.backup.max_piece_size.clone(),
        channels: cli.channels,
        tag: cli.backup.tag.clone(),
    };
    let plan = reserve(&before, &policy, started.naive_local(), lock.is_some())?;
    let mut exit = Exit::Success;
    for note in &plan.notes {
        target.say(if note.warning { Log::warning(&note.message) } else { Log::info(&note.message) })?;
        if note.warning {
            exit = exit.worse(Exit::Partial);
        }
    }
    for gap in &plan.gaps {
        frame.out.emit(gap)?;
        exit = exit.worse(Exit::Partial);
    }
    report.count("gaps", plan.gaps.len() as u64);
    let Some(lock) = lock else {
        dry_run(frame, &plan, &partials)?;
        return Ok(report);
    };
    let backup = Backup { target: &target, plan: &plan, before: &before, lock: &lock, started };
    backup.run(exit, report)
}

/// Plans for the next second of which the directory of a run is free, and makes it unless this is a dry run: another run,
/// perhaps of another database, may have begun in the same second.
fn reserve(before: &Facts, policy: &Policy, now: chrono::NaiveDateTime, make: bool) -> anyhow::Result<Plan> {
    for later in 0..60 {
        let plan = plan(before, policy, now + chrono::TimeDelta::seconds(later))?;
        let dir = &plan.run_dir;
        if !make {
            if dir.symlink_metadata().is_err() {
                return Ok(plan);
            }
            continue;
        }
        match std::fs::DirBuilder::new().mode(0o770).create(dir) {
            Ok(()) => return Ok(plan),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error).with_context(|| format!("make {}", dir.display())),
        }
    }
    anyhow::bail!("{} has directories of runs for the whole next minute", policy.output_dir.display())
}

fn output_dir(cli: &Cli) -> Result<PathBuf, Failure> {
    let Some(dir) = cli.backup.output_dir.clone() else {
        return Err(Failure::new(Exit::Usage, "no output directory")
            .hint("name one with --output-dir or TEMP_BACKUP_DIR"));
    };
    if !dir.is_absolute() {
        return Err(Failure::new(Exit::Usage, format!("{} is not an absolute path", dir.display()))
            .hint("the server writes the pieces, and its working directory is another"));
    }
    // It is not made: below a mount point that is not mounted the backup would fill the root file system.
    if !dir.is_dir() {
        return Err(Failure::new(Exit::Refused, format!("{} is no directory", dir.display()))
            .hint("mount it, or make it if it has never been there"));
    }
    Ok(dir)
}

fn tell_partials(target: &Target<'_>, partials: &[Partial]) -> anyhow::Result<()> {
    for partial in partials {
        let mib = partial.bytes >> 20;
        target.say(Log::warning(format!(
            "{}: run {} was interrupted and is not counted: {} files, {mib} MiB ({}); remove the directory when nobody needs it",
            partial.dir.display(),
            partial.marker.run,
            partial.files.len(),
            partial.files.iter().take(5).cloned().collect::<Vec<_>>().join(", "),
        )))?;
    }
    Ok(())
}

/// No level 1 may build on pieces that no record vouches for, so RMAN's repository forgets them. The files stay.
fn forget(target: &Target<'_>, partials: &[Partial], stamp: &str) -> anyhow::Result<()> {
    for partial in partials {
        if interrupted::end_rman(&partial.marker) {
            target.say(Log::warning(format!(
                "an RMAN of run {} was still running and was ended",
                partial.marker.run
            )))?;
        }
        let handles: Vec<String> =
            evidence::pieces_below(&target.sqlplus, &partial.dir)?.into_iter().map(|p| p.handle).collect();
        let known: BTreeSet<&str> = handles.iter().filter_map(|h| h.rsplit('/').next()).collect();
        for file in partial.files.iter().filter(|f| !known.contains(f.as_str())) {
            target.say(Log::warning(format!(
                "{}: the piece was never finished",
                partial.dir.join(file).display()
            )))?;
        }
        uncatalog(target, &handles, &format!("rman_uncatalog_{stamp}.log"))?;
        interrupted::settle(&partial.dir)?;
    }
    Ok(())
}

/// Takes pieces out of RMAN's repository; CATALOG START WITH brings them back.
fn uncatalog(target: &Target<'_>, handles: &[String], log_name: &str) -> anyhow::Result<()> {
    if handles.is_empty() {
        return Ok(());
    }
    let mut script = String::new();
    for some in handles.chunks(50) {
        let list: Vec<_> = some.iter().map(|h| format!("'{}'", h.replace('\'', "''"))).collect();
        script.push_str(&format!("CHANGE BACKUPPIECE {} UNCATALOG;\n", list.join(", ")));
    }
    script.push_str("EXIT;\n");
    let called = target.rman.run(&script, &free_name(&target.log_dir, log_name))?;
    if !called.ended_well() {
        return Err(Failure::new(Exit::Failed, format!("take pieces out of RMAN's repository: {}", called.done.describe()))
            .hint("CHANGE BACKUPPIECE … UNCATALOG by hand: an incremental must not build on pieces that nobody vouches for")
            .into());
    }
    target.say(Log::info(format!(
        "{} pieces were taken out of RMAN's repository; the files are still there",
        handles.len()
    )))
}

/// A second call in the same second gets a name of its own.
fn free_name(dir: &Path, name: &str) -> PathBuf {
    let stem = name.trim_end_matches(".log");
    (1..)
        .map(|n| dir.join(if n == 1 { name.to_owned() } else { format!("{stem}.{n}.log") }))
        .find(|p| !p.exists())
        .unwrap_or_else(|| dir.join(name))
}

fn dry_run(frame: &Frame, plan: &Plan, partials: &[Partial]) -> anyhow::Result<()> {
    for partial in partials {
        frame.out.emit(&Planned {
            path: Some(partial.dir.display().to_string()),
            bytes: Some(partial.bytes),
            action: "uncatalog".to_owned(),
            reason: "its run was interrupted: no incremental may build on it".to_owned(),
            ..Planned::default()
        })?;
    }
    let what = if plan.kind == Kind::Archivelog { "" } else { "the database and " };
    frame.out.emit(&Planned {
        action: "backup".to_owned(),
        reason: format!("{}: {what}{} archived logs", plan.kind.word(), plan.logs.len()),
        path: Some(plan.run_dir.display().to_string()),
        bytes: Some(plan.estimate),
        script: Some(plan.script.clone()),
        ..Planned::default()
    })
}

struct Backup<'a> {
    target: &'a Target<'a>,
    plan: &'a Plan,
    before: &'a Facts,
    lock: &'a Lock,
    started: chrono::DateTime<chrono::Local>,
}

/// Ends the heart beat however the call ends.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Backup<'_> {
    fn run(&self, mut exit: Exit, mut report: Report) -> anyhow::Result<Report> {
        let (plan, target) = (self.plan, self.target);
        self.mark_run_dir()?;
        let log = free_name(&target.log_dir, &plan.log_name);
        target.log.info(&format!(
            "{} into {}, log {}",
            plan.kind.word(),
            plan.run_dir.display(),
            log.display()
        ));
        let called = self.call(&log)?;
        exit = exit.worse(self.tell(&called, &log)?);
        if called.stopped() {
            report.exit = Some(match called.done.ended {
                Ended::TimedOut(_) => Exit::TimedOut,
                _ => stopped(),
            });
            report.message = Some(format!("{}: the run is not counted", called.done.describe()));
            target.say(Log::error(format!(
                "{}: stopped; its pieces are not counted, the next run takes them out of RMAN's repository",
                plan.run_dir.display()
            )))?;
            self.emit_log(&log)?;
            return Ok(report);
        }
        let after = facts::gather(&target.sqlplus).context("look at the database after the backup")?;
        let evidence = evidence::gather(&target.sqlplus, &plan.run_dir, &plan.command_id, &after)?;
        let handles: Vec<String> = evidence.pieces.iter().map(|p| p.handle.clone()).collect();
        let total = evidence.pieces.iter().map(|p| p.bytes).sum();
        let disk = read_back(&handles, total, &mut || self.lock.progress())?;
        durable::sync_dir(&plan.run_dir)?;
        let proof =
            prove(&Case { plan, before: self.before, after: &after, evidence: &evidence, disk: &disk });
        for doubt in &proof.doubts {
            let level = match doubt.severity {
                Severity::Notice => Level::Info,
                Severity::Warning => Level::Warning,
                Severity::Error => Level::Error,
            };
            exit = exit.worse(match doubt.severity {
                Severity::Notice => Exit::Success,
                Severity::Warning => Exit::Partial,
                Severity::Error => Exit::Failed,
            });
            target.say(Log { level, message: doubt.message.clone(), code: None })?;
        }
        self.unknown_files(&evidence)?;
        self.emit_pieces(&evidence, &proof, &disk, &mut report)?;
        let bad: Vec<String> = evidence
            .pieces
            .iter()
            .filter(|p| !proof.good.contains(&p.set))
            .map(|p| p.handle.clone())
            .collect();
        if !bad.is_empty() {
            report.count("bad_pieces", bad.len() as u64);
            uncatalog(target, &bad, &format!("uncatalog_{}", plan.log_name))?;
        }
        self.emit_log(&log)?;
        interrupted::close(&plan.run_dir)?;
        if matches!(exit, Exit::Success | Exit::Partial) {
            exit = exit.worse(self.delete_logs(&after, &evidence, &proof, &mut report)?);
        } else {
            report.message =
                Some(format!("the backup in {} is not good; nothing was deleted", plan.run_dir.display()));
        }
        report.exit = Some(exit);
        Ok(report)
    }

    fn mark_run_dir(&self) -> anyhow::Result<()> {
        let dir = &self.plan.run_dir;
        if let Some(parent) = dir.parent() {
            durable::sync_dir(parent)?;
        }
        self.marker(None).write(dir)
    }

    fn marker(&self, rman: Option<(i32, u64)>) -> Marker {
        Marker {
            run: self.target.frame.run.clone(),
            host: common::app::host(),
            sid: self.target.sid.clone(),
            tag: self.plan.tag.clone(),
            log: self.plan.log_name.clone(),
            rman,
        }
    }

    /// RMAN runs; beside it the lock is kept alive, its process is noted for whoever comes after a SIGKILL, and the growth
    /// of the directory is shown.
    fn call(&self, log: &Path) -> anyhow::Result<Called> {
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut progress = Progress::new(self.plan.estimate);
                let mut noted = false;
                while !over.load(Ordering::Relaxed) {
                    // RMAN is silent for hours in a large piece; its own time limit is what ends it.
                    self.lock.progress();
                    if let (false, Some(rman)) = (noted, interrupted::our_rman()) {
                        noted = self.marker(Some(rman)).write(&self.plan.run_dir).is_ok();
                    }
                    progress.show(size_of(&self.plan.run_dir));
                    std::thread::sleep(Duration::from_millis(if noted { 250 } else { 20 }));
                }
                progress.end();
            });
            let _stop = Stop(&over);
            self.target.rman.run(&self.plan.script, log)
        })
    }

    /// RMAN's own words and status.
    fn tell(&self, called: &Called, log: &Path) -> anyhow::Result<Exit> {
        let name = log.display().to_string();
        for finding in &called.verdict.findings {
            self.target.say(check::record(&name, finding))?;
        }
        let mut exit = check::exit_of(called.verdict.outcome);
        if !called.done.success() {
            if called.verdict.outcome != Outcome::Failure {
                self.target.say(Log::error(called.done.describe()))?;
            }
            exit = exit.worse(Exit::Failed);
        }
        Ok(exit)
    }

    /// Files in the directory that the repository does not know: pieces that were begun and not finished.
    fn unknown_files(&self, evidence: &Evidence) -> anyhow::Result<()> {
        let dir = &self.plan.run_dir;
        let known: BTreeSet<&str> = evidence.pieces.iter().map(|p| p.handle.as_str()).collect();
        for entry in std::fs::read_dir(dir).with_context(|| format!("read {}", dir.display()))? {
            let path = entry.with_context(|| format!("read {}", dir.display()))?.path();
            let text = path.to_string_lossy();
            let own = path.file_name().is_some_and(|n| n.to_string_lossy().starts_with(".orapipe"));
            if !own && !known.contains(text.as_ref()) {
                self.target.say(Log::warning(format!("{text}: the piece was never finished")))?;
            }
        }
        Ok(())
    }

    fn emit_pieces(
        &self,
        evidence: &Evidence,
        proof: &Proof,
        disk: &BTreeMap<String, Seen>,
        report: &mut Report,
    ) -> anyhow::Result<()> {
        for piece in evidence.pieces.iter().filter(|p| proof.good.contains(&p.set)) {
            let Some(Seen::File { bytes, sha256 }) = disk.get(&piece.handle) else { continue };
            report.count("pieces", 1);
            report.count("bytes", *bytes);
            self.target.frame.out.emit(&self.record(evidence, piece, *bytes, sha256))?;
        }
        Ok(())
    }

    fn record(&self, evidence: &Evidence, piece: &Piece, bytes: u64, sha256: &str) -> File {
        let set = evidence.sets.get(&piece.set);
        let db = &self.before.database;
        File {
            bytes: Some(bytes),
            sha256: Some(sha256.to_owned()),
            role: Some(Role::BackupPiece),
            db: Some(db.name.clone()),
            dbid: Some(db.dbid),
            // An autobackup has no tag of its own in the repository; it belongs to this backup all the same.
            tag: Some(piece.tag.clone().unwrap_or_else(|| self.plan.tag.clone())),
            level: set.and_then(super::evidence::Set::level),
            set_stamp: Some(piece.set.0),
            set_count: Some(piece.set.1),
            piece: Some(piece.piece),
            pieces: set.map(|s| s.pieces),
            completed: piece.completed.clone(),
            contents: set.map(|s| s.contents.clone()),
            backup_time: Some(self.started.to_rfc3339_opts(chrono::SecondsFormat::Secs, false)),
            path: piece.handle.clone(),
            ..File::default()
        }
    }

    /// RMAN's log, so that the next tool can keep it with the pieces.
    fn emit_log(&self, log: &Path) -> anyhow::Result<()> {
        let name = log.display().to_string();
        let found = read_back(std::slice::from_ref(&name), 0, &mut || {});
        // After a signal nothing is read any more; the log is where it is.
        let Some(Seen::File { bytes, sha256 }) = found.ok().and_then(|mut f| f.remove(&name)) else {
            return Ok(());
        };
        self.target.frame.out.emit(&File {
            bytes: Some(bytes),
            sha256: Some(sha256),
            role: Some(Role::Log),
            db: Some(self.before.database.name.clone()),
            tag: Some(self.plan.tag.clone()),
            path: name,
            ..File::default()
        })
    }

    /// Only after a backup without any error, and only what it holds.
    fn delete_logs(
        &self,
        after: &Facts,
        evidence: &Evidence,
        proof: &Proof,
        report: &mut Report,
    ) -> anyhow::Result<Exit> {
        let target = self.target;
        let (Keep::For(keep), Some(now)) = (target.cli.backup.keep_archivelogs, after.database.now) else {
            return Ok(Exit::Success);
        };
        let verified: BTreeSet<LogKey> = evidence.log_keys(&proof.good).collect();
        let shipped = delete::shipped(&target.state_dir, &target.sid);
        let current = after.database.resetlogs_change;
        let decision = delete::decide(&after.logs, &verified, &shipped, current, now, keep);
        let age = |key: &LogKey| {
            let log = after.logs.iter().find(|l| l.key == *key);
            let age =
                log.and_then(|l| l.completed).map(|t| now.signed_duration_since(t).num_seconds() as f64);
            (log.and_then(|l| l.names.first().cloned()), log.map(|l| l.bytes), age)
        };
        let kept = |key: &LogKey, reason: String| {
            let (path, bytes, age) = age(key);
            target.frame.out.emit(&Kept { reason, path, bytes, age, ..Kept::default() })
        };
        for (key, reason) in &decision.keep {
            kept(key, reason.clone())?;
        }
        report.count("logs_kept", decision.keep.len() as u64);
        if decision.delete.is_empty() {
            return Ok(Exit::Success);
        }
        let log = free_name(&target.log_dir, &format!("delete_{}", self.plan.log_name));
        let called = target.rman.run(&delete::script(&decision.delete), &log)?;
        let exit = match self.tell(&called, &log)? {
            // The backup is good whatever becomes of the old logs.
            Exit::Success => Exit::Success,
            _ => Exit::Partial,
        };
        let left: BTreeSet<LogKey> =
            facts::archived_logs(&target.sqlplus)?.iter().filter(|l| l.on_disk).map(|l| l.key).collect();
        let why = called.verdict.findings.iter().find(|f| f.severity > Severity::Notice);
        let why = why.map_or_else(
            || "RMAN did not delete it".to_owned(),
            |f| format!("RMAN did not delete it: {}", f.message),
        );
        for key in &decision.delete {
            if left.contains(key) {
                report.count("logs_kept", 1);
                kept(key, why.clone())?;
                continue;
            }
            report.count("logs_removed", 1);
            let (path, bytes, age) = age(key);
            target.frame.out.emit(&Removed {
                reason: "it is in a verified piece of this run".to_owned(),
                path,
                bytes,
                age,
                ..Removed::default()
            })?;
        }
        Ok(exit)
    }
}

fn size_of(dir: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(dir) else { return 0 };
    entries.flatten().filter_map(|e| e.metadata().ok()).map(|m| m.len()).sum()
}
