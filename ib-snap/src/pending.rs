//! `ib_snap.<SID>.pending`: snapshots that were asked for and whose set is not settled, written before BEGIN BACKUP. The
//! next run looks them up, so that a late one is never taken for a backup.

use std::path::{Path, PathBuf};

use anyhow::Context;
use common::durable;
use common::infinibox::{ApiError, Array, Clock, SetKind, SetState};
use serde::{Deserialize, Serialize};

use crate::keep::discard;
use crate::marks::Marks;
use crate::plan::{Member, Plan};
use crate::storage::{find, Asker, Found};
use crate::window::{Moment, Window};

/// An array that has not executed a request for so long has forgotten it.
const FORGET: i64 = 24 * 3_600_000;

/// One run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub run: String,
    pub db: String,
    pub dbid: u64,
    pub stamp: String,
    pub archive: bool,
    /// Host time, epoch milliseconds.
    pub written: i64,
    /// Array time minus host time, milliseconds, at that time.
    #[serde(default)]
    pub clock: Option<(i64, i64)>,
    /// When backup mode was surely on; absent when the run did not come so far.
    #[serde(default)]
    pub window: Option<(i64, i64)>,
    pub snapshots: Vec<Asked>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    pub kind: SetKind,
    pub volume_id: u64,
    pub volume: String,
    pub name: String,
    /// Members of its kind.
    #[serde(default)]
    pub n: usize,
    /// The array has been asked for it, or will be next.
    #[serde(default)]
    pub sent: bool,
}

impl Asked {
    fn member(&self) -> Member {
        Member { volume_id: self.volume_id, volume: self.volume.clone(), name: self.name.clone() }
    }
}

/// All unsettled runs of one instance.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    pub runs: Vec<Entry>,
}

impl Entry {
    pub fn new(plan: &Plan, marks: &Marks, clock: Option<Clock>, now: i64) -> Self {
        let snapshots = plan.halves().flat_map(|half| {
            half.members.iter().map(|m| Asked {
                kind: half.kind,
                volume_id: m.volume_id,
                volume: m.volume.clone(),
                name: m.name.clone(),
                n: half.members.len(),
                sent: half.kind == SetKind::Data,
            })
        });
        Self {
            run: marks.run.clone(),
            db: marks.db.clone(),
            dbid: marks.dbid,
            stamp: marks.stamp.clone(),
            archive: marks.archive,
            written: now,
            clock: clock.map(|c| (c.earliest, c.latest)),
            window: None,
            snapshots: snapshots.collect(),
        }
    }

    /// From now on its archive snapshots may exist too.
    pub fn send_archive(&mut self) {
        self.snapshots.iter_mut().for_each(|a| a.sent = true);
    }

    /// After a day nobody knows what the clocks were; whose mark it is tells.
    fn asker(&self) -> Asker {
        Asker { run: self.run.clone(), ..Asker::default() }
    }

    fn marks(&self) -> Marks {
        Marks {
            run: self.run.clone(),
            db: self.db.clone(),
            dbid: self.dbid,
            stamp: self.stamp.clone(),
            archive: self.archive,
        }
    }

    /// Whether it surely was not taken in backup mode, by what the journal knows.
    fn is_late(&self, created_at: Option<i64>) -> bool {
        let (Some((begin_done, end_sent)), Some((earliest, latest)), Some(created)) =
            (self.window, self.clock, created_at)
        else {
            return false;
        };
        let clock = Clock { earliest, latest, best: earliest, contradictory: false };
        Window { begin_done, end_sent }.judge(created, &clock) != Moment::Inside
    }
}

impl Pending {
    pub fn path(state_dir: &Path, sid: &str) -> PathBuf {
        state_dir.join(format!("ib_snap.{sid}.pending"))
    }

    /// Reads it; a damaged one is set aside, which the second value says.
    pub fn load(state_dir: &Path, sid: &str) -> anyhow::Result<(Self, Option<String>)> {
        let path = Self::path(state_dir, sid);
        let Some(bytes) = durable::read(&path)? else { return Ok((Self::default(), None)) };
        match serde_json::from_slice(&bytes) {
            Ok(pending) => Ok((pending, None)),
            Err(e) => {
                let aside = durable::set_aside(&path)?;
                let text = format!(
                    "{} cannot be understood ({e}) and was set aside as {}: snapshots of earlier runs without the mark of a \
                     complete set are none",
                    path.display(),
                    aside.display()
                );
                Ok((Self::default(), Some(text)))
            }
        }
    }

    /// Makes it durable; without runs the file goes.
    pub fn store(&self, state_dir: &Path, sid: &str) -> anyhow::Result<()> {
        let path = Self::path(state_dir, sid);
        if self.runs.is_empty() {
            return durable::remove(&path);
        }
        let mut text = serde_json::to_vec(self).context("encode the journal of snapshots")?;
        text.push(b'\n');
        durable::write(&path, &text)
    }

    /// Puts the entry of a run in, or in the place of its older self.
    pub fn put(&mut self, entry: Entry) {
        self.forget(&entry.run);
        self.runs.push(entry);
    }

