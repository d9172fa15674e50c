//! Two sides without a database: a directory of archived logs, and a host with an empty one.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{ensure, Context, Result};
use rig::host::{HostOptions, SshHost};
use rig::proxy::{Line, Proxy};
use rig::tool::{Outcome, Tool};

use crate::logs::Incarnation;

pub const SID: &str = "DBPROD";

pub struct Pair {
    pub proxy: Proxy,
    pub host: SshHost,
    pub src: PathBuf,
    pub dst: PathBuf,
    /// For the standby's directory on another disk; then `dst` lies there.
    pub root: tempfile::TempDir,
}

impl Pair {
    pub fn new() -> Result<Self> {
        Self::with(Line::default(), None)
    }

    /// `disk` takes the place of the standby's directory.
    pub fn with(line: Line, disk: Option<&Path>) -> Result<Self> {
        let root = tempfile::Builder::new().prefix("orapipe-ship-").tempdir()?;
        let host = SshHost::start(&HostOptions::default())?;
        let proxy = Proxy::start(host.address(), line)?;
        let (src, dst) = (root.path().join("src"), root.path().join("dst"));
        let dst = disk.map_or(dst, |d| d.join("arch"));
        for dir in [&src, &dst, &root.path().join("scratch")] {
            std::fs::create_dir_all(dir)?;
        }
        Ok(Self { proxy, host, src, dst, root })
    }

    /// A call without directories, over the proxy.
    pub fn bare(&self) -> Result<Tool> {
        let at = |name: &str| self.root.path().join(name);
        Ok(Tool::new("arch-ship", &at("scratch"))?
            .env("ORACLE_SID", SID)
            .env("STATE_DIR", at("state"))
            .env("LOG_DIR", at("log"))
            .env("DEST_HOST", self.host.host())
            .env("DEST_USER", self.host.user())
            // Seconds instead of minutes until a silent line counts as dead.
            .env(
                "SSH_OPTIONS",
                format!("{} -o ServerAliveInterval=1", self.host.ssh_options_via(self.proxy.address())),
            ))
    }

    /// A call that scans `src`, ships to `dst` and asks no standby.
    pub fn tool(&self) -> Result<Tool> {
        Ok(self
            .bare()?
            .arg("--source-dir")
            .arg(&self.src)
            .arg("--dest-dir")
            .arg(&self.dst)
            .args(["--applied", "none"]))
    }

    pub fn run(&self, status: i32) -> Result<Outcome> {
        self.tool()?.run()?.expect(status)
    }

    pub fn state(&self, name: &str) -> PathBuf {
        self.root.path().join("state").join(format!("{name}.{SID}"))
    }

    /// What the state file of a thread says.
    pub fn mark(&self, thread: u16) -> Result<Option<u32>> {
        match std::fs::read_to_string(self.state(&format!("last_arch_seq_thread{thread}"))) {
            Ok(text) => Ok(Some(text.trim().parse().context(text)?)),
            Err(_) => Ok(None),
        }
    }

    pub fn log_file(&self, name: &str) -> Result<String> {
        Ok(std::fs::read_to_string(self.root.path().join("log").join(name))?)
    }

    /// Puts a log of the first incarnation into the source.
    pub fn add(&self, thread: u16, sequence: u32, bytes: usize) -> Result<PathBuf> {
        self.add_as(&Incarnation::FIRST.name(thread, sequence), thread, sequence, bytes)
    }

    pub fn add_as(&self, name: &str, thread: u16, sequence: u32, bytes: usize) -> Result<PathBuf> {
        let path = self.src.join(name);
        write(&path, &Incarnation::FIRST.log(thread, sequence, bytes))?;
        Ok(path)
    }

    /// Every log of the source, by its place below it.
    pub fn source(&self) -> Result<BTreeMap<PathBuf, PathBuf>> {
        Ok(files(&self.src)?
            .into_iter()
            .map(|p| (p.strip_prefix(&self.src).unwrap_or(&p).to_owned(), p))
            .collect())
    }

    /// The standby has every log of the source with the same bytes, and nothing else, hidden names included.
    pub fn check_equal(&self) -> Result<()> {
        let source = self.source()?;
        let there: BTreeSet<PathBuf> = files(&self.dst)?
            .into_iter()
            .map(|p| p.strip_prefix(&self.dst).unwrap_or(&p).to_owned())
            .collect();
        let here: BTreeSet<PathBuf> = source.keys().cloned().collect();
        ensure!(
            there == here,
            "at the standby only: {:?}; missing there: {:?}",
            &there - &here,
            &here - &there
        );
        for (rel, path) in source {
            ensure!(
                std::fs::read(&path)? == std::fs::read(self.dst.join(&rel))?,
                "{} differs",
                rel.display()
            );
        }
        Ok(())
    }

