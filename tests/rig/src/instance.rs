//! Simulated instances as processes of their own, and what they saw.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{bail, ensure, Context, Result};
use orasim::instance::Spec;
use orasim::journal::{self, Call};
use orasim::server::admin::Admin;
use orasim::server::client::Connection;
use orasim::server::front::Front;
use orasim::server::wire::{Request, Response};

use crate::tool;

/// How long a daemon may take to answer for the first time.
const START: Duration = Duration::from_secs(60);

/// A daemon with one instance. Dropping it ends the daemon.
#[derive(Debug)]
pub struct Instance {
    pub sid: String,
    pub dir: PathBuf,
    daemon: Option<Child>,
}

impl Instance {
    /// Makes the database of `spec` below `dir`, tells `home` about it and starts its daemon. A spec of a primary is open
    /// afterwards; a standby home is down.
    pub fn create(home: &Path, dir: &Path, spec: &Spec) -> Result<Self> {
        Self::create_with(home, dir, spec, &Front::default())
    }

    /// As [`Instance::create`], with these accounts and this release.
    pub fn create_with(home: &Path, dir: &Path, spec: &Spec, front: &Front) -> Result<Self> {
        let front_file = dir.with_extension("front.json");
        std::fs::write(&front_file, serde_json::to_vec_pretty(front)?)
            .with_context(|| format!("write {}", front_file.display()))?;
        let spec_file = dir.with_extension("spec.json");
        std::fs::write(&spec_file, serde_json::to_vec_pretty(spec)?)
            .with_context(|| format!("write {}", spec_file.display()))?;
        let done = Command::new(tool::program("orasim")?)
            .arg("create")
            .arg("--dir")
            .arg(dir)
            .arg("--spec")
            .arg(&spec_file)
            .arg("--front")
            .arg(&front_file)
            .output()
            .context("run orasim create")?;
        ensure!(done.status.success(), "orasim create: {}", String::from_utf8_lossy(&done.stderr).trim());
        orasim::server::home::register(home, &spec.sid, dir)?;
        let mut instance = Self { sid: spec.sid.clone(), dir: dir.to_owned(), daemon: None };
        instance.start()?;
        Ok(instance)
    }

    /// Starts the daemon again after [`Instance::kill_daemon`].
    pub fn start(&mut self) -> Result<()> {
        ensure!(self.daemon.is_none(), "the daemon of {} runs", self.sid);
        let log_path = self.dir.with_extension("daemon.log");
        let log = OpenOptions::new().create(true).append(true).open(&log_path)?;
        let mut child = Command::new(tool::program("orasim")?)
            .arg("start")
            .arg("--dir")
            .arg(&self.dir)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("start orasim")?;
        let begin = Instant::now();
        while Connection::open(&self.dir).is_err() {
            if let Some(status) = child.try_wait()? {
                let said = std::fs::read_to_string(&log_path).unwrap_or_default();
                bail!("the daemon of {} ended with {status}: {said}", self.sid);
            }
            if begin.elapsed() > START {
                let _gone = child.kill();
                let _reaped = child.wait();
                bail!("the daemon of {} does not answer", self.sid);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        self.daemon = Some(child);
        Ok(())
    }

    /// SIGKILL for the daemon: the host went down.
    pub fn kill_daemon(&mut self) {
        if let Some(mut child) = self.daemon.take() {
            let _gone = child.kill();
            let _reaped = child.wait();
        }
    }

    /// A request of the `orasim` command.
    pub fn admin(&self, request: Admin) -> Result<String> {
        let mut connection = Connection::open(&self.dir)?;
        match connection.ask(Request::Admin(request))? {
            Response::Text(text) => Ok(text),
            other => bail!("{}: {other:?}", self.sid),
        }
    }

    /// One statement as SYSDBA, outside of faults and journal; rows come as lines, columns split by `|`.
    pub fn sql(&self, text: &str) -> Result<String> {
        self.admin(Admin::Sql { text: text.to_owned() }).with_context(|| text.to_owned())
    }

    /// The single number that a query gives.
    pub fn number(&self, text: &str) -> Result<u64> {
        let answer = self.sql(text)?;
        answer.trim().parse().with_context(|| format!("{text} gave {answer}"))
    }

    /// Files in backup mode now.
    pub fn in_backup_mode(&self) -> Result<u64> {
        self.number("SELECT COUNT(*) FROM V$BACKUP WHERE STATUS = 'ACTIVE'")
    }

    /// Every program call that was made against it.
    pub fn journal(&self) -> Result<Vec<Call>> {
        journal::read(&self.dir)
    }

    /// What must hold after every story: no secret in any argument, every BEGIN BACKUP with its END, nothing in backup
    /// mode.
    pub fn check_journal(&self, secrets: &[&str]) -> Result<()> {
        let calls = self.journal()?;
        journal::no_secret_in_argv(&calls, secrets).map_err(anyhow::Error::msg)?;
        journal::every_begin_has_its_end(&calls).map_err(anyhow::Error::msg)
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.kill_daemon();
    }
}
