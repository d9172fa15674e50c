//! A database with schemas, and dp-export beside it.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{ensure, Context, Result};
use orasim::datapump::{dump, Config, Directory, Fault, Kind, Schema, Table};
use orasim::instance::{FileSpec, Spec, TablespaceSpec};
use orasim::server::front::{Account, Front};
use rig::instance::Instance;
use rig::tool::{program, Outcome, Tool};
use tempfile::TempDir;

pub const PASSWORD: &str = "ti ger#9";

pub struct Lab {
    pub db: Instance,
    root: TempDir,
}

impl Lab {
    /// Schemas GOLD with three tables, one of them with partitions, and FIN with two; dumps appear in `dp`.
    pub fn new() -> Result<Self> {
        let root = tempfile::tempdir()?;
        let home = root.path().join("home");
        let programs = program("expdp")?;
        orasim::server::home::make(&home, programs.parent().context("programs are in a directory")?)?;
        let file = |name: &str| vec![FileSpec { path: root.path().join(name), bytes: 256 << 10 }];
        let spec = Spec {
            name: "PROD".into(),
            sid: "PROD".into(),
            tablespaces: vec![TablespaceSpec::new("SYSTEM", file("system01.dbf"))],
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
        std::fs::create_dir(root.path().join("dp"))?;
        let lab = Self { db, root };
        lab.until_open()?;
        lab.config(|_| {})?;
        Ok(lab)
    }

    /// After it the accounts of front.json count. The daemon answers a moment before the database is open.
    pub fn restart(&mut self) -> Result<()> {
        self.db.kill_daemon();
        self.db.start()?;
        self.until_open()
    }

    fn until_open(&self) -> Result<()> {
        wait_for("the database is open", || {
            Ok(self.db.sql("SELECT OPEN_MODE FROM V$DATABASE").is_ok_and(|mode| mode.trim() == "READ WRITE"))
        })
    }

    pub fn at(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    pub fn dp(&self, name: &str) -> PathBuf {
        self.at("dp").join(name)
    }

    /// Writes the dictionary anew, changed.
    pub fn config(&self, change: impl FnOnce(&mut Config)) -> Result<()> {
        let mut vendas = Table::new("VENDAS", 1500);
        vendas.partitions = vec!["P2025".into(), "P2026".into()];
        let temporary = Table { temporary: true, ..Table::new("SESSAO", 5) };
        let external = Table { external: true, ..Table::new("CARGA", 5) };
        let gold = vec![Table::new("CLIENTES", 1000), vendas, Table::new("NOTAS", 500), temporary, external];
        let fin = vec![Table::new("CONTAS", 2000), Table::new("SALDOS", 200)];
        let mut config = Config::default();
        config.directories.insert(
            "DP_DIR".into(),
            Directory { path: self.at("dp"), grantees: vec!["GOLD".into(), "FIN".into()] },
        );
        config.schemas.insert("GOLD".into(), Schema { tables: gold });
        config.schemas.insert("FIN".into(), Schema { tables: fin });
        change(&mut config);
        config.save(&self.db.dir)
    }

    pub fn fault(&self, schema: &str, kinds: &[Kind]) -> Result<()> {
        let faults = kinds.iter().map(|kind| Fault { schema: schema.into(), kind: kind.clone() }).collect();
        self.config(|c| c.faults = faults)
    }

    pub fn tool(&self) -> Result<Tool> {
        Ok(Tool::new("dp-export", self.root.path())?
            .limit(Duration::from_secs(60))
            .env("ORACLE_HOME", self.at("home"))
            .env("ORACLE_SID", "PROD")
            .env("ORACLE_DIRECTORY", "DP_DIR")
            .env("STATE_DIR", self.at("state"))
            .env("LOG_DIR", self.at("log"))
            .args(["--weekday-language", "en", "--name", "{schema}_day.DMP"]))
    }

    /// The job is gone, nothing of ours is left in the directory or the private one, no secret was shown.
    pub fn check_clean(&self, outcome: Option<&Outcome>) -> Result<()> {
        ensure!(self.jobs()?.is_empty(), "jobs are left: {}", self.jobs()?);
        let left: Vec<_> = names(&self.at("dp"))?.into_iter().filter(|n| n.starts_with("orapipe_")).collect();
        ensure!(left.is_empty(), "files are left: {left:?}");
        ensure!(names(&self.at("state/dp-export.private"))?.is_empty(), "a parameter file is left");
        self.db.check_journal(&[PASSWORD])?;
        for name in names(&self.at("log"))? {
            let log = String::from_utf8_lossy(&std::fs::read(self.at("log").join(&name))?).into_owned();
            ensure!(!log.contains(PASSWORD), "the password is in {name}");
        }
        if let Some(outcome) = outcome {
            let said = format!("{}{}", String::from_utf8_lossy(&outcome.stdout), outcome.stderr);
            ensure!(!said.contains(PASSWORD), "the password was shown: {said}");
        }
        Ok(())
    }

    pub fn jobs(&self) -> Result<String> {
        let connect = std::process::Command::new(program("sqlplus")?)
            .args(["-S", "-L", "/ as sysdba"])
            .env("ORACLE_HOME", self.at("home"))
            .env("ORACLE_SID", "PROD")
            .stdin(sql_file(self.root.path())?)
            .output()?;
        let text = String::from_utf8_lossy(&connect.stdout).into_owned();
        Ok(text.lines().filter(|l| l.starts_with("job:")).collect::<Vec<_>>().join("\n"))
    }

    /// Objects of a whole dump with their rows; an error when a byte of it is missing.
    pub fn dump(&self, name: &str) -> Result<Vec<(String, u64)>> {
        Ok(dump::read(&self.dp(name))?.into_iter().map(|c| (c.object, c.rows)).collect())
    }
}

fn sql_file(dir: &Path) -> Result<std::fs::File> {
    let path = dir.join("jobs.sql");
    std::fs::write(
        &path,
        "SELECT 'job:' || OWNER_NAME || '.' || JOB_NAME || ' ' || STATE FROM DBA_DATAPUMP_JOBS;\nEXIT\n",
    )?;
    Ok(std::fs::File::open(path)?)
}

/// Names in a directory; none when there is no such directory.
pub fn names(dir: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    if dir.is_dir() {
        for entry in std::fs::read_dir(dir)? {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// The export record of a schema.
pub fn export<'a>(outcome: &'a Outcome, schema: &str) -> Result<&'a rig::records::Record> {
    let found = outcome.of("export").into_iter().find(|r| r.text("schema") == Some(schema));
    found.with_context(|| {
        format!("no export record of {schema}: {}", String::from_utf8_lossy(&outcome.stdout))
    })
}

/// Polls until it holds.
pub fn wait_for(what: &str, mut holds: impl FnMut() -> Result<bool>) -> Result<()> {
    let begin = Instant::now();
    while !holds()? {
        ensure!(begin.elapsed() < Duration::from_secs(30), "not within 30 s: {what}");
        std::thread::sleep(Duration::from_millis(30));
    }
    Ok(())
}

pub const GOLD: [(&str, u64); 4] = [
    ("\"GOLD\".\"CLIENTES\"", 1000),
    ("\"GOLD\".\"VENDAS\":\"P2025\"", 750),
    ("\"GOLD\".\"VENDAS\":\"P2026\"", 750),
    ("\"GOLD\".\"NOTAS\"", 500),
];

pub fn gold() -> Vec<(String, u64)> {
    GOLD.iter().map(|(o, n)| ((*o).to_owned(), *n)).collect()
}
