//! Whole objects: put, get, head, list, delete.

use std::collections::BTreeSet;

use s3s::dto::*;
use s3s::{s3_error, S3Request, S3Response, S3Result};

use super::disk::{self, Chunks, Object as Stored};
use super::{
    answer_sums, check_match, claimed, headers, internal, map, optional, page, signed, size_of_page, small,
    stamp, Store,
};

const FIVE_GIB: u64 = 5 << 30;

impl Store {
    pub(super) async fn put(&self, req: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        let mut input = req.input;
        let bucket = self.bucket(&input.bucket)?;
        let there = || bucket.object(&input.key, None).map_err(internal);
        check_match(input.if_match.as_ref(), input.if_none_match.as_ref(), there()?.map(|o| o.0).as_ref())?;
        let announced: Vec<&str> = input.checksum_algorithm.iter().map(ChecksumAlgorithm::as_str).collect();
        let trailer = req.headers.get("x-amz-trailer").and_then(|v| v.to_str().ok()).unwrap_or_default();
        let announced = [announced, trailer_names(trailer)].concat();
        let body = input.body.take();
        let md5 = input.content_md5.as_deref();
        let trailers = req.trailing_headers.as_ref();
        let received = self.receive(&bucket, body, claimed!(input), &announced, trailers, md5).await?;
        if received.bytes > FIVE_GIB {
            return Err(s3_error!(EntityTooLarge));
        }
        // It may have come while the body was on its way.
        let there = bucket.object(&input.key, None).map_err(internal)?.map(|o| o.0);
        check_match(input.if_match.as_ref(), input.if_none_match.as_ref(), there.as_ref())?;
        let object = Stored {
            key: input.key.clone(),
            bytes: received.bytes,
            etag: received.etag,
            modified: disk::now(),
            headers: headers!(input),
            metadata: map(input.metadata),
            sums: received.computed,
            checksum_type: ChecksumType::FULL_OBJECT.to_owned(),
            parts: Vec::new(),
            version: self.rules.versioned.then(|| self.fresh()),
        };
        bucket.publish(&object, received.data).map_err(internal)?;
        let mut output = PutObjectOutput {
            e_tag: Some(ETag::Strong(object.etag.clone())),
            checksum_type: Some(ChecksumType::from(object.checksum_type.clone())),
            version_id: object.version.clone(),
            ..Default::default()
        };
        output.server_side_encryption = optional(&object.headers).1;
        answer_sums!(output, &object.sums);
        Ok(S3Response::new(output))
    }

    fn find(&self, bucket: &str, key: &str, version: Option<&str>) -> S3Result<(Stored, std::path::PathBuf)> {
        let found = self.bucket(bucket)?.object(key, version).map_err(internal)?;
        found.ok_or_else(|| match version {
            Some(_) => s3_error!(NoSuchVersion),
            None => s3_error!(NoSuchKey, "The specified key does not exist."),
        })
    }

    pub(super) fn get(&self, input: &GetObjectInput) -> S3Result<S3Response<GetObjectOutput>> {
        let (object, data) = self.find(&input.bucket, &input.key, input.version_id.as_deref())?;
        if input.part_number.is_some() {
            return Err(s3_error!(NotImplemented, "this server knows ranges, not part numbers"));
        }
        check_match(input.if_match.as_ref(), input.if_none_match.as_ref(), Some(&object))?;
        let range = input.range.map(|r| r.check(object.bytes)).transpose()?;
        let (from, to) = range.as_ref().map_or((0, object.bytes), |r| (r.start, r.end));
        let chunks = Chunks::open(&data, from, to - from).map_err(internal)?;
        let (storage_class, server_side_encryption) = optional(&object.headers);
        let mut output = GetObjectOutput {
            accept_ranges: Some("bytes".to_owned()),
            body: Some(StreamingBlob::wrap(futures_util::stream::iter(chunks))),
            content_length: Some(signed(to - from)),
            content_range: range.map(|r| format!("bytes {}-{}/{}", r.start, r.end - 1, object.bytes)),
            content_type: object.headers.content_type.clone(),
            e_tag: Some(ETag::Strong(object.etag.clone())),
            last_modified: Some(stamp(object.modified)),
            metadata: Some(object.metadata.clone().into_iter().collect()),
            parts_count: None,
            server_side_encryption,
            storage_class,
            version_id: object.version.clone(),
            ..Default::default()
        };
        // A checksum of the whole says nothing about a range.
        let asked = input.checksum_mode.as_ref().is_some_and(|m| m.as_str() == ChecksumMode::ENABLED);
        if asked && to - from == object.bytes {
            output.checksum_type = Some(ChecksumType::from(object.checksum_type.clone()));
            answer_sums!(output, &object.sums);
        }
        Ok(S3Response::new(output))
    }

