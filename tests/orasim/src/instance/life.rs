//! STARTUP, MOUNT, OPEN, SHUTDOWN, crash recovery, a new incarnation.

use std::{fs::OpenOptions, sync::Arc, time::Duration};

use anyhow::{Context, Result};

use super::{io_error, Inner, Instance, OpenFile, RedoThread, Stall};
use crate::{
    apply::{Applier, Stuck, Target},
    controlfile::{self, ControlFile, Datafile, Incarnation, Kind, LogStatus},
    datafile::{self, Header, HeaderError},
    engine::{OraError, Reply, ShutdownMode, StartupMode, State},
    oratime,
    record::{Body, Record},
    redolog::{Log, LogError, Position},
    truth::{Event, Ledger},
};

/// ORA-01110, the line below every complaint about a file.
pub(super) fn naming(error: OraError, file: &Datafile) -> OraError {
    error.then(1110, format!("data file {}: '{}'", file.file, file.path.display()))
}

pub(in crate::instance) const NO_SUCH_FILE: &str =
    "unable to obtain file status\nLinux-x86_64 Error: 2: No such file or directory\nAdditional information: 3";

pub(super) fn header_error(e: &HeaderError, file: &Datafile) -> OraError {
    match e {
        HeaderError::NotFound => naming(
            OraError::new(
                1157,
                format!("cannot identify/lock data file {} - see DBWR trace file", file.file),
            ),
            file,
        )
        .then(27037, NO_SUCH_FILE),
        HeaderError::Unreadable(_) | HeaderError::Corrupt => naming(
            OraError::new(1122, format!("database file {} failed verification check", file.file)),
            file,
        )
        .then(1251, format!("Unknown File Header Version read for file number {}", file.file)),
    }
}

impl Inner {
    fn mount_control(&mut self) -> Result<(), OraError> {
        let paths = self.control_files();
        let wrong = || OraError::new(205, "error in identifying control file, check alert log for more info");
        let Some(first) = paths.first() else { return Err(wrong()) };
        let data = ControlFile::read(first).map_err(|_| wrong())?;
        if data.name != self.spec.name.to_uppercase() {
            return Err(OraError::new(
                1103,
                format!(
                    "database name '{}' in control file is not '{}'",
                    data.name,
                    self.spec.name.to_uppercase()
                ),
            ));
        }
        let scn = data.scn;
        self.control = Some(controlfile::Open::new(data, &paths).map_err(|e| io_error(&e))?);
        self.scn = scn;
        self.state = State::Mounted;
        Ok(())
    }

    /// What OPEN of the own database finds wrong with its files.
    fn check_files(&self) -> Result<(), OraError> {
        let control = self.control()?;
        for file in control.datafiles.iter().filter(|f| !f.offline) {
            let header = Header::read_path(&file.path).map_err(|e| header_error(&e, file))?;
            if header.flags & datafile::HOT_BACKUP != 0 {
                let text = format!(
                    "file {} needs to be either taken out of backup mode or media recovered",
                    file.file
                );
                return Err(naming(OraError::new(10873, text), file));
            }
            if header.dbid != control.dbid || header.file != file.file {
                return Err(naming(
                    OraError::new(1122, format!("database file {} failed verification check", file.file)),
                    file,
                )
                .then(1206, "file is not part of this database - wrong database id"));
            }
            if header.checkpoint_scn < file.checkpoint_scn {
                return Err(naming(
                    OraError::new(1113, format!("file {} needs media recovery", file.file)),
                    file,
                ));
            }
            if header.checkpoint_scn > file.checkpoint_scn && !control.in_use {
                return Err(naming(
                    OraError::new(1122, format!("database file {} failed verification check", file.file)),
                    file,
                )
                .then(1207, "file is more recent than control file - old control file"));
            }
        }
        Ok(())
    }

    /// Opens the current log of each thread where its redo ends.
    fn open_threads(&mut self) -> Result<()> {
        let control = &self.control.as_ref().context("no control file")?.data;
        let current: Vec<_> =
            control.logs.iter().filter(|l| l.status == LogStatus::Current).cloned().collect();
        for log in current {
            let read = match Log::read_online(&log.path) {
                Ok(read) => read,
                Err(e) => anyhow::bail!("group {} {}: {e:?}", log.group, log.path.display()),
            };
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .open(&log.path)
                .with_context(|| format!("open group {}", log.group))?;
            let capacity = (log.bytes / u64::from(read.header.block_size)) as u32;
            self.redo.insert(
                log.thread,
                RedoThread {
                    group: log.group,
                    file,
                    next_block: read.end(),
                    capacity,
                    header: read.header,
                    staged: Vec::new(),
                    starts: Vec::new(),
                },
            );
        }
        Ok(())
    }

