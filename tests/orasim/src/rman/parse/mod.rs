//! The parser of RMAN's language: what stands where, and RMAN's own words for what does not.

mod backup;
mod cursor;
mod maintain;
mod operands;
mod restore;
mod settings;
#[cfg(test)]
mod tests;

use super::ast::{Command, Mode};
use super::source::{Kind, Source, Token};
use crate::server::wire::ShutdownWord;

/// Words that begin a command, as far as RMAN 12c and later print them: the message is cut there.
const COMMANDS: &str = "advise, allocate, alter, analyze, associate statistics, audit, backup, begin, @, call, catalog, change, comment, commit, configure, connect, convert, copy, create, create catalog, create global, create script, create virtual, crosscheck, declare, delete, delete from, describe, describe catalog, disassociate statistics, drop, drop catalog, drop database, duplicate, exit, explain plan, flashback, flashback table, grant, grant catalog, grant register, host, import, insert, list, lock, merge, mount, noaudit, open, print, purge, quit, recover, register, release, rename, repair, replace, report, ";
const IN_RUN: &str = "advise, allocate, alter, backup, begin, @, call, catalog, change, comment, commit, configure, convert, copy, create, crosscheck, declare, delete, drop, duplicate, execute, flashback, grant, host, insert, list, merge, mount, open, recover, release, repair, report, restore, resync, }, run, select, set, show, shutdown, sql, startup, switch, transport, update, validate";

/// The lines under RMAN-00558.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError(pub Vec<(u32, String)>);

pub type Parsed<T> = Result<T, ParseError>;

pub struct Parser<'s, 'a> {
    source: &'s mut Source<'a>,
    ahead: Option<Token>,
    /// What would have been right at the token ahead.
    expected: Vec<String>,
    /// THREAD of the range that is being read.
    thread: Option<u64>,
}

impl<'s, 'a> Parser<'s, 'a> {
    pub fn new(source: &'s mut Source<'a>) -> Self {
        Self { source, ahead: None, expected: Vec::new(), thread: None }
    }

    /// The next command, or `None` at the end of the input.
    ///
    /// # Errors
    /// What RMAN says of it; the rest of the line is the caller's to drop.
    pub fn command(&mut self) -> Parsed<Option<Command>> {
        loop {
            if self.peek()?.kind == Kind::End {
                return Ok(None);
            }
            if self.peek()?.kind != Kind::Punct(';') {
                break;
            }
            self.next()?;
        }
        self.one(false).map(Some)
    }

    fn one(&mut self, in_run: bool) -> Parsed<Command> {
        let list = if in_run { IN_RUN } else { COMMANDS };
        if self.accept_punct('@')? {
            let path = self.name()?;
            if !self.line_is_done() {
                self.accept_punct(';')?;
            }
            return Ok(Command::Include(path));
        }
        let token = self.peek()?.clone();
        let Kind::Word(word) = &token.kind else { return self.unexpected(list) };
        let lower = word.to_ascii_lowercase();
        if SQL.contains(&lower.as_str()) {
            self.next()?;
            return self.sql_statement(word, &token);
        }
        match lower.as_str() {
            // Words that are both RMAN's and SQL's.
            "delete" => {
                self.next()?;
                if self.is_word("from")? {
                    let begin = "delete from";
                    self.next()?;
                    return self.sql_statement(begin, &token);
                }
                self.delete()
            }
            "run" if !in_run => {
                self.next()?;
                self.run_block()
            }
            "allocate" => self.then(Self::allocate),
            "release" => self.then(Self::release),
            "set" => self.then(|p| p.set(in_run)),
            "backup" => self.then(Self::backup),
            "restore" => self.then(Self::restore),
            "recover" => self.then(Self::recover),
            "switch" => self.then(Self::switch),
            "catalog" => self.then(Self::catalog),
            "uncatalog" => self.unexpected(list),
            "change" => self.then(Self::change),
            "crosscheck" => self.then(Self::crosscheck),
            "list" => self.then(Self::list),
            "report" => self.then(Self::report),
            "validate" => self.then(Self::validate),
            "configure" => self.then(Self::configure),
            "show" => self.then(Self::show),
            "reset" if !in_run => self.then(Self::reset),
            "sql" => self.then(Self::sql),
            "startup" => self.then(Self::startup),
            "shutdown" => self.then(Self::shutdown),
            "spool" if !in_run => self.then(Self::spool),
            "connect" if !in_run => self.then(Self::connect),
            "exit" | "quit" if !in_run => self.then(|p| {
                if !p.line_is_done() {
                    p.accept_punct(';')?;
                }
                Ok(Command::Exit)
            }),
            "mount" | "open" => self.then(|p| {
                let open = lower == "open";
                p.accept("database")?;
                let resetlogs = open && p.accept("resetlogs")?;
                p.end()?;
                Ok(Command::Statement(format!(
                    "alter database {lower}{}",
                    if resetlogs { " resetlogs" } else { "" }
                )))
            }),
            "execute" | "duplicate" | "flashback" | "convert" | "transport" | "register" | "resync"
            | "import" | "print" | "replace" | "repair" | "advise" | "host" | "send" | "unregister"
            | "upgrade" | "switchover" => self.then(|p| p.elsewhere(&lower)),
            _ => self.unexpected(list),
        }
    }

