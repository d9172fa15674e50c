//! s3-put and s3-get against a real S3 server, whole and behind a proxy that breaks things.

mod bench;
mod crash;
mod faults;
mod get;
mod put;
