//! Lines to commands: what begins a statement, what ends it, what is left over.

use super::settings::words;
use super::{message, Client, Source};

/// Commands that go to the server as SQL.
const SQL: &[&str] = &[
    "SELECT",
    "WITH",
    "ALTER",
    "CREATE",
    "DROP",
    "INSERT",
    "UPDATE",
    "DELETE",
    "MERGE",
    "GRANT",
    "REVOKE",
    "COMMIT",
    "ROLLBACK",
    "SAVEPOINT",
    "TRUNCATE",
    "COMMENT",
    "ANALYZE",
    "AUDIT",
    "NOAUDIT",
    "LOCK",
    "EXPLAIN",
    "CALL",
    "RENAME",
    "FLASHBACK",
    "PURGE",
    "ADMINISTER",
    "ASSOCIATE",
    "DISASSOCIATE",
];

impl Client<'_> {
    pub(super) fn push_script(&mut self, text: &str, parameters: Vec<String>) {
        let lines = text.lines().map(|l| l.trim_end_matches('\r').to_string()).collect();
        self.sources.push(Source::Script { lines, next: 0, parameters });
    }

    /// `@file`: from the current directory, then SQLPATH; `.sql` is added when the name has no extension.
    pub(super) fn start_script(&mut self, name: &str, parameters: Vec<String>) {
        let mut file = name.trim_matches('"').to_string();
        if std::path::Path::new(&file).extension().is_none() {
            file.push_str(".sql");
        }
        let mut places = vec![self.process.cwd.join(&file)];
        for dir in self.process.var("SQLPATH").or(self.process.var("ORACLE_PATH")).unwrap_or("").split(':') {
            if !dir.is_empty() {
                places.push(std::path::Path::new(dir).join(&file));
            }
        }
        let found = places.iter().find_map(|p| std::fs::read(p).ok());
        match found {
            Some(bytes) => {
                let text = self.charset.decode(&bytes);
                self.push_script(&text, parameters);
            }
            None => {
                self.line(&format!("SP2-0310: unable to open file \"{file}\""));
                self.os_error();
            }
        }
    }

    /// The next line of the innermost source, down to the depth given.
    fn next_line(&mut self, depth: usize) -> Option<String> {
        while self.sources.len() > depth {
            match self.sources.last_mut() {
                Some(Source::Script { lines, next, .. }) => {
                    if let Some(line) = lines.get(*next).cloned() {
                        *next += 1;
                        return Some(line);
                    }
                    self.sources.pop();
                    if self.sources.len() <= depth {
                        return None;
                    }
                }
                Some(Source::Stdin) => {
                    let line = self.stdin_line();
                    if line.is_none() {
                        self.sources.pop();
                    }
                    return line;
                }
                None => return None,
            }
        }
        None
    }

    /// The line that a prompt inside a command takes: the next one of the script, or of standard input.
    pub(super) fn answer_line(&mut self) -> Option<String> {
        match self.sources.last_mut() {
            Some(Source::Script { lines, next, .. }) if *next < lines.len() => {
                *next += 1;
                Some(lines[*next - 1].clone())
            }
            _ => self.stdin_line(),
        }
    }

    fn show_prompt(&mut self, number: usize) {
        let interactive = !self.in_script();
        if interactive && self.args.silent {
            return;
        }
        if interactive || self.settings.echo {
            let text = if number == 0 { self.settings.sqlprompt.clone() } else { format!("{number:>3}  ") };
            if interactive {
                self.prompt(&text);
            } else {
                self.print(&text);
            }
        }
    }

    fn echo(&mut self, line: &str) {
        if self.in_script() && self.settings.echo {
            self.line(line);
        }
    }

    /// Runs commands until the sources above `depth` are used up or the program has to end.
    pub(super) fn interpret(&mut self, depth: usize) {
        while self.exit.is_none() {
            self.show_prompt(0);
            let Some(line) = self.next_line(depth) else { break };
            self.echo(&line);
            self.dispatch(&line, depth);
        }
    }

    fn dispatch(&mut self, line: &str, depth: usize) {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with("--") {
            return;
        }
        if trimmed.starts_with("/*") {
            self.skip_comment(trimmed.to_string(), depth);
            return;
        }
        if trimmed == "/" {
            if self.buffer.is_empty() {
                self.line("SP2-0103: Nothing in SQL buffer to run.");
            } else {
                self.run_buffer();
            }
            return;
        }
        let first =
            trimmed.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or("").to_uppercase();
        let second = trimmed.split_whitespace().nth(1).unwrap_or("").to_uppercase();
        let block =
            matches!(first.as_str(), "BEGIN" | "DECLARE") || (first == "CREATE" && creates_code(trimmed));
        let set_sql = first == "SET"
            && matches!(second.trim_end_matches(';'), "ROLE" | "TRANSACTION" | "CONSTRAINT" | "CONSTRAINTS");
        if block || set_sql || trimmed.starts_with('(') || SQL.contains(&first.as_str()) {
            self.collect(line, block, depth);
            return;
        }
        let mut command = trimmed.to_string();
        // A hyphen at the end of a SQL*Plus command takes the next line with it.
        while command.ends_with('-') {
            command.pop();
            match self.next_line(depth) {
                Some(next) => {
                    self.echo(&next);
                    command.push(' ');
                    command.push_str(next.trim());
                }
                None => break,
            }
        }
        self.plus_command(&command);
    }

    fn skip_comment(&mut self, mut line: String, depth: usize) {
        while !line.contains("*/") {
            match self.next_line(depth) {
                Some(next) => line = next,
                None => return,
            }
        }
    }

    /// Reads a statement to its terminator.
    fn collect(&mut self, first: &str, block: bool, depth: usize) {
        let mut lines: Vec<String> = vec![];
        let mut line = first.to_string();
        loop {
            let end = line.trim_end();
            if !lines.is_empty() {
                let alone = end.trim_start();
                if alone == "/" {
                    break;
                }
                if alone == "." {
                    self.buffer = lines;
                    return;
                }
                if let Some(command) = alone.strip_prefix('#') {
                    let command = command.to_string();
                    self.plus_command(&command);
                    if self.exit.is_some() {
                        return;
                    }
                    self.show_prompt(lines.len() + 1);
                    let Some(next) = self.next_line(depth) else { return };
                    line = next;
                    continue;
                }
                if alone.is_empty() && !block && !self.settings.sqlblanklines {
                    // The statement stays in the buffer and is not run.
                    self.buffer = lines;
                    return;
                }
            }
            if !block {
                if let Some(body) = end.strip_suffix(';') {
                    if !body.trim().is_empty() || lines.is_empty() {
                        lines.push(body.to_string());
                    }
                    break;
                }
            }
            lines.push(line);
            self.show_prompt(lines.len() + 1);
            match self.next_line(depth) {
                Some(next) => {
                    self.echo(&next);
                    line = next;
                }
                None => {
                    // End of input in the middle of a statement: it is never run.
                    self.buffer = lines;
                    return;
                }
            }
        }
        self.buffer = lines;
        self.run_buffer();
    }

    /// `&name` in a text; `None` when the input ended at the prompt. `statement` says whether VERIFY shows the lines.
    pub(super) fn substitute(&mut self, text: &str, statement: bool) -> Option<String> {
        let Some(mark) = self.settings.define else { return Some(text.into()) };
        if !text.contains(mark) {
            return Some(text.into());
        }
        let mut out = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let replaced = self.substitute_line(line, mark)?;
            if replaced != line && statement && self.settings.verify {
                let number = format!("{:>3}", number + 1);
                self.say(message::OLD, &[&number, line]);
                self.say(message::NEW, &[&number, &replaced]);
            }
            out.push(replaced);
        }
        Some(out.join("\n"))
    }

    fn substitute_line(&mut self, line: &str, mark: char) -> Option<String> {
        let mut out = String::new();
        let mut rest = line;
        while let Some((before, after)) = rest.split_once(mark) {
            out.push_str(before);
            let (keep, after) = match after.strip_prefix(mark) {
                Some(tail) => (true, tail),
                None => (false, after),
            };
            let name: String =
                after.chars().take_while(|c| c.is_alphanumeric() || matches!(c, '_' | '$' | '#')).collect();
            if name.is_empty() {
                out.push(mark);
                if keep {
                    out.push(mark);
                }
                rest = after;
                continue;
            }
            let tail = &after[name.len()..];
            let value = match self.variable(&name) {
                Some(value) => value,
                None => {
                    self.prompt(&message::say(message::VALUE, self.language(), &[&name.to_lowercase()]));
                    // The next line of standard input is eaten, whatever it was meant to be.
                    let Some(value) = self.stdin_line() else {
                        self.line("");
                        self.line("SP2-0546: User requested Interrupt or EOF detected.");
                        return None;
                    };
                    if keep {
                        self.defines.insert(name.to_uppercase(), value.clone());
                    }
                    value
                }
            };
            out.push_str(&value);
            rest = tail.strip_prefix('.').unwrap_or(tail);
        }
        out.push_str(rest);
        Some(out)
    }

    pub(super) fn variable(&self, name: &str) -> Option<String> {
        let upper = name.to_uppercase();
        if let Ok(n) = upper.parse::<usize>() {
            let script = self.sources.iter().rev().find_map(|s| match s {
                Source::Script { parameters, .. } => parameters.get(n.checked_sub(1)?).cloned(),
                Source::Stdin => None,
            });
            if script.is_some() {
                return script;
            }
        }
        Some(match upper.as_str() {
            "_USER" => self.user.clone(),
            "_CONNECT_IDENTIFIER" => match self.identifier.as_str() {
                "" => self.process.var("ORACLE_SID").unwrap_or("").into(),
                other => other.into(),
            },
            "_PRIVILEGE" => if self.user == "SYS" { "AS SYSDBA" } else { "" }.into(),
            "_DATE" => {
                crate::sql::format_date::to_char(crate::sql::nls::sysdate(), &self.nls.date_format, &self.nls)
                    .unwrap_or_default()
            }
            "_O_RELEASE" | "_SQLPLUS_RELEASE" => format!("{}00000000", self.front.major()),
            _ => return self.defines.get(&upper).cloned(),
        })
    }

    pub(super) fn unknown(&mut self, command: &str) {
        let shown: String = command.chars().take(10).collect();
        let dots = if command.chars().count() > 10 { "..." } else { "" };
        if words(command).len() > 1 {
            self.say(message::UNKNOWN_BEGINNING, &[&format!("{shown}{dots}")]);
        } else {
            self.say(message::UNKNOWN, &[&format!("{shown}{dots}")]);
        }
        self.unknown_commands += 1;
        if self.unknown_commands.is_multiple_of(4) {
            self.say(message::HELP, &[]);
        }
    }
}

/// CREATE [OR REPLACE] of something with a PL/SQL body: only `/` ends it.
fn creates_code(line: &str) -> bool {
    let upper = line.to_uppercase();
    let words: Vec<&str> = upper
        .split_whitespace()
        .filter(|w| !matches!(*w, "CREATE" | "OR" | "REPLACE" | "EDITIONABLE" | "NONEDITIONABLE"))
        .collect();
    matches!(words.first(), Some(&("FUNCTION" | "PROCEDURE" | "PACKAGE" | "TRIGGER" | "TYPE" | "JAVA")))
}
