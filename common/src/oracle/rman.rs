//! Runs a command file in RMAN.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{bail, Context};

use super::runner::{remote_sh, shell_failure, RemoteCall, RemoteHome, Runner, PATIENCE};
use super::script::Marks;
use crate::process::Done;

/// RMAN connected to the target by the operating system, without a recovery catalog.
#[derive(Clone)]
pub struct Rman {
    pub runner: Runner,
    /// Wall time of one call.
    pub limit: Duration,
    /// Gets the output appended.
    pub log: Option<PathBuf>,
}

/// A finished RMAN call. Its verdict is more than its status: FACTS 7 lists what RMAN leaves out with status 0.
#[derive(Debug, Clone)]
pub struct RmanDone {
    pub done: Done,
    /// What RMAN printed; invalid UTF-8 replaced.
    pub output: String,
    /// RMAN- and ORA- codes at line begins in the order printed, each once, frame lines of the error stack left out.
    pub codes: Vec<String>,
}

impl RmanDone {
    /// Status 0, the closing line printed, and no error stack.
    pub fn success(&self) -> bool {
        let stack = self.codes.iter().any(|c| matches!(c.as_str(), "RMAN-03002" | "RMAN-00558"));
        self.done.success() && !stack && self.output.contains("Recovery Manager complete.")
    }
}

impl Rman {
    /// Runs the commands from a command file: with standard input RMAN goes on after a rejected RUN block.
    ///
    /// # Errors
    /// The program is not found or cannot be started. A failed command is not an error here.
    pub fn run(&self, commands: &str) -> anyhow::Result<RmanDone> {
        let marks = Marks::new();
        let dir;
        let mut cmd = match &self.runner {
            Runner::Local(_) => {
                dir = tempfile::Builder::new()
                    .prefix("orapipe-rman-")
                    .tempdir()
                    .context("make a directory for rman")?;
                let file = dir.path().join("commands.rman");
                std::fs::File::create(&file)
                    .and_then(|mut f| f.write_all(commands.as_bytes()))
                    .with_context(|| format!("write {}", file.display()))?;
                let args = arguments(&file.to_string_lossy());
                let mut cmd = self.runner.command("rman", &args, Vec::new(), self.limit, true, &marks)?;
                cmd.cwd = Some(dir.path().to_owned());
                cmd
            }
            Runner::Remote { shell, home } => {
                let sh = remote_rman(home, self.limit, &marks.shell());
                shell.command(&sh, commands.as_bytes().to_vec(), self.limit)
            }
        };
        cmd.log = self.log.clone();
        let done = cmd.run()?;
        let output = String::from_utf8_lossy(&done.stdout).into_owned();
        if let Some(message) = output.lines().find_map(|l| l.strip_prefix(&marks.shell())) {
            bail!(shell_failure(&self.runner, message.trim()));
        }
        let mut codes: Vec<String> = Vec::new();
        for line in output.lines() {
            if let Some(code) = super::reply::code_of(line.as_bytes()) {
                let frame = matches!(code.as_str(), "RMAN-00571" | "RMAN-00569");
                if !frame && !codes.contains(&code) {
                    codes.push(code);
                }
            }
        }
        Ok(RmanDone { done, output, codes })
    }
}

fn arguments(file: &str) -> [String; 4] {
    ["target".to_owned(), "/".to_owned(), "nocatalog".to_owned(), format!("cmdfile={file}")]
}

/// The command file comes over standard input and is written into the script's own directory there.
fn remote_rman(home: &RemoteHome, limit: Duration, mark: &str) -> String {
    let call = RemoteCall {
        program: "rman",
        args: &arguments("commands.rman"),
        os_auth: true,
        before: "cat > commands.rman || exit 2",
        stop_after: limit + PATIENCE,
    };
    remote_sh(home, &call, mark)
}
