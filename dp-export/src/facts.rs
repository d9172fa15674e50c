//! What the database says before an export.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::Context;
use common::exit::{Exit, Failure};
use common::oracle::identifier::literal;
use common::oracle::script::{scn, Script};
use common::oracle::sqlplus::Sqlplus;

/// The moment that all tables of an export share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Moment {
    /// FLASHBACK_SCN.
    Scn(u64),
    /// FLASHBACK_TIME=SYSTIMESTAMP: the user may not read V$DATABASE.
    Now,
    /// Each table its own.
    None,
}

/// Facts about one schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The user that is logged on; it owns the job.
    pub owner: String,
    /// ALL_DIRECTORIES.DIRECTORY_PATH, on the server's host.
    pub directory_path: PathBuf,
    /// Tables that expdp exports rows of, as `"SCHEMA"."TABLE"`.
    pub tables: BTreeSet<String>,
    pub moment: Moment,
}

/// Reads them in one session, and the SCN in another: not every user may.
pub fn gather(sqlplus: &Sqlplus, schema: &str, directory: &str, consistent: bool) -> anyhow::Result<Facts> {
    let mut script = Script::new();
    let user = script.query(&["USER"], "FROM DUAL");
    let path = script.query(
        &["DIRECTORY_PATH"],
        format!("FROM ALL_DIRECTORIES WHERE DIRECTORY_NAME = {}", literal(directory)),
    );
    let exists = script.query(&["USERNAME"], format!("FROM ALL_USERS WHERE USERNAME = {}", literal(schema)));
    // Temporary and external tables have no rows of their own; nested, secondary and overflow segments are exported as
    // part of another table; BIN$ is the recycle bin.
    let tables = script.query(
        &["TABLE_NAME"],
        format!(
            "FROM ALL_TABLES WHERE OWNER = {} AND TEMPORARY = 'N' AND NESTED = 'NO' AND SECONDARY = 'N' \
             AND (IOT_TYPE IS NULL OR IOT_TYPE = 'IOT') AND TABLE_NAME NOT LIKE 'BIN$%' \
             AND TABLE_NAME NOT IN (SELECT TABLE_NAME FROM ALL_EXTERNAL_TABLES WHERE OWNER = {})",
            literal(schema),
            literal(schema)
        ),
    );
    let reply = sqlplus.run(&script).with_context(|| format!("look at schema {schema}"))?;
    let owner: String = reply.row(user)?.get(0)?;
    let directory_path = match reply.rows(path) {
        [row] => PathBuf::from(row.get::<String>(0)?),
        _ => return Err(no_directory(directory, &owner).into()),
    };
    if reply.rows(exists).is_empty() {
        return Err(Failure::new(Exit::Failed, format!("schema {schema} does not exist"))
            .hint("SELECT USERNAME FROM ALL_USERS; in a container database connect to the service of its PDB")
            .code("ORA-39165")
            .into());
    }
    let mut names = BTreeSet::new();
    for row in reply.rows(tables) {
        names.insert(format!("\"{schema}\".\"{}\"", row.get::<String>(0)?));
    }
    let moment = if consistent { moment(sqlplus)? } else { Moment::None };
    Ok(Facts { owner, directory_path, tables: names, moment })
}

fn no_directory(directory: &str, owner: &str) -> Failure {
    Failure::new(Exit::Failed, format!("directory object {directory} does not exist, or {owner} may not use it"))
        .hint(format!(
            "as SYSDBA: CREATE DIRECTORY {directory} AS '/path'; GRANT READ, WRITE ON DIRECTORY {directory} TO {owner}"
        ))
        .code("ORA-39087")
}

fn moment(sqlplus: &Sqlplus) -> anyhow::Result<Moment> {
    let mut script = Script::new();
    let current = script.query(&[scn("CURRENT_SCN")], "FROM V$DATABASE");
    match sqlplus.run(&script) {
        Ok(reply) => Ok(Moment::Scn(reply.row(current)?.get(0)?)),
        Err(error) if error.has("ORA-00942") => Ok(Moment::Now),
        Err(error) => Err(error).context("read the current SCN"),
    }
}
