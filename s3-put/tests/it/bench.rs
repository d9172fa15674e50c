//! A server, a proxy, a directory, and the two tools.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use s3server::proxy::{Proxy, Rule};
use s3server::server::Server;
use serde_json::Value;
use tempfile::TempDir;

pub const MIB: usize = 1 << 20;

pub struct Bench {
    pub dir: TempDir,
    pub server: Server,
    pub proxy: Proxy,
    /// State directory of the tools; another one is another host.
    pub state: PathBuf,
}

/// How a tool ended.
pub struct Ran {
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
    pub records: Vec<Value>,
}

impl Bench {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let server = Server::start(&dir.path().join("s3")).unwrap();
        let proxy = Proxy::start(server.address()).unwrap();
        let state = dir.path().join("state");
        Self { dir, server, proxy, state }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A file whose content depends on its size and `seed` only.
    pub fn file(&self, name: &str, size: usize, seed: u64) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content(size, seed)).unwrap();
        path
    }

    fn command(&self, program: &str, args: &[&str]) -> Command {
        let mut command = Command::new(program);
        let home = self.path("home");
        std::fs::create_dir_all(&home).unwrap();
        command
            .args(args)
            .env_clear()
            .envs(self.server.credentials())
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", home)
            .env("ORAPIPE_ALLOW_ROOT", "1")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_ENDPOINT_URL_S3", self.proxy.endpoint())
            .env("S3_BUCKET_NAME", "backups")
            .env("STATE_DIR", &self.state)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub fn put_command(&self, args: &[&str]) -> Command {
        let mut command = self.command(env!("CARGO_BIN_EXE_s3-put"), args);
        if !args.contains(&"--cleanup") {
            command.args(["--part-size", "5m", "--retry-for", "8s", "--stall-timeout", "3s"]);
        }
        command
    }

    pub fn get_command(&self, args: &[&str]) -> Command {
        let mut command = self.command(env!("CARGO_BIN_EXE_s3-get"), args);
        command.args(["--range-size", "1m", "--retry-for", "8s", "--stall-timeout", "3s"]);
        command
    }

    pub fn put(&self, args: &[&str], stdin: &str) -> Ran {
        finish(self.put_command(args).spawn().unwrap(), stdin)
    }

    pub fn get(&self, args: &[&str], stdin: &str) -> Ran {
        finish(self.get_command(args).spawn().unwrap(), stdin)
    }

    /// Uploads one file under `backups/<name>`.
    pub fn put_file(&self, file: &Path) -> Ran {
        self.put(&["--key", "{prefix}{name}", file.to_str().unwrap()], "")
    }

    pub fn start_put(&self, file: &Path) -> Child {
        self.put_command(&["--key", "{prefix}{name}", file.to_str().unwrap()]).spawn().unwrap()
    }

    pub fn rules(&self, rules: Vec<Rule>) {
        self.proxy.rules(rules);
    }

    /// Objects below the prefix, manifests left out.
    pub fn keys(&self) -> Vec<String> {
        let keys = self.server.objects().unwrap().into_keys();
        keys.filter(|k| !k.starts_with("backups/manifests/")).collect()
    }

    pub fn journals(&self) -> usize {
        let Ok(entries) = std::fs::read_dir(self.state.join("s3-put")) else { return 0 };
        entries.filter(|e| e.as_ref().unwrap().path().extension().is_some_and(|e| e == "journal")).count()
    }

    /// No part was stored twice, and no unfinished upload is left.
    pub fn assert_nothing_twice(&self) {
        let twice: BTreeMap<_, _> = self.server.parts_stored().into_iter().filter(|(_, n)| *n > 1).collect();
        assert!(twice.is_empty(), "{twice:?}");
        assert!(self.server.uploads().unwrap().is_empty());
        assert_eq!(self.journals(), 0);
    }
}

pub fn finish(mut child: Child, stdin: &str) -> Ran {
    // A tool that refuses may be gone already.
    let _gone = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    let output = child.wait_with_output().unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    let records = stdout.lines().filter_map(|l| serde_json::from_str(l).ok()).collect();
    let stderr = String::from_utf8(output.stderr).unwrap();
    Ran { status: output.status.code().unwrap_or(-1), stdout, stderr, records }
}

impl Ran {
    pub fn of(&self, kind: &str) -> Vec<&Value> {
        self.records.iter().filter(|r| r["type"] == kind).collect()
    }

    /// The only object record.
    pub fn object(&self) -> &Value {
        let objects = self.of("object");
        assert_eq!(objects.len(), 1, "{}\n{}", self.stdout, self.stderr);
        objects[0]
    }

    pub fn expect(&self, status: i32) -> &Self {
        assert_eq!(self.status, status, "{}\n{}", self.stdout, self.stderr);
        self
    }
}

/// Bytes that repeat nowhere.
pub fn content(size: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(size);
    bytes
}

pub fn sha256(bytes: &[u8]) -> String {
    s3_put::store::digest::sha256(bytes)
}
