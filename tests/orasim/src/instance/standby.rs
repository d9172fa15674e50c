//! What only a standby does: other paths, foreign logs made known, files that appear in the redo, activation.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context;

use super::{
    io_error,
    life::{naming, NO_SUCH_FILE},
    logsource::log_error,
    Inner, Instance, TablespaceKind,
};
use crate::{
    apply::Target,
    controlfile::{Archived, Datafile, Kind, Tablespace},
    datafile::{self, Header},
    engine::{OraError, Reply, State},
    oratime,
    redolog::{self, LogHeader, OPEN_NAB, OPEN_SCN},
};

/// A datafile of which recovery hears for the first time.
pub(super) struct NewFile<'a> {
    pub(super) file: u32,
    pub(super) ts: u32,
    pub(super) con_id: u32,
    pub(super) blocks: u32,
    pub(super) undo: bool,
    pub(super) ts_name: &'a str,
    pub(super) path: &'a Path,
    pub(super) scn: u64,
    /// RMAN on a primary makes it under its own name, whatever STANDBY_FILE_MANAGEMENT says.
    pub(super) always: bool,
}

impl Inner {
    /// Where a primary's file goes here: DB_FILE_NAME_CONVERT, else DB_CREATE_FILE_DEST, else the same path.
    fn converted(&self, path: &Path) -> PathBuf {
        let text = path.to_string_lossy();
        if let Some(pairs) = self.spec.parameters.get("db_file_name_convert") {
            let words: Vec<&str> = pairs.split(',').map(|w| w.trim().trim_matches('\'')).collect();
            for pair in words.chunks_exact(2) {
                if let Some(rest) = text.strip_prefix(pair[0]) {
                    return PathBuf::from(format!("{}{rest}", pair[1]));
                }
            }
        }
        match (&self.spec.create_file_dest, path.file_name()) {
            (Some(directory), Some(name)) => directory.join(name),
            _ => path.to_owned(),
        }
    }

    /// Makes the file if STANDBY_FILE_MANAGEMENT is AUTO, else an UNNAMED entry and the end of this recovery. `None`
    /// when the file is known already.
    pub(super) fn add_recovered_file(&mut self, new: &NewFile<'_>) -> Result<Option<Target>, OraError> {
        let own = self.control().is_ok_and(|c| c.kind != Kind::Standby) && new.always;
        let auto = self.spec.standby_file_management_auto || own;
        let unnamed = self.dir.join("dbs").join(format!("UNNAMED{:05}", new.file));
        let path = if own { new.path.to_owned() } else { self.converted(new.path) };
        let (resetlogs_id, resetlogs_scn, dbid, name, known) = {
            let control = self.control()?;
            let i = control.incarnation().ok_or_else(super::not_mounted)?;
            let known = control.datafile(new.file).is_some_and(|f| f.creation_scn >= new.scn);
            (i.resetlogs_id, i.resetlogs_scn, control.dbid, control.name.clone(), known)
        };
        if known {
            return Ok(None);
        }
        let now = oratime::now();
        let header = Header {
            dbid,
            db_name: name,
            blocks: new.blocks,
            file: new.file,
            creation_scn: new.scn,
            creation_time: oratime::pack(now),
            resetlogs_id,
            resetlogs_scn,
            checkpoint_count: 1,
            ts: new.ts,
            ts_name: new.ts_name.to_owned(),
            checkpoint_scn: new.scn,
            checkpoint_time: oratime::pack(now),
            thread: 1,
            rba_block: 2,
            flags: datafile::MEDIA_FUZZY,
            ..Header::default()
        };
        // A missing directory is not made: AUTO fails there on a real standby too.
        let made = if auto && path.parent().is_some_and(Path::is_dir) {
            datafile::create(&path, &header).ok()
        } else {
            None
        };
        let rec = Datafile {
            file: new.file,
            con_id: new.con_id,
            ts: new.ts,
            path: if made.is_some() { path.clone() } else { unnamed },
            identity: None,
            blocks: new.blocks,
            create_blocks: new.blocks,
            creation_scn: new.scn,
            creation_time: now,
            checkpoint_scn: new.scn,
            checkpoint_time: now,
            checkpoint_count: 1,
            offline: false,
            read_only: false,
            last_scn: None,
            last_time: None,
            unrecoverable_scn: 0,
            unrecoverable_time: None,
            backup_active: false,
            backup_scn: 0,
            backup_time: None,
        };
        let control = self.control_mut().map_err(|e| io_error(&e))?;
        if control.tablespace(new.con_id, new.ts).is_none() {
            control.tablespaces.push(Tablespace {
                con_id: new.con_id,
                ts: new.ts,
                name: new.ts_name.to_owned(),
                kind: if new.undo { TablespaceKind::Undo } else { TablespaceKind::Permanent },
                read_only: false,
                offline: false,
                created: now,
            });
        }
        control.datafiles.retain(|f| f.file != new.file);
        control.datafiles.push(rec.clone());
        control.datafiles.sort_by_key(|f| f.file);
        match made {
            Some(file) => Ok(Some(Target::made(&path, header, file))),
            None => Err(OraError::new(283, "recovery session canceled due to errors")
                .then(1111, format!("name for data file {} is unknown - rename to correct file", new.file))
                .then(1110, format!("data file {}: '{}'", new.file, rec.path.display()))
                .then(
                    1274,
                    format!("cannot add data file that was originally created as '{}'", new.path.display()),
                )),
        }
    }

