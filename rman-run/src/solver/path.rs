//! The incarnations that lead to the target.

use std::collections::BTreeMap;

use super::catalogue::{Catalogue, Incarnation, Scn};

/// One incarnation on the way, with the part of the SCN line that is its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    pub resetlogs: Scn,
    pub id: Option<u64>,
    /// Where its child branched off; `Scn::MAX` for the last.
    pub end: Scn,
}

/// From the first known ancestor to the current incarnation, in the order of their SCNs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Path {
    pub segments: Vec<Segment>,
}

impl Path {
    /// The path to the incarnation that was opened last.
    ///
    /// RESETLOGS_ID grows with real time, RESETLOGS_CHANGE# does not: after a second point-in-time recovery the orphan
    /// may have the higher SCN.
    pub fn of(catalogue: &Catalogue) -> Self {
        let known = incarnations(catalogue);
        let Some(current) = known.values().max_by_key(|i| (i.id, i.resetlogs)) else {
            return Self::default();
        };
        let mut segments = Vec::new();
        let mut next = Some(*current);
        let mut end = Scn::MAX;
        while let Some(i) = next {
            segments.push(Segment { resetlogs: i.resetlogs, id: Some(i.id).filter(|id| *id != 0), end });
            end = i.resetlogs;
            // A cycle in the records would never end.
            let prior = i.prior.filter(|p| *p < i.resetlogs);
            let unknown = |resetlogs| Incarnation { resetlogs, id: 0, prior: None };
            next = prior.map(|p| known.get(&p).copied().unwrap_or_else(|| unknown(p)));
        }
        segments.reverse();
        Self { segments }
    }

    pub fn find(&self, resetlogs: Scn) -> Option<&Segment> {
        self.segments.iter().find(|s| s.resetlogs == resetlogs)
    }
}

/// All incarnations that anything tells of. Where no control file tells, each is taken as the child of the one below.
fn incarnations(catalogue: &Catalogue) -> BTreeMap<Scn, Incarnation> {
    let mut known: BTreeMap<Scn, Incarnation> = BTreeMap::new();
    let mut told = false;
    for fact in catalogue.structures.iter().flat_map(|s| &s.incarnations) {
        told = true;
        let entry = known.entry(fact.resetlogs).or_insert(*fact);
        // Two resets to one SCN: the younger one is meant.
        if fact.id > entry.id {
            *entry = *fact;
        } else if fact.id == entry.id && entry.prior.is_none() {
            entry.prior = fact.prior;
        }
    }
    let mut from_contents: BTreeMap<Scn, u64> = BTreeMap::new();
    let datafiles = catalogue.datafiles.iter().map(|d| (d.resetlogs, None));
    let controlfiles = catalogue.controlfiles.iter().map(|c| (c.resetlogs, None));
    for (resetlogs, id) in
        catalogue.logs.iter().map(|l| (l.resetlogs, l.resetlogs_id)).chain(datafiles).chain(controlfiles)
    {
        let entry = from_contents.entry(resetlogs).or_default();
        *entry = (*entry).max(id.unwrap_or(0));
    }
    let mut below = None;
    for (resetlogs, id) in from_contents {
        let newer = known.iter().all(|(r, i)| if id != 0 { i.id < id } else { *r < resetlogs });
        if !known.contains_key(&resetlogs) && (!told || newer) {
            let parent = if told {
                known.values().max_by_key(|i| (i.id, i.resetlogs)).map(|i| i.resetlogs)
            } else {
                below
            };
            known.insert(resetlogs, Incarnation { resetlogs, id, prior: parent.filter(|p| *p < resetlogs) });
        }
        below = Some(resetlogs);
    }
    known
}

#[cfg(test)]
mod tests {
    use super::super::catalogue::{LogItem, Structure};
    use super::*;

    fn catalogue(list: &[(Scn, u64, Option<Scn>)]) -> Catalogue {
        let mut catalogue = Catalogue::default();
        let incarnations =
            list.iter().map(|&(resetlogs, id, prior)| Incarnation { resetlogs, id, prior }).collect();
        catalogue.intern(Structure { incarnations, ..Structure::default() });
        catalogue
    }

    fn scns(path: &Path) -> Vec<(Scn, Scn)> {
        path.segments.iter().map(|s| (s.resetlogs, s.end)).collect()
    }

    #[test]
    fn an_orphan_with_a_higher_scn_is_left_out() {
        let path = Path::of(&catalogue(&[(1, 10, None), (500, 20, Some(1)), (300, 30, Some(1))]));
        assert_eq!(scns(&path), [(1, 300), (300, Scn::MAX)]);
    }

    #[test]
    fn a_child_that_only_its_logs_tell_of_is_the_child_of_the_youngest() {
        let mut catalogue = catalogue(&[(1, 10, None)]);
        catalogue.logs.push(LogItem { resetlogs: 400, resetlogs_id: Some(40), ..LogItem::default() });
        assert_eq!(scns(&Path::of(&catalogue)), [(1, 400), (400, Scn::MAX)]);
    }

    #[test]
    fn incarnations_that_point_at_each_other_end() {
        let path = Path::of(&catalogue(&[(1, 10, Some(300)), (300, 30, Some(1))]));
        assert_eq!(scns(&path), [(1, 300), (300, Scn::MAX)]);
    }
}
