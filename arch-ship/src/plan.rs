//! Decides which logs are needed and what to do with each. Pure: facts, policy and a look at the destination in, plan
//! out.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use crate::cli::Threads;
use crate::facts::{Applied, Facts, FileStat, Key, SourceLog, SourceState};

/// What the user asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    pub threads: Threads,
    pub seq_min: Option<u64>,
    pub seq_max: Option<u64>,
    /// Logs with NEXT_CHANGE# above it are needed.
    pub cutoff: Option<u64>,
    /// Logs were named one by one: what is applied, the filters and the cut-off do not matter.
    pub named: bool,
}

/// A file at the destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteFile {
    pub path: PathBuf,
    pub stat: FileStat,
}

/// Why there is nothing to ship for a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Not needed.
    Skip(String),
    /// Not ready; the next run takes it.
    Wait(String),
    /// It cannot be shipped: the file at the source is no good.
    Damaged(String),
    /// Verified at the destination before and unchanged since.
    Present(PathBuf),
    /// Files there may be this log, whole or in part: their content decides.
    Compare(Vec<RemoteFile>),
    Send,
}

/// One log and its fate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Index into [`Facts::logs`].
    pub log: usize,
    pub action: Action,
}

/// What to do, in the order in which it should be done: oldest redo first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    pub items: Vec<Item>,
}

/// The destination as listed, by base name and by number.
#[derive(Debug, Default)]
pub struct Remote {
    files: Vec<RemoteFile>,
    by_name: HashMap<std::ffi::OsString, Vec<usize>>,
    by_number: HashMap<u64, Vec<usize>>,
}

impl Remote {
    pub fn new(files: Vec<RemoteFile>) -> Self {
        let mut remote = Self { files, ..Self::default() };
        for (i, file) in remote.files.iter().enumerate() {
            let Some(name) = file.path.file_name() else { continue };
            remote.by_name.entry(name.to_owned()).or_default().push(i);
            for number in numbers(&name.to_string_lossy()) {
                let list = remote.by_number.entry(number).or_default();
                if list.last() != Some(&i) {
                    list.push(i);
                }
            }
        }
        remote
    }

    pub fn at(&self, path: &Path) -> Option<&RemoteFile> {
        let same = self.by_name.get(path.file_name()?)?;
        same.iter().map(|i| &self.files[*i]).find(|f| f.path == path)
    }

    /// Files that may be this log: those of its name, then those of its size whose name holds its sequence and thread
    /// (the standby's own naming may be another one).
    pub fn candidates(&self, log: &SourceLog) -> Vec<RemoteFile> {
        let mut found = Vec::new();
        if let Some(name) = log.path.file_name() {
            if let Some(same) = self.by_name.get(name) {
                found.extend(same.iter().map(|i| self.files[*i].clone()));
            }
        }
        if found.is_empty() && log.key.sequence > 0 {
            for i in self.by_number.get(&log.key.sequence).into_iter().flatten() {
                let file = &self.files[*i];
                let name = file.path.file_name().unwrap_or_default().to_string_lossy();
                if file.stat.bytes == log.stat.bytes && numbers(&name).any(|n| n == log.key.thread) {
                    found.push(file.clone());
                }
            }
        }
        found
    }
}

/// The decimal numbers in a name.
fn numbers(name: &str) -> impl Iterator<Item = u64> + '_ {
    name.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse().ok())
}

/// Why a log is not needed, if so.
pub fn not_needed(log: &SourceLog, facts: &Facts, policy: &Policy) -> Option<String> {
    if policy.named {
        return None;
    }
    let key = log.key;
    if let Threads::One(thread) = policy.threads {
        if key.thread != thread {
            return Some(format!("only thread {thread} is shipped"));
        }
    }
    if policy.seq_min.is_some_and(|min| key.sequence < min) {
        return Some(format!("below the lowest sequence asked for, {}", policy.seq_min.unwrap_or_default()));
    }
    if policy.seq_max.is_some_and(|max| key.sequence > max) {
        return Some(format!("above the highest sequence asked for, {}", policy.seq_max.unwrap_or_default()));
    }
    orphan(log, facts).or_else(|| applied(log, facts)).or_else(|| {
        let cutoff = policy.cutoff?;
        let below = log.next_change.is_some_and(|next| next <= cutoff);
        below.then(|| format!("all of it is below the cut-off SCN {cutoff}"))
    })
}

