//! One batch: rsync into a temporary directory of the run's own, hash of the source at the same time, retries that
//! continue where the last attempt was cut.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use common::remote::{
    rsync, Class, Compression, Connection, Files, Kind, Mode, RetryPolicy, RsyncEvent, RsyncJob,
    TransferError,
};
use common::signals;

use crate::compare::{read_source, Sums, Unfit};
use crate::session::Session;
use crate::ship::{Piece, Shared};

/// What became of a batch before anything of it was verified.
pub struct Sent {
    /// Where each piece was received, in the order of the batch.
    pub temporary: Vec<PathBuf>,
    /// The hashes of each source.
    pub sources: Vec<Result<Sums, Unfit>>,
    /// What went wrong: with single files, or with all that did not arrive.
    pub trouble: Option<TransferError>,
    /// All temporary directories that were used.
    pub dirs: Vec<PathBuf>,
    pub attempts: u64,
    pub started: Instant,
}

/// Sends a batch. It always comes back with an answer; what arrived is for the verification to say.
pub fn send(session: &Session, shared: &Shared, conn: &Connection, batch: &[Piece<'_>]) -> Sent {
    let started = Instant::now();
    std::thread::scope(|scope| {
        let hashes = scope.spawn(|| batch.iter().map(|p| read_source(session, p.log)).collect::<Vec<_>>());
        let mut sent = attempts(session, shared, conn, batch, started);
        let unread = || Err(Unfit::Damaged("reading it ended unexpectedly".to_owned()));
        sent.sources = hashes.join().unwrap_or_else(|_| batch.iter().map(|_| unread()).collect());
        sent
    })
}

fn attempts(
    session: &Session,
    shared: &Shared,
    conn: &Connection,
    batch: &[Piece<'_>],
    started: Instant,
) -> Sent {
    let policy = RetryPolicy::new(session.cli.retries);
    let mut sent = Sent {
        temporary: Vec::new(),
        sources: Vec::new(),
        trouble: None,
        dirs: Vec::new(),
        attempts: 0,
        started,
    };
    loop {
        sent.attempts += 1;
        let made = shared.made_dir();
        let fresh = made.is_none();
        let dir = made.unwrap_or_else(|| session.temporary());
        let done = attempt(session, shared, conn, batch, (&dir, fresh), &sent.temporary);
        sent.dirs.push(dir.clone());
        sent.temporary = batch.iter().map(|p| dir.join(p.log.path.file_name().unwrap_or_default())).collect();
        match done {
            Ok(trouble) => {
                sent.trouble = trouble;
                return sent;
            }
            Err(error) => {
                let n = u32::try_from(sent.attempts).unwrap_or(u32::MAX);
                let last = error.class != Class::Retry || n > session.cli.retries || shared.is_down();
                let wait = policy.wait(n, 0.5);
                if !last {
                    session
                        .log
                        .info(&format!("attempt {n}: {error}; next try in {:.1}s", wait.as_secs_f64()));
                }
                sent.trouble = Some(error);
                if last || (!signals::sleep(wait) && signals::pending().is_some()) {
                    return sent;
                }
            }
        }
    }
}

/// One attempt into the directory `dir`, which nobody has used and which is to be made when it is `fresh`; `before` is where the last attempt received each piece.
fn attempt(
    session: &Session,
    shared: &Shared,
    conn: &Connection,
    batch: &[Piece<'_>],
    (dir, fresh): (&Path, bool),
    before: &[PathBuf],
) -> Result<Option<TransferError>, TransferError> {
    if fresh {
        conn.make_dirs(&[dir.to_path_buf()])?;
    }
    session.tally().changed = true;
    session.keep_temporary(dir, true);
    let adopted = adopt(session, conn, batch, dir, before)?;
    let mode = if adopted { Mode::ResumeOwnTemporary } else { Mode::Whole };
    let sources: Vec<PathBuf> = batch.iter().map(|p| absolute(&p.log.path)).collect();
    let files = Files::Flat { sources, dest_dir: dir.to_path_buf() };
    let mut job = RsyncJob::new(files, mode, session.cli.io_timeout);
    job.bwlimit = session.cli.bwlimit.map(|rate| (rate / shared.streams as u64).max(1024));
    job.compression = shared.compression(session, conn);
    job.log = session.rsync_log.clone();
    let mut counted = 0;
    let began = Instant::now();
    let outcome = rsync(conn, &job, &mut |event| {
        if let RsyncEvent::Progress { bytes } = event {
            shared.moved.fetch_add(bytes.saturating_sub(counted), Ordering::Relaxed);
            counted = counted.max(bytes);
            shared.draw();
        }
        session.progress();
    })?;
    let bytes: u64 = outcome.sent.iter().map(|(_, n)| n).sum();
    session.log.info(&format!(
        "{} of {} logs, {bytes} bytes, went through rsync in {:.1}s",
        outcome.sent.len(),
        batch.len(),
        began.elapsed().as_secs_f64()
    ));
    if job.compression == Compression::None && !adopted {
        shared.measured(bytes, began.elapsed());
    }
    Ok(outcome.trouble)
}

/// rsync is run from anywhere: its sources must be absolute.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf())
}

/// Puts what is already there of the pieces into `dir`: halves under the final name, leftovers of dead runs, and what
/// the last attempt received. Copies only: whoever wrote the old file may still have it open.
fn adopt(
    session: &Session,
    conn: &Connection,
    batch: &[Piece<'_>],
    dir: &Path,
    before: &[PathBuf],
) -> Result<bool, TransferError> {
    let mut from: Vec<(PathBuf, PathBuf, u64)> = Vec::new();
    let arrived = match before.first().and_then(|p| p.parent()) {
        Some(last) => conn.list(&[last.to_path_buf()], 1)?.pop().map(|l| l.entries).unwrap_or_default(),
        None => Vec::new(),
    };
    for piece in batch {
        let name = piece.log.path.file_name().unwrap_or_default();
        let mut best = piece.basis.as_ref().map(|b| (b.file.path.clone(), b.file.stat.bytes));
        for entry in arrived.iter().filter(|e| e.kind == Kind::File && e.path.file_name() == Some(name)) {
            let longer = best.as_ref().is_none_or(|(_, n)| *n < entry.bytes);
            if longer && entry.bytes > 0 && entry.bytes <= piece.log.stat.bytes {
                best = Some((entry.path.clone(), entry.bytes));
            }
        }
        from.extend(best.filter(|(_, n)| *n > 0).map(|(path, n)| (path, dir.join(name), n)));
    }
    let mut any = false;
    for (old, new, bytes) in from {
        session.progress();
        let limit = Duration::from_secs(120 + bytes / 20_000_000);
        match conn.copy_prefix(&old, &new, Some(bytes), limit) {
            Ok(_) => any = true,
            Err(e) if e.class == Class::Retry || e.class == Class::Interrupted => return Err(e),
            // The whole file is sent instead.
            Err(e) => session.log.info(&format!("{} is not used: {e}", old.display())),
        }
    }
    Ok(any)
}
