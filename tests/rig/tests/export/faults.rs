//! Exports that go wrong, each with its record, its status, and the last good dump where it was.

use anyhow::{ensure, Result};
use orasim::datapump::Kind;
use rig::tool::Outcome;

use crate::lab::{export, gold, names, Lab};

/// A good export first; then the fault; then the good dump must be as it was.
fn after_a_good_one(kinds: &[Kind], status: i32) -> Result<(Lab, Outcome)> {
    let lab = Lab::new()?;
    lab.tool()?.args(["--schema", "GOLD"]).run()?.expect(0)?;
    let good = std::fs::read(lab.dp("GOLD_day.DMP"))?;
    lab.fault("GOLD", kinds)?;
    let run = lab
        .tool()?
        .args(["--schema", "GOLD", "--sql-timeout", "10s", "--min-bytes", "50k"])
        .run()?
        .expect(status)?;
    ensure!(std::fs::read(lab.dp("GOLD_day.DMP"))? == good, "the last good dump was touched");
    lab.check_clean(Some(&run))?;
    Ok((lab, run))
}

fn check(run: &Outcome, status: &str, code: Option<&str>, reason: &str) -> Result<()> {
    let record = export(run, "GOLD")?;
    ensure!(record.text("status") == Some(status), "{}", record.line);
    ensure!(record.text("code") == code, "{}", record.line);
    ensure!(record.text("reason").unwrap_or_default().contains(reason), "{}", record.line);
    Ok(())
}

#[test]
fn skipped_tables_make_it_partial_and_are_named() -> Result<()> {
    let skip = |object: &str, code| Kind::Skip { object: object.into(), code };
    let kinds = [skip("\"GOLD\".\"CLIENTES\"", 1555), skip("\"GOLD\".\"VENDAS\":\"P2026\"", 28365)];
    let (lab, run) = after_a_good_one(&kinds, 1)?;
    check(&run, "partial", Some("ORA-31693"), "not exported: \"GOLD\".\"CLIENTES\" (ORA-01555)")?;
    let skipped = export(&run, "GOLD")?.fields["skipped"].to_string();
    ensure!(
        skipped
            == r#"[{"code":"ORA-01555","object":"\"GOLD\".\"CLIENTES\""},{"code":"ORA-28365","object":"\"GOLD\".\"VENDAS\":\"P2026\""}]"#,
        "{skipped}"
    );
    ensure!(lab.dump("GOLD_day.PARTIAL.DMP")? == [gold()[1].clone(), gold()[3].clone()]);
    Ok(())
}

#[test]
fn a_table_that_is_missing_without_a_word_makes_it_partial() -> Result<()> {
    let (_, run) = after_a_good_one(&[Kind::Omit { object: "\"GOLD\".\"NOTAS\"".into() }], 1)?;
    check(&run, "partial", Some("not in the log"), "\"GOLD\".\"NOTAS\"")
}

#[test]
fn nothing_exported_is_not_a_success() -> Result<()> {
    let (_, run) = after_a_good_one(&[Kind::NoRows], 2)?;
    // A dump of nothing is smaller than --min-bytes; without that limit it is partial.
    check(&run, "failed", None, "less than")?;
    let lab = Lab::new()?;
    lab.fault("GOLD", &[Kind::NoRows])?;
    let run = lab.tool()?.args(["--schema", "GOLD", "--min-bytes", "0"]).run()?.expect(1)?;
    check(&run, "partial", Some("not in the log"), "\"GOLD\".\"CLIENTES\"")
}

#[test]
fn a_fatal_error_a_full_disk_and_a_vanished_dump_are_failures() -> Result<()> {
    let fatal = Kind::Fatal { code: 600, text: "internal error code, arguments: [x]".into() };
    let (lab, run) = after_a_good_one(&[fatal], 2)?;
    check(&run, "failed", Some("ORA-39126"), "expdp exited 1")?;
    ensure!(names(&lab.at("dp"))?.contains(&"GOLD_day.FAILED.LOG".to_owned()));
    let (_, run) = after_a_good_one(&[Kind::DiskFull], 2)?;
    check(&run, "failed", Some("ORA-31693"), "No space left")?;
    let (_, run) = after_a_good_one(&[Kind::NoDump], 2)?;
    check(&run, "failed", None, "is not there")?;
    ensure!(export(&run, "GOLD")?.number("expdp_exit") == Some(0));
    Ok(())
}

#[test]
fn a_status_that_the_log_contradicts_is_a_failure() -> Result<()> {
    let fatal = Kind::Fatal { code: 600, text: "internal error".into() };
    let (_, run) = after_a_good_one(&[fatal, Kind::Status { status: 0 }], 2)?;
    check(&run, "failed", Some("ORA-39126"), "expdp exited 0, but")?;
    let (_, run) = after_a_good_one(&[Kind::Status { status: 1 }], 2)?;
    check(&run, "failed", None, "expdp exited 1")
}

#[test]
fn one_failed_schema_does_not_stop_the_others() -> Result<()> {
    let lab = Lab::new()?;
    lab.fault("GOLD", &[Kind::Fatal { code: 600, text: "internal error".into() }])?;
    let input = "{\"schema\":\"GOLD\"}\nnot json\n{\"schema\":\"NOBODY\"}\n{\"schema\":\"FIN\"}\n{\"user\":\"FIN\",\"password_env\":\"NOT_SET\"}\n";
    let run = lab.tool()?.stdin(input).run()?.expect(1)?;
    ensure!((run.count("exported"), run.count("failed")) == (1, 4), "{:?}", run.records);
    ensure!(export(&run, "NOBODY")?.text("code") == Some("ORA-39165"));
    ensure!(lab.dump("FIN_day.DMP")?.len() == 2);
    ensure!(run.stderr.contains("environment variable NOT_SET is not set"), "{}", run.stderr);
    Ok(())
}

#[test]
fn a_dump_that_is_shorter_than_its_log_says_is_no_dump() -> Result<()> {
    let lab = Lab::new()?;
    lab.config(|c| {
        if let Some(gold) = c.schemas.get_mut("GOLD") {
            gold.tables[0].rows = 60_000;
        }
        c.faults =
            vec![orasim::datapump::Fault { schema: "GOLD".into(), kind: Kind::CutDump { bytes: 2 << 20 } }];
    })?;
    let run = lab.tool()?.args(["--schema", "GOLD"]).run()?.expect(2)?;
    check(&run, "failed", None, "the tables in its log add up to")?;
    lab.check_clean(Some(&run))
}
