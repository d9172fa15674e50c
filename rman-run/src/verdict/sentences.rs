//! Lines without a code that say something all the same.

use super::codes::Severity;
use super::judge::Judge;
use super::patterns;

impl Judge {
    /// The sentences that hide a loss, and those that prove that something was done. They carry no code.
    pub(super) fn sentence(&mut self, text: &str) {
        let lower;
        let t = if text.is_ascii() && !text.bytes().any(|b| b.is_ascii_uppercase()) {
            text
        } else {
            lower = text.to_ascii_lowercase();
            lower.as_str()
        };
        let warning = if text.contains("'EXPIRED'") || t.starts_with("validation failed for archive") {
            Some("something in RMAN's repository is not where it should be")
        } else if t.starts_with("skipping offline file") || t.starts_with("skipping offline datafile") {
            Some("an offline datafile was left out")
        } else if t.starts_with("skipping read-only file") || t.starts_with("skipping read only file") {
            Some("a read-only datafile was left out: an older backup of it must be kept")
        } else if t.starts_with("skipping inaccessible") {
            Some("a datafile that could not be read was left out")
        } else if t.starts_with("skipping datafile") && t.contains("already backed up") {
            Some("a datafile was left out because it is in another backup, which must be kept")
        } else if t.starts_with("could not read file header for datafile") {
            Some("the header of a datafile could not be read")
        } else if t.starts_with("failover to ") {
            self.went_on();
            Some("a backup piece could not be used, an older one was taken")
        } else if t.contains("job failed will not be re-run") {
            Some("a channel failed, others went on")
        } else if t.starts_with("validate found one or more corrupt blocks")
            || t.contains("found one or more corrupt blocks")
        {
            self.report(Severity::Error, None, "damaged blocks were found", text);
            return;
        } else if t.starts_with("list of files which were not cataloged")
            || t.starts_with("list of files which where not cataloged")
        {
            self.is_rman = true;
            Some("files were not catalogued; a piece that is wanted may be among them")
        } else if patterns::failed_row(text) && self.is_rman {
            self.report(Severity::Error, None, "VALIDATE found damage in a file", text);
            return;
        } else if t.starts_with("media recovery failed") {
            self.is_rman = true;
            self.report(Severity::Error, None, "recovery failed", text);
            return;
        } else {
            None
        };
        if let Some(meaning) = warning {
            self.is_rman = true;
            self.report(Severity::Warning, None, meaning, text);
            return;
        }
        if let Some(file) = patterns::no_parent(text) {
            self.is_rman = true;
            self.session.no_parent.insert(file);
            return;
        }
        const NOTICES: [(&str, &str); 3] = [
            ("skipping archived log", "archived logs were left out because they are in another backup"),
            ("skipping archive log", "archived logs were left out because they are in another backup"),
            ("no backup of log thread", "a log has no backup"),
        ];
        if let Some((_, meaning)) = NOTICES.iter().find(|(begin, _)| t.starts_with(begin)) {
            self.report(Severity::Notice, None, meaning, text);
            return;
        }
        const DONE: [&str; 12] = [
            "media recovery complete",
            "database opened",
            "database mounted",
            "oracle instance started",
            "crosschecked ",
            "cataloging done",
            "specification does not match",
            "deleted ",
            "new rman configuration",
            "restored ",
            "released channel",
            "recovery manager ",
        ];
        if DONE.iter().any(|d| t.starts_with(d)) {
            self.session.finished = true;
            self.is_rman |= t.starts_with("media recovery") || t.starts_with("released channel");
        }
    }
}

/// Codes that mean a failure even where every message has its number.
pub fn is_failure(code: &str) -> bool {
    let number: u32 = code.strip_prefix("RMAN-").and_then(|n| n.parse().ok()).unwrap_or(0);
    matches!(number, 500..=2999 | 3002..=3021 | 3033..=3089 | 4000..=4999 | 5000..=5999 | 10000..=29999)
}

/// Where pieces go when nobody says where: lost together with the machine.
pub fn in_oracle_home(path: &str) -> bool {
    let (dir, _) = path.rsplit_once(['/', '\\']).unwrap_or(("", path));
    let last = dir.rsplit(['/', '\\']).next().unwrap_or_default();
    (last == "dbs" && dir.starts_with('/')) || (last.eq_ignore_ascii_case("database") && dir.contains(":\\"))
}

/// What other programs begin their logs with.
pub fn foreign(text: &str) -> Option<&'static str> {
    const SIGNS: [(&str, &str); 9] = [
        ("Export: Release", "a log of expdp"),
        ("Import: Release", "a log of impdp"),
        ("SQL*Plus: Release", "a log of SQL*Plus"),
        ("SQL>", "a log of SQL*Plus"),
        ("SP2-", "a log of SQL*Plus"),
        (". . exported", "a log of expdp"),
        ("Media Recovery ", "an alert log"),
        ("Completed: ", "an alert log"),
        ("sending incremental file list", "a log of rsync"),
    ];
    SIGNS.iter().find(|(sign, _)| text.starts_with(sign)).map(|(_, what)| *what)
}
