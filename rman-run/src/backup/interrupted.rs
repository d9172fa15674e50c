//! Runs that did not come to their end: a marker in the directory of each run tells them from the others.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context;
use common::durable;
use rustix::process::{kill_process_group, Pid, Signal};
use serde::{Deserialize, Serialize};

/// In the directory of a run while it is under way.
const RUNNING: &str = ".orapipe_running";
/// What becomes of it when a later run finds it.
const INCOMPLETE: &str = ".orapipe_incomplete";
/// How long an RMAN that outlived its run has between TERM and KILL.
const GRACE: Duration = Duration::from_secs(15);

/// What a run leaves behind when it is killed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marker {
    pub run: String,
    pub host: String,
    /// The instance: several databases may share an output directory.
    pub sid: String,
    pub tag: String,
    pub log: String,
    /// RMAN's process, and its start in clock ticks since boot: a later process may have the same number.
    pub rman: Option<(i32, u64)>,
}

impl Marker {
    /// # Errors
    /// The directory cannot be written.
    pub fn write(&self, dir: &Path) -> anyhow::Result<()> {
        durable::write(&dir.join(RUNNING), &serde_json::to_vec(self)?)
    }
}

/// The run has come to its end, well or not: what it vouches for is recorded.
///
/// # Errors
/// The directory cannot be written.
pub fn close(dir: &Path) -> anyhow::Result<()> {
    durable::remove(&dir.join(RUNNING))
}

/// A directory of a run that was killed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partial {
    pub dir: PathBuf,
    pub marker: Marker,
    /// Files in it, and their bytes.
    pub files: Vec<String>,
    pub bytes: u64,
}

/// The directories of killed runs of this instance below `output`.
///
/// # Errors
/// A directory cannot be read. A marker that is none counts as one of ours, of an unknown run.
pub fn find(output: &Path, sid: &str) -> anyhow::Result<Vec<Partial>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(output).with_context(|| format!("read {}", output.display()))? {
        let dir = entry.with_context(|| format!("read {}", output.display()))?.path();
        let Some(bytes) = durable::read(&dir.join(RUNNING)).ok().flatten() else { continue };
        let marker = serde_json::from_slice::<Marker>(&bytes).unwrap_or_else(|_| Marker {
            run: "unknown".to_owned(),
            host: String::new(),
            sid: sid.to_owned(),
            tag: String::new(),
            log: String::new(),
            rman: None,
        });
        if marker.sid != sid {
            continue;
        }
        let mut partial = Partial { dir: dir.clone(), marker, files: Vec::new(), bytes: 0 };
        for file in std::fs::read_dir(&dir).with_context(|| format!("read {}", dir.display()))? {
            let file = file.with_context(|| format!("read {}", dir.display()))?;
            let name = file.file_name().to_string_lossy().into_owned();
            if !name.starts_with(".orapipe") {
                partial.bytes += file.metadata().map_or(0, |m| m.len());
                partial.files.push(name);
            }
        }
        partial.files.sort();
        found.push(partial);
    }
    found.sort_by(|a, b| a.dir.cmp(&b.dir));
    Ok(found)
}

/// What is there is known now and is not told again; the files stay.
///
/// # Errors
/// The directory cannot be written.
pub fn settle(dir: &Path) -> anyhow::Result<()> {
    let (from, to) = (dir.join(RUNNING), dir.join(INCOMPLETE));
    std::fs::rename(&from, &to).with_context(|| format!("rename {}", from.display()))?;
    durable::sync_dir(dir)
}

/// Ends an RMAN that outlived its killed run, if its process is still that very process. Says whether there was one.
pub fn end_rman(marker: &Marker) -> bool {
    let Some((pid, ticks)) = marker.rman else { return false };
    let same = || started(pid) == Some(ticks);
    if marker.host != common::app::host() || !same() {
        return false;
    }
    let Some(group) = Pid::from_raw(pid) else { return false };
    // It may end between the look and the signal: then there is nothing left to do.
    let _gone = kill_process_group(group, Signal::TERM);
    let asked = Instant::now();
    while same() && asked.elapsed() < GRACE {
        std::thread::sleep(Duration::from_millis(50));
    }
    if same() {
        let _gone = kill_process_group(group, Signal::KILL);
    }
    true
}

/// The child of ours that is called `rman`, and its start.
pub fn our_rman() -> Option<(i32, u64)> {
    let own = rustix::process::getpid().as_raw_nonzero().get();
    std::fs::read_dir("/proc").ok()?.flatten().find_map(|entry| {
        let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
        let (name, parent, ticks) = stat(pid)?;
        (parent == own && name.starts_with("rman")).then_some((pid, ticks))
    })
}

fn started(pid: i32) -> Option<u64> {
    stat(pid).map(|(_, _, ticks)| ticks)
}

/// Name, parent and start of a process that is not a zombie.
fn stat(pid: i32) -> Option<(String, i32, u64)> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (head, tail) = text.rsplit_once(')')?;
    let name = head.split_once('(')?.1.to_owned();
    let fields: Vec<&str> = tail.split_whitespace().collect();
    if fields.first() == Some(&"Z") {
        return None;
    }
    Some((name, fields.get(1)?.parse().ok()?, fields.get(19)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marker(sid: &str) -> Marker {
        Marker {
            run: "r1".to_owned(),
            host: common::app::host(),
            sid: sid.to_owned(),
            tag: "T".to_owned(),
            log: "l".to_owned(),
            rman: None,
        }
    }

    #[test]
    fn only_open_runs_of_this_instance_are_found() {
        let output = tempfile::tempdir().unwrap();
        let dir = |name: &str| {
            let dir = output.path().join(name);
            std::fs::create_dir(&dir).unwrap();
            dir
        };
        let (open, foreign, done) = (dir("1_run"), dir("2_run"), dir("3_run"));
        marker("A").write(&open).unwrap();
        marker("B").write(&foreign).unwrap();
        marker("A").write(&done).unwrap();
        close(&done).unwrap();
        std::fs::write(open.join("piece"), b"12345").unwrap();
        let found = find(output.path(), "A").unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(
            (found[0].dir.clone(), found[0].files.clone(), found[0].bytes),
            (open.clone(), vec!["piece".to_owned()], 5)
        );
        settle(&open).unwrap();
        assert!(find(output.path(), "A").unwrap().is_empty() && open.join("piece").exists());
        std::fs::write(open.join(RUNNING), b"not json").unwrap();
        assert_eq!(find(output.path(), "A").unwrap()[0].marker.run, "unknown");
    }

    #[test]
    fn only_the_very_process_is_ended() {
        use std::os::unix::process::CommandExt;
        let mut child = std::process::Command::new("sleep").arg("60").process_group(0).spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let ticks = started(pid).unwrap();
        let mut marker = marker("A");
        marker.rman = Some((pid, ticks + 1));
        assert!(!end_rman(&marker) && child.try_wait().unwrap().is_none());
        marker.rman = Some((pid, ticks));
        marker.host = "another".to_owned();
        assert!(!end_rman(&marker) && child.try_wait().unwrap().is_none());
        marker.host = common::app::host();
        assert!(end_rman(&marker));
        assert!(!child.wait().unwrap().success());
    }
}
