//! Looks at the source, by directories or by the database, and hands over one picture of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use chrono::NaiveDateTime;

use crate::cli::{Cli, Discover};
use crate::database::{local_now, Database};
use crate::facts::{Key, Known, SourceLog};
use crate::names::Names;
use crate::scan::{self, Candidate, Found, Headers, Recognise, Stray};

/// The source at one moment.
#[derive(Debug, Clone, Default)]
pub struct Look {
    pub dbid: u64,
    pub resetlogs_id: u64,
    pub incarnations: BTreeMap<u64, u64>,
    pub logs: Vec<SourceLog>,
    pub known: BTreeMap<Key, Known>,
    pub strays: Vec<Stray>,
    /// The database's clock, or this host's.
    pub now: Option<NaiveDateTime>,
    /// Last sequence per thread that the database has begun or archived.
    pub newest: BTreeMap<u64, u64>,
}

/// Directories and when something last appeared in them.
pub type Signs = BTreeMap<PathBuf, Option<SystemTime>>;

/// Where logs come from.
pub struct Source<'a> {
    cli: &'a Cli,
    names: Names,
    headers: Headers,
    database: Option<Database>,
    sid: Option<String>,
    fingerprint: Option<String>,
}

impl<'a> Source<'a> {
    pub fn new(cli: &'a Cli) -> anyhow::Result<Self> {
        let names = Names::new(cli.name_pattern.as_deref())?;
        let database = match (cli.discover(), cli.files.is_empty()) {
            (Discover::Database, true) => Some(Database::new(cli.io_timeout, None)?),
            _ => None,
        };
        let sid = match &database {
            Some(database) => Some(database.sid.clone()),
            None => std::env::var("ORACLE_SID").ok().filter(|s| !s.is_empty()),
        };
        Ok(Self { cli, names, headers: Headers::default(), database, sid, fingerprint: None })
    }

    /// Name of the database for locks and state; `None` until a log or the environment has told it.
    pub fn sid(&self) -> Option<&str> {
        self.sid.as_deref()
    }

    /// The database's current SCN, for the cut-off.
    pub fn current_scn(&mut self) -> anyhow::Result<u64> {
        if let Some(database) = &self.database {
            return database.current_scn();
        }
        Database::new(self.cli.io_timeout, None)?.current_scn()
    }

    /// Looks; with `named`, at these files only.
    pub fn look(&mut self, named: Option<&[PathBuf]>) -> anyhow::Result<Look> {
        match (&self.database, named) {
            (_, Some(files)) => {
                let files = named_candidates(self.cli, files);
                self.scanned(files)
            }
            (Some(_), None) => self.asked(),
            (None, None) => {
                let files = scan::candidates(&self.cli.source_dir)?;
                self.scanned(files)
            }
        }
    }

    fn scanned(&mut self, files: Vec<Candidate>) -> anyhow::Result<Look> {
        let here: std::collections::HashSet<PathBuf> = files.iter().map(|f| f.path.clone()).collect();
        self.headers.retain(&|path| here.contains(path));
        let how = Recognise {
            names: self.names.clone(),
            header: !self.cli.no_header_check,
            now: SystemTime::now(),
        };
        let mut found: Found = scan::recognise(files, &how, &mut self.headers);
        let database = scan::one_database(&mut found, self.sid.as_deref())?;
        if let (None, Some((_, name))) = (&self.sid, &database) {
            self.sid = Some(name.clone());
        }
        let mut newest = BTreeMap::new();
        let resetlogs_id = found.logs.iter().map(|l| l.key.resetlogs_id).max().unwrap_or(0);
        for log in found.logs.iter().filter(|l| l.key.resetlogs_id == resetlogs_id && l.is_ready()) {
            let slot = newest.entry(log.key.thread).or_insert(log.key.sequence);
            *slot = log.key.sequence.max(*slot);
        }
        Ok(Look {
            dbid: database.map_or(0, |(id, _)| id),
            resetlogs_id,
            incarnations: found.incarnations,
            logs: found.logs,
            strays: found.strays,
            now: Some(local_now()),
            newest,
            ..Look::default()
        })
    }

