//! Which datafiles the target needs, which control files know them, and what chains they have.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::catalogue::{Catalogue, FileFact, Scn};
use super::choose::{reached, Demand, Element, NOTHING};
use super::coverage::Coverage;
use super::path::Path;

/// What "up to the target" means. For an SCN all three are that SCN; for a time the SCN is only known to lie between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Aim {
    /// Backups up to this checkpoint, with fuzzy SCNs below it, are of before the target.
    pub base: Scn,
    /// All redo below this SCN has to be there.
    pub end: Scn,
}

impl Aim {
    pub fn scn(scn: Scn) -> Self {
        Self { base: scn, end: scn }
    }
}

/// A datafile: FILE# alone may have belonged to a dropped one.
pub type FileId = (u32, Scn);

/// A control file that can be used, and what it lets be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// Index into [`Catalogue::controlfiles`].
    pub item: usize,
    /// Backups above it cannot be used: recovery has to pass the creation of a file that the control file lacks.
    pub ceiling: Scn,
}

/// The catalogue with what all targets have in common.
pub struct Context<'a> {
    pub catalogue: &'a Catalogue,
    pub path: Path,
    pub coverage: Coverage,
    /// Sets that cannot be read count as if they could.
    pub all: bool,
    /// Per FILE# the usable items in the order of their checkpoints.
    by_file: HashMap<u32, Vec<u32>>,
    /// (segment, checkpoint, item) of all control files on the path, readable or not, in this order.
    controlfiles: Vec<(usize, Scn, u32)>,
    /// Highest checkpoint per (segment, structure).
    structures: BTreeMap<(usize, u32), Scn>,
    /// All datafiles that backups on the path tell of, with the highest checkpoint of a backup.
    backed_up: BTreeMap<FileId, Scn>,
}

/// What stands in the way of a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lack {
    /// No chain ends at or below the target.
    Chain(FileId),
    /// The best chain of the file ends before the redo begins.
    Redo(FileId, Scn),
}

/// The demands of a target under one control file.
#[derive(Debug, Clone, Default)]
pub struct Demands {
    pub files: Vec<FileId>,
    /// In the order of `files`; items are indexes into [`Catalogue::datafiles`], [`NOTHING`] for a file that is made
    /// empty.
    pub demands: Vec<Demand>,
    /// Offline files without a usable backup: they stay behind.
    pub left_out: Vec<FileId>,
}

impl<'a> Context<'a> {
    pub fn new(catalogue: &'a Catalogue, all: bool) -> Self {
        let path = Path::of(catalogue);
        let coverage = Coverage::of(catalogue, &path, all);
        let segment_of: HashMap<Scn, usize> =
            path.segments.iter().enumerate().map(|(i, s)| (s.resetlogs, i)).collect();
        let mut by_file: HashMap<u32, Vec<u32>> = HashMap::new();
        let mut backed_up: BTreeMap<FileId, Scn> = BTreeMap::new();
        for (i, item) in catalogue.datafiles.iter().enumerate() {
            let segment = segment_of.get(&item.resetlogs).and_then(|s| path.segments.get(*s));
            // Beyond the branch its blocks are of a future that was given up.
            let Some(segment) = segment.filter(|s| item.checkpoint <= s.end) else { continue };
            if item.creation > 0 {
                let highest = backed_up.entry((item.file, item.creation)).or_insert(item.checkpoint);
                *highest = (*highest).max(item.checkpoint);
            }
            if item.highest() < segment.end && (all || catalogue.available(item.set)) {
                by_file.entry(item.file).or_default().push(i as u32);
            }
        }
        for list in by_file.values_mut() {
            list.sort_by_key(|i| (catalogue.datafiles[*i as usize].checkpoint, *i));
        }
        let mut controlfiles = Vec::new();
        let mut structures: BTreeMap<(usize, u32), Scn> = BTreeMap::new();
        for (i, item) in catalogue.controlfiles.iter().enumerate() {
            let Some(&segment) = segment_of.get(&item.resetlogs) else { continue };
            controlfiles.push((segment, item.checkpoint, i as u32));
            if let Some(structure) = item.structure {
                let highest = structures.entry((segment, structure)).or_default();
                *highest = (*highest).max(item.checkpoint);
            }
        }
        controlfiles.sort_unstable();
        Self { catalogue, path, coverage, all, by_file, controlfiles, structures, backed_up }
    }

    /// The incarnation in which the target lies.
    pub fn segment_of(&self, scn: Scn) -> usize {
        let found = self.path.segments.iter().position(|s| scn <= s.end);
        found.unwrap_or(self.path.segments.len().saturating_sub(1))
    }

    /// The state of an item's chain counts as this when the control file has the file so.
    pub fn facts(&self, candidate: Option<Candidate>, file: FileId) -> Option<FileFact> {
        let item = self.catalogue.controlfiles.get(candidate?.item)?;
        self.catalogue.structures.get(item.structure? as usize)?.file(file.0, file.1).copied()
    }

