//! RESTORE of datafiles and archived logs: the newest backup that fits, and the one before when a piece is bad.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use super::{
    messages::{failed, not_found},
    pieces::{self, Bad, SetPieces},
    place,
    until::{self, Limit},
    Job, Tally,
};
use crate::{
    controlfile::{Archived, ControlFile, Datafile},
    datafile::{self, Header},
    engine::State,
    instance::{archiver::archive_name, Inner, Instance},
    oratime,
    pieces::{
        api::{Event, Failure, Logs, Message, Mode, Object, Restore, Restoring, Step},
        records::{BackupSet, SetLog},
        select::{self, Choice, SetKey},
    },
};

/// A backup set and the files that are to be read from it.
type Chosen = (BackupSet, Vec<Wanted>);

/// Pieces and sets that were found to be bad by this command.
#[derive(Debug, Default, Clone)]
pub(super) struct BadOnes {
    pub(super) pieces: BTreeSet<u32>,
    pub(super) sets: BTreeSet<SetKey>,
}

impl BadOnes {
    /// Notes a bad piece; whether another copy of it is left.
    pub(super) fn note(&mut self, from: &SetPieces, bad: &Bad) -> bool {
        self.pieces.insert(bad.recid);
        let number = from.chosen().find(|p| p.recid == bad.recid).map(|p| p.piece);
        let copies = number.and_then(|n| from.pieces.get(&n)).map_or(0, Vec::len);
        if copies > 1 {
            return true;
        }
        self.sets.insert(select::key(&from.set));
        false
    }
}

#[derive(Debug, Clone)]
struct Wanted {
    file: Datafile,
    to: PathBuf,
}

#[derive(Debug)]
pub(super) struct RestoreJob {
    request: Restore,
    limit: Limit,
    left: Vec<Wanted>,
    bad: BadOnes,
    announced: Option<(SetPieces, Vec<Wanted>)>,
    first: Vec<Event>,
    channel: u32,
}

/// NEWNAME FOR DATABASE TO 'format'.
fn newname(format: &str, control: &ControlFile, file: &Datafile) -> PathBuf {
    let base = file.path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let ts = control.tablespace_of(file).map(|t| t.name.clone()).unwrap_or_default();
    PathBuf::from(
        format
            .replace("%b", &base)
            .replace("%f", &file.file.to_string())
            .replace("%N", &ts)
            .replace("%d", &control.name)
            .replace("%I", &control.dbid.to_string())
            .replace("%U", &format!("data-D-{}_I-{}_TS-{ts}_FNO-{}", control.name, control.dbid, file.file)),
    )
}

/// The files that a RESTORE or RECOVER leaves out by SKIP TABLESPACE.
pub(super) fn skipped(control: &ControlFile, skip: &[String], file: &Datafile) -> bool {
    control.tablespace_of(file).is_some_and(|t| skip.contains(&t.name))
}

/// Whether all redo from an SCN on is known, so that a file made then can be made again from nothing.
fn redo_since(control: &ControlFile, scn: u64) -> bool {
    let logs = select::known_logs(control);
    control.threads.iter().filter(|t| t.enabled).all(|t| {
        let mut at = scn;
        let mut found = false;
        for log in logs.iter().filter(|l| l.thread == t.thread) {
            if log.first_scn <= at && at < log.next_scn {
                at = log.next_scn;
                found = true;
            }
        }
        found
            || control.logs.iter().any(|l| l.thread == t.thread && l.first_scn <= scn && l.next_scn.is_none())
    })
}

impl RestoreJob {
    pub(super) fn plan(instance: &Arc<Instance>, request: &Restore) -> Result<Self, Failure> {
        let inner = instance.lock();
        let control = inner.control().map_err(|e| failed(&e))?;
        let limit = until::resolve(control, request.until.as_ref())?;
        let mut left = Vec::new();
        for file in place::files(control, &request.files)? {
            if skipped(control, &request.skip, &file) {
                continue;
            }
            // What was made after the end is not there at the end.
            if file.creation_scn >= limit.scn {
                continue;
            }
            let own = request.newnames.iter().rev().find(|(n, _)| *n == file.file).map(|(_, p)| p.clone());
            let to = own
                .or_else(|| request.newname_all.as_ref().map(|f| newname(f, control, &file)))
                .unwrap_or_else(|| file.path.clone());
            if request.mode == Mode::Restore && inner.files.contains_key(&file.file) && to == file.path {
                return Err(Failure::new(vec![
                    Message::ora(19870, "error while restoring backup piece"),
                    Message::ora(
                        19573,
                        format!("cannot obtain exclusive enqueue for datafile {}", file.file),
                    ),
                ]));
            }
            left.push(Wanted { file, to });
        }
        Ok(Self {
            request: request.clone(),
            limit,
            left,
            bad: BadOnes::default(),
            announced: None,
            first: Vec::new(),
            channel: 0,
        })
    }

