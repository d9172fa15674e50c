//! The truth about every block at every SCN, written beside the database and never read by its recovery.

use std::{
    collections::{BTreeMap, HashMap},
    fs::{File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

use anyhow::{bail, Context, Result};

use crate::{
    block::{self, get_u32, get_u64},
    datafile::{self, Header},
};

const FILE: &str = "truth.ledger";
const ENTRY: usize = 32;

/// One thing that happened at one SCN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The hash of the whole block after the change.
    Change {
        block: u32,
        hash: u64,
    },
    Add {
        blocks: u32,
    },
    Resize {
        blocks: u32,
    },
    Drop,
    ReadOnly(bool),
    Offline(bool),
    /// A crash undid everything above this SCN that had already been entered.
    Undone,
    /// OPEN RESETLOGS: headers below are checkpointed at least here.
    Resetlogs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    pub scn: u64,
    pub file: u32,
    pub event: Event,
}

impl Entry {
    fn encode(self) -> [u8; ENTRY] {
        let (kind, a, b) = match self.event {
            Event::Change { block, hash } => (1u32, block, hash),
            Event::Add { blocks } => (2, blocks, 0),
            Event::Resize { blocks } => (3, blocks, 0),
            Event::Drop => (4, 0, 0),
            Event::ReadOnly(on) => (5, u32::from(on), 0),
            Event::Offline(on) => (6, u32::from(on), 0),
            Event::Undone => (7, 0, 0),
            Event::Resetlogs => (8, 0, 0),
        };
        let mut e = [0; ENTRY];
        e[..8].copy_from_slice(&self.scn.to_le_bytes());
        e[8..12].copy_from_slice(&self.file.to_le_bytes());
        e[12..16].copy_from_slice(&kind.to_le_bytes());
        e[16..20].copy_from_slice(&a.to_le_bytes());
        e[24..].copy_from_slice(&b.to_le_bytes());
        e
    }

    fn decode(e: &[u8]) -> Option<Self> {
        let (a, b) = (get_u32(e, 16), get_u64(e, 24));
        let event = match get_u32(e, 12) {
            1 => Event::Change { block: a, hash: b },
            2 => Event::Add { blocks: a },
            3 => Event::Resize { blocks: a },
            4 => Event::Drop,
            5 => Event::ReadOnly(a != 0),
            6 => Event::Offline(a != 0),
            7 => Event::Undone,
            8 => Event::Resetlogs,
            _ => return None,
        };
        Some(Self { scn: get_u64(e, 0), file: get_u32(e, 8), event })
    }
}

/// The append-only file of a running instance.
#[derive(Debug)]
pub struct Ledger {
    file: File,
    staged: Vec<u8>,
}

impl Ledger {
    /// Opens it for writing after its last whole entry, and says the highest SCN in it.
    pub fn open(dir: &Path) -> Result<(Self, u64)> {
        let path = dir.join(FILE);
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .read(true)
            .open(&path)
            .with_context(|| format!("open {}", path.display()))?;
        let len = file.metadata()?.len();
        file.set_len(len - len % ENTRY as u64)?;
        let last = read(dir)?.last().map_or(0, |e| e.scn);
        Ok((Self { file, staged: Vec::new() }, last))
    }

    pub fn stage(&mut self, scn: u64, file: u32, event: Event) {
        self.staged.extend_from_slice(&Entry { scn, file, event }.encode());
    }

    pub fn flush(&mut self) -> io::Result<()> {
        if !self.staged.is_empty() {
            self.file.write_all(&self.staged)?;
            self.staged.clear();
        }
        Ok(())
    }
}

/// All entries in order, those that a crash undid left out.
fn read(dir: &Path) -> Result<Vec<Entry>> {
    let path = dir.join(FILE);
    let bytes = std::fs::read(&path).with_context(|| format!("read {}", path.display()))?;
    let mut entries: Vec<Entry> = Vec::with_capacity(bytes.len() / ENTRY);
    for chunk in bytes.chunks_exact(ENTRY) {
        let Some(entry) = Entry::decode(chunk) else { bail!("{} has a damaged entry", path.display()) };
        if entry.event == Event::Undone {
            let keep = entries.partition_point(|e| e.scn <= entry.scn);
            entries.truncate(keep);
        } else {
            entries.push(entry);
        }
    }
    Ok(entries)
}

/// What is wrong with one recovered datafile.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileVerdict {
    pub file: u32,
    pub path: PathBuf,
    /// Blocks compared.
    pub blocks: u32,
    /// Numbers of the blocks whose content is not that of the database at the SCN.
    pub differing: Vec<u32>,
    /// Header and size: everything that is wrong apart from data blocks.
    pub problems: Vec<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Comparison {
    pub scn: u64,
    pub files: Vec<FileVerdict>,
}

impl Comparison {
    pub fn equal(&self) -> bool {
        !self.files.is_empty() && self.files.iter().all(|f| f.differing.is_empty() && f.problems.is_empty())
    }

    /// One line per file that is wrong.
    pub fn explain(&self) -> Vec<String> {
        let wrong = self.files.iter().filter(|f| !f.differing.is_empty() || !f.problems.is_empty());
        wrong
            .map(|f| {
                let blocks = if f.differing.is_empty() {
                    String::new()
                } else {
                    let shown: Vec<String> = f.differing.iter().take(8).map(u32::to_string).collect();
                    format!("{} of {} blocks differ: {}", f.differing.len(), f.blocks, shown.join(" "))
                };
                let mut parts = f.problems.clone();
                parts.extend((!blocks.is_empty()).then_some(blocks));
                format!("file {} {}: {}", f.file, f.path.display(), parts.join("; "))
            })
            .collect()
    }
}

#[derive(Default)]
struct Expected {
    /// (blocks from, SCN at which they were formatted), the newest last.
    formatted: Vec<(u32, u64)>,
    blocks: u32,
    changes: HashMap<u32, u64>,
    /// The SCN at which it was made read only or taken offline, if it still is.
    stopped: Option<u64>,
    offline: bool,
    read_only: bool,
}

impl Expected {
    fn hash(&self, file: u32, block: u32) -> u64 {
        if let Some(hash) = self.changes.get(&block) {
            return *hash;
        }
        let formatted =
            self.formatted.iter().rev().find(|(from, _)| *from <= block).map_or(0, |(_, scn)| *scn);
        block::hash(&block::fresh(file, block, formatted))
    }
}

/// Rows and the sum of VALOR that LOJA.VENDAS must have when everything below `scn` has happened, offline files left out.
///
/// # Errors
/// The ledger cannot be read.
pub fn sales(primary_dir: &Path, scn: u64) -> Result<(u64, u64)> {
    let mut rows = 0;
    let mut sum = 0;
    for (number, want) in expected_at(primary_dir, scn)?.iter().filter(|(_, w)| !w.offline) {
        for n in 2..=want.blocks {
            rows += 1;
            sum += want.hash(*number, n) & 0xFFFF_FFFF;
        }
    }
    Ok((rows, sum))
}

/// Compares recovered datafiles (by file number) with the database whose directory is `primary_dir`, as it was when
/// everything below `scn` had happened and nothing else, which is what CHECKPOINT_CHANGE# = `scn` claims.
///
/// Every file that the database had then must be given; a read-only or offline file must be as it was when it was made
/// so.
pub fn compare(primary_dir: &Path, files: &BTreeMap<u32, PathBuf>, scn: u64) -> Result<Comparison> {
    let expected = expected_at(primary_dir, scn)?;
    if expected.is_empty() {
        bail!("the truth of {} knows no file below SCN {scn}", primary_dir.display());
    }
    let mut comparison = Comparison { scn, files: Vec::new() };
    for (number, want) in &expected {
        let mut verdict = FileVerdict { file: *number, ..FileVerdict::default() };
        match files.get(number) {
            None => verdict.problems.push("not among the files given".to_owned()),
            Some(path) => {
                verdict.path.clone_from(path);
                compare_file(*number, path, want, scn, &mut verdict)?;
            }
        }
        comparison.files.push(verdict);
    }
    for (number, path) in files {
        if !expected.contains_key(number) {
            let problems = vec![format!("the database had no such file at SCN {scn}")];
            comparison.files.push(FileVerdict {
                file: *number,
                path: path.clone(),
                problems,
                ..FileVerdict::default()
            });
        }
    }
    Ok(comparison)
}
/// Every file as it was when everything below `scn` had happened.
fn expected_at(primary_dir: &Path, scn: u64) -> Result<BTreeMap<u32, Expected>> {
    let mut expected: BTreeMap<u32, Expected> = BTreeMap::new();
    let mut seen_to = 0;
    for entry in read(primary_dir)? {
        seen_to = seen_to.max(entry.scn);
        if entry.scn >= scn {
            continue;
        }
        let file = expected.entry(entry.file);
        match entry.event {
            Event::Add { blocks } => {
                let file = file.or_default();
                *file = Expected { formatted: vec![(2, entry.scn)], blocks, ..Expected::default() };
            }
            Event::Change { block, hash } => {
                file.or_default().changes.insert(block, hash);
            }
            Event::Resize { blocks } => {
                let file = file.or_default();
                if blocks > file.blocks {
                    file.formatted.push((file.blocks + 1, entry.scn));
                    file.changes.retain(|b, _| *b <= file.blocks);
                } else {
                    file.changes.retain(|b, _| *b <= blocks);
                    file.formatted.retain(|(from, _)| *from <= blocks);
                }
                file.blocks = blocks;
            }
            Event::Drop => {
                expected.remove(&entry.file);
            }
            Event::ReadOnly(on) => {
                let file = file.or_default();
                file.read_only = on;
                file.stopped = on.then_some(entry.scn);
            }
            Event::Offline(on) => {
                let file = file.or_default();
                file.offline = on;
                if !(on && file.read_only) {
                    file.stopped = on.then_some(entry.scn).or(file.stopped.filter(|_| file.read_only));
                }
            }
            Event::Undone | Event::Resetlogs => {}
        }
    }
    Ok(expected)
}

fn compare_file(
    number: u32,
    path: &Path,
    want: &Expected,
    scn: u64,
    verdict: &mut FileVerdict,
) -> Result<()> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) => {
            verdict.problems.push(format!("cannot be opened: {e}"));
            return Ok(());
        }
    };
    let size = file.metadata().with_context(|| format!("stat {}", path.display()))?.len();
    let right_size = (u64::from(want.blocks) + 1) * block::SIZE as u64;
    if size != right_size {
        verdict.problems.push(format!("has {size} bytes instead of {right_size}"));
    }
    match Header::read(&file) {
        Err(e) => verdict.problems.push(e.text().to_owned()),
        Ok(header) => {
            if header.file != number {
                verdict.problems.push(format!("is file {} by its header", header.file));
            }
            let right = want.stopped.unwrap_or(scn);
            if header.checkpoint_scn != right {
                verdict.problems.push(format!("checkpoint SCN {} instead of {right}", header.checkpoint_scn));
            }
            let fuzzy = datafile::HOT_BACKUP | datafile::ONLINE_FUZZY | datafile::MEDIA_FUZZY;
            if header.flags & fuzzy != 0 {
                verdict.problems.push(format!("is fuzzy (flags {:#x})", header.flags));
            }
            if header.blocks != want.blocks {
                verdict
                    .problems
                    .push(format!("header says {} blocks instead of {}", header.blocks, want.blocks));
            }
        }
    }
    for n in 2..=want.blocks {
        let Ok(bytes) = datafile::read_block(&file, n) else {
            verdict.differing.push(n);
            continue;
        };
        verdict.blocks += 1;
        if block::hash(&bytes) != want.hash(number, n) {
            verdict.differing.push(n);
        }
    }
    Ok(())
}
