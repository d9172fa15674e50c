//! One run: what came before, what is on the array, what is decided, what is done.

use chrono::Utc;
use common::app::{Frame, Report};
use common::exit::{Exit, Failure};
use common::lock::Lock;
use common::logfile::LogFile;
use common::record::{Kept, Log, Planned};

use crate::apply::{age, bytes, kept, Apply, Counts};
use crate::cli::Cli;
use crate::gather::{gather, Found};
use crate::input::{self, Before};
use crate::ours::{judge, time_of, Seen, Snapshot, Verdict};
use crate::plan::{excess, plan, Decision, Excess, Fate, Policy};
use crate::sets::sets;
use crate::simulate;

/// The clock of a name has no zone; a difference beyond a day is none of zones.
const NAME_MILLIS: i64 = 24 * 3_600_000;

/// The tool.
pub fn run(cli: &Cli, frame: &Frame) -> anyhow::Result<Report> {
    let before =
        if input::is_given() { input::read(std::io::stdin().lock(), frame)? } else { Before::nothing() };
    let ended = proceed(cli, frame, before.forbids.as_deref());
    let exit = before.exit;
    match ended {
        Ok(mut report) => {
            report.exit = Some(report.exit.unwrap_or(Exit::Success).worse(exit));
            Ok(report)
        }
        Err(error) if exit == Exit::Success => Err(error),
        Err(error) => Err(beside(error, exit)),
    }
}

/// A failure of ours after a failure of the tool before: the worse status of the two.
fn beside(error: anyhow::Error, exit: Exit) -> anyhow::Error {
    let ours = common::exit::status_of(&error);
    let hint = common::exit::failure(&error).and_then(|f| f.hint.clone());
    let message = format!("{error:#}");
    Failure { exit: ours.worse(exit), message, hint, code: None }.into()
}

fn proceed(cli: &Cli, frame: &Frame, forbids: Option<&str>) -> anyhow::Result<Report> {
    let policy = Policy {
        older_than: i64::try_from(cli.older_than.as_millis()).unwrap_or(i64::MAX),
        keep_last: cli.keep_last,
        require_metadata: cli.require_metadata,
    };
    if let Some(why) = policy.refusal() {
        return Err(Failure::new(Exit::Refused, why)
            .hint("--older-than and --keep-last say how much is kept")
            .into());
    }
    if let Some(days) = cli.simulate {
        return calendar(cli, frame, policy, days);
    }
    let array = cli.array.open(frame.tool)?;
    if let Some(why) = forbids {
        frame.out.emit(&Log::warning(format!("{why}: nothing is deleted")))?;
        let mut report = Report::new(Exit::Success);
        report.message = Some(format!("nothing was deleted: {why}"));
        return Ok(report);
    }
    if cli.common.dry_run {
        let log = LogFile::open(None, frame.tool, frame.verbose)?;
        let found = gather(&array, &cli.word, cli.ignore_clock_difference)?;
        let decided = decide(cli, frame, &log, &found, policy)?;
        return dry_run(cli, frame, &log, &found, &decided);
    }
    let name = lock_name(&array.address());
    let lock = Lock::take(&cli.common.state_dir()?, &name, frame.tool, &frame.run, cli.common.lock_timeout)?;
    let log = frame.log(&cli.common, "ib-prune.log")?;
    log.info(&format!("looks at {}", array.address()));
    let ended = (|| {
        let found = gather(&array, &cli.word, cli.ignore_clock_difference)?;
        lock.progress();
        let decided = decide(cli, frame, &log, &found, policy)?;
        brake(cli, &decided.plan)?;
        let mut report = Report::new(Exit::Success);
        let mut counts = Counts::default();
        counts.kept += report_kept(frame, &found, &decided)?;
        let mut apply =
            Apply { array: &array, frame, log: &log, lock: &lock, seen: &found.seen, now: found.now, counts };
        let (exit, message) = apply.run(&decided.plan)?;
        let counts = apply.counts;
        for (name, n) in [
            ("removed", counts.removed),
            ("kept", counts.kept),
            ("failed", counts.failed),
            ("gone", counts.gone),
        ] {
            report.count(name, n);
        }
        report.exit = Some(exit);
        report.message = message;
        log.info(&format!(
            "removed {}, kept {}, failed {}, gone already {}",
            counts.removed, counts.kept, counts.failed, counts.gone
        ));
        Ok(report)
    })();
    if let Err(error) = &ended {
        let error: &anyhow::Error = error;
        // The frame says it on standard error.
        log.info(&format!("ended: {error:#}"));
    }
    ended
}

fn lock_name(address: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || ".-".contains(c) { c } else { '_' };
    format!("ib-prune.{}", address.chars().map(plain).collect::<String>())
}

/// What is to be done, and what is none of ours.
struct Decided {
    plan: Vec<Decision>,
    /// Objects with the word in their names, and why they are not ours.
    strangers: Vec<(usize, String)>,
}

fn configured(cli: &Cli, seen: &[Seen]) -> Vec<u64> {
    let named: Vec<&str> = cli.data_volume.iter().chain(&cli.archive_volume).map(|v| v.trim()).collect();
    let masters = seen.iter().filter(|s| s.volume.parent().is_none());
    masters.filter(|s| named.contains(&s.volume.name.as_str())).map(|s| s.volume.id).collect()
}

