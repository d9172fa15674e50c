//! `--simulate`: the calendar of the retention, one archive a day, beginning with what is there.

use std::path::PathBuf;

use chrono::{Days, Local, NaiveTime, TimeZone};
use common::app::{Frame, Report};
use common::exit::Exit;
use common::record::{Log, Planned};

use crate::cli::Cli;
use crate::days::Names;
use crate::facts::{survey, Question};
use crate::plan::{plan, Backup, Fate, Policy, State};

/// Prints it; nothing is changed, and archives are not read in full.
pub fn run(cli: &Cli, frame: &Frame, names: &Names, policy: Policy, db: &str) -> anyhow::Result<Report> {
    let days = cli.simulate.map_or(0, |d| d.as_secs().div_ceil(86_400));
    let today = Local::now().date_naive();
    let mut there = existing(cli, names, db, today)?;
    let mut report = Report::new(Exit::Success);
    for n in 0..days {
        let Some(day) = today.checked_add_days(Days::new(n)) else { break };
        let night = day.and_time(NaiveTime::from_hms_opt(3, 0, 0).unwrap_or_default());
        // An hour that daylight saving has taken away: noon is there in any case.
        let time = Local.from_local_datetime(&night).earliest().unwrap_or_else(Local::now);
        let name = names.name(time, 1);
        there.retain(|b| b.name != name);
        there.push(Backup { name, day, made: time.timestamp(), bytes: 0, state: State::Good });
        let (mut kept, mut removed) = (Vec::new(), Vec::new());
        for decision in plan(&there, policy, day) {
            match decision.fate {
                Fate::Kept => kept.push(decision.backup),
                Fate::Removed => {
                    removed.push(decision.backup.day);
                    frame.out.emit(&Planned {
                        action: "remove".to_owned(),
                        reason: format!("on {day}: {}", decision.reason),
                        path: Some(decision.backup.name),
                        ..Planned::default()
                    })?;
                }
            }
        }
        frame.out.emit(&Log::info(line(day, &kept, removed.len())))?;
        report.count("days", 1);
        report.count("removed", removed.len() as u64);
        there = kept;
    }
    Ok(report)
}

fn line(day: chrono::NaiveDate, kept: &[Backup], removed: usize) -> String {
    let mut days: Vec<_> = kept.iter().map(|b| b.day.format("%m-%d").to_string()).collect();
    days.reverse();
    format!("{day}: keeps {} ({}), removes {removed}", kept.len(), days.join(" "))
}

fn existing(cli: &Cli, names: &Names, db: &str, today: chrono::NaiveDate) -> anyhow::Result<Vec<Backup>> {
    let Some(dir) = cli.dir.as_ref().filter(|d| d.is_dir()) else { return Ok(Vec::new()) };
    let dir: PathBuf = std::path::absolute(dir)?;
    let question = Question {
        template: cli.name.clone(),
        db: db.to_owned(),
        prove: 0,
        known: std::collections::BTreeMap::new(),
        today,
        now: Local::now().timestamp(),
    };
    let found = survey(&dir, &question, &mut |_| crate::job::stopped())?;
    Ok(found.seen.iter().map(|s| s.backup(names)).collect())
}
