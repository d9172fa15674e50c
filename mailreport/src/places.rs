//! Where the records came from. A place is a database on a host: mostly there is one, and the report of a fleet has many.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use common::exit::Exit;

use crate::format;
use crate::protection::Protection;

/// Places that are told apart; what comes from more of them is counted without its place.
pub const PLACES: usize = 1000;
/// Tools of one place that are remembered; there are nine.
const TOOLS: usize = 50;
/// Databases that are named of a host that has told nothing.
const NAMED: usize = 4;

/// A database on a host, and what its runs have told.
#[derive(Debug)]
pub struct Place {
    pub host: String,
    pub db: Option<String>,
    pub tools: BTreeSet<String>,
    /// The worst status of its runs; [`Exit::Failed`] when one died or an expected one never reported.
    pub worst: Exit,
    /// When the last of its runs ended.
    pub last: Option<DateTime<Utc>>,
    pub items_failed: u64,
    /// Tools that were expected from here and never reported.
    pub missing: Vec<String>,
    pub protection: Protection,
}

impl Place {
    /// `PROD@db1`, in every language.
    pub fn name(&self) -> String {
        match &self.db {
            Some(db) => format!("{db}@{}", self.host),
            None => self.host.clone(),
        }
    }
}

/// What `--expect` names: `TOOL`, `TOOL:DB` or `TOOL:DB@HOST`.
#[derive(Debug, PartialEq, Eq)]
struct Expected<'a> {
    tool: &'a str,
    db: Option<&'a str>,
    host: Option<&'a str>,
}

impl<'a> Expected<'a> {
    fn parse(text: &'a str) -> Self {
        let (tool, place) = text.split_once(':').map_or((text, None), |(tool, place)| (tool, Some(place)));
        let (db, host) = match place.and_then(|p| p.split_once('@')) {
            Some((db, host)) => (Some(db), Some(host)),
            None => (place, None),
        };
        let named = |part: Option<&'a str>| part.map(str::trim).filter(|p| !p.is_empty());
        Self { tool: tool.trim(), db: named(db), host: named(host) }
    }

    fn is_at(&self, place: &Place) -> bool {
        self.db.is_none_or(|db| place.db.as_deref() == Some(db))
            && self.host.is_none_or(|host| same_host(host, &place.host))
    }

    fn name(&self) -> String {
        let (db, host) =
            (self.db.unwrap_or_default(), self.host.map(|h| format!("@{h}")).unwrap_or_default());
        format!("{} {db}{host}", self.tool).trim_end().to_owned()
    }
}

/// One of the names may be without its domain, as hosts and inventories differ in that.
fn same_host(a: &str, b: &str) -> bool {
    let short = |name: &str| name.split('.').next().unwrap_or_default().to_ascii_lowercase();
    a.eq_ignore_ascii_case(b) || ((!a.contains('.') || !b.contains('.')) && short(a) == short(b))
}

/// All places of the input, in the order of their first run.
#[derive(Debug, Default)]
pub struct Places {
    pub all: Vec<Place>,
}

impl Places {
    /// The place of a run that begins. A tool that was not told its database belongs to the one before it on its host.
    pub fn enter(&mut self, host: &str, db: Option<&str>) -> Option<usize> {
        let host = format::clean(host, 80);
        let db = db.map(|db| format::clean(db, 60)).filter(|db| !db.is_empty());
        let found = match &db {
            Some(_) => self.all.iter().rposition(|p| p.host == host && (p.db == db || p.db.is_none())),
            None => self.all.iter().rposition(|p| p.host == host),
        };
        if let Some(index) = found {
            if self.all[index].db.is_none() {
                self.all[index].db = db;
            }
            return Some(index);
        }
        if self.all.len() == PLACES {
            return None;
        }
        self.all.push(Place {
            host,
            db,
            tools: BTreeSet::new(),
            worst: Exit::Success,
            last: None,
            items_failed: 0,
            missing: Vec::new(),
            protection: Protection::default(),
        });
        Some(self.all.len() - 1)
    }

    /// A tool began or ended a run here.
    pub fn heard(&mut self, place: Option<usize>, tool: &str) {
        let Some(place) = self.get(place) else { return };
        if place.tools.len() < TOOLS && !place.tools.contains(tool) {
            place.tools.insert(format::clean(tool, 60));
        }
    }

    pub fn get(&mut self, place: Option<usize>) -> Option<&mut Place> {
        self.all.get_mut(place?)
    }

    /// A run ended here, or died.
    pub fn ended(&mut self, place: Option<usize>, exit: Exit, at: Option<DateTime<Utc>>) {
        let Some(place) = self.get(place) else { return };
        place.worst = place.worst.worse(exit);
        place.last = place.last.into_iter().chain(at).max();
    }

    /// Whether the report is of more than one database or host.
    pub fn many(&self) -> bool {
        self.all.len() > 1
    }

    pub fn hosts(&self) -> usize {
        self.all.iter().map(|p| p.host.as_str()).collect::<BTreeSet<_>>().len()
    }

