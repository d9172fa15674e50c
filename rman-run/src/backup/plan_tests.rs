use chrono::NaiveDate;
use proptest::prelude::*;

use super::*;
use crate::facts::{ArchivedLog, Database, Datafile, Parent};

fn now() -> NaiveDateTime {
    NaiveDate::from_ymd_opt(2026, 8, 2).and_then(|d| d.and_hms_opt(22, 0, 1)).unwrap()
}

fn facts() -> Facts {
    let file = |file: u64| Datafile {
        file,
        path: format!("/u/{file}.dbf"),
        tablespace: "USERS".to_owned(),
        bytes: 100 << 20,
        creation_change: file,
        status: "ONLINE".to_owned(),
        enabled: "READ WRITE".to_owned(),
        ..Datafile::default()
    };
    Facts {
        database: Database {
            name: "SHOP".to_owned(),
            archivelog: true,
            open_mode: "READ WRITE".to_owned(),
            role: "PRIMARY".to_owned(),
            version: "19.0.0.0.0".to_owned(),
            resetlogs_change: 1,
            ..Database::default()
        },
        files: vec![file(1), file(2)],
        spfile: true,
        ..Facts::default()
    }
}

fn parent(file: u64, level: u64) -> Parent {
    Parent { file, level, checkpoint_change: 100, creation_change: file, ..Parent::default() }
}

fn log(sequence: u64, on_disk: bool, backed_up: bool) -> ArchivedLog {
    let key = LogKey { resetlogs_change: 1, thread: 1, sequence };
    let names = vec![format!("/a/{sequence}.arc")];
    ArchivedLog { key, names, on_disk, backed_up, bytes: 1 << 20, ..ArchivedLog::default() }
}

fn policy(kind: Kind) -> Policy {
    Policy {
        kind,
        output_dir: "/b".into(),
        compressed: false,
        section_size: None,
        max_piece_size: None,
        channels: 1,
        tag: None,
        free: None,
    }
}

#[test]
fn names_are_those_of_the_original() {
    let plan = plan(&facts(), &policy(Kind::Full), now()).unwrap();
    assert_eq!(plan.run_dir, PathBuf::from("/b/20260802_220001_run"));
    assert_eq!(plan.tag, "BK_FULL_0802220001");
    assert_eq!(plan.log_name, "backup_log_FULL_20260802_220001.log");
    let expected = "RUN {\n  SET COMMAND ID TO 'BK_FULL_0802220001';\n  \
        SET CONTROLFILE AUTOBACKUP FORMAT FOR DEVICE TYPE DISK TO '/b/20260802_220001_run/%F';\n  \
        ALLOCATE CHANNEL c1 DEVICE TYPE DISK;\n  \
        BACKUP INCREMENTAL LEVEL 0 FORMAT '/b/20260802_220001_run/db_backup_FULL_%U' TAG 'BK_FULL_0802220001' DATABASE;\n  \
        SQL 'ALTER SYSTEM ARCHIVE LOG CURRENT';\n  \
        BACKUP FORMAT '/b/20260802_220001_run/archivelog_%U' TAG 'BK_FULL_0802220001' ARCHIVELOG ALL;\n  \
        BACKUP FORMAT '/b/20260802_220001_run/controlfile_%U' TAG 'BK_FULL_0802220001' CURRENT CONTROLFILE;\n  \
        BACKUP FORMAT '/b/20260802_220001_run/spfile_%U' TAG 'BK_FULL_0802220001' SPFILE;\n  \
        RELEASE CHANNEL c1;\n}\nEXIT;\n";
    assert_eq!(plan.script, expected);
}

#[test]
fn a_database_without_archived_logs_is_refused() {
    let mut facts = facts();
    facts.database.archivelog = false;
    assert_eq!(plan(&facts, &policy(Kind::Full), now()).unwrap_err().exit, Exit::Refused);
}

#[test]
fn a_backup_that_does_not_fit_is_refused() {
    let mut policy = policy(Kind::Full);
    policy.free = Some(100 << 20);
    let refused = plan(&facts(), &policy, now()).unwrap_err();
    assert_eq!(refused.exit, Exit::Refused);
    assert!(
        refused.message.contains("100 MiB free and the backup needs about 264 MiB"),
        "{}",
        refused.message
    );
    policy.free = Some(264 << 20);
    assert!(plan(&facts(), &policy, now()).is_ok());
}

