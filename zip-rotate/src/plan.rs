//! Retention: which archives stay and which go. Pure: no clock, no disk.

use chrono::NaiveDate;

/// What is known of one archive, or of a file that lies among them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Backup {
    /// File name in its directory; unique.
    pub name: String,
    /// The day of the backup: from the name, else the archive's own word, else the time of the file.
    pub day: NaiveDate,
    /// Orders archives of one day: seconds since 1970, of the archive's own word or of the file.
    pub made: i64,
    pub bytes: u64,
    pub state: State,
}

/// What an archive is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// Whole, and of a night in which every export was a success.
    Good,
    /// Whole, but of a night in which something failed: it lacks something.
    Partial,
    /// It cannot be read.
    Damaged,
    /// Not ours.
    Foreign,
}

/// How long archives stay. [`Policy::refusal`] must have been asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Older ones go.
    pub days: u32,
    /// So many of the newest good ones stay in any case.
    pub min: u32,
    /// More good ones than that go, but never below `min`.
    pub max: u32,
}

impl Policy {
    /// Why this policy cannot be meant.
    pub fn refusal(&self) -> Option<&'static str> {
        if self.max == 0 {
            return Some("--keep-max 0 would keep nothing");
        }
        if self.min == 0 && self.days == 0 {
            return Some("--keep-min 0 with --keep-days 0 would keep nothing");
        }
        None
    }
}

/// What becomes of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Kept,
    Removed,
}

/// One decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    pub backup: Backup,
    pub fate: Fate,
    pub reason: String,
}

impl Decision {
    /// Age in seconds at the end of `today`'s count of days; 0 for what is dated in the future.
    pub fn age(&self, today: NaiveDate) -> f64 {
        (today - self.backup.day).num_days().max(0) as f64 * 86_400.0
    }
}

/// Decides about every file, newest first.
///
/// Good archives are ranked by their day. The newest and the `min` newest stay whatever the other rules say; of the
/// rest those beyond `max` go, and those older than `days`. Archives that lack something have a ranking of their own
/// with the same numbers: they can neither push a good one out nor fill the disk. What is dated in the future, cannot
/// be read or is not ours stays, and counts nowhere.
pub fn plan(files: &[Backup], policy: Policy, today: NaiveDate) -> Vec<Decision> {
    let mut files = files.to_vec();
    files.sort_by(|a, b| (b.day, b.made, &b.name).cmp(&(a.day, a.made, &a.name)));
    let (mut good, mut partial) = (0, 0);
    let decide = |backup: Backup| {
        let (fate, reason) = if backup.state == State::Foreign {
            (Fate::Kept, "not an archive of ours".to_owned())
        } else if backup.day > today {
            (Fate::Kept, format!("dated in the future ({}): not counted", backup.day))
        } else {
            match backup.state {
                State::Good => {
                    good += 1;
                    judge_good(good, &backup, policy, today)
                }
                State::Partial => {
                    partial += 1;
                    judge_partial(partial, &backup, policy, today)
                }
                State::Damaged => (Fate::Kept, "damaged: not counted, look at it".to_owned()),
                State::Foreign => (Fate::Kept, "not an archive of ours".to_owned()),
            }
        };
        Decision { backup, fate, reason }
    };
    files.into_iter().map(decide).collect()
}

/// `rank` 1 is the newest good one.
fn judge_good(rank: u32, backup: &Backup, policy: Policy, today: NaiveDate) -> (Fate, String) {
    if rank == 1 {
        return (Fate::Kept, "the newest good one".to_owned());
    }
    if rank <= policy.min {
        return (Fate::Kept, format!("one of the {} newest good ones", policy.min));
    }
    if rank > policy.max {
        return (Fate::Removed, format!("more than {} good ones", policy.max.max(policy.min)));
    }
    by_age(backup, policy, today)
}

