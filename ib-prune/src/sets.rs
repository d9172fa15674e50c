//! Snapshots that are one backup: the data half and the archive half of one run. Pure.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use common::infinibox::{SetKind, SetState};

use crate::families::{families, Families, RUN_MILLIS};
use crate::ours::{parse_name, Snapshot};

/// How far from the rest of its set a member without metadata may have been taken: ib-snap waits for the archiver.
const ADOPT_MILLIS: i64 = 6 * 3_600_000;

/// What a set is worth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Worth {
    /// Data half and archive half, all members, by a run that was proven.
    Complete,
    /// As complete as it was meant to be: ib-snap --no-archive.
    DataOnly,
    /// No backup: why.
    Lacks(String),
}

/// What sets are counted by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// DB_NAME, DBID, and the group of its data volumes: a standby on the same array has the same DBID.
    Database(String, u64, u64),
    /// A data volume, where only names and times are known.
    Volume(u64),
}

/// One set.
#[derive(Debug, Clone)]
pub struct Set {
    /// By time.
    pub data: Vec<Snapshot>,
    /// By time.
    pub archive: Vec<Snapshot>,
    pub worth: Worth,
    /// Whether no data snapshot is missing, as far as anybody knows.
    pub data_whole: bool,
    /// With metadata of ib-snap.
    pub marked: bool,
    /// Whether the archive half is all that was meant to be.
    pub archive_whole: bool,
    /// What it counts for.
    pub counts_for: Vec<Key>,
    /// By which of them it can be one of the newest that stay.
    pub ranked_by: Vec<Key>,
    /// The group of its volumes.
    pub family: u64,
    /// The database or the volumes, for people.
    pub whose: String,
}

impl Set {
    pub fn members(&self) -> impl Iterator<Item = &Snapshot> {
        self.data.iter().chain(&self.archive)
    }

    /// When its first member was taken: the data, where it has any.
    pub fn begun(&self) -> i64 {
        self.data.first().or(self.archive.first()).map_or(0, |s| s.created)
    }

    /// When its youngest member was taken.
    pub fn newest(&self) -> i64 {
        self.members().map(|s| s.created).max().unwrap_or(0)
    }

    /// Orders sets, oldest first.
    pub fn order(&self) -> (i64, u64) {
        (self.begun(), self.members().map(|s| s.id).min().unwrap_or(0))
    }

    /// The name by which messages call it.
    pub fn name(&self) -> &str {
        self.members().next().map_or("", |s| &s.name)
    }
}

/// Forms the sets, oldest first. `configured` are the volumes that the settings name together.
pub fn sets(snapshots: Vec<Snapshot>, configured: &[u64]) -> (Vec<Set>, Families) {
    let (marked, mut unmarked): (Vec<_>, Vec<_>) = snapshots.into_iter().partition(|s| s.mark.is_some());
    let mut groups = by_mark(marked);
    unmarked = adopt(&mut groups, unmarked);
    unmarked.sort_by_key(|s| (s.created, s.kind, s.id));

    let volumes: Vec<Vec<u64>> = groups.iter().map(|g| g.iter().map(|s| s.parent).collect()).collect();
    let all = families(&volumes, configured, &unmarked.iter().collect::<Vec<_>>());
    // An archive volume may be shared by databases; the data volumes alone tell one from another.
    let mut data_only = Families::default();
    for group in &groups {
        data_only.join(group.iter().filter(|s| s.kind == SetKind::Data).map(|s| s.parent));
    }
    let mut first_marked: HashMap<u64, i64> = HashMap::new();
    for s in groups.iter().flatten().filter(|s| s.mark.is_some()) {
        let first = first_marked.entry(s.parent).or_insert(s.created);
        *first = s.created.min(*first);
    }
    let mut sets: Vec<Set> = groups.into_iter().filter_map(|g| marked_set(g, &all, &data_only)).collect();
    sets.extend(by_time(unmarked, &all, &first_marked));
    sets.sort_by_key(Set::order);
    (sets, all)
}

