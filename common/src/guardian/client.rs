//! The tool's end of the pipe to the keeper.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{channel, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{anyhow, bail, Context};

use super::protocol::{Ask, FileName, Hello, Told};
use super::{Entry, FileState, Scope, ARGUMENT, RUN_MARK};
use crate::secret::Secret;
use crate::settings::secrets_in_environment;
use crate::signals;

/// How often a killed keeper is replaced in one run.
const RESTARTS: u32 = 5;
/// What an answer may take beyond the sessions that it needs.
const MARGIN: Duration = Duration::from_secs(90);
/// The longest pause between attempts to start another keeper.
const REPLACE_LIMIT: Duration = Duration::from_secs(32);
/// All attempts of one END BACKUP.
const END_LIMIT: Duration = Duration::from_secs(240);

/// What the keeper has to know.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The tool's name and run, for the journal.
    pub tool: String,
    pub run: String,
    /// Absolute.
    pub state_dir: PathBuf,
    pub log_dir: PathBuf,
    /// Names journal, lock and log.
    pub sid: String,
    pub oracle_home: Option<PathBuf>,
    pub oracle_sid: Option<String>,
    /// As [`crate::oracle::connect::Connect::parse`] reads it.
    pub connect: Secret,
    /// Of the session with BEGIN BACKUP; the checkpoint may take its time.
    pub sql_limit: Duration,
    /// END BACKUP after so long, whatever the tool does.
    pub cap: Option<Duration>,
    /// How long the keeper of a dead tool goes on trying.
    pub give_up: Duration,
}

/// BEGIN BACKUP is done: what V$BACKUP and the headers said in the same session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begun {
    pub files: Vec<FileState>,
}

/// END BACKUP is done and read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Right before END BACKUP: still in backup mode, by the same BEGIN?
    pub before: Vec<FileState>,
    pub after: Vec<FileState>,
    /// CURRENT_SCN after END BACKUP.
    pub scn: u64,
}

/// A running keeper. Dropping it without [`Keeper::finish`] is like dying: the keeper ends what is open.
#[derive(Debug)]
pub struct Keeper {
    shared: Arc<Shared>,
    heard: Mutex<Receiver<Heard>>,
    left: Vec<Entry>,
    warning: Option<String>,
}

#[derive(Debug)]
struct Shared {
    settings: Settings,
    link: Mutex<Link>,
    capped: Mutex<HashSet<Scope>>,
    finished: AtomicBool,
}

#[derive(Debug)]
struct Link {
    child: Child,
    stdin: Option<ChildStdin>,
    /// How many keepers there have been before this one.
    generation: u32,
}

#[derive(Debug)]
enum Heard {
    Told(Told),
    /// The keeper was killed; this is the generation of the new one.
    Restarted(u32),
    Lost(String),
}

impl Keeper {
    /// Starts the keeper and waits until it has the journal. Sets [`RUN_MARK`] for all programs that this process starts
    /// from now on, so it is to be called before there are threads.
    ///
    /// # Errors
    /// Status 75 when the keeper of an earlier run is still at work.
    pub fn start(settings: Settings) -> anyhow::Result<Self> {
        std::env::set_var(RUN_MARK, &settings.run);
        let (child, stdin, mut stdout) = spawn(&settings)?;
        let (left, warning) = await_ready(&mut stdout)?;
        let link = Link { child, stdin: Some(stdin), generation: 0 };
        let shared = Arc::new(Shared {
            settings,
            link: Mutex::new(link),
            capped: Mutex::default(),
            finished: AtomicBool::new(false),
        });
        let (tx, rx) = channel();
        let theirs = Arc::clone(&shared);
        std::thread::spawn(move || theirs.supervise(stdout, &tx));
        Ok(Self { shared, heard: Mutex::new(rx), left, warning })
    }

    /// Obligations that earlier runs have left; nothing can be begun before [`Keeper::reconcile`].
    pub fn left_behind(&self) -> &[Entry] {
        &self.left
    }

    /// That the journal could not be understood, if so.
    pub fn warning(&self) -> Option<&str> {
        self.warning.as_deref()
    }

    /// The process id of the keeper at the moment.
    pub fn pid(&self) -> u32 {
        self.shared.link().child.id()
    }

    /// Whether the cap on backup mode has ended this one.
    pub fn is_capped(&self, scope: &Scope) -> bool {
        lock(&self.shared.capped).contains(scope)
    }

