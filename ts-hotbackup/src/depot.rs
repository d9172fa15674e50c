//! The destination: connections, how files are sent there, and the proof that they arrived.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use common::exit::{Exit, Failure};
use common::lock::Lock;
use common::logfile::{LogFile, Progress};
use common::oracle::datafile::{Checksum, Header};
use common::remote::{
    adaptive, reading_limit, retry, rsync, Class, Compression, Connection, Connections, Files, Limits, Mode,
    PublishMode, Published, RetryPolicy, RsyncEvent, RsyncJob, RsyncVersion, Target, TransferError,
    OWN_PREFIX,
};
use common::signals;

use crate::plan::FileCopy;

/// Below this size sending the whole file again costs less than looking for differences.
const DELTA_FROM: u64 = 1 << 20;
/// A slower way than this is worth the reading that a delta needs.
const DELTA_BELOW: u64 = 40_000_000;
/// Blocks of a delta: Oracle's own, larger where their number would not fit into memory.
const DELTA_BLOCKS: u64 = 1 << 20;

/// Settings of the transfers.
#[derive(Debug, Clone)]
pub struct Way {
    pub target: Target,
    pub workers: usize,
    pub io_timeout: Duration,
    pub retries: u32,
    pub bwlimit: Option<u64>,
    pub rsync_log: PathBuf,
    /// Part of every temporary name: `<SID>-<run>`.
    pub tag: String,
}

/// The destination while a run lasts.
pub struct Depot {
    pub way: Way,
    conns: Connections,
    rtt: Duration,
    here: Option<RsyncVersion>,
    there: Option<RsyncVersion>,
    cores: usize,
    /// Bytes and time of transfers that were neither compressed nor deltas, all streams together.
    moved: Mutex<(u64, Duration)>,
    pub meter: Meter,
}

/// What people see of the transfers.
pub struct Meter {
    done: AtomicU64,
    progress: Mutex<Progress>,
    lock: Lock,
    log: LogFile,
}

impl Meter {
    pub fn new(total: u64, lock: Lock, log: LogFile) -> Self {
        Self { done: AtomicU64::new(0), progress: Mutex::new(Progress::new(total)), lock, log }
    }

    /// Begins a display for so many bytes.
    pub fn expect(&self, total: u64) {
        let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        progress.end();
        *progress = Progress::new(total);
        self.done.store(0, Ordering::SeqCst);
    }

    fn add(&self, bytes: u64) {
        let done = self.done.fetch_add(bytes, Ordering::SeqCst) + bytes;
        self.lock.progress();
        self.progress.lock().unwrap_or_else(PoisonError::into_inner).show(done);
    }

    /// Runs something that is bounded in time and silent, so that nobody takes this run for a stalled one.
    pub fn busy<T>(&self, work: impl FnOnce() -> T) -> T {
        std::thread::scope(|scope| {
            let (done, rx) = std::sync::mpsc::channel::<()>();
            scope.spawn(move || {
                while rx.recv_timeout(Duration::from_secs(1))
                    == Err(std::sync::mpsc::RecvTimeoutError::Timeout)
                {
                    self.lock.progress();
                }
            });
            let result = work();
            drop(done);
            result
        })
    }

    pub fn end(&self) {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner).end();
    }
}

/// Checkpoint SCN and size of a copy, or what is wrong with it.
pub type Verdict = Result<(u64, u64), String>;

/// One file that was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    pub tmp: PathBuf,
    pub elapsed: Duration,
}

