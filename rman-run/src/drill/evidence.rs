//! The evidence: one line per drill, each with the hash of the one before it, and a note of the last one beside them.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use common::durable;
use common::record::{Drill, Out};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// PREV of the first line.
const NOTHING: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// What is remembered of the last line, so that its removal is seen too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    pub lines: u64,
    pub sha256: String,
}

/// The two files of one instance.
pub struct Evidence {
    path: PathBuf,
    head: PathBuf,
}

/// The lines without their newlines, and what stands after the last newline.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Chain {
    pub lines: Vec<Vec<u8>>,
    pub torn: Vec<u8>,
}

impl Chain {
    fn parse(bytes: &[u8]) -> Self {
        let end = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
        let lines =
            bytes[..end].split_inclusive(|b| *b == b'\n').map(|l| l[..l.len() - 1].to_vec()).collect();
        Self { lines, torn: bytes[end..].to_vec() }
    }
}

impl Evidence {
    pub fn of(state_dir: &Path, sid: &str) -> Self {
        Self {
            path: state_dir.join(format!("drill_evidence.{sid}.jsonl")),
            head: state_dir.join(format!("drill_evidence.{sid}.head")),
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn read(&self) -> anyhow::Result<(Chain, Option<Head>)> {
        let bytes = durable::read(&self.path).with_context(|| format!("read {}", self.path.display()))?;
        let head = durable::read(&self.head).with_context(|| format!("read {}", self.head.display()))?;
        // A note that cannot be read is one that somebody has changed; it fits no line.
        let unread = || Head { lines: u64::MAX, sha256: String::new() };
        let head = head.map(|h| serde_json::from_slice(&h).unwrap_or_else(|_| unread()));
        Ok((Chain::parse(&bytes.unwrap_or_default()), head))
    }

    /// Adds a line, durably, and returns it with what is wrong with those before it. Number and hash are filled in.
    ///
    /// # Errors
    /// The line is not on the disk.
    pub fn append(&self, record: &mut Drill, out: &Out) -> anyhow::Result<(Vec<u8>, Vec<String>)> {
        let (chain, head) = self.read()?;
        let mut problems = check(&chain, head.as_ref());
        record.number = chain.lines.len() as u64 + 1;
        record.prev = chain.lines.last().map_or_else(|| NOTHING.to_owned(), |line| hash(line));
        let line = out.line(record)?;
        let write = || -> anyhow::Result<()> {
            if !chain.torn.is_empty() {
                let mut aside = self.path.as_os_str().to_owned();
                aside.push(format!(".corrupt-{}", chrono::Utc::now().format("%Y%m%dT%H%M%S%3fZ")));
                durable::write(Path::new(&aside), &chain.torn)?;
                problems.push(format!("half a line was set aside as {}", Path::new(&aside).display()));
            }
            let mut file = OpenOptions::new().create(true).append(true).open(&self.path)?;
            if !chain.torn.is_empty() {
                file.set_len(file.metadata()?.len() - chain.torn.len() as u64)?;
            }
            file.write_all(&[&line[..], b"\n"].concat())?;
            file.sync_all()?;
            durable::sync_dir(self.path.parent().unwrap_or(Path::new(".")))
        };
        let mut write = write;
        write().with_context(|| format!("write {}", self.path.display()))?;
        let head = Head { lines: record.number, sha256: hash(&line) };
        durable::write(&self.head, &serde_json::to_vec(&head).context("encode the head of the evidence")?)?;
        Ok((line, problems))
    }
}

/// What is wrong with a chain; nothing when every line is the one that was written, in its place.
pub fn check(chain: &Chain, head: Option<&Head>) -> Vec<String> {
    let mut problems = Vec::new();
    let mut before = NOTHING.to_owned();
    for (number, line) in chain.lines.iter().enumerate().map(|(i, l)| (i as u64 + 1, l)) {
        match serde_json::from_slice::<Drill>(line) {
            Err(error) => problems.push(format!("line {number} is no drill record: {error}")),
            Ok(record) if record.number != number => problems.push(format!(
                "line {number} was written as number {}: a line was removed, added or moved",
                record.number
            )),
            Ok(record) if record.prev != before => problems.push(format!(
                "line {number} does not follow from the line before it: that one was changed, removed or moved"
            )),
            Ok(_) => {}
        }
        before = hash(line);
    }
    if !chain.torn.is_empty() {
        problems.push(format!("after line {} there is half a line: a crash, or a cut", chain.lines.len()));
    }
    let lines = chain.lines.len() as u64;
    match head {
        None if lines > 1 => problems.push("the note of the last line is gone".to_owned()),
        None => {}
        // A crash between the line and its note.
        Some(head) if head.lines.checked_add(1) == Some(lines) => {
            let last = chain.lines.iter().rev().nth(1).map_or_else(|| NOTHING.to_owned(), |l| hash(l));
            if last != head.sha256 {
                problems.push(format!("line {} is not the one that was noted", head.lines));
            }
        }
        Some(head) if head.lines != lines => {
            let noted = if head.lines == u64::MAX {
                "the note of the last line cannot be read".to_owned()
            } else {
                format!("{} lines were noted and {lines} are there", head.lines)
            };
            problems.push(noted);
        }
        Some(head) if head.sha256 != before => {
            problems.push(format!("line {lines} is not the one that was noted"))
        }
        Some(_) => {}
    }
    problems
}

fn hash(line: &[u8]) -> String {
    use std::fmt::Write;
    Sha256::digest(line).iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing to a string cannot fail.
        let _never = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use common::record::Mode;
    use proptest::prelude::*;

    use super::*;

    fn chain(n: usize) -> (tempfile::TempDir, Evidence) {
        let dir = tempfile::tempdir().unwrap();
        let evidence = Evidence::of(dir.path(), "PROD");
        for i in 0..n {
            add(&evidence, i);
        }
        (dir, evidence)
    }

    fn add(evidence: &Evidence, i: usize) -> Vec<String> {
        let out = Out::to(Box::new(std::io::sink()), "rman-run", "r", Mode::Json);
        let mut record = Drill { scn: Some(1000 + i as u64), seconds: 1.5, ..Drill::default() };
        evidence.append(&mut record, &out).unwrap().1
    }

    fn problems(evidence: &Evidence) -> Vec<String> {
        let (chain, head) = evidence.read().unwrap();
        check(&chain, head.as_ref())
    }

    #[test]
    fn a_chain_that_nobody_touched_is_whole() {
        let (_dir, evidence) = chain(0);
        assert!(problems(&evidence).is_empty());
        let (_dir, evidence) = chain(5);
        assert!(problems(&evidence).is_empty());
        let text = std::fs::read_to_string(evidence.path()).unwrap();
        assert!(text.lines().next().unwrap().contains(NOTHING));
        assert_eq!(text.lines().count(), 5);
    }

    #[test]
    fn half_a_line_is_set_aside_and_the_chain_goes_on() {
        let (dir, evidence) = chain(2);
        let mut file = OpenOptions::new().append(true).open(evidence.path()).unwrap();
        file.write_all(b"{\"v\":1,\"type\":\"dri").unwrap();
        assert_eq!(problems(&evidence).len(), 1);
        let told = add(&evidence, 3);
        assert!(told.iter().any(|p| p.contains("set aside")), "{told:?}");
        assert!(problems(&evidence).is_empty());
        let aside = std::fs::read_dir(dir.path()).unwrap().flatten();
        let aside = aside.map(|e| e.path()).find(|p| p.to_string_lossy().contains("corrupt")).unwrap();
        assert_eq!(std::fs::read(aside).unwrap(), b"{\"v\":1,\"type\":\"dri");
    }

    #[test]
    fn a_crash_between_the_line_and_its_note_is_no_forgery() {
        let (_dir, evidence) = chain(3);
        let head = std::fs::read(&evidence.head).unwrap();
        add(&evidence, 4);
        std::fs::write(&evidence.head, head).unwrap();
        assert!(problems(&evidence).is_empty());
        std::fs::write(&evidence.head, "{}").unwrap();
        assert_eq!(problems(&evidence).len(), 1);
        std::fs::remove_file(&evidence.head).unwrap();
        assert_eq!(problems(&evidence).len(), 1);
    }

    proptest! {
        /// Whatever is done to one line, the last one too, is found.
        #[test]
        fn every_change_is_found(n in 2..7usize, at in 0..7usize, what in 0..4u8, byte in 0..200usize) {
            let (_dir, evidence) = chain(n);
            let at = at % n;
            let mut lines: Vec<String> =
                std::fs::read_to_string(evidence.path()).unwrap().lines().map(str::to_owned).collect();
            match what {
                0 => { lines.remove(at); }
                1 => lines.swap(at, (at + 1) % n),
                2 => lines.insert(at, lines[at].clone()),
                _ => {
                    let mut bytes = lines[at].clone().into_bytes();
                    let byte = byte % bytes.len();
                    bytes[byte] = if bytes[byte] == b'7' { b'8' } else { b'7' };
                    lines[at] = String::from_utf8(bytes).unwrap();
                }
            }
            std::fs::write(evidence.path(), lines.join("\n") + "\n").unwrap();
            prop_assert!(!problems(&evidence).is_empty());
        }
    }
}