    fn choose(&self, control: &ControlFile) -> Result<(Vec<Chosen>, Vec<Wanted>), Failure> {
        let lineage = control.lineage();
        let tag = self.request.from_tag.as_ref().map(|t| t.to_uppercase());
        let choice = Choice {
            records: &control.rman,
            lineage: &lineage,
            until: self.limit.scn,
            until_time: self.limit.time,
            tag: tag.as_deref(),
            failed: &self.bad.sets,
        };
        let mut sets: BTreeMap<SetKey, (BackupSet, Vec<Wanted>)> = BTreeMap::new();
        let (mut missing, mut made) = (Vec::new(), Vec::new());
        for wanted in &self.left {
            let file = &wanted.file;
            match choice.base(file.file, file.creation_scn) {
                Some((set, _)) => {
                    let entry = sets.entry(select::key(set)).or_insert_with(|| (set.clone(), Vec::new()));
                    entry.1.push(wanted.clone());
                }
                None if file.creation_scn > lineage.first().map_or(0, |(i, _)| i.resetlogs_scn)
                    && file.ts != 0
                    && redo_since(control, file.creation_scn) =>
                {
                    made.push(wanted.clone());
                }
                None => missing.push(file.file),
            }
        }
        if !missing.is_empty() {
            return Err(not_found(&missing));
        }
        Ok((sets.into_values().collect(), made))
    }

    /// Files that are as the chosen backup already.
    fn drop_restored(
        &mut self,
        set: &BackupSet,
        wanted: Vec<Wanted>,
        events: &mut Vec<Event>,
    ) -> Vec<Wanted> {
        if self.request.force || self.request.mode != Mode::Restore {
            return wanted;
        }
        let mut out = Vec::new();
        for one in wanted {
            let row = set.datafiles.iter().find(|d| d.file == one.file.file);
            let right = Header::read_path(&one.to).is_ok_and(|h| {
                row.is_some_and(|r| {
                    h.file == r.file
                        && h.creation_scn == r.creation_scn
                        && h.checkpoint_scn == r.checkpoint_scn
                        && h.resetlogs_scn == r.resetlogs_scn
                        && h.fuzzy_scn == r.fuzzy_scn
                        && h.flags == 0
                })
            });
            let size = std::fs::metadata(&one.to).map_or(0, |m| m.len());
            let whole = row.is_some_and(|r| size == (u64::from(r.datafile_blocks) + 1) * 8192);
            if right && whole {
                events.push(Event::AlreadyRestored { file: one.file.file, path: one.to.clone() });
                self.left.retain(|l| l.file.file != one.file.file);
            } else {
                out.push(one);
            }
        }
        out
    }

