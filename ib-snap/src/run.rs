//! The frame of a whole run: the lock, the keeper, what earlier runs have left, and the looks that change nothing.

use anyhow::Context;
use common::app::{host, Args, Frame, Report};
use common::exit::{status_of, Exit};
use common::guardian::{judge, read_all, Journal, Keeper};
use common::infinibox::Array;
use common::lock::Lock;
use common::record::Planned;

use crate::cli::Cli;
use crate::facts::{foreign, Facts};
use crate::pending::{self, Pending};
use crate::plan::{Half, How};
use crate::setup::Setup;
use crate::snap::Snap;

/// Nobody shall read over this.
pub const MAYBE: &str = "THE DATABASE MAY STILL BE IN BACKUP MODE";

pub fn run(cli: &Cli, frame: &Frame) -> anyhow::Result<Report> {
    let setup = Setup::new(cli, frame, cli.common.dry_run)?;
    if cli.common.dry_run {
        return dry_run(&setup);
    }
    let name = format!("ib_snap.{}", setup.sid);
    let lock = Lock::take(&setup.state_dir, &name, Cli::TOOL, &frame.run, cli.common.lock_timeout)?;
    let keeper = Keeper::start(setup.keeper())?;
    let result = with_keeper(&setup, &keeper, &lock);
    // Whatever happened: the run is not over while something of ours is in backup mode.
    match (keeper.finish(), result) {
        (Ok(()), result) => result,
        (Err(open), Ok(_)) => Err(open.context(MAYBE)),
        (Err(open), Err(error)) => Err(error.context(format!("{MAYBE}: {open:#}"))),
    }
}

fn with_keeper(setup: &Setup, keeper: &Keeper, lock: &Lock) -> anyhow::Result<Report> {
    if let Some(warning) = keeper.warning() {
        setup.warn(warning)?;
    }
    let mut ended = 0;
    if !keeper.left_behind().is_empty() {
        let names =
            keeper.reconcile().context("end backup mode that an earlier run has left on").context(MAYBE)?;
        for what in &names {
            setup.warn(format!("ended backup mode that was left on: {what}"))?;
        }
        ended = names.len() as u64;
    }
    if setup.cli.end_backup {
        return end_backup(setup, keeper, ended);
    }
    Snap::prepare(setup)?.all(keeper, lock)
}

/// `--end-backup`: ours is ended by now; what is left is somebody else's. Then the snapshots of earlier runs.
fn end_backup(setup: &Setup, keeper: &Keeper, ended: u64) -> anyhow::Result<Report> {
    let mut report = Report::new(Exit::Success);
    report.count("ended", ended);
    // Backup mode does not wait for somebody who mends the settings of the array.
    let wrong = wrong_settings(setup);
    match &setup.array {
        Some(array) => match old_snapshots(setup, array) {
            Ok(open) => report.count("unsettled", open),
            Err(error) => setup.warn(format!("snapshots of earlier runs: {error:#}"))?,
        },
        None => setup.log.info("without an array: snapshots of earlier runs are left as they are"),
    }
    match read_all(&setup.sqlplus) {
        Ok((_, active)) if !active.is_empty() => Err(foreign(&active).into()),
        Ok(_) => wrong.map_or(Ok(report), Err),
        // Nothing of ours was open: that holds without the database too.
        Err(error) if status_of(&error) == Exit::TryAgain && keeper.warning().is_none() => {
            setup
                .log
                .info(&format!("nothing of ours is in backup mode; the database does not answer: {error:#}"));
            wrong.map_or(Ok(report), Err)
        }
        Err(error) => Err(error),
    }
}

/// What is wrong with an array that is named and cannot be asked.
fn wrong_settings(setup: &Setup) -> Option<anyhow::Error> {
    let array = &setup.cli.array;
    let error = array.open(Cli::TOOL).err().filter(|_| setup.array.is_none() && array.is_named())?;
    Some(error.context("no backup mode of ours is on, and snapshots of earlier runs were not looked after"))
}

