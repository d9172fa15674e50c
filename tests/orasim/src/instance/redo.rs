//! Redo of a running instance: staging, flushing, switching logs, checkpoints.

use std::{
    fs::OpenOptions,
    os::unix::fs::FileExt,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

use super::{io_error, not_open, Inner, Instance, RedoThread, Stall};
use crate::{
    controlfile::{History, LogStatus},
    datafile,
    engine::{OraError, Reply, State},
    oratime,
    record::{Body, Record},
    redolog::{self, LogHeader, Order, OPEN_NAB, OPEN_SCN},
};

impl Inner {
    /// Makes sure that `bytes` of redo fit into the thread's current log, switching it if they do not.
    pub(super) fn room(&mut self, thread: u16, bytes: usize) -> Result<(), Stall> {
        let redo = self.redo.get(&thread).context("the thread is not open")?;
        let blocks = redolog::blocks_for(redo.staged.len() + bytes, redo.header.block_size);
        if redo.next_block + blocks <= redo.capacity {
            return Ok(());
        }
        self.switch(thread)
    }

    /// Stages a record; the caller has asked for room.
    pub(super) fn log(&mut self, thread: u16, scn: u64, body: Body) {
        if let Some(redo) = self.redo.get_mut(&thread) {
            redo.starts.push(redo.staged.len());
            Record::new(scn, body).encode(&mut redo.staged);
        }
    }

    /// Writes all staged redo, then the truth about it. No changed block may reach its file before.
    pub(super) fn flush_redo(&mut self) -> Result<()> {
        for redo in self.redo.values_mut() {
            if redo.staged.is_empty() {
                continue;
            }
            let blocks = redolog::blocks(&redo.staged, &redo.starts, &redo.header, redo.next_block);
            let bs = u64::from(redo.header.block_size);
            if self.faults.lose_redo_writes > 0 {
                self.faults.lose_redo_writes -= 1;
            } else {
                redo.file
                    .write_all_at(&blocks, u64::from(redo.next_block) * bs)
                    .with_context(|| format!("write group {}", redo.group))?;
            }
            redo.next_block += (blocks.len() as u64 / bs) as u32;
            redo.staged.clear();
            redo.starts.clear();
        }
        if let Some(ledger) = &mut self.ledger {
            ledger.flush().context("write the truth")?;
        }
        Ok(())
    }

    /// The group that a switch would take next, if it is free.
    fn free_group(&self, thread: u16) -> Result<usize, Stall> {
        let control = self.control.as_ref().context("no control file")?;
        let archivelog = control.data.archivelog;
        let logs = &control.data.logs;
        let current = self.redo.get(&thread).map(|r| r.group);
        let of_thread: Vec<usize> = (0..logs.len()).filter(|i| logs[*i].thread == thread).collect();
        let at =
            of_thread.iter().position(|i| Some(logs[*i].group) == current).unwrap_or(of_thread.len() - 1);
        let next = of_thread[(at + 1) % of_thread.len()];
        let log = &logs[next];
        if log.status != LogStatus::Unused && archivelog && !log.archived {
            return Err(Stall::Archiver);
        }
        Ok(next)
    }

    /// A log switch of one thread: checkpoint, end of the old log, begin of the new one.
    pub(super) fn switch(&mut self, thread: u16) -> Result<(), Stall> {
        let next = self.free_group(thread)?;
        self.flush_redo()?;
        let at = self.next_scn();
        let now = oratime::now();
        let time = oratime::pack(now);
        if let Some(redo) = self.redo.get_mut(&thread) {
            redo.header.nab = redo.next_block;
            redo.header.next_scn = at;
            redo.header.next_time = time;
            redo.file.write_all_at(&redo.header.encode(), 0).context("write the header of the old log")?;
            let (group, nab) = (redo.group, redo.next_block);
            let control = self.control_mut()?;
            let incarnation = control.incarnation().cloned().context("no incarnation")?;
            let archivelog = control.archivelog;
            control.last_recid += 1;
            let recid = control.last_recid;
            let log = control.logs.iter_mut().find(|l| l.group == group).context("no such group")?;
            log.status = LogStatus::Inactive;
            log.archived = !archivelog;
            log.next_scn = Some(at);
            log.next_time = Some(now);
            log.nab = Some(nab);
            let history = History {
                recid,
                thread,
                sequence: log.sequence,
                first_scn: log.first_scn,
                first_time: log.first_time,
                next_scn: at,
                resetlogs_scn: incarnation.resetlogs_scn,
                resetlogs_time: incarnation.resetlogs_time,
                resetlogs_id: incarnation.resetlogs_id,
            };
            control.history.push(history);
        }
        self.open_group(thread, next, at)?;
        self.checkpoint(at)?;
        self.save_control()?;
        Ok(())
    }

    /// Makes log number `index` of the control file the current one of its thread, from `scn` on.
    pub(super) fn open_group(&mut self, thread: u16, index: usize, scn: u64) -> Result<()> {
        let now = oratime::now();
        let big = self.spec.big_endian_redo;
        let control = self.control_mut()?;
        let incarnation = control.incarnation().cloned().context("no incarnation")?;
        let before = control.incarnations.iter().find(|i| i.number == incarnation.prior_number).cloned();
        let (dbid, db_name, control_seq, activation) =
            (control.dbid, control.name.clone(), control.sequence, control.activation);
        let block_size = control.redo_block_size;
        let thread_rec = control.threads.iter_mut().find(|t| t.thread == thread).context("no such thread")?;
        thread_rec.sequence += 1;
        let sequence = thread_rec.sequence;
        let log = control.logs.get_mut(index).context("no such log")?;
        thread_rec.current_group = log.group;
        log.sequence = sequence;
        log.status = LogStatus::Current;
        log.archived = false;
        log.first_scn = scn;
        log.first_time = now;
        log.next_scn = None;
        log.next_time = None;
        log.nab = None;
        let (group, path, bytes) = (log.group, log.path.clone(), log.bytes);
        let capacity = (bytes / u64::from(block_size)) as u32;
        let header = LogHeader {
            order: if big { Order::Big } else { Order::Little },
            block_size,
            dbid,
            db_name,
            control_seq,
            file_blocks: capacity - 1,
            group,
            activation,
            thread,
            sequence,
            nab: OPEN_NAB,
            resetlogs_id: incarnation.resetlogs_id,
            resetlogs_scn: incarnation.resetlogs_scn,
            low_scn: scn,
            low_time: oratime::pack(now),
            next_scn: OPEN_SCN,
            next_time: 0,
            previous_resetlogs_id: before.as_ref().map_or(0, |i| i.resetlogs_id),
            previous_resetlogs_scn: before.as_ref().map_or(0, |i| i.resetlogs_scn),
        };
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&path)
            .with_context(|| format!("open group {group} {}", path.display()))?;
        file.write_all_at(&header.encode(), 0)
            .with_context(|| format!("write the header of group {group}"))?;
        self.redo.insert(
            thread,
            RedoThread {
                group,
                file,
                header,
                next_block: 2,
                capacity,
                staged: Vec::new(),
                starts: Vec::new(),
            },
        );
        Ok(())
    }

    /// Writes out every changed block and moves the headers of files that are not in backup mode to `scn`.
    pub(super) fn checkpoint(&mut self, scn: u64) -> Result<()> {
        self.write_all_blocks()?;
        let now = oratime::now();
        let (thread, sequence) =
            self.redo.iter().next().map_or((1, 0), |(thread, redo)| (*thread, redo.header.sequence));
        let Some(open) = &mut self.control else { return Ok(()) };
        for t in &mut open.data.threads {
            t.checkpoint_scn = scn;
            t.checkpoint_time = now;
            t.last_scn = scn;
        }
        for (number, file) in &mut self.files {
            if !file.writable {
                continue;
            }
            let Some(rec) = open.data.datafile_mut(*number) else { continue };
            rec.checkpoint_scn = scn;
            rec.checkpoint_time = now;
            rec.checkpoint_count += 1;
            file.header.checkpoint_count = rec.checkpoint_count;
            if file.header.flags & datafile::HOT_BACKUP == 0 {
                file.header.checkpoint_scn = scn;
                file.header.checkpoint_time = oratime::pack(now);
                file.header.thread = thread;
                file.header.rba_seq = sequence;
                file.header.rba_block = 2;
            }
            file.header.write(&file.file).with_context(|| format!("write the header of file {number}"))?;
        }
        Ok(())
    }
}

