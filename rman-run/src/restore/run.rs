//! `restore`: pieces in, a recovered database out.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use common::app::{Frame, Report};
use common::durable;
use common::exit::{Exit, Failure};
use common::lock::Lock;
use common::oracle::script::{scn, Script};
use common::record::{CopyStatus, Datafile, Log, Planned};

use super::database::{self, Found, State};
use super::pieces::{self, Local, Source};
use super::script::{mapped, open, unknown_log, Job, Until};
use crate::backup::interrupted::{end_rman, our_rman, Marker};
use crate::check;
use crate::cli::Cli;
use crate::rman::Called;
use crate::solver::catalogue::{Catalogue, Target as Aim};
use crate::solver::intake::{self, Intake, Place};
use crate::solver::plan::{Plan, Solver};
use crate::solver::records::Without;
use crate::solver::run as planner;
use crate::solver::times;
use crate::target::Target;

/// Which backups are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// The newest way: level 0, level 1s, then redo.
    Best,
    /// Level 0 or full, then redo alone.
    Full,
    /// As best; it says so when no level 1 is used.
    Incremental,
}

/// What is known before anything is touched.
struct Work<'a> {
    cli: &'a Cli,
    frame: &'a Frame,
    target: Target<'a>,
    /// `None` where no record tells what the pieces hold.
    plan: Option<(Intake, Plan)>,
    job: Job,
    report: Report,
    /// What feeds us could not bring all, and no target was named: what is recovered may be less than "the latest".
    cut_short: bool,
    /// Distinguishes the logs of this run.
    stamp: String,
}

/// Restores the database from the pieces on standard input or in `--source-dir`.
///
/// # Errors
/// Refusals, failures; status 5 when a piece is damaged or missing and the target cannot be reached without it: then
/// nothing was touched.
pub fn run(cli: &Cli, frame: &Frame) -> anyhow::Result<Report> {
    let mode = mode(cli)?;
    let aim = planner::target(&cli.until)?;
    let source = pieces::gather(cli, frame)?;
    let mut report = Report::new(source.worst);
    let cut_short = source.worst != Exit::Success && !cli.until.is_given();
    let planned = match source.told {
        true => Some(choose(cli, frame, &source, aim, mode, &mut report)?),
        false => None,
    };
    let target = Target::new(cli, frame, cli.common.dry_run)?;
    let found = database::look(&target.sqlplus)?;
    guard(cli, &found, planned.as_ref().map(|(intake, _)| intake.dbid))?;
    let job = job(cli, &found, planned.as_ref(), &source, aim)?;
    let stamp = chrono::Local::now().format("%Y%m%d_%H%M%S").to_string();
    let mut work = Work { cli, frame, target, plan: planned, job, report, cut_short, stamp };
    if cli.common.dry_run {
        work.show()?;
        return Ok(work.report);
    }
    let state_dir = work.target.state_dir.clone();
    let lock =
        Lock::take(&state_dir, &work.target.lock_name(), frame.tool, &frame.run, cli.common.lock_timeout)?;
    work.end_orphan()?;
    let done = work.restore(&lock);
    work.forget_marker()?;
    done?;
    Ok(work.report)
}

fn mode(cli: &Cli) -> Result<Mode, Failure> {
    let word = cli.args.iter().find(|a| *a != "-").map(|a| a.to_ascii_uppercase());
    match word.as_deref() {
        None => Ok(Mode::Best),
        Some("FULL") => Ok(Mode::Full),
        Some("INCREMENTAL") => Ok(Mode::Incremental),
        Some(other) => Err(Failure::new(Exit::Usage, format!("restore knows no mode {other}"))
            .hint("FULL, INCREMENTAL, or nothing for what is best")),
    }
}

