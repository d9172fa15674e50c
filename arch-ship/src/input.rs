//! Logs that were named: as arguments, or as records on standard input.

use std::collections::HashMap;
use std::path::PathBuf;

use anyhow::Context;
use common::app::Frame;
use common::exit::Exit;
use common::record::{ArchivedLog, File, Input, Line, Log, Role};

use crate::cli::Cli;
use crate::facts::SourceLog;

/// What was named.
#[derive(Debug, Default)]
pub struct Named {
    pub files: Vec<PathBuf>,
    /// What the records claim of a file; it must be true.
    pub claims: HashMap<PathBuf, Claim>,
    /// The worst status of the runs that produced the records.
    pub exit: Worst,
    pub bad_lines: u64,
    pub message: Option<String>,
}

/// The fields of a record that can be checked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Claim {
    pub bytes: Option<u64>,
    pub sha256: Option<String>,
    pub thread: Option<u64>,
    pub sequence: Option<u64>,
    pub resetlogs_id: Option<u64>,
}

/// An [`Exit`] that begins as success.
#[derive(Debug, Clone, Copy)]
pub struct Worst(pub Exit);

impl Default for Worst {
    fn default() -> Self {
        Self(Exit::Success)
    }
}

/// Reads the arguments, and standard input where `-` is among them. `None`: nothing was named.
pub fn read(cli: &Cli, frame: &Frame) -> anyhow::Result<Option<Named>> {
    if cli.files.is_empty() {
        return Ok(None);
    }
    let mut named = Named::default();
    named.files.extend(cli.files.iter().filter(|f| f.as_os_str() != "-").cloned());
    if cli.reads_stdin() {
        records(cli, frame, &mut named)?;
    }
    let mut seen = std::collections::HashSet::new();
    named.files.retain(|f| seen.insert(f.clone()));
    Ok(Some(named))
}

fn records(cli: &Cli, frame: &Frame, named: &mut Named) -> anyhow::Result<()> {
    let mut input = Input::new(std::io::stdin().lock(), Some(frame.out.clone()));
    while let Some(line) = input.next_line()? {
        match understand(&line) {
            Ok(Some((path, claim))) => {
                named.claims.insert(crate::source::place_of(cli, &path), claim);
                named.files.push(path);
            }
            Ok(None) => {}
            Err(error) => {
                named.bad_lines += 1;
                named.exit.0 = named.exit.0.worse(Exit::Partial);
                frame.out.emit(&Log::error(format!("{error:#}")))?;
            }
        }
    }
    named.exit.0 = named.exit.0.worse(input.worst());
    let died = input.died();
    if !died.is_empty() {
        let message =
            format!("the input ended without the run_end of {}: its producer died", died.join(" and "));
        frame.out.emit(&Log::error(&message))?;
        named.message = Some(message);
        named.exit.0 = named.exit.0.worse(Exit::Failed);
    }
    Ok(())
}

/// The log that a line names, if it names one.
fn understand(line: &Line) -> anyhow::Result<Option<(PathBuf, Claim)>> {
    let kind = line.kind()?;
    match kind.as_deref() {
        Some("archived_log") => {
            let Some(log) = line.decode::<ArchivedLog>()? else { return Ok(None) };
            Ok(Some((PathBuf::from(&log.path), claim_of(log))))
        }
        Some("file") => {
            let Some(file) = line.decode::<File>()? else { return Ok(None) };
            if file.role.is_some_and(|r| r != Role::ArchivedLog) {
                return Ok(None);
            }
            let claim = Claim {
                bytes: file.bytes,
                sha256: file.sha256,
                thread: file.thread,
                sequence: file.sequence,
                resetlogs_id: None,
            };
            Ok(Some((PathBuf::from(file.path), claim)))
        }
        Some(_) => Ok(None),
        None => {
            let log: ArchivedLog = line.as_payload().context("not a record and no {\"path\":…}")?;
            Ok(Some((PathBuf::from(&log.path), claim_of(log))))
        }
    }
}

fn claim_of(log: ArchivedLog) -> Claim {
    Claim {
        bytes: log.bytes,
        sha256: log.sha256,
        thread: log.thread,
        sequence: log.sequence,
        resetlogs_id: log.resetlogs_id,
    }
}

impl Claim {
    /// What is not true of the hash, if a hash is claimed.
    pub fn other_hash(&self, is: &str) -> Option<String> {
        let claimed = self.sha256.as_ref().filter(|c| !c.eq_ignore_ascii_case(is))?;
        Some(format!("its record says SHA-256 {claimed} and the log has {is}"))
    }

    /// What is not true of the log, if anything. The hash is compared when the log has been read.
    pub fn contradiction(&self, log: &SourceLog) -> Option<String> {
        let fields = [
            ("bytes", self.bytes, log.stat.bytes),
            ("thread", self.thread, log.key.thread),
            ("sequence", self.sequence, log.key.sequence),
            ("resetlogs_id", self.resetlogs_id, log.key.resetlogs_id),
        ];
        let wrong = fields.into_iter().find(|(_, said, is)| said.is_some_and(|s| s != *is));
        wrong.map(|(name, said, is)| {
            format!("its record says {name} {} and the log has {is}", said.unwrap_or_default())
        })
    }
}
