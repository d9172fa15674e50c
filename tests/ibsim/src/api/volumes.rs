//! `/volumes`, and the same objects as `/datasets`.

use serde_json::{json, Map, Value};

use super::{no_path, number, Ask, Reply};
use crate::error::{Answer, ApiError};
use crate::query::{page, show, Item};
use crate::state::{State, Volume, Wish};

pub fn handle(state: &mut State, ask: &Ask<'_>) -> Answer<Reply> {
    match (ask.method, &ask.path[1..]) {
        ("GET", []) => list(state, ask),
        ("POST", []) => create(state, ask),
        ("POST", ["group_snapshot"]) => group_snapshot(state, ask),
        ("POST", ["delete_simulation"]) => delete_simulation(state, ask),
        ("GET", [id]) => {
            let volume = state.volume(number(id)?)?;
            if !ask.sees(state, volume.pool_id) {
                return Err(ApiError::not_found("VOLUME", id));
            }
            Ok(Reply::ok(show(volume, ask.query, state)))
        }
        ("PUT", [id]) => update(state, ask, number(id)?),
        ("DELETE", [id]) => delete(state, ask, number(id)?),
        ("GET", [id, "luns"]) => {
            let id = number(id)?;
            state.volume(id)?;
            let mine = state.luns.iter().filter(|l| l.volume_id == id);
            Ok(page(mine, ask.query, state, &state.config.guesses)?.into())
        }
        ("POST", [id, "restore"]) => {
            let body = ask.json(state)?;
            let source = body.as_u64().or_else(|| body.get("source_id").and_then(Value::as_u64));
            let source = source.ok_or_else(|| missing("source_id"))?;
            overwrite(state, ask, number(id)?, source)?;
            // The Go client reads a truth value here.
            Ok(Reply::ok(true.into()))
        }
        ("POST", [id, "refresh"]) => {
            let body = ask.object(state)?;
            let source = body.get("source_id").and_then(Value::as_u64).ok_or_else(|| missing("source_id"))?;
            overwrite(state, ask, number(id)?, source)
        }
        ("POST", [id, "promote"]) if state.config.version.has_promote() => {
            let id = number(id)?;
            ask.may_write(state, state.volume(id)?.pool_id)?;
            if !state.volume(id)?.is_snapshot() {
                return Err(ApiError::new(
                    409,
                    "VOLUME_IS_NOT_A_SNAPSHOT",
                    format!("volume {id} is a master"),
                ));
            }
            refuse_locked(state, state.volume(id)?, false)?;
            state.promote(id)?;
            Ok(Reply::ok(show(state.volume(id)?, ask.query, state)))
        }
        _ => Err(no_path(ask)),
    }
}

pub fn missing(field: &str) -> ApiError {
    ApiError::bad("MISSING_FIELD", format!("the body has no {field} of the right kind"))
}

pub fn text(body: &Map<String, Value>, name: &str) -> Answer<Option<String>> {
    match body.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(ApiError::bad("INVALID_VALUE", format!("{name} is no text"))),
    }
}

fn truth(body: &Map<String, Value>, name: &str) -> Answer<Option<bool>> {
    match body.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Bool(b)) => Ok(Some(*b)),
        Some(_) => Err(ApiError::bad("INVALID_VALUE", format!("{name} is neither true nor false"))),
    }
}

pub fn whole(body: &Map<String, Value>, name: &str) -> Answer<Option<i64>> {
    match body.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match value.as_i64() {
            Some(n) => Ok(Some(n)),
            None => Err(ApiError::bad("INVALID_VALUE", format!("{name} is no whole number"))),
        },
    }
}

/// Fields of a request that this version does not know are refused, as a misspelt one is.
fn only(state: &State, body: &Map<String, Value>, known: &[&str]) -> Answer<()> {
    let names = Volume::names(state);
    match body.keys().find(|k| !known.contains(&k.as_str()) && !names.contains(&k.as_str())) {
        Some(name) => Err(ApiError::bad("UNKNOWN_FIELD", format!("there is no field {name}"))),
        None => Ok(()),
    }
}

pub fn wish(state: &State, body: &Map<String, Value>) -> Answer<Wish> {
    let lock_expires_at = whole(body, "lock_expires_at")?;
    if lock_expires_at.is_some() && !state.config.version.has_locks() {
        return Err(ApiError::bad("UNKNOWN_FIELD", "there is no field lock_expires_at"));
    }
    let snapshot_policy_id = whole(body, "snapshot_policy_id")?.and_then(|n| u64::try_from(n).ok());
    Ok(Wish {
        name: text(body, "name")?.unwrap_or_default(),
        write_protected: truth(body, "write_protected")?,
        ssd_enabled: truth(body, "ssd_enabled")?,
        lock_expires_at,
        snapshot_retention: whole(body, "snapshot_retention")?,
        snapshot_policy_id,
        created_at: None,
    })
}

