//! Closes a cycle: what is made once all tablespaces are there, and what is said about it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context;
use common::exit::{Exit, Failure};
use common::record::{File, Log, RecoveryWindow, Role};

use crate::cycle::{Copied, Cycle};
use crate::depot::Depot;
use crate::facts::{Facts, Key};
use crate::finish;
use crate::preflight::dir_of;
use crate::redo::{archive, window, Archived};
use crate::scripts::{facts_name, unfinished, Recovery};
use crate::setup::Setup;

/// What was made at the end of a round; it counts only if nothing was missing in it.
pub struct Made {
    begin_scn: u64,
    end_scn: u64,
    logs: Vec<Archived>,
    controlfile: File,
    pfile: Result<File, String>,
    dir: String,
}

/// Where control file and scripts go.
fn standby_dir(setup: &Setup, facts: &Facts) -> anyhow::Result<String> {
    let named = setup.cli.standby_dir.as_ref().or(setup.cli.dest_base.as_ref());
    if let Some(dir) = named {
        let dir = dir.to_string_lossy();
        return Ok(dir.trim_end_matches('/').to_owned());
    }
    let first =
        facts.files().map(|(_, f)| f).min_by_key(|f| f.file).context("the database has no datafile")?;
    let dest = setup.policy.map.dest(&first.path).ok_or_else(|| {
        Failure::new(Exit::Usage, format!("no place at the standby for {}", first.path))
            .hint("name a directory for the control file and the scripts with --standby-dir")
    })?;
    Ok(dir_of(&dest).to_string_lossy().into_owned())
}

/// From now on the files there are a mixture of cycles.
pub fn invalidate(setup: &Setup, depot: &Depot, facts: &Facts) -> anyhow::Result<()> {
    let dir = standby_dir(setup, facts)?;
    let failure = |e: common::remote::TransferError| e.failure();
    depot.conn().make_dirs(&[PathBuf::from(&dir)]).map_err(failure)?;
    finish::put(depot, &facts_name(&dir, &setup.sid), unfinished(&setup.frame.run).as_bytes())
}

/// Archives the last redo and makes the standby control file.
pub fn make(
    setup: &Setup,
    depot: &Depot,
    facts: &Facts,
    marks: &BTreeMap<Key, Copied>,
) -> anyhow::Result<Made> {
    let db = &facts.database;
    let end_scn = match marks.values().map(|m| m.end_scn).max() {
        Some(scn) if scn > 0 => scn,
        // Only read-only tablespaces.
        _ => db.current_scn,
    };
    let changing = marks.values().flat_map(|m| &m.files).filter(|f| !f.read_only);
    let begin_scn = changing.map(|f| f.checkpoint_scn).min().unwrap_or(end_scn);
    setup.log.info(&format!("archive the redo up to SCN {end_scn}"));
    let logs = archive(&setup.sqlplus, db.resetlogs_change, end_scn, setup.cli.archive_timeout)?;

    let dir = standby_dir(setup, facts)?;
    let failure = |e: common::remote::TransferError| e.failure();
    depot.conn().make_dirs(&[PathBuf::from(&dir)]).map_err(failure)?;
    let sqlplus = setup.sqlplus.clone().limit(finish::STATEMENT.max(setup.cli.sql_timeout));
    let path = format!("{dir}/standby_{}.ctl", setup.sid);
    let shipped = finish::standby_controlfile(&sqlplus, depot, &setup.state_dir, &path)?;
    setup.log.info(&format!("shipped the standby control file to {path}"));
    let controlfile = file_record(setup, facts, path, Role::Controlfile, shipped);
    let path = format!("{dir}/init_{}.ora", setup.sid);
    let pfile = finish::pfile(&sqlplus, depot, &setup.state_dir, &path)?
        .map(|shipped| file_record(setup, facts, path, Role::Spfile, shipped));
    Ok(Made { begin_scn, end_scn, logs, controlfile, pfile, dir })
}

