//! What the database says about itself, gathered in two SQL*Plus sessions.

use std::collections::BTreeMap;

use anyhow::Context;
use common::exit::{Exit, Failure};
use common::guardian::FileState;
use common::oracle::reply::Reply;
use common::oracle::script::{date, scn, Script, Step};
use common::oracle::sqlplus::Sqlplus;

/// V$DATABASE, V$INSTANCE and the current incarnation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Database {
    pub name: String,
    pub dbid: u64,
    pub archivelog: bool,
    pub force_logging: bool,
    /// READ WRITE, MOUNTED, …
    pub open_mode: String,
    /// PRIMARY, PHYSICAL STANDBY, …
    pub role: String,
    pub cdb: bool,
    pub resetlogs_change: u64,
    /// V$DATABASE_INCARNATION.RESETLOGS_ID.
    pub resetlogs_id: u64,
}

/// V$DATAFILE with its row in V$BACKUP.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Datafile {
    pub file: u64,
    pub path: String,
    /// Something may be written into it now: BEGIN BACKUP must make it ACTIVE.
    pub changing: bool,
    /// V$BACKUP says ACTIVE.
    pub in_backup: bool,
    /// V$BACKUP.TIME by the database's clock.
    pub backup_since: Option<String>,
}

/// All that is asked before BEGIN BACKUP.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    pub database: Database,
    pub files: Vec<Datafile>,
    /// Local archive destinations: directories, or disk groups with +.
    pub archive_dests: Vec<String>,
}

impl Facts {
    /// Numbers and paths of the files that BEGIN BACKUP must make ACTIVE.
    pub fn changing(&self) -> Vec<(u64, String)> {
        self.files.iter().filter(|f| f.changing).map(|f| (f.file, f.path.clone())).collect()
    }
}

/// Asks.
///
/// # Errors
/// Status 4 when the database is not an open primary, or the session is in a pluggable database.
pub fn gather(sqlplus: &Sqlplus) -> anyhow::Result<Facts> {
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
    ];
    let main = script.query(&columns, "FROM V$DATABASE D CROSS JOIN V$INSTANCE I");
    let incarnation =
        script.query(&[scn("RESETLOGS_ID")], "FROM V$DATABASE_INCARNATION WHERE STATUS = 'CURRENT'");
    let reply = sqlplus.run(&script).context("ask the database who it is")?;
    let row = reply.row(main).context("read V$DATABASE")?;
    let version: String = row.get(2)?;
    let mut database = Database {
        name: row.get(0)?,
        dbid: row.get(1)?,
        archivelog: row.get::<String>(3)? == "ARCHIVELOG",
        force_logging: row.get::<String>(4)?.starts_with("YES"),
        open_mode: row.get(5)?,
        role: row.get(6)?,
        cdb: false,
        resetlogs_change: row.get(7)?,
        resetlogs_id: reply.row(incarnation).context("read V$DATABASE_INCARNATION")?.get(0)?,
    };
    must_be_open(&database)?;
    let multitenant = version.split('.').next().and_then(|v| v.parse::<u32>().ok()).unwrap_or(0) >= 12;
    let asked = Asked::new(multitenant);
    let reply = sqlplus.run(&asked.script).context("read datafiles and archive destinations")?;
    if let Some(step) = asked.cdb {
        database.cdb = reply.row(step)?.get::<String>(0)? == "YES";
    }
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
    .hint("run it on the primary; a database that is shut down or mounted is consistent without backup mode"))
}

/// The queries of one session and where their answers are.
struct Asked {
    script: Script,
    cdb: Option<Step>,
    containers: Option<Step>,
    files: Step,
    backup: Step,
    dests: Step,
    area: Step,
}

impl Asked {
    fn new(multitenant: bool) -> Self {
        let mut script = Script::new();
        let cdb = multitenant.then(|| script.query(&["CDB"], "FROM V$DATABASE"));
        let containers = multitenant.then(|| {
            script.query(&[scn("CON_ID"), "NAME".to_owned(), "OPEN_MODE".to_owned()], "FROM V$CONTAINERS")
        });
        let files = [
            scn("FILE#"),
            "NAME".to_owned(),
            "STATUS".to_owned(),
            "ENABLED".to_owned(),
            scn(if multitenant { "CON_ID" } else { "0" }),
        ];
        let files = script.query(&files, "FROM V$DATAFILE ORDER BY FILE#");
        let backup = script.query(&[scn("FILE#"), "STATUS".to_owned(), date("TIME")], "FROM V$BACKUP");
        let dests = script.query(
            &["DESTINATION"],
            "FROM V$ARCHIVE_DEST WHERE STATUS = 'VALID' AND TARGET IN ('PRIMARY', 'LOCAL') ORDER BY DEST_ID",
        );
        let area = script.query(&["NAME"], "FROM V$RECOVERY_FILE_DEST");
        Self { script, cdb, containers, files, backup, dests, area }
    }

