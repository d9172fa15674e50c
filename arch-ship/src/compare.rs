//! Files that are already at the destination under a log's name: the same, a part of it, or something else.

use std::path::PathBuf;

use common::oracle::scan::{prefixes_sha256, scan_file, Hash};
use common::remote::{reading_limit, Connection, ContentHash, TransferError};

use crate::facts::SourceLog;
use crate::plan::RemoteFile;
use crate::scan::stat_of;
use crate::session::Session;
use crate::ship::Basis;

/// A log and the files there that may be it.
pub struct Question<'p> {
    pub log: &'p SourceLog,
    pub candidates: Vec<RemoteFile>,
}

/// What the contents say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It is there, whole.
    Present {
        file: RemoteFile,
        sha256: String,
        odd: Vec<PathBuf>,
    },
    /// It has to be sent; `odd` are files of its name elsewhere that are something else.
    Send {
        basis: Option<Basis>,
        odd: Vec<PathBuf>,
    },
    /// Under its final name lies something else.
    Different {
        path: PathBuf,
        reason: String,
    },
    /// The source is not whole (yet).
    NotReady(String),
    Damaged(String),
}

/// Why a local file is no good; the outer is "not ready", the inner "damaged".
pub enum Unfit {
    NotReady(String),
    Damaged(String),
}

/// The hashes of a log at the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sums {
    pub sha256: String,
    pub xxh128: String,
}

impl Sums {
    /// Whether the destination has the same content.
    pub fn is(&self, there: &ContentHash) -> bool {
        match there {
            ContentHash::Sha256(hash) => *hash == self.sha256,
            ContentHash::Xxh128(hash) => *hash == self.xxh128,
        }
    }
}

/// Hashes a log and checks that it is whole and still the one that was found.
pub fn read_source(session: &Session, log: &SourceLog) -> Result<Sums, Unfit> {
    let scan = scan_file(&log.path, Hash::Sha256).map_err(|e| {
        let gone = !log.path.exists();
        let what = if gone {
            "it was deleted at the source before it was sent".to_owned()
        } else {
            format!("{e:#}")
        };
        Unfit::Damaged(what)
    })?;
    let same = std::fs::metadata(&log.path).is_ok_and(|m| stat_of(&m) == log.stat);
    if !same || scan.bytes != log.stat.bytes {
        return Err(Unfit::NotReady("it changed while it was being read".to_owned()));
    }
    if !session.cli.no_header_check {
        if let Some(problem) = scan.problem() {
            return Err(match scan.verdict {
                common::oracle::archived_log::Verdict::Incomplete(_) => Unfit::NotReady(problem),
                _ => Unfit::Damaged(problem),
            });
        }
        let key = scan.header.as_ref().map(crate::scan::key_of);
        if key != Some(log.key) {
            return Err(Unfit::NotReady("another log has taken its name meanwhile".to_owned()));
        }
    }
    let (Some(sha256), Some(xxh128)) = (scan.sha256, scan.xxh128) else {
        return Err(Unfit::Damaged("it was not hashed".to_owned()));
    };
    match session.claims.get(&log.path).and_then(|c| c.other_hash(&sha256)) {
        Some(wrong) => Err(Unfit::Damaged(wrong)),
        None => Ok(Sums { sha256, xxh128 }),
    }
}

