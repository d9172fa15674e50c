//! The example of the original's README: level 0 on Sunday, level 1 at 20:00, 01:00 and 10:00, disaster at 15:00.

use anyhow::{ensure, Result};

use crate::lab::{script, walk, Lab};

#[test]
fn a_disaster_after_a_full_and_three_incrementals_loses_no_transaction() -> Result<()> {
    let lab = Lab::new(150)?;
    for night in ["FULL", "INCREMENTAL", "INCREMENTAL", "INCREMENTAL"] {
        lab.back_up(night)?;
        lab.write(8000)?;
    }
    // Between ten and three o'clock: logs that are archived, in no backup, and unknown to the control file in the bucket.
    for _ in 0..2 {
        lab.db.sql("ALTER SYSTEM ARCHIVE LOG CURRENT")?;
        lab.write(300)?;
    }
    let last = lab.scn()?;
    lab.lose_files()?;

    let plan = lab.run(&script("restore_oracle.sh"), &["INCREMENTAL", "--plan"], b"", &[])?.expect(&[0])?;
    ensure!(walk(&lab.at("restore"))?.is_empty() && lab.state()? == "Down", "--plan has done something");
    let wrapped = ["INCREMENTAL", "--controlfile", "--no-resetlogs"];
    let ran = lab.run(&script("restore_oracle.sh"), &wrapped, b"", &[])?.expect(&[0])?;
    let level1 = |r: &serde_json::Value| r["type"] == "file" && r["level"] == 1;
    ensure!(ran.records.iter().any(level1), "no level 1 was used: {}", ran.said());
    ensure!(ran.keys().is_subset(&plan.keys()), "more than planned");
    let reached = lab.check_truth()?;
    ensure!(reached >= last, "recovered to {reached}, the last transaction was at {last}\n{}", ran.said());
    lab.db.sql("ALTER DATABASE OPEN RESETLOGS")?;
    ensure!(lab.state()? == "Open");
    Ok(())
}

#[test]
fn full_fetches_what_it_needs_although_level_1s_would_be_less() -> Result<()> {
    let (lab, scns) = Lab::with_history()?;
    let last = *scns.last().unwrap();
    let planned = lab.plan(&[])?.expect(&[0])?;
    ensure!(planned.of("file").iter().any(|f| f["level"] == 1), "this needs a plan with a level 1");
    lab.lose_everything()?;
    let args = ["FULL", "--controlfile", "--no-resetlogs"];
    let ran = lab.run(&script("restore_oracle.sh"), &args, b"", &[])?.expect(&[0])?;
    ensure!(!ran.of("file").iter().any(|f| f["level"] == 1), "FULL has used a level 1");
    ensure!(lab.check_truth()? >= last);
    Ok(())
}
