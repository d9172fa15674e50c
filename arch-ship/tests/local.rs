//! Shipping into a directory of this machine: what is there already, what is not whole, what is missing.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use support::{age, Made, World, RESETLOGS};

#[test]
fn logs_arrive_whole_and_a_second_run_has_nothing_to_do() {
    let world = World::new();
    world.fill(1..=5);
    let run = world.ship(&[]).expect(0);
    assert_eq!(run.with("shipped"), [1, 2, 3, 4, 5]);
    world.assert_identical();
    assert_eq!(world.mark(), "5");
    let record = run.log(3);
    assert_eq!(record.dest.as_deref(), world.dest(&Made::new(1, 3).name()).to_str());
    assert!(record.sha256.as_ref().is_some_and(|h| h.len() == 64));
    assert!(
        run.all("log").iter().any(|r| r.message.as_ref().unwrap().contains("unknown")),
        "unknown is not 0"
    );

    let again = world.ship(&[]).expect(0);
    assert_eq!((again.with("present"), again.with("shipped")), (vec![1, 2, 3, 4, 5], vec![]));
    assert_eq!(again.stderr.matches("error").count(), 0, "{}", again.stderr);
}

#[test]
fn date_directories_keep_their_place_and_names_may_have_blanks() {
    let world = World::new();
    let dir = world.source("2026_11_20");
    std::fs::create_dir(&dir).unwrap();
    for (sequence, name) in
        [(1, "o1_mf_1_1_abc_.arc"), (2, "my log $(touch x) ü 2.arc"), (3, "#3;.arc"), (4, "-n")]
    {
        std::fs::write(dir.join(name), Made::new(1, sequence).bytes()).unwrap();
    }
    std::fs::write(world.source("note.txt"), "not a log").unwrap();
    world.ship(&[]).expect(0);
    std::fs::remove_file(world.source("note.txt")).unwrap();
    world.assert_identical();
    assert_eq!(world.mark(), "4");
}

#[test]
fn a_half_file_of_the_original_is_completed() {
    let world = World::new();
    world.fill(1..=3);
    let half = world.dest(&Made::new(1, 2).name());
    std::fs::write(&half, &Made::new(1, 2).bytes()[..40_000]).unwrap();
    let run = world.ship(&[]).expect(0);
    assert_eq!((run.with("shipped"), run.with("resumed")), (vec![1, 3], vec![2]));
    world.assert_identical();
}

#[test]
fn an_empty_file_under_the_name_is_completed_too() {
    let world = World::new();
    world.fill(1..=1);
    std::fs::write(world.dest(&Made::new(1, 1).name()), b"").unwrap();
    world.ship(&[]).expect(0);
    world.assert_identical();
}

#[test]
fn a_different_file_is_reported_and_never_overwritten() {
    for (what, content) in [
        ("a different file of the same size", Made { seed: 2, ..Made::new(1, 2) }.bytes()),
        ("a different file of 90000 bytes", vec![7; 90_000]),
        ("a different file of 200000 bytes", vec![7; 200_000]),
    ] {
        let world = World::new();
        world.fill(1..=3);
        let path = world.dest(&Made::new(1, 2).name());
        std::fs::write(&path, &content).unwrap();
        let run = world.ship(&[]).expect(5);
        assert_eq!((run.with("shipped"), run.with("failed")), (vec![1, 3], vec![2]), "{what}");
        assert!(run.log(2).reason.as_ref().unwrap().contains(what), "{:?}", run.log(2));
        assert_eq!(run.gaps(), [(1, 2, 2, "destination")]);
        assert!(run.all("gap")[0].hint.as_ref().unwrap().contains("mv '"));
        assert_eq!(std::fs::read(&path).unwrap(), content);
        assert_eq!(world.mark(), "1");

        std::fs::rename(&path, world.at("aside")).unwrap();
        world.ship(&[]).expect(0);
        world.assert_identical();
        assert_eq!(world.mark(), "3");
    }
}

#[test]
fn a_log_that_was_truncated_at_the_destination_is_mended() {
    let world = World::new();
    world.fill(1..=3);
    world.ship(&[]).expect(0);
    let path = world.dest(&Made::new(1, 2).name());
    std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(30_000).unwrap();
    let run = world.ship(&[]).expect(0);
    assert_eq!((run.with("present"), run.with("resumed")), (vec![1, 3], vec![2]));
    world.assert_identical();
}

#[test]
fn changed_content_with_the_old_size_and_time_is_found_by_verify() {
    let world = World::new();
    world.fill(1..=3);
    world.ship(&[]).expect(0);
    let path = world.dest(&Made::new(1, 2).name());
    let time = std::fs::metadata(&path).unwrap().modified().unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[60_000] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    std::fs::File::options().append(true).open(&path).unwrap().set_modified(time).unwrap();
    let run = world.ship(&["--verify"]).expect(5);
    assert_eq!((run.with("present"), run.with("failed")), (vec![1, 3], vec![2]));
    assert!(run.log(2).reason.as_ref().unwrap().contains("differs from the source"));
    // The source may be gone by then: the recorded hash tells.
    std::fs::remove_file(world.source(&Made::new(1, 2).name())).unwrap();
    let run = world.ship(&["--verify"]).expect(5);
    assert!(run.log(2).reason.as_ref().unwrap().contains("differs from the recorded hash"));
}

