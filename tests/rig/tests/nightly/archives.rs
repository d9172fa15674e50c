//! Archives as somebody without our tools sees them: Python's zipfile and unzip.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{ensure, Context, Result};
use orasim::datapump::dump;
use serde::Deserialize;

/// One archive, read in full.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Archive {
    pub name: String,
    /// Of the file itself.
    pub sha256: String,
    pub comment: String,
    /// The first member with a wrong CRC, or why it is no ZIP.
    pub bad: Option<String>,
    /// SHA-256 by member.
    pub members: BTreeMap<String, String>,
}

impl Archive {
    /// Whole, and of a night in which all went well.
    pub fn good(&self) -> bool {
        self.bad.is_none() && self.comment.contains("; complete; ")
    }
}

/// The day in the name of an archive.
pub fn day(name: &str) -> Result<chrono::NaiveDate> {
    let date = name.rsplit('_').next().and_then(|rest| rest.get(..10));
    date.and_then(|d| d.parse().ok()).with_context(|| format!("{name} has no date"))
}

const LOOK: &str = "import sys, os, json, zipfile, hashlib
h = lambda b: hashlib.sha256(b).hexdigest()
def look(d, n):
    p = os.path.join(d, n)
    a = {'name': n, 'sha256': h(open(p, 'rb').read()), 'comment': '', 'bad': None, 'members': {}}
    try:
        z = zipfile.ZipFile(p)
        a['comment'], a['bad'] = z.comment.decode(), z.testzip()
        a['members'] = {m: h(z.read(m)) for m in z.namelist()}
    except Exception as e:
        a['bad'] = repr(e)
    return a
print(json.dumps([[look(d, n) for n in sorted(os.listdir(d)) if n.endswith('.zip')] for d in sys.argv[1:]]))
";

/// Reads every archive of two directories.
pub fn look(local: &Path, network: &Path) -> Result<(Vec<Archive>, Vec<Archive>)> {
    let out = Command::new("python3")
        .args(["-c", LOOK])
        .arg(local)
        .arg(network)
        .output()
        .context("start python3")?;
    ensure!(out.status.success(), "python3: {}", String::from_utf8_lossy(&out.stderr));
    serde_json::from_slice(&out.stdout).context("read what python3 told")
}

/// Objects with their rows by dump, of an archive that unzip has extracted; an error when a dump is not whole.
pub fn dumps(archive: &Path) -> Result<BTreeMap<String, Vec<(String, u64)>>> {
    let dir = tempfile::tempdir()?;
    let out = Command::new("unzip")
        .arg("-q")
        .arg(archive)
        .arg("-d")
        .arg(dir.path())
        .output()
        .context("start unzip")?;
    ensure!(out.status.success(), "unzip {}: {}", archive.display(), String::from_utf8_lossy(&out.stderr));
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(dir.path())? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.ends_with(".DMP") {
            let contents =
                dump::read(&dir.path().join(&name)).with_context(|| archive.display().to_string())?;
            found.insert(name, contents.into_iter().map(|c| (c.object, c.rows)).collect());
        }
    }
    Ok(found)
}
