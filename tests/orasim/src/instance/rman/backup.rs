//! BACKUP: which files and logs go into which sets, then one set after the other.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fs,
    path::PathBuf,
    sync::Arc,
};

use super::{
    messages::{missing, ora},
    place,
    set::{Failed, How, SetPlan},
    Job, Tally,
};
use crate::{
    block::SIZE,
    controlfile::{Archived, ControlFile, Datafile},
    engine::State,
    instance::{Inner, Instance},
    oratime,
    pieces::{
        api::{Backup, Event, Failure, Input, Message, Object, SetKind, Skipped, Step, What},
        records::{Records, SetType},
        select::{self, Choice},
    },
};

#[derive(Debug)]
enum Task {
    Announce(SetPlan),
    Run(SetPlan),
    DeleteInput(SetPlan),
    AnnounceAutobackup,
    Autobackup,
}

#[derive(Debug)]
pub(super) struct BackupJob {
    request: Backup,
    tasks: VecDeque<Task>,
    /// Said before the first set.
    first: Vec<Event>,
    how: How,
    failed: Option<Failure>,
}

fn log_object(log: &Archived) -> Object {
    Object::Log {
        recid: log.recid,
        stamp: log.stamp,
        thread: log.thread,
        sequence: log.sequence,
        path: PathBuf::from(log.name.clone().unwrap_or_default()),
        first_time: log.first_time,
    }
}

impl Inner {
    /// How many backups of a file are as it is now, when it cannot have changed since.
    fn identical_backups(&self, control: &ControlFile, file: &Datafile) -> u32 {
        if self.state == State::Open && !file.read_only && !file.offline {
            return 0;
        }
        let same = control.rman.sets.iter().filter(|s| control.rman.complete(s)).flat_map(|s| &s.datafiles);
        same.filter(|d| {
            d.file == file.file
                && d.creation_scn == file.creation_scn
                && d.level != Some(1)
                && d.checkpoint_scn == file.checkpoint_scn
                && d.fuzzy_scn == 0
        })
        .count() as u32
    }

    /// The files of a command that are read, and what is said about the others.
    fn files_to_back_up(
        &self,
        request: &Backup,
        wanted: &crate::pieces::api::Files,
        events: &mut Vec<Event>,
    ) -> Result<Vec<Datafile>, Failure> {
        let control = self.control().map_err(|e| super::messages::failed(&e))?;
        if self.state == State::Open && !control.archivelog {
            let text = "cannot backup or copy active file in NOARCHIVELOG mode";
            return Err(Failure::on(0, vec![Message::ora(19602, text)]));
        }
        let whole = matches!(wanted, crate::pieces::api::Files::Database);
        let needed = match self.retention() {
            (Some(redundancy), _) => redundancy + 1,
            _ => 1,
        };
        let mut files = Vec::new();
        for file in place::files(control, wanted)? {
            let skip = |reason| Event::SkippingFile { file: file.file, path: file.path.clone(), reason };
            let backups = || {
                let all = control.rman.sets.iter().flat_map(|s| &s.datafiles);
                all.filter(|d| d.file == file.file && d.level != Some(1)).count()
            };
            let compromised = || Event::Compromised {
                tablespace: control.tablespace_of(&file).map(|t| t.name.clone()).unwrap_or_default(),
            };
            if request.skip_offline && file.offline {
                events.push(skip(Skipped::Offline));
                if backups() == 0 {
                    events.push(compromised());
                }
                continue;
            }
            if request.skip_read_only && file.read_only {
                events.push(skip(Skipped::ReadOnly));
                continue;
            }
            if let Err(e) = self.header_of(&file) {
                if request.skip_inaccessible {
                    events.push(skip(Skipped::Inaccessible));
                    if backups() == 0 {
                        events.push(compromised());
                    }
                    continue;
                }
                let mut lines = vec![Message::rman(6056, format!("could not access datafile {}", file.file))];
                lines.extend(ora(&crate::instance::life::header_error(&e, &file)));
                return Err(Failure::new(lines));
            }
            let identical = self.identical_backups(control, &file);
            if whole && self.optimization() && !request.force && !request.validate && identical >= needed {
                events.push(skip(Skipped::BackedUp(identical)));
                continue;
            }
            if let Some(since) = request.not_backed_up_since {
                let fresh = control.rman.sets.iter().any(|s| {
                    s.completion >= since
                        && control.rman.complete(s)
                        && s.datafiles.iter().any(|d| d.file == file.file)
                });
                if fresh {
                    events.push(skip(Skipped::BackedUp(1)));
                    continue;
                }
            }
            if file.backup_active {
                let text = format!("WARNING: file {} is in backup mode", file.file);
                events.push(Event::Message(Message::rman(6554, text)));
            }
            files.push(file);
        }
        Ok(files)
    }

