//! `--status`: how far the standby is, and which holes it has.

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDateTime;
use common::record::{Standby, ThreadState};
use common::remote::adaptive;

use crate::compare::{compare, Answer, Question};
use crate::cycle::{gaps, Cycle, Picture};
use crate::destination;
use crate::facts::{Applied, Facts, Key};
use crate::gap::{contiguous, required};
use crate::plan::{plan, Action};
use crate::session::Session;
use crate::source::{Look, Source};

/// Prints one `standby` record and the gaps. Changes nothing, not even the state.
pub fn status(session: &Session, source: &mut Source<'_>, look: Look) -> anyhow::Result<()> {
    let mut cycle = Cycle::default();
    cycle.set_cutoff(session, source)?;
    let newest = look.newest.clone();
    let now = look.now;
    let Picture { facts, found, policy } = cycle.picture(session, look, false, session.cli.retries.min(2))?;
    let recorded = |key| session.state().entry(key).map(|e| std::path::PathBuf::from(&e.dest));
    let plan = plan(&facts, &policy, &found.remote, &recorded);
    let mut verified: BTreeSet<Key> = facts.there.keys().copied().collect();
    let questions: Vec<Question<'_>> = plan
        .items
        .iter()
        .filter_map(|item| match &item.action {
            Action::Compare(candidates) => {
                Some(Question { log: &facts.logs[item.log], candidates: candidates.clone() })
            }
            _ => None,
        })
        .collect();
    let sizes: Vec<u64> = questions.iter().map(|q| q.log.stat.bytes).collect();
    let largest = adaptive::BatchSize { bytes: 256 << 20, files: 256, cuts: 4 };
    for range in adaptive::batches(&sizes, 1, largest) {
        let batch = &questions[range];
        let answers = compare(session, session.control(), batch)
            .map_err(|e| destination::stop(session, &e, "compare what is at the destination"))?;
        let present = |a: &Answer| matches!(a, Answer::Present { .. });
        verified.extend(batch.iter().zip(&answers).filter(|(_, a)| present(a)).map(|(q, _)| q.log.key));
    }
    let behind: u64 = plan
        .items
        .iter()
        .filter(|i| matches!(i.action, Action::Send | Action::Compare(_)))
        .map(|i| &facts.logs[i.log])
        .filter(|l| !verified.contains(&l.key))
        .map(|l| l.stat.bytes)
        .sum();
    let mut record = progress(session, &facts, &policy, &verified, &newest);
    record.lag_bytes = Some(behind);
    record.lag_seconds = now.and_then(|now| lag(now, record.recoverable_to_time.as_deref()?));
    session.emit(&record)?;
    for gap in gaps(session, &facts, &policy, &verified) {
        session.gap(&gap)?;
    }
    Ok(())
}

fn lag(now: NaiveDateTime, time: &str) -> Option<f64> {
    let then = NaiveDateTime::parse_from_str(time, "%Y-%m-%dT%H:%M:%S").ok()?;
    Some(now.signed_duration_since(then).num_seconds().max(0) as f64)
}

/// How far each thread is, and the SCN below which nothing is missing.
fn progress(
    session: &Session,
    facts: &Facts,
    policy: &crate::plan::Policy,
    verified: &BTreeSet<Key>,
    newest: &BTreeMap<u64, u64>,
) -> Standby {
    let mut bounds: BTreeMap<Key, (Option<u64>, Option<NaiveDateTime>)> = BTreeMap::new();
    for (key, held) in &facts.there {
        bounds.insert(*key, (held.next_change, held.next_time));
    }
    for log in &facts.logs {
        bounds.insert(log.key, (log.next_change, log.next_time));
    }
    let mut threads: BTreeMap<u64, ThreadState> = newest
        .iter()
        .map(|(thread, n)| {
            (*thread, ThreadState { thread: *thread, current: Some(*n), ..ThreadState::default() })
        })
        .collect();
    let mut lowest: Option<(u64, Option<NaiveDateTime>)> = None;
    let mut unbounded = false;
    let begins = |key: Key| {
        let log = facts.logs.iter().find(|l| l.key == key).and_then(|l| l.first_change);
        log.or_else(|| facts.known.get(&key).map(|k| k.first_change)).map(|scn| (scn, None))
    };
    for range in required(facts, policy, false) {
        let chain = range.chain;
        if chain.resetlogs_id != facts.resetlogs_id {
            continue;
        }
        let mark = session.state().sequence(chain);
        let received = contiguous(&range, mark, verified);
        let state = threads
            .entry(chain.thread)
            .or_insert_with(|| ThreadState { thread: chain.thread, ..ThreadState::default() });
        state.received = received;
        state.applied = match &facts.applied {
            Applied::Standby { sequences, .. } => {
                let told = sequences.get(&(chain.resetlogs_id, chain.thread)).copied();
                told.or(Some(range.from - 1))
            }
            Applied::Sequence(n) => Some(*n),
            Applied::Nothing | Applied::Unknown(_) => None,
        };
        let reached = received.and_then(|n| bounds.get(&chain.key(n)).copied());
        let reached = match (reached, &facts.applied) {
            (Some((Some(scn), time)), _) => Some((scn, time)),
            (_, Applied::Standby { scn, .. }) => Some((*scn, None)),
            // Nothing of it is there: recovery ends where its first missing log begins.
            _ => begins(chain.key(received.map_or(range.from, |n| n.saturating_add(1)))),
        };
        match reached {
            Some((scn, time)) if lowest.is_none_or(|(old, _)| scn < old) => lowest = Some((scn, time)),
            Some(_) => {}
            None => unbounded |= range.from <= range.to,
        }
    }
    let lowest = lowest.filter(|_| !unbounded);
    Standby {
        threads: threads.into_values().collect(),
        recoverable_to_scn: lowest.map(|(scn, _)| scn),
        recoverable_to_time: lowest.and_then(|(_, t)| t).map(|t| t.format("%Y-%m-%dT%H:%M:%S").to_string()),
        lag_seconds: None,
        lag_bytes: None,
    }
}
