//! common::remote against a real sshd and rsync, over good lines and bad ones.

// Its helpers run inside tests only; there a panic is the report.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod files;
mod lines;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use common::remote::{Connection, Files, Limits, Mode, RsyncJob, Target};
use rig::host::{HostOptions, SshHost};
use rig::proxy::Proxy;
use sha2::{Digest, Sha256};

const LIMIT: Duration = Duration::from_secs(60);
const IO: Duration = Duration::from_secs(30);

fn host(options: &HostOptions) -> SshHost {
    SshHost::start(options).unwrap()
}

fn limits() -> Limits {
    Limits { connect: Duration::from_secs(5), script: Duration::from_secs(20), alive: Duration::from_secs(2) }
}

fn connect(host: &SshHost) -> Connection {
    connect_with(&host.host(), &host.ssh_options())
}

fn connect_with(name: &str, options: &str) -> Connection {
    Connection::new(&Target::new(Some(name), None, &[options.to_owned()]).unwrap(), limits())
}

fn via(host: &SshHost, proxy: &Proxy) -> Connection {
    connect_with("127.0.0.1", &host.ssh_options_via(proxy.address()))
}

fn noise(bytes: usize, seed: u64) -> Vec<u8> {
    let mut x = seed | 1;
    std::iter::repeat_with(|| {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        x.to_le_bytes()
    })
    .flatten()
    .take(bytes)
    .collect()
}

fn sha(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

fn within(limit: Duration, mut what: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + limit;
    while Instant::now() < end {
        if what() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    false
}

/// A source and a standby directory, with a temporary directory of ours in the second.
struct Dirs {
    tmp: tempfile::TempDir,
}

impl Dirs {
    fn new() -> Self {
        let tmp = tempfile::tempdir().unwrap();
        for dir in ["src", "dst/.orapipe-1"] {
            std::fs::create_dir_all(tmp.path().join(dir)).unwrap();
        }
        Self { tmp }
    }
    fn src(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.tmp.path().join("src").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    }
    fn dst(&self, name: &str) -> PathBuf {
        self.tmp.path().join("dst").join(name)
    }
    fn own(&self, name: &str) -> PathBuf {
        self.dst(".orapipe-1").join(name)
    }
}

fn one(source: &Path, dest: &Path) -> RsyncJob {
    RsyncJob::new(Files::One { source: source.into(), dest: dest.into() }, Mode::Whole, IO)
}
