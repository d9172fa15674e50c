//! Signals, a limit for backup mode, a crash of the database, and backup mode of somebody else.

use std::time::{Duration, Instant};

use anyhow::{ensure, Result};
use orasim::server::admin::Admin;
use rig::host::kill;
use rig::tool::Started;
use rig::world::PRIMARY;
use rustix::process::Signal;

use crate::stage::{reason, said, until_copying, with_status, Stage};

fn slow(stage: &Stage, more: &[&str]) -> Result<Started> {
    stage.hot()?.args(["--bwlimit", "700k", "--workers", "2"]).args(more).start()
}

#[test]
fn term_and_int_end_backup_mode_and_say_so() -> Result<()> {
    let stage = Stage::small(1 << 20)?;
    for (signal, times, status) in [(Signal::TERM, 1, 143), (Signal::INT, 1, 130), (Signal::INT, 5, 130)] {
        if times > 1 {
            stage.hang("end backup", Some(2.0))?;
        }
        let mut run = slow(&stage, &[])?;
        until_copying(&stage, &mut run)?;
        let begin = Instant::now();
        run.signal(signal)?;
        for _ in 1..times {
            std::thread::sleep(Duration::from_millis(200));
            if run.is_running()? {
                run.signal(signal)?;
            }
        }
        // The contract check finds exactly one run_end with this status.
        let outcome = run.wait()?.expect(status)?;
        ensure!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
        ensure!(stage.active()? == 0, "in backup mode after {signal:?}");
        let end = outcome.records.last().and_then(|r| r.text("status")).unwrap_or_default();
        ensure!(end == "interrupted", "{}", said(&outcome));
        ensure!(!with_status(&outcome, "failed").is_empty(), "{}", said(&outcome));
    }
    stage.cycle()?;
    stage.prove()?;
    stage.check()
}

#[test]
fn the_limit_for_backup_mode_holds_for_a_tool_that_stands_still() -> Result<()> {
    let stage = Stage::small(1 << 20)?;
    let mut run = slow(&stage, &["--max-backup-mode", "3s"])?;
    until_copying(&stage, &mut run)?;
    run.signal(Signal::STOP)?;
    let begin = Instant::now();
    while stage.active()? > 0 {
        let keeper =
            || std::fs::read_to_string(stage.world.log_dir().join(format!("backup_mode.{PRIMARY}.log")));
        let limit = Duration::from_secs(12);
        ensure!(begin.elapsed() < limit, "still in backup mode after {limit:?}:\n{}", keeper()?);
        std::thread::sleep(Duration::from_millis(100));
    }
    run.signal(Signal::CONT)?;
    let outcome = run.wait()?;
    ensure!([Some(1), Some(2), Some(124)].contains(&outcome.status), "{}", said(&outcome));
    let failed = with_status(&outcome, "failed");
    ensure!(!failed.is_empty(), "{}", said(&outcome));
    ensure!(reason(&outcome, &failed[0])?.contains("--max-backup-mode"), "{}", said(&outcome));
    stage.calm()?;
    stage.cycle()?;
    stage.prove()?;
    stage.check()
}

/// The database crashes in backup mode with nobody left to end it, and comes back mounted only.
fn crashed() -> Result<Stage> {
    let mut stage = Stage::small(1 << 20)?;
    let mut run = slow(&stage, &[])?;
    until_copying(&stage, &mut run)?;
    stage.keepers().iter().for_each(|p| kill(*p));
    run.signal_group(Signal::KILL)?;
    run.wait()?;
    stage.keepers().iter().for_each(|p| kill(*p));
    stage.world.primary.kill_daemon();
    stage.world.primary.start()?;
    ensure!(stage.world.primary.admin(Admin::State)? == "Mounted", "ORA-10873 leaves it mounted");
    ensure!(stage.active()? > 0);
    let open = stage.sqlplus(PRIMARY, "alter database open").err().map(|e| format!("{e:#}"));
    ensure!(open.as_ref().is_some_and(|e| e.contains("ORA-10873")), "{open:?}");
    Ok(stage)
}

