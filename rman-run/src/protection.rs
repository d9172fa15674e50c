//! What the backups protect now: the newest level 0 of each file that is really there, its level 1s, and the redo behind them.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::Path;

use anyhow::Context;
use chrono::NaiveDateTime;
use common::oracle::script::{date, scn, Script};
use common::oracle::sqlplus::Sqlplus;
use common::record::{Gap, RecoveryWindow, ThreadWindow, Where};

use crate::facts::{Facts, LogKey};

type SetKey = (u64, u64);

/// A piece as V$BACKUP_PIECE has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Piece {
    pub set: SetKey,
    pub number: u64,
    pub handle: String,
    pub bytes: u64,
    /// A or X.
    pub status: String,
    /// On disk with its size, or stored elsewhere.
    pub there: bool,
}

/// A datafile in a set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileBackup {
    pub set: SetKey,
    pub file: u64,
    pub level: u64,
    pub incremental_change: u64,
    pub checkpoint_change: u64,
    pub fuzzy_change: u64,
    pub creation_change: u64,
    pub completed: Option<NaiveDateTime>,
}

/// A log in a set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogBackup {
    pub set: SetKey,
    pub key: LogKey,
    pub first_change: u64,
    pub next_change: u64,
    pub completed: Option<NaiveDateTime>,
}

/// The repository, and what of it is there.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Repository {
    /// How many pieces each set has.
    pub sets: BTreeMap<SetKey, u64>,
    pub pieces: Vec<Piece>,
    /// Of this incarnation only.
    pub files: Vec<FileBackup>,
    pub logs: Vec<LogBackup>,
}

impl Repository {
    /// Sets of which every piece is there.
    pub fn good(&self) -> BTreeSet<SetKey> {
        let mut there: BTreeMap<SetKey, BTreeSet<u64>> = BTreeMap::new();
        for piece in self.pieces.iter().filter(|p| p.there) {
            there.entry(piece.set).or_default().insert(piece.number);
        }
        let whole = |(key, pieces): (&SetKey, &u64)| {
            let found = there.get(key).map_or(0, BTreeSet::len) as u64;
            (found >= (*pieces).max(1)).then_some(*key)
        };
        self.sets.iter().filter_map(whole).collect()
    }
}

