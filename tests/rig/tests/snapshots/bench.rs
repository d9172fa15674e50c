//! A database for many cases, and for each case an array of its own: what every story about snapshots begins with.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{ensure, Context, Result};
use ibsim::bytes::{Freezer, Thaw};
use ibsim::{Array, Change, Config};
use orasim::instance::{FileSpec, Spec, TablespaceKind, TablespaceSpec};
use orasim::server::admin::Admin;
use orasim::server::fault::Fault;
use orasim::server::front::{Account, Front};
use orasim::server::{home, physics};
use rig::host::{kill, with_environment, Process};
use rig::instance::Instance;
use rig::tool::Tool;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

/// Password of SYS; told apart from every other word.
pub const SYS_PASSWORD: &str = "Or4cle_s3cret_Pa55_orapipe";
/// Files that BEGIN BACKUP makes ACTIVE.
pub const FILES: u64 = 4;
/// The volumes of every array here, the last one with archived logs.
pub const DATA: [&str; 3] = ["DATA1", "DATA2", "DATA3"];
pub const ARCHIVE: &str = "ARCH1";
/// A volume of somebody else.
pub const OTHER: &str = "OTHER";
/// The consistency group of [`DATA`].
pub const GROUP: &str = "ORAGROUP";

/// What was true of the database at the instant of a snapshot, asked by the array itself while nothing else happens. It
/// lies in the bytes of every snapshot.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cut {
    /// Files in backup mode; `None` when the database did not answer.
    pub active: Option<u64>,
    /// SCN of the last BEGIN BACKUP.
    pub begun: u64,
    /// All redo below this SCN is archived, of every thread.
    pub archived: u64,
}

/// An open database, used by one case after the other.
pub struct Bench {
    pub db: Instance,
    pub home: PathBuf,
    pub sid: String,
    cases: AtomicUsize,
    root: TempDir,
}

/// The directories and the array of one case.
pub struct Place {
    pub array: Array,
    pub dir: PathBuf,
}

impl Bench {
    pub fn new() -> Result<Self> {
        Self::named("PROD", 0)
    }

    /// With a writer of so many changes per second.
    pub fn named(sid: &str, rate: u32) -> Result<Self> {
        let root = tempfile::Builder::new().prefix("orapipe-snapshots-").tempdir()?;
        let oracle_home = root.path().join("home");
        home::make(&oracle_home, &rig::tool::bin_dir()?)?;
        home::add_alias(&oracle_home, "prod", sid)?;
        let file = |name: &str| FileSpec { path: root.path().join("data").join(name), bytes: 64 << 10 };
        let mut spec = Spec {
            name: sid.to_owned(),
            sid: sid.to_owned(),
            log_bytes: 1 << 20,
            threads: 2,
            idle_threads: vec![2],
            changes_per_second: rate,
            tablespaces: vec![
                TablespaceSpec::new("SYSTEM", vec![file("system01.dbf")]),
                TablespaceSpec::new("UNDOTBS1", vec![file("undotbs01.dbf")]),
                TablespaceSpec::new("USERS", vec![file("users01.dbf"), file("users02.dbf")]),
            ],
            ..Spec::default()
        };
        spec.tablespaces[1].kind = TablespaceKind::Undo;
        let mut front = Front::default();
        let sys = Account { password: SYS_PASSWORD.to_owned(), dba: true, sysdba: true };
        front.users.insert("SYS".to_owned(), sys);
        let db = Instance::create_with(&oracle_home, &root.path().join("db"), &spec, &front)?;
        Ok(Self { db, home: oracle_home, sid: sid.to_owned(), cases: AtomicUsize::new(0), root })
    }

    pub fn root(&self) -> &Path {
        self.root.path()
    }

    /// A place for a case: directories, and an array with our volumes, a group, and things of other people.
    pub fn place(&self, config: Config) -> Result<Place> {
        let n = self.cases.fetch_add(1, Ordering::SeqCst);
        let dir = self.root.path().join(format!("case{n}"));
        let volumes = dir.join("volumes");
        let named = || DATA.into_iter().chain([ARCHIVE, OTHER]);
        for name in named() {
            std::fs::create_dir_all(volumes.join(name))?;
        }
        std::fs::create_dir(dir.join("scratch"))?;
        let config = Config { freezer: Some(self.witness(&volumes)), dir: Some(dir.join("array")), ..config };
        let array = Array::start(config)?;
        for name in named() {
            array.add_volume(name)?;
            array.bind(name, &volumes.join(name))?;
        }
        array.add_group(GROUP, &DATA)?;
        let place = Place { array, dir };
        place.furnish()?;
        Ok(place)
    }

    /// Writes what is true of the database into every volume right before its bytes are cut.
    fn witness(&self, volumes: &Path) -> Freezer {
        let (db, volumes) = (self.db.dir.clone(), volumes.to_owned());
        Freezer::new(move || {
            let text = serde_json::to_vec(&look(&db)).context("encode a cut")?;
            for entry in std::fs::read_dir(&volumes)?.flatten() {
                std::fs::write(entry.path().join("cut.json"), &text)?;
            }
            Ok(Thaw::new(|| {}))
        })
    }

