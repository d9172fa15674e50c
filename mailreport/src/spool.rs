//! The spool: one file per mail, whole and synced before the first attempt, gone when the server has taken it.
//!
//! A file is one line of JSON, then the mail as it is sent. Files are named by a number that counts up, so that their
//! order does not depend on the clock.

use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use chrono::{DateTime, Utc};
use common::durable;
use serde::{Deserialize, Serialize};

const SUFFIX: &str = ".mail";

/// What is known of a mail that waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    pub v: u64,
    /// Envelope sender.
    pub from: String,
    /// Recipients for whom no server has taken it yet.
    pub to: Vec<String>,
    /// All recipients, as in its header.
    pub all: Vec<String>,
    pub subject: String,
    pub message_id: String,
    pub made: DateTime<Utc>,
    #[serde(default)]
    pub attempts: u32,
    /// Attempts after which nobody knows whether the server has taken it.
    #[serde(default)]
    pub doubtful: u32,
    /// Set before the last dot is sent and taken back when the answer is there.
    #[serde(default)]
    pub in_flight: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}

/// A mail in the spool.
#[derive(Debug, Clone)]
pub struct Waiting {
    pub path: PathBuf,
    pub meta: Meta,
    pub message: Vec<u8>,
}

/// The directory.
#[derive(Debug, Clone)]
pub struct Spool {
    dir: PathBuf,
}

impl Spool {
    /// Opens the directory; makes it, for its owner only, when it is not there.
    pub fn open(dir: &Path) -> anyhow::Result<Self> {
        let make = |dir: &Path| {
            std::fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(dir)
                .with_context(|| format!("make spool {}", dir.display()))
        };
        make(dir)?;
        make(&dir.join("failed"))?;
        Ok(Self { dir: dir.to_owned() })
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Puts a mail in, durably.
    pub fn put(&self, meta: &Meta, message: &[u8]) -> anyhow::Result<PathBuf> {
        let stamp = Utc::now().format("%Y%m%dT%H%M%S%3fZ");
        let next = |names: &[String]| {
            let last = names.iter().rev().find_map(|n| n.split('-').next()?.parse::<u64>().ok());
            last.map_or(1, |n| n.saturating_add(1))
        };
        let number = next(&self.names()?);
        let name = format!("{number:08}-{stamp}-{}{SUFFIX}", std::process::id());
        let path = self.dir.join(name);
        store(&path, meta, message)?;
        Ok(path)
    }

    /// The mails that wait, oldest first.
    pub fn names(&self) -> anyhow::Result<Vec<String>> {
        list(&self.dir)
    }

    /// How many mails a server has refused for good.
    pub fn failed(&self) -> anyhow::Result<usize> {
        Ok(list(&self.dir.join("failed"))?.len())
    }

    /// Whether nothing waits and nothing was refused.
    pub fn is_done(&self) -> anyhow::Result<bool> {
        Ok(self.names()?.is_empty() && self.failed()? == 0)
    }

    /// Reads a mail; `None` when another run has taken it away meanwhile.
    ///
    /// # Errors
    /// The file is none of ours, or damaged; see [`Spool::set_aside`].
    pub fn read(&self, name: &str) -> anyhow::Result<Option<Waiting>> {
        let path = self.dir.join(name);
        let Some(bytes) = durable::read(&path)? else { return Ok(None) };
        let parse = || {
            let at = bytes.iter().position(|b| *b == b'\n').context("it has no first line")?;
            let meta: Meta =
                serde_json::from_slice(&bytes[..at]).context("its first line is not understood")?;
            anyhow::ensure!(!meta.to.is_empty(), "it has no recipient");
            anyhow::ensure!(bytes.len() > at + 1, "it has no content");
            Ok((meta, bytes[at + 1..].to_vec()))
        };
        let (meta, message) = parse().with_context(|| format!("mail {} in the spool", path.display()))?;
        Ok(Some(Waiting { path, meta, message }))
    }

    /// Puts a file that cannot be understood out of the way.
    pub fn set_aside(&self, name: &str) -> anyhow::Result<PathBuf> {
        durable::set_aside(&self.dir.join(name))
    }

    /// Keeps a mail for the recipients that were refused for good, with the reason.
    pub fn fail(&self, mail: &Waiting, to: Vec<String>, reason: &str) -> anyhow::Result<PathBuf> {
        let name = mail.path.file_name().context("a mail without a name")?;
        let path = self.dir.join("failed").join(name);
        let meta = Meta { to, in_flight: false, last_error: Some(reason.to_owned()), ..mail.meta.clone() };
        store(&path, &meta, &mail.message)?;
        Ok(path)
    }
}

fn list(dir: &Path) -> anyhow::Result<Vec<String>> {
    let entries = std::fs::read_dir(dir).with_context(|| format!("list spool {}", dir.display()))?;
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.with_context(|| format!("list spool {}", dir.display()))?.file_name();
        if let Ok(name) = name.into_string() {
            if name.ends_with(SUFFIX) && !name.starts_with('.') {
                names.push(name);
            }
        }
    }
    names.sort();
    Ok(names)
}

/// Writes a mail in one piece, for its owner only: the lines of a log are nobody else's business.
pub fn store(path: &Path, meta: &Meta, message: &[u8]) -> anyhow::Result<()> {
    let dir = path.parent().context("a mail without a directory")?;
    let write = || -> anyhow::Result<()> {
        let mut file = tempfile::Builder::new().prefix(".orapipe-").tempfile_in(dir)?;
        let mut line = serde_json::to_vec(meta)?;
        line.push(b'\n');
        file.write_all(&line)?;
        file.write_all(message)?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        durable::sync_dir(dir)
    };
    write().with_context(|| format!("write mail {}", path.display()))
}

#[cfg(test)]
pub mod tests {
    use super::*;

    pub fn meta(n: usize) -> Meta {
        Meta {
            v: 1,
            from: "a@b.c".to_owned(),
            to: vec!["d@e.f".to_owned()],
            all: vec!["d@e.f".to_owned()],
            subject: format!("mail {n}"),
            message_id: format!("<{n}@b.c>"),
            made: Utc::now(),
            attempts: 0,
            doubtful: 0,
            in_flight: false,
            last_error: None,
        }
    }

    #[test]
    fn mails_come_out_in_the_order_in_which_they_went_in() {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::open(&dir.path().join("spool")).unwrap();
        for n in 0..12 {
            spool.put(&meta(n), b"Subject: x\r\n\r\ny\r\n").unwrap();
        }
        let subjects: Vec<_> = spool
            .names()
            .unwrap()
            .iter()
            .map(|name| spool.read(name).unwrap().unwrap().meta.subject)
            .collect();
        assert_eq!(subjects, (0..12).map(|n| format!("mail {n}")).collect::<Vec<_>>());
        use std::os::unix::fs::PermissionsExt;
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(spool.dir()), 0o700);
        assert_eq!(mode(&spool.dir().join(&spool.names().unwrap()[0])), 0o600);
    }

    #[test]
    fn a_damaged_file_is_an_error_with_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::open(dir.path()).unwrap();
        std::fs::write(dir.path().join("00000001-x.mail"), b"garbage").unwrap();
        let error = format!("{:#}", spool.read("00000001-x.mail").unwrap_err());
        assert!(error.contains("00000001-x.mail in the spool: it has no first line"), "{error}");
        spool.set_aside("00000001-x.mail").unwrap();
        assert!(spool.names().unwrap().is_empty());
    }
}
