//! Which S3 operation an HTTP request is, read from its method, path, query and headers alone.

use hyper::header::HeaderMap;
use hyper::{Method, Uri};
use percent_encoding::percent_decode_str;

/// The operations that backup tools use; everything else is `Other`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Operation {
    PutObject,
    GetObject,
    HeadObject,
    DeleteObject,
    DeleteObjects,
    CopyObject,
    CreateMultipartUpload,
    UploadPart,
    CompleteMultipartUpload,
    AbortMultipartUpload,
    ListParts,
    ListMultipartUploads,
    ListObjects,
    HeadBucket,
    CreateBucket,
    DeleteBucket,
    Other,
}

/// One request as it concerns S3. Bucket and key are decoded; path style only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    pub operation: Operation,
    pub bucket: String,
    pub key: String,
    /// 1 to 10,000; 0 when the request is about no part.
    pub part: u32,
    pub upload_id: String,
    /// The `Range` header as it came.
    pub range: String,
    /// Bytes of the body as announced, framing included.
    pub length: u64,
}

impl Call {
    pub fn of(method: &Method, uri: &Uri, headers: &HeaderMap) -> Self {
        let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let path = uri.path().strip_prefix('/').unwrap_or_default();
        let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
        let query: Vec<(String, String)> = uri
            .query()
            .unwrap_or_default()
            .split('&')
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .map(|(name, value)| (decode(name), decode(value)))
            .collect();
        let asked = |name: &str| query.iter().find(|(n, _)| n == name).map(|(_, value)| value.clone());
        let header = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default();
        let upload_id = asked("uploadId");
        let uploads = asked("uploads").is_some();
        let operation = match (method.as_str(), bucket.is_empty(), key.is_empty()) {
            (_, true, _) => Operation::Other,
            ("PUT", _, true) if asked("versioning").is_none() => Operation::CreateBucket,
            ("HEAD", _, true) => Operation::HeadBucket,
            ("DELETE", _, true) => Operation::DeleteBucket,
            ("POST", _, true) if asked("delete").is_some() => Operation::DeleteObjects,
            ("GET", _, true) if uploads => Operation::ListMultipartUploads,
            ("GET", _, true) if asked("location").or_else(|| asked("versioning")).is_none() => {
                Operation::ListObjects
            }
            (_, _, true) => Operation::Other,
            ("PUT", ..) if upload_id.is_some() => Operation::UploadPart,
            ("PUT", ..) if headers.contains_key("x-amz-copy-source") => Operation::CopyObject,
            ("PUT", ..) => Operation::PutObject,
            ("POST", ..) if uploads => Operation::CreateMultipartUpload,
            ("POST", ..) if upload_id.is_some() => Operation::CompleteMultipartUpload,
            ("DELETE", ..) if upload_id.is_some() => Operation::AbortMultipartUpload,
            ("DELETE", ..) => Operation::DeleteObject,
            ("GET", ..) if upload_id.is_some() => Operation::ListParts,
            ("GET", ..) => Operation::GetObject,
            ("HEAD", ..) => Operation::HeadObject,
            _ => Operation::Other,
        };
        Self {
            operation,
            bucket: decode(bucket),
            key: decode(key),
            part: asked("partNumber").and_then(|n| n.parse().ok()).unwrap_or(0),
            upload_id: upload_id.unwrap_or_default(),
            range: header("range").to_owned(),
            length: header("content-length").parse().unwrap_or(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(method: &str, uri: &str) -> Call {
        Call::of(&method.parse().unwrap(), &uri.parse().unwrap(), &HeaderMap::new())
    }

    #[test]
    fn every_operation_of_an_upload_and_a_download_is_told_apart() {
        let operation = |method, uri| call(method, uri).operation;
        assert_eq!(operation("PUT", "/b/k"), Operation::PutObject);
        assert_eq!(operation("PUT", "/b/k?x-id=PutObject"), Operation::PutObject);
        assert_eq!(operation("POST", "/b/k?uploads"), Operation::CreateMultipartUpload);
        assert_eq!(operation("POST", "/b/k?uploads="), Operation::CreateMultipartUpload);
        assert_eq!(operation("POST", "/b/k?uploadId=u"), Operation::CompleteMultipartUpload);
        assert_eq!(operation("DELETE", "/b/k?uploadId=u&x-id=x"), Operation::AbortMultipartUpload);
        assert_eq!(operation("DELETE", "/b/k"), Operation::DeleteObject);
        assert_eq!(operation("GET", "/b/k?uploadId=u"), Operation::ListParts);
        assert_eq!(operation("GET", "/b?uploads"), Operation::ListMultipartUploads);
        assert_eq!(operation("GET", "/b/?list-type=2&prefix=x"), Operation::ListObjects);
        assert_eq!(operation("GET", "/b?location"), Operation::Other);
        assert_eq!(operation("GET", "/b/k"), Operation::GetObject);
        assert_eq!(operation("HEAD", "/b/k"), Operation::HeadObject);
        assert_eq!(operation("HEAD", "/b"), Operation::HeadBucket);
        assert_eq!(operation("POST", "/b?delete"), Operation::DeleteObjects);
        assert_eq!(operation("GET", "/"), Operation::Other);
    }

    #[test]
    fn a_part_knows_its_number_and_a_key_is_decoded_once() {
        let part = call("PUT", "/b/a%20b%2Bc%25/%C3%A7?partNumber=7&uploadId=x%2By");
        assert_eq!(part.operation, Operation::UploadPart);
        assert_eq!((part.key.as_str(), part.part, part.upload_id.as_str()), ("a b+c%/ç", 7, "x+y"));
    }
}
