//! Ships what the plan says: compares what may be there, sends the rest in batches, worker by worker.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use common::exit::Exit;
use common::logfile::Progress;
use common::record::{Log, LogStatus};
use common::remote::adaptive::{self, BatchSize};
use common::remote::{Class, Compression, Connection, TransferError};
use common::signals;

use crate::compare::{compare, Answer, Question};
use crate::destination::{left_over, Destination};
use crate::facts::{Facts, SourceLog, SourceState};
use crate::plan::{Action, Plan, RemoteFile};
use crate::publish::{finish, present};
use crate::session::{describe, Session};
use crate::transfer::send;

/// A beginning of the log that lies at the destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Basis {
    pub file: RemoteFile,
    /// It lies under the final name, and the whole log takes its place.
    pub replaces: bool,
}

/// A log to be sent.
#[derive(Debug, Clone)]
pub struct Piece<'p> {
    pub log: &'p SourceLog,
    pub basis: Option<Basis>,
    /// Sent whole before, and the hash was wrong.
    pub resent: bool,
}

/// What the workers share.
pub struct Shared<'p> {
    pub facts: &'p Facts,
    pub streams: usize,
    pub rtt: Duration,
    /// Temporary directories that exist and are empty, one for each batch.
    pub made: Mutex<Vec<PathBuf>>,
    pub moved: AtomicU64,
    queue: Mutex<VecDeque<Vec<Piece<'p>>>>,
    progress: Mutex<Progress>,
    /// Bytes and seconds without compression, all streams together.
    rate: Mutex<Option<u64>>,
    choice: Mutex<Option<Compression>>,
    /// No further batch is begun: the host is away, or a person has to mend something.
    down: AtomicBool,
    why_down: Mutex<Option<TransferError>>,
}

impl<'p> Shared<'p> {
    fn new(
        facts: &'p Facts,
        streams: usize,
        rtt: Duration,
        batches: VecDeque<Vec<Piece<'p>>>,
        made: Vec<PathBuf>,
    ) -> Self {
        let total = batches.iter().flatten().map(|p| p.log.stat.bytes).sum();
        Self {
            facts,
            streams,
            rtt,
            made: Mutex::new(made),
            moved: AtomicU64::new(0),
            queue: Mutex::new(batches),
            progress: Mutex::new(Progress::new(total)),
            rate: Mutex::new(None),
            choice: Mutex::new(None),
            down: AtomicBool::new(false),
            why_down: Mutex::new(None),
        }
    }

