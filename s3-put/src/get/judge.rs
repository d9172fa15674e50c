//! Is what was read what was stored? Pure.

use crate::store::digest::{base64_to_hex, Hashes};
use crate::store::Seen;

/// The verdict on a content that was read whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Everything that is known of it agrees; which proofs there were.
    Proven(Vec<&'static str>),
    /// Nothing is known of it but its size.
    Unproven,
    /// What differs.
    Wrong(String),
}

/// Hashes of a content, with the checksums that this object needs besides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    pub hashes: Hashes,
    /// (algorithm, base64).
    pub others: Vec<(&'static str, String)>,
}

/// Compares with the record, with the metadata, and with what the server keeps.
pub fn judge(recorded: Option<&str>, seen: &Seen, read: &Read) -> Verdict {
    let hashes = &read.hashes;
    if hashes.bytes != seen.bytes {
        return Verdict::Wrong(format!("{} bytes were read of {}", hashes.bytes, seen.bytes));
    }
    let mut proofs = Vec::new();
    let stored = seen.checksum("SHA256").and_then(base64_to_hex);
    for (name, wanted) in [
        ("the SHA-256 of its record", recorded),
        ("the SHA-256 of its metadata", seen.sha256()),
        ("the server's SHA-256", stored.as_deref()),
    ] {
        match wanted {
            Some(wanted) if !wanted.eq_ignore_ascii_case(&hashes.sha256) => {
                return Verdict::Wrong(format!("its SHA-256 is {}, not {name} {wanted}", hashes.sha256));
            }
            Some(_) => proofs.push(name),
            None => {}
        }
    }
    match seen.crc64() {
        Some(crc64) if crc64 != hashes.crc64 => {
            return Verdict::Wrong("its CRC64NVME is not the server's".to_owned());
        }
        Some(_) => proofs.push("the server's CRC64NVME"),
        None => {}
    }
    for (algorithm, value) in &read.others {
        match seen.checksum(algorithm) {
            Some(wanted) if wanted != value => {
                return Verdict::Wrong(format!("its {algorithm} is {value}, not the server's {wanted}"));
            }
            Some(_) => proofs.push(algorithm),
            None => {}
        }
    }
    if proofs.is_empty() {
        Verdict::Unproven
    } else {
        Verdict::Proven(proofs)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::store::digest;

    proptest! {
        #[test]
        fn a_content_that_differs_is_proven_by_nothing(
            stored in prop::collection::vec(any::<u8>(), 1..30),
            at in any::<prop::sample::Index>(),
            (recorded, noted, crc) in any::<(bool, bool, bool)>(),
            damage: bool,
        ) {
            let good = digest::read(stored.as_slice()).unwrap();
            let mut seen = Seen { bytes: good.bytes, ..Seen::default() };
            if noted {
                seen.metadata.insert("sha256".to_owned(), good.sha256.clone());
            }
            if crc {
                seen.checksums.push(("CRC64NVME", digest::base64(good.crc64)));
            }
            let mut content = stored.clone();
            if damage {
                *at.get_mut(&mut content) ^= 1;
            }
            let read = Read { hashes: digest::read(content.as_slice()).unwrap(), others: Vec::new() };
            let verdict = judge(recorded.then_some(good.sha256.as_str()), &seen, &read);
            match (recorded || noted || crc, damage) {
                (false, _) => prop_assert_eq!(verdict, Verdict::Unproven),
                (true, true) => prop_assert!(matches!(verdict, Verdict::Wrong(_))),
                (true, false) => prop_assert!(matches!(verdict, Verdict::Proven(_))),
            }
        }
    }
}
