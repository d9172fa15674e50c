//! What somebody else does to the array, between two requests of the tool under test.

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::{State, Wish};

/// A change by another hand. Volumes are named by name or id; `@` is the one in the path of the request that was struck.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// The object is gone, with its children.
    Remove(String),
    /// A snapshot of a volume, made now or at a time of the array's clock.
    Snapshot {
        parent: String,
        name: String,
        created_at: Option<i64>,
    },
    /// The clock jumps by so many milliseconds.
    Clock(i64),
    /// Locked until a time of the array's clock.
    Lock {
        volume: String,
        until_ms: i64,
    },
    /// Mapped to the first host, which is made when there is none.
    Map(String),
    Unmap(String),
    /// The object gets a snapshot of its own.
    Child(String),
    Replicate(String),
    Metadata {
        volume: String,
        key: String,
        value: Option<String>,
    },
    Rename {
        volume: String,
        name: String,
    },
    /// Snapshots come and go: the first n whose name contains the text, and so many new ones of the same parent.
    Churn {
        containing: String,
        remove: usize,
        add: usize,
    },
    /// Everybody is logged out.
    ExpireSessions,
    PoolLocked(bool),
    PoolFull(bool),
}

impl State {
    /// # Errors
    /// When there is no such object, or the array refuses.
    pub fn change(&mut self, change: &Change, in_path: Option<u64>) -> Result<()> {
        let which = |state: &Self, name: &str| match (name, in_path) {
            ("@", Some(id)) => Ok(id),
            ("@", None) => anyhow::bail!("the path of the request names no object"),
            _ => state.find(name),
        };
        let told = |e: crate::error::ApiError| anyhow::anyhow!("{}: {}", e.code, e.message);
        match change {
            Change::Remove(name) => {
                let id = which(self, name)?;
                self.remove(id);
            }
            Change::Snapshot { parent, name, created_at } => {
                let parent = which(self, parent)?;
                let wish = Wish { name: name.clone(), created_at: *created_at, ..Wish::default() };
                self.snapshot(&[(parent, wish)]).map_err(told)?;
            }
            Change::Clock(ms) => self.offset_ms = self.offset_ms.saturating_add(*ms),
            Change::Lock { volume, until_ms } => {
                let id = which(self, volume)?;
                self.volume_mut(id).map_err(told)?.lock_expires_at = Some(*until_ms);
            }
            Change::Map(name) => {
                let id = which(self, name)?;
                let host = match self.hosts.keys().next() {
                    Some(host) => *host,
                    None => self.add_host("host1"),
                };
                self.map(id, host, None).map_err(told)?;
            }
            Change::Unmap(name) => {
                let id = which(self, name)?;
                self.luns.retain(|l| l.volume_id != id);
            }
            Change::Child(name) => {
                let id = which(self, name)?;
                let name =
                    format!("{}_child{}", self.volume(id).map_err(told)?.name, self.children(id).len());
                self.snapshot(&[(id, Wish { name, ..Wish::default() })]).map_err(told)?;
            }
            Change::Replicate(name) => {
                let id = which(self, name)?;
                let volume = self.volume_mut(id).map_err(told)?;
                volume.rmr_source = true;
                volume.replica_ids = vec![9001];
            }
            Change::Metadata { volume, key, value } => {
                let id = which(self, volume)?;
                let metadata = &mut self.volume_mut(id).map_err(told)?.metadata;
                match value {
                    Some(value) => drop(metadata.insert(key.clone(), value.clone())),
                    None => drop(metadata.remove(key)),
                }
            }
            Change::Rename { volume, name } => {
                let id = which(self, volume)?;
                self.rename(id, name).map_err(told)?;
            }
            Change::Churn { containing, remove, add } => self.churn(containing, *remove, *add)?,
            Change::ExpireSessions => self.sessions.clear(),
            Change::PoolLocked(locked) => self.pools.values_mut().for_each(|p| p.locked = *locked),
            Change::PoolFull(full) => self.pools.values_mut().for_each(|p| p.full = *full),
        }
        Ok(())
    }

    fn churn(&mut self, containing: &str, remove: usize, add: usize) -> Result<()> {
        let those = self.volumes.values().filter(|v| v.is_snapshot() && v.name.contains(containing));
        let ids: Vec<u64> = those.map(|v| v.id).collect();
        let sample = self.volumes.get(ids.last().context("nothing to churn")?).context("nothing to churn")?;
        let (parent, name, at) = (sample.parent_id, sample.name.clone(), self.now());
        let next = self.next;
        let new = (0..add).map(|n| (format!("{name}.{next}.{n}"), at));
        self.add_snapshots(parent, new).map_err(|e| anyhow::anyhow!("{}: {}", e.code, e.message))?;
        for id in ids.into_iter().take(remove) {
            self.remove(id);
        }
        Ok(())
    }
}
