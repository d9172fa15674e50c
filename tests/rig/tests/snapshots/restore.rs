//! The proof of it all: what the array keeps, restored into a new place and recovered with the logs that were kept beside it,
//! is the database; and what is a little wrong is not.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{bail, ensure, Context, Result};
use common::infinibox::{RedoMark, REDO_KEY};
use ibsim::bytes::Freezer;
use ibsim::{Array, Change, Config, Fault, Rule};
use orasim::datafile::Header;
use orasim::engine::{Command, Engine, OraError, Recover, StartupMode, Until};
use orasim::instance::{DestSpec, FileSpec, Instance as Database, Spec, TablespaceKind, TablespaceSpec};
use orasim::server::home;
use orasim::truth;
use rig::instance::Instance;
use rig::records::Record;
use rig::tool::{Outcome, Tool};
use tempfile::TempDir;

use crate::bench::{ARCHIVE, DATA};
use crate::stage::said;

/// A busy database whose mount points are volumes of an array.
struct Site {
    db: Instance,
    array: Array,
    home: PathBuf,
    root: TempDir,
}

impl Site {
    fn new() -> Result<Self> {
        let root = tempfile::Builder::new().prefix("orapipe-restore-").tempdir()?;
        let at = |name: &str| root.path().join(name);
        let oracle_home = at("home");
        home::make(&oracle_home, &rig::tool::bin_dir()?)?;
        let file = |volume: &str, name: &str| FileSpec { path: at(volume).join(name), bytes: 512 << 10 };
        let mut spec = Spec {
            name: "PROD".into(),
            sid: "PROD".into(),
            log_bytes: 1 << 20,
            threads: 2,
            idle_threads: vec![2],
            changes_per_second: 1500,
            dests: vec![DestSpec { id: 1, directory: Some(at(ARCHIVE)), omf: false, service: None }],
            tablespaces: vec![
                TablespaceSpec::new("SYSTEM", vec![file(DATA[0], "system01.dbf")]),
                TablespaceSpec::new("UNDOTBS1", vec![file(DATA[1], "undotbs01.dbf")]),
                TablespaceSpec::new(
                    "USERS",
                    vec![file(DATA[1], "users01.dbf"), file(DATA[2], "users02.dbf")],
                ),
                TablespaceSpec::new("HIST", vec![file(DATA[2], "hist01.dbf")]),
            ],
            ..Spec::default()
        };
        spec.tablespaces[1].kind = TablespaceKind::Undo;
        spec.tablespaces[3].read_only = true;
        for volume in DATA.into_iter().chain([ARCHIVE, "scratch"]) {
            std::fs::create_dir_all(at(volume))?;
        }
        let db = Instance::create(&oracle_home, &at("db"), &spec)?;
        // The array cuts all of a group at one instant: the database stands still for that long.
        let daemon = rig::host::children(std::process::id());
        let dir = db.dir.display().to_string();
        let daemon = daemon.into_iter().find(|p| p.args.contains(&dir)).context("the database's process")?;
        let pid = i32::try_from(daemon.pid)?;
        let freezer = Freezer::processes(move || Ok(vec![pid]));
        let array = Array::start(Config { freezer: Some(freezer), ..Config::default() })?;
        for volume in DATA.into_iter().chain([ARCHIVE]) {
            array.add_volume(volume)?;
            array.bind(volume, &at(volume))?;
        }
        array.add_group("ORAGROUP", &DATA)?;
        Ok(Self { db, array, home: oracle_home, root })
    }