#[test]
fn a_log_that_is_elsewhere_on_the_standby_is_not_sent_again() {
    let world = World::new();
    world.fill(1..=3);
    let other = world.at("u15");
    std::fs::create_dir_all(other.join("2026_11_20")).unwrap();
    std::fs::write(other.join("2026_11_20").join(Made::new(1, 2).name()), Made::new(1, 2).bytes()).unwrap();
    // The standby's own naming.
    std::fs::write(other.join("o1_mf_1_3_zz_.arc"), Made::new(1, 3).bytes()).unwrap();
    let run = world.ship(&["--also-at", other.to_str().unwrap()]).expect(0);
    assert_eq!((run.with("shipped"), run.with("present")), (vec![1], vec![2, 3]));
    assert!(!world.dest(&Made::new(1, 2).name()).exists());
    assert_eq!(world.mark(), "3");
}

#[test]
fn a_log_deleted_at_the_source_is_a_gap_that_names_its_cure() {
    let world = World::new();
    world.fill(1..=6);
    for sequence in [3, 4] {
        std::fs::remove_file(world.source(&Made::new(1, sequence).name())).unwrap();
    }
    let run = world.ship(&[]).expect(5);
    assert_eq!(run.with("shipped"), [1, 2, 5, 6]);
    assert_eq!(run.gaps(), [(1, 3, 4, "source")]);
    let hint = run.all("gap")[0].hint.clone().unwrap();
    assert!(hint.contains("RESTORE ARCHIVELOG FROM SEQUENCE 3 UNTIL SEQUENCE 4 THREAD 1"), "{hint}");
    assert_eq!(world.mark(), "2");
    world.fill(3..=4);
    world.ship(&[]).expect(0);
    assert_eq!(world.mark(), "6");
    world.assert_identical();
}

#[test]
fn a_log_that_is_being_written_is_taken_later() {
    let world = World::new();
    world.fill(1..=2);
    let log = Made::new(1, 3);
    let path = world.source(&log.name());
    std::fs::write(&path, &log.bytes()[..20_000]).unwrap();
    let run = world.ship(&[]).expect(0);
    assert_eq!((run.with("shipped"), run.with("skipped")), (vec![1, 2], vec![3]));
    assert!(run.log(3).reason.as_ref().unwrap().starts_with("not ready: incomplete"));
    // Whole, but with an empty block in the middle: the archiver has made the file and not filled it.
    let mut bytes = log.bytes();
    bytes[50 * 512..60 * 512].fill(0);
    std::fs::write(&path, bytes).unwrap();
    let run = world.ship(&[]).expect(0);
    assert!(run.log(3).reason.as_ref().unwrap().contains("block 50 is still empty"), "{:?}", run.log(3));
    assert!(!world.dest(&log.name()).exists());
    std::fs::write(&path, log.bytes()).unwrap();
    world.ship(&[]).expect(0);
    world.assert_identical();
}

#[test]
fn a_log_that_somebody_has_open_for_writing_waits() {
    let world = World::new();
    world.fill(1..=2);
    let writer = std::fs::File::options().append(true).open(world.source(&Made::new(1, 2).name())).unwrap();
    let run = world.ship(&[]).expect(0);
    assert_eq!((run.with("shipped"), run.with("skipped")), (vec![1], vec![2]));
    assert!(run.log(2).reason.as_ref().unwrap().contains("open for writing"));
    drop(writer);
    assert_eq!(world.ship(&[]).expect(0).with("shipped"), [2]);
}

#[test]
fn a_truncated_log_that_nobody_writes_any_more_is_a_hole_at_the_source() {
    let world = World::new();
    world.fill(1..=3);
    let path = world.source(&Made::new(1, 2).name());
    std::fs::write(&path, &Made::new(1, 2).bytes()[..20_000]).unwrap();
    age(&path, 3600);
    let run = world.ship(&[]).expect(5);
    assert_eq!(run.with("failed"), [2]);
    assert_eq!(run.gaps(), [(1, 2, 2, "source")]);
    assert_eq!(world.mark(), "1");
}

#[test]
fn a_corrupt_log_is_not_published() {
    let world = World::new();
    world.fill(1..=3);
    let path = world.source(&Made::new(1, 2).name());
    let mut bytes = Made::new(1, 2).bytes();
    bytes[70_000] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let run = world.ship(&[]).expect(5);
    assert!(run.log(2).reason.as_ref().unwrap().contains("wrong checksum"), "{:?}", run.log(2));
    assert!(!world.dest(&Made::new(1, 2).name()).exists());
    assert_eq!(world.mark(), "1");
}

