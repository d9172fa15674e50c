//! The body of a request: slices of one buffer, so that it can be seen to move, slowed down, and is never copied.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use aws_sdk_s3::primitives::SdkBody;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep};

/// The largest slice that is handed to the connection at once.
const SLICE: usize = 256 << 10;

/// How many bytes per second all transfers of the run may use together.
#[derive(Debug)]
pub struct Throttle {
    rate: u64,
    /// When the bytes that were granted so far will have been paid for.
    paid: Mutex<Option<Instant>>,
}

impl Throttle {
    /// `rate` in bytes per second.
    pub fn new(rate: u64) -> Self {
        Self { rate: rate.max(1), paid: Mutex::new(None) }
    }

    /// How long to wait before `bytes` more may pass.
    pub fn grant(&self, bytes: usize, now: Instant) -> Duration {
        let mut paid = self.paid.lock().unwrap_or_else(PoisonError::into_inner);
        let begin = paid.map_or(now, |p| p.max(now));
        *paid = Some(begin + Duration::from_secs_f64(bytes as f64 / self.rate as f64));
        begin - now
    }

    fn slice(&self) -> usize {
        // Several slices a second, so that a slow transfer does not look dead.
        (usize::try_from(self.rate).unwrap_or(SLICE) / 8).clamp(1024, SLICE)
    }
}

/// What moves in a transfer: of one attempt, and of the whole run.
#[derive(Debug, Clone, Default)]
pub struct Pace {
    attempt: Arc<AtomicU64>,
    run: Arc<AtomicU64>,
}

impl Pace {
    /// For one attempt of a run whose bytes are counted in `run`.
    pub fn of(run: &Arc<AtomicU64>) -> Self {
        Self { attempt: Arc::default(), run: Arc::clone(run) }
    }

    pub fn moved(&self, bytes: usize) {
        self.attempt.fetch_add(bytes as u64, Ordering::Relaxed);
        self.run.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Takes the bytes of a failed attempt back out of the run's count.
    pub fn undo(&self) {
        self.run.fetch_sub(self.attempt.swap(0, Ordering::Relaxed), Ordering::Relaxed);
    }

    /// Bytes of this attempt.
    pub fn bytes(&self) -> u64 {
        self.attempt.load(Ordering::Relaxed)
    }
}

struct Slices {
    bytes: Bytes,
    pace: Pace,
    throttle: Option<Arc<Throttle>>,
    waiting: Option<Pin<Box<Sleep>>>,
    granted: usize,
}

/// The body for one attempt.
pub fn body(bytes: Bytes, pace: Pace, throttle: Option<Arc<Throttle>>) -> SdkBody {
    SdkBody::from_body_1_x(Slices { bytes, pace, throttle, waiting: None, granted: 0 })
}

impl Body for Slices {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        if self.bytes.is_empty() {
            return Poll::Ready(None);
        }
        if let (Some(throttle), 0) = (self.throttle.clone(), self.granted) {
            let n = throttle.slice().min(self.bytes.len());
            let wait = throttle.grant(n, Instant::now());
            self.granted = n;
            self.waiting = (!wait.is_zero()).then(|| Box::pin(tokio::time::sleep(wait)));
        }
        if let Some(waiting) = &mut self.waiting {
            if waiting.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            self.waiting = None;
        }
        let n = if self.granted > 0 { self.granted } else { SLICE.min(self.bytes.len()) };
        self.granted = 0;
        self.pace.moved(n);
        Poll::Ready(Some(Ok(Frame::data(self.bytes.split_to(n)))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn all_bytes_come_out_in_order_and_are_counted() {
        let content: Bytes = (0..1_000_000u32).map(|n| n as u8).collect::<Vec<_>>().into();
        let run = Arc::default();
        let pace = Pace::of(&run);
        let mut slices = Box::pin(Slices {
            bytes: content.clone(),
            pace: pace.clone(),
            throttle: None,
            waiting: None,
            granted: 0,
        });
        let mut out = Vec::new();
        while let Some(frame) = std::future::poll_fn(|cx| slices.as_mut().poll_frame(cx)).await {
            out.extend_from_slice(&frame.unwrap().into_data().unwrap());
        }
        assert!(out == content);
        assert_eq!((pace.bytes(), run.load(Ordering::Relaxed)), (1_000_000, 1_000_000));
        pace.undo();
        assert_eq!(run.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_throttle_lets_its_rate_pass_and_no_more() {
        let throttle = Throttle::new(1 << 20);
        let now = Instant::now();
        let waits: Vec<_> = (0..5).map(|_| throttle.grant(512 << 10, now).as_millis()).collect();
        assert_eq!(waits, [0, 500, 1000, 1500, 2000]);
        // What was not used does not pile up.
        let later = now + Duration::from_secs(60);
        assert!(throttle.grant(1 << 20, later).is_zero());
        assert_eq!(throttle.grant(1, later).as_millis(), 1000);
    }
}
