//! s3-put: stores files in S3 with proof.

use crate::place;

mod batch;
mod cleanup;
pub mod cli;
mod exists;
mod input;
mod job;
pub(crate) mod journal;
mod key;
mod logs;
mod manifest;
mod multipart;
mod parts;
pub(crate) mod plan;
mod prove;
pub(crate) mod reader;
mod release;
mod resume;
pub mod run;
mod single;
mod source;
