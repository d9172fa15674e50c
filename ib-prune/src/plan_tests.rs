//! What the retention decides in the cases that a DBA would ask about.

use common::infinibox::SetState;

use crate::cli::Limit;
use crate::ours::{Owner, Seen};
use crate::plan::{excess, plan, span, Decision, Fate, Policy};
use crate::sets::{sets, Worth};
use crate::world::{objects, ours, planned, Run, BEGIN, DAY, HOUR, POLICY};

fn removed(plan: &[Decision]) -> Vec<i64> {
    plan.iter().filter(|d| d.fate == Fate::Removed).map(|d| (d.set.begun() - BEGIN) / DAY).collect()
}

fn days(runs: impl IntoIterator<Item = i64>, make: fn(u64, i64) -> Run) -> Vec<Run> {
    runs.into_iter().map(|n| make(1, BEGIN + n * DAY)).collect()
}

#[test]
fn old_sets_go_as_a_whole_and_the_newest_stays() {
    for make in [Run::good, Run::legacy] {
        let seen = objects(&days(0..30, make));
        let plan = planned(&seen, POLICY, BEGIN + 29 * DAY);
        assert_eq!(removed(&plan), (0..15).collect::<Vec<_>>());
        assert!(plan.iter().all(|d| d.set.worth == Worth::Complete && d.set.members().count() == 2));
        assert_eq!(plan[0].reason, "28 days old, older than 14 days");
        assert_eq!(plan[28].reason, "23 hours old, not older than 14 days");
        assert!(plan[29].reason.starts_with("the newest complete set of "), "{}", plan[29].reason);
        // A year later, with no new set, the last one is there.
        assert_eq!(removed(&planned(&seen, POLICY, BEGIN + 400 * DAY)).len(), 29);
        let three = Policy { keep_last: 3, ..POLICY };
        assert_eq!(removed(&planned(&seen, three, BEGIN + 400 * DAY)).len(), 27);
    }
}

#[test]
fn a_set_exactly_at_the_limit_stays() {
    let seen = objects(&days([0, 1], Run::good));
    let newest = ours(&seen, 0).iter().map(|s| s.created).filter(|c| *c < BEGIN + DAY).max().unwrap();
    assert!(removed(&planned(&seen, POLICY, newest + 14 * DAY)).is_empty());
    assert_eq!(removed(&planned(&seen, POLICY, newest + 14 * DAY + 1)), [0]);
}

#[test]
fn what_is_incomplete_never_counts_and_goes_when_it_is_old() {
    let mut runs = days(0..3, Run::good);
    runs[1].complete = false;
    runs[2].archive = (1, 0);
    let seen = objects(&runs);
    let plan = planned(&seen, POLICY, BEGIN + 60 * DAY);
    assert_eq!(removed(&plan), [1, 2]);
    assert!(plan[1].reason.ends_with("incomplete: ib-snap did not finish it"), "{}", plan[1].reason);
    assert!(plan[2].reason.ends_with("incomplete: no archive snapshot"), "{}", plan[2].reason);
}

#[test]
fn half_a_set_may_be_that_of_a_run_at_work() {
    let mut runs = days([0, 10], Run::good);
    runs[1].archive = (1, 0);
    runs[1].complete = false;
    let seen = objects(&runs);
    let short = Policy { older_than: HOUR, ..POLICY };
    assert!(removed(&planned(&seen, short, BEGIN + 10 * DAY + 20 * HOUR)).is_empty());
    assert_eq!(removed(&planned(&seen, short, BEGIN + 11 * DAY + 2 * HOUR)), [10]);
}

#[test]
fn the_best_that_is_left_stays_where_nothing_is_complete() {
    let mut runs = days(0..4, Run::good);
    for run in &mut runs {
        run.archive = (1, 0);
        run.complete = false;
    }
    assert_eq!(removed(&planned(&objects(&runs), POLICY, BEGIN + 60 * DAY)), [0, 1, 2]);
    // Data alone, as it was asked for, is better than what was cut short.
    runs[1] = Run { archive: (0, 0), ..Run::good(1, BEGIN + DAY) };
    let plan = planned(&objects(&runs), POLICY, BEGIN + 60 * DAY);
    assert_eq!(removed(&plan), [0, 2, 3]);
    assert_eq!(plan[1].set.worth, Worth::DataOnly);
    // Half of the data is nothing.
    for run in &mut runs {
        *run = Run { data: 2, lost: 1, ..run.clone() };
    }
    assert_eq!(removed(&planned(&objects(&runs), POLICY, BEGIN + 60 * DAY)).len(), 4);
}

