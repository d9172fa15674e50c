//! Runs RMAN, judges what it did, plans restores and runs them.

mod backup;
mod check;
mod cli;
mod crosscheck;
mod drill;
mod facts;
mod protection;
mod restore;
mod rman;
mod run;
mod solver;
mod status;
mod target;
mod validate;
mod verdict;

use std::process::ExitCode;

fn main() -> ExitCode {
    if let Some(code) = drill::run_if_asked() {
        return code;
    }
    common::app::main::<cli::Cli>(run::run)
}
