//! ib-snap between a simulated database and a simulated array.
#![allow(clippy::unwrap_used)]

mod certificates;
mod doubt;
mod good;
mod lab;
mod redo;
mod refused;
mod stopped;
mod theirs;
