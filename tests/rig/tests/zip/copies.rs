//! The network directory is not there, is another one, is full, or gives other bytes back.

use std::io::{Read, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

use anyhow::{ensure, Context, Result};
use rig::disk::SmallDisk;

use crate::stage::{archive, dated, said, Stage};

/// Old archives on both sides and a run whose copy fails: partial, and nothing is gone anywhere.
fn fails(stage: &Stage, copy: &std::path::Path, args: &[&str], why: &str) -> Result<()> {
    let here = stage.archives_of(&stage.archives, &[40, 30, 20])?;
    let dump = stage.dump("RH.DMP", 3 << 20)?;
    let there = if copy.exists() { Stage::names(copy)? } else { Vec::new() };
    let outcome = stage.tool()?.env("CLOUD_FOLDER", copy).args(args).arg(&dump).run()?.expect(1)?;
    ensure!(said(&outcome).contains(why), "{why}:\n{}", said(&outcome));
    ensure!(said(&outcome).contains("no old archive is removed: a copy failed"), "{}", said(&outcome));
    ensure!(outcome.of("removed").is_empty() && here.iter().all(|p| p.exists()), "{}", said(&outcome));
    ensure!(archive(&outcome)?.exists() && outcome.of("file").len() == 1, "{}", said(&outcome));
    if copy.exists() {
        ensure!(Stage::names(copy)? == there, "{:?}", Stage::names(copy)?);
    }
    Ok(())
}

#[test]
fn a_directory_that_is_not_there_is_not_made() -> Result<()> {
    let stage = Stage::new()?;
    let missing = stage.root.path().join("mnt/backup");
    fails(&stage, &missing, &[], "is not there; a directory for copies is never made")?;
    ensure!(!missing.exists());
    Ok(())
}

#[test]
fn a_directory_without_its_sentinel_is_not_mounted() -> Result<()> {
    let stage = Stage::new()?;
    fails(&stage, &stage.copy, &["--copy-sentinel", ".mounted"], ".mounted is not there")?;
    std::fs::write(stage.copy.join(".mounted"), b"")?;
    let dump = stage.dump("RH.DMP", 1 << 20)?;
    let outcome = stage.with_copy()?.args(["--copy-sentinel", ".mounted"]).arg(&dump).run()?.expect(0)?;
    ensure!(stage.copy.join(dated(0)).exists(), "{}", said(&outcome));
    Ok(())
}

#[test]
fn a_directory_on_the_same_file_system_is_not_mounted() -> Result<()> {
    let stage = Stage::new()?;
    fails(&stage, &stage.copy, &["--require-mount"], "it is not mounted")?;
    let disk = SmallDisk::mount(16)?;
    let dump = stage.dump("RH.DMP", 1 << 20)?;
    stage.tool()?.env("CLOUD_FOLDER", disk.path()).arg("--require-mount").arg(&dump).run()?.expect(0)?;
    Ok(())
}

#[test]
fn one_directory_by_two_names_is_refused() -> Result<()> {
    let stage = Stage::new()?;
    let dump = stage.dump("RH.DMP", 1 << 20)?;
    let link = stage.root.path().join("link");
    std::os::unix::fs::symlink(&stage.archives, &link)?;
    let twice = format!("{0},{0}/", stage.copy.display());
    for (copies, why) in [(link.display().to_string(), "no copy"), (twice, "are one directory")] {
        let outcome = stage.tool()?.env("CLOUD_FOLDER", copies).arg(&dump).run()?.expect(64)?;
        ensure!(said(&outcome).contains(why), "{}", said(&outcome));
        ensure!(Stage::names(&stage.archives)?.is_empty() && Stage::names(&stage.copy)?.is_empty());
    }
    Ok(())
}

#[test]
fn a_copy_beside_the_original_is_told_of() -> Result<()> {
    let stage = Stage::new()?;
    let dump = stage.dump("RH.DMP", 1 << 20)?;
    let outcome = stage.with_copy()?.arg(&dump).run()?.expect(0)?;
    ensure!(said(&outcome).contains("nothing says that it is a mount"), "{}", said(&outcome));
    let disk = SmallDisk::mount(16)?;
    let outcome = stage.tool()?.env("CLOUD_FOLDER", disk.path()).arg(&dump).run()?.expect(0)?;
    ensure!(!said(&outcome).contains("nothing says that it is a mount"), "{}", said(&outcome));
    Ok(())
}

#[test]
fn a_full_directory_keeps_what_it_has() -> Result<()> {
    let stage = Stage::new()?;
    let disk = SmallDisk::mount(8)?;
    stage.archives_of(disk.path(), &[50, 40, 30])?;
    disk.fill(600 << 10)?;
    fails(&stage, disk.path(), &[], "bytes free and the archive has")
}

#[test]
fn one_bad_directory_of_two_stops_removal_in_both() -> Result<()> {
    let stage = Stage::new()?;
    stage.archives_of(&stage.copy, &[50, 40, 30])?;
    let dump = stage.dump("RH.DMP", 1 << 20)?;
    let bad = stage.root.path().join("bad");
    let list = format!("{},{}", stage.copy.display(), bad.display());
    let outcome = stage.tool()?.env("CLOUD_FOLDER", list).arg(&dump).run()?.expect(1)?;
    ensure!(outcome.of("file").len() == 2, "{}", said(&outcome));
    ensure!(Stage::names(&stage.copy)?.len() == 4, "{}", said(&outcome));
    Ok(())
}

/// Turns one byte over in the unfinished copy as soon as it is long enough, again and again.
fn liar(dir: PathBuf, stop: Arc<AtomicBool>) -> std::thread::JoinHandle<Result<u32>> {
    std::thread::spawn(move || {
        let mut turned = 0;
        while !stop.load(Ordering::SeqCst) {
            for name in Stage::names(&dir)?.iter().filter(|n| n.ends_with(".tmp")) {
                let Ok(mut file) = std::fs::OpenOptions::new().read(true).write(true).open(dir.join(name))
                else {
                    continue;
                };
                let mut byte = [0];
                if file.seek(SeekFrom::Start(70_000)).is_ok() && file.read_exact(&mut byte).is_ok() {
                    // Always to the same wrong value, whatever is written meanwhile.
                    file.seek(SeekFrom::Start(70_000))?;
                    let wrong = [0xa5];
                    if byte != wrong {
                        file.write_all(&wrong)?;
                        turned += 1;
                    }
                }
            }
        }
        Ok(turned)
    })
}

#[test]
fn a_directory_that_gives_other_bytes_back_is_caught() -> Result<()> {
    let stage = Stage::new()?;
    stage.archives_of(&stage.copy, &[50, 40])?;
    let stop = Arc::new(AtomicBool::new(false));
    let liar = liar(stage.copy.clone(), Arc::clone(&stop));
    // Long enough that the byte is turned while the copy is written or read back.
    let here = stage.archives_of(&stage.archives, &[40, 30, 20])?;
    let dump = stage.dump("RH.DMP", 96 << 20)?;
    let outcome = stage.with_copy()?.arg("--fast").arg(&dump).run()?;
    stop.store(true, Ordering::SeqCst);
    let turned = liar.join().ok().context("the liar died")??;
    ensure!(turned > 0, "no byte was turned");
    let outcome = outcome.expect(1)?;
    ensure!(said(&outcome).contains("gave other bytes back than were written"), "{}", said(&outcome));
    ensure!(Stage::names(&stage.copy)?.len() == 2 && here.iter().all(|p| p.exists()), "{}", said(&outcome));
    Ok(())
}
