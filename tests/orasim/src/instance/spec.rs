//! What a simulated database looks like when it is made.

use std::{collections::BTreeMap, path::PathBuf};

use chrono::{NaiveDate, NaiveDateTime};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum TablespaceKind {
    #[default]
    Permanent,
    Undo,
    Temporary,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileSpec {
    /// Absolute; the directory is made when it is missing.
    pub path: PathBuf,
    /// Size without the operating system's header block, rounded down to whole blocks of 8192 bytes; at least two.
    pub bytes: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
pub struct TablespaceSpec {
    /// As in the dictionary: any characters, case kept, at most 30 bytes.
    pub name: String,
    /// The container it belongs to; `None` is the root, or the database when it is no CDB.
    pub pdb: Option<String>,
    pub kind: TablespaceKind,
    pub read_only: bool,
    /// OFFLINE NORMAL.
    pub offline: bool,
    pub files: Vec<FileSpec>,
}

impl TablespaceSpec {
    pub fn new(name: &str, files: Vec<FileSpec>) -> Self {
        Self { name: name.to_owned(), files, ..Self::default() }
    }
}

/// One LOG_ARCHIVE_DEST_n.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DestSpec {
    /// 1 to 31.
    pub id: u32,
    /// A local directory; with `omf` the recovery area below which `<DB>/archivelog/YYYY_MM_DD` is made.
    #[serde(default)]
    pub directory: Option<PathBuf>,
    /// Oracle-managed names (`o1_mf_<t>_<s>_<8 chars>_.arc`) instead of LOG_ARCHIVE_FORMAT.
    #[serde(default)]
    pub omf: bool,
    /// A remote destination: only its rows exist (STANDBY_DEST = YES, NAME = this service name).
    #[serde(default)]
    pub service: Option<String>,
}

/// Old archived logs, made with the database and numbered before its first real log.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FakeLogs {
    /// Per thread.
    pub count: u32,
    /// Whether the files exist too (valid, empty logs of three blocks), or only the rows.
    pub files: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Spec {
    /// DB_NAME, at most 8 characters.
    pub name: String,
    /// DB_UNIQUE_NAME; the name when absent.
    pub unique_name: Option<String>,
    /// ORACLE_SID.
    pub sid: String,
    pub dbid: u32,
    /// Makes no database: a home into whose `control_files` somebody will copy a standby control file.
    pub standby: bool,
    pub threads: u16,
    /// Threads that write no change of their own; they switch with the others.
    pub idle_threads: Vec<u16>,
    /// Online log groups per thread, at least 2.
    pub groups: u16,
    /// Size of an online log in bytes.
    pub log_bytes: u64,
    /// 512, 1024 or 4096.
    pub redo_block_size: u32,
    /// Log headers of a big-endian platform (AIX, SPARC).
    pub big_endian_redo: bool,
    pub archivelog: bool,
    pub force_logging: bool,
    /// The first SCN. High by default: only SCNs of 11 digits and more show where a script prints 1.2346E+10.
    pub start_scn: u64,
    pub resetlogs_time: NaiveDateTime,
    /// The %r of archived names; made from `resetlogs_time` when absent.
    pub resetlogs_id: Option<u32>,
    /// Names of pluggable databases; not empty makes a CDB, with CDB$ROOT and PDB$SEED.
    pub pdbs: Vec<String>,
    pub tablespaces: Vec<TablespaceSpec>,
    /// `control01.ctl` in the instance's directory when empty.
    pub control_files: Vec<PathBuf>,
    /// Directory of the online logs; `onlinelog` in the instance's directory when absent.
    pub log_dir: Option<PathBuf>,
    /// `arch` in the instance's directory as LOG_ARCHIVE_DEST_1 when empty.
    pub dests: Vec<DestSpec>,
    pub log_archive_format: String,
    /// STANDBY_FILE_MANAGEMENT = AUTO.
    pub standby_file_management_auto: bool,
    /// Where AUTO makes new files that have no parent directory here, as DB_CREATE_FILE_DEST does.
    pub create_file_dest: Option<PathBuf>,
    /// Archived logs get the size of the online log instead of that of its used blocks.
    pub archive_full_size: bool,
    /// How fast an archived log fills; 0 is as fast as the disk.
    pub archive_bytes_per_second: u64,
    /// Block changes of the background writer; 0 makes a quiet database, changed only by `write_batch`.
    pub changes_per_second: u32,
    /// Milliseconds between the first halves of a batch of blocks and the second ones.
    pub write_pause_ms: u64,
    pub fake_logs: FakeLogs,
    /// Further rows of V$PARAMETER, names in lower case.
    pub parameters: BTreeMap<String, String>,
    /// `Standard Edition 2 Release` or `Enterprise Edition Release`.
    pub edition: String,
    /// `19.0.0.0.0`.
    pub version: String,
    /// Platform name as V$DATABASE has it.
    pub platform: String,
}

impl Default for Spec {
    fn default() -> Self {
        Self {
            name: "ORCL".to_owned(),
            unique_name: None,
            sid: "ORCL".to_owned(),
            dbid: 1_497_201_050,
            standby: false,
            threads: 1,
            idle_threads: Vec::new(),
            groups: 3,
            log_bytes: 4 << 20,
            redo_block_size: 512,
            big_endian_redo: false,
            archivelog: true,
            force_logging: true,
            start_scn: 959_994_799_549,
            resetlogs_time: NaiveDate::from_ymd_opt(2025, 4, 4)
                .and_then(|d| d.and_hms_opt(13, 46, 53))
                .unwrap_or_default(),
            resetlogs_id: None,
            pdbs: Vec::new(),
            tablespaces: Vec::new(),
            control_files: Vec::new(),
            log_dir: None,
            dests: Vec::new(),
            log_archive_format: "%t_%s_%r.dbf".to_owned(),
            standby_file_management_auto: false,
            create_file_dest: None,
            archive_full_size: false,
            archive_bytes_per_second: 64 << 20,
            changes_per_second: 1500,
            write_pause_ms: 100,
            fake_logs: FakeLogs::default(),
            parameters: BTreeMap::new(),
            edition: "Standard Edition 2".to_owned(),
            version: "19.0.0.0.0".to_owned(),
            platform: "Linux x86 64-bit".to_owned(),
        }
    }
}
