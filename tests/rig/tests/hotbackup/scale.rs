//! 750 datafiles and 10,000 archived logs: planned in seconds, in little memory.

use std::time::Duration;

use anyhow::{ensure, Result};
use orasim::instance::{FakeLogs, FileSpec, Spec, TablespaceSpec};
use rig::tool::Outcome;

use crate::stage::{said, Stage};

const FILES: usize = 750;
const MEMORY: u64 = 100 << 20;

fn modest(outcome: &Outcome, what: &str) -> Result<()> {
    eprintln!("{what}: {:?}, {} MiB", outcome.elapsed, outcome.max_rss >> 20);
    ensure!(outcome.elapsed < Duration::from_secs(10), "{what} took {:?}", outcome.elapsed);
    ensure!(outcome.max_rss > 0 && outcome.max_rss < MEMORY, "{what} used {} bytes", outcome.max_rss);
    Ok(())
}

#[test]
fn a_large_database_is_planned_in_seconds() -> Result<()> {
    let spec = Spec {
        threads: 2,
        changes_per_second: 0,
        fake_logs: FakeLogs { count: 5000, files: true },
        ..Spec::default()
    };
    let stage = Stage::shaped(spec, true, |layout| {
        let mut all = crate::stage::tablespaces(layout, &[], 16 << 10);
        for t in 0..25 {
            let files = (0..(FILES - 3) / 25 + usize::from(t < (FILES - 3) % 25))
                .map(|n| FileSpec {
                    path: layout.primary_mount(n).join(format!("oradata/big_{t:02}_{n:03}.dbf")),
                    bytes: 16 << 10,
                })
                .collect();
            all.push(TablespaceSpec::new(&format!("BIG_{t:02}"), files));
        }
        all
    })?;
    ensure!(stage.world.primary.number("SELECT COUNT(*) FROM V$DATAFILE")? == FILES as u64);
    ensure!(stage.world.primary.number("SELECT COUNT(*) FROM V$ARCHIVED_LOG")? >= 10_000);

    let plan = stage.hot()?.arg("--dry-run").run()?.expect(0)?;
    modest(&plan, "ts-hotbackup --dry-run")?;
    let copies = plan.of("planned").iter().filter(|r| r.text("action") == Some("copy")).count();
    ensure!(copies == FILES, "{copies} planned:\n{}", said(&plan));
    let plan = stage.ship()?.arg("--dry-run").run()?.expect(0)?;
    modest(&plan, "arch-ship --dry-run")?;
    ensure!(plan.of("planned").len() >= 10_000, "{} planned", plan.of("planned").len());
    let status = stage.ship()?.arg("--status").run()?;
    ensure!([Some(0), Some(5)].contains(&status.status), "{}", said(&status));
    modest(&status, "arch-ship --status")?;
    stage.world.check(&[])
}
