//! The bytes of volumes: a directory stands for the file system of a LUN.
//!
//! A real array cuts a snapshot at one instant, all members of a group at the same. A copy takes longer, so the writers
//! have to stand still for it: [`Freezer`] stops them (SIGSTOP to the processes that write, or any hook), everything is
//! copied, and they go on. A stopped process stops between two system calls, never inside a write(2) to a file; so what
//! is copied is what had been written at that instant, in the order of the writes, torn where the writer was between two
//! writes of one thing: what a real array cuts. Without a freezer the copy is no instant, and a database that is written meanwhile
//! comes out worse than on a real array.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{ensure, Context, Result};
use rustix::process::{kill_process, Pid, Signal};

/// Makes the writers of the bound directories stand still.
#[derive(Clone)]
pub struct Freezer(Arc<dyn Fn() -> Result<Thaw> + Send + Sync>);

/// Lets the writers go on when it is dropped.
pub struct Thaw(Option<Box<dyn FnOnce() + Send>>);

impl Thaw {
    pub fn new(thaw: impl FnOnce() + Send + 'static) -> Self {
        Self(Some(Box::new(thaw)))
    }
}

impl Drop for Thaw {
    fn drop(&mut self) {
        if let Some(thaw) = self.0.take() {
            thaw();
        }
    }
}

impl fmt::Debug for Freezer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Freezer")
    }
}

impl Freezer {
    /// `stop` stops the writers and returns what lets them go on.
    pub fn new(stop: impl Fn() -> Result<Thaw> + Send + Sync + 'static) -> Self {
        Self(Arc::new(stop))
    }

    /// Stops processes by SIGSTOP. `pids` is asked before each cut; processes that are gone are left out.
    pub fn processes(pids: impl Fn() -> Result<Vec<i32>> + Send + Sync + 'static) -> Self {
        Self::new(move || {
            let mut stopped = Vec::new();
            for pid in pids()? {
                let Some(pid) = Pid::from_raw(pid) else { continue };
                if kill_process(pid, Signal::STOP).is_ok() {
                    stopped.push(pid);
                }
            }
            let thaw = Thaw::new({
                let stopped = stopped.clone();
                move || {
                    for pid in stopped {
                        // A process that has ended meanwhile needs no thawing.
                        let _gone = kill_process(pid, Signal::CONT);
                    }
                }
            });
            for pid in &stopped {
                wait_stopped(*pid)?;
            }
            Ok(thaw)
        })
    }
}

/// The signal is on its way until each thread has left its system call.
fn wait_stopped(pid: Pid) -> Result<()> {
    let tasks = PathBuf::from(format!("/proc/{}/task", pid.as_raw_nonzero()));
    let end = std::time::Instant::now() + std::time::Duration::from_secs(5);
    loop {
        let Ok(list) = std::fs::read_dir(&tasks) else { return Ok(()) };
        let running = list.flatten().any(|task| {
            let stat = std::fs::read_to_string(task.path().join("stat")).unwrap_or_default();
            let state = stat.rsplit_once(')').and_then(|(_, rest)| rest.trim_start().chars().next());
            !matches!(state, Some('T' | 't' | 'Z' | 'X') | None)
        });
        if !running {
            return Ok(());
        }
        ensure!(std::time::Instant::now() < end, "process {} does not stop", pid.as_raw_nonzero());
        std::thread::sleep(std::time::Duration::from_micros(200));
    }
}

/// Copies the directories at one instant and returns the time of it by the given clock.
///
/// # Errors
/// When writers cannot be stopped or something cannot be copied; then nothing is left.
pub fn cut(copies: &[(PathBuf, PathBuf)], freezer: Option<&Freezer>, clock: impl Fn() -> i64) -> Result<i64> {
    let _thaw = match freezer {
        Some(freezer) => Some((freezer.0)().context("stop the writers")?),
        None => None,
    };
    let instant = clock();
    for (from, to) in copies {
        if let Err(error) = copy(from, to) {
            for (_, to) in copies {
                let _missing = std::fs::remove_dir_all(to);
            }
            return Err(error);
        }
    }
    Ok(instant)
}

/// A copy of everything in a directory: files (by reflink where the file system can), directories, symbolic links, times.
///
/// # Errors
/// When something cannot be read or written.
pub fn copy(from: &Path, to: &Path) -> Result<()> {
    for entry in walkdir::WalkDir::new(from) {
        let entry = entry.with_context(|| format!("read {}", from.display()))?;
        let path = entry.path();
        let target = to.join(path.strip_prefix(from).context("leave the directory")?);
        let told = || format!("copy {} to {}", path.display(), target.display());
        let kind = entry.file_type();
        if kind.is_dir() {
            std::fs::create_dir_all(&target).with_context(told)?;
        } else if kind.is_symlink() {
            std::os::unix::fs::symlink(std::fs::read_link(path).with_context(told)?, &target)
                .with_context(told)?;
        } else if kind.is_file() {
            copy_file(path, &target).with_context(told)?;
        }
        // Sockets and pipes hold no bytes.
    }
    Ok(())
}

fn copy_file(from: &Path, to: &Path) -> Result<()> {
    let source = std::fs::File::open(from)?;
    let target = std::fs::File::create(to)?;
    if rustix::fs::ioctl_ficlone(&target, &source).is_err() {
        std::fs::copy(from, to)?;
    }
    let meta = source.metadata()?;
    target.set_permissions(meta.permissions())?;
    target.set_times(std::fs::FileTimes::new().set_modified(meta.modified()?))?;
    Ok(())
}

/// Puts the bytes of `from` in the place of what is in `to`.
///
/// # Errors
/// When something cannot be removed or copied.
pub fn restore(from: &Path, to: &Path) -> Result<()> {
    if to.exists() {
        for entry in std::fs::read_dir(to).with_context(|| format!("read {}", to.display()))? {
            let path = entry.with_context(|| format!("read {}", to.display()))?.path();
            let gone = if path.is_dir() && !path.is_symlink() {
                std::fs::remove_dir_all(&path)
            } else {
                std::fs::remove_file(&path)
            };
            gone.with_context(|| format!("remove {}", path.display()))?;
        }
    }
    copy(from, to)
}
