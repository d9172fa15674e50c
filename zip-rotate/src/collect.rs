//! From what was given to what is packed: files that are there, each once, under names that do not collide.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use crate::input::Wanted;
use crate::manifest;
use crate::pack::Source;

/// The files to pack, and for each that cannot be packed the reason.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Collected {
    pub sources: Vec<Source>,
    pub failed: Vec<(PathBuf, String)>,
}

/// Looks at every file.
pub fn collect(wanted: &[Wanted]) -> Collected {
    let mut collected = Collected::default();
    let mut seen = HashSet::new();
    let mut names = Names::default();
    for file in wanted {
        let path = std::path::absolute(&file.path).unwrap_or_else(|_| file.path.clone());
        if !seen.insert(path.clone()) {
            continue;
        }
        match usable(&path, file) {
            Ok(bytes) => collected.sources.push(Source {
                name: names.unique(&path),
                bytes,
                sha256: file.sha256.clone(),
                role: file.role,
                schema: file.schema.clone(),
                path,
            }),
            Err(reason) => collected.failed.push((path, reason)),
        }
    }
    collected
}

fn usable(path: &Path, wanted: &Wanted) -> Result<u64, String> {
    let meta = std::fs::metadata(path).map_err(|e| e.to_string())?;
    if !meta.is_file() {
        return Err("it is no regular file".to_owned());
    }
    match wanted.bytes {
        Some(bytes) if bytes != meta.len() => {
            Err(format!("its record says {bytes} bytes, and it has {}", meta.len()))
        }
        _ => Ok(meta.len()),
    }
}

/// Names that are in use, without regard to case: Windows has none.
struct Names(HashSet<String>);

impl Default for Names {
    fn default() -> Self {
        Self(HashSet::from([manifest::MEMBER.to_lowercase()]))
    }
}

impl Names {
    /// The file's own name; where that is taken, with the directory before it; then with a number.
    fn unique(&mut self, path: &Path) -> String {
        let part =
            |p: &Path| p.file_name().map(|n| n.to_string_lossy().replace('\\', "_")).unwrap_or_default();
        let name = part(path);
        let dir = path.parent().map(part).filter(|d| !d.is_empty());
        let candidates = std::iter::once(name.clone())
            .chain(dir.map(|d| format!("{d}/{name}")))
            .chain((2_u32..).map(|n| format!("{n}/{name}")));
        for candidate in candidates {
            if self.0.insert(candidate.to_lowercase()) {
                return candidate;
            }
        }
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_the_archive_are_unique_whatever_their_case() {
        let mut names = Names::default();
        let mut name = |p: &str| names.unique(Path::new(p));
        assert_eq!(name("/a/HR.DMP"), "HR.DMP");
        assert_eq!(name("/b/hr.dmp"), "b/hr.dmp");
        assert_eq!(name("/x/b/HR.dmp"), "2/HR.dmp");
        assert_eq!(name("/y/b/HR.dmp"), "3/HR.dmp");
        assert_eq!(name("/a/zip-rotate.jsonl"), "a/zip-rotate.jsonl");
        assert_eq!(name("/a/relação de dados.dmp"), "relação de dados.dmp");
    }

    #[test]
    fn a_file_is_packed_once_and_a_missing_one_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("HR.DMP");
        std::fs::write(&path, b"dump").unwrap();
        let wanted = |path: PathBuf, bytes| Wanted { path, bytes, ..Wanted::default() };
        let found = collect(&[
            wanted(path.clone(), Some(4)),
            wanted(path.clone(), None),
            wanted(dir.path().join("gone"), None),
            wanted(dir.path().to_owned(), None),
        ]);
        assert_eq!(found.sources.len(), 1);
        assert_eq!(found.failed.len(), 2);
        let short = collect(&[wanted(path, Some(5))]);
        assert_eq!(short.failed[0].1, "its record says 5 bytes, and it has 4");
    }
}
