//! `--verify`: reads every log at the standby again and compares it with the source, or with the recorded hash.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use common::exit::Exit;
use common::record::{ArchivedLog, LogStatus};
use common::remote::{adaptive, reading_limit};
use common::signals;

use crate::compare::{read_source, Unfit};
use crate::cycle::{gaps, Cycle, Picture};
use crate::destination::{again, final_path, stop};
use crate::facts::{Facts, Key, SourceLog};
use crate::gap;
use crate::plan::{not_needed, RemoteFile};
use crate::session::{describe, text, Session};
use crate::source::{Look, Source};

/// One log to be read again.
struct Check<'p> {
    key: Key,
    file: RemoteFile,
    log: Option<&'p SourceLog>,
    recorded: Option<String>,
    path: String,
}

/// Reads everything again. Status 5 when something there is not what it was. Changes nothing.
pub fn verify(session: &Session, source: &mut Source<'_>, look: Look) -> anyhow::Result<()> {
    let mut cycle = Cycle::default();
    cycle.set_cutoff(session, source)?;
    let Picture { facts, found, policy } = cycle.picture(session, look, false, session.cli.retries.min(2))?;
    let mut checks = checks(session, &facts, &found.remote);
    checks.sort_by_key(|c| c.key);
    let sizes: Vec<u64> = checks.iter().map(|c| c.file.stat.bytes).collect();
    let mut verified = BTreeSet::new();
    for range in adaptive::batches(&sizes, 1, adaptive::BatchSize { bytes: 256 << 20, files: 256, cuts: 4 }) {
        if signals::pending().is_some() {
            return Ok(());
        }
        verified.extend(batch(session, &checks[range])?);
    }
    missing(session, &facts, &policy, &checks, &verified)
}

fn checks<'p>(session: &Session, facts: &'p Facts, remote: &crate::plan::Remote) -> Vec<Check<'p>> {
    let mut ready: BTreeMap<Key, &SourceLog> = BTreeMap::new();
    for log in facts.logs.iter().filter(|l| l.is_ready()) {
        ready.insert(log.key, log);
    }
    let state = session.state();
    let mut found = Vec::new();
    let mut seen: BTreeSet<Key> = BTreeSet::new();
    for entry in state.entries() {
        let Some(file) = remote.at(Path::new(&entry.dest)) else { continue };
        seen.insert(entry.key);
        found.push(Check {
            key: entry.key,
            file: file.clone(),
            log: ready.get(&entry.key).copied(),
            recorded: Some(entry.sha256.clone()),
            path: entry.path.clone(),
        });
    }
    for (key, log) in ready.iter().filter(|(key, _)| !seen.contains(key)) {
        let last = final_path(session, log);
        let mut candidates = remote.candidates(log);
        candidates.sort_by_key(|f| (f.path != last, f.stat.bytes != log.stat.bytes));
        if let Some(file) = candidates.into_iter().next() {
            found.push(Check { key: *key, file, log: Some(log), recorded: None, path: text(&log.path) });
        }
    }
    found
}

fn batch(session: &Session, checks: &[Check<'_>]) -> anyhow::Result<Vec<Key>> {
    let paths: Vec<PathBuf> = checks.iter().map(|c| c.file.path.clone()).collect();
    let bytes = checks.iter().map(|c| c.file.stat.bytes).sum();
    let (there, here) = std::thread::scope(|scope| {
        let here =
            scope.spawn(|| checks.iter().map(|c| c.log.map(|l| read_source(session, l))).collect::<Vec<_>>());
        let there =
            again(session, session.cli.retries, || session.control().sha256(&paths, reading_limit(bytes)));
        (there, here.join().unwrap_or_else(|_| checks.iter().map(|_| None).collect()))
    });
    let there = there.map_err(|e| stop(session, &e, "read the logs at the destination"))?;
    let mut good = Vec::new();
    for ((check, there), here) in checks.iter().zip(there).zip(here) {
        // An unreadable source is not the standby's fault; the recorded hash still tells.
        let (want, by) = match (here, &check.recorded) {
            (Some(Ok(sums)), _) => (Some(sums.sha256), "the source"),
            (_, Some(hash)) => (Some(hash.clone()), "the recorded hash"),
            (Some(Err(Unfit::NotReady(_) | Unfit::Damaged(_))), None) | (None, None) => (None, ""),
        };
        let base = match check.log {
            Some(log) => describe(log),
            None => ArchivedLog {
                path: check.path.clone(),
                thread: Some(check.key.thread),
                sequence: Some(check.key.sequence),
                resetlogs_id: Some(check.key.resetlogs_id),
                bytes: Some(check.file.stat.bytes),
                ..ArchivedLog::default()
            },
        };
        let place = check.file.path.display();
        let (status, reason) = match (&there, &want) {
            (Ok(hash), Some(want)) if hash == want => {
                good.push(check.key);
                (LogStatus::Present, None)
            }
            (Ok(_), Some(_)) => (LogStatus::Failed, Some(format!("{place} differs from {by}"))),
            (Ok(_), None) => (LogStatus::Skipped, Some("there is nothing to compare it with".to_owned())),
            (Err(words), _) => (LogStatus::Failed, Some(format!("{place} cannot be read: {words}"))),
        };
        if status == LogStatus::Failed {
            session.worse(Exit::Finding);
        }
        session.report(&ArchivedLog {
            status: Some(status),
            reason,
            dest: Some(text(&check.file.path)),
            sha256: there.ok(),
            ..base
        })?;
        session.progress();
    }
    Ok(good)
}

/// Needed logs that are not there at all, and the holes.
fn missing(
    session: &Session,
    facts: &Facts,
    policy: &crate::plan::Policy,
    checks: &[Check<'_>],
    verified: &BTreeSet<Key>,
) -> anyhow::Result<()> {
    let looked: BTreeSet<Key> = checks.iter().map(|c| c.key).collect();
    let lost: Vec<crate::state::Entry> = {
        let state = session.state();
        state.entries().filter(|e| !looked.contains(&e.key)).cloned().collect()
    };
    let required = gap::required(facts, policy, true);
    for entry in lost {
        let log = facts.logs.iter().find(|l| l.key == entry.key);
        let applied = match log {
            Some(log) => not_needed(log, facts, policy).is_some(),
            None => !required
                .iter()
                .any(|r| r.chain == entry.key.chain() && (r.from..=r.to).contains(&entry.key.sequence)),
        };
        if applied {
            continue;
        }
        session.worse(Exit::Finding);
        session.report(&ArchivedLog {
            path: entry.path,
            thread: Some(entry.key.thread),
            sequence: Some(entry.key.sequence),
            resetlogs_id: Some(entry.key.resetlogs_id),
            status: Some(LogStatus::Failed),
            reason: Some(format!("{} was verified and is gone", entry.dest)),
            dest: Some(entry.dest),
            ..ArchivedLog::default()
        })?;
    }
    for gap in gaps(session, facts, policy, verified) {
        session.gap(&gap)?;
    }
    Ok(())
}
