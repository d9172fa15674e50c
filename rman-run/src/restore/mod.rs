//! Restores a database.

pub mod run;
