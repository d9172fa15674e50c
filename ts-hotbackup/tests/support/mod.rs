//! A simulated database, a place for the standby, and ts-hotbackup between them.
#![allow(dead_code, clippy::unwrap_used, clippy::panic)]

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

pub use rustix::process::Signal;
use rustix::process::{kill_process, kill_process_group, Pid};
use serde_json::{json, Value};

pub const TOOL: &str = env!("CARGO_BIN_EXE_ts-hotbackup");

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

/// Waits until `what` holds, for as long as `limit`; says how long it took.
pub fn wait_for(what: &str, limit: Duration, mut holds: impl FnMut() -> bool) -> Duration {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < limit, "not within {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
    started.elapsed()
}

pub fn alive(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|s| !s.contains(") Z "))
}

/// Signals one process, or its group.
pub fn signal(signal: Signal, pid: i64, group: bool) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    if group {
        kill_process_group(pid, signal).unwrap();
    } else {
        kill_process(pid, signal).unwrap();
    }
}

/// Processes whose environment has `NAME=value`, or any value with `NAME=`.
pub fn marked(mark: &str) -> Vec<u32> {
    let own = std::process::id();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
        let environ = std::fs::read(entry.path().join("environ")).unwrap_or_default();
        if pid != own && alive(pid) && environ.split(|b| *b == 0).any(|e| e.starts_with(mark.as_bytes())) {
            found.push(pid);
        }
    }
    found
}

pub struct Lab {
    pub dir: tempfile::TempDir,
    daemon: Option<Child>,
    standby: Option<Child>,
}

impl Lab {
    /// A running database with these tablespaces besides SYSTEM and SYSAUX.
    pub fn new(change: impl FnOnce(&mut Value, &Path)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().to_owned();
        let mut spec = json!({
            "name": "PROD",
            "sid": "PROD",
            "log_bytes": 1 << 20,
            "tablespaces": [
                ts(&root, "SYSTEM", 1), ts(&root, "SYSAUX", 1), ts(&root, "UNDOTBS1", 1),
                ts(&root, "TEMP", 1), ts(&root, "USERS", 2),
            ],
        });
        spec["tablespaces"][2]["kind"] = json!("undo");
        spec["tablespaces"][3]["kind"] = json!("temporary");
        change(&mut spec, &root);
        std::fs::write(root.join("spec.json"), spec.to_string()).unwrap();
        let mut lab = Self { dir, daemon: None, standby: None };
        let spec = root.join("spec.json");
        lab.orasim(&["create", "--dir", lab.at("db").as_str(), "--spec", &spec.to_string_lossy()]);
        let sid = format!("PROD={}", lab.at("db"));
        lab.orasim(&["home", "--dir", &lab.at("home"), "--sid", &sid]);
        lab.start();
        lab
    }

    pub fn small() -> Self {
        Self::new(|_, _| {})
    }

    pub fn at(&self, name: &str) -> String {
        self.dir.path().join(name).to_string_lossy().into_owned()
    }

    pub fn start(&mut self) {
        self.daemon = Some(daemon(&self.at("db"), None));
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

    pub fn fault(&self, args: &[&str]) {
        let db = self.at("db");
        let mut all = vec!["fault", "--dir", db.as_str()];
        all.extend(args);
        self.orasim(&all);
    }

    /// File numbers in backup mode.
    pub fn active(&self) -> Vec<String> {
        let rows = self.sql("SELECT file# FROM v$backup WHERE status = 'ACTIVE' ORDER BY file#");
        rows.lines().map(str::to_owned).collect()
    }

    /// The tool over this database to a local directory; more arguments may follow.
    pub fn tool(&self) -> Command {
        let mut command = Command::new(TOOL);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.dir.path())
            .env("ORACLE_HOME", self.at("home"))
            .env("ORACLE_SID", "PROD")
            .env("ORAPIPE_ALLOW_ROOT", "1")
            .args(["--state-dir", &self.at("state"), "--archlog-dir", &self.at("arch_dr")])
            .args(["--map", &format!("{}={}", self.at("data"), self.at("dr"))]);
        command
    }

    pub fn run(&self, args: &[&str]) -> Ran {
        run(self.tool().args(args))
    }

    /// Starts the tool in a process group of its own, with transfers so slow that there is time to disturb them.
    pub fn start_slow(&self, args: &[&str]) -> Started {
        Started::new(self.tool().args(["--bwlimit", "500k"]).args(args))
    }

    /// Waits until a tablespace is in backup mode and its copy is under way.
    pub fn wait_for_copy(&self) {
        wait_for("a copy under way", Duration::from_secs(30), || {
            !self.active().is_empty()
                && std::fs::read_dir(self.at("dr")).is_ok_and(|d| {
                    d.flatten().any(|e| {
                        e.file_name().to_string_lossy().starts_with(".orapipe-hot")
                            && e.metadata().is_ok_and(|m| m.len() > 0)
                    })
                })
        });
    }

    /// Nothing in backup mode within 30 s; says how long it took.
    pub fn wait_for_end(&self) -> Duration {
        wait_for("END BACKUP", Duration::from_secs(30), || self.active().is_empty())
    }

    pub fn wait_for_keeper(&self) {
        let mark = format!("ORAPIPE_KEEPER={}", self.at("state"));
        wait_for("the keeper's end", Duration::from_secs(60), || {
            marked(&mark).is_empty() && self.keepers().is_empty()
        });
    }

