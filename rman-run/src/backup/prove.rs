//! Whether a backup is one: the views and the disk against what the plan demanded. Pure.

use std::collections::{BTreeMap, BTreeSet};

use common::record::{DatafileContent, LogContent};

use super::evidence::{is_autobackup, Evidence, Set, SetKey};
use super::pieces::Seen;
use super::plan::{Kind, Plan};
use crate::facts::{Facts, LogKey};
use crate::verdict::Severity;

/// Something that speaks against the backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doubt {
    pub severity: Severity,
    pub message: String,
}

/// The result.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Proof {
    pub doubts: Vec<Doubt>,
    /// Sets of which every piece is there and whole.
    pub good: BTreeSet<SetKey>,
}

impl Proof {
    fn add(&mut self, severity: Severity, message: String) {
        self.doubts.push(Doubt { severity, message });
    }
}

/// What is looked at.
pub struct Case<'a> {
    pub plan: &'a Plan,
    pub before: &'a Facts,
    pub after: &'a Facts,
    pub evidence: &'a Evidence,
    pub disk: &'a BTreeMap<String, Seen>,
}

/// Judges the backup by everything but RMAN's own words.
pub fn prove(case: &Case<'_>) -> Proof {
    let mut proof = Proof::default();
    pieces(case, &mut proof);
    let good = proof.good.clone();
    let sets: Vec<&Set> =
        case.evidence.sets.iter().filter(|(k, _)| good.contains(k)).map(|(_, s)| s).collect();
    let datafiles: Vec<&DatafileContent> = sets.iter().flat_map(|s| s.datafiles()).collect();
    if case.plan.kind != Kind::Archivelog {
        coverage(case, &datafiles, &mut proof);
        levels(case, &datafiles, &mut proof);
    }
    logs(case, &good, &mut proof);
    if case.plan.kind != Kind::Archivelog {
        let logs: Vec<&LogContent> = sets.iter().flat_map(|s| s.logs()).collect();
        redo(case, &datafiles, &logs, &mut proof);
    }
    files_besides(case, &sets, &good, &mut proof);
    let corrupt: u64 = sets.iter().map(|s| s.corrupt).sum();
    if corrupt > 0 {
        proof.add(
            Severity::Warning,
            format!("{corrupt} damaged blocks went into the backup; V$BACKUP_CORRUPTION names them"),
        );
    }
    statuses(case, &mut proof);
    proof
}

fn pieces(case: &Case<'_>, proof: &mut Proof) {
    let evidence = case.evidence;
    if evidence.pieces.is_empty() {
        proof.add(Severity::Error, format!("no piece is in {}", case.plan.run_dir.display()));
    }
    let mut whole: BTreeMap<SetKey, BTreeSet<u64>> = BTreeMap::new();
    for piece in &evidence.pieces {
        let bad = match case.disk.get(&piece.handle) {
            Some(Seen::File { bytes, .. }) if *bytes != piece.bytes => {
                Some(format!("it has {bytes} bytes and V$BACKUP_PIECE says {}", piece.bytes))
            }
            Some(Seen::File { .. }) if piece.status != "A" => {
                Some(format!("V$BACKUP_PIECE has it with status {}", piece.status))
            }
            Some(Seen::File { .. }) => None,
            Some(Seen::Gone(why)) => Some(why.clone()),
            None => Some("nobody has read it".to_owned()),
        };
        match bad {
            Some(why) => proof.add(Severity::Error, format!("piece {}: {why}", piece.handle)),
            None => {
                whole.entry(piece.set).or_default().insert(piece.piece);
            }
        }
    }
    for (key, set) in &evidence.sets {
        let there = whole.get(key).map_or(0, BTreeSet::len) as u64;
        if there >= set.pieces.max(1) {
            proof.good.insert(*key);
        } else {
            proof.add(
                Severity::Error,
                format!("backup set {} has {} pieces and {there} of them are whole", key.1, set.pieces),
            );
        }
    }
}

/// Each datafile of V$DATAFILE, before and after, against the good sets.
fn coverage(case: &Case<'_>, datafiles: &[&DatafileContent], proof: &mut Proof) {
    let covered: BTreeSet<u64> = datafiles.iter().map(|d| d.file).collect();
    let still: BTreeSet<u64> = case.after.files.iter().map(|f| f.file).collect();
    for file in &case.before.files {
        if covered.contains(&file.file) {
            continue;
        }
        if still.contains(&file.file) {
            proof.add(Severity::Error, format!("datafile {} {} is not in the backup", file.file, file.path));
        } else {
            proof
                .add(Severity::Notice, format!("datafile {} {} was dropped meanwhile", file.file, file.path));
        }
    }
    let known: BTreeSet<u64> = case.before.files.iter().map(|f| f.file).collect();
    for file in case.after.files.iter().filter(|f| !known.contains(&f.file) && !covered.contains(&f.file)) {
        proof.add(
            Severity::Notice,
            format!(
                "datafile {} {} was added during the backup: recovery makes it from redo",
                file.file, file.path
            ),
        );
    }
    for file in datafiles.iter().filter(|d| d.level.is_none()) {
        proof.add(
            Severity::Error,
            format!("datafile {} is in a plain full backup, on which no level 1 can build", file.file),
        );
    }
}

