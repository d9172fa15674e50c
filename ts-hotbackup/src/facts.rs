//! What the database says about itself, gathered in two SQL*Plus sessions.

use std::collections::BTreeMap;

use anyhow::Context;
use common::exit::{Exit, Failure};
use common::oracle::reply::{Reply, Row};
use common::oracle::script::{date, scn, Script, Step};
use common::oracle::sqlplus::Sqlplus;

/// V$DATABASE, V$INSTANCE and the current incarnation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Database {
    pub name: String,
    pub dbid: u64,
    /// `19.0.0.0.0`.
    pub version: String,
    pub archivelog: bool,
    pub force_logging: bool,
    /// READ WRITE, MOUNTED, …
    pub open_mode: String,
    /// PRIMARY, PHYSICAL STANDBY, …
    pub role: String,
    /// A multitenant database, seen from its root.
    pub cdb: bool,
    pub resetlogs_change: u64,
    /// V$DATABASE_INCARNATION.RESETLOGS_ID.
    pub resetlogs_id: u64,
    pub current_scn: u64,
    /// The database's own clock.
    pub now: String,
}

/// A tablespace's name in its container; sorts by container and name.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// `None` in the root and in a database without containers.
    pub container: Option<String>,
    pub name: String,
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.container {
            Some(container) => write!(f, "{container}:{}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// What kind of data a tablespace has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Contents {
    #[default]
    Permanent,
    Undo,
    Temporary,
}

/// How a container is open.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Opened {
    #[default]
    ReadWrite,
    /// PDB$SEED, or a pluggable database that is open read only: nothing changes in its files.
    ReadOnly,
    /// A closed pluggable database.
    Mounted,
}

/// A tablespace with its datafiles.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tablespace {
    pub key: Key,
    /// V$CONTAINERS.CON_ID; 0 in a database without containers.
    pub con_id: u64,
    pub contents: Contents,
    pub opened: Opened,
    pub files: Vec<Datafile>,
}

/// A datafile: V$DATAFILE with its rows in V$BACKUP and V$DATAFILE_HEADER.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Datafile {
    pub file: u64,
    pub path: String,
    /// Without the operating system's header block.
    pub bytes: u64,
    pub block_size: u64,
    /// ONLINE, SYSTEM, OFFLINE, RECOVER, SYSOFF.
    pub status: String,
    /// READ WRITE, READ ONLY, DISABLED.
    pub enabled: String,
    pub creation_change: u64,
    /// Last change that was not logged; 0 when there was none.
    pub unrecoverable_change: u64,
    /// CHECKPOINT_CHANGE# of the header, as the instance reads it.
    pub header_checkpoint: Option<u64>,
    /// V$BACKUP says ACTIVE.
    pub in_backup: bool,
    /// V$BACKUP.TIME by the database's clock.
    pub backup_since: Option<String>,
}

impl Datafile {
    pub fn online(&self) -> bool {
        matches!(self.status.as_str(), "ONLINE" | "SYSTEM")
    }

    pub fn read_only(&self) -> bool {
        self.enabled == "READ ONLY"
    }

    /// Size on disk: the blocks and the operating system's header block.
    pub fn disk_bytes(&self) -> u64 {
        self.bytes + self.block_size
    }
}

/// All that planning needs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    pub database: Database,
    pub tablespaces: Vec<Tablespace>,
}

impl Facts {
    pub fn files(&self) -> impl Iterator<Item = (&Tablespace, &Datafile)> {
        self.tablespaces.iter().flat_map(|t| t.files.iter().map(move |f| (t, f)))
    }
}