impl Depot {
    /// Opens the first connection and looks at both sides.
    ///
    /// # Errors
    /// Status 75 when the host cannot be reached, 2 when a program is missing there.
    pub fn open(way: Way, meter: Meter) -> anyhow::Result<Self> {
        let limits = Limits::default();
        let conns = Connections::new(&way.target, limits, way.workers);
        let conn = conns.of(0);
        let failure = |e: TransferError| anyhow::Error::from(e.failure());
        let tools = conn.tools().map_err(failure)?;
        let here = Connection::local().tools().map_err(failure)?;
        if tools.rsync.is_none() || here.rsync.is_none() {
            let host = if here.rsync.is_none() { "this host" } else { way.target.label() };
            return Err(Failure::new(Exit::Usage, format!("{host} has no rsync"))
                .hint("install rsync, or put it into the PATH of a non-interactive login")
                .into());
        }
        let rtt = conn.measure().map_err(failure)?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Self {
            way,
            conns,
            rtt,
            here: here.rsync,
            there: tools.rsync,
            cores,
            moved: Mutex::new((0, Duration::ZERO)),
            meter,
        })
    }

    pub fn log_info(&self, message: &str) {
        self.meter.log.info(message);
    }

    pub fn conn(&self) -> &Connection {
        self.conns.of(0)
    }

    /// From now on signals no longer stop what runs there.
    pub fn finishing(&self) {
        self.conns.iter().for_each(|c| c.finishing());
    }

    /// Opens as many connections as `files` will use: not while a tablespace waits for them in backup mode.
    ///
    /// # Errors
    /// That of the first connection that cannot be opened.
    pub fn warm(&self, files: usize) -> Result<(), TransferError> {
        let results: Vec<_> = std::thread::scope(|scope| {
            let open = |n| scope.spawn(move || self.conns.of(n).open());
            let all: Vec<_> = (0..self.streams(files)).map(open).collect();
            all.into_iter().filter_map(|t| t.join().ok()).collect()
        });
        results.into_iter().collect()
    }

    fn streams(&self, files: usize) -> usize {
        adaptive::streams(self.rtt, files, self.way.workers, self.cores.max(2))
    }

    fn rate(&self) -> Option<u64> {
        let (bytes, time) = *self.moved.lock().unwrap_or_else(PoisonError::into_inner);
        (bytes > 8 << 20 && time > Duration::from_millis(100))
            .then(|| (bytes as f64 / time.as_secs_f64()) as u64)
    }

    fn compression(&self) -> Compression {
        adaptive::compression(self.rtt, self.rate(), self.here, self.there)
    }

    /// On a slow way it pays to look for what differs; on a fast one the reading costs more than the sending.
    fn delta_pays(&self, bytes: u64) -> bool {
        let slow = self.rtt >= Duration::from_millis(5)
            || self.way.bwlimit.is_some_and(|b| b < DELTA_BELOW)
            || self.rate().is_some_and(|r| r < DELTA_BELOW);
        slow && !self.way.target.is_local() && bytes >= DELTA_FROM
    }

    pub fn tmp(&self, dest: &str, name: &str) -> PathBuf {
        let dir = Path::new(dest).parent().unwrap_or(Path::new("/"));
        dir.join(format!("{}{name}", self.tmp_prefix()))
    }

    fn tmp_prefix(&self) -> String {
        format!("{OWN_PREFIX}hot-{}-", self.way.tag)
    }

    /// Removes temporary files of dead runs for this database: ours is the only one that lives, we hold the lock.
    pub fn sweep(&self, dirs: &[PathBuf], sid: &str) -> Result<usize, TransferError> {
        let (own, ours) = (format!("{OWN_PREFIX}hot-{sid}-"), self.tmp_prefix());
        let mut dead = Vec::new();
        for listing in self.conn().list(dirs, 1)? {
            for entry in listing.entries {
                let name = entry.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                if name.starts_with(&own) && !name.starts_with(&ours) {
                    dead.push(entry.path);
                }
            }
        }
        // Each call is a session of its own, and a far host makes every one felt.
        if !dead.is_empty() {
            self.conn().remove(&dead)?;
        }
        Ok(dead.len())
    }

    /// Sends files, several at once, each to a temporary name beside its destination. `old` says which destinations
    /// hold an earlier copy. The result has the order of `files`; after a failure that concerns all of them the rest
    /// is not begun.
    pub fn send(
        &self,
        files: &[FileCopy],
        old: &dyn Fn(&str) -> bool,
        go_on: &(dyn Fn() -> bool + Sync),
    ) -> Vec<Result<Sent, TransferError>> {
        let streams = self.streams(files.len());
        let has_old: Vec<bool> = files.iter().map(|f| old(&f.dest)).collect();
        // The largest first: the streams end together.
        let mut order: Vec<usize> = (0..files.len()).collect();
        order.sort_by_key(|i| std::cmp::Reverse(files[*i].bytes));
        let next = AtomicUsize::new(0);
        let stop = AtomicBool::new(false);
        let results: Mutex<Vec<Option<Result<Sent, TransferError>>>> = Mutex::new(vec![None; files.len()]);
        std::thread::scope(|scope| {
            for worker in 0..streams {
                let (order, next, stop, results, has_old) = (&order, &next, &stop, &results, &has_old);
                scope.spawn(move || loop {
                    let turn = next.fetch_add(1, Ordering::SeqCst);
                    let Some(index) = order.get(turn).copied() else { return };
                    if stop.load(Ordering::SeqCst) || signals::pending().is_some() || !go_on() {
                        return;
                    }
                    let sent = self.send_one(worker, streams, &files[index], has_old[index]);
                    if sent.as_ref().is_err_and(|e| e.class != Class::PerFile) {
                        stop.store(true, Ordering::SeqCst);
                    }
                    let mut results = results.lock().unwrap_or_else(PoisonError::into_inner);
                    results[index] = Some(sent);
                });
            }
        });
        let results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
        let not_begun =
            || TransferError::new(Class::Interrupted, "not begun, because others failed or the run stops");
        results.into_iter().map(|r| r.unwrap_or_else(|| Err(not_begun()))).collect()
    }

    fn send_one(
        &self,
        worker: usize,
        streams: usize,
        file: &FileCopy,
        has_old: bool,
    ) -> Result<Sent, TransferError> {
        let conn = self.conns.of(worker);
        let started = Instant::now();
        let mut partial: Option<PathBuf> = None;
        let policy = RetryPolicy::new(self.way.retries);
        let mut say = |e: &TransferError, n: u32, wait: Duration| {
            let wait = humantime::format_duration(Duration::from_secs(wait.as_secs()));
            self.meter.log.warning(&format!("copy {} (attempt {n}): {e}: again in {wait}", file.path));
        };
        let tmp = retry(&policy, &mut say, |n| {
            // A name of its own for each attempt: the receiver of a lost connection may still write to the old one.
            let tmp = self.tmp(&file.dest, &format!("f{}-{n}", file.file));
            let basis = partial.clone().or_else(|| has_old.then(|| PathBuf::from(&file.dest)));
            let basis = basis.filter(|_| self.delta_pays(file.bytes));
            let result = self.attempt(conn, streams, file, &tmp, basis.as_deref());
            if result.is_err() {
                partial = Some(tmp.clone());
            }
            result.map(|()| tmp)
        })?;
        Ok(Sent { tmp, elapsed: started.elapsed() })
    }

    fn attempt(
        &self,
        conn: &Connection,
        streams: usize,
        file: &FileCopy,
        tmp: &Path,
        basis: Option<&Path>,
    ) -> Result<(), TransferError> {
        let based = match basis {
            // Without the older file the whole one is sent.
            Some(basis) => conn.copy_prefix(basis, tmp, None, reading_limit(file.bytes)).is_ok(),
            None => false,
        };
        let mode = if based {
            let size = (file.bytes / DELTA_BLOCKS).next_power_of_two().clamp(8192, 1 << 17);
            Mode::Delta { basis_dir: None, block_size: u32::try_from(size).ok() }
        } else {
            Mode::Whole
        };
        let files = Files::One { source: PathBuf::from(&file.path), dest: tmp.to_owned() };
        let mut job = RsyncJob::new(files, mode, self.way.io_timeout);
        job.compression = self.compression();
        job.bwlimit = self.way.bwlimit.map(|b| (b / streams.max(1) as u64).max(1024));
        job.log = Some(self.way.rsync_log.clone());
        let mut seen = 0;
        let started = Instant::now();
        let outcome = rsync(conn, &job, &mut |event| {
            let bytes = match event {
                RsyncEvent::Progress { bytes } => bytes,
                RsyncEvent::Sent { bytes, .. } => bytes,
            };
            self.meter.add(bytes.saturating_sub(seen));
            seen = seen.max(bytes);
        })?;
        if let Some(trouble) = outcome.trouble {
            return Err(trouble);
        }
        if !based && job.compression == Compression::None {
            let mut moved = self.moved.lock().unwrap_or_else(PoisonError::into_inner);
            // The time is shared by the streams that run beside this one.
            *moved = (moved.0 + file.bytes, moved.1 + started.elapsed() / streams.max(1) as u32);
        }
        Ok(())
    }

    /// Sizes at the destination; `None` where there is no file.
    pub fn sizes(&self, paths: &[PathBuf]) -> anyhow::Result<Vec<Option<u64>>> {
        if paths.is_empty() {
            return Ok(Vec::new());
        }
        let stats = self.conn().stat(paths).map_err(|e| e.failure())?;
        Ok(stats.into_iter().map(|s| s.ok().flatten().map(|s| s.bytes)).collect())
    }

    /// The checkpoint SCN in the header of each copy, and its size, or what is wrong with it.
    ///
    /// `frozen`: the SCN that the header must have, by file number.
    pub fn check(
        &self,
        dbid: u64,
        copies: &[(&FileCopy, PathBuf)],
        frozen: &dyn Fn(u64) -> Option<u64>,
    ) -> Result<Vec<Verdict>, TransferError> {
        let paths: Vec<PathBuf> = copies.iter().map(|(_, tmp)| tmp.clone()).collect();
        let largest = copies.iter().map(|(f, _)| f.block_size).max().unwrap_or(8192);
        let heads = self.conn().read_head(&paths, u32::try_from(2 * largest).unwrap_or(65536))?;
        let stats = self.conn().stat(&paths)?;
        Ok(copies
            .iter()
            .zip(heads.into_iter().zip(stats))
            .map(|((file, _), (head, stat))| {
                let bytes = stat?.ok_or("it is not there")?.bytes;
                judge_copy(file, dbid, frozen(file.file), &head?, bytes).map(|scn| (scn, bytes))
            })
            .collect())
    }

    /// Final names for copies, data and names durable.
    pub fn publish(&self, pairs: &[(PathBuf, PathBuf)], bytes: u64) -> anyhow::Result<()> {
        let published = self
            .conn()
            .publish(pairs, PublishMode::Replace, reading_limit(bytes))
            .map_err(|e| e.failure())?;
        for ((_, last), outcome) in pairs.iter().zip(published) {
            match outcome {
                Published::Done(_) => {}
                Published::Exists => anyhow::bail!("{} is taken", last.display()),
                Published::Failed(why) => anyhow::bail!("{}: {why}", last.display()),
            }
        }
        Ok(())
    }
}

