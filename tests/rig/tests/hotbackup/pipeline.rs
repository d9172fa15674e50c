//! From a running database to a standby that recovers to equality.

use std::time::Duration;

use anyhow::{ensure, Context, Result};
use orasim::instance::Spec;
use orasim::server::admin::Admin;
use rig::proxy::{Line, Proxy};
use rig::tool::Tool;
use rig::world::{PRIMARY, STANDBY};

use crate::stage::{copy_tree, number, said, small, window, with_status, Stage};

#[test]
fn forty_files_of_a_busy_database_become_a_standby() -> Result<()> {
    let spec = Spec { changes_per_second: 3000, threads: 2, idle_threads: vec![2], ..Spec::default() };
    let stage = Stage::busy(40, 1 << 20, spec)?;
    let primary = &stage.world.primary;
    ensure!(primary.number("SELECT COUNT(*) FROM V$DATAFILE")? == 40);

    let outcome = stage.hot()?.run()?;
    // ARQUIVO is offline: the cycle is complete and says that it has no copy of it.
    ensure!([Some(0), Some(1)].contains(&outcome.status), "{}", said(&outcome));
    let copied = with_status(&outcome, "copied");
    ensure!(
        copied == ["HISTORICO", "Nota Fiscal", "Vendas", "SYSAUX", "SYSTEM", "UNDOTBS1", "UNDOTBS2"],
        "{copied:?}"
    );
    ensure!(with_status(&outcome, "skipped") == ["ARQUIVO", "TEMP"], "{}", said(&outcome));
    ensure!(outcome.of("datafile").len() == 38, "{} datafiles", outcome.of("datafile").len());
    for record in outcome.of("tablespace") {
        let in_backup_mode = record.fields.get("backup_mode_seconds").is_some();
        let name = record.text("name").unwrap_or_default();
        ensure!(in_backup_mode != ["HISTORICO", "ARQUIVO", "TEMP"].contains(&name), "{}", record.line);
    }
    let places: Vec<_> = (0..3).map(|i| stage.layout().standby_mount(i)).collect();
    for record in outcome.of("datafile") {
        let dest = record.text("dest").context("dest")?;
        ensure!(places.iter().any(|p| std::path::Path::new(dest).starts_with(p)), "{dest}");
    }
    let torn = stage.torn(&outcome)?;
    ensure!(torn > 0, "no torn block was met: this test has proved nothing");
    eprintln!("{torn} torn blocks in the copies");

    let begin = number(&outcome, "recovery_window", "begin_scn")?;
    let end = number(&outcome, "recovery_window", "end_scn")?;
    ensure!(begin < end && window(&outcome)?.len() == 2, "{}", said(&outcome));
    stage.ship()?.run()?.expect(0)?;
    // The end of the window is enough; the script asks for the SCN after the last END BACKUP.
    let early = stage.recover(Some(end - 1))?.expect(4)?;
    ensure!(early.text.contains("not consistent before"), "{}", early.text);
    stage.prove_at(end + 1)?;
    let later = stage.ship_up_to_now()?;
    ensure!(later > end + 1);
    stage.prove_at(later)?;
    // Again, with nothing new: nothing is done and nothing is broken.
    stage.recover(Some(later))?.expect(0)?.says("already")?;
    stage.compare(later)?.expect(0)?;
    stage.check()
}

#[test]
fn the_scripts_that_it_generates_are_enough() -> Result<()> {
    let stage = Stage::small(1 << 20)?;
    let outcome = stage.cycle()?;
    stage.ship()?.run()?.expect(0)?;
    let end = number(&outcome, "recovery_window", "end_scn")?;
    let layout = stage.layout();
    let control = layout.standby_dir().join("control");
    std::fs::copy(control.join(format!("standby_{PRIMARY}.ctl")), layout.standby_control())?;
    let env = format!("ORACLE_HOME='{0}' ORACLE_SID={STANDBY} '{0}/bin", layout.home().display());
    let sql = control.join(format!("recover_standby_{PRIMARY}.sql"));
    let rman = control.join(format!("recover_standby_{PRIMARY}.rman"));
    stage.on_standby_host(&format!("{env}/sqlplus' -S / as sysdba @'{}'", sql.display()))?.expect(0)?;
    stage.on_standby_host(&format!("{env}/rman' target / cmdfile='{}'", rman.display()))?.expect(0)?;
    stage.compare(end + 1)?.expect(0)?.says("equal at SCN")?;
    stage.check()
}

/// Only redo of the new cycle is there: what the second cycle did not bring would be missing.
#[test]
fn a_second_cycle_over_the_older_copy_sends_what_has_changed() -> Result<()> {
    let spec = Spec { changes_per_second: 0, ..small() };
    let stage = Stage::shaped(spec, true, |l| crate::stage::tablespaces(l, &["Vendas", "USERS"], 4 << 20))?;
    let primary = &stage.world.primary;
    let host = stage.world.host.as_ref().context("a host")?;
    let proxy = Proxy::start(
        host.address(),
        Line { delay: Duration::from_millis(10), rate: 8 << 20, ..Line::default() },
    )?;
    let through = |tool: Tool| tool.env("SSH_OPTIONS", host.ssh_options_via(proxy.address()));
    let first = through(stage.hot()?).run()?.expect(0)?;
    let bytes: u64 = first.of("datafile").iter().filter_map(|r| r.number("bytes")).sum();
    let (sent, _) = proxy.bytes();
    // 5 % of the blocks.
    primary.admin(Admin::WriteBatch { n: usize::try_from(bytes / 8192 / 20)? })?;
    stage.sqlplus(PRIMARY, "alter system archive log current")?;
    let second = through(stage.hot()?).run()?.expect(0)?;
    ensure!(with_status(&second, "copied") == with_status(&first, "copied"), "{}", said(&second));
    let delta = proxy.bytes().0 - sent;
    // Compressed on a slow line.
    ensure!(sent >= bytes / 4, "the first cycle sends everything: {sent} of {bytes}");
    ensure!(delta * 5 < sent, "{delta} bytes were sent again, after {sent} of the first time");

    // Logs of before the window never reach the standby.
    let begin = number(&second, "recovery_window", "begin_scn")?;
    stage.ship()?.args(["--scn-cutoff", &begin.to_string()]).run()?.expect(0)?;
    let first_needed = window(&second)?;
    let there = std::fs::read_dir(stage.layout().standby_archive())?.flatten();
    for entry in there {
        let name = entry.file_name().to_string_lossy().into_owned();
        let parts: Vec<u64> = name.split(['_', '.']).filter_map(|p| p.parse().ok()).collect();
        let needed = first_needed.get(&parts[0]).is_some_and(|(from, _)| parts[1] >= *from);
        ensure!(needed, "{name} is older than the window");
    }
    let end = number(&second, "recovery_window", "end_scn")?;
    stage.prove_at(end + 1)?;
    stage.check()
}

/// A standby that has been recovered is taken over by the next cycle.
#[test]
fn a_new_cycle_replaces_a_standby_that_is_in_use() -> Result<()> {
    let stage = Stage::small(1 << 20)?;
    stage.cycle()?;
    stage.prove()?;
    let kept = stage.world.path().join("kept");
    copy_tree(&stage.layout().standby_mount(0), &kept)?;
    stage.cycle()?;
    stage.prove()?;
    stage.check()
}
