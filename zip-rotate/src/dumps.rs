//! `--remove-dumps`: dumps of earlier days that are, byte for byte, in a proven archive.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use chrono::{Local, NaiveDate, TimeZone};
use common::durable;
use common::record::{Planned, Removed, Role};

use crate::apply::text;
use crate::job::stopped;
use crate::manifest::Member;
use crate::prove;
use crate::readback;
use crate::run::Session;

/// Removes them, or with a dry run says which; returns how many.
pub fn remove(session: &Session<'_>, archives: &[PathBuf]) -> anyhow::Result<u64> {
    let mut removed = 0;
    for archive in archives {
        let Ok((_, members)) = prove::list(archive) else { continue };
        for member in members {
            stopped()?;
            let path = PathBuf::from(&member.path);
            let Some(bytes) = is_disposable(&path, &member, session.today())? else { continue };
            let reason = format!("of an earlier day, and in the proven archive {}", archive.display());
            removed += 1;
            if session.cli.common.dry_run {
                session.frame.out.emit(&Planned {
                    action: "remove".to_owned(),
                    reason,
                    path: Some(text(&path)),
                    bytes: Some(bytes),
                    ..Planned::default()
                })?;
                continue;
            }
            durable::remove(&path)?;
            session.log.info(&format!("removed {}: {reason}", path.display()));
            session.frame.out.emit(&Removed {
                reason,
                path: Some(text(&path)),
                snapshot: None,
                bytes: Some(bytes),
                age: None,
            })?;
        }
    }
    Ok(removed)
}

/// The size of a dump that may go: it is the file that was packed, it has not changed since, and it is not of today.
fn is_disposable(path: &Path, member: &Member, today: NaiveDate) -> anyhow::Result<Option<u64>> {
    if !matches!(member.role, None | Some(Role::Dump | Role::ExportLog)) || !path.is_absolute() {
        return Ok(None);
    }
    let Ok(meta) = std::fs::symlink_metadata(path) else { return Ok(None) };
    let day = Local.timestamp_opt(meta.mtime(), 0).single().map(|t| t.date_naive());
    let same =
        meta.is_file() && meta.len() == member.bytes && (meta.mtime(), meta.mtime_nsec()) == member.mtime;
    if !same || day.is_none_or(|d| d >= today) {
        return Ok(None);
    }
    let (sha256, bytes) =
        readback::hash(path, &mut |_| stopped()).with_context(|| format!("read {}", path.display()))?;
    // Reading takes minutes: an export may have put the next dump under this name meanwhile.
    let unchanged = std::fs::symlink_metadata(path).is_ok_and(|now| {
        (now.dev(), now.ino(), now.len()) == (meta.dev(), meta.ino(), meta.len())
            && (now.mtime(), now.mtime_nsec()) == (meta.mtime(), meta.mtime_nsec())
    });
    Ok((sha256 == member.sha256 && unchanged).then_some(bytes))
}