    /// Opens the first log of threads that have none.
    fn start_threads(&mut self) -> Result<()> {
        let control = &self.control.as_ref().context("no control file")?.data;
        let threads: Vec<u16> = control.threads.iter().map(|t| t.thread).collect();
        for thread in threads {
            if !self.redo.contains_key(&thread) {
                let logs = &self.control.as_ref().context("no control file")?.data.logs;
                let first = logs.iter().position(|l| l.thread == thread).context("a thread without logs")?;
                let scn = self.scn;
                self.open_group(thread, first, scn)?;
            }
        }
        Ok(())
    }

    /// Redo of the current logs onto the files: what was changed and not written when the instance died.
    fn crash_recovery(&mut self) -> Result<()> {
        self.finish_interrupted_writes()?;
        let control = &self.control.as_ref().context("no control file")?.data;
        let mut applier = Applier::default();
        for file in control.datafiles.iter().filter(|f| !f.offline && !f.read_only) {
            let header = Header::read_path(&file.path).map_err(|e| anyhow::anyhow!(e.text()))?;
            applier.files.insert(file.file, Target::open(&file.path, header)?);
        }
        let mut records: Vec<Record> = Vec::new();
        for log in control.logs.iter().filter(|l| l.status == LogStatus::Current) {
            let log = Log::read_online(&log.path).map_err(|e: LogError| {
                anyhow::anyhow!("group {} {}: {e:?}", log.group, log.path.display())
            })?;
            let mut at = Position::START;
            while let Some(Ok((record, next))) = log.record(at) {
                records.push(record);
                at = next;
            }
        }
        records.sort_by_key(|r| r.scn);
        let (mut ledger, known) = Ledger::open(&self.dir)?;
        let last = records.last().map_or(0, |r| r.scn);
        for record in &records {
            match applier.apply(record) {
                Ok(_) => {}
                Err(Stuck::Io(e)) => return Err(e),
                Err(other) => anyhow::bail!("crash recovery: {other:?}"),
            }
            if record.scn > known {
                if let Body::Delta { file, block, .. } | Body::Image { file, block, .. } = &record.body {
                    if let Some(hash) = applier.block_hash(*file, *block)? {
                        ledger.stage(record.scn, *file, Event::Change { block: *block, hash });
                    }
                }
            }
        }
        applier.flush()?;
        let scn = self.scn.max(last);
        if known > scn {
            ledger.stage(scn, 0, Event::Undone);
        }
        ledger.flush().context("write the truth")?;
        self.scn = scn;
        Ok(())
    }

    fn open_files(&mut self, writable: bool) -> Result<()> {
        let datafiles = self.control.as_ref().context("no control file")?.data.datafiles.clone();
        for rec in datafiles.iter().filter(|f| !f.offline) {
            self.open_file(rec, writable)?;
        }
        Ok(())
    }

    /// Opens one datafile for the writer and marks it fuzzy.
    pub(super) fn open_file(&mut self, rec: &Datafile, writable: bool) -> Result<()> {
        let writable = writable && !rec.read_only;
        let file = OpenOptions::new()
            .read(true)
            .write(writable)
            .open(&rec.path)
            .with_context(|| format!("open {}", rec.path.display()))?;
        if writable && !datafile::take(&file) {
            anyhow::bail!("{} is in use by another instance", rec.path.display());
        }
        let mut header =
            Header::read(&file).map_err(|e| anyhow::anyhow!("{}: {}", rec.path.display(), e.text()))?;
        if writable {
            header.flags |= datafile::ONLINE_FUZZY;
            header.write(&file).with_context(|| format!("write the header of {}", rec.path.display()))?;
        }
        self.files.insert(rec.file, OpenFile { file, header, writable });
        Ok(())
    }

    fn open_read_write(&mut self) -> Result<()> {
        if self.control_mut()?.in_use {
            self.crash_recovery()?;
        }
        self.open_threads()?;
        let (ledger, _) = Ledger::open(&self.dir)?;
        self.ledger = Some(ledger);
        self.open_files(true)?;
        self.start_threads()?;
        self.control_mut()?.in_use = true;
        let scn = self.next_scn();
        self.checkpoint(scn)?;
        self.save_control()?;
        self.state = State::Open;
        Ok(())
    }

