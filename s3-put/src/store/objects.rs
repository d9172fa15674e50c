//! What the bucket says about objects, and reading one back.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_sdk_s3::error::SdkError;
use aws_sdk_s3::types::{ChecksumMode, ChecksumType};
use chrono::{DateTime, Utc};

use super::call::{Limit, Store};
use super::decide::{Deed, NO_BUCKET};
use super::digest::{self, Both, Hashes};
use super::{Kind, Trouble};

/// An object as HeadObject shows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    pub bytes: u64,
    /// As the server gave it, quotes included.
    pub etag: String,
    pub version_id: Option<String>,
    pub metadata: BTreeMap<String, String>,
    /// Checksums of the whole object: (algorithm, base64).
    pub checksums: Vec<(&'static str, String)>,
}

impl Seen {
    /// CRC64NVME of the whole object, if the server keeps it.
    pub fn crc64(&self) -> Option<u64> {
        self.checksum("CRC64NVME").and_then(digest::from_base64)
    }

    /// A checksum of the whole object in base64.
    pub fn checksum(&self, algorithm: &str) -> Option<&str> {
        self.checksums.iter().find(|(a, _)| *a == algorithm).map(|(_, value)| value.as_str())
    }

    /// SHA-256 that the uploader has written into the metadata.
    pub fn sha256(&self) -> Option<&str> {
        self.metadata.get("sha256").map(String::as_str).filter(|s| s.len() == 64)
    }
}

/// An object or upload as a listing shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    pub key: String,
    pub bytes: u64,
    pub modified: Option<DateTime<Utc>>,
}

impl Store {
    /// Looks at an object; `None` when it is not there.
    pub async fn head(&self, key: &str) -> Result<Option<Seen>, Trouble> {
        let what = format!("look at s3://{}/{key}", self.bucket());
        let answer = self
            .call(&what, Deed::Plain, Limit::Short, |client, _, _| {
                let request = client
                    .head_object()
                    .bucket(self.bucket())
                    .key(key)
                    .checksum_mode(ChecksumMode::Enabled)
                    .send();
                async move {
                    let head = request.await?;
                    // Every object has one: without it somebody in between has answered, not S3.
                    if head.e_tag().is_none_or(str::is_empty) {
                        return Err(SdkError::timeout_error("the answer has no ETag: it is not one of S3"));
                    }
                    Ok(head)
                }
            })
            .await;
        match answer {
            Ok(head) => {
                // A checksum of the parts' checksums says nothing about the content that we could compute.
                let whole = head.checksum_type() != Some(&ChecksumType::Composite);
                let sums = [
                    ("CRC64NVME", head.checksum_crc64_nvme()),
                    ("CRC32", head.checksum_crc32()),
                    ("CRC32C", head.checksum_crc32_c()),
                    ("SHA256", head.checksum_sha256()),
                ];
                let whole_sum = |text: &&str| whole && !text.contains('-');
                Ok(Some(Seen {
                    bytes: u64::try_from(head.content_length().unwrap_or(0)).unwrap_or(0),
                    etag: head.e_tag().unwrap_or_default().to_owned(),
                    version_id: head.version_id().map(str::to_owned),
                    checksums: sums
                        .into_iter()
                        .filter_map(|(name, sum)| Some((name, sum.filter(whole_sum)?.to_owned())))
                        .collect(),
                    metadata: head
                        .metadata()
                        .into_iter()
                        .flatten()
                        .map(|(k, v)| (k.clone(), v.clone()))
                        .collect(),
                }))
            }
            Err(trouble) if trouble.kind == Kind::Missing => Ok(None),
            Err(trouble) => Err(trouble),
        }
    }

    /// Fails with [`Kind::NoBucket`] when there is no such bucket; a HEAD of an object cannot tell. Who is not allowed
    /// to ask learns nothing, which is no error.
    ///
    /// # Errors
    /// [`Kind::NoBucket`].
    pub async fn bucket_is_there(&self) -> Result<(), Trouble> {
        let what = format!("look at bucket {}", self.bucket());
        let answer = self
            .call(&what, Deed::Plain, Limit::Short, |client, _, _| {
                client.head_bucket().bucket(self.bucket()).send()
            })
            .await;
        match answer {
            Err(trouble) if matches!(trouble.kind, Kind::Missing | Kind::NoBucket) => {
                Err(Trouble::new(Kind::NoBucket, format!("bucket {} does not exist", self.bucket()))
                    .hint(NO_BUCKET))
            }
            _ => Ok(()),
        }
    }

