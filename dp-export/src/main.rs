//! Exports schemas with Data Pump and judges what was exported.

use std::process::ExitCode;

mod check;
mod cli;
mod expdp;
mod export;
mod facts;
mod job;
mod journal;
mod name;
mod plan;
mod promote;
mod proof;
mod run;
mod setup;
mod spec;
mod verdict;

fn main() -> ExitCode {
    common::app::main::<cli::Cli>(run::run)
}
