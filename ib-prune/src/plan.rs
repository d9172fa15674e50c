//! Retention: which sets stay and which go. Pure: no clock, no array.

use std::collections::{BTreeMap, HashMap};

use crate::cli::Limit;
use crate::sets::{Key, Set, Worth};

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// Two clocks that are kept in step may differ by so much; what is dated later is of the future.
const SLACK: i64 = 10 * MINUTE;
/// Half a set that is younger may be that of a run that is still at work.
const UNDER_WAY: i64 = DAY;
/// So many sets of one database may go in any case before a share of all is refused.
const ALWAYS_FINE: usize = 5;

/// How long sets stay. [`Policy::refusal`] must have been asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Older ones go; milliseconds.
    pub older_than: i64,
    /// So many complete sets of each database stay whatever their age.
    pub keep_last: usize,
    /// What has no metadata stays.
    pub require_metadata: bool,
}

impl Policy {
    /// Why this policy cannot be meant.
    pub fn refusal(&self) -> Option<&'static str> {
        if self.keep_last == 0 {
            return Some("--keep-last 0 would delete the last snapshots of a database");
        }
        (self.older_than <= 0)
            .then_some("--older-than of no time at all would delete what was taken a moment ago")
    }
}

/// What becomes of a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Kept,
    Removed,
}

/// One decision.
#[derive(Debug, Clone)]
pub struct Decision {
    pub set: Set,
    pub fate: Fate,
    pub reason: String,
    /// Sets that need the archive half of this one: it may go only when they are gone. Positions in the plan.
    pub needed_by: Vec<usize>,
}

/// Decides about every set; `sets` and the plan are in the order of time, oldest first. `now` is the array's clock in
/// epoch milliseconds.
///
/// A set goes as a whole or not at all. What somebody uses or has locked stays, and its set with it. The `keep_last`
/// newest complete sets of each database stay; what is incomplete never counts as one of them. Of the rest those go that
/// are older than the limit, unless a set that stays needs their archived logs.
pub fn plan(sets: Vec<Set>, policy: Policy, now: i64) -> Vec<Decision> {
    let ranks = Ranks::of(&sets, policy, now);
    let mut keep: Vec<Option<String>> =
        sets.iter().enumerate().map(|(at, set)| why_kept(at, set, &ranks, policy, now)).collect();
    let needs = needs(&sets);
    spread(&sets, &needs, &mut keep);

    let mut needed_by = vec![Vec::new(); sets.len()];
    for (at, needed) in needs.iter().enumerate() {
        for other in needed.iter().filter(|o| **o != at) {
            needed_by[*other].push(at);
        }
    }
    sets.into_iter()
        .zip(keep)
        .zip(needed_by)
        .map(|((set, keep), needed_by)| {
            let fate = if keep.is_some() { Fate::Kept } else { Fate::Removed };
            let reason = keep.unwrap_or_else(|| why_removed(&set, policy, now));
            Decision { set, fate, reason, needed_by }
        })
        .collect()
}

fn why_kept(at: usize, set: &Set, ranks: &Ranks, policy: Policy, now: i64) -> Option<String> {
    if let Some((name, reason)) = set.members().find_map(|s| Some((&s.name, &s.hold.as_ref()?.reason))) {
        let whole = set.members().count() == 1;
        return Some(if whole { reason.clone() } else { format!("{name} of its set stays: {reason}") });
    }
    if let Some(other) = set.members().find(|s| !s.chosen) {
        return Some(format!("--match does not choose {} of its set", other.name));
    }
    if policy.require_metadata && set.members().any(|s| s.mark.is_none()) {
        return Some("it has no metadata (--require-metadata)".to_owned());
    }
    let age = now - set.newest();
    if is_future(set, now) {
        return Some("dated in the future: counts as new, and as no backup".to_owned());
    }
    if let Some(reason) = ranks.reason(at) {
        return Some(reason);
    }
    if age <= policy.older_than {
        return Some(format!("{} old, not older than {}", span(age), span(policy.older_than)));
    }
    if let (Worth::Lacks(lack), true) = (&set.worth, age < UNDER_WAY) {
        return Some(format!("{lack}, but {} old: ib-snap may be at work on it", span(age)));
    }
    None
}

fn why_removed(set: &Set, policy: Policy, now: i64) -> String {
    let age = format!("{} old, older than {}", span(now - set.newest()), span(policy.older_than));
    match &set.worth {
        Worth::Lacks(lack) => format!("{age}; incomplete: {lack}"),
        Worth::Complete | Worth::DataOnly => age,
    }
}

fn is_future(set: &Set, now: i64) -> bool {
    set.newest() > now + SLACK
}

/// The newest of each database.
struct Ranks {
    reasons: HashMap<usize, String>,
}

