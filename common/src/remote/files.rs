//! Directories, space and small files on the target.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use super::classify::{Class, TransferError};
use super::connection::Connection;
use super::nonce;
use super::script::Script;

/// Temporary names of ours begin with this, as a file or as one of the directories above it. Nothing else is ever
/// removed.
pub const OWN_PREFIX: &str = ".orapipe-";

/// Whether a path is below, or is, a name that only we give.
pub fn is_own(path: &Path) -> bool {
    let mut own = false;
    for part in path.components() {
        match part {
            Component::Normal(name) => {
                let name = name.as_bytes();
                own |= name.len() > OWN_PREFIX.len() && name.starts_with(OWN_PREFIX.as_bytes());
            }
            Component::RootDir => {}
            Component::ParentDir | Component::CurDir | Component::Prefix(_) => return false,
        }
    }
    own && path.is_absolute()
}

/// Space that an ordinary user can still fill.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FreeSpace {
    /// The directory that was asked: the nearest one that exists.
    pub at: PathBuf,
    pub bytes: u64,
    pub total_bytes: u64,
    /// `None` where the file system does not count them.
    pub inodes: Option<u64>,
}

pub(super) fn absolute(path: &Path) -> Result<(), TransferError> {
    if path.is_absolute() && !path.as_os_str().as_bytes().contains(&0) {
        Ok(())
    } else {
        Err(TransferError::new(Class::Final, format!("{:?} is not an absolute path", path.display())))
    }
}

/// How many of such arguments fit into one command line everywhere (xargs cuts at 128 KiB).
pub(super) fn per_call(paths: &[&Path], multiple: usize) -> String {
    let longest = paths.iter().map(|p| p.as_os_str().len() + 1).max().unwrap_or(1);
    let fit = (100_000 / longest).clamp(multiple, 1000);
    (fit - fit % multiple).to_string()
}

pub(super) fn path_of(bytes: &[u8]) -> PathBuf {
    PathBuf::from(OsString::from_vec(bytes.to_vec()))
}

/// The answers of a loop over files: `O…` or `E…`, one for each.
pub(super) fn answers(
    stdout: &[u8],
    want: usize,
    host: &str,
) -> Result<Vec<Result<Vec<u8>, String>>, TransferError> {
    let mut all: Vec<_> = stdout.split(|b| *b == 0).collect();
    all.pop();
    if all.len() != want {
        let what = format!("{host} answered for {} of {want} files", all.len());
        return Err(TransferError::new(Class::Retry, what));
    }
    Ok(all
        .into_iter()
        .map(|a| match a.split_first() {
            Some((b'O', rest)) => Ok(rest.to_vec()),
            Some((_, rest)) => Err(String::from_utf8_lossy(rest).trim().replace('\n', " | ")),
            None => Err("empty answer".to_owned()),
        })
        .collect())
}

/// 255 stops xargs, which ends with 124 then; nobody shall take that for a time limit.
const MAKE_DIRS: &str = r#"
xargs -0 -r -n "$1" sh -c '
for d; do
  [ -d "$d" ] && continue
  mkdir -p -- "$d" || exit 255
  sync -- "$d" "${d%/*}/" 2>/dev/null
done' sh || exit 1
"#;

const FREE: &str = r#"
d=$1
while [ ! -d "$d" ] && [ "$d" != / ]; do
  u=${d%/*}
  d=${u:-/}
done
printf '%s\0' "$d"
exec stat -f -c '%a %S %b %c %d' -- "$d"
"#;

const REMOVE: &str = r#"
xargs -0 -r -n "$1" sh -c '
for f; do
  case $f in
    */../*|*/..) printf "Enot a name of ours\0" ;;
    /*/.orapipe-?*) if w=$(rm -f -- "$f" 2>&1); then printf "O\0"; else printf "E%s\0" "$w"; fi ;;
    *) printf "Enot a name of ours\0" ;;
  esac
done' sh
"#;

const REMOVE_TREE: &str = r#"
d=${1%/}
case $d in */../*|*/..) echo "not a name of ours: $d" >&2; exit 3 ;; esac
case ${d##*/} in .orapipe-?*) ;; *) echo "not a name of ours: $d" >&2; exit 3 ;; esac
case $d in /*/*) ;; *) echo "not a name of ours: $d" >&2; exit 3 ;; esac
[ -L "$d" ] && { echo "a symbolic link: $d" >&2; exit 3; }
[ -d "$d" ] || exit 0
# An orphaned receiver would go on filling a file that no longer has a name.
for p in /proc/[0-9]*; do
  c=$(readlink "$p/cwd" 2>/dev/null) || continue
  case $c/ in "$d"/*) ;; *) continue ;; esac
  read -r n <"$p/comm" 2>/dev/null && [ "$n" = rsync ] && kill -9 "${p#/proc/}" 2>/dev/null
done
exec rm -rf -- "$d"
"#;

const COPY: &str = r#"
src=$1 tmp=$2 n=$3
case $tmp in */../*) exit 3 ;; /*/.orapipe-?*) ;; *) echo "not a name of ours: $tmp" >&2; exit 3 ;; esac
if [ -e "$tmp" ]; then echo "$tmp: exists" >&2; exit 3; fi
if [ -n "$n" ]; then head -c "$n" <"$src" >"$tmp"; else cp -- "$src" "$tmp"; fi || {
  s=$?; rm -f -- "$tmp"; exit $s
}
exec stat -c %s -- "$tmp"
"#;

