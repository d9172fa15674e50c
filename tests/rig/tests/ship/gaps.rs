//! Holes, and what lies before and behind a RESETLOGS.

use std::time::Duration;

use anyhow::{ensure, Result};

use crate::logs::Incarnation;
use crate::pair::{gap, said, with_status, write, Pair};

const BYTES: usize = 512 << 10;

#[test]
fn a_log_that_was_deleted_before_it_was_shipped_is_a_gap_until_it_is_restored() -> Result<()> {
    let pair = Pair::new()?;
    for sequence in 1..=6 {
        pair.add(1, sequence, BYTES)?;
        pair.add(2, sequence, BYTES)?;
    }
    let lost = pair.src.join(Incarnation::FIRST.name(1, 4));
    let bytes = std::fs::read(&lost)?;
    std::fs::remove_file(&lost)?;
    for last in [6, 7, 8] {
        pair.add(1, last, BYTES)?;
        let outcome = pair.run(5)?;
        ensure!(gap(&outcome)? == (1, 4, 4, "source".to_owned()), "{}", said(&outcome));
        let hint = outcome.of("gap")[0].text("hint").unwrap_or_default().to_owned();
        ensure!(
            hint.contains("RESTORE ARCHIVELOG FROM SEQUENCE 4 UNTIL SEQUENCE 4 THREAD 1;"),
            "the command that heals it: {hint}"
        );
        ensure!(
            (pair.mark(1)?, pair.mark(2)?) == (Some(3), Some(6)),
            "{:?} {:?}",
            pair.mark(1)?,
            pair.mark(2)?
        );
        ensure!(with_status(&outcome, "failed") == 0, "what is there is shipped: {}", said(&outcome));
    }
    let status = pair.tool()?.arg("--status").run()?.expect(5)?;
    ensure!(gap(&status)? == (1, 4, 4, "source".to_owned()), "{}", said(&status));

    write(&lost, &bytes)?;
    let outcome = pair.run(0)?;
    ensure!(with_status(&outcome, "shipped") == 1, "{}", said(&outcome));
    ensure!(outcome.of("gap").is_empty() && pair.mark(1)? == Some(8), "{:?}", pair.mark(1)?);
    let status = pair.tool()?.arg("--status").run()?.expect(0)?;
    let standby = status.of("standby");
    ensure!(standby.len() == 1 && standby[0].number("recoverable_to_scn") > Some(0), "{}", said(&status));
    pair.check_equal()
}

#[test]
fn a_log_that_is_lost_on_both_sides_takes_the_mark_back() -> Result<()> {
    let pair = Pair::new()?;
    for sequence in 1..=5 {
        pair.add(1, sequence, BYTES)?;
    }
    pair.run(0)?;
    let name = Incarnation::FIRST.name(1, 3);
    std::fs::remove_file(pair.src.join(&name))?;
    // Purged at the source after shipping: nothing is missing.
    let outcome = pair.run(0)?;
    ensure!(outcome.of("gap").is_empty() && pair.mark(1)? == Some(5), "{}", said(&outcome));
    std::fs::remove_file(pair.dst.join(&name))?;
    let outcome = pair.run(5)?;
    let (thread, from, to, _) = gap(&outcome)?;
    ensure!(
        (thread, from, to) == (1, 3, 3) && pair.mark(1)? == Some(2),
        "{:?}\n{}",
        pair.mark(1)?,
        said(&outcome)
    );
    Ok(())
}

