//! The redo that a set needs is on disk, and where the archive snapshot has it.

use crate::lab::{run, Lab, Ran};
use crate::refused::host;

#[track_caller]
fn is_none(lab: &Lab, ran: &Ran) {
    assert!(ran.says("the archived log is gone again: thread 1 sequence 1"), "{}", ran.stderr);
    assert_eq!(lab.states().len(), 4);
    assert!(lab.states().values().all(|s| s == "incomplete"), "{:?}", lab.states());
    assert!(ran.of("snapshot").iter().all(|r| r["state"] == "incomplete"));
    lab.assert_clean();
}

#[test]
fn a_log_that_somebody_removed_makes_no_set() {
    let lab = Lab::small();
    // The control file still has it; its file is gone.
    lab.fault(&["physics", r#"{"lose_archived":[[1,1],[1,2],[1,3]]}"#]);
    let ran = lab.run(&[]).exits(1);
    is_none(&lab, &ran);
    let rows = lab.sql("SELECT status FROM v$archived_log WHERE sequence# = 1");
    assert_eq!(rows, "A");
}

#[test]
fn with_several_destinations_one_good_copy_is_enough() {
    let lab = Lab::small();
    let host = host(&lab);
    std::fs::create_dir_all(lab.at("arch/second")).unwrap();
    lab.sql(&format!("ALTER SYSTEM SET log_archive_dest_2='LOCATION={}'", lab.at("arch/second")));
    run(lab.tool().env("ORAPIPE_HOST_ROOT", host).arg("--check-coverage")).exits(0);
    assert!(lab.states().values().all(|s| s == "complete"), "{:?}", lab.states());
}
