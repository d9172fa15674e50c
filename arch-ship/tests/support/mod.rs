//! Made-up archived logs with honest headers, and runs of the tool against directories.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde::Deserialize;

pub const DBID: u32 = 0x594D_799A;
pub const RESETLOGS: u32 = 1_054_646_243;

/// A log as ORACLE_FACTS 4 describes it: 512-byte blocks, checksums, little endian.
#[derive(Debug, Clone)]
pub struct Made {
    pub dbid: u32,
    pub thread: u16,
    pub sequence: u32,
    pub resetlogs_id: u32,
    pub resetlogs_scn: u64,
    pub first_scn: u64,
    pub next_scn: u64,
    pub blocks: u32,
    pub seed: u64,
}

impl Made {
    /// Sequence `n` of thread 1 holds the SCNs from 1000·n to 1000·(n+1)-1.
    pub fn new(thread: u16, sequence: u32) -> Self {
        let first_scn = u64::from(sequence) * 1000;
        Self {
            dbid: DBID,
            thread,
            sequence,
            resetlogs_id: RESETLOGS,
            resetlogs_scn: 500,
            first_scn,
            next_scn: first_scn + 1000,
            blocks: 200 + sequence % 7,
            seed: 1,
        }
    }

    pub fn name(&self) -> String {
        format!("{}_{}_{}.dbf", self.thread, self.sequence, self.resetlogs_id)
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut file = vec![0u8; self.blocks as usize * 512];
        file[1] = 0x22;
        put(&mut file, 20, &512u32.to_le_bytes());
        put(&mut file, 24, &(self.blocks - 1).to_le_bytes());
        put(&mut file, 28, &[0x7d, 0x7c, 0x7b, 0x7a]);
        let mut x = u64::from(self.sequence) << 32
            ^ u64::from(self.thread)
            ^ self.seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        for number in 1..self.blocks {
            let block = &mut file[number as usize * 512..][..512];
            block[0] = 1;
            block[1] = 0x22;
            put(block, 4, &number.to_le_bytes());
            put(block, 8, &self.sequence.to_le_bytes());
            if number == 1 {
                self.header(block);
            } else {
                for at in (16..512).step_by(8) {
                    x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    put(block, at, &x.to_le_bytes());
                }
            }
            seal(block);
        }
        file
    }

    fn header(&self, b: &mut [u8]) {
        put(b, 20, &0x1300_0000u32.to_le_bytes());
        put(b, 24, &self.dbid.to_le_bytes());
        put(b, 28, b"PROD\0\0\0\0");
        put(b, 40, &(self.blocks - 1).to_le_bytes());
        put(b, 44, &512u32.to_le_bytes());
        put(b, 50, &2u16.to_le_bytes());
        put(b, 156, &self.blocks.to_le_bytes());
        put(b, 160, &self.resetlogs_id.to_le_bytes());
        put(b, 164, &scn(self.resetlogs_scn));
        put(b, 176, &self.thread.to_le_bytes());
        put(b, 180, &scn(self.first_scn));
        put(b, 188, &RESETLOGS.to_le_bytes());
        put(b, 192, &scn(self.next_scn));
        put(b, 200, &(RESETLOGS + 60).to_le_bytes());
    }
}

fn scn(value: u64) -> [u8; 8] {
    let mut bytes = value.to_le_bytes();
    bytes[6] = 0;
    bytes[7] = 0;
    bytes
}

fn put(b: &mut [u8], at: usize, bytes: &[u8]) {
    b[at..at + bytes.len()].copy_from_slice(bytes);
}

fn seal(block: &mut [u8]) {
    put(block, 14, &[0, 0]);
    let mut x = block.chunks_exact(8).fold(0u64, |x, w| x ^ u64::from_le_bytes(w.try_into().unwrap()));
    x ^= x >> 32;
    x ^= x >> 16;
    put(block, 14, &((x & 0xffff) as u16).to_le_bytes());
}

/// A record of the output, as far as the tests look at it.
#[derive(Debug, Clone, Deserialize)]
pub struct Record {
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(default)]
    pub path: String,
    pub status: Option<String>,
    pub reason: Option<String>,
    pub hint: Option<String>,
    pub message: Option<String>,
    pub level: Option<String>,
    pub action: Option<String>,
    pub dest: Option<String>,
    pub sha256: Option<String>,
    pub sequence: Option<u64>,
    pub thread: Option<u64>,
    pub resetlogs_id: Option<u64>,
    pub from: Option<u64>,
    pub to: Option<u64>,
    pub r#where: Option<String>,
    pub exit: Option<i64>,
    pub recoverable_to_scn: Option<u64>,
    pub lag_bytes: Option<u64>,
}

