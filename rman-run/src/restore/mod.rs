//! Restores a database: which pieces, are they whole, what will be done, do it, prove it.

pub mod database;
mod pieces;
pub mod run;
mod script;
#[cfg(test)]
mod script_tests;
