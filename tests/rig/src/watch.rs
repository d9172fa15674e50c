//! Looks at the standby all the time, as a recovery that runs there would.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{bail, Context, Result};

/// Watches a directory of archived logs: whatever has a final name there must be the whole log from the first moment on.
#[derive(Debug)]
pub struct Watcher {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<usize>>>,
}

impl Watcher {
    /// `source` holds the logs as the primary archived them, under the same names.
    pub fn start(standby: &Path, source: &Path) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (seen, standby, source) = (Arc::clone(&stop), standby.to_owned(), source.to_owned());
        let thread = std::thread::spawn(move || watch(&standby, &source, &seen));
        Self { stop, thread: Some(thread) }
    }

    /// Ends the watch; gives how many logs were seen arriving.
    ///
    /// # Errors
    /// A log was under its final name and not whole.
    pub fn end(mut self) -> Result<usize> {
        self.stop.store(true, Ordering::SeqCst);
        let Some(thread) = self.thread.take() else { bail!("the watcher has ended already") };
        thread.join().map_err(|_| anyhow::anyhow!("the watcher panicked"))?
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
    }
}

fn watch(standby: &Path, source: &Path, stop: &AtomicBool) -> Result<usize> {
    let mut seen: BTreeSet<PathBuf> = BTreeSet::new();
    loop {
        let last_look = stop.load(Ordering::SeqCst);
        for entry in std::fs::read_dir(standby).with_context(|| format!("list {}", standby.display()))? {
            let path = entry?.path();
            let Some(name) = path.file_name().map(|n| n.to_string_lossy().into_owned()) else { continue };
            // Names of the run's own begin with a dot; anything else is for readers.
            if name.starts_with('.') || path.is_dir() || !seen.insert(path.clone()) {
                continue;
            }
            let found = std::fs::read(&path).with_context(|| format!("read {}", path.display()))?;
            let whole = std::fs::read(source.join(&name))
                .with_context(|| format!("{name} is no log of the primary"))?;
            if found != whole {
                bail!(
                    "{name} had its final name with {} of {} bytes or other content",
                    found.len(),
                    whole.len()
                );
            }
        }
        if last_look {
            return Ok(seen.len());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_log_under_a_final_name_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let (standby, source) = (dir.path().join("standby"), dir.path().join("source"));
        for d in [&standby, &source] {
            std::fs::create_dir(d).unwrap();
        }
        std::fs::write(source.join("1_1_1.dbf"), b"whole").unwrap();
        let watcher = Watcher::start(&standby, &source);
        std::fs::write(standby.join(".tmp"), b"wh").unwrap();
        std::fs::rename(standby.join(".tmp"), standby.join("1_1_1.dbf")).unwrap();
        assert!(watcher.end().unwrap_err().to_string().contains("with 2 of 5 bytes"));
        std::fs::write(standby.join("1_1_1.dbf"), b"whole").unwrap();
        assert_eq!(Watcher::start(&standby, &source).end().unwrap(), 1);
    }
}
