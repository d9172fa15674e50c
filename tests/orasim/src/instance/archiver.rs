//! ARCn: copies finished logs to the local destinations, visibly growing, and publishes a row when one is whole.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use chrono::NaiveDateTime;

use super::{DestSpec, Inner, Instance};
use crate::{
    controlfile::{Archived, Incarnation, Kind, LogRec, LogStatus},
    engine::{OraError, State},
    oratime, redolog,
};

/// LOG_ARCHIVE_FORMAT filled in; capital letters pad with zeros as Oracle does.
pub fn archive_name(
    format: &str,
    thread: u16,
    sequence: u32,
    resetlogs_id: u32,
    dbid: u32,
    activation: u32,
) -> String {
    let mut out = String::new();
    let mut chars = format.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('t') => out.push_str(&thread.to_string()),
            Some('T') => out.push_str(&format!("{thread:04}")),
            Some('s') => out.push_str(&sequence.to_string()),
            Some('S') => out.push_str(&format!("{sequence:010}")),
            Some('r') => out.push_str(&resetlogs_id.to_string()),
            Some('R') => out.push_str(&format!("{resetlogs_id:010}")),
            Some('d' | 'D') => out.push_str(&format!("{dbid:08x}")),
            Some('a' | 'A') => out.push_str(&format!("{activation:08x}")),
            Some(other) => {
                out.push('%');
                out.push(other);
            }
            None => out.push('%'),
        }
    }
    out
}

impl Inner {
    /// Where a log goes in a local destination. The eight characters of an Oracle-managed name are random.
    fn archived_path(
        &mut self,
        dest: &DestSpec,
        log: &LogRec,
        incarnation: &Incarnation,
        now: NaiveDateTime,
    ) -> Option<PathBuf> {
        let directory = dest.directory.clone()?;
        if !dest.omf {
            let control = &self.control.as_ref()?.data;
            let (dbid, activation) = (control.dbid, control.activation);
            let format = &self.spec.log_archive_format;
            let name =
                archive_name(format, log.thread, log.sequence, incarnation.resetlogs_id, dbid, activation);
            return Some(directory.join(name));
        }
        let unique = self.spec.unique_name.as_ref().unwrap_or(&self.spec.name).to_uppercase();
        let mut random = self.random();
        let letters: String = (0..8)
            .map(|_| {
                let c = b"0123456789bcdfghjklmnpqrstvwxyz"[(random % 31) as usize];
                random /= 31;
                char::from(c)
            })
            .collect();
        let day = now.format("%Y_%m_%d").to_string();
        let name = format!("o1_mf_{}_{}_{letters}_.arc", log.thread, log.sequence);
        Some(directory.join(unique).join("archivelog").join(day).join(name))
    }

    pub(super) fn archived_row(
        &self,
        log: &LogRec,
        incarnation: &Incarnation,
        dest: &DestSpec,
        name: &str,
    ) -> Option<Archived> {
        let control = &self.control.as_ref()?.data;
        let now = oratime::now();
        let remote = dest.service.is_some();
        Some(Archived {
            recid: 0,
            stamp: oratime::pack(now),
            name: Some(name.to_owned()),
            dest_id: dest.id,
            thread: log.thread,
            sequence: log.sequence,
            resetlogs_scn: incarnation.resetlogs_scn,
            resetlogs_time: incarnation.resetlogs_time,
            resetlogs_id: incarnation.resetlogs_id,
            first_scn: log.first_scn,
            first_time: log.first_time,
            next_scn: log.next_scn?,
            next_time: log.next_time?,
            blocks: log.nab? - 1,
            block_size: control.redo_block_size,
            creator: if remote { "LGWR" } else { "ARCH" }.to_owned(),
            registrar: if remote { "LGWR" } else { "ARCH" }.to_owned(),
            standby_dest: remote,
            applied: false,
            deleted: false,
            completion: now,
            activation: control.activation,
            in_recovery_area: dest.omf,
            identity: None,
        })
    }

    fn publish(&mut self, mut row: Archived) -> Result<()> {
        let control = self.control_mut()?;
        control.last_recid += 1;
        row.recid = control.last_recid;
        control.archived.push(row);
        self.save_control()
    }

    fn has_row(&self, dest: u32, log: &LogRec, resetlogs_scn: u64) -> bool {
        self.control.as_ref().is_some_and(|c| {
            c.data.archived.iter().rev().any(|a| {
                (a.dest_id, a.thread, a.sequence, a.resetlogs_scn)
                    == (dest, log.thread, log.sequence, resetlogs_scn)
            })
        })
    }

