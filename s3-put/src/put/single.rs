//! A file of one part: PutObject with its checksum, which either stores the whole or nothing.

use std::path::Path;

use aws_sdk_s3::primitives::{ByteStream, SdkBody};
use bytes::Bytes;
use common::record::ObjectStatus;

use super::job::{check_record, of_file, prove, Session, Stored};
use super::prove::{stored, Answer};
use super::reader::fill;
use super::source::{Identity, Source};
use crate::store::body::body;
use crate::store::decide::Deed;
use crate::store::digest::{self, Hashes};
use crate::store::{Kind, Limit, Trouble};

/// Below this a thread of its own costs more than the hashing.
const INLINE: usize = 512 << 10;

/// Uploads a file that fits into one part.
pub async fn upload(
    session: &Session,
    source: &Source,
    path: Option<&Path>,
    key: &str,
    role: Option<&str>,
    expected: Option<&str>,
) -> Result<Stored, Trouble> {
    let local = |error: anyhow::Error| Trouble::local(&error);
    let length = usize::try_from(source.identity.bytes).map_err(|e| local(e.into()))?;
    let mut buffer = session.budget.take(length).await;
    let file = source.file.try_clone().map_err(|e| local(e.into()))?;
    let read = move || {
        let crc64 = fill(&file, 0, buffer.as_mut())?;
        let hashes = Hashes { bytes: length as u64, sha256: digest::sha256(buffer.as_ref()), crc64 };
        anyhow::Ok((buffer.freeze(), hashes))
    };
    let (bytes, hashes) = if length <= INLINE {
        read().map_err(|e| of_file(&e))?
    } else {
        tokio::task::spawn_blocking(read).await.map_err(|e| local(e.into()))?.map_err(|e| of_file(&e))?
    };
    source.unchanged(path).map_err(|e| of_file(&e))?;
    check_record(&hashes, expected)?;
    put(session, key, role, &source.identity, bytes, hashes).await
}

/// Stores a content that is in memory.
pub async fn put(
    session: &Session,
    key: &str,
    role: Option<&str>,
    identity: &Identity,
    bytes: Bytes,
    hashes: Hashes,
) -> Result<Stored, Trouble> {
    let what = format!("store s3://{}/{key}", session.store.bucket());
    let (lock_mode, lock_until) = session.lock();
    let metadata = session.metadata(role, identity, Some(&hashes.sha256));
    let turn = session.wires.acquire().await;
    session.store.hold_back(bytes.len()).await?;
    let answer = session
        .store
        .call(&what, Deed::Sends, Limit::Moving, |client, mode, pace| {
            let content = match mode.unsigned {
                true => body(bytes.clone(), pace, session.store.throttle()),
                // The SDK hashes what it can see whole.
                false => SdkBody::from(bytes.clone()),
            };
            let request = client
                .put_object()
                .bucket(session.store.bucket())
                .key(key)
                .content_length(i64::try_from(hashes.bytes).unwrap_or(i64::MAX))
                .set_metadata(Some(metadata.clone()))
                .set_storage_class(session.storage_class())
                .set_server_side_encryption(session.sse())
                .set_ssekms_key_id(session.cli.kms_key_id.clone())
                .set_object_lock_mode(lock_mode.clone())
                .set_object_lock_retain_until_date(lock_until)
                .set_if_none_match(mode.conditional.then(|| "*".to_owned()))
                .set_checksum_crc64_nvme(mode.checksums.then(|| digest::base64(hashes.crc64)))
                .body(ByteStream::new(content))
                .customize();
            match mode.unsigned {
                true => request.disable_payload_signing().send(),
                false => request.send(),
            }
        })
        .await;
    drop(turn);
    let answer = match answer {
        Ok(answer) => Answer {
            etag: answer.e_tag().unwrap_or_default().to_owned(),
            version_id: answer.version_id().map(str::to_owned),
            crc64: answer.checksum_crc64_nvme().map(str::to_owned),
        },
        // Somebody was faster, or it was ourselves and the answer was lost.
        Err(trouble) if trouble.kind == Kind::Conflict => {
            return taken(session, key, hashes, trouble).await;
        }
        Err(trouble) => return Err(trouble),
    };
    session.store.note_change();
    stored(session, key, answer, hashes, (ObjectStatus::Uploaded, 1, None)).await
}

/// The key is taken: is it by the same content?
pub async fn taken(
    session: &Session,
    key: &str,
    hashes: Hashes,
    trouble: Trouble,
) -> Result<Stored, Trouble> {
    let Some(seen) = session.store.head(key).await? else { return Err(trouble) };
    match prove(session, key, &seen, &hashes).await? {
        None => Ok(Stored {
            key: key.to_owned(),
            // Whoever wrote it: an answer that was lost looks the same as somebody who was faster.
            status: ObjectStatus::Present,
            etag: seen.etag.clone(),
            version_id: seen.version_id.clone(),
            checksum: seen.crc64(),
            hashes,
            parts: 1,
            resent: None,
        }),
        Some(difference) => Err(Trouble::new(
            Kind::Conflict,
            format!("s3://{}/{key} is there with another content: {difference}", session.store.bucket()),
        )
        .hint("nothing is overwritten; look at it, and give the file another key (--key) or another name")),
    }
}
