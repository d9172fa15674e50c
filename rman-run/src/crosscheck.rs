//! `crosscheck`: RMAN's repository against the disk. Looks by itself first, because an unmounted disk would empty the repository;
//! never deletes.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};

use common::app::{Frame, Report};
use common::exit::{Exit, Failure};
use common::lock::Lock;
use common::record::{Log, Planned};

use crate::check;
use crate::cli::Cli;
use crate::facts::{self, ArchivedLog};
use crate::protection::{self, Piece};
use crate::target::Target;
use crate::validate::beating;
use crate::verdict::Outcome;

/// # Errors
/// Status 4 when so much is missing that a disk is away rather than files.
pub fn run(cli: &Cli, frame: &Frame) -> anyhow::Result<Report> {
    let target = Target::new(cli, frame, cli.common.dry_run)?;
    let facts = facts::gather(&target.sqlplus)?;
    let repository = protection::gather(&target.sqlplus, &facts, &HashSet::new())?;
    guard(&repository.pieces, &facts.logs, cli.backup.max_expired, &|dir| {
        std::fs::read_dir(dir).is_ok_and(|mut d| d.next().is_some())
    })?;
    let script = "CROSSCHECK BACKUP;\nCROSSCHECK COPY;\nCROSSCHECK ARCHIVELOG ALL;\nEXIT;\n";
    let mut report = Report::new(Exit::Success);
    if cli.common.dry_run {
        frame.out.emit(&Planned {
            action: "crosscheck".to_owned(),
            reason: "marks what is gone as EXPIRED and deletes nothing".to_owned(),
            script: Some(script.to_owned()),
            ..Planned::default()
        })?;
        return Ok(report);
    }
    let lock =
        Lock::take(&target.state_dir, &target.lock_name(), frame.tool, &frame.run, cli.common.lock_timeout)?;
    let stamp = chrono::Local::now().format("%Y%m%d_%H%M%S");
    let log = target.log_dir.join(format!("rman_crosscheck_{stamp}.log"));
    let called = beating(&lock, || target.rman.run(script, &log))?;
    for finding in &called.verdict.findings {
        target.say(check::record(&log.display().to_string(), finding))?;
    }
    let mut exit = match called.verdict.outcome {
        Outcome::Failure => Exit::Failed,
        Outcome::Warning => Exit::Partial,
        Outcome::Success => Exit::Success,
    };
    if !called.done.success() {
        exit = exit.worse(Exit::Failed);
    }
    let facts = facts::gather(&target.sqlplus)?;
    let after = protection::gather(&target.sqlplus, &facts, &HashSet::new())?;
    for piece in after.pieces.iter().filter(|p| p.status == "X") {
        report.count("expired_pieces", 1);
        target.say(Log::warning(format!("piece {} is EXPIRED: it is not on disk", piece.handle)))?;
        exit = exit.worse(Exit::Partial);
    }
    let found = protection::assess(&facts, &after);
    for gap in &found.gaps {
        report.count("gaps", 1);
        frame.out.emit(gap)?;
        exit = exit.worse(Exit::Finding);
    }
    for problem in &found.problems {
        target.say(Log::error(problem))?;
        exit = exit.worse(Exit::Finding);
    }
    report.count("pieces", after.pieces.len() as u64);
    report.exit = Some(exit);
    Ok(report)
}

/// Pure but for `filled`, which says whether a directory is there and has something in it.
fn guard(
    pieces: &[Piece],
    logs: &[ArchivedLog],
    percent: u8,
    filled: &dyn Fn(&Path) -> bool,
) -> Result<(), Failure> {
    if percent >= 100 {
        return Ok(());
    }
    let lost_pieces: Vec<&str> =
        pieces.iter().filter(|p| !p.there && p.status == "A").map(|p| p.handle.as_str()).collect();
    let known: Vec<&ArchivedLog> = logs.iter().filter(|l| !l.names.is_empty()).collect();
    let lost_logs: Vec<&str> =
        known.iter().filter(|l| !l.on_disk).flat_map(|l| l.names.iter().map(String::as_str)).collect();
    let mut places: BTreeMap<PathBuf, u64> = BTreeMap::new();
    for path in lost_pieces.iter().chain(&lost_logs) {
        // Pieces lie in a directory of their run, logs in one of their day: the place is the directory above.
        let above: BTreeSet<PathBuf> =
            Path::new(path).ancestors().skip(1).take(2).map(Path::to_owned).collect();
        if let Some(place) = above.iter().next().filter(|p| p.is_absolute() && !filled(p)) {
            *places.entry(place.clone()).or_default() += 1;
        }
    }
    if let Some((place, n)) = places.iter().next() {
        return Err(Failure::new(
            Exit::Refused,
            format!("{} is not there or empty, and {n} files of RMAN's repository should be below it", place.display()),
        )
        .hint("mount it; a crosscheck now would call all of them EXPIRED. --max-expired 100 does it all the same"));
    }
    let check = |what: &str, lost: usize, all: usize| -> Result<(), Failure> {
        if all > 0 && lost * 100 > all * usize::from(percent) {
            return Err(Failure::new(
                Exit::Refused,
                format!("{lost} of {all} {what} are not on disk, more than {percent} %"),
            )
            .hint("find out where they are first; --max-expired N allows more"));
        }
        Ok(())
    };
    check("backup pieces", lost_pieces.len(), pieces.iter().filter(|p| p.status == "A").count())?;
    check("archived logs", known.iter().filter(|l| !l.on_disk).count(), known.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(handle: &str, there: bool) -> Piece {
        Piece { handle: handle.to_owned(), there, status: "A".to_owned(), ..Piece::default() }
    }

    #[test]
    fn a_disk_that_is_away_refuses_and_one_lost_piece_of_many_does_not() {
        let mut pieces: Vec<Piece> = (0..20).map(|n| piece(&format!("/b/1_run/{n}"), true)).collect();
        let full = |_: &Path| true;
        assert!(guard(&pieces, &[], 10, &full).is_ok());
        pieces[0].there = false;
        assert!(guard(&pieces, &[], 10, &full).is_ok());
        let refused = guard(&pieces, &[], 4, &full).unwrap_err();
        assert_eq!(
            (refused.exit, refused.message.as_str()),
            (Exit::Refused, "1 of 20 backup pieces are not on disk, more than 4 %")
        );
        let away = guard(&pieces, &[], 10, &|p| p != Path::new("/b")).unwrap_err();
        assert!(away.message.contains("/b is not there or empty"), "{}", away.message);
        assert!(guard(&pieces, &[], 100, &|_| false).is_ok());
    }

    #[test]
    fn lost_logs_count_too() {
        let log =
            |on_disk| ArchivedLog { names: vec!["/a/1.arc".to_owned()], on_disk, ..ArchivedLog::default() };
        let logs = [log(true), log(false)];
        assert!(guard(&[], &logs, 10, &|_| true).unwrap_err().message.contains("1 of 2 archived logs"));
        assert!(guard(&[], &logs, 50, &|_| true).is_ok());
    }
}
