//! Ten thousand snapshots, and a listing that moves while it is read.

use std::collections::BTreeSet;

use ibsim::{Change, Fault, Rule};

use crate::stage::{stamp, Stage, DAY, HOUR};

#[test]
fn ten_thousand_snapshots_of_twenty_databases_with_two_requests_for_each_deletion() {
    let mut stage = Stage::new().unwrap();
    let dbs: Vec<String> = (0..20).map(|n| format!("DB{n:02}")).collect();
    for db in &dbs {
        stage.database(db).unwrap();
    }
    // Every four hours for forty days and a bit; the oldest ten sets of each are too old.
    for n in (0..250).rev() {
        for (at, db) in dbs.iter().enumerate() {
            stage.set(db, n * 4 * HOUR + HOUR + at as i64 * 61_000).unwrap();
        }
    }
    assert_eq!(stage.ids().len(), 10_000);
    let before = stage.there();
    let dry =
        stage.tool().unwrap().args(["--older-than", "40d", "--dry-run"]).run().unwrap().expect(0).unwrap();
    // Eleven pages of volumes and twenty of metadata are in it.
    assert!(dry.elapsed.as_secs() < 15, "{:?}", dry.elapsed);
    let planned = dry.of("planned").len();
    assert_eq!(planned, 20 * 10 * 2);
    stage.array.clear_log();
    let outcome = stage.tool().unwrap().args(["--older-than", "40d"]).run().unwrap().expect(0).unwrap();
    stage.check(&before, &outcome, &[]).unwrap();
    assert_eq!(outcome.of("removed").len(), planned);
    let about_one = stage.array.count("*", r"^/volumes/\d+") + stage.array.count("*", r"^/cgs/\d+");
    assert_eq!(stage.array.count("DELETE", ""), planned);
    assert!(about_one <= 2 * planned, "{about_one} requests for {planned} deletions");
    assert_eq!(stage.ids().len(), 10_000 - planned);
    let all = stage.array.log().len();
    assert!(all <= 2 * planned + 60, "{all} requests");
}

#[test]
fn nothing_is_skipped_while_the_listing_moves() {
    let mut stage = Stage::new().unwrap();
    stage.array.set_guesses(|g| g.name_alphabet_strict = false);
    stage.database("PROD").unwrap();
    stage.array.add_volume("busy").unwrap();
    let now = stage.array.now();
    let mut expected = BTreeSet::new();
    for n in (0..60).rev() {
        // Snapshots that come and go lie between ours.
        stage.array.add_snapshots("busy", (0..60).map(|m| (format!("churn-{n}-{m}"), now))).unwrap();
        let (data, archive) = stage.set("PROD", n * DAY + HOUR).unwrap();
        if n >= 14 {
            expected.extend([data, archive]);
        }
    }
    let moving = Change::Churn { containing: "churn".to_owned(), remove: 40, add: 25 };
    stage.array.faults(vec![Rule::on("GET", r"^/volumes\?", Fault::Before(vec![moving.clone()]))]).unwrap();
    let before = stage.there();
    let outcome = stage.tool().unwrap().arg("--force").run().unwrap().expect(0).unwrap();
    let gone: BTreeSet<u64> = before.keys().copied().filter(|id| !stage.ids().contains(id)).collect();
    let gone: BTreeSet<u64> = gone.into_iter().filter(|id| before[id].name.starts_with("orasync")).collect();
    assert_eq!(gone, expected);
    assert_eq!(outcome.count("removed"), expected.len() as u64);
    assert!(stage.array.count("GET", r"^/volumes\?") >= 3);
}

#[test]
fn names_without_metadata_of_twenty_databases_at_one_time_keep_their_last() {
    let mut stage = Stage::new().unwrap();
    let now = stage.array.now();
    for n in 0..20 {
        stage.database(&format!("DB{n:02}")).unwrap();
    }
    for age in [40, 30, 20, 10] {
        for n in 0..20 {
            let db = format!("DB{n:02}");
            let at = now - age * DAY + n;
            let name =
                |word: &str, volume: &str| format!("orasync_{word}_{}_{volume}", stamp(now - age * DAY));
            let (data, arch) = (format!("{db}_data"), format!("{db}_arch"));
            let d = stage.array.add_snapshots(&data, [(name("data", &data), at)]).unwrap()[0];
            let a = stage.array.add_snapshots(&arch, [(name("archive", &arch), at + 100)]).unwrap()[0];
            stage.sets.push((vec![d], vec![a]));
        }
    }
    let before = stage.there();
    let outcome = stage.tool().unwrap().run().unwrap().expect(0).unwrap();
    stage.check(&before, &outcome, &[]).unwrap();
    assert_eq!(stage.whole(), (60..80).collect::<Vec<_>>());
}
