//! What the instance says before and after: its state, and the headers of the datafiles.

use anyhow::Context;
use common::exit::{Exit, Failure};
use common::oracle::script::{scn, Script};
use common::oracle::sqlplus::Sqlplus;

/// How far the instance is up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// Not started.
    Down,
    /// Started, NOMOUNT.
    Started,
    Mounted,
    Open,
}

/// What is known of the database before anything is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub state: State,
    /// V$DATABASE.DBID, once it is mounted.
    pub dbid: Option<u64>,
}

/// Asks the instance.
///
/// # Errors
/// It cannot be asked, for another reason than that it is not started.
pub fn look(sqlplus: &Sqlplus) -> anyhow::Result<Found> {
    let mut script = Script::new();
    let status = script.query(&["STATUS"], "FROM V$INSTANCE");
    let reply = match sqlplus.run(&script) {
        Ok(reply) => reply,
        Err(error) if error.has("ORA-01034") => return Ok(Found { state: State::Down, dbid: None }),
        Err(error) => return Err(error).context("ask the instance for its state"),
    };
    let state = match reply.row(status)?.get::<String>(0)?.as_str() {
        "STARTED" => State::Started,
        "MOUNTED" => State::Mounted,
        _ => State::Open,
    };
    let mut dbid = None;
    if state >= State::Mounted {
        let mut script = Script::new();
        let row = script.query(&[scn("DBID")], "FROM V$DATABASE");
        let reply = sqlplus.run(&script).context("ask the database who it is")?;
        dbid = Some(reply.row(row)?.get(0)?);
    }
    Ok(Found { state, dbid })
}

/// The key of an incarnation in RMAN's own list.
///
/// # Errors
/// The mounted control file does not know it.
pub fn incarnation(sqlplus: &Sqlplus, resetlogs: u64) -> anyhow::Result<u64> {
    let mut script = Script::new();
    let rest = format!(
        "FROM V$DATABASE_INCARNATION WHERE RESETLOGS_CHANGE# = {resetlogs} ORDER BY INCARNATION# DESC"
    );
    let rows = script.query(&[scn("INCARNATION#")], rest);
    let reply = sqlplus.run(&script).context("ask for the incarnations")?;
    match reply.rows(rows).first() {
        Some(row) => row.get(0),
        None => Err(Failure::new(
            Exit::Failed,
            format!("the control file does not know the incarnation of SCN {resetlogs}"),
        )
        .hint("restore an older control file: --controlfile")
        .into()),
    }
}

/// One line of V$DATAFILE_HEADER.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Header {
    pub file: u64,
    pub path: String,
    pub tablespace: String,
    pub online: bool,
    pub error: Option<String>,
    pub fuzzy: bool,
    pub checkpoint: u64,
    pub resetlogs: u64,
    pub bytes: u64,
    /// V$DATAFILE says that it is read only: recovery leaves it at its own checkpoint.
    pub read_only: bool,
    pub creation: u64,
}

/// V$DATAFILE_HEADER with what V$DATAFILE adds.
///
/// # Errors
/// The database cannot be asked.
pub fn headers(sqlplus: &Sqlplus) -> anyhow::Result<Vec<Header>> {
    let mut script = Script::new();
    let columns = [
        scn("H.FILE#"),
        "D.NAME".to_owned(),
        "H.TABLESPACE_NAME".to_owned(),
        "H.STATUS".to_owned(),
        "H.ERROR".to_owned(),
        "H.FUZZY".to_owned(),
        scn("H.CHECKPOINT_CHANGE#"),
        scn("H.RESETLOGS_CHANGE#"),
        scn("H.BYTES"),
        "D.ENABLED".to_owned(),
        scn("D.CREATION_CHANGE#"),
    ];
    let rows = script
        .query(&columns, "FROM V$DATAFILE_HEADER H JOIN V$DATAFILE D ON D.FILE# = H.FILE# ORDER BY H.FILE#");
    let reply = sqlplus.run(&script).context("read the headers of the datafiles")?;
    let mut headers = Vec::new();
    for row in reply.rows(rows) {
        headers.push(Header {
            file: row.get(0)?,
            path: row.get(1)?,
            tablespace: row.get::<Option<String>>(2)?.unwrap_or_default(),
            online: row.get::<Option<String>>(3)?.as_deref() != Some("OFFLINE"),
            error: row.get::<Option<String>>(4)?.filter(|e| !e.is_empty()),
            fuzzy: row.get::<Option<String>>(5)?.as_deref() != Some("NO"),
            checkpoint: row.get::<Option<u64>>(6)?.unwrap_or(0),
            resetlogs: row.get::<Option<u64>>(7)?.unwrap_or(0),
            bytes: row.get::<Option<u64>>(8)?.unwrap_or(0),
            read_only: row.get::<Option<String>>(9)?.as_deref() == Some("READ ONLY"),
            creation: row.get::<Option<u64>>(10)?.unwrap_or(0),
        });
    }
    Ok(headers)
}

