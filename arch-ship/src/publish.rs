//! Verifies what was received, gives it its final name, keeps that it is there, and only then writes the receipt.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use common::record::{ArchivedLog, LogStatus};
use common::remote::{reading_limit, Class, Connection, PublishMode, Published, Stat, TransferError};

use crate::compare::Unfit;
use crate::destination::{again, final_path};
use crate::facts::{FileStat, SourceLog};
use crate::scan::stat_of;
use crate::session::{describe, text, Session};
use crate::ship::{wait, Piece, Shared};
use crate::state::Entry;
use crate::transfer::Sent;

/// A received file with the right content.
struct Good<'p> {
    piece: Piece<'p>,
    temporary: PathBuf,
    sha256: String,
}

/// Ends a batch. What failed is reported log by log; what came with another content is put back once.
///
/// # Errors
/// The state or the records cannot be written.
pub fn finish<'p>(
    session: &Session,
    shared: &Shared<'p>,
    conn: &Connection,
    batch: Vec<Piece<'p>>,
    sent: Sent,
) -> anyhow::Result<()> {
    if sent.trouble.as_ref().is_some_and(|e| e.class == Class::Interrupted) {
        return Ok(());
    }
    if let Some(error) = sent.trouble.as_ref().filter(|e| e.class == Class::Retry) {
        return fail_all(session, shared, batch, error, sent.attempts);
    }
    let bytes = batch.iter().map(|p| p.log.stat.bytes).sum();
    let limit = reading_limit(bytes);
    let began = std::time::Instant::now();
    let hashes = match again(session, session.cli.retries, || conn.content(&sent.temporary, limit)) {
        Ok(hashes) => hashes,
        Err(error) => return fail_all(session, shared, batch, &error, sent.attempts),
    };
    session.log.info(&format!(
        "{} logs hashed at the destination in {:.1}s",
        hashes.len(),
        began.elapsed().as_secs_f64()
    ));
    let mut good = Vec::new();
    let mut back = Vec::new();
    let parts = batch.into_iter().zip(sent.temporary).zip(sent.sources).zip(hashes);
    for (((piece, temporary), source), hash) in parts {
        let sums = match source {
            Err(Unfit::NotReady(reason)) => {
                wait(session, piece.log, &reason)?;
                continue;
            }
            Err(Unfit::Damaged(reason)) => {
                if let Some(log) = crate::ship::other_copy(session, shared.facts, piece.log, &reason)? {
                    back.push(Piece { log, basis: None, resent: false });
                    continue;
                }
                session.fail(piece.log, &reason, None, sent.attempts)?;
                continue;
            }
            Ok(sums) => sums,
        };
        let same = std::fs::metadata(&piece.log.path).is_ok_and(|m| stat_of(&m) == piece.log.stat);
        if !same {
            wait(session, piece.log, "it changed while it was being sent")?;
        } else if hash.as_ref().is_ok_and(|there| sums.is(there)) {
            good.push(Good { piece, temporary, sha256: sums.sha256 });
        } else if let (true, Some(error)) = (hash.is_err() || sent.trouble.is_some(), &sent.trouble) {
            session.fail(piece.log, &error.what, error.hint.as_deref(), sent.attempts)?;
        } else if piece.resent {
            let reason = match hash {
                Ok(_) => "it arrived twice with another content than it has here".to_owned(),
                Err(words) => format!("it cannot be read at the destination: {words}"),
            };
            session.fail(piece.log, &reason, Some("check memory and disks of both hosts"), sent.attempts)?;
        } else {
            back.push(Piece { log: piece.log, basis: None, resent: true });
        }
    }
    shared.put_back(back);
    if let Err(error) = publish(session, conn, good, limit, &sent.started, sent.attempts)? {
        shared.give_up(&error);
    }
    // They are empty now and are removed together at the end: a session for each would cost as much as a log.
    sent.dirs.iter().for_each(|dir| session.keep_temporary(dir, false));
    Ok(())
}

fn fail_all(
    session: &Session,
    shared: &Shared<'_>,
    batch: Vec<Piece<'_>>,
    error: &TransferError,
    attempts: u64,
) -> anyhow::Result<()> {
    if error.class == Class::Interrupted {
        return Ok(());
    }
    shared.give_up(error);
    if error.class == Class::Retry && !session.tally().changed {
        // Status 75 for the whole run says it better than a failure of each log.
        return Ok(());
    }
    for piece in batch {
        session.fail(piece.log, &error.what, error.hint.as_deref(), attempts)?;
    }
    Ok(())
}

