//! The destination: what lies there, and what dead runs of ours have left.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;
use std::time::{Duration, SystemTime};

use common::exit::{Exit, Failure};
use common::remote::{retry, Class, Entry, Kind, ListingState, RetryPolicy, Script, TransferError};
use common::signals;

use crate::facts::{FileStat, Held, Key, SourceLog};
use crate::plan::{Remote, RemoteFile};
use crate::session::{Session, TEMPORARY};
use crate::state::State;

/// Levels that are listed: the directory, date directories in it.
const DEPTH: u32 = 2;

/// The destination at one moment.
pub struct Destination {
    pub remote: Remote,
    /// `--dest-dir` is there.
    pub exists: bool,
    /// Temporary directories of earlier runs for this database, with their files.
    pub left: BTreeMap<PathBuf, Left>,
}

/// A temporary directory of an earlier run.
#[derive(Debug, Clone, Default)]
pub struct Left {
    pub newest_ns: i64,
    pub files: Vec<RemoteFile>,
}

/// Runs an operation again after failures of the network, as often as the settings say.
pub fn again<T>(
    session: &Session,
    retries: u32,
    mut what: impl FnMut() -> Result<T, TransferError>,
) -> Result<T, TransferError> {
    let policy = RetryPolicy::new(retries);
    let mut told = |error: &TransferError, n: u32, wait: Duration| {
        session.progress();
        session.log.info(&format!("attempt {n}: {error}; next try in {:.1}s", wait.as_secs_f64()));
    };
    retry(&policy, &mut told, |_| what())
}

/// A transfer error that ends the run, with the exit status that fits.
pub fn stop(session: &Session, error: &TransferError, doing: &str) -> anyhow::Error {
    let mut failure = error.failure();
    if error.class == Class::Interrupted {
        failure.exit = stop_status();
    } else if failure.exit == Exit::TryAgain && session.tally().changed {
        // 75 promises that nothing was changed.
        failure.exit = Exit::Failed;
    }
    anyhow::Error::from(failure).context(doing.to_owned())
}

/// The status of a run that was asked to stop.
pub fn stop_status() -> Exit {
    match signals::pending() {
        Some(signals::Stop::Interrupt) => Exit::Interrupted,
        _ => Exit::Terminated,
    }
}

/// Lists `--dest-dir` and every `--also-at` in one remote process.
///
/// # Errors
/// Something there could not be read: a log that is not seen would be sent again or reported missing.
pub fn look(session: &Session, retries: u32) -> anyhow::Result<Destination> {
    let mut dirs = vec![session.dest_dir.clone()];
    dirs.extend(session.cli.also_at.iter().map(|d| d.components().collect()));
    let host = session.target.label().to_owned();
    let listings = again(session, retries, || session.control().list(&dirs, DEPTH))
        .map_err(|e| stop(session, &e, &format!("list {} on {host}", dirs[0].display())))?;
    let prefix = session.temporary_prefix();
    let mut found = Destination { remote: Remote::default(), exists: true, left: BTreeMap::new() };
    let mut files = Vec::new();
    for (n, listing) in listings.into_iter().enumerate() {
        let name = listing.dir.display();
        match &listing.state {
            ListingState::Complete => {}
            ListingState::Missing if n == 0 => found.exists = false,
            ListingState::Missing => {
                let message = format!("there is no {name} on {host} (--also-at)");
                session.say_once("also-at", common::record::Log::warning(message))?;
            }
            ListingState::NotADirectory => {
                let message = format!("{name} on {host} is not a directory");
                return Err(Failure::new(Exit::Usage, message)
                    .hint("name a directory with --dest-dir")
                    .into());
            }
            ListingState::Incomplete(why) => {
                return Err(Failure::new(Exit::Failed, format!("list {name} on {host}: {why}"))
                    .hint("the user there must be able to read everything in it")
                    .into());
            }
        }
        for entry in listing.entries {
            sort_in(entry, &listing.dir, &prefix, &mut files, &mut found.left);
        }
    }
    found.remote = Remote::new(files);
    Ok(found)
}

