//! Taking snapshots, on a thread that nobody has to wait for.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{channel, Receiver};
use std::sync::Arc;

use common::infinibox::{ApiError, Array, Kind, NewCgSnapshot, NewGroupSnapshot, NewSnapshot, Volume};

use crate::marks::Marks;
use crate::plan::{Half, How, Member};

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
    stop: Arc<AtomicBool>,
}

impl Taking {
    /// `limited` bounds the snapshots; `array` the marks, which may come after END BACKUP.
    pub fn start(limited: &Array, array: &Array, half: &Half, lock: Option<i64>, marks: Marks) -> Self {
        let (tx, told) = channel();
        let stop = Arc::new(AtomicBool::new(false));
        let (limited, array, half, theirs) =
            (limited.clone(), array.clone(), half.clone(), Arc::clone(&stop));
        std::thread::spawn(move || {
            let shots = take(&limited, &half, lock, &theirs);
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
        Self { told, stop }
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

fn take(array: &Array, half: &Half, lock: Option<i64>, stop: &AtomicBool) -> Vec<Shot> {
    match &half.how {
        How::Single | How::Separate => each(&half.members, |member| Shot {
            member: member.clone(),
            fate: single(array, member, lock, stop),
        }),
        How::Group => group(array, half, stop),
        How::Cg { id, name, .. } => {
            let new = NewCgSnapshot {
                parent_id: *id,
                name: name.clone(),
                snap_prefix: half.prefix(),
                snap_suffix: String::new(),
                lock_expires_at: lock,
            };
            let look = || Ok(array.cg_named(name)?.filter(|c| c.parent() == Some(*id)));
            let fate = match insist(stop, || array.snapshot_cg(&new), look) {
                Ok(_) => Fate::InGroup,
                Err(fate) => fate,
            };
            half.members.iter().map(|m| Shot { member: m.clone(), fate: fate.clone() }).collect()
        }
    }
}

fn single(array: &Array, member: &Member, lock: Option<i64>, stop: &AtomicBool) -> Fate {
    let new = NewSnapshot {
        parent_id: member.volume_id,
        name: member.name.clone(),
        write_protected: true,
        lock_expires_at: lock,
    };
    match insist(stop, || array.snapshot(&new), || find(array, member)) {
        Ok(volume) => Fate::Taken(Box::new(volume)),
        Err(fate) => fate,
    }
}

fn group(array: &Array, half: &Half, stop: &AtomicBool) -> Vec<Shot> {
    let new = NewGroupSnapshot {
        prefix: half.prefix(),
        suffix: String::new(),
        volumes: half.members.iter().map(|m| m.volume_id).collect(),
    };
    // All or nothing: one instant.
    let look = || {
        let found: Vec<Option<Volume>> =
            each(&half.members, |m| find(array, m)).into_iter().collect::<Result<_, ApiError>>()?;
        Ok(found.into_iter().collect::<Option<Vec<Volume>>>())
    };
    let taken = insist(stop, || array.group_snapshot(&new), look);
    half.members
        .iter()
        .map(|member| {
            let fate = match &taken {
                Ok(found) => match found.iter().find(|v| v.parent() == Some(member.volume_id)) {
                    Some(volume) => Fate::Taken(Box::new(volume.clone())),
                    None => Fate::Doubtful("the array's answer does not name it".to_owned()),
                },
                Err(fate) => fate.clone(),
            };
            Shot { member: member.clone(), fate }
        })
        .collect()
}

/// The snapshot of this name, if it is one of this volume.
pub fn find(array: &Array, member: &Member) -> Result<Option<Volume>, ApiError> {
    Ok(array.volume_named(&member.name)?.filter(|v| v.parent() == Some(member.volume_id)))
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
