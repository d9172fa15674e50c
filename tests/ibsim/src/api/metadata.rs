//! `/metadata`: keys and values of any object, and of the system.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{no_path, Ask, Reply};
use crate::error::{Answer, ApiError};
use crate::query::page;
use crate::state::small::Entry;
use crate::state::State;

/// The object of a path: `system` or an id.
#[derive(Clone, Copy)]
enum Of {
    System,
    Volume(u64),
    Group(u64),
}

impl Of {
    fn told(self) -> (u64, &'static str) {
        match self {
            Self::System => (0, "system"),
            Self::Volume(id) => (id, "volume"),
            Self::Group(id) => (id, "cg"),
        }
    }
}

pub fn handle(state: &mut State, ask: &Ask<'_>) -> Answer<Reply> {
    let two = state.config.version.has_metadata_2();
    if let ("GET", ["metadata"]) = (ask.method, ask.path.as_slice()) {
        let mut entries = Vec::new();
        for (id, volume) in &state.volumes {
            entries.extend(list(*id, "volume", &volume.metadata));
        }
        for (id, group) in &state.groups {
            entries.extend(list(*id, "cg", &group.metadata));
        }
        return listing(state, ask, &entries);
    }
    let of = object(state, ask.path.get(1).copied().unwrap_or_default())?;
    let mine = kept(state, of).cloned().unwrap_or_default();
    match (ask.method, &ask.path[2..]) {
        ("GET", []) if two => {
            let (id, kind) = of.told();
            listing(state, ask, &list(id, kind, &mine))
        }
        ("GET", []) => {
            let plain: Map<String, Value> = mine.into_iter().map(|(k, v)| (k, v.into())).collect();
            Ok(Reply::ok(plain.into()))
        }
        ("GET", [key]) => {
            let value = mine.get(*key).ok_or_else(|| no_key(key))?;
            if !two {
                return Ok(Reply::ok(value.clone().into()));
            }
            let (id, kind) = of.told();
            let one = entry(id, kind, key, value);
            Ok(Reply::ok(crate::query::show(&one, ask.query, state)))
        }
        ("PUT", []) => put(state, ask, of),
        ("DELETE", []) => {
            allowed(state, ask, of)?;
            if let Some(kept) = kept_mut(state, of) {
                kept.clear();
            }
            Ok(Reply::ok(written(state, of, mine, two)))
        }
        ("DELETE", [key]) => {
            allowed(state, ask, of)?;
            let gone = kept_mut(state, of).and_then(|m| m.remove(*key)).ok_or_else(|| no_key(key))?;
            Ok(Reply::ok(written(state, of, BTreeMap::from([((*key).to_owned(), gone)]), two)))
        }
        _ => Err(no_path(ask)),
    }
}

fn no_key(key: &str) -> ApiError {
    ApiError::new(404, "METADATA_NOT_FOUND", format!("there is no metadata with key {key}"))
}

fn object(state: &State, text: &str) -> Answer<Of> {
    if text == "system" {
        return Ok(Of::System);
    }
    let missing = || ApiError::new(404, "ENTITY_NOT_FOUND", format!("there is no object {text}"));
    let id = text.parse().map_err(|_| missing())?;
    if state.volumes.contains_key(&id) {
        Ok(Of::Volume(id))
    } else if state.groups.contains_key(&id) {
        Ok(Of::Group(id))
    } else if state.users.contains_key(&id) {
        let message = "a user has no metadata";
        Err(ApiError::new(409, "METADATA_IS_NOT_SUPPORTED_FOR_ENTITY", message))
    } else {
        Err(missing())
    }
}

fn kept(state: &State, of: Of) -> Option<&BTreeMap<String, String>> {
    match of {
        Of::System => Some(&state.system_metadata),
        Of::Volume(id) => state.volumes.get(&id).map(|v| &v.metadata),
        Of::Group(id) => state.groups.get(&id).map(|g| &g.metadata),
    }
}

fn kept_mut(state: &mut State, of: Of) -> Option<&mut BTreeMap<String, String>> {
    match of {
        Of::System => Some(&mut state.system_metadata),
        Of::Volume(id) => state.volumes.get_mut(&id).map(|v| &mut v.metadata),
        Of::Group(id) => state.groups.get_mut(&id).map(|g| &mut g.metadata),
    }
}

fn allowed(state: &State, ask: &Ask<'_>, of: Of) -> Answer<()> {
    match of {
        Of::System => {}
        Of::Volume(id) => ask.may_write(state, state.volume(id)?.pool_id)?,
        Of::Group(id) => ask.may_write(state, state.group(id)?.pool_id)?,
    }
    if state.config.guesses.approval_for_metadata {
        ask.approved(|| ("APPROVAL_REQUIRED", "metadata will be changed".into()))?;
    }
    Ok(())
}

fn entry(object_id: u64, object_type: &'static str, key: &str, value: &str) -> Entry {
    // An id that stays the same as long as the key does.
    let hash = key.bytes().fold(object_id, |h, b| h.wrapping_mul(31).wrapping_add(u64::from(b)));
    Entry { id: hash & 0x7fff_ffff, object_id, object_type, key: key.into(), value: value.into() }
}

fn list(id: u64, kind: &'static str, metadata: &BTreeMap<String, String>) -> Vec<Entry> {
    metadata.iter().map(|(key, value)| entry(id, kind, key, value)).collect()
}

/// What a change answers: the Go client reads a list of what was written or deleted.
fn written(state: &State, of: Of, what: BTreeMap<String, String>, two: bool) -> Value {
    if !two {
        let plain: Map<String, Value> = what.into_iter().map(|(k, v)| (k, v.into())).collect();
        return plain.into();
    }
    let (id, kind) = of.told();
    let all = list(id, kind, &what);
    all.iter()
        .map(|e| crate::query::show(e, &crate::query::Query::default(), state))
        .collect::<Vec<_>>()
        .into()
}

fn listing(state: &State, ask: &Ask<'_>, entries: &[Entry]) -> Answer<Reply> {
    let mut guesses = state.config.guesses.clone();
    if guesses.metadata_paged {
        return Ok(page(entries.iter(), ask.query, state, &guesses)?.into());
    }
    guesses.page_size_over_max = crate::guesses::OverMax::Clamp;
    let filters: Vec<_> =
        ask.query.0.iter().filter(|(n, _)| !["page", "page_size"].contains(&n.as_str())).cloned().collect();
    let filters = crate::query::Query(filters);
    let chosen = crate::query::whole(entries.iter(), &filters, state, &guesses)?;
    let total = chosen.len();
    let mut reply = Reply::ok(chosen.into());
    reply.page = Some(serde_json::json!({"ready": true, "number_of_objects": total}));
    Ok(reply)
}

fn put(state: &mut State, ask: &Ask<'_>, of: Of) -> Answer<Reply> {
    let body = ask.object(state)?;
    allowed(state, ask, of)?;
    let mut new = BTreeMap::new();
    for (key, value) in body {
        let value = match value {
            Value::String(text) => text,
            other => other.to_string(),
        };
        let guesses = &state.config.guesses;
        if value.chars().count() > guesses.metadata_value_length || key.chars().count() > 256 {
            let message = format!("the value of {key} is longer than {}", guesses.metadata_value_length);
            return Err(ApiError::guess(&guesses.metadata_too_long, message));
        }
        new.insert(key, value);
    }
    if let Some(kept) = kept_mut(state, of) {
        kept.extend(new.clone());
    }
    let two = state.config.version.has_metadata_2();
    Ok(Reply::ok(written(state, of, new, two)))
}
