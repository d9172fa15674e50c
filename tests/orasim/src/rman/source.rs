//! Lines and tokens of RMAN's input: command files are echoed, standard input is prompted for.
//!
//! Lines are read when a token is wanted, so that the prompts come as in RMAN: `RMAN> 2> 3> ` glued together when
//! nobody types, one echoed line each with a command file.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::BufRead;
use std::rc::Rc;

use super::out::Out;

/// Standard input: where commands come from, and the answers to questions whoever asks them.
#[derive(Clone)]
pub struct Input<'a>(Rc<RefCell<&'a mut dyn BufRead>>);

impl<'a> Input<'a> {
    pub fn new(input: &'a mut dyn BufRead) -> Self {
        Self(Rc::new(RefCell::new(input)))
    }

    /// The next line without its end; `None` at the end of the input.
    pub fn line(&self) -> Option<String> {
        let mut bytes = Vec::new();
        match self.0.borrow_mut().read_until(b'\n', &mut bytes) {
            Ok(n) if n > 0 => {
                Some(String::from_utf8_lossy(&bytes).trim_end_matches(['\n', '\r']).to_string())
            }
            _ => None,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// As written; compared without regard to case.
    Word(String),
    Int(u64),
    /// A number with K, M, G or T behind it, in bytes.
    Size(u64),
    /// Between quotes, doubled quotes kept.
    Text {
        text: String,
        double: bool,
    },
    Punct(char),
    End,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    pub kind: Kind,
    /// Counted from 1: the line since the last prompt `RMAN>`, or of the command file.
    pub line: u32,
    pub column: u32,
}

/// What the lexer refuses: RMAN-01006 and the message under it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LexError {
    pub code: u32,
    pub text: String,
    pub line: u32,
    pub column: u32,
}

enum Lines<'a> {
    Stdin(Input<'a>),
    File(VecDeque<String>),
}

/// One source of commands.
pub struct Source<'a> {
    lines: Lines<'a>,
    /// `standard input`, or the command file as it was named.
    pub name: String,
    out: Out<'a>,
    current: Vec<char>,
    at: usize,
    number: u32,
    ended: bool,
    /// Lines read since the last command was taken, for the journal.
    text: String,
}

impl<'a> Source<'a> {
    pub fn stdin(input: Input<'a>, out: Out<'a>) -> Self {
        Self::new(Lines::Stdin(input), "standard input".into(), out)
    }

    pub fn file(text: &str, name: &str, out: Out<'a>) -> Self {
        Self::new(Lines::File(text.lines().map(str::to_string).collect()), name.into(), out)
    }

    fn new(lines: Lines<'a>, name: String, out: Out<'a>) -> Self {
        Self { lines, name, out, current: vec![], at: 0, number: 0, ended: false, text: String::new() }
    }

    /// What was read since the last call, connect strings masked.
    pub fn take_text(&mut self) -> String {
        std::mem::take(&mut self.text).trim().to_string()
    }

    pub fn is_file(&self) -> bool {
        matches!(self.lines, Lines::File(_))
    }

    /// The next command begins: standard input counts its lines anew.
    pub fn restart(&mut self) {
        if !self.is_file() {
            self.number = u32::from(self.more_on_line());
        }
    }

    /// After a syntax error the rest of the line is lost, and no more.
    pub fn drop_line(&mut self) {
        self.at = self.current.len();
        self.restart();
    }

    fn read(&mut self) -> bool {
        if self.ended {
            return false;
        }
        let prompt = if self.number == 0 { "RMAN> ".to_string() } else { format!("{}> ", self.number + 1) };
        let line = match &mut self.lines {
            Lines::File(lines) => {
                let line = lines.pop_front();
                if self.number == 0 {
                    self.out.blank();
                }
                self.out.raw(&format!("{prompt}{}\n", masked(line.as_deref().unwrap_or(""))));
                line
            }
            Lines::Stdin(input) => {
                if self.number == 0 {
                    self.out.blank();
                }
                self.out.raw(&prompt);
                self.out.flush();
                input.line()
            }
        };
        match line {
            Some(line) => {
                self.text.push_str(&masked(&line));
                self.text.push('\n');
                self.current = line.chars().collect();
                self.current.push('\n');
                self.at = 0;
                self.number += 1;
                true
            }
            None => {
                self.ended = true;
                false
            }
        }
    }

    fn peek_char(&self, ahead: usize) -> Option<char> {
        self.current.get(self.at + ahead).copied()
    }

    fn skip_blanks(&mut self) {
        while let Some(c) = self.peek_char(0) {
            if c == '#' {
                self.at = self.current.len();
            } else if c.is_whitespace() {
                self.at += 1;
            } else {
                return;
            }
        }
    }

