//! Flags of restore.

use std::path::PathBuf;

/// How a restore is done.
#[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args)]
#[command(next_help_heading = "Restore options")]
pub struct RestoreArgs {
    /// Restore from the pieces in DIR when standard input has no records
    #[arg(long, value_name = "DIR", env = "RESTORE_SOURCE_DIR")]
    pub source_dir: Option<PathBuf>,

    /// Restore the control file first
    #[arg(long)]
    pub controlfile: bool,

    /// Restore the server parameter file first
    #[arg(long)]
    pub spfile: bool,

    /// Open with RESETLOGS even after a complete recovery
    #[arg(long, conflicts_with = "no_resetlogs")]
    pub resetlogs: bool,

    /// Leave the database mounted after an incomplete recovery, to be opened by hand
    #[arg(long)]
    pub no_resetlogs: bool,

    /// Overwrite a database that is open
    #[arg(long)]
    pub force: bool,
}
