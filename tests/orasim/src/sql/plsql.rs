//! Anonymous blocks: a straight list of NULL, EXECUTE IMMEDIATE, DBMS_OUTPUT and sleep calls. No variables, no control flow.

use std::time::Duration;

use super::tokens::{lex, Lexeme, Token};
use super::{Cell, Outcome, Session, SqlError};
use crate::engine::{Engine, OraError};

enum Step<'a> {
    Nothing,
    /// Expression text of EXECUTE IMMEDIATE.
    Immediate(&'a str),
    PutLine(&'a str),
    Enable,
    Sleep(f64),
}

fn compile_error(at: (u64, u64), pls: &str) -> SqlError {
    let place = format!("line {}, column {}:", at.0, at.1);
    SqlError::at(
        OraError::new(6550, format!("{place}\n{pls}"))
            .then(6550, format!("{place}\nPL/SQL: Statement ignored")),
        at,
    )
}

fn steps<'a>(text: &'a str, lexemes: &[Lexeme]) -> Result<Vec<(Step<'a>, u64)>, SqlError> {
    let end_at = lexemes.last().map_or((1, 1), |l| l.at);
    let eof = |at: (u64, u64), found: &str| {
        let place = format!("line {}, column {}:", at.0, at.1);
        SqlError::at(
            OraError::new(6550, format!("{place}\nPLS-00103: Encountered the symbol \"{found}\" when expecting one of the following:\n\n   ( begin case declare end exit for goto if loop null pragma\n   raise return select update while with")),
            at,
        )
    };
    let word = |i: usize, w: &str| lexemes.get(i).is_some_and(|l| l.token == Token::Word(w.into()));
    let symbol = |i: usize, c: char| lexemes.get(i).is_some_and(|l| l.token == Token::Symbol(c));
    if word(0, "DECLARE") {
        return Err(SqlError::at(OraError::new(3001, "unimplemented feature (DECLARE in orasim)"), (1, 1)));
    }
    let mut out = Vec::new();
    let mut i = 1;
    loop {
        if word(i, "END") {
            if symbol(i + 1, ';') && i + 2 == lexemes.len() {
                return Ok(out);
            }
            return Err(eof(end_at, "end-of-file"));
        }
        let start = i;
        while i < lexemes.len() && !symbol(i, ';') {
            i += 1;
        }
        if i >= lexemes.len() || start == i {
            return Err(eof(end_at, "end-of-file"));
        }
        let at = lexemes[start].at;
        let span = |from: usize, to: usize| lexemes.get(from).map_or("", |f| &text[f.start..lexemes[to].end]);
        let call = |names: &[&str]| {
            // DBMS_X . NAME ( … )
            word(start, names[0]) && symbol(start + 1, '.') && word(start + 2, names[1])
        };
        let inner = if symbol(start + 3, '(') && symbol(i - 1, ')') && i - 1 > start + 4 {
            span(start + 4, i - 2)
        } else {
            ""
        };
        let step = if word(start, "NULL") && i == start + 1 {
            Step::Nothing
        } else if word(start, "EXECUTE") && word(start + 1, "IMMEDIATE") && i > start + 2 {
            Step::Immediate(span(start + 2, i - 1))
        } else if call(&["DBMS_OUTPUT", "PUT_LINE"]) {
            Step::PutLine(inner)
        } else if call(&["DBMS_OUTPUT", "ENABLE"]) || call(&["DBMS_OUTPUT", "DISABLE"]) {
            Step::Enable
        } else if call(&["DBMS_LOCK", "SLEEP"]) || call(&["DBMS_SESSION", "SLEEP"]) {
            Step::Sleep(inner.trim().parse().unwrap_or(0.0))
        } else if word(start, "COMMIT") || word(start, "ROLLBACK") {
            Step::Nothing
        } else {
            let name = span(start, start);
            return Err(compile_error(
                at,
                &format!("PLS-00201: identifier '{}' must be declared", name.to_uppercase()),
            ));
        };
        out.push((step, at.0));
        i += 1;
    }
}

/// The literal statements that the EXECUTE IMMEDIATEs of a block hold, for the journal.
pub fn literals(text: &str) -> Vec<String> {
    let Ok(lexemes) = lex(text) else { return vec![] };
    lexemes
        .windows(3)
        .filter_map(|w| match w {
            [a, b, c]
                if a.token == Token::Word("EXECUTE".into()) && b.token == Token::Word("IMMEDIATE".into()) =>
            {
                match &c.token {
                    Token::Text(text) => Some(text.clone()),
                    _ => None,
                }
            }
            _ => None,
        })
        .collect()
}

pub fn run(engine: &dyn Engine, session: &mut Session, text: &str) -> Result<Outcome, SqlError> {
    let lexemes = lex(text)?;
    let mut output = Vec::new();
    for (step, line) in steps(text, &lexemes)? {
        let traced =
            |error: SqlError| SqlError::at(error.error.then(6512, format!("at line {line}")), (1, 1));
        match step {
            Step::Nothing | Step::Enable => {}
            Step::Sleep(seconds) => std::thread::sleep(Duration::from_secs_f64(seconds.clamp(0.0, 3600.0))),
            Step::PutLine(expression) => output.push(evaluate(engine, session, expression).map_err(traced)?),
            Step::Immediate(expression) => {
                let statement = evaluate(engine, session, expression).map_err(traced)?;
                super::run(engine, session, &statement).map_err(traced)?;
            }
        }
    }
    Ok(Outcome::Block { output })
}

fn evaluate(engine: &dyn Engine, session: &Session, expression: &str) -> Result<String, SqlError> {
    let outcome = super::select::run(engine, session, &format!("SELECT {expression} FROM DUAL"))?;
    Ok(match outcome {
        Outcome::Rows { rows, .. } => match rows.into_iter().next().and_then(|r| r.into_iter().next()) {
            Some(Cell::Text(text) | Cell::Number(text)) => text,
            _ => String::new(),
        },
        _ => String::new(),
    })
}