    fn next(&self) -> Option<Vec<Piece<'p>>> {
        if self.is_down() || signals::pending().is_some() {
            return None;
        }
        locked(&self.queue).pop_front()
    }

    /// Puts pieces back, to be sent whole once more.
    pub fn put_back(&self, pieces: Vec<Piece<'p>>) {
        if !pieces.is_empty() {
            locked(&self.queue).push_back(pieces);
        }
    }

    /// A temporary directory that exists and is empty, if one is left.
    pub fn made_dir(&self) -> Option<PathBuf> {
        locked(&self.made).pop()
    }

    pub fn is_down(&self) -> bool {
        self.down.load(Ordering::SeqCst)
    }

    /// After this no batch is begun.
    pub fn give_up(&self, error: &TransferError) {
        self.down.store(true, Ordering::SeqCst);
        locked(&self.why_down).get_or_insert_with(|| error.clone());
    }

    pub fn draw(&self) {
        locked(&self.progress).show(self.moved.load(Ordering::Relaxed));
    }

    /// Notes how fast one stream was without compression.
    pub fn measured(&self, bytes: u64, elapsed: Duration) {
        let seconds = elapsed.as_secs_f64();
        // A short transfer measures the start of rsync and not the network.
        if seconds > 0.5 && bytes > 4 << 20 {
            *locked(&self.rate) = Some((bytes as f64 / seconds) as u64 * self.streams as u64);
            *locked(&self.choice) = None;
        }
    }

    /// Whether the next batch is compressed.
    pub fn compression(&self, session: &Session, conn: &Connection) -> Compression {
        if let Some(choice) = *locked(&self.choice) {
            return choice;
        }
        let rate = *locked(&self.rate);
        let near = self.rtt < Duration::from_millis(5) && rate.is_none_or(|r| r > 100_000_000);
        let choice = if near || session.target.is_local() {
            Compression::None
        } else {
            let of = |c: &Connection| c.tools().ok().and_then(|t| t.rsync);
            adaptive::compression(self.rtt, rate, of(&Connection::local()), of(conn))
        };
        *locked(&self.choice) = Some(choice);
        choice
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Does the plan. Failures of single logs are reported and remembered in the tally.
///
/// # Errors
/// The destination cannot be reached before anything was changed, or the receipts cannot be written.
pub fn ship(session: &Session, facts: &Facts, plan: &Plan, found: &Destination) -> anyhow::Result<()> {
    let found_there = &found.remote;
    let mut questions: Vec<Question<'_>> = Vec::new();
    let mut pieces: Vec<Piece<'_>> = Vec::new();
    for item in &plan.items {
        let log = &facts.logs[item.log];
        match &item.action {
            Action::Skip(reason) => skipped(session, log, reason, !session.cli.follow)?,
            Action::Wait(reason) => wait(session, log, reason)?,
            Action::Damaged(reason) => session.fail(log, reason, None, 0)?,
            Action::Present(path) => {
                let claim = session.claims.get(&log.path);
                let recorded = session.state().entry(log.key).map(|e| e.sha256.clone());
                if let Some(wrong) = claim.zip(recorded).and_then(|(c, is)| c.other_hash(&is)) {
                    session.fail(log, &wrong, None, 0)?;
                    continue;
                }
                let seen = session.cli.follow;
                session.tally().verified.insert(log.key);
                if !seen {
                    let sha256 = session.state().entry(log.key).map(|e| e.sha256.clone());
                    present(session, log, path, sha256.as_deref())?;
                }
            }
            Action::Compare(candidates) => questions.push(Question { log, candidates: candidates.clone() }),
            Action::Send => pieces.push(Piece { log, basis: None, resent: false }),
        }
    }
    if questions.is_empty() && pieces.is_empty() {
        return Ok(());
    }
    let rtt = match session.rtt.get() {
        Some(rtt) => *rtt,
        None => {
            let rtt = crate::destination::again(session, 1, || session.control().measure())
                .map_err(|e| crate::destination::stop(session, &e, "measure the connection"))?;
            *session.rtt.get_or_init(|| rtt)
        }
    };
    while !questions.is_empty() {
        let (found, unsound) = compare_all(session, facts, questions, rtt)?;
        pieces.extend(found);
        questions = unsound
            .into_iter()
            .map(|log| Question { log, candidates: found_there.candidates(log) })
            .collect();
    }
    pieces.sort_by_key(|p: &Piece<'_>| (p.log.key.resetlogs_id, p.log.first_change, p.log.key));
    drop_open(session, &mut pieces)?;
    for piece in &mut pieces {
        if piece.basis.is_none() {
            let left = left_over(&found.left, piece.log).cloned();
            piece.basis = left.map(|file| Basis { file, replaces: false });
        }
    }
    send_all(session, facts, pieces, rtt)
}

/// Logs that somebody is still writing are left for the next run.
fn drop_open<'p>(session: &Session, pieces: &mut Vec<Piece<'p>>) -> anyhow::Result<()> {
    let mut logs: Vec<SourceLog> = pieces.iter().map(|p| p.log.clone()).collect();
    crate::scan::hold_back_open(&mut logs, std::time::SystemTime::now());
    let mut kept = Vec::new();
    for (piece, log) in pieces.drain(..).zip(logs) {
        match &log.state {
            SourceState::NotReady(reason) => wait(session, piece.log, reason)?,
            _ => kept.push(piece),
        }
    }
    *pieces = kept;
    Ok(())
}

fn skipped(session: &Session, log: &SourceLog, reason: &str, emit: bool) -> anyhow::Result<()> {
    if !emit {
        return Ok(());
    }
    let record = common::record::ArchivedLog {
        status: Some(LogStatus::Skipped),
        reason: Some(reason.to_owned()),
        ..describe(log)
    };
    session.report(&record)
}

/// Not ready is no error; the next run takes it.
pub fn wait(session: &Session, log: &SourceLog, reason: &str) -> anyhow::Result<()> {
    session.tally().waiting += 1;
    let reason = format!("not ready: {reason}");
    let news = session.is_news(&log.path.to_string_lossy(), &reason);
    skipped(session, log, &reason, news)
}

/// Compares in batches over all workers; returns what has to be sent, and the next copies of logs whose first is bad.
fn compare_all<'p>(
    session: &Session,
    facts: &'p Facts,
    questions: Vec<Question<'p>>,
    rtt: Duration,
) -> anyhow::Result<(Vec<Piece<'p>>, Vec<&'p SourceLog>)> {
    let sizes: Vec<u64> = questions.iter().map(|q| q.log.stat.bytes).collect();
    let streams = adaptive::streams(rtt, questions.len(), session.cli.workers, cores());
    let largest = BatchSize { bytes: 256 << 20, files: 256, cuts: 4 };
    let ranges = adaptive::batches(&sizes, streams, largest);
    let queue: Mutex<VecDeque<std::ops::Range<usize>>> = Mutex::new(ranges.into());
    let pieces = Mutex::new(Vec::new());
    let others = Mutex::new(Vec::new());
    let failed: Mutex<Option<TransferError>> = Mutex::new(None);
    let work = |worker: usize| -> anyhow::Result<()> {
        let conn = &session.connections[worker % session.connections.len()];
        while locked(&failed).is_none() && signals::pending().is_none() {
            let Some(range) = locked(&queue).pop_front() else { break };
            let batch = &questions[range];
            match compare(session, conn, batch).and_then(|a| synced(session, conn, a)) {
                Ok(answers) => {
                    for (question, answer) in batch.iter().zip(answers) {
                        if let Answer::Damaged(reason) = &answer {
                            if let Some(other) = other_copy(session, facts, question.log, reason)? {
                                locked(&others).push(other);
                                continue;
                            }
                        }
                        let piece = settle(session, question.log, answer)?;
                        locked(&pieces).extend(piece);
                    }
                }
                Err(error) => {
                    locked(&failed).get_or_insert(error);
                }
            }
        }
        Ok(())
    };
    in_parallel(streams, &work)?;
    if let Some(error) = failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(crate::destination::stop(session, &error, "compare the logs that are already there"));
    }
    let pieces = pieces.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok((pieces, others.into_inner().unwrap_or_else(PoisonError::into_inner)))
}

