//! Which objects of the array are snapshots of ours, and what stands in the way of deleting one. Pure.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use chrono::{DateTime, NaiveDateTime, Utc};
use common::infinibox::{SetKind, SetMark, Volume, OWNER};
use regex::Regex;

/// The prefix of the original's names.
pub const PREFIX: &str = "orasync";

/// An object of the array and whose it says it is.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    pub volume: Volume,
    pub owner: Owner,
    pub group: Group,
}

/// The group that an object is a member of, as far as it is asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Group {
    #[default]
    None,
    /// The snapshot group of a consistency group.
    OfSnapshots,
    Other,
}

/// What the metadata of an object says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Owner {
    /// It has no metadata.
    #[default]
    Nobody,
    /// `host.created_by` is ours and `orapipe.set` says the rest.
    Ours(SetMark),
    /// Somebody else's, or not to be understood: why.
    Other(String),
    /// The array would not show it: why. It may be anybody's.
    Unread(String),
}

/// What the metadata of one object says, from the values of its two keys and whether it has others.
pub fn owner(created_by: Option<&str>, set: Option<&str>, other_key: Option<&str>) -> Owner {
    match (created_by, set) {
        (Some(OWNER), Some(text)) => match SetMark::parse(text) {
            Some(mark) => Owner::Ours(mark),
            None => Owner::Other("its orapipe.set cannot be understood".to_owned()),
        },
        (Some(OWNER), None) => Owner::Other("it is marked as ours, but of no set".to_owned()),
        (Some(""), _) => Owner::Other("its host.created_by is empty".to_owned()),
        (Some(by), _) => Owner::Other(format!("{by} made it")),
        (None, Some(_)) => Owner::Other("it has orapipe.set, but nobody says who made it".to_owned()),
        (None, None) => match other_key {
            Some(key) => Owner::Other(format!("it has metadata of somebody else ({key})")),
            None => Owner::Nobody,
        },
    }
}

/// What a name of our form says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name<'a> {
    pub prefix: &'a str,
    pub kind: SetKind,
    pub stamp: &'a str,
    pub volume: Option<&'a str>,
}

static FORM: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"^(.+?)_(data|archive)_([0-9]{4}-[0-9]{2}-[0-9]{2}_[0-9]{6})(?:_(.+))?$").ok()
});

/// Reads `<prefix>_(data|archive)_<YYYY-MM-DD>_<HHMMSS>[_<volume>]` with a date that exists.
pub fn parse_name(name: &str) -> Option<Name<'_>> {
    let found = FORM.as_ref()?.captures(name)?;
    let stamp = found.get(3)?.as_str();
    time_of(stamp)?;
    Some(Name {
        prefix: found.get(1)?.as_str(),
        kind: if found.get(2)?.as_str() == "data" { SetKind::Data } else { SetKind::Archive },
        stamp,
        volume: found.get(4).map(|m| m.as_str()),
    })
}

/// The time in a stamp, of a clock and a zone that nobody knows.
pub fn time_of(stamp: &str) -> Option<NaiveDateTime> {
    NaiveDateTime::parse_from_str(stamp, "%Y-%m-%d_%H%M%S").ok()
}

/// A snapshot of ours.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Where it is in the listing.
    pub at: usize,
    pub id: u64,
    pub name: String,
    pub prefix: String,
    pub kind: SetKind,
    pub stamp: String,
    /// Epoch milliseconds by the array's clock.
    pub created: i64,
    /// The volume that it was taken of.
    pub parent: u64,
    /// Its name, where the listing has it.
    pub volume: Option<String>,
    /// `None` for what the original script or an array without metadata has left.
    pub mark: Option<SetMark>,
    /// --match is in its name.
    pub chosen: bool,
    pub hold: Option<Hold>,
}

/// What stands in the way of deleting it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    pub reason: String,
    /// Whether it still counts as a good copy: nobody can have changed it and nobody else will delete it.
    pub counts: bool,
}

/// What an object is to us.
#[derive(Debug, Clone)]
pub enum Verdict {
    Ours(Box<Snapshot>),
    /// Its name contains the word, but it is none of ours: why.
    NotOurs(String),
    /// Nothing to do with us.
    Unmentioned,
}

