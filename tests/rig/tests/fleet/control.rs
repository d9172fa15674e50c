//! The control host: Ansible with the repository's playbooks, an inventory, a vault, and an eye on every argument list.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{bail, ensure, Context, Result};
use regex::Regex;

use crate::room::{said, Room};

/// The folder of the playbooks.
pub fn fleet() -> PathBuf {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fleet");
    dir.canonicalize().unwrap_or(dir)
}

/// The packages: what scripts/package.sh makes.
///
/// # Errors
/// There are none; the test fails then and is not skipped.
pub fn dist() -> Result<PathBuf> {
    let dir = match std::env::var_os("ORAPIPE_DIST") {
        Some(dir) => PathBuf::from(dir),
        None => rig::tool::bin_dir()?.join("../dist"),
    };
    let dir = dir.canonicalize().unwrap_or(dir);
    ensure!(
        dir.join("SHA256SUMS").is_file(),
        "no packages in {}; make them with scripts/package.sh",
        dir.display()
    );
    Ok(dir)
}

/// A program of Ansible.
fn ansible(program: &str) -> Result<PathBuf> {
    let cache = match std::env::var_os("XDG_CACHE_HOME").filter(|dir| !dir.is_empty()) {
        Some(dir) => PathBuf::from(dir),
        None => PathBuf::from(std::env::var_os("HOME").context("HOME is not set")?).join(".cache"),
    };
    let path = match std::env::var_os("ORAPIPE_ANSIBLE") {
        Some(dir) => PathBuf::from(dir).join(program),
        None => cache.join("orapipe/venv-ansible/bin").join(program),
    };
    ensure!(path.is_file(), "{} is not installed; run scripts/setup.sh", path.display());
    Ok(path)
}

/// What became of one host in a play.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Recap {
    pub ok: u32,
    pub changed: u32,
    pub unreachable: u32,
    pub failed: u32,
}

/// A playbook that has ended.
#[derive(Debug)]
pub struct Play {
    pub status: i32,
    /// Both outputs.
    pub text: String,
    pub hosts: BTreeMap<String, Recap>,
}

impl Play {
    /// # Errors
    /// The status is another one; the error has the whole output.
    pub fn expect(self, status: i32) -> Result<Self> {
        ensure!(self.status == status, "ansible-playbook ended with {}:\n{}", self.status, self.text);
        Ok(self)
    }

    pub fn changed(&self, host: &str) -> u32 {
        self.hosts.get(host).map_or(0, |h| h.changed)
    }
}

/// The control host of a room.
pub struct Control<'a> {
    room: &'a Room,
    inventory: PathBuf,
    secrets: Vec<String>,
}

impl<'a> Control<'a> {
    /// With the text of an inventory below `orapipe.hosts`, and one vault of variables.
    pub fn new(room: &'a Room, inventory: &str, vault: &str, secrets: &[&str]) -> Result<Self> {
        let dir = room.dir().join("inventory");
        std::fs::create_dir_all(dir.join("group_vars/orapipe"))?;
        std::fs::write(dir.join("hosts.yml"), inventory)?;
        std::fs::write(room.dir().join("vault-password"), "the vault's own\n")?;
        let control =
            Self { room, inventory: dir, secrets: secrets.iter().map(|s| (*s).to_owned()).collect() };
        control.vault(vault)?;
        Ok(control)
    }

    /// Writes the vault anew, encrypted.
    pub fn vault(&self, text: &str) -> Result<()> {
        let file = self.inventory.join("group_vars/orapipe/vault.yml");
        std::fs::write(&file, text)?;
        let out = self.command("ansible-vault")?.arg("encrypt").arg(&file).output()?;
        ensure!(out.status.success(), "ansible-vault: {}", said(&out));
        ensure!(std::fs::read_to_string(&file)?.starts_with("$ANSIBLE_VAULT;"), "the vault is not encrypted");
        Ok(())
    }

    /// Writes the inventory anew.
    pub fn inventory(&self, text: &str) -> Result<()> {
        Ok(std::fs::write(self.inventory.join("hosts.yml"), text)?)
    }

