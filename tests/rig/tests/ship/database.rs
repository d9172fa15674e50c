//! With databases on both sides: discovery in V$ARCHIVED_LOG, what the standby has applied, RESETLOGS, hung sessions.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{ensure, Context, Result};
use orasim::instance::{DestSpec, Spec};
use orasim::server::admin::Admin;
use orasim::server::fault::{Fault, Kind, When};
use rig::host::HostOptions;
use rig::tool::Tool;
use rig::world::{Setup, World, STANDBY};

use crate::oracle::{altered, sqlplus, stand_by, stop_faults, switch, Logs};
use crate::pair::{files, gap, said, with_status, Watch};

fn small() -> Spec {
    Spec { log_bytes: 512 << 10, changes_per_second: 0, ..Spec::default() }
}

fn world(spec: Spec, host: HostOptions) -> Result<World> {
    World::shaped(&Setup { spec, host, over_ssh: true }, |layout| layout.tablespaces(12, 256 << 10))
}

fn tool(world: &World) -> Result<Tool> {
    Ok(world.tool("arch-ship")?.limit(Duration::from_secs(90)))
}

/// Everything that V$ARCHIVED_LOG has at the primary is at the standby, byte for byte.
fn check_there(world: &World) -> Result<()> {
    for log in Logs::of(&world.primary)?.local() {
        let path = PathBuf::from(&log.name);
        let there = world.layout().standby_archive().join(path.file_name().context("a name")?);
        let same = std::fs::read(&there).ok() == std::fs::read(&path).ok();
        ensure!(same, "{} of {} is not {}", there.display(), log.name, path.display());
    }
    Ok(())
}