/// Those that may be ours as far as the listing and `owner` tell: their positions.
pub fn candidates(seen: &[Seen], word: &str) -> Vec<usize> {
    let verdicts = judge(seen, word, 0).into_iter().enumerate();
    verdicts.filter(|(_, v)| matches!(v, Verdict::Ours(_))).map(|(at, _)| at).collect()
}

/// Judges every object of the listing. `now` is the array's clock.
pub fn judge(seen: &[Seen], word: &str, now: i64) -> Vec<Verdict> {
    let by_id: HashMap<u64, &Volume> = seen.iter().map(|s| (s.volume.id, &s.volume)).collect();
    let parents: HashSet<u64> = seen.iter().filter_map(|s| s.volume.parent()).collect();
    let listing = Listing { by_id, parents };
    seen.iter().enumerate().map(|(at, seen)| judge_one(at, seen, &listing, word, now)).collect()
}

struct Listing<'a> {
    by_id: HashMap<u64, &'a Volume>,
    /// Ids of all that have a snapshot.
    parents: HashSet<u64>,
}

fn judge_one(at: usize, seen: &Seen, listing: &Listing, word: &str, now: i64) -> Verdict {
    let volume = &seen.volume;
    let mentioned = volume.name.contains(word);
    let is_marked = matches!(seen.owner, Owner::Ours(_));
    if !mentioned && !is_marked {
        return Verdict::Unmentioned;
    }
    match snapshot(at, seen, listing, word, now) {
        Ok(snapshot) => Verdict::Ours(Box::new(snapshot)),
        Err(reason) if mentioned => Verdict::NotOurs(reason),
        Err(_) => Verdict::Unmentioned,
    }
}

fn snapshot(at: usize, seen: &Seen, listing: &Listing, word: &str, now: i64) -> Result<Snapshot, String> {
    let volume = &seen.volume;
    let kind = volume.kind.as_deref().unwrap_or("of no type").to_ascii_uppercase();
    let parent = match volume.parent() {
        None => return Err("a volume, not a snapshot".to_owned()),
        Some(parent) => parent,
    };
    if kind == "CLONE" || volume.depth.is_some_and(|d| d > 1) {
        return Err("a snapshot of a snapshot".to_owned());
    }
    if !matches!(kind.as_str(), "SNAPSHOT" | "SNAP") || volume.depth == Some(0) {
        return Err(format!("not a snapshot but {kind}"));
    }
    if listing.by_id.get(&parent).is_some_and(|p| p.parent().is_some()) {
        return Err("a snapshot of a snapshot".to_owned());
    }
    if let Owner::Other(why) = &seen.owner {
        return Err(why.clone());
    }
    let Some(name) = parse_name(&volume.name) else {
        return Err("its name has not the form of ours".to_owned());
    };
    let mark = match &seen.owner {
        Owner::Ours(mark) => Some(mark.clone()),
        _ => None,
    };
    match &mark {
        // Somebody may use this very word for something of his own; without our mark only known prefixes count.
        None if name.prefix != word && name.prefix != PREFIX => {
            return Err(format!("its name begins with {}, not with {word}", name.prefix));
        }
        Some(mark) if mark.kind != name.kind || mark.stamp != name.stamp => {
            return Err("its name and its metadata disagree: renamed?".to_owned());
        }
        _ => {}
    }
    let Some(created) = volume.created_at else {
        return Err("the array does not say when it was taken".to_owned());
    };
    // It may be a stranger, so it is no good copy; it may be ours, so its set stays with it.
    let unread = match &seen.owner {
        Owner::Unread(why) => {
            Some(Hold { reason: format!("its metadata cannot be read: {why}"), counts: false })
        }
        _ => None,
    };
    let child = listing
        .parents
        .contains(&volume.id)
        .then(|| Hold { reason: "it has snapshots of its own".to_owned(), counts: true });
    Ok(Snapshot {
        at,
        id: volume.id,
        name: volume.name.clone(),
        prefix: name.prefix.to_owned(),
        kind: name.kind,
        stamp: name.stamp.to_owned(),
        created,
        parent,
        volume: listing.by_id.get(&parent).map(|p| p.name.clone()),
        chosen: volume.name.contains(word),
        hold: unread.or_else(|| hold(volume, seen.group, now)).or(child),
        mark,
    })
}

