//! Reads a long input once, in parallel, and keeps it where single lines can be had again.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::unix::fs::FileExt;
use std::sync::mpsc::{sync_channel, Receiver};
use std::sync::{Mutex, PoisonError};

use anyhow::Context;

use super::records::LineRef;

const CHUNK: usize = 4 << 20;
/// The longest line that is kept in memory.
const LINE_MAX: usize = 64 << 20;

/// The input, for a second look at some of its lines.
pub struct Spool {
    file: File,
}

/// Calls `parse` for each line that is not blank, on several threads, and `take` with the results in the order of the
/// input.
///
/// A regular file is read where it is; anything else is copied into an unnamed temporary file on the way.
///
/// # Errors
/// The input cannot be read, or the temporary file cannot be written.
pub fn read<T: Send>(
    mut input: File,
    parse: impl Fn(&[u8], LineRef) -> T + Sync,
    mut take: impl FnMut(LineRef, T),
) -> anyhow::Result<Spool> {
    let regular = input.metadata().is_ok_and(|m| m.is_file());
    let mut spool = match regular {
        true => input.try_clone().context("keep the input open")?,
        false => {
            tempfile::tempfile().context("make a temporary file for the input; TMPDIR names its place")?
        }
    };
    let begin = if regular { input.stream_position().context("read the input")? } else { 0 };
    let (send, chunks) = sync_channel::<(usize, u64, Vec<u8>)>(2);
    let (done, results) = sync_channel::<(usize, Vec<(LineRef, T)>)>(2);
    let chunks = Mutex::new(chunks);
    let workers = std::thread::available_parallelism().map_or(2, usize::from).min(4);
    let copy = (!regular).then_some(&mut spool);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            let (chunks, done, parse) = (&chunks, done.clone(), &parse);
            scope.spawn(move || {
                while let Some((number, offset, bytes)) = next(chunks) {
                    if done.send((number, lines(&bytes, offset, parse))).is_err() {
                        break;
                    }
                }
            });
        }
        drop(done);
        let reader = scope.spawn(move || cut(&mut input, copy, begin, &|chunk| send.send(chunk).is_ok()));
        let mut waiting = BTreeMap::new();
        let mut turn = 0;
        for (number, list) in results {
            waiting.insert(number, list);
            while let Some(list) = waiting.remove(&turn) {
                turn += 1;
                for (line, told) in list {
                    take(line, told);
                }
            }
        }
        reader.join().unwrap_or_else(|_| Err(anyhow::anyhow!("the reader of the input broke down")))
    })?;
    Ok(Spool { file: spool })
}

impl Spool {
    /// The bytes of a line, newline included where it had one.
    pub fn line(&self, line: LineRef) -> anyhow::Result<Vec<u8>> {
        let mut bytes = vec![0; line.len as usize];
        self.file.read_exact_at(&mut bytes, line.offset).context("read a line of the input again")?;
        Ok(bytes)
    }
}

type Chunk = (usize, u64, Vec<u8>);

fn next(chunks: &Mutex<Receiver<Chunk>>) -> Option<Chunk> {
    chunks.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
}

/// Cuts the input at line ends.
fn cut(
    input: &mut File,
    mut copy: Option<&mut File>,
    begin: u64,
    send: &dyn Fn(Chunk) -> bool,
) -> anyhow::Result<()> {
    let (mut number, mut offset) = (0, begin);
    let mut rest: Vec<u8> = Vec::new();
    loop {
        let mut bytes = std::mem::take(&mut rest);
        let kept = bytes.len();
        bytes.resize(kept + CHUNK, 0);
        let mut filled = kept;
        while filled < bytes.len() {
            match input.read(&mut bytes[filled..]) {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e).context("read the input"),
            }
        }
        let end = filled < bytes.len();
        bytes.truncate(filled);
        if let Some(copy) = copy.as_mut() {
            copy.write_all(&bytes[kept..]).context("write the temporary copy of the input")?;
        }
        if !end {
            match bytes.iter().rposition(|b| *b == b'\n') {
                Some(last) => rest = bytes.split_off(last + 1),
                None if bytes.len() < LINE_MAX => {
                    rest = bytes;
                    continue;
                }
                None => {}
            }
        }
        let len = bytes.len() as u64;
        if len > 0 && !send((number, offset, bytes)) {
            return Ok(());
        }
        number += 1;
        offset += len;
        if end {
            return Ok(());
        }
    }
}

fn lines<T>(bytes: &[u8], offset: u64, parse: &impl Fn(&[u8], LineRef) -> T) -> Vec<(LineRef, T)> {
    let mut list = Vec::new();
    let mut at = 0;
    for line in bytes.split_inclusive(|b| *b == b'\n') {
        if !line.iter().all(u8::is_ascii_whitespace) {
            let place = LineRef { offset: offset + at, len: line.len() as u32 };
            list.push((place, parse(line, place)));
        }
        at += line.len() as u64;
    }
    list
}
