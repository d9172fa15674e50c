//! Content of files on the target, by hash or by their first bytes: one remote process for many files.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::classify::TransferError;
use super::connection::Connection;
use super::files::{absolute, answers, path_of, per_call};
use super::script::Script;

/// A limit for an operation that reads whole files: 20 MB/s is slow even for an old disk.
pub fn reading_limit(bytes: u64) -> Duration {
    Duration::from_secs(120 + bytes / 20_000_000)
}

/// What the target can say of a file's whole content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContentHash {
    /// Lower-case hex.
    Sha256(String),
    /// XXH128 in its canonical form, lower-case hex.
    Xxh128(String),
}

/// Not every sha256sum knows the processor's own SHA instructions: that of Debian's coreutils 9.1 needs 1.8 s for a GiB
/// where openssl needs 0.5 s, and xxh128sum 0.03 s. All print the same lines, but only sha256sum escapes names.
const WHOLE: &str = r#"
if [ "$2" = plain ] && [ "$3" = any ] && command -v xxh128sum >/dev/null 2>&1; then
  xargs -0 -r -n "$1" xxh128sum -- 2>/dev/null
elif [ "$2" = plain ] && command -v openssl >/dev/null 2>&1; then
  xargs -0 -r -n "$1" openssl dgst -sha256 -r 2>/dev/null
else
  xargs -0 -r -n "$1" sha256sum -b -- 2>/dev/null
fi
exit 0
"#;

const SHA256_ONE: &str = r#"
xargs -0 -r -n "$1" sh -c '
for f; do
  if [ -d "$f" ]; then printf "EIs a directory\0"
  elif w=$({ sha256sum -b <"$f"; } 2>&1); then printf "O%s\0" "$w"
  elif [ ! -e "$f" ]; then printf "ENo such file or directory\0"
  else printf "E%s\0" "$w"; fi
done' sh
"#;

