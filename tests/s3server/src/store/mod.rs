//! A store behind the S3 protocol of `s3s`: what the tools use, as AWS documents it, and nothing else.
//!
//! `s3s-fs` 0.14 was tried first. It ignores the checksums of parts, lists parts without ETag and checksum, knows neither
//! ListMultipartUploads nor If-Match, and loses an upload whose part is too small; a tool that resumes cannot be tested on it.
//! Signatures, chunked framing, trailers and XML are those of `s3s`, so that this store cannot agree with our tools in
//! their own misunderstandings.

pub mod disk;
mod multipart;
mod objects;
pub mod sums;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use s3s::dto::*;
use s3s::{s3_error, S3Request, S3Response, S3Result, TrailingHeaders, S3};

use disk::{Bucket, Headers, Object as Stored};
use sums::Sums;

/// How a store differs from that of AWS. The default differs in nothing.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// Entries per page of every listing.
    pub page: usize,
    /// Bytes of a part that is not the last.
    pub minimum_part: u64,
    /// Counts the bytes, checks their CRC and SHA (not MD5) and forgets them: objects have their length and are all zeros.
    pub sink: bool,
    /// The buckets keep every version.
    pub versioned: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self { page: 1000, minimum_part: 5 << 20, sink: false, versioned: false }
    }
}

#[derive(Debug)]
pub struct Store {
    root: PathBuf,
    rules: Rules,
    serial: AtomicU64,
}

impl Store {
    pub fn new(root: PathBuf, rules: Rules) -> Self {
        Self { root, rules, serial: AtomicU64::new(0) }
    }

    fn bucket(&self, name: &str) -> S3Result<Bucket> {
        Bucket::open(&self.root, name)
            .ok_or_else(|| s3_error!(NoSuchBucket, "The specified bucket does not exist"))
    }

    /// A name that no earlier run of the server gave.
    fn fresh(&self) -> String {
        format!(
            "{:x}{:06x}{:04x}",
            disk::now(),
            std::process::id(),
            self.serial.fetch_add(1, Ordering::Relaxed)
        )
    }

    /// Takes a body in: the bytes into a file, their MD5 and checksums, and what the request claimed is held against them.
    async fn receive(
        &self,
        bucket: &Bucket,
        body: Option<StreamingBlob>,
        mut claimed: Sums,
        announced: &[&str],
        trailers: Option<&TrailingHeaders>,
        md5: Option<&str>,
    ) -> S3Result<Received> {
        let mut data = bucket.scratch().map_err(internal)?;
        let mut hasher = sums::hasher(&claimed, announced);
        let mut hash = s3s::crypto::Md5::default();
        let mut bytes = 0;
        let mut body = body.ok_or_else(|| s3_error!(IncompleteBody))?;
        while let Some(chunk) = body.next().await {
            // A wrong signature or length of a chunk comes this way too, and keeps its own code.
            let chunk = chunk.map_err(|e| match e.downcast::<s3s::S3Error>() {
                Ok(error) => *error,
                Err(e) => s3_error!(IncompleteBody, "{e}"),
            })?;
            hasher.update(&chunk);
            bytes += chunk.len() as u64;
            if !self.rules.sink {
                s3s::crypto::Checksum::update(&mut hash, &chunk);
                data.write_all(&chunk).map_err(internal)?;
            }
        }
        if self.rules.sink {
            data.as_file().set_len(bytes).map_err(internal)?;
        }
        claimed.add_trailers(trailers);
        let computed = Sums::from(hasher.finalize());
        claimed.check(&computed)?;
        let digest: [u8; 16] = s3s::crypto::Checksum::finalize(hash).as_ref().try_into().map_err(internal)?;
        if !self.rules.sink && md5.is_some_and(|m| base64_simd::STANDARD.encode_to_string(digest) != m) {
            return Err(s3_error!(
                BadDigest,
                "The Content-MD5 you specified did not match what we received."
            ));
        }
        let etag = hex(&digest);
        Ok(Received { data, bytes, etag, computed })
    }
}

struct Received {
    data: tempfile::NamedTempFile,
    bytes: u64,
    etag: String,
    computed: Sums,
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn internal<E: std::error::Error + Send + Sync + 'static>(error: E) -> s3s::S3Error {
    s3_error!(error, InternalError)
}

