//! The header of a datafile: block 1, the second block of the file.
//!
//! Offsets from ORACLE_FACTS 5. Those up to 116 are confirmed by real bytes; the later ones were read from listings
//! of 10g to 12c, so a field that looks wrong is reported in [`Header::not_understood`] and does not fail the reader.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{anyhow, Context};
use chrono::NaiveDateTime;

use super::block::{checksum_residue, size_of_code, Endian, Fields};

/// Block sizes of datafiles, the usual one first.
const BLOCK_SIZES: [u32; 6] = [8192, 16384, 32768, 4096, 2048, 512];

/// The least that [`Header::parse`] can work with.
const LEAST: usize = 128;

/// A position in the redo of a thread: the first redo that recovery of the file needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RedoAddress {
    pub sequence: u32,
    pub block: u32,
    pub offset: u32,
}

/// Whether the stored checksum fits the block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checksum {
    Good,
    Bad,
    /// None stored (DB_BLOCK_CHECKSUM off), or only part of the block was given.
    Absent,
}

/// Who a datafile is and where it stands. An `Option` is `None` when the bytes given end before the field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    pub endian: Endian,
    /// Bytes.
    pub block_size: u32,
    /// Without block 0.
    pub blocks: u32,
    /// Absolute file number, FILE#.
    pub file_number: u16,
    /// 3 for a datafile.
    pub file_type: u16,
    pub dbid: u32,
    pub db_name: String,
    /// Release, as 0x13000000 for 19c.
    pub compat: u32,
    pub control_sequence: u32,
    pub creation_scn: u64,
    pub creation_time: Option<NaiveDateTime>,
    pub resetlogs_id: u32,
    pub resetlogs_scn: u64,
    pub begin_backup_time: Option<NaiveDateTime>,
    pub begin_backup_scn: Option<u64>,
    /// Status bits: 0x01 in hot backup, 0x04 online and fuzzy.
    pub status: Option<u16>,
    pub checkpoint_count: Option<u32>,
    pub tablespace_number: Option<u32>,
    pub tablespace: Option<String>,
    pub relative_file_number: Option<u32>,
    /// CHECKPOINT_CHANGE# of V$DATAFILE_HEADER; does not move while the file is in backup mode.
    pub checkpoint_scn: Option<u64>,
    pub checkpoint_time: Option<NaiveDateTime>,
    pub checkpoint_thread: Option<u16>,
    pub redo_address: Option<RedoAddress>,
    pub checksum: Checksum,
    /// What was not as the layout says, one phrase each.
    pub not_understood: Vec<String>,
}

impl Header {
    /// Whether the header carries the hot-backup bit.
    pub fn in_backup_mode(&self) -> Option<bool> {
        self.status.map(|s| s & 0x01 != 0)
    }

    /// Size of the whole file in bytes, block 0 included.
    pub fn file_bytes(&self) -> u64 {
        (u64::from(self.blocks) + 1) * u64::from(self.block_size)
    }

