//! Reads the pieces back from disk.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::Context;
use common::exit::{Exit, Failure};
use common::logfile::Progress;
use common::signals;
use sha2::{Digest, Sha256};

const CHUNK: usize = 1 << 20;

/// A piece as it lies on disk, or why it does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    File { bytes: u64, sha256: String },
    Gone(String),
}

/// Size and SHA-256 of each file. Each is synced first: what a record vouches for has to survive a power cut.
///
/// # Errors
/// The run was asked to stop.
pub fn read_back(
    handles: &[String],
    total: u64,
    beat: &mut dyn FnMut(),
) -> anyhow::Result<BTreeMap<String, Seen>> {
    let mut progress = Progress::new(total);
    let mut done = 0;
    let mut found = BTreeMap::new();
    for handle in handles {
        let seen = match hash(Path::new(handle), &mut |n| {
            done += n;
            progress.show(done);
            beat();
        }) {
            Ok(Some(seen)) => seen,
            Ok(None) => {
                progress.end();
                return Err(Failure::new(stopped(), "stopped while the pieces were read back").into());
            }
            Err(error) => Seen::Gone(format!("{error:#}")),
        };
        found.insert(handle.clone(), seen);
    }
    progress.end();
    Ok(found)
}

/// The status of a run that a signal has stopped.
pub fn stopped() -> Exit {
    match signals::pending() {
        Some(signals::Stop::Interrupt) => Exit::Interrupted,
        Some(signals::Stop::Terminate) | None => Exit::Terminated,
    }
}

/// `None` when a signal asks to stop.
fn hash(path: &Path, on_read: &mut dyn FnMut(u64)) -> anyhow::Result<Option<Seen>> {
    let mut file = File::open(path).with_context(|| format!("open {}", path.display()))?;
    anyhow::ensure!(file.metadata()?.is_file(), "{} is no file", path.display());
    // Reading needs no right to write, syncing a file that we may only read works all the same.
    file.sync_all().with_context(|| format!("sync {}", path.display()))?;
    // What was just written is to be read from the disk and not from memory.
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)
        .with_context(|| format!("drop {} from the page cache", path.display()))?;
    let mut hasher = Sha256::new();
    let mut chunk = vec![0; CHUNK];
    let mut bytes = 0;
    loop {
        if signals::pending().is_some() {
            return Ok(None);
        }
        let n = file.read(&mut chunk).with_context(|| format!("read {}", path.display()))?;
        if n == 0 {
            break;
        }
        hasher.update(&chunk[..n]);
        bytes += n as u64;
        on_read(n as u64);
    }
    let sha256 = hasher.finalize().iter().map(|b| format!("{b:02x}")).collect();
    Ok(Some(Seen::File { bytes, sha256 }))
}
