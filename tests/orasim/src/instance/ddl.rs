//! Statements that change which files there are and what may be done with them.

use std::path::Path;

use anyhow::{Context, Result};

use super::{io_error, life::naming, Inner, Instance, TablespaceKind};
use crate::{
    block::SIZE,
    controlfile::{Datafile, Tablespace},
    datafile::{self, Header},
    engine::{Container, OraError, Reply, State},
    oratime,
    record::Body,
    truth::Event,
};

impl Inner {
    fn blocks(bytes: u64) -> Result<u32, OraError> {
        match u32::try_from(bytes / SIZE as u64) {
            Ok(blocks) if blocks >= 2 => Ok(blocks),
            _ => Err(OraError::new(3214, "File Size specified is smaller than minimum required")),
        }
    }

    fn add_file(
        &mut self,
        con_id: u32,
        ts: u32,
        name: &str,
        undo: bool,
        path: &Path,
        blocks: u32,
    ) -> Result<()> {
        let scn = self.next_scn();
        let now = oratime::now();
        let number = self.control_mut()?.datafiles.iter().map(|f| f.file).max().unwrap_or(0) + 1;
        let thread = self.own_thread();
        let sequence = self.redo.get(&thread).map_or(0, |r| r.header.sequence);
        let control = self.control_mut()?;
        let incarnation = control.incarnation().cloned().context("no incarnation")?;
        let header = Header {
            dbid: control.dbid,
            db_name: control.name.clone(),
            control_seq: control.sequence,
            blocks,
            file: number,
            creation_scn: scn,
            creation_time: oratime::pack(now),
            resetlogs_id: incarnation.resetlogs_id,
            resetlogs_scn: incarnation.resetlogs_scn,
            checkpoint_count: 1,
            ts,
            ts_name: name.to_owned(),
            checkpoint_scn: scn,
            checkpoint_time: oratime::pack(now),
            thread,
            rba_seq: sequence,
            rba_block: 2,
            ..Header::default()
        };
        let rec = Datafile {
            file: number,
            con_id,
            ts,
            path: path.to_owned(),
            identity: None,
            blocks,
            create_blocks: blocks,
            creation_scn: scn,
            creation_time: now,
            checkpoint_scn: scn,
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
        control.datafiles.push(rec.clone());
        self.log(
            thread,
            scn,
            Body::FileAdd {
                file: number,
                ts,
                con_id,
                blocks,
                undo,
                ts_name: name.to_owned(),
                path: path.to_string_lossy().into_owned(),
            },
        );
        if let Some(ledger) = &mut self.ledger {
            ledger.stage(scn, number, Event::Add { blocks });
        }
        self.flush_redo()?;
        datafile::create(path, &header).with_context(|| format!("make datafile {}", path.display()))?;
        self.open_file(&rec, true)?;
        self.save_control()
    }

    fn file_record(&self, path: &Path) -> Result<Datafile, OraError> {
        self.control()?.datafiles.iter().find(|f| f.path == path).cloned().ok_or_else(|| {
            OraError::new(
                1516,
                format!(
                    "nonexistent log file, data file, or temporary file \"{}\" in the current container",
                    path.display()
                ),
            )
        })
    }

    /// The parameters as a parameter file.
    pub(super) fn parameter_text(&self) -> String {
        self.parameters().iter().map(|(name, value)| format!("*.{name}='{value}'\n")).collect()
    }

    fn refuse_existing(&self, path: &Path) -> Result<(), OraError> {
        if path.exists() {
            return Err(OraError::new(1119, format!("error in creating database file '{}'", path.display()))
                .then(27038, "created file already exists\nAdditional information: 1"));
        }
        Ok(())
    }

    /// READ ONLY or OFFLINE, and back. The files get their last checkpoint, or a new one.
    fn stop_files(&mut self, files: &[Datafile], on: bool, read_only: bool) -> Result<()> {
        let thread = self.own_thread();
        let now = oratime::now();
        let scn = self.next_scn();
        for file in files {
            let body = if read_only {
                Body::ReadOnly { file: file.file, on }
            } else {
                Body::Offline { file: file.file, on }
            };
            self.log(thread, scn, body);
            if let Some(ledger) = &mut self.ledger {
                let event = if read_only { Event::ReadOnly(on) } else { Event::Offline(on) };
                ledger.stage(scn, file.file, event);
            }
        }
        self.write_all_blocks()?;
        for file in files {
            if on {
                if let Some(mut open) = self.files.remove(&file.file) {
                    if open.writable {
                        open.header.flags &= !(datafile::ONLINE_FUZZY | datafile::HOT_BACKUP);
                        open.header.checkpoint_scn = scn;
                        open.header.checkpoint_time = oratime::pack(now);
                        open.header.checkpoint_count += 1;
                        open.header.write(&open.file).context("write a file header")?;
                    }
                }
            }
            let control = self.control_mut()?;
            let Some(rec) = control.datafile_mut(file.file) else { continue };
            let was_stopped = rec.read_only || rec.offline;
            if read_only {
                rec.read_only = on;
            } else {
                rec.offline = on;
            }
            if on && !was_stopped {
                rec.checkpoint_scn = scn;
                rec.checkpoint_time = now;
                rec.last_scn = Some(scn);
                rec.last_time = Some(now);
            }
            let rec = rec.clone();
            let stays_open = !on || read_only;
            if !rec.offline && stays_open {
                self.open_file(&rec, true)?;
                if !rec.read_only {
                    let now_in = self.control.as_ref().and_then(|c| c.data.incarnation().cloned());
                    if let Some(open) = self.files.get_mut(&file.file) {
                        // It may have slept through a RESETLOGS.
                        if let Some(i) = now_in {
                            open.header.resetlogs_scn = i.resetlogs_scn;
                            open.header.resetlogs_id = i.resetlogs_id;
                        }
                        open.header.checkpoint_scn = scn;
                        open.header.checkpoint_time = oratime::pack(now);
                        open.header.checkpoint_count += 1;
                        open.header.write(&open.file).context("write a file header")?;
                    }
                    if let Some(rec) = self.control_mut()?.datafile_mut(file.file) {
                        rec.checkpoint_scn = scn;
                        rec.checkpoint_time = now;
                        rec.last_scn = None;
                        rec.last_time = None;
                    }
                }
            }
        }
        self.save_control()
    }
}

impl Instance {
    pub(super) fn create_tablespace(
        &self,
        name: &str,
        file: &Path,
        bytes: u64,
        undo: bool,
        container: &Container,
    ) -> Result<Reply, OraError> {
        let blocks = Inner::blocks(bytes)?;
        let mut inner = self.lock_with_room(8192)?;
        let con_id = inner.con_id(container)?;
        inner.refuse_existing(file)?;
        let control = inner.control()?;
        if control.tablespaces.iter().any(|t| t.con_id == con_id && t.name == name) {
            return Err(OraError::new(1543, format!("tablespace '{name}' already exists")));
        }
        let ts =
            control.tablespaces.iter().filter(|t| t.con_id == con_id).map(|t| t.ts + 1).max().unwrap_or(0);
        let kind = if undo { TablespaceKind::Undo } else { TablespaceKind::Permanent };
        let rec = Tablespace {
            con_id,
            ts,
            name: name.to_owned(),
            kind,
            read_only: false,
            offline: false,
            created: oratime::now(),
        };
        inner
            .control_mut()
            .map(|c| c.tablespaces.push(rec))
            .and_then(|()| inner.add_file(con_id, ts, name, undo, file, blocks))
            .map_err(|e| io_error(&e))?;
        Ok(Reply::default())
    }

