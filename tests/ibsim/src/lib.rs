//! A simulated InfiniBox: its management API over HTTP and HTTPS, its volumes' bytes, its clock, its faults.
//!
//! ```no_run
//! # fn main() -> anyhow::Result<()> {
//! use ibsim::{Array, Change, Config, Fault, Lost, Rule, Version, PASSWORD};
//! let array = Array::start(Config::version(Version::V7_3))?;
//! let data = array.add_volume("DATA1")?;             // in the pool "pool1"; ids are u64
//! array.bind("DATA1", std::path::Path::new("/tmp/db"))?;     // snapshots copy this directory
//! let group = array.add_group("DB", &["DATA1"])?;    // a consistency group
//! array.url(0);       // http://127.0.0.1:PORT   (users admin, pool_admin, monitor; password ibsim::PASSWORD)
//! array.tls_url(0);   // https://127.0.0.1:PORT, trusted by array.ca_file()
//! array.host(0);      // 127.0.0.1:PORT of HTTP;  array.tls_host(0) of HTTPS
//! array.faults(vec![
//!     Rule::on("POST", "^/volumes", Fault::late(std::time::Duration::from_secs(3), Lost::Silence)).nth(1),
//!     Rule::on("GET", r"^/volumes/\d+", Fault::Before(vec![Change::Remove("@".into())])).first(1),
//!     Rule::any(Fault::delay(std::time::Duration::from_millis(200))),
//! ])?;
//! array.log();        // every request: line(), body, credential, faults, status, executed, executed_at
//! array.count("DELETE", "^/volumes/");
//! array.objects();    // volumes and snapshots with metadata, locked, mapped, created_at (array clock, ms)
//! array.restore_bytes("snap1", std::path::Path::new("/tmp/restored"))?;
//! array.advance(std::time::Duration::from_secs(86_400));   // time travel of the array's clock
//! array.change(&Change::Lock { volume: "snap1".into(), until_ms: array.now() + 3_600_000 })?;
//! array.add_snapshots("DATA1", (0..10_000).map(|n| (format!("s{n}"), 1_700_000_000_000 + n)))?;
//! array.settle()?;    // waits for late executions (not for requests that hang)
//! # Ok(()) }
//! ```
//! `array.with(|state| …)` reaches everything else ([`state::State`]). Behaviours nobody outside Infinidat confirms are
//! switches: [`Guesses`]. The program `ibsim` has the same behind `/_sim/…` ([`admin`]).

pub mod admin;
mod api;
mod array;
pub mod bytes;
mod config;
mod error;
mod fault;
mod guesses;
mod log;
mod query;
mod server;
pub mod state;

pub use array::Array;
pub use config::{Account, Certificate, Config, Role, Version, PASSWORD};
pub use fault::{Fault, Lost, Rule, Which};
pub use guesses::{Guesses, Like, OverMax, Refusal};
pub use log::{Credential, Request};
pub use server::Address;
pub use state::{Change, Object};
