//! The evidence of a drill: the standby was opened, asked and put back into recovery.

use serde::{Deserialize, Serialize};

use super::Payload;

/// How a drill ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum DrillStatus {
    /// Opened, every query as expected, and recovery was seen to go on.
    Success,
    /// Opened and every query as expected; recovery runs again, but no new redo came that would have proved it, or there was
    /// no query.
    Partial,
    /// Anything else.
    #[default]
    Failed,
}

/// Who applies the redo at a standby.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Recovery {
    /// The managed recovery process (MRP) of Data Guard.
    Managed,
    /// RECOVER, called again and again, as Standard Edition needs it.
    #[default]
    Manual,
}

/// What became of a test query.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum QueryVerdict {
    /// It answered, and with the expected value where there is one.
    Passed,
    /// It answered something else than expected.
    Differs,
    /// Oracle refused it.
    #[default]
    Error,
    /// It did not answer in time.
    Late,
    /// It was not asked: the drill had ended.
    Skipped,
}

optional_record! {
    /// A test query and its answer.
    DrillQuery {
        /// Its name in the file of queries, or its number.
        name: String,
        /// The query as it was asked.
        sql: String,
        /// What became of it.
        verdict: QueryVerdict,
        /// How long the session took.
        seconds: f64,
        ;
        /// What the answer should be; absent where any answer is good.
        expected: String,
        /// The answer; absent where it is NULL or there is none.
        result: String,
        /// Why there is no answer.
        reason: String,
    }
}

optional_record! {
    /// A drill of the standby. The evidence file holds these records as lines, each with the hash of the one before it.
    Drill {
        /// Name of the standby host.
        host: String,
        /// The user who ran it.
        user: String,
        /// When it began: UTC, RFC 3339.
        started: String,
        /// How it ended.
        status: DrillStatus,
        /// Who applies the redo.
        recovery: Recovery,
        /// Whether recovery runs again and was seen to go on.
        resumed: bool,
        /// From the beginning to the end.
        seconds: f64,
        /// Place in the chain of evidence, from 1.
        number: u64,
        /// SHA-256 of the line before in the evidence file, without its newline; 64 zeros in the first.
        prev: String,
        /// The test queries in the order of their file.
        queries: Vec<DrillQuery>,
        ;
        /// DB_NAME.
        db: String,
        /// Name of the instance.
        sid: String,
        /// Database identifier.
        dbid: u64,
        /// Pluggable databases that were open read only too, without the seed; absent where there are none.
        pdbs: Vec<String>,
        /// All redo below this SCN was in the database while it was open.
        scn: u64,
        /// Time of that SCN by the clock of the primary, without a zone.
        time: String,
        /// How long it was open and not recovering.
        open_seconds: f64,
        /// How far recovery had come when it was seen to go on.
        resumed_scn: u64,
        /// Who put the standby back when the drill could not: `keeper`, `recover`.
        put_back_by: String,
        /// What was wrong.
        reason: String,
    }
}

impl Payload for Drill {
    const TYPE: &'static str = "drill";

    fn human(&self) -> String {
        let status = match self.status {
            DrillStatus::Success => "success",
            DrillStatus::Partial => "partial",
            DrillStatus::Failed => "FAILED",
        };
        let scn = self.scn.map(|scn| format!(", open at SCN {scn}")).unwrap_or_default();
        let passed = self.queries.iter().filter(|q| q.verdict == QueryVerdict::Passed).count();
        let resumed = if self.resumed { "recovery goes on" } else { "recovery was NOT seen to go on" };
        let reason = self.reason.as_ref().map(|r| format!(": {r}")).unwrap_or_default();
        format!(
            "drill {} {status}{scn}, {passed} of {} queries passed, {resumed}{reason}",
            self.number,
            self.queries.len()
        )
    }
}
