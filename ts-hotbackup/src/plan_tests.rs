//! What must hold for every plan.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use regex::Regex;

use crate::cycle::{Copied, CopiedFile};
use crate::facts::{Contents, Database, Datafile, Facts, Key, Opened, Tablespace};
use crate::map::PathMap;
use crate::plan::{outdated, plan, How, Plan, Policy};

fn file(number: u64) -> Datafile {
    Datafile {
        file: number,
        path: format!("/u05/oradata/f{number}.dbf"),
        bytes: 8192 * number,
        block_size: 8192,
        status: "ONLINE".to_owned(),
        enabled: "READ WRITE".to_owned(),
        creation_change: number,
        ..Datafile::default()
    }
}

fn tablespace(name: &str, files: &[u64]) -> Tablespace {
    Tablespace {
        key: Key { container: None, name: name.to_owned() },
        files: files.iter().map(|n| file(*n)).collect(),
        ..Tablespace::default()
    }
}

fn facts(tablespaces: Vec<Tablespace>) -> Facts {
    Facts { database: Database::default(), tablespaces }
}

fn policy() -> Policy {
    let map = PathMap::new(&["/u05=/u15".to_owned()], None).unwrap();
    Policy { map, ..Policy::default() }
}

fn names(plan: &Plan) -> Vec<String> {
    plan.steps.iter().map(|s| s.key.to_string()).collect()
}

fn of(facts: &Facts, policy: &Policy) -> Plan {
    plan(facts, policy, &BTreeMap::new()).unwrap()
}

#[test]
fn core_tablespaces_come_last() {
    let mut undo = tablespace("APP_UNDO", &[3]);
    undo.contents = Contents::Undo;
    let facts = facts(vec![
        tablespace("SYSTEM", &[1]),
        tablespace("SYSAUX", &[2]),
        undo,
        tablespace("USERS", &[4]),
        tablespace("my ts", &[5]),
    ]);
    assert_eq!(names(&of(&facts, &policy())), ["USERS", "my ts", "APP_UNDO", "SYSAUX", "SYSTEM"]);
    let last = Policy { last: Some(Regex::new("^USERS$").unwrap()), ..policy() };
    assert_eq!(names(&of(&facts, &last)).last().unwrap(), "USERS");
}

#[test]
fn what_cannot_be_in_backup_mode_is_copied_as_it_is_or_left_out_with_the_reason() {
    let mut read_only = tablespace("OLD", &[1]);
    read_only.files[0].enabled = "READ ONLY".to_owned();
    let mut offline = tablespace("OFF", &[2]);
    offline.files[0].status = "OFFLINE".to_owned();
    let mut broken = tablespace("BROKEN", &[3]);
    broken.files[0].status = "RECOVER".to_owned();
    let mut mixed = tablespace("MIXED", &[4, 5]);
    mixed.files[1].status = "OFFLINE".to_owned();
    let mut temp = tablespace("TEMP2", &[]);
    temp.contents = Contents::Temporary;
    let mut seed = tablespace("SYSTEM", &[6]);
    seed.key.container = Some("PDB$SEED".to_owned());
    seed.opened = Opened::ReadOnly;
    let mut closed = tablespace("USERS", &[7]);
    closed.key.container = Some("PDB2".to_owned());
    closed.opened = Opened::Mounted;
    let plan = of(&facts(vec![read_only, offline, broken, mixed, temp, seed, closed]), &policy());
    let how: Vec<(String, How)> = plan.steps.iter().map(|s| (s.key.to_string(), s.how)).collect();
    assert_eq!(how, [("OLD".to_owned(), How::AsItIs), ("PDB$SEED:SYSTEM".to_owned(), How::AsItIs)]);
    let skipped: BTreeMap<String, (bool, bool)> =
        plan.skipped.iter().map(|s| (s.key.to_string(), (s.harmless, s.forget))).collect();
    let expected = [
        ("BROKEN", (false, true)),
        ("MIXED", (false, true)),
        ("OFF", (true, false)),
        ("PDB2:USERS", (false, true)),
        ("TEMP2", (true, false)),
    ];
    assert_eq!(skipped, expected.map(|(k, v)| (k.to_owned(), v)).into());
    assert!(plan.skipped.iter().all(|s| !s.reason.is_empty()));
}