fn judge_partial(rank: u32, backup: &Backup, policy: Policy, today: NaiveDate) -> (Fate, String) {
    let lacks = "lacks something, counts for nothing";
    if rank > policy.max.max(policy.min) {
        return (Fate::Removed, format!("{lacks}; more than {} such", policy.max.max(policy.min)));
    }
    let (fate, reason) = by_age(backup, policy, today);
    (fate, format!("{lacks}; {reason}"))
}

fn by_age(backup: &Backup, policy: Policy, today: NaiveDate) -> (Fate, String) {
    let age = (today - backup.day).num_days();
    if age > i64::from(policy.days) {
        return (Fate::Removed, format!("{age} days old, older than {}", policy.days));
    }
    (Fate::Kept, format!("{age} days old, not older than {}", policy.days))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(n: i64) -> NaiveDate {
        NaiveDate::from_ymd_opt(2026, 1, 1).unwrap() + chrono::Duration::days(n)
    }

    fn backup(n: i64, state: State) -> Backup {
        Backup { name: format!("b{n}-{state:?}"), day: day(n), made: n * 86_400, bytes: 1, state }
    }

    fn kept(files: &[Backup], policy: Policy, today: i64) -> Vec<String> {
        let plan = plan(files, policy, day(today));
        plan.into_iter().filter(|d| d.fate == Fate::Kept).map(|d| d.backup.name).collect()
    }

    const DEFAULT: Policy = Policy { days: 10, min: 2, max: 7 };

    #[test]
    fn a_month_of_good_nights_leaves_seven() {
        let files: Vec<_> = (0..30).map(|n| backup(n, State::Good)).collect();
        let want: Vec<_> = (23..30).rev().map(|n| format!("b{n}-Good")).collect();
        assert_eq!(kept(&files, DEFAULT, 29), want);
    }

    #[test]
    fn old_archives_go_but_the_minimum_stays() {
        let files: Vec<_> = (0..5).map(|n| backup(n, State::Good)).collect();
        assert_eq!(kept(&files, DEFAULT, 100), ["b4-Good", "b3-Good"]);
        assert_eq!(kept(&files, Policy { min: 0, ..DEFAULT }, 100), ["b4-Good"]);
    }

    #[test]
    fn the_minimum_wins_over_the_maximum() {
        let files: Vec<_> = (0..9).map(|n| backup(n, State::Good)).collect();
        assert_eq!(kept(&files, Policy { days: 0, min: 4, max: 1 }, 8).len(), 4);
    }

    #[test]
    fn a_week_of_failed_nights_pushes_no_good_archive_out() {
        let mut files: Vec<_> = (0..3).map(|n| backup(n, State::Good)).collect();
        files.extend((3..11).map(|n| backup(n, State::Partial)));
        let kept = kept(&files, DEFAULT, 10);
        assert_eq!(kept.iter().filter(|n| n.ends_with("Good")).count(), 3, "{kept:?}");
        assert_eq!(kept.iter().filter(|n| n.ends_with("Partial")).count(), 7, "{kept:?}");
    }

    #[test]
    fn a_clock_that_jumped_back_makes_nothing_disposable() {
        let files: Vec<_> = (0..7).map(|n| backup(n, State::Good)).collect();
        assert_eq!(kept(&files, DEFAULT, 5).len(), 7);
        let plan = plan(&files, DEFAULT, day(5));
        assert_eq!(plan[0].reason, "dated in the future (2026-01-07): not counted");
        assert_eq!(plan[1].reason, "the newest good one");
    }

    #[test]
    fn a_policy_that_keeps_nothing_is_refused() {
        assert!(Policy { days: 10, min: 2, max: 0 }.refusal().is_some());
        assert!(Policy { days: 0, min: 0, max: 7 }.refusal().is_some());
        assert!(DEFAULT.refusal().is_none());
        assert!(Policy { days: 0, min: 1, max: 1 }.refusal().is_none());
    }
}
