//! Applying redo to datafiles: crash recovery of the own files, media recovery of copies.

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::{
    block::{self, Damage, SIZE},
    datafile::{self, Header},
    record::{Body, Record},
};

/// One file that redo is applied to.
#[derive(Debug)]
pub struct Target {
    pub path: PathBuf,
    pub header: Header,
    file: File,
    /// Redo below was in the file already when recovery began.
    start: u64,
    /// Dropped or taken offline or made read only by the redo: nothing more is for it.
    pub stopped: bool,
    cache: BTreeMap<u32, Vec<u8>>,
}

/// Why a record could not be applied to its block.
#[derive(Debug)]
pub enum Stuck {
    /// The block is fractured or otherwise no block.
    Corrupt {
        file: u32,
        block: u32,
        damage: Damage,
    },
    /// The block is not at the SCN that the change was made on.
    Inconsistent {
        file: u32,
        block: u32,
        found: u64,
        wanted: u64,
    },
    Io(anyhow::Error),
}

impl From<anyhow::Error> for Stuck {
    fn from(e: anyhow::Error) -> Self {
        Self::Io(e)
    }
}

/// A set of files under recovery.
#[derive(Debug, Default)]
pub struct Applier {
    pub files: BTreeMap<u32, Target>,
    /// Blocks that nologging redo has made unreadable: (file, block, SCN).
    pub corrupt: Vec<(u32, u32, u64)>,
}

impl Target {
    pub fn open(path: &Path, header: Header) -> Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(path)
            .with_context(|| format!("open {}", path.display()))?;
        if !datafile::take(&file) {
            anyhow::bail!("{} is in use by another instance", path.display());
        }
        let start = header.checkpoint_scn;
        Ok(Self { path: path.to_owned(), header, file, start, stopped: false, cache: BTreeMap::new() })
    }

    pub fn made(path: &Path, header: Header, file: File) -> Self {
        let start = header.creation_scn;
        Self { path: path.to_owned(), header, file, start, stopped: false, cache: BTreeMap::new() }
    }

    fn block(&mut self, n: u32) -> Result<&mut Vec<u8>> {
        match self.cache.entry(n) {
            std::collections::btree_map::Entry::Occupied(e) => Ok(e.into_mut()),
            std::collections::btree_map::Entry::Vacant(e) => {
                let mut bytes = vec![0; SIZE];
                // A block beyond the end is all zeros: no block, unless an image comes.
                let mut filled = 0;
                while filled < SIZE {
                    let at = u64::from(n) * SIZE as u64 + filled as u64;
                    let got = self
                        .file
                        .read_at(&mut bytes[filled..], at)
                        .with_context(|| format!("read {} block {n}", self.path.display()))?;
                    if got == 0 {
                        break;
                    }
                    filled += got;
                }
                Ok(e.insert(bytes))
            }
        }
    }

    /// Changed blocks to disk.
    pub fn flush(&mut self) -> Result<()> {
        for (n, bytes) in std::mem::take(&mut self.cache) {
            self.file
                .write_all_at(&bytes, u64::from(n) * SIZE as u64)
                .with_context(|| format!("write {} block {n}", self.path.display()))?;
        }
        Ok(())
    }

    pub fn write_header(&self) -> Result<()> {
        self.header.write(&self.file).with_context(|| format!("write the header of {}", self.path.display()))
    }

    /// The END BACKUP of the very backup that this copy was made in makes it consistent.
    fn end_backup(&mut self, begin: u64) {
        if self.header.flags & datafile::HOT_BACKUP != 0 && self.header.backup_scn == begin {
            self.header.flags &= !(datafile::HOT_BACKUP | datafile::ONLINE_FUZZY);
        }
    }
}

