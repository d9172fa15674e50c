//! One cycle: gather, plan, ship, and say what is missing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use common::exit::{Exit, Failure};
use common::record::{Log, Planned, Where};
use common::signals;

use crate::cli::{AppliedFrom, Cutoff, Threads};
use crate::destination::{self, Destination};
use crate::facts::{Applied, Chain, Facts, Key, SourceLog};
use crate::gap::{self, Cause, Required};
use crate::plan::{plan, Action, Plan, Policy};
use crate::session::{text, Session};
use crate::ship::ship;
use crate::source::{Look, Source};
use crate::standby;

/// How long an answer of the standby is good enough: what it has applied only grows.
const APPLIED_FOR: Duration = Duration::from_secs(600);

/// What a cycle keeps for the next one.
#[derive(Default)]
pub struct Cycle {
    applied: Option<(Instant, Applied)>,
    cutoff: Option<u64>,
}

/// What is known after looking at both sides.
pub struct Picture {
    pub facts: Facts,
    pub found: Destination,
    pub policy: Policy,
}

impl Cycle {
    /// The SCN cut-off, captured and kept if it is asked for and not there yet.
    pub fn set_cutoff(&mut self, session: &Session, source: &mut Source<'_>) -> anyhow::Result<()> {
        let looking = session.cli.status || session.cli.verify;
        self.cutoff = match session.cli.scn_cutoff {
            // Somebody who only looks means the same redo as the runs that ship.
            None if looking => session.state().cutoff()?,
            None => None,
            Some(Cutoff::Scn(scn)) => Some(scn),
            Some(Cutoff::Capture) => {
                let kept = session.state().cutoff()?;
                match kept {
                    Some(scn) => Some(scn),
                    None => {
                        let scn = source.current_scn()?;
                        if session.lock.is_some() {
                            session.state().set_cutoff(scn)?;
                            session.say(Log::info(format!("SCN cut-off {scn} captured")))?;
                        }
                        Some(scn)
                    }
                }
            }
        };
        Ok(())
    }

    /// Looks at the destination and puts both sides together.
    pub fn picture(
        &mut self,
        session: &Session,
        look: Look,
        named: bool,
        retries: u32,
    ) -> anyhow::Result<Picture> {
        let cli = session.cli;
        if !cli.common.dry_run && session.lock.is_some() {
            let unknown = look.logs.iter().filter(|log| session.state().entry(log.key).is_none()).count();
            session.warm_up(unknown);
        }
        let found = destination::look(session, retries)?;
        if !found.exists && session.lock.is_some() {
            refuse_unmounted(session)?;
        }
        let policy = Policy {
            threads: cli.thread,
            seq_min: cli.seq_min,
            seq_max: cli.seq_max,
            cutoff: self.cutoff,
            named,
        };
        let applied = if named { Applied::Nothing } else { self.applied(session, look.dbid) };
        if let Applied::Unknown(reason) = &applied {
            let message = format!(
                "what the standby has applied is unknown ({reason}): every log that is not there is shipped"
            );
            session.say_once("applied", Log::warning(message))?;
        }
        let there = destination::held(&session.state(), &found.remote, &look.logs);
        let facts = Facts {
            resetlogs_id: look.resetlogs_id,
            incarnations: look.incarnations,
            logs: look.logs,
            known: look.known,
            there,
            applied,
            marks: session.state().sequences(),
        };
        same_database(session, &facts)?;
        one_thread(&facts, &policy)?;
        Ok(Picture { facts, found, policy })
    }

    fn applied(&mut self, session: &Session, dbid: u64) -> Applied {
        match session.cli.applied {
            AppliedFrom::None => Applied::Nothing,
            AppliedFrom::Sequence(n) => Applied::Sequence(n),
            AppliedFrom::Query => {
                if let Some((at, applied)) = &self.applied {
                    if at.elapsed() < APPLIED_FOR {
                        return applied.clone();
                    }
                }
                let applied = standby::applied(session, dbid);
                self.applied = Some((Instant::now(), applied.clone()));
                applied
            }
        }
    }

    /// The whole cycle. Returns what is verified at the destination afterwards.
    pub fn run(&mut self, session: &Session, look: Look, named: bool) -> anyhow::Result<BTreeSet<Key>> {
        strays(session, &look, named)?;
        // A host that is away at the very beginning is for cron to try again, not for us to wait.
        let picture = self.picture(session, look, named, session.cli.retries.min(2))?;
        let Picture { facts, found, policy } = &picture;
        resetlogs(session, facts)?;
        let recorded = |key| session.state().entry(key).map(|e| PathBuf::from(&e.dest));
        let plan = plan(facts, policy, &found.remote, &recorded);
        if session.cli.common.dry_run {
            planned(session, facts, &plan)?;
        } else {
            ship(session, facts, &plan, found)?;
            if !found.left.is_empty() {
                destination::clean(session, &found.left);
            }
        }
        let verified: BTreeSet<Key> =
            facts.there.keys().copied().chain(session.tally().verified.iter().copied()).collect();
        // Of a run that was asked to stop, what it did not come to is no hole.
        if !named && signals::pending().is_none() {
            for gap in gaps(session, facts, policy, &verified) {
                session.gap(&gap)?;
            }
        }
        if !session.cli.common.dry_run {
            marks(session, facts, policy, &verified)?;
            forget(session, facts, policy, found)?;
        }
        Ok(verified)
    }
}

