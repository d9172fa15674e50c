//! How long the database is in backup mode, by its own journal.

use std::time::Duration;

use anyhow::{ensure, Context, Result};
use chrono::{DateTime, Utc};
use ibsim::{Config, Fault, Rule};
use orasim::journal::{self, Event};
use rig::tool::Outcome;

use crate::bench::Bench;
use crate::case::Shape;
use crate::stage::said;

/// When the statement was sent, and when its session was over.
fn statement(bench: &Bench, words: &str) -> Result<(DateTime<Utc>, DateTime<Utc>)> {
    let text = std::fs::read_to_string(journal::path(&bench.db.dir))?;
    let events: Vec<Event> = text.lines().map(serde_json::from_str).collect::<serde_json::Result<_>>()?;
    let time = |t: &str| DateTime::parse_from_rfc3339(t).map(|t| t.to_utc());
    let mut sent = None;
    for event in &events {
        if let Event::Statement { id, time: at, text, .. } = event {
            if text.to_uppercase().contains(words) {
                sent = Some((id.clone(), time(at)?));
            }
        }
    }
    let (id, sent) = sent.with_context(|| format!("no {words}"))?;
    for event in &events {
        if let Event::Exit { id: other, time: at, .. } = event {
            if *other == id {
                return Ok((sent, time(at)?));
            }
        }
    }
    anyhow::bail!("the session of {words} has not ended")
}

/// From when BEGIN BACKUP was sent until the session that sent END BACKUP and read it back was over.
fn in_backup_mode(bench: &Bench) -> Result<Duration> {
    let (begun, _) = statement(bench, "BEGIN BACKUP")?;
    let (_, ended) = statement(bench, "END BACKUP")?;
    Ok((ended - begun).to_std()?)
}

fn told(outcome: &Outcome) -> Duration {
    Duration::from_millis(outcome.count("backup_mode_ms"))
}

#[test]
fn three_volumes_and_an_array_of_200_ms() -> Result<()> {
    for (shape, what) in
        [(Shape::whole(), "together"), (Shape::group(), "a group"), (Shape::separate(), "one by one")]
    {
        let bench = Bench::new()?;
        let mut best = Duration::MAX;
        // A machine that does other things besides: the best of three.
        for _ in 0..3 {
            let place = bench.place(Config { latency: Duration::from_millis(200), ..Config::default() })?;
            let outcome = bench.tool("ib-snap", &place)?.args(shape.args()).run()?.expect(0)?;
            let seen = in_backup_mode(&bench)?;
            let near = told(&outcome).abs_diff(seen) < Duration::from_millis(200);
            ensure!(near, "it tells {:?} and it was {seen:?}", told(&outcome));
            ensure!(
                told(&outcome) >= Duration::from_millis(200),
                "{:?}: faster than the array",
                told(&outcome)
            );
            best = best.min(seen);
            if best < Duration::from_secs(1) {
                break;
            }
        }
        eprintln!("{what}: {best:?} in backup mode");
        ensure!(best < Duration::from_secs(1), "{what}: {best:?} in backup mode");
    }
    Ok(())
}

/// With an array and a database that answer at once, no second is spent on waiting: nothing here sleeps.
#[test]
fn nothing_sleeps() -> Result<()> {
    let bench = Bench::new()?;
    let mut best = (Duration::MAX, Duration::MAX);
    for _ in 0..5 {
        let place = bench.place(Config::default())?;
        let outcome = bench.tool("ib-snap", &place)?.args(Shape::separate().args()).run()?.expect(0)?;
        best = (best.0.min(told(&outcome)), best.1.min(outcome.elapsed));
    }
    eprintln!("{:?} in backup mode, {:?} in all", best.0, best.1);
    ensure!(best.0 < Duration::from_millis(500), "{:?} in backup mode", best.0);
    ensure!(best.1 < Duration::from_secs(3), "{:?} in all", best.1);
    Ok(())
}

/// The array hangs at the second of three: backup mode ends at its limit, plus a second at most.
#[test]
fn the_cap() -> Result<()> {
    let bench = Bench::new()?;
    for (limit, args) in [
        (2, vec!["--max-backup-mode", "2s", "--array-timeout", "30s"]),
        (3, vec!["--max-backup-mode", "3s", "--array-timeout", "1s"]),
    ] {
        for shape in [Shape::separate(), Shape::whole()] {
            let place = bench.place(Config::default())?;
            let hang = |path: &str, body: &str| Rule::on("POST", path, Fault::Hang).body(body);
            place
                .array
                .faults(vec![hang("^/volumes$", "orasync_data.*DATA2"), hang("group_snapshot", "")])?;
            let outcome = bench.tool("ib-snap", &place)?.args(&args).args(shape.args()).run()?;
            ensure!(matches!(outcome.status, Some(2 | 124)), "{:?}\n{}", outcome.status, said(&outcome));
            ensure!(bench.db.in_backup_mode()? == 0);
            let (begun, _) = statement(&bench, "BEGIN BACKUP")?;
            let (ended, _) = statement(&bench, "END BACKUP")?;
            let held = (ended - begun).to_std()?;
            ensure!(
                held < Duration::from_secs(limit + 1),
                "END BACKUP {held:?} after BEGIN, {args:?} {shape:?}"
            );
            let snapshots = place.array.snapshots();
            let whole = snapshots.iter().filter(|s| s.name.starts_with("orasync_data")).count();
            ensure!(whole == if shape.separate { 2 } else { 0 }, "{snapshots:#?}");
            place.without_keeper()?;
        }
    }
    // Where it is the limit that ends it, the status says so.
    let place = bench.place(Config::default())?;
    place.array.faults(vec![Rule::on("POST", "group_snapshot", Fault::Hang)])?;
    let tool = bench.tool("ib-snap", &place)?.args(["--max-backup-mode", "1s"]).args(Shape::whole().args());
    let outcome = tool.run()?.expect(124)?;
    ensure!(said(&outcome).contains("--max-backup-mode 1s"), "{}", said(&outcome));
    Ok(())
}
