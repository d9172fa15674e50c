//! DDL, ALTER and ARCHIVE statements by hand: each becomes one [`Command`] or the ORA- code of what is wrong with it.
//!
//! Verbs that Oracle has and the simulator has not (CREATE TABLE, INSERT, GRANT …) answer ORA-03001.

use std::path::PathBuf;

use super::nls::{Language, Nls};
use super::tokens::{lex, Lexeme, Token};
use super::{format_date, Done, Parsed, Session, SqlError};
use crate::engine::{BackupScope, Command, OraError, Recover, Until};

/// ALTER SESSION SET, as far as it changes what the session prints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionSetting {
    DateFormat(String),
    NumericCharacters(char, char),
    Language(Language),
    /// Parameters that are accepted and change nothing here.
    Other,
}

impl SessionSetting {
    pub fn apply(&self, session: &mut Session) {
        match self {
            Self::DateFormat(format) => session.nls.date_format.clone_from(format),
            Self::NumericCharacters(decimal, group) => {
                session.nls.decimal = *decimal;
                session.nls.group = *group;
            }
            Self::Language(language) => session.nls.language = *language,
            Self::Other => {}
        }
    }
}

type Parse<T> = Result<T, SqlError>;

pub struct Cursor<'a> {
    lexemes: &'a [Lexeme],
    next: usize,
}

impl<'a> Cursor<'a> {
    pub fn new(lexemes: &'a [Lexeme]) -> Self {
        Self { lexemes, next: 0 }
    }

    fn at(&self) -> (u64, u64) {
        self.lexemes.get(self.next).or(self.lexemes.last()).map_or((1, 1), |l| l.at)
    }

    fn fail<T>(&self, code: u32, text: &str) -> Parse<T> {
        Err(SqlError::at(OraError::new(code, text), self.at()))
    }

    fn peek(&self) -> Option<&'a Token> {
        self.lexemes.get(self.next).map(|l| &l.token)
    }

    /// Takes all the words or none.
    pub fn eat(&mut self, words: &[&str]) -> bool {
        let fits = words.iter().enumerate().all(|(i, word)| {
            matches!(self.lexemes.get(self.next + i).map(|l| &l.token), Some(Token::Word(w)) if w == word)
        });
        if fits {
            self.next += words.len();
        }
        fits
    }

    fn symbol(&mut self, c: char) -> bool {
        let fits = self.peek() == Some(&Token::Symbol(c));
        self.next += usize::from(fits);
        fits
    }

    fn name(&mut self, code: u32, text: &str) -> Parse<String> {
        match self.peek() {
            Some(Token::Word(name) | Token::Quoted(name)) => {
                self.next += 1;
                Ok(name.clone())
            }
            _ => self.fail(code, text),
        }
    }

    fn file(&mut self) -> Parse<PathBuf> {
        match self.peek() {
            Some(Token::Text(path)) => {
                self.next += 1;
                Ok(PathBuf::from(path))
            }
            _ => self.fail(2236, "invalid file name"),
        }
    }

    fn number(&mut self) -> Parse<u64> {
        match self.peek() {
            Some(Token::Number(n)) => match n.parse() {
                Ok(n) => {
                    self.next += 1;
                    Ok(n)
                }
                Err(_) => self.fail(2017, "integer value required"),
            },
            _ => self.fail(2017, "integer value required"),
        }
    }

    /// `10M`, `10 M`, `8192`.
    fn size(&mut self) -> Parse<u64> {
        let n = self.number()?;
        for (unit, shift) in [("K", 10), ("M", 20), ("G", 30), ("T", 40)] {
            if self.eat(&[unit]) {
                return Ok(n << shift);
            }
        }
        Ok(n)
    }

    pub fn done(&self) -> bool {
        self.next >= self.lexemes.len()
    }

    fn end(&self, parsed: Parsed) -> Parse<Parsed> {
        if self.done() {
            Ok(parsed)
        } else if self.peek() == Some(&Token::Symbol(';')) {
            self.fail(911, "invalid character")
        } else {
            self.fail(933, "SQL command not properly ended")
        }
    }
}

