//! Requests of the `orasim` command: the daemon's life, the writer, faults.

use serde::{Deserialize, Serialize};

use super::fault::Fault;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Admin {
    /// Ends the daemon after SHUTDOWN ABORT.
    Stop,
    /// The instance dies now, as if every process had got SIGKILL; the daemon stays and answers as an idle instance.
    Kill,
    /// One line about the instance.
    State,
    AddFault(Fault),
    ClearFaults,
    ListFaults,
    /// Fault settings of the physics, as JSON of `orasim::faults::Faults`.
    Physics(String),
    ShowPhysics,
    /// Changes per second of the writer; 0 pauses it.
    Writer {
        rate: u32,
    },
    /// n changes at once.
    WriteBatch {
        n: usize,
    },
    /// A RESETLOGS in between, as after an incomplete recovery on the primary.
    Resetlogs,
    /// Runs one SQL statement as SYSDBA, outside of faults and journal.
    Sql {
        text: String,
    },
}
