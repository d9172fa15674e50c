//! After an upload: is what the server has what was read?

use common::record::ObjectStatus;

use super::job::{prove, Session, Stored};
use crate::store::decide::Deed;
use crate::store::digest::{self, Hashes};
use crate::store::{Kind, Limit, Trouble};

/// What the server answered to PutObject or CompleteMultipartUpload.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    pub etag: String,
    pub version_id: Option<String>,
    /// CRC64NVME of the whole object.
    pub crc64: Option<String>,
}

/// The proof of an object that we have just written.
///
/// # Errors
/// [`Kind::Corrupt`]: the server has something else; the wrong object is removed so that nobody takes it for good.
pub async fn stored(
    session: &Session,
    key: &str,
    answer: Answer,
    hashes: Hashes,
    (status, parts, resent): (ObjectStatus, u64, Option<u64>),
) -> Result<Stored, Trouble> {
    let said = answer.crc64.as_deref().and_then(digest::from_base64);
    let (difference, etag, version_id, checksum) = match said {
        Some(crc64) if crc64 == hashes.crc64 => (None, answer.etag, answer.version_id, Some(crc64)),
        Some(_) => {
            (Some("its CRC64NVME is not that of the file".to_owned()), answer.etag, answer.version_id, None)
        }
        None => match session.store.head(key).await? {
            Some(seen) => {
                let difference = prove(session, key, &seen, &hashes).await?;
                (difference, seen.etag.clone(), seen.version_id.clone(), seen.crc64())
            }
            None => (Some("it is not there".to_owned()), answer.etag, answer.version_id, None),
        },
    };
    if let Some(difference) = difference {
        let removed = remove(session, key, version_id.as_deref()).await;
        let fate = match removed {
            Ok(()) => "it was removed".to_owned(),
            Err(trouble) => format!("and it could not be removed: {trouble}"),
        };
        return Err(Trouble::new(
            Kind::Corrupt,
            format!("s3://{}/{key} was stored wrongly: {difference}; {fate}", session.store.bucket()),
        )
        .hint("run it again; if it happens again, look for a proxy or a broken server in between"));
    }
    Ok(Stored { key: key.to_owned(), status, etag, version_id, hashes, checksum, parts, resent })
}

async fn remove(session: &Session, key: &str, version: Option<&str>) -> Result<(), Trouble> {
    let what = format!("remove s3://{}/{key}", session.store.bucket());
    session
        .store
        .call(&what, Deed::Plain, Limit::Short, |client, _, _| {
            client
                .delete_object()
                .bucket(session.store.bucket())
                .key(key)
                .set_version_id(version.map(str::to_owned))
                .send()
        })
        .await?;
    Ok(())
}
