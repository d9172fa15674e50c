//! Whatever is killed, at whatever step: backup mode is ended, the next run does the rest, the standby recovers.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{ensure, Context, Result};
use rig::host::{descendants, kill};
use rig::tool::{Outcome, Started};
use rustix::process::Signal;

use crate::stage::{below, said, until_copying, with_status, Dice, Stage};

const ALL: [&str; 5] = ["SYSAUX", "SYSTEM", "UNDOTBS1", "USERS", "Vendas"];

/// A run that takes its time.
fn slow(stage: &Stage) -> Result<Started> {
    stage.hot()?.args(["--bwlimit", "1m", "--workers", "2"]).limit(Duration::from_secs(110)).start()
}

fn set(names: impl IntoIterator<Item = impl Into<String>>) -> BTreeSet<String> {
    names.into_iter().map(Into::into).collect()
}

#[derive(serde::Deserialize)]
struct Cycle {
    id: String,
    closed: Option<String>,
}

#[derive(serde::Deserialize)]
struct Mark {
    cycle: String,
    tablespace: String,
}

/// Tablespaces with a mark that counts: of the cycle that is under way.
fn marked(stage: &Stage) -> Result<BTreeSet<String>> {
    let state = stage.world.state_dir();
    let Ok(text) = std::fs::read(state.join("hot_backup_cycle.DBPROD")) else { return Ok(BTreeSet::new()) };
    let cycle: Cycle = serde_json::from_slice(&text)?;
    let mut found = BTreeSet::new();
    for name in stage.marks()? {
        let mark: Mark = serde_json::from_slice(&std::fs::read(state.join(&name))?)?;
        if cycle.closed.is_none() && mark.cycle == cycle.id {
            found.insert(mark.tablespace);
        }
    }
    Ok(found)
}

/// What holds after a blow that ended the run: backup mode ends, and the next run does what was not done, no more.
fn goes_on(stage: &Stage, what: &str) -> Result<()> {
    let took = stage.calm().with_context(|| what.to_owned())?;
    let before = marked(stage)?;
    stage.clear_faults()?;
    let outcome = stage.cycle().with_context(|| format!("the run after {what}"))?;
    let copied = set(with_status(&outcome, "copied"));
    ensure!(copied.is_disjoint(&before), "{what}: {copied:?} although {before:?} were done");
    ensure!(&copied | &before == set(ALL), "{what}: {copied:?} and before {before:?}");
    closed(stage, &outcome, what)?;
    eprintln!("{what}: calm after {took:?}, {} were done before", before.len());
    Ok(())
}

/// The cycle is closed: its redo is told, and no mark of it counts any more.
fn closed(stage: &Stage, outcome: &Outcome, what: &str) -> Result<()> {
    ensure!(outcome.of("recovery_window").len() == 1, "{what}: {}", said(outcome));
    ensure!(marked(stage)?.is_empty(), "{what}: marks {:?} of an open cycle", stage.marks()?);
    // What the next run would do is everything.
    let plan = stage.hot()?.arg("--dry-run").run()?.expect(0)?;
    let planned = plan.of("planned").iter().filter(|r| r.text("action") == Some("begin_backup")).count();
    ensure!(planned == ALL.len(), "{what}: the next run would copy {planned}:\n{}", said(&plan));
    Ok(())
}

/// Statements like this that have no answer.
fn pending(stage: &Stage, what: &str) -> Result<usize> {
    let calls = stage.world.primary.journal()?;
    let all = calls.iter().flat_map(|c| &c.statements);
    Ok(all.filter(|s| s.code.is_none() && s.text.to_uppercase().contains(what)).count())
}

/// The next statement like this hangs for some seconds; waits until it does.
fn until_hung(stage: &Stage, run: &mut Started, what: &str, before: usize) -> Result<()> {
    run.until(Duration::from_secs(60), what, |_| {
        std::thread::sleep(Duration::from_millis(30));
        Ok(pending(stage, what)? > before)
    })
}

