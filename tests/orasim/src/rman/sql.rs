//! SQL '…', SQL statements as they are, STARTUP and SHUTDOWN.

use super::ast::Mode;
use super::session::{Done, Rman};
use super::stack::{ora_lines, Failed};
use crate::server::wire::{Request, Response, ShutdownWord, StartupWord, Step};
use crate::sql::{Cell, Done as Said, Head, Shape};

impl Rman<'_> {
    /// `SQL '…'`: the statement is shown with its quotes still doubled.
    pub fn sql_command(&mut self, text: &str) -> Done {
        self.repository();
        self.out.paragraph(&format!("sql statement: {text}"));
        let statement = text.replace("''", "'");
        let statement = statement.trim().trim_end_matches(';');
        match self.ask(Request::Sql { text: statement.to_string() }) {
            Response::Error { stack, .. } => {
                let mut lines =
                    vec![format!("RMAN-11003: failure during parse/execution of SQL statement: {text}")];
                lines.extend(ora_lines(&stack));
                Err(Failed::new("sql", Some("default"), lines))
            }
            _ => Ok(()),
        }
    }

    /// A statement of SQL, as RMAN takes them since 12c.
    pub fn statement(&mut self, text: &str) -> Done {
        let lower = text.to_ascii_lowercase();
        let words: Vec<&str> = lower.split_whitespace().collect();
        let opens = matches!(words.as_slice(), ["alter", "database", "open" | "mount", ..]);
        if self.front.major() < 12 && !opens {
            let lines = super::stack::rman_lines(&[
                (558, "error encountered while parsing input commands".into()),
                (1009, format!("syntax error: found \"identifier\": expecting one of: \"allocate, alter, backup\"\nRMAN-01008: the bad identifier was: {}", words.first().unwrap_or(&""))),
            ]);
            return Err(Failed { lines, ..Failed::default() });
        }
        self.repository();
        match self.ask(Request::Sql { text: text.trim().trim_end_matches(';').to_string() }) {
            Response::Error { stack, .. } => {
                Err(Failed::ora(if self.front.major() < 12 { "alter db" } else { "sql statement" }, &stack))
            }
            Response::Rows { heads, rows } => {
                self.select(&heads, &rows);
                Ok(())
            }
            Response::Done { what, .. } if self.front.major() < 12 => {
                if what == Said::Database {
                    self.out.line(if words.contains(&"mount") {
                        "database mounted"
                    } else {
                        "database opened"
                    });
                }
                Ok(())
            }
            _ => {
                self.out.paragraph("Statement processed");
                Ok(())
            }
        }
    }

    /// As SQL*Plus shows rows, with every column on the line.
    fn select(&self, heads: &[Head], rows: &[Vec<Cell>]) {
        let text = |cell: &Cell| match cell {
            Cell::Null => String::new(),
            Cell::Text(t) | Cell::Number(t) => t.clone(),
        };
        let rows: Vec<Vec<String>> = rows.iter().map(|r| r.iter().map(text).collect()).collect();
        let widths: Vec<usize> = heads
            .iter()
            .enumerate()
            .map(|(i, head)| {
                let widest = rows.iter().map(|r| r.get(i).map_or(0, String::len)).max().unwrap_or(0);
                widest.max(head.name.len()).max(10)
            })
            .collect();
        let line = |cells: Vec<(String, bool)>| -> String {
            let mut out = String::new();
            for ((cell, right), width) in cells.into_iter().zip(&widths) {
                out.push_str(&if right { format!("{cell:>width$} ") } else { format!("{cell:<width$} ") });
            }
            out
        };
        let right = |i: usize| matches!(heads.get(i).map(|h| &h.shape), Some(Shape::Number));
        self.out.paragraph(&line(heads.iter().map(|h| (h.name.clone(), false)).collect()));
        self.out.line(&line(widths.iter().map(|w| ("-".repeat(*w), false)).collect()));
        for row in rows {
            self.out.line(&line(row.into_iter().enumerate().map(|(i, c)| (c, right(i))).collect()));
        }
        self.out.blank();
    }

    pub fn startup(&mut self, mode: Mode, force: bool) -> Done {
        if force {
            let response = self.ask(Request::Shutdown { mode: ShutdownWord::Abort });
            self.steps("startup", response)?;
        }
        let idle = matches!(
            self.ask(Request::Sql { text: "SELECT 1 FROM v$instance".into() }),
            Response::Error { .. }
        );
        let mut response = Response::Steps { steps: vec![], error: None };
        if idle {
            let word = match mode {
                Mode::Nomount => StartupWord::Nomount,
                Mode::Mount => StartupWord::Mount,
                Mode::Open => StartupWord::Open,
            };
            if self.connection.is_none() {
                let lines = vec![
                    "RMAN-04014: startup failed: ORA-01078: failure in processing system parameters"
                        .to_string(),
                    "LRM-00109: could not open parameter file".to_string(),
                ];
                return Err(Failed::new("startup", None, lines));
            }
            response = self.ask(Request::Startup { mode: word });
        } else if mode != Mode::Nomount {
            // STARTUP goes on from where the instance is.
            let wanted: &[&str] = match mode {
                Mode::Mount => &["alter database mount"],
                _ => &["alter database mount", "alter database open"],
            };
            let open_mode = self.one("SELECT open_mode FROM v$database");
            self.out.line("database is already started");
            for statement in wanted {
                let mounted = open_mode.is_some() && statement.ends_with("mount");
                let open = open_mode.as_deref().is_some_and(|m| m.starts_with("READ"));
                if mounted || open {
                    continue;
                }
                match self.ask(Request::Sql { text: (*statement).into() }) {
                    Response::Error { stack, .. } => return Err(Failed::ora("startup", &stack)),
                    _ => self.out.line(if statement.ends_with("mount") {
                        "database mounted"
                    } else {
                        "database opened"
                    }),
                }
            }
        } else {
            return Err(Failed::new(
                "startup",
                None,
                vec!["ORA-01081: cannot start already-running ORACLE - shut it down first".into()],
            ));
        }
        let result = self.steps("startup", response);
        if idle && result.is_ok() {
            self.memory();
        }
        self.begin_session();
        result
    }

    fn memory(&self) {
        self.out.paragraph(
            "Total System Global Area     583000016 bytes\n\n\
             Fixed Size                     9101264 bytes\n\
             Variable Size                297795584 bytes\n\
             Database Buffers             268435456 bytes\n\
             Redo Buffers                   7667712 bytes\n",
        );
    }

    pub fn shutdown(&mut self, mode: ShutdownWord) -> Done {
        self.automatic.clear();
        let response = self.ask(Request::Shutdown { mode });
        self.steps("shutdown", response)
    }

    fn steps(&mut self, what: &str, response: Response) -> Done {
        match response {
            Response::Steps { steps, error } => {
                for step in steps {
                    let text = match step {
                        Step::Started => "Oracle instance started",
                        Step::Mounted => "database mounted",
                        Step::Opened => "database opened",
                        Step::Closed => "database closed",
                        Step::Dismounted => "database dismounted",
                        Step::ShutDown => "Oracle instance shut down",
                        Step::NotOpen | Step::NotMounted => continue,
                    };
                    self.out.line(text);
                }
                error.map_or(Ok(()), |stack| Err(Failed::ora(what, &stack)))
            }
            Response::Error { stack, .. } => Err(Failed::ora(what, &stack)),
            _ => Ok(()),
        }
    }
}
