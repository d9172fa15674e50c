//! Which licences and origins the crates that we build in may have.

use anyhow::{bail, Context, Result};
use serde::Deserialize;

/// Licences that ask for no more than a notice. The same list as in `deny.toml`.
pub const ALLOWED: [&str; 14] = [
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    // Data: the root certificates of webpki-roots.
    "CDLA-Permissive-2.0",
    "ISC",
    "0BSD",
    "MIT",
    "MIT-0",
    "MPL-2.0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// The part of `cargo metadata` that we read.
#[derive(Debug, Deserialize)]
pub struct Metadata {
    pub packages: Vec<Package>,
}

#[derive(Debug, Deserialize)]
pub struct Package {
    pub name: String,
    pub version: String,
    pub license: Option<String>,
    /// Absent for crates of the workspace.
    pub source: Option<String>,
}

/// One line per crate that may not be built in: unknown origin, no licence, or none that is allowed.
pub fn problems(metadata: &Metadata) -> Vec<String> {
    let mut problems = Vec::new();
    for package in &metadata.packages {
        let name = format!("{} {}", package.name, package.version);
        if package.source.as_deref().is_some_and(|s| s != REGISTRY) {
            problems.push(format!("{name}: comes from {}", package.source.as_deref().unwrap_or_default()));
        }
        match package.license.as_deref() {
            None => problems.push(format!("{name}: names no licence")),
            Some(text) => match allowed(text) {
                Ok(true) => {}
                Ok(false) => problems.push(format!("{name}: licence {text} is not on the list")),
                Err(error) => problems.push(format!("{name}: licence {text}: {error:#}")),
            },
        }
    }
    problems
}

/// Whether an SPDX expression can be met with [`ALLOWED`] licences. `/` is the old way to write OR.
pub fn allowed(expression: &str) -> Result<bool> {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut position = 0;
    let verdict = any(&words, &mut position)?;
    if position != words.len() {
        bail!("{} is not expected there", words[position]);
    }
    Ok(verdict)
}

fn any(words: &[&str], position: &mut usize) -> Result<bool> {
    let mut verdict = all(words, position)?;
    while words.get(*position) == Some(&"OR") {
        *position += 1;
        verdict |= all(words, position)?;
    }
    Ok(verdict)
}

fn all(words: &[&str], position: &mut usize) -> Result<bool> {
    let mut verdict = one(words, position)?;
    while words.get(*position) == Some(&"AND") {
        *position += 1;
        verdict &= one(words, position)?;
    }
    Ok(verdict)
}

fn one(words: &[&str], position: &mut usize) -> Result<bool> {
    let word = *words.get(*position).context("it ends too early")?;
    *position += 1;
    match word {
        "(" => {
            let verdict = any(words, position)?;
            anyhow::ensure!(words.get(*position) == Some(&")"), "a parenthesis is not closed");
            *position += 1;
            Ok(verdict)
        }
        ")" | "AND" | "OR" | "WITH" => bail!("{word} is not expected there"),
        id if words.get(*position) == Some(&"WITH") => {
            let exception = words.get(*position + 1).context("WITH lacks its exception")?;
            *position += 2;
            Ok(ALLOWED.contains(&format!("{id} WITH {exception}").as_str()))
        }
        id => Ok(ALLOWED.contains(&id)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_is_met_when_one_way_through_it_is() {
        for yes in ["MIT", "Unlicense/MIT", "GPL-3.0 OR MIT", "(MIT OR GPL-2.0) AND Unicode-3.0"] {
            assert!(allowed(yes).unwrap(), "{yes}");
        }
        for no in ["GPL-3.0", "MIT AND GPL-3.0", "Apache-2.0 WITH Foo-exception", "(MIT OR ISC) AND AGPL-3.0"]
        {
            assert!(!allowed(no).unwrap(), "{no}");
        }
        for broken in ["", "MIT OR", "(MIT", "MIT MIT", "AND"] {
            assert!(allowed(broken).is_err(), "{broken:?}");
        }
    }

    #[test]
    fn a_crate_without_licence_or_from_elsewhere_is_named() {
        let package = |license: Option<&str>, source: Option<&str>| Package {
            name: "x".to_owned(),
            version: "1.0.0".to_owned(),
            license: license.map(Into::into),
            source: source.map(Into::into),
        };
        let fine = package(Some("MIT"), Some(REGISTRY));
        let bare = package(None, None);
        let git = package(Some("MIT"), Some("git+https://example.com/x"));
        let found = problems(&Metadata { packages: vec![fine, bare, git] });
        assert_eq!(found, ["x 1.0.0: names no licence", "x 1.0.0: comes from git+https://example.com/x"]);
    }
}
