//! Ships archived redo logs to the standby and proves that they arrived.

use std::process::ExitCode;

mod cli;
mod facts;
mod gap;
mod plan;
#[cfg(test)]
mod properties;
mod state;

fn main() -> ExitCode {
    common::app::main::<cli::Cli>(|_, _| anyhow::bail!("x"))
}
