//! Media recovery.

use anyhow::Result;

use super::Inner;
use crate::engine::{OraError, Value};

impl Inner {
    pub(super) fn check_recovered(&self) -> Result<(), OraError> {
        Err(OraError::new(1113, "file 1 needs media recovery"))
    }
    pub(super) fn become_primary(&mut self) -> Result<()> {
        anyhow::bail!("not recovered")
    }
    pub(super) fn recovery_log_rows(&self) -> Vec<Vec<Value>> {
        Vec::new()
    }
}
