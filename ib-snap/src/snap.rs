//! One run: everything is looked up, then backup mode, then what follows from it.

use std::collections::BTreeSet;
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use anyhow::Context;
use common::app::Report;
use common::exit::{Exit, Failure};
use common::guardian::{read_all, Ended, FileState, Keeper, Scope};
use common::infinibox::{ApiError, Array, Clock, ClockProbe, Volume};
use common::lock::Lock;
use common::signals;

use crate::after::After;
use crate::cli::LockUntil;
use crate::coverage::{self, Host, Thing};
use crate::facts::{self, gather, Facts};
use crate::held::{hold, Deeds};
use crate::marks::Marks;
use crate::pending::{Entry, Pending};
use crate::plan::{self, FoundHalf, Plan};
use crate::run::{forget_ours, old_snapshots};
use crate::setup::Setup;
use crate::storage::{Fate, Shot, Taking, Told};
use crate::survey;

/// A lock further away is a slip of the pen; nobody can take it back.
const LOCK_MAX: i64 = 3660 * 86_400_000;
/// A clock that is so far off, in milliseconds, is said.
const CLOCK_FAR: i64 = 600_000;
/// How long the keeper may take to end what the cap has ended.
const CAPPED: Duration = Duration::from_secs(30);

/// Everything that is known before the database is touched.
pub struct Snap<'a> {
    pub setup: &'a Setup<'a>,
    pub array: &'a Array,
    pub facts: Facts,
    pub plan: Plan,
    pub clock: Option<Clock>,
    /// Epoch milliseconds by the array's clock.
    pub lock: Option<i64>,
    pub marks: Marks,
    /// With --check-coverage, the volumes that the archive snapshots are of.
    pub covered: Option<Vec<Volume>>,
    pub warnings: Vec<String>,
    /// Files that a run of ours has left in backup mode; only for a dry run, any other has ended it by now.
    pub left_open: Vec<(u64, String)>,
}

impl<'a> Snap<'a> {
    /// Looks everything up.
    ///
    /// # Errors
    /// Status 75 when array or database do not answer, 4 for whatever would fail in backup mode.
    pub fn prepare(setup: &'a Setup<'a>) -> anyhow::Result<Self> {
        let dry_run = setup.cli.common.dry_run;
        let array = setup.array.as_ref().context("no array is named")?;
        let mut probe = ClockProbe::default();
        array.look_at_clock(&mut probe).map_err(ApiError::failure)?;
        if !dry_run {
            old_snapshots(setup, array)?;
        }
        let mut facts = gather(&setup.sqlplus)?;
        let left_open = if dry_run { forget_ours(setup, &mut facts)? } else { Vec::new() };
        let mut warnings = facts::check(&facts)?;
        let wish = &setup.wish;
        let data = survey::find(array, &wish.data).map_err(ApiError::failure)?;
        let archive = wish.archive.as_ref().map(|a| survey::find(array, a)).transpose();
        let archive = archive.map_err(ApiError::failure)?;
        let plan = plan::plan(wish, &data, archive.as_ref())?;
        let pools: BTreeSet<u64> = volumes(&data)
            .into_iter()
            .chain(archive.as_ref().map(volumes).unwrap_or_default())
            .filter_map(|v| v.pool_id)
            .collect();
        let surveyed = survey::survey(setup, array, &plan, &pools).map_err(ApiError::failure)?;
        warnings.extend(plan::check(&plan, &surveyed)?);
        if let Some(dir) = setup.cli.controlfile_to.as_ref().filter(|d| !d.is_dir()) {
            let text = format!("--controlfile-to {}: there is no such directory", dir.display());
            return Err(Failure::new(Exit::Usage, text).hint("is the archive volume mounted?").into());
        }
        let mut covered = None;
        if setup.cli.check_coverage {
            check_coverage(setup, &facts, &data, archive.as_ref())?;
            covered = archive.as_ref().map(owned);
        }
        array.look_at_clock(&mut probe).map_err(ApiError::failure)?;
        let clock = probe.clock();
        match clock {
            None => warnings.push(
                "the array does not tell its time: a snapshot of doubtful outcome cannot count".to_owned(),
            ),
            Some(c) if c.best.abs() > CLOCK_FAR => {
                warnings.push(format!("the array's clock is {} s from this host's", c.best / 1000));
            }
            Some(_) => {}
        }
        warnings.extend(array.warnings());
        let lock = setup.cli.lock_until.map(|l| lock_time(l, clock)).transpose()?;
        let marks = Marks {
            run: setup.frame.run.clone(),
            db: facts.database.name.clone(),
            dbid: facts.database.dbid,
            stamp: plan.stamp.clone(),
            archive: plan.archive.is_some(),
        };
        Ok(Self { setup, array, facts, plan, clock, lock, marks, covered, warnings, left_open })
    }

