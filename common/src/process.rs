//! Runs one external program: bounded in time, quiet about secrets, never deadlocked.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{channel, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use anyhow::Context;
use rustix::process::{kill_process_group, waitid, Pid, Signal, WaitId, WaitIdOptions};

use crate::secret::{redact, Secret};
use crate::signals;

/// How long a group has between TERM and KILL.
const GRACE: Duration = Duration::from_secs(3);
/// How long after the child's own end we go on reading a pipe that a grandchild keeps open.
const LEAK: Duration = Duration::from_millis(200);
/// Lines of output kept for an error message.
const TAIL_LINES: usize = 20;
/// A longer line is cut for the tail and for redaction, so that memory stays bounded.
const LINE_MAX: usize = 64 * 1024;

/// A program call as a value, so that a pure function can build it and a test can compare it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cmd {
    pub program: OsString,
    pub args: Vec<OsString>,
    /// Added to our own environment.
    pub env: Vec<(String, OsString)>,
    pub env_remove: Vec<String>,
    pub cwd: Option<PathBuf>,
    pub stdin: Vec<u8>,
    /// Wall time after which the whole process group is stopped.
    pub limit: Duration,
    /// Both outputs are appended to this file as they arrive, secrets blanked.
    pub log: Option<PathBuf>,
    /// Blanked in the log and in every message.
    pub secrets: Vec<Secret>,
    /// Stops with the run when a signal arrives. END BACKUP and the like must not.
    pub interruptible: bool,
    /// Standard output beyond this many bytes is an error, not a surprise for the memory.
    pub capture: usize,
}

