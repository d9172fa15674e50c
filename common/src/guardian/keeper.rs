//! The keeper process: answers a tool while it lives, and meets its obligations when it is gone.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{channel, Receiver, RecvTimeoutError};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use chrono::{DateTime, SecondsFormat, Utc};

use super::database::{self, BeginError, EndSeen};
use super::journal::{Entry, Journal, JournalFile};
use super::protocol::{Ask, FileName, Hello, Refusal, Told};
use super::settle::judge;
use super::{orphans, FileState, Scope, ARGUMENT, RUN_MARK};
use crate::exit::{Exit, Failure};
use crate::lock::Lock;
use crate::logfile::LogFile;
use crate::oracle::connect::Connect;
use crate::oracle::home::{Environment, Home};
use crate::oracle::runner::Runner;
use crate::oracle::sqlplus::Sqlplus;
use crate::secret::Secret;
use crate::signals;

/// Marks the keeper's own sessions, so that the next keeper finds those of one that was killed.
const KEEPER_MARK: &str = "ORAPIPE_KEEPER";
/// How long a BEGIN may go on after the tool has died or was asked to stop.
const BEGIN_PATIENCE: Duration = Duration::from_secs(10);
/// Limits of consecutive sessions that end backup mode: a hung one costs little, a slow one gets its time in the end.
const LIMITS: [u64; 5] = [8, 8, 20, 40, 60];
/// How long a BEGIN of unknown outcome is watched closely, and at the end of the run at least: the server may finish it after its client is gone.
const DOUBT: Duration = Duration::from_secs(20);
/// How often it is looked at after that, as long as the tool runs.
const SELDOM: Duration = Duration::from_secs(5);
/// How long a tool waits at its end for obligations that cannot be met; the keeper goes on without it.
const FAREWELL: Duration = Duration::from_secs(45);
/// How long to wait for the keeper of a run that was killed.
const PREDECESSOR: Duration = Duration::from_secs(60);

/// Becomes the keeper when this process was started as one. To be called first thing in `main`.
pub fn run_if_asked() -> Option<ExitCode> {
    (std::env::args_os().nth(1)? == ARGUMENT).then(|| match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(Exit::Failed.code()),
    })
}

fn serve() -> anyhow::Result<()> {
    // Out of the tool's session and process group: what kills those does not reach us.
    let _already_leader = rustix::process::setsid();
    signals::install()?;
    std::env::set_current_dir("/").context("change to /")?;
    let mut input = BufReader::new(std::io::stdin());
    let mut line = String::new();
    input.read_line(&mut line).context("read the greeting")?;
    let hello: Hello = serde_json::from_str(&line).context("read the greeting")?;
    let key = Journal::path(&hello.state_dir, &hello.sid).display().to_string();
    std::env::set_var(KEEPER_MARK, &key);
    let begun = take_over(hello, &key);
    let (mut keeper, left, warning) = match begun {
        Ok(begun) => begun,
        Err(error) => {
            tell(&Told::Failed(Refusal::of(&error)));
            return Err(error);
        }
    };
    tell(&Told::Ready { left, warning });
    let busy = Arc::clone(&keeper.beginning);
    let rx = listen(input, keeper.hello.run.clone(), busy);
    keeper.serve(&rx);
    Ok(())
}

fn tell(told: &Told) {
    let mut out = std::io::stdout().lock();
    // A dead tool does not listen; the end of its pipe says so.
    let _dead = serde_json::to_string(told).map(|line| writeln!(out, "{line}").and_then(|()| out.flush()));
}

enum Event {
    Ask(Ask),
    /// The tool is gone without a farewell.
    Gone,
}

