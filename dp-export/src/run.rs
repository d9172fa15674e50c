//! The order of a run: input, checks of all schemas, exports, verdict.

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufReader, IsTerminal};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use anyhow::Context;
use common::app::{report_error, Frame, Report};
use common::exit::{failure, status_of, Exit, Failure};
use common::logfile::LogFile;
use common::record::{Export as Record, ExportStatus, Input, Log};

use crate::check;
use crate::cli::{Cli, Consistent};
use crate::export::{asked_to_stop, check_directory, perform, reconcile, Outcome, Ready};
use crate::facts;
use crate::plan::{plan, Export, Policy};
use crate::setup::{connect, database, policy, sqlplus, Setup};
use crate::spec::{self, Spec};

pub fn run(cli: &Cli, frame: &Frame) -> anyhow::Result<Report> {
    let words: Vec<&str> = cli.args.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["check-log", ..] => return check::check(&cli.args[1..], frame),
        [] | ["-"] => {}
        [other, ..] => {
            return Err(Failure::new(Exit::Usage, format!("{other:?} is neither check-log nor -"))
                .hint(format!(
                    "to export schema {other}: --schema {other}; to judge a log: check-log {other}"
                ))
                .into());
        }
    }
    let wanted = Wanted::read(cli, frame)?;
    if wanted.silent {
        return Err(Failure::new(
            Exit::Usage,
            "no schema is named: standard input and ORACLE_USERS are empty",
        )
        .hint("is the env file read, and is the program there that should write the schemas?")
        .into());
    }
    if cli.common.dry_run {
        return dry_run(cli, frame, wanted);
    }
    if wanted.specs.is_empty() && wanted.bad.is_empty() {
        let mut report = Report::new(wanted.exit);
        report.message = Some("no schema was named".to_owned());
        return Ok(report);
    }
    Setup::new(cli, frame).and_then(|setup| exports(&setup, wanted))
}

/// The schemas that were asked for, and the lines that were none.
struct Wanted {
    specs: Vec<Spec>,
    bad: Vec<anyhow::Error>,
    /// What the input's producers ended with.
    exit: Exit,
    /// Nothing was given at all, by nobody.
    silent: bool,
}

impl Wanted {
    fn read(cli: &Cli, frame: &Frame) -> anyhow::Result<Self> {
        let connect = connect(cli)?;
        let mut wanted = Self { specs: Vec::new(), bad: Vec::new(), exit: Exit::Success, silent: true };
        for schema in &cli.schemas {
            wanted.specs.push(spec::from_name(schema, &connect)?);
        }
        let dash = cli.args.iter().any(|a| a == "-");
        let piped = !std::io::stdin().is_terminal();
        if dash || (cli.schemas.is_empty() && piped) {
            wanted.lines(cli, frame)?;
        }
        // Lines of standard input come first; cron's is empty.
        let nothing = wanted.specs.is_empty() && wanted.bad.is_empty();
        match (&cli.oracle_users, nothing && !dash) {
            (Some(text), true) => {
                for found in spec::from_setting(text, cli.service.as_deref())? {
                    wanted.add(found);
                }
            }
            (None, true) if !piped => {
                return Err(Failure::new(Exit::Usage, "no schema is named")
                    .hint("name one with --schema, in ORACLE_USERS, or as JSON lines on standard input")
                    .into());
            }
            _ => {}
        }
        wanted.silent &= wanted.specs.is_empty() && wanted.bad.is_empty();
        Ok(wanted)
    }

    fn add(&mut self, found: anyhow::Result<Spec>) {
        match found {
            Ok(spec) => self.specs.push(spec),
            Err(error) => self.bad.push(error),
        }
    }

    fn lines(&mut self, cli: &Cli, frame: &Frame) -> anyhow::Result<()> {
        let mut input = Input::new(BufReader::new(std::io::stdin()), None);
        while let Some(line) = input.next_line()? {
            self.silent = false;
            // Passed on byte for byte, but never a password.
            if !spec::has_password(line.raw()) {
                frame.out.forward(&line)?;
            }
            match line.kind() {
                Ok(None) => {
                    let found = spec::from_line(line.raw(), cli.service.as_deref());
                    self.add(found.with_context(|| format!("line {} of the input", line.number())));
                }
                Ok(Some(_)) => {}
                Err(error) => self.bad.push(spec::with_example(error)),
            }
        }
        self.exit = input.worst();
        let died = input.died();
        if !died.is_empty() {
            frame.out.emit(&Log::error(format!("died before its end: {}", died.join(", "))))?;
            self.exit = self.exit.worse(Exit::Failed);
        }
        Ok(())
    }
}

