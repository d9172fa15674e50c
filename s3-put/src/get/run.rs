//! The run of s3-get.

use std::path::Path;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use anyhow::Context;
use chrono::Utc;
use common::app::{Frame, Report};
use common::exit::{Exit, Failure};
use common::logfile::{LogFile, Progress};
use common::record::{Checksum, Log, Object, ObjectStatus, Planned};
use common::signals;
use futures_util::stream::{self, StreamExt};
use tokio::sync::Semaphore;

use super::cli::Cli;
use super::download::{self, Done};
use super::fetch::{fetch, Nothing, Wires};
use super::input::{self, Told, Wanted};
use super::judge::{judge, Verdict};
use super::{manifests, names};
use crate::put::plan::Tally;
use crate::put::reader::Budget;
use crate::store::{digest, stopped, Kind, Seen, Settings, Store, Trouble};

/// Objects that are looked at or fetched at the same time.
const AT_ONCE: usize = 16;

/// Runs the tool.
pub fn run(cli: &Cli, frame: &Frame) -> anyhow::Result<Report> {
    if !cli.manifests && !cli.verify && cli.dest.is_none() {
        return Err(Failure::new(Exit::Usage, "what is to be done: --manifests, --dest DIR or --verify")
            .hint("s3-get --manifests shows what there is")
            .into());
    }
    if cli.reads_stdin() && std::io::IsTerminal::is_terminal(&std::io::stdin()) {
        return Err(Failure::new(Exit::Usage, "nothing to fetch: standard input is a terminal")
            .hint("name keys, or pipe records into it: s3-get --manifests | s3-get --dest DIR")
            .into());
    }
    let mut told = if cli.reads_stdin() { input::read(frame.out.clone())? } else { Told::default() };
    let named = cli.keys.iter().filter(|k| *k != "-");
    told.wanted.extend(named.map(|key| Wanted { key: key.clone(), ..Wanted::default() }));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("start the runtime")?;
    let ended = runtime.block_on(proceed(cli, frame, &told));
    let died = if told.died.is_empty() { Exit::Success } else { Exit::Failed };
    if !told.died.is_empty() {
        frame.out.emit(&Log::error(format!("{} ended without run_end: it died", told.died.join(", "))))?;
    }
    let from_input = told.worst.worse(died);
    match ended {
        Ok(mut report) => {
            report.exit = Some(report.exit.unwrap_or(Exit::Success).worse(from_input));
            Ok(report)
        }
        Err(error) => {
            let own = common::exit::status_of(&error);
            if own.worse(from_input) == own {
                return Err(error);
            }
            let hint = common::exit::failure(&error).and_then(|f| f.hint.clone());
            let message = "a producer did not end with success, and nothing was fetched".to_owned();
            Err(error.context(Failure { exit: own.worse(from_input), message, hint, code: None }))
        }
    }
}

async fn proceed(cli: &Cli, frame: &Frame, told: &Told) -> anyhow::Result<Report> {
    let since = cli.since.as_deref().map(|text| manifests::since(text, Utc::now())).transpose()?;
    let recorded = told.wanted.iter().find_map(|w| w.bucket.clone());
    let bucket = match (&cli.place.bucket, recorded) {
        (Some(bucket), _) => bucket.clone(),
        (None, Some(bucket)) => bucket,
        (None, None) if !cli.manifests && told.wanted.is_empty() => String::new(),
        (None, None) => cli.place.bucket()?.to_owned(),
    };
    if !cli.manifests && told.wanted.is_empty() {
        frame.out.emit(&Log::warning("the input names no object: nothing to do"))?;
        let exit = if told.bad_lines > 0 { Exit::Partial } else { Exit::Success };
        return Ok(Report::new(exit));
    }
    let log = match cli.common.dry_run {
        true => LogFile::open(None, frame.tool, frame.verbose)?,
        false => frame.log(&cli.common, "s3-get.log")?,
    };
    let note = {
        let (out, log) = (frame.out.clone(), log.clone());
        Box::new(move |note: Log| {
            log.warning(&note.message);
            let _closed = out.emit(&note);
        })
    };
    let settings = Settings { bucket, region: cli.place.region.clone(), endpoint: cli.place.endpoint()? };
    let patience = (cli.place.retry_for, cli.place.stall_timeout);
    let store = Store::open(settings, patience, cli.bwlimit, note).await.map_err(|t| t.failure())?;
    if cli.manifests {
        return manifests::run(&store, frame, &cli.place.prefix, since).await;
    }
    let concurrency = u64::from(cli.concurrency);
    let wires = Wires {
        budget: Budget::new(cli.range_size * (concurrency + 2)),
        turns: Semaphore::new(usize::from(cli.concurrency)),
        range_size: cli.range_size,
    };
    let all = Run {
        cli,
        frame,
        store,
        wires,
        log,
        hopeless: OnceLock::new(),
        bucket: tokio::sync::OnceCell::new(),
    };
    all.objects(told).await
}

