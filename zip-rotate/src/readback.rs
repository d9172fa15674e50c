//! Reads files from the disk and not from memory.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::Context;
use rustix::fs::{Advice, OFlags};
use sha2::{Digest, Sha256};

use crate::pack::hex;

const BUFFER: usize = 1 << 20;
/// What O_DIRECT wants buffers to be aligned to, on any disk in use.
const ALIGN: usize = 4096;

/// Drops the pages of a synced file from memory, so that the next read asks the disk.
pub fn forget(file: &File) {
    // A file system that has no pages to drop is none the worse for it.
    let _advice = rustix::fs::fadvise(file, 0, None, Advice::DontNeed);
}

/// SHA-256 and size of a file, read past the page cache where the file system allows it; else the pages are dropped
/// first.
pub fn hash(path: &Path, tick: &mut dyn FnMut(u64) -> anyhow::Result<()>) -> anyhow::Result<(String, u64)> {
    let direct = OpenOptions::new().read(true).custom_flags(OFlags::DIRECT.bits() as i32).open(path);
    if let Ok(file) = direct {
        // Some file systems take the flag and refuse to read.
        if let Ok(found) = hash_of(&file, tick) {
            return Ok(found);
        }
        crate::job::stopped()?;
    }
    let file = File::open(path).with_context(|| format!("open {}", path.display()))?;
    forget(&file);
    hash_of(&file, tick).with_context(|| format!("read {}", path.display()))
}

/// SHA-256 and size of what a file gives.
pub fn hash_of(
    mut file: &File,
    tick: &mut dyn FnMut(u64) -> anyhow::Result<()>,
) -> anyhow::Result<(String, u64)> {
    let mut room = vec![0; BUFFER + ALIGN];
    let skip = room.as_ptr().align_offset(ALIGN).min(ALIGN);
    let buffer = &mut room[skip..skip + BUFFER];
    let (mut hash, mut bytes) = (Sha256::new(), 0);
    loop {
        let n = match file.read(buffer) {
            Ok(0) => return Ok((hex(&hash.finalize()), bytes)),
            Ok(n) => n,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(e.into()),
        };
        hash.update(&buffer[..n]);
        bytes += n as u64;
        tick(bytes)?;
    }
}
