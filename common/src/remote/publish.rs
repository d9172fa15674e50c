//! A verified temporary file gets its final name: synced before, never over a file that nobody looked at.

use std::collections::{BTreeMap, HashMap};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::classify::{Class, TransferError};
use super::connection::Connection;
use super::files::{absolute, answers, is_own, per_call};
use super::inventory::nanoseconds;
use super::script::Script;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PublishMode {
    /// A final name that is taken is [`Published::Exists`] and stays as it is.
    NoClobber,
    /// The old file is replaced by rename: a reader sees the old one or the new one.
    Replace,
}

/// Size, time and identity of a file on the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    pub bytes: u64,
    /// Nanoseconds since 1970.
    pub mtime_ns: i64,
    pub inode: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Published {
    /// Data and name are durable; this is what the final name led to afterwards.
    Done(Stat),
    /// The final name was taken. The temporary file is still there.
    Exists,
    Failed(String),
}

// ln is the only no-clobber rename that coreutils 8.22 has. Old sync ignores its arguments and syncs everything, which
// is slower and as good.
const PUBLISH: &str = r#"
mode=$2
export mode
xargs -0 -r -n "$1" sh -c '
every_second() {
  n=$# m=0
  for a; do
    m=$((m+1))
    if [ $((m%2)) = 1 ]; then set -- "$@" "$a"; fi
  done
  shift "$n"
  sync -- "$@" 2>/dev/null
}
every_dir() {
  n=$#
  for a; do
    set -- "$@" "${a%/*}/"
  done
  shift "$n"
  sync -- "$@" 2>/dev/null
}
take() {
  if [ -L "$1" ] || [ ! -f "$1" ]; then
    if [ -e "$1" ] || [ -L "$1" ]; then echo "$1: not a regular file"; else echo "$1: No such file or directory"; fi
    return 1
  fi
  if [ "$data" = no ]; then sync -- "$1" 2>/dev/null || { echo "$1: cannot be synced"; return 1; }; fi
  if [ "$mode" = replace ]; then
    if [ -d "$2" ]; then echo "$2: Is a directory"; return 1; fi
    mv -f -T -- "$1" "$2" 2>&1
    return
  fi
  if [ -e "$2" ] || [ -L "$2" ]; then return 9; fi
  w=$(ln -T -- "$1" "$2" 2>&1) && { rm -f -- "$1" 2>&1; return; }
  if [ -e "$2" ] || [ -L "$2" ]; then return 9; fi
  case $w in *"not permitted"*|*"not supported"*|*"oo many links"*|*"not implemented"*) ;;
    *) echo "$w"; return 1 ;; esac
  i=$(stat -c %d:%i -- "$1") || return 1
  mv -n -T -- "$1" "$2" 2>&1 || return 1
  [ "$(stat -c %d:%i -- "$2" 2>/dev/null)" = "$i" ] && [ ! -e "$1" ] || return 9
}
data=yes
every_second "$@" || data=no
k=0
for a; do
  k=$((k+1))
  if [ $((k%2)) = 1 ]; then t=$a; continue; fi
  w=$(take "$t" "$a")
  eval "s$k=$? w$k=\$w"
done
names=yes
every_dir "$@" || names=no
k=0
for a; do
  k=$((k+1))
  if [ $((k%2)) = 1 ]; then t=$a; continue; fi
  eval "s=\$s$k w=\$w$k"
  if [ "$s$names" = 0no ]; then
    sync -- "${a%/*}/" "${t%/*}/" 2>/dev/null || { s=1; w="${a%/*}: cannot be synced"; }
  fi
  case $s in
    0) if w=$(stat -c "%s %.9Y %i" -- "$a" 2>&1); then printf "OD%s\0" "$w"; else printf "E%s\0" "$w"; fi ;;
    9) printf "OX\0" ;;
    *) printf "E%s\0" "$w" ;;
  esac
done' sh
"#;

// The same for many files that keep their names: a few processes for all of them. What it does not report as done is
// left to PUBLISH, which knows why. -ef: the final name leads to this very temporary file.
const PUBLISH_ALIKE: &str = r#"
dir=$2 mode=$3
export dir mode
xargs -0 -r -n "$1" sh -c '
n=$#
for t; do
  if [ -f "$t" ] && [ ! -L "$t" ]; then set -- "$@" "$t"; fi
