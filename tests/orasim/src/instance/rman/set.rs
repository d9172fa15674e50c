//! One backup set: reads the database and writes pieces.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use chrono::NaiveDateTime;

use super::{
    messages::{create_error, missing, write_error},
    Tally,
};
use crate::{
    block::{self, SIZE},
    controlfile::{Archived, ControlFile},
    datafile::{self, Header},
    engine::State,
    instance::{Inner, Instance},
    oratime,
    pieces::{
        api::Message,
        format::{self, Kind, Writer},
        names::Naming,
        records::{BackupSet, Piece, PieceStatus, SetControlfile, SetDatafile, SetLog, SetSpfile, SetType},
    },
    redolog::{Log, LogError},
};

/// How often a block that is not whole is read again, and how long it rests in between.
const AGAIN: u32 = 400;
const REST: Duration = Duration::from_millis(5);

/// What one set is to have.
#[derive(Debug, Clone)]
pub(super) struct SetPlan {
    pub(super) set_type: SetType,
    /// FILE# and the SCN from which on blocks are taken; 0 takes all.
    pub(super) files: Vec<(u32, u64)>,
    pub(super) logs: Vec<Archived>,
    pub(super) controlfile: bool,
    pub(super) spfile: bool,
    /// Set for an autobackup.
    pub(super) autobackup: Option<(u32, u32)>,
    pub(super) channel: u32,
    pub(super) cumulative: bool,
}

/// How a set is written.
#[derive(Debug, Clone)]
pub(super) struct How {
    /// One per copy; empty: recovery area or `dbs`.
    pub(super) formats: Vec<String>,
    pub(super) old_u: bool,
    pub(super) tag: Option<String>,
    pub(super) max_piece: Option<u64>,
    /// In blocks.
    pub(super) section: Option<u32>,
    pub(super) compressed: bool,
    pub(super) copies: u32,
    pub(super) max_corrupt: BTreeMap<u32, u32>,
    pub(super) validate: bool,
}

/// Why a set was not written.
#[derive(Debug)]
pub(super) enum Failed {
    Lines(Vec<Message>),
    /// The server process died: nobody gets an answer.
    Died,
}

impl From<Vec<Message>> for Failed {
    fn from(lines: Vec<Message>) -> Self {
        Self::Lines(lines)
    }
}

fn broken(e: &anyhow::Error) -> Failed {
    Failed::Lines(vec![Message::ora(603, format!("ORACLE server session terminated by fatal error: {e:#}"))])
}

/// A piece that is finished.
#[derive(Debug, Clone)]
pub(super) struct Done {
    pub(super) piece: u32,
    pub(super) handles: Vec<PathBuf>,
    pub(super) at: NaiveDateTime,
    pub(super) started: NaiveDateTime,
}

/// What a set has become.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) pieces: Vec<Done>,
    /// Rows of BACKUP VALIDATE: file, marked corrupt, unused, read, highest SCN.
    pub(super) validated: Vec<(u32, PathBuf, u32, u32, u32, u64)>,
    pub(super) log_blocks: Vec<(Archived, u32)>,
}

/// The pieces of a set while it is written.
struct Output<'a> {
    instance: &'a Arc<Instance>,
    how: &'a How,
    plan: &'a SetPlan,
    set_stamp: u32,
    set_count: u32,
    /// Copies of each piece.
    pieces: Vec<Vec<Writer>>,
    started: Vec<NaiveDateTime>,
    frames: u32,
    /// Bytes that the recovery area still takes.
    room: Option<(u64, u64)>,
    reserve: u64,
    /// Allowed corrupt blocks: file, block, piece.
    corrupt: Vec<(u32, u32, u32)>,
}

