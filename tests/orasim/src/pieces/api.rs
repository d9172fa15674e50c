//! What the language half of RMAN asks the engine, and what it gets to print. Everything the engine knows is here; the words,
//! the order of columns and the frames around error stacks are the language's.
//!
//! # How to ask
//! `Connection::ask(wire::Request::Rman(api::Request))` answers `wire::Response::Rman(api::Answer)`, or `wire::Response::Error` when
//! there is no instance or no session. `Answer::Step` is part of a job: print its events in order; while `done` is
//! false ask [`Request::Next`] for the next part. The engine works inside `Next`, so that what was said before ("starting piece 1")
//! is on the screen while it works, and a client that is killed leaves the rest undone. A job that is not asked on any
//! more is given up by the next request. A [`Failure`] ends the job.
//!
//! ```text
//! let mut step = ask(Request::Backup(..));
//! loop { print(step.events); if let Some(f) = step.failure { return frame(f) }; if step.done { break }; step = ask(Request::Next) }
//! ```
//!
//! # Who does what
//! - "Starting backup at" / "Finished backup at", "allocated channel", echo, RMAN-00571 frames, dates, RMAN-03002/03009 lines: language.
//! - PLUS ARCHIVELOG: the language asks `ALTER SYSTEM ARCHIVE LOG CURRENT` as SQL, then `Backup` of logs, then of the rest, then
//!   again, as Oracle does in three or four commands. It sets `autobackup: false` on all but the last (the engine
//!   makes the autobackup at the end of a `Backup` whose `autobackup` is true and for which CONFIGURE CONTROLFILE AUTOBACKUP is on).
//! - UNTIL in a RUN block: the language puts it into each request. NEWNAME: likewise, and `Switch` is a request of its own.
//! - Names given are matched as the dictionary has them: fold unquoted tablespace names before.
//! - Channels are numbered from 0; the language names them (`ORA_DISK_1` or the allocated names).
//! - `Session` first, right after the logon; `Begin`/`End` around every command that V$RMAN_STATUS shows; `Output` for each
//!   line that V$RMAN_OUTPUT shall have (in bundles as you like).

use std::path::PathBuf;

use chrono::NaiveDateTime;
use serde::{Deserialize, Serialize};

use super::records::{BackupSet, Copy, Piece};

/// Which family a message code belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Family {
    Rman,
    Ora,
}

/// `RMAN-06023: text` or `ORA-19505: text`; further lines of a text are separated by `\n`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    pub family: Family,
    pub code: u32,
    pub text: String,
}

/// Why a command failed: the lines below RMAN-03002 or RMAN-03009.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// `Some(n)`: it happened in channel n, so the heading is `RMAN-03009: failure of <command> command on <channel> channel at …`;
    /// `None`: `RMAN-03002: failure of <command> command at …`.
    pub channel: Option<u32>,
    /// `Some("Control File and SPFILE Autobackup")` when that was the command and not the one that was typed. Oracle's
    /// stack is then `RMAN-03009: failure of Control File and SPFILE Autobackup command on ORA_DISK_1 channel at …`.
    pub command: Option<String>,
    /// An `Oracle Error:` block that stands before the frame (ORA-01547, 01194 …), empty as a rule.
    pub before: Vec<Message>,
    pub lines: Vec<Message>,
}

/// Where a restore or recovery is to end. Exclusive: nothing at or after it is applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Until {
    Scn(u64),
    Time(NaiveDateTime),
    Sequence { thread: u16, sequence: u32 },
}

/// Some of the datafiles.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Files {
    Database,
    /// Names; `PDB:NAME` for a tablespace of a pluggable database.
    Tablespaces(Vec<String>),
    /// Whole pluggable databases; `CDB$ROOT` for the root alone.
    Pluggable(Vec<String>),
    Datafiles(Vec<u32>),
    /// Datafiles by their names.
    Paths(Vec<PathBuf>),
}

