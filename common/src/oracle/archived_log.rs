//! The header of an archived redo log.
//!
//! Offsets from ORACLE_FACTS 4: two independent open-source readers agree on all of them.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::Context;
use chrono::NaiveDateTime;

use super::block::{Endian, Fields};

/// Bytes that hold blocks 0 and 1 for every block size.
pub const HEADER_BYTES: usize = 8192;

/// Who a log is and what redo it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    pub dbid: u32,
    pub db_name: String,
    pub thread: u16,
    pub sequence: u32,
    /// `%r`, V$DATABASE_INCARNATION.RESETLOGS_ID.
    pub resetlogs_id: u32,
    pub resetlogs_scn: u64,
    /// FIRST_CHANGE#.
    pub first_scn: u64,
    /// NEXT_CHANGE#; `None` while the log is being written.
    pub next_scn: Option<u64>,
    /// In the database host's own time zone, as all times here.
    pub first_time: Option<NaiveDateTime>,
    pub next_time: Option<NaiveDateTime>,
    /// Bytes.
    pub block_size: u32,
    /// Blocks in use, blocks 0 and 1 included; `None` while the log is being written.
    pub used_blocks: Option<u32>,
    /// Blocks of the file by its block 0; whether block 0 counts is not established.
    pub file_blocks: u32,
    /// Release, as 0x13000000 for 19c.
    pub compat: u32,
    pub activation_id: u32,
    pub endian: Endian,
}

impl Header {
    /// Smallest size in bytes that holds all redo of the log; `None` while it is being written.
    pub fn used_bytes(&self) -> Option<u64> {
        self.used_blocks.map(|n| u64::from(n) * u64::from(self.block_size))
    }

    /// Reads the header from the first bytes of a file, [`HEADER_BYTES`] or all there are.
    ///
    /// # Errors
    /// The verdict on a file that has no header to rely on.
    pub fn parse(bytes: &[u8]) -> Result<Self, Verdict> {
        let (endian, block_size) = first_block(bytes)?;
        let size = block_size as usize;
        let Some(block) = bytes.get(size..size + 512) else {
            return Err(Verdict::Incomplete(format!(
                "it ends after {} bytes, inside its header",
                bytes.len()
            )));
        };
        let all = Fields::new(bytes, endian);
        let f = Fields::new(block, endian);
        if block.iter().all(|b| *b == 0) {
            return Err(Verdict::Incomplete("its header block is still empty".to_owned()));
        }
        if f.u8(0) != 1 || f.u32(4) != 1 {
            return Err(Verdict::Corrupt(format!(
                "block 1 has type {:#04x} and number {} instead of 0x01 and 1",
                f.u8(0),
                f.u32(4)
            )));
        }
        if f.u8(1) != bytes[1] {
            return Err(Verdict::Corrupt(format!(
                "block 1 has size code {:#04x} and block 0 {:#04x}",
                f.u8(1),
                bytes[1]
            )));
        }
        if f.u32(20) == 0 {
            return Err(Verdict::Incomplete(
                "its header names no release: the log was never written".to_owned(),
            ));
        }
        let used = f.u32(156);
        let (Some(resetlogs_scn), Some(first_scn)) = (f.scn(164), f.scn(180)) else {
            return Err(Verdict::Corrupt("its header has no first SCN".to_owned()));
        };
        Ok(Self {
            dbid: f.u32(24),
            db_name: f.name(28, 8),
            thread: f.u16(176),
            sequence: f.u32(8),
            resetlogs_id: f.u32(160),
            resetlogs_scn,
            first_scn,
            next_scn: f.scn(192),
            first_time: f.time(188),
            next_time: f.time(200),
            block_size,
            used_blocks: (used != u32::MAX).then_some(used),
            file_blocks: all.u32(24),
            compat: f.u32(20),
            activation_id: f.u32(52),
            endian,
        })
    }
}

/// Byte order and block size from block 0.
fn first_block(bytes: &[u8]) -> Result<(Endian, u32), Verdict> {
    if bytes.len() < 32 {
        return Err(Verdict::Incomplete(format!("it has only {} bytes", bytes.len())));
    }
    if bytes.iter().all(|b| *b == 0) {
        return Err(Verdict::Incomplete("its beginning is empty".to_owned()));
    }
    let endian = match bytes[28..32] {
        [0x7d, 0x7c, 0x7b, 0x7a] => Endian::Little,
        [0x7a, 0x7b, 0x7c, 0x7d] => Endian::Big,
        _ => return Err(Verdict::NotALog("bytes 28 to 31 are not those of an Oracle file".to_owned())),
    };
    let size = Fields::new(bytes, endian).u32(20);
    // The sources differ on the code of 1024-byte blocks.
    let codes: &[u8] = match size {
        512 => &[0x22],
        1024 => &[0x22, 0x42],
        4096 => &[0x82],
        _ => return Err(Verdict::NotALog(format!("no redo log has blocks of {size} bytes"))),
    };
    if bytes[0] != 0 || !codes.contains(&bytes[1]) {
        return Err(Verdict::NotALog(format!(
            "block 0 has type {:#04x} and size code {:#04x}, which is no redo log with blocks of {size} bytes",
            bytes[0], bytes[1]
        )));
    }
    Ok((endian, size))
}

/// Whether a file holds a whole archived log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Complete,
    /// Still being written or only partly copied; may become complete.
    Incomplete(String),
    /// What is there contradicts itself.
    Corrupt(String),
    /// Something else.
    NotALog(String),
}

impl Verdict {
    pub fn is_complete(&self) -> bool {
        *self == Self::Complete
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Complete => f.write_str("complete"),
            Self::Incomplete(reason) => write!(f, "incomplete: {reason}"),
            Self::Corrupt(reason) => write!(f, "corrupt: {reason}"),
            Self::NotALog(reason) => write!(f, "not an archived log: {reason}"),
        }
    }
}

/// Reads the header of a file and nothing more (at most 8 KiB).
///
/// The inner error is the verdict on a file without a usable header.
///
/// # Errors
/// The file cannot be read.
pub fn read_header(path: &Path) -> anyhow::Result<Result<Header, Verdict>> {
    let mut bytes = Vec::with_capacity(HEADER_BYTES);
    File::open(path)
        .and_then(|f| f.take(HEADER_BYTES as u64).read_to_end(&mut bytes))
        .with_context(|| format!("read the header of {}", path.display()))?;
    Ok(Header::parse(&bytes))
}
