//! `--follow`: cycle after cycle, at once when a new log appears, through network loss and reboots of the standby.

use std::time::{Duration, Instant};

use common::exit::{status_of, Exit};
use common::record::Log;
use common::signals;

use crate::cycle::Cycle;
use crate::register;
use crate::session::Session;
use crate::source::{Look, Signs, Source, UNFINISHED};

/// How often the directories are looked at between two cycles.
const GLANCE: Duration = Duration::from_millis(500);
/// After a sign of a new log the database is asked for so long: its row comes when the file is whole.
const EXPECTANT: Duration = Duration::from_secs(60);
/// The longest wait between two tries while the standby is away.
const LONGEST: Duration = Duration::from_secs(60);

/// Runs until a signal ends it, or until somebody has to mend the configuration.
pub fn follow(session: &Session, source: &mut Source<'_>, first: Look) -> anyhow::Result<()> {
    signals::hangup_reopens_logs();
    let mut cycle = Cycle::default();
    let mut look = Some(first);
    let mut last = Look::default();
    let mut failures = 0_u32;
    let mut expecting: Option<Instant> = None;
    session
        .log
        .info(&format!("following, one cycle every {}", humantime::format_duration(session.cli.interval)));
    // The look that comes in is the first that has succeeded.
    session.notify.ready();
    while signals::pending().is_none() {
        reopen(session)?;
        {
            let mut tally = session.tally();
            tally.exit = None;
            tally.waiting = 0;
            tally.failed.clear();
            tally.unsound.clear();
            tally.verified.clear();
        }
        // Before the look: a log that appears during the cycle must still be a sign afterwards.
        let signs = source.signs(&last);
        let taken = match look.take() {
            Some(look) => Ok(look),
            None => source.look(None),
        };
        let ended = taken.and_then(|now| {
            last = now.clone();
            if now.logs.is_empty() && now.known.is_empty() {
                crate::run::empty(session)?;
            }
            cycle.set_cutoff(session, source)?;
            let verified = cycle.run(session, now, false)?;
            if session.cli.register {
                register::register(session, &verified)?;
            }
            Ok(())
        });
        session.progress();
        match ended {
            Ok(()) => {
                session.notify.status(&in_short(session));
                if failures > 0 {
                    session
                        .say_once("cycle", Log::info(format!("going on after {failures} failed cycles")))?;
                }
                failures = 0;
            }
            Err(_) if signals::pending().is_some() => break,
            Err(error) => {
                if matches!(status_of(&error), Exit::Refused | Exit::Bug) {
                    return Err(error);
                }
                // A source directory that is not mounted, a standby that reboots, a listener that is down: all of it
                // comes back.
                failures += 1;
                session.notify.status(&format!("trying again: {error:#}"));
                session.say_once("cycle", Log::error(format!("{error:#}; trying again")))?;
            }
        }
        let waiting = session.tally().waiting > 0;
        let wait = match failures {
            0 if waiting => UNFINISHED.min(session.cli.interval),
            0 => session.cli.interval,
            n => Duration::from_secs(1).saturating_mul(2_u32.saturating_pow(n.min(10))).min(LONGEST),
        };
        look = pause(session, source, &last, wait, &signs, &mut expecting)?;
    }
    session.notify.stopping();
    Ok(())
}

/// The account of the run in one line.
fn in_short(session: &Session) -> String {
    let tally = session.tally();
    let count = |name| tally.counts.get(name).copied().unwrap_or(0);
    let open = match tally.exit {
        None => "nothing is missing",
        Some(_) => "something is missing or failed: see arch-ship --status",
    };
    format!("following: {} shipped, {} resumed; {open}", count("shipped"), count("resumed"))
}

fn reopen(session: &Session) -> anyhow::Result<()> {
    if signals::take_hangup() {
        session.log.reopen()?;
        session.log.info("log reopened");
    }
    Ok(())
}

/// Waits for the next cycle, or for a sign of a new log. Returns the last look where nothing can have changed.
///
/// `expecting` is the time of the last sign and outlives the cycle that it caused: a file that has just appeared has no
/// row yet, and nothing in the directory tells when it gets one.
fn pause(
    session: &Session,
    source: &mut Source<'_>,
    last: &Look,
    wait: Duration,
    before: &Signs,
    expecting: &mut Option<Instant>,
) -> anyhow::Result<Option<Look>> {
    let end = Instant::now() + wait;
    let mut noticed = false;
    let mut asked = Instant::now();
    loop {
        if signals::pending().is_some() {
            return Ok(None);
        }
        reopen(session)?;
        let now = Instant::now();
        if now >= end {
            // What the database said last time still holds if it has nothing to add.
            return Ok(match source.asks_database() {
                true if matches!(source.has_news(), Ok(false)) => Some(last.clone()),
                _ => None,
            });
        }
        let changed = source.signs(last) != *before;
        if changed && !source.asks_database() {
            return Ok(None);
        }
        if changed && !noticed {
            noticed = true;
            *expecting = Some(now);
        }
        let ask = expecting.is_some_and(|since| now - since < EXPECTANT) && now - asked >= UNFINISHED;
        if ask {
            asked = now;
            if matches!(source.has_news(), Ok(true)) {
                return Ok(None);
            }
        }
        session.progress();
        signals::sleep(GLANCE.min(end - now));
    }
}
