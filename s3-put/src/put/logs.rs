//! Logs: the run's go to the bucket; of the local ones, those that a person may still want stay.

use std::path::{Path, PathBuf};

use anyhow::Context;
use chrono::{DateTime, Local, NaiveDate};
use common::record::{Log, Removed};
use regex::Regex;

use super::job::{self, Job, Session};
use super::source::Source;
use crate::store::Kind;

/// Which logs of ours there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    Full,
    Incremental,
    /// Our own, one per run.
    Put,
}

/// A log file in the log directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub path: PathBuf,
    pub sort: Sort,
    pub modified: DateTime<Local>,
}

/// The sort of a log by its name; `None` for files that are none of ours.
pub fn sort_of(name: &str) -> Option<Sort> {
    let is = |form: &str| Regex::new(form).is_ok_and(|f| f.is_match(name));
    if is(r"^s3-put_\d{8}_\d{6}\.log$") {
        Some(Sort::Put)
    } else if is(r"(?i)(^|[_-])full([_-].*)?\.log$") {
        Some(Sort::Full)
    } else if is(r"(?i)(^|[_-])incremental([_-].*)?\.log$") {
        Some(Sort::Incremental)
    } else {
        None
    }
}

/// The logs that may go once they are in the bucket: all but the latest FULL, today's, and those of this run.
pub fn old<'a>(found: &'a [Found], current: &[PathBuf], today: NaiveDate) -> Vec<&'a Found> {
    let latest_full = found.iter().filter(|f| f.sort == Sort::Full).max_by_key(|f| f.modified);
    found
        .iter()
        .filter(|f| !current.contains(&f.path))
        .filter(|f| match f.sort {
            Sort::Full => Some(*f) != latest_full,
            // A log from the future is not old.
            Sort::Incremental | Sort::Put => f.modified.date_naive() < today,
        })
        .collect()
}

fn look(dir: &Path) -> anyhow::Result<Vec<Found>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).with_context(|| format!("list {}", dir.display()))? {
        let entry = entry.with_context(|| format!("list {}", dir.display()))?;
        let meta = entry.metadata().with_context(|| format!("look at {}", entry.path().display()))?;
        let sort = entry.file_name().to_str().and_then(sort_of);
        if let (Some(sort), true) = (sort, meta.is_file()) {
            let modified = meta.modified().context("read the time of a log")?.into();
            found.push(Found { path: entry.path(), sort, modified });
        }
    }
    Ok(found)
}

/// Uploads the run's own log as it is now, then thins out the local ones. Gives what went wrong.
///
/// # Errors
/// A record could not be written.
pub async fn finish(
    session: &Session,
    own: &Path,
    others: &[PathBuf],
    dir: &Path,
) -> anyhow::Result<Vec<(Kind, String)>> {
    let Some(prefix) = &session.cli.log_prefix else { return Ok(Vec::new()) };
    let mut problems = Vec::new();
    let upload = |path: PathBuf| async move {
        // A log that is still written to is stored as it is now.
        let bytes = std::fs::read(&path).with_context(|| format!("read {}", path.display()))?;
        let mut copy = tempfile::tempfile_in(&session.journals).context("copy a log")?;
        std::io::Write::write_all(&mut copy, &bytes).context("copy a log")?;
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let job = Job { role: Some("log".to_owned()), path: path.clone(), record: None };
        let source = Source::of(copy)?;
        anyhow::Ok(
            job::upload(session, &source, None, &format!("{prefix}{name}"), &job).await.map(|s| (path, s)),
        )
    };
    match upload(own.to_owned()).await? {
        Ok((path, stored)) => {
            let path = path.to_string_lossy().into_owned();
            session.recorder.emit(&job::object(session.store.bucket(), &path, &stored, 0.0))?;
        }
        Err(trouble) => problems.push((trouble.kind, format!("{}: {}", own.display(), trouble.reason()))),
    }
    let current: Vec<PathBuf> = others.iter().cloned().chain([own.to_owned()]).collect();
    for found in old(&look(dir)?, &current, Local::now().date_naive()) {
        let identity = match Source::open(&found.path) {
            Ok(source) => source.identity,
            // Another run was faster.
            Err(_) => continue,
        };
        let (path, stored) = match upload(found.path.clone()).await? {
            Ok(done) => done,
            Err(trouble) => {
                // It stays; that is no failure of the backup.
                let message = format!("{} stays here: {}", found.path.display(), trouble.reason());
                session.recorder.emit(&Log::warning(message))?;
                continue;
            }
        };
        if let Err(error) = super::release::delete_one(&path, &identity) {
            session.recorder.emit(&Log::warning(format!("{error:#}")))?;
            continue;
        }
        session.recorder.emit(&Removed {
            reason: format!("an old log, stored as s3://{}/{}", session.store.bucket(), stored.key),
            path: Some(path.to_string_lossy().into_owned()),
            bytes: Some(stored.hashes.bytes),
            age: Some((Local::now() - found.modified).num_seconds() as f64),
            ..Removed::default()
        })?;
    }
    Ok(problems)
}

#[cfg(test)]
mod tests {
    use chrono::TimeZone;
    use proptest::prelude::*;

    use super::*;

    fn found(name: &str, day: u32, hour: u32) -> Found {
        let modified = Local.with_ymd_and_hms(2026, 11, day, hour, 0, 0).unwrap();
        Found { path: PathBuf::from(name), sort: sort_of(name).unwrap(), modified }
    }

    #[test]
    fn names_of_logs() {
        assert_eq!(sort_of("rman_FULL_20261120.log"), Some(Sort::Full));
        assert_eq!(sort_of("backup_full.log"), Some(Sort::Full));
        assert_eq!(sort_of("backup-INCREMENTAL-x.log"), Some(Sort::Incremental));
        assert_eq!(sort_of("s3-put_20261120_200000.log"), Some(Sort::Put));
        for other in ["s3-put.log", "alert_FULLTEST.log", "faithfull.log", "FULL.txt", "arch-ship.log"] {
            assert_eq!(sort_of(other), None, "{other}");
        }
    }

    #[test]
    fn the_latest_full_todays_and_the_current_ones_stay() {
        let logs = [
            found("a_FULL_1.log", 8, 20),
            found("a_FULL_2.log", 15, 20),
            found("a_INCREMENTAL_1.log", 19, 20),
            found("a_INCREMENTAL_2.log", 20, 1),
            found("s3-put_20261119_200000.log", 19, 20),
            found("s3-put_20261120_010000.log", 20, 1),
        ];
        let today = NaiveDate::from_ymd_opt(2026, 11, 20).unwrap();
        let names = |current: &[PathBuf]| -> Vec<_> {
            old(&logs, current, today).iter().map(|f| f.path.display().to_string()).collect()
        };
        assert_eq!(names(&[]), ["a_FULL_1.log", "a_INCREMENTAL_1.log", "s3-put_20261119_200000.log"]);
        assert_eq!(names(&[logs[2].path.clone()]), ["a_FULL_1.log", "s3-put_20261119_200000.log"]);
    }

    proptest! {
        #[test]
        fn a_full_log_always_stays(days in prop::collection::vec(1u32..28, 1..9), today in 1u32..28) {
            let logs: Vec<_> =
                days.iter().enumerate().map(|(i, d)| found(&format!("x{i}_FULL.log"), *d, i as u32)).collect();
            let today = NaiveDate::from_ymd_opt(2026, 11, today).unwrap();
            prop_assert_eq!(old(&logs, &[], today).len(), logs.len() - 1);
        }
    }
}
