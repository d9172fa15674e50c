//! Every step at the array with every answer that an array, a proxy or a network can give.

use anyhow::Result;
use ibsim::{Change, Fault, Rule};

use crate::case::{Case, Shape, Wanted};
use crate::stage::play;

/// A step at the array: its name, the request, a part of its body.
type Step = (&'static str, &'static str, &'static str, &'static str);

const CLOCK: Step = ("the array's clock", "GET", "^/system", "");
const LOOKUP: Step = ("the look for volumes", "GET", r"^/volumes\?.*name=", "");
const TOGETHER: Step = ("the group snapshot", "POST", "^/volumes/group_snapshot", "");
const SECOND: Step = ("the second of three snapshots", "POST", "^/volumes$", "orasync_data.*DATA2");
const OF_GROUP: Step = ("the snapshot of the group", "POST", "^/cgs", "");
const ARCHIVE: Step = ("the archive snapshot", "POST", "^/volumes$", "orasync_archive");
const FIRST_MARK: Step = ("the first mark", "PUT", "^/metadata", "incomplete");
const LAST_MARK: Step = ("the mark of a complete set", "PUT", "^/metadata", "\"complete");

/// An hour, which is more than any clock may be off.
const HOUR: i64 = 3_600_000;

fn rule(step: Step, fault: Fault) -> Rule {
    Rule::on(step.1, step.2, fault).body(step.3)
}

fn shape(step: Step) -> Shape {
    match step {
        SECOND => Shape::separate(),
        OF_GROUP => Shape::group(),
        _ => Shape::whole(),
    }
}

fn case(step: Step, what: &str) -> Case {
    Case::new(format!("{}: {what}", step.0)).shape(shape(step))
}

/// What happens once and need not cost the backup.
fn passing() -> Vec<(&'static str, Vec<Fault>)> {
    vec![
        ("hangs, not executed", vec![Fault::Hang]),
        ("hangs, executed", vec![Fault::HangAfter]),
        ("a reset before it", vec![Fault::ResetBefore]),
        ("a reset after it", vec![Fault::ResetAfter]),
        ("401 in the middle", vec![Fault::status(401)]),
        ("429 with Retry-After", vec![Fault::too_many(1)]),
        ("500, not executed", vec![Fault::status(500)]),
        ("500, executed", vec![Fault::status_after(500)]),
        ("503", vec![Fault::status(503)]),
        ("a proxy's 502 in HTML", vec![Fault::Html { status: 502, executed: false }]),
        ("HTML with 200, executed", vec![Fault::Html { status: 200, executed: true }]),
        ("half of the JSON", vec![Fault::TruncatedJson]),
        ("the answer is cut off", vec![Fault::CutAnswer]),
        ("an empty answer", vec![Fault::EmptyBody]),
        ("the array's clock jumps ahead", vec![Fault::Before(vec![Change::Clock(HOUR)])]),
        ("the array's clock jumps back", vec![Fault::Before(vec![Change::Clock(-HOUR)])]),
        (
            "the clock jumps and the answer is lost",
            vec![Fault::Before(vec![Change::Clock(HOUR)]), Fault::HangAfter],
        ),
    ]
}

fn once(step: Step) -> Vec<Case> {
    let cases = passing().into_iter().map(|(what, faults)| {
        faults.into_iter().fold(case(step, what), |case, fault| case.rule(rule(step, fault).nth(1)))
    });
    cases.collect()
}

#[test]
fn snapshots_together() -> Result<()> {
    play(once(TOGETHER))
}

#[test]
fn snapshots_one_by_one() -> Result<()> {
    play(once(SECOND))
}

#[test]
fn snapshots_of_a_group() -> Result<()> {
    play(once(OF_GROUP))
}

#[test]
fn archive_snapshots() -> Result<()> {
    play(once(ARCHIVE))
}

