//! Gives many files their final names with a handful of remote processes.
//!
//! Publishing one by one costs six processes for each file; for small logs that is more than their transfer.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use common::remote::{Connection, Script, TransferError};

use crate::facts::FileStat;

/// Syncs the files, links them into the directory under their own names, syncs it, and says which inode each name leads
/// to. `ln` never overwrites; a name that was taken shows another inode. The temporary names stay.
const LINK: &str = r#"
dir=$1
export dir
xargs -0 -r sh -c '
sync -- "$@" || exit 255
stat --printf "T%i\t%s\t%.9Y\t%n\0" -- "$@"
ln -t "$dir/" -- "$@" 2>/dev/null
n=$#
while [ $n -gt 0 ]; do
  f=$1; shift; set -- "$@" "$dir/${f##*/}"
  n=$((n-1))
done
sync -- "$dir/" || exit 255
stat --printf "F%i\t%s\t%.9Y\t%n\0" -- "$@" 2>/dev/null
exit 0' sh
"#;

/// Publishes files of one directory's own that keep their base names. The answer has the stat of each file that is
/// now, durably, the very one that was given; the others are as they were.
pub fn link(
    conn: &Connection,
    temporary: &[PathBuf],
    dir: &Path,
    limit: Duration,
) -> Result<HashMap<PathBuf, FileStat>, TransferError> {
    let script = Script::new(LINK, limit)
        .arg(dir.as_os_str().as_bytes())
        .list(temporary.iter().map(|p| p.as_os_str().as_bytes()));
    let out = conn.run(&script)?;
    let mut before: HashMap<PathBuf, FileStat> = HashMap::new();
    let mut after: HashMap<PathBuf, FileStat> = HashMap::new();
    for record in out.split(|b| *b == 0) {
        let (kind, rest) = match record.split_first() {
            Some((kind @ (b'T' | b'F'), rest)) => (*kind, rest),
            _ => continue,
        };
        if let Some((path, stat)) = parse(rest) {
            if kind == b'T' { &mut before } else { &mut after }.insert(path, stat);
        }
    }
    let mut done = HashMap::new();
    for path in temporary {
        let Some(name) = path.file_name() else { continue };
        let last = dir.join(name);
        if let (Some(own), Some(stat)) = (before.get(path), after.get(&last)) {
            if own.inode == stat.inode && own.bytes == stat.bytes {
                done.insert(last, *stat);
            }
        }
    }
    Ok(done)
}

/// Syncs files and the directories that hold their names.
pub fn sync(conn: &Connection, files: &[PathBuf]) -> Result<(), TransferError> {
    if files.is_empty() {
        return Ok(());
    }
    let mut names: Vec<Vec<u8>> = files.iter().map(|f| f.as_os_str().as_bytes().to_vec()).collect();
    let dirs: std::collections::BTreeSet<&Path> = files.iter().filter_map(|f| f.parent()).collect();
    names.extend(dirs.into_iter().map(|d| [d.as_os_str().as_bytes(), b"/"].concat()));
    conn.run(&Script::new("xargs -0 -r sync --", conn.limits.script).list(names)).map(|_| ())
}

fn parse(record: &[u8]) -> Option<(PathBuf, FileStat)> {
    let mut fields = record.splitn(4, |b| *b == b'\t');
    let mut word = || std::str::from_utf8(fields.next()?).ok();
    let inode = word()?.parse().ok()?;
    let bytes = word()?.parse().ok()?;
    let (seconds, fraction) = word()?.split_once('.')?;
    let seconds: i64 = seconds.parse().ok()?;
    let nanos: i64 = fraction.get(..9)?.parse().ok()?;
    let path = PathBuf::from(OsStr::from_bytes(fields.next()?));
    Some((path, FileStat { bytes, mtime_ns: seconds.checked_mul(1_000_000_000)?.checked_add(nanos)?, inode }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_name_is_left_and_the_others_are_published() {
        let dir = tempfile::tempdir().unwrap();
        let (own, last) = (dir.path().join(".orapipe-x"), dir.path().join("a b"));
        std::fs::create_dir(&own).unwrap();
        std::fs::create_dir(&last).unwrap();
        let names = ["1 x", "2", "-3"];
        let temporary: Vec<PathBuf> = names.iter().map(|n| own.join(n)).collect();
        temporary.iter().for_each(|p| std::fs::write(p, "new").unwrap());
        std::fs::write(last.join("2"), "old").unwrap();
        let done = link(&Connection::local(), &temporary, &last, Duration::from_secs(10)).unwrap();
        let mut found: Vec<_> = done.keys().map(|p| p.file_name().unwrap().to_str().unwrap()).collect();
        found.sort_unstable();
        assert_eq!(found, ["-3", "1 x"]);
        assert_eq!(std::fs::read(last.join("2")).unwrap(), b"old");
        assert_eq!(std::fs::read(last.join("1 x")).unwrap(), b"new");
    }
}
