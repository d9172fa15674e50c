//! Stores files in S3 with proof, and brings them back: what s3-put and s3-get share, and both tools.

pub mod get;
pub mod place;
pub mod put;
pub mod store;