    /// Whether a token follows on the line that has been read already.
    pub fn more_on_line(&mut self) -> bool {
        self.skip_blanks();
        self.at < self.current.len()
    }

    /// # Errors
    /// A quote that is never closed, or a character that no command has.
    pub fn token(&mut self) -> Result<Token, LexError> {
        while !self.more_on_line() {
            let first_and_empty = self.number == 1 && !self.is_file();
            if first_and_empty && self.current.iter().all(|c| c.is_whitespace()) && !self.current.is_empty() {
                // An empty line is answered with the prompt again.
                self.number = 0;
                self.out.raw("\n");
                self.out.settle();
            }
            if !self.read() {
                return Ok(Token { kind: Kind::End, line: self.number.max(1), column: 1 });
            }
        }
        let (line, column) = (self.number, self.at as u32 + 1);
        let token = |kind| Ok(Token { kind, line, column });
        let c = self.peek_char(0).unwrap_or('\n');
        if c == '\'' || c == '"' {
            return self.quoted(c, line, column);
        }
        let start = self.at;
        let wordly = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$' | '%' | '*' | '/' | '+');
        if wordly(c) {
            while self.peek_char(0).is_some_and(|c| {
                // An unquoted path or tag runs on; a comment begins only after a blank.
                wordly(c) || matches!(c, '.' | '-' | '#')
            }) {
                self.at += 1;
            }
            let word: String = self.current[start..self.at].iter().collect();
            return token(number(&word).unwrap_or(Kind::Word(word)));
        }
        self.at += 1;
        if "{}();,=:@-.<>!&|".contains(c) {
            return token(Kind::Punct(c));
        }
        let text = format!("unrecognized punctuation symbol \"{c}\"");
        Err(LexError { code: 2001, text, line, column })
    }

    fn quoted(&mut self, quote: char, line: u32, column: u32) -> Result<Token, LexError> {
        self.at += 1;
        let mut text = String::new();
        loop {
            match self.peek_char(0) {
                Some(c) if c == quote => {
                    self.at += 1;
                    if self.peek_char(0) != Some(quote) {
                        break;
                    }
                    self.at += 1;
                    text.extend([quote, quote]);
                }
                Some(c) => {
                    text.push(c);
                    self.at += 1;
                }
                None if self.read() => {}
                None => {
                    let text = "unexpected end of input file reached".to_string();
                    return Err(LexError { code: 2002, text, line, column });
                }
            }
        }
        Ok(Token { kind: Kind::Text { text, double: quote == '"' }, line, column })
    }

    /// SQL as it is written, up to its semicolon; `begin` is the word that was read already.
    ///
    /// # Errors
    /// When the input ends before the semicolon.
    pub fn sql(&mut self, begin: &str, line: u32, column: u32) -> Result<String, LexError> {
        let mut text = begin.to_string();
        let block = matches!(begin.to_ascii_lowercase().as_str(), "begin" | "declare");
        let mut quote = None;
        loop {
            let Some(c) = self.peek_char(0) else {
                if self.read() {
                    continue;
                }
                let text = "unexpected end of input file reached".to_string();
                return Err(LexError { code: 2002, text, line, column });
            };
            self.at += 1;
            match (quote, c) {
                (Some(q), c) if q == c => quote = None,
                (None, '\'' | '"') => quote = Some(c),
                // A block ends with a slash on its own line, as in SQL*Plus.
                (None, '/') if block && text.ends_with('\n') && self.rest_is_blank() => break,
                (None, ';') if !block => break,
                _ => {}
            }
            text.push(c);
        }
        Ok(text.trim().to_string())
    }

    fn rest_is_blank(&self) -> bool {
        self.current[self.at.min(self.current.len())..].iter().all(|c| c.is_whitespace())
    }
}

fn number(word: &str) -> Option<Kind> {
    if let Ok(n) = word.parse() {
        return Some(Kind::Int(n));
    }
    let factor = match word.chars().last()?.to_ascii_uppercase() {
        'K' => 1u64 << 10,
        'M' => 1 << 20,
        'G' => 1 << 30,
        'T' => 1 << 40,
        _ => return None,
    };
    let digits: u64 = word[..word.len() - 1].parse().ok()?;
    digits.checked_mul(factor).map(Kind::Size)
}

/// A connect string in a command file is not shown.
fn masked(line: &str) -> String {
    let words: Vec<&str> = line.split_whitespace().collect();
    match words.as_slice() {
        [connect, what, ..] if connect.eq_ignore_ascii_case("connect") => format!("{connect} {what} *"),
        _ => line.to_string(),
    }
}
