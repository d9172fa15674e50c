//! A database, a disk for the archives, a network directory, a mail server, and the wrapper script.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use anyhow::{bail, ensure, Context, Result};
use chrono::{NaiveDateTime, TimeZone};
use orasim::datapump::{Config, Directory, Schema, Table};
use orasim::instance::{FileSpec, Spec, TablespaceSpec};
use orasim::server::front::{Account, Front};
use rig::disk::SmallDisk;
use rig::host::write_program;
use rig::instance::Instance;
use rig::records::Contract;
use rig::smtp::{Authority, Manners, Received, Server};
use rig::tool::{clean_environment, program};
use rustix::process::{kill_process_group, Pid, Signal};
use serde_json::Value;
use tempfile::TempDir;

pub const PASSWORD: &str = "ti ger#9";
const LIMIT: Duration = Duration::from_secs(90);

pub struct Stage {
    pub db: Instance,
    root: TempDir,
    pub server: Server,
    pub local: SmallDisk,
    pub network: SmallDisk,
}

/// How the script is called.
#[derive(Default)]
pub struct Call {
    /// What the clock shows when the script begins; else the real time.
    pub clock: Option<NaiveDateTime>,
    /// Nobody listens at the port of the mail server.
    pub mail_is_down: bool,
    /// JSON lines instead of ORACLE_USERS.
    pub schemas: Option<String>,
    pub env: Vec<(String, String)>,
}

/// The rows of a schema by object, as the database has them.
pub type Truth = BTreeMap<String, Vec<(String, u64)>>;

/// GOLD and FIN as they are on a day: each day has more rows.
pub fn schemas(day: u64) -> (BTreeMap<String, Schema>, Truth) {
    let (clientes, half, contas) = (900 + 11 * day, 400 + day, 1600 + 13 * day);
    let mut vendas = Table::new("VENDAS", half * 2);
    vendas.partitions = vec!["P2026".into(), "P2027".into()];
    let temporary = Table { temporary: true, ..Table::new("SESSAO", 5) };
    let gold = vec![Table::new("CLIENTES", clientes), vendas, Table::new("NOTAS", 300), temporary];
    let fin = vec![Table::new("CONTAS", contas), Table::new("SALDOS", 200)];
    let schemas = [("GOLD", gold), ("FIN", fin)].map(|(name, tables)| (name.to_owned(), Schema { tables }));
    let row = |object: &str, rows| (object.to_owned(), rows);
    let truth = [
        (
            "GOLD",
            vec![
                row("\"GOLD\".\"CLIENTES\"", clientes),
                row("\"GOLD\".\"VENDAS\":\"P2026\"", half),
                row("\"GOLD\".\"VENDAS\":\"P2027\"", half),
                row("\"GOLD\".\"NOTAS\"", 300),
            ],
        ),
        ("FIN", vec![row("\"FIN\".\"CONTAS\"", contas), row("\"FIN\".\"SALDOS\"", 200)]),
    ];
    (schemas.into(), truth.map(|(name, rows)| (name.to_owned(), rows)).into())
}

impl Stage {
    pub fn new() -> Result<Self> {
        let root = tempfile::tempdir()?;
        let home = root.path().join("home");
        let programs = program("expdp")?;
        orasim::server::home::make(&home, programs.parent().context("programs are in a directory")?)?;
        let files = vec![FileSpec { path: root.path().join("system01.dbf"), bytes: 256 << 10 }];
        let spec = Spec {
            name: "PROD".into(),
            sid: "PROD".into(),
            tablespaces: vec![TablespaceSpec::new("SYSTEM", files)],
            changes_per_second: 50,
            ..Spec::default()
        };
        let mut front = Front::default();
        for user in ["GOLD", "FIN"] {
            let account = Account { password: PASSWORD.into(), dba: false, sysdba: false };
            front.users.insert(user.into(), account);
        }
        let db = Instance::create_with(&home, &root.path().join("db"), &spec, &front)?;
        orasim::server::home::add_alias(&home, "prod", "PROD")?;
        let begin = Instant::now();
        while db.sql("SELECT OPEN_MODE FROM V$DATABASE")?.trim() != "READ WRITE" {
            ensure!(begin.elapsed() < Duration::from_secs(30), "the database does not open");
            std::thread::sleep(Duration::from_millis(10));
        }
        let authority = Authority::new(&root.path().join("tls"))?;
        let server = Server::start(&authority, Manners::default())?;
        let (local, network) = (SmallDisk::mount(48)?, SmallDisk::mount(16)?);
        let stage = Self { db, root, server, local, network };
        std::fs::create_dir(stage.cloud())?;
        stage.database(0, |_| {})?;
        Ok(stage)
    }

