//! RECOVER: increments from pieces, then archived logs from disk or from pieces, each said when it is applied.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
    time::Instant,
};

use super::{
    messages::{failed, ora},
    pieces::{self, SetPieces},
    place,
    restore::{as_row, no_backup_of, skipped, BadOnes},
    until::{self, Limit},
    Job, Tally,
};
use crate::{
    controlfile::{ControlFile, Datafile, Kind},
    engine::{self, State},
    instance::{io_error, logsource::Need, recover::Session as MediaRecovery, roll::Stop, Inner, Instance},
    pieces::{
        api::{Event, Failure, Message, Recover, Restoring, Step},
        records::SetLog,
        select::{self, Choice},
    },
    redolog::Log,
};

/// A backup set with increments, and the files that it brings forward.
type Increment = (SetPieces, Vec<(u32, PathBuf)>);

#[derive(Debug)]
enum Phase {
    Increments,
    Increment(SetPieces, Vec<(u32, PathBuf)>),
    Start,
    Roll(Box<MediaRecovery>),
    RestoreLogs(Box<MediaRecovery>, SetPieces, Vec<(u32, PathBuf)>),
}

#[derive(Debug)]
pub(super) struct RecoverJob {
    request: Recover,
    limit: Limit,
    files: BTreeSet<u32>,
    phase: Option<Phase>,
    bad: BadOnes,
    begun: Instant,
    /// Logs that came out of pieces for this recovery: path, RECID, STAMP.
    restored: BTreeMap<PathBuf, (u32, u32)>,
    /// The restored log that is being applied.
    applying: Option<PathBuf>,
}

/// Files that recovery leaves as they are.
fn at_rest(inner: &Inner, file: &Datafile) -> bool {
    (file.read_only || file.offline)
        && inner
            .header_of(file)
            .is_ok_and(|h| h.checkpoint_scn == file.checkpoint_scn && h.fuzzy_until().is_none())
}

fn later(phase: Phase, events: Vec<Event>) -> (Option<Phase>, Step) {
    (Some(phase), Step { events, done: false, failure: None })
}

impl RecoverJob {
    pub(super) fn plan(instance: &Arc<Instance>, request: &Recover) -> Result<Self, Failure> {
        let inner = instance.lock();
        inner.not_recovering().map_err(|e| failed(&e))?;
        let control = inner.control().map_err(|e| failed(&e))?;
        let limit = until::resolve(control, request.until.as_ref())?;
        let mut files = BTreeSet::new();
        let mut wanting = Vec::new();
        for file in place::files(control, &request.files)? {
            if skipped(control, &request.skip, &file) || file.creation_scn >= limit.scn {
                continue;
            }
            if inner.state >= State::OpenReadOnly && inner.files.contains_key(&file.file) {
                let text = format!("cannot recover data file {} - file is in use or recovery", file.file);
                let error =
                    engine::OraError::new(283, "recovery session canceled due to errors").then(1124, text);
                return Err(failed(&crate::instance::life::naming(error, &file)));
            }
            match inner.header_of(&file) {
                Ok(header) => {
                    // Read only files may well be as they were made so later.
                    if header.checkpoint_scn > limit.scn && !file.read_only && !file.offline {
                        return Err(Failure::new(vec![Message::rman(
                            6556,
                            format!(
                                "datafile {} must be restored from backup older than SCN {}",
                                file.file, limit.scn
                            ),
                        )]));
                    }
                    files.insert(file.file);
                }
                Err(_) if file.offline => {}
                Err(_) => wanting.push(file.file),
            }
        }
        if !wanting.is_empty() {
            let lines = wanting
                .iter()
                .map(|f| Message::rman(6094, format!("datafile {f} must be restored")))
                .collect();
            return Err(Failure::new(lines));
        }
        Ok(Self {
            request: request.clone(),
            limit,
            files,
            phase: Some(Phase::Increments),
            bad: BadOnes::default(),
            begun: Instant::now(),
            restored: BTreeMap::new(),
            applying: None,
        })
    }

