//! The records of the tools before us in the pipeline: passed on, and asked whether their runs were a success.

use std::io::BufRead;

use common::app::Frame;
use common::exit::Exit;
use common::record::{Input, Log};
use rustix::fs::FileType;

/// How the runs before us ended.
#[derive(Debug)]
pub struct Before {
    /// The worst status of their `run_end`s and of bad lines.
    pub exit: Exit,
    /// Why nothing may be deleted, if so.
    pub forbids: Option<String>,
}

impl Before {
    pub fn nothing() -> Self {
        Self { exit: Exit::Success, forbids: None }
    }
}

/// Whether standard input is a pipe or a file, and not a terminal, /dev/null or what a service has there.
pub fn is_given() -> bool {
    let kind = rustix::fs::fstat(std::io::stdin()).map(|s| FileType::from_raw_mode(s.st_mode));
    matches!(kind, Ok(FileType::Fifo | FileType::RegularFile))
}

/// Reads all of it; every line is passed on first.
pub fn read(input: impl BufRead, frame: &Frame) -> anyhow::Result<Before> {
    let mut before = Before::nothing();
    let mut input = Input::new(input, Some(frame.out.clone()));
    while let Some(line) = input.next_line()? {
        if let Err(error) = line.kind() {
            before.exit = before.exit.worse(Exit::Partial);
            frame.out.emit(&Log::error(format!("{error:#}")))?;
        }
    }
    let worst = input.worst();
    if worst != Exit::Success {
        before.forbids = Some(format!("the run before ended with status {}", worst.code()));
    }
    before.exit = before.exit.worse(worst);
    let died = input.died();
    if !died.is_empty() {
        let message =
            format!("the input ended without the run_end of {}: its producer died", died.join(" and "));
        frame.out.emit(&Log::error(&message))?;
        before.exit = before.exit.worse(Exit::Failed);
        before.forbids = Some(message);
    }
    Ok(before)
}
