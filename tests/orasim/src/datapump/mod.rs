//! Data Pump export: jobs that live in the server, the client `expdp`, dumps with realistic content.
//!
//! What a database has for it — directory objects, schemas with tables, faults — is in `datapump.json` of the instance
//! directory, which is read anew for each job, so that a test may change it at any time. Texts and codes after real
//! logs of 11.2 to 23ai; the client writes its log to standard error, as expdp does.

pub mod client;
pub mod dump;
mod jobs;
mod parfile;
mod text;
mod views;
pub mod wire;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

pub use jobs::{Caller, Pump};
pub use views::WithDictionary;

/// `datapump.json`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// By upper-case name.
    pub directories: BTreeMap<String, Directory>,
    pub schemas: BTreeMap<String, Schema>,
    pub faults: Vec<Fault>,
    /// How long the unloading of one table takes.
    pub table_seconds: f64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Directory {
    pub path: PathBuf,
    /// Users that may write there besides DBAs.
    #[serde(default)]
    pub grantees: Vec<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Schema {
    pub tables: Vec<Table>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Table {
    pub name: String,
    pub rows: u64,
    /// Partition names; the rows are spread over them.
    pub partitions: Vec<String>,
    /// Rows of it are nowhere: a global temporary table.
    pub temporary: bool,
    /// Its rows are in a file outside.
    pub external: bool,
}

impl Table {
    pub fn new(name: &str, rows: u64) -> Self {
        Self { name: name.into(), rows, ..Self::default() }
    }

    /// What expdp prints a line for: the table, or each partition.
    fn segments(&self, schema: &str) -> Vec<(String, u64)> {
        if self.temporary || self.external {
            return Vec::new();
        }
        let table = format!("\"{schema}\".\"{}\"", self.name);
        if self.partitions.is_empty() {
            return vec![(table, self.rows)];
        }
        let count = self.partitions.len() as u64;
        let share = |n: u64| self.rows / count + u64::from(n < self.rows % count);
        (0..).zip(&self.partitions).map(|(n, p)| (format!("{table}:\"{p}\""), share(n))).collect()
    }
}

/// Something that goes wrong with the exports of a schema.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    pub schema: String,
    pub kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Kind {
    /// A table or partition (`"S"."T":"P"`) is skipped: ORA-31693 with this cause.
    Skip { object: String, code: u32 },
    /// A table is left out without a word.
    Omit { object: String },
    /// `. . exported` of nothing, and "successfully completed".
    NoRows,
    /// The job stops with this error before the last table.
    Fatal { code: u32, text: String },
    /// The file system is full when half of the dump is written; the half stays.
    DiskFull,
    /// All goes well and the dump is not there: a clean-up job was quicker.
    NoDump,
    /// All goes well, and then so many bytes of the dump are left: the file system was lying.
    CutDump { bytes: u64 },
    /// The job stays EXECUTING after the first table for ever.
    Hang,
    /// ORA-39171: waits so long for space, then goes on.
    Wait { seconds: f64 },
    /// The client dies by this signal after the first table; the job goes on.
    ClientDies { signal: i32 },
    /// KILL_JOB leaves the master table: the job is NOT RUNNING.
    KillLeavesMaster,
    /// KILL_JOB takes so long.
    KillTakes { seconds: f64 },
    /// The client ends with this status whatever its log says.
    Status { status: i32 },
}

impl Config {
    pub fn path(dir: &Path) -> PathBuf {
        dir.join("datapump.json")
    }

    /// An absent file is a database without directory objects and schemas.
    ///
    /// # Errors
    /// When the file is there and no `Config`.
    pub fn load(dir: &Path) -> Result<Self> {
        let path = Self::path(dir);
        match std::fs::read(&path) {
            Ok(bytes) => {
                serde_json::from_slice(&bytes).with_context(|| format!("{} is not valid", path.display()))
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(e) => Err(e).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    /// Replaces the file in one step: a job may read it at this moment.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self, dir: &Path) -> Result<()> {
        let path = Self::path(dir);
        let new = path.with_extension("json.new");
        std::fs::write(&new, serde_json::to_vec_pretty(self)?)
            .and_then(|()| std::fs::rename(&new, &path))
            .with_context(|| format!("cannot write {}", path.display()))
    }

    fn faults_of(&self, schema: &str) -> Vec<Kind> {
        self.faults.iter().filter(|f| f.schema == schema).map(|f| f.kind.clone()).collect()
    }
}
