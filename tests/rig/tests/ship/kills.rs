//! Whatever dies, whenever: run again, and the standby has every log.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{bail, ensure, Result};
use rig::host::{alive, descendants, kill};
use rig::proxy::Line;
use rig::tool::Started;
use rustix::process::Signal;

use crate::logs::{Dice, Incarnation};
use crate::pair::{with_status, Pair};

const LOGS: u32 = 100;
/// The first logs have the real size, the rest a quarter of it: the time goes into kills and not into bytes.
/// SHIP_ALL_LARGE=1 gives all of them 4 MiB.
const LARGE: u32 = 10;

fn bytes(sequence: u32) -> usize {
    if sequence <= LARGE || std::env::var_os("SHIP_ALL_LARGE").is_some() {
        4 << 20
    } else {
        1 << 20
    }
}

/// What is done to a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Blow {
    CutLine,
    SilentLine,
    KillRsyncHere,
    KillRsyncThere,
    KillSessions,
    KillSshd,
    KillTool,
}

const BLOWS: [Blow; 7] = [
    Blow::CutLine,
    Blow::KillRsyncHere,
    Blow::KillTool,
    Blow::KillRsyncThere,
    Blow::KillSessions,
    Blow::SilentLine,
    Blow::KillSshd,
];

/// Thread 1 has the default names, thread 2 those of a recovery area.
fn place(thread: u16, sequence: u32) -> PathBuf {
    match thread {
        1 => Incarnation::FIRST.name(1, sequence).into(),
        _ => format!("2026_11_{:02}/o1_mf_2_{sequence}_x{sequence:07}_.arc", 1 + sequence % 3).into(),
    }
}

/// Strikes once; false when there was nothing to strike.
fn strike(blow: Blow, pair: &mut Pair, run: &mut Started) -> Result<bool> {
    match blow {
        Blow::CutLine => pair.proxy.cut_now(),
        Blow::SilentLine => pair.proxy.silence_open_ones(),
        Blow::KillSessions => return Ok(pair.host.kill_connections() > 0),
        Blow::KillRsyncHere | Blow::KillRsyncThere => {
            let begin = Instant::now();
            // It comes and goes with each batch.
            while run.is_running()? && begin.elapsed() < Duration::from_secs(20) {
                let mut found = match blow {
                    Blow::KillRsyncHere => descendants(run.pid()),
                    _ => pair.host.remote_processes(),
                };
                found.retain(|p| p.name == "rsync");
                if let Some(process) = found.last() {
                    kill(process.pid);
                    return Ok(true);
                }
                std::thread::sleep(Duration::from_millis(2));
            }
            return Ok(false);
        }
        Blow::KillSshd => {
            pair.host.stop();
            std::thread::sleep(Duration::from_millis(300));
            pair.host.start_again()?;
        }
        Blow::KillTool => {
            if !run.is_running()? {
                return Ok(false);
            }
            run.signal(Signal::KILL)?;
        }
    }
    Ok(true)
}

#[test]
fn two_hundred_logs_arrive_through_random_kills() -> Result<()> {
    let seed = std::env::var("SHIP_SEED").ok().and_then(|s| s.parse().ok());
    let seed: u64 = seed.unwrap_or_else(|| u64::from(std::process::id()) << 16 | 0x5eed);
    // Only a story that fails shows it.
    eprintln!("SHIP_SEED={seed}");
    let mut dice = Dice(seed);
    let line = Line { rate: 40 << 20, ..Line::default() };
    let mut pair = Pair::with(line, None)?;
    for sequence in 1..=LOGS {
        for thread in [1, 2] {
            let name = place(thread, sequence);
            pair.add_as(name.to_str().unwrap_or_default(), thread, sequence, bytes(sequence))?;
        }
    }
    let begin = Instant::now();
    let watch = pair.watch(&[]);
    let mut struck = Vec::new();
    let mut children = Vec::new();
    for round in 0.. {
        ensure!(round < 40, "not done after {round} runs; seed {seed}");
        let workers = (1 + dice.below(5)).to_string();
        let tool = pair.tool()?.args(["--io-timeout", "3s", "--retries", "2", "--workers", &workers]);
        let mut run = tool.limit(Duration::from_secs(120)).start()?;
        // One blow of each kind at least; the rest is chance.
        let missing = BLOWS.iter().find(|b| !struck.contains(*b));
        let first = missing.copied().unwrap_or(BLOWS[dice.below(5) as usize]);
        for n in 0..=dice.below(3) {
            let blow = match n {
                0 => first,
                // A silent line costs its time limit; once in a round of blows is enough.
                _ => BLOWS[dice.below(5) as usize],
            };
            let rsync = matches!(blow, Blow::KillRsyncHere | Blow::KillRsyncThere);
            let until = Instant::now() + Duration::from_millis(if rsync { 0 } else { 30 + dice.below(900) });
            while Instant::now() < until && run.is_running()? {
                std::thread::sleep(Duration::from_millis(5));
            }
            if run.is_running()? {
                children.extend(descendants(run.pid()).into_iter().map(|p| p.pid));
                if strike(blow, &mut pair, &mut run)? {
                    struck.push(blow);
                }
            }
        }
        let outcome = run.wait()?;
        ensure!(
            matches!(outcome.status, None | Some(0 | 1 | 2 | 5 | 75)),
            "seed {seed}, struck {struck:?}: status {:?}\n{}",
            outcome.status,
            outcome.stderr
        );
        eprintln!("run {round}: {:?} after {:.1?}, struck {struck:?}", outcome.status, outcome.elapsed);
        watch.so_far()?;
        pair.check_marks(&[1, 2], place)?;
        let kinds: std::collections::BTreeSet<Blow> = struck.iter().copied().collect();
        if outcome.status == Some(0) && outcome.count("failed") == 0 {
            if kinds.len() == BLOWS.len() {
                break;
            }
            // Done before every blow was struck: some logs are lost at the standby, and the state with them.
            for sequence in 1..=LOGS {
                for thread in [1, 2] {
                    if dice.below(3) == 0 {
                        std::fs::remove_file(pair.dst.join(place(thread, sequence)))?;
                    }
                }
            }
            std::fs::remove_dir_all(pair.root.path().join("state"))?;
        }
    }
    eprintln!("{} blows in {:?}: {struck:?}", struck.len(), begin.elapsed());

    let outcome = pair.run(0)?;
    ensure!(with_status(&outcome, "present") + with_status(&outcome, "shipped") == 200, "{}", outcome.stderr);
    ensure!(
        (pair.mark(1)?, pair.mark(2)?) == (Some(LOGS), Some(LOGS)),
        "{:?} {:?}",
        pair.mark(1)?,
        pair.mark(2)?
    );
    // What the dead runs left is older than the time limit by now, and goes.
    std::thread::sleep(Duration::from_millis(1100));
    pair.tool()?.args(["--io-timeout", "1s"]).run()?.expect(0)?;
    pair.check_equal()?;
    let seen = watch.end()?;
    ensure!(seen >= 200, "the watcher saw {seen} files only");
    let end = Instant::now() + Duration::from_secs(20);
    while children.iter().any(|p| alive(*p)) {
        if Instant::now() > end {
            let left: Vec<u32> = children.into_iter().filter(|p| alive(*p)).collect();
            bail!("processes of dead runs are still there: {left:?}");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}