    /// Keepers of this lab, by their lock's holder.
    pub fn keepers(&self) -> Vec<u32> {
        let text = std::fs::read_to_string(self.dir.path().join("state/backup_mode.PROD.lock"));
        let holder: Value = serde_json::from_str(&text.unwrap_or_default()).unwrap_or_default();
        holder["pid"]
            .as_u64()
            .into_iter()
            .filter_map(|p| u32::try_from(p).ok())
            .filter(|p| is_keeper(*p))
            .collect()
    }

    /// Mounts the standby with the tool's own scripts and recovers it; then every block is compared with the truth.
    pub fn prove_recovery(&mut self) {
        let facts = std::fs::read_to_string(self.dir.path().join("dr/recover_standby_PROD.env")).unwrap();
        assert!(facts.contains("COMPLETE='yes'"), "{facts}");
        let until =
            facts.lines().find_map(|l| l.strip_prefix("UNTIL_SCN=")).unwrap().trim_matches('\'').to_owned();
        std::fs::create_dir_all(self.at("arch_dr")).unwrap();
        for entry in std::fs::read_dir(self.at("db/arch")).unwrap().flatten() {
            std::fs::copy(entry.path(), self.dir.path().join("arch_dr").join(entry.file_name())).unwrap();
        }
        let spec = json!({
            "name": "PROD", "sid": "PRODS", "standby": true, "control_files": [self.at("sb_control01.ctl")],
        });
        let path = self.dir.path().join("standby.json");
        std::fs::write(&path, spec.to_string()).unwrap();
        let sb = self.at("sb");
        self.orasim(&["create", "--dir", &sb, "--spec", &path.to_string_lossy()]);
        let pair = format!("PRODS={sb}");
        self.orasim(&["home", "--dir", &self.at("home"), "--sid", &pair]);
        std::fs::copy(self.dir.path().join("dr/standby_PROD.ctl"), self.at("sb_control01.ctl")).unwrap();
        self.standby = Some(daemon(&sb, Some("none")));
        let home = self.at("home");
        let program = |name: &str, args: &[&str]| {
            let out = Command::new(format!("{home}/bin/{name}"))
                .env_clear()
                .env("PATH", std::env::var_os("PATH").unwrap_or_default())
                .env("ORACLE_HOME", &home)
                .env("ORACLE_SID", "PRODS")
                .args(args)
                .output()
                .unwrap();
            let text = String::from_utf8_lossy(&out.stdout).into_owned();
            assert!(out.status.success(), "{name}: {text}{}", String::from_utf8_lossy(&out.stderr));
            text
        };
        program("sqlplus", &["-S", "/ as sysdba", &format!("@{}", self.at("dr/recover_standby_PROD.sql"))]);
        let logs = self.at("arch_dr");
        let recover =
            format!("ALTER DATABASE RECOVER AUTOMATIC FROM '{logs}' STANDBY DATABASE UNTIL CHANGE {until}");
        self.orasim(&["sql", "--dir", &sb, &recover]);
        let said =
            self.orasim(&["truth-compare", "--primary", &self.at("db"), "--standby", &sb, "--scn", &until]);
        assert!(said.contains("equal at SCN"), "{said}");
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for mut child in [self.daemon.take(), self.standby.take()].into_iter().flatten() {
            let _gone = child.kill();
            let _status = child.wait();
        }
    }
}

fn is_keeper(pid: u32) -> bool {
    alive(pid)
        && std::fs::read(format!("/proc/{pid}/cmdline"))
            .is_ok_and(|c| c.split(|b| *b == 0).any(|a| a == b"__guardian"))
}

fn daemon(dir: &str, state: Option<&str>) -> Child {
    let mut command = Command::new(programs().join("orasim"));
    command.args(["start", "--dir", dir]);
    if let Some(state) = state {
        command.args(["--state", state]);
    }
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "READY\n");
    child
}

/// A tablespace `name` with so many files of 1 MiB below `data/<prefix>`.
pub fn ts(root: &Path, name: &str, files: usize) -> Value {
    let stem = name.to_lowercase().replace(['/', '\''], "_");
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
    pub elapsed: Duration,
}

impl Ran {
    pub fn of(&self, kind: &str) -> Vec<&Value> {
        self.records.iter().filter(|r| r["type"] == kind).collect()
    }

    /// Names of tablespaces with this status.
    pub fn tablespaces(&self, status: &str) -> Vec<String> {
        let all = self.of("tablespace").into_iter().filter(|r| r["status"] == status);
        all.map(|r| r["name"].as_str().unwrap().to_owned()).collect()
    }

    pub fn reason(&self, tablespace: &str) -> String {
        let found = self.of("tablespace").into_iter().rfind(|r| r["name"] == tablespace);
        found.and_then(|r| r["reason"].as_str()).unwrap_or_default().to_owned()
    }

    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}\n{:#?}", self.stderr, self.records.last());
        self
    }
}

pub fn run(command: &mut Command) -> Ran {
    let started = Instant::now();
    let out = command.stdin(Stdio::null()).output().unwrap();
    Ran {
        code: out.status.code(),
        records: records(&out.stdout),
        stderr: String::from_utf8_lossy(&out.stderr).into_owned(),
        elapsed: started.elapsed(),
    }
}

fn records(stdout: &[u8]) -> Vec<Value> {
    let text = String::from_utf8_lossy(stdout);
    text.lines().filter(|l| l.ends_with('}')).map(|l| serde_json::from_str(l).unwrap()).collect()
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
        Ran {
            code: status.code(),
            records: records(&text),
            stderr: String::from_utf8_lossy(&errors.join().unwrap()).into_owned(),
            elapsed: self.began.elapsed(),
        }
    }
}
