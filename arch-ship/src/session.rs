//! What a run has at hand: settings, connections, state, and the account of what happened.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use common::app::{Frame, Report};
use common::exit::{Exit, Failure};
use common::lock::Lock;
use common::logfile::LogFile;
use common::record::{ArchivedLog, Gap, Log, LogStatus, Payload};
use common::remote::{adaptive, Connection, Limits, Target};

use crate::cli::Cli;
use crate::facts::{Key, SourceLog};
use crate::input::Claim;
use crate::notify::Notify;
use crate::state::State;

/// Temporary directories at the destination are `<dest-dir>/.orapipe-ship-<SID>-<run>-<n>`.
pub const TEMPORARY: &str = ".orapipe-ship-";

/// One run for one database and one destination.
pub struct Session<'a> {
    pub cli: &'a Cli,
    pub frame: &'a Frame,
    pub log: LogFile,
    /// Held while anything is changed; `None` for looking only.
    pub lock: Option<Lock>,
    pub sid: String,
    pub target: Target,
    pub dest_dir: PathBuf,
    /// One per worker at most; the first also lists, asks and catalogues.
    pub connections: Vec<Arc<Connection>>,
    pub rsync_log: Option<PathBuf>,
    /// Round trip of a session, measured once.
    pub rtt: OnceLock<Duration>,
    /// Temporary directories that were made, and whether what is in them may still be of use.
    pub temporaries: Mutex<BTreeMap<PathBuf, bool>>,
    pub next_temporary: AtomicUsize,
    /// What records on standard input claim of the logs they name.
    pub claims: HashMap<PathBuf, Claim>,
    pub state: Mutex<State>,
    pub tally: Mutex<Tally>,
    pub notify: Notify,
}

/// What has happened so far.
#[derive(Debug, Default)]
pub struct Tally {
    pub counts: BTreeMap<&'static str, u64>,
    pub failed: BTreeMap<Key, (String, Option<String>)>,
    /// Verified at the destination in this run.
    pub verified: BTreeSet<Key>,
    /// Files at the source that turned out bad when they were read; another copy of the log may be sound.
    pub unsound: BTreeSet<PathBuf>,
    /// Logs that were not ready.
    pub waiting: u64,
    /// Anything at the destination or in the state was changed.
    pub changed: bool,
    pub exit: Option<Exit>,
    /// What the follow mode has reported already, so that it says it once.
    pub reported: BTreeMap<String, String>,
}

impl<'a> Session<'a> {
    /// The destination that the settings name.
    ///
    /// # Errors
    /// Status 64: none, or one that is not absolute.
    pub fn destination(cli: &Cli) -> anyhow::Result<(Target, PathBuf)> {
        let target = cli
            .standby
            .target()
            .map_err(|f| f.hint("see --dest-host, --dest-user and --ssh-option in arch-ship --help"))?;
        let usage = |message: String| Failure::new(Exit::Usage, message);
        let Some(dir) = &cli.dest_dir else {
            return Err(usage("no destination directory".to_owned())
                .hint("name it with --dest-dir, DEST_ARCHLOG_DIR or DESTBASEDIR")
                .into());
        };
        for dir in cli.also_at.iter().chain([dir]) {
            if !dir.is_absolute() || dir.to_str().is_none() {
                return Err(usage(format!("{:?} is not an absolute path in UTF-8", dir.display()))
                    .hint("the directory at the standby is named from its root")
                    .into());
            }
        }
        Ok((target, dir.components().collect()))
    }

    /// Opens nothing yet.
    pub fn connections(cli: &Cli, target: &Target) -> Vec<Arc<Connection>> {
        let limits = Limits { script: cli.io_timeout.max(Duration::from_secs(10)), ..Limits::default() };
        (0..cli.workers).map(|_| Arc::new(Connection::new(target, limits))).collect()
    }

    /// The connection for everything but bulk data.
    pub fn control(&self) -> &Arc<Connection> {
        &self.connections[0]
    }

