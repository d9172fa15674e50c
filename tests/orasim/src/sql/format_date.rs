//! TO_CHAR and TO_DATE with Oracle's date models.

use chrono::{Datelike, Duration, NaiveDate, NaiveDateTime, Timelike};

use super::nls::{sysdate, Language, Nls};
use crate::engine::OraError;

const MODELS: [&str; 35] = [
    "SYYYY", "YYYY", "RRRR", "IYYY", "YYY", "YY", "RR", "Y", "MONTH", "MON", "MM", "MI", "DDD", "DD", "DAY",
    "DY", "D", "HH24", "HH12", "HH", "SSSSS", "SS", "FF", "AM", "PM", "A.M.", "P.M.", "IW", "WW", "W", "Q",
    "J", "TZH", "TZM", "TZR",
];

const MONTHS_EN: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const MONTHS_PT: [&str; 12] = [
    "Janeiro",
    "Fevereiro",
    "Março",
    "Abril",
    "Maio",
    "Junho",
    "Julho",
    "Agosto",
    "Setembro",
    "Outubro",
    "Novembro",
    "Dezembro",
];
const DAYS_EN: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const DAYS_PT: [&str; 7] =
    ["Domingo", "Segunda-Feira", "Terça-Feira", "Quarta-Feira", "Quinta-Feira", "Sexta-Feira", "Sábado"];

enum Piece {
    Model { name: &'static str, case: Case, digits: usize },
    Literal(String),
    ToggleFill,
}

#[derive(Clone, Copy)]
enum Case {
    Upper,
    Title,
    Lower,
}

fn pieces(format: &str) -> Result<Vec<Piece>, OraError> {
    let mut out = Vec::new();
    let mut rest = format;
    'next: while !rest.is_empty() {
        if let Some(tail) = rest.strip_prefix('"') {
            let (text, after) =
                tail.split_once('"').ok_or_else(|| OraError::new(1821, "date format not recognized"))?;
            out.push(Piece::Literal(text.into()));
            rest = after;
            continue;
        }
        let upper = rest.to_ascii_uppercase();
        if upper.starts_with("FM") || upper.starts_with("FX") {
            if upper.starts_with("FM") {
                out.push(Piece::ToggleFill);
            }
            rest = &rest[2..];
            continue;
        }
        for name in MODELS {
            if upper.starts_with(name) {
                let typed = &rest[..name.len()];
                let mut chars = typed.chars();
                let case = match (chars.next(), chars.next()) {
                    (Some(a), _) if a.is_lowercase() => Case::Lower,
                    (Some(_), Some(b)) if b.is_lowercase() => Case::Title,
                    _ => Case::Upper,
                };
                rest = &rest[name.len()..];
                let mut digits = 6;
                if name == "FF" {
                    if let Some(d) = rest.chars().next().and_then(|c| c.to_digit(10)) {
                        digits = d as usize;
                        rest = &rest[1..];
                    }
                }
                out.push(Piece::Model { name, case, digits });
                continue 'next;
            }
        }
        let c = rest.chars().next().unwrap_or(' ');
        if c.is_alphanumeric() {
            return Err(OraError::new(1821, "date format not recognized"));
        }
        out.push(Piece::Literal(c.into()));
        rest = &rest[c.len_utf8()..];
    }
    Ok(out)
}

fn cased(text: &str, case: Case) -> String {
    match case {
        Case::Upper => text.to_uppercase(),
        Case::Lower => text.to_lowercase(),
        Case::Title => text.to_string(),
    }
}

