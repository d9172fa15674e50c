//! What the wrappers refuse, and what they only show.

use anyhow::{ensure, Result};

use crate::lab::{script, walk, Lab};

#[test]
fn wrong_usage_a_missing_bucket_and_plan() -> Result<()> {
    let lab = Lab::new(0)?;
    let (backup, restore) = (script("backup_oracle_s3.sh"), script("restore_oracle.sh"));
    for (path, args) in [
        (&backup, &[][..]),
        (&backup, &["SOMETIMES"]),
        (&restore, &[]),
        (&restore, &["LATEST"]),
        (&restore, &["FULL", "--until-scn"]),
        (&restore, &["FULL", "--plan", "--until-time", "yesterday"]),
    ] {
        let ran = lab.run(path, args, b"", &[])?.expect(&[64])?;
        ensure!(
            ["usage", "error:", "restore_oracle.sh FULL|INCREMENTAL"].iter().any(|w| ran.stderr.contains(w)),
            "{args:?}: {}",
            ran.stderr
        );
    }
    let ran = lab.run(&restore, &["FULL"], b"", &[("S3_BUCKET_NAME", ""), ("RESTORE_SOURCE_DIR", "")])?;
    let ran = ran.expect(&[64])?;
    ensure!(ran.stderr.contains("neither S3_BUCKET_NAME nor RESTORE_SOURCE_DIR is set"), "{}", ran.stderr);
    let ran = lab.run(&restore, &["FULL"], b"", &[("RESTORE_SOURCE_DIR", "")])?.expect(&[64])?;
    ensure!(ran.stderr.contains("RESTORE_SOURCE_DIR is not set"), "{}", ran.stderr);

    // A bucket that is not there: the pieces stay on the disk, and nothing claims that they are stored.
    let away = [("S3_BUCKET_NAME", "not-there")];
    let ran = lab.run(&backup, &["FULL"], b"", &away)?.expect(&[64])?;
    ensure!(ran.stderr.contains("not-there"), "{}", ran.stderr);
    ensure!(ran.of("object").iter().all(|o| o["status"] == "failed"), "{:?}", ran.of("object"));
    ensure!(!walk(&lab.at("rman"))?.is_empty(), "the pieces are gone");
    for args in [&["FULL", "--plan"][..], &["FULL", "--force"]] {
        let ran = lab.run(&restore, args, b"", &away)?;
        ensure!(!matches!(ran.status, Some(0 | 1)), "{args:?}: {:?}\n{}", ran.status, ran.said());
        ensure!(ran.stderr.contains("not-there"), "{}", ran.stderr);
    }
    ensure!(lab.state()? == "Open", "the database was touched");

    // An empty bucket has nothing to plan with, and says so.
    let ran = lab.run(&restore, &["FULL", "--plan"], b"", &[])?;
    ensure!(ran.status == Some(5) && ran.stderr.contains("no backup"), "{:?} {}", ran.status, ran.stderr);
    let ran = lab.run(&restore, &["FULL", "--force"], b"", &[])?;
    ensure!(ran.status == Some(5) && lab.state()? == "Open", "{:?} {}", ran.status, ran.stderr);

    // --plan shows the pieces and their sizes; an open database is not overwritten.
    lab.run(&backup, &["FULL"], b"", &[])?.expect(&[0])?;
    let ran = lab.run(&restore, &["INCREMENTAL", "--plan"], b"", &[])?.expect(&[0])?;
    let planned = ran.of("planned");
    ensure!(
        planned.iter().any(|p| p["reason"].as_str().unwrap_or_default().contains("level 0")),
        "{planned:?}"
    );
    ensure!(planned.iter().all(|p| p["bytes"].as_u64().is_some_and(|b| b > 0)), "{planned:?}");
    ensure!(walk(&lab.at("restore"))?.is_empty(), "--plan has fetched something");
    let ran = lab.run(&restore, &["INCREMENTAL", "--plan", "--until-scn", "1"], b"", &[])?.expect(&[5])?;
    ensure!(ran.stderr.contains("cannot be reached"), "{}", ran.stderr);
    let ran = lab.run(&restore, &["INCREMENTAL"], b"", &[])?.expect(&[4])?;
    ensure!(ran.stderr.contains("the database is open") && lab.state()? == "Open", "{}", ran.stderr);
    Ok(())
}