const PUT: &str = r#"
path=$1 tmp=$2 bytes=$3 mode=$4
trap 'rm -f -- "$tmp"' EXIT
set -e
cat >"$tmp"
[ "$(wc -c <"$tmp")" -eq "$bytes" ] || { echo "$tmp: short write" >&2; exit 3; }
chmod "$mode" -- "$tmp"
sync -- "$tmp" 2>/dev/null || { echo "$tmp: cannot be synced" >&2; exit 3; }
mv -f -T -- "$tmp" "$path"
sync -- "${path%/*}/" 2>/dev/null
"#;

const GET: &str = r#"
path=$1 max=$2
if [ ! -e "$path" ] && [ ! -L "$path" ] && [ -d "${path%/*}/" ] && [ -x "${path%/*}/" ]; then printf M; exit 0; fi
exec 3<"$path" || exit 1
printf O
exec head -c "$max" <&3
"#;

impl Connection {
    /// Makes directories with all above them; those that exist are fine. The names are durable afterwards.
    pub fn make_dirs(&self, dirs: &[PathBuf]) -> Result<(), TransferError> {
        let paths: Vec<&Path> = dirs.iter().map(PathBuf::as_path).collect();
        paths.iter().try_for_each(|p| absolute(p))?;
        let script = Script::new(MAKE_DIRS, self.limits.script)
            .arg(per_call(&paths, 1))
            .list(paths.iter().map(|p| p.as_os_str().as_bytes()));
        self.run(&script).map(|_| ())
    }

    /// Free space where `dir` is, or will be.
    pub fn free_space(&self, dir: &Path) -> Result<FreeSpace, TransferError> {
        absolute(dir)?;
        let out = self.run(&Script::new(FREE, self.limits.script).arg(dir.as_os_str().as_bytes()))?;
        parse_space(&out).ok_or_else(|| {
            let text = String::from_utf8_lossy(&out).into_owned();
            TransferError::new(
                Class::Final,
                format!("free space of {}: {text:?} not understood", dir.display()),
            )
        })
    }

    /// Removes files that carry our own prefix (see [`is_own`]); others get an error of their own. One that does not
    /// exist is fine.
    pub fn remove(&self, files: &[PathBuf]) -> Result<Vec<Result<(), String>>, TransferError> {
        let own: Vec<&Path> = files.iter().map(PathBuf::as_path).filter(|f| is_own(f)).collect();
        let script = Script::new(REMOVE, self.limits.script)
            .arg(per_call(&own, 1))
            .list(own.iter().map(|p| p.as_os_str().as_bytes()));
        let out = self.run(&script)?;
        let mut given = answers(&out, own.len(), self.target().label())?.into_iter();
        Ok(files
            .iter()
            .map(|f| match is_own(f) {
                true => given.next().unwrap_or_else(|| Err("no answer".to_owned())).map(|_| ()),
                false => Err(format!("{} is not a name of ours", f.display())),
            })
            .collect())
    }

