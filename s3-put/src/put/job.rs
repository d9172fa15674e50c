//! One file: is it there already, else upload it, prove it, write its record.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

use anyhow::Context;
use aws_sdk_s3::types::{ObjectLockMode, ServerSideEncryption, StorageClass};
use chrono::{DateTime, Utc};
use common::logfile::LogFile;
use common::record::{Checksum, File as FileRecord, Object, ObjectStatus};
use tokio::sync::Semaphore;

use super::cli::{Cli, LockMode};
use super::exists::Known;
use super::key::{self, Template};
use super::manifest::Recorder;
use super::plan::{compare, Match};
use super::reader::Budget;
use super::source::{Changed, Identity, Source};
use super::{multipart, parts::Layout, single};
use crate::store::digest::{self, Hashes};
use crate::store::{Kind, Seen, Store, Trouble};

/// What all uploads of a run share.
pub struct Session {
    pub cli: Cli,
    pub store: Store,
    pub recorder: Arc<Recorder>,
    pub log: LogFile,
    pub run: String,
    pub template: Template,
    pub lock_until: Option<DateTime<Utc>>,
    /// Where the journals are.
    pub journals: PathBuf,
    pub budget: Arc<Budget>,
    /// Parts and small files on the wire at once.
    pub wires: Semaphore,
    /// Files of several parts at once: two, so that one is read while the other is completed.
    pub large: Semaphore,
    pub known: Known,
    /// Which file of this run has which key.
    pub keys: Mutex<HashMap<String, PathBuf>>,
    /// Why the rest of the run has no chance.
    pub hopeless: OnceLock<Trouble>,
}

/// A file that is to be stored.
#[derive(Debug, Clone, Default)]
pub struct Job {
    pub path: PathBuf,
    /// Role as the record had it.
    pub role: Option<String>,
    /// What else the record says.
    pub record: Option<FileRecord>,
}

/// A file that is in the bucket, proven.
#[derive(Debug, Clone)]
pub struct Stored {
    pub key: String,
    pub status: ObjectStatus,
    pub etag: String,
    pub version_id: Option<String>,
    pub hashes: Hashes,
    /// What the server itself keeps.
    pub checksum: Option<u64>,
    pub parts: u64,
    /// Parts that this run sent, where an earlier one had sent others.
    pub resent: Option<u64>,
}

/// What became of a file.
#[derive(Debug, Clone)]
pub struct Outcome {
    pub path: PathBuf,
    pub role: Option<String>,
    /// As it was when it was stored; a source that is another one by now is not deleted.
    pub identity: Option<Identity>,
    pub result: Result<Stored, Trouble>,
}

impl Session {
    /// Remembers that nothing more will succeed.
    pub fn give_up_if_hopeless(&self, trouble: &Trouble) {
        if trouble.kind.ends_the_run() {
            let _first = self.hopeless.set(trouble.clone());
        }
    }

    /// The key of a file, which no other file of the run has.
    pub fn key(&self, job: &Job, identity: &Identity) -> anyhow::Result<String> {
        let name = job.path.file_name().context("the path has no file name")?;
        let name = name.to_str().context("the file name is not UTF-8; a key must be")?;
        let key = match (&self.cli.log_prefix, job.role.as_deref()) {
            (Some(prefix), Some("log")) => format!("{prefix}{name}"),
            _ => {
                let record = job.record.as_ref();
                let sid = std::env::var("ORACLE_SID").ok();
                let host = common::app::host();
                self.template.fill(&key::Facts {
                    prefix: &self.cli.place.prefix,
                    modified: identity.local_time(),
                    name,
                    role: job.role.as_deref(),
                    tag: record.and_then(|r| r.tag.as_deref()),
                    db: record.and_then(|r| r.db.as_deref()).or(sid.as_deref()),
                    run: &self.run,
                    host: &host,
                })?
            }
        };
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        match keys.insert(key.clone(), job.path.clone()) {
            Some(other) if other != job.path => {
                keys.insert(key.clone(), other.clone());
                anyhow::bail!("{} has the key {key} in this run already", other.display())
            }
            _ => Ok(key),
        }
    }

    /// What is written into the metadata of an object; `sha256` where it is known when the upload begins.
    pub fn metadata(
        &self,
        role: Option<&str>,
        identity: &Identity,
        sha256: Option<&str>,
    ) -> HashMap<String, String> {
        let mut metadata = HashMap::from([
            ("mtime".to_owned(), identity.time().to_rfc3339()),
            ("run".to_owned(), self.run.clone()),
        ]);
        let mut set = |name: &str, value: Option<&str>| {
            // Headers carry ASCII only.
            if let Some(value) = value.filter(|v| v.bytes().all(|b| (0x20..0x7f).contains(&b))) {
                metadata.insert(name.to_owned(), value.to_owned());
            }
        };
        set("role", role);
        set("sha256", sha256);
        metadata
    }

