//! What kind of array to start.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{bail, Context, Result};
use serde::Serialize;

use crate::bytes::Freezer;
use crate::guesses::Guesses;

/// The password of every account here; told apart from every other word, so that a test finds it where it must not be.
pub const PASSWORD: &str = "Inf1n1b0x/s3cret+Pa55-orapipe";

/// The release of InfiniBox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Version(pub u16, pub u16, pub u16, pub u16);

impl Version {
    /// SNAP and CLONE, Basic only, plain metadata, consistency groups.
    pub const V2_2: Self = Self(2, 2, 8, 0);
    /// Type SNAPSHOT, `family_id`, sessions.
    pub const V3_0: Self = Self(3, 0, 20, 0);
    /// Locks.
    pub const V4_0_30: Self = Self(4, 0, 30, 0);
    /// `replica_ids`, active-active.
    pub const V5_0: Self = Self(5, 0, 10, 0);
    /// `snapshot_expires_at`; the 7.3 of the public collection.
    pub const V7_3: Self = Self(7, 3, 0, 360);
    /// Promote, effective capacity.
    pub const V8_4: Self = Self(8, 4, 6, 0);

    /// Every version that the simulator was made for.
    pub const ALL: [Self; 6] = [Self::V2_2, Self::V3_0, Self::V4_0_30, Self::V5_0, Self::V7_3, Self::V8_4];

    pub fn has_sessions(self) -> bool {
        self >= Self(3, 0, 0, 0)
    }

    /// Type SNAPSHOT instead of SNAP and CLONE.
    pub fn has_snapshot_type(self) -> bool {
        self >= Self(3, 0, 0, 0)
    }

    /// Metadata as a list of objects with an id instead of a plain object.
    pub fn has_metadata_2(self) -> bool {
        self >= Self(3, 0, 0, 0)
    }

    pub fn has_locks(self) -> bool {
        self >= Self(4, 0, 30, 0)
    }

    pub fn has_expiry(self) -> bool {
        self >= Self(7, 1, 0, 0)
    }

    pub fn has_promote(self) -> bool {
        self >= Self(8, 1, 0, 0)
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}.{}", self.0, self.1, self.2, self.3)
    }
}

impl FromStr for Version {
    type Err = anyhow::Error;

    /// `8.4` is the one above that begins so; four numbers are themselves.
    fn from_str(text: &str) -> Result<Self> {
        if let Some(known) = Self::ALL.into_iter().find(|v| format!("{v}.").starts_with(&format!("{text}.")))
        {
            return Ok(known);
        }
        let numbers: Vec<u16> = text
            .split('.')
            .map(|n| n.parse().with_context(|| format!("version {text}")))
            .collect::<Result<_>>()?;
        match numbers[..] {
            [a, b] => Ok(Self(a, b, 0, 0)),
            [a, b, c] => Ok(Self(a, b, c, 0)),
            [a, b, c, d] => Ok(Self(a, b, c, d)),
            _ => bail!("version {text}: two to four numbers"),
        }
    }
}

/// What a user may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    Admin,
    /// Writes in the pools that he owns.
    PoolAdmin,
    ReadOnly,
    Infinidat,
    Technician,
}

impl Role {
    pub fn literal(self) -> &'static str {
        match self {
            Self::Admin => "ADMIN",
            Self::PoolAdmin => "POOL_ADMIN",
            Self::ReadOnly => "READ_ONLY",
            Self::Infinidat => "INFINIDAT",
            Self::Technician => "TECHNICIAN",
        }
    }
}

/// A user of the array.
#[derive(Debug, Clone)]
pub struct Account {
    pub name: String,
    pub password: String,
    pub role: Role,
}

impl Account {
    /// With [`PASSWORD`].
    pub fn new(name: &str, role: Role) -> Self {
        Self { name: name.into(), password: PASSWORD.into(), role }
    }
}

/// The certificate of the HTTPS side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Certificate {
    /// For 127.0.0.1 and localhost, signed by an authority of its own: [`crate::Array::ca_file`].
    Signed,
    /// Signed by itself, as arrays leave the factory; [`crate::Array::ca_file`] is that certificate.
    SelfSigned,
    /// Signed, and out of date.
    Expired,
    /// Signed, for another host.
    WrongName,
}

/// What kind of array to start.
#[derive(Clone)]
pub struct Config {
    pub version: Version,
    /// The array's name and serial number; the number is part of every volume's serial.
    pub name: String,
    pub serial: u16,
    /// Management addresses; each has an HTTP and an HTTPS port on 127.0.0.1.
    pub addresses: usize,
    /// The HTTP port of the first address; 0: any free one.
    pub port: u16,
    /// The HTTPS port of the first address; 0: any free one.
    pub tls_port: u16,
    pub certificate: Certificate,
    /// PEM files of the certificate, with those above it, and of its key: instead of [`Config::certificate`].
    pub certificate_files: Option<(PathBuf, PathBuf)>,
    /// Before each request is executed.
    pub latency: Duration,
    /// Idle connections are closed after this; Apache of a real array says 15 s.
    pub keep_alive: Duration,
    /// Requests on one connection, of which the last one is answered with `Connection: close`.
    pub max_requests: usize,
    /// A session ends so long after its last request.
    pub session_lifetime: Duration,
    /// Answers are compressed when the client accepts it.
    pub gzip: bool,
    /// The array's clock is so many milliseconds ahead of the host's.
    pub clock_offset_ms: i64,
    pub accounts: Vec<Account>,
    /// Snapshots of one volume.
    pub max_snapshots: usize,
    /// Bytes of the pool that exists from the beginning.
    pub pool_size: u64,
    pub guesses: Guesses,
    /// Where the bytes of snapshots are kept; a temporary directory when it is not given.
    pub dir: Option<PathBuf>,
    /// `/_sim/…` answers; see [`crate::admin`].
    pub door: bool,
    /// Makes the writers stand still while bytes are cut.
    pub freezer: Option<Freezer>,
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config")
            .field("version", &self.version)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Default for Config {
    /// InfiniBox 8.4 with one address, no latency, and the users `admin`, `pool_admin` (owner of the pool), `monitor`.
    fn default() -> Self {
        Self {
            version: Version::V8_4,
            name: "box1".into(),
            serial: 0x04d2,
            addresses: 1,
            port: 0,
            tls_port: 0,
            certificate: Certificate::Signed,
            certificate_files: None,
            latency: Duration::ZERO,
            keep_alive: Duration::from_secs(15),
            max_requests: 1000,
            session_lifetime: Duration::from_secs(3600),
            gzip: true,
            clock_offset_ms: 0,
            accounts: vec![
                Account::new("admin", Role::Admin),
                Account::new("pool_admin", Role::PoolAdmin),
                Account::new("monitor", Role::ReadOnly),
            ],
            max_snapshots: 999,
            pool_size: 100 << 40,
            guesses: Guesses::default(),
            dir: None,
            door: false,
            freezer: None,
        }
    }
}

impl Config {
    pub fn version(version: Version) -> Self {
        Self { version, ..Self::default() }
    }
}