impl Output<'_> {
    fn open_piece(&mut self) -> Result<(), Failed> {
        let number = self.pieces.len() as u32 + 1;
        let now = oratime::now();
        let mut copies = Vec::new();
        for copy in 1..=self.how.copies.max(1) {
            let (path, header, area) = {
                let mut inner = self.instance.lock();
                let name = inner.spec.name.to_uppercase();
                let dbid = inner.control.as_ref().map_or(0, |c| c.data.dbid);
                let header = format::Header {
                    dbid,
                    db_name: name.clone(),
                    set_stamp: self.set_stamp,
                    set_count: self.set_count,
                    set_type: self.plan.set_type,
                    piece: number,
                    copy,
                    tag: self.how.tag.clone(),
                    start: now,
                };
                let naming = Naming {
                    db_name: name,
                    dbid,
                    set_stamp: self.set_stamp,
                    set_count: self.set_count,
                    piece: number,
                    copy,
                    now,
                    autobackup: self.plan.autobackup,
                    old_u: self.how.old_u,
                };
                let (path, in_area) = inner.piece_path(self.plan, self.how, &naming, copy, now);
                let area = in_area.then(|| {
                    let used: u64 = inner.recovery_area_used().iter().map(|u| u.0).sum();
                    (used, inner.recovery_area_limit())
                });
                (path, header, area)
            };
            if self.room.is_none() {
                self.room = area;
            }
            if area.is_some() {
                if let Some(parent) = path.parent() {
                    fs::create_dir_all(parent).map_err(|e| create_error(&path, &e))?;
                }
            }
            copies.push(
                Writer::create(&path, header, self.how.compressed).map_err(|e| create_error(&path, &e))?,
            );
        }
        self.pieces.push(copies);
        self.started.push(now);
        Ok(())
    }

    fn room_error(&self, more: u64) -> Option<Failed> {
        let (used, limit) = self.room?;
        let own: u64 = self.pieces.iter().flatten().map(Writer::bytes).sum();
        (used + own + more > limit).then(|| {
            Failed::Lines(vec![
                Message::ora(19809, "limit exceeded for recovery files"),
                Message::ora(
                    19804,
                    format!("cannot reclaim {more} bytes disk space from {limit} bytes limit"),
                ),
            ])
        })
    }

    fn frame(&mut self, kind: Kind, file: u32, at: u32, bytes: &[u8]) -> Result<(), Failed> {
        if self.how.validate {
            return Ok(());
        }
        let needed = bytes.len() as u64 + 64;
        let full = match (self.pieces.last().and_then(|p| p.first()), self.how.max_piece) {
            (None, _) => true,
            (Some(piece), Some(max)) => {
                piece.bytes() > SIZE as u64 && piece.bytes() + needed + self.reserve > max
            }
            (Some(_), None) => false,
        };
        if full {
            self.open_piece()?;
        }
        if let Some(error) = self.room_error(needed) {
            return Err(error);
        }
        let faults = self.instance.faults();
        self.frames += 1;
        for writer in self.pieces.last_mut().into_iter().flatten() {
            let errno = if faults.piece_fails_after_blocks.is_some_and(|n| self.frames > n) {
                Some(rustix::io::Errno::IO)
            } else if faults.piece_no_space_after_blocks.is_some_and(|n| self.frames > n) {
                Some(rustix::io::Errno::NOSPC)
            } else {
                None
            };
            let result = match errno {
                Some(e) => Err(io::Error::from_raw_os_error(e.raw_os_error())),
                None => writer.frame(kind, file, at, bytes),
            };
            result.map_err(|e| write_error(&writer.path, writer.block(), &e))?;
        }
        if faults.backup_dies_after_blocks.is_some_and(|n| self.frames > n) || self.instance.stopped() {
            return Err(Failed::Died);
        }
        Ok(())
    }

    /// The next block begins a new section, in a piece of its own.
    fn next_section(&mut self) -> Result<(), Failed> {
        if self.how.validate {
            return Ok(());
        }
        self.open_piece()
    }

    /// A failed set leaves nothing behind.
    fn remove(&mut self) {
        for writer in self.pieces.drain(..).flatten() {
            let _ = fs::remove_file(&writer.path);
        }
    }
}

impl Inner {
    /// V$DATABASE_BLOCK_CORRUPTION gets a block that could not be read.
    fn found_corrupt(&mut self, file: u32, block: u32) {
        self.bad_blocks.insert((file, block));
    }

