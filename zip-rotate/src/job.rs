//! What is done in a directory of archives: here for the local one, in a child for each copy.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{ensure, Context};
use common::exit::{Exit, Failure};
use common::{durable, signals};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::archive::Heir;
use crate::facts::{self, Question, Survey};
use crate::pack::hex;
use crate::places::Identity;
use crate::readback;
use crate::store::Mark;

/// A copy is synced each time so many bytes were written.
const SYNC_EVERY: u64 = 128 << 20;

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Job {
    Identify { dir: PathBuf },
    Survey { place: Place, question: Question },
    Copy(Copy),
    Remove { place: Place, victims: Vec<Victim> },
}

/// A directory that must be the one that is meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    pub dir: PathBuf,
    /// A file that must be in it.
    pub sentinel: Option<PathBuf>,
    /// A directory that must be on another file system.
    pub apart_from: Option<PathBuf>,
    /// A directory that it must not be, by whatever name.
    pub other_than: Option<Identity>,
}

/// An archive to copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copy {
    pub place: Place,
    pub source: PathBuf,
    pub name: String,
    pub bytes: u64,
    pub sha256: String,
    pub heir: Heir,
    /// Beginning of the names of our unfinished copies, and the rest for this one.
    pub temporary: (String, String),
}

/// A file to remove, as it was when that was decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Victim {
    pub name: String,
    pub bytes: u64,
    pub mtime: (i64, i64),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    Identity(Identity),
    Survey(Survey),
    /// The copy is proven and has its name.
    Copied(Mark),
    /// All are gone.
    Removed,
}

/// Does it; `tick` is called while there is progress, and may stop it. `gone` is called with the name of each file as
/// soon as it is removed, so that it is known whatever becomes of the rest.
pub fn perform(
    job: &Job,
    tick: &mut dyn FnMut(u64) -> anyhow::Result<()>,
    gone: &mut dyn FnMut(&str) -> anyhow::Result<()>,
) -> anyhow::Result<Answer> {
    match job {
        Job::Identify { dir } => Identity::of(dir).map(Answer::Identity),
        Job::Survey { place, question } => {
            check(place)?;
            facts::survey(&place.dir, question, tick).map(Answer::Survey)
        }
        Job::Copy(copy) => {
            check(&copy.place)?;
            copy_it(copy, tick).map(Answer::Copied)
        }
        Job::Remove { place, victims } => {
            check(place)?;
            remove(&place.dir, victims, tick, gone).map(|()| Answer::Removed)
        }
    }
}

/// Ends the work when a signal has asked for it.
pub fn stopped() -> anyhow::Result<()> {
    match signals::pending() {
        None => Ok(()),
        Some(signals::Stop::Interrupt) => Err(Failure::new(Exit::Interrupted, "stopped by a signal").into()),
        Some(signals::Stop::Terminate) => Err(Failure::new(Exit::Terminated, "stopped by a signal").into()),
    }
}

fn check(place: &Place) -> anyhow::Result<()> {
    let dir = &place.dir;
    let meta = std::fs::metadata(dir).with_context(|| {
        format!(
            "{} is not there; a directory for copies is never made: it may be a mount that is missing",
            dir.display()
        )
    })?;
    ensure!(meta.is_dir(), "{} is no directory", dir.display());
    ensure!(
        place.other_than != Some(Identity { dev: meta.dev(), ino: meta.ino() }),
        "{} is the directory of the archives itself",
        dir.display()
    );
    if let Some(sentinel) = &place.sentinel {
        let path = dir.join(sentinel);
        ensure!(
            path.exists(),
            "{} is not there: {} is not mounted, or not the one",
            path.display(),
            dir.display()
        );
    }
    if let Some(other) = &place.apart_from {
        let there = std::fs::metadata(other).with_context(|| format!("look at {}", other.display()))?;
        ensure!(
            there.dev() != meta.dev(),
            "{} is on the file system of {}: it is not mounted",
            dir.display(),
            other.display()
        );
    }
    Ok(())
}

/// Removes what dead runs of ours have left: names that begin with `prefix`.
pub fn sweep(dir: &Path, prefix: &str) -> anyhow::Result<Vec<PathBuf>> {
    let mut gone = Vec::new();
    for entry in std::fs::read_dir(dir).with_context(|| format!("list {}", dir.display()))? {
        let entry = entry.with_context(|| format!("list {}", dir.display()))?;
        if entry.file_name().to_str().is_some_and(|n| n.starts_with(prefix)) {
            durable::remove(&entry.path())?;
            gone.push(entry.path());
        }
    }
    Ok(gone)
}

