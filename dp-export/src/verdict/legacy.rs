//! Logs of the old exp and imp, whose exit status is 0 even after warnings.

use super::{Outcome, Session, Verdict};

const WORDS: &[(&str, End)] = &[
    ("terminated successfully without warnings", End::Clean),
    ("terminated successfully with warnings", End::Warnings),
    ("terminated unsuccessfully", End::Failed),
    ("encerrada com sucesso, sem advert", End::Clean),
    ("com sucesso, com advert", End::Warnings),
    ("encerrada sem sucesso", End::Failed),
    ("terminada satisfactoriamente sin advertencias", End::Clean),
    ("terminada correctamente y sin advertencias", End::Clean),
    ("con advertencias", End::Warnings),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Clean,
    Warnings,
    Failed,
}

fn end(line: &str) -> Option<End> {
    let line = line.to_lowercase();
    WORDS.iter().find(|(words, _)| line.contains(words)).map(|(_, end)| *end)
}

pub fn is_end(line: &str) -> bool {
    end(line).is_some()
}

/// Reported by exp although the rows are saved: statistics, character set, rights, skipped grants.
const HARMLESS: &[&str] =
    &["EXP-00091", "EXP-00079", "EXP-00080", "EXP-00105", "IMP-00015", "IMP-00041", "IMP-00403"];

pub fn judge(session: &Session, verdict: &mut Verdict) {
    for message in &session.messages {
        let harmless = HARMLESS.contains(&message.code.as_str());
        let outcome = if harmless { Outcome::Warning } else { Outcome::Failure };
        verdict.add(outcome, Some(&message.code), message.line, message.text.clone());
    }
    match session.legacy_end.as_ref().and_then(|(line, number)| Some((end(line)?, *number))) {
        Some((End::Clean, _)) => {}
        Some((End::Warnings, line)) => {
            verdict.add(
                Outcome::Warning,
                None,
                line,
                "ended with warnings; its exit status was 0 all the same",
            );
        }
        Some((End::Failed, line)) => verdict.add(Outcome::Failure, None, line, "terminated unsuccessfully"),
        None => verdict.add(Outcome::Failure, None, 0, "no final line: the client died before its end"),
    }
}
