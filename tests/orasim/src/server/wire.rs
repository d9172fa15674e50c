//! What goes over `orasim.sock`: one JSON object per line, a request and its answer.

use serde::{Deserialize, Serialize};

use crate::engine::OraError;
use crate::sql::nls::Nls;
use crate::sql::{Cell, Done, Head};

pub type Stack = Vec<(u32, String)>;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Request {
    /// First line of a program: its id in the journal.
    Call {
        id: String,
    },
    Logon(Logon),
    Sql {
        text: String,
    },
    Startup {
        mode: StartupWord,
    },
    Shutdown {
        mode: ShutdownWord,
    },
    Describe {
        name: String,
    },
    /// A new password after ORA-28001.
    Password {
        user: String,
        new: String,
    },
    /// RMAN's CATALOG of one file.
    Catalog {
        path: String,
    },
    /// RMAN's RECOVER: an ALTER DATABASE RECOVER that finds its logs by the control file's records.
    RecoverCataloged {
        text: String,
    },
    /// RMAN's backups; see [`crate::pieces::api`].
    Rman(crate::pieces::api::Request),
    DataPump(crate::datapump::wire::Request),
    Admin(super::admin::Admin),
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Logon {
    /// Empty for OS authentication.
    pub user: String,
    pub password: String,
    /// `AS SYSDBA` (or SYSOPER, SYSBACKUP, which are not told apart).
    pub sysdba: bool,
    /// Through a connect identifier, that is through the listener.
    pub remote: bool,
    /// `None`: the client has no NLS_LANG, the instance's setting counts.
    pub nls: Option<Nls>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum StartupWord {
    Nomount,
    Mount,
    Open,
    OpenReadOnly,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ShutdownWord {
    Normal,
    Immediate,
    Abort,
}

/// How far STARTUP or SHUTDOWN got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    Started,
    Mounted,
    Opened,
    NotOpen,
    NotMounted,
    Closed,
    Dismounted,
    ShutDown,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Response {
    Ok,
    Connected {
        user: String,
        /// No instance yet: "Connected to an idle instance."
        idle: bool,
        /// ORA-28002 and its like: printed, and the session works.
        warning: Option<(u32, String)>,
    },
    Rows {
        heads: Vec<Head>,
        rows: Vec<Vec<Cell>>,
    },
    Done {
        what: Done,
        notes: Vec<String>,
    },
    Block {
        output: Vec<String>,
    },
    Error {
        stack: Stack,
        at: Option<(u64, u64)>,
        /// The session is gone: the next statement is ORA-03114.
        dead: bool,
    },
    Steps {
        steps: Vec<Step>,
        error: Option<Stack>,
    },
    Columns(Vec<(String, String)>),
    Rman(crate::pieces::api::Answer),
    DataPump(crate::datapump::wire::Answer),
    /// Answer of an admin request.
    Text(String),
}

impl Response {
    pub fn error(error: OraError) -> Self {
        Self::Error { stack: error.stack, at: None, dead: false }
    }

    pub fn lost() -> Self {
        Self::Error {
            stack: vec![(
                3113,
                "end-of-file on communication channel\nProcess ID: 4711\nSession ID: 35 Serial number: 9"
                    .into(),
            )],
            at: Some((1, 1)),
            dead: true,
        }
    }
}
