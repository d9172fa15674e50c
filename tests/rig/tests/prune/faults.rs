//! The array answers badly, late, or not at all: at each step, with each fault.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Context;
use common::infinibox::{SetMark, SetState};
use ibsim::{Config, Fault, Lost, Rule, Which, PASSWORD};
use rig::tool::Outcome;

use crate::stage::{reasons, stamp, Stage, DAY};

const AGES: [i64; 6] = [60, 50, 40, 30, 20, 1];

/// What a run left behind.
struct Case {
    stage: Stage,
    outcome: Outcome,
    what: String,
}

impl Case {
    /// One world, one fault, one run.
    fn run(method: &str, path: &str, fault: Fault, which: Which) -> Self {
        let what = format!("{method} {path} {fault:?} {which:?}");
        let stage = Stage::prod(&AGES).unwrap();
        stage.array.faults(vec![Rule::on(method, path, fault).which(which)]).unwrap();
        let outcome = stage.tool_within("500ms").unwrap().run();
        let outcome = outcome.with_context(|| what.clone()).unwrap();
        stage.no_secret(&outcome).unwrap();
        Self { stage, outcome, what }
    }

    /// What must hold however it went: what stays is whole, no data without its archived logs, no receipt without a deed,
    /// and the next run, without the fault, ends where this one would have.
    fn holds(self, statuses: &[i32], whole: &[usize]) {
        let Self { stage, outcome, what } = self;
        let status = outcome.status.unwrap_or(-1);
        assert!(statuses.contains(&status), "{what}: status {status}\n{}", outcome.stderr);
        assert_eq!(stage.whole(), whole, "{what}\n{}", outcome.stderr);
        let there = stage.ids();
        for (data, archive) in &stage.sets {
            let is = |ids: &[u64]| ids.iter().any(|id| there.contains(id));
            assert!(!is(data) || is(archive), "{what}: data without its archived logs");
        }
        let names: BTreeSet<String> = stage.array.objects().into_iter().map(|o| o.name).collect();
        for name in reasons(&outcome, "removed").keys() {
            assert!(!names.contains(name), "{what}: a receipt for {name}, which is there");
        }
        if status != 0 {
            assert!(outcome.stderr.contains("ib-prune: error: "), "{what}: {}", outcome.stderr);
        }
        stage.array.faults(vec![]).unwrap();
        stage.tool().unwrap().run().unwrap().expect(0).with_context(|| format!("{what}, again")).unwrap();
        assert_eq!(stage.whole(), [5], "{what}");
        assert_eq!(stage.ids().len(), 2, "{what}");
    }
}

const ALL: [usize; 6] = [0, 1, 2, 3, 4, 5];
const LAST: [usize; 1] = [5];

fn status(status: u16) -> Fault {
    Fault::status(status)
}

fn html() -> Fault {
    Fault::Html { status: 200, executed: false }
}

#[test]
fn what_cannot_be_read_deletes_nothing() {
    for path in ["^/volumes", "^/metadata", "^/system"] {
        for (fault, wanted) in [
            (status(401), 2),
            (status(403), 2),
            (status(500), 75),
            (status(503), 75),
            (Fault::too_many(0), 75),
            (html(), 2),
            (Fault::EmptyBody, 2),
            (Fault::TruncatedJson, 2),
            (Fault::ResetBefore, 75),
        ] {
            // Metadata that an array answers in another form is asked for object by object, which fails as well.
            let case = Case::run("GET", path, fault, Which::Every);
            case.holds(&[wanted], &ALL);
        }
    }
    for (fault, wanted) in [(status(404), 2), (status(409), 2), (Fault::Hang, 75)] {
        Case::run("GET", "^/volumes", fault, Which::Every).holds(&[wanted], &ALL);
    }
}

#[test]
fn what_passes_by_itself_is_waited_out() {
    for path in ["^/volumes", "^/metadata", "^/system", r"^/volumes/\d+"] {
        for fault in [
            status(500),
            status(503),
            Fault::too_many(1),
            html(),
            Fault::ResetBefore,
            Fault::CutAnswer,
            Fault::Hang,
        ] {
            Case::run("GET", path, fault, Which::First(1)).holds(&[0], &LAST);
        }
    }
    // An old array that knows no listing of metadata, or none at all.
    for fault in [status(404), status(400)] {
        Case::run("GET", r"^/metadata\?", fault, Which::Every).holds(&[0], &LAST);
    }
    // In the middle of the work the logon is refused once.
    Case::run("GET", r"^/volumes/\d+", status(401), Which::Nth(3)).holds(&[0], &LAST);
    Case::run("DELETE", "", status(401), Which::Nth(3)).holds(&[0], &LAST);
}

