//! Runs beside runs: two databases on one array, a second run, a dry run, and volumes that do not hold all files.

use std::collections::BTreeSet;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use anyhow::{ensure, Result};
use ibsim::{Config, Rule};
use rig::tool::Tool;

use crate::bench::{Bench, Place};
use crate::case::{open, Shape};
use crate::proof::{foreign, judge, sets, State};
use crate::stage::{said, snap};

#[test]
fn a_dry_run_changes_nothing() -> Result<()> {
    let bench = Bench::new()?;
    for shape in [Shape::whole(), Shape::group(), Shape::single()] {
        let place = bench.place(Config::default())?;
        let (objects, groups) = (place.array.objects(), place.array.groups().len());
        let altered = bench.statements("ALTER ")?;
        let outcome = snap(&bench, &place, &shape)?.arg("--dry-run").run()?.expect(0)?;
        ensure!(place.array.log().iter().all(|r| r.method == "GET"), "{}", crate::stage::requests(&place));
        ensure!(place.array.objects() == objects && place.array.groups().len() == groups);
        ensure!(bench.statements("ALTER ")? == altered, "the database was changed");
        for dir in ["state", "log"] {
            ensure!(!place.dir.join(dir).exists(), "{dir} was made");
        }
        let planned: Vec<&str> = outcome.of("planned").iter().filter_map(|r| r.text("snapshot")).collect();
        ensure!(planned.len() == shape.data.len() + shape.archive.len(), "{planned:?}");
        let deeds: Vec<&str> = outcome.of("planned").iter().filter_map(|r| r.text("action")).collect();
        let at = |deed: &str| deeds.iter().position(|d| *d == deed);
        ensure!(at("begin_backup") < at("snapshot") && at("snapshot") < at("end_backup"), "{deeds:?}");
        ensure!(at("end_backup") < at("archive_log"), "{deeds:?}");
        ensure!(outcome.of("snapshot").is_empty(), "a receipt of a dry run");
    }
    Ok(())
}

#[test]
fn a_second_run_is_sent_away() -> Result<()> {
    let bench = Bench::new()?;
    let place = bench.place(Config::default())?;
    let shape = Shape::whole();
    place.array.faults(vec![Rule::on("POST", "group_snapshot", open(1500)).nth(1)])?;
    let mut first = bench.tool("ib-snap", &place)?.args(shape.args()).start()?;
    first.until(Duration::from_secs(20), "the snapshot", |_| {
        Ok(place.array.count("POST", "group_snapshot") == 1)
    })?;
    let writes = || place.array.log().iter().filter(|r| r.method != "GET").count();
    let (before, pid) = (writes(), first.pid());
    let second = snap(&bench, &place, &shape)?.run()?.expect(75)?;
    ensure!(writes() == before, "{}", crate::stage::requests(&place));
    ensure!(said(&second).contains(&pid.to_string()), "it does not name the holder:\n{}", said(&second));
    ensure!(bench.db.in_backup_mode()? > 0, "it has ended the backup mode of the first");
    first.wait()?.expect(0)?;
    let sets = sets(&place)?;
    ensure!(sets.len() == 1);
    for set in sets.values() {
        ensure!(judge(set, &shape)? == State::Complete);
    }
    // And a dry run beside a run harms nobody.
    place.array.faults(vec![Rule::on("POST", "group_snapshot", open(1500)).nth(1)])?;
    let mut first = bench.tool("ib-snap", &place)?.args(shape.args()).start()?;
    first.until(Duration::from_secs(20), "the snapshot", |_| {
        Ok(place.array.count("POST", "group_snapshot") == 2)
    })?;
    snap(&bench, &place, &shape)?.arg("--dry-run").run()?;
    first.wait()?.expect(0)?;
    Ok(())
}

/// Two databases, one array, the same second.
#[test]
fn two_databases_at_the_same_second() -> Result<()> {
    let (one, two) = (Bench::named("ONE", 0)?, Bench::named("TWO", 0)?);
    let place = one.place(Config::default())?;
    let theirs = two.place(Config::default())?;
    let before = foreign(&place);
    let call = |bench: &Bench, own: &Place, data: &str, archive: &str| -> Result<Tool> {
        let tool = bench.tool("ib-snap", own)?.env("SOURCE_INFINIBOX", place.array.host(0));
        Ok(tool.args(["--data-volume", data, "--archive-volume", archive]))
    };
    // Each has one volume: their names would be the same.
    for _ in 0..3 {
        let first = call(&one, &place, "DATA1", "ARCH1")?.start()?;
        let second = call(&two, &theirs, "DATA2", "DATA3")?.start()?;
        let (first, second) = (first.wait()?, second.wait()?);
        for outcome in [&first, &second] {
            // Who came second may be refused, but in words and without a trace.
            let right = outcome.status == Some(0) || matches!(outcome.status, Some(2 | 4 | 75));
            ensure!(right, "{:?}\n{}", outcome.status, said(outcome));
        }
        let good = [&first, &second].iter().filter(|o| o.status == Some(0)).count();
        ensure!(good >= 1, "both failed:\n{}\n{}", said(&first), said(&second));
        for bench in [&one, &two] {
            ensure!(bench.db.in_backup_mode()? == 0);
        }
        // Nobody has taken, marked or deleted what is the other's.
        let mine = |outcome: &rig::tool::Outcome| -> BTreeSet<String> {
            outcome.of("snapshot").iter().filter_map(|r| r.text("name").map(str::to_owned)).collect()
        };
        let (a, b) = (mine(&first), mine(&second));
        for (names, db) in [(a, "ONE"), (b, "TWO")] {
            for name in names {
                let mark =
                    place.array.object(&name)?.metadata.get("orapipe.set").cloned().unwrap_or_default();
                ensure!(mark.contains(&format!("\"db\":\"{db}\"")), "{name} of {db}: {mark}");
            }
        }
        std::thread::sleep(Duration::from_millis(1100));
    }
    ensure!(foreign(&place) == before, "something foreign was changed");
    Ok(())
}