#[test]
fn two_threads_have_marks_of_their_own() {
    let world = World::new();
    world.fill(1..=4);
    for sequence in [7, 8, 10] {
        world.put(&Made::new(2, sequence));
    }
    let run = world.ship(&[]).expect(5);
    assert_eq!(run.gaps(), [(2, 9, 9, "source")]);
    assert_eq!(world.mark(), "4");
    assert_eq!(world.state("last_arch_seq_thread2.PROD"), "8\n");
    let only = World::new();
    only.put(&Made::new(1, 1));
    only.put(&Made::new(2, 7));
    let run = only.ship(&["--thread", "2"]).expect(0);
    assert_eq!((run.with("shipped"), run.with("skipped")), (vec![7], vec![1]));
}

#[test]
fn logs_of_one_name_in_two_directories_do_not_meet() {
    let world = World::new();
    for (dir, thread) in [("2026_11_19", 1), ("2026_11_20", 2)] {
        std::fs::create_dir(world.source(dir)).unwrap();
        std::fs::write(world.source(dir).join("log.arc"), Made::new(thread, 5).bytes()).unwrap();
    }
    world.ship(&[]).expect(0);
    world.assert_identical();
}

#[test]
fn a_resetlogs_is_noticed_and_nothing_of_the_dead_branch_is_shipped() {
    let world = World::new();
    world.fill(1..=5);
    world.ship(&[]).expect(0);
    // Opened with RESETLOGS at SCN 5500: sequence 5 is needed up to there, 6 was never part of the new history.
    world.put(&Made::new(1, 6));
    for sequence in 1..=2 {
        let first_scn = 5500 + u64::from(sequence - 1) * 1000;
        world.put(&Made {
            resetlogs_id: RESETLOGS + 9000,
            resetlogs_scn: 5500,
            first_scn,
            next_scn: first_scn + 1000,
            ..Made::new(1, sequence)
        });
    }
    let run = world.ship(&[]).expect(0);
    let shipped: Vec<_> = run
        .all("archived_log")
        .iter()
        .filter(|r| r.status.as_deref() == Some("shipped"))
        .map(|r| (r.resetlogs_id.unwrap(), r.sequence.unwrap()))
        .collect();
    assert_eq!(shipped, [(u64::from(RESETLOGS) + 9000, 1), (u64::from(RESETLOGS) + 9000, 2)]);
    let dead = run.log(6);
    assert_eq!(dead.status.as_deref(), Some("skipped"));
    assert!(dead.reason.as_ref().unwrap().contains("RESETLOGS"));
    let told = run.all("log").iter().any(|r| {
        r.level.as_deref() == Some("warning")
            && r.message.as_ref().unwrap().contains("opened with RESETLOGS at SCN 5500")
    });
    assert!(told, "{}", run.stdout);
    assert_eq!(world.mark(), "2", "the mark starts again in the new incarnation");
}

#[test]
fn filters_cutoff_and_applied_choose_what_is_needed() {
    let ship = |args: &[&str]| {
        let world = World::new();
        world.fill(10..=15);
        world.ship(args).expect(0).with("shipped")
    };
    assert_eq!(ship(&["--seq-min", "12", "--seq-max", "13"]), [12, 13]);
    assert_eq!(ship(&["--applied", "13"]), [14, 15]);
    assert_eq!(ship(&["--applied", "none"]), [10, 11, 12, 13, 14, 15]);
    // Sequence 12 holds SCNs 12000 to 12999: the log that contains the cut-off is needed.
    assert_eq!(ship(&["--scn-cutoff", "12999"]), [12, 13, 14, 15]);
    assert_eq!(ship(&["--scn-cutoff", "13000"]), [13, 14, 15]);
}

#[test]
fn what_the_standby_needs_next_and_is_gone_is_a_gap() {
    let world = World::new();
    world.fill(10..=12);
    let run = world.ship(&["--applied", "7"]).expect(5);
    assert_eq!(run.gaps(), [(1, 8, 9, "source")]);
    let world = World::new();
    world.fill(10..=12);
    let run = world.ship(&["--scn-cutoff", "9500"]).expect(5);
    assert_eq!(run.gaps(), [(1, 9, 9, "source")]);
}

#[test]
fn without_headers_the_name_tells_and_rest_proves_completeness() {
    let world = World::new();
    for sequence in 1..=2 {
        let path = world.source(&format!("arch{sequence}-1.log"));
        std::fs::write(&path, format!("encrypted log {sequence}")).unwrap();
        age(&path, 60);
    }
    std::fs::write(world.source("arch3-1.log"), "just written").unwrap();
    let mut command = world.usual();
    command.args(["--no-header-check", "--name-pattern", "arch%s-%t.log"]).env("ORACLE_SID", "PROD");
    let run = support::Ran::of(&command.output().unwrap()).expect(0);
    assert_eq!((run.with("shipped"), run.with("skipped")), (vec![1, 2], vec![3]));
    assert_eq!(world.mark(), "2");
}

#[test]
fn logs_of_two_databases_are_not_mixed() {
    let world = World::new();
    world.fill(1..=1);
    world.put(&Made { dbid: 77, thread: 3, ..Made::new(1, 2) });
    let run = world.ship(&[]).expect(64);
    assert!(run.stderr.contains("hold logs of"), "{}", run.stderr);
}
