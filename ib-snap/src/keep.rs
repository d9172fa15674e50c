//! After END BACKUP: which snapshots count, which are proven, which have to go.

use std::time::{Duration, Instant};

use common::infinibox::{ApiError, Array, Change, Clock, Volume};
use common::signals;

use crate::plan::{Half, Member};
use crate::storage::{find, Asker, Fate, Found, Shot};
use crate::window::{Moment, Window};

/// How long a snapshot of unknown outcome is looked for after END BACKUP; the next run looks again.
const LOOK: Duration = Duration::from_secs(5);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(250);
/// For all that is asked to settle one half.
const LIMIT: Duration = Duration::from_secs(60);

/// What proves that a snapshot was taken at the right time.
#[derive(Debug, Clone, Copy)]
pub enum Proof {
    /// It was there, or confirmed, while everything was as it has to be.
    Seen,
    /// Only the array's clock can tell.
    Clock(Window, Option<Clock>),
    /// Nothing can: nobody knows when backup mode was on.
    None,
}

/// What became of one snapshot in the end.
#[derive(Debug, Clone)]
pub struct Kept {
    pub member: Member,
    /// As the array has it now; `None` when it does not exist, or nobody knows.
    pub volume: Option<Volume>,
    /// Why it does not count.
    pub bad: Option<String>,
    /// It may still appear.
    pub pending: bool,
    /// It exists, and surely or perhaps was taken outside of backup mode: there is no receipt for it.
    pub outside: bool,
    /// What a person should know besides.
    pub warnings: Vec<String>,
}

/// Settles the snapshots of one half.
///
/// `seen` is the proof for what the array has confirmed; `doubted` for what has to be looked up, as `asker`'s.
pub fn settle(
    array: &Array,
    half: &Half,
    shots: Vec<Shot>,
    seen: Proof,
    doubted: Proof,
    lock: Option<i64>,
    asker: &Asker,
) -> Vec<Kept> {
    let array = array.until(Instant::now() + LIMIT);
    let mut kept: Vec<Kept> = Vec::new();
    let began = Instant::now();
    // A clock that is the proof judges the age itself.
    let since = asker.since.filter(|_| matches!(doubted, Proof::Seen));
    let looker = Asker { since, ..asker.clone() };
    for member in &half.members {
        let fate = shots.iter().find(|s| s.member == *member).map(|s| &s.fate);
        let search = |why: &str| search(&array, member, why, doubted, lock, &looker, began);
        let settled = match fate {
            Some(Fate::Failed(why)) => Kept::bad(member, None, why.clone()),
            Some(Fate::Taken(volume)) => confirmed(&array, member, volume.id, seen, lock),
            Some(Fate::InGroup) => match find(&array, member, &Asker { since: None, ..asker.clone() }) {
                Ok(Found::Ours(volume, _)) => confirmed(&array, member, volume.id, seen, lock),
                Ok(Found::Theirs(why)) => Kept::doubt(member, why),
                Ok(Found::Nothing) => {
                    Kept::doubt(member, "the snapshot group has no snapshot of this volume".to_owned())
                }
                Err(e) => Kept::doubt(member, e.to_string()),
            },
            Some(Fate::Doubtful(why)) => search(why),
            None => search("the array had not answered in time"),
        };
        kept.push(settled);
    }
    kept
}

impl Kept {
    fn of(member: &Member) -> Self {
        let (member, warnings) = (member.clone(), Vec::new());
        Self { member, volume: None, bad: None, pending: false, outside: false, warnings }
    }

    fn bad(member: &Member, volume: Option<Volume>, why: String) -> Self {
        Self { volume, bad: Some(why), ..Self::of(member) }
    }

    fn doubt(member: &Member, why: String) -> Self {
        Self { pending: true, ..Self::bad(member, None, why) }
    }
}