    /// No mark is above what the standby has without a hole; `names` gives the place of a log.
    pub fn check_marks(&self, threads: &[u16], name: impl Fn(u16, u32) -> PathBuf) -> Result<()> {
        for thread in threads {
            for sequence in 1..=self.mark(*thread)?.unwrap_or(0) {
                let rel = name(*thread, sequence);
                let there = std::fs::read(self.dst.join(&rel));
                let there =
                    there.with_context(|| format!("the mark of thread {thread} passes {sequence}"))?;
                ensure!(
                    there == std::fs::read(self.src.join(&rel))?,
                    "the mark passes a bad {}",
                    rel.display()
                );
            }
        }
        Ok(())
    }

    /// Looks at the standby's directory all the time: whatever has a final name must be whole.
    pub fn watch(&self, except: &[PathBuf]) -> Watch {
        Watch::start(&self.src, &self.dst, except)
    }
}

/// A reader at the standby, as recovery is one.
pub struct Watch {
    stop: Arc<AtomicBool>,
    wrong: Arc<Mutex<Vec<String>>>,
    thread: Option<JoinHandle<usize>>,
}

impl Watch {
    pub fn start(src: &Path, dst: &Path, except: &[PathBuf]) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let wrong = Arc::new(Mutex::new(Vec::new()));
        let (ended, found) = (Arc::clone(&stop), Arc::clone(&wrong));
        let (src, dst) = (src.to_owned(), dst.to_owned());
        // A file that was put there by hand is known by its inode: what replaces it is looked at.
        let mut seen: BTreeSet<(PathBuf, u64, u64, i64)> = except.iter().filter_map(|p| look(p)).collect();
        let thread = std::thread::spawn(move || {
            let mut checked = 0;
            loop {
                let last = ended.load(Ordering::SeqCst);
                for path in files(&dst).unwrap_or_default() {
                    let rel = path.strip_prefix(&dst).unwrap_or(&path);
                    let hidden = rel.components().any(|c| c.as_os_str().to_string_lossy().starts_with('.'));
                    let Some(id) = look(&path).filter(|id| !hidden && !seen.contains(id)) else { continue };
                    let there = std::fs::read(&path).unwrap_or_default();
                    if std::fs::read(src.join(rel)).ok().as_ref() != Some(&there) {
                        let text =
                            format!("{} was seen with {} bytes and is not whole", rel.display(), there.len());
                        found.lock().map(|mut w| w.push(text)).unwrap_or_default();
                    }
                    checked += 1;
                    seen.insert(id);
                }
                if last {
                    return checked;
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        Self { stop, wrong, thread: Some(thread) }
    }

    /// Fails as soon as something was seen that is not whole.
    pub fn so_far(&self) -> Result<()> {
        let wrong = self.wrong.lock().map(|w| w.clone()).unwrap_or_default();
        ensure!(wrong.is_empty(), "{wrong:#?}");
        Ok(())
    }

    /// How many files were looked at.
    pub fn end(mut self) -> Result<usize> {
        self.stop.store(true, Ordering::SeqCst);
        let checked = self.thread.take().and_then(|t| t.join().ok()).context("the watcher died")?;
        self.so_far()?;
        Ok(checked)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
    }
}

fn look(path: &Path) -> Option<(PathBuf, u64, u64, i64)> {
    let meta = std::fs::metadata(path).ok()?;
    Some((path.to_owned(), meta.ino(), meta.size(), meta.mtime() * 1_000_000_000 + meta.mtime_nsec()))
}

pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir)?;
    }
    std::fs::write(path, bytes).with_context(|| path.display().to_string())
}

/// All files below a directory, at any depth.
pub fn files(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).with_context(|| dir.display().to_string())? {
        let entry = entry?;
        // What a tool removes between listing and look is gone, and no matter.
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => found.extend(files(&entry.path()).unwrap_or_default()),
            Ok(_) => found.push(entry.path()),
            Err(_) => {}
        }
    }
    found.sort();
    Ok(found)
}

/// The texts of a run that a person reads: records and standard error.
pub fn said(outcome: &Outcome) -> String {
    format!("{}\n{}", String::from_utf8_lossy(&outcome.stdout), outcome.stderr)
}

/// How many logs ended in a status.
pub fn with_status(outcome: &Outcome, status: &str) -> usize {
    outcome.of("archived_log").iter().filter(|r| r.text("status") == Some(status)).count()
}

/// The single gap of a run: thread, from, to, side.
pub fn gap(outcome: &Outcome) -> Result<(u64, u64, u64, String)> {
    let gaps = outcome.of("gap");
    ensure!(gaps.len() == 1, "{} gaps:\n{}", gaps.len(), said(outcome));
    let field = |name| gaps[0].number(name).context(name);
    Ok((field("thread")?, field("from")?, field("to")?, gaps[0].text("where").unwrap_or_default().to_owned()))
}