/// Reads the repository. `stored`: names of pieces that are known to lie elsewhere, in a bucket for example.
///
/// # Errors
/// A view cannot be read.
pub fn gather(sqlplus: &Sqlplus, facts: &Facts, stored: &HashSet<String>) -> anyhow::Result<Repository> {
    let mut script = Script::new();
    let key = |more: &[String]| -> Vec<String> {
        [scn("SET_STAMP"), scn("SET_COUNT")].into_iter().chain(more.iter().cloned()).collect()
    };
    let incarnation = format!("WHERE RESETLOGS_CHANGE# = {}", facts.database.resetlogs_change);
    let sets = script.query(&key(&[scn("PIECES"), date("COMPLETION_TIME")]), "FROM V$BACKUP_SET");
    let columns = key(&[scn("PIECE#"), "HANDLE".to_owned(), scn("BYTES"), "STATUS".to_owned()]);
    let pieces =
        script.query(&columns, "FROM V$BACKUP_PIECE WHERE STATUS IN ('A', 'X') AND HANDLE IS NOT NULL");
    let columns = key(&[
        scn("FILE#"),
        scn("INCREMENTAL_LEVEL"),
        scn("INCREMENTAL_CHANGE#"),
        scn("CHECKPOINT_CHANGE#"),
        scn("ABSOLUTE_FUZZY_CHANGE#"),
        scn("CREATION_CHANGE#"),
    ]);
    let files = script.query(
        &columns,
        format!("FROM V$BACKUP_DATAFILE {incarnation} AND FILE# > 0 AND INCREMENTAL_LEVEL IS NOT NULL"),
    );
    let columns = key(&[scn("THREAD#"), scn("SEQUENCE#"), scn("FIRST_CHANGE#"), scn("NEXT_CHANGE#")]);
    let logs = script.query(&columns, format!("FROM V$BACKUP_REDOLOG {incarnation}"));
    let reply = sqlplus.run(&script).context("read the repository of backups")?;
    let mut found = Repository::default();
    let mut completed: BTreeMap<SetKey, Option<NaiveDateTime>> = BTreeMap::new();
    for row in reply.rows(sets) {
        let set = (row.get(0)?, row.get(1)?);
        found.sets.insert(set, row.get::<Option<u64>>(2)?.unwrap_or(1));
        completed.insert(set, row.get(3)?);
    }
    for row in reply.rows(pieces) {
        let handle: String = row.get(3)?;
        let bytes = row.get::<Option<u64>>(4)?.unwrap_or(0);
        let on_disk = std::fs::metadata(&handle).is_ok_and(|m| m.is_file() && m.len() == bytes);
        let name = Path::new(&handle).file_name().map(|n| n.to_string_lossy().into_owned());
        let there = on_disk || name.is_some_and(|n| stored.contains(&n));
        let status = row.get(5)?;
        found.pieces.push(Piece {
            set: (row.get(0)?, row.get(1)?),
            number: row.get(2)?,
            handle,
            bytes,
            status,
            there,
        });
    }
    for row in reply.rows(files) {
        let set = (row.get(0)?, row.get(1)?);
        found.files.push(FileBackup {
            set,
            file: row.get(2)?,
            level: row.get(3)?,
            incremental_change: row.get::<Option<u64>>(4)?.unwrap_or(0),
            checkpoint_change: row.get(5)?,
            fuzzy_change: row.get::<Option<u64>>(6)?.unwrap_or(0),
            creation_change: row.get::<Option<u64>>(7)?.unwrap_or(0),
            completed: completed.get(&set).copied().flatten(),
        });
    }
    let resetlogs_change = facts.database.resetlogs_change;
    for row in reply.rows(logs) {
        let set = (row.get(0)?, row.get(1)?);
        found.logs.push(LogBackup {
            set,
            key: LogKey { resetlogs_change, thread: row.get(2)?, sequence: row.get(3)? },
            first_change: row.get(4)?,
            next_change: row.get(5)?,
            completed: completed.get(&set).copied().flatten(),
        });
    }
    Ok(found)
}

/// What is protected.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Assessment {
    /// When the oldest of the files' newest level 0s was completed; `None`: a file has none.
    pub level_0: Option<NaiveDateTime>,
    /// The same for the newest of any level.
    pub any_level: Option<NaiveDateTime>,
    /// The newest backup of an archived log.
    pub archived_logs: Option<NaiveDateTime>,
    /// From the first redo that a restore needs to the last that it can reach; `None`: nothing can be restored.
    pub window: Option<RecoveryWindow>,
    pub gaps: Vec<Gap>,
    /// Why the database cannot be restored.
    pub problems: Vec<String>,
    pub notes: Vec<String>,
}

struct Span {
    sequence: u64,
    first: u64,
    next: u64,
}

/// Pure. Current incarnation only: what came before it is the planner's business.
pub fn assess(facts: &Facts, repository: &Repository) -> Assessment {
    let mut found = Assessment::default();
    let good = repository.good();
    let usable: Vec<&FileBackup> = repository.files.iter().filter(|f| good.contains(&f.set)).collect();
    let oldest = |times: &[Option<NaiveDateTime>]| times.iter().min().copied().flatten();
    let (mut level_0, mut any_level) = (Vec::new(), Vec::new());
    let (mut from, mut to) = (u64::MAX, 0);
    let mut without = Vec::new();
    for file in &facts.files {
        let of_file =
            || usable.iter().filter(|b| b.file == file.file && b.creation_change == file.creation_change);
        let Some(base) = of_file()
            .filter(|b| b.level == 0 || b.incremental_change <= b.creation_change)
            .max_by_key(|b| b.checkpoint_change)
        else {
            without.push(file);
            continue;
        };
        let mut last = *base;
        while let Some(next) = of_file()
            .filter(|b| {
                b.level == 1
                    && b.incremental_change <= last.checkpoint_change
                    && b.checkpoint_change > last.checkpoint_change
            })
            .max_by_key(|b| b.checkpoint_change)
        {
            last = *next;
        }
        level_0.push(base.completed);
        any_level.push(last.completed);
        // Redo does not matter to a file that does not change.
        if file.online() && file.enabled != "READ ONLY" {
            from = from.min(last.checkpoint_change);
            to = to.max(last.checkpoint_change.max(last.fuzzy_change));
        }
    }
    for file in without {
        if file.creation_change > from {
            found.notes.push(format!(
                "datafile {} {} is newer than the backup: recovery makes it from redo",
                file.file, file.path
            ));
        } else {
            found.problems.push(format!("datafile {} {} has no usable level 0", file.file, file.path));
        }
    }
    if found.problems.is_empty() {
        found.level_0 = oldest(&level_0);
        found.any_level = oldest(&any_level);
    }
    found.archived_logs =
        repository.logs.iter().filter(|l| good.contains(&l.set)).filter_map(|l| l.completed).max();
    if from == u64::MAX {
        return found;
    }
    let window = redo(facts, repository, &good, from, to, &mut found);
    if found.problems.is_empty() {
        found.window = Some(window);
    }
    found
}

