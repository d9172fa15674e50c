//! Datafiles: an operating system's block, a header block, data blocks 2 to n.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::FileExt,
    path::Path,
};

use crate::block::{self, get_scn, get_u16, get_u32, put, put_scn, SIZE};

/// Online backup: set by BEGIN BACKUP, cleared by END BACKUP or by applying its redo record.
pub const HOT_BACKUP: u16 = 0x01;
/// Open for writing: blocks may be newer than the checkpoint.
pub const ONLINE_FUZZY: u16 = 0x04;
/// A media recovery session works, or died, on the file.
pub const MEDIA_FUZZY: u16 = 0x40;

/// COMPATIBLE 19.0.0.
const COMPATIBLE: u32 = 0x1300_0000;

/// Block 1. Times are Oracle times ([`crate::oratime`]).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Header {
    pub dbid: u32,
    pub db_name: String,
    pub control_seq: u32,
    /// Size in blocks without block 0.
    pub blocks: u32,
    pub file: u32,
    pub creation_scn: u64,
    pub creation_time: u32,
    pub resetlogs_id: u32,
    pub resetlogs_scn: u64,
    pub backup_time: u32,
    pub backup_scn: u64,
    pub flags: u16,
    pub checkpoint_count: u32,
    pub ts: u32,
    pub ts_name: String,
    /// Everything below this SCN is in the file.
    pub checkpoint_scn: u64,
    pub checkpoint_time: u32,
    pub thread: u16,
    pub rba_seq: u32,
    pub rba_block: u32,
    /// Absolute fuzzy SCN of a restored backup: blocks may be as new as this although the checkpoint is older. 0 when not.
    pub fuzzy_scn: u64,
}

/// Why a header could not be used; the texts are V$DATAFILE_HEADER.ERROR's.
#[derive(Debug)]
pub enum HeaderError {
    NotFound,
    Unreadable(io::Error),
    Corrupt,
}

impl HeaderError {
    pub fn text(&self) -> &'static str {
        match self {
            Self::NotFound => "FILE NOT FOUND",
            Self::Unreadable(_) => "CANNOT READ HEADER",
            Self::Corrupt => "CORRUPT HEADER",
        }
    }
}

fn text_at(b: &[u8], at: usize, len: usize) -> String {
    let field = &b[at..at + len];
    let end = field.iter().position(|c| *c == 0).unwrap_or(len);
    String::from_utf8_lossy(&field[..end]).into_owned()
}

fn put_text(b: &mut [u8], at: usize, len: usize, text: &str) {
    let bytes = &text.as_bytes()[..text.len().min(len)];
    put(b, at, bytes);
}

impl Header {
    pub fn encode(&self) -> Vec<u8> {
        let mut b = vec![0; SIZE];
        b[0] = block::TYPE_HEADER;
        b[1] = block::SIZE_CODE;
        put(&mut b, 4, &block::rdba(self.file, 1).to_le_bytes());
        put(&mut b, 24, &COMPATIBLE.to_le_bytes());
        put(&mut b, 28, &self.dbid.to_le_bytes());
        put_text(&mut b, 32, 8, &self.db_name);
        put(&mut b, 40, &self.control_seq.to_le_bytes());
        put(&mut b, 44, &self.blocks.to_le_bytes());
        put(&mut b, 48, &(SIZE as u32).to_le_bytes());
        put(&mut b, 52, &(self.file as u16).to_le_bytes());
        put(&mut b, 54, &3u16.to_le_bytes());
        put_scn(&mut b, 100, self.creation_scn);
        put(&mut b, 108, &self.creation_time.to_le_bytes());
        put(&mut b, 112, &self.resetlogs_id.to_le_bytes());
        put_scn(&mut b, 116, self.resetlogs_scn);
        put(&mut b, 124, &self.backup_time.to_le_bytes());
        put_scn(&mut b, 128, self.backup_scn);
        put(&mut b, 138, &self.flags.to_le_bytes());
        put(&mut b, 140, &self.checkpoint_count.to_le_bytes());
        put(&mut b, 332, &self.ts.to_le_bytes());
        put(&mut b, 336, &(self.ts_name.len().min(30) as u16).to_le_bytes());
        put_text(&mut b, 338, 30, &self.ts_name);
        put(&mut b, 368, &(self.file & 0x3FF).to_le_bytes());
        put_scn(&mut b, 484, self.checkpoint_scn);
        put(&mut b, 492, &self.checkpoint_time.to_le_bytes());
        put(&mut b, 496, &self.thread.to_le_bytes());
        put(&mut b, 500, &self.rba_seq.to_le_bytes());
        put(&mut b, 504, &self.rba_block.to_le_bytes());
        put(&mut b, 508, &16u16.to_le_bytes());
        put_scn(&mut b, 560, self.fuzzy_scn);
        block::seal(&mut b, 0);
        b
    }