    fn preview(&self, control: &ControlFile) -> Result<Event, Failure> {
        let (sets, _) = self.choose(control)?;
        let lineage = control.lineage();
        let choice = Choice {
            records: &control.rman,
            lineage: &lineage,
            until: self.limit.scn,
            until_time: self.limit.time,
            tag: None,
            failed: &self.bad.sets,
        };
        let mut ids: BTreeSet<u32> = BTreeSet::new();
        let (mut from, mut fuzzy) = (u64::MAX, 0);
        for (set, wanted) in &sets {
            ids.insert(set.recid);
            for one in wanted {
                let Some(row) = set.datafiles.iter().find(|d| d.file == one.file.file) else { continue };
                let (mut at, mut newest) = (row.checkpoint_scn, row.fuzzy_scn.max(row.checkpoint_scn));
                while let Some((next, r)) = choice.increment(one.file.file, one.file.creation_scn, at) {
                    ids.insert(next.recid);
                    at = r.checkpoint_scn;
                    newest = newest.max(r.fuzzy_scn).max(at);
                }
                if !one.file.read_only && !one.file.offline {
                    from = from.min(at);
                    fuzzy = fuzzy.max(newest);
                }
            }
        }
        let (mut logs, mut log_sets) = (Vec::new(), BTreeSet::new());
        for log in select::known_logs(control) {
            if log.next_scn <= from || log.first_scn >= self.limit.scn {
                continue;
            }
            let on_disk = control.archived.iter().find(|a| {
                (a.thread, a.sequence, a.resetlogs_scn) == (log.thread, log.sequence, log.resetlogs_scn)
                    && !a.deleted
                    && !a.standby_dest
                    && a.name.as_ref().is_some_and(|n| Path::new(n).exists())
            });
            if let Some(a) = on_disk {
                logs.push(Object::Log {
                    recid: a.recid,
                    stamp: a.stamp,
                    thread: a.thread,
                    sequence: a.sequence,
                    path: PathBuf::from(a.name.clone().unwrap_or_default()),
                    first_time: a.first_time,
                });
                continue;
            }
            let found =
                select::log_sets(&control.rman, log.thread, log.sequence, log.resetlogs_scn, &self.bad.sets);
            if let Some(set) = found.first() {
                log_sets.insert(set.recid);
            }
        }
        Ok(Event::Preview {
            sets: ids.into_iter().collect(),
            logs,
            log_sets: log_sets.into_iter().collect(),
            from_scn: from,
            fuzzy_scn: fuzzy,
        })
    }

    /// Chooses the next set and says what will be restored from it.
    fn announce(&mut self, inner: &mut Inner) -> Result<(Vec<Event>, bool), Failure> {
        let mut events = Vec::new();
        loop {
            let control = inner.control().map_err(|e| failed(&e))?.clone();
            let (sets, made) = self.choose(&control)?;
            let Some((set, wanted)) = sets.into_iter().next() else {
                if self.request.mode == Mode::Restore {
                    for one in made {
                        inner.make_again(&one.file, &one.to)?;
                        events.push(Event::CreatingFile { file: one.file.file, path: one.to });
                    }
                }
                self.left.clear();
                return Ok((events, true));
            };
            let wanted = self.drop_restored(&set, wanted, &mut events);
            if wanted.is_empty() {
                continue;
            }
            let Some(from) = SetPieces::of(&control, &set, &self.bad.pieces) else {
                self.bad.sets.insert(select::key(&set));
                continue;
            };
            let list = wanted.iter().map(|w| (w.file.file, w.to.clone())).collect();
            events.push(Event::RestoreStart { channel: self.channel, what: Restoring::Datafiles(list) });
            events.extend(
                from.chosen()
                    .take(1)
                    .map(|p| Event::Reading { channel: self.channel, handle: p.handle.clone() }),
            );
            self.announced = Some((from, wanted));
            return Ok((events, false));
        }
    }

    fn run(&mut self, from: &SetPieces, wanted: &[Wanted], tally: &mut Tally) -> Result<Vec<Event>, Failure> {
        let begun = Instant::now();
        let channel = self.channel;
        let list: Vec<(u32, PathBuf)> = wanted.iter().map(|w| (w.file.file, w.to.clone())).collect();
        let result = match self.request.mode {
            Mode::Restore => pieces::restore_datafiles(from, &list),
            Mode::Validate | Mode::Preview => from.validate(),
        };
        match result {
            Ok(()) => {}
            Err(bad) if bad.recid == 0 => return Err(Failure::new(bad.lines)),
            Err(bad) => {
                let duplicate = self.bad.note(from, &bad);
                return Ok(vec![Event::Failover { channel, lines: bad.lines, duplicate }]);
            }
        }
        let validated = self.request.mode == Mode::Validate;
        let mut events = Vec::new();
        for (i, piece) in from.chosen().enumerate() {
            if i > 0 {
                events.push(Event::Reading { channel, handle: piece.handle.clone() });
            }
            let (handle, tag, number) = (piece.handle.clone(), piece.tag.clone(), piece.piece);
            tally.input += piece.bytes;
            events.push(if validated {
                Event::PieceValidated { channel, handle, tag, piece: number }
            } else {
                Event::PieceRead { channel, handle, tag, piece: number }
            });
        }
        events.push(Event::RestoreEnd { channel, seconds: begun.elapsed().as_secs() });
        for one in wanted {
            if !validated && one.to != one.file.path {
                tally.newnames.push((one.file.file, one.to.clone()));
            }
        }
        self.left.retain(|l| wanted.iter().all(|w| w.file.file != l.file.file));
        self.channel = (self.channel + 1) % self.request.channels.max(1);
        Ok(events)
    }
}