    /// The datafiles of the database at the target, as far as anything tells. One that may have been dropped before the
    /// target is among them: nothing must be lost because a control file is.
    pub fn required(&self, aim: Aim) -> BTreeSet<FileId> {
        let mut required = self.required_at(aim.end);
        if aim.base < aim.end {
            required.extend(self.required_at(aim.base));
        }
        required
    }

    fn required_at(&self, scn: Scn) -> BTreeSet<FileId> {
        let segment = self.segment_of(scn);
        let mut required = BTreeSet::new();
        if self.structures.is_empty() {
            return self.youngest(scn);
        }
        let mut add = |structure: u32, below: Scn| {
            let facts = self.catalogue.structures.get(structure as usize).into_iter().flat_map(|s| &s.files);
            required.extend(facts.filter(|f| f.creation < below).map(|f| (f.file, f.creation)));
        };
        let before = self.controlfiles.iter().rev().find_map(|&(s, checkpoint, item)| {
            let past =
                s < segment && checkpoint <= self.path.segments[s].end || s == segment && checkpoint <= scn;
            let structure = self.catalogue.controlfiles[item as usize].structure?;
            past.then_some((s, checkpoint, structure))
        });
        if let Some((_, _, structure)) = before {
            add(structure, scn);
        }
        let since = before.map_or(0, |(s, _, _)| s);
        for (&(s, structure), &highest) in &self.structures {
            if s > segment || (s == segment && highest > scn) {
                add(structure, scn);
            } else if s >= since && s < segment && highest > self.path.segments[s].end {
                // Written after the branch, in a future that was given up: its old files were there at the branch.
                add(structure, self.path.segments[s].end);
            }
        }
        let last = before.map(|(_, checkpoint, _)| checkpoint);
        for (&(file, creation), &highest) in &self.backed_up {
            let later = last.is_some_and(|last| creation >= last);
            if creation < scn && (scn <= highest || later) {
                required.insert((file, creation));
            }
        }
        required
    }

    /// Without any control file that tells: the youngest file of each number that has a backup.
    fn youngest(&self, scn: Scn) -> BTreeSet<FileId> {
        let mut youngest: BTreeMap<u32, Scn> = BTreeMap::new();
        for &(file, creation) in self.backed_up.keys().filter(|(_, creation)| *creation < scn) {
            youngest.insert(file, creation);
        }
        for (file, items) in &self.by_file {
            if items.iter().any(|i| self.catalogue.datafiles[*i as usize].checkpoint <= scn) {
                youngest.entry(*file).or_insert(0);
            }
        }
        youngest.into_iter().collect()
    }

    /// The control files that can be used, in the order in which they should be tried: per structure the newest, and
    /// the newest whose set holds neither datafiles nor logs. The same incarnation comes first, then the
    /// later ones, then the earlier ones; the newer before the older.
    pub fn candidates(&self, aim: Aim, required: &BTreeSet<FileId>, light: &[bool]) -> Vec<Candidate> {
        let segment = self.segment_of(aim.end);
        let mut seen: BTreeSet<(usize, Option<u32>, bool)> = BTreeSet::new();
        let mut found = Vec::new();
        let told = !self.structures.is_empty();
        // Per structure the lowest creation among the files that it lacks.
        let mut lacking: HashMap<u32, Scn> = HashMap::new();
        for &(s, checkpoint, item) in self.controlfiles.iter().rev() {
            let fact = &self.catalogue.controlfiles[item as usize];
            if !(self.all || self.catalogue.available(fact.set)) || (told && fact.structure.is_none()) {
                continue;
            }
            if s < segment && checkpoint > self.path.segments[s].end {
                continue;
            }
            let Some(ceiling) = self.ceiling(fact.structure, checkpoint, required, &mut lacking) else {
                continue;
            };
            let is_light = light.get(fact.set as usize).copied().unwrap_or(false);
            let (newest, lightest) = ((s, fact.structure, false), (s, fact.structure, true));
            // A light one that is the newest serves for both.
            let fresh =
                if is_light { seen.insert(lightest) | seen.insert(newest) } else { seen.insert(newest) };
            if !fresh {
                continue;
            }
            let rank = match s.cmp(&segment) {
                std::cmp::Ordering::Equal => 0,
                std::cmp::Ordering::Greater => 1,
                std::cmp::Ordering::Less => 2,
            };
            found.push((
                rank,
                std::cmp::Reverse((s, checkpoint)),
                Candidate { item: item as usize, ceiling },
            ));
        }
        found.sort_by_key(|(rank, newest, _)| (*rank, *newest));
        found.into_iter().map(|(_, _, c)| c).collect()
    }

    /// Up to where backups can be used with this control file; `None` when it lacks a file that redo does not create.
    fn ceiling(
        &self,
        structure: Option<u32>,
        checkpoint: Scn,
        required: &BTreeSet<FileId>,
        lacking: &mut HashMap<u32, Scn>,
    ) -> Option<Scn> {
        let Some((number, structure)) =
            structure.and_then(|s| self.catalogue.structures.get(s as usize).map(|of| (s, of)))
        else {
            return Some(Scn::MAX);
        };
        let first = *lacking.entry(number).or_insert_with(|| {
            let lacks = required.iter().filter(|(file, creation)| structure.file(*file, *creation).is_none());
            lacks.map(|(_, creation)| *creation).min().unwrap_or(Scn::MAX)
        });
        (checkpoint <= first).then_some(first)
    }

