//! Decides what is copied, in which order, and what is left out: facts, policy and cycle in, a plan out.

use std::collections::{BTreeMap, BTreeSet};

use common::exit::{Exit, Failure};
use regex::Regex;

use crate::cycle::Copied;
use crate::facts::{Contents, Datafile, Facts, Key, Opened, Tablespace};
use crate::map::PathMap;

/// What the user wants.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    pub exclude: Option<Regex>,
    /// `None`: SYSTEM, SYSAUX and undo.
    pub last: Option<Regex>,
    /// Not empty: only these, `NAME` or `PDB:NAME`.
    pub only: Vec<String>,
    pub map: PathMap,
}

/// How a tablespace is copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    InBackupMode,
    /// Nothing changes in its files, and Oracle refuses BEGIN BACKUP (ORA-01642).
    AsItIs,
}

/// One datafile that will be copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileCopy {
    pub file: u64,
    pub path: String,
    pub dest: String,
    /// Size on disk.
    pub bytes: u64,
    pub block_size: u64,
    pub creation_change: u64,
}

/// One tablespace that will be copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    pub key: Key,
    pub con_id: u64,
    pub how: How,
    /// SYSTEM and the like: the later they are copied, the less redo their recovery needs.
    pub last: bool,
    /// All datafiles that BEGIN BACKUP puts in backup mode.
    pub online: Vec<u64>,
    /// Those to be copied; fewer than all when the others are done in this cycle.
    pub files: Vec<FileCopy>,
    pub reason: String,
}

impl Step {
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|f| f.bytes).sum()
    }
}

/// One tablespace that will not be copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skip {
    pub key: Key,
    pub files: Vec<u64>,
    pub reason: String,
    /// Whether the standby can be recovered without it as if nothing were missing.
    pub harmless: bool,
    /// Recovery has to be told to leave the files out.
    pub forget: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// In this order, one at a time.
    pub steps: Vec<Step>,
    pub skipped: Vec<Skip>,
    /// Done in this cycle.
    pub done: Vec<Key>,
    /// Tablespaces that the user did not name this time.
    pub not_asked: Vec<Key>,
}

impl Plan {
    /// Whether the cycle is complete when all steps succeed.
    pub fn completes(&self) -> bool {
        self.not_asked.is_empty()
    }

    pub fn bytes(&self) -> u64 {
        self.steps.iter().map(Step::bytes).sum()
    }
}

/// The plan for what is still to be done.
///
/// The order of `facts` does not matter. `copied` has what earlier runs of this cycle have done.
///
/// # Errors
/// Status 4 for files without a place of their own at the standby, 64 for a name that is no tablespace.
pub fn plan(facts: &Facts, policy: &Policy, copied: &BTreeMap<Key, Copied>) -> Result<Plan, Failure> {
    let mut plan = Plan::default();
    let mut known: Vec<&Tablespace> = facts.tablespaces.iter().collect();
    known.sort_by(|a, b| a.key.cmp(&b.key));
    let only = resolve(&policy.only, &known)?;
    let asked = |key: &Key| only.as_ref().is_none_or(|only| only.contains(key));

    let mut wanted = Vec::new();
    for tablespace in known {
        if let Some(skip) = left_out(tablespace, policy) {
            plan.skipped.push(skip);
        } else if asked(&tablespace.key) {
            wanted.push(tablespace);
        } else if is_done(tablespace, copied, &policy.map) {
            plan.done.push(tablespace.key.clone());
        } else {
            plan.not_asked.push(tablespace.key.clone());
        }
    }
    needed(&facts.tablespaces, policy)?;
    // Places are checked over all files of the database that are copied at all, not only those of this run: a clash
    // with a file that was copied yesterday destroys that one.
    let skipped: Vec<&Key> = plan.skipped.iter().map(|s| &s.key).collect();
    let paths: Vec<&str> = facts
        .files()
        .filter(|(t, f)| !skipped.contains(&&t.key) && (asked(&t.key) || policy.map.dest(&f.path).is_some()))
        .map(|(_, f)| f.path.as_str())
        .collect();
    let places = policy.map.place(&paths)?;
    for tablespace in wanted {
        let done = copied.get(&tablespace.key);
        let files: Vec<FileCopy> = tablespace
            .files
            .iter()
            .filter_map(|f| places.get(f.path.as_str()).map(|dest| copy_of(f, dest)))
            .filter(|f| !done.is_some_and(|d| d.has(f)))
            .collect();
        if files.is_empty() {
            plan.done.push(tablespace.key.clone());
            continue;
        }
        let how = how(tablespace);
        let last = is_last(tablespace, policy.last.as_ref());
        let online = tablespace.files.iter().map(|f| f.file).collect();
        plan.steps.push(Step {
            reason: reason(how, last, tablespace, done.is_some()),
            key: tablespace.key.clone(),
            con_id: tablespace.con_id,
            how,
            last,
            online,
            files,
        });
    }
    plan.steps.sort_by(|a, b| (a.last, &a.key).cmp(&(b.last, &b.key)));
    plan.done.sort();
    Ok(plan)
}

fn copy_of(file: &Datafile, dest: &str) -> FileCopy {
    FileCopy {
        file: file.file,
        path: file.path.clone(),
        dest: dest.to_owned(),
        bytes: file.disk_bytes(),
        block_size: file.block_size,
        creation_change: file.creation_change,
    }
}

fn is_done(tablespace: &Tablespace, copied: &BTreeMap<Key, Copied>, map: &PathMap) -> bool {
    copied.get(&tablespace.key).is_some_and(|done| {
        tablespace.files.iter().all(|f| map.dest(&f.path).is_some_and(|dest| done.has(&copy_of(f, &dest))))
    })
}

