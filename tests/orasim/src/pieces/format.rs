//! A piece as a file: a header block, frames, a directory at the end. Every byte is under some checksum.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufReader, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use chrono::NaiveDateTime;
use flate2::{read::DeflateDecoder, write::DeflateEncoder, Compression};
use serde::{Deserialize, Serialize};

use super::records::{BackupSet, SetType};
use crate::{block::SIZE, controlfile::Incarnation};

const MAGIC: &[u8; 16] = b"ORASIM PIECE 001";
const FRAME: usize = 20;
const END: usize = 24;
const END_MAGIC: &[u8; 8] = b"PIECEEND";
/// No frame is longer.
const LONGEST: usize = 16 << 20;

/// The first block of a piece.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Header {
    pub dbid: u32,
    pub db_name: String,
    pub set_stamp: u32,
    pub set_count: u32,
    pub set_type: SetType,
    pub piece: u32,
    pub copy: u32,
    pub tag: Option<String>,
    pub start: NaiveDateTime,
}

/// The end of a piece: what the whole set has.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Directory {
    pub set: BackupSet,
    pub completion: NaiveDateTime,
    /// The incarnations of the database when it was made.
    pub incarnations: Vec<Incarnation>,
    /// How many frames this piece has: one that lost some of them is not whole.
    pub frames: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The header block of datafile `file`.
    FileHeader,
    /// Block `at` of datafile `file`.
    Block,
    /// Bytes from `at` (in log blocks) of log number `file` of the set.
    Log,
    Controlfile,
    Spfile,
    Directory,
}

impl Kind {
    fn code(self) -> u8 {
        match self {
            Self::FileHeader => 1,
            Self::Block => 2,
            Self::Log => 3,
            Self::Controlfile => 4,
            Self::Spfile => 5,
            Self::Directory => 9,
        }
    }

