//! Which unfinished upload is continued, and which of its parts count: pure.

use std::collections::BTreeMap;

use super::journal::{Entry, Header};
use super::parts::{Layout, MIN_PART};
use super::source::Identity;

/// A part that the server has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stored {
    /// From 1.
    pub number: u64,
    pub bytes: u64,
    /// As ListParts gave it.
    pub etag: Option<String>,
    /// CRC64NVME, if the server keeps it.
    pub crc64: Option<u64>,
}

/// What the journal says about continuing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Past {
    /// There is no journal.
    Nothing,
    /// Continue this upload.
    Continue { upload_id: String, part_size: u64 },
    /// The file is another one now: abort this upload and begin anew.
    Changed { upload_id: String, change: String },
}

/// Reads the journal's first line against the file as it is now.
pub fn past(header: Option<&Header>, store: &str, key: &str, now: &Identity) -> Past {
    let Some(header) = header.filter(|h| h.store == store && h.key == key) else { return Past::Nothing };
    let upload_id = header.upload_id.clone();
    match now.change_since(&header.source) {
        Some(change) => Past::Changed { upload_id, change },
        None => Past::Continue { upload_id, part_size: header.part_size },
    }
}

/// A part that need not be sent if the file still has this checksum there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    pub etag: String,
    pub crc64: u64,
}

/// The parts of an upload that count, by number.
///
/// A part counts when its size is right, its checksum is known – from the server, else from the journal, which notes it
/// before the part is sent – and its ETag is known, without which the upload cannot be completed.
pub fn finished(layout: Layout, stored: &[Stored], noted: &BTreeMap<u64, Entry>) -> BTreeMap<u64, Finished> {
    let mut finished = BTreeMap::new();
    for part in stored {
        if part.number < 1 || part.number > layout.count() || part.bytes != layout.length(part.number) {
            continue;
        }
        let note = noted.get(&part.number);
        let crc64 = part.crc64.or_else(|| note?.crc64());
        let etag = part.etag.clone().filter(|e| !e.is_empty()).or_else(|| note?.etag.clone());
        if let (Some(crc64), Some(etag)) = (crc64, etag) {
            finished.insert(part.number, Finished { etag, crc64 });
        }
    }
    finished
}

/// The layout of an upload that another host has begun, or `None` when its parts do not fit this file.
pub fn layout_of(size: u64, wanted: u64, stored: &[Stored]) -> Option<Layout> {
    let ours = Layout::new(size, wanted);
    let fits = |layout: &Layout| {
        layout.is_valid()
            && stored
                .iter()
                .all(|p| (1..=layout.count()).contains(&p.number) && p.bytes == layout.length(p.number))
    };
    if fits(&ours) {
        return Some(ours);
    }
    let part_size = stored.iter().map(|p| p.bytes).max().filter(|b| *b >= MIN_PART)?;
    Some(Layout { size, part_size }).filter(fits)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::store::digest;

    const MIB: u64 = 1 << 20;

    fn stored(layout: Layout, number: u64, crc64: Option<u64>) -> Stored {
        Stored { number, bytes: layout.length(number), etag: Some(format!("e{number}")), crc64 }
    }

    #[test]
    fn the_servers_checksum_counts_before_the_journals() {
        let layout = Layout::new(30 * MIB, 8 * MIB);
        let note = |n, etag: Option<&str>| {
            (n, Entry { n, crc64: digest::base64(n + 100), etag: etag.map(str::to_owned) })
        };
        let noted = BTreeMap::from([note(1, None), note(2, Some("j2")), note(4, Some("j4"))]);
        let mut without_etag = stored(layout, 2, None);
        without_etag.etag = None;
        let mut short = stored(layout, 4, Some(4));
        short.bytes -= 1;
        let parts = [stored(layout, 1, Some(1)), without_etag, stored(layout, 3, None), short];
        let finished = finished(layout, &parts, &noted);
        let is = |etag: &str, crc64| Finished { etag: etag.to_owned(), crc64 };
        // 3 has no checksum anywhere, 4 has the wrong size.
        assert_eq!(finished, BTreeMap::from([(1, is("e1", 1)), (2, is("j2", 102))]));
    }

    proptest! {
        #[test]
        fn any_set_of_parts_of_any_layout_is_recognised(
            size in MIB..(900 * MIB), theirs in MIN_PART..(40 * MIB), mask in any::<u64>()
        ) {
            let layout = Layout::new(size, theirs);
            let parts: Vec<_> = (1..=layout.count())
                .filter(|n| mask >> (n % 64) & 1 == 1)
                .map(|n| stored(layout, n, Some(n)))
                .collect();
            let found = layout_of(size, 8 * MIB, &parts);
            // Only the last part was stored: its size alone does not tell the others'.
            let full = parts.iter().any(|p| p.number < layout.count());
            if full {
                let found = found.unwrap();
                prop_assert!(parts.iter().all(|p| p.bytes == found.length(p.number)));
                prop_assert_eq!(found.part_size, layout.part_size);
            }
        }

        #[test]
        fn parts_of_a_file_of_another_size_are_not_taken(size in (20 * MIB)..(200 * MIB), less in 1..MIB) {
            let layout = Layout::new(size, 8 * MIB);
            let parts: Vec<_> = (1..=layout.count()).map(|n| stored(layout, n, Some(n))).collect();
            prop_assert_eq!(layout_of(size - less, 8 * MIB, &parts), None);
        }
    }

    #[test]
    fn a_file_that_is_another_now_begins_anew() {
        let source = Identity { device: 1, inode: 2, bytes: 3, modified: 4, changed: 5 };
        let header = Header {
            v: 1,
            store: "s".to_owned(),
            key: "k".to_owned(),
            upload_id: "u".to_owned(),
            path: "/x".to_owned(),
            source: source.clone(),
            part_size: 8 * MIB,
            begun: String::new(),
        };
        let upload_id = "u".to_owned();
        let same = past(Some(&header), "s", "k", &source);
        assert_eq!(same, Past::Continue { upload_id: upload_id.clone(), part_size: 8 * MIB });
        let touched = Identity { modified: 9, ..source.clone() };
        let change = "it was written to".to_owned();
        assert_eq!(past(Some(&header), "s", "k", &touched), Past::Changed { upload_id, change });
        assert_eq!(past(Some(&header), "s", "other", &source), Past::Nothing);
        assert_eq!(past(None, "s", "k", &source), Past::Nothing);
    }
}
