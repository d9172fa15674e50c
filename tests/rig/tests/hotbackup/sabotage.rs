//! The same pipeline with one thing wrong must not end well, and must say what is wrong.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{ensure, Context, Result};
use orasim::datafile::Header;
use orasim::server::fault::Kind;
use rig::tool::Outcome;
use rig::world::PRIMARY;

use crate::stage::{copy_tree, number, reason, said, window, with_status, Said, Stage};

/// A good copy with its redo, kept as it arrived, to be spoilt in one way after the other.
struct Kept {
    stage: Stage,
    outcome: Outcome,
    good: PathBuf,
    /// Behind the end of the backup, with redo beyond it.
    scn: u64,
}

impl Kept {
    fn new() -> Result<Self> {
        let stage = Stage::small(1 << 20)?;
        let outcome = stage.cycle()?;
        // Some logs between the window and the point of recovery, so that there is room for a hole.
        for _ in 0..3 {
            std::thread::sleep(std::time::Duration::from_millis(300));
            stage.sqlplus(PRIMARY, "alter system archive log current")?;
        }
        let scn = stage.ship_up_to_now()?;
        let good = stage.world.path().join("good");
        copy_tree(&stage.layout().standby_dir(), &good)?;
        Ok(Self { stage, outcome, good, scn })
    }

    /// The standby as it was when everything had arrived.
    fn fresh(&self) -> Result<()> {
        self.stage.standby_down()?;
        fs::remove_dir_all(self.stage.layout().standby_dir())?;
        copy_tree(&self.good, &self.stage.layout().standby_dir())
    }

    fn log(&self, thread: u64, sequence: u64) -> Result<PathBuf> {
        let dir = self.stage.layout().standby_archive();
        let start = format!("{thread}_{sequence}_");
        let mut found = fs::read_dir(&dir)?.flatten().map(|e| e.path());
        let is_it = |p: &PathBuf| p.file_name().is_some_and(|n| n.to_string_lossy().starts_with(&start));
        found.find(is_it).with_context(|| format!("no log {start} in {}", dir.display()))
    }

    /// (path at the primary, path of the copy) of a datafile of USERS.
    fn datafile(&self) -> Result<(PathBuf, PathBuf, u32)> {
        let all = self.outcome.of("datafile");
        let record = all.iter().find(|r| r.text("tablespace") == Some("USERS")).context("USERS")?;
        let path = |field| record.text(field).map(PathBuf::from).context("a path");
        Ok((path("path")?, path("dest")?, u32::try_from(record.number("file").unwrap_or(0))?))
    }

    fn recover(&self) -> Result<Said> {
        self.stage.recover(Some(self.scn))
    }
}

/// Blocks as they are now under a header as it was.
fn copy_blocks_only(from: &Path, to: &Path) -> Result<()> {
    let header = Header::read_path(to).map_err(|e| anyhow::anyhow!("{}", e.text()))?;
    fs::copy(from, to)?;
    header.write(&fs::OpenOptions::new().write(true).open(to)?)?;
    Ok(())
}

#[test]
fn a_spoilt_copy_or_spoilt_redo_is_never_recovered() -> Result<()> {
    let kept = Kept::new()?;
    let (path, dest, file) = kept.datafile()?;
    let (first, last) = window(&kept.outcome)?.get(&1).copied().context("thread 1")?;

    kept.fresh()?;
    fs::remove_file(kept.log(1, first)?)?;
    kept.recover()?.expect(5)?.says(&format!("needs thread 1 sequence {first}"))?;

    // Inside what recovery needs, with redo before and behind.
    let hole = last + 1;
    kept.fresh()?;
    let log = kept.log(1, hole)?;
    kept.log(1, hole + 1)?;
    fs::remove_file(log)?;
    kept.recover()?.expect(5)?.says(&format!("needs thread 1 sequence {hole}"))?;
    // Without an SCN it would be easy to take it for all there is.
    let all = kept.stage.recover(None)?.expect(5)?;
    ensure!(all.text.contains(&format!("sequence {hole} although sequence {}", hole + 1)), "{}", all.text);

    for keep in [0, 700, 4096] {
        kept.fresh()?;
        let log = kept.log(1, hole)?;
        let whole = fs::read(&log)?;
        fs::write(&log, &whole[..keep])?;
        let bad = kept.recover()?.expect(5)?;
        ensure!(
            bad.text.contains(&format!("sequence {hole}")) || bad.text.contains("ORA-00"),
            "{}",
            bad.text
        );
        // Healed by the whole log, without a new copy.
        if keep == 700 {
            fs::write(&log, &whole)?;
            kept.recover()?.expect(0)?;
            kept.stage.compare(kept.scn)?.expect(0)?;
        }
    }

    // One bit of the redo.
    kept.fresh()?;
    let log = kept.log(1, hole)?;
    let mut bytes = fs::read(&log)?;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    fs::write(&log, bytes)?;
    kept.recover()?.expect(5)?.says("ORA-00354")?;

    // Blocks of after END BACKUP, torn or not, below the header of the copy.
    let mut refused = 0;
    for _ in 0..5 {
        kept.fresh()?;
        copy_blocks_only(&path, &dest)?;
        let after = kept.recover()?;
        let equal = kept.stage.compare(kept.scn)?.status == 0;
        ensure!(!(after.status == 0 && equal), "blocks of after END BACKUP were recovered to equality");
        if after.status == 5 && after.text.contains(&format!("file# {file}")) {
            refused += 1;
            break;
        }
    }
    ensure!(refused > 0, "no torn block met redo in five copies");

    // The whole live file of now: it is ahead of the point of recovery.
    kept.fresh()?;
    fs::copy(&path, &dest)?;
    kept.recover()?.expect(4)?.says("redo goes only forward")?;
    kept.stage.check()
}