    pub fn at(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// The network directory; it may be away.
    pub fn cloud(&self) -> PathBuf {
        self.network.path().join("dumps")
    }

    /// Where the network directory is while it is away.
    pub fn cloud_elsewhere(&self) -> PathBuf {
        self.network.path().join("unmounted")
    }

    /// Gives the database the rows of a day, and faults.
    pub fn database(&self, day: u64, change: impl FnOnce(&mut Config)) -> Result<Truth> {
        let (schemas, truth) = schemas(day);
        let mut config = Config { schemas, ..Config::default() };
        let directory =
            Directory { path: self.local.path().to_owned(), grantees: vec!["GOLD".into(), "FIN".into()] };
        config.directories.insert("DP_DIR".into(), directory);
        change(&mut config);
        config.save(&self.db.dir)?;
        Ok(truth)
    }

    /// From now on the dumps have the time that the script's clock shows: the server's clock is the real one.
    pub fn one_clock(&self) -> Result<()> {
        let text = format!(
            "#!/bin/bash\n'{}' \"$@\"\nstatus=$?\nnow=$(date +%s)\n\
             for file in '{}'/orapipe_*; do [ ! -e \"$file\" ] || LD_PRELOAD= touch -d \"@$now\" \"$file\"; done\nexit $status\n",
            program("expdp")?.display(),
            self.local.path().display()
        );
        write_program(&self.at("home/bin/expdp"), &text)
    }

    /// Starts the script as cron does, in a process group of its own.
    pub fn start(&self, call: &Call) -> Result<Night> {
        let mut env = clean_environment();
        let mut set = |name: &str, value: &str| env.insert(name.to_owned(), value.into());
        let path = |path: &Path| path.to_string_lossy().into_owned();
        let users =
            ["GOLD", "FIN"].map(|u| format!(r#"{{"user":"{u}","password":"{PASSWORD}","schema":"{u}"}}"#));
        set("HOME", &path(self.root.path()));
        set("TZ", "America/Sao_Paulo");
        set("ORAPIPE_BIN", &path(&rig::tool::bin_dir()?));
        set("ORACLE_HOME", &path(&self.at("home")));
        set("ORACLE_SID", "PROD");
        set("ORACLE_SERVICE", "prod");
        set("ORACLE_DIRECTORY", "DP_DIR");
        set("ORACLE_USERS", &format!("[{}]", users.join(",")));
        set("DB_FOLDER", &path(self.local.path()));
        set("CLOUD_FOLDER", &path(&self.cloud()));
        set("STATE_DIR", &path(&self.at("state")));
        set("LOG_DIR", &path(&self.at("log")));
        set("RETENTION_DAYS", "10");
        set("KEEP_MINIMUM_BACKUPS", "2");
        set("MAX_TOTAL_BACKUPS", "7");
        set("SMTP_SERVER", "127.0.0.1");
        let port = if call.mail_is_down { closed_port()? } else { self.server.port() };
        set("SMTP_PORT", &port.to_string());
        set("SMTP_TLS", "none");
        set("EMAIL_FROM", "backup@example.com");
        set("EMAIL_TO", "dba@example.com");
        if let Some(clock) = call.clock {
            for (name, value) in fake_time(clock)? {
                set(&name, &value);
            }
        }
        for (name, value) in &call.env {
            set(name, value);
        }
        let (stdout, stderr) = (self.at("night.stdout"), self.at("night.stderr"));
        let mut command = Command::new("bash");
        command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/backup_oracle.sh"));
        if let Some(lines) = &call.schemas {
            std::fs::write(self.at("schemas.jsonl"), lines)?;
            command.arg(self.at("schemas.jsonl"));
        }
        let child = command
            .env_clear()
            .envs(&env)
            .current_dir(self.root.path())
            .stdin(Stdio::null())
            .stdout(File::create(&stdout)?)
            .stderr(File::create(&stderr)?)
            .process_group(0)
            .spawn()
            .context("start backup_oracle.sh")?;
        Ok(Night { child, stdout, stderr, began: Instant::now() })
    }

    pub fn run(&self, call: &Call) -> Result<Ran> {
        self.start(call)?.wait()
    }

    /// Mails that wait in the spool, and mails that no server wanted.
    pub fn spooled(&self) -> Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        for dir in [self.at("state/spool"), self.at("state/spool/failed")] {
            for entry in std::fs::read_dir(&dir).into_iter().flatten() {
                let path = entry?.path();
                if path.extension().is_some_and(|e| e == "mail") {
                    found.push(path);
                }
            }
        }
        Ok(found)
    }

    fn jobs(&self) -> Result<Vec<String>> {
        let script = self.at("jobs.sql");
        std::fs::write(&script, "SELECT 'job:' || JOB_NAME || ' ' || STATE FROM DBA_DATAPUMP_JOBS;\nEXIT\n")?;
        let out = Command::new(program("sqlplus")?)
            .args(["-S", "-L", "/ as sysdba"])
            .env("ORACLE_HOME", self.at("home"))
            .env("ORACLE_SID", "PROD")
            .stdin(File::open(script)?)
            .output()?;
        let text = String::from_utf8(out.stdout)?;
        ensure!(out.status.success() && !text.contains("ORA-"), "{text}");
        Ok(text.lines().filter(|l| l.starts_with("job:")).map(str::to_owned).collect())
    }

    /// No job is left in the server, no unfinished file in a directory, and no password was shown anywhere.
    pub fn check_clean(&self) -> Result<()> {
        let jobs = self.jobs()?;
        ensure!(jobs.is_empty(), "jobs are left: {jobs:?}");
        for dir in [self.local.path().to_owned(), self.cloud()] {
            let left: Vec<_> = names(&dir)?
                .into_iter()
                .filter(|n| n.starts_with("orapipe_") || n.starts_with(".orapipe"))
                .collect();
            ensure!(left.is_empty(), "{} has {left:?}", dir.display());
        }
        self.db.check_journal(&[PASSWORD])?;
        for mail in self.server.received() {
            ensure!(!mail.text().contains(PASSWORD), "the password is in a mail:\n{}", mail.text());
        }
        for name in names(&self.at("log"))? {
            let log = String::from_utf8_lossy(&std::fs::read(self.at("log").join(&name))?).into_owned();
            ensure!(!log.contains(PASSWORD), "the password is in {name}");
        }
        Ok(())
    }
}

/// Names in a directory, sorted.
pub fn names(dir: &Path) -> Result<Vec<String>> {
    let list = std::fs::read_dir(dir).with_context(|| format!("list {}", dir.display()))?;
    let mut names =
        list.map(|e| Ok(e?.file_name().to_string_lossy().into_owned())).collect::<Result<Vec<_>>>()?;
    names.sort();
    Ok(names)
}

/// The first word or two of the subject.
pub fn verdict(mail: &Received) -> String {
    let subject = mail.header("Subject").unwrap_or_default();
    ["SUCCESS", "PARTIAL", "CRITICAL FAILURE"]
        .into_iter()
        .find(|v| subject.starts_with(v))
        .map_or(subject.clone(), str::to_owned)
}

fn closed_port() -> Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// The environment that shows all programs another time. Only the wall clock: one that jumps never moves the other.
fn fake_time(clock: NaiveDateTime) -> Result<Vec<(String, String)>> {
    static LIBRARY: OnceLock<String> = OnceLock::new();
    let library = match LIBRARY.get() {
        Some(library) => library,
        None => {
            let found = faketime()?;
            LIBRARY.get_or_init(|| found)
        }
    };
    let local = chrono::FixedOffset::west_opt(3 * 3600).context("an offset")?;
    let target = local.from_local_datetime(&clock).single().context("a time")?;
    let offset = (target.to_utc() - chrono::Utc::now()).num_seconds();
    let set = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    Ok(vec![
        set("LD_PRELOAD", library),
        set("FAKETIME", &format!("{offset:+}s")),
        set("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        set("DONT_FAKE_MONOTONIC", "1"),
        set("NO_FAKE_STAT", "1"),
    ])
}

/// The library, as the program names it.
fn faketime() -> Result<String> {
    let out = Command::new("faketime")
        .args(["-f", "+0s", "printenv", "LD_PRELOAD"])
        .output()
        .context("start faketime (scripts/setup.sh installs it)")?;
    let library = String::from_utf8(out.stdout)?.trim().to_owned();
    ensure!(out.status.success() && !library.is_empty(), "faketime names no library");
    Ok(library)
}

/// Removes what libfaketime keeps in memory for processes: it stays when they end.
fn forget_clocks() {
    for entry in std::fs::read_dir("/dev/shm").into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let pid = name.strip_prefix("faketime_shm_").or(name.strip_prefix("sem.faketime_sem_"));
        if pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            let _gone = std::fs::remove_file(entry.path());
        }
    }
}

/// A run of the script that goes on.
pub struct Night {
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
    began: Instant,
}

impl Night {
    /// kill -9 for the script and the tools, after so long; false when it had ended before.
    pub fn kill_after(mut self, pause: Duration) -> Result<bool> {
        std::thread::sleep(pause.saturating_sub(self.began.elapsed()));
        if self.child.try_wait()?.is_some() {
            return Ok(false);
        }
        kill_process_group(Pid::from_child(&self.child), Signal::KILL)?;
        self.child.wait()?;
        Ok(true)
    }

