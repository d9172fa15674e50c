//! Where a run could say that all is well and it is not, or never come to its end.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::process::Stdio;
use std::time::{Duration, Instant};

use support::{age, Made, Ran, World, RESETLOGS};

/// As [`World::ship`], and the run is killed when it takes longer than it may.
fn within(world: &World, seconds: u64, args: &[&str]) -> Ran {
    let mut child = world.usual().args(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let end = Instant::now() + Duration::from_secs(seconds);
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > end {
            child.kill().unwrap();
            panic!("it hangs: {:?}", child.wait_with_output());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ran::of(&child.wait_with_output().unwrap())
}

#[test]
fn logs_that_went_from_the_source_before_they_were_shipped_are_a_gap_and_the_mark_stays() {
    let world = World::new();
    world.fill(1..=3);
    world.ship(&[]).expect(0);
    for sequence in 1..=3 {
        // The standby has applied and removed them, the purge at the source was faster than we.
        std::fs::remove_file(world.source(&Made::new(1, sequence).name())).unwrap();
        std::fs::remove_file(world.dest(&Made::new(1, sequence).name())).unwrap();
    }
    world.fill(6..=7);
    let run = world.ship(&[]).expect(5);
    assert_eq!(run.with("shipped"), [6, 7]);
    assert_eq!(run.gaps(), [(1, 4, 5, "source")]);
    assert_eq!(world.mark(), "3");
    assert_eq!(world.ship(&["--status"]).expect(5).gaps(), [(1, 4, 5, "source")]);
    // The user vouches for what the standby has.
    world.ship(&["--applied", "5"]).expect(0);
    assert_eq!(world.mark(), "7");
}

#[test]
fn a_destination_that_is_not_mounted_any_more_is_not_made_anew() {
    let world = World::new();
    world.fill(1..=2);
    world.ship(&[]).expect(0);
    let dest = world.dest("").components().collect::<std::path::PathBuf>();
    std::fs::rename(&dest, world.at("away")).unwrap();
    world.fill(3..=3);
    let run = world.ship(&[]).expect(75);
    assert!(run.stderr.contains("is gone, and 2 verified logs were in it"), "{run:?}");
    assert!(run.stderr.contains("hint: mount it; if it was removed on purpose: mkdir -p "), "{run:?}");
    assert!(!dest.exists());
    std::fs::rename(world.at("away"), &dest).unwrap();
    assert_eq!(world.ship(&[]).expect(0).with("shipped"), [3]);
    world.assert_identical();
}

#[test]
fn a_junk_name_with_a_huge_sequence_costs_neither_memory_nor_time() {
    for sequence in ["4294967295", "18446744073709551615"] {
        let world = World::new();
        world.fill(1..=3);
        let junk = world.source(&format!("1_{sequence}_{RESETLOGS}.dbf"));
        std::fs::write(&junk, b"").unwrap();
        age(&junk, 3600);
        let run = within(&world, 20, &[]);
        assert_eq!(run.with("shipped"), [1, 2, 3], "{run:?}");
        // What is beyond four bytes is not even the name of a log.
        assert_eq!(run.code, Some(if sequence.len() == 10 { 5 } else { 0 }), "{run:?}");
        assert!(run.all("gap").len() <= 2, "{run:?}");
        assert_eq!(world.mark(), "3");
    }
}

#[test]
fn a_pipe_that_was_named_as_a_log_is_refused_and_not_waited_for() {
    let world = World::new();
    let fifo = world.at("fifo");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let run = within(&world, 10, &[fifo.to_str().unwrap()]).expect(1);
    let reason = run.all("archived_log")[0].reason.clone().unwrap();
    assert!(reason.contains("not a regular file"), "{reason}");
}

#[test]
fn of_two_copies_the_sound_one_is_shipped() {
    let world = World::new();
    world.fill(1..=2);
    let other = world.at("the other");
    std::fs::create_dir(&other).unwrap();
    let name = Made::new(1, 2).name();
    std::fs::copy(world.source(&name), other.join(&name)).unwrap();
    let mut bytes = std::fs::read(world.source(&name)).unwrap();
    bytes[60_000] ^= 1;
    std::fs::write(world.source(&name), &bytes).unwrap();
    let run = world.ship(&["--source-dir", other.to_str().unwrap()]);
    assert_eq!(run.with("shipped"), [1, 2], "{run:?}");
    assert_eq!(std::fs::read(world.dest(&name)).unwrap(), Made::new(1, 2).bytes());
    assert!(run.stdout.contains("wrong checksum"), "the bad copy is told: {run:?}");
    // Also where there is a beginning of it to be compared.
    std::fs::write(world.dest(&name), &Made::new(1, 2).bytes()[..40_000]).unwrap();
    std::fs::remove_file(world.at("state").join("shipped_logs.PROD")).unwrap();
    let run = world.ship(&["--source-dir", other.to_str().unwrap()]);
    assert_eq!(run.with("resumed"), [2], "{run:?}");
    assert_eq!(std::fs::read(world.dest(&name)).unwrap(), Made::new(1, 2).bytes());
}

#[test]
fn a_failed_producer_is_not_hidden_by_a_lock_that_is_held() {
    let world = World::new();
    let log = world.put(&Made::new(1, 1));
    let lock = world.at("state").join("PROD.ship.lock");
    std::fs::write(&lock, b"").unwrap();
    let mut holder = std::process::Command::new("flock").arg(&lock).args(["sleep", "20"]).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(300));
    let input = format!(
        "{{\"v\":1,\"type\":\"run_begin\",\"tool\":\"x\",\"run\":\"1\"}}\n{{\"path\":\"{}\"}}\n\
         {{\"v\":1,\"type\":\"run_end\",\"tool\":\"x\",\"run\":\"1\",\"status\":\"failed\",\"exit\":2,\"seconds\":0,\"counts\":{{}}}}\n",
        log.display()
    );
    let run = world.pipe(&["-"], input.as_bytes());
    holder.kill().unwrap();
    holder.wait().unwrap();
    assert_eq!(run.code, Some(2), "{run:?}");
    assert!(run.stdout.contains("is held by"), "{run:?}");
    assert!(
        run.stdout.starts_with("{\"v\":1,\"type\":\"run_begin\"") || run.stdout.contains(&input),
        "{run:?}"
    );
}

#[test]
fn a_wrong_hash_in_a_record_is_a_failure_for_a_log_that_is_there_too() {
    let world = World::new();
    let log = world.put(&Made::new(1, 1));
    let right = world.ship(&[]).expect(0).log(1).sha256.clone().unwrap();
    let record = |hash: &str| format!("{{\"path\":\"{}\",\"sha256\":\"{hash}\"}}\n", log.display());
    let wrong = "0".repeat(64);
    for _ in 0..2 {
        let run = world.pipe(&["-"], record(&wrong).as_bytes()).expect(1);
        assert_eq!(run.all("archived_log").len(), 1, "{run:?}");
        assert!(run.log(1).reason.as_ref().unwrap().contains("its record says SHA-256"), "{run:?}");
        // Now by comparison and not by what is recorded.
        let time = std::time::SystemTime::now();
        let copy = std::fs::File::options().append(true).open(world.dest(&Made::new(1, 1).name())).unwrap();
        copy.set_modified(time).unwrap();
    }
    assert_eq!(world.pipe(&["-"], record(&right.to_uppercase()).as_bytes()).expect(0).with("present"), [1]);
}

#[test]
fn a_thread_of_which_nothing_is_there_bounds_what_can_be_recovered() {
    let world = World::new();
    world.fill(2..=4);
    for sequence in 2..=4 {
        world.put(&Made::new(2, sequence));
    }
    world.ship(&["--thread", "1"]).expect(0);
    let status = world.ship(&["--status"]);
    // Thread 1 reaches to 5000, and of thread 2 the redo from 2000 on is missing.
    assert_eq!(status.all("standby")[0].recoverable_to_scn, Some(2000), "{status:?}");
}

#[test]
fn a_source_that_cannot_be_read_is_no_success() {
    let world = World::new();
    world.fill(1..=2);
    let nobody = |dir: &std::path::Path, args: &[&str]| {
        let mut command = std::process::Command::new("setpriv");
        command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
        command.arg(env!("CARGO_BIN_EXE_arch-ship")).args(args).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", "/tmp");
        command.env("STATE_DIR", world.at("state")).arg("--source-dir").arg(dir);
        command.arg("--dest-dir").arg(world.at("dest")).current_dir("/");
        Ran::of(&command.output().unwrap())
    };
    for dir in [world.dir.path().to_path_buf(), world.at("dest"), world.at("state")] {
        support::mode(&dir, 0o777);
    }
    for sequence in 1..=2 {
        support::mode(&world.source(&Made::new(1, sequence).name()), 0o000);
    }
    let run = nobody(&world.at("source"), &[]).expect(1);
    assert_eq!(run.all("archived_log").len(), 2, "{run:?}");
    assert!(run.all("archived_log")[0].reason.as_ref().unwrap().contains("ermission denied"), "{run:?}");
    // Names without files: the directory may be listed and not entered.
    support::mode(&world.at("source"), 0o744);
    let run = nobody(&world.at("source"), &[]).expect(2);
    assert!(run.stderr.contains("ermission denied"), "{run:?}");
    support::mode(&world.at("source"), 0o755);
}

#[test]
fn an_empty_source_after_logs_were_shipped_is_told_without_a_sid_too() {
    let world = World::new();
    world.fill(1..=2);
    world.ship(&[]).expect(0);
    std::fs::rename(world.at("source"), world.at("unmounted")).unwrap();
    std::fs::create_dir(world.at("source")).unwrap();
    for args in [&[][..], &["--status"], &["--verify"], &["--dry-run"]] {
        let run = world.ship(args).expect(1);
        assert!(run.stdout.contains("is the file system mounted?"), "{args:?} {run:?}");
        let out = world.usual().args(args).env("ORACLE_SID", "PROD").output().unwrap();
        let run = Ran::of(&out).expect(1);
        assert!(run.stdout.contains("is the file system mounted?"), "{args:?} {run:?}");
    }
}

#[test]
fn a_destination_that_is_the_source_is_refused() {
    let world = World::new();
    world.fill(1..=2);
    std::os::unix::fs::symlink(world.at("source"), world.at("link")).unwrap();
    for dir in ["source", "link"] {
        let mut command = world.tool();
        command.arg("--source-dir").arg(world.at("source")).arg("--dest-dir").arg(world.at(dir));
        let run = Ran::of(&command.output().unwrap()).expect(64);
        assert!(run.all("archived_log").is_empty() && run.stderr.contains("is the source"), "{run:?}");
    }
    let run = world.ship(&["--also-at", world.at("link").to_str().unwrap()]).expect(64);
    assert!(run.with("present").is_empty(), "{run:?}");
}

/// A PATH in front of the real one in which `sync` does what `script` says; `$0.log` is for its notes.
fn with_sync(world: &World, script: &str) -> std::process::Command {
    let bin = world.at("bin");
    std::fs::create_dir_all(&bin).unwrap();
    std::fs::write(bin.join("sync"), format!("#!/bin/sh\n{script}\n")).unwrap();
    support::mode(&bin.join("sync"), 0o755);
    let mut path = bin.into_os_string();
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap_or_default());
    let mut command = world.usual();
    command.env("PATH", path);
    command
}