    fn assemble(&self, database: Database, reply: &Reply) -> anyhow::Result<Facts> {
        let writable = match self.containers {
            Some(step) if database.cdb => containers(reply, step)?,
            _ => BTreeMap::new(),
        };
        let mut backup: BTreeMap<u64, (bool, Option<String>)> = BTreeMap::new();
        for row in reply.rows(self.backup) {
            let active = row.get::<Option<String>>(1)?.as_deref() == Some("ACTIVE");
            backup.insert(row.get(0)?, (active, row.get(2)?));
        }
        let mut files = Vec::new();
        for row in reply.rows(self.files) {
            let file: u64 = row.get(0)?;
            let (status, enabled, con_id): (String, String, u64) = (row.get(2)?, row.get(3)?, row.get(4)?);
            let (in_backup, backup_since) = backup.get(&file).cloned().unwrap_or_default();
            let online = matches!(status.as_str(), "ONLINE" | "SYSTEM");
            let open = !database.cdb || writable.get(&con_id).copied().unwrap_or(con_id == 1);
            files.push(Datafile {
                file,
                path: row.get(1).with_context(|| format!("read the name of datafile {file}"))?,
                changing: online && enabled == "READ WRITE" && open,
                in_backup,
                backup_since,
            });
        }
        let area: Option<String> = match reply.rows(self.area) {
            [row, ..] => row.get(0)?,
            [] => None,
        };
        let mut archive_dests = Vec::new();
        for row in reply.rows(self.dests) {
            let dest: Option<String> = match row.get::<Option<String>>(0)? {
                Some(d) if d.eq_ignore_ascii_case("USE_DB_RECOVERY_FILE_DEST") => area.clone(),
                other => other,
            };
            archive_dests.extend(dest.filter(|d| !archive_dests.contains(d)));
        }
        Ok(Facts { database, files, archive_dests })
    }
}

/// Which containers are open read write.
fn containers(reply: &Reply, step: Step) -> anyhow::Result<BTreeMap<u64, bool>> {
    let mut found = BTreeMap::new();
    let mut names = Vec::new();
    for row in reply.rows(step) {
        found.insert(row.get(0)?, row.get::<Option<String>>(2)?.as_deref() == Some("READ WRITE"));
        names.push(row.get::<String>(1)?);
    }
    if !found.contains_key(&1) {
        let text = format!(
            "this session sees only {}: backup mode of a multitenant database is begun in its root",
            names.join(", ")
        );
        return Err(Failure::new(Exit::Refused, text).hint("log on to CDB$ROOT").into());
    }
    Ok(found)
}

/// Refuses a database that cannot be snapshot this way; returns warnings.
pub fn check(facts: &Facts) -> Result<Vec<String>, Failure> {
    let name = &facts.database.name;
    if !facts.database.archivelog {
        return Err(Failure::new(Exit::Refused, format!("{name} is in NOARCHIVELOG mode"))
            .hint("a snapshot of the running database can only be recovered with archived logs; ALTER DATABASE ARCHIVELOG")
            .code("ORA-01123"));
    }
    let active: Vec<FileState> = facts
        .files
        .iter()
        .filter(|f| f.in_backup)
        .map(|f| FileState {
            file: f.file,
            path: f.path.clone(),
            active: true,
            since: f.backup_since.clone(),
            ..FileState::default()
        })
        .collect();
    if !active.is_empty() {
        return Err(foreign(&active));
    }
    if !facts.files.iter().any(|f| f.changing) {
        return Err(Failure::new(
            Exit::Refused,
            format!("{name} has no datafile that BEGIN BACKUP would freeze"),
        )
        .hint("are all tablespaces read only or offline?"));
    }
    let mut warnings = Vec::new();
    if !facts.database.force_logging {
        warnings.push(format!(
            "{name} is not in FORCE LOGGING: what is loaded with NOLOGGING while it is in backup mode may be lost in the \
             snapshot (ORA-26040)"
        ));
    }
    Ok(warnings)
}

/// Backup mode that is not ours is never ended by us.
pub fn foreign(active: &[FileState]) -> Failure {
    let files: Vec<String> = active
        .iter()
        .map(|f| format!("{} {} since {}", f.file, f.path, f.since.as_deref().unwrap_or("?")))
        .collect();
    let text = format!("in backup mode, and not by us: datafile {}", files.join(", "));
    Failure::new(Exit::Refused, text)
        .hint("find out who began it (another backup tool, a storage snapshot); END BACKUP is theirs to do")
        .code("ORA-01146")
}
