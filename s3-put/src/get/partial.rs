//! A download under way: the temporary file and the journal of the ranges that it has.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use common::durable;
use rustix::fs::{flock, FlockOperation};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::put::journal::is_named;

/// Which object the ranges are of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    pub v: u64,
    pub store: String,
    pub key: String,
    pub etag: String,
    pub bytes: u64,
    pub range_size: u64,
}

#[derive(Serialize, Deserialize)]
struct Done {
    range: u64,
}

/// The two files of a download. Held by this process.
#[derive(Debug)]
pub struct Partial {
    pub file: File,
    path: PathBuf,
    journal: File,
    journal_path: PathBuf,
    done: HashSet<u64>,
}

/// The temporary names for `name`.
pub fn paths(dir: &Path, name: &str) -> (PathBuf, PathBuf) {
    (dir.join(format!(".{name}.orapipe-part")), dir.join(format!(".{name}.orapipe-ranges")))
}

impl Partial {
    /// Opens what an earlier run has left if it is of this very object, else begins anew; `None` when another process
    /// has it.
    pub fn open(dir: &Path, name: &str, header: &Header) -> anyhow::Result<Option<Self>> {
        let (path, journal_path) = paths(dir, name);
        let open = |path: &Path| {
            let mut options = OpenOptions::new();
            let file = options.create(true).truncate(false).read(true).write(true).append(false).open(path);
            file.with_context(|| format!("open {}", path.display()))
        };
        let file = open(&path)?;
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() || !is_named(&file, &path) {
            // The other one may have given it its final name since our open: it is not ours to write to.
            return Ok(None);
        }
        let journal = open(&journal_path)?;
        let mut partial = Self { file, path, journal, journal_path, done: HashSet::new() };
        partial.read(header)?;
        Ok(Some(partial))
    }

    fn read(&mut self, header: &Header) -> anyhow::Result<()> {
        let mut lines = BufReader::new(&self.journal).split(b'\n');
        let first =
            lines.next().transpose().with_context(|| format!("read {}", self.journal_path.display()))?;
        let same =
            first.and_then(|l| serde_json::from_slice::<Header>(&l).ok()).is_some_and(|h| h == *header);
        let whole = self.file.metadata().context("look at the partial file")?.len() == header.bytes;
        if same && whole {
            self.done = lines
                .map_while(Result::ok)
                .filter_map(|line| serde_json::from_slice::<Done>(&line).ok().map(|d| d.range))
                .collect();
            return Ok(());
        }
        self.restart(header)
    }

    /// Forgets all ranges.
    pub fn restart(&mut self, header: &Header) -> anyhow::Result<()> {
        self.done.clear();
        let mut line = serde_json::to_vec(header)?;
        line.push(b'\n');
        let name = self.journal_path.display().to_string();
        self.journal.set_len(0).with_context(|| format!("write {name}"))?;
        self.file.set_len(0).with_context(|| format!("write {}", self.path.display()))?;
        match rustix::fs::fallocate(&self.file, rustix::fs::FallocateFlags::empty(), 0, header.bytes.max(1)) {
            // Not every file system can; the write itself will tell.
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => {}
            Err(e) => {
                return Err(e)
                    .with_context(|| format!("reserve {} bytes for {}", header.bytes, self.path.display()))
            }
        }
        self.file.set_len(header.bytes).with_context(|| format!("write {}", self.path.display()))?;
        self.append(&line).with_context(|| format!("write {name}"))
    }

    fn append(&mut self, line: &[u8]) -> std::io::Result<()> {
        std::io::Seek::seek(&mut self.journal, std::io::SeekFrom::End(0))?;
        self.journal.write_all(line)
    }

    pub fn has(&self, range: u64) -> bool {
        self.done.contains(&range)
    }

    pub fn ranges(&self) -> u64 {
        self.done.len() as u64
    }

    /// Notes a range that was written. Not synced: the hash of the whole finds what a crash of the host lost.
    pub fn note(&mut self, range: u64) -> anyhow::Result<()> {
        let mut line = serde_json::to_vec(&Done { range })?;
        line.insert(0, b'\n');
        line.push(b'\n');
        self.done.insert(range);
        self.append(&line).with_context(|| format!("write {}", self.journal_path.display()))
    }

    /// Gives the whole, proven file its name; fails when something has that name.
    pub fn publish(self, to: &Path) -> anyhow::Result<()> {
        self.file.sync_all().with_context(|| format!("sync {}", self.path.display()))?;
        let here = rustix::fs::CWD;
        match rustix::fs::renameat_with(here, &self.path, here, to, rustix::fs::RenameFlags::NOREPLACE) {
            Ok(()) => {}
            // A file system without that: a link fails as well when the name is taken.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                std::fs::hard_link(&self.path, to).with_context(|| format!("name it {}", to.display()))?;
                std::fs::remove_file(&self.path)
                    .with_context(|| format!("remove {}", self.path.display()))?;
            }
            Err(e) => return Err(e).with_context(|| format!("name it {}", to.display())),
        }
        durable::sync_dir(to.parent().unwrap_or(Path::new(".")))?;
        durable::remove(&self.journal_path)
    }

    /// Removes both files: what is in them is worth nothing.
    pub fn discard(self) -> anyhow::Result<()> {
        durable::remove(&self.path)?;
        durable::remove(&self.journal_path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(etag: &str) -> Header {
        Header {
            v: 1,
            store: "aws/b".to_owned(),
            key: "k".to_owned(),
            etag: etag.to_owned(),
            bytes: 100,
            range_size: 10,
        }
    }

    #[test]
    fn ranges_are_found_again_for_the_same_object_only() {
        let dir = tempfile::tempdir().unwrap();
        let open = |etag: &str| Partial::open(dir.path(), "x", &header(etag)).unwrap();
        let mut partial = open("e").unwrap();
        partial.note(3).unwrap();
        partial.note(7).unwrap();
        assert!(open("e").is_none(), "held by another");
        drop(partial);
        let partial = open("e").unwrap();
        assert!(partial.has(3) && partial.has(7) && !partial.has(4));
        drop(partial);
        // Another object has the key now.
        assert_eq!(open("other").unwrap().ranges(), 0);
        assert_eq!(open("e").unwrap().ranges(), 0);
    }

    #[test]
    fn publishing_never_replaces() {
        let dir = tempfile::tempdir().unwrap();
        let to = dir.path().join("x");
        std::fs::write(&to, b"mine").unwrap();
        Partial::open(dir.path(), "x", &header("e")).unwrap().unwrap().publish(&to).unwrap_err();
        assert_eq!(std::fs::read(&to).unwrap(), b"mine");
        std::fs::remove_file(&to).unwrap();
        Partial::open(dir.path(), "x", &header("e")).unwrap().unwrap().publish(&to).unwrap();
        let names: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names, ["x"]);
    }
}
