//! One rsync over an open connection, always into temporary names of our own.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::process::{Cmd, Ended};

use super::classify::{classify, Class, Evidence, TransferError};
use super::connection::Connection;
use super::files::{absolute, is_own};
use super::nonce;
use super::watch::watch;

/// What our own watch waits beyond rsync's `--timeout`, which is to end it first.
const MARGIN: Duration = Duration::from_secs(15);
/// While a side reads an old copy for checksums nothing is printed; slower than this is not alive.
const QUIET_READ: u64 = 10_000_000;

/// What is sent and where it goes. Sources are local absolute paths; links among them are followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Files {
    /// Many files into one existing directory, under their own names, which must differ.
    Flat { sources: Vec<PathBuf>, dest_dir: PathBuf },
    /// One file under a new name in an existing directory.
    One { source: PathBuf, dest: PathBuf },
}

/// How the content gets there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mode {
    /// Whole files. What arrives of a file when the link is cut stays, in place, under the temporary name.
    Whole,
    /// The temporary file holds the beginning of the file, and nobody else writes it: only the rest is sent.
    ///
    /// rsync sends nothing when the temporary file is not shorter than the source, whatever is in it (measured with
    /// 3.1.2 to 3.5.0): compare hashes afterwards.
    ResumeOwnTemporary,
    /// Only what differs from an older file is sent. `basis_dir` holds it under the name of the temporary file; without
    /// one the temporary file itself is the older file, and is changed in place.
    Delta { basis_dir: Option<PathBuf>, block_size: Option<u32> },
}

/// Compression of the stream; see [`super::adaptive::compression`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    #[default]
    None,
    /// Both sides need rsync 3.2 with zstd.
    Zstd1,
    Zlib1,
}

/// One call of rsync.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RsyncJob {
    pub files: Files,
    pub mode: Mode,
    pub compression: Compression,
    /// Without progress for so long, rsync ends itself (on both sides), and we end it a little later.
    pub io_timeout: Duration,
    /// Bytes per second.
    pub bwlimit: Option<u64>,
    /// rsync's output is appended to it.
    pub log: Option<PathBuf>,
}

impl RsyncJob {
    pub fn new(files: Files, mode: Mode, io_timeout: Duration) -> Self {
        Self { files, mode, compression: Compression::None, io_timeout, bwlimit: None, log: None }
    }
}

/// What rsync says while it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RsyncEvent {
    /// This source has been sent to its end. It is not proved to have arrived.
    Sent { source: PathBuf, bytes: u64 },
    /// Bytes of files that this call has gone through so far.
    Progress { bytes: u64 },
}

/// How one call ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RsyncOutcome {
    /// Sources that were sent to their end, with their size at that time.
    pub sent: Vec<(PathBuf, u64)>,
    /// Statuses 23, 24 and 25: the files that are not in `sent`, and perhaps others, have failed.
    pub trouble: Option<TransferError>,
    pub elapsed: Duration,
}

