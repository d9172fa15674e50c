//! A standby host: a real sshd with keys of its own, on loopback or in a network namespace of its own.

mod netns;
mod processes;

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{bail, ensure, Context};

pub use netns::{netns_available, Namespace};
pub use processes::{alive, children, descendants, kill, with_environment, Process};

/// How a host is to behave.
#[derive(Debug, Clone, Default)]
pub struct HostOptions {
    /// For every remote session, PATH and HOME included. Values without a double quote or newline.
    pub env: Vec<(String, String)>,
    /// Printed at every login, before the command runs, as a careless `.bashrc` does.
    pub login_noise: Option<String>,
    /// Runs the commands instead of the user's own login shell.
    pub login_shell: Option<PathBuf>,
    /// More lines for sshd_config, put first.
    pub config: Vec<String>,
    /// In a network namespace of its own, with a link that can be cut. Needs root.
    pub namespace: bool,
}

/// A running sshd. Dropping it ends it and all its sessions.
#[derive(Debug)]
pub struct SshHost {
    dir: tempfile::TempDir,
    address: SocketAddr,
    sshd: Option<Child>,
    namespace: Option<Namespace>,
    user: String,
}

impl SshHost {
    /// Makes keys and configuration and starts sshd.
    ///
    /// # Errors
    /// A program is missing: sshd, ssh-keygen or rsync. That is a failure, never a skipped test.
    pub fn start(options: &HostOptions) -> anyhow::Result<Self> {
        for program in ["ssh", "ssh-keygen", "rsync"] {
            program_path(program)?;
        }
        let dir = tempfile::Builder::new().prefix("orapipe-host-").tempdir()?;
        // sshd refuses keys below a directory that others may write.
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755))?;
        for key in ["host_key", "user_key"] {
            make_key(&dir.path().join(key))?;
        }
        std::fs::copy(dir.path().join("user_key.pub"), dir.path().join("authorized_keys"))?;
        let namespace = options.namespace.then(Namespace::new).transpose()?;
        let ip = namespace.as_ref().map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |n| IpAddr::V4(n.inside()));
        let mut host =
            Self { dir, address: SocketAddr::new(ip, 0), sshd: None, namespace, user: user_name()? };
        if options.login_noise.is_some() || options.login_shell.is_some() {
            host.write_wrapper(options)?;
        }
        // Another process can take the port between our look and sshd's bind.
        let mut last = None;
        for _ in 0..5 {
            host.address.set_port(if host.namespace.is_some() { 22 } else { free_port()? });
            host.write_config(options)?;
            match host.start_again() {
                Ok(()) => return Ok(host),
                Err(e) => last = Some(e),
            }
        }
        Err(last.unwrap_or_else(|| anyhow::anyhow!("no port"))).context("start sshd")
    }

    fn write_wrapper(&self, options: &HostOptions) -> anyhow::Result<()> {
        let path = self.dir.path().join("login");
        let mut text = String::from("#!/bin/sh\n");
        if let Some(noise) = &options.login_noise {
            std::fs::write(self.dir.path().join("noise"), noise)?;
            text.push_str(&format!("cat '{}'\n", self.dir.path().join("noise").display()));
        }
        let shell = options.login_shell.clone().unwrap_or_else(|| PathBuf::from("/bin/sh"));
        text.push_str(&format!("exec '{}' -c \"$SSH_ORIGINAL_COMMAND\"\n", shell.display()));
        std::fs::write(&path, text)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
        Ok(())
    }

    fn write_config(&self, options: &HostOptions) -> anyhow::Result<()> {
        let at = |name: &str| self.dir.path().join(name).display().to_string();
        let mut lines = options.config.clone();
        lines.extend([
            format!("Port {}", self.address.port()),
            format!("ListenAddress {}", self.address.ip()),
            format!("HostKey {}", at("host_key")),
            format!("AuthorizedKeysFile {}", at("authorized_keys")),
            "PidFile none".to_owned(),
            "StrictModes no".to_owned(),
            "UsePAM no".to_owned(),
            "UseDNS no".to_owned(),
            "PasswordAuthentication no".to_owned(),
            "KbdInteractiveAuthentication no".to_owned(),
            "PermitRootLogin prohibit-password".to_owned(),
            "PrintMotd no".to_owned(),
            "LogLevel VERBOSE".to_owned(),
        ]);
        // A home of its own: what the .bashrc of the person who runs the tests does, and how long, is not ours.
        let mut env = options.env.clone();
        if !env.iter().any(|(name, _)| name == "HOME") {
            std::fs::create_dir_all(self.home())?;
            env.push(("HOME".to_owned(), at("home")));
        }
        let mut line = String::from("SetEnv");
        for (name, value) in &env {
            ensure!(!value.contains(['"', '\n']), "the value of {name} cannot be written to sshd_config");
            line.push_str(&format!(" {name}=\"{value}\""));
        }
        lines.push(line);
        if self.dir.path().join("login").exists() {
            lines.push(format!("ForceCommand {}", at("login")));
        }
        std::fs::write(self.dir.path().join("sshd_config"), lines.join("\n") + "\n")?;
        Ok(())
    }

    /// Starts sshd after [`SshHost::stop`], with the same port and keys.
    pub fn start_again(&mut self) -> anyhow::Result<()> {
        ensure!(self.sshd.is_none(), "sshd is running");
        if rustix::process::geteuid().is_root() {
            std::fs::create_dir_all("/run/sshd").context("make /run/sshd")?;
        }
        let sshd = program_path("sshd")?;
        let log = OpenOptions::new().create(true).append(true).open(self.log_path())?;
        let mut command = match &self.namespace {
            Some(namespace) => namespace.command(&sshd)?,
            None => Command::new(&sshd),
        };
        command.args(["-D", "-e", "-f"]).arg(self.dir.path().join("sshd_config"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).env_remove("SSH_AUTH_SOCK");
        let mut child = command.spawn().context("start sshd")?;
        let end = Instant::now() + Duration::from_secs(10);
        loop {
            if let Some(status) = child.try_wait()? {
                bail!("sshd ended with {status}: {}", self.log_tail());
            }
            if TcpStream::connect_timeout(&self.address, Duration::from_millis(200)).is_ok() {
                break;
            }
            if Instant::now() > end {
                child.kill()?;
                child.wait()?;
                bail!("sshd does not listen on {}: {}", self.address, self.log_tail());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        self.sshd = Some(child);
        Ok(())
    }

    /// Ends sshd and every session, at once.
    pub fn stop(&mut self) {
        let Some(mut sshd) = self.sshd.take() else { return };
        let sessions = descendants(sshd.id());
        let _gone = sshd.kill();
        let _status = sshd.wait();
        sessions.iter().for_each(|p| kill(p.pid));
    }

    /// Ends the sessions' sshd processes; the listener stays, and so do the commands that they had started.
    pub fn kill_connections(&self) -> usize {
        let Some(sshd) = &self.sshd else { return 0 };
        let sessions: Vec<Process> =
            descendants(sshd.id()).into_iter().filter(|p| p.name.starts_with("sshd")).collect();
        sessions.iter().for_each(|p| kill(p.pid));
        sessions.len()
    }

    /// The commands that run for open sessions: sshd's descendants that are not sshd.
    pub fn remote_processes(&self) -> Vec<Process> {
        let Some(sshd) = &self.sshd else { return Vec::new() };
        descendants(sshd.id()).into_iter().filter(|p| !p.name.starts_with("sshd")).collect()
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn host(&self) -> String {
        self.address.ip().to_string()
    }

    pub fn user(&self) -> &str {
        &self.user
    }

    /// The home directory of sessions, unless the options named another.
    pub fn home(&self) -> PathBuf {
        self.dir.path().join("home")
    }

    /// Keys, configuration and log.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// SSH_OPTIONS for our tools. No configuration of the person who runs the tests is read.
    pub fn ssh_options(&self) -> String {
        self.ssh_options_via(self.address)
    }

    /// As [`SshHost::ssh_options`], through something that listens elsewhere, such as a proxy.
    pub fn ssh_options_via(&self, address: SocketAddr) -> String {
        format!(
            "-F /dev/null -p {} -i '{}' -o IdentitiesOnly=yes -o IdentityAgent=none -o 'UserKnownHostsFile={}' \
             -o StrictHostKeyChecking=accept-new",
            address.port(),
            self.dir.path().join("user_key").display(),
            self.dir.path().join("known_hosts").display(),
        )
    }

    /// The host key is a new one from now on, as after a re-installation. Restart it to take effect.
    pub fn change_host_key(&self) -> anyhow::Result<()> {
        let key = self.dir.path().join("host_key");
        std::fs::remove_file(&key)?;
        make_key(&key)
    }

    /// Nobody is let in from now on.
    pub fn revoke_key(&self) -> anyhow::Result<()> {
        Ok(std::fs::write(self.dir.path().join("authorized_keys"), b"")?)
    }

    fn log_path(&self) -> PathBuf {
        self.dir.path().join("sshd.log")
    }

    pub fn log(&self) -> anyhow::Result<String> {
        Ok(String::from_utf8_lossy(&std::fs::read(self.log_path())?).into_owned())
    }

    fn log_tail(&self) -> String {
        let log = self.log().unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(5)..].join(" | ")
    }

    /// Connections that were authenticated since the start: what the tools have really opened.
    pub fn connections(&self) -> anyhow::Result<usize> {
        Ok(self.log()?.lines().filter(|l| l.starts_with("Accepted publickey for ")).count())
    }

    /// Sessions (commands) that were started.
    pub fn sessions(&self) -> anyhow::Result<usize> {
        Ok(self.log()?.lines().filter(|l| l.starts_with("Starting session:")).count())
    }

    /// Cuts the link of a host in a namespace: packets vanish, nothing is refused.
    pub fn link_down(&self) -> anyhow::Result<()> {
        self.namespace.as_ref().context("the host has no link of its own")?.link("down")
    }

    pub fn link_up(&self) -> anyhow::Result<()> {
        self.namespace.as_ref().context("the host has no link of its own")?.link("up")
    }
}

impl Drop for SshHost {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Where a program is; sshd is not in every user's PATH.
pub fn program_path(name: &str) -> anyhow::Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin", "/usr/bin", "/bin"].map(PathBuf::from))
        .map(|dir| dir.join(name))
        .find(|p| p.is_file())
        .with_context(|| format!("{name} is not installed, and the tests need it"))
}

fn make_key(path: &Path) -> anyhow::Result<()> {
    let out = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(path).output()?;
    ensure!(out.status.success(), "ssh-keygen: {}", String::from_utf8_lossy(&out.stderr));
    Ok(())
}

fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn user_name() -> anyhow::Result<String> {
    let out = Command::new("id").arg("-un").output()?;
    Ok(String::from_utf8(out.stdout)?.trim().to_owned())
}

/// A directory with programs for the PATH of a host: links to the real ones, without those in `without`.
pub fn bin_without(dir: &Path, without: &[&str]) -> anyhow::Result<OsString> {
    std::fs::create_dir_all(dir)?;
    for source in ["/usr/bin", "/bin"] {
        for entry in std::fs::read_dir(source)? {
            let entry = entry?;
            let name = entry.file_name();
            let link = dir.join(&name);
            if without.iter().any(|w| name == **w) || std::fs::symlink_metadata(&link).is_ok() {
                continue;
            }
            std::os::unix::fs::symlink(entry.path(), link)?;
        }
    }
    Ok(dir.as_os_str().to_owned())
}

/// Writes an executable script in the place of whatever has this name.
///
/// A name made by [`bin_without`] is a link to the machine's own program: writing through it as root would destroy that.
pub fn write_program(path: &Path, text: &str) -> anyhow::Result<()> {
    if std::fs::symlink_metadata(path).is_ok() {
        std::fs::remove_file(path)?;
    }
    let mut file = File::create_new(path)?;
    file.write_all(text.as_bytes())?;
    file.set_permissions(std::fs::Permissions::from_mode(0o755))?;
    Ok(())
}
