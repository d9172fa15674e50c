//! BEGIN BACKUP, END BACKUP and copies of the control file.

use std::{collections::BTreeSet, path::Path, time::Duration};

use anyhow::{Context, Result};

use super::{io_error, Inner, Instance};
use crate::{
    controlfile::{Datafile, Identity, Kind},
    datafile::{self, Header},
    engine::{BackupScope, Container, OraError, Reply, State},
    instance::TablespaceKind,
    oratime,
    record::Body,
};

impl Inner {
    /// CON_ID of a session's container: 0 in a database without containers.
    pub(super) fn con_id(&self, container: &Container) -> Result<u32, OraError> {
        let control = self.control()?;
        if control.containers.is_empty() {
            return Ok(0);
        }
        let name = container.as_deref().unwrap_or("CDB$ROOT");
        control
            .containers
            .iter()
            .find(|c| c.name == name)
            .map(|c| c.con_id)
            .ok_or_else(|| OraError::new(65011, format!("Pluggable database {name} does not exist.")))
    }

    /// Files of a tablespace by its name in a container.
    pub(super) fn tablespace_files(&self, name: &str, con_id: u32) -> Result<(u32, Vec<Datafile>), OraError> {
        let control = self.control()?;
        let ts = control
            .tablespaces
            .iter()
            .find(|t| t.con_id == con_id && t.name == name)
            .ok_or_else(|| OraError::new(959, format!("tablespace '{name}' does not exist")))?;
        let files =
            control.datafiles.iter().filter(|f| f.con_id == con_id && f.ts == ts.ts).cloned().collect();
        Ok((ts.ts, files))
    }

    pub(super) fn tablespace_kind(&self, con_id: u32, ts: u32) -> TablespaceKind {
        self.control
            .as_ref()
            .and_then(|c| c.data.tablespace(con_id, ts))
            .map_or(TablespaceKind::Permanent, |t| t.kind)
    }

    fn files_to_begin(&self, scope: &BackupScope, container: &Container) -> Result<Vec<u32>, OraError> {
        let control = self.control()?;
        if !control.archivelog {
            return Err(OraError::new(1123, "cannot start online backup; media recovery not enabled"));
        }
        let con_id = self.con_id(container)?;
        let files: Vec<Datafile> = match scope {
            BackupScope::Tablespace(name) => {
                let (ts, files) = self.tablespace_files(name, con_id)?;
                if self.tablespace_kind(con_id, ts) == TablespaceKind::Temporary {
                    return Err(OraError::new(3217, "invalid option for alter of TEMPORARY TABLESPACE"));
                }
                if let Some(file) = files.iter().find(|f| f.offline) {
                    return Err(OraError::new(
                        1128,
                        format!("cannot start online backup - file {} is offline", file.file),
                    )
                    .then(1110, format!("data file {}: '{}'", file.file, file.path.display())));
                }
                if files.iter().any(|f| f.read_only) {
                    return Err(OraError::new(
                        1642,
                        format!("begin backup not needed for read-only tablespace '{name}'"),
                    ));
                }
                files
            }
            BackupScope::Database => {
                let all = control.datafiles.iter();
                all.filter(|f| (con_id <= 1 || f.con_id == con_id) && !f.offline && !f.read_only)
                    .cloned()
                    .collect()
            }
            BackupScope::Datafile(_) => return Err(OraError::new(2248, "invalid option for ALTER DATABASE")),
        };
        if let Some(file) = files.iter().find(|f| f.backup_active) {
            return Err(OraError::new(
                1146,
                format!("cannot start online backup - file {} is already in backup", file.file),
            )
            .then(1110, format!("data file {}: '{}'", file.file, file.path.display())));
        }
        Ok(files.iter().map(|f| f.file).collect())
    }