impl Ranks {
    fn of(sets: &[Set], policy: Policy, now: i64) -> Self {
        let n = policy.keep_last;
        // Neither what somebody may have written to, nor what the array will delete, nor what --match leaves out.
        let counts = |set: &Set| {
            !is_future(set, now)
                && set.members().all(|s| s.chosen && s.hold.as_ref().is_none_or(|h| h.counts))
        };
        let mut reasons = HashMap::new();
        let mut complete: HashMap<&Key, usize> = HashMap::new();
        let newest = || sets.iter().enumerate().rev().filter(|(_, set)| counts(set));
        for (at, set) in newest().filter(|(_, s)| s.worth == Worth::Complete) {
            for key in &set.counts_for {
                *complete.entry(key).or_default() += 1;
            }
            let rank = set.ranked_by.iter().filter_map(|key| complete.get(key)).min().copied();
            if rank.is_some_and(|rank| rank <= n) {
                let which = if n == 1 {
                    "the newest complete set".to_owned()
                } else {
                    format!("one of the {n} newest complete sets")
                };
                reasons.insert(at, format!("{which} of {}", set.whose));
            }
        }
        // Where complete sets are too few, the best that there is stays as well. It is not counted as one of them.
        let mut best: HashMap<&Key, usize> = HashMap::new();
        for worst in [false, true] {
            for (at, set) in newest().filter(|(_, s)| fills(s, worst)) {
                for key in &set.ranked_by {
                    let room = if worst { 1 } else { n };
                    let there = complete.get(key).copied().unwrap_or(0) + best.get(key).copied().unwrap_or(0);
                    if there < room {
                        *best.entry(key).or_default() += 1;
                        reasons.insert(
                            at,
                            format!("the best that is left of {}, which has no complete set", set.whose),
                        );
                    }
                }
            }
        }
        Self { reasons }
    }

    fn reason(&self, at: usize) -> Option<String> {
        self.reasons.get(&at).cloned()
    }
}

/// Whether a set may stand in for a complete one: as it was meant, or (`worst`) at least with all of its data.
fn fills(set: &Set, worst: bool) -> bool {
    match set.worth {
        Worth::Complete => false,
        Worth::DataOnly => !worst,
        Worth::Lacks(_) => worst && set.data_whole,
    }
}

/// For each set the positions of those whose archive half makes it recoverable: its own if that is whole, else of every
/// archive volume of its family the first snapshot that was taken after its data.
fn needs(sets: &[Set]) -> Vec<Vec<usize>> {
    let mut archives: BTreeMap<u64, BTreeMap<u64, Vec<(i64, usize)>>> = BTreeMap::new();
    for (at, set) in sets.iter().enumerate() {
        for s in &set.archive {
            archives.entry(set.family).or_default().entry(s.parent).or_default().push((s.created, at));
        }
    }
    for times in archives.values_mut().flat_map(BTreeMap::values_mut) {
        times.sort_unstable();
    }
    sets.iter()
        .map(|set| {
            let Some(after) = set.data.last().map(|s| s.created) else { return Vec::new() };
            if set.archive_whole {
                return Vec::new();
            }
            let volumes = archives.get(&set.family).into_iter().flat_map(BTreeMap::values);
            let first = |times: &Vec<(i64, usize)>| {
                times.get(times.partition_point(|(created, _)| *created < after)).map(|(_, at)| *at)
            };
            volumes.filter_map(first).collect()
        })
        .collect()
}

/// Keeps what the kept ones need.
fn spread(sets: &[Set], needs: &[Vec<usize>], keep: &mut [Option<String>]) {
    let mut open: Vec<usize> = (0..sets.len()).filter(|at| keep[*at].is_some()).collect();
    while let Some(at) = open.pop() {
        for needed in &needs[at] {
            if keep[*needed].is_none() {
                keep[*needed] = Some(format!("{} needs its archived logs", sets[at].name()));
                open.push(*needed);
            }
        }
    }
}

/// A database of which more would go than a [`Limit`] allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excess {
    pub whose: String,
    pub removed: usize,
    pub of: usize,
}

/// The databases on which the brake acts, worst first.
pub fn excess(plan: &[Decision], limit: Limit) -> Vec<Excess> {
    let mut groups: BTreeMap<Key, Excess> = BTreeMap::new();
    for decision in plan {
        let set = &decision.set;
        let own = set.ranked_by.first().filter(|_| set.marked).cloned();
        let key = own.unwrap_or(Key::Volume(set.family));
        let entry =
            groups.entry(key).or_insert_with(|| Excess { whose: set.whose.clone(), removed: 0, of: 0 });
        entry.of += 1;
        entry.removed += usize::from(decision.fate == Fate::Removed);
    }
    let too_much = |e: &Excess| match limit {
        Limit::Sets(n) => e.removed > n,
        Limit::Share(percent) => e.removed > ALWAYS_FINE && e.removed * 100 > percent * e.of,
    };
    let mut found: Vec<_> = groups.into_values().filter(too_much).collect();
    found.sort_by_key(|e| std::cmp::Reverse(e.removed));
    found
}

/// A length of time as people say it; milliseconds.
pub fn span(millis: i64) -> String {
    let say = |n: i64, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    match millis.max(0) {
        m if m >= 2 * DAY => say(m / DAY, "day"),
        m if m >= 2 * HOUR => say(m / HOUR, "hour"),
        m => say(m / MINUTE, "minute"),
    }
}
