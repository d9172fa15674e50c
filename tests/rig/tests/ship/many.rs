//! Ten thousand logs.

use std::time::Duration;

use anyhow::{ensure, Result};

use crate::logs::Incarnation;
use crate::pair::{said, write, Pair};

const EACH: u32 = 5000;

#[test]
fn ten_thousand_logs_are_planned_and_shipped_in_little_time_and_memory() -> Result<()> {
    let pair = Pair::new()?;
    for sequence in 1..=EACH {
        for thread in [1, 2] {
            let name = Incarnation::FIRST.name(thread, sequence);
            write(&pair.src.join(name), &Incarnation::FIRST.log(thread, sequence, 1536))?;
        }
    }
    let light = |outcome: &rig::tool::Outcome, seconds: u64| -> Result<()> {
        ensure!(outcome.max_rss < 100 << 20, "{} MiB", outcome.max_rss >> 20);
        ensure!(outcome.elapsed < Duration::from_secs(seconds), "{:?}", outcome.elapsed);
        eprintln!(
            "{:?}, {} MiB, {} connections",
            outcome.elapsed,
            outcome.max_rss >> 20,
            pair.host.connections()?
        );
        Ok(())
    };
    let plan = pair.tool()?.arg("--dry-run").run()?.expect(0)?;
    ensure!(plan.of("planned").len() == 10_000, "{}", plan.of("planned").len());
    light(&plan, 15)?;
    let before = pair.host.connections()?;
    let outcome = pair.run(0)?;
    ensure!(outcome.count("shipped") == 10_000, "{}", outcome.stderr);
    ensure!(pair.host.connections()? - before <= 6, "{} connections", pair.host.connections()? - before);
    light(&outcome, 120)?;
    ensure!(
        (pair.mark(1)?, pair.mark(2)?) == (Some(EACH), Some(EACH)),
        "{:?} {:?}",
        pair.mark(1)?,
        pair.mark(2)?
    );
    pair.check_equal()?;

    // A hole in the middle of it is found and closed alone.
    let lost = Incarnation::FIRST.name(2, 2500);
    std::fs::remove_file(pair.dst.join(&lost))?;
    std::fs::rename(pair.src.join(&lost), pair.root.path().join(&lost))?;
    let outcome = pair.run(5)?;
    light(&outcome, 20)?;
    ensure!(pair.mark(2)? == Some(2499), "{:?}", pair.mark(2)?);
    std::fs::rename(pair.root.path().join(&lost), pair.src.join(&lost))?;
    let outcome = pair.run(0)?;
    ensure!(outcome.count("shipped") == 1 && pair.mark(2)? == Some(EACH), "{}", said(&outcome));
    light(&outcome, 20)
}
