//! ib-snap: takes application-consistent InfiniBox snapshots of an Oracle database.

mod after;
mod cli;
mod coverage;
mod facts;
mod held;
mod keep;
mod marks;
mod pending;
mod plan;
mod redo;
mod run;
mod setup;
mod snap;
mod storage;
mod survey;
mod sync;
mod window;

use std::process::ExitCode;

fn main() -> ExitCode {
    if let Some(code) = common::guardian::run_if_asked() {
        return code;
    }
    common::app::main::<cli::Cli>(run::run)
}