/// Members of one run of ib-snap.
fn by_mark(marked: Vec<Snapshot>) -> Vec<Vec<Snapshot>> {
    let mut groups: BTreeMap<(String, u64, String, String), Vec<Snapshot>> = BTreeMap::new();
    for snapshot in marked {
        let Some(mark) = &snapshot.mark else { continue };
        let key = (mark.db.clone(), mark.dbid, mark.run.clone(), mark.stamp.clone());
        groups.entry(key).or_default().push(snapshot);
    }
    groups.into_values().collect()
}

/// A member whose metadata could not be written has the stamp of its set in its name. Returns what belongs nowhere.
fn adopt(groups: &mut [Vec<Snapshot>], unmarked: Vec<Snapshot>) -> Vec<Snapshot> {
    let mut by_stamp: HashMap<(String, String), Vec<usize>> = HashMap::new();
    for (at, group) in groups.iter().enumerate() {
        for snapshot in group.iter().take(1) {
            by_stamp.entry((snapshot.prefix.clone(), snapshot.stamp.clone())).or_default().push(at);
        }
    }
    let mut rest = Vec::new();
    for snapshot in unmarked {
        let near = by_stamp.get(&(snapshot.prefix.clone(), snapshot.stamp.clone()));
        let fitting: Vec<usize> = near
            .into_iter()
            .flatten()
            .copied()
            .filter(|at| groups.get(*at).is_some_and(|g| has_room(g, &snapshot)))
            .collect();
        match fitting.as_slice() {
            [only] => groups[*only].push(snapshot),
            _ => rest.push(snapshot),
        }
    }
    rest
}

fn has_room(group: &[Snapshot], snapshot: &Snapshot) -> bool {
    let Some(mark) = group.first().and_then(|s| s.mark.as_ref()) else { return false };
    let same_kind = group.iter().filter(|s| s.kind == snapshot.kind);
    let expected = expected(group, snapshot.kind);
    let wanted = snapshot.kind == SetKind::Data || mark.archive;
    let near = group.iter().any(|s| (s.created - snapshot.created).abs() <= ADOPT_MILLIS);
    let taken = group.iter().any(|s| s.kind == snapshot.kind && s.parent == snapshot.parent);
    wanted && near && !taken && expected.is_none_or(|n| (same_kind.count() as u64) < n)
}

/// How many members of this kind the set should have, where one of them says so.
fn expected(group: &[Snapshot], kind: SetKind) -> Option<u64> {
    group.iter().filter_map(|s| s.mark.as_ref()).filter(|m| m.kind == kind).map(|m| m.n).max()
}

fn halves(group: Vec<Snapshot>) -> (Vec<Snapshot>, Vec<Snapshot>) {
    let (mut data, mut archive): (Vec<_>, Vec<_>) = group.into_iter().partition(|s| s.kind == SetKind::Data);
    for half in [&mut data, &mut archive] {
        half.sort_by_key(|s| (s.created, s.id));
    }
    (data, archive)
}

fn marked_set(group: Vec<Snapshot>, all: &Families, data_only: &Families) -> Option<Set> {
    let mark = group.iter().find_map(|s| s.mark.clone())?;
    let family = all.of(group.first()?.parent);
    let wants_archive = group.iter().filter_map(|s| s.mark.as_ref()).any(|m| m.archive);
    let missing = |kind, what: &str| {
        let there = group.iter().filter(|s| s.kind == kind).count() as u64;
        match expected(&group, kind) {
            Some(n) if there < n => Some(format!("{there} of {n} {what} snapshots")),
            None if there == 0 => Some(format!("no {what} snapshot")),
            _ => None,
        }
    };
    let no_data = missing(SetKind::Data, "data");
    let no_archive = if wants_archive { missing(SetKind::Archive, "archive") } else { None };
    let unproven = group.iter().any(|s| s.mark.as_ref().is_some_and(|m| m.state != SetState::Complete));
    let worth = match (&no_data, &no_archive) {
        (Some(lack), _) | (None, Some(lack)) => Worth::Lacks(lack.clone()),
        _ if unproven => Worth::Lacks("ib-snap did not finish it".to_owned()),
        _ if wants_archive => Worth::Complete,
        _ => Worth::DataOnly,
    };
    let archive_whole = wants_archive && no_archive.is_none();
    let (data, archive) = halves(group);
    let volumes = data.first().map_or(0, |s| data_only.of(s.parent));
    let key = Key::Database(mark.db.clone(), mark.dbid, volumes);
    let by_volume = data.iter().map(|s| Key::Volume(s.parent));
    Some(Set {
        counts_for: std::iter::once(key.clone()).chain(by_volume).collect(),
        ranked_by: vec![key],
        worth,
        data_whole: no_data.is_none(),
        marked: true,
        archive_whole,
        family,
        whose: format!("database {}", mark.db),
        data,
        archive,
    })
}

