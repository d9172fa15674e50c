//! Bodies on their way through the proxy, whole or bent.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};

pub type Body = UnsyncBoxBody<Bytes, std::io::Error>;

/// What happens at which byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bend {
    Straight,
    /// The byte at this place is another one.
    Flip(u64),
    /// It ends before this byte, as a broken connection does.
    Cut(u64),
    /// It stops before this byte and never goes on.
    Stall(u64),
    /// Bytes per second.
    Slow(u64),
}

pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

struct State {
    inner: Incoming,
    passed: u64,
    bend: Bend,
    ended: bool,
}

/// The largest piece that is passed at once on a slow line.
const PIECE: usize = 16 * 1024;

pub fn pass(inner: Incoming, bend: Bend) -> Body {
    let state = State { inner, passed: 0, bend, ended: false };
    let frames = stream::unfold(state, |mut state| async move {
        if state.ended {
            return None;
        }
        // What was cut or stalled in the middle of a piece goes no further, even if that piece was the last.
        match state.bend {
            Bend::Cut(0) => {
                state.ended = true;
                return Some((Err(broken()), state));
            }
            Bend::Stall(0) => std::future::pending::<()>().await,
            _ => {}
        }
        let frame = match state.inner.frame().await? {
            Ok(frame) => frame,
            Err(error) => {
                state.ended = true;
                return Some((Err(std::io::Error::other(error)), state));
            }
        };
        let Ok(data) = frame.into_data() else { return Some((Ok(Frame::data(Bytes::new())), state)) };
        let (from, to) = (state.passed, state.passed + data.len() as u64);
        state.passed = to;
        let inside = |at: u64| usize::try_from(at.saturating_sub(from)).unwrap_or(usize::MAX);
        let out = match state.bend {
            Bend::Flip(at) if (from..to).contains(&at) => {
                let mut bytes = BytesMut::from(&data[..]);
                bytes[inside(at)] ^= 0x04;
                bytes.freeze()
            }
            Bend::Cut(at) if to > at => {
                state.bend = Bend::Cut(0);
                data.slice(..inside(at))
            }
            Bend::Stall(at) if to > at => {
                state.bend = Bend::Stall(0);
                data.slice(..inside(at))
            }
            Bend::Slow(rate) => {
                for _ in data.chunks(PIECE) {
                    let micros = PIECE.min(data.len()) as u64 * 1_000_000 / rate.max(1);
                    tokio::time::sleep(Duration::from_micros(micros)).await;
                }
                data
            }
            _ => data,
        };
        Some((Ok(Frame::data(out)), state))
    });
    StreamBody::new(frames).boxed_unsync()
}

fn broken() -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::ConnectionReset, "cut by the proxy")
}
