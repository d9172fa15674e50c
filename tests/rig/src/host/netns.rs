//! A network namespace with one link to ours. It lives as long as its holder process, and that as long as we do.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{ensure, Context};

/// A second host's network.
#[derive(Debug)]
pub struct Namespace {
    holder: Child,
    /// When this closes, by our death too, the holder ends and with it the namespace and the link.
    _stdin: ChildStdin,
    link: String,
    subnet: (u8, u8),
}

/// Whether this user may make network namespaces and links here.
pub fn netns_available() -> bool {
    Namespace::new().is_ok()
}

impl Namespace {
    pub fn new() -> anyhow::Result<Self> {
        let mut holder = Command::new("unshare")
            .args(["-n", "--", "cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("start unshare")?;
        let stdin = holder.stdin.take().context("no pipe")?;
        let mut namespace = Self { holder, _stdin: stdin, link: String::new(), subnet: (0, 0) };
        namespace.wait_for_it()?;
        let mut last = None;
        for attempt in 0..8 {
            let seed = u64::from_str_radix(&common::remote::nonce(), 16).unwrap_or(attempt);
            let subnet = (100 + (seed % 100) as u8, (seed >> 8 & 0xff) as u8);
            match namespace.connect(&format!("orp{:08x}", seed >> 32), subnet) {
                Ok(()) => return Ok(namespace),
                Err(e) => last = Some(e),
            }
        }
        Err(last.unwrap_or_else(|| anyhow::anyhow!("no subnet")))
            .context("make a network namespace (needs root)")
    }

    fn wait_for_it(&mut self) -> anyhow::Result<()> {
        let ours = std::fs::read_link("/proc/self/ns/net")?;
        let path = format!("/proc/{}/ns/net", self.holder.id());
        let end = Instant::now() + Duration::from_secs(5);
        loop {
            if std::fs::read_link(&path).is_ok_and(|theirs| theirs != ours) {
                return Ok(());
            }
            let ended = self.holder.try_wait()?;
            ensure!(ended.is_none() && Instant::now() < end, "unshare -n is not allowed here");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn connect(&mut self, link: &str, subnet: (u8, u8)) -> anyhow::Result<()> {
        let (a, b) = subnet;
        let used = ip(&["-4", "-o", "addr", "show"])?;
        ensure!(!used.contains(&format!(" 10.{a}.{b}.")), "10.{a}.{b}.0 is in use");
        let pid = self.holder.id().to_string();
        ip(&["link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", &pid])?;
        link.clone_into(&mut self.link);
        self.subnet = subnet;
        ip(&["addr", "add", &format!("10.{a}.{b}.1/24"), "dev", link])?;
        ip(&["link", "set", link, "up"])?;
        let inside =
            format!("ip addr add 10.{a}.{b}.2/24 dev eth0 && ip link set eth0 up && ip link set lo up");
        let out = self.command(Path::new("sh"))?.args(["-c", &inside]).output()?;
        ensure!(out.status.success(), "ip: {}", String::from_utf8_lossy(&out.stderr));
        Ok(())
    }

    /// The other side's address.
    pub fn inside(&self) -> Ipv4Addr {
        Ipv4Addr::new(10, self.subnet.0, self.subnet.1, 2)
    }

    /// A command that runs inside.
    pub fn command(&self, program: &Path) -> anyhow::Result<Command> {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/proc/{}/ns/net", self.holder.id())).arg("--").arg(program);
        Ok(command)
    }

    pub fn link(&self, state: &str) -> anyhow::Result<()> {
        ip(&["link", "set", &self.link, state]).map(|_| ())
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if !self.link.is_empty() {
            let _gone = ip(&["link", "del", &self.link]);
        }
        let _gone = self.holder.kill();
        let _status = self.holder.wait();
    }
}

fn ip(args: &[&str]) -> anyhow::Result<String> {
    let out = Command::new("ip").args(args).output().context("start ip")?;
    ensure!(out.status.success(), "ip {}: {}", args.join(" "), String::from_utf8_lossy(&out.stderr).trim());
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}
