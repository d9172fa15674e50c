//! What must be at the standby, what is missing there, and how far it reaches without a hole. Pure.

use std::collections::{BTreeMap, BTreeSet};

use common::record::{Gap, Where};

use crate::cli::Threads;
use crate::facts::{Absent, Applied, Chain, Facts, Key, SourceLog, SourceState};
use crate::plan::Policy;

/// The sequences of a chain that the standby needs, both ends included; empty when `from > to`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Required {
    pub chain: Chain,
    pub from: u64,
    pub to: u64,
}

/// First and next SCN of a log that is known to exist or to have existed.
type Bounds = (Option<u64>, Option<u64>);

/// What has to be there, chain by chain.
///
/// Without `policy` the user's sequence filters do not count: what a filter left out is a hole all the same, and the
/// state must not pass it.
pub fn required(facts: &Facts, policy: &Policy, filtered: bool) -> Vec<Required> {
    let mut chains: BTreeMap<Chain, BTreeMap<u64, Bounds>> = BTreeMap::new();
    let mut visible: BTreeMap<Chain, u64> = BTreeMap::new();
    let mut see = |key: Key| {
        let lowest = visible.entry(key.chain()).or_insert(key.sequence);
        *lowest = key.sequence.min(*lowest);
    };
    for log in &facts.logs {
        if matches!(log.state, SourceState::NotReady(_)) {
            continue;
        }
        see(log.key);
        let bounds = (log.first_change, log.next_change);
        chains.entry(log.key.chain()).or_default().insert(log.key.sequence, bounds);
    }
    for (key, held) in &facts.there {
        see(*key);
        let bounds = (held.first_change, held.next_change);
        chains.entry(key.chain()).or_default().entry(key.sequence).or_insert(bounds);
    }
    for (key, known) in &facts.known {
        let bounds = (Some(known.first_change), Some(known.next_change));
        chains.entry(key.chain()).or_default().insert(key.sequence, bounds);
    }
    let mut found = Vec::new();
    for (chain, mut logs) in chains {
        if let Some(branch) = facts.branch(chain.resetlogs_id) {
            logs.retain(|_, (first, _)| first.is_none_or(|f| f < branch));
        }
        let other = matches!(policy.threads, Threads::One(t) if t != chain.thread);
        let Some(last) = logs.keys().next_back().copied() else { continue };
        if other {
            continue;
        }
        let mut from = first_needed(facts, chain, &logs, visible.get(&chain).copied());
        if let Some(cutoff) = policy.cutoff {
            let begin = facts.incarnations.get(&chain.resetlogs_id).copied();
            let above = first_above(&logs, cutoff, begin, None);
            // Where nothing else tells, the cut-off alone says where the redo that is needed begins.
            let told = matches!(facts.applied, Applied::Standby { .. } | Applied::Sequence(_));
            from = if told { from.max(above) } else { above };
        }
        let mut to = last;
        if filtered {
            from = from.max(policy.seq_min.unwrap_or(0));
            to = to.min(policy.seq_max.unwrap_or(u64::MAX));
        }
        found.push(Required { chain, from: from.max(1), to });
    }
    found
}

fn first_needed(facts: &Facts, chain: Chain, logs: &BTreeMap<u64, Bounds>, visible: Option<u64>) -> u64 {
    let after_last = logs.keys().next_back().map_or(1, |s| s.saturating_add(1));
    // What neither side has a file of is out of sight: the database remembers logs of long ago.
    let seen = visible.unwrap_or(after_last);
    match &facts.applied {
        // Logs that were purged on both sides since the last run leave no other trace than the mark before them.
        Applied::Nothing | Applied::Unknown(_) => {
            facts.marks.get(&chain).map_or(seen, |mark| seen.min(mark.saturating_add(1)))
        }
        Applied::Sequence(n) if chain.resetlogs_id == facts.resetlogs_id => n.saturating_add(1),
        Applied::Sequence(_) => seen,
        Applied::Standby { scn, sequences } => {
            let known = sequences.get(&(chain.resetlogs_id, chain.thread)).copied();
            let begin = facts.incarnations.get(&chain.resetlogs_id).copied();
            if facts.branch(chain.resetlogs_id).is_some_and(|branch| branch <= *scn) {
                return after_last;
            }
            if logs.values().any(|(first, next)| first.is_some() && next.is_some()) {
                first_above(logs, *scn, begin, known)
            } else {
                known.map_or(seen, |n| n + 1)
            }
        }
    }
}

/// The sequence of the log that holds `scn`, or of the first after it. When the oldest known log begins only later, the
/// standby's own `applied` tells how many are missing before it; without that it is at least one.
fn first_above(logs: &BTreeMap<u64, Bounds>, scn: u64, begin: Option<u64>, applied: Option<u64>) -> u64 {
    let below = logs.iter().rev().find(|(_, (_, next))| next.is_some_and(|n| n <= scn));
    if let Some((sequence, _)) = below {
        return sequence.saturating_add(1);
    }
    // A thread's sequences begin at 1 in each incarnation, so nothing of it can be applied before it began.
    if begin.is_some_and(|begin| scn < begin) {
        return 1;
    }
    match logs.iter().find(|(_, (first, _))| first.is_some()) {
        Some((sequence, (Some(first), _))) if *first > scn => {
            applied.map_or(sequence.saturating_sub(1), |a| a + 1).clamp(1, *sequence)
        }
        Some((sequence, _)) => *sequence,
        None => logs.keys().next().copied().unwrap_or(1),
    }
}

/// Longer holes are reported as a whole and not looked at sequence by sequence: one odd name can make one of billions.
const LONG: u64 = 100_000;

