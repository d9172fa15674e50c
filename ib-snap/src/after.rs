//! After END BACKUP: the data snapshots settled, the redo archived, the archive snapshots, the marks, the records.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use common::app::Report;
use common::exit::{Exit, Failure};
use common::infinibox::{ApiError, Array, Kind, RedoMark, SetKind};
use common::lock::Lock;
use common::oracle::identifier::constant;
use common::oracle::script::Script;
use common::record::{self, Log, RecoveryWindow, Role, Snapshot, SnapshotKind, SnapshotState};
use common::signals;
use sha2::{Digest, Sha256};

use crate::coverage::{self, directory, Host, Thing};
use crate::held::Held;
use crate::keep::{settle, Kept, Proof};
use crate::pending::{Entry, Pending};
use crate::plan::{Half, How};
use crate::redo::{archive, can_be_looked_at, is_on_disk, window};
use crate::run::MAYBE;
use crate::snap::{wait, Snap, Stopped};
use crate::storage::{each, Shot, Taking, Told};
use crate::sync::{sync, Synced};

/// How long the first marks may take when the snapshots are there.
const MARKS: Duration = Duration::from_secs(30);
/// Before a mark is written once more.
const MARK_PAUSE: Duration = Duration::from_millis(300);
/// For an answer that came when nobody waited for it any more.
const STRAGGLER: Duration = Duration::from_secs(1);
/// For the snapshots of the archive volumes, which nobody is in a hurry for.
const ARCHIVE: Duration = Duration::from_secs(180);

pub struct After<'a> {
    snap: &'a Snap<'a>,
    lock: &'a Lock,
    entry: Entry,
    pub report: Report,
    /// Names of snapshots that the next run has to look for: they may still appear, or carry no mark.
    pub open: BTreeSet<String>,
    /// Names of snapshots that were there and are no more.
    gone: BTreeSet<String>,
    /// What is missing for a complete set although the data snapshots are good.
    partial: Vec<String>,
}

impl<'a> After<'a> {
    pub fn new(snap: &'a Snap<'a>, lock: &'a Lock, entry: Entry, report: Report) -> Self {
        Self { snap, lock, entry, report, open: BTreeSet::new(), gone: BTreeSet::new(), partial: Vec::new() }
    }

    /// Whether archive snapshots may exist.
    pub fn has_asked_for_archive(&self) -> bool {
        self.entry.snapshots.iter().any(|a| a.sent && a.kind == SetKind::Archive)
    }

    /// # Errors
    /// The database may still be in backup mode.
    pub fn all(
        &mut self,
        held: Held<Option<Vec<Shot>>>,
        taking: Option<Taking>,
        stopped: Option<Stopped>,
    ) -> anyhow::Result<()> {
        let data = &self.snap.plan.data;
        let doubted = match held.broken {
            Some(_) => Proof::None,
            None => Proof::Clock(held.window, self.snap.clock),
        };
        let (shots, seen) = match held.taken.flatten() {
            Some(shots) if held.broken.is_none() => (shots, Proof::Seen),
            Some(shots) => (shots, Proof::None),
            // Whatever is told from now on was told too late to prove itself.
            None => (taking.as_ref().map(straggler).unwrap_or_default(), doubted),
        };
        let kept = match &taking {
            Some(taking) => self.settled(data, shots, seen, doubted, taking)?,
            None => Vec::new(),
        };
        let ended = match held.ended {
            Ok(ended) => ended,
            Err(error) => {
                self.emit(data, &kept, SnapshotState::Incomplete)?;
                return Err(Failure::new(Exit::Failed, format!("{MAYBE}: {error:#}"))
                    .hint(
                        "look at V$BACKUP; the keeper goes on trying, and ib-snap --end-backup, or ALTER DATABASE END \
                         BACKUP by hand, does it when the database answers again",
                    )
                    .into());
            }
        };
        let mut why: Vec<String> = held.broken.into_iter().collect();
        why.extend(reasons(&kept));
        if !why.is_empty() || stopped == Some(Stopped::Cap) || taking.is_none() {
            self.emit(data, &kept, SnapshotState::Incomplete)?;
            return self.failed(why, stopped);
        }
        self.report.count("data_snapshots", kept.len() as u64);
        self.snap.setup.log.info(&format!("{} data snapshots were taken inside backup mode", kept.len()));
        self.lock.progress();
        let redo = self.redo(held.begin_scn, ended.scn)?;
        let archived = match (&redo, &self.snap.plan.archive) {
            (Some(_), Some(half)) => self.archive(half)?,
            _ => Vec::new(),
        };
        self.close(&kept, &archived, redo)
    }