    /// Everything below the present SCN belongs to the old incarnation, everything after to the new one.
    pub(super) fn new_incarnation(&mut self) -> Result<()> {
        let scn = self.next_scn();
        let now = oratime::now();
        self.flush_redo()?;
        self.redo.clear();
        self.archive_remaining(scn)?;
        let control = self.control_mut()?;
        let old = control.incarnation().cloned().context("no incarnation")?;
        for i in &mut control.incarnations {
            i.current = false;
        }
        let mut time = now;
        if oratime::pack(time) <= old.resetlogs_id {
            time = old.resetlogs_time + chrono::TimeDelta::seconds(1);
        }
        let id = oratime::pack(time).max(old.resetlogs_id + 1);
        control.incarnations.push(Incarnation {
            number: old.number + 1,
            resetlogs_scn: scn,
            resetlogs_time: time,
            resetlogs_id: id,
            prior_scn: old.resetlogs_scn,
            prior_time: Some(old.resetlogs_time),
            prior_number: old.number,
            current: true,
        });
        control.activation = control.activation.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        control.kind = Kind::Current;
        for t in &mut control.threads {
            t.sequence = 0;
            t.current_group = 0;
        }
        for log in &mut control.logs {
            log.status = LogStatus::Unused;
            log.archived = true;
            log.sequence = 0;
            log.identity = None;
        }
        for file in self.files.values_mut().filter(|f| f.writable) {
            file.header.resetlogs_id = id;
            file.header.resetlogs_scn = scn;
        }
        self.start_threads()?;
        if let Some(ledger) = &mut self.ledger {
            ledger.stage(scn, 0, Event::Resetlogs);
        }
        self.checkpoint(scn)?;
        self.save_control()
    }

    /// From open back to mounted, after ACTIVATE.
    pub(super) fn close_activated(&mut self) -> Result<()> {
        self.close()?;
        self.redo.clear();
        self.files.clear();
        self.ledger = None;
        self.state = State::Mounted;
        Ok(())
    }

    fn close(&mut self) -> Result<()> {
        let scn = self.next_scn();
        let thread = self.own_thread();
        match self.room(thread, 64) {
            Ok(()) => self.log(thread, scn, Body::CleanClose),
            // No room and no archiver: the headers say it as well.
            Err(Stall::Archiver) => {}
            Err(Stall::Failed(e)) => return Err(e),
        }
        self.flush_redo()?;
        let scn = self.next_scn();
        for file in self.files.values_mut().filter(|f| f.writable) {
            file.header.flags &= !datafile::ONLINE_FUZZY;
        }
        self.checkpoint(scn)?;
        self.control_mut()?.in_use = false;
        self.save_control()
    }
}

impl Instance {
    pub(super) fn startup(self: &Arc<Self>, mode: StartupMode) -> Result<Reply, OraError> {
        {
            let mut inner = self.lock();
            if inner.state != State::Down {
                return Err(OraError::new(1081, "cannot start already-running ORACLE - shut it down first"));
            }
            inner.state = State::Nomount;
            inner.started = oratime::now();
            if mode == StartupMode::Nomount {
                return Ok(Reply::default());
            }
            inner.mount_control()?;
            if mode == StartupMode::Mount {
                drop(inner);
                self.start_background();
                return Ok(Reply::default());
            }
        }
        self.start_background();
        self.open_database(mode == StartupMode::OpenReadOnly, false)
    }

    pub(super) fn mount(self: &Arc<Self>, standby: bool) -> Result<Reply, OraError> {
        let mut inner = self.lock();
        match inner.state {
            State::Down => return Err(OraError::new(1034, "ORACLE not available")),
            State::Nomount => {}
            _ => return Err(OraError::new(1100, "database already mounted")),
        }
        inner.mount_control()?;
        if standby && inner.control()?.kind != Kind::Standby {
            inner.forget();
            inner.state = State::Nomount;
            return Err(OraError::new(1665, "control file is not a standby control file"));
        }
        drop(inner);
        self.start_background();
        Ok(Reply::default())
    }