    /// Where a piece goes, and whether that is in the recovery area.
    fn piece_path(
        &mut self,
        plan: &SetPlan,
        how: &How,
        naming: &Naming,
        copy: u32,
        now: NaiveDateTime,
    ) -> (PathBuf, bool) {
        let dbs = self.dir.join("dbs");
        if let Some(format) = how.formats.get(copy as usize - 1).or(how.formats.last()) {
            let path = naming.expand(format);
            let path = if path.is_absolute() { path } else { dbs.join(path) };
            let area = self.recovery_area().is_some_and(|a| path.starts_with(a));
            return (path, area);
        }
        if let Some(area) = self.recovery_area() {
            let (kind, middle) = match (plan.autobackup, plan.set_type) {
                (Some(_), _) => ("s", naming.set_stamp.to_string()),
                (None, SetType::Logs) => ("annnn", how.tag.clone().unwrap_or_default()),
                (None, _) if plan.controlfile => ("ncnnf", how.tag.clone().unwrap_or_default()),
                (None, _) if plan.spfile => ("nnsnf", how.tag.clone().unwrap_or_default()),
                (None, SetType::Full) => ("nnndf", how.tag.clone().unwrap_or_default()),
                (None, SetType::Level0) => ("nnnd0", how.tag.clone().unwrap_or_default()),
                (None, SetType::Level1) => ("nnnd1", how.tag.clone().unwrap_or_default()),
            };
            return (self.omf_piece(&area, now, kind, &middle, plan.autobackup.is_some()), true);
        }
        // Oracle's $ORACLE_HOME/dbs is always there.
        let _ = fs::create_dir_all(&dbs);
        (dbs.join(naming.expand(if plan.autobackup.is_some() { "%F" } else { "%U" })), false)
    }

    /// Headers of the files of a set, checkpointed now when the database is open.
    fn begin_set(&mut self, plan: &SetPlan) -> anyhow::Result<BTreeMap<u32, Header>> {
        if self.state == State::Open && plan.files.iter().any(|(f, _)| self.files.contains_key(f)) {
            let scn = self.next_scn();
            self.checkpoint(scn)?;
            self.save_control()?;
        } else if self.state == State::Mounted {
            self.finish_interrupted_writes()?;
        }
        let mut headers = BTreeMap::new();
        for (number, _) in &plan.files {
            let header = match self.files.get(number) {
                Some(open) => open.header.clone(),
                None => {
                    let control = &self.control.as_ref().ok_or_else(|| anyhow::anyhow!("not mounted"))?.data;
                    let rec = control.datafile(*number).ok_or_else(|| anyhow::anyhow!("no file {number}"))?;
                    Header::read_path(&rec.path).map_err(|e| anyhow::anyhow!(e.text()))?
                }
            };
            headers.insert(*number, header);
        }
        Ok(headers)
    }

    /// The control file as a backup of it has it.
    pub(in crate::instance) fn controlfile_copy(
        &mut self,
        kind: crate::controlfile::Kind,
    ) -> Result<ControlFile, crate::engine::OraError> {
        let mut copy = self.control()?.clone();
        if copy.kind == crate::controlfile::Kind::Current {
            copy.scn = self.scn;
            copy.time = oratime::now();
        }
        copy.kind = kind;
        copy.uid = self.random();
        copy.in_use = false;
        for file in &mut copy.datafiles {
            file.identity = None;
            // Whether a restored file is in backup mode is for its header to say.
            file.backup_active = false;
        }
        for log in &mut copy.logs {
            log.identity = None;
        }
        Ok(copy)
    }
}

/// A block as it is on disk, read again until it is whole.
fn read_whole(instance: &Instance, file: &File, number: u32, n: u32) -> io::Result<(Vec<u8>, bool)> {
    let rdba = block::rdba(number, n);
    let mut bytes = datafile::read_block(file, n)?;
    for _ in 0..AGAIN {
        if block::check(&bytes, block::TYPE_DATA, rdba).is_ok() {
            return Ok((bytes, true));
        }
        if instance.stopped() || instance.lock().state != State::Open {
            break;
        }
        std::thread::sleep(REST);
        bytes = datafile::read_block(file, n)?;
    }
    let good = block::check(&bytes, block::TYPE_DATA, rdba).is_ok();
    Ok((bytes, good))
}

