//! Real S3 servers for the tests, and a proxy that breaks what passes through it.
//!
//! Three parts, each usable from a synchronous test: [`server::Server`] speaks the S3 protocol in this process,
//! [`garage::Cluster`] is a distributed store of three nodes on loopback, and [`proxy::Proxy`] stands in front of either.

pub mod call;
pub mod garage;
pub mod proxy;
pub mod server;
pub mod store;

pub use call::{Call, Operation};
pub use server::{Options, Seen, Server};
