//! Somebody else works on the array between the listing and the deletion.

use ibsim::{Change, Fault, Rule};

use crate::stage::{reasons, Stage, DAY};

/// Two sets that are to go, and one that stays. `nth`: which look at an object meets the change; 1 and 2 are data and
/// archive of the first set.
fn changed(nth: usize, change: impl Fn(&Stage) -> Change, why: &str) {
    let stage = Stage::prod(&[40, 30, 1]).unwrap();
    let change = change(&stage);
    let rule = Rule::on("GET", r"^/volumes/\d+", Fault::Before(vec![change.clone()])).nth(nth);
    stage.array.faults(vec![rule]).unwrap();
    let before = stage.there();
    let outcome = stage.tool().unwrap().run().unwrap().expect(0).unwrap();
    if !matches!(change, Change::Rename { .. }) {
        stage.check(&before, &outcome, &[]).unwrap();
    }
    assert_eq!(stage.whole(), [0, 2], "{change:?}");
    let kept = reasons(&outcome, "kept");
    for id in [stage.sets[0].0[0], stage.sets[0].1[0]] {
        let reason = &kept[&before[&id].name];
        assert!(reason.contains(why), "{change:?}: {reason}");
    }
    assert_eq!(stage.array.count("DELETE", ""), 2);
}

#[test]
fn what_is_locked_mapped_cloned_or_replicated_meanwhile_stays_with_its_set() {
    for nth in [1, 2] {
        let at = || "@".to_owned();
        changed(nth, |s| Change::Lock { volume: at(), until_ms: s.array.now() + DAY }, "locked until");
        changed(nth, |_| Change::Map(at()), "mapped to a host");
        changed(nth, |_| Change::Child(at()), "it has snapshots of its own");
        changed(nth, |_| Change::Replicate(at()), "replicated");
        changed(
            nth,
            |_| Change::Rename { volume: at(), name: "precious".to_owned() },
            "its name is not what was listed",
        );
    }
}

#[test]
fn what_somebody_else_deletes_meanwhile_gets_no_receipt_and_is_no_failure() {
    // Between the listing and the look at it.
    let stage = Stage::prod(&[40, 30, 1]).unwrap();
    let (data, archive) = (stage.sets[0].0[0], stage.sets[0].1[0]);
    let rule = Rule::on("GET", r"^/volumes/\d+", Fault::Before(vec![Change::Remove("@".to_owned())])).nth(1);
    stage.array.faults(vec![rule]).unwrap();
    let before = stage.there();
    let outcome = stage.tool().unwrap().run().unwrap().expect(0).unwrap();
    stage.check(&before, &outcome, &[data]).unwrap();
    assert!(!stage.ids().contains(&archive));
    assert_eq!((outcome.count("removed"), outcome.count("gone")), (3, 1));

    // Between the look and the deletion.
    let stage = Stage::prod(&[40, 30, 1]).unwrap();
    let data = stage.sets[0].0[0];
    let rule = Rule::on("DELETE", "", Fault::Before(vec![Change::Remove("@".to_owned())])).nth(1);
    stage.array.faults(vec![rule]).unwrap();
    let before = stage.there();
    let outcome = stage.tool().unwrap().run().unwrap().expect(0).unwrap();
    stage.check(&before, &outcome, &[data]).unwrap();
    assert_eq!((outcome.count("removed"), outcome.count("gone")), (3, 1));
    assert_eq!(stage.whole(), [2]);
}

#[test]
fn after_a_slow_deletion_the_rest_of_the_set_is_looked_at_again() {
    let stage = Stage::prod(&[40, 1]).unwrap();
    let archive = stage.sets[0].1[0];
    let until_ms = stage.array.now() + DAY;
    let lock = Change::Lock { volume: archive.to_string(), until_ms };
    stage
        .array
        .faults(vec![
            Rule::on("DELETE", "", Fault::After(vec![lock])).nth(1),
            Rule::on("DELETE", "", Fault::SlowAnswer(2_300)).nth(1),
        ])
        .unwrap();
    let before = stage.there();
    let tool = stage.tool().unwrap();
    let outcome = tool.run().unwrap().expect(1).unwrap();
    stage.check(&before, &outcome, &[]).unwrap();
    assert!(stage.ids().contains(&archive));
    assert_eq!(stage.array.count("DELETE", ""), 1);
}