    pub(super) fn archived_from_header(
        &mut self,
        path: &Path,
        header: &LogHeader,
        registrar: &str,
    ) -> Result<(), OraError> {
        let now = oratime::now();
        let control = self.control_mut().map_err(|e| io_error(&e))?;
        let resetlogs_time = control
            .incarnations
            .iter()
            .find(|i| i.resetlogs_scn == header.resetlogs_scn)
            .map(|i| i.resetlogs_time)
            .or_else(|| oratime::unpack(header.resetlogs_id))
            .unwrap_or(now);
        control.last_recid += 1;
        let row = Archived {
            recid: control.last_recid,
            stamp: oratime::pack(now),
            name: Some(path.to_string_lossy().into_owned()),
            dest_id: 0,
            thread: header.thread,
            sequence: header.sequence,
            resetlogs_scn: header.resetlogs_scn,
            resetlogs_time,
            resetlogs_id: header.resetlogs_id,
            first_scn: header.low_scn,
            first_time: oratime::unpack(header.low_time).unwrap_or(now),
            next_scn: header.next_scn,
            next_time: oratime::unpack(header.next_time).unwrap_or(now),
            blocks: header.nab - 1,
            block_size: header.block_size,
            creator: "ARCH".to_owned(),
            registrar: registrar.to_owned(),
            standby_dest: false,
            applied: false,
            deleted: false,
            completion: now,
            activation: header.activation,
            in_recovery_area: false,
            identity: None,
        };
        control.archived.push(row);
        self.save_control().map_err(|e| io_error(&e))
    }

    /// Whether the control file has this log under this name.
    fn is_known(&self, path: &Path, header: &LogHeader) -> bool {
        let name = path.to_string_lossy();
        self.control.as_ref().is_some_and(|c| {
            c.data.archived.iter().any(|a| {
                a.name.as_deref() == Some(&name)
                    && (a.thread, a.sequence, a.resetlogs_scn)
                        == (header.thread, header.sequence, header.resetlogs_scn)
            })
        })
    }
}

/// What the header promises against the size; the blocks themselves are looked at only when they are applied.
pub(super) fn complete(path: &Path, header: &LogHeader) -> bool {
    let size = std::fs::metadata(path).map_or(0, |m| m.len());
    header.nab != OPEN_NAB
        && header.next_scn != OPEN_SCN
        && size >= u64::from(header.nab) * u64::from(header.block_size)
}

impl Instance {
    pub(super) fn rename_file(&self, from: &Path, to: &Path) -> Result<Reply, OraError> {
        let mut inner = self.lock();
        let failed = || OraError::new(1511, "error in renaming log/data files");
        let control = inner.control()?;
        if control.kind == Kind::Standby && inner.spec.standby_file_management_auto {
            return Err(failed()
                .then(1275, "Operation RENAME is not allowed if standby file management is automatic."));
        }
        if inner.state != State::Mounted {
            return Err(failed().then(1121, "cannot rename database file - file is in use or recovery"));
        }
        if let Some(log) = control.logs.iter().find(|l| l.path == from) {
            if !to.exists() {
                return Err(failed()
                    .then(
                        1512,
                        format!(
                            "error renaming log file {} - new file {} not found",
                            from.display(),
                            to.display()
                        ),
                    )
                    .then(27037, NO_SUCH_FILE));
            }
            let group = log.group;
            let control = inner.control_mut().map_err(|e| io_error(&e))?;
            for log in control.logs.iter_mut().filter(|l| l.group == group) {
                log.path = to.to_owned();
                log.identity = None;
            }
            inner.save_control().map_err(|e| io_error(&e))?;
            return Ok(Reply::default());
        }
        if control.tempfiles.iter().any(|f| f.path == from) {
            let control = inner.control_mut().map_err(|e| io_error(&e))?;
            for file in control.tempfiles.iter_mut().filter(|f| f.path == from) {
                file.path = to.to_owned();
            }
            inner.save_control().map_err(|e| io_error(&e))?;
            return Ok(Reply::default());
        }
        let Some(file) = control.datafiles.iter().find(|f| f.path == from).cloned() else {
            return Err(failed().then(
                1516,
                format!(
                    "nonexistent log file, data file, or temporary file \"{}\" in the current container",
                    from.display()
                ),
            ));
        };
        if control.datafiles.iter().any(|f| f.file != file.file && f.path == to) {
            return Err(failed().then(
                1523,
                format!("cannot rename data file to '{}' - file already part of database", to.display()),
            ));
        }
        if !to.exists() {
            let text =
                format!("error renaming data file {} - new file '{}' not found", file.file, to.display());
            return Err(naming(failed().then(1141, text), &file).then(27037, NO_SUCH_FILE));
        }
        let fits = Header::read_path(to).is_ok_and(|h| {
            h.dbid == control.dbid && h.file == file.file && h.creation_scn == file.creation_scn
        });
        if !fits {
            let text =
                format!("error renaming data file {} - new file '{}' not found", file.file, to.display());
            return Err(naming(failed().then(1141, text), &file)
                .then(1206, "file is not part of this database - wrong database id"));
        }
        let control = inner.control_mut().map_err(|e| io_error(&e))?;
        if let Some(rec) = control.datafile_mut(file.file) {
            rec.path = to.to_owned();
            rec.identity = None;
        }
        inner.save_control().map_err(|e| io_error(&e))?;
        Ok(Reply::default())
    }

