//! What is ours to end: the journal against what the database says.

use super::{FileState, Identity, Journal, Scope};

/// What to do about files in backup mode.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Scopes to END in the open database.
    pub end: Vec<Scope>,
    /// Files to END one by one in the mounted database.
    pub end_mounted: Vec<u64>,
    /// In backup mode by somebody else: never ended by us.
    pub foreign: Vec<FileState>,
    /// Ours by the journal, and yet not to be ended here; the reason.
    pub forbidden: Option<String>,
}

impl Verdict {
    /// Whether nothing of ours is in backup mode.
    pub fn is_settled(&self) -> bool {
        self.end.is_empty() && self.end_mounted.is_empty() && self.forbidden.is_none()
    }
}

/// Decides. `active` are the files that V$BACKUP shows as ACTIVE.
///
/// In a mounted database END BACKUP declares the files consistent without any redo. That is right only for the very
/// files that were in backup mode when the instance crashed: same database, same host, same paths, a current control
/// file of a primary. For a copy it would be silent corruption, so it is refused there.
pub fn judge(journal: &Journal, identity: &Identity, active: &[FileState], host: &str) -> Verdict {
    let mut verdict = Verdict::default();
    let mut forbid = |reason: String| {
        verdict.forbidden.get_or_insert(reason);
    };
    // Whatever is ACTIVE here: another database says nothing about the files of that one.
    if let Some(entry) = journal.entries.iter().find(|e| e.dbid != identity.dbid) {
        forbid(format!(
            "the journal is of the database with DBID {}, and {} has DBID {}",
            entry.dbid, identity.name, identity.dbid
        ));
    } else if !identity.is_open() && !identity.is_original() && !journal.entries.is_empty() {
        forbid(format!(
            "{} is {} with a {} control file, a copy: END BACKUP there would declare torn files good",
            identity.name, identity.role, identity.controlfile_type
        ));
    }
    let mut ours = Vec::new();
    for state in active {
        let Some(entry) = journal.owner(state.file, state.change) else {
            verdict.foreign.push(state.clone());
            continue;
        };
        if entry.host != host {
            forbid(format!(
                "backup mode of {} was begun on host {}, and this is {host}",
                entry.scope, entry.host
            ));
        } else if !entry.files.iter().any(|f| f.file == state.file && f.path == state.path) {
            forbid(format!(
                "datafile {} is {} now, not the file that was put in backup mode",
                state.file, state.path
            ));
        } else {
            ours.push((entry.scope.clone(), state.file));
        }
    }
    if verdict.forbidden.is_some() {
        return verdict;
    }
    for (scope, file) in ours {
        if !identity.is_open() {
            verdict.end_mounted.push(file);
        } else if !verdict.end.contains(&scope) {
            verdict.end.push(scope);
        }
    }
    verdict
}
