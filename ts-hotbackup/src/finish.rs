//! The end of a cycle: last logs archived, standby control file and recovery scripts at the standby.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use common::oracle::identifier::constant;
use common::oracle::script::Script;
use common::oracle::sqlplus::Sqlplus;
use common::record::{File, Role};
use common::remote::{reading_limit, rsync, Files, Mode, RsyncJob};
use sha2::{Digest, Sha256};

use crate::depot::Depot;
use crate::scripts::Recovery;

/// A file of ours on this host that goes when we do.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left is a few megabytes under a name that says whose it is.
        let _left = std::fs::remove_file(&self.0);
    }
}

/// Makes the standby control file, ships it and proves it. Returns its SHA-256 and size.
pub fn standby_controlfile(
    sqlplus: &Sqlplus,
    depot: &Depot,
    scratch_dir: &Path,
    dest: &str,
) -> anyhow::Result<(String, u64)> {
    let scratch = Scratch(scratch_dir.join(format!(".orapipe-{}.ctl", depot.way.tag)));
    let name = scratch.0.to_string_lossy().into_owned();
    let mut script = Script::new();
    script.exec(format!("ALTER DATABASE CREATE STANDBY CONTROLFILE AS {} REUSE", constant(&name)?));
    sqlplus.run(&script).context("create the standby control file")?;
    ship(depot, &scratch.0, dest).with_context(|| format!("ship the standby control file to {dest}"))
}

/// The instance's parameters as a text file. Not essential: `None` with the reason when the instance cannot write it.
pub fn pfile(
    sqlplus: &Sqlplus,
    depot: &Depot,
    scratch_dir: &Path,
    dest: &str,
) -> anyhow::Result<Result<(String, u64), String>> {
    let scratch = Scratch(scratch_dir.join(format!(".orapipe-{}.ora", depot.way.tag)));
    let name = constant(&scratch.0.to_string_lossy())?;
    let mut refusals = Vec::new();
    // An instance that was started from a pfile has no spfile.
    for source in ["SPFILE", "MEMORY"] {
        let mut script = Script::new();
        script.exec(format!("CREATE PFILE = {name} FROM {source}"));
        match sqlplus.run(&script) {
            Ok(_) => {
                let text = std::fs::read(&scratch.0)
                    .with_context(|| format!("read the parameter file {}", scratch.0.display()))?;
                put(depot, dest, &text)?;
                return Ok(Ok((hex(&Sha256::digest(&text)), text.len() as u64)));
            }
            Err(e) if e.kind == common::oracle::sql_error::SqlErrorKind::Statement => refusals.push(e.text),
            Err(e) => return Err(e).context("write the parameter file"),
        }
    }
    Ok(Err(refusals.join("; ")))
}

/// Sends the control file, which may be large, compares its hash there and gives it its name.
fn ship(depot: &Depot, source: &Path, dest: &str) -> anyhow::Result<(String, u64)> {
    let (hash, bytes) = sha256(source)?;
    let tmp = depot.tmp(dest, "ctl");
    let files = Files::One { source: source.to_owned(), dest: tmp.clone() };
    let mut job = RsyncJob::new(files, Mode::Whole, depot.way.io_timeout);
    job.log = Some(depot.way.rsync_log.clone());
    let outcome = rsync(depot.conn(), &job, &mut |_| {}).map_err(|e| e.failure())?;
    if let Some(trouble) = outcome.trouble {
        return Err(trouble.failure().into());
    }
    let there =
        depot.conn().sha256(std::slice::from_ref(&tmp), reading_limit(bytes)).map_err(|e| e.failure())?;
    match there.into_iter().next() {
        Some(Ok(there)) if there == hash => {}
        Some(Ok(there)) => anyhow::bail!("it has SHA-256 {there} there and {hash} here"),
        Some(Err(why)) => anyhow::bail!("{why}"),
        None => anyhow::bail!("no hash came back"),
    }
    depot.publish(&[(tmp, PathBuf::from(dest))], bytes)?;
    Ok((hash, bytes))
}

/// Writes the scripts, the facts last: they say that the rest is there. Returns a record for each.
pub fn scripts(depot: &Depot, recovery: &Recovery) -> anyhow::Result<Vec<File>> {
    let texts = [
        (recovery.sql_name(), recovery.sql()?),
        (recovery.rman_name(), recovery.rman()?),
        (recovery.facts_name(), recovery.facts()),
    ];
    let mut records = Vec::new();
    for (path, text) in texts {
        put(depot, &path, text.as_bytes())?;
        records.push(File {
            path,
            bytes: Some(text.len() as u64),
            sha256: Some(hex(&Sha256::digest(text.as_bytes()))),
            role: Some(Role::Script),
            db: Some(recovery.db_name.clone()),
            dbid: Some(recovery.dbid),
            host: depot.way.target.host.clone(),
            ..File::default()
        });
    }
    Ok(records)
}

/// A small text at the destination, whole or not at all.
pub fn put(depot: &Depot, path: &str, text: &[u8]) -> anyhow::Result<()> {
    depot
        .conn()
        .put(text, Path::new(path), 0o640)
        .map_err(|e| e.failure())
        .with_context(|| format!("write {path} at {}", depot.way.target.label()))
}

/// SHA-256 and size of a file of this host.
pub fn sha256(path: &Path) -> anyhow::Result<(String, u64)> {
    let name = || format!("read {}", path.display());
    let mut file = std::fs::File::open(path).with_context(name)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    let mut bytes = 0;
    loop {
        let n = file.read(&mut buffer).with_context(name)?;
        if n == 0 {
            return Ok((hex(&hasher.finalize()), bytes));
        }
        bytes += n as u64;
        hasher.update(&buffer[..n]);
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// A limit for a statement that only writes a small file.
pub const STATEMENT: Duration = Duration::from_secs(120);
