//! Which volumes belong together: those of one database, as far as anybody knows. Pure.
//!
//! The metadata of ib-snap says it. The original script left nothing but names and times: there the volumes belong
//! together whose snapshots followed one another as its steps did, data first and the archive volumes right after. A
//! wrong guess costs nothing but space, because every rule that protects asks per volume.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use common::infinibox::SetKind;

use crate::ours::Snapshot;

/// The original's steps from the first data snapshot to the last archive snapshot take seconds; a slow array and a slow
/// archiver make minutes of it.
pub const RUN_MILLIS: i64 = 30 * 60 * 1000;

/// Volumes in groups.
#[derive(Debug, Clone, Default)]
pub struct Families {
    up: HashMap<u64, u64>,
}

impl Families {
    /// The one that stands for the group of `volume`.
    pub fn of(&self, volume: u64) -> u64 {
        let mut at = volume;
        while let Some(up) = self.up.get(&at).filter(|up| **up != at) {
            at = *up;
        }
        at
    }

    /// Puts all these volumes into one group.
    pub fn join(&mut self, volumes: impl IntoIterator<Item = u64>) {
        let mut first = None;
        for volume in volumes {
            let root = self.of(volume);
            let (low, high) = match first {
                None => (root, root),
                Some(other) => (root.min(other), root.max(other)),
            };
            self.up.insert(high, low);
            first = Some(low);
        }
    }
}

/// The groups of volumes, from the sets with metadata, from what the settings say, and from the times of the rest.
/// `unmarked` is sorted by time.
pub fn families(marked: &[Vec<u64>], configured: &[u64], unmarked: &[&Snapshot]) -> Families {
    let mut families = Families::default();
    for volumes in marked {
        families.join(volumes.iter().copied());
    }
    families.join(configured.iter().copied());
    let known: BTreeSet<u64> = configured.iter().copied().collect();
    for (data, archives) in followers(unmarked, &known) {
        families.join(std::iter::once(data).chain(archives));
    }
    families
}

/// For each data volume the archive volumes whose snapshots followed its own.
fn followers(unmarked: &[&Snapshot], known: &BTreeSet<u64>) -> BTreeMap<u64, BTreeSet<u64>> {
    let mut by_stamp: HashMap<(&str, &str), Vec<u64>> = HashMap::new();
    for s in unmarked.iter().filter(|s| s.kind == SetKind::Archive) {
        by_stamp.entry((&s.prefix, &s.stamp)).or_default().push(s.parent);
    }
    let mut votes: BTreeMap<u64, BTreeMap<u64, usize>> = BTreeMap::new();
    for (at, data) in unmarked.iter().enumerate() {
        if data.kind != SetKind::Data || known.contains(&data.parent) {
            continue;
        }
        let votes = votes.entry(data.parent).or_default();
        // ib-snap has one stamp for a run, the original a new one for each snapshot.
        let archives: BTreeSet<u64> = match by_stamp.get(&(data.prefix.as_str(), data.stamp.as_str())) {
            Some(archives) => archives.iter().copied().collect(),
            None => run_after(&unmarked[at..]).collect(),
        };
        for archive in archives {
            *votes.entry(archive).or_default() += 1;
        }
    }
    votes
        .into_iter()
        .map(|(data, votes)| {
            let most = votes.values().copied().max().unwrap_or(0);
            let archives: BTreeSet<u64> =
                votes.into_iter().filter(|(_, n)| n * 2 >= most).map(|(archive, _)| archive).collect();
            let lonely = archives.is_empty();
            (data, if lonely { nearest_after(unmarked, data) } else { archives })
        })
        .collect()
}

/// The archive snapshots that follow the first one of this list without another data snapshot between them.
fn run_after<'a>(from: &'a [&Snapshot]) -> impl Iterator<Item = u64> + 'a {
    let start = from.first().map_or(0, |s| s.created);
    from.iter()
        .take_while(move |s| s.created - start <= RUN_MILLIS)
        .skip_while(|s| s.kind == SetKind::Data)
        .take_while(|s| s.kind == SetKind::Archive)
        .map(|s| s.parent)
}

/// A data volume that was never followed in time: the archive volume that came next, however late.
fn nearest_after(unmarked: &[&Snapshot], data: u64) -> BTreeSet<u64> {
    let mut waiting: Option<i64> = None;
    let mut best: Option<(i64, u64)> = None;
    for s in unmarked {
        if s.kind == SetKind::Data && s.parent == data {
            waiting = Some(s.created);
        } else if let (SetKind::Archive, Some(since)) = (s.kind, waiting) {
            let gap = s.created - since;
            if best.is_none_or(|(g, _)| gap < g) {
                best = Some((gap, s.parent));
            }
            waiting = None;
        }
    }
    best.into_iter().map(|(_, archive)| archive).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(kind: SetKind, parent: u64, created: i64) -> Snapshot {
        Snapshot {
            at: 0,
            id: created as u64,
            name: format!("{kind:?}-{created}"),
            prefix: "orasync".to_owned(),
            kind,
            stamp: format!("{kind:?}-{created}"),
            created,
            parent,
            volume: None,
            mark: None,
            chosen: true,
            hold: None,
        }
    }

    fn groups(list: &[(SetKind, u64, i64)]) -> Families {
        let list: Vec<_> = list.iter().map(|(k, p, c)| snapshot(*k, *p, *c)).collect();
        families(&[], &[], &list.iter().collect::<Vec<_>>())
    }

    use SetKind::{Archive, Data};

    #[test]
    fn volumes_whose_snapshots_follow_one_another_belong_together() {
        let day = 86_400_000;
        let mut list = Vec::new();
        for n in 0..5 {
            // Two databases a minute apart, the second with two data and two archive volumes.
            list.extend([(Data, 1, n * day), (Archive, 11, n * day + 10_000)]);
            list.extend([(Data, 2, n * day + 60_000), (Data, 3, n * day + 62_000)]);
            list.extend([(Archive, 12, n * day + 70_000), (Archive, 13, n * day + 71_000)]);
        }
        let found = groups(&list);
        assert_eq!(found.of(1), found.of(11));
        assert_ne!(found.of(1), found.of(2));
        for volume in [3, 12, 13] {
            assert_eq!(found.of(volume), found.of(2), "{volume}");
        }
    }

    #[test]
    fn one_collision_does_not_marry_two_databases() {
        let day = 86_400_000;
        let mut list = Vec::new();
        for n in 0..5 {
            list.extend([(Data, 1, n * day), (Archive, 11, n * day + 10_000)]);
            list.extend([(Data, 2, n * day + 60_000), (Archive, 12, n * day + 70_000)]);
        }
        list.extend([(Data, 1, 9 * day), (Data, 2, 9 * day + 1), (Archive, 12, 9 * day + 2)]);
        assert_ne!(groups(&list).of(1), groups(&list).of(2));
    }

    #[test]
    fn a_volume_that_was_never_followed_in_time_takes_the_next_archive_volume() {
        let found = groups(&[(Data, 1, 0), (Archive, 11, 2 * RUN_MILLIS), (Archive, 12, 3 * RUN_MILLIS)]);
        assert_eq!(found.of(1), found.of(11));
        assert_ne!(found.of(1), found.of(12));
    }

    #[test]
    fn what_the_settings_say_is_not_guessed() {
        let list = [snapshot(Data, 1, 0), snapshot(Archive, 12, 10)];
        let found = families(&[], &[1, 11], &list.iter().collect::<Vec<_>>());
        assert_eq!(found.of(1), found.of(11));
        assert_ne!(found.of(1), found.of(12));
    }
}
