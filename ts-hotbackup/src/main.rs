//! ts-hotbackup: copies the tablespaces of a running Oracle database in backup mode.

mod cli;
mod cycle;
mod facts;
mod map;
mod plan;
#[cfg(test)]
mod plan_tests;

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::SUCCESS
}
