//! What must hold for every plan, whatever the logs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use common::record::Where;
use proptest::prelude::*;

use crate::cli::Threads;
use crate::facts::{Applied, Chain, Facts, FileStat, Held, Key, SourceLog, SourceState};
use crate::gap::{contiguous, gaps, holes, required, Cause, Required};
use crate::plan::{not_needed, plan, Action, Policy, Remote};

/// Logs of 100 SCNs each; incarnation 2 begins at SCN 1000 and sequences begin again.
fn log(resetlogs_id: u64, thread: u64, sequence: u64) -> SourceLog {
    let start = if resetlogs_id == 1 { 100 } else { 1000 };
    let first = start + (sequence - 1) * 100;
    let name = format!("{thread}_{sequence}_{resetlogs_id}.dbf");
    SourceLog {
        key: Key { dbid: 9, resetlogs_id, thread, sequence },
        resetlogs_change: start,
        first_change: Some(first),
        next_change: Some(first + 100),
        next_time: None,
        path: PathBuf::from("/arch").join(&name),
        rel: PathBuf::from(name),
        stat: FileStat { bytes: 512, mtime_ns: 1, inode: sequence },
        state: SourceState::Ready,
    }
}

fn facts(logs: Vec<SourceLog>, there: BTreeSet<Key>, applied: Applied) -> Facts {
    let newest = logs.iter().map(|l| l.key.resetlogs_id).max().unwrap_or(1);
    let held = |k: Key| {
        let log = log(k.resetlogs_id, k.thread, k.sequence);
        let (first_change, next_change) = (log.first_change, log.next_change);
        (k, Held { path: log.rel, first_change, next_change, next_time: None })
    };
    let there = there.into_iter().map(held).collect();
    let incarnations = BTreeMap::from([(1, 100), (2, 1000)]);
    let incarnations = incarnations.into_iter().filter(|(id, _)| *id <= newest).collect();
    Facts {
        resetlogs_id: newest,
        incarnations,
        logs,
        known: BTreeMap::new(),
        there,
        applied,
        marks: BTreeMap::new(),
    }
}

fn policy() -> Policy {
    Policy { threads: Threads::All, seq_min: None, seq_max: None, cutoff: None, named: false }
}

fn keys() -> impl Strategy<Value = Vec<(u64, u64, u64)>> {
    prop::collection::vec((1u64..=2, 1u64..=2, 1u64..=14), 0..40)
}

fn applied() -> impl Strategy<Value = Applied> {
    prop_oneof![
        Just(Applied::Nothing),
        Just(Applied::Unknown("no answer".to_owned())),
        (50u64..2500).prop_map(|scn| Applied::Standby { scn, sequences: BTreeMap::new() }),
        (0u64..16).prop_map(Applied::Sequence),
    ]
}

fn world() -> impl Strategy<Value = Facts> {
    (keys(), keys(), applied()).prop_map(|(here, there, applied)| {
        let unique: BTreeSet<_> = here.into_iter().collect();
        let logs: Vec<_> = unique.into_iter().map(|(r, t, s)| log(r, t, s)).collect();
        let newest = logs.iter().map(|l| l.key.resetlogs_id).max().unwrap_or(1);
        let there = there.into_iter().filter(|k| k.0 <= newest);
        let there = there.map(|(r, t, s)| log(r, t, s).key).collect();
        facts(logs, there, applied)
    })
}

fn missing(range: &Required, verified: &BTreeSet<Key>) -> Vec<u64> {
    holes(range, verified).into_iter().flat_map(|(first, last)| first..=last).collect()
}

/// What is at the destination when all the plan sends has arrived.
fn after(facts: &Facts) -> BTreeSet<Key> {
    let plan = plan(facts, &policy(), &Remote::default(), &|_| None);
    let sent = plan.items.iter().filter(|i| i.action == Action::Send).map(|i| facts.logs[i.log].key);
    facts.there.keys().copied().chain(sent).collect()
}

fn unknown_cause(_: Key) -> Cause {
    Cause { side: Where::Source, reason: "r".to_owned(), hint: "{from}-{to}".to_owned(), shippable: false }
}

