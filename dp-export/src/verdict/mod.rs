//! What a Data Pump log proves, as a pure function of its text.
//!
//! The words of a log depend on the language of the client and of the server; codes, quoted names, numbers and times do
//! not. So those decide, and words only where a language is known. Facts: Oracle Utilities, "Oracle Data Pump Exit
//! Codes" and the forms of the lines since 10g; what each code means for the data is in [`codes`].

pub mod codes;
mod legacy;
mod lines;

#[cfg(test)]
mod tests;

use std::io::BufRead;

use common::record::{Level, SkippedObject};

use codes::Meaning;
pub use lines::{sessions, Session};

/// What a log shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Outcome {
    /// The job came to its end and nothing was left out.
    #[default]
    Success,
    /// It came to its end, something was reported, and nothing is known to be missing.
    Warning,
    /// Something is missing, or nothing proves that the job came to its end.
    Failure,
}

/// One thing that a person should know, with the line that says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub level: Level,
    pub code: Option<String>,
    /// Line of the log, from 1; 0 for something that is not there.
    pub line: usize,
    pub message: String,
}

/// The verdict on a log.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Verdict {
    pub outcome: Outcome,
    pub findings: Vec<Finding>,
    pub skipped: Vec<SkippedObject>,
}

impl Verdict {
    fn add(&mut self, outcome: Outcome, code: Option<&str>, line: usize, message: impl Into<String>) {
        let level = match outcome {
            Outcome::Success => Level::Info,
            Outcome::Warning => Level::Warning,
            Outcome::Failure => Level::Error,
        };
        self.outcome = self.outcome.max(outcome);
        self.note(level, code, line, message);
    }

    fn note(&mut self, level: Level, code: Option<&str>, line: usize, message: impl Into<String>) {
        self.findings.push(Finding { level, code: code.map(str::to_owned), line, message: message.into() });
    }

    /// The first finding of the worst kind: what to say in one sentence.
    pub fn reason(&self) -> Option<&Finding> {
        let rank = |level: Level| match level {
            Level::Error => 2,
            Level::Warning => 1,
            Level::Info => 0,
        };
        let worst = self.findings.iter().map(|f| rank(f.level)).max()?;
        self.findings.iter().find(|f| rank(f.level) == worst)
    }
}

/// How the final line of a job says it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    Complete,
    /// `completed with n error(s)`.
    Errors(u64),
    Fatal,
    /// Final line of a language that we do not know, without a number of errors.
    Unknown,
}

/// The verdict on every session in a log; the worst one counts.
///
/// Memory is bounded by the number of messages and exported objects, not by the size of the log.
///
/// # Errors
/// The log cannot be read.
pub fn of_log(log: impl BufRead) -> std::io::Result<Verdict> {
    let sessions = lines::sessions(log)?;
    if sessions.is_empty() {
        let mut verdict = Verdict::default();
        verdict.add(Outcome::Failure, None, 0, "nothing in it is a message of Data Pump: it proves nothing");
        return Ok(verdict);
    }
    let mut whole = Verdict::default();
    for session in &sessions {
        let one = of_session(session);
        whole.outcome = whole.outcome.max(one.outcome);
        whole.findings.extend(one.findings);
        whole.skipped.extend(one.skipped);
    }
    Ok(whole)
}

/// The verdict on one session by its log alone.
pub fn of_session(session: &Session) -> Verdict {
    let mut verdict = Verdict::default();
    if session.legacy {
        legacy::judge(session, &mut verdict);
        return verdict;
    }
    let messages = messages(session, &mut verdict);
    if session.prompted {
        verdict.add(
            Outcome::Failure,
            None,
            0,
            "it asked for a user name or password: the logon was not given or refused",
        );
    }
    match session.ending {
        Some((Ending::Complete, _)) => {
            if session.objects.is_empty() && session.is_export() {
                verdict.note(Level::Warning, None, 0, "no table was exported: the dump has no rows");
            }
        }
        Some((Ending::Errors(n), line)) => {
            let explained = messages > 0;
            let text = if explained {
                format!("completed with {n} errors")
            } else {
                format!("completed with {n} errors, and the log does not show which")
            };
            let outcome = if explained { Outcome::Warning } else { Outcome::Failure };
            verdict.add(outcome, None, line, text);
        }
        Some((Ending::Fatal, line)) => {
            verdict.add(Outcome::Failure, None, line, "stopped due to a fatal error: the dump is unusable");
        }
        Some((Ending::Unknown, line)) => {
            verdict.add(Outcome::Failure, None, line, "its final line does not say how the job ended");
        }
        None if session.began => {
            verdict.add(
                Outcome::Failure,
                None,
                0,
                "no final line: the job never started, or the client died before its end",
            );
        }
        None => {
            verdict.note(Level::Info, None, 0, "an excerpt: it has neither the start nor the end of a job")
        }
    }
    verdict
}

/// Judges the messages; returns how many there were that count as errors of the job.
fn messages(session: &Session, verdict: &mut Verdict) -> usize {
    let mut counted = 0;
    for message in &session.messages {
        let meaning = codes::meaning(&message.code);
        let cause = message.cause.as_deref().unwrap_or(&message.code);
        if meaning != Meaning::Note {
            counted += 1;
        }
        let text = &message.text;
        match meaning {
            Meaning::Lost => {
                verdict.add(Outcome::Failure, Some(&message.code), message.line, text.clone());
                if let Some(object) = &message.object {
                    verdict.skipped.push(SkippedObject { object: object.clone(), code: cause.to_owned() });
                }
            }
            Meaning::Failed => verdict.add(Outcome::Failure, Some(&message.code), message.line, text.clone()),
            // A wait that ran into its time limit has failed; the cause says so.
            Meaning::Waited if cause == "ORA-30032" => {
                verdict.add(Outcome::Failure, Some(cause), message.line, text.clone());
            }
            Meaning::Waited | Meaning::Warned => {
                verdict.add(Outcome::Warning, Some(&message.code), message.line, text.clone());
            }
            Meaning::Note => {
                // The only thing in an excerpt: then it is what the excerpt is about.
                let alone = session.ending.is_none() && session.objects.is_empty() && !session.began;
                let outcome = if alone { Outcome::Warning } else { Outcome::Success };
                verdict.outcome = verdict.outcome.max(outcome);
                verdict.note(Level::Warning, Some(&message.code), message.line, text.clone());
            }
            Meaning::Unknown => {
                let complete = matches!(session.ending, Some((Ending::Complete, _)));
                let outcome = if complete { Outcome::Warning } else { Outcome::Failure };
                verdict.add(outcome, Some(&message.code), message.line, text.clone());
            }
        }
    }
    counted
}