    /// The data set is none: says so, and chooses the exit status.
    fn failed(&mut self, mut why: Vec<String>, stopped: Option<Stopped>) -> anyhow::Result<()> {
        let limit = humantime::format_duration(self.snap.setup.cli.max_backup_mode);
        match stopped {
            Some(Stopped::Cap) => {
                why.insert(0, format!("the array did not answer within --max-backup-mode {limit}"))
            }
            Some(Stopped::Signal) => why.insert(0, "the run was asked to stop".to_owned()),
            Some(Stopped::Lost) | None => {}
        }
        let text = format!(
            "the data snapshots do not count: {}; the database is out of backup mode",
            why.join("; ")
        );
        self.say(Log::error(text.clone()))?;
        self.report.message = Some(text);
        self.report.exit = Some(match stopped {
            Some(Stopped::Cap) => Exit::TimedOut,
            // The frame adds the signal, which is the cause.
            Some(Stopped::Signal) => Exit::Success,
            Some(Stopped::Lost) | None => Exit::Failed,
        });
        Ok(())
    }

    /// Settles one half and sees to it that what exists is marked as incomplete.
    fn settled(
        &mut self,
        half: &Half,
        shots: Vec<Shot>,
        seen: Proof,
        doubted: Proof,
        taking: &Taking,
    ) -> anyhow::Result<Vec<Kept>> {
        let kept = settle(self.snap.array, half, shots, seen, doubted, self.snap.lock, &taking.asker);
        let marked = first_marks(taking);
        for one in &kept {
            for warning in &one.warnings {
                self.say(Log::warning(warning.clone()))?;
                self.partial.push(warning.clone());
            }
            if one.pending {
                self.open.insert(one.member.name.clone());
            }
        }
        let unmarked: Vec<&Kept> =
            kept.iter().filter(|k| k.volume.as_ref().is_some_and(|v| !marked.contains(&v.id))).collect();
        let keys = self.snap.marks.incomplete(half);
        let put = each(&unmarked, |k| mark(self.snap.array, k, &keys));
        for (one, result) in unmarked.iter().zip(put) {
            if let Err(error) = result {
                self.unmarked(&one.member.name, &error)?;
            }
        }
        Ok(kept)
    }

    fn unmarked(&mut self, name: &str, error: &ApiError) -> anyhow::Result<()> {
        let text = format!("snapshot {name} has no mark: {error}");
        self.say(Log { code: error.code.clone(), ..Log::warning(text.clone()) })?;
        self.partial.push(text);
        if error.kind == Kind::NotFound {
            self.gone.insert(name.to_owned());
        }
        // What the array refuses today it refuses tomorrow.
        if error.is_unavailable() || error.maybe_executed() {
            self.open.insert(name.to_owned());
        }
        Ok(())
    }

    /// Archives the redo up to END BACKUP. `None`: the set cannot be recovered with what is archived.
    fn redo(&mut self, begin: u64, end: u64) -> anyhow::Result<Option<RedoMark>> {
        let setup = self.snap.setup;
        let db = &self.snap.facts.database;
        setup.log.info(&format!("archive the redo up to SCN {end}"));
        let logs = match archive(&setup.sqlplus, db.resetlogs_change, end, setup.cli.archive_timeout) {
            Ok(logs) => logs,
            Err(error) => {
                self.partial.push(format!("the redo up to END BACKUP is not archived: {error:#}"));
                return Ok(None);
            }
        };
        self.lock.progress();
        let found = window(&logs, begin, end, |copy| is_on_disk(copy) && self.is_covered(copy));
        setup.frame.out.emit(&RecoveryWindow {
            begin_scn: begin,
            end_scn: end,
            resetlogs_id: db.resetlogs_id,
            threads: found.threads.clone(),
        })?;
        for what in &found.threads {
            setup.log.info(&format!(
                "recovery needs thread {} sequence {} to {}",
                what.thread, what.first_sequence, what.last_sequence
            ));
        }
        self.partial.extend(found.missing);
        let place = if self.snap.covered.is_some() { " (no copy on a listed archive volume)" } else { "" };
        self.partial
            .extend(found.deleted.iter().map(|d| format!("the archived log is gone again: {d}{place}")));
        Ok(Some(RedoMark {
            begin,
            end,
            resetlogs: db.resetlogs_id,
            threads: found.threads.iter().map(|t| (t.thread, t.first_sequence, t.last_sequence)).collect(),
        }))
    }

