//! Where the pieces come from, and whether they are whole.

use std::fs::File;
use std::io::{IsTerminal, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use anyhow::Context;
use common::app::Frame;
use common::exit::{Exit, Failure};
use common::record::{self, Content, Input, Mode, Out};
use common::signals;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::cli::Cli;
use crate::solver::intake::{Copy, Intake};
use crate::solver::producers::Producers;
use crate::solver::records::LineRef;

/// What there is to restore from.
pub struct Source {
    /// Records, from the beginning.
    pub records: File,
    /// The directory, when standard input had nothing.
    pub directory: Option<PathBuf>,
    /// Some record tells what a piece holds; without any only RMAN itself can tell.
    pub told: bool,
    /// The worst status of the runs that feed us.
    pub worst: Exit,
}

/// Reads standard input and passes it on; where it has no record, looks at `--source-dir`.
///
/// # Errors
/// Status 2 when a run that feeds us has died, its own when it has failed: the list of pieces may not be whole, and a restore destroys what was
/// there. Status 64 when there is neither input nor a directory.
pub fn gather(cli: &Cli, frame: &Frame) -> anyhow::Result<Source> {
    let mut records = tempfile::tempfile().context("make a temporary file for the records")?;
    let mut producers = Producers::default();
    let mut told = false;
    let mut any = false;
    if !std::io::stdin().is_terminal() {
        let mut input = Input::new(std::io::stdin().lock(), Some(frame.out.clone()));
        while let Some(line) = input.next_line()? {
            let kind = line.kind().ok().flatten();
            match kind.as_deref() {
                Some("run_begin" | "run_end") => producers.line(line.raw()),
                Some("log") => {}
                _ => any = true,
            }
            told |= contains(line.raw(), b"\"contents\"");
            records.write_all(line.raw()).context("write the records")?;
            if !line.raw().ends_with(b"\n") {
                records.write_all(b"\n").context("write the records")?;
            }
        }
        if let Some(died) = producers.died().first() {
            let message =
                format!("{died} began and did not end: the pieces may not be whole, nothing was touched");
            return Err(Failure::new(Exit::Failed, message).hint("run the whole pipeline again").into());
        }
    }
    let worst = producers.worst();
    if any && !matches!(worst, Exit::Success | Exit::Partial | Exit::Finding) {
        let message = format!(
            "what feeds us ended with status {}: the pieces may not be whole, nothing was touched",
            worst.code()
        );
        return Err(Failure::new(worst, message).hint("mend that, and run the whole pipeline again").into());
    }
    let mut directory = None;
    if !any {
        if worst != Exit::Success {
            return Err(Failure::new(
                worst,
                "what feeds us has failed and gave no pieces; nothing was touched",
            )
            .into());
        }
        let Some(dir) = &cli.restore.source_dir else {
            return Err(Failure::new(Exit::Usage, "no pieces: standard input is empty and there is no directory")
                .hint("give the records of s3-get on standard input, or name a directory with --source-dir or RESTORE_SOURCE_DIR")
                .into());
        };
        let dir = dir.canonicalize().with_context(|| format!("look at {}", dir.display()))?;
        told = scan(&dir, &mut records)?;
        directory = Some(dir);
    }
    records.rewind().context("read the records")?;
    Ok(Source { records, directory, told, worst })
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|w| w == part)
}

/// The manifests of a directory, and a record with the hash of everything else in it; says whether there are manifests.
fn scan(dir: &Path, records: &mut File) -> anyhow::Result<bool> {
    let (mut manifests, mut files) = (Vec::new(), Vec::new());
    let mut open = vec![dir.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(&dir).with_context(|| format!("read {}", dir.display()))? {
            let path = entry.with_context(|| format!("read {}", dir.display()))?.path();
            let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
            if path.is_dir() {
                open.push(path);
            } else if name.ends_with(".jsonl") {
                manifests.push(path);
            } else if path.is_file() && !name.starts_with('.') && !name.ends_with(".log") {
                files.push(path);
            }
        }
    }
    manifests.sort();
    files.sort();
    for path in &manifests {
        let file = File::open(path).with_context(|| format!("open {}", path.display()))?;
        let mut input = Input::new(std::io::BufReader::new(file), None);
        while let Some(line) = input.next_line().with_context(|| format!("read {}", path.display()))? {
            // These runs ended long ago: how they did is not the status of this one.
            if matches!(line.kind().ok().flatten().as_deref(), Some("run_begin" | "run_end")) {
                continue;
            }
            records.write_all(line.raw()).context("write the records")?;
            if !line.raw().ends_with(b"\n") {
                records.write_all(b"\n").context("write the records")?;
            }
        }
    }
    if manifests.is_empty() {
        return Ok(false);
    }
    let hashes = hash_all(&files)?;
    let out = Out::to(Box::new(std::io::sink()), "rman-run", "scan", Mode::Json);
    for (path, (sha256, bytes)) in files.iter().zip(hashes) {
        let record = record::File {
            path: path.display().to_string(),
            bytes: Some(bytes),
            sha256: Some(sha256),
            ..record::File::default()
        };
        let mut line = out.line(&record)?;
        line.push(b'\n');
        records.write_all(&line).context("write the records")?;
    }
    Ok(true)
}

