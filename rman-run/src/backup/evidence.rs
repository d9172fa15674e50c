//! What the V$ views say about this very backup: everything whose pieces lie in the directory of the run.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::Context;
use common::oracle::reply::Row;
use common::oracle::script::{date, scn, Script};
use common::oracle::sqlplus::Sqlplus;
use common::record::{Content, ControlfileContent, DatafileContent, LogContent, SpfileContent};

use crate::facts::{Facts, LogKey};

/// SET_STAMP and SET_COUNT.
pub type SetKey = (u64, u64);

/// A row of V$BACKUP_PIECE.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Piece {
    pub set: SetKey,
    /// PIECE#.
    pub piece: u64,
    pub copy: u64,
    pub handle: String,
    pub tag: Option<String>,
    /// A: available.
    pub status: String,
    pub bytes: u64,
    pub completed: Option<String>,
}

/// A row of V$BACKUP_SET and what is in it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Set {
    /// How many pieces it has.
    pub pieces: u64,
    pub contents: Vec<Content>,
    /// Blocks of it that are damaged.
    pub corrupt: u64,
}

impl Set {
    pub fn datafiles(&self) -> impl Iterator<Item = &DatafileContent> {
        self.contents.iter().filter_map(|c| match c {
            Content::Datafile(d) => Some(d),
            _ => None,
        })
    }

    pub fn logs(&self) -> impl Iterator<Item = &LogContent> {
        self.contents.iter().filter_map(|c| match c {
            Content::ArchivedLog(l) => Some(l),
            _ => None,
        })
    }

    pub fn has_controlfile(&self) -> bool {
        self.contents.iter().any(|c| matches!(c, Content::Controlfile(_)))
    }

    pub fn has_spfile(&self) -> bool {
        self.contents.iter().any(|c| matches!(c, Content::Spfile(_)))
    }

    /// The level of its datafiles; `None` for a plain full backup and for sets without datafiles.
    pub fn level(&self) -> Option<u64> {
        self.datafiles().filter_map(|d| d.level).max()
    }
}

/// A row of V$RMAN_STATUS of the run's COMMAND_ID.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    pub operation: String,
    pub status: String,
}

/// What the views say.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Evidence {
    pub pieces: Vec<Piece>,
    pub sets: BTreeMap<SetKey, Set>,
    pub statuses: Vec<Status>,
}

impl Evidence {
    /// Logs in these sets.
    pub fn log_keys<'a>(&'a self, sets: &'a BTreeSet<SetKey>) -> impl Iterator<Item = LogKey> + 'a {
        self.sets
            .iter()
            .filter(|(key, _)| sets.contains(key))
            .flat_map(|(_, set)| set.logs())
            .map(|l| LogKey { resetlogs_change: l.resetlogs_change, thread: l.thread, sequence: l.sequence })
    }
}

/// The pieces that V$BACKUP_PIECE has below `dir`.
///
/// # Errors
/// The view cannot be read.
pub fn pieces_below(sqlplus: &Sqlplus, dir: &Path) -> anyhow::Result<Vec<Piece>> {
    let mut script = Script::new();
    let columns = [
        scn("SET_STAMP"),
        scn("SET_COUNT"),
        scn("PIECE#"),
        scn("COPY#"),
        "HANDLE".to_owned(),
        "TAG".to_owned(),
        "STATUS".to_owned(),
        scn("BYTES"),
        date("COMPLETION_TIME"),
    ];
    let below = format!("{}/", dir.display());
    let rest = format!(
        "FROM V$BACKUP_PIECE WHERE SUBSTR(HANDLE, 1, {}) = '{}' AND STATUS <> 'D' ORDER BY SET_STAMP, SET_COUNT, PIECE#",
        below.chars().count(),
        below.replace('\'', "''")
    );
    let step = script.query(&columns, rest);
    let reply = sqlplus.run(&script).context("read V$BACKUP_PIECE")?;
    let piece = |row: &Row| -> anyhow::Result<Piece> {
        Ok(Piece {
            set: (row.get(0)?, row.get(1)?),
            piece: row.get(2)?,
            copy: row.get::<Option<u64>>(3)?.unwrap_or(1),
            handle: row.get(4)?,
            tag: row.get(5)?,
            status: row.get(6)?,
            bytes: row.get::<Option<u64>>(7)?.unwrap_or(0),
            completed: row.get(8)?,
        })
    };
    reply.rows(step).iter().map(piece).collect()
}