    /// The run itself.
    pub fn all(self, keeper: &Keeper, lock: &Lock) -> anyhow::Result<Report> {
        let setup = self.setup;
        for warning in &self.warnings {
            setup.warn(warning.clone())?;
        }
        for member in self.plan.halves().flat_map(|h| &h.members) {
            setup.log.info(&format!("volume {} (id {}) to {}", member.volume, member.volume_id, member.name));
        }
        if let Some(clock) = self.clock {
            setup.log.info(&format!(
                "the array's clock is {} to {} ms ahead of this host's",
                clock.earliest, clock.latest
            ));
        }
        let mut report = Report::new(Exit::Success);
        if signals::pending().is_some() {
            report.message = Some("stopped before BEGIN BACKUP; nothing was changed".to_owned());
            return Ok(report);
        }
        let (mut pending, _) = Pending::load(&setup.state_dir, &setup.sid)?;
        let mut entry = Entry::new(&self.plan, &self.marks, self.clock, now());
        pending.put(entry.clone());
        pending
            .store(&setup.state_dir, &setup.sid)
            .context("the database is not put in backup mode without a journal")?;
        lock.progress();

        let expected = self.facts.changing();
        let mut world = World { snap: &self, keeper, expected: &expected, taking: None, stopped: None };
        let held = match hold(&expected, &mut world) {
            Ok(held) => held,
            Err(error) => {
                pending.forget(&entry.run);
                pending.store(&setup.state_dir, &setup.sid)?;
                return Err(error);
            }
        };
        let (taking, stopped) = (world.taking, world.stopped);
        lock.progress();
        report.count("backup_mode_ms", u64::try_from(held.length.as_millis()).unwrap_or(u64::MAX));
        setup.log.info(&format!("END BACKUP after {:.3} s in backup mode", held.length.as_secs_f64()));
        if held.broken.is_none() {
            entry.window = Some((held.window.begin_done, held.window.end_sent));
            pending.put(entry.clone());
            pending.store(&setup.state_dir, &setup.sid)?;
        }
        let mut after = After::new(&self, lock, entry.clone(), report);
        let result = after.all(held, taking, stopped);
        // Until it is settled, the next run looks.
        let open = match &result {
            Ok(()) => after.open.clone(),
            Err(_) => entry.snapshots.iter().map(|a| a.name.clone()).collect(),
        };
        entry.snapshots.retain(|a| open.contains(&a.name));
        if result.is_ok() || after.has_asked_for_archive() {
            entry.send_archive();
        }
        pending.forget(&entry.run);
        if !entry.snapshots.is_empty() {
            pending.put(entry);
        }
        pending.store(&setup.state_dir, &setup.sid)?;
        result.map(|()| after.report)
    }
}

/// Host time, epoch milliseconds.
pub fn now() -> i64 {
    chrono::Utc::now().timestamp_millis()
}

fn volumes(half: &FoundHalf) -> Vec<&Volume> {
    let members = half.cg.iter().flat_map(|(_, members)| members);
    half.volumes.values().flatten().chain(members).collect()
}

fn owned(half: &FoundHalf) -> Vec<Volume> {
    volumes(half).into_iter().cloned().collect()
}

fn check_coverage(
    setup: &Setup,
    facts: &Facts,
    data: &FoundHalf,
    archive: Option<&FoundHalf>,
) -> anyhow::Result<()> {
    let host = Host::of_process();
    let files: Vec<Thing> = facts
        .files
        .iter()
        .map(|f| Thing { what: format!("datafile {}", f.file), path: f.path.clone() })
        .collect();
    let used = coverage::check(&host, &files, &owned(data))?;
    setup.log.info(&format!("all {} datafiles lie on {}", files.len(), join(&used)));
    if let Some(archive) = archive {
        let mut places: Vec<Thing> = facts
            .archive_dests
            .iter()
            .map(|d| Thing { what: "archive destination".to_owned(), path: coverage::directory(d) })
            .collect();
        places.extend(setup.cli.controlfile_to.iter().map(|d| Thing {
            what: "directory for the control file".to_owned(),
            path: d.to_string_lossy().into_owned(),
        }));
        let used = coverage::check(&host, &places, &owned(archive))?;
        setup.log.info(&format!("all archive destinations lie on {}", join(&used)));
    }
    Ok(())
}

fn join(names: &BTreeSet<String>) -> String {
    names.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}

