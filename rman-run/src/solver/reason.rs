//! Why a target cannot be reached: the smallest thing that is missing.

use super::catalogue::{Catalogue, Scn};
use super::choose::{reached, NOTHING};
use super::coverage::{Coverage, Hole};
use super::files::{Aim, Context, FileId, Lack};
use super::path::Path;

/// A set that would be needed and cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unreadable {
    pub stamp: u64,
    pub count: u64,
    pub piece: u32,
    pub pieces: u32,
    /// Index into [`Catalogue::sets`].
    pub set: u32,
}

/// What is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// Nothing in the input tells what it holds.
    Nothing,
    /// No backup tells of any datafile at the target.
    NoFiles { scn: Scn },
    /// No control file that knows the files of the target.
    Controlfile { scn: Scn, unreadable: Option<Unreadable> },
    /// A datafile without a base.
    Datafile { file: u32, scn: Scn, unreadable: Option<Unreadable> },
    /// Redo.
    Log {
        thread: u32,
        resetlogs_id: Option<u64>,
        /// First and last missing sequence, where the neighbours tell.
        from: Option<u64>,
        to: Option<u64>,
        /// The SCNs of the hole; `hi` is `Scn::MAX` when nothing follows.
        lo: Scn,
        hi: Scn,
        unreadable: Option<Unreadable>,
    },
    /// No log of this thread and sequence is known.
    Sequence { thread: u32, sequence: u64 },
    /// All that is known is before this time.
    Time { time: i64, last: Option<i64> },
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let because = |u: &Option<Unreadable>| {
            u.map(|u| {
                format!(
                    ": piece {} of {} of backup set {} (stamp {}) is missing or damaged",
                    u.piece, u.pieces, u.count, u.stamp
                )
            })
            .unwrap_or_default()
        };
        match self {
            Self::Nothing => write!(f, "the input tells of no backup"),
            Self::NoFiles { scn } => write!(f, "there is no backup of any datafile before SCN {scn}"),
            Self::Controlfile { scn, unreadable } => {
                write!(f, "there is no control file with the datafiles of SCN {scn}{}", because(unreadable))
            }
            Self::Datafile { file, scn, unreadable } => {
                write!(
                    f,
                    "datafile {file} has no full or level 0 backup before SCN {scn}{}",
                    because(unreadable)
                )
            }
            Self::Log { thread, from, to, lo, hi, unreadable, .. } => {
                let scns = match *hi {
                    Scn::MAX => format!("from SCN {lo} on"),
                    hi => format!("SCN {lo} to {hi}"),
                };
                let which = match (from, to) {
                    (Some(a), Some(b)) if a == b => format!("sequence {a} is missing ({scns})"),
                    (Some(a), Some(b)) => format!("sequences {a} to {b} are missing ({scns})"),
                    (Some(a), None) => format!("sequence {a} and what follows are missing ({scns})"),
                    (None, Some(b)) => format!("sequence {b} and what comes before it are missing ({scns})"),
                    (None, None) => format!("redo is missing ({scns})"),
                };
                write!(f, "thread {thread} {which}{}", because(unreadable))
            }
            Self::Sequence { thread, sequence } => {
                write!(f, "thread {thread} sequence {sequence} is not known")
            }
            Self::Time { time, last } => {
                let last =
                    last.map(|t| format!(", it ends at {}", super::times::text(t))).unwrap_or_default();
                write!(f, "nothing is known of {}{last}", super::times::text(*time))
            }
        }
    }
}

/// The SCN at which a log begins.
///
/// # Errors
/// Neither it nor the one before it is known in any incarnation of the path.
pub fn sequence(catalogue: &Catalogue, path: &Path, thread: u32, sequence: u64) -> Result<Aim, Reason> {
    for segment in path.segments.iter().rev() {
        let mut of_thread = catalogue.logs.iter().filter(|l| {
            let other = matches!((segment.id, l.resetlogs_id), (Some(a), Some(b)) if a != b);
            l.resetlogs == segment.resetlogs && l.thread == thread && !other
        });
        let begin = of_thread.find_map(|l| match l.sequence {
            s if s == sequence => Some(l.first),
            s if s + 1 == sequence => Some(l.next),
            _ => None,
        });
        // Beyond the branch it is of a future that was given up.
        if let Some(scn) = begin.filter(|scn| *scn <= segment.end) {
            return Ok(Aim::scn(scn));
        }
    }
    Err(Reason::Sequence { thread, sequence })
}

