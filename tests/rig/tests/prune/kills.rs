//! Runs that are killed, stopped, or meet another one.

use std::time::Duration;

use ibsim::{Fault, Rule};
use rustix::process::Signal;

use crate::stage::Stage;

const AGES: [i64; 4] = [60, 50, 40, 1];
const SOON: Duration = Duration::from_secs(20);

#[test]
fn killed_at_any_deletion_it_is_finished_by_the_next_run() {
    for (n, executed) in (1..=6).flat_map(|n| [(n, false), (n, true)]) {
        let stage = Stage::prod(&AGES).unwrap();
        let fault = if executed { Fault::HangAfter } else { Fault::Hang };
        stage.array.faults(vec![Rule::on("DELETE", "", fault).nth(n)]).unwrap();
        let tool = stage.tool_within("60s").unwrap();
        let mut run = tool.start().unwrap();
        run.until(SOON, "the deletion", |_| Ok(stage.array.count("DELETE", "") == n)).unwrap();
        std::thread::sleep(Duration::from_millis(20));
        run.signal(Signal::KILL).unwrap();
        let outcome = run.wait().unwrap();
        assert_eq!(outcome.signal, Some(9));
        let done = if executed { n } else { n - 1 };
        assert_eq!(stage.ids().len(), 8 - done);
        for (data, archive) in &stage.sets {
            let there = stage.ids();
            assert!(!there.contains(&data[0]) || there.contains(&archive[0]), "{n}");
        }
        // Receipts for what is surely gone, never for more.
        assert_eq!(outcome.of("removed").len(), n - 1);
        stage.array.faults(vec![]).unwrap();
        let next = stage.tool().unwrap().run().unwrap().expect(0).unwrap();
        assert_eq!(next.count("removed") as usize, 6 - done);
        assert_eq!(stage.whole(), [3]);
        assert_eq!(stage.ids().len(), 2);
    }
}

#[test]
fn a_signal_ends_it_after_the_set_at_hand() {
    for (signal, status) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 143)] {
        let stage = Stage::prod(&AGES).unwrap();
        let slow = Fault::slow_answer(Duration::from_millis(400));
        stage.array.faults(vec![Rule::on("DELETE", "", slow).nth(1)]).unwrap();
        let before = stage.there();
        let mut run = stage.tool().unwrap().start().unwrap();
        run.until(SOON, "the deletion", |_| Ok(stage.array.count("DELETE", "") == 1)).unwrap();
        run.signal(signal).unwrap();
        let outcome = run.wait().unwrap().expect(status).unwrap();
        stage.check(&before, &outcome, &[]).unwrap();
        assert_eq!(stage.whole(), [1, 2, 3]);
        assert_eq!((outcome.count("removed"), stage.ids().len()), (2, 6));
        stage.tool().unwrap().run().unwrap().expect(0).unwrap();
        assert_eq!(stage.whole(), [3]);
    }
}

#[test]
fn two_runs_do_not_meet() {
    let stage = Stage::prod(&AGES).unwrap();
    let slow = Fault::slow_answer(Duration::from_millis(1500));
    stage.array.faults(vec![Rule::on("DELETE", "", slow).nth(1)]).unwrap();
    let before = stage.there();
    let mut first = stage.tool().unwrap().start().unwrap();
    first.until(SOON, "the deletion", |_| Ok(stage.array.count("DELETE", "") == 1)).unwrap();
    let second = stage.tool().unwrap().run().unwrap().expect(75).unwrap();
    assert!(second.stderr.contains("is held by ib-prune"), "{}", second.stderr);
    // A dry run needs no lock.
    stage.tool().unwrap().arg("--dry-run").run().unwrap().expect(0).unwrap();
    let outcome = first.wait().unwrap().expect(0).unwrap();
    stage.check(&before, &outcome, &[]).unwrap();
    assert_eq!(stage.whole(), [3]);
}
