//! Brings files back from S3 with proof.

use std::process::ExitCode;

fn main() -> ExitCode {
    common::app::main::<s3_put::get::cli::Cli>(s3_put::get::run::run)
}
