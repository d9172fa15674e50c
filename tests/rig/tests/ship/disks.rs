//! The standby's disk is full, or read-only.

use anyhow::{ensure, Result};
use rig::disk::SmallDisk;
use rig::proxy::Line;

use crate::pair::{said, Pair};

const BYTES: usize = 2 << 20;

#[test]
fn a_full_disk_breaks_nothing_and_is_completed_when_there_is_space() -> Result<()> {
    let disk = SmallDisk::mount(48)?;
    let pair = Pair::with(Line::default(), Some(disk.path()))?;
    for sequence in 1..=8 {
        pair.add(1, sequence, BYTES)?;
    }
    let watch = pair.watch(&[]);
    disk.fill(5 << 20)?;
    let outcome = pair.tool()?.args(["--workers", "1"]).run()?;
    ensure!(matches!(outcome.status, Some(1 | 2)), "{:?}\n{}", outcome.status, said(&outcome));
    let words = said(&outcome);
    ensure!(words.contains("No space left on device"), "{words}");
    ensure!(outcome.count("failed") > 0, "{words}");
    let log = pair.log_file("archivelog_replication.log")?;
    ensure!(format!("{log}{words}").contains("is full: make space and run again"), "{log}\n{words}");
    let marks = || pair.check_marks(&[1], |t, s| crate::logs::Incarnation::FIRST.name(t, s).into());
    marks()?;
    ensure!(pair.mark(1)?.unwrap_or(0) < 8, "the mark passes logs that are not there");

    // Still full: nothing gets worse.
    let outcome = pair.tool()?.run()?;
    ensure!(matches!(outcome.status, Some(1 | 2)), "{:?}\n{}", outcome.status, said(&outcome));
    marks()?;

    disk.empty()?;
    pair.run(0)?;
    ensure!(pair.mark(1)? == Some(8), "{:?}", pair.mark(1)?);
    pair.tool()?.args(["--io-timeout", "1s"]).run()?.expect(0)?;
    pair.check_equal()?;
    watch.end()?;
    Ok(())
}

#[test]
fn a_read_only_destination_is_said_and_left_alone() -> Result<()> {
    let disk = SmallDisk::mount(32)?;
    let pair = Pair::with(Line::default(), Some(disk.path()))?;
    for sequence in 1..=3 {
        pair.add(1, sequence, BYTES)?;
    }
    disk.read_only(true)?;
    let outcome = pair.tool()?.run()?;
    ensure!(matches!(outcome.status, Some(1 | 2)), "{:?}\n{}", outcome.status, said(&outcome));
    let log = pair.log_file("archivelog_replication.log")?;
    ensure!(format!("{log}{}", said(&outcome)).to_lowercase().contains("read-only"), "{}", said(&outcome));
    ensure!(pair.mark(1)?.is_none(), "a mark without a log: {:?}", pair.mark(1)?);
    disk.read_only(false)?;
    pair.run(0)?;
    pair.check_equal()
}
