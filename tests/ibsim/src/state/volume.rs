//! Volumes and snapshots, which are one collection.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;
use serde_json::Value;

use super::State;
use crate::query::{int, Field, Item};

/// A volume or a snapshot of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    pub id: u64,
    pub name: String,
    /// 0: a master.
    pub parent_id: u64,
    /// 0 for a master, 1 for its snapshot, more for snapshots of snapshots.
    pub depth: u64,
    /// The master's id.
    pub family_id: u64,
    pub pool_id: u64,
    pub size: u64,
    pub used: u64,
    pub allocated: u64,
    pub thin: bool,
    pub write_protected: bool,
    pub ssd_enabled: bool,
    pub compression_enabled: bool,
    pub cg_id: Option<u64>,
    /// Milliseconds of the array's clock.
    pub created_at: i64,
    pub updated_at: i64,
    pub lock_expires_at: Option<i64>,
    /// Seconds.
    pub snapshot_retention: Option<i64>,
    pub snapshot_expires_at: Option<i64>,
    pub snapshot_policy_id: Option<u64>,
    pub rmr_source: bool,
    pub rmr_target: bool,
    pub replica_ids: Vec<u64>,
    pub metadata: BTreeMap<String, String>,
    /// The directory that stands for its bytes: of a bound volume the one bound, of a snapshot its copy.
    pub bytes: Option<PathBuf>,
}

impl Volume {
    pub fn is_snapshot(&self) -> bool {
        self.parent_id != 0
    }

    /// By the clock of the array.
    pub fn is_locked(&self, now: i64) -> bool {
        self.lock_expires_at.is_some_and(|at| at > now)
    }

    pub fn is_replicated(&self) -> bool {
        self.rmr_source || self.rmr_target || !self.replica_ids.is_empty()
    }
}

/// What a test is shown of a volume or snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Object {
    pub id: u64,
    pub name: String,
    pub is_snapshot: bool,
    pub parent_id: u64,
    pub depth: u64,
    pub pool_id: u64,
    pub cg_id: Option<u64>,
    /// Milliseconds of the array's clock.
    pub created_at: i64,
    pub write_protected: bool,
    pub lock_expires_at: Option<i64>,
    /// By the array's clock, now.
    pub locked: bool,
    pub mapped: bool,
    pub has_children: bool,
    pub replicated: bool,
    pub metadata: BTreeMap<String, String>,
    /// The directory with its bytes, when it has any.
    pub bytes: Option<PathBuf>,
}

impl Object {
    pub fn of(volume: &Volume, state: &State) -> Self {
        Self {
            id: volume.id,
            name: volume.name.clone(),
            is_snapshot: volume.is_snapshot(),
            parent_id: volume.parent_id,
            depth: volume.depth,
            pool_id: volume.pool_id,
            cg_id: volume.cg_id,
            created_at: volume.created_at,
            write_protected: volume.write_protected,
            lock_expires_at: volume.lock_expires_at,
            locked: volume.is_locked(state.now()),
            mapped: state.is_mapped(volume.id),
            has_children: state.has_children(volume.id),
            replicated: volume.is_replicated(),
            metadata: volume.metadata.clone(),
            bytes: volume.bytes.clone(),
        }
    }
}

/// MASTER, SNAPSHOT, and before 3.0 SNAP and CLONE.
pub fn kind(is_snapshot: bool, depth: u64, state: &State) -> Field {
    match (is_snapshot, state.config.version.has_snapshot_type()) {
        (false, _) => Field::Literal("MASTER", 0),
        (true, true) => Field::Literal("SNAPSHOT", 1),
        (true, false) if depth % 2 == 1 => Field::Literal("SNAP", 1),
        (true, false) => Field::Literal("CLONE", 2),
    }
}

pub fn lock_state(locked: bool, state: &State) -> Field {
    match (&state.config.guesses.unlocked_literal, locked) {
        (_, true) => Field::Literal("LOCKED", 1),
        (None, false) => Field::Null,
        (Some(literal), false) if literal == "UNLOCKED" => Field::Literal("UNLOCKED", 0),
        (Some(literal), false) => Field::text(literal),
    }
}

impl Item for Volume {
    type Around = State;

