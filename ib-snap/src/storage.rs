//! Taking snapshots, on a thread that nobody has to wait for.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{channel, Receiver};
use std::sync::Arc;

use common::infinibox::{
    ApiError, Array, Cg, Clock, Kind, NewCgSnapshot, NewGroupSnapshot, NewSnapshot, SetMark, Volume,
    CREATED_BY, OWNER, SET_KEY,
};

use crate::plan::{Half, How, Member};
use crate::snap::{now, Snap};

/// How often a snapshot of unknown outcome is asked for again under its name, which makes it the same snapshot.
const ATTEMPTS: usize = 3;

/// What became of one snapshot, as far as the array has told.
#[derive(Debug, Clone)]
pub enum Fate {
    /// The array has confirmed it.
    Taken(Box<Volume>),
    /// The array has confirmed the group that it belongs to.
    InGroup,
    /// It may exist, now or later; the reason.
    Doubtful(String),
    /// It surely was not taken; the reason.
    Failed(String),
}

#[derive(Debug, Clone)]
pub struct Shot {
    pub member: Member,
    pub fate: Fate,
}

/// Whose request it is: a name alone makes no snapshot ours.
#[derive(Debug, Clone, Default)]
pub struct Asker {
    pub run: String,
    /// Array time minus host time.
    pub clock: Option<Clock>,
    /// Host time, epoch milliseconds, before the first request. `None`: the snapshot's age says nothing.
    pub since: Option<i64>,
}

impl Asker {
    /// Whether it surely was there before it was asked for.
    fn is_older(&self, created_at: Option<i64>) -> bool {
        match (created_at, self.since, self.clock) {
            (Some(created), Some(since), Some(clock)) => created < clock.array_time(since).0,
            _ => false,
        }
    }
}

/// What is there under one of our names.
#[derive(Debug, Clone)]
pub enum Found {
    Nothing,
    /// With what `orapipe.set` says, if there is one.
    Ours(Box<Volume>, Option<SetMark>),
    /// Not to be touched; why it is not ours.
    Theirs(String),
}

/// What the thread says.
#[derive(Debug)]
pub enum Told {
    Shots(Vec<Shot>),
    /// Ids that carry the first mark now.
    Marked(Vec<u64>),
}

/// A thread that takes the snapshots of one half and marks them as incomplete.
pub struct Taking {
    pub told: Receiver<Told>,
    pub asker: Asker,
    stop: Arc<AtomicBool>,
}

impl Taking {
    /// `limited` bounds the snapshots; the marks may come after END BACKUP.
    pub fn start(limited: &Array, half: &Half, snap: &Snap<'_>) -> Self {
        let (tx, told) = channel();
        let stop = Arc::new(AtomicBool::new(false));
        let asker = Asker { run: snap.marks.run.clone(), clock: snap.clock, since: Some(now()) };
        let (marks, lock, ours) = (snap.marks.clone(), snap.lock, asker.clone());
        let (limited, array, half, theirs) =
            (limited.clone(), snap.array.clone(), half.clone(), Arc::clone(&stop));
        std::thread::spawn(move || {
            let shots = take(&limited, &half, lock, &ours, &theirs);
            let ids: Vec<u64> = shots
                .iter()
                .filter_map(|s| match &s.fate {
                    Fate::Taken(volume) => Some(volume.id),
                    _ => None,
                })
                .collect();
            let _gone = tx.send(Told::Shots(shots));
            let keys = marks.incomplete(&half);
            let marked = each(&ids, |id| array.put_metadata(*id, &keys).is_ok().then_some(*id));
            let _gone = tx.send(Told::Marked(marked.into_iter().flatten().collect()));
        });
        Self { told, asker, stop }
    }

    /// Nothing is asked for again from now on.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
    }
}

