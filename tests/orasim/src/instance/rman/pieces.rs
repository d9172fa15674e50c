//! Reading the pieces of a set back: datafiles, increments, logs, control file.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File, OpenOptions},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use super::messages::{create_error, piece_error};
use crate::{
    block::{self, SIZE},
    datafile::{self, Header},
    pieces::{
        api::Message,
        format::{Damage, Frame, Kind, Reader},
        records::{BackupSet, Piece},
    },
};

/// What is to be read: a set, and of each piece number the copies that may be tried.
#[derive(Debug, Clone)]
pub(super) struct SetPieces {
    pub(super) set: BackupSet,
    /// By number, then in order of preference.
    pub(super) pieces: BTreeMap<u32, Vec<Piece>>,
    pub(super) dbid: u32,
}

/// A piece that could not be read.
#[derive(Debug)]
pub(super) struct Bad {
    /// RECID of the piece, or 0 when it was not the piece.
    pub(super) recid: u32,
    pub(super) lines: Vec<Message>,
}

impl SetPieces {
    pub(super) fn of(
        control: &crate::controlfile::ControlFile,
        set: &BackupSet,
        bad: &BTreeSet<u32>,
    ) -> Option<Self> {
        let mut pieces: BTreeMap<u32, Vec<Piece>> = BTreeMap::new();
        for piece in control.rman.available(set) {
            if !bad.contains(&piece.recid) {
                pieces.entry(piece.piece).or_default().push(piece.clone());
            }
        }
        let whole = (1..=set.pieces).all(|n| pieces.contains_key(&n));
        whole.then(|| Self { set: set.clone(), pieces, dbid: control.dbid })
    }

    /// The pieces that are read: the first copy of each.
    pub(super) fn chosen(&self) -> impl Iterator<Item = &Piece> {
        self.pieces.values().filter_map(|copies| copies.first())
    }

    /// Every frame of every piece in turn; each piece is checked to be the right one and whole.
    pub(super) fn read(&self, each: &mut dyn FnMut(&Frame) -> Result<(), Vec<Message>>) -> Result<(), Bad> {
        for piece in self.chosen() {
            let bad = |lines| Bad { recid: piece.recid, lines };
            let damaged = |d: Damage| bad(piece_error(&piece.handle, &d));
            let with = |message| {
                let first = format!("error while restoring backup piece {}", piece.handle.display());
                bad(vec![Message::ora(19870, first), message])
            };
            let mut reader = Reader::open(&piece.handle).map_err(damaged)?;
            let header = &reader.header;
            if header.dbid != self.dbid {
                return Err(with(Message::ora(
                    19698,
                    format!(
                        "{} is from different database: id={}, db_name={}",
                        piece.handle.display(),
                        header.dbid,
                        header.db_name
                    ),
                )));
            }
            if (header.set_stamp, header.set_count) != (self.set.set_stamp, self.set.set_count) {
                return Err(with(Message::ora(19615, "some files not found in backup set")));
            }
            if header.piece != piece.piece {
                let text =
                    format!("backup piece out of order. Expected {} but found {}", piece.piece, header.piece);
                return Err(with(Message::ora(19611, text)));
            }
            while let Some(frame) = reader.next_frame().map_err(damaged)? {
                each(&frame).map_err(|lines| Bad { recid: 0, lines })?;
            }
        }
        Ok(())
    }

    /// Reads everything and keeps nothing.
    pub(super) fn validate(&self) -> Result<(), Bad> {
        self.read(&mut |_| Ok(()))
    }
}

fn disk(path: &Path, block: u32, e: &std::io::Error) -> Vec<Message> {
    super::messages::write_error(path, u64::from(block), e)
}

struct Restoring {
    path: PathBuf,
    file: File,
    header: Header,
    blocks: u32,
}