    /// Whether an archive snapshot has this copy, as far as --check-coverage lets us know.
    fn is_covered(&self, copy: &str) -> bool {
        let Some(volumes) = &self.snap.covered else { return true };
        let thing = Thing { what: "archived log".to_owned(), path: copy.to_owned() };
        !can_be_looked_at(copy) || coverage::check(&Host::of_process(), &[thing], volumes).is_ok()
    }

    /// The control file, the file system, the archive snapshots.
    fn archive(&mut self, half: &Half) -> anyhow::Result<Vec<Kept>> {
        if signals::pending().is_some() {
            self.partial.push("the run was asked to stop before the archive snapshots".to_owned());
            return Ok(Vec::new());
        }
        if let Err(error) = self.controlfile() {
            self.partial.push(format!("the control file is not backed up: {error:#}"));
        }
        if let Some(dir) = &self.snap.setup.cli.controlfile_to {
            self.sync(dir);
        }
        for dest in &self.snap.facts.archive_dests {
            self.sync(Path::new(&directory(dest)));
        }
        let snap = self.snap;
        self.entry.send_archive();
        let (mut pending, _) = Pending::load(&snap.setup.state_dir, &snap.setup.sid)?;
        pending.put(self.entry.clone());
        pending.store(&snap.setup.state_dir, &snap.setup.sid)?;
        let deadline = Instant::now() + ARCHIVE;
        let limited = snap.array.until(deadline);
        let taking = Taking::start(&limited, half, snap);
        let waited = wait(&taking, deadline, || false);
        taking.stop();
        let shots = match waited {
            Ok(shots) => shots,
            Err(_) => straggler(&taking),
        };
        // Later is as good here: the redo that the set needs was there before the first request.
        let kept = self.settled(half, shots, Proof::Seen, Proof::Seen, &taking)?;
        self.partial.extend(reasons(&kept));
        if signals::pending().is_some() && kept.iter().any(|k| k.bad.is_some()) {
            self.partial.push("the run was asked to stop".to_owned());
        }
        let good = kept.iter().filter(|k| k.bad.is_none()).count();
        self.report.count("archive_snapshots", good as u64);
        Ok(kept)
    }

    fn controlfile(&self) -> anyhow::Result<()> {
        let setup = self.snap.setup;
        let Some(dir) = &setup.cli.controlfile_to else { return Ok(()) };
        let path = dir.join(format!("{}_control_{}.ctl", setup.wish.prefix, setup.sid));
        let name = path.to_string_lossy().into_owned();
        let mut script = Script::new();
        script.exec(format!("ALTER DATABASE BACKUP CONTROLFILE TO {} REUSE", constant(&name)?));
        setup.sqlplus.run(&script).context("back up the control file")?;
        let bytes = std::fs::read(&path).with_context(|| format!("read {name}"))?;
        File::open(&path).and_then(|f| f.sync_all()).with_context(|| format!("sync {name}"))?;
        let digest = Sha256::digest(&bytes);
        setup.log.info(&format!("backed up the control file to {name}"));
        setup.frame.out.emit(&record::File {
            path: name,
            bytes: Some(bytes.len() as u64),
            sha256: Some(digest.iter().map(|b| format!("{b:02x}")).collect()),
            role: Some(Role::Controlfile),
            db: Some(self.snap.facts.database.name.clone()),
            dbid: Some(self.snap.facts.database.dbid),
            ..record::File::default()
        })
    }

    /// What the archiver has written has to be on the volume before its snapshot.
    fn sync(&mut self, dir: &Path) {
        let log = &self.snap.setup.log;
        match sync(dir, |dir| rustix::fs::syncfs(dir)) {
            Ok(Synced::Done) => log.info(&format!("synced the file system of {}", dir.display())),
            Ok(Synced::NotHere(e)) => {
                log.info(&format!("{} is not a directory that can be synced here: {e}", dir.display()));
            }
            Err(e) => self.partial.push(format!("sync the file system of {}: {e}", dir.display())),
        }
    }