pub fn parse(lexemes: &[Lexeme]) -> Parse<Parsed> {
    let mut c = Cursor::new(lexemes);
    if c.eat(&["ALTER", "TABLESPACE"]) {
        return tablespace(c);
    }
    if c.eat(&["ALTER", "PLUGGABLE", "DATABASE"]) {
        if !c.eat(&["ALL", "OPEN", "READ", "ONLY"]) {
            return c.fail(
                3001,
                "unimplemented feature (ALTER PLUGGABLE DATABASE beyond ALL OPEN READ ONLY in orasim)",
            );
        }
        return c.end(Parsed::Command(Command::OpenPluggable, Done::Pluggable));
    }
    if c.eat(&["ALTER", "DATABASE"]) {
        return database(c);
    }
    if c.eat(&["ALTER", "SYSTEM"]) {
        return system(c);
    }
    if c.eat(&["ALTER", "SESSION"]) {
        return session(c);
    }
    if c.eat(&["COMMIT"]) {
        c.eat(&["WORK"]);
        return c.end(Parsed::Transaction(Done::Commit));
    }
    if c.eat(&["ROLLBACK"]) {
        c.eat(&["WORK"]);
        return c.end(Parsed::Transaction(Done::Rollback));
    }
    let undo = c.eat(&["CREATE", "UNDO", "TABLESPACE"]);
    if undo || c.eat(&["CREATE", "TABLESPACE"]) || c.eat(&["CREATE", "SMALLFILE", "TABLESPACE"]) {
        return create_tablespace(c, undo);
    }
    if c.eat(&["DROP", "TABLESPACE"]) {
        let name = c.name(2140, "invalid tablespace name")?;
        if c.eat(&["INCLUDING", "CONTENTS"]) {
            c.eat(&["AND", "DATAFILES"]);
            c.eat(&["CASCADE", "CONSTRAINTS"]);
        }
        return c.end(Parsed::Command(Command::DropTablespace { name }, Done::TablespaceDropped));
    }
    if c.eat(&["CREATE", "PFILE"]) {
        if !c.symbol('=') {
            return c.fail(3001, "unimplemented feature (CREATE PFILE without a file name in orasim)");
        }
        let to = c.file()?;
        if !c.eat(&["FROM", "SPFILE"]) && !c.eat(&["FROM", "MEMORY"]) {
            return c.fail(923, "FROM keyword not found where expected");
        }
        return c.end(Parsed::Command(Command::CreatePfile { to }, Done::FileCreated));
    }
    match c.peek() {
        Some(Token::Word(w)) if w == "ALTER" => {
            c.next += 1;
            c.fail(940, "invalid ALTER command")
        }
        Some(Token::Word(w))
            if [
                "CREATE",
                "DROP",
                "INSERT",
                "UPDATE",
                "DELETE",
                "MERGE",
                "GRANT",
                "REVOKE",
                "TRUNCATE",
                "LOCK",
                "SAVEPOINT",
                "EXPLAIN",
                "CALL",
                "COMMENT",
                "ANALYZE",
                "AUDIT",
                "PURGE",
                "FLASHBACK",
                "RENAME",
                "SET",
            ]
            .contains(&w.as_str()) =>
        {
            c.fail(3001, &format!("unimplemented feature ({w} in orasim)"))
        }
        _ => c.fail(900, "invalid SQL statement"),
    }
}

fn tablespace(mut c: Cursor) -> Parse<Parsed> {
    let name = c.name(2140, "invalid tablespace name")?;
    let command = if c.eat(&["BEGIN", "BACKUP"]) {
        Command::BeginBackup(BackupScope::Tablespace(name))
    } else if c.eat(&["END", "BACKUP"]) {
        Command::EndBackup(BackupScope::Tablespace(name))
    } else if c.eat(&["READ", "ONLY"]) {
        Command::TablespaceReadOnly(name)
    } else if c.eat(&["READ", "WRITE"]) {
        Command::TablespaceReadWrite(name)
    } else if c.eat(&["OFFLINE"]) {
        let _ = c.eat(&["NORMAL"]) || c.eat(&["TEMPORARY"]) || c.eat(&["IMMEDIATE"]);
        Command::TablespaceOffline(name)
    } else if c.eat(&["ONLINE"]) {
        Command::TablespaceOnline(name)
    } else if c.eat(&["ADD", "DATAFILE"]) {
        let file = c.file()?;
        if !c.eat(&["SIZE"]) {
            return c.fail(1119, &format!("error in creating database file '{}'", file.display()));
        }
        let bytes = c.size()?;
        c.eat(&["REUSE"]);
        autoextend(&mut c)?;
        Command::AddDatafile { tablespace: name, file, bytes }
    } else {
        return c.fail(2142, "missing or invalid ALTER TABLESPACE option");
    };
    c.end(Parsed::Command(command, Done::Tablespace))
}

