//! The checksums of S3: what a request claims, what the bytes are, and how those of parts become those of the object.

use crc_fast::{checksum_combine, CrcAlgorithm};
use s3s::checksum::ChecksumHasher;
use s3s::crypto::{Checksum as _, Crc32, Crc32c, Sha1, Sha256};
use s3s::dto::Checksum;
use s3s::{s3_error, S3Result, TrailingHeaders};
use serde::{Deserialize, Serialize};

/// Base64 values as S3 writes them, by algorithm.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sums {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crc32: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crc32c: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crc64nvme: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha1: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

pub const NAMES: [&str; 5] = ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"];

impl Sums {
    /// The value for a name of S3 (`CRC64NVME`).
    pub fn get(&self, name: &str) -> Option<&String> {
        match name {
            "CRC32" => self.crc32.as_ref(),
            "CRC32C" => self.crc32c.as_ref(),
            "CRC64NVME" => self.crc64nvme.as_ref(),
            "SHA1" => self.sha1.as_ref(),
            "SHA256" => self.sha256.as_ref(),
            _ => None,
        }
    }

    fn slot(&mut self, name: &str) -> Option<&mut Option<String>> {
        match name {
            "CRC32" => Some(&mut self.crc32),
            "CRC32C" => Some(&mut self.crc32c),
            "CRC64NVME" => Some(&mut self.crc64nvme),
            "SHA1" => Some(&mut self.sha1),
            "SHA256" => Some(&mut self.sha256),
            _ => None,
        }
    }

    /// One algorithm alone.
    pub fn only(name: &str, value: String) -> Self {
        let mut sums = Self::default();
        if let Some(slot) = sums.slot(name) {
            *slot = Some(value);
        }
        sums
    }

    /// Takes what came as trailers, after the body.
    pub fn add_trailers(&mut self, trailers: Option<&TrailingHeaders>) {
        let Some(headers) = trailers.and_then(TrailingHeaders::take) else { return };
        for name in NAMES {
            let header = format!("x-amz-checksum-{}", name.to_ascii_lowercase());
            let value = headers.get(header).and_then(|v| v.to_str().ok());
            if let (Some(value), Some(slot)) = (value, self.slot(name)) {
                *slot = Some(value.to_owned());
            }
        }
    }

    /// The first algorithm that has a value.
    pub fn algorithm(&self) -> Option<&'static str> {
        NAMES.into_iter().find(|name| self.get(name).is_some())
    }

    /// # Errors
    /// `BadDigest` when a claimed value is not that of the bytes.
    pub fn check(&self, computed: &Self) -> S3Result<()> {
        for name in NAMES {
            if let Some(claimed) = self.get(name) {
                if computed.get(name) != Some(claimed) {
                    return Err(s3_error!(
                        BadDigest,
                        "The {name} you specified did not match the calculated checksum."
                    ));
                }
            }
        }
        Ok(())
    }
}

impl From<Checksum> for Sums {
    fn from(sums: Checksum) -> Self {
        Self {
            crc32: sums.checksum_crc32,
            crc32c: sums.checksum_crc32c,
            crc64nvme: sums.checksum_crc64nvme,
            sha1: sums.checksum_sha1,
            sha256: sums.checksum_sha256,
        }
    }
}

/// CRC64NVME always, as S3 itself does since 2024, and whatever else was asked for.
pub fn hasher(asked: &Sums, announced: &[&str]) -> ChecksumHasher {
    let wanted =
        |name: &str| asked.get(name).is_some() || announced.iter().any(|a| a.eq_ignore_ascii_case(name));
    let mut hasher = ChecksumHasher { crc64nvme: Some(Default::default()), ..Default::default() };
    if wanted("CRC32") {
        hasher.crc32 = Some(Default::default());
    }
    if wanted("CRC32C") {
        hasher.crc32c = Some(Default::default());
    }
    if wanted("SHA1") {
        hasher.sha1 = Some(Default::default());
    }
    if wanted("SHA256") {
        hasher.sha256 = Some(Default::default());
    }
    hasher
}

/// The checksum of the whole object from those of its parts, without reading a byte again.
///
/// # Errors
/// An algorithm that cannot be combined, or a part without a value.
pub fn full_object(algorithm: &str, parts: &[(&Sums, u64)]) -> S3Result<String> {
    let (crc, width) = match algorithm {
        "CRC32" => (CrcAlgorithm::Crc32IsoHdlc, 4),
        "CRC32C" => (CrcAlgorithm::Crc32Iscsi, 4),
        "CRC64NVME" => (CrcAlgorithm::Crc64Nvme, 8),
        _ => return Err(s3_error!(InvalidRequest, "The FULL_OBJECT checksum type is not for {algorithm}.")),
    };
    let mut whole: Option<u64> = None;
    for (sums, bytes) in parts {
        let raw = raw(sums, algorithm)?;
        let value = raw.iter().fold(0_u64, |n, byte| n << 8 | u64::from(*byte));
        whole = Some(match whole {
            None => value,
            Some(before) => checksum_combine(crc, before, value, *bytes),
        });
    }
    let bytes = whole.unwrap_or_default().to_be_bytes();
    Ok(base64_simd::STANDARD.encode_to_string(&bytes[8 - width..]))
}

/// The checksum of the parts' checksums, with their number.
pub fn composite(algorithm: &str, parts: &[(&Sums, u64)]) -> S3Result<String> {
    let mut all = Vec::new();
    for (sums, _) in parts {
        all.extend(raw(sums, algorithm)?);
    }
    let base64 = |bytes: &[u8]| base64_simd::STANDARD.encode_to_string(bytes);
    let value = match algorithm {
        "CRC32" => base64(&Crc32::checksum(&all)),
        "CRC32C" => base64(&Crc32c::checksum(&all)),
        "SHA1" => base64(Sha1::checksum(&all).as_ref()),
        "SHA256" => base64(Sha256::checksum(&all).as_ref()),
        _ => return Err(s3_error!(InvalidRequest, "The COMPOSITE checksum type is not for {algorithm}.")),
    };
    Ok(format!("{value}-{}", parts.len()))
}

fn raw(sums: &Sums, algorithm: &str) -> S3Result<Vec<u8>> {
    let value = sums.get(algorithm).ok_or_else(|| s3_error!(InvalidPart, "a part has no {algorithm}"))?;
    base64_simd::STANDARD
        .decode_to_vec(value)
        .map_err(|_| s3_error!(InvalidRequest, "{value} is no checksum"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bytes: &[u8]) -> Sums {
        let mut hasher = hasher(&Sums::default(), &["CRC32", "CRC32C", "SHA256"]);
        hasher.update(bytes);
        hasher.finalize().into()
    }

    #[test]
    fn the_checksums_of_parts_combine_to_that_of_the_whole() {
        let (a, b, c) = (vec![7_u8; 100_000], vec![9_u8; 33], b"tail".to_vec());
        let whole = of(&[a.clone(), b.clone(), c.clone()].concat());
        let sums = [of(&a), of(&b), of(&c)];
        let parts = [(&sums[0], 100_000), (&sums[1], 33), (&sums[2], 4)];
        for name in ["CRC32", "CRC32C", "CRC64NVME"] {
            assert_eq!(Some(&full_object(name, &parts).unwrap()), whole.get(name), "{name}");
        }
        assert!(full_object("SHA256", &parts).is_err());
        assert!(composite("SHA256", &parts).unwrap().ends_with("-3"));
    }
}
