//! Why a SQL*Plus session failed.

use std::fmt;

use crate::exit::{Exit, Failure};
use crate::explain;
use crate::signals::{self, Stop};

/// What kind of failure it was: decides the exit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SqlErrorKind {
    /// The account or password was not accepted.
    LogonDenied,
    /// Database, listener or network is away: worth another try.
    NotAvailable,
    /// The session did not end within its limit.
    TimedOut,
    /// The run was asked to stop.
    Interrupted,
    /// A statement failed.
    Statement,
    /// SQL*Plus ended well and yet the end marker is missing: nobody knows what it did.
    Protocol,
    /// SQL*Plus could not be started or the installation was not found.
    NotStarted,
}

/// A failed session; the cause and the exit status are in [`SqlError::failure`], which `?` carries along.
#[derive(Debug)]
pub struct SqlError {
    pub kind: SqlErrorKind,
    /// The statement that failed, if one was reached.
    pub step: Option<String>,
    /// All codes of the failed step in the order printed, each once.
    pub codes: Vec<String>,
    /// The messages, secrets blanked.
    pub text: String,
    /// Instance and logon, for messages.
    pub target: String,
    /// Whether a statement that changes something had been begun.
    pub begun: bool,
    pub failure: Box<Failure>,
}

impl SqlError {
    pub(crate) fn new(
        kind: SqlErrorKind,
        target: String,
        step: Option<String>,
        codes: Vec<String>,
        text: String,
        begun: bool,
    ) -> Self {
        let exit = match kind {
            SqlErrorKind::LogonDenied | SqlErrorKind::NotStarted => Exit::Usage,
            // 75 promises that nothing was changed.
            SqlErrorKind::NotAvailable if !begun => Exit::TryAgain,
            SqlErrorKind::NotAvailable | SqlErrorKind::Statement | SqlErrorKind::Protocol => Exit::Failed,
            SqlErrorKind::TimedOut => Exit::TimedOut,
            SqlErrorKind::Interrupted => match signals::pending() {
                Some(Stop::Terminate) => Exit::Terminated,
                Some(Stop::Interrupt) | None => Exit::Interrupted,
            },
        };
        let mut failure = Failure::new(exit, text.clone());
        let main = main_code(&codes);
        if let Some(code) = main {
            failure = failure.code(code);
        }
        let hint = match kind {
            SqlErrorKind::TimedOut => Some(
                "look at V$SESSION for what the session waits for; a full archive destination stops every statement \
                 (ORA-00257)"
                    .to_owned(),
            ),
            SqlErrorKind::Protocol => {
                Some("look at the SQL*Plus transcript; a profile or glogin.sql may have ended the session".to_owned())
            }
            _ => main.and_then(explain::exact).map(|e| e.cure.to_owned()),
        };
        if let Some(hint) = hint {
            failure = failure.hint(hint);
        }
        Self { kind, step, codes, text, target, begun, failure: Box::new(failure) }
    }

    pub(crate) fn not_started(target: String, failure: Failure) -> Self {
        Self {
            kind: SqlErrorKind::NotStarted,
            step: None,
            codes: failure.code.iter().cloned().collect(),
            text: failure.message.clone(),
            target,
            begun: false,
            failure: Box::new(failure),
        }
    }

    /// The code that says most: the first that is not a mere place or follow-up.
    pub fn first_code(&self) -> Option<&str> {
        main_code(&self.codes)
    }

    /// Whether the session printed this code (`ORA-01146`).
    pub fn has(&self, code: &str) -> bool {
        self.codes.iter().any(|c| c == code)
    }
}

fn main_code(codes: &[String]) -> Option<&str> {
    const PLACES: [&str; 5] = ["ORA-06512", "ORA-00604", "SP2-0640", "SP2-0751", "SP2-0157"];
    let says_more = |c: &&String| !PLACES.contains(&c.as_str());
    codes.iter().find(says_more).or_else(|| codes.first()).map(String::as_str)
}

impl fmt::Display for SqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.step {
            Some(step) => write!(f, "run {step} on {}", self.target),
            None => write!(f, "connect to {}", self.target),
        }
    }
}

impl std::error::Error for SqlError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(self.failure.as_ref())
    }
}
