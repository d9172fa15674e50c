//! One run at a time per resource, held by the kernel.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use chrono::{DateTime, SecondsFormat, Utc};
use fs2::FileExt;
use rustix::process::{kill_process, kill_process_group, test_kill_process, Pid, Signal};
use serde::{Deserialize, Serialize};

use crate::exit::{Exit, Failure};

/// How often progress is written into the lock file.
const PROGRESS_EVERY: Duration = Duration::from_secs(1);
/// How long a stalled holder has between TERM and KILL: it may have END BACKUP to do.
const GRACE: Duration = Duration::from_secs(15);

/// Who holds a lock; the content of the lock file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    pub tool: String,
    pub run: String,
    pub pid: i32,
    /// Start time of the process in clock ticks since boot: tells it from a later one with the same pid.
    pub started_ticks: u64,
    pub host: String,
    pub start: DateTime<Utc>,
    pub progress: DateTime<Utc>,
}

/// A held lock. The kernel releases it when the process ends, however it ends; the file stays.
#[derive(Debug, Clone)]
pub struct Lock {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug)]
struct Inner {
    file: File,
    holder: Holder,
    written: Instant,
}

impl Lock {
    /// Takes the lock `<dir>/<name>.lock`.
    ///
    /// A holder on this host that has made no progress for `stalled_after` is ended first (TERM, 15 s, KILL of its
    /// group) if its pid is still the very process that wrote the file. One that makes progress is left alone.
    ///
    /// # Errors
    /// [`Exit::TryAgain`] naming the holder when the lock is held.
    pub fn take(
        dir: &Path,
        name: &str,
        tool: &str,
        run: &str,
        stalled_after: Duration,
    ) -> anyhow::Result<Self> {
        let path = dir.join(format!("{name}.lock"));
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .with_context(|| format!("open lock {}", path.display()))?;
        // A child that somebody has forked and that has not yet exec'd holds the lock of a closed file for a moment.
        if !lock_within(&file, Duration::from_millis(200)) {
            let holder = read_holder(&mut file);
            let stalled = holder.as_ref().filter(|h| is_stalled(h, stalled_after, Utc::now()));
            let ended = stalled.is_some_and(end_process);
            if !ended || !lock_within(&file, Duration::from_secs(2)) {
                return Err(busy(&path, holder.as_ref()).into());
            }
        }
        let now = Utc::now();
        let pid = rustix::process::getpid().as_raw_nonzero().get();
        let holder = Holder {
            tool: tool.to_owned(),
            run: run.to_owned(),
            pid,
            started_ticks: started_ticks(pid).unwrap_or(0),
            host: crate::app::host(),
            start: now,
            progress: now,
        };
        let mut inner = Inner { file, holder, written: Instant::now() };
        inner.write().with_context(|| format!("write lock {}", path.display()))?;
        Ok(Self { inner: Arc::new(Mutex::new(inner)) })
    }

    /// Notes that the run is getting on; at most one write a second.
    pub fn progress(&self) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.written.elapsed() >= PROGRESS_EVERY {
            inner.holder.progress = Utc::now();
            inner.written = Instant::now();
            // Only the judgement "stalled" depends on it; a full disk will be reported by the work itself.
            let _full = inner.write();
        }
    }
}

impl Inner {
    fn write(&mut self) -> anyhow::Result<()> {
        let mut text = serde_json::to_vec(&self.holder)?;
        text.push(b'\n');
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(&text)?;
        self.file.set_len(text.len() as u64)?;
        Ok(())
    }
}

fn busy(path: &Path, holder: Option<&Holder>) -> Failure {
    let by = match holder {
        Some(h) => {
            let time = |t: DateTime<Utc>| t.to_rfc3339_opts(SecondsFormat::Secs, true);
            format!(
                "{}, run {}, pid {} on {} since {}, last progress {}",
                h.tool,
                h.run,
                h.pid,
                h.host,
                time(h.start),
                time(h.progress)
            )
        }
        None => "a process that has not written its name".to_owned(),
    };
    Failure::new(Exit::TryAgain, format!("{} is held by {by}", path.display()))
        .hint("nothing was changed; run it again when the other run has ended")
}

fn read_holder(file: &mut File) -> Option<Holder> {
    let mut text = String::new();
    file.seek(SeekFrom::Start(0)).ok()?;
    file.read_to_string(&mut text).ok()?;
    serde_json::from_str(text.lines().next()?).ok()
}

fn is_stalled(holder: &Holder, after: Duration, now: DateTime<Utc>) -> bool {
    let silent = now.signed_duration_since(holder.progress).to_std().unwrap_or_default();
    holder.host == crate::app::host()
        && silent >= after
        && holder.started_ticks != 0
        && started_ticks(holder.pid) == Some(holder.started_ticks)
}

