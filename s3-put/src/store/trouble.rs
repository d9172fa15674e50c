//! A failure of a request as the tools see it.

use std::fmt;

use common::exit::{Exit, Failure};

/// What kind of failure it is; decides whether the rest of the run has a chance, and the exit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// There is no such object or upload.
    Missing,
    /// Something else is there: 409, 412.
    Conflict,
    /// There is no such bucket.
    NoBucket,
    /// No credentials were found.
    NoCredentials,
    /// The credentials are not accepted, or not any more.
    Credentials,
    /// The credentials are good and not allowed to do this.
    Denied,
    /// The server's clock and ours differ too much.
    Skew,
    /// The server could not be reached, or not in time.
    Unreachable,
    /// What the server has is not what was sent.
    Corrupt,
    /// The server knows neither this operation nor a way around.
    Unsupported,
    /// A guard of ours said no.
    Refused,
    /// A signal asked us to stop.
    Stopped,
    /// Everything else.
    Other,
}

impl Kind {
    /// Whether every other file of the run would fail in the same way.
    pub fn ends_the_run(self) -> bool {
        matches!(self, Self::NoBucket | Self::NoCredentials | Self::Credentials | Self::Skew | Self::Stopped)
    }

    /// The exit status of a run that did nothing because of it.
    pub fn exit(self) -> Exit {
        match self {
            Self::NoBucket | Self::NoCredentials => Exit::Usage,
            Self::Credentials | Self::Denied | Self::Skew | Self::Conflict | Self::Refused => Exit::Refused,
            Self::Unreachable => Exit::TryAgain,
            Self::Missing | Self::Corrupt | Self::Unsupported | Self::Stopped | Self::Other => Exit::Failed,
        }
    }
}

/// A request that failed for good.
#[derive(Debug, Clone)]
pub struct Trouble {
    pub kind: Kind,
    /// What we were doing and what was wrong.
    pub message: String,
    /// What a tired person can do now.
    pub hint: Option<String>,
}

impl Trouble {
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: None }
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// A failure on this side: reading, writing, a bug in the plan.
    pub fn local(error: &anyhow::Error) -> Self {
        Self::new(Kind::Other, format!("{error:#}"))
    }

    pub fn stopped() -> Self {
        Self::new(Kind::Stopped, "a signal asked to stop")
    }

    /// Message and hint in one line, for a record.
    pub fn reason(&self) -> String {
        match &self.hint {
            Some(hint) => format!("{}; {hint}", self.message),
            None => self.message.clone(),
        }
    }

    /// The error of a run that ends here.
    pub fn failure(&self) -> Failure {
        Failure { exit: self.kind.exit(), message: self.message.clone(), hint: self.hint.clone(), code: None }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Trouble {}
