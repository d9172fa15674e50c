//! Answers that the proxy makes up or changes.

use bytes::Bytes;
use chrono::{SecondsFormat, TimeDelta, Utc};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::header::{HeaderMap, HeaderName, HeaderValue, CONTENT_LENGTH, CONTENT_TYPE, DATE, RETRY_AFTER};
use hyper::{Response, StatusCode};

use super::body::{full, pass, Bend, Body};

/// As S3 writes an error; the answer to HEAD has no body.
pub fn error_document(status: u16, code: &str, retry_after: Option<u32>, is_head: bool) -> Response<Body> {
    let text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{}</Message><RequestId>4442587FB7D0A2F9</RequestId><HostId>proxy</HostId></Error>",
        message(code)
    );
    let mut response = Response::new(full(if is_head { Bytes::new() } else { Bytes::from(text) }));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    headers.insert("x-amz-request-id", HeaderValue::from_static("4442587FB7D0A2F9"));
    if let Some(seconds) = retry_after {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

fn message(code: &str) -> &'static str {
    match code {
        "InternalError" => "We encountered an internal error. Please try again.",
        "SlowDown" => "Please reduce your request rate.",
        "ServiceUnavailable" => "Reduce your request rate.",
        "ExpiredToken" => "The provided token has expired.",
        "InvalidAccessKeyId" => "The AWS Access Key Id you provided does not exist in our records.",
        "AccessDenied" => "Access Denied",
        "RequestTimeTooSkewed" => {
            "The difference between the request time and the current time is too large."
        }
        "PermanentRedirect" => {
            "The bucket you are attempting to access must be addressed using the specified endpoint."
        }
        "NoSuchBucket" => "The specified bucket does not exist",
        "NoSuchUpload" => "The specified upload does not exist.",
        "XAmzContentSHA256Mismatch" => {
            "The provided 'x-amz-content-sha256' header does not match what was computed."
        }
        _ => "The request failed.",
    }
}

/// The clock of the server is ahead of ours, or behind.
pub fn skewed(minutes: i32, is_head: bool) -> Response<Body> {
    let now = Utc::now();
    let there = now + TimeDelta::minutes(minutes.into());
    let text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>RequestTimeTooSkewed</Code><Message>{}</Message><RequestTime>{}</RequestTime><ServerTime>{}</ServerTime><MaxAllowedSkewMilliseconds>900000</MaxAllowedSkewMilliseconds></Error>",
        message("RequestTimeTooSkewed"),
        now.format("%Y%m%dT%H%M%SZ"),
        there.to_rfc3339_opts(SecondsFormat::Secs, true),
    );
    let mut response = Response::new(full(if is_head { Bytes::new() } else { Bytes::from(text) }));
    *response.status_mut() = StatusCode::FORBIDDEN;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    if let Ok(date) = HeaderValue::from_str(&there.format("%a, %d %b %Y %H:%M:%S GMT").to_string()) {
        response.headers_mut().insert(DATE, date);
    }
    response
}

/// The proxy's own: the server could not be asked.
pub fn bad_gateway(error: &anyhow::Error) -> Response<Body> {
    let mut response = Response::new(full(format!("{error:#}")));
    *response.status_mut() = StatusCode::BAD_GATEWAY;
    response
}

/// Changes the headers and, where it is XML, the body.
pub async fn rewrite(
    response: Response<Incoming>,
    change: fn(&mut HeaderMap, Option<String>) -> Option<String>,
) -> Result<Response<Body>, hyper::Error> {
    let (mut head, body) = response.into_parts();
    let xml = head.headers.get(CONTENT_TYPE).is_some_and(|t| t.as_bytes().starts_with(b"application/xml"));
    if !xml {
        change(&mut head.headers, None);
        return Ok(Response::from_parts(head, pass(body, Bend::Straight)));
    }
    let bytes = body.collect().await?.to_bytes();
    let text =
        change(&mut head.headers, Some(String::from_utf8_lossy(&bytes).into_owned())).unwrap_or_default();
    head.headers.insert(CONTENT_LENGTH, HeaderValue::from(text.len()));
    Ok(Response::from_parts(head, full(text)))
}

fn checksum_headers(headers: &HeaderMap) -> Vec<HeaderName> {
    headers.keys().filter(|n| n.as_str().starts_with("x-amz-checksum-")).cloned().collect()
}

/// No word of a checksum is left.
pub fn strip_checksums(headers: &mut HeaderMap, xml: Option<String>) -> Option<String> {
    for name in checksum_headers(headers) {
        headers.remove(name);
    }
    xml.map(|text| elements(&text, |_| String::new()))
}

/// Every checksum is another one of the same length.
pub fn wrong_checksums(headers: &mut HeaderMap, xml: Option<String>) -> Option<String> {
    for name in checksum_headers(headers) {
        let value =
            headers.get(&name).and_then(|v| v.to_str().ok()).filter(|_| name != "x-amz-checksum-type");
        if let Some(value) = value.and_then(|v| HeaderValue::from_str(&other(v)).ok()) {
            headers.insert(name, value);
        }
    }
    xml.map(|text| {
        elements(&text, |element| {
            let parts = element.find('>').and_then(|open| Some((open + 1, element.rfind('<')?)));
            match parts {
                Some((from, to))
                    if !element.starts_with("<ChecksumType")
                        && !element.starts_with("<ChecksumAlgorithm") =>
                {
                    format!("{}{}{}", &element[..from], other(&element[from..to]), &element[to..])
                }
                _ => element.to_owned(),
            }
        })
    })
}

fn other(value: &str) -> String {
    let first = if value.starts_with('A') { 'B' } else { 'A' };
    format!("{first}{}", value.get(1..).unwrap_or_default())
}

/// Replaces each `<Checksum…>…</Checksum…>` of a text.
fn elements(text: &str, replace: impl Fn(&str) -> String) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("<Checksum") {
        out.push_str(&rest[..at]);
        let end = rest[at..].find("</Checksum").and_then(|c| Some(at + c + rest[at + c..].find('>')? + 1));
        let Some(end) = end else { break };
        out.push_str(&replace(&rest[at..end]));
        rest = &rest[end..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_taken_out_or_changed_and_nothing_else() {
        let xml = "<P><ETag>e</ETag><ChecksumCRC64NVME>AAE=</ChecksumCRC64NVME><ChecksumType>FULL_OBJECT</ChecksumType></P>";
        let mut headers = HeaderMap::new();
        headers.insert("x-amz-checksum-crc32", HeaderValue::from_static("Q=="));
        headers.insert("etag", HeaderValue::from_static("e"));
        let wrong = wrong_checksums(&mut headers, Some(xml.to_owned())).unwrap();
        assert_eq!(wrong, xml.replace("AAE=", "BAE="));
        assert_eq!(headers["x-amz-checksum-crc32"], "A==");
        assert_eq!(strip_checksums(&mut headers, Some(xml.to_owned())).unwrap(), "<P><ETag>e</ETag></P>");
        assert_eq!(headers.len(), 1);
    }
}
