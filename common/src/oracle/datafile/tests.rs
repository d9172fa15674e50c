//! A published real header, and made ones of every block size and byte order.

use super::*;
use crate::oracle::block::oracle_time;

/// First 128 bytes of block 1 of a real system01.dbf, 11.2.0.4 on Windows x64, as published in a public write-up.
const REAL: &str = "0BA20000 01004000 00000000 00000104 497B0000 00000000 0004200B 9A794D59 \
                    53434D48 4B000000 EF418B00 00470900 00200000 01000300 00000000 00000000 \
                    00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 \
                    08024000 07000000 00000000 F4FA9D2A 5CEC1532 FF740E00 00000000 00000000";

fn bytes_of(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|d| u8::from_str_radix(std::str::from_utf8(d).unwrap(), 16).unwrap()).collect()
}

#[test]
fn a_real_header() {
    let header = Header::parse(&bytes_of(REAL)).unwrap();
    assert_eq!((header.dbid, header.db_name.as_str()), (0x594D_799A, "SCMHK"));
    assert_eq!((header.blocks, header.block_size), (608_000, 8192));
    assert_eq!(header.file_bytes(), 608_001 * 8192);
    assert_eq!((header.file_number, header.file_type), (1, 3));
    assert_eq!(header.creation_scn, 7);
    assert_eq!((header.compat, header.endian), (0x0B20_0400, Endian::Little));
    assert_eq!(header.resetlogs_scn, 0xe_74ff);
    assert_eq!(header.creation_time.unwrap().to_string(), "2010-03-30 10:07:48");
    assert_eq!(oracle_time(header.resetlogs_id).unwrap().to_string(), "2014-02-23 15:59:24");
    // What lies behind the published bytes is unknown and not zero.
    assert_eq!((header.checkpoint_scn, header.status, header.checkpoint_count), (None, None, None));
    assert_eq!(header.checksum, Checksum::Absent);
    assert_eq!(header.not_understood, ["only 128 of 8192 bytes were given"]);
}

/// Writes integers in one byte order.
struct Writer {
    block: Vec<u8>,
    endian: Endian,
}

impl Writer {
    fn put(&mut self, at: usize, value: u64, bytes: usize) {
        let le = value.to_le_bytes();
        let mut piece = le[..bytes].to_vec();
        if self.endian == Endian::Big {
            piece.reverse();
        }
        self.block[at..at + bytes].copy_from_slice(&piece);
    }

    fn scn(&mut self, at: usize, value: u64) {
        self.put(at, value & 0xffff_ffff, 4);
        self.put(at + 4, value >> 32, 2);
    }
}

fn made(size: u32, code: u8, endian: Endian) -> Vec<u8> {
    let mut w = Writer { block: vec![0; size as usize], endian };
    w.block[..2].copy_from_slice(&[0x0b, code]);
    w.put(4, 7 << 22 | 1, 4);
    w.block[14..16].copy_from_slice(&[1, 4]);
    w.put(24, 0x1300_0000, 4);
    w.put(28, 0x1234_5678, 4);
    w.block[32..36].copy_from_slice(b"PROD");
    w.put(44, 1280, 4);
    w.put(48, u64::from(size), 4);
    w.put(52, 7, 2);
    w.put(54, 3, 2);
    w.scn(100, 5_000_000_000);
    w.put(112, 1_197_553_613, 4);
    w.scn(116, 947_455);
    w.put(124, 1_245_751_741, 4);
    w.scn(128, 9_000_000_000_000);
    w.put(138, 1, 2);
    w.put(140, 321, 4);
    w.put(332, 6, 4);
    w.put(336, 5, 2);
    w.block[338..343].copy_from_slice(b"My ts");
    w.put(368, 7, 4);
    w.scn(484, 9_000_000_000_001);
    w.put(492, 1_245_751_741, 4);
    w.put(496, 2, 2);
    w.put(500, 48_213, 4);
    w.put(504, 99, 4);
    w.put(508, 16, 2);
    let tail = w.block.len() - 4;
    w.put(tail, 0x0b01, 4);
    let mut halves = [0_u8; 2];
    for (i, b) in w.block.iter().enumerate() {
        halves[i % 2] ^= b;
    }
    w.block[16..18].copy_from_slice(&halves);
    w.block
}

#[test]
fn made_headers_of_every_size_and_order() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.dbf");
    for (size, code) in [(2048, 0x62), (4096, 0x82), (8192, 0xa2), (16384, 0xc2), (32768, 0xe2)] {
        for endian in [Endian::Little, Endian::Big] {
            let block = made(size, code, endian);
            let mut file = vec![0; size as usize];
            file.extend_from_slice(&block);
            file.resize(file.len() * 40, 0);
            std::fs::write(&path, file).unwrap();
            let h = read_header(&path).unwrap();
            assert_eq!((h.block_size, h.endian), (size, endian));
            assert_eq!((h.file_number, h.relative_file_number, h.dbid), (7, Some(7), 0x1234_5678));
            assert_eq!((h.tablespace.as_deref(), h.tablespace_number), (Some("My ts"), Some(6)));
            assert_eq!((h.checkpoint_scn, h.checkpoint_count), (Some(9_000_000_000_001), Some(321)));
            assert_eq!((h.begin_backup_scn, h.in_backup_mode()), (Some(9_000_000_000_000), Some(true)));
            assert_eq!(h.checkpoint_time.unwrap().to_string(), "2026-10-04 10:09:01");
            assert_eq!(h.checkpoint_thread, Some(2));
            assert_eq!(h.redo_address.map(|r| (r.sequence, r.block)), Some((48_213, 99)));
            assert_eq!(
                (h.creation_scn, h.resetlogs_id, h.resetlogs_scn),
                (5_000_000_000, 1_197_553_613, 947_455)
            );
            assert_eq!((h.checksum, h.not_understood.as_slice()), (Checksum::Good, &[][..]));
        }
    }
}

#[test]
fn what_does_not_fit_is_said_and_does_not_fail() {
    let mut block = made(8192, 0xa2, Endian::Little);
    block[54] = 9;
    block[336] = 200;
    block[484..492].fill(0);
    block[8191] = 5;
    let header = Header::parse(&block).unwrap();
    assert_eq!(
        header.not_understood,
        [
            "file type 9 instead of 3",
            "a tablespace name of 200 bytes",
            "checkpoint SCN 0 before creation SCN 5000000000",
            "tail 0x05000b01 instead of 0x00000b01",
        ]
    );
    assert_eq!(header.checksum, Checksum::Bad);
}

#[test]
fn a_file_that_is_no_datafile_is_refused_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.dbf");
    let reason = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        format!("{:#}", read_header(&path).unwrap_err())
    };
    let name = format!("read the header of {}", path.display());
    assert_eq!(reason(&[]), format!("{name}: it has only 0 bytes"));
    assert_eq!(reason(&[0; 65536]), format!("{name}: block 1 has type 0x00, a datafile has 0x0b"));
    assert!(Header::parse(&[0x0b; 100]).is_err());
    let mut block = made(8192, 0xa2, Endian::Little);
    block[48] = 1;
    assert!(Header::parse(&block).unwrap_err().to_string().contains("size field"));
}
