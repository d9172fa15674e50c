//! The run: input, uploads, manifest, deletion of the sources, logs, status.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use anyhow::Context;
use chrono::{DateTime, Utc};
use common::app::{Frame, Report};
use common::exit::{failure, status_of, Exit, Failure};
use common::logfile::LogFile;
use common::record::{Log, ObjectStatus, Planned};
use common::signals;
use tokio::sync::{mpsc, Semaphore};

use super::cli::Cli;
use super::exists::Known;
use super::input::{self, Told};
use super::job::{Job, Outcome, Session};
use super::key::Template;
use super::manifest::{self, Recorder};
use super::parts::Layout;
use super::plan::{keep_sources, Proof, Tally};
use super::reader::Budget;
use super::source::Source;
use super::{batch, cleanup, logs, release};
use crate::store::{Kind, Settings, Store, Trouble};

/// Runs the tool.
pub fn run(cli: &Cli, frame: &Frame) -> anyhow::Result<Report> {
    if cli.reads_stdin() && std::io::IsTerminal::is_terminal(&std::io::stdin()) {
        return Err(Failure::new(Exit::Usage, "nothing to upload: standard input is a terminal")
            .hint("name files, or pipe records into it: rman-run full | s3-put")
            .into());
    }
    // A run that will be refused must still pass its input on: the producer would die of a broken pipe.
    let places = Places::make(cli);
    let spool = match &places {
        Ok(places) if cli.stores_manifest() && !cli.cleanup && !cli.common.dry_run => {
            Some(places.journals.clone())
        }
        _ => None,
    };
    let recorder = Arc::new(Recorder::new(frame.out.clone(), cli.common.json, spool.as_deref())?);
    let (to_uploads, jobs) = mpsc::channel(64);
    let reader = cli.reads_stdin().then(|| {
        let (out, recorder, roles) = (frame.out.clone(), Arc::clone(&recorder), cli.role.clone());
        let (logs, to_uploads) = (cli.log_prefix.is_some(), to_uploads.clone());
        std::thread::spawn(move || input::read(out, &recorder, &roles, logs, &to_uploads))
    });
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("start the runtime")?;
    let ended = places.and_then(|places| {
        let session = runtime.block_on(open(cli, frame, &places, &recorder))?;
        Ok((Arc::new(session), places))
    });
    let ended = ended.and_then(|(session, places)| {
        let feeder = feed(cli.paths.clone(), to_uploads);
        let outcome = runtime.block_on(work(&session, jobs));
        feeder.join().map_err(|_| anyhow::anyhow!("the thread that names the files died"))?;
        outcome.map(|outcomes| (session, places, outcomes))
    });
    match ended {
        Ok((session, places, Work::Cleaned(report))) => {
            drop((session, places));
            Ok(report)
        }
        Ok((session, places, Work::Planned(planned))) => {
            drop((session, places));
            let told = told(reader)?;
            planned_report(planned, &told)
        }
        Ok((session, places, Work::Uploaded(outcomes))) => {
            let told = told(reader)?;
            runtime.block_on(conclude(&session, &places, &outcomes, &told))
        }
        Err(error) => {
            let told = told(reader)?;
            let exit = status_of(&error).worse(told.worst);
            let exit = if told.died.is_empty() { exit } else { exit.worse(Exit::Failed) };
            if exit == status_of(&error) {
                return Err(error);
            }
            let hint = failure(&error).and_then(|f| f.hint.clone());
            let what = "a producer did not end with success, and nothing was uploaded".to_owned();
            Err(error.context(Failure { exit, message: what, hint, code: None }))
        }
    }
}

/// Directories and files of the run on this host.
struct Places {
    journals: PathBuf,
    logs: Option<PathBuf>,
    log: Option<PathBuf>,
}