fn stamp(millis: u64) -> Timestamp {
    disk::time(millis).into()
}

fn millis(at: &Timestamp) -> u64 {
    let mut text = Vec::new();
    let written = at.format(TimestampFormat::EpochSeconds, &mut text);
    let seconds =
        String::from_utf8(text).ok().filter(|_| written.is_ok()).and_then(|t| t.parse::<f64>().ok());
    Duration::try_from_secs_f64(seconds.unwrap_or_default())
        .map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(0))
}

fn signed(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn small(n: usize) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}

fn map(metadata: Option<Metadata>) -> BTreeMap<String, String> {
    metadata.into_iter().flatten().collect()
}

fn size_of_page(asked: Option<i32>, limit: usize) -> usize {
    asked.and_then(|n| usize::try_from(n).ok()).unwrap_or(limit).min(limit)
}

/// # Errors
/// 412 as S3 says it.
fn check_match(
    condition: Option<&ETagCondition>,
    none: Option<&ETagCondition>,
    there: Option<&Stored>,
) -> S3Result<()> {
    let refused =
        || s3_error!(PreconditionFailed, "At least one of the pre-conditions you specified did not hold");
    let same = |condition: &ETagCondition| match (condition, there) {
        (_, None) => false,
        (ETagCondition::Any, Some(_)) => true,
        (ETagCondition::ETag(wanted), Some(object)) => wanted.value() == object.etag,
    };
    if condition.is_some_and(|c| !same(c)) || none.is_some_and(same) {
        return Err(refused());
    }
    Ok(())
}

macro_rules! claimed {
    ($input:expr) => {
        $crate::store::sums::Sums {
            crc32: $input.checksum_crc32.clone(),
            crc32c: $input.checksum_crc32c.clone(),
            crc64nvme: $input.checksum_crc64nvme.clone(),
            sha1: $input.checksum_sha1.clone(),
            sha256: $input.checksum_sha256.clone(),
        }
    };
}

macro_rules! headers {
    ($input:expr) => {
        $crate::store::disk::Headers {
            content_type: $input.content_type.clone(),
            storage_class: $input.storage_class.as_ref().map(|s| s.as_str().to_owned()),
            sse: $input.server_side_encryption.as_ref().map(|s| s.as_str().to_owned()),
            kms_key_id: $input.ssekms_key_id.clone(),
            lock_mode: $input.object_lock_mode.as_ref().map(|s| s.as_str().to_owned()),
            lock_until: $input.object_lock_retain_until_date.as_ref().map($crate::store::millis),
        }
    };
}

/// Sets the five checksum fields of an answer.
macro_rules! answer_sums {
    ($output:expr, $sums:expr) => {
        let sums = $sums;
        $output.checksum_crc32 = sums.crc32.clone();
        $output.checksum_crc32c = sums.crc32c.clone();
        $output.checksum_crc64nvme = sums.crc64nvme.clone();
        $output.checksum_sha1 = sums.sha1.clone();
        $output.checksum_sha256 = sums.sha256.clone();
    };
}
pub(crate) use {answer_sums, claimed, headers};

/// A multipart upload without checksum gets one of the whole object, and only some algorithms can be that.
fn checksum_kind(algorithm: Option<&str>, asked: Option<&ChecksumType>) -> S3Result<String> {
    let kind = match (asked.map(ChecksumType::as_str), algorithm) {
        (Some(kind), _) => kind,
        (None, None | Some("CRC64NVME")) => ChecksumType::FULL_OBJECT,
        (None, Some(_)) => ChecksumType::COMPOSITE,
    };
    let fits = match algorithm.unwrap_or("CRC64NVME") {
        "CRC64NVME" => kind == ChecksumType::FULL_OBJECT,
        "SHA1" | "SHA256" => kind == ChecksumType::COMPOSITE,
        _ => true,
    };
    if !fits {
        return Err(s3_error!(
            InvalidRequest,
            "The {kind} checksum type cannot be used with this algorithm."
        ));
    }
    Ok(kind.to_owned())
}