    fn names(state: &State) -> Vec<&'static str> {
        let mut names = vec![
            "id",
            "name",
            "dataset_type",
            "type",
            "parent_id",
            "depth",
            "pool_id",
            "size",
            "used",
            "allocated",
            "tree_allocated",
            "num_blocks",
            "provtype",
            "write_protected",
            "ssd_enabled",
            "cg_id",
            "created_at",
            "updated_at",
            "serial",
            "mapped",
            "has_children",
            "rmr_source",
            "rmr_target",
            "rmr_snapshot_guid",
            "data",
        ];
        let version = state.config.version;
        if version.has_snapshot_type() {
            names.extend(["family_id", "compression_enabled", "compression_suppressed", "capacity_savings"]);
            names.extend([
                "qos_policy_id",
                "qos_shared_policy_id",
                "qos_policy_name",
                "qos_shared_policy_name",
            ]);
            names.extend(["data_snapshot_guid", "udid"]);
        }
        if version.has_locks() {
            names.extend(["pool_name", "lock_expires_at", "lock_state"]);
        }
        if version >= crate::Version(5, 0, 0, 0) {
            names.extend(["replica_ids", "paths_available", "rmr_active_active_peer", "tenant_id", "nguid"]);
        }
        if version >= crate::Version(5, 5, 0, 0) {
            names.push("replication_types");
        }
        if version.has_expiry() {
            names.extend(["snapshot_expires_at", "snapshot_retention", "source_replicated_sg_id"]);
            names.extend(["snapshot_policy_id", "snapshot_policy_name", "created_by_snapshot_policy_id"]);
            names.extend([
                "created_by_snapshot_policy_name",
                "created_by_schedule_id",
                "created_by_schedule_name",
            ]);
            names.extend(["ssa_express_enabled", "ssa_express_status", "mgmt_snapshot_guid"]);
        }
        if version.has_promote() {
            names.extend(["disk_usage", "data_reduction_ratio"]);
        }
        names
    }

    fn field(&self, name: &str, state: &State) -> Option<Field> {
        let size = |n: u64| Field::Int(int(n));
        Some(match name {
            "id" => Field::id(Some(self.id)),
            "name" => Field::text(&self.name),
            "dataset_type" => Field::Literal("VOLUME", 0),
            "type" => kind(self.is_snapshot(), self.depth, state),
            "parent_id" => size(self.parent_id),
            "family_id" => size(self.family_id),
            "depth" => size(self.depth),
            "pool_id" => size(self.pool_id),
            "pool_name" => Field::text(state.pool_name(self.pool_id)),
            "size" => size(self.size),
            "used" | "disk_usage" => size(self.used),
            "allocated" => size(self.allocated),
            "tree_allocated" => size(self.allocated),
            "num_blocks" => size(self.size / 512),
            "provtype" if self.thin => Field::Literal("THIN", 1),
            "provtype" => Field::Literal("THICK", 0),
            "write_protected" => Field::Bool(self.write_protected),
            "ssd_enabled" => Field::Bool(self.ssd_enabled),
            "compression_enabled" => Field::Bool(self.compression_enabled),
            "compression_suppressed" | "ssa_express_enabled" => Field::Bool(false),
            "capacity_savings" => Field::Int(0),
            "data_reduction_ratio" => Field::Other(Value::from(1.0)),
            "cg_id" => Field::id(self.cg_id),
            "created_at" => Field::Int(self.created_at),
            "updated_at" => Field::Int(self.updated_at),
            "serial" => Field::Text(state.volume_serial(self.id)),
            "mapped" => Field::Bool(state.is_mapped(self.id)),
            "has_children" => Field::Bool(state.has_children(self.id)),
            "rmr_source" => Field::Bool(self.rmr_source),
            "rmr_target" => Field::Bool(self.rmr_target),
            "rmr_active_active_peer" => Field::Bool(false),
            "paths_available" => Field::Bool(true),
            "data" => Field::Int(self.created_at),
            "lock_expires_at" => Field::time(self.lock_expires_at),
            "lock_state" => lock_state(self.is_locked(state.now()), state),
            "replica_ids" => Field::List(self.replica_ids.iter().map(|r| int(*r)).collect()),
            "replication_types" => Field::List(Vec::new()),
            "tenant_id" => Field::Int(1),
            "snapshot_expires_at" => Field::time(self.snapshot_expires_at),
            "snapshot_retention" => Field::time(self.snapshot_retention),
            "snapshot_policy_id" => Field::id(self.snapshot_policy_id),
            "rmr_snapshot_guid"
            | "data_snapshot_guid"
            | "mgmt_snapshot_guid"
            | "udid"
            | "nguid"
            | "qos_policy_id"
            | "qos_shared_policy_id"
            | "qos_policy_name"
            | "qos_shared_policy_name"
            | "source_replicated_sg_id"
            | "snapshot_policy_name"
            | "created_by_snapshot_policy_id"
            | "created_by_snapshot_policy_name"
            | "created_by_schedule_id"
            | "created_by_schedule_name"
            | "ssa_express_status" => Field::Null,
            _ => return None,
        })
    }
}
