//! CROSSCHECK, DELETE, CHANGE, VALIDATE BACKUPSET: the repository against the disk.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use super::{messages::failed, pieces::SetPieces, place};
use crate::{
    controlfile::{Archived, ControlFile},
    datafile::Header,
    instance::{Inner, Instance},
    oratime,
    pieces::{
        api::{Backups, Delete, Event, Failure, Logs, Message, Object, Step},
        format,
        records::{BackupSet, Piece, PieceStatus, SetType},
        select,
    },
};

fn object(control: &ControlFile, piece: &Piece) -> Object {
    let set = control.rman.set(piece.set_stamp, piece.set_count).map_or(0, |s| s.recid);
    Object::Piece {
        recid: piece.recid,
        stamp: piece.stamp,
        set,
        piece: piece.piece,
        copy: piece.copy,
        handle: piece.handle.clone(),
    }
}

fn log_object(log: &Archived) -> Object {
    Object::Log {
        recid: log.recid,
        stamp: log.stamp,
        thread: log.thread,
        sequence: log.sequence,
        path: PathBuf::from(log.name.clone().unwrap_or_default()),
        first_time: log.first_time,
    }
}

/// Pieces that a command names, those deleted long ago left out.
fn pieces<'a>(control: &'a ControlFile, wanted: &Backups) -> Result<Vec<&'a Piece>, Failure> {
    let files: Option<BTreeSet<u32>> = match &wanted.of {
        Some(files) => Some(place::files(control, files)?.iter().map(|f| f.file).collect()),
        None => None,
    };
    let any_of = files.is_some() || wanted.of_logs.is_some() || wanted.of_controlfile || wanted.of_spfile;
    let tag = wanted.tag.as_ref().map(|t| t.to_uppercase());
    let has = |set: &BackupSet| {
        files.as_ref().is_some_and(|f| set.datafiles.iter().any(|d| f.contains(&d.file)))
            || wanted.of_logs.as_ref().is_some_and(|logs| {
                set.logs.iter().any(|l| place::wanted_log(control, logs, &super::restore::as_row(l)))
            })
            || (wanted.of_controlfile && set.controlfile.is_some())
            || (wanted.of_spfile && set.spfile.is_some())
    };
    let named = !wanted.pieces.is_empty() || !wanted.handles.is_empty();
    Ok(control
        .rman
        .pieces
        .iter()
        .filter(|p| p.status != PieceStatus::Deleted)
        .filter(|p| !wanted.expired || p.status == PieceStatus::Expired)
        .filter(|p| !named || wanted.pieces.contains(&p.recid) || wanted.handles.contains(&p.handle))
        .filter(|p| tag.is_none() || p.tag == tag)
        .filter(|p| wanted.completed_before.is_none_or(|t| p.completion <= t))
        .filter(|p| wanted.completed_after.is_none_or(|t| p.completion >= t))
        .filter(|p| {
            let set = control.rman.set(p.set_stamp, p.set_count);
            (wanted.sets.is_empty() || set.is_some_and(|s| wanted.sets.contains(&s.recid)))
                && (!any_of || set.is_some_and(has))
        })
        .collect())
}

