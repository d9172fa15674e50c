//! Deletes what the plan says: each set is looked at again, then its data goes, then its archived logs.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use common::app::Frame;
use common::exit::Exit;
use common::infinibox::{ApiError, Array, Kind, Volume};
use common::lock::Lock;
use common::logfile::LogFile;
use common::record::{Kept, Log, Removed};
use common::signals;

use crate::ours::{hold, Group, Seen, Snapshot};
use crate::plan::{Decision, Fate};
use crate::sets::Set;

/// A look at an object is good for so long; then it is looked at again before it is deleted.
const FRESH: Duration = Duration::from_secs(2);
/// After so many sets in a row to which the array gave no proper answer, it is left alone.
const PATIENCE: usize = 3;

/// What one run does.
pub struct Apply<'a> {
    pub array: &'a Array,
    pub frame: &'a Frame,
    pub log: &'a LogFile,
    pub lock: &'a Lock,
    pub seen: &'a [Seen],
    /// The array's time when this run looked, epoch milliseconds.
    pub now: i64,
    pub counts: Counts,
}

/// What became of the snapshots.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    pub removed: u64,
    pub kept: u64,
    pub failed: u64,
    /// Gone before we came.
    pub gone: u64,
    forbidden: u64,
}

/// Why a set stays.
enum Stop {
    /// Somebody has changed it since it was listed. No failure.
    Changed(String),
    Failed(ApiError),
}

/// A deletion: one snapshot, or a snapshot group with all its members.
enum Step<'a> {
    One(&'a Snapshot),
    Group(u64, Vec<&'a Snapshot>),
}

impl<'a> Step<'a> {
    fn members(&self) -> Vec<&'a Snapshot> {
        match self {
            Self::One(snapshot) => vec![snapshot],
            Self::Group(_, members) => members.clone(),
        }
    }
}

