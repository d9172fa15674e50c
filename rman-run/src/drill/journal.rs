//! What a drill has taken out of recovery, written before it does so: whoever comes after a crash puts it back.

use std::path::{Path, PathBuf};

use anyhow::Context;
use common::durable;
use common::exit::{Exit, Failure};
use common::record::{DrillQuery, Recovery};
use serde::{Deserialize, Serialize};

/// An obligation: this standby is to be mounted and recovering again.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Journal {
    pub v: u64,
    pub run: String,
    pub host: String,
    pub user: String,
    pub sid: String,
    pub db: String,
    pub dbid: u64,
    /// UTC, RFC 3339.
    pub started: String,
    pub recovery: Recovery,
    /// Managed recovery read the redo of the current log as it arrived.
    pub real_time: bool,
    /// How far recovery had come before anything was done.
    pub before: u64,
    /// ORACLE_HOME: with another one the instance looks as if it were down.
    #[serde(default)]
    pub home: Option<PathBuf>,
    /// What --recover, called without flags, needs too.
    #[serde(default)]
    pub pfile: Option<PathBuf>,
    #[serde(default)]
    pub logs: Vec<PathBuf>,
    /// Pluggable databases that were open.
    #[serde(default)]
    pub pdbs: Vec<String>,
    /// Once it was open: the SCN and its time.
    #[serde(default)]
    pub scn: Option<u64>,
    #[serde(default)]
    pub time: Option<String>,
    /// UTC, RFC 3339.
    #[serde(default)]
    pub opened: Option<String>,
    #[serde(default)]
    pub queries: Vec<DrillQuery>,
}

impl Journal {
    pub fn path(state_dir: &Path, sid: &str) -> PathBuf {
        state_dir.join(format!("drill.{sid}.json"))
    }

    /// The obligation that somebody has left.
    ///
    /// # Errors
    /// One that cannot be read is not thrown away: nobody would put the standby back then.
    pub fn load(state_dir: &Path, sid: &str) -> anyhow::Result<Option<Self>> {
        let path = Self::path(state_dir, sid);
        let Some(bytes) = durable::read(&path).with_context(|| format!("read {}", path.display()))? else {
            return Ok(None);
        };
        match serde_json::from_slice(&bytes) {
            Ok(journal) => Ok(Some(journal)),
            Err(error) => Err(Failure::new(
                Exit::Refused,
                format!(
                    "{} says that a drill was not ended, and cannot be understood: {error}",
                    path.display()
                ),
            )
            .hint("put the standby back by hand (shut down, mount, start recovery), then remove that file")
            .into()),
        }
    }

    /// # Errors
    /// It cannot be made durable; then nothing may be done to the standby.
    pub fn save(&self, state_dir: &Path) -> anyhow::Result<()> {
        let bytes = serde_json::to_vec(self).context("encode the journal of the drill")?;
        durable::write(&Self::path(state_dir, &self.sid), &bytes)
    }

    pub fn remove(&self, state_dir: &Path) -> anyhow::Result<()> {
        durable::remove(&Self::path(state_dir, &self.sid))
    }
}
