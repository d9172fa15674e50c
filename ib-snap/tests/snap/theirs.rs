//! What bears one of our names and is another run's.

use std::collections::BTreeMap;
use std::time::Duration;

use ibsim::{Change, Fault, Rule};
use serde_json::json;

use crate::lab::{wait_for, Lab, Ran};

const SOON: Duration = Duration::from_secs(30);

fn marked(run: &str) -> String {
    json!({"run": run, "db": "OTHER", "dbid": 77, "kind": "archive", "stamp": "x", "n": 1, "state": "complete",
           "archive": true})
    .to_string()
}

/// While our first request for the archive snapshot hangs, somebody else takes one of its name.
fn taken_by_another(lab: &Lab, age: Option<i64>, mark: Option<&str>) -> (Ran, String) {
    let hang = Rule::on("POST", "^/volumes$", Fault::Hang).body("orasync_archive").first(1);
    lab.array.faults(vec![hang]).unwrap();
    let started = lab.start(&["--array-timeout", "2s"]);
    wait_for("the request", SOON, || lab.array.count("POST", "^/volumes$") > 0);
    let body = lab.array.requests("POST", "^/volumes$")[0].body.clone();
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    let name = body["name"].as_str().unwrap().to_owned();
    let created_at = age.map(|age| lab.array.now() - age);
    let change = Change::Snapshot { parent: "ARCH".to_owned(), name: name.clone(), created_at };
    lab.array.change(&change).unwrap();
    if let Some(mark) = mark {
        for (key, value) in [("host.created_by", "orapipe"), ("orapipe.set", mark)] {
            let (volume, key, value) = (name.clone(), key.to_owned(), Some(value.to_owned()));
            lab.array.change(&Change::Metadata { volume, key, value }).unwrap();
        }
    }
    (started.finish(), name)
}

#[test]
fn a_snapshot_of_another_run_is_not_adopted_and_not_touched() {
    let lab = Lab::small();
    let mark = marked("RUN-B");
    let (ran, name) = taken_by_another(&lab, None, Some(&mark));
    let ran = ran.exits(1);
    assert!(ran.says("it is of run RUN-B"), "{}", ran.stderr);
    let before = lab.array.object(&name).unwrap();
    assert_eq!(before.metadata["orapipe.set"], mark);
    assert!(ran.of("snapshot").iter().all(|r| r["kind"] == "data" && r["state"] == "incomplete"));
    // The next run settles it without a touch.
    let ran = lab.run(&["--end-backup"]).exits(0);
    assert!(ran.says("left as it is") && !lab.pending(), "{}", ran.stderr);
    assert_eq!(lab.array.object(&name).unwrap(), before);
}

#[test]
fn a_snapshot_that_is_older_than_the_request_is_not_adopted() {
    let lab = Lab::small();
    let (ran, name) = taken_by_another(&lab, Some(60_000), None);
    let ran = ran.exits(1);
    assert!(ran.says("it is older than the request"), "{}", ran.stderr);
    assert!(lab.array.object(&name).unwrap().metadata.is_empty());
    assert!(ran.of("snapshot").iter().all(|r| r["kind"] == "data"));
}

/// The journal of a killed run names what another run has made in the same second.
#[test]
fn a_journal_does_not_make_them_ours() {
    let lab = Lab::small();
    lab.run(&[]).exits(0);
    let before: BTreeMap<String, _> =
        lab.array.snapshots().into_iter().map(|s| (s.name.clone(), s)).collect();
    let asked = |sent: bool| {
        let all = lab.array.snapshots().into_iter().map(move |s| {
            let kind = if s.name.contains("archive") { "archive" } else { "data" };
            json!({"kind": kind, "volume_id": s.parent_id, "volume": "X", "name": s.name, "n": 1, "sent": sent})
        });
        all.collect::<Vec<_>>()
    };
    for sent in [true, false] {
        // With this window every one of them is late.
        let entry = json!({"run": "RUN-A", "db": "OTHER", "dbid": 77, "stamp": "x", "archive": true,
            "written": epoch_millis(), "clock": [-5, 5], "window": [1_000, 2_000], "snapshots": asked(sent)});
        let file = lab.dir.path().join("state/ib_snap.PROD.pending");
        std::fs::write(file, json!({"runs": [entry]}).to_string()).unwrap();
        let ran = lab.run(&["--end-backup"]).exits(0);
        assert!(ran.says("left as it is"), "{}", ran.stderr);
        let after: BTreeMap<String, _> =
            lab.array.snapshots().into_iter().map(|s| (s.name.clone(), s)).collect();
        assert_eq!(after, before);
        assert!(!lab.pending());
    }
}

fn epoch_millis() -> u128 {
    std::time::UNIX_EPOCH.elapsed().unwrap().as_millis()
}

#[test]
fn what_was_never_asked_for_and_says_nothing_is_not_ours() {
    let lab = Lab::small();
    let change = Change::Snapshot {
        parent: "ARCH".to_owned(),
        name: "orasync_archive_x".to_owned(),
        created_at: None,
    };
    lab.array.change(&change).unwrap();
    let parent = lab.array.object("ARCH").unwrap().id;
    let entry = json!({"run": "RUN-A", "db": "OTHER", "dbid": 77, "stamp": "x", "archive": true,
        "written": epoch_millis(), "clock": null, "window": null, "snapshots": [{"kind": "archive",
        "volume_id": parent, "volume": "ARCH", "name": "orasync_archive_x", "n": 1, "sent": false}]});
    std::fs::create_dir_all(lab.at("state")).unwrap();
    std::fs::write(lab.at("state/ib_snap.PROD.pending"), json!({"runs": [entry]}).to_string()).unwrap();
    lab.run(&["--end-backup"]).exits(0);
    assert!(lab.array.object("orasync_archive_x").unwrap().metadata.is_empty());
    assert!(!lab.pending());
}