/// The missing sequences of a range, as first and last of each hole.
pub fn holes(required: &Required, verified: &BTreeSet<Key>) -> Vec<(u64, u64)> {
    let Required { chain, from, to } = *required;
    if from > to {
        return Vec::new();
    }
    let have = verified.range(chain.key(from)..=chain.key(to)).map(|k| k.sequence);
    let mut holes = Vec::new();
    let mut next = from;
    for sequence in have {
        if next < sequence {
            holes.push((next, sequence - 1));
        }
        next = sequence.saturating_add(1);
    }
    if next <= to {
        holes.push((next, to));
    }
    holes
}

/// The last sequence up to which a chain is there without a hole.
///
/// `mark` is the one recorded before, `None` for a chain without state. A sequence that was there and is missing now
/// takes it back.
pub fn contiguous(required: &Required, mark: Option<u64>, verified: &BTreeSet<Key>) -> Option<u64> {
    let chain = required.chain;
    let holds = |sequence| verified.contains(&chain.key(sequence));
    // Beyond the last log that is known, nobody's word makes a sequence a verified one.
    let before = required.from.saturating_sub(1);
    let base = mark.unwrap_or(0).max(if before <= required.to { before } else { 0 });
    let mut last = base;
    while last < u64::MAX && holds(last + 1) {
        last += 1;
    }
    if let Some((first, _)) = holes(required, verified).first() {
        last = last.min(first - 1);
    }
    // What the standby had applied before we came is not ours to vouch for.
    let ours = mark.is_some() || last >= required.from;
    (ours && last > 0).then_some(last)
}

/// Why a sequence is missing, and what heals it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    pub side: Where,
    pub reason: String,
    pub hint: String,
    /// The source has it, whole: the next run ships it.
    pub shippable: bool,
}

/// Missing sequences as `gap` records, neighbours with one cause together.
///
/// What is only behind (nothing newer is there and the source still has it) is lag and no gap.
pub fn gaps(required: &[Required], verified: &BTreeSet<Key>, cause: &dyn Fn(Key) -> Cause) -> Vec<Gap> {
    let mut found = Vec::new();
    for range in required {
        let chain = range.chain;
        let newest = verified.range(chain.key(0)..=chain.key(u64::MAX)).next_back().map_or(0, |k| k.sequence);
        let mut open: Option<(u64, u64, Cause)> = None;
        let (long, short): (Vec<_>, Vec<_>) =
            holes(range, verified).into_iter().partition(|(a, b)| b - a >= LONG);
        // Of the last one something is known, or the hole would not end there.
        for (first, last) in long {
            found.push(record(chain, first, last - 1, Cause { shippable: false, ..cause(chain.key(first)) }));
            found.push(record(chain, last, last, cause(chain.key(last))));
        }
        for sequence in short.into_iter().flat_map(|(a, b)| a..=b) {
            let cause = cause(chain.key(sequence));
            if cause.shippable && sequence > newest {
                continue;
            }
            open = match open.take() {
                Some((from, to, same)) if to + 1 == sequence && same == cause => Some((from, sequence, same)),
                other => {
                    found.extend(other.map(|(from, to, cause)| record(chain, from, to, cause)));
                    Some((sequence, sequence, cause))
                }
            };
        }
        found.extend(open.map(|(from, to, cause)| record(chain, from, to, cause)));
    }
    found
}

fn record(chain: Chain, from: u64, to: u64, cause: Cause) -> Gap {
    let hint = cause.hint.replace("{from}", &from.to_string()).replace("{to}", &to.to_string());
    Gap {
        thread: chain.thread,
        resetlogs_id: chain.resetlogs_id,
        from,
        to,
        r#where: cause.side,
        reason: cause.reason,
        hint,
    }
}

/// The cause of a hole that the source itself has; `log` is what was found there. `None`: the log is ready.
pub fn source_cause(log: Option<&SourceLog>, facts: &Facts, key: Key) -> Option<Cause> {
    let restore = format!(
        "restore it at the source, then run arch-ship again: rman target / <<< \
         \"RESTORE ARCHIVELOG FROM SEQUENCE {{from}} UNTIL SEQUENCE {{to}} THREAD {};\"",
        key.thread
    );
    let at_source = |reason: String, hint: &str| Cause {
        side: Where::Source,
        reason,
        hint: hint.to_owned(),
        shippable: false,
    };
    if let Some(log) = log {
        return match &log.state {
            SourceState::Ready => None,
            SourceState::NotReady(reason) => Some(Cause {
                side: Where::Source,
                reason: format!("not ready: {reason}"),
                hint: "it is taken when the archiver has finished it".to_owned(),
                shippable: true,
            }),
            SourceState::Damaged(reason) => {
                Some(at_source(format!("{} is {reason}", log.path.display()), &restore))
            }
        };
    }
    Some(match facts.known.get(&key).and_then(|k| k.absent.as_ref()) {
        Some(Absent::Deleted) => {
            at_source("deleted at the source: V$ARCHIVED_LOG says so".to_owned(), &restore)
        }
        Some(Absent::FileGone(path)) => {
            at_source(format!("deleted at the source: there is no {}", path.display()), &restore)
        }
        Some(Absent::NeverArchived) => at_source(
            "V$LOG_HISTORY has it and V$ARCHIVED_LOG no local copy: never archived, or not here".to_owned(),
            "look at V$ARCHIVE_DEST and V$ARCHIVE_DEST_STATUS; ALTER SYSTEM ARCHIVE LOG ALL",
        ),
        None => at_source("no file at the source: deleted, or never archived".to_owned(), &restore),
    })
}