impl Places {
    fn make(cli: &Cli) -> anyhow::Result<Self> {
        if cli.common.dry_run {
            return Ok(Self { journals: cli.common.state_dir_path()?.join("s3-put"), logs: None, log: None });
        }
        let journals = cli.common.state_dir()?.join("s3-put");
        std::fs::create_dir_all(&journals)
            .with_context(|| format!("make directory {}", journals.display()))?;
        let logs = cli.common.log_dir()?;
        let name = match &cli.log_prefix {
            Some(_) => format!("s3-put_{}.log", chrono::Local::now().format("%Y%m%d_%H%M%S")),
            None => "s3-put.log".to_owned(),
        };
        Ok(Self { journals, log: Some(logs.join(name)), logs: Some(logs) })
    }
}

async fn open(
    cli: &Cli,
    frame: &Frame,
    places: &Places,
    recorder: &Arc<Recorder>,
) -> anyhow::Result<Session> {
    let template = Template::parse(&cli.key)?;
    let bucket = cli.place.bucket()?.to_owned();
    let lock_until = cli.object_lock_until.as_deref().map(lock_time).transpose()?;
    let log = LogFile::open(places.log.as_deref(), frame.tool, frame.verbose)?;
    let note = {
        let (recorder, log) = (Arc::clone(recorder), log.clone());
        Box::new(move |note: Log| {
            log.warning(&note.message);
            // A lost note is no lost receipt; standard output will fail again with the next record.
            let _closed = recorder.emit(&note);
        })
    };
    let settings = Settings { bucket, region: cli.place.region.clone(), endpoint: cli.place.endpoint()? };
    let patience = (cli.place.retry_for, cli.place.stall_timeout);
    let store = Store::open(settings, patience, cli.bwlimit, note).await.map_err(|t| t.failure())?;
    let concurrency = usize::from(cli.concurrency);
    Ok(Session {
        cli: cli.clone(),
        store,
        recorder: Arc::clone(recorder),
        log,
        run: frame.run.clone(),
        template,
        lock_until,
        journals: places.journals.clone(),
        budget: Budget::new(cli.part_size * (concurrency as u64 + 2)),
        wires: Semaphore::new(concurrency),
        large: Semaphore::new(2),
        known: Known::default(),
        keys: Mutex::default(),
        hopeless: OnceLock::new(),
    })
}

fn lock_time(text: &str) -> anyhow::Result<DateTime<Utc>> {
    let until = match DateTime::parse_from_rfc3339(text) {
        Ok(time) => Some(time.with_timezone(&Utc)),
        Err(_) => humantime::parse_duration(text)
            .ok()
            .and_then(|d| Utc::now().checked_add_signed(chrono::Duration::from_std(d).ok()?)),
    };
    match until {
        Some(until) if until > Utc::now() => Ok(until),
        _ => Err(Failure::new(Exit::Usage, format!("--object-lock-until {text}: no time in the future"))
            .hint("write 2027-01-31T00:00:00Z or 30days")
            .into()),
    }
}

/// Hands the files of the command line over; the channel ends when the input has ended too.
fn feed(paths: Vec<PathBuf>, jobs: mpsc::Sender<Job>) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        for path in paths.into_iter().filter(|p| p.as_os_str() != "-") {
            // A record is read in another directory, and on another host.
            let path = std::path::absolute(&path).unwrap_or(path);
            if jobs.blocking_send(Job { path, ..Job::default() }).is_err() {
                return;
            }
        }
    })
}

