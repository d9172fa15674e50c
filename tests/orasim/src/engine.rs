//! The line between the database (physics) and its SQL front end: views out, commands in.
//!
//! The front end (`sql`, `sqlplus`) parses Oracle SQL, turns DDL into a [`Command`] and runs SELECTs over the rows of
//! [`Engine::view`]. The engine (`instance`) owns the files, the redo and the clock, and knows no SQL.

use std::path::PathBuf;

use chrono::NaiveDateTime;

/// An error stack in the order in which Oracle prints it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OraError {
    /// Code and English text without the `ORA-nnnnn: ` prefix; further lines of a text are separated by `\n`.
    pub stack: Vec<(u32, String)>,
}

impl OraError {
    pub fn new(code: u32, text: impl Into<String>) -> Self {
        Self { stack: vec![(code, text.into())] }
    }

    #[must_use]
    pub fn then(mut self, code: u32, text: impl Into<String>) -> Self {
        self.stack.push((code, text.into()));
        self
    }

    /// The code of the first line, the one that `SQL.SQLCODE` has.
    pub fn code(&self) -> u32 {
        self.stack.first().map_or(0, |(code, _)| *code)
    }
}

#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Null,
    /// NUMBER without fraction; SCNs need more than 53 bits.
    Int(i64),
    Text(String),
    Date(NaiveDateTime),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    Number,
    /// Declared width in bytes; it decides how wide SQL*Plus prints the column.
    Varchar(usize),
    Date,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// Upper case, as in the data dictionary: `THREAD#`.
    pub name: &'static str,
    pub ty: Type,
}

/// A V$ or DBA_ view at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct View {
    pub columns: Vec<Column>,
    pub rows: Vec<Vec<Value>>,
}

/// What SELECT needs to know before it may look at a view.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// No instance: everything answers ORA-01034.
    Down,
    /// Instance without control file: V$DATABASE answers ORA-01507.
    Nomount,
    /// Control file open: fixed views answer, DBA_ views answer ORA-01219.
    Mounted,
    OpenReadOnly,
    Open,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BackupScope {
    Tablespace(String),
    Database,
    /// `ALTER DATABASE DATAFILE n END BACKUP`.
    Datafile(u32),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Until {
    /// No UNTIL clause: on to the last log.
    End,
    Cancel,
    /// UNTIL CHANGE n: everything below n is applied.
    Change(u64),
    Time(NaiveDateTime),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recover {
    pub automatic: bool,
    /// RECOVER AUTOMATIC FROM 'directory'.
    pub from: Option<PathBuf>,
    pub standby: bool,
    pub using_backup_controlfile: bool,
    pub until: Until,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartupMode {
    Nomount,
    Mount,
    Open,
    OpenReadOnly,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShutdownMode {
    Normal,
    Immediate,
    Abort,
}

/// The statements that change something. Names are as the dictionary has them: folded to upper case unless quoted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    BeginBackup(BackupScope),
    EndBackup(BackupScope),
    /// Switches and archives the current log of all enabled threads and returns when they are archived.
    ArchiveLogCurrent,
    /// Switches this thread and does not wait for the archiver.
    SwitchLogfile,
    Checkpoint,
    BackupControlfile {
        to: PathBuf,
        reuse: bool,
    },
    CreateStandbyControlfile {
        to: PathBuf,
        reuse: bool,
    },
    CreatePfile {
        to: PathBuf,
    },
    SetParameter {
        name: String,
        value: String,
    },
    /// ALTER SESSION SET CONTAINER.
    SetContainer(String),
    ForceLogging(bool),

    CreateTablespace {
        name: String,
        file: PathBuf,
        bytes: u64,
        undo: bool,
    },
    AddDatafile {
        tablespace: String,
        file: PathBuf,
        bytes: u64,
    },
    DropTablespace {
        name: String,
    },
    ResizeDatafile {
        file: PathBuf,
        bytes: u64,
    },
    TablespaceReadOnly(String),
    TablespaceReadWrite(String),
    TablespaceOffline(String),
    TablespaceOnline(String),

    Startup(StartupMode),
    Shutdown(ShutdownMode),
    Mount {
        standby: bool,
    },
    Open {
        read_only: bool,
        resetlogs: bool,
    },
    /// ALTER PLUGGABLE DATABASE ALL OPEN READ ONLY.
    OpenPluggable,
    ActivateStandby,

    RenameFile {
        from: PathBuf,
        to: PathBuf,
    },
    RegisterLogfile {
        path: PathBuf,
        replace: bool,
    },
    /// RMAN's CATALOG ARCHIVELOG or CATALOG START WITH, one file of it.
    CatalogFile {
        path: PathBuf,
    },
    Recover(Recover),
    /// RECOVER of RMAN: finds its logs by the control file's records, whatever their names.
    RecoverCataloged(Recover),
    /// ALTER DATABASE RECOVER LOGFILE 'path': feeds the session that a RECOVER without AUTOMATIC has left open.
    RecoverLogfile(PathBuf),
    /// ALTER DATABASE RECOVER CONTINUE DEFAULT: takes the suggested file.
    RecoverContinue,
    RecoverCancel,
    /// RECOVER MANAGED STANDBY DATABASE DISCONNECT: the process MRP0 from now on.
    RecoverManaged {
        real_time: bool,
    },
    RecoverManagedCancel,
}

/// What a successful command says besides "Database altered.": for RECOVER the notes ORA-00279/00280 as SQL*Plus prints them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reply {
    pub notes: Vec<String>,
}

/// The container of a session; `None` is the root or a non-CDB.
pub type Container = Option<String>;

pub trait Engine: Send + Sync {
    fn state(&self) -> State;

    /// The rows of a view by its upper-case name, or `None` when there is no such view (ORA-00942).
    fn view(&self, name: &str, container: &Container) -> Option<Result<View, OraError>>;

    /// Runs one command to its end. May block as long as Oracle would (ARCHIVE LOG CURRENT with a full destination).
    fn execute(&self, command: &Command, container: &mut Container) -> Result<Reply, OraError>;
}