impl Apply<'_> {
    /// Deletes every set of the plan that is to go, oldest first, and says how it ended.
    pub fn run(&mut self, plan: &[Decision]) -> anyhow::Result<(Exit, Option<String>)> {
        let mut gone: BTreeSet<usize> = BTreeSet::new();
        let mut silent = 0;
        let mut give_up: Option<String> = None;
        for (at, decision) in plan.iter().enumerate().filter(|(_, d)| d.fate == Fate::Removed) {
            if let Some(why) = &give_up {
                self.keep(decision.set.members(), &format!("not tried: {why}"))?;
                continue;
            }
            if signals::pending().is_some() {
                self.keep(decision.set.members(), "not tried: the run was asked to stop")?;
                continue;
            }
            // What was to go before it and is still there may need its archived logs.
            if let Some(other) = decision.needed_by.iter().find(|other| !gone.contains(other)) {
                let name = plan.get(*other).map_or("", |d| d.set.name());
                self.keep(
                    decision.set.members(),
                    &format!("{name} is still there and needs its archived logs"),
                )?;
                continue;
            }
            self.lock.progress();
            match self.remove(&decision.set, &decision.reason)? {
                None => {
                    gone.insert(at);
                    silent = 0;
                }
                Some(Stop::Changed(_)) => silent = 0,
                Some(Stop::Failed(error)) => {
                    silent =
                        if error.is_unavailable() || error.kind == Kind::NotApi { silent + 1 } else { 0 };
                    if error.kind == Kind::Unauthorized {
                        give_up = Some("the array no longer accepts the user and the password".to_owned());
                    } else if silent >= PATIENCE {
                        give_up = Some("the array has stopped answering".to_owned());
                    }
                }
            }
        }
        Ok(self.verdict(give_up))
    }

    fn verdict(&self, give_up: Option<String>) -> (Exit, Option<String>) {
        let Counts { removed, failed, forbidden, .. } = self.counts;
        if let Some(why) = give_up {
            return (Exit::Failed, Some(format!("{why}; {removed} snapshots were deleted before")));
        }
        if forbidden > 0 && removed == 0 && failed == forbidden {
            return (Exit::Failed, Some("the array allowed no deletion (403)".to_owned()));
        }
        match failed {
            0 => (Exit::Success, None),
            n => (Exit::Partial, Some(format!("{n} sets could not be deleted"))),
        }
    }

    /// Deletes one set as far as it can; `None` when all of it is gone.
    fn remove(&mut self, set: &Set, reason: &str) -> anyhow::Result<Option<Stop>> {
        let mut left: Vec<&Snapshot> = set.members().collect();
        let all = left.len();
        let stop = match self.look(&steps(self.seen, set)) {
            Err(stop) => stop,
            Ok(there) => {
                for snapshot in left.iter().filter(|s| !there.contains(&s.id)) {
                    self.counts.gone += 1;
                    self.note(&Log::info(format!("{} was gone already", snapshot.name)))?;
                }
                left.retain(|s| there.contains(&s.id));
                match self.delete_all(set, &mut left, reason)? {
                    None => return Ok(None),
                    Some(stop) => stop,
                }
            }
        };
        match &stop {
            Stop::Changed(why) if left.len() < all => {
                self.counts.failed += 1;
                self.note(&Log::warning(format!("a part of the set of {} is gone, and {why}", set.name())))?;
                self.keep(left, why)?;
            }
            Stop::Changed(why) => {
                self.note(&Log::info(format!("{} and its set stay: {why}", set.name())))?;
                self.keep(left, why)?;
            }
            Stop::Failed(error) => {
                self.counts.failed += 1;
                self.counts.forbidden += u64::from(error.kind == Kind::Forbidden);
                let mut log = Log::error(error.to_string());
                log.code = error.code.clone();
                self.note(&log)?;
                self.keep(left, &format!("not deleted: {error}"))?;
            }
        }
        Ok(Some(stop))
    }

    /// Deletes the members that are left, data first; what is deleted is taken out of `left`.
    fn delete_all(
        &mut self,
        set: &Set,
        left: &mut Vec<&Snapshot>,
        reason: &str,
    ) -> anyhow::Result<Option<Stop>> {
        let mut looked = Instant::now();
        for step in steps(self.seen, set) {
            let members: Vec<&Snapshot> =
                step.members().into_iter().filter(|m| left.iter().any(|l| l.id == m.id)).collect();
            if members.is_empty() {
                continue;
            }
            if looked.elapsed() > FRESH {
                let steps = steps(self.seen, set);
                let rest: Vec<Step> = steps
                    .into_iter()
                    .filter(|s| s.members().iter().any(|m| left.iter().any(|l| l.id == m.id)))
                    .collect();
                if let Err(stop) = self.look(&rest) {
                    return Ok(Some(stop));
                }
                looked = Instant::now();
            }
            let deleted = match &step {
                Step::One(snapshot) => self.delete_one(snapshot),
                Step::Group(cg, _) => self.delete_group(*cg, &members),
            };
            let ours = match deleted {
                Ok(ours) => ours,
                Err(stop) => return Ok(Some(stop)),
            };
            for snapshot in members {
                left.retain(|l| l.id != snapshot.id);
                if ours {
                    self.receipt(snapshot, reason)?;
                } else {
                    self.counts.gone += 1;
                    self.note(&Log::info(format!("{} was gone already", snapshot.name)))?;
                }
            }
        }
        Ok(None)
    }

    /// An object, or `None` when the array says twice that there is none: whatever goes next goes because of that.
    fn object(&self, id: u64) -> Result<Option<Volume>, ApiError> {
        match self.array.volume(id)? {
            None => self.array.volume(id),
            found => Ok(found),
        }
    }

    /// `false`: it was gone. After a deletion that may have been executed the array is asked, and not told again.
    fn delete_one(&self, snapshot: &Snapshot) -> Result<bool, Stop> {
        let id = snapshot.id;
        match self.array.delete_volume(id) {
            Ok(Some(_)) => Ok(true),
            Ok(None) => match self.array.volume(id) {
                Ok(None) => Ok(false),
                Ok(Some(_)) => Err(Stop::Changed(format!(
                    "{}: the array says that it is gone, and shows it",
                    snapshot.name
                ))),
                Err(error) => Err(Stop::Failed(error)),
            },
            Err(error) if error.maybe_executed() => match self.array.volume(id) {
                Ok(None) => Ok(true),
                _ => Err(Stop::Failed(error)),
            },
            Err(error) => Err(Stop::Failed(error)),
        }
    }

    fn delete_group(&self, cg: u64, members: &[&Snapshot]) -> Result<bool, Stop> {
        match self.array.delete_cg_with_members(cg) {
            Ok(ours) => Ok(ours),
            Err(error) if error.maybe_executed() => {
                for member in members {
                    if !matches!(self.array.volume(member.id), Ok(None)) {
                        return Err(Stop::Failed(error));
                    }
                }
                Ok(true)
            }
            Err(error) => Err(Stop::Failed(error)),
        }
    }

    /// Looks at all of these again: the ids of those that are there, when nothing stands in the way.
    fn look(&self, steps: &[Step]) -> Result<BTreeSet<u64>, Stop> {
        let mut there = BTreeSet::new();
        for step in steps {
            match step {
                Step::One(snapshot) => {
                    if let Some(fresh) = self.object(snapshot.id).map_err(Stop::Failed)? {
                        self.check(snapshot, &fresh)?;
                        there.insert(snapshot.id);
                    }
                }
                Step::Group(cg, members) => match self.array.cg_members(*cg) {
                    Ok(found) => {
                        let found: BTreeMap<u64, Volume> = found.into_iter().map(|v| (v.id, v)).collect();
                        if found.len() != members.len() {
                            let why = format!("its snapshot group {cg} has {} members now", found.len());
                            return Err(Stop::Changed(why));
                        }
                        for snapshot in members {
                            let Some(fresh) = found.get(&snapshot.id) else {
                                let why = format!("{} is not in its snapshot group any more", snapshot.name);
                                return Err(Stop::Changed(why));
                            };
                            self.check(snapshot, fresh)?;
                            there.insert(snapshot.id);
                        }
                    }
                    Err(error) if error.kind == Kind::NotFound => {}
                    Err(error) => return Err(Stop::Failed(error)),
                },
            }
        }
        Ok(there)
    }

    /// Whether it is still the very object of the plan, and still free.
    fn check(&self, snapshot: &Snapshot, fresh: &Volume) -> Result<(), Stop> {
        let Some(seen) = self.seen.get(snapshot.at) else { return Ok(()) };
        let listed = &seen.volume;
        let stay = |why: String| Err(Stop::Changed(format!("{}: {why}", snapshot.name)));
        let same_kind = match (&fresh.kind, &listed.kind) {
            (Some(a), Some(b)) => a.eq_ignore_ascii_case(b),
            _ => false,
        };
        for (same, what) in [
            (fresh.id == listed.id, "id"),
            (fresh.name == listed.name, "name"),
            (fresh.created_at == listed.created_at, "time"),
            (fresh.parent_id == listed.parent_id, "parent"),
            (same_kind, "type"),
            (fresh.depth == listed.depth, "depth"),
            (fresh.cg_id.unwrap_or(0) == listed.cg_id.unwrap_or(0), "group"),
        ] {
            if !same {
                return stay(format!("its {what} is not what was listed a moment ago"));
            }
        }
        match hold(fresh, seen.group, self.now) {
            Some(hold) => stay(hold.reason),
            None => Ok(()),
        }
    }

    fn receipt(&mut self, snapshot: &Snapshot, reason: &str) -> anyhow::Result<()> {
        self.counts.removed += 1;
        self.log.info(&format!("deleted {} ({}): {reason}", snapshot.name, snapshot.id));
        self.frame.out.emit(&Removed {
            reason: reason.to_owned(),
            snapshot: Some(snapshot.name.clone()),
            bytes: bytes(self.seen, snapshot),
            age: Some(age(snapshot, self.now)),
            ..Removed::default()
        })
    }

    fn keep<'s>(
        &mut self,
        snapshots: impl IntoIterator<Item = &'s Snapshot>,
        reason: &str,
    ) -> anyhow::Result<()> {
        for snapshot in snapshots {
            self.counts.kept += 1;
            self.frame.out.emit(&kept(self.seen, snapshot, reason, self.now))?;
        }
        Ok(())
    }

    fn note(&self, log: &Log) -> anyhow::Result<()> {
        self.log.say(log);
        self.frame.out.emit(log)
    }
}