#[test]
fn a_datafile_of_an_earlier_cycle_needs_redo_that_is_not_there() -> Result<()> {
    let stage = Stage::small(1 << 20)?;
    stage.cycle()?;
    let old = stage.world.path().join("old");
    copy_tree(&stage.layout().standby_dir(), &old)?;
    for _ in 0..2 {
        std::thread::sleep(std::time::Duration::from_millis(300));
        stage.sqlplus(PRIMARY, "alter system archive log current")?;
    }
    let outcome = stage.cycle()?;
    let begin = number(&outcome, "recovery_window", "begin_scn")?;
    let end = number(&outcome, "recovery_window", "end_scn")?;
    stage.ship()?.args(["--scn-cutoff", &begin.to_string()]).run()?.expect(0)?;
    let all = outcome.of("datafile");
    let record = all.iter().find(|r| r.text("tablespace") == Some("Vendas")).context("Vendas")?;
    let dest = PathBuf::from(record.text("dest").context("dest")?);
    let kept = stage.world.path().join("kept");
    fs::copy(&dest, &kept)?;
    fs::copy(old.join(dest.strip_prefix(stage.layout().standby_dir())?), &dest)?;
    let (first, _) = window(&outcome)?.get(&1).copied().context("thread 1")?;
    let bad = stage.recover(Some(end + 1))?.expect(5)?;
    let needed = bad.text.split("needs thread 1 sequence ").nth(1).unwrap_or_default();
    let needed: u64 = needed
        .chars()
        .take_while(char::is_ascii_digit)
        .collect::<String>()
        .parse()
        .context(bad.text.clone())?;
    ensure!(needed < first, "sequence {needed} is not older than the window from {first}");
    fs::copy(&kept, &dest)?;
    stage.prove_at(end + 1)?;
    stage.check()
}

#[test]
fn a_begin_that_was_answered_and_not_done_is_noticed() -> Result<()> {
    let stage = Stage::small(1 << 20)?;
    stage.fault("\"USERS\" begin backup", Kind::Pretend, None, 0)?;
    let outcome = stage.hot()?.run()?.expect(1)?;
    ensure!(with_status(&outcome, "failed") == ["USERS"], "{}", said(&outcome));
    let why = reason(&outcome, "USERS")?;
    ensure!(why.contains("V$BACKUP does not show datafile"), "{why}");
    ensure!(outcome.of("recovery_window").is_empty(), "{}", said(&outcome));
    ensure!(!stage.mark("USERS").exists());
    let users = stage.layout().standby_mount(0);
    for dir in [users, stage.layout().standby_mount(1), stage.layout().standby_mount(2)] {
        for entry in fs::read_dir(dir.join("oradata")).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            ensure!(!name.starts_with("users"), "{name} was published");
        }
    }
    stage.ship()?.run()?.expect(0)?;
    stage.recover(None)?.expect(4)?.says("under way")?;
    stage.clear_faults()?;
    let again = stage.cycle()?;
    ensure!(with_status(&again, "copied") == ["USERS"], "{}", said(&again));
    stage.prove()?;
    stage.check()
}

#[test]
fn an_end_that_was_answered_and_not_done_is_done_again() -> Result<()> {
    let stage = Stage::small(1 << 20)?;
    stage.fault("end backup", Kind::Pretend, Some(1), 0)?;
    let outcome = stage.cycle()?;
    ensure!(with_status(&outcome, "failed").is_empty(), "{}", said(&outcome));
    stage.prove()?;
    stage.check()
}