/// Writes the wanted datafiles of a set (number and path). What fails is removed; what succeeds has its header last.
pub(super) fn restore_datafiles(from: &SetPieces, wanted: &[(u32, PathBuf)]) -> Result<(), Bad> {
    let mut open: BTreeMap<u32, Restoring> = BTreeMap::new();
    let result = from.read(&mut |frame| match frame.kind {
        Kind::FileHeader => {
            let Some((number, path)) = wanted.iter().find(|(n, _)| *n == frame.file) else { return Ok(()) };
            let header = Header::decode(&frame.bytes).ok_or_else(|| {
                vec![Message::ora(19613, format!("datafile {number} not found in backup set"))]
            })?;
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent).map_err(|e| create_error(path, &e))?;
            }
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(path)
                .map_err(|e| create_error(path, &e))?;
            if !datafile::take(&file) {
                return Err(vec![Message::ora(
                    19573,
                    format!("cannot obtain exclusive enqueue for datafile {number}"),
                )]);
            }
            let size = (u64::from(header.blocks) + 1) * SIZE as u64;
            file.set_len(0)
                .and_then(|()| file.set_len(size))
                .and_then(|()| file.write_all_at(&datafile::os_block(header.blocks), 0))
                .and_then(|()| datafile::format(&file, header.file, 2, header.blocks, header.creation_scn))
                .map_err(|e| disk(path, 1, &e))?;
            open.insert(*number, Restoring { path: path.clone(), file, header, blocks: 1 });
            Ok(())
        }
        Kind::Block => {
            let Some(target) = open.get_mut(&frame.file) else { return Ok(()) };
            target.blocks += 1;
            target
                .file
                .write_all_at(&frame.bytes, u64::from(frame.at) * SIZE as u64)
                .map_err(|e| disk(&target.path, frame.at, &e))
        }
        _ => Ok(()),
    });
    let result = result.and_then(|()| finish(from, wanted, &open));
    if result.is_err() {
        for target in open.values() {
            let _ = fs::remove_file(&target.path);
        }
    }
    result
}

fn finish(from: &SetPieces, wanted: &[(u32, PathBuf)], open: &BTreeMap<u32, Restoring>) -> Result<(), Bad> {
    let nothing = |number: u32| Bad {
        recid: from.chosen().next().map_or(0, |p| p.recid),
        lines: vec![
            Message::ora(19615, "some files not found in backup set"),
            Message::ora(19613, format!("datafile {number} not found in backup set")),
        ],
    };
    for (number, _) in wanted {
        let row = from.set.datafiles.iter().find(|d| d.file == *number).ok_or_else(|| nothing(*number))?;
        let target = open.get(number).ok_or_else(|| nothing(*number))?;
        if target.blocks != row.blocks {
            return Err(Bad {
                recid: from.chosen().next().map_or(0, |p| p.recid),
                lines: vec![Message::ora(
                    19612,
                    format!("datafile {number} not restored due to missing data"),
                )],
            });
        }
        let mut header = target.header.clone();
        header.fuzzy_scn = row.fuzzy_scn;
        let written = target.file.sync_all().and_then(|()| header.write(&target.file));
        written
            .and_then(|()| target.file.sync_all())
            .map_err(|e| Bad { recid: 0, lines: disk(&target.path, 1, &e) })?;
    }
    Ok(())
}

/// Applies a level 1 to restored files. The pieces are read twice: a damaged one must not be found in the middle.
pub(super) fn apply_increment(from: &SetPieces, wanted: &[(u32, PathBuf)]) -> Result<(), Bad> {
    let mut counted: BTreeMap<u32, u32> = BTreeMap::new();
    from.read(&mut |frame| {
        if matches!(frame.kind, Kind::Block | Kind::FileHeader) {
            *counted.entry(frame.file).or_default() += 1;
        }
        Ok(())
    })?;
    for (number, _) in wanted {
        let row = from.set.datafiles.iter().find(|d| d.file == *number);
        if row.is_none_or(|r| counted.get(number) != Some(&r.blocks)) {
            return Err(Bad {
                recid: from.chosen().next().map_or(0, |p| p.recid),
                lines: vec![Message::ora(19613, format!("datafile {number} not found in backup set"))],
            });
        }
    }
    let mut open: BTreeMap<u32, Restoring> = BTreeMap::new();
    from.read(&mut |frame| match frame.kind {
        Kind::FileHeader => {
            let Some((number, path)) = wanted.iter().find(|(n, _)| *n == frame.file) else { return Ok(()) };
            let Some(row) = from.set.datafiles.iter().find(|d| d.file == *number) else { return Ok(()) };
            let mut header = Header::decode(&frame.bytes).ok_or_else(|| {
                vec![Message::ora(19613, format!("datafile {number} not found in backup set"))]
            })?;
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .open(path)
                .map_err(|_| super::messages::missing(path))?;
            if !datafile::take(&file) {
                let text = format!("cannot obtain exclusive enqueue for datafile {number}");
                return Err(vec![Message::ora(19573, text)]);
            }
            let mut old = Header::read(&file).map_err(|e| {
                vec![Message::ora(19625, format!("error identifying file {}: {}", path.display(), e.text()))]
            })?;
            if old.checkpoint_scn < row.incremental_scn {
                return Err(vec![
                    Message::ora(
                        19638,
                        format!(
                            "file {} is not current enough to apply this incremental backup",
                            path.display()
                        ),
                    ),
                    Message::ora(
                        19642,
                        format!("start SCN of incremental backup is {}", row.incremental_scn),
                    ),
                    Message::ora(19640, format!("datafile checkpoint is SCN {}", old.checkpoint_scn)),
                ]);
            }
            // From here on until the new header is there, the file needs everything up to the newest block.
            old.fuzzy_scn = old.fuzzy_scn.max(row.fuzzy_scn).max(row.checkpoint_scn);
            header.fuzzy_scn = row.fuzzy_scn;
            let size = (u64::from(header.blocks) + 1) * SIZE as u64;
            old.write(&file)
                .and_then(|()| file.sync_all())
                .and_then(|()| file.set_len(size))
                .and_then(|()| file.write_all_at(&datafile::os_block(header.blocks), 0))
                .map_err(|e| disk(path, 1, &e))?;
            open.insert(*number, Restoring { path: path.clone(), file, header, blocks: 1 });
            Ok(())
        }
        Kind::Block => {
            let Some(target) = open.get_mut(&frame.file) else { return Ok(()) };
            let number = frame.file;
            let newer = datafile::read_block(&target.file, frame.at).is_ok_and(|b| {
                block::check(&b, block::TYPE_DATA, block::rdba(number, frame.at)).is_ok()
                    && block::scn(&b) > block::scn(&frame.bytes)
            });
            if newer {
                return Ok(());
            }
            target
                .file
                .write_all_at(&frame.bytes, u64::from(frame.at) * SIZE as u64)
                .map_err(|e| disk(&target.path, frame.at, &e))
        }
        _ => Ok(()),
    })?;
    for target in open.values() {
        target
            .file
            .sync_all()
            .and_then(|()| target.header.write(&target.file))
            .and_then(|()| target.file.sync_all())
            .map_err(|e| Bad { recid: 0, lines: disk(&target.path, 1, &e) })?;
    }
    Ok(())
}