done
shift "$n"
[ $# -gt 0 ] || exit 0
sync -- "$@" 2>/dev/null || exit 0
stat --printf "T%d:%i\\t%n\\0" -- "$@" 2>/dev/null
if [ "$mode" = replace ]; then
  mv -f -t "$dir" -- "$@" 2>/dev/null
else
  ln -t "$dir" -- "$@" 2>/dev/null
fi
same() {
  n=$#
  for t; do
    if [ "$t" -ef "$dir/${t##*/}" ]; then set -- "$@" "$t"; fi
  done
  shift "$n"
  [ $# -eq 0 ] || rm -f -- "$@"
}
same "$@"
d=${1%/*}/
n=$#
for t; do
  set -- "$@" "$dir/${t##*/}"
done
shift "$n"
sync -- "$dir/" "$d" 2>/dev/null || exit 0
stat --printf "F%d:%i\\t%n\\t%s %.9Y %i\\0" -- "$@" 2>/dev/null' sh
exit 0
"#;

const STAT: &str = r#"
xargs -0 -r -n "$1" sh -c '
for f; do
  if w=$(stat -L -c "%s %.9Y %i" -- "$f" 2>&1); then printf "O%s\0" "$w"
  else case $w in *"o such file or directory"*|*"ot a directory"*) printf "OM\0" ;; *) printf "E%s\0" "$w" ;; esac; fi
done' sh
"#;

impl Connection {
    /// Gives each `(temporary, final)` pair its final name; the result has the order of the pairs.
    ///
    /// Both must be in one file system; the temporary one carries our prefix. The caller has verified the content of
    /// exactly this temporary file, and compares the returned inode when an orphan could have touched the name.
    /// Where the file system has no hard links, `NoClobber` is `mv -n` with a check afterwards.
    pub fn publish(
        &self,
        pairs: &[(PathBuf, PathBuf)],
        mode: PublishMode,
        limit: Duration,
    ) -> Result<Vec<Published>, TransferError> {
        let mut paths: Vec<&Path> = Vec::new();
        for (tmp, last) in pairs {
            absolute(last)?;
            if !is_own(tmp) {
                return Err(TransferError::new(
                    Class::Final,
                    format!("{} is not a name of ours", tmp.display()),
                ));
            }
            paths.extend([tmp.as_path(), last.as_path()]);
        }
        let word = match mode {
            PublishMode::NoClobber => "new",
            PublishMode::Replace => "replace",
        };
        let mut results: Vec<Option<Published>> = vec![None; pairs.len()];
        for ((dir, _), group) in alike(pairs) {
            for (n, stat) in self.publish_alike(pairs, dir, &group, word, limit)? {
                results[n] = Some(Published::Done(stat));
            }
        }
        let left: Vec<usize> = (0..pairs.len()).filter(|n| results[*n].is_none()).collect();
        if !left.is_empty() {
            let paths: Vec<&Path> =
                left.iter().flat_map(|n| [pairs[*n].0.as_path(), pairs[*n].1.as_path()]).collect();
            let script = Script::new(PUBLISH, limit)
                .arg(per_call(&paths, 2))
                .arg(word)
                .list(paths.iter().map(|p| p.as_os_str().as_bytes()));
            let all = answers(&self.run(&script)?, left.len(), self.target().label())?;
            for (n, answer) in left.into_iter().zip(all) {
                results[n] = Some(answer.map_or_else(Published::Failed, |a| outcome(&a)));
            }
        }
        Ok(results
            .into_iter()
            .map(|r| r.unwrap_or_else(|| Published::Failed("no answer".to_owned())))
            .collect())
    }

    fn publish_alike(
        &self,
        pairs: &[(PathBuf, PathBuf)],
        dir: &Path,
        group: &[usize],
        mode: &str,
        limit: Duration,
    ) -> Result<Vec<(usize, Stat)>, TransferError> {
        let tmp: Vec<&Path> = group.iter().map(|n| pairs[*n].0.as_path()).collect();
        let script = Script::new(PUBLISH_ALIKE, limit)
            .arg(per_call(&tmp, 1))
            .arg(dir.as_os_str().as_bytes())
            .arg(mode)
            .list(tmp.iter().map(|p| p.as_os_str().as_bytes()));
        let out = self.run(&script)?;
        let mut before: HashMap<&[u8], &[u8]> = HashMap::new();
        let mut after: HashMap<&[u8], (&[u8], Stat)> = HashMap::new();
        for record in out.split(|b| *b == 0) {
            let Some((kind, rest)) = record.split_first() else { continue };
            let Some((identity, rest)) = split_at_byte(rest, b'\t') else { continue };
            match kind {
                b'T' => {
                    before.insert(rest, identity);
                }
                b'F' => {
                    let Some(tab) = rest.iter().rposition(|b| *b == b'\t') else { continue };
                    if let Some(stat) = parse_stat(&rest[tab + 1..]) {
                        after.insert(&rest[..tab], (identity, stat));
                    }
                }
                _ => {}
            }
        }
        Ok(group
            .iter()
            .filter_map(|n| {
                let (tmp, last) = &pairs[*n];
                let last = [dir.as_os_str().as_bytes(), b"/", last.file_name()?.as_bytes()].concat();
                let (identity, stat) = after.get(last.as_slice())?;
                (before.get(tmp.as_os_str().as_bytes()) == Some(identity)).then_some((*n, *stat))
            })
            .collect())
    }

