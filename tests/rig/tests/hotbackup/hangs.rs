//! What never answers: the run ends within its limits, and nothing stays in backup mode.

use std::time::Duration;

use anyhow::{ensure, Context, Result};
use orasim::server::fault::Kind;
use rig::proxy::{Line, Proxy};
use rig::tool::{Outcome, Tool};
use rustix::process::{kill_process, Pid, Signal};

use crate::stage::{said, until_copying, with_status, Stage};

fn within(outcome: &Outcome, seconds: u64) -> Result<()> {
    ensure!(outcome.elapsed < Duration::from_secs(seconds), "it took {:?}", outcome.elapsed);
    Ok(())
}

#[test]
fn a_hung_sqlplus_costs_its_limit() -> Result<()> {
    let stage = Stage::small(1 << 20)?;
    let tool = || -> Result<Tool> { Ok(stage.hot()?.args(["--sql-timeout", "3s"])) };

    // Before anything is done.
    stage.hang("v\\$tablespace", None)?;
    let outcome = tool()?.run()?;
    within(&outcome, 20)?;
    ensure!([Some(75), Some(124)].contains(&outcome.status), "{}", said(&outcome));
    ensure!(with_status(&outcome, "copied").is_empty(), "{}", said(&outcome));

    // One of five BEGIN BACKUPs: the others go on.
    stage.hang("begin backup", None)?;
    let outcome = tool()?.run()?.expect(1)?;
    within(&outcome, 60)?;
    ensure!(with_status(&outcome, "failed").len() == 1, "{}", said(&outcome));
    ensure!(with_status(&outcome, "copied").len() == 4, "{}", said(&outcome));
    ensure!(stage.active()? == 0);

    // One END BACKUP: it is asked again, and the copy is good.
    stage.hang("end backup", None)?;
    let outcome = tool()?.run()?.expect(0)?;
    within(&outcome, 60)?;
    ensure!(stage.active()? == 0);

    // A logon that takes longer than the limit.
    stage.fault("", Kind::LogonHang { seconds: 3600.0 }, None, 0)?;
    let outcome = tool()?.run()?;
    within(&outcome, 30)?;
    ensure!([Some(75), Some(124)].contains(&outcome.status), "{}", said(&outcome));
    stage.clear_faults()?;
    stage.prove()?;
    stage.check()
}

#[test]
fn a_host_that_vanishes_is_given_up_in_time() -> Result<()> {
    let stage = Stage::small(1 << 20)?;
    let host = stage.world.host.as_ref().context("a host")?;
    let proxy = Proxy::start(host.address(), Line::default())?;
    let tool = stage.hot()?.env("SSH_OPTIONS", host.ssh_options_via(proxy.address()));
    let tool = tool.args(["--io-timeout", "3s", "--retries", "0", "--bwlimit", "700k", "--workers", "2"]);
    let mut run = tool.limit(Duration::from_secs(300)).start()?;
    until_copying(&stage, &mut run)?;
    proxy.black_hole(true);
    let begin = run.elapsed();
    let outcome = run.wait()?;
    let took = outcome.elapsed - begin;
    let log = stage.world.log_dir().join(format!("hot_backup_ts_to_{}.out", host.host()));
    let log = std::fs::read_to_string(log)?;
    ensure!(took < Duration::from_secs(110), "it took {took:?}\n{log}\n{}", said(&outcome));
    ensure!([Some(1), Some(2), Some(75)].contains(&outcome.status), "{}", said(&outcome));
    ensure!(stage.active()? == 0, "the host is gone and backup mode stays on");
    // Who sees that the host is gone puts nothing else in backup mode, and says so of each.
    ensure!(with_status(&outcome, "failed").len() == 5, "{}", said(&outcome));
    ensure!(said(&outcome).matches("not begun: ssh to").count() >= 4, "{}", said(&outcome));
    let calls = stage.world.primary.journal()?;
    let begun = calls.iter().flat_map(|c| &c.statements).flat_map(|s| &s.backup).filter(|b| b.begin).count();
    ensure!(begun == 1, "{begun} tablespaces were put in backup mode");
    proxy.black_hole(false);
    proxy.cut_now();
    stage.cycle()?;
    stage.prove()?;
    stage.check()
}

#[test]
fn a_line_that_goes_silent_and_an_rsync_that_stands_still() -> Result<()> {
    let stage = Stage::small(1 << 20)?;
    let host = stage.world.host.as_ref().context("a host")?;
    let proxy = Proxy::start(host.address(), Line::default())?;
    let tool = |retries: &str| -> Result<Tool> {
        let tool = stage.hot()?.env("SSH_OPTIONS", host.ssh_options_via(proxy.address()));
        Ok(tool.args(["--io-timeout", "3s", "--retries", retries, "--bwlimit", "700k", "--workers", "2"]))
    };

    // The packets of open connections vanish; new ones work: a retry saves the run.
    let mut run = tool("2")?.start()?;
    until_copying(&stage, &mut run)?;
    proxy.silence_open_ones();
    let outcome = run.wait()?;
    within(&outcome, 90)?;
    ensure!(outcome.status == Some(0), "{}", said(&outcome));
    ensure!(stage.active()? == 0);

    // The receiving rsync stands still.
    let mut run = tool("0")?.start()?;
    until_copying(&stage, &mut run)?;
    let there = || host.remote_processes().into_iter().filter(|p| p.name == "rsync").collect::<Vec<_>>();
    run.until(Duration::from_secs(30), "an rsync at the standby", |_| Ok(!there().is_empty()))?;
    let stopped = there();
    for process in &stopped {
        let pid = i32::try_from(process.pid).ok().and_then(Pid::from_raw).context("a pid")?;
        kill_process(pid, Signal::STOP)?;
    }
    let outcome = run.wait()?;
    within(&outcome, 60)?;
    ensure!([Some(0), Some(1)].contains(&outcome.status), "{}", said(&outcome));
    ensure!(stage.active()? == 0);
    stopped.iter().for_each(|p| rig::host::kill(p.pid));
    tool("2")?.run()?.expect(0)?;
    stage.prove()?;
    stage.check()
}
