//! The plan. Pure: a catalogue and a target in, the sets to fetch or the reason why there is no way out.

use std::collections::BTreeSet;

use super::catalogue::{Catalogue, Scn, Target};
use super::choose::{choose, cost, reached, Budget, Choice, Cost, Demand, Element, NOTHING};
use super::files::{Aim, Candidate, Context, Demands, FileId};
use super::reason::{self, Reason};
use super::times;

/// How many elements may be looked at before the search for something better ends.
const WORK: u64 = 30_000_000;

/// A point that recovery can reach: all redo below `scn`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Point {
    pub scn: Scn,
    /// In seconds of the database's clock, where a log or a checkpoint tells.
    pub time: Option<i64>,
}

/// A datafile with the backups that it is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    pub file: FileId,
    /// Indexes into [`Catalogue::datafiles`]; empty for a file that is made empty and filled by redo.
    pub items: Vec<u32>,
}

/// A log that recovery reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RedoLog {
    pub thread: u32,
    pub sequence: u64,
    /// Index into [`Catalogue::logs`].
    pub item: u32,
}

/// A way to the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    pub reached: Point,
    pub aim: Aim,
    /// RESETLOGS_CHANGE# and RESETLOGS_ID of the incarnation of the target, and whether it is the youngest one.
    pub resetlogs: Scn,
    pub resetlogs_id: Option<u64>,
    pub youngest: bool,
    /// Indexes into [`Catalogue::controlfiles`], [`Catalogue::spfiles`].
    pub controlfile: usize,
    pub spfile: Option<usize>,
    pub chains: Vec<Chain>,
    /// In the order of their SCNs.
    pub logs: Vec<RedoLog>,
    /// The sets in the order of their use.
    pub sets: Vec<u32>,
    /// Redo is needed from here on; equal to `aim.end` when none is.
    pub start: Scn,
    /// To fetch.
    pub bytes: u64,
    pub pieces: u32,
    /// Nothing smaller exists for this control file; false: it was not proved within the work that is allowed.
    pub proved: bool,
    /// Offline files without a backup that can be used.
    pub left_out: Vec<FileId>,
    /// What is known to have existed beyond the point reached, when the latest was asked for.
    pub lost: Option<Lost>,
}

/// Why the latest point that can be reached is not the last that there was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    pub known: Point,
    pub reason: Reason,
}

/// No way to the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Impossible {
    pub reason: Reason,
    /// The latest point at or below the target that can be reached, else the latest of all.
    pub latest: Option<Point>,
}

/// [`Solver::plan`] in one call.
#[cfg(test)]
pub fn plan(catalogue: &Catalogue, target: Target) -> Result<Plan, Box<Impossible>> {
    Solver::new(catalogue).plan(target)
}

/// What is prepared once per catalogue.
pub struct Solver<'a> {
    context: Context<'a>,
    /// Sets without datafiles and logs.
    light: Vec<bool>,
    costs: Vec<Cost>,
    /// The backups are brought as far as they go before redo is applied, as RMAN does it, whatever the bytes.
    pub least_redo: bool,
}

/// A target that can be reached, and with what.
struct Feasible {
    aim: Aim,
    start: Scn,
    /// The first that works, and a lighter one of the same structure.
    choices: Vec<(Candidate, Demands)>,
}

/// A complete choice under one control file.
struct Chosen {
    candidate: Candidate,
    demands: Demands,
    chains: Vec<Vec<u32>>,
    logs: Vec<RedoLog>,
    start: Scn,
    total: Cost,
    proved: bool,
}

impl<'a> Solver<'a> {
    pub fn new(catalogue: &'a Catalogue) -> Self {
        let mut light = vec![true; catalogue.sets.len()];
        let heavy = catalogue.datafiles.iter().map(|d| d.set).chain(catalogue.logs.iter().map(|l| l.set));
        for set in heavy {
            if let Some(l) = light.get_mut(set as usize) {
                *l = false;
            }
        }
        Self { context: Context::new(catalogue, false), light, costs: costs(catalogue), least_redo: false }
    }

