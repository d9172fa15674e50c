//! Ships archived redo logs to the standby and proves that they arrived.

use std::process::ExitCode;

mod cli;
mod compare;
mod cycle;
mod database;
mod destination;
mod facts;
mod follow;
mod gap;
mod input;
mod link;
mod names;
mod notify;
mod plan;
#[cfg(test)]
mod properties;
mod publish;
mod register;
mod run;
mod scan;
mod session;
mod ship;
mod source;
mod standby;
mod state;
mod status;
mod transfer;
mod verify;
mod writers;

fn main() -> ExitCode {
    common::app::main::<cli::Cli>(run::run)
}
