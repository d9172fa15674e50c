//! envia_archivelogs.sh and copy_archivelog_to_pamvs0003l.sh.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{ensure, Result};
use orasim::server::admin::Admin;
use rig::world::{Setup, World};
use rustix::process::{kill_process, Pid, Signal};

use super::place::{dead_lock, Place, OLD_LINE};
use crate::pair::{write, Pair};
use crate::stage::small;

const BYTES: usize = 1 << 20;

/// As Oracle names them in a recovery area.
fn name(sequence: u32) -> String {
    format!("o1_mf_1_{sequence}_nnv4fjc{sequence}_.arc")
}

#[test]
fn envia_archivelogs_goes_on_where_the_original_was_killed() -> Result<()> {
    let pair = Pair::new()?;
    for sequence in 1..=6 {
        let day = if sequence < 4 { "2026_11_18" } else { "2026_11_19" };
        pair.add_as(&format!("{day}/{}", name(sequence)), 1, sequence, BYTES)?;
    }
    let whole = |sequence: u32| {
        let day = if sequence < 4 { "2026_11_18" } else { "2026_11_19" };
        fs::read(pair.src.join(day).join(name(sequence)))
    };
    // What `rsync --inplace --append-verify` into one flat directory has left, killed in the middle of the third log.
    let u15 = pair.root.path().join("u15");
    write(&pair.dst.join(name(1)), &whole(1)?)?;
    write(&u15.join(name(2)), &whole(2)?)?;
    write(&pair.dst.join(name(3)), &whole(3)?[..BYTES / 2 + 100])?;

    let script = "envia_archivelogs.sh";
    let place = Place::new(pair.root.path(), script)?;
    place.write("log/archivelog_replication.log", OLD_LINE)?;
    place.write("tmp/archivelog_replication.lock", dead_lock())?;
    // The same text where our lock is.
    place.write("state/DBPROD.ship.lock", dead_lock())?;
    let path = |p: &std::path::Path| p.display().to_string();
    place.settings(&[
        ("SOURCEBASEDIR", path(&pair.src)),
        ("DESTBASEDIR", path(&pair.dst)),
        ("DESTBASEDIR_U15", path(&u15)),
        ("DRSERVER", pair.host.host()),
        ("SSHUSER", pair.host.user().to_owned()),
        ("SSH_OPTIONS", pair.host.ssh_options_via(pair.proxy.address())),
        ("MAXWORKERS", "5".to_owned()),
        ("SEQ_FILTER_MAX", "5".to_owned()),
        ("APPLIED", "none".to_owned()),
        ("STATE_DIR", path(&place.at("state"))),
        ("LOG_DIR", path(&place.at("log"))),
    ])?;

    let before = pair.proxy.bytes().0;
    let ran = place.run(script, &[])?.expect(0)?;
    let sent = pair.proxy.bytes().0 - before;
    ensure!(ran.logs("present") == [name(1), name(2)], "{}", ran.said);
    ensure!(ran.logs("resumed") == [name(3)], "{}", ran.said);
    ensure!(ran.logs("shipped") == [name(4), name(5)], "{}", ran.said);
    ensure!(sent < 5 * BYTES as u64 / 2 + 400_000, "{sent} bytes for two logs and a half");
    // By day, as at the source; what is there flat or at the second place already stays there.
    let there = |sequence: u32| {
        let day = if sequence < 4 { "2026_11_18" } else { "2026_11_19" };
        let places = [
            pair.dst.join(day).join(name(sequence)),
            pair.dst.join(name(sequence)),
            u15.join(name(sequence)),
        ];
        places.into_iter().find_map(|p| fs::read(p).ok())
    };
    // A reader could take the half file for the log: it is told of, and its bytes were not sent again.
    ensure!(ran.said.contains(&pair.dst.join(name(3)).display().to_string()), "{}", ran.said);
    for sequence in 1..=5 {
        ensure!(there(sequence) == Some(whole(sequence)?), "{sequence} is not whole at the DR host");
    }
    ensure!(there(6).is_none(), "SEQ_FILTER_MAX=5");
    let log = place.read("log/archivelog_replication.log")?;
    ensure!(log.starts_with(OLD_LINE) && log.contains("sequence 5"), "{log}");
    ensure!(place.read("tmp/archivelog_replication.lock")? == dead_lock(), "the original's file was touched");
    ensure!(place.read("state/last_arch_seq_thread1.DBPROD")?.trim() == "5");

    // One by its bare name, whatever the filter says; and then nothing is left to do.
    let ran = place.run(script, &[&name(6)])?.expect(0)?;
    ensure!(ran.logs("shipped") == [name(6)] && there(6) == Some(whole(6)?), "{}", ran.said);
    let before = pair.proxy.bytes().0;
    place.run(script, &[])?.expect(0)?;
    ensure!(pair.proxy.bytes().0 - before < BYTES as u64 / 4, "something was sent again");
    Ok(())
}