/// Reads the tool's requests. It also notices the tool's death while the keeper is busy.
fn listen(input: BufReader<std::io::Stdin>, run: String, beginning: Arc<AtomicBool>) -> Receiver<Event> {
    let (tx, rx) = channel();
    std::thread::spawn(move || {
        for line in input.lines() {
            let Some(ask) = line.ok().and_then(|l| serde_json::from_str(&l).ok()) else { break };
            match ask {
                Ask::Hurry => give_up_begin(&beginning),
                Ask::Finish => {
                    let _gone = tx.send(Event::Ask(Ask::Finish));
                    return;
                }
                ask => {
                    let _gone = tx.send(Event::Ask(ask));
                }
            }
        }
        let _gone = tx.send(Event::Gone);
        orphans::stop(RUN_MARK, &run);
        give_up_begin(&beginning);
    });
    rx
}

/// Lets a BEGIN that is under way come to its end, but not for ever.
fn give_up_begin(beginning: &Arc<AtomicBool>) {
    let beginning = Arc::clone(beginning);
    std::thread::spawn(move || {
        let end = Instant::now() + BEGIN_PATIENCE;
        while beginning.load(Ordering::SeqCst) {
            if Instant::now() >= end {
                // Our own handler notes it, and the session, which is interruptible, stops.
                let _sent =
                    rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::TERM);
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    });
}

fn take_over(hello: Hello, key: &str) -> anyhow::Result<(Keeper, Vec<Entry>, Option<String>)> {
    let name = format!("backup_mode.{}", hello.sid);
    let path = hello.log_dir.join(format!("{name}.log"));
    let log = LogFile::open(Some(&path), "keeper", false)?;
    let started = Instant::now();
    let lock = loop {
        match Lock::take(
            &hello.state_dir,
            &name,
            "keeper",
            &hello.run,
            Duration::from_secs(u64::from(u32::MAX)),
        ) {
            Ok(lock) => break lock,
            Err(error) if started.elapsed() >= PREDECESSOR => {
                return Err(
                    error.context("wait for the keeper of an earlier run, which still ends backup mode")
                );
            }
            Err(_) => std::thread::sleep(Duration::from_millis(200)),
        }
    };
    // Only now: their keeper is dead, or it would hold the lock.
    orphans::stop(KEEPER_MARK, key);
    let connect = Connect::parse(&Secret::new(hello.connect.clone()))?;
    let env = Environment {
        oracle_home: hello.oracle_home.clone(),
        oracle_sid: hello.oracle_sid.clone(),
        ..Environment::of_process()
    };
    let home = Home::locate(&env, connect.needs_sid())?;
    let sqlplus = Sqlplus::new(Runner::Local(home), connect).log(Some(path));
    let (journal, warning) = Journal::load(&hello.state_dir, &hello.sid)?;
    let left: Vec<Entry> = journal.entries.iter().filter(|e| e.run != hello.run).cloned().collect();
    log.info(&format!("keep backup mode for {} run {} (pid {})", hello.tool, hello.run, hello.pid));
    if let Some(warning) = &warning {
        log.warning(warning);
    }
    // Of a keeper that was killed nobody knows how far its BEGIN came.
    let doubts = journal
        .entries
        .iter()
        .filter(|e| e.run == hello.run && e.files.iter().any(|f| f.change.is_none()))
        .map(|e| (e.scope.clone(), Instant::now() + DOUBT))
        .collect();
    let opened = journal
        .entries
        .iter()
        .filter_map(|e| Some((e.scope.clone(), Instant::now().checked_sub(age_by_clock(e))?)))
        .collect();
    let keeper = Keeper {
        hello,
        opened,
        journal,
        sqlplus,
        log,
        doubts,
        overdue: Vec::new(),
        patient: false,
        tries: 0,
        retry_at: Instant::now(),
        beginning: Arc::default(),
        _lock: lock,
    };
    Ok((keeper, left, warning))
}

struct Keeper {
    hello: Hello,
    journal: Journal,
    sqlplus: Sqlplus,
    log: LogFile,
    /// BEGINs of unknown outcome, and until when they are watched.
    doubts: Vec<(Scope, Instant)>,
    /// Scopes whose END was asked for, or whose time is up, and that are not ended yet.
    overdue: Vec<Scope>,
    /// When this keeper began, or took over, what is open: the wall clock may jump.
    opened: HashMap<Scope, Instant>,
    /// Whether a doubt outlives its time.
    patient: bool,
    tries: usize,
    retry_at: Instant,
    beginning: Arc<AtomicBool>,
    _lock: Lock,
}

impl Keeper {
    fn serve(&mut self, rx: &Receiver<Event>) {
        loop {
            match rx.recv_timeout(self.wait()) {
                Ok(Event::Ask(Ask::Finish)) => {
                    self.farewell();
                    return;
                }
                Ok(Event::Ask(ask)) => {
                    let told = self.answer(&ask).unwrap_or_else(|e| {
                        self.log.warning(&format!("{e:#}"));
                        Told::Failed(Refusal::of(&e))
                    });
                    tell(&told);
                }
                Ok(Event::Gone) | Err(RecvTimeoutError::Disconnected) => {
                    if !self.journal.entries.is_empty() {
                        self.log.warning("the tool is gone: end what it has in backup mode");
                    }
                    self.meet_all(None);
                    return;
                }
                Err(RecvTimeoutError::Timeout) => self.look_after(),
            }
        }
    }

    /// Until the next thing that has to be done without being asked.
    fn wait(&self) -> Duration {
        let now = Instant::now();
        let cap = self.due().map(|(_, left)| left);
        let retry = (!self.overdue.is_empty() || !self.doubts.is_empty())
            .then(|| self.retry_at.saturating_duration_since(now));
        cap.into_iter().chain(retry).min().unwrap_or(Duration::from_secs(3600))
    }

    /// The scope whose cap comes next and how long it has.
    fn due(&self) -> Option<(Scope, Duration)> {
        let cap = Duration::from_secs_f64(self.hello.cap_seconds?);
        let open = self.journal.entries.iter().filter(|e| !self.overdue.contains(&e.scope));
        open.map(|e| {
            let age = self.opened.get(&e.scope).map_or_else(|| age_by_clock(e), Instant::elapsed);
            (e.scope.clone(), cap.saturating_sub(age))
        })
        .min_by_key(|(_, left)| *left)
    }

    fn look_after(&mut self) {
        if let Some((scope, left)) = self.due() {
            if left.is_zero() {
                self.log.warning(&format!("{scope} has been in backup mode for too long: end it now"));
                tell(&Told::Capped { scope: scope.clone() });
                self.overdue.push(scope);
                self.tries = 0;
                self.retry_at = Instant::now();
            }
        }
        if (!self.overdue.is_empty() || !self.doubts.is_empty()) && Instant::now() >= self.retry_at {
            let wanted: Vec<Scope> =
                self.overdue.iter().chain(self.doubts.iter().map(|(s, _)| s)).cloned().collect();
            self.patient = true;
            if let Err(error) = self.settle(Some(&wanted)) {
                self.log.warning(&format!("{error:#}"));
            }
            self.patient = false;
            let old_doubt = self.overdue.is_empty() && self.doubts.iter().all(|(_, u)| *u < Instant::now());
            self.retry_at = Instant::now() + if old_doubt { SELDOM } else { self.pause() };
        }
    }

    fn answer(&mut self, ask: &Ask) -> anyhow::Result<Told> {
        match ask {
            Ask::Begin { dbid, scope, files } => {
                self.begin(*dbid, scope, files).map(|files| Told::Begun { files })
            }
            Ask::End { scope } => {
                let seen = self.end(scope)?;
                Ok(Told::Ended { before: seen.before, after: seen.after, scn: seen.scn })
            }
            Ask::Reconcile => self.reconcile().map(|ended| Told::Reconciled { ended }),
            Ask::Hurry | Ask::Finish => anyhow::bail!("not a question"),
        }
    }

    fn begin(&mut self, dbid: u64, scope: &Scope, files: &[FileName]) -> anyhow::Result<Vec<FileState>> {
        if signals::pending().is_some() {
            return Err(Failure::new(Exit::Terminated, "the keeper of backup mode was asked to stop").into());
        }
        let open = self.journal.entries.iter().find(|e| !self.doubts.iter().any(|(s, _)| *s == e.scope));
        if let Some(entry) = open {
            let text = format!("begin backup of {scope}: {} is still in backup mode", entry.scope);
            return Err(Failure::new(Exit::Refused, text).into());
        }
        self.journal.entries.retain(|e| e.scope != *scope);
        self.journal.entries.push(Entry {
            scope: scope.clone(),
            tool: self.hello.tool.clone(),
            run: self.hello.run.clone(),
            pid: self.hello.pid,
            host: crate::app::host(),
            dbid,
            asked: Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true),
            files: files
                .iter()
                .map(|f| JournalFile { file: f.file, path: f.path.clone(), change: None })
                .collect(),
        });
        if let Err(error) = self.store() {
            self.journal.entries.retain(|e| e.scope != *scope);
            return Err(error.context(format!("{scope} is not put in backup mode without a journal")));
        }
        self.opened.insert(scope.clone(), Instant::now());
        self.log.info(&format!("begin backup of {scope}"));
        let numbers: Vec<u64> = files.iter().map(|f| f.file).collect();
        let sqlplus = self.sqlplus.clone().limit(Duration::from_secs_f64(self.hello.sql_seconds));
        self.beginning.store(true, Ordering::SeqCst);
        let begun = database::begin(&sqlplus, scope, &numbers);
        self.beginning.store(false, Ordering::SeqCst);
        match begun {
            Ok(states) => {
                // The cap is for backup mode, not for the checkpoint on the way into it.
                self.opened.insert(scope.clone(), Instant::now());
                if let Some(entry) = self.journal.entries.iter_mut().find(|e| e.scope == *scope) {
                    for file in &mut entry.files {
                        let seen = states.iter().find(|s| s.file == file.file && s.active);
                        file.change = seen.and_then(|s| s.change);
                    }
                }
                self.doubts.retain(|(s, _)| s != scope);
                // The journal has the obligation since before BEGIN; this only told whose it is more exactly.
                if let Err(error) = self.store() {
                    self.log.warning(&format!("{error:#}"));
                }
                Ok(states)
            }
            Err(BeginError::Refused(error)) => {
                self.forget(scope)?;
                Err(error)
            }
            Err(BeginError::Broken(error)) => {
                self.tries = 0;
                if let Err(e) = self.settle(Some(std::slice::from_ref(scope))) {
                    self.log.warning(&format!("{e:#}"));
                    self.overdue.push(scope.clone());
                    self.retry_at = Instant::now() + self.pause();
                }
                Err(error)
            }
            Err(BeginError::Unknown(error)) => {
                self.log.warning(&format!("{error:#}: the outcome is unknown, watch V$BACKUP"));
                self.doubts.push((scope.clone(), Instant::now() + DOUBT));
                self.tries = 0;
                if let Err(e) = self.settle(Some(std::slice::from_ref(scope))) {
                    self.log.warning(&format!("{e:#}"));
                }
                self.retry_at = Instant::now() + Duration::from_secs(1);
                Err(error)
            }
        }
    }

    /// END BACKUP of one scope, tried several times.
    fn end(&mut self, scope: &Scope) -> anyhow::Result<EndSeen> {
        let Some(entry) = self.journal.entry(scope) else {
            return Err(
                Failure::new(Exit::Failed, format!("{scope} is not in backup mode by us any more")).into()
            );
        };
        let numbers: Vec<u64> = entry.files.iter().map(|f| f.file).collect();
        let mut last = None;
        for (n, limit) in LIMITS.iter().enumerate() {
            if n > 0 {
                std::thread::sleep(Duration::from_millis(500 << n));
            }
            match self.end_once(scope, &numbers, Duration::from_secs(*limit)) {
                Ok(seen) => return Ok(seen),
                Err(error) => {
                    self.log.warning(&format!("{error:#}: try again"));
                    last = Some(error);
                }
            }
        }
        if !self.overdue.contains(scope) {
            self.overdue.push(scope.clone());
        }
        self.retry_at = Instant::now() + self.pause();
        Err(last.unwrap_or_else(|| anyhow::anyhow!("end backup of {scope}")))
    }

    fn end_once(&mut self, scope: &Scope, files: &[u64], limit: Duration) -> anyhow::Result<EndSeen> {
        let seen = database::end(&database::steadfast(&self.sqlplus, limit), scope, files)?;
        let still: Vec<String> =
            seen.after.iter().filter(|s| s.active).map(|s| format!("{} {}", s.file, s.path)).collect();
        anyhow::ensure!(
            still.is_empty(),
            "end backup of {scope}: V$BACKUP still shows ACTIVE for datafile {}",
            still.join(", ")
        );
        self.log.info(&format!("{scope} is out of backup mode"));
        let now = Instant::now();
        let doubtful = self.doubts.iter().any(|(s, until)| s == scope && now < *until);
        if doubtful && !seen.before.iter().any(|s| s.active) {
            // The BEGIN of a killed session may be under way in the server still: go on watching.
            self.retry_at = now + Duration::from_secs(1);
            return Ok(seen);
        }
        self.forget(scope)?;
        Ok(seen)
    }

    /// Ends all obligations, those of earlier runs included, and names them.
    fn reconcile(&mut self) -> anyhow::Result<Vec<String>> {
        let names: Vec<String> = self
            .journal
            .entries
            .iter()
            .map(|e| format!("{} (begun {} by {} run {}, pid {})", e.scope, e.asked, e.tool, e.run, e.pid))
            .collect();
        let started = Instant::now();
        self.tries = 0;
        while !self.journal.entries.is_empty() {
            match self.settle(None) {
                Err(error) if self.tries > LIMITS.len() || is_refusal(&error) => return Err(error),
                Err(error) => self.log.warning(&format!("{error:#}")),
                Ok(()) if started.elapsed() > DOUBT * 3 => break,
                Ok(()) => {}
            }
            if !self.journal.entries.is_empty() {
                std::thread::sleep(self.pause());
            }
        }
        Ok(names)
    }

    /// One look at the database, and END for what is ours among `wanted` (`None`: all of the journal).
    fn settle(&mut self, wanted: Option<&[Scope]>) -> anyhow::Result<()> {
        let limit = Duration::from_secs(LIMITS[self.tries.min(LIMITS.len() - 1)]);
        self.tries += 1;
        let sqlplus = database::steadfast(&self.sqlplus, limit);
        let (identity, active) = database::read_all(&sqlplus)?;
        let is_wanted = |scope: &Scope| wanted.is_none_or(|w| w.contains(scope));
        let journal = Journal {
            entries: self.journal.entries.iter().filter(|e| is_wanted(&e.scope)).cloned().collect(),
        };
        let verdict = judge(&journal, &identity, &active, &crate::app::host());
        if let Some(reason) = verdict.forbidden {
            return Err(Failure::new(Exit::Refused, format!("backup mode is not ended: {reason}"))
                .hint(format!(
                    "look at V$BACKUP there; END BACKUP by hand is right on the original database only; when that is \
                     done, or the database is gone for good, remove {}",
                    Journal::path(&self.hello.state_dir, &self.hello.sid).display()
                ))
                .into());
        }
        if !verdict.end_mounted.is_empty() {
            self.log.warning(
                "the database is mounted with files in backup mode (ORA-10873): end it file by file",
            );
            database::end_mounted(&sqlplus, &verdict.end_mounted)?;
            let (_, after) = database::read_all(&sqlplus)?;
            let still = after.iter().any(|s| verdict.end_mounted.contains(&s.file));
            anyhow::ensure!(!still, "V$BACKUP still shows ACTIVE after END BACKUP of the mounted database");
        }
        for scope in &verdict.end {
            let files = journal.entry(scope).map(|e| e.files.iter().map(|f| f.file).collect::<Vec<_>>());
            self.end_once(scope, &files.unwrap_or_default(), limit)?;
        }
        // What was not ACTIVE is settled too, unless a BEGIN of ours may still be under way in the server.
        let now = Instant::now();
        for entry in &journal.entries {
            // A checkpoint may take the server minutes: as long as the tool runs, looking on costs next to nothing.
            let under_way = |until: Instant| self.patient || now < until;
            if !self.doubts.iter().any(|(s, until)| *s == entry.scope && under_way(*until)) {
                self.forget(&entry.scope)?;
            }
        }
        self.tries = 0;
        Ok(())
    }

    /// The tool says good-bye; it is not let go while something of it is in backup mode, within limits.
    fn farewell(&mut self) {
        self.meet_all(Some(FAREWELL));
        if self.journal.entries.is_empty() {
            tell(&Told::Finished);
            return;
        }
        let names: Vec<String> = self.journal.entries.iter().map(|e| e.scope.to_string()).collect();
        let text = format!("still in backup mode: {}", names.join(", "));
        let failure = Failure::new(Exit::Failed, text).hint(format!(
            "the keeper goes on trying; {} --end-backup does it when the database answers again",
            self.hello.tool
        ));
        tell(&Told::Failed(Refusal::of(&failure.into())));
        self.meet_all(None);
    }

    /// Tries until everything is ended, `limit` or the agreed time is over, or ending it is refused.
    fn meet_all(&mut self, limit: Option<Duration>) {
        let limit = limit.unwrap_or(Duration::from_secs_f64(self.hello.give_up_seconds));
        let started = Instant::now();
        self.tries = 0;
        while !self.journal.entries.is_empty() && started.elapsed() < limit {
            match self.settle(None) {
                Err(error) => {
                    self.log.error(&format!("{error:#}"));
                    // Without journal and without sqlplus there is nothing that trying again could change.
                    if is_refusal(&error) || self.is_homeless(&error) {
                        return;
                    }
                }
                Ok(()) if self.journal.entries.is_empty() => self.log.info("nothing is left in backup mode"),
                Ok(()) => {}
            }
            if !self.journal.entries.is_empty() {
                std::thread::sleep(self.pause());
            }
        }
    }

    /// Doubles from half a second up to ten seconds, and is one second while a doubt is watched.
    fn pause(&self) -> Duration {
        if self.tries == 0 {
            return Duration::from_secs(1);
        }
        Duration::from_millis(250 << self.tries.min(7)).min(Duration::from_secs(10))
    }

    /// The installation and the state directory are both gone: the whole place was removed.
    fn is_homeless(&self, error: &anyhow::Error) -> bool {
        crate::exit::status_of(error) == Exit::Usage && !self.hello.state_dir.is_dir()
    }

    fn forget(&mut self, scope: &Scope) -> anyhow::Result<()> {
        self.journal.entries.retain(|e| e.scope != *scope);
        self.doubts.retain(|(s, _)| s != scope);
        self.overdue.retain(|s| s != scope);
        self.opened.remove(scope);
        self.store()
    }

    fn store(&self) -> anyhow::Result<()> {
        self.journal.store(&self.hello.state_dir, &self.hello.sid)
    }
}

fn age_by_clock(entry: &Entry) -> Duration {
    let asked = DateTime::parse_from_rfc3339(&entry.asked).ok();
    asked.and_then(|a| Utc::now().signed_duration_since(a).to_std().ok()).unwrap_or_default()
}

fn is_refusal(error: &anyhow::Error) -> bool {
    crate::exit::status_of(error) == Exit::Refused
}