/// Recovery ends with an error, or the database does not open, without these.
fn needed(tablespaces: &[Tablespace], policy: &Policy) -> Result<(), Failure> {
    let Some(exclude) = &policy.exclude else { return Ok(()) };
    let needed = |t: &&Tablespace| {
        let core = t.contents == Contents::Undo || t.key.name == "SYSTEM";
        core && t.key.container.is_none() && !t.files.is_empty() && exclude.is_match(&t.key.name)
    };
    let names: Vec<String> = tablespaces.iter().filter(needed).map(|t| t.key.to_string()).collect();
    if names.is_empty() {
        return Ok(());
    }
    let text =
        format!("--exclude {:?} leaves out {}: no standby without it", exclude.as_str(), names.join(", "));
    Err(Failure::new(Exit::Refused, text)
        .hint("SYSTEM and undo are always copied, --last chooses when; an undo tablespace that nothing uses can be dropped"))
}

/// Why a tablespace is not copied, whatever the user has named.
fn left_out(t: &Tablespace, policy: &Policy) -> Option<Skip> {
    let skip = |reason: &str, harmless, forget| {
        let files = t.files.iter().map(|f| f.file).collect();
        Some(Skip { key: t.key.clone(), files, reason: reason.to_owned(), harmless, forget })
    };
    if t.contents == Contents::Temporary || t.files.is_empty() {
        return skip("temporary: has no datafiles to recover", true, false);
    }
    if policy.exclude.as_ref().is_some_and(|re| re.is_match(&t.key.name)) {
        // Recovery goes on without it, and what is left afterwards is no whole database or pluggable database.
        let core = t.contents == Contents::Undo || matches!(t.key.name.as_str(), "SYSTEM" | "SYSAUX");
        return skip("excluded by --exclude", !core, true);
    }
    if t.opened == Opened::Mounted {
        return skip(
            "its pluggable database is closed and cannot be put in backup mode: open it and run again",
            false,
            true,
        );
    }
    let offline = t.files.iter().filter(|f| !f.online()).count();
    if offline == t.files.len() {
        // OFFLINE NORMAL needs no redo: recovery passes over it. RECOVER says that it was not taken offline cleanly.
        let clean = t.files.iter().all(|f| f.status != "RECOVER");
        return if clean {
            skip("offline", true, false)
        } else {
            skip("offline and in need of media recovery", false, true)
        };
    }
    if offline > 0 {
        let names: Vec<String> =
            t.files.iter().filter(|f| !f.online()).map(|f| format!("{} {}", f.file, f.path)).collect();
        let reason = format!(
            "datafile {} is offline, so the tablespace cannot be put in backup mode (ORA-01128)",
            names.join(", ")
        );
        return skip(&reason, false, true);
    }
    None
}

fn how(t: &Tablespace) -> How {
    if t.opened == Opened::ReadOnly || t.files.iter().all(Datafile::read_only) {
        How::AsItIs
    } else {
        How::InBackupMode
    }
}

fn is_last(t: &Tablespace, last: Option<&Regex>) -> bool {
    match last {
        Some(re) => re.is_match(&t.key.name),
        None => t.contents == Contents::Undo || matches!(t.key.name.as_str(), "SYSTEM" | "SYSAUX"),
    }
}

fn reason(how: How, last: bool, t: &Tablespace, again: bool) -> String {
    let how = match how {
        How::InBackupMode => "needs backup mode",
        How::AsItIs if t.opened == Opened::ReadOnly => {
            "its pluggable database is open read only: without backup mode"
        }
        How::AsItIs => "read only: without backup mode",
    };
    let last = if last { ", among the last" } else { "" };
    let again = if again { ", files that are new in this cycle" } else { "" };
    format!("{how}{last}{again}")
}

/// The tablespaces that the user has named; `None` is all. `NAME` alone will do where only one container has it.
fn resolve(only: &[String], known: &[&Tablespace]) -> Result<Option<BTreeSet<Key>>, Failure> {
    if only.is_empty() {
        return Ok(None);
    }
    let mut found = BTreeSet::new();
    for name in only {
        if let Some(t) = known.iter().find(|t| *name == t.key.to_string()) {
            found.insert(t.key.clone());
            continue;
        }
        let named: Vec<&Key> = known.iter().filter(|t| t.key.name == *name).map(|t| &t.key).collect();
        match named.as_slice() {
            [one] => {
                found.insert((*one).clone());
            }
            [] => {
                let hint = match known.iter().find(|t| t.key.name.eq_ignore_ascii_case(name)) {
                    Some(t) => format!("did you mean {}? names are as in the dictionary", t.key),
                    None => "see DBA_TABLESPACES; in a pluggable database the name is PDB:NAME".to_owned(),
                };
                return Err(Failure::new(Exit::Usage, format!("there is no tablespace {name:?}")).hint(hint));
            }
            several => {
                let which: Vec<String> = several.iter().map(ToString::to_string).collect();
                let text = format!("{name:?} is the name of several tablespaces: {}", which.join(", "));
                return Err(Failure::new(Exit::Usage, text).hint("say which, as PDB:NAME"));
            }
        }
    }
    Ok(Some(found))
}

/// Marks that no longer hold: a file that was copied as read only has been writable since.
pub fn outdated(facts: &Facts, copied: &BTreeMap<Key, Copied>) -> Vec<Key> {
    let files: BTreeMap<u64, &Datafile> = facts.files().map(|(_, f)| (f.file, f)).collect();
    let changed = |done: &Copied| {
        done.files.iter().filter(|f| f.read_only).any(|f| {
            files.get(&f.file).is_some_and(|now| {
                now.header_checkpoint != Some(f.checkpoint_scn) && now.creation_change == f.creation_change
            })
        })
    };
    copied.values().filter(|done| changed(done)).map(Copied::key).collect()
}