    /// Finds the smallest set of pieces that brings the database to the target.
    ///
    /// # Errors
    /// The smallest reason why there is none, and the latest point that can be reached.
    pub fn plan(&mut self, target: Target) -> Result<Plan, Box<Impossible>> {
        let catalogue = self.context.catalogue;
        if self.context.path.segments.is_empty() {
            return Err(Box::new(Impossible { reason: Reason::Nothing, latest: None }));
        }
        let aim = match target {
            Target::Latest => return self.latest_plan(),
            Target::Scn(scn) => Ok(Aim::scn(scn)),
            Target::Time(time) => times::aim(catalogue, &self.context.path, time),
            Target::Sequence { thread, sequence } => {
                reason::sequence(catalogue, &self.context.path, thread, sequence)
            }
        };
        let aim = match aim {
            Ok(aim) => aim,
            Err(reason) => {
                let latest = self.latest(Scn::MAX);
                return Err(Box::new(Impossible { reason, latest }));
            }
        };
        match self.feasible(aim).and_then(|f| self.build(f)) {
            Some(plan) => Ok(plan),
            None => {
                let reason = reason::reason(&self.context, &self.light, aim);
                let latest = self.latest(aim.end).or_else(|| self.latest(Scn::MAX));
                Err(Box::new(Impossible { reason, latest }))
            }
        }
    }

    fn latest_plan(&mut self) -> Result<Plan, Box<Impossible>> {
        let catalogue = self.context.catalogue;
        let every = Context::new(catalogue, true);
        let known = known_end(&every);
        let found = self.latest(Scn::MAX).and_then(|point| self.feasible(Aim::scn(point.scn)));
        match found.and_then(|f| self.build(f)) {
            Some(mut plan) => {
                if known > plan.reached.scn {
                    let reason = reason::reason(&self.context, &self.light, Aim::scn(known));
                    plan.lost = Some(Lost { known: self.point(known), reason });
                }
                Ok(plan)
            }
            None => {
                let reason = reason::reason(&self.context, &self.light, Aim::scn(known));
                Err(Box::new(Impossible { reason, latest: None }))
            }
        }
    }

    fn point(&self, scn: Scn) -> Point {
        Point { scn, time: times::time_of(self.context.catalogue, &self.context.path, scn) }
    }

    /// The latest point at or below `limit` that can be reached.
    ///
    /// Within a stretch of whole redo a target that can be reached stays so further up until a file is created or an
    /// incarnation begins, so only these points and the ends are looked at; besides them there are consistent backups
    /// that need no redo at all.
    pub fn latest(&self, limit: Scn) -> Option<Point> {
        let context = &self.context;
        let mut points: Vec<Scn> = context
            .coverage
            .intervals
            .iter()
            .filter(|(from, _)| *from < limit)
            .map(|&(_, to)| to.min(limit))
            .collect();
        // At a branch the control files that can be used change.
        points.extend(
            context.path.segments.iter().map(|s| s.end).filter(|end| *end <= limit && *end < Scn::MAX),
        );
        // Below the creation of a file that no control file knows any more it is not missed.
        points.extend(context.creations().filter(|c| *c <= limit));
        points.extend(context.checkpoints(1).filter(|c| *c <= limit && context.coverage.start(*c) == *c));
        if context.checkpoints(1).next().is_none() {
            let catalogue = context.catalogue;
            points.extend(catalogue.datafiles.iter().map(|d| d.checkpoint).filter(|c| *c <= limit));
        }
        points.sort_unstable_by(|a, b| b.cmp(a));
        points.dedup();
        let system: Vec<Scn> = context.checkpoints(1).collect();
        for scn in points {
            // SYSTEM is never read only and never created by redo: a quick look at it spares a long one at all.
            let start = context.coverage.start(scn);
            let from = system.partition_point(|c| *c < start);
            if !system.is_empty() && system.get(from).is_none_or(|c| *c > scn) {
                continue;
            }
            if self.feasible(Aim::scn(scn)).is_some() {
                return Some(self.point(scn));
            }
        }
        None
    }

