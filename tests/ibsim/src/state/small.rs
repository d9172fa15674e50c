//! Pools, hosts, mappings, users.

use serde::Serialize;
use serde_json::json;

use super::State;
use crate::config::Role;
use crate::query::{int, Field, Item};

/// A pool of capacity.
#[derive(Debug, Clone)]
pub struct Pool {
    pub id: u64,
    pub name: String,
    pub size: u64,
    /// Ids of users who administer it.
    pub owners: Vec<u64>,
    pub locked: bool,
    /// Nothing more goes in.
    pub full: bool,
    pub created_at: i64,
}

impl Item for Pool {
    type Around = State;

    fn names(state: &State) -> Vec<&'static str> {
        let mut names = vec![
            "id",
            "name",
            "virtual_capacity",
            "physical_capacity",
            "free_virtual_space",
            "free_physical_space",
            "allocated_physical_space",
            "owners",
            "state",
            "volumes_count",
            "snapshots_count",
            "filesystems_count",
            "filesystem_snapshots_count",
            "entities_count",
            "created_at",
            "updated_at",
            "ssd_enabled",
            "max_extend",
            "reserved_capacity",
            "physical_capacity_warning",
            "physical_capacity_critical",
        ];
        if state.config.version.has_snapshot_type() {
            names.extend(["compression_enabled", "capacity_savings", "qos_policies"]);
        }
        if state.config.version >= crate::Version(5, 0, 0, 0) {
            names.extend(["tenant_id", "type"]);
        }
        names
    }

    fn field(&self, name: &str, state: &State) -> Option<Field> {
        let count = |snapshots: bool| {
            let mine =
                state.volumes.values().filter(|v| v.pool_id == self.id && v.is_snapshot() == snapshots);
            int(mine.count() as u64)
        };
        let free = || if self.full { 0 } else { int(self.size.saturating_sub(state.used_of_pool(self.id))) };
        Some(match name {
            "id" => Field::id(Some(self.id)),
            "name" => Field::text(&self.name),
            "virtual_capacity" | "physical_capacity" => Field::Int(int(self.size)),
            "free_virtual_space" | "free_physical_space" => Field::Int(free()),
            "allocated_physical_space" => Field::Int(int(self.size) - free()),
            "owners" => Field::List(self.owners.iter().map(|o| int(*o)).collect()),
            "state" if self.locked => Field::Literal("LOCKED", 2),
            "state" if self.full => Field::Literal("LIMITED", 1),
            "state" => Field::Literal("NORMAL", 0),
            "volumes_count" => Field::Int(count(false)),
            "snapshots_count" => Field::Int(count(true)),
            "entities_count" => Field::Int(count(false) + count(true)),
            "filesystems_count" | "filesystem_snapshots_count" | "capacity_savings" => Field::Int(0),
            "reserved_capacity" | "max_extend" => Field::Int(0),
            "created_at" | "updated_at" => Field::Int(self.created_at),
            "ssd_enabled" | "compression_enabled" => Field::Bool(true),
            "physical_capacity_warning" => Field::Int(80),
            "physical_capacity_critical" => Field::Int(90),
            "qos_policies" => Field::List(Vec::new()),
            "tenant_id" => Field::Int(1),
            "type" => Field::Literal("STANDARD", 0),
            _ => return None,
        })
    }
}

/// A host that volumes are mapped to.
#[derive(Debug, Clone)]
pub struct Host {
    pub id: u64,
    pub name: String,
    /// Type and address.
    pub ports: Vec<(String, String)>,
    pub created_at: i64,
}

impl Item for Host {
    type Around = State;

    fn names(state: &State) -> Vec<&'static str> {
        let mut names =
            vec!["id", "name", "luns", "ports", "host_cluster_id", "created_at", "updated_at", "host_type"];
        names.extend(["san_client_type", "security_method"]);
        if state.config.version >= crate::Version(5, 0, 0, 0) {
            names.push("tenant_id");
        }
        names
    }

    fn field(&self, name: &str, state: &State) -> Option<Field> {
        Some(match name {
            "id" => Field::id(Some(self.id)),
            "name" => Field::text(&self.name),
            "luns" => Field::Other(
                state
                    .luns
                    .iter()
                    .filter(|l| l.host_id == self.id)
                    .map(|l| json!(l))
                    .collect::<Vec<_>>()
                    .into(),
            ),
            "ports" => Field::Other(
                self.ports
                    .iter()
                    .map(|(kind, address)| json!({"type": kind, "address": address, "host_id": self.id}))
                    .collect::<Vec<_>>()
                    .into(),
            ),
            "host_cluster_id" => Field::Int(0),
            "created_at" | "updated_at" => Field::Int(self.created_at),
            "host_type" => Field::text("Regular"),
            "san_client_type" => Field::text("HOST"),
            "security_method" => Field::text("NONE"),
            "tenant_id" => Field::Int(1),
            _ => return None,
        })
    }
}