    /// Removes a directory whose own name begins with [`OWN_PREFIX`], with everything in it, and ends an rsync that an
    /// earlier, dead connection left working there.
    pub fn remove_tree(&self, dir: &Path) -> Result<(), TransferError> {
        let own = dir.file_name().is_some_and(|n| n.as_bytes().starts_with(OWN_PREFIX.as_bytes()));
        if !own || !is_own(dir) {
            return Err(TransferError::new(Class::Final, format!("{} is not a name of ours", dir.display())));
        }
        self.run(&Script::new(REMOVE_TREE, self.limits.script).arg(dir.as_os_str().as_bytes())).map(|_| ())
    }

    /// Copies `src` (or its first `bytes`) on the target into the new own name `tmp` and returns the copy's size.
    ///
    /// A copy and never a rename: somebody who still has the old file open for writing cannot reach the new one.
    pub fn copy_prefix(
        &self,
        src: &Path,
        tmp: &Path,
        bytes: Option<u64>,
        limit: Duration,
    ) -> Result<u64, TransferError> {
        absolute(src)?;
        if !is_own(tmp) {
            return Err(TransferError::new(Class::Final, format!("{} is not a name of ours", tmp.display())));
        }
        let script = Script::new(COPY, limit)
            .arg(src.as_os_str().as_bytes())
            .arg(tmp.as_os_str().as_bytes())
            .arg(bytes.map(|b| b.to_string()).unwrap_or_default());
        let out = self.run(&script)?;
        String::from_utf8_lossy(&out)
            .trim()
            .parse()
            .map_err(|_| TransferError::new(Class::Final, format!("copy {}: no size", src.display())))
    }

    /// Writes a small file: whole under its name, or not at all. `mode` is octal, 0o640 for example.
    pub fn put(&self, bytes: &[u8], path: &Path, mode: u32) -> Result<(), TransferError> {
        absolute(path)?;
        let name = format!("{OWN_PREFIX}put-{}", nonce());
        let Some(tmp) = path.parent().map(|dir| dir.join(name)) else {
            return Err(TransferError::new(Class::Final, format!("{} is no file name", path.display())));
        };
        let script = Script::new(PUT, self.limits.script)
            .arg(path.as_os_str().as_bytes())
            .arg(tmp.as_os_str().as_bytes())
            .arg(bytes.len().to_string())
            .arg(format!("{mode:o}"))
            .stdin(bytes.to_vec());
        self.run(&script).map(|_| ())
    }

    /// Reads a small file; `None` when it does not exist.
    ///
    /// # Errors
    /// It has more than `max` bytes, or cannot be read.
    pub fn get(&self, path: &Path, max: u64) -> Result<Option<Vec<u8>>, TransferError> {
        absolute(path)?;
        let script = Script::new(GET, self.limits.script)
            .arg(path.as_os_str().as_bytes())
            .arg((max.saturating_add(1)).to_string());
        let out = self.run(&script)?;
        match out.split_first() {
            Some((b'M', _)) => Ok(None),
            Some((b'O', rest)) if rest.len() as u64 <= max => Ok(Some(rest.to_vec())),
            _ => {
                Err(TransferError::new(Class::Final, format!("{} has more than {max} bytes", path.display())))
            }
        }
    }
}