    fn begin(&mut self, files: &[u32]) -> Result<()> {
        let scn = self.next_scn();
        let now = oratime::now();
        let time = oratime::pack(now);
        self.write_all_blocks()?;
        let wanted: BTreeSet<u32> = files.iter().copied().collect();
        self.imaged.retain(|(file, _)| !wanted.contains(file));
        let thread = self.own_thread();
        for number in &wanted {
            self.log(thread, scn, Body::BeginBackup { file: *number });
            let open = self.files.get_mut(number).with_context(|| format!("file {number} is not open"))?;
            open.header.flags |= datafile::HOT_BACKUP;
            open.header.checkpoint_scn = scn;
            open.header.checkpoint_time = time;
            open.header.backup_scn = scn;
            open.header.backup_time = time;
            open.header.checkpoint_count += 1;
            open.header.write(&open.file).with_context(|| format!("write the header of file {number}"))?;
            let count = open.header.checkpoint_count;
            if let Some(rec) = self.control_mut()?.datafile_mut(*number) {
                rec.backup_active = true;
                rec.backup_scn = scn;
                rec.backup_time = Some(now);
                rec.checkpoint_scn = scn;
                rec.checkpoint_time = now;
                rec.checkpoint_count = count;
            }
        }
        self.flush_redo()?;
        self.save_control()
    }

    fn end(&mut self, files: &[u32]) -> Result<()> {
        let thread = self.own_thread();
        let scn = self.next_scn();
        let now = oratime::now();
        for number in files {
            let begin = self.files.get(number).map_or(0, |f| f.header.backup_scn);
            self.log(thread, scn, Body::EndBackup { file: *number, begin });
        }
        self.write_all_blocks()?;
        for number in files {
            let open = self.files.get_mut(number).with_context(|| format!("file {number} is not open"))?;
            open.header.flags &= !datafile::HOT_BACKUP;
            open.header.checkpoint_scn = scn;
            open.header.checkpoint_time = oratime::pack(now);
            open.header.checkpoint_count += 1;
            open.header.write(&open.file).with_context(|| format!("write the header of file {number}"))?;
            let count = open.header.checkpoint_count;
            if let Some(rec) = self.control_mut()?.datafile_mut(*number) {
                rec.backup_active = false;
                rec.checkpoint_scn = scn;
                rec.checkpoint_time = now;
                rec.checkpoint_count = count;
            }
        }
        self.save_control()
    }

    fn files_to_end(&self, scope: &BackupScope, container: &Container) -> Result<(Vec<u32>, bool), OraError> {
        let control = self.control()?;
        let con_id = self.con_id(container)?;
        let files: Vec<Datafile> = match scope {
            BackupScope::Tablespace(name) => {
                let (ts, files) = self.tablespace_files(name, con_id)?;
                if self.tablespace_kind(con_id, ts) == TablespaceKind::Temporary {
                    return Err(OraError::new(3217, "invalid option for alter of TEMPORARY TABLESPACE"));
                }
                files
            }
            BackupScope::Database => {
                control.datafiles.iter().filter(|f| con_id <= 1 || f.con_id == con_id).cloned().collect()
            }
            BackupScope::Datafile(n) => {
                let file = control.datafile(*n).ok_or_else(|| {
                    OraError::new(1516, format!("nonexistent log file, data file, or temporary file \"{n}\""))
                })?;
                vec![file.clone()]
            }
        };
        let live: Vec<&Datafile> = files.iter().filter(|f| !f.offline && !f.read_only).collect();
        if live.is_empty() {
            return Err(OraError::new(1140, "cannot end online backup - all files are offline or readonly"));
        }
        let active: Vec<u32> = live.iter().filter(|f| f.backup_active).map(|f| f.file).collect();
        if active.is_empty() {
            return Err(OraError::new(1142, "cannot end online backup - none of the files are in backup"));
        }
        let some_not = active.len() < live.len();
        Ok((active, some_not))
    }

