//! RMAN to S3 and back: the wrappers, the tools, a simulated database, a real S3 server, and the truth.

// A test that cannot go on has failed.
#![allow(clippy::unwrap_used)]

mod example;
mod lab;
mod losses;
mod machine;
mod moments;
mod wrappers;