/// Everything about the run whose pieces lie below `dir`. `facts` are those after the backup: the structure of the
/// database goes into the record of its control file.
///
/// # Errors
/// A view cannot be read, or a piece belongs to a set that V$BACKUP_SET does not have.
pub fn gather(sqlplus: &Sqlplus, dir: &Path, command_id: &str, facts: &Facts) -> anyhow::Result<Evidence> {
    let pieces = pieces_below(sqlplus, dir)?;
    let statuses = statuses(sqlplus, command_id)?;
    let wanted: BTreeSet<SetKey> = pieces.iter().map(|p| p.set).collect();
    let Some(oldest) = wanted.iter().map(|(stamp, _)| *stamp).min() else {
        return Ok(Evidence { pieces, statuses, ..Evidence::default() });
    };
    let mut script = Script::new();
    let key = [scn("SET_STAMP"), scn("SET_COUNT")];
    let columns = |more: &[String]| key.iter().cloned().chain(more.iter().cloned()).collect::<Vec<_>>();
    let since = format!("WHERE SET_STAMP >= {oldest}");
    let sets = script.query(&columns(&[scn("PIECES")]), format!("FROM V$BACKUP_SET {since}"));
    let datafiles = script.query(
        &columns(&[
            scn("FILE#"),
            scn("INCREMENTAL_LEVEL"),
            scn("INCREMENTAL_CHANGE#"),
            scn("CHECKPOINT_CHANGE#"),
            scn("ABSOLUTE_FUZZY_CHANGE#"),
            date("CHECKPOINT_TIME"),
            scn("RESETLOGS_CHANGE#"),
            scn("CREATION_CHANGE#"),
            scn("DATAFILE_BLOCKS * BLOCK_SIZE"),
            scn("NVL(MARKED_CORRUPT, 0) + NVL(MEDIA_CORRUPT, 0) + NVL(LOGICALLY_CORRUPT, 0)"),
        ]),
        format!("FROM V$BACKUP_DATAFILE {since} ORDER BY FILE#"),
    );
    let logs = script.query(
        &columns(&[
            scn("THREAD#"),
            scn("SEQUENCE#"),
            scn("FIRST_CHANGE#"),
            scn("NEXT_CHANGE#"),
            date("FIRST_TIME"),
            date("NEXT_TIME"),
            scn("RESETLOGS_CHANGE#"),
        ]),
        format!("FROM V$BACKUP_REDOLOG {since} ORDER BY THREAD#, SEQUENCE#"),
    );
    let spfiles =
        script.query(&columns(&[date("MODIFICATION_TIME")]), format!("FROM V$BACKUP_SPFILE {since}"));
    let reply = sqlplus.run(&script).context("read what is in the backup sets")?;
    let mut found: BTreeMap<SetKey, Set> = BTreeMap::new();
    let of = |row: &Row| -> anyhow::Result<SetKey> { Ok((row.get(0)?, row.get(1)?)) };
    for row in reply.rows(sets) {
        let key = of(row)?;
        if wanted.contains(&key) {
            found.insert(key, Set { pieces: row.get::<Option<u64>>(2)?.unwrap_or(1), ..Set::default() });
        }
    }
    if let Some((stamp, count)) = wanted.iter().find(|key| !found.contains_key(*key)) {
        anyhow::bail!("V$BACKUP_SET does not have set {count} (stamp {stamp}) of a piece of this run");
    }
    for row in reply.rows(datafiles) {
        let Some(set) = found.get_mut(&of(row)?) else { continue };
        let file: u64 = row.get(2)?;
        if file == 0 {
            set.contents.push(Content::Controlfile(Box::new(controlfile(row, facts)?)));
            continue;
        }
        set.corrupt += row.get::<Option<u64>>(11)?.unwrap_or(0);
        set.contents.push(Content::Datafile(DatafileContent {
            file,
            level: row.get(3)?,
            incremental_change: row.get::<Option<u64>>(4)?.unwrap_or(0),
            checkpoint_change: row.get(5)?,
            fuzzy_change: row.get::<Option<u64>>(6)?.filter(|c| *c > 0),
            checkpoint_time: row.get(7)?,
            resetlogs_change: row.get(8)?,
            creation_change: row.get::<Option<u64>>(9)?.unwrap_or(0),
            bytes: row.get(10)?,
        }));
    }
    for row in reply.rows(logs) {
        let Some(set) = found.get_mut(&of(row)?) else { continue };
        let resetlogs_change: u64 = row.get(8)?;
        let id = facts.incarnations.iter().find(|i| i.resetlogs_change == resetlogs_change);
        set.contents.push(Content::ArchivedLog(LogContent {
            thread: row.get(2)?,
            sequence: row.get(3)?,
            first_change: row.get(4)?,
            next_change: row.get(5)?,
            first_time: row.get(6)?,
            next_time: row.get(7)?,
            resetlogs_change,
            resetlogs_id: id.map(|i| i.resetlogs_id),
        }));
    }
    for row in reply.rows(spfiles) {
        if let Some(set) = found.get_mut(&of(row)?) {
            set.contents.push(Content::Spfile(SpfileContent { modified: row.get(2)? }));
        }
    }
    mark_autobackups(&mut found, &pieces, facts.database.dbid);
    Ok(Evidence { pieces, sets: found, statuses })
}

