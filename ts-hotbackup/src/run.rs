//! The order of a whole run: what is left from before, checks, tablespaces, the end of the cycle.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context;
use chrono::{SecondsFormat, Utc};
use common::app::{Args, Frame, Report};
use common::exit::{failure, status_of, Exit, Failure};
use common::guardian::{read_all, FileState, Keeper};
use common::lock::Lock;
use common::logfile::LogFile;
use common::record::{CopyStatus, Datafile, Log, Tablespace};
use common::signals;

use crate::cli::Cli;
use crate::closing;
use crate::cycle::{encode, Copied, Cycle, Store};
use crate::depot::{Depot, Meter, Way};
use crate::facts::{gather, Facts, Key};
use crate::plan::{outdated, plan, How, Plan, Skip, Step};
use crate::preflight;
use crate::sequence::{perform, Done};
use crate::setup::Setup;
use crate::status;
use crate::tablespace::{seconds, Work};

/// Rounds of "copy, look again": more than this many means that files are added faster than they are copied.
const ROUNDS: usize = 5;

pub fn run(cli: &Cli, frame: &Frame) -> anyhow::Result<Report> {
    let quiet = cli.status || cli.common.dry_run;
    let setup = Setup::new(cli, frame, quiet)?;
    if cli.status {
        return status::status(&setup);
    }
    if cli.common.dry_run {
        return status::dry_run(&setup);
    }
    let name = format!("hot_backup.{}", setup.sid);
    let lock = Lock::take(&setup.state_dir, &name, Cli::TOOL, &frame.run, cli.common.lock_timeout)?;
    let keeper = Keeper::start(setup.keeper())?;
    let result = with_keeper(&setup, &keeper, lock);
    // Whatever happened: the run is not over while something of ours is in backup mode.
    match (keeper.finish(), result) {
        (Ok(()), result) => result,
        (Err(open), Ok(_)) => Err(open),
        (Err(open), Err(error)) => Err(error.context(format!("{open:#}"))),
    }
}

fn with_keeper(setup: &Setup, keeper: &Keeper, lock: Lock) -> anyhow::Result<Report> {
    if let Some(warning) = keeper.warning() {
        setup.say(Log::warning(warning))?;
    }
    let ended = reconcile(setup, keeper)?;
    if setup.cli.end_backup {
        return end_backup(setup, keeper, ended);
    }
    Backup::new(setup, keeper, lock)?.all()
}

fn reconcile(setup: &Setup, keeper: &Keeper) -> anyhow::Result<u64> {
    if keeper.left_behind().is_empty() {
        return Ok(0);
    }
    let ended = keeper.reconcile().context("end backup mode that an earlier run has left on")?;
    for what in &ended {
        setup.say(Log::warning(format!("ended backup mode that was left on: {what}")))?;
    }
    Ok(ended.len() as u64)
}

/// `--end-backup`: ours is ended by now; what is left is somebody else's.
fn end_backup(setup: &Setup, keeper: &Keeper, ended: u64) -> anyhow::Result<Report> {
    let mut report = Report::new(Exit::Success);
    report.count("ended", ended);
    match read_all(&setup.sqlplus) {
        Ok((_, active)) if !active.is_empty() => Err(foreign(&active).into()),
        Ok(_) => Ok(report),
        // Nothing of ours was open: that holds without the database too.
        Err(error) if status_of(&error) == Exit::TryAgain && keeper.warning().is_none() => {
            setup
                .log
                .info(&format!("nothing of ours is in backup mode; the database does not answer: {error:#}"));
            Ok(report)
        }
        Err(error) => Err(error),
    }
}

/// Backup mode that is not ours is never ended by us.
pub fn foreign(active: &[FileState]) -> Failure {
    let files: Vec<String> = active
        .iter()
        .map(|f| format!("{} {} since {}", f.file, f.path, f.since.as_deref().unwrap_or("?")))
        .collect();
    let text = format!("in backup mode, and not by us: datafile {}", files.join(", "));
    Failure::new(Exit::Refused, text)
        .hint("find out who began it (another backup tool, a storage snapshot); END BACKUP is theirs to do")
        .code("ORA-01146")
}

struct Backup<'a> {
    setup: &'a Setup<'a>,
    keeper: &'a Keeper,
    store: Store,
    facts: Facts,
    cycle: Cycle,
    depot: Depot,
    report: Report,
    failed: BTreeSet<Key>,
    copied: u64,
    /// The last one failed: perhaps the standby is gone.
    doubt: bool,
}

