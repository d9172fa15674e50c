//! `/cgs`: consistency groups, their members, and the groups of their snapshots.

use serde_json::Value;

use super::volumes::{missing, refuse_locked, text, whole, wish};
use super::{no_path, number, Ask, Reply};
use crate::error::{Answer, ApiError};
use crate::query::{page, show};
use crate::state::group::Group;
use crate::state::{State, Volume, Wish};

pub fn handle(state: &mut State, ask: &Ask<'_>) -> Answer<Reply> {
    let guesses = state.config.guesses.clone();
    match (ask.method, &ask.path[1..]) {
        ("GET", []) => {
            let seen = state.groups.values().filter(|g| ask.sees(state, g.pool_id));
            Ok(page(seen, ask.query, state, &guesses)?.into())
        }
        ("POST", []) => create(state, ask),
        ("GET", [id]) => Ok(Reply::ok(show(state.group(number(id)?)?, ask.query, state))),
        ("PUT", [id]) => update(state, ask, number(id)?),
        ("DELETE", [id]) => delete(state, ask, number(id)?),
        ("GET", [id, "members"]) => {
            let members = &state.group(number(id)?)?.members;
            let volumes: Vec<&Volume> = members.iter().filter_map(|m| state.volumes.get(m)).collect();
            Ok(page(volumes.into_iter(), ask.query, state, &guesses)?.into())
        }
        ("POST", [id, "members"]) => {
            let id = number(id)?;
            ask.may_write(state, state.group(id)?.pool_id)?;
            let body = ask.object(state)?;
            let volume =
                body.get("dataset_id").and_then(Value::as_u64).ok_or_else(|| missing("dataset_id"))?;
            state.join(id, volume)?;
            Ok(Reply::created(show(state.volume(volume)?, ask.query, state)))
        }
        ("DELETE", [id, "members", member]) => {
            let (id, member) = (number(id)?, number(member)?);
            ask.may_write(state, state.group(id)?.pool_id)?;
            if !state.group(id)?.members.contains(&member) {
                return Err(ApiError::not_found("VOLUME", member));
            }
            ask.approved(|| ("APPROVAL_REQUIRED", format!("volume {member} will leave the group")))?;
            if let Some(group) = state.groups.get_mut(&id) {
                group.members.remove(&member);
            }
            state.volume_mut(member)?.cg_id = None;
            Ok(Reply::ok(show(state.volume(member)?, ask.query, state)))
        }
        ("POST", [id, verb @ ("restore" | "refresh")]) => {
            let body = ask.object(state)?;
            let source = body.get("source_id").and_then(Value::as_u64).ok_or_else(|| missing("source_id"))?;
            overwrite(state, ask, number(id)?, source, verb)
        }
        _ => Err(no_path(ask)),
    }
}

fn create(state: &mut State, ask: &Ask<'_>) -> Answer<Reply> {
    let body = ask.object(state)?;
    let name = text(&body, "name")?.ok_or_else(|| missing("name"))?;
    let parent = whole(&body, "parent_id")?.and_then(|n| u64::try_from(n).ok()).filter(|n| *n != 0);
    let Some(parent) = parent else {
        let pool =
            whole(&body, "pool_id")?.and_then(|n| u64::try_from(n).ok()).ok_or_else(|| missing("pool_id"))?;
        ask.may_write(state, pool)?;
        let id = state.add_group(&name, pool, None)?;
        return Ok(Reply::created(show(state.group(id)?, ask.query, state)));
    };
    let group = state.group(parent)?.clone();
    ask.may_write(state, group.pool_id)?;
    if group.members.is_empty() {
        return Err(ApiError::new(
            409,
            "CG_IS_EMPTY",
            format!("group {} has no members to be snapped", group.name),
        ));
    }
    let wish = wish(state, &body)?;
    if wish.lock_expires_at.is_some() {
        ask.approved(|| {
            ("APPROVAL_REQUIRED", "a locked snapshot group cannot be deleted before its time".into())
        })?;
    }
    let prefix = text(&body, "snap_prefix")?.unwrap_or_default();
    let suffix = text(&body, "snap_suffix")?.unwrap_or_default();
    if prefix.is_empty() && suffix.is_empty() {
        return Err(missing("snap_prefix or snap_suffix"));
    }
    let mut wishes = Vec::new();
    for member in &group.members {
        let name = format!("{prefix}{}{suffix}", state.volume(*member)?.name);
        wishes.push((*member, Wish { name, ..wish.clone() }));
    }
    // The group's name is checked before a snapshot is made.
    let id = state.add_group(&name, group.pool_id, Some(parent))?;
    let snapped = match state.snapshot(&wishes) {
        Ok(snapped) => snapped,
        Err(error) => {
            state.groups.remove(&id);
            return Err(error);
        }
    };
    for snapshot in &snapped {
        state.volume_mut(*snapshot)?.cg_id = Some(id);
    }
    let created = snapped.first().and_then(|s| state.volumes.get(s)).map(|v| v.created_at);
    if let Some(sg) = state.groups.get_mut(&id) {
        sg.members = snapped.into_iter().collect();
        sg.lock_expires_at = wish.lock_expires_at;
        sg.created_at = created.unwrap_or(sg.created_at);
        sg.updated_at = sg.created_at;
    }
    Ok(Reply::created(show(state.group(id)?, ask.query, state)))
}

