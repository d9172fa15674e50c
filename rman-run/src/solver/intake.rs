//! From records to the catalogue: pieces are joined to their sets, copies to their pieces.
//!
//! A piece is a `file` record; an `object` record is a copy of it in a bucket, found by SHA-256, else by path. The last
//! word on an object counts: one that failed later is gone. A `file` record that only repeats the SHA-256 of a piece, as
//! s3-get writes them, is a copy on this machine.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use common::exit::{Exit, Failure};
use serde::Deserialize;

use super::catalogue::{Catalogue, LogItem, Set};
use super::producers::Producers;
use super::records::{self, DiskLog, Item, LineRef, Object, Piece, Told, Without};
use super::spool::{self, Spool};

/// Which copies of a piece can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Those in a bucket; where there are no objects at all, the files.
    Anywhere,
    /// Files that are on this machine now.
    Here,
}

/// A piece with the copy that is to be used.
#[derive(Debug, Clone, Copy, Default)]
pub struct Copy {
    pub set: u32,
    pub piece: u32,
    /// The record that tells what it holds.
    pub file: LineRef,
    /// The record of the copy: the object, or the file on this machine when it has another record.
    pub copy: Option<LineRef>,
    pub bytes: u64,
    usable: bool,
}

/// What was read.
pub struct Intake {
    pub catalogue: Catalogue,
    /// In the order of (set, piece); one usable copy of each where there is one.
    copies: Vec<Copy>,
    spool: Spool,
    pub dbid: u64,
    /// Its name, when a record tells it.
    pub db: Option<String>,
    /// Lines that were no records, with the first reason.
    pub bad_lines: u64,
    pub first_bad: Option<String>,
    /// The worst status of the runs that feed us; and those of them that began and did not end.
    pub worst: Exit,
    pub died: Vec<String>,
    /// Archived logs of an incarnation that nothing else tells of.
    pub strange_logs: u64,
    /// Pieces whose records do not tell what they hold.
    pub blank_pieces: u64,
}

#[derive(Default)]
struct Heap {
    pieces: Vec<Kept>,
    loose: Vec<Kept>,
    objects: Vec<Object>,
    logs: HashMap<u64, Box<DiskLog>>,
    sets: HashMap<(u64, u64, u64), u32>,
    dbids: Vec<u64>,
    names: BTreeMap<u64, String>,
    filled: Vec<bool>,
    catalogue: Catalogue,
}

/// A `file` record as it is kept.
#[derive(Clone, Copy)]
struct Kept {
    line: LineRef,
    path: u64,
    sha: Option<u128>,
    bytes: u64,
    set: u32,
    piece: u32,
    excluded: bool,
    archived_log: bool,
    should_tell: bool,
}

/// Reads records.
///
/// # Errors
/// The input cannot be read; it is of several databases and none is chosen.
pub fn read(
    input: std::fs::File,
    place: Place,
    without: &Without,
    dbid: Option<u64>,
) -> anyhow::Result<Intake> {
    let mut heap = Heap::default();
    let (mut bad_lines, mut first_bad) = (0, None);
    let mut producers = Producers::default();
    let mut number = 0u64;
    let spool = spool::read(
        input,
        |raw, line| records::read(raw, line, without),
        |_, told| {
            number += 1;
            match told {
                Told::Piece(piece) => heap.piece(*piece),
                Told::Object(object) => heap.objects.push(object),
                Told::Log(log) => {
                    heap.logs.insert(log.path, log);
                }
                Told::Begin(tool, run) => producers.begin(&tool, &run),
                Told::End(tool, run, exit) => producers.end(&tool, &run, exit),
                Told::Nothing => {}
                Told::Bad(reason) => {
                    bad_lines += 1;
                    first_bad.get_or_insert_with(|| format!("record {number} of the input: {reason}"));
                }
            }
        },
    )?;
    let dbid = heap.choose_database(dbid)?;
    let known: HashSet<u128> = heap.pieces.iter().filter_map(|p| p.sha).collect();
    let blank = |k: &&Kept| k.should_tell && k.sha.is_none_or(|s| !known.contains(&s));
    let blank_pieces = heap.loose.iter().filter(blank).count() as u64;
    drop(known);
    let db = heap.names.get(&dbid).cloned();
    let strange_logs = heap.disk_logs();
    let (catalogue, copies) = heap.join(place, dbid, &spool)?;
    Ok(Intake {
        catalogue,
        copies,
        spool,
        dbid,
        db,
        bad_lines,
        first_bad,
        worst: producers.worst(),
        died: producers.died(),
        strange_logs,
        blank_pieces,
    })
}

impl Intake {
    /// The pieces of a set, each with the copy to use.
    pub fn pieces(&self, set: u32) -> &[Copy] {
        let from = self.copies.partition_point(|c| c.set < set);
        let to = self.copies.partition_point(|c| c.set <= set);
        self.copies.get(from..to).unwrap_or_default()
    }

    /// The bytes of a record.
    pub fn line(&self, line: LineRef) -> anyhow::Result<Vec<u8>> {
        self.spool.line(line)
    }
}

