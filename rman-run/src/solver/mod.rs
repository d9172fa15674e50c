//! The restore planner: which backup pieces bring the database to a target, or why none do.
//!
//! [`catalogue`] is what is known of the backups, [`plan::Solver`] is pure. The rules are Oracle's:
//!
//! - A datafile needs a chain: a full backup or a level 0 at or below the target whose fuzzy SCN is below it, then level
//!   1 backups, each with `INCREMENTAL_CHANGE# <= state < CHECKPOINT_CHANGE#`. A plain full backup is followed by redo
//!   only. A level 1 that goes back to the creation of its file is a base like a level 0.
//! - From the lowest state of all files, the redo of every enabled thread is needed up to the target, along the path of
//!   incarnations: a parent's up to the branch, then its child's.
//! - A file that is read only in the control file needs none from the SCN on at which it became so.
//! - All pieces of a backup set are needed to read any of it.
//! - The control file has to know all files of the target, or only lack those that the redo itself creates.
//!
//! What is minimal: the bytes to fetch, archived logs on disk being free, then the number of pieces; newer sets are
//! preferred. The control file comes first: the newest usable one, or the newest that shares its set with no datafile
//! where that is cheaper. For that control file the choice is proved to be minimal unless [`plan::Plan::proved`] is
//! false: sets that are shared by many files make a set-cover problem, and the search for something better than the
//! plan is given up after a bounded amount of work.

pub mod catalogue;
mod choose;
mod coverage;
mod files;
pub mod intake;
mod path;
pub mod plan;
pub mod producers;
mod reason;
pub mod records;
pub mod run;
mod spool;
pub mod times;

#[cfg(test)]
mod brute;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod random;
