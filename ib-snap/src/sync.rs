//! What was written, on its disk.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

/// What became of a file system.
#[derive(Debug)]
pub enum Synced {
    Done,
    /// A disk group, or a directory of another host; what opening it said.
    NotHere(io::Error),
}

/// Has `syncfs` write the file system of `dir` to its disks.
///
/// # Errors
/// What was written is not surely there: EIO, ENOSPC.
pub fn sync(
    dir: &Path,
    syncfs: impl FnOnce(BorrowedFd<'_>) -> Result<(), rustix::io::Errno>,
) -> io::Result<Synced> {
    match File::open(dir) {
        Ok(dir) => syncfs(dir.as_fd()).map(|()| Synced::Done).map_err(io::Error::from),
        Err(e) => Ok(Synced::NotHere(e)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::io::Errno;

    #[test]
    fn only_what_is_not_here_need_not_be_synced() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(sync(dir.path(), |dir| rustix::fs::syncfs(dir)), Ok(Synced::Done)));
        for errno in [Errno::IO, Errno::NOSPC] {
            let error = sync(dir.path(), |_| Err(errno)).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(errno.raw_os_error()));
        }
        let absent = dir.path().join("+ARCH");
        assert!(matches!(sync(&absent, |_| Err(Errno::IO)), Ok(Synced::NotHere(_))));
    }
}
