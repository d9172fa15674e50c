//! What always holds of the retention.

use chrono::NaiveDate;
use proptest::prelude::*;

use crate::plan::{plan, Backup, Decision, Fate, Policy, State};

fn day(n: i64) -> NaiveDate {
    NaiveDate::from_ymd_opt(2026, 1, 1).unwrap_or_default() + chrono::Duration::days(n)
}

fn backups() -> impl Strategy<Value = Vec<Backup>> {
    let state = prop_oneof![
        5 => Just(State::Good),
        2 => Just(State::Partial),
        1 => Just(State::Damaged),
        1 => Just(State::Foreign),
    ];
    prop::collection::vec((0_i64..60, 0_i64..4, state), 0..40).prop_map(|all| {
        let all = all.into_iter().enumerate();
        all.map(|(n, (d, made, state))| Backup { name: format!("b{n}"), day: day(d), made, bytes: 1, state })
            .collect()
    })
}

fn policies() -> impl Strategy<Value = Policy> {
    (0_u32..30, 0_u32..6, 1_u32..10)
        .prop_map(|(days, min, max)| Policy { days, min, max })
        .prop_filter("refused", |p| p.refusal().is_none())
}

fn survivors(plan: &[Decision]) -> Vec<Backup> {
    plan.iter().filter(|d| d.fate == Fate::Kept).map(|d| d.backup.clone()).collect()
}

/// Good ones that are not of the future, newest first.
fn good(files: &[Backup], today: NaiveDate) -> Vec<Backup> {
    let mut good: Vec<_> =
        files.iter().filter(|b| b.state == State::Good && b.day <= today).cloned().collect();
    good.sort_by(|a, b| (b.day, b.made, &b.name).cmp(&(a.day, a.made, &a.name)));
    good
}

proptest! {
    #[test]
    fn the_newest_good_archive_and_the_minimum_never_go(files in backups(), policy in policies(), now in 0_i64..90) {
        let kept = survivors(&plan(&files, policy, day(now)));
        let wanted = good(&files, day(now));
        let n = (policy.min as usize).max(1).min(wanted.len());
        for backup in &wanted[..n] {
            prop_assert!(kept.contains(backup), "{backup:?}");
        }
    }

    #[test]
    fn a_second_run_removes_nothing(files in backups(), policy in policies(), now in 0_i64..90) {
        let first = survivors(&plan(&files, policy, day(now)));
        let second = survivors(&plan(&first, policy, day(now)));
        prop_assert_eq!(first, second);
    }

    #[test]
    fn the_order_of_the_input_does_not_matter(
        (files, shuffled) in backups().prop_flat_map(|f| (Just(f.clone()), Just(f).prop_shuffle())),
        policy in policies(),
        now in 0_i64..90,
    ) {
        prop_assert_eq!(plan(&files, policy, day(now)), plan(&shuffled, policy, day(now)));
    }

    #[test]
    fn future_foreign_and_damaged_files_never_go_and_never_count(
        files in backups(),
        policy in policies(),
        now in 0_i64..60,
    ) {
        let today = day(now);
        let counts = |b: &Backup| b.day <= today && matches!(b.state, State::Good | State::Partial);
        let all = plan(&files, policy, today);
        prop_assert!(all.iter().all(|d| counts(&d.backup) || d.fate == Fate::Kept));
        let only: Vec<Backup> = files.iter().filter(|b| counts(b)).cloned().collect();
        let with: Vec<_> = all.into_iter().filter(|d| counts(&d.backup)).collect();
        prop_assert_eq!(with, plan(&only, policy, today));
    }

    #[test]
    fn archives_of_failed_nights_change_nothing_for_the_good_ones(
        files in backups(),
        policy in policies(),
        now in 0_i64..90,
    ) {
        let only = good(&files, day(now));
        let with: Vec<_> = plan(&files, policy, day(now))
            .into_iter()
            .filter(|d| only.contains(&d.backup))
            .collect();
        prop_assert_eq!(with, plan(&only, policy, day(now)));
    }

    #[test]
    fn a_more_generous_policy_keeps_no_less(
        files in backups(),
        policy in policies(),
        more in (0_u32..5, 0_u32..5, 0_u32..5),
        now in 0_i64..90,
    ) {
        let generous =
            Policy { days: policy.days + more.0, min: policy.min + more.1, max: policy.max + more.2 };
        let few = survivors(&plan(&files, policy, day(now)));
        let many = survivors(&plan(&files, generous, day(now)));
        prop_assert!(few.iter().all(|b| many.contains(b)));
    }

    #[test]
    fn what_went_does_not_come_back_as_days_pass(files in backups(), policy in policies(), now in 60_i64..90) {
        let today = survivors(&plan(&files, policy, day(now)));
        let tomorrow = survivors(&plan(&files, policy, day(now + 1)));
        prop_assert!(tomorrow.iter().all(|b| today.contains(b)));
    }

    #[test]
    fn nothing_is_lost_from_the_plan(files in backups(), policy in policies(), now in 0_i64..90) {
        let mut planned: Vec<_> = plan(&files, policy, day(now)).into_iter().map(|d| d.backup).collect();
        let mut files = files;
        planned.sort();
        files.sort();
        prop_assert_eq!(planned, files);
    }
}