fn autoextend(c: &mut Cursor) -> Parse<()> {
    if c.eat(&["AUTOEXTEND"]) && !c.eat(&["OFF"]) {
        if !c.eat(&["ON"]) {
            return c.fail(2237, "invalid file size");
        }
        if c.eat(&["NEXT"]) {
            c.size()?;
        }
        if c.eat(&["MAXSIZE"]) && !c.eat(&["UNLIMITED"]) {
            c.size()?;
        }
    }
    Ok(())
}

fn create_tablespace(mut c: Cursor, undo: bool) -> Parse<Parsed> {
    let name = c.name(2140, "invalid tablespace name")?;
    if !c.eat(&["DATAFILE"]) {
        return c.fail(2199, "missing DATAFILE/TEMPFILE clause");
    }
    let file = c.file()?;
    if !c.eat(&["SIZE"]) {
        return c.fail(1119, &format!("error in creating database file '{}'", file.display()));
    }
    let bytes = c.size()?;
    c.eat(&["REUSE"]);
    autoextend(&mut c)?;
    // EXTENT MANAGEMENT, SEGMENT SPACE MANAGEMENT, LOGGING: nothing in the simulator depends on them.
    for words in [
        &["EXTENT", "MANAGEMENT", "LOCAL"][..],
        &["AUTOALLOCATE"],
        &["SEGMENT", "SPACE", "MANAGEMENT", "AUTO"],
        &["LOGGING"],
    ] {
        c.eat(words);
    }
    c.end(Parsed::Command(Command::CreateTablespace { name, file, bytes, undo }, Done::TablespaceCreated))
}

fn database(mut c: Cursor) -> Parse<Parsed> {
    const WORDS: [&str; 17] = [
        "BEGIN",
        "END",
        "DATAFILE",
        "BACKUP",
        "CREATE",
        "MOUNT",
        "OPEN",
        "ACTIVATE",
        "RENAME",
        "REGISTER",
        "RECOVER",
        "FORCE",
        "NO",
        "ARCHIVELOG",
        "NOARCHIVELOG",
        "CLOSE",
        "DISMOUNT",
    ];
    if let Some(Token::Word(w)) = c.peek() {
        // ALTER DATABASE name …
        let next = c.lexemes.get(c.next + 1).map(|l| &l.token);
        if !WORDS.contains(&w.as_str()) && matches!(next, Some(Token::Word(n)) if WORDS.contains(&n.as_str()))
        {
            c.next += 1;
        }
    }
    let command = if c.eat(&["BEGIN", "BACKUP"]) {
        Command::BeginBackup(BackupScope::Database)
    } else if c.eat(&["END", "BACKUP"]) {
        Command::EndBackup(BackupScope::Database)
    } else if c.eat(&["DATAFILE"]) {
        return datafile(c);
    } else if c.eat(&["BACKUP", "CONTROLFILE", "TO"]) {
        if c.eat(&["TRACE"]) {
            return c.fail(3001, "unimplemented feature (BACKUP CONTROLFILE TO TRACE in orasim)");
        }
        let to = c.file()?;
        let reuse = c.eat(&["REUSE"]);
        Command::BackupControlfile { to, reuse }
    } else if c.eat(&["CREATE", "STANDBY", "CONTROLFILE", "AS"])
        || c.eat(&["CREATE", "PHYSICAL", "STANDBY", "CONTROLFILE", "AS"])
    {
        let to = c.file()?;
        let reuse = c.eat(&["REUSE"]);
        Command::CreateStandbyControlfile { to, reuse }
    } else if c.eat(&["MOUNT"]) {
        Command::Mount { standby: c.eat(&["STANDBY", "DATABASE"]) }
    } else if c.eat(&["OPEN"]) {
        let read_only = c.eat(&["READ", "ONLY"]);
        c.eat(&["READ", "WRITE"]);
        let resetlogs = c.eat(&["RESETLOGS"]);
        c.eat(&["NORESETLOGS"]);
        Command::Open { read_only, resetlogs }
    } else if c.eat(&["ACTIVATE"]) {
        c.eat(&["PHYSICAL"]);
        if !c.eat(&["STANDBY", "DATABASE"]) {
            return c.fail(2231, "missing or invalid option to ALTER DATABASE");
        }
        Command::ActivateStandby
    } else if c.eat(&["RENAME", "FILE"]) {
        let from = c.file()?;
        if c.peek() == Some(&Token::Symbol(',')) {
            return c.fail(3001, "unimplemented feature (RENAME FILE with a list in orasim)");
        }
        if !c.eat(&["TO"]) {
            return c.fail(946, "missing TO keyword");
        }
        Command::RenameFile { from, to: c.file()? }
    } else if c.eat(&["REGISTER"]) {
        let replace = c.eat(&["OR", "REPLACE"]);
        c.eat(&["PHYSICAL"]);
        if !c.eat(&["LOGFILE"]) {
            return c.fail(2231, "missing or invalid option to ALTER DATABASE");
        }
        Command::RegisterLogfile { path: c.file()?, replace }
    } else if c.eat(&["RECOVER"]) {
        recover(&mut c)?
    } else if c.eat(&["FORCE", "LOGGING"]) {
        Command::ForceLogging(true)
    } else if c.eat(&["NO", "FORCE", "LOGGING"]) {
        Command::ForceLogging(false)
    } else if c.eat(&["ARCHIVELOG"]) || c.eat(&["NOARCHIVELOG"]) || c.eat(&["CLOSE"]) || c.eat(&["DISMOUNT"])
    {
        return c.fail(3001, "unimplemented feature (this ALTER DATABASE in orasim)");
    } else {
        return c.fail(2231, "missing or invalid option to ALTER DATABASE");
    };
    c.end(Parsed::Command(command, Done::Database))
}

