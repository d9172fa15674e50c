//! Decisions without side effects: is an object the same as a file, may sources go, how did the run end.

use common::exit::Exit;

use crate::store::digest::Hashes;
use crate::store::{Kind, Seen};

/// How an object compares with a local content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Match {
    /// The server's own checksum of the whole object says so.
    Same,
    /// It is something else; why.
    Different(String),
    /// The server keeps no checksum of it: only reading it back tells.
    Unproven,
}

/// Compares by size, then by the checksum that the server keeps, then by the SHA-256 that the uploader noted.
///
/// The noted SHA-256 alone proves nothing: it says what was to be stored, not what is.
pub fn compare(seen: &Seen, local: &Hashes) -> Match {
    if seen.bytes != local.bytes {
        return Match::Different(format!("it has {} bytes, the file {}", seen.bytes, local.bytes));
    }
    if let Some(noted) = seen.sha256().filter(|noted| *noted != local.sha256) {
        return Match::Different(format!("its SHA-256 is {noted}, the file's {}", local.sha256));
    }
    let whole = seen.checksum("SHA256").and_then(crate::store::digest::base64_to_hex);
    match (seen.crc64(), whole) {
        (Some(crc64), _) if crc64 != local.crc64 => {
            Match::Different("its CRC64NVME differs from the file's".to_owned())
        }
        (_, Some(sha256)) if sha256 != local.sha256 => {
            Match::Different("its SHA-256 differs from the file's".to_owned())
        }
        (None, None) => Match::Unproven,
        _ => Match::Same,
    }
}

/// How many files ended in which way.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    pub uploaded: u64,
    pub resumed: u64,
    pub present: u64,
    /// Why each of the failed ones failed.
    pub failed: Vec<Kind>,
    /// Lines of the input that are no records.
    pub bad_lines: u64,
}

impl Tally {
    /// Files that are proven to be in the bucket.
    pub fn stored(&self) -> u64 {
        self.uploaded + self.resumed + self.present
    }

    /// Our own exit status. `changed`: something in the bucket is not as it was before.
    pub fn exit(&self, changed: bool) -> Exit {
        let failed = self.failed.iter().filter(|k| **k != Kind::Stopped);
        let Some(first) = failed.clone().next() else {
            return if self.bad_lines > 0 { Exit::Partial } else { Exit::Success };
        };
        if self.stored() > 0 {
            return Exit::Partial;
        }
        let all_alike = failed.clone().all(|k| k.exit() == first.exit());
        match first.exit() {
            // These statuses promise that nothing was changed.
            exit if all_alike && !changed => exit,
            _ => Exit::Failed,
        }
    }
}

/// What decides whether the sources may be deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proof {
    /// Files of the run, and how many of them are proven to be in the bucket.
    pub files: u64,
    pub stored: u64,
    pub bad_lines: u64,
    pub manifest: bool,
    /// A producer began and never ended.
    pub died: bool,
    /// The worst end of a producer.
    pub producers: Exit,
    pub stopped: bool,
}

/// Why the sources must stay; `None` when they may go.
pub fn keep_sources(proof: &Proof) -> Option<&'static str> {
    if proof.stopped {
        Some("the run was stopped")
    } else if proof.died {
        Some("a producer died: nobody knows whether its files are all")
    } else if proof.producers != Exit::Success {
        Some("a producer did not end with success")
    } else if proof.bad_lines > 0 {
        Some("a line of the input is no record")
    } else if proof.stored < proof.files {
        Some("not all files are in the bucket")
    } else if !proof.manifest {
        Some("the manifest is not stored")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::store::digest;

    fn hashes(content: &[u8]) -> Hashes {
        digest::read(content).unwrap()
    }

    fn seen(content: &[u8], crc: bool, noted: bool) -> Seen {
        let h = hashes(content);
        let mut seen = Seen { bytes: h.bytes, ..Seen::default() };
        if crc {
            seen.checksums.push(("CRC64NVME", digest::base64(h.crc64)));
        }
        if noted {
            seen.metadata.insert("sha256".to_owned(), h.sha256);
        }
        seen
    }

    proptest! {
        #[test]
        fn only_the_same_content_with_a_checksum_is_the_same(
            a in proptest::collection::vec(any::<u8>(), 0..40),
            b in proptest::collection::vec(any::<u8>(), 0..40),
            crc: bool, noted: bool,
        ) {
            let found = compare(&seen(&a, crc, noted), &hashes(&b));
            if a == b {
                prop_assert_eq!(found, if crc { Match::Same } else { Match::Unproven });
            } else {
                prop_assert!(found != Match::Same);
                prop_assert!(!(crc || noted) || matches!(found, Match::Different(_)));
            }
        }

        #[test]
        fn sources_go_only_when_everything_is_proven(
            files in 0u64..4, stored in 0u64..4, bad_lines in 0u64..2, manifest: bool, died: bool,
            code in prop::sample::select(vec![0i64, 1, 2, 5, 75]), stopped: bool,
        ) {
            let producers = Exit::from_code(code);
            let proof = Proof { files, stored, bad_lines, manifest, died, producers, stopped };
            let all = stored >= files && bad_lines == 0 && manifest && !died && code == 0 && !stopped;
            prop_assert_eq!(keep_sources(&proof).is_none(), all);
        }
    }

    #[test]
    fn a_noted_hash_over_damaged_content_is_not_the_same() {
        let mut object = seen(b"abc", true, true);
        object.checksums[0].1 = digest::base64(digest::crc64(b"abd"));
        assert!(matches!(compare(&object, &hashes(b"abc")), Match::Different(_)));
    }

    #[test]
    fn the_status_promises_no_more_than_is_true() {
        let tally =
            |stored, failed: &[Kind]| Tally { uploaded: stored, failed: failed.to_vec(), ..Tally::default() };
        for (tally, changed, exit) in [
            (tally(2, &[]), true, Exit::Success),
            (tally(1, &[Kind::Conflict]), true, Exit::Partial),
            (tally(0, &[Kind::Conflict]), false, Exit::Refused),
            (tally(0, &[Kind::Unreachable, Kind::Unreachable]), false, Exit::TryAgain),
            (tally(0, &[Kind::Unreachable]), true, Exit::Failed),
            (tally(0, &[Kind::Unreachable, Kind::Denied]), false, Exit::Failed),
            (tally(0, &[Kind::NoBucket]), false, Exit::Usage),
            (Tally { bad_lines: 1, ..Tally::default() }, false, Exit::Partial),
        ] {
            assert_eq!(tally.exit(changed), exit, "{tally:?}");
        }
    }
}
