//! The target of plan and restore.

/// To where the database is to be recovered.
#[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args)]
#[command(next_help_heading = "Target of plan and restore")]
#[group(multiple = false)]
pub struct UntilArgs {
    /// Recover to this time of the database's clock: "YYYY-MM-DD HH:MM:SS", exclusive
    #[arg(long, value_name = "TIME")]
    pub until_time: Option<String>,

    /// Recover to this SCN, exclusive
    #[arg(long, value_name = "SCN")]
    pub until_scn: Option<u64>,

    /// Recover to this log sequence, exclusive; SEQUENCE or SEQUENCE:THREAD
    #[arg(long, value_name = "SEQ[:THREAD]")]
    pub until_sequence: Option<String>,
}

impl UntilArgs {
    /// Whether a target was named; without one it is the latest moment that can be reached.
    pub fn is_given(&self) -> bool {
        self.until_time.is_some() || self.until_scn.is_some() || self.until_sequence.is_some()
    }
}
