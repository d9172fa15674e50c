//! The same again, later: only for what a lost connection explains.

use std::hash::{BuildHasher, Hasher};
use std::time::Duration;

use crate::signals;

use super::classify::{Class, TransferError};

/// How often and how soon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Tries after the first one.
    pub retries: u32,
    /// Wait before the first retry; doubled each time.
    pub first: Duration,
    pub longest: Duration,
}

impl RetryPolicy {
    pub fn new(retries: u32) -> Self {
        Self { retries, first: Duration::from_secs(1), longest: Duration::from_secs(60) }
    }

    /// The wait before retry `n` (from 1), between half and the whole of the doubled time. `dice` is 0.0–1.0.
    pub fn wait(&self, n: u32, dice: f64) -> Duration {
        let doubled = self.first.saturating_mul(2_u32.saturating_pow(n.saturating_sub(1))).min(self.longest);
        doubled.mul_f64(0.5 + dice.clamp(0.0, 1.0) / 2.0)
    }
}

/// Runs `attempt` (numbered from 1) until it succeeds, fails for good, or the retries are used up.
///
/// `before_wait` is told the error, the number of the attempt that failed and the wait that follows. A signal ends
/// the waiting with the error that caused it.
pub fn retry<T>(
    policy: &RetryPolicy,
    before_wait: &mut dyn FnMut(&TransferError, u32, Duration),
    mut attempt: impl FnMut(u32) -> Result<T, TransferError>,
) -> Result<T, TransferError> {
    let mut n = 1;
    loop {
        let error = match attempt(n) {
            Ok(done) => return Ok(done),
            Err(error) => error,
        };
        if error.class != Class::Retry || n > policy.retries || signals::pending().is_some() {
            return Err(error);
        }
        let wait = policy.wait(n, dice());
        before_wait(&error, n, wait);
        if !signals::sleep(wait) && signals::pending().is_some() {
            return Err(error);
        }
        n += 1;
    }
}

/// 0.0–1.0, different for every worker: they must not all come back in the same millisecond.
pub(super) fn dice() -> f64 {
    let number = std::collections::hash_map::RandomState::new().build_hasher().finish();
    f64::from(u32::try_from(number & 0xffff).unwrap_or(0)) / 65535.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUICK: RetryPolicy =
        RetryPolicy { retries: 3, first: Duration::from_millis(1), longest: Duration::from_millis(3) };

    fn run(class: Class, good_from: u32) -> (u32, Result<u32, TransferError>) {
        let mut tries = 0;
        let result = retry(&QUICK, &mut |_, _, _| {}, |n| {
            tries = n;
            if n >= good_from {
                Ok(n)
            } else {
                Err(TransferError::new(class, "x"))
            }
        });
        (tries, result)
    }

    #[test]
    fn only_a_lost_connection_is_tried_again() {
        assert_eq!(run(Class::Retry, 3), (3, Ok(3)));
        assert_eq!(run(Class::Final, 3).0, 1);
        assert_eq!(run(Class::PerFile, 3).0, 1);
        assert_eq!(run(Class::Interrupted, 3).0, 1);
    }

    #[test]
    fn it_gives_up_after_the_agreed_number() {
        let (tries, result) = run(Class::Retry, 99);
        assert_eq!((tries, result.is_err()), (4, true));
    }

    #[test]
    fn waits_double_up_to_the_longest_and_are_never_zero() {
        let policy = RetryPolicy::new(5);
        let waits: Vec<f64> = (1..9).map(|n| policy.wait(n, 1.0).as_secs_f64()).collect();
        assert_eq!(waits, [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]);
        assert_eq!(policy.wait(1, 0.0), Duration::from_millis(500));
        assert_eq!(policy.wait(u32::MAX, 1.0), Duration::from_secs(60));
    }
}
