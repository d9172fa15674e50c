//! A database with its backups in a bucket, and everything that can be lost.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{ensure, Context, Result};
use orasim::instance::{FileSpec, Spec, TablespaceKind, TablespaceSpec};
use orasim::server::admin::Admin;
use orasim::server::{home, physics};
use rig::instance::Instance;
use rig::tool::{clean_environment, program};
use s3server::server::BUCKET;
use s3server::Server;
use serde_json::Value;
use tempfile::TempDir;

pub const PREFIX: &str = "prod/";

/// What is left of a lost host: its directory, for the comparison with the truth.
pub const DEAD: &str = "db.dead";

pub struct Lab {
    pub db: Instance,
    pub server: Server,
    /// The instance's directory whose truth counts.
    pub truth: PathBuf,
    pub home: PathBuf,
    spec: Spec,
    root: TempDir,
}

/// How a program ended, and what it said.
#[derive(Debug)]
pub struct Ran {
    pub status: Option<i32>,
    pub stdout: Vec<u8>,
    pub stderr: String,
    pub records: Vec<Value>,
}

impl Ran {
    pub fn expect(self, statuses: &[i32]) -> Result<Self> {
        let there = self.status.is_some_and(|s| statuses.contains(&s));
        ensure!(there, "status {:?} instead of {statuses:?}\n{}", self.status, self.said());
        Ok(self)
    }

    /// Everything, for messages of tests.
    pub fn said(&self) -> String {
        let logs: Vec<String> = self.of("log").iter().map(ToString::to_string).collect();
        format!("{}\n{}", self.stderr, logs.join("\n"))
    }

    pub fn of(&self, kind: &str) -> Vec<&Value> {
        self.records.iter().filter(|r| r["type"] == kind).collect()
    }

    /// Keys of the objects it tells of, those that failed left out.
    pub fn keys(&self) -> BTreeSet<String> {
        let there = self.of("object").into_iter().filter(|o| o["status"] != "failed");
        there.filter_map(|o| Some(o["key"].as_str()?.to_owned())).collect()
    }

    /// The SCN of its last message that says "SCN n".
    pub fn scn(&self, tool: &str) -> Option<u64> {
        let mut ends = self.of("run_end").into_iter().filter(|r| r["tool"] == tool);
        let message = ends.next_back()?["message"].as_str()?;
        let after = message.split("SCN ").nth(1)?;
        after.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
    }
}

pub fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts").join(name)
}

impl Lab {
    /// With a writer that makes so many changes per second; 0: only [`Lab::write`] changes anything.
    pub fn new(rate: u32) -> Result<Self> {
        let root = tempfile::Builder::new().prefix("orapipe-rmans3-").tempdir()?;
        let home = root.path().join("home");
        home::make(&home, program("rman")?.parent().context("programs are in a directory")?)?;
        let file = |name: &str| FileSpec { path: root.path().join("data").join(name), bytes: 64 << 10 };
        let mut spec = Spec {
            name: "PROD".into(),
            sid: "PROD".into(),
            log_bytes: 1 << 20,
            changes_per_second: rate,
            write_pause_ms: 10,
            tablespaces: vec![
                TablespaceSpec::new("SYSTEM", vec![file("system01.dbf")]),
                TablespaceSpec::new("UNDOTBS1", vec![file("undotbs01.dbf")]),
                TablespaceSpec::new("USERS", vec![file("users01.dbf"), file("users02.dbf")]),
            ],
            ..Spec::default()
        };
        spec.tablespaces[1].kind = TablespaceKind::Undo;
        for dir in ["rman", "server", "log", "state", "restore"] {
            fs::create_dir(root.path().join(dir))?;
        }
        let dir = root.path().join("db");
        let db = Instance::create(&home, &dir, &spec)?;
        let server = Server::start(&root.path().join("server"))?;
        Ok(Self { db, server, truth: dir, home, spec, root })
    }

