//! Runs a SELECT: parse, emit, fill the views that it names into SQLite, fetch.

use rusqlite::types::Value as Sqlite;
use rusqlite::{config::DbConfig, params_from_iter, Connection};
use sqlparser::ast::Statement;
use sqlparser::dialect::OracleDialect;
use sqlparser::parser::Parser;

use super::emit::{quoted, Catalog, Emitter, Ty};
use super::functions::{raised, register, Env};
use super::nls::{from_days, to_days};
use super::tokens::{self, Token};
use super::{
    format_date, format_number, not_available, parse_error, Cell, Head, Outcome, Session, Shape, SqlError,
};
use crate::engine::{Column, Engine, OraError, State, Type, Value, View};

struct Views<'a> {
    engine: &'a dyn Engine,
    session: &'a Session,
}

impl Catalog for Views<'_> {
    fn view(&self, name: &str) -> Option<Result<View, OraError>> {
        if name == "DUAL" {
            return Some(Ok(View {
                columns: vec![Column { name: "DUMMY", ty: Type::Varchar(1) }],
                rows: vec![vec![Value::Text("X".into())]],
            }));
        }
        let state = self.engine.state();
        if state == State::Down {
            return Some(Err(not_available()));
        }
        // What a user sees of its own is decided by the view.
        let own = ["ALL_", "USER_"].iter().any(|p| name.starts_with(p));
        if !self.session.dba && !own {
            return None;
        }
        let (name, global) = canonical(name);
        let dictionary = ["DBA_", "ALL_", "USER_", "CDB_"].iter().any(|p| name.starts_with(p));
        if dictionary && state < State::OpenReadOnly {
            return Some(Err(OraError::new(
                1219,
                "database or pluggable database not open: queries allowed on fixed tables or views only",
            )));
        }
        if global && name == "V$INSTANCE" {
            // It has rows of other instances.
            if let Some(view) = self.engine.view("GV$INSTANCE", &self.session.container) {
                return Some(view);
            }
        }
        let mut view = match self.engine.view(&name, &self.session.container)? {
            Ok(view) => view,
            Err(error) => return Some(Err(error)),
        };
        if global {
            view.columns.insert(0, Column { name: "INST_ID", ty: Type::Number });
            for row in &mut view.rows {
                row.insert(0, Value::Int(1));
            }
        }
        Some(Ok(view))
    }
}

/// `GV$X`, `V_$X` and `GV_$X` are `V$X`; the flag says whether INST_ID belongs to it.
fn canonical(name: &str) -> (String, bool) {
    for (prefix, global) in [("GV_$", true), ("GV$", true), ("V_$", false)] {
        if let Some(rest) = name.strip_prefix(prefix) {
            return (format!("V${rest}"), global);
        }
    }
    (name.to_string(), false)
}

fn userenv(engine: &dyn Engine, session: &Session) -> Vec<(String, String)> {
    let one = |view: &str, column: &str| -> Option<String> {
        let view = engine.view(view, &session.container)?.ok()?;
        let at = view.columns.iter().position(|c| c.name == column)?;
        match view.rows.first()?.get(at)? {
            Value::Text(text) => Some(text.clone()),
            Value::Int(n) => Some(n.to_string()),
            _ => None,
        }
    };
    let mut out = vec![
        ("SESSION_USER".to_string(), session.user.clone()),
        ("CURRENT_USER".into(), session.user.clone()),
        ("CURRENT_SCHEMA".into(), session.user.clone()),
        ("ISDBA".into(), if session.sysdba { "TRUE" } else { "FALSE" }.into()),
        ("SID".into(), session.sid.to_string()),
        ("SESSIONID".into(), if session.sysdba { u32::MAX.to_string() } else { session.serial.to_string() }),
        (
            "LANGUAGE".into(),
            match session.nls.language {
                super::nls::Language::American => "AMERICAN_AMERICA.AL32UTF8".into(),
                super::nls::Language::Brazilian => "BRAZILIAN PORTUGUESE_BRAZIL.AL32UTF8".into(),
            },
        ),
        ("NLS_DATE_FORMAT".into(), session.nls.date_format.clone()),
        ("INSTANCE".into(), "1".into()),
        ("CON_ID".into(), if session.container.is_some() { "3" } else { "1" }.into()),
    ];
    for (key, view, column) in [
        ("DB_NAME", "V$DATABASE", "NAME"),
        ("DB_UNIQUE_NAME", "V$DATABASE", "DB_UNIQUE_NAME"),
        ("DATABASE_ROLE", "V$DATABASE", "DATABASE_ROLE"),
        ("INSTANCE_NAME", "V$INSTANCE", "INSTANCE_NAME"),
        ("SERVER_HOST", "V$INSTANCE", "HOST_NAME"),
        ("HOST", "V$INSTANCE", "HOST_NAME"),
    ] {
        out.push((key.into(), one(view, column).unwrap_or_default()));
    }
    let root = match one("V$DATABASE", "CDB").as_deref() {
        Some("YES") => "CDB$ROOT".to_string(),
        _ => one("V$DATABASE", "NAME").unwrap_or_default(),
    };
    out.push(("CON_NAME".into(), session.container.clone().unwrap_or(root)));
    out
}

fn internal(error: &rusqlite::Error) -> SqlError {
    // A defect of the simulator, never of the statement: it must be loud and it must not look like data.
    OraError::new(600, format!("internal error code, arguments: [orasim], [{error}]")).into()
}

