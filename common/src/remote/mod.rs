//! Files on the standby: one ssh connection per worker, many files per remote process, rsync over it.
//!
//! A target without a host is a directory of this machine (local or NFS). It goes through the same scripts and
//! the same rsync arguments, so that what is proved for one holds for the other.
//!
//! The facts behind the choices were measured: a fresh ssh costs 200 ms and more, a session over an open master
//! 10–20 ms; one multiplexed connection is one TCP stream, so every worker has a master of its own; sshd drops
//! connections at random above ten that are not yet authenticated.

pub mod adaptive;
mod args;
mod ciphers;
mod classify;
mod connection;
mod control;
mod files;
mod hash;
mod inventory;
mod publish;
mod quote;
mod retry;
mod rsync;
mod script;
mod target;
mod versions;
mod watch;

pub use args::TargetArgs;
pub use classify::{classify, Class, Evidence, TransferError};
pub use connection::{Connection, Connections, Limits, MAX_MASTERS};
pub use files::{is_own, FreeSpace, OWN_PREFIX};
pub use hash::{reading_limit, ContentHash};
pub use inventory::{Entry, Kind, Listing, ListingState};
pub use publish::{PublishMode, Published, Stat};
pub use quote::{rsync_rsh_word, sh_quote, split_words};
pub use retry::{retry, RetryPolicy};
pub use rsync::{arguments, rsync, Compression, Files, Mode, RsyncEvent, RsyncJob, RsyncOutcome};
pub use script::Script;
pub use target::Target;
pub use versions::{RsyncVersion, Tools};

use std::hash::{BuildHasher, Hasher};

/// A word that nothing else prints: for markers and temporary names. Not a secret.
pub fn nonce() -> String {
    let mut hasher = std::collections::hash_map::RandomState::new().build_hasher();
    hasher.write_u32(std::process::id());
    if let Ok(now) = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH) {
        hasher.write_u128(now.as_nanos());
    }
    format!("{:016x}", hasher.finish())
}
