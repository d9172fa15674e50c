//! Metrics for the textfile collector of the node exporter. The names are a contract: they never change.

use std::fmt::Write;
use std::path::Path;

use common::durable;
use common::exit::Exit;
use common::record::{DrillStatus, QueryVerdict};

use crate::facts::Facts;
use crate::verdict::Verdict;

/// The state of the mail, as far as it is known when the file is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Mails {
    pub waiting: u64,
    pub failed: u64,
}

/// Replaces the file; the collector sees the old or the new one.
pub fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    durable::write(path, text.as_bytes())
}

/// The label of the pipeline that a file is of: `orapipe_PROD_nightly.prom` is that of `PROD_nightly`. The collector wants
/// no two files with the same samples. `orapipe.prom` has no such label.
pub fn pipeline(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    match stem.strip_prefix("orapipe_") {
        Some(rest) => rest.to_owned(),
        None if stem == "orapipe" => String::new(),
        None => stem,
    }
}

/// The metrics of a pipeline. `at`: seconds since 1970.
pub fn text(facts: &Facts, mails: Option<Mails>, at: i64, pipeline: &str) -> String {
    let exit = facts.exit.unwrap_or(Exit::Failed);
    let verdict = Verdict::of(exit);
    let db = facts.db.as_deref().unwrap_or_default();
    let mut labels = format!("db=\"{}\"", label(db));
    if !pipeline.is_empty() {
        labels.push_str(&format!(",pipeline=\"{}\"", label(pipeline)));
    }
    let mut metrics = Metrics { text: String::new(), labels };
    let (done, partial, failed) = facts.items();
    metrics.one(
        "orapipe_last_run_timestamp_seconds",
        "When the last pipeline was reported.",
        &at.to_string(),
    );
    metrics.one(
        "orapipe_verdict",
        "Verdict of the last pipeline: 0 success, 1 partial, 2 critical failure.",
        &verdict.level().to_string(),
    );
    metrics.one("orapipe_exit_status", "Exit status of the last pipeline.", &exit.code().to_string());
    metrics.one("orapipe_duration_seconds", "Duration of the last pipeline.", &number(facts.seconds()));
    metrics.one("orapipe_size_bytes", "Size of the backup of the last pipeline.", &facts.bytes().to_string());
    metrics.many(
        "orapipe_items",
        "Items of the last pipeline by what became of them.",
        "status",
        [("done", done.to_string()), ("partial", partial.to_string()), ("failed", failed.to_string())],
    );
    metrics.one("orapipe_records", "Records of the last pipeline.", &facts.records.to_string());
    metrics.one("orapipe_bad_lines", "Lines that were no records.", &facts.bad_lines.to_string());
    metrics.one("orapipe_redo_gaps", "Gaps in the redo.", &facts.gaps.to_string());
    metrics.one(
        "orapipe_tools_missing",
        "Tools that were expected and never reported.",
        &facts.missing.len().to_string(),
    );
    metrics.one("orapipe_tools_died", "Tools that began and never ended.", &facts.died.len().to_string());
    tools(&mut metrics, facts);
    let good = facts.protection.good.iter().map(|(asset, at)| (asset.name(), at.timestamp().to_string()));
    metrics.many(
        "orapipe_last_good_timestamp_seconds",
        "When the last good backup of a kind was made.",
        "kind",
        good,
    );
    if let Some(standby) = &facts.protection.standby {
        if let Some(scn) = standby.recoverable_to_scn {
            metrics.one(
                "orapipe_standby_recoverable_scn",
                "All redo below this SCN is at the standby.",
                &scn.to_string(),
            );
        }
        if let Some(lag) = standby.lag_seconds.filter(|lag| lag.is_finite()) {
            metrics.one(
                "orapipe_standby_lag_seconds",
                "Age of the SCN to which the standby can be recovered.",
                &number(lag),
            );
        }
        if let Some(bytes) = standby.lag_bytes {
            metrics.one(
                "orapipe_standby_lag_bytes",
                "Redo that is archived and not yet at the standby.",
                &bytes.to_string(),
            );
        }
    }
    drill(&mut metrics, facts);
    if let Some(mails) = mails {
        metrics.one("orapipe_mail_waiting", "Mails in the spool.", &mails.waiting.to_string());
        metrics.one(
            "orapipe_mail_failed",
            "Mails that a server refused for good.",
            &mails.failed.to_string(),
        );
    }
    metrics.text
}

