//! The files of the run: from records on standard input, which are passed on first, and from arguments.

use std::collections::HashSet;
use std::io::BufReader;
use std::path::PathBuf;
use std::sync::Arc;

use common::exit::Exit;
use common::record::{File as FileRecord, Input, Line, Log, Out};
use serde::Deserialize;
use tokio::sync::mpsc;

use super::job::Job;
use super::manifest::Recorder;

/// What the input said at its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// The worst `run_end`.
    pub worst: Exit,
    /// Producers that began and never ended.
    pub died: Vec<String>,
    pub bad_lines: u64,
}

impl Default for Told {
    fn default() -> Self {
        Self { worst: Exit::Success, died: Vec::new(), bad_lines: 0 }
    }
}

/// What is said of an input without any line.
const NOBODY: &str = "standard input had no line at all: whatever should have written to it never started";

/// The role as the line has it; [`common::record::Role`] knows only ours.
#[derive(Deserialize)]
struct RoleOf {
    role: Option<String>,
}

/// Reads standard input to its end and sends a job for every file of a wanted role.
///
/// When nobody takes the jobs any more, the rest is still passed on: a producer must not die of our failure.
pub fn read(
    out: Out,
    recorder: &Arc<Recorder>,
    roles: &[String],
    logs: bool,
    jobs: &mpsc::Sender<Job>,
) -> anyhow::Result<Told> {
    let mut input = Input::new(BufReader::new(std::io::stdin()), Some(out));
    let mut told = Told::default();
    let mut seen = HashSet::new();
    let mut silent = true;
    while let Some(line) = input.next_line()? {
        silent = false;
        recorder.keep(line.raw())?;
        match job(&line) {
            Ok(None) => {}
            Ok(Some(job)) => {
                let wanted = match job.role.as_deref() {
                    Some("manifest") => false,
                    Some("log") if logs => true,
                    role => roles.is_empty() || role.is_some_and(|r| roles.iter().any(|w| w == r)),
                };
                if wanted && seen.insert(job.path.clone()) {
                    let _nobody_takes_it = jobs.blocking_send(job);
                }
            }
            Err(error) => {
                told.bad_lines += 1;
                recorder.emit(&Log::error(format!("{error:#}")))?;
            }
        }
    }
    told.worst = input.worst();
    if silent {
        // Not even a run_begin: the tool before this one was not found or died at once.
        recorder.emit(&Log::error(NOBODY))?;
        common::app::report_error("s3-put", &anyhow::anyhow!(NOBODY));
        told.worst = told.worst.worse(Exit::Failed);
    }
    told.died = input.died();
    Ok(told)
}

/// The file that a line names, if it names one of this host.
fn job(line: &Line) -> anyhow::Result<Option<Job>> {
    let record: FileRecord = match line.kind()?.as_deref() {
        Some("file") => match line.decode::<FileRecord>()? {
            Some(record) => record,
            None => return Ok(None),
        },
        None => line.as_payload()?,
        Some(_) => return Ok(None),
    };
    if record.host.as_ref().is_some_and(|host| *host != common::app::host()) {
        return Ok(None);
    }
    // A manifest or an object that an earlier tool has stored is no local file.
    if record.path.starts_with("s3://") {
        return Ok(None);
    }
    let role = line.as_payload::<RoleOf>()?.role;
    Ok(Some(Job { path: PathBuf::from(&record.path), role, record: Some(record) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> anyhow::Result<Option<Job>> {
        job(&Line::new(text.as_bytes(), 1))
    }

    #[test]
    fn files_are_taken_and_other_records_are_not() {
        let job =
            of(r#"{"v":1,"type":"file","path":"/b/x.bkp","role":"from_the_future","bytes":3}"#).unwrap();
        let job = job.unwrap();
        assert_eq!((job.path.to_str(), job.role.as_deref()), (Some("/b/x.bkp"), Some("from_the_future")));
        assert_eq!(of(r#"{"path":"/b/x.bkp"}"#).unwrap().unwrap().role, None);
        assert!(of(r#"{"v":1,"type":"object","bucket":"b","key":"k"}"#).unwrap().is_none());
        assert!(of(r#"{"v":1,"type":"file","path":"/b/x","host":"elsewhere.example"}"#).unwrap().is_none());
        assert!(of(r#"{"v":1,"type":"file","path":"s3://b/manifests/x"}"#).unwrap().is_none());
    }

    #[test]
    fn bad_lines_are_errors() {
        for bad in ["nonsense", r#"{"type":"file"}"#, r#"{"v":2,"type":"file","path":"/x"}"#, "[]"] {
            assert!(of(bad).is_err(), "{bad}");
        }
    }
}