fn update(state: &mut State, ask: &Ask<'_>, id: u64) -> Answer<Reply> {
    let body = ask.object(state)?;
    let group = state.group(id)?.clone();
    ask.may_write(state, group.pool_id)?;
    if let Some(name) = text(&body, "name")? {
        state.check_form(&name)?;
        if let Some(group) = state.groups.get_mut(&id) {
            group.name = name;
        }
    }
    if let Some(at) = whole(&body, "lock_expires_at")? {
        if group.parent_id.is_none() {
            return Err(ApiError::new(
                409,
                "CG_IS_NOT_A_SNAPSHOT_GROUP",
                "only snapshot groups can be locked",
            ));
        }
        let guesses = &state.config.guesses;
        if group.is_locked(state.now()) && group.lock_expires_at.is_some_and(|have| at < have) {
            return Err(ApiError::guess(&guesses.lock_shortened, "a lock can be extended only"));
        }
        ask.approved(|| {
            ("APPROVAL_REQUIRED", "a locked snapshot group cannot be deleted before its time".into())
        })?;
        for member in &group.members {
            state.volume_mut(*member)?.lock_expires_at = Some(at);
        }
        if let Some(group) = state.groups.get_mut(&id) {
            group.lock_expires_at = Some(at);
        }
    }
    let now = state.now();
    if let Some(group) = state.groups.get_mut(&id) {
        group.updated_at = now;
    }
    Ok(Reply::ok(show(state.group(id)?, ask.query, state)))
}

fn delete(state: &mut State, ask: &Ask<'_>, id: u64) -> Answer<Reply> {
    let group: Group = state.group(id)?.clone();
    ask.may_write(state, group.pool_id)?;
    ask.approved(|| ("APPROVAL_REQUIRED", format!("group {} will be deleted", group.name)))?;
    let with_members = ask.query.flag("delete_members");
    if group.is_locked(state.now()) {
        let message = format!("group {} is locked", group.name);
        return Err(ApiError::guess(&state.config.guesses.locked, message));
    }
    if with_members {
        for member in &group.members {
            let volume = state.volume(*member)?;
            refuse_locked(state, volume, false)?;
            let guesses = &state.config.guesses;
            if guesses.mapped_delete_refused && state.is_mapped(*member) {
                return Err(ApiError::guess(&guesses.mapped, format!("volume {} is mapped", volume.name)));
            }
            if !guesses.cascade && state.has_children(*member) {
                return Err(ApiError::guess(
                    &guesses.has_children,
                    format!("volume {} has snapshots", volume.name),
                ));
            }
        }
    }
    let shown = show(&group, ask.query, state);
    state.groups.remove(&id);
    for other in state.groups.values_mut().filter(|g| g.parent_id == Some(id)) {
        other.parent_id = Some(0);
    }
    for member in group.members {
        if with_members {
            state.remove(member);
        } else if let Ok(volume) = state.volume_mut(member) {
            volume.cg_id = None;
        }
    }
    Ok(Reply::ok(shown))
}

fn overwrite(state: &mut State, ask: &Ask<'_>, id: u64, source: u64, verb: &str) -> Answer<Reply> {
    let (group, from) = (state.group(id)?.clone(), state.group(source)?.clone());
    ask.may_write(state, group.pool_id)?;
    ask.approved(|| ("APPROVAL_REQUIRED", format!("the data of group {} will be overwritten", group.name)))?;
    for member in &group.members {
        refuse_locked(state, state.volume(*member)?, false)?;
    }
    for member in &group.members {
        let parent = state.volume(*member)?.parent_id;
        let partner = from.members.iter().copied().find(|m| match verb {
            "restore" => state.volumes.get(m).is_some_and(|v| v.parent_id == *member),
            _ => *m == parent,
        });
        if let Some(partner) = partner {
            state.overwrite(*member, partner)?;
        }
    }
    Ok(Reply::ok(show(state.group(id)?, ask.query, state)))
}