fn mark(world: &World, thread: u32) -> Option<u64> {
    let path = world.state_dir().join(format!("last_arch_seq_thread{thread}.DBPROD"));
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

#[test]
fn rows_multiplied_by_destinations_become_one_log_each() -> Result<()> {
    let second = tempfile::tempdir()?;
    let first = tempfile::tempdir()?;
    let dest = |id: u32, directory: Option<PathBuf>, service: Option<&str>| DestSpec {
        id,
        directory,
        omf: false,
        service: service.map(str::to_owned),
    };
    let dests = vec![
        dest(1, Some(first.path().join("arch $(touch pwned)")), None),
        dest(2, Some(second.path().join("arch")), None),
        dest(3, None, Some("uni_dg2")),
    ];
    let world = world(Spec { threads: 2, idle_threads: vec![2], dests, ..small() }, HostOptions::default())?;
    for _ in 0..3 {
        world.primary.admin(Admin::WriteBatch { n: 60 })?;
        switch(&world.primary)?;
    }
    let logs = Logs::of(&world.primary)?;
    let keys: BTreeSet<(u64, u64)> = logs.all.iter().map(|l| (l.thread, l.sequence)).collect();
    ensure!(logs.all.len() == 3 * keys.len(), "three rows per log: {logs:?}");
    ensure!(keys.iter().any(|(thread, _)| *thread == 2), "thread 2 has logs: {logs:?}");
    // One copy is gone from the first destination; the second has it still.
    let lost = logs.local().next().context("no log")?;
    std::fs::remove_file(&lost.name)?;

    let outcome = tool(&world)?.run()?.expect(0)?;
    ensure!(with_status(&outcome, "shipped") == keys.len(), "{keys:?}\n{}", said(&outcome));
    ensure!(outcome.of("gap").is_empty(), "{}", said(&outcome));
    // The standby is down: not knowing is said, and is not 0.
    ensure!(said(&outcome).contains("what the standby has applied is unknown"), "{}", said(&outcome));
    ensure!(files(&world.layout().standby_archive())?.len() == keys.len(), "one file per log");
    for thread in [1, 2] {
        let last = keys.iter().filter(|k| k.0 == thread).map(|k| k.1).max();
        ensure!(
            mark(&world, thread as u32) == last,
            "thread {thread}: {:?} and {last:?}",
            mark(&world, thread as u32)
        );
    }
    ensure!(!world.path().join("pwned").exists() && !world.path().join("scratch/pwned").exists(), "pwned");
    let again = tool(&world)?.run()?.expect(0)?;
    ensure!(with_status(&again, "present") == keys.len(), "{}", said(&again));
    // The same logs found by scanning are the same logs.
    let scan =
        tool(&world)?.arg("--discover").arg("scan").arg("--source-dir").arg(second.path().join("arch"));
    let scan = scan.run()?.expect(0)?;
    ensure!(with_status(&scan, "shipped") == 0, "{}", said(&scan));
    world.check(&[])
}

#[test]
fn a_log_that_vanished_from_every_destination_is_a_gap_with_its_command() -> Result<()> {
    let world = world(small(), HostOptions::default())?;
    for _ in 0..4 {
        world.primary.admin(Admin::WriteBatch { n: 40 })?;
        switch(&world.primary)?;
    }
    let logs = Logs::of(&world.primary)?;
    let lost = logs.local().nth(1).context("no log")?.clone();
    let kept = world.path().join("kept");
    std::fs::rename(&lost.name, &kept)?;
    let outcome = tool(&world)?.run()?.expect(5)?;
    ensure!(gap(&outcome)? == (1, lost.sequence, lost.sequence, "source".to_owned()), "{}", said(&outcome));
    let hint = outcome.of("gap")[0].text("hint").unwrap_or_default().to_owned();
    ensure!(hint.contains(&format!("RESTORE ARCHIVELOG FROM SEQUENCE {}", lost.sequence)), "{hint}");
    ensure!(mark(&world, 1) == Some(lost.sequence - 1), "{:?}", mark(&world, 1));
    // Truncated at the source: not shipped, a gap as well.
    let whole = std::fs::read(&kept)?;
    std::fs::write(&lost.name, &whole[..whole.len() / 2])?;
    let outcome = tool(&world)?.run()?;
    ensure!(matches!(outcome.status, Some(1 | 5)), "{:?}\n{}", outcome.status, said(&outcome));
    ensure!(mark(&world, 1) == Some(lost.sequence - 1), "{:?}", mark(&world, 1));
    std::fs::rename(&kept, &lost.name)?;
    tool(&world)?.run()?.expect(0)?;
    check_there(&world)?;
    world.check(&[])
}

#[test]
fn a_resetlogs_of_the_database_is_said_and_both_incarnations_arrive() -> Result<()> {
    let world = world(small(), HostOptions::default())?;
    for _ in 0..3 {
        world.primary.admin(Admin::WriteBatch { n: 40 })?;
        switch(&world.primary)?;
    }
    tool(&world)?.run()?.expect(0)?;
    let before = mark(&world, 1);
    world.primary.admin(Admin::Resetlogs)?;
    for _ in 0..2 {
        world.primary.admin(Admin::WriteBatch { n: 40 })?;
        switch(&world.primary)?;
    }
    let outcome = tool(&world)?.run()?.expect(0)?;
    ensure!(said(&outcome).contains("RESETLOGS at SCN"), "{}", said(&outcome));
    let logs = Logs::of(&world.primary)?;
    let incarnations: BTreeSet<u64> = logs.all.iter().map(|l| l.resetlogs_id).collect();
    ensure!(incarnations.len() == 2, "{logs:?}");
    check_there(&world)?;
    let newest = incarnations.last().context("no incarnation")?;
    let last = logs.all.iter().filter(|l| l.resetlogs_id == *newest).map(|l| l.sequence).max();
    ensure!(mark(&world, 1) == last && last < before, "{:?}, {last:?}, before {before:?}", mark(&world, 1));
    world.check(&[])
}

#[test]
fn what_the_standby_has_applied_is_asked_over_ssh_with_profile_and_oratab() -> Result<()> {
    let etc = tempfile::tempdir()?;
    let oratab = etc.path().join("oratab");
    let env = vec![("ORATAB".to_owned(), oratab.display().to_string())];
    let world =
        world(Spec { changes_per_second: 300, ..small() }, HostOptions { env, ..HostOptions::default() })?;
    let home = world.layout().home();
    std::fs::write(&oratab, format!("# comment\n{STANDBY}:{}:N\n", home.display()))?;
    let profile = etc.path().join("profile of oracle");
    std::fs::write(&profile, format!("echo noise\nORACLE_SID={STANDBY}; export ORACLE_SID\n"))?;
    for _ in 0..3 {
        switch(&world.primary)?;
    }
    let old: BTreeSet<String> = Logs::of(&world.primary)?.local().map(|l| l.name.clone()).collect();
    stand_by(&world)?;
    for _ in 0..2 {
        switch(&world.primary)?;
    }
    let plain =
        || Ok::<_, anyhow::Error>(tool(&world)?.env_remove("STANDBY_ORACLE_HOME").env_remove("STANDBY_SID"));
    let with_profile = plain()?.arg("--standby-profile").arg(&profile);
    for tool in [plain()?, with_profile] {
        let outcome = tool.run()?.expect(0)?;
        ensure!(!said(&outcome).contains("is unknown"), "{}", said(&outcome));
        ensure!(
            with_status(&outcome, "skipped") >= 3,
            "what is below the copy is not needed:\n{}",
            said(&outcome)
        );
        ensure!(
            with_status(&outcome, "shipped") + with_status(&outcome, "present") >= 2,
            "{}",
            said(&outcome)
        );
    }
    let there: Vec<String> = files(&world.layout().standby_archive())?
        .iter()
        .filter_map(|p| p.file_name().map(|n| n.to_string_lossy().into_owned()))
        .collect();
    // The log that the copy began in is not "applied", whatever its FIRST_CHANGE# is.
    let begin = world.standby.number("SELECT TO_CHAR(MIN(h.checkpoint_change#)) FROM v$datafile_header h, v$datafile d WHERE h.file# = d.file# AND d.enabled = 'READ WRITE' AND d.status <> 'OFFLINE'")?;
    let logs = Logs::of(&world.primary)?;
    for log in logs.local() {
        let name = log.name.rsplit('/').next().unwrap_or_default().to_owned();
        ensure!(
            there.contains(&name) == (log.next_change > begin),
            "{log:?}, the copy begins at {begin}: {there:?}"
        );
    }
    ensure!(old.len() >= 3, "{old:?}");

    // Down: unknown, and nothing is left out.
    sqlplus(&world, STANDBY, "shutdown abort\n")?;
    let outcome = plain()?.run()?.expect(0)?;
    ensure!(said(&outcome).contains("what the standby has applied is unknown"), "{}", said(&outcome));
    ensure!(with_status(&outcome, "skipped") == 0, "{}", said(&outcome));
    check_there(&world)?;
    world.check(&["change_on_install"])
}

#[test]
fn a_hung_sqlplus_on_either_side_ends_within_the_limit() -> Result<()> {
    let world = world(small(), HostOptions::default())?;
    world.primary.admin(Admin::WriteBatch { n: 40 })?;
    switch(&world.primary)?;
    stand_by(&world)?;
    switch(&world.primary)?;
    let hang = |pattern: &str| {
        let kind = Kind::Hang { seconds: None, when: When::Before };
        Admin::AddFault(Fault { pattern: pattern.to_owned(), kind, times: None, skip: 0 })
    };
    world.standby.admin(hang("datafile_header"))?;
    let outcome = tool(&world)?.args(["--io-timeout", "4s"]).run()?.expect(0)?;
    ensure!(outcome.elapsed < Duration::from_secs(45), "{:?}", outcome.elapsed);
    ensure!(said(&outcome).contains("what the standby has applied is unknown"), "{}", said(&outcome));
    check_there(&world)?;
    stop_faults(&world.standby)?;

    world.primary.admin(hang("archived_log"))?;
    let outcome = tool(&world)?.args(["--io-timeout", "4s"]).run()?;
    ensure!(matches!(outcome.status, Some(2 | 75 | 124)), "{:?}\n{}", outcome.status, said(&outcome));
    ensure!(outcome.elapsed < Duration::from_secs(45), "{:?}", outcome.elapsed);
    ensure!(said(&outcome).contains("sqlplus"), "{}", said(&outcome));
    stop_faults(&world.primary)?;
    world.primary.admin(Admin::AddFault(Fault {
        pattern: String::new(),
        kind: Kind::LogonHang { seconds: 60.0 },
        times: Some(1),
        skip: 0,
    }))?;
    let outcome = tool(&world)?.args(["--io-timeout", "4s"]).run()?;
    ensure!(matches!(outcome.status, Some(2 | 75 | 124)), "{:?}\n{}", outcome.status, said(&outcome));
    ensure!(outcome.elapsed < Duration::from_secs(45), "{:?}", outcome.elapsed);
    stop_faults(&world.primary)?;
    tool(&world)?.run()?.expect(0)?;
    world.check(&[])
}

#[test]
fn the_cutoff_is_captured_once_and_keeps_every_log_that_ends_above_it() -> Result<()> {
    let world = world(Spec { changes_per_second: 300, ..small() }, HostOptions::default())?;
    for _ in 0..2 {
        switch(&world.primary)?;
    }
    let capture =
        || Ok::<_, anyhow::Error>(tool(&world)?.args(["--scn-cutoff", "capture", "--applied", "none"]));
    let outcome = capture()?.run()?.expect(0)?;
    ensure!(with_status(&outcome, "shipped") == 0, "all of it is below: {}", said(&outcome));
    let kept = std::fs::read_to_string(world.state_dir().join("scn_cutoff.DBPROD"))?;
    let scn: u64 = kept.trim().parse()?;
    ensure!(scn > 959_994_799_549, "{scn}");
    for _ in 0..2 {
        switch(&world.primary)?;
    }
    let outcome = capture()?.run()?.expect(0)?;
    ensure!(std::fs::read_to_string(world.state_dir().join("scn_cutoff.DBPROD"))? == kept, "captured twice");
    let logs = Logs::of(&world.primary)?;
    let needed: Vec<u64> = logs.local().filter(|l| l.next_change > scn).map(|l| l.sequence).collect();
    // The one that was current when the cut-off was taken begins below it and is needed.
    ensure!(logs.local().any(|l| l.first_change <= scn && l.next_change > scn), "{logs:?}");
    ensure!(with_status(&outcome, "shipped") == needed.len(), "{needed:?}\n{}", said(&outcome));
    ensure!(mark(&world, 1) == needed.last().copied(), "{:?}", mark(&world, 1));
    world.check(&[])
}

/// ARCn makes the final name at once and fills it; the row comes when the file is whole.
#[test]
fn follow_is_quick_with_a_slow_archiver_and_outlives_a_crash_of_the_primary() -> Result<()> {
    let world = world(Spec { log_bytes: 4 << 20, ..small() }, HostOptions::default())?;
    world.primary.admin(Admin::WriteBatch { n: 40 })?;
    switch(&world.primary)?;
    let (arch, there) = (world.layout().primary_archive(), world.layout().standby_archive());
    let watch = Watch::start(&arch, &there, &[]);
    let mut run = tool(&world)?.args(["--follow", "--interval", "5m", "--applied", "none"]).start()?;
    let count = |dir: &std::path::Path| {
        files(dir).map(|f| f.iter().filter(|p| !p.to_string_lossy().contains("/.")).count())
    };
    let arrived = |run: &mut rig::tool::Started, n: usize, what: &str| {
        run.until(Duration::from_secs(15), what, |_| Ok(count(&there)? >= n))
    };
    arrived(&mut run, 1, "the first log arrives")?;

    world.primary.admin(Admin::WriteBatch { n: 6000 })?;
    world.primary.admin(Admin::Physics("{\"archiver_bytes_per_second\":150000}".to_owned()))?;
    let begin = std::time::Instant::now();
    std::thread::scope(|scope| {
        let slow = scope.spawn(|| switch(&world.primary));
        while !slow.is_finished() {
            ensure!(count(&there)? == 1 || slow.is_finished(), "shipped while the archiver wrote it");
            std::thread::sleep(Duration::from_millis(10));
        }
        slow.join().map_err(|_| anyhow::anyhow!("the switch died"))?
    })?;
    ensure!(begin.elapsed() > Duration::from_secs(2), "the archiver was not slow: {:?}", begin.elapsed());
    arrived(&mut run, 2, "the slow log arrives")?;
    world.primary.admin(Admin::Physics("{}".to_owned()))?;

    world.primary.admin(Admin::Kill)?;
    std::thread::sleep(Duration::from_secs(3));
    ensure!(run.is_running()?, "{}", run.stderr()?);
    altered(&world, rig::world::PRIMARY, "startup\n")?;
    world.primary.admin(Admin::WriteBatch { n: 40 })?;
    switch(&world.primary)?;
    arrived(&mut run, 3, "a log after the crash arrives")?;
    run.until(Duration::from_secs(5), "the mark", |_| Ok(mark(&world, 1) >= Some(3)))?;
    run.signal(rustix::process::Signal::INT)?;
    run.wait()?.expect(130)?;
    watch.end()?;
    check_there(&world)?;
    world.check(&[])
}

#[test]
fn other_platforms_and_names_of_a_recovery_area() -> Result<()> {
    for (redo_block_size, big_endian_redo) in [(1024, false), (4096, true)] {
        let area = tempfile::tempdir()?;
        let dests =
            vec![DestSpec { id: 1, directory: Some(area.path().to_owned()), omf: true, service: None }];
        let world =
            world(Spec { redo_block_size, big_endian_redo, dests, ..small() }, HostOptions::default())?;
        for _ in 0..3 {
            world.primary.admin(Admin::WriteBatch { n: 40 })?;
            switch(&world.primary)?;
        }
        let outcome = tool(&world)?.run()?.expect(0)?;
        ensure!(
            with_status(&outcome, "shipped") == Logs::of(&world.primary)?.local().count(),
            "{}",
            said(&outcome)
        );
        check_there(&world)?;
        let status = tool(&world)?.arg("--status").run()?.expect(0)?;
        let next = Logs::of(&world.primary)?.local().last().map(|l| l.next_change);
        ensure!(status.of("standby")[0].number("recoverable_to_scn") == next, "{next:?}: {}", said(&status));
    }
    Ok(())
}