impl Instance {
    fn read_datafile(
        self: &Arc<Self>,
        out: &mut Output<'_>,
        header: &Header,
        path: &Path,
        from: u64,
        row: &mut SetDatafile,
    ) -> Result<(u32, PathBuf, u32, u32, u32, u64), Failed> {
        let number = header.file;
        let file = File::open(path).map_err(|_| missing(path))?;
        let mut clean = header.clone();
        clean.flags = 0;
        clean.fuzzy_scn = 0;
        out.frame(Kind::FileHeader, number, 1, &clean.encode())?;
        self.lock().bad_blocks.retain(|(f, _)| *f != number);
        let (mut highest, mut unused, mut corrupt, mut written) = (0, 0, 0, 1);
        for n in 2..=header.blocks {
            if out.how.section.is_some_and(|s| n > 2 && (n - 2) % s == 0) {
                out.next_section()?;
            }
            let (bytes, good) = read_whole(self, &file, number, n).map_err(|e| {
                vec![
                    Message::ora(
                        19501,
                        format!(
                            "read error on file \"{}\", block number {n} (block size=8192)",
                            path.display()
                        ),
                    ),
                    Message::ora(27072, format!("File I/O error\n{e}")),
                ]
            })?;
            if !good {
                corrupt += 1;
                self.lock().found_corrupt(number, n);
                let allowed = out.how.max_corrupt.get(&number).copied().unwrap_or(0);
                if corrupt > allowed && !out.how.validate {
                    return Err(Failed::Lines(vec![Message::ora(
                        19566,
                        format!("exceeded limit of {allowed} corrupt blocks for file {}", path.display()),
                    )]));
                }
                out.frame(Kind::Block, number, n, &bytes)?;
                out.corrupt.push((number, n, out.pieces.len() as u32));
                written += 1;
                continue;
            }
            let scn = block::scn(&bytes);
            highest = highest.max(scn);
            // A block that was never used since the file was made is not backed up; RESTORE formats it again.
            if scn == header.creation_scn && bytes == block::fresh(number, n, scn) {
                unused += 1;
                continue;
            }
            if scn >= from {
                out.frame(Kind::Block, number, n, &bytes)?;
                written += 1;
            }
        }
        row.blocks = written;
        row.blocks_read = header.blocks;
        row.corrupt = corrupt;
        row.fuzzy_scn = if highest >= header.checkpoint_scn { highest } else { 0 };
        Ok((number, path.to_owned(), corrupt, unused, header.blocks, highest))
    }

    /// Writes one set and enters it into the control file.
    pub(super) fn write_set(
        self: &Arc<Self>,
        plan: &SetPlan,
        how: &How,
        tally: &mut Tally,
    ) -> Result<Written, Failed> {
        let start = oratime::now();
        let (set_stamp, set_count, headers, control) = {
            let mut inner = self.lock();
            let headers = inner.begin_set(plan).map_err(|e| broken(&e))?;
            let text = plan.controlfile.then(|| inner.controlfile_copy(crate::controlfile::Kind::Backup));
            let control = text.transpose().map_err(|e| super::messages::ora(&e))?;
            let records = &mut inner.control_mut().map_err(|e| broken(&e))?.rman;
            records.last_set += 1;
            (oratime::pack(start), records.last_set, headers, control)
        };
        let items = plan.files.len() + plan.logs.len() + 2;
        let mut out = Output {
            instance: self,
            how,
            plan,
            set_stamp,
            set_count,
            pieces: Vec::new(),
            started: Vec::new(),
            frames: 0,
            room: None,
            // The directory is at the end of every piece.
            reserve: 4096 + items as u64 * 1024,
            corrupt: Vec::new(),
        };
        let mut set = BackupSet {
            recid: 0,
            stamp: 0,
            set_stamp,
            set_count,
            set_type: plan.set_type,
            compressed: how.compressed,
            start,
            completion: start,
            pieces: 0,
            incremental_cumulative: plan.cumulative,
            keep: false,
            datafiles: Vec::new(),
            logs: Vec::new(),
            controlfile: None,
            spfile: None,
            input_bytes: 0,
            con_id: 0,
        };
        let mut written = Written { pieces: Vec::new(), validated: Vec::new(), log_blocks: Vec::new() };
        let filled = self.fill_set(plan, &mut out, &headers, control.as_ref(), &mut set, &mut written);
        match filled {
            Err(Failed::Died) => return Err(Failed::Died),
            Err(e) => {
                out.remove();
                return Err(e);
            }
            Ok(()) => {}
        }
        tally.input += set.input_bytes;
        if how.validate {
            return Ok(written);
        }
        if let Err(e) = self.enter_set(&mut out, set, &mut written, tally) {
            out.remove();
            return Err(e);
        }
        Ok(written)
    }