impl Heap {
    fn piece(&mut self, piece: Piece) {
        let mut kept = Kept {
            line: piece.line,
            path: piece.path,
            sha: piece.sha,
            bytes: piece.bytes,
            set: u32::MAX,
            piece: piece.piece,
            excluded: piece.excluded,
            archived_log: piece.archived_log,
            should_tell: piece.should_tell,
        };
        if piece.contents.is_empty() && piece.stamp == 0 {
            self.loose.push(kept);
            return;
        }
        if let Some(name) = piece.db.filter(|_| piece.dbid != 0) {
            self.names.insert(piece.dbid, name);
        }
        // A file that is no backup piece is a set of its own, as often as it is told of.
        let key = match piece.stamp {
            0 => (piece.dbid, u64::MAX, piece.path),
            stamp => (piece.dbid, stamp, piece.count),
        };
        let next = self.catalogue.sets.len() as u32;
        let set = *self.sets.entry(key).or_insert(next);
        if set == next {
            self.catalogue.sets.push(Set { stamp: piece.stamp, count: piece.count, ..Set::default() });
            self.dbids.push(piece.dbid);
            self.filled.push(false);
        }
        kept.set = set;
        if let Some(of_set) = self.catalogue.sets.get_mut(set as usize) {
            of_set.pieces = of_set.pieces.max(piece.pieces).max(piece.piece);
            of_set.completed = of_set.completed.max(piece.completed);
        }
        self.pieces.push(kept);
        if piece.contents.is_empty() {
            return;
        }
        // Each piece of a set tells of the whole set.
        if std::mem::replace(&mut self.filled[set as usize], true) {
            return;
        }
        for item in piece.contents {
            self.item(set, item);
        }
    }

    fn item(&mut self, set: u32, item: Item) {
        let catalogue = &mut self.catalogue;
        match item {
            Item::Datafile(mut d) => {
                d.set = set;
                catalogue.datafiles.push(d);
            }
            Item::Log(mut l) => {
                l.set = set;
                catalogue.logs.push(l);
            }
            Item::Controlfile(c) => {
                let (mut item, structure) = *c;
                item.set = set;
                item.structure = structure.map(|s| catalogue.intern(s));
                catalogue.controlfiles.push(item);
            }
            Item::Spfile(mut s) => {
                s.set = set;
                catalogue.spfiles.push(s);
            }
        }
    }

    /// The one database of the input, or the one that was asked for.
    fn choose_database(&self, wanted: Option<u64>) -> anyhow::Result<u64> {
        let known: std::collections::BTreeSet<u64> = self.dbids.iter().copied().filter(|d| *d != 0).collect();
        match (wanted, known.len()) {
            (Some(dbid), _) => Ok(dbid),
            (None, 0 | 1) => Ok(known.first().copied().unwrap_or(0)),
            (None, _) => {
                let list = known.iter().map(|d| match self.names.get(d) {
                    Some(name) => format!("{name} (DBID {d})"),
                    None => format!("DBID {d}"),
                });
                let list: Vec<String> = list.collect();
                let message = format!("the input is of several databases: {}", list.join(", "));
                Err(Failure::new(Exit::Usage, message).hint("choose one with --dbid").into())
            }
        }
    }

    /// Archived logs on disk become sets that cost nothing; says how many are of no known incarnation.
    fn disk_logs(&mut self) -> u64 {
        if self.logs.is_empty() {
            return 0;
        }
        let mut by_id: HashMap<u64, u64> = HashMap::new();
        for log in &self.catalogue.logs {
            if let Some(id) = log.resetlogs_id {
                by_id.insert(id, log.resetlogs);
            }
        }
        let mut all = HashSet::new();
        for incarnation in self.catalogue.structures.iter().flat_map(|s| &s.incarnations) {
            by_id.insert(incarnation.id, incarnation.resetlogs);
            all.insert(incarnation.resetlogs);
        }
        all.extend(self.catalogue.datafiles.iter().map(|d| d.resetlogs));
        let only = if all.len() == 1 { all.iter().next().copied() } else { None };
        let mut strange = 0;
        let mut logs: Vec<Box<DiskLog>> = std::mem::take(&mut self.logs).into_values().collect();
        logs.sort_by_key(|l| l.line.offset);
        for log in logs {
            let resetlogs = match log.log.resetlogs_id {
                Some(id) => by_id.get(&id).copied().or(only.filter(|_| by_id.is_empty())),
                None => only,
            };
            let Some(resetlogs) = resetlogs else {
                strange += 1;
                continue;
            };
            let set = self.catalogue.sets.len() as u32;
            self.catalogue.sets.push(Set { pieces: 1, on_disk: true, ..Set::default() });
            self.dbids.push(0);
            self.filled.push(true);
            self.catalogue.logs.push(LogItem { set, resetlogs, ..log.log });
            self.pieces.push(Kept {
                line: log.line,
                path: log.path,
                sha: None,
                bytes: 0,
                set,
                piece: 1,
                excluded: log.excluded || log.failed || !log.here,
                archived_log: true,
                should_tell: false,
            });
        }
        strange
    }

