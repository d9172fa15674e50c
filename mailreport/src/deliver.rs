//! Empties the spool, oldest mail first, and keeps account of each on disk before and after every step.
//!
//! A mail leaves the spool when the server has answered 250 to all of it. What happens when that answer does not come
//! is not decided by us but by the two generals: the server may have taken the mail or not. RFC 5321 lets a server
//! count as ours only what it has answered, so the mail is sent again, with the same bytes and the same Message-ID, by
//! which mail stores and readers recognise a second copy. After [`DOUBTS`] such attempts it goes to `failed/`.

use std::path::PathBuf;
use std::sync::mpsc::{channel, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use common::durable;
use common::lock::Lock;
use common::signals;

use crate::plan::Transport;
use crate::spool::{store, Meta, Spool, Waiting};
use crate::{sendmail, smtp};

/// Attempts without an answer to the whole mail after which it is not sent again.
pub const DOUBTS: u32 = 3;
/// A server that has us hold more than this is no mail server.
const MEMORY: u64 = 48 << 20;

/// A recipient that was refused for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bounce {
    pub to: String,
    pub reason: String,
}

impl std::fmt::Display for Bounce {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.reason.starts_with(&self.to) {
            f.write_str(&self.reason)
        } else {
            write!(f, "{}: {}", self.to, self.reason)
        }
    }
}

/// What became of one attempt.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attempt {
    /// The server has taken it for all that are in neither list.
    pub taken: bool,
    pub refused: Vec<Bounce>,
    /// To be tried again; empty and not taken: all that are not refused.
    pub later: Vec<String>,
    pub reason: Option<String>,
    pub hint: Option<String>,
    /// Nobody knows whether it was taken.
    pub doubtful: bool,
    /// The others need not be tried now.
    pub stop: bool,
}

impl Attempt {
    pub fn put_off(reason: String, hint: Option<String>, stop: bool) -> Self {
        Self { reason: Some(reason), hint, stop, ..Self::default() }
    }

    pub fn refused(to: &[String], reason: &str) -> Self {
        let refused = to.iter().map(|to| Bounce { to: to.clone(), reason: reason.to_owned() }).collect();
        Self { refused, ..Self::default() }
    }
}

/// The last moment at which an attempt can be called off.
#[derive(Debug)]
pub struct Gate {
    state: Mutex<State>,
    path: PathBuf,
    marked: Meta,
    message: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Before,
    Passed,
    CalledOff,
}

impl Gate {
    fn new(mail: &Waiting) -> Self {
        let marked = Meta { in_flight: true, attempts: mail.meta.attempts + 1, ..mail.meta.clone() };
        Self {
            state: Mutex::new(State::Before),
            path: mail.path.clone(),
            marked,
            message: mail.message.clone(),
        }
    }

    /// Notes on disk that the mail may be taken from now on.
    ///
    /// # Errors
    /// It was called off, or the note cannot be written: then nothing must be sent.
    pub fn pass(&self) -> anyhow::Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        anyhow::ensure!(*state == State::Before, "it was called off");
        store(&self.path, &self.marked, &self.message)?;
        *state = State::Passed;
        Ok(())
    }

    /// Calls the attempt off; `false` when it is too late.
    fn call_off(&self) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if *state == State::Passed {
            return false;
        }
        *state = State::CalledOff;
        true
    }
}

/// What became of a mail, told when it is true on disk.
#[derive(Debug)]
pub enum Event {
    Sent(Meta),
    /// It waits for the next run.
    Waits(Meta, PathBuf, Attempt),
    /// It is in `failed/` for these recipients.
    Failed(Meta, PathBuf, Vec<Bounce>),
    /// A file that is no mail was put out of the way.
    SetAside(PathBuf, String),
}

/// Takes the lock of the spool; waits for another run that is sending.
pub fn lock(spool: &Spool, run: &str, stalled: Duration, patience: Duration) -> anyhow::Result<Lock> {
    let end = Instant::now() + patience;
    loop {
        match Lock::take(spool.dir(), "spool", "mailreport", run, stalled) {
            Ok(lock) => return Ok(lock),
            Err(error) if Instant::now() >= end || signals::pending().is_some() => return Err(error),
            Err(_) => {
                signals::sleep(Duration::from_millis(100));
            }
        }
    }
}

/// Tries every mail once, until the server is found not to work. Needs the lock.
pub fn flush(
    spool: &Spool,
    lock: &Lock,
    transport: &Transport,
    tell: &mut dyn FnMut(Event) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut seen = std::collections::BTreeSet::new();
    loop {
        // Listed anew each time: another run may have put its mail in and be waiting for us.
        let Some(name) = spool.names()?.into_iter().find(|name| !seen.contains(name)) else { return Ok(()) };
        seen.insert(name.clone());
        lock.progress();
        let mut mail = match spool.read(&name) {
            Ok(Some(mail)) => mail,
            Ok(None) => continue,
            Err(error) => {
                let aside = spool.set_aside(&name)?;
                tell(Event::SetAside(aside, format!("{error:#}")))?;
                continue;
            }
        };
        if mail.meta.in_flight {
            // The run that sent it has died before it had the answer.
            mail.meta.in_flight = false;
            mail.meta.doubtful += 1;
            store(&mail.path, &mail.meta, &mail.message)?;
        }
        if mail.meta.doubtful >= DOUBTS {
            give_up(spool, mail, tell)?;
            continue;
        }
        if signals::pending().is_some() {
            return Ok(());
        }
        let attempt = attempt(transport, &mail, lock);
        let stop = attempt.stop;
        settle(spool, mail, attempt, tell)?;
        if stop {
            return Ok(());
        }
    }
}

