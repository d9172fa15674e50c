//! A new machine with nothing but the bucket, as docs/RESTORE.md has it; and the life after.

use anyhow::{ensure, Result};

use crate::lab::{script, walk, Lab};

#[test]
fn a_new_machine_its_first_backups_and_back_to_before() -> Result<()> {
    let (mut lab, scns) = Lab::with_history()?;
    lab.move_house()?;
    ensure!(lab.state()? == "Down" && walk(&lab.at("data"))?.is_empty(), "the new machine is not empty");
    let map = format!("{}={}", lab.at("data").display(), lab.at("elsewhere").display());
    std::fs::create_dir(lab.at("elsewhere"))?;

    let look = ["INCREMENTAL", "--controlfile", "--spfile", "--resetlogs", "--map", &map, "--dry-run"];
    let shown = lab.run(&script("restore_oracle.sh"), &look, b"", &[])?.expect(&[0])?;
    let scripts: Vec<&str> = shown.of("planned").iter().filter_map(|p| p["script"].as_str()).collect();
    ensure!(scripts.iter().any(|s| s.contains("RESTORE SPFILE FROM '")), "{scripts:?}");
    ensure!(lab.state()? == "Down" && walk(&lab.at("elsewhere"))?.is_empty(), "a dry run did something");

    // First without OPEN, so that what was restored can be compared with what was there.
    let args = ["INCREMENTAL", "--controlfile", "--spfile", "--no-resetlogs", "--map", &map];
    lab.run(&script("restore_oracle.sh"), &args, b"", &[])?.expect(&[0])?;
    let end = lab.check_truth()?;
    ensure!(end >= *scns.last().unwrap_or(&0), "{end} {scns:?}");
    ensure!(
        walk(&lab.at("data"))?.is_empty() && walk(&lab.at("elsewhere"))?.len() == 4,
        "--map was not heeded"
    );
    ensure!(lab.db.dir.join("spfilePROD.ora").exists(), "no parameter file was restored");
    lab.lose_everything()?;
    std::fs::create_dir(lab.at("elsewhere"))?;
    let args = ["INCREMENTAL", "--controlfile", "--spfile", "--resetlogs", "--map", &map];
    lab.run(&script("restore_oracle.sh"), &args, b"", &[])?.expect(&[0])?;
    ensure!(lab.state()? == "Open", "it is not open");

    // The new incarnation is backed up, and reached.
    lab.write(60)?;
    lab.back_up("FULL")?;
    lab.write(60)?;
    lab.store(&["archivelog"])?;
    let after = lab.scn()?;
    lab.truth = lab.db.dir.clone();
    lab.lose_everything()?;
    let reached = lab.restore_to(&[])?;
    ensure!(reached > end && reached <= after + 1, "{end} {reached} {after}");

    // Before the RESETLOGS the old backups still hold.
    lab.truth = lab.at(crate::lab::DEAD);
    for scn in [scns[1] + 5, scns[3] + 7] {
        lab.lose_everything()?;
        let reached = lab.restore_to(&["--until-scn", &scn.to_string()])?;
        ensure!(reached == scn, "{reached} instead of {scn}");
    }
    third_incarnation(&mut lab, scns[3] + 7)
}

/// From the middle of the first; its control file gives autobackups names that the bucket has already.
fn third_incarnation(lab: &mut Lab, branch: u64) -> Result<()> {
    lab.db.sql("ALTER DATABASE OPEN RESETLOGS")?;
    lab.write(60)?;
    let before = lab.server.objects()?;
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let ran = lab.run(&script("backup_oracle_s3.sh"), &["FULL"], b"", &[])?.expect(&[1])?;
    for failed in ran.of("object").into_iter().filter(|o| o["status"] == "failed") {
        let (key, path) = (failed["key"].as_str().unwrap_or("?"), failed["path"].as_str().unwrap_or("?"));
        ensure!(key.contains("/c-") && std::path::Path::new(path).exists(), "{failed}");
        ensure!(ran.stderr.contains(&format!("{key} is there with another content")), "{}", ran.said());
    }
    let after = lab.server.objects()?;
    let same = |key: &String| after.get(key).map(|o| &o.etag) == before.get(key).map(|o| &o.etag);
    ensure!(before.keys().all(same), "an object was overwritten");
    lab.truth = lab.db.dir.clone();
    let last = lab.scn()?;
    // Without what lies on the disk still.
    std::fs::remove_dir_all(lab.at("rman"))?;
    lab.lose_everything()?;
    let reached = lab.restore_to(&[])?;
    ensure!(reached > branch && reached <= last + 1, "{branch} {reached} {last}");
    Ok(())
}
