//! `restore`: pieces in, a recovered database out.

use common::app::{Frame, Report};
use common::exit::{Exit, Failure};

use crate::cli::Cli;

/// Restores the database from the pieces on standard input or in `--source-dir`.
pub fn run(_cli: &Cli, _frame: &Frame) -> anyhow::Result<Report> {
    Err(Failure::new(Exit::Failed, "restore: this build cannot restore").into())
}
