//! The repository, faults while pieces are written, what the V$ views say, deleting.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod pieces_support;

use std::fs;

use orasim::{
    engine::{Command, State, Value},
    faults::Faults,
    pieces::api::{
        Backup, Backups, Delete, Ended, Event, Files, Logs, Object, Request, SetKind, Skipped, What,
    },
};
use pieces_support::{handles, Db};

#[test]
fn a_level_1_has_the_changed_blocks_and_without_a_parent_it_is_a_level_0() {
    let mut db = Db::new(|_| {});
    db.db.write_batch(200).unwrap();
    db.back_up(None);
    let events = db.back_up(Some(1));
    let orphans = events.iter().filter(|e| matches!(e, Event::NoParent { .. })).count();
    assert_eq!(orphans, 6, "a full backup is no parent");
    assert!(events.iter().any(|e| matches!(e, Event::SetStart { kind: SetKind::Incremental(0), .. })));
    db.db.change_block(3, 5).unwrap();
    db.db.change_block(3, 9).unwrap();
    let events = db.back_up(Some(1));
    assert!(events.iter().any(|e| matches!(e, Event::SetStart { kind: SetKind::Incremental(1), .. })));
    let (sets, _) = db.sets();
    let row = sets.last().unwrap().datafiles.iter().find(|d| d.file == 3).unwrap();
    assert_eq!((row.level, row.blocks), (Some(1), 3), "header and two blocks");
    let differential = sets.last().unwrap().datafiles.iter().map(|d| d.checkpoint_scn).max().unwrap();
    db.back_up(Some(1));
    let cumulative = Backup { cumulative: true, ..db.database(Some(1)) };
    db.run(Request::Backup(cumulative)).good();
    let (sets, _) = db.sets();
    let last: Vec<_> = sets.iter().rev().take(2).collect();
    let of = |i: usize| last[i].datafiles.iter().find(|d| d.file == 3).unwrap().clone();
    assert_eq!(of(0).blocks, 3, "cumulative: since the level 0");
    assert_eq!((of(1).blocks, of(1).incremental_scn), (1, differential), "differential: since the level 1");
    let rows = db.rows("V$BACKUP_DATAFILE");
    assert!(rows.iter().any(|r| r["INCREMENTAL_LEVEL"] == Value::Int(1) && r["FILE#"] == Value::Int(3)));
}

#[test]
fn what_fails_while_it_is_written_leaves_no_row() {
    let mut db = Db::new(|_| {});
    db.db.write_batch(300).unwrap();
    let count = |db: &Db| fs::read_dir(db.path("b")).unwrap().count();
    for (faults, code) in [
        (Faults { piece_fails_after_blocks: Some(20), ..Faults::default() }, "Error: 5:"),
        (
            Faults { piece_no_space_after_blocks: Some(20), ..Faults::default() },
            "Error: 28: No space left on device",
        ),
    ] {
        db.db.set_faults(faults).unwrap();
        let order = db.database(None);
        let ran = db.run(Request::Backup(order));
        let failure = ran.failure.clone().unwrap();
        assert_eq!((ran.codes(), failure.channel), (vec![19502, 27072], Some(0)));
        assert!(failure.lines[1].text.contains(code), "{failure:?}");
        assert_eq!((db.sets().0.len(), count(&db)), (0, 0));
    }
    db.db.set_faults(Faults { backup_dies_after_blocks: Some(20), ..Faults::default() }).unwrap();
    let order = db.database(None);
    let step = db.db.rman(&mut db.session, &Request::Backup(order)).unwrap();
    drop(step);
    let error = db.db.rman(&mut db.session, &Request::Next).unwrap_err();
    assert_eq!(error.code(), 3113);
    assert_eq!((db.sets().0.len(), count(&db)), (0, 1), "half a piece, no row");
    db.db.set_faults(Faults::default()).unwrap();
    let events = db.catalog();
    assert!(
        matches!(&events[..], [Event::NotCataloged { message, .. }] if message.code == 7517),
        "{events:?}"
    );
    // A corrupt block stops its set, unless it is allowed.
    db.db.corrupt_block(3, 7).unwrap();
    let order = db.database(None);
    assert_eq!(db.run(Request::Backup(order)).codes(), [19566]);
    let rows = db.rows("V$DATABASE_BLOCK_CORRUPTION");
    assert_eq!(rows[0]["BLOCK#"], Value::Int(7));
    let allowed = Backup { max_corrupt: vec![(3, 1)], ..db.database(None) };
    db.run(Request::Backup(allowed)).good();
    assert_eq!(db.rows("V$BACKUP_CORRUPTION").len(), 1);
    // The same name twice.
    let fixed =
        Backup { format: vec![db.path("b/fixed").to_string_lossy().into()], ..db.order(vec![What::Spfile]) };
    db.run(Request::Backup(fixed.clone())).good();
    assert_eq!(db.run(Request::Backup(fixed)).codes(), [19504, 27038]);
    assert!(db.path("b/fixed").exists());
}

