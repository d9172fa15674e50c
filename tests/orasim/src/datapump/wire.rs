//! What a client of Data Pump says to the server.

use serde::{Deserialize, Serialize};

use crate::server::wire::Stack;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Request {
    Start(Start),
    /// Lines of the log from this one on, as soon as there are any.
    Poll {
        owner: String,
        job: String,
        from: usize,
    },
    Attach {
        owner: String,
        job: String,
    },
    Kill {
        owner: String,
        job: String,
    },
    /// STOP_JOB: the job is NOT RUNNING and its master table stays.
    Stop {
        owner: String,
        job: String,
    },
}

impl Request {
    /// The text of the request in the journal and for faults.
    pub fn name(&self) -> String {
        match self {
            Self::Start(start) => format!("EXPDP SCHEMAS={} JOB={}", start.schemas.join(","), start.job),
            Self::Poll { job, .. } => format!("EXPDP POLL {job}"),
            Self::Attach { job, .. } => format!("EXPDP ATTACH {job}"),
            Self::Kill { job, .. } => format!("EXPDP KILL_JOB {job}"),
            Self::Stop { job, .. } => format!("EXPDP STOP_JOB {job}"),
        }
    }
}

/// The parameters of an export.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Start {
    pub schemas: Vec<String>,
    pub directory: String,
    /// With %U for several files.
    pub dumpfile: String,
    pub logfile: String,
    /// Empty: SYS_EXPORT_SCHEMA_nn.
    pub job: String,
    pub flashback_scn: Option<u64>,
    /// FLASHBACK_TIME was given: one SCN for all tables.
    pub flashback_time: bool,
    pub filesize: Option<u64>,
    pub parallel: u64,
    pub reuse: bool,
    pub metadata_only: bool,
    /// The command line as the log shows it, password blanked.
    pub shown: String,
    /// First lines of the log.
    pub banner: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    Started {
        owner: String,
        job: String,
    },
    Lines {
        lines: Vec<String>,
        ended: Option<i32>,
        client_dies: Option<i32>,
    },
    Attached {
        state: String,
    },
    Done,
    /// Nothing was begun.
    Failed(Stack),
}
