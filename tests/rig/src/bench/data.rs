//! Archived logs by the gigabyte: valid headers, block numbers and checksums around content that compresses as redo.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use orasim::block::xor16;
use orasim::redolog::{LogHeader, Order};

const BLOCK: usize = 512;
const HEAD: usize = 16;
/// Blocks of the content that repeats: 16 MiB, more than rsync's compressors look back.
const PATTERN: usize = 32_768;
/// Blocks per write.
const CHUNK: usize = 2048;

/// Archived logs in a directory of a day.
#[derive(Debug)]
pub struct Logs {
    /// Holds the directory of the day.
    pub root: PathBuf,
    /// Paths below `root`.
    pub names: Vec<PathBuf>,
    /// Of each.
    pub bytes: u64,
}

/// Content of redo blocks, made once.
#[derive(Debug)]
pub struct Redo {
    blocks: Vec<u8>,
    sums: Vec<u16>,
}

impl Redo {
    /// Phrases that come again and again, and numbers that do not, so that zstd level 1 gets 3.5 : 1 as it does of redo.
    pub fn new() -> Self {
        let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
        let phrases: Vec<Vec<u8>> = (0..96).map(|_| dice.bytes(20, 60)).collect();
        let mut blocks = Vec::with_capacity(PATTERN * BLOCK);
        let mut sums = Vec::with_capacity(PATTERN);
        let mut content: Vec<u8> = Vec::with_capacity(2 * BLOCK);
        for _ in 0..PATTERN {
            while content.len() < BLOCK - HEAD {
                let phrase = &phrases[dice.below(phrases.len())];
                content.extend_from_slice(phrase);
                content.extend(dice.bytes(5, 11));
            }
            let at = blocks.len();
            blocks.extend_from_slice(&[0; HEAD]);
            blocks.extend(content.drain(..BLOCK - HEAD));
            blocks[at] = 1;
            blocks[at + 1] = 0x22;
            sums.push(xor16(&blocks[at..]));
        }
        Self { blocks, sums }
    }

    /// Writes one log of `bytes` (whole blocks) to `path`.
    fn write(&self, path: &Path, sequence: u32, bytes: u64) -> anyhow::Result<()> {
        let name = || format!("write {}", path.display());
        let mut file = File::create(path).with_context(name)?;
        let count = u32::try_from(bytes / BLOCK as u64).with_context(name)?;
        file.write_all(&header(sequence, count).encode()).with_context(name)?;
        let mut number = 2;
        while number < count {
            // A start of its own for each log, so that no two are alike.
            let from = (number as usize + sequence as usize * 7) % PATTERN;
            let n = CHUNK.min((count - number) as usize).min(PATTERN - from);
            let mut chunk = self.blocks[from * BLOCK..(from + n) * BLOCK].to_vec();
            for (i, block) in chunk.chunks_exact_mut(BLOCK).enumerate() {
                let at = number + i as u32;
                block[4..8].copy_from_slice(&at.to_le_bytes());
                block[8..12].copy_from_slice(&sequence.to_le_bytes());
                let sum = self.sums[from + i] ^ fold(at) ^ fold(sequence);
                block[14..16].copy_from_slice(&sum.to_le_bytes());
            }
            file.write_all(&chunk).with_context(name)?;
            number += n as u32;
        }
        Ok(())
    }

    /// Fills `out` with content that begins at the `at`th 8 KiB of it.
    pub fn copy_into(&self, at: usize, out: &mut [u8]) {
        let from = at % (self.blocks.len() / 8192) * 8192;
        let n = out.len().min(self.blocks.len() - from);
        out[..n].copy_from_slice(&self.blocks[from..from + n]);
    }

    /// Makes `count` logs of `bytes` each below `root`.
    pub fn logs(&self, root: &Path, count: u32, bytes: u64) -> anyhow::Result<Logs> {
        let day = Path::new("2026_11_20");
        std::fs::create_dir_all(root.join(day)).with_context(|| format!("make {}", root.display()))?;
        let mut names = Vec::with_capacity(count as usize);
        for sequence in 1001..1001 + count {
            let name = day.join(format!(
                "o1_mf_1_{sequence}_n{:07x}_.arc",
                sequence.wrapping_mul(0x9e_3779) & 0xfff_ffff
            ));
            self.write(&root.join(&name), sequence, bytes)?;
            names.push(name);
        }
        Ok(Logs { root: root.to_owned(), names, bytes })
    }
}

fn fold(word: u32) -> u16 {
    (word ^ word >> 16) as u16
}

fn header(sequence: u32, blocks: u32) -> LogHeader {
    let scn = |sequence: u32| 959_994_799_549 + u64::from(sequence) * 100_000;
    LogHeader {
        order: Order::Little,
        block_size: BLOCK as u32,
        dbid: 1_497_201_050,
        db_name: "BENCH".to_owned(),
        control_seq: 1,
        file_blocks: blocks - 1,
        group: 1,
        activation: 1_497_201_051,
        thread: 1,
        sequence,
        nab: blocks,
        resetlogs_id: 1_197_553_613,
        resetlogs_scn: 959_994_799_000,
        low_scn: scn(sequence),
        low_time: 1_245_751_741 + sequence,
        next_scn: scn(sequence + 1),
        next_time: 1_245_751_742 + sequence,
        previous_resetlogs_id: 1_150_000_000,
        previous_resetlogs_scn: 1,
    }
}

/// The same numbers in every run: xorshift64.
#[derive(Debug)]
pub struct Dice(pub u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// 0 to `n` - 1.
    pub fn below(&mut self, n: usize) -> usize {
        (self.roll() >> 11) as usize % n.max(1)
    }

    fn bytes(&mut self, least: usize, most: usize) -> Vec<u8> {
        let length = least + self.below(most - least + 1);
        (0..length).map(|_| (self.roll() >> 32) as u8).collect()
    }
}

#[cfg(test)]
mod tests {
    use common::oracle::archived_log::Verdict;
    use common::oracle::scan::{scan_file, Checksums, Hash};

    use super::*;

    #[test]
    fn the_logs_are_sound_and_no_two_are_alike() {
        let dir = tempfile::tempdir().unwrap();
        let logs = Redo::new().logs(dir.path(), 2, 17 << 20).unwrap();
        let mut hashes = Vec::new();
        for (name, sequence) in logs.names.iter().zip(1001..) {
            let scan = scan_file(&dir.path().join(name), Hash::Sha256).unwrap();
            assert_eq!((scan.verdict, scan.checksums), (Verdict::Complete, Checksums::AllGood));
            let header = scan.header.unwrap();
            assert_eq!((scan.bytes, header.sequence), (17 << 20, sequence));
            assert_eq!(header.used_bytes(), Some(17 << 20));
            hashes.push(scan.sha256);
        }
        assert_ne!(hashes[0], hashes[1]);
    }
}