/// Runs rsync. Everything it says it did has still to be verified at the target.
///
/// # Errors
/// All that concerns more than single files: connection, time-out, full disk, usage. The events have told which files
/// were through by then.
pub fn rsync(
    conn: &Connection,
    job: &RsyncJob,
    on: &mut dyn FnMut(RsyncEvent),
) -> Result<RsyncOutcome, TransferError> {
    check(job)?;
    let started = Instant::now();
    let marker = format!("@{}", nonce());
    let rsh = conn.rsync_rsh()?;
    // The wall limit is for a rsync that talks for ever without moving anything; 1 MB/s is the slowest link we serve.
    let expected: u64 = sources(job).iter().filter_map(|s| std::fs::metadata(s).ok()).map(|m| m.len()).sum();
    let slowest = job.bwlimit.unwrap_or(100_000).clamp(1, 100_000);
    let limit = job.io_timeout.saturating_add(Duration::from_secs(600 + expected / slowest));
    let args = arguments(job, rsh.as_deref(), conn.target().host.as_deref(), limit, &marker);
    let mut cmd = Cmd::new("rsync", limit).args(args).stdin(list(job));
    cmd.env.push(("LC_ALL".to_owned(), "C".into()));
    // Options from the environment would be ones that nobody checked.
    cmd.env_remove.extend(
        ["RSYNC_RSH", "RSYNC_PROTECT_ARGS", "RSYNC_OLD_ARGS", "RSYNC_PARTIAL_DIR"].map(str::to_owned),
    );
    cmd.interruptible = !conn.is_finishing();

    let reads = match job.mode {
        Mode::Whole => 0,
        _ => expected / QUIET_READ,
    };
    let quiet = job.io_timeout.saturating_add(MARGIN).saturating_add(Duration::from_secs(reads));
    let mut reader = Reader::new(job, marker);
    let mut log = Log::open(job.log.as_deref())?;
    let watched = watch(&cmd, quiet, &mut |bytes| {
        log.write(bytes);
        reader.take(bytes, on);
    })
    .map_err(|e| TransferError::new(Class::Final, format!("{e:#}")).hint("install rsync on this host"))?;
    log.write(watched.stderr.as_bytes());

    let elapsed = started.elapsed();
    if watched.ended == Ended::Exited(0) {
        return Ok(RsyncOutcome { sent: reader.sent, trouble: None, elapsed });
    }
    let target = conn.target();
    let mut error =
        classify(&Evidence { program: "rsync", target, ended: watched.ended, stderr: &watched.stderr });
    if error.class == Class::Retry && !conn.target().is_local() {
        // Why the connection went is in the words of the master.
        let stderr = conn.with_master_words(&watched.stderr);
        error = classify(&Evidence { program: "rsync", target, ended: watched.ended, stderr: &stderr });
    }
    conn.doubt(&error);
    if error.class == Class::PerFile {
        return Ok(RsyncOutcome { sent: reader.sent, trouble: Some(error), elapsed });
    }
    Err(error)
}

fn sources(job: &RsyncJob) -> Vec<&Path> {
    match &job.files {
        Files::Flat { sources, .. } => sources.iter().map(PathBuf::as_path).collect(),
        Files::One { source, .. } => vec![source],
    }
}

fn check(job: &RsyncJob) -> Result<(), TransferError> {
    let refused = |text: String| Err(TransferError::new(Class::Final, text));
    let dest = match &job.files {
        Files::Flat { dest_dir, .. } => dest_dir,
        Files::One { dest, .. } => dest,
    };
    absolute(dest)?;
    if !is_own(dest) {
        return refused(format!("rsync to {}: it is not a temporary name of ours", dest.display()));
    }
    let mut names = HashSet::new();
    for source in sources(job) {
        absolute(source)?;
        let Some(name) = source.file_name() else {
            return refused(format!("{} is no file name", source.display()));
        };
        if !names.insert(name) {
            return refused(format!("two files of one batch are named {}", Path::new(name).display()));
        }
        if source.components().any(|c| c == std::path::Component::ParentDir) {
            return refused(format!("{} goes up", source.display()));
        }
    }
    match &job.mode {
        Mode::Delta { basis_dir: Some(dir), .. } => absolute(dir),
        _ => Ok(()),
    }
}

/// The list for `--files-from=-`: `./` before each, because `#` and `;` begin comments there.
fn list(job: &RsyncJob) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Files::Flat { sources, .. } = &job.files {
        for source in sources {
            bytes.push(b'.');
            bytes.extend_from_slice(source.as_os_str().as_bytes());
            bytes.push(0);
        }
    }
    bytes
}