impl Inner {
    /// An empty file as it was when it was made: all its redo follows.
    fn make_again(&mut self, file: &Datafile, to: &Path) -> Result<(), Failure> {
        let control = self.control().map_err(|e| failed(&e))?;
        let incarnation = control.incarnation_at(file.creation_scn);
        let header = Header {
            dbid: control.dbid,
            db_name: control.name.clone(),
            blocks: file.create_blocks,
            file: file.file,
            creation_scn: file.creation_scn,
            creation_time: oratime::pack(file.creation_time),
            resetlogs_id: incarnation.as_ref().map_or(0, |i| i.resetlogs_id),
            resetlogs_scn: incarnation.as_ref().map_or(0, |i| i.resetlogs_scn),
            checkpoint_count: 1,
            ts: file.ts,
            ts_name: control.tablespace_of(file).map(|t| t.name.clone()).unwrap_or_default(),
            checkpoint_scn: file.creation_scn,
            checkpoint_time: oratime::pack(file.creation_time),
            thread: 1,
            rba_block: 2,
            ..Header::default()
        };
        // What lies there is no file of the database any more, or RESTORE would not have been asked.
        let _ = std::fs::remove_file(to);
        datafile::create(to, &header)
            .map(drop)
            .map_err(|e| Failure::new(super::messages::create_error(to, &e)))
    }

    /// Where a log that comes out of a piece is put.
    pub(super) fn restored_log_path(&mut self, log: &SetLog, to: Option<&Path>) -> PathBuf {
        let (dbid, activation) =
            self.control.as_ref().map(|c| (c.data.dbid, c.data.activation)).unwrap_or_default();
        let format = self.spec.log_archive_format.clone();
        let name = archive_name(&format, log.thread, log.sequence, log.resetlogs_id, dbid, activation);
        if let Some(to) = to {
            return to.join(name);
        }
        let dest = self.dests().into_iter().filter(|d| d.directory.is_some()).min_by_key(|d| d.id);
        match dest {
            Some(dest) if dest.omf => {
                let letters = self.omf_letters();
                let day = oratime::now().format("%Y_%m_%d").to_string();
                let directory =
                    dest.directory.unwrap_or_default().join(self.unique_name()).join("archivelog").join(day);
                directory.join(format!("o1_mf_{}_{}_{letters}_.arc", log.thread, log.sequence))
            }
            Some(dest) => dest.directory.unwrap_or_default().join(name),
            None => self.dir.join("dbs").join(name),
        }
    }

    /// The row of a log that was restored; its RECID and STAMP.
    pub(super) fn enter_restored_log(&mut self, log: &SetLog, path: &Path) -> Result<(u32, u32), Failure> {
        let broken = |e: &anyhow::Error| failed(&crate::instance::io_error(e));
        let area = self.recovery_area().is_some_and(|a| path.starts_with(a));
        let control = self.control_mut().map_err(|e| broken(&e))?;
        control.last_recid += 1;
        let now = oratime::now();
        let row = Archived {
            recid: control.last_recid,
            stamp: oratime::pack(now),
            name: Some(path.to_string_lossy().into_owned()),
            dest_id: 1,
            thread: log.thread,
            sequence: log.sequence,
            resetlogs_scn: log.resetlogs_scn,
            resetlogs_time: log.resetlogs_time,
            resetlogs_id: log.resetlogs_id,
            first_scn: log.first_scn,
            first_time: log.first_time,
            next_scn: log.next_scn,
            next_time: log.next_time,
            blocks: log.blocks,
            block_size: log.block_size,
            creator: "RMAN".to_owned(),
            registrar: "RMAN".to_owned(),
            standby_dest: false,
            applied: false,
            deleted: false,
            completion: now,
            activation: control.activation,
            in_recovery_area: area,
            identity: None,
        };
        let key = (row.recid, row.stamp);
        control.archived.push(row);
        self.save_control().map_err(|e| broken(&e))?;
        Ok(key)
    }
}