    fn feasible(&self, aim: Aim) -> Option<Feasible> {
        let context = &self.context;
        let start = context.coverage.start(aim.end);
        let required = context.required(aim);
        if required.is_empty() {
            return None;
        }
        let mut choices: Vec<(Candidate, Demands)> = Vec::new();
        for candidate in context.candidates(aim, &required, &self.light) {
            let item = &context.catalogue.controlfiles[candidate.item];
            if let Some((first, _)) = choices.first() {
                let known = &context.catalogue.controlfiles[first.item];
                let alike = (known.structure, known.resetlogs) == (item.structure, item.resetlogs);
                if !alike || !self.light[item.set as usize] {
                    continue;
                }
            }
            if let Ok(demands) = context.demands(aim, start, Some(candidate), &required) {
                choices.push((candidate, demands));
                if choices.len() == 2 || self.light[item.set as usize] {
                    break;
                }
            }
        }
        (!choices.is_empty()).then_some(Feasible { aim, start, choices })
    }

    /// The cheapest; there is one, for `demands` has looked at each chain.
    fn build(&mut self, feasible: Feasible) -> Option<Plan> {
        let Feasible { aim, start, choices } = feasible;
        let mut budget = Budget(WORK);
        let mut best: Option<Chosen> = None;
        let mut proved = true;
        for (candidate, demands) in choices {
            let Some(chosen) = self.choose_for(aim, start, candidate, demands, &mut budget) else { continue };
            proved &= chosen.proved;
            if best.as_ref().is_none_or(|b| chosen.total >> 40 < b.total >> 40) {
                best = Some(chosen);
            }
        }
        best.map(|chosen| self.assemble(aim, chosen, proved))
    }

    fn choose_for(
        &mut self,
        aim: Aim,
        start: Scn,
        candidate: Candidate,
        demands: Demands,
        budget: &mut Budget,
    ) -> Option<Chosen> {
        let set = self.context.catalogue.controlfiles[candidate.item].set as usize;
        let own = std::mem::replace(&mut self.costs[set], 0);
        let chosen = self.cheapest(aim, start, &demands, budget);
        self.costs[set] = own;
        let (choice, logs, start, total, proved) = chosen?;
        Some(Chosen { candidate, chains: choice.chains, demands, logs, start, total: total + own, proved })
    }

    /// The cheapest mixture of newer backups and longer redo.
    ///
    /// With files brought to `floor` at least, the backups cost D(floor), growing, and the redo R(floor), falling. Only
    /// the floors at which a log that costs something falls away matter, and stretches of them that cannot hold
    /// anything better are passed over.
    fn cheapest(
        &self,
        aim: Aim,
        start: Scn,
        demands: &Demands,
        budget: &mut Budget,
    ) -> Option<(Choice, Vec<RedoLog>, Scn, Cost, bool)> {
        let floors = self.floors(aim, start, demands);
        let mut search = Search { best: None, values: vec![None; floors.len()] };
        let last = floors.len().checked_sub(1)?;
        let mut complete = true;
        let mut open = vec![(0, last)];
        for i in [0, last] {
            self.evaluate(&mut search, &floors, i, aim, demands, budget);
        }
        while let Some((i, j)) = open.pop() {
            if i + 1 >= j {
                continue;
            }
            let (Some(low), Some(high)) = (search.values[i], search.values[j]) else {
                // The upper end cannot be met: look at the lower half.
                open.push((i, j - 1));
                self.evaluate(&mut search, &floors, j - 1, aim, demands, budget);
                continue;
            };
            let best = search.best.as_ref().map_or(Cost::MAX, |b| b.3);
            if (low.0 + high.1) >> 40 >= best >> 40 {
                continue;
            }
            if budget.0 == 0 {
                complete = false;
                continue;
            }
            let middle = (i + j) / 2;
            self.evaluate(&mut search, &floors, middle, aim, demands, budget);
            open.push((i, middle));
            open.push((middle, j));
        }
        let (choice, logs, start, total, proved) = search.best?;
        Some((choice, logs, start, total, proved && complete && search.values.iter().flatten().all(|v| v.2)))
    }

