//! Calls RMAN: always with a command file, never over standard input, passwords never among the arguments.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use common::oracle::connect::{Connect, Role};
use common::oracle::home::Home;
use common::process::{Cmd, Done, Ended};
use common::secret::Secret;

use crate::verdict::{judge, Beside, Verdict};

/// RMAN and how it logs on.
#[derive(Clone)]
pub struct Rman {
    pub home: Home,
    pub target: Connect,
    pub catalog: Option<Connect>,
    /// Wall time of one call.
    pub limit: Duration,
    /// `false`: a signal does not stop it. For putting back what was changed.
    pub interruptible: bool,
}

/// A call that has ended, and what its log says.
pub struct Called {
    pub done: Done,
    pub verdict: Verdict,
}

impl Called {
    /// Whether RMAN itself says that nothing went wrong; its log may still have warnings.
    pub fn ended_well(&self) -> bool {
        self.done.success() && self.verdict.outcome != crate::verdict::Outcome::Failure
    }

    /// Stopped by us, at its limit or because the run was asked to stop.
    pub fn stopped(&self) -> bool {
        matches!(self.done.ended, Ended::TimedOut(_) | Ended::Interrupted)
    }
}

impl Rman {
    /// Runs `script` and judges what it printed, which goes to `log` as it arrives; `log` must not exist.
    ///
    /// # Errors
    /// RMAN is not found or cannot be started, or a file cannot be written or read. A failed command is no error here.
    pub fn run(&self, script: &str, log: &Path) -> anyhow::Result<Called> {
        forget_the_dead(&std::env::temp_dir());
        let dir = tempfile::Builder::new()
            .prefix(&format!("{PREFIX}{}-", std::process::id()))
            .tempdir()
            .context("make a directory for rman")?;
        let file = dir.path().join(COMMANDS);
        let text = format!("{}{script}", self.connects());
        std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&file)
            .and_then(|mut f| f.write_all(text.as_bytes()))
            .with_context(|| format!("write {}", file.display()))?;
        let mut cmd = Cmd::new(self.home.program("rman")?, self.limit).args(self.arguments(&file));
        cmd.env = self.home.variables();
        cmd.env_remove = ["ORACLE_PATH", "SQLPATH"].map(str::to_owned).to_vec();
        if matches!(self.target, Connect::OsAuth { .. }) {
            cmd.env_remove.push("TWO_TASK".to_owned());
        }
        cmd.cwd = Some(dir.path().to_owned());
        cmd.log = Some(log.to_owned());
        cmd.secrets = self.secrets();
        cmd.interruptible = self.interruptible;
        let done = cmd.stream(&mut |_| {})?;
        let printed = std::fs::File::open(log).with_context(|| format!("read {}", log.display()))?;
        let verdict =
            judge(printed, Beside { whole: true }).with_context(|| format!("read {}", log.display()))?;
        Ok(Called { done, verdict })
    }

    fn arguments(&self, file: &Path) -> Vec<String> {
        let mut args = Vec::new();
        if let Connect::OsAuth { role: None | Some(Role::Sysdba) } = self.target {
            args.extend(["target".to_owned(), "/".to_owned()]);
        }
        if self.catalog.is_none() {
            args.push("nocatalog".to_owned());
        }
        args.push(format!("cmdfile={}", file.display()));
        args
    }

    /// The CONNECT lines of everything that is not simply `target /`.
    fn connects(&self) -> String {
        let mut text = String::new();
        match &self.target {
            Connect::OsAuth { role: None | Some(Role::Sysdba) } => {}
            other => text.push_str(&format!("CONNECT TARGET {};\n", spelled(other))),
        }
        if let Some(catalog) = &self.catalog {
            text.push_str(&format!("CONNECT CATALOG {};\n", spelled(catalog)));
        }
        text
    }

    fn secrets(&self) -> Vec<Secret> {
        let of = |connect: &Connect| match connect {
            Connect::Password { password, .. } => Some(password.clone()),
            Connect::OsAuth { .. } | Connect::Wallet { .. } => None,
        };
        [Some(&self.target), self.catalog.as_ref()].into_iter().flatten().filter_map(of).collect()
    }
}

const PREFIX: &str = "orapipe-rman-";
const COMMANDS: &str = "commands.rman";

/// Removes the command files of runs that were killed, for there may be a password in them. An RMAN that outlived its run
/// has read it long ago.
fn forget_the_dead(temporary: &Path) {
    for entry in std::fs::read_dir(temporary).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let pid = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next()?.parse::<u32>().ok());
        if pid.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            // What belongs to another user is his to remove.
            let _other = std::fs::remove_file(entry.path().join(COMMANDS));
            let _other = std::fs::remove_dir(entry.path());
        }
    }
}

/// As RMAN reads it: SYSDBA goes without saying, another privilege needs quotes around the whole.
fn spelled(connect: &Connect) -> String {
    let (logon, role) = match connect {
        Connect::OsAuth { role } => ("/".to_owned(), role),
        Connect::Wallet { alias, role } => (format!("/@{alias}"), role),
        Connect::Password { user, password, tns, role } => {
            let at = tns.as_ref().map(|t| format!("@{t}")).unwrap_or_default();
            (format!("{user}/\"{}\"{at}", password.expose()), role)
        }
    };
    match role {
        None | Some(Role::Sysdba) => logon,
        Some(role) => format!("'{logon} AS {role}'"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rman(target: &str) -> Rman {
        Rman {
            home: Home::default(),
            target: Connect::parse(&Secret::new(target)).unwrap(),
            catalog: None,
            limit: Duration::from_secs(1),
            interruptible: true,
        }
    }

    #[test]
    fn what_a_killed_run_left_is_removed_and_what_a_live_one_needs_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let gone = child.id();
        child.wait().unwrap();
        let of = |pid: u32| dir.path().join(format!("{PREFIX}{pid}-aB1")).join(COMMANDS);
        for pid in [gone, std::process::id()] {
            std::fs::create_dir(of(pid).parent().unwrap()).unwrap();
            std::fs::write(of(pid), "CONNECT TARGET sys/x").unwrap();
        }
        forget_the_dead(dir.path());
        assert!(!of(gone).parent().unwrap().exists() && of(std::process::id()).exists());
    }

    #[test]
    fn a_password_is_in_the_command_file_and_nowhere_else() {
        let call = rman("sys/ti/ger@prod");
        assert_eq!(call.connects(), "CONNECT TARGET sys/\"ti/ger\"@prod;\n");
        assert_eq!(call.arguments(Path::new("/t/c")), ["nocatalog", "cmdfile=/t/c"]);
        assert_eq!(call.secrets().len(), 1);
        let call = rman("/");
        assert_eq!(call.connects(), "");
        assert_eq!(call.arguments(Path::new("/t/c")), ["target", "/", "nocatalog", "cmdfile=/t/c"]);
        assert_eq!(rman("/@prod as sysbackup").connects(), "CONNECT TARGET '/@prod AS SYSBACKUP';\n");
        assert_eq!(rman("/@prod").connects(), "CONNECT TARGET /@prod;\n");
    }
}
