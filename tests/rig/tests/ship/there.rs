//! Files that lie at the standby already under a log's name.

use std::fs::{File, FileTimes};
use std::path::Path;
use std::time::Duration;

use anyhow::{ensure, Context, Result};

use crate::logs::Incarnation;
use crate::pair::{gap, said, with_status, write, Pair};

const BYTES: usize = 4 << 20;

fn name(sequence: u32) -> String {
    Incarnation::FIRST.name(1, sequence)
}

/// The same modification time, so that rsync's quick check takes them for equal.
fn same_time(of: &Path, to: &Path) -> Result<()> {
    let time = std::fs::metadata(of)?.modified()?;
    Ok(File::options().write(true).open(to)?.set_times(FileTimes::new().set_modified(time))?)
}

#[test]
fn a_truncated_log_and_a_half_file_of_the_original_are_completed() -> Result<()> {
    let pair = Pair::new()?;
    for sequence in 1..=3 {
        pair.add(1, sequence, BYTES)?;
    }
    // Cut in the middle of a block, as a full disk leaves it; and what a killed `rsync --inplace` leaves, with its time.
    let whole = |s| std::fs::read(pair.src.join(name(s)));
    write(&pair.dst.join(name(1)), &whole(1)?[..3 * BYTES / 4 + 77])?;
    write(&pair.dst.join(name(2)), &whole(2)?[..3 * BYTES / 4])?;
    same_time(&pair.src.join(name(2)), &pair.dst.join(name(2)))?;
    write(&pair.dst.join(name(3)), b"")?;
    let planted: Vec<_> = (1..=3).map(|s| pair.dst.join(name(s))).collect();
    let watch = pair.watch(&planted);

    let planned = pair.tool()?.arg("--dry-run").run()?.expect(0)?;
    let actions: Vec<_> = planned.of("planned").iter().map(|r| r.text("action").map(str::to_owned)).collect();
    ensure!(actions.iter().filter(|a| a.as_deref() == Some("resume")).count() >= 2, "{actions:?}");
    ensure!(std::fs::metadata(&planted[1])?.len() == 3 * BYTES as u64 / 4, "a dry run changes nothing");

    let before = pair.proxy.bytes().0;
    let outcome = pair.run(0)?;
    let sent = pair.proxy.bytes().0 - before;
    ensure!(with_status(&outcome, "resumed") >= 2, "{}", said(&outcome));
    ensure!(sent < 2 * BYTES as u64, "{sent} bytes were sent for a whole log and two quarters");
    ensure!(pair.mark(1)? == Some(3), "{:?}", pair.mark(1)?);
    pair.check_equal()?;
    ensure!(watch.end()? == 3, "each is looked at once");
    Ok(())
}

#[test]
fn a_different_file_is_reported_and_never_overwritten() -> Result<()> {
    let pair = Pair::new()?;
    for sequence in 1..=7 {
        pair.add(1, sequence, 1 << 20)?;
    }
    let good = |s| std::fs::read(pair.src.join(name(s)));
    let mut flipped = good(2)?;
    flipped[700_000] ^= 1;
    let same_name = Incarnation::FIRST.reset(1).log(1, 3, 1 << 20);
    let mut longer = good(4)?;
    longer.extend([0; 512]);
    let mut other_half = good(5)?[..500_000].to_vec();
    other_half[100_000] ^= 1;
    // rsync -a would take 2 and 6 for equal and say success.
    let zeros_behind: Vec<u8> =
        good(6)?.iter().enumerate().map(|(i, b)| if i < 600_000 { *b } else { 0 }).collect();
    let planted = [(2, flipped), (3, same_name), (4, longer), (5, other_half), (6, zeros_behind)];
    for (sequence, bytes) in &planted {
        write(&pair.dst.join(name(*sequence)), bytes)?;
        same_time(&pair.src.join(name(*sequence)), &pair.dst.join(name(*sequence)))?;
    }

    for round in 0..2 {
        let outcome = pair.tool()?.run()?;
        ensure!(matches!(outcome.status, Some(1 | 5)), "{:?}\n{}", outcome.status, said(&outcome));
        for (sequence, bytes) in &planted {
            ensure!(&std::fs::read(pair.dst.join(name(*sequence)))? == bytes, "{sequence} was overwritten");
            let records = outcome.of("archived_log");
            let of = |r: &&&rig::records::Record| r.number("sequence") == Some(u64::from(*sequence));
            let record = records.iter().find(of).with_context(|| format!("no record of {sequence}"))?;
            ensure!(record.text("status") == Some("failed"), "{}", record.line);
            ensure!(record.text("reason").unwrap_or_default().contains("different file"), "{}", record.line);
        }
        ensure!(
            with_status(&outcome, if round == 0 { "shipped" } else { "present" }) == 2,
            "{}",
            said(&outcome)
        );
        let (thread, from, to, side) = match outcome.of("gap").len() {
            1 => gap(&outcome)?,
            _ => (1, 2, 6, "destination".to_owned()),
        };
        ensure!((thread, from, to, side.as_str()) == (1, 2, 6, "destination"), "{}", said(&outcome));
        let hints: String = outcome.of("gap").iter().filter_map(|g| g.text("hint")).collect();
        ensure!(hints.contains("mv '"), "{hints}");
        ensure!(pair.mark(1)? == Some(1), "the mark must stay below the hole: {:?}", pair.mark(1)?);
    }
    for (sequence, _) in &planted {
        let path = pair.dst.join(name(*sequence));
        std::fs::rename(&path, pair.root.path().join(format!("other{sequence}")))?;
    }
    pair.run(0)?;
    ensure!(pair.mark(1)? == Some(7), "{:?}", pair.mark(1)?);
    pair.check_equal()
}

