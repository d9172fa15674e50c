//! Names and texts inside SQL.

use crate::exit::{Exit, Failure};

/// A name as a quoted identifier: `My TS` becomes `"My TS"`.
///
/// # Errors
/// Status 4: Oracle allows neither `"` nor NUL nor a line end in a name, so one that has them is not what it claims to be.
pub fn quoted(name: &str) -> Result<String, Failure> {
    if name.is_empty() || name.contains(['"', '\0', '\n', '\r']) {
        let message = format!("{name:?} cannot be the name of a database object");
        return Err(Failure::new(Exit::Refused, message));
    }
    Ok(format!("\"{name}\""))
}

/// A text as an SQL string expression; line ends and other control characters become `CHR(n)`.
///
/// A raw line end would let SQL*Plus see `/` or `.` on a line of its own and end the statement there.
pub fn literal(text: &str) -> String {
    let mut sql = String::from("'");
    for c in text.chars() {
        match c {
            '\'' => sql.push_str("''"),
            c if c.is_ascii_control() => sql.push_str(&format!("'||CHR({})||'", u32::from(c))),
            c => sql.push(c),
        }
    }
    sql.push('\'');
    sql
}

/// As [`literal`] for the places that take a string constant and no expression: file names in DDL.
///
/// # Errors
/// Status 4: a control character cannot be written there.
pub fn constant(text: &str) -> Result<String, Failure> {
    if text.chars().any(|c| c.is_ascii_control()) {
        let message = format!("{text:?} holds a control character and cannot be written in a statement");
        return Err(Failure::new(Exit::Refused, message));
    }
    Ok(literal(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_their_case_and_blanks() {
        assert_eq!(quoted("My ts$").unwrap(), "\"My ts$\"");
        assert!(quoted("a\"b").is_err() && quoted("").is_err() && quoted("a\nb").is_err());
    }

    #[test]
    fn quotes_are_doubled_and_line_ends_written_out() {
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(literal("a\n/\n"), "'a'||CHR(10)||'/'||CHR(10)||''");
        assert!(constant("/u01/a\nb").is_err());
        assert_eq!(constant("/u01/o'x.dbf").unwrap(), "'/u01/o''x.dbf'");
    }
}
