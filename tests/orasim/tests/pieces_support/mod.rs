//! A database with backups, and RMAN's requests without its language.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use orasim::{
    datafile::Header,
    engine::{Command, Engine, OraError, ShutdownMode, StartupMode, Value},
    instance::{FileSpec, Instance, Spec, TablespaceKind, TablespaceSpec},
    pieces::{
        api::{
            Answer, Backup, Event, Failure, Files, Logs, Mode, Recover, Request, Restore, Source, Until, What,
        },
        records::{BackupSet, Piece},
        Session,
    },
    truth,
};
use tempfile::TempDir;

pub struct Db {
    pub dir: TempDir,
    pub db: Arc<Instance>,
    pub session: Session,
}

pub struct Ran {
    pub events: Vec<Event>,
    pub failure: Option<Failure>,
}

impl Ran {
    pub fn good(self) -> Vec<Event> {
        assert!(self.failure.is_none(), "{:#?}\n{:#?}", self.failure, self.events);
        self.events
    }

    /// Codes of the failure's lines, and of everything said before.
    pub fn codes(&self) -> Vec<u32> {
        let mut out: Vec<u32> = Vec::new();
        for event in &self.events {
            match event {
                Event::Failover { lines, .. } | Event::OracleError(lines) => {
                    out.extend(lines.iter().map(|l| l.code));
                }
                Event::Message(m) => out.push(m.code),
                _ => {}
            }
        }
        if let Some(f) = &self.failure {
            out.extend(f.before.iter().chain(&f.lines).map(|l| l.code));
        }
        out
    }
}

pub fn spec(dir: &Path) -> Spec {
    let file = |name: &str| FileSpec { path: dir.join("data").join(name), bytes: 320 << 10 };
    Spec {
        name: "PROD".into(),
        sid: "PROD".into(),
        tablespaces: vec![
            TablespaceSpec::new("SYSTEM", vec![file("system01.dbf")]),
            TablespaceSpec {
                kind: TablespaceKind::Undo,
                ..TablespaceSpec::new("UNDOTBS1", vec![file("undo01.dbf")])
            },
            TablespaceSpec::new("USERS", vec![file("u1.dbf"), file("u 2.dbf")]),
            TablespaceSpec { read_only: true, ..TablespaceSpec::new("HIST", vec![file("hist01.dbf")]) },
            TablespaceSpec { offline: true, ..TablespaceSpec::new("OLD", vec![file("old01.dbf")]) },
            TablespaceSpec {
                kind: TablespaceKind::Temporary,
                ..TablespaceSpec::new("TEMP", vec![file("temp01.dbf")])
            },
        ],
        log_bytes: 512 << 10,
        changes_per_second: 0,
        write_pause_ms: 5,
        ..Spec::default()
    }
}

