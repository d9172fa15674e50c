//! Media recovery: the redo of all threads, merged by SCN, onto copies of datafiles.

use std::{collections::BTreeMap, path::PathBuf};

use anyhow::{Context, Result};

use super::{
    io_error,
    life::{header_error, naming},
    logsource::{date, log_error, Need},
    Inner, Instance,
};
use crate::{
    apply::{Applier, Stuck, Target},
    controlfile::{Datafile, History, Kind},
    datafile::{self, HeaderError},
    engine::{OraError, Recover, Reply, State, Until, Value},
    oratime,
    record::{Body, Record},
    redolog::{Log, Position, OPEN_NAB, OPEN_SCN},
};

/// The redo of one thread.
#[derive(Debug)]
struct Stream {
    /// Everything below is applied or skipped.
    position: u64,
    time: u32,
    log: Option<(Log, Position, PathBuf)>,
    pending: Option<(Record, Position)>,
    /// Sequence of the last log that was read to its end.
    last: Option<u32>,
    /// The current log was read to its end: there is no more redo.
    ended: bool,
}

/// A recovery under way.
#[derive(Debug)]
pub(super) struct Session {
    request: Recover,
    cataloged: bool,
    until_scn: u64,
    until_time: Option<u32>,
    /// Redo below is for none of the files.
    start: u64,
    applier: Applier,
    streams: BTreeMap<u16, Stream>,
    finished: Option<PathBuf>,
}

/// Why the redo stopped.
enum Stop {
    Need(Need),
    Until(u64),
    /// All redo there is.
    Complete(u64),
}

fn fuzzy_error(file: &Datafile, flags: u16) -> Option<OraError> {
    let text = |code: u32, text: &str| Some(naming(OraError::new(code, text), file));
    let n = file.file;
    if flags & datafile::HOT_BACKUP != 0 {
        return text(1195, &format!("online backup of file {n} needs more recovery to be consistent"));
    }
    if flags & datafile::ONLINE_FUZZY != 0 {
        return text(1194, &format!("file {n} needs more recovery to be consistent"));
    }
    if flags & datafile::MEDIA_FUZZY != 0 {
        return text(1196, &format!("file {n} is inconsistent due to a failed media recovery session"));
    }
    None
}

fn warned(error: OraError) -> OraError {
    let mut all = OraError::new(1547, "warning: RECOVER succeeded but OPEN RESETLOGS would get error below");
    all.stack.extend(error.stack);
    all
}

impl Inner {
    /// What opening the recovered files would find.
    pub(super) fn check_recovered(&self) -> Result<(), OraError> {
        if self.recovery.is_some() {
            return Err(OraError::new(1156, "recovery or flashback in progress may need access to files"));
        }
        let control = self.control()?;
        let mut live = Vec::new();
        for file in control.datafiles.iter().filter(|f| !f.offline) {
            let header = self.header_of(file).map_err(|e| header_error(&e, file))?;
            self.check_identity(file, &header)?;
            if let Some(error) = fuzzy_error(file, header.flags) {
                return Err(error);
            }
            if file.read_only {
                if header.checkpoint_scn != file.checkpoint_scn {
                    return Err(naming(
                        OraError::new(1113, format!("file {} needs media recovery", file.file)),
                        file,
                    ));
                }
            } else {
                live.push((file, header.checkpoint_scn));
            }
        }
        let highest = live.iter().map(|(_, scn)| *scn).max().unwrap_or(0);
        if let Some((file, _)) = live.iter().find(|(_, scn)| *scn < highest) {
            let text = format!("file {} needs more recovery to be consistent", file.file);
            return Err(naming(OraError::new(1194, text), file));
        }
        Ok(())
    }

    fn check_identity(&self, file: &Datafile, header: &datafile::Header) -> Result<(), OraError> {
        let control = self.control()?;
        let failed = |code: u32, text: &str| {
            let first = OraError::new(1122, format!("database file {} failed verification check", file.file));
            Err(naming(first, file).then(code, text))
        };
        if header.dbid != control.dbid {
            return failed(1206, "file is not part of this database - wrong database id");
        }
        if header.file != file.file {
            return failed(1205, &format!("not a data file - type number in header is {}", header.file));
        }
        if header.creation_scn != file.creation_scn {
            return failed(1203, "wrong incarnation of this file - wrong creation SCN");
        }
        match control.incarnations.iter().find(|i| i.resetlogs_scn == header.resetlogs_scn) {
            None => {
                let text = format!("datafile {} belongs to an orphan incarnation", file.file);
                Err(naming(OraError::new(19909, text), file))
            }
            Some(i) if !i.current && !file.read_only => Err(naming(
                OraError::new(
                    1190,
                    format!("control file or data file {} is from before the last RESETLOGS", file.file),
                ),
                file,
            )),
            Some(_) => Ok(()),
        }
    }