/// Why the datafiles could not be opened although RMAN was content; empty when they can. Pure.
///
/// All online files have to be of one checkpoint, at the target or beyond, and none may hold newer blocks than that: a
/// recovery that ended early is seen here (ORA-01194, ORA-01547), whatever was printed. A `target` of 0: it is not known.
pub fn flaws(headers: &[Header], target: u64) -> Vec<String> {
    let mut flaws = Vec::new();
    // A file that was created after the target is not part of the database there; OPEN RESETLOGS forgets it.
    let online: Vec<&Header> =
        headers.iter().filter(|h| h.online && (target == 0 || h.creation < target)).collect();
    if online.is_empty() {
        flaws.push("no datafile is online".to_owned());
    }
    for header in &online {
        if let Some(error) = &header.error {
            flaws.push(format!("datafile {} ({}): {error}", header.file, header.path));
        } else if header.fuzzy {
            flaws.push(format!(
                "datafile {} ({}) needs more redo: it holds changes from after its checkpoint {}",
                header.file, header.path, header.checkpoint
            ));
        } else if header.checkpoint < target && !header.read_only {
            flaws.push(format!(
                "datafile {} ({}) was only recovered to SCN {} and not to {target}",
                header.file, header.path, header.checkpoint
            ));
        }
    }
    let mut checkpoints: Vec<u64> =
        online.iter().filter(|h| !h.read_only && h.error.is_none()).map(|h| h.checkpoint).collect();
    checkpoints.sort_unstable();
    checkpoints.dedup();
    if let [first, .., last] = checkpoints.as_slice() {
        flaws.push(format!("the datafiles are of different moments: SCN {first} to {last}"));
    }
    flaws
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(file: u64, checkpoint: u64) -> Header {
        Header {
            file,
            checkpoint,
            online: true,
            path: format!("/o/{file}"),
            creation: 5,
            ..Header::default()
        }
    }

    #[test]
    fn files_of_one_moment_at_the_target_are_right() {
        assert!(flaws(&[header(1, 100), header(2, 100)], 100).is_empty());
        let quiet = Header { read_only: true, ..header(3, 40) };
        assert!(flaws(&[header(1, 100), quiet], 100).is_empty());
        assert!(flaws(&[header(1, 100)], 0).is_empty());
        let later = Header { creation: 120, error: Some("FILE NOT FOUND".to_owned()), ..header(4, 0) };
        assert!(flaws(&[header(1, 100), later], 100).is_empty());
    }

    #[test]
    fn each_flaw_is_named() {
        assert_eq!(flaws(&[], 1), ["no datafile is online"]);
        let fuzzy = Header { fuzzy: true, ..header(2, 100) };
        assert_eq!(
            flaws(&[header(1, 100), fuzzy], 100),
            ["datafile 2 (/o/2) needs more redo: it holds changes from after its checkpoint 100"]
        );
        assert_eq!(
            flaws(&[header(1, 90), header(2, 100)], 100),
            [
                "datafile 1 (/o/1) was only recovered to SCN 90 and not to 100",
                "the datafiles are of different moments: SCN 90 to 100"
            ]
        );
        let gone = Header { error: Some("FILE NOT FOUND".to_owned()), ..header(1, 0) };
        assert_eq!(flaws(&[gone], 100), ["datafile 1 (/o/1): FILE NOT FOUND"]);
    }
}
