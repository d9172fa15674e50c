//! A file of several parts: begun or continued, sent in parallel while it is read once, completed and proved.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_s3::error::SdkError;
use aws_sdk_s3::primitives::{ByteStream, SdkBody};
use aws_sdk_s3::types::{ChecksumAlgorithm, ChecksumType, CompletedMultipartUpload, CompletedPart};
use chrono::{SecondsFormat, Utc};
use common::record::{Log, ObjectStatus};
use futures_util::stream::{FuturesUnordered, StreamExt};

use super::job::{check_record, of_file, Session, Stored};
use super::journal::{self, Entry, Header, Journal};
use super::parts::Layout;
use super::prove::{stored, Answer};
use super::reader::{self, Part};
use super::resume::{self, Finished, Past};
use super::single::taken;
use super::source::Source;
use crate::store::body::body;
use crate::store::decide::Deed;
use crate::store::digest::{self, Hashes};
use crate::store::{Kind, Limit, Trouble};

mod begin;

pub use begin::{abort, uploads_of, Unfinished};

/// A part that the server has now.
#[derive(Debug, Clone)]
struct Done {
    etag: String,
    crc64: u64,
    length: u64,
    sent: bool,
}

/// An upload that is under way.
struct Upload<'a> {
    session: &'a Session,
    key: &'a str,
    id: String,
    layout: Layout,
    journal: Mutex<Journal>,
    finished: BTreeMap<u64, Finished>,
    continued: bool,
}

/// Uploads a file of more than one part.
pub async fn upload(
    session: &Session,
    source: &Source,
    path: Option<&Path>,
    key: &str,
    role: Option<&str>,
    expected: Option<&str>,
) -> Result<Stored, Trouble> {
    let local = |error: anyhow::Error| Trouble::local(&error);
    let identity = session.store.identity();
    let journal = Journal::take(&journal::path(&session.journals, &identity, key)).map_err(local)?;
    let Some(mut journal) = journal else {
        return Err(Trouble::new(Kind::Refused, format!("another s3-put on this host uploads {key} now"))
            .hint("let it end; then run this again"));
    };
    let retries = session.store.retries();
    let start = match begin::begin(session, source, key, role, expected, &journal, path).await {
        Ok(start) => start,
        Err(trouble) => {
            journal.discard_if_empty().map_err(local)?;
            return Err(trouble);
        }
    };
    if let Some(header) = start.header {
        if let Err(error) = journal.begin(header) {
            // Without its journal the upload would be an orphan.
            let _orphan = abort(session, key, &start.id).await;
            return Err(local(error));
        }
    }
    let upload = Upload {
        session,
        key,
        id: start.id,
        layout: start.layout,
        journal: Mutex::new(journal),
        finished: start.finished,
        continued: start.continued,
    };
    let sent = upload.send(source).await;
    let finish = async {
        let (done, sha256) = sent?;
        source.unchanged(path).map_err(|e| of_file(&e))?;
        let crc64 = done.values().fold(digest::crc64(b""), |all, d| digest::combine(all, d.crc64, d.length));
        let hashes = Hashes { bytes: source.identity.bytes, sha256, crc64 };
        check_record(&hashes, expected)?;
        upload.complete(&done, hashes).await
    };
    match finish.await {
        Ok(stored) => {
            let mut orphans = start.orphans;
            if session.store.retries() > retries {
                // The answer to a CreateMultipartUpload may have been lost.
                orphans.extend(begin::left_over(session, key).await);
            }
            for orphan in &orphans {
                if abort(session, key, orphan).await.is_ok() {
                    session.log.info(&format!("aborted an older unfinished upload of {key}"));
                }
            }
            let journal = upload.journal.into_inner().unwrap_or_else(PoisonError::into_inner);
            journal.remove().map_err(local)?;
            Ok(stored)
        }
        Err(trouble) => {
            if matches!(trouble.kind, Kind::Corrupt | Kind::Conflict | Kind::Missing) {
                // Nothing of it can be used again.
                if let Err(again) = abort(session, key, &upload.id).await {
                    session.log.warning(&format!("{again}; s3-put --cleanup removes it"));
                }
                let journal = upload.journal.into_inner().unwrap_or_else(PoisonError::into_inner);
                journal.remove().map_err(local)?;
            }
            Err(trouble)
        }
    }
}