    /// Marks a whole set as complete, and emits the receipts.
    fn close(&mut self, data: &[Kept], archived: &[Kept], redo: Option<RedoMark>) -> anyhow::Result<()> {
        let plan = &self.snap.plan;
        if let (true, Some(redo)) = (self.partial.is_empty(), redo) {
            let halves = plan.archive.iter().map(|half| (half, archived));
            // The data snapshots last: they are what is looked for.
            for (half, kept) in halves.chain([(&plan.data, data)]) {
                let keys = self.snap.marks.complete(half, &redo);
                let put = each(kept, |k| mark(self.snap.array, k, &keys));
                for (one, result) in kept.iter().zip(put) {
                    if let Err(error) = result {
                        self.unmarked(&one.member.name, &error)?;
                    }
                }
                if !self.partial.is_empty() {
                    break;
                }
            }
            if !self.partial.is_empty() {
                self.take_back(data, archived);
            }
        }
        let state = if self.partial.is_empty() { SnapshotState::Complete } else { SnapshotState::Incomplete };
        self.emit(&plan.data, data, state)?;
        if let Some(half) = &plan.archive {
            self.emit(half, archived, state)?;
        }
        if self.partial.is_empty() {
            self.snap.setup.log.info("the set is complete");
            return Ok(());
        }
        let text = format!(
            "the data snapshots are good, and the set is incomplete: {}; the database is out of backup mode",
            self.partial.join("; ")
        );
        self.say(Log::error(text.clone()))?;
        self.report.message = Some(text);
        self.report.exit = Some(Exit::Partial);
        Ok(())
    }

    /// Not every member could be marked as complete: so none is. What cannot be marked now, the next run marks.
    fn take_back(&mut self, data: &[Kept], archived: &[Kept]) {
        let plan = &self.snap.plan;
        let halves = plan.archive.iter().map(|half| (half, archived)).chain([(&plan.data, data)]);
        let mut settled = true;
        for (half, kept) in halves {
            let keys = self.snap.marks.incomplete(half);
            let put = each(kept, |k| mark(self.snap.array, k, &keys));
            settled &= put.iter().all(|r| r.as_ref().err().is_none_or(|e| e.kind == Kind::NotFound));
        }
        // A set is settled as a whole.
        self.open.clear();
        if !settled {
            self.open.extend(data.iter().chain(archived).map(|k| k.member.name.clone()));
        }
    }

    /// A record for each snapshot that exists and was taken when it should have been.
    fn emit(&self, half: &Half, kept: &[Kept], state: SnapshotState) -> anyhow::Result<()> {
        let there = kept.iter().filter(|k| !k.outside && !self.gone.contains(&k.member.name));
        for (one, volume) in there.filter_map(|k| Some((k, k.volume.as_ref()?))) {
            self.snap.setup.frame.out.emit(&Snapshot {
                id: volume.id,
                name: volume.name.clone(),
                volume: Some(one.member.volume.clone()),
                volume_id: Some(one.member.volume_id),
                kind: Some(match half.kind {
                    SetKind::Data => SnapshotKind::Data,
                    SetKind::Archive => SnapshotKind::Archive,
                }),
                created_at: volume.created(),
                locked_until: volume.locked_until(),
                cg: match &half.how {
                    How::Cg { cg, .. } => Some(cg.clone()),
                    How::Single | How::Group | How::Separate => None,
                },
                state: Some(state),
            })?;
        }
        Ok(())
    }

    fn say(&self, record: Log) -> anyhow::Result<()> {
        self.snap.setup.say(record)
    }
}

/// Writes a mark, which may be done twice, and is when the array was away for a moment.
fn mark(array: &Array, kept: &Kept, keys: &BTreeMap<String, String>) -> Result<(), ApiError> {
    let Some(volume) = &kept.volume else { return Ok(()) };
    match array.put_metadata(volume.id, keys) {
        Err(e) if (e.is_unavailable() || e.maybe_executed()) && signals::sleep(MARK_PAUSE) => {
            array.put_metadata(volume.id, keys)
        }
        other => other,
    }
}

fn reasons(kept: &[Kept]) -> Vec<String> {
    kept.iter().filter_map(|k| Some(format!("snapshot {}: {}", k.member.name, k.bad.as_ref()?))).collect()
}

/// What the thread has to say yet.
fn straggler(taking: &Taking) -> Vec<Shot> {
    match taking.told.recv_timeout(STRAGGLER) {
        Ok(Told::Shots(shots)) => shots,
        _ => Vec::new(),
    }
}

/// The ids that carry their first mark.
fn first_marks(taking: &Taking) -> Vec<u64> {
    let deadline = Instant::now() + MARKS;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match taking.told.recv_timeout(left.min(Duration::from_millis(100))) {
            Ok(Told::Marked(ids)) => return ids,
            Ok(Told::Shots(_)) => {}
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) if !left.is_zero() => {
                // Nobody knows how long the array will be silent.
                if signals::pending().is_some() {
                    return Vec::new();
                }
            }
            Err(_) => return Vec::new(),
        }
    }
}