/// The outer result is ours (state, records), the inner the connection's.
fn publish(
    session: &Session,
    conn: &Connection,
    good: Vec<Good<'_>>,
    limit: std::time::Duration,
    started: &std::time::Instant,
    attempts: u64,
) -> anyhow::Result<Result<(), TransferError>> {
    let (replacing, fresh): (Vec<_>, Vec<_>) =
        good.into_iter().partition(|g| g.piece.basis.as_ref().is_some_and(|b| b.replaces));
    let replacing = match unchanged(session, conn, replacing)? {
        Ok(replacing) => replacing,
        Err(error) => return Ok(Err(error)),
    };
    for (group, mode) in [(fresh, PublishMode::NoClobber), (replacing, PublishMode::Replace)] {
        if group.is_empty() {
            continue;
        }
        let pairs: Vec<(PathBuf, PathBuf)> =
            group.iter().map(|g| (g.temporary.clone(), final_path(session, g.piece.log))).collect();
        let outcome = again(session, session.cli.retries, || name_all(conn, &pairs, mode, limit));
        let outcome = match outcome.and_then(|o| settled(session, conn, &group, o, limit)) {
            Ok(outcome) => outcome,
            Err(error) if error.class == Class::Interrupted => return Ok(Err(error)),
            Err(error) => {
                for good in &group {
                    session.fail(good.piece.log, &error.what, error.hint.as_deref(), attempts)?;
                }
                return Ok(Err(error));
            }
        };
        receipts(session, &group, outcome, started, attempts)?;
    }
    Ok(Ok(()))
}

/// Many at a time where nothing is replaced; what is not done then, one by one with a reason.
fn name_all(
    conn: &Connection,
    pairs: &[(PathBuf, PathBuf)],
    mode: PublishMode,
    limit: std::time::Duration,
) -> Result<Vec<Published>, TransferError> {
    let mut done = HashMap::new();
    if mode == PublishMode::NoClobber {
        let mut dirs: BTreeMap<&Path, Vec<PathBuf>> = BTreeMap::new();
        for (temporary, last) in pairs {
            dirs.entry(last.parent().unwrap_or(last)).or_default().push(temporary.clone());
        }
        for (dir, temporary) in dirs {
            match crate::link::link(conn, &temporary, dir, limit) {
                Ok(linked) => done.extend(linked),
                Err(e) if e.class == Class::Retry || e.class == Class::Interrupted => return Err(e),
                Err(_) => {}
            }
        }
    }
    let rest: Vec<(PathBuf, PathBuf)> =
        pairs.iter().filter(|(_, l)| !done.contains_key(l)).cloned().collect();
    let mut others = if rest.is_empty() { Vec::new() } else { conn.publish(&rest, mode, limit)? }.into_iter();
    Ok(pairs
        .iter()
        .map(|(_, last)| match done.get(last) {
            Some(s) => Published::Done(Stat { bytes: s.bytes, mtime_ns: s.mtime_ns, inode: s.inode }),
            None => others.next().unwrap_or_else(|| Published::Failed("no answer".to_owned())),
        })
        .collect())
}

/// What a name leads to at last: published by us, taken by the very same content, or neither.
type Settled = Result<(Stat, bool), String>;

