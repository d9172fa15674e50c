//! Exit statuses and the few failures that choose them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How a run ended. Statuses are never renumbered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// 0: done, or nothing to do.
    Success,
    /// 1: done with warnings or with failed items; the records name each.
    Partial,
    /// 2: failed; the records say what was changed.
    Failed,
    /// 3: unexpected error, a bug.
    Bug,
    /// 4: a guard said no; nothing was changed.
    Refused,
    /// 5: ran well and found a problem: gap, corruption, mismatch, not recoverable.
    Finding,
    /// 64: wrong usage or configuration.
    Usage,
    /// 75: lock held or other side unreachable; nothing was changed, try again.
    TryAgain,
    /// 124: a time limit was hit, after clean-up.
    TimedOut,
    /// 130: SIGINT, after clean-up.
    Interrupted,
    /// 143: SIGTERM or SIGHUP, after clean-up.
    Terminated,
}

/// The text that every `--help` ends with.
pub const HELP: &str = "Exit status:
  0    done, or nothing to do
  1    partial: done with warnings or with failed items; the records name each
  2    failed; the records say what was changed
  3    unexpected error: a bug
  4    refused: a guard said no, nothing was changed
  5    finding: ran well and found a problem (gap, corruption, mismatch, not recoverable)
  64   wrong usage or configuration
  75   try again: lock held, or other side unreachable; nothing was changed
  124  a time limit was hit, after clean-up
  130  SIGINT, after clean-up
  143  SIGTERM or SIGHUP, after clean-up";

impl Exit {
    /// Worst first: the order in which one status hides another in a pipeline.
    const WORST_FIRST: [Self; 11] = [
        Self::Bug,
        Self::Failed,
        Self::TimedOut,
        Self::Terminated,
        Self::Interrupted,
        Self::Finding,
        Self::Refused,
        Self::Partial,
        Self::Usage,
        Self::TryAgain,
        Self::Success,
    ];

    pub fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Partial => 1,
            Self::Failed => 2,
            Self::Bug => 3,
            Self::Refused => 4,
            Self::Finding => 5,
            Self::Usage => 64,
            Self::TryAgain => 75,
            Self::TimedOut => 124,
            Self::Interrupted => 130,
            Self::Terminated => 143,
        }
    }

    /// The status with this number. One that we do not know counts as failed: nobody vouched for it.
    pub fn from_code(code: i64) -> Self {
        Self::WORST_FIRST.into_iter().find(|e| i64::from(e.code()) == code).unwrap_or(Self::Failed)
    }

    /// The more severe of two.
    #[must_use]
    pub fn worse(self, other: Self) -> Self {
        let rank = |e| Self::WORST_FIRST.iter().position(|w| *w == e);
        if rank(other) < rank(self) {
            other
        } else {
            self
        }
    }

    pub fn word(self) -> RunStatus {
        match self {
            Self::Success => RunStatus::Success,
            Self::Partial => RunStatus::Partial,
            Self::Failed | Self::TimedOut => RunStatus::Failed,
            Self::Bug => RunStatus::Error,
            Self::Refused | Self::Usage => RunStatus::Refused,
            Self::Finding => RunStatus::Finding,
            Self::TryAgain => RunStatus::Skipped,
            Self::Interrupted | Self::Terminated => RunStatus::Interrupted,
        }
    }
}

/// The word for an exit status in `run_end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum RunStatus {
    Success,
    Partial,
    Failed,
    Refused,
    Finding,
    Skipped,
    Interrupted,
    Error,
}

/// An error that chooses the exit status and may carry advice.
///
/// The frame finds it through any amount of `anyhow` context. An error without one ends with status 2.
#[derive(Debug)]
pub struct Failure {
    pub exit: Exit,
    pub message: String,
    /// What a tired person can do now, as a sentence without a full stop.
    pub hint: Option<String>,
    /// ORA-01123, rsync 23, …: the code that `--explain` knows.
    pub code: Option<String>,
}

impl Failure {
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), hint: None, code: None }
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    #[must_use]
    pub fn code(mut self, code: impl Into<String>) -> Self {
        self.code = Some(code.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// The failure inside an error, if somebody has put one there.
pub fn failure(error: &anyhow::Error) -> Option<&Failure> {
    error.downcast_ref::<Failure>().or_else(|| error.chain().find_map(|e| e.downcast_ref()))
}

/// The status that an error ends with.
pub fn status_of(error: &anyhow::Error) -> Exit {
    failure(error).map_or(Exit::Failed, |f| f.exit)
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn severity_is_the_order_of_the_contract() {
        let order = [3, 2, 124, 143, 130, 5, 4, 1, 64, 75, 0];
        for pair in order.windows(2) {
            let (worse, better) = (Exit::from_code(pair[0]), Exit::from_code(pair[1]));
            assert_eq!(worse.worse(better), worse);
            assert_eq!(better.worse(worse), worse);
        }
    }

    #[test]
    fn an_unknown_status_is_a_failure() {
        assert_eq!(Exit::from_code(77), Exit::Failed);
    }

    #[test]
    fn a_failure_is_found_through_context() {
        let error = Err::<(), _>(Failure::new(Exit::TryAgain, "locked"))
            .context("take the lock")
            .context("start")
            .unwrap_err();
        assert_eq!(status_of(&error), Exit::TryAgain);
        assert_eq!(status_of(&anyhow::anyhow!("plain")), Exit::Failed);
    }
}
