//! Exports that are whole.

use anyhow::{ensure, Result};
use orasim::datapump::{dump, Kind, Schema};
use sha2::{Digest, Sha256};

use crate::lab::{export, gold, names, Lab, PASSWORD};

#[test]
fn two_schemas_are_exported_and_their_dumps_are_whole() -> Result<()> {
    let lab = Lab::new()?;
    let input =
        "{\"user\":\"gold\",\"password_env\":\"GOLD_PW\",\"service\":\"prod\"}\n{\"schema\":\"FIN\"}\n";
    let run = lab.tool()?.env("GOLD_PW", PASSWORD).stdin(input).run()?.expect(0)?;
    ensure!(run.count("exported") == 2, "{:?}", run.records);
    ensure!(
        run.stdout.starts_with(b"{")
            && String::from_utf8_lossy(&run.stdout).contains("\"password_env\":\"GOLD_PW\"")
    );
    ensure!(lab.dump("GOLD_day.DMP")? == gold());
    let record = export(&run, "GOLD")?;
    ensure!(
        record.text("status") == Some("success") && record.number("rows") == Some(3000),
        "{}",
        record.line
    );
    ensure!(record.number("tables") == Some(4) && record.number("expdp_exit") == Some(0), "{}", record.line);
    // GOLD may not read V$DATABASE, FIN is exported by SYS: one moment there, one SCN here.
    ensure!(record.number("scn").is_none());
    let scn = export(&run, "FIN")?.number("scn");
    let moments: Vec<_> = dump::read(&lab.dp("FIN_day.DMP"))?.iter().map(|c| Some(c.scn)).collect();
    ensure!(moments == [scn, scn], "{moments:?} {scn:?}");
    let mut moments: Vec<_> = dump::read(&lab.dp("GOLD_day.DMP"))?.iter().map(|c| c.scn).collect();
    moments.dedup();
    ensure!(moments.len() == 1, "{moments:?}");
    let files = run.of("file");
    ensure!(files.len() == 4, "{files:?}");
    for file in files {
        let bytes = std::fs::read(file.text("path").unwrap_or_default())?;
        let hash: String = Sha256::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect();
        ensure!(
            file.text("sha256") == Some(hash.as_str()) && file.number("bytes") == Some(bytes.len() as u64)
        );
        ensure!(file.text("backup_time").is_some() && file.text("schema").is_some());
    }
    ensure!(names(&lab.at("dp"))? == ["FIN_day.DMP", "FIN_day.LOG", "GOLD_day.DMP", "GOLD_day.LOG"]);
    lab.check_clean(Some(&run))
}

