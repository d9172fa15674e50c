//! SQL statements: sent, and their answers shown.

use std::time::Instant;

use super::report::{with_tabs, Report};
use super::{message, Client, ExitCode, OnError};
use crate::server::wire::{Request, Response, Stack};
use crate::sql::{Cell, Head};

impl Client<'_> {
    pub(super) fn run_buffer(&mut self) {
        let text = self.buffer.join("\n");
        let Some(text) = self.substitute(&text, true) else { return };
        self.unknown_commands = 0;
        self.execute(&text);
    }

    /// Asks the server; a connection that breaks is a lost session.
    pub(super) fn ask(&mut self, request: Request) -> Response {
        let _ = self.output.flush();
        let Some(connection) = &mut self.connection else {
            return Response::Error {
                stack: crate::sql::not_available().stack,
                at: Some((1, 1)),
                dead: false,
            };
        };
        connection.ask(request).unwrap_or_else(|_| Response::lost())
    }

    fn execute(&mut self, text: &str) {
        if !self.connected {
            self.say(message::NOT_CONNECTED, &[]);
            return;
        }
        if self.dead {
            self.say(message::ERROR, &[]);
            let stack = vec![(3114, "not connected to ORACLE".to_string())];
            self.stack_lines(&stack);
            self.line("");
            self.line("");
            self.sql_error(3114);
            return;
        }
        let start = Instant::now();
        let response = self.ask(Request::Sql { text: text.to_string() });
        match response {
            Response::Rows { heads, rows } => self.rows(&heads, &rows),
            Response::Done { what, notes } => {
                // The SQL form of RECOVER says no more than "Database altered."
                for note in notes.into_iter().filter(|n| !n.starts_with("Media recovery c")) {
                    self.wrapped(&note);
                }
                if self.settings.feedback > 0 {
                    let text = message::done(what, self.language());
                    self.line(&format!("\n{text}\n"));
                }
                self.session_changed(text);
            }
            Response::Block { output } => {
                if self.settings.serveroutput {
                    for line in output {
                        self.line(&line);
                    }
                }
                if self.settings.feedback > 0 {
                    let text = message::say(message::BLOCK, self.language(), &[]);
                    self.line(&format!("\n{text}\n"));
                }
            }
            Response::Error { stack, at, dead } => {
                self.error(text, &stack, at);
                if dead {
                    self.dead = true;
                    self.connection = None;
                }
                self.sql_error(stack.first().map_or(0, |s| s.0));
            }
            _ => {}
        }
        if self.settings.timing {
            let took = start.elapsed();
            let shown = format!(
                "{:02}:{:02}:{:02}.{:02}",
                took.as_secs() / 3600,
                took.as_secs() / 60 % 60,
                took.as_secs() % 60,
                took.subsec_millis() / 10
            );
            self.say(message::ELAPSED, &[&shown]);
        }
    }

    /// ALTER SESSION SET NLS_… changes what the client prints as well.
    fn session_changed(&mut self, text: &str) {
        let upper = text.to_uppercase();
        if !upper.contains("NLS_") {
            return;
        }
        if let Ok(crate::sql::Parsed::Session(setting)) = crate::sql::parse(text) {
            let mut session = crate::sql::Session::sysdba(self.nls.clone());
            setting.apply(&mut session);
            self.nls = session.nls;
        }
    }

    fn rows(&mut self, heads: &[Head], rows: &[Vec<Cell>]) {
        for (index, head) in heads.iter().enumerate() {
            let variable = self.columns.get(&head.name.to_uppercase()).and_then(|f| f.new_value.clone());
            if let (Some(variable), Some(row)) = (variable, rows.last()) {
                let text = match row.get(index) {
                    Some(Cell::Text(t) | Cell::Number(t)) => t.clone(),
                    _ => String::new(),
                };
                self.defines.insert(variable.to_uppercase(), text);
            }
        }
        let lines =
            Report { settings: &self.settings, columns: &self.columns, nls: &self.nls }.lines(heads, rows);
        let csv = self.settings.csv.is_some();
        for line in lines {
            self.data_line(&line, csv);
        }
        let feedback = self.settings.feedback;
        if feedback == 0 {
            return;
        }
        match rows.len() {
            0 => {
                let text = message::say(message::NO_ROWS, self.language(), &[]);
                self.line(&format!("\n{text}\n"));
            }
            n if n < feedback => self.line(""),
            1 => {
                let text = message::say(message::ONE_ROW, self.language(), &[]);
                self.line(&format!("\n{text}\n"));
            }
            n => {
                let text = message::say(message::ROWS, self.language(), &[&n.to_string()]);
                self.line(&format!("\n{text}\n"));
            }
        }
    }

    /// A line of a result: trimmed or padded, with tabs or without, by the settings of terminal and spool.
    fn data_line(&mut self, line: &str, csv: bool) {
        let width = self.settings.linesize;
        let shape = |trim: bool, tab: bool| {
            if csv {
                return line.to_string();
            }
            let text = if trim { line.trim_end().to_string() } else { format!("{line:<width$}") };
            if tab {
                with_tabs(&text)
            } else {
                text
            }
        };
        let terminal = self.charset.encode(&(shape(self.settings.trimout, self.settings.tab) + "\n"));
        if self.settings.termout || !self.in_script() {
            let _ = self.output.write_all(&terminal);
        }
        let spooled = self.charset.encode(&(shape(self.settings.trimspool, self.settings.tab) + "\n"));
        if let Some(spool) = &mut self.spool {
            let _ = std::io::Write::write_all(spool, &spooled);
        }
    }

    /// Text of a message, broken at LINESIZE: between words where it can, in the middle of a path where it must.
    pub(super) fn wrapped(&mut self, text: &str) {
        let width = self.settings.linesize;
        for line in text.split('\n') {
            let mut rest: Vec<char> = line.chars().collect();
            while rest.len() > width {
                let blank = rest[..=width].iter().rposition(|c| *c == ' ').filter(|p| *p > 0);
                let (cut, next) = match blank {
                    Some(p) => (p, p + 1),
                    None => (width, width),
                };
                let head: String = rest[..cut].iter().collect();
                self.line(&head);
                rest.drain(..next);
            }
            let last: String = rest.into_iter().collect();
            self.line(&last);
        }
    }

    pub(super) fn stack_lines(&mut self, stack: &Stack) {
        for (code, text) in stack {
            let text = message::server(*code, text, self.language());
            self.wrapped(&format!("ORA-{code:05}: {text}"));
        }
    }

    fn error(&mut self, text: &str, stack: &Stack, at: Option<(u64, u64)>) {
        match at {
            Some((line, column)) => {
                let shown = text.lines().nth(line.saturating_sub(1) as usize).unwrap_or("");
                self.line(shown);
                self.line(&format!("{}*", " ".repeat(column.saturating_sub(1) as usize)));
                self.say(message::ERROR_AT, &[&line.to_string()]);
            }
            None => self.say(message::ERROR, &[]),
        }
        self.stack_lines(stack);
        self.line("");
        self.line("");
    }

    pub(super) fn sql_error(&mut self, code: u32) {
        self.last_code = code;
        if let OnError::Exit(exit) = self.on_sql_error {
            self.exit = Some(self.exit_status(exit));
        }
    }

    pub(super) fn os_error(&mut self) {
        if let OnError::Exit(exit) = self.on_os_error {
            self.exit = Some(self.exit_status(exit));
        }
    }

    /// The status before the operating system cuts it to one byte.
    pub(super) fn exit_status(&self, exit: ExitCode) -> i32 {
        match exit {
            ExitCode::Value(n) => (n & 0xff) as i32,
            ExitCode::SqlCode => (self.last_code & 0xff) as i32,
        }
    }

    pub(super) fn enable_output(&mut self) {
        if self.connection.is_some() && !self.dead {
            let text = "BEGIN DBMS_OUTPUT.ENABLE(NULL); END;".to_string();
            let _ = self.ask(Request::Sql { text });
        }
    }
}