/// rsync's arguments. `rsh` is the `-e` of an open connection, `None` for a local target. Pure.
///
/// The remote side of a dead connection keeps itself alive by the keep-alives that it can still write, whatever
/// `--timeout` says (measured with 3.5.0), so timeout(1) ends it after `limit`.
pub fn arguments(
    job: &RsyncJob,
    rsh: Option<&str>,
    host: Option<&str>,
    limit: Duration,
    marker: &str,
) -> Vec<OsString> {
    let mut args: Vec<OsString> = Vec::new();
    // Unbuffered, because rsync notices only then that nobody reads it any more, and ends: after our SIGKILL, say.
    // -s: no remote shell reads the names. -I: size and time prove nothing. -L: a datafile may be a link to its disk.
    for word in ["-s", "-t", "-p", "-L", "--outbuf=N", "--no-human-readable", "-8", "--info=progress2"] {
        args.push(word.into());
    }
    // %b makes it print when the file is through, not when it begins.
    args.push(format!("--out-format={marker} %l %b %n").into());
    args.push(format!("--timeout={}", job.io_timeout.as_secs().max(1)).into());
    match &job.mode {
        Mode::Whole => args.extend(["-I", "--whole-file", "--inplace"].map(OsString::from)),
        Mode::ResumeOwnTemporary => args.push("--append-verify".into()),
        Mode::Delta { basis_dir, block_size } => {
            args.extend(["-I", "--no-whole-file", "--inplace"].map(OsString::from));
            if let Some(dir) = basis_dir {
                args.push(join("--copy-dest=", dir.as_os_str()));
            }
            if let Some(size) = block_size {
                args.push(format!("--block-size={size}").into());
            }
        }
    }
    match job.compression {
        Compression::None => {}
        Compression::Zstd1 => {
            args.extend(["-z", "--compress-choice=zstd", "--compress-level=1"].map(OsString::from))
        }
        Compression::Zlib1 => args.extend(["-z", "--compress-level=1"].map(OsString::from)),
    }
    if let Some(rate) = job.bwlimit {
        args.push(format!("--bwlimit={}", rate.div_ceil(1024).max(1)).into());
    }
    if let Some(rsh) = rsh {
        args.extend(["-e".into(), rsh.into()]);
        args.push(format!("--rsync-path=timeout -k 5 {} rsync", limit.as_secs() + 60).into());
    }
    let remote = |path: &OsStr| match host {
        Some(host) if host.contains(':') => join(&format!("[{host}]:"), path),
        Some(host) => join(&format!("{host}:"), path),
        None => path.to_owned(),
    };
    match &job.files {
        Files::Flat { dest_dir, .. } => {
            args.extend(
                ["--from0", "--files-from=-", "--no-relative", "--no-dirs", "--", "/"].map(OsString::from),
            );
            let mut dir = dest_dir.as_os_str().to_owned();
            dir.push("/");
            args.push(remote(&dir));
        }
        Files::One { source, dest } => {
            args.push("--".into());
            args.push(source.into());
            args.push(remote(dest.as_os_str()));
        }
    }
    args
}

fn join(prefix: &str, rest: &OsStr) -> OsString {
    let mut word = OsString::from(prefix);
    word.push(rest);
    word
}

/// Reads rsync's output: lines of ours, and progress that ends with a carriage return.
struct Reader<'a> {
    job: &'a RsyncJob,
    marker: String,
    partial: Vec<u8>,
    sent: Vec<(PathBuf, u64)>,
}

impl<'a> Reader<'a> {
    fn new(job: &'a RsyncJob, marker: String) -> Self {
        Self { job, marker, partial: Vec::new(), sent: Vec::new() }
    }

    fn take(&mut self, bytes: &[u8], on: &mut dyn FnMut(RsyncEvent)) {
        for byte in bytes {
            if matches!(byte, b'\n' | b'\r') {
                let line = std::mem::take(&mut self.partial);
                self.line(&line, on);
            } else if self.partial.len() < 64 * 1024 {
                self.partial.push(*byte);
            }
        }
    }