#[test]
fn an_incremental_without_its_level_0_is_told_beforehand() {
    let mut facts = facts();
    let found = plan(&facts, &policy(Kind::Incremental), now()).unwrap();
    assert_eq!(found.without_level_0, [1, 2]);
    assert!(found.notes[0].warning);
    facts.parents = vec![parent(1, 0), parent(2, 0)];
    assert!(plan(&facts, &policy(Kind::Incremental), now()).unwrap().notes.is_empty());
    // A level 1 alone is no base, and neither is the level 0 of a dropped file of the same number.
    facts.parents = vec![parent(1, 0), parent(2, 1)];
    assert_eq!(plan(&facts, &policy(Kind::Incremental), now()).unwrap().without_level_0, [2]);
    facts.parents = vec![parent(1, 0), Parent { creation_change: 77, ..parent(2, 0) }];
    assert_eq!(plan(&facts, &policy(Kind::Incremental), now()).unwrap().without_level_0, [2]);
    facts.files[1].creation_change = 150;
    let new = plan(&facts, &policy(Kind::Incremental), now()).unwrap();
    assert_eq!((new.without_level_0.len(), new.notes[0].warning), (0, false));
}

#[test]
fn optimization_and_missing_logs_change_the_script() {
    let mut facts = facts();
    facts.configuration.insert("BACKUP OPTIMIZATION".to_owned(), "ON".to_owned());
    facts.logs = vec![
        log(5, true, false),
        log(6, false, false),
        log(7, false, false),
        log(8, false, true),
        log(9, false, false),
    ];
    let found = plan(&facts, &policy(Kind::Full), now()).unwrap();
    assert!(found.script.contains("FORCE DATABASE;"), "{}", found.script);
    assert!(found.script.contains("SKIP INACCESSIBLE FORCE ARCHIVELOG ALL"), "{}", found.script);
    let gaps: Vec<_> = found.gaps.iter().map(|g| (g.from, g.to)).collect();
    assert_eq!(gaps, [(6, 7), (9, 9)]);
    assert_eq!(found.logs.len(), 1);
}

#[test]
fn standard_edition_has_one_channel_and_rman_has_no_sections_with_a_piece_size() {
    let mut facts = facts();
    let mut policy = policy(Kind::Full);
    policy.channels = 4;
    assert!(plan(&facts, &policy, now()).unwrap().script.contains("CHANNEL c4"));
    facts.database.standard = true;
    let found = plan(&facts, &policy, now()).unwrap();
    assert!(!found.script.contains("CHANNEL c2") && found.notes[0].message.contains("Standard Edition"));
    policy.section_size = Some("1G".to_owned());
    policy.max_piece_size = Some("1G".to_owned());
    assert_eq!(plan(&facts, &policy, now()).unwrap_err().exit, Exit::Usage);
}

proptest! {
    /// Each log is on disk and demanded, or in a backup, or named in exactly one gap.
    #[test]
    fn no_log_is_forgotten(states in proptest::collection::vec((any::<bool>(), any::<bool>(), 1..3_u64), 0..40)) {
        let mut facts = facts();
        let mut sequence = [0, 0, 0];
        for (on_disk, backed_up, thread) in states {
            let at = usize::try_from(thread).unwrap();
            sequence[at] += 1;
            let mut log = log(sequence[at], on_disk, backed_up);
            log.key.thread = thread;
            facts.logs.push(log);
        }
        facts.logs.sort_by_key(|l| l.key);
        let found = plan(&facts, &policy(Kind::Archivelog), now()).unwrap();
        for log in &facts.logs {
            let gaps = found.gaps.iter().filter(|g| g.thread == log.key.thread && (g.from..=g.to).contains(&log.key.sequence)).count();
            let demanded = found.logs.contains(&log.key);
            prop_assert_eq!((demanded, gaps), (log.on_disk, usize::from(!log.on_disk && !log.backed_up)));
        }
        prop_assert_eq!(found.script.contains("SKIP INACCESSIBLE"), facts.logs.iter().any(|l| !l.on_disk));
    }
}