pub fn run(engine: &dyn Engine, session: &Session, text: &str) -> Result<Outcome, SqlError> {
    let lexemes = tokens::lex(text)?;
    if let Some(bad) = lexemes.iter().find(|l| l.token == Token::Symbol(';')) {
        return Err(SqlError::at(OraError::new(911, "invalid character"), bad.at));
    }
    if let Some(last) = lexemes.last().filter(|l| l.token == Token::Word("FROM".into())) {
        return Err(SqlError::at(OraError::new(903, "invalid table name"), last.at));
    }
    for pair in lexemes.windows(2) {
        if pair[0].token == Token::Symbol('=') && pair[1].token == Token::Symbol('=') {
            return Err(SqlError::at(OraError::new(936, "missing expression"), pair[1].at));
        }
    }
    let mut statements =
        Parser::parse_sql(&OracleDialect {}, text).map_err(|e| parse_error::map(&e.to_string(), &lexemes))?;
    let query = match (statements.pop(), statements.is_empty()) {
        (Some(Statement::Query(query)), true) => query,
        _ => return Err(SqlError::at(OraError::new(900, "invalid SQL statement"), (1, 1))),
    };
    let views = Views { engine, session };
    let mut emitter = Emitter::new(&views);
    emitter.headings = tokens::headings(text, &lexemes);
    let (sql, columns) = emitter.query(&query, None, true)?;

    let connection = Connection::open_in_memory().map_err(|e| internal(&e))?;
    connection
        .set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, false)
        .and_then(|_| connection.execute_batch("PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; BEGIN"))
        .map_err(|e| internal(&e))?;
    let env = Env {
        nls: session.nls.clone(),
        userenv: if sql.contains("O_USERENV") || sql.contains("O_SYS_CONTEXT") {
            userenv(engine, session)
        } else {
            vec![]
        },
    };
    register(&connection, &env).map_err(|e| internal(&e))?;
    for (name, view) in &emitter.tables {
        fill(&connection, name, view, &emitter.used).map_err(|e| internal(&e))?;
    }
    let mut statement = connection.prepare(&sql).map_err(|e| internal(&e))?;
    let mut rows = statement.query([]).map_err(|e| internal(&e))?;
    let mut out = Vec::new();
    loop {
        let row = match rows.next() {
            Ok(Some(row)) => row,
            Ok(None) => break,
            Err(error) => {
                return Err(raised(&error).map_or_else(|| internal(&error), |e| SqlError::at(e, (1, 1))))
            }
        };
        let mut cells = Vec::with_capacity(columns.len());
        for (i, column) in columns.iter().enumerate() {
            let value: Sqlite = row.get(i).map_err(|e| internal(&e))?;
            cells.push(cell(value, column.ty, session)?);
        }
        out.push(cells);
    }
    let heads = columns
        .into_iter()
        .map(|c| Head {
            name: c.name,
            shape: match c.ty {
                Ty::Number => Shape::Number,
                Ty::Date => Shape::Date,
                Ty::Text(n) => Shape::Text(n.max(1)),
                Ty::Null => Shape::Text(1),
            },
        })
        .collect();
    Ok(Outcome::Rows { heads, rows: out })
}

fn cell(value: Sqlite, ty: Ty, session: &Session) -> Result<Cell, SqlError> {
    Ok(match (value, ty) {
        (Sqlite::Null, _) => Cell::Null,
        (Sqlite::Integer(days), Ty::Date) => {
            Cell::Text(format_date::to_char(from_days(days as f64), &session.nls.date_format, &session.nls)?)
        }
        (Sqlite::Real(days), Ty::Date) => {
            Cell::Text(format_date::to_char(from_days(days), &session.nls.date_format, &session.nls)?)
        }
        (Sqlite::Text(text), _) => {
            if text.is_empty() {
                Cell::Null
            } else {
                Cell::Text(text)
            }
        }
        (number, _) => Cell::Number(format_number::plain(&number, session.nls.decimal)),
    })
}

fn fill(
    connection: &Connection,
    name: &str,
    view: &View,
    used: &std::collections::HashSet<String>,
) -> rusqlite::Result<()> {
    let mut keep: Vec<usize> =
        (0..view.columns.len()).filter(|i| used.contains(view.columns[*i].name)).collect();
    if keep.is_empty() {
        keep.push(0);
    }
    let names: Vec<String> = keep.iter().map(|i| quoted(view.columns[*i].name)).collect();
    connection.execute_batch(&format!("CREATE TABLE {} ({})", quoted(name), names.join(", ")))?;
    let marks = vec!["?"; keep.len()].join(", ");
    let mut insert = connection.prepare(&format!("INSERT INTO {} VALUES ({marks})", quoted(name)))?;
    for row in &view.rows {
        insert.execute(params_from_iter(keep.iter().map(|i| match row.get(*i) {
            None | Some(Value::Null) => Sqlite::Null,
            Some(Value::Int(n)) => Sqlite::Integer(*n),
            Some(Value::Text(t)) if t.is_empty() => Sqlite::Null,
            Some(Value::Text(t)) => Sqlite::Text(t.clone()),
            Some(Value::Date(d)) => Sqlite::Real(to_days(*d)),
        })))?;
    }
    Ok(())
}

pub fn describe(
    engine: &dyn Engine,
    session: &Session,
    name: &str,
) -> Result<Vec<(String, String)>, OraError> {
    let upper = name.trim_matches('"').to_uppercase();
    let bare = upper.strip_prefix("SYS.").unwrap_or(&upper);
    let views = Views { engine, session };
    match views.view(bare) {
        None => Err(OraError::new(4043, format!("object {name} does not exist"))),
        Some(Err(error)) => Err(error),
        Some(Ok(view)) => Ok(view
            .columns
            .iter()
            .map(|c| {
                let ty = match c.ty {
                    Type::Number => "NUMBER".to_string(),
                    Type::Date => "DATE".into(),
                    Type::Varchar(n) => format!("VARCHAR2({n})"),
                };
                (c.name.to_string(), ty)
            })
            .collect()),
    }
}
