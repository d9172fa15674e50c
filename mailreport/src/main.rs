//! Reports a pipeline by mail, to Prometheus and to Nagios.

use std::process::ExitCode;

mod cli;
mod codes;
mod deliver;
mod facts;
mod format;
mod history;
mod logs;
mod message;
mod nagios;
mod ping;
mod places;
mod plan;
mod prometheus;
#[cfg(test)]
mod properties;
mod protection;
mod run;
mod sendmail;
mod smtp;
mod spool;
mod verdict;
mod view;
mod words;

fn main() -> ExitCode {
    let code = common::app::main::<cli::Cli>(run::run);
    run::drain();
    code
}
