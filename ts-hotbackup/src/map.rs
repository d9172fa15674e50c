//! Where a datafile goes at the standby.

use std::collections::BTreeMap;

use common::exit::{Exit, Failure};

/// Rules from source to destination paths, and the directory for files that no rule covers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PathMap {
    /// Source prefix, destination prefix; no trailing slashes.
    rules: Vec<(String, String)>,
    base: Option<String>,
}

impl PathMap {
    /// Reads `SRC=DST` rules; one text may hold several, separated by commas.
    ///
    /// # Errors
    /// Status 64: a rule without `=`, a path that is not absolute, one source with two destinations.
    pub fn new(rules: &[String], base: Option<&str>) -> Result<Self, Failure> {
        let mut map = Self { base: base.map(|b| absolute(b, "--dest-base")).transpose()?, ..Self::default() };
        for rule in rules.iter().flat_map(|text| split_rules(text)) {
            let (from, to) =
                rule.split_once('=').ok_or_else(|| usage(format!("--map {rule:?} is not SRC=DST")))?;
            let (from, to) = (absolute(from, "--map")?, absolute(to, "--map")?);
            match map.rules.iter().find(|(f, _)| *f == from) {
                Some((_, other)) if *other != to => {
                    return Err(usage(format!("--map sends {from} to {other} and to {to}")));
                }
                Some(_) => {}
                None => map.rules.push((from, to)),
            }
        }
        map.rules.sort_by_key(|(from, _)| std::cmp::Reverse(from.len()));
        Ok(map)
    }

    /// The place of `path` at the standby: by the longest rule that covers whole components of it, else in the base.
    pub fn dest(&self, path: &str) -> Option<String> {
        for (from, to) in &self.rules {
            let rest = match path.strip_prefix(from.as_str()) {
                Some(rest) if rest.is_empty() || rest.starts_with('/') || from == "/" => rest,
                _ => continue,
            };
            let rest = rest.trim_start_matches('/');
            return Some(match (rest.is_empty(), to.as_str()) {
                (true, to) => to.to_owned(),
                (false, "/") => format!("/{rest}"),
                (false, to) => format!("{to}/{rest}"),
            });
        }
        let name = path.rsplit('/').next().filter(|n| !n.is_empty())?;
        self.base.as_ref().map(|base| format!("{}/{name}", base.trim_end_matches('/')))
    }

    /// A place for each of `paths`.
    ///
    /// # Errors
    /// Status 4, naming every file that has none, that two rules send to one place, or that rsync cannot read (ASM).
    pub fn place<'a>(&self, paths: &[&'a str]) -> Result<BTreeMap<&'a str, String>, Failure> {
        let refused = |text| Failure::new(Exit::Refused, text);
        let strange: Vec<&str> = paths.iter().copied().filter(|p| !p.starts_with('/')).collect();
        if !strange.is_empty() {
            let text = format!("not in a file system of this host: {}", strange.join(", "));
            return Err(
                refused(text).hint("files in ASM or on raw devices need RMAN; leave them out with --exclude")
            );
        }
        let mut placed = BTreeMap::new();
        let mut homeless = Vec::new();
        for path in paths {
            match self.dest(path) {
                Some(dest) => {
                    placed.insert(*path, dest);
                }
                None => homeless.push(*path),
            }
        }
        if !homeless.is_empty() {
            return Err(refused(format!("no place at the standby for {}", homeless.join(", "))).hint(
                "add --map SRC=DST for their directory, or --dest-base DIR for all that no rule covers",
            ));
        }
        let mut sources: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (path, dest) in &placed {
            sources.entry(dest).or_default().push(path);
        }
        let clashes: Vec<String> = sources
            .iter()
            .filter(|(_, from)| from.len() > 1)
            .map(|(to, from)| format!("{} to {to}", from.join(" and ")))
            .collect();
        if !clashes.is_empty() {
            return Err(refused(format!(
                "two datafiles have one place at the standby: {}",
                clashes.join("; ")
            ))
            .hint("give each directory its own --map; a rule for the longer path wins"));
        }
        Ok(placed)
    }
}

