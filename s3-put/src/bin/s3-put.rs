//! Stores files in S3 with proof.

use std::process::ExitCode;

fn main() -> ExitCode {
    common::app::main::<s3_put::put::cli::Cli>(s3_put::put::run::run)
}
