//! Reads what a SQL*Plus session printed: marks, rows, codes.

use std::collections::HashMap;
use std::sync::LazyLock;

use anyhow::{anyhow, bail, Context};
use chrono::NaiveDateTime;
use regex::bytes::Regex;

use super::script::{Kind, Marks, Script, Step};

/// A message code at the begin of a line: FACTS 1.4.
static CODE: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"^\s*((?:ORA|SP2|TNS|PLS|RMAN|OSD|CPY|LRM|KUP|UDE|UDI)-[0-9]{4,5})\b").ok());

/// What the session answered, step by step.
#[derive(Debug, Clone, Default)]
pub struct Reply {
    /// Messages that do not spoil the session: a password that expires soon.
    pub warnings: Vec<String>,
    rows: HashMap<usize, Rows>,
    tolerated: HashMap<usize, Vec<String>>,
}

impl Reply {
    /// The rows of a query step; none for any other step.
    pub fn rows(&self, step: Step) -> &[Row] {
        self.rows.get(&step.0).map_or(&[], |r| r.0.as_slice())
    }

    /// The one row of a query step.
    ///
    /// # Errors
    /// There is none, or more than one.
    pub fn row(&self, step: Step) -> anyhow::Result<&Row> {
        match self.rows(step) {
            [row] => Ok(row),
            rows => bail!("expected one row and got {}", rows.len()),
        }
    }

    /// The codes that a tolerating step printed; empty when it succeeded.
    pub fn tolerated(&self, step: Step) -> &[String] {
        self.tolerated.get(&step.0).map_or(&[], Vec::as_slice)
    }
}

#[derive(Debug, Clone, Default)]
struct Rows(Vec<Row>);

/// One row. Oracle has no empty text: NULL and `''` are both `None`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    columns: std::sync::Arc<Vec<String>>,
    pub values: Vec<Option<String>>,
}

impl Row {
    /// The value of a column, counted from 0, read as a type.
    ///
    /// # Errors
    /// Names the column: it is NULL, or not of this type.
    pub fn get<T: Field>(&self, column: usize) -> anyhow::Result<T> {
        let value = self.values.get(column).ok_or_else(|| anyhow!("the row has no column {column}"))?;
        T::read(value.as_deref()).with_context(|| {
            format!("column {}", self.columns.get(column).map_or_else(String::new, Clone::clone))
        })
    }
}

/// A type that a column can be read as.
pub trait Field: Sized {
    fn read(value: Option<&str>) -> anyhow::Result<Self>;
}

impl<T: Field> Field for Option<T> {
    fn read(value: Option<&str>) -> anyhow::Result<Self> {
        value.map(|v| T::read(Some(v))).transpose()
    }
}

impl Field for String {
    fn read(value: Option<&str>) -> anyhow::Result<Self> {
        Ok(value.context("is NULL")?.to_owned())
    }
}

impl Field for u64 {
    /// Digits only: `1.2346E+10` is an SCN that has lost its lower half, and `####` one that did not fit.
    fn read(value: Option<&str>) -> anyhow::Result<Self> {
        let text = value.context("is NULL")?;
        let digits = (1..=20).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| text.parse().ok()).flatten().ok_or_else(|| anyhow!("{text:?} is not a whole number"))
    }
}

impl Field for u32 {
    fn read(value: Option<&str>) -> anyhow::Result<Self> {
        let wide = u64::read(value)?;
        Self::try_from(wide).map_err(|_| anyhow!("{wide} is too large"))
    }
}

impl Field for i64 {
    fn read(value: Option<&str>) -> anyhow::Result<Self> {
        let text = value.context("is NULL")?;
        text.parse().map_err(|_| anyhow!("{text:?} is not a whole number"))
    }
}

impl Field for NaiveDateTime {
    /// The form of [`super::script::date`].
    fn read(value: Option<&str>) -> anyhow::Result<Self> {
        let text = value.context("is NULL")?;
        NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S")
            .map_err(|_| anyhow!("{text:?} is not a date"))
    }
}