    fn evaluate(
        &self,
        search: &mut Search,
        floors: &[Scn],
        index: usize,
        aim: Aim,
        demands: &Demands,
        budget: &mut Budget,
    ) {
        if search.values[index].is_some() {
            return;
        }
        let Some(choice) = choose(&demands.demands, &self.costs, floors[index], budget) else { return };
        let ends = demands.demands.iter().zip(&choice.chains);
        let state = ends.filter_map(|(d, c)| d.elements.get(*c.last()? as usize)).map(|e| e.state).min();
        let start = state.unwrap_or(aim.end).min(aim.end);
        let (logs, redo) = self.redo(start, aim.end, budget);
        let total = choice.cost + redo.cost;
        // For the bounds the redo counts from the floor: the state of this choice may be above it.
        let bound = if start == floors[index] {
            redo.lower
        } else {
            self.redo(floors[index].min(aim.end), aim.end, budget).1.lower
        };
        let proved = choice.cost >> 40 == choice.lower >> 40 && redo.cost >> 40 == redo.lower >> 40;
        search.values[index] = Some((choice.lower, bound, proved));
        if search.best.as_ref().is_none_or(|b| total < b.3) {
            search.best = Some((choice, logs, start, total, proved));
        }
    }

    /// The logs from `start` to `end` and the cheapest sets that hold them.
    fn redo(&self, start: Scn, end: Scn, budget: &mut Budget) -> (Vec<RedoLog>, Choice) {
        let coverage = &self.context.coverage;
        let catalogue = self.context.catalogue;
        let needed = if start < end { coverage.needed(start, end) } else { Vec::new() };
        let mut demands = Vec::with_capacity(needed.len());
        for &(lane, index) in &needed {
            let log = &coverage.lanes[lane].logs[index];
            let element = |item: &u32| Element {
                set: catalogue.logs[*item as usize].set,
                base: true,
                lo: 0,
                at: 0,
                state: 0,
                item: *item,
            };
            let mut elements: Vec<Element> = log.copies.iter().map(element).collect();
            // One that is on disk is read where it is.
            if let Some(free) = elements.iter().position(|e| self.costs[e.set as usize] == 0) {
                elements = vec![elements[free]];
            }
            demands.push(Demand { elements });
        }
        let choice = choose(&demands, &self.costs, 0, budget).unwrap_or_default();
        let mut logs: Vec<(Scn, RedoLog)> = Vec::with_capacity(needed.len());
        for ((demand, chain), &(lane, index)) in demands.iter().zip(&choice.chains).zip(&needed) {
            let Some(element) = chain.first().and_then(|e| demand.elements.get(*e as usize)) else {
                continue;
            };
            let (lane, log) = (&coverage.lanes[lane], &coverage.lanes[lane].logs[index]);
            logs.push((
                log.first,
                RedoLog { thread: lane.thread, sequence: log.sequence, item: element.item },
            ));
        }
        logs.sort_by_key(|(first, l)| (*first, l.thread, l.sequence));
        (logs.into_iter().map(|(_, l)| l).collect(), choice)
    }

    /// The floors that matter, in ascending order.
    fn floors(&self, aim: Aim, start: Scn, demands: &Demands) -> Vec<Scn> {
        let coverage = &self.context.coverage;
        let free = |item: &u32| self.costs[self.context.catalogue.logs[*item as usize].set as usize] == 0;
        let mut ends: Vec<Scn> = coverage
            .needed(start, aim.end)
            .into_iter()
            .map(|(lane, i)| &coverage.lanes[lane].logs[i])
            .filter(|log| !log.copies.iter().any(free))
            .map(|log| log.next.min(aim.end))
            .collect();
        ends.sort_unstable();
        let mut states: Vec<Scn> = Vec::new();
        let mut highest = aim.end;
        for demand in &demands.demands {
            let ok = reached(&demand.elements);
            let of_file = demand
                .elements
                .iter()
                .zip(&ok)
                .filter(|(e, ok)| **ok && e.state >= start)
                .map(|(e, _)| e.state);
            let mut top = start;
            for state in of_file {
                states.push(state);
                top = top.max(state);
            }
            highest = highest.min(top);
        }
        if self.least_redo {
            return vec![highest];
        }
        states.retain(|s| *s <= highest);
        states.sort_unstable();
        states.dedup();
        let mut floors = vec![start];
        let mut passed = ends.partition_point(|e| *e <= start);
        for state in states {
            let now = ends.partition_point(|e| *e <= state);
            if now > passed {
                passed = now;
                floors.push(state);
            }
        }
        floors
    }

