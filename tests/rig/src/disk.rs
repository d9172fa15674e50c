//! A disk that can be filled and made read-only: a small tmpfs. Needs root (sshd of another user sees no private mount).

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{ensure, Context};

const PREFIX: &str = "orapipe-disk-";

/// A mounted file system of its own; unmounted when dropped.
#[derive(Debug)]
pub struct SmallDisk {
    path: PathBuf,
}

impl SmallDisk {
    /// # Errors
    /// Not root, or mounting is forbidden here: the story that needs a full disk fails and says so.
    pub fn mount(mib: u32) -> anyhow::Result<Self> {
        sweep();
        let dir = tempfile::Builder::new().prefix(&format!("{PREFIX}{}-", std::process::id())).tempdir()?;
        let path = dir.keep();
        let disk = Self { path };
        let size = format!("size={mib}m,mode=0755");
        run("mount", &["-t", "tmpfs", "-o", &size, "orapipe-disk", text(&disk.path)?])
            .context("mount a small file system (needs root and CAP_SYS_ADMIN)")?;
        Ok(disk)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes that can still be written.
    pub fn free(&self) -> anyhow::Result<u64> {
        let stat = rustix::fs::statvfs(&self.path)?;
        Ok(stat.f_bavail * stat.f_frsize)
    }

    /// Writes a file `ballast` until only about `leave` bytes are free.
    pub fn fill(&self, leave: u64) -> anyhow::Result<()> {
        let mut file = File::create(self.path.join("ballast"))?;
        let mut left = self.free()?.saturating_sub(leave);
        let block = vec![1_u8; 64 * 1024];
        while left > 0 {
            let n = left.min(block.len() as u64);
            match file.write_all(&block[..usize::try_from(n)?]) {
                // Whoever writes there at the same time has taken what was to be left.
                Err(e) if e.kind() == std::io::ErrorKind::StorageFull => break,
                result => result?,
            }
            left -= n;
        }
        Ok(())
    }

    /// Removes the ballast.
    pub fn empty(&self) -> anyhow::Result<()> {
        Ok(std::fs::remove_file(self.path.join("ballast"))?)
    }

    /// As a kernel does after an I/O error. A file that is open for writing forbids it.
    pub fn read_only(&self, on: bool) -> anyhow::Result<()> {
        run("mount", &["-o", if on { "remount,ro" } else { "remount,rw" }, text(&self.path)?])
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        if let Ok(path) = text(&self.path) {
            let _gone = run("umount", &["-l", path]);
        }
        let _gone = std::fs::remove_dir(&self.path);
    }
}

/// Unmounts what tests left that were killed.
fn sweep() {
    let Ok(mounts) = std::fs::read_to_string("/proc/mounts") else { return };
    for path in mounts.lines().filter_map(|l| l.split(' ').nth(1)) {
        let name = Path::new(path).file_name().and_then(|n| n.to_str()).unwrap_or_default();
        let pid = name.strip_prefix(PREFIX).and_then(|n| n.split('-').next());
        if pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            let _gone = run("umount", &["-l", path]);
            let _gone = std::fs::remove_dir(path);
        }
    }
}

fn text(path: &Path) -> anyhow::Result<&str> {
    path.to_str().context("a path that is not UTF-8")
}

fn run(program: &str, args: &[&str]) -> anyhow::Result<()> {
    let out = Command::new(program).args(args).output().with_context(|| format!("start {program}"))?;
    ensure!(out.status.success(), "{program}: {}", String::from_utf8_lossy(&out.stderr).trim());
    Ok(())
}