#[test]
fn a_crash_in_backup_mode_is_mended_by_end_backup() -> Result<()> {
    let stage = crashed()?;
    let outcome = stage.hot()?.arg("--status").run()?;
    ensure!(outcome.status == Some(5), "{}", said(&outcome));
    ensure!(said(&outcome).contains("begun by ts-hotbackup"), "{}", said(&outcome));
    ensure!(stage.active()? > 0, "--status changes nothing");
    let outcome = stage.hot()?.arg("--end-backup").run()?.expect(0)?;
    ensure!(outcome.count("ended") == 1, "{}", said(&outcome));
    ensure!(stage.active()? == 0);
    stage.sqlplus(PRIMARY, "alter database open")?;
    // Nothing to do any more.
    let again = stage.hot()?.arg("--end-backup").run()?.expect(0)?;
    ensure!(again.count("ended") == 0, "{}", said(&again));
    stage.cycle()?;
    stage.prove()?;
    stage.check()
}

#[test]
fn a_crash_in_backup_mode_is_mended_by_the_next_run() -> Result<()> {
    let stage = crashed()?;
    // A mounted database cannot be backed up hot, but backup mode is ended.
    let outcome = stage.hot()?.run()?;
    ensure!([Some(4), Some(75)].contains(&outcome.status), "{}", said(&outcome));
    ensure!(stage.active()? == 0, "{}", said(&outcome));
    stage.sqlplus(PRIMARY, "alter database open")?;
    stage.cycle()?;
    stage.prove()?;
    stage.check()
}

#[test]
fn backup_mode_of_somebody_else_is_left_alone() -> Result<()> {
    let stage = Stage::small(1 << 20)?;
    stage.sqlplus(PRIMARY, "alter tablespace users begin backup")?;
    for more in [&[][..], &["--end-backup"], &["--new-cycle"]] {
        let outcome = stage.hot()?.args(more).run()?.expect(4)?;
        ensure!(said(&outcome).contains("users_1.dbf"), "{}", said(&outcome));
        ensure!(stage.active()? == 2, "{more:?} has ended what is not ours");
        ensure!(with_status(&outcome, "copied").is_empty(), "{}", said(&outcome));
    }
    let outcome = stage.hot()?.arg("--status").run()?.expect(5)?;
    ensure!(said(&outcome).contains("users_1.dbf"), "{}", said(&outcome));
    stage.sqlplus(PRIMARY, "alter tablespace users end backup")?;
    stage.cycle()?;
    stage.check()
}

/// Ours from a run that was killed, and somebody else's: only ours is ended.
#[test]
fn ours_is_ended_beside_that_of_somebody_else() -> Result<()> {
    let stage = Stage::small(1 << 20)?;
    let mut run = slow(&stage, &[])?;
    until_copying(&stage, &mut run)?;
    ensure!(stage.world.primary.number("SELECT MIN(FILE#) FROM V$BACKUP WHERE STATUS='ACTIVE'")? == 6);
    stage.keepers().iter().for_each(|p| kill(*p));
    run.signal_group(Signal::KILL)?;
    run.wait()?;
    stage.keepers().iter().for_each(|p| kill(*p));
    stage.sqlplus(PRIMARY, "alter tablespace sysaux begin backup")?;
    ensure!(stage.active()? == 3, "two files of USERS and that of SYSAUX");
    let outcome = stage.hot()?.run()?.expect(4)?;
    ensure!(said(&outcome).contains("sysaux_1.dbf"), "{}", said(&outcome));
    let left = stage.sqlplus(PRIMARY, "select file# from v$backup where status = 'ACTIVE'")?;
    ensure!(left == "2", "in backup mode now: {left}");
    stage.sqlplus(PRIMARY, "alter tablespace sysaux end backup")?;
    stage.cycle()?;
    stage.prove()?;
    stage.check()
}

/// Somebody ends our backup mode while we copy: the copy is not good, and we know.
#[test]
fn backup_mode_that_somebody_ends_meanwhile_spoils_the_copy() -> Result<()> {
    let stage = Stage::small(1 << 20)?;
    let mut run = slow(&stage, &[])?;
    until_copying(&stage, &mut run)?;
    // The warning is that other files were not in backup mode.
    let told = stage.sqlplus(PRIMARY, "alter database end backup").err().map(|e| format!("{e:#}"));
    ensure!(told.as_ref().is_some_and(|t| t.contains("ORA-01260")), "{told:?}");
    ensure!(stage.active()? == 0);
    let outcome = run.wait()?.expect(1)?;
    let failed = with_status(&outcome, "failed");
    ensure!(failed.len() == 1, "{}", said(&outcome));
    ensure!(reason(&outcome, &failed[0])?.contains("did not stay in backup mode"), "{}", said(&outcome));
    let again = stage.cycle()?;
    ensure!(with_status(&again, "copied") == failed, "{}", said(&again));
    stage.prove()?;
    stage.check()
}
