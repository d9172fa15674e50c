//! A simulated Oracle database: honest enough that a backup which would not recover on Oracle does not recover here.

pub mod engine;
