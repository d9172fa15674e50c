//! The demo can fail: it says so, and its exit status too.

// A test that cannot go on has failed.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use orasim::datapump::{Config, Fault, Kind};
use orasim::server::admin::Admin;
use orasim::server::client::Connection;
use orasim::server::wire::Request;
use rustix::process::{kill_process, Pid, Signal};
use tempfile::TempDir;

struct Demo {
    child: Option<Child>,
    dir: TempDir,
}

impl Demo {
    fn start(args: &[&str]) -> Self {
        let dir = tempfile::Builder::new().prefix("orapipe-demo-test-").tempdir().unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/demo.sh");
        let child = Command::new(script)
            .args(["--no-tmux", "--quiet", "--loopback", "--dir"])
            .arg(dir.path())
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self { child: Some(child), dir }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Waits for what the demo does after its build.
    fn until<T>(&self, what: &str, mut found: impl FnMut(&Self) -> Option<T>) -> T {
        let begin = Instant::now();
        loop {
            if let Some(found) = found(self) {
                return found;
            }
            assert!(begin.elapsed() < Duration::from_secs(300), "{what} did not happen");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn pid(&self) -> Pid {
        Pid::from_child(self.child.as_ref().unwrap())
    }

    fn end(&mut self) -> (Option<i32>, String) {
        let out = self.child.take().unwrap().wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
        (out.status.code(), said)
    }

    /// Processes that the demo has started, the one that cleans up after it left out.
    fn left(&self) -> Vec<String> {
        let mark = format!("ORAPIPE_DEMO={}", self.dir.path().canonicalize().unwrap().display());
        let ours = rig::host::with_environment(&mark);
        ours.into_iter().map(|p| p.args.join(" ")).filter(|args| !args.contains("--after")).collect()
    }

    /// What was told to end may take its time.
    fn check_nothing_left(&self) {
        let begin = Instant::now();
        while !self.left().is_empty() {
            assert!(begin.elapsed() < Duration::from_secs(40), "{:?}", self.left());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

#[test]
fn a_log_that_vanishes_at_the_source_makes_the_demo_fail() {
    let mut demo = Demo::start(&["--only", "standby"]);
    let mut connection = demo.until("the start", |d| Connection::open(&d.at("primary")).ok());
    let fault = r#"{"lose_archived": [[1, 7]]}"#.to_owned();
    connection.ask(Request::Admin(Admin::Physics(fault))).unwrap();
    let (status, said) = demo.end();
    assert_eq!(status, Some(2), "{said}");
    assert!(said.contains("demo: FAILED during: "), "{said}");
    assert!(!said.contains("What was proved"), "{said}");
    assert!(said.contains("sequence 7"), "{said}");
    // Nothing of it runs on.
    assert!(Connection::open(&demo.at("primary")).is_err());
    demo.check_nothing_left();
}

#[test]
fn the_backup_and_the_export_are_proved_and_told() {
    let mut demo = Demo::start(&["--only", "s3", "--only", "export", "--keep"]);
    let (status, said) = demo.end();
    assert_eq!(status, Some(0), "{said}");
    let told: Vec<&str> =
        said.lines().map(|l| l.trim_start().split("  ").next().unwrap_or_default()).collect();
    for line in ["backed up", "restored", "compared", "exported"] {
        assert!(told.contains(&line), "{line} is not in {said}");
    }
    assert!(said.contains("blocks of 7 datafiles with what was there at that SCN: all equal"), "{said}");
    assert!(said.contains("2 schemas with 6400 rows") && said.contains("mail \"SUCCESS"), "{said}");
    assert!(!said.contains("copied "), "{said}");
    demo.check_nothing_left();
    // Credentials and passwords are in no log and no record.
    let mail = std::fs::read_to_string(demo.at("loja/mails/1.eml")).unwrap();
    assert!(!mail.contains("tiger of"), "{mail}");
    assert!(!demo.at("loja/mails/2.eml").exists());
}

#[test]
fn an_object_that_changes_in_the_bucket_makes_the_demo_fail() {
    let mut demo = Demo::start(&["--only", "s3"]);
    let objects = "loja/bucket/backups/objects";
    demo.until("a level 0 in the bucket", |d| {
        // The record of the backup is written when all of it is in the bucket.
        let done = std::fs::read_to_string(d.at("full.jsonl")).ok()?;
        (done.contains(r#""type":"run_end","tool":"s3-put""#) && done.ends_with('\n')).then_some(())
    });
    let files = std::fs::read_dir(demo.at(objects)).unwrap().map(|e| e.unwrap().path());
    let largest = files.max_by_key(|f| std::fs::metadata(f).unwrap().len()).unwrap();
    let mut bytes = std::fs::read(&largest).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&largest, bytes).unwrap();
    let (status, said) = demo.end();
    assert_eq!(status, Some(2), "{said}");
    assert!(said.contains("demo: FAILED during: restoring from S3"), "{said}");
    assert!(!said.contains("What was proved"), "{said}");
    demo.check_nothing_left();
}

#[test]
fn a_table_that_is_not_exported_makes_the_demo_fail() {
    let mut demo = Demo::start(&["--only", "export"]);
    let path = demo.at("loja/db/datapump.json");
    demo.until("the description of the schemas", |_| {
        let mut config: Config = serde_json::from_slice(&std::fs::read(&path).ok()?).ok()?;
        let kind = Kind::Skip { object: "\"GOLD\".\"NOTAS\"".into(), code: 1555 };
        config.faults.push(Fault { schema: "GOLD".into(), kind });
        std::fs::write(&path, serde_json::to_vec(&config).unwrap()).ok()
    });
    let (status, said) = demo.end();
    assert_eq!(status, Some(2), "{said}");
    assert!(said.contains("demo: FAILED during: the nightly export"), "{said}");
    assert!(!said.contains("What was proved"), "{said}");
    demo.check_nothing_left();
}

#[test]
fn a_demo_that_is_ended_or_killed_leaves_nothing_running() {
    for (signal, status) in [(Signal::TERM, Some(143)), (Signal::KILL, None)] {
        let mut demo = Demo::start(&["--only", "s3"]);
        demo.until("the incremental backup", |d| d.at("incremental.jsonl").exists().then_some(()));
        kill_process(demo.pid(), signal).unwrap();
        let child = demo.child.as_mut().unwrap();
        assert_eq!(child.wait().unwrap().code(), status);
        demo.check_nothing_left();
    }
}
