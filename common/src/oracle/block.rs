//! What all of Oracle's file headers share: byte order, SCNs, times, checksums.

use std::fmt;

use chrono::{NaiveDate, NaiveDateTime};

/// The byte order of the platform that wrote a file: little on Linux and Windows, big on AIX, SPARC and HP-UX.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endian {
    Little,
    Big,
}

impl fmt::Display for Endian {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Little => "little endian",
            Self::Big => "big endian",
        })
    }
}

/// Integers of a block by offset. An offset beyond the end reads as zero, so a caller checks the length once.
#[derive(Debug, Clone, Copy)]
pub struct Fields<'a> {
    pub bytes: &'a [u8],
    pub endian: Endian,
}

impl<'a> Fields<'a> {
    pub fn new(bytes: &'a [u8], endian: Endian) -> Self {
        Self { bytes, endian }
    }

    fn array<const N: usize>(&self, offset: usize) -> [u8; N] {
        let mut array = [0; N];
        if let Some(bytes) = self.bytes.get(offset..offset + N) {
            array.copy_from_slice(bytes);
        }
        array
    }

    pub fn u8(&self, offset: usize) -> u8 {
        self.array::<1>(offset)[0]
    }

    pub fn u16(&self, offset: usize) -> u16 {
        match self.endian {
            Endian::Little => u16::from_le_bytes(self.array(offset)),
            Endian::Big => u16::from_be_bytes(self.array(offset)),
        }
    }

    pub fn u32(&self, offset: usize) -> u32 {
        match self.endian {
            Endian::Little => u32::from_le_bytes(self.array(offset)),
            Endian::Big => u32::from_be_bytes(self.array(offset)),
        }
    }

    /// An SCN on disk: u32 base, u16 wrap, u16 more. `None` when its first six bytes are FF.
    ///
    /// With bit 15 of wrap set (12.2 and later) the last half-word comes between base and wrap: FACTS 4.
    pub fn scn(&self, offset: usize) -> Option<u64> {
        let (base, wrap, more) = (self.u32(offset), self.u16(offset + 4), self.u16(offset + 6));
        if base == u32::MAX && wrap == u16::MAX {
            return None;
        }
        let base = u64::from(base);
        Some(if wrap & 0x8000 == 0 {
            base | u64::from(wrap) << 32
        } else {
            base | u64::from(more) << 32 | u64::from(wrap & 0x7fff) << 48
        })
    }

    /// A time on disk, see [`oracle_time`].
    pub fn time(&self, offset: usize) -> Option<NaiveDateTime> {
        oracle_time(self.u32(offset))
    }

    /// A name padded with NUL or blanks, at most `length` bytes.
    pub fn name(&self, offset: usize, length: usize) -> String {
        let bytes = self.bytes.get(offset..offset + length).unwrap_or_default();
        let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
        String::from_utf8_lossy(&bytes[..end]).trim_end().to_owned()
    }
}

/// Decodes Oracle's time number: seconds since 1988 in years of 12 months of 31 days, no time zone.
///
/// RESETLOGS_ID (`%r`), RMAN's STAMP and OMF incarnations are the same kind of number. `None`: zero, which means
/// "not set", or a day that does not exist.
pub fn oracle_time(number: u32) -> Option<NaiveDateTime> {
    if number == 0 {
        return None;
    }
    let (rest, second) = (number / 60, number % 60);
    let (rest, minute) = (rest / 60, rest % 60);
    let (rest, hour) = (rest / 24, rest % 24);
    let (rest, day) = (rest / 31, rest % 31 + 1);
    let (years, month) = (rest / 12, rest % 12 + 1);
    let year = i32::try_from(years).ok()? + 1988;
    NaiveDate::from_ymd_opt(year, month, day)?.and_hms_opt(hour, minute, second)
}

/// The checksum residue of a block: XOR of its 64-bit words, folded to 16 bits. Zero in a block whose stored checksum
/// is right, whatever its byte order.
pub fn checksum_residue(block: &[u8]) -> u16 {
    // Eight running sums let the compiler use wide registers.
    let mut sums = [0_u64; 8];
    let wide = block.chunks_exact(64);
    let rest = wide.remainder();
    let word = |bytes: &[u8], at: usize| {
        let mut word = [0; 8];
        word.copy_from_slice(&bytes[at..at + 8]);
        u64::from_le_bytes(word)
    };
    for chunk in wide {
        for (i, sum) in sums.iter_mut().enumerate() {
            *sum ^= word(chunk, i * 8);
        }
    }
    for eight in rest.chunks_exact(8) {
        sums[0] ^= word(eight, 0);
    }
    let mut x = sums.iter().fold(0, |a, b| a ^ b);
    x ^= x >> 32;
    x ^= x >> 16;
    (x & 0xffff) as u16
}

/// Bytes of a block-size code: 0x22 = 512, then doubling with each 0x20.
pub fn size_of_code(code: u8) -> Option<u32> {
    let step = code.checked_sub(0x22)?;
    (step % 0x20 == 0 && step <= 0xc0).then(|| 512 << (step / 0x20))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_real_files() {
        // Stamps of FACTS 4 with the dates that the same transcripts print.
        for (number, text) in [
            (1_245_751_741, "2026-10-04 10:09:01"),
            (917_076_670, "2016-07-13 07:31:10"),
            (1_197_553_613, "2025-04-04 13:46:53"),
        ] {
            assert_eq!(oracle_time(number).unwrap().to_string(), text);
        }
        assert_eq!(oracle_time(0), None);
        // 30 February fits the number and no calendar.
        assert_eq!(oracle_time(((12 + 1) * 31 + 29) * 86_400), None);
    }

    #[test]
    fn scns_of_both_forms_and_both_orders() {
        let scn = |bytes: [u8; 8], endian| Fields::new(&bytes, endian).scn(0);
        assert_eq!(scn([0xff, 0x74, 0x0e, 0, 1, 0, 0, 0], Endian::Little), Some(0x1_000e_74ff));
        assert_eq!(scn([0, 0x0e, 0x74, 0xff, 0, 1, 0, 0], Endian::Big), Some(0x1_000e_74ff));
        assert_eq!(scn([1, 0, 0, 0, 2, 0x80, 3, 0], Endian::Little), Some(0x0002_0003_0000_0001));
        assert_eq!(scn([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0], Endian::Big), None);
    }

    #[test]
    fn the_residue_is_that_of_the_plain_rule() {
        let block: Vec<u8> = (0..1024_u32).map(|i| (i * 37 % 251) as u8).collect();
        let mut x = 0;
        for eight in block.chunks(8) {
            x ^= u64::from_le_bytes(eight.try_into().unwrap());
        }
        x ^= x >> 32;
        x ^= x >> 16;
        assert_eq!(checksum_residue(&block), (x & 0xffff) as u16);
        assert_eq!(checksum_residue(&block[..40]), {
            let mut x = block[..40].chunks(8).fold(0, |x, e| x ^ u64::from_le_bytes(e.try_into().unwrap()));
            x ^= x >> 32;
            x ^= x >> 16;
            (x & 0xffff) as u16
        });
    }

    #[test]
    fn size_codes() {
        assert_eq!(size_of_code(0x22), Some(512));
        assert_eq!(size_of_code(0x82), Some(4096));
        assert_eq!(size_of_code(0xa2), Some(8192));
        assert_eq!(size_of_code(0xe2), Some(32768));
        assert_eq!(size_of_code(0x23), None);
    }
}
