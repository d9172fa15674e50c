//! What ib-snap writes on each of its snapshots and ib-prune reads: whose it is, of which set, and the redo it needs.

use serde::{Deserialize, Serialize};

/// Key by which the vendor's own tools mark what they made.
pub const CREATED_BY: &str = "host.created_by";
/// Our value of [`CREATED_BY`].
pub const OWNER: &str = "orapipe";
/// Key of [`SetMark`].
pub const SET_KEY: &str = "orapipe.set";
/// Key of [`RedoMark`].
pub const REDO_KEY: &str = "orapipe.redo";

/// What the snapshot holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SetKind {
    #[default]
    Data,
    Archive,
}

/// Whether the set can be relied on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SetState {
    /// All members were taken inside backup mode, and the redo was archived.
    Complete,
    /// Under way, cut short, or not proven: never a backup. What nobody knows counts as this.
    #[default]
    #[serde(other)]
    Incomplete,
}

/// One member's part of a set. Stored as compact JSON, below 250 characters.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetMark {
    /// The run that made it.
    pub run: String,
    /// DB_NAME.
    pub db: String,
    pub dbid: u64,
    pub kind: SetKind,
    /// `YYYY-MM-DD_HHMMSS`, the same in all names of the set.
    pub stamp: String,
    /// Members of this kind.
    pub n: u64,
    #[serde(default)]
    pub state: SetState,
    /// The set has, or wants, archive snapshots besides the data snapshots.
    #[serde(default)]
    pub archive: bool,
}

impl SetMark {
    /// The value to store.
    pub fn text(&self) -> String {
        // A struct of strings and numbers has no value that JSON cannot hold.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads a stored value; `None` for what is not one. Unknown fields and states of later versions are no obstacle: an
    /// unknown state is incomplete.
    pub fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }
}

/// What recovery of the set needs: redo from `begin` to beyond `end`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RedoMark {
    /// Lowest checkpoint SCN of the datafiles in backup mode.
    pub begin: u64,
    /// SCN after END BACKUP.
    pub end: u64,
    #[serde(default)]
    pub resetlogs: u64,
    /// Thread, first and last *complete* sequence: recovery stops there, later logs in the snapshot are half written.
    #[serde(default)]
    pub threads: Vec<(u64, u64, u64)>,
}

impl RedoMark {
    pub fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    pub fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }
}