fn hang(stage: &Stage, what: &str, seconds: f64) -> Result<usize> {
    stage.hang(what, Some(seconds))?;
    pending(stage, what)
}

#[test]
fn the_tool_and_its_group_killed_at_every_step() -> Result<()> {
    let stage = Stage::small(1 << 20)?;
    let mut dice = Dice::new();

    let mut run = slow(&stage)?;
    until_copying(&stage, &mut run)?;
    run.signal(Signal::KILL)?;
    run.wait()?;
    goes_on(&stage, "the tool killed while it copied")?;

    let mut run = slow(&stage)?;
    run.until(Duration::from_secs(60), "the third tablespace", |r| {
        Ok(r.stdout()?.matches("\"type\":\"tablespace\"").count() >= 2)
    })?;
    until_copying(&stage, &mut run)?;
    run.signal_group(Signal::KILL)?;
    run.wait()?;
    ensure!(!marked(&stage)?.is_empty(), "two tablespaces were done");
    goes_on(&stage, "the group killed while it copied the third")?;

    // The server finishes the statement although nobody waits for its answer.
    let before = hang(&stage, "BEGIN BACKUP", 2.0)?;
    let mut run = slow(&stage)?;
    until_hung(&stage, &mut run, "BEGIN BACKUP", before)?;
    run.signal_group(Signal::KILL)?;
    run.wait()?;
    std::thread::sleep(Duration::from_secs(3));
    goes_on(&stage, "the group killed during BEGIN BACKUP")?;

    let before = hang(&stage, "END BACKUP", 2.0)?;
    let mut run = slow(&stage)?;
    until_hung(&stage, &mut run, "END BACKUP", before)?;
    run.signal(Signal::KILL)?;
    run.wait()?;
    goes_on(&stage, "the tool killed during END BACKUP")?;

    let before = hang(&stage, "STANDBY CONTROLFILE", 2.0)?;
    let mut run = slow(&stage)?;
    until_hung(&stage, &mut run, "STANDBY CONTROLFILE", before)?;
    run.signal_group(Signal::KILL)?;
    run.wait()?;
    ensure!(marked(&stage)? == set(ALL), "{:?}", stage.marks()?);
    goes_on(&stage, "the group killed at the standby control file")?;

    for _ in 0..3 {
        let mut run = slow(&stage)?;
        let after = Duration::from_millis(100 + dice.below(6000));
        while run.elapsed() < after && run.is_running()? {
            std::thread::sleep(Duration::from_millis(5));
        }
        if !run.is_running()? {
            closed(&stage, &run.wait()?.expect(0)?, "a run that was faster")?;
            continue;
        }
        run.signal_group(Signal::KILL)?;
        run.wait()?;
        // Killed between the closing of the cycle and its own end: the next run is a whole cycle.
        goes_on(&stage, &format!("the group killed after {after:?}"))?;
    }
    stage.prove()?;
    stage.check()
}