/// Gives up what an earlier run has left of a key whose object is there.
pub async fn forget(session: &Session, key: &str) -> Result<(), Trouble> {
    let local = |error: anyhow::Error| Trouble::local(&error);
    let path = journal::path(&session.journals, &session.store.identity(), key);
    if !path.exists() {
        return Ok(());
    }
    if let Some(journal) = Journal::take(&path).map_err(local)? {
        if let Some(header) = journal.header() {
            abort(session, key, &header.upload_id).await?;
        }
        journal.remove().map_err(local)?;
    }
    Ok(())
}

impl Upload<'_> {
    /// Sends what the server does not have, and gives the checksums of all parts and the SHA-256 of the file.
    async fn send(&self, source: &Source) -> Result<(BTreeMap<u64, Done>, String), Trouble> {
        let local = |error: anyhow::Error| Trouble::local(&error);
        let file = source.file.try_clone().map_err(|e| local(e.into()))?;
        let mut read = reader::start(file, self.layout, Arc::clone(&self.session.budget));
        let mut done = BTreeMap::new();
        let mut sending = FuturesUnordered::new();
        let mut reading = true;
        while reading || !sending.is_empty() {
            tokio::select! {
                part = read.parts.recv(), if reading => match part {
                    None => reading = false,
                    Some(Err(error)) => return Err(of_file(&error)),
                    Some(Ok(part)) => {
                        let length = part.bytes.len() as u64;
                        match self.finished.get(&part.number).filter(|f| f.crc64 == part.crc64) {
                            Some(f) => {
                                let (etag, crc64) = (f.etag.clone(), f.crc64);
                                done.insert(part.number, Done { etag, crc64, length, sent: false });
                            }
                            None => sending.push(self.send_part(part)),
                        }
                    }
                },
                Some(sent) = sending.next() => {
                    let (number, part) = sent?;
                    done.insert(number, part);
                },
                () = crate::store::stopped() => return Err(Trouble::stopped()),
            }
        }
        let sha256 = read.sha256.await.map_err(|e| local(e.into()))?.map_err(local)?;
        if done.len() as u64 != self.layout.count() {
            return Err(Trouble::new(
                Kind::Other,
                format!("{} of {} parts were sent", done.len(), self.layout.count()),
            ));
        }
        Ok((done, sha256))
    }

    async fn send_part(&self, part: Part) -> Result<(u64, Done), Trouble> {
        let session = self.session;
        let Part { number, bytes, crc64 } = part;
        let length = bytes.len() as u64;
        let checksum = digest::base64(crc64);
        let turn = session.wires.acquire().await;
        let note = |etag: Option<String>| {
            let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
            let entry = Entry { n: number, crc64: checksum.clone(), etag };
            journal.note(entry).map_err(|e| Trouble::local(&e))
        };
        note(None)?;
        session.store.hold_back(bytes.len()).await?;
        let what = format!("send part {number} of s3://{}/{}", session.store.bucket(), self.key);
        let mut damaged = 0;
        let etag = loop {
            let answer = session
                .store
                .call(&what, Deed::Sends, Limit::Moving, |client, mode, pace| {
                    let content = match mode.unsigned {
                        true => body(bytes.clone(), pace, session.store.throttle()),
                        false => SdkBody::from(bytes.clone()),
                    };
                    let request = client
                        .upload_part()
                        .bucket(session.store.bucket())
                        .key(self.key)
                        .upload_id(&self.id)
                        .part_number(i32::try_from(number).unwrap_or(i32::MAX))
                        .content_length(i64::try_from(length).unwrap_or(i64::MAX))
                        .set_checksum_crc64_nvme(mode.checksums.then(|| checksum.clone()))
                        .body(ByteStream::new(content))
                        .customize();
                    let sent = match mode.unsigned {
                        true => request.disable_payload_signing().send(),
                        false => request.send(),
                    };
                    async move {
                        let answer = sent.await?;
                        // Without it the upload cannot be completed, and S3 always gives one.
                        if answer.e_tag().is_none_or(str::is_empty) {
                            return Err(SdkError::timeout_error(
                                "the answer has no ETag: it is not one of S3",
                            ));
                        }
                        Ok(answer)
                    }
                })
                .await
                .map_err(gone)?;
            session.store.note_change();
            match answer.checksum_crc64_nvme() {
                Some(theirs) if digest::from_base64(theirs) != Some(crc64) && damaged < 3 => damaged += 1,
                Some(theirs) if digest::from_base64(theirs) != Some(crc64) => {
                    return Err(Trouble::new(
                        Kind::Corrupt,
                        format!(
                            "{what}: it arrives damaged again and again (checksum {theirs}, not {checksum})"
                        ),
                    ));
                }
                _ => break answer.e_tag().unwrap_or_default().to_owned(),
            }
        };
        drop(turn);
        note(Some(etag.clone()))?;
        Ok((number, Done { etag, crc64, length, sent: true }))
    }

    /// The object is there, perhaps by somebody else: then our parts would be an orphan.
    async fn give_up(&self) {
        if let Err(trouble) = abort(self.session, self.key, &self.id).await {
            self.session.log.warning(&format!("{trouble}; s3-put --cleanup removes it"));
        }
    }

    /// CompleteMultipartUpload, and the proof of its result, also when its answer was lost.
    async fn complete(&self, done: &BTreeMap<u64, Done>, hashes: Hashes) -> Result<Stored, Trouble> {
        let session = self.session;
        let what = format!("complete s3://{}/{}", session.store.bucket(), self.key);
        if super::job::look(session, self.key).await?.is_some() {
            // Not every server knows If-None-Match, and some pass over it: an object that came while we were sending
            // would be replaced.
            let trouble = Trouble::new(Kind::Conflict, format!("{what}: the key was taken meanwhile"));
            let stored = taken(session, self.key, hashes, trouble).await?;
            self.give_up().await;
            return Ok(stored);
        }
        let answer = session
            .store
            .call(&what, Deed::Completes, Limit::Long, |client, mode, _| {
                let parts = done.iter().map(|(number, part)| {
                    CompletedPart::builder()
                        .part_number(i32::try_from(*number).unwrap_or(i32::MAX))
                        .e_tag(&part.etag)
                        .set_checksum_crc64_nvme(mode.checksums.then(|| digest::base64(part.crc64)))
                        .build()
                });
                let parts = CompletedMultipartUpload::builder().set_parts(Some(parts.collect())).build();
                let size = i64::try_from(hashes.bytes).unwrap_or(i64::MAX);
                client
                    .complete_multipart_upload()
                    .bucket(session.store.bucket())
                    .key(self.key)
                    .upload_id(&self.id)
                    .multipart_upload(parts)
                    .set_checksum_crc64_nvme(mode.checksums.then(|| digest::base64(hashes.crc64)))
                    .set_checksum_type(mode.checksums.then_some(ChecksumType::FullObject))
                    .set_mpu_object_size(mode.checksums.then_some(size))
                    .set_if_none_match(mode.conditional.then(|| "*".to_owned()))
                    .send()
            })
            .await;
        let resent = done.values().filter(|d| d.sent).count() as u64;
        let status = if self.continued { ObjectStatus::Resumed } else { ObjectStatus::Uploaded };
        let how = (status, self.layout.count(), self.continued.then_some(resent));
        match answer {
            Ok(answer) => {
                session.store.note_change();
                let answer = Answer {
                    etag: answer.e_tag().unwrap_or_default().to_owned(),
                    version_id: answer.version_id().map(str::to_owned),
                    crc64: answer
                        .checksum_crc64_nvme()
                        .filter(|_| answer.checksum_type() != Some(&ChecksumType::Composite))
                        .map(str::to_owned),
                };
                stored(session, self.key, answer, hashes, how).await
            }
            // The upload is gone, the key is taken, or nobody answered: by an earlier attempt of ours, or not.
            Err(trouble) if matches!(trouble.kind, Kind::Missing | Kind::Conflict | Kind::Unreachable) => {
                let unreachable = trouble.kind == Kind::Unreachable;
                let looked = taken(session, self.key, hashes, gone(trouble.clone())).await;
                // Without an answer nobody knows whether our own upload is lost: it stays, for the next run.
                let mut stored = looked.map_err(|other| if unreachable { trouble } else { other })?;
                self.give_up().await;
                (stored.status, stored.parts, stored.resent) = how;
                Ok(stored)
            }
            Err(trouble) => Err(trouble),
        }
    }
}

/// What "no such upload" means to a person.
fn gone(trouble: Trouble) -> Trouble {
    match trouble.kind {
        Kind::Missing => {
            trouble.hint("somebody or a rule of the bucket has aborted the upload; run it again")
        }
        _ => trouble,
    }
}