/// V$DATABASE alone: answers in a mounted instance too, and before anything version-dependent is asked.
pub fn database(sqlplus: &Sqlplus) -> anyhow::Result<Database> {
    let mut script = Script::new();
    let columns = [
        "D.NAME".to_owned(),
        scn("D.DBID"),
        "I.VERSION".to_owned(),
        "D.LOG_MODE".to_owned(),
        "D.FORCE_LOGGING".to_owned(),
        "D.OPEN_MODE".to_owned(),
        "D.DATABASE_ROLE".to_owned(),
        scn("D.RESETLOGS_CHANGE#"),
        scn("D.CURRENT_SCN"),
        date("SYSDATE"),
    ];
    let main = script.query(&columns, "FROM V$DATABASE D CROSS JOIN V$INSTANCE I");
    let incarnation =
        script.query(&[scn("RESETLOGS_ID")], "FROM V$DATABASE_INCARNATION WHERE STATUS = 'CURRENT'");
    let reply = sqlplus.run(&script).context("ask the database who it is")?;
    let row = reply.row(main).context("read V$DATABASE")?;
    Ok(Database {
        name: row.get(0)?,
        dbid: row.get(1)?,
        version: row.get(2)?,
        archivelog: row.get::<String>(3)? == "ARCHIVELOG",
        force_logging: row.get::<String>(4)?.starts_with("YES"),
        open_mode: row.get(5)?,
        role: row.get(6)?,
        cdb: false,
        resetlogs_change: row.get(7)?,
        resetlogs_id: reply.row(incarnation).context("read V$DATABASE_INCARNATION")?.get(0)?,
        // NULL and 0 in a mounted instance.
        current_scn: row.get::<Option<u64>>(8)?.unwrap_or(0),
        now: row.get(9)?,
    })
}

/// Everything, from an open database.
///
/// # Errors
/// Status 4 when the database is not open read write, or the session is in a pluggable database.
pub fn gather(sqlplus: &Sqlplus) -> anyhow::Result<Facts> {
    let mut database = database(sqlplus)?;
    must_be_open(&database)?;
    let multitenant = release(&database.version) >= 12;
    let asked = Asked::new(multitenant);
    let reply = sqlplus.run(&asked.script).context("read tablespaces and datafiles")?;
    database.cdb = match asked.cdb {
        Some(step) => reply.row(step)?.get::<String>(0)? == "YES",
        None => false,
    };
    if !database.cdb {
        return asked.assemble(database, &reply);
    }
    let asked = Asked::in_root();
    let reply = sqlplus.run(&asked.script).context("read tablespaces and datafiles of all containers")?;
    asked.assemble(database, &reply)
}

fn must_be_open(database: &Database) -> Result<(), Failure> {
    if database.open_mode == "READ WRITE" && database.role == "PRIMARY" {
        return Ok(());
    }
    let text = format!("{} is {} and its role is {}", database.name, database.open_mode, database.role);
    Err(Failure::new(
        Exit::Refused,
        format!("{text}: only an open primary database can be put in backup mode"),
    )
    .hint("run it on the primary; a mounted or read-only database is copied without backup mode, with RMAN"))
}

fn release(version: &str) -> u32 {
    version.split('.').next().and_then(|v| v.parse().ok()).unwrap_or(0)
}

/// The queries of one session and where their answers are.
struct Asked {
    script: Script,
    cdb: Option<Step>,
    containers: Option<Step>,
    names: Step,
    contents: Step,
    files: Step,
    backup: Step,
    headers: Step,
}

impl Asked {
    fn new(multitenant: bool) -> Self {
        let mut script = Script::new();
        let cdb = multitenant.then(|| script.query(&["CDB"], "FROM V$DATABASE"));
        Self::queries(script, cdb, None, "DBA_TABLESPACES", "0")
    }

    fn in_root() -> Self {
        let mut script = Script::new();
        let columns = [scn("CON_ID"), "NAME".to_owned(), "OPEN_MODE".to_owned()];
        let containers = script.query(&columns, "FROM V$CONTAINERS");
        Self::queries(script, None, Some(containers), "CDB_TABLESPACES", "CON_ID")
    }

    fn queries(
        mut script: Script,
        cdb: Option<Step>,
        containers: Option<Step>,
        dictionary: &str,
        con_id: &str,
    ) -> Self {
        let con_id = scn(con_id);
        let names = script.query(&[con_id.clone(), scn("TS#"), "NAME".to_owned()], "FROM V$TABLESPACE");
        let contents = script.query(
            &[con_id.clone(), "TABLESPACE_NAME".to_owned(), "CONTENTS".to_owned()],
            format!("FROM {dictionary}"),
        );
        let files = [
            con_id,
            scn("TS#"),
            scn("FILE#"),
            "NAME".to_owned(),
            scn("BYTES"),
            scn("BLOCK_SIZE"),
            "STATUS".to_owned(),
            "ENABLED".to_owned(),
            scn("CREATION_CHANGE#"),
            scn("UNRECOVERABLE_CHANGE#"),
        ];
        let files = script.query(&files, "FROM V$DATAFILE");
        let backup = script.query(&[scn("FILE#"), "STATUS".to_owned(), date("TIME")], "FROM V$BACKUP");
        let headers = script.query(&[scn("FILE#"), scn("CHECKPOINT_CHANGE#")], "FROM V$DATAFILE_HEADER");
        Self { script, cdb, containers, names, contents, files, backup, headers }
    }

