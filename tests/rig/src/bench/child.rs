//! Programs that are measured: their output kept, their time limited.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{ensure, Context};

use crate::host::{descendants, kill};

/// Nothing here needs so long; what does has lost its network.
const LIMIT: Duration = Duration::from_secs(900);

/// A program that runs. It is ended with all that it has started when the value goes.
#[derive(Debug)]
pub struct Running {
    name: String,
    child: Child,
    out: tempfile::NamedTempFile,
    err: tempfile::NamedTempFile,
}

/// Runs a program to its end and returns what it wrote to standard output.
///
/// # Errors
/// It failed, or needed longer than anything here may; its last words are in the error.
pub fn run(command: Command, name: &str, scratch: &Path, input: &[u8]) -> anyhow::Result<String> {
    Running::start(command, name, scratch, input)?.finish()
}

impl Running {
    pub fn start(mut command: Command, name: &str, scratch: &Path, input: &[u8]) -> anyhow::Result<Self> {
        let file = || tempfile::NamedTempFile::new_in(scratch).context("make a file for output");
        let (out, err) = (file()?, file()?);
        command.stdin(file_of(scratch, input)?).stdout(out.reopen()?).stderr(err.reopen()?);
        let child = command.spawn().with_context(|| format!("start {name}"))?;
        Ok(Self { name: name.to_owned(), child, out, err })
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to end, and waits for that.
    pub fn terminate(mut self) -> anyhow::Result<()> {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw) {
            rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        }
        self.wait(Duration::from_secs(30)).map(|_| ())
    }

    /// Whether it has not ended yet.
    pub fn is_running(&mut self) -> anyhow::Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// The last lines of what it said.
    pub fn words(&self) -> anyhow::Result<String> {
        let mut words = String::from_utf8_lossy(&std::fs::read(self.out.path())?).into_owned();
        words.push_str(&String::from_utf8_lossy(&std::fs::read(self.err.path())?));
        let lines: Vec<&str> = words.lines().collect();
        Ok(lines[lines.len().saturating_sub(20)..].join("\n"))
    }

    pub fn finish(mut self) -> anyhow::Result<String> {
        let status = self.wait(LIMIT)?;
        ensure!(status.success(), "{} ended with {status}:\n{}", self.name, self.words()?);
        Ok(String::from_utf8_lossy(&std::fs::read(self.out.path())?).into_owned())
    }

    fn wait(&mut self, limit: Duration) -> anyhow::Result<ExitStatus> {
        let end = Instant::now() + limit;
        loop {
            if let Some(status) = self.child.try_wait().with_context(|| format!("wait for {}", self.name))? {
                return Ok(status);
            }
            ensure!(Instant::now() < end, "{} is still running after {} s", self.name, limit.as_secs());
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let below = descendants(self.child.id());
            kill(self.child.id());
            below.iter().for_each(|p| kill(p.pid));
            let _status = self.child.wait();
        }
    }
}

fn file_of(dir: &Path, bytes: &[u8]) -> anyhow::Result<Stdio> {
    let mut file: File = tempfile::tempfile_in(dir).context("make a file for input")?;
    file.write_all(bytes)?;
    std::io::Seek::rewind(&mut file)?;
    Ok(Stdio::from(file))
}
