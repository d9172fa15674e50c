//! What is said of the whole pipeline, and whether that is worth a mail.

use common::exit::Exit;
use serde::{Deserialize, Serialize};

use crate::cli::Only;

/// The verdict, from best to worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    Success,
    Partial,
    Critical,
}

impl Verdict {
    /// A run that did nothing because a lock was held is no success: its backup was not made.
    pub fn of(exit: Exit) -> Self {
        match exit {
            Exit::Success => Self::Success,
            Exit::Partial | Exit::TryAgain => Self::Partial,
            _ => Self::Critical,
        }
    }

    /// The word in history, metrics and headers.
    pub fn word(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Partial => "partial",
            Self::Critical => "critical",
        }
    }

    /// 0, 1, 2: as a metric.
    pub fn level(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Partial => 1,
            Self::Critical => 2,
        }
    }
}

/// Whether a mail is wanted. A first run has no verdict before it and counts as a change.
pub fn wanted(only: Only, verdict: Verdict, before: Option<Verdict>) -> bool {
    match only {
        Only::Always => true,
        Only::Failure => verdict != Verdict::Success,
        Only::Change => before != Some(verdict),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_status_zero_is_a_success() {
        for code in [1, 75] {
            assert_eq!(Verdict::of(Exit::from_code(code)), Verdict::Partial, "{code}");
        }
        for code in [2, 3, 4, 5, 64, 124, 130, 143, 77] {
            assert_eq!(Verdict::of(Exit::from_code(code)), Verdict::Critical, "{code}");
        }
        assert_eq!(Verdict::of(Exit::Success), Verdict::Success);
    }

    #[test]
    fn a_mail_for_a_change_comes_when_it_gets_worse_and_when_it_gets_better() {
        use Verdict::{Critical, Success};
        assert!(wanted(Only::Change, Success, None));
        assert!(wanted(Only::Change, Critical, Some(Success)));
        assert!(wanted(Only::Change, Success, Some(Critical)));
        assert!(!wanted(Only::Change, Critical, Some(Critical)));
        assert!(!wanted(Only::Failure, Success, None));
        assert!(wanted(Only::Failure, Verdict::Partial, Some(Verdict::Partial)));
    }
}
