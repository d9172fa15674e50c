//! What the database says about itself before a backup.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::Context;
use chrono::NaiveDateTime;
use common::oracle::script::{date, scn, Script};
use common::oracle::sqlplus::Sqlplus;
use common::record::{DatafileFact, IncarnationFact, ThreadFact};

/// V$DATABASE, V$INSTANCE, V$VERSION and the current incarnation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Database {
    pub name: String,
    pub dbid: u64,
    /// `19.0.0.0.0`.
    pub version: String,
    /// Standard Edition: one channel, no parallelism.
    pub standard: bool,
    pub archivelog: bool,
    /// READ WRITE, MOUNTED, …
    pub open_mode: String,
    /// PRIMARY, PHYSICAL STANDBY, …
    pub role: String,
    pub resetlogs_change: u64,
    pub resetlogs_id: u64,
    /// 0 while it is only mounted.
    pub current_scn: u64,
    /// The database's own clock.
    pub now: Option<NaiveDateTime>,
}

impl Database {
    pub fn open(&self) -> bool {
        self.open_mode.starts_with("READ WRITE")
    }

    pub fn primary(&self) -> bool {
        self.role == "PRIMARY"
    }

    fn release(&self) -> u32 {
        self.version.split('.').next().and_then(|v| v.parse().ok()).unwrap_or(0)
    }
}

/// A datafile: V$DATAFILE with its tablespace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Datafile {
    pub file: u64,
    pub path: String,
    pub tablespace: String,
    pub bytes: u64,
    pub creation_change: u64,
    pub checkpoint_change: u64,
    /// ONLINE, SYSTEM, OFFLINE, RECOVER, SYSOFF.
    pub status: String,
    /// READ WRITE, READ ONLY, DISABLED.
    pub enabled: String,
    /// 0 when it never was.
    pub offline_change: u64,
}

impl Datafile {
    pub fn online(&self) -> bool {
        matches!(self.status.as_str(), "ONLINE" | "SYSTEM")
    }

    pub fn fact(&self) -> DatafileFact {
        DatafileFact {
            file: self.file,
            path: self.path.clone(),
            tablespace: self.tablespace.clone(),
            creation_change: self.creation_change,
            bytes: self.bytes,
            read_only_since: (self.enabled == "READ ONLY").then_some(self.checkpoint_change),
            offline_change: (!self.online()).then_some(self.offline_change).filter(|c| *c > 0),
        }
    }
}

/// An archived log in its incarnation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogKey {
    pub resetlogs_change: u64,
    pub thread: u64,
    pub sequence: u64,
}

/// V$ARCHIVED_LOG: one log with all its local files that are not deleted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ArchivedLog {
    pub key: LogKey,
    pub resetlogs_id: u64,
    pub first_change: u64,
    pub next_change: u64,
    pub bytes: u64,
    pub completed: Option<NaiveDateTime>,
    /// Files that V$ARCHIVED_LOG does not call deleted.
    pub names: Vec<String>,
    /// At least one of them is there (or in ASM, where we cannot look).
    pub on_disk: bool,
    /// In a backup set whose pieces RMAN believes to have.
    pub backed_up: bool,
}

/// The newest level 0 or 1 of a datafile in this incarnation, as RMAN's repository has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parent {
    pub file: u64,
    pub level: u64,
    pub checkpoint_change: u64,
    pub creation_change: u64,
    pub handle: String,
    pub set: (u64, u64),
}

/// All that planning needs.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Facts {
    pub database: Database,
    pub files: Vec<Datafile>,
    pub threads: Vec<ThreadFact>,
    pub incarnations: Vec<IncarnationFact>,
    /// V$RMAN_CONFIGURATION: NAME to VALUE.
    pub configuration: BTreeMap<String, String>,
    pub parents: Vec<Parent>,
    pub logs: Vec<ArchivedLog>,
    /// The database was started with a server parameter file.
    pub spfile: bool,
    /// Bytes of the last level 0 and 1, by level.
    pub last_bytes: BTreeMap<u64, u64>,
}

