//! How a case is played: the run with what goes wrong, what holds at its end, the next run, what holds then.

use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{bail, ensure, Context, Result};
use ibsim::Change;
use rig::host::kill;
use rig::tool::{clean_environment, program, Outcome, Started, Tool};
use rustix::process::Signal;

use crate::bench::{Bench, Place};
use crate::case::{Blow, Case, Moment, Shape, Wanted};
use crate::proof::{foreign, judge, prune_agrees, receipts, sets, Set, State};
use crate::secrets;

/// How long everything may take here, short for the tests' sake.
pub fn limits(tool: Tool) -> Tool {
    tool.args(["--array-timeout", "1s", "--array-connect-timeout", "1s", "--max-backup-mode", "3s"]).args([
        "--sql-timeout",
        "3s",
        "--archive-timeout",
        "4s",
    ])
}

/// ib-snap for this shape, with short limits.
pub fn snap(bench: &Bench, place: &Place, shape: &Shape) -> Result<Tool> {
    Ok(limits(bench.tool("ib-snap", place)?).args(shape.args()))
}

/// All that a run has said.
pub fn said(outcome: &Outcome) -> String {
    format!("{}\n{}", String::from_utf8_lossy(&outcome.stdout), outcome.stderr)
}

/// The only set of a run.
fn only(place: &Place) -> Result<Set> {
    let mut sets = sets(place)?;
    ensure!(sets.len() <= 1, "one run made {:?}", sets.keys());
    Ok(sets.pop_first().map(|(_, set)| set).unwrap_or_default())
}

/// Cases that are played at the same time by one test; most of their time is waiting.
const AT_ONCE: usize = 2;

/// Plays all cases, each on an array of its own; names all that fail.
pub fn play(cases: Vec<Case>) -> Result<()> {
    secrets::watch();
    let only = std::env::var("CASE").unwrap_or_default();
    let cases: Vec<Case> = cases.into_iter().filter(|c| c.name.contains(&only)).collect();
    let next = AtomicUsize::new(0);
    let failed = Mutex::new(Vec::new());
    let player = || -> Result<()> {
        let bench = Bench::new()?;
        while let Some(case) = cases.get(next.fetch_add(1, Ordering::SeqCst)) {
            let begin = Instant::now();
            let result = one(&bench, case);
            let verdict = if result.is_ok() { "ok" } else { "FAILED" };
            eprintln!("{verdict} {:.1} s: {}", begin.elapsed().as_secs_f64(), case.name);
            let Err(error) = result else { continue };
            if let Ok(mut failed) = failed.lock() {
                failed.push(format!("== {}\n{error:#}", case.name));
            }
            // The next case shall begin with a database that is well.
            bench.heal()?;
            if bench.db.in_backup_mode()? > 0 {
                bench.db.sql("ALTER DATABASE END BACKUP")?;
            }
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let players: Vec<_> = (0..AT_ONCE.min(cases.len())).map(|_| scope.spawn(player)).collect();
        players.into_iter().try_for_each(|p| p.join().unwrap_or_else(|_| bail!("a player panicked")))
    })?;
    let failed = failed.into_inner().unwrap_or_default();
    ensure!(failed.is_empty(), "{} of {} cases:\n{}", failed.len(), cases.len(), failed.join("\n"));
    Ok(())
}

