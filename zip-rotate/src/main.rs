//! Packs files into one proven ZIP, copies it, and rotates.

use std::process::ExitCode;

mod apply;
mod archive;
mod blocks;
mod cli;
mod collect;
mod copies;
mod days;
mod dumps;
mod facts;
mod helper;
mod input;
mod job;
mod manifest;
mod mounts;
mod pack;
mod places;
mod plan;
#[cfg(test)]
mod properties;
mod prove;
mod readback;
mod run;
mod simulate;
mod skim;
mod store;

fn main() -> ExitCode {
    if helper::is_called() {
        return helper::main();
    }
    common::app::main::<cli::Cli>(run::run)
}
