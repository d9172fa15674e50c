//! Recovery goes on: not that it was started, but that new redo went in.

use std::time::{Duration, Instant};

use common::exit::Exit;
use common::record::{Log, Recovery};
use common::signals;

use super::journal::Journal;
use super::standby::Standby;

/// How often managed recovery is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// The longest pause between two rounds of manual recovery.
const LONGEST: Duration = Duration::from_secs(30);

/// What was seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proof {
    /// How far it had come; `None`: it was not seen to move.
    pub reached: Option<u64>,
    /// Why not.
    pub reason: Option<String>,
    pub exit: Option<Exit>,
}

/// Waits for recovery to get beyond `from`. A signal ends the waiting, for the standby is where it was.
pub fn prove(standby: &Standby<'_>, journal: &Journal, from: u64) -> anyhow::Result<Proof> {
    let end = Instant::now() + standby.args.resume_wait;
    let mut said = None;
    let mut pause = LOOK;
    loop {
        if journal.recovery == Recovery::Manual && signals::pending().is_none() {
            said = standby.recover(journal, from);
        }
        let now = standby.look(true)?;
        if now.applied > from {
            return Ok(Proof { reached: Some(now.applied), ..Proof::default() });
        }
        if now.open() || (journal.recovery == Recovery::Managed && !now.managed) {
            // Not started again: it ran, so somebody has cancelled it (a failover begins like that), or it ended by itself.
            let what = if now.open() { "the standby was opened" } else { "managed recovery ended" };
            let reason =
                format!("{what} after the drill had put it back; it was left alone: see the alert log");
            return Ok(Proof { reason: Some(reason), exit: Some(Exit::Finding), reached: None });
        }
        let stopped = signals::pending().is_some();
        if stopped || Instant::now() >= end {
            let waited = humantime::format_duration(Duration::from_secs(standby.args.resume_wait.as_secs()));
            let mut reason = match (stopped, journal.recovery) {
                (true, _) => "the drill was asked to stop before recovery was seen to go on".to_owned(),
                (false, Recovery::Managed) => {
                    format!("managed recovery runs, and no new redo came in {waited}")
                }
                (false, Recovery::Manual) => format!("nothing new could be applied in {waited}"),
            };
            if let Some(said) = said.filter(|_| !stopped) {
                standby.target.log.say(&Log::warning(format!("the last round of recovery: {said}")));
            }
            reason.push_str(&format!("; it is at SCN {}", now.applied));
            return Ok(Proof { reason: Some(reason), exit: Some(Exit::Partial), reached: None });
        }
        if let Some(lock) = standby.lock {
            lock.progress();
        }
        signals::sleep(pause.min(end.saturating_duration_since(Instant::now())));
        if journal.recovery == Recovery::Manual {
            pause = (pause * 2).min(LONGEST);
        }
    }
}
