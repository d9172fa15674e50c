//! A directory for copies that hangs in the kernel, as a hard mount does whose server is gone: a frozen file system.
//! A process that writes to it is in state D and cannot be killed.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{ensure, Result};

use crate::stage::{other, said, Stage};

/// An ext4 in a file, mounted, that can be frozen.
struct Disk {
    mount: PathBuf,
    frozen: bool,
}

impl Disk {
    fn new(dir: &Path) -> Result<Self> {
        let image = dir.join("disk.img");
        File::create(&image)?.set_len(64 << 20)?;
        let image = image.to_string_lossy().into_owned();
        other("mkfs.ext4", &["-q", "-F", &image], dir)?;
        let mount = dir.join("mnt");
        std::fs::create_dir(&mount)?;
        other("mount", &["-o", "loop", &image, &mount.to_string_lossy()], dir)?;
        Ok(Self { mount, frozen: false })
    }

    fn freeze(&mut self, on: bool) -> Result<()> {
        if self.frozen != on {
            other(
                "fsfreeze",
                &[if on { "-f" } else { "-u" }, &self.mount.to_string_lossy()],
                Path::new("/"),
            )?;
            self.frozen = on;
        }
        Ok(())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _thawed = self.freeze(false);
        let end = Instant::now() + Duration::from_secs(5);
        // What hung there needs a moment to die.
        while other("umount", &[&self.mount.to_string_lossy()], Path::new("/")).is_err()
            && Instant::now() < end
        {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

#[test]
fn a_directory_that_hangs_in_the_kernel_does_not_hang_the_run() -> Result<()> {
    let stage = Stage::new()?;
    let mut disk = Disk::new(stage.root.path())?;
    let here = stage.archives_of(&stage.archives, &[40, 30, 20])?;
    let there = stage.archives_of(&disk.mount, &[40, 30, 20])?;
    let dump = stage.dump("RH.DMP", 1 << 20)?;
    disk.freeze(true)?;
    let tool = stage.tool()?.env("CLOUD_FOLDER", &disk.mount).args(["--copy-timeout", "2s"]).arg(&dump);
    let begin = Instant::now();
    let outcome = tool.limit(Duration::from_secs(60)).run()?.expect(1)?;
    ensure!(begin.elapsed() < Duration::from_secs(40), "it took {:?}", begin.elapsed());
    let words = said(&outcome);
    ensure!(words.contains("has not answered for 2s: it hangs"), "{words}");
    ensure!(words.contains("no old archive is removed: a copy failed"), "{words}");
    ensure!(here.iter().all(|p| p.exists()) && outcome.of("removed").is_empty(), "{words}");
    disk.freeze(false)?;
    // The child had a KILL waiting for it: it finishes nothing now.
    let end = Instant::now() + Duration::from_secs(5);
    while hangs()? && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(20));
    }
    ensure!(there.iter().all(|p| p.exists()));
    ensure!(Stage::names(&disk.mount)?.iter().filter(|n| n.ends_with(".zip")).count() == 3);
    let outcome = stage.tool()?.env("CLOUD_FOLDER", &disk.mount).arg(&dump).run()?.expect(0)?;
    ensure!(outcome.of("removed").len() == 4, "{}", said(&outcome));
    ensure!(Stage::names(&disk.mount)?.iter().all(|n| !n.ends_with(".tmp")));
    Ok(())
}

/// Whether a child that works in directories for copies is still there.
fn hangs() -> Result<bool> {
    let mut found = false;
    for entry in std::fs::read_dir("/proc")?.filter_map(Result::ok) {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        found |= String::from_utf8_lossy(&line).contains("--work-in-a-directory-for-copies");
    }
    Ok(found)
}