    /// Ends what earlier runs have left in backup mode and says what it was.
    ///
    /// # Errors
    /// Status 4 when it must not be ended here: another database, a copy.
    pub fn reconcile(&self) -> anyhow::Result<Vec<String>> {
        match self.ask(&Ask::Reconcile, END_LIMIT)? {
            Told::Reconciled { ended } => Ok(ended),
            other => bail!("the keeper answered {other:?} to a request to reconcile"),
        }
    }

    /// Puts a scope in backup mode. `files` are those that have to become ACTIVE.
    ///
    /// # Errors
    /// Whatever happened, nothing is left in backup mode, or the keeper goes on ending it.
    pub fn begin(&self, dbid: u64, scope: &Scope, files: &[(u64, String)]) -> anyhow::Result<Begun> {
        let files = files.iter().map(|(file, path)| FileName { file: *file, path: path.clone() }).collect();
        let ask = Ask::Begin { dbid, scope: scope.clone(), files };
        match self.ask(&ask, self.shared.settings.sql_limit + MARGIN)? {
            Told::Begun { files } => Ok(Begun { files }),
            other => bail!("the keeper answered {other:?} to BEGIN BACKUP"),
        }
    }

    /// Ends backup mode of a scope and reads it back. Signals do not shorten it.
    pub fn end(&self, scope: &Scope) -> anyhow::Result<Ended> {
        match self.ask(&Ask::End { scope: scope.clone() }, END_LIMIT)? {
            Told::Ended { before, after, scn } => Ok(Ended { before, after, scn }),
            other => bail!("the keeper answered {other:?} to END BACKUP"),
        }
    }

    /// Lets the keeper go, which it does when nothing of ours is in backup mode.
    ///
    /// # Errors
    /// Something still is; the keeper goes on alone.
    pub fn finish(self) -> anyhow::Result<()> {
        let told = self.ask(&Ask::Finish, END_LIMIT);
        self.shared.finished.store(true, Ordering::SeqCst);
        let mut link = self.shared.link();
        drop(link.stdin.take());
        match told? {
            Told::Finished => {
                let _status = link.child.wait();
                Ok(())
            }
            other => bail!("the keeper answered {other:?} to the end of the run"),
        }
    }

    fn ask(&self, ask: &Ask, limit: Duration) -> anyhow::Result<Told> {
        let heard = lock(&self.heard);
        // Answers to a question that was given up are not answers to this one.
        while heard.try_recv().is_ok_and(|h| !matches!(h, Heard::Lost(_))) {}
        let mut question = ask.clone();
        let mut generation = self.shared.send(&question)?;
        let mut deadline = Instant::now() + limit;
        let mut silent = false;
        let mut hurried = false;
        let mut killed = None;
        loop {
            match heard.recv_timeout(Duration::from_millis(100)) {
                Ok(Heard::Told(Told::Failed(refusal))) if killed.is_none() => {
                    return Err(refusal.failure().into());
                }
                Ok(Heard::Told(told)) => match killed {
                    Some(scope) => {
                        bail!("the keeper of backup mode was killed during BEGIN BACKUP of {scope}")
                    }
                    None => return Ok(told),
                },
                Ok(Heard::Restarted(new)) if new > generation => {
                    // A BEGIN of unknown outcome is undone, not repeated.
                    if let Ask::Begin { scope, .. } = &question {
                        killed = Some(scope.clone());
                        question = Ask::End { scope: scope.clone() };
                    }
                    generation = self.shared.send(&question)?;
                }
                Ok(Heard::Restarted(_)) | Err(RecvTimeoutError::Timeout) => {}
                Ok(Heard::Lost(reason)) => bail!("{reason}"),
                Err(RecvTimeoutError::Disconnected) => bail!("the keeper of backup mode is lost"),
            }
            if signals::pending().is_some() && !hurried && matches!(question, Ask::Begin { .. }) {
                hurried = true;
                self.shared.send(&Ask::Hurry)?;
            }
            if Instant::now() >= deadline && !silent {
                // It stands still. Its successor takes over from the journal, and no late answer of this one can be
                // taken for the answer to another question.
                silent = true;
                deadline = Instant::now() + limit;
                let _killed = self.shared.link().child.kill();
            } else if Instant::now() >= deadline {
                bail!(
                    "the keeper of backup mode did not answer within {}",
                    humantime::format_duration(limit)
                );
            }
        }
    }
}

impl Shared {
    /// Sends one line and says to which keeper.
    fn send(&self, ask: &Ask) -> anyhow::Result<u32> {
        let line = serde_json::to_string(ask).context("encode a request to the keeper")?;
        let mut link = self.link();
        if let Some(stdin) = &mut link.stdin {
            // A dead keeper does not read; its successor is asked again.
            let _dead = writeln!(stdin, "{line}").and_then(|()| stdin.flush());
        }
        Ok(link.generation)
    }

