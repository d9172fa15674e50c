//! A primary, a place for its copies, and a standby over them, driven step by step.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use orasim::{
    datafile::Header,
    engine::{BackupScope, Command, Engine, OraError, Recover, Reply, StartupMode, Until, Value},
    instance::{DestSpec, FileSpec, Instance, Spec, TablespaceKind, TablespaceSpec},
    truth::{self, Comparison},
};
use tempfile::TempDir;

pub struct Pair {
    pub dir: TempDir,
    pub db: Arc<Instance>,
    pub standby: Option<Arc<Instance>>,
}

pub fn quiet(dir: &Path) -> Spec {
    let file = |name: &str| FileSpec { path: dir.join("data").join(name), bytes: 512 << 10 };
    Spec {
        name: "PROD".into(),
        sid: "PROD".into(),
        tablespaces: vec![
            TablespaceSpec::new("SYSTEM", vec![file("system01.dbf")]),
            TablespaceSpec {
                kind: TablespaceKind::Undo,
                ..TablespaceSpec::new("UNDOTBS1", vec![file("undo01.dbf")])
            },
            TablespaceSpec::new("Mixed Case", vec![file("m1.dbf"), file("m 2.dbf")]),
            TablespaceSpec { read_only: true, ..TablespaceSpec::new("HIST", vec![file("hist01.dbf")]) },
            TablespaceSpec { offline: true, ..TablespaceSpec::new("OLD", vec![file("old01.dbf")]) },
            TablespaceSpec {
                kind: TablespaceKind::Temporary,
                ..TablespaceSpec::new("TEMP", vec![file("temp01.dbf")])
            },
        ],
        log_bytes: 1 << 20,
        changes_per_second: 0,
        // Zero keeps the background writer from ending a batch that a test has begun.
        write_pause_ms: 0,
        ..Spec::default()
    }
}

impl Pair {
    pub fn new(change: impl FnOnce(&mut Spec)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut spec = quiet(dir.path());
        change(&mut spec);
        let db = Instance::create(&dir.path().join("db"), &spec).unwrap();
        Self { dir, db, standby: None }
    }

    pub fn run(&self, command: Command) -> Result<Reply, OraError> {
        self.db.execute(&command, &mut None)
    }

    pub fn begin(&self) {
        self.run(Command::BeginBackup(BackupScope::Database)).unwrap();
    }

    pub fn end(&self) {
        // Read-only and offline files are never in backup mode.
        if let Err(e) = self.run(Command::EndBackup(BackupScope::Database)) {
            assert_eq!(e.code(), 1260);
        }
    }

