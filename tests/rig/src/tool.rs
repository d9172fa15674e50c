//! Runs one of our tools as a user would: clean environment, time limit, records held to the contract.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Write;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{bail, ensure, Context, Result};
use rustix::process::{kill_process_group, Pid, Signal};
use serde_json::Value;

use crate::records::{self, Contract, Record};

/// How often a running tool is looked at.
const LOOK: Duration = Duration::from_millis(5);

/// The directory with the programs that this workspace builds.
pub fn bin_dir() -> Result<PathBuf> {
    let me = std::env::current_exe().context("find this program")?;
    let dir = me.parent().context("this program is in no directory")?;
    Ok(if dir.ends_with("deps") { dir.parent().unwrap_or(dir) } else { dir }.to_owned())
}

/// A program of this workspace.
///
/// # Errors
/// It is not built; a test that needs it fails and is not skipped.
pub fn program(name: &str) -> Result<PathBuf> {
    let path = bin_dir()?.join(name);
    ensure!(path.is_file(), "{} is not built; run: cargo build --workspace --bins", path.display());
    Ok(path)
}

/// The environment that every child of the rig starts from.
pub fn clean_environment() -> BTreeMap<String, OsString> {
    let mut env = BTreeMap::new();
    let mut set = |name: &str, value: &str| env.insert(name.to_owned(), OsString::from(value));
    set("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    set("LANG", "C.UTF-8");
    if rustix::process::geteuid().is_root() {
        set("ORAPIPE_ALLOW_ROOT", "1");
    }
    env
}

/// A call of a tool that has not been made yet.
#[derive(Debug, Clone)]
pub struct Tool {
    name: String,
    program: PathBuf,
    args: Vec<OsString>,
    env: BTreeMap<String, OsString>,
    stdin: Vec<u8>,
    limit: Duration,
    dir: PathBuf,
}

impl Tool {
    /// `scratch` is HOME, the working directory and the place of the captured output.
    pub fn new(name: &str, scratch: &Path) -> Result<Self> {
        let mut env = clean_environment();
        env.insert("HOME".to_owned(), scratch.as_os_str().to_owned());
        Ok(Self {
            name: name.to_owned(),
            program: program(name)?,
            args: Vec::new(),
            env,
            stdin: Vec::new(),
            limit: Duration::from_secs(120),
            dir: scratch.to_owned(),
        })
    }

    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    #[must_use]
    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args.extend(args.into_iter().map(|a| a.as_ref().to_owned()));
        self
    }

    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.env.insert(name.to_owned(), value.as_ref().to_owned());
        self
    }

    #[must_use]
    pub fn envs<V: AsRef<OsStr>>(mut self, all: impl IntoIterator<Item = (String, V)>) -> Self {
        self.env.extend(all.into_iter().map(|(n, v)| (n, v.as_ref().to_owned())));
        self
    }

    #[must_use]
    pub fn env_remove(mut self, name: &str) -> Self {
        self.env.remove(name);
        self
    }

    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    /// After this long the tool is killed and the test fails: nothing may hang.
    #[must_use]
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Starts it in a process group of its own.
    pub fn start(&self) -> Result<Started> {
        let capture = |suffix: &str| -> Result<(PathBuf, File)> {
            let file = tempfile::Builder::new()
                .prefix(&format!("{}.", self.name))
                .suffix(suffix)
                .tempfile_in(&self.dir)
                .with_context(|| format!("make a file in {}", self.dir.display()))?;
            let (file, path) = file.keep().context("keep a capture file")?;
            Ok((path, file))
        };
        let (stdout, out) = capture(".stdout")?;
        let (stderr, err) = capture(".stderr")?;
        let (_, input) = capture(".stdin")?;
        (&input).write_all(&self.stdin).context("write the input")?;
        std::io::Seek::rewind(&mut &input).context("rewind the input")?;
        let child = Command::new(&self.program)
            .args(&self.args)
            .env_clear()
            .envs(&self.env)
            .current_dir(&self.dir)
            .stdin(Stdio::from(input))
            .stdout(Stdio::from(out))
            .stderr(Stdio::from(err))
            .process_group(0)
            .spawn()
            .with_context(|| format!("start {}", self.program.display()))?;
        Ok(Started {
            tool: self.clone(),
            child,
            stdout,
            stderr,
            began: Instant::now(),
            max_rss: 0,
            ended: None,
        })
    }

    /// Runs it to its end and checks what it wrote.
    pub fn run(&self) -> Result<Outcome> {
        self.start()?.wait()
    }
}

/// A tool that runs; it is killed with its process group when the value goes.
#[derive(Debug)]
pub struct Started {
    tool: Tool,
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
    began: Instant,
    max_rss: u64,
    ended: Option<(ExitStatus, Duration)>,
}

impl Started {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// What it has written to standard output so far.
    pub fn stdout(&self) -> Result<String> {
        std::fs::read_to_string(&self.stdout).with_context(|| format!("read {}", self.stdout.display()))
    }

