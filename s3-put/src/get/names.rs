//! Local names of objects: pure. A key may be anything; a name stays inside the directory.

use std::collections::HashMap;

/// The longest file name of the usual file systems, in bytes, less what the temporary names add.
const MAX: usize = 255 - ".".len() - ".orapipe-ranges".len();

/// The last part of a key as a file name.
///
/// # Errors
/// There is none, or it would leave the directory or hide a file: the reason.
pub fn name(key: &str) -> Result<&str, String> {
    let name = key.rsplit('/').next().unwrap_or_default();
    if name.is_empty() {
        return Err("the key ends with a slash: it names no file".to_owned());
    }
    if name == "." || name == ".." {
        return Err(format!("the key ends with {name}: it would leave the directory"));
    }
    if name.contains('\0') {
        return Err("the key has a NUL byte".to_owned());
    }
    if name.len() > MAX {
        return Err(format!("the name would have {} bytes, more than a file system takes", name.len()));
    }
    if name.ends_with(".orapipe-part") || name.ends_with(".orapipe-ranges") {
        return Err("the name is one of our temporary names".to_owned());
    }
    Ok(name)
}

/// Names of keys; every key whose name another key has too is refused, so that none replaces another.
pub fn assign<'a>(keys: impl IntoIterator<Item = &'a str>) -> Vec<(&'a str, Result<&'a str, String>)> {
    let keys: Vec<&str> = keys.into_iter().collect();
    let mut owners: HashMap<&str, Vec<&str>> = HashMap::new();
    for key in &keys {
        if let Ok(name) = name(key) {
            owners.entry(name).or_default().push(key);
        }
    }
    keys.iter()
        .map(|key| {
            let found = name(key).and_then(|name| {
                let other = owners.get(name).and_then(|all| all.iter().find(|other| *other != key));
                match other {
                    Some(other) => {
                        Err(format!("{other} has the same name {name}; fetch them into two directories"))
                    }
                    None => Ok(name),
                }
            });
            (*key, found)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_of_odd_keys() {
        for (key, wanted) in [
            ("backups/2026/11/20/a b.bkp", "a b.bkp"),
            ("a+b%2Fc", "a+b%2Fc"),
            ("/leading", "leading"),
            ("d/ção.bkp", "ção.bkp"),
            ("../../etc/passwd", "passwd"),
            ("plain", "plain"),
        ] {
            assert_eq!(name(key), Ok(wanted));
        }
        for key in ["dir/", "", "/", "a/..", "a/.", "..", "x\0y", "x.orapipe-part"] {
            assert!(name(key).is_err(), "{key:?}");
        }
        assert!(name(&"n".repeat(256)).is_err());
    }

    #[test]
    fn keys_with_one_name_are_both_refused() {
        let found = assign(["a/x", "b/x", "b/y"]);
        let ok: Vec<bool> = found.iter().map(|(_, name)| name.is_ok()).collect();
        assert_eq!(ok, [false, false, true]);
        assert!(found[0].1.as_ref().unwrap_err().contains("b/x has the same name x"));
    }

    proptest! {
        #[test]
        fn a_name_never_leaves_its_directory(key in "[a-z./\\x00]{0,12}") {
            if let Ok(name) = name(&key) {
                let path = std::path::Path::new("/restore").join(name);
                prop_assert_eq!(path.parent(), Some(std::path::Path::new("/restore")));
                prop_assert!(path.file_name().is_some());
            }
        }
    }
}