/// Who wrote what is there already may not have synced it, and a receipt is for what a power failure leaves.
fn synced(session: &Session, conn: &Connection, answers: Vec<Answer>) -> Result<Vec<Answer>, TransferError> {
    let there = |answer: &Answer| match answer {
        Answer::Present { file, .. } => Some(file.path.clone()),
        _ => None,
    };
    let files: Vec<PathBuf> = answers.iter().filter_map(there).collect();
    crate::destination::again(session, session.cli.retries, || crate::link::sync(conn, &files))?;
    Ok(answers)
}

/// Another copy of a log at the source, when this one turned out bad.
pub fn other_copy<'p>(
    session: &Session,
    facts: &'p Facts,
    bad: &SourceLog,
    reason: &str,
) -> anyhow::Result<Option<&'p SourceLog>> {
    let other = {
        let mut tally = session.tally();
        tally.unsound.insert(bad.path.clone());
        let fits = |l: &&SourceLog| l.key == bad.key && l.is_ready() && !tally.unsound.contains(&l.path);
        facts.logs.iter().find(fits)
    };
    if let Some(other) = other {
        session.worse(Exit::Partial);
        let (path, other) = (bad.path.display(), other.path.display());
        session.say_once(
            &path.to_string(),
            Log::warning(format!("{path}: {reason}; {other} is taken instead")),
        )?;
    }
    Ok(other)
}

fn settle<'p>(session: &Session, log: &'p SourceLog, answer: Answer) -> anyhow::Result<Option<Piece<'p>>> {
    let host = session.target.label();
    let warn = |odd: &[PathBuf]| -> anyhow::Result<()> {
        for path in odd {
            let message = format!(
                "{} on {host} has the name of thread {} sequence {} and is not that log, or only a part of it; it is left alone",
                path.display(),
                log.key.thread,
                log.key.sequence
            );
            session.say_once(&path.to_string_lossy(), Log::warning(message))?;
        }
        Ok(())
    };
    match answer {
        Answer::Present { file, sha256, odd } => {
            warn(&odd)?;
            session
                .state()
                .keep(vec![crate::publish::entry(session, log, &sha256, &file.path, file.stat)])?;
            session.tally().verified.insert(log.key);
            present(session, log, &file.path, Some(&sha256))?;
            Ok(None)
        }
        Answer::Send { basis, odd } => {
            warn(&odd)?;
            Ok(Some(Piece { log, basis, resent: false }))
        }
        Answer::Different { path, reason } => {
            let hint = format!(
                "compare it at {host} (ls -l, strings), then move it away: mv '{0}' '{0}.other', and run again; \
                 it is never overwritten",
                path.display()
            );
            session.fail(log, &reason, Some(&hint), 0)?;
            Ok(None)
        }
        Answer::NotReady(reason) => wait(session, log, &reason).map(|()| None),
        Answer::Damaged(reason) => session.fail(log, &reason, None, 0).map(|()| None),
    }
}