    pub(super) fn register_logfile(&self, path: &Path, replace: bool) -> Result<Reply, OraError> {
        let mut inner = self.lock();
        let control = inner.control()?;
        if control.kind != Kind::Standby {
            return Err(OraError::new(1665, "control file is not a standby control file"));
        }
        let header = redolog::read_header(path).map_err(|e| log_error(&e, path, 0))?;
        if header.dbid != control.dbid {
            return Err(OraError::new(309, "log belongs to wrong database")
                .then(334, format!("archived log: '{}'", path.display())));
        }
        if !complete(path, &header) {
            return Err(OraError::new(16088, "archive log has not been completely archived"));
        }
        if inner.is_known(path, &header) {
            if !replace {
                return Err(OraError::new(16089, "archive log has already been registered"));
            }
            return Ok(Reply::default());
        }
        inner.archived_from_header(path, &header, "RFS")?;
        Ok(Reply::default())
    }

    /// CATALOG of one file. The codes 7517, 7518 and 7519 are RMAN's reasons, to be printed as RMAN-07517.
    pub(super) fn catalog_file(&self, path: &Path) -> Result<Reply, OraError> {
        let mut inner = self.lock();
        let dbid = inner.control()?.dbid;
        let Ok(header) = redolog::read_header(path) else {
            return Err(OraError::new(7517, "Reason: The file header is corrupted"));
        };
        if header.dbid != dbid {
            return Err(OraError::new(
                7518,
                format!(
                    "Reason: Foreign database file DBID: {}  Database Name: {}",
                    header.dbid, header.db_name
                ),
            ));
        }
        if !complete(path, &header) {
            return Err(OraError::new(7517, "Reason: The file header is corrupted"));
        }
        if !inner.is_known(path, &header) {
            inner.archived_from_header(path, &header, "RMAN")?;
        }
        Ok(Reply::default())
    }

    pub(super) fn activate(self: &Arc<Self>) -> Result<Reply, OraError> {
        let mut inner = self.lock();
        if inner.control()?.kind != Kind::Standby {
            return Err(OraError::new(1665, "control file is not a standby control file"));
        }
        if inner.state != State::Mounted {
            return Err(OraError::new(
                1154,
                "database busy. Open, close, mount, and dismount not allowed now",
            ));
        }
        inner.check_recovered()?;
        // ACTIVATE leaves the database mounted; OPEN follows, and the files are marked at once as they would be then.
        let done = inner.become_primary().and_then(|()| inner.close_activated());
        done.map_err(|e| io_error(&e))?;
        Ok(Reply::default())
    }
}

impl Inner {
    /// Files are recovered: the copy becomes a database of its own, with logs of its own.
    pub(super) fn become_primary(&mut self) -> anyhow::Result<()> {
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
        // Everything below is recovered, and the first change of the new incarnation comes after it.
        self.scn = scn.saturating_sub(1);
        self.archive_remaining(scn)?;
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
        let datafiles = self.control_mut()?.datafiles.clone();
        for rec in datafiles.iter().filter(|f| !f.offline) {
            self.open_file(rec, true)?;
        }
        let (mut ledger, known) = crate::truth::Ledger::open(&self.dir)?;
        if known >= scn {
            ledger.stage(scn.saturating_sub(1), 0, crate::truth::Event::Undone);
        }
        self.ledger = Some(ledger);
        self.new_incarnation()?;
        self.control_mut()?.in_use = true;
        self.save_control()?;
        self.state = State::Open;
        Ok(())
    }
}
