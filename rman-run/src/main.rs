//! Runs RMAN, judges what it did, plans restores and runs them.

mod cli;
mod restore;
mod run;
mod solver;

use std::process::ExitCode;

fn main() -> ExitCode {
    common::app::main::<cli::Cli>(run::run)
}
