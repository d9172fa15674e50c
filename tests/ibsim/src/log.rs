//! What came in, and what became of it.

use serde::Serialize;
use std::time::Duration;

use crate::fault::Fault;

/// Whether the request proved who sent it. Values of credentials are not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Credential {
    None,
    BasicRight,
    BasicWrong,
    SessionRight,
    /// A cookie that no session has, or no longer.
    SessionWrong,
}

impl Credential {
    pub fn is_right(self) -> bool {
        matches!(self, Self::BasicRight | Self::SessionRight)
    }
}

/// One request.
#[derive(Debug, Clone, Serialize)]
pub struct Request {
    /// Since the array began.
    pub at: Duration,
    /// The array's clock when it came, epoch milliseconds.
    pub array_ms: i64,
    /// The management address it came to, from 0.
    pub address: usize,
    pub tls: bool,
    /// The connection it came on, from 1.
    pub connection: u64,
    pub method: String,
    /// After `/api/rest`, decoded.
    pub path: String,
    /// As it was sent.
    pub query: String,
    /// With the password taken out.
    pub body: String,
    /// Names in lower case; `authorization` and `cookie` without their values.
    pub headers: Vec<(String, String)>,
    pub credential: Credential,
    /// The user who was logged in.
    pub user: Option<String>,
    pub faults: Vec<Fault>,
    /// What the client was told; `None` when it got no answer (yet).
    pub status: Option<u16>,
    /// The status of its execution; `None` when it was not executed (yet).
    pub executed: Option<u16>,
    /// When it was executed, since the array began.
    pub executed_at: Option<Duration>,
}

impl Request {
    /// `POST /volumes?approved=true`
    pub fn line(&self) -> String {
        let question = if self.query.is_empty() { "" } else { "?" };
        format!("{} {}{question}{}", self.method, self.path, self.query)
    }

    /// The array did what was asked.
    pub fn done(&self) -> bool {
        self.executed.is_some_and(|s| (200..300).contains(&s))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }
}
