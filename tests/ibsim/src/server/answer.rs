//! Answers as Apache and the array's management write them.

use std::io::Write;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use hyper::header::{HeaderName, HeaderValue};
use hyper::Response;

pub type Body = UnsyncBoxBody<Bytes, std::io::Error>;

/// What an answer says besides its body.
#[derive(Debug, Clone, Default)]
pub struct Head {
    pub status: u16,
    pub content_type: &'static str,
    pub extra: Vec<(&'static str, String)>,
    pub gzip: bool,
}

/// Chunked, as the array sends everything; `cut` breaks it off after that many bytes.
pub fn answer(head: &Head, body: Vec<u8>, cut: Option<usize>) -> Response<Body> {
    let body = if head.gzip { compress(&body) } else { body };
    let mut frames = Vec::new();
    match cut {
        None if body.is_empty() => {}
        None => frames.push(Ok(Frame::data(Bytes::from(body)))),
        Some(at) => {
            let broken = std::io::Error::new(std::io::ErrorKind::ConnectionReset, "cut by the simulator");
            frames.push(Ok(Frame::data(Bytes::copy_from_slice(&body[..at.min(body.len() / 2)]))));
            frames.push(Err(broken));
        }
    }
    let mut response = Response::new(StreamBody::new(stream::iter(frames)).boxed_unsync());
    *response.status_mut() =
        hyper::StatusCode::from_u16(head.status).unwrap_or(hyper::StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    let mut put = |name: &'static str, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    };
    put("server", "Apache");
    put("content-type", head.content_type);
    put("vary", "Accept-Encoding");
    put("cache-control", "no-cache");
    put("x-xss-protection", "1; mode=block");
    put("x-content-type-options", "nosniff");
    if head.gzip {
        put("content-encoding", "gzip");
    }
    for (name, value) in &head.extra {
        put(name, value);
    }
    response
}

fn compress(body: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    // A Vec takes everything.
    let _whole = out.write_all(body);
    out.finish().unwrap_or_default()
}

/// As the header `Date` has it.
pub fn date(epoch_ms: i64) -> String {
    let time = SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(epoch_ms).unwrap_or_default());
    chrono::DateTime::<chrono::Utc>::from(time).format("%a, %d %b %Y %H:%M:%S GMT").to_string()
}