    fn then(&mut self, parse: impl FnOnce(&mut Self) -> Parsed<Command>) -> Parsed<Command> {
        self.next()?;
        parse(self)
    }

    fn sql_statement(&mut self, begin: &str, token: &Token) -> Parsed<Command> {
        // A token that was looked at belongs to the statement; only DELETE looks ahead, and takes it.
        self.ahead = None;
        let text = self.source.sql(begin, token.line, token.column).map_err(|e| self.lexical(e))?;
        Ok(Command::Statement(text))
    }

    /// Valid commands that the simulator has not: the words are read, and the command fails when it is run.
    fn elsewhere(&mut self, word: &str) -> Parsed<Command> {
        let mut words = vec![word.to_string()];
        loop {
            if word == "host" && self.line_is_done() {
                break;
            }
            match &self.peek()?.kind {
                Kind::Punct(';') => {
                    self.next()?;
                    break;
                }
                Kind::End => {
                    self.expected = vec![";".into()];
                    return self.error();
                }
                Kind::Word(w) => words.push(w.to_ascii_lowercase()),
                _ => {}
            }
            self.next()?;
        }
        let catalog = matches!(
            word,
            "execute" | "register" | "resync" | "print" | "replace" | "import" | "unregister" | "upgrade"
        );
        let (code, text) = if catalog {
            (6002, "command not allowed when not connected to a recovery catalog".to_string())
        } else {
            (0, format!("unimplemented feature: orasim has no {}", word.to_uppercase()))
        };
        let command = if word == "execute" { "execute script".to_string() } else { word.to_string() };
        Ok(Command::Refused { command, code, text })
    }

    fn run_block(&mut self) -> Parsed<Command> {
        self.expect_punct('{')?;
        let mut commands = Vec::new();
        loop {
            if !commands.is_empty() && self.accept_punct('}')? {
                break;
            }
            if self.accept_punct(';')? {
                continue;
            }
            // RMAN wants at least one command between the braces.
            if matches!(self.peek()?.kind, Kind::End | Kind::Punct('}')) {
                return self.unexpected(IN_RUN);
            }
            commands.push(self.one(true)?);
        }
        Ok(Command::Run(commands))
    }

    fn startup(&mut self) -> Parsed<Command> {
        let mut mode = Mode::Open;
        let mut force = false;
        while !self.line_is_done() && !self.accept_punct(';')? {
            if self.accept("nomount")? {
                mode = Mode::Nomount;
            } else if self.accept("mount")? {
                mode = Mode::Mount;
            } else if self.accept("force")? {
                force = true;
            } else if self.accept("dba")? {
            } else if self.accept("pfile")? {
                self.equals()?;
                self.text()?;
            } else {
                return self.error();
            }
        }
        Ok(Command::Startup { mode, force })
    }

    fn shutdown(&mut self) -> Parsed<Command> {
        let mut mode = ShutdownWord::Normal;
        while !self.line_is_done() && !self.accept_punct(';')? {
            mode = if self.accept("immediate")? || self.accept("transactional")? {
                ShutdownWord::Immediate
            } else if self.accept("abort")? {
                ShutdownWord::Abort
            } else if self.accept("normal")? {
                ShutdownWord::Normal
            } else {
                return self.error();
            };
        }
        Ok(Command::Shutdown(mode))
    }
}

/// SQL statements that RMAN takes as they are since 12c.
const SQL: &[&str] = &[
    "alter",
    "analyze",
    "audit",
    "begin",
    "call",
    "comment",
    "commit",
    "create",
    "declare",
    "drop",
    "explain",
    "grant",
    "insert",
    "lock",
    "merge",
    "noaudit",
    "purge",
    "rename",
    "revoke",
    "rollback",
    "savepoint",
    "select",
    "truncate",
    "update",
    "with",
];