#[test]
fn copy_archivelog_keeps_the_cut_off_and_closes_the_hole_that_the_original_jumped_over() -> Result<()> {
    let world = World::new(&Setup { spec: small(), ..Setup::default() })?;
    let script = "copy_archivelog_to_pamvs0003l.sh";
    let place = Place::new(world.path(), script)?;
    let cutoff = world.primary.number("SELECT TO_CHAR(CURRENT_SCN) FROM V$DATABASE")?;
    for _ in 0..3 {
        world.primary.admin(Admin::WriteBatch { n: 50 })?;
        world.primary.sql("ALTER SYSTEM ARCHIVE LOG CURRENT")?;
    }
    // Which logs there are, and what the original has of them: the first one whole, the second one not, the third one.
    let rows = world
        .primary
        .sql("SELECT TO_CHAR(SEQUENCE#), NAME FROM V$ARCHIVED_LOG WHERE THREAD# = 1 ORDER BY SEQUENCE#")?;
    let logs: Vec<(u64, std::path::PathBuf)> = rows
        .lines()
        .filter_map(|l| l.split_once('|'))
        .filter_map(|(n, path)| Some((n.trim().parse().ok()?, path.trim().into())))
        .collect();
    ensure!(logs.len() >= 3, "{rows}");
    let there = world.layout().standby_archive();
    let arrived = |path: &std::path::Path| there.join(path.file_name().unwrap_or_default());
    fs::copy(&logs[0].1, arrived(&logs[0].1))?;
    fs::copy(&logs[2].1, arrived(&logs[2].1))?;
    let hole = &logs[1];

    let mut settings: Vec<(String, std::ffi::OsString)> = world.settings();
    settings.retain(|(name, _)| name != "STATE_DIR" && name != "LOG_DIR");
    settings.push(("STATE_DIR".to_owned(), place.at("state").into()));
    settings.push(("LOG_DIR".to_owned(), place.at("log").into()));
    settings.push(("SLEEP_INTERVAL".to_owned(), "1".into()));
    let settings: Vec<_> = settings.iter().map(|(n, v)| (n.as_str(), v)).collect();
    place.settings(&settings)?;
    let host = world.host.as_ref().map(|h| h.host()).unwrap_or_default();
    let log_name = format!("log/copy_archivelog_to_{host}.log");
    place.write(&log_name, OLD_LINE)?;

    // SQL*Plus without NUMWIDTH: the SCN has lost its lower half, and nobody may guess it.
    place.write("state/scn_cutoff.DBPROD", "\n9.5999E+11\n")?;
    let ran = place.run(script, &[])?.expect(4)?;
    ensure!(ran.said.contains("9.5999E+11") && ran.said.contains("hint: "), "{}", ran.said);

    let cutoff = format!("\n  {cutoff}\n");
    place.write("state/scn_cutoff.DBPROD", &cutoff)?;
    place.write("state/last_arch_seq_thread1.DBPROD", format!("\n\t  {}\n\n", logs[2].0))?;
    let (out, err) = (place.at("tmp/follow"), place.at("tmp/follow.err"));
    let child = place.start(script, &[], &out, &err)?;
    let begin = Instant::now();
    while fs::read(arrived(&hole.1)).ok() != Some(fs::read(&hole.1)?) {
        let said = fs::read_to_string(&err)?;
        if begin.elapsed() > Duration::from_secs(30) {
            kill_process(Pid::from_child(&child), Signal::KILL)?;
            anyhow::bail!("sequence {} did not arrive: {said}", hole.0);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    // The mark follows when the cycle is over.
    while !place.read(&log_name)?.contains(&format!("sequence {}", hole.0)) {
        ensure!(begin.elapsed() < Duration::from_secs(30), "{}", place.read(&log_name)?);
        std::thread::sleep(Duration::from_millis(20));
    }
    kill_process(Pid::from_child(&child), Signal::TERM)?;
    let ran = place.wait(child, &out, &err)?;
    ensure!(matches!(ran.status, Some(0 | 143)), "{:?} {}", ran.status, ran.said);
    ensure!(ran.said.contains("was not written by this tool"), "{}", ran.said);
    ensure!(ran.logs("present").len() >= 2, "what the original has shipped is not sent again: {}", ran.said);
    ensure!(place.read("state/scn_cutoff.DBPROD")? == cutoff, "the cut-off is kept");
    ensure!(place.read(&log_name)?.starts_with(OLD_LINE));
    world.check(&[])
}