struct Run<'a> {
    cli: &'a Cli,
    frame: &'a Frame,
    store: Store,
    wires: Wires,
    log: LogFile,
    hopeless: OnceLock<Trouble>,
    /// Whether there is such a bucket; asked when the first object is not there.
    bucket: tokio::sync::OnceCell<()>,
}

/// An object that is there.
type Found<'a> = (&'a Wanted, &'a str, Seen);

impl Run<'_> {
    async fn objects(&self, told: &Told) -> anyhow::Result<Report> {
        let mut tally = Tally { bad_lines: told.bad_lines, ..Tally::default() };
        let mut unproven = 0;
        let named = match self.cli.verify {
            true => told.wanted.iter().map(|w| (w.key.as_str(), Ok(w.key.as_str()))).collect(),
            false => names::assign(told.wanted.iter().map(|w| w.key.as_str())),
        };
        let looks = told
            .wanted
            .iter()
            .zip(named)
            .map(|(wanted, (_, name))| async move { (wanted, self.look(wanted, name).await) });
        let mut looks = Box::pin(stream::iter(looks).buffered(AT_ONCE));
        let mut found: Vec<Found<'_>> = Vec::new();
        while let Some((wanted, looked)) = looks.next().await {
            match looked {
                Ok((name, seen)) => found.push((wanted, name, seen)),
                Err(trouble) => self.failed(wanted, &trouble, &mut tally)?,
            }
        }
        if let Some(trouble) = self.hopeless.get().filter(|t| found.is_empty() && t.kind != Kind::Stopped) {
            return Err(trouble.failure().into());
        }
        if let Some(dir) = &self.cli.dest {
            self.prepare(dir, &found)?;
        }
        let total = found.iter().map(|(_, _, seen)| seen.bytes).sum();
        if self.cli.common.dry_run {
            for (wanted, name, seen) in &found {
                self.planned(wanted, name, seen)?;
            }
            return Ok(self.report(&tally, unproven));
        }
        let mut progress = Progress::new(total);
        let work = found.iter().map(|found| async move { (found.0, self.one(found).await) });
        let mut work = Box::pin(stream::iter(work).buffer_unordered(AT_ONCE));
        let mut tick = tokio::time::interval(Duration::from_millis(250));
        loop {
            let (wanted, done) = tokio::select! {
                done = work.next() => match done {
                    Some(done) => done,
                    None => break,
                },
                _ = tick.tick() => {
                    progress.show(self.store.moved());
                    continue;
                }
                () = stopped() => break,
            };
            match done {
                Ok(one) => {
                    match one.done {
                        Some(Done::Present) => tally.present += 1,
                        Some(Done::Fetched { resumed }) if resumed > 0 => tally.resumed += 1,
                        _ => tally.uploaded += 1,
                    }
                    if let Some(what) = &one.unproven {
                        unproven += 1;
                        let failure = Failure::new(Exit::Partial, what.clone());
                        common::app::report_error(self.frame.tool, &failure.into());
                    }
                    (one.emit)(&self.frame.out)?;
                }
                Err(trouble) => self.failed(wanted, &trouble, &mut tally)?,
            }
        }
        progress.end();
        Ok(self.report(&tally, unproven))
    }

    async fn look<'w>(
        &self,
        wanted: &Wanted,
        name: Result<&'w str, String>,
    ) -> Result<(&'w str, Seen), Trouble> {
        if let Some(trouble) = self.hopeless.get() {
            return Err(trouble.clone());
        }
        if wanted.bucket.as_deref().is_some_and(|b| b != self.store.bucket()) {
            return Err(Trouble::new(
                Kind::Refused,
                format!(
                    "it is in bucket {}, not {}",
                    wanted.bucket.as_deref().unwrap_or_default(),
                    self.store.bucket()
                ),
            ));
        }
        let name = name.map_err(|why| Trouble::new(Kind::Refused, why))?;
        let looked = match self.store.head(&wanted.key).await {
            Ok(None) => self.bucket.get_or_try_init(|| self.store.bucket_is_there()).await.map(|()| None),
            looked => looked,
        };
        let seen = looked.and_then(|seen| {
            seen.ok_or_else(|| {
                Trouble::new(
                    Kind::Missing,
                    format!("s3://{}/{} is not there", self.store.bucket(), wanted.key),
                )
                .hint("it was deleted or never uploaded; plan the restore without it (rman-run plan)")
            })
        });
        match seen {
            Ok(seen) => match wanted.bytes.filter(|said| *said != seen.bytes) {
                Some(said) => Err(download::wrong(
                    &self.store,
                    &wanted.key,
                    &format!("it has {} bytes, its record says {said}", seen.bytes),
                )),
                None => Ok((name, seen)),
            },
            Err(trouble) => {
                if trouble.kind.ends_the_run() {
                    let _first = self.hopeless.set(trouble.clone());
                }
                Err(trouble)
            }
        }
    }

    /// The directory is there and has room for everything.
    fn prepare(&self, dir: &Path, found: &[Found<'_>]) -> anyhow::Result<()> {
        if !self.cli.common.dry_run {
            std::fs::create_dir_all(dir).map_err(|e| {
                Failure::new(Exit::Usage, format!("make directory {}: {e}", dir.display()))
                    .hint("name a directory that this user may write with --dest")
            })?;
        }
        if !dir.exists() {
            return Ok(());
        }
        let needed = found
            .iter()
            .filter(|(_, name, _)| !dir.join(name).exists())
            .map(|(_, name, seen)| seen.bytes.saturating_sub(download::reserved(dir, name)))
            .sum();
        match download::room(dir, needed)? {
            None => Ok(()),
            Some((needed, free)) => Err(Failure::new(
                Exit::Refused,
                format!("{} has {free} bytes free, the files need {needed}", dir.display()),
            )
            .hint("make room or name another directory with --dest; nothing was fetched")
            .into()),
        }
    }

    fn planned(&self, wanted: &Wanted, name: &str, seen: &Seen) -> anyhow::Result<()> {
        let dest = self.cli.dest.as_ref().map(|dir| dir.join(name));
        let there = dest.as_ref().is_some_and(|d| d.exists());
        let (action, reason) = match (&dest, there) {
            (None, _) => ("verify", "its hashes are compared, nothing is kept"),
            (Some(_), true) => ("compare", "a file of this name is there; kept if its content is the same"),
            (Some(_), false) => ("fetch", "not there"),
        };
        self.frame.out.emit(&Planned {
            action: action.to_owned(),
            reason: reason.to_owned(),
            path: Some(format!("s3://{}/{}", self.store.bucket(), wanted.key)),
            dest: dest.map(|d| d.to_string_lossy().into_owned()),
            bytes: Some(seen.bytes),
            ..Planned::default()
        })
    }

    async fn one(&self, (wanted, name, seen): &Found<'_>) -> Result<One, Trouble> {
        if let Some(trouble) = self.hopeless.get() {
            return Err(trouble.clone());
        }
        let begun = Instant::now();
        let Some(dir) = &self.cli.dest else { return self.verify(wanted, seen, begun).await };
        // The next tool may run in another directory.
        let dir = dir.canonicalize().map_err(|e| Trouble::local(&e.into()))?;
        let fetched = download::download(&self.store, &self.wires, (&dir, name), wanted, seen).await?;
        let path = fetched.record.path.clone();
        let unproven = fetched.proofs.is_none().then(|| unknown(&path));
        let warning = unproven.clone();
        let proofs = fetched.proofs.map_or_else(|| "nothing".to_owned(), |p| p.join(", "));
        let how = match &fetched.done {
            Done::Present => "was there".to_owned(),
            Done::Fetched { resumed: 0 } => "fetched".to_owned(),
            Done::Fetched { resumed } => format!("fetched, {resumed} ranges by an earlier run"),
        };
        self.log.info(&format!("{path}: {how}, proven by: {proofs}"));
        let record = fetched.record;
        Ok(One {
            done: Some(fetched.done),
            unproven,
            emit: Box::new(move |out| {
                if let Some(warning) = warning {
                    out.emit(&Log::warning(warning))?;
                }
                out.emit(&record)
            }),
        })
    }

    async fn verify(&self, wanted: &Wanted, seen: &Seen, begun: Instant) -> Result<One, Trouble> {
        let read = fetch(&self.store, &self.wires, &wanted.key, seen, &Nothing).await?;
        let unproven = match judge(wanted.sha256.as_deref(), seen, &read) {
            Verdict::Wrong(why) => return Err(download::wrong(&self.store, &wanted.key, &why)),
            Verdict::Unproven => Some(unknown(&wanted.key)),
            Verdict::Proven(_) => None,
        };
        let warning = unproven.clone();
        let object = Object {
            bucket: self.store.bucket().to_owned(),
            key: wanted.key.clone(),
            bytes: Some(seen.bytes),
            etag: Some(seen.etag.trim_matches('"').to_owned()),
            checksum: seen
                .crc64()
                .map(|crc64| Checksum { algorithm: "CRC64NVME".to_owned(), value: digest::base64(crc64) }),
            sha256: Some(read.hashes.sha256),
            version_id: seen.version_id.clone(),
            status: Some(ObjectStatus::Present),
            seconds: Some((begun.elapsed().as_secs_f64() * 1000.0).round() / 1000.0),
            ..Object::default()
        };
        Ok(One {
            done: None,
            unproven,
            emit: Box::new(move |out| {
                if let Some(warning) = warning {
                    out.emit(&Log::warning(warning))?;
                }
                out.emit(&object)
            }),
        })
    }

    fn failed(&self, wanted: &Wanted, trouble: &Trouble, tally: &mut Tally) -> anyhow::Result<()> {
        if trouble.kind == Kind::Stopped {
            return Ok(());
        }
        if trouble.kind.ends_the_run() {
            let _first = self.hopeless.set(trouble.clone());
        }
        tally.failed.push(trouble.kind);
        self.log.error(&format!("{}: {}", wanted.key, trouble.reason()));
        self.frame.out.emit(&Object {
            bucket: self.store.bucket().to_owned(),
            key: wanted.key.clone(),
            status: Some(ObjectStatus::Failed),
            reason: Some(trouble.reason()),
            ..Object::default()
        })
    }

    fn report(&self, tally: &Tally, unproven: u64) -> Report {
        let mut exit = tally.exit(false);
        let finding = tally.failed.iter().any(|k| matches!(k, Kind::Corrupt | Kind::Missing));
        if self.cli.verify && finding {
            exit = Exit::Finding;
        }
        if unproven > 0 {
            exit = exit.worse(Exit::Partial);
        }
        if signals::pending().is_some() && exit == Exit::TryAgain {
            exit = Exit::Success;
        }
        let mut report = Report::new(exit);
        let fetched = if self.cli.verify { "verified" } else { "fetched" };
        for (name, n) in [
            (fetched, tally.uploaded),
            ("resumed", tally.resumed),
            ("present", tally.present),
            ("failed", tally.failed.len() as u64),
            ("unproven", unproven),
            ("bad_lines", tally.bad_lines),
            ("retries", self.store.retries()),
            ("bytes", self.store.moved()),
        ] {
            if n > 0 {
                report.count(name, n);
            }
        }
        report.message = self.hopeless.get().map(Trouble::reason);
        report
    }
}

type Emit = Box<dyn FnOnce(&common::record::Out) -> anyhow::Result<()> + Send>;

/// An object that is done; its records are written by the one who counts.
struct One {
    done: Option<Done>,
    /// Why it is not proven.
    unproven: Option<String>,
    emit: Emit,
}

fn unknown(what: &str) -> String {
    format!("{what}: neither a SHA-256 nor a checksum of it is known: its size is right, nothing proves its content")
}
