//! What goes and what stays.

use common::infinibox::{SetKind, SetMark, SetState};
use ibsim::{Change, Config, Guesses, Version};

use crate::stage::{reasons, stamp, Stage, DAY, HOUR};

#[test]
fn old_sets_go_whole_oldest_first_and_the_data_before_its_archived_logs() {
    let mut stage = Stage::new().unwrap();
    stage.database("PROD").unwrap();
    stage.database("OLD").unwrap();
    for age in [20, 18, 16, 3, 1] {
        stage.set("PROD", age * DAY + HOUR).unwrap();
        stage.legacy("OLD", age * DAY + 7 * HOUR).unwrap();
    }
    let before = stage.there();
    let outcome = stage.tool().unwrap().run().unwrap().expect(0).unwrap();
    stage.check(&before, &outcome, &[]).unwrap();
    assert_eq!(stage.whole(), [6, 7, 8, 9]);
    assert_eq!(stage.ids().len(), 8);
    let removed: Vec<String> =
        outcome.of("removed").iter().map(|r| r.text("snapshot").unwrap().to_owned()).collect();
    let order: Vec<u64> = stage.sets[..6].iter().map(|(data, _)| data[0]).collect();
    // OLD is six hours older each time.
    let expected = [order[1], order[0], order[3], order[2], order[5], order[4]];
    let data: Vec<&String> = removed.iter().filter(|n| n.contains("_data_")).collect();
    assert_eq!(data, expected.iter().map(|id| &before[id].name).collect::<Vec<_>>());
    for pair in removed.chunks(2) {
        assert!(pair[0].contains("_data_") && pair[1].contains("_archive_"), "{pair:?}");
    }
    let kept = reasons(&outcome, "kept");
    let name = |at: usize| &before[&stage.sets[at].0[0]].name;
    assert_eq!(kept[name(6)], "3 days old, not older than 14 days");
    assert_eq!(kept[name(8)], "the newest complete set of database PROD");
    assert_eq!(kept[name(9)], "the newest complete set of volume OLD_data (no metadata)");
    assert_eq!(reasons(&outcome, "removed")[name(0)], "20 days old, older than 14 days");

    // Two requests for each deletion, approved, and no lock is ever overridden.
    assert_eq!(stage.array.count("DELETE", ""), 12);
    assert_eq!(stage.array.count("GET", r"^/volumes/\d+"), 12);
    assert_eq!(stage.array.count("DELETE", r"^/volumes/\d+\?approved=true$"), 12);
    assert_eq!((outcome.count("removed"), outcome.count("kept"), outcome.count("failed")), (12, 8, 0));
    let log = std::fs::read_to_string(stage.root.path().join("state/ib-prune.log")).unwrap();
    assert!(log.contains(&format!("deleted {}", name(0))), "{log}");

    // Nothing is left to do.
    stage.array.clear_log();
    let again = stage.tool().unwrap().run().unwrap().expect(0).unwrap();
    assert_eq!((again.count("removed"), again.count("kept")), (0, 8));
    assert_eq!(stage.array.count("DELETE", ""), 0);
}

#[test]
fn every_version_and_every_guess_is_served() {
    let mut worlds: Vec<Config> = Version::ALL.into_iter().map(Config::version).collect();
    for version in [Version::V2_2, Version::V8_4] {
        worlds.push(Config { guesses: Guesses::other(), ..Config::version(version) });
    }
    for config in worlds {
        let what = format!("{config:?}");
        let mut stage = Stage::with(config).unwrap();
        stage.database("PROD").unwrap();
        for age in [30, 20, 2] {
            stage.set("PROD", age * DAY).unwrap();
        }
        let (held, _) = stage.set("PROD", 25 * DAY).unwrap();
        stage.array.change(&Change::Map(held.to_string())).unwrap();
        let before = stage.there();
        let outcome = stage.tool().unwrap().env("SOURCE_INFINIBOX_USER", "admin").run().unwrap();
        let outcome = outcome.expect(0).unwrap_or_else(|e| panic!("{what}: {e:#}"));
        stage.check(&before, &outcome, &[]).unwrap();
        assert_eq!(stage.whole(), [2, 3], "{what}");
    }
}

