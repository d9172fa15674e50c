//! The cheapest union of backup sets in which every demand finds a chain.
//!
//! A demand is a datafile, or a log. Alone, its cheapest chain is a shortest path. Together they share sets, and the cost
//! of a set counts once: a set-cover problem. The cost of each set is split among the demands that could use it, so that
//! the sum of the shortest paths is a lower bound; where all demands of a set agree, as they do for backups made by one
//! policy, that bound is met at once and the choice is proved. Otherwise the shares are moved to those who use the set,
//! and what is left is decided by branch and bound.

use std::collections::HashMap;

use super::catalogue::Scn;

/// The set of an element that costs nothing and needs nothing.
pub const NOTHING: u32 = u32::MAX;

/// Bytes, then pieces, then age, in one number that can be added and split.
pub type Cost = u128;

const BYTES: u32 = 64;
const PIECES: u32 = 40;

/// Cost of a set; `age` is below 2^19, 0 for the newest.
pub fn cost(bytes: u64, pieces: u32, age: u32) -> Cost {
    (Cost::from(bytes) << BYTES) + (Cost::from(pieces) << PIECES) + Cost::from(age)
}

/// What has to be minimal: age only decides between equals as they are met.
fn coarse(cost: Cost) -> Cost {
    cost >> PIECES
}

/// One step of a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Element {
    /// The set that it needs, or [`NOTHING`].
    pub set: u32,
    pub base: bool,
    /// The step before must have reached this SCN; not for a base.
    pub lo: Scn,
    /// The SCN that it reaches.
    pub at: Scn,
    /// The SCN from which on redo is needed after it; above `at` for a file that is read only.
    pub state: Scn,
    /// What the caller knows it by.
    pub item: u32,
}

/// Something that needs a chain.
#[derive(Debug, Clone, Default)]
pub struct Demand {
    /// In the order of `at`.
    pub elements: Vec<Element>,
}

/// A chain for each demand.
#[derive(Debug, Clone, Default)]
pub struct Choice {
    /// Per demand the indexes of its elements, in order.
    pub chains: Vec<Vec<u32>>,
    /// Of the union of the sets.
    pub cost: Cost,
    /// No choice is cheaper than this.
    pub lower: Cost,
}

/// How much may still be done: one unit is one look at one element.
#[derive(Debug, Clone, Copy)]
pub struct Budget(pub u64);

/// Chains for all demands that end at `floor` or above, or `None` when a demand has none.
///
/// `costs` is by set; a set whose cost is 0 is free.
pub fn choose(demands: &[Demand], costs: &[Cost], floor: Scn, budget: &mut Budget) -> Option<Choice> {
    let mut choice = Choice { chains: vec![Vec::new(); demands.len()], ..Choice::default() };
    for members in components(demands, costs) {
        let mut part = Part::new(demands, members, costs, floor);
        part.solve(budget)?;
        choice.cost += part.best;
        choice.lower += part.lower;
        for (member, chain) in part.members.iter().zip(&part.chains) {
            choice.chains[*member].clone_from(chain);
        }
    }
    Some(choice)
}

/// Demands that share no set are decided apart.
fn components(demands: &[Demand], costs: &[Cost]) -> Vec<Vec<usize>> {
    let mut parent: Vec<usize> = (0..demands.len()).collect();
    fn root(parent: &mut [usize], mut i: usize) -> usize {
        while parent[i] != i {
            parent[i] = parent[parent[i]];
            i = parent[i];
        }
        i
    }
    let mut owner: HashMap<u32, usize> = HashMap::new();
    for (i, demand) in demands.iter().enumerate() {
        for element in &demand.elements {
            if costs.get(element.set as usize).is_none_or(|c| *c == 0) {
                continue;
            }
            let other = *owner.entry(element.set).or_insert(i);
            let (a, b) = (root(&mut parent, i), root(&mut parent, other));
            parent[a.max(b)] = a.min(b);
        }
    }
    let mut groups: Vec<Vec<usize>> = vec![Vec::new(); demands.len()];
    for i in 0..demands.len() {
        let r = root(&mut parent, i);
        groups[r].push(i);
    }
    groups.retain(|g| !g.is_empty());
    groups
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    Free,
    In,
    Out,
}

