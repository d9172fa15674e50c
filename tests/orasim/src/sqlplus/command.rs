//! Commands of SQL*Plus itself. Their errors are SP2- messages; none of them fires WHENEVER SQLERROR.

use super::report::ColumnFormat;
use super::settings::{abbreviates, words};
use super::{message, Client, ExitCode, OnError};
use crate::server::wire::{Request, Response, ShutdownWord, StartupWord, Step};
use crate::sql::Cell;

const EXIT_USAGE: &str =
    "Usage: {EXIT|QUIT} [SUCCESS|FAILURE|WARNING|n|<variable>|:<bindvariable>] [COMMIT|ROLLBACK]";
const WHENEVER_USAGE: &str = "Usage: WHENEVER SQLERROR { CONTINUE [ COMMIT | ROLLBACK | NONE ] | EXIT [ SUCCESS | FAILURE | WARNING | n | <variable> | :<bindvariable> ] [ COMMIT | ROLLBACK ] }";

impl Client<'_> {
    pub(super) fn plus_command(&mut self, raw: &str) {
        let word = raw.split_whitespace().next().unwrap_or("").trim_end_matches(';');
        let is = |short: &str, full: &str| abbreviates(word, short, full);
        // REMark takes the line as it is: no substitution, no terminator.
        if is("REM", "REMARK") {
            return;
        }
        let Some(line) = self.substitute(raw, false) else { return };
        let line = line.trim();
        // One trailing semicolon belongs to nobody, except to PROMPT.
        let rest = line.get(word.len()..).unwrap_or("").trim_start().to_string();
        let plain = rest.strip_suffix(';').unwrap_or(&rest).trim_end().to_string();
        let before = self.unknown_commands;
        if is("PRO", "PROMPT") {
            self.line(&rest);
        } else if is("SET", "SET") {
            self.set(&plain);
        } else if is("CONN", "CONNECT") {
            self.connect(&plain);
        } else if is("DISC", "DISCONNECT") {
            self.connection = None;
            self.connected = false;
        } else if is("EXIT", "EXIT") || is("QUIT", "QUIT") {
            self.exit_command(&plain);
        } else if is("WHENEVER", "WHENEVER") {
            self.whenever(&plain);
        } else if is("DEF", "DEFINE") {
            self.define(&plain);
        } else if is("UNDEF", "UNDEFINE") {
            for name in words(&plain) {
                self.defines.remove(&name.to_uppercase());
            }
        } else if is("ACC", "ACCEPT") {
            self.accept(&plain);
        } else if is("COL", "COLUMN") {
            self.column(&plain);
        } else if is("CL", "CLEAR") {
            if plain.to_uppercase().starts_with("COL") {
                self.columns.clear();
                self.line("columns cleared");
            } else if plain.to_uppercase().starts_with("BUFF") {
                self.buffer.clear();
                self.line("buffer cleared");
            }
        } else if is("SHO", "SHOW") {
            self.show(&plain);
        } else if is("DESC", "DESCRIBE") {
            self.describe(&plain);
        } else if is("SPO", "SPOOL") {
            self.spool(&plain);
        } else if is("HO", "HOST") || word.starts_with('!') {
            self.host(if word.starts_with('!') { line.trim_start_matches('!') } else { &rest });
        } else if is("STA", "START") || word.starts_with('@') {
            let text = if word.starts_with('@') { line.trim_start_matches('@') } else { &plain };
            let text = text.strip_suffix(';').unwrap_or(text).to_string();
            let mut list = words(&text).into_iter();
            match list.next() {
                Some(name) if self.args.restrict < 3 => self.start_script(&name, list.collect()),
                Some(_) => self.line("SP2-0738: Restricted command \"@\" not available"),
                None => self.line("SP2-1506: START, @ or @@ command has no arguments"),
            }
        } else if is("ARCHIVE", "ARCHIVE") {
            self.archive_log(&plain);
        } else if is("STARTUP", "STARTUP") {
            self.startup(&plain);
        } else if is("SHUTDOWN", "SHUTDOWN") {
            self.shutdown(&plain);
        } else if is("RECOVER", "RECOVER") {
            self.recover(&plain);
        } else if is("PAU", "PAUSE") {
            self.line(&plain);
            self.stdin_line();
        } else if is("L", "LIST") {
            let lines = self.buffer.clone();
            for (i, text) in lines.iter().enumerate() {
                self.line(&format!("{:>3}{} {text}", i + 1, if i + 1 == lines.len() { "*" } else { " " }));
            }
        } else if is("R", "RUN") {
            if self.buffer.is_empty() {
                self.line("SP2-0103: Nothing in SQL buffer to run.");
            } else {
                self.run_buffer();
            }
        } else if is("EXEC", "EXECUTE") {
            self.buffer = vec![format!("BEGIN {plain}; END;")];
            self.run_buffer();
        } else if (is("TTI", "TTITLE") || is("BTI", "BTITLE")) && rest_is_off(line) {
            // There never is a title.
        } else if is("TIMI", "TIMING")
            || is("TTI", "TTITLE")
            || is("BTI", "BTITLE")
            || is("BRE", "BREAK")
            || is("COMP", "COMPUTE")
            || is("VAR", "VARIABLE")
            || is("HELP", "HELP")
            || is("PASSW", "PASSWORD")
        {
            // Known commands that the simulator does not do; none of them may pass unnoticed.
            self.line(&format!("SP2-0738: Restricted command \"{}\" not available", word.to_lowercase()));
        } else {
            self.unknown(line);
        }
        if self.unknown_commands == before {
            self.unknown_commands = 0;
        }
    }

    fn set(&mut self, text: &str) {
        let output = self.settings.serveroutput;
        let csv = self.front.has_csv();
        if let Err(complaint) = self.settings.set(text, csv) {
            self.line(&complaint);
        }
        if self.settings.serveroutput && !output && self.connected {
            self.enable_output();
        }
    }

    fn code_of(&mut self, list: &[String]) -> Result<ExitCode, String> {
        let Some(word) = list.first() else { return Ok(ExitCode::Value(0)) };
        Ok(match word.to_uppercase().as_str() {
            "SUCCESS" | "COMMIT" | "ROLLBACK" => ExitCode::Value(0),
            "FAILURE" => ExitCode::Value(1),
            "WARNING" => ExitCode::Value(2),
            "SQL.SQLCODE" => ExitCode::SqlCode,
            other => match other
                .parse::<i64>()
                .ok()
                .or_else(|| self.variable(other).and_then(|v| v.trim().parse().ok()))
            {
                Some(n) => ExitCode::Value(n),
                None => return Err(format!("SP2-0584: EXIT variable \"{other}\" was non-numeric")),
            },
        })
    }

    fn exit_command(&mut self, text: &str) {
        let list = words(text);
        match self.code_of(&list) {
            Ok(code) => self.exit = Some(self.exit_status(code)),
            Err(complaint) => {
                self.line(&complaint);
                self.line(EXIT_USAGE);
                // SQL*Plus leaves all the same, with failure.
                self.exit = Some(1);
            }
        }
    }

    fn whenever(&mut self, text: &str) {
        let list = words(text);
        let upper: Vec<String> = list.iter().map(|w| w.to_uppercase()).collect();
        let action = match upper.get(1).map(String::as_str) {
            Some("CONTINUE") => OnError::Continue,
            Some("EXIT") => match self.code_of(&list[2..]) {
                Ok(code) => OnError::Exit(code),
                Err(complaint) => {
                    self.line(&complaint);
                    self.line(WHENEVER_USAGE);
                    return;
                }
            },
            _ => {
                self.line("SP2-0052: like operand missing in WHENEVER command");
                self.line(WHENEVER_USAGE);
                return;
            }
        };
        match upper.first().map(String::as_str) {
            Some("SQLERROR") => self.on_sql_error = action,
            Some("OSERROR") => self.on_os_error = action,
            _ => {
                self.line("SP2-0052: like operand missing in WHENEVER command");
                self.line(WHENEVER_USAGE);
            }
        }
    }

    fn define(&mut self, text: &str) {
        match text.split_once('=') {
            Some((name, value)) => {
                let value = value.trim();
                let value = value
                    .strip_prefix(['"', '\''])
                    .and_then(|v| v.strip_suffix(['"', '\'']))
                    .unwrap_or(value);
                self.defines.insert(name.trim().to_uppercase(), value.into());
            }
            None if text.is_empty() => {
                let all: Vec<String> =
                    self.defines.iter().map(|(k, v)| format!("DEFINE {k:<15} = \"{v}\" (CHAR)")).collect();
                for line in all {
                    self.line(&line);
                }
            }
            None => match self.variable(text) {
                Some(value) => self.line(&format!("DEFINE {:<15} = \"{value}\" (CHAR)", text.to_uppercase())),
                None => self.line(&format!("SP2-0135: symbol {} is UNDEFINED", text.to_lowercase())),
            },
        }
    }

    fn accept(&mut self, text: &str) {
        let list = words(text);
        let Some(name) = list.first().cloned() else {
            self.line("SP2-0137: DEFINE requires a value following equal sign");
            return;
        };
        if let Some(at) = list.iter().position(|w| abbreviates(w, "PROMPT", "PROMPT")) {
            let prompt = list.get(at + 1).cloned().unwrap_or_default();
            self.prompt(&prompt);
        }
        let value = self.stdin_line().unwrap_or_default();
        self.defines.insert(name.to_uppercase(), value);
    }

    fn column(&mut self, text: &str) {
        let list = words(text);
        let Some(name) = list.first().map(|n| n.to_uppercase()) else { return };
        let mut format = self.columns.get(&name).cloned().unwrap_or_default();
        let mut i = 1;
        while let Some(word) = list.get(i) {
            let is = |short: &str, full: &str| abbreviates(word, short, full);
            let value = list.get(i + 1).cloned();
            i += 1;
            if is("CLE", "CLEAR") {
                format = ColumnFormat::default();
            } else if is("ON", "ON") {
                format.off = false;
            } else if is("OFF", "OFF") {
                format.off = true;
            } else if is("NOPRI", "NOPRINT") {
                format.noprint = true;
            } else if is("PRI", "PRINT") {
                format.noprint = false;
            } else if is("TRU", "TRUNCATED") {
                format.truncated = true;
            } else if is("WRA", "WRAPPED") || is("WOR", "WORD_WRAPPED") {
                format.truncated = false;
            } else if is("FOR", "FORMAT")
                || is("HEA", "HEADING")
                || is("NUL", "NULL")
                || is("NEW_V", "NEW_VALUE")
                || is("JUS", "JUSTIFY")
            {
                i += 1;
                let Some(value) = value else { continue };
                if is("FOR", "FORMAT") {
                    let upper = value.to_uppercase();
                    match upper.strip_prefix('A').map(str::parse::<usize>) {
                        Some(Ok(n)) if n > 0 => format.width = Some(n),
                        Some(_) => {
                            self.line(&format!("SP2-0246: Illegal FORMAT string \"{value}\""));
                            return;
                        }
                        None => format.number = Some(value),
                    }
                } else if is("HEA", "HEADING") {
                    format.heading = Some(value);
                } else if is("NUL", "NULL") {
                    format.null = Some(value);
                } else if is("NEW_V", "NEW_VALUE") {
                    format.new_value = Some(value);
                }
            } else {
                self.line(&format!("SP2-0158: unknown COLUMN option \"{word}\""));
                return;
            }
        }
        self.columns.insert(name, format);
    }

    fn show(&mut self, text: &str) {
        for word in words(text).iter().take(1) {
            if word.eq_ignore_ascii_case("user") {
                let user = self.user.clone();
                self.line(&format!("USER is \"{user}\""));
            } else if word.eq_ignore_ascii_case("sqlcode") {
                let code = self.last_code;
                self.line(&format!("sqlcode {code}"));
            } else if word.eq_ignore_ascii_case("release") || word.eq_ignore_ascii_case("rel") {
                let major = self.front.major();
                self.line(&format!("release {major}00000000"));
            } else if abbreviates(word, "PARAMETER", "PARAMETERS") {
                self.show_parameter(words(text).get(1).map_or("", String::as_str));
            } else if word.eq_ignore_ascii_case("con_name") {
                self.simple("select sys_context('USERENV','CON_NAME') con_name from dual");
            } else {
                match self.settings.show(word) {
                    Some(text) => self.line(&text),
                    None => self.line(&format!("SP2-0158: unknown SHOW option \"{word}\"")),
                }
            }
        }
    }

    fn simple(&mut self, sql: &str) {
        self.buffer = vec![sql.to_string()];
        self.run_buffer();
    }

    fn show_parameter(&mut self, name: &str) {
        let sql = format!(
            "select name, value from v$parameter where name like '%{}%' order by name",
            name.to_lowercase().replace('\'', "")
        );
        if let Some(rows) = self.fetch(&sql) {
            self.line("");
            self.line("NAME\t\t\t\t     TYPE\t VALUE");
            self.line("------------------------------------ ----------- ------------------------------");
            for row in rows {
                self.line(&format!("{:<36} {:<11} {}", row[0], "string", row[1]));
            }
        }
    }

    /// Rows of an inner query; an error is printed and does not fire WHENEVER.
    fn fetch(&mut self, sql: &str) -> Option<Vec<Vec<String>>> {
        if !self.connected {
            self.say(message::NOT_CONNECTED, &[]);
            return None;
        }
        match self.ask(Request::Sql { text: sql.into() }) {
            Response::Rows { rows, .. } => Some(
                rows.into_iter()
                    .map(|r| {
                        r.into_iter()
                            .map(|c| match c {
                                Cell::Text(t) | Cell::Number(t) => t,
                                Cell::Null => String::new(),
                            })
                            .collect()
                    })
                    .collect(),
            ),
            Response::Error { stack, .. } => {
                self.stack_lines(&stack);
                None
            }
            _ => None,
        }
    }

    fn describe(&mut self, name: &str) {
        if !self.connected {
            self.say(message::NOT_CONNECTED, &[]);
            return;
        }
        match self.ask(Request::Describe { name: name.to_string() }) {
            Response::Columns(columns) => {
                self.line(" Name\t\t\t\t\t   Null?    Type");
                self.line(" ----------------------------------------- -------- ----------------------------");
                for (name, ty) in columns {
                    let text = super::report::with_tabs(&format!(" {name:<41} {:<8} {ty}", ""));
                    self.line(&text);
                }
                self.line("");
            }
            Response::Error { stack, .. } => {
                self.say(message::ERROR, &[]);
                self.stack_lines(&stack);
                self.line("");
                self.line("");
            }
            _ => {}
        }
    }

    fn spool(&mut self, text: &str) {
        if self.args.restrict >= 2 {
            self.line("SP2-0738: Restricted command \"spool\" not available");
            return;
        }
        let list = words(text);
        match list.first().map(|w| w.to_uppercase()).as_deref() {
            None => {
                self.line(if self.spool.is_some() { "currently spooling" } else { "not spooling currently" })
            }
            Some("OFF" | "OUT") => {
                if self.spool.take().is_none() {
                    self.line("not spooling currently");
                }
            }
            Some(_) => {
                let mut file = list[0].clone();
                if std::path::Path::new(&file).extension().is_none() {
                    file.push_str(".lst");
                }
                let append = list.get(1).is_some_and(|w| abbreviates(w, "APP", "APPEND"));
                let path = self.process.cwd.join(&file);
                let opened = std::fs::OpenOptions::new()
                    .create(true)
                    .write(true)
                    .append(append)
                    .truncate(!append)
                    .open(&path);
                match opened {
                    Ok(file) => self.spool = Some(file),
                    Err(_) => {
                        self.line(&format!("SP2-0606: Cannot create SPOOL file \"{file}\""));
                        self.os_error();
                    }
                }
            }
        }
    }

    fn host(&mut self, text: &str) {
        if self.args.restrict >= 1 {
            self.line("SP2-0738: Restricted command \"host\" not available");
            return;
        }
        let _ = self.output.flush();
        let run = std::process::Command::new("/bin/sh")
            .arg("-c")
            .arg(text)
            .current_dir(&self.process.cwd)
            .envs(&self.process.env)
            .stdin(std::process::Stdio::null())
            .output();
        match run {
            Ok(done) => {
                let _ = self.output.write_all(&done.stdout);
                let _ = self.output.write_all(&done.stderr);
                if !done.status.success() {
                    self.os_error();
                }
            }
            Err(_) => self.os_error(),
        }
    }

    fn archive_log(&mut self, text: &str) {
        if !text.to_uppercase().starts_with("LOG") || !text.to_uppercase().ends_with("LIST") {
            self.line("SP2-0718: illegal ARCHIVE LOG option");
            return;
        }
        let Some(mode) = self.fetch("select log_mode from v$database") else { return };
        let archiving = mode.first().is_some_and(|r| r[0] == "ARCHIVELOG");
        let portuguese = self.language() == crate::sql::nls::Language::Brazilian;
        let one = |rows: Option<Vec<Vec<String>>>| {
            rows.and_then(|r| r.into_iter().next()).and_then(|r| r.into_iter().next()).unwrap_or_default()
        };
        let dest = one(self.fetch("select destination from v$archive_dest where dest_id = 1"));
        let oldest = one(self.fetch("select min(sequence#) from v$log where thread# = 1"));
        let current = one(self.fetch("select max(sequence#) from v$log where thread# = 1"));
        let (title, value) = match (portuguese, archiving) {
            (false, true) => ("Database log mode", "Archive Mode"),
            (false, false) => ("Database log mode", "No Archive Mode"),
            (true, true) => ("Modo log de banco de dados", "Modo de Arquivamento"),
            (true, false) => ("Modo log de banco de dados", "Modo Sem Arquivamento"),
        };
        let mut lines = vec![
            format!("{title:<30} {value}"),
            format!("{:<30} {}", "Automatic archival", if archiving { "Enabled" } else { "Disabled" }),
            format!("{:<30} {dest}", "Archive destination"),
            format!("{:<30} {oldest}", "Oldest online log sequence"),
        ];
        if archiving {
            lines.push(format!("{:<30} {current}", "Next log sequence to archive"));
        }
        lines.push(format!("{:<30} {current}", "Current log sequence"));
        for line in lines {
            let line = super::report::with_tabs(&line);
            self.line(&line);
        }
    }

    fn startup(&mut self, text: &str) {
        if !self.connected {
            self.say(message::NOT_CONNECTED, &[]);
            return;
        }
        if self.connection.is_none() {
            let sid = self.process.var("ORACLE_SID").unwrap_or("").to_string();
            let home = self.process.var("ORACLE_HOME").unwrap_or("").to_string();
            self.wrapped("ORA-01078: failure in processing system parameters");
            self.wrapped(&format!("LRM-00109: could not open parameter file '{home}/dbs/init{sid}.ora'"));
            return;
        }
        let upper: Vec<String> = words(text).iter().map(|w| w.to_uppercase()).collect();
        let has = |w: &str| upper.iter().any(|u| u == w);
        if has("FORCE") {
            let _ = self.ask(Request::Shutdown { mode: ShutdownWord::Abort });
        }
        let mode = if has("NOMOUNT") {
            StartupWord::Nomount
        } else if has("MOUNT") {
            StartupWord::Mount
        } else if has("READ") && has("ONLY") {
            StartupWord::OpenReadOnly
        } else if upper
            .iter()
            .all(|w| matches!(w.as_str(), "OPEN" | "FORCE" | "QUIET" | "READ" | "WRITE" | "RESTRICT"))
        {
            StartupWord::Open
        } else {
            self.line("SP2-0714: invalid combination of STARTUP options");
            return;
        };
        let response = self.ask(Request::Startup { mode });
        self.steps(response);
    }

    fn shutdown(&mut self, text: &str) {
        if !self.connected {
            self.say(message::NOT_CONNECTED, &[]);
            return;
        }
        let mode = match text.to_uppercase().as_str() {
            "" | "NORMAL" | "TRANSACTIONAL" => ShutdownWord::Normal,
            "IMMEDIATE" => ShutdownWord::Immediate,
            "ABORT" => ShutdownWord::Abort,
            _ => {
                self.line("SP2-0717: illegal SHUTDOWN option");
                return;
            }
        };
        let response = self.ask(Request::Shutdown { mode });
        self.steps(response);
    }

    /// Errors of STARTUP and SHUTDOWN are printed; the script goes on and the status stays what it was.
    fn steps(&mut self, response: Response) {
        match response {
            Response::Steps { steps, error } => {
                for step in steps {
                    match step {
                        Step::Started => {
                            self.say(message::STARTED, &[]);
                            self.line("");
                            for (name, value) in [
                                ("Total System Global Area", "1.0335E+10"),
                                ("Fixed Size", "13842592"),
                                ("Variable Size", "1610612736"),
                                ("Database Buffers", "8690597888"),
                                ("Redo Buffers", "19660800"),
                            ] {
                                let text = super::report::with_tabs(&format!("{name:<24} {value:>10} bytes"));
                                self.line(&text);
                            }
                        }
                        Step::Mounted => self.say(message::MOUNTED, &[]),
                        Step::Opened => self.say(message::OPENED, &[]),
                        Step::NotOpen | Step::NotMounted => {
                            let error = match step {
                                Step::NotOpen => (1109, "database not open".to_string()),
                                _ => (1507, "database not mounted".to_string()),
                            };
                            self.stack_lines(&vec![error]);
                            self.line("");
                            self.line("");
                        }
                        Step::Closed => self.say(message::CLOSED, &[]),
                        Step::Dismounted => self.say(message::DISMOUNTED, &[]),
                        Step::ShutDown => self.say(message::SHUT_DOWN, &[]),
                    }
                }
                if let Some(stack) = error {
                    self.stack_lines(&stack);
                    self.line("");
                    self.line("");
                }
            }
            Response::Error { stack, dead, .. } => {
                self.stack_lines(&stack);
                if dead {
                    self.dead = true;
                    self.connection = None;
                }
            }
            _ => {}
        }
    }
}

fn rest_is_off(line: &str) -> bool {
    line.trim_end_matches(';').split_whitespace().nth(1).is_some_and(|word| word.eq_ignore_ascii_case("off"))
}