fn list(state: &State, ask: &Ask<'_>) -> Answer<Reply> {
    let seen = state.volumes.values().filter(|v| ask.sees(state, v.pool_id));
    Ok(page(seen, ask.query, state, &state.config.guesses)?.into())
}

fn create(state: &mut State, ask: &Ask<'_>) -> Answer<Reply> {
    let body = ask.object(state)?;
    only(state, &body, &["lock_expires_at"])?;
    let parent = whole(&body, "parent_id")?.and_then(|n| u64::try_from(n).ok()).filter(|n| *n != 0);
    let wish = wish(state, &body)?;
    if wish.name.is_empty() {
        return Err(missing("name"));
    }
    let id = if let Some(parent) = parent {
        let volume = state.volume(parent)?;
        ask.may_write(state, volume.pool_id)?;
        if wish.lock_expires_at.is_some() {
            ask.approved(|| {
                ("APPROVAL_REQUIRED", "a locked snapshot cannot be deleted before its time".into())
            })?;
        }
        state.snapshot(&[(parent, wish)])?.first().copied().unwrap_or_default()
    } else {
        let pool =
            whole(&body, "pool_id")?.and_then(|n| u64::try_from(n).ok()).ok_or_else(|| missing("pool_id"))?;
        ask.may_write(state, pool)?;
        let size =
            whole(&body, "size")?.and_then(|n| u64::try_from(n).ok()).ok_or_else(|| missing("size"))?;
        if size < 1_000_000_000 || size % 512 != 0 {
            return Err(ApiError::bad("INVALID_SIZE", "a volume has at least 10^9 bytes, in blocks of 512"));
        }
        let id = state.add_volume(&wish.name, pool, size)?;
        let thick = text(&body, "provtype")?.is_some_and(|t| t.eq_ignore_ascii_case("thick"));
        let volume = state.volume_mut(id)?;
        volume.thin = !thick;
        volume.ssd_enabled = wish.ssd_enabled.unwrap_or(true);
        volume.write_protected = wish.write_protected.unwrap_or(false);
        volume.compression_enabled = truth(&body, "compression_enabled")?.unwrap_or(true);
        id
    };
    Ok(Reply::created(show(state.volume(id)?, ask.query, state)))
}

fn group_snapshot(state: &mut State, ask: &Ask<'_>) -> Answer<Reply> {
    let body = ask.object(state)?;
    let prefix = text(&body, "snap_prefix")?.unwrap_or_default();
    let suffix = text(&body, "snap_suffix")?.unwrap_or_default();
    if prefix.is_empty() && suffix.is_empty() {
        return Err(missing("snap_prefix or snap_suffix"));
    }
    let entities = body.get("entities").and_then(Value::as_array).filter(|e| !e.is_empty());
    let mut wishes = Vec::new();
    for entity in entities.ok_or_else(|| missing("entities"))? {
        let id = entity.get("id").and_then(Value::as_u64).ok_or_else(|| missing("entities[].id"))?;
        let volume = state.volume(id)?;
        ask.may_write(state, volume.pool_id)?;
        let name = format!("{prefix}{}{suffix}", volume.name);
        wishes.push((id, Wish { name, ..wish(state, &body)? }));
    }
    let ids = state.snapshot(&wishes)?;
    let shown: Vec<Value> =
        ids.iter().filter_map(|id| state.volume(*id).ok()).map(|v| show(v, ask.query, state)).collect();
    Ok(Reply::created(shown.into()))
}

fn delete_simulation(state: &mut State, ask: &Ask<'_>) -> Answer<Reply> {
    let body = ask.object(state)?;
    let entities = body.get("entities").and_then(Value::as_array).ok_or_else(|| missing("entities"))?;
    let mut space = 0;
    for entity in entities {
        let id = entity.as_u64().or_else(|| entity.get("id").and_then(Value::as_u64));
        space += state.volume(id.ok_or_else(|| missing("entities[]"))?)?.allocated;
    }
    Ok(Reply::ok(json!({"space_reclaimable": space})))
}

pub fn refuse_locked(state: &State, volume: &Volume, forced: bool) -> Answer<()> {
    if !volume.is_locked(state.now()) || (forced && state.config.guesses.force_overrides_lock) {
        return Ok(());
    }
    let until = volume.lock_expires_at.unwrap_or_default();
    let message = format!("snapshot {} is locked until {until}", volume.name);
    Err(ApiError::guess(&state.config.guesses.locked, message))
}

