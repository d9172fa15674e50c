//! The database's clock against its SCNs, as far as logs and checkpoints tell.

use super::catalogue::{Catalogue, Scn};
use super::files::Aim;
use super::path::Path;
use super::reason::Reason;

/// What is known: at this SCN the clock had this second.
fn points(catalogue: &Catalogue, path: &Path) -> Vec<(Scn, i64)> {
    let mut points = Vec::new();
    let mut add = |resetlogs: Scn, scn: Scn, time: Option<i64>| {
        if let (Some(time), Some(segment)) = (time, path.find(resetlogs)) {
            if scn <= segment.end {
                points.push((scn, time));
            }
        }
    };
    for log in &catalogue.logs {
        add(log.resetlogs, log.first, log.first_time);
        add(log.resetlogs, log.next, log.next_time);
    }
    for item in &catalogue.datafiles {
        add(item.resetlogs, item.checkpoint, item.time);
    }
    for item in &catalogue.controlfiles {
        add(item.resetlogs, item.checkpoint, item.time);
    }
    points.sort_unstable();
    points.dedup();
    points
}

/// What "before this second" is in SCNs: it ends above the last SCN known to be before it, and at the first known to be
/// in it or later.
///
/// # Errors
/// The time is after all that is known.
pub fn aim(catalogue: &Catalogue, path: &Path, time: i64) -> Result<Aim, Reason> {
    let points = points(catalogue, path);
    let last = points.iter().map(|(_, t)| *t).max();
    let Some(&(end, _)) = points.iter().find(|(_, t)| *t >= time) else {
        return Err(Reason::Time { time, last });
    };
    let below = points.iter().take_while(|(scn, _)| *scn < end).map(|(scn, _)| *scn).max();
    Ok(Aim { base: below.map_or(0, |b| b + 1), end })
}

/// The time at an SCN, when something tells of that very SCN.
pub fn time_of(catalogue: &Catalogue, path: &Path, scn: Scn) -> Option<i64> {
    let of_logs = catalogue.logs.iter().filter(|l| path.find(l.resetlogs).is_some()).find_map(|l| {
        if l.next == scn {
            l.next_time
        } else if l.first == scn {
            l.first_time
        } else {
            None
        }
    });
    of_logs.or_else(|| catalogue.datafiles.iter().filter(|d| d.checkpoint == scn).find_map(|d| d.time))
}

/// Seconds of "YYYY-MM-DD HH:MM:SS" (also with T, fractions and a zone that is not looked at: the database's clock).
pub fn seconds(text: &str) -> Option<i64> {
    let text = text.trim();
    let number = |range: std::ops::Range<usize>| text.get(range)?.parse::<u32>().ok();
    let separators = text.as_bytes();
    if separators.len() < 19 || separators[4] != b'-' || separators[7] != b'-' || separators[13] != b':' {
        return None;
    }
    let date = chrono::NaiveDate::from_ymd_opt(number(0..4)? as i32, number(5..7)?, number(8..10)?)?;
    let at = date.and_hms_opt(number(11..13)?, number(14..16)?, number(17..19)?)?;
    Some(at.and_utc().timestamp())
}

/// The seconds as "YYYY-MM-DD HH:MM:SS".
pub fn text(seconds: i64) -> String {
    chrono::DateTime::from_timestamp(seconds, 0)
        .map_or_else(|| seconds.to_string(), |t| t.format("%Y-%m-%d %H:%M:%S").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_is_read_in_all_the_forms_that_records_have() {
        let expected = Some(1_791_082_272);
        for form in ["2026-10-04T02:51:12", "2026-10-04 02:51:12", "2026-10-04T02:51:12.123Z"] {
            assert_eq!(seconds(form), expected, "{form}");
        }
        assert_eq!(text(1_791_082_272), "2026-10-04 02:51:12");
        for form in ["", "2026-10-04", "04/10/2026 02:51:12", "2026-13-04 02:51:12", "2026-10-04 02:51:1é"] {
            assert_eq!(seconds(form), None, "{form}");
        }
    }
}