    /// What a session gets that cannot wait any longer for the archiver.
    pub(super) fn archive_error(&self) -> OraError {
        let waiting = self.control.as_ref().and_then(|c| {
            let logs = c.data.logs.iter().filter(|l| !l.archived && l.status == LogStatus::Inactive);
            logs.min_by_key(|l| l.first_scn).cloned()
        });
        let Some(log) = waiting else {
            return OraError::new(257, "Archiver error. Connect AS SYSDBA only until resolved.");
        };
        let path = log.path.display();
        if self.dest_errors.is_empty() {
            return OraError::new(257, "Archiver error. Connect AS SYSDBA only until resolved.");
        }
        let mut error =
            OraError::new(16038, format!("log {} sequence# {} cannot be archived", log.group, log.sequence));
        for text in self.dest_errors.values() {
            error = error.then(
                19502,
                format!("write error on file \"\", block number {} (block size={})\n{text}", 1, 512),
            );
        }
        error.then(312, format!("online log {} thread {}: '{path}'", log.group, log.thread))
    }
}

impl Inner {
    /// OPEN RESETLOGS archives what is left in the online logs of the incarnation that ends at `scn`: a backup from before
    /// can then be recovered through it.
    pub(super) fn archive_remaining(&mut self, scn: u64) -> Result<()> {
        let control = &self.control.as_ref().context("no control file")?.data;
        let Some(incarnation) = control.incarnation().cloned() else { return Ok(()) };
        if control.kind == Kind::Standby || !control.archivelog {
            return Ok(());
        }
        let Some(dest) = self.dests().into_iter().filter(|d| d.directory.is_some()).min_by_key(|d| d.id)
        else {
            return Ok(());
        };
        for log in control.logs.clone() {
            let Ok(read) = redolog::Log::read_online(&log.path) else { continue };
            let mut header = read.header.clone();
            let ours = header.dbid == self.control.as_ref().map_or(0, |c| c.data.dbid)
                && header.resetlogs_scn == incarnation.resetlogs_scn
                && header.thread == log.thread
                && header.low_scn < scn;
            let rec = LogRec {
                sequence: header.sequence,
                first_scn: header.low_scn,
                first_time: oratime::unpack(header.low_time).unwrap_or_default(),
                ..log.clone()
            };
            if !ours || self.has_row(dest.id, &rec, incarnation.resetlogs_scn) {
                continue;
            }
            let now = oratime::now();
            if header.next_scn == redolog::OPEN_SCN {
                let mut last = 0;
                let mut at = redolog::Position::START;
                while let Some(Ok((record, next))) = read.record(at) {
                    last = record.scn;
                    at = next;
                }
                header.nab = read.end();
                header.next_scn = scn.max(last + 1);
                header.next_time = oratime::pack(now);
            }
            let rec = LogRec {
                next_scn: Some(header.next_scn),
                next_time: oratime::unpack(header.next_time).or(Some(now)),
                nab: Some(header.nab),
                ..rec
            };
            let Some(path) = self.archived_path(&dest, &rec, &incarnation, now) else { continue };
            let mut bytes =
                fs::read(&log.path).with_context(|| format!("read group {} to archive it", log.group))?;
            bytes.truncate(header.nab as usize * header.block_size as usize);
            let head = header.encode();
            bytes[..head.len()].copy_from_slice(&head);
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent).with_context(|| format!("make {}", parent.display()))?;
            }
            fs::write(&path, bytes).with_context(|| format!("archive to {}", path.display()))?;
            if let Some(row) = self.archived_row(&rec, &incarnation, &dest, &path.to_string_lossy()) {
                self.publish(row)?;
            }
        }
        Ok(())
    }
}

/// What one round of the archiver copies.
struct Job {
    log: LogRec,
    incarnation: Incarnation,
    targets: Vec<(DestSpec, PathBuf)>,
    bytes: u64,
}

impl Instance {
    /// One log, or one wait for one; `false` when the archiver is to end.
    pub(super) fn archiver_round(&self) -> bool {
        if self.stopped() {
            return false;
        }
        let Some(job) = self.next_job() else {
            let inner = self.lock();
            if !self.stopped() {
                drop(self.wait(inner, Duration::from_millis(200)));
            }
            return true;
        };
        if let Err(e) = self.archive(&job) {
            let mut inner = self.lock();
            for (dest, _) in &job.targets {
                inner.dest_errors.entry(dest.id).or_insert_with(|| format!("{e:#}"));
            }
            drop(self.wait(inner, Duration::from_millis(300)));
        }
        true
    }

