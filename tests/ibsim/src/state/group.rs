//! Consistency groups and the groups of their snapshots.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::volume::{kind, lock_state};
use super::State;
use crate::query::{int, Field, Item};

/// A consistency group, or a snapshot group of one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Group {
    pub id: u64,
    pub name: String,
    /// The group it is a snapshot of.
    pub parent_id: Option<u64>,
    pub pool_id: u64,
    pub members: BTreeSet<u64>,
    /// Milliseconds of the array's clock.
    pub created_at: i64,
    pub updated_at: i64,
    pub lock_expires_at: Option<i64>,
    pub is_replicated: bool,
    pub metadata: BTreeMap<String, String>,
}

impl Group {
    pub fn is_locked(&self, now: i64) -> bool {
        self.lock_expires_at.is_some_and(|at| at > now)
    }
}

impl Item for Group {
    type Around = State;

    fn names(state: &State) -> Vec<&'static str> {
        let mut names = vec![
            "id",
            "name",
            "type",
            "parent_id",
            "pool_id",
            "members_count",
            "has_children",
            "created_at",
            "updated_at",
            "is_replicated",
            "rmr_source",
            "rmr_target",
        ];
        if state.config.version.has_locks() {
            names.extend(["pool_name", "lock_expires_at", "lock_state"]);
        }
        if state.config.version >= crate::Version(5, 0, 0, 0) {
            names.push("tenant_id");
        }
        if state.config.version.has_expiry() {
            names.extend([
                "snapshot_retention",
                "snapshot_expires_at",
                "snapshot_policy_id",
                "snapshot_policy_name",
            ]);
        }
        names
    }

    fn field(&self, name: &str, state: &State) -> Option<Field> {
        Some(match name {
            "id" => Field::id(Some(self.id)),
            "name" => Field::text(&self.name),
            "type" => kind(self.parent_id.is_some(), 1, state),
            "parent_id" => Field::id(self.parent_id),
            "pool_id" => Field::Int(int(self.pool_id)),
            "pool_name" => Field::text(state.pool_name(self.pool_id)),
            "members_count" => Field::Int(int(self.members.len() as u64)),
            "has_children" => Field::Bool(state.groups.values().any(|g| g.parent_id == Some(self.id))),
            "created_at" => Field::Int(self.created_at),
            "updated_at" => Field::Int(self.updated_at),
            "is_replicated" => Field::Bool(self.is_replicated),
            "rmr_source" | "rmr_target" => Field::Bool(false),
            "lock_expires_at" => Field::time(self.lock_expires_at),
            "lock_state" => lock_state(self.is_locked(state.now()), state),
            "tenant_id" => Field::Int(1),
            "snapshot_retention" | "snapshot_expires_at" | "snapshot_policy_id" | "snapshot_policy_name" => {
                Field::Null
            }
            _ => return None,
        })
    }
}