impl<'a> Backup<'a> {
    fn new(setup: &'a Setup<'a>, keeper: &'a Keeper, lock: Lock) -> anyhow::Result<Self> {
        let facts = gather(&setup.sqlplus)?;
        for warning in preflight::database(&facts)? {
            setup.say(Log::warning(warning))?;
        }
        let store = setup.store();
        let (cycle, fresh) = choose_cycle(setup, &store, &facts)?;
        // A fresh cycle has none; those of another database are refused all the same, for they would be removed.
        let marks = store.marks(&cycle)?;
        // Refused before anything is touched.
        let first = plan(&facts, &setup.policy, &marks)?;
        let way = Way {
            target: setup.target.clone(),
            workers: setup.cli.workers,
            io_timeout: setup.cli.io_timeout,
            retries: setup.cli.retries,
            bwlimit: setup.cli.bwlimit,
            rsync_log: setup.rsync_log(),
            tag: format!("{}-{}", setup.sid, run_tag(&setup.frame.run)),
        };
        let meter = Meter::new(first.bytes(), lock, setup.log.clone());
        let depot = Depot::open(way, meter)?;
        if fresh {
            store.begin(&cycle)?;
            setup.log.info(&format!("begin cycle {}", cycle.id));
        }
        let report = Report::new(Exit::Success);
        Ok(Self {
            setup,
            keeper,
            store,
            facts,
            cycle,
            depot,
            report,
            failed: BTreeSet::new(),
            copied: 0,
            doubt: false,
        })
    }

    fn all(mut self) -> anyhow::Result<Report> {
        let result = self.rounds();
        self.depot.meter.end();
        result?;
        Ok(self.report)
    }

    fn rounds(&mut self) -> anyhow::Result<()> {
        for round in 0..ROUNDS {
            let marks = self.marks(round == 0)?;
            let mut plan = plan(&self.facts, &self.setup.policy, &marks)?;
            plan.steps.retain(|s| !self.failed.contains(&s.key));
            if round == 0 {
                self.skipped(&plan)?;
            }
            self.copy(&plan, &marks)?;
            let stopped = signals::pending().is_some();
            if stopped || !self.failed.is_empty() || !plan.completes() {
                return self.incomplete(&plan, stopped);
            }
            let marks = self.store.marks(&self.cycle)?;
            let made =
                self.depot.meter.busy(|| closing::make(self.setup, &self.depot, &self.facts, &marks))?;
            // The control file knows every file that was there when it was made: was each of them copied, and is none
            // of them gone since? The scripts could not rename that one.
            let before = std::mem::replace(&mut self.facts, gather(&self.setup.sqlplus)?);
            let there: BTreeSet<_> = self.facts.files().map(|(_, f)| (f.file, f.path.clone())).collect();
            let gone = before.files().any(|(_, f)| !there.contains(&(f.file, f.path.clone())));
            let marks = self.marks(false)?;
            if !gone && plan_is_empty(&self.facts, self.setup, &marks)? {
                let missing = plan.skipped.iter().any(|s| !s.harmless);
                let forget = plan.skipped.iter().filter(|s| s.forget).map(|s| s.key.clone()).collect();
                let whole =
                    closing::close(self.setup, &self.depot, &self.facts, &marks, &self.cycle, made, forget)?;
                self.store.close(&self.cycle)?;
                self.setup.log.info(&format!("cycle {} is finished", self.cycle.id));
                self.report.exit = Some(match (whole, missing) {
                    (false, _) => Exit::Finding,
                    (true, true) => Exit::Partial,
                    (true, false) => Exit::Success,
                });
                return Ok(());
            }
            self.setup.log.info("datafiles were added or changed meanwhile: another round");
        }
        anyhow::bail!("datafiles are added faster than they are copied: {ROUNDS} rounds were not enough")
    }

    /// The marks of this cycle that still hold.
    fn marks(&self, look_there: bool) -> anyhow::Result<BTreeMap<Key, Copied>> {
        let mut marks = self.store.marks(&self.cycle)?;
        let mut gone = outdated(&self.facts, &marks);
        if look_there {
            let files: Vec<_> =
                marks.iter().flat_map(|(k, m)| m.files.iter().map(move |f| (k.clone(), f.clone()))).collect();
            let paths: Vec<_> = files.iter().map(|(_, f)| f.dest.clone().into()).collect();
            for ((key, file), size) in files.iter().zip(self.depot.sizes(&paths)?) {
                if size.is_none_or(|s| s < file.bytes) {
                    self.setup.log.warning(&format!("{} is no longer whole at the standby", file.dest));
                    gone.push(key.clone());
                }
            }
        }
        for key in gone {
            if marks.remove(&key).is_some() {
                self.setup.log.info(&format!("{key} has to be copied again"));
                self.store.unmark(&key)?;
            }
        }
        Ok(marks)
    }