    pub fn storage_class(&self) -> Option<StorageClass> {
        self.cli.storage_class.as_deref().map(StorageClass::from)
    }

    pub fn sse(&self) -> Option<ServerSideEncryption> {
        let implied = self.cli.kms_key_id.as_ref().map(|_| "aws:kms");
        self.cli.sse.as_deref().or(implied).map(ServerSideEncryption::from)
    }

    pub fn lock(&self) -> (Option<ObjectLockMode>, Option<aws_sdk_s3::primitives::DateTime>) {
        let Some(until) = self.lock_until else { return (None, None) };
        let mode = match self.cli.object_lock_mode {
            LockMode::Governance => ObjectLockMode::Governance,
            LockMode::Compliance => ObjectLockMode::Compliance,
        };
        (Some(mode), Some(aws_sdk_s3::primitives::DateTime::from_secs(until.timestamp())))
    }
}

/// Stores one file and writes its record.
///
/// # Errors
/// Only when the record cannot be written; what is wrong with the file is in the outcome.
pub async fn run(session: &Session, job: Job) -> anyhow::Result<Outcome> {
    let begun = Instant::now();
    let mut identity = None;
    let mut key = String::new();
    let result = match session.hopeless.get() {
        Some(trouble) => Err(trouble.clone()),
        None => store(session, &job, &mut identity, &mut key).await,
    };
    let path = job.path.to_string_lossy().into_owned();
    let seconds = (begun.elapsed().as_secs_f64() * 1000.0).round() / 1000.0;
    let bucket = session.store.bucket().to_owned();
    match &result {
        Ok(stored) => {
            session.log.info(&format!(
                "{path}: {} as s3://{bucket}/{} ({} bytes, {} parts)",
                format!("{:?}", stored.status).to_lowercase(),
                stored.key,
                stored.hashes.bytes,
                stored.parts
            ));
            session.recorder.emit(&object(&bucket, &path, stored, seconds))?;
        }
        Err(trouble) => {
            session.give_up_if_hopeless(trouble);
            if trouble.kind != Kind::Stopped {
                session.log.error(&format!("{path}: {}", trouble.reason()));
            }
            session.recorder.emit(&Object {
                bucket,
                key,
                path: Some(path),
                bytes: identity.as_ref().map(|i: &Identity| i.bytes),
                status: Some(ObjectStatus::Failed),
                reason: Some(trouble.reason()),
                seconds: Some(seconds),
                ..Object::default()
            })?;
        }
    }
    Ok(Outcome { path: job.path, role: job.role, identity, result })
}

/// The record of a stored file.
pub fn object(bucket: &str, path: &str, stored: &Stored, seconds: f64) -> Object {
    Object {
        bucket: bucket.to_owned(),
        key: stored.key.clone(),
        path: Some(path.to_owned()),
        bytes: Some(stored.hashes.bytes),
        etag: Some(stored.etag.trim_matches('"').to_owned()).filter(|e| !e.is_empty()),
        checksum: stored
            .checksum
            .map(|crc64| Checksum { algorithm: "CRC64NVME".to_owned(), value: digest::base64(crc64) }),
        sha256: Some(stored.hashes.sha256.clone()),
        parts: Some(stored.parts),
        resent_parts: stored.resent,
        version_id: stored.version_id.clone(),
        status: Some(stored.status),
        reason: None,
        seconds: Some(seconds),
    }
}

async fn store(
    session: &Session,
    job: &Job,
    identity: &mut Option<Identity>,
    key: &mut String,
) -> Result<Stored, Trouble> {
    let local = |error: anyhow::Error| Trouble::local(&error);
    let source = Source::open(&job.path).map_err(local)?;
    *identity = Some(source.identity.clone());
    if let Some(said) =
        job.record.as_ref().and_then(|r| r.bytes).filter(|said| *said != source.identity.bytes)
    {
        return Err(Trouble::new(
            Kind::Corrupt,
            format!("the record says {said} bytes, the file has {}", source.identity.bytes),
        )
        .hint("it is not the file that its producer wrote; back up again"));
    }
    *key = session.key(job, &source.identity).map_err(local)?;
    upload(session, &source, Some(&job.path), key, job).await
}