#[test]
fn the_originals_list_works_and_the_next_run_replaces_the_dump() -> Result<()> {
    let lab = Lab::new()?;
    let users = format!(r#"[{{"user":"GOLD","password":"{PASSWORD}","schema":"GOLD"}}]"#);
    let tool = lab.tool()?.env("ORACLE_USERS", &users).env("ORACLE_SERVICE", "prod");
    tool.run()?.expect(0)?;
    let first = std::fs::read(lab.dp("GOLD_day.DMP"))?;
    let run = tool.run()?.expect(0)?;
    ensure!(std::fs::read(lab.dp("GOLD_day.DMP"))? != first, "the dump was not replaced");
    ensure!(lab.dump("GOLD_day.DMP")? == gold());
    lab.check_clean(Some(&run))
}

#[test]
fn inconsistent_on_request_and_only_then() -> Result<()> {
    let lab = Lab::new()?;
    lab.config(|c| c.table_seconds = 0.2)?;
    let run = lab.tool()?.args(["--schema", "GOLD", "--consistent", "no"]).run()?.expect(0)?;
    let mut moments: Vec<_> = dump::read(&lab.dp("GOLD_day.DMP"))?.iter().map(|c| c.scn).collect();
    moments.dedup();
    ensure!(moments.len() > 1, "the simulator's writer did not move the SCN: {moments:?}");
    ensure!(export(&run, "GOLD")?.number("scn").is_none());
    Ok(())
}

#[test]
fn a_dump_in_parts_is_one_set_and_old_parts_go() -> Result<()> {
    let lab = Lab::new()?;
    let tool = |size: &str| -> Result<_> {
        lab.tool()?.args(["--schema", "GOLD", "--parameter", &format!("FILESIZE={size}")]).run()?.expect(0)
    };
    let run = tool("20k")?;
    let parts: Vec<_> = names(&lab.at("dp"))?.into_iter().filter(|n| n.ends_with("DMP")).collect();
    ensure!(
        parts == ["GOLD_day_01.DMP", "GOLD_day_02.DMP", "GOLD_day_03.DMP", "GOLD_day_04.DMP"],
        "{parts:?}"
    );
    let listed = export(&run, "GOLD")?.fields["files"].as_array().map(Vec::len);
    ensure!(listed == Some(4), "{listed:?}");
    tool("60k")?;
    let parts: Vec<_> = names(&lab.at("dp"))?.into_iter().filter(|n| n.ends_with("DMP")).collect();
    let mut found = Vec::new();
    for part in &parts {
        found.extend(lab.dump(part)?);
    }
    ensure!(found == gold(), "{parts:?} {found:?}");
    Ok(())
}

#[test]
fn several_at_once_are_all_exported() -> Result<()> {
    let lab = Lab::new()?;
    lab.config(|c| {
        c.table_seconds = 0.1;
        for n in 0..6 {
            let tables = c.schemas["FIN"].tables.clone();
            c.schemas.insert(format!("S{n}"), Schema { tables });
        }
    })?;
    let schemas = (0..6).flat_map(|n| ["--schema".to_owned(), format!("S{n}")]);
    let run = lab.tool()?.args(schemas).args(["--jobs", "3"]).run()?.expect(0)?;
    ensure!(run.count("exported") == 6);
    for n in 0..6 {
        ensure!(lab.dump(&format!("S{n}_day.DMP"))?.len() == 2);
    }
    lab.check_clean(Some(&run))
}

#[test]
fn a_schema_without_tables_is_told_and_no_failure() -> Result<()> {
    let lab = Lab::new()?;
    lab.config(|c| {
        c.schemas.insert("EMILY".into(), Schema::default());
    })?;
    let run = lab.tool()?.args(["--schema", "EMILY", "--min-bytes", "0"]).run()?.expect(0)?;
    let record = export(&run, "EMILY")?;
    ensure!(
        record.text("status") == Some("success")
            && record.text("reason").unwrap_or_default().contains("no table")
    );
    let warned = run.of("log").iter().any(|l| l.text("message").unwrap_or_default().contains("no table"));
    ensure!(warned, "{:?}", run.records);
    Ok(())
}

#[test]
fn a_wait_for_space_is_a_warning() -> Result<()> {
    let lab = Lab::new()?;
    lab.fault("GOLD", &[Kind::Wait { seconds: 0.3 }])?;
    let run = lab.tool()?.args(["--schema", "GOLD"]).run()?.expect(1)?;
    let record = export(&run, "GOLD")?;
    ensure!(
        record.text("status") == Some("success") && record.number("expdp_exit") == Some(5),
        "{}",
        record.line
    );
    ensure!(lab.dump("GOLD_day.DMP")? == gold());
    Ok(())
}

#[test]
fn a_dry_run_changes_nothing() -> Result<()> {
    let lab = Lab::new()?;
    let run = lab.tool()?.args(["--schema", "GOLD", "--dry-run"]).run()?.expect(0)?;
    let planned = run.of("planned");
    ensure!(planned.len() == 1 && planned[0].text("action") == Some("export"), "{:?}", run.records);
    ensure!(planned[0].text("script").unwrap_or_default().contains("schemas=GOLD"));
    ensure!(
        names(&lab.at("dp"))?.is_empty()
            && names(&lab.at("state"))?.is_empty()
            && names(&lab.at("log"))?.is_empty()
    );
    Ok(())
}

#[test]
fn a_password_that_is_the_name_of_the_schema_does_not_hide_its_tables() -> Result<()> {
    let mut lab = Lab::new()?;
    let mut front = orasim::server::front::Front::load(&lab.db.dir)?;
    if let Some(account) = front.users.get_mut("GOLD") {
        account.password = "GOLD".into();
    }
    front.save(&lab.db.dir)?;
    lab.restart()?;
    let line = "{\"user\":\"GOLD\",\"password_env\":\"PW\",\"service\":\"prod\"}\n";
    let run = lab.tool()?.env("PW", "GOLD").stdin(line).run()?.expect(0)?;
    ensure!(export(&run, "GOLD")?.number("tables") == Some(4), "{:?}", run.records);
    Ok(())
}
