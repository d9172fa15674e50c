//! Which request meets which fault.

use std::time::Duration;

use anyhow::{Context, Result};
use regex::Regex;
use serde::{Deserialize, Serialize};

use crate::state::Change;

/// What happens to a request or to its answer. Times are milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// Waits before it is executed. Goes together with other faults.
    Delay(u64),
    /// Executed at once, answered later. Goes together with other faults.
    SlowAnswer(u64),
    /// Somebody else changes the array right before. Goes together with other faults.
    Before(Vec<Change>),
    /// Somebody else changes the array right after the execution. Goes together with other faults.
    After(Vec<Change>),
    /// Never executed, never answered.
    Hang,
    /// Executed, never answered.
    HangAfter,
    /// Executed so many milliseconds later, whatever the client is told or does meanwhile.
    Late { ms: u64, answer: Lost },
    /// The connection is reset before anything is executed.
    ResetBefore,
    /// Executed, and the connection is reset before a byte of the answer.
    ResetAfter,
    /// An error in the API's envelope.
    Status {
        status: u16,
        #[serde(default)]
        code: String,
        /// Seconds, in the header `Retry-After`.
        #[serde(default)]
        retry_after: Option<u32>,
        #[serde(default)]
        executed: bool,
    },
    /// 401, and the session of the request (if it has one) is over.
    SessionLost,
    /// A page of HTML with that status, as a proxy or a dying Apache answers.
    Html {
        status: u16,
        #[serde(default)]
        executed: bool,
    },
    /// Executed; half of the JSON comes, in a complete HTTP message.
    TruncatedJson,
    /// Executed; the connection ends in the middle of the answer's body.
    CutAnswer,
    /// Executed; the body is empty.
    EmptyBody,
    /// Executed; this is the body, with status 200.
    Body(String),
}

/// What the client of a late execution is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lost {
    /// Nothing, ever.
    Silence,
    /// The connection is reset at once.
    Reset,
    /// An error of this status, at once.
    Status(u16),
}

impl Fault {
    pub fn delay(time: Duration) -> Self {
        Self::Delay(millis(time))
    }

    pub fn slow_answer(time: Duration) -> Self {
        Self::SlowAnswer(millis(time))
    }

    pub fn late(time: Duration, answer: Lost) -> Self {
        Self::Late { ms: millis(time), answer }
    }

    /// Not executed.
    pub fn status(status: u16) -> Self {
        Self::Status { status, code: String::new(), retry_after: None, executed: false }
    }

    /// An error although it was executed.
    pub fn status_after(status: u16) -> Self {
        Self::Status { status, code: String::new(), retry_after: None, executed: true }
    }

    /// 429 with `Retry-After`, in seconds.
    pub fn too_many(retry_after: u32) -> Self {
        Self::Status { status: 429, code: String::new(), retry_after: Some(retry_after), executed: false }
    }

    /// Can stand beside another fault of the same request.
    pub fn goes_together(&self) -> bool {
        matches!(self, Self::Delay(_) | Self::SlowAnswer(_) | Self::Before(_) | Self::After(_))
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Which of the requests that match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Which {
    #[default]
    Every,
    /// The n-th from 1.
    Nth(usize),
    /// The first n.
    First(usize),
    /// The n-th and all after it.
    From(usize),
    /// So many of a thousand, by a seeded dice.
    PerMille(u64),
}

/// A fault with the requests that it strikes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Rule {
    /// A method, or `*`.
    #[serde(default = "any_method")]
    method: String,
    /// A regular expression that is looked for in `path?query`; the path begins after `/api/rest`.
    #[serde(default)]
    path: String,
    /// A regular expression that is looked for in the body.
    #[serde(default)]
    body: String,
    /// Only requests to this management address, from 0.
    #[serde(default)]
    address: Option<usize>,
    #[serde(default)]
    which: Which,
    fault: Fault,
}

fn any_method() -> String {
    "*".into()
}

impl Rule {
    /// `method`: POST and the like, or `*`. `path`: a regular expression, looked for in `path?query` after `/api/rest`.
    pub fn on(method: &str, path: &str, fault: Fault) -> Self {
        Self {
            method: method.into(),
            path: path.into(),
            body: String::new(),
            address: None,
            which: Which::Every,
            fault,
        }
    }

    /// Every request whatever.
    pub fn any(fault: Fault) -> Self {
        Self::on("*", "", fault)
    }

    /// Only requests with this regular expression in the body.
    #[must_use]
    pub fn body(mut self, pattern: &str) -> Self {
        self.body = pattern.into();
        self
    }

    /// Only requests to this management address, from 0.
    #[must_use]
    pub fn address(mut self, address: usize) -> Self {
        self.address = Some(address);
        self
    }

    #[must_use]
    pub fn which(mut self, which: Which) -> Self {
        self.which = which;
        self
    }

    #[must_use]
    pub fn nth(self, n: usize) -> Self {
        self.which(Which::Nth(n))
    }

    #[must_use]
    pub fn first(self, n: usize) -> Self {
        self.which(Which::First(n))
    }
}

#[derive(Debug)]
struct Armed {
    rule: Rule,
    path: Regex,
    body: Regex,
    seen: usize,
}

/// The rules with what they have seen so far.
#[derive(Debug, Default)]
pub struct Rules {
    rules: Vec<Armed>,
    dice: u64,
}

impl Rules {
    /// # Errors
    /// When a regular expression is none.
    pub fn new(rules: Vec<Rule>, seed: u64) -> Result<Self> {
        let armed = rules.into_iter().map(|rule| {
            let path = Regex::new(&rule.path).with_context(|| format!("path {:?}", rule.path))?;
            let body = Regex::new(&rule.body).with_context(|| format!("body {:?}", rule.body))?;
            Ok(Armed { rule, path, body, seen: 0 })
        });
        Ok(Self { rules: armed.collect::<Result<_>>()?, dice: seed | 1 })
    }

    /// The faults of the rules that want this request: all that go together, and the first of the others.
    pub fn strike(&mut self, method: &str, path: &str, body: &str, address: usize) -> Vec<Fault> {
        let mut struck: Vec<Fault> = Vec::new();
        for Armed { rule, path: path_pattern, body: body_pattern, seen } in &mut self.rules {
            let wanted = (rule.method == "*" || rule.method.eq_ignore_ascii_case(method))
                && rule.address.is_none_or(|a| a == address)
                && path_pattern.is_match(path)
                && body_pattern.is_match(body);
            if !wanted {
                continue;
            }
            *seen += 1;
            let hit = match rule.which {
                Which::Every => true,
                Which::Nth(n) => *seen == n,
                Which::First(n) => *seen <= n,
                Which::From(n) => *seen >= n,
                Which::PerMille(n) => {
                    self.dice = self
                        .dice
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1_442_695_040_888_963_407);
                    (self.dice >> 33) % 1000 < n
                }
            };
            let alone = |f: &Fault| !f.goes_together();
            if hit && (rule.fault.goes_together() || !struck.iter().any(alone)) {
                struck.push(rule.fault.clone());
            }
        }
        struck
    }
}