    fn next_job(&self) -> Option<Job> {
        let mut inner = self.lock();
        if inner.state < State::Mounted || inner.faults.archiver_stuck {
            return None;
        }
        let control = &inner.control.as_ref()?.data;
        if control.kind != Kind::Current {
            return None;
        }
        let incarnation = control.incarnation()?.clone();
        let log = control
            .logs
            .iter()
            .filter(|l| !l.archived && l.status == LogStatus::Inactive)
            .min_by_key(|l| l.first_scn)?
            .clone();
        let used = u64::from(log.nab?) * u64::from(control.redo_block_size);
        let bytes = if inner.spec.archive_full_size { log.bytes } else { used };
        let now = oratime::now();
        let mut targets = Vec::new();
        for dest in inner.dests() {
            if !inner.has_row(dest.id, &log, incarnation.resetlogs_scn) {
                if let Some(path) = inner.archived_path(&dest, &log, &incarnation, now) {
                    targets.push((dest, path));
                }
            }
        }
        Some(Job { log, incarnation, targets, bytes })
    }

    fn archive(&self, job: &Job) -> Result<()> {
        let mut failed = None;
        for (dest, path) in &job.targets {
            match self.fill(dest.id, &job.log.path, path, job.bytes) {
                Ok(true) => {}
                // Shut down or crashed in the middle: the half file stays.
                Ok(false) => return Ok(()),
                Err(e) => {
                    let text = format!("{e:#}");
                    self.lock().dest_errors.insert(dest.id, text);
                    failed = Some(e);
                    continue;
                }
            }
            let mut inner = self.lock();
            inner.dest_errors.remove(&dest.id);
            if let Some(row) = inner.archived_row(&job.log, &job.incarnation, dest, &path.to_string_lossy()) {
                inner.publish(row)?;
            }
            if inner.faults.lose_archived.contains(&(job.log.thread, job.log.sequence)) {
                fs::remove_file(path).with_context(|| format!("lose {}", path.display()))?;
            }
        }
        if let Some(e) = failed {
            return Err(e);
        }
        let mut inner = self.lock();
        for dest in inner.dests() {
            let Some(service) = &dest.service else { continue };
            if !inner.has_row(dest.id, &job.log, job.incarnation.resetlogs_scn) {
                if let Some(row) = inner.archived_row(&job.log, &job.incarnation, &dest, service) {
                    inner.publish(row)?;
                }
            }
        }
        let control = inner.control_mut()?;
        if let Some(log) = control.logs.iter_mut().find(|l| {
            (l.group, l.sequence, l.first_scn) == (job.log.group, job.log.sequence, job.log.first_scn)
        }) {
            log.archived = true;
        }
        inner.save_control()?;
        drop(inner);
        self.changed.notify_all();
        Ok(())
    }

    /// Copies under the final name, at the archiver's speed. `false` when the instance went down meanwhile.
    fn fill(&self, dest: u32, from: &Path, to: &Path, bytes: u64) -> Result<bool> {
        if let Some(parent) = to.parent() {
            fs::create_dir_all(parent).with_context(|| format!("make {}", parent.display()))?;
        }
        let source = File::open(from).with_context(|| format!("open {}", from.display()))?;
        let mut source = source.take(bytes);
        let mut target = File::create(to).with_context(|| format!("make {}", to.display()))?;
        let mut buffer = vec![0; 64 << 10];
        let begun = Instant::now();
        let mut done = 0u64;
        loop {
            let n = source.read(&mut buffer).with_context(|| format!("read {}", from.display()))?;
            if n == 0 {
                return Ok(true);
            }
            loop {
                let (speed, stuck, full) = {
                    let inner = self.lock();
                    let f = &inner.faults;
                    let speed = f.archiver_bytes_per_second.unwrap_or(inner.spec.archive_bytes_per_second);
                    (speed, f.archiver_stuck, f.full_dests.contains(&dest))
                };
                if full {
                    let e = io::Error::from_raw_os_error(rustix::io::Errno::NOSPC.raw_os_error());
                    return Err(e).with_context(|| format!("write {}", to.display()));
                }
                if self.stopped() {
                    return Ok(false);
                }
                let late = speed > 0 && begun.elapsed().as_secs_f64() < done as f64 / speed as f64;
                if !stuck && !late {
                    break;
                }
                std::thread::sleep(Duration::from_millis(5));
            }
            target.write_all(&buffer[..n]).with_context(|| format!("write {}", to.display()))?;
            done += n as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::archive_name;

    #[test]
    fn names_are_those_of_real_databases() {
        assert_eq!(archive_name("%t_%s_%r.dbf", 1, 648, 928_161_908, 0, 0), "1_648_928161908.dbf");
        assert_eq!(archive_name("ARC%S_%R.%T", 1, 24380, 874_659_493, 0, 0), "ARC0000024380_0874659493.0001");
    }
}