    /// Reads block 1 from its bytes, which may be fewer than the whole block but not fewer than 128.
    ///
    /// # Errors
    /// The bytes are not a datafile header; the message says why.
    pub fn parse(block: &[u8]) -> anyhow::Result<Self> {
        let (endian, block_size) = shape(block)?;
        let f = Fields::new(block, endian);
        let has = |end: usize| block.len() >= end;
        let mut not_understood = Vec::new();
        if f.u16(54) != 3 {
            not_understood.push(format!("file type {} instead of 3", f.u16(54)));
        }
        let (creation_scn, resetlogs_scn) = (f.scn(100).unwrap_or_default(), f.scn(116).unwrap_or_default());
        let tablespace = has(368).then(|| f.name(338, usize::from(f.u16(336)).min(30)));
        if has(368) && (f.u16(336) == 0 || f.u16(336) > 30) {
            not_understood.push(format!("a tablespace name of {} bytes", f.u16(336)));
        }
        let checkpoint_scn = if has(492) { f.scn(484) } else { None };
        if checkpoint_scn.is_some_and(|scn| scn < creation_scn) {
            not_understood.push(format!(
                "checkpoint SCN {} before creation SCN {creation_scn}",
                checkpoint_scn.unwrap_or_default()
            ));
        }
        let whole = block.len() == block_size as usize;
        let checksum = match (whole && f.u16(16) != 0, checksum_residue(block)) {
            (false, _) => Checksum::Absent,
            (true, 0) => Checksum::Good,
            (true, _) => Checksum::Bad,
        };
        if whole {
            let tail = f.u32(block.len() - 4);
            let expected = (f.u32(8) & 0xffff) << 16 | u32::from(f.u8(0)) << 8 | u32::from(f.u8(14));
            if tail != expected {
                not_understood.push(format!("tail {tail:#010x} instead of {expected:#010x}"));
            }
        } else {
            not_understood.push(format!("only {} of {block_size} bytes were given", block.len()));
        }
        Ok(Self {
            endian,
            block_size,
            blocks: f.u32(44),
            file_number: f.u16(52),
            file_type: f.u16(54),
            dbid: f.u32(28),
            db_name: f.name(32, 8),
            compat: f.u32(24),
            control_sequence: f.u32(40),
            creation_scn,
            creation_time: f.time(108),
            resetlogs_id: f.u32(112),
            resetlogs_scn,
            begin_backup_time: if has(128) { f.time(124) } else { None },
            begin_backup_scn: if has(136) { f.scn(128) } else { None },
            status: has(140).then(|| f.u16(138)),
            checkpoint_count: has(144).then(|| f.u32(140)),
            tablespace_number: has(336).then(|| f.u32(332)),
            tablespace,
            relative_file_number: has(372).then(|| f.u32(368)),
            checkpoint_scn,
            checkpoint_time: if has(496) { f.time(492) } else { None },
            checkpoint_thread: has(498).then(|| f.u16(496)),
            redo_address: has(512).then(|| RedoAddress {
                sequence: f.u32(500),
                block: f.u32(504),
                offset: f.u32(508),
            }),
            checksum,
            not_understood,
        })
    }
}

/// Byte order and block size, from the type, the size code and the size field that must agree with it.
fn shape(block: &[u8]) -> anyhow::Result<(Endian, u32)> {
    if block.len() < LEAST {
        return Err(anyhow!("only {} bytes of a datafile header", block.len()));
    }
    if block[0] != 0x0b {
        return Err(anyhow!("block 1 has type {:#04x}, a datafile has 0x0b", block[0]));
    }
    let size = size_of_code(block[1]).ok_or_else(|| anyhow!("block 1 has size code {:#04x}", block[1]))?;
    let by_order = [Endian::Little, Endian::Big].map(|e| (e, Fields::new(block, e).u32(48)));
    let found = by_order.into_iter().find(|(_, field)| *field == size);
    let (endian, _) = found.ok_or_else(|| {
        anyhow!("block 1 has the size code of {size} bytes and {} in its size field", by_order[0].1)
    })?;
    Ok((endian, size))
}

/// Reads the header of a file, one block.
///
/// # Errors
/// The file cannot be read, or no block size puts a datafile header at its second block.
pub fn read_header(path: &Path) -> anyhow::Result<Header> {
    let name = || format!("read the header of {}", path.display());
    let file = File::open(path).with_context(name)?;
    let length = file.metadata().with_context(name)?.len();
    let mut reason = anyhow!("it has only {length} bytes");
    for size in BLOCK_SIZES {
        if length < u64::from(size) * 2 {
            continue;
        }
        let mut block = vec![0; size as usize];
        file.read_exact_at(&mut block, u64::from(size)).with_context(name)?;
        match Header::parse(&block) {
            Ok(header) if header.block_size == size => return Ok(header),
            Ok(header) => {
                reason = anyhow!("the block at {size} says that blocks have {} bytes", header.block_size);
            }
            Err(e) if size == BLOCK_SIZES[0] => reason = e,
            Err(_) => {}
        }
    }
    Err(reason).with_context(name)
}

#[cfg(test)]
mod tests;