    /// Size, time and inode of each file (links followed); `None` when there is none.
    pub fn stat(&self, files: &[PathBuf]) -> Result<Vec<Result<Option<Stat>, String>>, TransferError> {
        let paths: Vec<&Path> = files.iter().map(PathBuf::as_path).collect();
        paths.iter().try_for_each(|p| absolute(p))?;
        let script = Script::new(STAT, self.limits.script)
            .arg(per_call(&paths, 1))
            .list(paths.iter().map(|p| p.as_os_str().as_bytes()));
        let all = answers(&self.run(&script)?, files.len(), self.target().label())?;
        Ok(all
            .into_iter()
            .map(|a| match a?.as_slice() {
                b"M" => Ok(None),
                text => parse_stat(text).map(Some).ok_or_else(|| "stat not understood".to_owned()),
            })
            .collect())
    }
}

/// Pairs that keep their base name, by their two directories.
fn alike(pairs: &[(PathBuf, PathBuf)]) -> BTreeMap<(&Path, &Path), Vec<usize>> {
    let mut groups: BTreeMap<(&Path, &Path), Vec<usize>> = BTreeMap::new();
    for (n, (tmp, last)) in pairs.iter().enumerate() {
        if let (true, Some(to), Some(from)) =
            (tmp.file_name() == last.file_name(), last.parent(), tmp.parent())
        {
            groups.entry((to, from)).or_default().push(n);
        }
    }
    groups.retain(|_, group| group.len() > 1);
    groups
}

fn split_at_byte(bytes: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let n = bytes.iter().position(|b| *b == at)?;
    Some((&bytes[..n], &bytes[n + 1..]))
}

fn outcome(answer: &[u8]) -> Published {
    match answer.split_first() {
        Some((b'X', _)) => Published::Exists,
        Some((b'D', rest)) => parse_stat(rest)
            .map_or_else(|| Published::Failed("stat not understood".to_owned()), Published::Done),
        _ => Published::Failed("answer not understood".to_owned()),
    }
}