    fn at(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn snap(&self, data: &[&str]) -> Result<Tool> {
        Ok(Tool::new("ib-snap", &self.at("scratch"))?
            .env("ORACLE_HOME", &self.home)
            .env("ORACLE_SID", "PROD")
            .env("STATE_DIR", self.at("state"))
            .env("LOG_DIR", self.at("log"))
            .env("SOURCE_INFINIBOX", self.array.host(0))
            .env("SOURCE_INFINIBOX_USER", "pool_admin")
            .env("SOURCE_INFINIBOX_PASSWORD", ibsim::PASSWORD)
            .args(["--insecure-http", "--archive-volume", ARCHIVE])
            .arg("--controlfile-to")
            .arg(self.at(ARCHIVE))
            .args(data))
    }

    /// What a recovery of this run's set begins with.
    fn set(&self, outcome: &Outcome) -> Result<Kept> {
        let mut data = BTreeMap::new();
        let mut archive = None;
        for record in outcome.of("snapshot") {
            let name = record.text("name").context("a name")?.to_owned();
            match record.text("kind") {
                Some("data") => {
                    data.insert(record.text("volume").context("a volume")?.to_owned(), name);
                }
                _ => archive = Some(name),
            }
        }
        ensure!(data.len() == DATA.len(), "{}", said(outcome));
        let archive = archive.context("an archive snapshot")?;
        // What is needed is on the array itself: the host with its logs may be gone.
        let text = self.array.object(&archive)?.metadata.get(REDO_KEY).cloned().context("no redo mark")?;
        let redo = RedoMark::parse(&text).context("a redo mark")?;
        let windows = outcome.of("recovery_window");
        same(windows.first().context("a recovery_window")?, &redo)?;
        Ok(Kept { data, archive, redo })
    }

    /// The host is gone, its online logs with it: what comes now has the array alone.
    fn disaster(&mut self) -> Result<()> {
        self.db.kill_daemon();
        let logs = self.db.dir.join("onlinelog");
        std::fs::rename(&logs, self.db.dir.join("onlinelog.lost")).context("the online logs")?;
        // OPEN RESETLOGS makes new ones under the names in the control file.
        std::fs::create_dir(&logs).context("a place for online logs")
    }

    /// Restores and recovers; the SCN that it came to.
    fn recover(&self, kept: &Kept, place: &str) -> Result<u64> {
        Restored::new(self, kept, place)?.recover(self, &kept.redo)
    }
}

/// The record tells what the metadata does.
fn same(window: &Record, redo: &RedoMark) -> Result<()> {
    let window: common::record::RecoveryWindow = window.decode()?;
    let threads: Vec<_> =
        window.threads.iter().map(|t| (t.thread, t.first_sequence, t.last_sequence)).collect();
    ensure!(threads == redo.threads, "{threads:?} and {:?}", redo.threads);
    ensure!((window.begin_scn, window.end_scn) == (redo.begin, redo.end), "{window:?} {redo:?}");
    Ok(())
}

/// Names of the snapshots of a set by volume.
#[derive(Debug, Clone)]
struct Kept {
    data: BTreeMap<String, String>,
    archive: String,
    redo: RedoMark,
}

/// A database in a new place, over restored bytes alone.
struct Restored {
    db: Arc<Database>,
    dir: PathBuf,
}

impl Restored {
    fn new(site: &Site, kept: &Kept, place: &str) -> Result<Self> {
        let dir = site.at(place);
        for (volume, snapshot) in kept.data.iter().chain([(&ARCHIVE.to_owned(), &kept.archive)]) {
            site.array.restore_bytes(snapshot, &dir.join(volume)).with_context(|| snapshot.clone())?;
        }
        // Exactly the logs that the mark names, complete ones: a later one in the snapshot may be half written.
        let logs = dir.join("logs");
        std::fs::create_dir_all(&logs)?;
        let mut taken = 0;
        for entry in std::fs::read_dir(dir.join(ARCHIVE))?.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let mut parts = name.split('_').map(str::parse::<u64>);
            let (Some(Ok(thread)), Some(Ok(sequence))) = (parts.next(), parts.next()) else { continue };
            if kept
                .redo
                .threads
                .iter()
                .any(|(t, first, last)| *t == thread && (*first..=*last).contains(&sequence))
            {
                std::fs::copy(entry.path(), logs.join(&name))?;
                taken += 1;
            }
        }
        let wanted: u64 = kept.redo.threads.iter().map(|(_, first, last)| last + 1 - first).sum();
        ensure!(taken == wanted, "{taken} of {wanted} logs are in the archive snapshot");
        let home = dir.join("instance");
        let spec = Spec {
            name: "PROD".into(),
            sid: "PROD".into(),
            standby: true,
            threads: 2,
            control_files: vec![home.join("control01.ctl")],
            dests: vec![DestSpec { id: 1, directory: Some(logs), omf: false, service: None }],
            changes_per_second: 0,
            ..Spec::default()
        };
        let db = Database::create(&home, &spec)?;
        std::fs::copy(dir.join(ARCHIVE).join("orasync_control_PROD.ctl"), home.join("control01.ctl"))
            .context("the control file is in the archive snapshot")?;
        Ok(Self { db, dir })
    }

