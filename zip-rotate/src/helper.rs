//! The child that works in a directory for copies: a network mount that hangs can stop it, and not the run.

use std::io::{Read, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;
use rustix::process::{getppid, set_parent_process_death_signal, Signal};
use serde::{Deserialize, Serialize};

use crate::job::{perform, Answer, Job};

/// The only argument of a call that makes this program the child; it is no part of the command line.
pub const ARGUMENT: &str = "--work-in-a-directory-for-copies";
/// How often progress is told at most.
const EVERY: Duration = Duration::from_millis(200);

/// What the child writes, one per line.
#[derive(Debug, Serialize, Deserialize)]
pub enum Word {
    /// It is getting on: so many bytes.
    Bytes(u64),
    /// A file is removed.
    Gone(String),
    Answer(Answer),
    Error(String),
}

/// Whether this process is the child.
pub fn is_called() -> bool {
    let mut args = std::env::args_os().skip(1);
    args.next().is_some_and(|a| a == ARGUMENT) && args.next().is_none()
}

/// Reads one job, does it, answers.
pub fn main() -> ExitCode {
    // A run that was killed must not leave somebody behind who goes on copying.
    let bound = set_parent_process_death_signal(Some(Signal::KILL));
    let ended = bound.context("bind to the parent").and_then(|()| work());
    let word = ended.map_or_else(|e| Word::Error(format!("{e:#}")), Word::Answer);
    match say(&word) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn work() -> anyhow::Result<Answer> {
    let parent = getppid();
    let mut text = Vec::new();
    std::io::stdin().read_to_end(&mut text).context("read the job")?;
    let job: Job = serde_json::from_slice(&text).context("understand the job")?;
    let mut said: Option<Instant> = None;
    let mut tick = |bytes| {
        anyhow::ensure!(getppid() == parent, "the run that asked for it is gone");
        if said.is_none_or(|at| at.elapsed() >= EVERY) {
            said = Some(Instant::now());
            say(&Word::Bytes(bytes))?;
        }
        Ok(())
    };
    perform(&job, &mut tick, &mut |name| say(&Word::Gone(name.to_owned())))
}

fn say(word: &Word) -> anyhow::Result<()> {
    let mut line = serde_json::to_vec(word)?;
    line.push(b'\n');
    std::io::stdout().write_all(&line).context("answer")
}