/// Which archived logs; all given conditions hold together.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Logs {
    /// FROM SEQUENCE n, UNTIL SEQUENCE m (inclusive here, as in ARCHIVELOG … UNTIL SEQUENCE).
    pub from_sequence: Option<u32>,
    pub until_sequence: Option<u32>,
    pub thread: Option<u16>,
    /// FROM SCN: logs with NEXT_CHANGE# above it. UNTIL SCN: logs with FIRST_CHANGE# below or at it.
    pub from_scn: Option<u64>,
    pub until_scn: Option<u64>,
    pub from_time: Option<NaiveDateTime>,
    /// UNTIL TIME and COMPLETED BEFORE alike, each by its own time (first change; completion).
    pub until_time: Option<NaiveDateTime>,
    pub completed_before: Option<NaiveDateTime>,
    pub completed_after: Option<NaiveDateTime>,
    /// LIKE 'pattern' with % and _.
    pub like: Option<String>,
    /// NOT BACKED UP n TIMES (for a backup).
    pub not_backed_up: Option<u32>,
    /// BACKED UP n TIMES (for DELETE).
    pub backed_up: Option<u32>,
}

/// What one BACKUP command takes, in the order in which the language gives it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum What {
    Files(Files),
    Logs(Logs),
    CurrentControlfile,
    Spfile,
}

/// BACKUP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backup {
    pub what: Vec<What>,
    /// `None`: FULL. `Some(0)`, `Some(1)`.
    pub level: Option<u32>,
    pub cumulative: bool,
    /// Unexpanded, one per copy; empty takes CONFIGURE CHANNEL … FORMAT, the recovery area or `dbs/%U`. The engine expands
    /// %U %d %D %M %Y %T %s %p %c %I %F %t %u %n %N %f %e %h %%; %U is `u_s_p_c` unless `old_u`, then `u_p_c`.
    pub format: Vec<String>,
    pub old_u: bool,
    /// As typed, any case; `None`: TAGyyyymmddThh24miss.
    pub tag: Option<String>,
    /// Bytes.
    pub max_piece_size: Option<u64>,
    pub max_set_size: Option<u64>,
    pub section_size: Option<u64>,
    pub files_per_set: Option<u32>,
    /// AS COMPRESSED BACKUPSET. CONFIGURE DEVICE TYPE DISK BACKUP TYPE TO COMPRESSED does it as well, in the engine.
    pub compressed: bool,
    /// As many copies (COPIES n), 1 to 4.
    pub copies: u32,
    /// How many channels share the sets.
    pub channels: u32,
    pub skip_read_only: bool,
    pub skip_offline: bool,
    pub skip_inaccessible: bool,
    /// DELETE INPUT; `delete_all` for DELETE ALL INPUT.
    pub delete_input: bool,
    pub delete_all: bool,
    pub include_controlfile: bool,
    /// FORCE: against CONFIGURE BACKUP OPTIMIZATION.
    pub force: bool,
    /// NOT BACKED UP [SINCE TIME] of datafiles.
    pub not_backed_up_since: Option<NaiveDateTime>,
    /// SET MAXCORRUPT FOR DATAFILE n TO m.
    pub max_corrupt: Vec<(u32, u32)>,
    /// BACKUP VALIDATE / VALIDATE DATABASE: reads, writes nothing.
    pub validate: bool,
    /// See the module: whether this command ends with an autobackup when autobackups are on.
    pub autobackup: bool,
}

/// What RESTORE does with what it finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mode {
    Restore,
    /// Reads the pieces whole and writes nothing.
    Validate,
    /// Answers [`Event::Preview`]; reads nothing.
    Preview,
}

/// RESTORE DATABASE, TABLESPACE, DATAFILE.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restore {
    pub files: Files,
    pub until: Option<Until>,
    pub from_tag: Option<String>,
    /// SET NEWNAME FOR DATAFILE n TO 'path'; `%b`, `%f`, `%U` of FOR DATABASE are expanded by the engine in `newname_all`.
    pub newnames: Vec<(u32, PathBuf)>,
    pub newname_all: Option<String>,
    pub mode: Mode,
    /// RESTORE … FORCE: also files that are right already.
    pub force: bool,
    pub channels: u32,
    /// SKIP [FOREVER] TABLESPACE.
    pub skip: Vec<String>,
}

/// Where a control file or SPFILE comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Source {
    /// FROM 'handle': a piece, or for a control file also a copy of one.
    Handle(PathBuf),
    /// FROM AUTOBACKUP.
    Autobackup {
        /// SET DBID; `None` when it was not set: RMAN-06495 unless the database is mounted.
        dbid: Option<u32>,
        /// SET CONTROLFILE AUTOBACKUP FORMAT; `None`: the recovery area, then `dbs/%F`.
        format: Option<String>,
        /// MAXDAYS, 7 unless given; MAXSEQ, 255 unless given.
        max_days: u32,
        max_seq: u32,
        /// UNTIL TIME: the day at which to begin.
        until: Option<NaiveDateTime>,
    },
    /// Neither: the newest backup that the mounted control file knows.
    Known { until: Option<Until> },
}

