//! `check-log`: the verdict on existing logs.

use std::fs::File;
use std::io::{BufReader, Read};

use anyhow::Context;
use common::app::{Frame, Report};
use common::exit::{Exit, Failure};
use common::record::Log;

use crate::verdict::{of_log, Outcome, Verdict};

/// Judges each log; the worst one decides the status.
pub fn check(files: &[String], frame: &Frame) -> anyhow::Result<Report> {
    if files.is_empty() {
        return Err(Failure::new(Exit::Usage, "check-log needs a log to judge")
            .hint("dp-export check-log /backup/GOLD_domingo.LOG")
            .into());
    }
    let mut report = Report::new(Exit::Success);
    for file in files {
        let verdict = one(file)?;
        let exit = match verdict.outcome {
            Outcome::Success => Exit::Success,
            Outcome::Warning => Exit::Partial,
            Outcome::Failure => Exit::Failed,
        };
        for finding in &verdict.findings {
            let place = if finding.line > 0 { format!("{file}:{}", finding.line) } else { file.clone() };
            let message = format!("{place}: {}", finding.message);
            frame.out.emit(&Log { level: finding.level, message, code: finding.code.clone() })?;
        }
        let word = match verdict.outcome {
            Outcome::Success => "success",
            Outcome::Warning => "warning",
            Outcome::Failure => "failure",
        };
        frame.out.emit(&Log::info(format!("{file}: {word}")))?;
        report.count(word, 1);
        report.exit = Some(report.exit.unwrap_or(Exit::Success).worse(exit));
    }
    Ok(report)
}

fn one(file: &str) -> anyhow::Result<Verdict> {
    let reader: Box<dyn Read> = if file == "-" {
        Box::new(std::io::stdin())
    } else {
        Box::new(File::open(file).map_err(|e| {
            Failure::new(Exit::Usage, format!("open log {file}: {e}")).hint("name a readable log of expdp")
        })?)
    };
    of_log(BufReader::new(reader)).with_context(|| format!("read log {file}"))
}