#[test]
fn a_resetlogs_is_said_and_both_incarnations_arrive() -> Result<()> {
    let pair = Pair::new()?;
    let first = Incarnation::FIRST;
    // Names without %r, as of a recovery area: only the header tells the two sequences 2 apart.
    let put = |inc: Incarnation, sequence: u32, tag: &str| {
        let rel = format!("2026_11_20/o1_mf_1_{sequence}_{tag}{sequence:04}_.arc");
        write(&pair.src.join(&rel), &inc.log(1, sequence, BYTES))
    };
    for sequence in 1..=4 {
        put(first, sequence, "aaaa")?;
    }
    pair.run(0)?;
    ensure!(pair.mark(1)? == Some(4), "{:?}", pair.mark(1)?);
    // Opened with RESETLOGS in the middle of sequence 4: 5 was archived and is no longer part of the history.
    let second = first.reset(first.first_scn(4) + 500);
    put(first, 5, "aaaa")?;
    for sequence in 1..=2 {
        put(second, sequence, "bbbb")?;
    }
    let outcome = pair.run(0)?;
    let warnings: Vec<_> = outcome
        .of("log")
        .into_iter()
        .filter(|r| r.text("level") == Some("warning"))
        .map(|r| r.line.clone())
        .collect();
    let scn = second.scn.to_string();
    ensure!(warnings.iter().any(|w| w.contains("RESETLOGS") && w.contains(&scn)), "{}", said(&outcome));
    ensure!(pair.mark(1)? == Some(2), "the mark is that of the new incarnation: {:?}", pair.mark(1)?);
    let there = crate::pair::files(&pair.dst)?;
    for (inc, sequence, tag) in [(first, 4, "aaaa"), (second, 1, "bbbb"), (second, 2, "bbbb")] {
        let rel = format!("2026_11_20/o1_mf_1_{sequence}_{tag}{sequence:04}_.arc");
        ensure!(std::fs::read(pair.dst.join(&rel))? == inc.log(1, sequence, BYTES), "{rel}: {there:?}");
    }
    // A hole behind the RESETLOGS does not hide behind the higher sequences before it.
    put(second, 4, "bbbb")?;
    let outcome = pair.run(5)?;
    let of_second = outcome.of("gap")[0].number("resetlogs_id") == Some(u64::from(second.resetlogs_id));
    ensure!(gap(&outcome)? == (1, 3, 3, "source".to_owned()) && of_second, "{}", said(&outcome));
    ensure!(pair.mark(1)? == Some(2), "{:?}", pair.mark(1)?);
    put(second, 3, "bbbb")?;
    let outcome = pair.run(0)?;
    ensure!(pair.mark(1)? == Some(4), "{:?}\n{}", pair.mark(1)?, said(&outcome));
    Ok(())
}

/// RMAN with DELETE INPUT does not know of us.
#[test]
fn a_log_that_goes_while_it_is_sent_is_a_gap_and_the_others_arrive() -> Result<()> {
    let line = rig::proxy::Line { rate: 1 << 20, ..Default::default() };
    let pair = Pair::with(line, None)?;
    for sequence in 1..=4 {
        pair.add(1, sequence, 1 << 20)?;
    }
    let lost = pair.src.join(Incarnation::FIRST.name(1, 3));
    let bytes = std::fs::read(&lost)?;
    let mut run = pair.tool()?.args(["--workers", "1"]).start()?;
    run.until(Duration::from_secs(20), "it sends", |_| Ok(pair.proxy.bytes().0 > 300_000))?;
    std::fs::rename(&lost, pair.root.path().join("purged"))?;
    let outcome = run.wait()?;
    ensure!(matches!(outcome.status, Some(1 | 5)), "{:?}\n{}", outcome.status, said(&outcome));
    ensure!(gap(&outcome)? == (1, 3, 3, "source".to_owned()), "{}", said(&outcome));
    ensure!(with_status(&outcome, "shipped") == 3, "{}", said(&outcome));
    ensure!(pair.mark(1)? == Some(2), "{:?}", pair.mark(1)?);
    write(&lost, &bytes)?;
    pair.run(0)?;
    pair.check_equal()
}

#[test]
fn a_log_that_changes_while_it_is_sent_never_arrives_as_a_mix() -> Result<()> {
    let line = rig::proxy::Line { rate: 1 << 20, ..Default::default() };
    let pair = Pair::with(line, None)?;
    for sequence in 1..=2 {
        pair.add(1, sequence, 2 << 20)?;
    }
    let bad = pair.src.join(Incarnation::FIRST.name(1, 2));
    let good = std::fs::read(&bad)?;
    let watch = pair.watch(&[]);
    let mut run = pair.tool()?.args(["--workers", "1"]).start()?;
    run.until(Duration::from_secs(20), "it sends", |_| Ok(pair.proxy.bytes().0 > 300_000))?;
    let mut other = good.clone();
    other[1_500_000..1_500_100].fill(0x55);
    write(&bad, &other)?;
    let outcome = run.wait()?;
    let there = pair.dst.join(Incarnation::FIRST.name(1, 2));
    ensure!(!there.exists(), "{}", said(&outcome));
    ensure!(pair.mark(1)? == Some(1), "{:?}", pair.mark(1)?);
    // A disk of the source that went bad is not carried over.
    let outcome = pair.tool()?.run()?;
    ensure!(matches!(outcome.status, Some(1 | 5)), "{:?}\n{}", outcome.status, said(&outcome));
    ensure!(said(&outcome).contains("corrupt"), "{}", said(&outcome));
    ensure!(!there.exists() && pair.mark(1)? == Some(1), "{:?}", pair.mark(1)?);
    write(&bad, &good)?;
    pair.run(0)?;
    watch.end()?;
    pair.check_equal()
}
