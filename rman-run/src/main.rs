//! Runs RMAN, judges what it did, plans restores and runs them.

mod check;
mod cli;
mod restore;
mod run;
mod solver;
mod verdict;

use std::process::ExitCode;

fn main() -> ExitCode {
    common::app::main::<cli::Cli>(run::run)
}