    fn datafile_sets(
        &self,
        request: &Backup,
        mut files: Vec<Datafile>,
        how: &How,
        events: &mut Vec<Event>,
    ) -> Result<Vec<SetPlan>, Failure> {
        let control = self.control().map_err(|e| super::messages::failed(&e))?;
        let lineage = control.lineage();
        let none = BTreeSet::new();
        let choice = Choice {
            records: &control.rman,
            lineage: &lineage,
            until: u64::MAX,
            until_time: None,
            tag: None,
            failed: &none,
        };
        // Large files first, as RMAN mixes them.
        files.sort_by_key(|f| (std::cmp::Reverse(f.blocks), f.file));
        let mut groups: BTreeMap<(u32, u8), Vec<(Datafile, u64)>> = BTreeMap::new();
        for file in files {
            let (kind, from) = match request.level {
                None => (0, 0),
                Some(0) => (1, 0),
                Some(_) => match choice.parent(&file, request.cumulative) {
                    Some(parent) => (2, parent.checkpoint_scn),
                    None => {
                        events.push(Event::NoParent { file: file.file });
                        (1, 0)
                    }
                },
            };
            groups.entry((file.con_id, kind)).or_default().push((file, from));
        }
        events.sort_by_key(|e| match e {
            Event::NoParent { file } => *file,
            _ => 0,
        });
        let mut sets = Vec::new();
        for ((_, kind), group) in groups {
            let set_type = match kind {
                0 => SetType::Full,
                1 => SetType::Level0,
                _ => SetType::Level1,
            };
            let channels = request.channels.max(1) as usize;
            let per_set = (request.files_per_set.unwrap_or(64).max(1) as usize)
                .min(group.len().div_ceil(channels).max(1));
            let plan = |files: Vec<(u32, u64)>| SetPlan {
                set_type,
                files,
                logs: Vec::new(),
                controlfile: false,
                spfile: false,
                autobackup: None,
                channel: 0,
                cumulative: request.cumulative && set_type == SetType::Level1,
            };
            let mut open: Vec<(u32, u64)> = Vec::new();
            let mut bytes = 0;
            for (file, from) in group {
                let size = u64::from(file.blocks) * SIZE as u64;
                if how.section.is_some_and(|s| file.blocks > s) {
                    sets.push(plan(vec![(file.file, from)]));
                    continue;
                }
                if let Some(max) = request.max_set_size {
                    if size > max {
                        let text = format!(
                            "datafile or datafile copy {} (file number {}) larger than MAXSETSIZE",
                            file.path.display(),
                            file.file
                        );
                        return Err(Failure::new(vec![Message::rman(6183, text)]));
                    }
                }
                if open.len() >= per_set || request.max_set_size.is_some_and(|max| bytes + size > max) {
                    sets.push(plan(std::mem::take(&mut open)));
                    bytes = 0;
                }
                open.push((file.file, from));
                bytes += size;
            }
            if !open.is_empty() {
                sets.push(plan(open));
            }
        }
        Ok(sets)
    }