    pub(super) fn add_datafile(
        &self,
        tablespace: &str,
        file: &Path,
        bytes: u64,
        container: &Container,
    ) -> Result<Reply, OraError> {
        let blocks = Inner::blocks(bytes)?;
        let mut inner = self.lock_with_room(8192)?;
        let con_id = inner.con_id(container)?;
        inner.refuse_existing(file)?;
        let (ts, _) = inner.tablespace_files(tablespace, con_id)?;
        let undo = inner.tablespace_kind(con_id, ts) == TablespaceKind::Undo;
        inner.add_file(con_id, ts, tablespace, undo, file, blocks).map_err(|e| io_error(&e))?;
        Ok(Reply::default())
    }

    /// DROP TABLESPACE INCLUDING CONTENTS AND DATAFILES.
    pub(super) fn drop_tablespace(&self, name: &str, container: &Container) -> Result<Reply, OraError> {
        let mut inner = self.lock_with_room(8192)?;
        let con_id = inner.con_id(container)?;
        let (ts, files) = inner.tablespace_files(name, con_id)?;
        if matches!(name, "SYSTEM" | "SYSAUX") {
            return Err(OraError::new(1550, format!("cannot drop {} tablespace", name.to_lowercase())));
        }
        if let Some(file) = files.iter().find(|f| f.backup_active) {
            let text = format!("cannot prevent writes - file {} has online backup set", file.file);
            return Err(naming(OraError::new(1150, text), file));
        }
        let thread = inner.own_thread();
        let scn = inner.next_scn();
        for file in &files {
            inner.log(thread, scn, Body::FileDrop { file: file.file });
            if let Some(ledger) = &mut inner.ledger {
                ledger.stage(scn, file.file, Event::Drop);
            }
        }
        let done = inner.write_all_blocks().and_then(|()| {
            for file in &files {
                inner.files.remove(&file.file);
                std::fs::remove_file(&file.path)
                    .with_context(|| format!("delete {}", file.path.display()))?;
            }
            let control = inner.control_mut()?;
            control.datafiles.retain(|f| !(f.con_id == con_id && f.ts == ts));
            for temp in control.tempfiles.iter().filter(|f| f.con_id == con_id && f.ts == ts) {
                std::fs::remove_file(&temp.path)
                    .with_context(|| format!("delete {}", temp.path.display()))?;
            }
            control.tempfiles.retain(|f| !(f.con_id == con_id && f.ts == ts));
            control.tablespaces.retain(|t| !(t.con_id == con_id && t.ts == ts));
            inner.save_control()
        });
        done.map_err(|e| io_error(&e))?;
        Ok(Reply::default())
    }