/// Does it for each at the same time.
pub fn each<T: Sync, R: Send>(items: &[T], deed: impl Fn(&T) -> R + Sync) -> Vec<R> {
    // The array has a handful of management connections, and a set a handful of volumes.
    const AT_ONCE: usize = 8;
    let mut done = Vec::with_capacity(items.len());
    for chunk in items.chunks(AT_ONCE) {
        let (first, others) = match chunk.split_first() {
            Some(split) => split,
            None => break,
        };
        std::thread::scope(|scope| {
            let deed = &deed;
            let running: Vec<_> = others.iter().map(|item| scope.spawn(move || deed(item))).collect();
            done.push(deed(first));
            for thread in running {
                match thread.join() {
                    Ok(result) => done.push(result),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
        });
    }
    done
}

fn take(array: &Array, half: &Half, lock: Option<i64>, asker: &Asker, stop: &AtomicBool) -> Vec<Shot> {
    match &half.how {
        How::Single | How::Separate => each(&half.members, |member| Shot {
            member: member.clone(),
            fate: single(array, member, lock, asker, stop),
        }),
        How::Group => group(array, half, asker, stop),
        How::Cg { id, name, .. } => {
            let new = NewCgSnapshot {
                parent_id: *id,
                name: name.clone(),
                snap_prefix: half.prefix(),
                snap_suffix: String::new(),
                lock_expires_at: lock,
            };
            let ours = |c: &Cg| c.parent() == Some(*id) && !asker.is_older(c.created_at);
            let look = || Ok(array.cg_named(name)?.filter(ours));
            let fate = match insist(stop, || array.snapshot_cg(&new), look) {
                Ok(_) => Fate::InGroup,
                Err(fate) => fate,
            };
            half.members.iter().map(|m| Shot { member: m.clone(), fate: fate.clone() }).collect()
        }
    }
}

fn single(array: &Array, member: &Member, lock: Option<i64>, asker: &Asker, stop: &AtomicBool) -> Fate {
    let new = NewSnapshot {
        parent_id: member.volume_id,
        name: member.name.clone(),
        write_protected: true,
        lock_expires_at: lock,
    };
    match insist(stop, || array.snapshot(&new), || adopt(array, member, asker)) {
        Ok(volume) => Fate::Taken(Box::new(volume)),
        Err(fate) => fate,
    }
}

fn group(array: &Array, half: &Half, asker: &Asker, stop: &AtomicBool) -> Vec<Shot> {
    let new = NewGroupSnapshot {
        prefix: half.prefix(),
        suffix: String::new(),
        volumes: half.members.iter().map(|m| m.volume_id).collect(),
    };
    // All or nothing: one instant.
    let look = || {
        let found: Vec<Option<Volume>> =
            each(&half.members, |m| adopt(array, m, asker)).into_iter().collect::<Result<_, ApiError>>()?;
        Ok(found.into_iter().collect::<Option<Vec<Volume>>>())
    };
    let unknown = Cell::new(false);
    let post = || {
        let answer = array.group_snapshot(&new);
        unknown.set(answer.as_ref().is_err_and(|e| e.status == Some(404)));
        answer
    };
    let mut taken = insist(stop, post, look);
    // Objects without a parent or a name of ours are no proof, and a look while backup mode is on is one.
    let silent = |found: &Vec<Volume>| half.members.iter().any(|m| of_member(found, m).is_none());
    if taken.as_ref().is_ok_and(silent) {
        if let Ok(Some(found)) = look() {
            taken = Ok(found);
        }
    }
    if let (Err(Fate::Failed(why)), true) = (&mut taken, unknown.get()) {
        why.push_str("; for an array that knows no group snapshots give --separate-snapshots");
    }
    half.members
        .iter()
        .map(|member| {
            let fate = match &taken {
                Ok(found) => match of_member(found, member) {
                    Some(volume) => Fate::Taken(Box::new(volume.clone())),
                    None => Fate::Doubtful("the array's answer does not name it".to_owned()),
                },
                Err(fate) => fate.clone(),
            };
            Shot { member: member.clone(), fate }
        })
        .collect()
}

/// The one of a member in an answer, by its parent, or by its name where the answer is short.
fn of_member<'v>(found: &'v [Volume], member: &Member) -> Option<&'v Volume> {
    found.iter().find(|v| match v.parent() {
        Some(parent) => parent == member.volume_id,
        None => v.name == member.name,
    })
}

