//! Which backup a restore takes, and which increments a recovery applies. Pure: catalogue in, choice out.

use std::collections::BTreeSet;

use super::records::{BackupSet, Records, SetDatafile, SetType};
use crate::controlfile::{Archived, ControlFile, Datafile, Incarnation};

/// A set by SET_STAMP and SET_COUNT.
pub type SetKey = (u32, u32);

pub fn key(set: &BackupSet) -> SetKey {
    (set.set_stamp, set.set_count)
}

/// What may be chosen: everything below `until`, nothing that has failed already.
#[derive(Debug, Clone)]
pub struct Choice<'a> {
    pub records: &'a Records,
    /// See [`ControlFile::lineage`].
    pub lineage: &'a [(Incarnation, Option<u64>)],
    /// Exclusive.
    pub until: u64,
    /// Sets that were finished at this time or later are out. A second is the finest that a control file knows.
    pub until_time: Option<chrono::NaiveDateTime>,
    pub tag: Option<&'a str>,
    pub failed: &'a BTreeSet<SetKey>,
}

impl<'a> Choice<'a> {
    /// Whether a backup is of the line of the current incarnation: a child that began before it was made has no part in it.
    fn of_line(&self, resetlogs_scn: u64, checkpoint: u64, fuzzy: u64) -> bool {
        self.lineage
            .iter()
            .find(|(i, _)| i.resetlogs_scn == resetlogs_scn)
            .is_some_and(|(_, end)| end.is_none_or(|end| checkpoint <= end && fuzzy < end))
    }

    fn usable(&self, set: &BackupSet, backup: &SetDatafile) -> bool {
        !self.failed.contains(&key(set))
            && self.records.complete(set)
            && backup.checkpoint_scn <= self.until
            && backup.fuzzy_scn < self.until
            && self.until_time.is_none_or(|t| set.completion < t)
            && self.of_line(backup.resetlogs_scn, backup.checkpoint_scn, backup.fuzzy_scn)
            && self
                .tag
                .is_none_or(|tag| self.records.available(set).iter().any(|p| p.tag.as_deref() == Some(tag)))
    }

    fn of_file(&self, file: u32, creation_scn: u64) -> Vec<(&'a BackupSet, &'a SetDatafile)> {
        self.records
            .sets
            .iter()
            .flat_map(|s| s.datafiles.iter().map(move |d| (s, d)))
            .filter(|(s, d)| d.file == file && d.creation_scn == creation_scn && self.usable(s, d))
            .collect()
    }

    /// The full backup or level 0 to begin with: the newest below `until`.
    pub fn base(&self, file: u32, creation_scn: u64) -> Option<(&'a BackupSet, &'a SetDatafile)> {
        self.of_file(file, creation_scn)
            .into_iter()
            .filter(|(s, _)| s.set_type != SetType::Level1)
            .max_by_key(|(s, d)| (d.checkpoint_scn, s.recid))
    }

    /// The level 1 that brings a file at `checkpoint` farthest in one step.
    pub fn increment(
        &self,
        file: u32,
        creation_scn: u64,
        checkpoint: u64,
    ) -> Option<(&'a BackupSet, &'a SetDatafile)> {
        self.of_file(file, creation_scn)
            .into_iter()
            .filter(|(s, d)| {
                s.set_type == SetType::Level1
                    && d.incremental_scn <= checkpoint
                    && d.checkpoint_scn > checkpoint
            })
            .max_by_key(|(s, d)| (d.checkpoint_scn, s.recid))
    }

    /// The backup that a level 1 made now is the increment to.
    pub fn parent(&self, file: &Datafile, cumulative: bool) -> Option<&'a SetDatafile> {
        self.of_file(file.file, file.creation_scn)
            .into_iter()
            .filter(|(s, _)| match s.set_type {
                SetType::Level0 => true,
                SetType::Level1 => !cumulative,
                SetType::Full | SetType::Logs => false,
            })
            .max_by_key(|(s, d)| (d.checkpoint_scn, s.recid))
            .map(|(_, d)| d)
    }
}

/// Log sets with this log, newest first.
pub fn log_sets<'a>(
    records: &'a Records,
    thread: u16,
    sequence: u32,
    resetlogs_scn: u64,
    failed: &BTreeSet<SetKey>,
) -> Vec<&'a BackupSet> {
    let mut found: Vec<&BackupSet> = records
        .sets
        .iter()
        .filter(|s| {
            s.logs
                .iter()
                .any(|l| (l.thread, l.sequence, l.resetlogs_scn) == (thread, sequence, resetlogs_scn))
                && !failed.contains(&key(s))
                && records.complete(s)
        })
        .collect();
    found.sort_by_key(|s| std::cmp::Reverse((s.completion, s.recid)));
    found
}

/// How many available backups a log has.
pub fn log_backups(records: &Records, log: &Archived) -> u32 {
    log_sets(records, log.thread, log.sequence, log.resetlogs_scn, &BTreeSet::new()).len() as u32
}

/// One log as the repository knows it, from whatever record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct KnownLog {
    pub thread: u16,
    pub resetlogs_scn: u64,
    pub sequence: u32,
    pub first_scn: u64,
    pub next_scn: u64,
}

/// Every finished log of the current line that V$ARCHIVED_LOG, V$LOG_HISTORY or a backup set knows.
pub fn known_logs(control: &ControlFile) -> BTreeSet<KnownLog> {
    let line = control.lineage();
    let end = |resetlogs: u64| line.iter().find(|(i, _)| i.resetlogs_scn == resetlogs).map(|(_, e)| *e);
    let archived = control.archived.iter().map(|a| KnownLog {
        thread: a.thread,
        resetlogs_scn: a.resetlogs_scn,
        sequence: a.sequence,
        first_scn: a.first_scn,
        next_scn: a.next_scn,
    });
    let history = control.history.iter().map(|h| KnownLog {
        thread: h.thread,
        resetlogs_scn: h.resetlogs_scn,
        sequence: h.sequence,
        first_scn: h.first_scn,
        next_scn: h.next_scn,
    });
    let backed = control.rman.sets.iter().flat_map(|s| &s.logs).map(|l| KnownLog {
        thread: l.thread,
        resetlogs_scn: l.resetlogs_scn,
        sequence: l.sequence,
        first_scn: l.first_scn,
        next_scn: l.next_scn,
    });
    archived
        .chain(history)
        .chain(backed)
        // What a parent wrote after its child had left it is nobody's.
        .filter(|l| end(l.resetlogs_scn).is_some_and(|e| e.is_none_or(|e| l.first_scn < e)))
        .collect()
}
