//! A minimal RMAN: cataloguing archived logs and recovering a standby.
//!
//! `target /`, `nocatalog`, `cmdfile=`, `@file`, standard input, `log=`. Commands: CATALOG START WITH … NOPROMPT, CATALOG
//! ARCHIVELOG, RECOVER [STANDBY] DATABASE [UNTIL …], SET UNTIL within RUN { }, LIST ARCHIVELOG ALL, CROSSCHECK ARCHIVELOG ALL,
//! REPORT SCHEMA, SQL '…', STARTUP, SHUTDOWN, EXIT. Everything else, BACKUP and RESTORE first of all, is a syntax error here
//! (RMAN-00558/01009) and exit status 1; a later issue makes them.

use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};

use crate::journal::{self, Event};
use crate::server::client::Connection;
use crate::server::wire::{Logon, Request, Response, ShutdownWord, Stack, StartupWord, Step};
use crate::sql::nls::Nls;
use crate::sql::tokens::{lex, Lexeme, Token};
use crate::sql::Cell;
use crate::sqlplus::Process;

const KNOWN: &str = "catalog, crosscheck, exit, list, quit, recover, report, run, shutdown, sql, startup";

struct Rman<'a> {
    connection: Connection,
    out: Box<dyn Write + 'a>,
    cmdfile: bool,
    failed: bool,
    until: String,
}

fn stack_text(stack: &Stack) -> String {
    stack.iter().map(|(c, t)| format!("ORA-{c:05}: {t}\n")).collect()
}

/// Runs RMAN to its end; the exit status is 0 or 1.
pub fn run(process: &Process, input: &mut dyn BufRead, output: &mut dyn Write) -> i32 {
    let dir = process.local_dir();
    let nanos =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_nanos());
    let id = format!("{}-{nanos}", process.pid);
    if let Some(dir) = &dir {
        let event = Event::Call {
            id: id.clone(),
            time: journal::now(),
            program: "rman".into(),
            argv: process.argv.clone(),
            env: process.env.keys().cloned().collect(),
            pid: process.pid,
            ppid: process.ppid,
        };
        // Without a journal there is nothing to tell; the calls are missing there for everybody to see.
        let _ = journal::append(dir, &event);
    }
    let status = session(process, &id, dir.as_deref(), input, output).unwrap_or_else(|error| {
        let _ = writeln!(
            output,
            "RMAN-00554: initialization of internal recovery manager package failed\n{error:#}"
        );
        1
    });
    if let Some(dir) = &dir {
        let _ = journal::append(dir, &Event::Exit { id, time: journal::now(), status });
    }
    status
}