    fn asked(&mut self) -> anyhow::Result<Look> {
        let Some(database) = &self.database else { return Ok(Look::default()) };
        let answer = database.ask()?;
        let (logs, known) = answer.logs(&mut self.headers, !self.cli.no_header_check);
        let mut newest = BTreeMap::new();
        for key in known.keys().filter(|k| k.resetlogs_id == answer.resetlogs_id) {
            let slot = newest.entry(key.thread).or_insert(key.sequence);
            *slot = key.sequence.max(*slot);
        }
        let mut strays = Vec::new();
        let logs: Vec<SourceLog> = logs
            .into_iter()
            .filter(|log| {
                let good = log.path.to_str().is_some();
                if !good {
                    let reason = "its name is not UTF-8".to_owned();
                    strays.push(Stray {
                        path: log.path.clone(),
                        bytes: log.stat.bytes,
                        reason,
                        bad_name: true,
                    });
                }
                good
            })
            .collect();
        Ok(Look {
            dbid: answer.dbid,
            resetlogs_id: answer.resetlogs_id,
            incarnations: answer.incarnations,
            logs,
            known,
            strays,
            now: Some(answer.now),
            newest,
        })
    }

    /// The times of the directories that logs appear in: cheap to watch, for they change with every file.
    ///
    /// A time of this very moment is left out, because another file may still appear within it.
    pub fn signs(&self, look: &Look) -> Signs {
        let mut dirs: Vec<PathBuf> = match &self.database {
            None => scan::directories(&self.cli.source_dir)
                .map(|d| d.into_iter().map(|(dir, _)| dir).collect())
                .unwrap_or_default(),
            Some(_) => look
                .logs
                .iter()
                .flat_map(|l| l.path.ancestors().skip(1).take(2))
                .map(Path::to_path_buf)
                .collect(),
        };
        dirs.sort();
        dirs.dedup();
        let settled = SystemTime::now().checked_sub(Duration::from_millis(50));
        dirs.into_iter()
            .map(|dir| {
                let time = std::fs::metadata(&dir).and_then(|m| m.modified()).ok();
                (dir, time.filter(|t| Some(*t) < settled))
            })
            .collect()
    }

    /// Whether the database would say something new; always true for directories.
    pub fn has_news(&mut self) -> anyhow::Result<bool> {
        let Some(database) = &self.database else { return Ok(true) };
        let now = database.fingerprint()?;
        let news = self.fingerprint.as_ref() != Some(&now);
        self.fingerprint = Some(now);
        Ok(news)
    }

    pub fn asks_database(&self) -> bool {
        self.database.is_some()
    }
}

/// Files that were named one by one. Below a source directory they keep their place in it; a bare name that is not here
/// is looked for there.
fn named_candidates(cli: &Cli, files: &[PathBuf]) -> Vec<Candidate> {
    let mut found = Vec::new();
    for file in files {
        let path = place_of(cli, file);
        let rel = relative(cli, &path);
        if let Ok(meta) = std::fs::metadata(&path) {
            found.push(Candidate { path, rel, stat: scan::stat_of(&meta), regular: meta.is_file() });
        }
    }
    found
}

/// Where a named file is: as it was named, or a bare name in the source directories.
pub fn place_of(cli: &Cli, file: &Path) -> PathBuf {
    let path = std::path::absolute(file).unwrap_or_else(|_| file.to_path_buf());
    if !path.exists() && file.components().count() == 1 {
        let dirs = scan::directories(&cli.source_dir).unwrap_or_default();
        if let Some(there) = dirs.into_iter().map(|(dir, _)| dir.join(file)).find(|p| p.exists()) {
            return there;
        }
    }
    path
}

fn relative(cli: &Cli, path: &Path) -> PathBuf {
    let name = PathBuf::from(path.file_name().unwrap_or_default());
    let of_source = cli.source_dir.iter().find_map(|dir| {
        let dir = std::path::absolute(dir).ok()?;
        path.strip_prefix(dir).ok().map(Path::to_path_buf)
    });
    of_source.unwrap_or_else(|| match path.parent().and_then(|p| p.file_name()) {
        Some(dir) if scan::is_date_dir(&dir.to_string_lossy()) => Path::new(dir).join(name),
        _ => name,
    })
}

/// How long a cycle waits for the archiver to finish a log that it has begun.
pub const UNFINISHED: Duration = Duration::from_secs(2);
