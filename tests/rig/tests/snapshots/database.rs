//! Every step at the database: it hangs, refuses, loses its session, lies, dies.

use std::time::Duration;

use anyhow::{ensure, Result};
use ibsim::Config;
use orasim::server::admin::Admin;
use orasim::server::fault::{Fault, Kind, When};

use crate::bench::Bench;
use crate::case::{Case, Shape, Wanted};
use crate::proof::{judge, sets, State};
use crate::stage::{play, said, snap};

fn hang(when: When) -> Kind {
    Kind::Hang { seconds: None, when }
}

fn lost(when: When) -> Kind {
    Kind::KillSession { when }
}

fn error(code: u32, text: &str) -> Kind {
    Kind::Error { code, text: text.to_owned() }
}

#[test]
fn begin_backup() -> Result<()> {
    let begin = |what: &str, kind, status: &[i32]| {
        Case::new(format!("BEGIN BACKUP: {what}"))
            .database("begin backup", kind, Some(1))
            .ends(status, Wanted::Nothing)
            .within(75)
    };
    play(vec![
        begin("hangs, not executed", hang(When::Before), &[2, 124]),
        begin("hangs, executed", hang(When::After), &[2, 124]),
        begin("the session is lost before", lost(When::Before), &[2, 75]),
        begin("the session is lost after", lost(When::After), &[2, 75]),
        begin("is refused", error(1146, "cannot start online backup - file 1 is already in backup"), &[2, 4]),
        begin("a checkpoint that cannot be made", error(1242, "data file suffered media failure"), &[2]),
        begin("says it was done and is not", Kind::Pretend, &[2]),
    ])
}

#[test]
fn end_backup() -> Result<()> {
    let end = |what: &str, kind| {
        Case::new(format!("END BACKUP: {what}")).database("end backup", kind, Some(1)).within(60)
    };
    play(vec![
        end("hangs once, not executed", hang(When::Before)),
        // Nobody can tell that from a backup mode that somebody else has ended.
        end("hangs once, executed", hang(When::After)).ends(&[0, 2], Wanted::Truth),
        end("the session is lost before", lost(When::Before)),
        end("the session is lost after", lost(When::After)).ends(&[0, 2], Wanted::Truth),
        end("an error once", error(604, "error occurred at recursive SQL level 1")),
        end("says it was done and is not", Kind::Pretend),
    ])
}

#[test]
fn looks_and_redo() -> Result<()> {
    let redo = |what: &str, pattern: &str, kind, times| {
        Case::new(format!("the redo: {what}"))
            .database(pattern, kind, times)
            .ends(&[1, 124], Wanted::Incomplete)
    };
    let look = |what: &str, pattern: &str, kind, status: &[i32]| {
        Case::new(format!("the database is looked at: {what}"))
            .database(pattern, kind, None)
            .ends(status, Wanted::Nothing)
    };
    play(vec![
        redo("ARCHIVE LOG CURRENT hangs", "archive log current", hang(When::Before), Some(1)),
        redo("ARCHIVE LOG CURRENT is refused", "archive log current", error(257, "archiver error"), Some(1)),
        redo("ARCHIVE LOG CURRENT does nothing", "archive log current", Kind::Pretend, Some(1)),
        redo("the session is lost at ARCHIVE LOG CURRENT", "archive log current", lost(When::After), Some(1)),
        redo("V$ARCHIVED_LOG hangs", r"from v\$archived_log", hang(When::Before), None),
        look("V$DATABASE hangs", r"from v\$database", hang(When::Before), &[75, 124]),
        look("V$DATAFILE hangs", r"from v\$datafile", hang(When::Before), &[75, 124]),
        look("V$DATABASE is refused", r"from v\$database", error(1034, "ORACLE not available"), &[75]),
        look("wrong password", "", Kind::LogonDenied, &[4, 64]),
        look("the logon takes for ever", "", Kind::LogonHang { seconds: 3600.0 }, &[75, 124]),
        look("the password has expired", "", Kind::Expired, &[2, 4, 64]),
    ])
}

/// The instance dies in the middle. Opened again, nothing is in backup mode and nothing counts that is none.
#[test]
fn the_database_dies() -> Result<()> {
    for (pattern, when) in
        [("begin backup", When::After), ("end backup", When::Before), ("archive log current", When::Before)]
    {
        let mut bench = Bench::new()?;
        let place = bench.place(Config::default())?;
        let shape = Shape::whole();
        let kind = Kind::Crash { when };
        bench.strike(&[Fault { pattern: pattern.to_owned(), kind, times: Some(1), skip: 0 }])?;
        let run = snap(&bench, &place, &shape)?.limit(Duration::from_secs(110)).start()?;
        // It comes back as a cluster manager brings it: mounted, and open if backup mode lets it.
        std::thread::sleep(Duration::from_millis(2500));
        bench.db.kill_daemon();
        bench.db.start()?;
        let outcome = run.wait()?;
        let told = || {
            format!(
                "{pattern} {when:?}: {:?} after {:?}\n{}",
                outcome.status,
                outcome.elapsed,
                said(&outcome)
            )
        };
        ensure!(matches!(outcome.status, Some(1 | 2 | 75 | 124)), "{}", told());
        ensure!(
            sets(&place)?.values().all(|s| judge(s, &shape).is_ok_and(|s| s == State::Incomplete)),
            "{}",
            told()
        );
        if bench.db.admin(Admin::State)? != "Open" {
            // Mounted: the files are ended one by one, and the run is refused.
            let next = snap(&bench, &place, &shape)?.run()?;
            ensure!(matches!(next.status, Some(4 | 75)), "{}\n{}", told(), said(&next));
            ensure!(bench.db.in_backup_mode()? == 0, "{}\n{}", told(), said(&next));
            bench.db.sql("ALTER DATABASE OPEN")?;
        }
        ensure!(bench.db.in_backup_mode()? == 0, "{}", told());
        let good = snap(&bench, &place, &shape)?.run()?.expect(0)?;
        let complete = sets(&place)?.into_values().filter(|s| s.is_marked_complete()).count();
        ensure!(complete == 1, "{}\n{}", told(), said(&good));
        place.without_keeper()?;
    }
    Ok(())
}