#[test]
fn the_redo_of_a_data_snapshot_without_its_own_stays_with_it() {
    // Day 3 has no archive half and is locked; it needs that of day 4 and no other.
    let mut runs = days(0..10, Run::good);
    runs[3].archive = (0, 0);
    let mut seen = objects(&runs);
    let data = seen.iter_mut().find(|s| s.volume.created_at.unwrap() > BEGIN + 3 * DAY).unwrap();
    data.volume.lock_state = Some("LOCKED".to_owned());
    let plan = planned(&seen, POLICY, BEGIN + 60 * DAY);
    assert_eq!(removed(&plan), [0, 1, 2, 5, 6, 7, 8]);
    assert!(plan[4].reason.ends_with(" needs its archived logs"), "{}", plan[4].reason);
    assert_eq!(plan[4].needed_by, [3]);
}

#[test]
fn the_same_holds_for_what_the_original_has_left() {
    let mut runs = days(0..10, Run::legacy);
    runs[3].archive = (0, 0);
    let mut seen = objects(&runs);
    let data = seen.iter_mut().find(|s| s.volume.created_at.unwrap() > BEGIN + 3 * DAY).unwrap();
    data.volume.mapped = Some(true);
    let plan = planned(&seen, POLICY, BEGIN + 60 * DAY);
    assert_eq!(removed(&plan), [0, 1, 2, 5, 6, 7, 8]);
}

#[test]
fn what_is_held_holds_its_set() {
    let mut seen = objects(&days(0..5, Run::good));
    seen[1].volume.lock_expires_at = Some(i64::MAX / 2);
    seen[4].volume.has_children = Some(true);
    seen[9].volume.snapshot_expires_at = Some(i64::MAX / 2);
    let plan = planned(&seen, POLICY, BEGIN + 60 * DAY);
    // Day 4 will be deleted by the array: it is no set to rely on, so day 3 is the newest.
    assert_eq!(removed(&plan), [1]);
    assert!(plan[0].reason.contains("of its set stays: locked"), "{}", plan[0].reason);
}

#[test]
fn a_clock_that_jumped_back_makes_nothing_disposable() {
    let seen = objects(&days(0..30, Run::good));
    let plan = planned(&seen, POLICY, BEGIN + 20 * DAY);
    assert_eq!(removed(&plan), (0..6).collect::<Vec<_>>());
    let young = Policy { older_than: HOUR, ..POLICY };
    // Of the future are days 21 to 29; the newest of the past is day 19, for a set of day 20 is not whole yet.
    let plan = planned(&seen, young, BEGIN + 20 * DAY - HOUR);
    assert_eq!(removed(&plan), (0..19).collect::<Vec<_>>());
    assert!(plan[29].reason.starts_with("dated in the future"), "{}", plan[29].reason);
}

#[test]
fn takeover_from_the_original_keeps_its_last_set_until_ours_are_enough() {
    let mut runs = days(0..5, Run::legacy);
    let old = objects(&runs);
    assert_eq!(removed(&planned(&old, POLICY, BEGIN + 60 * DAY)), [0, 1, 2, 3]);
    runs.push(Run { complete: false, ..Run::good(1, BEGIN + 20 * DAY) });
    assert_eq!(removed(&planned(&objects(&runs), POLICY, BEGIN + 60 * DAY)), [0, 1, 2, 3]);
    runs.push(Run::good(1, BEGIN + 21 * DAY));
    assert_eq!(removed(&planned(&objects(&runs), POLICY, BEGIN + 60 * DAY)), [0, 1, 2, 3, 4, 20]);
    let strict = Policy { require_metadata: true, ..POLICY };
    assert_eq!(removed(&planned(&objects(&runs), strict, BEGIN + 60 * DAY)), [20]);
}

