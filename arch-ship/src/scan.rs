//! Finds archived logs in directories: date directories and flat ones. Identity comes from each log's own header.

use std::collections::{BTreeMap, HashMap};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::Context;
use common::exit::{Exit, Failure};
use common::oracle::archived_log::{read_header, Header, Verdict};

use crate::facts::{FileStat, Key, SourceLog, SourceState};
use crate::names::Names;

/// An incomplete log that nobody has written for so long is damaged and not "not ready yet".
pub const SETTLED: Duration = Duration::from_secs(600);
/// Without a header a log counts as complete when it has been still for so long.
const STILL: Duration = Duration::from_secs(10);

/// A file that has the name of a log, or the place of one, and cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stray {
    pub path: PathBuf,
    pub bytes: u64,
    pub reason: String,
    /// A name of bytes that are no UTF-8: records and state could not hold it.
    pub bad_name: bool,
}

/// What a look at the source found.
#[derive(Debug, Clone, Default)]
pub struct Found {
    pub logs: Vec<SourceLog>,
    pub strays: Vec<Stray>,
    /// DB_NAME by DBID.
    pub databases: BTreeMap<u64, String>,
    /// RESETLOGS_CHANGE# by RESETLOGS_ID.
    pub incarnations: BTreeMap<u64, u64>,
}

/// Headers that were read before, by path; a file that changed is read again.
#[derive(Debug, Default)]
pub struct Headers {
    known: HashMap<PathBuf, (FileStat, Result<Header, Verdict>)>,
}

impl Headers {
    pub fn read(&mut self, path: &Path, stat: FileStat) -> anyhow::Result<&Result<Header, Verdict>> {
        let fresh = self.known.get(path).is_some_and(|(old, _)| *old == stat);
        if !fresh {
            let read = read_header(path)?;
            self.known.insert(path.to_path_buf(), (stat, read));
        }
        self.known.get(path).map(|(_, h)| h).context("a header that was just read")
    }

    /// Forgets files that are not in `keep` any more.
    pub fn retain(&mut self, keep: &dyn Fn(&Path) -> bool) {
        self.known.retain(|path, _| keep(path));
    }
}

/// How logs are recognised.
#[derive(Debug, Clone)]
pub struct Recognise {
    pub names: Names,
    /// Read identity and completeness from the header.
    pub header: bool,
    pub now: SystemTime,
}

/// A file before it is known what it is.
pub struct Candidate {
    pub path: PathBuf,
    pub rel: PathBuf,
    pub stat: FileStat,
    /// Of others none is opened: a pipe would keep us waiting for its writer.
    pub regular: bool,
}

/// Size, time and inode of a file.
pub fn stat_of(meta: &std::fs::Metadata) -> FileStat {
    let mtime_ns = meta.mtime().saturating_mul(1_000_000_000).saturating_add(meta.mtime_nsec());
    FileStat { bytes: meta.len(), mtime_ns, inode: meta.ino() }
}

/// Whether a directory's name is YYYY_MM_DD, as the archiver makes them below a recovery area.
pub fn is_date_dir(name: &str) -> bool {
    name.len() == 10
        && name
            .bytes()
            .enumerate()
            .all(|(i, b)| if i == 4 || i == 7 { b == b'_' } else { b.is_ascii_digit() })
}

/// What a name leads to; `None` for one that leads nowhere.
///
/// # Errors
/// It cannot be told, so that a log would be overlooked: a directory without `x`, a stale handle.
fn seen(path: &Path) -> anyhow::Result<Option<std::fs::Metadata>> {
    use rustix::io::Errno;
    match std::fs::metadata(path) {
        Ok(meta) => Ok(Some(meta)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) if e.raw_os_error() == Some(Errno::LOOP.raw_os_error()) => Ok(None),
        Err(e) => Err(e).with_context(|| format!("look at {}", path.display())),
    }
}

