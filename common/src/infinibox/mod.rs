//! The management API of an InfiniBox array, as far as snapshots need it.
//!
//! Facts and their certainty come from clients and recordings, not from an array at hand, so this client is careful: it
//! decides by HTTP status class and by re-reading objects, never by an error code that nobody has confirmed; it repeats
//! a write elsewhere only when the first one surely was not executed; and it believes a listing only when its count is
//! right. Everything goes over `/api/rest/` with HTTP Basic on each call, which all versions from 2.x on take.
//!
//! ```ignore
//! let array = args.array.open("ib-prune")?;              // ArrayArgs, flattened into the tool's Cli
//! let volumes = array.volumes(&[]).map_err(ApiError::failure)?;
//! match array.delete_volume(17) {
//!     Ok(_) => {}                                          // Ok(None): it was gone already
//!     Err(e) if e.kind == Kind::Forbidden => {}
//!     Err(e) if e.maybe_executed() => {}                   // look again
//!     Err(e) => return Err(e.failure().into()),
//! }
//! ```

mod args;
mod client;
mod clock;
mod error;
mod http;
mod listing;
mod objects;
mod ownership;
mod tls;
mod trust;

pub use args::{Address, ArrayArgs};
pub use client::{Array, Change, NewCgSnapshot, NewGroupSnapshot, NewSnapshot};
pub use clock::{Clock, ClockProbe};
pub use error::{ApiError, Kind};
pub use objects::{Cg, Feature, Lun, MetadataItem, Pool, System, User, Volume};
pub use ownership::{RedoMark, SetKind, SetMark, SetState, CREATED_BY, OWNER, REDO_KEY, SET_KEY};

#[cfg(test)]
mod tests;
