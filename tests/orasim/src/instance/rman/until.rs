//! UNTIL: from words to what may be used.

use chrono::NaiveDateTime;

use crate::{
    controlfile::ControlFile,
    pieces::api::{Failure, Message, Until},
    pieces::select,
};

/// Where it ends: nothing at or after is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limit {
    /// `u64::MAX` without one.
    pub(super) scn: u64,
    pub(super) time: Option<NaiveDateTime>,
}

pub(super) fn resolve(control: &ControlFile, until: Option<&Until>) -> Result<Limit, Failure> {
    let fail = |code: u32, text: &str| Err(Failure::new(vec![Message::rman(code, text)]));
    let current = control.incarnation();
    let (start, began) = current.map_or((0, None), |i| (i.resetlogs_scn, Some(i.resetlogs_time)));
    match until {
        None => Ok(Limit { scn: u64::MAX, time: None }),
        Some(Until::Scn(scn)) => {
            if *scn < start {
                return fail(20208, "UNTIL CHANGE is before RESETLOGS change");
            }
            Ok(Limit { scn: *scn, time: None })
        }
        Some(Until::Time(time)) => {
            if began.is_some_and(|b| *time < b) {
                return fail(20207, "UNTIL TIME or RECOVERY WINDOW is before RESETLOGS time");
            }
            Ok(Limit { scn: u64::MAX, time: Some(*time) })
        }
        Some(Until::Sequence { thread, sequence }) => {
            let logs = select::known_logs(control);
            let line: Vec<u64> = control.lineage().iter().rev().map(|(i, _)| i.resetlogs_scn).collect();
            for resetlogs in line {
                let own = || logs.iter().filter(|l| l.thread == *thread && l.resetlogs_scn == resetlogs);
                if let Some(log) = own().find(|l| l.sequence == *sequence) {
                    return Ok(Limit { scn: log.first_scn, time: None });
                }
                if let Some(before) = own().find(|l| l.sequence + 1 == *sequence) {
                    return Ok(Limit { scn: before.next_scn, time: None });
                }
            }
            fail(20206, "log sequence not found in the recovery catalog")
        }
    }
}