impl Cmd {
    pub fn new(program: impl Into<OsString>, limit: Duration) -> Self {
        Self {
            program: program.into(),
            args: Vec::new(),
            env: Vec::new(),
            env_remove: Vec::new(),
            cwd: None,
            stdin: Vec::new(),
            limit,
            log: None,
            secrets: Vec::new(),
            interruptible: true,
            capture: 256 << 20,
        }
    }

    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    #[must_use]
    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args.extend(args.into_iter().map(|a| a.as_ref().to_owned()));
        self
    }

    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.env.push((name.to_owned(), value.as_ref().to_owned()));
        self
    }

    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    #[must_use]
    pub fn log(mut self, path: Option<PathBuf>) -> Self {
        self.log = path;
        self
    }

    #[must_use]
    pub fn secret(mut self, secret: &Secret) -> Self {
        self.secrets.push(secret.clone());
        self
    }

    #[must_use]
    pub fn uninterruptible(mut self) -> Self {
        self.interruptible = false;
        self
    }

    /// The program's name without its directory, for messages: argv is never printed.
    pub fn name(&self) -> String {
        let path = PathBuf::from(&self.program);
        path.file_name().unwrap_or(&self.program).to_string_lossy().into_owned()
    }

    /// Runs the program to its end and returns what it printed. A non-zero status is not an error here.
    ///
    /// # Errors
    /// The program cannot be started, or it printed more than `capture` bytes.
    pub fn run(&self) -> anyhow::Result<Done> {
        let mut stdout = Vec::new();
        let mut overflow = false;
        let mut done = self.stream(&mut |bytes| {
            overflow |= stdout.len() + bytes.len() > self.capture;
            if !overflow {
                stdout.extend_from_slice(bytes);
            }
        })?;
        if overflow {
            anyhow::bail!("{} printed more than {} bytes", self.name(), self.capture);
        }
        done.stdout = stdout;
        Ok(done)
    }

    /// As [`Cmd::run`], but hands standard output over as it arrives instead of keeping it.
    pub fn stream(&self, on_stdout: &mut dyn FnMut(&[u8])) -> anyhow::Result<Done> {
        let started = Instant::now();
        let mut sink = Sink::open(self)?;
        let mut child = self.spawn(Stdio::piped(), Stdio::piped(), Stdio::piped())?;
        let group = group_of(&child);
        let (tx, rx) = channel();
        if let Some(mut stdin) = child.stdin.take() {
            let bytes = self.stdin.clone();
            // A child that does not read all of its input closes the pipe; its status tells whether that is bad.
            std::thread::spawn(move || stdin.write_all(&bytes).is_ok());
        }
        read_into(child.stdout.take(), Source::Stdout, &tx);
        read_into(child.stderr.take(), Source::Stderr, &tx);
        drop(tx);

        let ended = self.wait(&mut child, group, &rx, &mut sink, on_stdout, started)?;
        sink.finish();
        Ok(Done {
            program: self.name(),
            ended,
            stdout: Vec::new(),
            tail: sink.tail(),
            elapsed: started.elapsed(),
            log: self.log.clone(),
        })
    }

    /// Starts the program in its own process group and leaves it running; see [`Running`].
    pub fn start(&self) -> anyhow::Result<Running> {
        let child = self.spawn(Stdio::piped(), Stdio::piped(), Stdio::piped())?;
        let group = group_of(&child);
        Ok(Running { name: self.name(), child, group })
    }

    fn spawn(&self, stdin: Stdio, stdout: Stdio, stderr: Stdio) -> anyhow::Result<Child> {
        let mut command = Command::new(&self.program);
        command.args(&self.args).stdin(stdin).stdout(stdout).stderr(stderr).process_group(0);
        for name in &self.env_remove {
            command.env_remove(name);
        }
        for (name, value) in &self.env {
            command.env(name, value);
        }
        if let Some(dir) = &self.cwd {
            command.current_dir(dir);
        }
        command.spawn().with_context(|| format!("start {}", self.program.to_string_lossy()))
    }

    fn wait(
        &self,
        child: &mut Child,
        group: Option<Pid>,
        rx: &Receiver<(Source, Vec<u8>)>,
        sink: &mut Sink,
        on_stdout: &mut dyn FnMut(&[u8]),
        started: Instant,
    ) -> anyhow::Result<Ended> {
        let deadline = started + self.limit;
        let mut stop: Option<(Ended, Instant)> = None;
        let mut exited_at: Option<Instant> = None;
        let mut open = true;
        loop {
            if open {
                match rx.recv_timeout(Duration::from_millis(20)) {
                    Ok((source, bytes)) => {
                        sink.take(source, &bytes);
                        if source == Source::Stdout {
                            on_stdout(&bytes);
                        }
                    }
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => open = false,
                }
            } else {
                std::thread::sleep(Duration::from_millis(2));
            }
            // The clock is looked at once per chunk: a chatty child must not talk past its deadline.
            let now = Instant::now();
            if exited_at.is_none() && has_exited(child)? {
                exited_at = Some(now);
            }
            if let Some(at) = exited_at {
                if !open || now - at > LEAK {
                    break;
                }
            }
            if stop.is_none() && exited_at.is_none() {
                let why = if now >= deadline {
                    Some(Ended::TimedOut(self.limit))
                } else if self.interruptible && signals::pending().is_some() {
                    Some(Ended::Interrupted)
                } else {
                    None
                };
                if let Some(why) = why {
                    signal_group(group, Signal::TERM);
                    stop = Some((why, now + GRACE));
                }
            }
            if let Some((_, kill_at)) = &mut stop {
                if now >= *kill_at {
                    signal_group(group, Signal::KILL);
                    *kill_at = now + GRACE;
                }
            }
        }
        if stop.is_some() {
            // Whatever the leader has left behind goes with it.
            signal_group(group, Signal::KILL);
        }
        // The leader is reaped last: until then nobody else can own its group id.
        let status = child.wait().context("wait for a child")?;
        Ok(match stop {
            Some((why, _)) => why,
            None => Ended::from(status),
        })
    }
}

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    Exited(i32),
    Signalled(i32),
    /// We stopped it at its limit.
    TimedOut(Duration),
    /// We stopped it because a signal asked us to stop.
    Interrupted,
}

impl From<ExitStatus> for Ended {
    fn from(status: ExitStatus) -> Self {
        match (status.code(), status.signal()) {
            (Some(code), _) => Self::Exited(code),
            (None, Some(signal)) => Self::Signalled(signal),
            (None, None) => Self::Signalled(0),
        }
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(code) => write!(f, "exited {code}"),
            Self::Signalled(signal) => write!(f, "was killed by signal {signal}"),
            Self::TimedOut(limit) => {
                write!(f, "did not end within {}", humantime::format_duration(*limit))
            }
            Self::Interrupted => f.write_str("was stopped because this run was asked to stop"),
        }
    }
}

/// What is known of a program that has ended.
#[derive(Debug, Clone)]
pub struct Done {
    pub program: String,
    pub ended: Ended,
    /// Empty after [`Cmd::stream`].
    pub stdout: Vec<u8>,
    /// The last lines of both outputs, secrets blanked, stderr after stdout.
    pub tail: String,
    pub elapsed: Duration,
    pub log: Option<PathBuf>,
}

impl Done {
    pub fn success(&self) -> bool {
        self.ended == Ended::Exited(0)
    }

