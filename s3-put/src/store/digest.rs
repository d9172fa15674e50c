//! SHA-256 and CRC64NVME: of parts, of whole files, and how S3 writes them.

use std::io::Read;

use anyhow::Context;
use aws_smithy_types::base64;
use crc_fast::CrcAlgorithm;
use sha2::{Digest, Sha256};

/// The hashes of one content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hashes {
    pub bytes: u64,
    /// Lower-case hex.
    pub sha256: String,
    pub crc64: u64,
}

/// Lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _never = write!(text, "{byte:02x}");
        text
    })
}

/// SHA-256 in lower-case hex.
pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// CRC64NVME of `bytes`.
pub fn crc64(bytes: &[u8]) -> u64 {
    crc_fast::checksum(CrcAlgorithm::Crc64Nvme, bytes)
}

/// The CRC64NVME of two contents one after the other, from theirs and the length of the second in bytes.
pub fn combine(first: u64, second: u64, length: u64) -> u64 {
    crc_fast::checksum_combine(CrcAlgorithm::Crc64Nvme, first, second, length)
}

/// As in x-amz-checksum-crc64nvme: base64 of the big-endian bytes.
pub fn base64(crc64: u64) -> String {
    base64::encode(crc64.to_be_bytes())
}

/// The number of a CRC64NVME in base64, or `None` when it is none.
pub fn from_base64(text: &str) -> Option<u64> {
    base64::decode(text).ok()?.try_into().ok().map(u64::from_be_bytes)
}

/// Bytes that a base64 text stands for, in hex; for checksums of other lengths.
pub fn base64_to_hex(text: &str) -> Option<String> {
    base64::decode(text).ok().map(|bytes| hex(&bytes))
}

/// Both hashes of a stream, read once.
#[derive(Default)]
pub struct Both {
    sha256: Sha256,
    crc: Option<crc_fast::Digest>,
    bytes: u64,
}

impl Both {
    pub fn update(&mut self, bytes: &[u8]) {
        // Slices that stay in the cache between the two.
        for slice in bytes.chunks(64 << 10) {
            self.sha256.update(slice);
            self.crc.get_or_insert_with(|| crc_fast::Digest::new(CrcAlgorithm::Crc64Nvme)).update(slice);
        }
        self.bytes += bytes.len() as u64;
    }

    pub fn finish(self) -> Hashes {
        Hashes {
            bytes: self.bytes,
            sha256: hex(&self.sha256.finalize()),
            crc64: self.crc.map_or_else(|| crc64(b""), |crc| crc.finalize()),
        }
    }
}

/// Both hashes of everything that `reader` gives.
pub fn read(mut reader: impl Read) -> anyhow::Result<Hashes> {
    let mut both = Both::default();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let n = reader.read(&mut buffer).context("read")?;
        if n == 0 {
            return Ok(both.finish());
        }
        both.update(&buffer[..n]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values() {
        assert_eq!(sha256(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        // The check value of CRC-64/NVME.
        assert_eq!(crc64(b"123456789"), 0xae8b_1486_0a79_9888);
        assert_eq!(base64(crc64(b"123456789")), "rosUhgp5mIg=");
        assert_eq!(from_base64("rosUhgp5mIg="), Some(0xae8b_1486_0a79_9888));
        assert_eq!(from_base64("AAAA"), None);
    }

    #[test]
    fn parts_combine_to_the_whole() {
        let content: Vec<u8> = (0..300_000u32).map(|n| (n * 7) as u8).collect();
        let whole = read(content.as_slice()).unwrap();
        let (a, b) = content.split_at(123_456);
        assert_eq!(combine(crc64(a), crc64(b), b.len() as u64), whole.crc64);
        assert_eq!(combine(crc64(b""), whole.crc64, whole.bytes), whole.crc64);
        assert_eq!(whole.sha256, sha256(&content));
        assert_eq!(read(&b""[..]).unwrap().crc64, crc64(b""));
    }
}
