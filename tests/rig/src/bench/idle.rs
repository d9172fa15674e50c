//! A `--follow` cycle that finds nothing to do, with many logs on both sides.

use std::time::{Duration, Instant};

use anyhow::{ensure, Context};

use super::child::Running;
use super::contestants::{Arena, Way};
use super::cpu;
use super::data::Redo;
use super::measure::{arrived, progress};
use super::table::{Row, Table};
use super::{Goal, Options};
use crate::host::{HostOptions, SshHost};

const COUNT: u32 = 10_000;
/// A small log: what a cycle costs does not depend on the size of what it does not read.
const BYTES: u64 = 2048;
const INTERVAL: Duration = Duration::from_secs(2);
const WATCHED: Duration = Duration::from_secs(30);
const WARM_UP: Duration = Duration::from_secs(10);

pub fn run(options: &Options, table: &mut Table) -> anyhow::Result<Vec<Goal>> {
    let dir = options.space(1 << 30)?;
    let logs = Redo::new().logs(&dir.path().join("source"), COUNT, BYTES)?;
    let host = SshHost::start(&HostOptions::default())?;
    let scratch = dir.path().join("scratch");
    std::fs::create_dir_all(&scratch)?;
    let arena = Arena {
        ssh_options: host.ssh_options(),
        host: host.host(),
        user: host.user().to_owned(),
        logs: &logs,
        dest: dir.path().join("standby"),
        scratch,
        arch_ship: options.program("arch-ship")?,
    };
    std::fs::create_dir_all(&arena.dest)?;
    let begin = Instant::now();
    arena.ship(Way::ArchShip, logs.names.len()).context("ship the small logs")?;
    let first = begin.elapsed().as_secs_f64();
    let (files, _) = arrived(&arena.dest)?;
    ensure!(files == logs.names.len(), "{files} of {COUNT} small logs arrived");
    progress(&format!("idle: {COUNT} small logs shipped in {first:.1} s"));

    let case = format!("{COUNT} logs on both sides");
    let row = |who: &str, seconds, cpu, note: String| Row {
        case: case.clone(),
        who: who.to_owned(),
        seconds,
        ratio: None,
        cpu,
        connections: None,
        note,
    };
    table.push(row(
        "arch-ship, first run",
        Some(first),
        None,
        format!("ships all of them, {BYTES} bytes each"),
    ));

    let mut command = arena.arch_ship_command();
    command.args(["--follow", "--interval"]).arg(format!("{}s", INTERVAL.as_secs()));
    let mut running = Running::start(command, "arch-ship --follow", &arena.scratch, b"")?;
    std::thread::sleep(WARM_UP);
    let (cpu, sessions, begin) = (cpu::of_tree(running.id()), host.sessions()?, Instant::now());
    std::thread::sleep(WATCHED);
    let used = (cpu::of_tree(running.id()).saturating_sub(cpu)).as_secs_f64();
    let sessions = (host.sessions()? - sessions) as f64;
    // A cycle begins an interval after the one before ended, so this is the most there can have been.
    let cycles = begin.elapsed().as_secs_f64() / INTERVAL.as_secs_f64();
    ensure!(running.is_running()?, "arch-ship --follow ended:\n{}", running.words()?);
    running.terminate()?;
    let (each, listings) = (used / cycles, sessions / cycles);
    let note = format!("{cycles:.0} cycles in {} s, {listings:.2} remote commands each", WATCHED.as_secs());
    table.push(row("arch-ship, idle cycle", None, Some(each), note));
    ensure!(sessions > 0.0, "the idle cycles asked the standby nothing; did they run at all?");
    Ok(vec![
        Goal::at_most("idle cycle, 10,000 logs: processor time of tool and children", each, 0.2, " s"),
        Goal::at_most("idle cycle, 10,000 logs: remote commands", listings, 1.1, ""),
    ])
}
