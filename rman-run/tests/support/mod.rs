//! A simulated database, a directory for pieces, and rman-run between them.
#![allow(dead_code, clippy::unwrap_used, clippy::panic)]

use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

pub use rustix::process::Signal;
use rustix::process::{kill_process, Pid};
use serde_json::{json, Value};

pub const TOOL: &str = env!("CARGO_BIN_EXE_rman-run");

/// The directory with the simulator's programs, built once per test program.
pub fn programs() -> &'static Path {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    DIR.get_or_init(|| {
        let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
        let built = Command::new(cargo).args(["build", "-q", "-p", "orasim", "--bins"]).status().unwrap();
        assert!(built.success(), "the simulator does not build");
        Path::new(TOOL).parent().unwrap().to_owned()
    })
}

/// Waits until `what` holds, for as long as `limit`.
pub fn wait_for(what: &str, limit: Duration, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < limit, "not within {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(30));
    }
}

pub fn alive(pid: i64) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|s| !s.contains(") Z "))
}

pub fn signal(signal: Signal, pid: i64) {
    kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), signal).unwrap();
}

pub struct Lab {
    pub dir: tempfile::TempDir,
    daemon: Option<Child>,
}

impl Lab {
    pub fn new(change: impl FnOnce(&mut Value)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().to_owned();
        let mut spec = json!({
            "name": "PROD",
            "sid": "PROD",
            "log_bytes": 1 << 20,
            "tablespaces": [ts(&root, "SYSTEM", 1), ts(&root, "SYSAUX", 1), ts(&root, "UNDOTBS1", 1), ts(&root, "USERS", 2)],
        });
        spec["tablespaces"][2]["kind"] = json!("undo");
        change(&mut spec);
        std::fs::write(root.join("spec.json"), spec.to_string()).unwrap();
        let mut lab = Self { dir, daemon: None };
        let spec = root.join("spec.json");
        lab.orasim(&["create", "--dir", lab.at("db").as_str(), "--spec", &spec.to_string_lossy()]);
        let sid = format!("PROD={}", lab.at("db"));
        lab.orasim(&["home", "--dir", &lab.at("home"), "--sid", &sid, "--alias", "prod=PROD"]);
        std::fs::create_dir(lab.at("rman")).unwrap();
        lab.daemon = Some(daemon(&lab.at("db")));
        lab
    }

    pub fn small() -> Self {
        Self::new(|_| {})
    }

    pub fn at(&self, name: &str) -> String {
        self.dir.path().join(name).to_string_lossy().into_owned()
    }

    pub fn orasim(&self, args: &[&str]) -> String {
        let out = Command::new(programs().join("orasim")).args(args).output().unwrap();
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        assert!(out.status.success(), "orasim {args:?}: {text}{}", String::from_utf8_lossy(&out.stderr));
        text.trim().to_owned()
    }

    pub fn sql(&self, text: &str) -> String {
        self.orasim(&["sql", "--dir", &self.at("db"), text])
    }

    /// Some redo, archived.
    pub fn work(&self) {
        self.sql("ALTER SYSTEM ARCHIVE LOG CURRENT");
    }