    fn start_recovery(&self, request: &Recover, cataloged: bool) -> Result<Session, OraError> {
        match self.state {
            State::Down => return Err(OraError::new(1034, "ORACLE not available")),
            State::Nomount => return Err(super::not_mounted()),
            State::Mounted => {}
            State::OpenReadOnly | State::Open => {
                return Err(OraError::new(
                    1126,
                    "database must be mounted in this instance and not open in any instance",
                ))
            }
        }
        let control = self.control()?;
        match control.kind {
            Kind::Standby if !request.standby && !cataloged => {
                return Err(OraError::new(1666, "control file is for a standby database"));
            }
            Kind::Current | Kind::Backup if request.standby => {
                return Err(OraError::new(1665, "control file is not a standby control file"));
            }
            Kind::Backup if !request.using_backup_controlfile && !cataloged => {
                return Err(OraError::new(1610, "recovery using the BACKUP CONTROLFILE option must be done"));
            }
            _ => {}
        }
        let mut applier = Applier::default();
        let mut start = u64::MAX;
        let mut time = 0;
        for file in &control.datafiles {
            let header = match self.header_of(file) {
                Ok(header) => header,
                // Nothing is recovered in an offline file that was not restored.
                Err(_) if file.offline => continue,
                Err(e) => return Err(header_error(&e, file)),
            };
            self.check_identity(file, &header)?;
            let at_rest = (file.read_only || file.offline)
                && header.checkpoint_scn == file.checkpoint_scn
                && fuzzy_error(file, header.flags).is_none();
            if file.offline && !at_rest {
                continue;
            }
            if control.kind != Kind::Current && header.checkpoint_scn > control.scn {
                let first =
                    OraError::new(1122, format!("database file {} failed verification check", file.file));
                return Err(naming(first, file)
                    .then(1207, "file is more recent than control file - old control file"));
            }
            if !at_rest && header.checkpoint_scn < start {
                start = header.checkpoint_scn;
                time = header.checkpoint_time;
            }
            let mut target = Target::open(&file.path, header).map_err(|e| io_error(&e))?;
            target.stopped = at_rest;
            applier.files.insert(file.file, target);
        }
        if start == u64::MAX {
            return Err(OraError::new(264, "no recovery required"));
        }
        let (until_scn, until_time) = match request.until {
            Until::Change(scn) => (scn, None),
            Until::Time(time) => (u64::MAX, Some(oratime::pack(time))),
            Until::End | Until::Cancel => (u64::MAX, None),
        };
        let streams = control
            .threads
            .iter()
            .filter(|t| t.enabled)
            .map(|t| {
                let stream =
                    Stream { position: start, time, log: None, pending: None, last: None, ended: false };
                (t.thread, stream)
            })
            .collect();
        for target in applier.files.values_mut().filter(|t| !t.stopped) {
            if target.header.checkpoint_scn < until_scn {
                target.header.flags |= datafile::MEDIA_FUZZY;
                target.write_header().map_err(|e| io_error(&e))?;
            }
        }
        Ok(Session {
            request: request.clone(),
            cataloged,
            until_scn,
            until_time,
            start,
            applier,
            streams,
            finished: None,
        })
    }

