//! `--follow`: quick, patient, and gone at once when it is told to.

use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{ensure, Context, Result};
use rig::tool::Started;
use rustix::process::Signal;

use crate::logs::Incarnation;
use crate::pair::{said, Pair};

const BYTES: usize = 256 << 10;
const SOON: Duration = Duration::from_secs(8);
/// Back-off included.
const LATER: Duration = Duration::from_secs(45);

fn name(sequence: u32) -> String {
    Incarnation::FIRST.name(1, sequence)
}

fn arrives(pair: &Pair, run: &mut Started, sequence: u32, limit: Duration) -> Result<Duration> {
    let begin = Instant::now();
    let there = pair.dst.join(name(sequence));
    run.until(limit, &format!("sequence {sequence} arrives"), |_| Ok(there.is_file()))?;
    Ok(begin.elapsed())
}

/// TERM: 143 with its bracket closed, within seconds.
fn ends(mut run: Started) -> Result<rig::tool::Outcome> {
    run.signal(Signal::TERM)?;
    let begin = Instant::now();
    let outcome = run.wait()?.expect(143)?;
    ensure!(begin.elapsed() < Duration::from_secs(8), "it took {:?} to end", begin.elapsed());
    let end = outcome.records.last().context("no record")?;
    ensure!(end.text("status") == Some("interrupted"), "{}", end.line);
    Ok(outcome)
}

#[test]
fn new_logs_appear_within_seconds_and_its_log_is_reopened() -> Result<()> {
    let pair = Pair::new()?;
    pair.add(1, 1, BYTES)?;
    let watch = pair.watch(&[]);
    let mut run = pair.tool()?.args(["--follow", "--interval", "5m"]).start()?;
    arrives(&pair, &mut run, 1, SOON)?;
    for sequence in 2..=4 {
        pair.add(1, sequence, BYTES)?;
        arrives(&pair, &mut run, sequence, SOON)?;
    }
    let log = pair.root.path().join("log").join(format!("copy_archivelog_to_{}.log", pair.host.host()));
    let old = log.with_extension("log.1");
    std::fs::rename(&log, &old)?;
    run.signal(Signal::HUP)?;
    run.until(SOON, "the log is opened again", |_| Ok(log.is_file()))?;
    pair.add(1, 5, BYTES)?;
    arrives(&pair, &mut run, 5, SOON)?;
    run.until(SOON, "the receipt", |r| Ok(r.stdout()?.contains("\"sequence\":5,")))?;
    ensure!(std::fs::read_to_string(&log)?.contains(&name(5)), "the new log file has what came after HUP");
    ensure!(!std::fs::read_to_string(&old)?.contains(&name(5)), "and the old one has not");
    run.until(SOON, "the mark", |_| Ok(pair.mark(1)? == Some(5)))?;

    // Only one at a time: the second names the first and changes nothing.
    let second = pair.tool()?.run()?.expect(75)?;
    ensure!(said(&second).contains(&run.pid().to_string()), "{}", said(&second));
    let outcome = ends(run)?;
    ensure!(outcome.count("shipped") == 5, "{}", said(&outcome));
    pair.check_equal()?;
    watch.end()?;
    Ok(())
}

/// Writes a log as a slow archiver does, in pieces, without keeping it open: as seen from another node.
fn archive_slowly(path: &Path, bytes: &[u8], whole_size_first: bool, time: Duration) -> Result<()> {
    let mut file = std::fs::File::create(path)?;
    if whole_size_first {
        file.set_len(bytes.len() as u64)?;
    }
    drop(file);
    let pieces = 12;
    for (n, piece) in bytes.chunks(bytes.len() / pieces + 1).enumerate() {
        // Not after the last one: then it is whole.
        std::thread::sleep(time / pieces as u32);
        file = std::fs::File::options().write(true).open(path)?;
        file.seek(SeekFrom::Start((n * (bytes.len() / pieces + 1)) as u64))?;
        file.write_all(piece)?;
        drop(file);
    }
    Ok(())
}

#[test]
fn a_log_that_the_archiver_still_writes_is_left_until_it_is_whole() -> Result<()> {
    let pair = Pair::new()?;
    pair.add(1, 1, BYTES)?;
    let watch = pair.watch(&[]);
    let mut run = pair.tool()?.args(["--follow", "--interval", "1s"]).start()?;
    arrives(&pair, &mut run, 1, SOON)?;
    for (sequence, whole_size_first) in [(2, false), (3, true)] {
        let bytes = Incarnation::FIRST.log(1, sequence, BYTES);
        let path = pair.src.join(name(sequence));
        std::thread::scope(|scope| {
            let archiver =
                scope.spawn(|| archive_slowly(&path, &bytes, whole_size_first, Duration::from_secs(4)));
            while !archiver.is_finished() {
                let early = pair.dst.join(name(sequence)).exists();
                ensure!(!early || archiver.is_finished(), "{sequence} was shipped before it was whole");
                std::thread::sleep(Duration::from_millis(5));
            }
            archiver.join().map_err(|_| anyhow::anyhow!("the archiver died"))?
        })?;
        arrives(&pair, &mut run, sequence, Duration::from_secs(15))?;
    }
    run.until(SOON, "the mark", |_| Ok(pair.mark(1)? == Some(3)))?;
    ends(run)?;
    pair.check_equal()?;
    watch.end()?;
    Ok(())
}

#[test]
fn it_outlives_a_black_hole_and_a_reboot_of_the_standby() -> Result<()> {
    let mut pair = Pair::new()?;
    pair.add(1, 1, BYTES)?;
    let watch = pair.watch(&[]);
    let args = ["--follow", "--interval", "2s", "--io-timeout", "4s", "--retries", "1"];
    let options = |pair: &Pair| {
        format!(
            "{} -o ServerAliveInterval=1 -o ConnectTimeout=3",
            pair.host.ssh_options_via(pair.proxy.address())
        )
    };
    let mut run = pair.tool()?.args(args).env("SSH_OPTIONS", options(&pair)).start()?;
    arrives(&pair, &mut run, 1, SOON)?;

    run.until(SOON, "the mark", |_| Ok(pair.mark(1)? == Some(1)))?;
    pair.proxy.black_hole(true);
    pair.add(1, 2, BYTES)?;
    std::thread::sleep(Duration::from_secs(8));
    ensure!(run.is_running()?, "it ended: {}", run.stderr()?);
    ensure!(!pair.dst.join(name(2)).exists(), "through a black hole?");
    pair.proxy.black_hole(false);
    eprintln!("after the black hole: {:?}", arrives(&pair, &mut run, 2, LATER)?);

    pair.host.stop();
    pair.add(1, 3, BYTES)?;
    run.until(Duration::from_secs(20), "it says that the standby is away", |r| {
        let said = r.stdout()?;
        Ok(["refused", "reset", "closed"].iter().any(|w| said.contains(&format!("onnection {w}"))))
    })?;
    pair.host.start_again()?;
    eprintln!("after the reboot: {:?}", arrives(&pair, &mut run, 3, LATER)?);
    run.until(SOON, "the mark", |_| Ok(pair.mark(1)? == Some(3)))?;
    let records = run.records()?;
    let trouble = records.iter().filter(|r| r["level"] == "error" || r["status"] == "failed").count();
    ensure!((1..20).contains(&trouble), "{trouble} complaints:\n{}", run.stdout()?);

    // And it can be told to end while the other side does not answer.
    pair.proxy.black_hole(true);
    pair.add(1, 4, BYTES)?;
    std::thread::sleep(Duration::from_secs(2));
    ends(run)?;
    ensure!(watch.end()? == 3, "three logs arrived");
    Ok(())
}