    /// END BACKUP of a mounted database that crashed: the original files need crash recovery only, and the control file
    /// knows from where.
    fn end_mounted(&mut self, files: &[u32]) -> Result<(), OraError> {
        for number in files {
            let rec = self.control()?.datafile(*number).cloned().ok_or_else(super::not_mounted)?;
            let mut header = Header::read_path(&rec.path).map_err(|_| {
                OraError::new(1157, format!("cannot identify/lock data file {number} - see DBWR trace file"))
                    .then(1110, format!("data file {number}: '{}'", rec.path.display()))
            })?;
            header.flags &= !datafile::HOT_BACKUP;
            header.checkpoint_scn = rec.checkpoint_scn;
            header.checkpoint_time = oratime::pack(rec.checkpoint_time);
            header.checkpoint_count += 1;
            let written = std::fs::OpenOptions::new()
                .write(true)
                .open(&rec.path)
                .and_then(|f| header.write(&f))
                .with_context(|| format!("write the header of file {number}"));
            written.map_err(|e| io_error(&e))?;
            let count = header.checkpoint_count;
            let control = self.control_mut().map_err(|e| io_error(&e))?;
            if let Some(rec) = control.datafile_mut(*number) {
                rec.backup_active = false;
                rec.checkpoint_count = count;
            }
        }
        self.save_control().map_err(|e| io_error(&e))
    }
}

impl Instance {
    pub(super) fn begin_backup(&self, scope: &BackupScope, container: &Container) -> Result<Reply, OraError> {
        let (delay, error) = {
            let inner = self.lock();
            inner.control()?;
            (inner.faults.begin_backup_ms, inner.faults.begin_backup_error)
        };
        {
            let inner = self.lock_with_room(1 << 16)?;
            inner.files_to_begin(scope, container)?;
        }
        if error != 0 {
            return Err(OraError::new(error, "error injected into BEGIN BACKUP"));
        }
        std::thread::sleep(Duration::from_millis(delay));
        let mut inner = self.lock_with_room(1 << 16)?;
        let files = inner.files_to_begin(scope, container)?;
        inner.begin(&files).map_err(|e| io_error(&e))?;
        drop(inner);
        self.changed.notify_all();
        Ok(Reply::default())
    }

    pub(super) fn end_backup(&self, scope: &BackupScope, container: &Container) -> Result<Reply, OraError> {
        let (delay, error, state) = {
            let inner = self.lock();
            inner.control()?;
            (inner.faults.end_backup_ms, inner.faults.end_backup_error, inner.state)
        };
        if error != 0 {
            return Err(OraError::new(error, "error injected into END BACKUP"));
        }
        std::thread::sleep(Duration::from_millis(delay));
        let some_not = if state == State::Open {
            let mut inner = self.lock_with_room(1 << 16)?;
            let (files, some_not) = inner.files_to_end(scope, container)?;
            inner.end(&files).map_err(|e| io_error(&e))?;
            some_not
        } else {
            let mut inner = self.lock();
            if inner.control()?.kind == Kind::Standby {
                return Err(OraError::new(
                    1142,
                    "cannot end online backup - none of the files are in backup",
                ));
            }
            if matches!(scope, BackupScope::Tablespace(_)) {
                return Err(super::not_open());
            }
            let (files, some_not) = inner.files_to_end(scope, container)?;
            inner.end_mounted(&files)?;
            some_not
        };
        self.changed.notify_all();
        if some_not {
            return Err(OraError::new(
                1260,
                "warning: END BACKUP succeeded but some files found not to be in backup mode",
            ));
        }
        Ok(Reply::default())
    }

    pub(super) fn copy_control_file(&self, to: &Path, reuse: bool, kind: Kind) -> Result<Reply, OraError> {
        let mut inner = self.lock();
        if to.exists() && !reuse {
            inner.control()?;
            return Err(OraError::new(1580, format!("error creating control backup file {}", to.display()))
                .then(27038, "created file already exists\nAdditional information: 1"));
        }
        let mut copy = inner.controlfile_copy(kind)?;
        for file in &mut copy.datafiles {
            file.identity = (kind == Kind::Standby).then(|| Identity::of(&file.path)).flatten();
        }
        for log in &mut copy.logs {
            log.identity = (kind == Kind::Standby).then(|| Identity::of(&log.path)).flatten();
        }
        for log in copy.archived.iter_mut().filter(|_| kind == Kind::Standby) {
            log.identity = log.name.as_ref().and_then(|n| Identity::of(Path::new(n)));
        }
        copy.write_alone(to).map_err(|e| {
            OraError::new(1580, format!("error creating control backup file {}", to.display()))
                .then(27040, format!("file create error, unable to create file\n{e:#}"))
        })?;
        Ok(Reply::default())
    }
}