/// Stores an open file under a key, unless it is there.
pub async fn upload(
    session: &Session,
    source: &Source,
    path: Option<&Path>,
    key: &str,
    job: &Job,
) -> Result<Stored, Trouble> {
    let expected = job.record.as_ref().and_then(|r| r.sha256.as_deref());
    // Without If-None-Match the listing from the beginning of the run is too old to rely on.
    if session.known.may_exist(&session.store, key).await? || !session.store.mode().conditional {
        if let Some(seen) = look(session, key).await? {
            return present(session, source, path, key, seen, expected).await;
        }
    }
    let layout = Layout::new(source.identity.bytes, session.cli.part_size);
    let role = job.role.as_deref();
    if layout.count() == 1 {
        single::upload(session, source, path, key, role, expected).await
    } else {
        let turn = session.large.acquire().await;
        let stored = multipart::upload(session, source, path, key, role, expected).await;
        drop(turn);
        stored
    }
}

/// HeadObject, for a user who may not be allowed to see whether a key is taken.
pub async fn look(session: &Session, key: &str) -> Result<Option<Seen>, Trouble> {
    match session.store.head(key).await {
        Err(trouble) if trouble.kind == Kind::Denied && session.store.mode().conditional => {
            session.store.note_once(common::record::Log::warning(
                "not allowed to look at objects or to list the bucket: only If-None-Match keeps what is there from \
                 being overwritten",
            ));
            Ok(None)
        }
        other => other,
    }
}

/// An object has the key: the same content is `present`, another one is refused.
pub async fn present(
    session: &Session,
    source: &Source,
    path: Option<&Path>,
    key: &str,
    seen: Seen,
    expected: Option<&str>,
) -> Result<Stored, Trouble> {
    let refused = |why: &str| {
        Trouble::new(
            Kind::Conflict,
            format!("s3://{}/{key} is there with another content: {why}", session.store.bucket()),
        )
        .hint("nothing is overwritten; look at it, and give the file another key (--key) or another name")
    };
    if seen.bytes != source.identity.bytes {
        return Err(refused(&format!("it has {} bytes, the file {}", seen.bytes, source.identity.bytes)));
    }
    let local = |error: anyhow::Error| Trouble::local(&error);
    let file = source.file.try_clone().map_err(|e| local(e.into()))?;
    let hashes = tokio::task::spawn_blocking(move || {
        std::io::Seek::rewind(&mut &file).context("rewind")?;
        digest::read(&file)
    })
    .await
    .map_err(|e| local(e.into()))?
    .map_err(local)?;
    source.unchanged(path).map_err(|e| of_file(&e))?;
    check_record(&hashes, expected)?;
    match prove(session, key, &seen, &hashes).await? {
        None if seen.bytes > session.cli.part_size => {
            // Perhaps of a run that died between the end of its upload and the end of its journal.
            multipart::forget(session, key).await?;
            Ok(was_there(session, key, &seen, hashes))
        }
        None => Ok(was_there(session, key, &seen, hashes)),
        Some(difference) => Err(refused(&difference)),
    }
}

fn was_there(session: &Session, key: &str, seen: &Seen, hashes: Hashes) -> Stored {
    Stored {
        key: key.to_owned(),
        status: ObjectStatus::Present,
        etag: seen.etag.clone(),
        version_id: seen.version_id.clone(),
        checksum: seen.crc64(),
        hashes,
        parts: Layout::new(seen.bytes, session.cli.part_size).count(),
        resent: None,
    }
}

/// Something went wrong with the file itself: one that has changed makes what was sent of it worthless.
pub fn of_file(error: &anyhow::Error) -> Trouble {
    match error.downcast_ref::<Changed>() {
        Some(_) => Trouble::new(Kind::Corrupt, format!("{error:#}"))
            .hint("nothing of it was kept; find out who writes to it, and upload it when it is finished"),
        None => Trouble::local(error),
    }
}

/// The content must be what its producer has hashed.
pub fn check_record(hashes: &Hashes, expected: Option<&str>) -> Result<(), Trouble> {
    match expected {
        Some(expected) if !expected.eq_ignore_ascii_case(&hashes.sha256) => Err(Trouble::new(
            Kind::Corrupt,
            format!("the record says SHA-256 {expected}, the file has {}", hashes.sha256),
        )
        .hint("the file was damaged or replaced after its producer had finished it; back up again")),
        _ => Ok(()),
    }
}

/// Compares an object with a content, by reading it back if nothing else tells; `Some` is the difference.
pub async fn prove(
    session: &Session,
    key: &str,
    seen: &Seen,
    hashes: &Hashes,
) -> Result<Option<String>, Trouble> {
    match compare(seen, hashes) {
        Match::Same => Ok(None),
        Match::Different(why) => Ok(Some(why)),
        Match::Unproven => {
            session.store.note_once(common::record::Log::info(
                "this server keeps no checksum of whole objects: what is stored is read back and compared",
            ));
            let back = session.store.read_back(key, &seen.etag).await?;
            Ok((back != *hashes).then(|| "read back, it is another content".to_owned()))
        }
    }
}