impl Facts {
    pub fn autobackup(&self) -> bool {
        match self.configuration.get("CONTROLFILE AUTOBACKUP") {
            Some(value) => value.eq_ignore_ascii_case("ON"),
            // The default since 12.2.
            None => self.database.release() >= 13 || self.database.version.starts_with("12.2"),
        }
    }

    pub fn optimization(&self) -> bool {
        self.configuration.get("BACKUP OPTIMIZATION").is_some_and(|v| v.eq_ignore_ascii_case("ON"))
    }

    /// Files for which a level 1 finds a level 0 in this incarnation.
    pub fn with_level_0(&self) -> BTreeSet<u64> {
        let creation: BTreeMap<u64, u64> = self.files.iter().map(|f| (f.file, f.creation_change)).collect();
        self.parents
            .iter()
            .filter(|p| p.level == 0 && creation.get(&p.file) == Some(&p.creation_change))
            .map(|p| p.file)
            .collect()
    }
}

/// V$DATABASE and what else answers in a mounted instance.
///
/// # Errors
/// The database cannot be reached, or is not mounted.
pub fn database(sqlplus: &Sqlplus) -> anyhow::Result<Database> {
    let mut script = Script::new();
    let columns = [
        "D.NAME".to_owned(),
        scn("D.DBID"),
        "I.VERSION".to_owned(),
        "D.LOG_MODE".to_owned(),
        "D.OPEN_MODE".to_owned(),
        "D.DATABASE_ROLE".to_owned(),
        scn("D.RESETLOGS_CHANGE#"),
        scn("D.CURRENT_SCN"),
        date("SYSDATE"),
    ];
    let main = script.query(&columns, "FROM V$DATABASE D CROSS JOIN V$INSTANCE I");
    let incarnation =
        script.query(&[scn("RESETLOGS_ID")], "FROM V$DATABASE_INCARNATION WHERE STATUS = 'CURRENT'");
    let banner = script.query(&["BANNER"], "FROM V$VERSION WHERE BANNER LIKE 'Oracle%'");
    let reply = sqlplus.run(&script).context("ask the database who it is")?;
    let row = reply.row(main).context("read V$DATABASE")?;
    let mut banners = Vec::new();
    for row in reply.rows(banner) {
        banners.push(row.get::<String>(0)?);
    }
    Ok(Database {
        name: row.get(0)?,
        dbid: row.get(1)?,
        version: row.get(2)?,
        standard: is_standard(&banners),
        archivelog: row.get::<String>(3)? == "ARCHIVELOG",
        open_mode: row.get(4)?,
        role: row.get(5)?,
        resetlogs_change: row.get(6)?,
        resetlogs_id: reply.row(incarnation).context("read V$DATABASE_INCARNATION")?.get(0)?,
        current_scn: row.get::<Option<u64>>(7)?.unwrap_or(0),
        now: row.get(8)?,
    })
}

/// 11g's Standard Edition names no edition at all.
fn is_standard(banners: &[String]) -> bool {
    let first = banners.first().map(String::as_str).unwrap_or_default();
    !first.is_empty() && !["Enterprise", " EE ", "Free", "Personal"].iter().any(|w| first.contains(w))
}

