//! What is on the array: every page of its listing, whose each snapshot is, and what time it is there.

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::Utc;
use common::exit::{Exit, Failure};
use common::infinibox::{ApiError, Array, Clock, ClockProbe, Kind, MetadataItem, CREATED_BY, SET_KEY};

use crate::mapping;
use crate::ours::{candidates, owner, parse_name, Group, Owner, Seen};

/// Clocks that differ by more are not believed: milliseconds.
const CLOCK_LIMIT: i64 = 10 * 60_000;

/// All of it.
#[derive(Debug)]
pub struct Found {
    pub seen: Vec<Seen>,
    /// The array's time when the listing was complete, in epoch milliseconds; where it is not sure, the earliest that is
    /// possible, so that nothing looks older than it is.
    pub now: i64,
    /// What a person should know.
    pub warnings: Vec<String>,
}

/// Asks the array. Nothing is changed. `word` is that of `--match`.
///
/// # Errors
/// Status 75 when it does not answer, 2 when it refuses, 4 when the clocks differ.
pub fn gather(array: &Array, word: &str, ignore_clock: bool) -> anyhow::Result<Found> {
    let mut probe = ClockProbe::default();
    array.look_at_clock(&mut probe).map_err(failure)?;
    let volumes = array.volumes(&[]).map_err(failure)?;
    let mut seen: Vec<Seen> = volumes.into_iter().map(|volume| Seen { volume, ..Seen::default() }).collect();
    let mut warnings = Vec::new();
    ask_owners(array, &mut seen, word, &mut warnings)?;
    ask_groups(array, &mut seen)?;
    match mapping::fill_all(array, &mut seen, word).map_err(failure)? {
        0 => {}
        n => warnings.push(format!(
            "the array does not say of {n} snapshots whether they are mapped; they and their sets stay"
        )),
    }
    match seen.iter().filter(|s| is_undated(s, word)).count() {
        0 => {}
        n => {
            warnings.push(format!("the array does not say of {n} snapshots when they were taken; they stay"))
        }
    }
    array.look_at_clock(&mut probe).map_err(failure)?;
    let host = Utc::now().timestamp_millis();
    let now = judge_clock(probe.clock(), host, ignore_clock, &mut warnings)?;
    warnings.extend(array.warnings());
    Ok(Found { seen, now, warnings })
}

/// Nothing was changed when this is called.
fn failure(error: ApiError) -> Failure {
    let exit = match error.kind {
        Kind::Unauthorized | Kind::Forbidden => Exit::Failed,
        _ => error.exit(),
    };
    error.failure_with(exit)
}

fn judge_clock(
    clock: Option<Clock>,
    host: i64,
    ignore: bool,
    warnings: &mut Vec<String>,
) -> anyhow::Result<i64> {
    let (message, now) = match clock {
        None => ("the array does not tell its time".to_owned(), host),
        Some(clock) => {
            let now = clock.array_time(host).0;
            if clock.best.abs() <= CLOCK_LIMIT {
                return Ok(now);
            }
            let side = if clock.best > 0 { "ahead of" } else { "behind" };
            let by = crate::plan::span(clock.best.abs());
            (format!("the array's clock is {by} {side} this host's"), now)
        }
    };
    if ignore {
        warnings.push(format!("{message} (--ignore-clock-difference)"));
        return Ok(now);
    }
    Err(Failure::new(Exit::Refused, format!("{message}: no age can be relied on, and nothing was deleted"))
        .hint("mend the clock (NTP) of the one that is wrong; --ignore-clock-difference counts by the array's as it is")
        .into())
}

/// A snapshot with our mark, or with a name of our form, of which no age is known.
fn is_undated(seen: &Seen, word: &str) -> bool {
    let may_be_ours = match seen.owner {
        Owner::Ours(_) => true,
        Owner::Other(_) => false,
        Owner::Nobody | Owner::Unread(_) => {
            seen.volume.name.contains(word) && parse_name(&seen.volume.name).is_some()
        }
    };
    may_be_ours && seen.volume.is_snapshot() && seen.volume.created_at.is_none()
}

/// In bulk where the array lets us, else object by object, and then only for names that might be ours.
fn ask_owners(
    array: &Array,
    seen: &mut [Seen],
    word: &str,
    warnings: &mut Vec<String>,
) -> anyhow::Result<()> {
    let mut by_object: HashMap<u64, BTreeMap<String, String>> = HashMap::new();
    let mut note = |items: Vec<MetadataItem>| {
        for item in items {
            by_object.entry(item.object_id).or_default().insert(item.key, item.value.unwrap_or_default());
        }
    };
    let mut unlisted = false;
    let mut unread: HashMap<u64, String> = HashMap::new();
    let named = |s: &Seen| s.volume.is_snapshot() && parse_name(&s.volume.name).is_some();
    if let Some(items) = bulk_by_key(array)? {
        let known: HashSet<u64> = items.iter().map(|i| i.object_id).collect();
        note(items);
        // Without our metadata, any other that it has makes it somebody else's.
        if seen.iter().any(|s| named(s) && !known.contains(&s.volume.id)) {
            match array.metadata_of_all() {
                Ok(items) => note(items),
                Err(error) if is_unfit(&error) => unlisted = true,
                Err(error) => return Err(failure(error).into()),
            }
        }
    } else {
        warnings.push("the array does not list metadata; each snapshot was asked for its own".to_owned());
        for s in seen.iter().filter(|s| named(s)) {
            let id = s.volume.id;
            match array.metadata(id) {
                Ok(keys) => drop(by_object.insert(id, keys)),
                Err(error) if is_refused(&error) => drop(unread.insert(id, error.to_string())),
                Err(error) => return Err(failure(error).into()),
            }
        }
    }
    for s in seen.iter_mut() {
        if let Some(keys) = by_object.get(&s.volume.id) {
            s.owner = owner_of(keys);
        } else if let Some(why) = unread.remove(&s.volume.id) {
            s.owner = Owner::Unread(why);
        }
    }
    if unlisted {
        ask_each(array, seen, word, warnings)?;
    }
    match seen.iter().filter(|s| matches!(s.owner, Owner::Unread(_))).count() {
        0 => {}
        n => warnings.push(format!("the metadata of {n} snapshots cannot be read; they and their sets stay")),
    }
    Ok(())
}