/// A directory that held verified logs and is gone is a file system that is not mounted: made anew it would lie on the
/// disk below the mount point, and fill that.
fn refuse_unmounted(session: &Session) -> anyhow::Result<()> {
    let held =
        session.state().entries().filter(|e| Path::new(&e.dest).starts_with(&session.dest_dir)).count();
    if held == 0 {
        return Ok(());
    }
    let (dir, host) = (session.dest_dir.display(), session.target.label());
    let message = format!("{dir} on {host} is gone, and {held} verified logs were in it");
    Err(Failure::new(Exit::TryAgain, message)
        .hint(format!("mount it; if it was removed on purpose: mkdir -p {dir}"))
        .into())
}

/// Files in the place of logs that are none. Only what was named, or cannot ever be shipped, is a failure.
fn strays(session: &Session, look: &Look, named: bool) -> anyhow::Result<()> {
    for stray in &look.strays {
        let path = text(&stray.path);
        if named || stray.bad_name {
            session.worse(Exit::Partial);
            if session.cli.follow && !session.is_news(&path, &stray.reason) {
                continue;
            }
            session.report(&common::record::ArchivedLog {
                path,
                bytes: Some(stray.bytes),
                status: Some(common::record::LogStatus::Failed),
                reason: Some(stray.reason.clone()),
                ..Default::default()
            })?;
        } else if session.is_news(&path, &stray.reason) {
            session.log.info(&format!("{path} is left out: {}", stray.reason));
        }
    }
    Ok(())
}

fn same_database(session: &Session, facts: &Facts) -> anyhow::Result<()> {
    let state = session.state();
    let other = facts.logs.iter().find_map(|log| {
        let mark = state.mark(log.key.thread)?;
        (mark.dbid != 0 && log.key.dbid != 0 && mark.dbid != log.key.dbid)
            .then_some((mark.dbid, log.key.dbid))
    });
    match other {
        Some((kept, here)) => Err(Failure::new(
            Exit::Refused,
            format!(
                "the state of {} belongs to the database with DBID {kept}, these logs to DBID {here}",
                session.sid
            ),
        )
        .hint("give the other database its own --state-dir, or set ORACLE_SID to its own name")
        .into()),
        None => Ok(()),
    }
}

/// Each thread counts its own sequences: one number for several would leave out redo of the slower ones.
fn one_thread(facts: &Facts, policy: &Policy) -> anyhow::Result<()> {
    let Applied::Sequence(n) = facts.applied else { return Ok(()) };
    let current = facts.logs.iter().map(|l| l.key).filter(|k| k.resetlogs_id == facts.resetlogs_id);
    let threads: BTreeSet<u64> = current.map(|k| k.thread).collect();
    if policy.threads != Threads::All || threads.len() < 2 {
        return Ok(());
    }
    let list = threads.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
    Err(Failure::new(
        Exit::Usage,
        format!("--applied {n} is one sequence, and there are logs of threads {list}"),
    )
    .hint("run it for each with --thread N, or let the standby be asked: --applied query")
    .into())
}

/// Nothing crosses a RESETLOGS unnoticed.
fn resetlogs(session: &Session, facts: &Facts) -> anyhow::Result<()> {
    let before: BTreeSet<u64> = {
        let state = session.state();
        let threads: BTreeSet<u64> = facts.logs.iter().map(|l| l.key.thread).collect();
        threads.into_iter().filter_map(|t| state.mark(t)).map(|m| m.resetlogs_id).collect()
    };
    for old in before.into_iter().filter(|old| *old < facts.resetlogs_id && *old != 0) {
        let scn = facts.incarnations.get(&facts.resetlogs_id).map_or_else(|| "?".to_owned(), u64::to_string);
        let message = format!(
            "the database was opened with RESETLOGS at SCN {scn}: sequences begin again at 1 with resetlogs id {} \
             (before: {old}); logs of both are shipped, and the standby follows only if it has not applied redo of \
             {old} beyond that SCN, else make it anew or flash it back",
            facts.resetlogs_id
        );
        session.say_once("resetlogs", Log::warning(message))?;
    }
    Ok(())
}

