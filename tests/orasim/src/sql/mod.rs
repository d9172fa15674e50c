//! Oracle SQL over an [`Engine`]: SELECTs run in SQLite, everything else becomes a [`Command`].

mod call;
pub mod command;
mod emit;
mod expr;
#[cfg(test)]
pub mod fixture;
pub mod format_date;
pub mod format_number;
mod functions;
pub mod nls;
mod parse_error;
pub mod plsql;
mod select;
#[cfg(test)]
mod tests;
pub mod tokens;

use serde::{Deserialize, Serialize};

use crate::engine::{Command, Container, Engine, OraError, State};
use nls::Nls;

/// An ORA- stack and the place in the statement that SQL*Plus marks with `*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlError {
    pub error: OraError,
    /// Line and column, counted from 1.
    pub at: Option<(u64, u64)>,
}

impl SqlError {
    pub fn at(error: OraError, at: (u64, u64)) -> Self {
        Self { error, at: (at != (0, 0)).then_some(at) }
    }
}

impl From<OraError> for SqlError {
    fn from(error: OraError) -> Self {
        Self { error, at: None }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Shape {
    Number,
    /// Bytes the text may have.
    Text(usize),
    Date,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    pub name: String,
    pub shape: Shape,
}

/// A value on its way to the client: numbers in full, dates by the session's format.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cell {
    Null,
    Number(String),
    Text(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Rows {
        heads: Vec<Head>,
        rows: Vec<Vec<Cell>>,
    },
    /// The command and what it said; the client words the message.
    Done {
        what: Done,
        notes: Vec<String>,
    },
    /// A PL/SQL block ran; lines of DBMS_OUTPUT.
    Block {
        output: Vec<String>,
    },
}

/// Which message a statement ends with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Done {
    Database,
    Pluggable,
    System,
    Session,
    Tablespace,
    TablespaceCreated,
    TablespaceDropped,
    TableDropped,
    FileCreated,
    Commit,
    Rollback,
}

/// One database session.
#[derive(Debug, Clone)]
pub struct Session {
    pub user: String,
    pub sysdba: bool,
    /// May see V$ and DBA_ views and run ALTER statements.
    pub dba: bool,
    pub container: Container,
    pub nls: Nls,
    pub sid: u32,
    pub serial: u32,
    /// DBMS_OUTPUT.ENABLE has been called, by SET SERVEROUTPUT ON.
    pub output_enabled: bool,
}

impl Session {
    pub fn sysdba(nls: Nls) -> Self {
        Self {
            user: "SYS".into(),
            sysdba: true,
            dba: true,
            container: None,
            nls,
            sid: 1,
            serial: 1,
            output_enabled: false,
        }
    }
}

/// ORA-01034 with the two lines that 11.2 and later add.
pub fn not_available() -> OraError {
    OraError::new(1034, "ORACLE not available\nProcess ID: 0\nSession ID: 0 Serial number: 0")
}

/// What a statement is before it runs: the journal and the faults want to know.
pub enum Parsed {
    Select,
    Block,
    Command(Command, Done),
    Session(command::SessionSetting),
    Transaction(Done),
}

/// Parses one statement without its terminator.
///
/// # Errors
/// The ORA- code of Oracle's parser.
pub fn parse(text: &str) -> Result<Parsed, SqlError> {
    let lexemes = tokens::lex(text)?;
    let first = match lexemes.first().map(|l| &l.token) {
        Some(tokens::Token::Word(word)) => word.as_str(),
        Some(tokens::Token::Symbol('(')) => "SELECT",
        _ => return Err(SqlError::at(OraError::new(900, "invalid SQL statement"), (1, 1))),
    };
    match first {
        "SELECT" | "WITH" => Ok(Parsed::Select),
        "BEGIN" | "DECLARE" => Ok(Parsed::Block),
        _ => command::parse(&lexemes),
    }
}

/// Runs one statement.
///
/// # Errors
/// The stack that Oracle answers.
pub fn run(engine: &dyn Engine, session: &mut Session, text: &str) -> Result<Outcome, SqlError> {
    let parsed = parse(text);
    let state = engine.state();
    // On an idle instance nothing is parsed at all.
    if state == State::Down {
        return Err(SqlError::at(not_available(), (1, 1)));
    }
    match parsed? {
        Parsed::Select => select::run(engine, session, text),
        Parsed::Block => plsql::run(engine, session, text),
        Parsed::Transaction(what) => Ok(Outcome::Done { what, notes: vec![] }),
        Parsed::Session(setting) => {
            setting.apply(session);
            Ok(Outcome::Done { what: Done::Session, notes: vec![] })
        }
        Parsed::Command(command, what) => {
            if !session.dba {
                return Err(SqlError::at(OraError::new(1031, "insufficient privileges"), (1, 1)));
            }
            let reply = engine
                .execute(&command, &mut session.container)
                .map_err(|error| SqlError::at(error, (1, 1)))?;
            Ok(Outcome::Done { what, notes: reply.notes })
        }
    }
}

/// The columns of a view for DESCRIBE.
///
/// # Errors
/// ORA-04043 when there is no such object, ORA-01034 and the like as for SELECT.
pub fn describe(
    engine: &dyn Engine,
    session: &Session,
    name: &str,
) -> Result<Vec<(String, String)>, OraError> {
    select::describe(engine, session, name)
}