/// TO_CHAR(date, format).
///
/// # Errors
/// ORA-01821 for a format element that does not exist.
pub fn to_char(date: NaiveDateTime, format: &str, nls: &Nls) -> Result<String, OraError> {
    let (months, days) = match nls.language {
        Language::American => (&MONTHS_EN, &DAYS_EN),
        Language::Brazilian => (&MONTHS_PT, &DAYS_PT),
    };
    let mut fill = true;
    let mut out = String::new();
    for piece in pieces(format)? {
        let (name, case, digits) = match piece {
            Piece::Literal(text) => {
                out.push_str(&text);
                continue;
            }
            Piece::ToggleFill => {
                fill = !fill;
                continue;
            }
            Piece::Model { name, case, digits } => (name, case, digits),
        };
        let number = |value: u32, width: usize| {
            if fill {
                format!("{value:0width$}")
            } else {
                value.to_string()
            }
        };
        let year = date.year().unsigned_abs();
        let hour12 = match date.hour() % 12 {
            0 => 12,
            h => h,
        };
        let month = months[date.month0() as usize];
        let day = days[date.weekday().num_days_from_sunday() as usize];
        let pad = |text: String, width: usize| {
            if fill {
                format!("{text:<width$}")
            } else {
                text
            }
        };
        out.push_str(&match name {
            "SYYYY" => format!(" {}", number(year, 4)),
            "YYYY" | "RRRR" => number(year, 4),
            "IYYY" => number(date.iso_week().year().unsigned_abs(), 4),
            "YYY" => number(year % 1000, 3),
            "YY" | "RR" => number(year % 100, 2),
            "Y" => number(year % 10, 1),
            "MONTH" => pad(cased(month, case), 9),
            "MON" => cased(&month.chars().take(3).collect::<String>(), case),
            "MM" => number(date.month(), 2),
            "MI" => number(date.minute(), 2),
            "DDD" => number(date.ordinal(), 3),
            "DD" => number(date.day(), 2),
            "DAY" => pad(cased(day, case), 9),
            "DY" => cased(&day.chars().take(3).collect::<String>(), case),
            "D" => number(date.weekday().num_days_from_sunday() + 1, 1),
            "HH24" => number(date.hour(), 2),
            "HH12" | "HH" => number(hour12, 2),
            "SSSSS" => number(date.num_seconds_from_midnight(), 5),
            "SS" => number(date.second(), 2),
            "FF" => "0".repeat(digits),
            "AM" | "PM" => cased(if date.hour() < 12 { "AM" } else { "PM" }, case),
            "A.M." | "P.M." => cased(if date.hour() < 12 { "A.M." } else { "P.M." }, case),
            "IW" => number(date.iso_week().week(), 2),
            "WW" => number(date.ordinal0() / 7 + 1, 2),
            "W" => number(date.day0() / 7 + 1, 1),
            "Q" => number(date.month0() / 3 + 1, 1),
            "J" => (date.date().num_days_from_ce() + 1_721_425).to_string(),
            "TZH" => "+00".into(),
            "TZM" => "00".into(),
            _ => "UTC".into(),
        });
    }
    Ok(out)
}

