//! What can go wrong with a call, told apart by what a caller can do about it.

use std::fmt;
use std::time::Duration;

use crate::exit::{Exit, Failure};

/// The kinds of failure. HTTP status class and transport decide; the API's code is only for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// 401: user or password.
    Unauthorized,
    /// 403: the user may not, or the array wants an approval that it was not given.
    Forbidden,
    /// 404: it is not there, or not any more.
    NotFound,
    /// 409: the name is taken, or the state of the object forbids it.
    Conflict,
    /// 429, with the array's Retry-After if it gave one.
    TooManyRequests(Option<Duration>),
    /// Any other 4xx: the array understood and said no.
    Refused,
    /// 503: management is not available at this address.
    Unavailable,
    /// Any other 5xx.
    Server,
    /// An answer that is not the API's: HTML, no JSON, a redirect, a missing result.
    NotApi,
    /// No connection: name, address, refused, network.
    Unreachable,
    /// The certificate, or something else of TLS.
    Tls,
    /// The connection broke while a request was under way.
    Broken,
    /// The request took longer than its limit.
    TimedOut,
    /// The listing changed whenever it was read.
    Moving,
    /// The run was asked to stop while it waited.
    Interrupted,
}

/// A call that failed. Its `Display` is one line for people, with the API's code and message as they came.
///
/// It is not a `std::error::Error` on purpose: `?` would lose the exit status. Use [`ApiError::failure`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    pub kind: Kind,
    /// What we were doing: "take snapshot X of volume 1005".
    pub what: String,
    /// The address that answered, or that was asked last.
    pub address: String,
    pub status: Option<u16>,
    /// The API's code, verbatim.
    pub code: Option<String>,
    /// The API's message, verbatim, or what the transport said.
    pub message: String,
    /// Whether the array may have executed the request although we were not told so.
    pub(super) doubtful: bool,
}

impl ApiError {
    /// Whether a write may have been executed, now or later, in spite of this error. Always false for a read.
    pub fn maybe_executed(&self) -> bool {
        self.doubtful
    }

    /// Whether nobody answered, or only somebody who cannot help: another attempt later may succeed.
    pub fn is_unavailable(&self) -> bool {
        matches!(
            self.kind,
            Kind::Unavailable
                | Kind::Unreachable
                | Kind::Broken
                | Kind::TimedOut
                | Kind::TooManyRequests(_)
                | Kind::Server
        )
    }

    /// The exit status when nothing was changed before: 64 for a wrong logon or certificate, 75 when another attempt may
    /// succeed, 4 for a right that is missing, else 2.
    pub fn exit(&self) -> Exit {
        match self.kind {
            Kind::Unauthorized | Kind::Tls => Exit::Usage,
            Kind::Forbidden => Exit::Refused,
            Kind::Unavailable
            | Kind::Unreachable
            | Kind::Broken
            | Kind::TimedOut
            | Kind::TooManyRequests(_)
            | Kind::Server => Exit::TryAgain,
            Kind::Interrupted => match crate::signals::pending() {
                Some(crate::signals::Stop::Interrupt) => Exit::Interrupted,
                _ => Exit::Terminated,
            },
            Kind::NotFound | Kind::Conflict | Kind::Refused | Kind::NotApi | Kind::Moving => Exit::Failed,
        }
    }

    /// With status [`ApiError::exit`] and a hint, for `?`.
    pub fn failure(self) -> Failure {
        let exit = self.exit();
        self.failure_with(exit)
    }

    /// With another status: after something was changed 75 would be a lie.
    pub fn failure_with(self, exit: Exit) -> Failure {
        let mut failure = Failure::new(exit, self.to_string());
        failure.hint = self.hint();
        failure.code = self.code;
        failure
    }

    /// What a person can do.
    pub fn hint(&self) -> Option<String> {
        let text = match self.kind {
            Kind::Unauthorized => "look at SOURCE_INFINIBOX_USER and SOURCE_INFINIBOX_PASSWORD; is the user locked?",
            Kind::Forbidden => {
                "the user needs the role POOL_ADMIN with the volumes' pool as his own, or ADMIN; a locked object or one \
                 that wants an approval is refused as well"
            }
            Kind::NotFound => "was it deleted or renamed? look at the array's events",
            Kind::Conflict => "the name is taken, or the object is in use; look at it on the array",
            Kind::TooManyRequests(_) => "the array is asked too often; try again later",
            Kind::Refused => "look at the array's events; does its version know this request?",
            Kind::Unavailable => {
                "management is not available at this address; name all of the array's addresses in SOURCE_INFINIBOX"
            }
            Kind::Server => "the array has a problem of its own; look at its events and try again",
            Kind::NotApi => "is SOURCE_INFINIBOX the management address of an InfiniBox, and no proxy between?",
            Kind::Unreachable => "look at SOURCE_INFINIBOX, the network and the firewall",
            Kind::Tls => {
                "give the certificate that the array has now, or its CA's, with --ca-file; under a CA the array must be \
                 named as one of the certificate's subject alternative names"
            }
            Kind::Broken => "the connection broke; try again",
            Kind::TimedOut => "the array was too slow; look at its load, or give --array-timeout more",
            Kind::Moving => "objects appear or vanish faster than they can be listed; try again later",
            Kind::Interrupted => return None,
        };
        Some(text.to_owned())
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}: ", self.what, self.address)?;
        if let Some(status) = self.status {
            write!(f, "{status}")?;
            if let Some(code) = &self.code {
                write!(f, " {code}")?;
            }
            f.write_str(": ")?;
        }
        f.write_str(&self.message)?;
        if self.doubtful {
            f.write_str(" (it may have been executed)")?;
        }
        Ok(())
    }
}