#[test]
fn the_last_sets_stay_whatever_their_age() {
    for (n, left) in [(1, vec![3]), (3, vec![1, 2, 3]), (9, vec![0, 1, 2, 3])] {
        let stage = Stage::prod(&[400, 300, 200, 100]).unwrap();
        let before = stage.there();
        let n = n.to_string();
        let outcome = stage.tool().unwrap().args(["--keep-last", &n]).run().unwrap().expect(0).unwrap();
        stage.check(&before, &outcome, &[]).unwrap();
        assert_eq!(stage.whole(), left);
    }
    let stage = Stage::prod(&[400]).unwrap();
    let outcome = stage.tool().unwrap().args(["--keep-last", "0"]).run().unwrap().expect(4).unwrap();
    assert!(outcome.stderr.contains("--keep-last 0 would delete the last snapshots"), "{}", outcome.stderr);
    assert!(stage.array.log().is_empty());
}

#[test]
fn what_is_in_use_is_skipped_with_the_reason_and_its_set_stays_usable() {
    let stage = Stage::prod(&[40, 39, 38, 37, 36, 35, 1]).unwrap();
    let name = |at: usize, archive: bool| {
        let (data, arch) = &stage.sets[at];
        stage.there()[if archive { &arch[0] } else { &data[0] }].name.clone()
    };
    let until = stage.array.now() + DAY;
    for change in [
        Change::Lock { volume: name(0, true), until_ms: until },
        Change::Map(name(1, false)),
        Change::Child(name(2, false)),
        Change::Replicate(name(3, true)),
    ] {
        stage.array.change(&change).unwrap();
    }
    stage.array.with(|s| s.volumes.get_mut(&stage.sets[4].0[0]).unwrap().snapshot_expires_at = Some(until));
    let before = stage.there();
    let outcome = stage.tool().unwrap().run().unwrap().expect(0).unwrap();
    stage.check(&before, &outcome, &[]).unwrap();
    assert_eq!(stage.whole(), [0, 1, 2, 3, 4, 6]);
    let kept = reasons(&outcome, "kept");
    for (at, why) in [
        (0, "locked until "),
        (1, "mapped to a host"),
        (2, "it has snapshots of its own"),
        (3, "replicated"),
        (4, "the array deletes it by itself"),
    ] {
        for archive in [false, true] {
            assert!(kept[&name(at, archive)].contains(why), "{}", kept[&name(at, archive)]);
        }
    }
    // By the array's clock the lock is over now.
    stage.array.advance(std::time::Duration::from_secs(2 * 86_400));
    let tool = stage.tool().unwrap().arg("--ignore-clock-difference");
    tool.run().unwrap().expect(0).unwrap();
    assert!(!stage.whole().contains(&0));
}

#[test]
fn a_dry_run_tells_the_same_and_changes_nothing() {
    let stage = Stage::prod(&[30, 20, 10, 1]).unwrap();
    let before = stage.there();
    let dry = stage.tool().unwrap().arg("--dry-run").run().unwrap().expect(0).unwrap();
    assert_eq!(stage.there(), before);
    assert!(stage.array.log().iter().all(|r| r.method == "GET"));
    assert!(!stage.root.path().join("state").exists(), "a dry run made the state directory");
    let wet = stage.tool().unwrap().run().unwrap().expect(0).unwrap();
    let planned: Vec<String> = reasons(&dry, "planned").into_keys().collect();
    assert_eq!(planned, reasons(&wet, "removed").into_keys().collect::<Vec<_>>());
    assert_eq!(planned.len(), 4);
    assert_eq!(reasons(&dry, "kept"), reasons(&wet, "kept"));
    assert!(dry.of("planned").iter().all(|r| r.text("action") == Some("delete")));
}

