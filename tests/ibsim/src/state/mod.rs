//! What the array holds, and the rules by which it changes.

pub mod group;
pub mod small;
mod snapshot;
pub mod volume;

mod change;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use anyhow::Result;

use crate::config::{Config, Role};
use crate::error::{Answer, ApiError};
use group::Group;
use small::{Host, Lun, Pool, User};
pub use snapshot::Wish;
pub use volume::{Object, Volume};

pub use change::Change;

/// A login that still holds.
#[derive(Debug, Clone)]
pub struct Session {
    pub user: u64,
    pub last: Instant,
}

/// Everything that the array knows.
#[derive(Debug)]
pub struct State {
    pub config: Config,
    pub volumes: BTreeMap<u64, Volume>,
    pub groups: BTreeMap<u64, Group>,
    pub pools: BTreeMap<u64, Pool>,
    pub hosts: BTreeMap<u64, Host>,
    pub users: BTreeMap<u64, User>,
    pub luns: Vec<Lun>,
    /// Metadata of the system itself.
    pub system_metadata: BTreeMap<String, String>,
    pub sessions: HashMap<String, Session>,
    /// Milliseconds between the host's clock and the array's.
    pub offset_ms: i64,
    children: HashMap<u64, BTreeSet<u64>>,
    names: HashMap<String, u64>,
    next: u64,
    /// Some snapshot has a time at which it goes.
    expiring: bool,
    store: PathBuf,
}

impl State {
    /// With one pool, the system's users, and nothing else. `store` keeps the bytes of snapshots.
    pub fn new(config: Config, store: PathBuf) -> Self {
        let mut state = Self {
            offset_ms: config.clock_offset_ms,
            volumes: BTreeMap::new(),
            groups: BTreeMap::new(),
            pools: BTreeMap::new(),
            hosts: BTreeMap::new(),
            users: BTreeMap::new(),
            luns: Vec::new(),
            system_metadata: BTreeMap::new(),
            sessions: HashMap::new(),
            children: HashMap::new(),
            names: HashMap::new(),
            next: 1001,
            expiring: false,
            store,
            config,
        };
        let mut owners = Vec::new();
        for account in state.config.accounts.clone() {
            let id = state.id();
            if account.role == Role::PoolAdmin {
                owners.push(id);
            }
            let user = User { id, name: account.name, password: account.password, role: account.role };
            state.users.insert(id, user);
        }
        let size = state.config.pool_size;
        let first = state.add_pool("pool1", size);
        if let Some(pool) = state.pools.get_mut(&first) {
            pool.owners = owners;
        }
        state
    }

