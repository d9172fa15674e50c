//! Which files somebody on this machine has open for writing, from /proc.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// Those of `files` that a process has open for writing, as far as we may look (other users' processes are closed to
/// us).
pub fn open_for_writing(files: &[&Path]) -> HashSet<PathBuf> {
    let mut found = HashSet::new();
    let wanted: std::collections::HashMap<PathBuf, &Path> =
        files.iter().filter_map(|f| Some((f.canonicalize().ok()?, *f))).collect();
    if wanted.is_empty() {
        return found;
    }
    let Ok(processes) = std::fs::read_dir("/proc") else { return found };
    for process in processes.flatten() {
        let numeric = process.file_name().to_string_lossy().bytes().all(|b| b.is_ascii_digit());
        if !numeric {
            continue;
        }
        let Ok(fds) = std::fs::read_dir(process.path().join("fd")) else { continue };
        for fd in fds.flatten() {
            let Some(file) = std::fs::read_link(fd.path()).ok().and_then(|p| wanted.get(&p).copied()) else {
                continue;
            };
            let info = process.path().join("fdinfo").join(fd.file_name());
            if writes(&std::fs::read_to_string(info).unwrap_or_default()) {
                found.insert(file.to_path_buf());
            }
        }
    }
    found
}

/// The access mode in the `flags:` line, octal: 0 reads only.
fn writes(info: &str) -> bool {
    let flags = info.lines().find_map(|l| l.strip_prefix("flags:"));
    flags.and_then(|f| u64::from_str_radix(f.trim(), 8).ok()).is_some_and(|f| f & 3 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_writer_is_seen_and_a_reader_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("a b"), dir.path().join("c"));
        std::fs::write(&b, "x").unwrap();
        let _writer = std::fs::File::create(&a).unwrap();
        let _reader = std::fs::File::open(&b).unwrap();
        assert_eq!(open_for_writing(&[&a, &b]), HashSet::from([a.clone()]));
    }
}