/// One component with its own numbering of sets.
struct Part<'a> {
    demands: &'a [Demand],
    members: Vec<usize>,
    /// Per member and element: the local number of its set, or [`NOTHING`] when it is free.
    local: Vec<Vec<u32>>,
    /// Per member and element: whether it leads from a base to an end at `floor` or above.
    useful: Vec<Vec<bool>>,
    costs: Vec<Cost>,
    floor: Scn,
    marks: Vec<Mark>,
    best: Cost,
    lower: Cost,
    chains: Vec<Vec<u32>>,
}

/// What one demand's cheapest way is found with.
#[derive(Default)]
struct Scratch {
    distance: Vec<Cost>,
    before: Vec<u32>,
    stack: Vec<u32>,
}

const FAR: Cost = Cost::MAX;

/// The cheapest chain of one demand when element `i` costs `price(i)`; `None` excludes it.
fn shortest(
    elements: &[Element],
    floor: Scn,
    scratch: &mut Scratch,
    price: impl Fn(usize) -> Option<Cost>,
) -> Option<(Cost, u32)> {
    let n = elements.len();
    let Scratch { distance, before, stack } = scratch;
    distance.clear();
    distance.resize(n, FAR);
    before.clear();
    before.resize(n, NOTHING);
    stack.clear();
    let mut end: Option<(Cost, u32)> = None;
    let mut begin = 0;
    while begin < n {
        let mut group = begin;
        // Elements at one SCN cannot build on each other.
        while group < n && elements[group].at == elements[begin].at {
            let element = &elements[group];
            if let Some(own) = price(group) {
                if element.base {
                    distance[group] = own;
                } else {
                    // The stack has ascending SCNs and distances: the first that reaches `lo` is the cheapest.
                    let from = stack.partition_point(|&j| elements[j as usize].at < element.lo);
                    if let Some(&j) = stack.get(from) {
                        distance[group] = distance[j as usize].saturating_add(own);
                        before[group] = j;
                    }
                }
                // Later ones win ties: less redo.
                if element.state >= floor
                    && distance[group] != FAR
                    && end.is_none_or(|(d, _)| distance[group] <= d)
                {
                    end = Some((distance[group], group as u32));
                }
            }
            group += 1;
        }
        for i in begin..group {
            if distance[i] == FAR {
                continue;
            }
            while stack.last().is_some_and(|&top| distance[top as usize] >= distance[i]) {
                stack.pop();
            }
            stack.push(i as u32);
        }
        begin = group;
    }
    end
}

fn chain_of(scratch: &Scratch, end: u32) -> Vec<u32> {
    let mut chain = vec![end];
    while let Some(&j) = chain.last().and_then(|i| scratch.before.get(*i as usize)).filter(|j| **j != NOTHING)
    {
        chain.push(j);
    }
    chain.reverse();
    chain
}

impl<'a> Part<'a> {
    fn new(demands: &'a [Demand], members: Vec<usize>, costs: &[Cost], floor: Scn) -> Self {
        let mut numbers: HashMap<u32, u32> = HashMap::new();
        let mut local_costs = Vec::new();
        let mut local = Vec::with_capacity(members.len());
        let mut useful = Vec::with_capacity(members.len());
        for &member in &members {
            let elements = &demands[member].elements;
            let number = |element: &Element| {
                let cost = costs.get(element.set as usize).copied().unwrap_or(0);
                if cost == 0 {
                    return NOTHING;
                }
                *numbers.entry(element.set).or_insert_with(|| {
                    local_costs.push(cost);
                    local_costs.len() as u32 - 1
                })
            };
            local.push(elements.iter().map(number).collect());
            useful.push(useful_of(elements, floor));
        }
        let marks = vec![Mark::Free; local_costs.len()];
        let chains = vec![Vec::new(); members.len()];
        Self {
            demands,
            members,
            local,
            useful,
            costs: local_costs,
            floor,
            marks,
            best: FAR,
            lower: 0,
            chains,
        }
    }

    /// `None` when a demand has no chain.
    fn solve(&mut self, budget: &mut Budget) -> Option<()> {
        let root = self.bound(budget, true)?;
        self.lower = root.lower;
        if coarse(root.lower) < coarse(self.best) {
            let proved = self.branch(root, budget, 0);
            if proved {
                // Nothing is cheaper in bytes and pieces.
                self.lower = self.best;
            }
        }
        Some(())
    }

