//! The API and the network as a bare client sees them: every byte of the answers is asserted here, not by a library.

// A test that cannot go on has failed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bytes;
mod client;
mod faults;
mod guesses;
mod objects;
mod transport;