/// SHA-256 and size of each file, two at a time.
fn hash_all(files: &[PathBuf]) -> anyhow::Result<Vec<(String, u64)>> {
    let next = AtomicUsize::new(0);
    let results: Mutex<Vec<Option<(String, u64)>>> = Mutex::new(vec![None; files.len()]);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| -> anyhow::Result<()> {
                    loop {
                        let index = next.fetch_add(1, Ordering::Relaxed);
                        let Some(path) = files.get(index) else { return Ok(()) };
                        let found = hash(path)?;
                        results.lock().unwrap_or_else(PoisonError::into_inner)[index] = Some(found);
                    }
                })
            })
            .collect();
        for worker in workers {
            worker.join().unwrap_or_else(|_| Err(anyhow::anyhow!("a reader of pieces broke down")))?;
        }
        anyhow::Ok(())
    })?;
    Ok(results.into_inner().unwrap_or_else(PoisonError::into_inner).into_iter().flatten().collect())
}

fn hash(path: &Path) -> anyhow::Result<(String, u64)> {
    let mut file = File::open(path).with_context(|| format!("open {}", path.display()))?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    let mut bytes = 0;
    loop {
        if signals::pending().is_some() {
            anyhow::bail!("asked to stop while {} was checked", path.display());
        }
        let n = file.read(&mut buffer).with_context(|| format!("read {}", path.display()))?;
        if n == 0 {
            break;
        }
        hasher.update(&buffer[..n]);
        bytes += n as u64;
    }
    Ok((hasher.finalize().iter().map(|b| format!("{b:02x}")).collect(), bytes))
}

/// A piece as it lies on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Local {
    pub path: String,
    pub sha256: Option<String>,
}

/// A `file` record, or an `archived_log` record with the place to which the log was shipped.
#[derive(Deserialize)]
struct Place {
    path: String,
    sha256: Option<String>,
    dest: Option<String>,
}

/// Where the copy of a piece is.
///
/// # Errors
/// Its record cannot be read again.
pub fn local(intake: &Intake, copy: &Copy) -> anyhow::Result<Local> {
    let place: Place = serde_json::from_slice(&intake.line(copy.copy.unwrap_or(copy.file))?)
        .context("read the record of a piece")?;
    let sha256 = match place.sha256 {
        Some(sha) => Some(sha),
        None => record_at(intake, copy.file)?.sha256,
    };
    let path = match place.dest {
        Some(dest) if !Path::new(&place.path).is_file() => dest,
        _ => place.path,
    };
    Ok(Local { path, sha256 })
}

fn record_at(intake: &Intake, line: LineRef) -> anyhow::Result<record::File> {
    serde_json::from_slice(&intake.line(line)?).context("read the record of a piece")
}

/// What the record of a control file says of the datafiles' paths.
///
/// # Errors
/// The record cannot be read again.
pub fn datafile_paths(intake: &Intake, set: u32) -> anyhow::Result<Vec<(u64, String)>> {
    for copy in intake.pieces(set) {
        for content in record_at(intake, copy.file)?.contents.into_iter().flatten() {
            if let Content::Controlfile(controlfile) = content {
                return Ok(controlfile.datafiles.into_iter().map(|d| (d.file, d.path)).collect());
            }
        }
    }
    Ok(Vec::new())
}

/// Those of the pieces whose content is not what their record says, each with what is wrong.
///
/// # Errors
/// A piece cannot be read at all.
pub fn damaged(pieces: &[Local]) -> anyhow::Result<Vec<(String, String)>> {
    let paths: Vec<PathBuf> = pieces.iter().map(|p| PathBuf::from(&p.path)).collect();
    let mut damaged = Vec::new();
    for (piece, (sha256, _)) in pieces.iter().zip(hash_all(&paths)?) {
        match &piece.sha256 {
            Some(expected) if !expected.eq_ignore_ascii_case(&sha256) => {
                damaged
                    .push((piece.path.clone(), format!("its SHA-256 is {sha256} and should be {expected}")));
            }
            _ => {}
        }
    }
    Ok(damaged)
}