#[test]
fn a_brake_acts_on_more_than_a_night_would_delete() {
    let ages: Vec<i64> = (0..30).rev().map(|n| n + 20).collect();
    let stage = Stage::prod(&ages).unwrap();
    let before = stage.there();
    let outcome = stage.tool().unwrap().run().unwrap().expect(4).unwrap();
    assert!(
        outcome.stderr.contains("it would delete 29 of the 30 sets of database PROD"),
        "{}",
        outcome.stderr
    );
    assert!(outcome.stderr.contains("hint: look at it with --dry-run"), "{}", outcome.stderr);
    assert_eq!(stage.there(), before);
    let dry = stage.tool().unwrap().arg("--dry-run").run().unwrap().expect(0).unwrap();
    assert_eq!(dry.of("planned").len(), 58);
    assert!(dry.stderr.contains("without --force the run will be refused"), "{}", dry.stderr);
    stage.tool().unwrap().args(["--max-delete", "28"]).run().unwrap().expect(4).unwrap();
    let outcome =
        stage.tool().unwrap().args(["--max-delete", "28", "--force"]).run().unwrap().expect(0).unwrap();
    stage.check(&before, &outcome, &[]).unwrap();
    assert_eq!(stage.whole(), [29]);
}

#[test]
fn ages_are_of_the_arrays_clock_and_a_wrong_clock_stops_everything() {
    for offset in [20 * DAY, -20 * DAY, HOUR] {
        let mut stage = Stage::with(Config { clock_offset_ms: offset, ..Config::default() }).unwrap();
        stage.database("PROD").unwrap();
        for age in [20, 10, 1] {
            stage.set("PROD", age * DAY + HOUR).unwrap();
        }
        let before = stage.there();
        let outcome = stage.tool().unwrap().run().unwrap().expect(4).unwrap();
        assert!(outcome.stderr.contains("the array's clock is "), "{}", outcome.stderr);
        assert_eq!(stage.there(), before);
        let outcome =
            stage.tool().unwrap().arg("--ignore-clock-difference").run().unwrap().expect(0).unwrap();
        stage.check(&before, &outcome, &[]).unwrap();
        assert_eq!(stage.whole(), [1, 2], "{offset}");
    }
    // Somebody set the clock back: the sets of before are of the future, and none of them makes another disposable.
    let stage = Stage::prod(&[30, 20, 1]).unwrap();
    stage.array.set_clock_offset(-15 * DAY);
    let outcome = stage.tool().unwrap().arg("--ignore-clock-difference").run().unwrap().expect(0).unwrap();
    assert_eq!(stage.whole(), [1, 2]);
    let future = &stage.there()[&stage.sets[2].0[0]].name;
    assert_eq!(reasons(&outcome, "kept")[future], "dated in the future: counts as new, and as no backup");
}

#[test]
fn a_name_is_never_believed_against_the_array() {
    let mut stage = Stage::prod(&[30, 1]).unwrap();
    // An old name on a snapshot of yesterday, and a new name on an old one.
    let now = stage.array.now();
    let old = format!("orasync_data_{}_x", stamp(now - 300 * DAY));
    let id = stage.array.add_snapshots("PROD_data", [(old.clone(), now - 2 * DAY)]).unwrap()[0];
    stage.sets.push((vec![id], vec![]));
    let outcome = stage.tool().unwrap().run().unwrap().expect(0).unwrap();
    assert!(stage.ids().contains(&id));
    let warned = outcome.of("log").iter().any(|r| r.text("message").unwrap().starts_with(&old));
    assert!(warned, "{}", String::from_utf8_lossy(&outcome.stdout));
    assert_eq!(stage.whole(), [1, 2]);
}

#[test]
fn after_a_producer_that_died_or_failed_nothing_is_deleted() {
    let stage = Stage::prod(&[30, 20, 1]).unwrap();
    let before = stage.there();
    let begin = r#"{"v":1,"type":"run_begin","tool":"ib-snap","run":"r1","ts":"2026-01-01T00:00:00.000Z","version":"1","host":"h"}"#;
    let end = |status: &str, exit: u8| {
        format!(
            r#"{{"v":1,"type":"run_end","tool":"ib-snap","run":"r1","ts":"2026-01-01T00:00:00.000Z","status":"{status}","exit":{exit},"seconds":1,"counts":{{}}}}"#
        )
    };
    let strange = r#"{"type":"from_the_future",  "x": 1e400}"#;
    let run = |input: String, status: i32| {
        let outcome = stage.tool().unwrap().stdin(input.clone()).run().unwrap().expect(status).unwrap();
        assert!(String::from_utf8_lossy(&outcome.stdout).contains(input.trim_end()), "not passed on");
        outcome
    };
    let died = run(format!("{begin}\n{strange}\n"), 2);
    assert!(died.stderr.is_empty() || !died.stderr.contains("error"), "{}", died.stderr);
    run(format!("{begin}\n{}\n", end("failed", 2)), 2);
    run(format!("{begin}\n{}\n", end("partial", 1)), 1);
    assert_eq!(stage.there(), before);
    assert_eq!(stage.array.count("DELETE", ""), 0);
    run(format!("{begin}\n{}\n", end("success", 0)), 0);
    assert_eq!(stage.whole(), [2]);
}

