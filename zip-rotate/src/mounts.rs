//! Whether a directory should be mounted and is not, told from /etc/fstab without touching the directory.

use std::path::{Path, PathBuf};

/// The mount point of /etc/fstab above `dir` that is not mounted, if there is one.
pub fn missing(dir: &Path) -> Option<PathBuf> {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    missing_in(dir, &read("/etc/fstab"), &read("/proc/self/mountinfo"))
}

fn missing_in(dir: &Path, fstab: &str, mountinfo: &str) -> Option<PathBuf> {
    let field = |line: &str, n: usize| line.split_whitespace().nth(n).map(unescape);
    let wanted = fstab.lines().filter(|l| !l.trim_start().starts_with('#')).filter_map(|l| field(l, 1));
    let mounted: Vec<PathBuf> = mountinfo.lines().filter_map(|l| field(l, 4)).collect();
    let above = wanted.filter(|point| point.is_absolute() && dir.starts_with(point));
    let nearest = above.max_by_key(|point| point.components().count())?;
    (!mounted.contains(&nearest)).then_some(nearest)
}

/// Whether /etc/fstab has a mount point above `dir` that is not above `other`: then [`missing`] knows of it.
pub fn is_expected(dir: &Path, other: &Path) -> bool {
    is_expected_in(dir, other, &std::fs::read_to_string("/etc/fstab").unwrap_or_default())
}

fn is_expected_in(dir: &Path, other: &Path, fstab: &str) -> bool {
    let points = fstab.lines().filter(|l| !l.trim_start().starts_with('#'));
    let mut points = points.filter_map(|l| l.split_whitespace().nth(1).map(unescape));
    points.any(|point| point.is_absolute() && dir.starts_with(&point) && !other.starts_with(&point))
}

/// Blanks and the like are octal in both files.
fn unescape(text: &str) -> PathBuf {
    let mut out = Vec::new();
    let bytes = text.as_bytes();
    let mut n = 0;
    while n < bytes.len() {
        let digits = bytes.get(n + 1..n + 4).and_then(|d| std::str::from_utf8(d).ok());
        let octal = digits.and_then(|d| u8::from_str_radix(d, 8).ok()).filter(|_| bytes[n] == b'\\');
        out.push(octal.unwrap_or(bytes[n]));
        n += if octal.is_some() { 4 } else { 1 };
    }
    PathBuf::from(String::from_utf8_lossy(&out).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FSTAB: &str = "# comment /mnt/none nfs\n/dev/sda1 / ext4 defaults 0 1\n\
                         nas:/dumps /mnt/backup nfs hard 0 0\nnas:/x /mnt/with\\040blank nfs hard 0 0\n\
                         /dev/sdb swap swap defaults 0 0\n";
    const ROOT: &str = "21 1 254:0 / / rw,relatime - ext4 /dev/sda1 rw\n";

    #[test]
    fn a_network_directory_that_is_not_mounted_is_noticed() {
        let missing = |dir: &str, mounts: &str| missing_in(Path::new(dir), FSTAB, mounts);
        assert_eq!(missing("/mnt/backup/dumps", ROOT), Some(PathBuf::from("/mnt/backup")));
        assert_eq!(missing("/mnt/with blank", ROOT), Some(PathBuf::from("/mnt/with blank")));
        let both = format!("{ROOT}30 21 0:40 / /mnt/backup rw - nfs nas:/dumps rw\n");
        assert_eq!(missing("/mnt/backup/dumps", &both), None);
        assert_eq!(missing("/u03/dumps", ROOT), None);
        assert_eq!(missing("/mnt/backup2", ROOT), None);
    }

    #[test]
    fn only_a_mount_point_of_its_own_says_that_a_directory_is_mounted() {
        let expected = |dir: &str, other: &str| is_expected_in(Path::new(dir), Path::new(other), FSTAB);
        assert!(expected("/mnt/backup/dumps", "/u03/dumps"));
        assert!(!expected("/mnt/other", "/u03/dumps"));
        assert!(!expected("/mnt/backup/copy", "/mnt/backup/dumps"));
    }
}
