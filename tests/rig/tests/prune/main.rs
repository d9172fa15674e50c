//! Stories of ib-prune on the simulated InfiniBox: what goes, what stays, and what becomes of a run that goes wrong.

// A test that cannot go on has failed.
#![allow(clippy::unwrap_used)]

mod faults;
mod foreign;
mod kills;
mod listing;
mod meanwhile;
mod retention;
mod reticent;
mod stage;
