use std::path::PathBuf;

use common::record::{Content, SpfileContent, ThreadFact};

use super::*;
use crate::backup::evidence::{Piece, Status};
use crate::facts::{Database, Datafile, Parent};

struct World {
    plan: Plan,
    facts: Facts,
    evidence: Evidence,
    disk: BTreeMap<String, Seen>,
}

impl World {
    /// A level 0 of two datafiles with their redo, control file, autobackup and spfile: nothing to doubt.
    fn new() -> Self {
        let file = |file: u64| Datafile {
            file,
            path: format!("/u/{file}.dbf"),
            creation_change: 5,
            status: "ONLINE".to_owned(),
            enabled: "READ WRITE".to_owned(),
            ..Datafile::default()
        };
        let mut facts = Facts {
            database: Database {
                dbid: 77,
                resetlogs_change: 1,
                open_mode: "READ WRITE".to_owned(),
                role: "PRIMARY".to_owned(),
                version: "19.0.0.0.0".to_owned(),
                ..Database::default()
            },
            files: vec![file(1), file(2)],
            threads: vec![ThreadFact { thread: 1, enabled_change: 1, disabled_change: None }],
            spfile: true,
            ..Facts::default()
        };
        facts.configuration.insert("CONTROLFILE AUTOBACKUP".to_owned(), "ON".to_owned());
        let plan = Plan {
            kind: Kind::Full,
            run_dir: PathBuf::from("/b/run"),
            tag: "T".to_owned(),
            command_id: "T".to_owned(),
            log_name: "l".to_owned(),
            script: String::new(),
            estimate: 0,
            notes: Vec::new(),
            gaps: Vec::new(),
            logs: vec![LogKey { resetlogs_change: 1, thread: 1, sequence: 7 }],
            without_level_0: Vec::new(),
        };
        let status = Status { operation: "BACKUP".to_owned(), status: "COMPLETED".to_owned() };
        let mut world = Self {
            plan,
            facts,
            evidence: Evidence { statuses: vec![status], ..Evidence::default() },
            disk: BTreeMap::new(),
        };
        world.set(1, "db_1", vec![datafile(1, 0, 0, 100), datafile(2, 0, 0, 110)]);
        world.set(2, "arch_1", vec![log(7, 90, 105), log(8, 105, 120)]);
        let control = || Content::Controlfile(Box::default());
        world.set(3, "control_1", vec![control()]);
        world.set(4, "c-77-20260802-00", vec![control()]);
        world.set(5, "spfile_1", vec![Content::Spfile(SpfileContent::default())]);
        world
    }

    fn set(&mut self, count: u64, name: &str, contents: Vec<Content>) {
        let handle = format!("/b/run/{name}");
        self.evidence.sets.insert((1, count), Set { pieces: 1, contents, corrupt: 0 });
        self.evidence.pieces.push(Piece {
            set: (1, count),
            piece: 1,
            handle: handle.clone(),
            status: "A".to_owned(),
            bytes: 10,
            ..Piece::default()
        });
        self.disk.insert(handle, Seen::File { bytes: 10, sha256: "ab".to_owned() });
    }

    fn contents(&mut self, count: u64) -> &mut Vec<Content> {
        &mut self.evidence.sets.get_mut(&(1, count)).unwrap().contents
    }

    fn proof(&self) -> Proof {
        prove(&Case {
            plan: &self.plan,
            before: &self.facts,
            after: &self.facts,
            evidence: &self.evidence,
            disk: &self.disk,
        })
    }

    #[track_caller]
    fn doubt(&self, severity: Severity, text: &str) {
        let proof = self.proof();
        let found = proof.doubts.iter().any(|d| d.severity == severity && d.message.contains(text));
        assert!(found, "{text} is not in {:#?}", proof.doubts);
    }
}

fn datafile(file: u64, level: u64, from: u64, checkpoint: u64) -> Content {
    Content::Datafile(DatafileContent {
        file,
        level: Some(level),
        incremental_change: from,
        checkpoint_change: checkpoint,
        resetlogs_change: 1,
        creation_change: 5,
        ..DatafileContent::default()
    })
}

fn log(sequence: u64, first: u64, next: u64) -> Content {
    Content::ArchivedLog(LogContent {
        thread: 1,
        sequence,
        first_change: first,
        next_change: next,
        resetlogs_change: 1,
        ..LogContent::default()
    })
}

use Severity::{Error, Notice, Warning};

#[test]
fn a_whole_backup_has_no_doubts() {
    let proof = World::new().proof();
    assert_eq!(proof.doubts, []);
    assert_eq!(proof.good.len(), 5);
}