    pub(super) fn resize_datafile(&self, path: &Path, bytes: u64) -> Result<Reply, OraError> {
        let blocks = Inner::blocks(bytes)?;
        let mut inner = self.lock_with_room(8192)?;
        let rec = inner.file_record(path)?;
        if rec.offline || rec.read_only {
            return Err(naming(
                OraError::new(372, format!("file {} cannot be modified at this time", rec.file)),
                &rec,
            ));
        }
        let thread = inner.own_thread();
        let done = inner.write_all_blocks().and_then(|()| {
            let scn = inner.next_scn();
            inner.log(thread, scn, Body::FileResize { file: rec.file, blocks });
            if let Some(ledger) = &mut inner.ledger {
                ledger.stage(scn, rec.file, Event::Resize { blocks });
            }
            inner.flush_redo()?;
            let open = inner.files.get_mut(&rec.file).context("the file is not open")?;
            datafile::resize(&open.file, rec.file, rec.blocks, blocks, scn).context("resize")?;
            open.header.blocks = blocks;
            open.header.write(&open.file).context("write the file header")?;
            inner.imaged.retain(|(f, b)| *f != rec.file || *b <= blocks.min(rec.blocks));
            if let Some(file) = inner.control_mut()?.datafile_mut(rec.file) {
                file.blocks = blocks;
            }
            inner.save_control()
        });
        done.map_err(|e| io_error(&e))?;
        Ok(Reply::default())
    }

