use common::exit::Exit;
use common::record::Recovery;
use proptest::prelude::*;

use super::journal::Journal;
use super::plan::{may_begin, next, start_managed, Situation, Step};
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
    Journal { dbid: 7, recovery, ..Journal::default() }
}

/// What a step does to a standby.
fn after(step: Step, mut now: Situation) -> Situation {
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
    assert_eq!(may_begin(&mounted()).unwrap(), Recovery::Manual);
    assert_eq!(may_begin(&Situation { managed: true, ..mounted() }).unwrap(), Recovery::Managed);
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
            2 => Situation { state: Some(State::Started), ..Situation::default() },
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
