//! Backups that must recover, to the block.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod support;

use orasim::{
    datafile::Header,
    engine::{Command, Until},
};
use support::{codes, Pair};

#[test]
fn a_copy_made_in_backup_mode_recovers_to_every_scn_in_between() {
    let mut pair = Pair::new(|_| {});
    pair.good_backup();
    let end = pair.db.current_scn();
    pair.archive();
    let control = pair.standby_control();
    let mut targets = Vec::new();
    for n in 0..4 {
        pair.db.write_batch(150 + n * 37).unwrap();
        targets.push(pair.db.current_scn() - 11);
        pair.archive();
    }
    pair.ship_all();
    pair.mount_standby(&control).unwrap();
    for target in [end + 3].into_iter().chain(targets) {
        let reply = pair.recover(Until::Change(target)).unwrap_or_else(|e| panic!("{target}: {e:?}"));
        assert_eq!(reply.notes, ["Media recovery complete."]);
        assert_eq!(pair.reached(), target);
        pair.assert_equal();
    }
    let last = pair.archived().keys().map(|(_, s)| *s).max().unwrap();
    let (error, next) = pair.recover_all();
    assert_eq!(codes(&error), [279, 289, 280, 278, 308, 27037]);
    assert_eq!(i64::from(next), last + 1);
    pair.assert_equal();
    pair.on_standby(Command::Open { read_only: true, resetlogs: false }).unwrap();
}

#[test]
fn the_copies_are_torn_and_the_comparison_sees_it() {
    let pair = Pair::new(|_| {});
    pair.good_backup();
    let scn = Header::read_path(&pair.copy_of(1)).unwrap().checkpoint_scn;
    let comparison = pair.compare(scn);
    let wrong: Vec<_> = comparison.files.iter().filter(|f| !f.differing.is_empty()).map(|f| f.file).collect();
    assert_eq!(wrong, [1, 2, 3, 4]);
}

#[test]
fn two_threads_are_merged_by_scn_and_an_idle_one_is_needed_too() {
    for idle in [vec![], vec![2]] {
        let mut pair = Pair::new(|s| {
            s.threads = 2;
            s.idle_threads.clone_from(&idle);
            s.redo_block_size = 1024;
            s.big_endian_redo = true;
        });
        pair.good_backup();
        pair.archive();
        let control = pair.standby_control();
        pair.db.write_batch(300).unwrap();
        pair.archive();
        pair.ship_all();
        pair.mount_standby(&control).unwrap();
        let (error, _) = pair.recover_all();
        assert_eq!(codes(&error), [279, 289, 280, 278, 308, 27037], "{error:?}");
        pair.assert_equal();
        let last = pair.archived().keys().map(|(_, s)| *s).max().unwrap();
        assert!(error.stack[2].1.ends_with(&format!("#{}", last + 1)) || idle.is_empty(), "{error:?}");
    }
}

#[test]
fn files_that_grow_and_stop_are_followed() {
    let mut pair = Pair::new(|s| s.standby_file_management_auto = false);
    pair.good_backup();
    pair.archive();
    let control = pair.standby_control();
    let grown = pair.db.datafiles()[&3].clone();
    pair.run(Command::ResizeDatafile { file: grown.clone(), bytes: 1 << 20 }).unwrap();
    pair.db.write_batch(200).unwrap();
    pair.run(Command::ResizeDatafile { file: grown, bytes: 900 << 10 }).unwrap();
    pair.db.write_batch(50).unwrap();
    pair.run(Command::TablespaceReadOnly("UNDOTBS1".into())).unwrap();
    pair.db.write_batch(50).unwrap();
    pair.run(Command::TablespaceReadWrite("HIST".into())).unwrap();
    pair.db.write_batch(100).unwrap();
    pair.archive();
    pair.ship_all();
    pair.mount_standby(&control).unwrap();
    pair.recover_all();
    let scn = Header::read_path(&pair.copy_of(1)).unwrap().checkpoint_scn;
    let comparison = pair.compare(scn);
    assert!(comparison.equal(), "{:#?}", comparison.explain());
}

#[test]
fn logs_given_by_name_and_by_record() {
    let mut pair = Pair::new(|_| {});
    pair.good_backup();
    pair.archive();
    let control = pair.standby_control();
    pair.mount_standby(&control).unwrap();
    let mut request = support::automatic(Until::Cancel);
    request.automatic = false;
    let first = pair.on_standby(Command::Recover(request)).unwrap_err();
    assert_eq!(codes(&first), [279, 289, 280]);
    let logs: Vec<_> = pair.archived().into_values().collect();
    let mut wanted = first.stack[2].1.rsplit('#').next().unwrap().parse::<usize>().unwrap();
    let wrong = pair.on_standby(Command::RecoverLogfile(logs[wanted].clone()));
    if wanted < logs.len() {
        assert_eq!(codes(&wrong.unwrap_err()), [310, 334]);
    }
    while wanted <= logs.len() {
        let more = pair.on_standby(Command::RecoverLogfile(logs[wanted - 1].clone())).unwrap_err();
        assert_eq!(codes(&more), [279, 289, 280, 278]);
        wanted += 1;
    }
    assert_eq!(
        pair.on_standby(Command::Open { read_only: true, resetlogs: false }).unwrap_err().stack[1].0,
        1156
    );
    pair.on_standby(Command::RecoverCancel).unwrap();
    pair.assert_equal();
    assert_eq!(pair.on_standby(Command::RecoverCancel).unwrap_err().code(), 1112);

    pair.db.write_batch(100).unwrap();
    pair.archive();
    let newest = pair.archived().into_values().next_back().unwrap();
    let odd = pair.path("o1_mf_1_x_abc_.arc");
    std::fs::copy(newest, &odd).unwrap();
    pair.on_standby(Command::CatalogFile { path: odd.clone() }).unwrap();
    let before = pair.reached();
    let done = pair.on_standby(Command::RecoverCataloged(support::automatic(Until::End))).unwrap_err();
    assert_eq!(codes(&done), [279, 289, 280, 278]);
    assert!(pair.reached() > before);
    pair.assert_equal();
    assert_eq!(
        pair.on_standby(Command::RegisterLogfile { path: odd, replace: false }).unwrap_err().code(),
        16089
    );
}

#[test]
fn an_activated_standby_is_a_new_incarnation() {
    let mut pair = Pair::new(|_| {});
    pair.good_backup();
    pair.archive();
    let control = pair.standby_control();
    pair.archive();
    pair.ship_all();
    pair.mount_standby(&control).unwrap();
    pair.recover_all();
    pair.on_standby(Command::ActivateStandby).unwrap();
    pair.on_standby(Command::Open { read_only: false, resetlogs: false }).unwrap();
    let standby = pair.standby.as_ref().unwrap();
    standby.write_batch(100).unwrap();
    pair.on_standby(Command::ArchiveLogCurrent).unwrap();
    let old = pair.archived();
    let first_again = pair.arrived().read_dir().unwrap().count();
    assert!(first_again > old.len(), "the logs of the new incarnation have other names");
}