    /// Applies until a log is needed or the end is reached.
    fn roll(&mut self, session: &mut Session) -> Result<Stop, OraError> {
        loop {
            let mut ended_logs = Vec::new();
            for (thread, stream) in &mut session.streams {
                if stream.pending.is_some() {
                    continue;
                }
                let Some((log, at, path)) = &mut stream.log else { continue };
                match log.record(*at) {
                    Some(Ok((record, next))) => {
                        stream.pending = Some((record, next));
                    }
                    Some(Err(e)) => return Err(log_error(&e, path, stream.position)),
                    None => {
                        let header = log.header.clone();
                        if header.next_scn == OPEN_SCN || header.nab == OPEN_NAB {
                            stream.ended = true;
                        } else {
                            stream.position = stream.position.max(header.next_scn);
                            stream.time = header.next_time;
                        }
                        stream.last = Some(header.sequence);
                        session.finished = Some(path.clone());
                        stream.log = None;
                        ended_logs.push((*thread, header));
                    }
                }
            }
            for (thread, header) in ended_logs {
                self.note_applied(thread, &header)?;
            }
            let head = session
                .streams
                .iter()
                .filter(|(_, s)| !s.ended)
                .map(|(t, s)| {
                    (s.pending.as_ref().map_or(s.position, |(r, _)| r.scn), s.pending.is_some(), *t)
                })
                .min();
            let Some((scn, is_record, thread)) = head else {
                let last = session.streams.values().map(|s| s.position).max().unwrap_or(0);
                return Ok(Stop::Complete(last + 1));
            };
            if scn >= session.until_scn {
                return Ok(Stop::Until(session.until_scn));
            }
            let Some(stream) = session.streams.get_mut(&thread) else { return Err(super::not_mounted()) };
            if !is_record {
                let sequence = match stream.last {
                    Some(last) => last + 1,
                    None => self.sequence_at(thread, scn),
                };
                return Ok(Stop::Need(Need { thread, scn, sequence, time: stream.time }));
            }
            let Some((record, next)) = stream.pending.take() else { continue };
            if let (Body::TimeMark { time }, Some(until)) = (&record.body, session.until_time) {
                if *time >= until {
                    stream.pending = Some((record, next));
                    return Ok(Stop::Until(scn));
                }
            }
            if record.scn < session.start {
                // Only the log that contains the start has such records.
            } else if let Err(error) = self.apply_one(session, &record) {
                // Not applied: it comes again when the cause is gone.
                if let Some(stream) = session.streams.get_mut(&thread) {
                    stream.pending = Some((record, next));
                }
                return Err(error);
            }
            if let Some(stream) = session.streams.get_mut(&thread) {
                stream.position = stream.position.max(record.scn);
                if let Body::TimeMark { time } = record.body {
                    stream.time = time;
                }
                if let Some((_, at, _)) = &mut stream.log {
                    *at = next;
                }
            }
            session.applier.flush_if_large().map_err(|e| io_error(&e))?;
        }
    }

    fn apply_one(&mut self, session: &mut Session, record: &Record) -> Result<(), OraError> {
        if let Body::FileAdd { file, ts, con_id, blocks, undo, ts_name, path } = &record.body {
            let new = super::standby::NewFile {
                file: *file,
                ts: *ts,
                con_id: *con_id,
                blocks: *blocks,
                undo: *undo,
                ts_name,
                path: std::path::Path::new(path),
                scn: record.scn,
            };
            if let Some(target) = self.add_recovered_file(&new)? {
                session.applier.files.insert(*file, target);
            }
            return Ok(());
        }
        let done = session.applier.apply(record).map_err(|e| self.stuck(&e, record))?;
        if !done {
            return Ok(());
        }
        let now = oratime::now();
        let control = self.control_mut().map_err(|e| io_error(&e))?;
        match &record.body {
            Body::FileResize { file, blocks } => {
                if let Some(rec) = control.datafile_mut(*file) {
                    rec.blocks = *blocks;
                }
            }
            Body::FileDrop { file } => control.datafiles.retain(|f| f.file != *file),
            Body::ReadOnly { file, on } | Body::Offline { file, on } => {
                let read_only = matches!(record.body, Body::ReadOnly { .. });
                let mut tablespace = None;
                if let Some(rec) = control.datafile_mut(*file) {
                    if read_only {
                        rec.read_only = *on;
                    } else {
                        rec.offline = *on;
                    }
                    if *on {
                        rec.checkpoint_scn = record.scn;
                        rec.checkpoint_time = now;
                    }
                    tablespace = Some((rec.con_id, rec.ts));
                }
                for t in &mut control.tablespaces {
                    if Some((t.con_id, t.ts)) == tablespace {
                        if read_only {
                            t.read_only = *on;
                        } else {
                            t.offline = *on;
                        }
                    }
                }
            }
            Body::Invalidate { file, block } => {
                self.corrupt.insert((*file, *block, record.scn));
            }
            _ => {}
        }
        Ok(())
    }