fn gather(
    spec: &Spec,
    sqlplus: &common::oracle::sqlplus::Sqlplus,
    policy: &Policy,
    cli: &Cli,
    n: usize,
) -> anyhow::Result<(Export, facts::Facts)> {
    let facts = facts::gather(sqlplus, &spec.schema, &policy.directory, cli.consistent == Consistent::Yes)?;
    let nonce = format!("{}{:X}{n}", policy.now.format("%m%d%H%M%S"), std::process::id());
    let export = plan(spec, &facts, policy, &nonce)?;
    check_directory(&export)?;
    Ok((export, facts))
}

fn dry_run(cli: &Cli, frame: &Frame, wanted: Wanted) -> anyhow::Result<Report> {
    let policy = policy(cli, frame, &database(cli));
    let mut report = Report::new(wanted.exit);
    let mut worst = Exit::Success;
    let sheet = LogFile::open(None, frame.tool, frame.verbose)?;
    for (n, spec) in wanted.specs.iter().enumerate() {
        for key in &spec.unknown {
            let warning = Log::warning(unknown_key(spec, key));
            sheet.say(&warning);
            frame.out.emit(&warning)?;
        }
        let planned = sqlplus(cli, spec).and_then(|(_, sqlplus)| gather(spec, &sqlplus, &policy, cli, n));
        match planned {
            Ok((export, _)) => {
                frame.out.emit(&export.planned())?;
                report.count("planned", 1);
            }
            Err(error) => {
                report.count("failed", 1);
                worst = worst.worse(status_of(&error));
                let error = error.context(format!("schema {}", spec.schema));
                frame.out.emit(&Log::error(format!("{error:#}")))?;
                report_error(frame.tool, &error);
            }
        }
    }
    for error in &wanted.bad {
        report.count("failed", 1);
        worst = worst.worse(status_of(error));
        frame.out.emit(&Log::error(format!("{error:#}")))?;
        report_error(frame.tool, error);
    }
    if worst != Exit::Success && report.counts.contains_key("planned") {
        worst = Exit::Partial;
    }
    report.exit = Some(worst.worse(wanted.exit));
    Ok(report)
}

fn exports(setup: &Setup<'_>, wanted: Wanted) -> anyhow::Result<Report> {
    let mut tally = Tally::default();
    for error in &wanted.bad {
        setup.log.error(&format!("{error:#}"));
        if let Some(hint) = failure(error).and_then(|f| f.hint.as_deref()) {
            setup.log.error(&format!("hint: {hint}"));
        }
        setup.frame.out.emit(&Log::error(format!("{error:#}")))?;
        tally.failed(status_of(error));
    }
    let ready = prepare(setup, &wanted.specs, &mut tally)?;
    let queue = Mutex::new(VecDeque::from(ready));
    let tally = Mutex::new(tally);
    let workers = setup.cli.jobs.max(1);
    std::thread::scope(|scope| -> anyhow::Result<()> {
        let worker = || -> anyhow::Result<()> {
            while !asked_to_stop() {
                let Some(next) = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front() else {
                    break;
                };
                let outcome = perform(setup, &next)?;
                tally.lock().unwrap_or_else(PoisonError::into_inner).ended(&outcome);
            }
            Ok(())
        };
        let threads: Vec<_> = (0..workers).map(|_| scope.spawn(worker)).collect();
        for thread in threads {
            thread.join().map_err(|_| anyhow::anyhow!("a worker ended unexpectedly"))??;
        }
        Ok(())
    })?;
    let mut tally = tally.into_inner().unwrap_or_else(PoisonError::into_inner);
    for left in queue.into_inner().unwrap_or_else(PoisonError::into_inner) {
        not_exported(
            setup,
            &left.export.schema,
            &anyhow::anyhow!("the run was asked to stop before its turn"),
        )?;
        tally.failed(Exit::Failed);
    }
    Ok(tally.report(wanted.exit))
}

