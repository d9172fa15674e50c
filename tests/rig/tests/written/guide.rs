//! The restore guide, by its own lines, against a database that has lost its files.

use anyhow::{ensure, Context, Result};
use orasim::server::admin::Admin;

use crate::lab::{script, Lab};
use crate::root;

/// The lines of a block of RESTORE.md that calls restore_oracle.sh, as words after the script's name.
fn calls(chapter: &str) -> Result<Vec<Vec<String>>> {
    let text = std::fs::read_to_string(root().join("docs/RESTORE.md"))?;
    let chapter = text.split("\n## ").find(|c| c.starts_with(chapter)).context("no such chapter")?;
    let block = chapter.split("```sh\n").nth(1).and_then(|b| b.split("\n```").next()).context("no block")?;
    let mut calls = Vec::new();
    for line in block.lines() {
        let line = line.split("  #").next().unwrap_or(line);
        let Some(words) = line.strip_prefix("scripts/restore_oracle.sh ") else { continue };
        // The day of the document is not ours: now.
        let now = chrono::Local::now().format("%Y-%m-%d %H:%M:%S").to_string();
        let words = words.replace("'2026-11-20 14:55:00'", "NOW");
        calls.push(words.split_whitespace().map(|w| w.replace("NOW", &now)).collect());
    }
    Ok(calls)
}

#[test]
fn the_restore_guide_brings_a_database_back_that_has_lost_its_datafiles() -> Result<()> {
    let lab = Lab::new(0)?;
    lab.write(300)?;
    lab.back_up("FULL")?;
    lab.write(100)?;
    lab.back_up("INCREMENTAL")?;
    lab.write(50)?;
    let last = lab.scn()?;
    let run = |words: &[String]| {
        let args: Vec<&str> = words.iter().map(String::as_str).collect();
        lab.run(&script("restore_oracle.sh"), &args, b"", &[])
    };
    let plans = calls("1. How far back")?;
    ensure!(plans.len() == 2, "{plans:?}");
    for words in &plans {
        let ran = run(words)?.expect(&[0, 5])?;
        ensure!(ran.status == Some(5) || !ran.of("planned").is_empty(), "{}", ran.said());
    }
    lab.db.admin(Admin::Kill)?;
    std::fs::remove_dir_all(lab.at("data"))?;
    let _none = std::fs::remove_file(lab.db.dir.join("in-flight.blocks"));
    let steps = calls("2. A database that lost datafiles")?;
    ensure!(steps.len() == 2 && steps[0].contains(&"--dry-run".to_owned()), "{steps:?}");
    let ran = run(&steps[0])?.expect(&[0])?;
    ensure!(!lab.at("data/users01.dbf").exists(), "a dry run restores nothing: {}", ran.said());
    let ran = run(&steps[1])?.expect(&[0])?;
    ensure!(lab.state()? == "Open" && lab.scn()? >= last, "{}", ran.said());
    Ok(())
}