/// What the output shows, before anybody judges it.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// The shell's own message from before SQL*Plus.
    pub shell: Option<String>,
    pub alive: bool,
    pub done: bool,
    /// First step that has begun and not ended.
    pub open: Option<usize>,
    /// Steps whose end was seen.
    pub ended: usize,
    /// Codes outside of rows: before the session was alive, and by step.
    pub before: Trouble,
    pub steps: HashMap<usize, Trouble>,
    /// A row that was begun and not ended, or with a wrong number of columns.
    pub torn: Option<usize>,
    pub reply: Reply,
}

/// Codes and the lines that carry them.
#[derive(Debug, Default, Clone)]
pub(crate) struct Trouble {
    pub codes: Vec<String>,
    pub text: Vec<String>,
}

impl Trouble {
    fn take(&mut self, line: &[u8]) {
        let Some(code) = code_of(line) else {
            // An error text goes on over the next lines until something else begins.
            if let (false, Some(last)) = (self.codes.is_empty(), self.text.last_mut()) {
                let more = String::from_utf8_lossy(line);
                // Our own marks and what the settings say do not belong to an error.
                let own = more.starts_with("orapipe.") || more.ends_with(" cleared");
                if !own && !more.trim().is_empty() && last.len() < 500 {
                    last.push(' ');
                    last.push_str(more.trim());
                }
            }
            return;
        };
        if !self.codes.contains(&code) {
            self.codes.push(code);
        }
        if self.text.len() < 12 {
            self.text.push(String::from_utf8_lossy(line).trim().to_owned());
        }
    }
}

impl Trouble {
    /// What to tell a person: without the SP2- complaints that only follow from an error of Oracle.
    pub fn told(&self) -> String {
        let of_oracle = |line: &&String| !line.starts_with("SP2-");
        let mut lines: Vec<&str> = self.text.iter().filter(of_oracle).map(String::as_str).collect();
        if lines.is_empty() {
            lines = self.text.iter().map(String::as_str).collect();
        }
        lines.join(" | ")
    }
}

/// The code a line begins with.
pub(crate) fn code_of(line: &[u8]) -> Option<String> {
    let found = CODE.as_ref()?.captures(line)?;
    Some(String::from_utf8_lossy(&found[1]).into_owned())
}

/// Codes that come with a session that works.
const WARNINGS: [&str; 2] = ["ORA-28002", "ORA-28011"];

/// Reads the output of a session.
pub(crate) fn read(output: &[u8], script: &Script, marks: &Marks) -> Seen {
    let mut seen = Seen::default();
    let (alive, done, shell) = (marks.alive(), marks.done(), marks.shell());
    let (row_begin, row_end) = (marks.row_begin(), marks.row_end());
    let columns: HashMap<usize, std::sync::Arc<Vec<String>>> = script
        .steps
        .iter()
        .enumerate()
        .filter_map(|(i, s)| match &s.kind {
            Kind::Query(columns) => Some((i, std::sync::Arc::new(columns.clone()))),
            Kind::Exec | Kind::Tolerating(_) => None,
        })
        .collect();
    let mut rest = output;
    while !rest.is_empty() {
        if let (Some(step), true) = (seen.open, rest.starts_with(row_begin.as_bytes())) {
            let body = &rest[row_begin.len()..];
            let Some(end) = find(body, row_end.as_bytes()) else {
                seen.torn = Some(step);
                break;
            };
            let names = columns.get(&step).cloned().unwrap_or_default();
            let values: Vec<Option<String>> = body[..end]
                .split(|b| *b == 0x1f)
                .map(|v| (!v.is_empty()).then(|| String::from_utf8_lossy(v).into_owned()))
                .collect();
            if values.len() != names.len() {
                seen.torn = Some(step);
            }
            seen.reply.rows.entry(step).or_default().0.push(Row { columns: names, values });
            rest = after_line(&body[end + row_end.len()..]);
            continue;
        }
        let line_end = find(rest, b"\n").unwrap_or(rest.len());
        let line = rest[..line_end].trim_ascii();
        rest = rest.get(line_end + 1..).unwrap_or_default();
        if line == alive.as_bytes() {
            seen.alive = true;
        } else if !seen.alive {
            if let Some(message) = line.strip_prefix(shell.as_bytes()) {
                seen.shell = Some(String::from_utf8_lossy(message).trim().to_owned());
            }
            seen.before.take(line);
        } else if line == done.as_bytes() {
            seen.done = true;
        } else if seen.open.is_none() && line == marks.begin(seen.ended).as_bytes() {
            seen.open = Some(seen.ended);
        } else if seen.open.is_some() && line == marks.end(seen.ended).as_bytes() {
            seen.open = None;
            seen.ended += 1;
        } else {
            let step = seen.open.unwrap_or(seen.ended);
            seen.steps.entry(step).or_default().take(line);
        }
    }
    let warns = |text: &&String| code_of(text.as_bytes()).is_some_and(|c| WARNINGS.contains(&c.as_str()));
    seen.reply.warnings = seen.before.text.iter().filter(warns).cloned().collect();
    for (i, step) in script.steps.iter().enumerate() {
        if let (Kind::Tolerating(_), Some(trouble)) = (&step.kind, seen.steps.get(&i)) {
            seen.reply.tolerated.insert(i, trouble.codes.clone());
        }
    }
    seen
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    let first = *needle.first()?;
    let mut from = 0;
    while let Some(at) = haystack[from..].iter().position(|b| *b == first) {
        if haystack[from + at..].starts_with(needle) {
            return Some(from + at);
        }
        from += at + 1;
    }
    None
}

