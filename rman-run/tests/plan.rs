//! `rman-run plan` from records to records, as a pipeline sees it.

#![allow(clippy::unwrap_used, clippy::panic)]

mod catalog;

use catalog::{db, Db};

#[test]
fn the_smallest_set_comes_out_byte_for_byte_in_the_order_of_use() {
    let mut db = db();
    db.level0(1000);
    db.logs(900, 1010);
    db.level1(2000, 1000);
    db.logs(1010, 2010);
    let out = db.plan(&[]);
    assert_eq!(out.status, 0, "{}", out.text);
    assert_eq!(
        out.forwarded,
        db.lines_of(&["cf_2000", "full_1000_a", "full_1000_b", "incr_2000", "arch_2010"])
    );
    assert!(out.message.ends_with("restore to SCN 2010 (2026-10-04 00:33:30)"), "{}", out.message);
    let window = out.record("recovery_window");
    assert!(window.contains("\"begin_scn\":2000,\"end_scn\":2010"), "{window}");
}

#[test]
fn a_target_in_the_past_needs_no_later_piece() {
    let mut db = db();
    db.level0(1000);
    db.logs(900, 1010);
    db.level1(2000, 1000);
    db.logs(1010, 2010);
    let out = db.plan(&["--until-scn", "1500"]);
    assert_eq!(
        out.forwarded,
        db.lines_of(&["cf_2000", "full_1000_a", "full_1000_b", "arch_1010", "arch_2010"])
    );
    let out = db.plan(&["--until-time", "2026-10-04 00:16:45"]);
    assert_eq!(out.status, 0, "{}", out.text);
    let out = db.plan(&["--until-sequence", "2:1"]);
    assert!(out.message.contains("restore to SCN 1010 "), "{}", out.message);
}

#[test]
fn what_is_lost_is_said_and_how_far_one_gets() {
    let mut db = db();
    db.level0(1000);
    db.logs(900, 1010);
    db.logs(1010, 1500);
    db.logs(1500, 2000);
    db.drop_line("arch_1500");
    let out = db.plan(&["--until-scn", "2000"]);
    assert_eq!(out.status, 5);
    assert_eq!(out.forwarded, "");
    let expected = "the target cannot be reached: thread 1 sequence 2 is missing (SCN 1010 to 1500)";
    assert!(out.stderr.contains(&format!("rman-run: error: {expected}\n")), "{}", out.stderr);
    assert!(
        out.stderr
            .contains("rman-run: hint: SCN 1010 (2026-10-04 00:16:50) can be reached: --until-scn 1010\n"),
        "{}",
        out.stderr
    );
    assert!(out.record("gap").contains("\"from\":2,\"to\":2"));
    // The latest that is possible is a plan, and no success: something is lost.
    let out = db.plan(&[]);
    assert_eq!(out.status, 1);
    assert_eq!(out.forwarded, db.lines_of(&["cf_1000", "full_1000_a", "full_1000_b", "arch_1010"]));
    assert!(out.message.contains("sequence 2 is missing"), "{}", out.message);
}

#[test]
fn a_set_needs_all_its_pieces_from_whatever_copy() {
    let mut db = db();
    db.level0(1000);
    db.logs(900, 1010);
    let out = db.plan(&["--without", "full_1000_b"]);
    assert_eq!(out.status, 5);
    let expected = "datafile 1 has no full or level 0 backup before SCN 1010: piece 2 of 2 of backup set 1 (stamp 1000) \
                    is missing or damaged";
    assert!(out.stderr.contains(expected), "{}", out.stderr);
    db.copy("full_1000_b", "/other/full_1000_b");
    let out = db.plan(&["--without", "/b/full_1000_b"]);
    assert_eq!(out.status, 0, "{}", out.text);
    assert!(out.forwarded.contains("/other/full_1000_b"));
}