/// Ends a stalled holder and says whether it is gone.
fn end_process(holder: &Holder) -> bool {
    let Some(pid) = Pid::from_raw(holder.pid) else { return false };
    let is_it = || started_ticks(holder.pid) == Some(holder.started_ticks);
    if !is_it() || kill_process(pid, Signal::TERM).is_err() {
        return !is_it();
    }
    if gone_within(&is_it, GRACE) {
        return true;
    }
    // The group only if the holder leads it: a cron job or a shell pipeline may share it with others.
    let leads = rustix::process::getpgid(Some(pid)).is_ok_and(|group| group == pid);
    let _gone = if leads { kill_process_group(pid, Signal::KILL) } else { kill_process(pid, Signal::KILL) };
    gone_within(&is_it, Duration::from_secs(3)) || test_kill_process(pid).is_err()
}

fn gone_within(is_it: &dyn Fn() -> bool, patience: Duration) -> bool {
    let end = Instant::now() + patience;
    while is_it() {
        if Instant::now() >= end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    true
}

fn lock_within(file: &File, patience: Duration) -> bool {
    let end = Instant::now() + patience;
    while file.try_lock_exclusive().is_err() {
        if Instant::now() >= end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    true
}

/// Field 22 of /proc/PID/stat; `None` when there is no such process or it is a zombie.
fn started_ticks(pid: i32) -> Option<u64> {
    let stat = std::fs::read_to_string(PathBuf::from(format!("/proc/{pid}/stat"))).ok()?;
    // The program name may contain blanks and brackets; it ends at the last bracket.
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    if fields.next()? == "Z" {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::failure;

    const NEVER: Duration = Duration::from_secs(3600);

    #[test]
    fn a_second_run_is_told_who_holds_the_lock() {
        let dir = tempfile::tempdir().unwrap();
        let held = Lock::take(dir.path(), "PROD.ship", "arch-ship", "run-1", NEVER).unwrap();
        let error = Lock::take(dir.path(), "PROD.ship", "arch-ship", "run-2", NEVER).unwrap_err();
        let failure = failure(&error).unwrap();
        assert_eq!(failure.exit, Exit::TryAgain);
        let pid = std::process::id();
        assert!(
            failure.message.contains(&format!("held by arch-ship, run run-1, pid {pid} on ")),
            "{failure}"
        );
        drop(held);
        Lock::take(dir.path(), "PROD.ship", "arch-ship", "run-3", NEVER).unwrap();
    }

    /// A process that holds the lock as a holder without progress since `minutes` ago would.
    fn holder_process(dir: &Path, minutes: i64, ticks_off: u64) -> (std::process::Child, Holder) {
        let path = dir.join("x.lock");
        std::fs::write(&path, "").unwrap();
        let child = std::process::Command::new("flock")
            .args([path.to_str().unwrap(), "sleep", "60"])
            .spawn()
            .unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let then = Utc::now() - chrono::Duration::minutes(minutes);
        let holder = Holder {
            tool: "arch-ship".to_owned(),
            run: "old".to_owned(),
            pid,
            started_ticks: started_ticks(pid).unwrap() + ticks_off,
            host: crate::app::host(),
            start: then,
            progress: then,
        };
        std::fs::write(&path, serde_json::to_vec(&holder).unwrap()).unwrap();
        let probe = File::open(&path).unwrap();
        while probe.try_lock_exclusive().is_ok() {
            FileExt::unlock(&probe).unwrap();
            std::thread::sleep(Duration::from_millis(5));
        }
        (child, holder)
    }

    fn end(mut child: std::process::Child) {
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn a_holder_that_makes_progress_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let (mut child, _) = holder_process(dir.path(), 5, 0);
        Lock::take(dir.path(), "x", "arch-ship", "new", Duration::from_secs(1800)).unwrap_err();
        assert!(child.try_wait().unwrap().is_none());
        end(child);
    }

    #[test]
    fn a_pid_that_is_another_process_by_now_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let (mut child, _) = holder_process(dir.path(), 40, 1);
        Lock::take(dir.path(), "x", "arch-ship", "new", Duration::from_secs(1800)).unwrap_err();
        assert!(child.try_wait().unwrap().is_none());
        end(child);
    }

    #[test]
    fn a_stalled_holder_is_ended() {
        let dir = tempfile::tempdir().unwrap();
        let (mut child, holder) = holder_process(dir.path(), 40, 0);
        assert!(is_stalled(&holder, Duration::from_secs(1800), Utc::now()));
        let reaper = std::thread::spawn(move || child.wait().unwrap());
        assert!(end_process(&holder));
        assert!(!reaper.join().unwrap().success());
    }
}