fn after_line(bytes: &[u8]) -> &[u8] {
    find(bytes, b"\n").map_or(&[], |at| &bytes[at + 1..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(values: &[Option<&str>]) -> Row {
        let columns = (0..values.len()).map(|i| format!("C{i}")).collect::<Vec<_>>();
        Row {
            columns: std::sync::Arc::new(columns),
            values: values.iter().map(|v| v.map(str::to_owned)).collect(),
        }
    }

    #[test]
    fn an_scn_is_digits_or_an_error() {
        let scns = row(&[
            Some("8910961765228"),
            Some("1.2346E+10"),
            Some("####"),
            None,
            Some("18446744073709551616"),
            Some("+5"),
            Some(""),
        ]);
        assert_eq!(scns.get::<u64>(0).unwrap(), 8_910_961_765_228);
        for i in 1..7 {
            assert!(scns.get::<u64>(i).is_err(), "{i}");
        }
        assert_eq!(
            format!("{:#}", scns.get::<u64>(1).unwrap_err()),
            "column C1: \"1.2346E+10\" is not a whole number"
        );
        assert_eq!(format!("{:#}", scns.get::<String>(3).unwrap_err()), "column C3: is NULL");
        assert_eq!(scns.get::<Option<u64>>(3).unwrap(), None);
        assert_eq!(scns.get::<u64>(9).unwrap_err().to_string(), "the row has no column 9");
    }

    #[test]
    fn dates_and_signed_numbers() {
        let values = row(&[Some("2026-10-04T10:09:01"), Some("-7"), Some("5000000000")]);
        assert_eq!(values.get::<NaiveDateTime>(0).unwrap().to_string(), "2026-10-04 10:09:01");
        assert_eq!(values.get::<i64>(1).unwrap(), -7);
        assert!(values.get::<u32>(2).is_err());
    }

    #[test]
    fn what_only_follows_from_an_error_is_not_told() {
        let mut trouble = Trouble::default();
        for line in [
            "ORA-01017: invalid username/password;",
            "logon denied",
            "columns cleared",
            "SP2-0640: Not connected",
            "orapipe.0123.begin.0",
        ] {
            trouble.take(line.as_bytes());
        }
        assert_eq!(trouble.told(), "ORA-01017: invalid username/password; logon denied");
        assert_eq!(trouble.codes, ["ORA-01017", "SP2-0640"]);
        let mut alone = Trouble::default();
        alone.take(b"SP2-0734: unknown command");
        assert_eq!(alone.told(), "SP2-0734: unknown command");
    }

    #[test]
    fn codes_of_every_family_are_found_in_any_bytes() {
        assert_eq!(code_of(b"ORA-00942: a tabela ou view n\xe3o existe").unwrap(), "ORA-00942");
        assert_eq!(code_of(b"SP2-0640: Not connected").unwrap(), "SP2-0640");
        assert_eq!(code_of(b"see ORA-00942"), None);
    }
}