    /// One file per log, of whatever destination has it.
    fn logs_to_back_up(
        &self,
        request: &Backup,
        wanted: &crate::pieces::api::Logs,
        events: &mut Vec<Event>,
    ) -> Result<Vec<Archived>, Failure> {
        let control = self.control().map_err(|e| super::messages::failed(&e))?;
        let mut chosen: BTreeMap<(u64, u16, u32), Archived> = BTreeMap::new();
        let mut lost: BTreeMap<(u64, u16, u32), PathBuf> = BTreeMap::new();
        let mut skipped: Vec<(u16, u32)> = Vec::new();
        let all = crate::pieces::api::Logs { not_backed_up: None, ..wanted.clone() };
        for log in place::local_logs(control, &all) {
            let key = (log.resetlogs_scn, log.thread, log.sequence);
            let backups = select::log_backups(&control.rman, log);
            let limit = match wanted.not_backed_up {
                Some(n) => Some(n),
                None if self.optimization() && !request.force && !request.validate => Some(1),
                None => None,
            };
            if limit.is_some_and(|n| backups >= n) {
                if !skipped.contains(&(log.thread, log.sequence)) {
                    skipped.push((log.thread, log.sequence));
                }
                continue;
            }
            let path = PathBuf::from(log.name.clone().unwrap_or_default());
            if path.is_file() {
                chosen.insert(key, log.clone());
            } else if !chosen.contains_key(&key) {
                lost.entry(key).or_insert(path);
            }
        }
        lost.retain(|key, _| !chosen.contains_key(key));
        if request.skip_inaccessible {
            let warning = "WARNING: skipping archived log compromises recoverability";
            events.extend(lost.keys().map(|_| Event::Message(Message::rman(6061, warning))));
        } else if let Some(path) = lost.into_values().next() {
            let text = "expected archived log not found, loss of archived log compromises recoverability";
            let mut lines = vec![Message::rman(6059, text)];
            let mut below = missing(&path);
            below[0] = Message::ora(19625, format!("error identifying file {}", path.display()));
            lines.extend(below);
            return Err(Failure::new(lines));
        }
        skipped.sort_unstable();
        let mut ranges: Vec<(u16, u32, u32)> = Vec::new();
        for (thread, sequence) in skipped {
            match ranges.last_mut() {
                Some((t, _, to)) if *t == thread && *to + 1 == sequence => *to = sequence,
                _ => ranges.push((thread, sequence, sequence)),
            }
        }
        events.extend(ranges.into_iter().map(|(thread, from, to)| Event::SkippingLogs { thread, from, to }));
        if chosen.is_empty() {
            events.push(Event::NoLogs);
        }
        Ok(chosen.into_values().collect())
    }
}

