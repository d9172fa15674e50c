//! The local disk is full: what was there stays.

use anyhow::{ensure, Result};
use rig::disk::SmallDisk;

use crate::stage::{dated, said, Stage};

#[test]
fn a_disk_that_is_too_small_is_refused_and_one_that_fills_up_keeps_its_archives() -> Result<()> {
    let stage = Stage::new()?;
    let disk = SmallDisk::mount(24)?;
    stage.archives_of(disk.path(), &[30, 20, 1])?;
    let before = Stage::names(disk.path())?;
    let tool = |args: &[&str]| -> Result<_> { Ok(stage.tool()?.env("DB_FOLDER", disk.path()).args(args)) };
    let large = stage.dump("GRANDE.DMP", 60 << 20)?;
    let outcome = tool(&[])?.arg(&large).run()?.expect(4)?;
    ensure!(said(&outcome).contains("MiB free, and the archive of 60 MiB"), "{}", said(&outcome));
    ensure!(Stage::names(disk.path())? == before, "{}", said(&outcome));

    // What does not compress is larger than was to be expected.
    let noise = stage.dumps.join("RUIDO.DMP");
    let mut state = 1_u64;
    let bytes: Vec<u8> = (0..(30_u32 << 20))
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        })
        .collect();
    std::fs::write(&noise, bytes)?;
    let outcome = tool(&["--keep-days", "3"])?.arg(&noise).run()?.expect(2)?;
    ensure!(said(&outcome).contains("is full: no archive was made"), "{}", said(&outcome));
    ensure!(Stage::names(disk.path())? == before, "{:?}", Stage::names(disk.path())?);
    ensure!(outcome.of("removed").is_empty());

    let small = stage.dump("RH.DMP", 1 << 20)?;
    tool(&["--keep-days", "3"])?.arg(&small).run()?.expect(0)?;
    let mut want = vec![dated(0), dated(1)];
    want.sort();
    ensure!(Stage::names(disk.path())? == want, "{:?}", Stage::names(disk.path())?);
    Ok(())
}