impl Job for RestoreJob {
    fn next(&mut self, instance: &Arc<Instance>, tally: &mut Tally) -> Step {
        let mut events = std::mem::take(&mut self.first);
        if let Some((from, wanted)) = self.announced.take() {
            return match self.run(&from, &wanted, tally) {
                Ok(more) => {
                    events.extend(more);
                    Step { events, done: self.left.is_empty(), failure: None }
                }
                Err(failure) => Step::failed(events, failure),
            };
        }
        let mut inner = instance.lock();
        if inner.state < State::Mounted {
            return Step::failed(events, failed(&crate::instance::not_mounted()));
        }
        if self.request.mode == Mode::Preview {
            let event = match inner.control().map_err(|e| failed(&e)).and_then(|c| self.preview(c)) {
                Ok(event) => event,
                Err(failure) => return Step::failed(events, failure),
            };
            return Step::last(vec![event]);
        }
        match self.announce(&mut inner) {
            Ok((more, done)) => {
                events.extend(more);
                Step { events, done, failure: None }
            }
            Err(failure) => Step::failed(events, failure),
        }
    }
}

/// RESTORE ARCHIVELOG.
#[derive(Debug)]
pub(super) struct RestoreLogsJob {
    to: Option<PathBuf>,
    mode: Mode,
    left: Vec<SetLog>,
    first: Vec<Event>,
    bad: BadOnes,
    announced: Option<(SetPieces, Vec<(u32, PathBuf)>)>,
}

/// As much of a log's row as conditions look at.
pub(super) fn as_row(log: &SetLog) -> Archived {
    Archived {
        recid: 0,
        stamp: 0,
        name: None,
        dest_id: 1,
        thread: log.thread,
        sequence: log.sequence,
        resetlogs_scn: log.resetlogs_scn,
        resetlogs_time: log.resetlogs_time,
        resetlogs_id: log.resetlogs_id,
        first_scn: log.first_scn,
        first_time: log.first_time,
        next_scn: log.next_scn,
        next_time: log.next_time,
        blocks: log.blocks,
        block_size: log.block_size,
        creator: String::new(),
        registrar: String::new(),
        standby_dest: false,
        applied: false,
        deleted: false,
        completion: log.next_time,
        activation: 0,
        in_recovery_area: false,
        identity: None,
    }
}

impl RestoreLogsJob {
    pub(super) fn plan(
        instance: &Arc<Instance>,
        logs: &Logs,
        to: Option<PathBuf>,
        mode: Mode,
    ) -> Result<Self, Failure> {
        let inner = instance.lock();
        let control = inner.control().map_err(|e| failed(&e))?;
        let mut known: BTreeMap<(u64, u16, u32), SetLog> = BTreeMap::new();
        for log in control.rman.sets.iter().flat_map(|s| &s.logs) {
            if place::wanted_log(control, logs, &as_row(log)) {
                known.insert((log.resetlogs_scn, log.thread, log.sequence), log.clone());
            }
        }
        let mut first = Vec::new();
        let mut on_disk = BTreeSet::new();
        for log in place::local_logs(control, logs) {
            let path = PathBuf::from(log.name.clone().unwrap_or_default());
            let key = (log.resetlogs_scn, log.thread, log.sequence);
            if !path.is_file() {
                known.entry(key).or_insert_with(|| SetLog {
                    thread: log.thread,
                    sequence: log.sequence,
                    resetlogs_scn: log.resetlogs_scn,
                    resetlogs_time: log.resetlogs_time,
                    resetlogs_id: log.resetlogs_id,
                    first_scn: log.first_scn,
                    first_time: log.first_time,
                    next_scn: log.next_scn,
                    next_time: log.next_time,
                    blocks: log.blocks,
                    block_size: log.block_size,
                });
                continue;
            }
            if !on_disk.insert(key) {
                continue;
            }
            if mode == Mode::Validate {
                if let Err(e) = crate::redolog::Log::read(&path) {
                    let text = format!("archived log {} is corrupt: {e:?}", path.display());
                    return Err(Failure::new(vec![Message::ora(19599, text)]));
                }
                first.push(Event::ScannedLog { path });
                known.remove(&key);
            } else if to.as_ref().is_none_or(|t| path.starts_with(t)) {
                first.push(Event::LogOnDisk { thread: log.thread, sequence: log.sequence, path });
                known.remove(&key);
            }
        }
        if known.is_empty() && first.is_empty() {
            let text = "specification does not match any archived log in the repository";
            return Err(Failure::new(vec![Message::rman(20242, text)]));
        }
        let left = known.into_values().collect();
        Ok(Self { to, mode, left, first, bad: BadOnes::default(), announced: None })
    }

