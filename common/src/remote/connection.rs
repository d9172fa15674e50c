//! One ssh master that ends with us, and sessions over it.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crate::process::{Cmd, Ended, Running};
use crate::signals;

use super::ciphers;
use super::classify::{classify, Class, Evidence, TransferError};
use super::control;
use super::nonce;
use super::quote::rsync_rsh_word;
use super::retry::{dice, RetryPolicy};
use super::script::{wire, Marks, Script};
use super::target::Target;

/// sshd's MaxStartups (10:30:100) drops connections at random above this many.
pub const MAX_MASTERS: usize = 10;
/// What ssh says when nobody listens on the control socket.
const MASTER_GONE: &str = "Control socket connect(";

/// Time limits of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// TCP connect, and again as much for key exchange and authentication.
    pub connect: Duration,
    /// Of the small remote operations that do not read whole files.
    pub script: Duration,
    /// sshd silent for three times this long: the connection is dead.
    pub alive: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(20),
            script: Duration::from_secs(120),
            alive: Duration::from_secs(15),
        }
    }
}

/// A worker's way to the target. Opened when it is first used, opened again when it was lost.
#[derive(Debug)]
pub struct Connection {
    target: Target,
    pub limits: Limits,
    ciphers: Arc<OnceLock<Option<String>>>,
    master: Mutex<State>,
    /// Something went wrong on it: ask before the next use.
    suspect: AtomicBool,
    finishing: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    master: Option<Master>,
    failures: u32,
    failed_at: Option<Instant>,
    opened: u32,
}

#[derive(Debug)]
struct Master {
    running: Running,
    socket: PathBuf,
    /// What its cat sends back.
    heard: Arc<Mutex<Vec<u8>>>,
    words: Arc<Mutex<Vec<u8>>>,
    _dir: tempfile::TempDir,
}

impl Connection {
    pub fn new(target: &Target, limits: Limits) -> Self {
        Self::with_ciphers(target, limits, Arc::default())
    }

    /// The same operations on this machine.
    pub fn local() -> Self {
        Self::new(&Target::local(), Limits::default())
    }

    fn with_ciphers(target: &Target, limits: Limits, ciphers: Arc<OnceLock<Option<String>>>) -> Self {
        Self {
            target: target.clone(),
            limits,
            ciphers,
            master: Mutex::default(),
            suspect: AtomicBool::new(false),
            finishing: AtomicBool::new(false),
        }
    }

    pub fn target(&self) -> &Target {
        &self.target
    }

    /// From now on a pending signal no longer stops what runs here: for the clean-up at the end of a run.
    pub fn finishing(&self) {
        self.finishing.store(true, Ordering::SeqCst);
    }

    pub(super) fn is_finishing(&self) -> bool {
        self.finishing.load(Ordering::SeqCst)
    }

    /// How many masters this connection has opened so far.
    pub fn opened(&self) -> u32 {
        self.lock().opened
    }

    /// The process id of the master, while there is one.
    pub fn master_pid(&self) -> Option<u32> {
        self.lock().master.as_ref().map(|m| m.running.pid())
    }

    /// Makes sure that there is a live master. Does nothing for a local target.
    ///
    /// After a failure it waits (0.5 s, doubled up to 30 s) before the next try, however often it is called.
    pub fn open(&self) -> Result<(), TransferError> {
        self.socket().map(|_| ())
    }

    /// Ends the master. The next operation opens a new one.
    pub fn close(&self) {
        self.lock().master = None;
    }

    /// Round trip over the open master, the best of three: nothing is started there, so that a slow login shell does not
    /// look like a slow line. Zero for a local target.
    pub fn measure(&self) -> Result<Duration, TransferError> {
        if self.target.is_local() {
            return Ok(Duration::ZERO);
        }
        for _ in 0..2 {
            self.open()?;
            let mut state = self.lock();
            let Some(master) = &mut state.master else { continue };
            let trips: Option<Vec<Duration>> = (0..3).map(|_| master.ping(self.limits.connect)).collect();
            match trips.and_then(|t| t.into_iter().min()) {
                Some(best) => return Ok(best),
                None => state.master = None,
            }
        }
        Err(TransferError::new(
            Class::Retry,
            format!("ssh to {}: the connection is silent", self.target.label()),
        ))
    }

