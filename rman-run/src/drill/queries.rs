//! The file of test queries.

use common::exit::{Exit, Failure};

/// One query of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    pub name: String,
    /// Without its semicolon and without comments.
    pub sql: String,
    pub expected: Option<String>,
    /// The pluggable database in which it is asked.
    pub container: Option<String>,
}

/// Reads the file. Only SELECT and WITH are taken: a drill changes nothing, and a standby could not.
///
/// # Errors
/// Status 64 with the line: no query at all, another statement, a text or comment without its end.
pub fn parse(text: &str) -> Result<Vec<Query>, Failure> {
    let mut queries = Vec::new();
    let mut draft = Draft::default();
    let mut quote = false;
    let mut comment = false;
    for (number, line) in text.lines().enumerate().map(|(i, l)| (i + 1, l)) {
        if !quote && !comment && draft.is_empty() {
            if let Some(said) = line.trim().strip_prefix("--") {
                draft.note(said.trim(), number)?;
                continue;
            }
        }
        let mut chars = line.chars().peekable();
        while let Some(c) = chars.next() {
            match (quote, comment, c, chars.peek()) {
                (_, true, '*', Some('/')) => {
                    chars.next();
                    comment = false;
                    draft.push(' ', number);
                }
                (_, true, ..) => {}
                (false, _, '/', Some('*')) => {
                    chars.next();
                    comment = true;
                }
                (false, _, '-', Some('-')) => break,
                (false, _, ';', _) => queries.push(draft.end(queries.len() + 1, number)?),
                (_, _, '\'', _) => {
                    quote = !quote;
                    draft.push(c, number);
                }
                _ => draft.push(c, number),
            }
        }
        // SQL*Plus takes a semicolon at the end of a line for the end of the statement, quotes or not.
        if quote && line.trim_end().ends_with(';') {
            return Err(usage(number, "a text with a semicolon at the end of a line"));
        }
        draft.push('\n', number);
    }
    if quote || comment {
        return Err(usage(draft.line, "a text or a comment has no end"));
    }
    if !draft.is_empty() {
        queries.push(draft.end(queries.len() + 1, text.lines().count())?);
    }
    if queries.is_empty() {
        return Err(usage(1, "there is no query"));
    }
    Ok(queries)
}

#[derive(Default)]
struct Draft {
    name: Option<String>,
    expected: Option<String>,
    container: Option<String>,
    sql: String,
    /// Where it begins.
    line: usize,
}

impl Draft {
    fn is_empty(&self) -> bool {
        self.sql.trim().is_empty()
    }

    fn note(&mut self, said: &str, line: usize) -> Result<(), Failure> {
        let after = |word: &str| {
            let head = said.get(..word.len())?;
            head.eq_ignore_ascii_case(word).then(|| said[word.len()..].trim().to_owned())
        };
        if let Some(name) = after("name:").filter(|n| !n.is_empty()) {
            self.name = Some(name);
        } else if let Some(value) = after("expect:") {
            self.expected = Some(value);
        } else if let Some(name) = after("container:") {
            let plain = |c: char| c.is_ascii_alphanumeric() || "_$#".contains(c);
            if name.is_empty() || name.len() > 128 || !name.chars().all(plain) {
                return Err(usage(line, "not the name of a pluggable database"));
            }
            self.container = Some(name.to_ascii_uppercase());
        }
        Ok(())
    }

    fn push(&mut self, c: char, line: usize) {
        if self.is_empty() {
            if c.is_whitespace() {
                return;
            }
            self.line = line;
        }
        self.sql.push(c);
    }

    fn end(&mut self, number: usize, line: usize) -> Result<Query, Failure> {
        let draft = std::mem::take(self);
        let lines: Vec<&str> =
            draft.sql.lines().map(str::trim_end).filter(|l| !l.trim().is_empty()).collect();
        let sql = lines.join("\n").trim().to_owned();
        let word =
            sql.split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or_default().to_ascii_uppercase();
        if word != "SELECT" && word != "WITH" {
            let what = if sql.is_empty() { "a semicolon without a query" } else { "not a SELECT" };
            return Err(usage(if sql.is_empty() { line } else { draft.line }, what));
        }
        // SQL*Plus obeys these in the middle of a statement: SQLPREFIX, scripts, run, end of the statement.
        let command = |l: &str| l.starts_with(['#', '@']) || matches!(l, "/" | ".");
        if let Some(bad) = lines.iter().map(|l| l.trim()).find(|l| command(l)) {
            let what = format!("SQL*Plus would take {bad:?} for a command of its own");
            return Err(usage(draft.line, &what));
        }
        Ok(Query {
            name: draft.name.unwrap_or_else(|| number.to_string()),
            sql,
            expected: draft.expected,
            container: draft.container,
        })
    }
}

fn usage(line: usize, what: &str) -> Failure {
    Failure::new(Exit::Usage, format!("line {line} of the test queries: {what}")).hint(
        "SELECT statements with one value each, ended by \";\", as in: select count(*) from app.orders;",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_expectations_belong_to_the_query_below_them() {
        let text = "-- The queries of the drill.\n\n-- name: orders\n-- expect: 17\n-- container: vendas\nselect count(*) -- all\n  from app.orders\n\
                    where note <> 'a; -- b' /* and\nmore; */ and 1=1;\nwith t as (select 1 x from dual)\nselect x from t";
        let found = parse(text).unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].name.as_str(), found[0].expected.as_deref()), ("orders", Some("17")));
        assert_eq!(found[0].sql, "select count(*)\n  from app.orders\nwhere note <> 'a; -- b'\n  and 1=1");
        assert_eq!((found[1].name.as_str(), found[1].expected.as_deref()), ("2", None));
        assert_eq!((found[0].container.as_deref(), found[1].container.as_deref()), (Some("VENDAS"), None));
        assert_eq!(found[1].sql, "with t as (select 1 x from dual)\nselect x from t");
    }

    #[test]
    fn what_is_no_query_is_named_with_its_line() {
        for (text, line, what) in [
            ("", 1, "no query"),
            ("-- only a comment\n", 1, "no query"),
            ("select 1 from dual;\n\ndelete from app.orders;", 3, "not a SELECT"),
            ("select 1 from dual;;", 1, "without a query"),
            ("select 'x from dual", 1, "no end"),
            ("select ';\n' from dual;", 1, "at the end of a line"),
            ("host rm -rf /;", 1, "not a SELECT"),
            ("select 1\n#host rm x\nfrom dual;", 1, "#host"),
            ("\nselect 1\n /* x */ @evil\nfrom dual;", 2, "@evil"),
            ("select 'a\n/\n' from dual;", 1, "\"/\""),
            ("-- container: a b\nselect 1 from dual;", 1, "pluggable"),
        ] {
            let error = parse(text).unwrap_err();
            assert_eq!(error.exit, Exit::Usage);
            assert!(error.message.starts_with(&format!("line {line} ")), "{text:?}: {}", error.message);
            assert!(error.message.contains(what), "{text:?}: {}", error.message);
        }
    }
}
