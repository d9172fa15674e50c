//! Oracle's 32-bit time: seconds in years of twelve 31-day months since 1988; RESETLOGS_ID and STAMP are the same number.

use chrono::{Datelike, Local, NaiveDate, NaiveDateTime, Timelike};

/// Seconds precision; years before 1988 become 0.
pub fn pack(t: NaiveDateTime) -> u32 {
    let years = u32::try_from(t.year() - 1988).unwrap_or(0);
    ((((years * 12 + t.month0()) * 31 + t.day0()) * 24 + t.hour()) * 60 + t.minute()) * 60 + t.second()
}

/// `None` for a number that is no date, such as 0xFFFFFFFF or the 31st of February.
pub fn unpack(packed: u32) -> Option<NaiveDateTime> {
    let (rest, second) = (packed / 60, packed % 60);
    let (rest, minute) = (rest / 60, rest % 60);
    let (rest, hour) = (rest / 24, rest % 24);
    let (rest, day) = (rest / 31, rest % 31);
    let (years, month) = (rest / 12, rest % 12);
    NaiveDate::from_ymd_opt(i32::try_from(years).ok()? + 1988, month + 1, day + 1)?
        .and_hms_opt(hour, minute, second)
}

/// The database's clock, in whole seconds as DATE has them.
pub fn now() -> NaiveDateTime {
    Local::now().naive_local().with_nanosecond(0).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_of_real_backups_decode_to_their_dates() {
        for (stamp, text) in [
            (1_245_751_741, "2026-10-04 10:09:01"),
            (917_076_670, "2016-07-13 07:31:10"),
            (1_197_553_613, "2025-04-04 13:46:53"),
        ] {
            let time = unpack(stamp).unwrap();
            assert_eq!(time.to_string(), text);
            assert_eq!(pack(time), stamp);
        }
    }
}