    /// Runs a script and returns what it printed.
    ///
    /// # Errors
    /// No connection, the limit, or a status that is not 0 ([`Class::Final`], with the script's own words).
    pub fn run(&self, script: &Script) -> Result<Vec<u8>, TransferError> {
        let (stdout, status, tail) = self.run_status(script)?;
        if status == 0 {
            return Ok(stdout);
        }
        let ended = Ended::Exited(status);
        let evidence = Evidence { program: "sh", target: &self.target, ended, stderr: &tail };
        Err(classify(&evidence))
    }

    /// As [`Connection::run`]; also returns the script's status and its standard error.
    pub fn run_status(&self, script: &Script) -> Result<(Vec<u8>, i32, String), TransferError> {
        if script.args.iter().any(|a| a.contains(&0)) {
            return Err(TransferError::new(Class::Final, "an argument contains a NUL byte"));
        }
        let marks = Marks::new();
        let wire = script.wire(&marks);
        let mut stdout = Vec::new();
        let (done, stderr) = self.finish(&wire, &script.stdin, script.limit, &mut stdout)?;
        if let Some((out, status)) = marks.cut(&stdout) {
            return Ok((out.to_vec(), status, stderr));
        }
        let error = self.failed(done, &stderr);
        if done == Ended::Exited(0) {
            let what = format!("{} answered without running our script", self.target.label());
            return Err(TransferError::new(Class::Final, what).hint(
                "the login there does not run commands: a forced command, or a profile that ends the shell",
            ));
        }
        Err(error)
    }

    /// A session that runs `script` in `sh` on the target, to be run by the caller. Nothing is added to its output.
    pub fn command(&self, script: &str, stdin: Vec<u8>, limit: Duration) -> Result<Cmd, TransferError> {
        self.session(&wire(script.as_bytes()), stdin, limit)
    }

    fn session(&self, wire: &str, stdin: Vec<u8>, limit: Duration) -> Result<Cmd, TransferError> {
        let Some(socket) = self.socket()? else {
            return Ok(Cmd::new("sh", limit).arg("-c").arg(wire).stdin(stdin));
        };
        let host = self.target.host.clone().unwrap_or_default();
        Ok(Cmd::new("ssh", limit).args(self.session_args(&socket)).arg(host).arg(wire).stdin(stdin))
    }

    /// The `-e` of an rsync over the open master; `None` for a local target.
    pub(super) fn rsync_rsh(&self) -> Result<Option<String>, TransferError> {
        let Some(socket) = self.socket()? else { return Ok(None) };
        let words = self.session_args(&socket);
        let words = words.iter().map(|w| rsync_rsh_word(&w.to_string_lossy())).collect::<Vec<_>>();
        Ok(Some(format!("ssh {}", words.join(" "))))
    }

    fn session_args(&self, socket: &Path) -> Vec<OsString> {
        let mut args: Vec<OsString> = vec!["-S".into(), socket.into()];
        // Without its master a session must fail at once: a connection of its own would be one too many, and its
        // ProxyCommand ends it. No configuration file: it belongs to the master.
        let fixed = ["-F", "/dev/null", "-T", "-x", "-o", "ControlMaster=no", "-o", "BatchMode=yes"];
        args.extend(fixed.iter().map(OsString::from));
        args.extend(["-o", "ProxyCommand=false"].iter().map(OsString::from));
        args.extend(self.target.session_options().iter().map(OsString::from));
        if let Some(user) = &self.target.user {
            args.extend(["-l".into(), user.into()]);
        }
        args.push("--".into());
        args
    }

    fn master_args(&self, socket: &Path, ready: &str) -> Vec<OsString> {
        let mut args: Vec<OsString> = vec!["-M".into(), "-S".into(), socket.into()];
        let mut push = |word: String| args.push(word.into());
        ["-T", "-x"].iter().for_each(|w| push((*w).to_owned()));
        let forced =
            ["BatchMode=yes", "ControlPersist=no", "ClearAllForwardings=yes", "PermitLocalCommand=no"];
        forced.iter().for_each(|o| ["-o", o].iter().for_each(|w| push((*w).to_owned())));
        self.target.ssh_options.iter().for_each(|o| push(o.clone()));
        // For ssh the first value counts: these yield to the user's.
        let mut defaults = vec![
            format!("ConnectTimeout={}", self.limits.connect.as_secs().max(1)),
            format!("ServerAliveInterval={}", self.limits.alive.as_secs().max(1)),
            "ServerAliveCountMax=3".to_owned(),
        ];
        if let Some(list) = self.ciphers.get_or_init(|| ciphers::preferred(&self.target)) {
            defaults.push(format!("Ciphers={list}"));
        }
        defaults.into_iter().for_each(|o| {
            push("-o".to_owned());
            push(o);
        });
        if let Some(user) = &self.target.user {
            push("-l".to_owned());
            push(user.clone());
        }
        push("--".to_owned());
        push(self.target.host.clone().unwrap_or_default());
        // Our pipe is its standard input: when we die, by whatever signal, cat ends, and with it the connection.
        push(format!("echo {ready}; exec cat"));
        args
    }

