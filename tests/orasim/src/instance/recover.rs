//! Media recovery: the redo of all threads, merged by SCN, onto copies of datafiles.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use anyhow::Result;

use super::{
    consistency::fuzzy_error,
    io_error,
    life::{header_error, naming},
    logsource::{date, Need},
    roll::{Stop, Stream},
    Inner, Instance,
};
use crate::{
    apply::{Applier, Target},
    controlfile::Kind,
    datafile,
    engine::{OraError, Recover, Reply, State, Until, Value},
    oratime,
    redolog::{Log, Position, OPEN_NAB},
};

/// A recovery under way.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) request: Recover,
    pub(super) cataloged: bool,
    pub(super) until_scn: u64,
    pub(super) until_time: Option<u32>,
    /// Redo below is for none of the files.
    pub(super) start: u64,
    pub(super) applier: Applier,
    pub(super) streams: BTreeMap<u16, Stream>,
    pub(super) finished: Option<PathBuf>,
    /// Where parents end and their children begin, by RESETLOGS_CHANGE#.
    pub(super) ends: BTreeMap<u64, u64>,
}

impl Inner {
    /// `only`: RMAN's RECOVER of some files.
    pub(super) fn start_recovery(
        &self,
        request: &Recover,
        cataloged: bool,
        only: Option<&BTreeSet<u32>>,
    ) -> Result<Session, OraError> {
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
        for file in control.datafiles.iter().filter(|f| only.is_none_or(|o| o.contains(&f.file))) {
            let header = match self.header_of(file) {
                Ok(header) => header,
                // Nothing is recovered in an offline file that was not restored.
                Err(_) if file.offline => continue,
                Err(e) => return Err(header_error(&e, file)),
            };
            self.check_identity(file, &header)?;
            let at_rest = (file.read_only || file.offline)
                && header.checkpoint_scn == file.checkpoint_scn
                && fuzzy_error(file, &header).is_none();
            if file.offline && !at_rest {
                continue;
            }
            let old_control = control.kind == Kind::Standby || (control.kind == Kind::Backup && !cataloged);
            if old_control && header.checkpoint_scn > control.scn {
                let first =
                    OraError::new(1122, format!("database file {} failed verification check", file.file));
                return Err(naming(first, file)
                    .then(1207, "file is more recent than control file - old control file"));
            }
            if !at_rest && header.checkpoint_scn < start {
                start = header.checkpoint_scn;
                time = header.checkpoint_time;
            }
            let mut target = Target::open(&file.path, header).map_err(|e| {
                let text = format!("cannot identify/lock data file {} - see DBWR trace file", file.file);
                naming(OraError::new(1157, text), file)
                    .then(27086, format!("unable to lock file - already in use\n{e:#}"))
            })?;
            target.stopped = at_rest;
            applier.files.insert(file.file, target);
        }
        if start == u64::MAX {
            return Err(OraError::new(264, "no recovery required"));
        }
        if cataloged && control.kind == Kind::Backup && control.scn < start {
            // What happened to the files' list since the control file was backed up is in the redo as well.
            start = control.scn;
            time = oratime::pack(control.time);
        }
        let (until_scn, until_time) = match request.until {
            Until::Change(scn) => (scn, None),
            Until::Time(time) => (u64::MAX, Some(oratime::pack(time))),
            Until::End | Until::Cancel => (u64::MAX, None),
        };
        let resetlogs = control.incarnation_at(start).map_or(0, |i| i.resetlogs_scn);
        let ends = control.lineage().iter().filter_map(|(i, end)| Some((i.resetlogs_scn, (*end)?))).collect();
        let streams = control
            .threads
            .iter()
            .filter(|t| t.enabled)
            .map(|t| {
                let stream = Stream {
                    position: start,
                    time,
                    log: None,
                    pending: None,
                    last: None,
                    ended: false,
                    resetlogs,
                };
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
            ends,
        })
    }

    /// Blocks and headers to disk, checkpointed at `scn`: a later recovery goes on from there.
    pub(super) fn keep(&mut self, session: &mut Session, scn: u64, complete: bool) -> Result<()> {
        session.applier.flush()?;
        let now = oratime::now();
        let reached = self.control.as_ref().and_then(|c| c.data.incarnation_at(scn));
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
                if let Some(i) = reached.as_ref().filter(|i| i.resetlogs_scn > target.header.resetlogs_scn) {
                    target.header.resetlogs_scn = i.resetlogs_scn;
                    target.header.resetlogs_id = i.resetlogs_id;
                }
                if target.header.fuzzy_until().is_none() {
                    target.header.fuzzy_scn = 0;
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

    pub(super) fn needed(&self, need: &Need, session: &Session, more: Option<OraError>) -> OraError {
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

    pub(super) fn feed(session: &mut Session, need: &Need, log: Log, path: PathBuf) {
        if let Some(stream) = session.streams.get_mut(&need.thread) {
            stream.log = Some((log, Position::START, path));
        }
    }

    /// Rolls on with whatever logs the session may take by itself.
    pub(super) fn go_on(&mut self, mut session: Session) -> Result<Reply, OraError> {
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
    pub(super) fn position(&self) -> u64 {
        let heads = self.streams.values().map(|s| s.pending.as_ref().map_or(s.position, |(r, _)| r.scn));
        heads.min().unwrap_or(0)
    }
}

impl Instance {
    pub(super) fn recover(&self, request: &Recover, cataloged: bool) -> Result<Reply, OraError> {
        let mut inner = self.lock();
        inner.not_recovering()?;
        // The session of a client that has gone.
        inner.recovery = None;
        let session = inner.start_recovery(request, cataloged, None)?;
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