    fn run(&self, command: Command) -> Result<(), OraError> {
        self.db.execute(&command, &mut None).map(drop)
    }

    fn must(&self, command: Command) -> Result<()> {
        let text = format!("{command:?}");
        self.run(command).map_err(|e| anyhow::anyhow!("{text}: {}", stack(&e)))
    }

    /// RECOVER DATABASE USING BACKUP CONTROLFILE UNTIL CANCEL with all logs that are there, then CANCEL; compares every
    /// block with the truth, then OPEN RESETLOGS.
    fn recover(&self, site: &Site, redo: &RedoMark) -> Result<u64> {
        self.must(Command::Startup(StartupMode::Nomount))?;
        self.must(Command::Mount { standby: false })?;
        let mut files = BTreeMap::new();
        for (number, from) in self.db.datafiles() {
            let to = self.dir.join(from.strip_prefix(site.root.path())?);
            ensure!(to.is_file(), "{} was not restored", to.display());
            self.must(Command::RenameFile { from, to: to.clone() })?;
            files.insert(number, to);
        }
        let request = Recover {
            automatic: true,
            from: Some(self.dir.join("logs")),
            standby: false,
            using_backup_controlfile: true,
            until: Until::Cancel,
        };
        match self.run(Command::Recover(request)) {
            // It asks for the log after the last: there is none, and so CANCEL.
            Err(e) if e.stack.iter().any(|(code, _)| matches!(code, 279 | 308)) => {}
            Err(e) => bail!("RECOVER: {}", stack(&e)),
            Ok(()) => {}
        }
        let mut reached = 0;
        for (number, path) in &files {
            let header =
                Header::read_path(path).map_err(|e| anyhow::anyhow!("file {number}: {}", e.text()))?;
            reached = reached.max(header.checkpoint_scn);
        }
        ensure!(reached > redo.end, "it came to SCN {reached}, END BACKUP was at {}", redo.end);
        let found = truth::compare(&site.db.dir, &files, reached)?;
        ensure!(found.equal(), "at SCN {reached}: {:#?}", found.explain());
        self.must(Command::Open { read_only: false, resetlogs: true })?;
        Ok(reached)
    }
}

fn stack(error: &OraError) -> String {
    error.stack.iter().map(|(code, text)| format!("ORA-{code:05}: {text}")).collect::<Vec<_>>().join("; ")
}

/// The bytes of all kinds of sets are the database.
#[test]
fn every_kind_of_set_recovers_to_the_truth() -> Result<()> {
    let mut site = Site::new()?;
    let all = DATA.join(",");
    let mut sets = Vec::new();
    for args in [
        vec!["--data-volume", &all],
        vec!["--data-cg", "ORAGROUP"],
        vec!["--data-volume", &all, "--separate-snapshots"],
    ] {
        // Some redo between one and the other.
        std::thread::sleep(Duration::from_millis(1200));
        let outcome = site.snap(&args)?.run()?.expect(0)?;
        sets.push((args, site.set(&outcome)?));
    }
    site.disaster()?;
    for (n, (args, kept)) in sets.iter().enumerate() {
        let reached = site.recover(kept, &format!("restored{n}")).with_context(|| format!("{args:?}"))?;
        eprintln!("{args:?}: recovered to SCN {reached}, END BACKUP was at {}", kept.redo.end);
    }
    Ok(())
}

