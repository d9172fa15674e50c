//! Oracle's scalar functions as SQLite functions: one table with names, argument kinds, result types and bodies.

use regex::RegexBuilder;
use rusqlite::functions::FunctionFlags;
use rusqlite::types::Value;
use rusqlite::Connection;

use super::nls::{from_days, sysdate, to_days, Nls};
use super::{format_date, format_number};
use crate::engine::OraError;

/// What the functions may ask about the session that runs the statement.
#[derive(Debug, Clone)]
pub struct Env {
    pub nls: Nls,
    /// Answers of SYS_CONTEXT('USERENV', key), keys in upper case.
    pub userenv: Vec<(String, String)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ret {
    Number,
    Date,
    Text(usize),
    /// As argument n (0-based), text as wide as it.
    Arg(usize),
    /// Text as wide as the sum of all arguments.
    Sum,
    /// As argument n, text as wide as the widest argument.
    Widest(usize),
}

type Body = fn(&[Value], &Env) -> Result<Value, OraError>;

pub struct Function {
    pub name: &'static str,
    pub least: usize,
    pub most: usize,
    /// One letter per argument, the last one repeats: n number, t text, d date, a anything, s as the first argument.
    pub kinds: &'static str,
    pub ret: Ret,
    pub body: Body,
}

const fn f(
    name: &'static str,
    least: usize,
    most: usize,
    kinds: &'static str,
    ret: Ret,
    body: Body,
) -> Function {
    Function { name, least, most, kinds, ret, body }
}

/// Functions that a statement may name. TO_CHAR, DECODE, NVL2 and the aggregates are the emitter's.
pub const FUNCTIONS: &[Function] = &[
    f("NVL", 2, 2, "as", Ret::Widest(0), |a, _| {
        Ok(if a[0] == Value::Null { a[1].clone() } else { a[0].clone() })
    }),
    f("COALESCE", 2, 99, "as", Ret::Widest(0), |a, _| {
        Ok(a.iter().find(|v| **v != Value::Null).cloned().unwrap_or(Value::Null))
    }),
    f("NULLIF", 2, 2, "as", Ret::Arg(0), |a, _| Ok(if a[0] == a[1] { Value::Null } else { a[0].clone() })),
    f("UPPER", 1, 1, "t", Ret::Arg(0), |a, _| Ok(map(&a[0], str::to_uppercase))),
    f("LOWER", 1, 1, "t", Ret::Arg(0), |a, _| Ok(map(&a[0], str::to_lowercase))),
    f("INITCAP", 1, 1, "t", Ret::Arg(0), |a, _| Ok(map(&a[0], initcap))),
    f("LENGTH", 1, 1, "t", Ret::Number, |a, _| Ok(count(&a[0], |s| s.chars().count()))),
    f("LENGTHB", 1, 1, "t", Ret::Number, |a, _| Ok(count(&a[0], str::len))),
    f("SUBSTR", 2, 3, "tnn", Ret::Arg(0), |a, _| Ok(substr(a))),
    f("INSTR", 2, 4, "ttnn", Ret::Number, |a, _| Ok(instr(a))),
    f("TRIM", 1, 1, "t", Ret::Arg(0), |a, _| Ok(map(&a[0], |s| s.trim_matches(' ').into()))),
    f("LTRIM", 1, 2, "tt", Ret::Arg(0), |a, _| {
        Ok(null_or(a, |t| text(&t[0]).trim_start_matches(|c| set(t, c)).to_string()))
    }),
    f("RTRIM", 1, 2, "tt", Ret::Arg(0), |a, _| {
        Ok(null_or(a, |t| text(&t[0]).trim_end_matches(|c| set(t, c)).to_string()))
    }),
    f("LPAD", 2, 3, "tnt", Ret::Text(4000), |a, _| Ok(pad(a, true))),
    f("RPAD", 2, 3, "tnt", Ret::Text(4000), |a, _| Ok(pad(a, false))),
    f("REPLACE", 2, 3, "ttt", Ret::Text(4000), |a, _| {
        if a[0] == Value::Null || a[1] == Value::Null {
            return Ok(a[0].clone());
        }
        let with = a.get(2).map(text).unwrap_or_default();
        Ok(string(text(&a[0]).replace(&text(&a[1]), &with)))
    }),
    f("TRANSLATE", 3, 3, "ttt", Ret::Arg(0), |a, _| {
        Ok(null_or(a, |t| {
            let (from, to): (Vec<char>, Vec<char>) =
                (text(&t[1]).chars().collect(), text(&t[2]).chars().collect());
            text(&t[0])
                .chars()
                .filter_map(|c| match from.iter().position(|f| *f == c) {
                    Some(p) => to.get(p).copied(),
                    None => Some(c),
                })
                .collect()
        }))
    }),
    f("REVERSE", 1, 1, "t", Ret::Arg(0), |a, _| Ok(map(&a[0], |s| s.chars().rev().collect()))),
    f("CHR", 1, 1, "n", Ret::Text(4), |a, _| {
        Ok(match int(&a[0]) {
            Some(n) => string(u8::try_from(n).map(char::from).unwrap_or('?').to_string()),
            None => Value::Null,
        })
    }),
    f("ASCII", 1, 1, "t", Ret::Number, |a, _| Ok(count(&a[0], |s| s.bytes().next().unwrap_or(0) as usize))),
    f("REGEXP_LIKE", 2, 3, "ttt", Ret::Number, |a, _| {
        if a[0] == Value::Null || a[1] == Value::Null {
            return Ok(Value::Null);
        }
        Ok(Value::Integer(i64::from(regex(&text(&a[1]), a.get(2))?.is_match(&text(&a[0])))))
    }),
    f("REGEXP_REPLACE", 2, 3, "ttt", Ret::Text(4000), |a, _| {
        if a[0] == Value::Null || a[1] == Value::Null {
            return Ok(a[0].clone());
        }
        let with = a.get(2).map(text).unwrap_or_default().replace('$', "$$");
        let with = RegexBuilder::new(r"\\(\d)").build().map(|r| r.replace_all(&with, "$${$1}").into_owned());
        Ok(string(
            regex(&text(&a[1]), None)?
                .replace_all(&text(&a[0]), with.unwrap_or_default().as_str())
                .into_owned(),
        ))
    }),
    f("REGEXP_SUBSTR", 2, 2, "tt", Ret::Arg(0), |a, _| {
        if a[0] == Value::Null || a[1] == Value::Null {
            return Ok(Value::Null);
        }
        Ok(match regex(&text(&a[1]), None)?.find(&text(&a[0])) {
            Some(m) => string(m.as_str().to_string()),
            None => Value::Null,
        })
    }),
    f("GREATEST", 1, 99, "as", Ret::Widest(0), |a, _| Ok(extreme(a, std::cmp::Ordering::Greater))),
    f("LEAST", 1, 99, "as", Ret::Widest(0), |a, _| Ok(extreme(a, std::cmp::Ordering::Less))),
    f("ROUND", 1, 2, "nn", Ret::Number, |a, _| Ok(round(a, f64::round))),
    f("TRUNC", 1, 2, "nn", Ret::Number, |a, _| Ok(round(a, f64::trunc))),
    f("ORA_TRUNC_DATE", 1, 2, "dt", Ret::Date, |a, _| trunc_date(a)),
    f("CEIL", 1, 1, "n", Ret::Number, |a, _| Ok(real(&a[0], f64::ceil))),
    f("FLOOR", 1, 1, "n", Ret::Number, |a, _| Ok(real(&a[0], f64::floor))),
    f("ABS", 1, 1, "n", Ret::Number, |a, _| {
        Ok(match &a[0] {
            Value::Integer(n) => Value::Integer(n.abs()),
            other => real(other, f64::abs),
        })
    }),
    f("SIGN", 1, 1, "n", Ret::Number, |a, _| Ok(real(&a[0], |x| if x == 0.0 { 0.0 } else { x.signum() }))),
    f("MOD", 2, 2, "nn", Ret::Number, |a, _| {
        Ok(match (&a[0], &a[1]) {
            (Value::Null, _) | (_, Value::Null) => Value::Null,
            (Value::Integer(x), Value::Integer(0)) => Value::Integer(*x),
            (Value::Integer(x), Value::Integer(y)) => Value::Integer(x % y),
            (x, y) => number(float(x) % float(y)),
        })
    }),
    f("POWER", 2, 2, "nn", Ret::Number, |a, _| Ok(both(a, f64::powf))),
    f("BITAND", 2, 2, "nn", Ret::Number, |a, _| {
        Ok(match (int(&a[0]), int(&a[1])) {
            (Some(x), Some(y)) => Value::Integer(x & y),
            _ => Value::Null,
        })
    }),
    f("TO_NUMBER", 1, 2, "tt", Ret::Number, |a, e| to_number(&a[0], e)),
    f("TO_DATE", 1, 3, "ttt", Ret::Date, to_date),
    f("TO_TIMESTAMP", 1, 3, "ttt", Ret::Date, to_date),
    f("ADD_MONTHS", 2, 2, "dn", Ret::Date, |a, _| {
        Ok(match (date(&a[0]), int(&a[1])) {
            (Some(d), Some(n)) => {
                let months = chrono::Months::new(u32::try_from(n.unsigned_abs()).unwrap_or(0));
                let moved = if n < 0 { d.checked_sub_months(months) } else { d.checked_add_months(months) };
                moved.map_or(Value::Null, |d| Value::Real(to_days(d)))
            }
            _ => Value::Null,
        })
    }),
    f("SYS_CONTEXT", 2, 2, "tt", Ret::Text(256), |a, e| {
        if !text(&a[0]).eq_ignore_ascii_case("USERENV") {
            return Ok(Value::Null);
        }
        userenv(&text(&a[1]), e)
    }),
    f("USERENV", 1, 1, "t", Ret::Text(64), |a, e| userenv(&text(&a[0]), e)),
    f("DUMP", 1, 1, "a", Ret::Text(4000), |a, _| Ok(string(format!("{:?}", a[0])))),
    // What follows has no name in Oracle; the emitter calls it for operators and implicit conversions.
    f("ORA_CONCAT", 2, 2, "tt", Ret::Sum, |a, _| Ok(string(text(&a[0]) + &text(&a[1])))),
    f("ORA_TEXT_N", 1, 1, "n", Ret::Text(40), |a, e| {
        Ok(if a[0] == Value::Null { Value::Null } else { string(format_number::plain(&a[0], e.nls.decimal)) })
    }),
    f("ORA_TEXT_NF", 2, 2, "nt", Ret::Text(40), |a, e| {
        if a.contains(&Value::Null) {
            return Ok(Value::Null);
        }
        Ok(string(format_number::to_char(&a[0], &text(&a[1]), &e.nls)?))
    }),
    f("ORA_TEXT_D", 1, 1, "d", Ret::Text(75), |a, e| match date(&a[0]) {
        Some(d) => Ok(string(format_date::to_char(d, &e.nls.date_format, &e.nls)?)),
        None => Ok(Value::Null),
    }),
    f("ORA_TEXT_DF", 2, 2, "dt", Ret::Text(75), |a, e| match date(&a[0]) {
        Some(d) if a[1] != Value::Null => Ok(string(format_date::to_char(d, &text(&a[1]), &e.nls)?)),
        _ => Ok(Value::Null),
    }),
    f("ORA_DIV", 2, 2, "nn", Ret::Number, |a, _| {
        if a.contains(&Value::Null) {
            return Ok(Value::Null);
        }
        if float(&a[1]) == 0.0 {
            return Err(OraError::new(1476, "divisor is equal to zero"));
        }
        Ok(match (&a[0], &a[1]) {
            (Value::Integer(x), Value::Integer(y)) if x % y == 0 => Value::Integer(x / y),
            (x, y) => Value::Real(float(x) / float(y)),
        })
    }),
    f("ORA_LIKE", 2, 3, "ttt", Ret::Number, |a, _| like(a)),
    f("ORA_EXTRACT", 2, 2, "td", Ret::Number, |a, _| {
        use chrono::{Datelike, Timelike};
        Ok(date(&a[1]).map_or(Value::Null, |d| {
            Value::Integer(match text(&a[0]).as_str() {
                "YEAR" => i64::from(d.year()),
                "MONTH" => i64::from(d.month()),
                "DAY" => i64::from(d.day()),
                "HOUR" => i64::from(d.hour()),
                "MINUTE" => i64::from(d.minute()),
                _ => i64::from(d.second()),
            })
        }))
    }),
];

pub fn find(name: &str) -> Option<&'static Function> {
    FUNCTIONS.iter().find(|f| f.name == name)
}

