//! The payloads of the tools that export, archive, store, snapshot, prune and report.

use serde::{Deserialize, Serialize};

use super::Payload;

optional_record! {
    /// A checksum as S3 keeps it.
    Checksum {
        /// CRC64NVME, SHA256, …
        algorithm: String,
        /// Base64, as in the headers of S3.
        value: String,
        ;
    }
}

optional_record! {
    /// A file that is stored in S3 and was proved there.
    Object {
        /// Bucket.
        bucket: String,
        /// Key, not percent-encoded.
        key: String,
        ;
        /// The local file that it was made from.
        path: String,
        /// Size in bytes.
        bytes: u64,
        /// ETag as the server gave it; it is no hash of the content.
        etag: String,
        /// The server's checksum of the whole object.
        checksum: Checksum,
        /// SHA-256 of the content, computed while it was read for the upload.
        sha256: String,
        /// Number of parts; 1 when it was sent in one request.
        parts: u64,
        /// Parts that were sent in this run, when an earlier run had sent the others.
        resent_parts: u64,
        /// Version, in a bucket that keeps versions.
        version_id: String,
        /// uploaded, resumed, present, failed.
        status: ObjectStatus,
        /// Why it failed.
        reason: String,
        /// From the first request to the receipt.
        seconds: f64,
    }
}

/// What became of an upload.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum ObjectStatus {
    /// Sent in this run.
    Uploaded,
    /// An earlier run had sent a part of it.
    Resumed,
    /// It was there with the same content.
    Present,
    #[default]
    Failed,
}

impl Payload for Object {
    const TYPE: &'static str = "object";

    fn human(&self) -> String {
        let status = self.status.map(|s| format!("{s:?} ").to_lowercase()).unwrap_or_default();
        let reason = self.reason.as_ref().map(|r| format!(": {r}")).unwrap_or_default();
        format!("{status}s3://{}/{} ({} bytes){reason}", self.bucket, self.key, self.bytes.unwrap_or(0))
    }
}

record! {
    /// An object of a schema that an export left out or saved only in part.
    SkippedObject {
        /// `"HR"."EMPLOYEES"`, or `"HR"."SALES":"P2025"` for a partition.
        object: String,
        /// The first ORA- code that says why.
        code: String,
    }
}

/// How an export ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum ExportStatus {
    /// Every table was saved and the dump is proven.
    Success,
    /// A dump was made that lacks something; `skipped` and `reason` say what.
    Partial,
    #[default]
    Failed,
}

optional_record! {
    /// One schema and what became of its export.
    Export {
        /// Schema.
        schema: String,
        /// What became of it.
        status: ExportStatus,
        ;
        /// Exit status of expdp; absent when it was killed or never ran.
        expdp_exit: i64,
        /// The dump files, under the names under which they are kept.
        files: Vec<String>,
        /// The log of expdp.
        log: String,
        /// FLASHBACK_SCN: all tables are as of this SCN. Absent when each table has its own moment.
        scn: u64,
        /// Tables and partitions that were exported.
        tables: u64,
        /// Rows that were exported.
        rows: u64,
        /// Size of the dump files together, in bytes.
        bytes: u64,
        /// What was left out.
        skipped: Vec<SkippedObject>,
        /// Name of the job in the server.
        job: String,
        /// The code that decided, when it failed.
        code: String,
        /// Why it failed or is partial.
        reason: String,
        /// From its start to the receipt.
        seconds: f64,
    }
}

impl Payload for Export {
    const TYPE: &'static str = "export";

    fn human(&self) -> String {
        let status = format!("{:?}", self.status).to_lowercase();
        let reason = self.reason.as_ref().map(|r| format!(": {r}")).unwrap_or_default();
        format!(
            "{status} export of schema {} ({} tables, {} rows, {} bytes){reason}",
            self.schema,
            self.tables.unwrap_or(0),
            self.rows.unwrap_or(0),
            self.bytes.unwrap_or(0)
        )
    }
}

/// What a snapshot holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum SnapshotKind {
    /// Datafiles.
    #[default]
    Data,
    /// Archived redo logs.
    Archive,
}

/// Whether the set that a snapshot belongs to can be relied on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum SnapshotState {
    /// All members were taken inside backup mode, the redo was archived, and the marks on the array say so.
    Complete,
    /// Something is missing; the run's message says what.
    #[default]
    Incomplete,
}

optional_record! {
    /// A storage snapshot that the array has confirmed.
    Snapshot {
        /// Identifier at the array.
        id: u64,
        /// Name at the array.
        name: String,
        ;
        /// Name of the volume that it was taken of.
        volume: String,
        /// Identifier of that volume.
        volume_id: u64,
        /// What it holds.
        kind: SnapshotKind,
        /// When it was taken, by the array's clock, RFC 3339.
        created_at: String,
        /// Until when the array refuses to delete it, RFC 3339.
        locked_until: String,
        /// Name of the consistency group that it was taken of.
        cg: String,
        /// complete: it counts as a backup, together with the others of its run. incomplete: it does not.
        state: SnapshotState,
    }
}

impl Payload for Snapshot {
    const TYPE: &'static str = "snapshot";

    fn human(&self) -> String {
        let volume = self.volume.as_ref().map(|v| format!(" of volume {v}")).unwrap_or_default();
        let state = match self.state {
            Some(SnapshotState::Incomplete) => ", its set is incomplete",
            Some(SnapshotState::Complete) | None => "",
        };
        format!("snapshot {} ({}){volume}{state}", self.name, self.id)
    }
}

optional_record! {
    /// Something that retention kept.
    Kept {
        /// Why.
        reason: String,
        ;
        /// The file, when it is one.
        path: String,
        /// The snapshot, when it is one.
        snapshot: String,
        /// Size in bytes.
        bytes: u64,
        /// Age in seconds, counted from the time of the backup.
        age: f64,
    }
}

impl Payload for Kept {
    const TYPE: &'static str = "kept";

    fn human(&self) -> String {
        let what = self.path.as_ref().or(self.snapshot.as_ref()).map_or("?", String::as_str);
        format!("kept {what}: {}", self.reason)
    }
}

optional_record! {
    /// Something that retention removed.
    Removed {
        /// Why.
        reason: String,
        ;
        /// The file, when it was one.
        path: String,
        /// The snapshot, when it was one.
        snapshot: String,
        /// Size in bytes.
        bytes: u64,
        /// Age in seconds, counted from the time of the backup.
        age: f64,
    }
}

impl Payload for Removed {
    const TYPE: &'static str = "removed";

    fn human(&self) -> String {
        let what = self.path.as_ref().or(self.snapshot.as_ref()).map_or("?", String::as_str);
        format!("removed {what}: {}", self.reason)
    }
}

/// Where a mail is now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum MailStatus {
    /// A server has taken it.
    Sent,
    /// It waits in the spool for the next run.
    #[default]
    Spooled,
    /// It was written to a file.
    Written,
}

optional_record! {
    /// A report by mail.
    Mail {
        /// Recipients.
        to: Vec<String>,
        /// Subject.
        subject: String,
        /// Message-ID.
        message_id: String,
        /// Where it is now.
        status: MailStatus,
        ;
        /// The file, when it was spooled or written.
        path: String,
        /// Why it was not sent.
        reason: String,
    }
}

impl Payload for Mail {
    const TYPE: &'static str = "mail";

    fn human(&self) -> String {
        let status = format!("{:?}", self.status).to_lowercase();
        let reason = self.reason.as_ref().map(|r| format!(": {r}")).unwrap_or_default();
        format!("{status} mail \"{}\" to {}{reason}", self.subject, self.to.join(", "))
    }
}
