//! RESTORE CONTROLFILE and RESTORE SPFILE, from a piece, from an autobackup, or from what a mounted control file knows.

use std::{
    fs,
    path::{Path, PathBuf},
};

use chrono::NaiveDate;

use super::{
    messages::{create_error, failed, piece_error},
    pieces::text_of,
    until, Tally,
};
use crate::{
    controlfile::ControlFile,
    engine::State,
    instance::{Inner, Instance},
    oratime,
    pieces::{
        api::{Event, Failure, Message, Mode, Restoring, Source, Step},
        format::{Damage, Kind, Reader},
        names::Naming,
        records::BackupSet,
    },
};

fn no_autobackup() -> Failure {
    let text = "no AUTOBACKUP found or specified handle is not a valid copy or piece";
    Failure::new(vec![Message::rman(6172, text)])
}

/// Every piece below a directory of the recovery area that is of this database, newest first.
fn in_area(area: &Path, unique: &str, dbid: Option<u32>, until: Option<NaiveDate>) -> Vec<PathBuf> {
    let mut found: Vec<(chrono::NaiveDateTime, u32, PathBuf)> = Vec::new();
    let days = fs::read_dir(area.join(unique).join("autobackup")).into_iter().flatten().flatten();
    for day in days {
        for entry in fs::read_dir(day.path()).into_iter().flatten().flatten() {
            let path = entry.path();
            let Ok(reader) = Reader::open(&path) else { continue };
            let start = reader.header.start;
            let fits =
                dbid.is_none_or(|d| reader.header.dbid == d) && until.is_none_or(|u| start.date() <= u);
            if fits {
                found.push((start, reader.header.set_count, path));
            }
        }
    }
    found.sort();
    found.into_iter().rev().map(|(_, _, path)| path).collect()
}

impl Inner {
    /// The newest set that has what is wanted, by the mounted control file.
    fn known_piece(
        &self,
        until: Option<&crate::pieces::api::Until>,
        wanted: impl Fn(&BackupSet) -> bool,
        code: (u32, &str),
    ) -> Result<Vec<PathBuf>, Failure> {
        let control = self.control().map_err(|e| failed(&e))?;
        let limit = until::resolve(control, until)?;
        let mut sets: Vec<&BackupSet> = control
            .rman
            .sets
            .iter()
            .filter(|s| wanted(s) && control.rman.complete(s))
            .filter(|s| s.controlfile.as_ref().is_none_or(|c| c.checkpoint_scn <= limit.scn))
            .filter(|s| limit.time.is_none_or(|t| s.completion < t))
            .collect();
        sets.sort_by_key(|s| std::cmp::Reverse((s.completion, s.recid)));
        let handles: Vec<PathBuf> =
            sets.iter().filter_map(|s| control.rman.available(s).first().map(|p| p.handle.clone())).collect();
        if handles.is_empty() {
            let lines = vec![
                Message::rman(6026, "some targets not found - aborting restore"),
                Message::rman(code.0, code.1),
            ];
            return Err(Failure::new(lines));
        }
        Ok(handles)
    }

    /// Handles to try in their order, with what is said about the search.
    fn autobackups(
        &self,
        dbid: Option<u32>,
        format: Option<&str>,
        (max_days, max_seq): (u32, u32),
        from: Option<NaiveDate>,
        events: &mut Vec<Event>,
    ) -> Result<Vec<PathBuf>, Failure> {
        let own = self.control.as_ref().map(|c| c.data.dbid);
        let dbid = dbid.or(own);
        let today = from.unwrap_or_else(|| oratime::now().date());
        let configured = self.autobackup_format();
        let format = format.map(str::to_owned).or(configured);
        if let (None, Some(area)) = (&format, self.recovery_area()) {
            let found = in_area(&area, &self.unique_name(), dbid, from);
            if let Some(first) = found.first() {
                events.push(Event::AutobackupFound {
                    channel: 0,
                    handle: first.clone(),
                    in_recovery_area: true,
                });
                return Ok(found);
            }
        }
        let Some(dbid) = dbid else {
            let text = "must explicitly specify DBID with SET DBID command";
            return Err(Failure::new(vec![Message::rman(6495, text)]));
        };
        let format = format.unwrap_or_else(|| "%F".to_owned());
        for back in 0..max_days.max(1) {
            let Some(date) = today.checked_sub_days(chrono::Days::new(u64::from(back))) else { break };
            let day: u32 = date.format("%Y%m%d").to_string().parse().unwrap_or(0);
            events.push(Event::LookingForAutobackup { channel: 0, day });
            for number in (0..=max_seq.min(255)).rev() {
                let naming = Naming {
                    db_name: self.spec.name.to_uppercase(),
                    dbid,
                    set_stamp: 0,
                    set_count: 0,
                    piece: 1,
                    copy: 1,
                    now: oratime::now(),
                    autobackup: Some((day, number)),
                    old_u: false,
                };
                let path = naming.expand(&format);
                let path = if path.is_absolute() { path } else { self.dir.join("dbs").join(path) };
                if path.is_file() {
                    events.push(Event::AutobackupFound {
                        channel: 0,
                        handle: path.clone(),
                        in_recovery_area: false,
                    });
                    return Ok(vec![path]);
                }
            }
        }
        events.push(Event::NoAutobackup { channel: 0, days: max_days });
        Err(no_autobackup())
    }
}