fn parse_space(out: &[u8]) -> Option<FreeSpace> {
    let at = out.iter().position(|b| *b == 0)?;
    let text = std::str::from_utf8(&out[at + 1..]).ok()?;
    let numbers: Vec<u64> = text.split_whitespace().map(|w| w.parse().ok()).collect::<Option<_>>()?;
    let [free, block, total, inodes, free_inodes] = numbers[..] else { return None };
    Some(FreeSpace {
        at: path_of(&out[..at]),
        bytes: free.saturating_mul(block),
        total_bytes: total.saturating_mul(block),
        inodes: (inodes > 0).then_some(free_inodes),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_ours_are_removed() {
        let tmp = tempfile::tempdir().unwrap();
        let path = |n: &str| tmp.path().join(n);
        let conn = Connection::local();
        std::fs::create_dir_all(path(".orapipe-run1/a b")).unwrap();
        std::fs::write(path(".orapipe-run1/a b/x\ny"), b"1").unwrap();
        std::fs::write(path("system01.dbf"), b"1").unwrap();
        let files =
            [path(".orapipe-run1/a b/x\ny"), path("system01.dbf"), path(".orapipe-run1/../system01.dbf")];
        let results = conn.remove(&files).unwrap();
        assert!(results[0].is_ok() && results[1].is_err() && results[2].is_err(), "{results:?}");
        assert!(path("system01.dbf").exists() && !files[0].exists());
        for bad in [
            tmp.path().to_path_buf(),
            path(".orapipe-run1/.."),
            path(".orapipe-run1/a b"),
            PathBuf::from("/"),
        ] {
            assert_eq!(conn.remove_tree(&bad).unwrap_err().class, Class::Final, "{}", bad.display());
        }
        conn.remove_tree(&path(".orapipe-run1")).unwrap();
        assert!(!path(".orapipe-run1").exists() && path("system01.dbf").exists());
    }

    #[test]
    fn the_shell_guards_what_the_code_forgot() {
        let tmp = tempfile::tempdir().unwrap();
        let conn = Connection::local();
        let victim = tmp.path().join("data");
        std::fs::create_dir(&victim).unwrap();
        std::os::unix::fs::symlink(&victim, tmp.path().join(".orapipe-link")).unwrap();
        for arg in [
            victim.clone(),
            tmp.path().join(".orapipe-link"),
            PathBuf::from("/.orapipe-x"),
            PathBuf::from(""),
        ] {
            let script = Script::new(REMOVE_TREE, Duration::from_secs(9)).arg(arg.as_os_str().as_bytes());
            assert!(conn.run(&script).is_err(), "{}", arg.display());
        }
        let script =
            Script::new(REMOVE, Duration::from_secs(9)).arg("9").list([victim.as_os_str().as_bytes()]);
        assert!(conn.run(&script).unwrap().starts_with(b"E"));
        assert!(victim.exists());
    }

    #[test]
    fn a_small_file_is_put_and_got() {
        let tmp = tempfile::tempdir().unwrap();
        let conn = Connection::local();
        let path = tmp.path().join("-re 'cover'\n.sql");
        assert_eq!(conn.get(&path, 10).unwrap(), None);
        conn.put(b"a\0b\xff\n", &path, 0o640).unwrap();
        conn.put(b"A\0b\xff\n", &path, 0o600).unwrap();
        assert_eq!(conn.get(&path, 5).unwrap().unwrap(), b"A\0b\xff\n");
        assert!(conn.get(&path, 4).is_err());
        assert_eq!(std::fs::read_dir(tmp.path()).unwrap().count(), 1);
        let error = conn.put(b"x", &tmp.path().join("no/such"), 0o600).unwrap_err();
        assert!(error.what.contains("No such file") || error.what.contains("nonexistent"), "{error}");
    }

    #[test]
    fn space_is_that_of_the_nearest_directory() {
        let tmp = tempfile::tempdir().unwrap();
        let space = Connection::local().free_space(&tmp.path().join("not/yet there")).unwrap();
        assert_eq!(space.at, tmp.path());
        assert!(space.bytes > 0 && space.total_bytes >= space.bytes);
    }

    #[test]
    fn a_half_file_is_adopted_by_copy() {
        let tmp = tempfile::tempdir().unwrap();
        let conn = Connection::local();
        let src = tmp.path().join("1_7.arc");
        std::fs::write(&src, b"0123456789").unwrap();
        let own = tmp.path().join(".orapipe-7");
        let limit = Duration::from_secs(9);
        assert_eq!(conn.copy_prefix(&src, &own, Some(4), limit).unwrap(), 4);
        assert_eq!(std::fs::read(&own).unwrap(), b"0123");
        assert!(conn.copy_prefix(&src, &own, None, limit).is_err());
        assert!(conn.copy_prefix(&src, &tmp.path().join("x"), None, limit).is_err());
        assert_eq!(conn.copy_prefix(&src, &tmp.path().join(".orapipe-8"), None, limit).unwrap(), 10);
    }

    #[test]
    fn directories_are_made_and_one_that_cannot_be_is_named() {
        let tmp = tempfile::tempdir().unwrap();
        let conn = Connection::local();
        let dirs = [tmp.path().join("a b/c"), tmp.path().join("-d"), tmp.path().to_path_buf()];
        conn.make_dirs(&dirs).unwrap();
        assert!(dirs.iter().all(|d| d.is_dir()));
        std::fs::write(tmp.path().join("file"), b"").unwrap();
        let error = conn.make_dirs(&[tmp.path().join("file/x")]).unwrap_err();
        assert!(
            error.what.contains("exited 1: mkdir: ") && error.what.ends_with("Not a directory"),
            "{error}"
        );
        assert!(error.hint.is_some_and(|h| h.starts_with("make the directory on ")));
    }
}
