//! RMAN's work on an instance: backup, restore, recovery, and what the control file keeps of it.

use std::sync::Arc;

use super::Instance;
use crate::{
    engine::OraError,
    pieces::api::{Answer, Request, Step},
};

/// Something that takes more than one answer.
pub(super) trait Job: std::fmt::Debug + Send {
    fn next(&mut self, instance: &Arc<Instance>) -> Step;
}

/// What the engine keeps of an RMAN session between two requests.
#[derive(Debug, Default)]
pub struct Session {
    job: Option<Box<dyn Job>>,
}

impl Instance {
    /// Answers one request of RMAN.
    ///
    /// # Errors
    /// When the instance is not in the state that the request needs.
    pub fn rman(self: &Arc<Self>, session: &mut Session, request: &Request) -> Result<Answer, OraError> {
        let _ = request;
        let Some(job) = &mut session.job else { return Ok(Answer::Step(Step::last(Vec::new()))) };
        let step = job.next(self);
        if step.done {
            session.job = None;
        }
        Ok(Answer::Step(step))
    }
}
