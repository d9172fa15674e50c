//! The directories for copies: that each is another one, and whether it may be an unmounted one.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use common::exit::{Exit, Failure};
use serde::{Deserialize, Serialize};

use crate::copies;
use crate::job::{stopped, Answer, Job, Place};
use crate::mounts;
use crate::run::Session;

/// How long a directory has to say which one it is. One that hangs is given up by its copy, which says so as well.
const PATIENCE: Duration = Duration::from_secs(5);

/// A directory as the kernel knows it, by whatever name it is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    pub dev: u64,
    pub ino: u64,
}

impl Identity {
    pub fn of(dir: &Path) -> anyhow::Result<Self> {
        let meta = std::fs::metadata(dir).with_context(|| format!("look at {}", dir.display()))?;
        Ok(Self { dev: meta.dev(), ino: meta.ino() })
    }
}

/// A directory, and which one it is where it could be asked.
#[derive(Debug, Clone)]
struct Known {
    dir: PathBuf,
    identity: Option<Identity>,
}

impl Known {
    fn is(&self, other: &Self) -> bool {
        self.dir == other.dir || self.identity.is_some_and(|id| other.identity == Some(id))
    }
}

/// Why these directories cannot be meant: two names of one directory would be a copy that is none, and its archives
/// would be counted and removed twice.
fn refusal(here: &Known, copies: &[Known]) -> Option<String> {
    for (n, copy) in copies.iter().enumerate() {
        if copy.is(here) {
            return Some(format!(
                "--copy-to {} is --dir {}: no copy",
                copy.dir.display(),
                here.dir.display()
            ));
        }
        if let Some(other) = copies[..n].iter().find(|c| c.is(copy)) {
            let (one, two) = (other.dir.display(), copy.dir.display());
            return Some(format!("--copy-to {one} and --copy-to {two} are one directory"));
        }
    }
    None
}

impl Session<'_> {
    /// The directories for copies as they were named.
    pub fn places(&self) -> anyhow::Result<Vec<Place>> {
        let here = Identity::of(&self.dir)?;
        let all = self.cli.copy_to.iter().map(|dir| {
            Ok(Place {
                // Not canonicalised: that would touch a directory that may hang.
                dir: std::path::absolute(dir).with_context(|| format!("use {}", dir.display()))?,
                sentinel: self.cli.copy_sentinel.clone(),
                apart_from: self.cli.require_mount.then(|| self.dir.clone()),
                other_than: Some(here),
            })
        });
        all.collect()
    }

    /// Looks at them before anything is done.
    ///
    /// # Errors
    /// [`Exit::Usage`] when two are one. What cannot be asked is no error here: its copy will say so.
    pub fn check_places(&self) -> anyhow::Result<()> {
        let here = Identity::of(&self.dir)?;
        let mut copies = Vec::new();
        for place in self.places()? {
            let limit = self.cli.copy_timeout.min(PATIENCE);
            let job = Job::Identify { dir: place.dir.clone() };
            let identity = match copies::ask(&job, limit, &mut |_| {}, &mut |_| {}) {
                Ok(Answer::Identity(identity)) => Some(identity),
                Ok(_) => anyhow::bail!("the child answered another question"),
                Err(_) => None,
            };
            stopped()?;
            copies.push(Known { dir: place.dir, identity });
        }
        let local = Known { dir: self.dir.clone(), identity: Some(here) };
        if let Some(why) = refusal(&local, &copies) {
            return Err(Failure::new(Exit::Usage, why)
                .hint("name each directory once in --dir (DB_FOLDER) and --copy-to (CLOUD_FOLDER)")
                .into());
        }
        let proof = self.cli.copy_sentinel.is_some() || self.cli.require_mount;
        for Known { dir, identity } in copies {
            let beside = identity.is_some_and(|id| id.dev == here.dev);
            if beside && !proof && !mounts::is_expected(&dir, &self.dir) {
                self.warn(&format!(
                    "{} is on the file system of {}, and nothing says that it is a mount: a network directory that is \
                     not mounted looks like this, and the copy is lost with the original; --require-mount or \
                     --copy-sentinel refuse that, an entry in /etc/fstab does as well",
                    dir.display(),
                    self.dir.display()
                ))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(dir: &Path) -> Known {
        Known { dir: dir.to_owned(), identity: Identity::of(dir).ok() }
    }

    #[test]
    fn two_names_of_one_directory_are_refused() {
        let root = tempfile::tempdir().unwrap();
        let [here, copy, link] = ["here", "copy", "link"].map(|n| root.path().join(n));
        std::fs::create_dir(&here).unwrap();
        std::fs::create_dir(&copy).unwrap();
        std::os::unix::fs::symlink(&here, &link).unwrap();
        assert_eq!(refusal(&known(&here), &[known(&copy)]), None);
        assert!(refusal(&known(&here), &[known(&copy), known(&link)]).unwrap().contains("is --dir"));
        assert!(refusal(&known(&copy), &[known(&here), known(&link)]).unwrap().contains("are one directory"));
        // Those that hang are known by their names only.
        let hangs = |dir: &str| Known { dir: PathBuf::from(dir), identity: None };
        assert!(refusal(&known(&here), &[hangs("/mnt/a"), hangs("/mnt/a/")]).is_some());
        assert!(refusal(&known(&here), &[hangs("/mnt/a"), hangs("/mnt/b")]).is_none());
    }
}