/// The plan over the pieces that are here and whole.
///
/// All pieces of the plan are read before anything is touched. One that is damaged is taken out, and the next best plan
/// is made; only a plan that reaches as far as the records promise is good enough.
fn choose(
    cli: &Cli,
    frame: &Frame,
    source: &Source,
    aim: Aim,
    mode: Mode,
    report: &mut Report,
) -> anyhow::Result<(Intake, Plan)> {
    let mut without = cli.restore.without.clone();
    let mut told = false;
    loop {
        let records = source.records.try_clone().context("read the records")?;
        std::io::Seek::rewind(&mut &records).context("read the records")?;
        let mut intake = intake::read(records, Place::Here, &Without::new(&without), cli.restore.dbid)?;
        if !std::mem::replace(&mut told, true) {
            planner::notes(frame, &intake, report)?;
        }
        if mode == Mode::Full {
            intake.catalogue.datafiles.retain(|d| d.is_base());
        }
        let plan = match plan_of(&intake.catalogue, aim) {
            Ok(plan) => plan,
            Err(impossible) => return Err(planner::finding(&impossible).into()),
        };
        if let Some(lost) = &plan.lost {
            let reached = planner::point(&plan.reached);
            let message =
                format!("{} is lost, nothing was touched: {}", planner::point(&lost.known), lost.reason);
            return Err(Failure::new(Exit::Finding, message)
                .hint(format!("{reached} can be reached: --until-scn {}", plan.reached.scn))
                .into());
        }
        let mut locals: Vec<Local> = Vec::new();
        for &set in plan.sets.iter().filter(|s| !intake.catalogue.sets[**s as usize].on_disk) {
            for copy in intake.pieces(set) {
                locals.push(pieces::local(&intake, copy)?);
            }
        }
        let damaged = pieces::damaged(&locals)?;
        if damaged.is_empty() {
            report.count("pieces", locals.len() as u64);
            let level1 = plan.chains.iter().any(|c| c.items.len() > 1);
            if mode == Mode::Incremental && !level1 {
                // The plan takes what is the least to fetch; that is no failure.
                frame.out.emit(&Log::info("no level 1 is used: a level 0 and redo are restored"))?;
            }
            planner::left_out(frame, &plan, report)?;
            return Ok((intake, plan));
        }
        for (path, why) in damaged {
            frame.out.emit(&Log::error(format!("piece {path} is damaged: {why}")))?;
            report.count("damaged", 1);
            report.exit = report.exit.map(|e| e.worse(Exit::Partial));
            without.push(path);
        }
    }
}

fn plan_of(catalogue: &Catalogue, aim: Aim) -> Result<Plan, Box<crate::solver::plan::Impossible>> {
    let mut solver = Solver::new(catalogue);
    // Everything is here: bytes do not matter, the time to apply redo does.
    solver.least_redo = true;
    solver.plan(aim)
}

fn guard(cli: &Cli, found: &Found, dbid: Option<u64>) -> Result<(), Failure> {
    if found.state == State::Open && !cli.restore.force {
        return Err(Failure::new(Exit::Refused, "the database is open: a restore would overwrite it")
            .hint("shut it down, or give --force if it really is to be overwritten"));
    }
    match (found.dbid, dbid) {
        (Some(mounted), Some(ours)) if ours != 0 && mounted != ours => Err(Failure::new(
            Exit::Refused,
            format!("the database has DBID {mounted}, the pieces are of DBID {ours}"),
        )
        .hint("set ORACLE_SID to the right instance, or shut this one down")),
        _ => Ok(()),
    }
}