    /// The tool over this database; more arguments follow.
    pub fn tool(&self) -> Command {
        let mut command = Command::new(TOOL);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.dir.path())
            .env("ORACLE_HOME", self.at("home"))
            .env("ORACLE_SID", "PROD")
            .env("ORAPIPE_ALLOW_ROOT", "1")
            .env("STATE_DIR", self.at("state"))
            .env("LOG_DIR", self.at("logs"))
            .env("TEMP_BACKUP_DIR", self.at("rman"));
        command
    }

    pub fn run(&self, args: &[&str]) -> Ran {
        run(self.tool().args(args))
    }

    pub fn start(&self, args: &[&str]) -> Child {
        self.tool()
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap()
    }

    /// RMAN itself, with these commands.
    pub fn rman(&self, commands: &str) -> String {
        let file = self.dir.path().join("by_hand.rman");
        std::fs::write(&file, commands).unwrap();
        let out = Command::new(self.at("home/bin/rman"))
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("ORACLE_HOME", self.at("home"))
            .env("ORACLE_SID", "PROD")
            .args(["target", "/", "nocatalog", &format!("cmdfile={}", file.display())])
            .output()
            .unwrap();
        String::from_utf8_lossy(&out.stdout).into_owned()
    }

    /// Puts a shell script in RMAN's place; `$REAL "$@"` is the program itself.
    pub fn wrap_rman(&self, script: &str) {
        let path = self.dir.path().join("home/bin/rman");
        let real = self.dir.path().join("home/bin/rman.real");
        if !real.exists() {
            std::fs::rename(&path, &real).unwrap();
        } else {
            std::fs::remove_file(&path).unwrap();
        }
        // The simulator finds out by its name which program it is.
        let dir = self.dir.path().join("real");
        std::fs::create_dir_all(&dir).unwrap();
        let named = dir.join("rman");
        if !named.exists() {
            std::fs::hard_link(&real, &named).or_else(|_| std::fs::copy(&real, &named).map(|_| ())).unwrap();
        }
        let text = format!("#!/bin/sh\nREAL={}\n{script}\n", named.display());
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// RMAN as it was.
    pub fn unwrap_rman(&self) {
        let path = self.dir.path().join("home/bin/rman");
        std::fs::remove_file(&path).unwrap();
        std::fs::rename(self.dir.path().join("home/bin/rman.real"), &path).unwrap();
        std::fs::remove_dir_all(self.dir.path().join("real")).unwrap();
    }

    /// The directories of runs, oldest first.
    pub fn runs(&self) -> Vec<PathBuf> {
        let mut found: Vec<_> =
            std::fs::read_dir(self.at("rman")).unwrap().map(|e| e.unwrap().path()).collect();
        found.sort();
        found
    }

    /// Paths of the files in all directories of runs, without ours.
    pub fn pieces(&self) -> Vec<PathBuf> {
        let mut found: Vec<_> = self
            .runs()
            .iter()
            .flat_map(|d| std::fs::read_dir(d).unwrap().map(|e| e.unwrap().path()))
            .filter(|p| !p.file_name().unwrap().to_string_lossy().starts_with(".orapipe"))
            .collect();
        found.sort();
        found
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if let Some(mut child) = self.daemon.take() {
            let _gone = child.kill();
            let _status = child.wait();
        }
    }
}

fn daemon(dir: &str) -> Child {
    let mut child = Command::new(programs().join("orasim"))
        .args(["start", "--dir", dir])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "READY\n");
    child
}

fn ts(root: &Path, name: &str, files: usize) -> Value {
    let stem = name.to_lowercase();
    let files: Vec<Value> = (1..=files)
        .map(|n| json!({"path": root.join("data").join(format!("{stem}{n:02}.dbf")), "bytes": 1 << 20}))
        .collect();
    json!({"name": name, "files": files})
}

/// How a run of the tool ended.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub records: Vec<Value>,
    pub stderr: String,
}

impl Ran {
    pub fn of(&self, kind: &str) -> Vec<&Value> {
        self.records.iter().filter(|r| r["type"] == kind).collect()
    }

    /// Records of backup pieces.
    pub fn pieces(&self) -> Vec<&Value> {
        self.of("file").into_iter().filter(|f| f["role"] == "backup_piece").collect()
    }

    /// Everything of one kind in the contents of the pieces.
    pub fn contents(&self, kind: &str) -> Vec<&Value> {
        let all = self.pieces().into_iter().filter_map(|p| p["contents"].as_array());
        all.flatten().filter(|c| c["kind"] == kind).collect()
    }

    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}\n{:#?}", self.stderr, self.records.last());
        self
    }

    /// A `log` record of this level that has this text.
    #[track_caller]
    pub fn says(&self, level: &str, text: &str) {
        let logs = self.of("log");
        let found = logs.iter().any(|r| r["level"] == level && r["message"].as_str().unwrap().contains(text));
        assert!(found, "{text} is not in {logs:#?}\n{}", self.stderr);
    }
}

pub fn run(command: &mut Command) -> Ran {
    let out = command.stdin(Stdio::null()).output().unwrap();
    Ran {
        code: out.status.code(),
        records: records(&out.stdout),
        stderr: String::from_utf8_lossy(&out.stderr).into_owned(),
    }
}

pub fn finish(mut child: Child) -> Ran {
    let (mut out, mut err) = (Vec::new(), String::new());
    child.stdout.take().unwrap().read_to_end(&mut out).unwrap();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    Ran { code: child.wait().unwrap().code(), records: records(&out), stderr: err }
}

fn records(stdout: &[u8]) -> Vec<Value> {
    let text = String::from_utf8_lossy(stdout);
    text.lines().filter(|l| l.ends_with('}')).map(|l| serde_json::from_str(l).unwrap()).collect()
}

/// SHA-256 by another program than ours.
pub fn sha256(path: &str) -> String {
    let out = Command::new("sha256sum").arg(path).output().unwrap();
    String::from_utf8_lossy(&out.stdout).split_whitespace().next().unwrap().to_owned()
}
