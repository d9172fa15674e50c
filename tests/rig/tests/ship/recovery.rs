//! What it is all for: a standby that recovers from what was shipped, to the truth.

use std::fs::{File, FileTimes};
use std::time::Duration;

use anyhow::{ensure, Context, Result};
use orasim::instance::Spec;
use rig::host::HostOptions;
use rig::world::{Setup, World};

use crate::oracle::{recover_and_compare, stand_by, switch, Logs};
use crate::pair::{said, with_status};

#[test]
fn the_standby_recovers_from_shipped_logs_and_is_equal_to_the_truth() -> Result<()> {
    let spec = Spec {
        log_bytes: 512 << 10,
        changes_per_second: 400,
        threads: 2,
        idle_threads: vec![2],
        ..Spec::default()
    };
    let setup = Setup { spec, host: HostOptions::default(), over_ssh: true };
    let world = World::shaped(&setup, |layout| layout.tablespaces(14, 512 << 10))?;
    let tool = || Ok::<_, anyhow::Error>(world.tool("arch-ship")?.limit(Duration::from_secs(90)));
    switch(&world.primary)?;
    stand_by(&world)?;
    let mut reached = 0;
    for round in 0..3 {
        for _ in 0..2 {
            std::thread::sleep(Duration::from_millis(150));
            switch(&world.primary)?;
        }
        let outcome = tool()?.run()?.expect(0)?;
        ensure!(with_status(&outcome, "shipped") >= 2, "{}", said(&outcome));
        let status = tool()?.arg("--status").run()?.expect(0)?;
        let standby = status.of("standby");
        let to =
            standby.first().and_then(|s| s.number("recoverable_to_scn")).context("no recoverable_to_scn")?;
        let now = recover_and_compare(&world)?;
        ensure!(now > reached, "recovery stands still at {now}");
        // The tool promised how far the standby can get, and it gets there. Round by round.
        ensure!(now >= to, "round {round}: promised {to}, reached {now}");
        reached = now;
    }
    // Applied means applied: the next run does not even look at them.
    let outcome = tool()?.run()?.expect(0)?;
    ensure!(with_status(&outcome, "skipped") >= 4, "{}", said(&outcome));

    // The catalogue of the standby.
    switch(&world.primary)?;
    let outcome = tool()?.arg("--register").run()?.expect(0)?;
    ensure!(outcome.count("registered") >= 1, "{}", said(&outcome));
    let known = Logs::of(&world.standby)?;
    let last = Logs::of(&world.primary)?.local().last().cloned().context("no log")?;
    let name = last.name.rsplit('/').next().context("a name")?.to_owned();
    ensure!(known.all.iter().any(|l| l.name.ends_with(&name)), "{name} is not in {known:?}");

    // One whose header rotted after the verification, size and time unchanged: RMAN does not take it, and it is said.
    switch(&world.primary)?;
    tool()?.run()?.expect(0)?;
    let last =
        Logs::of(&world.primary)?.local().filter(|l| l.thread == 1).last().cloned().context("no log")?;
    let name = last.name.rsplit('/').next().context("a name")?.to_owned();
    let path = world.layout().standby_archive().join(&name);
    let time = std::fs::metadata(&path)?.modified()?;
    let mut bytes = std::fs::read(&path)?;
    bytes[512 + 24..512 + 40].fill(0xEE);
    let file = File::options().write(true).open(&path)?;
    std::io::Write::write_all(&mut &file, &bytes)?;
    file.set_times(FileTimes::new().set_modified(time))?;
    let outcome = tool()?.arg("--register").run()?.expect(1)?;
    ensure!(outcome.count("not_registered") == 1 && said(&outcome).contains(&name), "{}", said(&outcome));
    world.check(&["change_on_install", "manager"])
}