    fn assemble(&self, aim: Aim, chosen: Chosen, proved: bool) -> Plan {
        let catalogue = self.context.catalogue;
        let Chosen { candidate, demands, chains, logs, start, .. } = chosen;
        let mut order: Vec<u32> = vec![catalogue.controlfiles[candidate.item].set];
        let mut steps: Vec<(bool, Scn, u32)> = Vec::new();
        let mut of_files = Vec::new();
        for ((file, demand), chain) in demands.files.iter().zip(&demands.demands).zip(&chains) {
            let elements = chain.iter().filter_map(|e| demand.elements.get(*e as usize));
            let items: Vec<u32> = elements.map(|e| e.item).filter(|i| *i != NOTHING).collect();
            for (position, item) in items.iter().enumerate() {
                let item = &catalogue.datafiles[*item as usize];
                steps.push((position > 0, item.checkpoint, item.set));
            }
            of_files.push(Chain { file: *file, items });
        }
        steps.sort_unstable();
        order.extend(steps.into_iter().map(|(_, _, set)| set));
        order.extend(logs.iter().map(|l| catalogue.logs[l.item as usize].set));
        let mut seen = BTreeSet::new();
        order.retain(|set| seen.insert(*set));
        let spfile = self.spfile(&seen);
        if let Some(set) = spfile.map(|i| catalogue.spfiles[i].set).filter(|s| seen.insert(*s)) {
            order.insert(1, set);
        }
        let of_order = |f: fn(&super::catalogue::Set) -> u64| {
            order.iter().map(|s| &catalogue.sets[*s as usize]).filter(|s| !s.on_disk).map(f).sum::<u64>()
        };
        let segment = self.context.segment_of(aim.end);
        Plan {
            reached: self.point(aim.end),
            aim,
            resetlogs: self.context.path.segments[segment].resetlogs,
            resetlogs_id: self.context.path.segments[segment].id,
            youngest: segment + 1 == self.context.path.segments.len(),
            controlfile: candidate.item,
            spfile,
            chains: of_files,
            bytes: of_order(|s| s.bytes),
            pieces: of_order(|s| u64::from(s.pieces)) as u32,
            logs,
            sets: order,
            start,
            proved,
            left_out: demands.left_out,
            lost: None,
        }
    }

    /// The newest that is fetched anyway or in a set without datafiles and logs; else the cheapest there is.
    fn spfile(&self, chosen: &BTreeSet<u32>) -> Option<usize> {
        let catalogue = self.context.catalogue;
        let list = || catalogue.spfiles.iter().enumerate().filter(|(_, s)| catalogue.available(s.set));
        let completed = |set: u32| catalogue.sets[set as usize].completed;
        let newest = list()
            .filter(|(_, s)| chosen.contains(&s.set) || self.light[s.set as usize])
            .max_by_key(|(_, s)| (s.modified, completed(s.set), chosen.contains(&s.set)));
        newest.or_else(|| list().min_by_key(|(_, s)| self.costs[s.set as usize])).map(|(i, _)| i)
    }
}

/// D's lower bound, R's lower bound at the floor, both proved.
type Value = (Cost, Cost, bool);

struct Search {
    best: Option<(Choice, Vec<RedoLog>, Scn, Cost, bool)>,
    values: Vec<Option<Value>>,
}

fn costs(catalogue: &Catalogue) -> Vec<Cost> {
    let mut by_age: Vec<u32> = (0..catalogue.sets.len() as u32).collect();
    by_age.sort_by_key(|s| std::cmp::Reverse(catalogue.sets[*s as usize].completed));
    let mut costs = vec![0; catalogue.sets.len()];
    for (rank, set) in by_age.into_iter().enumerate() {
        let age = (rank as u64 * (1 << 19) / catalogue.sets.len().max(1) as u64) as u32;
        let set_of = &catalogue.sets[set as usize];
        if !set_of.on_disk {
            costs[set as usize] = cost(set_of.bytes, set_of.pieces, age);
        }
    }
    costs
}

/// The last point that there was, as far as anything tells.
fn known_end(every: &Context<'_>) -> Scn {
    let redo = every.coverage.intervals.last().map_or(0, |(_, to)| *to);
    let files = every.catalogue.datafiles.iter();
    let on_path = files.filter(|d| every.path.find(d.resetlogs).is_some_and(|s| d.checkpoint <= s.end));
    redo.max(on_path.map(|d| d.checkpoint).max().unwrap_or(0))
}