fn planned(session: &Session, facts: &Facts, plan: &Plan) -> anyhow::Result<()> {
    let host = session.target.label();
    for item in &plan.items {
        let log = &facts.logs[item.log];
        let (action, reason) = match &item.action {
            Action::Skip(reason) => ("skip", reason.clone()),
            Action::Wait(reason) => ("wait", format!("not ready: {reason}")),
            Action::Damaged(reason) => ("none", reason.clone()),
            Action::Present(path) => {
                ("none", format!("it is on {host} at {}, verified and unchanged", path.display()))
            }
            Action::Compare(files) => compare_reason(session, log, files),
            Action::Send => ("ship", format!("it is not at the destination, {host}")),
        };
        session.count("planned", u64::from(action == "ship" || action == "resume" || action == "compare"));
        session.emit(&Planned {
            action: action.to_owned(),
            reason,
            path: Some(text(&log.path)),
            dest: Some(text(&destination::final_path(session, log))),
            bytes: Some(log.stat.bytes),
            thread: Some(log.key.thread),
            sequence: Some(log.key.sequence),
            ..Planned::default()
        })?;
    }
    Ok(())
}

fn compare_reason(
    session: &Session,
    log: &SourceLog,
    files: &[crate::plan::RemoteFile],
) -> (&'static str, String) {
    let last = destination::final_path(session, log);
    match files
        .iter()
        .find(|f| f.stat.bytes == log.stat.bytes)
        .or_else(|| files.iter().find(|f| f.path == last))
    {
        Some(file) if file.stat.bytes < log.stat.bytes => (
            "resume",
            format!(
                "{} has {} of {} bytes; if it is the beginning of the log it is completed",
                file.path.display(),
                file.stat.bytes,
                log.stat.bytes
            ),
        ),
        Some(file) => ("compare", format!("{} has its name; the contents are compared", file.path.display())),
        None => ("ship", "a part of it is at the destination".to_owned()),
    }
}

/// The holes after this cycle.
pub fn gaps(
    session: &Session,
    facts: &Facts,
    policy: &Policy,
    verified: &BTreeSet<Key>,
) -> Vec<common::record::Gap> {
    let mut logs: BTreeMap<Key, &SourceLog> = BTreeMap::new();
    for log in &facts.logs {
        let slot = logs.entry(log.key).or_insert(log);
        if log.is_ready() {
            *slot = log;
        }
    }
    let failed = session.tally().failed.clone();
    let cause = |key: Key| {
        let log = logs.get(&key).copied();
        let gone = log.is_some_and(|l| !l.path.exists());
        if let Some(cause) = gap::source_cause(log.filter(|_| !gone), facts, key) {
            let was_there = session.state().entry(key).map(|e| e.dest.clone());
            return match was_there {
                Some(dest) if log.is_none() => Cause {
                    reason: format!("{dest} was verified and is gone or changed; {}", cause.reason),
                    side: Where::Destination,
                    ..cause
                },
                _ => cause,
            };
        }
        let (reason, hint) = failed.get(&key).cloned().unwrap_or(("not shipped yet".to_owned(), None));
        let hint = hint.unwrap_or_else(|| {
            "mend the cause and run arch-ship again; it is still at the source".to_owned()
        });
        Cause { side: Where::Destination, reason, hint, shippable: true }
    };
    let required = gap::required(facts, policy, true);
    gap::gaps(&required, verified, &cause)
}

/// Writes the marks of the current incarnation.
fn marks(session: &Session, facts: &Facts, policy: &Policy, verified: &BTreeSet<Key>) -> anyhow::Result<()> {
    let mut state = session.state();
    if policy.named {
        // Only what was named was looked at: a mark may grow over it, and nothing is known of the rest.
        let chains: BTreeSet<Chain> = facts.logs.iter().map(|l| l.key.chain()).collect();
        for chain in chains {
            let Some(mark) = state.sequence(chain) else { continue };
            let mut last = mark;
            while verified.contains(&chain.key(last + 1)) {
                last += 1;
            }
            state.set_mark(chain, last)?;
        }
        return Ok(());
    }
    for range in gap::required(facts, policy, false) {
        let Required { chain, .. } = range;
        if chain.resetlogs_id != facts.resetlogs_id {
            continue;
        }
        if let Some(last) = gap::contiguous(&range, state.sequence(chain), verified) {
            state.set_mark(chain, last)?;
        }
    }
    Ok(())
}

/// Forgets logs that neither side has any more and that the standby no longer needs.
fn forget(session: &Session, facts: &Facts, policy: &Policy, found: &Destination) -> anyhow::Result<()> {
    if policy.named {
        return Ok(());
    }
    let from: BTreeMap<Chain, u64> =
        gap::required(facts, policy, false).into_iter().map(|r| (r.chain, r.from)).collect();
    let here: std::collections::HashSet<Key> = facts.logs.iter().map(|l| l.key).collect();
    let mut state = session.state();
    let gone: Vec<Key> = state
        .entries()
        .filter(|e| !here.contains(&e.key) && found.remote.at(std::path::Path::new(&e.dest)).is_none())
        .filter(|e| from.get(&e.key.chain()).is_none_or(|from| e.key.sequence < *from))
        .map(|e| e.key)
        .collect();
    if gone.is_empty() {
        return Ok(());
    }
    state.forget(&gone)
}
