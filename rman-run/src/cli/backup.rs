//! Flags of full, incremental, archivelog, crosscheck and status.

use std::path::PathBuf;
use std::time::Duration;

/// What a backup is to be like.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Backup options")]
pub struct BackupArgs {
    /// Write the pieces below DIR, into a directory YYYYMMDD_HHMMSS_run for each run
    #[arg(long, value_name = "DIR", env = "TEMP_BACKUP_DIR", value_parser = super::directory)]
    pub output_dir: Option<PathBuf>,

    /// Compress the pieces with BASIC, which all editions may use
    #[arg(long)]
    pub compressed: bool,

    /// Split datafiles larger than SIZE among the channels: a number with suffix K, M or G
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub section_size: Option<String>,

    /// Make no piece larger than SIZE: a number with suffix K, M or G
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub max_piece_size: Option<String>,

    /// Delete archived logs older than this, if they are in a backup that this tool has verified; "never" keeps all
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = keep)]
    pub keep_archivelogs: Keep,

    /// Tag of the backup [default: BK_<TYPE>_<mmddHHMMSS>]
    #[arg(long, value_name = "TAG", value_parser = tag)]
    pub tag: Option<String>,

    /// crosscheck: refuse when more than N % of the pieces or archived logs are not found
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u8).range(0..=100))]
    pub max_expired: u8,

    /// status: a level 0 older than this is overdue
    #[arg(long, value_name = "DURATION", default_value = "8days", value_parser = common::values::duration)]
    pub level0_every: Duration,

    /// status: a database whose last backup of any level is older than this is overdue
    #[arg(long, value_name = "DURATION", default_value = "26h", value_parser = common::values::duration)]
    pub backup_every: Duration,
}

/// How long archived logs stay on disk after they were backed up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    For(Duration),
    Forever,
}

fn keep(text: &str) -> Result<Keep, String> {
    if text.eq_ignore_ascii_case("never") {
        return Ok(Keep::Forever);
    }
    common::values::any_duration(text).map(Keep::For)
}

fn size(text: &str) -> Result<String, String> {
    let bad = || "a number with suffix K, M or G".to_owned();
    let text = text.to_ascii_uppercase();
    let digits = text.strip_suffix(['K', 'M', 'G']).ok_or_else(bad)?;
    match digits.parse::<u32>() {
        Ok(n) if n > 0 => Ok(text),
        _ => Err(bad()),
    }
}

/// RMAN keeps 30 bytes of a tag and wants it to begin with a letter where it is not quoted.
fn tag(text: &str) -> Result<String, String> {
    let valid = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if text.is_empty() || text.len() > 30 || !text.chars().all(valid) {
        return Err("1 to 30 letters, digits or _".to_owned());
    }
    if !text.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return Err("must begin with a letter".to_owned());
    }
    Ok(text.to_ascii_uppercase())
}