#[test]
fn the_same_content_counts_as_there_wherever_it_lies() -> Result<()> {
    let pair = Pair::new()?;
    for sequence in 1..=4 {
        pair.add(1, sequence, 1 << 20)?;
    }
    // Under the final name with another time; at another place under a name of its own; a half file there.
    let other = pair.root.path().join("other place/2026_11_20");
    write(&pair.dst.join(name(1)), &std::fs::read(pair.src.join(name(1)))?)?;
    write(&other.join(name(2)), &std::fs::read(pair.src.join(name(2)))?)?;
    write(&other.join(name(3)), &std::fs::read(pair.src.join(name(3)))?[..1000])?;
    let also = pair.root.path().join("other place");
    let tool = || Ok::<_, anyhow::Error>(pair.tool()?.arg("--also-at").arg(&also));
    let outcome = tool()?.run()?.expect(0)?;
    ensure!(with_status(&outcome, "present") == 2, "{}", said(&outcome));
    ensure!(with_status(&outcome, "shipped") + with_status(&outcome, "resumed") == 2, "{}", said(&outcome));
    ensure!(!pair.dst.join(name(2)).exists(), "it is at the other place");
    ensure!(pair.mark(1)? == Some(4), "{:?}", pair.mark(1)?);
    // A log that was verified and is lost there afterwards is sent again, and the mark had gone back meanwhile.
    std::fs::remove_file(other.join(name(2)))?;
    let outcome = tool()?.run()?.expect(0)?;
    ensure!(with_status(&outcome, "shipped") == 1, "{}", said(&outcome));
    // A byte that changes there after the verification is seen by its time, and never mended silently.
    let path = pair.dst.join(name(4));
    let mut bytes = std::fs::read(&path)?;
    bytes[600_000] ^= 1;
    write(&path, &bytes)?;
    let outcome = tool()?.run()?;
    ensure!(matches!(outcome.status, Some(1 | 5)), "{:?}\n{}", outcome.status, said(&outcome));
    ensure!(pair.mark(1)? == Some(3), "the mark takes it back: {:?}", pair.mark(1)?);
    ensure!(std::fs::read(&path)? == bytes, "it was overwritten");
    Ok(())
}

/// An earlier script that is still at work on its half file: taking its name away from under it would end in a mix.
#[test]
fn a_half_file_that_somebody_still_writes_is_not_replaced() -> Result<()> {
    let line = rig::proxy::Line { rate: 1 << 20, ..Default::default() };
    let pair = Pair::with(line, None)?;
    let source = pair.add(1, 1, BYTES)?;
    let whole = std::fs::read(&source)?;
    let half = pair.dst.join(name(1));
    write(&half, &whole[..BYTES / 4])?;
    let mut run = pair.tool()?.start()?;
    run.until(Duration::from_secs(20), "it sends", |_| Ok(pair.proxy.bytes().0 > BYTES as u64 / 4))?;
    write(&half, &whole[..BYTES / 2])?;
    let outcome = run.wait()?;
    ensure!(matches!(outcome.status, Some(1 | 5)), "{:?}\n{}", outcome.status, said(&outcome));
    ensure!(said(&outcome).contains("changed by somebody else"), "{}", said(&outcome));
    ensure!(std::fs::read(&half)? == whole[..BYTES / 2], "it was replaced under its writer");
    ensure!(pair.mark(1)?.is_none(), "{:?}", pair.mark(1)?);
    let outcome = pair.run(0)?;
    ensure!(with_status(&outcome, "resumed") == 1, "{}", said(&outcome));
    ensure!(std::fs::read(&half)? == whole, "completed now");
    Ok(())
}

/// A state directory of the originals, and one that a crash has filled with garbage.
#[test]
fn the_number_of_the_original_and_a_corrupt_state_leave_nothing_out() -> Result<()> {
    let pair = Pair::new()?;
    for sequence in 1..=4 {
        pair.add(1, sequence, 256 << 10)?;
    }
    write(&pair.state("last_arch_seq_thread1"), b"197800\n")?;
    let outcome = pair.run(0)?;
    ensure!(with_status(&outcome, "shipped") == 4 && pair.mark(1)? == Some(4), "{}", said(&outcome));
    ensure!(said(&outcome).contains("197800"), "{}", said(&outcome));
    for file in ["shipped_logs", "ship_marks", "last_arch_seq_thread1"] {
        write(&pair.state(file), b"\0\0\0 garbage\n{\"x\":\n")?;
    }
    std::fs::remove_file(pair.dst.join(name(2)))?;
    let outcome = pair.run(0)?;
    ensure!(said(&outcome).matches("set aside").count() >= 3, "{}", said(&outcome));
    ensure!(
        (with_status(&outcome, "shipped"), with_status(&outcome, "present")) == (1, 3),
        "{}",
        said(&outcome)
    );
    ensure!(pair.mark(1)? == Some(4), "{:?}", pair.mark(1)?);
    pair.check_equal()
}