#[test]
fn a_piece_that_is_short_or_gone_takes_its_set_with_it() {
    let mut world = World::new();
    world.disk.insert("/b/run/db_1".to_owned(), Seen::File { bytes: 9, sha256: String::new() });
    world.doubt(Error, "piece /b/run/db_1: it has 9 bytes and V$BACKUP_PIECE says 10");
    world.doubt(Error, "datafile 1 /u/1.dbf is not in the backup");
    assert_eq!(world.proof().good.len(), 4);
    world.disk.insert("/b/run/db_1".to_owned(), Seen::Gone("no such file".to_owned()));
    world.doubt(Error, "piece /b/run/db_1: no such file");
    let mut world = World::new();
    world.evidence.sets.get_mut(&(1, 1)).unwrap().pieces = 2;
    world.doubt(Error, "backup set 1 has 2 pieces and 1 of them are whole");
    let mut world = World::new();
    world.evidence.pieces[0].status = "X".to_owned();
    world.doubt(Error, "with status X");
    world.evidence.pieces.clear();
    world.doubt(Error, "no piece is in /b/run");
}

#[test]
fn a_datafile_that_is_not_covered_is_an_error() {
    let mut world = World::new();
    world.contents(1).pop();
    world.doubt(Error, "datafile 2 /u/2.dbf is not in the backup");
    let mut world = World::new();
    world.contents(1)[0] = Content::Datafile(DatafileContent {
        file: 1,
        checkpoint_change: 100,
        resetlogs_change: 1,
        ..DatafileContent::default()
    });
    world.doubt(Error, "plain full backup");
}

#[test]
fn a_level_1_that_became_a_level_0_is_told() {
    let mut world = World::new();
    world.plan.kind = Kind::Incremental;
    world.doubt(Warning, "level 0 for datafiles 1, 2");
    world.facts.parents = vec![
        Parent { file: 1, checkpoint_change: 50, ..Parent::default() },
        Parent { file: 2, checkpoint_change: 51, ..Parent::default() },
    ];
    *world.contents(1) = vec![datafile(1, 1, 50, 100), datafile(2, 1, 51, 110)];
    assert_eq!(world.proof().doubts, []);
    *world.contents(1) = vec![datafile(1, 1, 50, 100), datafile(2, 1, 60, 110)];
    world.doubt(Error, "datafile 2 builds on a backup at SCN 60 that is not in the repository");
    *world.contents(1) = vec![datafile(1, 1, 50, 100), datafile(2, 1, 5, 110)];
    world.doubt(Warning, "level 0 for datafiles 2");
}

#[test]
fn redo_that_is_missing_is_an_error() {
    let mut world = World::new();
    world.contents(2).remove(0);
    world.doubt(Error, "archived logs 7 of thread 1 were on disk and are not in the backup");
    world.doubt(Error, "redo of thread 1 from SCN 100 beyond 110, and its logs end at 100");
    let mut world = World::new();
    world.contents(2).pop();
    world.doubt(Error, "its logs end at 105");
    let mut world = World::new();
    world.contents(1)[1] = Content::Datafile(DatafileContent {
        file: 2,
        level: Some(0),
        checkpoint_change: 110,
        fuzzy_change: Some(130),
        resetlogs_change: 1,
        ..DatafileContent::default()
    });
    world.doubt(Error, "beyond 130");
    let mut world = World::new();
    world.facts.threads.push(ThreadFact { thread: 2, enabled_change: 1, disabled_change: None });
    world.doubt(Error, "redo of thread 2");
}

#[test]
fn control_file_spfile_and_autobackup_are_part_of_it() {
    let mut world = World::new();
    world.disk.insert("/b/run/c-77-20260802-00".to_owned(), Seen::Gone("gone".to_owned()));
    world.doubt(Error, "no autobackup was made");
    world.disk.insert("/b/run/control_1".to_owned(), Seen::Gone("gone".to_owned()));
    world.doubt(Error, "no control file is in the backup");
    world.disk.insert("/b/run/spfile_1".to_owned(), Seen::Gone("gone".to_owned()));
    world.doubt(Error, "no server parameter file");
}

#[test]
fn what_rman_notes_itself_counts() {
    let mut world = World::new();
    world.evidence.statuses[0].status = "COMPLETED WITH WARNINGS".to_owned();
    world.doubt(Warning, "V$RMAN_STATUS: BACKUP is COMPLETED WITH WARNINGS");
    world.evidence.statuses[0].status = "FAILED".to_owned();
    world.doubt(Error, "BACKUP is FAILED");
    world.evidence.statuses.clear();
    world.doubt(Warning, "V$RMAN_STATUS has no row of T");
    world.evidence.sets.get_mut(&(1, 1)).unwrap().corrupt = 3;
    world.doubt(Warning, "3 damaged blocks");
}

#[test]
fn files_that_come_and_go_meanwhile_are_no_loss() {
    let world = World::new();
    let mut after = world.facts.clone();
    after.files.push(Datafile {
        file: 3,
        path: "/u/3.dbf".to_owned(),
        creation_change: 115,
        ..after.files[0].clone()
    });
    let case = Case {
        plan: &world.plan,
        before: &world.facts,
        after: &after,
        evidence: &world.evidence,
        disk: &world.disk,
    };
    let proof = prove(&case);
    assert!(
        proof.doubts.iter().all(|d| d.severity == Notice) && proof.doubts.len() == 1,
        "{:?}",
        proof.doubts
    );
}
