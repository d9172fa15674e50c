//! Managed recovery: a background process that applies what the control file knows, as it becomes known.
//!
//! It finds logs only by their records: a file that nobody has registered or catalogued is not there for it.

use std::{sync::Arc, time::Duration};

use super::{Inner, Instance};
use crate::{
    controlfile::Kind,
    engine::{OraError, Recover, Reply, State, Until},
};

/// How often it looks for a log.
const LOOK: Duration = Duration::from_millis(50);

impl Inner {
    /// Refuses a second recovery.
    pub(super) fn not_recovering(&self) -> Result<(), OraError> {
        match self.managed {
            Some(_) => Err(OraError::new(1153, "an incompatible media recovery is active")),
            None => Ok(()),
        }
    }
}

impl Instance {
    pub(super) fn recover_managed(self: &Arc<Self>, real_time: bool) -> Result<Reply, OraError> {
        let mut inner = self.lock();
        let kind = inner.control()?.kind;
        if kind != Kind::Standby {
            return Err(OraError::new(1665, "control file is not a standby control file"));
        }
        if !inner.spec.edition.starts_with("Enterprise") {
            return Err(OraError::new(439, "feature not enabled: Managed Standby"));
        }
        if inner.state != State::Mounted {
            // It would work, and need a licence of its own.
            return Err(OraError::new(3001, "unimplemented feature (Active Data Guard in orasim)"));
        }
        inner.not_recovering()?;
        if inner.recovery.is_some() {
            return Err(OraError::new(1153, "an incompatible media recovery is active"));
        }
        inner.managed = Some(real_time);
        Ok(Reply::default())
    }

    pub(super) fn cancel_managed(&self) -> Result<Reply, OraError> {
        let mut inner = self.lock();
        inner.control()?;
        match inner.managed.take() {
            Some(_) => Ok(Reply::default()),
            None => Err(OraError::new(16136, "Managed Standby Recovery not active")),
        }
    }

    /// One look of the process; `None` when the instance ends.
    pub(super) fn managed_round(&self) -> Option<Duration> {
        if self.stopped() {
            return None;
        }
        let mut inner = self.lock();
        if inner.managed.is_none() || inner.state != State::Mounted || inner.recovery_log_rows().is_empty() {
            return Some(LOOK);
        }
        let request = Recover {
            automatic: true,
            from: None,
            standby: true,
            using_backup_controlfile: false,
            until: Until::End,
        };
        let ended = inner.start_recovery(&request, true, None).and_then(|session| inner.go_on(session));
        // It waits for a log that is not there, and ends with any other error.
        if ended.is_err_and(|e| e.code() != 279) {
            inner.managed = None;
        }
        Some(LOOK)
    }
}
