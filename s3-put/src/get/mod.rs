//! s3-get: brings files back from S3 with proof.

use crate::place;

pub mod cli;
mod download;
mod fetch;
mod input;
mod judge;
mod manifests;
mod names;
mod partial;
pub mod run;
