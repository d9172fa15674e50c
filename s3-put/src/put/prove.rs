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
/// Of an upload that was `continued` the metadata are looked at too: they were written when it was begun, perhaps on
/// another host for another file, and a SHA-256 in them that is not ours would make s3-get refuse the object.
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
    let continued = status == ObjectStatus::Resumed;
    let said = answer.crc64.as_deref().and_then(digest::from_base64);
    let wrongly = |difference: &str, fate: &str| {
        let message =
            format!("s3://{}/{key} was stored wrongly: {difference}; {fate}", session.store.bucket());
        Trouble::new(Kind::Corrupt, message)
            .hint("run it again; if it happens again, look for a proxy or a broken server in between")
    };
    let seen = match said {
        Some(crc64) if crc64 == hashes.crc64 && !continued => None,
        Some(crc64) if crc64 != hashes.crc64 => {
            let fate = removed(session, key, answer.version_id.as_deref()).await;
            return Err(wrongly("its CRC64NVME is not that of the file", &fate));
        }
        _ => match session.store.head(key).await {
            // Who may only write has the server's word for the content.
            Err(trouble) if trouble.kind == Kind::Denied && said.is_some() => None,
            looked => Some(looked?),
        },
    };
    let Some(seen) = seen else {
        let Answer { etag, version_id, .. } = answer;
        let key = key.to_owned();
        return Ok(Stored { key, status, etag, version_id, hashes, checksum: said, parts, resent });
    };
    let Some(seen) = seen else { return Err(wrongly("it is not there", "nothing was removed")) };
    if let Some(difference) = prove(session, key, &seen, &hashes).await? {
        // Where If-None-Match is not known, another writer may have replaced ours: his is not ours to remove.
        let plain = |etag: &str| etag.trim_matches('"').to_owned();
        if !answer.etag.is_empty() && plain(&answer.etag) != plain(&seen.etag) {
            return Err(Trouble::new(
                Kind::Conflict,
                format!(
                    "s3://{}/{key} was replaced by somebody else while it was stored: {difference}",
                    session.store.bucket()
                ),
            )
            .hint("find out who else writes this key, and give one of the files another key (--key)"));
        }
        let fate = removed(session, key, seen.version_id.as_deref()).await;
        return Err(wrongly(&difference, &fate));
    }
    let (etag, version_id, checksum) = (seen.etag.clone(), seen.version_id.clone(), seen.crc64());
    Ok(Stored { key: key.to_owned(), status, etag, version_id, hashes, checksum, parts, resent })
}

async fn removed(session: &Session, key: &str, version: Option<&str>) -> String {
    match remove(session, key, version).await {
        Ok(()) => "it was removed".to_owned(),
        Err(trouble) => format!("and it could not be removed: {trouble}"),
    }
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
