//! One line of input as the planner needs it: typed, borrowed, and small afterwards.

use std::borrow::Cow;
use std::collections::HashSet;
use std::hash::{Hash, Hasher};

use serde::{Deserialize, Deserializer};

use super::catalogue::{
    ControlfileItem, DatafileItem, FileFact, Incarnation, LogItem, Scn, SpfileItem, Structure, Thread,
};
use super::times::seconds;

/// Where a line is in the input.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LineRef {
    pub offset: u64,
    pub len: u32,
}

/// What a line tells.
#[derive(Debug)]
pub enum Told {
    Piece(Box<Piece>),
    Object(Object),
    Log(Box<DiskLog>),
    Begin(String, String),
    End(String, String, i64),
    Bad(String),
    Nothing,
}

/// A `file` record.
#[derive(Debug, Default)]
pub struct Piece {
    pub line: LineRef,
    pub path: u64,
    pub sha: Option<u128>,
    pub bytes: u64,
    pub dbid: u64,
    pub db: Option<String>,
    pub stamp: u64,
    pub count: u64,
    pub piece: u32,
    pub pieces: u32,
    pub completed: i64,
    pub archived_log: bool,
    /// A backup piece, or nobody says what it is.
    pub should_tell: bool,
    pub excluded: bool,
    pub contents: Vec<Item>,
}

/// An `object` record.
#[derive(Debug)]
pub struct Object {
    pub line: LineRef,
    pub key: u64,
    pub path: Option<u64>,
    pub sha: Option<u128>,
    pub bytes: Option<u64>,
    pub failed: bool,
    pub excluded: bool,
}

/// An `archived_log` record.
#[derive(Debug)]
pub struct DiskLog {
    pub line: LineRef,
    pub path: u64,
    pub failed: bool,
    pub excluded: bool,
    /// `resetlogs` is not in the record.
    pub log: LogItem,
    /// A place on this machine where it is.
    pub here: bool,
}

/// One thing in a set.
#[derive(Debug)]
pub enum Item {
    Datafile(DatafileItem),
    Log(LogItem),
    Controlfile(Box<(ControlfileItem, Option<Structure>)>),
    Spfile(SpfileItem),
}

/// A string that is borrowed where the JSON has no escapes.
struct Text<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, v: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(v)))
            }

            fn visit_str<E>(self, v: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(v.to_owned())))
            }
        }
        deserializer.deserialize_str(Visitor)
    }
}

#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<Text<'a>>,
    v: Option<u64>,
    #[serde(borrow)]
    tool: Option<Text<'a>>,
    #[serde(borrow)]
    run: Option<Text<'a>>,
    exit: Option<i64>,
    #[serde(borrow)]
    path: Option<Text<'a>>,
    bytes: Option<u64>,
    #[serde(borrow)]
    sha256: Option<Text<'a>>,
    #[serde(borrow)]
    role: Option<Text<'a>>,
    #[serde(borrow)]
    db: Option<Text<'a>>,
    dbid: Option<u64>,
    set_stamp: Option<u64>,
    set_count: Option<u64>,
    piece: Option<u32>,
    pieces: Option<u32>,
    #[serde(borrow)]
    completed: Option<Text<'a>>,
    #[serde(borrow)]
    contents: Option<Vec<ContentLine<'a>>>,
    #[serde(borrow)]
    bucket: Option<Text<'a>>,
    #[serde(borrow)]
    key: Option<Text<'a>>,
    #[serde(borrow)]
    status: Option<Text<'a>>,
    #[serde(borrow)]
    dest: Option<Text<'a>>,
    thread: Option<u32>,
    sequence: Option<u64>,
    resetlogs_id: Option<u64>,
    first_change: Option<Scn>,
    next_change: Option<Scn>,
}

