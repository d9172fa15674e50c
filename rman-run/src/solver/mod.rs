//! The restore planner.

pub mod run;
