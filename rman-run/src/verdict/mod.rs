//! The verdict on an RMAN log: what its lines prove, and what they only seem to.
//!
//! Codes and structure decide, for everything else is translated. A log file, that is one with RMAN's banner, is a success
//! only if it was written to its end: RMAN's closing line comes last, and its absence means that the client died. Text
//! without a banner, or copied from a terminal with the shell's prompt above the banner, is an excerpt: its end proves
//! nothing, so it is judged by what is in it (error stacks, pieces that were begun and not finished, the sentences that
//! hide a loss), and there must be something in it.

mod codes;
mod judge;
mod lines;
mod patterns;
mod sentences;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io::Read;

pub use codes::Severity;

/// What a log says in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    Success,
    Warning,
    Failure,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Success => "success",
            Self::Warning => "warning",
            Self::Failure => "failure",
        })
    }
}

/// Something in the log that a person should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Line of the first occurrence, from 1; 0 for the log as a whole.
    pub line: u64,
    /// How often it is there.
    pub count: u64,
    pub severity: Severity,
    /// RMAN- or ORA- code, where the line has one.
    pub code: Option<String>,
    /// What it means, and the line itself.
    pub message: String,
}

/// What is known beside the log.
#[derive(Debug, Clone, Copy, Default)]
pub struct Beside {
    /// The log is the whole output of one call of ours: it must have RMAN's closing line.
    pub whole: bool,
}

/// The verdict on one log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    pub outcome: Outcome,
    pub findings: Vec<Finding>,
    /// Names of the pieces that the log calls finished, as it writes them; no more than [`judge::KEPT`].
    pub handles: Vec<String>,
    pub lines: u64,
    /// What to do, when that is not told by a code.
    pub hint: Option<&'static str>,
}

/// Reads a log to its end and judges it. Memory does not grow with the log.
///
/// # Errors
/// The log cannot be read.
pub fn judge(reader: impl Read, beside: Beside) -> std::io::Result<Verdict> {
    let mut lines = lines::Lines::new(reader);
    let mut judge = judge::Judge::new(beside);
    while let Some(line) = lines.next_line()? {
        judge.line(line);
    }
    Ok(judge.finish())
}