    pub(super) fn head(&self, input: &HeadObjectInput) -> S3Result<S3Response<HeadObjectOutput>> {
        let (object, _) = self.find(&input.bucket, &input.key, input.version_id.as_deref())?;
        check_match(input.if_match.as_ref(), input.if_none_match.as_ref(), Some(&object))?;
        let (storage_class, server_side_encryption) = optional(&object.headers);
        let mut output = HeadObjectOutput {
            accept_ranges: Some("bytes".to_owned()),
            content_length: Some(signed(object.bytes)),
            content_type: object.headers.content_type.clone(),
            e_tag: Some(ETag::Strong(object.etag.clone())),
            last_modified: Some(stamp(object.modified)),
            metadata: Some(object.metadata.clone().into_iter().collect()),
            object_lock_mode: object.headers.lock_mode.clone().map(ObjectLockMode::from),
            object_lock_retain_until_date: object.headers.lock_until.map(stamp),
            server_side_encryption,
            ssekms_key_id: object.headers.kms_key_id.clone(),
            storage_class,
            version_id: object.version.clone(),
            ..Default::default()
        };
        if input.checksum_mode.as_ref().is_some_and(|m| m.as_str() == ChecksumMode::ENABLED) {
            output.checksum_type = Some(ChecksumType::from(object.checksum_type.clone()));
            answer_sums!(output, &object.sums);
        }
        Ok(S3Response::new(output))
    }

    pub(super) fn list(&self, input: ListObjectsV2Input) -> S3Result<S3Response<ListObjectsV2Output>> {
        let bucket = self.bucket(&input.bucket)?;
        let prefix = input.prefix.clone().unwrap_or_default();
        let after =
            input.continuation_token.clone().or_else(|| input.start_after.clone()).unwrap_or_default();
        let mut entries: Vec<Entry> = Vec::new();
        let mut folded = BTreeSet::new();
        for (key, object) in bucket.objects().map_err(internal)? {
            let Some(rest) = key.strip_prefix(&prefix) else { continue };
            let delimiter = input.delimiter.as_deref().filter(|d| !d.is_empty());
            match delimiter.and_then(|d| rest.find(d).map(|at| at + d.len())) {
                Some(end) => {
                    let common = format!("{prefix}{}", &rest[..end]);
                    if common > after && folded.insert(common.clone()) {
                        entries.push(Entry::Common(common));
                    }
                }
                None if key > after => entries.push(Entry::Object(Box::new(object))),
                None => {}
            }
        }
        let size = size_of_page(input.max_keys, self.rules.page);
        let (shown, more) = page(&entries, size);
        let next = shown.last().filter(|_| more).map(|entry| match entry {
            Entry::Common(common) => common.clone(),
            Entry::Object(object) => object.key.clone(),
        });
        let mut contents = Vec::new();
        let mut common_prefixes = Vec::new();
        let count = shown.len();
        for entry in shown {
            match entry {
                Entry::Common(prefix) => common_prefixes.push(CommonPrefix { prefix: Some(prefix) }),
                Entry::Object(o) => contents.push(Object {
                    key: Some(o.key.clone()),
                    size: Some(signed(o.bytes)),
                    e_tag: Some(ETag::Strong(o.etag.clone())),
                    last_modified: Some(stamp(o.modified)),
                    storage_class: Some(ObjectStorageClass::from_static("STANDARD")),
                    ..Default::default()
                }),
            }
        }
        Ok(S3Response::new(ListObjectsV2Output {
            key_count: Some(small(count)),
            max_keys: Some(small(size)),
            is_truncated: Some(more),
            contents: Some(contents),
            common_prefixes: Some(common_prefixes),
            continuation_token: input.continuation_token,
            next_continuation_token: next,
            delimiter: input.delimiter,
            encoding_type: None,
            name: Some(input.bucket),
            prefix: input.prefix,
            start_after: input.start_after,
            ..Default::default()
        }))
    }

    pub(super) fn delete_all(&self, input: DeleteObjectsInput) -> S3Result<S3Response<DeleteObjectsOutput>> {
        let bucket = self.bucket(&input.bucket)?;
        let mut deleted = Vec::new();
        for object in input.delete.objects {
            bucket.delete(&object.key, object.version_id.as_deref()).map_err(internal)?;
            deleted.push(DeletedObject {
                key: Some(object.key),
                version_id: object.version_id,
                ..Default::default()
            });
        }
        Ok(S3Response::new(DeleteObjectsOutput { deleted: Some(deleted), ..Default::default() }))
    }
}

#[derive(Clone)]
enum Entry {
    Common(String),
    Object(Box<Stored>),
}

/// `x-amz-checksum-crc64nvme` in `x-amz-trailer` announces an algorithm as well.
pub(super) fn trailer_names(trailer: &str) -> Vec<&str> {
    trailer.split(',').filter_map(|t| t.trim().strip_prefix("x-amz-checksum-")).collect()
}