/// Why the target cannot be reached. Only to be asked when it cannot.
pub fn reason(context: &Context<'_>, light: &[bool], aim: Aim) -> Reason {
    let every = Context::new(context.catalogue, true);
    let required = context.required(aim);
    if required.is_empty() {
        return Reason::NoFiles { scn: aim.base };
    }
    let candidates = context.candidates(aim, &required, light);
    let Some(&candidate) = candidates.first() else {
        let with_all = every.candidates(aim, &required, light);
        let set = with_all.first().map(|c| context.catalogue.controlfiles[c.item].set);
        return Reason::Controlfile {
            scn: aim.end,
            unreadable: set.and_then(|s| unreadable(context.catalogue, s)),
        };
    };
    let real_start = context.coverage.start(aim.end);
    let demands = match context.demands(aim, 0, Some(candidate), &required) {
        Err(Lack::Chain(id) | Lack::Redo(id, _)) => return without_chain(&every, aim, id),
        Ok(demands) => demands,
    };
    let mut lowest = aim.end;
    for (id, demand) in demands.files.iter().zip(&demands.demands) {
        let ok = reached(&demand.elements);
        let chained = demand.elements.iter().zip(&ok).filter(|(_, ok)| **ok);
        let state = chained.clone().map(|(e, _)| e.state).max().unwrap_or(0);
        let made = demand.elements.iter().all(|e| e.item == NOTHING);
        if made && state < real_start {
            return without_chain(&every, aim, *id);
        }
        lowest = lowest.min(state);
    }
    match context.coverage.hole(lowest, aim.end) {
        Some(hole) => log(context, &every, hole, lowest, aim.end),
        None => Reason::NoFiles { scn: aim.base },
    }
}

fn without_chain(every: &Context<'_>, aim: Aim, id: FileId) -> Reason {
    let one = std::iter::once(id).collect();
    let mut set = None;
    if let Ok(demands) = every.demands(aim, 0, None, &one) {
        let elements = demands.demands.first().map(|d| d.elements.as_slice()).unwrap_or_default();
        let ok = reached(elements);
        // The newest base that would do.
        let bases = elements.iter().zip(&ok).filter(|(e, _)| e.base && e.item != NOTHING);
        set = bases.map(|(e, _)| e.set).rfind(|s| !every.catalogue.available(*s));
    }
    Reason::Datafile {
        file: id.0,
        scn: aim.base,
        unreadable: set.and_then(|s| unreadable(every.catalogue, s)),
    }
}

fn log(context: &Context<'_>, every: &Context<'_>, hole: &Hole, from: Scn, end: Scn) -> Reason {
    let lane = &context.coverage.lanes[hole.lane];
    let segment = &context.path.segments[lane.segment];
    let (lo, hi) = (hole.from.max(from), hole.to.min(segment.end));
    let before = lane.logs.iter().rev().find(|l| l.next <= hole.from).map(|l| l.sequence + 1);
    let after = lane.logs.iter().find(|l| l.first >= hole.to).map(|l| l.sequence.saturating_sub(1));
    let mut reason = Reason::Log {
        thread: lane.thread,
        resetlogs_id: segment.id,
        from: before,
        to: after,
        lo,
        hi: if hi >= end && after.is_none() { Scn::MAX } else { hi },
        unreadable: None,
    };
    // A log that is known and cannot be read is named alone.
    let same =
        |c: &Coverage| c.lanes.iter().position(|l| (l.segment, l.thread) == (lane.segment, lane.thread));
    let known = same(&every.coverage)
        .and_then(|i| every.coverage.lanes[i].logs.iter().find(|l| l.first <= lo && lo < l.next));
    if let (Some(known), Reason::Log { from, to, lo, hi, unreadable: why, .. }) = (known, &mut reason) {
        (*from, *to) = (Some(known.sequence), Some(known.sequence));
        (*lo, *hi) = (known.first, known.next);
        let copies = known.copies.iter().map(|i| context.catalogue.logs[*i as usize].set);
        *why = copies.filter_map(|s| unreadable(context.catalogue, s)).next();
    }
    reason
}

fn unreadable(catalogue: &Catalogue, set: u32) -> Option<Unreadable> {
    let found = catalogue.sets.get(set as usize).filter(|s| !s.available)?;
    Some(Unreadable {
        stamp: found.stamp,
        count: found.count,
        piece: found.lacking,
        pieces: found.pieces,
        set,
    })
}