/// Marks an ORA- error on its way through SQLite, which only carries text.
const MARK: char = '\u{1}';

/// Registers every function under the name `O_` + its own, so that none of SQLite's can be met.
///
/// # Errors
/// When SQLite refuses a registration.
pub fn register(connection: &Connection, env: &Env) -> rusqlite::Result<()> {
    for function in FUNCTIONS {
        let env = env.clone();
        let body = function.body;
        connection.create_scalar_function(
            format!("O_{}", function.name).as_str(),
            -1,
            FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC,
            move |ctx| {
                let args: Vec<Value> = (0..ctx.len()).map(|i| ctx.get(i)).collect::<Result<_, _>>()?;
                body(&args, &env).map_err(|error| {
                    let (code, text) = error.stack.into_iter().next().unwrap_or_default();
                    rusqlite::Error::UserFunctionError(format!("{MARK}{code}{MARK}{text}").into())
                })
            },
        )?;
    }
    Ok(())
}

/// The ORA- error that a function has raised, if the SQLite error carries one.
pub fn raised(error: &rusqlite::Error) -> Option<OraError> {
    let text = error.to_string();
    let mut parts = text.split(MARK);
    parts.next()?;
    let code = parts.next()?.parse().ok()?;
    Some(OraError::new(code, parts.next()?))
}