#[test]
fn a_full_recovery_area_is_ora_19809_and_so_is_its_autobackup() {
    let mut db = Db::new(|s| {
        let area = s.tablespaces[0].files[0].path.parent().unwrap().parent().unwrap().join("fra");
        s.parameters.insert("db_recovery_file_dest".into(), area.to_string_lossy().into());
        s.parameters.insert("db_recovery_file_dest_size".into(), "900K".into());
    });
    let order =
        Backup { format: vec![], autobackup: true, ..db.order(vec![What::Files(Files::Datafiles(vec![3]))]) };
    let events = db.run(Request::Backup(order)).good();
    let names: Vec<String> = handles(&events).iter().map(|h| h.to_string_lossy().into_owned()).collect();
    assert!(names[0].contains("/fra/PROD/backupset/") && names[0].contains("o1_mf_nnndf_TAG"), "{names:?}");
    assert!(names[1].contains("/fra/PROD/autobackup/"), "{names:?}");
    db.db.write_batch(3000).unwrap();
    let order = Backup { format: vec![], ..db.database(None) };
    let ran = db.run(Request::Backup(order));
    assert_eq!(ran.codes(), [19809, 19804], "{:?}", ran.failure);
    assert_eq!(db.sets().0.len(), 2);
    let used = &db.rows("V$RECOVERY_FILE_DEST")[0];
    assert_eq!(used["SPACE_LIMIT"], Value::Int(900 << 10));
    assert!(matches!(used["SPACE_USED"], Value::Int(n) if n > 0));
}

#[test]
fn archived_logs_are_backed_up_once_deleted_by_rule_and_missed_when_gone() {
    let mut db = Db::new(|_| {});
    for _ in 0..3 {
        db.db.write_batch(60).unwrap();
        db.archive();
    }
    let logs = |db: &Db| fs::read_dir(db.path("db/arch")).unwrap().count();
    assert_eq!(logs(&db), 3);
    let policy = "TO BACKED UP 2 TIMES TO DISK";
    db.run(Request::Configure { name: "ARCHIVELOG DELETION POLICY".into(), value: Some(policy.into()) })
        .good();
    let order = Backup { delete_input: true, ..db.order(vec![What::Logs(Logs::default())]) };
    let events = db.run(Request::Backup(order.clone())).good();
    assert_eq!(
        events.iter().filter(|e| matches!(e, Event::LogKept { message, .. } if message.code == 8138)).count(),
        3
    );
    let once = Logs { not_backed_up: Some(1), ..Logs::default() };
    let events = db.run(Request::Backup(db.order(vec![What::Logs(once)]))).good();
    assert!(events.contains(&Event::SkippingLogs { thread: 1, from: 1, to: 3 }), "{events:?}");
    let events = db.run(Request::Backup(order)).good();
    assert!(events.iter().any(|e| matches!(e, Event::Deleting { logs, .. } if logs.len() == 3)));
    assert_eq!(logs(&db), 0);
    db.db.write_batch(60).unwrap();
    db.archive();
    let path = fs::read_dir(db.path("db/arch")).unwrap().flatten().next().unwrap().path();
    fs::remove_file(&path).unwrap();
    let ran = db.run(Request::Backup(db.order(vec![What::Logs(Logs::default())])));
    assert_eq!(ran.codes(), [6059, 19625, 27037]);
    let events = db.run(Request::CrosscheckLogs(Logs::default())).good();
    assert!(matches!(&events[..], [Event::Crosschecked { available: false, .. }]), "{events:?}");
    let what = Delete::Logs { logs: Logs::default(), expired: true, force: false };
    let events = db.run(Request::Delete { what, apply: true }).good();
    assert!(matches!(&events[..], [Event::Deleted(Object::Log { sequence: 4, .. })]), "{events:?}");
}