/// RECOVER DATABASE, TABLESPACE, DATAFILE.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recover {
    pub files: Files,
    pub until: Option<Until>,
    /// DELETE ARCHIVELOG: those restored for it go when they have been applied.
    pub delete_archivelog: bool,
    /// NOREDO: incrementals only.
    pub noredo: bool,
    /// SET ARCHIVELOG DESTINATION TO.
    pub destination: Option<PathBuf>,
    pub skip: Vec<String>,
    pub channels: u32,
}

/// Which backups DELETE, CROSSCHECK, LIST look at; all conditions hold together.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Backups {
    /// Backup set keys (RECID of V$BACKUP_SET).
    pub sets: Vec<u32>,
    /// Backup piece keys or handles.
    pub pieces: Vec<u32>,
    pub handles: Vec<PathBuf>,
    pub tag: Option<String>,
    pub completed_before: Option<NaiveDateTime>,
    pub completed_after: Option<NaiveDateTime>,
    /// OF DATABASE / DATAFILE / TABLESPACE.
    pub of: Option<Files>,
    pub of_logs: Option<Logs>,
    pub of_controlfile: bool,
    pub of_spfile: bool,
    pub expired: bool,
}

/// DELETE.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Delete {
    /// By the retention policy; `redundancy` or `window_days` override CONFIGURE.
    Obsolete { redundancy: Option<u32>, window_days: Option<u32> },
    /// DELETE EXPIRED BACKUP, or with `expired: false` DELETE BACKUP/BACKUPSET/BACKUPPIECE.
    Backups(Backups),
    /// DELETE [EXPIRED] ARCHIVELOG; `force` against the deletion policy.
    Logs { logs: Logs, expired: bool, force: bool },
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ended {
    Completed,
    Warnings,
    /// The command failed partly.
    Errors,
    Failed,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// The RMAN session begins: one row of V$RMAN_STATUS with ROW_LEVEL 0. When the instance is not mounted it is made as
    /// soon as there is a control file.
    Session {
        command_id: String,
    },
    /// SET COMMAND ID TO.
    CommandId(String),
    /// SET CONTROLFILE AUTOBACKUP FORMAT FOR DEVICE TYPE DISK TO, until it is set again or taken back with `None`: it goes
    /// before what CONFIGURE says.
    AutobackupFormat(Option<String>),
    /// A command of the session begins; its row ends with `End`. `object_type` as V$RMAN_STATUS.OBJECT_TYPE, the engine
    /// fills the bytes and, for BACKUP, the type when it is `None`.
    Begin {
        operation: String,
        object_type: Option<String>,
    },
    End(Ended),
    /// The session ends.
    Finish(Ended),
    Output(Vec<String>),
    /// The next part of the job that is under way.
    Next,
    Backup(Backup),
    Restore(Restore),
    /// RESTORE [STANDBY] CONTROLFILE [TO 'path'].
    RestoreControlfile {
        from: Source,
        to: Option<PathBuf>,
        mode: Mode,
    },
    /// RESTORE SPFILE [TO [PFILE] 'path'].
    RestoreSpfile {
        from: Source,
        to: Option<PathBuf>,
        pfile: bool,
        mode: Mode,
    },
    /// RESTORE ARCHIVELOG; `to` is SET ARCHIVELOG DESTINATION.
    RestoreLogs {
        logs: Logs,
        to: Option<PathBuf>,
        mode: Mode,
        channels: u32,
    },
    Recover(Recover),
    /// SWITCH DATAFILE ALL after NEWNAME: the control file takes the names. Empty: all that `Restore` of this session restored under new names.
    Switch(Vec<u32>),
    /// CATALOG START WITH 'prefix': first only looks ([`Event::Unknown`]), then with `apply` catalogues what it found.
    CatalogPrefix {
        prefix: String,
        apply: bool,
    },
    /// CATALOG BACKUPPIECE / ARCHIVELOG / DATAFILECOPY 'path'.
    CatalogPiece(PathBuf),
    CatalogLog(PathBuf),
    CatalogCopy {
        path: PathBuf,
        tag: Option<String>,
        level0: bool,
    },
    CrosscheckBackups(Backups),
    CrosscheckLogs(Logs),
    CrosscheckCopies,
    /// What would be deleted: [`Event::ToDelete`]; with `apply` it is deleted.
    Delete {
        what: Delete,
        apply: bool,
    },
    /// CHANGE … UNCATALOG / UNAVAILABLE / AVAILABLE of backups.
    Uncatalog(Backups),
    Unavailable(Backups),
    Available(Backups),
    /// VALIDATE BACKUPSET n, …
    ValidateSets(Vec<u32>),
    /// CONFIGURE name value; `None` clears it. Names and values as V$RMAN_CONFIGURATION has them, e.g. (`CONTROLFILE AUTOBACKUP`, `ON`),
    /// (`RETENTION POLICY`, `TO REDUNDANCY 1`), (`DEVICE TYPE`, `DISK PARALLELISM 2 BACKUP TYPE TO BACKUPSET`), (`BACKUP OPTIMIZATION`, `ON`),
    /// (`ARCHIVELOG DELETION POLICY`, `TO BACKED UP 1 TIMES TO DISK`), (`CONTROLFILE AUTOBACKUP FORMAT FOR DEVICE TYPE`, `DISK TO '/b/%F'`),
    /// (`CHANNEL`, `DEVICE TYPE DISK FORMAT '/b/%U' MAXPIECESIZE 1 G`), (`SNAPSHOT CONTROLFILE NAME`, `TO '…'`).
    Configure {
        name: String,
        value: Option<String>,
    },
    /// SHOW ALL: `Answer::Facts` with only `configuration`.
    Show,
    /// LIST and REPORT: everything the control file knows.
    List,
    /// REPORT OBSOLETE without deleting.
    Obsolete {
        redundancy: Option<u32>,
        window_days: Option<u32>,
    },
    /// REPORT NEED BACKUP: files without a usable backup, in `Answer::Numbers`.
    NeedBackup,
    /// RESET DATABASE TO INCARNATION n.
    ResetIncarnation(u32),
}

