//! s3-put and s3-get against a real S3 server, whole and behind a proxy that breaks things.

// The bench and its helpers belong to the tests; clippy allows it by itself in test functions only.
#![allow(clippy::unwrap_used)]

mod bench;
mod crash;
mod faults;
mod get;
mod put;