    /// The control socket of a live master; `None` for a local target.
    fn socket(&self) -> Result<Option<PathBuf>, TransferError> {
        if self.target.is_local() {
            return Ok(None);
        }
        let mut state = self.lock();
        if let Some(master) = &mut state.master {
            let mut good = master.running.is_running() && master.socket.exists();
            if good && self.suspect.swap(false, Ordering::SeqCst) {
                good = master.ping(self.limits.connect).is_some();
            }
            if good {
                return Ok(Some(master.socket.clone()));
            }
            state.master = None;
        }
        self.back_off(&state)?;
        match self.start() {
            Ok(master) => {
                let socket = master.socket.clone();
                state.opened += 1;
                state.failures = 0;
                state.failed_at = None;
                state.master = Some(master);
                self.suspect.store(false, Ordering::SeqCst);
                Ok(Some(socket))
            }
            Err(error) => {
                state.failures += 1;
                state.failed_at = Some(Instant::now());
                Err(error)
            }
        }
    }

    fn back_off(&self, state: &State) -> Result<(), TransferError> {
        let Some(at) = state.failed_at else { return Ok(()) };
        let policy =
            RetryPolicy { retries: 0, first: Duration::from_millis(500), longest: Duration::from_secs(30) };
        let wait = policy.wait(state.failures, dice()).saturating_sub(at.elapsed());
        if !signals::sleep(wait) && signals::pending().is_some() && !self.is_finishing() {
            let what = format!("ssh to {}: this run was asked to stop", self.target.label());
            return Err(TransferError::new(Class::Interrupted, what));
        }
        Ok(())
    }

    fn start(&self) -> Result<Master, TransferError> {
        let local = |e: &anyhow::Error| TransferError::new(Class::Final, format!("{e:#}"));
        let dir = control::dir().map_err(|e| local(&e))?;
        let socket = dir.path().join("c");
        let ready = format!("READY-{}", nonce());
        let cmd = Cmd::new("ssh", self.limits.connect).args(self.master_args(&socket, &ready));
        let mut running = cmd.start().map_err(|e| local(&e))?;
        let heard = gather(running.child.stdout.take());
        let words = gather(running.child.stderr.take());
        let deadline = Instant::now() + self.limits.connect * 2;
        loop {
            if contains(&heard, ready.as_bytes()) && socket.exists() {
                return Ok(Master { running, socket, heard, words, _dir: dir });
            }
            let ended = if !running.is_running() {
                // Its last words may still be in the pipe.
                std::thread::sleep(Duration::from_millis(50));
                running.child.wait().map_or(Ended::Exited(255), Ended::from)
            } else if Instant::now() >= deadline {
                Ended::TimedOut(self.limits.connect * 2)
            } else if signals::pending().is_some() && !self.is_finishing() {
                Ended::Interrupted
            } else {
                std::thread::sleep(Duration::from_millis(2));
                continue;
            };
            let stderr = text(&words);
            let evidence = Evidence { program: "ssh", target: &self.target, ended, stderr: &stderr };
            let mut error = classify(&evidence);
            if ended == Ended::Exited(0) {
                error.class = Class::Final;
                error.hint =
                    Some(format!("{} ended our command at once: a forced command?", self.target.label()));
            }
            return Err(error);
        }
    }

    /// Runs a session to its end. One that found its master gone has started nothing, so it is run once more.
    fn finish(
        &self,
        wire: &str,
        stdin: &[u8],
        limit: Duration,
        stdout: &mut Vec<u8>,
    ) -> Result<(Ended, String), TransferError> {
        let mut again = true;
        loop {
            let mut cmd = self.session(wire, stdin.to_vec(), limit)?;
            cmd.interruptible = !self.is_finishing();
            stdout.clear();
            let (ended, stderr) = collect(&cmd, stdout)?;
            let started_nothing =
                ended == Ended::Exited(255) && stdout.is_empty() && stderr.contains(MASTER_GONE);
            if !(again && started_nothing) {
                return Ok((ended, stderr));
            }
            again = false;
            self.close();
        }
    }

