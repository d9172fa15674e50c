//! What is not ours is never touched, whatever it is called.

use common::infinibox::{SetKind, SetMark, SetState, CREATED_BY, OWNER, SET_KEY};
use ibsim::{Change, Config, Version};

use crate::stage::{reasons, stamp, Stage, DAY};

/// Objects that have the word in their names or look like ours in another way, all of them old. Ids of all of them.
fn strangers(stage: &Stage) -> Vec<u64> {
    let at = stage.array.now() - 60 * DAY;
    let mut ids = Vec::new();
    let snapshot =
        |name: String, created: i64| stage.array.add_snapshots("PROD_data", [(name, created)]).unwrap()[0];
    let mut second = 0;
    // By the name alone.
    for name in [
        "orasync".to_owned(),
        "orasync_notes".to_owned(),
        format!("orasync_data_{}x", stamp(at)),
        format!("orasync-data-{}", stamp(at)),
        format!("orasync_redo_{}", stamp(at)),
        "orasync_data_2026-02-31_120000".to_owned(),
        "orasync_data_2026-01-01".to_owned(),
        format!("myorasync_data_{}", stamp(at)),
        format!("before_orasync_archive_{}", stamp(at)),
        format!("ORASYNC_data_{}", stamp(at)),
        format!("CRM_data_{}", stamp(at)),
        format!("copy of orasync_data_{}", stamp(at)),
    ] {
        ids.push(snapshot(name, at));
    }
    // A good name, and the metadata of somebody else.
    let mut named = || {
        second += 1;
        snapshot(format!("orasync_data_{}", stamp(at + second * 1000)), at + second * 1000)
    };
    for keys in [
        vec![(CREATED_BY, "infinimerge"), ("retention", "7")],
        vec![(CREATED_BY, "cinder/15")],
        vec![("host.k8s.pvname", "pv1")],
        vec![("owner", "crm team")],
        vec![(CREATED_BY, OWNER)],
        vec![(CREATED_BY, OWNER), (SET_KEY, "not json")],
        vec![(SET_KEY, r#"{"run":"r","db":"X","dbid":1,"kind":"data","stamp":"s","n":1}"#)],
    ] {
        let id = named();
        stage.metadata(id, &keys).unwrap();
        ids.push(id);
    }
    // Our own metadata on a name that was changed since.
    let id = named();
    let mark = SetMark {
        run: "r".to_owned(),
        db: "PROD".to_owned(),
        dbid: 1,
        kind: SetKind::Archive,
        stamp: stamp(at),
        n: 1,
        state: SetState::Complete,
        archive: true,
    };
    stage.mark(id, &mark).unwrap();
    ids.push(id);
    // Volumes of that name, and a snapshot that was promoted to one.
    ids.push(stage.array.add_volume(&format!("orasync_data_{}", stamp(at + 100_000))).unwrap());
    ids.push(stage.array.add_volume("orasync_database").unwrap());
    let promoted = named();
    stage.array.with(|state| state.promote(promoted)).unwrap();
    ids.push(promoted);
    // A snapshot of a snapshot, and the snapshot that it is of.
    let parent = named();
    let child = format!("orasync_data_{}", stamp(at + 200_000));
    let change = Change::Snapshot { parent: parent.to_string(), name: child.clone(), created_at: Some(at) };
    stage.array.change(&change).unwrap();
    ids.extend([parent, stage.array.object(&child).unwrap().id]);
    // A member of a group that somebody made.
    let member = named();
    stage.array.with(|state| {
        let pool = state.volumes[&member].pool_id;
        let group = state.add_group("somebodys", pool, None).unwrap();
        state.join(group, member).unwrap();
    });
    ids.push(member);
    ids
}

#[test]
fn two_dozen_sorts_of_strangers_are_not_touched() {
    for version in [Version::V8_4, Version::V2_2] {
        let mut stage = Stage::with(Config::version(version)).unwrap();
        stage.database("PROD").unwrap();
        let strangers = strangers(&stage);
        assert!(strangers.len() >= 24);
        for age in [40, 30, 20, 1] {
            stage.set("PROD", age * DAY).unwrap();
        }
        let before = stage.there();
        let outcome = stage.tool().unwrap().args(["--force", "--keep-last", "1"]).run().unwrap();
        let outcome = outcome.expect(0).unwrap();
        stage.check(&before, &outcome, &[]).unwrap();
        let after = stage.there();
        for id in &strangers {
            assert_eq!(after.get(id), before.get(id), "{version}");
            assert_eq!(stage.array.count("DELETE", &format!("^/volumes/{id}")), 0);
        }
        // The one with a child is ours and stays; so does the archive snapshot that came next, which it needs.
        assert_eq!(stage.whole(), [0, 3], "{version}");
        let kept = reasons(&outcome, "kept");
        for id in &strangers {
            let name = &before[id].name;
            assert_eq!(name.contains("orasync"), kept.contains_key(name), "{name}");
        }
        assert_eq!(kept["orasync_notes"], "not ours: its name has not the form of ours");
        assert_eq!(kept["orasync_database"], "not ours: a volume, not a snapshot");
    }
}

#[test]
fn snapshots_without_metadata_can_be_left_alone() {
    let mut stage = Stage::new().unwrap();
    stage.database("PROD").unwrap();
    for age in [40, 30, 20] {
        stage.legacy("PROD", age * DAY).unwrap();
    }
    stage.set("PROD", 25 * DAY).unwrap();
    stage.set("PROD", DAY).unwrap();
    let before = stage.there();
    let outcome = stage.tool().unwrap().arg("--require-metadata").run().unwrap().expect(0).unwrap();
    stage.check(&before, &outcome, &[]).unwrap();
    assert_eq!(stage.whole(), [0, 1, 2, 4]);
    let outcome = stage.tool().unwrap().run().unwrap().expect(0).unwrap();
    assert_eq!(outcome.count("removed"), 6);
    assert_eq!(stage.whole(), [4]);
}

#[test]
fn another_word_is_another_prefix_or_narrows_the_choice() {
    let mut stage = Stage::new().unwrap();
    for db in ["PROD", "CRM"] {
        stage.database(db).unwrap();
        for age in [40, 30, 1] {
            stage.set(db, age * DAY + if db == "CRM" { 60_000 } else { 0 }).unwrap();
        }
    }
    let outcome = stage.tool().unwrap().args(["--match", "_CRM_"]).run().unwrap().expect(0).unwrap();
    assert_eq!((outcome.count("removed"), stage.whole()), (4, vec![0, 1, 2, 5]));
    // A word that only the data halves have leaves the sets alone.
    let outcome = stage.tool().unwrap().args(["--match", "PROD_data"]).run().unwrap().expect(0).unwrap();
    assert_eq!((outcome.count("removed"), stage.whole()), (0, vec![0, 1, 2, 5]));
    let outcome = stage.tool().unwrap().args(["--match", "nosuch"]).run().unwrap().expect(0).unwrap();
    assert_eq!((outcome.count("removed"), outcome.count("kept")), (0, 0));
}
