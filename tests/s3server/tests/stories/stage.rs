//! A server, a proxy in front of it, and a place for files: what every story here begins with.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{ensure, Context, Result};
use rig::tool::{Outcome, Tool};
use s3server::proxy::Proxy;
use s3server::server::{Options, BUCKET};
use s3server::store::Rules;
use s3server::Server;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

pub const MIB: usize = 1 << 20;
/// The smallest part that S3 takes, and ours here.
pub const PART: usize = 5 * MIB;
/// How long a silent server is waited for, here.
pub const STALL: &str = "2s";

pub struct Stage {
    pub server: Server,
    pub proxy: Proxy,
    pub dir: TempDir,
}

/// Bytes that differ from one place to the next and from one file to another.
pub fn bytes(n: usize, seed: u32) -> Vec<u8> {
    let mut state = seed.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
    let mut out = Vec::with_capacity(n + 4);
    while out.len() < n {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        out.extend_from_slice(&state.to_le_bytes());
    }
    out.truncate(n);
    out
}

pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

/// A tool with the settings of these stories, that tries a request again for so long.
pub fn tool(
    name: &str,
    dir: &Path,
    endpoint: &str,
    credentials: BTreeMap<String, String>,
    retry_for: &str,
) -> Result<Tool> {
    let text = |p: &str| dir.join(p).to_string_lossy().into_owned();
    Ok(Tool::new(name, dir)?
        .envs(credentials)
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("S3_BUCKET_NAME", BUCKET)
        .args(["--endpoint-url", endpoint, "--prefix", "p/"])
        .args(["--state-dir", &text("state"), "--log-dir", &text("log")])
        .args(["--stall-timeout", STALL, "--retry-for", retry_for])
        .limit(Duration::from_secs(120)))
}

impl Stage {
    pub fn new() -> Result<Self> {
        Self::with(Rules::default())
    }

    pub fn with(rules: Rules) -> Result<Self> {
        let dir = TempDir::new().context("make a directory")?;
        for name in ["server", "files", "got"] {
            fs::create_dir(dir.path().join(name))?;
        }
        let server = Server::with(&dir.path().join("server"), Options { rules, ..Options::default() })?;
        let proxy = Proxy::start(server.address())?;
        Ok(Self { server, proxy, dir })
    }

    pub fn file(&self, name: &str, content: &[u8]) -> Result<PathBuf> {
        let path = self.dir.path().join("files").join(name);
        fs::write(&path, content)?;
        Ok(path)
    }

    /// A tool that talks to this address.
    pub fn at(&self, address: SocketAddr, name: &str) -> Result<Tool> {
        tool(name, self.dir.path(), &format!("http://{address}"), self.server.credentials(), "20s")
    }

    fn patient(&self, name: &str, retry_for: &str) -> Result<Tool> {
        tool(name, self.dir.path(), &self.proxy.endpoint(), self.server.credentials(), retry_for)
    }

    /// s3-put through the proxy: keys are the prefix and the file's name, parts are as small as they may be.
    pub fn put(&self) -> Result<Tool> {
        self.put_for("20s")
    }

    pub fn put_for(&self, retry_for: &str) -> Result<Tool> {
        let put = self.patient("s3-put", retry_for)?;
        Ok(put.args(["--key", "{prefix}{name}", "--part-size", "5m", "--no-manifest"]))
    }

    /// s3-get through the proxy, into the directory `got`.
    pub fn get(&self) -> Result<Tool> {
        self.get_for("20s")
    }

    pub fn get_for(&self, retry_for: &str) -> Result<Tool> {
        Ok(self.patient("s3-get", retry_for)?.arg("--dest").arg(self.got("")).args(["--range-size", "5m"]))
    }

    pub fn got(&self, name: &str) -> PathBuf {
        self.dir.path().join("got").join(name)
    }

    /// The object is exactly this.
    pub fn check_object(&self, key: &str, content: &[u8]) -> Result<()> {
        let stored = self.server.object_bytes(key)?;
        ensure!(
            stored == content,
            "the object {key} has {} other bytes instead of {}",
            stored.len(),
            content.len()
        );
        Ok(())
    }

    /// The object is not there or exactly this: never something else.
    pub fn check_object_or_none(&self, key: &str, content: &[u8]) -> Result<bool> {
        if !self.server.objects()?.contains_key(key) {
            return Ok(false);
        }
        self.check_object(key, content).map(|()| true)
    }

    pub fn check_no_uploads(&self) -> Result<()> {
        let left = self.server.uploads()?;
        ensure!(left.is_empty(), "unfinished uploads are left: {left:?}");
        Ok(())
    }

    /// Neither what it said nor what it wrote shows the secret key.
    pub fn check_secret(&self, outcome: &Outcome) -> Result<()> {
        let secret = self.server.secret();
        ensure!(!outcome.stderr.contains(secret), "the secret is on standard error");
        ensure!(!String::from_utf8_lossy(&outcome.stdout).contains(secret), "the secret is in the records");
        for name in ["state", "log"] {
            for file in walk(&self.dir.path().join(name))? {
                let text = fs::read(&file)?;
                let shown = text.windows(secret.len()).any(|w| w == secret.as_bytes());
                ensure!(!shown, "the secret is in {}", file.display());
            }
        }
        Ok(())
    }

    /// A failure is said in words, by a record or on standard error; a warning is enough for a partial success. A success
    /// has no failure in its records.
    pub fn check_told(&self, outcome: &Outcome) -> Result<()> {
        let failed = outcome.of("object").iter().any(|r| r.text("status") == Some("failed"))
            || outcome.of("log").iter().any(|r| r.text("level") == Some("error"));
        let warned = outcome.of("log").iter().any(|r| r.text("level") == Some("warning"));
        match outcome.status {
            Some(0) => {
                ensure!(!failed, "success with a failed item:\n{}", String::from_utf8_lossy(&outcome.stdout))
            }
            _ => ensure!(
                outcome.stderr.contains("error") || failed || (outcome.status == Some(1) && warned),
                "silent failure {:?}:\n{}\n{}",
                outcome.status,
                String::from_utf8_lossy(&outcome.stdout),
                outcome.stderr
            ),
        }
        Ok(())
    }

    /// Files of the download directory, hidden ones too.
    pub fn downloads(&self) -> Result<Vec<String>> {
        let files = walk(&self.got(""))?;
        Ok(files.iter().filter_map(|f| Some(f.file_name()?.to_string_lossy().into_owned())).collect())
    }
}

/// Every file below a directory, which need not exist.
pub fn walk(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let Ok(entries) = fs::read_dir(dir) else { return Ok(files) };
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(walk(&path)?);
        } else {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
