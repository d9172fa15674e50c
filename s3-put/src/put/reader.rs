//! Reads a file once: in order, part by part, into buffers that are used again; hashes it behind the senders.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{ensure, Context};
use bytes::Bytes;
use crc_fast::CrcAlgorithm;
use sha2::{Digest, Sha256};
use tokio::sync::{mpsc, OwnedSemaphorePermit, Semaphore};

use super::parts::Layout;
use super::source::Changed;
use crate::store::digest::hex;

/// Small enough to be still in the cache when its checksum is computed.
const SLICE: usize = 256 << 10;
/// Buffers below this size are not worth keeping.
const KEEP_FROM: usize = 1 << 20;
const KIB: u64 = 1 << 10;

/// The memory that the contents of all files in flight may take.
#[derive(Debug)]
pub struct Budget {
    permits: Arc<Semaphore>,
    total: u32,
    /// Fresh memory costs a page fault every 4 KiB, more than the checksum of what is read into it.
    kept: Mutex<Vec<Vec<u8>>>,
}

/// A buffer that goes back where it came from.
#[derive(Debug)]
pub struct Buffer {
    bytes: Vec<u8>,
    length: usize,
    budget: Arc<Budget>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Budget {
    /// `total` in bytes.
    pub fn new(total: u64) -> Arc<Self> {
        let total = u32::try_from(total.div_ceil(KIB)).unwrap_or(u32::MAX).max(1);
        let permits = Arc::new(Semaphore::new(total as usize));
        Arc::new(Self { permits, total, kept: Mutex::default() })
    }

    /// Waits until there is room for `length` bytes. One that is larger than all there is gets all.
    pub async fn take(self: &Arc<Self>, length: usize) -> Buffer {
        let wanted = u32::try_from((length as u64).div_ceil(KIB)).unwrap_or(u32::MAX).clamp(1, self.total);
        // The semaphore is never closed.
        let permit = Arc::clone(&self.permits).acquire_many_owned(wanted).await.ok();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let place = kept.iter().position(|b| b.len() >= length && length >= KEEP_FROM);
        let bytes = match place {
            Some(place) => kept.swap_remove(place),
            None => {
                // Sizes differ between files: what does not fit now must not add up.
                if length >= KEEP_FROM {
                    kept.clear();
                }
                vec![0; length]
            }
        };
        Buffer { bytes, length, budget: Arc::clone(self), _permit: permit }
    }
}

impl Buffer {
    pub fn as_mut(&mut self) -> &mut [u8] {
        let length = self.length;
        &mut self.bytes[..length]
    }

    /// The content, to be shared without copying.
    pub fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if self.bytes.len() >= KEEP_FROM {
            let bytes = std::mem::take(&mut self.bytes);
            self.budget.kept.lock().unwrap_or_else(PoisonError::into_inner).push(bytes);
        }
    }
}

/// A part of a file.
#[derive(Debug)]
pub struct Part {
    /// From 1.
    pub number: u64,
    pub bytes: Bytes,
    pub crc64: u64,
}

/// The parts of a file in order, and the SHA-256 of all of them after the last.
pub struct Parts {
    pub parts: mpsc::Receiver<anyhow::Result<Part>>,
    pub sha256: tokio::task::JoinHandle<anyhow::Result<String>>,
}

/// Reads `length` bytes at `offset` and gives their CRC64NVME.
pub fn fill(file: &File, offset: u64, buffer: &mut [u8]) -> anyhow::Result<u64> {
    let mut crc = crc_fast::Digest::new(CrcAlgorithm::Crc64Nvme);
    let mut at = offset;
    for slice in buffer.chunks_mut(SLICE) {
        match file.read_exact_at(slice, at) {
            Ok(()) => {}
            Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => {
                return Err(Changed("it became shorter".to_owned()).into());
            }
            Err(e) => return Err(e).with_context(|| format!("read at byte {at}")),
        }
        crc.update(slice);
        at += slice.len() as u64;
    }
    Ok(crc.finalize())
}

/// Begins to read. Both threads end when the receiver is dropped.
pub fn start(file: File, layout: Layout, budget: Arc<Budget>) -> Parts {
    let (to_sender, parts) = mpsc::channel(1);
    // The budget bounds it: each entry holds a buffer.
    let (to_hasher, from_reader) = std::sync::mpsc::channel::<Bytes>();
    let runtime = tokio::runtime::Handle::current();
    let hasher = tokio::task::spawn_blocking(move || {
        let mut sha256 = Sha256::new();
        while let Ok(bytes) = from_reader.recv() {
            sha256.update(&bytes);
        }
        hex(&sha256.finalize())
    });
    let reader = tokio::task::spawn_blocking(move || {
        // The kernel reads ahead further; a hint that fails costs nothing.
        let _hint = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::Sequential);
        for number in 1..=layout.count() {
            let length =
                usize::try_from(layout.length(number)).context("a part is larger than the memory")?;
            let mut buffer = runtime.block_on(budget.take(length));
            let read = fill(&file, (number - 1) * layout.part_size, buffer.as_mut());
            let failed = read.is_err();
            let part = read.map(|crc64| {
                let bytes = buffer.freeze();
                Part { number, bytes, crc64 }
            });
            if let Ok(part) = &part {
                let _ended = to_hasher.send(part.bytes.clone());
            }
            ensure!(to_sender.blocking_send(part).is_ok() && !failed, "reading was given up");
        }
        Ok(())
    });
    let sha256 = tokio::spawn(async move {
        reader.await.context("the reading thread died")??;
        hasher.await.context("the hashing thread died")
    });
    Parts { parts, sha256 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::digest;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_file_is_read_in_order_within_the_budget() {
        let content: Vec<u8> = (0..23_000_000u32).map(|n| (n / 3) as u8).collect();
        let mut file = tempfile::tempfile().unwrap();
        std::io::Write::write_all(&mut file, &content).unwrap();
        let layout = Layout::new(content.len() as u64, 5 << 20);
        // Room for two parts of five.
        let budget = Budget::new(10 << 20);
        let mut read = start(file, layout, Arc::clone(&budget));
        let mut all = Vec::new();
        while let Some(part) = read.parts.recv().await {
            let part = part.unwrap();
            assert_eq!(part.crc64, digest::crc64(&part.bytes));
            assert_eq!(part.number, all.len().div_ceil(5 << 20) as u64 + 1);
            all.extend_from_slice(&part.bytes);
        }
        assert!(all == content);
        assert_eq!(read.sha256.await.unwrap().unwrap(), digest::sha256(&content));
        assert!(budget.kept.lock().unwrap().len() <= 3);
        assert_eq!(budget.permits.available_permits(), 10 << 10);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_file_that_became_shorter_is_an_error() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(6 << 20).unwrap();
        let mut read = start(file, Layout::new(12 << 20, 5 << 20), Budget::new(32 << 20));
        read.parts.recv().await.unwrap().unwrap();
        let error = read.parts.recv().await.unwrap().unwrap_err().to_string();
        assert!(error.contains("it became shorter"), "{error}");
        assert!(read.sha256.await.unwrap().is_err());
    }

    #[tokio::test]
    async fn more_than_the_whole_budget_gets_all_of_it() {
        let budget = Budget::new(1 << 20);
        let buffer = budget.take(3 << 20).await;
        assert_eq!(buffer.as_ref().len(), 3 << 20);
        assert_eq!(budget.permits.available_permits(), 0);
    }
}
