//! The manifest: every record of the run, kept while they pass by and stored last.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::Context;
use chrono::{DateTime, Utc};
use common::record::{File as FileRecord, Line, Mode, Out, Payload, Role};

use super::job::{self, Job, Session, Stored};
use super::source::Source;
use crate::store::Trouble;

/// Writes our records to standard output and keeps a copy of everything for the manifest.
pub struct Recorder {
    out: Out,
    json: bool,
    /// Unnamed, so that a killed run leaves nothing.
    kept: Option<Mutex<File>>,
    dir: PathBuf,
}

impl Recorder {
    /// Without `dir` nothing is kept.
    pub fn new(out: Out, json: bool, dir: Option<&Path>) -> anyhow::Result<Self> {
        let json = Mode::choose(json) == Mode::Json;
        let kept = match dir {
            Some(dir) => {
                let file = tempfile::tempfile_in(dir);
                Some(Mutex::new(file.with_context(|| format!("make a file in {}", dir.display()))?))
            }
            None => None,
        };
        Ok(Self { out, json, kept, dir: dir.map(Path::to_owned).unwrap_or_default() })
    }

    /// Writes one record of our own; it is a receipt.
    pub fn emit<P: Payload>(&self, payload: &P) -> anyhow::Result<()> {
        let mut line = self.out.line(payload)?;
        line.push(b'\n');
        if self.json {
            self.out.forward(&Line::new(line.clone(), 0))?;
        } else {
            self.out.emit(payload)?;
        }
        self.keep(&line)
    }

    /// Keeps a line that was passed on.
    pub fn keep(&self, line: &[u8]) -> anyhow::Result<()> {
        let Some(kept) = &self.kept else { return Ok(()) };
        let mut file = kept.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(line).context("keep a record for the manifest")?;
        if !line.ends_with(b"\n") {
            file.write_all(b"\n").context("keep a record for the manifest")?;
        }
        Ok(())
    }

    /// A copy of what was kept so far: records may be written while it is uploaded.
    fn source(&self) -> anyhow::Result<Option<Source>> {
        let Some(kept) = &self.kept else { return Ok(None) };
        let mut file = kept.lock().unwrap_or_else(PoisonError::into_inner);
        let mut copy = tempfile::tempfile_in(&self.dir).context("copy the kept records")?;
        file.seek(SeekFrom::Start(0)).context("read the kept records")?;
        std::io::copy(&mut *file, &mut copy).context("copy the kept records")?;
        Source::of(copy).map(Some)
    }
}

/// Key of a run's manifest. In UTC: it must be found by whoever restores, wherever that is.
pub fn key(prefix: &str, run: &str, now: DateTime<Utc>) -> String {
    format!("{prefix}manifests/{}/{run}.jsonl", now.format("%Y/%m/%d"))
}

/// Stores the manifest as it is now, and writes its record.
pub async fn store(session: &Session, now: DateTime<Utc>) -> Result<Option<Stored>, Trouble> {
    let local = |error: anyhow::Error| Trouble::local(&error);
    let Some(source) = session.recorder.source().map_err(local)? else { return Ok(None) };
    let key = key(&session.cli.place.prefix, &session.run, now);
    let job = Job { role: Some("manifest".to_owned()), ..Job::default() };
    let stored = job::upload(session, &source, None, &key, &job).await?;
    let path = format!("s3://{}/{key}", session.store.bucket());
    session.log.info(&format!("manifest stored as {path}"));
    let record = FileRecord {
        path,
        bytes: Some(stored.hashes.bytes),
        sha256: Some(stored.hashes.sha256.clone()),
        role: Some(Role::Manifest),
        ..FileRecord::default()
    };
    session.recorder.emit(&record).map_err(local)?;
    Ok(Some(stored))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_is_found_by_its_day() {
        let now = DateTime::parse_from_rfc3339("2026-11-20T23:30:00-03:00").unwrap().with_timezone(&Utc);
        assert_eq!(key("backups/", "PROD-r1", now), "backups/manifests/2026/11/21/PROD-r1.jsonl");
    }
}
