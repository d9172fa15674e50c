//! Chooses what the command asks for.

use common::app::{Frame, Report};
use common::exit::{Exit, Failure};

use crate::cli::{Cli, Command};
use crate::{check, restore, solver};

/// The tool's body.
pub fn run(cli: &Cli, frame: &Frame) -> anyhow::Result<Report> {
    match cli.command {
        Command::Plan => solver::run::run(cli, frame),
        Command::CheckLog => check::run(cli, frame),
        Command::Restore => restore::run::run(cli, frame),
        other => Err(Failure::new(Exit::Failed, format!("{}: not in this build", other.word())).into()),
    }
}
