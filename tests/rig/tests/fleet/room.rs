//! Three database hosts and the room they stand in: namespaces of their own, so that nothing they do touches the machine,
//! and all of it is gone when the process that holds the room ends.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{bail, ensure, Context, Result};
use rig::host::{children, program_path};

/// What becomes of namespaces where they are not allowed.
const HINT: &str = "the hosts of the fleet need mount, network and PID namespaces over the machine's root: run the tests as \
                    root (sudo -E env PATH=$PATH cargo test), in a container with --privileged";
const START: Duration = Duration::from_secs(20);
const HOST: &str = include_str!("host.sh");

/// A process that is the first of its PID namespace. Its end is that of all in it; so is ours.
#[derive(Debug)]
struct First {
    unshare: Child,
    _stdin: ChildStdin,
    pid: u32,
}

impl First {
    /// Starts `script` with `sh` in new namespaces, inside those of `room` if there is one, and waits for its "ready".
    fn start(room: Option<u32>, script: &str, env: &[(&str, &str)]) -> Result<Self> {
        let unshare = ["--mount", "--net", "--pid", "--uts", "--ipc", "--fork", "--kill-child", "--"];
        let mut command = match room {
            Some(pid) => inside(pid, "unshare")?,
            None => Command::new(program_path("unshare")?),
        };
        command.args(unshare).args(["/bin/sh", "-c", script]).env_clear().envs(env.iter().copied());
        command.env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        let mut unshare = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("start unshare")?;
        let stdin = unshare.stdin.take().context("no pipe")?;
        let stdout = unshare.stdout.take().context("no pipe")?;
        let mut first = Self { unshare, _stdin: stdin, pid: 0 };
        let (told, answer) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if told.send(line).is_err() {
                    break;
                }
            }
        });
        match answer.recv_timeout(START) {
            Ok(line) if line == "ready" => {}
            other => {
                let _gone = first.unshare.kill();
                let out = first.unshare.stderr.take().map(std::io::read_to_string).transpose()?;
                bail!("{HINT}\n(said {other:?}, {})", out.unwrap_or_default().trim());
            }
        }
        first.pid = first.find()?;
        Ok(first)
    }

    /// The namespaces' first process as it is known out here: the last of the line nsenter, unshare, sh.
    fn find(&self) -> Result<u32> {
        let mut pid = self.unshare.id();
        let ours = std::fs::read_link("/proc/self/ns/pid")?;
        let end = Instant::now() + START;
        while Instant::now() < end {
            let process = children(pid);
            let Some(child) = process.first() else { bail!("{pid} has no child") };
            let status = std::fs::read_to_string(format!("/proc/{}/status", child.pid))?;
            let names = status.lines().find(|l| l.starts_with("NSpid:")).unwrap_or_default();
            let theirs = std::fs::read_link(format!("/proc/{}/ns/pid", child.pid))?;
            if theirs != ours && names.ends_with("\t1") {
                let parent_is = std::fs::read_link(format!("/proc/{pid}/ns/pid"))?;
                if parent_is != theirs {
                    return Ok(child.pid);
                }
            }
            pid = child.pid;
        }
        bail!("no first process")
    }
}

impl Drop for First {
    fn drop(&mut self) {
        rig::host::kill(self.pid);
        let _gone = self.unshare.kill();
        let _status = self.unshare.wait();
    }
}

/// A command in all namespaces of a process.
fn inside(pid: u32, program: &str) -> Result<Command> {
    let mut command = Command::new(program_path("nsenter")?);
    command.args([
        "--target",
        &pid.to_string(),
        "--mount",
        "--net",
        "--pid",
        "--uts",
        "--ipc",
        "--",
        program,
    ]);
    Ok(command)
}

/// The network between the control host and the others, and the place of their files, in memory.
#[derive(Debug)]
pub struct Room {
    hosts: Vec<Host>,
    first: First,
    dir: tempfile::TempDir,
}

/// A database host with its own root, users, packages and sshd.
#[derive(Debug)]
pub struct Host {
    pub name: String,
    pub address: String,
    first: First,
}

impl Room {
    /// Hosts named `db1.example.com` and so on, with a user `oracle`, its group `oinstall`, and cron's directory.
    pub fn new(hosts: usize) -> Result<Self> {
        ensure!(rustix::process::geteuid().is_root(), "{HINT}");
        let dir = tempfile::Builder::new().prefix("orapipe-fleet-").tempdir()?;
        std::fs::create_dir(dir.path().join("hosts"))?;
        let key = dir.path().join("key");
        let made = Command::new(program_path("ssh-keygen")?)
            .args(["-q", "-t", "ed25519", "-N", "", "-f"])
            .arg(&key)
            .output()?;
        ensure!(made.status.success(), "ssh-keygen: {}", String::from_utf8_lossy(&made.stderr));
        let script = "set -eu; mount -t proc proc /proc; mount -t tmpfs tmpfs \"$DIR\"; ip link set lo up; hostname control; \
                      echo ready; exec cat >/dev/null";
        let place = dir.path().join("hosts").display().to_string();
        let first = First::start(None, script, &[("DIR", &place)])?;
        let mut room = Self { hosts: Vec::new(), first, dir };
        let public = std::fs::read_to_string(key.with_extension("pub"))?;
        for number in 1..=hosts {
            let name = format!("db{number}.example.com");
            let place = format!("{place}/db{number}");
            let env = [("DIR", place.as_str()), ("NAME", &name), ("KEY", public.trim())];
            let first = First::start(Some(room.first.pid), HOST, &env).with_context(|| name.clone())?;
            let link = format!("db{number}");
            room.connect(&link, number, first.pid)?;
            let address = format!("10.77.{number}.2");
            room.hosts.push(Host { name, address, first });
        }
        Ok(room)
    }

