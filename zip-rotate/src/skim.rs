//! Walks over a deflate stream (RFC 1951) without unpacking it, to open its end.
//!
//! libdeflate has one call that makes a whole stream. A stream that is to be continued by the next one must not have
//! the mark of the last block and must end at a byte. Both need the places of two bits, which only the codes
//! themselves tell.

use anyhow::{bail, Context};

/// Bits that one look-up resolves.
const LOOK: u32 = 10;
const SIZE: usize = 1 << LOOK;
/// Kinds of entries of a look-up table; below them four bits for the length of the code and eight for the bits to skip.
const KIND: u16 = 3 << 14;
const LITERALS: u16 = 0;
const LENGTH: u16 = 1 << 14;
const END: u16 = 2 << 14;
/// A longer code, or none.
const LONG: u16 = 3 << 14;
const ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
const LENGTH_EXTRA: [u8; 29] =
    [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0];
const DISTANCE_EXTRA: [u8; 30] =
    [0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13];

/// Takes the mark of the last block out of a whole stream and ends it at a byte with an empty stored block, so that
/// another stream can follow, as zlib's Z_SYNC_FLUSH leaves it.
///
/// # Errors
/// The bytes are not exactly one deflate stream; they are then of no use.
pub fn open_end(stream: &mut Vec<u8>) -> anyhow::Result<()> {
    let length = stream.len();
    // A look-up may read eight bytes from the last one on.
    stream.resize(length + 8, 0);
    let found = Skim::new(stream).run();
    stream.truncate(length);
    let ends = found?;
    if ends.end.div_ceil(8) != length {
        bail!("the deflate stream ends at byte {} of {length}", ends.end.div_ceil(8));
    }
    stream[ends.last_header / 8] &= !(1 << (ends.last_header % 8));
    let used = ends.end % 8;
    if used > 0 {
        // The rest of the byte holds the three zero bits of the empty block's header, or as many as fit.
        stream[length - 1] &= (1 << used) - 1;
    }
    if used == 0 || used > 5 {
        stream.push(0);
    }
    stream.extend_from_slice(&[0, 0, 0xff, 0xff]);
    Ok(())
}

/// Places in a stream, in bits.
struct Ends {
    last_header: usize,
    end: usize,
}

struct Skim<'a> {
    bytes: &'a [u8],
    /// In bits.
    place: usize,
    literals: Table,
    distances: Table,
}