/// Snapshots that were taken one after the other, with much written in between.
#[test]
fn snapshots_of_different_moments_recover_all_the_same() -> Result<()> {
    let mut site = Site::new()?;
    let slow = |volume: &str, ms: u64| {
        Rule::on("POST", "^/volumes$", Fault::Delay(ms)).body(&format!("orasync_data.*{volume}"))
    };
    site.array.faults(vec![slow(DATA[1], 500), slow(DATA[2], 1500)])?;
    let outcome = site.snap(&["--data-volume", &DATA.join(","), "--separate-snapshots"])?.run()?.expect(0)?;
    let kept = site.set(&outcome)?;
    site.disaster()?;
    site.recover(&kept, "restored").map(drop)
}

/// What a tool without our checks would have called good does not recover.
#[test]
fn what_is_a_little_wrong_does_not_recover() -> Result<()> {
    let mut site = Site::new()?;
    // Somebody cuts the archive volume in backup mode, right after the data.
    let early = Change::Snapshot { parent: ARCHIVE.to_owned(), name: "early".to_owned(), created_at: None };
    site.array.faults(vec![Rule::on("POST", "group_snapshot", Fault::After(vec![early]))])?;
    let outcome = site.snap(&["--data-volume", &DATA.join(",")])?.run()?.expect(0)?;
    site.array.faults(Vec::new())?;
    let kept = site.set(&outcome)?;
    // After END BACKUP, as a request that the array had kept waiting.
    std::thread::sleep(Duration::from_millis(800));
    for volume in DATA {
        let (parent, name) = (volume.to_owned(), format!("late_{volume}"));
        site.array.change(&Change::Snapshot { parent, name, created_at: None })?;
    }
    site.disaster()?;
    let fails = |kept: &Kept, place: &str| -> Result<String> {
        match site.recover(kept, place) {
            Ok(scn) => bail!("{place}: recovered to SCN {scn}, which cannot be"),
            Err(error) => Ok(format!("{error:#}")),
        }
    };
    // A late snapshot, forged as good: one of three, and all of them.
    for volume in [DATA[1], DATA[2]] {
        let mut forged = kept.clone();
        forged.data.insert(volume.to_owned(), format!("late_{volume}"));
        eprintln!("{volume} late: {}", fails(&forged, &format!("late-{volume}"))?);
    }
    let mut forged = kept.clone();
    forged.data = DATA.iter().map(|v| ((*v).to_owned(), format!("late_{v}"))).collect();
    eprintln!("all late: {}", fails(&forged, "late-all")?);
    // The archive half from before END BACKUP: the redo that ends backup mode is not in it.
    let mut forged = kept.clone();
    forged.archive = "early".to_owned();
    eprintln!("archive early: {}", fails(&forged, "early")?);
    // A log less.
    let mut forged = kept.clone();
    for (_, _, last) in forged.redo.threads.iter_mut().filter(|(thread, ..)| *thread == 1) {
        *last -= 1;
    }
    eprintln!("a log less: {}", fails(&forged, "less")?);
    // And the set itself is good.
    site.recover(&kept, "restored").map(drop)
}

/// The directory of a restored volume holds what the snapshot held, whatever was written since.
#[test]
fn a_snapshot_stands_still() -> Result<()> {
    let site = Site::new()?;
    let outcome = site.snap(&["--data-cg", "ORAGROUP"])?.run()?.expect(0)?;
    let kept = site.set(&outcome)?;
    let read = |dir: &Path| -> Result<Vec<u8>> { Ok(std::fs::read(dir.join("users01.dbf"))?) };
    let name = &kept.data[DATA[1]];
    site.array.restore_bytes(name, &site.at("once"))?;
    std::thread::sleep(Duration::from_millis(500));
    site.array.restore_bytes(name, &site.at("twice"))?;
    ensure!(read(&site.at("once"))? == read(&site.at("twice"))?, "the snapshot has changed");
    ensure!(read(&site.at("once"))? != read(&site.at(DATA[1]))?, "nothing was written meanwhile");
    Ok(())
}
