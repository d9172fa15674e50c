//! `--cleanup`: unfinished uploads below our prefix that nobody will continue any more.

use std::collections::HashMap;
use std::path::PathBuf;

use anyhow::Context;
use chrono::{DateTime, Utc};
use common::app::Report;
use common::exit::Exit;
use common::record::{Kept, Log, Planned, Removed};

use super::job::Session;
use super::journal::{self, Journal};
use super::multipart::{abort, uploads_of, Unfinished};
use crate::store::{Kind, Trouble};

/// What becomes of an unfinished upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Abort,
    /// Younger than the limit, or of unknown age.
    Young,
    /// A process of this host uploads it now.
    Busy,
}

/// Pure: by age, and by whether somebody is at it.
pub fn fate(upload: &Unfinished, busy: bool, now: DateTime<Utc>, older_than: chrono::Duration) -> Fate {
    match upload.begun {
        Some(begun) if now - begun >= older_than && busy => Fate::Busy,
        Some(begun) if now - begun >= older_than => Fate::Abort,
        _ => Fate::Young,
    }
}

/// Aborts what is old, and forgets journals whose upload is gone.
pub async fn run(session: &Session, dry_run: bool) -> anyhow::Result<Report> {
    let prefix = &session.cli.place.prefix;
    let uploads = uploads_of(session, prefix).await.map_err(|t| t.failure())?;
    let now = Utc::now();
    let older_than =
        chrono::Duration::from_std(session.cli.older_than).context("--older-than is too long")?;
    let mut report = Report::new(Exit::Success);
    let mut gone: HashMap<String, ()> = HashMap::new();
    for upload in &uploads {
        let path = journal::path(&session.journals, &session.store.identity(), &upload.key);
        let held = match path.exists() {
            true => Journal::take(&path)?,
            false => None,
        };
        let busy = path.exists() && held.is_none();
        let age = upload.begun.map(|begun| (now - begun).num_seconds());
        let place = format!("s3://{}/{}", session.store.bucket(), upload.key);
        let age_text = age.map_or("of unknown age".to_owned(), |s| format!("{s} s old"));
        match fate(upload, busy, now, older_than) {
            Fate::Abort if dry_run => {
                report.count("planned", 1);
                session.recorder.emit(&Planned {
                    action: "abort".to_owned(),
                    reason: format!("an unfinished upload, {age_text}"),
                    path: Some(place),
                    ..Planned::default()
                })?;
            }
            Fate::Abort => match abort(session, &upload.key, &upload.id).await {
                Ok(()) => {
                    report.count("aborted", 1);
                    gone.insert(upload.id.clone(), ());
                    let ours =
                        held.as_ref().and_then(Journal::header).is_some_and(|h| h.upload_id == upload.id);
                    if let (Some(journal), true) = (held, ours) {
                        journal.remove()?;
                    }
                    session.recorder.emit(&Removed {
                        reason: format!("an unfinished upload, {age_text}"),
                        path: Some(place),
                        age: age.map(|s| s as f64),
                        ..Removed::default()
                    })?;
                }
                Err(trouble) => failed(session, &mut report, &trouble)?,
            },
            kept => {
                report.count("kept", 1);
                let why =
                    if kept == Fate::Busy { "it is being uploaded now" } else { "younger than --older-than" };
                session.recorder.emit(&Kept {
                    reason: why.to_owned(),
                    path: Some(place),
                    age: age.map(|s| s as f64),
                    ..Kept::default()
                })?;
            }
        }
    }
    if !dry_run {
        forget(session, &uploads, &mut report)?;
    }
    Ok(report)
}

fn failed(session: &Session, report: &mut Report, trouble: &Trouble) -> anyhow::Result<()> {
    report.count("failed", 1);
    report.exit = Some(match trouble.kind {
        Kind::Stopped => Exit::Success,
        _ => Exit::Partial,
    });
    session.recorder.emit(&Log::error(trouble.reason()))
}

/// Removes the journals of this bucket and prefix whose upload is not in the listing any more.
fn forget(session: &Session, uploads: &[Unfinished], report: &mut Report) -> anyhow::Result<()> {
    let dir = &session.journals;
    let mut paths: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(dir).with_context(|| format!("list {}", dir.display()))? {
        let path = entry.with_context(|| format!("list {}", dir.display()))?.path();
        if path.extension().is_some_and(|e| e == "journal") {
            paths.push(path);
        }
    }
    for path in paths {
        let Some(journal) = Journal::take(&path)? else { continue };
        let stale = match journal.header() {
            Some(header) => {
                header.store == session.store.identity()
                    && header.key.starts_with(&session.cli.place.prefix)
                    && !uploads.iter().any(|u| u.id == header.upload_id)
            }
            None => true,
        };
        if stale {
            journal.remove()?;
            report.count("forgotten", 1);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_old_uploads_that_nobody_is_at_are_aborted() {
        let now = DateTime::parse_from_rfc3339("2026-11-20T12:00:00Z").unwrap().with_timezone(&Utc);
        let limit = chrono::Duration::days(7);
        let upload = |hours: Option<i64>| Unfinished {
            key: "backups/x".to_owned(),
            id: "u".to_owned(),
            begun: hours.map(|h| now - chrono::Duration::hours(h)),
            ours: true,
        };
        assert_eq!(fate(&upload(Some(24 * 7)), false, now, limit), Fate::Abort);
        assert_eq!(fate(&upload(Some(24 * 7)), true, now, limit), Fate::Busy);
        assert_eq!(fate(&upload(Some(24 * 7 - 1)), false, now, limit), Fate::Young);
        assert_eq!(fate(&upload(Some(-5)), false, now, limit), Fate::Young);
        assert_eq!(fate(&upload(None), false, now, limit), Fate::Young);
    }
}
