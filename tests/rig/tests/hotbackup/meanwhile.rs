//! A database that changes its shape while it is copied.

use std::time::Duration;

use anyhow::{ensure, Result};
use rig::tool::Started;
use rig::world::PRIMARY;

use crate::stage::{reason, said, small, tablespaces, until_copying, with_status, Stage};

fn slow(stage: &Stage) -> Result<Started> {
    stage.hot()?.args(["--bwlimit", "1500k", "--workers", "2"]).start()
}

fn shaped(names: &[&str]) -> Result<Stage> {
    Stage::shaped(small(), true, |layout| tablespaces(layout, names, 1 << 20))
}

/// The directory and a name that is free.
fn free(stage: &Stage, name: &str) -> String {
    stage.layout().primary_mount(1).join("oradata").join(name).display().to_string()
}

#[test]
fn files_added_and_resized_meanwhile_are_at_the_standby() -> Result<()> {
    let stage = shaped(&["AAA", "USERS"])?;
    let mut run = slow(&stage)?;
    until_copying(&stage, &mut run)?;
    ensure!(stage.world.primary.number("SELECT MIN(FILE#) FROM V$BACKUP WHERE STATUS='ACTIVE'")? == 4);
    // To the tablespace that is in backup mode: a file, and more room in one of its files.
    let own = stage.world.primary.sql("SELECT NAME FROM V$DATAFILE WHERE FILE# = 4")?;
    let later = stage.world.primary.sql("SELECT NAME FROM V$DATAFILE WHERE FILE# = 6")?;
    for text in [
        format!("alter tablespace aaa add datafile '{}' size 1048576", free(&stage, "aaa_late.dbf")),
        format!("alter database datafile '{}' resize 1572864", own.trim()),
        // To one that comes later, and a whole one.
        format!("alter database datafile '{}' resize 1572864", later.trim()),
        format!("create tablespace \"Spaet\" datafile '{}' size 1048576", free(&stage, "spaet.dbf")),
    ] {
        stage.sqlplus(PRIMARY, &text)?;
    }
    let outcome = run.wait()?.expect(0)?;
    let copied = with_status(&outcome, "copied");
    ensure!(copied.contains(&"Spaet".to_owned()), "{}", said(&outcome));
    let late = outcome.of("datafile").iter().filter(|r| r.line.contains("aaa_late.dbf")).count();
    ensure!(late == 1, "{}", said(&outcome));
    // Files whose growth came after their copy get it from the redo.
    stage.prove()?;
    stage.check()
}

#[test]
fn a_tablespace_dropped_or_made_read_only_meanwhile() -> Result<()> {
    let stage = shaped(&["AAA", "READY", "ZGONE"])?;
    let mut run = slow(&stage)?;
    until_copying(&stage, &mut run)?;
    stage.sqlplus(PRIMARY, "drop tablespace zgone including contents and datafiles")?;
    stage.sqlplus(PRIMARY, "alter tablespace ready read only")?;
    let outcome = run.wait()?;
    ensure!(reason(&outcome, "ZGONE")?.contains("dropped"), "{}", said(&outcome));
    // BEGIN BACKUP of a read-only tablespace is ORA-01642: copied as it is, now or by the next run.
    if outcome.status == Some(1) {
        ensure!(with_status(&outcome, "failed") == ["READY"], "{}", said(&outcome));
        ensure!(reason(&outcome, "READY")?.contains("ORA-01642"), "{}", said(&outcome));
        let again = stage.cycle()?;
        ensure!(with_status(&again, "copied") == ["READY"], "{}", said(&again));
    } else {
        ensure!(outcome.status == Some(0), "{}", said(&outcome));
        ensure!(with_status(&outcome, "copied").contains(&"READY".to_owned()), "{}", said(&outcome));
    }
    stage.prove()?;
    stage.check()
}

/// Copied while it was read only, then written to again in the same cycle: the copy lacks nothing that redo has.
#[test]
fn a_tablespace_made_read_write_after_its_copy() -> Result<()> {
    let stage = Stage::shaped(small(), true, |layout| {
        let mut all = tablespaces(layout, &["AAA", "USERS"], 1 << 20);
        all[3].read_only = true;
        all
    })?;
    let mut run = slow(&stage)?;
    run.until(Duration::from_secs(60), "AAA is copied", |r| Ok(r.stdout()?.contains("\"name\":\"AAA\"")))?;
    stage.sqlplus(PRIMARY, "alter tablespace aaa read write")?;
    let outcome = run.wait()?.expect(0)?;
    ensure!(with_status(&outcome, "copied").contains(&"AAA".to_owned()), "{}", said(&outcome));
    stage.prove()?;
    stage.check()
}