impl BackupJob {
    pub(super) fn plan(instance: &Arc<Instance>, request: &Backup) -> Result<Self, Failure> {
        let inner = instance.lock();
        inner.control().map_err(|e| super::messages::failed(&e))?;
        let formats = if request.format.is_empty() {
            inner.channel_format().into_iter().collect()
        } else {
            request.format.clone()
        };
        let tag = request.tag.as_ref().map(|t| t.to_uppercase());
        let how = How {
            formats,
            old_u: request.old_u,
            tag: Some(tag.unwrap_or_else(|| oratime::now().format("TAG%Y%m%dT%H%M%S").to_string())),
            max_piece: request.max_piece_size.or_else(|| inner.channel_piece_size()),
            section: request.section_size.map(|s| ((s / SIZE as u64).max(1)) as u32),
            compressed: request.compressed || inner.compressed_by_default(),
            copies: request.copies.clamp(1, 4),
            max_corrupt: request.max_corrupt.iter().copied().collect(),
            validate: request.validate,
        };
        if how.section.is_some() && how.max_piece.is_some() {
            let text = "MAXPIECESIZE and SECTION SIZE options cannot be both specified";
            return Err(Failure::new(vec![Message::rman(6586, text)]));
        }
        let mut first = Vec::new();
        let mut sets = Vec::new();
        let (mut controlfile, mut spfile) = (request.include_controlfile, false);
        for what in &request.what {
            match what {
                What::Files(files) => {
                    let files = inner.files_to_back_up(request, files, &mut first)?;
                    // Without an autobackup the control file goes with SYSTEM.
                    if files.iter().any(|f| f.file == 1) && !inner.autobackup_on() {
                        controlfile = true;
                        spfile = true;
                    }
                    sets.extend(inner.datafile_sets(request, files, &how, &mut first)?);
                }
                What::Logs(logs) => {
                    let logs = inner.logs_to_back_up(request, logs, &mut first)?;
                    let channels = request.channels.max(1) as usize;
                    let per_set = (request.files_per_set.unwrap_or(64).max(1) as usize)
                        .min(logs.len().div_ceil(channels).max(1));
                    for chunk in logs.chunks(per_set) {
                        sets.push(SetPlan {
                            set_type: SetType::Logs,
                            files: Vec::new(),
                            logs: chunk.to_vec(),
                            controlfile: false,
                            spfile: false,
                            autobackup: None,
                            channel: 0,
                            cumulative: false,
                        });
                    }
                }
                What::CurrentControlfile => controlfile = true,
                What::Spfile => spfile = true,
            }
        }
        if controlfile || spfile {
            sets.push(SetPlan {
                set_type: match request.level {
                    Some(0) => SetType::Level0,
                    Some(_) => SetType::Level1,
                    None => SetType::Full,
                },
                files: Vec::new(),
                logs: Vec::new(),
                controlfile,
                spfile,
                autobackup: None,
                channel: 0,
                cumulative: false,
            });
        }
        let mut tasks = VecDeque::new();
        let channels = request.channels.max(1) as usize;
        for (i, set) in sets.iter_mut().enumerate() {
            set.channel = (i % channels) as u32;
        }
        // Every channel has begun a set before the first one ends.
        for set in sets.iter().take(channels) {
            tasks.push_back(Task::Announce(set.clone()));
        }
        for (i, set) in sets.iter().enumerate() {
            tasks.push_back(Task::Run(set.clone()));
            if (request.delete_input || request.delete_all) && !set.logs.is_empty() && !request.validate {
                tasks.push_back(Task::DeleteInput(set.clone()));
            }
            if let Some(next) = sets.get(i + channels) {
                tasks.push_back(Task::Announce(next.clone()));
            }
        }
        if request.autobackup && inner.autobackup_on() && !request.validate && !tasks.is_empty() {
            tasks.push_back(Task::AnnounceAutobackup);
            tasks.push_back(Task::Autobackup);
        }
        Ok(Self { request: request.clone(), tasks, first, how, failed: None })
    }

    fn announce(&self, instance: &Instance, plan: &SetPlan) -> Vec<Event> {
        let inner = instance.lock();
        let mut inputs: Vec<Input> = Vec::new();
        if let Ok(control) = inner.control() {
            inputs.extend(plan.files.iter().filter_map(|(n, _)| {
                control.datafile(*n).map(|f| Input::Datafile { file: *n, path: f.path.clone() })
            }));
        }
        inputs.extend(plan.logs.iter().map(|l| Input::Log {
            thread: l.thread,
            sequence: l.sequence,
            recid: l.recid,
            stamp: l.stamp,
        }));
        if plan.controlfile {
            inputs.push(Input::Controlfile);
        }
        if plan.spfile {
            inputs.push(Input::Spfile);
        }
        let kind = match plan.set_type {
            SetType::Full => SetKind::Full,
            SetType::Level0 => SetKind::Incremental(0),
            SetType::Level1 => SetKind::Incremental(1),
            SetType::Logs => SetKind::Logs,
        };
        let start = Event::SetStart { channel: plan.channel, kind, compressed: self.how.compressed, inputs };
        if self.how.validate {
            return vec![start];
        }
        vec![start, Event::PieceStart { channel: plan.channel, piece: 1, at: oratime::now() }]
    }

