//! Multipart uploads, with the checks that S3 makes before it loses anything.

use s3s::dto::*;
use s3s::{s3_error, S3Request, S3Response, S3Result};

use super::disk::{self, Bucket, Object as Stored, Part as StoredPart, Upload};
use super::objects::trailer_names;
use super::sums::{self, Sums};
use super::{
    answer_sums, assemble, check_match, checksum_kind, claimed, headers, hex, internal, map, page, signed,
    size_of_page, small, stamp, Store,
};

const MOST_PARTS: i32 = 10_000;

impl Store {
    pub(super) fn upload(&self, bucket: &Bucket, key: &str, id: &str) -> S3Result<Upload> {
        let found = bucket.upload(id).map_err(internal)?.filter(|u| u.key == key);
        found.ok_or_else(|| {
            s3_error!(
                NoSuchUpload,
                "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed."
            )
        })
    }

    pub(super) fn begin(
        &self,
        input: CreateMultipartUploadInput,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        let bucket = self.bucket(&input.bucket)?;
        let algorithm = input.checksum_algorithm.as_ref().map(|a| a.as_str().to_owned());
        if algorithm.as_deref().is_some_and(|a| !sums::NAMES.contains(&a)) {
            return Err(s3_error!(InvalidRequest, "Checksum algorithm provided is unsupported."));
        }
        let upload = Upload {
            id: self.fresh(),
            key: input.key.clone(),
            initiated: disk::now(),
            headers: headers!(input),
            metadata: map(input.metadata),
            checksum_type: checksum_kind(algorithm.as_deref(), input.checksum_type.as_ref())?,
            algorithm,
        };
        bucket.save_upload(&upload).map_err(internal)?;
        Ok(S3Response::new(CreateMultipartUploadOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            checksum_algorithm: input.checksum_algorithm,
            checksum_type: upload.algorithm.map(|_| ChecksumType::from(upload.checksum_type)),
            upload_id: Some(upload.id),
            ..Default::default()
        }))
    }

    pub(super) async fn part(
        &self,
        req: S3Request<UploadPartInput>,
    ) -> S3Result<S3Response<UploadPartOutput>> {
        let mut input = req.input;
        let bucket = self.bucket(&input.bucket)?;
        let upload = self.upload(&bucket, &input.key, &input.upload_id)?;
        if !(1..=MOST_PARTS).contains(&input.part_number) {
            return Err(s3_error!(
                InvalidArgument,
                "Part number must be an integer between 1 and 10000, inclusive"
            ));
        }
        let claimed = claimed!(input);
        let trailer = req.headers.get("x-amz-trailer").and_then(|v| v.to_str().ok()).unwrap_or_default();
        let mut announced = trailer_names(trailer);
        // CRC64NVME of the whole needs that of every part; another algorithm is demanded of the client.
        let given =
            claimed.algorithm().map(str::to_owned).or_else(|| announced.first().map(|a| a.to_uppercase()));
        if let (Some(expected), Some(given)) = (&upload.algorithm, &given) {
            if expected != given {
                return Err(s3_error!(
                    InvalidRequest,
                    "Checksum Type mismatch occurred, expected checksum Type: {}, actual checksum Type: {}",
                    expected.to_lowercase(),
                    given.to_lowercase()
                ));
            }
        }
        announced.extend(upload.algorithm.as_deref());
        let body = input.body.take();
        let trailers = req.trailing_headers.as_ref();
        let md5 = input.content_md5.as_deref();
        let received = self.receive(&bucket, body, claimed, &announced, trailers, md5).await?;
        // It may have been aborted or completed while the body was on its way.
        self.upload(&bucket, &input.key, &input.upload_id)?;
        let part = StoredPart {
            number: u32::try_from(input.part_number).unwrap_or_default(),
            bytes: received.bytes,
            etag: received.etag,
            modified: disk::now(),
            sums: received.computed,
        };
        bucket.save_part(&input.upload_id, &part, received.data).map_err(internal)?;
        let mut output =
            UploadPartOutput { e_tag: Some(ETag::Strong(part.etag.clone())), ..Default::default() };
        if let Some(name) = upload.algorithm.or(given) {
            answer_sums!(output, &one(&part.sums, &name));
        }
        Ok(S3Response::new(output))
    }

    pub(super) fn parts(&self, input: ListPartsInput) -> S3Result<S3Response<ListPartsOutput>> {
        let bucket = self.bucket(&input.bucket)?;
        let upload = self.upload(&bucket, &input.key, &input.upload_id)?;
        let after = input.part_number_marker.and_then(|n| u32::try_from(n).ok()).unwrap_or(0);
        let mut parts = bucket.parts(&upload.id).map_err(internal)?;
        parts.retain(|p| p.number > after);
        let size = size_of_page(input.max_parts, self.rules.page);
        let (shown, more) = page(&parts, size);
        let number = |p: &StoredPart| i32::try_from(p.number).unwrap_or(MOST_PARTS);
        Ok(S3Response::new(ListPartsOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            upload_id: Some(input.upload_id),
            checksum_algorithm: upload.algorithm.clone().map(ChecksumAlgorithm::from),
            checksum_type: upload
                .algorithm
                .as_ref()
                .map(|_| ChecksumType::from(upload.checksum_type.clone())),
            is_truncated: Some(more),
            max_parts: Some(small(size)),
            next_part_number_marker: shown.last().filter(|_| more).map(number),
            part_number_marker: input.part_number_marker,
            parts: Some(
                shown
                    .iter()
                    .map(|p| {
                        let mut part = Part {
                            e_tag: Some(ETag::Strong(p.etag.clone())),
                            last_modified: Some(stamp(p.modified)),
                            part_number: Some(number(p)),
                            size: Some(signed(p.bytes)),
                            ..Default::default()
                        };
                        // Checksums that were not asked for at the beginning are not told.
                        if let Some(name) = &upload.algorithm {
                            answer_sums!(part, &one(&p.sums, name));
                        }
                        part
                    })
                    .collect(),
            ),
            ..Default::default()
        }))
    }

    pub(super) fn uploads(
        &self,
        input: ListMultipartUploadsInput,
    ) -> S3Result<S3Response<ListMultipartUploadsOutput>> {
        let bucket = self.bucket(&input.bucket)?;
        let prefix = input.prefix.clone().unwrap_or_default();
        let after = (
            input.key_marker.clone().unwrap_or_default(),
            input.upload_id_marker.clone().unwrap_or_default(),
        );
        let mut uploads = bucket.uploads().map_err(internal)?;
        uploads.retain(|u| u.key.starts_with(&prefix));
        if !after.0.is_empty() {
            uploads.retain(|u| match after.1.is_empty() {
                true => u.key > after.0,
                false => (&u.key, &u.id) > (&after.0, &after.1),
            });
        }
        let size = size_of_page(input.max_uploads, self.rules.page);
        let (shown, more) = page(&uploads, size);
        let last = shown.last().filter(|_| more);
        Ok(S3Response::new(ListMultipartUploadsOutput {
            bucket: Some(input.bucket),
            is_truncated: Some(more),
            key_marker: input.key_marker,
            max_uploads: Some(small(size)),
            next_key_marker: last.map(|u| u.key.clone()),
            next_upload_id_marker: last.map(|u| u.id.clone()),
            prefix: input.prefix,
            upload_id_marker: input.upload_id_marker,
            uploads: Some(
                shown
                    .into_iter()
                    .map(|u| MultipartUpload {
                        checksum_type: u.algorithm.is_some().then(|| ChecksumType::from(u.checksum_type)),
                        checksum_algorithm: u.algorithm.map(ChecksumAlgorithm::from),
                        initiated: Some(stamp(u.initiated)),
                        key: Some(u.key),
                        upload_id: Some(u.id),
                        storage_class: Some(StorageClass::from_static("STANDARD")),
                        ..Default::default()
                    })
                    .collect(),
            ),
            ..Default::default()
        }))
    }

    pub(super) fn complete(
        &self,
        input: CompleteMultipartUploadInput,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        let bucket = self.bucket(&input.bucket)?;
        let upload = self.upload(&bucket, &input.key, &input.upload_id)?;
        let there = bucket.object(&input.key, None).map_err(internal)?.map(|o| o.0);
        check_match(input.if_match.as_ref(), input.if_none_match.as_ref(), there.as_ref())?;
        let listed = input.multipart_upload.as_ref().and_then(|m| m.parts.clone()).unwrap_or_default();
        let parts = self.listed_parts(&bucket, &upload, &listed)?;
        let pairs: Vec<(&Sums, u64)> = parts.iter().map(|p| (&p.sums, p.bytes)).collect();
        let algorithm = upload.algorithm.clone().unwrap_or_else(|| "CRC64NVME".to_owned());
        let whole = match upload.checksum_type.as_str() {
            ChecksumType::COMPOSITE => sums::composite(&algorithm, &pairs)?,
            _ => sums::full_object(&algorithm, &pairs)?,
        };
        let computed = Sums::only(&algorithm, whole);
        claimed!(input).check(&computed)?;
        let bytes: u64 = parts.iter().map(|p| p.bytes).sum();
        if input.mpu_object_size.is_some_and(|size| size != signed(bytes)) {
            return Err(s3_error!(
                InvalidRequest,
                "The provided 'x-amz-mp-object-size' header does not match"
            ));
        }
        let mut data = bucket.scratch().map_err(internal)?;
        if self.rules.sink {
            data.as_file().set_len(bytes).map_err(internal)?;
        } else {
            let files: Vec<_> = parts.iter().map(|p| bucket.part_data(&upload.id, p.number)).collect();
            assemble(&files, data.as_file_mut()).map_err(internal)?;
        }
        let object = Stored {
            key: upload.key.clone(),
            bytes,
            etag: etag(&parts),
            modified: disk::now(),
            metadata: upload.metadata,
            sums: computed,
            checksum_type: upload.checksum_type,
            parts: parts.iter().map(|p| p.bytes).collect(),
            version: self.rules.versioned.then(|| self.fresh()),
            headers: upload.headers,
        };
        bucket.publish(&object, data).map_err(internal)?;
        bucket.forget(&upload.id).map_err(internal)?;
        let mut output = CompleteMultipartUploadOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            e_tag: Some(ETag::Strong(object.etag.clone())),
            checksum_type: Some(ChecksumType::from(object.checksum_type.clone())),
            version_id: object.version.clone(),
            ..Default::default()
        };
        answer_sums!(output, &object.sums);
        Ok(S3Response::new(output))
    }

    /// The parts that the client wants, after every check: nothing is touched before all of them hold.
    fn listed_parts(
        &self,
        bucket: &Bucket,
        upload: &Upload,
        listed: &[CompletedPart],
    ) -> S3Result<Vec<StoredPart>> {
        if listed.is_empty() {
            return Err(s3_error!(MalformedXML, "You must specify at least one part"));
        }
        let mut stored: std::collections::BTreeMap<u32, StoredPart> = std::collections::BTreeMap::new();
        for part in bucket.parts(&upload.id).map_err(internal)? {
            stored.insert(part.number, part);
        }
        let mut parts: Vec<StoredPart> = Vec::new();
        for want in listed {
            let number = want.part_number.and_then(|n| u32::try_from(n).ok()).unwrap_or(0);
            if parts.last().is_some_and(|p| p.number >= number) {
                return Err(s3_error!(InvalidPartOrder));
            }
            let invalid = || {
                s3_error!(
                    InvalidPart,
                    "One or more of the specified parts could not be found. The part might not have been uploaded, or the specified entity tag might not have matched the part's entity tag."
                )
            };
            let part = stored.remove(&number).ok_or_else(invalid)?;
            if want.e_tag.as_ref().map(ETag::value) != Some(&part.etag) {
                return Err(invalid());
            }
            let claimed = claimed!(want);
            let wanted =
                upload.algorithm.as_deref().filter(|_| upload.checksum_type == ChecksumType::COMPOSITE);
            if wanted.is_some_and(|name| claimed.get(name).is_none()) {
                return Err(s3_error!(InvalidRequest, "The upload was created using a checksum algorithm. The complete request must include the checksum for each part."));
            }
            if claimed.check(&part.sums).is_err() {
                return Err(invalid());
            }
            parts.push(part);
        }
        let whole = parts.len() - 1;
        if parts[..whole].iter().any(|p| p.bytes < self.rules.minimum_part) {
            return Err(s3_error!(
                EntityTooSmall,
                "Your proposed upload is smaller than the minimum allowed size"
            ));
        }
        Ok(parts)
    }
}

/// MD5 of the MD5s, with the number of parts.
fn etag(parts: &[StoredPart]) -> String {
    let mut all = Vec::new();
    for part in parts {
        let byte = |at: usize| u8::from_str_radix(part.etag.get(at..at + 2).unwrap_or("00"), 16).unwrap_or(0);
        all.extend((0..16).map(|n| byte(n * 2)));
    }
    let md5 = <s3s::crypto::Md5 as s3s::crypto::Checksum>::checksum(&all);
    format!("{}-{}", hex(md5.as_ref()), parts.len())
}

fn one(sums: &Sums, name: &str) -> Sums {
    sums.get(name).map_or_else(Sums::default, |value| Sums::only(name, value.clone()))
}
