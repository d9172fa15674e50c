//! Which signal has asked us to stop, and sleeping that notices it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use anyhow::Context;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

struct Flags {
    interrupt: Arc<AtomicBool>,
    terminate: Arc<AtomicBool>,
    hangup: Arc<AtomicBool>,
    /// Whether HUP means "reopen the logs" instead of "stop".
    hangup_reopens: AtomicBool,
}

static FLAGS: OnceLock<Flags> = OnceLock::new();

/// The signal that asked us to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    Interrupt,
    /// TERM, or HUP where it does not mean "reopen the logs".
    Terminate,
}

/// Installs the handlers; called once by the frame before anything is started.
pub fn install() -> anyhow::Result<()> {
    let flags = FLAGS.get_or_init(|| Flags {
        interrupt: Arc::default(),
        terminate: Arc::default(),
        hangup: Arc::default(),
        hangup_reopens: AtomicBool::new(false),
    });
    for (signal, flag) in [(SIGINT, &flags.interrupt), (SIGTERM, &flags.terminate), (SIGHUP, &flags.hangup)] {
        signal_hook::flag::register(signal, Arc::clone(flag)).context("install a signal handler")?;
    }
    Ok(())
}

/// From now on HUP asks to reopen the log files ([`take_hangup`]) and no longer stops the run.
pub fn hangup_reopens_logs() {
    if let Some(flags) = FLAGS.get() {
        flags.hangup_reopens.store(true, Ordering::SeqCst);
    }
}

/// True once after each HUP, when [`hangup_reopens_logs`] was called.
pub fn take_hangup() -> bool {
    FLAGS
        .get()
        .is_some_and(|f| f.hangup_reopens.load(Ordering::SeqCst) && f.hangup.swap(false, Ordering::SeqCst))
}

/// The signal that has asked us to stop, if any. It stays set.
pub fn pending() -> Option<Stop> {
    let flags = FLAGS.get()?;
    if flags.interrupt.load(Ordering::SeqCst) {
        return Some(Stop::Interrupt);
    }
    let hangup_stops = !flags.hangup_reopens.load(Ordering::SeqCst) && flags.hangup.load(Ordering::SeqCst);
    (flags.terminate.load(Ordering::SeqCst) || hangup_stops).then_some(Stop::Terminate)
}

/// Sleeps, and returns early with `false` when a signal has come (a HUP that reopens logs included).
pub fn sleep(duration: Duration) -> bool {
    let end = Instant::now() + duration;
    loop {
        let hangup = FLAGS.get().is_some_and(|f| f.hangup.load(Ordering::SeqCst));
        if pending().is_some() || hangup {
            return false;
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return true;
        }
        std::thread::sleep(left.min(Duration::from_millis(50)));
    }
}