    /// What each file needs. The redo is whole from `start` on.
    pub fn demands(
        &self,
        aim: Aim,
        start: Scn,
        candidate: Option<Candidate>,
        required: &BTreeSet<FileId>,
    ) -> Result<Demands, Lack> {
        let mut demands = Demands::default();
        let mut lack: Option<Lack> = None;
        let ceiling = candidate.map_or(Scn::MAX, |c| c.ceiling);
        let seen = candidate
            .and_then(|c| self.catalogue.controlfiles.get(c.item))
            .map(|c| (c.checkpoint, c.resetlogs));
        let target_segment = self.segment_of(aim.end);
        for &id in required {
            let fact = self.facts(candidate, id);
            let quiet = fact.and_then(|f| match (f.read_only_since, f.offline_change) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            });
            // The control file vouches for the file until it was written itself.
            let vouched = seen.map_or(0, |(checkpoint, resetlogs)| {
                let later = self.path.find(resetlogs).is_some_and(|s| {
                    self.path.segments.iter().position(|p| p.resetlogs == s.resetlogs) > Some(target_segment)
                });
                if later {
                    Scn::MAX
                } else {
                    checkpoint
                }
            });
            let unlisted = ceiling < Scn::MAX && fact.is_none();
            let elements =
                if unlisted { Vec::new() } else { self.elements(aim, ceiling, id, quiet, vouched) };
            let ok = reached(&elements);
            let best = elements.iter().zip(&ok).filter(|(_, ok)| **ok).map(|(e, _)| e.state).max();
            if best.is_some_and(|b| b >= start) {
                demands.files.push(id);
                demands.demands.push(Demand { elements });
                continue;
            }
            // RESTORE makes a file that has no backup, RECOVER fills it: all but the first of SYSTEM.
            let (file, creation) = id;
            if file != 1 && creation >= start.max(1) && creation < aim.end {
                let made =
                    Element { set: NOTHING, base: true, lo: 0, at: creation, state: creation, item: NOTHING };
                demands.files.push(id);
                demands.demands.push(Demand { elements: vec![made] });
                continue;
            }
            if best.is_none() && fact.is_some_and(|f| f.offline_change.is_some_and(|o| o <= aim.base)) {
                demands.left_out.push(id);
                continue;
            }
            let this = best.map_or(Lack::Chain(id), |b| Lack::Redo(id, b));
            lack = Some(match (lack, this) {
                // No chain at all is the plainer reason; then the one that ends lowest.
                (Some(Lack::Chain(f)), _) => Lack::Chain(f),
                (Some(Lack::Redo(f, at)), Lack::Redo(_, other)) if at <= other => Lack::Redo(f, at),
                (_, this) => this,
            });
        }
        match lack {
            Some(lack) => Err(lack),
            None => Ok(demands),
        }
    }

    /// The backups of one file that are of before the target, in the order of their checkpoints.
    fn elements(&self, aim: Aim, ceiling: Scn, id: FileId, quiet: Option<Scn>, vouched: Scn) -> Vec<Element> {
        let limit = aim.base.min(ceiling);
        let mut elements = Vec::new();
        for &i in self.by_file.get(&id.0).into_iter().flatten() {
            let item = &self.catalogue.datafiles[i as usize];
            if item.checkpoint > limit {
                break;
            }
            let same = item.creation == id.1 || item.creation == 0 || id.1 == 0;
            if !same || item.highest() >= aim.base || item.checkpoint < id.1 {
                continue;
            }
            let quiet = quiet.filter(|q| *q <= aim.base && item.checkpoint >= *q);
            let state = match quiet {
                Some(_) => item.checkpoint.max(vouched.min(aim.end)),
                None => item.checkpoint,
            };
            elements.push(Element {
                set: item.set,
                base: item.is_base(),
                lo: item.incremental,
                at: item.checkpoint,
                state,
                item: i,
            });
        }
        elements
    }

    /// The creations of all datafiles that anything tells of.
    pub fn creations(&self) -> impl Iterator<Item = Scn> + '_ {
        let facts = self.catalogue.structures.iter().flat_map(|s| &s.files).map(|f| f.creation);
        let known: BTreeSet<Scn> =
            facts.chain(self.backed_up.keys().map(|(_, creation)| *creation)).collect();
        known.into_iter()
    }

    /// SCNs at which every chain of the file ends, for targets without any redo.
    pub fn checkpoints(&self, file: u32) -> impl Iterator<Item = Scn> + '_ {
        self.by_file
            .get(&file)
            .into_iter()
            .flatten()
            .map(|i| self.catalogue.datafiles[*i as usize].checkpoint)
    }
}