fn session(
    process: &Process,
    id: &str,
    dir: Option<&Path>,
    input: &mut dyn BufRead,
    output: &mut dyn Write,
) -> anyhow::Result<i32> {
    let mut script: Option<PathBuf> = None;
    let mut log: Option<PathBuf> = None;
    let mut append = false;
    let mut words = process.argv.iter().peekable();
    while let Some(word) = words.next() {
        let lower = word.to_ascii_lowercase();
        let mut value = |key: &str| -> Option<String> {
            if lower == key {
                let next = words.next().cloned()?;
                return if next == "=" { words.next().cloned() } else { Some(next) };
            }
            word.get(..key.len() + 1)
                .filter(|h| h.eq_ignore_ascii_case(&format!("{key}=")))
                .map(|h| word[h.len()..].into())
        };
        if let Some(target) = value("target") {
            anyhow::ensure!(
                target == "/",
                "RMAN-00552: syntax error in command line arguments: target {target}"
            );
        } else if let Some(file) = value("cmdfile") {
            script = Some(process.cwd.join(file.trim_matches(['\'', '"'])));
        } else if let Some(file) = value("log").or_else(|| value("msglog")) {
            log = Some(process.cwd.join(file.trim_matches(['\'', '"'])));
        } else if let Some(file) = word.strip_prefix('@') {
            script = Some(process.cwd.join(file));
        } else if lower == "append" {
            append = true;
        } else if lower != "nocatalog" {
            anyhow::bail!("RMAN-00552: syntax error in command line arguments\nRMAN-01009: syntax error: found \"{word}\"");
        }
    }
    let mut connection = match (&process.core, dir) {
        (Some(core), _) => Connection::local(core),
        (None, Some(dir)) => Connection::open(dir).map_err(|_| {
            anyhow::anyhow!("RMAN-04005: error from target database: \nORA-01034: ORACLE not available")
        })?,
        (None, None) => {
            anyhow::bail!("RMAN-04005: error from target database: \nORA-01034: ORACLE not available")
        }
    };
    connection.ask(Request::Call { id: id.into() })?;
    let logon = Logon {
        user: String::new(),
        password: String::new(),
        sysdba: true,
        remote: false,
        nls: Some(Nls::american()),
    };
    if let Response::Error { stack, .. } = connection.ask(Request::Logon(logon))? {
        anyhow::bail!("RMAN-04005: error from target database: \n{}", stack_text(&stack));
    }
    let text = match &script {
        Some(path) => {
            let path = if path.exists() || path.extension().is_some() {
                path.clone()
            } else {
                path.with_extension("rcv")
            };
            std::fs::read_to_string(&path).map_err(|e| anyhow::anyhow!("RMAN-00558: error encountered while parsing input commands\nRMAN-01006: error signaled during parse\nRMAN-02003: unrecognized character or file {}: {e}", path.display()))?
        }
        None => {
            let mut bytes = Vec::new();
            input.read_to_end(&mut bytes)?;
            String::from_utf8_lossy(&bytes).into_owned()
        }
    };
    let out: Box<dyn Write + '_> = match log {
        Some(path) => Box::new(
            std::fs::OpenOptions::new()
                .create(true)
                .write(true)
                .append(append)
                .truncate(!append)
                .open(path)?,
        ),
        None => Box::new(output),
    };
    let mut rman = Rman { connection, out, cmdfile: script.is_some(), failed: false, until: String::new() };
    rman.head()?;
    rman.script(&text)?;
    writeln!(rman.out, "\nRecovery Manager complete.")?;
    rman.out.flush()?;
    Ok(i32::from(rman.failed))
}