/// The snapshot of this name, if it is one of this volume and the mark of no other run stands on it.
pub fn find(array: &Array, member: &Member, asker: &Asker) -> Result<Found, ApiError> {
    let Some(volume) = array.volume_named(&member.name)? else { return Ok(Found::Nothing) };
    if volume.parent() != Some(member.volume_id) {
        return Ok(Found::Nothing);
    }
    let keys = match array.metadata(volume.id) {
        // Not every version stores metadata.
        Err(e) if e.kind == Kind::Refused => Default::default(),
        other => other?,
    };
    let mark = keys.get(SET_KEY).and_then(|text| SetMark::parse(text));
    let owner = keys.get(CREATED_BY).filter(|owner| *owner != OWNER);
    let why = match (&mark, owner) {
        (_, Some(owner)) => format!("it was made by {owner}"),
        (Some(mark), None) if mark.run != asker.run => format!("it is of run {}", mark.run),
        _ if asker.is_older(volume.created_at) => "it is older than the request".to_owned(),
        _ => return Ok(Found::Ours(Box::new(volume), mark)),
    };
    Ok(Found::Theirs(format!("snapshot {} (id {}) has the name, and {why}", volume.name, volume.id)))
}

/// What a request of unknown outcome has made.
fn adopt(array: &Array, member: &Member, asker: &Asker) -> Result<Option<Volume>, ApiError> {
    Ok(match find(array, member, asker)? {
        Found::Ours(volume, _) => Some(*volume),
        Found::Nothing | Found::Theirs(_) => None,
    })
}

/// Asks until it is done or surely not done. What may have been executed is looked up by its name, and asked for again
/// only when it is not there: the array has room for one of that name.
fn insist<T>(
    stop: &AtomicBool,
    post: impl Fn() -> Result<T, ApiError>,
    look: impl Fn() -> Result<Option<T>, ApiError>,
) -> Result<T, Fate> {
    let mut doubt: Option<String> = None;
    for _ in 0..ATTEMPTS {
        if stop.load(Ordering::SeqCst) {
            break;
        }
        let error = match post() {
            Ok(done) => return Ok(done),
            Err(error) => error,
        };
        let taken = error.kind == Kind::Conflict && doubt.is_some();
        if !error.maybe_executed() && !taken {
            return Err(match doubt {
                Some(first) => Fate::Doubtful(format!("{first}; then: {error}")),
                None => Fate::Failed(with_hint(&error)),
            });
        }
        doubt.get_or_insert(error.to_string());
        if let Ok(Some(found)) = look() {
            return Ok(found);
        }
    }
    Err(Fate::Doubtful(doubt.unwrap_or_else(|| "it was not asked for in time".to_owned())))
}

fn with_hint(error: &ApiError) -> String {
    match error.hint() {
        Some(hint) => format!("{error} ({hint})"),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_answer_is_told_by_its_names() {
        let member = |id: u64| Member { volume_id: id, volume: format!("d{id}"), name: format!("s_d{id}") };
        let volume = |name: &str, parent_id| Volume { name: name.to_owned(), parent_id, ..Volume::default() };
        let found = [volume("s_d1", None), volume("cut", Some(2)), volume("s_d3", Some(9))];
        let id = |m: u64| of_member(&found, &member(m)).map(|v| v.name.as_str());
        assert_eq!([id(1), id(2), id(3)], [Some("s_d1"), Some("cut"), None]);
    }

    #[test]
    fn older_is_what_surely_is() {
        let clock = Clock { earliest: -10, latest: 10, best: 0, contradictory: false };
        let asker = Asker { clock: Some(clock), since: Some(1_000), ..Asker::default() };
        assert!(asker.is_older(Some(989)) && !asker.is_older(Some(990)) && !asker.is_older(None));
        assert!(!Asker { clock: None, ..asker.clone() }.is_older(Some(1)));
        assert!(!Asker { since: None, ..asker }.is_older(Some(1)));
    }
}