fn sort_in(
    entry: Entry,
    dir: &Path,
    prefix: &str,
    files: &mut Vec<RemoteFile>,
    left: &mut BTreeMap<PathBuf, Left>,
) {
    let Ok(below) = entry.path.strip_prefix(dir) else { return };
    let first = below.components().next().map(|c| c.as_os_str().to_string_lossy().into_owned());
    let stat = FileStat { bytes: entry.bytes, mtime_ns: entry.mtime_ns, inode: entry.inode };
    match first {
        Some(name) if name.starts_with(prefix) => {
            let of = left.entry(dir.join(&name)).or_default();
            of.newest_ns = of.newest_ns.max(entry.mtime_ns);
            if entry.kind == Kind::File {
                of.files.push(RemoteFile { path: entry.path, stat });
            }
        }
        // Somebody else's temporary files, another database's ours among them.
        Some(name) if name.starts_with(TEMPORARY) || name.starts_with(common::remote::OWN_PREFIX) => {}
        _ if entry.kind == Kind::File => files.push(RemoteFile { path: entry.path, stat }),
        _ => {}
    }
}

/// Which recorded logs are at the destination as they were when they were verified, and unchanged at the source.
pub fn held(state: &State, remote: &Remote, logs: &[SourceLog]) -> BTreeMap<Key, Held> {
    let mut source: BTreeMap<Key, Vec<&SourceLog>> = BTreeMap::new();
    for log in logs {
        source.entry(log.key).or_default().push(log);
    }
    let mut held = BTreeMap::new();
    for entry in state.entries() {
        let path = Path::new(&entry.dest);
        let same_there = remote.at(path).is_some_and(|f| f.stat == entry.there);
        let changed_here =
            source.get(&entry.key).is_some_and(|copies| copies.iter().all(|l| l.stat != entry.source));
        if same_there && !changed_here {
            let held_log = Held {
                path: path.to_path_buf(),
                first_change: entry.first_change,
                next_change: entry.next_change,
                next_time: entry.next_time,
            };
            held.insert(entry.key, held_log);
        }
    }
    held
}

/// Removes temporary directories of earlier runs and cycles for this database.
///
/// Only old ones: the receiver of a cut connection may still be writing there, and only its own time-out ends it.
pub fn clean(session: &Session, left: &BTreeMap<PathBuf, Left>) {
    for (dir, what) in left {
        let idle = age_of(what.newest_ns);
        if idle < session.cli.io_timeout {
            continue;
        }
        match session.control().remove_tree(dir) {
            Ok(()) => session.log.info(&format!("removed {} of an earlier run", dir.display())),
            Err(e) => session.log.warning(&format!("remove {} of an earlier run: {e}", dir.display())),
        }
    }
}

const SWEEP: &str = r#"
xargs -0 -r sh -c '
for d; do
  case $d in */../*) continue ;; /*/.orapipe-ship-?*) ;; *) continue ;; esac
  [ -L "$d" ] || rm -rf -- "$d" || exit 255
done' sh
"#;

/// Removes this run's temporary directories whose content is of no more use, in one session. Also after a signal, but
/// not for long.
pub fn sweep(session: &Session) {
    let done: Vec<PathBuf> = {
        let all = session.temporaries.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().filter(|(_, keep)| !**keep).map(|(dir, _)| dir.clone()).collect()
    };
    if done.is_empty() {
        return;
    }
    let conn = session.control();
    let mut limit = conn.limits.script;
    if signals::pending().is_some() {
        conn.finishing();
        limit = Duration::from_secs(3);
    }
    let script = Script::new(SWEEP, limit).list(done.iter().map(|d| d.as_os_str().as_bytes()));
    match conn.run(&script) {
        Ok(_) => {
            let mut all = session.temporaries.lock().unwrap_or_else(PoisonError::into_inner);
            all.retain(|dir, _| !done.contains(dir));
        }
        Err(error) => session.log.warning(&format!("remove temporary directories of this run: {error}")),
    }
}

fn age_of(mtime_ns: i64) -> Duration {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    now.saturating_sub(Duration::from_nanos(u64::try_from(mtime_ns).unwrap_or(0)))
}

/// The longest beginning of a log that a dead run has left: the file and its size.
pub fn left_over<'a>(left: &'a BTreeMap<PathBuf, Left>, log: &SourceLog) -> Option<&'a RemoteFile> {
    let name = log.path.file_name();
    let files = left.values().flat_map(|l| l.files.iter());
    let fits =
        |f: &&RemoteFile| f.path.file_name() == name && f.stat.bytes > 0 && f.stat.bytes <= log.stat.bytes;
    files.filter(fits).max_by_key(|f| f.stat.bytes)
}

/// Where a log is published.
pub fn final_path(session: &Session, log: &SourceLog) -> PathBuf {
    session.dest_dir.join(&log.rel)
}
