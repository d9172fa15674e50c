//! Oracle's lexical rules, for the statements that are parsed by hand and for the checks before a SELECT is parsed.

use super::SqlError;
use crate::engine::OraError;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Token {
    /// Folded to upper case.
    Word(String),
    /// A quoted identifier, as written.
    Quoted(String),
    /// A string literal without its quotes.
    Text(String),
    Number(String),
    Symbol(char),
}

#[derive(Debug, Clone)]
pub struct Lexeme {
    pub token: Token,
    /// Byte offsets in the statement.
    pub start: usize,
    pub end: usize,
    /// Line and column, counted from 1.
    pub at: (u64, u64),
}

/// Cuts a statement into tokens; comments are dropped.
///
/// # Errors
/// ORA-01756, ORA-01740, ORA-00911 for what cannot be cut.
pub fn lex(text: &str) -> Result<Vec<Lexeme>, SqlError> {
    let chars: Vec<(usize, char)> = text.char_indices().collect();
    let mut out = Vec::new();
    let mut i = 0;
    let (mut line, mut column) = (1_u64, 1_u64);
    let end_of = |i: usize| chars.get(i).map_or(text.len(), |(o, _)| *o);
    while let Some(&(start, c)) = chars.get(i) {
        let at = (line, column);
        let next = chars.get(i + 1).map(|(_, c)| *c);
        let from = i;
        let mut token = None;
        if c.is_whitespace() {
            i += 1;
        } else if c == '-' && next == Some('-') {
            while chars.get(i).is_some_and(|(_, c)| *c != '\n') {
                i += 1;
            }
        } else if c == '/' && next == Some('*') {
            i += 2;
            while i < chars.len() && !(chars[i].1 == '*' && chars.get(i + 1).is_some_and(|(_, c)| *c == '/'))
            {
                i += 1;
            }
            i = (i + 2).min(chars.len());
        } else if matches!(c, 'q' | 'Q') && next == Some('\'') && i + 2 < chars.len() {
            let open = chars[i + 2].1;
            let close = match open {
                '[' => ']',
                '{' => '}',
                '(' => ')',
                '<' => '>',
                other => other,
            };
            let mut body = String::new();
            i += 3;
            loop {
                match (chars.get(i), chars.get(i + 1)) {
                    (Some((_, a)), Some((_, '\''))) if *a == close => break,
                    (Some((_, a)), _) => body.push(*a),
                    _ => {
                        return Err(SqlError::at(
                            OraError::new(1756, "quoted string not properly terminated"),
                            at,
                        ))
                    }
                }
                i += 1;
            }
            i += 2;
            token = Some(Token::Text(body));
        } else if c == '\'' {
            let mut body = String::new();
            i += 1;
            loop {
                match chars.get(i) {
                    Some((_, '\'')) if chars.get(i + 1).is_some_and(|(_, c)| *c == '\'') => {
                        body.push('\'');
                        i += 2;
                    }
                    Some((_, '\'')) => break,
                    Some((_, other)) => {
                        body.push(*other);
                        i += 1;
                    }
                    None => {
                        return Err(SqlError::at(
                            OraError::new(1756, "quoted string not properly terminated"),
                            at,
                        ))
                    }
                }
            }
            i += 1;
            token = Some(Token::Text(body));
        } else if c == '"' {
            let close = chars[i + 1..].iter().position(|(_, c)| *c == '"');
            let Some(close) = close else {
                return Err(SqlError::at(OraError::new(1740, "missing double quote in identifier"), at));
            };
            let body: String = chars[i + 1..i + 1 + close].iter().map(|(_, c)| c).collect();
            if body.is_empty() {
                return Err(SqlError::at(OraError::new(1741, "illegal zero-length identifier"), at));
            }
            i += close + 2;
            token = Some(Token::Quoted(body));
        } else if c.is_alphabetic() {
            while chars.get(i).is_some_and(|(_, c)| c.is_alphanumeric() || matches!(c, '_' | '$' | '#')) {
                i += 1;
            }
            token = Some(Token::Word(text[start..end_of(i)].to_uppercase()));
        } else if c.is_ascii_digit() {
            while chars.get(i).is_some_and(|(_, c)| c.is_ascii_digit() || *c == '.') {
                i += 1;
            }
            token = Some(Token::Number(text[start..end_of(i)].to_string()));
        } else if "()+-*/,.=<>!^|:@&%;".contains(c) {
            i += 1;
            token = Some(Token::Symbol(c));
        } else {
            return Err(SqlError::at(OraError::new(911, "invalid character"), at));
        }
        for (_, c) in &chars[from..i.min(chars.len())] {
            if *c == '\n' {
                line += 1;
                column = 1;
            } else {
                column += 1;
            }
        }
        if let Some(token) = token {
            out.push(Lexeme { token, start, end: end_of(i), at });
        }
    }
    Ok(out)
}

/// The text of each item of the outermost select list as SQL*Plus heads it: no blanks, upper case except in literals.
pub fn headings(text: &str, lexemes: &[Lexeme]) -> Vec<String> {
    let mut depth = 0_i32;
    let mut items = Vec::new();
    let mut current: Option<String> = None;
    for (i, lexeme) in lexemes.iter().enumerate() {
        match &lexeme.token {
            Token::Symbol('(') => depth += 1,
            Token::Symbol(')') => depth -= 1,
            _ => {}
        }
        let word = |w: &str| lexeme.token == Token::Word(w.into());
        if depth == 0 && current.is_none() && word("SELECT") {
            current = Some(String::new());
            continue;
        }
        let Some(item) = &mut current else { continue };
        if depth == 0 && word("FROM") {
            items.push(std::mem::take(item));
            return items;
        }
        if depth == 0 && lexeme.token == Token::Symbol(',') {
            items.push(std::mem::take(item));
            continue;
        }
        if item.is_empty() && (word("DISTINCT") || word("UNIQUE")) && i > 0 {
            continue;
        }
        match &lexeme.token {
            Token::Text(_) | Token::Quoted(_) => item.push_str(&text[lexeme.start..lexeme.end]),
            _ => item.push_str(&text[lexeme.start..lexeme.end].to_uppercase()),
        }
    }
    items
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads() {
        let sql = "select to_char( max(x) ,'fm9') , 'It''s'||b from t";
        assert_eq!(headings(sql, &lex(sql).unwrap()), ["TO_CHAR(MAX(X),'fm9')", "'It''s'||B"]);
    }

    #[test]
    fn refusals() {
        assert_eq!(lex("select 'x from dual").unwrap_err().error.code(), 1756);
        assert_eq!(lex("select `x` from dual").unwrap_err().error.code(), 911);
        assert_eq!(lex("select \"x from dual").unwrap_err().error.code(), 1740);
    }
}
