//! What is protected now: how far the standby and the copies reach, and the last good backup of each kind.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use common::record::{Content, Drill, File, RecoveryWindow, Role, Snapshot, SnapshotKind, Standby};

/// Kinds of which the last good one is remembered; a schema is one.
pub const ASSETS: usize = 60;

/// Something that a disaster leaves us.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Asset {
    /// RMAN level 0.
    Full,
    /// RMAN level 1.
    Incremental,
    /// Archived logs in a backup.
    ArchivedLogs,
    Controlfile,
    /// Datafiles copied in backup mode, with the redo that they need known.
    HotCopy,
    /// Archived logs at the standby.
    Redo,
    Export(String),
    Archive,
    Object,
    DataSnapshot,
    ArchiveSnapshot,
    /// The standby was opened, asked and put back.
    Drill,
}

impl Asset {
    /// What a file is, as far as it is a backup.
    pub fn of_file(file: &File) -> Vec<Self> {
        match file.role {
            Some(Role::Archive) => return vec![Self::Archive],
            Some(Role::BackupPiece) => {}
            _ => return Vec::new(),
        }
        let contents = file.contents.as_deref().unwrap_or_default();
        let mut found = Vec::new();
        match file.level {
            Some(0) => found.push(Self::Full),
            Some(1) => found.push(Self::Incremental),
            _ => {}
        }
        if contents.iter().any(|c| matches!(c, Content::ArchivedLog(_))) {
            found.push(Self::ArchivedLogs);
        }
        if contents.iter().any(|c| matches!(c, Content::Controlfile(_))) {
            found.push(Self::Controlfile);
        }
        found
    }

    pub fn of_snapshot(snapshot: &Snapshot) -> Self {
        match snapshot.kind {
            Some(SnapshotKind::Archive) => Self::ArchiveSnapshot,
            Some(SnapshotKind::Data) | None => Self::DataSnapshot,
        }
    }

    /// The name in history and metrics.
    pub fn name(&self) -> String {
        match self {
            Self::Full => "full".to_owned(),
            Self::Incremental => "incremental".to_owned(),
            Self::ArchivedLogs => "archivelog".to_owned(),
            Self::Controlfile => "controlfile".to_owned(),
            Self::HotCopy => "hot_copy".to_owned(),
            Self::Redo => "redo".to_owned(),
            Self::Export(schema) => format!("export:{schema}"),
            Self::Archive => "archive".to_owned(),
            Self::Object => "object".to_owned(),
            Self::DataSnapshot => "snapshot_data".to_owned(),
            Self::ArchiveSnapshot => "snapshot_archive".to_owned(),
            Self::Drill => "drill".to_owned(),
        }
    }

    /// The asset of a name; `None` for one that a newer version wrote.
    pub fn named(name: &str) -> Option<Self> {
        if let Some(schema) = name.strip_prefix("export:") {
            return Some(Self::Export(schema.to_owned()));
        }
        [
            Self::Full,
            Self::Incremental,
            Self::ArchivedLogs,
            Self::Controlfile,
            Self::HotCopy,
            Self::Redo,
            Self::Archive,
            Self::Object,
            Self::DataSnapshot,
            Self::ArchiveSnapshot,
            Self::Drill,
        ]
        .into_iter()
        .find(|asset| asset.name() == name)
    }
}

/// What the records of this run and the history say of it.
#[derive(Debug, Default)]
pub struct Protection {
    pub window: Option<RecoveryWindow>,
    pub standby: Option<Standby>,
    /// The last drill of this run.
    pub drill: Option<Drill>,
    /// The last good backup of each kind.
    pub good: BTreeMap<Asset, DateTime<Utc>>,
}

impl Protection {
    pub fn window(&mut self, mut window: RecoveryWindow) {
        window.threads.truncate(16);
        self.window = Some(window);
    }

    pub fn standby(&mut self, mut standby: Standby) {
        standby.threads.truncate(16);
        self.standby = Some(standby);
    }

    pub fn drill(&mut self, mut drill: Drill) {
        drill.queries.truncate(100);
        self.drill = Some(drill);
    }

    /// A good backup of this run: newer than any that is known, whatever the clock says.
    pub fn good(&mut self, asset: Asset, at: DateTime<Utc>) {
        if self.good.len() < ASSETS || self.good.contains_key(&asset) {
            self.good.insert(asset, at);
        }
    }

    /// Adds what the history knows and this run has not made anew.
    pub fn remember(&mut self, known: &BTreeMap<String, DateTime<Utc>>) {
        for (name, at) in known {
            if let Some(asset) = Asset::named(name) {
                if self.good.len() < ASSETS {
                    self.good.entry(asset).or_insert(*at);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_asset_is_found_again_by_its_name() {
        for asset in [Asset::Full, Asset::Redo, Asset::Export("HR".into()), Asset::ArchiveSnapshot] {
            assert_eq!(Asset::named(&asset.name()), Some(asset));
        }
        assert_eq!(Asset::named("hologram"), None);
    }

    #[test]
    fn this_run_counts_before_the_history_even_when_the_clock_jumped_back() {
        let at = |text| crate::format::parse(text).unwrap();
        let mut protection = Protection::default();
        protection.good(Asset::Full, at("2026-11-19T00:00:00Z"));
        let known = [
            ("full", "2026-11-20T00:00:00Z"),
            ("redo", "2026-11-18T00:00:00Z"),
            ("x", "2026-11-18T00:00:00Z"),
        ];
        protection.remember(&known.map(|(n, t)| (n.to_owned(), at(t))).into());
        assert_eq!(protection.good[&Asset::Full], at("2026-11-19T00:00:00Z"));
        assert_eq!(protection.good[&Asset::Redo], at("2026-11-18T00:00:00Z"));
        assert_eq!(protection.good.len(), 2);
    }
}
