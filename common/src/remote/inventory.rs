//! What lies in some directories of the target: one remote process for all of them.

use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use super::classify::{Class, TransferError};
use super::connection::Connection;
use super::files::absolute;
use super::script::Script;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    File,
    Dir,
    /// One that leads nowhere; others are followed.
    BrokenLink,
    Other,
}

/// One name in a listed directory. Symbolic links are followed: this is what a reader sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub path: PathBuf,
    pub bytes: u64,
    /// Modification time in nanoseconds since 1970.
    pub mtime_ns: i64,
    pub inode: u64,
    pub kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListingState {
    Complete,
    /// There is no such directory.
    Missing,
    NotADirectory,
    /// Something in it could not be read, so that a name that is not listed may exist all the same.
    Incomplete(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    pub dir: PathBuf,
    pub state: ListingState,
    pub entries: Vec<Entry>,
}

const LIST: &str = r#"
depth=$1
export depth
xargs -0 -r sh -c '
for d; do
  printf "D%s\0" "$d"
  if [ ! -e "$d" ] && [ ! -L "$d" ]; then
    if ls -d -- "$d" >/dev/null 2>&1; then printf "E\0"
    elif w=$(ls -d -- "$d" 2>&1); test "${w%o such file or directory}" != "$w"; then printf "M\0"
    else printf "E%s\0" "$w"; fi
  elif [ ! -d "$d" ]; then printf "N\0"
  else
    { find -L "$d/" -ignore_readdir_race -mindepth 1 -maxdepth "$depth" \
        -printf "F%Y\t%s\t%T@\t%i\t%p\0" 2>&3 && printf "C\0" || printf "I\0"; } 3>&2
  fi
done' sh
"#;

impl Connection {
    /// Lists `dirs` down to `depth` levels (1: only the directory itself). The result has the order of `dirs`.
    pub fn list(&self, dirs: &[PathBuf], depth: u32) -> Result<Vec<Listing>, TransferError> {
        for dir in dirs {
            absolute(dir)?;
        }
        let script = Script::new(LIST, self.limits.script)
            .arg(depth.to_string())
            .list(dirs.iter().map(|d| d.as_os_str().as_bytes()));
        let (stdout, _status, stderr) = self.run_status(&script)?;
        let listings = parse(&stdout, stderr.trim());
        let same = listings.len() == dirs.len() && listings.iter().zip(dirs).all(|(l, d)| l.dir == *d);
        if !same {
            let what = format!(
                "list directories on {}: it answered for other ones: {}",
                self.target().label(),
                stderr.trim()
            );
            return Err(TransferError::new(Class::Final, what));
        }
        Ok(listings)
    }
}

fn parse(stdout: &[u8], stderr: &str) -> Vec<Listing> {
    let mut listings: Vec<Listing> = Vec::new();
    for record in stdout.split(|b| *b == 0).filter(|r| !r.is_empty()) {
        let rest = &record[1..];
        if record[0] == b'D' {
            let state = ListingState::Incomplete("the listing was cut short".to_owned());
            let dir = PathBuf::from(std::ffi::OsString::from_vec(rest.to_vec()));
            listings.push(Listing { dir, state, entries: Vec::new() });
            continue;
        }
        let Some(listing) = listings.last_mut() else { continue };
        match record[0] {
            b'F' => listing.entries.extend(entry(rest, &listing.dir)),
            b'C' => listing.state = ListingState::Complete,
            b'M' => listing.state = ListingState::Missing,
            b'N' => listing.state = ListingState::NotADirectory,
            b'E' => listing.state = ListingState::Incomplete(String::from_utf8_lossy(rest).into_owned()),
            _ => listing.state = ListingState::Incomplete(stderr.to_owned()),
        }
    }
    listings
}

fn entry(record: &[u8], dir: &Path) -> Option<Entry> {
    let mut fields = record.splitn(5, |b| *b == b'\t');
    let mut field = || fields.next();
    let kind = match field()? {
        b"f" => Kind::File,
        b"d" => Kind::Dir,
        b"N" | b"L" | b"l" => Kind::BrokenLink,
        _ => Kind::Other,
    };
    let number = |b: &[u8]| std::str::from_utf8(b).ok()?.parse::<u64>().ok();
    let bytes = number(field()?)?;
    let mtime_ns = nanoseconds(std::str::from_utf8(field()?).ok()?)?;
    let inode = number(field()?)?;
    // find was given "dir/", so that a link to a directory is entered.
    let name = field()?.strip_prefix(dir.as_os_str().as_bytes())?;
    let start = name.iter().position(|b| *b != b'/')?;
    let path = dir.join(std::ffi::OsStr::from_bytes(&name[start..]));
    Some(Entry { path, bytes, mtime_ns, inode, kind })
}

/// "1700000000.1234567890" of find or stat.
pub(super) fn nanoseconds(text: &str) -> Option<i64> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = seconds.parse().ok()?;
    let digits: String = fraction.chars().chain(std::iter::repeat('0')).take(9).collect();
    seconds.checked_mul(1_000_000_000)?.checked_add(digits.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_unlike_empty_unlike_not_a_directory() {
        let tmp = tempfile::tempdir().unwrap();
        let path = |n: &str| tmp.path().join(n);
        std::fs::create_dir(path("empty")).unwrap();
        std::fs::create_dir(path("with blank")).unwrap();
        let odd = path("with blank").join("-n $(touch x)\n'q'\t#");
        std::fs::write(&odd, b"12345").unwrap();
        std::fs::write(path("file"), b"").unwrap();
        std::os::unix::fs::symlink("nowhere", path("with blank/broken")).unwrap();
        let dirs = ["empty", "missing", "file", "with blank"].map(path);
        let got = Connection::local().list(&dirs, 1).unwrap();
        let states: Vec<_> = got.iter().map(|l| l.state.clone()).collect();
        use ListingState::{Complete, Missing, NotADirectory};
        assert_eq!(states, [Complete, Missing, NotADirectory, Complete]);
        let file = got[3].entries.iter().find(|e| e.kind == Kind::File).unwrap();
        assert_eq!((&file.path, file.bytes), (&odd, 5));
        let meta = std::fs::metadata(&odd).unwrap();
        use std::os::unix::fs::MetadataExt;
        assert_eq!(
            (file.mtime_ns, file.inode),
            (meta.mtime() * 1_000_000_000 + meta.mtime_nsec(), meta.ino())
        );
        assert_eq!(got[3].entries.iter().filter(|e| e.kind == Kind::BrokenLink).count(), 1);
        assert!(got[0].entries.is_empty());
    }

    #[test]
    fn a_listing_that_was_cut_short_is_not_complete() {
        let listings = parse(b"D/a\0Ff\t5\t1.5\t7\t/a/x\0", "");
        assert!(matches!(listings[0].state, ListingState::Incomplete(_)));
        assert_eq!(listings[0].entries[0].mtime_ns, 1_500_000_000);
    }

    #[test]
    fn times_have_nanoseconds() {
        assert_eq!(nanoseconds("1700000000.1234567890"), Some(1_700_000_000_123_456_789));
        assert_eq!(nanoseconds("5"), Some(5_000_000_000));
    }
}
