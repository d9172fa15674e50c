//! `--simulate`: the calendar of the retention, with sets that come regularly, beginning with what is there.

use std::time::Duration;

use chrono::DateTime;
use common::app::{Frame, Report};
use common::exit::Exit;
use common::infinibox::{SetKind, SetMark, SetState};
use common::record::{Log, Planned};

use crate::ours::Snapshot;
use crate::plan::{plan, Fate, Policy};
use crate::sets::sets;

const DAY: i64 = 86_400_000;

/// Prints it; nothing is changed. `now` is the first day in epoch milliseconds, `there` what is on the array.
pub fn run(
    frame: &Frame,
    policy: Policy,
    days: Duration,
    every: Duration,
    there: Vec<Snapshot>,
    configured: &[u64],
    now: i64,
) -> anyhow::Result<Report> {
    let days = i64::try_from(days.as_secs().div_ceil(86_400)).unwrap_or(i64::MAX);
    let every = i64::try_from(every.as_millis()).unwrap_or(i64::MAX).max(1000);
    let mut report = Report::new(Exit::Success);
    let mut there = there;
    let mut next = now;
    let mut id = there.iter().map(|s| s.id).max().unwrap_or(0);
    let model = there.iter().rev().find(|s| s.mark.is_some()).cloned();
    for day in 1..=days {
        let end = now + day * DAY;
        while next < end {
            there.extend(new_set(next, &mut id, model.as_ref()));
            next += every;
        }
        let decisions = plan(sets(there, configured).0, policy, end);
        let date = DateTime::from_timestamp_millis(end - DAY).map(|d| d.format("%Y-%m-%d").to_string());
        let date = date.unwrap_or_default();
        let (mut kept, mut removed, mut oldest) = (0, 0, end);
        there = Vec::new();
        for decision in decisions {
            match decision.fate {
                Fate::Kept => {
                    kept += 1;
                    oldest = oldest.min(decision.set.begun());
                    there.extend(decision.set.members().cloned());
                }
                Fate::Removed => {
                    removed += 1;
                    frame.out.emit(&Planned {
                        action: "delete".to_owned(),
                        reason: format!("on {date}: {}", decision.reason),
                        snapshot: Some(decision.set.name().to_owned()),
                        ..Planned::default()
                    })?;
                }
            }
        }
        let age = crate::plan::span(end - oldest);
        frame.out.emit(&Log::info(format!(
            "{date}: keeps {kept} sets, the oldest {age} old; deletes {removed}"
        )))?;
        report.count("days", 1);
        report.count("deleted", removed);
    }
    Ok(report)
}

/// A complete set, of the database and the volumes of `model` where there is one.
fn new_set(at: i64, id: &mut u64, model: Option<&Snapshot>) -> Vec<Snapshot> {
    let stamp = DateTime::from_timestamp_millis(at).map(|t| t.format("%Y-%m-%d_%H%M%S").to_string());
    let stamp = stamp.unwrap_or_default();
    let known = model.and_then(|m| m.mark.as_ref());
    let (db, dbid) = known.map_or(("SIMULATED", 0), |m| (m.db.as_str(), m.dbid));
    let parent = model.map_or(1, |m| m.parent);
    let mut member = |kind: SetKind, word: &str, parent: u64, created: i64| {
        *id += 1;
        let mark = SetMark {
            run: format!("simulated-{at}"),
            db: db.to_owned(),
            dbid,
            kind,
            stamp: stamp.clone(),
            n: 1,
            state: SetState::Complete,
            archive: true,
        };
        Snapshot {
            at: usize::MAX,
            id: *id,
            name: format!("orasync_{word}_{stamp}"),
            prefix: crate::ours::PREFIX.to_owned(),
            kind,
            stamp: stamp.clone(),
            created,
            parent,
            volume: None,
            mark: Some(mark),
            chosen: true,
            hold: None,
        }
    };
    let archive = parent.wrapping_add(1 << 40);
    vec![member(SetKind::Data, "data", parent, at), member(SetKind::Archive, "archive", archive, at + 30_000)]
}
