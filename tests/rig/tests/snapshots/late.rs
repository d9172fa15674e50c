//! Requests that the array executes when nobody reckons with it any more, and arrays that fall silent in the middle.

use std::time::Duration;

use anyhow::Result;
use ibsim::{Change, Fault, Lost, Rule};

use crate::case::{Case, Shape, Wanted};
use crate::stage::play;

const TOGETHER: &str = "^/volumes/group_snapshot";
const ALONE: &str = r"^/volumes(\?|$)";

/// Later than the end of backup mode, which is 3 s after its beginning here.
fn late(ms: u64, answer: Lost) -> Fault {
    Fault::late(Duration::from_millis(ms), answer)
}

#[test]
fn snapshots_after_end_backup() -> Result<()> {
    let case = |what: &str| Case::new(format!("late: {what}")).ends(&[2, 124], Wanted::NoSet);
    play(vec![
        case("one request of all, executed after END BACKUP")
            .rule(Rule::on("POST", TOGETHER, late(3600, Lost::Silence)).nth(1))
            .rule(Rule::on("POST", TOGETHER, Fault::Hang)),
        case("every request, executed one after the other after END BACKUP").rule(Rule::on(
            "POST",
            TOGETHER,
            late(4000, Lost::Silence),
        )),
        case("every request, executed long after the run").rule(Rule::on(
            "POST",
            TOGETHER,
            late(11_000, Lost::Silence),
        )),
        case("every request, reset at once and executed after END BACKUP").rule(Rule::on(
            "POST",
            TOGETHER,
            late(2500, Lost::Reset),
        )),
        case("every request, 500 and executed after END BACKUP").rule(Rule::on(
            "POST",
            TOGETHER,
            late(2500, Lost::Status(500)),
        )),
        case("the second of three, executed after END BACKUP")
            .shape(Shape::separate())
            .rule(Rule::on("POST", ALONE, late(3600, Lost::Silence)).body("DATA2"))
            .ends(&[2, 124], Wanted::Incomplete),
        case("of a consistency group, executed after END BACKUP").shape(Shape::group()).rule(Rule::on(
            "POST",
            "^/cgs",
            late(3600, Lost::Silence),
        )),
        case("one volume, executed after END BACKUP, and locked")
            .shape(Shape::single())
            .args(&["--lock-until", "1h"])
            .rule(Rule::on("POST", ALONE, late(3600, Lost::Silence)).body("orasync_data")),
        // The array's clock says that it was in time, and it was not: the clock went back meanwhile.
        case("and the array's clock went back")
            .rule(Rule::on("POST", TOGETHER, late(3600, Lost::Silence)))
            .rule(Rule::on(
                "GET",
                r"^/volumes\?.*name=eq.*orasync_data",
                Fault::Before(vec![Change::Clock(0)]),
            )),
    ])
}

#[test]
fn an_array_that_falls_silent() -> Result<()> {
    let silent_from = |method: &str, path: &str, body: &str, executed: bool| {
        // The request itself, and everything after it.
        let fault = if executed { Fault::HangAfter } else { Fault::Hang };
        vec![Rule::on(method, path, fault).body(body)]
    };
    let mut cases = Vec::new();
    for (what, method, path, body) in [
        ("the group snapshot", "POST", TOGETHER, ""),
        ("the archive snapshot", "POST", ALONE, "orasync_archive"),
    ] {
        for executed in [false, true] {
            let word = if executed { "executed" } else { "not executed" };
            let mut case = Case::new(format!("silent from {what} on, {word}"));
            for rule in silent_from(method, path, body, executed) {
                case = case.rule(rule);
            }
            // Neither a look for the snapshot nor a mark is answered.
            case = case
                .rule(
                    Rule::on("GET", r"^/volumes\?.*name=eq.*orasync_", Fault::Hang)
                        .which(ibsim::Which::From(5)),
                )
                .rule(Rule::on("GET", r"^/volumes/\d+$", Fault::Hang))
                .rule(Rule::on("PUT", "^/metadata", Fault::Hang));
            let (status, set): (&[i32], _) = match (what, executed) {
                ("the group snapshot", false) => (&[2, 124], Wanted::Nothing),
                ("the group snapshot", true) => (&[2, 124], Wanted::NoSet),
                _ => (&[1, 2, 124], Wanted::NoSet),
            };
            cases.push(case.ends(status, set).within(80));
        }
    }
    play(cases)
}