/// One channel's set as BACKUP announces it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SetKind {
    /// "starting full datafile backup set".
    Full,
    /// "starting incremental level n datafile backup set".
    Incremental(u32),
    /// "starting archived log backup set".
    Logs,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Input {
    Datafile {
        file: u32,
        path: PathBuf,
    },
    Log {
        thread: u16,
        sequence: u32,
        recid: u32,
        stamp: u32,
    },
    /// "including current control file in backup set".
    Controlfile,
    /// "including current SPFILE in backup set".
    Spfile,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Skipped {
    ReadOnly,
    Offline,
    Inaccessible,
    /// "already backed up n time(s)" (optimization) or since the given time.
    BackedUp(u32),
}

/// A piece or a log as CROSSCHECK and DELETE print it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Object {
    Piece { recid: u32, stamp: u32, set: u32, piece: u32, copy: u32, handle: PathBuf },
    Log { recid: u32, stamp: u32, thread: u16, sequence: u32, path: PathBuf, first_time: NaiveDateTime },
    Copy { recid: u32, stamp: u32, file: u32, path: PathBuf },
}

/// What was catalogued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    Piece,
    Log,
    Copy,
    Controlfile,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Event {
    /// One of several channels failed and the others go on: the stack with RMAN-03009 without a frame, then "continuing
    /// other job steps, job failed will not be re-run". The same failure comes again at the end of the job.
    ChannelFailed(Failure),
    /// A line with a code in the middle of the output, without a frame (RMAN-06554, RMAN-06060, ORA-19815 …).
    Message(Message),
    /// "skipping datafile 00004 …": [`Skipped`] says why.
    SkippingFile {
        file: u32,
        path: PathBuf,
        reason: Skipped,
    },
    /// RMAN-06060: "WARNING: skipping datafile compromises tablespace X recoverability".
    Compromised {
        tablespace: String,
    },
    /// "skipping archived logs of thread t from sequence a to b; already backed up".
    SkippingLogs {
        thread: u16,
        from: u32,
        to: u32,
    },
    /// "no parent backup or copy of datafile N found".
    NoParent {
        file: u32,
    },
    /// "specification does not match any archived log in the repository".
    NoLogs,
    SetStart {
        channel: u32,
        kind: SetKind,
        compressed: bool,
        inputs: Vec<Input>,
    },
    PieceStart {
        channel: u32,
        piece: u32,
        at: NaiveDateTime,
    },
    /// "finished piece p at …" and "piece handle=h tag=t comment=NONE"; several handles for COPIES.
    PieceEnd {
        channel: u32,
        piece: u32,
        at: NaiveDateTime,
        handles: Vec<PathBuf>,
        tag: Option<String>,
    },
    SetEnd {
        channel: u32,
        seconds: u64,
    },
    /// "deleting archived log(s)", then one line per log.
    Deleting {
        channel: u32,
        logs: Vec<Object>,
    },
    /// RMAN-08120 / 08137 / 08138: "WARNING: archived log not deleted, …" with the log's name and thread/sequence.
    LogKept {
        message: Message,
        path: PathBuf,
        thread: u16,
        sequence: u32,
    },
    AutobackupStart {
        at: NaiveDateTime,
    },
    /// "piece handle=h comment=NONE".
    Autobackup {
        handle: PathBuf,
    },
    AutobackupEnd {
        at: NaiveDateTime,
    },
    /// One row of BACKUP VALIDATE's "List of Datafiles".
    FileValidated {
        file: u32,
        path: PathBuf,
        failed: bool,
        marked_corrupt: u32,
        empty: u32,
        examined: u32,
        high_scn: u64,
    },
    /// One row of its list of control files and SPFILEs, or of archived logs.
    LogValidated {
        thread: u16,
        sequence: u32,
        path: PathBuf,
        failed: bool,
        corrupt: u32,
        examined: u32,
    },

    /// "skipping datafile N; already restored to file …".
    AlreadyRestored {
        file: u32,
        path: PathBuf,
    },
    /// "creating datafile file number=N name=…": no backup, but all redo since its creation.
    CreatingFile {
        file: u32,
        path: PathBuf,
    },
    /// "starting datafile backup set restore" / "starting incremental datafile backup set restore" / "starting archived log
    /// restore to default destination" / "… to user-specified destination" with the lines of what is restored.
    RestoreStart {
        channel: u32,
        what: Restoring,
    },
    /// "reading from backup piece h".
    Reading {
        channel: u32,
        handle: PathBuf,
    },
    /// "piece handle=h tag=t" and "restored backup piece n".
    PieceRead {
        channel: u32,
        handle: PathBuf,
        tag: Option<String>,
        piece: u32,
    },
    RestoreEnd {
        channel: u32,
        seconds: u64,
    },
    /// The lines of what was wrong with a piece, then "failover to previous backup" (or "failover to duplicate backup" when
    /// another copy of the same piece is tried) because there is another one.
    Failover {
        channel: u32,
        lines: Vec<Message>,
        duplicate: bool,
    },
    /// "validation complete"/"validated backup piece n" of RESTORE VALIDATE and VALIDATE BACKUPSET.
    PieceValidated {
        channel: u32,
        handle: PathBuf,
        tag: Option<String>,
        piece: u32,
    },
    /// "scanning archived log f" of RESTORE ARCHIVELOG VALIDATE, when the log is on disk.
    ScannedLog {
        path: PathBuf,
    },
    Preview {
        sets: Vec<u32>,
        logs: Vec<Object>,
        log_sets: Vec<u32>,
        from_scn: u64,
        fuzzy_scn: u64,
    },
    /// "looking for AUTOBACKUP on day: YYYYMMDD".
    LookingForAutobackup {
        channel: u32,
        day: u32,
    },
    /// "AUTOBACKUP h found in the recovery area" or "AUTOBACKUP found: h".
    AutobackupFound {
        channel: u32,
        handle: PathBuf,
        in_recovery_area: bool,
    },
    /// "no AUTOBACKUP in 7 days found".
    NoAutobackup {
        channel: u32,
        days: u32,
    },
    /// "restoring control file" … "output file name=…".
    ControlfileWritten {
        channel: u32,
        paths: Vec<PathBuf>,
    },
    SpfileWritten {
        channel: u32,
        path: PathBuf,
    },

    /// "starting media recovery".
    MediaRecoveryStart,
    /// "archived log for thread t with sequence s is already on disk as file f".
    LogOnDisk {
        thread: u16,
        sequence: u32,
        path: PathBuf,
    },
    /// "archived log file name=f thread=t sequence=s": it is being applied.
    LogApplied {
        thread: u16,
        sequence: u32,
        path: PathBuf,
    },
    /// "channel default: deleting archived log(s)" of RECOVER … DELETE ARCHIVELOG.
    RestoredLogDeleted {
        path: PathBuf,
        recid: u32,
        stamp: u32,
    },
    /// "media recovery complete, elapsed time: …".
    MediaRecoveryComplete {
        seconds: u64,
    },
    /// An `Oracle Error:` block without failure.
    OracleError(Vec<Message>),

    /// "searching for all files that match the pattern …" found these, "List of Files Unknown to the Database".
    Unknown(Vec<PathBuf>),
    Cataloged {
        path: PathBuf,
        kind: Kind,
        recid: u32,
        stamp: u32,
    },
    /// "List of Files Which Were Not Cataloged" with RMAN-07517/07518/07519 and its reason.
    NotCataloged {
        path: PathBuf,
        message: Message,
    },
    /// CROSSCHECK of one object.
    Crosschecked {
        object: Object,
        available: bool,
    },
    /// What DELETE has on its list.
    ToDelete(Vec<Object>),
    Deleted(Object),
    /// RMAN-06207/06208 and the table below: an object whose status in the repository is not that of the medium.
    Mismatched(Object),
    /// The old and the new value of CONFIGURE.
    Configured {
        old: Option<String>,
        new: Option<String>,
    },
    /// "datafile 4 switched to datafile copy": FILE# and new name.
    Switched {
        file: u32,
        path: PathBuf,
        recid: u32,
        stamp: u32,
    },
}