/// A host as /proc and /sys show it: the datafiles on one disk, the archived logs on another.
fn host(root: &Path, data: (&Path, &str), archive: (&Path, &str)) -> Result<()> {
    std::fs::create_dir_all(root.join("proc/self"))?;
    std::fs::create_dir_all(root.join("sys/dev/block"))?;
    let mut info = "22 1 8:1 / / rw shared:1 - ext4 /dev/sda1 rw\n".to_owned();
    let disk = |number: &str, name: &str, id: &str, multipath: bool| -> Result<()> {
        let place = root.join("sys/devices").join(name);
        let (file, text) = if multipath {
            ("dm/uuid", format!("mpath-3{id}"))
        } else {
            ("device/wwid", format!("naa.{id}"))
        };
        std::fs::create_dir_all(place.join(file).parent().unwrap_or(&place))?;
        std::fs::write(place.join(file), text + "\n")?;
        std::fs::write(place.join("dev"), format!("{number}\n"))?;
        Ok(symlink(&place, root.join("sys/dev/block").join(number))?)
    };
    disk("253:3", "dm-3", data.1, true)?;
    disk("8:32", "sdc", archive.1, false)?;
    disk("8:1", "sda1", "t10.ATA_disk", false)?;
    for (n, (path, number)) in [(data.0, "253:3"), (archive.0, "8:32")].into_iter().enumerate() {
        let path = path.canonicalize()?;
        info += &format!("{} 22 {number} / {} rw - xfs /dev/x{n} rw\n", 30 + n, path.display());
    }
    Ok(std::fs::write(root.join("proc/self/mountinfo"), info)?)
}

#[test]
fn coverage_is_checked_before_the_database_is_touched() -> Result<()> {
    let bench = Bench::new()?;
    let place = bench.place(Config::default())?;
    let serial = |name: &str| -> Result<String> {
        let id = place.array.object(name)?.id;
        Ok(format!("6{}", place.array.with(|s| s.volume_serial(id))))
    };
    let root = place.dir.join("host");
    let (data, arch) = (bench.root().join("data"), bench.db.dir.join("arch"));
    std::fs::create_dir_all(&arch)?;
    host(&root, (&data, &serial("DATA2")?), (&arch, &serial("ARCH1")?))?;
    let call = |volumes: &str, archive: &str| -> Result<Tool> {
        let tool = bench.tool("ib-snap", &place)?.env("ORAPIPE_HOST_ROOT", &root).arg("--check-coverage");
        Ok(tool.args(["--data-volume", volumes, "--archive-volume", archive]))
    };
    let begins = bench.statements("BEGIN BACKUP")?;
    let before = place.array.objects();
    let missing = call("DATA1,DATA3", "ARCH1")?.run()?.expect(4)?;
    ensure!(said(&missing).contains("users01.dbf"), "{}", said(&missing));
    ensure!(said(&missing).contains(&serial("DATA2")?), "{}", said(&missing));
    let missing = call("DATA1,DATA2", "DATA3")?.run()?.expect(4)?;
    ensure!(said(&missing).contains("archive destination"), "{}", said(&missing));
    let dry = call("DATA1", "ARCH1")?.arg("--dry-run").run()?.expect(4)?;
    ensure!(said(&dry).contains("users01.dbf"), "{}", said(&dry));
    ensure!(bench.statements("BEGIN BACKUP")? == begins && place.array.objects() == before);
    // Without a tree this host's own disks are looked at, which are none of the array's.
    let own = bench
        .tool("ib-snap", &place)?
        .args(Shape::whole().args())
        .arg("--check-coverage")
        .run()?
        .expect(4)?;
    ensure!(said(&own).contains("not on a listed volume"), "{}", said(&own));
    let good = call("DATA2,DATA1", "ARCH1")?.run()?.expect(0)?;
    ensure!(good.of("snapshot").len() == 3, "{}", said(&good));
    Ok(())
}