    fn fill_set(
        self: &Arc<Self>,
        plan: &SetPlan,
        out: &mut Output<'_>,
        headers: &BTreeMap<u32, Header>,
        control: Option<&ControlFile>,
        set: &mut BackupSet,
        written: &mut Written,
    ) -> Result<(), Failed> {
        for (number, from) in &plan.files {
            let Some(header) = headers.get(number) else { continue };
            let (mut row, path) = {
                let inner = self.lock();
                let control = inner.control().map_err(|e| super::messages::ora(&e))?;
                let Some(rec) = control.datafile(*number) else { continue };
                let now = oratime::now();
                let incarnation =
                    control.incarnations.iter().find(|i| i.resetlogs_scn == header.resetlogs_scn);
                let row = SetDatafile {
                    file: *number,
                    con_id: rec.con_id,
                    ts: rec.ts,
                    tablespace: control.tablespace_of(rec).map(|t| t.name.clone()).unwrap_or_default(),
                    path: rec.path.clone(),
                    creation_scn: header.creation_scn,
                    creation_time: oratime::unpack(header.creation_time).unwrap_or(now),
                    resetlogs_scn: header.resetlogs_scn,
                    resetlogs_time: incarnation.map_or(now, |i| i.resetlogs_time),
                    level: plan.set_type.level(),
                    incremental_scn: *from,
                    checkpoint_scn: header.checkpoint_scn,
                    checkpoint_time: oratime::unpack(header.checkpoint_time).unwrap_or(now),
                    fuzzy_scn: 0,
                    datafile_blocks: header.blocks,
                    blocks: 0,
                    blocks_read: 0,
                    corrupt: 0,
                    read_only: rec.read_only,
                    section_blocks: out.how.section.unwrap_or(0),
                };
                (row, rec.path.clone())
            };
            written.validated.push(self.read_datafile(out, header, &path, *from, &mut row)?);
            set.input_bytes += u64::from(header.blocks) * SIZE as u64;
            set.con_id = row.con_id;
            set.datafiles.push(row);
        }
        for (index, log) in plan.logs.iter().enumerate() {
            let path = PathBuf::from(log.name.clone().unwrap_or_default());
            let corrupt = |n: u32| {
                vec![Message::ora(
                    19599,
                    format!("block number {n} is corrupt in archived log {}", path.display()),
                )]
            };
            match Log::read(&path) {
                Ok(read) if read.header.sequence == log.sequence && read.header.thread == log.thread => {}
                Ok(_) | Err(LogError::Foreign | LogError::HeaderSum) => return Err(corrupt(1).into()),
                Err(LogError::Block(n)) => return Err(corrupt(n).into()),
                Err(LogError::TooSmall) => return Err(corrupt(log.blocks).into()),
                Err(LogError::NotFound | LogError::Io(_)) => return Err(missing(&path).into()),
            }
            let bytes = fs::read(&path).map_err(|_| missing(&path))?;
            // Not more than its used blocks, however large the file is.
            let used = ((u64::from(log.blocks) + 1) * u64::from(log.block_size)) as usize;
            let bytes = bytes.get(..used).ok_or_else(|| corrupt(log.blocks))?;
            let step = 128 * log.block_size as usize;
            for (i, chunk) in bytes.chunks(step).enumerate() {
                out.frame(Kind::Log, index as u32, i as u32 * 128, chunk)?;
            }
            set.input_bytes += bytes.len() as u64;
            written.log_blocks.push((log.clone(), log.blocks + 1));
            set.logs.push(SetLog {
                thread: log.thread,
                sequence: log.sequence,
                resetlogs_scn: log.resetlogs_scn,
                resetlogs_time: log.resetlogs_time,
                resetlogs_id: log.resetlogs_id,
                first_scn: log.first_scn,
                first_time: log.first_time,
                next_scn: log.next_scn,
                next_time: log.next_time,
                blocks: log.blocks,
                block_size: log.block_size,
            });
        }
        if let Some(copy) = control {
            let text = copy.to_text().map_err(|e| broken(&e))?;
            for (i, chunk) in text.as_bytes().chunks(64 << 10).enumerate() {
                out.frame(Kind::Controlfile, 0, i as u32, chunk)?;
            }
            let incarnation = copy.incarnation();
            set.input_bytes += text.len() as u64;
            set.controlfile = Some(SetControlfile {
                checkpoint_scn: copy.scn,
                checkpoint_time: copy.time,
                resetlogs_scn: incarnation.map_or(0, |i| i.resetlogs_scn),
                resetlogs_time: incarnation.map_or(copy.time, |i| i.resetlogs_time),
                creation_time: copy.created,
                blocks: (text.len() as u32).div_ceil(16384),
                kind: 'B',
                autobackup: plan.autobackup,
            });
        }
        if plan.spfile {
            let (text, unique_name) = {
                let inner = self.lock();
                (inner.parameter_text(), inner.unique_name())
            };
            out.frame(Kind::Spfile, 0, 0, text.as_bytes())?;
            set.input_bytes += text.len() as u64;
            let modified = self.lock().started;
            set.spfile = Some(SetSpfile { modified, bytes: text.len() as u64, unique_name });
        }
        Ok(())
    }