fn copied(plan: &Plan) -> BTreeMap<Key, Copied> {
    let mark = |s: &crate::plan::Step| Copied {
        tablespace: s.key.name.clone(),
        container: s.key.container.clone(),
        files: s
            .files
            .iter()
            .map(|f| CopiedFile {
                file: f.file,
                path: f.path.clone(),
                dest: f.dest.clone(),
                creation_change: f.creation_change,
                ..CopiedFile::default()
            })
            .collect(),
        ..Copied::default()
    };
    plan.steps.iter().map(|s| (s.key.clone(), mark(s))).collect()
}

#[test]
fn a_file_that_was_added_meanwhile_is_all_that_is_copied() {
    let before = facts(vec![tablespace("USERS", &[1, 2])]);
    let done = copied(&of(&before, &policy()));
    let after = facts(vec![tablespace("USERS", &[1, 2, 3])]);
    let again = plan(&after, &policy(), &done).unwrap();
    assert_eq!(again.steps[0].files.iter().map(|f| f.file).collect::<Vec<_>>(), [3]);
    assert_eq!(again.steps[0].online, [1, 2, 3]);
    // Another file under an old number: dropped and created anew.
    let mut other = before.clone();
    other.tablespaces[0].files[0].creation_change = 99;
    assert_eq!(plan(&other, &policy(), &done).unwrap().steps[0].files[0].file, 1);
    // A larger one is brought up by redo.
    let mut grown = before;
    grown.tablespaces[0].files[0].bytes *= 2;
    assert!(plan(&grown, &policy(), &done).unwrap().steps.is_empty());
}

#[test]
fn a_read_only_copy_is_outdated_once_the_file_was_writable() {
    let mut facts = facts(vec![tablespace("HIST", &[1])]);
    facts.tablespaces[0].files[0].header_checkpoint = Some(50);
    let mut done = copied(&of(&facts, &policy()));
    let mark = done.values_mut().next().unwrap();
    mark.files[0].read_only = true;
    mark.files[0].checkpoint_scn = 50;
    assert!(outdated(&facts, &done).is_empty());
    facts.tablespaces[0].files[0].header_checkpoint = Some(60);
    assert_eq!(outdated(&facts, &done).len(), 1);
}

#[test]
fn another_destination_is_another_copy() {
    let facts = facts(vec![tablespace("USERS", &[1])]);
    let done = copied(&of(&facts, &policy()));
    let elsewhere = Policy { map: PathMap::new(&["/u05=/u16".to_owned()], None).unwrap(), ..policy() };
    assert_eq!(plan(&facts, &elsewhere, &done).unwrap().steps.len(), 1);
}

#[test]
fn named_tablespaces_only() {
    let mut pdb = tablespace("USERS", &[3]);
    pdb.key.container = Some("PDB1".to_owned());
    let facts = facts(vec![tablespace("USERS", &[1]), tablespace("DATA", &[2]), pdb]);
    let only = |names: &[&str]| Policy { only: names.iter().map(|n| (*n).to_owned()).collect(), ..policy() };
    let one = of(&facts, &only(&["USERS"]));
    assert_eq!(names(&one), ["USERS"]);
    assert!(!one.completes());
    assert_eq!(names(&of(&facts, &only(&["PDB1:USERS"]))), ["PDB1:USERS"]);
    let failure = plan(&facts, &only(&["users"]), &BTreeMap::new()).unwrap_err();
    assert_eq!(failure.exit, common::exit::Exit::Usage);
    assert!(failure.hint.unwrap().starts_with("did you mean USERS?"));
}

#[test]
fn a_clash_with_a_file_that_is_done_already_is_refused() {
    let mut clash = facts(vec![tablespace("A", &[1]), tablespace("B", &[2])]);
    clash.tablespaces[1].files[0].path = "/u06/oradata/f1.dbf".to_owned();
    let rules = ["/u05=/u15".to_owned(), "/u06=/u15".to_owned()];
    let policy = Policy { map: PathMap::new(&rules, None).unwrap(), only: vec!["B".to_owned()], ..policy() };
    assert!(plan(&clash, &policy, &BTreeMap::new()).unwrap_err().message.contains("one place"));
}

