//! A night behind an export: what is packed, what is refused, what the status says.

use std::io::Write;
use std::time::Duration;

use anyhow::{ensure, Result};

use crate::stage::{archive, begin, dated, end, export, file, hex, named, said, Stage};

#[test]
fn records_come_out_as_they_came_in_and_the_archive_is_a_receipt() -> Result<()> {
    let stage = Stage::new()?;
    let dump = stage.dump("RH.DMP", 2_500_000)?;
    let log = stage.dump("RH.LOG", 900)?;
    let future = "{\"v\":7,\"type\":\"of_the_future\",\"x\" : [1,  2]}\n";
    let input = format!(
        "{}{}{}{future}{}{}",
        begin(),
        export("RH", "success"),
        file(&dump)?,
        file(&log)?,
        end("success", 0)
    );
    let outcome = stage.with_copy()?.stdin(input.clone()).run()?.expect(0)?;
    let out = String::from_utf8_lossy(&outcome.stdout).into_owned();
    for line in input.lines() {
        ensure!(out.lines().any(|l| l == line), "{line} did not come out:\n{out}");
    }
    ensure!(Stage::names(&stage.archives)? == [dated(0)], "{:?}", Stage::names(&stage.archives)?);
    ensure!(Stage::names(&stage.copy)? == [dated(0)]);
    let files = outcome.of("file");
    ensure!(files.len() == 2, "{}", said(&outcome));
    let bytes = std::fs::read(stage.archives.join(dated(0)))?;
    for record in files {
        ensure!(record.text("role") == Some("archive") && record.text("db") == Some("PROD"));
        ensure!(
            record.text("sha256") == Some(&hex(&bytes)),
            "the hash of the record is not that of the file"
        );
        ensure!(record.number("bytes") == Some(bytes.len() as u64));
        ensure!(record.text("backup_time").is_some());
    }
    ensure!(bytes == std::fs::read(stage.copy.join(dated(0)))?, "the copy differs");
    ensure!(outcome.of("kept").len() == 2, "{}", said(&outcome));
    Ok(())
}

#[test]
fn a_second_run_of_the_day_replaces_only_what_is_worth_no_more() -> Result<()> {
    let stage = Stage::new()?;
    let dump = stage.dump("RH.DMP", 100_000)?;
    stage.tool()?.arg(&dump).run()?.expect(0)?;
    let good = std::fs::read(stage.archives.join(dated(0)))?;
    // A failed night of the same day gets a name of its own.
    let input = format!("{}{}{}{}", begin(), export("FIN", "failed"), file(&dump)?, end("failed", 2));
    let outcome = stage.tool()?.stdin(input).run()?.expect(2)?;
    ensure!(
        std::fs::read(stage.archives.join(dated(0)))? == good,
        "the good archive was replaced by a partial one"
    );
    let second = dated(0).replace(".zip", "-2.zip");
    ensure!(named(&outcome, "file") == [second.clone()], "{}", said(&outcome));
    // A good one takes the place of the good one.
    std::fs::write(&dump, b"another content")?;
    stage.tool()?.arg(&dump).run()?.expect(0)?;
    ensure!(std::fs::read(stage.archives.join(dated(0)))? != good);
    ensure!(Stage::names(&stage.archives)? == [second, dated(0)]);
    // Somebody else's file under our name stays.
    let stranger = Stage::new()?;
    std::fs::write(stranger.archives.join(dated(0)), b"not a ZIP at all")?;
    let outcome = stranger.tool()?.arg(&dump).run()?.expect(1)?;
    ensure!(std::fs::read(stranger.archives.join(dated(0)))? == b"not a ZIP at all");
    ensure!(said(&outcome).contains("is damaged and counts for nothing"), "{}", said(&outcome));
    Ok(())
}

#[test]
fn the_verdict_of_the_night_decides_about_removal() -> Result<()> {
    for (records, exit, why) in [
        (export("FIN", "failed") + &end("failed", 2), 2, "the run before was no success"),
        (export("FIN", "partial") + &end("partial", 1), 1, "the run before was no success"),
        (export("FIN", "success"), 2, "its producer died"),
        ("no record\n".to_owned() + &end("success", 0), 1, "the run before was no success"),
        ("{\"path\":\"/nowhere/X.DMP\"}\n".to_owned() + &end("success", 0), 1, "the archive lacks something"),
    ] {
        let stage = Stage::new()?;
        let old = stage.archives_of(&stage.archives, &[40, 30, 20])?;
        let dump = stage.dump("RH.DMP", 50_000)?;
        let input = format!("{}{}{records}", begin(), file(&dump)?);
        let outcome = stage.tool()?.stdin(input).run()?.expect(exit)?;
        ensure!(said(&outcome).contains(why), "{why}: {}", said(&outcome));
        ensure!(outcome.of("removed").is_empty(), "{}", said(&outcome));
        ensure!(old.iter().all(|p| p.exists()));
        ensure!(archive(&outcome)?.exists(), "what there is is packed in any case");
        // It does not count: a good night later still keeps the two newest good ones.
        let outcome = stage.tool()?.arg("--rotate-only").run()?.expect(0)?;
        ensure!(named(&outcome, "removed") == [dated(40)], "{}", said(&outcome));
        ensure!(said(&outcome).contains("lacks something"), "{}", said(&outcome));
    }
    Ok(())
}