#[test]
fn a_set_that_was_taken_with_a_consistency_group_goes_with_its_snapshot_group() {
    let mut stage = Stage::new().unwrap();
    for volume in ["d1", "d2"] {
        stage.array.add_volume(volume).unwrap();
    }
    let cg = stage.array.add_group("db", &["d1", "d2"]).unwrap();
    let mut groups = Vec::new();
    for age in [30, 20, 1] {
        let at = stage.array.now() - age * DAY;
        let ids: Vec<u64> = ["d1", "d2"]
            .iter()
            .map(|v| {
                let name = format!("orasync_data_{}_{v}", stamp(at));
                stage.array.add_snapshots(v, [(name, at)]).unwrap()[0]
            })
            .collect();
        for id in &ids {
            let mark = SetMark {
                run: format!("r{age}"),
                db: "PROD".to_owned(),
                dbid: 1,
                kind: SetKind::Data,
                stamp: stamp(at),
                n: 2,
                state: SetState::Complete,
                archive: false,
            };
            stage.mark(*id, &mark).unwrap();
        }
        let group = stage.array.with(|state| {
            let pool = state.volumes[&ids[0]].pool_id;
            let group = state.add_group(&format!("sg{age}"), pool, Some(cg)).unwrap();
            for id in &ids {
                state.join(group, *id).unwrap();
            }
            group
        });
        groups.push(group);
        stage.sets.push((ids, vec![]));
    }
    // Somebody has put a snapshot of his own into the second one.
    let stranger = stage.array.add_snapshots("d1", [("mine".to_owned(), 0)]).unwrap()[0];
    stage.array.with(|state| state.join(groups[1], stranger)).unwrap();
    let before = stage.there();
    let outcome = stage.tool().unwrap().run().unwrap().expect(0).unwrap();
    stage.check(&before, &outcome, &[]).unwrap();
    assert_eq!(stage.whole(), [1, 2]);
    let left: Vec<u64> = stage.array.groups().iter().map(|g| g.id).collect();
    assert!(!left.contains(&groups[0]) && left.contains(&groups[1]) && left.contains(&cg), "{left:?}");
    assert_eq!(stage.array.count("DELETE", r"^/cgs/\d+\?approved=true&delete_members=true"), 1);
    assert!(stage.ids().contains(&stranger));
}

#[test]
fn five_years_are_simulated_without_an_array() {
    let root = tempfile::tempdir().unwrap();
    let run = |every: &str| {
        let tool = rig::tool::Tool::new("ib-prune", root.path()).unwrap();
        tool.args(["--simulate", "1825d", "--simulate-every", every]).run().unwrap().expect(0).unwrap()
    };
    let daily = run("1day");
    assert_eq!((daily.count("days"), daily.count("deleted")), (1825, 1811));
    let log = daily.of("log");
    assert!(
        log.last()
            .unwrap()
            .text("message")
            .unwrap()
            .ends_with(": keeps 14 sets, the oldest 14 days old; deletes 1"),
        "{}",
        log.last().unwrap().line
    );
    assert!(daily.elapsed.as_secs() < 20, "{:?}", daily.elapsed);
    let weekly = run("7days");
    assert_eq!(weekly.of("log").len(), 1825);

    // From what is there.
    let stage = Stage::prod(&[30, 20, 1]).unwrap();
    let before = stage.there();
    let outcome = stage.tool().unwrap().args(["--simulate", "20d"]).run().unwrap().expect(0).unwrap();
    assert_eq!(stage.there(), before);
    let first = &before[&stage.sets[0].0[0]].name;
    assert!(reasons(&outcome, "planned").contains_key(first));
    assert!(stage.array.log().iter().all(|r| r.method == "GET"));
}