fn parse_stat(text: &[u8]) -> Option<Stat> {
    let mut words = std::str::from_utf8(text).ok()?.split_whitespace();
    let bytes = words.next()?.parse().ok()?;
    let mtime_ns = nanoseconds(words.next()?)?;
    Some(Stat { bytes, mtime_ns, inode: words.next()?.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    struct Dir(tempfile::TempDir);

    impl Dir {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            std::fs::create_dir(dir.path().join(".orapipe-r")).unwrap();
            Self(dir)
        }
        fn own(&self, name: &str, bytes: &[u8]) -> PathBuf {
            let path = self.0.path().join(".orapipe-r").join(name);
            std::fs::write(&path, bytes).unwrap();
            path
        }
        fn at(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }
    }

    #[test]
    fn a_name_that_is_taken_is_never_overwritten() {
        let dir = Dir::new();
        let conn = Connection::local();
        std::fs::write(dir.at("taken"), b"good").unwrap();
        std::os::unix::fs::symlink("nowhere", dir.at("link")).unwrap();
        std::fs::create_dir(dir.at("dir")).unwrap();
        let pairs = [
            (dir.own("a", b"new a"), dir.at("taken")),
            (dir.own("b\n '", b"new b"), dir.at("-free\n name")),
            (dir.own("c", b"c"), dir.at("link")),
            (dir.own("d", b"d"), dir.at("dir")),
            (dir.at(".orapipe-r/missing"), dir.at("m")),
            (dir.own("e", b"e"), dir.at("no/dir")),
        ];
        let inode = std::fs::metadata(&pairs[1].0).unwrap().ino();
        let got = conn.publish(&pairs, PublishMode::NoClobber, LIMIT).unwrap();
        assert_eq!(got[0], Published::Exists);
        assert!(matches!(got[1], Published::Done(stat) if stat.bytes == 5 && stat.inode == inode), "{got:?}");
        assert_eq!((&got[2], &got[3]), (&Published::Exists, &Published::Exists));
        assert!(matches!(&got[4], Published::Failed(why) if why.contains("No such file")), "{got:?}");
        assert!(matches!(got[5], Published::Failed(_)));
        assert_eq!(std::fs::read(dir.at("taken")).unwrap(), b"good");
        assert_eq!(std::fs::read(dir.at("-free\n name")).unwrap(), b"new b");
        assert!(pairs[0].0.exists() && !pairs[1].0.exists());
    }

    #[test]
    fn replacing_is_a_rename() {
        let dir = Dir::new();
        let conn = Connection::local();
        std::fs::write(dir.at("users01.dbf"), b"old").unwrap();
        std::fs::create_dir(dir.at("dir")).unwrap();
        let pairs = [(dir.own("u", b"newer"), dir.at("users01.dbf")), (dir.own("d", b"x"), dir.at("dir"))];
        let got = conn.publish(&pairs, PublishMode::Replace, LIMIT).unwrap();
        assert!(matches!(got[0], Published::Done(stat) if stat.bytes == 5));
        assert!(matches!(&got[1], Published::Failed(why) if why.contains("directory")), "{got:?}");
        assert_eq!(std::fs::read(dir.at("users01.dbf")).unwrap(), b"newer");
        assert_eq!(std::fs::read_dir(dir.at("dir")).unwrap().count(), 0);
    }

    #[test]
    fn many_files_that_keep_their_names_obey_the_same_rules() {
        for mode in [PublishMode::NoClobber, PublishMode::Replace] {
            let dir = Dir::new();
            let names = ["a b", "-n", "new\nline\t", "$(touch x)", "taken", "link", "dir", "twin", "missing"];
            std::fs::write(dir.at("taken"), b"good").unwrap();
            std::os::unix::fs::symlink("nowhere", dir.at("link")).unwrap();
            std::fs::create_dir(dir.at("dir")).unwrap();
            let pairs = names.map(|n| (dir.own(n, n.as_bytes()), dir.at(n)));
            // A run that died between ln and rm.
            std::fs::hard_link(&pairs[7].0, &pairs[7].1).unwrap();
            std::fs::remove_file(&pairs[8].0).unwrap();
            let inodes: Vec<_> =
                pairs.iter().map(|p| std::fs::metadata(&p.0).map(|m| m.ino()).ok()).collect();
            let got = Connection::local().publish(&pairs, mode, LIMIT).unwrap();
            let replaced = mode == PublishMode::Replace;
            for (n, published) in got.iter().enumerate() {
                let done = matches!(published, Published::Done(s) if Some(s.inode) == inodes[n]);
                match names[n] {
                    "taken" | "link" if !replaced => {
                        assert_eq!(*published, Published::Exists, "{}", names[n])
                    }
                    "dir" if !replaced => assert_eq!(*published, Published::Exists),
                    "dir" | "missing" => assert!(matches!(published, Published::Failed(_)), "{published:?}"),
                    name => assert!(done && !pairs[n].0.exists(), "{name} {published:?}"),
                }
            }
            assert_eq!(
                std::fs::read(dir.at("taken")).unwrap(),
                if replaced { b"taken".as_slice() } else { b"good" }
            );
            assert_eq!(std::fs::read_dir(dir.at("dir")).unwrap().count(), 0);
            assert_eq!(std::fs::read(dir.at("new\nline\t")).unwrap(), b"new\nline\t");
        }
    }

    #[test]
    fn only_a_temporary_name_of_ours_is_published() {
        let dir = Dir::new();
        std::fs::write(dir.at("x"), b"x").unwrap();
        let pairs = [(dir.at("x"), dir.at("y"))];
        assert!(Connection::local().publish(&pairs, PublishMode::Replace, LIMIT).is_err());
    }

    #[test]
    fn stat_tells_missing_from_unreadable() {
        let dir = Dir::new();
        let got =
            Connection::local().stat(&[dir.own("a", b"12"), dir.at("no"), dir.at(".orapipe-r/a/b")]).unwrap();
        assert_eq!(got[0].clone().unwrap().unwrap().bytes, 2);
        assert_eq!((got[1].clone(), got[2].clone()), (Ok(None), Ok(None)));
    }
}