/// The evidence of the drill of this pipeline.
fn drill(metrics: &mut Metrics, facts: &Facts) {
    let Some(drill) = &facts.protection.drill else { return };
    let yes = |yes: bool| u8::from(yes).to_string();
    metrics.one(
        "orapipe_drill_success",
        "Whether the last drill of the standby succeeded: 1 it did.",
        &yes(drill.status == DrillStatus::Success),
    );
    metrics.one(
        "orapipe_drill_resumed",
        "Whether recovery was seen to go on after the drill: 1 it was.",
        &yes(drill.resumed),
    );
    if let Some(scn) = drill.scn {
        metrics.one("orapipe_drill_scn", "SCN at which the standby was open.", &scn.to_string());
    }
    if let Some(seconds) = drill.open_seconds.filter(|s| s.is_finite()) {
        metrics.one(
            "orapipe_drill_open_seconds",
            "How long the standby was open and not recovering.",
            &number(seconds),
        );
    }
    let count = |passed: bool| {
        drill.queries.iter().filter(|q| (q.verdict == QueryVerdict::Passed) == passed).count().to_string()
    };
    metrics.many(
        "orapipe_drill_queries",
        "Test queries of the drill by what became of them.",
        "status",
        [("passed", count(true)), ("failed", count(false))],
    );
}

/// The last run of each tool: one sample per tool, or the collector refuses the file.
fn tools(metrics: &mut Metrics, facts: &Facts) {
    let mut last = std::collections::BTreeMap::new();
    for run in &facts.runs {
        let (exit, seconds) = run.end.as_ref().map_or((2, 0.0), |end| (end.exit, end.seconds));
        last.insert(crate::format::clean(&run.tool, 60), (exit, seconds));
    }
    let exits = last.iter().map(|(tool, (exit, _))| (tool.clone(), exit.to_string()));
    metrics.many(
        "orapipe_tool_exit_status",
        "Exit status of the last run of a tool; 2 when it died.",
        "tool",
        exits,
    );
    let seconds = last.iter().map(|(tool, (_, seconds))| (tool.clone(), number(*seconds)));
    metrics.many("orapipe_tool_duration_seconds", "Duration of the last run of a tool.", "tool", seconds);
}

struct Metrics {
    text: String,
    /// Those of every sample.
    labels: String,
}

impl Metrics {
    fn head(&mut self, name: &str, help: &str) {
        // Writing to a string cannot fail.
        let _never = write!(self.text, "# HELP {name} {help}\n# TYPE {name} gauge\n");
    }

    fn one(&mut self, name: &str, help: &str, value: &str) {
        self.head(name, help);
        let _never = writeln!(self.text, "{name}{{{}}} {value}", self.labels);
    }

    fn many<S: AsRef<str>>(
        &mut self,
        name: &str,
        help: &str,
        by: &str,
        samples: impl IntoIterator<Item = (S, String)>,
    ) {
        let mut samples = samples.into_iter().peekable();
        if samples.peek().is_none() {
            return;
        }
        self.head(name, help);
        for (value, n) in samples {
            let _never =
                writeln!(self.text, "{name}{{{},{by}=\"{}\"}} {n}", self.labels, label(value.as_ref()));
        }
    }
}

fn number(x: f64) -> String {
    if x.is_finite() {
        format!("{x:.3}")
    } else {
        "NaN".to_owned()
    }
}

/// A label value as the text format wants it.
fn label(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::ToolRun;

    #[test]
    fn a_name_in_quotes_breaks_no_line() {
        let mut facts =
            Facts { db: Some("PR\"OD\\1".to_owned()), exit: Some(Exit::Partial), ..Facts::default() };
        for _ in 0..2 {
            facts.runs.push(ToolRun { tool: "dp\nexport".to_owned(), ..ToolRun::default() });
        }
        let text = text(&facts, None, 1_763_600_000, "");
        assert!(text.contains("orapipe_verdict{db=\"PR\\\"OD\\\\1\"} 1\n"), "{text}");
        assert_eq!(text.matches("orapipe_tool_exit_status{").count(), 1, "{text}");
        let path = |name: &str| pipeline(Path::new(name));
        assert_eq!(path("/m/orapipe_PROD_full.prom"), "PROD_full");
        assert_eq!((path("/m/orapipe.prom"), path("/m/night.prom")), (String::new(), "night".to_owned()));
        assert!(text.lines().all(|l| l.starts_with("# ") || l.starts_with("orapipe_")), "{text}");
    }
}
