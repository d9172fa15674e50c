//! Deleting the sources, when everything of the run is proven.

use std::path::{Path, PathBuf};

use common::durable;
use common::record::Removed;
use regex::Regex;

use super::job::{Outcome, Session};
use super::source::{Identity, Source};

/// Deletes the local files of a run whose proof is complete; gives how many, and what could not be deleted.
pub fn delete(session: &Session, outcomes: &[Outcome]) -> anyhow::Result<(u64, Vec<String>)> {
    let (mut deleted, mut problems) = (0, Vec::new());
    let mut directories: Vec<PathBuf> = Vec::new();
    for outcome in outcomes {
        // Logs have a retention of their own.
        let (Some(identity), Ok(stored)) = (&outcome.identity, &outcome.result) else { continue };
        if outcome.role.as_deref() == Some("log") {
            continue;
        }
        let path = &outcome.path;
        match delete_one(path, identity) {
            Ok(()) => {
                deleted += 1;
                session.recorder.emit(&Removed {
                    reason: format!("stored and verified as s3://{}/{}", session.store.bucket(), stored.key),
                    path: Some(path.to_string_lossy().into_owned()),
                    bytes: Some(identity.bytes),
                    ..Removed::default()
                })?;
                directories.extend(path.parent().map(Path::to_owned));
            }
            Err(error) => problems.push(format!("{error:#}")),
        }
    }
    directories.sort();
    directories.dedup();
    for directory in directories.iter().filter(|d| is_run_directory(d)) {
        // One that still holds something stays.
        if std::fs::remove_dir(directory).is_ok() {
            session.log.info(&format!("removed the empty run directory {}", directory.display()));
        }
    }
    Ok((deleted, problems))
}

/// Deletes a file if it is still the one that was stored.
pub fn delete_one(path: &Path, stored: &Identity) -> anyhow::Result<()> {
    let now = Source::open(path)?.identity;
    if let Some(change) = now.change_since(stored) {
        anyhow::bail!("{} is not deleted: it is not the file that was stored ({change})", path.display());
    }
    durable::remove(path)
}

/// `<output-dir>/YYYYMMDD_HHMMSS_run`, as rman-run and the original make it.
fn is_run_directory(path: &Path) -> bool {
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    Regex::new(r"^\d{8}_\d{6}_run$").is_ok_and(|form| form.is_match(&name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_run_directories_are_removed() {
        assert!(is_run_directory(Path::new("/b/20261120_200001_run")));
        for other in ["/b", "/b/20261120_run", "/b/x20261120_200001_run", "/"] {
            assert!(!is_run_directory(Path::new(other)), "{other}");
        }
    }

    #[test]
    fn a_file_that_was_written_to_since_is_not_deleted() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        std::fs::write(&path, b"1").unwrap();
        let stored = Source::open(&path).unwrap().identity;
        std::fs::write(&path, b"22").unwrap();
        assert!(delete_one(&path, &stored).unwrap_err().to_string().contains("its size went from 1 to 2"));
        assert!(path.exists());
        let stored = Source::open(&path).unwrap().identity;
        delete_one(&path, &stored).unwrap();
        assert!(!path.exists());
    }
}
