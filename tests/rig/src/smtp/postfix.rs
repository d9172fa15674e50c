//! Debian's postfix with its own configuration, spool and ports; its master is our child and ends by its own pid.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{ensure, Context, Result};
use tempfile::TempDir;

use super::Authority;
use crate::host::program_path;

/// A running postfix. Mail to anybody at `example.com` ends in one mailbox; `gone@` has no mailbox there, `grey@` is
/// told to come back later, other domains are not relayed.
#[derive(Debug)]
pub struct Postfix {
    dir: TempDir,
    master: Child,
    /// With STARTTLS.
    pub port: u16,
    /// With TLS from the first byte.
    pub tls_port: u16,
}

impl Postfix {
    /// Needs root, as postfix does.
    pub fn start(authority: &Authority) -> Result<Self> {
        let postfix = program_path("postfix")?;
        // Not below a directory that only root may enter: its programs run as the user postfix.
        let dir = tempfile::Builder::new().prefix("orapipe-postfix-").tempdir_in("/tmp")?;
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755))?;
        let path = |name: &str| dir.path().join(name).display().to_string();
        for name in ["etc", "queue", "data", "mail"] {
            std::fs::create_dir(dir.path().join(name))?;
        }
        for name in ["data", "mail"] {
            own(&dir.path().join(name))?;
        }
        let (port, tls_port) = (free_port()?, free_port()?);
        let main = format!(
            "compatibility_level = 3.6\nqueue_directory = {queue}\ndata_directory = {data}\n\
             mail_owner = postfix\nsetgid_group = postdrop\nmyhostname = test.example.com\nmydomain = example.com\n\
             mydestination =\nlocal_recipient_maps =\nalias_maps =\nmynetworks = 10.255.255.0/30\n\
             inet_interfaces = 127.0.0.1\ninet_protocols = ipv4\nsmtpd_peername_lookup = no\n\
             maillog_file_prefixes = {dir}\nmaillog_file = {log}\n\
             virtual_mailbox_domains = example.com\nvirtual_mailbox_base = {mail}\n\
             virtual_mailbox_maps = static:inbox\nvirtual_uid_maps = static:{uid}\nvirtual_gid_maps = static:{gid}\n\
             virtual_minimum_uid = 1\n\
             smtpd_tls_security_level = may\nsmtpd_tls_cert_file = {cert}\nsmtpd_tls_key_file = {key}\n\
             smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination\n\
             smtpd_recipient_restrictions = check_recipient_access inline:{{ \
             {{ gone@example.com = 550 5.1.1 no such user }}, {{ grey@example.com = 450 4.2.0 Greylisted }} }}\n",
            queue = path("queue"),
            data = path("data"),
            dir = dir.path().display(),
            log = path("maillog"),
            mail = path("mail"),
            uid = ids()?.0,
            gid = ids()?.1,
            cert = authority.certificate_file().display(),
            key = authority.key_file().display(),
        );
        std::fs::write(dir.path().join("etc/main.cf"), main)?;
        std::fs::write(dir.path().join("etc/master.cf"), master(port, tls_port))?;
        let log = std::fs::File::create(dir.path().join("start.log"))?;
        let master = Command::new(postfix)
            .args(["-c", &path("etc"), "start-fg"])
            .env("MAIL_CONFIG", path("etc"))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .spawn()
            .context("start postfix")?;
        let mut started = Self { dir, master, port, tls_port };
        let end = Instant::now() + Duration::from_secs(20);
        while std::net::TcpStream::connect(("127.0.0.1", tls_port)).is_err() {
            let ended = started.master.try_wait()?;
            ensure!(ended.is_none() && Instant::now() < end, "postfix does not start: {}", started.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(started)
    }

    /// What postfix has written to its log.
    pub fn log(&self) -> String {
        let read = |name: &str| std::fs::read_to_string(self.dir.path().join(name)).unwrap_or_default();
        read("start.log") + &read("maillog")
    }

    /// The mailbox once it has `n` mails; postfix delivers in its own time.
    pub fn mailbox(&self, n: usize) -> Result<String> {
        let path: PathBuf = self.dir.path().join("mail/inbox");
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            let found = text.lines().filter(|l| l.starts_with("From ")).count();
            if found >= n {
                ensure!(found == n, "{found} mails instead of {n}:\n{text}");
                return Ok(text);
            }
            ensure!(Instant::now() < end, "{found} mails instead of {n}:\n{text}\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        // start-fg execs the master, whose pid is its group's; it ends its children.
        if let Some(pid) = i32::try_from(self.master.id()).ok().and_then(rustix::process::Pid::from_raw) {
            let _gone = rustix::process::kill_process_group(pid, rustix::process::Signal::TERM);
        }
        let end = Instant::now() + Duration::from_secs(5);
        while matches!(self.master.try_wait(), Ok(None)) && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(10));
        }
        let _gone = self.master.kill();
        let _reaped = self.master.wait();
    }
}

fn ids() -> Result<(u32, u32)> {
    let users = std::fs::read_to_string("/etc/passwd")?;
    let line = users.lines().find(|l| l.starts_with("postfix:")).context("there is no user postfix")?;
    let mut fields = line.split(':').skip(2);
    let mut id = || fields.next().and_then(|f| f.parse().ok()).context("the user postfix has no id");
    Ok((id()?, id()?))
}

fn own(path: &std::path::Path) -> Result<()> {
    let (uid, gid) = ids()?;
    std::os::unix::fs::chown(path, Some(uid), Some(gid)).with_context(|| format!("chown {}", path.display()))
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn master(port: u16, tls_port: u16) -> String {
    format!(
        "127.0.0.1:{port} inet n - n - - smtpd\n\
         127.0.0.1:{tls_port} inet n - n - - smtpd\n  -o smtpd_tls_wrappermode=yes\n\
         pickup unix n - n 60 1 pickup\ncleanup unix n - n - 0 cleanup\nqmgr unix n - n 300 1 qmgr\n\
         tlsmgr unix - - n 1000? 1 tlsmgr\nrewrite unix - - n - - trivial-rewrite\nbounce unix - - n - 0 bounce\n\
         defer unix - - n - 0 bounce\ntrace unix - - n - 0 bounce\nverify unix - - n - 1 verify\n\
         flush unix n - n 1000? 0 flush\nproxymap unix - - n - - proxymap\nproxywrite unix - - n - 1 proxymap\n\
         smtp unix - - n - - smtp\nrelay unix - - n - - smtp\nshowq unix n - n - - showq\nerror unix - - n - - error\n\
         retry unix - - n - - error\ndiscard unix - - n - - discard\nlocal unix - n n - - local\n\
         virtual unix - n n - - virtual\nlmtp unix - - n - - lmtp\nanvil unix - - n - 1 anvil\n\
         scache unix - - n - 1 scache\npostlog unix-dgram n - n - 1 postlogd\n"
    )
}