    /// Decides the set that is disputed most; says whether all that could be better was looked at.
    fn branch(&mut self, node: Node, budget: &mut Budget, depth: usize) -> bool {
        let Some(set) = node.disputed else { return true };
        if budget.0 == 0 || depth > 400 {
            return false;
        }
        let mut proved = true;
        for mark in [Mark::In, Mark::Out] {
            self.marks[set] = mark;
            if let Some(child) = self.bound(budget, false) {
                if coarse(child.lower) < coarse(self.best) {
                    proved &= self.branch(child, budget, depth + 1);
                }
            }
        }
        self.marks[set] = Mark::Free;
        proved
    }

    fn price(&self, shares: &[Vec<Cost>], member: usize, element: usize) -> Option<Cost> {
        if !self.useful[member][element] {
            return None;
        }
        match self.local[member][element] {
            NOTHING => Some(0),
            set => match self.marks[set as usize] {
                Mark::In => Some(0),
                Mark::Out => None,
                Mark::Free => Some(shares[member][element]),
            },
        }
    }

    /// A lower bound of what can be had under the marks, and perhaps a better choice on the way.
    fn bound(&mut self, budget: &mut Budget, first: bool) -> Option<Node> {
        let fixed: Cost =
            self.costs.iter().zip(&self.marks).filter(|(_, m)| **m == Mark::In).map(|(c, _)| *c).sum();
        // Per free set: who could use it.
        let mut holders: Vec<Vec<(u32, u32)>> = vec![Vec::new(); self.costs.len()];
        for (m, local) in self.local.iter().enumerate() {
            for (e, &set) in local.iter().enumerate() {
                if set != NOTHING && self.useful[m][e] && self.marks[set as usize] == Mark::Free {
                    holders[set as usize].push((m as u32, e as u32));
                }
            }
        }
        let mut shares: Vec<Vec<Cost>> = self.local.iter().map(|l| vec![0; l.len()]).collect();
        for (set, list) in holders.iter().enumerate() {
            share(&mut shares, list, self.costs[set]);
        }
        let mut scratch = Scratch::default();
        let mut chains: Vec<Vec<u32>> = vec![Vec::new(); self.members.len()];
        let mut best_lower = 0;
        let mut disputed = None;
        let rounds = if first { 40 } else { 12 };
        for round in 0..rounds {
            let mut lower = fixed;
            let mut uses: Vec<u32> = vec![0; self.costs.len()];
            for (m, chain) in chains.iter_mut().enumerate() {
                let elements = &self.demands[self.members[m]].elements;
                budget.0 = budget.0.saturating_sub(elements.len() as u64);
                let (distance, end) =
                    shortest(elements, self.floor, &mut scratch, |e| self.price(&shares, m, e))?;
                lower += distance;
                *chain = chain_of(&scratch, end);
                for set in chain.iter().map(|e| self.local[m][*e as usize]).filter(|s| *s != NOTHING) {
                    uses[set as usize] += 1;
                }
            }
            self.offer(&chains);
            if round == 0 && lower < self.best {
                self.greedy(&shares, &mut scratch, budget);
            }
            best_lower = best_lower.max(lower);
            if coarse(best_lower) >= coarse(self.best) {
                break;
            }
            let in_dispute = |set: usize| {
                self.marks[set] == Mark::Free && uses[set] > 0 && (uses[set] as usize) < holders[set].len()
            };
            disputed = (0..self.costs.len()).filter(|s| in_dispute(*s)).max_by_key(|s| self.costs[*s]);
            if disputed.is_none() || budget.0 == 0 {
                break;
            }
            for set in (0..self.costs.len()).filter(|s| in_dispute(*s)) {
                let each = self.costs[set] / Cost::from(uses[set]);
                let list = &holders[set];
                let uses_it = |m: u32, e: u32| chains[m as usize].contains(&e);
                let mut left = self.costs[set];
                for &(m, e) in list {
                    let wanted = if uses_it(m, e) { each } else { 0 };
                    let now = &mut shares[m as usize][e as usize];
                    *now = (*now / 2 + wanted / 2).min(left);
                    left -= *now;
                }
                if let Some(&(m, e)) = list.iter().find(|(m, e)| uses_it(*m, *e)) {
                    shares[m as usize][e as usize] += left;
                }
            }
        }
        Some(Node { lower: best_lower, disputed })
    }

