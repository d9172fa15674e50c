//! The tests' own door, for programs that are not written in Rust: `/_sim/…` on every port, without credentials.

use std::sync::Arc;

use hyper::Response;

use crate::server::answer::{answer as write, Body, Head};
use crate::server::Shared;

/// Answers one request to `/_sim/`.
pub(crate) async fn answer(_: &Arc<Shared>, _: &str, _: &str, _: &str, _: &str) -> Response<Body> {
    write(&Head { status: 404, content_type: "application/json", ..Head::default() }, b"{}".to_vec(), None)
}