    pub fn wait(mut self) -> Result<Ran> {
        let status = loop {
            if let Some(status) = self.child.try_wait()? {
                break status;
            }
            ensure!(self.began.elapsed() < LIMIT, "still running after {LIMIT:?}: {}", self.said());
            std::thread::sleep(Duration::from_millis(5));
        };
        let Some(status) = status.code() else { bail!("signal {:?}: {}", status.signal(), self.said()) };
        let text = std::fs::read_to_string(&self.stdout)?;
        let contract = Contract::load()?;
        let mut records = Vec::new();
        for line in text.lines() {
            let value: Value = serde_json::from_str(line).with_context(|| line.to_owned())?;
            // A line of the schemas file is no record.
            if value.get("type").is_some() {
                contract.check(line)?;
                records.push(value);
            }
        }
        Ok(Ran { status, records, said: self.said(), took: self.began.elapsed() })
    }

    fn said(&self) -> String {
        let read =
            |path: &Path| String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned();
        format!("{}\n{}", read(&self.stdout), read(&self.stderr))
    }
}

impl Drop for Night {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _gone = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
            let _reaped = self.child.wait();
        }
        forget_clocks();
    }
}

/// A run of the script that has ended.
pub struct Ran {
    pub status: i32,
    pub records: Vec<Value>,
    /// Standard output and error.
    pub said: String,
    pub took: Duration,
}