fn text(value: &Value) -> String {
    match value {
        Value::Text(s) => s.clone(),
        Value::Null | Value::Blob(_) => String::new(),
        number => format_number::plain(number, '.'),
    }
}

/// The empty string is NULL.
fn string(text: String) -> Value {
    if text.is_empty() {
        Value::Null
    } else {
        Value::Text(text)
    }
}

fn number(f: f64) -> Value {
    if f.fract() == 0.0 && f.abs() < 9e15 {
        Value::Integer(f as i64)
    } else {
        Value::Real(f)
    }
}

fn int(value: &Value) -> Option<i64> {
    match value {
        Value::Integer(n) => Some(*n),
        Value::Real(f) => Some(*f as i64),
        _ => None,
    }
}

fn float(value: &Value) -> f64 {
    match value {
        Value::Integer(n) => *n as f64,
        Value::Real(f) => *f,
        _ => 0.0,
    }
}

fn date(value: &Value) -> Option<chrono::NaiveDateTime> {
    match value {
        Value::Null | Value::Text(_) | Value::Blob(_) => None,
        days => Some(from_days(float(days))),
    }
}

fn map(value: &Value, change: impl Fn(&str) -> String) -> Value {
    match value {
        Value::Null => Value::Null,
        other => string(change(&text(other))),
    }
}