    pub(super) fn open_database(
        self: &Arc<Self>,
        read_only: bool,
        resetlogs: bool,
    ) -> Result<Reply, OraError> {
        let mut inner = self.lock();
        match inner.state {
            State::Down => return Err(OraError::new(1034, "ORACLE not available")),
            State::Nomount => return Err(super::not_mounted()),
            State::Mounted => {}
            State::OpenReadOnly | State::Open => {
                return Err(OraError::new(1531, "a database already being opened by this instance"))
            }
        }
        match inner.control()?.kind {
            Kind::Standby => {
                if resetlogs {
                    return Err(OraError::new(1666, "control file is for a standby database"));
                }
                if inner.managed.is_some() {
                    let text = "cannot open standby database; media recovery session may be in\nprogress";
                    return Err(OraError::new(10456, text));
                }
                inner.check_recovered().map_err(|e| {
                    let mut all = OraError::new(10458, "standby database requires recovery");
                    all.stack.extend(e.stack);
                    all
                })?;
                inner.state = State::OpenReadOnly;
                return Ok(Reply::default());
            }
            Kind::Backup if !resetlogs => {
                return Err(OraError::new(
                    1589,
                    "must use RESETLOGS or NORESETLOGS option for database open",
                ));
            }
            Kind::Backup => {
                inner.check_recovered()?;
                inner.become_primary().map_err(|e| io_error(&e))?;
            }
            Kind::Current if resetlogs => {
                return Err(OraError::new(
                    1139,
                    "RESETLOGS option only valid after an incomplete database recovery",
                ));
            }
            Kind::Current => {
                inner.check_files()?;
                if read_only {
                    if inner.control()?.in_use {
                        return Err(OraError::new(16005, "database requires recovery"));
                    }
                    inner.state = State::OpenReadOnly;
                    return Ok(Reply::default());
                }
                inner.open_read_write().map_err(|e| io_error(&e))?;
            }
        }
        drop(inner);
        self.changed.notify_all();
        Ok(Reply::default())
    }

    /// OPEN READ ONLY of the root leaves the pluggable databases mounted, all but the seed.
    pub(super) fn open_pluggable(&self) -> Result<Reply, OraError> {
        let mut inner = self.lock();
        let containers = inner.control()?.containers.clone();
        match inner.state {
            _ if containers.is_empty() => {
                return Err(OraError::new(65090, "operation only allowed in a container database"))
            }
            State::OpenReadOnly => {}
            State::Open => {
                return Err(OraError::new(
                    3001,
                    "unimplemented feature (OPEN READ ONLY of an open PDB in orasim)",
                ))
            }
            _ => return Err(super::not_open()),
        }
        let stuck = inner.faults.pdbs_stay_mounted.clone();
        let refused = |k: &&controlfile::ContainerRec| stuck.contains(&k.name);
        let open = containers.iter().filter(|k| k.con_id > 2 && !refused(k)).map(|k| k.con_id);
        inner.pdbs_open.extend(open);
        match containers.iter().find(refused) {
            Some(k) => Err(OraError::new(1157, "cannot identify/lock data file - see DBWR trace file")
                .then(1110, format!("data file of {}", k.name))),
            None => Ok(Reply::default()),
        }
    }

    pub(super) fn shutdown(&self, mode: ShutdownMode) -> Result<Reply, OraError> {
        let state = {
            let inner = self.lock();
            if inner.state == State::Down {
                return Err(OraError::new(1034, "ORACLE not available"));
            }
            if inner.state == State::Open && mode != ShutdownMode::Abort {
                let active = inner.control()?.datafiles.iter().find(|f| f.backup_active);
                if let Some(file) = active {
                    let text = format!("cannot shutdown - file {} has online backup set", file.file);
                    return Err(naming(OraError::new(1149, text), file));
                }
            }
            inner.state
        };
        if mode == ShutdownMode::Abort {
            self.crash();
            return Ok(Reply::default());
        }
        self.end_background();
        let mut inner = self.lock();
        let closed = if state == State::Open { inner.close() } else { Ok(()) };
        inner.forget();
        inner.state = State::Down;
        drop(inner);
        self.changed.notify_all();
        closed.map_err(|e| io_error(&e))?;
        Ok(Reply::default())
    }

    /// OPEN RESETLOGS of a running primary, as after an incomplete recovery of nothing: a new incarnation from here on.
    /// The logs of the old one are archived to the last change.
    pub fn resetlogs_now(&self) -> Result<(), OraError> {
        self.lock().frozen = true;
        let result = self.archive_log_current().and_then(|_| {
            let mut inner = self.lock();
            inner.new_incarnation().map_err(|e| io_error(&e))
        });
        self.lock().frozen = false;
        self.changed.notify_all();
        result
    }

    /// Waits until every finished log is archived, or says `false` after `at_most`.
    pub fn wait_archived(&self, at_most: Duration) -> bool {
        let deadline = std::time::Instant::now() + at_most;
        let mut inner = self.lock();
        loop {
            let waiting = inner
                .control
                .as_ref()
                .is_some_and(|c| c.data.logs.iter().any(|l| !l.archived && l.status == LogStatus::Inactive));
            if !waiting {
                return true;
            }
            if std::time::Instant::now() >= deadline {
                return false;
            }
            inner = self.wait(inner, Duration::from_millis(50));
        }
    }
}
