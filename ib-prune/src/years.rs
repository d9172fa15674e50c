//! Five years of hourly snapshots, with nights that go wrong, and the policy every day.

use std::collections::{BTreeMap, BTreeSet};

use common::infinibox::SetKind;

use crate::ours::{Owner, Seen};
use crate::plan::{Decision, Fate, Policy};
use crate::sets::Worth;
use crate::world::{planned, Run, BEGIN, DAY, HOUR};

/// A generator with a seed: the same five years each time.
struct Dice(u64);

impl Dice {
    fn one_in(&mut self, n: u64) -> bool {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33).is_multiple_of(n)
    }
}

fn hourly(policy: Policy, marked: bool, days: i64) {
    let mut dice = Dice(7);
    let mut there: Vec<Seen> = Vec::new();
    let mut next = 1000;
    let mut made = 0;
    for day in 0..days {
        // Two weeks of each year nothing is made at all: retention must not eat what is left.
        let holiday = (100..114).contains(&(day % 365));
        for hour in 0..24 {
            let at = BEGIN + day * DAY + hour * HOUR;
            if holiday {
                continue;
            }
            let mut run = if marked { Run::good(1, at) } else { Run::legacy(1, at) };
            if dice.one_in(20) {
                run.archive.1 = 0;
                run.complete = false;
            }
            let mut objects = run.objects(&mut next);
            made += objects.len();
            for s in &mut objects {
                if dice.one_in(300) {
                    s.volume.lock_expires_at = Some(at + 90 * DAY);
                } else if dice.one_in(1000) {
                    s.volume.mapped = Some(true);
                }
            }
            there.extend(objects);
        }
        // Whoever has mapped something lets go of it some day.
        for s in &mut there {
            if s.volume.mapped == Some(true) && dice.one_in(30) {
                s.volume.mapped = Some(false);
            }
        }
        let now = BEGIN + (day + 1) * DAY;
        let plan = planned(&there, policy, now);
        check(&plan, policy, now);
        let gone: BTreeSet<u64> = plan
            .iter()
            .filter(|d| d.fate == Fate::Removed)
            .flat_map(|d| d.set.members().map(|s| s.id).collect::<Vec<_>>())
            .collect();
        there.retain(|s| !gone.contains(&s.volume.id));
    }
    // It does not keep everything: two weeks, what is held, and what those need.
    assert!(made > there.len() * 20, "{made} were made and {} are there", there.len());
    assert!(there.iter().all(|s| marked == matches!(s.owner, Owner::Ours(_))));
}

/// What must hold after each day.
fn check(plan: &[Decision], policy: Policy, now: i64) {
    let kept: BTreeSet<u64> = plan
        .iter()
        .filter(|d| d.fate == Fate::Kept)
        .flat_map(|d| d.set.members().map(|s| s.id).collect::<Vec<_>>())
        .collect();
    let sound = |d: &&Decision| {
        d.set.worth == Worth::Complete && d.set.members().all(|s| s.hold.as_ref().is_none_or(|h| h.counts))
    };
    let complete: Vec<&Decision> = plan.iter().rev().filter(sound).collect();
    let kept_complete = complete.iter().filter(|d| d.fate == Fate::Kept).count();
    assert!(kept_complete >= policy.keep_last.min(complete.len()), "{kept_complete} complete sets are left");
    assert!(complete.iter().take(policy.keep_last).all(|d| d.fate == Fate::Kept), "one of the newest goes");

    let mut archives: BTreeMap<i64, u64> = BTreeMap::new();
    for s in plan.iter().flat_map(|d| d.set.members().collect::<Vec<_>>()) {
        if s.kind == SetKind::Archive {
            archives.insert(s.created, s.id);
        }
    }
    for decision in plan {
        let set = &decision.set;
        if decision.fate == Fate::Removed {
            assert!(set.members().all(|s| now - s.created > policy.older_than && s.hold.is_none()));
            continue;
        }
        // The redo of each data snapshot that stays: the next archive snapshot after it.
        for data in &set.data {
            if let Some((_, id)) = archives.range(data.created..).next() {
                assert!(kept.contains(id), "{} lost its archived logs", data.name);
            }
        }
    }
}

#[test]
fn five_years_of_hourly_snapshots_of_ib_snap() {
    hourly(Policy { older_than: 14 * DAY, keep_last: 3, require_metadata: false }, true, 1825);
}

#[test]
fn a_year_of_hourly_snapshots_of_the_original() {
    hourly(Policy { older_than: 10 * DAY, keep_last: 1, require_metadata: false }, false, 365);
}