/// Bytes that can be written below `dir`.
pub fn free(dir: &Path) -> anyhow::Result<u64> {
    let stat =
        rustix::fs::statvfs(dir).with_context(|| format!("ask for the free space of {}", dir.display()))?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

fn copy_it(copy: &Copy, tick: &mut dyn FnMut(u64) -> anyhow::Result<()>) -> anyhow::Result<Mark> {
    let dir = &copy.place.dir;
    let target = dir.join(&copy.name);
    sweep(dir, &copy.temporary.0)?;
    if std::fs::symlink_metadata(&target).is_ok() {
        ensure!(
            copy.heir.may_replace(&target),
            "{} is there and holds what the new one has not, or is not ours: it is not overwritten",
            target.display()
        );
    }
    let free = free(dir)?;
    ensure!(
        free >= copy.bytes + (1 << 20),
        "{} has {free} bytes free and the archive has {}",
        dir.display(),
        copy.bytes
    );
    let temporary = dir.join(format!("{}{}", copy.temporary.0, copy.temporary.1));
    let written = write_copy(copy, &temporary, tick).and_then(|()| {
        std::fs::rename(&temporary, &target).with_context(|| format!("rename to {}", target.display()))?;
        durable::sync_dir(dir)
    });
    if let Err(error) = written {
        let _left = std::fs::remove_file(&temporary);
        return Err(error);
    }
    let meta = std::fs::metadata(&target).with_context(|| format!("look at {}", target.display()))?;
    Ok(Mark::new(&meta, &copy.sha256))
}

fn write_copy(
    copy: &Copy,
    temporary: &Path,
    tick: &mut dyn FnMut(u64) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut from = File::open(&copy.source).with_context(|| format!("open {}", copy.source.display()))?;
    let mut to = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o640)
        .open(temporary)
        .with_context(|| format!("make {}", temporary.display()))?;
    let (mut buffer, mut hash) = (vec![0; 1 << 20], Sha256::new());
    let (mut bytes, mut synced) = (0_u64, 0_u64);
    loop {
        let n = from.read(&mut buffer).with_context(|| format!("read {}", copy.source.display()))?;
        if n == 0 {
            break;
        }
        hash.update(&buffer[..n]);
        to.write_all(&buffer[..n]).with_context(|| format!("write {}", temporary.display()))?;
        bytes += n as u64;
        if bytes - synced >= SYNC_EVERY {
            // Else the one sync at the end could take longer than a child may be silent.
            to.sync_data().with_context(|| format!("sync {}", temporary.display()))?;
            synced = bytes;
        }
        tick(bytes)?;
    }
    ensure!(
        bytes == copy.bytes && hex(&hash.finalize()) == copy.sha256,
        "{} is not what was proven a moment ago",
        copy.source.display()
    );
    to.sync_all().with_context(|| format!("sync {}", temporary.display()))?;
    readback::forget(&to);
    drop(to);
    tick(bytes)?;
    let (found, length) = readback::hash(temporary, tick)?;
    ensure!(
        length == copy.bytes && found == copy.sha256,
        "{} gave other bytes back than were written ({length} bytes, SHA-256 {found}, instead of {} bytes, {}): \
         the disk, the network or somebody else has changed them",
        copy.place.dir.display(),
        copy.bytes,
        copy.sha256
    );
    Ok(())
}

fn remove(
    dir: &Path,
    victims: &[Victim],
    tick: &mut dyn FnMut(u64) -> anyhow::Result<()>,
    gone: &mut dyn FnMut(&str) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    for victim in victims {
        tick(0)?;
        let path = dir.join(&victim.name);
        let meta = std::fs::symlink_metadata(&path).with_context(|| format!("look at {}", path.display()))?;
        let now = (meta.len(), (meta.mtime(), meta.mtime_nsec()));
        ensure!(now == (victim.bytes, victim.mtime), "{} has changed since it was looked at", path.display());
        durable::remove(&path)?;
        gone(&victim.name)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_file_is_told_of_when_it_is_gone_and_not_at_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let victim = |name: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, b"PK").unwrap();
            let meta = std::fs::metadata(&path).unwrap();
            Victim { name: name.to_owned(), bytes: meta.len(), mtime: (meta.mtime(), meta.mtime_nsec()) }
        };
        let mut victims = vec![victim("a.zip"), victim("b.zip"), victim("c.zip")];
        victims[1].bytes = 3;
        let place = Place { dir: dir.path().to_owned(), sentinel: None, apart_from: None, other_than: None };
        let mut told = Vec::new();
        let ended = perform(&Job::Remove { place, victims }, &mut |_| Ok(()), &mut |name| {
            told.push((name.to_owned(), dir.path().join(name).exists()));
            Ok(())
        });
        assert!(format!("{:#}", ended.unwrap_err()).contains("b.zip has changed"));
        assert_eq!(told, [("a.zip".to_owned(), false)]);
        assert!(dir.path().join("b.zip").exists() && dir.path().join("c.zip").exists());
    }

    #[test]
    fn the_directory_of_the_archives_is_no_place_for_copies() {
        let dir = tempfile::tempdir().unwrap();
        let mut place =
            Place { dir: dir.path().to_owned(), sentinel: None, apart_from: None, other_than: None };
        assert!(check(&place).is_ok());
        place.other_than = Some(Identity::of(dir.path()).unwrap());
        assert!(check(&place).is_err());
    }
}