/// Plays a case: the run with what goes wrong, what holds at its end, the next run, what holds then.
fn one(bench: &Bench, case: &Case) -> Result<()> {
    let place = bench.place(case.config.clone())?;
    let before = foreign(&place);
    place.array.faults(case.rules.clone())?;
    bench.strike(&case.database)?;
    let begins = bench.statements("BEGIN BACKUP")?;
    let open = match case.blow {
        Some((Moment::Statement(text), _)) => bench.statements(text)?,
        _ => 0,
    };
    let mut run = snap(bench, &place, &case.shape)?.args(&case.args).start()?;
    if let Some((moment, blow)) = case.blow {
        until(bench, &place, &mut run, moment, open)?;
        strike(bench, &place, &mut run, blow)?;
    }
    let outcome = run.wait()?;
    let told = || {
        format!(
            "status {:?} after {:?}\n{}\n{}",
            outcome.status,
            outcome.elapsed,
            said(&outcome),
            requests(&place)
        )
    };
    first(bench, &place, case, &outcome).with_context(told)?;
    if matches!(outcome.status, Some(4 | 64 | 75)) {
        ensure!(bench.statements("BEGIN BACKUP")? == begins, "{}: BEGIN BACKUP before a refusal", told());
    }
    secrets::none_below(&place.dir)?;
    bench.heal()?;
    place.array.faults(Vec::new())?;
    place.array.change(&Change::PoolLocked(false))?;
    place.array.settle()?;
    if case.next {
        another_second(&place)?;
        next(bench, &place, case).with_context(|| format!("after the next run; the first: {}", told()))?;
    } else {
        let state = judge(&only(&place)?, &case.shape)?;
        ensure!(!matches!(state, State::Unmarked | State::Mixed), "{state:?}");
    }
    if case.set != Wanted::Unmarked {
        prune_agrees(bench, &place, &case.shape).with_context(told)?;
    }
    ensure!(foreign(&place) == before, "something foreign was changed: {:#?}\n{before:#?}", foreign(&place));
    place.without_keeper()?;
    secrets::none_below(&place.dir)?;
    bench.db.check_journal(&[crate::bench::SYS_PASSWORD, ibsim::PASSWORD])
}

/// What holds when the run is over.
fn first(bench: &Bench, place: &Place, case: &Case, outcome: &Outcome) -> Result<()> {
    if case.is_killed() {
        ensure!(outcome.status.is_none(), "it was faster than the blow");
    } else {
        let right = outcome.status.is_some_and(|s| case.status.contains(&s));
        ensure!(right, "status {:?} instead of {:?}", outcome.status, case.status);
        ensure!(outcome.elapsed < case.within, "it took {:?}", outcome.elapsed);
        // A run that is over leaves nothing on.
        ensure!(bench.db.in_backup_mode()? == 0, "in backup mode after the run");
        if !matches!(outcome.status, Some(0 | 130 | 143)) {
            ensure!(outcome.stderr.contains("ib-snap: "), "nobody is told: {}", outcome.stderr);
        }
    }
    if !matches!(case.blow, Some((_, Blow::Host))) {
        // The keeper has its limits.
        bench.calm(Duration::from_secs(15))?;
    }
    if let Some(word) = case.says {
        ensure!(said(outcome).contains(word), "it does not say {word:?}");
    }
    receipts(place, outcome, &case.shape)?;
    let set = only(place)?;
    let state = judge(&set, &case.shape)?;
    if outcome.status == Some(0) {
        ensure!(state == State::Complete, "status 0 and {state:?}");
        let receipts = outcome.of("snapshot").len();
        ensure!(receipts == set.members.len(), "{receipts} receipts of {} snapshots", set.members.len());
        ensure!(outcome.of("recovery_window").len() == 1, "no recovery_window");
    }
    Ok(())
}

/// The next run repairs what SPEC says it repairs, and is good itself.
fn next(bench: &Bench, place: &Place, case: &Case) -> Result<()> {
    let old: Option<String> = sets(place)?.into_keys().next();
    let outcome = snap(bench, place, &case.shape)?.run()?.expect(0)?;
    let told = || format!("the next run:\n{}\n{}", said(&outcome), requests(place));
    bench.calm(Duration::ZERO).with_context(told)?;
    receipts(place, &outcome, &case.shape).with_context(told)?;
    let names: Vec<String> =
        outcome.of("snapshot").iter().filter_map(|r| r.text("name").map(str::to_owned)).collect();
    let mut good = 0;
    let mut state = State::None;
    for (stamp, set) in sets(place)? {
        let found = judge(&set, &case.shape).with_context(told)?;
        if names.iter().any(|n| n.contains(&stamp)) {
            ensure!(found == State::Complete, "the next run's own set is {found:?}\n{}", told());
            good += 1;
        } else {
            ensure!(old.as_ref().is_none_or(|o| *o == stamp), "a set {stamp} of nobody");
            state = found;
        }
    }
    ensure!(good == 1, "{good} sets of the next run\n{}", told());
    let right = match case.set {
        Wanted::Complete => state == State::Complete,
        Wanted::Incomplete => state == State::Incomplete,
        Wanted::Nothing => state == State::None,
        Wanted::NoSet => state == State::Incomplete || state == State::None,
        Wanted::Truth => !matches!(state, State::Unmarked | State::Mixed),
        Wanted::Unmarked => true,
    };
    ensure!(right, "the set of the first run is {state:?}, {:?} is wanted\n{}", case.set, told());
    Ok(())
}

