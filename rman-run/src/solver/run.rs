//! `plan`: records in, the records of the pieces out.

use common::app::{Frame, Report};
use common::exit::{Exit, Failure};

use crate::cli::Cli;

/// Plans a restore from the records on standard input.
pub fn run(_cli: &Cli, _frame: &Frame) -> anyhow::Result<Report> {
    Err(Failure::new(Exit::Failed, "plan a restore: this build has no planner").into())
}
