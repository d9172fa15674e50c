//! Numbers, sizes, durations and dates as the reader writes them.

use chrono::{DateTime, Local, TimeZone, Utc};

use crate::cli::Language;

/// 1234567 as `1,234,567` or `1.234.567`.
pub fn number(language: Language, n: u64) -> String {
    let separator = match language {
        Language::En => ',',
        Language::Pt => '.',
    };
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(separator);
        }
        text.push(digit);
    }
    text
}

fn decimal(language: Language, x: f64, places: usize) -> String {
    let text = format!("{x:.places$}");
    match language {
        Language::En => text,
        Language::Pt => text.replace('.', ","),
    }
}

/// Bytes in the largest binary unit that leaves at least 1.
pub fn size(language: Language, bytes: u64) -> String {
    const UNITS: [&str; 7] = ["bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1023.95 && unit < UNITS.len() - 1 {
        value /= 1024.0;
        unit += 1;
    }
    match unit {
        0 => format!("{} bytes", number(language, bytes)),
        _ => format!("{} {}", decimal(language, value, 1), UNITS[unit]),
    }
}

/// Seconds as `4.2 s`, `12 min 3 s`, `3 h 05 min`, `2 d 4 h`.
pub fn duration(language: Language, seconds: f64) -> String {
    // What is no number or below zero comes from a clock that was set; nothing was measured then.
    let seconds = if seconds.is_finite() { seconds.clamp(0.0, 1e12) } else { 0.0 };
    if seconds < 59.95 {
        return format!("{} s", decimal(language, seconds, 1));
    }
    let whole = seconds.round() as u64;
    let (days, hours, minutes, rest) = (whole / 86400, whole / 3600 % 24, whole / 60 % 60, whole % 60);
    match (days, whole / 3600) {
        (0, 0) => format!("{minutes} min {rest} s"),
        (0, _) => format!("{hours} h {minutes:02} min"),
        _ => format!("{} d {hours} h", number(language, days)),
    }
}

/// A share as a whole per cent. Only all is 100 and only nothing is 0.
pub fn percent(part: u64, whole: u64) -> u64 {
    if whole == 0 || part >= whole {
        return 100;
    }
    let percent = (u128::from(part) * 100 / u128::from(whole)) as u64;
    percent.clamp(u64::from(part > 0), 99)
}

/// Date and time of this host's zone, to the minute.
pub fn time(language: Language, at: DateTime<Utc>) -> String {
    time_in(language, at, &Local)
}

/// The zone's offset at a moment, as `UTC-03:00`.
pub fn zone(at: DateTime<Utc>) -> String {
    format!("UTC{}", at.with_timezone(&Local).format("%:z"))
}

/// Day and month only, for a chart.
pub fn day(language: Language, at: DateTime<Utc>) -> String {
    let form = match language {
        Language::En => "%m-%d %H:%M",
        Language::Pt => "%d/%m %H:%M",
    };
    at.with_timezone(&Local).format(form).to_string()
}

fn time_in<Z: TimeZone>(language: Language, at: DateTime<Utc>, zone: &Z) -> String
where
    Z::Offset: std::fmt::Display,
{
    let form = match language {
        Language::En => "%Y-%m-%d %H:%M",
        Language::Pt => "%d/%m/%Y %H:%M",
    };
    at.with_timezone(zone).format(form).to_string()
}

/// A time of a record; `None` when it is none.
pub fn parse(text: &str) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc3339(text).ok().map(|t| t.with_timezone(&Utc))
}

/// At most `max` characters, the rest as `…`.
pub fn cut(text: &str, max: usize) -> String {
    match text.char_indices().nth(max) {
        None => text.to_owned(),
        Some(_) => {
            let keep = text.char_indices().nth(max.saturating_sub(1)).map_or(0, |(at, _)| at);
            format!("{}…", &text[..keep])
        }
    }
}

/// One line of visible characters: what a terminal or a mail reader would act on becomes a blank.
pub fn clean(text: &str, max: usize) -> String {
    let harmless = |c: char| {
        let direction =
            matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}');
        let outside = matches!(c, '\u{fffe}' | '\u{ffff}' | '\u{feff}' | '\u{2028}' | '\u{2029}');
        !(c.is_control() || direction || outside)
    };
    let line: String =
        text.chars().take(max.saturating_mul(2)).map(|c| if harmless(c) { c } else { ' ' }).collect();
    cut(line.trim_end(), max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_sizes_follow_the_language() {
        assert_eq!(number(Language::En, 1_234_567), "1,234,567");
        assert_eq!(number(Language::Pt, 1_234_567), "1.234.567");
        assert_eq!(number(Language::Pt, 999), "999");
        assert_eq!(size(Language::Pt, 1536), "1,5 KiB");
        assert_eq!(size(Language::En, 1 << 30), "1.0 GiB");
        assert_eq!(size(Language::En, (1 << 20) - 1), "1.0 MiB");
        assert_eq!(size(Language::En, u64::MAX), "16.0 EiB");
        assert_eq!(size(Language::Pt, 1023), "1.023 bytes");
    }

    #[test]
    fn durations_have_two_units_at_most() {
        let show = |s| duration(Language::Pt, s);
        assert_eq!(show(4.25), "4,2 s");
        assert_eq!(show(59.99), "1 min 0 s");
        assert_eq!(show(753.0), "12 min 33 s");
        assert_eq!(show(11100.0), "3 h 05 min");
        assert_eq!(show(187_200.0), "2 d 4 h");
        assert_eq!(show(f64::NAN), "0,0 s");
        assert_eq!(show(-3.0), "0,0 s");
    }

    #[test]
    fn ninety_nine_and_a_half_per_cent_are_not_all() {
        assert_eq!(percent(999, 1000), 99);
        assert_eq!(percent(1, 1000), 1);
        assert_eq!(percent(0, 10), 0);
        assert_eq!(percent(0, 0), 100);
        assert_eq!(percent(u64::MAX - 1, u64::MAX), 99);
    }

    #[test]
    fn dates_follow_the_language() {
        let at = parse("2026-11-05T23:15:59.123Z").unwrap();
        let zone = chrono::FixedOffset::west_opt(3 * 3600).unwrap();
        assert_eq!(time_in(Language::Pt, at, &zone), "05/11/2026 20:15");
        assert_eq!(time_in(Language::En, at, &zone), "2026-11-05 20:15");
        assert_eq!(parse("yesterday"), None);
    }

    #[test]
    fn a_line_is_cut_at_a_character_and_carries_no_control() {
        assert_eq!(cut("ação", 4), "ação");
        assert_eq!(cut("açãozinha", 4), "açã…");
        assert_eq!(cut("abc", 0), "…");
        assert_eq!(clean("a\x1b[31mb\r\nc\u{202e}d", 50), "a [31mb  c d");
    }
}