/// A level 1 that is none, and one that builds on something that nobody counts on.
fn levels(case: &Case<'_>, datafiles: &[&DatafileContent], proof: &mut Proof) {
    if case.plan.kind != Kind::Incremental {
        return;
    }
    let newest =
        case.before.parents.iter().filter(|p| p.level == 0).map(|p| p.checkpoint_change).max().unwrap_or(0);
    let whole: Vec<_> = datafiles
        .iter()
        .filter(|d| d.level == Some(0) || d.incremental_change <= d.creation_change)
        .filter(|d| newest == 0 || d.creation_change <= newest)
        .map(|d| d.file.to_string())
        .collect();
    if !whole.is_empty() {
        proof.add(
            Severity::Warning,
            format!(
                "this incremental is a level 0 for datafiles {}: they had no level 0 before",
                whole.join(", ")
            ),
        );
    }
    for file in datafiles.iter().filter(|d| d.level == Some(1) && d.incremental_change > d.creation_change) {
        let base = case
            .before
            .parents
            .iter()
            .any(|p| p.file == file.file && p.checkpoint_change == file.incremental_change);
        if !base {
            proof.add(
                Severity::Error,
                format!(
                    "datafile {} builds on a backup at SCN {} that is not in the repository: make a level 0",
                    file.file, file.incremental_change
                ),
            );
        }
    }
}

fn logs(case: &Case<'_>, good: &BTreeSet<SetKey>, proof: &mut Proof) {
    let there: BTreeSet<LogKey> = case.evidence.log_keys(good).collect();
    let mut missing: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    for key in case.plan.logs.iter().filter(|k| !there.contains(k)) {
        missing.entry(key.thread).or_default().push(key.sequence);
    }
    for (thread, sequences) in missing {
        let list: Vec<_> = sequences.iter().take(20).map(u64::to_string).collect();
        let more = if sequences.len() > 20 { ", …" } else { "" };
        proof.add(
            Severity::Error,
            format!(
                "archived logs {}{more} of thread {thread} were on disk and are not in the backup",
                list.join(", ")
            ),
        );
    }
}

/// The redo without which these datafiles cannot be opened: in this very backup, for each thread.
fn redo(case: &Case<'_>, datafiles: &[&DatafileContent], logs: &[&LogContent], proof: &mut Proof) {
    let quiet: BTreeSet<u64> =
        case.after.files.iter().filter(|f| f.enabled == "READ ONLY" || !f.online()).map(|f| f.file).collect();
    let moving: Vec<_> = datafiles.iter().filter(|d| !quiet.contains(&d.file)).collect();
    let Some(from) = moving.iter().map(|d| d.checkpoint_change).min() else { return };
    let to =
        moving.iter().map(|d| d.checkpoint_change.max(d.fuzzy_change.unwrap_or(0))).max().unwrap_or(from);
    if !case.before.database.open() || !case.before.database.primary() {
        return;
    }
    let incarnation = case.after.database.resetlogs_change;
    for thread in case.after.threads.iter().filter(|t| t.disabled_change.is_none_or(|c| c > from)) {
        let mut spans: Vec<_> = logs
            .iter()
            .filter(|l| l.thread == thread.thread && l.resetlogs_change == incarnation)
            .map(|l| (l.first_change, l.next_change))
            .collect();
        spans.sort_unstable();
        let mut reached = from.max(thread.enabled_change);
        for (first, next) in spans {
            if first <= reached && next > reached {
                reached = next;
            }
        }
        if reached <= to {
            proof.add(
                Severity::Error,
                format!(
                    "the backup needs redo of thread {} from SCN {from} beyond {to}, and its logs end at {reached}: it cannot be made consistent by itself",
                    thread.thread
                ),
            );
        }
    }
}

fn files_besides(case: &Case<'_>, sets: &[&Set], good: &BTreeSet<SetKey>, proof: &mut Proof) {
    if !sets.iter().any(|s| s.has_controlfile()) {
        proof.add(Severity::Error, "no control file is in the backup".to_owned());
    }
    if case.before.spfile && !sets.iter().any(|s| s.has_spfile()) {
        proof.add(Severity::Error, "no server parameter file is in the backup".to_owned());
    }
    let dbid = case.before.database.dbid;
    let found = case.evidence.pieces.iter().any(|p| good.contains(&p.set) && is_autobackup(&p.handle, dbid));
    if case.before.autobackup() && !found {
        proof.add(Severity::Error, "CONTROLFILE AUTOBACKUP is on and no autobackup was made".to_owned());
    }
}

fn statuses(case: &Case<'_>, proof: &mut Proof) {
    if case.evidence.statuses.is_empty() {
        proof.add(Severity::Warning, format!("V$RMAN_STATUS has no row of {}", case.plan.command_id));
    }
    for row in &case.evidence.statuses {
        let severity = match row.status.as_str() {
            "COMPLETED" => continue,
            "COMPLETED WITH WARNINGS" => Severity::Warning,
            _ => Severity::Error,
        };
        proof.add(severity, format!("V$RMAN_STATUS: {} is {}", row.operation, row.status));
    }
}

#[cfg(test)]
#[path = "prove_tests.rs"]
mod tests;
