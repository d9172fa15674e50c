//! Every piece damaged in turn, in every way: Oracle's error, or the backup before; never a wrong database.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod pieces_support;

use std::{
    fs,
    path::{Path, PathBuf},
};

use orasim::pieces::api::{Backup, Event, Mode, Request, Restore, Source};
use pieces_support::{handles, recover, restore, Db, Ran};

#[derive(Debug, Clone, Copy, PartialEq)]
enum Harm {
    Removed,
    Header,
    Middle,
    End,
    Cut,
    Empty,
    Text,
    Swapped,
    Foreign,
}

const ALL: [Harm; 9] = [
    Harm::Removed,
    Harm::Header,
    Harm::Middle,
    Harm::End,
    Harm::Cut,
    Harm::Empty,
    Harm::Text,
    Harm::Swapped,
    Harm::Foreign,
];

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}

/// The codes that Oracle gives for it, below ORA-19870.
fn harm(path: &Path, other: &Path, foreign: &Path, how: Harm) -> &'static [u32] {
    let len = fs::metadata(path).unwrap().len() as usize;
    match how {
        Harm::Removed => {
            fs::remove_file(path).unwrap();
            &[19505, 27037]
        }
        Harm::Header => {
            flip(path, 100);
            &[19599]
        }
        Harm::Middle => {
            flip(path, 8192 + (len - 8192) / 2);
            &[19599]
        }
        Harm::End => {
            flip(path, len - 12);
            &[19599]
        }
        Harm::Cut => {
            let bytes = fs::read(path).unwrap();
            fs::write(path, &bytes[..len * 2 / 3]).unwrap();
            &[19587, 27072]
        }
        Harm::Empty => {
            fs::write(path, b"").unwrap();
            &[19587, 27072]
        }
        Harm::Text => {
            fs::write(path, vec![b'x'; 20_000]).unwrap();
            &[19608]
        }
        Harm::Swapped => {
            fs::copy(other, path).unwrap();
            &[19615]
        }
        Harm::Foreign => {
            fs::copy(foreign, path).unwrap();
            &[19698]
        }
    }
}

fn foreign() -> (Db, PathBuf) {
    let mut other = Db::new(|s| s.dbid = 4711);
    let piece = handles(&other.back_up(None)).remove(0);
    (other, piece)
}

/// Restores and recovers; what is told of success is true.
fn whole_story(db: &mut Db) -> (Ran, Option<Ran>) {
    let restored = db.run(Request::Restore(restore(None)));
    if restored.failure.is_some() {
        return (restored, None);
    }
    let recovered = db.run(Request::Recover(recover(None)));
    let only_end = recovered.failure.as_ref().is_some_and(|f| f.code() == 6054 && f.before.is_empty());
    if only_end {
        db.assert_true();
    }
    (restored, Some(recovered))
}

#[test]
fn the_only_backup_is_damaged_and_restore_says_so() {
    let (_other, foreign) = foreign();
    let mut db = Db::new(|_| {});
    db.db.write_batch(300).unwrap();
    let first = handles(&db.back_up(Some(0))).remove(0);
    let control = db.back_up_control();
    db.archive();
    let good = fs::read(&first).unwrap();
    db.wipe(false);
    db.mount_from(&control);
    for how in ALL {
        fs::write(&first, &good).unwrap();
        let wanted = harm(&first, &control, &foreign, how);
        let order = Restore { mode: Mode::Validate, ..restore(None) };
        let ran = db.run(Request::Restore(order));
        assert!(ran.failure.is_some(), "{how:?} validated");
        let ran = db.restore(None);
        let codes = ran.codes();
        assert!(codes.starts_with(&[19870]), "{how:?} {codes:?}");
        assert_eq!(&codes[1..=wanted.len()], wanted, "{how:?}");
        assert_eq!(&codes[wanted.len() + 1..][..2], [6026, 6023], "{how:?}");
        // Nothing that looks like a datafile is left.
        assert!(db.db.datafiles().values().all(|p| !p.exists()), "{how:?}");
    }
    fs::write(&first, &good).unwrap();
    db.restore(None).good();
    assert_eq!(db.recover(None).codes(), [6054]);
    db.assert_true();
}