    /// A quiet database with a level 0, three level 1s, and the logs after the last; and the SCN after each backup.
    pub fn with_history() -> Result<(Self, Vec<u64>)> {
        let lab = Self::new(0)?;
        let mut scns = Vec::new();
        lab.write(80)?;
        // Much redo on few blocks makes the level 1s the shorter way over the first nights; after those it is the redo.
        for (kind, changes) in
            [("FULL", 4000), ("INCREMENTAL", 3000), ("INCREMENTAL", 100), ("INCREMENTAL", 100)]
        {
            lab.back_up(kind)?;
            scns.push(lab.scn()?);
            lab.write(changes)?;
            lab.db.sql("ALTER SYSTEM SWITCH LOGFILE")?;
            lab.write(changes)?;
        }
        lab.store(&["archivelog"])?;
        scns.push(lab.scn()?);
        Ok((lab, scns))
    }

    pub fn at(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    pub fn write(&self, changes: usize) -> Result<()> {
        self.db.admin(Admin::WriteBatch { n: changes }).map(drop)
    }

    pub fn scn(&self) -> Result<u64> {
        self.db.number("SELECT TO_CHAR(CURRENT_SCN) FROM V$DATABASE")
    }

    pub fn state(&self) -> Result<String> {
        self.db.admin(Admin::State)
    }

    /// The environment of the original's .env file.
    pub fn environment(&self) -> Result<BTreeMap<String, OsString>> {
        let mut env = clean_environment();
        let mut set = |name: &str, value: OsString| env.insert(name.to_owned(), value);
        set("HOME", self.root.path().into());
        set("TMPDIR", self.root.path().into());
        set("ORACLE_HOME", self.home.clone().into());
        set("ORACLE_SID", "PROD".into());
        set("ORAPIPE_BIN", rig::tool::bin_dir()?.into());
        set("STATE_DIR", self.at("state").into());
        set("LOG_DIR", self.at("log").into());
        set("TEMP_BACKUP_DIR", self.at("rman").into());
        set("RESTORE_SOURCE_DIR", self.at("restore").into());
        set("S3_BUCKET_NAME", BUCKET.into());
        set("S3_BACKUP_PREFIX", PREFIX.into());
        set("S3_LOG_PREFIX", "prod-logs/".into());
        set("AWS_ENDPOINT_URL", self.server.endpoint().into());
        set("AWS_EC2_METADATA_DISABLED", "true".into());
        for (name, value) in self.server.credentials() {
            set(&name, value.into());
        }
        Ok(env)
    }

    /// Runs a program to its end; after two minutes it counts as hanging.
    pub fn run(&self, path: &Path, args: &[&str], input: &[u8], change: &[(&str, &str)]) -> Result<Ran> {
        let mut env = self.environment()?;
        for (name, value) in change {
            env.insert((*name).to_owned(), value.into());
        }
        let stdin = self.at("input");
        fs::write(&stdin, input)?;
        let out = Command::new("timeout")
            .args(["--kill-after=5", "120"])
            .arg(path)
            .args(args)
            .env_clear()
            .envs(env)
            .current_dir(self.root.path())
            .stdin(Stdio::from(fs::File::open(&stdin)?))
            .output()
            .with_context(|| format!("run {}", path.display()))?;
        ensure!(out.status.code() != Some(124), "{} {args:?} hangs", path.display());
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        let records = text.lines().filter_map(|l| serde_json::from_str(l).ok()).collect();
        let stderr = String::from_utf8_lossy(&out.stderr).into_owned();
        let secret = self.server.secret();
        ensure!(!text.contains(secret) && !stderr.contains(secret), "the secret key is shown: {stderr}");
        Ok(Ran { status: out.status.code(), stdout: out.stdout, stderr, records })
    }

    pub fn tool(&self, name: &str, args: &[&str], input: &[u8]) -> Result<Ran> {
        self.run(&program(name)?, args, input, &[])
    }

    /// One night by the wrapper; afterwards nothing of it is on the local disk.
    pub fn back_up(&self, kind: &str) -> Result<Ran> {
        self.next_second();
        // Each log is in one piece, that of the night it was made in.
        let args = [kind, "--keep-archivelogs", "0s"];
        let ran = self.run(&script("backup_oracle_s3.sh"), &args, b"", &[])?.expect(&[0])?;
        let left: Vec<_> = walk(&self.at("rman"))?;
        ensure!(left.is_empty(), "local pieces are left: {left:?}\n{}", ran.said());
        Ok(ran)
    }

    /// A command of rman-run that the wrapper does not know, into the bucket.
    pub fn store(&self, args: &[&str]) -> Result<Ran> {
        self.next_second();
        let made = self.tool("rman-run", args, b"")?.expect(&[0])?;
        self.tool("s3-put", &["--delete-source"], &made.stdout)?.expect(&[0])
    }

    /// The directory of a run is named by its second.
    fn next_second(&self) {
        let part = chrono::Utc::now().timestamp_subsec_millis();
        std::thread::sleep(Duration::from_millis(u64::from(1001 - part.min(1000))));
    }

    /// `s3-get --manifests | rman-run plan …`
    pub fn plan(&self, args: &[&str]) -> Result<Ran> {
        let manifests = self.tool("s3-get", &["--manifests"], b"")?;
        let mut all = vec!["plan"];
        all.extend(args);
        self.tool("rman-run", &all, &manifests.stdout)
    }

    /// `s3-get --dest`, into an empty directory.
    pub fn fetch(&self, plan: &Ran) -> Result<Ran> {
        let dir = self.at("restore");
        let _none = fs::remove_dir_all(&dir);
        fs::create_dir(&dir)?;
        self.tool("s3-get", &["--dest", &dir.to_string_lossy()], &plan.stdout)
    }

    /// The control file first, no OPEN: the files stay as recovery left them, for the comparison.
    pub fn restore(&self, fetched: &Ran, args: &[&str]) -> Result<Ran> {
        let mut all = vec!["restore", "--controlfile", "--no-resetlogs"];
        all.extend(args);
        self.tool("rman-run", &all, &fetched.stdout)
    }

    /// The instance dies; datafiles and control files are gone.
    pub fn lose_files(&self) -> Result<()> {
        self.db.admin(Admin::Kill)?;
        for path in [self.at("data"), self.at("elsewhere")] {
            let _none = fs::remove_dir_all(path);
        }
        for name in ["control01.ctl", "control01.ctl.records", "in-flight.blocks"] {
            let _none = fs::remove_file(self.db.dir.join(name));
        }
        Ok(())
    }

    /// And all redo with them: only the bucket is left.
    pub fn lose_everything(&self) -> Result<()> {
        self.lose_files()?;
        for name in ["onlinelog", "arch"] {
            let _none = fs::remove_dir_all(self.db.dir.join(name));
        }
        Ok(())
    }

    /// Another machine: another ORACLE_HOME, an instance that was never started, nothing of the old host.
    pub fn move_house(&mut self) -> Result<()> {
        self.db.kill_daemon();
        fs::rename(self.at("db"), self.at(DEAD))?;
        for name in ["data", "restore", "state", "log", "rman"] {
            fs::remove_dir_all(self.at(name))?;
        }
        for name in ["state", "log", "rman"] {
            fs::create_dir(self.at(name))?;
        }
        self.truth = self.at(DEAD);
        self.home = self.at("home of the new machine");
        home::make(&self.home, program("rman")?.parent().context("programs are in a directory")?)?;
        self.db = Instance::create(&self.home, &self.at("db"), &self.spec)?;
        self.lose_everything()?;
        // The new database goes on where the old one ended, and so does what is true of it.
        fs::copy(self.at(DEAD).join("truth.ledger"), self.at("db/truth.ledger"))?;
        Ok(())
    }

    /// Every block of every datafile is what it was; says at which SCN.
    pub fn check_truth(&self) -> Result<u64> {
        let found = physics::compare(&self.truth, &self.db.dir, None)?;
        ensure!(found.equal(), "not the truth at SCN {}: {:#?}", found.scn, found.explain());
        Ok(found.scn)
    }

    /// Plan, download, restore to the target, with the control file; equal to the truth there.
    pub fn restore_to(&self, args: &[&str]) -> Result<u64> {
        let plan = self.plan(args)?.expect(&[0])?;
        let fetched = self.fetch(&plan)?.expect(&[0])?;
        let until: Vec<&str> = args.to_vec();
        self.restore(&fetched, &until)?.expect(&[0])?;
        self.check_truth()
    }
}

/// Every file below a directory, which need not exist.
pub fn walk(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let Ok(entries) = fs::read_dir(dir) else { return Ok(files) };
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(walk(&path)?);
        } else {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
