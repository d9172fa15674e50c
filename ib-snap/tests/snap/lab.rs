//! A simulated database on the volumes of a simulated array, and ib-snap between them.
#![allow(dead_code)]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use ibsim::{Array, Config, Object, PASSWORD};
use rustix::process::{kill_process, Pid, Signal};
use serde_json::{json, Value};

pub const TOOL: &str = env!("CARGO_BIN_EXE_ib-snap");

/// The directory with the simulator's programs, built once per test program.
fn programs() -> &'static Path {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    DIR.get_or_init(|| {
        let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
        let built = Command::new(cargo).args(["build", "-q", "-p", "orasim", "--bins"]).status().unwrap();
        assert!(built.success(), "the simulator does not build");
        Path::new(TOOL).parent().unwrap().to_owned()
    })
}

/// Waits until `what` holds, for as long as `limit`; says how long it took.
pub fn wait_for(what: &str, limit: Duration, mut holds: impl FnMut() -> bool) -> Duration {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < limit, "not within {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
    started.elapsed()
}

pub fn signal(signal: Signal, pid: i64) {
    kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), signal).unwrap();
}

pub struct Lab {
    pub dir: tempfile::TempDir,
    pub array: Array,
    daemon: Child,
}

impl Lab {
    /// Tablespaces on the volumes DATA1 to DATA3, archived logs on ARCH.
    pub fn new(config: Config) -> Self {
        Self::with(config, |_| {})
    }

    pub fn with(config: Config, change: impl FnOnce(&mut Value)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().to_owned();
        for n in 1..=3 {
            std::fs::create_dir_all(root.join(format!("data{n}"))).unwrap();
        }
        std::fs::create_dir_all(root.join("arch")).unwrap();
        let ts = |name: &str, n: usize| {
            let path = root.join(format!("data{n}")).join(format!("{}01.dbf", name.to_lowercase()));
            json!({"name": name, "files": [{"path": path, "bytes": 1 << 20}]})
        };
        let mut spec = json!({
            "name": "PROD",
            "sid": "PROD",
            "log_bytes": 1 << 20,
            "dests": [{"id": 1, "directory": root.join("arch")}],
            "tablespaces": [
                ts("SYSTEM", 1), ts("SYSAUX", 1), ts("UNDOTBS1", 2), ts("USERS", 3),
            ],
        });
        spec["tablespaces"][2]["kind"] = json!("undo");
        change(&mut spec);
        let file = root.join("spec.json");
        std::fs::write(&file, spec.to_string()).unwrap();
        let db = root.join("db").to_string_lossy().into_owned();
        orasim(&["create", "--dir", &db, "--spec", &file.to_string_lossy()]);
        let home = root.join("home").to_string_lossy().into_owned();
        orasim(&["home", "--dir", &home, "--sid", &format!("PROD={db}")]);
        let daemon = daemon(&db);
        let array = Array::start(config).unwrap();
        for n in 1..=3 {
            array.add_volume(&format!("DATA{n}")).unwrap();
            array.bind(&format!("DATA{n}"), &root.join(format!("data{n}"))).unwrap();
        }
        array.add_volume("ARCH").unwrap();
        array.bind("ARCH", &root.join("arch")).unwrap();
        Self { dir, array, daemon }
    }

    pub fn small() -> Self {
        Self::new(Config::default())
    }

    pub fn at(&self, name: &str) -> String {
        self.dir.path().join(name).to_string_lossy().into_owned()
    }

    pub fn sql(&self, text: &str) -> String {
        orasim(&["sql", "--dir", &self.at("db"), text])
    }

    pub fn fault(&self, args: &[&str]) {
        let db = self.at("db");
        let mut all = vec!["fault", "--dir", db.as_str()];
        all.extend(args);
        orasim(&all);
    }

    /// File numbers in backup mode.
    pub fn active(&self) -> Vec<String> {
        let rows = self.sql("SELECT file# FROM v$backup WHERE status = 'ACTIVE' ORDER BY file#");
        rows.lines().map(str::to_owned).collect()
    }