/// Sets that the retention policy does not need, as (key, pieces).
fn obsolete(control: &ControlFile, redundancy: Option<u32>, window: Option<u32>) -> BTreeSet<select::SetKey> {
    let complete: Vec<&BackupSet> = control.rman.sets.iter().filter(|s| control.rman.complete(s)).collect();
    let mut needed: BTreeSet<select::SetKey> = BTreeSet::new();
    // The oldest SCN from which a kept backup has to be recovered.
    let mut from = u64::MAX;
    let limit = window.map(|days| oratime::now() - chrono::TimeDelta::days(i64::from(days)));
    let mut newest_first = complete.clone();
    newest_first.sort_by_key(|s| std::cmp::Reverse((s.completion, s.recid)));
    if redundancy.is_none() && limit.is_none() {
        return BTreeSet::new();
    }
    for file in &control.datafiles {
        let mut kept = 0;
        for set in &newest_first {
            let row =
                set.datafiles.iter().find(|d| d.file == file.file && d.creation_scn == file.creation_scn);
            let Some(row) = row.filter(|d| d.level != Some(1)) else { continue };
            let enough = match (limit, redundancy) {
                // One backup from before the window is needed to get to its beginning.
                (Some(limit), _) => {
                    kept > 0 && set.completion < limit && {
                        newest_first.iter().any(|s| {
                            s.completion < limit
                                && (s.completion, s.recid) > (set.completion, set.recid)
                                && s.datafiles.iter().any(|d| d.file == file.file && d.level != Some(1))
                        })
                    }
                }
                (None, n) => kept >= n.unwrap_or(1),
            };
            if enough {
                break;
            }
            kept += 1;
            needed.insert(select::key(set));
            if !file.read_only && !file.offline {
                from = from.min(row.checkpoint_scn);
            }
        }
    }
    let mut controls = 0;
    for set in &newest_first {
        // The control file and SPFILE are kept as often as the datafiles.
        if set.controlfile.is_some() || set.spfile.is_some() {
            let keep = match limit {
                Some(limit) => controls == 0 || set.completion >= limit,
                None => controls < redundancy.unwrap_or(1),
            };
            if keep {
                needed.insert(select::key(set));
            }
            controls += 1;
        }
        let increment = set.set_type == SetType::Level1
            && set.datafiles.iter().any(|d| d.checkpoint_scn > from || from == u64::MAX);
        let log = set.logs.iter().any(|l| l.next_scn > from || from == u64::MAX);
        if increment || log {
            needed.insert(select::key(set));
        }
    }
    complete.iter().map(|s| select::key(s)).filter(|k| !needed.contains(k)).collect()
}

impl Inner {
    fn mounted(&self) -> Result<&ControlFile, Failure> {
        self.control().map_err(|e| failed(&e))
    }

    /// Records were changed and not only added.
    fn keep_records(&mut self) -> Result<(), Failure> {
        let open = self.control_open().map_err(|e| failed(&crate::instance::io_error(&e)))?;
        open.rewrite().map_err(|e| failed(&crate::instance::io_error(&e)))
    }

    fn crosscheck_backups(&mut self, wanted: &Backups) -> Result<Vec<Event>, Failure> {
        let control = self.mounted()?;
        let mut events = Vec::new();
        let mut found: BTreeMap<u32, bool> = BTreeMap::new();
        for piece in pieces(control, wanted)? {
            if piece.status == PieceStatus::Unavailable {
                continue;
            }
            let available = format::is_there(&piece.handle, piece.set_stamp, piece.set_count, piece.piece);
            found.insert(piece.recid, available);
            events.push(Event::Crosschecked { object: object(control, piece), available });
        }
        let control = self.control_mut().map_err(|e| failed(&crate::instance::io_error(&e)))?;
        for piece in &mut control.rman.pieces {
            if let Some(available) = found.get(&piece.recid) {
                piece.status = if *available { PieceStatus::Available } else { PieceStatus::Expired };
            }
        }
        self.keep_records()?;
        Ok(events)
    }

    fn crosscheck_logs(&mut self, wanted: &Logs) -> Result<Vec<Event>, Failure> {
        let control = self.mounted()?;
        let mut events = Vec::new();
        let (mut gone, mut back) = (Vec::new(), Vec::new());
        for log in place::local_logs(control, wanted) {
            let path = PathBuf::from(log.name.clone().unwrap_or_default());
            let available = crate::redolog::read_header(&path).is_ok_and(|h| {
                (h.thread, h.sequence, h.resetlogs_scn) == (log.thread, log.sequence, log.resetlogs_scn)
            });
            if available { &mut back } else { &mut gone }.push(log.recid);
            events.push(Event::Crosschecked { object: log_object(log), available });
        }
        let control = self.control_mut().map_err(|e| failed(&crate::instance::io_error(&e)))?;
        control.rman.expired_logs.retain(|r| !back.contains(r));
        control.rman.expired_logs.extend(gone);
        self.keep_records()?;
        Ok(events)
    }