/// Checks every schema before the first export begins.
fn prepare(setup: &Setup<'_>, specs: &[Spec], tally: &mut Tally) -> anyhow::Result<Vec<Ready>> {
    let mut ready: Vec<Ready> = Vec::new();
    let mut names: BTreeMap<PathBuf, String> = BTreeMap::new();
    for (n, spec) in specs.iter().enumerate() {
        for key in &spec.unknown {
            setup.say(Log::warning(unknown_key(spec, key)))?;
        }
        match prepared(setup, spec, n, &mut names) {
            Ok(one) => ready.push(one),
            Err(error) => {
                tally.failed(status_of(&error));
                not_exported(setup, &spec.schema, &error)?;
            }
        }
    }
    for entry in &setup.left {
        // Another user may not see the job, and would take it for gone.
        let sees = |owner: &str| owner == entry.owner || matches!(owner, "SYS" | "SYSTEM");
        let own = ready.iter().find(|r| r.export.owner == entry.owner);
        let work = own.or_else(|| ready.iter().find(|r| sees(&r.export.owner))).map(|r| &r.work);
        if let Err(error) = reconcile(setup, entry, work) {
            setup.say(Log::warning(format!("clean up after an earlier run: {error:#}")))?;
            tally.warned = true;
        }
    }
    Ok(ready)
}

fn unknown_key(spec: &Spec, key: &str) -> String {
    format!("schema {}: unknown key {key:?} is ignored", spec.schema)
}

fn prepared(
    setup: &Setup<'_>,
    spec: &Spec,
    n: usize,
    names: &mut BTreeMap<PathBuf, String>,
) -> anyhow::Result<Ready> {
    let work = setup.work(spec, n)?;
    let (export, facts) = gather(spec, &work.sqlplus, &setup.policy, setup.cli, n)?;
    for name in export.names() {
        // Some file systems do not tell capitals apart.
        let to = PathBuf::from(export.dir.join(name).to_string_lossy().to_lowercase());
        if let Some(other) = names.insert(to, spec.schema.clone()) {
            let text = format!("{} is the name of a dump of {other} already", export.final_dump);
            return Err(Failure::new(Exit::Usage, text)
                .hint("put {schema} into --name, and name each schema once")
                .into());
        }
    }
    Ok(Ready { export, facts, work })
}

fn not_exported(setup: &Setup<'_>, schema: &str, error: &anyhow::Error) -> anyhow::Result<()> {
    setup.log.error(&format!("export {schema}: {error:#}"));
    let found = failure(error);
    if let Some(hint) = found.and_then(|f| f.hint.as_deref()) {
        setup.log.error(&format!("export {schema}: hint: {hint}"));
    }
    setup.frame.out.emit(&Record {
        schema: schema.to_owned(),
        status: ExportStatus::Failed,
        code: found.and_then(|f| f.code.clone()),
        reason: Some(format!("{error:#}")),
        ..Record::default()
    })
}

/// How the schemas ended.
#[derive(Default)]
struct Tally {
    exported: u64,
    partial: u64,
    failed: u64,
    warned: bool,
    /// The worst status of those that failed.
    worst: Option<Exit>,
}

impl Tally {
    fn failed(&mut self, exit: Exit) {
        self.failed += 1;
        self.worst = Some(self.worst.map_or(exit, |w| w.worse(exit)));
    }

    fn ended(&mut self, outcome: &Outcome) {
        match outcome.status {
            ExportStatus::Success => {
                self.exported += 1;
                self.warned |= outcome.exit != Exit::Success;
            }
            ExportStatus::Partial => self.partial += 1,
            ExportStatus::Failed => self.failed(outcome.exit),
        }
    }

    fn report(&self, input: Exit) -> Report {
        let exit = match (self.exported + self.partial, self.failed) {
            (0, 0) => Exit::Success,
            // Nothing was exported: the cause decides, so that "try again" stays that.
            (0, _) => self.worst.unwrap_or(Exit::Failed),
            (_, 0) if self.partial == 0 && !self.warned => Exit::Success,
            _ => Exit::Partial,
        };
        let mut report = Report::new(exit.worse(input));
        report.count("exported", self.exported);
        report.count("partial", self.partial);
        report.count("failed", self.failed);
        report
    }
}