fn job(
    cli: &Cli,
    found: &Found,
    planned: Option<&(Intake, Plan)>,
    source: &Source,
    aim: Aim,
) -> anyhow::Result<Job> {
    let mut job = Job {
        state: found.state,
        dbid: cli.restore.dbid.unwrap_or(0),
        controlfile: None,
        spfile: None,
        pieces: Vec::new(),
        logs: Vec::new(),
        directory: source.directory.as_ref().filter(|_| planned.is_none()).map(|d| d.display().to_string()),
        incarnation: None,
        until: match aim {
            Aim::Latest => Until::End,
            Aim::Scn(scn) => Until::Scn(scn),
            Aim::Time(time) => Until::Time(times::text(time)),
            Aim::Sequence { thread, sequence } => Until::Sequence { thread, sequence },
        },
        newnames: Vec::new(),
        files: Vec::new(),
        channels: cli.channels,
    };
    let Some((intake, plan)) = planned else {
        if cli.restore.controlfile || cli.restore.spfile {
            let piece = source.directory.as_deref().and_then(autobackup);
            let Some(piece) = piece else {
                return Err(Failure::new(Exit::Finding, "no piece is named like a control file autobackup (c-DBID-…)")
                    .hint("put the manifest of the backup into the directory: it tells which piece has the control file")
                    .into());
            };
            job.controlfile = cli.restore.controlfile.then(|| piece.clone());
            job.spfile = cli.restore.spfile.then_some(piece);
        }
        return Ok(job);
    };
    job.dbid = intake.dbid;
    for &set in &plan.sets {
        let on_disk = intake.catalogue.sets[set as usize].on_disk;
        for copy in intake.pieces(set) {
            let path = pieces::local(intake, copy)?.path;
            if on_disk {
                job.logs.push(path)
            } else {
                job.pieces.push(path)
            }
        }
    }
    let first_piece = |set: u32| -> anyhow::Result<Option<String>> {
        intake.pieces(set).first().map(|c| pieces::local(intake, c).map(|l| l.path)).transpose()
    };
    let controlfile = intake.catalogue.controlfiles[plan.controlfile].set;
    if cli.restore.controlfile {
        job.controlfile = first_piece(controlfile)?;
    }
    if cli.restore.spfile {
        let set = plan.spfile.map(|s| intake.catalogue.spfiles[s].set);
        job.spfile = set.map(first_piece).transpose()?.flatten();
        if job.spfile.is_none() {
            return Err(Failure::new(Exit::Finding, "there is no server parameter file in these backups")
                .hint("make an initialization parameter file by hand and leave --spfile out")
                .into());
        }
    }
    if !plan.left_out.is_empty() {
        job.files = plan.chains.iter().map(|c| u64::from(c.file.0)).collect();
    }
    job.newnames = newnames(&pieces::datafile_paths(intake, controlfile)?, &cli.restore.map);
    Ok(job)
}

fn newnames(paths: &[(u64, String)], maps: &[(String, String)]) -> Vec<(u64, String)> {
    paths.iter().filter_map(|(file, path)| Some((*file, mapped(path, maps)?))).collect()
}

/// The newest control file autobackup by its name, `c-DBID-YYYYMMDD-QQ`.
fn autobackup(dir: &Path) -> Option<String> {
    let mut found: Vec<(String, PathBuf)> = Vec::new();
    for entry in std::fs::read_dir(dir).ok()?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let parts: Vec<&str> = name.split('-').collect();
        if let ["c", dbid, day, number] = parts.as_slice() {
            if dbid.parse::<u64>().is_ok() && day.len() == 8 && number.len() >= 2 {
                found.push((format!("{day}{number}"), entry.path()));
            }
        }
    }
    found.into_iter().max().map(|(_, path)| path.display().to_string())
}