/// A snapshot that the array has told us of.
fn confirmed(array: &Array, member: &Member, id: u64, proof: Proof, lock: Option<i64>) -> Kept {
    let volume = match array.volume(id) {
        Ok(Some(volume)) => volume,
        Ok(None) => return Kept::bad(member, None, format!("snapshot {id} has vanished again")),
        Err(e) => return Kept::doubt(member, e.to_string()),
    };
    if volume.parent() != Some(member.volume_id) {
        let why = format!("snapshot {id} is not one of volume {}", member.volume);
        return Kept::bad(member, None, why);
    }
    match (late(&volume, proof), proof) {
        (None, _) => protect(array, member, volume, lock),
        // Nobody knows that it is bad either: a person may want it, and its mark says what it is.
        (Some(why), Proof::None) => Kept { outside: true, ..Kept::bad(member, Some(volume), why) },
        (Some(why), _) => discard(array, member, volume, &why),
    }
}

/// Looks for a snapshot of unknown outcome.
fn search(
    array: &Array,
    member: &Member,
    why: &str,
    proof: Proof,
    lock: Option<i64>,
    asker: &Asker,
    began: Instant,
) -> Kept {
    let mut why = why.to_owned();
    loop {
        match find(array, member, asker) {
            Ok(Found::Ours(volume, _)) => {
                let kept = confirmed(array, member, volume.id, proof, lock);
                // It was asked for more than once: where one has gone, another may come.
                let pending = kept.pending || kept.volume.is_none();
                return Kept { pending, ..kept };
            }
            Ok(Found::Theirs(whose)) => return Kept::doubt(member, format!("{why}; {whose}")),
            Ok(Found::Nothing) => {}
            Err(e) => why = format!("{why}; then: {e}"),
        }
        if began.elapsed() >= LOOK || signals::pending().is_some() || !signals::sleep(PAUSE) {
            return Kept::doubt(member, why);
        }
    }
}

/// Why a snapshot does not count by the time it was taken at.
fn late(volume: &Volume, proof: Proof) -> Option<String> {
    let (window, clock) = match proof {
        Proof::Seen => return None,
        Proof::None => {
            return Some("nobody knows whether the database was in backup mode when it was taken".to_owned())
        }
        Proof::Clock(window, clock) => (window, clock),
    };
    let (Some(created), Some(clock)) = (volume.created_at, clock) else {
        return Some("the array does not tell when it was taken".to_owned());
    };
    let told = volume.created().unwrap_or_default();
    match window.judge(created, &clock) {
        Moment::Inside => None,
        Moment::Before => Some(format!("it was taken before BEGIN BACKUP, at {told} by the array's clock")),
        Moment::After => Some(format!("it was taken after END BACKUP, at {told} by the array's clock")),
        Moment::Unsure => Some(format!(
            "it may have been taken outside of backup mode, at {told} by the array's clock, which is known to {} ms",
            clock.latest - clock.earliest
        )),
    }
}

/// A snapshot that looks like a good one and is none goes, if it surely is ours and nobody uses it.
pub fn discard(array: &Array, member: &Member, volume: Volume, why: &str) -> Kept {
    let kept = match may_go(&volume, member) {
        Err(obstacle) => Kept::bad(member, Some(volume), format!("{why}; it is kept: {obstacle}")),
        Ok(()) => match array.delete_volume(volume.id) {
            Ok(_) => Kept::bad(member, None, format!("{why}; it was deleted")),
            Err(e) => Kept::bad(member, Some(volume), format!("{why}; {e}")),
        },
    };
    Kept { outside: true, ..kept }
}

/// Whether it surely is the snapshot that this run asked for, and in nobody's use.
fn may_go(volume: &Volume, member: &Member) -> Result<(), &'static str> {
    if volume.name != member.name || volume.parent() != Some(member.volume_id) || !volume.is_snapshot() {
        return Err("it is not surely ours");
    }
    if volume.mapped != Some(false) || volume.has_children != Some(false) {
        return Err("it is mapped or has snapshots of its own, or the array does not say");
    }
    if volume.is_locked(i64::MIN) {
        return Err("it is locked");
    }
    Ok(())
}