    pub fn forget(&mut self, run: &str) {
        self.runs.retain(|e| e.run != run);
    }
}

/// Looks up what earlier runs have left unsettled: late ones are deleted, all others marked as incomplete. Returns what a
/// person should know, and changes `pending` to what is still open.
pub fn reconcile(array: &Array, pending: &mut Pending, now: i64) -> Vec<String> {
    let mut told = Vec::new();
    for entry in &mut pending.runs {
        let marks = entry.marks();
        let mut open = Vec::new();
        // A run that was killed between two marks leaves members that say complete beside others that do not.
        let whole = is_whole(array, entry);
        for asked in entry.snapshots.clone() {
            let settled = match &whole {
                Ok(true) => Ok(true),
                Ok(false) => one(array, entry, &asked, &marks, &mut told),
                Err(e) => Err(e.clone()),
            };
            match settled {
                Ok(true) => {}
                Ok(false) if !asked.sent => {}
                Ok(false) if now - entry.written > FORGET => {}
                Ok(false) => open.push(asked),
                Err(e) => {
                    told.push(format!("snapshot {} of run {}: {e}", asked.name, entry.run));
                    open.push(asked);
                }
            }
        }
        entry.snapshots = open;
    }
    pending.runs.retain(|e| !e.snapshots.is_empty());
    told
}

/// Whether all of a run is there and marked as complete, as it is when nothing but the end of its journal is missing.
fn is_whole(array: &Array, entry: &Entry) -> Result<bool, ApiError> {
    for asked in &entry.snapshots {
        match find(array, &asked.member(), &entry.asker())? {
            Found::Ours(_, Some(mark)) if mark.state == SetState::Complete => {}
            _ => return Ok(false),
        }
    }
    Ok(true)
}

/// Whether this one is settled.
fn one(
    array: &Array,
    entry: &Entry,
    asked: &Asked,
    marks: &Marks,
    told: &mut Vec<String>,
) -> Result<bool, ApiError> {
    let member = asked.member();
    let (name, run) = (&asked.name, &entry.run);
    let (volume, mark) = match find(array, &member, &entry.asker())? {
        Found::Ours(volume, mark) => (volume, mark),
        Found::Nothing => return Ok(false),
        Found::Theirs(why) => {
            told.push(format!("snapshot {name} of run {run}: {why}; it is left as it is"));
            return Ok(true);
        }
    };
    // What was never asked for cannot be ours unless it says so.
    if !asked.sent && mark.is_none() {
        return Ok(true);
    }
    let id = volume.id;
    // A member that says complete was proven to be in time.
    let doubted = asked.kind == SetKind::Data && mark.is_none_or(|m| m.state != SetState::Complete);
    if doubted && entry.is_late(volume.created_at) {
        let kept = discard(array, &member, *volume, "it was not surely taken in backup mode");
        told.push(format!("snapshot {name} of run {run}: {}", kept.bad.unwrap_or_default()));
        if kept.volume.is_none() {
            return Ok(true);
        }
    } else {
        told.push(format!(
            "snapshot {name} of run {run}, which did not come to its end, is marked as incomplete"
        ));
    }
    array.put_metadata(id, &marks.incomplete_of(asked.kind, asked.n))?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(run: &str) -> Entry {
        Entry {
            run: run.to_owned(),
            clock: Some((-10, 10)),
            window: Some((1_000, 2_000)),
            snapshots: vec![Asked {
                kind: SetKind::Data,
                volume_id: 1,
                volume: "d1".into(),
                name: "s".into(),
                n: 1,
                sent: true,
            }],
            ..Entry::default()
        }
    }

    #[test]
    fn it_is_kept_as_long_as_there_is_something_in_it() {
        let dir = tempfile::tempdir().unwrap();
        let mut pending = Pending::default();
        pending.put(entry("r1"));
        pending.put(entry("r2"));
        pending.put(Entry { window: None, ..entry("r1") });
        pending.store(dir.path(), "PROD").unwrap();
        let (read, warning) = Pending::load(dir.path(), "PROD").unwrap();
        assert_eq!((read.runs.len(), warning), (2, None));
        assert_eq!(read, pending);
        pending.forget("r1");
        pending.forget("r2");
        pending.store(dir.path(), "PROD").unwrap();
        assert!(!Pending::path(dir.path(), "PROD").exists());
    }

    #[test]
    fn a_damaged_one_is_set_aside_and_said() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(Pending::path(dir.path(), "PROD"), b"{\"runs\":[{").unwrap();
        let (read, warning) = Pending::load(dir.path(), "PROD").unwrap();
        assert!(read.runs.is_empty() && warning.unwrap().contains("set aside"));
    }

    #[test]
    fn late_is_what_was_not_surely_inside() {
        assert!(!entry("r").is_late(Some(1_500)));
        assert!(entry("r").is_late(Some(2_005)));
        assert!(entry("r").is_late(Some(1_995)));
        // Without a window nobody can say so.
        assert!(!Entry { window: None, ..entry("r") }.is_late(Some(9_000)));
    }
}
