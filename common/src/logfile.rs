//! What the run says to people: a log file under the originals' name, and standard error.

use std::fs::{File, OpenOptions};
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;

use crate::record::{Level, Log};

/// Writes one line per event: always to the log file, and to standard error by its level.
///
/// Clones share the file. Without `-v` standard error shows warnings and errors only.
#[derive(Debug, Clone)]
pub struct LogFile {
    inner: Arc<Mutex<Inner>>,
    tool: &'static str,
    verbose: bool,
}

#[derive(Debug)]
struct Inner {
    path: Option<PathBuf>,
    file: Option<File>,
}

impl LogFile {
    /// Without a path there is no file, only standard error.
    pub fn open(path: Option<&Path>, tool: &'static str, verbose: bool) -> anyhow::Result<Self> {
        let mut inner = Inner { path: path.map(Path::to_path_buf), file: None };
        inner.reopen()?;
        Ok(Self { inner: Arc::new(Mutex::new(inner)), tool, verbose })
    }

    /// Opens the file by its name again: logrotate has moved it.
    pub fn reopen(&self) -> anyhow::Result<()> {
        self.lock().reopen()
    }

    /// A step of the work.
    pub fn info(&self, message: &str) {
        self.write("info", message, self.verbose);
    }

    pub fn warning(&self, message: &str) {
        self.write("warning", message, true);
    }

    pub fn error(&self, message: &str) {
        self.write("error", message, true);
    }

    /// What a record says, by its level.
    pub fn say(&self, record: &Log) {
        match record.level {
            Level::Info => self.info(&record.message),
            Level::Warning => self.warning(&record.message),
            Level::Error => self.error(&record.message),
        }
    }

    fn write(&self, level: &str, message: &str, show: bool) {
        if show {
            let mut stderr = std::io::stderr().lock();
            // A closed standard error is no reason to stop a backup.
            let _closed = writeln!(stderr, "{}: {level}: {message}", self.tool);
        }
        let now = chrono::Local::now().format("%Y-%m-%d %H:%M:%S%.3f");
        let line = format!("{now} {level} {message}\n");
        if let Some(file) = &mut self.lock().file {
            let _full = file.write_all(line.as_bytes());
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn reopen(&mut self) -> anyhow::Result<()> {
        if let Some(path) = &self.path {
            let file = OpenOptions::new().create(true).append(true).open(path);
            self.file = Some(file.with_context(|| format!("open log {}", path.display()))?);
        }
        Ok(())
    }
}

/// Shows one changing line on standard error: bytes, per cent, rate, time left. Silent when it is not a terminal.
pub struct Progress {
    total: u64,
    started: std::time::Instant,
    shown: Option<std::time::Instant>,
    terminal: bool,
}

impl Progress {
    /// `total` in bytes.
    pub fn new(total: u64) -> Self {
        Self {
            total,
            started: std::time::Instant::now(),
            shown: None,
            terminal: std::io::stderr().is_terminal(),
        }
    }

    /// A new total in bytes, where the work becomes known while it is done.
    pub fn expect(&mut self, total: u64) {
        self.total = total;
    }

    /// `done` in bytes since the start; draws at most five times a second.
    pub fn show(&mut self, done: u64) {
        let now = std::time::Instant::now();
        let fresh = self.shown.is_some_and(|t| (now - t).as_millis() < 200);
        if !self.terminal || fresh {
            return;
        }
        self.shown = Some(now);
        let line = progress_line(done, self.total, (now - self.started).as_secs_f64());
        let _closed = write!(std::io::stderr(), "\r\x1b[K{line}");
    }

    /// Clears the line.
    pub fn end(&mut self) {
        if self.shown.take().is_some() {
            let _closed = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

fn progress_line(done: u64, total: u64, seconds: f64) -> String {
    let mib = |bytes: f64| bytes / (1024.0 * 1024.0);
    let rate = done as f64 / seconds.max(0.001);
    let percent = if total == 0 { 100.0 } else { done as f64 * 100.0 / total as f64 };
    let left = if done == 0 {
        "--".to_owned()
    } else {
        let seconds = total.saturating_sub(done) as f64 / rate.max(1.0);
        humantime::format_duration(std::time::Duration::from_secs(seconds.ceil() as u64)).to_string()
    };
    format!(
        "{:.0} of {:.0} MiB, {percent:.0} %, {:.1} MiB/s, {left} left",
        mib(done as f64),
        mib(total as f64),
        mib(rate)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reopening_follows_the_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("archivelog_replication.log");
        let log = LogFile::open(Some(&path), "test", false).unwrap();
        log.info("one");
        std::fs::rename(&path, dir.path().join("old")).unwrap();
        log.reopen().unwrap();
        log.info("two");
        assert!(std::fs::read_to_string(dir.path().join("old")).unwrap().ends_with(" info one\n"));
        assert!(std::fs::read_to_string(&path).unwrap().ends_with(" info two\n"));
    }

    #[test]
    fn progress_names_share_rate_and_time_left() {
        assert_eq!(progress_line(50 << 20, 200 << 20, 10.0), "50 of 200 MiB, 25 %, 5.0 MiB/s, 30s left");
        assert_eq!(progress_line(0, 0, 0.0), "0 of 0 MiB, 100 %, 0.0 MiB/s, -- left");
    }
}