fn redo(
    facts: &Facts,
    repository: &Repository,
    good: &BTreeSet<SetKey>,
    from: u64,
    to: u64,
    found: &mut Assessment,
) -> RecoveryWindow {
    let current = facts.database.resetlogs_change;
    let mut window = RecoveryWindow {
        begin_scn: from,
        end_scn: u64::MAX,
        resetlogs_id: facts.database.resetlogs_id,
        threads: Vec::new(),
    };
    for thread in facts.threads.iter().filter(|t| t.disabled_change.is_none_or(|c| c > from)) {
        let number = thread.thread;
        let mut spans: BTreeMap<u64, Span> = BTreeMap::new();
        let on_disk = facts.logs.iter().filter(|l| l.on_disk).map(|l| (l.key, l.first_change, l.next_change));
        let backed = repository
            .logs
            .iter()
            .filter(|l| good.contains(&l.set))
            .map(|l| (l.key, l.first_change, l.next_change));
        for (key, first, next) in on_disk.chain(backed) {
            if key.thread == number && key.resetlogs_change == current && next > from {
                spans.insert(key.sequence, Span { sequence: key.sequence, first, next });
            }
        }
        let start = from.max(thread.enabled_change);
        let first_sequence = spans.values().next().map_or(0, |s| s.sequence);
        let mut expected = first_needed(facts, number, start).unwrap_or(first_sequence);
        for sequence in spans.keys().copied() {
            if sequence > expected {
                found.gaps.push(Gap {
                    thread: number,
                    resetlogs_id: facts.database.resetlogs_id,
                    from: expected,
                    to: sequence - 1,
                    r#where: Where::Source,
                    reason: "neither on disk nor in a usable backup".to_owned(),
                    hint: "bring the logs or pieces back and CATALOG them, or make a level 0 now (rman-run full)"
                        .to_owned(),
                });
            }
            expected = sequence + 1;
        }
        let end = contiguous_end(&spans, start);
        window.end_scn = window.end_scn.min(end.1);
        window.threads.push(ThreadWindow { thread: number, first_sequence, last_sequence: end.0 });
        if end.1 <= to {
            found.problems.push(format!(
                "thread {number}: the backup needs redo from SCN {from} beyond {to}, and what is there ends at {}",
                end.1
            ));
        }
    }
    if window.end_scn == u64::MAX {
        window.end_scn = from;
    }
    window
}

/// Last sequence and SCN without a hole from `start`.
fn contiguous_end(spans: &BTreeMap<u64, Span>, start: u64) -> (u64, u64) {
    let mut end = (0, start);
    for span in spans.values() {
        if span.first > end.1 {
            break;
        }
        if span.next > end.1 {
            end = (span.sequence, span.next);
        }
    }
    end
}

/// The log that holds `change`, as V$ARCHIVED_LOG remembers it.
fn first_needed(facts: &Facts, thread: u64, change: u64) -> Option<u64> {
    let of_thread = |l: &&crate::facts::ArchivedLog| {
        l.key.thread == thread
            && l.key.resetlogs_change == facts.database.resetlogs_change
            && l.next_change > change
    };
    facts.logs.iter().filter(of_thread).map(|l| l.key.sequence).min()
}

#[cfg(test)]
#[path = "protection_tests.rs"]
mod tests;