    pub fn decode(b: &[u8]) -> Option<Self> {
        let file = u32::from(get_u16(b, 52));
        block::check(b, block::TYPE_HEADER, block::rdba(file, 1)).ok()?;
        if get_u16(b, 54) != 3 || get_u32(b, 48) != SIZE as u32 {
            return None;
        }
        Some(Self {
            dbid: get_u32(b, 28),
            db_name: text_at(b, 32, 8),
            control_seq: get_u32(b, 40),
            blocks: get_u32(b, 44),
            file,
            creation_scn: get_scn(b, 100),
            creation_time: get_u32(b, 108),
            resetlogs_id: get_u32(b, 112),
            resetlogs_scn: get_scn(b, 116),
            backup_time: get_u32(b, 124),
            // Only six bytes: the status flags follow at once.
            backup_scn: get_scn(b, 128),
            flags: get_u16(b, 138),
            checkpoint_count: get_u32(b, 140),
            ts: get_u32(b, 332),
            ts_name: text_at(b, 338, usize::from(get_u16(b, 336).min(30))),
            checkpoint_scn: get_scn(b, 484),
            checkpoint_time: get_u32(b, 492),
            thread: get_u16(b, 496),
            rba_seq: get_u32(b, 500),
            rba_block: get_u32(b, 504),
            fuzzy_scn: get_scn(b, 560),
        })
    }

    /// Whether blocks may be newer than the checkpoint.
    pub fn is_fuzzy(&self) -> bool {
        self.flags & (HOT_BACKUP | ONLINE_FUZZY | MEDIA_FUZZY) != 0 || self.fuzzy_until().is_some()
    }

    /// The SCN that recovery has to pass, if it has not yet.
    pub fn fuzzy_until(&self) -> Option<u64> {
        (self.fuzzy_scn != 0 && self.fuzzy_scn >= self.checkpoint_scn).then_some(self.fuzzy_scn)
    }

    pub fn write(&self, file: &File) -> io::Result<()> {
        file.write_all_at(&self.encode(), SIZE as u64)
    }

    pub fn read(file: &File) -> Result<Self, HeaderError> {
        let mut b = vec![0; SIZE];
        file.read_exact_at(&mut b, SIZE as u64).map_err(HeaderError::Unreadable)?;
        Self::decode(&b).ok_or(HeaderError::Corrupt)
    }

    pub fn read_path(path: &Path) -> Result<Self, HeaderError> {
        match File::open(path) {
            Ok(file) => Self::read(&file),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Err(HeaderError::NotFound),
            Err(e) => Err(HeaderError::Unreadable(e)),
        }
    }
}

/// Takes the file for one instance alone; `false` when another one has it open for writing or recovers it. Copying is
/// not hindered. Primary and standby of a test live on one machine, and a control file of one names files of the other.
pub fn take(file: &File) -> bool {
    rustix::fs::flock(file, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_ok()
}

/// Block 0: what the operating system's layer keeps.
pub fn os_block(blocks: u32) -> Vec<u8> {
    let mut b = vec![0; SIZE];
    b[1] = block::SIZE_CODE;
    put(&mut b, 4, &0xFFC0_0000u32.to_le_bytes());
    put(&mut b, 20, &(SIZE as u32).to_le_bytes());
    put(&mut b, 24, &blocks.to_le_bytes());
    put(&mut b, 28, &[0x7D, 0x7C, 0x7B, 0x7A]);
    let sum = block::xor16(&b);
    put(&mut b, 16, &sum.to_le_bytes());
    b
}

/// Makes a datafile of formatted blocks. Fails when the path exists.
pub fn create(path: &Path, header: &Header) -> io::Result<File> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    let file = OpenOptions::new().read(true).write(true).create_new(true).open(path)?;
    file.write_all_at(&os_block(header.blocks), 0)?;
    format(&file, header.file, 2, header.blocks, header.creation_scn)?;
    header.write(&file)?;
    Ok(file)
}

/// Formats blocks `from` to `to`, both included, as new at `scn`.
pub fn format(file: &File, number: u32, from: u32, to: u32, scn: u64) -> io::Result<()> {
    let mut buffer = Vec::new();
    let mut at = from;
    for n in from..=to {
        buffer.extend_from_slice(&block::fresh(number, n, scn));
        if buffer.len() >= 64 * SIZE || n == to {
            file.write_all_at(&buffer, u64::from(at) * SIZE as u64)?;
            at = n + 1;
            buffer.clear();
        }
    }
    Ok(())
}

/// Grows or shrinks to `blocks`; new blocks are formatted at `scn`. The header is the caller's.
pub fn resize(file: &File, number: u32, old: u32, blocks: u32, scn: u64) -> io::Result<()> {
    if blocks > old {
        format(file, number, old + 1, blocks, scn)?;
    } else {
        file.set_len((u64::from(blocks) + 1) * SIZE as u64)?;
    }
    file.write_all_at(&os_block(blocks), 0)
}

pub fn read_block(file: &File, block: u32) -> io::Result<Vec<u8>> {
    let mut b = vec![0; SIZE];
    file.read_exact_at(&mut b, u64::from(block) * SIZE as u64)?;
    Ok(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_where_the_listings_say() {
        let header = Header {
            dbid: 0x594D_799A,
            db_name: "SCMHK".into(),
            blocks: 608_000,
            file: 1,
            creation_scn: 7,
            flags: HOT_BACKUP | ONLINE_FUZZY,
            backup_scn: 959_994_799_549,
            checkpoint_scn: 959_994_799_549,
            ts_name: "Möbel x".into(),
            ..Header::default()
        };
        let b = header.encode();
        assert_eq!(&b[28..37], b"\x9a\x79\x4d\x59SCMHK");
        assert_eq!(get_u32(&b, 44), 608_000);
        assert_eq!((b[0], b[1], get_u32(&b, 4)), (0x0B, 0xA2, 0x0040_0001));
        assert_eq!(get_scn(&b, 484), 959_994_799_549);
        assert_eq!(Header::decode(&b).unwrap(), header);
    }
}
