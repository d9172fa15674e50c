//! A simulated Oracle database: honest enough that a backup which would not recover on Oracle does not recover here.

pub mod apply;
pub mod block;
pub mod controlfile;
pub mod datafile;
pub mod datapump;
pub mod engine;
pub mod faults;
pub mod instance;
pub mod journal;
pub mod oratime;
pub mod pieces;
pub mod record;
pub mod redolog;
pub mod rman;
pub mod server;
pub mod sql;
pub mod sqlplus;
pub mod truth;