/// Everything a backup is planned from.
///
/// # Errors
/// A view cannot be read, or says something that cannot be understood.
pub fn gather(sqlplus: &Sqlplus) -> anyhow::Result<Facts> {
    let database = database(sqlplus)?;
    // Names of tablespaces repeat in the containers.
    let same_container = if database.release() >= 12 { " AND T.CON_ID = F.CON_ID" } else { "" };
    let mut script = Script::new();
    let columns = [
        scn("F.FILE#"),
        "F.NAME".to_owned(),
        "T.NAME".to_owned(),
        scn("F.BYTES"),
        scn("F.CREATION_CHANGE#"),
        scn("F.CHECKPOINT_CHANGE#"),
        "F.STATUS".to_owned(),
        "F.ENABLED".to_owned(),
        scn("F.OFFLINE_CHANGE#"),
    ];
    let files = script.query(
        &columns,
        format!("FROM V$DATAFILE F JOIN V$TABLESPACE T ON T.TS# = F.TS#{same_container} ORDER BY F.FILE#"),
    );
    let columns = [scn("THREAD#"), "ENABLED".to_owned(), scn("ENABLE_CHANGE#"), scn("DISABLE_CHANGE#")];
    let threads = script.query(&columns, "FROM V$THREAD ORDER BY THREAD#");
    let columns =
        [scn("RESETLOGS_CHANGE#"), scn("RESETLOGS_ID"), scn("PRIOR_RESETLOGS_CHANGE#"), "STATUS".to_owned()];
    let incarnations = script.query(&columns, "FROM V$DATABASE_INCARNATION ORDER BY INCARNATION#");
    let configuration = script.query(&["NAME", "VALUE"], "FROM V$RMAN_CONFIGURATION");
    let columns = [
        scn("D.FILE#"),
        scn("D.INCREMENTAL_LEVEL"),
        scn("D.CHECKPOINT_CHANGE#"),
        scn("D.CREATION_CHANGE#"),
        "P.HANDLE".to_owned(),
        scn("D.SET_STAMP"),
        scn("D.SET_COUNT"),
    ];
    let parents = script.query(
        &columns,
        format!(
            "FROM V$BACKUP_DATAFILE D JOIN V$BACKUP_PIECE P ON P.SET_STAMP = D.SET_STAMP \
             AND P.SET_COUNT = D.SET_COUNT WHERE D.FILE# > 0 AND D.INCREMENTAL_LEVEL IS NOT NULL \
             AND P.STATUS = 'A' AND D.RESETLOGS_CHANGE# = {}",
            database.resetlogs_change
        ),
    );
    let spfile = script.query(&["VALUE"], "FROM V$PARAMETER WHERE NAME = 'spfile'");
    let columns = [scn("S.INCREMENTAL_LEVEL"), "P.TAG".to_owned(), scn("SUM(P.BYTES)")];
    let sizes = script.query(
        &columns,
        "FROM V$BACKUP_SET S JOIN V$BACKUP_PIECE P ON P.SET_STAMP = S.SET_STAMP AND P.SET_COUNT = S.SET_COUNT \
         WHERE S.INCREMENTAL_LEVEL IS NOT NULL GROUP BY S.INCREMENTAL_LEVEL, P.TAG \
         ORDER BY MAX(P.COMPLETION_TIME)",
    );
    let reply = sqlplus.run(&script).context("read datafiles, threads and backups")?;
    let mut facts = Facts { logs: archived_logs(sqlplus)?, database, ..Facts::default() };
    for row in reply.rows(files) {
        facts.files.push(Datafile {
            file: row.get(0)?,
            path: row.get::<Option<String>>(1)?.unwrap_or_default(),
            tablespace: row.get(2)?,
            bytes: row.get::<Option<u64>>(3)?.unwrap_or(0),
            creation_change: row.get(4)?,
            checkpoint_change: row.get::<Option<u64>>(5)?.unwrap_or(0),
            status: row.get(6)?,
            enabled: row.get(7)?,
            offline_change: row.get::<Option<u64>>(8)?.unwrap_or(0),
        });
    }
    for row in reply.rows(threads) {
        let disabled = row.get::<String>(1)? == "DISABLED";
        let change = row.get::<Option<u64>>(3)?.filter(|c| *c > 0);
        facts.threads.push(ThreadFact {
            thread: row.get(0)?,
            enabled_change: row.get::<Option<u64>>(2)?.unwrap_or(0),
            disabled_change: change.filter(|_| disabled),
        });
    }
    for row in reply.rows(incarnations) {
        facts.incarnations.push(IncarnationFact {
            resetlogs_change: row.get(0)?,
            resetlogs_id: row.get(1)?,
            prior_resetlogs_change: row.get::<Option<u64>>(2)?.filter(|c| *c > 0),
            status: row.get(3)?,
        });
    }
    for row in reply.rows(configuration) {
        let value = row.get::<Option<String>>(1)?.unwrap_or_default();
        facts.configuration.insert(row.get(0)?, value);
    }
    for row in reply.rows(parents) {
        facts.parents.push(Parent {
            file: row.get(0)?,
            level: row.get(1)?,
            checkpoint_change: row.get(2)?,
            creation_change: row.get(3)?,
            handle: row.get::<Option<String>>(4)?.unwrap_or_default(),
            set: (row.get(5)?, row.get(6)?),
        });
    }
    for row in reply.rows(spfile) {
        facts.spfile = row.get::<Option<String>>(0)?.is_some();
    }
    for row in reply.rows(sizes) {
        facts.last_bytes.insert(row.get(0)?, row.get::<Option<u64>>(2)?.unwrap_or(0));
    }
    Ok(facts)
}