fn orphan(log: &SourceLog, facts: &Facts) -> Option<String> {
    let branch = facts.branch(log.key.resetlogs_id)?;
    (log.first_change? >= branch).then(|| {
        format!("the database went on from SCN {branch} with RESETLOGS: no longer part of its history")
    })
}

fn applied(log: &SourceLog, facts: &Facts) -> Option<String> {
    let key = log.key;
    match &facts.applied {
        Applied::Nothing | Applied::Unknown(_) => None,
        Applied::Sequence(n) => (key.resetlogs_id == facts.resetlogs_id && key.sequence <= *n)
            .then(|| format!("applied up to {n}")),
        Applied::Standby { scn, sequences } => match log.next_change {
            Some(next) => (next <= *scn).then(|| format!("the standby has applied all redo below SCN {scn}")),
            None => {
                let last = sequences.get(&(key.resetlogs_id, key.thread))?;
                (key.sequence <= *last).then(|| format!("the standby has applied up to sequence {last}"))
            }
        },
    }
}

/// The plan. `trusted` are paths at the destination that were verified and have not changed since, by key; where the
/// source has changed since, the file is compared again.
pub fn plan(
    facts: &Facts,
    policy: &Policy,
    remote: &Remote,
    recorded: &dyn Fn(Key) -> Option<PathBuf>,
) -> Plan {
    let mut order: Vec<usize> = best_copies(&facts.logs);
    order.sort_by(|a, b| age(&facts.logs[*a]).cmp(&age(&facts.logs[*b])));
    let items = order
        .into_iter()
        .map(|i| Item { log: i, action: action(&facts.logs[i], facts, policy, remote, recorded) })
        .collect();
    Plan { items }
}

/// Oldest redo first, whatever the order of discovery: the standby can begin with it.
fn age(log: &SourceLog) -> (u64, u64, u64, u64, &Path) {
    let key = log.key;
    (key.resetlogs_id, log.first_change.unwrap_or(0), key.sequence, key.thread, &log.path)
}

/// One file per log: a ready one before one that is not, then by path, so that the order of discovery is irrelevant.
fn best_copies(logs: &[SourceLog]) -> Vec<usize> {
    let mut best: BTreeMap<Key, usize> = BTreeMap::new();
    let rank = |i: usize| (!logs[i].is_ready(), &logs[i].path);
    for (i, log) in logs.iter().enumerate() {
        let slot = best.entry(log.key).or_insert(i);
        if rank(i) < rank(*slot) {
            *slot = i;
        }
    }
    best.into_values().collect()
}

fn action(
    log: &SourceLog,
    facts: &Facts,
    policy: &Policy,
    remote: &Remote,
    recorded: &dyn Fn(Key) -> Option<PathBuf>,
) -> Action {
    if let Some(reason) = not_needed(log, facts, policy) {
        return Action::Skip(reason);
    }
    if let Some(held) = facts.there.get(&log.key) {
        return Action::Present(held.path.clone());
    }
    match &log.state {
        SourceState::NotReady(reason) => return Action::Wait(reason.clone()),
        SourceState::Damaged(reason) => return Action::Damaged(reason.clone()),
        SourceState::Ready => {}
    }
    let mut candidates: Vec<RemoteFile> =
        recorded(log.key).and_then(|p| remote.at(&p).cloned()).into_iter().collect();
    for file in remote.candidates(log) {
        if !candidates.contains(&file) {
            candidates.push(file);
        }
    }
    if candidates.is_empty() {
        Action::Send
    } else {
        Action::Compare(candidates)
    }
}