    /// Opens the workers' connections in the background when about `logs` logs will have to be sent: near that is one
    /// more, far away it is all of them, and meanwhile both sides are looked at. Nobody waits for it, and whoever needs
    /// a connection that fails here is told by its own attempt.
    pub fn warm_up(&self, logs: usize) {
        if logs < 2 || self.target.is_local() || self.rtt.get().is_some() {
            return;
        }
        let connections = self.connections.clone();
        let workers = self.cli.workers;
        let open = |connection: &Arc<Connection>| {
            let connection = Arc::clone(connection);
            std::thread::spawn(move || connection.open());
        };
        let near = adaptive::streams(Duration::ZERO, logs, workers, crate::ship::cores());
        connections.iter().take(near).skip(1).for_each(open);
        std::thread::spawn(move || {
            let Ok(rtt) = connections[0].measure() else { return };
            let streams = adaptive::streams(rtt, logs, workers, crate::ship::cores());
            connections.iter().take(streams).skip(near.max(1)).for_each(open);
        });
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn progress(&self) {
        if let Some(lock) = &self.lock {
            lock.progress();
        }
        self.notify.alive();
    }

    pub fn emit<P: Payload>(&self, record: &P) -> anyhow::Result<()> {
        self.frame.out.emit(record)
    }

    /// Says something in the records and in the log file.
    pub fn say(&self, record: Log) -> anyhow::Result<()> {
        self.log.say(&record);
        self.emit(&record)
    }

    /// As [`Session::say`], but in the follow mode only when it is news: `about` names what it is about.
    pub fn say_once(&self, about: &str, record: Log) -> anyhow::Result<()> {
        if self.is_news(about, &record.message) {
            self.say(record)?;
        }
        Ok(())
    }

    /// Whether this was not the last thing said about the matter.
    pub fn is_news(&self, about: &str, message: &str) -> bool {
        let old = self.tally().reported.insert(about.to_owned(), message.to_owned());
        old.as_deref() != Some(message)
    }

    pub fn count(&self, name: &'static str, n: u64) {
        *self.tally().counts.entry(name).or_default() += n;
    }

    /// The receipt for a log, counted.
    pub fn report(&self, record: &ArchivedLog) -> anyhow::Result<()> {
        let status = record.status.unwrap_or_default();
        self.count(
            match status {
                LogStatus::Shipped => "shipped",
                LogStatus::Resumed => "resumed",
                LogStatus::Present => "present",
                LogStatus::Skipped => "skipped",
                LogStatus::Failed => "failed",
            },
            1,
        );
        let text = record.human();
        match status {
            LogStatus::Failed => self.log.error(&text),
            _ => self.log.info(&text),
        }
        if matches!(status, LogStatus::Shipped | LogStatus::Resumed) {
            self.count("bytes", record.bytes.unwrap_or(0));
        }
        self.emit(record)
    }

    /// A log that could not be shipped: recorded with its cause and remembered for the gaps.
    pub fn fail(
        &self,
        log: &SourceLog,
        reason: &str,
        hint: Option<&str>,
        attempts: u64,
    ) -> anyhow::Result<()> {
        {
            let mut tally = self.tally();
            tally.failed.insert(log.key, (reason.to_owned(), hint.map(str::to_owned)));
        }
        self.worse(Exit::Partial);
        let told = format!("{} {reason}", log.path.display());
        if self.cli.follow && !self.is_news(&log.path.display().to_string(), &told) {
            self.count("failed", 1);
            return Ok(());
        }
        self.report(&ArchivedLog {
            status: Some(LogStatus::Failed),
            reason: Some(reason.to_owned()),
            attempts: (attempts > 0).then_some(attempts),
            ..describe(log)
        })?;
        if let Some(hint) = hint {
            self.log.warning(&format!("thread {} sequence {}: {hint}", log.key.thread, log.key.sequence));
        }
        Ok(())
    }

    pub fn gap(&self, gap: &Gap) -> anyhow::Result<()> {
        self.worse(Exit::Finding);
        self.count("gaps", 1);
        let about = format!("gap {} {} {}", gap.resetlogs_id, gap.thread, gap.from);
        let text = gap.human();
        if self.cli.follow && !self.is_news(&about, &text) {
            return Ok(());
        }
        self.log.error(&text);
        self.emit(gap)
    }

    pub fn worse(&self, exit: Exit) {
        let mut tally = self.tally();
        tally.exit = Some(tally.exit.unwrap_or(Exit::Success).worse(exit));
    }

    /// The end of the run.
    pub fn finish(&self) -> Report {
        let tally = self.tally();
        let mut report = Report::new(tally.exit.unwrap_or(Exit::Success));
        for (name, n) in &tally.counts {
            report.count(name, *n);
        }
        report
    }

    /// The prefix of the temporary directories of all runs for this database.
    pub fn temporary_prefix(&self) -> String {
        format!("{TEMPORARY}{}-", clean(&self.sid))
    }

    /// The name of a temporary directory that no attempt of this run has used: the receiver of an earlier one may still
    /// be writing into its own.
    pub fn temporary(&self) -> PathBuf {
        let n = self.next_temporary.fetch_add(1, Ordering::SeqCst);
        let dir = self.dest_dir.join(format!("{}{}-{n}", self.temporary_prefix(), clean(&self.frame.run)));
        self.keep_temporary(&dir, false);
        dir
    }

    /// Notes whether the content of a temporary directory may still be of use: to this run, or to the next.
    pub fn keep_temporary(&self, dir: &Path, keep: bool) {
        let mut all = self.temporaries.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(dir.to_path_buf(), keep);
    }

    /// The host of the destination as the state keeps it.
    pub fn host(&self) -> String {
        self.target.host.clone().unwrap_or_default()
    }
}

/// Only what is harmless in a file name.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '.' }).collect()
}

/// The fields of a log that are known before anything is done with it.
pub fn describe(log: &SourceLog) -> ArchivedLog {
    let known = |n: u64| (n != 0).then_some(n);
    ArchivedLog {
        path: text(&log.path),
        name: log.path.file_name().map(|n| n.to_string_lossy().into_owned()),
        thread: known(log.key.thread),
        sequence: known(log.key.sequence),
        resetlogs_id: known(log.key.resetlogs_id),
        first_change: log.first_change,
        next_change: log.next_change,
        bytes: Some(log.stat.bytes),
        ..ArchivedLog::default()
    }
}

pub fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