/// The end of one run.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    pub records: Vec<Record>,
}

impl Ran {
    pub fn of(output: &Output) -> Self {
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        let records = stdout.lines().filter_map(|l| serde_json::from_str(l).ok()).collect();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        Self { code: output.status.code(), stdout, stderr, records }
    }

    pub fn all(&self, kind: &str) -> Vec<&Record> {
        self.records.iter().filter(|r| r.kind == kind).collect()
    }

    /// Sequences with this status, in the order of the records.
    pub fn with(&self, status: &str) -> Vec<u64> {
        let logs = self.all("archived_log").into_iter();
        let mut found: Vec<u64> =
            logs.filter(|r| r.status.as_deref() == Some(status)).map(|r| r.sequence.unwrap_or(0)).collect();
        found.sort_unstable();
        found
    }

    pub fn log(&self, sequence: u64) -> &Record {
        let mut logs = self.all("archived_log").into_iter();
        logs.find(|r| r.sequence == Some(sequence))
            .unwrap_or_else(|| panic!("no record of {sequence}: {self:?}"))
    }

    pub fn gaps(&self) -> Vec<(u64, u64, u64, &str)> {
        self.all("gap")
            .iter()
            .map(|g| (g.thread.unwrap(), g.from.unwrap(), g.to.unwrap(), g.r#where.as_deref().unwrap()))
            .collect()
    }

    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}\n{}", self.stdout, self.stderr);
        self
    }
}

/// A source, a destination and a state directory.
pub struct World {
    pub dir: tempfile::TempDir,
}

impl World {
    pub fn new() -> Self {
        let world = Self { dir: tempfile::tempdir().unwrap() };
        for name in ["source", "dest", "state", "empty"] {
            std::fs::create_dir(world.at(name)).unwrap();
        }
        world
    }

    pub fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn source(&self, name: &str) -> PathBuf {
        self.at("source").join(name)
    }

    pub fn dest(&self, name: &str) -> PathBuf {
        self.at("dest").join(name)
    }

    pub fn put(&self, log: &Made) -> PathBuf {
        let path = self.source(&log.name());
        std::fs::write(&path, log.bytes()).unwrap();
        path
    }

    pub fn fill(&self, sequences: std::ops::RangeInclusive<u32>) {
        for sequence in sequences {
            self.put(&Made::new(1, sequence));
        }
    }

    /// The tool with the usual arguments; the environment of the test run does not reach it.
    pub fn tool(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_arch-ship"));
        command.env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", self.dir.path()).env("TMPDIR", self.dir.path());
        command.env("ORAPIPE_ALLOW_ROOT", "1");
        command.env("STATE_DIR", self.at("state"));
        command.current_dir(self.at("empty"));
        command
    }

    pub fn usual(&self) -> Command {
        let mut command = self.tool();
        command.arg("--source-dir").arg(self.at("source")).arg("--dest-dir").arg(self.at("dest"));
        command
    }

    pub fn ship(&self, args: &[&str]) -> Ran {
        Ran::of(&self.usual().args(args).output().unwrap())
    }

    pub fn pipe(&self, args: &[&str], input: &[u8]) -> Ran {
        use std::io::Write;
        let mut command = self.usual();
        command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        Ran::of(&child.wait_with_output().unwrap())
    }

    pub fn state(&self, name: &str) -> String {
        std::fs::read_to_string(self.at("state").join(name)).unwrap_or_default()
    }

    /// The mark of thread 1.
    pub fn mark(&self) -> String {
        self.state("last_arch_seq_thread1.PROD").trim().to_owned()
    }

    /// Every file of the source is at the destination, byte for byte, and nothing else is.
    pub fn assert_identical(&self) {
        assert_eq!(tree(&self.at("source")), tree(&self.at("dest")));
    }
}

/// Relative path and content of every file, own temporary names included.
pub fn tree(dir: &Path) -> std::collections::BTreeMap<PathBuf, Vec<u8>> {
    let mut found = std::collections::BTreeMap::new();
    for entry in walkdir::WalkDir::new(dir).into_iter().flatten().filter(|e| e.file_type().is_file()) {
        let rel = entry.path().strip_prefix(dir).unwrap().to_path_buf();
        found.insert(rel, std::fs::read(entry.path()).unwrap());
    }
    found
}

pub fn age(path: &Path, seconds: u64) {
    let then = std::time::SystemTime::now() - std::time::Duration::from_secs(seconds);
    std::fs::File::options().append(true).open(path).unwrap().set_modified(then).unwrap();
}

pub fn mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}
