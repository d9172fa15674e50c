//! Tokens one by one, and RMAN's words when the wrong one stands there.

use super::{ParseError, Parsed, Parser};
use crate::rman::source::{Kind, LexError, Token};

impl Parser<'_, '_> {
    pub(super) fn lexical(&self, e: LexError) -> ParseError {
        ParseError(vec![
            (1006, "error signaled during parse".into()),
            (e.code, e.text),
            (1007, format!("at line {} column {} file: {}", e.line, e.column, self.source.name)),
        ])
    }

    pub(super) fn peek(&mut self) -> Parsed<&Token> {
        if self.ahead.is_none() {
            let token = self.source.token().map_err(|e| self.lexical(e))?;
            self.ahead = Some(token);
        }
        Ok(self.ahead.get_or_insert(Token { kind: Kind::End, line: 1, column: 1 }))
    }

    pub(super) fn next(&mut self) -> Parsed<Token> {
        self.peek()?;
        self.expected.clear();
        Ok(self.ahead.take().unwrap_or(Token { kind: Kind::End, line: 1, column: 1 }))
    }

    /// True when the command may end here because its line does: EXIT, STARTUP and the like need no semicolon.
    pub(super) fn line_is_done(&mut self) -> bool {
        self.ahead.is_none() && !self.source.more_on_line()
    }

    pub(super) fn error<T>(&mut self) -> Parsed<T> {
        let expected = if self.expected.is_empty() {
            ";".to_string()
        } else {
            let mut words = std::mem::take(&mut self.expected);
            words.sort();
            words.dedup();
            words.join(", ")
        };
        self.unexpected(&expected)
    }

    pub(super) fn unexpected<T>(&mut self, expected: &str) -> Parsed<T> {
        let token = self.peek()?.clone();
        let mut bad = None;
        let found = match &token.kind {
            Kind::Word(w) if KEYWORDS.contains(&w.to_ascii_lowercase().as_str()) => w.to_ascii_lowercase(),
            Kind::Word(w) => {
                bad = Some(w.clone());
                "identifier".into()
            }
            Kind::Int(_) | Kind::Size(_) => "integer".into(),
            Kind::Text { double: true, .. } => "double-quoted-string".into(),
            Kind::Text { .. } => "single-quoted-string".into(),
            Kind::Punct(c) => c.to_string(),
            Kind::End => "end-of-file".into(),
        };
        let mut lines =
            vec![(1009, format!("syntax error: found \"{found}\": expecting one of: \"{expected}\""))];
        if let Some(bad) = bad {
            lines.push((1008, format!("the bad identifier was: {bad}")));
        }
        lines.push((
            1007,
            format!("at line {} column {} file: {}", token.line, token.column, self.source.name),
        ));
        Err(ParseError(lines))
    }

    pub(super) fn is_word(&mut self, word: &str) -> Parsed<bool> {
        Ok(matches!(&self.peek()?.kind, Kind::Word(w) if w.eq_ignore_ascii_case(word)))
    }

    pub(super) fn accept(&mut self, word: &str) -> Parsed<bool> {
        if self.is_word(word)? {
            self.next()?;
            return Ok(true);
        }
        self.expected.push(word.to_ascii_lowercase());
        Ok(false)
    }

    pub(super) fn expect(&mut self, word: &str) -> Parsed<()> {
        if self.accept(word)? {
            return Ok(());
        }
        self.error()
    }

    pub(super) fn accept_punct(&mut self, c: char) -> Parsed<bool> {
        if self.peek()?.kind == Kind::Punct(c) {
            self.next()?;
            return Ok(true);
        }
        self.expected.push(c.to_string());
        Ok(false)
    }

    pub(super) fn expect_punct(&mut self, c: char) -> Parsed<()> {
        if self.accept_punct(c)? {
            return Ok(());
        }
        self.error()
    }

    pub(super) fn equals(&mut self) -> Parsed<()> {
        self.accept_punct('=').map(|_| ())
    }

    pub(super) fn int(&mut self) -> Parsed<u64> {
        if let Kind::Int(n) = self.peek()?.kind {
            self.next()?;
            return Ok(n);
        }
        self.expected.push("integer".into());
        self.error()
    }

