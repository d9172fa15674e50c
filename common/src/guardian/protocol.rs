//! What tool and keeper say to each other: one JSON object per line.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Entry, FileState, Scope};
use crate::exit::{Exit, Failure};

/// The first line to the keeper. It holds the logon, which is why it goes over a pipe and nowhere else.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Hello {
    pub tool: String,
    pub run: String,
    pub pid: u32,
    pub state_dir: PathBuf,
    pub log_dir: PathBuf,
    pub sid: String,
    pub oracle_home: Option<PathBuf>,
    pub oracle_sid: Option<String>,
    pub connect: String,
    pub sql_seconds: f64,
    pub cap_seconds: Option<f64>,
    pub give_up_seconds: f64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Ask {
    Begin {
        dbid: u64,
        scope: Scope,
        files: Vec<FileName>,
    },
    End {
        scope: Scope,
    },
    /// Ends everything in the journal, whoever of ours began it.
    Reconcile,
    /// The tool is asked to stop: a BEGIN that is under way may be given up.
    Hurry,
    Finish,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FileName {
    pub file: u64,
    pub path: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Told {
    /// The keeper has the journal; these are obligations of earlier runs.
    Ready {
        left: Vec<Entry>,
        warning: Option<String>,
    },
    Begun {
        files: Vec<FileState>,
    },
    Ended {
        before: Vec<FileState>,
        after: Vec<FileState>,
        scn: u64,
    },
    Reconciled {
        ended: Vec<String>,
    },
    Failed(Refusal),
    /// Not an answer: the cap on backup mode has ended this one.
    Capped {
        scope: Scope,
    },
    Finished,
}

/// A failure with everything that chooses the exit status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Refusal {
    pub exit: u8,
    pub message: String,
    pub hint: Option<String>,
    pub code: Option<String>,
}

impl Refusal {
    pub fn of(error: &anyhow::Error) -> Self {
        let failure = crate::exit::failure(error);
        Self {
            exit: crate::exit::status_of(error).code(),
            message: format!("{error:#}"),
            hint: failure.and_then(|f| f.hint.clone()),
            code: failure.and_then(|f| f.code.clone()),
        }
    }

    pub fn failure(self) -> Failure {
        let mut failure = Failure::new(Exit::from_code(i64::from(self.exit)), self.message);
        failure.hint = self.hint;
        failure.code = self.code;
        failure
    }
}