/// The directories that may hold logs: each source directory and the date directories in it.
pub fn directories(source_dirs: &[PathBuf]) -> anyhow::Result<Vec<(PathBuf, PathBuf)>> {
    let mut found = Vec::new();
    for base in source_dirs {
        found.push((base.clone(), PathBuf::new()));
        let entries = std::fs::read_dir(base).map_err(|e| {
            Failure::new(Exit::Usage, format!("read source directory {}: {e}", base.display())).hint(
                "name the directory of the archived logs with --source-dir; is its file system mounted?",
            )
        })?;
        for entry in entries {
            let entry = entry.with_context(|| format!("read source directory {}", base.display()))?;
            let name = entry.file_name();
            if is_date_dir(&name.to_string_lossy()) && seen(&entry.path())?.is_some_and(|m| m.is_dir()) {
                found.push((base.join(&name), PathBuf::from(&name)));
            }
        }
    }
    Ok(found)
}

/// All files in the directories.
pub fn candidates(source_dirs: &[PathBuf]) -> anyhow::Result<Vec<Candidate>> {
    let mut found = Vec::new();
    for (dir, rel) in directories(source_dirs)? {
        let entries = match std::fs::read_dir(&dir) {
            Ok(entries) => entries,
            // A date directory that the database removed since it was listed.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
            Err(e) => return Err(e).with_context(|| format!("read directory {}", dir.display())),
        };
        for entry in entries {
            let entry = entry.with_context(|| format!("read directory {}", dir.display()))?;
            let name = entry.file_name();
            // A link is followed: what counts is the file that would be sent.
            let Some(meta) = seen(&entry.path())? else { continue };
            if meta.is_file() && !name.to_string_lossy().starts_with('.') {
                let (path, rel, stat) = (dir.join(&name), rel.join(&name), stat_of(&meta));
                found.push(Candidate { path, rel, stat, regular: true });
            }
        }
    }
    Ok(found)
}

/// Looks at the files and says which logs they are.
pub fn recognise(files: Vec<Candidate>, how: &Recognise, headers: &mut Headers) -> Found {
    let mut found = Found::default();
    let mut nameless = Vec::new();
    for file in files {
        let name = file.path.file_name().unwrap_or_default();
        let Some(name) = name.to_str().filter(|_| file.path.to_str().is_some()) else {
            found.strays.push(stray(
                &file,
                "its name is not UTF-8: rename it or change LOG_ARCHIVE_FORMAT",
                true,
            ));
            continue;
        };
        if !file.regular {
            found.strays.push(stray(&file, "not a regular file", true));
            continue;
        }
        if !how.header {
            match how.names.read(name) {
                Some(named) => nameless.push((file, Ok(named))),
                None => found.strays.push(stray(&file, "its name is not that of an archived log", false)),
            }
            continue;
        }
        match headers.read(&file.path, file.stat) {
            Ok(Ok(header)) => {
                found.databases.insert(u64::from(header.dbid), header.db_name.clone());
                found.incarnations.insert(u64::from(header.resetlogs_id), header.resetlogs_scn);
                let log = from_header(&file, header, how.now);
                found.logs.push(log);
            }
            Ok(Err(verdict)) => {
                let verdict = verdict.clone();
                match how.names.read(name) {
                    Some(named) => nameless.push((file, Err((named, verdict)))),
                    None => found.strays.push(stray(&file, &verdict.to_string(), false)),
                }
            }
            Err(error) => {
                // It may have been deleted between the listing and now: then it is simply not there.
                if file.path.exists() {
                    found.strays.push(stray(&file, &format!("{error:#}"), true));
                }
            }
        }
    }
    // What the header does not say is taken to belong to the newest incarnation seen.
    let (dbid, resetlogs_id) =
        found.logs.iter().map(|l| (l.key.dbid, l.key.resetlogs_id)).max_by_key(|k| k.1).unwrap_or((0, 0));
    for (file, what) in nameless {
        let (named, state) = match what {
            Ok(named) => (named, still(&file, how.now)),
            Err((named, verdict)) => (named, unfinished(&file, &verdict.to_string(), how.now)),
        };
        let resetlogs_id = named.resetlogs_id.unwrap_or(resetlogs_id);
        let key = Key { dbid, resetlogs_id, thread: named.thread, sequence: named.sequence };
        found.logs.push(SourceLog {
            key,
            resetlogs_change: 0,
            first_change: None,
            next_change: None,
            next_time: None,
            path: file.path,
            rel: file.rel,
            stat: file.stat,
            state,
        });
    }
    found
}

fn stray(file: &Candidate, reason: &str, bad_name: bool) -> Stray {
    Stray { path: file.path.clone(), bytes: file.stat.bytes, reason: reason.to_owned(), bad_name }
}