    /// The next set whose increments bring some files forward.
    fn next_increment(&mut self, inner: &Inner) -> Result<Option<Increment>, Failure> {
        loop {
            let control = inner.control().map_err(|e| failed(&e))?;
            let lineage = control.lineage();
            let choice = Choice {
                records: &control.rman,
                lineage: &lineage,
                until: self.limit.scn,
                until_time: self.limit.time,
                tag: None,
                failed: &self.bad.sets,
            };
            let mut found = None;
            let mut list = Vec::new();
            for file in control.datafiles.iter().filter(|f| self.files.contains(&f.file)) {
                if at_rest(inner, file) {
                    continue;
                }
                let Ok(header) = inner.header_of(file) else { continue };
                // Above its checkpoint only what restore left is known to be right.
                if header.flags != 0 {
                    continue;
                }
                let Some((set, _)) = choice.increment(file.file, file.creation_scn, header.checkpoint_scn)
                else {
                    continue;
                };
                match &found {
                    None => found = Some(set.clone()),
                    Some(first) if select::key(first) != select::key(set) => continue,
                    Some(_) => {}
                }
                list.push((file.file, file.path.clone()));
            }
            let Some(set) = found else { return Ok(None) };
            match SetPieces::of(control, &set, &self.bad.pieces) {
                Some(from) => return Ok(Some((from, list))),
                None => {
                    self.bad.sets.insert(select::key(&set));
                }
            }
        }
    }

    fn increments(&mut self, instance: &Instance) -> (Option<Phase>, Step) {
        let inner = instance.lock();
        match self.next_increment(&inner) {
            Err(failure) => (None, Step::failed(Vec::new(), failure)),
            Ok(Some((from, list))) => {
                let events = vec![
                    Event::RestoreStart { channel: 0, what: Restoring::Incremental(list.clone()) },
                    Event::Reading {
                        channel: 0,
                        handle: from.chosen().next().map(|p| p.handle.clone()).unwrap_or_default(),
                    },
                ];
                later(Phase::Increment(from, list), events)
            }
            Ok(None) if self.request.noredo => (None, Step::last(Vec::new())),
            Ok(None) => later(Phase::Start, Vec::new()),
        }
    }

    fn increment(
        &mut self,
        from: &SetPieces,
        list: &[(u32, PathBuf)],
        tally: &mut Tally,
    ) -> (Option<Phase>, Step) {
        let begun = Instant::now();
        match pieces::apply_increment(from, list) {
            Ok(()) => {
                let mut events: Vec<Event> = Vec::new();
                for (i, piece) in from.chosen().enumerate() {
                    if i > 0 {
                        events.push(Event::Reading { channel: 0, handle: piece.handle.clone() });
                    }
                    tally.input += piece.bytes;
                    events.push(Event::PieceRead {
                        channel: 0,
                        handle: piece.handle.clone(),
                        tag: piece.tag.clone(),
                        piece: piece.piece,
                    });
                }
                events.push(Event::RestoreEnd { channel: 0, seconds: begun.elapsed().as_secs() });
                later(Phase::Increments, events)
            }
            Err(bad) if bad.recid == 0 => (None, Step::failed(Vec::new(), Failure::new(bad.lines))),
            Err(bad) => {
                let duplicate = self.bad.note(from, &bad);
                later(Phase::Increments, vec![Event::Failover { channel: 0, lines: bad.lines, duplicate }])
            }
        }
    }

    fn start(&mut self, instance: &Instance) -> (Option<Phase>, Step) {
        let inner = instance.lock();
        let request = engine::Recover {
            automatic: true,
            from: None,
            standby: false,
            using_backup_controlfile: inner.control().is_ok_and(|c| c.kind == Kind::Backup),
            until: match (self.limit.time, self.limit.scn) {
                (Some(time), _) => engine::Until::Time(time),
                (None, u64::MAX) => engine::Until::End,
                (None, scn) => engine::Until::Change(scn),
            },
        };
        let session = match inner.start_recovery(&request, true, Some(&self.files)) {
            Ok(session) => session,
            // Every file is where it has to be.
            Err(e) if e.code() == 264 => {
                let events = vec![
                    Event::MediaRecoveryStart,
                    Event::MediaRecoveryComplete { seconds: self.begun.elapsed().as_secs() },
                ];
                return (None, Step::last(events));
            }
            Err(e) => return (None, Step::failed(Vec::new(), failed(&e))),
        };
        let mut events = vec![Event::MediaRecoveryStart];
        match self.look_ahead(&inner, session.start) {
            Ok(more) => events.extend(more),
            Err(failure) => {
                // Its files were marked as being recovered; they are not.
                let mut session = session;
                let at = session.start;
                drop(inner);
                let _ = instance.lock().keep(&mut session, at, false);
                return (None, Step::failed(events, failure));
            }
        }
        later(Phase::Roll(Box::new(session)), events)
    }

