//! An array with sets of snapshots, and the tool that prunes it.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{ensure, Context, Result};
use common::infinibox::{SetKind, SetMark, SetState, CREATED_BY, OWNER, REDO_KEY, SET_KEY};
use ibsim::{Array, Config, Object, PASSWORD};
use rig::tool::{Outcome, Tool};

pub const HOUR: i64 = 3_600_000;
pub const DAY: i64 = 24 * HOUR;

pub struct Stage {
    pub array: Array,
    pub root: tempfile::TempDir,
    /// Ids of the members of each set: data, archive.
    pub sets: Vec<(Vec<u64>, Vec<u64>)>,
}

/// `YYYY-MM-DD_HHMMSS` of epoch milliseconds.
pub fn stamp(at: i64) -> String {
    chrono::DateTime::from_timestamp_millis(at).unwrap_or_default().format("%Y-%m-%d_%H%M%S").to_string()
}

impl Stage {
    pub fn new() -> Result<Self> {
        Self::with(Config::default())
    }

    pub fn with(config: Config) -> Result<Self> {
        let root = tempfile::Builder::new().prefix("orapipe-prune-").tempdir()?;
        Ok(Self { array: Array::start(config)?, root, sets: Vec::new() })
    }

    /// One database with a data and an archive volume.
    pub fn database(&self, name: &str) -> Result<()> {
        self.array.add_volume(&format!("{name}_data"))?;
        self.array.add_volume(&format!("{name}_arch"))?;
        Ok(())
    }

    /// A set of ib-snap, `age` milliseconds old. Returns the ids of data and archive snapshot.
    pub fn set(&mut self, db: &str, age: i64) -> Result<(u64, u64)> {
        let at = self.array.now() - age;
        let mut ids = Vec::new();
        for (kind, word, volume, offset) in
            [(SetKind::Data, "data", "data", 0), (SetKind::Archive, "archive", "arch", 20_000)]
        {
            let volume = format!("{db}_{volume}");
            let name = format!("orasync_{word}_{}_{volume}", stamp(at));
            let id = self.array.add_snapshots(&volume, [(name, at + offset)])?[0];
            let mark = SetMark {
                run: format!("{db}-{at}"),
                db: db.to_owned(),
                dbid: db.bytes().map(u64::from).sum(),
                kind,
                stamp: stamp(at),
                n: 1,
                state: SetState::Complete,
                archive: true,
            };
            self.mark(id, &mark)?;
            ids.push(id);
        }
        self.sets.push((vec![ids[0]], vec![ids[1]]));
        Ok((ids[0], ids[1]))
    }

    pub fn mark(&self, id: u64, mark: &SetMark) -> Result<()> {
        self.metadata(id, &[(CREATED_BY, OWNER), (SET_KEY, &mark.text()), (REDO_KEY, "{}")])
    }

    pub fn metadata(&self, id: u64, keys: &[(&str, &str)]) -> Result<()> {
        self.array.with(|state| {
            let volume = state.volumes.get_mut(&id).context("no such object")?;
            for (key, value) in keys {
                volume.metadata.insert((*key).to_owned(), (*value).to_owned());
            }
            Ok(())
        })
    }

    /// What a run of the original has left: two stamps, no metadata.
    pub fn legacy(&mut self, db: &str, age: i64) -> Result<(u64, u64)> {
        let at = self.array.now() - age;
        let data = format!("orasync_data_{}", stamp(at));
        let archive = format!("orasync_archive_{}", stamp(at + 7_000));
        let data = self.array.add_snapshots(&format!("{db}_data"), [(data, at)])?[0];
        let archive = self.array.add_snapshots(&format!("{db}_arch"), [(archive, at + 7_000)])?[0];
        self.sets.push((vec![data], vec![archive]));
        Ok((data, archive))
    }

    /// A database PROD with sets that are so many days old.
    pub fn prod(days: &[i64]) -> Result<Self> {
        let mut stage = Self::new()?;
        stage.database("PROD")?;
        for age in days {
            stage.set("PROD", age * DAY + HOUR)?;
        }
        Ok(stage)
    }

    pub fn tool(&self) -> Result<Tool> {
        self.tool_within("5s")
    }

    /// With the longest time for one request.
    pub fn tool_within(&self, limit: &str) -> Result<Tool> {
        let state = self.root.path().join("state");
        Ok(Tool::new("ib-prune", self.root.path())?
            .env("SOURCE_INFINIBOX", self.array.host(0))
            .env("SOURCE_INFINIBOX_USER", "pool_admin")
            .env("SOURCE_INFINIBOX_PASSWORD", PASSWORD)
            .env("STATE_DIR", &state)
            .args(["--insecure-http", "--array-timeout", limit, "--array-connect-timeout", "2s"]))
    }

    /// Everything that is on the array, by id.
    pub fn there(&self) -> BTreeMap<u64, Object> {
        self.array.objects().into_iter().map(|o| (o.id, o)).collect()
    }

    /// Ids of the snapshots that are there.
    pub fn ids(&self) -> BTreeSet<u64> {
        self.array.snapshots().into_iter().map(|o| o.id).collect()
    }

    /// Which sets are whole, by their position.
    pub fn whole(&self) -> Vec<usize> {
        let there = self.ids();
        let whole =
            |(data, archive): &(Vec<u64>, Vec<u64>)| data.iter().chain(archive).all(|id| there.contains(id));
        self.sets.iter().enumerate().filter(|(_, s)| whole(s)).map(|(at, _)| at).collect()
    }

    /// What must hold after every run, however it ended: no data snapshot without its archived logs, a receipt for each
    /// snapshot that we deleted and for nothing else, no secret in anything that was written.
    pub fn check(&self, before: &BTreeMap<u64, Object>, outcome: &Outcome, by_others: &[u64]) -> Result<()> {
        let there = self.ids();
        for (data, archive) in &self.sets {
            let has_data = data.iter().any(|id| there.contains(id));
            let lost = archive.iter().any(|id| !there.contains(id) && !by_others.contains(id));
            ensure!(!(has_data && lost), "data {data:?} is there without its archived logs {archive:?}");
        }
        let receipts: BTreeSet<&str> =
            outcome.of("removed").iter().filter_map(|r| r.text("snapshot")).collect();
        for (id, object) in before {
            let gone = !there.contains(id) && object.is_snapshot && !by_others.contains(id);
            let told = receipts.contains(object.name.as_str());
            ensure!(gone == told, "{}: gone {gone}, receipt {told}\n{}", object.name, outcome.stderr);
        }
        self.no_secret(outcome)
    }

    pub fn no_secret(&self, outcome: &Outcome) -> Result<()> {
        let mut all = vec![outcome.stderr.clone(), String::from_utf8_lossy(&outcome.stdout).into_owned()];
        let log = self.root.path().join("state/ib-prune.log");
        all.push(std::fs::read_to_string(log).unwrap_or_default());
        for text in all {
            ensure!(!text.contains(PASSWORD), "the password is shown: {text}");
        }
        Ok(())
    }
}

/// Reasons by name of the snapshot.
pub fn reasons(outcome: &Outcome, kind: &str) -> BTreeMap<String, String> {
    let of = |r: &rig::records::Record| {
        Some((r.text("snapshot")?.to_owned(), r.text("reason").unwrap_or_default().to_owned()))
    };
    outcome.of(kind).into_iter().filter_map(of).collect()
}
