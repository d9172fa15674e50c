//! ts-hotbackup: copies the tablespaces of a running Oracle database in backup mode.

mod cli;
mod closing;
mod cycle;
mod depot;
mod facts;
mod finish;
mod map;
mod plan;
#[cfg(test)]
mod plan_tests;
mod preflight;
mod redo;
mod run;
mod scripts;
mod sequence;
mod setup;
mod status;
mod tablespace;

use std::process::ExitCode;

fn main() -> ExitCode {
    if let Some(code) = common::guardian::run_if_asked() {
        return code;
    }
    common::app::main::<cli::Cli>(run::run)
}