    pub fn stderr(&self) -> Result<String> {
        let bytes = std::fs::read(&self.stderr).with_context(|| format!("read {}", self.stderr.display()))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Whole records so far, unchecked; the check of all comes at the end.
    pub fn records(&self) -> Result<Vec<Value>> {
        let text = self.stdout()?;
        Ok(text.lines().filter_map(|l| serde_json::from_str(l).ok()).collect())
    }

    pub fn is_running(&mut self) -> Result<bool> {
        if self.ended.is_some() {
            return Ok(false);
        }
        self.max_rss = self.max_rss.max(peak_memory(self.child.id()));
        match self.child.try_wait().context("wait for the tool")? {
            None => Ok(true),
            Some(status) => {
                self.ended = Some((status, self.began.elapsed()));
                Ok(false)
            }
        }
    }

    /// Sends a signal to the tool alone.
    pub fn signal(&mut self, signal: Signal) -> Result<()> {
        ensure!(self.is_running()?, "{} has ended already:\n{}", self.tool.name, self.stderr()?);
        let pid = Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).with_context(|| format!("signal {}", self.tool.name))
    }

    /// Sends a signal to the tool's whole process group.
    pub fn signal_group(&mut self, signal: Signal) -> Result<()> {
        ensure!(self.is_running()?, "{} has ended already:\n{}", self.tool.name, self.stderr()?);
        kill_process_group(Pid::from_child(&self.child), signal)
            .with_context(|| format!("signal the group of {}", self.tool.name))
    }

    /// Waits until `condition` holds.
    ///
    /// # Errors
    /// The tool ended before, or `limit` passed.
    pub fn until(
        &mut self,
        limit: Duration,
        what: &str,
        mut condition: impl FnMut(&Self) -> Result<bool>,
    ) -> Result<()> {
        let begin = Instant::now();
        loop {
            if condition(self)? {
                return Ok(());
            }
            let name = self.tool.name.clone();
            ensure!(
                self.is_running()?,
                "{name} ended before {what}:\n{}\n{}",
                self.stdout()?,
                self.stderr()?
            );
            ensure!(
                begin.elapsed() < limit,
                "{name}: {what} did not happen in {limit:?}:\n{}",
                self.stderr()?
            );
            std::thread::sleep(LOOK);
        }
    }

    /// Waits for its end and holds its output to the contract.
    pub fn wait(mut self) -> Result<Outcome> {
        let limit = self.tool.limit;
        while self.is_running()? {
            if self.began.elapsed() > limit {
                let _gone = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
                bail!(
                    "{} was still running after {limit:?}:\n{}\n{}",
                    self.tool.name,
                    self.stdout()?,
                    self.stderr()?
                );
            }
            std::thread::sleep(LOOK);
        }
        let Some((status, elapsed)) = self.ended else { bail!("{} has no exit status", self.tool.name) };
        let stdout =
            std::fs::read(&self.stdout).with_context(|| format!("read {}", self.stdout.display()))?;
        let contract = Contract::load()?;
        let records = records::read(&self.tool.name, &stdout, &self.tool.stdin, status.code(), &contract)
            .with_context(|| {
                format!("{} {:?}:\n{}", self.tool.name, self.tool.args, self.stderr().unwrap_or_default())
            })?;
        Ok(Outcome {
            status: status.code(),
            signal: status.signal(),
            records,
            stdout,
            stderr: self.stderr()?,
            elapsed,
            max_rss: self.max_rss,
        })
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        if self.ended.is_none() && matches!(self.child.try_wait(), Ok(None)) {
            let _gone = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
            let _reaped = self.child.wait();
        }
    }
}

/// The largest resident memory of a process so far, in bytes; 0 when it is gone.
pub(crate) fn peak_memory(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    let kib = line.and_then(|l| l.split_whitespace().next()).and_then(|n| n.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

/// What became of a run.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// `None` when a signal killed it.
    pub status: Option<i32>,
    pub signal: Option<i32>,
    /// Its own records, checked; not what it passed on.
    pub records: Vec<Record>,
    pub stdout: Vec<u8>,
    pub stderr: String,
    pub elapsed: Duration,
    /// Peak resident memory of the tool itself in bytes, as last seen a few milliseconds before its end.
    pub max_rss: u64,
}

impl Outcome {
    pub fn of(&self, kind: &str) -> Vec<&Record> {
        self.records.iter().filter(|r| r.kind == kind).collect()
    }

    /// # Errors
    /// Another exit status; the error shows all that the tool said.
    pub fn expect(self, status: i32) -> Result<Self> {
        ensure!(
            self.status == Some(status),
            "status {:?} (signal {:?}) instead of {status}\n{}\n{}",
            self.status,
            self.signal,
            String::from_utf8_lossy(&self.stdout),
            self.stderr
        );
        Ok(self)
    }

    /// A count of `run_end`, 0 when it is not there.
    pub fn count(&self, name: &str) -> u64 {
        self.records
            .last()
            .and_then(|r| r.fields.get("counts"))
            .and_then(|c| c.get(name))
            .and_then(Value::as_u64)
            .unwrap_or(0)
    }
}