    fn skipped(&mut self, plan: &Plan) -> anyhow::Result<()> {
        for skip in &plan.skipped {
            self.report.count("skipped", 1);
            let line = format!("skip {}: {}", skip.key, skip.reason);
            if skip.harmless {
                self.setup.log.info(&line);
            } else {
                self.setup.log.warning(&line);
            }
            self.setup.frame.out.emit(&skip_record(skip))?;
        }
        for key in &plan.done {
            self.report.count("done_before", 1);
            self.setup.log.info(&format!("{key} is done in this cycle"));
        }
        Ok(())
    }

    fn copy(&mut self, plan: &Plan, marks: &BTreeMap<Key, Copied>) -> anyhow::Result<()> {
        if plan.steps.is_empty() {
            return Ok(());
        }
        let old = preflight::destination(&self.depot, &self.setup.sid, plan, &self.facts)?;
        closing::invalidate(self.setup, &self.depot, &self.facts)?;
        self.depot.meter.expect(plan.bytes());
        for (n, step) in plan.steps.iter().enumerate() {
            if signals::pending().is_some() {
                return Ok(());
            }
            if self.doubt {
                // The next one must not sit in backup mode while nobody answers at the standby.
                let answer = self.depot.meter.busy(|| self.depot.warm(step.files.len()));
                if let Err(error) = answer {
                    return self.not_begun(&plan.steps[n..], &error.to_string());
                }
            }
            self.step(step, &old, marks.get(&step.key))?;
        }
        Ok(())
    }

    fn not_begun(&mut self, steps: &[Step], why: &str) -> anyhow::Result<()> {
        let names: Vec<String> = steps.iter().map(|s| s.key.to_string()).collect();
        self.setup.log.error(&format!("the standby does not answer, not begun: {}: {why}", names.join(", ")));
        for step in steps {
            self.report.count("failed", 1);
            self.failed.insert(step.key.clone());
            self.setup.frame.out.emit(&Tablespace {
                name: step.key.name.clone(),
                container: step.key.container.clone(),
                status: CopyStatus::Failed,
                files: Some(step.files.len() as u64),
                bytes: Some(step.bytes()),
                reason: Some(format!("not begun: {why}")),
                ..Tablespace::default()
            })?;
        }
        Ok(())
    }

    fn step(
        &mut self,
        step: &Step,
        old: &BTreeMap<String, u64>,
        earlier: Option<&Copied>,
    ) -> anyhow::Result<()> {
        let name = format!("ts_{}.log", encode(&step.key));
        let log = LogFile::open(Some(&self.setup.log_dir.join(name)), Cli::TOOL, self.setup.frame.verbose)?;
        let paths = self.facts.files().map(|(_, f)| (f.file, f.path.clone())).collect();
        let standing = self.facts.files().filter_map(|(_, f)| Some((f.file, f.header_checkpoint?))).collect();
        let mut work = Work {
            keeper: self.keeper,
            depot: &self.depot,
            store: &self.store,
            cycle: &self.cycle,
            dbid: self.facts.database.dbid,
            paths: &paths,
            standing: &standing,
            old,
            earlier,
            log,
            failed: Vec::new(),
        };
        self.setup.log.info(&format!("copy {}: {} files, {}", step.key, step.files.len(), step.reason));
        match perform(step, &mut work) {
            Ok(done) => {
                self.doubt = false;
                self.copied += 1;
                self.report.count("copied", 1);
                for record in file_records(step, &done) {
                    self.setup.frame.out.emit(&record)?;
                }
                self.setup.frame.out.emit(&done_record(step, &done))
            }
            Err(error) => {
                if signals::pending().is_some() {
                    self.depot.finishing();
                }
                work.clean(step);
                let dropped = failure(&error).and_then(|f| f.code.as_deref()) == Some("ORA-00959");
                let mut record = Tablespace {
                    name: step.key.name.clone(),
                    container: step.key.container.clone(),
                    status: CopyStatus::Failed,
                    files: Some(step.files.len() as u64),
                    bytes: Some(step.bytes()),
                    reason: Some(format!("{error:#}")),
                    ..Tablespace::default()
                };
                if dropped {
                    record.status = CopyStatus::Skipped;
                    record.reason = Some("dropped meanwhile".to_owned());
                    self.report.count("skipped", 1);
                } else {
                    self.doubt = true;
                    let hint = failure(&error).and_then(|f| f.hint.clone());
                    let hint = hint.map(|h| format!(" ({h})")).unwrap_or_default();
                    let line = format!("copy tablespace {}: {error:#}{hint}", step.key);
                    work.log.info(&format!("failed: {error:#}"));
                    self.setup.log.error(&line);
                    self.report.count("failed", 1);
                    self.failed.insert(step.key.clone());
                }
                for (file, why) in &work.failed {
                    self.setup.frame.out.emit(&Datafile {
                        file: file.file,
                        tablespace: step.key.to_string(),
                        path: file.path.clone(),
                        status: CopyStatus::Failed,
                        dest: Some(file.dest.clone()),
                        reason: Some(why.clone()),
                        ..Datafile::default()
                    })?;
                }
                self.setup.frame.out.emit(&record)
            }
        }
    }

