//! The redo of all threads merged by SCN, record by record.

use std::{collections::BTreeMap, path::PathBuf};

use super::{
    io_error,
    life::naming,
    logsource::{log_error, Need},
    recover::Session,
    Inner,
};
use crate::{
    apply::Stuck,
    controlfile::History,
    engine::OraError,
    oratime,
    record::{Body, Record},
    redolog::{Log, Position, OPEN_NAB, OPEN_SCN},
};

/// The redo of one thread.
#[derive(Debug)]
pub(super) struct Stream {
    /// Everything below is applied or skipped.
    pub(super) position: u64,
    pub(super) time: u32,
    pub(super) log: Option<(Log, Position, PathBuf)>,
    pub(super) pending: Option<(Record, Position)>,
    /// Sequence of the last log that was read to its end.
    pub(super) last: Option<u32>,
    /// The current log was read to its end: there is no more redo.
    pub(super) ended: bool,
    /// RESETLOGS_CHANGE# of the incarnation that is being read.
    pub(super) resetlogs: u64,
}

impl Stream {
    /// Goes over to the child incarnation when the parent's part has been read. `ends` is by RESETLOGS_CHANGE#.
    fn cross(&mut self, ends: &BTreeMap<u64, u64>) {
        while let Some(end) = ends.get(&self.resetlogs).filter(|end| self.position >= **end) {
            self.resetlogs = *end;
            self.last = None;
        }
    }
}

/// Why the redo stopped.
pub(super) enum Stop {
    Need(Need),
    Until(u64),
    /// All redo there is.
    Complete(u64),
}

impl Inner {
    /// Applies until a log is needed or the end is reached.
    pub(super) fn roll(&mut self, session: &mut Session) -> Result<Stop, OraError> {
        loop {
            let mut ended_logs = Vec::new();
            for (thread, stream) in &mut session.streams {
                if stream.pending.is_some() {
                    continue;
                }
                let Some((log, at, path)) = &mut stream.log else { continue };
                match log.record(*at) {
                    Some(Ok((record, next))) => {
                        match session.ends.get(&stream.resetlogs) {
                            // The parent went on after its child had left it: that is nobody's redo.
                            Some(end) if record.scn >= *end => {
                                stream.position = *end;
                                session.finished = Some(path.clone());
                                ended_logs.push((*thread, log.header.clone()));
                                stream.log = None;
                                stream.cross(&session.ends);
                            }
                            _ => stream.pending = Some((record, next)),
                        }
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
                        if let Some(end) = session.ends.get(&stream.resetlogs) {
                            stream.position = stream.position.min(*end);
                        }
                        stream.cross(&session.ends);
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
                let resetlogs = stream.resetlogs;
                return Ok(Stop::Need(Need { thread, scn, sequence, time: stream.time, resetlogs }));
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
                always: session.cataloged,
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
        let written = control.incarnations.iter().find(|i| i.resetlogs_scn == header.resetlogs_scn);
        let Some(incarnation) = written.or(control.incarnation()).cloned() else { return Ok(()) };
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
}