impl Rman<'_> {
    fn head(&mut self) -> anyhow::Result<()> {
        let now = chrono::Local::now().format("%a %b %e %H:%M:%S %Y");
        writeln!(self.out, "\nRecovery Manager: Release 19.0.0.0.0 - Production on {now}\nVersion 19.3.0.0.0\n\nCopyright (c) 1982, 2019, Oracle and/or its affiliates.  All rights reserved.\n")?;
        match self
            .rows("SELECT name, TO_CHAR(dbid), DECODE(open_mode, 'MOUNTED', ', not open') FROM v$database")
        {
            Ok(rows) => {
                let row = rows.first().cloned().unwrap_or_default();
                writeln!(self.out, "connected to target database: {} (DBID={}{})", row[0], row[1], row[2])?;
            }
            Err(stack) if stack.first().is_some_and(|s| s.0 == 1507) => {
                writeln!(self.out, "connected to target database: (not mounted)")?;
            }
            Err(_) => writeln!(self.out, "connected to target database (not started)")?,
        }
        writeln!(self.out)?;
        Ok(())
    }

    fn rows(&mut self, sql: &str) -> Result<Vec<Vec<String>>, Stack> {
        match self.connection.ask(Request::Sql { text: sql.into() }).unwrap_or_else(|_| Response::lost()) {
            Response::Rows { rows, .. } => Ok(rows
                .into_iter()
                .map(|r| {
                    r.into_iter()
                        .map(|c| match c {
                            Cell::Null => String::new(),
                            Cell::Text(t) | Cell::Number(t) => t,
                        })
                        .collect()
                })
                .collect()),
            Response::Error { stack, .. } => Err(stack),
            _ => Ok(vec![]),
        }
    }

    /// Commands one after the other. With a command file the first error ends it; standard input goes on.
    fn script(&mut self, text: &str) -> anyhow::Result<()> {
        if self.cmdfile {
            for (n, line) in text.lines().enumerate() {
                writeln!(
                    self.out,
                    "{}{line}",
                    if n == 0 { "RMAN> ".into() } else { format!("{}> ", n + 1) }
                )?;
            }
        }
        for command in commands(text) {
            if !self.cmdfile {
                write!(self.out, "RMAN> ")?;
                for n in 1..command.lines().count() {
                    write!(self.out, "{}> ", n + 1)?;
                }
                writeln!(self.out)?;
            }
            let Ok(lexemes) = lex(&command) else {
                self.syntax("unterminated string", 1)?;
                if self.cmdfile {
                    return Ok(());
                }
                continue;
            };
            if matches!(first(&lexemes).as_str(), "EXIT" | "QUIT") {
                return Ok(());
            }
            let good = if first(&lexemes) == "RUN" {
                self.block(&command)?
            } else {
                self.command(&command, &lexemes)?
            };
            if !good {
                self.failed = true;
                if self.cmdfile {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn block(&mut self, command: &str) -> anyhow::Result<bool> {
        let body = command.split_once('{').and_then(|(_, b)| b.rsplit_once('}')).map(|(b, _)| b.to_string());
        let Some(body) = body else { return self.syntax("end-of-file", 1) };
        let inner = commands(&body);
        // The whole block is parsed before any of it runs.
        for one in &inner {
            match lex(one) {
                Ok(l)
                    if matches!(
                        first(&l).as_str(),
                        "SET"
                            | "CATALOG"
                            | "RECOVER"
                            | "SQL"
                            | "CROSSCHECK"
                            | "STARTUP"
                            | "SHUTDOWN"
                            | "ALLOCATE"
                            | "RELEASE"
                    ) => {}
                Ok(l) => return self.syntax(&first(&l).to_lowercase(), l.first().map_or(1, |l| l.at.0)),
                Err(_) => return self.syntax("unterminated string", 1),
            }
        }
        for one in inner {
            let lexemes = lex(&one).unwrap_or_default();
            match first(&lexemes).as_str() {
                "SET" => {
                    self.until = one
                        .to_uppercase()
                        .split_once("UNTIL")
                        .map(|(_, t)| format!("UNTIL {}", t.trim()))
                        .unwrap_or_default();
                    writeln!(self.out, "executing command: SET until clause\n")?;
                }
                "ALLOCATE" => {
                    writeln!(self.out, "allocated channel: c1\nchannel c1: SID=12 device type=DISK\n")?
                }
                "RELEASE" => writeln!(self.out, "released channel: c1")?,
                _ => {
                    if !self.command(&one, &lexemes)? {
                        self.until.clear();
                        return Ok(false);
                    }
                }
            }
        }
        self.until.clear();
        Ok(true)
    }

    fn frame(&mut self, text: &str) -> anyhow::Result<bool> {
        writeln!(self.out, "RMAN-00571: ===========================================================\nRMAN-00569: =============== ERROR MESSAGE STACK FOLLOWS ===============\nRMAN-00571: ===========================================================\n{}", text.trim_end())?;
        Ok(false)
    }

    fn syntax(&mut self, found: &str, line: u64) -> anyhow::Result<bool> {
        let file = if self.cmdfile { "command file" } else { "standard input" };
        self.frame(&format!("RMAN-00558: error encountered while parsing input commands\nRMAN-01009: syntax error: found \"{found}\": expecting one of: \"{KNOWN}\"\nRMAN-01007: at line {line} column 1 file: {file}"))
    }

    fn failure(&mut self, what: &str, stack: &Stack) -> anyhow::Result<bool> {
        let at = chrono::Local::now().format("%m/%d/%Y %H:%M:%S");
        self.frame(&format!("RMAN-03002: failure of {what} command at {at}\n{}", stack_text(stack)))
    }

    fn command(&mut self, text: &str, lexemes: &[Lexeme]) -> anyhow::Result<bool> {
        let words: Vec<String> = lexemes
            .iter()
            .filter_map(|l| match &l.token {
                Token::Word(w) => Some(w.clone()),
                _ => None,
            })
            .collect();
        let strings: Vec<String> = lexemes
            .iter()
            .filter_map(|l| match &l.token {
                Token::Text(t) | Token::Quoted(t) => Some(t.clone()),
                _ => None,
            })
            .collect();
        let shape: Vec<&str> = words.iter().map(String::as_str).collect();
        match shape.as_slice() {
            [] => Ok(true),
            ["CATALOG", "START", "WITH", "NOPROMPT"] if strings.len() == 1 => {
                self.catalog_prefix(&strings[0])
            }
            ["CATALOG", "ARCHIVELOG"] if !strings.is_empty() => {
                for path in &strings {
                    match self.connection.ask(Request::Catalog { path: path.clone() })? {
                        Response::Error { stack, .. } => return self.failure("catalog", &stack),
                        _ => writeln!(
                            self.out,
                            "cataloged archived log\narchived log file name={path} RECID=1 STAMP=1\n"
                        )?,
                    }
                }
                Ok(true)
            }
            ["RECOVER", "DATABASE", ..] | ["RECOVER", "STANDBY", "DATABASE", ..] => self.recover(text),
            ["LIST", "ARCHIVELOG", "ALL"] => self.list(),
            ["CROSSCHECK", "ARCHIVELOG", "ALL"] => self.crosscheck(),
            ["REPORT", "SCHEMA"] => self.schema(),
            ["SQL"] if strings.len() == 1 => {
                writeln!(self.out, "sql statement: {}", strings[0])?;
                match self.connection.ask(Request::Sql { text: strings[0].clone() })? {
                    Response::Error { stack, .. } => {
                        let at = chrono::Local::now().format("%m/%d/%Y %H:%M:%S");
                        self.frame(&format!("RMAN-03009: failure of sql command on default channel at {at}\nRMAN-11003: failure during parse/execution of SQL statement: {}\n{}", strings[0], stack_text(&stack)))
                    }
                    _ => Ok(true),
                }
            }
            ["STARTUP", rest @ ..] => {
                let mode = match rest {
                    ["NOMOUNT"] => StartupWord::Nomount,
                    ["MOUNT"] => StartupWord::Mount,
                    [] => StartupWord::Open,
                    _ => return self.syntax(&rest[0].to_lowercase(), 1),
                };
                let response = self.connection.ask(Request::Startup { mode })?;
                self.steps("startup", response)
            }
            ["SHUTDOWN", rest @ ..] => {
                let mode = match rest {
                    ["IMMEDIATE"] => ShutdownWord::Immediate,
                    ["ABORT"] => ShutdownWord::Abort,
                    [] => ShutdownWord::Normal,
                    _ => return self.syntax(&rest[0].to_lowercase(), 1),
                };
                let response = self.connection.ask(Request::Shutdown { mode })?;
                self.steps("shutdown", response)
            }
            other => {
                let found = other[0].to_lowercase();
                self.syntax(&found, 1)
            }
        }
    }

    fn steps(&mut self, what: &str, response: Response) -> anyhow::Result<bool> {
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
                    writeln!(self.out, "{text}")?;
                }
                match error {
                    Some(stack) => self.failure(what, &stack),
                    None => Ok(true),
                }
            }
            Response::Error { stack, .. } => self.failure(what, &stack),
            _ => Ok(true),
        }
    }

    /// Every file whose path begins with the text is tried; what is no archived log of this database is listed, exit 0.
    fn catalog_prefix(&mut self, prefix: &str) -> anyhow::Result<bool> {
        writeln!(self.out, "searching for all files that match the pattern {prefix}\n")?;
        let known: Vec<String> = match self.rows("SELECT name FROM v$archived_log WHERE name IS NOT NULL") {
            Ok(rows) => rows.into_iter().map(|mut r| r.remove(0)).collect(),
            Err(stack) => return self.failure("catalog", &stack),
        };
        let top = if Path::new(prefix).is_dir() {
            PathBuf::from(prefix)
        } else {
            Path::new(prefix).parent().map(Path::to_path_buf).unwrap_or_default()
        };
        let mut files = Vec::new();
        walk(&top, &mut files);
        files.retain(|f| f.starts_with(prefix) && !known.contains(f));
        files.sort();
        if files.is_empty() {
            writeln!(self.out, "no files found to be unknown to the database")?;
            return Ok(true);
        }
        writeln!(self.out, "List of Files Unknown to the Database\n=====================================")?;
        for file in &files {
            writeln!(self.out, "File Name: {file}")?;
        }
        writeln!(self.out, "cataloging files...")?;
        let (mut good, mut bad) = (vec![], vec![]);
        for file in files {
            match self.connection.ask(Request::Catalog { path: file.clone() })? {
                Response::Error { stack, .. } => {
                    let foreign = stack.iter().find(|s| s.1.contains("oreign"));
                    let reason = match foreign {
                        Some((_, text)) => format!("RMAN-07518: Reason: {text}"),
                        None => "RMAN-07517: Reason: The file header is corrupted".into(),
                    };
                    bad.push((file, reason));
                }
                _ => good.push(file),
            }
        }
        writeln!(self.out, "{}\n", if good.is_empty() { "no files cataloged" } else { "cataloging done" })?;
        if !good.is_empty() {
            writeln!(self.out, "List of Cataloged Files\n=======================")?;
            for file in good {
                writeln!(self.out, "File Name: {file}")?;
            }
            writeln!(self.out)?;
        }
        if !bad.is_empty() {
            writeln!(
                self.out,
                "List of Files Which Were Not Cataloged\n======================================="
            )?;
            for (file, reason) in bad {
                writeln!(self.out, "File Name: {file}\n  {reason}")?;
            }
        }
        Ok(true)
    }

    fn recover(&mut self, text: &str) -> anyhow::Result<bool> {
        let upper = text.to_uppercase();
        let clause = match upper.split_once("UNTIL") {
            Some((_, tail)) => format!("UNTIL {}", tail.trim()),
            None => self.until.clone(),
        };
        let words: Vec<&str> = clause.split_whitespace().collect();
        let until = match words.as_slice() {
            [] => String::new(),
            ["UNTIL", "SCN", n] => format!("UNTIL CHANGE {n}"),
            ["UNTIL", "TIME", ..] => format!(
                "UNTIL TIME {}",
                clause.trim_start_matches("UNTIL").trim().trim_start_matches("TIME").trim().replace('"', "'")
            ),
            // Exclusive: everything before the first change of that log.
            ["UNTIL", "SEQUENCE", n, "THREAD", t] => {
                let sql = format!("SELECT TO_CHAR(MAX(first_change#)) FROM v$archived_log WHERE sequence# = {n} AND thread# = {t}");
                let before = format!("SELECT TO_CHAR(MAX(next_change#)) FROM v$archived_log WHERE sequence# = {n} - 1 AND thread# = {t}");
                let mut scn = String::new();
                for sql in [sql, before] {
                    match self.rows(&sql) {
                        Ok(rows) if scn.is_empty() => {
                            scn = rows.first().map(|r| r[0].clone()).unwrap_or_default()
                        }
                        Ok(_) => {}
                        Err(stack) => return self.failure("recover", &stack),
                    }
                }
                if scn.is_empty() {
                    let at = chrono::Local::now().format("%m/%d/%Y %H:%M:%S");
                    return self.frame(&format!("RMAN-03002: failure of recover command at {at}\nRMAN-06556: datafile 1 must be restored from backup older than SCN 0"));
                }
                format!("UNTIL CHANGE {scn}")
            }
            _ => return self.syntax("identifier", 1),
        };
        let day = chrono::Local::now().format("%d-%b-%y").to_string().to_uppercase();
        writeln!(self.out, "Starting recover at {day}\nusing target database control file instead of recovery catalog\nallocated channel: ORA_DISK_1\nchannel ORA_DISK_1: SID=12 device type=DISK\n\nstarting media recovery\n")?;
        let standby = match self.rows("SELECT controlfile_type FROM v$database") {
            Ok(rows) => rows.first().is_some_and(|r| r[0] == "STANDBY"),
            Err(stack) => return self.failure("recover", &stack),
        };
        let sql = format!(
            "ALTER DATABASE RECOVER AUTOMATIC {} DATABASE {until}",
            if standby { "STANDBY" } else { "" }
        );
        match self.connection.ask(Request::RecoverCataloged { text: sql })? {
            Response::Error { stack, .. } => {
                // The server waits for the next log; RMAN ends that session and names what is missing.
                let next = stack.iter().find(|s| s.0 == 280).map(|s| s.1.clone());
                let Some(next) = next else { return self.failure("recover", &stack) };
                let _ = self.connection.ask(Request::Sql { text: "ALTER DATABASE RECOVER CANCEL".into() })?;
                let digits: Vec<&str> =
                    next.split(|c: char| !c.is_ascii_digit()).filter(|d| !d.is_empty()).collect();
                let at = chrono::Local::now().format("%m/%d/%Y %H:%M:%S");
                let (scn, thread, seq) = match digits.as_slice() {
                    [scn, thread, seq, ..] => (*scn, *thread, *seq),
                    _ => ("0", "0", "0"),
                };
                self.frame(&format!("RMAN-03002: failure of recover command at {at}\nRMAN-06054: media recovery requesting unknown archived log for thread {thread} with sequence {seq} and starting SCN of {scn}"))
            }
            _ => {
                writeln!(
                    self.out,
                    "media recovery complete, elapsed time: 00:00:00\nFinished recover at {day}\n"
                )?;
                Ok(true)
            }
        }
    }

    fn list(&mut self) -> anyhow::Result<bool> {
        match self.rows("SELECT thread#, sequence#, name FROM v$archived_log WHERE name IS NOT NULL ORDER BY thread#, sequence#") {
            Err(stack) => self.failure("list", &stack),
            Ok(rows) if rows.is_empty() => {
                writeln!(self.out, "specification does not match any archived log in the repository")?;
                Ok(true)
            }
            Ok(rows) => {
                writeln!(self.out, "List of Archived Log Copies\n=====================================================================\n\nKey     Thrd Seq     S Name\n------- ---- ------- - ----")?;
                for (key, row) in rows.iter().enumerate() {
                    writeln!(self.out, "{:<7} {:<4} {:<7} A {}", key + 1, row[0], row[1], row[2])?;
                }
                Ok(true)
            }
        }
    }

    fn crosscheck(&mut self) -> anyhow::Result<bool> {
        match self.rows("SELECT name FROM v$archived_log WHERE name IS NOT NULL ORDER BY thread#, sequence#")
        {
            Err(stack) => self.failure("crosscheck", &stack),
            Ok(rows) => {
                for row in &rows {
                    let state = if Path::new(&row[0]).exists() { "succeeded" } else { "failed" };
                    writeln!(
                        self.out,
                        "validation {state} for archived log\narchived log file name={}",
                        row[0]
                    )?;
                }
                writeln!(self.out, "Crosschecked {} objects\n", rows.len())?;
                Ok(true)
            }
        }
    }

    fn schema(&mut self) -> anyhow::Result<bool> {
        match self.rows("SELECT d.file#, d.bytes, t.name, d.name FROM v$datafile d, v$tablespace t WHERE t.ts# = d.ts# ORDER BY 1") {
            Err(stack) => self.failure("report", &stack),
            Ok(rows) => {
                writeln!(self.out, "Report of database schema\n\nList of Permanent Datafiles\n===========================\nFile Size(MB) Tablespace           RB segs Datafile Name\n---- -------- -------------------- ------- ------------------------")?;
                for r in rows {
                    let mb = r[1].parse::<u64>().unwrap_or(0) >> 20;
                    writeln!(self.out, "{:<4} {mb:<8} {:<20} ***     {}", r[0], r[2], r[3])?;
                }
                Ok(true)
            }
        }
    }
}