    pub fn id(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// The array's clock, epoch milliseconds.
    pub fn now(&self) -> i64 {
        let real = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
        i64::try_from(real.as_millis()).unwrap_or(i64::MAX).saturating_add(self.offset_ms)
    }

    pub fn is_mapped(&self, volume: u64) -> bool {
        self.luns.iter().any(|l| l.volume_id == volume)
    }

    pub fn has_children(&self, volume: u64) -> bool {
        self.children.get(&volume).is_some_and(|c| !c.is_empty())
    }

    pub fn children(&self, volume: u64) -> Vec<u64> {
        self.children.get(&volume).map(|c| c.iter().copied().collect()).unwrap_or_default()
    }

    pub fn pool_name(&self, pool: u64) -> &str {
        self.pools.get(&pool).map_or("", |p| p.name.as_str())
    }

    /// 31 hexadecimal digits: IEEE id, five, the system, the volume.
    pub fn volume_serial(&self, volume: u64) -> String {
        format!("742b0f{:05x}{:04x}{:016x}", 0, self.config.serial, volume)
    }

    pub fn used_of_pool(&self, pool: u64) -> u64 {
        let masters = self.volumes.values().filter(|v| v.pool_id == pool && !v.is_snapshot());
        masters.map(|v| v.size).sum()
    }

    pub fn volume(&self, id: u64) -> Answer<&Volume> {
        self.volumes.get(&id).ok_or_else(|| ApiError::not_found("VOLUME", id))
    }

    pub fn volume_mut(&mut self, id: u64) -> Answer<&mut Volume> {
        self.volumes.get_mut(&id).ok_or_else(|| ApiError::not_found("VOLUME", id))
    }

    pub fn group(&self, id: u64) -> Answer<&Group> {
        self.groups.get(&id).ok_or_else(|| ApiError::not_found("CG", id))
    }

    pub fn named(&self, name: &str) -> Option<&Volume> {
        self.names.get(name).and_then(|id| self.volumes.get(id))
    }

    pub fn add_pool(&mut self, name: &str, size: u64) -> u64 {
        let (id, created_at) = (self.id(), self.now());
        let pool =
            Pool { id, name: name.into(), size, owners: Vec::new(), locked: false, full: false, created_at };
        self.pools.insert(id, pool);
        id
    }

    pub fn add_host(&mut self, name: &str) -> u64 {
        let (id, created_at) = (self.id(), self.now());
        self.hosts.insert(id, Host { id, name: name.into(), ports: Vec::new(), created_at });
        id
    }

    /// # Errors
    /// When the name has a form that the array refuses.
    pub fn check_form(&self, name: &str) -> Answer<()> {
        let guesses = &self.config.guesses;
        let length = name.chars().count();
        if length == 0 || length > guesses.name_length {
            let message = format!("a name has 1 to {} characters, this one {length}", guesses.name_length);
            return Err(ApiError::guess(&guesses.bad_name, message));
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.:@ ".contains(c);
        if guesses.name_alphabet_strict && !name.chars().all(allowed) {
            return Err(ApiError::guess(
                &guesses.bad_name,
                format!("{name:?} has characters that a name may not have"),
            ));
        }
        Ok(())
    }

    /// # Errors
    /// When the name is taken, or has a form that the array refuses.
    pub fn check_name(&self, name: &str) -> Answer<()> {
        self.check_form(name)?;
        if self.names.contains_key(name) {
            let message = format!("the name {name} is taken by another volume or snapshot");
            return Err(ApiError::guess(&self.config.guesses.name_conflict, message));
        }
        Ok(())
    }

    /// # Errors
    /// When the name or pool is refused.
    pub fn add_volume(&mut self, name: &str, pool_id: u64, size: u64) -> Answer<u64> {
        self.check_name(name)?;
        self.check_pool(pool_id, size)?;
        let (id, now) = (self.id(), self.now());
        let volume = Volume {
            id,
            name: name.into(),
            parent_id: 0,
            depth: 0,
            family_id: id,
            pool_id,
            size,
            used: size / 2,
            allocated: size / 2,
            thin: true,
            write_protected: false,
            ssd_enabled: true,
            compression_enabled: true,
            cg_id: None,
            created_at: now,
            updated_at: now,
            lock_expires_at: None,
            snapshot_retention: None,
            snapshot_expires_at: None,
            snapshot_policy_id: None,
            rmr_source: false,
            rmr_target: false,
            replica_ids: Vec::new(),
            metadata: BTreeMap::new(),
            bytes: None,
        };
        self.keep(volume);
        Ok(id)
    }

    fn keep(&mut self, volume: Volume) {
        self.expiring |= volume.snapshot_expires_at.is_some();
        self.names.insert(volume.name.clone(), volume.id);
        if volume.parent_id != 0 {
            self.children.entry(volume.parent_id).or_default().insert(volume.id);
        }
        self.volumes.insert(volume.id, volume);
    }

    /// # Errors
    /// When the pool is missing, locked or has no room.
    pub fn check_pool(&self, id: u64, size: u64) -> Answer<()> {
        let pool = self.pools.get(&id).ok_or_else(|| ApiError::not_found("POOL", id))?;
        if pool.locked {
            let message = format!("pool {} is locked", pool.name);
            return Err(ApiError::guess(&self.config.guesses.pool_locked, message));
        }
        if pool.full || self.used_of_pool(id).saturating_add(size) > pool.size {
            let message = format!("pool {} has no room for {size} bytes", pool.name);
            return Err(ApiError::guess(&self.config.guesses.pool_full, message));
        }
        Ok(())
    }

    /// Takes a volume out with its children, its mappings and its bytes, whatever it is.
    pub fn remove(&mut self, id: u64) {
        for child in self.children(id) {
            self.remove(child);
        }
        let Some(volume) = self.volumes.remove(&id) else { return };
        self.names.remove(&volume.name);
        self.children.remove(&id);
        if let Some(siblings) = self.children.get_mut(&volume.parent_id) {
            siblings.remove(&id);
        }
        self.luns.retain(|l| l.volume_id != id);
        for group in self.groups.values_mut() {
            group.members.remove(&id);
        }
        if let Some(copy) = volume.bytes.filter(|_| volume.parent_id != 0) {
            // Bytes that stay behind belong to no object any more.
            let _left = std::fs::remove_dir_all(copy);
        }
    }

    /// # Errors
    /// When the new name is refused.
    pub fn rename(&mut self, id: u64, name: &str) -> Answer<()> {
        let old = self.volume(id)?.name.clone();
        if old == name {
            return Ok(());
        }
        self.check_name(name)?;
        self.names.remove(&old);
        self.names.insert(name.to_owned(), id);
        self.volume_mut(id)?.name = name.to_owned();
        Ok(())
    }

    /// # Errors
    /// When the volume or host is missing or the mapping exists.
    pub fn map(&mut self, volume_id: u64, host_id: u64, lun: Option<u64>) -> Answer<Lun> {
        self.volume(volume_id)?;
        if !self.hosts.contains_key(&host_id) {
            return Err(ApiError::not_found("HOST", host_id));
        }
        let of_host = self.luns.iter().filter(|l| l.host_id == host_id);
        if of_host.clone().any(|l| l.volume_id == volume_id || Some(l.lun) == lun) {
            let message = format!("volume {volume_id} or lun {lun:?} is mapped to host {host_id} already");
            return Err(ApiError::guess(&self.config.guesses.mapping_exists, message));
        }
        let lun = lun.unwrap_or_else(|| (1..).find(|n| of_host.clone().all(|l| l.lun != *n)).unwrap_or(1));
        let id = self.id();
        let mapping = Lun { id, lun, volume_id, host_id, host_cluster_id: 0, clustered: false };
        self.luns.push(mapping.clone());
        Ok(mapping)
    }

    /// Every object, by id.
    pub fn objects(&self) -> Vec<Object> {
        self.volumes.values().map(|v| Object::of(v, self)).collect()
    }

    /// An id, or a name.
    pub fn find(&self, id_or_name: &str) -> Result<u64> {
        let by_name = self.names.get(id_or_name).copied();
        let by_id = || id_or_name.parse().ok().filter(|id| self.volumes.contains_key(id));
        by_name.or_else(by_id).ok_or_else(|| anyhow::anyhow!("there is no volume or snapshot {id_or_name}"))
    }
}