    fn announce(&mut self, inner: &mut Inner) -> Result<Vec<Event>, Failure> {
        loop {
            let control = inner.control().map_err(|e| failed(&e))?.clone();
            let lost: Vec<Message> = self
                .left
                .iter()
                .filter(|l| {
                    let sets = select::log_sets(
                        &control.rman,
                        l.thread,
                        l.sequence,
                        l.resetlogs_scn,
                        &self.bad.sets,
                    );
                    sets.is_empty()
                })
                .map(no_backup_of)
                .collect();
            if !lost.is_empty() {
                let mut lines = vec![Message::rman(6026, "some targets not found - aborting restore")];
                lines.extend(lost);
                return Err(Failure::new(lines));
            }
            let Some(log) = self.left.first() else { return Ok(Vec::new()) };
            let sets =
                select::log_sets(&control.rman, log.thread, log.sequence, log.resetlogs_scn, &self.bad.sets);
            let Some(set) = sets.first() else { return Ok(Vec::new()) };
            let Some(from) = SetPieces::of(&control, set, &self.bad.pieces) else {
                self.bad.sets.insert(select::key(set));
                continue;
            };
            let mut list = Vec::new();
            let mut shown = Vec::new();
            for (i, own) in from.set.logs.iter().enumerate() {
                let wanted = self.left.iter().any(|l| {
                    (l.thread, l.sequence, l.resetlogs_scn) == (own.thread, own.sequence, own.resetlogs_scn)
                });
                if wanted {
                    list.push((i as u32, inner.restored_log_path(own, self.to.as_deref())));
                    shown.push((own.thread, own.sequence));
                }
            }
            let mut events = vec![Event::RestoreStart {
                channel: 0,
                what: Restoring::Logs { logs: shown, to: self.to.clone() },
            }];
            events.extend(
                from.chosen().take(1).map(|p| Event::Reading { channel: 0, handle: p.handle.clone() }),
            );
            self.announced = Some((from, list));
            return Ok(events);
        }
    }
}

pub(super) fn no_backup_of(log: &SetLog) -> Message {
    Message::rman(
        6025,
        format!(
            "no backup of archived log for thread {} with sequence {} and starting SCN of {} found to restore",
            log.thread, log.sequence, log.first_scn
        ),
    )
}

impl Job for RestoreLogsJob {
    fn next(&mut self, instance: &Arc<Instance>, tally: &mut Tally) -> Step {
        let mut events = std::mem::take(&mut self.first);
        let Some((from, list)) = self.announced.take() else {
            if self.mode == Mode::Preview {
                return Step::last(events);
            }
            let mut inner = instance.lock();
            return match self.announce(&mut inner) {
                Ok(more) => {
                    events.extend(more);
                    Step { events, done: self.announced.is_none(), failure: None }
                }
                Err(failure) => Step::failed(events, failure),
            };
        };
        let begun = Instant::now();
        let result = match self.mode {
            Mode::Restore => pieces::restore_logs(&from, &list),
            Mode::Validate | Mode::Preview => from.validate(),
        };
        match result {
            Ok(()) => {}
            Err(bad) if bad.recid == 0 => return Step::failed(events, Failure::new(bad.lines)),
            Err(bad) => {
                let duplicate = self.bad.note(&from, &bad);
                events.push(Event::Failover { channel: 0, lines: bad.lines, duplicate });
                return Step { events, done: false, failure: None };
            }
        }
        for piece in from.chosen() {
            tally.input += piece.bytes;
            let (handle, tag, number) = (piece.handle.clone(), piece.tag.clone(), piece.piece);
            events.push(match self.mode {
                Mode::Validate => Event::PieceValidated { channel: 0, handle, tag, piece: number },
                _ => Event::PieceRead { channel: 0, handle, tag, piece: number },
            });
        }
        events.push(Event::RestoreEnd { channel: 0, seconds: begun.elapsed().as_secs() });
        for (index, path) in &list {
            let Some(log) = from.set.logs.get(*index as usize) else { continue };
            if self.mode == Mode::Restore {
                if let Err(failure) = instance.lock().enter_restored_log(log, path) {
                    return Step::failed(events, failure);
                }
            }
            self.left.retain(|l| {
                (l.thread, l.sequence, l.resetlogs_scn) != (log.thread, log.sequence, log.resetlogs_scn)
            });
        }
        Step { events, done: self.left.is_empty(), failure: None }
    }
}
