//! RMAN's commands as they are parsed; what a command means is in `command`.

/// Bytes.
pub type Size = u64;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Until {
    /// Exclusive, all of them.
    Scn(u64),
    /// A date literal by NLS_DATE_FORMAT, or an expression with its quotes taken off: `sysdate-1`.
    Time(String),
    Sequence {
        sequence: u64,
        thread: Option<u64>,
    },
}

/// A datafile by its number or its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileRef {
    Number(u32),
    Name(String),
}

/// As the dictionary has it: folded to upper case unless quoted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TablespaceRef {
    pub pdb: Option<String>,
    pub name: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bound {
    Scn(u64),
    Sequence(u64),
    Time(String),
}

/// Archived logs; no bound at all is ALL.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogRange {
    pub like: Option<String>,
    pub names: Vec<String>,
    pub from: Option<Bound>,
    pub until: Option<Bound>,
    pub thread: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Files {
    Database,
    Pluggable(Vec<String>),
    Tablespace(Vec<TablespaceRef>),
    Datafile(Vec<FileRef>),
}

/// What BACKUP, RESTORE and LIST … OF speak of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    Files(Files),
    Archivelog(LogRange),
    Controlfile,
    Spfile,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Skip {
    pub offline: bool,
    pub readonly: bool,
    pub inaccessible: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DeleteInput {
    #[default]
    No,
    Input,
    AllInput,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotBackedUp {
    Ever,
    Times(u64),
    Since(String),
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    pub format: Vec<String>,
    pub tag: Option<String>,
    pub filesperset: Option<u64>,
    pub maxsetsize: Option<Size>,
    pub section_size: Option<Size>,
    pub delete: DeleteInput,
    pub skip: Skip,
    pub not_backed_up: Option<NotBackedUp>,
    pub include_controlfile: bool,
    pub force: bool,
    pub channel: Option<String>,
    pub device: Option<String>,
    pub copies: Option<u64>,
}

impl Options {
    /// What was said after a thing to back up goes before what was said for the whole command.
    pub fn over(&self, general: &Self) -> Self {
        Self {
            format: if self.format.is_empty() { general.format.clone() } else { self.format.clone() },
            tag: self.tag.clone().or_else(|| general.tag.clone()),
            filesperset: self.filesperset.or(general.filesperset),
            maxsetsize: self.maxsetsize.or(general.maxsetsize),
            section_size: self.section_size.or(general.section_size),
            delete: if self.delete == DeleteInput::No { general.delete } else { self.delete },
            skip: Skip {
                offline: self.skip.offline || general.skip.offline,
                readonly: self.skip.readonly || general.skip.readonly,
                inaccessible: self.skip.inaccessible || general.skip.inaccessible,
            },
            not_backed_up: self.not_backed_up.clone().or_else(|| general.not_backed_up.clone()),
            include_controlfile: self.include_controlfile || general.include_controlfile,
            force: self.force || general.force,
            channel: self.channel.clone().or_else(|| general.channel.clone()),
            device: self.device.clone().or_else(|| general.device.clone()),
            copies: self.copies.or(general.copies),
        }
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Backup {
    pub compressed: bool,
    pub level: Option<u8>,
    pub cumulative: bool,
    pub validate: bool,
    pub check_logical: bool,
    pub specs: Vec<(What, Options)>,
    pub options: Options,
    pub plus_archivelog: Option<Options>,
    /// A clause that is Oracle's and not simulated.
    pub refused: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum From {
    Autobackup { maxdays: u64 },
    Piece(String),
    Tag(String),
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Preview {
    #[default]
    No,
    Full,
    Summary,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Restore {
    pub what: Vec<What>,
    pub standby_controlfile: bool,
    /// RESTORE CONTROLFILE TO, RESTORE SPFILE TO [PFILE].
    pub to: Option<String>,
    pub pfile: bool,
    pub from: Option<From>,
    pub until: Option<Until>,
    pub validate: bool,
    pub preview: Preview,
    pub check_logical: bool,
    pub force: bool,
    pub skip: Vec<TablespaceRef>,
    pub refused: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recover {
    pub files: Files,
    pub until: Option<Until>,
    pub noredo: bool,
    /// SKIP [FOREVER] TABLESPACE: the files are taken offline.
    pub skip: Vec<TablespaceRef>,
    pub skip_forever: bool,
    pub from_tag: Option<String>,
    pub delete_archivelog: bool,
    pub refused: Option<String>,
}

/// Pieces, copies and archived logs that CROSSCHECK, DELETE, CHANGE and LIST speak of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Objects {
    /// BACKUP [OF …]: all backup sets.
    Backup {
        of: Option<What>,
    },
    BackupSet(Vec<u64>),
    BackupPiece(Vec<String>),
    Archivelog(LogRange),
    /// COPY, DATAFILECOPY, CONTROLFILECOPY.
    Copy,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    pub tag: Option<String>,
    pub completed_before: Option<String>,
    pub completed_after: Option<String>,
    pub backed_up_times: Option<u64>,
    pub device: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    Unavailable,
    Available,
    Uncatalog,
    Delete,
    Crosscheck,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Set {
    Until(Until),
    Newname { files: Newname, to: String },
    CommandId(String),
    Dbid(u64),
    AutobackupFormat(String),
    ArchivelogDestination(String),
    Maxcorrupt { files: Vec<FileRef>, to: u64 },
    Echo(bool),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Newname {
    Datafile(FileRef),
    Database,
    Tablespace(TablespaceRef),
    Tempfile(FileRef),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allocate {
    pub name: Option<String>,
    /// DISK, SBT, SBT_TAPE.
    pub device: String,
    pub format: Vec<String>,
    pub maxpiecesize: Option<Size>,
    pub maintenance: bool,
    pub refused: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Catalog {
    StartWith { prefix: String, noprompt: bool },
    Archivelog(Vec<String>),
    BackupPiece(Vec<String>),
    RecoveryArea,
    Datafilecopy { paths: Vec<String>, tag: Option<String>, level0: bool },
}

/// One line of SHOW ALL; the value as CONFIGURE wrote it, `None` is CLEAR.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Configure {
    pub name: String,
    pub value: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum List {
    Backup { objects: Objects, summary: bool, expired: bool, filter: Filter },
    Archivelog(LogRange, Filter),
    Incarnation,
    Failure,
    Copy,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    Schema,
    Obsolete { window: Option<u64>, redundancy: Option<u64> },
    NeedBackup { incremental: Option<u64>, days: Option<u64>, redundancy: Option<u64> },
    Unrecoverable,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Validate {
    BackupSet(Vec<u64>),
    Files(Files),
    Archivelog(LogRange),
    Controlfile,
    Spfile,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    Run(Vec<Command>),
    Allocate(Allocate),
    Release(Option<String>),
    Set(Set),
    Backup(Backup),
    Restore(Restore),
    Recover(Recover),
    SwitchDatafile(Option<Vec<(FileRef, Option<String>)>>),
    Catalog(Catalog),
    Change {
        objects: Objects,
        filter: Filter,
        to: Change,
    },
    Crosscheck(Objects, Filter),
    Delete {
        objects: Objects,
        filter: Filter,
        noprompt: bool,
        force: bool,
        expired: bool,
    },
    DeleteObsolete {
        window: Option<u64>,
        redundancy: Option<u64>,
        noprompt: bool,
    },
    List(List),
    ResetIncarnation(u64),
    Report(Report),
    Validate {
        what: Validate,
        check_logical: bool,
    },
    Configure(Configure),
    /// The names that are asked for; none is ALL.
    Show(Option<String>),
    /// `SQL '…'`; doubled quotes are still doubled.
    Sql(String),
    /// A statement of SQL written as it is (12c).
    Statement(String),
    Startup {
        mode: Mode,
        force: bool,
    },
    Shutdown(super::super::server::wire::ShutdownWord),
    SpoolLog {
        to: Option<String>,
        append: bool,
    },
    Connect {
        what: String,
        to: String,
    },
    Include(String),
    /// Oracle's, and not simulated or not possible here: the words after "failure of", code and text.
    Refused {
        command: String,
        code: u32,
        text: String,
    },
    Exit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Nomount,
    Mount,
    Open,
}
