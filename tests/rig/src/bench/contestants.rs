//! Who runs against whom: our tool, plain rsync, and the scripts before.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Context;

use super::child::{self, Running};
use super::data::Logs;
use crate::tool::clean_environment;

/// The way to the standby and the directories of one comparison.
#[derive(Debug)]
pub struct Arena<'a> {
    /// Options as SSH_OPTIONS.
    pub ssh_options: String,
    pub host: String,
    pub user: String,
    pub logs: &'a Logs,
    /// Emptied before each run.
    pub dest: PathBuf,
    /// State, lists and output of the contestants.
    pub scratch: PathBuf,
    pub arch_ship: PathBuf,
}

/// One way to ship logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    ArchShip,
    /// So many rsyncs, each with its part of the files.
    Plain(usize),
    /// One rsync with zstd at level 1.
    PlainZstd,
    Shell,
    /// With or without its sleep of three seconds for each log.
    Python {
        sleep: bool,
    },
}

impl Way {
    pub fn name(self) -> String {
        match self {
            Self::ArchShip => "arch-ship (with proof)".to_owned(),
            Self::Plain(1) => "one rsync".to_owned(),
            Self::Plain(n) => format!("{n} rsyncs"),
            Self::PlainZstd => "one rsync, zstd 1".to_owned(),
            Self::Shell => "bash original".to_owned(),
            Self::Python { sleep: true } => "Python original".to_owned(),
            Self::Python { sleep: false } => "Python, no sleep".to_owned(),
        }
    }

    /// Slow enough to be measured less often.
    pub fn is_original(self) -> bool {
        matches!(self, Self::Shell | Self::Python { .. })
    }
}

impl Arena<'_> {
    /// Ships the first `count` logs in one way and waits for the end.
    ///
    /// # Errors
    /// The contestant failed; its last words are in the error.
    pub fn ship(&self, way: Way, count: usize) -> anyhow::Result<()> {
        let names = &self.logs.names[..count];
        match way {
            Way::ArchShip => self.arch_ship(),
            Way::Plain(parts) => self.plain(names, parts, &["-W"]),
            Way::PlainZstd => self.plain(names, 1, &["-z", "--compress-choice=zstd", "--compress-level=1"]),
            Way::Shell => {
                let mut bash = self.command("bash");
                bash.arg("-c").arg(include_str!("original.sh"));
                self.original(bash, names)
            }
            Way::Python { sleep } => {
                let mut python = self.command("python3");
                python.arg("-c").arg(include_str!("original.py"));
                python.env("STABLE", if sleep { "3" } else { "0" });
                self.original(python, names)
            }
        }
    }

    /// The call of our tool, without what is special to one measurement.
    pub fn arch_ship_command(&self) -> Command {
        let mut command = Command::new(&self.arch_ship);
        command.env_clear().envs(clean_environment()).env("HOME", &self.scratch).env("ORACLE_SID", "BENCH");
        command
            .args(["--json", "--discover", "scan", "--applied", "none", "--source-dir"])
            .arg(&self.logs.root);
        command.args(["--dest-host", &self.host, "--dest-user", &self.user]);
        command.args(["--ssh-option", &self.ssh_options, "--dest-dir"]).arg(&self.dest);
        command.arg("--state-dir").arg(self.scratch.join("state"));
        command
    }

    fn arch_ship(&self) -> anyhow::Result<()> {
        let state = self.scratch.join("state");
        if state.exists() {
            std::fs::remove_dir_all(&state).with_context(|| format!("remove {}", state.display()))?;
        }
        child::run(self.arch_ship_command(), "arch-ship", &self.scratch, b"").map(|_| ())
    }

    fn plain(&self, names: &[PathBuf], parts: usize, options: &[&str]) -> anyhow::Result<()> {
        let parts = parts.min(names.len()).max(1);
        let mut running = Vec::new();
        for part in names.chunks(names.len().div_ceil(parts)) {
            let mut rsync = self.command("rsync");
            rsync.args(["-a", "--no-relative", "--no-dirs", "--files-from=-"]).args(options);
            // The one cipher that is fastest where both processors have AES: the best case.
            rsync.args(["-e", &format!("{} -c aes128-gcm@openssh.com", self.ssh())]).arg(&self.logs.root);
            rsync.arg(format!("{}@{}:{}/", self.user, self.host, self.dest.display()));
            let list: Vec<u8> = part.iter().flat_map(|n| format!("{}\n", n.display()).into_bytes()).collect();
            running.push(Running::start(rsync, "rsync", &self.scratch, &list)?);
        }
        running.into_iter().try_for_each(|r| r.finish().map(|_| ()))
    }

    fn original(&self, mut command: Command, names: &[PathBuf]) -> anyhow::Result<()> {
        command.env("SSH", self.ssh()).env("DEST", &self.dest);
        command.env("HOST", format!("{}@{}", self.user, self.host));
        let root = &self.logs.root;
        let list: Vec<u8> =
            names.iter().flat_map(|n| format!("{}\n", root.join(n).display()).into_bytes()).collect();
        child::run(command, "original", &self.scratch, &list).map(|_| ())
    }

    fn ssh(&self) -> String {
        format!("ssh {}", self.ssh_options)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env_clear().envs(clean_environment()).env("HOME", &self.scratch);
        if let Some(path) = std::env::var_os("PATH") {
            command.env("PATH", path);
        }
        command
    }
}
