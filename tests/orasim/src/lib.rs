//! A simulated Oracle database: honest enough that a backup which would not recover on Oracle does not recover here.

pub mod engine;
pub mod faults;
pub mod instance;
pub mod truth;
