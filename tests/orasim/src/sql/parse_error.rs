//! The parser's complaints in Oracle's codes.

use super::tokens::{Lexeme, Token};
use super::SqlError;
use crate::engine::OraError;

/// Maps a sqlparser message ("Expected: x, found: y at Line: l, Column: c") to the code that Oracle gives.
pub fn map(message: &str, lexemes: &[Lexeme]) -> SqlError {
    let at = position(message).or_else(|| lexemes.last().map(|l| l.at)).unwrap_or((1, 1));
    let expected =
        message.split_once("Expected: ").map_or("", |(_, t)| t.split(", found").next().unwrap_or(""));
    let before: Vec<&Lexeme> = lexemes.iter().filter(|l| l.at < at).collect();
    let last = before.last().map(|l| &l.token);
    let from_seen = level_has_from(&before);
    let word = |w: &str| Token::Word(w.into());
    // `SELECT a, FROM t`: the parser takes FROM for a column.
    let dangling = before.windows(2).rev().take(2).any(|w| {
        w[1].token == word("FROM") && (w[0].token == Token::Symbol(',') || w[0].token == word("SELECT"))
    });
    let (code, text) = if dangling {
        (936, "missing expression")
    } else if expected == ")" || expected.starts_with("',' or ')'") {
        (907, "missing right parenthesis")
    } else if expected == "(" {
        (906, "missing left parenthesis")
    } else if last.is_some_and(|t| [word("FROM"), word("JOIN")].contains(t)) {
        (903, "invalid table name")
    } else if expected.contains("expression") || last.is_some_and(ends_open) {
        (936, "missing expression")
    } else if expected.contains("SELECT") {
        (928, "missing SELECT keyword")
    } else if !from_seen {
        (923, "FROM keyword not found where expected")
    } else {
        (933, "SQL command not properly ended")
    };
    SqlError::at(OraError::new(code, text), at)
}

fn ends_open(token: &Token) -> bool {
    match token {
        Token::Symbol(c) => ",=<>+-*/|(".contains(*c),
        Token::Word(w) => matches!(w.as_str(), "SELECT" | "WHERE" | "AND" | "OR" | "BY" | "ON" | "HAVING"),
        _ => false,
    }
}

/// Whether FROM has been read at the parenthesis level of the last token.
fn level_has_from(before: &[&Lexeme]) -> bool {
    let mut stack = vec![false];
    for lexeme in before {
        match &lexeme.token {
            Token::Symbol('(') => stack.push(false),
            Token::Symbol(')') if stack.len() > 1 => {
                stack.pop();
            }
            Token::Word(w) if w == "FROM" => {
                if let Some(top) = stack.last_mut() {
                    *top = true;
                }
            }
            _ => {}
        }
    }
    stack.last().copied().unwrap_or(false)
}

fn position(message: &str) -> Option<(u64, u64)> {
    let (_, tail) = message.rsplit_once("Line: ")?;
    let (line, column) = tail.split_once(", Column: ")?;
    let digits: String = column.chars().take_while(char::is_ascii_digit).collect();
    match (line.trim().parse().ok()?, digits.parse().ok()?) {
        (0, _) => None,
        found => Some(found),
    }
}
