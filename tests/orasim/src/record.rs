//! Redo records. Every record carries the SCN of its change; within a thread SCNs only grow.

use crate::block::{get_u16, get_u32, get_u64};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patch {
    pub offset: u16,
    pub bytes: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// A change of a block that was at `previous`; the block is sealed at the record's SCN afterwards.
    Delta {
        file: u32,
        block: u32,
        previous: u64,
        patches: Vec<Patch>,
    },
    /// The whole block after the change: the first one since BEGIN BACKUP of its file.
    Image {
        file: u32,
        block: u32,
        bytes: Vec<u8>,
    },
    /// BEGIN BACKUP; the record's SCN is the file's frozen checkpoint.
    BeginBackup {
        file: u32,
    },
    /// END BACKUP of the backup that began at `begin`.
    EndBackup {
        file: u32,
        begin: u64,
    },
    FileAdd {
        file: u32,
        ts: u32,
        con_id: u32,
        blocks: u32,
        undo: bool,
        ts_name: String,
        path: String,
    },
    FileResize {
        file: u32,
        blocks: u32,
    },
    FileDrop {
        file: u32,
    },
    ReadOnly {
        file: u32,
        on: bool,
    },
    Offline {
        file: u32,
        on: bool,
    },
    /// What the clock said, as an Oracle time; for UNTIL TIME.
    TimeMark {
        time: u32,
    },
    /// NOLOGGING: the block's content was changed without redo.
    Invalidate {
        file: u32,
        block: u32,
    },
    /// All files were closed cleanly: everything below is on disk.
    CleanClose,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub scn: u64,
    pub body: Body,
}

const FIXED: usize = 16;

struct Out<'a>(&'a mut Vec<u8>);

impl Out<'_> {
    fn u16(&mut self, v: u16) {
        self.0.extend_from_slice(&v.to_le_bytes());
    }
    fn u32(&mut self, v: u32) {
        self.0.extend_from_slice(&v.to_le_bytes());
    }
    fn u64(&mut self, v: u64) {
        self.0.extend_from_slice(&v.to_le_bytes());
    }
    fn bytes(&mut self, b: &[u8]) {
        self.u16(b.len() as u16);
        self.0.extend_from_slice(b);
    }
}

struct In<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> In<'a> {
    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let slice = self.bytes.get(self.at..self.at + n)?;
        self.at += n;
        Some(slice)
    }
    fn u16(&mut self) -> Option<u16> {
        self.take(2).map(|b| get_u16(b, 0))
    }
    fn u32(&mut self) -> Option<u32> {
        self.take(4).map(|b| get_u32(b, 0))
    }
    fn u64(&mut self) -> Option<u64> {
        self.take(8).map(|b| get_u64(b, 0))
    }
    fn flag(&mut self) -> Option<bool> {
        self.u16().map(|v| v != 0)
    }
    fn bytes(&mut self) -> Option<&'a [u8]> {
        let n = self.u16()?;
        self.take(usize::from(n))
    }
    fn text(&mut self) -> Option<String> {
        self.bytes().map(|b| String::from_utf8_lossy(b).into_owned())
    }
}

impl Record {
    pub fn new(scn: u64, body: Body) -> Self {
        Self { scn, body }
    }

    /// Appends length, kind, SCN and body, padded to a multiple of four bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&[0; 8]);
        let mut o = Out(out);
        o.u64(self.scn);
        let kind: u8 = match &self.body {
            Body::Delta { file, block, previous, patches } => {
                o.u32(*file);
                o.u32(*block);
                o.u64(*previous);
                o.u16(patches.len() as u16);
                for p in patches {
                    o.u16(p.offset);
                    o.bytes(&p.bytes);
                }
                1
            }
            Body::Image { file, block, bytes } => {
                o.u32(*file);
                o.u32(*block);
                o.bytes(bytes);
                2
            }
            Body::BeginBackup { file } => {
                o.u32(*file);
                3
            }
            Body::EndBackup { file, begin } => {
                o.u32(*file);
                o.u64(*begin);
                4
            }
            Body::FileAdd { file, ts, con_id, blocks, undo, ts_name, path } => {
                for v in [*file, *ts, *con_id, *blocks] {
                    o.u32(v);
                }
                o.u16(u16::from(*undo));
                o.bytes(ts_name.as_bytes());
                o.bytes(path.as_bytes());
                5
            }
            Body::FileResize { file, blocks } => {
                o.u32(*file);
                o.u32(*blocks);
                6
            }
            Body::FileDrop { file } => {
                o.u32(*file);
                7
            }
            Body::ReadOnly { file, on } => {
                o.u32(*file);
                o.u16(u16::from(*on));
                8
            }
            Body::Offline { file, on } => {
                o.u32(*file);
                o.u16(u16::from(*on));
                9
            }
            Body::TimeMark { time } => {
                o.u32(*time);
                10
            }
            Body::Invalidate { file, block } => {
                o.u32(*file);
                o.u32(*block);
                11
            }
            Body::CleanClose => 12,
        };
        while !out.len().is_multiple_of(4) {
            out.push(0);
        }
        let len = (out.len() - start) as u32;
        out[start..start + 4].copy_from_slice(&len.to_le_bytes());
        out[start + 4] = kind;
    }

    /// The record in exactly these bytes, or `None` when they are none.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let kind = *bytes.get(4)?;
        let scn = get_u64(bytes.get(8..FIXED)?, 0);
        let mut i = In { bytes, at: FIXED };
        let body = match kind {
            1 => {
                let (file, block, previous) = (i.u32()?, i.u32()?, i.u64()?);
                let count = i.u16()?;
                let mut patches = Vec::with_capacity(usize::from(count));
                for _ in 0..count {
                    patches.push(Patch { offset: i.u16()?, bytes: i.bytes()?.to_vec() });
                }
                Body::Delta { file, block, previous, patches }
            }
            2 => Body::Image { file: i.u32()?, block: i.u32()?, bytes: i.bytes()?.to_vec() },
            3 => Body::BeginBackup { file: i.u32()? },
            4 => Body::EndBackup { file: i.u32()?, begin: i.u64()? },
            5 => Body::FileAdd {
                file: i.u32()?,
                ts: i.u32()?,
                con_id: i.u32()?,
                blocks: i.u32()?,
                undo: i.flag()?,
                ts_name: i.text()?,
                path: i.text()?,
            },
            6 => Body::FileResize { file: i.u32()?, blocks: i.u32()? },
            7 => Body::FileDrop { file: i.u32()? },
            8 => Body::ReadOnly { file: i.u32()?, on: i.flag()? },
            9 => Body::Offline { file: i.u32()?, on: i.flag()? },
            10 => Body::TimeMark { time: i.u32()? },
            11 => Body::Invalidate { file: i.u32()?, block: i.u32()? },
            12 => Body::CleanClose,
            _ => return None,
        };
        Some(Self { scn, body })
    }
}
