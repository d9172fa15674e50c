//! A disk at the standby that is full or cannot be written: one tablespace fails, the others are copied.

use std::time::Duration;

use anyhow::{ensure, Result};
use rig::disk::SmallDisk;
use rig::tool::{Outcome, Tool};

use crate::stage::{reason, said, small, with_status, Stage};

/// USERS is on a mount point of its own at the primary, and its copies go to `disk`.
fn stage() -> Result<Stage> {
    Stage::shaped(small(), true, |layout| {
        let mut all = crate::stage::tablespaces(layout, &["Vendas", "USERS"], 1 << 20);
        for (n, tablespace) in all.iter_mut().enumerate() {
            let mount = layout.primary_mount(usize::from(n == 4));
            for file in &mut tablespace.files {
                file.path = mount.join(file.path.file_name().unwrap_or_default());
            }
        }
        all
    })
}

fn tool(stage: &Stage, disk: &SmallDisk) -> Result<Tool> {
    let layout = stage.layout();
    let map = format!(
        "{}={},{}={}",
        layout.primary_mount(0).display(),
        layout.standby_mount(0).display(),
        layout.primary_mount(1).display(),
        disk.path().join("data").display()
    );
    Ok(stage.hot()?.env("PATH_MAP", map))
}

fn only_users_failed(outcome: &Outcome) -> Result<()> {
    ensure!(with_status(outcome, "failed") == ["USERS"], "{}", said(outcome));
    ensure!(
        with_status(outcome, "copied") == ["Vendas", "SYSAUX", "SYSTEM", "UNDOTBS1"],
        "{}",
        said(outcome)
    );
    Ok(())
}

#[test]
fn a_disk_that_fills_up_fails_its_tablespace_only() -> Result<()> {
    let stage = stage()?;
    let disk = SmallDisk::mount(8)?;
    // Too small from the beginning: refused before anything is in backup mode.
    disk.fill(1 << 20)?;
    let outcome = tool(&stage, &disk)?.run()?.expect(4)?;
    ensure!(said(&outcome).contains(&disk.path().display().to_string()), "{}", said(&outcome));
    ensure!(with_status(&outcome, "copied").is_empty(), "{}", said(&outcome));
    ensure!(stage.world.primary.journal()?.iter().flat_map(|c| &c.statements).all(|s| s.backup.is_empty()));
    disk.empty()?;

    let mut run = tool(&stage, &disk)?.args(["--bwlimit", "1m", "--workers", "2"]).start()?;
    run.until(Duration::from_secs(60), "USERS under way", |_| {
        Ok(std::fs::read_dir(disk.path().join("data"))
            .is_ok_and(|d| d.flatten().any(|e| e.metadata().is_ok_and(|m| m.len() > 0))))
    })?;
    disk.fill(64 << 10)?;
    let outcome = run.wait()?.expect(1)?;
    only_users_failed(&outcome)?;
    let why = reason(&outcome, "USERS")?;
    ensure!(why.to_lowercase().contains("no space left"), "{why}");
    ensure!(stage.active()? == 0);
    ensure!(crate::stage::every_temporary(disk.path()).is_empty(), "the half copy still fills the disk");
    disk.empty()?;
    let again = tool(&stage, &disk)?.run()?.expect(0)?;
    ensure!(with_status(&again, "copied") == ["USERS"], "{}", said(&again));
    stage.prove()?;
    stage.check()
}

#[test]
fn a_disk_that_becomes_read_only_fails_its_tablespace_only() -> Result<()> {
    let stage = stage()?;
    let disk = SmallDisk::mount(8)?;
    std::fs::create_dir_all(disk.path().join("data"))?;
    let tool = |stage: &Stage| tool(stage, &disk);
    disk.read_only(true)?;
    let outcome = tool(&stage)?.run()?;
    // Refused before or failed alone: both leave nothing in backup mode and nothing half done.
    match outcome.status {
        Some(1) => {
            only_users_failed(&outcome)?;
            let why = reason(&outcome, "USERS")?;
            ensure!(why.to_lowercase().contains("read-only"), "{why}");
        }
        Some(4) => ensure!(said(&outcome).to_lowercase().contains("read-only"), "{}", said(&outcome)),
        _ => ensure!(false, "{}", said(&outcome)),
    }
    ensure!(stage.active()? == 0);
    disk.read_only(false)?;
    tool(&stage)?.run()?.expect(0)?;
    stage.prove()?;
    ensure!(crate::stage::every_temporary(disk.path()).is_empty());
    stage.check()
}