    pub fn archive(&self) {
        self.run(Command::ArchiveLogCurrent).unwrap();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn copy_of(&self, file: u32) -> PathBuf {
        let name = self.db.datafiles()[&file].file_name().unwrap().to_owned();
        self.dir.path().join("copy").join(name)
    }

    pub fn copies(&self) -> BTreeMap<u32, PathBuf> {
        self.db.datafiles().keys().map(|n| (*n, self.copy_of(*n))).collect()
    }

    pub fn copy(&self, file: u32) {
        fs::create_dir_all(self.dir.path().join("copy")).unwrap();
        fs::copy(&self.db.datafiles()[&file], self.copy_of(file)).unwrap();
    }

    pub fn copy_all(&self) {
        for file in self.db.datafiles().keys() {
            self.copy(*file);
        }
    }

    /// A full cycle as it should be: while blocks are half written.
    pub fn good_backup(&self) {
        self.db.write_batch(200).unwrap();
        self.begin();
        self.db.begin_batch(120).unwrap();
        self.copy_all();
        self.db.finish_batch().unwrap();
        self.db.write_batch(100).unwrap();
        self.end();
    }

    pub fn standby_control(&self) -> PathBuf {
        let to = self.path("standby.ctl");
        self.run(Command::CreateStandbyControlfile { to: to.clone(), reuse: true }).unwrap();
        to
    }

    /// Local archived logs of all incarnations, oldest first: (thread, sequence), path, NEXT_CHANGE#.
    pub fn archived_rows(&self) -> Vec<((i64, i64), PathBuf, i64)> {
        let view = self.db.view("V$ARCHIVED_LOG", &None).unwrap().unwrap();
        let at = |name: &str| view.columns.iter().position(|c| c.name == name).unwrap();
        let (name, thread, sequence, standby) =
            (at("NAME"), at("THREAD#"), at("SEQUENCE#"), at("STANDBY_DEST"));
        let next = at("NEXT_CHANGE#");
        let mut logs = Vec::new();
        for row in &view.rows {
            let (Value::Text(path), Value::Int(t), Value::Int(s)) =
                (&row[name], &row[thread], &row[sequence])
            else {
                continue;
            };
            if let (Value::Int(next), true) = (&row[next], row[standby] == Value::Text("NO".into())) {
                logs.push(((*t, *s), PathBuf::from(path), *next));
            }
        }
        logs
    }

    /// The newest incarnation wins.
    pub fn archived(&self) -> BTreeMap<(i64, i64), PathBuf> {
        self.archived_rows().into_iter().map(|(key, path, _)| (key, path)).collect()
    }

    pub fn arrived(&self) -> PathBuf {
        let to = self.path("arrived");
        fs::create_dir_all(&to).unwrap();
        to
    }

    pub fn ship(&self, wanted: impl Fn(i64, i64) -> bool) {
        let to = self.arrived();
        for ((t, s), path, _) in self.archived_rows() {
            if wanted(t, s) {
                fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
            }
        }
    }

    pub fn ship_all(&self) {
        self.ship(|_, _| true);
    }

    /// A standby over the copies, mounted and its files renamed.
    pub fn mount_standby(&mut self, control: &Path) -> Result<(), OraError> {
        let home = self.path("standby");
        let spec = Spec {
            name: "PROD".into(),
            unique_name: Some("PRODDR".into()),
            sid: "PRODDR".into(),
            standby: true,
            dests: vec![DestSpec { id: 1, directory: Some(self.arrived()), omf: false, service: None }],
            ..Spec::default()
        };
        let standby = Instance::create(&home, &spec).unwrap();
        fs::copy(control, home.join("control01.ctl")).unwrap();
        let run = |c: Command| standby.execute(&c, &mut None);
        run(Command::Startup(StartupMode::Nomount))?;
        run(Command::Mount { standby: true })?;
        for (file, from) in standby.datafiles() {
            let to = self.dir.path().join("copy").join(from.file_name().unwrap());
            let _ = file;
            run(Command::RenameFile { from, to })?;
        }
        self.standby = Some(standby);
        Ok(())
    }

    pub fn on_standby(&self, command: Command) -> Result<Reply, OraError> {
        self.standby.as_ref().unwrap().execute(&command, &mut None)
    }

    pub fn recover(&self, until: Until) -> Result<Reply, OraError> {
        self.on_standby(Command::Recover(automatic(until)))
    }

    /// Recovers as far as logs go; the sequence that was missing last.
    pub fn recover_all(&self) -> (OraError, u32) {
        let error = self.recover(Until::End).unwrap_err();
        let next = error
            .stack
            .iter()
            .find(|(code, _)| *code == 280)
            .map(|(_, text)| text.rsplit('#').next().unwrap().parse().unwrap())
            .unwrap_or(0);
        (error, next)
    }

    /// The checkpoint that all live copies share.
    pub fn reached(&self) -> u64 {
        let header = |n: u32| Header::read_path(&self.copy_of(n)).unwrap().checkpoint_scn;
        let scn = header(1);
        for n in 1..=4 {
            assert_eq!(header(n), scn, "file {n}");
        }
        scn
    }

    pub fn compare(&self, scn: u64) -> Comparison {
        truth::compare(&self.path("db"), &self.copies(), scn).unwrap()
    }

    pub fn assert_equal(&self) {
        let comparison = self.compare(self.reached());
        assert!(comparison.equal(), "{:#?}", comparison.explain());
    }
}

pub fn automatic(until: Until) -> Recover {
    Recover { automatic: true, from: None, standby: true, using_backup_controlfile: false, until }
}

pub fn codes(error: &OraError) -> Vec<u32> {
    error.stack.iter().map(|(code, _)| *code).collect()
}