fn give_up(
    spool: &Spool,
    mail: Waiting,
    tell: &mut dyn FnMut(Event) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let reason = format!(
        "sent {} times, and no server answered the whole mail: it may have arrived; look for {}",
        mail.meta.doubtful, mail.meta.message_id
    );
    let to = mail.meta.to.clone();
    let path = spool.fail(&mail, to.clone(), &reason)?;
    durable::remove(&mail.path)?;
    let bounces = to.into_iter().map(|to| Bounce { to, reason: reason.clone() }).collect();
    tell(Event::Failed(mail.meta, path, bounces))
}

/// Makes the outcome true on disk, then tells it.
fn settle(
    spool: &Spool,
    mut mail: Waiting,
    attempt: Attempt,
    tell: &mut dyn FnMut(Event) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    mail.meta.attempts += 1;
    if attempt.doubtful {
        mail.meta.doubtful += 1;
    }
    let failed = if attempt.refused.is_empty() {
        None
    } else {
        let reasons: Vec<_> = attempt.refused.iter().map(ToString::to_string).collect();
        let to = attempt.refused.iter().map(|b| b.to.clone()).collect();
        Some(spool.fail(&mail, to, &reasons.join("; "))?)
    };
    let refused = |to: &String| attempt.refused.iter().any(|b| b.to == *to);
    let rest: Vec<String> = match attempt.taken {
        true => attempt.later.clone(),
        false => mail.meta.to.iter().filter(|to| !refused(to)).cloned().collect(),
    };
    let taken = Meta {
        to: mail.meta.to.iter().filter(|to| !refused(to) && !rest.contains(to)).cloned().collect(),
        ..mail.meta.clone()
    };
    if rest.is_empty() {
        durable::remove(&mail.path)?;
    } else {
        mail.meta.to.clone_from(&rest);
        mail.meta.last_error.clone_from(&attempt.reason);
        store(&mail.path, &mail.meta, &mail.message)?;
    }
    if attempt.taken {
        tell(Event::Sent(taken))?;
    }
    if let Some(path) = failed {
        tell(Event::Failed(mail.meta.clone(), path, attempt.refused.clone()))?;
    }
    if !rest.is_empty() {
        tell(Event::Waits(mail.meta, mail.path, attempt))?;
    }
    Ok(())
}

/// One attempt, bounded in time and memory whatever the server does.
fn attempt(transport: &Transport, mail: &Waiting, lock: &Lock) -> Attempt {
    let gate = Arc::new(Gate::new(mail));
    let Waiting { meta, message, .. } = mail.clone();
    let server = match transport {
        Transport::Sendmail(program, limit) => {
            return sendmail::send(program, *limit, &meta.from, (&meta.to, &meta.all), &message, &gate);
        }
        Transport::Smtp(server) => server.clone(),
    };
    let step = server.timeout;
    let (tell, told) = channel();
    let inner = Arc::clone(&gate);
    let worker = std::thread::spawn(move || {
        let (attempt, connection) = smtp::send(&server, &meta.from, &meta.to, &message, &inner);
        let _gone = tell.send(attempt);
        if let Some(connection) = connection {
            smtp::quit(connection);
        }
    });
    let began = Instant::now();
    let memory = resident();
    let mut deadline = began + step * 10;
    let mut too_late = false;
    loop {
        match told.recv_timeout(Duration::from_millis(20)) {
            Ok(attempt) => {
                if !attempt.stop {
                    // The QUIT; a server that does not answer it is left alone after a moment.
                    let end = Instant::now() + Duration::from_millis(300);
                    while !worker.is_finished() && Instant::now() < end {
                        std::thread::sleep(Duration::from_millis(2));
                    }
                }
                return attempt;
            }
            Err(RecvTimeoutError::Disconnected) => {
                // Its thread has ended without a word: a bug, and the mail waits.
                return Attempt {
                    doubtful: !gate.call_off(),
                    ..Attempt::put_off("the dialogue ended unexpectedly".to_owned(), None, true)
                };
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
        lock.progress();
        let reason = if resident().saturating_sub(memory) > MEMORY {
            "the server sends without end: it is no mail server".to_owned()
        } else if signals::pending().is_some() && !too_late {
            "this run was asked to stop".to_owned()
        } else if Instant::now() >= deadline {
            format!("the server was too slow: not done after {} s", began.elapsed().as_secs())
        } else {
            continue;
        };
        if gate.call_off() {
            return Attempt::put_off(reason, None, true);
        }
        if std::mem::replace(&mut too_late, true) {
            return Attempt { doubtful: true, ..Attempt::put_off(reason, None, true) };
        }
        // The whole mail is on its way: its answer is worth waiting for, within limits.
        let patience =
            if signals::pending().is_some() { Duration::from_secs(5) } else { step * smtp::PATIENCE };
        deadline = Instant::now() + patience;
    }
}

/// Resident memory of this process in bytes; 0 when /proc does not tell.
fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|l| l.strip_prefix("VmRSS:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|n| n.parse::<u64>().ok()).unwrap_or(0) * 1024
}
