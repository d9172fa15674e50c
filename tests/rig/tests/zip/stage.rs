//! Directories of a night, and the records of an export.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{ensure, Context, Result};
use rig::bench::Dump;
use rig::tool::{Outcome, Tool};
use sha2::{Digest, Sha256};

/// Where dumps come from and archives go to.
pub struct Stage {
    pub root: tempfile::TempDir,
    pub dumps: PathBuf,
    pub archives: PathBuf,
    pub copy: PathBuf,
}

impl Stage {
    pub fn new() -> Result<Self> {
        let root = tempfile::Builder::new().prefix("orapipe-zip-story-").tempdir()?;
        let [dumps, archives, copy] = ["dumps", "archives", "copy"].map(|d| root.path().join(d));
        for dir in [&dumps, &archives, &copy] {
            std::fs::create_dir(dir)?;
        }
        Ok(Self { root, dumps, archives, copy })
    }

    /// The tool with its directories, without a copy.
    pub fn tool(&self) -> Result<Tool> {
        let state = self.root.path().join("state");
        Ok(Tool::new("zip-rotate", self.root.path())?
            .env("DB_FOLDER", &self.archives)
            .env("STATE_DIR", &state)
            .env("LOG_DIR", state.join("log"))
            .env("ORACLE_SID", "PROD"))
    }

    pub fn with_copy(&self) -> Result<Tool> {
        Ok(self.tool()?.env("CLOUD_FOLDER", &self.copy))
    }

    /// A dump with content as Data Pump's.
    pub fn dump(&self, name: &str, bytes: u64) -> Result<PathBuf> {
        let path = self.dumps.join(name);
        let mut file = std::io::BufWriter::new(std::fs::File::create(&path)?);
        Dump::new(name.len() as u64 + bytes).write(bytes, &mut file)?;
        Ok(path)
    }

    /// The names in a directory, sorted, hidden ones included.
    pub fn names(dir: &Path) -> Result<Vec<String>> {
        let list = std::fs::read_dir(dir).with_context(|| dir.display().to_string())?;
        let mut names =
            list.map(|e| Ok(e?.file_name().to_string_lossy().into_owned())).collect::<Result<Vec<_>>>()?;
        names.sort();
        Ok(names)
    }

    /// Makes an archive of each of the days before today, oldest first, by the tool itself under another name, and
    /// dates it back. `days` are ages.
    pub fn archives_of(&self, dir: &Path, days: &[i64]) -> Result<Vec<PathBuf>> {
        let dump = self.dump("OLD.DMP", 20_000)?;
        let made = self.root.path().join("made");
        std::fs::create_dir_all(&made)?;
        let state = self.root.path().join("made-state");
        let tool = self.tool()?.env("DB_FOLDER", &made).env("STATE_DIR", &state).env("LOG_DIR", &state);
        let outcome = tool.arg(&dump).run()?.expect(0)?;
        let first = archive(&outcome)?;
        let mut paths = Vec::new();
        for age in days {
            let path = dir.join(dated(*age));
            std::fs::copy(&first, &path)?;
            paths.push(path);
        }
        std::fs::remove_file(dump)?;
        std::fs::remove_dir_all(made)?;
        Ok(paths)
    }
}

/// The default name of an archive of so many days ago.
pub fn dated(age: i64) -> String {
    let day = chrono::Local::now().date_naive() - chrono::Duration::days(age);
    let weekday = common::weekday::name(chrono::Datelike::weekday(&day), common::weekday::Language::Pt);
    format!("backup_{weekday}_{}.zip", day.format("%Y-%m-%d"))
}

/// The path of the archive that a run has made.
pub fn archive(outcome: &Outcome) -> Result<PathBuf> {
    let files = outcome.of("file");
    let first = files.first().and_then(|r| r.text("path")).context("no archive was made")?;
    Ok(PathBuf::from(first))
}

fn bracket(kind: &str, rest: &str) -> String {
    format!(
        "{{\"v\":1,\"type\":\"{kind}\",\"tool\":\"dp-export\",\"run\":\"r7\",\"ts\":\"2026-11-20T09:00:00.000Z\",{rest}}}\n"
    )
}

pub fn begin() -> String {
    bracket("run_begin", "\"version\":\"0.1.0\",\"host\":\"h\"")
}

pub fn end(status: &str, exit: u8) -> String {
    bracket("run_end", &format!("\"status\":\"{status}\",\"exit\":{exit},\"seconds\":1.0,\"counts\":{{}}"))
}

pub fn export(schema: &str, status: &str) -> String {
    bracket("export", &format!("\"schema\":\"{schema}\",\"status\":\"{status}\""))
}

/// The `file` record of a dump with its true hash.
pub fn file(path: &Path) -> Result<String> {
    let bytes = std::fs::read(path)?;
    Ok(bracket(
        "file",
        &format!(
            "\"path\":\"{}\",\"role\":\"dump\",\"bytes\":{},\"sha256\":\"{}\"",
            path.display(),
            bytes.len(),
            hex(&bytes)
        ),
    ))
}

pub fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

/// All that a run said.
pub fn said(outcome: &Outcome) -> String {
    format!("{}\n{}", String::from_utf8_lossy(&outcome.stdout), outcome.stderr)
}

/// Paths of the records of a type, file names only.
pub fn named(outcome: &Outcome, kind: &str) -> Vec<String> {
    let names = outcome
        .of(kind)
        .into_iter()
        .filter_map(|r| r.text("path"))
        .map(|p| Path::new(p).file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default());
    names.collect()
}

/// Runs another program to its end and returns what it wrote.
pub fn other(program: &str, args: &[&str], dir: &Path) -> Result<String> {
    let out = Command::new(program)
        .args(args)
        .current_dir(dir)
        .env("LC_ALL", "C.UTF-8")
        .env("LANG", "C.UTF-8")
        .output()
        .with_context(|| format!("start {program}; scripts/setup.sh installs it"))?;
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    ensure!(
        out.status.success(),
        "{program} {args:?} ended with {}:\n{text}\n{}",
        out.status,
        String::from_utf8_lossy(&out.stderr)
    );
    Ok(text)
}

/// All files below a directory: name, content.
pub fn tree(dir: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut found = BTreeMap::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(next) = dirs.pop() {
        for entry in std::fs::read_dir(&next)? {
            let path = entry?.path();
            if path.is_dir() {
                dirs.push(path);
            } else {
                let name = path.strip_prefix(dir)?.to_string_lossy().into_owned();
                found.insert(name, std::fs::read(&path)?);
            }
        }
    }
    Ok(found)
}
