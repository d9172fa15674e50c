//! `--status` and `--verify`: they look, tell, and change nothing.

use std::fs::{File, FileTimes};
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

use anyhow::{ensure, Result};

use crate::logs::Incarnation;
use crate::pair::{files, gap, said, with_status, Pair};

const BYTES: usize = 256 << 10;

fn name(sequence: u32) -> String {
    Incarnation::FIRST.name(1, sequence)
}

/// Everything below a directory with its bytes.
fn picture(dir: &Path) -> Result<Vec<(std::path::PathBuf, Vec<u8>)>> {
    files(dir).unwrap_or_default().into_iter().map(|p| Ok((p.clone(), std::fs::read(p)?))).collect()
}

/// A bad disk: one bit, while size and times stay.
fn rot(path: &Path) -> Result<()> {
    let time = std::fs::metadata(path)?.modified()?;
    let byte = std::fs::read(path)?[BYTES / 2] ^ 4;
    let mut file = File::options().write(true).open(path)?;
    file.seek(SeekFrom::Start(BYTES as u64 / 2))?;
    file.write_all(&[byte])?;
    Ok(file.set_times(FileTimes::new().set_modified(time))?)
}

#[test]
fn status_tells_how_far_the_standby_is_and_five_means_a_gap() -> Result<()> {
    let pair = Pair::new()?;
    for sequence in 1..=3 {
        pair.add(1, sequence, BYTES)?;
    }
    let status = |exit| pair.tool()?.arg("--status").run()?.expect(exit);
    let behind = status(0)?;
    let standby = behind.of("standby");
    ensure!(
        standby.len() == 1 && standby[0].number("lag_bytes") == Some(3 * BYTES as u64),
        "{}",
        said(&behind)
    );
    ensure!(!pair.root.path().join("state").exists(), "looking makes no state");
    pair.run(0)?;
    let before = (picture(&pair.root.path().join("state"))?, picture(&pair.dst)?);
    let good = status(0)?;
    let standby = good.of("standby");
    ensure!(standby[0].number("lag_bytes") == Some(0), "{}", said(&good));
    let next = Incarnation::FIRST.first_scn(4);
    ensure!(standby[0].number("recoverable_to_scn") == Some(next), "{}", said(&good));
    ensure!(standby[0].fields["threads"][0]["received"] == 3, "{}", said(&good));

    // A later log is there and one before it is not.
    pair.add(1, 5, BYTES)?;
    let holed = status(5)?;
    ensure!(gap(&holed)? == (1, 4, 4, "source".to_owned()), "{}", said(&holed));
    ensure!(
        (picture(&pair.root.path().join("state"))?, picture(&pair.dst)?) == before,
        "--status changed something"
    );

    // What was shipped and is gone at the standby, with the source purged: a gap, and the mark does not hide it.
    std::fs::remove_file(pair.src.join(name(5)))?;
    std::fs::remove_file(pair.src.join(name(2)))?;
    status(0)?;
    std::fs::remove_file(pair.dst.join(name(2)))?;
    let lost = status(5)?;
    let (_, from, to, _) = gap(&lost)?;
    ensure!((from, to) == (2, 2), "{}", said(&lost));
    Ok(())
}

#[test]
fn verify_reads_everything_again_and_names_what_rotted() -> Result<()> {
    let pair = Pair::new()?;
    for sequence in 1..=4 {
        pair.add(1, sequence, BYTES)?;
    }
    pair.run(0)?;
    let verify = |exit| pair.tool()?.arg("--verify").run()?.expect(exit);
    ensure!(with_status(&verify(0)?, "present") == 4, "all good");
    rot(&pair.dst.join(name(3)))?;
    let found = verify(5)?;
    let bad: Vec<_> =
        found.of("archived_log").into_iter().filter(|r| r.text("status") == Some("failed")).collect();
    ensure!(bad.len() == 1 && bad[0].number("sequence") == Some(3), "{}", said(&found));
    ensure!(bad[0].line.contains(&name(3)), "{}", bad[0].line);
    // The recorded hash tells it when the source is gone.
    for sequence in 1..=4 {
        std::fs::remove_file(pair.src.join(name(sequence)))?;
    }
    let found = verify(5)?;
    ensure!(with_status(&found, "failed") == 1 && with_status(&found, "present") == 3, "{}", said(&found));
    std::fs::remove_file(pair.dst.join(name(4)))?;
    let found = verify(5)?;
    ensure!(said(&found).contains(&name(4)) || found.of("gap").len() == 1, "{}", said(&found));
    Ok(())
}