impl Instance {
    /// The lock on an open database that has room for `bytes` of redo in its first thread. Waits as long as the
    /// database hangs for its archiver.
    pub(super) fn lock_with_room(&self, bytes: usize) -> Result<std::sync::MutexGuard<'_, Inner>, OraError> {
        let mut inner = self.lock();
        loop {
            if inner.state != State::Open {
                return Err(inner.control().err().unwrap_or_else(not_open));
            }
            let thread = inner.own_thread();
            match inner.room(thread, bytes) {
                Ok(()) => return Ok(inner),
                Err(Stall::Archiver) => inner = self.wait(inner, Duration::from_millis(50)),
                Err(Stall::Failed(e)) => return Err(io_error(&e)),
            }
        }
    }

    pub(super) fn checkpoint_command(&self) -> Result<Reply, OraError> {
        let mut inner = self.lock_with_room(64)?;
        let scn = inner.next_scn();
        inner
            .flush_redo()
            .and_then(|()| inner.checkpoint(scn))
            .and_then(|()| inner.save_control())
            .map_err(|e| io_error(&e))?;
        Ok(Reply::default())
    }

    pub(super) fn switch_logfile(&self) -> Result<Reply, OraError> {
        let deadline = self.archive_deadline();
        let mut inner = self.lock();
        loop {
            if inner.state != State::Open {
                return Err(inner.control().err().unwrap_or_else(not_open));
            }
            let thread = inner.own_thread();
            match inner.switch(thread) {
                Ok(()) => break,
                Err(Stall::Archiver) => inner = self.wait_for_archiver(inner, deadline)?,
                Err(Stall::Failed(e)) => return Err(io_error(&e)),
            }
        }
        drop(inner);
        self.changed.notify_all();
        Ok(Reply::default())
    }

    fn archive_deadline(&self) -> Option<Instant> {
        self.lock().faults.archive_wait_limit_ms.map(|ms| Instant::now() + Duration::from_millis(ms))
    }

    /// One wait for the archiver; an error once the limit set as a fault has passed.
    fn wait_for_archiver<'a>(
        &'a self,
        inner: std::sync::MutexGuard<'a, Inner>,
        deadline: Option<Instant>,
    ) -> Result<std::sync::MutexGuard<'a, Inner>, OraError> {
        let inner = self.wait(inner, Duration::from_millis(100));
        // The instance may have died meanwhile: its sessions end with it.
        if inner.state != State::Open {
            return Err(OraError::new(3113, "end-of-file on communication channel"));
        }
        if deadline.is_some_and(|d| Instant::now() >= d) {
            return Err(inner.archive_error());
        }
        Ok(inner)
    }

    /// Switches every enabled thread and waits until all these logs are archived.
    pub(super) fn archive_log_current(&self) -> Result<Reply, OraError> {
        let deadline = self.archive_deadline();
        let mut inner = self.lock();
        if inner.state != State::Open {
            return Err(inner.control().err().unwrap_or_else(not_open));
        }
        if !inner.control()?.archivelog {
            return Err(OraError::new(258, "manual archiving in NOARCHIVELOG mode must identify log"));
        }
        let threads: Vec<u16> = inner.redo.keys().copied().collect();
        let mut wanted = Vec::new();
        for thread in threads {
            let sequence = inner.redo.get(&thread).map_or(0, |r| r.header.sequence);
            loop {
                // Somebody else's switch while this waited does as well.
                if inner.redo.get(&thread).is_none_or(|r| r.header.sequence != sequence) {
                    break;
                }
                match inner.switch(thread) {
                    Ok(()) => break,
                    Err(Stall::Archiver) => inner = self.wait_for_archiver(inner, deadline)?,
                    Err(Stall::Failed(e)) => return Err(io_error(&e)),
                }
            }
            wanted.push((thread, sequence));
        }
        self.changed.notify_all();
        loop {
            let control = inner.control()?;
            let open = control.logs.iter().any(|l| {
                !l.archived
                    && wanted
                        .iter()
                        .any(|(t, s)| l.thread == *t && l.sequence <= *s && l.status != LogStatus::Unused)
            });
            if !open {
                return Ok(Reply::default());
            }
            inner = self.wait_for_archiver(inner, deadline)?;
        }
    }
}