/// [`common::record::Content`] as one flat struct: an internally tagged enum would be read twice.
#[derive(Deserialize)]
struct ContentLine<'a> {
    #[serde(borrow)]
    kind: Text<'a>,
    file: Option<u32>,
    level: Option<u8>,
    incremental_change: Option<Scn>,
    checkpoint_change: Option<Scn>,
    fuzzy_change: Option<Scn>,
    #[serde(borrow)]
    checkpoint_time: Option<Text<'a>>,
    resetlogs_change: Option<Scn>,
    creation_change: Option<Scn>,
    thread: Option<u32>,
    sequence: Option<u64>,
    first_change: Option<Scn>,
    next_change: Option<Scn>,
    #[serde(borrow)]
    first_time: Option<Text<'a>>,
    #[serde(borrow)]
    next_time: Option<Text<'a>>,
    resetlogs_id: Option<u64>,
    datafiles: Option<Vec<FileLine>>,
    threads: Option<Vec<ThreadLine>>,
    incarnations: Option<Vec<IncarnationLine>>,
    #[serde(borrow)]
    modified: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct FileLine {
    file: u32,
    #[serde(default)]
    creation_change: Scn,
    read_only_since: Option<Scn>,
    offline_change: Option<Scn>,
}

#[derive(Deserialize)]
struct ThreadLine {
    thread: u32,
    #[serde(default)]
    enabled_change: Scn,
    disabled_change: Option<Scn>,
}

#[derive(Deserialize)]
struct IncarnationLine {
    resetlogs_change: Scn,
    #[serde(default)]
    resetlogs_id: u64,
    prior_resetlogs_change: Option<Scn>,
}

/// What is left out by name: a path, the last part of one, or a key.
#[derive(Debug, Clone, Default)]
pub struct Without(HashSet<u64>);

impl Without {
    pub fn new<S: AsRef<str>>(names: &[S]) -> Self {
        Self(names.iter().map(|n| hash(n.as_ref())).collect())
    }

    fn has(&self, name: &str) -> bool {
        !self.0.is_empty() && (self.0.contains(&hash(name)) || self.0.contains(&hash(last_part(name))))
    }
}

