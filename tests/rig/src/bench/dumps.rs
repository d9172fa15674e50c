//! Content that compresses as Data Pump dumps do: rows of text, numbers and dates, and LOBs that do not compress.

use std::io::{self, Write};

/// Bytes of one stretch of rows or of one LOB.
const STRETCH: usize = 64 * 1024;
/// One stretch in so many is a LOB: 20 % of the dump.
const LOBS: u64 = 5;
const SYLLABLES: [&str; 32] = [
    "ca", "de", "mar", "ção", "ri", "ban", "con", "ta", "pre", "ser", "vi", "ço", "no", "ta", "fis", "cal",
    "pa", "ga", "men", "to", "cli", "en", "te", "fi", "lho", "san", "paulo", "rua", "ave", "ni", "da", "pro",
];
const STATES: [&str; 8] =
    ["ATIVO", "INATIVO", "PENDENTE", "CANCELADO", "FATURADO", "ENTREGUE", "DEVOLVIDO", "NOVO"];

/// A dump of a schema, made as it is read; the same seed gives the same bytes.
#[derive(Debug, Clone)]
pub struct Dump {
    state: u64,
    words: Vec<String>,
    row: u64,
}

impl Dump {
    pub fn new(seed: u64) -> Self {
        let mut dump = Self { state: seed.wrapping_mul(2) + 1, words: Vec::new(), row: seed % 10_000_000 };
        for _ in 0..6000 {
            let syllables = 1 + dump.below(4);
            let word = (0..syllables).map(|_| SYLLABLES[dump.below(32) as usize]).collect();
            dump.words.push(word);
        }
        dump
    }

    /// Writes `bytes` of it.
    pub fn write(&mut self, bytes: u64, out: &mut impl Write) -> io::Result<()> {
        let mut left = bytes;
        let mut stretch = Vec::with_capacity(2 * STRETCH);
        while left > 0 {
            stretch.clear();
            if self.below(LOBS) == 0 {
                while stretch.len() < STRETCH {
                    stretch.extend_from_slice(&self.next().to_le_bytes());
                }
            } else {
                while stretch.len() < STRETCH {
                    self.row(&mut stretch);
                }
            }
            let n = left.min(stretch.len() as u64);
            out.write_all(&stretch[..n as usize])?;
            left -= n;
        }
        Ok(())
    }

    /// One row: columns with a length byte before each, as the direct path stream has them.
    fn row(&mut self, out: &mut Vec<u8>) {
        self.row += 1;
        let row = self.row;
        out.extend_from_slice(&[0x3c, 9]);
        column(out, &number(row));
        let customer = self.below(40_000);
        column(out, &number(customer * 7));
        let name = &self.words[(customer % 500) as usize];
        let name = format!("{name} {} DA SILVA", self.words[(customer / 500) as usize]).to_uppercase();
        column(out, name.as_bytes());
        let state = STATES[(self.below(8) * self.below(8) / 8) as usize];
        column(out, state.as_bytes());
        let date = [
            120,
            126,
            1 + (row / 30_000 % 12) as u8,
            1 + (row / 1000 % 28) as u8,
            1 + (row / 600 % 24) as u8,
            1 + (row / 10 % 60) as u8,
            1 + self.below(60) as u8,
        ];
        column(out, &date);
        let amount = self.below(2000) * 100;
        column(out, &number(amount));
        let words = 2 + self.below(9) as usize;
        let text = self.text(words);
        column(out, text.as_bytes());
        let document = format!("{:011}", customer * 7_919 % 100_000_000_000);
        column(out, document.as_bytes());
        column(out, b"SISTEMA");
        column(out, b"N");
        out.extend_from_slice(&[255, 255, 255]);
    }

    fn text(&mut self, words: usize) -> String {
        let mut text = String::new();
        for n in 0..words {
            // Few words are frequent and most are rare.
            let rare = self.below(6000);
            let index = rare * self.below(6000) / 6000 * self.below(6000) / 6000 * self.below(6000) / 6000;
            text.push_str(if n == 0 { "" } else { " " });
            text.push_str(&self.words[index as usize]);
        }
        text
    }

    fn below(&mut self, n: u64) -> u64 {
        (self.next() >> 11) % n
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

fn column(out: &mut Vec<u8>, value: &[u8]) {
    let length = value.len().min(250);
    out.push(length as u8);
    out.extend_from_slice(&value[..length]);
}

/// Oracle's NUMBER: exponent byte, then pairs of digits plus one.
fn number(mut n: u64) -> Vec<u8> {
    let mut digits = Vec::new();
    while n > 0 {
        digits.push(1 + (n % 100) as u8);
        n /= 100;
    }
    let mut bytes = vec![0x80 + u8::from(!digits.is_empty()) * (0x40 + digits.len() as u8)];
    bytes.extend(digits.iter().rev());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_bytes_and_another_seed_others() {
        let bytes = |seed| {
            let mut out = Vec::new();
            Dump::new(seed).write(200_000, &mut out).unwrap();
            out
        };
        assert_eq!(bytes(1), bytes(1));
        assert_ne!(bytes(1), bytes(2));
        assert_eq!(bytes(1).len(), 200_000);
    }
}