#[test]
fn thousands_of_files_are_planned_at_once() {
    let many: Vec<Tablespace> = (0..2000)
        .map(|t| tablespace(&format!("TS{t}"), &(t * 5 + 1..t * 5 + 6).collect::<Vec<u64>>()))
        .collect();
    let started = std::time::Instant::now();
    assert_eq!(of(&facts(many), &policy()).steps.len(), 2000);
    assert!(started.elapsed().as_secs() < 2, "{:?}", started.elapsed());
}

prop_compose! {
    fn any_tablespace(index: usize)(
        files in 0_u64..4, kind in 0_u8..3, read_only: bool, status in 0_usize..4, pdb: bool, opened in 0_u8..3,
        core in proptest::option::of(0_usize..2),
    ) -> Tablespace {
        let first = index as u64 * 10 + 1;
        let mut t = tablespace(&format!("TS {index}"), &(first..first + files).collect::<Vec<u64>>());
        // Names repeat over containers only; the generator keeps the first of equal ones.
        if let Some(core) = core {
            t.key.name = ["SYSTEM", "SYSAUX"][core].to_owned();
        }
        t.contents = [Contents::Permanent, Contents::Undo, Contents::Temporary][kind as usize];
        if pdb {
            t.key.container = Some("PDB1".to_owned());
            t.opened = [Opened::ReadWrite, Opened::ReadOnly, Opened::Mounted][opened as usize];
        }
        for f in &mut t.files {
            if read_only { f.enabled = "READ ONLY".to_owned(); }
        }
        if let Some(f) = t.files.first_mut() {
            f.status = ["ONLINE", "SYSTEM", "OFFLINE", "RECOVER"][status].to_owned();
        }
        t
    }
}

fn any_facts() -> impl Strategy<Value = Facts> {
    (0_usize..9).prop_flat_map(|n| (0..n).map(any_tablespace).collect::<Vec<_>>()).prop_map(|mut all| {
        let mut seen = BTreeSet::new();
        all.retain(|t| seen.insert(t.key.clone()));
        facts(all)
    })
}

proptest! {
    #[test]
    fn every_datafile_is_copied_once_or_left_out_with_a_reason(facts in any_facts()) {
        let plan = of(&facts, &policy());
        let mut seen: Vec<u64> = plan.steps.iter().flat_map(|s| s.files.iter().map(|f| f.file)).collect();
        seen.extend(plan.skipped.iter().flat_map(|s| s.files.iter().copied()));
        seen.sort_unstable();
        let mut all: Vec<u64> = facts.files().map(|(_, f)| f.file).collect();
        all.sort_unstable();
        prop_assert_eq!(seen, all);
        prop_assert!(plan.skipped.iter().all(|s| !s.reason.is_empty()));
        let dests: BTreeSet<&str> = plan.steps.iter().flat_map(|s| &s.files).map(|f| f.dest.as_str()).collect();
        prop_assert_eq!(dests.len(), plan.steps.iter().map(|s| s.files.len()).sum::<usize>());
    }

    #[test]
    fn the_order_of_the_input_does_not_matter(facts in any_facts(), seed: u64) {
        let mut shuffled = facts.clone();
        let n = shuffled.tablespaces.len().max(1);
        shuffled.tablespaces.rotate_left((seed % n as u64) as usize);
        shuffled.tablespaces.reverse();
        prop_assert_eq!(of(&facts, &policy()), of(&shuffled, &policy()));
    }

    #[test]
    fn core_tablespaces_are_last_whatever_there_is(facts in any_facts()) {
        let plan = of(&facts, &policy());
        let flags: Vec<bool> = plan.steps.iter().map(|s| s.last).collect();
        prop_assert!(flags.windows(2).all(|w| w[0] <= w[1]));
    }

    #[test]
    fn nothing_is_done_twice_in_a_cycle(facts in any_facts(), upto in 0_usize..9) {
        let whole = of(&facts, &policy());
        let mut first = whole.clone();
        first.steps.truncate(upto);
        let rest = plan(&facts, &policy(), &copied(&first)).unwrap();
        let again: Vec<String> = first.steps.iter().chain(&rest.steps).map(|s| s.key.to_string()).collect();
        prop_assert_eq!(again, names(&whole));
        prop_assert!(plan(&facts, &policy(), &copied(&whole)).unwrap().steps.is_empty());
    }
}
