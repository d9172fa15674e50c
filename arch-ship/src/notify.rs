//! What systemd is told of a `--follow` that runs as a service of Type=notify. Without its socket nothing is said.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use sd_notify::NotifyState;

/// At most so often; the shortest WatchdogSec that makes sense is many times that.
const EVERY: Duration = Duration::from_secs(1);

/// The line to systemd.
#[derive(Debug, Default)]
pub struct Notify {
    on: bool,
    last: Mutex<Last>,
}

#[derive(Debug, Default)]
struct Last {
    ready: bool,
    alive: Option<Instant>,
    status: String,
}

impl Notify {
    /// `follow`: whether this is a service at all; a single run ends by itself.
    pub fn new(follow: bool) -> Self {
        let on = follow && std::env::var_os("NOTIFY_SOCKET").is_some_and(|s| !s.is_empty());
        Self { on, last: Mutex::default() }
    }

    fn last(&self) -> std::sync::MutexGuard<'_, Last> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first look has succeeded. Said once.
    pub fn ready(&self) {
        if self.on && !std::mem::replace(&mut self.last().ready, true) {
            tell(&[NotifyState::Ready, NotifyState::Watchdog]);
        }
    }

    /// Work has got on. This is called where something was read, sent or answered, never by a clock: a run that hangs
    /// must fall silent.
    pub fn alive(&self) {
        if !self.on {
            return;
        }
        let mut last = self.last();
        if last.alive.is_none_or(|at| at.elapsed() >= EVERY) {
            last.alive = Some(Instant::now());
            tell(&[NotifyState::Watchdog]);
        }
    }

    /// One line for `systemctl status`.
    pub fn status(&self, text: &str) {
        if !self.on {
            return;
        }
        let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(300).collect();
        let mut last = self.last();
        if last.status != text {
            tell(&[NotifyState::Status(&text)]);
            last.status = text;
        }
    }

    /// The end has begun.
    pub fn stopping(&self) {
        if self.on {
            tell(&[NotifyState::Stopping]);
        }
    }
}

fn tell(states: &[NotifyState<'_>]) {
    // A systemd that does not listen is no reason to stop shipping.
    let _deaf = sd_notify::notify(states);
}
