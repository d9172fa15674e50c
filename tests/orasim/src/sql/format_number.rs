//! TO_CHAR and TO_NUMBER with Oracle's number models.

use rusqlite::types::Value;

use super::nls::Nls;
use crate::engine::OraError;

pub fn invalid_number() -> OraError {
    OraError::new(1722, "invalid number")
}

fn bad_model() -> OraError {
    OraError::new(1481, "invalid number format model")
}

/// The plain text of a number: all digits of an integer, `.5` rather than `0.5`.
pub fn plain(value: &Value, decimal: char) -> String {
    match value {
        Value::Integer(n) => n.to_string(),
        Value::Real(f) if f.fract() == 0.0 && f.abs() < 1e18 => format!("{}", *f as i64),
        Value::Real(f) => {
            let digits = 15_i32.saturating_sub(f.abs().log10().floor() as i32 + 1);
            let text = format!("{:.*}", digits.clamp(0, 30) as usize, f);
            let text =
                if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
            let text = if let Some(rest) = text.strip_prefix("0.") {
                format!(".{rest}")
            } else if let Some(rest) = text.strip_prefix("-0.") {
                format!("-.{rest}")
            } else {
                text.to_string()
            };
            text.replace('.', &decimal.to_string())
        }
        _ => String::new(),
    }
}

/// Reads a number as implicit conversion does: blanks around it are allowed, nothing else.
pub fn parse(text: &str, decimal: char) -> Result<Value, OraError> {
    let text = text.trim();
    if let Ok(n) = text.parse::<i64>() {
        return Ok(Value::Integer(n));
    }
    let ok = !text.is_empty()
        && text.chars().all(|c| c.is_ascii_digit() || matches!(c, 'e' | 'E' | '+' | '-') || c == decimal);
    if !ok {
        return Err(invalid_number());
    }
    text.replace(decimal, ".").parse::<f64>().map(Value::Real).map_err(|_| invalid_number())
}

#[derive(Default)]
struct Model {
    fill: bool,
    /// Picture of the integer part: digits and group marks.
    whole: Vec<char>,
    /// Picture of the fraction.
    fraction: Vec<char>,
    point: Option<char>,
    sign_first: bool,
    sign_last: bool,
    minus_last: bool,
    dollar: bool,
    exponent: bool,
    hex: Option<(usize, bool)>,
}

fn model(format: &str) -> Result<Model, OraError> {
    let mut m = Model { fill: true, ..Model::default() };
    let upper = format.to_ascii_uppercase();
    let mut rest = upper.as_str();
    let mut lower_hex = format.contains('x');
    if let Some(tail) = rest.strip_prefix("FM") {
        m.fill = false;
        rest = tail;
    }
    if rest.trim_start_matches('0').chars().all(|c| c == 'X') && rest.contains('X') {
        if format.contains('X') {
            lower_hex = false;
        }
        m.hex = Some((rest.len(), lower_hex));
        return Ok(m);
    }
    while let Some(c) = rest.chars().next() {
        let mut width = 1;
        match c {
            '9' | '0' => {
                if m.point.is_some() {
                    m.fraction.push(c);
                } else {
                    m.whole.push(c);
                }
            }
            ',' | 'G' if m.point.is_none() => m.whole.push(c),
            '.' | 'D' if m.point.is_none() => m.point = Some(c),
            '$' | 'L' => m.dollar = true,
            'S' if m.whole.is_empty() && m.point.is_none() => m.sign_first = true,
            'S' => m.sign_last = true,
            'M' if rest.starts_with("MI") => {
                m.minus_last = true;
                width = 2;
            }
            'E' if rest.starts_with("EEEE") => {
                m.exponent = true;
                width = 4;
            }
            _ => return Err(bad_model()),
        }
        rest = &rest[width..];
    }
    Ok(m)
}

