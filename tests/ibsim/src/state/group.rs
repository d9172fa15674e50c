//! Consistency groups and the groups of their snapshots.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::volume::{kind, lock_state};
use super::State;
use crate::error::{Answer, ApiError};
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

impl State {
    /// # Errors
    /// When the name or pool is refused.
    pub fn add_group(&mut self, name: &str, pool_id: u64, parent_id: Option<u64>) -> Answer<u64> {
        self.check_form(name)?;
        if self.groups.values().any(|g| g.name == name) {
            let message = format!("the name {name} is taken by another group");
            let code = self.config.guesses.name_conflict.code.replace("VOLUME", "CG");
            return Err(ApiError::new(self.config.guesses.name_conflict.status, &code, message));
        }
        if !self.pools.contains_key(&pool_id) {
            return Err(ApiError::not_found("POOL", pool_id));
        }
        let (id, now) = (self.id(), self.now());
        let group = Group {
            id,
            name: name.into(),
            parent_id,
            pool_id,
            members: BTreeSet::new(),
            created_at: now,
            updated_at: now,
            lock_expires_at: None,
            is_replicated: false,
            metadata: BTreeMap::new(),
        };
        self.groups.insert(id, group);
        Ok(id)
    }

    /// # Errors
    /// When there is no such group or volume, or it cannot be a member.
    pub fn join(&mut self, group_id: u64, volume_id: u64) -> Answer<()> {
        let group = self.group(group_id)?;
        let volume = self.volume(volume_id)?;
        if volume.cg_id.is_some() {
            let message = format!("volume {} is in a consistency group already", volume.name);
            return Err(ApiError::guess(&self.config.guesses.cg_member, message));
        }
        if volume.pool_id != group.pool_id {
            let message = format!("volume {} is in another pool than group {}", volume.name, group.name);
            return Err(ApiError::new(409, "CG_MEMBERS_MUST_BE_IN_THE_SAME_POOL", message));
        }
        if let Some(group) = self.groups.get_mut(&group_id) {
            group.members.insert(volume_id);
        }
        self.volume_mut(volume_id)?.cg_id = Some(group_id);
        Ok(())
    }
}
