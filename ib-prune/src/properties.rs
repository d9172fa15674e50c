//! What always holds of the retention.

use std::collections::{BTreeMap, BTreeSet};

use common::infinibox::SetKind;
use proptest::prelude::*;

use crate::ours::{Owner, Seen};
use crate::plan::{Decision, Fate, Policy};
use crate::sets::Worth;
use crate::world::{objects, ours, planned, Run, BEGIN, DAY, HOUR};

fn runs(marked: bool) -> impl Strategy<Value = Vec<Run>> {
    let run = (1_u64..4, 0_i64..40 * 24, 0_i64..50, 1_u64..3, 0_u64..3, 0_u64..3, 0_u8..12).prop_map(
        move |(db, hour, minute, data, wanted, there, luck)| {
            let whole = luck < 8;
            let there = if whole { wanted } else { there.min(wanted) };
            Run {
                db,
                at: BEGIN + hour * HOUR + minute * 60_000,
                data,
                archive: (wanted, there),
                lost: u64::from(luck == 11 && data > 1),
                complete: luck != 10,
                marked,
            }
        },
    );
    prop::collection::vec(run, 0..40).prop_map(|mut runs| {
        // One run of a database at a time, as its lock has it.
        let mut seen = BTreeSet::new();
        runs.retain(|r| seen.insert((r.db, (r.at - BEGIN) / HOUR)));
        runs
    })
}

/// Objects with some of them held.
fn seen(marked: bool) -> impl Strategy<Value = Vec<Seen>> {
    (runs(marked), prop::collection::vec(0_u8..60, 0..200)).prop_map(|(runs, luck)| {
        let mut seen = objects(&runs);
        for (s, luck) in seen.iter_mut().zip(luck) {
            match luck {
                0 => s.volume.lock_state = Some("LOCKED".to_owned()),
                1 => s.volume.mapped = Some(true),
                2 => s.volume.has_children = Some(true),
                3 => s.volume.snapshot_expires_at = Some(i64::MAX / 4),
                _ => {}
            }
        }
        seen
    })
}

fn any_seen() -> impl Strategy<Value = Vec<Seen>> {
    prop_oneof![
        seen(true),
        seen(false),
        (seen(true), seen(false)).prop_map(|(mut marked, mut legacy)| {
            for s in &mut legacy {
                s.volume.id += 100_000;
                // Before the takeover.
                s.volume.created_at = s.volume.created_at.map(|c| c - 20 * DAY);
            }
            marked.extend(legacy);
            marked
        }),
    ]
}

fn policies() -> impl Strategy<Value = Policy> {
    (1_i64..30 * 24, 1_usize..5, any::<bool>()).prop_map(|(hours, keep_last, strict)| Policy {
        older_than: hours * HOUR,
        keep_last,
        require_metadata: strict && keep_last > 3,
    })
}

fn clock() -> impl Strategy<Value = i64> {
    (0_i64..90 * 24).prop_map(|hours| BEGIN + hours * HOUR)
}

fn survivors(seen: &[Seen], plan: &[Decision]) -> Vec<Seen> {
    let gone: BTreeSet<u64> = plan
        .iter()
        .filter(|d| d.fate == Fate::Removed)
        .flat_map(|d| d.set.members().map(|s| s.id).collect::<Vec<_>>())
        .collect();
    seen.iter().filter(|s| !gone.contains(&s.volume.id)).cloned().collect()
}

fn ids(seen: &[Seen]) -> BTreeSet<u64> {
    seen.iter().map(|s| s.volume.id).collect()
}