    fn line(&mut self, line: &[u8], on: &mut dyn FnMut(RsyncEvent)) {
        if let Some(at) = line.windows(self.marker.len()).position(|w| w == self.marker.as_bytes()) {
            let mut fields = line[at + self.marker.len()..].splitn(4, |b| *b == b' ').skip(1);
            let bytes = fields.next().and_then(number);
            let name = fields.nth(1).map(unescape);
            if let (Some(bytes), Some(source)) = (bytes, name.and_then(|n| self.source(&n))) {
                self.sent.push((source.clone(), bytes));
                on(RsyncEvent::Sent { source, bytes });
            }
            return;
        }
        let mut words = line.split(|b| *b == b' ').filter(|w| !w.is_empty());
        if let (Some(bytes), Some(percent)) = (words.next().and_then(number), words.next()) {
            if percent.ends_with(b"%") {
                on(RsyncEvent::Progress { bytes });
            }
        }
    }

    /// rsync prints the base name or the path below the base; base names differ in one call.
    fn source(&self, printed: &[u8]) -> Option<PathBuf> {
        let printed = PathBuf::from(OsString::from_vec(printed.to_vec()));
        let name = printed.file_name()?;
        sources(self.job).into_iter().find(|s| s.file_name() == Some(name)).map(Path::to_path_buf)
    }
}