#[test]
fn what_the_tool_started_killed_at_every_step() -> Result<()> {
    let stage = Stage::small(1 << 20)?;
    let host = stage.world.host.as_ref().context("a host")?;
    let gone = |found: Vec<rig::host::Process>, what: &str| -> Result<()> {
        ensure!(!found.is_empty(), "no {what} to kill");
        found.iter().for_each(|p| kill(p.pid));
        Ok(())
    };

    for what in ["ssh master", "rsync here", "rsync there", "keeper"] {
        let mut run = slow(&stage)?;
        until_copying(&stage, &mut run)?;
        match what {
            "ssh master" => {
                let own = run.pid();
                gone(below(&run, "ssh").into_iter().filter(|p| p.parent == own).collect(), what)?;
            }
            "rsync here" => {
                run.until(Duration::from_secs(30), what, |r| Ok(!below(r, "rsync").is_empty()))?;
                gone(below(&run, "rsync"), what)?;
            }
            "rsync there" => {
                let there =
                    || host.remote_processes().into_iter().filter(|p| p.name == "rsync").collect::<Vec<_>>();
                run.until(Duration::from_secs(30), what, |_| Ok(!there().is_empty()))?;
                gone(there(), what)?;
            }
            _ => {
                let keepers = stage.keepers();
                ensure!(keepers.len() == 1, "{} keepers", keepers.len());
                keepers.iter().for_each(|p| kill(*p));
            }
        }
        let outcome = run.wait()?;
        ensure!([Some(0), Some(1)].contains(&outcome.status), "{what}: {}", said(&outcome));
        eprintln!("{what} killed: status {:?} after {:?}", outcome.status, outcome.elapsed);
        if outcome.status == Some(0) {
            ensure!(stage.active()? == 0, "{what}: a run is over and something is in backup mode");
            closed(&stage, &outcome, what)?;
        } else {
            goes_on(&stage, what)?;
        }
    }

    for what in ["END BACKUP", "BEGIN BACKUP"] {
        let before = hang(&stage, what, 1.5)?;
        let mut run = slow(&stage)?;
        until_hung(&stage, &mut run, what, before)?;
        let keeper = stage.keepers().first().copied().context("a keeper")?;
        gone(descendants(keeper).into_iter().filter(|p| p.name == "sqlplus").collect(), "sqlplus")?;
        let outcome = run.wait()?;
        ensure!(outcome.elapsed < Duration::from_secs(60), "{what}: {:?}", outcome.elapsed);
        ensure!(stage.active()? == 0, "{what}: a run is over and something is in backup mode");
        if what == "END BACKUP" {
            // It is done again, and the copy counts.
            ensure!(outcome.status == Some(0), "{}", said(&outcome));
            closed(&stage, &outcome, what)?;
        } else {
            ensure!(outcome.status == Some(1), "{}", said(&outcome));
            ensure!(with_status(&outcome, "failed").len() == 1, "{}", said(&outcome));
            goes_on(&stage, "sqlplus killed during BEGIN BACKUP")?;
        }
    }

    // All at once, as when the host goes down: nobody is left, the next run reads the journal.
    let mut run = slow(&stage)?;
    until_copying(&stage, &mut run)?;
    stage.keepers().iter().for_each(|p| kill(*p));
    run.signal_group(Signal::KILL)?;
    run.wait()?;
    stage.keepers().iter().for_each(|p| kill(*p));
    ensure!(stage.active()? > 0, "the host was not fast enough to leave backup mode on");
    let outcome = stage.cycle()?;
    let warned = outcome.of("log").iter().any(|r| r.line.contains("ended backup mode that was left on"));
    ensure!(warned, "{}", said(&outcome));
    stage.prove()?;
    stage.check()
}

/// As a kill between the beginning of a cycle and the removal of the old marks leaves it, and as the original script does.
#[test]
fn marks_of_an_earlier_cycle_and_of_the_original_script_count_for_nothing() -> Result<()> {
    let stage = Stage::small(1 << 20)?;
    stage.cycle()?;
    let state = stage.world.state_dir();
    let old: Vec<_> =
        stage.marks()?.into_iter().map(|n| Ok((std::fs::read(state.join(&n))?, n))).collect::<Result<_>>()?;
    ensure!(old.len() == ALL.len(), "{} marks", old.len());
    stage.hot()?.args(["--new-cycle", "USERS"]).run()?.expect(0)?;
    ensure!(stage.marks()? == ["ts_USERS.done"], "{:?}", stage.marks()?);
    for (bytes, name) in &old {
        match name.as_str() {
            "ts_USERS.done" => {}
            "ts_SYSTEM.done" => std::fs::write(state.join(name), b"")?,
            _ => std::fs::write(state.join(name), bytes)?,
        }
    }
    let outcome = stage.cycle()?;
    ensure!(
        with_status(&outcome, "copied") == ["Vendas", "SYSAUX", "SYSTEM", "UNDOTBS1"],
        "{}",
        said(&outcome)
    );
    stage.prove()?;
    stage.check()
}
