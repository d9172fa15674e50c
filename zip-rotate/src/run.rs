//! The modes, and the order of a night: pack, prove, copy, rotate.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use chrono::{DateTime, Local, NaiveDate, SubsecRound};
use common::app::{Frame, Report};
use common::durable;
use common::exit::{failure, status_of, Exit, Failure};
use common::lock::Lock;
use common::logfile::{LogFile, Progress};
use common::record::{File as FileRecord, Log, Planned, Role};
use sha2::{Digest, Sha256};

use crate::apply::{self, text, Side};
use crate::archive::{self, Heir};
use crate::cli::Cli;
use crate::collect::{collect, Collected};
use crate::copies;
use crate::days::Names;
use crate::dumps;
use crate::facts::is_archive;
use crate::input::{self, Given};
use crate::job::{self, Answer, Copy, Job, Place};
use crate::manifest::Head;
use crate::pack::{self, hex, Source};
use crate::plan::{Backup, Policy, State};
use crate::prove::{prove, Proof};
use crate::simulate;
use crate::store::{Mark, Store};

/// How much of its content an archive takes where no earlier one tells.
const USUAL: f64 = 0.6;

/// What a run has.
pub struct Session<'a> {
    pub cli: &'a Cli,
    pub frame: &'a Frame,
    pub log: LogFile,
    pub lock: Option<Lock>,
    pub store: Store,
    pub names: Names,
    pub policy: Policy,
    pub db: String,
    pub dir: PathBuf,
    pub started: DateTime<Local>,
}

/// Runs the tool.
pub fn run(cli: &Cli, frame: &Frame) -> anyhow::Result<Report> {
    let db = std::env::var("ORACLE_SID").unwrap_or_default();
    let names = Names::new(&cli.name, cli.weekday_language, &db)?;
    let policy = Policy { days: cli.keep_days, min: cli.keep_min, max: cli.keep_max };
    if let Some(path) = &cli.verify {
        return verify(path, frame, &db);
    }
    if cli.simulate.is_some() {
        refuse(policy)?;
        return simulate::run(cli, frame, &names, policy, &db);
    }
    // Behind a producer its verdict decides about removal, whether there is something to pack or not.
    let reads = !cli.rotate_only || input::is_given();
    let given = if reads { Some(input::read(cli, frame)?) } else { None };
    let ended = proceed(cli, frame, names, policy, db, given.as_ref());
    ended.map_err(|error| match &given {
        Some(given) => with_input(error, given, cli.rotate_only),
        None => error,
    })
}

/// The status of the pipeline is that of the input's runs where they ended worse than we do.
fn with_input(error: anyhow::Error, given: &Given, rotate_only: bool) -> anyhow::Error {
    let exit = status_of(&error).worse(given.exit);
    if exit == status_of(&error) {
        return error;
    }
    let hint = failure(&error).and_then(|f| f.hint.clone());
    let what = if rotate_only { "no old archive was removed" } else { "no archive was made" };
    let message = format!("the input tells of a failure, and {what}");
    error.context(Failure { exit, message, hint, code: None })
}

fn refuse(policy: Policy) -> anyhow::Result<()> {
    match policy.refusal() {
        None => Ok(()),
        Some(why) => Err(Failure::new(Exit::Refused, why)
            .hint("--keep-days, --keep-min and --keep-max say how much is kept")
            .into()),
    }
}