    /// How Oracle says that redo and block do not go together.
    fn stuck(&self, e: &Stuck, record: &Record) -> OraError {
        let canceled = OraError::new(283, "recovery session canceled due to errors");
        let (error, number) = match e {
            Stuck::Io(e) => return io_error(e),
            Stuck::Corrupt { file, block, .. } => (
                canceled
                    .then(10562, format!("Error occurred while applying redo to data block (file# {file}, block# {block})"))
                    .then(1578, format!("ORACLE data block corrupted (file # {file}, block # {block})")),
                *file,
            ),
            Stuck::Inconsistent { file, block, .. } => (
                canceled
                    .then(
                        600,
                        format!(
                            "internal error code, arguments: [3020], [{file}], [{block}], [{}], [], [], [], [], [], [], [], []",
                            crate::block::rdba(*file, *block)
                        ),
                    )
                    .then(
                        10567,
                        format!(
                            "Redo is inconsistent with data block (file# {file}, block# {block}, file offset is {} bytes)",
                            u64::from(*block) * crate::block::SIZE as u64
                        ),
                    ),
                *file,
            ),
        };
        let _ = record;
        let Some(file) = self.control.as_ref().and_then(|c| c.data.datafile(number)) else { return error };
        let ts = self.control.as_ref().and_then(|c| c.data.tablespace_of(file)).map(|t| t.name.clone());
        naming(error.then(10564, format!("tablespace {}", ts.unwrap_or_default())), file)
    }

    fn note_applied(&mut self, thread: u16, header: &crate::redolog::LogHeader) -> Result<(), OraError> {
        if header.next_scn == OPEN_SCN {
            return Ok(());
        }
        let control = self.control_mut().map_err(|e| io_error(&e))?;
        let Some(incarnation) = control.incarnation().cloned() else { return Ok(()) };
        let key = (thread, header.sequence, header.resetlogs_scn);
        for a in control.archived.iter_mut().filter(|a| (a.thread, a.sequence, a.resetlogs_scn) == key) {
            a.applied = true;
        }
        if !control.history.iter().any(|h| (h.thread, h.sequence, h.resetlogs_scn) == key) {
            control.last_recid += 1;
            control.history.push(History {
                recid: control.last_recid,
                thread,
                sequence: header.sequence,
                first_scn: header.low_scn,
                first_time: oratime::unpack(header.low_time).unwrap_or_default(),
                next_scn: header.next_scn,
                resetlogs_scn: header.resetlogs_scn,
                resetlogs_time: incarnation.resetlogs_time,
                resetlogs_id: header.resetlogs_id,
            });
        }
        Ok(())
    }

    /// Blocks and headers to disk, checkpointed at `scn`: a later recovery goes on from there.
    fn keep(&mut self, session: &mut Session, scn: u64, complete: bool) -> Result<()> {
        session.applier.flush()?;
        let now = oratime::now();
        for (number, target) in &mut session.applier.files {
            target.header.flags &= !datafile::MEDIA_FUZZY;
            if !target.stopped {
                if complete {
                    target.header.flags &= !(datafile::HOT_BACKUP | datafile::ONLINE_FUZZY);
                }
                if target.header.checkpoint_scn < scn {
                    target.header.checkpoint_scn = scn;
                    target.header.checkpoint_time =
                        session.streams.values().map(|s| s.time).max().unwrap_or(0);
                }
                target.header.checkpoint_count += 1;
            }
            // A dropped file may be gone, a file at rest is not touched.
            if !target.stopped {
                target.write_header()?;
            }
            let header = target.header.clone();
            let stopped = target.stopped;
            let control = self.control_mut()?;
            if let Some(rec) = control.datafile_mut(*number) {
                if !stopped {
                    rec.checkpoint_scn = header.checkpoint_scn;
                    rec.checkpoint_time = oratime::unpack(header.checkpoint_time).unwrap_or(now);
                    rec.checkpoint_count = header.checkpoint_count;
                    if complete {
                        rec.backup_active = false;
                    }
                }
            }
        }
        self.scn = self.scn.max(scn);
        let control = self.control_open()?;
        if control.data.kind != Kind::Current {
            control.data.scn = control.data.scn.max(scn);
            control.data.time = now;
        }
        if complete && control.data.kind == Kind::Current {
            // OPEN still does its crash recovery, which finds everything done.
            control.data.scn = control.data.scn.max(scn);
        }
        control.rewrite()
    }