    /// Statements that the database has got from the tool.
    pub fn statements(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("db/journal.jsonl")).unwrap_or_default()
    }

    /// The tool over HTTPS, with all four volumes; more arguments may follow.
    pub fn tool(&self) -> Command {
        let mut command = self.bare();
        command.env("REPLICATED_DATA_VOLUMES", "DATA1,DATA2,DATA3").env("REPLICATED_ARCHIVE_VOLUMES", "ARCH");
        command
    }

    /// Without volumes.
    pub fn bare(&self) -> Command {
        let mut command = Command::new(TOOL);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.dir.path())
            .env("ORACLE_HOME", self.at("home"))
            .env("ORACLE_SID", "PROD")
            .env("ORAPIPE_ALLOW_ROOT", "1")
            .env("SOURCE_INFINIBOX", self.array.tls_host(0))
            .env("SOURCE_INFINIBOX_USER", "pool_admin")
            .env("SOURCE_INFINIBOX_PASSWORD", PASSWORD)
            .args(["--state-dir", &self.at("state"), "--ca-file"])
            .arg(self.array.ca_file());
        command
    }

    pub fn run(&self, args: &[&str]) -> Ran {
        run(self.tool().args(args))
    }

    pub fn start(&self, args: &[&str]) -> Started {
        Started::new(self.tool().args(args))
    }

    pub fn snapshot(&self, part: &str) -> Object {
        let found: Vec<Object> =
            self.array.snapshots().into_iter().filter(|s| s.name.contains(part)).collect();
        assert_eq!(found.len(), 1, "{part}: {found:?}");
        found.into_iter().next().unwrap()
    }

    /// States of the sets that the marks tell, by name.
    pub fn states(&self) -> BTreeMap<String, String> {
        let snapshots = self.array.snapshots().into_iter();
        snapshots.map(|s| (s.name.clone(), mark(&s)["state"].as_str().unwrap_or("none").to_owned())).collect()
    }

    /// Whatever the tool has written anywhere.
    pub fn written(&self) -> String {
        let mut all = String::new();
        for entry in walk(&self.dir.path().join("state")) {
            all.push_str(&String::from_utf8_lossy(&std::fs::read(entry).unwrap()));
        }
        all
    }

    pub fn pending(&self) -> bool {
        self.dir.path().join("state/ib_snap.PROD.pending").exists()
    }

    /// No file in backup mode, no keeper, no journal of one.
    pub fn assert_clean(&self) {
        wait_for("END BACKUP", Duration::from_secs(30), || self.active().is_empty());
        wait_for("the journal's end", Duration::from_secs(30), || {
            !self.dir.path().join("state/backup_mode.PROD").exists()
        });
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _gone = self.daemon.kill();
        let _status = self.daemon.wait();
    }
}

pub fn mark(snapshot: &Object) -> Value {
    let text = snapshot.metadata.get("orapipe.set").cloned().unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

fn walk(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    entries.flatten().map(|e| e.path()).filter(|p| p.is_file()).collect()
}

fn orasim(args: &[&str]) -> String {
    let out = Command::new(programs().join("orasim")).args(args).output().unwrap();
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(out.status.success(), "orasim {args:?}: {text}{}", String::from_utf8_lossy(&out.stderr));
    text.trim().to_owned()
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

/// How a run of the tool ended.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub records: Vec<Value>,
    pub stdout: String,
    pub stderr: String,
    pub elapsed: Duration,
}

impl Ran {
    pub fn of(&self, kind: &str) -> Vec<&Value> {
        self.records.iter().filter(|r| r["type"] == kind).collect()
    }

    pub fn end(&self) -> &Value {
        self.of("run_end")[0]
    }

    pub fn count(&self, name: &str) -> u64 {
        self.end()["counts"][name].as_u64().unwrap_or(0)
    }

    pub fn says(&self, text: &str) -> bool {
        self.stderr.contains(text)
    }

    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}\n{:#?}", self.stderr, self.records.last());
        assert_eq!(self.end()["exit"], code);
        assert!(!self.stdout.contains(PASSWORD) && !self.stderr.contains(PASSWORD));
        self
    }
}

pub fn run(command: &mut Command) -> Ran {
    Started::new(command).finish()
}

/// A tool that runs while the test disturbs it.
pub struct Started {
    pub child: Child,
    began: Instant,
}

impl Started {
    pub fn new(command: &mut Command) -> Self {
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        Self { child, began: Instant::now() }
    }

    pub fn pid(&self) -> i64 {
        i64::from(self.child.id())
    }

    pub fn finish(mut self) -> Ran {
        let (mut out, mut err) = (self.child.stdout.take().unwrap(), self.child.stderr.take().unwrap());
        let errors = std::thread::spawn(move || {
            let mut text = Vec::new();
            err.read_to_end(&mut text).unwrap();
            text
        });
        let mut text = Vec::new();
        out.read_to_end(&mut text).unwrap();
        let status = self.child.wait().unwrap();
        let stdout = String::from_utf8_lossy(&text).into_owned();
        Ran {
            code: status.code(),
            records: stdout
                .lines()
                .filter(|l| l.ends_with('}'))
                .map(|l| serde_json::from_str(l).unwrap())
                .collect(),
            stdout,
            stderr: String::from_utf8_lossy(&errors.join().unwrap()).into_owned(),
            elapsed: self.began.elapsed(),
        }
    }
}
