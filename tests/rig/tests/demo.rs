//! The demo can fail: it says so, and its exit status too.

// A test that cannot go on has failed.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use orasim::server::admin::Admin;
use orasim::server::client::Connection;
use orasim::server::wire::Request;

#[test]
fn a_log_that_vanishes_at_the_source_makes_the_demo_fail() {
    let dir = tempfile::Builder::new().prefix("orapipe-demo-test-").tempdir().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/demo.sh");
    let demo = Command::new(script)
        .args(["--no-tmux", "--quiet", "--loopback", "--dir"])
        .arg(dir.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let begin = Instant::now();
    let mut connection = loop {
        match Connection::open(&dir.path().join("primary")) {
            Ok(connection) => break connection,
            Err(error) => assert!(begin.elapsed() < Duration::from_secs(300), "{error:#}"),
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let fault = r#"{"lose_archived": [[1, 7]]}"#.to_owned();
    connection.ask(Request::Admin(Admin::Physics(fault))).unwrap();
    let out = demo.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(2), "{said}");
    assert!(said.contains("demo: FAILED during: "), "{said}");
    assert!(!said.contains("What was proved"), "{said}");
    assert!(said.contains("sequence 7"), "{said}");
    // Nothing of it runs on.
    assert!(Connection::open(&dir.path().join("primary")).is_err());
}
