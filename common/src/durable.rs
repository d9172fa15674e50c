//! Files that are whole or not there: temporary name, fsync, rename, fsync of the directory.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;

/// Replaces `path` by `bytes`. A reader sees the old content or the new, and after the return so does the disk.
///
/// The mode is 0644 less the umask's bits, or the old file's mode when there is one.
pub fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let dir = parent(path);
    let write = || -> anyhow::Result<()> {
        let mut file = tempfile::Builder::new().prefix(".orapipe-").tempfile_in(&dir)?;
        let mode = std::fs::metadata(path).map_or(0o644, |m| m.permissions().mode() & 0o7777);
        file.as_file().set_permissions(std::fs::Permissions::from_mode(mode))?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        sync_dir(&dir)
    };
    write().with_context(|| format!("write {}", path.display()))
}

/// Makes the names in a directory durable.
pub fn sync_dir(dir: &Path) -> anyhow::Result<()> {
    match File::open(dir).and_then(|d| d.sync_all()) {
        // SMB on kernels before 5.4: it has no sync of directories, and its server makes names durable by itself.
        Err(e) if e.kind() == std::io::ErrorKind::InvalidInput => Ok(()),
        ended => ended.with_context(|| format!("sync directory {}", dir.display())),
    }
}

/// Removes a file for good; one that is not there is fine.
pub fn remove(path: &Path) -> anyhow::Result<()> {
    match std::fs::remove_file(path) {
        Ok(()) => sync_dir(&parent(path)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(e).with_context(|| format!("remove {}", path.display())),
    }
}

/// Reads a state file; `None` when it does not exist.
pub fn read(path: &Path) -> anyhow::Result<Option<Vec<u8>>> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e).with_context(|| format!("read {}", path.display())),
    }
}

/// Renames a state file that cannot be understood, so that it can be looked at and is not read again.
///
/// Returns the new name, `<name>.corrupt-<UTC time>`.
pub fn set_aside(path: &Path) -> anyhow::Result<PathBuf> {
    let stamp = chrono::Utc::now().format("%Y%m%dT%H%M%S%3fZ");
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".corrupt-{stamp}"));
    let aside = PathBuf::from(name);
    std::fs::rename(path, &aside)
        .with_context(|| format!("set aside {} as {}", path.display(), aside.display()))?;
    sync_dir(&parent(path))?;
    Ok(aside)
}

fn parent(path: &Path) -> PathBuf {
    match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir.to_path_buf(),
        _ => PathBuf::from("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_replaces_and_leaves_no_temporary_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("last_arch_seq_thread1.PROD");
        write(&path, b"41\n").unwrap();
        write(&path, b"42\n").unwrap();
        assert_eq!(read(&path).unwrap().unwrap(), b"42\n");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_failed_write_names_the_file_and_keeps_the_old_one() {
        let error = write(Path::new("/nonexistent/state"), b"x").unwrap_err();
        assert_eq!(error.to_string(), "write /nonexistent/state");
    }

    #[test]
    fn a_corrupt_file_is_set_aside_with_its_content() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        std::fs::write(&path, b"\0\0").unwrap();
        let aside = set_aside(&path).unwrap();
        assert_eq!(std::fs::read(aside).unwrap(), b"\0\0");
        assert_eq!(read(&path).unwrap(), None);
    }
}