    /// Says which logs are on disk, and refuses when a log that is known is nowhere.
    fn look_ahead(&self, inner: &Inner, start: u64) -> Result<Vec<Event>, Failure> {
        let control = inner.control().map_err(|e| failed(&e))?;
        let (mut events, mut lost) = (Vec::new(), Vec::new());
        if start >= self.limit.scn {
            // All files are where recovery is to end: no redo is needed.
            return Ok(events);
        }
        for log in select::known_logs(control) {
            let enabled = control.threads.iter().any(|t| t.thread == log.thread && t.enabled);
            if log.next_scn <= start || log.first_scn >= self.limit.scn || !enabled {
                continue;
            }
            if self.limit.time.is_some_and(|t| begins_after(control, log, t)) {
                continue;
            }
            let need = Need {
                thread: log.thread,
                scn: log.first_scn.max(start),
                sequence: log.sequence,
                time: 0,
                resetlogs: log.resetlogs_scn,
            };
            if let Some(path) = inner.cataloged(&need) {
                events.push(Event::LogOnDisk { thread: log.thread, sequence: log.sequence, path });
            } else if let Some((_, path)) = inner.online_log(&need) {
                events.push(Event::LogOnDisk { thread: log.thread, sequence: log.sequence, path });
            } else if select::log_sets(
                &control.rman,
                log.thread,
                log.sequence,
                log.resetlogs_scn,
                &self.bad.sets,
            )
            .is_empty()
            {
                lost.push(log);
            }
        }
        if lost.is_empty() {
            return Ok(events);
        }
        let mut lines = vec![Message::rman(6053, "unable to perform media recovery because of missing log")];
        for log in lost.iter().rev() {
            lines.push(Message::rman(
                6025,
                format!(
                    "no backup of archived log for thread {} with sequence {} and starting SCN of {} found to restore",
                    log.thread, log.sequence, log.first_scn
                ),
            ));
        }
        Err(Failure::new(lines))
    }

    fn end(&self, inner: &mut Inner, session: &mut MediaRecovery, scn: u64, complete: bool) -> Step {
        if let Err(e) = inner.keep(session, scn, complete) {
            return Step::failed(Vec::new(), failed(&io_error(&e)));
        }
        let mut events = Vec::new();
        if let Err(e) = inner.verdict(session, scn) {
            events.push(Event::OracleError(ora(&e)));
        }
        events.push(Event::MediaRecoveryComplete { seconds: self.begun.elapsed().as_secs() });
        Step::last(events)
    }

    fn drop_applied(&mut self, inner: &mut Inner, events: &mut Vec<Event>) {
        let Some(path) = self.applying.take().filter(|_| self.request.delete_archivelog) else { return };
        let Some((recid, stamp)) = self.restored.get(&path).copied() else { return };
        if std::fs::remove_file(&path).is_ok() {
            if let Ok(control) = inner.control_mut() {
                for a in control.archived.iter_mut().filter(|a| a.recid == recid) {
                    a.deleted = true;
                }
            }
            events.push(Event::RestoredLogDeleted { path, recid, stamp });
        }
    }

