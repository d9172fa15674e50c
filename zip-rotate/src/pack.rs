//! Packs files into a ZIP: one thread reads and hashes, several compress, one writes. Blocks go in order, and only so
//! many are in memory.

use std::fs::{File, Metadata};
use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::mpsc::{channel, sync_channel, Receiver, Sender, SyncSender};
use std::sync::{Mutex, PoisonError};

use anyhow::{bail, ensure, Context};
use chrono::{Datelike, Local, TimeZone, Timelike};
use common::record::Role;
use sha2::{Digest, Sha256};
use zip::write::{ExtendedFileOptions, FileOptions};
use zip::{CompressionMethod, ZipWriter};

use crate::blocks::{Block, Engine, BLOCK};
use crate::manifest::{self, Head, Member};

/// Above this the ZIP64 form is used; a file that does not compress grows a little.
const LARGE: u64 = 0xf000_0000;

/// A file to pack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    pub path: PathBuf,
    /// Name in the archive.
    pub name: String,
    /// Size when the run looked first.
    pub bytes: u64,
    /// What a record claims of its content.
    pub sha256: Option<String>,
    pub role: Option<Role>,
    pub schema: Option<String>,
}

/// What the reader hands to the writer, in the order of the archive.
enum Event {
    Begin(usize, Box<Metadata>),
    Block(Receiver<anyhow::Result<Block>>),
    End(String),
}

type Job = (Vec<u8>, Sender<anyhow::Result<Block>>);

/// Writes the archive into an empty file. The bytes are on their way to the disk when it returns; `tick` gets the number
/// of bytes read so far and may stop the work.
///
/// # Errors
/// A file cannot be read, changed meanwhile, or has another hash than its record says; the disk is full; `tick` said
/// so. The file is then of no use.
pub fn pack(
    file: &File,
    sources: &[Source],
    head: &Head,
    (level, threads): (u8, usize),
    tick: &mut dyn FnMut(u64) -> anyhow::Result<()>,
) -> anyhow::Result<Vec<Member>> {
    std::thread::scope(|scope| {
        let (events_tx, events) = sync_channel::<Event>(threads + 2);
        let (jobs_tx, jobs) = sync_channel::<Job>(1);
        let reader = scope.spawn(move || read(sources, &events_tx, &jobs_tx));
        let jobs = std::sync::Arc::new(Mutex::new(jobs));
        for _ in 0..threads {
            let jobs = std::sync::Arc::clone(&jobs);
            scope.spawn(move || work(level, &jobs));
        }
        drop(jobs);
        let written = write(file, sources, head, &events, tick);
        // A reader that waits to hand something over sees that nobody takes it.
        drop(events);
        let read = reader.join().map_err(|_| anyhow::anyhow!("the reader stopped"))?;
        // Its error is the cause of the writer's.
        read.and(written)
    })
}

fn work(level: u8, jobs: &Mutex<Receiver<Job>>) {
    let mut engine = Engine::new(level);
    loop {
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((content, answer)) = job else { return };
        let block = match &mut engine {
            Ok(engine) => engine.compress(&content),
            Err(e) => Err(anyhow::anyhow!("{e:#}")),
        };
        // Nobody waits for it when the run is being stopped.
        let _stopped = answer.send(block);
    }
}

/// Reads all sources. It ends early, and without an error, when nobody listens any more.
fn read(sources: &[Source], events: &SyncSender<Event>, jobs: &SyncSender<Job>) -> anyhow::Result<()> {
    for (n, source) in sources.iter().enumerate() {
        let goes_on =
            read_one(n, source, events, jobs).with_context(|| format!("pack {}", source.path.display()))?;
        if !goes_on {
            break;
        }
    }
    Ok(())
}

fn read_one(
    n: usize,
    source: &Source,
    events: &SyncSender<Event>,
    jobs: &SyncSender<Job>,
) -> anyhow::Result<bool> {
    let mut file = File::open(&source.path).context("open it")?;
    let before = file.metadata()?;
    ensure!(before.is_file(), "it is no regular file");
    let _advice = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::Sequential);
    if events.send(Event::Begin(n, Box::new(before.clone()))).is_err() {
        return Ok(false);
    }
    let (mut hash, mut bytes) = (Sha256::new(), 0_u64);
    loop {
        let left = before.len().saturating_sub(bytes).saturating_add(1);
        let room = usize::try_from(left).unwrap_or(BLOCK).min(BLOCK);
        let mut content = Vec::with_capacity(room);
        (&mut file).take(room as u64).read_to_end(&mut content).context("read it")?;
        if content.is_empty() {
            break;
        }
        bytes += content.len() as u64;
        hash.update(&content);
        let (answer, block) = channel();
        if events.send(Event::Block(block)).is_err() || jobs.send((content, answer)).is_err() {
            return Ok(false);
        }
    }
    let now = std::fs::symlink_metadata(&source.path).and_then(|m| {
        if m.is_symlink() {
            std::fs::metadata(&source.path)
        } else {
            Ok(m)
        }
    });
    let after = [file.metadata()?, now.context("look at it again")?];
    let same = |m: &Metadata| identity(m) == identity(&before);
    if bytes != before.len() || bytes != source.bytes || !after.iter().all(same) {
        bail!("it changed while it was read: no archive is made of it");
    }
    let sha256 = hex(&hash.finalize());
    if let Some(claimed) = &source.sha256 {
        ensure!(
            claimed.eq_ignore_ascii_case(&sha256),
            "its record says SHA-256 {claimed}, and the file has {sha256}"
        );
    }
    Ok(events.send(Event::End(sha256)).is_ok())
}

