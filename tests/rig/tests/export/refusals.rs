//! Wrong input and wrong surroundings: a clear error, a hint, nothing touched.

use anyhow::{ensure, Result};
use orasim::datapump::Directory;

use crate::lab::{export, names, Lab, PASSWORD};

#[test]
fn what_is_wrong_with_the_surroundings_is_said_with_a_hint() -> Result<()> {
    let lab = Lab::new()?;
    let run = lab.tool()?.args(["--schema", "GOLD", "--directory", "nowhere"]).run()?.expect(2)?;
    ensure!(export(&run, "GOLD")?.text("code") == Some("ORA-39087"));
    ensure!(run.stderr.contains("GRANT READ, WRITE ON DIRECTORY NOWHERE"), "{}", run.stderr);
    let run = lab.tool()?.args(["--schema", "GOLD", "--dir", "/no/such/place"]).run()?.expect(2)?;
    ensure!(run.stderr.contains("hint") && run.stderr.contains("DB_FOLDER"), "{}", run.stderr);
    let run = lab
        .tool()?
        .env("PATH", "/usr/bin:/bin")
        .env("ORACLE_HOME", "/no/home")
        .args(["--schema", "GOLD"])
        .run()?;
    ensure!(run.status == Some(64), "{:?} {}", run.status, run.stderr);
    lab.config(|c| {
        c.directories.insert("GONE".into(), Directory { path: "/no/such/dir".into(), grantees: vec![] });
    })?;
    let dir = lab.at("dp");
    let run =
        lab.tool()?.args(["--schema", "GOLD", "--directory", "GONE", "--dir"]).arg(&dir).run()?.expect(2)?;
    ensure!(export(&run, "GOLD")?.text("code") == Some("ORA-39002"), "{:?}", run.records);
    ensure!(run.stderr.contains("ORA-39070"), "{}", run.stderr);
    lab.check_clean(Some(&run))
}

#[test]
fn wrong_logons_are_told_apart() -> Result<()> {
    let lab = Lab::new()?;
    let line = "{\"user\":\"GOLD\",\"password_env\":\"PW\",\"service\":\"prod\"}\n";
    let run = lab.tool()?.env("PW", "wrong").stdin(line).run()?;
    ensure!(
        run.status != Some(0) && export(&run, "GOLD")?.text("code") == Some("ORA-01017"),
        "{:?}",
        run.records
    );
    let line = "{\"user\":\"GOLD\",\"password_env\":\"PW\",\"service\":\"nowhere\"}\n";
    let run = lab.tool()?.env("PW", PASSWORD).stdin(line).run()?;
    ensure!(export(&run, "GOLD")?.text("code") == Some("ORA-12154"), "{:?}", run.records);
    let mut lab = lab;
    lab.db.kill_daemon();
    let run = lab.tool()?.args(["--schema", "GOLD"]).run()?.expect(75)?;
    ensure!(names(&lab.at("dp"))?.is_empty(), "{:?}", run.records);
    Ok(())
}

#[test]
fn a_password_in_a_line_is_refused_and_not_passed_on() -> Result<()> {
    let lab = Lab::new()?;
    let line = format!("{{\"user\":\"GOLD\",\"password\":\"{PASSWORD}\"}}\n");
    let run = lab.tool()?.stdin(line).run()?.expect(64)?;
    let said = format!("{}{}", String::from_utf8_lossy(&run.stdout), run.stderr);
    ensure!(!said.contains(PASSWORD) && said.contains("password in the clear"), "{said}");
    let run = lab.tool()?.args(["--schema", "GOLD", "--connect", "gold/tiger"]).run()?.expect(64)?;
    ensure!(!run.stderr.contains("tiger"), "{}", run.stderr);
    Ok(())
}

#[test]
fn two_schemas_with_one_name_and_odd_arguments() -> Result<()> {
    let lab = Lab::new()?;
    let run = lab.tool()?.args(["--schema", "GOLD", "--schema", "GOLD"]).run()?.expect(1)?;
    ensure!(run.stderr.contains("is the name of a dump of GOLD already"), "{}", run.stderr);
    let run = lab.tool()?.arg("GOLD").run()?.expect(64)?;
    ensure!(run.stderr.contains("--schema GOLD"), "{}", run.stderr);
    let run = lab.tool()?.args(["--schema", "GOLD", "--parameter", "DUMPFILE=x"]).run()?.expect(64)?;
    ensure!(run.stderr.contains("DUMPFILE is set by dp-export itself"), "{}", run.stderr);
    let run = lab.tool()?.args(["--schema", "GOLD", "--parameter", "PARALLEL=4"]).run()?.expect(2)?;
    ensure!(
        export(&run, "GOLD")?.text("reason").unwrap_or_default().contains("ORA-39094"),
        "{:?}",
        run.records
    );
    lab.check_clean(Some(&run))
}

#[test]
fn check_log_judges_the_logs_of_its_own_exports() -> Result<()> {
    let lab = Lab::new()?;
    lab.tool()?.args(["--schema", "GOLD"]).run()?.expect(0)?;
    let log = lab.dp("GOLD_day.LOG");
    lab.tool()?.arg("check-log").arg(&log).run()?.expect(0)?;
    let text = std::fs::read_to_string(&log)?;
    let end = text.rfind("Job \"").unwrap_or(0);
    let cut = lab.at("cut.log");
    std::fs::write(&cut, &text[..end])?;
    let run = lab.tool()?.arg("check-log").args([&log, &cut]).run()?.expect(2)?;
    ensure!(run.count("success") == 1 && run.count("failure") == 1);
    lab.tool()?.args(["check-log", "/no/such.log"]).run()?.expect(64)?;
    lab.tool()?.arg("check-log").run()?.expect(64)?;
    Ok(())
}
