//! full, incremental and archivelog: facts, a plan, RMAN, and the proof.

mod delete;
mod evidence;
pub mod interrupted;
mod pieces;
pub mod plan;
mod prove;
pub mod run;