fn age(stat: &FileStat, now: SystemTime) -> Duration {
    let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let then = Duration::from_nanos(u64::try_from(stat.mtime_ns).unwrap_or(0));
    now.saturating_sub(then)
}

fn still(file: &Candidate, now: SystemTime) -> SourceState {
    match age(&file.stat, now) {
        age if age < STILL => SourceState::NotReady(format!("it was written {} s ago", age.as_secs())),
        _ => SourceState::Ready,
    }
}

fn unfinished(file: &Candidate, reason: &str, now: SystemTime) -> SourceState {
    if age(&file.stat, now) < SETTLED {
        SourceState::NotReady(reason.to_owned())
    } else {
        SourceState::Damaged(format!(
            "{reason}, and nobody has written it for {} min",
            SETTLED.as_secs() / 60
        ))
    }
}

fn from_header(file: &Candidate, header: &Header, now: SystemTime) -> SourceLog {
    let state = match (header.next_scn, header.used_bytes()) {
        (Some(_), Some(used)) if file.stat.bytes >= used => SourceState::Ready,
        (Some(_), Some(used)) => {
            unfinished(file, &format!("incomplete: it has {} of {used} bytes", file.stat.bytes), now)
        }
        _ => unfinished(file, "incomplete: its header says that it is being written", now),
    };
    SourceLog {
        key: key_of(header),
        resetlogs_change: header.resetlogs_scn,
        first_change: Some(header.first_scn),
        next_change: header.next_scn,
        next_time: header.next_time,
        path: file.path.clone(),
        rel: file.rel.clone(),
        stat: file.stat,
        state,
    }
}

/// The identity that a header gives.
pub fn key_of(header: &Header) -> Key {
    Key {
        dbid: header.dbid.into(),
        resetlogs_id: header.resetlogs_id.into(),
        thread: header.thread.into(),
        sequence: header.sequence.into(),
    }
}

/// Turns logs that somebody has open for writing into ones that are not ready.
pub fn hold_back_open(logs: &mut [SourceLog], now: SystemTime) {
    let recent: Vec<&Path> = logs
        .iter()
        .filter(|l| l.is_ready() && age(&l.stat, now) < SETTLED)
        .map(|l| l.path.as_path())
        .collect();
    let open = crate::writers::open_for_writing(&recent);
    for log in logs.iter_mut().filter(|l| open.contains(&l.path)) {
        log.state = SourceState::NotReady("a process has it open for writing".to_owned());
    }
}

/// Chooses the database whose logs are shipped, by `sid` where there are several, and drops the others'.
///
/// # Errors
/// Status 64 naming the databases, when nothing tells which one is meant.
pub fn one_database(found: &mut Found, sid: Option<&str>) -> anyhow::Result<Option<(u64, String)>> {
    let names: Vec<(u64, String)> = found.databases.iter().map(|(id, name)| (*id, name.clone())).collect();
    let instance = |sid: &str| sid.trim_end_matches(|c: char| c.is_ascii_digit()).to_ascii_uppercase();
    let chosen = match names.as_slice() {
        [] => return Ok(None),
        [one] => one.clone(),
        several => {
            let fits = |(_, name): &&(u64, String)| {
                sid.is_some_and(|s| s.eq_ignore_ascii_case(name) || instance(s) == name.to_ascii_uppercase())
            };
            let fitting: Vec<_> = several.iter().filter(fits).collect();
            match fitting.as_slice() {
                [one] => (*one).clone(),
                _ => {
                    let list: Vec<_> =
                        several.iter().map(|(id, name)| format!("{name} (DBID {id})")).collect();
                    let message = format!("the source directories hold logs of {}", list.join(" and "));
                    return Err(Failure::new(Exit::Usage, message)
                        .hint("set ORACLE_SID to the one that is meant, or name a directory of one database")
                        .into());
                }
            }
        }
    };
    found.logs.retain(|l| l.key.dbid == chosen.0 || l.key.dbid == 0);
    found.incarnations = found.logs.iter().map(|l| (l.key.resetlogs_id, l.resetlogs_change)).collect();
    found.incarnations.retain(|id, change| *id != 0 && *change != 0);
    Ok(Some(chosen))
}
