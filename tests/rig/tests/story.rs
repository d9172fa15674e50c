//! From a running database to a standby that recovers: the two tools together, and what must not go unnoticed.

// A test that cannot go on has failed.
#![allow(clippy::unwrap_used)]

use std::path::PathBuf;
use std::time::Duration;

use orasim::instance::Spec;
use rig::standby::{compare, recover};
use rig::watch::Watcher;
use rig::world::{Setup, World};

fn busy() -> World {
    let spec = Spec { changes_per_second: 4000, log_bytes: 1 << 20, ..Spec::default() };
    World::new(&Setup { spec, ..Setup::default() }).unwrap()
}

/// Copies, works on for a moment, archives, ships. Gives the SCN to recover to.
fn copy_and_ship(world: &World) -> u64 {
    let copied = world.tool("ts-hotbackup").unwrap().run().unwrap().expect(0).unwrap();
    let status =
        |word: &str| copied.of("tablespace").iter().filter(|r| r.text("status") == Some(word)).count();
    assert_eq!((status("copied"), status("skipped"), status("failed")), (7, 2, 0));
    assert_eq!(copied.of("recovery_window").len(), 1);
    std::thread::sleep(Duration::from_millis(700));
    let scn = world.primary.number("SELECT TO_CHAR(current_scn) FROM v$database").unwrap();
    std::thread::sleep(Duration::from_millis(300));
    world.primary.sql("ALTER SYSTEM ARCHIVE LOG CURRENT").unwrap();
    world.tool("arch-ship").unwrap().args(["--discover", "database"]).run().unwrap().expect(0).unwrap();
    scn
}

/// Files at the standby in an order that the directory gives.
fn shipped(world: &World) -> Vec<PathBuf> {
    let mut logs: Vec<PathBuf> =
        std::fs::read_dir(world.layout().standby_archive()).unwrap().map(|e| e.unwrap().path()).collect();
    logs.sort();
    logs
}

#[test]
fn a_busy_database_becomes_a_standby_that_equals_it() {
    let world = busy();
    let layout = world.layout();
    let watcher = Watcher::start(&layout.standby_archive(), &layout.primary_archive());
    let mut follow = world
        .tool("arch-ship")
        .unwrap()
        .args(["--discover", "database", "--follow", "--interval", "1s"])
        .start()
        .unwrap();
    follow
        .until(Duration::from_secs(30), "the first log is shipped", |f| {
            Ok(f.stdout()?.contains("\"shipped\""))
        })
        .unwrap();
    let scn = copy_and_ship_while_following(&world);
    follow
        .until(Duration::from_secs(30), "everything is shipped", |_| {
            Ok(std::fs::read_dir(layout.primary_archive())?
                .all(|e| e.is_ok_and(|e| layout.standby_archive().join(e.file_name()).exists())))
        })
        .unwrap();
    follow.signal(rustix::process::Signal::TERM).unwrap();
    follow.wait().unwrap().expect(143).unwrap();
    assert!(watcher.end().unwrap() > 3);

    let status = world.tool("arch-ship").unwrap().args(["--discover", "database", "--status"]).run().unwrap();
    assert_eq!(status.expect(0).unwrap().of("gap").len(), 0);
    let seen = monitor(&world);
    assert!(seen.contains("7 of 7 tablespaces") && seen.contains("gaps: none"), "{seen}");

    let recovery = recover(&world, Some(scn)).unwrap();
    assert_eq!(recovery.status, 0, "{}", recovery.said);
    let verdict = compare(&world.primary.dir, &world.standby.dir, scn).unwrap();
    assert!(verdict.equal(), "{:#?}", verdict.differences);
    assert_eq!((verdict.files, verdict.left_out), (38, 2));

    // Safe to run again, to the same place and beyond it.
    let again = recover(&world, Some(scn)).unwrap();
    assert!(again.status == 0 && again.said.contains("already"), "{}", again.said);
    let on = recover(&world, None).unwrap();
    assert!(on.status == 0 && on.said.contains("applied all that has arrived"), "{}", on.said);
    let back = recover(&world, Some(scn)).unwrap();
    assert!(back.status == 4 && back.said.contains("redo goes only forward"), "{}", back.said);
    world.check(&[]).unwrap();
}

/// What `scripts/monitor_dr.sh` shows of the real tools.
fn monitor(world: &World) -> String {
    let out = std::process::Command::new(
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/monitor_dr.sh"),
    )
    .arg("--once")
    .env_clear()
    .envs(rig::tool::clean_environment())
    .envs(world.settings())
    .env("HOME", world.path())
    .env("ORAPIPE_BIN", rig::tool::bin_dir().unwrap())
    .output()
    .unwrap();
    String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr)
}

fn copy_and_ship_while_following(world: &World) -> u64 {
    world.tool("ts-hotbackup").unwrap().run().unwrap().expect(0).unwrap();
    std::thread::sleep(Duration::from_millis(700));
    let scn = world.primary.number("SELECT TO_CHAR(current_scn) FROM v$database").unwrap();
    world.primary.admin(orasim::server::admin::Admin::Writer { rate: 0 }).unwrap();
    world.primary.sql("ALTER SYSTEM ARCHIVE LOG CURRENT").unwrap();
    scn
}

