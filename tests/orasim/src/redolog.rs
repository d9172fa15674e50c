//! Online and archived redo logs: file header block, log header block, records across numbered and summed blocks.

use std::{fs, io, path::Path};

use crate::{
    block::{put, xor16},
    record::Record,
};

/// First record byte of a block.
const HEAD: usize = 16;
/// COMPATIBLE 19.0.0.
const COMPATIBLE: u32 = 0x1300_0000;
/// A log that is still written has no end.
pub const OPEN_NAB: u32 = u32::MAX;
pub const OPEN_SCN: u64 = 0xFFFF_FFFF_FFFF;

/// Byte order of the platform, which decides the order in headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    Little,
    Big,
}

impl Order {
    fn u16(self, v: u16) -> [u8; 2] {
        match self {
            Self::Little => v.to_le_bytes(),
            Self::Big => v.to_be_bytes(),
        }
    }
    fn u32(self, v: u32) -> [u8; 4] {
        match self {
            Self::Little => v.to_le_bytes(),
            Self::Big => v.to_be_bytes(),
        }
    }
    fn get16(self, b: &[u8], at: usize) -> u16 {
        match self {
            Self::Little => u16::from_le_bytes([b[at], b[at + 1]]),
            Self::Big => u16::from_be_bytes([b[at], b[at + 1]]),
        }
    }
    fn get32(self, b: &[u8], at: usize) -> u32 {
        let w = [b[at], b[at + 1], b[at + 2], b[at + 3]];
        match self {
            Self::Little => u32::from_le_bytes(w),
            Self::Big => u32::from_be_bytes(w),
        }
    }
    fn put_scn(self, b: &mut [u8], at: usize, scn: u64) {
        put(b, at, &self.u32(scn as u32));
        put(b, at + 4, &self.u16((scn >> 32) as u16));
        put(b, at + 6, &self.u16(if scn == OPEN_SCN { 0xFFFF } else { 0 }));
    }
    fn scn(self, b: &[u8], at: usize) -> u64 {
        u64::from(self.get32(b, at)) | u64::from(self.get16(b, at + 4)) << 32
    }
}

pub fn size_code(block_size: u32) -> u8 {
    match block_size {
        1024 => 0x42,
        4096 => 0x82,
        _ => 0x22,
    }
}

/// Block 1 and what block 0 says about the file. Times are Oracle times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogHeader {
    pub order: Order,
    pub block_size: u32,
    pub dbid: u32,
    pub db_name: String,
    pub control_seq: u32,
    /// Blocks of the online log, block 0 not counted.
    pub file_blocks: u32,
    pub group: u16,
    pub activation: u32,
    pub thread: u16,
    pub sequence: u32,
    /// Used blocks, blocks 0 and 1 included; [`OPEN_NAB`] while current.
    pub nab: u32,
    pub resetlogs_id: u32,
    pub resetlogs_scn: u64,
    pub low_scn: u64,
    pub low_time: u32,
    /// [`OPEN_SCN`] while current.
    pub next_scn: u64,
    pub next_time: u32,
    pub previous_resetlogs_id: u32,
    pub previous_resetlogs_scn: u64,
}

fn seal(b: &mut [u8]) {
    put(b, 14, &[0, 0]);
    let sum = xor16(b);
    put(b, 14, &sum.to_le_bytes());
}

impl LogHeader {
    /// Blocks 0 and 1.
    pub fn encode(&self) -> Vec<u8> {
        let (bs, o) = (self.block_size as usize, self.order);
        let mut b = vec![0; bs * 2];
        {
            let zero = &mut b[..bs];
            zero[1] = size_code(self.block_size);
            put(zero, 20, &o.u32(self.block_size));
            put(zero, 24, &o.u32(self.file_blocks));
            put(zero, 28, &o.u32(0x7A7B_7C7D));
            seal(zero);
        }
        let h = &mut b[bs..];
        h[0] = 1;
        h[1] = size_code(self.block_size);
        put(h, 4, &o.u32(1));
        put(h, 8, &o.u32(self.sequence));
        put(h, 20, &o.u32(COMPATIBLE));
        put(h, 24, &o.u32(self.dbid));
        let name = self.db_name.as_bytes();
        put(h, 28, &name[..name.len().min(8)]);
        put(h, 36, &o.u32(self.control_seq));
        put(h, 40, &o.u32(self.file_blocks));
        put(h, 44, &o.u32(self.block_size));
        put(h, 48, &o.u16(self.group));
        put(h, 50, &o.u16(2));
        put(h, 52, &o.u32(self.activation));
        let text = format!(
            "Thread {:04}, Seq# {:010}, SCN 0x{:012x}-0x{:012x}",
            self.thread, self.sequence, self.low_scn, self.next_scn
        );
        put(h, 92, &text.as_bytes()[..text.len().min(64)]);
        put(h, 156, &o.u32(self.nab));
        put(h, 160, &o.u32(self.resetlogs_id));
        o.put_scn(h, 164, self.resetlogs_scn);
        put(h, 176, &o.u16(self.thread));
        o.put_scn(h, 180, self.low_scn);
        put(h, 188, &o.u32(self.low_time));
        o.put_scn(h, 192, self.next_scn);
        put(h, 200, &o.u32(self.next_time));
        o.put_scn(h, 208, self.resetlogs_scn);
        o.put_scn(h, 220, OPEN_SCN);
        o.put_scn(h, 284, self.previous_resetlogs_scn);
        put(h, 292, &o.u32(self.previous_resetlogs_id));
        seal(h);
        b
    }
}

