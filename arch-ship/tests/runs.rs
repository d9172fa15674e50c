//! The run around the shipping: crashes, locks, state, settings, streams.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

use support::{mode, tree, Made, Ran, World};

/// A log large enough that a kill hits it.
fn big(sequence: u32) -> Made {
    Made { blocks: 8000 + sequence, ..Made::new(1, sequence) }
}

#[test]
fn kill_9_at_any_moment_loses_nothing_and_shows_no_half_file() {
    let world = World::new();
    let whole: std::collections::HashMap<String, u64> = (1..=24)
        .map(|n| {
            let log = big(n);
            world.put(&log);
            (log.name(), u64::from(log.blocks) * 512)
        })
        .collect();
    // A reader at the standby looks all the time.
    let stop = Arc::new(AtomicBool::new(false));
    let watcher = {
        let (dest, stop, whole) = (world.at("dest"), Arc::clone(&stop), whole.clone());
        std::thread::spawn(move || {
            let mut seen = 0u64;
            while !stop.load(Ordering::SeqCst) {
                for entry in std::fs::read_dir(&dest).unwrap().flatten() {
                    let name = entry.file_name().to_string_lossy().into_owned();
                    let (Some(bytes), Ok(meta)) = (whole.get(&name), entry.metadata()) else { continue };
                    assert_eq!(meta.len(), *bytes, "{name} is visible before it is whole");
                    seen += 1;
                }
                std::thread::sleep(Duration::from_millis(1));
            }
            seen
        })
    };
    let mut killed = 0;
    for round in 0..12u64 {
        let mut child = world.usual().stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(30 + round * round * 5));
        if child.try_wait().unwrap().is_none() {
            killed += 1;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        if round == 5 {
            // What has arrived may be lost and damaged in between as well.
            if let Some(entry) =
                std::fs::read_dir(world.at("dest")).unwrap().flatten().find(|e| e.path().is_file())
            {
                std::fs::remove_file(entry.path()).unwrap();
            }
        }
    }
    assert!(killed >= 3, "only {killed} of the kills hit a running process");
    // The children of the killed runs may still be at work.
    std::thread::sleep(Duration::from_millis(300));
    let run = world.ship(&["--io-timeout", "1s"]).expect(0);
    stop.store(true, Ordering::SeqCst);
    assert!(watcher.join().unwrap() > 0);
    assert_eq!(run.with("failed"), [] as [u64; 0]);
    assert_eq!(world.mark(), "24");
    std::thread::sleep(Duration::from_millis(1100));
    world.ship(&["--io-timeout", "1s"]).expect(0);
    world.assert_identical();
}

#[test]
fn a_corrupt_state_is_set_aside_and_learned_again() {
    let world = World::new();
    world.fill(1..=3);
    world.ship(&[]).expect(0);
    std::fs::write(world.at("state").join("shipped_logs.PROD"), b"{\"dbid\":\n\0\0\n").unwrap();
    std::fs::write(world.at("state").join("last_arch_seq_thread1.PROD"), b"\0\0").unwrap();
    let run = world.ship(&[]).expect(0);
    assert_eq!(run.with("present"), [1, 2, 3]);
    let warnings = run
        .all("log")
        .iter()
        .filter(|r| r.message.as_ref().unwrap().contains("cannot be understood"))
        .count();
    assert_eq!(warnings, 2, "{}", run.stdout);
    assert_eq!(world.mark(), "3");
    assert_eq!(
        tree(&world.at("state")).keys().filter(|k| k.to_string_lossy().contains(".corrupt-")).count(),
        2
    );
}

#[test]
fn a_held_lock_names_its_holder_and_nothing_is_changed() {
    let world = World::new();
    world.fill(1..=1);
    let path = world.at("state").join("PROD.ship.lock");
    std::fs::write(&path, "").unwrap();
    let mut holder = std::process::Command::new("flock").arg(&path).args(["sleep", "60"]).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(300));
    let run = world.ship(&[]).expect(75);
    assert!(run.stderr.contains("PROD.ship.lock is held by"), "{}", run.stderr);
    assert!(tree(&world.at("dest")).is_empty());
    // Looking is not changing.
    world.ship(&["--status"]).expect(0);
    world.ship(&["--dry-run"]).expect(0);
    holder.kill().unwrap();
    holder.wait().unwrap();
}

