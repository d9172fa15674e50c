//! CATALOG: files that the control file does not know become known, with the reason for those that do not.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::messages::failed;
use crate::{
    controlfile::{Incarnation, Kind as ControlKind},
    datafile::Header,
    instance::{Inner, Instance},
    oratime,
    pieces::{
        api::{Event, Failure, Kind, Message, Step},
        format::{Directory, Reader},
        records::{Copy, Piece, PieceStatus},
    },
    redolog::{self, LogHeader},
};

fn corrupt() -> Message {
    Message::rman(7517, "Reason: The file header is corrupted")
}

fn foreign(dbid: u32, name: &str) -> Message {
    Message::rman(7518, format!("Reason: Foreign database file DBID: {dbid}  Database Name: {name}"))
}

/// All files whose path begins with the prefix, which need not end at a directory.
fn matching(prefix: &str) -> Vec<PathBuf> {
    let path = Path::new(prefix);
    let (dir, whole) = if path.is_dir() && prefix.ends_with('/') {
        (path.to_owned(), true)
    } else {
        (path.parent().map(Path::to_owned).unwrap_or_default(), false)
    };
    let mut out = Vec::new();
    let mut todo = vec![dir];
    while let Some(dir) = todo.pop() {
        for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
            let path = entry.path();
            let text = path.to_string_lossy().into_owned();
            if path.is_dir() {
                if whole || text.starts_with(prefix) || prefix.starts_with(text.as_str()) {
                    todo.push(path);
                }
            } else if text.starts_with(prefix) {
                out.push(path);
            }
        }
    }
    out.sort();
    out
}

impl Inner {
    fn knows(&self, path: &Path) -> bool {
        let Some(control) = self.control.as_ref().map(|c| &c.data) else { return false };
        let text = path.to_string_lossy();
        control.rman.pieces.iter().any(|p| p.handle == path && p.status != PieceStatus::Deleted)
            || control.rman.copies.iter().any(|c| c.path == path && c.status != PieceStatus::Deleted)
            || control.archived.iter().any(|a| !a.deleted && a.name.as_deref() == Some(&text))
            || control.datafiles.iter().any(|f| f.path == path)
            || control.tempfiles.iter().any(|f| f.path == path)
            || control.logs.iter().any(|l| l.path == path)
            || self.control_files().iter().any(|c| {
                c == path || {
                    let mut journal = c.as_os_str().to_owned();
                    journal.push(".records");
                    Path::new(&journal) == path
                }
            })
    }

    /// An incarnation that a file brings: the child of the present one becomes the present one of a restored control file.
    fn learn_incarnation(&mut self, new: &Incarnation) {
        let Ok(control) = self.control_mut() else { return };
        if control.incarnations.iter().any(|i| i.resetlogs_scn == new.resetlogs_scn) {
            return;
        }
        let parent = control.incarnations.iter().find(|i| i.resetlogs_scn == new.prior_scn).cloned();
        let number = control.incarnations.iter().map(|i| i.number).max().unwrap_or(0) + 1;
        let follows = parent.as_ref().is_some_and(|p| p.current) && control.kind != ControlKind::Current;
        if follows {
            for i in &mut control.incarnations {
                i.current = false;
            }
        }
        control.incarnations.push(Incarnation {
            number,
            prior_number: parent.map_or(0, |p| p.number),
            current: follows,
            ..new.clone()
        });
    }

    fn learn_incarnation_of_log(&mut self, header: &LogHeader) {
        let now = oratime::now();
        self.learn_incarnation(&Incarnation {
            number: 0,
            resetlogs_scn: header.resetlogs_scn,
            resetlogs_time: oratime::unpack(header.resetlogs_id).unwrap_or(now),
            resetlogs_id: header.resetlogs_id,
            prior_scn: header.previous_resetlogs_scn,
            prior_time: oratime::unpack(header.previous_resetlogs_id),
            prior_number: 0,
            current: false,
        });
    }

    fn catalog_piece(&mut self, path: &Path) -> Result<(u32, u32), Message> {
        let dbid = self.control.as_ref().map_or(0, |c| c.data.dbid);
        let reader = Reader::open(path).map_err(|_| corrupt())?;
        let header = reader.header.clone();
        if header.dbid != dbid {
            return Err(foreign(header.dbid, &header.db_name));
        }
        let directory: Directory = reader.directory().map_err(|_| corrupt())?;
        for incarnation in &directory.incarnations {
            self.learn_incarnation(incarnation);
        }
        let bytes = fs::metadata(path).map_or(0, |m| m.len());
        let area = self.recovery_area().is_some_and(|a| path.starts_with(a));
        let now = oratime::now();
        let control = self.control_mut().map_err(|_| corrupt())?;
        let records = &mut control.rman;
        records.last_set = records.last_set.max(header.set_count);
        if records.set(header.set_stamp, header.set_count).is_none() {
            let mut set = directory.set;
            set.recid = records.recid();
            set.stamp = oratime::pack(now);
            records.sets.push(set);
        }
        let (recid, stamp) = (records.recid(), oratime::pack(now));
        records.pieces.push(Piece {
            recid,
            stamp,
            set_stamp: header.set_stamp,
            set_count: header.set_count,
            piece: header.piece,
            copy: header.copy,
            handle: path.to_owned(),
            tag: header.tag,
            status: PieceStatus::Available,
            start: header.start,
            completion: directory.completion,
            bytes,
            compressed: records.set(header.set_stamp, header.set_count).is_some_and(|s| s.compressed),
            in_recovery_area: area,
            session_recid: 0,
            session_stamp: 0,
        });
        Ok((recid, stamp))
    }