#[test]
fn objects_are_joined_to_their_pieces_and_the_last_word_on_each_counts() {
    let mut db = db();
    db.level0(1000);
    db.logs(900, 1010);
    db.upload_all();
    let out = db.plan(&[]);
    assert_eq!(out.status, 0, "{}", out.text);
    assert_eq!(
        out.forwarded,
        db.lines_of(&[
            "cf_1000",
            "k/cf_1000",
            "full_1000_a",
            "k/full_1000_a",
            "full_1000_b",
            "k/full_1000_b",
            "arch_1010",
            "k/arch_1010"
        ])
    );
    db.object_failed("k/full_1000_a");
    let out = db.plan(&[]);
    assert_eq!(out.status, 5);
    assert!(out.stderr.contains("piece 1 of 2 of backup set 1"), "{}", out.stderr);
}

#[test]
fn archived_logs_on_disk_cost_nothing_and_are_told_of() {
    let dir = tempfile::tempdir().unwrap();
    let mut db = db();
    db.level0(1000);
    let path = dir.path().join("1_1.arc");
    std::fs::write(&path, "log").unwrap();
    db.disk_log(&path, 1, 900, 1200);
    let out = db.plan(&[]);
    assert_eq!(out.status, 0, "{}", out.text);
    assert!(out.message.contains("restore to SCN 1200"), "{}", out.message);
    assert!(out.text.contains("\"action\":\"use\""));
    assert!(out.forwarded.contains("1_1.arc"));
    std::fs::remove_file(&path).unwrap();
    let out = db.plan(&["--until-scn", "1100"]);
    assert_eq!(out.status, 5);
    assert!(out.stderr.contains("thread 1 sequence 1 is missing (SCN 900 to 1200)"), "{}", out.stderr);
    // All files of the level 0 are of one SCN and none has newer blocks.
    let out = db.plan(&[]);
    assert_eq!(out.status, 1);
    assert!(
        out.message.contains("restore to SCN 1000 (2026-10-04 00:16:40), not to SCN 1200"),
        "{}",
        out.message
    );
}

#[test]
fn records_of_two_databases_need_a_choice() {
    let mut db = db();
    db.level0(1000);
    db.logs(900, 1010);
    let mut other = Db::new(77);
    other.level0(5000);
    db.add(&other);
    let out = db.plan(&[]);
    assert_eq!(out.status, 64);
    assert!(
        out.stderr.contains("the input is of several databases: DB42 (DBID 42), DB77 (DBID 77)"),
        "{}",
        out.stderr
    );
    let out = db.plan(&["--dbid", "42"]);
    assert_eq!(out.status, 0, "{}", out.text);
    assert!(!out.forwarded.contains("DB77"));
}

#[test]
fn bad_lines_dead_feeders_and_old_failures() {
    let mut db = db();
    db.level0(1000);
    db.logs(900, 1010);
    // A night that failed is in the manifests for ever.
    db.raw(r#"{"v":1,"type":"run_begin","tool":"s3-put","run":"old"}"#);
    db.raw(r#"{"v":1,"type":"run_end","tool":"s3-put","run":"old","status":"failed","exit":2,"seconds":1,"counts":{}}"#);
    assert_eq!(db.plan(&[]).status, 0);
    // A manifest as it is stored: nothing ends s3-put's run, and the night in it is over.
    db.raw(r#"{"v":1,"type":"run_begin","tool":"s3-put","run":"stored"}"#);
    db.raw(r#"{"v":1,"type":"run_begin","tool":"rman-run","run":"night"}"#);
    db.raw(r#"{"v":1,"type":"run_end","tool":"rman-run","run":"night","status":"failed","exit":2,"seconds":1,"counts":{}}"#);
    assert_eq!(db.plan(&[]).status, 0);
    db.raw("not json");
    let out = db.plan(&[]);
    assert_eq!(out.status, 1);
    assert!(out.text.contains("1 lines of the input are no records"), "{}", out.text);
    db.raw(r#"{"v":1,"type":"run_begin","tool":"s3-get","run":"now"}"#);
    let out = db.plan(&[]);
    assert_eq!(out.status, 2);
    assert!(out.text.contains("s3-get (run now) began and did not end"), "{}", out.text);
}

#[test]
fn nothing_is_no_plan() {
    let out = db().plan(&[]);
    assert_eq!(out.status, 5);
    assert!(out.stderr.contains("the input tells of no backup"), "{}", out.stderr);
}