/// Writes logs of a set (index in the set and path).
pub(super) fn restore_logs(from: &SetPieces, wanted: &[(u32, PathBuf)]) -> Result<(), Bad> {
    let mut open: BTreeMap<u32, (PathBuf, File)> = BTreeMap::new();
    let mut made: Vec<PathBuf> = Vec::new();
    let result = from.read(&mut |frame| {
        if frame.kind != Kind::Log {
            return Ok(());
        }
        let Some((index, path)) = wanted.iter().find(|(i, _)| *i == frame.file) else { return Ok(()) };
        let Some(log) = from.set.logs.get(*index as usize) else { return Ok(()) };
        if !open.contains_key(index) {
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent).map_err(|e| create_error(path, &e))?;
            }
            let file = File::create(path).map_err(|e| create_error(path, &e))?;
            made.push(path.clone());
            open.insert(*index, (path.clone(), file));
        }
        let Some((path, file)) = open.get(index) else { return Ok(()) };
        file.write_all_at(&frame.bytes, u64::from(frame.at) * u64::from(log.block_size))
            .map_err(|e| disk(path, frame.at, &e))
    });
    let result = result.and_then(|()| {
        for (index, path) in wanted {
            let log = from.set.logs.get(*index as usize);
            let right = crate::redolog::Log::read(path).is_ok_and(|read| {
                log.is_some_and(|l| (l.thread, l.sequence) == (read.header.thread, read.header.sequence))
            });
            if !right {
                let (t, s) = log.map_or((0, 0), |l| (l.thread, l.sequence));
                return Err(Bad {
                    recid: from.chosen().next().map_or(0, |p| p.recid),
                    lines: vec![
                        Message::ora(19615, "some files not found in backup set"),
                        Message::ora(
                            19614,
                            format!("archivelog thread {t} sequence {s} not found in backup set"),
                        ),
                    ],
                });
            }
        }
        open.values().try_for_each(|(path, file)| {
            file.sync_all().map_err(|e| Bad { recid: 0, lines: disk(path, 1, &e) })
        })
    });
    if result.is_err() {
        for path in made {
            let _ = fs::remove_file(path);
        }
    }
    result
}

/// The text of a control file or parameter file in one piece.
pub(super) fn text_of(path: &Path, kind: Kind) -> Result<(Reader, Option<String>), Vec<Message>> {
    let mut reader = Reader::open(path).map_err(|d| piece_error(path, &d))?;
    let mut bytes = Vec::new();
    let mut found = false;
    while let Some(frame) = reader.next_frame().map_err(|d| piece_error(path, &d))? {
        if frame.kind == kind {
            found = true;
            bytes.extend_from_slice(&frame.bytes);
        }
    }
    let text = found.then(|| String::from_utf8_lossy(&bytes).into_owned());
    Ok((reader, text))
}
