//! `validate`: every block of the database, every piece and every archived log is read; nothing is written.

use common::app::{Frame, Report};
use common::exit::Exit;
use common::lock::Lock;
use common::oracle::script::{scn, Script};
use common::record::{Log, Planned};

use crate::check;
use crate::cli::Cli;
use crate::facts::{self, Facts};
use crate::rman::Called;
use crate::target::Target;
use crate::verdict::{Outcome, Severity};

/// One call of RMAN.
struct Step {
    name: &'static str,
    script: String,
}

/// # Errors
/// The database cannot be reached. What is damaged is in the report, with status 5.
pub fn run(cli: &Cli, frame: &Frame) -> anyhow::Result<Report> {
    let target = Target::new(cli, frame, cli.common.dry_run)?;
    let facts = facts::gather(&target.sqlplus)?;
    let steps = steps(&facts, cli.channels);
    let mut report = Report::new(Exit::Success);
    if cli.common.dry_run {
        for step in &steps {
            frame.out.emit(&Planned {
                action: "validate".to_owned(),
                reason: step.name.to_owned(),
                script: Some(step.script.clone()),
                ..Planned::default()
            })?;
        }
        return Ok(report);
    }
    let lock =
        Lock::take(&target.state_dir, &target.lock_name(), frame.tool, &frame.run, cli.common.lock_timeout)?;
    let stamp = chrono::Local::now().format("%Y%m%d_%H%M%S").to_string();
    let mut exit = Exit::Success;
    for step in &steps {
        let log = target.log_dir.join(format!("rman_validate_{}_{stamp}.log", step.name));
        let called = beating(&lock, || target.rman.run(&step.script, &log))?;
        let found = tell(&target, &called, &log.display().to_string())?;
        report.count(if found == Exit::Success { "good" } else { "bad" }, 1);
        exit = exit.worse(found);
        if called.stopped() {
            report.exit = Some(exit);
            return Ok(report);
        }
    }
    exit = exit.worse(corruption(&target, &mut report)?);
    report.exit = Some(exit);
    Ok(report)
}

/// Keeps the lock alive while something runs that says nothing for hours and has its own time limit.
pub fn beating<T: Send>(lock: &Lock, work: impl FnOnce() -> T + Send) -> T {
    use std::sync::mpsc::{channel, RecvTimeoutError};
    let (over, wait) = channel::<()>();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            while wait.recv_timeout(std::time::Duration::from_secs(1)) == Err(RecvTimeoutError::Timeout) {
                lock.progress();
            }
        });
        let done = work();
        drop(over);
        done
    })
}

fn steps(facts: &Facts, channels: u32) -> Vec<Step> {
    let channels = if facts.database.standard { 1 } else { channels };
    let run = |commands: &[String]| {
        let mut text = "RUN {\n".to_owned();
        for n in 1..=channels {
            text.push_str(&format!("  ALLOCATE CHANNEL c{n} DEVICE TYPE DISK;\n"));
        }
        for command in commands {
            text.push_str(&format!("  {command};\n"));
        }
        text.push_str("}\nEXIT;\n");
        text
    };
    let one = |command: &str| run(&[command.to_owned()]);
    let mut steps = vec![Step { name: "database", script: one("BACKUP VALIDATE CHECK LOGICAL DATABASE") }];
    if facts.logs.iter().any(|l| l.on_disk) {
        steps.push(Step { name: "archivelog", script: one("BACKUP VALIDATE ARCHIVELOG ALL") });
    }
    steps.push(Step { name: "backup", script: one("RESTORE DATABASE VALIDATE") });
    // RESTORE DATABASE VALIDATE says nothing about the redo that the restored files need.
    let files: Vec<u64> = facts.files.iter().map(|f| f.file).collect();
    let newest = files.iter().filter_map(|file| {
        facts.parents.iter().filter(|p| p.file == *file).map(|p| p.checkpoint_change).max()
    });
    if let Some(from) = newest.min() {
        steps.push(Step {
            name: "redo",
            script: one(&format!("RESTORE ARCHIVELOG FROM SCN {from} VALIDATE")),
        });
    }
    steps
}

/// What RMAN found is a finding; that RMAN could not look is a failure.
fn tell(target: &Target<'_>, called: &Called, name: &str) -> anyhow::Result<Exit> {
    const FOUND: [&str; 24] = [
        "RMAN-06023",
        "RMAN-06025",
        "RMAN-06026",
        "RMAN-06053",
        "RMAN-06056",
        "RMAN-06059",
        "RMAN-06067",
        "RMAN-06100",
        "RMAN-06160",
        "RMAN-06010",
        "ORA-01157",
        "ORA-01578",
        "ORA-19505",
        "ORA-19566",
        "ORA-19587",
        "ORA-19599",
        "ORA-19612",
        "ORA-19625",
        "ORA-19870",
        "ORA-19915",
        "ORA-27037",
        "ORA-19504",
        "ORA-19573",
        "ORA-19626",
    ];
    for finding in &called.verdict.findings {
        target.say(check::record(name, finding))?;
    }
    let errors: Vec<_> = called.verdict.findings.iter().filter(|f| f.severity == Severity::Error).collect();
    let damage = errors.iter().any(|f| match &f.code {
        Some(code) => FOUND.contains(&code.as_str()),
        None => f.message.starts_with("VALIDATE found") || f.message.starts_with("damaged blocks"),
    });
    if !called.done.success() && errors.is_empty() {
        target.say(Log::error(called.done.describe()))?;
    }
    Ok(match called.done.ended {
        common::process::Ended::TimedOut(_) => Exit::TimedOut,
        _ if damage => Exit::Finding,
        _ if !called.done.success() || called.verdict.outcome == Outcome::Failure => Exit::Failed,
        _ if called.verdict.outcome == Outcome::Warning => Exit::Partial,
        _ => Exit::Success,
    })
}

/// V$DATABASE_BLOCK_CORRUPTION, which BACKUP VALIDATE fills without any error.
fn corruption(target: &Target<'_>, report: &mut Report) -> anyhow::Result<Exit> {
    let mut script = Script::new();
    let columns = [scn("FILE#"), scn("BLOCK#"), scn("BLOCKS"), "CORRUPTION_TYPE".to_owned()];
    let step = script.query(&columns, "FROM V$DATABASE_BLOCK_CORRUPTION ORDER BY FILE#, BLOCK#");
    let reply = target.sqlplus.run(&script)?;
    for row in reply.rows(step) {
        let (file, block, blocks): (u64, u64, u64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let kind = row.get::<Option<String>>(3)?.unwrap_or_default();
        report.count("damaged_blocks", blocks);
        target.say(Log {
            code: Some("ORA-01578".to_owned()),
            ..Log::error(format!("datafile {file}: {blocks} damaged blocks from block {block} on ({kind})"))
        })?;
    }
    Ok(if reply.rows(step).is_empty() { Exit::Success } else { Exit::Finding })
}
