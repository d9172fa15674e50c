//! `check-log`: the verdict on RMAN logs that exist.

use std::fs::File;
use std::path::Path;

use common::app::{Frame, Report};
use common::exit::{Exit, Failure};
use common::record::{Level, Log};

use crate::cli::Cli;
use crate::verdict::{judge, Beside, Finding, Outcome, Severity, Verdict};

/// Judges each file that the arguments name; the worst verdict is the status.
///
/// # Errors
/// Status 64 without a file; a record cannot be written.
pub fn run(cli: &Cli, frame: &Frame) -> anyhow::Result<Report> {
    if cli.args.is_empty() {
        return Err(Failure::new(Exit::Usage, "check-log needs the name of a log")
            .hint("rman-run check-log /path/backup_log_FULL_20260801_220000.log; \"-\" is standard input")
            .into());
    }
    let mut report = Report::new(Exit::Success);
    let mut worst = Exit::Success;
    for name in &cli.args {
        let exit = one(frame, name, &mut report)?;
        worst = worst.worse(exit);
    }
    report.exit = Some(worst);
    Ok(report)
}

fn one(frame: &Frame, name: &str, report: &mut Report) -> anyhow::Result<Exit> {
    let found = if name == "-" {
        judge(std::io::stdin().lock(), Beside::default())
    } else {
        open(Path::new(name)).and_then(|file| judge(file, Beside::default()))
    };
    let verdict = match found {
        Ok(verdict) => verdict,
        Err(error) => {
            report.count("failure", 1);
            frame.out.emit(&Log::error(format!("{name}: failure: the log cannot be read: {error}")))?;
            return Ok(Exit::Failed);
        }
    };
    emit(frame, name, &verdict)?;
    report.count(&verdict.outcome.to_string(), 1);
    Ok(exit_of(verdict.outcome))
}

/// A directory can be opened too, and reading it says nothing useful.
fn open(path: &Path) -> std::io::Result<File> {
    let file = File::open(path)?;
    if file.metadata()?.is_dir() {
        return Err(std::io::Error::other("it is a directory"));
    }
    Ok(file)
}

/// The exit status of check-log for a verdict.
pub fn exit_of(outcome: Outcome) -> Exit {
    match outcome {
        Outcome::Success => Exit::Success,
        Outcome::Warning => Exit::Partial,
        Outcome::Failure => Exit::Failed,
    }
}

/// One record per finding, then one with the verdict.
///
/// # Errors
/// A record cannot be written.
pub fn emit(frame: &Frame, name: &str, verdict: &Verdict) -> anyhow::Result<()> {
    for finding in &verdict.findings {
        frame.out.emit(&record(name, finding))?;
    }
    let level = match verdict.outcome {
        Outcome::Success => Level::Info,
        Outcome::Warning => Level::Warning,
        Outcome::Failure => Level::Error,
    };
    let of = |severity| verdict.findings.iter().filter(|f| f.severity == severity).count();
    let mut message = format!(
        "{name}: {}: {}, {} in {}",
        verdict.outcome,
        several(of(Severity::Error) as u64, "error"),
        several(of(Severity::Warning) as u64, "warning"),
        several(verdict.lines, "line")
    );
    if let Some(hint) = verdict.hint {
        message.push_str(&format!("; {hint}"));
    }
    frame.out.emit(&Log { level, message, code: None })
}

fn several(n: u64, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

/// A finding as a record.
pub fn record(name: &str, finding: &Finding) -> Log {
    let level = match finding.severity {
        Severity::Notice => Level::Info,
        Severity::Warning => Level::Warning,
        Severity::Error => Level::Error,
    };
    let place = if finding.line > 0 { format!(" line {}", finding.line) } else { String::new() };
    let times = if finding.count > 1 { format!(" ({} times)", finding.count) } else { String::new() };
    Log { level, message: format!("{name}{place}: {}{times}", finding.message), code: finding.code.clone() }
}
