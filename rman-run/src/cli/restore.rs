//! Flags of restore.

use std::path::PathBuf;

/// How a restore is done.
#[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args)]
#[command(next_help_heading = "Restore options")]
pub struct RestoreArgs {
    /// Restore from the pieces in DIR when standard input has no records
    #[arg(long, value_name = "DIR", env = "RESTORE_SOURCE_DIR")]
    pub source_dir: Option<PathBuf>,

    /// plan and restore: the database that is meant, when the records are of several
    #[arg(long, value_name = "DBID")]
    pub dbid: Option<u64>,

    /// plan and restore: take this piece as lost: a path, a key, or the last part of one. May be repeated
    #[arg(long, value_name = "NAME")]
    pub without: Vec<String>,

    /// Restore datafiles below SRC to below DST, the longest SRC wins. May be repeated
    #[arg(long, value_name = "SRC=DST", value_delimiter = ',', value_parser = map)]
    pub map: Vec<(String, String)>,

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

fn map(text: &str) -> Result<(String, String), String> {
    let whole = |t: &str| t.starts_with('/') && !t.contains(['\'', '"', '\n']);
    match text.split_once('=') {
        Some((from, to)) if whole(from) && whole(to) => Ok((from.to_owned(), to.to_owned())),
        _ => Err("two absolute paths without quotes, as /u01/oradata=/u02/oradata".to_owned()),
    }
}
