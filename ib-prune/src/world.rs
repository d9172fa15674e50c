//! Worlds for the tests: snapshots as ib-snap and the original script leave them.

use common::infinibox::{SetKind, SetMark, SetState, Volume};

use crate::ours::{judge, Group, Owner, Seen, Snapshot, Verdict};
use crate::plan::{plan, Decision, Policy};
use crate::sets::sets;

pub const HOUR: i64 = 3_600_000;
pub const DAY: i64 = 24 * HOUR;
/// 2026-01-01, so that stamps can be made of times.
pub const BEGIN: i64 = 1_767_225_600_000;

pub fn stamp(at: i64) -> String {
    let time = chrono::DateTime::from_timestamp_millis(at).unwrap_or_default();
    time.format("%Y-%m-%d_%H%M%S").to_string()
}

/// One run of ib-snap or of the original.
#[derive(Debug, Clone)]
pub struct Run {
    pub db: u64,
    pub at: i64,
    pub data: u64,
    /// Members of the archive half that were wanted and that are there.
    pub archive: (u64, u64),
    /// Data members that are not there.
    pub lost: u64,
    pub complete: bool,
    pub marked: bool,
}

impl Run {
    pub fn good(db: u64, at: i64) -> Self {
        Self { db, at, data: 1, archive: (1, 1), lost: 0, complete: true, marked: true }
    }

    pub fn legacy(db: u64, at: i64) -> Self {
        Self { marked: false, ..Self::good(db, at) }
    }

    /// Volumes of database d: data d*100+1…, archive d*100+51….
    pub fn objects(&self, next: &mut u64) -> Vec<Seen> {
        let mut all = Vec::new();
        let mut member = |kind: SetKind, n: u64, of: u64, offset: i64| {
            *next += 1;
            let (word, base) = if kind == SetKind::Data { ("data", 0) } else { ("archive", 50) };
            let parent = self.db * 100 + base + n;
            let mark = SetMark {
                run: format!("run-{}-{}", self.db, self.at),
                db: format!("DB{}", self.db),
                dbid: self.db,
                kind,
                stamp: stamp(self.at),
                n: of,
                state: if self.complete { SetState::Complete } else { SetState::Incomplete },
                archive: self.archive.0 > 0,
            };
            // The original takes a new stamp for each snapshot.
            let name = if self.marked {
                format!("orasync_{word}_{}_v{parent}", stamp(self.at))
            } else {
                format!("orasync_{word}_{}", stamp(self.at + offset))
            };
            all.push(Seen {
                volume: Volume {
                    id: *next,
                    name,
                    kind: Some("SNAPSHOT".to_owned()),
                    parent_id: Some(parent),
                    depth: Some(1),
                    created_at: Some(self.at + offset),
                    mapped: Some(false),
                    has_children: Some(false),
                    ..Volume::default()
                },
                group: Group::None,
                owner: if self.marked { Owner::Ours(mark) } else { Owner::Nobody },
            });
        };
        for n in 1..=self.data.saturating_sub(self.lost) {
            member(SetKind::Data, n, self.data, n as i64 * 1000);
        }
        for n in 1..=self.archive.1 {
            member(SetKind::Archive, n, self.archive.0, 20_000 + n as i64 * 1000);
        }
        all
    }
}

pub fn objects(runs: &[Run]) -> Vec<Seen> {
    let mut next = 10_000;
    runs.iter().flat_map(|run| run.objects(&mut next)).collect()
}

pub fn ours(seen: &[Seen], now: i64) -> Vec<Snapshot> {
    let verdicts = judge(seen, "orasync", now);
    verdicts.into_iter().filter_map(|v| if let Verdict::Ours(s) = v { Some(*s) } else { None }).collect()
}

pub fn planned(seen: &[Seen], policy: Policy, now: i64) -> Vec<Decision> {
    plan(sets(ours(seen, now), &[]).0, policy, now)
}

pub const POLICY: Policy = Policy { older_than: 14 * DAY, keep_last: 1, require_metadata: false };