const PREFIX_SHA256: &str = r#"
xargs -0 -r -n "$1" sh -c '
while [ $# -ge 2 ]; do
  if [ ! -e "$1" ]; then printf "ENo such file or directory\0"
  elif s=$(stat -L -c %s -- "$1" 2>&1) && [ "$s" -ge "$2" ] 2>/dev/null &&
       w=$({ head -c "$2" <"$1" | sha256sum -b; } 2>&1); then printf "O%s\0" "$w"
  else printf "Eshorter than %s bytes, or unreadable: %s %s\0" "$2" "$s" "$w"; fi
  shift 2
done' sh
"#;

const HEADS: &str = r#"
n=$2
export n
xargs -0 -r -n "$1" sh -c '
a=$(stat -L -c %s -- "$@" 2>/dev/null | tr "\n" " ")
printf "%s\0" "$a"
head -q -c "$n" -- "$@" 2>/dev/null
b=$(stat -L -c %s -- "$@" 2>/dev/null | tr "\n" " ")
printf "\0%s\0" "$b"' sh
exit 0
"#;

const HEAD_ONE: &str = r#"
n=$2
export n
xargs -0 -r -n "$1" sh -c '
for f; do
  if [ -d "$f" ]; then printf "EIs a directory\0"
  elif [ ! -e "$f" ]; then printf "ENo such file or directory\0"
  elif w=$({ head -c "$n" <"$f" | od -An -v -tx1 | tr -d " \n"; } 2>&1) && [ -r "$f" ]; then printf "O%s\0" "$w"
  else printf "E%s\0" "$w"; fi
done' sh
"#;

impl Connection {
    /// SHA-256 (lower-case hex) of whole files, in the order given. A file that vanished is an error of its own.
    pub fn sha256(
        &self,
        files: &[PathBuf],
        limit: Duration,
    ) -> Result<Vec<Result<String, String>>, TransferError> {
        let whole = self.whole(files, limit, "sha256")?.into_iter();
        Ok(whole
            .map(|hash| match hash? {
                ContentHash::Sha256(hash) => Ok(hash),
                ContentHash::Xxh128(_) => Err("hashed in another way than asked".to_owned()),
            })
            .collect())
    }

    /// As [`Connection::sha256`], by whichever 128 bits or more are cheapest there: enough to tell that what arrived is
    /// what was sent.
    pub fn content(
        &self,
        files: &[PathBuf],
        limit: Duration,
    ) -> Result<Vec<Result<ContentHash, String>>, TransferError> {
        self.whole(files, limit, "any")
    }

    fn whole(
        &self,
        files: &[PathBuf],
        limit: Duration,
        how: &str,
    ) -> Result<Vec<Result<ContentHash, String>>, TransferError> {
        let paths: Vec<&Path> = files.iter().map(PathBuf::as_path).collect();
        paths.iter().try_for_each(|p| absolute(p))?;
        let names = if paths.iter().all(|p| is_plain(p)) { "plain" } else { "odd" };
        let script = Script::new(WHOLE, limit).arg(per_call(&paths, 1)).arg(names).arg(how);
        let out = self.run(&script.list(bytes_of(&paths)))?;
        let known: std::collections::HashMap<PathBuf, ContentHash> =
            out.split(|b| *b == b'\n').filter_map(parse_line).collect();
        let missing: Vec<&Path> = paths.iter().copied().filter(|p| !known.contains_key(*p)).collect();
        let mut second = if missing.is_empty() {
            Vec::new()
        } else {
            let script = Script::new(SHA256_ONE, limit).arg(per_call(&missing, 1)).list(bytes_of(&missing));
            answers(&self.run(&script)?, missing.len(), self.target().label())?
        }
        .into_iter();
        Ok(paths
            .iter()
            .map(|p| match known.get(*p) {
                Some(hash) => Ok(hash.clone()),
                None => {
                    let answer = second.next().unwrap_or_else(|| Err("no answer".to_owned()));
                    answer.and_then(|a| hex_of(&a)).map(ContentHash::Sha256)
                }
            })
            .collect())
    }

    /// SHA-256 of the first `n` bytes of each file; an error for one that is shorter.
    pub fn prefix_sha256(
        &self,
        files: &[(PathBuf, u64)],
        limit: Duration,
    ) -> Result<Vec<Result<String, String>>, TransferError> {
        let paths: Vec<&Path> = files.iter().map(|(p, _)| p.as_path()).collect();
        paths.iter().try_for_each(|p| absolute(p))?;
        let pairs =
            files.iter().flat_map(|(p, n)| [p.as_os_str().as_bytes().to_vec(), n.to_string().into_bytes()]);
        let script = Script::new(PREFIX_SHA256, limit).arg(per_call(&paths, 2)).list(pairs);
        let all = answers(&self.run(&script)?, files.len(), self.target().label())?;
        Ok(all.into_iter().map(|a| a.and_then(|a| hex_of(&a))).collect())
    }

    /// The first `n` bytes of each file (all of one that is shorter), in the order given.
    pub fn read_head(
        &self,
        files: &[PathBuf],
        n: u32,
    ) -> Result<Vec<Result<Vec<u8>, String>>, TransferError> {
        let paths: Vec<&Path> = files.iter().map(PathBuf::as_path).collect();
        paths.iter().try_for_each(|p| absolute(p))?;
        let limit = self.limits.script;
        let per = per_call(&paths, 1);
        let script = Script::new(HEADS, limit).arg(&per).arg(n.to_string()).list(bytes_of(&paths));
        let chunk = per.parse().unwrap_or(1);
        if let Some(heads) = split_heads(&self.run(&script)?, files.len(), chunk, u64::from(n)) {
            return Ok(heads.into_iter().map(Ok).collect());
        }
        // One of them is missing, unreadable or changing: ask for each on its own.
        let script = Script::new(HEAD_ONE, limit).arg(per).arg(n.to_string()).list(bytes_of(&paths));
        let all = answers(&self.run(&script)?, files.len(), self.target().label())?;
        Ok(all
            .into_iter()
            .map(|a| a.and_then(|a| from_hex(&a).ok_or_else(|| "not read".to_owned())))
            .collect())
    }
}

fn bytes_of<'a>(paths: &'a [&Path]) -> impl Iterator<Item = &'a [u8]> {
    paths.iter().map(|p| p.as_os_str().as_bytes())
}

/// Whether a line that ends with this name can be read back without escapes.
fn is_plain(path: &Path) -> bool {
    !path.as_os_str().as_bytes().iter().any(|b| matches!(b, b'\n' | b'\r' | b'\\'))
}

