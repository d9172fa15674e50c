//! Stories of zip-rotate: archives that other programs open, copies that fail, disks that fill, nights that go wrong.

// A test that cannot go on has failed.
#![allow(clippy::unwrap_used)]

mod copies;
mod disks;
mod foreign;
mod frozen;
mod kills;
mod night;
mod retention;
mod stage;