/// Looks again where the publishing was not simply done: an answer that was lost on the way looks like a taken name.
fn settled(
    session: &Session,
    conn: &Connection,
    group: &[Good<'_>],
    outcome: Vec<Published>,
    limit: std::time::Duration,
) -> Result<Vec<Settled>, TransferError> {
    let odd: Vec<PathBuf> = group
        .iter()
        .zip(&outcome)
        .filter(|(_, o)| !matches!(o, Published::Done(_)))
        .map(|(g, _)| final_path(session, g.piece.log))
        .collect();
    let mut looks = if odd.is_empty() {
        Vec::new()
    } else {
        let hashes = again(session, session.cli.retries, || conn.sha256(&odd, limit))?;
        let stats = again(session, session.cli.retries, || conn.stat(&odd))?;
        hashes.into_iter().zip(stats).collect()
    }
    .into_iter();
    Ok(group
        .iter()
        .zip(outcome)
        .map(|(good, outcome)| {
            let last = final_path(session, good.piece.log);
            if let Published::Done(stat) = outcome {
                let whole = stat.bytes == good.piece.log.stat.bytes;
                return if whole {
                    Ok((stat, true))
                } else {
                    Err(format!("{} has {} bytes right after it was published", last.display(), stat.bytes))
                };
            }
            match looks.next() {
                // Whoever published it: it is only there when the disk has it.
                Some((Ok(hash), Ok(Some(stat)))) if hash == good.sha256 => {
                    match crate::link::sync(conn, std::slice::from_ref(&last)) {
                        Ok(()) => Ok((stat, false)),
                        Err(e) => Err(format!("{} is there and cannot be synced: {e}", last.display())),
                    }
                }
                _ => Err(match outcome {
                    Published::Failed(words) => format!("publish {}: {words}", last.display()),
                    _ => format!("{} was created meanwhile with another content", last.display()),
                }),
            }
        })
        .collect())
}

/// A half file takes its leave only if nobody has touched it since it was compared: the script that wrote it may be
/// running.
fn unchanged<'p>(
    session: &Session,
    conn: &Connection,
    replacing: Vec<Good<'p>>,
) -> anyhow::Result<Result<Vec<Good<'p>>, TransferError>> {
    if replacing.is_empty() {
        return Ok(Ok(replacing));
    }
    let finals: Vec<PathBuf> = replacing.iter().map(|g| final_path(session, g.piece.log)).collect();
    let stats = match again(session, session.cli.retries, || conn.stat(&finals)) {
        Ok(stats) => stats,
        Err(error) => return Ok(Err(error)),
    };
    let mut kept = Vec::new();
    for (good, stat) in replacing.into_iter().zip(stats) {
        let old = good.piece.basis.as_ref().map(|b| b.file.stat);
        if stat.ok().flatten().map(file_stat) == old {
            kept.push(good);
        } else {
            let last = final_path(session, good.piece.log);
            let reason = format!("the half file {} was changed by somebody else meanwhile", last.display());
            session.fail(good.piece.log, &reason, Some("is an earlier script still running?"), 1)?;
        }
    }
    Ok(Ok(kept))
}

fn receipts(
    session: &Session,
    group: &[Good<'_>],
    outcome: Vec<Settled>,
    started: &std::time::Instant,
    attempts: u64,
) -> anyhow::Result<()> {
    let seconds = (started.elapsed().as_secs_f64() * 1000.0).round() / 1000.0;
    let mut entries = Vec::new();
    let mut done = Vec::new();
    for (good, outcome) in group.iter().zip(outcome) {
        match outcome {
            Ok((stat, ours)) => {
                let last = final_path(session, good.piece.log);
                entries.push(entry(session, good.piece.log, &good.sha256, &last, file_stat(stat)));
                done.push((good, last, ours));
            }
            Err(reason) => session.fail(good.piece.log, &reason, None, attempts)?,
        }
    }
    session.state().keep(entries)?;
    for (good, last, ours) in done {
        session.tally().verified.insert(good.piece.log.key);
        let resumed = good.piece.basis.is_some();
        let status = match (ours, resumed) {
            (false, _) if attempts == 1 => LogStatus::Present,
            (_, true) => LogStatus::Resumed,
            _ => LogStatus::Shipped,
        };
        session.report(&ArchivedLog {
            status: Some(status),
            dest: Some(text(&last)),
            sha256: Some(good.sha256.clone()),
            seconds: Some(seconds),
            attempts: Some(attempts),
            ..describe(good.piece.log)
        })?;
    }
    session.progress();
    Ok(())
}

fn file_stat(stat: Stat) -> FileStat {
    FileStat { bytes: stat.bytes, mtime_ns: stat.mtime_ns, inode: stat.inode }
}

/// The line of the manifest for a log that was just verified.
pub fn entry(session: &Session, log: &SourceLog, sha256: &str, dest: &Path, there: FileStat) -> Entry {
    Entry {
        key: log.key,
        first_change: log.first_change,
        next_change: log.next_change,
        next_time: log.next_time,
        sha256: sha256.to_owned(),
        path: text(&log.path),
        source: log.stat,
        host: session.host(),
        dest: text(dest),
        there,
        registered: false,
    }
}

/// The receipt for a log that was there already.
pub fn present(session: &Session, log: &SourceLog, path: &Path, sha256: Option<&str>) -> anyhow::Result<()> {
    session.report(&ArchivedLog {
        status: Some(LogStatus::Present),
        dest: Some(text(path)),
        sha256: sha256.map(str::to_owned),
        ..describe(log)
    })
}
