//! The first things that a client does.

use std::io::{Read, Write};
use std::net::TcpStream;

use ibsim::{Array, Config};

fn call(array: &Array, method: &str, path: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(array.host(0)).unwrap();
    let basic = base64_simd::STANDARD.encode_to_string(format!("admin:{}", ibsim::PASSWORD));
    write!(
        stream,
        "{method} /api/rest{path} HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {basic}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut out = String::new();
    stream.read_to_string(&mut out).unwrap();
    out
}

#[test]
fn a_snapshot_is_made_listed_and_deleted() {
    let array = Array::start(Config::default()).unwrap();
    let id = array.add_volume("DATA1").unwrap();
    let made = call(&array, "POST", "/volumes", &format!(r#"{{"parent_id":{id},"name":"snap1"}}"#));
    assert!(made.starts_with("HTTP/1.1 201"), "{made}");
    let listed = call(&array, "GET", "/volumes?type=eq:snapshot&name=like:nap", "");
    assert!(listed.contains(r#""number_of_objects":1"#), "{listed}");
    let snap = array.object("snap1").unwrap().id;
    let asked = call(&array, "DELETE", &format!("/volumes/{snap}"), "");
    assert!(asked.starts_with("HTTP/1.1 403"), "{asked}");
    let gone = call(&array, "DELETE", &format!("/volumes/{snap}?approved=true"), "");
    assert!(gone.starts_with("HTTP/1.1 200"), "{gone}");
    assert_eq!(array.snapshots(), []);
    assert_eq!(array.count("DELETE", "^/volumes/"), 2);
}