    fn run(
        &mut self,
        instance: &Arc<Instance>,
        plan: &SetPlan,
        tally: &mut Tally,
    ) -> Result<Vec<Event>, Failure> {
        let begun = std::time::Instant::now();
        let written = match instance.write_set(plan, &self.how, tally) {
            Ok(written) => written,
            Err(Failed::Lines(lines)) => return Err(Failure::on(plan.channel, lines)),
            Err(Failed::Died) => {
                tally.died = true;
                return Err(Failure::new(Vec::new()));
            }
        };
        let mut events = Vec::new();
        let channel = plan.channel;
        for done in &written.pieces {
            if done.piece > 1 {
                events.push(Event::PieceStart { channel, piece: done.piece, at: done.started });
            }
            events.push(Event::PieceEnd {
                channel,
                piece: done.piece,
                at: done.at,
                handles: done.handles.clone(),
                tag: self.how.tag.clone(),
            });
        }
        if self.how.validate {
            for (file, path, marked_corrupt, empty, examined, high_scn) in written.validated {
                events.push(Event::FileValidated {
                    file,
                    path,
                    failed: marked_corrupt > 0,
                    marked_corrupt,
                    empty,
                    examined,
                    high_scn,
                });
            }
            for (log, examined) in written.log_blocks {
                events.push(Event::LogValidated {
                    thread: log.thread,
                    sequence: log.sequence,
                    path: PathBuf::from(log.name.unwrap_or_default()),
                    failed: false,
                    corrupt: 0,
                    examined,
                });
            }
        }
        events.push(Event::SetEnd { channel, seconds: begun.elapsed().as_secs() });
        Ok(events)
    }

    fn delete_input(&self, instance: &Instance, plan: &SetPlan) -> Result<Vec<Event>, Failure> {
        let mut inner = instance.lock();
        let mut inputs = plan.logs.clone();
        if self.request.delete_all {
            let control = inner.control().map_err(|e| super::messages::failed(&e))?;
            let same = |a: &Archived| {
                plan.logs.iter().any(|l| {
                    (l.thread, l.sequence, l.resetlogs_scn) == (a.thread, a.sequence, a.resetlogs_scn)
                })
            };
            let all = control.archived.iter().filter(|a| !a.deleted && !a.standby_dest && same(a));
            inputs = all.cloned().collect();
        }
        let (events, gone) = inner.delete_logs(&inputs, false)?;
        let mut out = Vec::new();
        if !gone.is_empty() {
            out.push(Event::Deleting { channel: plan.channel, logs: gone });
        }
        out.extend(events);
        Ok(out)
    }

    fn autobackup(&self, instance: &Arc<Instance>, tally: &mut Tally) -> Result<Vec<Event>, Failure> {
        let format = tally.autobackup_format.clone().or_else(|| instance.lock().autobackup_format());
        let number = instance.lock().next_autobackup();
        let plan = SetPlan {
            set_type: SetType::Full,
            files: Vec::new(),
            logs: Vec::new(),
            controlfile: true,
            spfile: true,
            autobackup: Some(number),
            channel: 0,
            cumulative: false,
        };
        let how = How {
            formats: format.into_iter().collect(),
            tag: None,
            max_piece: None,
            section: None,
            compressed: false,
            copies: 1,
            ..self.how.clone()
        };
        match instance.write_set(&plan, &how, tally) {
            Ok(written) => {
                tally.autobackup = true;
                let handles = written.pieces.into_iter().flat_map(|p| p.handles);
                let mut events: Vec<Event> = handles.map(|handle| Event::Autobackup { handle }).collect();
                events.push(Event::AutobackupEnd { at: oratime::now() });
                Ok(events)
            }
            Err(Failed::Died) => {
                tally.died = true;
                Err(Failure::new(Vec::new()))
            }
            Err(Failed::Lines(lines)) => {
                let command = Some("Control File and SPFILE Autobackup".to_owned());
                Err(Failure { command, ..Failure::on(0, lines) })
            }
        }
    }
}

impl Inner {
    /// Day and number of the next autobackup.
    fn next_autobackup(&mut self) -> (u32, u32) {
        let day = oratime::now().format("%Y%m%d").to_string().parse().unwrap_or(0);
        let Ok(control) = self.control_mut() else { return (day, 0) };
        let number = match control.rman.last_autobackup {
            Some((last, number)) if last == day => number + 1,
            _ => 0,
        };
        control.rman.last_autobackup = Some((day, number));
        (day, number)
    }