fn first(lexemes: &[Lexeme]) -> String {
    match lexemes.first().map(|l| &l.token) {
        Some(Token::Word(w)) => w.clone(),
        Some(Token::Symbol(c)) => c.to_string(),
        _ => String::new(),
    }
}

/// Commands end with `;`, a RUN block with its brace; `#` begins a comment.
fn commands(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut current = String::new();
    let mut quote = None;
    let mut depth = 0;
    for line in text.lines() {
        let line = if quote.is_none() { line.split('#').next().unwrap_or("") } else { line };
        for c in line.chars() {
            match (quote, c) {
                (Some(q), c) if q == c => quote = None,
                (None, '\'' | '"') => quote = Some(c),
                (None, '{') => depth += 1,
                (None, '}') => depth -= 1,
                _ => {}
            }
            let ends = quote.is_none() && depth == 0 && matches!(c, ';' | '}');
            if c != ';' || depth > 0 || quote.is_some() {
                current.push(c);
            }
            if ends {
                out.push(std::mem::take(&mut current).trim().to_string());
            }
        }
        current.push('\n');
        if matches!(current.trim().to_ascii_lowercase().as_str(), "exit" | "quit") {
            out.push(std::mem::take(&mut current).trim().to_string());
        }
    }
    out.push(current.trim().to_string());
    out.retain(|c| !c.is_empty());
    out
}

fn walk(dir: &Path, out: &mut Vec<String>) {
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            walk(&path, out);
        } else {
            out.push(path.to_string_lossy().into_owned());
        }
    }
}