#[test]
fn a_lost_log_stops_recovery_before_the_hole_and_is_named() {
    let world = busy();
    let scn = copy_and_ship(&world);
    let logs = shipped(&world);
    let victim = &logs[logs.len() / 2];
    std::fs::rename(victim, world.path().join("kept.log")).unwrap();
    let recovery = recover(&world, Some(scn)).unwrap();
    assert_eq!(recovery.status, 5, "{}", recovery.said);
    assert!(recovery.said.contains(&format!("not at {scn}")), "{}", recovery.said);
    let on = recover(&world, None).unwrap();
    assert_eq!(on.status, 5, "{}", on.said);
    std::fs::rename(world.path().join("kept.log"), victim).unwrap();
    let recovery = recover(&world, Some(scn)).unwrap();
    assert_eq!(recovery.status, 0, "{}", recovery.said);
    assert!(compare(&world.primary.dir, &world.standby.dir, scn).unwrap().equal());

    // A hole in front of logs that have arrived is no end of the redo, even where the standby is consistent.
    for _ in 0..3 {
        std::thread::sleep(Duration::from_millis(200));
        world.primary.sql("ALTER SYSTEM ARCHIVE LOG CURRENT").unwrap();
    }
    world.tool("arch-ship").unwrap().args(["--discover", "database"]).run().unwrap().expect(0).unwrap();
    let logs: Vec<PathBuf> = shipped(&world).into_iter().filter(|l| !logs.contains(l)).collect();
    assert!(logs.len() >= 3, "{logs:?}");
    std::fs::rename(&logs[1], world.path().join("kept.log")).unwrap();
    let on = recover(&world, None).unwrap();
    assert_eq!(on.status, 5, "{}", on.said);
    assert!(on.said.contains("has arrived"), "{}", on.said);
    std::fs::rename(world.path().join("kept.log"), &logs[1]).unwrap();
    let on = recover(&world, None).unwrap();
    assert_eq!(on.status, 0, "{}", on.said);
    world.check(&[]).unwrap();
}

#[test]
fn a_copy_without_backup_mode_is_not_equal() {
    let world = busy();
    let scn = copy_and_ship(&world);
    // What a script without BEGIN BACKUP would have left: the live files as they are while the writer is at work. The
    // header is that of the proper copy, so that only the comparison can tell.
    let layout = world.layout();
    let rows = world.primary.sql("SELECT name FROM v$datafile WHERE name LIKE '%vendas%'").unwrap();
    let mut torn = 0;
    for name in rows.lines() {
        let copy = PathBuf::from(name.replace(
            &layout.root.join("prod/u0").display().to_string(),
            &layout.root.join("dr/u1").display().to_string(),
        ));
        let header: Vec<u8> = std::fs::read(&copy).unwrap()[..16384].to_vec();
        let mut live = std::fs::read(name).unwrap();
        live[..16384].copy_from_slice(&header);
        std::fs::write(&copy, live).unwrap();
        torn += rig::standby::torn_blocks(&copy).unwrap();
    }
    assert!(torn > 0, "the writer has torn nothing");
    let recovery = recover(&world, Some(scn)).unwrap();
    let equal = recovery.status == 0 && compare(&world.primary.dir, &world.standby.dir, scn).unwrap().equal();
    assert!(!equal, "{}", recovery.said);
}

#[test]
fn one_changed_byte_in_the_standby_is_found() {
    let world = busy();
    let scn = copy_and_ship(&world);
    assert_eq!(recover(&world, Some(scn)).unwrap().status, 0);
    assert!(compare(&world.primary.dir, &world.standby.dir, scn).unwrap().equal());
    let path = world.standby.sql("SELECT name FROM v$datafile WHERE file# = 7").unwrap();
    let path = PathBuf::from(path.trim());
    let mut bytes = std::fs::read(&path).unwrap();
    let place = 8192 * 20 + 777;
    bytes[place] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let verdict = compare(&world.primary.dir, &world.standby.dir, scn).unwrap();
    assert_eq!(verdict.differences.len(), 1, "{:?}", verdict.differences);
    assert!(verdict.differences[0].contains("1 blocks differ"), "{:?}", verdict.differences);
}

#[test]
fn a_cycle_under_way_is_no_standby_and_the_primary_is_never_recovered() {
    let world = busy();
    copy_and_ship(&world);
    let facts = world.layout().standby_dir().join("control/recover_standby_DBPROD.env");
    let text = std::fs::read_to_string(&facts).unwrap();
    std::fs::write(&facts, text.replace("COMPLETE='yes'", "COMPLETE='no'")).unwrap();
    let recovery = recover(&world, None).unwrap();
    assert_eq!(recovery.status, 4, "{}", recovery.said);
    assert!(recovery.said.contains("do not belong together yet"), "{}", recovery.said);
    std::fs::write(&facts, text).unwrap();
    let early = recover(&world, Some(1000)).unwrap();
    assert!(early.status == 4 && early.said.contains("not consistent before SCN"), "{}", early.said);
}