    /// One demand after the other, what was chosen before being free.
    fn greedy(&mut self, shares: &[Vec<Cost>], scratch: &mut Scratch, budget: &mut Budget) {
        let mut taken = vec![false; self.costs.len()];
        let mut chains: Vec<Vec<u32>> = vec![Vec::new(); self.members.len()];
        for (m, chain) in chains.iter_mut().enumerate() {
            let elements = &self.demands[self.members[m]].elements;
            budget.0 = budget.0.saturating_sub(elements.len() as u64);
            let price = |e: usize| {
                let full = self.price(shares, m, e)?;
                match self.local[m][e] {
                    NOTHING => Some(full),
                    set if taken[set as usize] => Some(0),
                    set => Some(self.costs[set as usize]),
                }
            };
            let Some((_, end)) = shortest(elements, self.floor, scratch, price) else { return };
            *chain = chain_of(scratch, end);
            for set in chain.iter().map(|e| self.local[m][*e as usize]).filter(|s| *s != NOTHING) {
                taken[set as usize] = true;
            }
        }
        self.offer(&chains);
    }

    /// Keeps a choice that is cheaper than the best so far.
    fn offer(&mut self, chains: &[Vec<u32>]) {
        let mut taken = vec![false; self.costs.len()];
        let mut total = 0;
        for (local, chain) in self.local.iter().zip(chains) {
            for set in chain.iter().map(|e| local[*e as usize]).filter(|s| *s != NOTHING) {
                if !std::mem::replace(&mut taken[set as usize], true) {
                    total += self.costs[set as usize];
                }
            }
        }
        if total < self.best {
            self.best = total;
            self.chains = chains.to_vec();
        }
    }
}

struct Node {
    lower: Cost,
    disputed: Option<usize>,
}

/// Splits a cost so that the parts add up to it.
fn share(shares: &mut [Vec<Cost>], list: &[(u32, u32)], cost: Cost) {
    if list.is_empty() {
        return;
    }
    let each = cost / list.len() as Cost;
    let mut left = cost;
    for &(m, e) in list.iter().skip(1) {
        shares[m as usize][e as usize] = each;
        left -= each;
    }
    if let Some(&(m, e)) = list.first() {
        shares[m as usize][e as usize] = left;
    }
}

/// Which elements lie on a chain from a base to an end at `floor` or above.
fn useful_of(elements: &[Element], floor: Scn) -> Vec<bool> {
    let reached = reached(elements);
    let mut useful = vec![false; elements.len()];
    // Going back: an element is useful if it is an end, or a useful one can build on it.
    // The lowest `lo` among the useful ones above, per SCN.
    let mut windows: Vec<(Scn, Scn)> = Vec::new();
    for i in (0..elements.len()).rev() {
        let element = &elements[i];
        if !reached[i] {
            continue;
        }
        let built_on = windows.iter().any(|&(lo, at)| lo <= element.at && element.at < at);
        if element.state >= floor || built_on {
            useful[i] = true;
            if !element.base {
                // Windows that lie within another are not kept.
                let within = windows.iter().any(|&(lo, at)| lo <= element.lo && element.at <= at);
                if !within {
                    windows.retain(|&(lo, at)| !(element.lo <= lo && at <= element.at));
                    windows.push((element.lo, element.at));
                }
            }
            // What lies above every element still to come is of no more use.
            windows.retain(|&(lo, _)| lo <= element.at);
        }
    }
    useful
}

/// Which elements have a chain from a base.
pub fn reached(elements: &[Element]) -> Vec<bool> {
    let mut reached = vec![false; elements.len()];
    // The highest SCN reached so far: the window of a level 1 ends below itself, so the highest is all that counts.
    let mut highest: Option<Scn> = None;
    let mut begin = 0;
    while begin < elements.len() {
        let mut end = begin;
        while end < elements.len() && elements[end].at == elements[begin].at {
            reached[end] = elements[end].base || highest.is_some_and(|h| h >= elements[end].lo);
            end += 1;
        }
        if reached[begin..end].contains(&true) {
            highest = Some(elements[begin].at);
        }
        begin = end;
    }
    reached
}