/// TO_CHAR(number, format).
///
/// # Errors
/// ORA-01481 for a model that Oracle would not take.
pub fn to_char(value: &Value, format: &str, nls: &Nls) -> Result<String, OraError> {
    let m = model(format)?;
    let (integer, real) = match value {
        Value::Integer(n) => (Some(*n), *n as f64),
        Value::Real(f) => (None, *f),
        _ => return Ok(String::new()),
    };
    if let Some((width, lower)) = m.hex {
        let n = integer.unwrap_or(real.round() as i64);
        let text = if lower { format!("{n:x}") } else { format!("{n:X}") };
        if n < 0 || text.len() > width {
            return Ok("#".repeat(width + 1));
        }
        let text =
            if format.trim_start_matches("FM").starts_with('0') { format!("{text:0>width$}") } else { text };
        return Ok(if m.fill { format!(" {text:>width$}") } else { text });
    }
    if m.exponent {
        let text = format!("{:.*e}", m.fraction.len(), real);
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let exponent: i32 = exponent.parse().unwrap_or(0);
        let sign = if exponent < 0 { '-' } else { '+' };
        let text = format!("{mantissa}E{sign}{:02}", exponent.abs());
        return Ok(if m.fill { format!(" {text}") } else { text });
    }
    let decimals = m.fraction.len();
    let negative = real < 0.0;
    let (whole, fraction) = match integer {
        Some(n) => (n.unsigned_abs().to_string(), "0".repeat(decimals)),
        None => {
            let text = format!("{:.*}", decimals, real.abs());
            match text.split_once('.') {
                Some((w, f)) => (w.to_string(), f.to_string()),
                None => (text, String::new()),
            }
        }
    };
    let places = m.whole.iter().filter(|c| c.is_ascii_digit()).count();
    let digits = whole.trim_start_matches('0');
    let width = m.whole.len() + usize::from(m.point.is_some()) + decimals + usize::from(m.dollar);
    if digits.len() > places {
        return Ok("#".repeat(width + 1));
    }
    let first_zero = m
        .whole
        .iter()
        .position(|c| *c == '0')
        .map(|p| m.whole[p..].iter().filter(|c| c.is_ascii_digit()).count())
        .unwrap_or(0);
    // Oracle keeps one zero before an empty integer part only when there is no fraction to show.
    let least = first_zero.max(usize::from(decimals == 0));
    let shown = format!("{:0>width$}", digits, width = digits.len().max(least).min(places));
    let mut out: Vec<char> = Vec::new();
    let mut left = shown.len();
    let mut position = places;
    let mut chars = shown.chars();
    for c in &m.whole {
        if c.is_ascii_digit() {
            if position <= left {
                out.extend(chars.next());
                left -= 1;
            }
            position -= 1;
        } else if !out.is_empty() {
            out.push(if *c == 'G' { nls.group } else { ',' });
        }
    }
    let mut text: String = out.into_iter().collect();
    if let Some(point) = m.point {
        let mut tail = fraction;
        if !m.fill {
            let keep = m.fraction.iter().rposition(|c| *c == '0').map_or(0, |p| p + 1);
            while tail.len() > keep && tail.ends_with('0') {
                tail.pop();
            }
        }
        text.push(if point == 'D' { nls.decimal } else { '.' });
        text.push_str(&tail);
    }
    if m.dollar {
        text.insert(0, '$');
    }
    let sign = if negative { "-" } else { "" };
    if m.sign_last || m.minus_last {
        let mark = if negative {
            "-"
        } else if m.sign_last {
            "+"
        } else if m.fill {
            " "
        } else {
            ""
        };
        text.push_str(mark);
        return Ok(if m.fill { format!("{text:>w$}", w = width + 1) } else { text });
    }
    let sign = if m.sign_first && !negative { "+" } else { sign };
    text.insert_str(0, sign);
    Ok(if m.fill { format!("{text:>w$}", w = width + 1) } else { text })
}

/// The bytes that TO_CHAR(number, format) may have, for the describe of a column.
pub fn width(format: &str) -> usize {
    let upper = format.to_ascii_uppercase();
    upper.trim_start_matches("FM").len() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn c(n: i64, f: &str) -> String {
        to_char(&Value::Integer(n), f, &Nls::american()).unwrap()
    }

    #[test]
    fn models() {
        assert_eq!(c(959_994_799_549, "FM99999999999999999999"), "959994799549");
        assert_eq!(c(0, "FM999"), "0");
        assert_eq!(c(7, "999"), "   7");
        assert_eq!(c(-7, "999"), "  -7");
        assert_eq!(c(1234, "999"), "####");
        assert_eq!(c(7, "FM00009"), "00007");
        assert_eq!(c(1_234_567, "FM9,999,999"), "1,234,567");
        assert_eq!(c(255, "FMXXXX"), "FF");
        assert_eq!(c(5, "FM999.00"), "5.00");
        assert_eq!(to_char(&Value::Real(0.5), "FM990.99", &Nls::american()).unwrap(), "0.5");
        assert_eq!(plain(&Value::Real(0.25), ','), ",25");
        assert!(to_char(&Value::Integer(1), "QQ", &Nls::american()).is_err());
    }
}