    fn catalog_copy(&mut self, path: &Path, tag: Option<&str>) -> Result<(u32, u32), Message> {
        let header = Header::read_path(path).map_err(|_| corrupt())?;
        let dbid = self.control.as_ref().map_or(0, |c| c.data.dbid);
        if header.dbid != dbid {
            return Err(foreign(header.dbid, &header.db_name));
        }
        let now = oratime::now();
        let control = self.control_mut().map_err(|_| corrupt())?;
        let resetlogs = control.incarnations.iter().find(|i| i.resetlogs_scn == header.resetlogs_scn);
        let resetlogs_time = resetlogs.map_or(now, |i| i.resetlogs_time);
        let (recid, stamp) = (control.rman.recid(), oratime::pack(now));
        control.rman.copies.push(Copy {
            recid,
            stamp,
            path: path.to_owned(),
            tag: tag.map(str::to_uppercase),
            file: header.file,
            creation_scn: header.creation_scn,
            resetlogs_scn: header.resetlogs_scn,
            resetlogs_time,
            checkpoint_scn: header.checkpoint_scn,
            checkpoint_time: oratime::unpack(header.checkpoint_time).unwrap_or(now),
            fuzzy_scn: header.fuzzy_scn,
            blocks: header.blocks,
            completion: now,
            status: PieceStatus::Available,
        });
        Ok((recid, stamp))
    }

    /// One file of whatever kind.
    fn catalog_any(&mut self, path: &Path) -> Result<(Kind, u32, u32), Message> {
        if Reader::open(path).is_ok() {
            return self.catalog_piece(path).map(|(r, s)| (Kind::Piece, r, s));
        }
        if let Ok(header) = redolog::read_header(path) {
            let dbid = self.control.as_ref().map_or(0, |c| c.data.dbid);
            if header.dbid != dbid {
                return Err(foreign(header.dbid, &header.db_name));
            }
            if !super::super::standby::complete(path, &header) {
                return Err(corrupt());
            }
            self.learn_incarnation_of_log(&header);
            self.archived_from_header(path, &header, "RMAN").map_err(|_| corrupt())?;
            let key = self.control.as_ref().and_then(|c| c.data.archived.last().map(|a| (a.recid, a.stamp)));
            let (recid, stamp) = key.unwrap_or_default();
            return Ok((Kind::Log, recid, stamp));
        }
        if Header::read_path(path).is_ok() {
            return self.catalog_copy(path, None).map(|(r, s)| (Kind::Copy, r, s));
        }
        Err(corrupt())
    }

    fn catalog_one(
        &mut self,
        path: &Path,
        done: impl FnOnce(&mut Self) -> Result<(Kind, u32, u32), Message>,
    ) -> Event {
        match done(self) {
            Ok((kind, recid, stamp)) => Event::Cataloged { path: path.to_owned(), kind, recid, stamp },
            Err(message) => Event::NotCataloged { path: path.to_owned(), message },
        }
    }
}

impl Instance {
    pub(super) fn catalog_prefix(&self, prefix: &str, apply: bool) -> Step {
        let mut inner = self.lock();
        if let Err(e) = inner.control() {
            return Step::failed(Vec::new(), failed(&e));
        }
        let unknown: Vec<PathBuf> = matching(prefix).into_iter().filter(|p| !inner.knows(p)).collect();
        if !apply {
            return Step::last(vec![Event::Unknown(unknown)]);
        }
        let mut events = Vec::new();
        for path in &unknown {
            events.push(inner.catalog_one(path, |inner| inner.catalog_any(path)));
        }
        match inner.save_control() {
            Ok(()) => Step::last(events),
            Err(e) => Step::failed(events, failed(&crate::instance::io_error(&e))),
        }
    }

    /// CATALOG BACKUPPIECE, ARCHIVELOG or DATAFILECOPY of one path.
    pub(super) fn catalog_path(&self, path: &Path, kind: Kind, tag: Option<&str>) -> Step {
        let mut inner = self.lock();
        if let Err(e) = inner.control() {
            return Step::failed(Vec::new(), failed(&e));
        }
        if !path.exists() {
            return Step::failed(Vec::new(), Failure::new(super::messages::missing(path)));
        }
        let event = if inner.knows(path) {
            let text = "Reason: The file is already cataloged or part of the database";
            Event::NotCataloged { path: path.to_owned(), message: Message::rman(7519, text) }
        } else {
            inner.catalog_one(path, |inner| match kind {
                Kind::Piece => inner.catalog_piece(path).map(|(r, s)| (Kind::Piece, r, s)),
                Kind::Copy => inner.catalog_copy(path, tag).map(|(r, s)| (Kind::Copy, r, s)),
                Kind::Log | Kind::Controlfile => inner.catalog_any(path),
            })
        };
        if let Err(e) = inner.save_control() {
            return Step::failed(Vec::new(), failed(&crate::instance::io_error(&e)));
        }
        if let Event::NotCataloged { path, message } = &event {
            let text = format!("error while cataloging {}\n{}", path.display(), message.text);
            return Step::failed(vec![event.clone()], Failure::new(vec![Message::rman(message.code, text)]));
        }
        Step::last(vec![event])
    }
}