fn count(value: &Value, measure: impl Fn(&str) -> usize) -> Value {
    match value {
        Value::Null => Value::Null,
        other => Value::Integer(measure(&text(other)) as i64),
    }
}

fn null_or(args: &[Value], make: impl Fn(&[Value]) -> String) -> Value {
    if args.contains(&Value::Null) {
        Value::Null
    } else {
        string(make(args))
    }
}

fn real(value: &Value, change: impl Fn(f64) -> f64) -> Value {
    match value {
        Value::Null => Value::Null,
        Value::Integer(n) if change(1.5) != 2.5 && *n == change(*n as f64) as i64 => Value::Integer(*n),
        other => number(change(float(other))),
    }
}

fn both(args: &[Value], make: impl Fn(f64, f64) -> f64) -> Value {
    if args.contains(&Value::Null) {
        Value::Null
    } else {
        number(make(float(&args[0]), float(&args[1])))
    }
}

fn round(args: &[Value], how: impl Fn(f64) -> f64) -> Value {
    let places = args.get(1).map_or(Some(0), int);
    match (&args[0], places) {
        (Value::Null, _) | (_, None) => Value::Null,
        (Value::Integer(n), Some(p)) if p >= 0 => Value::Integer(*n),
        (value, Some(p)) => {
            let scale = 10_f64.powi(p as i32);
            number(how(float(value) * scale) / scale)
        }
    }
}

