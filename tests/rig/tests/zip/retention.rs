//! What goes and what stays, in directories.

use std::fs::File;
use std::time::{Duration, SystemTime};

use anyhow::{ensure, Result};

use crate::stage::{begin, dated, end, named, said, Stage};

#[test]
fn both_sides_have_their_own_minimum() -> Result<()> {
    let stage = Stage::new()?;
    stage.archives_of(&stage.archives, &[9, 8, 7, 6, 5, 4, 3, 2, 1])?;
    stage.archives_of(&stage.copy, &[90, 80, 70])?;
    let dump = stage.dump("RH.DMP", 50_000)?;
    let outcome = stage.with_copy()?.arg(&dump).run()?.expect(0)?;
    let mut want: Vec<_> = (0..7).map(dated).collect();
    want.sort();
    ensure!(Stage::names(&stage.archives)? == want, "{}", said(&outcome));
    let mut want = vec![dated(0), dated(70)];
    want.sort();
    ensure!(Stage::names(&stage.copy)? == want, "{}", said(&outcome));
    // A second run removes nothing.
    let outcome = stage.with_copy()?.arg("--rotate-only").run()?.expect(0)?;
    ensure!(outcome.of("removed").is_empty(), "{}", said(&outcome));
    Ok(())
}

#[test]
fn future_foreign_and_damaged_files_stay_and_do_not_count() -> Result<()> {
    let stage = Stage::new()?;
    let paths = stage.archives_of(&stage.archives, &[-3, 1, 2, 20, 30])?;
    let whole = std::fs::read(&paths[1])?;
    // Half of an archive, one with a byte turned over, and files of others.
    std::fs::write(&paths[1], &whole[..whole.len() / 2])?;
    let mut turned = whole.clone();
    turned[5000] ^= 1;
    std::fs::write(&paths[2], &turned)?;
    std::fs::write(stage.archives.join("photos.zip"), b"x")?;
    std::fs::write(stage.archives.join("notes.txt"), b"x")?;
    let before = Stage::names(&stage.archives)?;
    let outcome = stage.tool()?.args(["--rotate-only", "--keep-days", "5"]).run()?.expect(1)?;
    ensure!(Stage::names(&stage.archives)? == before, "{}", said(&outcome));
    let words = said(&outcome);
    ensure!(words.contains("dated in the future"), "{words}");
    ensure!(words.contains("not an archive of ours"), "{words}");
    ensure!(words.matches("is damaged and counts for nothing").count() >= 2, "{words}");
    // The two old ones are the newest good ones; a third makes the oldest go.
    stage.archives_of(&stage.archives, &[3])?;
    let outcome = stage.tool()?.args(["--rotate-only", "--keep-days", "5"]).run()?.expect(1)?;
    ensure!(named(&outcome, "removed") == [dated(30)], "{}", said(&outcome));
    Ok(())
}

#[test]
fn the_archives_of_the_original_count_by_their_name_and_then_by_their_time() -> Result<()> {
    let stage = Stage::new()?;
    for (name, age) in
        [("backup_segunda-feira.zip", 3_u64), ("backup_terca-feira.zip", 2), ("backup_sabado.zip", 40)]
    {
        crate::stage::other(
            "python3",
            &["-c", "import sys,zipfile\nzipfile.ZipFile(sys.argv[1],'w').writestr('RH.DMP','rows')", name],
            &stage.archives,
        )?;
        let then = SystemTime::now() - Duration::from_secs(age * 86_400);
        File::open(stage.archives.join(name))?.set_modified(then)?;
    }
    let tool = stage.tool()?.args(["--name", "backup_{weekday}.zip", "--rotate-only"]);
    let outcome = tool.run()?.expect(0)?;
    ensure!(named(&outcome, "removed") == ["backup_sabado.zip"], "{}", said(&outcome));
    ensure!(Stage::names(&stage.archives)?.len() == 2);
    Ok(())
}