fn owner_of(keys: &BTreeMap<String, String>) -> Owner {
    let get = |key: &str| keys.get(key).map(String::as_str);
    let other = keys.keys().find(|k| ![CREATED_BY, SET_KEY].contains(&k.as_str()));
    owner(get(CREATED_BY), get(SET_KEY), other.map(String::as_str))
}

/// Our keys are known of all; whether the rest has metadata of somebody else, each of those has to say that could be
/// taken for what the original has left.
fn ask_each(array: &Array, seen: &mut [Seen], word: &str, warnings: &mut Vec<String>) -> anyhow::Result<()> {
    warnings.push(
        "the array does not list all metadata; each snapshot without ib-snap's was asked for its own"
            .to_owned(),
    );
    for at in candidates(seen, word) {
        let s = &mut seen[at];
        if s.owner != Owner::Nobody {
            continue;
        }
        match array.metadata(s.volume.id) {
            Ok(keys) => s.owner = owner_of(&keys),
            Err(error) if is_unfit(&error) => s.owner = Owner::Unread(error.to_string()),
            Err(error) => return Err(failure(error).into()),
        }
    }
    Ok(())
}

fn bulk_by_key(array: &Array) -> anyhow::Result<Option<Vec<MetadataItem>>> {
    let mut all = Vec::new();
    for key in [CREATED_BY, SET_KEY] {
        match array.metadata_with_key(key) {
            Ok(items) => all.extend(items),
            Err(error) if is_unfit(&error) => return Ok(None),
            Err(error) => return Err(failure(error).into()),
        }
    }
    Ok(Some(all))
}

/// This version does not know the question, or answers it in another way.
fn is_unfit(error: &ApiError) -> bool {
    matches!(error.kind, Kind::Refused | Kind::NotFound | Kind::Moving | Kind::Conflict)
        || (error.kind == Kind::NotApi && error.status.is_some_and(|s| s < 300))
}

/// The array has understood, and does not show it.
fn is_refused(error: &ApiError) -> bool {
    matches!(error.kind, Kind::Refused | Kind::Conflict)
}

/// Which groups are the snapshot groups of consistency groups: ib-snap's own may go with their members.
fn ask_groups(array: &Array, seen: &mut [Seen]) -> anyhow::Result<()> {
    let is_ours = |s: &Seen| matches!(s.owner, Owner::Ours(_)) && s.volume.cg_id.is_some_and(|id| id != 0);
    if !seen.iter().any(is_ours) {
        return Ok(());
    }
    let groups: HashMap<u64, bool> =
        array.cgs(&[]).map_err(failure)?.into_iter().map(|cg| (cg.id, cg.is_snapshot())).collect();
    for s in seen.iter_mut().filter(|s| is_ours(s)) {
        let id = s.volume.cg_id.unwrap_or(0);
        s.group = if groups.get(&id) == Some(&true) { Group::OfSnapshots } else { Group::Other };
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::exit::failure as failure_of;

    fn clock(best: i64) -> Option<Clock> {
        Some(Clock { earliest: best - 500, latest: best + 500, best, contradictory: false })
    }

    #[test]
    fn the_arrays_clock_counts_and_a_wrong_one_is_refused() {
        let mut warnings = Vec::new();
        assert_eq!(judge_clock(clock(60_000), 1_000_000, false, &mut warnings).unwrap(), 1_059_500);
        assert!(warnings.is_empty());
        let error = judge_clock(clock(20 * 86_400_000), 0, false, &mut warnings).unwrap_err();
        assert_eq!(failure_of(&error).unwrap().exit, Exit::Refused);
        assert!(
            error.to_string().starts_with("the array's clock is 20 days ahead of this host's"),
            "{error}"
        );
        let error = judge_clock(clock(-3 * 3_600_000), 0, false, &mut warnings).unwrap_err();
        assert!(error.to_string().starts_with("the array's clock is 3 hours behind this host's"), "{error}");
        judge_clock(None, 7, false, &mut warnings).unwrap_err();
        assert_eq!(judge_clock(None, 7, true, &mut warnings).unwrap(), 7);
        assert_eq!(judge_clock(clock(3_600_000), 7, true, &mut warnings).unwrap(), 3_599_507);
        assert_eq!(warnings.len(), 2);
    }
}