fn extreme(args: &[Value], wanted: std::cmp::Ordering) -> Value {
    if args.contains(&Value::Null) {
        return Value::Null;
    }
    let order = |a: &Value, b: &Value| match (a, b) {
        (Value::Text(a), Value::Text(b)) => a.cmp(b),
        (Value::Integer(a), Value::Integer(b)) => a.cmp(b),
        (a, b) => float(a).total_cmp(&float(b)),
    };
    let mut best = &args[0];
    for value in &args[1..] {
        if order(value, best) == wanted {
            best = value;
        }
    }
    best.clone()
}

fn trunc_date(args: &[Value]) -> Result<Value, OraError> {
    use chrono::{Datelike, NaiveTime, Timelike};
    let Some(d) = date(&args[0]) else { return Ok(Value::Null) };
    let model = args.get(1).map_or("DD".into(), |m| text(m).to_ascii_uppercase());
    let day = d.date();
    let midnight = |day: chrono::NaiveDate| day.and_time(NaiveTime::MIN);
    let cut = match model.as_str() {
        "DD" | "DDD" | "J" => midnight(day),
        "MM" | "MON" | "MONTH" | "RM" => midnight(day.with_day(1).unwrap_or(day)),
        "YYYY" | "YY" | "YEAR" | "Y" | "RR" => midnight(day.with_ordinal(1).unwrap_or(day)),
        "HH" | "HH24" | "HH12" => midnight(day) + chrono::Duration::hours(i64::from(d.hour())),
        "MI" => midnight(day) + chrono::Duration::minutes(i64::from(d.hour() * 60 + d.minute())),
        _ => return Err(OraError::new(1898, "too many precision specifiers")),
    };
    Ok(Value::Real(to_days(cut)))
}

fn set(args: &[Value], c: char) -> bool {
    args.get(1).map_or(c == ' ', |set| text(set).contains(c))
}

fn initcap(s: &str) -> String {
    let mut start = true;
    s.chars()
        .map(|c| {
            let out = if start { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() };
            start = !c.is_alphanumeric();
            out
        })
        .collect()
}

fn substr(args: &[Value]) -> Value {
    if args.contains(&Value::Null) {
        return Value::Null;
    }
    let chars: Vec<char> = text(&args[0]).chars().collect();
    let len = chars.len() as i64;
    let from = match int(&args[1]).unwrap_or(1) {
        0 => 0,
        n if n > 0 => n - 1,
        n => len + n,
    };
    let take = args.get(2).and_then(int).unwrap_or(len);
    if from < 0 || from >= len || take < 1 {
        return Value::Null;
    }
    string(chars[from as usize..(from.saturating_add(take)).min(len) as usize].iter().collect())
}

fn instr(args: &[Value]) -> Value {
    if args.contains(&Value::Null) {
        return Value::Null;
    }
    let hay: Vec<char> = text(&args[0]).chars().collect();
    let needle: Vec<char> = text(&args[1]).chars().collect();
    let from = args.get(2).and_then(int).unwrap_or(1);
    let nth = args.get(3).and_then(int).unwrap_or(1);
    let fits = |p: &usize| hay[*p..].starts_with(&needle);
    let last = (hay.len() + 1).saturating_sub(needle.len());
    let found = if from < 0 {
        let end = (hay.len() as i64 + from + 1).clamp(0, last as i64) as usize;
        (0..end).rev().filter(fits).nth((nth - 1).max(0) as usize)
    } else {
        ((from - 1).max(0) as usize..last).filter(fits).nth((nth - 1).max(0) as usize)
    };
    Value::Integer(found.map_or(0, |p| p as i64 + 1))
}

fn pad(args: &[Value], left: bool) -> Value {
    null_or(args, |a| {
        let body: Vec<char> = text(&a[0]).chars().collect();
        let want = int(&a[1]).unwrap_or(0).clamp(0, 4000) as usize;
        if body.len() >= want {
            return body[..want].iter().collect();
        }
        let fill = a.get(2).map_or(" ".into(), text);
        let filler: String = fill.chars().cycle().take(want - body.len()).collect();
        let body: String = body.into_iter().collect();
        if left {
            filler + &body
        } else {
            body + &filler
        }
    })
}

