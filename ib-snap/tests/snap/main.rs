//! ib-snap between a simulated database and a simulated array.
#![allow(clippy::unwrap_used)]

mod certificates;
mod doubt;
mod good;
mod lab;
mod refused;
mod stopped;
