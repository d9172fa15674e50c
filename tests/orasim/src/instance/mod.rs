//! One database instance: files, redo, clock, background processes.

use std::{path::Path, sync::Arc};

use anyhow::{bail, Result};

use crate::{
    engine::{Command, Container, Engine, OraError, Reply, State, View},
    faults::Faults,
};

pub mod spec;

pub use spec::{DestSpec, FakeLogs, FileSpec, Spec, TablespaceKind, TablespaceSpec};

#[derive(Debug)]
pub struct Instance {}

impl Instance {
    /// Makes a database in `dir` and opens it (a standby home stays down).
    pub fn create(_dir: &Path, _spec: &Spec) -> Result<Arc<Self>> {
        bail!("not yet")
    }
    /// An instance that is down, over what an earlier one left in `dir`, whether it was shut down or crashed.
    pub fn open(_dir: &Path) -> Result<Arc<Self>> {
        bail!("not yet")
    }
    pub fn spec(&self) -> Spec {
        Spec::default()
    }
    pub fn faults(&self) -> Faults {
        Faults::default()
    }
    pub fn set_faults(&self, _faults: Faults) -> Result<()> {
        Ok(())
    }
    /// Changes `n` blocks and writes them out.
    pub fn write_batch(&self, _n: usize) -> Result<()> {
        Ok(())
    }
    /// Changes per second of the background writer from now on; 0 stops it.
    pub fn set_rate(&self, _changes_per_second: u32) {}
    /// Ends the background processes where they are, as a killed instance would.
    pub fn crash(&self) {}
    /// OPEN RESETLOGS of a running primary: a new incarnation from here on.
    pub fn resetlogs_now(&self) -> Result<(), OraError> {
        Ok(())
    }
    /// CURRENT_SCN.
    pub fn current_scn(&self) -> u64 {
        0
    }
}

impl Engine for Instance {
    fn state(&self) -> State {
        State::Down
    }
    fn view(&self, _name: &str, _container: &Container) -> Option<Result<View, OraError>> {
        None
    }
    fn execute(&self, _command: &Command, _container: &mut Container) -> Result<Reply, OraError> {
        Err(OraError::new(1034, "ORACLE not available"))
    }
}