fn proceed(
    cli: &Cli,
    frame: &Frame,
    names: Names,
    policy: Policy,
    db: String,
    given: Option<&Given>,
) -> anyhow::Result<Report> {
    refuse(policy)?;
    let dir = cli.dir.as_ref().ok_or_else(|| {
        Failure::new(Exit::Usage, "no directory for the archives").hint("name it with --dir or DB_FOLDER")
    })?;
    let dir = dir.canonicalize().map_err(|e| {
        Failure::new(Exit::Refused, format!("look at {}: {e}", dir.display()))
            .hint("it is never made: it may be a mount that is missing")
    })?;
    let dry = cli.common.dry_run;
    let (log, lock, state_dir) = if dry {
        (LogFile::open(None, frame.tool, frame.verbose)?, None, cli.common.state_dir_path()?)
    } else {
        let state_dir = cli.common.state_dir()?;
        let name = format!("{}.zip", text(&dir).trim_matches('/').replace('/', "_"));
        let lock = Lock::take(&state_dir, &name, frame.tool, &frame.run, cli.common.lock_timeout)?;
        (frame.log(&cli.common, "zip-rotate.log")?, Some(lock), state_dir)
    };
    let (store, aside) = Store::open(&state_dir, !dry)?;
    let mut session = Session {
        cli,
        frame,
        log,
        lock,
        store,
        names,
        policy,
        db,
        dir,
        started: Local::now().trunc_subsecs(0),
    };
    if let Some(aside) = aside {
        session.warn(&format!(
            "the file of proofs was damaged and is now {}; archives are read anew",
            aside.display()
        ))?;
    }
    session.check_places()?;
    if !dry {
        for path in job::sweep(&session.dir, &session.prefix())? {
            session.log.info(&format!("removed {}, which a run that died has left", path.display()));
        }
    }
    let ended = match given {
        None => session.rotate(Report::new(Exit::Success)),
        Some(given) if cli.rotate_only => session.rotate_after(given),
        Some(given) => session.night(given),
    };
    if let Err(error) = &ended {
        // The frame says it on standard error.
        session.log.info(&format!("ended: {error:#}"));
    }
    ended
}

fn verify(path: &Path, frame: &Frame, db: &str) -> anyhow::Result<Report> {
    let mut paths = vec![path.to_owned()];
    if path.is_dir() {
        let list = std::fs::read_dir(path).with_context(|| format!("list {}", path.display()))?;
        let list: Result<Vec<_>, _> = list.map(|e| e.map(|e| e.path())).collect();
        paths = list.with_context(|| format!("list {}", path.display()))?;
        paths.retain(|p| p.file_name().and_then(|n| n.to_str()).is_some_and(is_archive));
        paths.sort();
    } else if !path.exists() {
        return Err(Failure::new(Exit::Usage, format!("{} is not there", path.display())).into());
    }
    let mut report = Report::new(Exit::Success);
    if paths.is_empty() {
        let message = format!("no archive is in {}: nothing is proven", path.display());
        frame.out.emit(&Log::error(&message))?;
        report.exit = Some(Exit::Finding);
        report.message = Some(message);
    }
    for path in &paths {
        match prove(path, None, &mut |_| job::stopped()) {
            Ok(proof) => {
                report.count("good", 1);
                frame.out.emit(&receipt(path, &proof, db))?;
            }
            Err(error) => {
                job::stopped()?;
                report.count("damaged", 1);
                report.exit = Some(Exit::Finding);
                let message = format!("{} is damaged: {error:#}", path.display());
                common::app::report_error(frame.tool, &anyhow::anyhow!(message.clone()));
                frame.out.emit(&Log::error(message))?;
            }
        }
    }
    Ok(report)
}

fn receipt(path: &Path, proof: &Proof, db: &str) -> FileRecord {
    let head = proof.head.as_ref();
    let db = head.map_or(db, |h| &h.db);
    FileRecord {
        path: text(path),
        bytes: Some(proof.bytes),
        sha256: Some(proof.sha256.clone()),
        role: Some(Role::Archive),
        db: (!db.is_empty()).then(|| db.to_owned()),
        backup_time: head.map(|h| h.backup_time.to_rfc3339()),
        ..FileRecord::default()
    }
}

/// An archive that has its name.
struct Made {
    name: String,
    proof: Proof,
    complete: bool,
}

