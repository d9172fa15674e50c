//! Lines as Data Pump prints them.

use chrono::NaiveDateTime;

/// `Fri Nov 20 01:02:03 2026`.
pub fn stamp(at: NaiveDateTime) -> String {
    at.format("%a %b %-d %H:%M:%S %Y").to_string()
}

/// `0 00:01:41`.
pub fn elapsed(seconds: i64) -> String {
    let seconds = seconds.max(0);
    format!("{} {:02}:{:02}:{:02}", seconds / 86400, seconds / 3600 % 24, seconds / 60 % 60, seconds % 60)
}

/// `17.08 KB`, `6.460 KB`, `0 KB`: four digits, as Oracle rounds them.
pub fn size(bytes: u64) -> String {
    if bytes == 0 {
        return "0 KB".to_owned();
    }
    let (value, unit) = match bytes {
        0..1_048_576 => (bytes as f64 / 1024.0, "KB"),
        1_048_576..1_073_741_824 => (bytes as f64 / 1_048_576.0, "MB"),
        _ => (bytes as f64 / 1_073_741_824.0, "GB"),
    };
    let digits = if value < 10.0 {
        3
    } else if value < 100.0 {
        2
    } else {
        usize::from(value < 1000.0)
    };
    format!("{value:.digits$} {unit}")
}

pub fn row(object: &str, bytes: u64, rows: u64) -> String {
    format!(". . exported {object:<45} {:>12} {rows:>7} rows", size(bytes))
}

pub fn stack(errors: &[(u32, String)]) -> Vec<String> {
    errors.iter().map(|(code, text)| format!("ORA-{code:05}: {text}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_four_digits() {
        assert_eq!(size(17_490), "17.08 KB");
        assert_eq!(size(6_615), "6.460 KB");
        assert_eq!(size(10_271_850), "9.796 MB");
        assert_eq!(elapsed(101), "0 00:01:41");
    }
}
