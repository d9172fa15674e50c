//! The same question answered by trying everything: every subset of the sets, every SCN by itself.

use std::collections::BTreeSet;

use super::catalogue::{ControlfileItem, Scn, Structure};
use super::random::World;

/// The way to the present: (resetlogs, id, end).
pub struct Brute<'a> {
    world: &'a World,
    way: Vec<(Scn, u64, Scn)>,
}

/// A control file with what is needed of it.
#[derive(Clone, Copy)]
pub struct Usable<'a> {
    pub index: usize,
    pub item: &'a ControlfileItem,
    pub structure: &'a Structure,
    pub ceiling: Scn,
    segment: usize,
}

impl<'a> Brute<'a> {
    pub fn new(world: &'a World) -> Self {
        let mut way = Vec::new();
        let mut end = Scn::MAX;
        let mut at = world.incarnations.iter().max_by_key(|i| i.id).copied();
        while let Some(i) = at {
            way.push((i.resetlogs, i.id, end));
            end = i.resetlogs;
            at = i
                .prior
                .and_then(|p| world.incarnations.iter().filter(|k| k.resetlogs == p).max_by_key(|k| k.id))
                .copied();
        }
        way.reverse();
        Self { world, way }
    }

    fn segment(&self, scn: Scn) -> usize {
        self.way.iter().take_while(|(_, _, end)| scn > *end).count()
    }

    fn index_of(&self, resetlogs: Scn) -> Option<usize> {
        self.way.iter().position(|(r, _, _)| *r == resetlogs)
    }

    pub fn required(&self, scn: Scn) -> BTreeSet<(u32, Scn)> {
        let at = self.segment(scn);
        let mut files = BTreeSet::new();
        let mut last: Option<(usize, Scn, usize)> = None;
        for (i, (item, structure)) in self.world.controlfiles.iter().enumerate() {
            let Some(segment) = self.index_of(item.resetlogs) else { continue };
            if segment > at || (segment == at && item.checkpoint > scn) {
                files.extend(structure.files.iter().map(|f| (f.file, f.creation)));
            } else if segment == at || item.checkpoint <= self.way[segment].2 {
                last = last.max(Some((segment, item.checkpoint, i)));
            }
        }
        if let Some((_, _, i)) = last {
            files.extend(self.world.controlfiles[i].1.files.iter().map(|f| (f.file, f.creation)));
        }
        // What was there at a branch is there after it, until a control file says that it is not.
        for (item, structure) in &self.world.controlfiles {
            let Some(segment) = self.index_of(item.resetlogs) else { continue };
            let end = self.way[segment].2;
            if segment < at && item.checkpoint > end && last.is_none_or(|l| l.0 <= segment) {
                files.extend(
                    structure.files.iter().filter(|f| f.creation < end).map(|f| (f.file, f.creation)),
                );
            }
        }
        for (item, _) in &self.world.datafiles {
            let on = self.index_of(item.resetlogs).is_some_and(|s| item.checkpoint <= self.way[s].2);
            if on && (scn <= item.checkpoint || last.is_some_and(|l| item.creation >= l.1)) {
                files.insert((item.file, item.creation));
            }
        }
        files.into_iter().filter(|(_, creation)| *creation < scn).collect()
    }