    fn to_delete(&self, what: &Delete) -> Result<(Vec<Piece>, Vec<Archived>), Failure> {
        let control = self.mounted()?;
        Ok(match what {
            Delete::Backups(wanted) => (pieces(control, wanted)?.into_iter().cloned().collect(), Vec::new()),
            Delete::Obsolete { redundancy, window_days } => {
                let (r, w) = match (redundancy, window_days) {
                    (None, None) => self.retention(),
                    given => (*given.0, *given.1),
                };
                if (r, w) == (None, None) {
                    let text = "RMAN retention policy is set to none";
                    return Err(Failure::new(vec![Message::rman(6525, text)]));
                }
                let keys = obsolete(control, r, w);
                let own = control.rman.pieces.iter().filter(|p| {
                    p.status == PieceStatus::Available && keys.contains(&(p.set_stamp, p.set_count))
                });
                (own.cloned().collect(), Vec::new())
            }
            Delete::Logs { logs, expired, .. } => {
                let all = place::local_logs(control, logs);
                let own = all.filter(|a| !*expired || control.rman.expired_logs.contains(&a.recid));
                (Vec::new(), own.cloned().collect())
            }
        })
    }

    fn delete_objects(&mut self, what: &Delete) -> Result<Vec<Event>, Failure> {
        let (pieces, logs) = self.to_delete(what)?;
        let mut events = Vec::new();
        let mut gone = Vec::new();
        let expired_only = matches!(what, Delete::Backups(b) if b.expired);
        for piece in &pieces {
            let shown = object(self.mounted()?, piece);
            let there = piece.handle.exists();
            // An EXPIRED piece that is there, or an AVAILABLE one that is not: the repository has to be crosschecked first.
            let mismatch =
                if expired_only { there } else { !there && piece.status == PieceStatus::Available };
            if mismatch {
                events.push(Event::Mismatched(shown));
                continue;
            }
            if there {
                fs::remove_file(&piece.handle).map_err(|e| {
                    let text = format!("error deleting {}\n{e}", piece.handle.display());
                    Failure::new(vec![Message::ora(27056, text)])
                })?;
            }
            gone.push(piece.recid);
            events.push(Event::Deleted(shown));
        }
        let control = self.control_mut().map_err(|e| failed(&crate::instance::io_error(&e)))?;
        for piece in control.rman.pieces.iter_mut().filter(|p| gone.contains(&p.recid)) {
            piece.status = PieceStatus::Deleted;
        }
        if let Delete::Logs { expired, force, .. } = what {
            if *expired {
                let mut dropped = Vec::new();
                for log in &logs {
                    if log.name.as_ref().is_some_and(|n| Path::new(n).exists()) {
                        events.push(Event::Mismatched(log_object(log)));
                        continue;
                    }
                    dropped.push(log.recid);
                    events.push(Event::Deleted(log_object(log)));
                }
                let control = self.control_mut().map_err(|e| failed(&crate::instance::io_error(&e)))?;
                for a in control.archived.iter_mut().filter(|a| dropped.contains(&a.recid)) {
                    a.deleted = true;
                }
                control.rman.expired_logs.retain(|r| !dropped.contains(r));
            } else {
                let (more, deleted) = self.delete_logs(&logs, *force)?;
                events.extend(deleted.into_iter().map(Event::Deleted));
                events.extend(more);
            }
        }
        self.keep_records()?;
        Ok(events)
    }