    fn needed(&self, need: &Need, session: &Session, more: Option<OraError>) -> OraError {
        let suggestion = self.suggestion(need, session.request.from.as_deref());
        let mut error = OraError::new(
            279,
            format!("change {} generated at {} needed for thread {}", need.scn, date(need.time), need.thread),
        )
        .then(289, format!("suggestion : {}", suggestion.display()))
        .then(
            280,
            format!("change {} for thread {} is in sequence #{}", need.scn, need.thread, need.sequence),
        );
        if let Some(done) = &session.finished {
            error =
                error.then(278, format!("log file '{}' no longer needed for this recovery", done.display()));
        }
        if let Some(more) = more {
            error.stack.extend(more.stack);
        }
        error
    }

    fn feed(session: &mut Session, need: &Need, log: Log, path: PathBuf) {
        if let Some(stream) = session.streams.get_mut(&need.thread) {
            stream.log = Some((log, Position::START, path));
        }
    }

    /// What is inconsistent when recovery has come to its end at `scn`.
    fn verdict(&self, session: &Session, scn: u64) -> Result<(), OraError> {
        let control = self.control()?;
        for file in &control.datafiles {
            let Some(target) = session.applier.files.get(&file.file).filter(|t| !t.stopped) else { continue };
            if target.header.checkpoint_scn > scn {
                let text = format!("file {} was not restored from a sufficiently old backup", file.file);
                return Err(warned(naming(OraError::new(1152, text), file)));
            }
            if let Some(error) = fuzzy_error(file, target.header.flags & !datafile::MEDIA_FUZZY) {
                return Err(warned(error));
            }
        }
        Ok(())
    }

    /// Rolls on with whatever logs the session may take by itself.
    fn go_on(&mut self, mut session: Session) -> Result<Reply, OraError> {
        loop {
            match self.roll(&mut session) {
                Err(error) => {
                    let at = session.position();
                    self.keep(&mut session, at, false).map_err(|e| io_error(&e))?;
                    return Err(error);
                }
                Ok(Stop::Until(scn)) => {
                    self.keep(&mut session, scn, false).map_err(|e| io_error(&e))?;
                    self.verdict(&session, scn)?;
                    return Ok(Reply { notes: vec!["Media recovery complete.".to_owned()] });
                }
                Ok(Stop::Complete(scn)) => {
                    self.keep(&mut session, scn, true).map_err(|e| io_error(&e))?;
                    self.verdict(&session, scn)?;
                    return Ok(Reply { notes: vec!["Media recovery complete.".to_owned()] });
                }
                Ok(Stop::Need(need)) => {
                    if let Some((log, path)) = self.online_log(&need) {
                        Self::feed(&mut session, &need, log, path);
                        continue;
                    }
                    self.keep(&mut session, need.scn, false).map_err(|e| io_error(&e))?;
                    let path = if session.cataloged {
                        self.cataloged(&need)
                    } else if session.request.automatic {
                        Some(self.suggestion(&need, session.request.from.as_deref()))
                    } else {
                        let error = self.needed(&need, &session, None);
                        self.recovery = Some(session);
                        return Err(error);
                    };
                    let Some(path) = path else { return Err(self.needed(&need, &session, None)) };
                    match self.read_needed(&path, &need) {
                        Ok(log) => Self::feed(&mut session, &need, log, path),
                        Err(e) if matches!(e.code(), 308) => {
                            return Err(self.needed(&need, &session, Some(e)))
                        }
                        Err(e) => return Err(e),
                    }
                }
            }
        }
    }

    /// Logs that recovery of the present files would need and that the control file knows.
    pub(super) fn recovery_log_rows(&self) -> Vec<Vec<Value>> {
        let Some(control) = self.control.as_ref().map(|c| &c.data) else { return Vec::new() };
        if self.state != State::Mounted {
            return Vec::new();
        }
        let headers = control
            .datafiles
            .iter()
            .filter(|f| !f.offline && !f.read_only)
            .filter_map(|f| self.header_of(f).ok());
        let Some(start) = headers.map(|h| h.checkpoint_scn).min() else { return Vec::new() };
        control
            .archived
            .iter()
            .filter(|a| a.next_scn > start && !a.standby_dest)
            .map(|a| {
                let name = a.name.clone().map_or(Value::Null, Value::Text);
                let number = |v: u32| Value::Int(i64::from(v));
                vec![
                    number(u32::from(a.thread)),
                    number(a.sequence),
                    Value::Date(a.first_time),
                    name,
                    number(0),
                ]
            })
            .collect()
    }
}