#[async_trait::async_trait]
impl S3 for Store {
    async fn create_bucket(
        &self,
        req: S3Request<CreateBucketInput>,
    ) -> S3Result<S3Response<CreateBucketOutput>> {
        if Bucket::open(&self.root, &req.input.bucket).is_some() {
            return Err(s3_error!(BucketAlreadyOwnedByYou));
        }
        Bucket::create(&self.root, &req.input.bucket).map_err(internal)?;
        Ok(S3Response::new(CreateBucketOutput::default()))
    }

    async fn head_bucket(&self, req: S3Request<HeadBucketInput>) -> S3Result<S3Response<HeadBucketOutput>> {
        self.bucket(&req.input.bucket)?;
        Ok(S3Response::new(HeadBucketOutput::default()))
    }

    async fn delete_bucket(
        &self,
        req: S3Request<DeleteBucketInput>,
    ) -> S3Result<S3Response<DeleteBucketOutput>> {
        let bucket = self.bucket(&req.input.bucket)?;
        if !bucket.objects().map_err(internal)?.is_empty() {
            return Err(s3_error!(BucketNotEmpty));
        }
        bucket.remove().map_err(internal)?;
        Ok(S3Response::new(DeleteBucketOutput::default()))
    }

    async fn get_bucket_location(
        &self,
        req: S3Request<GetBucketLocationInput>,
    ) -> S3Result<S3Response<GetBucketLocationOutput>> {
        self.bucket(&req.input.bucket)?;
        Ok(S3Response::new(GetBucketLocationOutput::default()))
    }

    async fn put_object(&self, req: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        self.put(req).await
    }

    async fn get_object(&self, req: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        self.get(&req.input)
    }

    async fn head_object(&self, req: S3Request<HeadObjectInput>) -> S3Result<S3Response<HeadObjectOutput>> {
        self.head(&req.input)
    }

    async fn delete_object(
        &self,
        req: S3Request<DeleteObjectInput>,
    ) -> S3Result<S3Response<DeleteObjectOutput>> {
        let bucket = self.bucket(&req.input.bucket)?;
        bucket.delete(&req.input.key, req.input.version_id.as_deref()).map_err(internal)?;
        Ok(S3Response::new(DeleteObjectOutput::default()))
    }

    async fn delete_objects(
        &self,
        req: S3Request<DeleteObjectsInput>,
    ) -> S3Result<S3Response<DeleteObjectsOutput>> {
        self.delete_all(req.input)
    }

    async fn list_objects_v2(
        &self,
        req: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        self.list(req.input)
    }

    async fn create_multipart_upload(
        &self,
        req: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        self.begin(req.input)
    }

    async fn upload_part(&self, req: S3Request<UploadPartInput>) -> S3Result<S3Response<UploadPartOutput>> {
        self.part(req).await
    }

    async fn list_parts(&self, req: S3Request<ListPartsInput>) -> S3Result<S3Response<ListPartsOutput>> {
        self.parts(req.input)
    }

    async fn list_multipart_uploads(
        &self,
        req: S3Request<ListMultipartUploadsInput>,
    ) -> S3Result<S3Response<ListMultipartUploadsOutput>> {
        self.uploads(req.input)
    }

    async fn complete_multipart_upload(
        &self,
        req: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        self.complete(req.input)
    }

    async fn abort_multipart_upload(
        &self,
        req: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        let bucket = self.bucket(&req.input.bucket)?;
        self.upload(&bucket, &req.input.key, &req.input.upload_id)?;
        bucket.forget(&req.input.upload_id).map_err(internal)?;
        Ok(S3Response::new(AbortMultipartUploadOutput::default()))
    }
}

/// What a listing answers with: one page of what comes after a marker, and whether there is more.
fn page<T: Clone>(all: &[T], size: usize) -> (Vec<T>, bool) {
    (all.iter().take(size).cloned().collect(), all.len() > size)
}

/// Copies the parts one after the other.
fn assemble(parts: &[PathBuf], into: &mut std::fs::File) -> io::Result<()> {
    for part in parts {
        io::copy(&mut std::fs::File::open(part)?, into)?;
    }
    Ok(())
}

fn optional(headers: &Headers) -> (Option<StorageClass>, Option<ServerSideEncryption>) {
    (
        headers.storage_class.clone().map(StorageClass::from),
        headers.sse.clone().map(ServerSideEncryption::from),
    )
}
