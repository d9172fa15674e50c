//! Database blocks of 8192 bytes: number, SCN, checksum and a tail that shows a block written only half.

/// DB_BLOCK_SIZE in bytes.
pub const SIZE: usize = 8192;
/// Block-size code at offset 1 of every block and file header.
pub const SIZE_CODE: u8 = 0xA2;
/// A transaction-managed data block.
pub const TYPE_DATA: u8 = 0x06;
/// A datafile header.
pub const TYPE_HEADER: u8 = 0x0B;

/// First byte a change may touch; before it the block header, after `BODY_END` the tail.
pub const BODY: usize = 24;
pub const BODY_END: usize = SIZE - 4;

pub fn get_u16(b: &[u8], at: usize) -> u16 {
    b.get(at..at + 2).map_or(0, |s| u16::from_le_bytes([s[0], s[1]]))
}

pub fn get_u32(b: &[u8], at: usize) -> u32 {
    b.get(at..at + 4).map_or(0, |s| u32::from_le_bytes([s[0], s[1], s[2], s[3]]))
}

pub fn get_u64(b: &[u8], at: usize) -> u64 {
    u64::from(get_u32(b, at)) | u64::from(get_u32(b, at + 4)) << 32
}

pub fn put(b: &mut [u8], at: usize, bytes: &[u8]) {
    b[at..at + bytes.len()].copy_from_slice(bytes);
}

/// The six-byte form in eight: base, wrap, 0.
pub fn get_scn(b: &[u8], at: usize) -> u64 {
    u64::from(get_u32(b, at)) | u64::from(get_u16(b, at + 4)) << 32
}

pub fn put_scn(b: &mut [u8], at: usize, scn: u64) {
    put(b, at, &scn.to_le_bytes()[..6]);
    put(b, at + 6, &[0, 0]);
}

/// XOR of all 16-bit words; 0 over a block whose stored checksum is right.
pub fn xor16(b: &[u8]) -> u16 {
    let mut x = 0u64;
    for word in b.chunks_exact(8) {
        let mut w = [0; 8];
        w.copy_from_slice(word);
        x ^= u64::from_le_bytes(w);
    }
    x ^= x >> 32;
    x ^= x >> 16;
    (x & 0xFFFF) as u16
}

/// Data block address: 10 bits of relative file number, 22 of block number.
pub fn rdba(file: u32, block: u32) -> u32 {
    (file & 0x3FF) << 22 | block & 0x3F_FFFF
}

/// SCN of the last change.
pub fn scn(b: &[u8]) -> u64 {
    get_scn(b, 8) & 0xFFFF_FFFF_FFFF
}

/// Stamps a changed block with its SCN, its tail and its checksum.
pub fn seal(b: &mut [u8], scn: u64) {
    put(b, 8, &scn.to_le_bytes()[..6]);
    b[14] = 1;
    b[15] = 0x04;
    let tail = ((scn & 0xFFFF) as u32) << 16 | u32::from(b[0]) << 8 | u32::from(b[14]);
    put(b, SIZE - 4, &tail.to_le_bytes());
    put(b, 16, &[0, 0]);
    let sum = xor16(b);
    put(b, 16, &sum.to_le_bytes());
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Damage {
    /// Not a block of this type or not this block: zeros, or another block's content.
    Foreign,
    /// Head and tail are of different versions.
    Fractured,
    Checksum,
}

/// Whether this is block `rdba`, of one piece.
pub fn check(b: &[u8], kind: u8, rdba: u32) -> Result<(), Damage> {
    if b.len() != SIZE || b[0] != kind || b[1] != SIZE_CODE || get_u32(b, 4) != rdba {
        return Err(Damage::Foreign);
    }
    let tail = u32::from(get_u16(b, 8)) << 16 | u32::from(b[0]) << 8 | u32::from(b[14]);
    if get_u32(b, SIZE - 4) != tail {
        return Err(Damage::Fractured);
    }
    if xor16(b) != 0 {
        return Err(Damage::Checksum);
    }
    Ok(())
}

/// A block as formatted when its file was made or grew at `scn`.
pub fn fresh(file: u32, block: u32, scn: u64) -> Vec<u8> {
    let mut b = vec![0; SIZE];
    b[0] = TYPE_DATA;
    b[1] = SIZE_CODE;
    put(&mut b, 4, &rdba(file, block).to_le_bytes());
    let mut x = mix(u64::from(file) << 32 | u64::from(block));
    for at in (64..4096).step_by(8) {
        x = mix(x);
        put(&mut b, at, &(x & 0x3F3F_3F3F_3F3F_3F3F | 0x4040_4040_4040_4040).to_le_bytes());
    }
    seal(&mut b, scn);
    b
}

/// A step of splitmix64: cheap, and never the same twice in a row.
pub fn mix(x: u64) -> u64 {
    let mut z = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ z >> 31
}

/// 64-bit hash of a whole block image, header and tail included.
pub fn hash(b: &[u8]) -> u64 {
    let mut h = 0xCBF2_9CE4_8422_2325u64;
    for word in b.chunks_exact(8) {
        let mut w = [0; 8];
        w.copy_from_slice(word);
        h = (h ^ u64::from_le_bytes(w)).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29);
    }
    mix(h)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_new_block_on_half_an_old_one_is_seen() {
        let old = fresh(4, 17, 959_994_799_549);
        let mut new = old.clone();
        new[100] ^= 1;
        new[8000] ^= 1;
        seal(&mut new, 959_994_799_550);
        assert_eq!(check(&new, TYPE_DATA, rdba(4, 17)), Ok(()));
        assert_eq!(check(&new, TYPE_DATA, rdba(4, 18)), Err(Damage::Foreign));
        let mut torn = new.clone();
        torn[SIZE / 2..].copy_from_slice(&old[SIZE / 2..]);
        assert_eq!(check(&torn, TYPE_DATA, rdba(4, 17)), Err(Damage::Fractured));
        new[5000] ^= 1;
        assert_eq!(check(&new, TYPE_DATA, rdba(4, 17)), Err(Damage::Checksum));
    }
}
