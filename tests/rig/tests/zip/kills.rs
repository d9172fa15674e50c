//! Killed at any point, interrupted, run twice: the good archives are there, and the next run cleans up.

use std::time::{Duration, Instant};

use anyhow::{ensure, Context, Result};
use rig::host::descendants;
use rustix::process::{kill_process, Pid, Signal};

use crate::stage::{dated, said, Stage};

#[test]
fn whenever_it_is_killed_the_good_archives_stay_and_the_next_run_is_clean() -> Result<()> {
    let stage = Stage::new()?;
    stage.archives_of(&stage.archives, &[2, 1])?;
    stage.archives_of(&stage.copy, &[2, 1])?;
    let dump = stage.dump("RH.DMP", 12 << 20)?;
    let whole = stage.with_copy()?.arg(&dump).run()?.expect(0)?.elapsed;
    let good = |dir: &std::path::Path| -> Result<()> {
        let names = Stage::names(dir)?;
        ensure!([dated(2), dated(1), dated(0)].iter().all(|n| names.contains(n)), "{names:?}");
        Ok(())
    };
    for n in 0..12 {
        let mut run = stage.with_copy()?.arg(&dump).start()?;
        let until = Instant::now() + whole * n / 11;
        while Instant::now() < until && run.is_running()? {
            std::thread::sleep(Duration::from_millis(2));
        }
        if run.is_running()? {
            run.signal(Signal::KILL)?;
        }
        run.wait()?;
        good(&stage.archives)?;
        good(&stage.copy)?;
        let verified = stage.tool()?.arg("--verify").arg(&stage.archives).run()?.expect(0)?;
        ensure!(verified.count("good") == 3, "{}", said(&verified));
        stage.tool()?.arg("--verify").arg(&stage.copy).run()?.expect(0)?;
    }
    stage.with_copy()?.arg(&dump).run()?.expect(0)?;
    for dir in [&stage.archives, &stage.copy] {
        ensure!(Stage::names(dir)?.len() == 3, "left behind: {:?}", Stage::names(dir)?);
    }
    Ok(())
}

#[test]
fn a_signal_ends_it_clean_and_a_second_run_is_told_of_the_first() -> Result<()> {
    let stage = Stage::new()?;
    let dump = stage.dump("RH.DMP", 40 << 20)?;
    let mut run = stage.tool()?.args(["--level", "9", "--threads", "1"]).arg(&dump).start()?;
    let archives = stage.archives.clone();
    run.until(Duration::from_secs(60), "an archive under way", |_| Ok(!Stage::names(&archives)?.is_empty()))?;
    let second = stage.tool()?.arg(&dump).run()?.expect(75)?;
    ensure!(said(&second).contains("is held by zip-rotate"), "{}", said(&second));
    ensure!(Stage::names(&stage.archives)?.len() == 1, "the second run touched the file of the first");
    run.signal(Signal::TERM)?;
    let outcome = run.wait()?.expect(143)?;
    ensure!(Stage::names(&stage.archives)?.is_empty(), "{}", said(&outcome));
    Ok(())
}

#[test]
fn the_child_dies_with_the_run() -> Result<()> {
    let stage = Stage::new()?;
    let dump = stage.dump("RH.DMP", 48 << 20)?;
    let mut run = stage.with_copy()?.arg("--fast").arg(&dump).start()?;
    let mut child = 0;
    run.until(Duration::from_secs(60), "a child that copies", |run| {
        // The one that only says which directory it is may be found before it has bound itself to the run.
        let copies = Stage::names(&stage.copy)?.iter().any(|n| n.ends_with(".tmp"));
        child = descendants(run.pid()).first().filter(|_| copies).map_or(0, |p| p.pid);
        Ok(child != 0)
    })?;
    // Stopped, it cannot notice by itself that nobody listens any more.
    let pid = i32::try_from(child).ok().and_then(Pid::from_raw).context("a process id")?;
    kill_process(pid, Signal::STOP)?;
    run.signal(Signal::KILL)?;
    run.wait()?;
    let until = Instant::now() + Duration::from_secs(5);
    while rig::host::alive(child) && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(5));
    }
    let outlived = rig::host::alive(child);
    if outlived {
        rig::host::kill(child);
    }
    ensure!(!outlived, "the child outlived the run");
    Ok(())
}