fn send_all<'p>(
    session: &Session,
    facts: &'p Facts,
    pieces: Vec<Piece<'p>>,
    rtt: Duration,
) -> anyhow::Result<()> {
    if pieces.is_empty() || signals::pending().is_some() {
        return Ok(());
    }
    let streams = adaptive::streams(rtt, pieces.len(), session.cli.workers, cores());
    let batches = cut(pieces, streams, adaptive::batch_size(rtt));
    let mut dirs: Vec<PathBuf> = batches
        .iter()
        .flatten()
        .filter_map(|p| crate::destination::final_path(session, p.log).parent().map(PathBuf::from))
        .collect();
    dirs.sort();
    dirs.dedup();
    // Those of the first attempts as well: one session instead of one for each batch.
    let made: Vec<PathBuf> = batches.iter().map(|_| session.temporary()).collect();
    dirs.extend(made.iter().cloned());
    let streams = streams.min(batches.len());
    let shared = Shared::new(facts, streams, rtt, batches, made);
    let made = crate::destination::again(session, session.cli.retries, || session.control().make_dirs(&dirs));
    match made {
        Ok(()) => session.tally().changed = true,
        Err(error) => shared.give_up(&error),
    }
    session.log.info(&format!("{streams} streams, round trip {:.1} ms", rtt.as_secs_f64() * 1000.0));
    in_parallel(streams, &|worker| {
        let conn = &session.connections[worker % session.connections.len()];
        work(session, &shared, conn)
    })?;
    locked(&shared.progress).end();
    if signals::pending().is_none() {
        crate::destination::sweep(session);
    }
    not_tried(session, &shared)
}

/// One worker: while one batch is verified and published, the next is on its way.
fn work<'p>(session: &Session, shared: &Shared<'p>, conn: &Connection) -> anyhow::Result<()> {
    std::thread::scope(|scope| {
        let mut verifying: Option<std::thread::ScopedJoinHandle<'_, anyhow::Result<()>>> = None;
        let end = |handle: Option<std::thread::ScopedJoinHandle<'_, anyhow::Result<()>>>| match handle {
            Some(handle) => {
                handle.join().unwrap_or_else(|_| Err(anyhow::anyhow!("a worker ended unexpectedly")))
            }
            None => Ok(()),
        };
        loop {
            let Some(batch) = shared.next() else {
                end(verifying.take())?;
                // The verification may have put something back.
                match shared.next() {
                    Some(batch) => {
                        let sent = send(session, shared, conn, &batch);
                        finish(session, shared, conn, batch, sent)?;
                        continue;
                    }
                    None => return Ok(()),
                }
            };
            let sent = send(session, shared, conn, &batch);
            end(verifying.take())?;
            if sent.trouble.as_ref().is_some_and(|e| matches!(e.class, Class::Final | Class::Retry)) {
                // Said before the others begin their next batch.
                if let Some(error) = &sent.trouble {
                    shared.give_up(error);
                }
            }
            verifying = Some(scope.spawn(move || finish(session, shared, conn, batch, sent)));
        }
    })
}

/// Logs whose batch was never begun.
fn not_tried(session: &Session, shared: &Shared<'_>) -> anyhow::Result<()> {
    let Some(error) = locked(&shared.why_down).clone() else { return Ok(()) };
    if error.class == Class::Interrupted {
        return Ok(());
    }
    if error.class == Class::Retry && !session.tally().changed {
        return Err(crate::destination::stop(session, &error, "ship the logs"));
    }
    let batches = std::mem::take(&mut *locked(&shared.queue));
    for piece in batches.iter().flatten() {
        session.fail(piece.log, &format!("not tried after {error}"), error.hint.as_deref(), 0)?;
    }
    Ok(())
}

/// Batches in the order of the redo; files of one name never in one batch, for they are received side by side.
fn cut(pieces: Vec<Piece<'_>>, streams: usize, largest: BatchSize) -> VecDeque<Vec<Piece<'_>>> {
    let (resumed, whole): (Vec<_>, Vec<_>) = pieces.into_iter().partition(|p| p.basis.is_some());
    let mut batches = VecDeque::new();
    for group in [resumed, whole] {
        let sizes: Vec<u64> = group.iter().map(|p| p.log.stat.bytes).collect();
        let ranges = adaptive::batches(&sizes, streams, largest);
        let mut group = group.into_iter();
        for range in ranges {
            let mut rest: Vec<Piece<'_>> = group.by_ref().take(range.len()).collect();
            while !rest.is_empty() {
                let mut names = std::collections::HashSet::new();
                let (batch, again) = rest
                    .into_iter()
                    .partition(|p| names.insert(p.log.path.file_name().map(ToOwned::to_owned)));
                batches.push_back(batch);
                rest = again;
            }
        }
    }
    batches
}

fn in_parallel(workers: usize, work: &(dyn Fn(usize) -> anyhow::Result<()> + Sync)) -> anyhow::Result<()> {
    std::thread::scope(|scope| {
        let handles: Vec<_> = (0..workers.max(1)).map(|n| scope.spawn(move || work(n))).collect();
        let mut result = Ok(());
        for handle in handles {
            let ended = handle.join().unwrap_or_else(|_| Err(anyhow::anyhow!("a worker ended unexpectedly")));
            result = result.and(ended);
        }
        result
    })
}

pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}
