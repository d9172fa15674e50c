//! Compresses one block of a file on its own, as a piece of a deflate stream that others follow.

use anyhow::Context;
use libdeflater::{CompressionLvl, Compressor};

use crate::skim;

/// Bytes of a file that are compressed at once: enough that the dictionary which is lost at each border costs less than
/// a thousandth, and few enough that memory stays small.
pub const BLOCK: usize = 1 << 20;

/// A compressed block.
pub struct Block {
    /// Deflate blocks, none of them marked as the last, ending at a byte.
    pub bytes: Vec<u8>,
    /// CRC-32 of the content, which knows its length.
    pub crc: crc32fast::Hasher,
    pub length: u64,
}

/// One thread's compressor.
pub struct Engine {
    compressor: Compressor,
}

impl Engine {
    /// `level` is on zlib's scale from 1 to 9.
    pub fn new(level: u8) -> anyhow::Result<Self> {
        let level = match level {
            // libdeflate's own levels are slower and smaller than zlib's of the same number.
            0..=2 => 1,
            3 => 2,
            4 => 3,
            5 => 4,
            6 => 5,
            7 => 6,
            8 => 8,
            _ => 9,
        };
        let level = CompressionLvl::new(level).ok().context("a level that libdeflate has not")?;
        Ok(Self { compressor: Compressor::new(level) })
    }

    pub fn compress(&mut self, content: &[u8]) -> anyhow::Result<Block> {
        let mut crc = crc32fast::Hasher::new();
        crc.update(content);
        // Room for the empty block at the end and for the skim's look-ahead.
        let mut bytes = Vec::with_capacity(self.compressor.deflate_compress_bound(content.len()) + 16);
        bytes.resize(bytes.capacity() - 16, 0);
        let length = self.compressor.deflate_compress(content, &mut bytes);
        bytes.truncate(length.map_err(|e| anyhow::anyhow!("compress a block: {e}"))?);
        skim::open_end(&mut bytes).context("compress a block")?;
        Ok(Block { bytes, crc, length: content.len() as u64 })
    }
}
