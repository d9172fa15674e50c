//! What the programs of both sides can do.

use std::time::Duration;

use super::classify::{Class, TransferError};
use super::connection::Connection;
use super::script::Script;

/// An rsync as it describes itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RsyncVersion {
    pub major: u32,
    pub minor: u32,
    pub patch: u32,
    /// It was built with zstd (possible from 3.2.0).
    pub zstd: bool,
}

/// The programs that a target has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tools {
    /// `uname -s -r -m`.
    pub system: String,
    /// The name the target gives itself.
    pub node: String,
    /// `None`: no rsync in the PATH of a non-interactive login.
    pub rsync: Option<RsyncVersion>,
    /// Of the coreutils: whether `sync FILE` syncs one file (8.24) or everything.
    pub coreutils: Option<(u32, u32)>,
    pub cores: u32,
}

const ASK: &str = r#"
uname -srm
uname -n
nproc 2>/dev/null || getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1
sync --version 2>/dev/null | head -n 1
echo --
for p in find xargs sha256sum stat ln mv od head; do
  command -v $p >/dev/null 2>&1 || echo "missing $p"
done
echo --
rsync --version 2>/dev/null
exit 0
"#;

impl Connection {
    /// Asks the target for its programs.
    ///
    /// # Errors
    /// No connection, or one of the programs that our scripts need is missing there.
    pub fn tools(&self) -> Result<Tools, TransferError> {
        let out = self.run(&Script::new(ASK, self.limits.script.min(Duration::from_secs(60))))?;
        let text = String::from_utf8_lossy(&out).into_owned();
        let mut parts = text.splitn(3, "--\n");
        let mut head = parts.next().unwrap_or_default().lines();
        let missing: Vec<&str> =
            parts.next().unwrap_or_default().lines().filter_map(|l| l.strip_prefix("missing ")).collect();
        if !missing.is_empty() {
            let what = format!("{} has no {}", self.target().label(), missing.join(", "));
            return Err(
                TransferError::new(Class::Final, what).hint("GNU coreutils and findutils are needed there")
            );
        }
        Ok(Tools {
            system: head.next().unwrap_or_default().to_owned(),
            node: head.next().unwrap_or_default().to_owned(),
            cores: head.next().and_then(|l| l.trim().parse().ok()).unwrap_or(1),
            coreutils: head.next().and_then(|l| numbers(l.rsplit(' ').next()?)).map(|(a, b, _)| (a, b)),
            rsync: RsyncVersion::parse(parts.next().unwrap_or_default()),
        })
    }
}

impl RsyncVersion {
    /// From the output of `rsync --version`.
    pub fn parse(text: &str) -> Option<Self> {
        let line = text.lines().find(|l| l.starts_with("rsync ") && l.contains("version "))?;
        let word = line.split("version ").nth(1)?.split_whitespace().next()?;
        let (major, minor, patch) = numbers(word.trim_start_matches('v'))?;
        let mut lines = text.lines().skip_while(|l| !l.starts_with("Compress list:")).skip(1);
        let zstd = lines.next().is_some_and(|l| l.split_whitespace().any(|w| w == "zstd"));
        Some(Self { major, minor, patch, zstd })
    }

    pub fn at_least(&self, major: u32, minor: u32, patch: u32) -> bool {
        (self.major, self.minor, self.patch) >= (major, minor, patch)
    }
}

fn numbers(text: &str) -> Option<(u32, u32, u32)> {
    let mut numbers = text.split('.').map(|part| {
        let digits: String = part.chars().take_while(char::is_ascii_digit).collect();
        digits.parse::<u32>().ok()
    });
    Some((numbers.next()??, numbers.next()??, numbers.next().flatten().unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rsync_tells_its_version_and_compressors() {
        let old = "rsync  version 3.1.2  protocol version 31\nCopyright\nCapabilities:\n    64-bit files\n";
        let old = RsyncVersion::parse(old).unwrap();
        assert!(old.at_least(3, 1, 2) && !old.at_least(3, 1, 3) && !old.zstd);
        let new =
            "rsync  version v3.2.7  protocol version 31\nCompress list:\n    zstd lz4 zlibx zlib none\n";
        let new = RsyncVersion::parse(new).unwrap();
        assert_eq!(new, RsyncVersion { major: 3, minor: 2, patch: 7, zstd: true });
        assert!(
            !RsyncVersion::parse("rsync  version 3.2.3pre1 x\nCompress list:\n  zlibx zlib none\n")
                .unwrap()
                .zstd
        );
        assert_eq!(RsyncVersion::parse("sh: rsync: not found\n"), None);
    }

    #[test]
    fn this_machine_has_what_the_scripts_need() {
        let tools = Connection::local().tools().unwrap();
        assert!(tools.system.starts_with("Linux ") && tools.cores >= 1);
        assert!(tools.rsync.is_some() && tools.coreutils.is_some(), "{tools:?}");
    }
}