/// What the array says no to, and what never gets better.
#[test]
fn refusals_of_snapshots() -> Result<()> {
    let mut cases = Vec::new();
    for (status, code) in
        [(401, ""), (403, "POOL_LOCKED"), (404, "VOLUME_NOT_FOUND"), (409, "VOLUME_NAME_CONFLICT")]
    {
        for step in [TOGETHER, SECOND, OF_GROUP, ARCHIVE] {
            let fault = Fault::Status { status, code: code.to_owned(), retry_after: None, executed: false };
            let refused = case(step, &format!("{status} {code} always")).rule(rule(step, fault));
            let refused = match step {
                ARCHIVE => refused.ends(&[1], Wanted::Incomplete),
                SECOND => refused.ends(&[2], Wanted::Incomplete),
                _ => refused.ends(&[2], Wanted::Nothing),
            };
            cases.push(if code.is_empty() { refused } else { refused.says(code) });
        }
    }
    play(cases)
}

/// Another hand takes the name between the look and the snapshot: theirs stays as it is, ours does not count.
#[test]
fn names_and_objects_that_somebody_else_takes() -> Result<()> {
    play(vec![
        case(TOGETHER, "the pool is locked meanwhile")
            .rule(rule(TOGETHER, Fault::Before(vec![Change::PoolLocked(true)])))
            .ends(&[2], Wanted::Nothing)
            .says("POOL_LOCKED"),
        case(TOGETHER, "a snapshot vanishes right after it was taken")
            .rule(Rule::on("PUT", "^/metadata", Fault::Before(vec![Change::Remove("@".to_owned())])).nth(2))
            .ends(&[2, 1], Wanted::Incomplete),
        case(ARCHIVE, "a data snapshot vanishes before the set is complete")
            .rule(rule(LAST_MARK, Fault::Before(vec![Change::Remove("@".to_owned())])).nth(2))
            .ends(&[1], Wanted::NoSet),
    ])
}

#[test]
fn what_is_looked_up_first() -> Result<()> {
    let mut cases = Vec::new();
    for step in [CLOCK, LOOKUP] {
        for (what, faults) in passing() {
            cases.push(
                faults.into_iter().fold(case(step, what), |case, fault| case.rule(rule(step, fault).nth(2))),
            );
        }
        for (what, fault, status) in [
            ("hangs always", Fault::Hang, 75),
            ("resets always", Fault::ResetBefore, 75),
            ("500 always", Fault::status(500), 75),
            ("503 always", Fault::status(503), 75),
            ("403 always", Fault::status(403), 4),
            ("HTML always", Fault::Html { status: 200, executed: false }, 2),
            ("half of the JSON always", Fault::TruncatedJson, 2),
        ] {
            let path = if step == CLOCK { "^/" } else { step.2 };
            let rule = Rule::on(step.1, path, fault);
            cases.push(case(step, what).rule(rule).ends(&[status], Wanted::Nothing));
        }
    }
    play(cases)
}

#[test]
fn marks() -> Result<()> {
    let mut cases = Vec::new();
    for (what, faults) in passing() {
        for step in [FIRST_MARK, LAST_MARK] {
            let case = faults.iter().fold(case(step, what), |c, f| c.rule(rule(step, f.clone()).nth(2)));
            // Whether it is asked for again or the set is given up: it has to be told truly.
            cases.push(case.ends(&[0, 1], Wanted::Truth));
        }
    }
    for (what, fault) in [
        ("hangs always", Fault::Hang),
        ("500 always", Fault::status(500)),
        ("503 always", Fault::status(503)),
        ("resets always", Fault::ResetBefore),
    ] {
        cases.push(case(LAST_MARK, what).rule(rule(LAST_MARK, fault.clone())).ends(&[1], Wanted::Incomplete));
        cases.push(
            case(FIRST_MARK, what).rule(Rule::on("PUT", "^/metadata", fault)).ends(&[1], Wanted::Incomplete),
        );
    }
    let never = Rule::on(
        "PUT",
        "^/metadata",
        Fault::Status {
            status: 400,
            code: "METADATA_IS_NOT_SUPPORTED_FOR_ENTITY".to_owned(),
            retry_after: None,
            executed: false,
        },
    );
    let never = case(FIRST_MARK, "the array stores no metadata").rule(never);
    cases.push(never.ends(&[1], Wanted::Unmarked).says("METADATA_IS_NOT_SUPPORTED_FOR_ENTITY"));
    play(cases)
}