    /// Program, status, elapsed time, log path and last lines: what an error message needs.
    pub fn describe(&self) -> String {
        let seconds = self.elapsed.as_secs_f64();
        let mut text = format!("{} {} after {seconds:.1}s", self.program, self.ended);
        if let Some(log) = &self.log {
            text.push_str(&format!(" (log {})", log.display()));
        }
        let tail = self.tail.trim();
        if !tail.is_empty() {
            text.push_str(": ");
            text.push_str(&tail.lines().map(str::trim).collect::<Vec<_>>().join(" | "));
        }
        text
    }
}

/// A program that goes on while we work; its whole group is stopped when this is dropped.
#[derive(Debug)]
pub struct Running {
    name: String,
    pub child: Child,
    group: Option<Pid>,
}

impl Running {
    /// The process id, which is also the group id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn is_running(&mut self) -> bool {
        matches!(has_exited(&self.child), Ok(false))
    }

    /// Closes its standard input, waits, then TERM, grace, KILL for the whole group.
    pub fn stop(&mut self, patience: Duration) {
        drop(self.child.stdin.take());
        if self.gone_within(patience) {
            let _status = self.child.wait();
            return;
        }
        signal_group(self.group, Signal::TERM);
        if !self.gone_within(GRACE) {
            signal_group(self.group, Signal::KILL);
        }
        let _status = self.child.wait();
    }

    fn gone_within(&self, patience: Duration) -> bool {
        let end = Instant::now() + patience;
        loop {
            match has_exited(&self.child) {
                Ok(false) if Instant::now() < end => std::thread::sleep(Duration::from_millis(5)),
                Ok(gone) => return gone,
                Err(_) => return true,
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop(Duration::ZERO);
    }
}

/// Whether the child is a zombie by now. It is not reaped, so its group id stays ours.
fn has_exited(child: &Child) -> anyhow::Result<bool> {
    let Some(pid) = group_of(child) else { return Ok(true) };
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    match waitid(WaitId::Pid(pid), options) {
        Ok(status) => Ok(status.is_some()),
        Err(rustix::io::Errno::CHILD) => Ok(true),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(e) => Err(e).context("wait for a child"),
    }
}

fn group_of(child: &Child) -> Option<Pid> {
    i32::try_from(child.id()).ok().and_then(Pid::from_raw)
}

fn signal_group(group: Option<Pid>, signal: Signal) {
    if let Some(group) = group {
        // ESRCH: the group is gone already, which is what we want.
        let _gone = kill_process_group(group, signal);
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Stdout,
    Stderr,
}

fn read_into<R: Read + Send + 'static>(pipe: Option<R>, source: Source, tx: &Sender<(Source, Vec<u8>)>) {
    let Some(mut pipe) = pipe else { return };
    let tx = tx.clone();
    std::thread::spawn(move || {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            match pipe.read(&mut buffer) {
                Ok(0) => break,
                Ok(n) if tx.send((source, buffer[..n].to_vec())).is_err() => break,
                Ok(_) => {}
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
    });
}

/// Collects both outputs by lines: for the log file and for the tail, secrets blanked.
struct Sink {
    log: Option<File>,
    secrets: Vec<Secret>,
    partial: [Vec<u8>; 2],
    tails: [VecDeque<Vec<u8>>; 2],
}

impl Sink {
    fn open(cmd: &Cmd) -> anyhow::Result<Self> {
        let log = match &cmd.log {
            Some(path) => Some(
                OpenOptions::new()
                    .create(true)
                    .append(true)
                    .open(path)
                    .with_context(|| format!("open log {}", path.display()))?,
            ),
            None => None,
        };
        Ok(Self { log, secrets: cmd.secrets.clone(), partial: Default::default(), tails: Default::default() })
    }

    fn take(&mut self, source: Source, bytes: &[u8]) {
        let which = source as usize;
        for piece in bytes.split_inclusive(|b| *b == b'\n') {
            self.partial[which].extend_from_slice(piece);
            if piece.ends_with(b"\n") || self.partial[which].len() > LINE_MAX {
                self.flush(which);
            }
        }
    }

    fn flush(&mut self, which: usize) {
        let line = redact(&std::mem::take(&mut self.partial[which]), &self.secrets);
        if let Some(log) = &mut self.log {
            // A full log disk must not stop a backup; the caller's own log says so when it writes.
            let _full = log.write_all(&line);
        }
        let tail = &mut self.tails[which];
        if tail.len() == TAIL_LINES {
            tail.pop_front();
        }
        tail.push_back(line);
    }

    fn finish(&mut self) {
        for which in 0..2 {
            if !self.partial[which].is_empty() {
                self.flush(which);
            }
        }
    }

    fn tail(&self) -> String {
        let lines: Vec<u8> = self.tails.iter().flatten().flatten().copied().collect();
        String::from_utf8_lossy(&lines).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str, limit_ms: u64) -> Cmd {
        Cmd::new("sh", Duration::from_millis(limit_ms)).arg("-c").arg(script)
    }

    /// Whether a process with this id exists and is not a zombie.
    fn alive(pid: &str) -> bool {
        std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).is_ok_and(|stat| !stat.contains(") Z "))
    }

    /// Whether it is gone within two seconds: a killed process takes a moment to die.
    fn dies(pid: &str) -> bool {
        let end = Instant::now() + Duration::from_secs(2);
        while alive(pid) && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(5));
        }
        !alive(pid)
    }

    #[test]
    fn a_noisy_stderr_does_not_deadlock() {
        let done = sh("dd if=/dev/zero bs=1024 count=2048 >&2; echo out", 20_000).run().unwrap();
        assert_eq!((done.ended, done.stdout.as_slice()), (Ended::Exited(0), &b"out\n"[..]));
    }

    #[test]
    fn a_large_stdin_does_not_deadlock_with_a_large_stdout() {
        let input = vec![b'x'; 8 << 20];
        let done = Cmd::new("cat", Duration::from_secs(20)).stdin(input.clone()).run().unwrap();
        assert_eq!(done.stdout, input);
    }

    #[test]
    fn a_secret_echoed_by_the_child_is_blanked() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("x.log");
        let done = sh("echo connect scott/tiger; echo tiger >&2; exit 3", 5_000)
            .secret(&Secret::new("tiger"))
            .log(Some(log.clone()))
            .run()
            .unwrap();
        assert_eq!(std::fs::read_to_string(log).unwrap().matches("tiger").count(), 0);
        assert_eq!(done.tail, "connect scott/***\n***\n");
        assert!(done.describe().starts_with("sh exited 3 after 0."), "{}", done.describe());
    }

    #[test]
    fn a_timeout_stops_grandchildren_too() {
        let started = Instant::now();
        let done = sh("sleep 60 & echo $!; sleep 60", 300).run().unwrap();
        assert_eq!(done.ended, Ended::TimedOut(Duration::from_millis(300)));
        assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
        assert!(dies(std::str::from_utf8(&done.stdout).unwrap()));
    }

    #[test]
    fn a_grandchild_that_ignores_sigterm_is_stopped_too() {
        let started = Instant::now();
        let done = sh("(trap '' TERM; sh -c 'trap \"\" TERM; echo $$; while :; do sleep 1; done')", 300)
            .run()
            .unwrap();
        assert_eq!(done.ended, Ended::TimedOut(Duration::from_millis(300)));
        assert!(started.elapsed() < GRACE + Duration::from_secs(3), "{:?}", started.elapsed());
        assert!(dies(std::str::from_utf8(&done.stdout).unwrap()));
    }

    #[test]
    fn a_chatty_child_cannot_talk_past_its_deadline() {
        let started = Instant::now();
        let mut bytes = 0;
        let done = sh("yes", 500).stream(&mut |b| bytes += b.len()).unwrap();
        assert_eq!(done.ended, Ended::TimedOut(Duration::from_millis(500)));
        assert!(bytes > 0 && started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    }

    #[test]
    fn a_background_process_holding_the_pipe_does_not_hang_us() {
        let started = Instant::now();
        let done = sh("sleep 5 & echo done", 20_000).run().unwrap();
        assert_eq!((done.ended, done.stdout.as_slice()), (Ended::Exited(0), &b"done\n"[..]));
        assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    }

    #[test]
    fn a_chatty_background_process_does_not_hang_us() {
        let started = Instant::now();
        let done = sh("(for i in $(seq 400); do echo x; sleep 0.01; done) & exit 0", 20_000).run().unwrap();
        assert_eq!(done.ended, Ended::Exited(0));
        assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    }

    #[test]
    fn more_output_than_agreed_is_an_error() {
        let mut cmd = sh("yes | head -c 100000", 5_000);
        cmd.capture = 1000;
        assert_eq!(cmd.run().unwrap_err().to_string(), "sh printed more than 1000 bytes");
    }

    #[test]
    fn a_program_that_is_missing_is_named() {
        let error = Cmd::new("/nonexistent/rsync", Duration::from_secs(1)).run().unwrap_err();
        assert_eq!(error.to_string(), "start /nonexistent/rsync");
    }

    #[test]
    fn a_running_program_ends_with_its_handle() {
        let running = sh("sleep 60", 0).start().unwrap();
        let pid = running.pid().to_string();
        assert!(alive(&pid));
        drop(running);
        assert!(dies(&pid));
    }
}