/// The end of the lock by the array's clock.
fn lock_time(lock: LockUntil, clock: Option<Clock>) -> Result<i64, Failure> {
    let (_, now) = clock.map_or((now(), now()), |c| c.array_time(now()));
    let until = match lock {
        LockUntil::Time(time) => time,
        LockUntil::For(length) => now.saturating_add(i64::try_from(length.as_millis()).unwrap_or(i64::MAX)),
    };
    match until - now {
        ..=0 => Err(Failure::new(Exit::Usage, "--lock-until is in the past")),
        left if left > LOCK_MAX => Err(Failure::new(Exit::Usage, "--lock-until is more than ten years away")
            .hint("a lock cannot be shortened by anybody")),
        _ => Ok(until),
    }
}

/// Why the wait for the array was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    /// The limit.
    Cap,
    Signal,
    /// The thread is gone without an answer.
    Lost,
}

/// Waits for the snapshots of a thread.
pub fn wait(taking: &Taking, deadline: Instant, capped: impl Fn() -> bool) -> Result<Vec<Shot>, Stopped> {
    loop {
        match taking.told.recv_timeout(Duration::from_millis(20)) {
            Ok(Told::Shots(shots)) => return Ok(shots),
            Ok(Told::Marked(_)) | Err(RecvTimeoutError::Disconnected) => return Err(Stopped::Lost),
            Err(RecvTimeoutError::Timeout) if signals::pending().is_some() => return Err(Stopped::Signal),
            Err(RecvTimeoutError::Timeout) if Instant::now() >= deadline || capped() => {
                return Err(Stopped::Cap);
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

/// The deeds, really.
struct World<'w> {
    snap: &'w Snap<'w>,
    keeper: &'w Keeper,
    expected: &'w [(u64, String)],
    taking: Option<Taking>,
    stopped: Option<Stopped>,
}

impl Deeds for World<'_> {
    /// `None`: the array had not answered.
    type Taken = Option<Vec<Shot>>;

    fn begin(&mut self) -> anyhow::Result<Vec<FileState>> {
        let log = &self.snap.setup.log;
        log.info(&format!("BEGIN BACKUP of {} datafiles", self.expected.len()));
        let begun = self.keeper.begin(self.snap.facts.database.dbid, &Scope::Database, self.expected)?;
        log.info(&format!(
            "{} datafiles are ACTIVE in V$BACKUP",
            begun.files.iter().filter(|f| f.active).count()
        ));
        Ok(begun.files)
    }

    fn take(&mut self) -> Option<Vec<Shot>> {
        let snap = self.snap;
        if signals::pending().is_some() {
            self.stopped = Some(Stopped::Signal);
            return None;
        }
        let deadline = Instant::now() + snap.setup.cli.max_backup_mode;
        let limited = snap.array.until(deadline);
        let taking = Taking::start(&limited, &snap.plan.data, snap);
        let waited = wait(&taking, deadline, || self.keeper.is_capped(&Scope::Database));
        taking.stop();
        self.taking = Some(taking);
        // The requests end with the same deadline, and may be the first to see it.
        let doubtful = |shots: &Vec<Shot>| shots.iter().any(|s| matches!(s.fate, Fate::Doubtful(_)));
        self.stopped = match &waited {
            Err(why) => Some(*why),
            Ok(shots) if Instant::now() >= deadline && doubtful(shots) => Some(Stopped::Cap),
            Ok(_) => None,
        };
        waited.ok()
    }

    fn end(&mut self) -> anyhow::Result<Ended> {
        let log = &self.snap.setup.log;
        let error = match self.keeper.end(&Scope::Database) {
            Ok(ended) => {
                log.info(&format!("END BACKUP, SCN {}", ended.scn));
                return Ok(ended);
            }
            Err(error) => error,
        };
        log.error(&format!("END BACKUP: {error:#}"));
        // The cap of the keeper, or a DBA, may have been before us.
        let sqlplus = self.snap.setup.sqlplus.clone().uninterruptible();
        let began = Instant::now();
        loop {
            match read_all(&sqlplus) {
                Ok((_, active))
                    if !active.iter().any(|a| self.expected.iter().any(|(n, _)| *n == a.file)) =>
                {
                    return Ok(Ended { before: Vec::new(), after: Vec::new(), scn: 0 });
                }
                _ if self.keeper.is_capped(&Scope::Database) && began.elapsed() < CAPPED => {
                    std::thread::sleep(Duration::from_millis(500));
                }
                _ => return Err(error),
            }
        }
    }

    fn now(&self) -> i64 {
        now()
    }
}