impl Session<'_> {
    pub fn today(&self) -> NaiveDate {
        self.started.date_naive()
    }

    /// Beginning of the names of our unfinished files, here and in the directories for copies: of this host and of
    /// this directory, whose lock we hold.
    fn prefix(&self) -> String {
        let hash = hex(&Sha256::digest(text(&self.dir))[..4]);
        format!(".orapipe-zip-{}-{hash}-", common::app::host())
    }

    /// Does a job here or in a child.
    pub fn perform(&self, job: &Job, is_copy: bool) -> anyhow::Result<Answer> {
        self.perform_and_note(job, is_copy, &mut |_| {})
    }

    /// The same; `gone` is told the name of each file that is removed, at once.
    pub fn perform_and_note(
        &self,
        job: &Job,
        is_copy: bool,
        gone: &mut dyn FnMut(String),
    ) -> anyhow::Result<Answer> {
        let progress = || {
            if let Some(lock) = &self.lock {
                lock.progress();
            }
        };
        if is_copy {
            return copies::ask(job, self.cli.copy_timeout, &mut |_| progress(), gone);
        }
        let mut tick = |_| {
            progress();
            job::stopped()
        };
        job::perform(job, &mut tick, &mut |name| {
            gone(name.to_owned());
            Ok(())
        })
    }

    fn here(&self) -> Place {
        Place { dir: self.dir.clone(), sentinel: None, apart_from: None, other_than: None }
    }

    fn night(&mut self, given: &Given) -> anyhow::Result<Report> {
        let Collected { sources, failed } = collect(&given.files);
        let mut report = Report::new(given.exit);
        report.count("files", sources.len() as u64);
        let mut lacks = given.lacks.clone();
        for (path, reason) in &failed {
            let message = format!("{} is left out: {reason}", path.display());
            self.log.error(&message);
            self.frame.out.emit(&Log::error(&message))?;
            lacks.push(message);
            report.count("failed", 1);
            report.exit = Some(given.exit.worse(Exit::Partial));
        }
        report.count("failed", given.bad_lines);
        if sources.is_empty() {
            let message = "no file to pack: no archive is made, and nothing is removed";
            self.warn(message)?;
            report.message = Some(message.to_owned());
            return Ok(report);
        }
        let complete = lacks.is_empty() && given.exit == Exit::Success;
        let (db, host) = (self.db.clone(), common::app::host());
        let head = Head { complete, backup_time: self.started.fixed_offset(), db, host, lacks };
        let name = self.free_name(&heir(&head, &sources));
        self.check_space(&sources)?;
        if self.cli.common.dry_run {
            return self.rehearse(&sources, name, complete, report);
        }
        let made = self.make(&sources, &head, name)?;
        report.count("archives", 1);
        report.count("bytes", made.proof.bytes);
        let copied = self.copy_all(&made, &heir(&head, &sources), &mut report)?;
        let why = if given.exit != Exit::Success {
            Some("the run before was no success")
        } else if !made.complete {
            Some("the archive lacks something")
        } else if !copied {
            Some("a copy failed")
        } else {
            None
        };
        if let Some(why) = why {
            self.warn(&format!("no old archive is removed: {why}"))?;
            return Ok(report);
        }
        self.rotate(report)
    }

    /// The name of the new archive. One that is taken is used again only when nothing of worth is lost by it.
    fn free_name(&self, heir: &Heir) -> String {
        let usable = |name: &String| {
            let path = self.dir.join(name);
            std::fs::symlink_metadata(&path).is_err() || heir.may_replace(&path)
        };
        let mut names = (1..10_000).map(|n| self.names.name(self.started, n));
        names.find(usable).unwrap_or_else(|| self.names.name(self.started, std::process::id()))
    }

    fn check_space(&self, sources: &[Source]) -> anyhow::Result<()> {
        let content: u64 = sources.iter().map(|s| s.bytes).sum();
        let needed = (content as f64 * self.usual_ratio()).ceil() as u64 + (1 << 20);
        let free = job::free(&self.dir)?;
        if free >= needed {
            return Ok(());
        }
        let message = format!(
            "{} has {} MiB free, and the archive of {} MiB of files will need about {} MiB",
            self.dir.display(),
            free >> 20,
            content >> 20,
            needed >> 20
        );
        Err(Failure::new(Exit::Refused, message).hint("make room; what is there is untouched").into())
    }

    /// Size to content of the newest archive here, with a reserve.
    fn usual_ratio(&self) -> f64 {
        let Ok(list) = std::fs::read_dir(&self.dir) else { return USUAL };
        let ours = list.filter_map(Result::ok).filter_map(|e| {
            let name = e.file_name().into_string().ok().filter(|n| self.names.is_ours(n))?;
            Some((e.metadata().ok()?.modified().ok()?, self.dir.join(name)))
        });
        let Some((_, path)) = ours.max() else { return USUAL };
        let bytes = std::fs::metadata(&path).map_or(0, |m| m.len());
        match archive::look(&path) {
            // A few files say nothing of many.
            Ok(look) if look.content >= 1 << 20 => (bytes as f64 / look.content as f64 * 1.1).min(1.01),
            _ => USUAL,
        }
    }

    fn make(&mut self, sources: &[Source], head: &Head, name: String) -> anyhow::Result<Made> {
        let temporary = self.dir.join(format!("{}{}.tmp", self.prefix(), self.frame.run));
        let target = self.dir.join(&name);
        let made = self.make_at(sources, head, &temporary).and_then(|proof| {
            std::fs::rename(&temporary, &target)
                .with_context(|| format!("rename to {}", target.display()))?;
            durable::sync_dir(&self.dir)?;
            Ok(proof)
        });
        let proof = match made {
            Ok(proof) => proof,
            Err(error) => {
                let _left = std::fs::remove_file(&temporary);
                return Err(explain(error, &self.dir));
            }
        };
        let meta = std::fs::metadata(&target).with_context(|| format!("look at {}", target.display()))?;
        self.store.add(&self.dir.clone(), &name, Mark::new(&meta, &proof.sha256))?;
        let content: u64 = sources.iter().map(|s| s.bytes).sum();
        self.log.info(&format!(
            "made {} of {} files: {content} bytes became {}, read back and proven",
            target.display(),
            sources.len(),
            proof.bytes
        ));
        self.frame.out.emit(&receipt(&target, &proof, &self.db))?;
        Ok(Made { name, proof, complete: head.complete })
    }

    fn make_at(&self, sources: &[Source], head: &Head, temporary: &Path) -> anyhow::Result<Proof> {
        let file: File = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o640)
            .open(temporary)
            .with_context(|| format!("make {}", temporary.display()))?;
        let content: u64 = sources.iter().map(|s| s.bytes).sum();
        // Packing counts once and the proof once.
        let mut progress = Progress::new(content * 2);
        let mut tick = |done: u64| {
            progress.show(done);
            if let Some(lock) = &self.lock {
                lock.progress();
            }
            job::stopped()
        };
        let how = (self.cli.level(), self.cli.threads());
        let begin = std::time::Instant::now();
        let members = pack::pack(&file, sources, head, how, &mut tick);
        let members = members.context("make the archive")?;
        file.sync_all().context("sync the archive")?;
        drop(file);
        self.log.info(&format!("{content} bytes packed in {:.2} s", begin.elapsed().as_secs_f64()));
        let proof = prove(temporary, Some(&members), &mut |done| tick(content + done));
        progress.end();
        proof.context("prove the archive")
    }

    /// Copies the archive to every place and says whether all of it worked.
    fn copy_all(&mut self, made: &Made, heir: &Heir, report: &mut Report) -> anyhow::Result<bool> {
        let mut all = true;
        for place in self.places()? {
            let dir = place.dir.clone();
            let copy = Copy {
                place,
                source: self.dir.join(&made.name),
                name: made.name.clone(),
                bytes: made.proof.bytes,
                sha256: made.proof.sha256.clone(),
                heir: heir.clone(),
                temporary: (self.prefix(), format!("{}.tmp", self.frame.run)),
            };
            match self.perform(&Job::Copy(copy), true) {
                Ok(Answer::Copied(mark)) => {
                    self.store.add(&dir, &made.name, mark)?;
                    let path = dir.join(&made.name);
                    self.log.info(&format!("copied to {}, read back and proven", path.display()));
                    self.frame.out.emit(&receipt(&path, &made.proof, &self.db))?;
                    report.count("copies", 1);
                }
                Ok(_) => anyhow::bail!("the child answered another question"),
                Err(error) => {
                    job::stopped()?;
                    all = false;
                    report.count("failed_copies", 1);
                    report.exit = Some(report.exit.unwrap_or(Exit::Success).worse(Exit::Partial));
                    let message = format!("copy {} to {}: {error:#}", made.name, dir.display());
                    common::app::report_error(self.frame.tool, &error.context(format!("copy {}", made.name)));
                    self.frame.out.emit(&Log::error(&message))?;
                    self.log.info(&message);
                    report.message = Some(message);
                }
            }
        }
        Ok(all)
    }

    /// The retention behind a producer: only when all that it tells of was a success.
    fn rotate_after(&mut self, given: &Given) -> anyhow::Result<Report> {
        let mut report = Report::new(given.exit);
        report.count("failed", given.bad_lines);
        if given.exit == Exit::Success && given.lacks.is_empty() {
            return self.rotate(report);
        }
        let why = given.lacks.first().map_or("the run before was no success", String::as_str);
        let message = format!("no old archive is removed: {why}");
        self.warn(&message)?;
        report.message = Some(message);
        Ok(report)
    }

    /// Applies the retention everywhere, after a look at every place: where one cannot be seen, nothing goes anywhere.
    fn rotate(&mut self, mut report: Report) -> anyhow::Result<Report> {
        let mut sides = vec![apply::survey(self, self.here(), false)?];
        for place in self.places()? {
            match apply::survey(self, place, true) {
                Ok(side) => sides.push(side),
                Err(error) => {
                    job::stopped()?;
                    report.exit = Some(report.exit.unwrap_or(Exit::Success).worse(Exit::Partial));
                    let message = format!("no old archive is removed: {error:#}");
                    self.warn(&message)?;
                    report.message = Some(message);
                    return Ok(report);
                }
            }
        }
        if self.cli.common.dry_run {
            for side in &sides {
                apply::rehearse(self, side, None)?;
            }
            self.remove_dumps(&sides, &mut report)?;
            return Ok(report);
        }
        for side in &sides {
            let tally = apply::rotate(self, side)?;
            report.count("kept", tally.kept);
            report.count("removed", tally.removed);
            if tally.damaged > 0 {
                report.count("damaged", tally.damaged);
                report.exit = Some(report.exit.unwrap_or(Exit::Success).worse(Exit::Partial));
                report.message = Some("an archive is damaged; a log record names it".to_owned());
            }
        }
        self.remove_dumps(&sides, &mut report)?;
        Ok(report)
    }

    fn remove_dumps(&self, sides: &[Side], report: &mut Report) -> anyhow::Result<()> {
        if let Some(here) = sides.first().filter(|_| self.cli.remove_dumps) {
            let removed = dumps::remove(self, &apply::proven(self, here))?;
            report.count("removed_dumps", removed);
        }
        Ok(())
    }

    fn rehearse(
        &mut self,
        sources: &[Source],
        name: String,
        complete: bool,
        report: Report,
    ) -> anyhow::Result<Report> {
        let content: u64 = sources.iter().map(|s| s.bytes).sum();
        let target = text(&self.dir.join(&name));
        let planned = |action: &str, reason: String, path: String, dest: Option<String>| Planned {
            action: action.to_owned(),
            reason,
            path: Some(path),
            dest,
            ..Planned::default()
        };
        let mut archive = planned("archive", format!("{} files", sources.len()), target.clone(), None);
        archive.bytes = Some(content);
        self.frame.out.emit(&archive)?;
        for place in self.places()? {
            let dest = text(&place.dir.join(&name));
            self.frame.out.emit(&planned(
                "copy",
                "when it is proven".to_owned(),
                target.clone(),
                Some(dest),
            ))?;
        }
        if !complete {
            self.frame.out.emit(&Log::warning("nothing would be removed: the night was no full success"))?;
            return Ok(report);
        }
        let new = Backup {
            name,
            day: self.today(),
            made: self.started.timestamp(),
            bytes: content,
            state: State::Good,
        };
        let mut sides = vec![apply::survey(self, self.here(), false)?];
        for place in self.places()? {
            sides.push(apply::survey(self, place, true)?);
        }
        for side in &sides {
            apply::rehearse(self, side, Some(new.clone()))?;
        }
        Ok(report)
    }
}

/// What decides whether the new archive may have a name that is taken.
fn heir(head: &Head, sources: &[Source]) -> Heir {
    Heir {
        complete: head.complete,
        db: head.db.clone(),
        host: head.host.clone(),
        // As the members are written.
        paths: sources.iter().map(|s| s.path.display().to_string()).collect(),
    }
}

fn explain(error: anyhow::Error, dir: &Path) -> anyhow::Error {
    let full = |e: &std::io::Error| {
        matches!(e.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded)
    };
    if error.chain().any(|c| c.downcast_ref::<std::io::Error>().is_some_and(full)) {
        let message =
            format!("{} is full: no archive was made, and what was there is untouched", dir.display());
        return error.context(Failure::new(Exit::Failed, message).hint("make room and run it again"));
    }
    error
}