    /// All objects below a prefix, page by page, at most about `limit`; the flag says whether that was all.
    pub async fn list(&self, prefix: &str, limit: usize) -> Result<(Vec<Listed>, bool), Trouble> {
        let what = format!("list s3://{}/{prefix}", self.bucket());
        let (mut found, mut token) = (Vec::new(), None::<String>);
        loop {
            let page = self
                .call(&what, Deed::Plain, Limit::Short, |client, _, _| {
                    client
                        .list_objects_v2()
                        .bucket(self.bucket())
                        .prefix(prefix)
                        .set_continuation_token(token.clone())
                        .send()
                })
                .await?;
            found.extend(page.contents().iter().filter_map(|object| {
                Some(Listed {
                    key: object.key()?.to_owned(),
                    bytes: u64::try_from(object.size().unwrap_or(0)).unwrap_or(0),
                    modified: object.last_modified().and_then(time),
                })
            }));
            let next = page.next_continuation_token().map(str::to_owned);
            if page.is_truncated() != Some(true) || next.is_none() {
                return Ok((found, true));
            }
            if found.len() >= limit {
                return Ok((found, false));
            }
            if next == token {
                return Err(Trouble::new(
                    Kind::Other,
                    format!("{what}: the server gives the same page again"),
                ));
            }
            token = next;
        }
    }

    /// Reads an object and hashes it; `etag` makes sure that all of it is of one object.
    pub async fn read_back(&self, key: &str, etag: &str) -> Result<Hashes, Trouble> {
        self.read_object(key, etag, |_| Ok(())).await
    }

    /// Reads a small object whole.
    pub async fn fetch(&self, key: &str, etag: &str) -> Result<(Vec<u8>, Hashes), Trouble> {
        let mut content = Vec::new();
        let hashes = self
            .read_object(key, etag, |piece| {
                content.extend_from_slice(piece);
                Ok(())
            })
            .await?;
        Ok((content, hashes))
    }

    async fn read_object(
        &self,
        key: &str,
        etag: &str,
        mut each: impl FnMut(&[u8]) -> Result<(), Trouble>,
    ) -> Result<Hashes, Trouble> {
        let what = format!("read s3://{}/{key}", self.bucket());
        let mut both = Both::default();
        let done = AtomicU64::new(0);
        let begun = std::time::Instant::now();
        loop {
            let from = done.load(Ordering::Relaxed);
            let range = (from > 0).then(|| format!("bytes={from}-"));
            let answer = self
                .call(&what, Deed::Plain, Limit::Short, |client, _, _| {
                    client
                        .get_object()
                        .bucket(self.bucket())
                        .key(key)
                        .set_range(range.clone())
                        .set_if_match((!etag.is_empty()).then(|| etag.to_owned()))
                        .send()
                })
                .await?;
            let continues = |range: &str| range.starts_with(&format!("bytes {from}-"));
            if from > 0 && !answer.content_range().is_some_and(continues) {
                return Err(Trouble::new(
                    Kind::Unsupported,
                    format!("{what}: the server does not answer ranges"),
                ));
            }
            let length = u64::try_from(answer.content_length().unwrap_or(0)).unwrap_or(0);
            let mut body = answer.body;
            let mut got = 0;
            let broken = loop {
                let piece = tokio::select! {
                    piece = tokio::time::timeout(self.stall(), body.next()) => piece,
                    () = super::call::stopped() => return Err(Trouble::stopped()),
                };
                match piece {
                    Ok(Some(Ok(piece))) => {
                        got += piece.len() as u64;
                        both.update(&piece);
                        each(&piece)?;
                    }
                    Ok(None) if got == length => break None,
                    Ok(None) => break Some("the answer ended too early".to_owned()),
                    Ok(Some(Err(error))) => break Some(error.to_string()),
                    Err(_) => break Some("not a byte moved".to_owned()),
                }
            };
            let Some(broken) = broken else { return Ok(both.finish()) };
            done.fetch_add(got, Ordering::Relaxed);
            if begun.elapsed() > self.retry_for() {
                return Err(Trouble::new(Kind::Unreachable, format!("{what}: {broken}")));
            }
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
    }
}

/// A time of the SDK as ours.
pub fn time(time: &aws_sdk_s3::primitives::DateTime) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(time.secs(), 0)
}