fn last_part(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

/// A name as a number; the same in one run.
pub fn hash(text: &str) -> u64 {
    let mut hasher = std::collections::hash_map::DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

/// The first half of a SHA-256: enough to tell files apart, and half as large.
fn sha(text: Option<&Text<'_>>) -> Option<u128> {
    let text = text?.0.as_ref();
    (text.len() == 64).then(|| u128::from_str_radix(text.get(..32)?, 16).ok()).flatten()
}

/// Reads one line.
pub fn read(raw: &[u8], line: LineRef, without: &Without) -> Told {
    let parsed: Line<'_> = match serde_json::from_slice(raw) {
        Ok(parsed) => parsed,
        Err(error) => {
            // A record of another type may have other things under our names.
            let kind = serde_json::from_slice::<Head<'_>>(raw).ok().and_then(|h| h.kind);
            return match kind.as_ref().map(|k| k.0.as_ref()) {
                Some("file" | "object" | "archived_log") | None => Told::Bad(error.to_string()),
                Some(_) => Told::Nothing,
            };
        }
    };
    let kind = parsed.kind.as_ref().map_or("file", |k| k.0.as_ref());
    let ours = matches!(kind, "file" | "object" | "archived_log");
    if ours && parsed.v.is_some_and(|v| v > common::record::VERSION) {
        return Told::Bad(format!(
            "record version {}, this program knows {}",
            parsed.v.unwrap_or(0),
            common::record::VERSION
        ));
    }
    let name = |t: &Option<Text<'_>>| t.as_ref().map(|t| t.0.to_string()).unwrap_or_default();
    match kind {
        "file" => match &parsed.path {
            None => Told::Bad("a file without a path".to_owned()),
            Some(path) => Told::Piece(Box::new(piece(&parsed, path, line, without))),
        },
        "object" => match &parsed.key {
            None => Told::Bad("an object without a key".to_owned()),
            Some(key) => Told::Object(Object {
                line,
                key: hash(&format!("{}\n{}", name(&parsed.bucket), key.0)),
                path: parsed.path.as_ref().map(|p| hash(&p.0)),
                sha: sha(parsed.sha256.as_ref()),
                bytes: parsed.bytes,
                failed: parsed.status.as_ref().is_some_and(|s| s.0 == "failed"),
                excluded: without.has(&key.0),
            }),
        },
        "archived_log" => disk_log(&parsed, line, without),
        "run_begin" => Told::Begin(name(&parsed.tool), name(&parsed.run)),
        "run_end" => Told::End(name(&parsed.tool), name(&parsed.run), parsed.exit.unwrap_or(2)),
        _ => Told::Nothing,
    }
}

fn piece(parsed: &Line<'_>, path: &Text<'_>, line: LineRef, without: &Without) -> Piece {
    let contents = parsed.contents.iter().flatten().filter_map(item).collect();
    Piece {
        line,
        path: hash(&path.0),
        sha: sha(parsed.sha256.as_ref()),
        bytes: parsed.bytes.unwrap_or(0),
        dbid: parsed.dbid.unwrap_or(0),
        db: parsed.db.as_ref().map(|d| d.0.to_string()),
        stamp: parsed.set_stamp.unwrap_or(0),
        count: parsed.set_count.unwrap_or(0),
        piece: parsed.piece.unwrap_or(1).max(1),
        pieces: parsed.pieces.unwrap_or(1).max(1),
        completed: parsed.completed.as_ref().and_then(|t| seconds(&t.0)).unwrap_or(0),
        archived_log: parsed.role.as_ref().is_some_and(|r| r.0 == "archived_log"),
        should_tell: parsed.role.as_ref().is_none_or(|r| r.0 == "backup_piece"),
        excluded: without.has(&path.0),
        contents,
    }
}

fn disk_log(parsed: &Line<'_>, line: LineRef, without: &Without) -> Told {
    let (Some(path), Some(thread), Some(sequence), Some(first), Some(next)) =
        (&parsed.path, parsed.thread, parsed.sequence, parsed.first_change, parsed.next_change)
    else {
        // A log that failed early is told of without its SCNs.
        return Told::Nothing;
    };
    let status = parsed.status.as_ref().map(|s| s.0.as_ref());
    let log =
        LogItem { thread, sequence, first, next, resetlogs_id: parsed.resetlogs_id, ..LogItem::default() };
    Told::Log(Box::new(DiskLog {
        line,
        path: hash(&path.0),
        failed: status == Some("failed"),
        excluded: without.has(&path.0),
        here: std::path::Path::new(path.0.as_ref()).is_file()
            || parsed.dest.as_ref().is_some_and(|d| std::path::Path::new(d.0.as_ref()).is_file()),
        log,
    }))
}

fn item(content: &ContentLine<'_>) -> Option<Item> {
    let time = |t: &Option<Text<'_>>| t.as_ref().and_then(|t| seconds(&t.0));
    Some(match content.kind.0.as_ref() {
        "datafile" => Item::Datafile(DatafileItem {
            set: 0,
            file: content.file?,
            level: content.level,
            incremental: content.incremental_change.unwrap_or(0),
            checkpoint: content.checkpoint_change?,
            fuzzy: content.fuzzy_change.unwrap_or(0),
            resetlogs: content.resetlogs_change?,
            creation: content.creation_change.unwrap_or(0),
            time: time(&content.checkpoint_time),
        }),
        "archived_log" => Item::Log(LogItem {
            set: 0,
            thread: content.thread?,
            sequence: content.sequence?,
            first: content.first_change?,
            next: content.next_change?,
            first_time: time(&content.first_time),
            next_time: time(&content.next_time),
            resetlogs: content.resetlogs_change?,
            resetlogs_id: content.resetlogs_id,
        }),
        "controlfile" => {
            let files = content.datafiles.iter().flatten().map(|f| FileFact {
                file: f.file,
                creation: f.creation_change,
                read_only_since: f.read_only_since,
                offline_change: f.offline_change,
            });
            let threads = content.threads.iter().flatten().map(|t| Thread {
                thread: t.thread,
                enabled: t.enabled_change,
                disabled: t.disabled_change,
            });
            let incarnations = content.incarnations.iter().flatten().map(|i| Incarnation {
                resetlogs: i.resetlogs_change,
                id: i.resetlogs_id,
                prior: i.prior_resetlogs_change,
            });
            let structure = Structure {
                files: files.collect(),
                threads: threads.collect(),
                incarnations: incarnations.collect(),
            };
            let item = ControlfileItem {
                set: 0,
                checkpoint: content.checkpoint_change?,
                time: time(&content.checkpoint_time),
                resetlogs: content.resetlogs_change?,
                structure: None,
            };
            let tells = !structure.files.is_empty();
            Item::Controlfile(Box::new((item, tells.then_some(structure))))
        }
        "spfile" => Item::Spfile(SpfileItem { set: 0, modified: time(&content.modified) }),
        _ => return None,
    })
}
