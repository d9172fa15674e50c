//! What a later process must know to continue an upload: one file per unfinished upload.
//!
//! The first line says which upload of which file; then a line per part *before* it is sent, and one after the server
//! has it. With the first, a part that the server lists is recognised even when we died before its answer came.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use common::durable;
use rustix::fs::{flock, FlockOperation};
use serde::{Deserialize, Serialize};

use super::source::Identity;
use crate::store::digest;

/// Which upload of which file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    pub v: u64,
    /// Server and bucket.
    pub store: String,
    pub key: String,
    pub upload_id: String,
    pub path: String,
    pub source: Identity,
    /// In bytes.
    pub part_size: u64,
    /// When the upload was begun, RFC 3339.
    pub begun: String,
}

/// What is known of one part.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Number of the part, from 1.
    pub n: u64,
    /// CRC64NVME of what was or will be sent, base64.
    pub crc64: String,
    /// As the server answered; absent before it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
}

impl Entry {
    pub fn crc64(&self) -> Option<u64> {
        digest::from_base64(&self.crc64)
    }
}

/// The journal of one key, held by this process.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    header: Option<Header>,
    entries: BTreeMap<u64, Entry>,
}

/// Where the journal of a key is.
pub fn path(dir: &Path, store: &str, key: &str) -> PathBuf {
    let name = digest::sha256(format!("{store}\n{key}").as_bytes());
    dir.join(format!("{}.journal", &name[..32]))
}

impl Journal {
    /// Takes the journal of a key; `None` when another process on this host has it: it uploads this very key.
    pub fn take(path: &Path) -> anyhow::Result<Option<Self>> {
        for _ in 0..10 {
            let mut options = OpenOptions::new();
            let file = options.create(true).truncate(false).read(true).write(true).open(path);
            let file = file.with_context(|| format!("open journal {}", path.display()))?;
            if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
                return Ok(None);
            }
            // The last holder may have removed the file between our open and our lock.
            if is_named(&file, path) {
                return Self::read(path, file).map(Some);
            }
        }
        anyhow::bail!("journal {} disappears again and again", path.display())
    }

    fn read(path: &Path, file: File) -> anyhow::Result<Self> {
        let mut journal = Self { path: path.to_owned(), file, header: None, entries: BTreeMap::new() };
        let mut lines = BufReader::new(&journal.file).split(b'\n');
        let first = lines.next().transpose().with_context(|| format!("read journal {}", path.display()))?;
        journal.header =
            first.and_then(|line| serde_json::from_slice(&line).ok()).filter(|h: &Header| h.v == 1);
        for line in lines {
            let line = line.with_context(|| format!("read journal {}", path.display()))?;
            // A torn line is a part that is sent again.
            if let Ok(entry) = serde_json::from_slice::<Entry>(&line) {
                journal.entries.insert(entry.n, entry);
            }
        }
        Ok(journal)
    }

    /// The unfinished upload, if there is one that can be read.
    pub fn header(&self) -> Option<&Header> {
        self.header.as_ref()
    }

    pub fn entries(&self) -> &BTreeMap<u64, Entry> {
        &self.entries
    }

    /// Begins anew, durably: from now on the upload can be found again.
    pub fn begin(&mut self, header: Header) -> anyhow::Result<()> {
        let mut write = || -> anyhow::Result<()> {
            self.file.set_len(0)?;
            self.file.seek(SeekFrom::Start(0))?;
            let mut line = serde_json::to_vec(&header)?;
            line.push(b'\n');
            self.file.write_all(&line)?;
            self.file.sync_all()?;
            durable::sync_dir(self.path.parent().unwrap_or(Path::new(".")))
        };
        write().with_context(|| format!("write journal {}", self.path.display()))?;
        self.entries.clear();
        self.header = Some(header);
        Ok(())
    }

    /// Notes a part. Not synced: what a crash of the host loses is sent again.
    pub fn note(&mut self, entry: Entry) -> anyhow::Result<()> {
        let mut line = serde_json::to_vec(&entry)?;
        // After a torn line this begins a new one.
        line.insert(0, b'\n');
        line.push(b'\n');
        self.file
            .seek(SeekFrom::End(0))
            .and_then(|_| self.file.write_all(&line))
            .with_context(|| format!("write journal {}", self.path.display()))?;
        self.entries.insert(entry.n, entry);
        Ok(())
    }

    /// The upload is finished or aborted.
    pub fn remove(self) -> anyhow::Result<()> {
        durable::remove(&self.path)
    }

    /// Removes the file of a journal that never had an upload.
    pub fn discard_if_empty(self) -> anyhow::Result<()> {
        if self.header.is_none() && self.entries.is_empty() {
            durable::remove(&self.path)?;
        }
        Ok(())
    }
}

/// Whether an open file still has its name.
pub fn is_named(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (file.metadata(), std::fs::metadata(path)) {
        (Ok(a), Ok(b)) => (a.dev(), a.ino()) == (b.dev(), b.ino()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        let source = Identity { device: 1, inode: 2, bytes: 3, modified: 4, changed: 5 };
        Header {
            v: 1,
            store: "aws/b".to_owned(),
            key: "k".to_owned(),
            upload_id: "u".to_owned(),
            path: "/x".to_owned(),
            source,
            part_size: 8 << 20,
            begun: "2026-11-20T12:00:00Z".to_owned(),
        }
    }

    fn entry(n: u64, etag: Option<&str>) -> Entry {
        Entry { n, crc64: digest::base64(n), etag: etag.map(str::to_owned) }
    }

    #[test]
    fn what_was_noted_is_read_by_the_next_process_and_a_torn_line_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = path(dir.path(), "aws/b", "k");
        let mut journal = Journal::take(&path).unwrap().unwrap();
        assert_eq!(journal.header(), None);
        journal.begin(header()).unwrap();
        journal.note(entry(1, None)).unwrap();
        journal.note(entry(2, None)).unwrap();
        journal.note(entry(1, Some("e1"))).unwrap();
        drop(journal);
        std::io::Write::write_all(
            &mut OpenOptions::new().append(true).open(&path).unwrap(),
            b"{\"n\":3,\"crc64\":\"AAA",
        )
        .unwrap();
        let mut journal = Journal::take(&path).unwrap().unwrap();
        assert_eq!(journal.header(), Some(&header()));
        journal.note(entry(4, Some("e4"))).unwrap();
        drop(journal);
        let journal = Journal::take(&path).unwrap().unwrap();
        let known: Vec<_> = journal.entries().values().cloned().collect();
        assert_eq!(known, [entry(1, Some("e1")), entry(2, None), entry(4, Some("e4"))]);
        journal.remove().unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn one_process_has_it_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = path(dir.path(), "aws/b", "k");
        let held = Journal::take(&path).unwrap().unwrap();
        assert!(Journal::take(&path).unwrap().is_none());
        held.discard_if_empty().unwrap();
        assert!(!path.exists());
        Journal::take(&path).unwrap().unwrap();
    }

    #[test]
    fn one_that_cannot_be_read_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = path(dir.path(), "aws/b", "k");
        std::fs::write(&path, b"\0\0\xff\n\n").unwrap();
        assert_eq!(Journal::take(&path).unwrap().unwrap().header(), None);
    }
}
