//! What a DBA does by hand on both sides: SQL*Plus, a hot backup, a standby from it.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{ensure, Context, Result};
use orasim::server::admin::Admin;
use rig::instance::Instance;
use rig::world::{World, PRIMARY, STANDBY};

/// Runs a script as SYSDBA; its output.
pub fn sqlplus(world: &World, sid: &str, script: &str) -> Result<String> {
    let home = world.layout().home();
    let mut child = Command::new(home.join("bin/sqlplus"))
        .args(["-S", "-L", "/", "as", "sysdba"])
        .env_clear()
        .envs(rig::tool::clean_environment())
        .env("ORACLE_HOME", &home)
        .env("ORACLE_SID", sid)
        .env("NLS_LANG", "AMERICAN_AMERICA.AL32UTF8")
        .current_dir(world.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("start sqlplus")?;
    let text = format!("set pages 0 feedback on lines 32767 tab off trimout on\n{script}exit\n");
    child.stdin.take().context("no pipe")?.write_all(text.as_bytes())?;
    let done = child.wait_with_output()?;
    Ok(String::from_utf8_lossy(&done.stdout).into_owned())
}

/// As [`sqlplus`], for statements that must not fail.
pub fn altered(world: &World, sid: &str, script: &str) -> Result<String> {
    let said = sqlplus(world, sid, script)?;
    ensure!(!said.contains("ORA-") && !said.contains("SP2-"), "{script}{said}");
    Ok(said)
}

/// A log switch that is waited for until it is archived.
pub fn switch(primary: &Instance) -> Result<()> {
    primary.sql("ALTER SYSTEM ARCHIVE LOG CURRENT").map(|_| ())
}

pub fn stop_faults(instance: &Instance) -> Result<()> {
    instance.admin(Admin::ClearFaults).map(|_| ())
}

#[derive(Debug, Clone)]
pub struct ArchivedRow {
    pub thread: u64,
    pub sequence: u64,
    pub resetlogs_id: u64,
    pub first_change: u64,
    pub next_change: u64,
    pub name: String,
    pub standby_dest: bool,
}

/// The rows of V$ARCHIVED_LOG.
#[derive(Debug)]
pub struct Logs {
    pub all: Vec<ArchivedRow>,
}

impl Logs {
    pub fn of(instance: &Instance) -> Result<Self> {
        let rows = instance.sql(
            "SELECT thread#, sequence#, resetlogs_id, TO_CHAR(first_change#), TO_CHAR(next_change#), standby_dest, \
             name FROM v$archived_log ORDER BY resetlogs_id, thread#, sequence#, dest_id",
        )?;
        let all = rows
            .lines()
            .filter(|l| !l.is_empty())
            .map(|line| {
                let mut parts = line.splitn(7, '|');
                let mut next = || parts.next().context("a row of V$ARCHIVED_LOG");
                Ok(ArchivedRow {
                    thread: next()?.trim().parse()?,
                    sequence: next()?.trim().parse()?,
                    resetlogs_id: next()?.trim().parse()?,
                    first_change: next()?.trim().parse()?,
                    next_change: next()?.trim().parse()?,
                    standby_dest: next()? == "YES",
                    name: next()?.to_owned(),
                })
            })
            .collect::<Result<_>>()?;
        Ok(Self { all })
    }

    /// One per log: the first local copy.
    pub fn local(&self) -> impl Iterator<Item = &ArchivedRow> {
        let mut seen = std::collections::BTreeSet::new();
        self.all
            .iter()
            .filter(|l| !l.standby_dest)
            .filter(move |l| seen.insert((l.resetlogs_id, l.thread, l.sequence)))
    }
}

fn datafiles(instance: &Instance) -> Result<Vec<PathBuf>> {
    let names = instance.sql("SELECT name FROM v$datafile ORDER BY file#")?;
    Ok(names.lines().map(PathBuf::from).collect())
}

/// A hot backup of everything, BEGIN, cp, END by hand, and a mounted standby made of it.
pub fn stand_by(world: &World) -> Result<()> {
    let mut renames = String::new();
    let layout = world.layout();
    altered(world, PRIMARY, "alter database begin backup;\n")?;
    let (from, to) = (layout.root.join("prod"), layout.standby_dir());
    for file in datafiles(&world.primary)? {
        let below = file.strip_prefix(&from).with_context(|| file.display().to_string())?;
        // The originals' map: /u05=/u15.
        let target = to.join(below.to_string_lossy().replacen("u0", "u1", 1));
        std::fs::create_dir_all(target.parent().context("a directory")?)?;
        copy(&file, &target)?;
        renames.push_str(&format!(
            "alter database rename file '{}' to '{}';\n",
            file.display(),
            target.display()
        ));
    }
    altered(world, PRIMARY, "alter database end backup;\n")?;
    let control = layout.standby_control();
    std::fs::create_dir_all(control.parent().context("a directory")?)?;
    altered(
        world,
        PRIMARY,
        &format!(
            "alter system archive log current;\nalter database create standby controlfile as '{}' reuse;\n",
            control.display()
        ),
    )?;
    altered(world, STANDBY, &format!("startup nomount\nalter database mount standby database;\n{renames}"))?;
    Ok(())
}

/// cp, block by block, so that the writer gets in between.
fn copy(from: &Path, to: &Path) -> Result<()> {
    use std::io::Read;
    let (mut source, mut target) = (std::fs::File::open(from)?, std::fs::File::create(to)?);
    let mut block = vec![0; 64 << 10];
    loop {
        let n = source.read(&mut block)?;
        if n == 0 {
            return Ok(());
        }
        target.write_all(&block[..n])?;
    }
}

/// RECOVER until the logs end; then the standby's files against the truth at the SCN that they reached. Returns it.
pub fn recover_and_compare(world: &World) -> Result<u64> {
    let said = sqlplus(
        world,
        STANDBY,
        &format!(
            "alter database recover automatic from '{}' standby database;\nalter database recover cancel;\n",
            world.layout().standby_archive().display()
        ),
    )?;
    ensure!(said.contains("ORA-00308"), "recovery did not come to the end of the logs: {said}");
    let rows = world.standby.sql("SELECT file#, name, status, enabled FROM v$datafile")?;
    let mut files: BTreeMap<u32, PathBuf> = BTreeMap::new();
    for row in rows.lines() {
        let parts: Vec<&str> = row.split('|').collect();
        let [file, name, status, _] = parts[..] else { anyhow::bail!("a row of V$DATAFILE: {row}") };
        if status != "OFFLINE" {
            files.insert(file.parse()?, name.into());
        }
    }
    let reached = world.standby.number("SELECT TO_CHAR(MAX(checkpoint_change#)) FROM v$datafile_header")?;
    let compared = orasim::truth::compare(&world.primary.dir, &files, reached)?;
    let bad: Vec<_> = compared
        .files
        .iter()
        .filter(|v| files.contains_key(&v.file) && (!v.differing.is_empty() || !v.problems.is_empty()))
        .collect();
    ensure!(bad.is_empty(), "at SCN {reached}: {:#?}", compared.explain());
    Ok(reached)
}
