//! The system itself: version, features, time, limits; pools, hosts and their mappings.

use serde_json::{json, Map, Value};

use super::volumes::{missing, text, whole};
use super::{no_path, number, Ask, Reply};
use crate::config::Version;
use crate::error::{Answer, ApiError};
use crate::query::{page, show};
use crate::state::small::{Lun, Replica};
use crate::state::State;

/// Answered without credentials: the SDK asks before it logs in.
pub fn features(state: &State) -> Reply {
    let version = state.config.version;
    let mut features: Vec<(&str, u32)> = Vec::new();
    if version >= Version(3, 0, 0, 0) {
        features.extend([
            ("api/auth_sessions", 1),
            ("snapshots", 1),
            ("metadata", 2),
            ("user_management", 1),
        ]);
        features.extend([("compression", 1), ("qos", 1), ("iscsi", 1), ("nas", 2)]);
    }
    if version >= Version(5, 0, 0, 0) {
        features.extend([("active_active", 1), ("tenants", 1)]);
    }
    if version >= Version(7, 1, 0, 0) {
        features.extend([("replicate_snapshots", 1), ("events_db", 0)]);
    }
    let list: Vec<Value> = features
        .iter()
        .map(|(name, version)| json!({"name": name, "version": version, "enabled": true}))
        .collect();
    Reply::ok(list.into())
}

pub fn handle(state: &mut State, ask: &Ask<'_>) -> Answer<Reply> {
    let guesses = state.config.guesses.clone();
    match (ask.method, ask.path.as_slice()) {
        ("GET", ["system"]) => Ok(Reply::ok(chosen(system(state), ask))),
        ("GET", ["system", "ntp_status"]) => {
            let at = state.now() - guesses.ntp_probe_age_ms;
            let node = |n: u32| json!({"node_id": n, "last_probe_timestamp": at, "last_probe_status": "OK"});
            Ok(Reply::ok(json!([node(1), node(2), node(3)])))
        }
        ("GET", ["system", name]) => {
            system(state).get(*name).cloned().map(Reply::ok).ok_or_else(|| no_path(ask))
        }
        ("GET", ["config", "limits"]) => Ok(Reply::ok(chosen(limits(state), ask))),
        ("GET", ["pools"]) => Ok(page(state.pools.values(), ask.query, state, &guesses)?.into()),
        ("GET", ["pools", "administered_pools"]) => {
            let mine = state.pools.values().filter(|p| ask.may_write(state, p.id).is_ok());
            Ok(page(mine, ask.query, state, &guesses)?.into())
        }
        ("POST", ["pools"]) => {
            ask.may_write(state, 0)?;
            let body = ask.object(state)?;
            let name = text(&body, "name")?.ok_or_else(|| missing("name"))?;
            if state.pools.values().any(|p| p.name == name) {
                let code = guesses.name_conflict.code.replace("VOLUME", "POOL");
                return Err(ApiError::new(
                    guesses.name_conflict.status,
                    &code,
                    format!("the name {name} is taken"),
                ));
            }
            let size = whole(&body, "physical_capacity")?.and_then(|n| u64::try_from(n).ok());
            let id = state.add_pool(&name, size.ok_or_else(|| missing("physical_capacity"))?);
            shown_pool(state, ask, id).map(|r| Reply { status: 201, ..r })
        }
        ("GET", ["pools", id]) => shown_pool(state, ask, number(id)?),
        ("DELETE", ["pools", id]) => {
            let id = number(id)?;
            ask.may_write(state, id)?;
            let reply = shown_pool(state, ask, id)?;
            ask.approved(|| ("APPROVAL_REQUIRED", format!("pool {id} will be deleted")))?;
            if state.volumes.values().any(|v| v.pool_id == id) {
                return Err(ApiError::new(409, "POOL_HAS_ENTITIES", format!("pool {id} is not empty")));
            }
            state.pools.remove(&id);
            Ok(reply)
        }
        ("POST", ["pools", id, verb @ ("lock" | "unlock")]) => {
            let id = number(id)?;
            ask.may_write(state, id)?;
            if let Some(pool) = state.pools.get_mut(&id) {
                pool.locked = *verb == "lock";
            }
            shown_pool(state, ask, id)
        }
        _ => hosts(state, ask),
    }
}

