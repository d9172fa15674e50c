//! The bucket: one way to call it, in which every failure is told apart, and what it says about objects.

pub mod body;
mod call;
mod connection;
pub mod decide;
pub mod digest;
mod facts;
mod objects;
mod trouble;

pub use call::{stopped, Limit, Store};
pub use connection::{Connection, Settings};
pub use decide::Deed;
pub use objects::{time, Listed, Seen};
pub use trouble::{Kind, Trouble};