#[test]
fn crosscheck_expires_what_is_gone_and_delete_obsolete_keeps_what_is_needed() {
    let mut db = Db::new(|_| {});
    let first = handles(&db.back_up(Some(0))).remove(0);
    let second = handles(&db.back_up(Some(0))).remove(0);
    let what = Delete::Obsolete { redundancy: None, window_days: None };
    let events = db.run(Request::Delete { what: what.clone(), apply: false }).good();
    let [Event::ToDelete(list)] = &events[..] else { panic!("{events:?}") };
    assert!(matches!(&list[..], [Object::Piece { handle, .. }] if *handle == first), "{list:?}");
    assert!(first.exists());
    let away = db.path("away");
    fs::rename(&second, &away).unwrap();
    let events = db.run(Request::CrosscheckBackups(Backups::default())).good();
    let found: Vec<bool> = events
        .iter()
        .filter_map(|e| match e {
            Event::Crosschecked { available, .. } => Some(*available),
            _ => None,
        })
        .collect();
    assert_eq!(found, [true, false]);
    // Now the first one is the only one.
    let events = db.run(Request::Delete { what: what.clone(), apply: false }).good();
    assert_eq!(events, [Event::ToDelete(vec![])]);
    fs::rename(&away, &second).unwrap();
    let expired = Delete::Backups(Backups { expired: true, ..Backups::default() });
    let events = db.run(Request::Delete { what: expired, apply: true }).good();
    assert!(matches!(&events[..], [Event::Mismatched(_)]), "{events:?}");
    db.run(Request::CrosscheckBackups(Backups::default())).good();
    let events = db.run(Request::Delete { what, apply: true }).good();
    assert!(matches!(&events[..], [Event::Deleted(_)]), "{events:?}");
    assert!(!first.exists() && second.exists());
    let key = db.sets().0[0].recid;
    db.run(Request::ValidateSets(vec![key])).good();
    fs::remove_file(&second).unwrap();
    assert_eq!(db.run(Request::ValidateSets(vec![key])).codes(), [19870, 19505, 27037]);
}

#[test]
fn files_left_out_are_named_and_the_views_tell_the_whole_job() {
    let mut db = Db::new(|_| {});
    db.ask(Request::Begin { operation: "BACKUP".into(), object_type: None });
    let order = Backup { skip_offline: true, skip_read_only: true, autobackup: true, ..db.database(Some(0)) };
    let events = db.run(Request::Backup(order)).good();
    let skipped: Vec<(u32, Skipped)> = events
        .iter()
        .filter_map(|e| match e {
            Event::SkippingFile { file, reason, .. } => Some((*file, *reason)),
            _ => None,
        })
        .collect();
    assert_eq!(skipped, [(5, Skipped::ReadOnly), (6, Skipped::Offline)]);
    assert!(events.contains(&Event::Compromised { tablespace: "OLD".into() }));
    db.ask(Request::End(Ended::Completed));
    db.ask(Request::Output(vec!["piece handle=x".into()]));
    db.ask(Request::Finish(Ended::Completed));
    let jobs = db.rows("V$RMAN_BACKUP_JOB_DETAILS");
    assert_eq!(jobs[0]["STATUS"], Value::Text("COMPLETED".into()));
    assert_eq!(jobs[0]["INPUT_TYPE"], Value::Text("DB INCR".into()));
    assert_eq!(jobs[0]["COMMAND_ID"], Value::Text("test".into()));
    assert_eq!(jobs[0]["AUTOBACKUP_DONE"], Value::Text("YES".into()));
    let session = jobs[0]["SESSION_RECID"].clone();
    let pieces = db.rows("V$BACKUP_PIECE_DETAILS");
    assert!(pieces.iter().all(|p| p["SESSION_RECID"] == session), "{pieces:?}");
    assert_eq!(pieces.len(), 2);
    for view in [
        "V$BACKUP_FILES",
        "V$BACKUP_SET",
        "V$BACKUP_SET_DETAILS",
        "V$BACKUP_SPFILE",
        "V$RMAN_STATUS",
        "V$RMAN_OUTPUT",
        "V$BACKUP_DATAFILE_DETAILS",
        "V$BACKUP_PIECE",
        "V$RECOVERY_AREA_USAGE",
    ] {
        assert!(!db.rows(view).is_empty(), "{view}");
    }
    db.back_up_logs(false);
    for view in ["V$BACKUP_REDOLOG", "V$BACKUP_ARCHIVELOG_DETAILS", "V$BACKUP_FILES"] {
        assert!(!db.rows(view).is_empty(), "{view}");
    }
    // Optimization: files at rest that have been backed up often enough.
    db.run(Request::Configure { name: "BACKUP OPTIMIZATION".into(), value: Some("ON".into()) }).good();
    db.back_up(None);
    db.back_up(None);
    let events = db.back_up(None);
    assert!(
        events.iter().any(|e| matches!(e, Event::SkippingFile { reason: Skipped::BackedUp(2), .. })),
        "{events:?}"
    );
    assert_eq!(db.db_state(), State::Open);
    db.sql(Command::Checkpoint).unwrap();
}
