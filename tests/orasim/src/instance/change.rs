//! Changing blocks and writing them, each in two halves with a pause between them.

use std::{
    fs,
    io::Write,
    os::unix::fs::FileExt,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

use super::{Dirty, HalfWritten, Inner, Instance, Stall};
use crate::{
    block::{self, SIZE},
    controlfile::Kind,
    datafile,
    engine::State,
    oratime,
    record::{Body, Patch},
    truth::Event,
};

/// More than an image record takes.
const IMAGE_ROOM: usize = SIZE + 256;
const HALF: usize = SIZE / 2;
/// Blocks in the hands of the operating system when the process dies; see `finish_interrupted_writes`.
const IN_FLIGHT: &str = "in-flight.blocks";

impl Inner {
    /// The thread that commands write to.
    pub(super) fn own_thread(&self) -> u16 {
        self.redo.keys().copied().find(|t| !self.spec.idle_threads.contains(t)).unwrap_or(1)
    }

    fn busy_threads(&self) -> Vec<u16> {
        self.redo.keys().copied().filter(|t| !self.spec.idle_threads.contains(t)).collect()
    }

    /// The newest version of a block.
    fn current_block(&self, file: u32, block: u32) -> Result<Vec<u8>> {
        if let Some(dirty) = self.dirty.get(&(file, block)) {
            return Ok(dirty.bytes.clone());
        }
        if let Some(half) = self.half_written.iter().find(|h| (h.file, h.block) == (file, block)) {
            return Ok(half.bytes.clone());
        }
        let open = self.files.get(&file).with_context(|| format!("file {file} is not open"))?;
        datafile::read_block(&open.file, block).with_context(|| format!("read file {file} block {block}"))
    }

    /// Changes one block in memory and stages the redo of it.
    fn change(&mut self, file: u32, number: u32, thread: u16) -> Result<(), Stall> {
        self.room(thread, IMAGE_ROOM)?;
        let mut bytes = self.current_block(file, number)?;
        let previous = block::scn(&bytes);
        let scn = self.next_scn();
        let mut patches = Vec::with_capacity(3);
        // One change in each half at least, so that half a write is half a change.
        for (from, to) in [(block::BODY, HALF), (HALF, block::BODY_END), (block::BODY, block::BODY_END)] {
            let room = (to - from - 16) as u64;
            let offset = from + (self.random() % room) as usize;
            let patch = self.random().to_le_bytes().to_vec();
            bytes[offset..offset + 8].copy_from_slice(&patch);
            patches.push(Patch { offset: offset as u16, bytes: patch });
        }
        block::seal(&mut bytes, scn);
        let in_backup = self.files.get(&file).is_some_and(|f| f.header.flags & datafile::HOT_BACKUP != 0);
        let body = if in_backup && self.imaged.insert((file, number)) {
            Body::Image { file, block: number, bytes: bytes.clone() }
        } else {
            Body::Delta { file, block: number, previous, patches }
        };
        self.log(thread, scn, body);
        if let Some(ledger) = &mut self.ledger {
            ledger.stage(scn, file, Event::Change { block: number, hash: block::hash(&bytes) });
        }
        self.dirty.insert((file, number), Dirty { bytes });
        Ok(())
    }

    /// A change without redo: recovery can only mark the block corrupt.
    fn change_nologging(&mut self, file: u32, number: u32) -> Result<(), Stall> {
        let thread = self.own_thread();
        self.room(thread, 256)?;
        let mut bytes = self.current_block(file, number)?;
        let scn = self.next_scn();
        for at in (block::BODY + 8..block::BODY_END - 8).step_by(64) {
            let noise = self.random().to_le_bytes();
            bytes[at..at + 8].copy_from_slice(&noise);
        }
        block::seal(&mut bytes, scn);
        self.log(thread, scn, Body::Invalidate { file, block: number });
        if let Some(ledger) = &mut self.ledger {
            ledger.stage(scn, file, Event::Change { block: number, hash: block::hash(&bytes) });
        }
        self.dirty.insert((file, number), Dirty { bytes });
        let now = oratime::now();
        if let Some(rec) = self.control_mut()?.datafile_mut(file) {
            rec.unrecoverable_scn = scn;
            rec.unrecoverable_time = Some(now);
        }
        Ok(())
    }

    /// `n` changes, round over all writable files so that none is at rest, each in a random block.
    fn change_many(&mut self, n: usize) -> Result<usize, Stall> {
        let files: Vec<(u32, u32)> = self
            .files
            .iter()
            .filter(|(_, f)| f.writable && f.header.blocks >= 2)
            .map(|(number, f)| (*number, f.header.blocks))
            .collect();
        let threads = self.busy_threads();
        if files.is_empty() || threads.is_empty() || self.frozen {
            return Ok(0);
        }
        self.mark_time()?;
        let mut done = 0;
        let mut result = Ok(());
        while done < n {
            let (file, blocks) = files[self.turn % files.len()];
            let thread = threads[(self.random() % threads.len() as u64) as usize];
            let block = 2 + (self.random() % u64::from(blocks - 1)) as u32;
            result = self.change(file, block, thread);
            if result.is_err() {
                break;
            }
            self.turn += 1;
            done += 1;
        }
        self.flush_redo()?;
        match result {
            Err(Stall::Archiver) if done > 0 => Ok(done),
            Err(e) => Err(e),
            Ok(()) => Ok(done),
        }
    }

    /// Notes the clock in the redo, once per second.
    fn mark_time(&mut self) -> Result<(), Stall> {
        let time = oratime::pack(oratime::now());
        if time != self.last_mark {
            let thread = self.own_thread();
            self.room(thread, 64)?;
            let scn = self.next_scn();
            self.log(thread, scn, Body::TimeMark { time });
            self.last_mark = time;
        }
        Ok(())
    }

    /// First halves of all dirty blocks; those already half written get their second half only after that, so that
    /// under load there is no moment at which the files are whole.
    fn write_first_halves(&mut self) -> Result<()> {
        let batch: Vec<HalfWritten> = std::mem::take(&mut self.dirty)
            .into_iter()
            .map(|((file, block), dirty)| HalfWritten { file, block, bytes: dirty.bytes })
            .collect();
        let again: Vec<HalfWritten> = {
            let (twice, before): (Vec<_>, Vec<_>) = std::mem::take(&mut self.half_written)
                .into_iter()
                .partition(|h| batch.iter().any(|b| (b.file, b.block) == (h.file, h.block)));
            self.half_written = twice;
            before
        };
        // A block that is dirty again must be whole on disk before its next version is begun.
        self.write_second_halves()?;
        self.half_written = again;
        self.note_in_flight(&batch)?;
        for half in &batch {
            let open =
                self.files.get(&half.file).with_context(|| format!("file {} is not open", half.file))?;
            open.file
                .write_all_at(&half.bytes[..HALF], u64::from(half.block) * SIZE as u64)
                .with_context(|| format!("write file {} block {}", half.file, half.block))?;
        }
        self.write_second_halves()?;
        self.half_written = batch;
        Ok(())
    }

    pub(super) fn write_second_halves(&mut self) -> Result<()> {
        for half in std::mem::take(&mut self.half_written) {
            let Some(open) = self.files.get(&half.file) else { continue };
            open.file
                .write_all_at(&half.bytes[HALF..], u64::from(half.block) * SIZE as u64 + HALF as u64)
                .with_context(|| format!("write file {} block {}", half.file, half.block))?;
        }
        Ok(())
    }

    /// Everything changed onto disk, whole.
    pub(super) fn write_all_blocks(&mut self) -> Result<()> {
        self.flush_redo()?;
        self.write_first_halves()?;
        self.write_second_halves()
    }

    /// An instance that dies leaves no torn block on a real system, because the operating system ends the writes it
    /// was given. Ours would, so what is in flight is kept beside the database and written again at the next start.
    fn note_in_flight(&self, batch: &[HalfWritten]) -> Result<()> {
        let path = self.dir.join(IN_FLIGHT);
        let mut out = Vec::with_capacity((batch.len() + self.half_written.len()) * (SIZE + 8));
        for half in batch.iter().chain(&self.half_written) {
            out.extend_from_slice(&half.file.to_le_bytes());
            out.extend_from_slice(&half.block.to_le_bytes());
            out.extend_from_slice(&half.bytes);
        }
        let temporary = path.with_extension("writing");
        let mut file =
            fs::File::create(&temporary).with_context(|| format!("make {}", temporary.display()))?;
        file.write_all(&out).with_context(|| format!("write {}", temporary.display()))?;
        fs::rename(&temporary, &path).with_context(|| format!("rename to {}", path.display()))
    }

    /// Ends the writes that a dead instance had begun.
    pub(super) fn finish_interrupted_writes(&self) -> Result<()> {
        let Ok(bytes) = fs::read(self.dir.join(IN_FLIGHT)) else { return Ok(()) };
        let Some(control) = &self.control else { return Ok(()) };
        if control.data.kind != Kind::Current {
            return Ok(());
        }
        for entry in bytes.chunks_exact(SIZE + 8) {
            let (number, n) = (block::get_u32(entry, 0), block::get_u32(entry, 4));
            let Some(rec) = control.data.datafile(number) else { continue };
            let Ok(file) = fs::OpenOptions::new().read(true).write(true).open(&rec.path) else { continue };
            let Ok(on_disk) = datafile::read_block(&file, n) else { continue };
            let wanted = &entry[8..];
            // Only a block of which exactly this half is there: the file may have been replaced since.
            if on_disk[..HALF] == wanted[..HALF] {
                file.write_all_at(wanted, u64::from(n) * SIZE as u64)
                    .with_context(|| format!("end the write of file {number} block {n}"))?;
            }
        }
        Ok(())
    }
}

impl Instance {
    /// Changes `n` blocks and writes them out whole. Waits when the database hangs for its archiver.
    pub fn write_batch(&self, n: usize) -> Result<()> {
        self.begin_batch(n)?;
        self.finish_batch()
    }

    /// Changes `n` blocks and writes their first halves: until [`Self::finish_batch`] their files are torn on disk.
    pub fn begin_batch(&self, n: usize) -> Result<()> {
        let mut inner = self.lock();
        let mut left = n;
        while left > 0 {
            anyhow::ensure!(inner.state == State::Open, "the database is not open");
            match inner.change_many(left) {
                Ok(0) => break,
                Ok(done) => left -= done,
                Err(Stall::Archiver) => inner = self.wait(inner, Duration::from_millis(20)),
                Err(Stall::Failed(e)) => return Err(e),
            }
            self.changed.notify_all();
        }
        inner.write_first_halves()
    }

    /// Second halves of what [`Self::begin_batch`] began.
    pub fn finish_batch(&self) -> Result<()> {
        self.lock().write_second_halves()
    }

    /// Changes `n` blocks in memory and in the redo only.
    pub fn change_batch(&self, n: usize) -> Result<()> {
        let mut inner = self.lock();
        let mut left = n;
        while left > 0 {
            match inner.change_many(left) {
                Ok(0) => break,
                Ok(done) => left -= done,
                Err(Stall::Archiver) => inner = self.wait(inner, Duration::from_millis(20)),
                Err(Stall::Failed(e)) => return Err(e),
            }
        }
        Ok(())
    }

    /// One change of one block, for tests that need to know which.
    pub fn change_block(&self, file: u32, block: u32) -> Result<()> {
        let mut inner = self.lock();
        loop {
            let thread = inner.own_thread();
            match inner.change(file, block, thread) {
                Ok(()) => break,
                Err(Stall::Archiver) => inner = self.wait(inner, Duration::from_millis(20)),
                Err(Stall::Failed(e)) => return Err(e),
            }
        }
        inner.flush_redo()
    }

    /// A direct-path load: `count` blocks from `block` on change without redo, unless FORCE LOGGING is on.
    pub fn nologging_load(&self, file: u32, block: u32, count: u32) -> Result<()> {
        let mut inner = self.lock();
        let forced = inner.control.as_ref().is_some_and(|c| c.data.force_logging);
        for n in block..block + count {
            loop {
                let thread = inner.own_thread();
                let result =
                    if forced { inner.change(file, n, thread) } else { inner.change_nologging(file, n) };
                match result {
                    Ok(()) => break,
                    Err(Stall::Archiver) => inner = self.wait(inner, Duration::from_millis(20)),
                    Err(Stall::Failed(e)) => return Err(e),
                }
            }
        }
        // Direct path writes go to disk at once.
        inner.write_all_blocks()?;
        inner.save_control()
    }

    /// One round of the background writer, and how long it rests after it; `None` when it is to end.
    pub(super) fn writer_round(&self, pace: &mut Pace) -> Option<Duration> {
        if self.stopped() {
            return None;
        }
        // Short sleeps, or a shutdown would wait for a long pause.
        let slice = Duration::from_millis(20);
        if let Some(rest) = pace.next.checked_duration_since(Instant::now()) {
            return Some(rest.min(slice));
        }
        let mut inner = self.lock();
        let pause = Duration::from_millis(inner.spec.write_pause_ms.max(5));
        let rate = f64::from(inner.spec.changes_per_second);
        pace.owed = (pace.owed + rate * pace.last.elapsed().as_secs_f64()).min(rate);
        pace.last = Instant::now();
        if inner.state == State::Open {
            if pace.owed >= 1.0 {
                match inner.change_many(pace.owed as usize) {
                    Ok(done) => pace.owed -= done as f64,
                    Err(Stall::Archiver) => {}
                    // Its file is gone or its disk is full: the instance goes on and the next command says so.
                    Err(Stall::Failed(_)) => pace.owed = 0.0,
                }
                // What cannot be written stays in the redo; the checkpoint of the next switch reports it.
                let _ = inner.write_first_halves();
            } else if rate == 0.0 && !inner.spec_steps() {
                let _ = inner.write_second_halves();
            }
        }
        drop(inner);
        self.changed.notify_all();
        pace.next = Instant::now() + pause;
        Some(pause.min(slice))
    }
}

/// How far the background writer is behind its rate.
pub(super) struct Pace {
    owed: f64,
    last: Instant,
    next: Instant,
}

impl Pace {
    pub(super) fn new() -> Self {
        Self { owed: 0.0, last: Instant::now(), next: Instant::now() }
    }
}

impl Inner {
    /// Whether batches are stepped by hand: then nobody else may end one.
    fn spec_steps(&self) -> bool {
        self.spec.write_pause_ms == 0
    }
}