/// TO_DATE(text, format).
///
/// # Errors
/// ORA-01830, 01839 … 01861 as Oracle has them.
pub fn to_date(text: &str, format: &str, nls: &Nls) -> Result<NaiveDateTime, OraError> {
    let months = match nls.language {
        Language::American => &MONTHS_EN,
        Language::Brazilian => &MONTHS_PT,
    };
    let now = sysdate();
    let (mut year, mut month, mut day) = (now.year(), now.month(), 1_u32);
    let (mut hour, mut minute, mut second) = (0_u32, 0_u32, 0_u32);
    let mut half: Option<bool> = None;
    let mut of_day: Option<u32> = None;
    let mut rest = text.trim_start();
    let pieces = pieces(format)?;
    for (position, piece) in pieces.iter().enumerate() {
        let digits_follow =
            matches!(pieces.get(position + 1), Some(Piece::Model { name, .. }) if !name.starts_with("MON"));
        let (name, digits) = match piece {
            Piece::ToggleFill => continue,
            Piece::Literal(literal) => {
                for c in literal.chars() {
                    match rest.chars().next() {
                        Some(found) if found == c || (!found.is_alphanumeric() && !c.is_alphanumeric()) => {
                            rest = &rest[found.len_utf8()..];
                        }
                        // Oracle lets the punctuation of the picture be left out between digits.
                        Some(found) if found.is_ascii_digit() && !c.is_alphanumeric() && digits_follow => {}
                        None => {
                            return Err(OraError::new(1840, "input value not long enough for date format"))
                        }
                        _ => return Err(OraError::new(1861, "literal does not match format string")),
                    }
                }
                continue;
            }
            Piece::Model { name, digits, .. } => (*name, *digits),
        };
        if rest.is_empty() {
            return Err(OraError::new(1840, "input value not long enough for date format"));
        }
        let mut number = |max: usize| -> Result<u32, OraError> {
            let n = rest.bytes().take(max).take_while(u8::is_ascii_digit).count();
            if n == 0 {
                let (code, text) = if rest.starts_with(|c: char| c.is_alphabetic()) {
                    (1858, "a non-numeric character was found where a numeric was expected")
                } else {
                    (1861, "literal does not match format string")
                };
                return Err(OraError::new(code, text));
            }
            let value = rest[..n].parse().unwrap_or(0);
            rest = &rest[n..];
            Ok(value)
        };
        match name {
            "YYYY" | "SYYYY" | "RRRR" | "IYYY" => {
                year = number(4)? as i32;
                if year == 0 {
                    return Err(OraError::new(
                        1841,
                        "(full) year must be between -4713 and +9999, and not be 0",
                    ));
                }
            }
            "YY" => year = now.year() / 100 * 100 + number(2)? as i32,
            "RR" => {
                let n = number(2)? as i32;
                year = if n < 50 { 2000 + n } else { 1900 + n };
            }
            "MM" => {
                month = number(2)?;
                if !(1..=12).contains(&month) {
                    return Err(OraError::new(1843, "not a valid month"));
                }
            }
            "MON" | "MONTH" => {
                let lower = rest.to_lowercase();
                let found = months.iter().enumerate().find_map(|(i, m)| {
                    let full = m.to_lowercase();
                    let short: String = full.chars().take(3).collect();
                    if lower.starts_with(&full) {
                        Some((i, full.len()))
                    } else if lower.starts_with(&short) {
                        Some((i, short.len()))
                    } else {
                        None
                    }
                });
                let (i, len) = found.ok_or_else(|| OraError::new(1843, "not a valid month"))?;
                month = i as u32 + 1;
                rest = rest.get(len..).unwrap_or("");
            }
            "DD" => {
                day = number(2)?;
                if !(1..=31).contains(&day) {
                    return Err(OraError::new(1847, "day of month must be between 1 and last day of month"));
                }
            }
            "HH24" => {
                hour = number(2)?;
                if hour > 23 {
                    return Err(OraError::new(1850, "hour must be between 0 and 23"));
                }
            }
            "HH" | "HH12" => {
                hour = number(2)?;
                if !(1..=12).contains(&hour) {
                    return Err(OraError::new(1849, "hour must be between 1 and 12"));
                }
                half = half.or(Some(false));
            }
            "MI" => {
                minute = number(2)?;
                if minute > 59 {
                    return Err(OraError::new(1851, "minutes must be between 0 and 59"));
                }
            }
            "SS" => {
                second = number(2)?;
                if second > 59 {
                    return Err(OraError::new(1852, "seconds must be between 0 and 59"));
                }
            }
            "SSSSS" => of_day = Some(number(5)?),
            "FF" => {
                number(digits.max(9))?;
            }
            "AM" | "PM" => {
                half = Some(rest.to_ascii_uppercase().starts_with('P'));
                rest = rest.get(2..).unwrap_or("");
            }
            _ => return Err(OraError::new(1820, "format code cannot appear in date input format")),
        }
    }
    if !rest.trim_end().is_empty() {
        return Err(OraError::new(1830, "date format picture ends before converting entire input string"));
    }
    if let Some(afternoon) = half {
        hour = hour % 12 + if afternoon { 12 } else { 0 };
    }
    let date = NaiveDate::from_ymd_opt(year, month, day)
        .and_then(|d| d.and_hms_opt(hour, minute, second))
        .ok_or_else(|| OraError::new(1839, "date not valid for month specified"))?;
    Ok(match of_day {
        Some(s) => NaiveDateTime::new(date.date(), chrono::NaiveTime::MIN) + Duration::seconds(i64::from(s)),
        None => date,
    })
}

/// The bytes that TO_CHAR(date, format) may have, for the describe of a column.
pub fn width(format: &str) -> usize {
    let longest =
        NaiveDate::from_ymd_opt(2026, 9, 23).and_then(|d| d.and_hms_opt(12, 30, 30)).unwrap_or_default();
    to_char(longest, format, &Nls::american()).map_or(75, |t| t.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let nls = Nls::american();
        let d = to_date("2026-10-04T10:09:01", "YYYY-MM-DD\"T\"HH24:MI:SS", &nls).unwrap();
        assert_eq!(to_char(d, "DD-MON-RR", &nls).unwrap(), "04-OCT-26");
        assert_eq!(to_char(d, "MM/DD/YYYY HH24:MI:SS", &nls).unwrap(), "10/04/2026 10:09:01");
        assert_eq!(to_char(d, "DD/MON/RR", &Nls::brazilian()).unwrap(), "04/OUT/26");
        assert_eq!(to_char(d, "fmDay, DD Month YYYY", &nls).unwrap(), "Sunday, 4 October 2026");
    }

    #[test]
    fn refusals() {
        let code = |t: &str, f: &str| to_date(t, f, &Nls::american()).unwrap_err().code();
        assert_eq!(code("2026-13-01", "YYYY-MM-DD"), 1843);
        assert_eq!(code("2026-02-30", "YYYY-MM-DD"), 1839);
        assert_eq!(code("2026-02-20 10", "YYYY-MM-DD"), 1830);
        assert_eq!(code("x", "YYYY"), 1858);
        assert_eq!(code("2026-02", "YYYY-MM-DD"), 1840);
        assert_eq!(code("2026X02X20", "YYYY-MM-DD"), 1861);
        assert!(to_date("20260220", "YYYY-MM-DD", &Nls::american()).is_ok());
        assert_eq!(code("1", "BLURB"), 1821);
    }
}
