//! Dump files: a header, the rows of each table, a trailer that proves that all of it is there.
//!
//! Not Oracle's format, which is not published; what matters to a backup tool is the same: blocks of 4 KiB, text that
//! compresses like rows do, a part that does not compress, and a reader that finds every missing byte.

use std::fs::File;
use std::hash::Hasher;
use std::io::{BufWriter, Read, Write};
use std::path::Path;

use anyhow::{bail, ensure, Context, Result};

const MAGIC: &str = "ORASIM-DATAPUMP 1";
const BLOCK: u64 = 4096;

/// What a dump holds of one table or partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    pub object: String,
    pub rows: u64,
    /// The moment as of which the rows are.
    pub scn: u64,
}

pub(super) struct Writer {
    file: BufWriter<File>,
    bytes: u64,
    hash: std::hash::DefaultHasher,
}

impl Writer {
    pub fn create(path: &Path, job: &str) -> std::io::Result<Self> {
        let file = BufWriter::new(File::create(path)?);
        let mut writer = Self { file, bytes: 0, hash: std::hash::DefaultHasher::new() };
        writer.line(&format!("{MAGIC} {job}"))?;
        Ok(writer)
    }

    fn line(&mut self, text: &str) -> std::io::Result<()> {
        self.hash.write(text.as_bytes());
        self.bytes += text.len() as u64 + 1;
        self.file.write_all(text.as_bytes())?;
        self.file.write_all(b"\n")
    }

    /// The rows of one segment; the same table at the same SCN has the same rows.
    pub fn table(&mut self, object: &str, rows: u64, scn: u64) -> std::io::Result<u64> {
        let before = self.bytes;
        self.line(&format!("TABLE {object} rows={rows} scn={scn}"))?;
        let mut seed = object.bytes().fold(scn | 1, |h, b| h.wrapping_mul(0x100_0000_01b3) ^ u64::from(b));
        for row in 0..rows {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let status = ["ATIVO", "INATIVO", "PENDENTE"][(seed >> 60) as usize % 3];
            let line = format!(
                "{row};CLIENTE {:06};RUA DAS FLORES {};{status};{}.{:02};{seed:016x}",
                (seed >> 20) % 1_000_000,
                (seed >> 8) % 999,
                (seed >> 33) % 100_000,
                seed % 100
            );
            self.line(&line)?;
        }
        Ok(self.bytes - before)
    }

    /// The trailer, and blanks up to a whole block.
    pub fn finish(mut self) -> std::io::Result<()> {
        let trailer = format!("MASTER {:016x}", self.hash.finish());
        self.bytes += trailer.len() as u64 + 1;
        let pad = (BLOCK - self.bytes % BLOCK) % BLOCK;
        write!(self.file, "{trailer}\n{}", " ".repeat(usize::try_from(pad).unwrap_or(0)))?;
        self.file.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()
    }

    /// Half of it on the disk, and no trailer.
    pub fn abandon(self) -> std::io::Result<()> {
        let half = self.bytes / 2;
        let file = self.file.into_inner().map_err(std::io::IntoInnerError::into_error)?;
        file.set_len(half)
    }
}

/// Reads a whole dump.
///
/// # Errors
/// It is no dump, or a byte of it is missing or wrong.
pub fn read(path: &Path) -> Result<Vec<Content>> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|mut f| f.read_to_end(&mut bytes))
        .with_context(|| path.display().to_string())?;
    ensure!(
        (bytes.len() as u64).is_multiple_of(BLOCK),
        "{}: {} bytes are no whole blocks",
        path.display(),
        bytes.len()
    );
    let text = String::from_utf8(bytes).with_context(|| path.display().to_string())?;
    let mut contents = Vec::new();
    let mut hash = std::hash::DefaultHasher::new();
    for (n, line) in text.split('\n').enumerate() {
        if n == 0 {
            ensure!(line.starts_with(MAGIC), "{}: no dump", path.display());
        } else if let Some(sum) = line.strip_prefix("MASTER ") {
            ensure!(sum == format!("{:016x}", hash.finish()), "{}: its content has changed", path.display());
            return Ok(contents);
        } else if let Some(table) = line.strip_prefix("TABLE ") {
            let mut words = table.rsplitn(3, ' ');
            let scn = words.next().and_then(|w| w.strip_prefix("scn=")?.parse().ok());
            let rows = words.next().and_then(|w| w.strip_prefix("rows=")?.parse().ok());
            match (words.next(), rows, scn) {
                (Some(object), Some(rows), Some(scn)) => {
                    contents.push(Content { object: object.to_owned(), rows, scn });
                }
                _ => bail!("{}: line {n} is damaged", path.display()),
            }
        }
        hash.write(line.as_bytes());
    }
    bail!("{}: its end is missing", path.display())
}