/// What forbids the deletion of this object now. A snapshot group is no obstacle for what ib-snap itself has taken with a
/// consistency group: it goes as a whole.
pub fn hold(volume: &Volume, group: Group, now: i64) -> Option<Hold> {
    let held = |reason: String, counts| Some(Hold { reason, counts });
    if volume.is_locked(now) {
        return match volume.lock_expires_at.and_then(DateTime::<Utc>::from_timestamp_millis) {
            Some(until) => held(format!("locked until {}", until.format("%Y-%m-%dT%H:%M:%SZ")), true),
            None => held("locked".to_owned(), true),
        };
    }
    match volume.mapped {
        Some(false) => {}
        Some(true) => return held("mapped to a host".to_owned(), false),
        None => return held("the array does not say whether it is mapped".to_owned(), true),
    }
    if volume.has_children == Some(true) {
        return held("it has snapshots of its own".to_owned(), true);
    }
    if volume.is_replicated() {
        return held("replicated".to_owned(), false);
    }
    if let Some(at) = volume.snapshot_expires_at.filter(|at| *at > 0) {
        let at = DateTime::<Utc>::from_timestamp_millis(at);
        let at = at.map(|t| t.format(" at %Y-%m-%dT%H:%M:%SZ").to_string()).unwrap_or_default();
        return held(format!("the array deletes it by itself{at}"), false);
    }
    if let (Some(cg), Group::None | Group::Other) = (volume.cg_id.filter(|id| *id != 0), group) {
        let name = volume.cg_name.clone().unwrap_or_else(|| cg.to_string());
        return held(format!("member of the consistency group {name}"), true);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(name: &str) -> Seen {
        let volume = Volume {
            id: 7,
            name: name.to_owned(),
            kind: Some("SNAPSHOT".to_owned()),
            parent_id: Some(1),
            depth: Some(1),
            created_at: Some(1_000),
            mapped: Some(false),
            ..Volume::default()
        };
        Seen { volume, ..Seen::default() }
    }

    fn reason(seen: &Seen, word: &str) -> String {
        match judge(std::slice::from_ref(seen), word, 5_000).remove(0) {
            Verdict::Ours(s) => s.hold.map_or_else(|| "ours".to_owned(), |h| h.reason),
            Verdict::NotOurs(reason) => reason,
            Verdict::Unmentioned => "unmentioned".to_owned(),
        }
    }

    #[test]
    fn names_have_one_form() {
        let name = parse_name("orasync_data_2016-04-11_093413").unwrap();
        assert_eq!((name.prefix, name.kind, name.volume), ("orasync", SetKind::Data, None));
        let name = parse_name("my_db_archive_2016-04-11_093413_vol_1").unwrap();
        assert_eq!((name.prefix, name.kind, name.volume), ("my_db", SetKind::Archive, Some("vol_1")));
        for other in [
            "orasync_data_2016-04-11",
            "orasync_data_2016-13-41_093413",
            "orasync_data_2016-04-11_093413x",
            "orasync_data_2016-04-11_093413_",
            "_data_2016-04-11_093413",
            "orasync-data-2016-04-11_093413",
            "orasync_redo_2016-04-11_093413",
            "orasync_data_٢٠١٦-04-11_093413",
        ] {
            assert_eq!(parse_name(other), None, "{other}");
        }
    }

    #[test]
    fn what_only_looks_like_ours_is_not_ours() {
        let good = "orasync_data_2016-04-11_093413";
        assert_eq!(reason(&seen(good), "orasync"), "ours");
        assert_eq!(reason(&seen("my-orasync-notes"), "orasync"), "its name has not the form of ours");
        assert_eq!(reason(&seen("unrelated"), "orasync"), "unmentioned");
        assert_eq!(
            reason(&seen("myorasync_data_2016-04-11_093413"), "orasync"),
            "its name begins with myorasync, not with orasync"
        );
        // Another word only narrows the choice, or is another prefix of ib-snap's.
        assert_eq!(reason(&seen("orasync_data_2016-04-11_093413_crm"), "crm"), "ours");
        assert_eq!(reason(&seen("crm_data_2016-04-11_093413"), "crm"), "ours");
        let change = |f: fn(&mut Seen)| {
            let mut seen = seen(good);
            f(&mut seen);
            reason(&seen, "orasync")
        };
        assert_eq!(change(|s| s.volume.parent_id = Some(0)), "a volume, not a snapshot");
        assert_eq!(change(|s| s.volume.kind = Some("MASTER".to_owned())), "not a snapshot but MASTER");
        assert_eq!(change(|s| s.volume.kind = Some("clone".to_owned())), "a snapshot of a snapshot");
        assert_eq!(change(|s| s.volume.depth = Some(2)), "a snapshot of a snapshot");
        assert_eq!(change(|s| s.volume.kind = Some("snap".to_owned())), "ours");
        assert_eq!(change(|s| s.volume.depth = None), "ours");
        assert_eq!(change(|s| s.volume.created_at = None), "the array does not say when it was taken");
        assert_eq!(change(|s| s.owner = owner(Some("infinimerge"), None, None)), "infinimerge made it");
    }

    #[test]
    fn the_parent_in_the_listing_tells_the_depth_where_the_version_has_none() {
        let mut child = seen("orasync_data_2016-04-11_093413");
        child.volume.depth = None;
        let mut parent = seen("x");
        parent.volume.id = 1;
        parent.volume.parent_id = Some(9);
        match judge(&[child, parent], "orasync", 5_000).remove(0) {
            Verdict::NotOurs(reason) => assert_eq!(reason, "a snapshot of a snapshot"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_in_use_is_held() {
        let held = |f: fn(&mut Volume)| {
            let mut seen = seen("orasync_data_2016-04-11_093413");
            f(&mut seen.volume);
            reason(&seen, "orasync")
        };
        assert_eq!(held(|v| v.lock_expires_at = Some(6_000)), "locked until 1970-01-01T00:00:06Z");
        assert_eq!(held(|v| v.lock_expires_at = Some(5_000)), "ours");
        assert_eq!(held(|v| v.lock_state = Some("LOCKED".to_owned())), "locked");
        assert_eq!(held(|v| v.lock_state = Some("UNLOCKED".to_owned())), "ours");
        assert_eq!(held(|v| v.mapped = Some(true)), "mapped to a host");
        assert_eq!(held(|v| v.mapped = None), "the array does not say whether it is mapped");
        assert_eq!(held(|v| v.has_children = Some(true)), "it has snapshots of its own");
        assert_eq!(held(|v| v.rmr_target = Some(true)), "replicated");
        assert_eq!(held(|v| v.cg_id = Some(17)), "member of the consistency group 17");
        assert_eq!(held(|v| v.cg_id = Some(0)), "ours");
        assert_eq!(
            held(|v| v.snapshot_expires_at = Some(9_000)),
            "the array deletes it by itself at 1970-01-01T00:00:09Z"
        );
    }

    #[test]
    fn metadata_says_whose_it_is() {
        let mark = SetMark { db: "PROD".to_owned(), stamp: "s".to_owned(), ..SetMark::default() };
        assert_eq!(owner(Some("orapipe"), Some(&mark.text()), None), Owner::Ours(mark.clone()));
        for (by, set, other) in [
            (Some("orapipe"), Some("{"), None),
            (Some("orapipe"), None, None),
            (Some("cinder/1"), Some("{}"), None),
            (None, Some("{}"), None),
            (None, None, Some("retention")),
        ] {
            assert!(matches!(owner(by, set, other), Owner::Other(_)), "{by:?} {set:?} {other:?}");
        }
        assert_eq!(owner(None, None, None), Owner::Nobody);
        let mut renamed = seen("orasync_data_2016-04-11_093413");
        renamed.owner = Owner::Ours(mark);
        assert_eq!(reason(&renamed, "orasync"), "its name and its metadata disagree: renamed?");
    }
}
