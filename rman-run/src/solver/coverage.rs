//! The redo: which logs there are of which thread, and which parts of the SCN line they cover without a hole.

use std::collections::BTreeMap;

use super::catalogue::{Catalogue, LogItem, Scn, OPEN_END};
use super::path::Path;

/// One archived log on the path, however many copies of it there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    pub sequence: u64,
    pub first: Scn,
    /// Cut where the next incarnation branched off.
    pub next: Scn,
    /// Indexes into [`Catalogue::logs`] of the copies that can be used.
    pub copies: Vec<u32>,
}

/// The redo of one thread in one incarnation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lane {
    /// Index into [`Path::segments`].
    pub segment: usize,
    pub thread: u32,
    /// The thread was enabled from `lo` to below `hi`, as far as this incarnation goes.
    pub ranges: Vec<(Scn, Scn)>,
    /// In the order of their SCNs.
    pub logs: Vec<Log>,
}

/// Redo that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hole {
    pub from: Scn,
    pub to: Scn,
    /// Index into [`Coverage::lanes`].
    pub lane: usize,
}

/// All redo of the path.
#[derive(Debug, Clone, Default)]
pub struct Coverage {
    pub lanes: Vec<Lane>,
    /// `[from, to)` in ascending order and never touching: within one, every thread has all its redo.
    pub intervals: Vec<(Scn, Scn)>,
    /// In ascending order.
    pub holes: Vec<Hole>,
}

impl Coverage {
    /// With `all`, logs in sets that cannot be read count as if they could.
    pub fn of(catalogue: &Catalogue, path: &Path, all: bool) -> Self {
        let mut lanes = lanes(catalogue, path);
        logs(catalogue, path, &mut lanes, all);
        let mut holes = Vec::new();
        for (index, lane) in lanes.iter().enumerate() {
            for &(lo, hi) in &lane.ranges {
                let mut at = lo;
                for log in &lane.logs {
                    if log.next <= at {
                        continue;
                    }
                    if log.first >= hi {
                        break;
                    }
                    if log.first > at {
                        holes.push(Hole { from: at, to: log.first, lane: index });
                    }
                    at = log.next;
                }
                if at < hi {
                    holes.push(Hole { from: at, to: hi, lane: index });
                }
            }
        }
        // Where all threads were disabled nobody asks for more, and still there is no more.
        let end = lanes.iter().flat_map(|l| &l.logs).map(|l| l.next).max();
        let from = end.or(path.segments.last().map(|s| s.resetlogs)).unwrap_or(0);
        if !lanes.is_empty() && !holes.iter().any(|h| h.to == Scn::MAX) {
            holes.push(Hole { from, to: Scn::MAX, lane: lanes.len() - 1 });
        }
        holes.sort_unstable();
        let mut intervals = Vec::new();
        let mut at = path.segments.first().map_or(0, |s| s.resetlogs);
        for hole in &holes {
            if hole.from > at {
                intervals.push((at, hole.from));
            }
            at = at.max(hole.to);
        }
        Self { lanes, intervals, holes }
    }

    /// From where on the redo below `end` is whole; `end` itself when there is none.
    pub fn start(&self, end: Scn) -> Scn {
        let i = self.intervals.partition_point(|&(from, _)| from < end);
        match i.checked_sub(1).and_then(|i| self.intervals.get(i)) {
            Some(&(from, to)) if end <= to => from,
            _ => end,
        }
    }

    /// The lowest hole that recovery from `from` to `end` would meet.
    pub fn hole(&self, from: Scn, end: Scn) -> Option<&Hole> {
        self.holes.iter().find(|h| h.from.max(from) < h.to.min(end))
    }

    /// The logs that recovery from `from` to `end` reads, as (lane, index of the log).
    pub fn needed(&self, from: Scn, end: Scn) -> Vec<(usize, usize)> {
        let mut needed = Vec::new();
        for (index, lane) in self.lanes.iter().enumerate() {
            let begin = lane.logs.partition_point(|l| l.next <= from);
            for (i, log) in lane.logs.iter().enumerate().skip(begin) {
                if log.first >= end {
                    break;
                }
                let (lo, hi) = (log.first.max(from), log.next.min(end));
                if lane.ranges.iter().any(|&(a, b)| a.max(lo) < b.min(hi)) {
                    needed.push((index, i));
                }
            }
        }
        needed
    }
}

/// What a control file says of a thread, and until when it was seen.
struct Seen {
    disabled: Option<Scn>,
    checkpoint: Scn,
}

