//! Reads an archived log once and says whether it is whole.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::Context;
use sha2::{Digest, Sha256};

use super::archived_log::{Header, Verdict, HEADER_BYTES};
use super::block::{checksum_residue, Fields};

/// A multiple of every block size that stays in a core's cache: with 1 MiB a pass takes twice as long.
const CHUNK: usize = 128 << 10;

/// The checksums of blocks 1 to the last used one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checksums {
    AllGood,
    /// No block has one: DB_BLOCK_CHECKSUM is OFF, or nothing was checked.
    Absent,
    /// The first block that is wrong while others carry checksums.
    Bad(u32),
}

/// What lies behind the last used block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tail {
    None,
    /// So many bytes, all zero.
    Zero(u64),
    /// So many bytes, not all zero: harmless to Oracle, which stops at the last used block.
    Data(u64),
}

/// Whether the scan also computes the file's hashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hash {
    Sha256,
    None,
}

/// One pass over a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scan {
    pub header: Option<Header>,
    /// Size of the file.
    pub bytes: u64,
    /// Of the whole file, lower-case hex; `None` when not asked for.
    pub sha256: Option<String>,
    /// XXH128 of the whole file in its canonical form, with SHA-256: it costs next to nothing, and a host that has
    /// xxh128sum compares by it in a fifteenth of the time.
    pub xxh128: Option<String>,
    pub verdict: Verdict,
    pub checksums: Checksums,
    pub tail: Tail,
}

impl Scan {
    /// Why the file is not a sound archived log, bad checksums included; `None` when it is.
    pub fn problem(&self) -> Option<String> {
        match (&self.verdict, self.checksums) {
            (Verdict::Complete, Checksums::Bad(block)) => {
                Some(format!("corrupt: block {block} has a wrong checksum"))
            }
            (Verdict::Complete, _) => None,
            (verdict, _) => Some(verdict.to_string()),
        }
    }
}

/// Scans the file at `path`.
///
/// # Errors
/// It cannot be read to its end.
pub fn scan_file(path: &Path, hash: Hash) -> anyhow::Result<Scan> {
    let name = || format!("read {}", path.display());
    scan(File::open(path).with_context(name)?, hash).with_context(name)
}

/// Scans a log from any reader; memory use is constant.
///
/// Checked are: the header, the size against the used blocks, and of each used block its type, number and sequence
/// (FACTS 4, "completeness test"). Checksums are counted apart, for a database may write none.
///
/// # Errors
/// The reader's.
pub fn scan(mut reader: impl Read, hash: Hash) -> anyhow::Result<Scan> {
    let mut buffer = vec![0; CHUNK];
    let mut hasher = (hash == Hash::Sha256).then(Sha256::new);
    let mut quick = (hash == Hash::Sha256).then(xxhash_rust::xxh3::Xxh3Default::new);
    let mut filled = fill(&mut reader, &mut buffer)?;
    let parsed = Header::parse(&buffer[..filled.min(HEADER_BYTES)]);
    let mut blocks = parsed.as_ref().ok().map(Blocks::new);
    let mut bytes = 0;
    while filled > 0 {
        if let Some(hasher) = &mut hasher {
            hasher.update(&buffer[..filled]);
        }
        if let Some(quick) = &mut quick {
            quick.update(&buffer[..filled]);
        }
        if let Some(blocks) = &mut blocks {
            blocks.take(&buffer[..filled]);
        }
        bytes += filled as u64;
        filled = fill(&mut reader, &mut buffer)?;
    }
    let sha256 = hasher.map(|h| hex(&h.finalize()));
    let xxh128 = quick.map(|q| format!("{:032x}", q.digest128()));
    let (checksums, tail) =
        blocks.as_ref().map_or((Checksums::Absent, Tail::None), |b| (b.checksums(), b.tail()));
    let verdict = match (&parsed, &blocks) {
        (Ok(header), Some(blocks)) => blocks.verdict(header, bytes),
        (Err(verdict), _) => verdict.clone(),
        (Ok(_), None) => Verdict::Complete,
    };
    Ok(Scan { header: parsed.ok(), bytes, sha256, xxh128, verdict, checksums, tail })
}

/// SHA-256 of the first `length` bytes of a file, lower-case hex; `None` when it is shorter.
///
/// With it a half file is recognised as the beginning of another one.
pub fn prefix_sha256(path: &Path, length: u64) -> anyhow::Result<Option<String>> {
    Ok(prefixes_sha256(path, &[length])?.pop().flatten())
}

