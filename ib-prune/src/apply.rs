//! Deletes what the plan says: each set is looked at again, then its data goes, then its archived logs.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use common::app::Frame;
use common::exit::Exit;
use common::infinibox::{ApiError, Array, Kind, Volume};
use common::lock::Lock;
use common::logfile::LogFile;
use common::record::{Kept, Log, Removed};
use common::signals;

use crate::mapping;
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
    /// The array has confirmed the deletion, and what should be gone is there.
    Still(String),
}

/// A deletion: one snapshot, or a snapshot group with all its members.
enum Step<'a> {
    One(&'a Snapshot),
    Group(u64, Vec<&'a Snapshot>),
}

/// What a deletion has done.
struct Deleted {
    /// Ids of those that are gone.
    gone: Vec<u64>,
    /// Whether we did it; else they were gone before.
    ours: bool,
    /// Why the rest is not.
    stop: Option<Stop>,
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
                Some(Stop::Changed(_) | Stop::Still(_)) => silent = 0,
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
            Stop::Still(why) => {
                self.counts.failed += 1;
                self.note(&Log::error(why.clone()))?;
                self.keep(left, &format!("not deleted: {why}"))?;
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
            for snapshot in members.into_iter().filter(|m| deleted.gone.contains(&m.id)) {
                left.retain(|l| l.id != snapshot.id);
                if deleted.ours {
                    self.receipt(snapshot, reason)?;
                } else {
                    self.counts.gone += 1;
                    self.note(&Log::info(format!("{} was gone already", snapshot.name)))?;
                }
            }
            if deleted.stop.is_some() {
                return Ok(deleted.stop);
            }
        }
        Ok(None)
    }

    /// An object, with an answer to whether it is mapped, or `None` when the array says twice that there is none: whatever
    /// goes next goes because of that.
    fn object(&self, id: u64) -> Result<Option<Volume>, ApiError> {
        let found = match self.array.volume(id)? {
            None => self.array.volume(id)?,
            found => found,
        };
        match found {
            None => Ok(None),
            Some(mut volume) => mapping::fill(self.array, &mut volume).map(|()| Some(volume)),
        }
    }

    fn delete_one(&self, snapshot: &Snapshot) -> Deleted {
        let id = snapshot.id;
        match self.array.delete_volume(id) {
            // The array returns what it has deleted; any other answer is no proof.
            Ok(Some(told)) if told.id == id && told.name == snapshot.name => {
                Deleted { gone: vec![id], ours: true, stop: None }
            }
            Ok(told) => self.look_after(&[snapshot], told.is_some(), None),
            Err(error) => self.after_error(&[snapshot], error),
        }
    }

    fn delete_group(&self, cg: u64, members: &[&Snapshot]) -> Deleted {
        match self.array.delete_cg_with_members(cg) {
            // It may be the group alone that is gone.
            Ok(ours) => self.look_after(members, ours, None),
            Err(error) => self.after_error(members, error),
        }
    }

    /// After a deletion that may have been executed the array is asked, and not told again.
    fn after_error(&self, members: &[&Snapshot], error: ApiError) -> Deleted {
        if error.maybe_executed() {
            return self.look_after(members, true, Some(error));
        }
        Deleted { gone: Vec::new(), ours: false, stop: Some(Stop::Failed(error)) }
    }

    /// Looks at what should be gone. `error` is that of the deletion, if its answer was lost.
    fn look_after(&self, members: &[&Snapshot], ours: bool, error: Option<ApiError>) -> Deleted {
        let mut gone = Vec::new();
        let mut stop = None;
        for member in members {
            let name = &member.name;
            match self.array.volume(member.id) {
                Ok(None) => gone.push(member.id),
                Ok(Some(_)) if ours => {
                    let why = format!("{name}: the array has confirmed its deletion, and shows it");
                    stop = stop.or(Some(Stop::Still(why)));
                }
                Ok(Some(_)) => {
                    let why = format!("{name}: the array says that it is gone, and shows it");
                    stop = stop.or(Some(Stop::Changed(why)));
                }
                Err(error) => {
                    stop = Some(Stop::Failed(error));
                    break;
                }
            }
        }
        if let (Some(_), Some(error)) = (&stop, error) {
            stop = Some(Stop::Failed(error));
        }
        Deleted { gone, ours, stop }
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
                Step::Group(cg, members) => {
                    self.check_members(*cg, members)?;
                    // Its listing of members has fewer fields than the objects themselves on some versions.
                    for snapshot in members {
                        if let Some(fresh) = self.object(snapshot.id).map_err(Stop::Failed)? {
                            self.check(snapshot, &fresh)?;
                            there.insert(snapshot.id);
                        }
                    }
                }
            }
        }
        Ok(there)
    }

    /// Whether exactly these are in the group, if there still is one.
    fn check_members(&self, cg: u64, members: &[&Snapshot]) -> Result<(), Stop> {
        let found: BTreeSet<u64> = match self.array.cg_members(cg) {
            Ok(found) => found.into_iter().map(|v| v.id).collect(),
            Err(error) if error.kind == Kind::NotFound => return Ok(()),
            Err(error) => return Err(Stop::Failed(error)),
        };
        if found.len() != members.len() {
            return Err(Stop::Changed(format!("its snapshot group {cg} has {} members now", found.len())));
        }
        match members.iter().find(|s| !found.contains(&s.id)) {
            Some(lost) => Err(Stop::Changed(format!("{} is not in its snapshot group any more", lost.name))),
            None => Ok(()),
        }
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
