//! dp-export against the simulated database: what is exported, what is told, what is left behind.

mod faults;
mod lab;
mod refusals;
mod stops;
mod success;