impl Ran {
    pub fn of<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Value> + 'a {
        self.records.iter().filter(move |r| r["type"] == kind)
    }

    pub fn export(&self, schema: &str) -> Result<&Value> {
        let found = self.of("export").find(|r| r["schema"] == schema);
        found.with_context(|| format!("no export record of {schema}: {}", self.said))
    }

    /// The proven archive in a directory: its name and SHA-256.
    pub fn archive(&self, dir: &Path) -> Option<(String, String)> {
        let files = self.of("file").filter(|r| r["role"] == "archive");
        let mut here = files.filter_map(|r| {
            let path = Path::new(r["path"].as_str()?);
            (path.parent()? == dir)
                .then(|| path.file_name()?.to_str().map(str::to_owned).zip(r["sha256"].as_str()))?
        });
        here.next().map(|(name, sha256)| (name, sha256.to_owned()))
    }

    /// SHA-256 of the dump of each schema that was exported in full.
    pub fn dumps(&self) -> BTreeMap<String, String> {
        let text = |r: &Value, name: &str| r[name].as_str().unwrap_or_default().to_owned();
        self.of("file")
            .filter(|r| r["role"] == "dump")
            .filter(|r| self.of("export").any(|e| e["schema"] == r["schema"] && e["status"] == "success"))
            .map(|r| (text(r, "schema"), text(r, "sha256")))
            .collect()
    }

    /// # Errors
    /// Another status.
    pub fn expect(&self, status: i32) -> Result<()> {
        ensure!(self.status == status, "status {} instead of {status}:\n{}", self.status, self.said);
        Ok(())
    }
}