fn shown_pool(state: &State, ask: &Ask<'_>, id: u64) -> Answer<Reply> {
    let pool = state.pools.get(&id).ok_or_else(|| ApiError::not_found("POOL", id))?;
    Ok(Reply::ok(show(pool, ask.query, state)))
}

fn shown_host(state: &State, ask: &Ask<'_>, id: u64) -> Answer<Reply> {
    let host = state.hosts.get(&id).ok_or_else(|| ApiError::not_found("HOST", id))?;
    Ok(Reply::ok(show(host, ask.query, state)))
}

fn hosts(state: &mut State, ask: &Ask<'_>) -> Answer<Reply> {
    let guesses = state.config.guesses.clone();
    match (ask.method, ask.path.as_slice()) {
        ("GET", ["hosts"]) => Ok(page(state.hosts.values(), ask.query, state, &guesses)?.into()),
        ("POST", ["hosts"]) => {
            let body = ask.object(state)?;
            let name = text(&body, "name")?.ok_or_else(|| missing("name"))?;
            if state.hosts.values().any(|h| h.name == name) {
                let code = guesses.name_conflict.code.replace("VOLUME", "HOST");
                return Err(ApiError::new(
                    guesses.name_conflict.status,
                    &code,
                    format!("the name {name} is taken"),
                ));
            }
            let id = state.add_host(&name);
            shown_host(state, ask, id).map(|r| Reply { status: 201, ..r })
        }
        ("GET", ["hosts", id]) => shown_host(state, ask, number(id)?),
        ("DELETE", ["hosts", id]) => {
            let id = number(id)?;
            let reply = shown_host(state, ask, id)?;
            ask.approved(|| ("APPROVAL_REQUIRED", format!("host {id} will be deleted")))?;
            state.hosts.remove(&id);
            state.luns.retain(|l| l.host_id != id);
            Ok(reply)
        }
        ("POST", ["hosts", id, "ports"]) => {
            let id = number(id)?;
            let body = ask.object(state)?;
            let kind = text(&body, "type")?.ok_or_else(|| missing("type"))?;
            let address = text(&body, "address")?.ok_or_else(|| missing("address"))?;
            shown_host(state, ask, id)?;
            if let Some(host) = state.hosts.values().find(|h| h.ports.iter().any(|(_, a)| *a == address)) {
                let message = format!("port {address} belongs to host {}", host.name);
                return Err(ApiError::new(409, "PORT_ALREADY_BELONGS_TO_HOST", message));
            }
            if let Some(host) = state.hosts.get_mut(&id) {
                host.ports.push((kind.clone(), address.clone()));
            }
            Ok(Reply::created(json!({"type": kind, "address": address, "host_id": id})))
        }
        ("GET", ["replicas"]) => {
            let of = |v: &crate::state::Volume| -> Vec<Replica> {
                let one = |id: &u64| Replica { id: *id, volume_id: v.id, is_source: v.rmr_source };
                v.replica_ids.iter().map(one).collect()
            };
            let all: Vec<Replica> = state.volumes.values().flat_map(of).collect();
            Ok(page(all.iter(), ask.query, state, &guesses)?.into())
        }
        ("GET", ["components", "nodes"]) => {
            let port = |node: u64| {
                let wwpn = format!("5742b0f0{:04x}{node:02x}11", state.config.serial);
                json!({"wwpn": wwpn, "link_state": "UP", "state": "OK", "enabled": true})
            };
            let nodes = [1, 2, 3].map(
                |n| json!({"id": n, "name": format!("node-{n}"), "state": "ACTIVE", "fc_ports": [port(n)]}),
            );
            Ok(Reply::ok(json!(nodes)))
        }
        ("GET", ["hosts", id, "luns"]) => {
            let id = number(id)?;
            shown_host(state, ask, id)?;
            let mine = state.luns.iter().filter(|l| l.host_id == id);
            Ok(page(mine, ask.query, state, &guesses)?.into())
        }
        ("POST", ["hosts", id, "luns"]) => {
            let id = number(id)?;
            let body = ask.object(state)?;
            let volume = body.get("volume_id").and_then(Value::as_u64).ok_or_else(|| missing("volume_id"))?;
            ask.may_write(state, state.volume(volume)?.pool_id)?;
            let lun = state.map(volume, id, body.get("lun").and_then(Value::as_u64))?;
            Ok(Reply::created(show(&lun, ask.query, state)))
        }
        ("DELETE", ["hosts", id, "luns", by @ ("volume_id" | "lun"), n]) => {
            let (id, n) = (number(id)?, number(n)?);
            let wanted =
                |l: &Lun| l.host_id == id && if *by == "lun" { l.lun == n } else { l.volume_id == n };
            let lun = state.luns.iter().find(|l| wanted(l)).cloned();
            let lun = lun.ok_or_else(|| ApiError::not_found("LUN", n))?;
            ask.may_write(state, state.volume(lun.volume_id)?.pool_id)?;
            ask.approved(|| ("APPROVAL_REQUIRED", format!("volume {} will be unmapped", lun.volume_id)))?;
            state.luns.retain(|l| l.id != lun.id);
            Ok(Reply::ok(show(&lun, ask.query, state)))
        }
        _ => Err(no_path(ask)),
    }
}