    fn roll(&mut self, instance: &Instance, mut session: Box<MediaRecovery>) -> (Option<Phase>, Step) {
        let mut inner = instance.lock();
        let mut events = Vec::new();
        loop {
            let stop = match inner.roll(&mut session) {
                Ok(stop) => stop,
                Err(error) => {
                    let at = session.position();
                    if let Err(e) = inner.keep(&mut session, at, false) {
                        return (None, Step::failed(events, failed(&io_error(&e))));
                    }
                    return (None, Step::failed(events, failed(&error)));
                }
            };
            self.drop_applied(&mut inner, &mut events);
            let need = match stop {
                Stop::Until(scn) => {
                    let mut step = self.end(&mut inner, &mut session, scn, false);
                    events.append(&mut step.events);
                    return (None, Step { events, ..step });
                }
                Stop::Complete(scn) => {
                    let mut step = self.end(&mut inner, &mut session, scn, true);
                    events.append(&mut step.events);
                    return (None, Step { events, ..step });
                }
                Stop::Need(need) => need,
            };
            let (thread, sequence) = (need.thread, need.sequence);
            let on_disk = inner.cataloged(&need).map(|path| (Self::checked(&inner, &path, &need), path));
            let (read, path) = match on_disk {
                Some(found) => found,
                None => match inner.online_log(&need) {
                    // It is used without a word, as a part of the database.
                    Some((log, path)) => {
                        Inner::feed(&mut session, &need, log, path.clone());
                        events.push(Event::LogApplied { thread, sequence, path });
                        continue;
                    }
                    None => match Self::unrecorded(&inner, &need) {
                        Some((log, path)) => (Ok(log), path),
                        None => return self.fetch(&mut inner, session, &need, events),
                    },
                },
            };
            match read {
                Ok(log) => {
                    Inner::feed(&mut session, &need, log, path.clone());
                    events.push(Event::LogApplied { thread, sequence, path: path.clone() });
                    self.applying = Some(path);
                    // One log at a time, so that a client that dies leaves the rest.
                    return later(Phase::Roll(session), events);
                }
                Err(error) => {
                    if let Err(e) = inner.keep(&mut session, need.scn, false) {
                        return (None, Step::failed(events, failed(&io_error(&e))));
                    }
                    return (None, Step::failed(events, failed(&error)));
                }
            }
        }
    }

    fn checked(inner: &Inner, path: &std::path::Path, need: &Need) -> Result<Log, engine::OraError> {
        inner.read_needed(path, need)
    }

    /// With a restored control file RMAN also looks where LOG_ARCHIVE_DEST_1 and LOG_ARCHIVE_FORMAT would have put a log of
    /// which the control file does not know yet.
    fn unrecorded(inner: &Inner, need: &Need) -> Option<(Log, PathBuf)> {
        if inner.control().ok()?.kind != Kind::Backup {
            return None;
        }
        let path = inner.suggestion(need, None);
        Some((inner.read_needed(&path, need).ok()?, path))
    }

    /// The log is not on disk: it comes out of a piece, or recovery ends.
    fn fetch(
        &mut self,
        inner: &mut Inner,
        mut session: Box<MediaRecovery>,
        need: &Need,
        mut events: Vec<Event>,
    ) -> (Option<Phase>, Step) {
        let control = match inner.control() {
            Ok(control) => control.clone(),
            Err(e) => return (None, Step::failed(events, failed(&e))),
        };
        loop {
            let sets =
                select::log_sets(&control.rman, need.thread, need.sequence, need.resetlogs, &self.bad.sets);
            let Some(set) = sets.first() else { break };
            let Some(from) = SetPieces::of(&control, set, &self.bad.pieces) else {
                self.bad.sets.insert(select::key(set));
                continue;
            };
            let mut list = Vec::new();
            let mut shown = Vec::new();
            for (i, log) in from.set.logs.iter().enumerate() {
                let useful = log.next_scn > session.start && log.first_scn < self.limit.scn;
                let there = Need {
                    thread: log.thread,
                    scn: log.first_scn,
                    sequence: log.sequence,
                    time: 0,
                    resetlogs: log.resetlogs_scn,
                };
                let own = (log.thread, log.sequence, log.resetlogs_scn)
                    == (need.thread, need.sequence, need.resetlogs);
                // With DELETE ARCHIVELOG only one log at a time takes room.
                let more = !self.request.delete_archivelog
                    && useful
                    && !as_row(log).deleted
                    && inner.cataloged(&there).is_none()
                    && log.first_scn >= need.scn;
                if own || more {
                    list.push((i as u32, inner.restored_log_path(log, self.request.destination.as_deref())));
                    shown.push((log.thread, log.sequence));
                }
            }
            events.push(Event::RestoreStart {
                channel: 0,
                what: Restoring::Logs { logs: shown, to: self.request.destination.clone() },
            });
            events.extend(
                from.chosen().take(1).map(|p| Event::Reading { channel: 0, handle: p.handle.clone() }),
            );
            return later(Phase::RestoreLogs(session, from, list), events);
        }
        let known = control.rman.sets.iter().flat_map(|s| &s.logs).find(|l: &&SetLog| {
            (l.thread, l.sequence, l.resetlogs_scn) == (need.thread, need.sequence, need.resetlogs)
        });
        let lines = match known {
            // Its last backup has just turned out to be bad.
            Some(log) => vec![
                Message::rman(6053, "unable to perform media recovery because of missing log"),
                no_backup_of(log),
            ],
            None => vec![Message::rman(
                6054,
                format!(
                    "media recovery requesting unknown archived log for thread {} with sequence {} and starting SCN of {}",
                    need.thread, need.sequence, need.scn
                ),
            )],
        };
        if let Err(e) = inner.keep(&mut session, need.scn, false) {
            return (None, Step::failed(events, failed(&io_error(&e))));
        }
        let before = inner.verdict(&session, need.scn).err().map(|e| ora(&e)).unwrap_or_default();
        (None, Step::failed(events, Failure { before, ..Failure::new(lines) }))
    }

