use common::exit::Exit;
use common::record::Recovery;
use proptest::prelude::*;

use super::journal::Journal;
use super::plan::{may_begin, next, recovery, start_managed, Situation, Step, Surroundings};
use crate::restore::database::State;

fn mounted() -> Situation {
    Situation {
        state: Some(State::Mounted),
        open_mode: "MOUNTED".to_owned(),
        standby: true,
        name: "PROD".to_owned(),
        dbid: 7,
        release: 19,
        ..Situation::default()
    }
}

fn journal(recovery: Recovery) -> Journal {
    Journal { dbid: 7, db: "PROD".to_owned(), recovery, ..Journal::default() }
}

/// What a step does to a standby.
fn after(step: Step, mut now: Situation) -> Situation {
    // The parameter file names it.
    now.name = "PROD".to_owned();
    let (state, mode) = match step {
        Step::Shutdown => (State::Down, ""),
        Step::Startup => (State::Started, ""),
        Step::Mount => (State::Mounted, "MOUNTED"),
        Step::StartManaged => {
            now.managed = true;
            return now;
        }
        Step::Done => return now,
    };
    now.state = Some(state);
    now.open_mode = mode.to_owned();
    now.managed = false;
    if state == State::Mounted {
        now.standby = true;
        now.dbid = 7;
    }
    now
}

#[test]
fn a_drill_begins_only_with_a_mounted_standby() {
    may_begin(&mounted()).unwrap();
    let refused = [
        Situation { standby: false, ..mounted() },
        Situation { state: Some(State::Open), open_mode: "READ ONLY".to_owned(), ..mounted() },
        Situation {
            state: Some(State::Open),
            standby: false,
            open_mode: "READ WRITE".to_owned(),
            ..mounted()
        },
        Situation { state: Some(State::Down), ..Situation::default() },
        Situation { state: Some(State::Started), ..Situation::default() },
    ];
    for now in refused {
        assert_eq!(may_begin(&now).unwrap_err().exit, Exit::Refused, "{now:?}");
    }
}

/// Enterprise Edition, and nothing that stands in the way.
fn around() -> Surroundings {
    Surroundings {
        protection: "MAXIMUM PERFORMANCE".to_owned(),
        instances: 1,
        managed_possible: true,
        parameter_file: true,
        ..Surroundings::default()
    }
}

#[test]
fn a_drill_begins_only_where_it_can_put_back_what_was() {
    let managed = Situation { managed: true, ..mounted() };
    assert_eq!(recovery(&managed, &around(), false).unwrap(), Recovery::Managed);
    assert_eq!(recovery(&mounted(), &around(), true).unwrap(), Recovery::Manual);
    let standard = Surroundings { managed_possible: false, ..around() };
    assert_eq!(recovery(&mounted(), &standard, false).unwrap(), Recovery::Manual);
    let available = Surroundings { protection: "MAXIMUM AVAILABILITY".to_owned(), ..around() };
    recovery(&managed, &available, false).unwrap();
    for (around, what) in [
        (Surroundings { broker: true, ..around() }, "broker"),
        (Surroundings { instances: 2, ..around() }, "2 instances"),
        (Surroundings { protection: "MAXIMUM PROTECTION".to_owned(), ..around() }, "maximum protection"),
        (Surroundings { parameter_file: false, ..around() }, "no spfile"),
    ] {
        for now in [&managed, &mounted()] {
            let error = recovery(now, &around, true).unwrap_err();
            assert!(error.exit == Exit::Refused && error.message.contains(what), "{}", error.message);
        }
    }
    let dead = recovery(&mounted(), &around(), false).unwrap_err();
    assert!(dead.exit == Exit::Refused && dead.message.contains("MRP is not running"), "{}", dead.message);
    let receives = Surroundings { receives: true, ..around() };
    assert!(recovery(&mounted(), &receives, true).unwrap_err().message.contains("RFS"));
    recovery(&managed, &receives, false).unwrap();
}

#[test]
fn an_instance_without_its_parameter_file_is_shut_down_and_a_strange_one_is_not() {
    let journal = journal(Recovery::Managed);
    let started =
        |name: &str| Situation { state: Some(State::Started), name: name.to_owned(), ..Situation::default() };
    assert_eq!(next(&started("DUMMY"), &journal).unwrap(), Step::Shutdown);
    assert_eq!(next(&started("prod"), &journal).unwrap(), Step::Mount);
    assert_eq!(next(&started("TEST"), &journal).unwrap_err().exit, Exit::Refused);
}

#[test]
fn a_database_that_was_activated_is_never_touched() {
    let journal = journal(Recovery::Managed);
    for (standby, mode) in
        [(false, "READ WRITE"), (false, "MOUNTED"), (true, "READ WRITE"), (false, "READ ONLY")]
    {
        let state = if mode == "MOUNTED" { State::Mounted } else { State::Open };
        let now = Situation { state: Some(state), standby, open_mode: mode.to_owned(), ..mounted() };
        assert_eq!(next(&now, &journal).unwrap_err().exit, Exit::Refused, "{now:?}");
    }
    let other = Situation { dbid: 8, ..mounted() };
    assert_eq!(next(&other, &journal).unwrap_err().exit, Exit::Refused);
}

#[test]
fn managed_recovery_is_started_as_it_ran() {
    let text =
        |real_time, release| start_managed(&Journal { real_time, ..journal(Recovery::Managed) }, release);
    assert!(text(true, 11).contains("USING CURRENT LOGFILE"));
    assert!(text(true, 19).contains("USING CURRENT LOGFILE"));
    assert!(text(false, 19).contains("USING ARCHIVED LOGFILE"));
    assert!(!text(false, 11).contains("USING"));
}

proptest! {
    /// From wherever it was left, in a few steps it is mounted and recovering as before, and never opened on the way.
    #[test]
    fn every_way_leads_back(state in 0..5u8, managed: bool, was_managed: bool) {
        let journal = journal(if was_managed { Recovery::Managed } else { Recovery::Manual });
        let mut now = match state {
            0 => Situation { state: None, ..Situation::default() },
            1 => Situation { state: Some(State::Down), ..Situation::default() },
            2 => Situation { state: Some(State::Started), name: "PROD".to_owned(), ..Situation::default() },
            3 => Situation { managed, ..mounted() },
            _ => Situation {
                state: Some(State::Open),
                open_mode: if managed { "READ ONLY WITH APPLY" } else { "READ ONLY" }.to_owned(),
                managed,
                ..mounted()
            },
        };
        let mut steps = 0;
        loop {
            let step = next(&now, &journal).unwrap();
            if step == Step::Done {
                break;
            }
            now = after(step, now);
            steps += 1;
            prop_assert!(steps <= 4, "{now:?}");
        }
        prop_assert!(now.state == Some(State::Mounted) && now.standby);
        prop_assert!(!was_managed || now.managed);
    }
}