fn controlfile(row: &Row, facts: &Facts) -> anyhow::Result<ControlfileContent> {
    Ok(ControlfileContent {
        checkpoint_change: row.get(5)?,
        checkpoint_time: row.get(7)?,
        resetlogs_change: row.get(8)?,
        autobackup: false,
        datafiles: facts.files.iter().map(crate::facts::Datafile::fact).collect(),
        threads: facts.threads.clone(),
        incarnations: facts.incarnations.clone(),
    })
}

/// %F: the name by which RESTORE … FROM AUTOBACKUP finds it.
pub fn is_autobackup(handle: &str, dbid: u64) -> bool {
    let name = handle.rsplit('/').next().unwrap_or(handle);
    name.starts_with(&format!("c-{dbid}-"))
}

fn mark_autobackups(sets: &mut BTreeMap<SetKey, Set>, pieces: &[Piece], dbid: u64) {
    for piece in pieces.iter().filter(|p| is_autobackup(&p.handle, dbid)) {
        for content in sets.get_mut(&piece.set).into_iter().flat_map(|s| s.contents.iter_mut()) {
            if let Content::Controlfile(found) = content {
                found.autobackup = true;
            }
        }
    }
}

fn statuses(sqlplus: &Sqlplus, command_id: &str) -> anyhow::Result<Vec<Status>> {
    let mut script = Script::new();
    let step = script.query(
        &["OPERATION", "STATUS"],
        format!(
            "FROM V$RMAN_STATUS WHERE COMMAND_ID = '{}' AND ROW_LEVEL > 0 ORDER BY RECID",
            command_id.replace('\'', "''")
        ),
    );
    let reply = sqlplus.run(&script).context("read V$RMAN_STATUS")?;
    reply.rows(step).iter().map(|r| Ok(Status { operation: r.get(0)?, status: r.get(1)? })).collect()
}