    /// Adds faults to the database.
    pub fn strike(&self, faults: &[Fault]) -> Result<()> {
        for fault in faults {
            self.db.admin(Admin::AddFault(fault.clone()))?;
        }
        Ok(())
    }

    pub fn heal(&self) -> Result<()> {
        self.db.admin(Admin::ClearFaults).map(drop)
    }

    /// Nothing is in backup mode within `limit`; how long it took.
    pub fn calm(&self, limit: Duration) -> Result<Duration> {
        let begin = Instant::now();
        loop {
            let active = self.db.in_backup_mode()?;
            if active == 0 {
                return Ok(begin.elapsed());
            }
            ensure!(begin.elapsed() < limit, "{active} files are still in backup mode after {limit:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// How many statements like this there were.
    pub fn statements(&self, what: &str) -> Result<usize> {
        let calls = self.db.journal()?;
        Ok(calls.iter().flat_map(|c| &c.statements).filter(|s| s.text.to_uppercase().contains(what)).count())
    }

    /// A call of one of both tools for a case, over plain HTTP.
    pub fn tool(&self, name: &str, place: &Place) -> Result<Tool> {
        Ok(self.call(name, place)?.env("SOURCE_INFINIBOX", place.array.host(0)).arg("--insecure-http"))
    }

    /// A call that says nothing of where the array is.
    pub fn call(&self, name: &str, place: &Place) -> Result<Tool> {
        let tool = Tool::new(name, &place.dir.join("scratch"))?;
        Ok(tool.envs(self.environment(place)).limit(Duration::from_secs(90)))
    }

    /// The settings of both tools, all but the array's address.
    pub fn environment(&self, place: &Place) -> Vec<(String, OsString)> {
        let connect = format!("sys/{SYS_PASSWORD}@prod as sysdba");
        let set = |name: &str, value: OsString| (name.to_owned(), value);
        vec![
            set("ORACLE_HOME", self.home.clone().into()),
            set("ORACLE_SID", self.sid.clone().into()),
            set("TNS_ADMIN", self.home.join("network/admin").into()),
            set("STATE_DIR", place.dir.join("state").into()),
            set("LOG_DIR", place.dir.join("log").into()),
            set("SQLPLUS_CONNECTION_STRING", connect.into()),
            set("SOURCE_INFINIBOX_USER", "admin".into()),
            set("SOURCE_INFINIBOX_PASSWORD", ibsim::PASSWORD.into()),
        ]
    }
}

/// Asks the database directly, beside its faults and its journal.
fn look(db: &Path) -> Cut {
    let number = |text: &str| physics::ask_sql(db, text).ok().and_then(|t| t.trim().parse::<u64>().ok());
    let archived = "SELECT TO_CHAR(MIN(n)) FROM (SELECT thread#, MAX(next_change#) n FROM v$archived_log \
                    WHERE archived = 'YES' GROUP BY thread#)";
    Cut {
        active: number("SELECT COUNT(*) FROM V$BACKUP WHERE STATUS = 'ACTIVE'"),
        begun: number("SELECT TO_CHAR(NVL(MAX(CHANGE#), 0)) FROM V$BACKUP").unwrap_or(0),
        archived: number(archived).unwrap_or(0),
    }
}

impl Place {
    /// Objects that are none of ours, some of them with names like ours.
    fn furnish(&self) -> Result<()> {
        for (parent, name, days, owner) in [
            ("DATA1", "before orasync upgrade", 400, None),
            ("DATA1", "nightly-1", 400, Some("cinder")),
            (OTHER, "orasync_test_of_somebody", 400, None),
            (OTHER, "weekly", 3, None),
        ] {
            let created_at = Some(self.array.now() - days * 86_400_000);
            let (parent, name) = (parent.to_owned(), name.to_owned());
            self.array.change(&Change::Snapshot { parent, name: name.clone(), created_at })?;
            if let Some(owner) = owner {
                let (key, value) = ("host.created_by".to_owned(), Some(owner.to_owned()));
                self.array.change(&Change::Metadata { volume: name, key, value })?;
            }
        }
        Ok(())
    }

    /// The processes of this case: tool, keeper, sqlplus.
    pub fn processes(&self) -> Vec<Process> {
        with_environment(&format!("{}/", self.dir.display()))
    }

    pub fn keepers(&self) -> Vec<Process> {
        let mut found = self.processes();
        found.retain(|p| p.args.iter().any(|a| a == common::guardian::ARGUMENT));
        found
    }

    /// Keepers end by themselves when their work is done.
    pub fn without_keeper(&self) -> Result<()> {
        let begin = Instant::now();
        while let Some(keeper) = self.keepers().first() {
            ensure!(begin.elapsed() < Duration::from_secs(30), "keeper {} is left", keeper.pid);
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.processes().iter().for_each(|p| kill(p.pid));
    }
}
