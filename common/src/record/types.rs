//! The payloads, one struct per record type. Bytes and SCNs are integers, durations seconds, hashes lower-case hex.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Content, Payload};
use crate::exit::RunStatus;

optional_record! {
    /// The first record of a run.
    RunBegin {
        /// Version of the tool.
        version: String,
        /// Host on which it runs.
        host: String,
        ;
        /// Database, where one is known.
        db: String,
    }
}

impl Payload for RunBegin {
    const TYPE: &'static str = "run_begin";

    fn human(&self) -> String {
        let db = self.db.as_ref().map(|db| format!(" for {db}")).unwrap_or_default();
        format!("version {} on {}{db}", self.version, self.host)
    }
}

/// The last record of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RunEnd {
    /// How the run ended, as a word.
    pub status: RunStatus,
    /// The exit status of the tool.
    pub exit: i64,
    /// How long the run took.
    pub seconds: f64,
    /// What was counted, by name: `shipped`, `failed`, `gaps`, …
    pub counts: BTreeMap<String, u64>,
    /// What went wrong, when something did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

impl Payload for RunEnd {
    const TYPE: &'static str = "run_end";

    fn human(&self) -> String {
        let word = format!("{:?}", self.status).to_lowercase();
        let counts: Vec<_> = self.counts.iter().map(|(name, n)| format!("{name} {n}")).collect();
        let counts = if counts.is_empty() { String::new() } else { format!(": {}", counts.join(", ")) };
        format!("{word} (status {}) after {:.1}s{counts}", self.exit, self.seconds)
    }
}

/// What a file is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Role {
    BackupPiece,
    ArchivedLog,
    Datafile,
    Controlfile,
    Spfile,
    Dump,
    ExportLog,
    Archive,
    Log,
    Manifest,
    /// A script that the run wrote for a person or the next tool: SQL, RMAN, shell.
    Script,
    /// One that a newer tool knows.
    #[serde(other)]
    Other,
}

optional_record! {
    /// A file that is whole and durable.
    File {
        /// Where it is.
        path: String,
        ;
        /// Size in bytes.
        bytes: u64,
        /// SHA-256 of the content.
        sha256: String,
        /// What it is for.
        role: Role,
        /// Name of the database.
        db: String,
        /// DBID.
        dbid: u64,
        /// Redo thread of an archived log.
        thread: u64,
        /// Log sequence number of an archived log.
        sequence: u64,
        /// Host that has the file, when it is not this one.
        host: String,
        /// Tag of the backup that the piece belongs to.
        tag: String,
        /// Incremental level of the datafiles in a backup piece; absent for a plain full backup and for other pieces.
        level: u64,
        /// V$BACKUP_PIECE.SET_STAMP; with `set_count` it names the backup set.
        set_stamp: u64,
        /// V$BACKUP_PIECE.SET_COUNT.
        set_count: u64,
        /// Number of the piece in its set, from 1.
        piece: u64,
        /// How many pieces the set has; all are needed to read it.
        pieces: u64,
        /// When the piece was completed, as the database's clock had it.
        completed: String,
        /// What the backup set holds.
        contents: Vec<Content>,
        /// Schema of a dump.
        schema: String,
        /// When the backup that the file belongs to was made, RFC 3339; retention counts from it.
        backup_time: String,
    }
}

impl Payload for File {
    const TYPE: &'static str = "file";

    fn human(&self) -> String {
        format!("{} ({} bytes)", self.path, self.bytes.unwrap_or(0))
    }
}

/// What became of an archived log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum LogStatus {
    /// Sent, verified at the destination and published under its name.
    Shipped,
    /// As shipped, but a part of it was there already.
    Resumed,
    /// It was there, complete and with the same content.
    Present,
    /// Not needed, or not ready; `reason` says which.
    Skipped,
    #[default]
    Failed,
}

optional_record! {
    /// One archived redo log and what became of it.
    ArchivedLog {
        /// Where it is on this host.
        path: String,
        ;
        /// File name without directory.
        name: String,
        /// Redo thread.
        thread: u64,
        /// Log sequence number.
        sequence: u64,
        /// V$DATABASE_INCARNATION.RESETLOGS_ID, the %r of LOG_ARCHIVE_FORMAT.
        resetlogs_id: u64,
        /// First SCN in the log.
        first_change: u64,
        /// First SCN of the next log.
        next_change: u64,
        /// Size in bytes.
        bytes: u64,
        /// What became of it.
        status: LogStatus,
        /// Where it is at the destination.
        dest: String,
        /// SHA-256 of the content.
        sha256: String,
        /// From the first attempt to the receipt.
        seconds: f64,
        /// How many times it was tried.
        attempts: u64,
        /// Why it was skipped or failed.
        reason: String,
    }
}