/// As [`prefix_sha256`] for several lengths in one pass; the answers have the order of `lengths`.
pub fn prefixes_sha256(path: &Path, lengths: &[u64]) -> anyhow::Result<Vec<Option<String>>> {
    let name = || format!("read {}", path.display());
    let mut file = File::open(path).with_context(name)?;
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by_key(|i| lengths[*i]);
    let mut answers = vec![None; lengths.len()];
    let mut hasher = Sha256::new();
    let mut at = 0;
    let mut buffer = vec![0; CHUNK];
    for i in order {
        while at < lengths[i] {
            let want = usize::try_from(lengths[i] - at).unwrap_or(CHUNK).min(CHUNK);
            let got = fill(&mut file, &mut buffer[..want]).with_context(name)?;
            if got == 0 {
                return Ok(answers);
            }
            hasher.update(&buffer[..got]);
            at += got as u64;
        }
        answers[i] = Some(hex(&hasher.clone().finalize()));
    }
    Ok(answers)
}

/// Bytes as lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, b| {
        // Writing to a String cannot fail.
        let _infallible = write!(text, "{b:02x}");
        text
    })
}

/// Reads until the buffer is full or the input ends.
fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(filled)
}

/// The state of the pass; fed with chunks that begin at a block boundary.
struct Blocks {
    header: Header,
    size: usize,
    /// Used blocks; all of the file while the header does not say.
    used: u64,
    code: u8,
    next: u64,
    problem: Option<Verdict>,
    stored: bool,
    bad: Option<u32>,
    tail: u64,
    tail_data: bool,
}

impl Blocks {
    fn new(header: &Header) -> Self {
        Self {
            size: header.block_size as usize,
            used: header.used_blocks.map_or(u64::MAX, u64::from),
            header: header.clone(),
            code: 0,
            next: 0,
            problem: None,
            stored: false,
            bad: None,
            tail: 0,
            tail_data: false,
        }
    }

    fn take(&mut self, chunk: &[u8]) {
        for block in chunk.chunks(self.size) {
            let number = self.next;
            self.next += 1;
            if number >= self.used {
                self.tail += block.len() as u64;
                self.tail_data = self.tail_data || block.iter().any(|b| *b != 0);
            } else if number == 0 {
                self.code = block.get(1).copied().unwrap_or_default();
            } else if block.len() == self.size {
                self.check(number, block);
            }
        }
    }

    fn check(&mut self, number: u64, block: &[u8]) {
        let residue = checksum_residue(block);
        self.stored = self.stored || block[14] != 0 || block[15] != 0;
        let position = u32::try_from(number).unwrap_or(u32::MAX);
        if residue != 0 && self.bad.is_none() {
            self.bad = Some(position);
        }
        if self.problem.is_some() {
            return;
        }
        let f = Fields::new(block, self.header.endian);
        let (kind, code, at, sequence) = (f.u8(0), f.u8(1), f.u32(4), f.u32(8));
        if kind == 1 && code == self.code && at == position && sequence == self.header.sequence {
            return;
        }
        self.problem = Some(if block.iter().all(|b| *b == 0) {
            Verdict::Incomplete(format!("block {number} is still empty"))
        } else if kind != 1 || code != self.code {
            Verdict::Corrupt(format!(
                "block {number} is not a redo block (type {kind:#04x}, size code {code:#04x})"
            ))
        } else if at != position {
            Verdict::Corrupt(format!("block {number} says that it is block {at}"))
        } else {
            let own = self.header.sequence;
            Verdict::Corrupt(format!("block {number} belongs to sequence {sequence} and the log is {own}"))
        });
    }

    fn checksums(&self) -> Checksums {
        match (self.stored, self.bad) {
            (false, _) => Checksums::Absent,
            (true, None) => Checksums::AllGood,
            (true, Some(block)) => Checksums::Bad(block),
        }
    }

    fn tail(&self) -> Tail {
        match (self.tail, self.tail_data) {
            (0, _) => Tail::None,
            (bytes, false) => Tail::Zero(bytes),
            (bytes, true) => Tail::Data(bytes),
        }
    }

    fn verdict(&self, header: &Header, bytes: u64) -> Verdict {
        let (Some(needed), Some(_)) = (header.used_bytes(), header.next_scn) else {
            return Verdict::Incomplete("its header says that it is still being written".to_owned());
        };
        if header.used_blocks.is_some_and(|n| n < 2) {
            return Verdict::Corrupt("its header says that not even the header is in use".to_owned());
        }
        if header.next_scn.is_some_and(|next| next < header.first_scn) {
            return Verdict::Corrupt("its next SCN lies before its first".to_owned());
        }
        if bytes < needed {
            return Verdict::Incomplete(format!("it has {bytes} of {needed} bytes"));
        }
        self.problem.clone().unwrap_or(Verdict::Complete)
    }
}

#[cfg(test)]
mod tests;
