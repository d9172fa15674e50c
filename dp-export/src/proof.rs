//! Whether an export is what it was to be: pure.

use std::collections::BTreeSet;

use common::process::Ended;
use common::record::{ExportStatus, Level, SkippedObject};

use crate::verdict::{Ending, Finding, Outcome, Session, Verdict};

/// A dump file as this host sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DumpFile {
    pub name: String,
    /// `None`: it is not there.
    pub bytes: Option<u64>,
}

/// What is known after expdp has ended.
#[derive(Debug, Clone)]
pub struct Evidence<'a> {
    pub ended: Ended,
    pub session: &'a Session,
    pub verdict: &'a Verdict,
    pub job: &'a str,
    /// Tables of the schema when the export began.
    pub tables: &'a BTreeSet<String>,
    /// A filter among the parameters leaves tables out on purpose.
    pub filtered: bool,
    pub dumps: &'a [DumpFile],
    pub min_bytes: u64,
}

/// The judgement of one export.
#[derive(Debug, Clone, PartialEq)]
pub struct Proof {
    pub status: ExportStatus,
    /// Something was reported although nothing is known to be missing.
    pub warned: bool,
    pub reason: Option<String>,
    pub code: Option<String>,
    pub skipped: Vec<SkippedObject>,
}

impl Proof {
    fn failed(reason: impl Into<String>, code: Option<String>) -> Self {
        let reason = Some(reason.into());
        Self { status: ExportStatus::Failed, warned: false, reason, code, skipped: Vec::new() }
    }
}

/// The verdict: success needs every proof, and each missing one has its own sentence.
pub fn judge(evidence: &Evidence<'_>) -> Proof {
    let reason = evidence.verdict.reason().filter(|f| f.level == Level::Error);
    let code = reason.and_then(|f| f.code.clone());
    match evidence.ended {
        Ended::Exited(0 | 5) => {}
        ended => {
            let because = reason.map(|f| format!(": {}", told(f))).unwrap_or_default();
            return Proof::failed(format!("expdp {ended}{because}"), code);
        }
    }
    let ours = evidence.session.job.as_ref().is_some_and(|(_, name)| name == evidence.job);
    match evidence.session.ending {
        Some((Ending::Complete | Ending::Errors(_), _)) if ours => {}
        Some((Ending::Complete | Ending::Errors(_), _)) => {
            return Proof::failed(
                format!("the final line in its log is not that of job {}", evidence.job),
                code,
            );
        }
        _ => {
            let because = reason.map_or_else(|| "its log has no final line".to_owned(), told);
            return Proof::failed(format!("expdp {}, but {because}", evidence.ended), code);
        }
    }
    if let Some(problem) = dump_problem(evidence) {
        return Proof::failed(format!("expdp {}, but {problem}", evidence.ended), code);
    }
    let skipped = skipped(evidence);
    if !skipped.is_empty() {
        let lost: Vec<_> = skipped.iter().take(3).map(|s| format!("{} ({})", s.object, s.code)).collect();
        let more = if skipped.len() > 3 { format!(" and {} more", skipped.len() - 3) } else { String::new() };
        let reason = Some(format!("not exported: {}{more}", lost.join(", ")));
        let code = code.or_else(|| skipped.first().map(|s| s.code.clone()));
        return Proof { status: ExportStatus::Partial, warned: true, reason, code, skipped };
    }
    if evidence.verdict.outcome == Outcome::Failure {
        let reason = reason.map(told);
        return Proof { status: ExportStatus::Partial, warned: true, reason, code, skipped };
    }
    if evidence.ended == Ended::Exited(5) && evidence.verdict.outcome == Outcome::Success {
        let reason = Some("expdp exited 5, and its log does not show why".to_owned());
        return Proof { status: ExportStatus::Partial, warned: true, reason, code, skipped };
    }
    let empty = evidence.session.objects.is_empty();
    let warned = evidence.verdict.outcome == Outcome::Warning;
    let reason = if empty && evidence.tables.is_empty() {
        Some("no table was exported: the schema has none".to_owned())
    } else if empty {
        Some("no rows were exported, as the parameters ask".to_owned())
    } else {
        evidence.verdict.reason().filter(|f| f.level == Level::Warning).map(told)
    };
    Proof { status: ExportStatus::Success, warned, reason, code: None, skipped }
}

fn told(finding: &Finding) -> String {
    match &finding.code {
        Some(code) => format!("{code}: {}", finding.message),
        None => finding.message.clone(),
    }
}

fn dump_problem(evidence: &Evidence<'_>) -> Option<String> {
    if evidence.dumps.is_empty() {
        return Some("it names no dump file".to_owned());
    }
    if let Some(missing) = evidence.dumps.iter().find(|d| d.bytes.is_none()) {
        return Some(format!("its dump {} is not there", missing.name));
    }
    let total: u64 = evidence.dumps.iter().filter_map(|d| d.bytes).sum();
    if total < evidence.min_bytes {
        return Some(format!(
            "its dump has {total} bytes, less than the {} of --min-bytes",
            evidence.min_bytes
        ));
    }
    // The lines are rounded; what they add up to is in the dump, and more.
    let said = evidence.session.bytes;
    if total + total / 50 + (1 << 20) < said {
        return Some(format!("its dump has {total} bytes, and the tables in its log add up to {said}"));
    }
    evidence.dumps.iter().find(|d| d.bytes == Some(0)).map(|d| format!("its dump {} is empty", d.name))
}

/// What the log says was skipped, and what it does not say: tables that should be among the exported ones and are not.
fn skipped(evidence: &Evidence<'_>) -> Vec<SkippedObject> {
    let mut skipped = evidence.verdict.skipped.clone();
    if evidence.filtered {
        return skipped;
    }
    let table = |object: &str| object.split("\":\"").next().map(|t| format!("{}\"", t.trim_end_matches('"')));
    let exported: BTreeSet<String> = evidence.session.objects.iter().filter_map(|(o, _)| table(o)).collect();
    let told: BTreeSet<String> = skipped.iter().filter_map(|s| table(&s.object)).collect();
    for name in evidence.tables {
        if !exported.contains(name) && !told.contains(name) {
            skipped.push(SkippedObject { object: name.clone(), code: "not in the log".to_owned() });
        }
    }
    skipped
}