    pub(super) fn tablespace_read_only(
        &self,
        name: &str,
        on: bool,
        container: &Container,
    ) -> Result<Reply, OraError> {
        let mut inner = self.lock_with_room(8192)?;
        let con_id = inner.con_id(container)?;
        let (ts, files) = inner.tablespace_files(name, con_id)?;
        if on {
            if let Some(file) = files.iter().find(|f| f.backup_active) {
                let text = format!("cannot prevent writes - file {} has online backup set", file.file);
                return Err(naming(OraError::new(1150, text), file));
            }
        }
        let already = files.iter().all(|f| f.read_only == on);
        if already {
            return Err(OraError::new(
                if on { 1644 } else { 1646 },
                format!("tablespace '{name}' is {} read only", if on { "already" } else { "not" }),
            ));
        }
        let done = inner.stop_files(&files, on, true).and_then(|()| {
            if let Some(t) =
                inner.control_mut()?.tablespaces.iter_mut().find(|t| t.con_id == con_id && t.ts == ts)
            {
                t.read_only = on;
            }
            inner.save_control()
        });
        done.map_err(|e| io_error(&e))?;
        Ok(Reply::default())
    }

    pub(super) fn tablespace_offline(
        &self,
        name: &str,
        on: bool,
        container: &Container,
    ) -> Result<Reply, OraError> {
        let mut inner = self.lock_with_room(8192)?;
        let con_id = inner.con_id(container)?;
        let (ts, files) = inner.tablespace_files(name, con_id)?;
        if on {
            if let Some(file) = files.iter().find(|f| f.backup_active) {
                let text = format!("cannot prevent writes - file {} has online backup set", file.file);
                return Err(naming(OraError::new(1150, text), file));
            }
            if files.iter().any(|f| f.offline) {
                return Err(OraError::new(1539, format!("tablespace '{name}' is not online")));
            }
        }
        let done = inner.stop_files(&files, on, false).and_then(|()| {
            if let Some(t) =
                inner.control_mut()?.tablespaces.iter_mut().find(|t| t.con_id == con_id && t.ts == ts)
            {
                t.offline = on;
            }
            inner.save_control()
        });
        done.map_err(|e| io_error(&e))?;
        Ok(Reply::default())
    }

    pub(super) fn force_logging(&self, on: bool) -> Result<Reply, OraError> {
        let mut inner = self.lock();
        let control = inner.control()?;
        if control.force_logging == on {
            let (code, text) = if on {
                (12920, "database is already in force logging mode")
            } else {
                (12921, "database is not in force logging mode")
            };
            return Err(OraError::new(code, text));
        }
        inner
            .control_mut()
            .map(|c| c.force_logging = on)
            .and_then(|()| inner.save_control())
            .map_err(|e| io_error(&e))?;
        Ok(Reply::default())
    }

    pub(super) fn set_container(&self, name: &str, container: &mut Container) -> Result<Reply, OraError> {
        let inner = self.lock();
        let control = inner.control()?;
        if control.containers.is_empty() {
            return Err(OraError::new(65090, "operation only allowed in a container database"));
        }
        if inner.state < State::OpenReadOnly && name != "CDB$ROOT" {
            return Err(super::not_open());
        }
        let wanted = Some(name.to_owned());
        inner.con_id(&wanted)?;
        *container = wanted;
        Ok(Reply::default())
    }

    pub(super) fn create_pfile(&self, to: &Path) -> Result<Reply, OraError> {
        let inner = self.lock();
        if inner.state == State::Down {
            return Err(OraError::new(1034, "ORACLE not available"));
        }
        std::fs::write(to, inner.parameter_text()).map_err(|e| {
            OraError::new(7391, "sftopn: fopen error, unable to open text file.").then(27040, e.to_string())
        })?;
        Ok(Reply::default())
    }

    pub(super) fn set_parameter(&self, name: &str, value: &str) -> Result<Reply, OraError> {
        let mut inner = self.lock();
        if inner.state == State::Down {
            return Err(OraError::new(1034, "ORACLE not available"));
        }
        inner.set_parameter(&name.to_lowercase(), value)?;
        inner.save_spec().map_err(|e| io_error(&e))?;
        Ok(Reply::default())
    }
}