impl Payload for ArchivedLog {
    const TYPE: &'static str = "archived_log";

    fn human(&self) -> String {
        let status = self.status.map(|s| format!("{s:?}").to_lowercase()).unwrap_or_default();
        let number = |n: Option<u64>| n.map_or_else(|| "?".to_owned(), |n| n.to_string());
        let reason = self.reason.as_ref().map(|r| format!(": {r}")).unwrap_or_default();
        format!(
            "{status} thread {} sequence {} ({} bytes) {}{reason}",
            number(self.thread),
            number(self.sequence),
            number(self.bytes),
            self.path
        )
    }
}

/// On which side redo is missing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Where {
    /// This host no longer has the logs, or never had them.
    Source,
    #[default]
    Destination,
}

record! {
    /// Sequences that are missing between logs that are there.
    Gap {
        /// Redo thread.
        thread: u64,
        /// V$DATABASE_INCARNATION.RESETLOGS_ID of the missing logs.
        resetlogs_id: u64,
        /// First missing sequence.
        from: u64,
        /// Last missing sequence.
        to: u64,
        /// The side on which they are missing.
        r#where: Where,
        /// Why they are missing, as far as it is known.
        reason: String,
        /// The command that heals it.
        hint: String,
    }
}

impl Payload for Gap {
    const TYPE: &'static str = "gap";

    fn human(&self) -> String {
        let side = format!("{:?}", self.r#where).to_lowercase();
        format!(
            "gap: thread {} sequence {} to {} missing at the {side}: {}; {}",
            self.thread, self.from, self.to, self.reason, self.hint
        )
    }
}

record! {
    /// How far one thread has come.
    ThreadState {
        /// Redo thread.
        thread: u64,
        /// Last sequence that the standby has applied; absent when unknown.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        applied: Option<u64>,
        /// Last contiguous verified sequence at the standby.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        received: Option<u64>,
        /// Last archived sequence at the source.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        current: Option<u64>,
    }
}

optional_record! {
    /// State of the standby.
    Standby {
        /// Per redo thread.
        threads: Vec<ThreadState>,
        ;
        /// All redo below this SCN is at the standby.
        recoverable_to_scn: u64,
        /// The time of that SCN, RFC 3339 without zone, as the database's clock had it.
        recoverable_to_time: String,
        /// Age of `recoverable_to_time`, in seconds.
        lag_seconds: f64,
        /// Redo that is archived and not yet at the standby.
        lag_bytes: u64,
    }
}

impl Payload for Standby {
    const TYPE: &'static str = "standby";

    fn human(&self) -> String {
        let show = |n: Option<u64>| n.map_or_else(|| "unknown".to_owned(), |n| n.to_string());
        let threads: Vec<_> = self
            .threads
            .iter()
            .map(|t| {
                let (a, r, c) = (show(t.applied), show(t.received), show(t.current));
                format!("thread {}: applied {a}, received {r}, current {c}", t.thread)
            })
            .collect();
        let scn = show(self.recoverable_to_scn);
        let lag = self.lag_seconds.map_or_else(|| "unknown".to_owned(), |s| format!("{s:.0}s"));
        format!("standby recoverable to SCN {scn}, lag {lag}; {}", threads.join("; "))
    }
}

/// What became of a tablespace or datafile.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum CopyStatus {
    Copied,
    Skipped,
    #[default]
    Failed,
}

optional_record! {
    /// One tablespace of a hot backup.
    Tablespace {
        /// Name as in the dictionary.
        name: String,
        /// What became of it.
        status: CopyStatus,
        ;
        /// Container, in a CDB.
        container: String,
        /// Lowest frozen checkpoint SCN of its files.
        begin_scn: u64,
        /// SCN right after END BACKUP.
        end_scn: u64,
        /// From BEGIN BACKUP to END BACKUP.
        backup_mode_seconds: f64,
        /// Number of datafiles.
        files: u64,
        /// Size of its datafiles together, in bytes.
        bytes: u64,
        /// Why it was skipped or failed.
        reason: String,
    }
}

impl Payload for Tablespace {
    const TYPE: &'static str = "tablespace";