/// Compares the contents of a batch: each file is read once, here and there at the same time.
pub fn compare(
    session: &Session,
    conn: &Connection,
    questions: &[Question<'_>],
) -> Result<Vec<Answer>, TransferError> {
    let mut paths: Vec<PathBuf> = Vec::new();
    let mut bytes = 0;
    for question in questions {
        for file in question.candidates.iter().filter(|f| f.stat.bytes <= question.log.stat.bytes) {
            bytes += file.stat.bytes;
            paths.push(file.path.clone());
        }
    }
    let (there, here) = std::thread::scope(|scope| {
        let here = scope.spawn(|| questions.iter().map(|q| known_hash(session, q.log)).collect::<Vec<_>>());
        let there = crate::destination::again(session, session.cli.retries, || {
            conn.sha256(&paths, reading_limit(bytes))
        });
        (there, here.join())
    });
    let mut there = there?.into_iter();
    let unread = || Err(Unfit::Damaged("reading it ended unexpectedly".to_owned()));
    let here = here.unwrap_or_else(|_| questions.iter().map(|_| unread()).collect());
    let mut answers = Vec::new();
    for (question, own) in questions.iter().zip(here) {
        let hashes: Vec<(&RemoteFile, Option<String>)> = question
            .candidates
            .iter()
            .map(|f| {
                let read = f.stat.bytes <= question.log.stat.bytes;
                (f, if read { there.next().and_then(Result::ok) } else { None })
            })
            .collect();
        answers.push(match own {
            Ok(sha256) => judge(session, question.log, &sha256, &hashes),
            Err(Unfit::NotReady(reason)) => Answer::NotReady(reason),
            Err(Unfit::Damaged(reason)) => Answer::Damaged(reason),
        });
    }
    Ok(answers)
}

/// The recorded hash while the source is unchanged, else a fresh one.
fn known_hash(session: &Session, log: &SourceLog) -> Result<String, Unfit> {
    let recorded = {
        let state = session.state();
        state.entry(log.key).filter(|e| e.source == log.stat).map(|e| e.sha256.clone())
    };
    session.progress();
    let claim = session.claims.get(&log.path);
    let recorded = recorded.filter(|is| claim.is_none_or(|c| c.other_hash(is).is_none()));
    recorded.map_or_else(|| read_source(session, log).map(|sums| sums.sha256), Ok)
}

fn judge(
    session: &Session,
    log: &SourceLog,
    sha256: &str,
    hashes: &[(&RemoteFile, Option<String>)],
) -> Answer {
    let last = crate::destination::final_path(session, log);
    let mut odd = Vec::new();
    let mut halves = Vec::new();
    let mut whole = None;
    for (file, hash) in hashes {
        let same_size = file.stat.bytes == log.stat.bytes;
        if same_size && hash.as_deref() == Some(sha256) {
            whole.get_or_insert((*file).clone());
        } else if file.stat.bytes < log.stat.bytes && hash.is_some() {
            halves.push((*file, hash.clone().unwrap_or_default()));
        } else if file.path == last || file.path.file_name() == last.file_name() {
            odd.push((*file).clone());
        }
    }
    let lengths: Vec<u64> = halves.iter().map(|(f, _)| f.stat.bytes).collect();
    let prefixes = prefixes_sha256(&log.path, &lengths).unwrap_or_default();
    let mut best: Option<&RemoteFile> = None;
    for ((file, hash), prefix) in halves.iter().zip(prefixes) {
        if prefix.as_ref() != Some(hash) {
            if file.path.file_name() == last.file_name() {
                odd.push((*file).clone());
            }
        } else if file.path == last || best.is_none_or(|b| b.path != last && b.stat.bytes < file.stat.bytes) {
            best = Some(*file);
        }
    }
    let elsewhere = |odd: &[RemoteFile]| odd.iter().map(|f| f.path.clone()).collect::<Vec<_>>();
    if let Some(file) = whole {
        return Answer::Present { file, sha256: sha256.to_owned(), odd: elsewhere(&odd) };
    }
    if let Some(file) = odd.iter().find(|f| f.path == last) {
        let (there, here) = (file.stat.bytes, log.stat.bytes);
        let reason = if there == here {
            format!("{} is a different file of the same size", last.display())
        } else {
            format!("{} is a different file of {there} bytes, the log has {here}", last.display())
        };
        return Answer::Different { path: last, reason };
    }
    let basis = best.map(|f| Basis { file: f.clone(), replaces: f.path == last });
    if let Some(basis) = basis.as_ref().filter(|b| !b.replaces) {
        // It stays where it is, and a reader could take it for the log.
        odd.push(basis.file.clone());
    }
    Answer::Send { basis, odd: elsewhere(&odd) }
}