#[test]
fn a_claim_that_is_not_true_makes_no_archive() -> Result<()> {
    let stage = Stage::new()?;
    let dump = stage.dump("RH.DMP", 3_000_000)?;
    let mut record = file(&dump)?;
    let true_hash = hex(&std::fs::read(&dump)?);
    record = record.replace(&true_hash, &"0".repeat(64));
    let outcome =
        stage.tool()?.stdin(format!("{}{record}{}", begin(), end("success", 0))).run()?.expect(2)?;
    ensure!(said(&outcome).contains("its record says SHA-256 0000"), "{}", said(&outcome));
    ensure!(Stage::names(&stage.archives)?.is_empty(), "{:?}", Stage::names(&stage.archives)?);
    Ok(())
}

#[test]
fn a_file_that_changes_while_it_is_read_makes_no_archive() -> Result<()> {
    let stage = Stage::new()?;
    let dump = stage.dump("RH.DMP", 24 << 20)?;
    let mut run = stage.tool()?.args(["--threads", "1", "--level", "9"]).arg(&dump).start()?;
    let archives = stage.archives.clone();
    run.until(Duration::from_secs(60), "the archive under way", |_| {
        let name = Stage::names(&archives)?.pop();
        Ok(name.is_some_and(|n| std::fs::metadata(archives.join(n)).is_ok_and(|m| m.len() > 100_000)))
    })?;
    std::fs::OpenOptions::new().append(true).open(&dump)?.write_all(b"one row more")?;
    let outcome = run.wait()?.expect(2)?;
    ensure!(said(&outcome).contains("it changed while it was read"), "{}", said(&outcome));
    ensure!(Stage::names(&stage.archives)?.is_empty());
    Ok(())
}

#[test]
fn nothing_to_pack_removes_nothing() -> Result<()> {
    let stage = Stage::new()?;
    let old = stage.archives_of(&stage.archives, &[40, 30, 20])?;
    let outcome = stage.tool()?.stdin(begin() + &end("success", 0)).run()?.expect(0)?;
    ensure!(old.iter().all(|p| p.exists()), "{}", said(&outcome));
    ensure!(said(&outcome).contains("no file to pack"), "{}", said(&outcome));
    // A policy that keeps nothing is refused, and what came in comes out.
    let outcome =
        stage.tool()?.args(["--keep-max", "0"]).stdin(begin() + &end("success", 0)).run()?.expect(4)?;
    ensure!(
        old.iter().all(|p| p.exists()) && said(&outcome).contains("\"run\":\"r7\""),
        "{}",
        said(&outcome)
    );
    stage
        .tool()?
        .env("KEEP_MINIMUM_BACKUPS", "0")
        .args(["--keep-days", "0", "--rotate-only"])
        .run()?
        .expect(4)?;
    Ok(())
}

#[test]
fn a_dry_run_tells_what_a_run_does_and_changes_nothing() -> Result<()> {
    let stage = Stage::new()?;
    stage.archives_of(&stage.archives, &[40, 30, 2])?;
    stage.archives_of(&stage.copy, &[50, 2])?;
    let dump = stage.dump("RH.DMP", 50_000)?;
    let before =
        (Stage::names(&stage.archives)?, Stage::names(&stage.copy)?, Stage::names(stage.root.path())?.len());
    let planned = stage.with_copy()?.arg("--dry-run").arg(&dump).run()?.expect(0)?;
    ensure!(before.0 == Stage::names(&stage.archives)? && before.1 == Stage::names(&stage.copy)?);
    ensure!(!stage.root.path().join("state").exists(), "a dry run left state behind");
    let mut would: Vec<_> = planned
        .of("planned")
        .into_iter()
        .filter(|r| r.text("action") == Some("remove"))
        .filter_map(|r| r.text("path").map(str::to_owned))
        .collect();
    let done = stage.with_copy()?.arg(&dump).run()?.expect(0)?;
    let mut did: Vec<_> =
        done.of("removed").into_iter().filter_map(|r| r.text("path").map(str::to_owned)).collect();
    would.sort();
    did.sort();
    ensure!(would == did && did.len() == 3, "{would:?} {did:?}");
    Ok(())
}