impl Work<'_> {
    /// What would be done.
    fn show(&self) -> anyhow::Result<()> {
        let steps = [
            ("mount", "bring the instance to MOUNT", self.job.mount()),
            ("crosscheck", "mark what RMAN believes to have and has not", Some(Job::crosscheck())),
            ("catalog", "make the pieces known to RMAN that it does not know yet", self.job.catalog()),
            ("restore", "restore the datafiles", Some(self.job.restore())),
            ("recover", "apply incrementals and redo", Some(self.job.recover())),
        ];
        for (action, reason, script) in steps {
            let Some(script) = script else { continue };
            self.planned(action, reason, script)?;
        }
        let resetlogs = self.incomplete();
        match (resetlogs, self.cli.restore.no_resetlogs || self.cut_short) {
            (true, true) => Ok(()),
            (true, false) => {
                self.planned("open", "an incomplete recovery ends with a new incarnation", open(true))
            }
            (false, _) => self.planned("open", "the recovery is complete", open(self.cli.restore.resetlogs)),
        }
    }

    fn planned(&self, action: &str, reason: &str, script: String) -> anyhow::Result<()> {
        self.frame.out.emit(&Planned {
            action: action.to_owned(),
            reason: reason.to_owned(),
            script: Some(script),
            ..Planned::default()
        })
    }

    /// Whether the end will be an incomplete recovery, as far as that is known before.
    fn incomplete(&self) -> bool {
        self.job.until != Until::End || self.job.controlfile.is_some()
    }

    fn restore(&mut self, lock: &Lock) -> anyhow::Result<()> {
        self.same_name(lock)?;
        if let Some(script) = self.job.mount() {
            let called = self.call("mount", &script, lock)?;
            self.must(&called, "bring the database to MOUNT", match self.job.controlfile {
                Some(_) => "look at the log; for a new machine make the directories of the control files and give --spfile",
                None => "if the control files are lost as well, give --controlfile",
            })?;
        }
        self.same_database()?;
        let called = self.call("crosscheck", &Job::crosscheck(), lock)?;
        self.must(&called, "compare RMAN's repository with the disk", "look at the log")?;
        self.leave_out_known()?;
        if let Some(script) = self.job.catalog() {
            let called = self.call("catalog", &script, lock)?;
            self.must(&called, "make the pieces known to RMAN", "the pieces are whole: look at the log")?;
        }
        if let Some((_, plan)) = &self.plan {
            if !plan.youngest {
                self.job.incarnation = Some(database::incarnation(&self.target.sqlplus, plan.resetlogs)?);
            }
        }
        if !self.cli.restore.map.is_empty() {
            self.job.newnames = newnames(&self.paths()?, &self.cli.restore.map);
        }
        let called = self.call("restore", &self.job.restore(), lock)?;
        self.must(
            &called,
            "restore the datafiles",
            "run the same command again: what is restored is not restored twice",
        )?;
        let complete = self.recover(lock)?;
        self.prove()?;
        self.open(complete, lock)
    }

    /// RECOVER; says whether it was complete.
    fn recover(&mut self, lock: &Lock) -> anyhow::Result<bool> {
        let log = self.log_path("recover");
        let called = self.call("recover", &self.job.recover(), lock)?;
        if called.ended_well() {
            return Ok(!self.incomplete());
        }
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        let Some((thread, sequence, scn)) = unknown_log(&text).filter(|_| !called.stopped()) else {
            self.must(
                &called,
                "recover the database",
                "run the same command again: recovery goes on where it was",
            )?;
            return Ok(false);
        };
        if self.job.until != Until::End || !self.is_the_next(thread, sequence, scn)? {
            let message = format!(
                "recovery stopped before its end: thread {thread} sequence {sequence} (SCN {scn}) is missing"
            );
            return Err(Failure::new(Exit::Failed, message)
                .hint("find the log, or choose a target before it with --until-scn")
                .code("RMAN-06054")
                .into());
        }
        self.target.say(Log::info(format!(
            "recovery asked for thread {thread} sequence {sequence}, the first that was never archived: that is its end"
        )))?;
        Ok(false)
    }

    /// Whether the log that recovery asks for is the one after the last that anybody knows.
    fn is_the_next(&self, thread: u32, sequence: u64, scn: u64) -> anyhow::Result<bool> {
        if let Some((intake, plan)) = &self.plan {
            let of_thread =
                intake.catalogue.logs.iter().filter(|l| l.thread == thread && l.resetlogs == plan.resetlogs);
            let last = of_thread.map(|l| l.sequence).max();
            let of_control_file = self.last_archived(thread, plan.resetlogs)?;
            return Ok(scn >= plan.reached.scn && sequence > last.max(of_control_file).unwrap_or(0));
        }
        let mut script = Script::new();
        let known = format!(
            "FROM (SELECT SEQUENCE# S, THREAD# T, RESETLOGS_CHANGE# R FROM V$BACKUP_REDOLOG UNION ALL \
             SELECT SEQUENCE#, THREAD#, RESETLOGS_CHANGE# FROM V$ARCHIVED_LOG) L \
             WHERE L.T = {thread} AND L.R = (SELECT RESETLOGS_CHANGE# FROM V$DATABASE)"
        );
        let row = script.query(&[scn_of("MAX(L.S)")], known);
        let reply = self.target.sqlplus.run(&script).context("ask for the last log that is known")?;
        let last = reply.row(row)?.get::<Option<u64>>(0)?;
        Ok(last.is_some_and(|last| sequence == last + 1))
    }

    /// The last log of a thread that the mounted control file saw archived: one that is lost by now is a loss all the same.
    fn last_archived(&self, thread: u32, resetlogs: u64) -> anyhow::Result<Option<u64>> {
        let mut script = Script::new();
        let rest =
            format!("FROM V$ARCHIVED_LOG WHERE THREAD# = {thread} AND RESETLOGS_CHANGE# = {resetlogs}");
        let row = script.query(&[scn_of("MAX(SEQUENCE#)")], rest);
        let reply = self.target.sqlplus.run(&script).context("ask for the last archived log")?;
        reply.row(row)?.get(0)
    }

    /// RMAN may be content with what cannot be opened, so the headers are asked.
    fn prove(&mut self) -> anyhow::Result<()> {
        let headers = database::headers(&self.target.sqlplus)?;
        let goal = match (&self.plan, &self.job.until) {
            (Some((_, plan)), Until::Time(_)) => plan.aim.base.saturating_sub(1),
            (Some((_, plan)), _) => plan.reached.scn,
            (None, Until::Scn(scn)) => *scn,
            (None, _) => 0,
        };
        let flaws = database::flaws(&headers, goal);
        if let Some(first) = flaws.first() {
            for flaw in &flaws {
                self.target.say(Log::error(flaw.clone()))?;
            }
            return Err(Failure::new(
                Exit::Failed,
                format!("RMAN was content, and the database cannot be opened: {first}"),
            )
            .hint("recovery has to go further: find more archived logs and run it again")
            .into());
        }
        for header in headers.iter().filter(|h| h.online) {
            self.frame.out.emit(&Datafile {
                file: header.file,
                tablespace: header.tablespace.clone(),
                path: header.path.clone(),
                status: CopyStatus::Copied,
                bytes: Some(header.bytes),
                checkpoint_scn: Some(header.checkpoint),
                ..Datafile::default()
            })?;
        }
        self.report.count("datafiles", headers.len() as u64);
        if let Some((_, plan)) = self.plan.as_ref().filter(|(_, p)| p.start < p.aim.end) {
            self.frame.out.emit(&planner::window(plan))?;
        }
        let scn =
            headers.iter().filter(|h| h.online && !h.read_only).map(|h| h.checkpoint).max().unwrap_or(0);
        self.report.message = Some(format!("restored and recovered to SCN {scn}"));
        Ok(())
    }

    fn open(&mut self, complete: bool, lock: &Lock) -> anyhow::Result<()> {
        let resetlogs = !complete || self.cli.restore.resetlogs;
        if resetlogs && self.cli.restore.no_resetlogs {
            let message = "recovered and left mounted: ALTER DATABASE OPEN RESETLOGS opens it";
            return self.target.say(Log::info(message));
        }
        if resetlogs && self.cut_short {
            // A new incarnation cannot be taken back; whether this is far enough is for a person to say.
            let message = format!(
                "{} and left mounted: the run before this one could not bring all, so that later changes may be lost; \
                 find what it names and run this again, or ALTER DATABASE OPEN RESETLOGS",
                self.report.message.take().unwrap_or_default()
            );
            self.report.message = Some(message.clone());
            return self.target.say(Log::warning(message));
        }
        let called = self.call("open", &open(resetlogs), lock)?;
        self.must(&called, "open the database", "the datafiles are recovered; look at the alert log")?;
        let found = database::look(&self.target.sqlplus)?;
        anyhow::ensure!(found.state == State::Open, "RMAN opened the database, and it is not open");
        let how = if resetlogs { " with RESETLOGS; make a level 0 backup now" } else { "" };
        let message = format!("{} and opened{how}", self.report.message.take().unwrap_or_default());
        self.target.say(Log::info(message.clone()))?;
        self.report.message = Some(message);
        Ok(())
    }

    /// Before a control file or a parameter file is written, for those of another database may be there: with the wrong
    /// ORACLE_SID nothing else would stop it. An instance without any parameter file is called DUMMY by RMAN.
    fn same_name(&mut self, lock: &Lock) -> anyhow::Result<()> {
        let Some(ours) = self.plan.as_ref().and_then(|(intake, _)| intake.db.clone()) else { return Ok(()) };
        let writes = self.job.controlfile.is_some() || self.job.spfile.is_some();
        if !writes || self.job.state >= State::Mounted {
            return Ok(());
        }
        if self.job.state == State::Down {
            let called = self.call("nomount", "STARTUP NOMOUNT;\nEXIT;\n", lock)?;
            self.must(&called, "start the instance", "look at the log; on a new machine give --spfile")?;
            self.job.state = State::Started;
        }
        let mut script = Script::new();
        let row = script.query(&["VALUE"], "FROM V$PARAMETER WHERE NAME = 'db_name'");
        let reply = self.target.sqlplus.run(&script).context("ask the instance for its db_name")?;
        let name = reply.row(row)?.get::<Option<String>>(0)?.unwrap_or_default();
        let blank = self.job.spfile.is_some() && name.eq_ignore_ascii_case("DUMMY");
        if name.eq_ignore_ascii_case(&ours) || blank {
            return Ok(());
        }
        Err(Failure::new(
            Exit::Refused,
            format!("the instance is of database {name}, the pieces are of {ours}: no file was touched"),
        )
        .hint("set ORACLE_SID to the right instance; on a new machine give --spfile as well")
        .into())
    }

    /// After the mount it is known whose control file this is.
    fn same_database(&self) -> anyhow::Result<()> {
        let found = database::look(&self.target.sqlplus)?;
        guard(self.cli, &Found { state: State::Mounted, ..found }, self.plan.as_ref().map(|(i, _)| i.dbid))?;
        Ok(())
    }

    /// A piece that the repository knows already is refused (RMAN-07519).
    fn leave_out_known(&mut self) -> anyhow::Result<()> {
        let mut script = Script::new();
        let pieces =
            script.query(&["HANDLE"], "FROM V$BACKUP_PIECE WHERE STATUS = 'A' AND HANDLE IS NOT NULL");
        let logs = script.query(&["NAME"], "FROM V$ARCHIVED_LOG WHERE DELETED = 'NO' AND NAME IS NOT NULL");
        let reply = self.target.sqlplus.run(&script).context("ask which pieces RMAN knows")?;
        let mut known = std::collections::HashSet::new();
        for row in reply.rows(pieces).iter().chain(reply.rows(logs)) {
            known.insert(row.get::<String>(0)?);
        }
        self.job.pieces.retain(|p| !known.contains(p));
        self.job.logs.retain(|l| !known.contains(l));
        Ok(())
    }

    /// V$DATAFILE: file numbers and paths.
    fn paths(&self) -> anyhow::Result<Vec<(u64, String)>> {
        let mut script = Script::new();
        let rows = script.query(&[scn("FILE#"), "NAME".to_owned()], "FROM V$DATAFILE ORDER BY FILE#");
        let reply = self.target.sqlplus.run(&script).context("read V$DATAFILE")?;
        reply.rows(rows).iter().map(|row| Ok((row.get(0)?, row.get(1)?))).collect()
    }

    fn log_path(&self, what: &str) -> PathBuf {
        self.target.log_dir.join(format!("restore_log_{}_{what}_{}.log", self.stamp, std::process::id()))
    }

    /// One call of RMAN; who runs it is written down, so that a run after a kill can end it.
    fn call(&self, what: &str, script: &str, lock: &Lock) -> anyhow::Result<Called> {
        let log = self.log_path(what);
        self.target.log.info(&format!("{what}: RMAN writes {}", log.display()));
        let over = AtomicBool::new(false);
        let called = std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut noted = None;
                while !over.load(Ordering::Relaxed) {
                    lock.progress();
                    let rman = our_rman();
                    if rman.is_some() && rman != noted && self.marker(rman, &log).is_ok() {
                        noted = rman;
                    }
                    std::thread::sleep(Duration::from_millis(50));
                }
            });
            let called = self.target.rman.run(script, &log);
            over.store(true, Ordering::Relaxed);
            called
        })?;
        let name = log.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        // The end of the redo looks like a failure and is judged by who called.
        if what != "recover" || called.ended_well() {
            check::emit(self.frame, &name, &called.verdict)?;
        }
        Ok(called)
    }

    fn must(&self, called: &Called, what: &str, hint: &str) -> anyhow::Result<()> {
        if called.ended_well() {
            return Ok(());
        }
        if called.stopped() {
            let exit = match called.done.ended {
                common::process::Ended::TimedOut(_) => Exit::TimedOut,
                _ => Exit::Interrupted,
            };
            return Err(Failure::new(exit, format!("{what}: {}", called.done.describe()))
                .hint("run the same command again: it goes on where it was")
                .into());
        }
        let worst = called.verdict.findings.iter().find(|f| f.severity == crate::verdict::Severity::Error);
        let why = worst.map_or_else(|| called.done.describe(), |f| f.message.clone());
        let mut failure = Failure::new(Exit::Failed, format!("{what}: {why}")).hint(hint);
        failure.code = worst.and_then(|f| f.code.clone());
        Err(failure.into())
    }

    fn marker_path(&self) -> PathBuf {
        self.target.state_dir.join(format!("rman-restore.{}.running", self.target.sid))
    }

    fn marker(&self, rman: Option<(i32, u64)>, log: &Path) -> anyhow::Result<()> {
        let marker = Marker {
            run: self.frame.run.clone(),
            host: common::app::host(),
            sid: self.target.sid.clone(),
            tag: String::new(),
            log: log.display().to_string(),
            rman,
        };
        durable::write(&self.marker_path(), &serde_json::to_vec(&marker)?)
    }

    /// An RMAN of a restore that was killed must not go on beside ours.
    fn end_orphan(&self) -> anyhow::Result<()> {
        let Some(bytes) = durable::read(&self.marker_path())? else { return Ok(()) };
        let marker: Option<Marker> = serde_json::from_slice(&bytes).ok();
        if let Some(marker) = marker {
            if end_rman(&marker) {
                self.target.say(Log::warning(format!(
                    "an RMAN of run {} was still running and was ended",
                    marker.run
                )))?;
            }
            self.target.say(Log::info(format!("run {} was interrupted; the restore goes on", marker.run)))?;
        }
        Ok(())
    }

    fn forget_marker(&self) -> anyhow::Result<()> {
        match self.marker_path().exists() {
            true => durable::remove(&self.marker_path()),
            false => Ok(()),
        }
    }
}

fn scn_of(expression: &str) -> String {
    scn(expression)
}
