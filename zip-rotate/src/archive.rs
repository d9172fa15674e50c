//! A look at an archive's directory, without reading what is in it.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use anyhow::Context;
use common::record::Role;
use serde::{Deserialize, Serialize};
use zip::ZipArchive;

use crate::manifest::{Head, Member};
use crate::prove;

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

/// A new archive that would like to have the name of another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heir {
    pub complete: bool,
    /// As in [`Head`].
    pub db: String,
    pub host: String,
    /// [`Member::path`] of everything in it.
    pub paths: BTreeSet<String>,
}

impl Heir {
    /// Whether it may replace the archive that is there: that must be of this host and database, and hold no dump
    /// that the new one has not. A second run of the day for one schema must not cost the others their backup.
    pub fn may_replace(&self, there: &Path) -> bool {
        let Ok((head, members)) = prove::list(there) else { return false };
        let host = head.host.is_empty() || head.host == self.host;
        // A failed export has left a log under another name.
        let dumps = members.iter().filter(|m| m.role != Some(Role::ExportLog));
        host && head.is_of(&self.db)
            && (self.complete || !head.complete)
            && dumps.map(|m: &Member| &m.path).all(|path| self.paths.contains(path))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use chrono::DateTime;

    use super::*;
    use crate::manifest;

    fn head(complete: bool, db: &str, host: &str) -> Head {
        let backup_time = DateTime::parse_from_rfc3339("2026-11-20T03:00:00-03:00").unwrap();
        Head { complete, backup_time, db: db.to_owned(), host: host.to_owned(), lacks: Vec::new() }
    }

    fn archive(dir: &Path, head: &Head, paths: &[(&str, Option<Role>)]) -> std::path::PathBuf {
        let path = dir.join("backup.zip");
        let mut zip = zip::ZipWriter::new(File::create(&path).unwrap());
        let member = |(path, role): &(&str, Option<Role>)| Member {
            name: (*path).to_owned(),
            path: (*path).to_owned(),
            bytes: 1,
            sha256: String::new(),
            mtime: (0, 0),
            role: *role,
            schema: None,
        };
        let members: Vec<_> = paths.iter().map(member).collect();
        let mut list = Vec::new();
        manifest::write(head, &members, &mut list).unwrap();
        zip.start_file(manifest::MEMBER, zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(&list).unwrap();
        zip.finish().unwrap();
        path
    }

    fn heir(complete: bool, paths: &[&str]) -> Heir {
        let paths = paths.iter().map(|p| (*p).to_owned()).collect();
        Heir { complete, db: "PROD".to_owned(), host: "db1".to_owned(), paths }
    }

    #[test]
    fn a_run_for_one_schema_does_not_replace_the_archive_of_all() {
        let dir = tempfile::tempdir().unwrap();
        let dumps = [("/d/GOLD.DMP", Some(Role::Dump)), ("/d/FIN.DMP", None)];
        let there = archive(dir.path(), &head(true, "PROD", "db1"), &dumps);
        assert!(!heir(true, &["/d/GOLD.DMP"]).may_replace(&there));
        assert!(heir(true, &["/d/GOLD.DMP", "/d/FIN.DMP", "/d/HR.DMP"]).may_replace(&there));
        assert!(!heir(false, &["/d/GOLD.DMP", "/d/FIN.DMP"]).may_replace(&there));
        let partial = [("/d/GOLD.DMP", Some(Role::Dump)), ("/d/FIN.FAILED.LOG", Some(Role::ExportLog))];
        let there = archive(dir.path(), &head(false, "PROD", "db1"), &partial);
        assert!(heir(true, &["/d/GOLD.DMP", "/d/FIN.DMP"]).may_replace(&there));
    }

    #[test]
    fn archives_of_another_host_or_database_are_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let dump = [("/d/GOLD.DMP", Some(Role::Dump))];
        for (db, host, may) in
            [("PROD", "db1", true), ("PROD", "db2", false), ("TEST", "db1", false), ("", "", true)]
        {
            let there = archive(dir.path(), &head(true, db, host), &dump);
            assert_eq!(heir(true, &["/d/GOLD.DMP"]).may_replace(&there), may, "{db} {host}");
        }
        std::fs::write(dir.path().join("backup.zip"), b"not a ZIP").unwrap();
        assert!(!heir(true, &["/d/GOLD.DMP"]).may_replace(&dir.path().join("backup.zip")));
    }
}