    fn incomplete(&mut self, plan: &Plan, stopped: bool) -> anyhow::Result<()> {
        let names: Vec<String> = self.failed.iter().map(ToString::to_string).collect();
        let message = if stopped {
            "stopped; backup mode is off, run it again to go on".to_owned()
        } else if names.is_empty() {
            format!("{} other tablespaces of this cycle are still to be copied", plan.not_asked.len())
        } else {
            format!("not copied: {}; run it again to go on", names.join(", "))
        };
        self.setup.log.info(&message);
        self.report.message = Some(message);
        self.report.exit = Some(match (self.failed.is_empty(), self.copied + plan.done.len() as u64) {
            // The frame adds the signal; a failure that the signal itself has caused must not hide it.
            _ if stopped => Exit::Success,
            (true, _) if plan.skipped.iter().any(|s| !s.harmless) => Exit::Partial,
            (true, _) => Exit::Success,
            (false, 0) => Exit::Failed,
            (false, _) => Exit::Partial,
        });
        Ok(())
    }
}

fn plan_is_empty(facts: &Facts, setup: &Setup, marks: &BTreeMap<Key, Copied>) -> anyhow::Result<bool> {
    Ok(plan(facts, &setup.policy, marks)?.steps.is_empty())
}

/// The cycle to go on with, or a new one; `true` says that it is new and not written yet.
pub fn choose_cycle(setup: &Setup, store: &Store, facts: &Facts) -> anyhow::Result<(Cycle, bool)> {
    let db = &facts.database;
    let new = Cycle {
        id: setup.frame.run.clone(),
        dbid: db.dbid,
        resetlogs_change: db.resetlogs_change,
        destination: setup.destination(),
        begun: Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true),
        closed: None,
    };
    let quiet = setup.cli.status || setup.cli.common.dry_run;
    let (found, warning) = if quiet { (store.peek(), None) } else { store.cycle()? };
    if let Some(warning) = warning {
        setup.say(Log::warning(warning))?;
    }
    let Some(old) = found else { return Ok((new, true)) };
    if old.dbid != db.dbid {
        return Err(Failure::new(
            Exit::Refused,
            format!(
                "the state directory has a cycle of the database with DBID {}, this one has {}",
                old.dbid, db.dbid
            ),
        )
        .hint("give each database a state directory of its own")
        .into());
    }
    let same = old.resetlogs_change == db.resetlogs_change && old.destination == new.destination;
    if old.closed.is_some() || setup.cli.new_cycle || !same {
        return Ok((new, true));
    }
    Ok((old, false))
}

/// The part of a run id that tells runs of one database apart; temporary names have only so much room.
fn run_tag(run: &str) -> String {
    let tail: Vec<&str> = run.rsplit('-').take(2).collect();
    tail.into_iter().rev().collect::<Vec<_>>().join("-")
}

pub fn skip_record(skip: &Skip) -> Tablespace {
    Tablespace {
        name: skip.key.name.clone(),
        container: skip.key.container.clone(),
        status: CopyStatus::Skipped,
        files: Some(skip.files.len() as u64),
        reason: Some(skip.reason.clone()),
        ..Tablespace::default()
    }
}

fn done_record(step: &Step, done: &Done) -> Tablespace {
    let known = |scn: u64| (scn > 0).then_some(scn);
    Tablespace {
        name: step.key.name.clone(),
        container: step.key.container.clone(),
        status: CopyStatus::Copied,
        begin_scn: known(done.begin_scn),
        end_scn: known(done.end_scn),
        backup_mode_seconds: done.in_backup_mode.map(seconds),
        files: Some(done.copies.len() as u64),
        bytes: Some(done.copies.iter().map(|c| c.bytes).sum()),
        reason: (step.how == How::AsItIs).then(|| step.reason.clone()),
    }
}

fn file_records<'s>(step: &'s Step, done: &'s Done) -> impl Iterator<Item = Datafile> + 's {
    done.copies.iter().filter_map(|copy| {
        let file = step.files.iter().find(|f| f.file == copy.file)?;
        Some(Datafile {
            file: file.file,
            tablespace: step.key.to_string(),
            path: file.path.clone(),
            status: CopyStatus::Copied,
            dest: Some(file.dest.clone()),
            bytes: Some(copy.bytes),
            checkpoint_scn: Some(copy.checkpoint_scn),
            seconds: Some(copy.seconds_ms as f64 / 1000.0),
            reason: None,
        })
    })
}
