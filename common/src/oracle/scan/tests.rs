//! Logs made by an encoder of its own, then read, cut and damaged.

use proptest::prelude::*;
use tempfile::NamedTempFile;

use super::*;
use crate::oracle::archived_log::read_header;
use crate::oracle::block::Endian;

/// What a made log says of itself, and how it is written.
#[derive(Debug, Clone)]
struct Recipe {
    endian: Endian,
    block_size: u32,
    /// The size code of 1024-byte blocks, on which the sources differ.
    code_1024: u8,
    dbid: u32,
    thread: u16,
    sequence: u32,
    resetlogs_id: u32,
    resetlogs_scn: u64,
    first_scn: u64,
    next_scn: u64,
    first_time: u32,
    used_blocks: u32,
    /// Blocks behind the used ones.
    spare: u32,
    checksums: bool,
    fill: u8,
}

impl Recipe {
    fn plain() -> Self {
        Self {
            endian: Endian::Little,
            block_size: 512,
            code_1024: 0x42,
            dbid: 0x594D_799A,
            thread: 2,
            sequence: 48_213,
            resetlogs_id: 1_197_553_613,
            resetlogs_scn: 947_455,
            first_scn: 8_910_961_765_228,
            next_scn: 8_910_961_770_001,
            first_time: 1_245_751_741,
            used_blocks: 9,
            spare: 0,
            checksums: true,
            fill: 7,
        }
    }

    fn size(&self) -> usize {
        self.block_size as usize
    }

    fn used_bytes(&self) -> usize {
        self.used_blocks as usize * self.size()
    }

    fn u16(&self, to: &mut [u8], value: u16) {
        to[..2].copy_from_slice(&match self.endian {
            Endian::Little => value.to_le_bytes(),
            Endian::Big => value.to_be_bytes(),
        });
    }

    fn u32(&self, to: &mut [u8], value: u32) {
        to[..4].copy_from_slice(&match self.endian {
            Endian::Little => value.to_le_bytes(),
            Endian::Big => value.to_be_bytes(),
        });
    }

    /// Below 2^47 the old form, else that of 12.2.
    fn scn(&self, to: &mut [u8], value: u64) {
        self.u32(to, value as u32);
        if value >> 47 == 0 {
            self.u16(&mut to[4..], (value >> 32) as u16);
        } else {
            self.u16(&mut to[4..], (value >> 48) as u16 | 0x8000);
            self.u16(&mut to[6..], (value >> 32) as u16);
        }
    }

    fn encode(&self) -> Vec<u8> {
        let code = match self.block_size {
            512 => 0x22,
            1024 => self.code_1024,
            _ => 0x82,
        };
        let mut log = vec![0; self.used_bytes()];
        log[1] = code;
        self.u32(&mut log[20..], self.block_size);
        self.u32(&mut log[24..], self.used_blocks + self.spare);
        log[28..32].copy_from_slice(match self.endian {
            Endian::Little => &[0x7d, 0x7c, 0x7b, 0x7a],
            Endian::Big => &[0x7a, 0x7b, 0x7c, 0x7d],
        });
        for (number, block) in log.chunks_exact_mut(self.size()).enumerate().skip(1) {
            let value = self.fill;
            block.iter_mut().enumerate().for_each(|(i, b)| *b = value.wrapping_mul(i as u8 ^ number as u8));
            block[..16].fill(0);
            block[..2].copy_from_slice(&[1, code]);
            self.u32(&mut block[4..], number as u32);
            self.u32(&mut block[8..], self.sequence);
            if number == 1 {
                self.u32(&mut block[20..], 0x1300_0000);
                self.u32(&mut block[24..], self.dbid);
                block[28..36].copy_from_slice(b"PRODDB\0\0");
                self.u32(&mut block[52..], 77);
                self.u32(&mut block[156..], self.used_blocks);
                self.u32(&mut block[160..], self.resetlogs_id);
                self.scn(&mut block[164..], self.resetlogs_scn);
                self.u16(&mut block[176..], self.thread);
                self.scn(&mut block[180..], self.first_scn);
                self.u32(&mut block[188..], self.first_time);
                self.scn(&mut block[192..], self.next_scn);
                self.u32(&mut block[200..], self.first_time + 60);
            }
            if self.checksums {
                seal(block);
            }
        }
        log.resize(log.len() + self.spare as usize * self.size(), 0);
        log
    }
}