    /// Ends the pieces and makes their rows.
    fn enter_set(
        self: &Arc<Self>,
        out: &mut Output<'_>,
        mut set: BackupSet,
        written: &mut Written,
        tally: &mut Tally,
    ) -> Result<(), Failed> {
        let completion = oratime::now();
        set.completion = completion;
        set.pieces = out.pieces.len() as u32;
        let incarnations = {
            let mut inner = self.lock();
            let control = inner.control_mut().map_err(|e| broken(&e))?;
            set.recid = control.rman.recid();
            set.stamp = oratime::pack(completion);
            control.incarnations.clone()
        };
        let mut rows = Vec::new();
        for (i, copies) in out.pieces.iter_mut().enumerate() {
            let mut handles = Vec::new();
            for writer in copies.iter_mut() {
                let bytes = writer
                    .finish(&set, completion, &incarnations)
                    .map_err(|e| write_error(&writer.path, writer.block(), &e))?;
                handles.push(writer.path.clone());
                tally.output += bytes;
                rows.push((i, writer.header.copy, writer.path.clone(), bytes));
            }
            written.pieces.push(Done {
                piece: i as u32 + 1,
                handles,
                at: completion,
                started: out.started[i],
            });
        }
        let mut inner = self.lock();
        let area = inner.recovery_area();
        let control = inner.control_mut().map_err(|e| broken(&e))?;
        for (i, copy, handle, bytes) in rows {
            let recid = control.rman.recid();
            control.rman.pieces.push(Piece {
                recid,
                stamp: oratime::pack(completion),
                set_stamp: set.set_stamp,
                set_count: set.set_count,
                piece: i as u32 + 1,
                copy,
                in_recovery_area: area.as_ref().is_some_and(|a| handle.starts_with(a)),
                handle,
                tag: out.how.tag.clone(),
                status: PieceStatus::Available,
                start: out.started[i],
                completion,
                bytes,
                compressed: set.compressed,
                session_recid: tally.recid,
                session_stamp: tally.stamp,
            });
        }
        let bad = out.corrupt.iter().map(|(f, b, p)| (*f, *b, set.set_stamp, set.set_count, *p));
        control.rman.corruption.extend(bad);
        control.rman.sets.push(set);
        inner.save_control().map_err(|e| broken(&e))
    }
}