/// The archived logs of V$ARCHIVED_LOG on local destinations that are not deleted, each looked for on disk.
///
/// # Errors
/// The view cannot be read.
pub fn archived_logs(sqlplus: &Sqlplus) -> anyhow::Result<Vec<ArchivedLog>> {
    let mut script = Script::new();
    let columns = [
        scn("THREAD#"),
        scn("SEQUENCE#"),
        scn("RESETLOGS_CHANGE#"),
        scn("RESETLOGS_ID"),
        scn("FIRST_CHANGE#"),
        scn("NEXT_CHANGE#"),
        scn("BLOCKS * BLOCK_SIZE"),
        date("COMPLETION_TIME"),
        "NAME".to_owned(),
        "DELETED".to_owned(),
    ];
    let logs = script.query(
        &columns,
        "FROM V$ARCHIVED_LOG WHERE STANDBY_DEST = 'NO' AND ARCHIVED = 'YES' ORDER BY THREAD#, SEQUENCE#",
    );
    let columns = [scn("R.THREAD#"), scn("R.SEQUENCE#"), scn("R.RESETLOGS_CHANGE#")];
    let backed = script.query(
        &columns,
        "FROM V$BACKUP_REDOLOG R JOIN V$BACKUP_PIECE P ON P.SET_STAMP = R.SET_STAMP AND \
         P.SET_COUNT = R.SET_COUNT WHERE P.STATUS = 'A'",
    );
    let reply = sqlplus.run(&script).context("read V$ARCHIVED_LOG and V$BACKUP_REDOLOG")?;
    let mut in_backup = BTreeSet::new();
    for row in reply.rows(backed) {
        in_backup.insert(LogKey {
            thread: row.get(0)?,
            sequence: row.get(1)?,
            resetlogs_change: row.get(2)?,
        });
    }
    let mut found: BTreeMap<LogKey, ArchivedLog> = BTreeMap::new();
    for row in reply.rows(logs) {
        let key = LogKey { thread: row.get(0)?, sequence: row.get(1)?, resetlogs_change: row.get(2)? };
        let log = found.entry(key).or_insert_with(|| ArchivedLog { key, ..ArchivedLog::default() });
        log.resetlogs_id = row.get::<Option<u64>>(3)?.unwrap_or(0);
        log.first_change = row.get(4)?;
        log.next_change = row.get(5)?;
        log.bytes = row.get::<Option<u64>>(6)?.unwrap_or(0);
        log.completed = row.get(7)?;
        log.backed_up = in_backup.contains(&key);
        let name: Option<String> = row.get(8)?;
        let deleted = row.get::<Option<String>>(9)?.as_deref() == Some("YES");
        if let Some(name) = name.filter(|n| !deleted && !log.names.contains(n)) {
            log.on_disk |= !name.starts_with('/') || Path::new(&name).is_file();
            log.names.push(name);
        }
    }
    Ok(found.into_values().collect())
}

/// Free bytes for this user where `dir` is or would be made; `None` where that cannot be known.
pub fn free_space(dir: &Path) -> Option<u64> {
    let mut at: PathBuf = dir.to_owned();
    loop {
        match rustix::fs::statvfs(&at) {
            Ok(stat) => return Some(stat.f_bavail.saturating_mul(stat.f_frsize)),
            Err(_) if at.pop() => {}
            Err(_) => return None,
        }
    }
}
