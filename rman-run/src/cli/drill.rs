//! Flags of drill.

use std::path::PathBuf;
use std::time::Duration;

use common::values::duration;

/// How the standby is opened, asked and put back.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Drill options")]
pub struct DrillArgs {
    /// Ask the test queries in FILE: SELECT statements with one value each, ended by ";". A line "-- expect: VALUE" before
    /// one says what must come, "-- name: NAME" what to call it
    #[arg(long, value_name = "FILE", env = "DRILL_QUERIES")]
    pub queries: Option<PathBuf>,

    /// Manual recovery: archived logs arrive in DIR; may be repeated
    #[arg(long, value_name = "DIR", env = "DEST_ARCHLOG_DIR", value_parser = super::directory)]
    pub logs: Vec<PathBuf>,

    /// Enterprise Edition recovered by hand: without it a standby whose managed recovery does not run is refused, for that may
    /// have died
    #[arg(long, env = "DRILL_MANUAL", value_parser = clap::builder::FalseyValueParser::new())]
    pub manual: bool,

    /// Start the instance with this parameter file, where it has no spfile
    #[arg(long, value_name = "FILE", env = "DRILL_PFILE", value_parser = super::directory)]
    pub pfile: Option<PathBuf>,

    /// Time for each test query
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration)]
    pub query_limit: Duration,

    /// Ask no more queries when the database has been open for so long
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = duration)]
    pub open_limit: Duration,

    /// Time for each of: cancel recovery, open, shut down, mount, recover
    #[arg(long, value_name = "DURATION", default_value = "15m", value_parser = duration)]
    pub step_limit: Duration,

    /// Wait so long for new redo that proves that recovery goes on
    #[arg(long, value_name = "DURATION", default_value = "15m", value_parser = duration)]
    pub resume_wait: Duration,

    /// Go on trying for so long to put the standby back; what is left then is for the next --recover
    #[arg(long, value_name = "DURATION", default_value = "30m", value_parser = duration)]
    pub give_up: Duration,

    /// After a drill that was killed, or a step that did not answer, watch the standby for so long: the server may still do
    /// what it was asked for
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = common::values::any_duration)]
    pub settle: Duration,

    /// Only put back what an earlier drill has left; nothing to do is a success
    #[arg(long, conflicts_with = "verify_evidence")]
    pub recover: bool,

    /// Only check the chain of evidence; status 5 when a line was changed, removed or moved
    #[arg(long)]
    pub verify_evidence: bool,

    /// Given by the keeper of a drill that was killed
    #[arg(long, hide = true, requires = "recover")]
    pub as_keeper: bool,
}