    /// The error of a session that did not come to its end, together with the master's own last words.
    pub(super) fn failed(&self, ended: Ended, stderr: &str) -> TransferError {
        let program = if self.target.is_local() { "sh" } else { "ssh" };
        let stderr = self.with_master_words(stderr);
        let error = classify(&Evidence { program, target: &self.target, ended, stderr: &stderr });
        self.doubt(&error);
        error
    }

    /// After a failure that smells of the connection, the next use asks the master before it trusts it.
    pub(super) fn doubt(&self, error: &TransferError) {
        if error.class == Class::Retry {
            self.suspect.store(true, Ordering::SeqCst);
        }
    }

    pub(super) fn with_master_words(&self, stderr: &str) -> String {
        let state = self.lock();
        let words = state.master.as_ref().map(|m| text(&m.words)).unwrap_or_default();
        format!("{words}{stderr}")
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.master.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The connections of all workers to one target: at most [`MAX_MASTERS`].
#[derive(Debug)]
pub struct Connections(Vec<Arc<Connection>>);

impl Connections {
    /// Opens nothing yet.
    pub fn new(target: &Target, limits: Limits, workers: usize) -> Self {
        let ciphers = Arc::default();
        let many = workers.clamp(1, MAX_MASTERS);
        let one = |_| Arc::new(Connection::with_ciphers(target, limits, Arc::clone(&ciphers)));
        Self((0..many).map(one).collect())
    }

    /// The connection of worker `n`; workers beyond the last share.
    pub fn of(&self, n: usize) -> &Arc<Connection> {
        &self.0[n % self.0.len()]
    }

    pub fn iter(&self) -> impl Iterator<Item = &Arc<Connection>> {
        self.0.iter()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Runs to the end with both outputs apart: only standard error is evidence.
fn collect(cmd: &Cmd, stdout: &mut Vec<u8>) -> Result<(Ended, String), TransferError> {
    let watched = super::watch::watch(cmd, cmd.limit, &mut |bytes| stdout.extend_from_slice(bytes))
        .map_err(|e| TransferError::new(Class::Final, format!("{e:#}")))?;
    Ok((watched.ended, watched.stderr))
}

fn gather<R: Read + Send + 'static>(pipe: Option<R>) -> Arc<Mutex<Vec<u8>>> {
    let kept: Arc<Mutex<Vec<u8>>> = Arc::default();
    let Some(mut pipe) = pipe else { return kept };
    let sink = Arc::clone(&kept);
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(n) = pipe.read(&mut buffer) {
            if n == 0 {
                break;
            }
            let mut kept = sink.lock().unwrap_or_else(PoisonError::into_inner);
            kept.extend_from_slice(&buffer[..n]);
            if kept.len() > 64 * 1024 {
                kept.drain(..32 * 1024);
            }
        }
    });
    kept
}

fn contains(kept: &Mutex<Vec<u8>>, needle: &[u8]) -> bool {
    let kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
    kept.windows(needle.len()).any(|w| w == needle)
}

fn text(kept: &Mutex<Vec<u8>>) -> String {
    String::from_utf8_lossy(&kept.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
}

impl Master {
    /// Sends a line through the cat at the other end; `None` when it does not come back within `limit`.
    fn ping(&mut self, limit: Duration) -> Option<Duration> {
        let line = nonce();
        let started = Instant::now();
        self.running.child.stdin.as_mut()?.write_all(format!("{line}\n").as_bytes()).ok()?;
        while !contains(&self.heard, line.as_bytes()) {
            if started.elapsed() > limit || !self.running.is_running() {
                return None;
            }
            std::thread::sleep(Duration::from_micros(100));
        }
        let trip = started.elapsed();
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clear();
        Some(trip)
    }
}

impl Drop for Master {
    fn drop(&mut self) {
        self.running.stop(Duration::ZERO);
    }
}

/// Oracle's programs on the standby run over the same connection as the files.
impl crate::oracle::runner::Shell for Connection {
    fn command(&self, script_sh: &str, stdin: Vec<u8>, limit: Duration) -> Cmd {
        Self::command(self, script_sh, stdin, limit).unwrap_or_else(|error| {
            // The caller wants a command: one that fails with our reason.
            Cmd::new("sh", limit)
                .args(["-c", "printf '%s\\n' \"$1\" >&2; exit 255", "sh"])
                .arg(error.to_string())
        })
    }

    fn name(&self) -> String {
        self.target.label().to_owned()
    }
}