    /// A pair of interfaces: one in the room, one in the host.
    fn connect(&self, link: &str, number: usize, pid: u32) -> Result<()> {
        // Only the network is entered, so that the process has the number that is known out here.
        let ip = |net: u32, args: &str| {
            let out = Command::new(program_path("nsenter")?)
                .args(["--target", &net.to_string(), "--net", "--", "ip"])
                .args(args.split(' '))
                .output()?;
            ensure!(out.status.success(), "ip {args}: {}", String::from_utf8_lossy(&out.stderr));
            anyhow::Ok(())
        };
        let room = self.first.pid;
        ip(room, &format!("link add {link} type veth peer name eth0 netns {pid}"))?;
        ip(room, &format!("addr add 10.77.{number}.1/24 dev {link}"))?;
        ip(room, &format!("link set {link} up"))?;
        ip(pid, &format!("addr add 10.77.{number}.2/24 dev eth0"))?;
        ip(pid, "link set eth0 up")
    }

    /// For files of the control host; gone with the room.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The private key by which root is let in.
    pub fn key(&self) -> PathBuf {
        self.dir.path().join("key")
    }

    pub fn host(&self, number: usize) -> &Host {
        &self.hosts[number - 1]
    }

    /// A command on the control host: the machine's files, the room's network.
    pub fn command(&self, program: &str) -> Result<Command> {
        inside(self.first.pid, program)
    }

    /// Everything that a host has written since it was made: path, kind, mode, owner, size, time of change.
    pub fn written(&self, number: usize) -> Result<String> {
        let upper = format!("{}/hosts/db{number}/upper", self.dir.path().display());
        let out = self
            .command("find")?
            .args([&upper, "-mindepth", "1", "-printf", "%P %y %m %U:%G %s %T@\n"])
            .output()?;
        ensure!(out.status.success(), "find: {}", String::from_utf8_lossy(&out.stderr));
        let mut lines: Vec<_> = String::from_utf8_lossy(&out.stdout).lines().map(str::to_owned).collect();
        // Directories change with the temporary files in them.
        lines.retain(|l| !l.starts_with("root/.ansible") && !l.contains("__pycache__"));
        lines.sort();
        Ok(lines.join("\n"))
    }
}

impl Host {
    /// Pulls the plug: every process of the host ends at once and nothing answers at its address any more.
    pub fn die(&self) {
        rig::host::kill(self.first.pid);
    }

    /// The commands of its crontab, in order, as cron would hand them to the shell.
    pub fn crontab(&self) -> Result<Vec<String>> {
        let text = self.sh("cat /etc/cron.d/orapipe-fleet")?;
        let lines = text.lines().filter(|l| l.starts_with(|c: char| c.is_ascii_digit()));
        let command = |line: &str| {
            let mut fields = line.splitn(7, ' ');
            ensure!(fields.nth(5) == Some("oracle"), "not a line of oracle: {line}");
            // An unescaped % is a line break to cron.
            let text = fields.next().unwrap_or_default().replace("\\%", "\0");
            ensure!(!text.contains('%'), "cron would cut this line at its %: {line}");
            Ok(text.replace('\0', "%"))
        };
        lines.map(command).collect()
    }

    /// A command of root on this host.
    pub fn command(&self, program: &str) -> Result<Command> {
        let mut command = inside(self.first.pid, program)?;
        command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/usr/sbin:/bin:/sbin").env("HOME", "/tmp");
        Ok(command)
    }

    /// What a shell line of root prints.
    pub fn sh(&self, line: &str) -> Result<String> {
        let out = self.command("/bin/sh")?.args(["-c", line]).output()?;
        ensure!(out.status.success(), "{}: {line}: {}", self.name, said(&out));
        Ok(String::from_utf8(out.stdout)?)
    }

    /// A shell line of the user oracle, as cron runs it.
    pub fn cron(&self, line: &str) -> Result<Output> {
        let mut command = self.command("setpriv")?;
        command.args([
            "--reuid",
            "oracle",
            "--regid",
            "oinstall",
            "--init-groups",
            "--",
            "/bin/sh",
            "-c",
            line,
        ]);
        command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").env("HOME", "/home/oracle");
        Ok(command.stdin(Stdio::null()).output()?)
    }
}

/// Both outputs.
pub fn said(out: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr))
}