impl Applier {
    /// Applies one record; SCNs must not go down. `FileAdd` is the caller's business. Whether anything was done is
    /// returned.
    pub fn apply(&mut self, record: &Record) -> Result<bool, Stuck> {
        let number = match &record.body {
            Body::Delta { file, .. }
            | Body::Image { file, .. }
            | Body::EndBackup { file, .. }
            | Body::FileResize { file, .. }
            | Body::FileDrop { file }
            | Body::ReadOnly { file, .. }
            | Body::Offline { file, .. }
            | Body::Invalidate { file, .. } => *file,
            Body::CleanClose => {
                for target in self.files.values_mut().filter(|t| !t.stopped && record.scn >= t.start) {
                    // Everything up to here is in: fuzzy only if it was copied in a backup that has not ended.
                    if target.header.flags & datafile::HOT_BACKUP == 0 {
                        target.header.flags &= !datafile::ONLINE_FUZZY;
                    }
                }
                return Ok(true);
            }
            Body::BeginBackup { .. } | Body::FileAdd { .. } | Body::TimeMark { .. } => return Ok(false),
        };
        let Some(target) = self.files.get_mut(&number) else { return Ok(false) };
        if record.scn < target.start {
            return Ok(false);
        }
        match &record.body {
            Body::ReadOnly { on, .. } | Body::Offline { on, .. } => {
                target.flush()?;
                target.stopped = *on;
                if *on {
                    target.header.checkpoint_scn = record.scn;
                    target.header.flags &= !datafile::MEDIA_FUZZY;
                    if target.header.flags & datafile::HOT_BACKUP == 0 {
                        target.header.flags &= !datafile::ONLINE_FUZZY;
                    }
                    target.write_header()?;
                }
                return Ok(true);
            }
            _ if target.stopped => return Ok(false),
            Body::Delta { block, previous, patches, .. } => {
                let rdba = block::rdba(number, *block);
                let bytes = target.block(*block)?;
                if let Err(damage) = block::check(bytes, block::TYPE_DATA, rdba) {
                    return Err(Stuck::Corrupt { file: number, block: *block, damage });
                }
                let found = block::scn(bytes);
                if found >= record.scn {
                    return Ok(false);
                }
                if found != *previous {
                    return Err(Stuck::Inconsistent {
                        file: number,
                        block: *block,
                        found,
                        wanted: *previous,
                    });
                }
                for patch in patches {
                    let at = usize::from(patch.offset);
                    let Some(room) = bytes.get_mut(at..at + patch.bytes.len()) else {
                        return Err(Stuck::Inconsistent {
                            file: number,
                            block: *block,
                            found,
                            wanted: *previous,
                        });
                    };
                    room.copy_from_slice(&patch.bytes);
                }
                block::seal(bytes, record.scn);
            }
            Body::Image { block, bytes: image, .. } => {
                let rdba = block::rdba(number, *block);
                let bytes = target.block(*block)?;
                let newer =
                    block::check(bytes, block::TYPE_DATA, rdba).is_ok() && block::scn(bytes) >= record.scn;
                if newer {
                    return Ok(false);
                }
                bytes.clone_from(image);
            }
            Body::Invalidate { block, .. } => {
                let rdba = block::rdba(number, *block);
                let bytes = target.block(*block)?;
                let newer =
                    block::check(bytes, block::TYPE_DATA, rdba).is_ok() && block::scn(bytes) >= record.scn;
                if newer {
                    return Ok(false);
                }
                bytes.clone_from(&block::fresh(number, *block, record.scn));
                bytes[block::BODY..block::BODY_END].fill(0xFF);
                block::seal(bytes, record.scn);
                self.corrupt.push((number, *block, record.scn));
            }
            Body::EndBackup { begin, .. } => target.end_backup(*begin),
            Body::FileResize { blocks, .. } => {
                target.flush()?;
                let old = target.header.blocks;
                if old != *blocks {
                    datafile::resize(&target.file, number, old, *blocks, record.scn)
                        .with_context(|| format!("resize {}", target.path.display()))?;
                    target.header.blocks = *blocks;
                    target.write_header()?;
                }
            }
            Body::FileDrop { .. } => target.stopped = true,
            Body::BeginBackup { .. } | Body::FileAdd { .. } | Body::TimeMark { .. } | Body::CleanClose => {}
        }
        Ok(true)
    }

    /// Changed blocks of all files to disk when there are many of them.
    pub fn flush_if_large(&mut self) -> Result<()> {
        if self.files.values().map(|t| t.cache.len()).sum::<usize>() > 4096 {
            self.flush()?;
        }
        Ok(())
    }

    pub fn flush(&mut self) -> Result<()> {
        self.files.values_mut().try_for_each(Target::flush)
    }
}

impl Applier {
    /// Hash of a block as it is now, for the truth.
    pub fn block_hash(&mut self, file: u32, block: u32) -> Result<Option<u64>> {
        match self.files.get_mut(&file) {
            Some(target) => Ok(Some(block::hash(target.block(block)?))),
            None => Ok(None),
        }
    }
}