/// What the original script left: data snapshots and the archive snapshots that followed them before the next data.
/// `unmarked` is sorted by time; `first_marked` has the time of each volume's oldest snapshot with a mark.
fn by_time(unmarked: Vec<Snapshot>, all: &Families, first_marked: &HashMap<u64, i64>) -> Vec<Set> {
    let mut families: BTreeMap<u64, Vec<Vec<Snapshot>>> = BTreeMap::new();
    for snapshot in unmarked {
        let runs = families.entry(all.of(snapshot.parent)).or_default();
        match runs.last_mut().filter(|run| goes_on(run, &snapshot)) {
            Some(run) => run.push(snapshot),
            None => runs.push(vec![snapshot]),
        }
    }
    let sets = families.into_iter().flat_map(|(family, runs)| {
        runs.into_iter().map(move |run| {
            let (data, archive) = halves(run);
            let worth = match (data.is_empty(), archive.is_empty()) {
                (false, false) => match lack(&data, &archive, first_marked) {
                    Some(lack) => Worth::Lacks(lack.to_owned()),
                    None => Worth::Complete,
                },
                (true, _) => Worth::Lacks("no data snapshot".to_owned()),
                (_, true) => Worth::Lacks("no archive snapshot".to_owned()),
            };
            let first = data.first().or(archive.first());
            let volume = first.and_then(|s| s.volume.clone()).unwrap_or_else(|| family.to_string());
            let keys: Vec<Key> = data.iter().map(|s| Key::Volume(s.parent)).collect();
            Set {
                worth,
                data_whole: !data.is_empty(),
                marked: false,
                archive_whole: false,
                counts_for: keys.clone(),
                ranked_by: keys,
                family,
                whose: format!("volume {volume} (no metadata)"),
                data,
                archive,
            }
        })
    });
    sets.collect()
}

/// Why a data half and an archive half without metadata are no backup that can be relied on. ib-snap marks what it has
/// finished, so that what it has left without a mark is cut short; and its runs have one stamp, with the volume behind
/// it where there are several, while the original takes a new stamp for each snapshot and never names the volume.
fn lack(data: &[Snapshot], archive: &[Snapshot], first_marked: &HashMap<u64, i64>) -> Option<&'static str> {
    if data.iter().any(|s| first_marked.get(&s.parent).is_some_and(|first| s.created >= *first)) {
        return Some("it was taken since ib-snap marks its snapshots, and has no mark");
    }
    let run = |s: &Snapshot| (s.prefix.clone(), s.stamp.clone());
    let archived: BTreeSet<_> = archive.iter().map(run).collect();
    let ours = |s: &Snapshot| {
        parse_name(&s.name).is_some_and(|name| name.volume.is_some())
            || data.iter().any(|other| other.id != s.id && run(other) == run(s))
    };
    let alone = data.iter().any(|s| ours(s) && !archived.contains(&run(s)));
    alone.then_some("no archive snapshot of the same run")
}

fn goes_on(run: &[Snapshot], next: &Snapshot) -> bool {
    let Some(last) = run.last() else { return false };
    let again = run.iter().any(|s| s.parent == next.parent && s.kind == next.kind);
    let data_after_archive = next.kind == SetKind::Data && last.kind == SetKind::Archive;
    let archive_alone = run.iter().all(|s| s.kind == SetKind::Archive) && next.kind == SetKind::Data;
    !again && !data_after_archive && !archive_alone && next.created - last.created <= RUN_MILLIS
}