    fn restore_logs(
        &mut self,
        instance: &Instance,
        session: Box<MediaRecovery>,
        from: &SetPieces,
        list: &[(u32, PathBuf)],
        tally: &mut Tally,
    ) -> (Option<Phase>, Step) {
        let begun = Instant::now();
        let mut events = Vec::new();
        if let Err(bad) = pieces::restore_logs(from, list) {
            let mut session = session;
            if bad.recid == 0 {
                let at = session.position();
                let _ = instance.lock().keep(&mut session, at, false);
                return (None, Step::failed(events, Failure::new(bad.lines)));
            }
            let duplicate = self.bad.note(from, &bad);
            events.push(Event::Failover { channel: 0, lines: bad.lines, duplicate });
            return later(Phase::Roll(session), events);
        }
        for piece in from.chosen() {
            tally.input += piece.bytes;
            events.push(Event::PieceRead {
                channel: 0,
                handle: piece.handle.clone(),
                tag: piece.tag.clone(),
                piece: piece.piece,
            });
        }
        events.push(Event::RestoreEnd { channel: 0, seconds: begun.elapsed().as_secs() });
        let mut inner = instance.lock();
        for (index, path) in list {
            let Some(log) = from.set.logs.get(*index as usize) else { continue };
            match inner.enter_restored_log(log, path) {
                Ok(key) => {
                    self.restored.insert(path.clone(), key);
                }
                Err(failure) => return (None, Step::failed(events, failure)),
            }
        }
        later(Phase::Roll(session), events)
    }
}

/// Whether a log begins at or after a time, as far as its rows tell.
fn begins_after(control: &ControlFile, log: select::KnownLog, time: chrono::NaiveDateTime) -> bool {
    let key = (log.thread, log.sequence, log.resetlogs_scn);
    let archived = control.archived.iter().find(|a| (a.thread, a.sequence, a.resetlogs_scn) == key);
    let history = control.history.iter().find(|h| (h.thread, h.sequence, h.resetlogs_scn) == key);
    let backed = control.rman.sets.iter().flat_map(|s| &s.logs);
    let backed = backed.clone().find(|l| (l.thread, l.sequence, l.resetlogs_scn) == key);
    let first =
        archived.map(|a| a.first_time).or(history.map(|h| h.first_time)).or(backed.map(|l| l.first_time));
    first.is_some_and(|f| f > time)
}

impl Job for RecoverJob {
    fn next(&mut self, instance: &Arc<Instance>, tally: &mut Tally) -> Step {
        let Some(phase) = self.phase.take() else { return Step::last(Vec::new()) };
        if instance.lock().state < State::Mounted {
            return Step::failed(Vec::new(), failed(&crate::instance::not_mounted()));
        }
        let (next, step) = match phase {
            Phase::Increments => self.increments(instance),
            Phase::Increment(from, list) => self.increment(&from, &list, tally),
            Phase::Start => self.start(instance),
            Phase::Roll(session) => self.roll(instance, session),
            Phase::RestoreLogs(session, from, list) => {
                self.restore_logs(instance, session, &from, &list, tally)
            }
        };
        self.phase = next;
        step
    }
}
