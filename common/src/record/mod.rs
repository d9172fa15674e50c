//! JSON Lines records: the envelope, emitting, reading and forwarding untouched.

#[macro_use]
mod macros;

mod contents;
mod drill;
mod input;
mod output;
mod products;
#[cfg(feature = "schema")]
mod schema;
mod types;

pub use contents::*;
pub use drill::*;
pub use input::{Input, Line};
pub use output::{Mode, Out};
pub use products::*;
#[cfg(feature = "schema")]
pub use schema::schemas;
pub use types::*;

use serde::{Deserialize, Serialize};

/// The version that every record carries; it changes only when the meaning of a field changes.
pub const VERSION: u64 = 1;

/// A record type: a flat struct bound to its name.
pub trait Payload: Serialize {
    const TYPE: &'static str;

    /// One line for a person at a terminal.
    fn human(&self) -> String;
}

/// The fields that every record begins with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Envelope {
    /// Version of the record format.
    pub v: u64,
    /// Which record this is.
    #[serde(rename = "type")]
    pub kind: String,
    /// The tool that wrote it.
    pub tool: String,
    /// The run that wrote it; the same in all records between `run_begin` and `run_end`.
    pub run: String,
    /// UTC, RFC 3339, milliseconds.
    pub ts: String,
}