/// Whether the first blocks of a copy are those of the file that was meant, frozen where it had to be.
pub fn judge_copy(
    file: &FileCopy,
    dbid: u64,
    frozen: Option<u64>,
    head: &[u8],
    bytes: u64,
) -> Result<u64, String> {
    let size = usize::try_from(file.block_size).unwrap_or(8192);
    let block = head.get(size..2 * size).ok_or("it is shorter than two blocks")?;
    let header = Header::parse(block).map_err(|e| format!("{e:#}"))?;
    if u64::from(header.dbid) != dbid {
        return Err(format!("its header has DBID {} instead of {dbid}", header.dbid));
    }
    if u64::from(header.file_number) != file.file {
        return Err(format!("its header is of file {}", header.file_number));
    }
    if header.checksum == Checksum::Bad {
        return Err("the checksum of its header block is wrong".to_owned());
    }
    if bytes < header.file_bytes() {
        return Err(format!("it has {bytes} bytes and its header says {}", header.file_bytes()));
    }
    let scn = header.checkpoint_scn.ok_or("its header has no checkpoint SCN")?;
    match frozen {
        Some(frozen) if frozen != scn => {
            Err(format!("its header has checkpoint SCN {scn} and V$DATAFILE_HEADER said {frozen}"))
        }
        _ => Ok(scn),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: usize = 8192;

    fn file() -> FileCopy {
        FileCopy {
            file: 4,
            path: "/u05/4".to_owned(),
            dest: "/u15/4".to_owned(),
            bytes: 11 * BLOCK as u64,
            block_size: BLOCK as u64,
            creation_change: 1,
        }
    }

    /// The first two blocks of datafile 4 with 10 blocks, by ORACLE_FACTS 5.
    fn head(scn: u64) -> Vec<u8> {
        let mut head = vec![0; 2 * BLOCK];
        let mut put =
            |at: usize, bytes: &[u8]| head[BLOCK + at..BLOCK + at + bytes.len()].copy_from_slice(bytes);
        put(0, &[0x0b, 0xa2]);
        put(28, &7_u32.to_le_bytes());
        put(44, &10_u32.to_le_bytes());
        put(48, &8192_u32.to_le_bytes());
        put(52, &4_u16.to_le_bytes());
        put(54, &3_u16.to_le_bytes());
        put(484, &u32::try_from(scn & 0xffff_ffff).unwrap().to_le_bytes());
        put(488, &u16::try_from(scn >> 32).unwrap().to_le_bytes());
        head
    }

    #[test]
    fn a_copy_is_judged_by_its_header() {
        let (whole, scn) = (11 * 8192, 959_994_799_549);
        assert_eq!(judge_copy(&file(), 7, Some(scn), &head(scn), whole), Ok(scn));
        assert_eq!(judge_copy(&file(), 7, None, &head(scn), whole + 8192), Ok(scn));
        let wrong =
            |dbid, frozen, head: &[u8], bytes| judge_copy(&file(), dbid, frozen, head, bytes).unwrap_err();
        assert!(wrong(7, Some(scn + 1), &head(scn), whole).contains("V$DATAFILE_HEADER said 959994799550"));
        assert!(wrong(8, Some(scn), &head(scn), whole).contains("DBID 7 instead of 8"));
        assert!(wrong(7, Some(scn), &head(scn), whole - 1).contains("its header says 90112"));
        assert!(wrong(7, Some(scn), &vec![0; 2 * BLOCK], whole).contains("type 0x00"));
        assert!(wrong(7, Some(scn), &head(scn)[..BLOCK], whole).contains("shorter than two blocks"));
        let other = FileCopy { file: 5, ..file() };
        assert!(judge_copy(&other, 7, Some(scn), &head(scn), whole).unwrap_err().contains("is of file 4"));
    }
}