impl<'a> Skim<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, place: 0, literals: Table::default(), distances: Table::default() }
    }

    fn run(mut self) -> anyhow::Result<Ends> {
        loop {
            let last_header = self.place;
            let last = self.take(1)? == 1;
            match self.take(2)? {
                0 => self.stored()?,
                1 => {
                    self.fixed()?;
                    self.codes()?;
                }
                2 => {
                    self.dynamic()?;
                    self.codes()?;
                }
                _ => bail!("a deflate block of an unknown kind"),
            }
            if last {
                return Ok(Ends { last_header, end: self.place });
            }
        }
    }

    /// At least 56 bits from the present place on.
    fn look(&self) -> anyhow::Result<u64> {
        let at = self.place / 8;
        let bytes = self.bytes.get(at..at + 8).and_then(|b| b.try_into().ok());
        let word = u64::from_le_bytes(bytes.context("the deflate stream is cut off")?);
        Ok(word >> (self.place % 8))
    }

    fn take(&mut self, bits: u32) -> anyhow::Result<usize> {
        let value = self.look()? & ((1 << bits) - 1);
        self.place += bits as usize;
        Ok(value as usize)
    }

    fn stored(&mut self) -> anyhow::Result<()> {
        self.place = self.place.next_multiple_of(8);
        let (length, inverse) = (self.take(16)?, self.take(16)?);
        if length ^ 0xffff != inverse {
            bail!("a stored block whose length is damaged");
        }
        self.place += length * 8;
        Ok(())
    }

    fn fixed(&mut self) -> anyhow::Result<()> {
        let mut lengths = [8_u8; 288];
        lengths[144..256].fill(9);
        lengths[256..280].fill(7);
        self.tables(&lengths, &[5; 30])
    }

    fn dynamic(&mut self) -> anyhow::Result<()> {
        let (literals, distances, order) = (self.take(5)? + 257, self.take(5)? + 1, self.take(4)? + 4);
        let mut lengths = [0; 19];
        for symbol in &ORDER[..order] {
            lengths[*symbol] = self.take(3)? as u8;
        }
        let code = Code::new(&lengths);
        let mut all = [0_u8; 320];
        let mut n = 0;
        while n < literals + distances {
            let symbol = self.symbol(&code)?;
            let (value, times) = match symbol {
                0..=15 => (symbol as u8, 1),
                16 if n > 0 => (all[n - 1], 3 + self.take(2)?),
                17 => (0, 3 + self.take(3)?),
                18 => (0, 11 + self.take(7)?),
                _ => bail!("a deflate block that repeats nothing"),
            };
            all.get_mut(n..n + times).context("a deflate block with too many codes")?.fill(value);
            n += times;
        }
        self.tables(&all[..literals], &all[literals..literals + distances])
    }

    fn tables(&mut self, literals: &[u8], distances: &[u8]) -> anyhow::Result<()> {
        self.literals.fill(literals, |symbol| match symbol {
            0..=255 => Some((LITERALS, 0)),
            256 => Some((END, 0)),
            _ => Some((LENGTH, *LENGTH_EXTRA.get(symbol - 257)?)),
        });
        self.literals.chain();
        self.distances.fill(distances, |symbol| Some((LENGTH, *DISTANCE_EXTRA.get(symbol)?)));
        Ok(())
    }

    /// Passes over all codes of a block.
    fn codes(&mut self) -> anyhow::Result<()> {
        let mut word = self.look()?;
        let mut have = 56_u32;
        loop {
            // A look-up takes 20 bits at most and a distance 28.
            if have < 48 {
                word = self.look()?;
                have = 56;
            }
            let entry = match self.literals.look[(word as usize) & (SIZE - 1)] {
                long if long & KIND == LONG => self.literals.long(word),
                entry => Some(entry),
            };
            let entry = entry.context("a code that the deflate block has not")?;
            let mut bits = u32::from(entry & 0xff);
            word >>= bits;
            // What comes next is a coin's toss to the branch predictor: the distance is looked up in any case.
            let mut distance = self.distances.look[(word as usize) & (SIZE - 1)];
            let wanted = if entry & KIND == LENGTH { 0xff } else { 0 };
            if wanted != 0 && distance & KIND == LONG {
                distance = self.distances.long(word).context("a distance that the deflate block has not")?;
            }
            let distance = u32::from(distance & wanted);
            word >>= distance;
            bits += distance;
            self.place += bits as usize;
            have = have.saturating_sub(bits);
            if entry & KIND == END {
                return Ok(());
            }
        }
    }

    fn symbol(&mut self, code: &Code) -> anyhow::Result<usize> {
        let (symbol, bits) = code.find(self.look()?).context("a code that the deflate block has not")?;
        self.place += bits as usize;
        Ok(symbol)
    }
}

/// A canonical Huffman code.
#[derive(Default)]
struct Code {
    count: [u16; 16],
    symbols: Vec<u16>,
}

impl Code {
    fn new(lengths: &[u8]) -> Self {
        let mut count = [0_u16; 16];
        for length in lengths {
            count[usize::from(*length)] += 1;
        }
        count[0] = 0;
        let mut symbols = Vec::with_capacity(lengths.len());
        for length in 1..16 {
            symbols.extend((0..lengths.len() as u16).filter(|s| lengths[usize::from(*s)] == length));
        }
        Self { count, symbols }
    }

    /// The symbol at the beginning of `word` and the number of its bits.
    fn find(&self, mut word: u64) -> Option<(usize, u32)> {
        let (mut code, mut first, mut index) = (0_u32, 0_u32, 0_u32);
        for bits in 1..16 {
            code |= (word & 1) as u32;
            word >>= 1;
            let count = u32::from(self.count[bits]);
            if code < first + count {
                let symbol = self.symbols.get((index + code - first) as usize)?;
                return Some((usize::from(*symbol), bits as u32));
            }
            index += count;
            first = (first + count) << 1;
            code <<= 1;
        }
        None
    }
}

/// What to skip for the next bits of a stream.
struct Table {
    look: [u16; SIZE],
    code: Code,
    /// Kind and extra bits of each symbol.
    what: Vec<u16>,
}

impl Default for Table {
    fn default() -> Self {
        Self { look: [LONG; SIZE], code: Code::default(), what: Vec::new() }
    }
}

