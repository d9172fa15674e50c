//! Which request meets which fault.

use crate::call::{Call, Operation};

/// What happens to a request or its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// An error as S3 writes it; with `executed` the server has done what was asked all the same.
    Error { status: u16, code: &'static str, retry_after: Option<u32>, executed: bool },
    /// Status 200 with an error in the body, as CompleteMultipartUpload and CopyObject may answer.
    ErrorInside { executed: bool },
    /// The connection is reset and the server never sees the request.
    ResetBefore,
    /// The server does what is asked, and the connection is reset before a byte of the answer.
    ResetAfter,
    /// Half of the request's body reaches the server, then both connections are reset.
    CutRequest,
    /// Half of the answer's body reaches the client, then its connection is reset.
    CutAnswer,
    /// Half of the answer's body (or nothing, when it has none) reaches the client, and then nothing more, for ever.
    Stall,
    /// The request is taken, and there is never an answer.
    Silence,
    /// The checksums in the answer are not those that the server gave.
    WrongChecksum,
    /// A byte in the middle of the request's body is another one.
    FlipRequest,
    /// A byte in the middle of the answer's body is another one.
    FlipAnswer,
    /// Bytes per second of both bodies.
    Slow(u64),
    /// 301 unless the request was signed for that region.
    Redirect(&'static str),
    /// Answers as a server does whose clock is so many minutes ahead of ours (403).
    Skewed(i32),
    /// Refuses requests that use something which an older server does not know.
    Refuse(Novelty),
    /// The answers tell no checksum, as those of an older server.
    NoChecksum,
    /// Waits for ever, before or after the server did it; [`super::Proxy::held`] says that it has come so far.
    Hold { executed: bool },
}

impl Fault {
    pub fn error(status: u16, code: &'static str) -> Self {
        Self::Error { status, code, retry_after: None, executed: false }
    }

    pub fn internal_error() -> Self {
        Self::error(500, "InternalError")
    }

    /// 500 although it was done.
    pub fn error_after() -> Self {
        Self::Error { status: 500, code: "InternalError", retry_after: None, executed: true }
    }

    /// A server of ten years ago, as Ceph 16: refuses unsigned trailers, tells no checksum.
    pub fn old() -> Vec<Rule> {
        vec![Rule::any(Self::Refuse(Novelty::UnsignedTrailer)), Rule::any(Self::NoChecksum)]
    }

    pub fn slow_down() -> Self {
        Self::Error { status: 503, code: "SlowDown", retry_after: Some(0), executed: false }
    }
}

/// What S3 learned in the last ten years.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Novelty {
    /// `STREAMING-UNSIGNED-PAYLOAD-TRAILER`; 400.
    UnsignedTrailer,
    /// `UNSIGNED-PAYLOAD` without TLS; 400.
    UnsignedPayload,
    /// `x-amz-checksum-…` in a request; 400.
    Checksum,
    /// `If-None-Match` in a request that writes; 501.
    Condition,
}

/// Which of the requests that match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    Every,
    /// The n-th from 1.
    Nth(usize),
    /// The first n.
    First(usize),
    /// So many of a thousand, by a seeded dice.
    PerMille(u64),
}

#[derive(Debug, Clone)]
pub struct Rule {
    operation: Option<Operation>,
    part: Option<u32>,
    key: Option<String>,
    whole: bool,
    which: Which,
    pub(super) fault: Fault,
}

impl Rule {
    /// Every request of an operation.
    pub fn on(operation: Operation, fault: Fault) -> Self {
        Self { operation: Some(operation), ..Self::any(fault) }
    }

    /// Every request whatever.
    pub fn any(fault: Fault) -> Self {
        Self { operation: None, part: None, key: None, whole: false, which: Which::Every, fault }
    }

    #[must_use]
    pub fn part(mut self, number: u32) -> Self {
        self.part = Some(number);
        self
    }

    /// Only keys that contain this.
    #[must_use]
    pub fn key(mut self, text: &str) -> Self {
        self.key = Some(text.to_owned());
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

    /// GetObject without a range only.
    #[must_use]
    pub fn whole(mut self) -> Self {
        self.whole = true;
        self
    }

    fn matches(&self, call: &Call) -> bool {
        self.operation.is_none_or(|o| o == call.operation)
            && self.part.is_none_or(|p| p == call.part)
            && self.key.as_ref().is_none_or(|k| call.key.contains(k))
            && (!self.whole || call.range.is_empty())
    }
}

/// The rules with what they have seen so far.
#[derive(Debug, Default)]
pub(super) struct Rules {
    rules: Vec<(Rule, usize)>,
    dice: u64,
}

impl Rules {
    pub fn new(rules: Vec<Rule>, seed: u64) -> Self {
        Self { rules: rules.into_iter().map(|r| (r, 0)).collect(), dice: seed | 1 }
    }

    /// The fault of the first rule that wants this request. A request that a fault would not change does not count.
    pub fn strike(&mut self, call: &Call, applies: impl Fn(&Fault) -> bool) -> Option<Fault> {
        let mut struck = None;
        for (rule, seen) in &mut self.rules {
            if !rule.matches(call) || !applies(&rule.fault) {
                continue;
            }
            *seen += 1;
            let wanted = match rule.which {
                Which::Every => true,
                Which::Nth(n) => *seen == n,
                Which::First(n) => *seen <= n,
                Which::PerMille(n) => {
                    self.dice = self
                        .dice
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1_442_695_040_888_963_407);
                    (self.dice >> 33) % 1000 < n
                }
            };
            if wanted && struck.is_none() {
                struck = Some(rule.fault.clone());
            }
        }
        struck
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::HeaderMap;

    fn part(n: u32) -> Call {
        let uri = format!("/b/k?partNumber={n}&uploadId=u").parse().unwrap();
        Call::of(&hyper::Method::PUT, &uri, &HeaderMap::new())
    }

    #[test]
    fn a_rule_strikes_the_request_it_names_and_no_other() {
        let rule = Rule::on(Operation::UploadPart, Fault::ResetAfter).part(2).nth(2);
        let mut rules = Rules::new(vec![rule], 0);
        let struck: Vec<bool> = [1, 2, 1, 2, 2].map(|n| rules.strike(&part(n), |_| true).is_some()).to_vec();
        assert_eq!(struck, [false, false, false, true, false]);
        let mut some = Rules::new(vec![Rule::any(Fault::Silence).which(Which::PerMille(300))], 7);
        let n = (0..1000).filter(|_| some.strike(&part(1), |_| true).is_some()).count();
        assert!((230..370).contains(&n), "{n}");
    }
}