/// What is wrong with a log file, before anybody asks whether it is the wanted one.
#[derive(Debug)]
pub enum LogError {
    NotFound,
    Io(io::Error),
    /// No redo log at all.
    Foreign,
    /// The header's checksum.
    HeaderSum,
    /// Fewer blocks than the header counts.
    TooSmall,
    /// A block with a wrong number, sequence or sum.
    Block(u32),
}

/// A log in memory, its header checked.
#[derive(Debug, Clone)]
pub struct Log {
    pub header: LogHeader,
    bytes: Vec<u8>,
    /// Blocks that hold redo, blocks 0 and 1 included.
    end: u32,
}

/// Reads and checks the header alone.
pub fn read_header(path: &Path) -> Result<LogHeader, LogError> {
    use std::io::Read;
    let mut file = match fs::File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(LogError::NotFound),
        Err(e) => return Err(LogError::Io(e)),
    };
    let mut bytes = Vec::new();
    file.by_ref().take(8192).read_to_end(&mut bytes).map_err(LogError::Io)?;
    parse_header(&bytes)
}

fn parse_header(b: &[u8]) -> Result<LogHeader, LogError> {
    if b.len() < 512 || b[0] != 0 {
        return Err(LogError::Foreign);
    }
    let order = match &b[28..32] {
        [0x7D, 0x7C, 0x7B, 0x7A] => Order::Little,
        [0x7A, 0x7B, 0x7C, 0x7D] => Order::Big,
        _ => return Err(LogError::Foreign),
    };
    let block_size = order.get32(b, 20);
    if ![512, 1024, 4096].contains(&block_size) || b[1] != size_code(block_size) {
        return Err(LogError::Foreign);
    }
    let bs = block_size as usize;
    let h = b.get(bs..bs * 2).ok_or(LogError::TooSmall)?;
    if h[0] != 1 || h[1] != b[1] || order.get32(h, 4) != 1 || order.get32(h, 20) == 0 {
        return Err(LogError::Foreign);
    }
    if xor16(h) != 0 || xor16(&b[..bs]) != 0 {
        return Err(LogError::HeaderSum);
    }
    let name = &h[28..36];
    let end = name.iter().position(|c| *c == 0).unwrap_or(8);
    Ok(LogHeader {
        order,
        block_size,
        dbid: order.get32(h, 24),
        db_name: String::from_utf8_lossy(&name[..end]).into_owned(),
        control_seq: order.get32(h, 36),
        file_blocks: order.get32(h, 40),
        group: order.get16(h, 48),
        activation: order.get32(h, 52),
        thread: order.get16(h, 176),
        sequence: order.get32(h, 8),
        nab: order.get32(h, 156),
        resetlogs_id: order.get32(h, 160),
        resetlogs_scn: order.scn(h, 164),
        low_scn: order.scn(h, 180),
        low_time: order.get32(h, 188),
        next_scn: order.scn(h, 192),
        next_time: order.get32(h, 200),
        previous_resetlogs_id: order.get32(h, 292),
        previous_resetlogs_scn: order.scn(h, 284),
    })
}

impl Log {
    /// Reads a finished log whole and checks every block of it.
    pub fn read(path: &Path) -> Result<Self, LogError> {
        let mut log = Self::load(path)?;
        if log.header.nab == OPEN_NAB || log.header.next_scn == OPEN_SCN {
            return Err(LogError::TooSmall);
        }
        if (log.bytes.len() as u64) < u64::from(log.header.nab) * u64::from(log.header.block_size) {
            return Err(LogError::TooSmall);
        }
        for n in 2..log.header.nab {
            if !log.block_is_good(n) {
                return Err(LogError::Block(n));
            }
        }
        log.end = log.header.nab;
        Ok(log)
    }