#[test]
fn a_dry_run_plans_and_changes_nothing() {
    let world = World::new();
    world.fill(1..=4);
    std::fs::write(world.dest(&Made::new(1, 2).name()), &Made::new(1, 2).bytes()[..9000]).unwrap();
    std::fs::remove_file(world.source(&Made::new(1, 3).name())).unwrap();
    let before = tree(world.dir.path());
    let run = world.ship(&["--dry-run"]).expect(5);
    let planned: Vec<_> =
        run.all("planned").iter().map(|p| (p.sequence.unwrap(), p.action.clone().unwrap())).collect();
    assert_eq!(planned, [(1, "ship".to_owned()), (2, "resume".to_owned()), (4, "ship".to_owned())]);
    assert!(run.all("archived_log").is_empty(), "a dry run writes no receipts");
    assert!(run.stdout.contains("it is not at the destination, this host"), "{}", run.stdout);
    let here =
        format!("DEST_HOST is not set: the copies stay on this host, in {}", world.at("dest").display());
    let warned = run.all("log").iter().any(|r| r.message.as_deref() == Some(&*here));
    assert!(warned && run.stderr.contains(&format!("arch-ship: warning: {here}")), "{}", run.stderr);
    assert_eq!(tree(world.dir.path()), before);
}

#[test]
fn a_destination_that_cannot_be_written_fails_log_by_log() {
    let world = World::new();
    world.fill(1..=3);
    // Root may write anywhere, so the place is taken instead.
    std::fs::remove_dir(world.at("dest")).unwrap();
    std::fs::write(world.at("dest"), "a file").unwrap();
    let run = world.ship(&[]).expect(64);
    assert!(run.stderr.contains("is not a directory"), "{}", run.stderr);
    std::fs::remove_file(world.at("dest")).unwrap();
    std::fs::create_dir(world.at("dest")).unwrap();
    std::fs::create_dir(world.source("2026_11_20")).unwrap();
    std::fs::rename(
        world.source(&Made::new(1, 2).name()),
        world.source("2026_11_20").join(Made::new(1, 2).name()),
    )
    .unwrap();
    std::fs::write(world.dest("2026_11_20"), "in the way").unwrap();
    let run = world.ship(&[]);
    assert_eq!(run.code, Some(1), "{} {}", run.stdout, run.stderr);
    assert!(run.with("failed").contains(&2));
    std::fs::remove_file(world.dest("2026_11_20")).unwrap();
    world.ship(&[]).expect(0);
    world.assert_identical();
}

#[test]
fn a_read_only_destination_is_said_for_each_log() {
    if std::process::Command::new("unshare").args(["-m", "true"]).status().map_or(true, |s| !s.success()) {
        panic!("this test needs unshare -m");
    }
    let world = World::new();
    world.fill(1..=2);
    let script = "mount --bind \"$D\" \"$D\" && mount -o remount,ro,bind \"$D\" && exec \"$0\" \"$@\"";
    let usual = world.usual();
    let mut command = std::process::Command::new("unshare");
    command.args(["-m", "sh", "-c", script]).arg(usual.get_program()).args(usual.get_args());
    command.env_clear().envs(usual.get_envs().filter_map(|(k, v)| Some((k, v?)))).env("D", world.at("dest"));
    let run = Ran::of(&command.output().unwrap()).expect(1);
    assert_eq!(run.with("failed"), [1, 2]);
    assert!(run.log(1).reason.as_ref().unwrap().contains("Read-only file system"), "{:?}", run.log(1));
    world.ship(&[]).expect(0);
    world.assert_identical();
}

#[test]
fn a_full_destination_ends_the_run_and_a_later_one_completes_it() {
    let world = World::new();
    for n in 1..=6 {
        world.put(&big(n));
    }
    let script = "mount -t tmpfs -o size=10m none \"$D\" && \"$0\" \"$@\"; s=$?; ls -A \"$D\" >&2; exit $s";
    let usual = world.usual();
    let mut command = std::process::Command::new("unshare");
    command.args(["-m", "sh", "-c", script]).arg(usual.get_program()).args(usual.get_args());
    command.env_clear().envs(usual.get_envs().filter_map(|(k, v)| Some((k, v?)))).env("D", world.at("dest"));
    let run = Ran::of(&command.output().unwrap());
    // 5 when a later log found room and an earlier one did not: a hole.
    assert!(matches!(run.code, Some(1 | 5)), "{}\n{}", run.stdout, run.stderr);
    assert!(run.stdout.contains("No space left"), "{}", run.stdout);
    let kept = run.stderr.lines().any(|l| l.starts_with(".orapipe"));
    assert!(!kept, "the full disk keeps our temporary files: {}", run.stderr);
    world.ship(&[]).expect(0);
    world.assert_identical();
}