/// Name, write protection and lock as they were asked for.
fn protect(array: &Array, member: &Member, volume: Volume, lock: Option<i64>) -> Kept {
    let mut kept = Kept::of(member);
    let change = Change {
        name: (volume.name != member.name).then(|| member.name.clone()),
        write_protected: (volume.write_protected != Some(true)).then_some(true),
        lock_expires_at: lock.filter(|until| volume.lock_expires_at.is_none_or(|have| have < *until)),
    };
    let mut volume = volume;
    if change != Change::default() {
        match array.change_volume(volume.id, &change).and_then(|_| reread(array, volume.id)) {
            Ok(Some(changed)) => volume = changed,
            Ok(None) => return Kept::bad(member, None, format!("snapshot {} has vanished again", volume.id)),
            Err(e) => kept.warnings.push(format!("protect snapshot {}: {e}", volume.name)),
        }
    }
    if volume.name != member.name {
        kept.bad = Some(format!("the array calls it {}, not {}", volume.name, member.name));
    }
    if volume.write_protected == Some(false) {
        kept.warnings.push(format!("snapshot {} is not write protected", volume.name));
    }
    if lock.is_some_and(|until| volume.lock_expires_at.is_none_or(|have| have < until)) {
        kept.warnings.push(format!("snapshot {} is not locked as --lock-until wants it", volume.name));
    }
    kept.volume = Some(volume);
    kept
}

fn reread(array: &Array, id: u64) -> Result<Option<Volume>, ApiError> {
    array.volume(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member() -> Member {
        Member { volume_id: 7, volume: "d1".to_owned(), name: "orasync_data_x".to_owned() }
    }

    fn volume() -> Volume {
        Volume {
            id: 9,
            name: "orasync_data_x".to_owned(),
            kind: Some("SNAPSHOT".to_owned()),
            parent_id: Some(7),
            created_at: Some(11_000),
            mapped: Some(false),
            has_children: Some(false),
            ..Volume::default()
        }
    }

    #[test]
    fn only_what_is_surely_ours_and_unused_goes() {
        let may = |change: fn(&mut Volume)| {
            let mut volume = volume();
            change(&mut volume);
            may_go(&volume, &member()).is_ok()
        };
        assert!(may(|_| {}));
        assert!(!may(|v| v.parent_id = Some(8)));
        assert!(!may(|v| v.name = "orasync_data_y".to_owned()));
        assert!(!may(|v| v.kind = Some("MASTER".to_owned())));
        assert!(!may(|v| v.mapped = Some(true)));
        assert!(!may(|v| v.mapped = None));
        assert!(!may(|v| v.has_children = Some(true)));
        assert!(!may(|v| v.lock_state = Some("LOCKED".to_owned())));
        assert!(!may(|v| v.lock_expires_at = Some(1)));
    }

    #[test]
    fn without_a_clock_a_doubted_snapshot_does_not_count() {
        let window = Window { begin_done: 10_000, end_sent: 12_000 };
        let clock = Clock { earliest: 0, latest: 0, best: 0, contradictory: false };
        assert!(late(&volume(), Proof::Seen).is_none());
        assert!(late(&volume(), Proof::None).is_some());
        assert!(late(&volume(), Proof::Clock(window, Some(clock))).is_none());
        assert!(late(&volume(), Proof::Clock(window, None)).is_some());
        let silent = Volume { created_at: None, ..volume() };
        assert!(late(&silent, Proof::Clock(window, Some(clock))).is_some());
        let after = Volume { created_at: Some(12_001), ..volume() };
        assert!(late(&after, Proof::Clock(window, Some(clock))).unwrap().contains("after END BACKUP"));
    }
}