fn file_record(setup: &Setup, facts: &Facts, path: String, role: Role, shipped: (String, u64)) -> File {
    let (sha256, bytes) = shipped;
    File {
        path,
        bytes: Some(bytes),
        sha256: Some(sha256),
        role: Some(role),
        db: Some(facts.database.name.clone()),
        dbid: Some(facts.database.dbid),
        host: setup.target.host.clone(),
        ..File::default()
    }
}

/// Writes the scripts and says what the copies need. `false`: redo that they need is gone.
pub fn close(
    setup: &Setup,
    depot: &Depot,
    facts: &Facts,
    marks: &BTreeMap<Key, Copied>,
    cycle: &Cycle,
    made: Made,
    forget: Vec<Key>,
) -> anyhow::Result<bool> {
    let out = &setup.frame.out;
    let found = window(&made.logs, made.begin_scn, made.end_scn);
    let current: BTreeMap<u64, &str> = facts.files().map(|(_, f)| (f.file, f.path.as_str())).collect();
    let copies = marks.values().flat_map(|m| &m.files);
    // A file that was dropped meanwhile is not in the control file: nothing to rename.
    let renames = copies
        .filter(|f| current.get(&f.file) == Some(&f.path.as_str()))
        .map(|f| (f.path.clone(), f.dest.clone()))
        .collect();
    let recovery = Recovery {
        run: setup.frame.run.clone(),
        cycle: cycle.id.clone(),
        db_name: facts.database.name.clone(),
        dbid: facts.database.dbid,
        sid: setup.sid.clone(),
        resetlogs_id: facts.database.resetlogs_id,
        begin_scn: made.begin_scn,
        end_scn: made.end_scn,
        threads: found.threads.iter().map(|t| (t.thread, t.first_sequence, t.last_sequence)).collect(),
        archlog_dir: setup.cli.archlog_dir.as_deref().map(Path::to_string_lossy).map(Into::into),
        renames,
        forget,
        dir: made.dir,
        controlfile: made.controlfile.path.clone(),
        controlfile_sha256: made.controlfile.sha256.clone().unwrap_or_default(),
        pfile: made.pfile.as_ref().ok().map(|f| f.path.clone()),
    };
    let written = finish::scripts(depot, &recovery)?;
    out.emit(&made.controlfile)?;
    match made.pfile {
        Ok(record) => out.emit(&record)?,
        Err(why) => setup.say(Log::warning(format!("no parameter file for the standby: {why}")))?,
    }
    for record in &written {
        out.emit(record)?;
    }
    unlogged(setup, facts, marks, made.begin_scn)?;
    for gone in &found.deleted {
        let text = format!("{gone} is needed and no longer on this host: make sure that it was shipped");
        setup.say(Log::warning(text))?;
    }
    for missing in &found.missing {
        setup.say(Log::error(format!("the copies cannot be recovered: {missing}")))?;
    }
    out.emit(&RecoveryWindow {
        begin_scn: made.begin_scn,
        end_scn: made.end_scn,
        resetlogs_id: facts.database.resetlogs_id,
        threads: found.threads,
    })?;
    Ok(found.missing.is_empty())
}

/// Changes without redo since the copy began are not in it and not in the redo.
fn unlogged(setup: &Setup, facts: &Facts, marks: &BTreeMap<Key, Copied>, begin: u64) -> anyhow::Result<()> {
    let copied: BTreeMap<u64, u64> =
        marks.values().flat_map(|m| &m.files).map(|f| (f.file, f.checkpoint_scn)).collect();
    let lost: Vec<String> = facts
        .files()
        .filter(|(_, f)| f.unrecoverable_change > copied.get(&f.file).copied().unwrap_or(begin))
        .map(|(_, f)| format!("{} {} at SCN {}", f.file, f.path, f.unrecoverable_change))
        .collect();
    if lost.is_empty() {
        return Ok(());
    }
    let text = format!(
        "changed without redo (NOLOGGING) after the copy began: datafile {}; at the standby these blocks are lost \
         (ORA-26040)",
        lost.join(", ")
    );
    setup.say(Log { code: Some("ORA-26040".to_owned()), ..Log::warning(text) })
}