    /// Reads an online log up to the last block that was written in its present use.
    pub fn read_online(path: &Path) -> Result<Self, LogError> {
        let mut log = Self::load(path)?;
        let blocks = (log.bytes.len() / log.header.block_size as usize) as u32;
        let last = if log.header.nab == OPEN_NAB { blocks } else { log.header.nab.min(blocks) };
        let mut end = 2;
        while end < last && log.block_is_good(end) {
            end += 1;
        }
        log.end = end;
        Ok(log)
    }

    fn load(path: &Path) -> Result<Self, LogError> {
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(LogError::NotFound),
            Err(e) => return Err(LogError::Io(e)),
        };
        Ok(Self { header: parse_header(&bytes)?, bytes, end: 0 })
    }

    fn block(&self, n: u32) -> Option<&[u8]> {
        let bs = self.header.block_size as usize;
        self.bytes.get(n as usize * bs..(n as usize + 1) * bs)
    }

    fn block_is_good(&self, n: u32) -> bool {
        let o = self.header.order;
        self.block(n).is_some_and(|b| {
            b[0] == 1 && o.get32(b, 4) == n && o.get32(b, 8) == self.header.sequence && xor16(b) == 0
        })
    }

    /// Number of used blocks, blocks 0 and 1 included.
    pub fn end(&self) -> u32 {
        self.end
    }

    /// The record at a position, and the position of the next; `None` at the end, `Some(Err)` for redo that is none.
    pub fn record(&self, position: Position) -> Option<Result<(Record, Position), LogError>> {
        let bs = self.header.block_size as usize;
        let mut at = position;
        loop {
            if at.block >= self.end {
                return None;
            }
            if at.offset + 4 > bs {
                at = Position { block: at.block + 1, offset: HEAD };
                continue;
            }
            let block = self.block(at.block)?;
            let len = u32::from_le_bytes([
                block[at.offset],
                block[at.offset + 1],
                block[at.offset + 2],
                block[at.offset + 3],
            ]) as usize;
            if len == 0 {
                at = Position { block: at.block + 1, offset: HEAD };
                continue;
            }
            if len > 1 << 16 {
                return Some(Err(LogError::Block(at.block)));
            }
            let start = at.block;
            let mut bytes = Vec::with_capacity(len);
            while bytes.len() < len {
                if at.offset == bs {
                    at = Position { block: at.block + 1, offset: HEAD };
                }
                // A record cut off by the end of an online log was never written whole.
                if at.block >= self.end {
                    return None;
                }
                let block = self.block(at.block)?;
                let n = (bs - at.offset).min(len - bytes.len());
                bytes.extend_from_slice(&block[at.offset..at.offset + n]);
                at.offset += n;
            }
            return Some(Record::decode(&bytes).map(|r| (r, at)).ok_or(LogError::Block(start)));
        }
    }
}

/// Where in a log a reader is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    pub block: u32,
    pub offset: usize,
}

impl Position {
    pub const START: Self = Self { block: 2, offset: HEAD };
}

/// Cuts encoded records into blocks from number `first` on; the last block is padded with zeros.
pub fn blocks(stream: &[u8], starts: &[usize], header: &LogHeader, first: u32) -> Vec<u8> {
    let bs = header.block_size as usize;
    let room = bs - HEAD;
    let mut out = Vec::with_capacity(stream.len() / room * bs + bs);
    let mut starts = starts.iter().copied().peekable();
    for (i, chunk) in stream.chunks(room).enumerate() {
        let mut b = vec![0; bs];
        b[0] = 1;
        b[1] = size_code(header.block_size);
        put(&mut b, 4, &header.order.u32(first + i as u32));
        put(&mut b, 8, &header.order.u32(header.sequence));
        let begin = i * room;
        while starts.peek().is_some_and(|s| *s < begin) {
            starts.next();
        }
        if let Some(start) = starts.peek().filter(|s| **s < begin + room) {
            put(&mut b, 12, &header.order.u16((start - begin + HEAD) as u16));
        }
        put(&mut b, HEAD, chunk);
        seal(&mut b);
        out.extend_from_slice(&b);
    }
    out
}

/// Blocks that a stream of this many bytes fills.
pub fn blocks_for(bytes: usize, block_size: u32) -> u32 {
    bytes.div_ceil(block_size as usize - HEAD) as u32
}