#[test]
fn an_object_that_cannot_be_looked_at_again_is_not_deleted() {
    // After three sets without an answer the array is left alone.
    for (fault, wanted) in [
        (status(401), 2),
        (status(403), 2),
        (status(409), 1),
        (status(500), 2),
        (status(503), 2),
        (html(), 2),
        (Fault::TruncatedJson, 2),
        (Fault::ResetBefore, 2),
        (Fault::Hang, 2),
    ] {
        Case::run("GET", r"^/volumes/\d+", fault, Which::Every).holds(&[wanted], &ALL);
    }
    // The array says of all of them that they are gone: nothing is deleted, nothing is claimed.
    let case = Case::run("GET", r"^/volumes/\d+", status(404), Which::Every);
    assert_eq!((case.outcome.count("removed"), case.outcome.count("gone")), (0, 10));
    case.holds(&[0], &ALL);
    // Of one, once: it is asked again.
    Case::run("GET", r"^/volumes/\d+", status(404), Which::Nth(1)).holds(&[0], &LAST);
    // The archive half of the second set cannot be looked at: its data stays as well, the others go.
    Case::run("GET", r"^/volumes/\d+", status(403), Which::Nth(4)).holds(&[1], &[1, 5]);
}

#[test]
fn a_deletion_that_fails_costs_its_set_alone() {
    for fault in [status(403), status(404), status(409), status(500), status(503), html(), Fault::Hang] {
        let partial = if fault == status(404) { 0 } else { 1 };
        Case::run("DELETE", "", fault, Which::Nth(1)).holds(&[partial], &[0, 5]);
    }
    // The second one is the archive half: it stays without its data, and goes the next time.
    let case = Case::run("DELETE", "", status(409), Which::Nth(2));
    let kept = reasons(&case.outcome, "kept");
    assert!(
        kept.values().any(|r| r.starts_with("not deleted: delete volume ") && r.contains("409")),
        "{kept:?}"
    );
    case.holds(&[1], &LAST);
}

#[test]
fn the_archived_logs_that_an_undeleted_data_snapshot_needs_stay() {
    let mut stage = Stage::new().unwrap();
    stage.database("PROD").unwrap();
    // ib-snap --no-archive, and then a whole set, both too old.
    let at = stage.array.now() - 60 * DAY;
    let name = format!("orasync_data_{}_PROD_data", stamp(at));
    let data = stage.array.add_snapshots("PROD_data", [(name.clone(), at)]).unwrap()[0];
    let mark = SetMark {
        run: "alone".to_owned(),
        db: "PROD".to_owned(),
        dbid: "PROD".bytes().map(u64::from).sum(),
        stamp: stamp(at),
        n: 1,
        state: SetState::Complete,
        ..SetMark::default()
    };
    stage.mark(data, &mark).unwrap();
    for age in [50, 40, 1] {
        stage.set("PROD", age * DAY).unwrap();
    }
    let refused = Rule::on("DELETE", &format!("^/volumes/{data}"), status(409));
    stage.array.faults(vec![refused]).unwrap();
    let before = stage.there();
    let outcome = stage.tool().unwrap().run().unwrap().expect(1).unwrap();
    stage.check(&before, &outcome, &[]).unwrap();
    assert_eq!(stage.whole(), [0, 2]);
    let kept = reasons(&outcome, "kept");
    let next = &before[&stage.sets[0].0[0]].name;
    assert_eq!(kept[next], format!("{name} is still there and needs its archived logs"));
    stage.array.faults(vec![]).unwrap();
    stage.tool().unwrap().run().unwrap().expect(0).unwrap();
    assert_eq!((stage.whole(), stage.ids().len()), (vec![2], 2));
}

