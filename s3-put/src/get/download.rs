//! One object into one file.

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::Context;
use chrono::DateTime;
use common::record::{File as FileRecord, Role};

use super::fetch::{fetch, Keeper, Wires};
use super::input::Wanted;
use super::judge::{judge, Read, Verdict};
use super::partial::{Header, Partial};
use crate::store::{digest, Kind, Seen, Store, Trouble};

/// What became of an object.
#[derive(Debug, Clone, PartialEq)]
pub enum Done {
    /// Fetched now; how many of how many ranges an earlier run had fetched.
    Fetched { resumed: u64 },
    /// A file with this content was there.
    Present,
}

/// A file that is whole and durable.
#[derive(Debug, Clone, PartialEq)]
pub struct Fetched {
    pub done: Done,
    pub record: FileRecord,
    /// What proves it; `None` when nothing is known of the content.
    pub proofs: Option<Vec<&'static str>>,
}

struct IntoFile {
    partial: Mutex<Partial>,
}

impl Keeper for IntoFile {
    fn load(&self, range: u64, offset: u64, buffer: &mut [u8]) -> anyhow::Result<bool> {
        let partial = self.partial.lock().unwrap_or_else(PoisonError::into_inner);
        if !partial.has(range) {
            return Ok(false);
        }
        partial.file.read_exact_at(buffer, offset).context("read the partial file")?;
        Ok(true)
    }

    fn keep(&self, range: u64, offset: u64, bytes: &[u8]) -> anyhow::Result<()> {
        let file = {
            let partial = self.partial.lock().unwrap_or_else(PoisonError::into_inner);
            partial.file.try_clone().context("share the partial file")?
        };
        file.write_all_at(bytes, offset).context("write the partial file")?;
        self.partial.lock().unwrap_or_else(PoisonError::into_inner).note(range)
    }
}

/// Brings an object into `dir` under `name`.
pub async fn download(
    store: &Store,
    wires: &Wires,
    (dir, name): (&Path, &str),
    wanted: &Wanted,
    seen: &Seen,
) -> Result<Fetched, Trouble> {
    let local = |error: anyhow::Error| Trouble::local(&error);
    let to = dir.join(name);
    if to.symlink_metadata().is_ok() {
        return present(&to, wanted, seen).await;
    }
    let header = Header {
        v: 1,
        store: store.identity(),
        key: wanted.key.clone(),
        etag: seen.etag.clone(),
        bytes: seen.bytes,
        range_size: wires.range_size,
    };
    let partial = Partial::open(dir, name, &header).map_err(local)?;
    let Some(partial) = partial else {
        return Err(Trouble::new(Kind::Refused, format!("another s3-get fetches {} now", to.display()))
            .hint("let it end; then run this again"));
    };
    let resumed = partial.ranges();
    let into = IntoFile { partial: Mutex::new(partial) };
    let mut read = fetch(store, wires, &wanted.key, seen, &into).await?;
    let mut verdict = judge(wanted.sha256.as_deref(), seen, &read);
    if resumed > 0 && matches!(verdict, Verdict::Wrong(_)) {
        // A crash of the host may have lost what was noted as written.
        into.partial.lock().unwrap_or_else(PoisonError::into_inner).restart(&header).map_err(local)?;
        read = fetch(store, wires, &wanted.key, seen, &into).await?;
        verdict = judge(wanted.sha256.as_deref(), seen, &read);
    }
    let partial = into.partial.into_inner().unwrap_or_else(PoisonError::into_inner);
    let proofs = match verdict {
        Verdict::Wrong(why) => {
            partial.discard().map_err(local)?;
            return Err(wrong(store, &wanted.key, &why));
        }
        Verdict::Proven(proofs) => Some(proofs),
        Verdict::Unproven => None,
    };
    if let Some(time) = seen.metadata.get("mtime").and_then(|t| DateTime::parse_from_rfc3339(t).ok()) {
        // The day of the backup stays visible; a file system that cannot keep it is no failure.
        let _kept = partial.file.set_modified(time.into());
    }
    tokio::task::block_in_place(|| partial.publish(&to)).map_err(local)?;
    Ok(Fetched { done: Done::Fetched { resumed }, record: record(&to, wanted, seen, &read), proofs })
}

/// The object is not what was stored.
pub fn wrong(store: &Store, key: &str, why: &str) -> Trouble {
    Trouble::new(Kind::Corrupt, format!("s3://{}/{key} is not what was stored: {why}", store.bucket()))
        .hint("it is damaged or was replaced; plan the restore without it (rman-run plan), or look for an older version")
}

async fn present(to: &Path, wanted: &Wanted, seen: &Seen) -> Result<Fetched, Trouble> {
    let refused = |why: &str| {
        Trouble::new(Kind::Conflict, format!("{} is there with another content: {why}", to.display()))
            .hint("nothing is overwritten; move it away or fetch into another directory")
    };
    let meta = to.symlink_metadata().map_err(|e| Trouble::local(&e.into()))?;
    if !meta.is_file() {
        return Err(refused("it is no ordinary file"));
    }
    if meta.len() != seen.bytes {
        return Err(refused(&format!("it has {} bytes, the object {}", meta.len(), seen.bytes)));
    }
    let path = to.to_owned();
    let read = tokio::task::spawn_blocking(move || {
        let file = std::fs::File::open(&path).with_context(|| format!("open {}", path.display()))?;
        digest::read(&file)
    });
    let hashes = read.await.map_err(|e| Trouble::local(&e.into()))?.map_err(|e| Trouble::local(&e))?;
    let read = Read { hashes, others: Vec::new() };
    match judge(wanted.sha256.as_deref(), seen, &read) {
        Verdict::Proven(proofs) => {
            let record = record(to, wanted, seen, &read);
            Ok(Fetched { done: Done::Present, record, proofs: Some(proofs) })
        }
        Verdict::Wrong(why) => Err(refused(&why)),
        Verdict::Unproven => {
            Err(refused("of equal size, and nothing is known of the object to compare with"))
        }
    }
}

/// The record of the file: what is known of the one that was uploaded, under its new name.
fn record(to: &Path, wanted: &Wanted, seen: &Seen, read: &Read) -> FileRecord {
    let known = wanted.file.clone().unwrap_or_default();
    let noted = seen.metadata.get("role").and_then(|role| role_of(role));
    FileRecord {
        path: to.to_string_lossy().into_owned(),
        bytes: Some(read.hashes.bytes),
        sha256: Some(read.hashes.sha256.clone()),
        role: known.role.or(noted),
        host: None,
        ..known
    }
}

/// The role in the metadata of an object.
fn role_of(text: &str) -> Option<Role> {
    use serde::de::value::{Error, StrDeserializer};
    use serde::de::IntoDeserializer;
    let text: StrDeserializer<'_, Error> = text.into_deserializer();
    serde::Deserialize::deserialize(text).ok()
}

/// Bytes that the files still need, and that the file system has.
pub fn room(dir: &Path, needed: u64) -> anyhow::Result<Option<(u64, u64)>> {
    let stat = rustix::fs::statvfs(dir).with_context(|| format!("look at the space of {}", dir.display()))?;
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    Ok((free < needed).then_some((needed, free)))
}

/// What a partial file of an earlier run has reserved already, in bytes.
pub fn reserved(dir: &Path, name: &str) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let (path, _): (PathBuf, PathBuf) = super::partial::paths(dir, name);
    std::fs::metadata(path).map_or(0, |m| m.blocks() * 512)
}