fn datafile(mut c: Cursor) -> Parse<Parsed> {
    let command = match c.peek() {
        Some(Token::Number(_)) => {
            let file = c.number()?;
            if !c.eat(&["END", "BACKUP"]) {
                return c.fail(3001, "unimplemented feature (this ALTER DATABASE DATAFILE in orasim)");
            }
            Command::EndBackup(BackupScope::Datafile(u32::try_from(file).unwrap_or(u32::MAX)))
        }
        _ => {
            let file = c.file()?;
            if !c.eat(&["RESIZE"]) {
                return c.fail(3001, "unimplemented feature (this ALTER DATABASE DATAFILE in orasim)");
            }
            Command::ResizeDatafile { file, bytes: c.size()? }
        }
    };
    c.end(Parsed::Command(command, Done::Database))
}

/// What follows RECOVER, in `ALTER DATABASE RECOVER` and in the SQL*Plus command of the same name.
pub fn recover(c: &mut Cursor) -> Parse<Command> {
    if c.eat(&["CONTINUE"]) {
        c.eat(&["DEFAULT"]);
        return Ok(Command::RecoverContinue);
    }
    if c.eat(&["CANCEL"]) {
        return Ok(Command::RecoverCancel);
    }
    if c.eat(&["LOGFILE"]) {
        return Ok(Command::RecoverLogfile(c.file()?));
    }
    if c.eat(&["MANAGED"]) {
        if !c.eat(&["STANDBY", "DATABASE"]) {
            return c.fail(905, "missing keyword");
        }
        if c.eat(&["CANCEL"]) {
            c.eat(&["IMMEDIATE"]);
            return Ok(Command::RecoverManagedCancel);
        }
        let archived = c.eat(&["USING", "ARCHIVED", "LOGFILE"]);
        let real_time = !archived && c.eat(&["USING", "CURRENT", "LOGFILE"]);
        if !c.eat(&["DISCONNECT"]) {
            return c.fail(3001, "unimplemented feature (managed recovery in the foreground in orasim)");
        }
        if c.eat(&["FROM"]) {
            c.eat(&["SESSION"]);
        }
        return Ok(Command::RecoverManaged { real_time });
    }
    let automatic = c.eat(&["AUTOMATIC"]);
    let from = if c.eat(&["FROM"]) { Some(c.file()?) } else { None };
    let standby = c.eat(&["STANDBY"]);
    if !c.eat(&["DATABASE"]) {
        if c.eat(&["DATAFILE"]) || c.eat(&["TABLESPACE"]) {
            return c.fail(3001, "unimplemented feature (RECOVER of a part in orasim)");
        }
        return c.fail(905, "missing keyword");
    }
    let mut recover =
        Recover { automatic, from, standby, using_backup_controlfile: false, until: Until::End };
    loop {
        if c.eat(&["UNTIL", "CANCEL"]) {
            recover.until = Until::Cancel;
        } else if c.eat(&["UNTIL", "CHANGE"]) {
            recover.until = Until::Change(c.number()?);
        } else if c.eat(&["UNTIL", "TIME"]) {
            let text = c.file()?.to_string_lossy().into_owned();
            let time = format_date::to_date(&text, "YYYY-MM-DD:HH24:MI:SS", &Nls::american());
            recover.until = Until::Time(time.map_err(|e| SqlError::at(e, c.at()))?);
        } else if c.eat(&["USING", "BACKUP", "CONTROLFILE"]) {
            recover.using_backup_controlfile = true;
        } else if c.eat(&["PARALLEL"]) {
            if let Some(Token::Number(_)) = c.peek() {
                c.number()?;
            }
        } else if !c.eat(&["NOPARALLEL"]) && !c.eat(&["DISCONNECT"]) {
            return Ok(Command::Recover(recover));
        }
    }
}

