//! Deletes InfiniBox snapshots that the retention no longer needs.

use std::process::ExitCode;

mod apply;
mod cli;
mod families;
mod gather;
mod input;
mod mapping;
mod ours;
mod plan;
#[cfg(test)]
mod plan_tests;
#[cfg(test)]
mod properties;
mod run;
mod sets;
mod simulate;
#[cfg(test)]
mod world;
#[cfg(test)]
mod years;

fn main() -> ExitCode {
    common::app::main::<cli::Cli>(run::run)
}