    fn supervise(&self, mut stdout: BufReader<ChildStdout>, tx: &Sender<Heard>) {
        loop {
            let mut line = String::new();
            while stdout.read_line(&mut line).is_ok_and(|n| n > 0) {
                match serde_json::from_str(&line) {
                    Ok(Told::Capped { scope }) => {
                        lock(&self.capped).insert(scope);
                    }
                    Ok(told) => {
                        if matches!(told, Told::Finished) {
                            self.finished.store(true, Ordering::SeqCst);
                        }
                        let _gone = tx.send(Heard::Told(told));
                    }
                    Err(_) => break,
                }
                line.clear();
            }
            if self.finished.load(Ordering::SeqCst) {
                return;
            }
            match self.replace_patiently() {
                Ok((generation, new)) => {
                    stdout = new;
                    let _gone = tx.send(Heard::Restarted(generation));
                }
                Err(error) => {
                    let _gone =
                        tx.send(Heard::Lost(format!("the keeper of backup mode was killed: {error:#}")));
                    return;
                }
            }
        }
    }

    /// What keeps a new one from starting, a full process table perhaps, may pass; backup mode does not.
    fn replace_patiently(&self) -> anyhow::Result<(u32, BufReader<ChildStdout>)> {
        let mut wait = Duration::from_secs(1);
        loop {
            match self.replace() {
                Err(_) if wait < REPLACE_LIMIT && !self.finished.load(Ordering::SeqCst) => {
                    std::thread::sleep(wait);
                    wait *= 2;
                }
                result => return result,
            }
        }
    }

    /// A new keeper, which takes the obligations over from the journal.
    fn replace(&self) -> anyhow::Result<(u32, BufReader<ChildStdout>)> {
        let mut link = self.link();
        drop(link.stdin.take());
        let _killed = link.child.kill();
        let _status = link.child.wait();
        let generation = link.generation + 1;
        if generation > RESTARTS {
            bail!("it has been killed {generation} times");
        }
        let (child, stdin, mut stdout) = spawn(&self.settings)?;
        link.child = child;
        link.stdin = Some(stdin);
        link.generation = generation;
        await_ready(&mut stdout)?;
        Ok((generation, stdout))
    }

    fn link(&self) -> MutexGuard<'_, Link> {
        lock(&self.link)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn spawn(settings: &Settings) -> anyhow::Result<(Child, ChildStdin, BufReader<ChildStdout>)> {
    // Not current_exe: after an update of the software its path is another program.
    let mut command = Command::new("/proc/self/exe");
    // The logon comes by its standard input.
    for name in secrets_in_environment() {
        command.env_remove(name);
    }
    let mut child = command
        .arg0(&settings.tool)
        .arg(ARGUMENT)
        .env_remove(RUN_MARK)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .context("start the keeper of backup mode")?;
    let (Some(mut stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(anyhow!("start the keeper of backup mode: it has no pipes"));
    };
    let hello = Hello {
        tool: settings.tool.clone(),
        run: settings.run.clone(),
        pid: std::process::id(),
        state_dir: settings.state_dir.clone(),
        log_dir: settings.log_dir.clone(),
        sid: settings.sid.clone(),
        oracle_home: settings.oracle_home.clone(),
        oracle_sid: settings.oracle_sid.clone(),
        connect: settings.connect.expose().to_owned(),
        sql_seconds: settings.sql_limit.as_secs_f64(),
        cap_seconds: settings.cap.map(|c| c.as_secs_f64()),
        give_up_seconds: settings.give_up.as_secs_f64(),
    };
    let line = serde_json::to_string(&hello).context("greet the keeper of backup mode")?;
    writeln!(stdin, "{line}").and_then(|()| stdin.flush()).context("greet the keeper of backup mode")?;
    Ok((child, stdin, BufReader::new(stdout)))
}

fn await_ready(stdout: &mut BufReader<ChildStdout>) -> anyhow::Result<(Vec<Entry>, Option<String>)> {
    let mut line = String::new();
    stdout.read_line(&mut line).context("hear from the keeper of backup mode")?;
    match serde_json::from_str(&line) {
        Ok(Told::Ready { left, warning }) => Ok((left, warning)),
        Ok(Told::Failed(refusal)) => Err(refusal.failure().into()),
        _ => bail!("the keeper of backup mode ended before it was ready"),
    }
}
