//! The Oracle side: finding the software, talking to SQL*Plus and RMAN, reading file headers.

pub mod archived_log;
pub mod block;
pub mod connect;
pub mod datafile;
pub mod home;
pub mod identifier;
pub mod reply;
pub mod rman;
pub mod runner;
pub mod scan;
pub mod script;
pub mod sql_error;
pub mod sqlplus;