/// Settles what earlier runs have left at the array; returns how many snapshots are still open.
pub fn old_snapshots(setup: &Setup, array: &Array) -> anyhow::Result<u64> {
    let (mut pending, warning) = Pending::load(&setup.state_dir, &setup.sid)?;
    if let Some(warning) = warning {
        setup.warn(warning)?;
    }
    if pending.runs.is_empty() {
        return Ok(0);
    }
    let now = chrono::Utc::now().timestamp_millis();
    for text in pending::reconcile(array, &mut pending, now) {
        setup.warn(text)?;
    }
    pending.store(&setup.state_dir, &setup.sid)?;
    Ok(pending.runs.iter().map(|e| e.snapshots.len() as u64).sum())
}

/// A run would end backup mode of ours first: for a dry run it counts as ended. Returns those files.
pub fn forget_ours(setup: &Setup, facts: &mut Facts) -> anyhow::Result<Vec<(u64, String)>> {
    let (identity, active) = read_all(&setup.sqlplus)?;
    let journal = Journal::peek(&setup.state_dir, &setup.sid);
    let verdict = judge(&journal, &identity, &active, &host());
    for file in &mut facts.files {
        file.in_backup &= verdict.foreign.iter().any(|f| f.file == file.file);
    }
    Ok(active.into_iter().filter(|s| !verdict.foreign.contains(s)).map(|s| (s.file, s.path)).collect())
}

/// `--dry-run`: what a run would do, as `planned` records. Everything that can be refused is refused here too.
fn dry_run(setup: &Setup) -> anyhow::Result<Report> {
    let mut report = Report::new(Exit::Success);
    let mut planned = |record: Planned| {
        report.count("planned", 1);
        setup.frame.out.emit(&record)
    };
    let deed =
        |action: &str, reason: String| Planned { action: action.to_owned(), reason, ..Planned::default() };
    if setup.cli.end_backup {
        for (file, path) in forget_ours(setup, &mut Facts::default())? {
            let reason = format!("datafile {file} was left in backup mode by a run of ours");
            planned(Planned { path: Some(path), ..deed("end_backup", reason) })?;
        }
        return wrong_settings(setup).map_or(Ok(report), Err);
    }
    let snap = Snap::prepare(setup)?;
    for (file, path) in &snap.left_open {
        let reason = format!("datafile {file} was left in backup mode by a run of ours");
        planned(Planned { path: Some(path.clone()), ..deed("end_backup", reason) })?;
    }
    let files = snap.facts.changing().len();
    planned(deed("begin_backup", format!("{files} datafiles may change while the snapshots are taken")))?;
    for record in snapshots(&snap.plan.data) {
        planned(record)?;
    }
    planned(deed("end_backup", "the data snapshots are taken, or --max-backup-mode is over".to_owned()))?;
    planned(deed("archive_log", "recovery needs the redo up to END BACKUP, of all threads".to_owned()))?;
    if let Some(dir) = &setup.cli.controlfile_to {
        let reason = "so that the archive snapshot has one that fits".to_owned();
        planned(Planned {
            dest: Some(dir.to_string_lossy().into_owned()),
            ..deed("backup_controlfile", reason)
        })?;
    }
    if let Some(half) = &snap.plan.archive {
        for record in snapshots(half) {
            planned(record)?;
        }
    }
    planned(deed("mark", "the set is complete, with the redo that it needs".to_owned()))?;
    for warning in &snap.warnings {
        setup.warn(warning.clone())?;
    }
    Ok(report)
}

fn snapshots(half: &Half) -> impl Iterator<Item = Planned> + '_ {
    half.members.iter().map(|member| {
        let way = match &half.how {
            How::Single => "alone".to_owned(),
            How::Group => "at one instant with the others".to_owned(),
            How::Separate => "at the same time as the others, not at one instant".to_owned(),
            How::Cg { cg, .. } => format!("at one instant with consistency group {cg}"),
        };
        Planned {
            action: "snapshot".to_owned(),
            reason: format!("of volume {} (id {}), {way}", member.volume, member.volume_id),
            snapshot: Some(member.name.clone()),
            ..Planned::default()
        }
    })
}