#[test]
fn databases_do_not_count_for_each_other() {
    let mut runs = days(0..3, Run::good);
    runs.extend((3..6).map(|n| Run::good(2, BEGIN + n * DAY)));
    runs.extend((6..9).map(|n| Run::legacy(3, BEGIN + n * DAY)));
    let plan = planned(&objects(&runs), POLICY, BEGIN + 60 * DAY);
    assert_eq!(removed(&plan), [0, 1, 3, 4, 6, 7]);
}

#[test]
fn a_standby_with_the_same_dbid_is_another_database() {
    let mut seen = objects(&days(0..3, Run::good));
    let mut standby = objects(&days(3..6, |_, at| Run::good(2, at)));
    for s in &mut standby {
        if let Owner::Ours(mark) = &mut s.owner {
            mark.db = "DB1".to_owned();
            mark.dbid = 1;
        }
        s.volume.id += 1000;
    }
    seen.extend(standby);
    assert_eq!(removed(&planned(&seen, POLICY, BEGIN + 60 * DAY)), [0, 1, 3, 4]);
}

#[test]
fn a_member_whose_metadata_was_refused_belongs_to_its_set() {
    let mut runs = days(0..2, Run::good);
    runs[0].data = 2;
    let mut seen = objects(&runs);
    seen[1].owner = Owner::Nobody;
    let plan = planned(&seen, POLICY, BEGIN + 60 * DAY);
    assert_eq!(plan.len(), 2);
    assert_eq!((plan[0].set.members().count(), &plan[0].set.worth), (3, &Worth::Complete));
    assert_eq!(removed(&plan), [0]);
}

#[test]
fn what_has_no_mark_since_ib_snap_marks_is_no_complete_set() {
    // Killed before the marks were written, or executed late; with any archive snapshot behind it.
    let seen = objects(&[Run::good(1, BEGIN), Run::legacy(1, BEGIN + 5 * DAY)]);
    let plan = planned(&seen, POLICY, BEGIN + 60 * DAY);
    assert_eq!(removed(&plan), [5]);
    assert_eq!(plan[0].reason, "the newest complete set of database DB1");
    assert!(
        plan[1]
            .reason
            .ends_with("incomplete: it was taken since ib-snap marks its snapshots, and has no mark"),
        "{}",
        plan[1].reason
    );
    assert!(removed(&planned(&seen, POLICY, BEGIN + 18 * DAY)).is_empty());
    // At the very moment of the first mark, of another run.
    let mut seen = objects(&[Run::good(1, BEGIN), Run::legacy(1, BEGIN)]);
    seen[2].volume.name = seen[2].volume.name.replace("000000", "000007");
    let plan = planned(&seen, POLICY, BEGIN + 60 * DAY);
    assert!(plan.iter().all(|d| d.set.marked == (d.fate == Fate::Kept)), "{plan:?}");
    assert_eq!(plan.iter().filter(|d| d.set.marked).count(), 1);
    // Another database on the same array is not concerned.
    let seen = objects(&[Run::good(1, BEGIN), Run::legacy(2, BEGIN + 5 * DAY)]);
    assert!(removed(&planned(&seen, POLICY, BEGIN + 60 * DAY)).is_empty());
}

#[test]
fn where_names_have_the_form_of_ib_snap_the_archive_half_is_of_the_same_run() {
    let mut seen = objects(&days([0, 5], Run::legacy));
    for (at, s) in seen.iter_mut().enumerate() {
        let run = BEGIN + if at < 2 { 0 } else { 5 * DAY };
        // The last one is of a later run, whose data half was never taken.
        let run = if at == 3 { run + 20_000 } else { run };
        let word = if at % 2 == 0 { "data" } else { "archive" };
        s.volume.name = format!("orasync_{word}_{}_v{at}", crate::world::stamp(run));
    }
    let plan = planned(&seen, POLICY, BEGIN + 60 * DAY);
    assert_eq!(removed(&plan), [5]);
    assert!(
        plan[1].reason.ends_with("incomplete: no archive snapshot of the same run"),
        "{}",
        plan[1].reason
    );
    assert!(plan[0].reason.starts_with("the newest complete set of "), "{}", plan[0].reason);
}

