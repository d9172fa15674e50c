//! What `scripts/package.sh` has made is installed, used, upgraded and removed, in scratch roots and below a prefix.

// A test that cannot go on has failed.
#![allow(clippy::unwrap_used, clippy::panic)]

mod contents;
mod deb;
mod making;
mod prefix;
mod programs;
mod root;
mod rpm;
mod stage;