/// What the input said, when it has ended; a signal does not wait for it.
fn told(reader: Option<std::thread::JoinHandle<anyhow::Result<Told>>>) -> anyhow::Result<Told> {
    let Some(reader) = reader else { return Ok(Told::default()) };
    while !reader.is_finished() {
        if signals::pending().is_some() {
            return Ok(Told {
                died: vec!["the input, which was not read to its end".to_owned()],
                ..Told::default()
            });
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    reader.join().map_err(|_| anyhow::anyhow!("the thread that reads the input died"))?
}

enum Work {
    Cleaned(Report),
    Planned(Vec<Kind>),
    Uploaded(Vec<Outcome>),
}

async fn work(session: &Arc<Session>, jobs: mpsc::Receiver<Job>) -> anyhow::Result<Work> {
    let cli = &session.cli;
    if cli.cleanup {
        return cleanup::run(session, cli.common.dry_run).await.map(Work::Cleaned);
    }
    reach(session).await.map_err(|t| t.failure())?;
    if cli.common.dry_run {
        return plan(session, jobs).await.map(Work::Planned);
    }
    batch::run(session, jobs).await.map(Work::Uploaded)
}

/// Asks the bucket one small question, so that a wrong name is told once and not for each file.
async fn reach(session: &Session) -> Result<(), Trouble> {
    match session.store.list(&session.cli.place.prefix, 1).await {
        Err(trouble) if matches!(trouble.kind, Kind::Denied) => {
            // Who may only write may still upload; wrong credentials show with the first file.
            session.log.info(&format!("the bucket cannot be listed: {trouble}"));
            Ok(())
        }
        other => other.map(|_| ()),
    }
}

async fn plan(session: &Session, mut jobs: mpsc::Receiver<Job>) -> anyhow::Result<Vec<Kind>> {
    let mut failed = Vec::new();
    while let Some(job) = jobs.recv().await {
        let path = job.path.to_string_lossy().into_owned();
        let planned = async {
            let source = Source::open(&job.path).map_err(|e| Trouble::local(&e))?;
            let key = session.key(&job, &source.identity).map_err(|e| Trouble::local(&e))?;
            let seen = match session.known.may_exist(&session.store, &key).await? {
                true => session.store.head(&key).await?,
                false => None,
            };
            let bytes = source.identity.bytes;
            let layout = Layout::new(bytes, session.cli.part_size);
            let (action, reason) = match seen {
                None => ("upload", format!("not in the bucket; {} part(s)", layout.count())),
                Some(seen) if seen.bytes == bytes => (
                    "compare",
                    "an object of the same size is there; present if its content is the same".to_owned(),
                ),
                Some(seen) => ("refuse", format!("an object of {} bytes is there", seen.bytes)),
            };
            Ok::<_, Trouble>((action, reason, key, bytes))
        };
        match planned.await {
            Ok((action, reason, key, bytes)) => session.recorder.emit(&Planned {
                action: action.to_owned(),
                reason,
                path: Some(path),
                dest: Some(format!("s3://{}/{key}", session.store.bucket())),
                bytes: Some(bytes),
                ..Planned::default()
            })?,
            Err(trouble) if trouble.kind == Kind::Stopped => break,
            Err(trouble) => {
                failed.push(trouble.kind);
                session.recorder.emit(&Log::error(format!("{path}: {}", trouble.reason())))?;
            }
        }
    }
    Ok(failed)
}

fn planned_report(failed: Vec<Kind>, told: &Told) -> anyhow::Result<Report> {
    let own = if failed.is_empty() && told.bad_lines == 0 { Exit::Success } else { Exit::Partial };
    let died = if told.died.is_empty() { Exit::Success } else { Exit::Failed };
    let mut report = Report::new(own.worse(told.worst).worse(died));
    report.count("failed", failed.len() as u64);
    Ok(report)
}

/// Everything after the last upload.
async fn conclude(
    session: &Session,
    places: &Places,
    outcomes: &[Outcome],
    told: &Told,
) -> anyhow::Result<Report> {
    let mut tally = tally(outcomes, told);
    let stopped = signals::pending().is_some();
    let died = !told.died.is_empty();
    if died && !stopped {
        let message = format!("{} ended without run_end: it died", told.died.join(", "));
        session.log.error(&message);
        session.recorder.emit(&Log::error(message))?;
    }
    let mut manifest = false;
    let mut after = Vec::new();
    if session.cli.stores_manifest() && tally.stored() > 0 && !stopped {
        match manifest::store(session, Utc::now()).await {
            Ok(stored) => manifest = stored.is_some(),
            Err(trouble) if trouble.kind == Kind::Stopped => {}
            Err(trouble) => {
                after.push((trouble.kind, format!("the manifest is not stored: {}", trouble.reason())))
            }
        }
    }
    let mut report = Report::default();
    if session.cli.delete_source && !outcomes.is_empty() {
        let proof = Proof {
            files: outcomes.len() as u64,
            stored: tally.stored(),
            bad_lines: tally.bad_lines,
            manifest,
            died,
            producers: told.worst,
            stopped: stopped || signals::pending().is_some(),
        };
        match keep_sources(&proof) {
            None => {
                let (deleted, problems) = release::delete(session, outcomes)?;
                report.count("deleted", deleted);
                after.extend(problems.into_iter().map(|p| (Kind::Other, p)));
            }
            Some(why) => {
                let message = format!("--delete-source: no local file is deleted: {why}");
                session.log.warning(&message);
                session.recorder.emit(&Log::warning(message))?;
            }
        }
    }
    if let (Some(own), Some(dir), false, true) =
        (&places.log, &places.logs, stopped, session.hopeless.get().is_none())
    {
        let others: Vec<PathBuf> = outcomes.iter().map(|o| o.path.clone()).collect();
        after.extend(logs::finish(session, own, &absolute(&others), dir).await?);
    }
    for (kind, problem) in after {
        session.log.error(&problem);
        session.recorder.emit(&Log::error(problem))?;
        tally.failed.push(kind);
    }
    finish(report, session, &tally, told)
}

fn absolute(paths: &[PathBuf]) -> Vec<PathBuf> {
    paths.iter().map(|p| Path::canonicalize(p).unwrap_or_else(|_| p.clone())).collect()
}

fn tally(outcomes: &[Outcome], told: &Told) -> Tally {
    let mut tally = Tally { bad_lines: told.bad_lines, ..Tally::default() };
    for outcome in outcomes {
        match &outcome.result {
            Ok(stored) => match stored.status {
                ObjectStatus::Resumed => tally.resumed += 1,
                ObjectStatus::Present => tally.present += 1,
                ObjectStatus::Uploaded | ObjectStatus::Failed => tally.uploaded += 1,
            },
            Err(trouble) => tally.failed.push(trouble.kind),
        }
    }
    tally
}

fn finish(mut report: Report, session: &Session, tally: &Tally, told: &Told) -> anyhow::Result<Report> {
    let died = if told.died.is_empty() { Exit::Success } else { Exit::Failed };
    let stopped = signals::pending().is_some();
    // A stopped run has 130 or 143 from the frame; input that was not read to its end is no death then.
    let died = if stopped { Exit::Success } else { died };
    let own = tally.exit(session.store.changed());
    report.exit = Some(own.worse(died).worse(told.worst));
    let conflicts = tally.failed.iter().filter(|k| **k == Kind::Conflict).count() as u64;
    let broken = tally.failed.iter().filter(|k| !matches!(k, Kind::Conflict | Kind::Stopped)).count() as u64;
    for (name, n) in [
        ("uploaded", tally.uploaded),
        ("resumed", tally.resumed),
        ("present", tally.present),
        ("refused", conflicts),
        ("failed", broken),
        ("bad_lines", tally.bad_lines),
        ("retries", session.store.retries()),
        ("bytes", session.store.moved()),
    ] {
        if n > 0 {
            report.count(name, n);
        }
    }
    if let Some(trouble) = session.hopeless.get().filter(|t| t.kind != Kind::Stopped) {
        report.message = Some(trouble.reason());
        if report.exit != Some(Exit::Success) {
            session.log.error(&trouble.reason());
        }
    }
    session.log.info(&format!("end: {:?}", report.counts));
    Ok(report)
}
