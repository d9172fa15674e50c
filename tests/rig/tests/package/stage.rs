//! The packages under test, and older ones made of stand-ins.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use rig::host::write_program;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

pub const TOOLS: [&str; 10] = [
    "arch-ship",
    "dp-export",
    "ib-prune",
    "ib-snap",
    "mailreport",
    "rman-run",
    "s3-get",
    "s3-put",
    "ts-hotbackup",
    "zip-rotate",
];
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Older than the one under test.
pub const OLD: &str = "0.0.9";
pub const ENV_FILE: &str = "etc/orapipe/PROD.env.example";

pub fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

pub fn scratch(name: &str) -> TempDir {
    tempfile::Builder::new().prefix(&format!("orapipe-package-{name}-")).tempdir().unwrap()
}

/// Where packages are: those under test, or the older ones.
#[derive(Clone)]
pub struct Packages {
    pub dir: PathBuf,
    pub version: String,
}

impl Packages {
    /// Those that `scripts/package.sh` has made.
    pub fn made() -> Self {
        let target =
            std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| sources().join("target"), PathBuf::from);
        let made = Self { dir: target.join("dist"), version: VERSION.to_owned() };
        for file in [made.deb(), made.rpm(), made.tar(), made.dir.join("SHA256SUMS")] {
            assert!(file.exists(), "{} is not there: run scripts/package.sh", file.display());
        }
        made
    }

    pub fn deb(&self) -> PathBuf {
        self.dir.join(format!("orapipe_{}_amd64.deb", self.version))
    }

    pub fn rpm(&self) -> PathBuf {
        self.dir.join(format!("orapipe-{}-1.x86_64.rpm", self.version))
    }

    pub fn tar(&self) -> PathBuf {
        self.dir.join(format!("orapipe-{}-linux-x86_64.tar.gz", self.version))
    }

    /// What `FILES-deb`, `FILES-rpm` or `FILES-tar` lists: mode by path, without the leading slash.
    pub fn list(&self, kind: &str) -> BTreeMap<String, u32> {
        let text = std::fs::read_to_string(self.dir.join(format!("FILES-{kind}"))).unwrap();
        text.lines()
            .map(|line| {
                let mut words = line.split(' ');
                let mode = u32::from_str_radix(words.next().unwrap(), 8).unwrap();
                (words.next().unwrap().trim_start_matches('/').to_owned(), mode)
            })
            .collect()
    }
}

/// Version [`OLD`], made by the same `package.sh` from a copy of the sources with another env example, another wrapper and a
/// file that is gone since; its programs are shell scripts.
pub fn old() -> Packages {
    static OLD_ONES: OnceLock<(TempDir, Packages)> = OnceLock::new();
    let (_, packages) = OLD_ONES.get_or_init(|| {
        let dir = scratch("old");
        let copy = dir.path().join("sources");
        for part in ["scripts", "docs", "packaging"] {
            copy_tree(&sources().join(part), &copy.join(part));
        }
        for file in ["README.md", "CHANGELOG.md", "LICENSE-MIT", "LICENSE-APACHE", "Cargo.toml"] {
            std::fs::copy(sources().join(file), copy.join(file)).unwrap();
        }
        let env_file = copy.join("scripts/PROD.env.example");
        let text = std::fs::read_to_string(&env_file).unwrap();
        std::fs::write(&env_file, format!("{text}# as it was in {OLD}\n")).unwrap();
        write_program(&copy.join("scripts/gone.sh"), "#!/bin/sh\n").unwrap();
        let out = dir.path().join("dist");
        let stand_ins = stand_ins(dir.path(), OLD);
        let (status, said) =
            package(dir.path(), &copy, &stand_ins, &["--version", OLD, "--out", out.to_str().unwrap()]);
        assert_eq!(status, 0, "{said}");
        (dir, Packages { dir: out, version: OLD.to_owned() })
    });
    packages.clone()
}

/// A directory with ten programs that know their names and versions.
pub fn stand_ins(dir: &Path, version: &str) -> PathBuf {
    let bin = dir.join("stand-ins");
    std::fs::create_dir_all(&bin).unwrap();
    for tool in TOOLS {
        write_program(&bin.join(tool), &format!("#!/bin/sh\necho \"{tool} {version}\"\n")).unwrap();
    }
    bin
}

/// Runs the `package.sh` of a copy of the sources on programs that are there, with a short bill of materials.
pub fn package(scratch: &Path, sources: &Path, bin: &Path, args: &[&str]) -> (i32, String) {
    let bom = scratch.join("bom");
    write_program(&bom, "#!/bin/sh\necho '{}' >\"$2\"\necho notices >\"$4\"\n").unwrap();
    let mut command = Command::new(sources.join("scripts/package.sh"));
    command
        .args(["--bin", bin.to_str().unwrap()])
        .args(args)
        .env("ORAPIPE_SBOM", bom)
        .env("CARGO_TARGET_DIR", scratch.join("target"))
        .env("SOURCE_DATE_EPOCH", "1700000000");
    said(&mut command)
}

pub fn said(command: &mut Command) -> (i32, String) {
    let out = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let text = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
    (out.status.code().unwrap_or(-1), text)
}

/// Runs a command that has to end with status 0, and gives what it wrote.
pub fn done(command: &mut Command) -> String {
    let (status, text) = said(command);
    assert_eq!(status, 0, "{command:?}: {text}");
    text
}

/// Mode and sum of everything that is no directory, by path.
pub fn tree(root: &Path) -> BTreeMap<String, (u32, String)> {
    let mut found = BTreeMap::new();
    for path in walk(root) {
        let seen = path.symlink_metadata().unwrap();
        if !seen.is_dir() {
            let sum = if seen.is_file() { sum(&path) } else { "no file".to_owned() };
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            found.insert(name, (seen.permissions().mode() & 0o7777, sum));
        }
    }
    found
}

pub fn modes(tree: &BTreeMap<String, (u32, String)>) -> BTreeMap<String, u32> {
    tree.iter().map(|(path, (mode, _))| (path.clone(), *mode)).collect()
}

pub fn sum(file: &Path) -> String {
    let bytes = std::fs::read(file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    Sha256::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect()
}

/// Everything below a directory, the directories before what is in them; nothing if there is no such directory.
pub fn walk(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(root).into_iter().flatten().map(Result::unwrap) {
        found.push(entry.path());
        if entry.file_type().unwrap().is_dir() {
            found.extend(walk(&entry.path()));
        }
    }
    found
}

fn copy_tree(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for path in walk(from) {
        let target = to.join(path.strip_prefix(from).unwrap());
        if path.is_dir() {
            std::fs::create_dir_all(&target).unwrap();
        } else {
            std::fs::copy(&path, &target).unwrap();
        }
    }
}
