//! The planner against brute force and against the truth, on random small databases.

use std::collections::{BTreeMap, BTreeSet};

use super::brute::Brute;
use super::catalogue::{Scn, Target};
use super::plan::{plan, Plan};
use super::random::{Blocks, World, BLOCKS};

/// Catalogues per property; together more than 10^5.
const WORLDS: u64 = 60_000;

fn in_parallel(first: u64, count: u64, check: impl Fn(u64) + Sync) {
    let check = &check;
    std::thread::scope(|scope| {
        for part in 0..2 {
            scope.spawn(move || {
                for seed in (first..first + count).filter(|s| s % 2 == part) {
                    check(seed);
                }
            });
        }
    });
}

/// Carries a plan out on the blocks of the world, with what is in the sets of the plan and nothing else.
fn carry_out(world: &World, plan: &Plan, scn: Scn) -> BTreeMap<(u32, Scn), Blocks> {
    let sets: BTreeSet<u32> = plan.sets.iter().copied().collect();
    let mut files: BTreeMap<(u32, Scn), (Scn, Blocks)> = BTreeMap::new();
    for chain in &plan.chains {
        let mut blocks = [0; BLOCKS];
        let mut state = chain.file.1;
        for (position, item) in chain.items.iter().enumerate() {
            let (item, copied) = &world.datafiles[*item as usize];
            assert!(sets.contains(&item.set) && world.sets[item.set as usize].available);
            assert_eq!((item.file, item.creation), chain.file);
            if position > 0 {
                assert!(item.incremental <= state && state < item.checkpoint);
                assert_eq!(item.level, Some(1));
            }
            for (block, copy) in blocks.iter_mut().zip(copied) {
                *block = copy.unwrap_or(*block);
            }
            state = item.checkpoint;
        }
        files.insert(chain.file, (state, blocks));
    }
    let logs: Vec<_> = plan.logs.iter().map(|l| &world.logs[l.item as usize]).collect();
    for log in &logs {
        assert!(sets.contains(&log.set) && world.sets[log.set as usize].available);
    }
    for change in world.changes.iter().filter(|c| c.scn < scn) {
        // The truth's changes are those of the way to the present; a log of another future has none of them.
        let read =
            logs.iter().any(|l| l.thread == change.thread && l.first <= change.scn && change.scn < l.next);
        if !read {
            continue;
        }
        let made = change.file.1 >= plan.start && !files.contains_key(&change.file);
        if made {
            files.insert(change.file, (change.file.1, [0; BLOCKS]));
        }
        if let Some((state, blocks)) = files.get_mut(&change.file) {
            if change.scn >= *state {
                blocks[change.block] = blocks[change.block].max(change.scn);
            }
        }
    }
    files.into_iter().map(|(id, (_, blocks))| (id, blocks)).collect()
}

fn equals_the_truth(world: &World, plan: &Plan, scn: Scn, seed: u64) {
    let made = carry_out(world, plan, scn);
    for (id, blocks) in world.truth(scn) {
        match made.get(&id) {
            Some(found) => assert_eq!(*found, blocks, "seed {seed} SCN {scn} file {id:?}: {plan:#?}"),
            None => assert!(
                id.1 >= plan.start && blocks == [0; BLOCKS],
                "seed {seed} SCN {scn}: file {id:?} is lost"
            ),
        }
    }
}

#[test]
fn a_plan_is_found_exactly_when_there_is_one_it_is_minimal_and_restores_the_truth() {
    let counts = [const { std::sync::atomic::AtomicU64::new(0) }; 4];
    let count = |i: usize| counts[i].fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    in_parallel(0, WORLDS, |seed| {
        let mut world = World::new(seed);
        let catalogue = world.catalogue();
        let scn = 2 + world.rng.below(world.scn + 1);
        let brute = Brute::new(&world);
        let possible = brute.reachable(scn);
        match plan(&catalogue, Target::Scn(scn)) {
            Ok(plan) => {
                count(0);
                assert!(possible, "seed {seed} SCN {scn}: planned and impossible: {plan:#?}");
                assert!(plan.proved);
                assert_eq!(
                    Some((plan.bytes, plan.pieces)),
                    brute.least(scn),
                    "seed {seed} SCN {scn}: {plan:#?}"
                );
                equals_the_truth(&world, &plan, scn, seed);
                let whole = plan.chains.iter().all(|c| c.items.len() < 2);
                if !whole {
                    count(1);
                }
                if world.incarnations.len() > 1 {
                    count(2);
                }
            }
            Err(found) => {
                count(3);
                assert!(!possible, "seed {seed} SCN {scn}: possible and not found: {found:#?}");
                let latest = (1..=scn).rev().find(|s| brute.reachable(*s));
                let latest = latest.or_else(|| (scn..=world.scn + 12).rev().find(|s| brute.reachable(*s)));
                assert_eq!(found.latest.map(|p| p.scn), latest, "seed {seed} SCN {scn}: {found:#?}");
            }
        }
    });
    let counts: Vec<u64> = counts.into_iter().map(|c| c.into_inner()).collect();
    // The worlds have to be interesting, or nothing was shown.
    assert!(
        counts[0] > WORLDS / 5
            && counts[1] > WORLDS / 50
            && counts[2] > WORLDS / 20
            && counts[3] > WORLDS / 5,
        "{counts:?}"
    );
}

#[test]
fn the_latest_point_is_the_latest_that_brute_force_reaches() {
    in_parallel(1_000_000, WORLDS, |seed| {
        let world = World::new(seed);
        let brute = Brute::new(&world);
        let last = world.controlfiles.iter().map(|(c, _)| c.checkpoint).chain([world.scn]).max().unwrap_or(0);
        let expected = (1..=last + 2).rev().find(|s| brute.reachable(*s));
        match plan(&world.catalogue(), Target::Latest) {
            Ok(plan) => {
                // Redo of an abandoned future has higher SCNs than the database.
                assert_eq!(Some(plan.reached.scn), expected, "seed {seed}: {plan:#?}");
                equals_the_truth(&world, &plan, plan.reached.scn, seed);
            }
            Err(found) => assert_eq!(expected, None, "seed {seed}: {found:#?}"),
        }
    });
}

#[test]
fn more_backups_never_cost_more_and_never_reach_less() {
    in_parallel(2_000_000, WORLDS / 6, |seed| {
        let mut world = World::new(seed);
        let before = plan(&world.catalogue(), Target::Latest).map(|p| p.reached.scn).ok();
        for set in &mut world.sets {
            set.available = true;
        }
        let after = plan(&world.catalogue(), Target::Latest).map(|p| p.reached.scn).ok();
        assert!(after >= before, "seed {seed}: {before:?} {after:?}");
    });
}

#[test]
fn a_time_is_reached_whatever_scn_it_turns_out_to_be() {
    in_parallel(3_000_000, WORLDS / 6, |seed| {
        let mut world = World::new(seed);
        let scn = 2 + world.rng.below(world.scn);
        // The clock ticks ten times per SCN, so this second is the SCN.
        if let Ok(plan) = plan(&world.catalogue(), Target::Time(scn as i64 * 10)) {
            assert!(
                plan.aim.base <= scn && scn <= plan.aim.end.max(plan.aim.base),
                "seed {seed}: {scn} {plan:#?}"
            );
            equals_the_truth(&world, &plan, scn, seed);
        }
    });
}