/// The threads of each incarnation with the ranges of SCNs in which they were enabled.
fn lanes(catalogue: &Catalogue, path: &Path) -> Vec<Lane> {
    let mut lanes = Vec::new();
    let mut facts: Vec<BTreeMap<(u32, Scn), Seen>> = path.segments.iter().map(|_| BTreeMap::new()).collect();
    let mut last_seen: Vec<Scn> = vec![0; path.segments.len()];
    for item in &catalogue.controlfiles {
        let Some(segment) = path.segments.iter().position(|s| s.resetlogs == item.resetlogs) else {
            continue;
        };
        let Some(structure) = item.structure.and_then(|s| catalogue.structures.get(s as usize)) else {
            continue;
        };
        last_seen[segment] = last_seen[segment].max(item.checkpoint);
        for thread in &structure.threads {
            let seen = facts[segment]
                .entry((thread.thread, thread.enabled))
                .or_insert(Seen { disabled: thread.disabled, checkpoint: item.checkpoint });
            if item.checkpoint >= seen.checkpoint {
                *seen = Seen { disabled: thread.disabled, checkpoint: item.checkpoint };
            }
        }
    }
    // Thread -> (lowest first, highest next) of its logs, usable or not.
    let mut spans: Vec<BTreeMap<u32, (Scn, Scn)>> = path.segments.iter().map(|_| BTreeMap::new()).collect();
    for (segment, _, log) in on_path(catalogue, path) {
        let span = spans[segment].entry(log.thread).or_insert((log.first, log.next));
        *span = (span.0.min(log.first), span.1.max(log.next));
    }
    for (index, segment) in path.segments.iter().enumerate() {
        let mut ranges: BTreeMap<u32, Vec<(Scn, Scn)>> = BTreeMap::new();
        let seen: Vec<_> = facts[index].iter().collect();
        for (i, ((thread, enabled), seen_at)) in seen.iter().enumerate() {
            let again = seen.get(i + 1).is_some_and(|((next, _), _)| next == thread);
            let hi = match seen_at.disabled {
                Some(scn) => scn,
                // Enabled anew later, so it was disabled at a moment that nobody has written down.
                None if again => seen_at.checkpoint,
                None => Scn::MAX,
            };
            let (lo, hi) = ((*enabled).max(segment.resetlogs), hi.min(segment.end));
            if lo < hi {
                ranges.entry(*thread).or_default().push((lo, hi));
            }
        }
        for (thread, (first, next)) in &spans[index] {
            if facts[index].keys().any(|(t, _)| t == thread) {
                continue;
            }
            // No control file of this incarnation knows it: it came after the last of them, or there are none.
            let later = facts[index].is_empty() || *first >= last_seen[index];
            let hi = if later { segment.end } else { (*next).min(segment.end) };
            let lo = (*first).max(segment.resetlogs);
            if lo < hi {
                ranges.entry(*thread).or_default().push((lo, hi));
            }
        }
        // At any moment at least one thread is open.
        let lowest = ranges.iter().min_by_key(|(_, r)| r.first().map(|r| r.0)).map(|(t, _)| *t);
        match lowest.and_then(|t| ranges.get_mut(&t)).and_then(|r| r.first_mut()) {
            Some(range) => range.0 = segment.resetlogs,
            None if segment.resetlogs < segment.end => {
                ranges.insert(1, vec![(segment.resetlogs, segment.end)]);
            }
            None => {}
        }
        for (thread, ranges) in ranges {
            lanes.push(Lane { segment: index, thread, ranges, logs: Vec::new() });
        }
    }
    lanes
}

/// The logs that belong to an incarnation of the path.
fn on_path<'a>(catalogue: &'a Catalogue, path: &'a Path) -> impl Iterator<Item = (usize, u32, &'a LogItem)> {
    catalogue.logs.iter().enumerate().filter_map(|(number, log)| {
        let index = path.segments.iter().position(|s| s.resetlogs == log.resetlogs)?;
        let segment = path.segments.get(index)?;
        let other = matches!((segment.id, log.resetlogs_id), (Some(a), Some(b)) if a != b);
        let useful = !other && log.next < OPEN_END && log.first < log.next && log.first < segment.end;
        useful.then_some((index, number as u32, log))
    })
}

fn logs(catalogue: &Catalogue, path: &Path, lanes: &mut [Lane], all: bool) {
    let mut by_lane: BTreeMap<(usize, u32), usize> = BTreeMap::new();
    for (i, lane) in lanes.iter().enumerate() {
        by_lane.insert((lane.segment, lane.thread), i);
    }
    let mut found: Vec<Vec<(u64, u32)>> = lanes.iter().map(|_| Vec::new()).collect();
    for (segment, index, log) in on_path(catalogue, path) {
        if !(all || catalogue.available(log.set)) {
            continue;
        }
        let Some(&lane) = by_lane.get(&(segment, log.thread)) else { continue };
        found[lane].push((log.sequence, index));
    }
    for (lane, mut list) in lanes.iter_mut().zip(found) {
        let Some(segment) = path.segments.get(lane.segment) else { continue };
        list.sort_unstable();
        for (sequence, index) in list {
            let Some(item) = catalogue.logs.get(index as usize) else { continue };
            match lane.logs.last_mut() {
                Some(last) if last.sequence == sequence => last.copies.push(index),
                _ => lane.logs.push(Log {
                    sequence,
                    first: item.first,
                    next: item.next.min(segment.end),
                    copies: vec![index],
                }),
            }
        }
    }
}