#[test]
fn records_on_standard_input_are_shipped_and_passed_on() {
    let world = World::new();
    world.fill(1..=6);
    let path = |n| world.source(&Made::new(1, n).name()).to_str().unwrap().to_owned();
    let input = format!(
        "{{\"v\":1,\"type\":\"run_begin\",\"tool\":\"x\",\"run\":\"r\"}}\n\
         {{\"path\":\"{}\"}}\n\
         {{\"type\":\"archived_log\",\"path\":\"{}\",\"thread\":1,\"sequence\":2,\"unknown\":1e400}}\n\
         {{\"type\":\"file\",\"path\":\"{}\",\"role\":\"archived_log\"}}\n\
         {{\"type\":\"file\",\"path\":\"/x/users.dbf\",\"role\":\"datafile\"}}\n\
         not json\n\
         {{\"type\":\"archived_log\",\"path\":\"{}\",\"sequence\":99}}\n\
         {{\"type\":\"archived_log\",\"path\":\"/nowhere/1_9_9.dbf\"}}\n\
         {{\"type\":\"run_end\",\"tool\":\"x\",\"run\":\"r\",\"status\":\"success\",\"exit\":0,\"seconds\":1,\"counts\":{{}}}}\n",
        path(1), path(2), path(3), path(4)
    );
    let run = world.pipe(&["-"], input.as_bytes()).expect(1);
    for line in input.lines() {
        assert!(run.stdout.lines().any(|l| l == line), "what comes in goes out, byte for byte: {line}");
    }
    assert_eq!(run.with("shipped"), [1, 2, 3]);
    let failed: Vec<_> =
        run.all("archived_log").into_iter().filter(|r| r.status.as_deref() == Some("failed")).collect();
    assert_eq!(failed.len(), 2, "{failed:?}");
    assert!(failed.iter().any(|r| r.reason.as_ref().unwrap().contains("says sequence 99")));
    assert!(failed.iter().any(|r| r.reason.as_deref() == Some("no such file")));
    assert!(!world.dest(&Made::new(1, 5).name()).exists());
}

#[test]
fn a_producer_that_died_makes_the_pipeline_fail() {
    let world = World::new();
    world.fill(1..=1);
    let path = world.source(&Made::new(1, 1).name());
    let input = format!(
        "{{\"type\":\"run_begin\",\"tool\":\"x\",\"run\":\"r\"}}\n{{\"path\":\"{}\"}}\n",
        path.to_str().unwrap()
    );
    let run = world.pipe(&["-"], input.as_bytes()).expect(2);
    assert!(run.stdout.contains("without the run_end of x (run r)"));
    // And the worst status of the producers is passed on.
    let input = "{\"type\":\"run_end\",\"tool\":\"x\",\"run\":\"r\",\"status\":\"failed\",\"exit\":2,\"seconds\":1,\"counts\":{}}\n";
    world.pipe(&["-"], input.as_bytes()).expect(2);
}

#[test]
fn named_logs_only() {
    let world = World::new();
    world.fill(1..=3);
    // As the original is called: the bare name of a file in the source directory.
    let run = world.ship(&[&Made::new(1, 2).name()]).expect(0);
    assert_eq!(run.with("shipped"), [2]);
    assert_eq!(tree(&world.at("dest")).len(), 1);
    assert_eq!(world.mark(), "", "nothing is known of the logs before it");
    world.ship(&["1_77_1.dbf"]).expect(1);
}

#[test]
fn status_tells_how_far_the_standby_is() {
    let world = World::new();
    world.fill(1..=3);
    world.ship(&[]).expect(0);
    world.fill(4..=5);
    let before = tree(world.dir.path());
    let run = world.ship(&["--status"]).expect(0);
    let standby = run.all("standby")[0];
    assert_eq!(standby.recoverable_to_scn, Some(4000));
    assert_eq!(
        standby.lag_bytes,
        Some(Made::new(1, 4).bytes().len() as u64 + Made::new(1, 5).bytes().len() as u64)
    );
    assert!(run.stdout.contains("\"received\":3,\"current\":5"), "{}", run.stdout);
    assert_eq!(tree(world.dir.path()), before);
    std::fs::remove_file(world.source(&Made::new(1, 4).name())).unwrap();
    let run = world.ship(&["--status"]).expect(5);
    assert_eq!(run.gaps(), [(1, 4, 4, "source")]);
}

#[test]
fn usage_errors_are_64_and_say_what_to_do() {
    let world = World::new();
    let usage = |command: &mut std::process::Command, what: &str| {
        let run = Ran::of(&command.output().unwrap()).expect(64);
        assert!(run.stderr.contains(what), "{}", run.stderr);
        assert!(run.stderr.contains("hint:"), "{}", run.stderr);
    };
    usage(world.tool().args(["--source-dir", "/x"]), "no destination directory");
    usage(
        world.tool().args(["--source-dir", "/nonexistent", "--dest-dir", "/x"]),
        "read source directory /nonexistent",
    );
    usage(world.tool().args(["--source-dir", "/x", "--dest-dir", "relative"]), "is not an absolute path");
    usage(world.tool().args(["--dest-dir", "/x"]), "ORACLE_SID is not set");
    usage(world.usual().args(["--workers", "0"]), "--workers");
    usage(world.usual().args(["--dest-host=-oProxyCommand=x"]), "is not a host name");
    usage(world.usual().arg("--register"), "no standby");
    usage(world.usual().args(["--seq-min", "9", "--seq-max", "3"]), "is above");
}