fn identity(meta: &Metadata) -> (u64, u64, u64, i64, i64) {
    (meta.dev(), meta.ino(), meta.len(), meta.mtime(), meta.mtime_nsec())
}

fn write(
    file: &File,
    sources: &[Source],
    head: &Head,
    events: &Receiver<Event>,
    tick: &mut dyn FnMut(u64) -> anyhow::Result<()>,
) -> anyhow::Result<Vec<Member>> {
    let mut zip = ZipWriter::new(file);
    let mut members: Vec<Member> = Vec::with_capacity(sources.len());
    let mut crc = crc32fast::Hasher::new();
    let (mut bytes, mut done) = (0_u64, 0_u64);
    while let Ok(event) = events.recv() {
        match event {
            Event::Begin(n, meta) => {
                let source = sources.get(n).context("a file that nobody asked for")?;
                zip.start_file(source.name.as_str(), options(&meta)?)
                    .with_context(|| format!("begin member {}", source.name))?;
                members.push(Member {
                    name: source.name.clone(),
                    path: source.path.display().to_string(),
                    bytes: 0,
                    sha256: String::new(),
                    mtime: (meta.mtime(), meta.mtime_nsec()),
                    role: source.role,
                    schema: source.schema.clone(),
                });
                crc = crc32fast::Hasher::new();
                bytes = 0;
            }
            Event::Block(block) => {
                let block = block.recv().context("a compressor stopped")??;
                // Past the ZIP writer: its own encoder gets nothing, and closes the stream with an empty last block.
                let mut raw = file;
                raw.write_all(&block.bytes).context("write the archive")?;
                crc.combine(&block.crc);
                bytes += block.length;
                done += block.length;
                tick(done)?;
            }
            Event::End(sha256) => {
                let member = members.last_mut().context("an end without a beginning")?;
                member.bytes = bytes;
                member.sha256 = sha256;
                tell(&mut zip, bytes, crc.clone().finalize())?;
                tick(done)?;
            }
        }
    }
    ensure!(members.len() == sources.len(), "the reader stopped early");
    let options = FileOptions::<()>::default()
        .compression_method(CompressionMethod::Deflated)
        .last_modified_time(dos_time(head.backup_time.timestamp()))
        .unix_permissions(0o644);
    zip.start_file(manifest::MEMBER, options).context("begin the list of members")?;
    let mut buffered = std::io::BufWriter::with_capacity(64 << 10, &mut zip);
    manifest::write(head, &members, &mut buffered).context("write the list of members")?;
    buffered.flush().context("write the list of members")?;
    drop(buffered);
    zip.set_comment(head.comment()).context("write the comment")?;
    zip.finish().context("write the directory of the archive")?;
    Ok(members)
}

/// Tells the ZIP writer what was written past it.
#[allow(unsafe_code)]
fn tell(zip: &mut ZipWriter<&File>, bytes: u64, crc32: u32) -> anyhow::Result<()> {
    // SAFETY: no memory depends on it. The method asks for the true length and CRC-32 of the open member, which these
    // are; the proof reads them back before the archive gets its name.
    unsafe { zip.set_file_metadata(bytes, crc32) }.context("end a member")
}

fn options(meta: &Metadata) -> anyhow::Result<FileOptions<'static, 'static, ExtendedFileOptions>> {
    let mut options = FileOptions::<ExtendedFileOptions>::default()
        .compression_method(CompressionMethod::Deflated)
        // The encoder of the ZIP writer only writes the empty block at the end.
        .compression_level(Some(1))
        .large_file(meta.len() >= LARGE)
        .unix_permissions(meta.mode() & 0o7777)
        .last_modified_time(dos_time(meta.mtime()));
    if let Ok(seconds) = i32::try_from(meta.mtime()) {
        // Extended timestamp: a flag for "modified", then the time in UTC. DOS time has no zone and two-second steps.
        let mut field = vec![1];
        field.extend(seconds.to_le_bytes());
        options.add_extra_field(0x5455, field, false).context("note the time of the file")?;
    }
    Ok(options)
}

fn dos_time(seconds: i64) -> zip::DateTime {
    let local = Local.timestamp_opt(seconds, 0).single();
    let dos = local.and_then(|t| {
        let year = u16::try_from(t.year()).ok()?;
        let [month, day, hour, minute, second] =
            [t.month(), t.day(), t.hour(), t.minute(), t.second()].map(|n| n as u8);
        zip::DateTime::from_date_and_time(year, month, day, hour, minute, second).ok()
    });
    dos.unwrap_or_default()
}

/// Lower-case hex, as records have hashes.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
