//! What is to be packed: named files, or the records on standard input; and how the runs ended that made them.

use std::io::{BufRead, IsTerminal};
use std::path::PathBuf;

use common::app::Frame;
use common::exit::{Exit, Failure};
use common::record::{Export, ExportStatus, File, Input, Line, Log, Role};
use rustix::fs::FileType;
use serde::de::IgnoredAny;
use serde::Deserialize;

use crate::cli::Cli;

/// A file that is to be packed, and what is claimed of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    pub path: PathBuf,
    pub bytes: Option<u64>,
    pub sha256: Option<String>,
    pub role: Option<Role>,
    pub schema: Option<String>,
}

/// All that was given.
#[derive(Debug)]
pub struct Given {
    pub files: Vec<Wanted>,
    /// The worst status of the runs that produced the records, and of their lines.
    pub exit: Exit,
    /// What the night lacks, in words: failed exports, bad lines, dead producers.
    pub lacks: Vec<String>,
    pub bad_lines: u64,
}

/// Whether standard input is a pipe or a file, and not a terminal, /dev/null or what a service has there.
pub fn is_given() -> bool {
    let kind = rustix::fs::fstat(std::io::stdin()).map(|s| FileType::from_raw_mode(s.st_mode));
    matches!(kind, Ok(FileType::Fifo | FileType::RegularFile))
}

/// Reads all of it; every line is passed on first.
pub fn read(cli: &Cli, frame: &Frame) -> anyhow::Result<Given> {
    if !cli.paths.is_empty() {
        let files = cli.paths.iter().map(|p| Wanted { path: p.clone(), ..Wanted::default() }).collect();
        return Ok(Given { files, exit: Exit::Success, lacks: Vec::new(), bad_lines: 0 });
    }
    if std::io::stdin().is_terminal() {
        return Err(Failure::new(Exit::Usage, "nothing to pack: no PATH, and standard input is a terminal")
            .hint("name files, or put it behind dp-export; --rotate-only packs nothing")
            .into());
    }
    // Cron gives a pipe without a line to what it runs: for --rotate-only that is no failed producer.
    consider(std::io::stdin().lock(), frame, !cli.rotate_only)
}

fn consider(input: impl BufRead, frame: &Frame, must_speak: bool) -> anyhow::Result<Given> {
    let mut given = Given { files: Vec::new(), exit: Exit::Success, lacks: Vec::new(), bad_lines: 0 };
    let mut input = Input::new(input, Some(frame.out.clone()));
    let mut silent = true;
    while let Some(line) = input.next_line()? {
        silent = false;
        match understand(&line) {
            Ok(Some(Known::File(file))) => given.files.push(file),
            Ok(Some(Known::Lack(lack))) => {
                // Its run_end says so as well, where there is one.
                given.exit = given.exit.worse(Exit::Partial);
                given.lacks.push(lack);
            }
            Ok(None) => {}
            Err(error) => {
                given.bad_lines += 1;
                given.exit = given.exit.worse(Exit::Partial);
                given.lacks.push(format!("{error:#}"));
                frame.out.emit(&Log::error(format!("{error:#}")))?;
            }
        }
    }
    if silent && must_speak {
        // Not even a run_begin: the tool before this one was not found or died at once.
        let message = "standard input had no line at all: whatever should have written to it never started";
        frame.out.emit(&Log::error(message))?;
        given.lacks.push(message.to_owned());
        given.exit = Exit::Failed;
    }
    let worst = input.worst();
    if worst != Exit::Success && given.lacks.is_empty() {
        given.lacks.push(format!("the run before ended with status {}", worst.code()));
    }
    given.exit = given.exit.worse(worst);
    let died = input.died();
    if !died.is_empty() {
        let message =
            format!("the input ended without the run_end of {}: its producer died", died.join(" and "));
        frame.out.emit(&Log::error(&message))?;
        given.lacks.push(message);
        given.exit = given.exit.worse(Exit::Failed);
    }
    Ok(given)
}

enum Known {
    File(Wanted),
    Lack(String),
}

fn understand(line: &Line) -> anyhow::Result<Option<Known>> {
    match line.kind()?.as_deref() {
        Some("file") => {
            let Some(file) = line.decode::<File>()? else { return Ok(None) };
            // Of other roles there may be archives in the stream, our own among them.
            let ours = matches!(file.role, None | Some(Role::Dump | Role::ExportLog));
            Ok((ours && file.host.is_none()).then(|| Known::File(wanted(file))))
        }
        Some("export") => {
            let Some(export) = line.decode::<Export>()? else { return Ok(None) };
            if export.status == ExportStatus::Success {
                return Ok(None);
            }
            let status = format!("{:?}", export.status).to_lowercase();
            let why = export.reason.map(|r| format!(": {r}")).unwrap_or_default();
            Ok(Some(Known::Lack(format!("export of schema {} {status}{why}", export.schema))))
        }
        Some(_) => Ok(None),
        None if is_schema(line) => Ok(None),
        None => Ok(Some(Known::File(wanted(line.as_payload()?)))),
    }
}

/// A line that `dp-export` has read, and passed on as every tool does: a schema to export.
fn is_schema(line: &Line) -> bool {
    #[derive(Deserialize)]
    struct Keys {
        path: Option<IgnoredAny>,
        schema: Option<IgnoredAny>,
        user: Option<IgnoredAny>,
    }
    line.as_payload::<Keys>().is_ok_and(|k| k.path.is_none() && (k.schema.is_some() || k.user.is_some()))
}

fn wanted(file: File) -> Wanted {
    Wanted {
        path: PathBuf::from(file.path),
        bytes: file.bytes,
        sha256: file.sha256,
        role: file.role,
        schema: file.schema,
    }
}