    fn command(&self, program: &str) -> Result<std::process::Command> {
        let dir = self.room.dir();
        let home = dir.join("home");
        std::fs::create_dir_all(&home)?;
        let path = ansible(program)?;
        let mut command = self.room.command(path.to_str().context("path")?)?;
        command.env_clear().envs(rig::tool::clean_environment());
        command.env("HOME", &home).env("LC_ALL", "C.UTF-8").env("ANSIBLE_NOCOLOR", "1");
        command.env("ANSIBLE_CONFIG", fleet().join("ansible.cfg")).env("ANSIBLE_INVENTORY", &self.inventory);
        command
            .env("ANSIBLE_SSH_CONTROL_PATH_DIR", dir.join("cp"))
            .env("ANSIBLE_LOCAL_TEMP", dir.join("tmp"));
        command.env("ANSIBLE_REMOTE_TEMP", "/tmp/.ansible").env("ANSIBLE_TIMEOUT", "4");
        command.env("ANSIBLE_VAULT_PASSWORD_FILE", dir.join("vault-password"));
        // As in ansible.cfg, but a host that has died is given up sooner.
        command.env(
            "ANSIBLE_SSH_ARGS",
            "-o ControlMaster=auto -o ControlPersist=60s -o ServerAliveInterval=1 -o ServerAliveCountMax=2",
        );
        Ok(command)
    }

    /// Runs a playbook and looks meanwhile at the arguments of every process of this machine.
    ///
    /// # Errors
    /// A secret was seen in an argument list or is in the output.
    pub fn play(&self, playbook: &str, args: &[&str]) -> Result<Play> {
        let mut command = self.command("ansible-playbook")?;
        command.arg(fleet().join(playbook)).args(args);
        let watch = Watch::start(&self.secrets);
        let begin = std::time::Instant::now();
        let out = command.stdin(std::process::Stdio::null()).output().context("start ansible-playbook")?;
        let seen = watch.stop();
        let text = said(&out);
        if std::env::var_os("ORAPIPE_SHOW").is_some() {
            eprintln!("{playbook} {args:?}: {:?}\n{text}", begin.elapsed());
        }
        if let Some(args) = seen {
            bail!("{playbook}: a secret is an argument of: {args}");
        }
        for secret in &self.secrets {
            ensure!(
                !text.contains(secret.as_str()),
                "{playbook} {args:?}: a secret is in the output:\n{text}"
            );
        }
        let recap =
            Regex::new(r"(?m)^(\S+)\s+: ok=(\d+)\s+changed=(\d+)\s+unreachable=(\d+)\s+failed=(\d+)")?;
        let mut hosts = BTreeMap::new();
        for found in recap.captures_iter(&text) {
            let n = |i: usize| found[i].parse::<u32>();
            let recap = Recap { ok: n(2)?, changed: n(3)?, unreachable: n(4)?, failed: n(5)? };
            hosts.insert(found[1].to_owned(), recap);
        }
        Ok(Play { status: out.status.code().unwrap_or(-1), text, hosts })
    }
}

/// Looks at every process's arguments until it is stopped.
struct Watch {
    over: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<Option<String>>,
}

impl Watch {
    fn start(secrets: &[String]) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let (flag, secrets) = (Arc::clone(&over), secrets.to_vec());
        let thread = std::thread::spawn(move || {
            let mut seen = None;
            while !flag.load(Ordering::SeqCst) {
                for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
                    let Ok(line) = std::fs::read(entry.path().join("cmdline")) else { continue };
                    let line = String::from_utf8_lossy(&line);
                    if secrets.iter().any(|s| line.contains(s.as_str())) {
                        seen = Some(line.replace('\0', " "));
                    }
                }
                std::thread::sleep(Duration::from_millis(15));
            }
            seen
        });
        Self { over, thread }
    }

    fn stop(self) -> Option<String> {
        self.over.store(true, Ordering::SeqCst);
        self.thread.join().unwrap_or_else(|_| Some("the watch has died".to_owned()))
    }
}