#[test]
fn what_is_present_was_synced_before_it_is_said() {
    let world = World::new();
    world.fill(1..=1);
    let name = Made::new(1, 1).name();
    std::fs::copy(world.source(&name), world.dest(&name)).unwrap();
    let failing = with_sync(&world, "echo 'sync: error syncing: Input/output error' >&2; exit 1").output();
    let run = Ran::of(&failing.unwrap());
    assert!(run.with("present").is_empty() && run.code != Some(0), "{run:?}");
    let run = Ran::of(&with_sync(&world, "echo \"$@\" >>\"$0.log\"").output().unwrap()).expect(0);
    assert_eq!(run.with("present"), [1]);
    let synced = std::fs::read_to_string(world.at("bin/sync.log")).unwrap();
    assert!(synced.contains(&name), "{synced}");
}

#[test]
fn a_name_that_could_not_be_made_durable_is_no_receipt() {
    let world = World::new();
    world.fill(1..=2);
    // Files can be synced, and so can a new directory of our own; the directory of the final names cannot.
    let dest = world.at("dest").display().to_string();
    let script = format!(
        "case $2 in *.orapipe-ship-*[0-9]) exit 0 ;; esac; \
         for a; do case $a in {dest}|{dest}/) echo 'sync: I/O error' >&2; exit 1 ;; esac; done"
    );
    let run = Ran::of(&with_sync(&world, &script).output().unwrap());
    assert!(run.with("shipped").is_empty() && run.with("present").is_empty(), "{run:?}");
    assert_eq!(run.with("failed"), [1, 2], "{run:?}");
    assert_eq!(world.ship(&[]).expect(0).with("present"), [1, 2]);
}

