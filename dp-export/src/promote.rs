//! Giving proven dumps their names, and removing what is left of failed ones.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::Context;
use common::durable;
use common::oracle::scan::hex;
use sha2::{Digest, Sha256};

/// Makes a file durable and returns its size and SHA-256; `alive` is called as long as it is read.
pub fn settle(path: &Path, alive: &dyn Fn()) -> anyhow::Result<(u64, String)> {
    let mut file = File::open(path).with_context(|| format!("open {}", path.display()))?;
    // The server may have written it over a mount: what we hash must be what is on the disk.
    file.sync_all().with_context(|| format!("sync {}", path.display()))?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    let mut bytes = 0;
    loop {
        let n = file.read(&mut buffer).with_context(|| format!("read {}", path.display()))?;
        if n == 0 {
            return Ok((bytes, hex(&hash.finalize())));
        }
        hash.update(&buffer[..n]);
        bytes += n as u64;
        // A dump that takes half an hour to read must not look like a run that is stuck.
        alive();
    }
}

/// Renames each file; one that has its name already, from a run that was killed, is fine.
///
/// # Errors
/// A file is under neither name, or the directory cannot be changed.
pub fn rename(renames: &[(PathBuf, PathBuf)]) -> anyhow::Result<()> {
    for (from, to) in renames {
        match std::fs::rename(from, to) {
            Ok(()) => {}
            Err(e) if e.kind() == std::io::ErrorKind::NotFound && to.exists() => {}
            Err(e) => {
                return Err(e).with_context(|| format!("rename {} to {}", from.display(), to.display()))
            }
        }
    }
    if let Some(dir) = renames.first().and_then(|(_, to)| to.parent()) {
        durable::sync_dir(dir)?;
    }
    Ok(())
}

/// The files of one export under the names of the server: `<stem>.dmp`, `<stem>_01.dmp`, `<stem>.log`.
pub fn files_of(dir: &Path, stem: &str) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).with_context(|| format!("read {}", dir.display()))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let rest = name.strip_prefix(stem);
        if rest.is_some_and(|r| r.starts_with(['.', '_'])) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Removes the dumps of an export that failed; its log stays for the caller to name.
pub fn discard(dir: &Path, stem: &str) -> anyhow::Result<()> {
    for path in files_of(dir, stem)? {
        if path.extension().is_some_and(|e| e == "dmp") {
            durable::remove(&path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rename_that_was_done_already_is_done() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::write(at("a.dmp"), "new").unwrap();
        std::fs::write(at("A.DMP"), "old").unwrap();
        std::fs::write(at("B.DMP"), "done").unwrap();
        let renames = [(at("a.dmp"), at("A.DMP")), (at("b.dmp"), at("B.DMP"))];
        rename(&renames).unwrap();
        rename(&renames).unwrap();
        assert_eq!(std::fs::read(at("A.DMP")).unwrap(), b"new");
        assert!(rename(&[(at("c.dmp"), at("C.DMP"))]).is_err());
    }

    #[test]
    fn only_the_files_of_this_export_are_discarded() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["orapipe_7.dmp", "orapipe_7_01.dmp", "orapipe_7.log", "orapipe_77.dmp", "GOLD.DMP"] {
            std::fs::write(dir.path().join(name), "x").unwrap();
        }
        discard(dir.path(), "orapipe_7").unwrap();
        let mut left: Vec<_> = std::fs::read_dir(dir.path())
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(left, ["GOLD.DMP", "orapipe_7.log", "orapipe_77.dmp"]);
    }
}