fn split(cli: &Cli, found: &Found) -> (Vec<Snapshot>, Vec<(usize, String)>) {
    let (mut ours, mut strangers) = (Vec::new(), Vec::new());
    for (at, verdict) in judge(&found.seen, &cli.word, found.now).into_iter().enumerate() {
        match verdict {
            Verdict::Ours(snapshot) => ours.push(*snapshot),
            Verdict::NotOurs(why) => strangers.push((at, why)),
            Verdict::Unmentioned => {}
        }
    }
    (ours, strangers)
}

fn decide(cli: &Cli, frame: &Frame, log: &LogFile, found: &Found, policy: Policy) -> anyhow::Result<Decided> {
    for warning in &found.warnings {
        say(frame, log, &Log::warning(warning))?;
    }
    let (ours, strangers) = split(cli, found);
    for snapshot in &ours {
        let named = time_of(&snapshot.stamp).map(|t| t.and_utc().timestamp_millis());
        if named.is_some_and(|n| (n - snapshot.created).abs() > NAME_MILLIS) {
            say(
                frame,
                log,
                &Log::warning(format!(
                    "{} was taken {} ago by the array's clock, which is not what its name says; the array's clock counts",
                    snapshot.name,
                    crate::plan::span(found.now - snapshot.created)
                )),
            )?;
        }
    }
    let (sets, _) = sets(ours, &configured(cli, &found.seen));
    Ok(Decided { plan: plan(sets, policy, found.now), strangers })
}

fn say(frame: &Frame, log: &LogFile, record: &Log) -> anyhow::Result<()> {
    log.say(record);
    frame.out.emit(record)
}

fn too_much(found: &[Excess]) -> Option<String> {
    let worst = found.first()?;
    let others = match found.len() - 1 {
        0 => String::new(),
        n => format!(", and too many of {n} more"),
    };
    Some(format!("{} of the {} sets of {}{others}", worst.removed, worst.of, worst.whose))
}

fn brake(cli: &Cli, plan: &[Decision]) -> anyhow::Result<()> {
    let Some(what) = too_much(&excess(plan, cli.max_delete)).filter(|_| !cli.force) else { return Ok(()) };
    Err(Failure::new(
        Exit::Refused,
        format!("it would delete {what}: more than --max-delete allows; nothing was deleted"),
    )
    .hint(
        "look at it with --dry-run; if these are leftovers of years, run it once with --force; if not, look at \
         --older-than and at the array's clock",
    )
    .into())
}

fn report_kept(frame: &Frame, found: &Found, decided: &Decided) -> anyhow::Result<u64> {
    let mut n = 0;
    for (at, why) in &decided.strangers {
        let Some(seen) = found.seen.get(*at) else { continue };
        n += 1;
        let created = seen.volume.created_at;
        frame.out.emit(&Kept {
            reason: format!("not ours: {why}"),
            snapshot: Some(seen.volume.name.clone()),
            age: created.map(|c| (found.now - c) as f64 / 1000.0),
            ..Kept::default()
        })?;
    }
    // Sets of another prefix were looked at for the archived logs that they need, and are nobody's business here.
    let asked = |d: &&Decision| d.fate == Fate::Kept && d.set.members().any(|s| s.chosen);
    for decision in decided.plan.iter().filter(asked) {
        for snapshot in decision.set.members() {
            n += 1;
            frame.out.emit(&kept(&found.seen, snapshot, &decision.reason, found.now))?;
        }
    }
    Ok(n)
}

fn dry_run(
    cli: &Cli,
    frame: &Frame,
    log: &LogFile,
    found: &Found,
    decided: &Decided,
) -> anyhow::Result<Report> {
    let mut report = Report::new(Exit::Success);
    report.count("kept", report_kept(frame, found, decided)?);
    for decision in decided.plan.iter().filter(|d| d.fate == Fate::Removed) {
        for snapshot in decision.set.members() {
            report.count("planned", 1);
            let days = age(snapshot, found.now) / 86_400.0;
            frame.out.emit(&Planned {
                action: "delete".to_owned(),
                reason: format!("{} ({days:.1} days)", decision.reason),
                snapshot: Some(snapshot.name.clone()),
                bytes: bytes(&found.seen, snapshot),
                ..Planned::default()
            })?;
        }
    }
    if let Some(what) = too_much(&excess(&decided.plan, cli.max_delete)).filter(|_| !cli.force) {
        let message = format!("without --force the run will be refused: it would delete {what}");
        say(frame, log, &Log::warning(&message))?;
        report.message = Some(message);
    }
    Ok(report)
}

fn calendar(cli: &Cli, frame: &Frame, policy: Policy, days: std::time::Duration) -> anyhow::Result<Report> {
    if cli.array.infinibox.iter().all(|a| a.trim().is_empty()) {
        let now = Utc::now().timestamp_millis();
        return simulate::run(frame, policy, days, cli.simulate_every, Vec::new(), &[], now);
    }
    let array = cli.array.open(frame.tool)?;
    let found = gather(&array, &cli.word, cli.ignore_clock_difference)?;
    let (ours, _) = split(cli, &found);
    let known = configured(cli, &found.seen);
    simulate::run(frame, policy, days, cli.simulate_every, ours, &known, found.now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_becomes_a_name_of_a_file() {
        assert_eq!(lock_name("box-1.example.com:8443"), "ib-prune.box-1.example.com_8443");
        assert_eq!(lock_name("[2001:db8::1]"), "ib-prune._2001_db8__1_");
    }
}
