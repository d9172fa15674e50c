//! The program `ibsim` and its door, as a shell script uses them.

// A test that cannot go on has failed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use serde_json::{json, Value};

struct Program {
    child: Child,
    http: String,
}

impl Program {
    fn start(args: &[&str]) -> Self {
        let mut child =
            Command::new(env!("CARGO_BIN_EXE_ibsim")).args(args).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(|l| l.unwrap());
        let said: Vec<String> = lines.take_while(|l| l != "READY").collect();
        let http = said.iter().find_map(|l| l.strip_prefix("IBSIM_HTTP_0=")).unwrap().to_owned();
        assert!(said.iter().any(|l| l.starts_with("IBSIM_CA_FILE=/")), "{said:?}");
        Self { child, http }
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let mut stream = TcpStream::connect(&self.http).unwrap();
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let length = body.len();
        write!(stream, "{method} {path} HTTP/1.0\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{body}")
            .unwrap();
        let mut out = String::new();
        stream.read_to_string(&mut out).unwrap();
        let (head, body) = out.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), serde_json::from_str(body).unwrap())
    }

    fn door(&self, method: &str, path: &str, body: &Value) -> Value {
        let (status, out) = self.ask(method, &format!("/_sim/{path}"), body);
        assert_eq!(status, 200, "{out}");
        out
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

#[test]
fn the_door_does_what_the_library_does() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("f"), "bytes").unwrap();
    let volume = format!("DATA1={}", dir.path().display());
    let program = Program::start(&[
        "--release",
        "7.3",
        "--volume",
        &volume,
        "--volume",
        "ARCH1",
        "--cg",
        "DB=DATA1,ARCH1",
    ]);
    assert_eq!(program.door("GET", "objects", &Value::Null)[1]["name"], "ARCH1");
    assert_eq!(program.door("GET", "groups", &Value::Null)[0]["members"].as_array().unwrap().len(), 2);
    program.door(
        "POST",
        "change",
        &json!([{"snapshot": {"parent": "DATA1", "name": "s", "created_at": null}}]),
    );
    let to = dir.path().join("restored");
    program.door("POST", "restore", &json!({"from": "s", "to": to}));
    assert_eq!(std::fs::read_to_string(to.join("f")).unwrap(), "bytes");
    let many = json!({"parent": "DATA1", "prefix": "p", "count": 2000, "first_ms": 1, "step_ms": 2});
    assert_eq!(program.door("POST", "snapshots", &many).as_array().unwrap().len(), 2000);
    let rule = json!([{"path": "^/system", "which": {"nth": 1}, "fault": {"status": {"status": 503}}}]);
    program.door("POST", "faults", &rule);
    assert_eq!(program.ask("GET", "/api/rest/system", &Value::Null).0, 503);
    assert_eq!(program.ask("GET", "/api/rest/system", &Value::Null).0, 401);
    let log = program.door("GET", "log", &Value::Null);
    assert_eq!(
        (log.as_array().unwrap().len(), &log[0]["status"], &log[0]["executed"]),
        (2, &json!(503), &Value::Null)
    );
    assert_eq!(program.door("POST", "guesses", &json!({"like": "prefix"}))["like"], "prefix");
    assert_eq!(program.door("POST", "guesses", &json!("other"))["cookie_name"], "INFINIBOX_SESSION");
    let now = program.door("GET", "now", &Value::Null).as_i64().unwrap();
    program.door("POST", "settings", &json!({"clock_offset_ms": 3_600_000}));
    assert!(program.door("GET", "now", &Value::Null).as_i64().unwrap() >= now + 3_600_000);
    for (path, body) in
        [("guesses", json!({"no": 1})), ("settings", json!({"no": 1})), ("nothing", json!({}))]
    {
        let (status, out) = program.ask("POST", &format!("/_sim/{path}"), &body);
        assert!(status == 400 && out["error"].is_string(), "{path}: {status} {out}");
    }
}
