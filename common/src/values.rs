//! Values of flags and settings as people write them. The errors are made for clap, which names the flag.

use std::time::Duration;

/// Seconds as a number, or a length such as `90s`, `30m`, `3h`, `8days`; longer than nothing.
pub fn duration(text: &str) -> Result<Duration, String> {
    match any_duration(text)? {
        Duration::ZERO => Err("must be longer than nothing".to_owned()),
        found => Ok(found),
    }
}

/// As [`duration`], and 0.
pub fn any_duration(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(seconds) => Ok(Duration::from_secs(seconds)),
        Err(_) => humantime::parse_duration(text).map_err(|e| e.to_string()),
    }
}

/// Bytes, with suffix k, m or g (powers of 1024); 0 is a number of bytes.
pub fn bytes(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" => Some(1),
        "k" | "kib" => Some(1 << 10),
        "m" | "mib" => Some(1 << 20),
        "g" | "gib" => Some(1 << 30),
        _ => None,
    };
    let number = digits.parse::<u64>().ok();
    let found = factor.and_then(|factor| number?.checked_mul(factor));
    found.ok_or_else(|| "a number of bytes, as 800k, 16m or 1g".to_owned())
}

/// Bytes per second, at least 1k: less is a slip of the pen for more.
pub fn rate(text: &str) -> Result<u64, String> {
    match bytes(text) {
        Ok(rate @ 1024..) => Ok(rate),
        _ => Err("bytes per second, at least 1k, as 800k or 10m".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_seconds_or_have_a_unit() {
        assert_eq!(duration("90"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("3h"), Ok(Duration::from_secs(3 * 3600)));
        assert_eq!(any_duration("0"), Ok(Duration::ZERO));
        for bad in ["0", "0s", "", "-1", "soon"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_and_rates_have_powers_of_1024() {
        assert_eq!(bytes("0"), Ok(0));
        assert_eq!(bytes("100K"), Ok(102_400));
        assert_eq!(bytes("2GiB"), Ok(2 << 30));
        assert_eq!(rate("800k"), Ok(819_200));
        for bad in ["", "k", "1.5m", "12t", "99999999999g", "-1"] {
            assert!(bytes(bad).is_err(), "{bad}");
        }
        assert!(rate("1023").is_err());
    }
}