#[test]
fn every_piece_in_turn_and_the_database_is_right_or_the_loss_is_told() {
    let (_other, foreign) = foreign();
    let mut db = Db::new(|_| {});
    db.db.set_rate(2500);
    db.db.write_batch(200).unwrap();
    let mut pieces = handles(&db.back_up(Some(0)));
    pieces.extend(handles(&db.back_up_logs(false)));
    pieces.extend(handles(&db.back_up(Some(0))));
    pieces.extend(handles(&db.back_up(Some(1))));
    pieces.extend(handles(&db.back_up_logs(true)));
    pieces.extend(handles(&db.back_up(Some(1))));
    let last = handles(&db.back_up_logs(true));
    pieces.extend(last.clone());
    db.db.set_rate(0);
    let control = db.back_up_control();
    let good: Vec<Vec<u8>> = pieces.iter().map(|p| fs::read(p).unwrap()).collect();
    let mut told = 0;
    for (i, piece) in pieces.iter().enumerate() {
        for how in ALL.iter().skip(i % 2).step_by(2) {
            for (piece, bytes) in pieces.iter().zip(&good) {
                fs::write(piece, bytes).unwrap();
            }
            harm(piece, &control, &foreign, *how);
            db.wipe(true);
            db.mount_from(&control);
            let (restored, recovered) = whole_story(&mut db);
            assert!(restored.failure.is_none(), "{how:?} {}: {:?}", piece.display(), restored.failure);
            let recovered = recovered.unwrap();
            let failure = recovered.failure.as_ref().unwrap();
            if last.contains(piece) {
                // The newest logs are nowhere else.
                assert!(recovered.codes().contains(&6053), "{how:?} {:?}", recovered.codes());
                assert!(recovered.codes().contains(&6025));
                told += 1;
            } else {
                assert_eq!(failure.code(), 6054, "{how:?} {} {failure:?}", piece.display());
                let reached = db.reached();
                assert!(reached > 0);
            }
        }
    }
    assert!(told >= 4);
}

#[test]
fn control_files_come_from_autobackups_and_bad_ones_are_named() {
    let mut db = Db::new(|_| {});
    db.run(Request::Configure {
        name: "CONTROLFILE AUTOBACKUP FORMAT FOR DEVICE TYPE".into(),
        value: Some(format!("DISK TO '{}/auto_%F'", db.path("b").display())),
    })
    .good();
    db.db.write_batch(100).unwrap();
    let order = Backup { autobackup: true, ..db.database(None) };
    let events = db.run(Request::Backup(order)).good();
    let auto = handles(&events).pop().unwrap();
    assert!(auto.to_string_lossy().contains("auto_c-1497201050-"), "{auto:?}");
    db.archive();
    db.wipe(false);
    db.sql(orasim::engine::Command::Startup(orasim::engine::StartupMode::Nomount)).unwrap();
    let format = Some(format!("{}/auto_%F", db.path("b").display()));
    let from =
        |dbid| Source::Autobackup { dbid, format: format.clone(), max_days: 7, max_seq: 255, until: None };
    let ask = |db: &mut Db, from| db.run(Request::RestoreControlfile { from, to: None, mode: Mode::Restore });
    let nowhere = db.path("nothing");
    assert_eq!(ask(&mut db, from(None)).codes(), [6495]);
    assert_eq!(ask(&mut db, from(Some(99))).codes(), [6172]);
    assert_eq!(ask(&mut db, Source::Handle(nowhere)).codes(), [6172]);
    let bytes = fs::read(&auto).unwrap();
    flip(&auto, 9000);
    assert_eq!(ask(&mut db, from(Some(1_497_201_050))).codes(), [19870, 19599]);
    fs::write(&auto, bytes).unwrap();
    let events = ask(&mut db, from(Some(1_497_201_050))).good();
    assert!(events.iter().any(|e| matches!(e, Event::ControlfileWritten { .. })));
    db.sql(orasim::engine::Command::Mount { standby: false }).unwrap();
    assert_eq!(ask(&mut db, Source::Handle(auto.clone())).codes(), [19870, 19607]);
    let pfile = db.path("init.ora");
    let from = Source::Handle(auto);
    db.run(Request::RestoreSpfile { from, to: Some(pfile.clone()), pfile: true, mode: Mode::Restore }).good();
    assert!(fs::read_to_string(pfile).unwrap().contains("*.db_name='PROD'"));
    db.restore(None).good();
    let prefix = format!("{}/", db.path("db/arch").display());
    db.run(Request::CatalogPrefix { prefix, apply: true }).good();
    assert_eq!(db.recover(None).codes(), [6054]);
    db.assert_true();
}
