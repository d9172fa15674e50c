//! A client of a few lines, which hides nothing.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use ibsim::{Array, PASSWORD};
use serde_json::Value;

/// One answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    pub fn code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap().to_owned()
    }

    pub fn result(&self) -> Value {
        assert!((200..300).contains(&self.status), "{} {}", self.status, self.json());
        self.json()["result"].clone()
    }
}

pub fn basic(user: &str, password: &str) -> String {
    format!(
        "Authorization: Basic {}\r\n",
        base64_simd::STANDARD.encode_to_string(format!("{user}:{password}"))
    )
}

/// Sends on a connection that is there; an empty answer or a broken one is an error.
pub fn on(
    stream: &mut TcpStream,
    method: &str,
    path: &str,
    headers: &str,
    body: &str,
) -> std::io::Result<Answer> {
    let length = body.len();
    write!(
        stream,
        "{method} /api/rest{path} HTTP/1.1\r\nHost: box\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
    )?;
    let mut raw = Vec::new();
    let mut byte = [0];
    while !raw.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        raw.push(byte[0]);
    }
    let head = String::from_utf8(raw).unwrap();
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers: Vec<(String, String)> =
        lines.filter_map(|l| l.split_once(": ")).map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
    let mut body = Vec::new();
    loop {
        let mut size = Vec::new();
        while !size.ends_with(b"\r\n") {
            stream.read_exact(&mut byte)?;
            size.push(byte[0]);
        }
        let size = usize::from_str_radix(String::from_utf8(size).unwrap().trim(), 16).unwrap();
        let mut chunk = vec![0; size + 2];
        stream.read_exact(&mut chunk)?;
        if size == 0 {
            return Ok(Answer { status, headers, body });
        }
        body.extend(&chunk[..size]);
    }
}

pub fn connect(array: &Array) -> TcpStream {
    let stream = TcpStream::connect(array.host(0)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

pub fn try_as(array: &Array, user: &str, method: &str, path: &str, body: &str) -> std::io::Result<Answer> {
    on(&mut connect(array), method, path, &basic(user, PASSWORD), body)
}

pub fn call(array: &Array, method: &str, path: &str, body: &str) -> Answer {
    try_as(array, "admin", method, path, body).unwrap()
}

pub fn get(array: &Array, path: &str) -> Answer {
    call(array, "GET", path, "")
}
