//! Backups of RMAN: what is in a piece, what the control file knows of it, and which backup a restore takes.

pub mod api;
pub mod format;
pub mod names;
pub mod records;
pub mod select;

pub use crate::instance::rman::Session;