/// Parses the tail of a SQL*Plus RECOVER command (`RECOVER STANDBY DATABASE UNTIL CANCEL`).
///
/// # Errors
/// As [`parse`].
pub fn recover_tail(text: &str) -> Parse<Command> {
    let lexemes = lex(text)?;
    let mut c = Cursor::new(&lexemes);
    c.eat(&["RECOVER"]);
    let command = recover(&mut c)?;
    if c.done() {
        Ok(command)
    } else {
        c.fail(905, "missing keyword")
    }
}

fn system(mut c: Cursor) -> Parse<Parsed> {
    let command = if c.eat(&["ARCHIVE", "LOG"]) {
        if !c.eat(&["CURRENT"]) {
            return c.fail(3001, "unimplemented feature (ARCHIVE LOG other than CURRENT in orasim)");
        }
        Command::ArchiveLogCurrent
    } else if c.eat(&["SWITCH", "LOGFILE"]) {
        Command::SwitchLogfile
    } else if c.eat(&["CHECKPOINT"]) {
        let _ = c.eat(&["GLOBAL"]) || c.eat(&["LOCAL"]);
        Command::Checkpoint
    } else if c.eat(&["SET"]) {
        let name = c.name(2065, "illegal option for ALTER SYSTEM")?.to_ascii_lowercase();
        if !c.symbol('=') {
            return c.fail(927, "missing equal sign");
        }
        let value = setting(&mut c)?;
        if c.eat(&["COMMENT"]) {
            c.symbol('=');
            setting(&mut c)?;
        }
        if c.eat(&["SCOPE"]) {
            c.symbol('=');
            setting(&mut c)?;
        }
        if c.eat(&["SID"]) {
            c.symbol('=');
            setting(&mut c)?;
        }
        Command::SetParameter { name, value }
    } else {
        return c.fail(2065, "illegal option for ALTER SYSTEM");
    };
    c.end(Parsed::Command(command, Done::System))
}

fn setting(c: &mut Cursor) -> Parse<String> {
    let text = match c.peek() {
        Some(Token::Text(t) | Token::Number(t) | Token::Quoted(t) | Token::Word(t)) => t.clone(),
        _ => return c.fail(2096, "specified initialization parameter is not modifiable with this option"),
    };
    let number = matches!(c.peek(), Some(Token::Number(_)));
    c.next += 1;
    if number {
        if let Some(Token::Word(unit)) = c.peek() {
            if matches!(unit.as_str(), "K" | "M" | "G") {
                c.next += 1;
                return Ok(text + unit);
            }
        }
    }
    Ok(text)
}

