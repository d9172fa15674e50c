//! The local file: who it is, and whether it is still the same.

use std::fs::{File, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{ensure, Context};
use chrono::{DateTime, Local, Utc};
use serde::{Deserialize, Serialize};

/// What tells a file from another and from itself after a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    pub device: u64,
    pub inode: u64,
    pub bytes: u64,
    /// Nanoseconds since 1970.
    pub modified: i64,
    /// Nanoseconds since 1970.
    pub changed: i64,
}

impl Identity {
    fn of(meta: &Metadata) -> Self {
        let nanoseconds = |s: i64, ns: i64| s.saturating_mul(1_000_000_000).saturating_add(ns);
        Self {
            device: meta.dev(),
            inode: meta.ino(),
            bytes: meta.len(),
            modified: nanoseconds(meta.mtime(), meta.mtime_nsec()),
            changed: nanoseconds(meta.ctime(), meta.ctime_nsec()),
        }
    }

    /// Last change of the content.
    pub fn time(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_nanos(self.modified)
    }

    /// The same on this host's clock.
    pub fn local_time(&self) -> DateTime<Local> {
        self.time().with_timezone(&Local)
    }

    /// What has changed since `before`, for a person; `None` when nothing has.
    ///
    /// The change time counts too: a writer can set the modification time back, but not that one.
    pub fn change_since(&self, before: &Self) -> Option<String> {
        if self == before {
            return None;
        }
        Some(if (self.device, self.inode) != (before.device, before.inode) {
            "another file has taken its name".to_owned()
        } else if self.bytes != before.bytes {
            format!("its size went from {} to {}", before.bytes, self.bytes)
        } else if self.modified != before.modified {
            "it was written to".to_owned()
        } else {
            "its inode was changed (content, owner, mode or links)".to_owned()
        })
    }
}

/// The file is not what it was when it was opened.
#[derive(Debug)]
pub struct Changed(pub String);

impl std::fmt::Display for Changed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the file changed while it was uploaded: {}", self.0)
    }
}

impl std::error::Error for Changed {}

/// An open source file.
#[derive(Debug)]
pub struct Source {
    pub file: File,
    pub identity: Identity,
}

impl Source {
    /// # Errors
    /// It cannot be opened or is no ordinary file.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        // A FIFO would block the open for ever.
        let meta = std::fs::metadata(path).with_context(|| format!("open {}", path.display()))?;
        ensure!(!meta.is_dir(), "{} is a directory; name its files", path.display());
        ensure!(meta.is_file(), "{} is no ordinary file", path.display());
        let file = File::open(path).with_context(|| format!("open {}", path.display()))?;
        Self::of(file).with_context(|| format!("look at {}", path.display()))
    }

    /// A file that is open already.
    pub fn of(file: File) -> anyhow::Result<Self> {
        let identity = Identity::of(&file.metadata()?);
        Ok(Self { file, identity })
    }

    /// Fails when the open file, or the one that has its name now, is not what was opened.
    pub fn unchanged(&self, path: Option<&Path>) -> anyhow::Result<()> {
        let open = Identity::of(&self.file.metadata().context("look at the open file")?);
        let named = match path {
            Some(path) => {
                let meta = std::fs::metadata(path);
                Identity::of(&meta.with_context(|| format!("{} is gone", path.display()))?)
            }
            None => open.clone(),
        };
        match open.change_since(&self.identity).or_else(|| named.change_since(&self.identity)) {
            Some(change) => Err(Changed(change).into()),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn every_change_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.bkp");
        std::fs::write(&path, b"abc").unwrap();
        let source = Source::open(&path).unwrap();
        source.unchanged(Some(&path)).unwrap();
        let seen = |source: &Source| source.unchanged(Some(&path)).unwrap_err().to_string();

        std::fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"d").unwrap();
        assert!(seen(&source).ends_with("its size went from 3 to 4"), "{}", seen(&source));

        // Same size, modification time set back.
        let source = Source::open(&path).unwrap();
        let old = source.identity.time();
        let writer = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(20));
        (&writer).write_all(b"X").unwrap();
        writer.set_modified(old.into()).unwrap();
        assert!(seen(&source).contains("its inode was changed"), "{}", seen(&source));

        let source = Source::open(&path).unwrap();
        std::fs::rename(&path, dir.path().join("y")).unwrap();
        assert!(seen(&source).contains("x.bkp is gone"), "{}", seen(&source));
    }

    #[test]
    fn directories_and_devices_are_no_sources() {
        assert!(Source::open(Path::new("/")).unwrap_err().to_string().contains("name its files"));
        assert!(Source::open(Path::new("/dev/null")).unwrap_err().to_string().contains("no ordinary file"));
    }
}