    fn human(&self) -> String {
        let status = format!("{:?}", self.status).to_lowercase();
        let reason = self.reason.as_ref().map(|r| format!(": {r}")).unwrap_or_default();
        let mode = self.backup_mode_seconds.map(|s| format!(", {s:.1}s in backup mode")).unwrap_or_default();
        format!(
            "{status} tablespace {} ({} files, {} bytes{mode}){reason}",
            self.name,
            self.files.unwrap_or(0),
            self.bytes.unwrap_or(0)
        )
    }
}

optional_record! {
    /// One datafile of a hot backup.
    Datafile {
        /// V$DATAFILE.FILE#.
        file: u64,
        /// Name of its tablespace.
        tablespace: String,
        /// Where it is on this host.
        path: String,
        /// What became of it.
        status: CopyStatus,
        ;
        /// Where the copy is.
        dest: String,
        /// Size in bytes.
        bytes: u64,
        /// Checkpoint SCN in the header of the copy.
        checkpoint_scn: u64,
        /// How long the copy took.
        seconds: f64,
        /// Why it was skipped or failed.
        reason: String,
    }
}

impl Payload for Datafile {
    const TYPE: &'static str = "datafile";

    fn human(&self) -> String {
        let status = format!("{:?}", self.status).to_lowercase();
        let reason = self.reason.as_ref().map(|r| format!(": {r}")).unwrap_or_default();
        format!("{status} datafile {} {} ({} bytes){reason}", self.file, self.path, self.bytes.unwrap_or(0))
    }
}

record! {
    /// The redo of one thread that a copy needs.
    ThreadWindow {
        /// Redo thread.
        thread: u64,
        /// The log that holds `begin_scn`.
        first_sequence: u64,
        /// The log that holds the end of the backup.
        last_sequence: u64,
    }
}

record! {
    /// The redo that makes a copy usable: all of it from `begin_scn` to beyond `end_scn`.
    RecoveryWindow {
        /// Lowest checkpoint SCN over all copied files.
        begin_scn: u64,
        /// SCN after the last END BACKUP; recovery must reach it.
        end_scn: u64,
        /// V$DATABASE_INCARNATION.RESETLOGS_ID of the redo.
        resetlogs_id: u64,
        /// The logs of each redo thread.
        threads: Vec<ThreadWindow>,
    }
}

impl Payload for RecoveryWindow {
    const TYPE: &'static str = "recovery_window";

    fn human(&self) -> String {
        let threads: Vec<_> = self
            .threads
            .iter()
            .map(|t| format!("thread {} sequence {} to {}", t.thread, t.first_sequence, t.last_sequence))
            .collect();
        format!("recovery needs redo from SCN {} to {}: {}", self.begin_scn, self.end_scn, threads.join(", "))
    }
}

optional_record! {
    /// What a run without `--dry-run` would do.
    Planned {
        /// The deed: ship, resume, copy, end_backup, …
        action: String,
        /// Why it would be done.
        reason: String,
        ;
        /// The thing it would be done to.
        path: String,
        /// Where it would end up.
        dest: String,
        /// Size in bytes.
        bytes: u64,
        /// Name of the tablespace.
        tablespace: String,
        /// Redo thread.
        thread: u64,
        /// Log sequence number.
        sequence: u64,
        /// Name of the snapshot.
        snapshot: String,
        /// The command or script that would be run.
        script: String,
    }
}

impl Payload for Planned {
    const TYPE: &'static str = "planned";

    fn human(&self) -> String {
        let what = self.path.as_ref().or(self.tablespace.as_ref()).or(self.snapshot.as_ref());
        let what = what.map(|w| format!(" {w}")).unwrap_or_default();
        let dest = self.dest.as_ref().map(|d| format!(" to {d}")).unwrap_or_default();
        format!("would {}{what}{dest}: {}", self.action, self.reason)
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Level {
    #[default]
    Info,
    Warning,
    Error,
}

optional_record! {
    /// Something that a person or mailreport should see.
    Log {
        /// How serious it is.
        level: Level,
        /// What a person should know.
        message: String,
        ;
        /// ORA-…, RMAN-…, rsync 30, …
        code: String,
    }
}

impl Log {
    pub fn info(message: impl Into<String>) -> Self {
        Self { level: Level::Info, message: message.into(), code: None }
    }

    pub fn warning(message: impl Into<String>) -> Self {
        Self { level: Level::Warning, message: message.into(), code: None }
    }

    pub fn error(message: impl Into<String>) -> Self {
        Self { level: Level::Error, message: message.into(), code: None }
    }
}

impl Payload for Log {
    const TYPE: &'static str = "log";

    fn human(&self) -> String {
        format!("{}: {}", format!("{:?}", self.level).to_lowercase(), self.message)
    }
}