#[test]
fn retention_alone_behind_a_producer_waits_for_its_success() -> Result<()> {
    let stage = Stage::new()?;
    let here = stage.archives_of(&stage.archives, &[40, 30, 20])?;
    let failed = format!("{}{}", begin(), end("failed", 2));
    for (input, status, why) in [(begin(), 2, "its producer died"), (failed, 2, "ended with status 2")] {
        let outcome = stage.tool()?.arg("--rotate-only").stdin(input).run()?.expect(status)?;
        ensure!(said(&outcome).contains("no old archive is removed"), "{}", said(&outcome));
        ensure!(said(&outcome).contains(why), "{}", said(&outcome));
        ensure!(outcome.of("removed").is_empty() && here.iter().all(|p| p.exists()), "{}", said(&outcome));
    }
    let good = format!("{}{}", begin(), end("success", 0));
    let outcome = stage.tool()?.arg("--rotate-only").stdin(good).run()?.expect(0)?;
    ensure!(outcome.of("removed").len() == 1 && !here[0].exists(), "{}", said(&outcome));
    Ok(())
}

#[test]
fn a_run_that_does_not_know_its_database_leaves_the_archives_of_all_alone() -> Result<()> {
    let stage = Stage::new()?;
    let here = stage.archives_of(&stage.archives, &[40, 30, 20])?;
    let outcome = stage.tool()?.env("ORACLE_SID", "").arg("--rotate-only").run()?.expect(0)?;
    ensure!(outcome.of("removed").is_empty() && here.iter().all(|p| p.exists()), "{}", said(&outcome));
    Ok(())
}

#[test]
fn verify_finds_one_turned_bit() -> Result<()> {
    let stage = Stage::new()?;
    let dump = stage.dump("RH.DMP", 400_000)?;
    stage.tool()?.arg(&dump).run()?.expect(0)?;
    let path = stage.archives.join(dated(0));
    let outcome = stage.tool()?.arg("--verify").arg(&path).run()?.expect(0)?;
    ensure!(named(&outcome, "file") == [dated(0)], "{}", said(&outcome));
    let whole = std::fs::read(&path)?;
    for at in [60, whole.len() / 3, whole.len() - 300] {
        let mut turned = whole.clone();
        turned[at] ^= 4;
        std::fs::write(&path, turned)?;
        let outcome = stage.tool()?.arg("--verify").arg(&stage.archives).run()?.expect(5)?;
        ensure!(
            outcome.of("file").is_empty() && said(&outcome).contains("is damaged"),
            "{at}: {}",
            said(&outcome)
        );
    }
    Ok(())
}

#[test]
fn dumps_of_earlier_days_go_when_they_are_in_a_proven_archive() -> Result<()> {
    let stage = Stage::new()?;
    let yesterday = SystemTime::now() - Duration::from_secs(86_400);
    let [old, changed, outside] = ["ONTEM.DMP", "MUDOU.DMP", "FORA.DMP"].map(|n| stage.dump(n, 40_000));
    let (old, changed, outside) = (old?, changed?, outside?);
    for path in [&old, &changed, &outside] {
        File::options().write(true).open(path)?.set_modified(yesterday)?;
    }
    let today = stage.dump("HOJE.DMP", 40_000)?;
    stage.tool()?.args([&old, &changed, &today]).run()?.expect(0)?;
    ensure!(old.exists(), "without --remove-dumps nothing goes");
    // Same size and time, other content: the hash tells.
    let mut bytes = std::fs::read(&changed)?;
    bytes[100] ^= 1;
    std::fs::write(&changed, bytes)?;
    File::options().write(true).open(&changed)?.set_modified(yesterday)?;
    let outcome = stage.tool()?.args(["--rotate-only", "--remove-dumps"]).run()?.expect(0)?;
    ensure!(named(&outcome, "removed") == ["ONTEM.DMP"], "{}", said(&outcome));
    ensure!(!old.exists() && changed.exists() && outside.exists() && today.exists());
    Ok(())
}

#[test]
fn the_calendar_is_printed_and_nothing_is_touched() -> Result<()> {
    let stage = Stage::new()?;
    let outcome = stage.tool()?.args(["--simulate", "400d"]).run()?.expect(0)?;
    let days: Vec<_> = outcome.of("log").into_iter().filter_map(|r| r.text("message")).collect();
    ensure!(days.len() == 400, "{}", days.len());
    ensure!(days[399].contains("keeps 7 ("), "{}", days[399]);
    ensure!(outcome.of("planned").len() == 393, "{}", outcome.of("planned").len());
    ensure!(Stage::names(&stage.archives)?.is_empty());
    Ok(())
}
