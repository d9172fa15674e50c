//! Snapshots of which the array has not told, or too late.

use std::time::Duration;

use ibsim::{Config, Fault, Lost, Rule};

use crate::lab::Lab;

const GROUP: &str = "^/volumes/group_snapshot";

fn with(fault: Fault) -> Rule {
    Rule::on("POST", GROUP, fault)
}

#[test]
fn an_answer_that_is_lost_is_found_again() {
    for fault in
        [Fault::ResetAfter, Fault::CutAnswer, Fault::EmptyBody, Fault::HangAfter, Fault::status_after(500)]
    {
        let lab = Lab::small();
        let name = format!("{fault:?}");
        lab.array.faults(vec![with(fault).first(1)]).unwrap();
        let ran = lab.run(&["--array-timeout", "1s"]).exits(0);
        lab.assert_clean();
        assert_eq!(lab.array.snapshots().len(), 4, "{name}");
        assert!(lab.states().values().all(|s| s == "complete"), "{name} {:?}", lab.states());
        assert!(ran.of("snapshot").iter().all(|r| r["state"] == "complete"), "{name}");
    }
}

#[test]
fn what_was_surely_not_executed_is_asked_for_again_where_that_is_safe() {
    let lab = Lab::new(Config { addresses: 2, ..Config::default() });
    lab.array.set_address(0, ibsim::Address::Unavailable);
    let both = format!("{},{}", lab.array.tls_host(0), lab.array.tls_host(1));
    crate::lab::run(lab.tool().env("SOURCE_INFINIBOX", both)).exits(0);
    let lab = Lab::small();
    lab.array.faults(vec![with(Fault::too_many(1)).first(1)]).unwrap();
    let ran = lab.run(&[]).exits(0);
    assert!(ran.count("backup_mode_ms") >= 1000);
}

#[test]
fn a_request_that_is_late_does_not_hinder_the_one_after_it() {
    let lab = Lab::small();
    lab.array.faults(vec![with(Fault::late(Duration::from_millis(700), Lost::Reset)).first(1)]).unwrap();
    lab.run(&[]).exits(0);
    lab.array.settle().unwrap();
    assert_eq!(lab.array.snapshots().len(), 4);
    assert!(lab.states().values().all(|s| s == "complete"));
}

/// Every request is executed after END BACKUP, by an array whose clock is minutes away.
fn late(offset_ms: i64) {
    let lab = Lab::new(Config { clock_offset_ms: offset_ms, ..Config::default() });
    lab.array.faults(vec![with(Fault::late(Duration::from_secs(2), Lost::Reset))]).unwrap();
    let ran = lab.run(&[]).exits(2);
    lab.assert_clean();
    lab.array.settle().unwrap();
    assert!(ran.says("after END BACKUP") && ran.says("the database is out of backup mode"), "{}", ran.stderr);
    assert!(ran.of("snapshot").is_empty() && ran.of("recovery_window").is_empty());
    assert!(lab.pending(), "another late one may come");
    // What has come meanwhile goes with the next run.
    lab.array.faults(Vec::new()).unwrap();
    std::thread::sleep(Duration::from_millis(1100));
    lab.run(&[]).exits(0);
    assert!(lab.states().values().all(|s| s == "complete"), "{:?}", lab.states());
    assert_eq!(lab.array.snapshots().len(), 4);
}

#[test]
fn a_late_snapshot_is_never_counted() {
    late(0);
}

#[test]
fn a_late_snapshot_is_never_counted_by_a_clock_that_is_behind() {
    late(-300_000);
}

#[test]
fn a_late_snapshot_is_never_counted_by_a_clock_that_is_ahead() {
    late(300_000);
}

#[test]
fn a_late_snapshot_that_comes_after_the_run_is_found_by_the_next_one() {
    let lab = Lab::small();
    lab.array.faults(vec![with(Fault::late(Duration::from_secs(9), Lost::Reset))]).unwrap();
    lab.run(&[]).exits(2);
    assert!(lab.array.snapshots().is_empty() && lab.pending());
    lab.array.settle().unwrap();
    assert_eq!(lab.array.snapshots().len(), 3);
    lab.array.faults(Vec::new()).unwrap();
    let ran = lab.run(&["--end-backup"]).exits(0);
    assert!(ran.says("it was deleted"), "{}", ran.stderr);
    assert!(lab.array.snapshots().is_empty());
}

#[test]
fn a_mapped_late_snapshot_is_kept_and_marked() {
    let lab = Lab::small();
    lab.array.faults(vec![with(Fault::late(Duration::from_secs(7), Lost::Reset)).first(3)]).unwrap();
    lab.run(&[]).exits(2);
    lab.array.settle().unwrap();
    let name = lab.snapshot("_DATA2").name;
    lab.array.change(&ibsim::Change::Map(name.clone())).unwrap();
    let ran = lab.run(&["--end-backup"]).exits(0);
    assert!(ran.says("it is kept"), "{}", ran.stderr);
    assert_eq!(lab.states(), [(name, "incomplete".to_owned())].into());
}

#[test]
fn an_answer_without_the_snapshots_is_looked_up_inside_backup_mode() {
    let lab = Lab::small();
    let short = Fault::Body(r#"{"result":[],"error":null,"metadata":{"ready":true}}"#.to_owned());
    // A clock that is known to a second cannot prove a moment of milliseconds.
    let clock = Rule::on("GET", "^/system/ntp_status", Fault::status(404));
    lab.array.faults(vec![clock, with(short)]).unwrap();
    lab.run(&[]).exits(0);
    assert_eq!(lab.array.count("POST", GROUP), 1);
    assert_eq!(lab.array.snapshots().len(), 4);
    assert!(lab.states().values().all(|s| s == "complete"), "{:?}", lab.states());
}

#[test]
fn half_a_set_is_marked_as_such() {
    let lab = Lab::small();
    let rule = Rule::on("POST", "^/volumes$", Fault::status(409)).body("_DATA2");
    lab.array.faults(vec![rule]).unwrap();
    let ran = lab.run(&["--separate-snapshots"]).exits(2);
    lab.assert_clean();
    assert_eq!(lab.array.snapshots().len(), 2);
    assert!(lab.states().values().all(|s| s == "incomplete"), "{:?}", lab.states());
    assert_eq!(ran.of("snapshot").len(), 2);
    assert!(ran.of("snapshot").iter().all(|r| r["state"] == "incomplete"));
    assert!(ran.says("the data snapshots do not count") && ran.says("_DATA2"), "{}", ran.stderr);
}
