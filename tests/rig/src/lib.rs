//! Servers, faults and stories that test orapipe from the outside.

pub mod bench;
pub mod disk;
pub mod docs;
pub mod host;
pub mod instance;
pub mod licences;
pub mod proxy;
pub mod records;
pub mod sbom;
pub mod smtp;
pub mod standby;
pub mod tool;
pub mod watch;
pub mod world;