impl Table {
    fn fill(&mut self, lengths: &[u8], what: impl Fn(usize) -> Option<(u16, u8)>) {
        self.code = Code::new(lengths);
        self.look.fill(LONG);
        self.what.clear();
        let entry = |s| what(s).map_or(LONG, |(kind, extra)| kind | u16::from(extra));
        self.what.extend((0..lengths.len()).map(entry));
        let (mut code, mut index) = (0_u32, 0);
        for bits in 1..=LOOK {
            for _ in 0..self.code.count[bits as usize] {
                let entry = self.with_code(usize::from(self.code.symbols[index]), bits);
                // Codes are packed with their most significant bit first.
                let start = (code.reverse_bits() >> (32 - bits)) as usize;
                for place in (start..SIZE).step_by(1 << bits) {
                    self.look[place] = entry;
                }
                index += 1;
                code += 1;
            }
            code <<= 1;
        }
    }

    fn with_code(&self, symbol: usize, bits: u32) -> u16 {
        match self.what.get(symbol) {
            Some(entry) if entry & KIND != LONG => entry + bits as u16 + ((bits as u16) << 8),
            _ => LONG,
        }
    }

    /// Makes one look-up of several literals in a row, with what follows them where its code is in reach as well.
    fn chain(&mut self) {
        let single = self.look;
        for (place, entry) in self.look.iter_mut().enumerate() {
            let mut skip = 0;
            loop {
                let next = single[place >> skip];
                let bits = u32::from(next >> 8) & 15;
                if next & KIND == LONG || skip + bits > LOOK {
                    break;
                }
                *entry = (next & KIND) | (skip as u16 + (next & 0xff));
                skip += bits;
                if next & KIND != LITERALS || skip >= LOOK {
                    break;
                }
            }
        }
    }

    #[cold]
    fn long(&self, word: u64) -> Option<u16> {
        let (symbol, bits) = self.code.find(word)?;
        Some(self.with_code(symbol, bits)).filter(|e| e & KIND != LONG)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use proptest::prelude::*;

    use super::*;

    fn whole(bytes: &[u8], level: i32) -> Vec<u8> {
        let mut engine = libdeflater::Compressor::new(libdeflater::CompressionLvl::new(level).unwrap());
        let mut out = vec![0; engine.deflate_compress_bound(bytes.len())];
        let n = engine.deflate_compress(bytes, &mut out).unwrap();
        out.truncate(n);
        out
    }

    fn unpacked(stream: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        flate2::read::DeflateDecoder::new(stream).read_to_end(&mut out).unwrap();
        out
    }

    proptest! {
        #[test]
        fn streams_whose_ends_were_opened_are_one_stream(
            pieces in prop::collection::vec((prop::collection::vec(0_u8..20, 0..6000), 1_usize..60, any::<bool>()), 1..6),
            level in 0_i32..=12,
        ) {
            let mut stream = Vec::new();
            let mut want = Vec::new();
            for (bytes, times, noise) in pieces {
                let mut piece = bytes.repeat(times);
                if noise {
                    // Hardly any repetition: long codes, stored blocks.
                    for (n, b) in piece.iter_mut().enumerate() {
                        *b = b.wrapping_mul(31).wrapping_add(((n * n) >> 3) as u8);
                    }
                }
                let mut part = whole(&piece, level);
                open_end(&mut part).unwrap();
                stream.extend(part);
                want.extend(piece);
            }
            stream.extend([3, 0]);
            prop_assert_eq!(unpacked(&stream), want);
        }

        #[test]
        fn bytes_that_are_no_stream_are_an_error_and_no_panic(
            mut bytes in prop::collection::vec(any::<u8>(), 0..300)
        ) {
            let _refused = open_end(&mut bytes);
        }

        #[test]
        fn a_damaged_stream_is_an_error_and_no_panic(at in 0_usize..200, bit in 0_u8..8) {
            let mut stream = whole(&b"segunda-feira, terca-feira, quarta-feira".repeat(9), 6);
            let at = at % stream.len();
            stream[at] ^= 1 << bit;
            let _refused = open_end(&mut stream);
        }
    }

    #[test]
    fn a_stream_with_something_behind_it_or_missing_is_refused() {
        let good = whole(b"backup backup backup", 6);
        open_end(&mut good.clone()).unwrap();
        open_end(&mut [&good[..], &[0]].concat()).unwrap_err();
        open_end(&mut good[..good.len() - 1].to_vec()).unwrap_err();
        open_end(&mut Vec::new()).unwrap_err();
    }
}