    fn change_pieces(&mut self, wanted: &Backups, to: PieceStatus) -> Result<(), Failure> {
        let keys: Vec<u32> = pieces(self.mounted()?, wanted)?.iter().map(|p| p.recid).collect();
        let control = self.control_mut().map_err(|e| failed(&crate::instance::io_error(&e)))?;
        for piece in control.rman.pieces.iter_mut().filter(|p| keys.contains(&p.recid)) {
            piece.status = to;
        }
        self.keep_records()
    }
}

fn step(result: Result<Vec<Event>, Failure>) -> Step {
    match result {
        Ok(events) => Step::last(events),
        Err(failure) => Step::failed(Vec::new(), failure),
    }
}

impl Instance {
    pub(super) fn rman_crosscheck(&self, wanted: &Backups) -> Step {
        step(self.lock().crosscheck_backups(wanted))
    }

    pub(super) fn rman_crosscheck_logs(&self, wanted: &Logs) -> Step {
        step(self.lock().crosscheck_logs(wanted))
    }

    pub(super) fn rman_crosscheck_copies(&self) -> Step {
        let mut inner = self.lock();
        let Ok(control) = inner.control_mut() else {
            return Step::failed(Vec::new(), failed(&crate::instance::not_mounted()));
        };
        let mut events = Vec::new();
        for copy in control.rman.copies.iter_mut().filter(|c| c.status != PieceStatus::Deleted) {
            let available = Header::read_path(&copy.path).is_ok_and(|h| h.file == copy.file);
            copy.status = if available { PieceStatus::Available } else { PieceStatus::Expired };
            let (recid, stamp, file, path) = (copy.recid, copy.stamp, copy.file, copy.path.clone());
            events.push(Event::Crosschecked { object: Object::Copy { recid, stamp, file, path }, available });
        }
        step(inner.keep_records().map(|()| events))
    }

    pub(super) fn rman_delete(&self, what: &Delete, apply: bool) -> Step {
        let mut inner = self.lock();
        if apply {
            return step(inner.delete_objects(what));
        }
        step(inner.to_delete(what).and_then(|(pieces, logs)| {
            let control = inner.mounted()?;
            let mut list: Vec<Object> = pieces.iter().map(|p| object(control, p)).collect();
            list.extend(logs.iter().map(log_object));
            Ok(vec![Event::ToDelete(list)])
        }))
    }

    pub(super) fn rman_change(&self, wanted: &Backups, to: PieceStatus) -> Step {
        step(self.lock().change_pieces(wanted, to).map(|()| Vec::new()))
    }

    /// VALIDATE BACKUPSET.
    pub(super) fn rman_validate(&self, keys: &[u32]) -> Step {
        let control = match self.lock().mounted() {
            Ok(control) => control.clone(),
            Err(failure) => return Step::failed(Vec::new(), failure),
        };
        let mut events = Vec::new();
        for key in keys {
            let Some(set) = control.rman.sets.iter().find(|s| s.recid == *key) else {
                let lines = vec![
                    Message::rman(20215, "backup set not found"),
                    Message::rman(6159, format!("error while looking up backup set {key}")),
                ];
                return Step::failed(events, Failure::new(lines));
            };
            let Some(from) = SetPieces::of(&control, set, &BTreeSet::new()) else {
                let text = format!("no backup pieces found for backup set key: {key}");
                return Step::failed(events, Failure::new(vec![Message::rman(6160, text)]));
            };
            events.extend(
                from.chosen().take(1).map(|p| Event::Reading { channel: 0, handle: p.handle.clone() }),
            );
            if let Err(bad) = from.validate() {
                return Step::failed(events, Failure::on(0, bad.lines));
            }
            for piece in from.chosen() {
                events.push(Event::PieceValidated {
                    channel: 0,
                    handle: piece.handle.clone(),
                    tag: piece.tag.clone(),
                    piece: piece.piece,
                });
            }
            events.push(Event::RestoreEnd { channel: 0, seconds: 0 });
        }
        Step::last(events)
    }
}
