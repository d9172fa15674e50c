//! What this machine has installed and configured: the same before and after.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Every file of /etc, of the package database and of the places of programs and units, by what tells a change.
#[derive(Debug, PartialEq, Eq)]
pub struct Machine(BTreeMap<PathBuf, String>);

impl Machine {
    pub fn look() -> Self {
        let mut found = BTreeMap::new();
        for top in ["/etc", "/var/lib/dpkg", "/var/lib/rpm"] {
            walk(Path::new(top), true, &mut found);
        }
        // Here a new name is enough to be seen.
        for top in [
            "/usr/bin",
            "/usr/libexec",
            "/usr/lib/systemd/system",
            "/usr/share/man",
            "/var/lib",
            "/var/log",
            "/var/cache",
        ] {
            walk(Path::new(top), false, &mut found);
        }
        found.retain(|path, _| {
            path.to_string_lossy().contains("orapipe")
                || path.starts_with("/etc")
                || path.starts_with("/var/lib/dpkg")
        });
        Self(found)
    }

    /// The paths that are not as they were.
    pub fn differences(&self, before: &Self) -> Vec<String> {
        let all = self.0.keys().chain(before.0.keys());
        let mut found: Vec<_> =
            all.filter(|p| self.0.get(*p) != before.0.get(*p)).map(|p| p.display().to_string()).collect();
        found.sort();
        found.dedup();
        found
    }
}

fn walk(top: &Path, deep: bool, found: &mut BTreeMap<PathBuf, String>) {
    use std::os::unix::fs::MetadataExt;
    for entry in std::fs::read_dir(top).into_iter().flatten().flatten() {
        let path = entry.path();
        let Ok(about) = std::fs::symlink_metadata(&path) else { continue };
        if about.is_dir() && deep {
            walk(&path, deep, found);
        }
        let what = format!(
            "{:o} {}:{} {} {}",
            about.mode(),
            about.uid(),
            about.gid(),
            about.size(),
            about.ctime_nsec()
        );
        found.insert(
            path,
            if about.is_dir() { format!("{:o}", about.mode()) } else { format!("{what} {}", about.ctime()) },
        );
    }
}