    /// The control files that would do, the best first.
    pub fn controlfiles(&self, scn: Scn, required: &BTreeSet<(u32, Scn)>) -> Vec<Usable<'a>> {
        let at = self.segment(scn);
        let mut list = Vec::new();
        'each: for (index, (item, structure)) in self.world.controlfiles.iter().enumerate() {
            let Some(segment) = self.index_of(item.resetlogs) else { continue };
            if segment < at && item.checkpoint > self.way[segment].2 {
                continue;
            }
            if !self.world.sets[item.set as usize].available {
                continue;
            }
            let mut ceiling = Scn::MAX;
            for file in required {
                if !structure.files.iter().any(|f| (f.file, f.creation) == *file) {
                    if file.1 < item.checkpoint {
                        continue 'each;
                    }
                    ceiling = ceiling.min(file.1);
                }
            }
            list.push(Usable { index, item, structure, ceiling, segment });
        }
        let rank = |s: usize| {
            if s == at {
                0
            } else if s > at {
                1
            } else {
                2
            }
        };
        list.sort_by_key(|u| {
            (
                rank(u.segment),
                std::cmp::Reverse(u.segment),
                std::cmp::Reverse(u.item.checkpoint),
                std::cmp::Reverse(u.index),
            )
        });
        list
    }

    /// Whether the sets in `subset` and the logs on disk bring all files to `scn`.
    pub fn works(
        &self,
        subset: &dyn Fn(u32) -> bool,
        scn: Scn,
        with: &Usable<'_>,
        required: &BTreeSet<(u32, Scn)>,
    ) -> bool {
        let empty = self.without_backup(scn, with, required);
        required.iter().all(|id| self.comes(subset, scn, with, *id, empty.contains(id)))
    }

    /// The files that have no usable backup: these alone are made empty and filled by redo.
    fn without_backup(
        &self,
        scn: Scn,
        with: &Usable<'_>,
        required: &BTreeSet<(u32, Scn)>,
    ) -> BTreeSet<(u32, Scn)> {
        required.iter().copied().filter(|id| !self.comes(&|_| true, scn, with, *id, false)).collect()
    }

    fn comes(
        &self,
        subset: &dyn Fn(u32) -> bool,
        scn: Scn,
        with: &Usable<'_>,
        id: (u32, Scn),
        empty: bool,
    ) -> bool {
        let has = |set: u32| {
            self.world.sets[set as usize].available && (self.world.sets[set as usize].on_disk || subset(set))
        };
        let at = self.segment(scn);
        let start = self.start(&has, scn);
        {
            let fact = with.structure.files.iter().find(|f| (f.file, f.creation) == id);
            let usable = |d: &super::catalogue::DatafileItem| {
                let way = self.index_of(d.resetlogs).map(|s| self.way[s].2);
                has(d.set)
                    && (d.file, d.creation) == id
                    && way.is_some_and(|end| d.checkpoint <= end && d.fuzzy < end)
                    && d.checkpoint <= scn.min(with.ceiling)
                    && d.fuzzy < scn
                    && fact.is_some()
            };
            let items: Vec<_> = self.world.datafiles.iter().map(|(d, _)| d).filter(|d| usable(d)).collect();
            // All states that can be reached, until there are no more.
            let mut states: BTreeSet<Scn> = BTreeSet::new();
            loop {
                let before = states.len();
                for d in &items {
                    let whole = d.incremental == 0 || d.incremental <= d.creation;
                    if whole || states.iter().any(|s| d.incremental <= *s && *s < d.checkpoint) {
                        states.insert(d.checkpoint);
                    }
                }
                if states.len() == before {
                    break;
                }
            }
            let reaches = |state: &Scn| match fact.and_then(|f| f.read_only_since) {
                Some(since) if since <= scn && *state >= since => {
                    with.segment > at || with.item.checkpoint >= start || *state >= start
                }
                _ => *state >= start,
            };
            let made = empty && id.0 != 1 && id.1 >= start;
            states.iter().any(reaches) || made
        }
    }

    /// From where on every thread has all its redo below `scn`; `scn` when there is none.
    fn start(&self, has: &dyn Fn(u32) -> bool, scn: Scn) -> Scn {
        let mut start = scn;
        while start > self.way[0].0 && self.covered(has, start - 1) {
            start -= 1;
        }
        start
    }

    fn covered(&self, has: &dyn Fn(u32) -> bool, scn: Scn) -> bool {
        let (resetlogs, id, _) = self.way[self.segment(scn + 1)];
        [1, 2].into_iter().filter(|t| self.world.thread_open(*t, scn)).all(|thread| {
            self.world.logs.iter().any(|l| {
                has(l.set)
                    && (l.thread, l.resetlogs, l.resetlogs_id) == (thread, resetlogs, Some(id))
                    && l.first <= scn
                    && scn < l.next
            })
        })
    }

    /// Whether anything at all reaches it.
    pub fn reachable(&self, scn: Scn) -> bool {
        let required = self.required(scn);
        !required.is_empty()
            && self.controlfiles(scn, &required).iter().any(|c| self.works(&|_| true, scn, c, &required))
    }

    /// The least (bytes, pieces) for the control files that the rules allow.
    pub fn least(&self, scn: Scn) -> Option<(u64, u32)> {
        let required = self.required(scn);
        let usable = self.controlfiles(scn, &required);
        let heavy = |set: u32| {
            self.world.datafiles.iter().any(|(d, _)| d.set == set)
                || self.world.logs.iter().any(|l| l.set == set)
        };
        let first = usable.iter().find(|c| self.works(&|_| true, scn, c, &required))?;
        let mut choices = vec![*first];
        let lighter = usable.iter().find(|c| {
            c.structure == first.structure
                && c.segment == first.segment
                && !heavy(c.item.set)
                && self.works(&|_| true, scn, c, &required)
        });
        if heavy(first.item.set) {
            choices.extend(lighter);
        }
        let costly: Vec<u32> = (0..self.world.sets.len() as u32)
            .filter(|s| !self.world.sets[*s as usize].on_disk && self.world.sets[*s as usize].available)
            .collect();
        let mut best: Option<(u64, u32)> = None;
        for choice in choices {
            let others: Vec<u32> =
                costly.iter().copied().filter(|s| *s != choice.item.set && heavy(*s)).collect();
            for subset in 0u32..1 << others.len() {
                let chosen = |set: u32| {
                    set == choice.item.set
                        || others.iter().position(|s| *s == set).is_some_and(|i| subset >> i & 1 == 1)
                };
                let of = |s: u32| &self.world.sets[s as usize];
                let mut cost = (of(choice.item.set).bytes, of(choice.item.set).pieces);
                for set in others.iter().copied().filter(|s| chosen(*s)) {
                    cost = (cost.0 + of(set).bytes, cost.1 + of(set).pieces);
                }
                if best.is_none_or(|b| cost < b) && self.works(&chosen, scn, &choice, &required) {
                    best = Some(cost);
                }
            }
        }
        best
    }
}