    fn of(code: u8) -> Option<Self> {
        [Self::FileHeader, Self::Block, Self::Log, Self::Controlfile, Self::Spfile, Self::Directory]
            .into_iter()
            .find(|k| k.code() == code)
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Frame {
    pub kind: Kind,
    pub file: u32,
    pub at: u32,
    pub bytes: Vec<u8>,
}

/// What is wrong with a piece.
#[derive(Debug)]
pub enum Damage {
    Missing,
    Io(io::Error),
    /// Not a piece by its first block.
    NotAPiece,
    /// It ends too early: in this block of 8192 bytes.
    Truncated(u64),
    /// A checksum is wrong in this block of 8192 bytes.
    Corrupt(u64),
}

impl From<io::Error> for Damage {
    fn from(e: io::Error) -> Self {
        if e.kind() == io::ErrorKind::NotFound {
            Self::Missing
        } else {
            Self::Io(e)
        }
    }
}

fn block_of(offset: u64) -> u64 {
    offset / SIZE as u64 + 1
}

/// A piece being written.
#[derive(Debug)]
pub struct Writer {
    pub path: PathBuf,
    pub header: Header,
    file: File,
    bytes: u64,
    frames: u64,
    compressed: bool,
}

impl Writer {
    /// # Errors
    /// When the path exists or cannot be made.
    pub fn create(path: &Path, header: Header, compressed: bool) -> io::Result<Self> {
        let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
        let body = serde_json::to_vec(&header).map_err(io::Error::other)?;
        let mut block = vec![0; SIZE];
        block[..16].copy_from_slice(MAGIC);
        block[16..20].copy_from_slice(&(body.len() as u32).to_le_bytes());
        let room = block.get_mut(20..20 + body.len()).ok_or_else(|| io::Error::other("tag too long"))?;
        room.copy_from_slice(&body);
        let sum = crc32fast::hash(&block[..SIZE - 4]);
        block[SIZE - 4..].copy_from_slice(&sum.to_le_bytes());
        file.write_all(&block)?;
        Ok(Self { path: path.to_owned(), header, file, bytes: SIZE as u64, frames: 0, compressed })
    }

    /// Bytes written so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The block in which writing is.
    pub fn block(&self) -> u64 {
        block_of(self.bytes)
    }

    /// # Errors
    /// Of the disk.
    pub fn frame(&mut self, kind: Kind, file: u32, at: u32, bytes: &[u8]) -> io::Result<()> {
        let mut packed = None;
        if self.compressed {
            let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(bytes)?;
            packed = Some(encoder.finish()?).filter(|p| p.len() < bytes.len());
        }
        let payload = packed.as_deref().unwrap_or(bytes);
        let mut out = Vec::with_capacity(FRAME + payload.len());
        out.extend_from_slice(&[kind.code(), u8::from(packed.is_some()), 0, 0]);
        out.extend_from_slice(&file.to_le_bytes());
        out.extend_from_slice(&at.to_le_bytes());
        out.extend_from_slice(&(payload.len() as u32).to_le_bytes());
        let mut sum = crc32fast::Hasher::new();
        sum.update(&out);
        sum.update(payload);
        out.extend_from_slice(&sum.finalize().to_le_bytes());
        out.extend_from_slice(payload);
        self.file.write_all(&out)?;
        self.bytes += out.len() as u64;
        self.frames += 1;
        Ok(())
    }

    /// Writes the directory, and everything to the disk. Bytes of the whole piece.
    ///
    /// # Errors
    /// Of the disk.
    pub fn finish(
        &mut self,
        set: &BackupSet,
        completion: NaiveDateTime,
        incarnations: &[Incarnation],
    ) -> io::Result<u64> {
        let at = self.bytes;
        let directory = Directory {
            set: set.clone(),
            completion,
            incarnations: incarnations.to_vec(),
            frames: self.frames,
        };
        let body = serde_json::to_vec(&directory).map_err(io::Error::other)?;
        self.frame(Kind::Directory, 0, 0, &body)?;
        let mut end = Vec::with_capacity(END);
        end.extend_from_slice(END_MAGIC);
        end.extend_from_slice(&at.to_le_bytes());
        end.extend_from_slice(&[0; 4]);
        let sum = crc32fast::hash(&end);
        end.extend_from_slice(&sum.to_le_bytes());
        self.file.write_all(&end)?;
        self.file.sync_all()?;
        self.bytes += end.len() as u64;
        Ok(self.bytes)
    }
}

/// A piece being read.
#[derive(Debug)]
pub struct Reader {
    pub header: Header,
    file: BufReader<File>,
    offset: u64,
    len: u64,
    frames: u64,
}

impl Reader {
    /// # Errors
    /// When it is not there, or its first block is none of a piece.
    pub fn open(path: &Path) -> Result<Self, Damage> {
        let file = File::open(path)?;
        let len = file.metadata()?.len();
        let mut file = BufReader::with_capacity(256 << 10, file);
        let mut block = vec![0; SIZE];
        match file.read_exact(&mut block) {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Err(Damage::Truncated(1)),
            Err(e) => return Err(Damage::Io(e)),
        }
        if &block[..16] != MAGIC {
            return Err(Damage::NotAPiece);
        }
        let sum = u32::from_le_bytes([block[SIZE - 4], block[SIZE - 3], block[SIZE - 2], block[SIZE - 1]]);
        if sum != crc32fast::hash(&block[..SIZE - 4]) {
            return Err(Damage::Corrupt(1));
        }
        let body = u32::from_le_bytes([block[16], block[17], block[18], block[19]]) as usize;
        let header = block
            .get(20..20 + body)
            .and_then(|b| serde_json::from_slice(b).ok())
            .ok_or(Damage::Corrupt(1))?;
        Ok(Self { header, file, offset: SIZE as u64, len, frames: 0 })
    }

    fn exact(&mut self, bytes: &mut [u8]) -> Result<(), Damage> {
        match self.file.read_exact(bytes) {
            Ok(()) => {
                self.offset += bytes.len() as u64;
                Ok(())
            }
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Err(Damage::Truncated(block_of(self.len))),
            Err(e) => Err(Damage::Io(e)),
        }
    }

    fn any_frame(&mut self) -> Result<Frame, Damage> {
        let at = block_of(self.offset);
        let mut head = [0; FRAME];
        self.exact(&mut head)?;
        let word = |i: usize| u32::from_le_bytes([head[i], head[i + 1], head[i + 2], head[i + 3]]);
        let len = word(12) as usize;
        let kind = Kind::of(head[0]).ok_or(Damage::Corrupt(at))?;
        if len > LONGEST && kind != Kind::Directory {
            return Err(Damage::Corrupt(at));
        }
        // A length that was damaged must not look like the end of the file.
        if self.offset + len as u64 > self.len && self.has_end() {
            return Err(Damage::Corrupt(at));
        }
        let mut payload = vec![0; len.min(256 << 20)];
        self.exact(&mut payload)?;
        let mut sum = crc32fast::Hasher::new();
        sum.update(&head[..16]);
        sum.update(&payload);
        if sum.finalize() != word(16) {
            return Err(Damage::Corrupt(at));
        }
        let bytes = if head[1] == 1 {
            let mut out = Vec::new();
            DeflateDecoder::new(payload.as_slice()).read_to_end(&mut out).map_err(|_| Damage::Corrupt(at))?;
            out
        } else {
            payload
        };
        self.frames += 1;
        Ok(Frame { kind, file: word(4), at: word(8), bytes })
    }

    fn has_end(&mut self) -> bool {
        let position = self.offset;
        let end = self.read_end().is_ok();
        let back = self.file.seek(SeekFrom::Start(position)).is_ok();
        end && back
    }

    fn read_end(&mut self) -> Result<u64, Damage> {
        if self.len < (SIZE + FRAME + END) as u64 {
            return Err(Damage::Truncated(block_of(self.len)));
        }
        let mut end = [0; END];
        self.file.seek(SeekFrom::Start(self.len - END as u64))?;
        self.file.read_exact(&mut end)?;
        if &end[..8] != END_MAGIC {
            return Err(Damage::Truncated(block_of(self.len)));
        }
        let sum = u32::from_le_bytes([end[20], end[21], end[22], end[23]]);
        if sum != crc32fast::hash(&end[..20]) {
            return Err(Damage::Corrupt(block_of(self.len)));
        }
        let mut at = [0; 8];
        at.copy_from_slice(&end[8..16]);
        Ok(u64::from_le_bytes(at))
    }

    /// The next frame; `None` after the last, when the directory agrees that it was the last.
    ///
    /// # Errors
    /// When the piece is damaged there.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, Damage> {
        let at = self.offset;
        let frame = self.any_frame()?;
        if frame.kind != Kind::Directory {
            return Ok(Some(frame));
        }
        let directory: Directory =
            serde_json::from_slice(&frame.bytes).map_err(|_| Damage::Corrupt(block_of(at)))?;
        let end = self.read_end()?;
        if directory.frames != self.frames - 1 || end != at {
            return Err(Damage::Corrupt(block_of(at)));
        }
        Ok(None)
    }

    /// The directory alone, without reading what is before.
    ///
    /// # Errors
    /// When it is not there or damaged.
    pub fn directory(mut self) -> Result<Directory, Damage> {
        let at = self.read_end()?;
        if at >= self.len {
            return Err(Damage::Corrupt(block_of(self.len)));
        }
        self.file.seek(SeekFrom::Start(at))?;
        self.offset = at;
        let frame = self.any_frame()?;
        if frame.kind != Kind::Directory {
            return Err(Damage::Corrupt(block_of(at)));
        }
        serde_json::from_slice(&frame.bytes).map_err(|_| Damage::Corrupt(block_of(at)))
    }
}

/// Whether a piece is there and begins as this piece: what CROSSCHECK looks at.
pub fn is_there(path: &Path, set_stamp: u32, set_count: u32, piece: u32) -> bool {
    fs::metadata(path).is_ok_and(|m| m.is_file())
        && Reader::open(path).is_ok_and(|r| {
            (r.header.set_stamp, r.header.set_count, r.header.piece) == (set_stamp, set_count, piece)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(dir: &Path, compressed: bool) -> PathBuf {
        let now = crate::oratime::now();
        let header = Header {
            dbid: 1,
            db_name: "X".into(),
            set_stamp: 5,
            set_count: 6,
            set_type: SetType::Full,
            piece: 1,
            copy: 1,
            tag: Some("T".into()),
            start: now,
        };
        let set = BackupSet {
            recid: 1,
            stamp: 1,
            set_stamp: 5,
            set_count: 6,
            set_type: SetType::Full,
            compressed,
            start: now,
            completion: now,
            pieces: 1,
            incremental_cumulative: false,
            keep: false,
            datafiles: Vec::new(),
            logs: Vec::new(),
            controlfile: None,
            spfile: None,
            input_bytes: 0,
            con_id: 0,
        };
        let path = dir.join("p");
        let _ = fs::remove_file(&path);
        let mut writer = Writer::create(&path, header, compressed).unwrap();
        writer.frame(Kind::Block, 4, 2, &crate::block::fresh(4, 2, 9)).unwrap();
        writer.frame(Kind::Spfile, 0, 0, b"*.db_name='X'\n").unwrap();
        writer.finish(&set, now, &[]).unwrap();
        path
    }

    fn whole(path: &Path) -> Result<usize, Damage> {
        let mut reader = Reader::open(path)?;
        let mut n = 0;
        while reader.next_frame()?.is_some() {
            n += 1;
        }
        Ok(n)
    }

    #[test]
    fn a_flip_of_any_byte_is_seen_and_so_is_any_loss_at_the_end() {
        let dir = tempfile::tempdir().unwrap();
        for compressed in [false, true] {
            let path = piece(dir.path(), compressed);
            assert_eq!(whole(&path).unwrap(), 2);
            assert_eq!(Reader::open(&path).unwrap().directory().unwrap().frames, 2);
            let good = fs::read(&path).unwrap();
            for at in (0..good.len()).step_by(7).chain(good.len() - 60..good.len()) {
                let mut bad = good.clone();
                bad[at] ^= 0x10;
                fs::write(&path, &bad).unwrap();
                assert!(whole(&path).is_err(), "byte {at} of {}", good.len());
            }
            for len in (0..good.len()).step_by(101).chain([good.len() - 1]) {
                fs::write(&path, &good[..len]).unwrap();
                assert!(whole(&path).is_err(), "{len} of {}", good.len());
            }
        }
    }
}
