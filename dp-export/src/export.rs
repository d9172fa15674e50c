//! One schema from its plan to its receipt.

use std::io::{BufReader, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context;
use common::exit::{failure, status_of, Exit, Failure};
use common::process::{Done, Ended};
use common::record::{Export as Record, ExportStatus, File, Log, Role};
use common::{durable, signals};

use crate::facts::Facts;
use crate::job;
use crate::journal::Entry;
use crate::name;
use crate::plan::{Export, JOB_PREFIX};
use crate::promote::{discard, files_of, rename, settle};
use crate::proof::{judge, DumpFile, Evidence, Proof};
use crate::setup::{Setup, Work};
use crate::verdict::{self, Session, Verdict};

/// A schema, ready to be exported.
pub struct Ready {
    pub export: Export,
    pub facts: Facts,
    pub work: Work,
}

/// What an export came to, for the status of the run.
pub struct Outcome {
    pub exit: Exit,
    pub status: ExportStatus,
}

/// Refuses what cannot work before any export begins: the directory on this host and the space in it.
pub fn check_directory(export: &Export) -> anyhow::Result<()> {
    let dir = &export.dir;
    if !dir.is_dir() {
        let text = format!("{} is not a directory on this host", dir.display());
        return Err(Failure::new(Exit::Failed, text)
            .hint("name the directory where the dumps appear here with --dir or DB_FOLDER")
            .into());
    }
    let last: u64 = (0..100)
        .map(|n| dir.join(export.final_name(n, 2)))
        .take_while(|p| p.exists())
        .chain([dir.join(&export.final_dump)])
        .filter_map(|p| std::fs::metadata(p).ok().map(|m| m.len()))
        .sum();
    // The old dump stays until the new one is proven, so that both need a place.
    let need = last + last / 5;
    let free =
        fs2::available_space(dir).with_context(|| format!("look at the space in {}", dir.display()))?;
    if free < need {
        let text = format!(
            "{} has {free} bytes free; the last dump of {} had {last}, and both must fit",
            dir.display(),
            export.schema
        );
        return Err(Failure::new(Exit::Failed, text)
            .hint("make room, or point the directory object elsewhere")
            .into());
    }
    Ok(())
}

/// Runs one export. Whatever goes wrong with it is in its record; an error is a lost receipt or journal.
pub fn perform(setup: &Setup<'_>, ready: &Ready) -> anyhow::Result<Outcome> {
    let started = Instant::now();
    let export = &ready.export;
    setup.log.info(&format!("export {}: job {}.{}", export.schema, export.owner, export.job));
    let stem = export.job.to_lowercase();
    setup.journal.begin(Entry {
        schema: export.schema.clone(),
        owner: export.owner.clone(),
        job: export.job.clone(),
        dir: export.dir.clone(),
        stem: stem.clone(),
        promote: Vec::new(),
    })?;
    let mut record = Record {
        schema: export.schema.clone(),
        scn: export.scn,
        job: Some(format!("{}.{}", export.owner, export.job)),
        ..Record::default()
    };
    let outcome = match attempt(setup, ready, &mut record) {
        Ok(outcome) => outcome,
        Err(error) => {
            record.status = ExportStatus::Failed;
            record.reason = Some(format!("{error:#}"));
            record.code = failure(&error).and_then(|f| f.code.clone());
            setup.log.error(&format!("export {}: {error:#}", export.schema));
            Outcome { exit: status_of(&error), status: ExportStatus::Failed }
        }
    };
    record.seconds = Some((started.elapsed().as_secs_f64() * 1000.0).round() / 1000.0);
    setup.frame.out.emit(&record)?;
    Ok(outcome)
}

fn attempt(setup: &Setup<'_>, ready: &Ready, record: &mut Record) -> anyhow::Result<Outcome> {
    let export = &ready.export;
    let expdp = &ready.work.expdp;
    // Sessions of a clean-up may be in it already.
    let from = std::fs::metadata(&expdp.log).map_or(0, |m| m.len());
    let done = expdp.export(&export.job, &export.parameters, export.timeout, &|| setup.lock.progress())?;
    if let Ended::Exited(status) = done.ended {
        record.expdp_exit = Some(i64::from(status));
    }
    let clean = matches!(done.ended, Ended::Exited(0 | 5));
    // First of all: while the job runs, its dump is nobody's.
    let mut stopped = if clean { Ok(()) } else { stop_job(setup, ready, &done) };
    let (session, verdict) = log_of(export, &expdp.log, from)?;
    let dumps = dumps(export, &session)?;
    let evidence = Evidence {
        ended: done.ended,
        session: &session,
        verdict: &verdict,
        job: &export.job,
        tables: &ready.facts.tables,
        filtered: setup.filtered,
        dumps: &dumps,
        min_bytes: setup.cli.min_bytes,
    };
    let proof = judge(&evidence);
    if clean && proof.status == ExportStatus::Failed {
        // A job that stopped by itself leaves its master table.
        stopped = stop_job(setup, ready, &done);
    }
    record.status = proof.status;
    record.reason.clone_from(&proof.reason);
    record.code.clone_from(&proof.code);
    record.skipped = (!proof.skipped.is_empty()).then(|| proof.skipped.clone());
    record.tables = Some(session.objects.len() as u64);
    record.rows = Some(session.rows());
    for finding in verdict.findings.iter().filter(|f| f.level != common::record::Level::Info).take(50) {
        let message = format!("export {}: {}", export.schema, finding.message);
        setup.say(Log { level: finding.level, message, code: finding.code.clone() })?;
    }
    keep(setup, export, &proof, &dumps, record)?;
    // Only now: a job that could not be stopped leaves the journal's entry for the next run.
    stopped.with_context(|| format!("stop job {}.{}", export.owner, export.job))?;
    setup.journal.end(&export.job)?;
    Ok(Outcome { exit: exit(&done, &proof), status: proof.status })
}

fn exit(done: &Done, proof: &Proof) -> Exit {
    match (proof.status, done.ended) {
        (ExportStatus::Success, _) if proof.warned => Exit::Partial,
        (ExportStatus::Success, _) => Exit::Success,
        (ExportStatus::Partial, _) => Exit::Partial,
        (ExportStatus::Failed, Ended::TimedOut(_)) => Exit::TimedOut,
        (ExportStatus::Failed, _) => Exit::Failed,
    }
}

/// Whatever the client said, no job is left in the server.
fn stop_job(setup: &Setup<'_>, ready: &Ready, done: &Done) -> anyhow::Result<()> {
    let export = &ready.export;
    setup.log.warning(&format!(
        "export {}: {}; stopping its job in the server",
        export.schema,
        done.describe()
    ));
    let sqlplus = ready.work.sqlplus.clone().uninterruptible();
    job::stop(&ready.work.expdp, &sqlplus, &export.job, setup.cli.sql_timeout)
}

/// The server's own log where this host can read it to its end, else what the client said.
///
/// In the client's the password is blanked, and with a password that is also the name of a schema so is that name.
fn log_of(export: &Export, client: &Path, from: u64) -> anyhow::Result<(Session, Verdict)> {
    if let Ok((session, verdict)) = read_log(&export.dir.join(&export.log), 0) {
        let ours = session.job.as_ref().is_some_and(|(_, name)| *name == export.job);
        if ours && session.ending.is_some() {
            return Ok((session, verdict));
        }
    }
    read_log(client, from)
}

fn read_log(path: &Path, from: u64) -> anyhow::Result<(Session, Verdict)> {
    let mut file = std::fs::File::open(path).with_context(|| format!("open {}", path.display()))?;
    file.seek(SeekFrom::Start(from)).with_context(|| format!("read {}", path.display()))?;
    let sessions =
        verdict::sessions(BufReader::new(file)).with_context(|| format!("read {}", path.display()))?;
    // Attaching to kill the job is another session, behind the one that counts.
    let session = sessions.into_iter().next().unwrap_or_default();
    let verdict = verdict::of_session(&session);
    Ok((session, verdict))
}

/// The dumps as this host sees them under the server's names, and those that the log lists and that are not here.
fn dumps(export: &Export, session: &Session) -> anyhow::Result<Vec<DumpFile>> {
    let mut found = Vec::new();
    let stem = export.job.to_lowercase();
    for path in files_of(&export.dir, &stem)? {
        if path.extension().is_some_and(|e| e == "dmp") {
            let bytes = std::fs::metadata(&path).ok().map(|m| m.len());
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            found.push(DumpFile { name, bytes });
        }
    }
    // Of a set of which one file is missing nothing can be imported.
    for listed in &session.dumps {
        let name = listed.rsplit(['/', '\\']).next().unwrap_or(listed);
        if name.starts_with(&stem) && !found.iter().any(|d| d.name == name) {
            found.push(DumpFile { name: name.to_owned(), bytes: None });
        }
    }
    Ok(found)
}

/// Gives the files the names that the judgement allows, and their receipts.
fn keep(
    setup: &Setup<'_>,
    export: &Export,
    proof: &Proof,
    dumps: &[DumpFile],
    record: &mut Record,
) -> anyhow::Result<()> {
    let suffix = match proof.status {
        ExportStatus::Success => "",
        // The last whole dump keeps its name.
        ExportStatus::Partial => ".PARTIAL",
        ExportStatus::Failed => ".FAILED",
    };
    let at = |name: &str| export.dir.join(name);
    let mut renames: Vec<(PathBuf, PathBuf)> = Vec::new();
    let mut receipts = Vec::new();
    if proof.status == ExportStatus::Failed {
        discard(&export.dir, &export.job.to_lowercase())?;
    } else {
        for (n, dump) in dumps.iter().enumerate() {
            let from = at(&dump.name);
            let to = at(&name::with(&export.final_name(n, dumps.len()), suffix, None));
            let (bytes, sha256) = settle(&from, &|| setup.lock.progress())?;
            receipts.push((to.clone(), bytes, sha256, Role::Dump));
            renames.push((from, to));
        }
    }
    let log = at(&export.log);
    if log.exists() {
        let to = at(&name::with(&export.final_log, suffix, None));
        let (bytes, sha256) = settle(&log, &|| setup.lock.progress())?;
        record.log = Some(to.to_string_lossy().into_owned());
        receipts.push((to.clone(), bytes, sha256, Role::ExportLog));
        renames.push((log, to));
    }
    setup.journal.promote(&export.job, &renames)?;
    rename(&renames)?;
    if proof.status == ExportStatus::Success {
        durable::remove(&at(&name::with(&export.final_log, ".FAILED", None)))?;
        if dumps.len() > 1 {
            remove_higher(export, dumps.len())?;
        }
    }
    let mut total = 0;
    let mut files = Vec::new();
    for (path, bytes, sha256, role) in receipts {
        let path = path.to_string_lossy().into_owned();
        if role == Role::Dump {
            total += bytes;
            files.push(path.clone());
        }
        setup.frame.out.emit(&File {
            path,
            bytes: Some(bytes),
            sha256: Some(sha256),
            role: Some(role),
            db: Some(setup.db.clone()),
            schema: Some(export.schema.clone()),
            backup_time: Some(setup.begun.clone()),
            ..File::default()
        })?;
    }
    record.bytes = (proof.status != ExportStatus::Failed).then_some(total);
    record.files = (!files.is_empty()).then_some(files);
    Ok(())
}

/// Files of the last dump that had more parts than this one: with this one's they would make no set.
fn remove_higher(export: &Export, count: usize) -> anyhow::Result<()> {
    for n in count.. {
        let path = export.dir.join(export.final_name(n, count));
        if !path.exists() {
            return Ok(());
        }
        durable::remove(&path)?;
    }
    Ok(())
}

/// Finishes or removes what a killed run has left of one export.
pub fn reconcile(setup: &Setup<'_>, entry: &Entry, work: Option<&Work>) -> anyhow::Result<()> {
    // Else the directory's other hidden files would be taken for ours.
    anyhow::ensure!(
        entry.stem.starts_with(&JOB_PREFIX.to_lowercase()),
        "the journal names {:?} as an export of ours, which it cannot be",
        entry.stem
    );
    let is_dump = |(from, _): &&(PathBuf, PathBuf)| from.extension().is_some_and(|e| e == "dmp");
    if entry.promote.iter().any(|pair| is_dump(&pair)) {
        rename(&entry.promote)?;
        setup.say(Log::info(format!("export {}: gave the dump of an earlier run its name", entry.schema)))?;
        return setup.journal.end(&entry.job);
    }
    let Some(work) = work else {
        return setup.say(Log::warning(format!(
            "an earlier run has left job {}.{}, and nobody here can log on as its owner",
            entry.owner, entry.job
        )));
    };
    // Only a log: the export has failed, and its job may still run.
    let logs: Vec<_> = entry.promote.iter().filter(|(from, _)| from.exists()).cloned().collect();
    rename(&logs)?;
    let patience: Duration = setup.cli.sql_timeout;
    job::stop(&work.expdp, &work.sqlplus, &entry.job, patience)?;
    discard(&entry.dir, &entry.stem)?;
    for path in files_of(&entry.dir, &entry.stem)? {
        durable::remove(&path)?;
    }
    setup.journal.end(&entry.job)?;
    setup.say(Log::warning(format!(
        "export {}: removed job {}.{} and its files, left by a run that died",
        entry.schema, entry.owner, entry.job
    )))
}

/// Whether the run was asked to stop; exports that have not begun are left.
pub fn asked_to_stop() -> bool {
    signals::pending().is_some()
}