/// One mapping of a volume to a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Lun {
    pub id: u64,
    pub lun: u64,
    pub volume_id: u64,
    pub host_id: u64,
    pub host_cluster_id: u64,
    pub clustered: bool,
}

impl Item for Lun {
    type Around = State;

    fn names(_: &State) -> Vec<&'static str> {
        vec!["id", "lun", "volume_id", "host_id", "host_cluster_id", "clustered"]
    }

    fn field(&self, name: &str, _: &State) -> Option<Field> {
        Some(match name {
            "id" => Field::id(Some(self.id)),
            "lun" => Field::Int(int(self.lun)),
            "volume_id" => Field::id(Some(self.volume_id)),
            "host_id" => Field::id(Some(self.host_id)),
            "host_cluster_id" => Field::Int(0),
            "clustered" => Field::Bool(false),
            _ => return None,
        })
    }
}

/// A user with what he may do.
#[derive(Debug, Clone)]
pub struct User {
    pub id: u64,
    pub name: String,
    pub password: String,
    pub role: Role,
}

impl Item for User {
    type Around = State;

    fn names(_: &State) -> Vec<&'static str> {
        vec![
            "id",
            "name",
            "email",
            "role",
            "roles",
            "type",
            "enabled",
            "is_digest_sufficient",
            "password_digest_version",
        ]
    }

    fn field(&self, name: &str, _: &State) -> Option<Field> {
        Some(match name {
            "id" => Field::id(Some(self.id)),
            "name" => Field::text(&self.name),
            "email" => Field::Text(format!("{}@example.com", self.name)),
            "role" => Field::Literal(self.role.literal(), self.role as u8),
            "roles" => Field::Other(json!([self.role.literal()])),
            "type" => Field::Literal("Local", 0),
            "enabled" | "is_digest_sufficient" => Field::Bool(true),
            "password_digest_version" => Field::Int(2),
            _ => return None,
        })
    }
}

/// One key of an object's metadata, as a listing shows it.
#[derive(Debug, Clone)]
pub struct Entry {
    pub id: u64,
    pub object_id: u64,
    pub object_type: &'static str,
    pub key: String,
    pub value: String,
}

impl Item for Entry {
    type Around = State;

    fn names(_: &State) -> Vec<&'static str> {
        vec!["id", "object_id", "key", "value", "object_type"]
    }

    fn field(&self, name: &str, _: &State) -> Option<Field> {
        Some(match name {
            "id" => Field::id(Some(self.id)),
            "object_id" => Field::id(Some(self.object_id)),
            "key" => Field::text(&self.key),
            "value" => Field::text(&self.value),
            "object_type" => Field::text(self.object_type),
            _ => return None,
        })
    }
}

/// The replication of one volume, as seen from here.
#[derive(Debug, Clone)]
pub struct Replica {
    pub id: u64,
    pub volume_id: u64,
    pub is_source: bool,
}

impl Item for Replica {
    type Around = State;

    fn names(_: &State) -> Vec<&'static str> {
        let ids = ["id", "entity_type", "local_entity_id", "local_volume_id", "local_cg_id", "remote_cg_id"];
        ids.into_iter().chain(["role", "state", "replication_type"]).collect()
    }

    fn field(&self, name: &str, _: &State) -> Option<Field> {
        Some(match name {
            "id" => Field::id(Some(self.id)),
            "entity_type" => Field::Literal("VOLUME", 0),
            "local_entity_id" | "local_volume_id" => Field::id(Some(self.volume_id)),
            "local_cg_id" | "remote_cg_id" => Field::Null,
            "role" => Field::text(if self.is_source { "SOURCE" } else { "TARGET" }),
            "state" => Field::text("ACTIVE"),
            "replication_type" => Field::text("ASYNC"),
            _ => return None,
        })
    }
}
