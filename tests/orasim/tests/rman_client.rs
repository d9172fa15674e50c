//! The program itself over a daemon: killed in the middle of a backup, and the way from connect strings to instances.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use orasim::journal;

struct Site {
    dir: tempfile::TempDir,
    daemon: Child,
}

impl Site {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name).display().to_string();
        let run = |args: &[&str]| {
            let done = Command::new(env!("CARGO_BIN_EXE_orasim")).args(args).output().unwrap();
            assert!(done.status.success(), "{args:?}: {}", String::from_utf8_lossy(&done.stderr));
        };
        run(&["create", "--dir", &at("db")]);
        run(&["home", "--dir", &at("home"), "--sid", &format!("ORCL={}", at("db")), "--alias", "prod=ORCL"]);
        let mut daemon = Command::new(env!("CARGO_BIN_EXE_orasim"))
            .args(["start", "--dir", &at("db")])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(daemon.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "READY\n");
        std::fs::create_dir_all(dir.path().join("bk")).unwrap();
        Self { dir, daemon }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn rman(&self, script: &str, target: &str) -> Command {
        std::fs::write(self.at("x.rman"), script.replace("@@", &self.dir.path().display().to_string()))
            .unwrap();
        let mut command = Command::new(self.at("home/bin/rman"));
        command
            .args(["target", target, "nocatalog", "cmdfile=x.rman"])
            .current_dir(self.dir.path())
            .env_clear()
            .env("ORACLE_HOME", self.at("home"))
            .env("ORACLE_SID", "ORCL")
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        command
    }

    fn run(&self, script: &str, target: &str) -> (Option<i32>, String) {
        let done = self.rman(script, target).output().unwrap();
        (done.status.code(), String::from_utf8_lossy(&done.stdout).into_owned())
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _gone = self.daemon.kill();
        let _status = self.daemon.wait();
    }
}

#[test]
fn a_killed_client_leaves_its_part_and_no_closing_line() {
    let site = Site::new();
    let db = site.at("db").display().to_string();
    let fault = ["fault", "--dir", &db, "hang", "^rman next$", "--seconds", "30"];
    let done = Command::new(env!("CARGO_BIN_EXE_orasim")).args(fault).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let script = "backup format '@@/bk/%U' database;\n";
    let mut child = site.rman(script, "/").spawn().unwrap();
    let mut reader = BufReader::new(child.stdout.take().unwrap());
    let begin = Instant::now();
    let mut said = String::new();
    while !said.contains("starting piece 1") {
        assert!(
            reader.read_line(&mut said).unwrap() > 0 && begin.elapsed() < Duration::from_secs(30),
            "{said}"
        );
    }
    // What was said is on the screen before the work is done.
    child.kill().unwrap();
    assert_eq!(child.wait().unwrap().code(), None);
    reader.read_to_string(&mut said).unwrap();
    assert!(!said.contains("finished piece") && !said.contains("Recovery Manager complete."), "{said}");
    let calls = journal::read(&site.at("db")).unwrap();
    let call = calls.iter().rev().find(|c| c.program == "rman").unwrap();
    assert_eq!(call.status, None);
    assert!(
        call.statements.iter().any(|s| s.text.starts_with("RMAN> backup format") && s.code.is_none()),
        "{call:?}"
    );

    let clear =
        Command::new(env!("CARGO_BIN_EXE_orasim")).args(["fault", "--dir", &db, "clear"]).output().unwrap();
    assert!(clear.status.success(), "{}", String::from_utf8_lossy(&clear.stderr));
    let (status, said) = site.run("list backup;\n", "/");
    assert_eq!(status, Some(0));
    assert!(said.contains("specification does not match any backup in the repository\n"), "{said}");
    let (status, said) = site.run(script, "sys/change_on_install@prod");
    assert_eq!(status, Some(0), "{said}");
    let (_, said) = site.run("list backup of database;\n", "/");
    assert!(said.contains("Piece Name: "), "{said}");
}

#[test]
fn connect_strings_find_their_instance_or_say_why_not() {
    let mut site = Site::new();
    let (status, said) = site.run("list backup;\n", "sys/change_on_install@nowhere");
    assert_eq!(status, Some(1));
    assert!(said.contains("RMAN-00554: initialization of internal recovery manager package failed\nRMAN-04005: error from target database: \nORA-12154"), "{said}");
    let (status, said) = site.run("list backup;\n", "sys/secret@prod");
    assert!(status == Some(1) && said.contains("ORA-01017") && !said.contains("secret"), "{said}");
    site.daemon.kill().unwrap();
    site.daemon.wait().unwrap();
    let (status, said) = site.run("list backup;\n", "/");
    assert_eq!(status, Some(1));
    assert!(
        said.contains("connected to target database (not started)\n") && said.contains("ORA-01034"),
        "{said}"
    );
    let (status, said) = site.run("startup;\n", "/");
    assert!(status == Some(1) && said.contains("RMAN-04014: startup failed: ORA-01078"), "{said}");
}