/// The deletions of a set in their order: a run that is cut off may leave archived logs without data, never data that
/// is still counted without its archived logs.
fn steps<'a>(seen: &[Seen], set: &'a Set) -> Vec<Step<'a>> {
    let mut steps: Vec<Step<'a>> = Vec::new();
    for snapshot in set.members() {
        let listed = seen.get(snapshot.at);
        let group = listed.filter(|s| s.group == Group::OfSnapshots).and_then(|s| s.volume.cg_id);
        let Some(cg) = group else {
            steps.push(Step::One(snapshot));
            continue;
        };
        let known = steps.iter_mut().find_map(|s| match s {
            Step::Group(id, members) if *id == cg => Some(members),
            _ => None,
        });
        match known {
            Some(members) => members.push(snapshot),
            None => steps.push(Step::Group(cg, vec![snapshot])),
        }
    }
    steps
}

/// Bytes that the snapshot alone occupies, where the array says it.
pub fn bytes(seen: &[Seen], snapshot: &Snapshot) -> Option<u64> {
    let volume = &seen.get(snapshot.at)?.volume;
    volume.allocated.or(volume.used)
}

/// Seconds since it was taken, by the array's clock.
pub fn age(snapshot: &Snapshot, now: i64) -> f64 {
    (now - snapshot.created) as f64 / 1000.0
}

/// The record of a snapshot that stays.
pub fn kept(seen: &[Seen], snapshot: &Snapshot, reason: &str, now: i64) -> Kept {
    Kept {
        reason: reason.to_owned(),
        snapshot: Some(snapshot.name.clone()),
        bytes: bytes(seen, snapshot),
        age: Some(age(snapshot, now)),
        ..Kept::default()
    }
}