fn session(mut c: Cursor) -> Parse<Parsed> {
    if !c.eat(&["SET"]) {
        return c.fail(2248, "invalid option for ALTER SESSION");
    }
    let name = c.name(2248, "invalid option for ALTER SESSION")?;
    if !c.symbol('=') {
        return c.fail(927, "missing equal sign");
    }
    if name == "CONTAINER" {
        // CDB$ROOT is one word; the engine knows what it means.
        let container = setting(&mut c)?;
        return c.end(Parsed::Command(Command::SetContainer(container), Done::Session));
    }
    let value = setting(&mut c)?;
    let applied = match name.as_str() {
        "NLS_DATE_FORMAT" => {
            format_date::to_char(super::nls::sysdate(), &value, &Nls::american())
                .map_err(|e| SqlError::at(e, c.at()))?;
            SessionSetting::DateFormat(value)
        }
        "NLS_NUMERIC_CHARACTERS" => {
            let mut chars = value.chars();
            match (chars.next(), chars.next()) {
                (Some(d), Some(g)) => SessionSetting::NumericCharacters(d, g),
                _ => return c.fail(12705, "Cannot access NLS data files or invalid environment specified"),
            }
        }
        "NLS_LANGUAGE" => match value.to_ascii_uppercase().as_str() {
            "AMERICAN" => SessionSetting::Language(Language::American),
            "BRAZILIAN PORTUGUESE" => SessionSetting::Language(Language::Brazilian),
            _ => return c.fail(12705, "Cannot access NLS data files or invalid environment specified"),
        },
        n if n.starts_with("NLS_") => SessionSetting::Other,
        "CURRENT_SCHEMA" | "TIME_ZONE" | "STATISTICS_LEVEL" | "EVENTS" | "TRACEFILE_IDENTIFIER" => {
            SessionSetting::Other
        }
        _ => return c.fail(2248, "invalid option for ALTER SESSION"),
    };
    c.end(Parsed::Session(applied))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(text: &str) -> Command {
        match super::super::parse(text) {
            Ok(Parsed::Command(command, _)) => command,
            Ok(_) => panic!("not a command: {text}"),
            Err(error) => panic!("{text}: {error:?}"),
        }
    }

    fn code(text: &str) -> u32 {
        match super::super::parse(text) {
            Ok(_) => 0,
            Err(error) => error.error.code(),
        }
    }

    #[test]
    fn statements() {
        assert_eq!(
            command("alter tablespace \"Vendas 2026\" begin backup"),
            Command::BeginBackup(BackupScope::Tablespace("Vendas 2026".into()))
        );
        assert_eq!(
            command("ALTER TABLESPACE users END /* c */ BACKUP -- x"),
            Command::EndBackup(BackupScope::Tablespace("USERS".into()))
        );
        assert_eq!(
            command("alter database datafile 7 end backup"),
            Command::EndBackup(BackupScope::Datafile(7))
        );
        assert_eq!(
            command("alter database rename file '/a/it''s' to '/b'"),
            Command::RenameFile { from: "/a/it's".into(), to: "/b".into() }
        );
        assert_eq!(
            command("alter database recover automatic from '/arch' standby database until change 12345"),
            Command::Recover(Recover {
                automatic: true,
                from: Some("/arch".into()),
                standby: true,
                using_backup_controlfile: false,
                until: Until::Change(12345)
            })
        );
        assert_eq!(
            command("alter database recover managed standby database using current logfile disconnect from session"),
            Command::RecoverManaged { real_time: true }
        );
        assert_eq!(
            command("alter database recover managed standby database cancel"),
            Command::RecoverManagedCancel
        );
        assert_eq!(
            command(
                "create undo tablespace u2 datafile '/x' size 10M autoextend on next 1m maxsize unlimited"
            ),
            Command::CreateTablespace { name: "U2".into(), file: "/x".into(), bytes: 10 << 20, undo: true }
        );
        assert_eq!(
            command("alter session set container = CDB$ROOT"),
            Command::SetContainer("CDB$ROOT".into())
        );
        assert_eq!(
            command("alter system set log_archive_dest_1='location=/a' scope=memory"),
            Command::SetParameter { name: "log_archive_dest_1".into(), value: "location=/a".into() }
        );
    }

    #[test]
    fn refusals() {
        assert_eq!(code("alter tablespace users begin bakcup"), 2142);
        assert_eq!(code("alter tablespace users begin backup now"), 933);
        assert_eq!(code("alter database strange"), 2231);
        assert_eq!(code("alter system strange"), 2065);
        assert_eq!(code("alter nothing"), 940);
        assert_eq!(code("frobnicate"), 900);
        assert_eq!(code("alter tablespace 'x' begin backup"), 2140);
        assert_eq!(code("alter database backup controlfile to /tmp/x"), 2236);
        assert_eq!(code("alter tablespace users begin backup;"), 911);
        assert_eq!(code("create table t (a number)"), 3001);
    }
}