/// One line of sha256sum: a leading backslash says that the name is escaped.
fn parse_line(line: &[u8]) -> Option<(PathBuf, ContentHash)> {
    let (escaped, line) = match line.strip_prefix(b"\\") {
        Some(rest) => (true, rest),
        None => (false, line),
    };
    let (hash, name) = line.split_at_checked(line.iter().position(|b| *b == b' ')?)?;
    let text = std::str::from_utf8(hash).ok().filter(|h| is_hex(h))?.to_owned();
    let hash = match text.len() {
        64 => ContentHash::Sha256(text),
        32 => ContentHash::Xxh128(text),
        _ => return None,
    };
    let name = name.strip_prefix(b" *").or_else(|| name.strip_prefix(b"  "))?;
    if !escaped {
        return Some((path_of(name), hash));
    }
    let mut plain = Vec::with_capacity(name.len());
    let mut bytes = name.iter();
    while let Some(byte) = bytes.next() {
        plain.push(match byte {
            b'\\' => match bytes.next()? {
                b'n' => b'\n',
                b'r' => b'\r',
                other => *other,
            },
            other => *other,
        });
    }
    Some((path_of(&plain), hash))
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

fn hex_of(answer: &[u8]) -> Result<String, String> {
    let answer = answer.strip_prefix(b"\\").unwrap_or(answer);
    match answer.get(..64) {
        Some(hash) if std::str::from_utf8(hash).is_ok_and(is_hex) => {
            Ok(String::from_utf8_lossy(hash).into_owned())
        }
        _ => Err(format!("no hash: {}", String::from_utf8_lossy(answer))),
    }
}

fn from_hex(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
    text.chunks(2).map(|p| Some(digit(*p.first()?)? << 4 | digit(*p.get(1)?)?)).collect()
}

/// Takes the concatenated heads apart by the sizes that were the same before and after; `None` if anything is odd.
fn split_heads(mut out: &[u8], files: usize, chunk: usize, n: u64) -> Option<Vec<Vec<u8>>> {
    let mut heads = Vec::with_capacity(files);
    while heads.len() < files {
        let (before, rest) = until_nul(out)?;
        let sizes: Vec<u64> = std::str::from_utf8(before)
            .ok()?
            .split_whitespace()
            .map(|s| s.parse().ok())
            .collect::<Option<_>>()?;
        if sizes.len() != chunk.min(files - heads.len()) {
            return None;
        }
        out = rest;
        for size in sizes {
            let (head, rest) = out.split_at_checked(usize::try_from(size.min(n)).ok()?)?;
            heads.push(head.to_vec());
            out = rest;
        }
        let (after, rest) = until_nul(out.strip_prefix(b"\0")?)?;
        if before != after {
            return None;
        }
        out = rest;
    }
    out.is_empty().then_some(heads)
}

fn until_nul(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = bytes.iter().position(|b| *b == 0)?;
    Some((&bytes[..at], &bytes[at + 1..]))
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;

    fn sha(bytes: &[u8]) -> String {
        Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
    }

    const ODD: [&str; 7] = ["plain", "a b", "new\nline", "back\\slash\\n", "$(touch x)", "-n", "#'\"\r"];

    #[test]
    fn hashes_come_in_order_whatever_the_names() {
        let tmp = tempfile::tempdir().unwrap();
        let mut files: Vec<PathBuf> = ODD.iter().map(|n| tmp.path().join(n)).collect();
        for file in &files {
            std::fs::write(file, file.as_os_str().as_bytes()).unwrap();
        }
        files.insert(2, tmp.path().join("vanished"));
        files.insert(4, tmp.path().to_path_buf());
        let got = Connection::local().sha256(&files, Duration::from_secs(20)).unwrap();
        for (file, hash) in files.iter().zip(&got) {
            match hash {
                Ok(hash) => assert_eq!(*hash, sha(file.as_os_str().as_bytes()), "{}", file.display()),
                Err(_) => assert!(file.ends_with("vanished") || file == tmp.path()),
            }
        }
        assert_eq!(got[2], Err("No such file or directory".to_owned()));
        assert_eq!(got[4], Err("Is a directory".to_owned()));
    }

    #[test]
    fn a_name_with_a_newline_takes_no_other_files_hash() {
        let tmp = tempfile::tempdir().unwrap();
        let (long, short) = (tmp.path().join("a\nb"), tmp.path().join("a"));
        std::fs::write(&long, b"long").unwrap();
        std::fs::write(&short, b"short").unwrap();
        // openssl before 3.0 prints such a name as it is.
        assert!(!is_plain(&long) && !is_plain(Path::new("/a\\b")) && !is_plain(Path::new("/a\r")));
        for files in [[long.clone(), short.clone()], [short.clone(), long.clone()]] {
            let got = Connection::local().sha256(&files, Duration::from_secs(20)).unwrap();
            for (file, hash) in files.iter().zip(got) {
                assert_eq!(hash.unwrap(), sha(&std::fs::read(file).unwrap()), "{file:?}");
            }
        }
    }

    #[test]
    fn plain_names_are_hashed_and_what_cannot_be_read_has_its_reason() {
        let tmp = tempfile::tempdir().unwrap();
        let names = ["1_1.arc", "a b", "$(touch x)", "*", "vanished", "'\"", "empty"];
        let mut files: Vec<PathBuf> = names.iter().map(|n| tmp.path().join(n)).collect();
        for file in files.iter().filter(|f| !f.ends_with("vanished")) {
            let bytes = if file.ends_with("empty") { b"" } else { file.as_os_str().as_bytes() };
            std::fs::write(file, bytes).unwrap();
        }
        files.insert(3, tmp.path().to_path_buf());
        assert!(files.iter().all(|f| is_plain(f)));
        let got = Connection::local().sha256(&files, Duration::from_secs(20)).unwrap();
        for (file, hash) in files.iter().zip(&got) {
            match std::fs::read(file) {
                Ok(bytes) => assert_eq!(*hash, Ok(sha(&bytes)), "{}", file.display()),
                Err(_) => assert!(hash.is_err(), "{}", file.display()),
            }
        }
        assert_eq!(got[3], Err("Is a directory".to_owned()));
        assert_eq!(got[5], Err("No such file or directory".to_owned()));
    }

    #[test]
    fn a_content_is_told_by_either_hash_and_xxh128_is_that_of_the_library() {
        let tmp = tempfile::tempdir().unwrap();
        let (plain, odd) = (tmp.path().join("1_1.arc"), tmp.path().join("new\nline"));
        for file in [&plain, &odd] {
            std::fs::write(file, b"redo").unwrap();
        }
        let content = |file: &PathBuf| {
            let files = [file.clone(), tmp.path().join("vanished")];
            let mut got = Connection::local().content(&files, Duration::from_secs(20)).unwrap();
            assert_eq!(got.pop(), Some(Err("No such file or directory".to_owned())));
            got.pop().unwrap().unwrap()
        };
        // `printf redo | xxh128sum`
        assert_eq!(content(&plain), ContentHash::Xxh128("5d7f663fb6d1e40b566b7fa0aac18f9e".to_owned()));
        assert_eq!(content(&odd), ContentHash::Sha256(sha(b"redo")));
    }

    #[test]
    fn a_prefix_that_is_not_there_has_no_hash() {
        let tmp = tempfile::tempdir().unwrap();
        let file = tmp.path().join("a 'b");
        std::fs::write(&file, b"0123456789").unwrap();
        let ask = [
            (file.clone(), 4),
            (file.clone(), 11),
            (tmp.path().join("no"), 1),
            (file, 10),
            (tmp.path().join("a 'b"), 0),
        ];
        let got = Connection::local().prefix_sha256(&ask, Duration::from_secs(20)).unwrap();
        assert_eq!((got[0].clone().unwrap(), got[3].clone().unwrap()), (sha(b"0123"), sha(b"0123456789")));
        assert!(got[1].is_err() && got[2].is_err());
        assert_eq!(got[4].clone().unwrap(), sha(b""));
    }

    #[test]
    fn heads_are_read_in_bulk_and_one_by_one() {
        let tmp = tempfile::tempdir().unwrap();
        let mut files: Vec<PathBuf> = ODD.iter().map(|n| tmp.path().join(n)).collect();
        for (i, file) in files.iter().enumerate() {
            std::fs::write(file, [0_u8, 10, 255, 3, 4].repeat(i)).unwrap();
        }
        let check = |files: &[PathBuf], got: Vec<Result<Vec<u8>, String>>| {
            for (file, head) in files.iter().zip(got) {
                match std::fs::read(file) {
                    Ok(bytes) => assert_eq!(head.unwrap(), bytes[..bytes.len().min(12)]),
                    Err(_) => assert_eq!(head.unwrap_err(), "No such file or directory"),
                }
            }
        };
        let conn = Connection::local();
        check(&files, conn.read_head(&files, 12).unwrap());
        files.push(tmp.path().join("gone"));
        check(&files, conn.read_head(&files, 12).unwrap());
    }

    #[test]
    fn sizes_that_changed_meanwhile_are_not_trusted() {
        assert!(split_heads(b"2 3 \0aabbb\x002 3 \0", 2, 9, 4).is_some());
        assert!(split_heads(b"2 3 \0aabbb\x002 4 \0", 2, 9, 4).is_none());
        assert!(split_heads(b"2 3 \0aabb\x002 3 \0", 2, 9, 4).is_none());
        assert!(split_heads(b"2 \0aa\x002 \0", 2, 9, 4).is_none());
    }
}