    fn assemble(&self, database: Database, reply: &Reply) -> anyhow::Result<Facts> {
        let containers = match self.containers {
            Some(step) => containers(reply.rows(step))?,
            None => BTreeMap::new(),
        };
        let mut contents = BTreeMap::new();
        for row in reply.rows(self.contents) {
            let kind = match row.get::<String>(2)?.as_str() {
                "UNDO" => Contents::Undo,
                "TEMPORARY" => Contents::Temporary,
                _ => Contents::Permanent,
            };
            contents.insert((row.get::<u64>(0)?, row.get::<String>(1)?), kind);
        }
        let mut found: BTreeMap<(u64, u64), Tablespace> = BTreeMap::new();
        for row in reply.rows(self.names) {
            let (con_id, ts, name): (u64, u64, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
            let (container, opened) = containers.get(&con_id).cloned().unwrap_or_default();
            // The root's own name would only be noise in every message.
            let container = (con_id > 1).then_some(container);
            let kind = contents.get(&(con_id, name.clone())).copied().unwrap_or_default();
            let key = Key { container, name };
            found.insert((con_id, ts), Tablespace { key, con_id, contents: kind, opened, files: Vec::new() });
        }
        let files = self.datafiles(reply)?;
        for ((con_id, ts), file) in files {
            let tablespace = found
                .get_mut(&(con_id, ts))
                .with_context(|| format!("V$TABLESPACE does not know TS# {ts} of datafile {}", file.file))?;
            tablespace.files.push(file);
        }
        let mut tablespaces: Vec<Tablespace> = found.into_values().collect();
        for t in &mut tablespaces {
            t.files.sort_by_key(|f| f.file);
        }
        tablespaces.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(Facts { database, tablespaces })
    }

    fn datafiles(&self, reply: &Reply) -> anyhow::Result<Vec<((u64, u64), Datafile)>> {
        let mut headers: BTreeMap<u64, Option<u64>> = BTreeMap::new();
        for row in reply.rows(self.headers) {
            headers.insert(row.get(0)?, row.get(1)?);
        }
        let mut backup: BTreeMap<u64, (bool, Option<String>)> = BTreeMap::new();
        for row in reply.rows(self.backup) {
            let active = row.get::<Option<String>>(1)?.as_deref() == Some("ACTIVE");
            backup.insert(row.get(0)?, (active, row.get(2)?));
        }
        let mut files = Vec::new();
        for row in reply.rows(self.files) {
            let file: u64 = row.get(2)?;
            let (in_backup, since) = backup.get(&file).cloned().unwrap_or_default();
            let datafile = Datafile {
                file,
                path: row.get(3).with_context(|| format!("read the name of datafile {file}"))?,
                bytes: row.get(4)?,
                block_size: row.get(5)?,
                status: row.get(6)?,
                enabled: row.get(7)?,
                creation_change: row.get(8)?,
                unrecoverable_change: row.get::<Option<u64>>(9)?.unwrap_or(0),
                header_checkpoint: headers.get(&file).copied().flatten(),
                in_backup,
                backup_since: since,
            };
            files.push(((row.get(0)?, row.get(1)?), datafile));
        }
        Ok(files)
    }
}

type Containers = BTreeMap<u64, (String, Opened)>;

fn containers(rows: &[Row]) -> anyhow::Result<Containers> {
    let mut found = Containers::new();
    for row in rows {
        let opened = match row.get::<Option<String>>(2)?.as_deref() {
            Some("READ WRITE") => Opened::ReadWrite,
            Some("READ ONLY") => Opened::ReadOnly,
            _ => Opened::Mounted,
        };
        found.insert(row.get(0)?, (row.get(1)?, opened));
    }
    if !found.contains_key(&1) {
        let names: Vec<&str> = found.values().map(|(name, _)| name.as_str()).collect();
        return Err(Failure::new(
            Exit::Refused,
            format!(
                "this session sees only {}: backup mode of a multitenant database is begun in its root",
                names.join(", ")
            ),
        )
        .hint("log on to CDB$ROOT")
        .into());
    }
    Ok(found)
}
