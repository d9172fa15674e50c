//! A file system root in which there is nothing but a shell: what a package manager fills, and what is in it then.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::stage::{done, scratch, tree, walk, TOOLS};

pub struct Root {
    dir: TempDir,
    before: BTreeMap<String, (u32, String)>,
    /// Where the package manager keeps its books.
    books: &'static str,
}

impl Root {
    /// A root whose package manager keeps its books in `books`.
    pub fn new(books: &'static str) -> Self {
        let dir = scratch("root");
        for sub in ["bin", "tmp", "var/log", books] {
            std::fs::create_dir_all(dir.path().join(sub)).unwrap();
        }
        // The packages' scripts run inside.
        let shell = Path::new("/bin/sh").canonicalize().unwrap();
        std::fs::copy(&shell, dir.path().join("bin/sh")).unwrap();
        for word in done(Command::new("ldd").arg(&shell)).split_whitespace().filter(|w| w.starts_with('/')) {
            let to = dir.path().join(word.trim_start_matches('/'));
            std::fs::create_dir_all(to.parent().unwrap()).unwrap();
            std::fs::copy(word, to).unwrap();
        }
        let before = tree(dir.path());
        Self { dir, before, books }
    }

    pub fn path(&self, inside: &str) -> PathBuf {
        self.dir.path().join(inside)
    }

    /// A command that is root, and in a root of its own if it wants: as root itself, else in a user namespace.
    pub fn command(&self, program: &str) -> Command {
        if rustix::process::geteuid().is_root() {
            Command::new(program)
        } else {
            let mut command = Command::new("unshare");
            command.args(["--map-root-user", "--mount", program]);
            command
        }
    }

    /// What has come since the beginning, without the books of the package manager.
    pub fn brought(&self) -> BTreeMap<String, (u32, String)> {
        let mut now = tree(self.dir.path());
        now.retain(|path, seen| {
            let books = path.starts_with(&format!("{}/", self.books)) || path.starts_with("var/log/");
            !books && self.before.get(path) != Some(seen)
        });
        now
    }

    /// Directories that only this package can have made.
    pub fn own_directories(&self) -> Vec<String> {
        let name = |path: PathBuf| path.strip_prefix(self.dir.path()).unwrap().to_str().unwrap().to_owned();
        walk(self.dir.path()).into_iter().filter(|p| p.ends_with("orapipe") && p.is_dir()).map(name).collect()
    }

    /// What a user does first: every program starts, has a man page, and its completion loads.
    pub fn try_it(&self, version: &str) {
        for tool in TOOLS {
            let program = self.path("usr/bin").join(tool);
            assert_eq!(
                done(Command::new(&program).arg("--version").env_clear()),
                format!("{tool} {version}\n")
            );
            let help = done(Command::new(&program).arg("--help").env_clear());
            assert!(help.contains("Usage: ") && help.contains("--explain"), "{tool}: {help}");

            let page = self.path(&format!("usr/share/man/man1/{tool}.1.gz"));
            let page = done(Command::new("gzip").arg("-dc").arg(&page));
            assert!(page.contains(&format!(".TH {tool} 1")), "{tool}: {page}");

            let completion = self.path(&format!("usr/share/bash-completion/completions/{tool}"));
            completes(tool, &completion);
        }
    }
}

/// Loads a completion in bash and asks it for the options that begin with `--he`.
fn completes(tool: &str, completion: &Path) {
    let script = format!(
        "set -eu; . '{}'; COMP_WORDS=({tool} --he); COMP_CWORD=1; \
         f=$(complete -p {tool} | sed 's/.* -F \\([^ ]*\\).*/\\1/'); $f {tool} --he {tool}; echo \"${{COMPREPLY[@]}}\"",
        completion.display()
    );
    let said = done(Command::new("bash").args(["--norc", "-c", &script]));
    assert_eq!(said, "--help\n", "{tool}");
}