proptest! {
    #[test]
    fn present_and_missing_are_disjoint_and_make_up_what_is_required(facts in world()) {
        let verified: BTreeSet<Key> = facts.there.keys().copied().collect();
        for range in required(&facts, &policy(), true) {
            let missing: BTreeSet<u64> = missing(&range, &verified).into_iter().collect();
            for sequence in range.from..=range.to {
                prop_assert_ne!(missing.contains(&sequence), verified.contains(&range.chain.key(sequence)));
            }
            prop_assert!(missing.iter().all(|s| (range.from..=range.to).contains(s)));
        }
    }

    #[test]
    fn after_shipping_the_plan_only_what_the_source_lacks_is_missing(facts in world()) {
        let verified = after(&facts);
        let here: BTreeSet<Key> = facts.logs.iter().map(|l| l.key).collect();
        for range in required(&facts, &policy(), true) {
            for sequence in missing(&range, &verified) {
                prop_assert!(!here.contains(&range.chain.key(sequence)), "{:?} {sequence}", range);
            }
        }
    }

    #[test]
    fn a_log_that_is_not_needed_is_never_reported_missing(facts in world()) {
        for range in required(&facts, &policy(), true) {
            for log in facts.logs.iter().filter(|l| l.key.chain() == range.chain) {
                let inside = (range.from..=range.to).contains(&log.key.sequence);
                let needed = not_needed(log, &facts, &policy()).is_none();
                prop_assert_eq!(inside, needed, "{:?} {:?}", range, log.key);
            }
        }
    }

    #[test]
    fn the_mark_never_passes_a_hole(facts in world(), mark in prop::option::of(0u64..16)) {
        let verified = after(&facts);
        for range in required(&facts, &policy(), false) {
            if let Some(last) = contiguous(&range, mark, &verified) {
                let hole = missing(&range, &verified).first().copied();
                prop_assert!(hole.is_none_or(|h| last < h), "{last} {hole:?}");
                let holds = |s| verified.contains(&range.chain.key(s));
                let vouched = mark.unwrap_or(0).max(range.from - 1);
                prop_assert!((vouched + 1..=last).all(holds));
            }
        }
    }

    #[test]
    fn a_hole_is_in_exactly_one_gap_and_no_gap_crosses_an_incarnation(facts in world()) {
        let verified = after(&facts);
        let ranges = required(&facts, &policy(), true);
        let found = gaps(&ranges, &verified, &unknown_cause);
        for range in &ranges {
            let own = |g: &&common::record::Gap| {
                g.thread == range.chain.thread && g.resetlogs_id == range.chain.resetlogs_id
            };
            let told: Vec<u64> = found.iter().filter(own).flat_map(|g| g.from..=g.to).collect();
            prop_assert_eq!(told, missing(range, &verified));
        }
    }

    #[test]
    fn the_order_of_discovery_is_irrelevant(facts in world(), seed in any::<u64>()) {
        let mut other = facts.clone();
        let count = other.logs.len().max(1) as u64;
        other.logs.rotate_left((seed % count) as usize);
        if seed % 2 == 0 {
            other.logs.reverse();
        }
        let named = |f: &Facts| -> Vec<(Key, Action)> {
            let plan = plan(f, &policy(), &Remote::default(), &|_| None);
            plan.items.into_iter().map(|i| (f.logs[i.log].key, i.action)).collect()
        };
        prop_assert_eq!(named(&facts), named(&other));
        prop_assert_eq!(required(&facts, &policy(), true), required(&other, &policy(), true));
    }

    #[test]
    fn unknown_ships_everything_that_is_part_of_the_history(here in keys()) {
        let unique: BTreeSet<_> = here.into_iter().collect();
        let logs: Vec<_> = unique.into_iter().map(|(r, t, s)| log(r, t, s)).collect();
        let facts = facts(logs, BTreeSet::new(), Applied::Unknown("x".to_owned()));
        let branch = facts.branch(1).unwrap_or(u64::MAX);
        let sent = after(&facts);
        for log in &facts.logs {
            let orphan = log.key.resetlogs_id == 1 && log.first_change >= Some(branch);
            prop_assert_eq!(sent.contains(&log.key), !orphan);
        }
    }
}

fn world_of(sequences: &[u64], applied: Applied) -> Facts {
    facts(sequences.iter().map(|s| log(1, 1, *s)).collect(), BTreeSet::new(), applied)
}

const CHAIN: Chain = Chain { dbid: 9, resetlogs_id: 1, thread: 1 };

#[test]
fn the_log_that_holds_the_checkpoint_is_needed() {
    // Sequence 3 holds SCNs 300 to 399.
    for (scn, from) in [(299, 2), (300, 3), (399, 3), (400, 4)] {
        let facts = world_of(&[1, 2, 3, 4], Applied::Standby { scn, sequences: BTreeMap::new() });
        assert_eq!(required(&facts, &policy(), true)[0].from, from, "{scn}");
    }
    let facts = world_of(&[5, 6], Applied::Standby { scn: 350, sequences: BTreeMap::from([((1, 1), 2)]) });
    assert_eq!(required(&facts, &policy(), true)[0].from, 3, "3 and 4 are gone");
    let facts = world_of(&[5, 6], Applied::Standby { scn: 350, sequences: BTreeMap::new() });
    assert_eq!(required(&facts, &policy(), true)[0].from, 4, "at least the one before the oldest is missing");
}

#[test]
fn a_cutoff_needs_the_log_that_contains_it() {
    let mut policy = policy();
    policy.cutoff = Some(350);
    let facts = world_of(&[1, 2, 3, 4], Applied::Nothing);
    assert_eq!(required(&facts, &policy, true)[0].from, 3);
    assert!(not_needed(&facts.logs[1], &facts, &policy).is_some());
    assert!(not_needed(&facts.logs[2], &facts, &policy).is_none());
}

#[test]
fn a_filter_hides_no_hole_from_the_mark() {
    let mut policy = policy();
    policy.seq_min = Some(4);
    let facts = world_of(&[1, 2, 3, 4, 5], Applied::Nothing);
    let verified: BTreeSet<Key> = [1, 4, 5].into_iter().map(|s| CHAIN.key(s)).collect();
    assert!(missing(&required(&facts, &policy, true)[0], &verified).is_empty());
    let all = required(&facts, &policy, false);
    assert_eq!(contiguous(&all[0], None, &verified), Some(1));
}

#[test]
fn a_log_that_was_there_and_vanished_takes_the_mark_back() {
    let facts = world_of(&[1, 2, 3, 4], Applied::Nothing);
    let verified: BTreeSet<Key> = [1, 2, 4].into_iter().map(|s| CHAIN.key(s)).collect();
    let all = required(&facts, &policy(), false);
    assert_eq!(contiguous(&all[0], Some(4), &verified), Some(2));
}

#[test]
fn what_is_only_behind_is_no_gap() {
    let facts = world_of(&[1, 2, 3, 4], Applied::Nothing);
    let verified: BTreeSet<Key> = [1, 3].into_iter().map(|s| CHAIN.key(s)).collect();
    let behind = |key: Key| Cause { shippable: true, ..unknown_cause(key) };
    let found = gaps(&required(&facts, &policy(), true), &verified, &behind);
    assert_eq!(found.iter().map(|g| (g.from, g.to)).collect::<Vec<_>>(), [(2, 2)]);
}