#[test]
fn the_originals_settings_are_understood_and_shown() {
    let world = World::new();
    let file = world.at("env");
    std::fs::write(&file, "SOURCEBASEDIR=/u01/arch\nDESTBASEDIR=/u02/arch\nDRSERVER=dr1\nSSHUSER=oracle\nMAXWORKERS=3\nDESTBASEDIR_U15=/u15/arch\n").unwrap();
    mode(&file, 0o600);
    let mut command = world.tool();
    command.arg("--env-file").arg(&file).arg("--show-config");
    let run = Ran::of(&command.output().unwrap()).expect(0);
    for text in ["/u01/arch", "/u02/arch", "dr1", "oracle", "3", "/u15/arch"] {
        assert!(run.stdout.contains(text), "{text}: {}", run.stdout);
    }
}

/// Runs `--follow` until `done` says so, then ends it with TERM and returns what it printed.
fn follow(world: &World, args: &[&str], mut work: impl FnMut(&mut dyn FnMut(u64) -> Duration)) -> Ran {
    let mut command = world.usual();
    command.arg("--follow").args(args).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let out = BufReader::new(child.stdout.take().unwrap());
    let (tx, rx) = std::sync::mpsc::channel();
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        for line in out.lines() {
            let line = line.unwrap();
            text.push_str(&line);
            text.push('\n');
            tx.send(line).ok();
        }
        text
    });
    let mut wait = |sequence: u64| {
        let started = Instant::now();
        loop {
            let line = rx.recv_timeout(Duration::from_secs(20)).expect("the log is shipped within 20 s");
            let record: support::Record = serde_json::from_str(&line).unwrap();
            if record.sequence == Some(sequence) && record.status.as_deref() == Some("shipped") {
                return started.elapsed();
            }
        }
    };
    work(&mut wait);
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let started = Instant::now();
    let output = child.wait_with_output().unwrap();
    assert!(started.elapsed() < Duration::from_secs(5), "TERM ends it promptly");
    let stdout = reader.join().unwrap();
    Ran::of(&std::process::Output { stdout: stdout.into_bytes(), ..output })
}

#[test]
fn follow_reacts_at_once_and_ends_with_143() {
    let world = World::new();
    world.fill(1..=2);
    let run = follow(&world, &["--interval", "1h"], |wait| {
        wait(2);
        // A writer that takes its time: the log is shipped when it is whole, long before the interval is over.
        let log = Made::new(1, 3);
        let bytes = log.bytes();
        let mut file = std::fs::File::create(world.source(&log.name())).unwrap();
        file.write_all(&bytes[..50_000]).unwrap();
        std::thread::sleep(Duration::from_millis(1500));
        file.write_all(&bytes[50_000..]).unwrap();
        drop(file);
        assert!(wait(3) < Duration::from_secs(10));
    })
    .expect(143);
    assert!(run.all("run_end").len() == 1);
    world.assert_identical();
    assert_eq!(world.mark(), "3");
    assert!(world.state("copy_archivelog_to_local.log").contains("shipped thread 1 sequence 3"));
}

#[test]
fn follow_survives_a_source_and_a_destination_that_go_away() {
    let world = World::new();
    world.fill(1..=1);
    follow(&world, &["--interval", "1s"], |wait| {
        wait(1);
        std::fs::rename(world.at("source"), world.at("away")).unwrap();
        std::thread::sleep(Duration::from_secs(3));
        std::fs::rename(world.at("away"), world.at("source")).unwrap();
        world.fill(2..=2);
        wait(2);
    })
    .expect(143);
    world.assert_identical();
}

#[test]
fn hup_reopens_the_log() {
    let world = World::new();
    world.fill(1..=1);
    let log = world.at("state").join("copy_archivelog_to_local.log");
    let moved = world.at("state").join("moved.log");
    let mut child =
        world.usual().args(["--follow", "--interval", "1s"]).stdout(Stdio::null()).spawn().unwrap();
    let until = |what: &dyn Fn() -> bool| {
        let end = Instant::now() + Duration::from_secs(20);
        while !what() {
            assert!(Instant::now() < end);
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    until(&|| std::fs::read_to_string(&log).is_ok_and(|t| t.contains("shipped")));
    std::fs::rename(&log, &moved).unwrap();
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::HUP).unwrap();
    until(&|| std::fs::read_to_string(&log).is_ok_and(|t| t.contains("log reopened")));
    assert!(child.try_wait().unwrap().is_none());
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(143));
}
