//! Reads an object in parallel ranges, hashes it in order, and hands each range to whoever keeps it.

use std::sync::Arc;

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::SdkError;
use aws_sdk_s3::operation::get_object::GetObjectError;
use bytes::Bytes;
use crc_fast::CrcAlgorithm;
use futures_util::stream::StreamExt;
use sha2::{Digest, Sha256};
use tokio::sync::{Mutex, Semaphore};

use super::judge::Read;
use crate::put::reader::{Budget, Buffer};
use crate::store::body::Pace;
use crate::store::decide::Deed;
use crate::store::digest::{self, Hashes};
use crate::store::{stopped, Limit, Seen, Store, Trouble};

/// What all downloads of a run share.
pub struct Wires {
    pub budget: Arc<Budget>,
    pub turns: Semaphore,
    /// In bytes.
    pub range_size: u64,
}

/// Where ranges go, and which of them are there already.
pub trait Keeper: Sync {
    /// A range that an earlier run has fetched: reads it into the buffer. `false`: it has to be fetched.
    fn load(&self, range: u64, offset: u64, buffer: &mut [u8]) -> anyhow::Result<bool>;
    /// Keeps a range that was fetched.
    fn keep(&self, range: u64, offset: u64, bytes: &[u8]) -> anyhow::Result<()>;
}

/// For `--verify`: nothing is kept.
pub struct Nothing;

impl Keeper for Nothing {
    fn load(&self, _: u64, _: u64, _: &mut [u8]) -> anyhow::Result<bool> {
        Ok(false)
    }

    fn keep(&self, _: u64, _: u64, _: &[u8]) -> anyhow::Result<()> {
        Ok(())
    }
}

/// Reads the object that `seen` describes.
pub async fn fetch(
    store: &Store,
    wires: &Wires,
    key: &str,
    seen: &Seen,
    keeper: &impl Keeper,
) -> Result<Read, Trouble> {
    let count = seen.bytes.div_ceil(wires.range_size);
    let length = |range: u64| (seen.bytes - range * wires.range_size).min(wires.range_size);
    let (to_hasher, ordered) = std::sync::mpsc::channel::<Bytes>();
    // Checksums of other uploaders, computed only where they are all there is.
    let other = match seen.crc64() {
        Some(_) => None,
        None => [("CRC32", CrcAlgorithm::Crc32IsoHdlc), ("CRC32C", CrcAlgorithm::Crc32Iscsi)]
            .into_iter()
            .find(|(name, _)| seen.checksum(name).is_some()),
    };
    let hasher = tokio::task::spawn_blocking(move || hash(&ordered, other));
    let ranges = futures_util::stream::iter(0..count).then(|range| async move {
        // In order, so that the range that is hashed next has always got its buffer.
        let size = usize::try_from(length(range)).unwrap_or(usize::MAX);
        (range, wires.budget.take(size).await)
    });
    let fetched = ranges.map(|(range, buffer)| async move {
        let turn = wires.turns.acquire().await;
        let done = one(store, key, seen, keeper, (range, range * wires.range_size), buffer).await;
        drop(turn);
        done
    });
    let mut fetched = Box::pin(fetched.buffered(64));
    let mut crc64 = digest::crc64(b"");
    loop {
        let next = tokio::select! {
            next = fetched.next() => next,
            () = stopped() => return Err(Trouble::stopped()),
        };
        let Some(next) = next else { break };
        let (bytes, crc) = next?;
        crc64 = digest::combine(crc64, crc, bytes.len() as u64);
        let _died = to_hasher.send(bytes);
    }
    drop(to_hasher);
    let (sha256, others) = hasher.await.map_err(|e| Trouble::local(&e.into()))?;
    Ok(Read { hashes: Hashes { bytes: seen.bytes, sha256, crc64 }, others })
}

type Other = Option<(&'static str, CrcAlgorithm)>;

fn hash(ordered: &std::sync::mpsc::Receiver<Bytes>, other: Other) -> (String, Vec<(&'static str, String)>) {
    let mut sha256 = Sha256::new();
    let mut crc = other.map(|(name, algorithm)| (name, crc_fast::Digest::new(algorithm)));
    while let Ok(bytes) = ordered.recv() {
        sha256.update(&bytes);
        if let Some((_, crc)) = &mut crc {
            crc.update(&bytes);
        }
    }
    let crc32 = |sum: u64| aws_smithy_types::base64::encode((sum as u32).to_be_bytes());
    (
        digest::hex(&sha256.finalize()),
        crc.map(|(name, crc)| (name, crc32(crc.finalize()))).into_iter().collect(),
    )
}

async fn one(
    store: &Store,
    key: &str,
    seen: &Seen,
    keeper: &impl Keeper,
    (range, offset): (u64, u64),
    mut buffer: Buffer,
) -> Result<(Bytes, u64), Trouble> {
    let local = |error: anyhow::Error| Trouble::local(&error);
    let there = tokio::task::block_in_place(|| keeper.load(range, offset, buffer.as_mut())).map_err(local)?;
    if there {
        let crc = digest::crc64(buffer.as_ref());
        return Ok((buffer.freeze(), crc));
    }
    let size = buffer.as_ref().len();
    let what =
        format!("read bytes {offset} to {} of s3://{}/{key}", offset + size as u64 - 1, store.bucket());
    let whole = size as u64 == seen.bytes;
    let asked = (!whole).then(|| format!("bytes={offset}-{}", offset + size as u64 - 1));
    let etag = (!seen.etag.is_empty()).then(|| seen.etag.clone());
    let shared = Mutex::new(buffer);
    store
        .call(&what, Deed::Plain, Limit::Moving, |client, _, pace| {
            let request = client
                .get_object()
                .bucket(store.bucket())
                .key(key)
                .set_range(asked.clone())
                .set_if_match(etag.clone())
                .send();
            let shared = &shared;
            async move {
                let answer = request.await?;
                if answer.content_length().and_then(|n| usize::try_from(n).ok()) != Some(size) {
                    return Err(SdkError::construction_failure("the server does not answer ranges"));
                }
                let mut buffer = shared.lock().await;
                receive(answer.body, buffer.as_mut(), &pace, store).await
            }
        })
        .await?;
    let buffer = shared.into_inner();
    let crc = tokio::task::block_in_place(|| {
        let crc = digest::crc64(buffer.as_ref());
        keeper.keep(range, offset, buffer.as_ref()).map(|()| crc)
    });
    Ok((buffer.freeze(), crc.map_err(local)?))
}

async fn receive(
    mut body: aws_sdk_s3::primitives::ByteStream,
    buffer: &mut [u8],
    pace: &Pace,
    store: &Store,
) -> Result<(), SdkError<GetObjectError, HttpResponse>> {
    let mut at = 0;
    while let Some(piece) = body.next().await {
        let piece = piece.map_err(SdkError::timeout_error)?;
        if piece.len() > buffer.len() - at {
            return Err(SdkError::timeout_error("the answer is longer than announced"));
        }
        buffer[at..at + piece.len()].copy_from_slice(&piece);
        at += piece.len();
        pace.moved(piece.len());
        if let Some(throttle) = store.throttle() {
            tokio::time::sleep(throttle.grant(piece.len(), tokio::time::Instant::now())).await;
        }
    }
    if at < buffer.len() {
        return Err(SdkError::timeout_error(format!(
            "the answer ended after {at} of {} bytes",
            buffer.len()
        )));
    }
    Ok(())
}