/// Stores the checksum: in either byte order it is the residue's own bytes that make the residue zero.
fn seal(block: &mut [u8]) {
    block[14..16].fill(0);
    let mut halves = [0_u8; 2];
    for (i, b) in block.iter().enumerate() {
        halves[i % 2] ^= b;
    }
    block[14..16].copy_from_slice(&halves);
}

fn look(log: &[u8]) -> Scan {
    scan(log, Hash::None).unwrap()
}

fn recipes() -> impl Strategy<Value = Recipe> {
    let scn = prop_oneof![1..1_u64 << 40, 1..1_u64 << 62];
    let size = prop_oneof![Just((512, 0x22)), Just((1024, 0x22)), Just((1024, 0x42)), Just((4096, 0x82))];
    (
        any::<bool>(),
        size,
        any::<u32>(),
        any::<u16>(),
        1..u32::MAX,
        any::<u32>(),
        scn,
        2..40_u32,
        0..3_u32,
        any::<u8>(),
    )
        .prop_map(
            |(
                big,
                (block_size, code_1024),
                dbid,
                thread,
                sequence,
                resetlogs_id,
                scn,
                used_blocks,
                spare,
                fill,
            )| {
                Recipe {
                    endian: if big { Endian::Big } else { Endian::Little },
                    block_size,
                    code_1024,
                    dbid,
                    thread,
                    sequence,
                    resetlogs_id,
                    resetlogs_scn: scn / 3,
                    first_scn: scn,
                    next_scn: scn + 4711,
                    used_blocks,
                    spare,
                    fill,
                    ..Recipe::plain()
                }
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_header_says_what_was_written(recipe in recipes()) {
        let log = recipe.encode();
        let scan = look(&log);
        prop_assert_eq!(scan.problem(), None);
        prop_assert_eq!(scan.checksums, Checksums::AllGood);
        let h = scan.header.unwrap();
        prop_assert_eq!(h.endian, recipe.endian);
        prop_assert_eq!((h.dbid, h.thread, h.sequence), (recipe.dbid, recipe.thread, recipe.sequence));
        prop_assert_eq!((h.resetlogs_id, h.resetlogs_scn), (recipe.resetlogs_id, recipe.resetlogs_scn));
        prop_assert_eq!((h.first_scn, h.next_scn), (recipe.first_scn, Some(recipe.next_scn)));
        prop_assert_eq!((h.block_size, h.used_blocks), (recipe.block_size, Some(recipe.used_blocks)));
        prop_assert_eq!(h.used_bytes(), Some(recipe.used_bytes() as u64));
        let spare = u64::from(recipe.spare * recipe.block_size);
        prop_assert_eq!(scan.tail, if spare == 0 { Tail::None } else { Tail::Zero(spare) });
    }

    #[test]
    fn any_byte_that_changes_is_noticed(recipe in recipes(), at in any::<prop::sample::Index>(), flip in 1..=255_u8) {
        let mut log = recipe.encode();
        let at = recipe.size() + at.index(recipe.used_bytes() - recipe.size());
        log[at] ^= flip;
        prop_assert!(look(&log).problem().is_some(), "byte {at}");
    }

    #[test]
    fn a_cut_at_any_length_is_noticed(recipe in recipes(), at in any::<prop::sample::Index>()) {
        let mut log = recipe.encode();
        log.truncate(at.index(recipe.used_bytes()));
        prop_assert!(matches!(look(&log).verdict, Verdict::Incomplete(_)), "{:?}", look(&log).verdict);
    }

    #[test]
    fn a_hole_of_zeros_at_the_end_is_noticed(recipe in recipes(), at in any::<prop::sample::Index>()) {
        let mut log = recipe.encode();
        let at = at.index(recipe.used_blocks as usize) * recipe.size();
        log[at..recipe.used_bytes()].fill(0);
        prop_assert!(matches!(look(&log).verdict, Verdict::Incomplete(_)), "{:?}", look(&log).verdict);
    }

    #[test]
    fn no_bytes_make_it_fall_over(bytes in prop::collection::vec(any::<u8>(), 0..9000), magic in any::<bool>()) {
        let mut bytes = bytes;
        if magic && bytes.len() > 32 {
            bytes[..2].copy_from_slice(&[0, 0x22]);
            bytes[20..32].copy_from_slice(&[0, 2, 0, 0, 9, 0, 0, 0, 0x7d, 0x7c, 0x7b, 0x7a]);
        }
        look(&bytes);
    }
}

#[test]
fn a_good_log() {
    let log = Recipe::plain().encode();
    let scan = scan(&log[..], Hash::Sha256).unwrap();
    assert_eq!((scan.bytes, scan.problem()), (9 * 512, None));
    assert_eq!(scan.sha256.unwrap(), hex(&Sha256::digest(&log)));
    let header = scan.header.unwrap();
    assert_eq!(header.db_name, "PRODDB");
    assert_eq!((header.compat, header.activation_id, header.file_blocks), (0x1300_0000, 77, 9));
    assert_eq!(header.first_time.unwrap().to_string(), "2026-10-04 10:09:01");
    assert_eq!(header.next_time.unwrap().to_string(), "2026-10-04 10:10:01");
}

#[test]
fn checksums_that_were_never_written_are_absent_and_not_wrong() {
    let off = Recipe { checksums: false, ..Recipe::plain() };
    let scan = look(&off.encode());
    assert_eq!((scan.checksums, scan.problem()), (Checksums::Absent, None));
}

#[test]
fn a_wrong_checksum_names_its_block() {
    let mut log = Recipe::plain().encode();
    log[5 * 512 + 300] ^= 1;
    let scan = look(&log);
    assert_eq!((scan.verdict.clone(), scan.checksums), (Verdict::Complete, Checksums::Bad(5)));
    assert_eq!(scan.problem().unwrap(), "corrupt: block 5 has a wrong checksum");
}

#[test]
fn a_log_that_is_being_written_is_incomplete() {
    let current = Recipe { next_scn: (1 << 63) - 1, ..Recipe::plain() };
    let mut log = current.encode();
    log[512 + 192..512 + 200].fill(0xff);
    assert_eq!(look(&log).verdict.to_string(), "incomplete: its header says that it is still being written");
    let mut log = Recipe::plain().encode();
    log[512 + 156..512 + 160].fill(0xff);
    let scan = look(&log);
    assert!(matches!(scan.verdict, Verdict::Incomplete(_)));
    assert_eq!(scan.header.unwrap().used_blocks, None);
}

#[test]
fn each_contradiction_has_its_own_words() {
    let verdict = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut log = Recipe::plain().encode();
        change(&mut log);
        look(&log).verdict.to_string()
    };
    assert_eq!(verdict(&|l| l.truncate(4000)), "incomplete: it has 4000 of 4608 bytes");
    assert_eq!(verdict(&|l| l.truncate(700)), "incomplete: it ends after 700 bytes, inside its header");
    assert_eq!(verdict(&|l| l.clear()), "incomplete: it has only 0 bytes");
    assert_eq!(verdict(&|l| l[512 * 4..512 * 5].fill(0)), "incomplete: block 4 is still empty");
    assert_eq!(verdict(&|l| l[512..1024].fill(0)), "incomplete: its header block is still empty");
    assert_eq!(verdict(&|l| l[512 * 4 + 4] = 6), "corrupt: block 4 says that it is block 6");
    assert_eq!(
        verdict(&|l| l[512 * 4 + 8] ^= 1),
        "corrupt: block 4 belongs to sequence 48212 and the log is 48213"
    );
    assert_eq!(
        verdict(&|l| l[512 * 4] = 6),
        "corrupt: block 4 is not a redo block (type 0x06, size code 0x22)"
    );
    assert_eq!(
        verdict(&|l| l[512 + 4] = 2),
        "corrupt: block 1 has type 0x01 and number 2 instead of 0x01 and 1"
    );
    assert_eq!(verdict(&|l| l[513] = 0x82), "corrupt: block 1 has size code 0x82 and block 0 0x22");
    assert_eq!(
        verdict(&|l| l[512 + 20..512 + 24].fill(0)),
        "incomplete: its header names no release: the log was never written"
    );
    assert_eq!(verdict(&|l| l[512 + 156] = 1), "corrupt: its header says that not even the header is in use");
    assert_eq!(verdict(&|l| l[512 + 192..512 + 200].fill(0)), "corrupt: its next SCN lies before its first");
    assert_eq!(
        verdict(&|l| l[28] = 0),
        "not an archived log: bytes 28 to 31 are not those of an Oracle file"
    );
    assert_eq!(
        verdict(&|l| l[20..24].copy_from_slice(&8192_u32.to_le_bytes())),
        "not an archived log: no redo log has blocks of 8192 bytes"
    );
}

#[test]
fn a_longer_file_is_complete_and_its_tail_is_described() {
    let mut log = Recipe { spare: 3, ..Recipe::plain() }.encode();
    assert_eq!(look(&log).tail, Tail::Zero(3 * 512));
    *log.last_mut().unwrap() = 1;
    log.push(1);
    let scan = look(&log);
    assert_eq!((scan.tail, scan.problem()), (Tail::Data(3 * 512 + 1), None));
}

#[test]
fn a_large_log_in_small_pieces_is_read_the_same() {
    /// Hands out 1000 bytes at a time, as a pipe may.
    struct Pieces<'a>(&'a [u8]);
    impl Read for Pieces<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let n = buffer.len().min(1000).min(self.0.len());
            buffer[..n].copy_from_slice(&self.0[..n]);
            self.0 = &self.0[n..];
            Ok(n)
        }
    }
    let mut log = Recipe { used_blocks: 5000, ..Recipe::plain() }.encode();
    assert_eq!(scan(Pieces(&log), Hash::Sha256).unwrap(), scan(&log[..], Hash::Sha256).unwrap());
    log[4999 * 512 + 20] ^= 1;
    assert_eq!(scan(Pieces(&log), Hash::None).unwrap().checksums, Checksums::Bad(4999));
}

#[test]
fn a_header_and_a_prefix_of_a_file() {
    let log = Recipe { used_blocks: 5000, ..Recipe::plain() }.encode();
    let file = NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &log).unwrap();
    assert_eq!(read_header(file.path()).unwrap().unwrap().sequence, 48_213);
    assert_eq!(scan_file(file.path(), Hash::None).unwrap().problem(), None);
    let sha = |n: usize| Some(hex(&Sha256::digest(&log[..n])));
    let half = 1_300_001;
    assert_eq!(prefix_sha256(file.path(), half as u64).unwrap(), sha(half));
    assert_eq!(
        prefixes_sha256(file.path(), &[log.len() as u64, 0, half as u64, log.len() as u64 + 1]).unwrap(),
        [sha(log.len()), sha(0), sha(half), None]
    );
    assert_eq!(
        read_header(std::path::Path::new("/nonexistent/log")).unwrap_err().to_string(),
        "read the header of /nonexistent/log"
    );
}