    /// Gives each piece its copy and each set its state.
    fn join(self, place: Place, dbid: u64, spool: &Spool) -> anyhow::Result<(Catalogue, Vec<Copy>)> {
        let Self { pieces, loose, objects, dbids, mut catalogue, .. } = self;
        let any_objects = !objects.is_empty();
        let mut last: HashMap<u64, u32> = HashMap::with_capacity(objects.len());
        for (i, object) in objects.iter().enumerate() {
            last.insert(object.key, i as u32);
        }
        let mut by_sha: HashMap<u128, u32> = HashMap::with_capacity(objects.len());
        let mut by_path: HashMap<u64, u32> = HashMap::new();
        for (i, object) in objects.iter().enumerate() {
            if last.get(&object.key) != Some(&(i as u32)) || object.failed || object.excluded {
                continue;
            }
            match (object.sha, object.path) {
                (Some(sha), _) => {
                    by_sha.insert(sha, i as u32);
                }
                (None, Some(path)) => {
                    by_path.insert(path, i as u32);
                }
                (None, None) => {}
            }
        }
        drop(last);
        let mut local: HashMap<u128, Kept> = HashMap::new();
        for kept in loose.iter().filter(|k| !k.excluded) {
            if let Some(sha) = kept.sha.filter(|_| place == Place::Here) {
                if here(spool, kept)? {
                    local.insert(sha, *kept);
                }
            }
        }
        let mut copies: Vec<Copy> = Vec::with_capacity(pieces.len());
        for kept in &pieces {
            let on_disk = catalogue.sets.get(kept.set as usize).is_some_and(|s| s.on_disk);
            let object = kept.sha.and_then(|s| by_sha.get(&s)).or_else(|| by_path.get(&kept.path));
            let object = object.and_then(|i| objects.get(*i as usize));
            let mut copy = Copy {
                set: kept.set,
                piece: kept.piece,
                file: kept.line,
                copy: None,
                bytes: kept.bytes,
                usable: false,
            };
            match place {
                _ if on_disk => copy.usable = !kept.excluded,
                Place::Here => {
                    let elsewhere = kept.sha.and_then(|s| local.get(&s));
                    if let Some(elsewhere) = elsewhere {
                        copy.copy = Some(elsewhere.line);
                        copy.usable = !kept.excluded;
                    } else {
                        copy.usable = !kept.excluded && here(spool, kept)?;
                    }
                }
                Place::Anywhere => match object {
                    Some(object) => {
                        copy.copy = Some(object.line);
                        copy.bytes = object.bytes.unwrap_or(kept.bytes);
                        copy.usable = !kept.excluded;
                    }
                    // What was never uploaded may still be where it was written.
                    None => copy.usable = !kept.excluded && (!any_objects || here(spool, kept)?),
                },
            }
            copies.push(copy);
        }
        let archived: HashSet<u32> = pieces.iter().filter(|p| p.archived_log).map(|p| p.set).collect();
        copies.sort_by_key(|c| (c.set, c.piece, !c.usable, c.bytes, std::cmp::Reverse(c.file.offset)));
        copies.dedup_by_key(|c| (c.set, c.piece));
        for (set, of_database) in catalogue.sets.iter_mut().zip(&dbids) {
            set.available = *of_database == dbid || *of_database == 0 || dbid == 0;
            set.lacking = 1;
        }
        let mut begin = 0;
        for (index, set) in catalogue.sets.iter_mut().enumerate() {
            let end = begin + copies[begin..].iter().take_while(|c| c.set == index as u32).count();
            let of_set = &copies[begin..end];
            begin = end;
            let whole = (1..=set.pieces).find(|n| !of_set.iter().any(|c| c.piece == *n && c.usable));
            set.available &= whole.is_none();
            set.lacking = whole.unwrap_or(0);
            set.bytes = of_set.iter().map(|c| c.bytes).sum();
            if archived.contains(&(index as u32)) && of_set.iter().all(|c| c.copy.is_none()) {
                set.on_disk = true;
                set.bytes = 0;
            }
        }
        // Other databases' backups would tell of other datafiles.
        if dbids.iter().any(|d| *d != 0 && *d != dbid) {
            let ours = |set: u32| dbids.get(set as usize).is_none_or(|d| *d == 0 || *d == dbid);
            catalogue.datafiles.retain(|d| ours(d.set));
            catalogue.logs.retain(|l| ours(l.set));
            catalogue.controlfiles.retain(|c| ours(c.set));
            catalogue.spfiles.retain(|s| ours(s.set));
        }
        Ok((catalogue, copies))
    }
}

#[derive(Deserialize)]
struct PathOnly {
    path: String,
    bytes: Option<u64>,
}

/// Whether the file of a record is on this machine with the size that it should have.
fn here(spool: &Spool, kept: &Kept) -> anyhow::Result<bool> {
    let Ok(record) = serde_json::from_slice::<PathOnly>(&spool.line(kept.line)?) else { return Ok(false) };
    let found = Path::new(&record.path).metadata().ok().filter(|m| m.is_file());
    Ok(found.is_some_and(|m| record.bytes.is_none_or(|b| b == m.len())))
}
