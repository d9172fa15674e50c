//! The directory of an original: a link with its name to our script, its .env, its state and its logs.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{ensure, Context, Result};
use rig::tool::clean_environment;
use serde_json::Value;

/// What the original wrote into its log before.
pub const OLD_LINE: &str = "2026-11-19 03:00:00,123 - INFO - Processo de replicação concluído.\n";

pub struct Place {
    dir: PathBuf,
    env: BTreeMap<String, OsString>,
}

/// How a script ended.
#[derive(Debug)]
pub struct Ran {
    pub status: Option<i32>,
    pub records: Vec<Value>,
    pub said: String,
}

impl Ran {
    pub fn expect(self, status: i32) -> Result<Self> {
        ensure!(self.status == Some(status), "status {:?} instead of {status}\n{}", self.status, self.said);
        Ok(self)
    }

    pub fn of(&self, kind: &str) -> Vec<&Value> {
        self.records.iter().filter(|r| r["type"] == kind).collect()
    }

    /// Names of the archived logs with a status.
    pub fn logs(&self, status: &str) -> Vec<String> {
        let of = self.of("archived_log").into_iter().filter(|r| r["status"] == status);
        let mut names: Vec<_> = of.filter_map(|r| Some(r["name"].as_str()?.to_owned())).collect();
        names.sort();
        names
    }
}

impl Place {
    /// Below `root`: `bin/<script>` as a link, and log, state and tmp directories as the originals make them.
    pub fn new(root: &Path, script: &str) -> Result<Self> {
        let dir = root.join("alkdba");
        for sub in ["bin", "log", "state", "tmp"] {
            fs::create_dir_all(dir.join(sub))?;
        }
        let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts").join(script).canonicalize()?;
        std::os::unix::fs::symlink(ours, dir.join("bin").join(script))?;
        let mut env = clean_environment();
        env.insert("HOME".to_owned(), dir.clone().into());
        env.insert("TMPDIR".to_owned(), dir.join("tmp").into());
        env.insert("ORAPIPE_BIN".to_owned(), rig::tool::bin_dir()?.into());
        Ok(Self { dir, env })
    }

    pub fn at(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> Result<PathBuf> {
        let path = self.at(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&path, bytes)?;
        Ok(path)
    }

    pub fn read(&self, name: &str) -> Result<String> {
        let bytes = fs::read(self.at(name)).with_context(|| name.to_owned())?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The .env beside the link, as the originals had it; readable by its owner only.
    pub fn settings<V: AsRef<std::ffi::OsStr>>(&self, settings: &[(&str, V)]) -> Result<()> {
        let mut text = String::from("# settings of the original\r\n");
        for (name, value) in settings {
            let value = value.as_ref().to_string_lossy();
            let quote = match (value.contains('"'), value.contains([' ', '\''])) {
                (true, _) => "'",
                (false, true) => "\"",
                (false, false) => "",
            };
            text.push_str(&format!("{name}={quote}{value}{quote}\r\n"));
        }
        let path = self.write("bin/.env", text)?;
        Ok(fs::set_permissions(path, fs::Permissions::from_mode(0o600))?)
    }

    pub fn set(&mut self, name: &str, value: impl Into<OsString>) {
        self.env.insert(name.to_owned(), value.into());
    }

    /// A call by the link, from another directory, as cron does.
    pub fn command(&self, script: &str, args: &[&str]) -> Command {
        let mut command = Command::new(self.at("bin").join(script));
        command.args(args).env_clear().envs(&self.env).current_dir("/").stdin(Stdio::null());
        command
    }

    pub fn run(&self, script: &str, args: &[&str]) -> Result<Ran> {
        let (out, err) = (self.at("tmp/out"), self.at("tmp/err"));
        let child = self.start(script, args, &out, &err)?;
        self.wait(child, &out, &err)
    }

    pub fn start(&self, script: &str, args: &[&str], out: &Path, err: &Path) -> Result<Child> {
        let mut command = self.command(script, args);
        command.stdout(fs::File::create(out)?).stderr(fs::File::create(err)?);
        command.spawn().with_context(|| format!("start {script}"))
    }

    pub fn wait(&self, mut child: Child, out: &Path, err: &Path) -> Result<Ran> {
        let begin = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break status;
            }
            if begin.elapsed() > Duration::from_secs(60) {
                child.kill()?;
                child.wait()?;
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        let text = String::from_utf8_lossy(&fs::read(out)?).into_owned();
        let records = text.lines().filter_map(|l| serde_json::from_str(l).ok()).collect();
        let said = format!("{}\n{text}", String::from_utf8_lossy(&fs::read(err)?));
        Ok(Ran { status: status.code(), records, said })
    }
}

/// The lock file that a killed original leaves: a pid that is nobody's, and the time.
pub fn dead_lock() -> String {
    format!("{} 1763521200.123", i32::MAX - 7)
}