/// A comma separates rules only where another rule begins: a path may hold one.
fn split_rules(text: &str) -> Vec<String> {
    let mut rules: Vec<String> = Vec::new();
    for piece in text.split(',') {
        match rules.last_mut() {
            Some(last) if !(piece.trim_start().starts_with('/') && piece.contains('=')) => {
                last.push(',');
                last.push_str(piece);
            }
            _ => rules.push(piece.trim().to_owned()),
        }
    }
    rules.retain(|r| !r.trim_matches(',').is_empty());
    rules
}

fn absolute(path: &str, flag: &str) -> Result<String, Failure> {
    let path = path.trim();
    if !path.starts_with('/') || path.split('/').any(|c| c == "..") {
        return Err(usage(format!("{flag}: {path:?} is not an absolute path without \"..\"")));
    }
    let cut = path.trim_end_matches('/');
    Ok(if cut.is_empty() { "/" } else { cut }.to_owned())
}

fn usage(text: String) -> Failure {
    Failure::new(Exit::Usage, text).hint("write --map /u05=/u15, or PATH_MAP=/u05=/u15,/u06=/u16")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(rules: &[&str], base: Option<&str>) -> PathMap {
        let rules: Vec<String> = rules.iter().map(|r| (*r).to_owned()).collect();
        PathMap::new(&rules, base).unwrap()
    }

    #[test]
    fn the_longest_prefix_wins_on_component_boundaries() {
        let m = map(&["/u05=/u15,/u05/oradata/idx=/u16/idx", "/u06/=/u17/"], None);
        assert_eq!(m.dest("/u05/oradata/a.dbf").unwrap(), "/u15/oradata/a.dbf");
        assert_eq!(m.dest("/u05/oradata/idx/b.dbf").unwrap(), "/u16/idx/b.dbf");
        assert_eq!(m.dest("/u05/oradata/idx2/b.dbf").unwrap(), "/u15/oradata/idx2/b.dbf");
        assert_eq!(m.dest("/u06/c d.dbf").unwrap(), "/u17/c d.dbf");
        assert_eq!(m.dest("/u055/a.dbf"), None);
        assert_eq!(map(&["/=/dr"], None).dest("/x/y").unwrap(), "/dr/x/y");
        assert_eq!(map(&["/dr=/"], None).dest("/dr/y").unwrap(), "/y");
    }

    #[test]
    fn the_base_takes_what_no_rule_covers() {
        let m = map(&["/u05=/u15"], Some("/dr/"));
        assert_eq!(m.dest("/u09/x/y.dbf").unwrap(), "/dr/y.dbf");
    }

    #[test]
    fn homeless_files_are_all_named() {
        let failure = map(&["/u05=/u15"], None).place(&["/u05/a", "/u07/b", "/u08/c"]).unwrap_err();
        assert_eq!(failure.exit, Exit::Refused);
        assert_eq!(failure.message, "no place at the standby for /u07/b, /u08/c");
    }

    #[test]
    fn two_files_to_one_place_are_refused() {
        let failure = map(&[], Some("/dr")).place(&["/u05/x.dbf", "/u06/x.dbf"]).unwrap_err();
        assert!(failure.message.ends_with("/u05/x.dbf and /u06/x.dbf to /dr/x.dbf"), "{failure}");
        assert!(map(&["/a=/z", "/b=/z"], None).place(&["/a/x", "/b/x"]).is_err());
    }

    #[test]
    fn asm_is_refused_with_the_reason() {
        let failure = map(&[], Some("/dr")).place(&["+DATA/prod/system.256.1"]).unwrap_err();
        assert!(failure.message.contains("+DATA/prod") && failure.hint.unwrap().contains("RMAN"));
    }

    #[test]
    fn rules_that_are_none() {
        for bad in ["/u05", "u05=/u15", "/u05=u15", "/a/../b=/c"] {
            let failure = PathMap::new(&[bad.to_owned()], None).unwrap_err();
            assert_eq!(failure.exit, Exit::Usage, "{bad}");
        }
        assert!(PathMap::new(&["/a=/b,/a=/c".to_owned()], None).is_err());
    }

    #[test]
    fn a_comma_in_a_path_separates_nothing() {
        assert_eq!(map(&["/a,b=/c,d,/e=/f"], None).dest("/a,b/x").unwrap(), "/c,d/x");
        assert_eq!(map(&["/a,b=/c,d,/e=/f"], None).dest("/e/x").unwrap(), "/f/x");
    }
}