/// Waits for a moment of the run.
fn until(bench: &Bench, place: &Place, run: &mut Started, moment: Moment, open: usize) -> Result<()> {
    match moment {
        Moment::Request(method, path, n) => {
            run.until(Duration::from_secs(20), "the request", |_| Ok(place.array.count(method, path) >= n))
        }
        Moment::Statement(text) => {
            run.until(Duration::from_secs(20), "the statement", |_| Ok(bench.statements(text)? > open))
        }
    }
}

fn strike(bench: &Bench, place: &Place, run: &mut Started, blow: Blow) -> Result<()> {
    match blow {
        Blow::Signal(signal) => run.signal(signal),
        Blow::Thrice(signal) => {
            for _ in 0..3 {
                if run.is_running()? {
                    run.signal(signal)?;
                }
                std::thread::sleep(Duration::from_millis(50));
            }
            Ok(())
        }
        Blow::Group => run.signal_group(Signal::KILL),
        Blow::Keeper => {
            let keepers = place.keepers();
            ensure!(keepers.len() == 1, "{} keepers", keepers.len());
            keepers.iter().for_each(|k| kill(k.pid));
            Ok(())
        }
        Blow::Host => {
            place.keepers().iter().for_each(|k| kill(k.pid));
            run.signal_group(Signal::KILL)?;
            place.processes().iter().for_each(|k| kill(k.pid));
            // A host that comes up again takes longer than a statement that the server has begun.
            std::thread::sleep(Duration::from_millis(1200));
            Ok(())
        }
        Blow::Dba(statements) => statements.iter().try_for_each(|s| bench.db.sql(s).map(drop)),
        Blow::Stop(seconds) => {
            run.signal(Signal::STOP)?;
            let calm = bench.calm(Duration::from_secs(seconds));
            run.signal(Signal::CONT)?;
            calm.map(drop)
        }
    }
}

/// What came to the array, for messages.
pub fn requests(place: &Place) -> String {
    let log = place.array.log();
    let lines = log.iter().map(|r| {
        format!(
            "{:>8.3} {} {} -> {:?} executed {:?} at {:?}",
            r.at.as_secs_f64(),
            r.line(),
            r.body,
            r.status,
            r.executed,
            r.executed_at
        )
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Names are of the second: waits until that of the last run is over.
fn another_second(place: &Place) -> Result<()> {
    let logs = std::fs::read_dir(place.dir.join("log"))?.flatten();
    let logs: Vec<String> = logs.map(|e| e.file_name().to_string_lossy().into_owned()).collect();
    loop {
        let now = chrono::Local::now().format("%Y-%m-%d_%H%M%S").to_string();
        if !logs.iter().any(|name| name.contains(&now)) {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A run whose reader goes away after the first line.
pub fn without_reader(
    bench: &Bench,
    place: &Place,
    shape: &Shape,
) -> Result<(Option<i32>, Option<i32>, String)> {
    let mut child = Command::new(program("ib-snap")?)
        .args(shape.args())
        .arg("--insecure-http")
        .env_clear()
        .envs(clean_environment())
        .envs(bench.environment(place))
        .env("SOURCE_INFINIBOX", place.array.host(0))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("start ib-snap")?;
    let mut reader = child.stdout.take().context("a pipe")?;
    let mut byte = [0_u8; 1];
    while byte[0] != b'\n' {
        ensure!(reader.read(&mut byte)? == 1, "no line");
    }
    drop(reader);
    let out = child.wait_with_output()?;
    Ok((out.status.code(), out.status.signal(), String::from_utf8_lossy(&out.stderr).into_owned()))
}