/// What a set restore says it restores.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Restoring {
    /// "restoring datafile 00001 to /path".
    Datafiles(Vec<(u32, PathBuf)>),
    /// "destination for restore of datafile 00001: /path", of an incremental.
    Incremental(Vec<(u32, PathBuf)>),
    /// "restoring archived log" / "archived log thread=1 sequence=5"; `to` when it is not the default destination.
    Logs {
        logs: Vec<(u16, u32)>,
        to: Option<PathBuf>,
    },
    Controlfile,
    Spfile,
}

/// Part of a job.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Step {
    pub events: Vec<Event>,
    pub done: bool,
    pub failure: Option<Failure>,
}

/// Everything the control file knows, for LIST and REPORT.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Facts {
    pub sets: Vec<BackupSet>,
    pub pieces: Vec<Piece>,
    pub copies: Vec<Copy>,
    /// All settings as (name, value, is it the default) in the order of SHOW ALL.
    pub configuration: Vec<(String, String, bool)>,
    /// DB_UNIQUE_NAME.
    pub unique_name: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Answer {
    Ok,
    Step(Step),
    Facts(Box<Facts>),
    Numbers(Vec<u32>),
}

impl Message {
    pub fn rman(code: u32, text: impl Into<String>) -> Self {
        Self { family: Family::Rman, code, text: text.into() }
    }

    pub fn ora(code: u32, text: impl Into<String>) -> Self {
        Self { family: Family::Ora, code, text: text.into() }
    }
}

impl Failure {
    /// A failure of the command itself.
    pub fn new(lines: Vec<Message>) -> Self {
        Self { channel: None, command: None, before: Vec::new(), lines }
    }

    /// A failure in a channel.
    pub fn on(channel: u32, lines: Vec<Message>) -> Self {
        Self { channel: Some(channel), ..Self::new(lines) }
    }

    /// The code of its first line.
    pub fn code(&self) -> u32 {
        self.lines.first().map_or(0, |m| m.code)
    }
}

impl Step {
    /// The end of a job.
    pub fn last(events: Vec<Event>) -> Self {
        Self { events, done: true, failure: None }
    }

    pub fn failed(events: Vec<Event>, failure: Failure) -> Self {
        Self { events, done: true, failure: Some(failure) }
    }
}

impl Request {
    /// Its name in the journal, and what patterns of faults see: `RMAN BACKUP`, `RMAN NEXT`.
    pub fn name(&self) -> String {
        let all = format!("{self:?}");
        let word: String = all.chars().take_while(char::is_ascii_alphanumeric).collect();
        format!("RMAN {}", word.to_uppercase())
    }
}