    /// A number of bytes: `2G`, `500 M`, `1048576`.
    pub(super) fn size(&mut self) -> Parsed<u64> {
        match self.peek()?.kind {
            Kind::Size(n) => {
                self.next()?;
                Ok(n)
            }
            Kind::Int(n) => {
                self.next()?;
                for (unit, shift) in [("K", 10), ("M", 20), ("G", 30), ("T", 40)] {
                    if self.accept(unit)? {
                        return Ok(n << shift);
                    }
                }
                Ok(n)
            }
            _ => {
                self.expected.push("integer".into());
                self.error()
            }
        }
    }

    /// Between quotes of either kind.
    pub(super) fn text(&mut self) -> Parsed<String> {
        if let Kind::Text { text, .. } = &self.peek()?.kind {
            let text = text.replace("''", "'");
            self.next()?;
            return Ok(text);
        }
        self.expected.extend(["double-quoted-string".to_string(), "single-quoted-string".to_string()]);
        self.error()
    }

    pub(super) fn is_text(&mut self) -> Parsed<bool> {
        Ok(matches!(self.peek()?.kind, Kind::Text { .. }))
    }

    pub(super) fn texts(&mut self) -> Parsed<Vec<String>> {
        let mut out = vec![self.text()?];
        while self.accept_punct(',')? {
            out.push(self.text()?);
        }
        Ok(out)
    }

    /// A tag, a channel: a word or a quoted text, as written.
    pub(super) fn name(&mut self) -> Parsed<String> {
        match self.peek()?.kind.clone() {
            Kind::Word(w) => {
                self.next()?;
                Ok(w)
            }
            Kind::Int(n) => {
                self.next()?;
                Ok(n.to_string())
            }
            Kind::Text { text, .. } => {
                self.next()?;
                Ok(text)
            }
            _ => {
                self.expected.extend([
                    "double-quoted-string".into(),
                    "identifier".into(),
                    "single-quoted-string".into(),
                ]);
                self.error()
            }
        }
    }

    pub(super) fn end(&mut self) -> Parsed<()> {
        if self.accept_punct(';')? {
            return Ok(());
        }
        self.error()
    }
}

/// Words that RMAN names in a syntax error; any other is an "identifier".
const KEYWORDS: &[&str] = &[
    "all",
    "allocate",
    "alter",
    "and",
    "archivelog",
    "as",
    "autobackup",
    "available",
    "backup",
    "backuppiece",
    "backupset",
    "before",
    "between",
    "catalog",
    "change",
    "channel",
    "check",
    "clear",
    "command",
    "completed",
    "compressed",
    "configure",
    "connect",
    "controlfile",
    "copy",
    "crosscheck",
    "cumulative",
    "current",
    "database",
    "datafile",
    "days",
    "dbid",
    "delete",
    "destination",
    "device",
    "disk",
    "duplicate",
    "execute",
    "exit",
    "expired",
    "filesperset",
    "for",
    "force",
    "format",
    "from",
    "full",
    "host",
    "id",
    "immediate",
    "incarnation",
    "include",
    "incremental",
    "input",
    "level",
    "like",
    "list",
    "log",
    "logical",
    "maxpiecesize",
    "maxsetsize",
    "mount",
    "need",
    "newname",
    "nomount",
    "noprompt",
    "noredo",
    "not",
    "obsolete",
    "of",
    "off",
    "offline",
    "on",
    "open",
    "parallelism",
    "plus",
    "preview",
    "quit",
    "readonly",
    "recover",
    "recovery",
    "redundancy",
    "release",
    "report",
    "reset",
    "resetlogs",
    "restore",
    "run",
    "sbt",
    "schema",
    "scn",
    "script",
    "section",
    "sequence",
    "set",
    "show",
    "shutdown",
    "size",
    "skip",
    "spfile",
    "spool",
    "sql",
    "start",
    "startup",
    "summary",
    "switch",
    "tablespace",
    "tag",
    "target",
    "thread",
    "time",
    "times",
    "to",
    "type",
    "unavailable",
    "uncatalog",
    "until",
    "validate",
    "with",
];
