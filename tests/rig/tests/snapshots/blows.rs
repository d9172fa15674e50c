//! Every step of a run with every signal, SIGKILL among them, with the keeper, and with the whole host.

use anyhow::{ensure, Result};
use rustix::process::Signal;

use crate::bench::Bench;
use crate::case::{open, statement_open, Blow, Case, Moment, Shape, Wanted};
use crate::proof::{judge, sets, State};
use crate::stage::{play, without_reader};
use ibsim::{Config, Rule};

/// How long a step is held open: the blow falls into it.
const HELD: u64 = 900;

struct Step {
    name: &'static str,
    /// The request that is held open, or the statement.
    held: Held,
    /// What a run that is stopped here, and knows it, leaves.
    leaves: Wanted,
}

enum Held {
    Request(&'static str, &'static str, &'static str, usize),
    Statement(&'static str),
}

fn steps() -> Vec<Step> {
    let step = |name, held, leaves| Step { name, held, leaves };
    vec![
        step("the look for volumes", Held::Request("GET", r"^/volumes\?.*name=", "", 1), Wanted::Nothing),
        step("BEGIN BACKUP", Held::Statement("BEGIN BACKUP"), Wanted::NoSet),
        step("the group snapshot", Held::Request("POST", "^/volumes/group_snapshot", "", 1), Wanted::NoSet),
        step("the first mark", Held::Request("PUT", "^/metadata", "incomplete", 1), Wanted::NoSet),
        step("END BACKUP", Held::Statement("END BACKUP"), Wanted::Incomplete),
        step("ARCHIVE LOG CURRENT", Held::Statement("ARCHIVE LOG CURRENT"), Wanted::Incomplete),
        step("the archive snapshot", Held::Request("POST", "^/volumes$", "", 1), Wanted::Truth),
        step(
            "the mark of a complete set",
            Held::Request("PUT", "^/metadata", "\"complete", 1),
            Wanted::Truth,
        ),
        step("the last mark", Held::Request("PUT", "^/metadata", "\"complete", 4), Wanted::Truth),
    ]
}

impl Step {
    fn case(&self, what: &str, blow: Blow) -> Case {
        let case = Case::new(format!("{}: {what}", self.name));
        match self.held {
            Held::Request(method, path, body, n) => {
                let rule = Rule::on(method, path, open(HELD)).body(body).nth(n);
                // Requests before it, with the same path and another body, are those of the first marks.
                let before = if body == "\"complete" { 3 } else { 0 };
                case.rule(rule).blow(Moment::Request(method, path, before + n), blow)
            }
            Held::Statement(text) => {
                let seconds = HELD as f64 / 1000.0;
                case.database(text, statement_open(seconds), Some(1)).blow(Moment::Statement(text), blow)
            }
        }
    }
}

#[test]
fn int_and_term_and_hup() -> Result<()> {
    let mut cases = Vec::new();
    for step in steps() {
        for (signal, status) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 143)] {
            let case = step.case(&format!("{signal:?}"), Blow::Signal(signal));
            cases.push(case.ends(&[status], step.leaves));
        }
    }
    for step in steps().into_iter().filter(|s| matches!(s.name, "the group snapshot" | "END BACKUP")) {
        let case = step.case("INT three times", Blow::Thrice(Signal::INT));
        cases.push(case.ends(&[130], Wanted::NoSet));
    }
    play(cases)
}

#[test]
fn kill() -> Result<()> {
    let mut cases = Vec::new();
    for step in steps() {
        let leaves = match step.leaves {
            Wanted::Incomplete => Wanted::NoSet,
            other => other,
        };
        let killed = |what, blow| step.case(what, blow).ends(&[], leaves);
        cases.push(killed("KILL", Blow::Signal(Signal::KILL)));
        cases.push(killed("KILL of its process group", Blow::Group));
    }
    play(cases)
}

#[test]
fn the_host_the_keeper_and_a_tool_that_stands_still() -> Result<()> {
    let mut cases = Vec::new();
    for step in steps() {
        let at = |names: &[&str]| names.contains(&step.name);
        if at(&["BEGIN BACKUP", "the group snapshot", "END BACKUP", "the archive snapshot"]) {
            let leaves = if step.leaves == Wanted::Incomplete { Wanted::NoSet } else { step.leaves };
            cases.push(step.case("the host goes down", Blow::Host).ends(&[], leaves));
        }
        if at(&["the group snapshot", "the archive snapshot"]) {
            // Another keeper takes over.
            cases.push(step.case("the keeper is killed", Blow::Keeper).ends(&[0, 2], Wanted::Truth));
        }
        if at(&["the group snapshot"]) {
            const END: &str = "ALTER DATABASE END BACKUP";
            const BEGIN: &str = "ALTER DATABASE BEGIN BACKUP";
            let case = step.case("somebody ends backup mode", Blow::Dba(&[END]));
            cases.push(case.ends(&[2], Wanted::NoSet));
            let case = step.case("somebody ends backup mode and begins another", Blow::Dba(&[END, BEGIN]));
            cases.push(case.ends(&[2], Wanted::NoSet));
        }
        if at(&["the group snapshot", "END BACKUP"]) {
            let case = step.case("the tool stands still for longer than backup mode may last", Blow::Stop(9));
            cases.push(case.ends(&[0, 2, 124], Wanted::Truth));
        }
    }
    play(cases)
}

#[test]
fn nobody_reads_what_it_says() -> Result<()> {
    let bench = Bench::new()?;
    let place = bench.place(Config::default())?;
    let shape = Shape::whole();
    let (status, signal, said) = without_reader(&bench, &place, &shape)?;
    ensure!(bench.db.in_backup_mode()? == 0, "in backup mode");
    // It cannot give receipts: that is no success.
    ensure!(status != Some(0) && signal.is_none(), "{status:?} {signal:?} {said}");
    for set in sets(&place)?.values() {
        let state = judge(set, &shape)?;
        ensure!(state != State::Unmarked, "{state:?}\n{said}");
    }
    place.without_keeper()?;
    bench.db.check_journal(&[crate::bench::SYS_PASSWORD, ibsim::PASSWORD])
}
