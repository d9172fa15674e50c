//! A look at an archive's directory, without reading what is in it.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use anyhow::Context;
use zip::ZipArchive;

use crate::manifest::Head;

/// What the directory tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// Its own word; `None` for an archive that another program made.
    pub head: Option<Head>,
    pub members: u64,
    /// Size of the members together, unpacked.
    pub content: u64,
}

/// Reads the directory of an archive.
///
/// # Errors
/// It is no ZIP, or a part of it is missing.
pub fn look(path: &Path) -> anyhow::Result<Look> {
    let mut zip = open(path)?;
    let head = std::str::from_utf8(zip.comment()).ok().and_then(Head::from_comment);
    let mut content = 0_u64;
    for n in 0..zip.len() {
        content += zip.by_index_raw(n).with_context(|| format!("read {}", path.display()))?.size();
    }
    Ok(Look { head, members: zip.len() as u64, content })
}

/// Opens an archive for reading.
pub fn open(path: &Path) -> anyhow::Result<ZipArchive<BufReader<File>>> {
    let file = File::open(path).with_context(|| format!("open {}", path.display()))?;
    let zip = ZipArchive::new(BufReader::with_capacity(256 << 10, file));
    zip.with_context(|| format!("read the directory of {}", path.display()))
}

/// Whether a new archive may take the name of one that is there: that must be ours, of this database, and not worth
/// more than the new one.
pub fn may_replace(there: &Path, complete: bool, db: &str) -> bool {
    match look(there).map(|l| l.head) {
        Ok(Some(head)) => head.is_of(db) && (complete || !head.complete),
        _ => false,
    }
}