#[test]
fn what_may_be_anybodys_stays_with_its_set_and_counts_for_nothing() {
    let mut seen = objects(&days([0, 5, 10], Run::legacy));
    seen[4].owner = Owner::Unread("no".to_owned());
    let plan = planned(&seen, POLICY, BEGIN + 60 * DAY);
    assert_eq!(removed(&plan), [0]);
    assert!(plan[1].reason.starts_with("the newest complete set of "), "{}", plan[1].reason);
    assert!(plan[2].reason.ends_with("its metadata cannot be read: no"), "{}", plan[2].reason);
}

#[test]
fn a_word_that_chooses_half_a_set_leaves_it_alone() {
    let seen = objects(&days(0..3, Run::good));
    let verdicts = crate::ours::judge(&seen, "v101", BEGIN);
    let ours = verdicts.into_iter().filter_map(|v| match v {
        crate::ours::Verdict::Ours(s) => Some(*s),
        _ => None,
    });
    let plan = plan(sets(ours.collect(), &[]).0, POLICY, BEGIN + 60 * DAY);
    assert_eq!(plan.len(), 3);
    assert!(removed(&plan).is_empty());
    assert!(plan[0].reason.starts_with("--match does not choose orasync_archive_"), "{}", plan[0].reason);
}

#[test]
fn the_brake_knows_a_normal_night_from_an_accident() {
    let share = Limit::Share(50);
    let seen = objects(&days(0..15, Run::good));
    let night = planned(&seen, POLICY, BEGIN + 14 * DAY + HOUR);
    assert_eq!((removed(&night).len(), excess(&night, share)), (1, vec![]));
    assert_eq!(excess(&night, Limit::Sets(0)).len(), 1);
    let slip = planned(&seen, Policy { older_than: DAY, ..POLICY }, BEGIN + 14 * DAY + HOUR);
    let found = excess(&slip, share);
    assert_eq!((found[0].whose.as_str(), found[0].removed, found[0].of), ("database DB1", 14, 15));
    assert_eq!(excess(&slip, Limit::Sets(14)), vec![]);
    // A handful is no accident.
    let few = planned(&objects(&days(0..6, Run::good)), POLICY, BEGIN + 60 * DAY);
    assert_eq!((removed(&few).len(), excess(&few, share)), (5, vec![]));
}

#[test]
fn policies_that_cannot_be_meant_are_refused() {
    assert!(Policy { keep_last: 0, ..POLICY }.refusal().is_some());
    assert!(Policy { older_than: 0, ..POLICY }.refusal().is_some());
    assert!(POLICY.refusal().is_none());
}

#[test]
fn ten_thousand_snapshots_of_twenty_databases_are_planned_in_a_moment() {
    for make in [Run::good, Run::legacy] {
        let runs: Vec<Run> = (0..250)
            .flat_map(|n| (1..=20).map(move |db| make(db, BEGIN + n * 6 * HOUR + db as i64 * 60_000)))
            .collect();
        let seen: Vec<Seen> = objects(&runs);
        assert_eq!(seen.len(), 10_000);
        let begin = std::time::Instant::now();
        let plan = planned(&seen, POLICY, BEGIN + 250 * 6 * HOUR);
        let took = begin.elapsed();
        assert_eq!(plan.len(), 5_000);
        assert_eq!(removed(&plan).len(), 20 * (250 - 56));
        assert!(took.as_secs_f64() < 1.0, "{took:?}");
    }
}

#[test]
fn lengths_of_time_are_what_people_say() {
    assert_eq!(span(14 * DAY), "14 days");
    assert_eq!(span(47 * HOUR), "47 hours");
    assert_eq!(span(61_000), "1 minute");
    assert_eq!(span(-5), "0 minutes");
    let state = SetState::default();
    assert_eq!(state, SetState::Incomplete);
}
