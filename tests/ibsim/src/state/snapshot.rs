//! Snapshots: made at one instant, all or none; kept, expired, made into volumes, put back.

use std::collections::BTreeSet;

use super::{State, Volume};
use crate::bytes;
use crate::error::{Answer, ApiError};

/// What a new snapshot is to be.
#[derive(Debug, Clone, Default)]
pub struct Wish {
    pub name: String,
    pub write_protected: Option<bool>,
    pub ssd_enabled: Option<bool>,
    pub lock_expires_at: Option<i64>,
    pub snapshot_retention: Option<i64>,
    pub snapshot_policy_id: Option<u64>,
    /// By the array's clock; now, when it is not given.
    pub created_at: Option<i64>,
}

impl State {
    fn count_family(&self, id: u64) -> usize {
        self.children(id).into_iter().map(|c| 1 + self.count_family(c)).sum()
    }

    /// What would refuse these snapshots, before any of them is made.
    fn check_snapshots(&self, wishes: &[(u64, Wish)]) -> Answer<()> {
        let guesses = &self.config.guesses;
        let mut taken = BTreeSet::new();
        for (parent, wish) in wishes {
            let volume = self.volume(*parent)?;
            self.check_pool(volume.pool_id, 0)?;
            self.check_name(&wish.name)?;
            if !taken.insert(&wish.name) {
                return Err(ApiError::guess(
                    &guesses.name_conflict,
                    format!("the name {} comes twice", wish.name),
                ));
            }
            let have = if guesses.snapshot_limit_of_family {
                self.count_family(volume.family_id)
            } else {
                self.children(*parent).len()
            };
            if have >= self.config.max_snapshots {
                let message = format!("volume {} has {have} snapshots, which is the limit", volume.name);
                return Err(ApiError::guess(&guesses.snapshot_limit, message));
            }
            if wish.lock_expires_at.is_some_and(|at| at <= self.now()) {
                return Err(ApiError::guess(&guesses.lock_shortened, "a lock has to expire in the future"));
            }
        }
        Ok(())
    }

    /// Snapshots of any volumes at one instant: all of them or none.
    ///
    /// # Errors
    /// What the array refuses; also when bytes cannot be copied, with status 500.
    pub fn snapshot(&mut self, wishes: &[(u64, Wish)]) -> Answer<Vec<u64>> {
        self.check_snapshots(wishes)?;
        let ids: Vec<u64> = wishes.iter().map(|_| self.id()).collect();
        let mut copies = Vec::new();
        for ((parent, _), id) in wishes.iter().zip(&ids) {
            if let Some(from) = &self.volume(*parent)?.bytes {
                copies.push((from.clone(), self.store.join(id.to_string())));
            }
        }
        // The instant of the snapshot is that of its bytes.
        let mut instant = self.now();
        if !copies.is_empty() {
            let cut = bytes::cut(&copies, self.config.freezer.as_ref(), || self.now());
            instant = cut.map_err(|e| ApiError::new(500, "SIMULATOR_COPY_FAILED", format!("{e:#}")))?;
        }
        for ((parent, wish), id) in wishes.iter().zip(&ids) {
            let mut volume = self.volume(*parent)?.clone();
            let guesses = &self.config.guesses;
            volume.bytes = volume.bytes.map(|_| self.store.join(id.to_string()));
            volume.id = *id;
            volume.name.clone_from(&wish.name);
            volume.parent_id = *parent;
            volume.depth += 1;
            volume.cg_id = None;
            volume.allocated = 0;
            volume.created_at = wish.created_at.unwrap_or(instant);
            volume.updated_at = volume.created_at;
            volume.write_protected = wish.write_protected.unwrap_or(guesses.write_protected_default);
            volume.ssd_enabled = wish.ssd_enabled.unwrap_or(volume.ssd_enabled);
            volume.lock_expires_at = wish.lock_expires_at;
            volume.snapshot_retention = wish.snapshot_retention;
            volume.snapshot_expires_at =
                wish.snapshot_retention.map(|s| volume.created_at.saturating_add(s.saturating_mul(1000)));
            volume.snapshot_policy_id = wish.snapshot_policy_id;
            volume.rmr_source = false;
            volume.rmr_target = false;
            volume.replica_ids.clear();
            if !guesses.metadata_inherited {
                volume.metadata.clear();
            }
            self.keep(volume);
        }
        Ok(ids)
    }

    /// A thousand snapshots in one go and in the past: name, milliseconds of the array's clock.
    ///
    /// # Errors
    /// When a name is taken. No limit is checked and no bytes are copied.
    pub fn add_snapshots(
        &mut self,
        parent: u64,
        named: impl IntoIterator<Item = (String, i64)>,
    ) -> Answer<Vec<u64>> {
        let mut template = self.volume(parent)?.clone();
        template.parent_id = parent;
        template.depth += 1;
        template.cg_id = None;
        template.write_protected = true;
        template.allocated = 0;
        template.bytes = None;
        template.metadata.clear();
        template.rmr_source = false;
        template.rmr_target = false;
        template.replica_ids.clear();
        let mut ids = Vec::new();
        for (name, created_at) in named {
            self.check_name(&name)?;
            let id = self.id();
            self.keep(Volume { id, name, created_at, updated_at: created_at, ..template.clone() });
            ids.push(id);
        }
        Ok(ids)
    }

    /// Makes a volume of a snapshot.
    pub fn promote(&mut self, id: u64) -> Answer<()> {
        let (old, now) = (self.volume(id)?.parent_id, self.now());
        if let Some(siblings) = self.children.get_mut(&old) {
            siblings.remove(&id);
        }
        let volume = self.volume_mut(id)?;
        volume.parent_id = 0;
        volume.depth = 0;
        volume.family_id = id;
        volume.updated_at = now;
        Ok(())
    }

    /// The array deletes the snapshot by itself after so many seconds, unless it is locked.
    ///
    /// # Errors
    /// When there is no such snapshot.
    pub fn retain(&mut self, id: u64, seconds: i64) -> Answer<()> {
        let now = self.now();
        let volume = self.volume_mut(id)?;
        volume.snapshot_retention = Some(seconds);
        volume.snapshot_expires_at = Some(now.saturating_add(seconds.saturating_mul(1000)));
        self.expiring = true;
        Ok(())
    }

    /// Puts the bytes of one volume in the place of another's.
    pub fn overwrite(&mut self, id: u64, source: u64) -> Answer<()> {
        let now = self.now();
        let from = self.volume(source)?.bytes.clone();
        let volume = self.volume_mut(id)?;
        volume.updated_at = now;
        if let (Some(from), Some(to)) = (from, volume.bytes.clone()) {
            bytes::restore(&from, &to)
                .map_err(|e| ApiError::new(500, "SIMULATOR_COPY_FAILED", format!("{e:#}")))?;
        }
        Ok(())
    }

    /// Snapshots whose time has come go, as the array does by itself.
    pub fn expire(&mut self) {
        if !self.expiring {
            return;
        }
        let now = self.now();
        let due = |v: &Volume| v.snapshot_expires_at.is_some_and(|at| at <= now) && !v.is_locked(now);
        let gone: Vec<u64> = self.volumes.values().filter(|v| due(v)).map(|v| v.id).collect();
        for id in gone {
            self.remove(id);
        }
    }
}