fn regex(pattern: &str, flags: Option<&Value>) -> Result<regex::Regex, OraError> {
    RegexBuilder::new(pattern)
        .case_insensitive(flags.is_some_and(|f| text(f).contains('i')))
        .build()
        .map_err(|_| OraError::new(12726, "unmatched bracket in regular expression"))
}

fn like(args: &[Value]) -> Result<Value, OraError> {
    if args.contains(&Value::Null) {
        return Ok(Value::Null);
    }
    let escape = args.get(2).map(text).and_then(|e| e.chars().next());
    let mut pattern = String::from("(?s)^");
    let wanted = text(&args[1]);
    let mut chars = wanted.chars();
    while let Some(c) = chars.next() {
        if Some(c) == escape {
            match chars.next() {
                Some(n) if n == '%' || n == '_' || Some(n) == escape => {
                    pattern.push_str(&regex::escape(&n.to_string()))
                }
                _ => {
                    return Err(OraError::new(
                        1424,
                        "missing or illegal character following the escape character",
                    ))
                }
            }
        } else {
            match c {
                '%' => pattern.push_str(".*"),
                '_' => pattern.push('.'),
                other => pattern.push_str(&regex::escape(&other.to_string())),
            }
        }
    }
    pattern.push('$');
    let regex = RegexBuilder::new(&pattern)
        .build()
        .map_err(|_| OraError::new(1425, "escape character must be character string of length 1"))?;
    Ok(Value::Integer(i64::from(regex.is_match(&text(&args[0])))))
}

fn to_number(value: &Value, env: &Env) -> Result<Value, OraError> {
    match value {
        Value::Text(s) => format_number::parse(s, env.nls.decimal),
        other => Ok(other.clone()),
    }
}

fn to_date(args: &[Value], env: &Env) -> Result<Value, OraError> {
    if args[0] == Value::Null {
        return Ok(Value::Null);
    }
    let format = args.get(1).map_or(env.nls.date_format.clone(), text);
    Ok(Value::Real(to_days(format_date::to_date(&text(&args[0]), &format, &env.nls)?)))
}

fn userenv(key: &str, env: &Env) -> Result<Value, OraError> {
    let key = key.to_ascii_uppercase();
    if key == "SYSDATE" {
        return Ok(Value::Real(to_days(sysdate())));
    }
    env.userenv
        .iter()
        .find(|(k, _)| *k == key)
        .map(|(_, v)| string(v.clone()))
        .ok_or_else(|| OraError::new(2003, "invalid USERENV parameter"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(name: &str, args: &[Value]) -> Value {
        let env = Env { nls: Nls::american(), userenv: vec![] };
        (find(name).unwrap().body)(args, &env).unwrap()
    }

    fn t(s: &str) -> Value {
        Value::Text(s.into())
    }

    #[test]
    fn text_functions() {
        let n = Value::Integer;
        assert_eq!(call("SUBSTR", &[t("system01.dbf"), n(-3)]), t("dbf"));
        assert_eq!(call("SUBSTR", &[t("abc"), n(2), n(0)]), Value::Null);
        assert_eq!(call("INSTR", &[t("/u01/o/x"), t("/"), n(-1)]), n(7));
        assert_eq!(call("INSTR", &[t("/u01/o/x"), t("/"), n(1), n(2)]), n(5));
        assert_eq!(call("LPAD", &[t("7"), n(3), t("0")]), t("007"));
        assert_eq!(call("REPLACE", &[t("abc"), t("abc")]), Value::Null);
        assert_eq!(call("RTRIM", &[t("x//"), t("/")]), t("x"));
        assert_eq!(call("ORA_CONCAT", &[t("a"), Value::Null]), t("a"));
        assert_eq!(call("ORA_LIKE", &[t("a_b"), t("a\\_b"), t("\\")]), n(1));
        assert_eq!(call("ORA_LIKE", &[t("ABC"), t("abc")]), n(0));
        assert_eq!(call("ORA_DIV", &[n(1), n(4)]), Value::Real(0.25));
        assert_eq!(call("TRUNC", &[Value::Real(2.7)]), n(2));
        assert_eq!(call("CEIL", &[Value::Real(2.1)]), n(3));
    }
}