fn update(state: &mut State, ask: &Ask<'_>, id: u64) -> Answer<Reply> {
    let body = ask.object(state)?;
    let volume = state.volume(id)?.clone();
    ask.may_write(state, volume.pool_id)?;
    only(state, &body, &[])?;
    let mut lock = None;
    if body.contains_key("lock_expires_at") {
        let at = whole(&body, "lock_expires_at")?;
        if !volume.is_snapshot() {
            return Err(ApiError::new(409, "VOLUME_IS_NOT_A_SNAPSHOT", "only snapshots can be locked"));
        }
        let earlier = match (volume.lock_expires_at.filter(|_| volume.is_locked(state.now())), at) {
            (Some(have), Some(want)) => want < have,
            (Some(_), None) => true,
            (None, _) => false,
        };
        let guesses = &state.config.guesses;
        if earlier && guesses.lock_shortening_refused {
            return Err(ApiError::guess(&guesses.lock_shortened, "a lock can be extended only"));
        }
        if at.is_some_and(|at| at <= state.now()) {
            return Err(ApiError::guess(&guesses.lock_shortened, "a lock has to expire in the future"));
        }
        if !earlier {
            ask.approved(|| {
                ("APPROVAL_REQUIRED", "a locked snapshot cannot be deleted before its time".into())
            })?;
            lock = Some(at);
        }
    } else {
        refuse_locked(state, &volume, false)?;
    }
    if let Some(name) = text(&body, "name")? {
        state.rename(id, &name)?;
    }
    let (write_protected, ssd) = (truth(&body, "write_protected")?, truth(&body, "ssd_enabled")?);
    let (size, retention) = (whole(&body, "size")?, whole(&body, "snapshot_retention")?);
    let now = state.now();
    let volume = state.volume_mut(id)?;
    volume.updated_at = now;
    if let Some(at) = lock {
        volume.lock_expires_at = at;
    }
    volume.write_protected = write_protected.unwrap_or(volume.write_protected);
    volume.ssd_enabled = ssd.unwrap_or(volume.ssd_enabled);
    volume.size = size.and_then(|s| u64::try_from(s).ok()).unwrap_or(volume.size);
    if let Some(seconds) = retention.filter(|_| state.config.version.has_expiry()) {
        state.retain(id, seconds)?;
    }
    Ok(Reply::ok(show(state.volume(id)?, ask.query, state)))
}

/// A volume with everything below it.
fn family(state: &State, id: u64) -> Vec<u64> {
    let below = state.children(id).into_iter().flat_map(|c| family(state, c));
    std::iter::once(id).chain(below).collect()
}

fn delete(state: &mut State, ask: &Ask<'_>, id: u64) -> Answer<Reply> {
    let volume = state.volume(id)?.clone();
    ask.may_write(state, volume.pool_id)?;
    if !ask.sees(state, volume.pool_id) {
        return Err(ApiError::not_found("VOLUME", id));
    }
    let guesses = state.config.guesses.clone();
    let children = state.has_children(id);
    if !volume.is_snapshot() || children || guesses.approval_for_snapshots {
        ask.approved(|| {
            let code = if children { "APPROVAL_REQUIRED_VOLUME_HAS_CHILDREN" } else { "APPROVAL_REQUIRED" };
            let also = if children { " and its snapshots" } else { "" };
            (code, format!("volume {}{also} will be deleted", volume.name))
        })?;
    }
    if children && !guesses.cascade {
        return Err(ApiError::guess(&guesses.has_children, format!("volume {} has snapshots", volume.name)));
    }
    let forced = ask.query.flag("force_if_snapshot_locked");
    for id in family(state, id) {
        let one = state.volume(id)?;
        refuse_locked(state, one, forced)?;
        if guesses.mapped_delete_refused && state.is_mapped(id) {
            return Err(ApiError::guess(&guesses.mapped, format!("volume {} is mapped", one.name)));
        }
        if one.is_replicated() {
            return Err(ApiError::guess(&guesses.replica, format!("volume {} is replicated", one.name)));
        }
        if let Some(group) = one.cg_id {
            let of_snapshots = state.groups.get(&group).is_some_and(|g| g.parent_id.is_some());
            if !(of_snapshots && guesses.snapshot_group_member_deletable) {
                let message = format!("volume {} is in a consistency group", one.name);
                return Err(ApiError::guess(&guesses.cg_member, message));
            }
        }
    }
    let shown = show(&volume, ask.query, state);
    state.remove(id);
    Ok(Reply::ok(shown))
}

fn overwrite(state: &mut State, ask: &Ask<'_>, id: u64, source: u64) -> Answer<Reply> {
    let volume = state.volume(id)?;
    ask.may_write(state, volume.pool_id)?;
    refuse_locked(state, volume, false)?;
    if state.volume(source)?.family_id != volume.family_id {
        return Err(ApiError::new(
            409,
            "VOLUMES_ARE_NOT_OF_ONE_FAMILY",
            format!("{source} and {id} are not related"),
        ));
    }
    let name = volume.name.clone();
    ask.approved(|| ("APPROVAL_REQUIRED", format!("the data of {name} will be overwritten")))?;
    state.overwrite(id, source)?;
    Ok(Reply::ok(show(state.volume(id)?, ask.query, state)))
}