fn number(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// rsync writes what it takes for unprintable as `\#ooo`.
fn unescape(name: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((byte, tail)) = rest.split_first() {
        let octal = rest.strip_prefix(b"\\#").and_then(|r| r.get(..3));
        let value = octal.and_then(|o| u8::from_str_radix(std::str::from_utf8(o).ok()?, 8).ok());
        match value {
            Some(value) => {
                out.push(value);
                rest = &rest[5..];
            }
            None => {
                out.push(*byte);
                rest = tail;
            }
        }
    }
    out
}

struct Log(Option<std::fs::File>);

impl Log {
    fn open(path: Option<&Path>) -> Result<Self, TransferError> {
        let Some(path) = path else { return Ok(Self(None)) };
        let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
        file.map(|f| Self(Some(f)))
            .map_err(|e| TransferError::new(Class::Final, format!("open log {}: {e}", path.display())))
    }

    fn write(&mut self, bytes: &[u8]) {
        use std::io::Write;
        if let Some(file) = &mut self.0 {
            // A full log disk must not stop a backup.
            let _full = file.write_all(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(mode: Mode) -> RsyncJob {
        let files = Files::One { source: "/u01/a b.dbf".into(), dest: "/u15/.orapipe-1/$(x)".into() };
        RsyncJob::new(files, mode, Duration::from_secs(300))
    }

    fn words(job: &RsyncJob, rsh: Option<&str>, host: Option<&str>) -> Vec<String> {
        let args = arguments(job, rsh, host, Duration::from_secs(1000), "@m");
        args.iter().map(|a| a.to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn every_call_protects_names_and_has_a_time_limit() {
        for mode in [Mode::Whole, Mode::ResumeOwnTemporary, Mode::Delta { basis_dir: None, block_size: None }]
        {
            let words = words(&job(mode), Some("ssh -S /x --"), Some("dr1"));
            for word in ["-s", "--timeout=300", "--rsync-path=timeout -k 5 1060 rsync"] {
                assert!(words.iter().any(|w| w == word), "{word}: {words:?}");
            }
            assert_eq!(words[words.len() - 3..], ["--", "/u01/a b.dbf", "dr1:/u15/.orapipe-1/$(x)"]);
            assert!(!words.iter().any(|w| w.contains("sparse") || w.starts_with("--partial")), "{words:?}");
        }
    }

    #[test]
    fn append_is_for_resuming_only() {
        let delta = Mode::Delta { basis_dir: Some("/u15".into()), block_size: Some(8192) };
        for mode in [Mode::Whole, delta] {
            let words = words(&job(mode), None, None);
            assert!(
                words.iter().any(|w| w == "-I") && !words.iter().any(|w| w.starts_with("--append")),
                "{words:?}"
            );
        }
        let words = words(&job(Mode::ResumeOwnTemporary), None, None);
        assert!(words.iter().any(|w| w == "--append-verify"));
        assert_eq!(words.last().unwrap(), "/u15/.orapipe-1/$(x)");
    }

    #[test]
    fn an_address_with_colons_is_bracketed() {
        assert_eq!(
            words(&job(Mode::Whole), Some("ssh"), Some("::1")).last().unwrap(),
            "[::1]:/u15/.orapipe-1/$(x)"
        );
    }

    #[test]
    fn a_rate_is_rounded_up_and_never_zero_which_means_unlimited() {
        let mut job = job(Mode::Whole);
        job.bwlimit = Some(1);
        assert!(words(&job, None, None).iter().any(|w| w == "--bwlimit=1"));
    }

    #[test]
    fn only_temporary_names_of_ours_are_written() {
        let refused = |files: Files| {
            let job = RsyncJob::new(files, Mode::Whole, Duration::from_secs(9));
            rsync(&Connection::local(), &job, &mut |_| {}).unwrap_err().what
        };
        let one = |source: &str, dest: &str| Files::One { source: source.into(), dest: dest.into() };
        assert!(refused(one("/a", "/u15/users01.dbf")).contains("not a temporary name"));
        assert!(refused(one("/a", "/u15/.orapipe-1/../x")).contains("not a temporary name"));
        assert!(refused(one("a", "/u15/.orapipe-1")).contains("not an absolute path"));
        let twice =
            Files::Flat { sources: vec!["/a/x".into(), "/b/x".into()], dest_dir: "/.orapipe-1".into() };
        assert!(refused(twice).contains("two files of one batch are named x"));
    }

    #[test]
    fn what_rsync_prints_is_understood() {
        let files = Files::Flat {
            sources: vec!["/a/new\nline".into(), "/a/b 100% \\#101".into()],
            dest_dir: "/.orapipe-1".into(),
        };
        let job = RsyncJob::new(files, Mode::Whole, Duration::from_secs(9));
        let mut reader = Reader::new(&job, "@m".to_owned());
        let mut events = Vec::new();
        let text: &[u8] = b"\r        32768   1%    0.00kB/s    0:00:00  \rgarbage\n@m 7 7 a/new\\#012line\n         7 100%\r\n";
        for part in text.chunks(5).chain([b"@m 9 1 b 100% \\#134#101\n".as_slice()]) {
            reader.take(part, &mut |e| events.push(e));
        }
        let sent = |source: &str, bytes| RsyncEvent::Sent { source: source.into(), bytes };
        let want = [
            RsyncEvent::Progress { bytes: 32768 },
            sent("/a/new\nline", 7),
            RsyncEvent::Progress { bytes: 7 },
            sent("/a/b 100% \\#101", 9),
        ];
        assert_eq!(events, want);
    }

    #[test]
    fn a_local_copy_uses_the_same_arguments() {
        let tmp = tempfile::tempdir().unwrap();
        let own = tmp.path().join(".orapipe-1");
        std::fs::create_dir(&own).unwrap();
        let sources = ["#a", "-b", "c d\n"].map(|n| tmp.path().join(n)).to_vec();
        sources.iter().for_each(|s| std::fs::write(s, s.as_os_str().as_bytes()).unwrap());
        let files = Files::Flat { sources: sources.clone(), dest_dir: own.clone() };
        let job = RsyncJob::new(files, Mode::Whole, Duration::from_secs(30));
        let outcome = rsync(&Connection::local(), &job, &mut |_| {}).unwrap();
        assert_eq!((outcome.trouble, outcome.sent.len()), (None, 3));
        for source in sources {
            assert_eq!(
                std::fs::read(own.join(source.file_name().unwrap())).unwrap(),
                source.as_os_str().as_bytes()
            );
        }
    }
}