impl Session {
    /// Everything below is applied in all threads.
    fn position(&self) -> u64 {
        let heads = self.streams.values().map(|s| s.pending.as_ref().map_or(s.position, |(r, _)| r.scn));
        heads.min().unwrap_or(0)
    }
}

impl Instance {
    pub(super) fn recover(&self, request: &Recover, cataloged: bool) -> Result<Reply, OraError> {
        let mut inner = self.lock();
        // The session of a client that has gone.
        inner.recovery = None;
        let session = inner.start_recovery(request, cataloged)?;
        inner.go_on(session)
    }

    /// Takes one file into the session that waits for a log.
    pub(super) fn recover_logfile(&self, path: Option<&std::path::Path>) -> Result<Reply, OraError> {
        let mut inner = self.lock();
        let Some(mut session) = inner.recovery.take() else {
            return Err(OraError::new(1112, "media recovery not started"));
        };
        let need = match inner.roll(&mut session) {
            Ok(Stop::Need(need)) => need,
            Ok(_) => return inner.go_on(session),
            Err(e) => return Err(e),
        };
        let path = match path {
            Some(path) => path.to_owned(),
            None => inner.suggestion(&need, session.request.from.as_deref()),
        };
        // Somebody who names an online log gets it applied.
        let read = inner.read_needed(&path, &need).or_else(|e| match Log::read_online(&path) {
            Ok(log) if e.code() == 332 && log.header.nab == OPEN_NAB => Ok(log),
            _ => Err(e),
        });
        match read {
            Ok(log) => {
                Inner::feed(&mut session, &need, log, path);
                inner.go_on(session)
            }
            Err(error) => {
                inner.recovery = Some(session);
                Err(error)
            }
        }
    }

    pub(super) fn recover_cancel(&self) -> Result<Reply, OraError> {
        let mut inner = self.lock();
        let Some(mut session) = inner.recovery.take() else {
            return Err(OraError::new(1112, "media recovery not started"));
        };
        let scn = session.position();
        inner.keep(&mut session, scn, false).map_err(|e| io_error(&e))?;
        inner.verdict(&session, scn)?;
        Ok(Reply { notes: vec!["Media recovery cancelled.".to_owned()] })
    }
}

impl Inner {
    /// Files are recovered: the copy becomes a database of its own, with logs of its own.
    pub(super) fn become_primary(&mut self) -> Result<()> {
        let directory = self.spec.log_dir.clone().unwrap_or_else(|| self.dir.join("onlinelog"));
        std::fs::create_dir_all(&directory).with_context(|| format!("make {}", directory.display()))?;
        let scn = self
            .control()
            .map_err(|e| anyhow::anyhow!("{:?}", e.stack))?
            .datafiles
            .iter()
            .filter(|f| !f.offline && !f.read_only)
            .filter_map(|f| self.header_of(f).ok())
            .map(|h| h.checkpoint_scn)
            .max()
            .unwrap_or(0);
        let control = self.control_mut()?;
        for log in &mut control.logs {
            log.path = directory.join(log.path.file_name().context("a log without a name")?);
            log.identity = None;
            let file =
                std::fs::File::create(&log.path).with_context(|| format!("make {}", log.path.display()))?;
            file.set_len(log.bytes).with_context(|| format!("size {}", log.path.display()))?;
        }
        // Temporary files are never copied; somebody has to add new ones.
        control.tempfiles.clear();
        control.kind = Kind::Current;
        control.in_use = false;
        for file in &mut control.datafiles {
            file.identity = None;
        }
        self.scn = scn;
        let datafiles = self.control_mut()?.datafiles.clone();
        for rec in datafiles.iter().filter(|f| !f.offline) {
            self.open_file(rec, true)?;
        }
        let (ledger, _) = crate::truth::Ledger::open(&self.dir)?;
        self.ledger = Some(ledger);
        self.new_incarnation()?;
        self.control_mut()?.in_use = true;
        self.save_control()?;
        self.state = State::Open;
        Ok(())
    }
}

/// So that a header error of a file that recovery made itself is not lost.
impl From<HeaderError> for OraError {
    fn from(e: HeaderError) -> Self {
        OraError::new(1122, e.text())
    }
}