#[test]
fn an_array_that_refuses_every_deletion_is_a_failure_and_not_asked_for_ever() {
    for (fault, wanted, asked) in [
        (status(401), 2, 2),
        (status(403), 2, 5),
        (status(409), 1, 5),
        (status(500), 2, 3),
        (status(503), 2, 3),
        (Fault::Hang, 2, 3),
    ] {
        let case = Case::run("DELETE", "", fault, Which::Every);
        assert_eq!(case.stage.array.count("DELETE", ""), asked, "{}", case.what);
        case.holds(&[wanted], &ALL);
    }
}

#[test]
fn a_deletion_whose_answer_is_lost_is_looked_up_and_gets_its_receipt() {
    for fault in [
        Fault::HangAfter,
        Fault::ResetAfter,
        Fault::CutAnswer,
        Fault::TruncatedJson,
        Fault::EmptyBody,
        Fault::status_after(500),
        Fault::status_after(503),
        Fault::Html { status: 502, executed: true },
    ] {
        let case = Case::run("DELETE", "", fault, Which::Nth(1));
        assert_eq!(case.outcome.count("removed"), 10, "{}\n{}", case.what, case.outcome.stderr);
        case.holds(&[0], &LAST);
    }
    Case::run("DELETE", "", Fault::ResetBefore, Which::Nth(1)).holds(&[0], &LAST);
    // Executed after we have looked: no receipt, and the archived logs stay until the next run.
    let late = Fault::late(Duration::from_millis(900), Lost::Silence);
    let case = Case::run("DELETE", "", late, Which::Nth(1));
    assert_eq!(case.outcome.count("removed"), 8, "{}", case.outcome.stderr);
    case.stage.array.settle().unwrap();
    assert_eq!(case.stage.ids().len(), 3);
    case.holds(&[1], &LAST);
}

#[test]
fn an_array_that_is_not_there_or_does_not_know_us_is_told_apart() {
    let stage = Stage::prod(&AGES).unwrap();
    let tool = || stage.tool().unwrap();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    tool().env("SOURCE_INFINIBOX", free.to_string()).run().unwrap().expect(75).unwrap();
    let outcome = tool().env("SOURCE_INFINIBOX_PASSWORD", "not-it").run().unwrap().expect(2).unwrap();
    assert!(!outcome.stderr.contains("not-it"));
    let reader = tool().env("SOURCE_INFINIBOX_USER", "monitor").run().unwrap().expect(2).unwrap();
    assert!(
        reader.stderr.contains("the array allowed no deletion") || reader.stderr.contains("403"),
        "{}",
        reader.stderr
    );
    for missing in ["SOURCE_INFINIBOX", "SOURCE_INFINIBOX_USER", "SOURCE_INFINIBOX_PASSWORD"] {
        tool().env_remove(missing).run().unwrap().expect(64).unwrap();
    }
    let outcome = tool().arg("--infinibox-password").arg(PASSWORD).run().unwrap().expect(64).unwrap();
    stage.no_secret(&outcome).unwrap();
    assert_eq!(stage.ids().len(), 12);
    // TLS is checked: the certificate is not one that this system knows, until it is named.
    let secure = || {
        let state = stage.root.path().join("state");
        rig::tool::Tool::new("ib-prune", stage.root.path())
            .unwrap()
            .env("SOURCE_INFINIBOX", stage.array.tls_host(0))
            .env("SOURCE_INFINIBOX_USER", "pool_admin")
            .env("SOURCE_INFINIBOX_PASSWORD", PASSWORD)
            .env("STATE_DIR", state)
    };
    let outcome = secure().run().unwrap();
    assert_ne!(outcome.status, Some(0));
    assert_eq!(stage.ids().len(), 12);
    secure().arg("--ca-file").arg(stage.array.ca_file()).run().unwrap().expect(0).unwrap();
    assert_eq!(stage.whole(), LAST);
}

#[test]
fn another_management_address_takes_over() {
    let mut stage = Stage::with(Config { addresses: 2, ..Config::default() }).unwrap();
    stage.database("PROD").unwrap();
    for age in AGES {
        stage.set("PROD", age * DAY).unwrap();
    }
    stage.array.fail_over_to(1);
    let both = format!("{},{}", stage.array.host(0), stage.array.host(1));
    let before = stage.there();
    let outcome = stage.tool().unwrap().env("SOURCE_INFINIBOX", both).run().unwrap().expect(0).unwrap();
    stage.check(&before, &outcome, &[]).unwrap();
    assert_eq!(stage.whole(), LAST);
}
