//! hot_backup_ts_to_pamvs0003l.sh.

use std::fs;
use std::path::Path;

use anyhow::{ensure, Context, Result};
use orasim::server::admin::Admin;
use rig::world::PRIMARY;

use super::place::{Place, OLD_LINE};
use crate::stage::Stage;

/// Where the first datafile of a tablespace goes.
fn places(stage: &Stage, tablespace: &str) -> Result<(std::path::PathBuf, std::path::PathBuf)> {
    let sql = format!(
        "SELECT D.NAME FROM V$DATAFILE D, V$TABLESPACE T WHERE D.TS# = T.TS# AND T.NAME = '{tablespace}' ORDER BY D.FILE#"
    );
    let rows = stage.world.primary.sql(&sql)?;
    let source = Path::new(rows.lines().next().context("no datafile")?.trim()).to_owned();
    let layout = stage.layout();
    let index = (0..3).find(|i| source.starts_with(layout.primary_mount(*i))).context("no mount")?;
    let rest = source.strip_prefix(layout.primary_mount(index))?.to_owned();
    Ok((source, layout.standby_mount(index).join(rest)))
}

#[test]
fn hot_backup_takes_no_mark_of_the_original_for_a_copy_and_no_backup_mode_for_its_own() -> Result<()> {
    let stage = Stage::small(1 << 20)?;
    let script = "hot_backup_ts_to_pamvs0003l.sh";
    let place = Place::new(stage.world.path(), script)?;
    let mut settings = stage.world.settings();
    settings.retain(|(name, _)| name != "STATE_DIR" && name != "LOG_DIR");
    settings.push(("STATE_DIR".to_owned(), place.at("state").into()));
    settings.push(("LOG_DIR".to_owned(), place.at("log").into()));
    settings.push(("PARALLEL_WORKERS".to_owned(), "4".into()));
    settings.push(("EXCLUDE_TS".to_owned(), "^TEMP$".into()));
    settings.push(("CORE_TS".to_owned(), "(^SYSTEM$|^SYSAUX$|^UNDOTBS|^UNDO)".into()));
    let settings: Vec<_> = settings.iter().map(|(n, v)| (n.as_str(), v)).collect();
    place.settings(&settings)?;

    // Killed while USERS was copied: Vendas "done", half of a file, an older copy of the same size, USERS in backup mode.
    let host = stage.world.host.as_ref().map(|h| h.host()).unwrap_or_default();
    let log_name = format!("log/hot_backup_ts_to_{host}.out");
    place.write(&log_name, OLD_LINE)?;
    place.write("state/ts_Vendas.done", "")?;
    place.write("log/ts_USERS.log", OLD_LINE)?;
    place.write("tmp/ts_list.4711.txt", "Vendas|4|/u05/x.dbf\n")?;
    let (source, older) = places(&stage, "Vendas")?;
    fs::create_dir_all(older.parent().context("a directory")?)?;
    fs::copy(&source, &older)?;
    let (source, half) = places(&stage, "USERS")?;
    fs::create_dir_all(half.parent().context("a directory")?)?;
    fs::write(&half, &fs::read(&source)?[..300_000])?;
    stage.world.primary.admin(Admin::WriteBatch { n: 500 })?;
    stage.sqlplus(PRIMARY, "alter tablespace users begin backup")?;

    let ran = place.run(script, &[])?.expect(4)?;
    ensure!(ran.said.contains("users_1.dbf") && ran.said.contains("hint: "), "{}", ran.said);
    ensure!(stage.active()? > 0, "somebody else's backup mode was ended");
    ensure!(fs::read(&half)?.len() == 300_000, "a refused run changes nothing");

    stage.sqlplus(PRIMARY, "alter tablespace users end backup")?;
    let ran = place.run(script, &[])?.expect(0)?;
    let copied: Vec<_> =
        ran.of("tablespace").iter().filter_map(|r| r["name"].as_str().map(str::to_owned)).collect();
    ensure!(copied.contains(&"Vendas".to_owned()), "the empty mark counted: {copied:?}");
    ensure!(
        copied.last().is_some_and(|l| l.starts_with("UNDO") || l.starts_with("SYS")),
        "core last: {copied:?}"
    );
    ensure!(fs::read(&half)?.len() as u64 == fs::metadata(&source)?.len());
    ensure!(!place.read("state/ts_Vendas.done")?.is_empty(), "a mark of ours names what it proves");
    let log = place.read(&log_name)?;
    ensure!(log.starts_with(OLD_LINE) && log.len() > OLD_LINE.len(), "{log}");
    ensure!(place.read("log/ts_USERS.log")?.starts_with(OLD_LINE));
    ensure!(stage.active()? == 0);
    // A standby out of it, equal to the primary at its SCN.
    stage.prove()?;
    stage.check()
}