impl Db {
    pub fn new(change: impl FnOnce(&mut Spec)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut spec = spec(dir.path());
        change(&mut spec);
        let db = Instance::create(&dir.path().join("db"), &spec).unwrap();
        let mut own = Self { dir, db, session: Session::default() };
        fs::create_dir_all(own.path("b")).unwrap();
        own.ask(Request::Session { command_id: "test".into() });
        own
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn ask(&mut self, request: Request) -> Answer {
        self.db.rman(&mut self.session, &request).unwrap()
    }

    pub fn run(&mut self, request: Request) -> Ran {
        let mut events = Vec::new();
        let mut request = request;
        loop {
            let Answer::Step(step) = self.ask(request) else { panic!("no step") };
            events.extend(step.events);
            if step.done || step.failure.is_some() {
                return Ran { events, failure: step.failure };
            }
            request = Request::Next;
        }
    }

    pub fn sql(&self, command: Command) -> Result<(), OraError> {
        self.db.execute(&command, &mut None).map(|_| ())
    }

    pub fn archive(&self) {
        self.sql(Command::ArchiveLogCurrent).unwrap();
    }

    pub fn order(&self, what: Vec<What>) -> Backup {
        Backup {
            what,
            level: None,
            cumulative: false,
            format: vec![self.path("b/%d_%U").to_string_lossy().into_owned()],
            old_u: false,
            tag: None,
            max_piece_size: None,
            max_set_size: None,
            section_size: None,
            files_per_set: None,
            compressed: false,
            copies: 1,
            channels: 1,
            skip_read_only: false,
            skip_offline: false,
            skip_inaccessible: false,
            delete_input: false,
            delete_all: false,
            include_controlfile: false,
            force: false,
            not_backed_up_since: None,
            max_corrupt: Vec::new(),
            validate: false,
            autobackup: false,
        }
    }

    pub fn database(&self, level: Option<u32>) -> Backup {
        Backup { level, ..self.order(vec![What::Files(Files::Database)]) }
    }

    pub fn back_up(&mut self, level: Option<u32>) -> Vec<Event> {
        let order = self.database(level);
        self.run(Request::Backup(order)).good()
    }

    pub fn back_up_logs(&mut self, delete: bool) -> Vec<Event> {
        self.archive();
        let order = Backup { delete_input: delete, ..self.order(vec![What::Logs(Logs::default())]) };
        self.run(Request::Backup(order)).good()
    }

    /// The control file alone; its handle.
    pub fn back_up_control(&mut self) -> PathBuf {
        let order = self.order(vec![What::CurrentControlfile, What::Spfile]);
        let events = self.run(Request::Backup(order)).good();
        handles(&events).remove(0)
    }

    /// Everything that a lost disk loses: control file, datafiles, online logs; archived logs if asked.
    pub fn wipe(&mut self, logs: bool) {
        self.db.crash();
        let home = self.path("db");
        let _ = fs::remove_dir_all(self.path("data"));
        let _ = fs::remove_dir_all(home.join("onlinelog"));
        for name in ["control01.ctl", "control01.ctl.records", "in-flight.blocks"] {
            let _ = fs::remove_file(home.join(name));
        }
        if logs {
            let _ = fs::remove_dir_all(home.join("arch"));
        }
        self.db = Instance::open(&home).unwrap();
        self.session = Session::default();
    }

    pub fn mount_from(&mut self, control: &Path) {
        self.sql(Command::Startup(StartupMode::Nomount)).unwrap();
        let from = Source::Handle(control.to_owned());
        self.run(Request::RestoreControlfile { from, to: None, mode: Mode::Restore }).good();
        self.sql(Command::Mount { standby: false }).unwrap();
        // What was archived after the control file was backed up.
        let prefix = format!("{}/", self.path("db/arch").display());
        self.run(Request::CatalogPrefix { prefix, apply: true }).good();
    }

    pub fn catalog(&mut self) -> Vec<Event> {
        let prefix = format!("{}/", self.path("b").display());
        self.run(Request::CatalogPrefix { prefix, apply: true }).good()
    }

    pub fn restore(&mut self, until: Option<Until>) -> Ran {
        self.run(Request::Restore(restore(until)))
    }

    pub fn recover(&mut self, until: Option<Until>) -> Ran {
        self.run(Request::Recover(recover(until)))
    }

    pub fn sets(&mut self) -> (Vec<BackupSet>, Vec<Piece>) {
        let Answer::Facts(facts) = self.ask(Request::List) else { panic!("no facts") };
        (facts.sets, facts.pieces)
    }

    pub fn reached(&self) -> u64 {
        let headers: Vec<u64> =
            (1..=4).map(|n| Header::read_path(&self.db.datafiles()[&n]).unwrap().checkpoint_scn).collect();
        assert!(headers.iter().all(|h| *h == headers[0]), "{headers:?}");
        headers[0]
    }

    pub fn compare(&self, scn: u64) -> truth::Comparison {
        let files: BTreeMap<u32, PathBuf> = self.db.datafiles();
        truth::compare(&self.path("db"), &files, scn).unwrap()
    }

    pub fn assert_true(&self) {
        let comparison = self.compare(self.reached());
        assert!(comparison.equal(), "{:#?}", comparison.explain());
    }

    pub fn rows(&self, view: &str) -> Vec<BTreeMap<&'static str, Value>> {
        let view = self.db.view(view, &None).unwrap().unwrap();
        for row in &view.rows {
            assert_eq!(row.len(), view.columns.len(), "{:?}", view.columns);
        }
        view.rows
            .iter()
            .map(|r| view.columns.iter().map(|c| c.name).zip(r.iter().cloned()).collect())
            .collect()
    }

    pub fn shutdown(&mut self) {
        self.sql(Command::Shutdown(ShutdownMode::Immediate)).unwrap();
    }
}

pub fn restore(until: Option<Until>) -> Restore {
    Restore {
        files: Files::Database,
        until,
        from_tag: None,
        newnames: Vec::new(),
        newname_all: None,
        mode: Mode::Restore,
        force: false,
        channels: 1,
        skip: Vec::new(),
    }
}

pub fn recover(until: Option<Until>) -> Recover {
    Recover {
        files: Files::Database,
        until,
        delete_archivelog: false,
        noredo: false,
        destination: None,
        skip: Vec::new(),
        channels: 1,
    }
}

pub fn handles(events: &[Event]) -> Vec<PathBuf> {
    let mut out = Vec::new();
    for event in events {
        match event {
            Event::PieceEnd { handles, .. } => out.extend(handles.iter().cloned()),
            Event::Autobackup { handle } => out.push(handle.clone()),
            _ => {}
        }
    }
    out
}

impl Db {
    pub fn db_state(&self) -> orasim::engine::State {
        self.db.state()
    }
}