#[test]
fn what_the_user_vouches_for_is_not_written_as_verified() {
    let world = World::new();
    world.fill(1..=3);
    world.ship(&[]).expect(0);
    world.ship(&["--applied", "5000"]).expect(0);
    assert_eq!(world.mark(), "3");
    world.ship(&["--applied", "18446744073709551615"]).expect(0);
    assert_eq!(world.mark(), "3");
}

#[test]
fn one_applied_sequence_is_not_taken_for_several_threads() {
    let world = World::new();
    world.fill(1..=3);
    world.put(&Made::new(2, 1));
    let run = world.ship(&["--applied", "2"]).expect(64);
    assert!(run.stderr.contains("--thread"), "{run:?}");
    assert!(run.all("archived_log").is_empty(), "{run:?}");
    assert_eq!(world.ship(&["--applied", "2", "--thread", "1"]).expect(0).with("shipped"), [3]);
}

#[test]
fn logs_of_an_unknown_database_are_not_called_no_logs() {
    let world = World::new();
    world.fill(1..=2);
    let run = world.ship(&["--no-header-check"]).expect(64);
    assert!(run.stderr.contains("ORACLE_SID"), "{run:?}");
    let world = World::new();
    let cut = world.put(&Made::new(1, 1));
    std::fs::write(&cut, b"").unwrap();
    age(&cut, 3600);
    let run = world.ship(&[]).expect(1);
    assert!(run.all("archived_log")[0].reason.as_ref().unwrap().contains("incomplete"), "{run:?}");
}