fn chosen(mut object: Map<String, Value>, ask: &Ask<'_>) -> Value {
    if let Some(fields) = ask.query.get("fields") {
        let wanted: Vec<&str> = fields.split(',').map(str::trim).collect();
        object.retain(|name, _| wanted.contains(&name.as_str()));
    }
    Value::Object(object)
}

fn system(state: &State) -> Map<String, Value> {
    let snapshots = state.volumes.values().filter(|v| v.is_snapshot()).count();
    let total: u64 = state.pools.values().map(|p| p.size).sum();
    let fields = json!({
        "name": state.config.name,
        "version": state.config.version.to_string(),
        "serial_number": state.config.serial,
        "product_id": "INFINIDAT",
        "model": "F6230",
        "long_model": "InfiniBox F6230",
        "release": {"version": state.config.version.to_string()},
        "capacity": {"total_physical_capacity": total, "free_physical_space": total, "total_virtual_capacity": total},
        "operational_state": {"state": "ACTIVE", "mode": null, "description": "Active", "read_only_system": false,
            "init_state": null},
        "entity_counts": {"volumes": state.volumes.len() - snapshots, "volume_snapshots": snapshots,
            "pools": state.pools.len(), "hosts": state.hosts.len(), "consistency_groups": state.groups.len()},
        "install_timestamp": 1_400_000_000_000_i64,
        "system_power_on_timestamp": 1_400_000_000_000_i64,
        "wwnn": format!("5742b0f00000{:04x}", state.config.serial),
        "upgraded_by": null,
        "mgmt_ip": "127.0.0.1",
        "is_virtual": false,
    });
    match fields {
        Value::Object(object) => object,
        _ => Map::new(),
    }
}

fn limits(state: &State) -> Map<String, Value> {
    let fields = json!({
        "max_snapshots_per_volume": state.config.max_snapshots,
        "max_volume_and_snapshots": 100_000,
        "max_volumes_per_system": 100_000,
        "max_pools": 100,
        "max_cgs": 2000,
        "max_members_per_cg": 100,
        "max_luns_per_host": 1000,
        "volume_min_size": 1_000_000_000,
        "node_max_count": 3,
    });
    match fields {
        Value::Object(object) => object,
        _ => Map::new(),
    }
}
