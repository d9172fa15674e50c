//! kill -9 at every step of the dialogue, and a second run after it.

use std::time::Duration;

use anyhow::{ensure, Result};
use rig::smtp::{Manners, Step};
use rustix::process::Signal;

use crate::pair::{said, Pair};

const STEPS: [Step; 9] = [
    Step::Banner,
    Step::Ehlo,
    Step::Mail,
    Step::Rcpt,
    Step::Data,
    Step::Body,
    Step::Dot,
    Step::Stored,
    Step::Answered,
];

#[test]
fn a_run_that_is_killed_at_any_step_loses_no_mail_and_sends_none_twice() -> Result<()> {
    for step in STEPS {
        let pair = Pair::new(Manners { hold: Some(step), ..Manners::default() })?;
        let mut started = pair.patient("20s")?.limit(Duration::from_secs(30)).start()?;
        if step == Step::Answered {
            // Nothing of the tool can be seen between the answer and the end of the file but the file.
            started.until(Duration::from_secs(10), "the mail has left the spool", |_| {
                Ok(pair.server.holds() && pair.waiting().is_empty())
            })?;
        } else {
            started.until(Duration::from_secs(10), "the step", |_| Ok(pair.server.holds()))?;
            ensure!(pair.waiting().len() == 1, "{step:?}: the mail is not in the spool");
        }
        if started.is_running()? {
            started.signal(Signal::KILL)?;
        }
        drop(started);
        pair.server.change(Manners::default());
        pair.server.release();
        let outcome = pair.tool()?.stdin("").arg("--flush").run()?.expect(0)?;
        let mut received = pair.server.received();
        let copies = received.len();
        received.dedup_by(|a, b| a.bytes == b.bytes && a.header("Message-ID") == b.header("Message-ID"));
        ensure!(received.len() == 1, "{step:?}: {copies} mails\n{}", said(&outcome));
        // Only where the whole mail was on its way and the run died before the answer can there be a second copy.
        let may = matches!(step, Step::Body | Step::Dot | Step::Stored);
        ensure!(copies == 1 || may, "{step:?}: {copies} copies\n{}", said(&outcome));
        ensure!(pair.waiting().is_empty() && pair.failed().is_empty(), "{step:?}: something is left");
    }
    Ok(())
}

#[test]
fn a_run_that_is_asked_to_stop_leaves_its_mail_in_the_spool_and_says_so() -> Result<()> {
    let pair = Pair::new(Manners { hold: Some(Step::Mail), ..Manners::default() })?;
    let mut started = pair.patient("30s")?.start()?;
    started.until(Duration::from_secs(10), "the step", |_| Ok(pair.server.holds()))?;
    started.signal(Signal::TERM)?;
    let outcome = started.wait()?.expect(143)?;
    ensure!(outcome.elapsed < Duration::from_secs(10), "{:?}", outcome.elapsed);
    ensure!(pair.waiting().len() == 1, "{}", said(&outcome));
    pair.server.change(Manners::default());
    pair.server.release();
    pair.tool()?.stdin("").arg("--flush").run()?.expect(0)?;
    pair.server.expect(1)?;
    Ok(())
}

#[test]
fn two_runs_at_once_send_every_mail_once() -> Result<()> {
    let pair = Pair::new(Manners { drip: Some(Duration::from_micros(200)), ..Manners::default() })?;
    let started: Vec<_> = (0..6).map(|_| pair.tool()?.start()).collect::<Result<_>>()?;
    for one in started {
        one.wait()?.expect(0)?;
    }
    let received = pair.server.expect(6)?;
    let ids: std::collections::BTreeSet<_> = received.iter().filter_map(|m| m.header("Message-ID")).collect();
    ensure!(ids.len() == 6 && pair.waiting().is_empty(), "{ids:?}");
    Ok(())
}
