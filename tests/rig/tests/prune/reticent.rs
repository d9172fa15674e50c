//! Arrays that tell less than others, or confirm what they have not done.

use common::infinibox::{SetKind, SetMark, SetState};
use ibsim::{Change, Fault, Object, Rule, Which};

use crate::stage::{reasons, stamp, Stage, DAY};

/// An object as an array tells it that leaves out what is named.
fn told(object: &Object, without: &[&str]) -> String {
    let kind = if object.is_snapshot { "SNAPSHOT" } else { "MASTER" };
    let fields = [
        ("id", object.id.to_string()),
        ("name", format!("{:?}", object.name)),
        ("type", format!("{kind:?}")),
        ("parent_id", object.parent_id.to_string()),
        ("depth", object.depth.to_string()),
        ("created_at", object.created_at.to_string()),
        ("mapped", object.mapped.to_string()),
        ("cg_id", object.cg_id.unwrap_or(0).to_string()),
    ];
    let fields = fields.into_iter().filter(|(name, _)| !without.contains(name));
    format!("{{{}}}", fields.map(|(name, value)| format!("{name:?}:{value}")).collect::<Vec<_>>().join(","))
}

fn answer(result: &str) -> Fault {
    Fault::Body(format!(r#"{{"result":{result},"error":null,"metadata":{{"ready":true}}}}"#))
}

fn listing<'a>(objects: impl IntoIterator<Item = &'a Object>, without: &[&str]) -> Fault {
    let items: Vec<String> = objects.into_iter().map(|o| told(o, without)).collect();
    let (n, items) = (items.len(), items.join(","));
    Fault::Body(format!(
        r#"{{"result":[{items}],"error":null,"metadata":{{"ready":true,"number_of_objects":{n},"pages_total":1}}}}"#
    ))
}

/// The n-th look at an object shows it as it is now, whatever becomes of it.
fn shown(stage: &Stage, id: u64, nth: usize) -> Rule {
    let object = &stage.there()[&id];
    Rule::on("GET", &format!(r"^/volumes/{id}($|\?)"), answer(&told(object, &[]))).nth(nth)
}

/// All of an array's objects without these fields, in its listing and one by one.
fn without(stage: &Stage, fields: &[&str]) -> Vec<Rule> {
    let there = stage.there();
    let mut rules = vec![Rule::on("GET", r"^/volumes\?", listing(there.values(), fields))];
    for object in there.values() {
        let path = format!(r"^/volumes/{}($|\?)", object.id);
        rules.push(Rule::on("GET", &path, answer(&told(object, fields))));
    }
    rules
}

fn warned(outcome: &rig::tool::Outcome, text: &str) -> bool {
    outcome.of("log").iter().any(|r| r.text("message").is_some_and(|m| m.contains(text)))
}

/// Three old sets of the original, and between them a snapshot of somebody else whose name has the form of ours.
fn with_a_stranger() -> (Stage, u64) {
    let mut stage = Stage::new().unwrap();
    stage.database("PROD").unwrap();
    for age in [50, 40, 30] {
        stage.legacy("PROD", age * DAY).unwrap();
    }
    let at = stage.array.now() - 45 * DAY;
    let name = format!("orasync_data_{}_mine", stamp(at));
    let mine = stage.array.add_snapshots("PROD_data", [(name, at)]).unwrap()[0];
    stage.metadata(mine, &[("host.k8s.pvname", "pv1"), ("retention", "1 year")]).unwrap();
    (stage, mine)
}

#[test]
fn a_stranger_stays_where_the_array_does_not_list_all_metadata() {
    let strange = r#"[{"id":1,"object_id":1,"key":null,"value":"x"}]"#;
    let html = Fault::Html { status: 200, executed: false };
    for fault in [Fault::status(400), Fault::status(404), Fault::status(409), answer(strange), html] {
        let what = format!("{fault:?}");
        let (stage, mine) = with_a_stranger();
        // With its key the listing is answered, without it it is not.
        stage.array.faults(vec![Rule::on("GET", r"^/metadata\?page", fault)]).unwrap();
        let before = stage.there();
        let outcome = stage.tool().unwrap().run().unwrap().expect(0).unwrap();
        stage.check(&before, &outcome, &[]).unwrap();
        assert!(stage.ids().contains(&mine), "{what}");
        assert_eq!(stage.whole(), [2], "{what}");
        let kept = reasons(&outcome, "kept");
        let why = "not ours: it has metadata of somebody else (host.k8s.pvname)";
        assert_eq!(kept[&before[&mine].name], why, "{what}");
        assert!(warned(&outcome, "does not list all metadata"), "{what}");
        // Six that might be the original's, and the stranger; nothing twice.
        assert_eq!(stage.array.count("GET", r"^/metadata/\d+"), 7, "{what}");
    }
}

#[test]
fn metadata_that_cannot_be_read_at_all_keeps_the_set() {
    for bulk in [r"^/metadata\?page", r"^/metadata\?"] {
        let (stage, mine) = with_a_stranger();
        let data = stage.sets[0].0[0];
        stage
            .array
            .faults(vec![
                Rule::on("GET", bulk, Fault::status(400)),
                Rule::on("GET", &format!(r"^/metadata/({mine}|{data})\?"), Fault::status(400)),
            ])
            .unwrap();
        let before = stage.there();
        let outcome = stage.tool().unwrap().run().unwrap().expect(0).unwrap();
        stage.check(&before, &outcome, &[]).unwrap();
        assert!(stage.ids().contains(&mine));
        let kept = reasons(&outcome, "kept");
        for id in [mine, data, stage.sets[0].1[0]] {
            let reason = &kept[&before[&id].name];
            assert!(reason.contains("its metadata cannot be read: read metadata of object "), "{reason}");
        }
        assert!(stage.whole().contains(&0) && stage.whole().contains(&2), "{:?}", stage.whole());
        assert!(warned(&outcome, "the metadata of 2 snapshots cannot be read"));
    }
}

#[test]
fn sets_with_our_marks_cost_no_request_more_where_all_metadata_is_not_listed() {
    let stage = Stage::prod(&[40, 30, 1]).unwrap();
    stage.array.faults(vec![Rule::on("GET", r"^/metadata\?page", Fault::status(400))]).unwrap();
    stage.tool().unwrap().run().unwrap().expect(0).unwrap();
    assert_eq!((stage.whole(), stage.array.count("GET", r"^/metadata/\d+")), (vec![2], 0));
}

#[test]
fn a_confirmation_without_the_object_is_looked_up() {
    let stage = Stage::prod(&[40, 30, 1]).unwrap();
    stage.array.faults(vec![Rule::on("DELETE", "", answer("null"))]).unwrap();
    let before = stage.there();
    let outcome = stage.tool().unwrap().run().unwrap().expect(0).unwrap();
    stage.check(&before, &outcome, &[]).unwrap();
    assert_eq!((outcome.count("removed"), stage.whole()), (4, vec![2]));
    assert_eq!(stage.array.count("GET", r"^/volumes/\d+"), 8);

    // The array says yes and does nothing.
    for result in ["null", "{}", "[]", r#"{"id":1,"name":"other"}"#] {
        let stage = Stage::prod(&[40, 30, 1]).unwrap();
        let data = stage.sets[0].0[0];
        let refused = Rule::on("DELETE", &format!("^/volumes/{data}"), answer(result));
        stage.array.faults(vec![shown(&stage, data, 2), refused]).unwrap();
        let before = stage.there();
        let outcome = stage.tool().unwrap().run().unwrap().expect(1).unwrap();
        assert_eq!((outcome.count("removed"), outcome.count("failed")), (2, 1), "{result}");
        assert!(stage.ids().contains(&stage.sets[0].1[0]), "{result}: the archive half is gone");
        assert!(!reasons(&outcome, "removed").contains_key(&before[&data].name), "{result}");
        let kept = reasons(&outcome, "kept");
        let reason = &kept[&before[&data].name];
        assert!(reason.starts_with("not deleted: "), "{result}: {reason}");
    }
}

/// A set with two data snapshots in a snapshot group and an archive snapshot, and a newer one that stays. The ids of the
/// old set's members, and of its group.
fn with_groups() -> (Stage, [u64; 3], u64) {
    let mut stage = Stage::new().unwrap();
    for volume in ["d1", "d2", "a1"] {
        stage.array.add_volume(volume).unwrap();
    }
    let cg = stage.array.add_group("db", &["d1", "d2"]).unwrap();
    let mut groups = Vec::new();
    for age in [30, 1] {
        let at = stage.array.now() - age * DAY;
        let ids = [("data", "d1"), ("data", "d2"), ("archive", "a1")].map(|(word, volume)| {
            let name = format!("orasync_{word}_{}_{volume}", stamp(at));
            let created = if word == "data" { at } else { at + 20_000 };
            let id = stage.array.add_snapshots(volume, [(name, created)]).unwrap()[0];
            let mark = SetMark {
                run: format!("r{age}"),
                db: "PROD".to_owned(),
                dbid: 1,
                kind: if word == "data" { SetKind::Data } else { SetKind::Archive },
                stamp: stamp(at),
                n: if word == "data" { 2 } else { 1 },
                state: SetState::Complete,
                archive: true,
            };
            stage.mark(id, &mark).unwrap();
            id
        });
        let group = stage.array.with(|state| {
            let pool = state.volumes[&ids[0]].pool_id;
            let group = state.add_group(&format!("sg{age}"), pool, Some(cg)).unwrap();
            state.join(group, ids[0]).unwrap();
            state.join(group, ids[1]).unwrap();
            group
        });
        groups.push((ids, group));
        stage.sets.push((vec![ids[0], ids[1]], vec![ids[2]]));
    }
    let (ids, group) = groups[0];
    (stage, ids, group)
}

#[test]
fn members_that_outlive_their_snapshot_group_keep_their_archived_logs() {
    // All of them, or the second alone.
    for outlive in [vec![0, 1], vec![1]] {
        let (stage, ids, group) = with_groups();
        stage.array.faults(outlive.iter().map(|n| shown(&stage, ids[*n], 2)).collect()).unwrap();
        let before = stage.there();
        let outcome = stage.tool().unwrap().run().unwrap().expect(1).unwrap();
        assert!(stage.ids().contains(&ids[2]), "the archive half is gone");
        let removed = reasons(&outcome, "removed");
        let kept = reasons(&outcome, "kept");
        for n in [0, 1] {
            let name = &before[&ids[n]].name;
            assert_eq!(removed.contains_key(name), !outlive.contains(&n));
            assert_eq!(
                kept.get(name).is_some_and(|r| r.contains("has confirmed its deletion, and shows it")),
                outlive.contains(&n),
                "{kept:?}"
            );
        }
        assert!(kept.contains_key(&before[&ids[2]].name));
        assert_eq!(stage.array.count("DELETE", ""), 1);
        assert_eq!(stage.array.count("DELETE", &format!("^/cgs/{group}")), 1);
    }
    // Of a deletion whose answer is lost the same is known: what is seen to be gone gets its receipt.
    let (stage, ids, group) = with_groups();
    let lost = Rule::on("DELETE", &format!("^/cgs/{group}"), Fault::ResetAfter);
    stage.array.faults(vec![shown(&stage, ids[1], 2), lost]).unwrap();
    let before = stage.there();
    let outcome = stage.tool().unwrap().run().unwrap().expect(1).unwrap();
    assert!(stage.ids().contains(&ids[2]));
    let removed: Vec<String> = reasons(&outcome, "removed").into_keys().collect();
    assert_eq!(removed, [before[&ids[0]].name.clone()]);
}

#[test]
fn a_group_that_is_gone_does_not_take_its_members_for_gone() {
    // Somebody has dissolved it: before the look at it, or between the look and the deletion.
    for (method, path) in [("GET", "/members"), ("DELETE", "")] {
        let (stage, ids, group) = with_groups();
        let rules = [(method, path), ("DELETE", "")]
            .map(|(method, path)| Rule::on(method, &format!("^/cgs/{group}{path}"), Fault::status(404)));
        stage.array.faults(rules.to_vec()).unwrap();
        let outcome = stage.tool().unwrap().run().unwrap().expect(0).unwrap();
        assert_eq!((outcome.count("removed"), outcome.count("gone")), (0, 0), "{method}");
        assert_eq!(stage.whole(), [0, 1], "{method}");
        assert!(ids.iter().all(|id| stage.ids().contains(id)));
    }
}

#[test]
fn members_are_judged_by_themselves_not_by_what_their_group_tells_of_them() {
    let (stage, ids, group) = with_groups();
    let there = stage.there();
    let thin = listing([&there[&ids[0]], &there[&ids[1]]], &["depth", "mapped", "cg_id", "created_at"]);
    stage.array.faults(vec![Rule::on("GET", &format!("^/cgs/{group}/members"), thin.clone())]).unwrap();
    let outcome = stage.tool().unwrap().run().unwrap().expect(0).unwrap();
    stage.check(&there, &outcome, &[]).unwrap();
    assert_eq!(stage.whole(), [1]);
    // And a lock that the group does not tell of is seen.
    let (stage, ids, group) = with_groups();
    let until_ms = stage.array.now() + DAY;
    let lock = Change::Lock { volume: ids[1].to_string(), until_ms };
    let path = format!("^/cgs/{group}/members");
    stage
        .array
        .faults(vec![Rule::on("GET", &path, Fault::Before(vec![lock])), Rule::on("GET", &path, thin)])
        .unwrap();
    stage.tool().unwrap().run().unwrap().expect(0).unwrap();
    assert_eq!(stage.whole(), [0, 1]);
}

#[test]
fn where_the_array_does_not_say_whether_they_are_mapped_their_mappings_do() {
    let stage = Stage::prod(&[40, 35, 30, 1]).unwrap();
    stage.array.change(&Change::Map(stage.sets[1].0[0].to_string())).unwrap();
    stage.array.faults(without(&stage, &["mapped"])).unwrap();
    let before = stage.there();
    let outcome = stage.tool().unwrap().run().unwrap().expect(0).unwrap();
    stage.check(&before, &outcome, &[]).unwrap();
    assert_eq!(stage.whole(), [1, 3]);
    assert!(reasons(&outcome, "kept")[&before[&stage.sets[1].0[0]].name].contains("mapped to a host"));

    // Mapped after the listing: the second question for its mappings sees it.
    let stage = Stage::prod(&[40, 30, 1]).unwrap();
    let mut rules = without(&stage, &["mapped"]);
    let (data, map) = (stage.sets[0].0[0], Change::Map(stage.sets[0].0[0].to_string()));
    rules.push(Rule::on("GET", &format!("^/volumes/{data}/luns"), Fault::Before(vec![map])).nth(2));
    stage.array.faults(rules).unwrap();
    stage.tool().unwrap().run().unwrap().expect(0).unwrap();
    assert_eq!(stage.whole(), [0, 2]);

    // Nobody tells it: all of it stays, and somebody is told.
    for status in [403, 404, 400] {
        let stage = Stage::prod(&[40, 30, 1]).unwrap();
        let mut rules = without(&stage, &["mapped"]);
        rules.push(Rule::on("GET", "/luns", Fault::status(status)).which(Which::Every));
        stage.array.faults(rules).unwrap();
        let outcome = stage.tool().unwrap().run().unwrap().expect(0).unwrap();
        assert_eq!((stage.whole(), stage.array.count("DELETE", "")), (vec![0, 1, 2], 0));
        assert!(warned(&outcome, "does not say of 6 snapshots whether they are mapped"));
        assert_eq!(stage.array.count("GET", "/luns"), 3);
    }
}

#[test]
fn snapshots_of_no_time_stay_and_somebody_is_told() {
    let stage = Stage::prod(&[40, 30, 1]).unwrap();
    stage.array.faults(without(&stage, &["created_at"])).unwrap();
    let outcome = stage.tool().unwrap().run().unwrap().expect(0).unwrap();
    assert_eq!(stage.whole(), [0, 1, 2]);
    assert!(warned(&outcome, "does not say of 6 snapshots when they were taken"));
}