/// Complete sets of each database that can be relied on, newest first, by the ids of their members.
fn reliable(plan: &[Decision], now: i64) -> BTreeMap<String, Vec<BTreeSet<u64>>> {
    let mut found: BTreeMap<String, Vec<BTreeSet<u64>>> = BTreeMap::new();
    for decision in plan.iter().rev() {
        let set = &decision.set;
        let counts = set.members().all(|s| s.hold.as_ref().is_none_or(|h| h.counts));
        if set.marked && set.worth == Worth::Complete && counts && set.newest() <= now {
            found
                .entry(format!("{:?}", set.ranked_by))
                .or_default()
                .push(set.members().map(|s| s.id).collect());
        }
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_snapshot_of_ours_is_in_exactly_one_decision(seen in any_seen(), policy in policies(), now in clock()) {
        let mut planned: Vec<u64> =
            planned(&seen, policy, now).iter().flat_map(|d| d.set.members().map(|s| s.id).collect::<Vec<_>>()).collect();
        planned.sort_unstable();
        let all: Vec<u64> = ids(&seen).into_iter().collect();
        prop_assert_eq!(planned, all);
    }

    #[test]
    fn the_newest_complete_sets_of_each_database_stay(seen in any_seen(), policy in policies(), now in clock()) {
        let plan = planned(&seen, policy, now);
        let kept = ids(&survivors(&seen, &plan));
        for (db, sets) in reliable(&plan, now) {
            for set in sets.iter().take(policy.keep_last) {
                prop_assert!(set.is_subset(&kept), "{db} lost {set:?}");
            }
        }
    }

    #[test]
    fn each_data_volume_of_the_original_keeps_its_newest_sets(seen in seen(false), policy in policies(), now in clock()) {
        let plan = planned(&seen, policy, now);
        let mut there: BTreeMap<u64, Vec<&Decision>> = BTreeMap::new();
        for decision in plan.iter().rev() {
            let counts = decision.set.members().all(|s| s.hold.as_ref().is_none_or(|h| h.counts));
            if decision.set.worth == Worth::Complete && counts && decision.set.newest() <= now {
                for data in &decision.set.data {
                    there.entry(data.parent).or_default().push(decision);
                }
            }
        }
        for sets in there.values() {
            prop_assert!(sets.iter().take(policy.keep_last).all(|d| d.fate == Fate::Kept));
        }
    }

    #[test]
    fn nothing_young_held_or_of_the_future_goes(seen in any_seen(), policy in policies(), now in clock()) {
        for decision in planned(&seen, policy, now).iter().filter(|d| d.fate == Fate::Removed) {
            for s in decision.set.members() {
                prop_assert!(now - s.created > policy.older_than && s.hold.is_none() && s.chosen, "{s:?}");
                prop_assert!(!policy.require_metadata || s.mark.is_some());
            }
        }
    }

    /// Said without the planner's own notion of need: the first archive snapshot of each archive volume of the database
    /// after a data snapshot that stays, unless its run brought its own. Whose an archive volume is that ib-snap has never
    /// marked can only be guessed, and one that followed the data in less than half of the runs is not guessed.
    #[test]
    fn no_data_snapshot_stays_without_its_redo(seen in any_seen(), policy in policies(), now in clock()) {
        let plan = planned(&seen, policy, now);
        let kept = survivors(&seen, &plan);
        let kept_ids = ids(&kept);
        let all = ours(&seen, now);
        let db = |parent: u64| parent / 100;
        let known: BTreeSet<u64> = all.iter().filter(|s| s.mark.is_some()).map(|s| s.parent).collect();
        for decision in plan.iter().filter(|d| d.fate == Fate::Kept && d.set.marked && !d.set.data.is_empty()) {
            let data = &decision.set.data;
            let own: Vec<u64> = decision.set.archive.iter().map(|s| s.id).collect();
            prop_assert!(own.iter().all(|id| kept_ids.contains(id)));
            if decision.set.archive_whole {
                continue;
            }
            let after = data.iter().map(|s| s.created).max().unwrap_or(0);
            let mut first: BTreeMap<u64, (i64, u64)> = BTreeMap::new();
            for s in all.iter().filter(|s| s.kind == SetKind::Archive && db(s.parent) == db(data[0].parent)) {
                if s.created >= after && known.contains(&s.parent) {
                    let best = first.entry(s.parent).or_insert((s.created, s.id));
                    *best = (*best).min((s.created, s.id));
                }
            }
            for (_, id) in first.values() {
                prop_assert!(kept_ids.contains(id), "{} lost archive snapshot {id}", decision.set.name());
            }
        }
    }

    #[test]
    fn the_order_of_the_listing_does_not_matter(
        (seen, shuffled) in any_seen().prop_flat_map(|s| (Just(s.clone()), Just(s).prop_shuffle())),
        policy in policies(),
        now in clock(),
    ) {
        let view = |plan: &[Decision]| -> Vec<(Vec<u64>, Fate, String)> {
            plan.iter().map(|d| (d.set.members().map(|s| s.id).collect(), d.fate, d.reason.clone())).collect()
        };
        prop_assert_eq!(view(&planned(&seen, policy, now)), view(&planned(&shuffled, policy, now)));
    }

    #[test]
    fn a_second_run_removes_nothing(seen in seen(true), policy in policies(), now in clock()) {
        let first = survivors(&seen, &planned(&seen, policy, now));
        let second = survivors(&first, &planned(&first, policy, now));
        prop_assert_eq!(ids(&first), ids(&second));
    }

    #[test]
    fn a_more_generous_policy_keeps_no_less(
        seen in any_seen(),
        policy in policies(),
        more in (0_i64..10, 0_usize..4),
        now in clock(),
    ) {
        let generous =
            Policy { older_than: policy.older_than + more.0 * DAY, keep_last: policy.keep_last + more.1, ..policy };
        let few = ids(&survivors(&seen, &planned(&seen, policy, now)));
        let many = ids(&survivors(&seen, &planned(&seen, generous, now)));
        prop_assert!(few.is_subset(&many));
    }

    #[test]
    fn foreign_objects_change_nothing(seen in any_seen(), policy in policies(), now in clock(), which in 0_u8..6) {
        let mut with = seen.clone();
        for (n, s) in seen.iter().enumerate() {
            let mut other = s.clone();
            other.volume.id = 500_000 + n as u64;
            match which {
                0 => other.owner = Owner::Other("cinder made it".to_owned()),
                1 => other.volume.name = format!("not-{}", other.volume.name),
                2 => other.volume.parent_id = Some(0),
                3 => other.volume.depth = Some(2),
                4 => other.volume.kind = Some("CLONE".to_owned()),
                _ => other.volume.name = "orasync.notes".to_owned(),
            }
            // A marked one stays ours by its metadata, whatever its name says.
            if which == 1 { other.owner = Owner::Nobody; }
            with.push(other);
        }
        let plain = ids(&survivors(&seen, &planned(&seen, policy, now)));
        let left = ids(&survivors(&with, &planned(&with, policy, now)));
        prop_assert!(left.iter().filter(|id| **id < 500_000).eq(plain.iter()));
        prop_assert_eq!(left.iter().filter(|id| **id >= 500_000).count(), seen.len());
    }
}