    pub fn databases(&self) -> usize {
        self.all.iter().filter(|p| p.db.is_some()).count()
    }

    /// The name of a place when there are many; where there is one it need not be said.
    pub fn told(&self, place: Option<usize>) -> Option<String> {
        self.all.get(place?).filter(|_| self.many()).map(Place::name)
    }

    /// What was expected and never reported: `heard` are the tools of the whole input. A host from which nothing came is
    /// one entry with its databases.
    pub fn missing(&mut self, expect: &[String], heard: &BTreeSet<String>) -> Vec<String> {
        let expect: Vec<_> =
            expect.iter().map(|e| Expected::parse(e)).filter(|e| !e.tool.is_empty()).collect();
        let silent = |host: &str| !self.all.iter().any(|p| same_host(host, &p.host));
        let silent: BTreeSet<&str> = expect.iter().filter_map(|e| e.host).filter(|h| silent(h)).collect();
        let mut found = Vec::new();
        for host in &silent {
            let dbs: BTreeSet<&str> =
                expect.iter().filter(|e| e.host == Some(host)).filter_map(|e| e.db).collect();
            let named: Vec<_> = dbs.iter().take(NAMED).copied().collect();
            let more = if dbs.len() > NAMED { ", …" } else { "" };
            found.push(match dbs.is_empty() {
                true => (*host).to_owned(),
                false => format!("{host} ({}{more})", named.join(", ")),
            });
        }
        for e in &expect {
            let reported = match (e.db, e.host) {
                (None, None) => heard.contains(e.tool),
                _ => self.all.iter().any(|p| e.is_at(p) && p.tools.contains(e.tool)),
            };
            if reported {
                continue;
            }
            if !e.host.is_some_and(|host| silent.contains(host)) {
                found.push(e.name());
            }
            let here = self.all.iter().position(|p| e.is_at(p) && (e.db.is_some() || e.host.is_some()));
            let place = match (here, e.host) {
                (Some(index), _) => Some(index),
                (None, Some(host)) => self.enter(host, e.db),
                (None, None) => None,
            };
            if let Some(place) = self.get(place) {
                place.worst = place.worst.worse(Exit::Failed);
                place.missing.push(e.tool.to_owned());
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing(places: &mut Places, expect: &[&str]) -> Vec<String> {
        let expect: Vec<_> = expect.iter().map(|e| (*e).to_owned()).collect();
        places.missing(&expect, &BTreeSet::from(["arch-ship".to_owned()]))
    }

    fn places(all: &[(&str, Option<&str>)]) -> Places {
        let mut places = Places::default();
        for (host, db) in all {
            let place = places.enter(host, *db);
            places.heard(place, "arch-ship");
        }
        places
    }

    #[test]
    fn a_tool_without_a_database_makes_no_second_place() {
        let night = places(&[("db1", None), ("db1", Some("PROD")), ("db1", None)]);
        assert_eq!((night.all.len(), night.many()), (1, false));
        assert_eq!(night.all[0].name(), "PROD@db1");
        let two = places(&[("db1", Some("PROD")), ("db1", Some("TEST")), ("db2", Some("PROD"))]);
        assert_eq!((two.databases(), two.hosts(), two.many()), (3, 2, true));
        assert_eq!(two.told(Some(2)).as_deref(), Some("PROD@db2"));
    }

    #[test]
    fn what_is_expected_of_a_place_is_not_met_by_another() {
        let mut found = places(&[("db1.example.com", Some("PROD")), ("db2", Some("TEST"))]);
        let expect =
            ["arch-ship", "arch-ship:PROD@db1", "arch-ship:TEST@db1", "rman-run:TEST", "arch-ship:TEST@db2"];
        assert_eq!(missing(&mut found, &expect), ["arch-ship TEST@db1", "rman-run TEST"]);
        let failed: Vec<_> = found.all.iter().filter(|p| p.worst == Exit::Failed).map(Place::name).collect();
        assert_eq!(failed, ["TEST@db2", "TEST@db1"]);
    }

    #[test]
    fn a_host_that_told_nothing_is_one_entry_and_its_databases_are_places() {
        let mut found = places(&[("db1", Some("PROD"))]);
        let expect: Vec<_> =
            (0..9).flat_map(|n| [format!("arch-ship:D{n}@db9"), format!("rman-run:D{n}@db9")]).collect();
        let expect: Vec<_> = expect.iter().map(String::as_str).collect();
        assert_eq!(missing(&mut found, &expect), ["db9 (D0, D1, D2, D3, …)"]);
        assert_eq!(found.all.len(), 10);
        assert_eq!(found.all[9].missing, ["arch-ship", "rman-run"]);
    }

    #[test]
    fn hosts_are_the_same_with_and_without_their_domain_and_not_with_two() {
        assert!(same_host("db1", "DB1.example.com") && same_host("db1.example.com", "db1"));
        assert!(!same_host("db1.a.com", "db1.b.com") && !same_host("db1", "db11"));
    }
}