/// The text of a control file or SPFILE in a piece, or in a copy of a control file.
fn content(path: &Path, kind: Kind) -> Result<String, Failure> {
    if kind == Kind::Controlfile {
        if let Ok(text) = fs::read_to_string(path) {
            if ControlFile::from_text(&text).is_ok() {
                return Ok(text);
            }
        }
    }
    match Reader::open(path) {
        Err(Damage::Missing | Damage::NotAPiece) => return Err(no_autobackup()),
        Err(damage) => return Err(Failure::new(piece_error(path, &damage))),
        Ok(_) => {}
    }
    let (_, text) = text_of(path, kind).map_err(Failure::new)?;
    text.ok_or_else(|| {
        let what = if kind == Kind::Controlfile { "control file" } else { "SPFILE" };
        Failure::new(vec![
            Message::ora(19870, format!("error while restoring backup piece {}", path.display())),
            if kind == Kind::Controlfile {
                Message::ora(19615, "some files not found in backup set")
            } else {
                Message::ora(19687, format!("{what} not found in backup set"))
            },
        ])
    })
}

impl Instance {
    /// Handles of a source, with the events of the search.
    fn handles(&self, from: &Source, kind: Kind, events: &mut Vec<Event>) -> Result<Vec<PathBuf>, Failure> {
        let inner = self.lock();
        match from {
            Source::Handle(path) => Ok(vec![path.clone()]),
            Source::Autobackup { dbid, format, max_days, max_seq, until } => inner.autobackups(
                *dbid,
                format.as_deref(),
                (*max_days, *max_seq),
                until.map(|u| u.date()),
                events,
            ),
            Source::Known { until } if kind == Kind::Controlfile => inner.known_piece(
                until.as_ref(),
                |s| s.controlfile.is_some(),
                (6024, "no backup or copy of the control file found to restore"),
            ),
            Source::Known { until } => inner.known_piece(
                until.as_ref(),
                |s| s.spfile.is_some(),
                (6729, "no backup of the SPFILE found to restore"),
            ),
        }
    }

    fn first_good(
        &self,
        handles: &[PathBuf],
        kind: Kind,
        events: &mut Vec<Event>,
    ) -> Result<(PathBuf, String), Failure> {
        let mut last = no_autobackup();
        for (i, handle) in handles.iter().enumerate() {
            match content(handle, kind) {
                Ok(text) => return Ok((handle.clone(), text)),
                Err(failure) => {
                    if i + 1 < handles.len() {
                        let lines = failure.lines.clone();
                        events.push(Event::Failover { channel: 0, lines, duplicate: false });
                    }
                    last = failure;
                }
            }
        }
        Err(last)
    }

    fn controlfile(
        &self,
        from: &Source,
        to: Option<&Path>,
        mode: Mode,
        events: &mut Vec<Event>,
    ) -> Result<(), Failure> {
        if self.lock().state == State::Down {
            return Err(Failure::new(vec![Message::ora(1034, "ORACLE not available")]));
        }
        let handles = self.handles(from, Kind::Controlfile, events)?;
        events.push(Event::RestoreStart { channel: 0, what: Restoring::Controlfile });
        let (handle, text) = self.first_good(&handles, Kind::Controlfile, events)?;
        if mode != Mode::Restore {
            events.push(Event::PieceValidated { channel: 0, handle, tag: None, piece: 1 });
            return Ok(());
        }
        let inner = self.lock();
        let paths = match to {
            Some(path) => vec![path.to_owned()],
            None => inner.control_files(),
        };
        if inner.state >= State::Mounted {
            if let Some(active) = paths.iter().find(|p| inner.control_files().contains(p)) {
                return Err(Failure::new(vec![
                    Message::ora(19870, format!("error while restoring backup piece {}", handle.display())),
                    Message::ora(19607, format!("{} is an active control file", active.display())),
                ]));
            }
        }
        for path in &paths {
            let made = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(path, &text));
            made.map_err(|e| Failure::new(create_error(path, &e)))?;
        }
        events.push(Event::ControlfileWritten { channel: 0, paths });
        Ok(())
    }

    pub(super) fn restore_controlfile(
        &self,
        from: &Source,
        to: Option<&Path>,
        mode: Mode,
        tally: &mut Tally,
    ) -> Step {
        let mut events = Vec::new();
        tally.newnames.clear();
        match self.controlfile(from, to, mode, &mut events) {
            Ok(()) => Step::last(events),
            Err(failure) => Step::failed(events, failure),
        }
    }

    fn spfile(
        &self,
        from: &Source,
        to: Option<&Path>,
        mode: Mode,
        events: &mut Vec<Event>,
    ) -> Result<(), Failure> {
        let handles = self.handles(from, Kind::Spfile, events)?;
        events.push(Event::RestoreStart { channel: 0, what: Restoring::Spfile });
        let (handle, text) = self.first_good(&handles, Kind::Spfile, events)?;
        if mode != Mode::Restore {
            events.push(Event::PieceValidated { channel: 0, handle, tag: None, piece: 1 });
            return Ok(());
        }
        let inner = self.lock();
        let path = to.map_or_else(|| inner.dir.join(format!("spfile{}.ora", inner.spec.sid)), Path::to_owned);
        let made = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(&path, &text));
        made.map_err(|e| Failure::new(create_error(&path, &e)))?;
        events.push(Event::SpfileWritten { channel: 0, path });
        Ok(())
    }

    pub(super) fn restore_spfile(&self, from: &Source, to: Option<&Path>, mode: Mode) -> Step {
        let mut events = Vec::new();
        match self.spfile(from, to, mode, &mut events) {
            Ok(()) => Step::last(events),
            Err(failure) => Step::failed(events, failure),
        }
    }
}