    /// Deletes files of archived logs that the deletion policy lets go. What is said about the others, and what is gone.
    pub(super) fn delete_logs(
        &mut self,
        logs: &[Archived],
        force: bool,
    ) -> Result<(Vec<Event>, Vec<Object>), Failure> {
        let policy = self.deletion_policy();
        let control = self.control().map_err(|e| super::messages::failed(&e))?;
        let mut events = Vec::new();
        let mut gone = Vec::new();
        let mut keys = Vec::new();
        for log in logs {
            let path = PathBuf::from(log.name.clone().unwrap_or_default());
            if let Some(message) = kept(control, &control.rman, &policy, log).filter(|_| !force) {
                events.push(Event::LogKept { message, path, thread: log.thread, sequence: log.sequence });
                continue;
            }
            match fs::remove_file(&path) {
                Ok(()) => {}
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                    events.push(Event::Mismatched(log_object(log)));
                    continue;
                }
                Err(e) => {
                    let text = format!("error deleting archived log {}\n{e}", path.display());
                    return Err(Failure::new(vec![Message::ora(27056, text)]));
                }
            }
            gone.push(log_object(log));
            keys.push(log.recid);
        }
        if let Ok(open) = self.control_open() {
            for a in open.data.archived.iter_mut().filter(|a| keys.contains(&a.recid)) {
                a.deleted = true;
            }
            let written = open.rewrite();
            written.map_err(|e| super::messages::failed(&crate::instance::io_error(&e)))?;
        }
        Ok((events, gone))
    }
}

/// Why the deletion policy keeps a log.
fn kept(control: &ControlFile, records: &Records, policy: &str, log: &Archived) -> Option<Message> {
    if let Some(at) = policy.find("BACKED UP") {
        let n = policy[at..].split(|c: char| !c.is_ascii_digit()).find_map(|w| w.parse().ok()).unwrap_or(1);
        if select::log_backups(records, log) < n {
            return Some(Message::rman(8138, "WARNING: archived log not deleted - must create more backups"));
        }
    }
    if policy.contains("STANDBY") {
        let same = |a: &&Archived| {
            a.standby_dest
                && (a.thread, a.sequence, a.resetlogs_scn) == (log.thread, log.sequence, log.resetlogs_scn)
        };
        let there: Vec<&Archived> = control.archived.iter().filter(same).collect();
        let good =
            if policy.contains("APPLIED") { there.iter().any(|a| a.applied) } else { !there.is_empty() };
        if !good {
            let text = "WARNING: archived log not deleted, not yet applied by standby";
            return Some(if policy.contains("APPLIED") {
                Message::rman(8120, text)
            } else {
                Message::rman(
                    8137,
                    "WARNING: archived log not deleted, needed for standby or upstream capture process",
                )
            });
        }
    }
    None
}

impl Job for BackupJob {
    fn next(&mut self, instance: &Arc<Instance>, tally: &mut Tally) -> Step {
        let mut events = std::mem::take(&mut self.first);
        let Some(task) = self.tasks.pop_front() else {
            return Step { events, done: true, failure: self.failed.take() };
        };
        let result = match task {
            Task::Announce(plan) => {
                events.extend(self.announce(instance, &plan));
                return Step { events, done: false, failure: None };
            }
            Task::Run(plan) => self.run(instance, &plan, tally),
            Task::DeleteInput(plan) => self.delete_input(instance, &plan),
            Task::AnnounceAutobackup if self.failed.is_some() => {
                // After a failure there is none.
                self.tasks.clear();
                Ok(Vec::new())
            }
            Task::AnnounceAutobackup => Ok(vec![Event::AutobackupStart { at: oratime::now() }]),
            Task::Autobackup => self.autobackup(instance, tally),
        };
        match result {
            Ok(more) => events.extend(more),
            Err(failure) if self.request.channels > 1 && failure.channel.is_some() && !tally.died => {
                // What a failed set would have deleted stays.
                if matches!(self.tasks.front(), Some(Task::DeleteInput(_))) {
                    self.tasks.pop_front();
                }
                events.push(Event::ChannelFailed(failure.clone()));
                self.failed.get_or_insert(failure);
            }
            Err(failure) => return Step::failed(events, failure),
        }
        if self.tasks.is_empty() {
            return Step { events, done: true, failure: self.failed.take() };
        }
        Step { events, done: false, failure: None }
    }
}
