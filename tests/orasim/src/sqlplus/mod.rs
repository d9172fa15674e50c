//! SQL*Plus: the client program. It reads scripts, talks to an instance and formats what comes back.

pub mod args;
pub mod charset;
mod command;
mod logon;
pub mod message;
mod recover;
pub mod report;
mod script;
pub mod settings;
mod statement;

use std::collections::BTreeMap;
use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::journal::{self, Event};
use crate::server::client::Connection;
use crate::server::front::Front;
use crate::server::{home, Core};
use crate::sql::nls::{Language, Nls};
use args::Args;
use charset::Charset;
use report::ColumnFormat;
use settings::Settings;

/// What the process gives the program.
pub struct Process {
    /// Arguments without the program name.
    pub argv: Vec<String>,
    pub env: BTreeMap<String, String>,
    pub cwd: PathBuf,
    pub pid: u32,
    pub ppid: u32,
    /// Set in tests that run without a daemon: every identifier and SID is this instance.
    pub core: Option<Arc<Core>>,
}

impl Process {
    /// Environment, arguments and ids of this process.
    ///
    /// # Errors
    /// When the current directory is gone.
    pub fn current() -> anyhow::Result<Self> {
        Ok(Self {
            argv: std::env::args_os().skip(1).map(|a| a.to_string_lossy().into_owned()).collect(),
            env: std::env::vars_os()
                .map(|(k, v)| (k.to_string_lossy().into_owned(), v.to_string_lossy().into_owned()))
                .collect(),
            cwd: std::env::current_dir()?,
            pid: std::process::id(),
            ppid: rustix::process::getppid().map_or(0, |p| p.as_raw_nonzero().get().unsigned_abs()),
            core: None,
        })
    }

    pub fn var(&self, name: &str) -> Option<&str> {
        self.env.get(name).map(String::as_str).filter(|v| !v.is_empty())
    }

    pub fn home(&self) -> Option<PathBuf> {
        self.var("ORACLE_HOME").map(PathBuf::from)
    }

    /// Directory of the local instance, whether it runs or not.
    pub fn local_dir(&self) -> Option<PathBuf> {
        if let Some(core) = &self.core {
            return Some(core.dir.clone());
        }
        home::find(&self.home()?, self.var("ORACLE_SID")?)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OnError {
    Continue,
    Exit(ExitCode),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ExitCode {
    Value(i64),
    SqlCode,
}

/// One source of lines: a script, or standard input at the bottom.
enum Source {
    Stdin,
    Script { lines: Vec<String>, next: usize, parameters: Vec<String> },
}

/// One run of the program.
pub struct Client<'a> {
    process: &'a Process,
    args: Args,
    input: &'a mut dyn BufRead,
    output: &'a mut dyn Write,
    charset: Charset,
    nls: Nls,
    /// False: NLS_LANG is unset, the instance's language counts.
    nls_given: bool,
    front: Front,
    settings: Settings,
    columns: BTreeMap<String, ColumnFormat>,
    defines: BTreeMap<String, String>,
    sources: Vec<Source>,
    connection: Option<Connection>,
    /// Logged on: to an instance, or to an idle one that may not even have a daemon.
    connected: bool,
    /// The session was lost in a statement: ORA-03114 from now on.
    dead: bool,
    user: String,
    identifier: String,
    buffer: Vec<String>,
    spool: Option<std::fs::File>,
    on_sql_error: OnError,
    on_os_error: OnError,
    last_code: u32,
    unknown_commands: u32,
    exit: Option<i32>,
    id: String,
    journals: Vec<PathBuf>,
}

/// Runs SQL*Plus to its end and gives the exit status, of which the operating system keeps one byte.
pub fn run(process: &Process, input: &mut dyn BufRead, output: &mut dyn Write) -> i32 {
    let args = match args::parse(&process.argv) {
        Ok(args) => args,
        Err(usage) => {
            let _ = output.write_all(usage.as_bytes());
            return 1;
        }
    };
    let mut front = Front::default();
    if let Some(dir) = process.local_dir() {
        front = Front::load(&dir).unwrap_or_default();
    }
    if args.version {
        let text = format!(
            "\nSQL*Plus: Release {}.0.0.0.0 - Production\nVersion {}\n\n",
            front.major(),
            front.release
        );
        let _ = output.write_all(text.as_bytes());
        return 0;
    }
    // Without its message files SQL*Plus does not start.
    let complete = process.core.is_some() || process.home().is_some_and(|h| h.join("sqlplus").is_dir());
    if !complete {
        let text = "Error 6 initializing SQL*Plus\nSP2-0667: Message file sp1<lang>.msb not found\nSP2-0750: You may need to set ORACLE_HOME to your Oracle software directory\n";
        let _ = output.write_all(text.as_bytes());
        return 1;
    }
    let nls_lang = process.var("NLS_LANG").map(str::to_string).or_else(|| front.nls_lang.clone());
    let mut nls = nls_lang.as_deref().map_or_else(Nls::american, Nls::from_nls_lang);
    // NLS_DATE_FORMAT of the environment counts only beside NLS_LANG.
    if process.var("NLS_LANG").is_some() {
        if let Some(format) = process.var("NLS_DATE_FORMAT") {
            nls.date_format = format.into();
        }
    }
    let nanos =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_nanos());
    let settings = Settings {
        csv: (args.csv && front.has_csv()).then_some(settings::Csv { delimiter: ',', quote: true }),
        ..Settings::default()
    };
    let mut client = Client {
        charset: Charset::of(nls_lang.as_deref().unwrap_or("")),
        nls,
        nls_given: nls_lang.is_some(),
        front,
        settings,
        columns: BTreeMap::new(),
        defines: BTreeMap::new(),
        sources: vec![Source::Stdin],
        connection: None,
        connected: false,
        dead: false,
        user: String::new(),
        identifier: String::new(),
        buffer: vec![],
        spool: None,
        on_sql_error: OnError::Continue,
        on_os_error: OnError::Continue,
        last_code: 0,
        unknown_commands: 0,
        exit: None,
        id: format!("{}-{nanos}", process.pid),
        journals: vec![],
        process,
        args,
        input,
        output,
    };
    let status = client.main();
    client.leave(status);
    status
}

impl Client<'_> {
    fn main(&mut self) -> i32 {
        if let Some(dir) = self.process.local_dir() {
            self.journal_call(&dir);
        }
        if !self.args.silent {
            let now = chrono::Local::now().format("%a %b %e %H:%M:%S %Y");
            self.line(&format!(
                "\nSQL*Plus: Release {}.0.0.0.0 - Production on {now}\nVersion {}\n\nCopyright (c) 1982, 2019, Oracle.  All rights reserved.\n",
                self.front.major(),
                self.front.release
            ));
        }
        if self.args.nolog {
            self.login_scripts();
        } else if let Some(status) = self.first_logon() {
            return status;
        }
        if let Some(script) = self.args.script.clone() {
            let parameters = self.args.parameters.clone();
            self.start_script(&script, parameters);
        }
        self.interpret(0);
        self.exit.unwrap_or(0)
    }

    fn leave(&mut self, status: i32) {
        if self.connected && !self.args.silent && !self.dead {
            let text = format!(
                "Oracle Database {}c {} Release {}.0.0.0.0 - Production\nVersion {}",
                self.front.major(),
                self.front.edition,
                self.front.major(),
                self.front.release
            );
            self.say(message::DISCONNECTED, &[&text]);
        }
        let _ = self.output.flush();
        for dir in &self.journals {
            // The program has done its work; a journal that cannot be written shows up as a call without an end.
            let event = Event::Exit { id: self.id.clone(), time: journal::now(), status: status & 0xff };
            let _ = journal::append(dir, &event);
        }
    }

    fn journal_call(&mut self, dir: &Path) {
        if self.journals.iter().any(|d| d == dir) || !dir.is_dir() {
            return;
        }
        let event = Event::Call {
            id: self.id.clone(),
            time: journal::now(),
            program: "sqlplus".into(),
            argv: self.process.argv.clone(),
            env: self.process.env.keys().cloned().collect(),
            pid: self.process.pid,
            ppid: self.process.ppid,
        };
        if journal::append(dir, &event).is_ok() {
            self.journals.push(dir.to_path_buf());
        }
    }

    fn language(&self) -> Language {
        self.nls.language
    }

    fn in_script(&self) -> bool {
        self.sources.len() > 1
    }

    /// Text to the terminal and to the spool file.
    fn print(&mut self, text: &str) {
        let bytes = self.charset.encode(text);
        if self.settings.termout || !self.in_script() {
            let _ = self.output.write_all(&bytes);
        }
        if let Some(spool) = &mut self.spool {
            let _ = spool.write_all(&bytes);
        }
    }

    fn line(&mut self, text: &str) {
        self.print(text);
        self.print("\n");
    }

    fn say(&mut self, pair: (&'static str, &'static str), args: &[&str]) {
        let text = message::say(pair, self.language(), args);
        self.line(&text);
    }

    /// A prompt goes to the terminal only, and reaches it before the program waits.
    fn prompt(&mut self, text: &str) {
        let bytes = self.charset.encode(text);
        let _ = self.output.write_all(&bytes);
        let _ = self.output.flush();
    }

    /// The next line of standard input, without its end.
    fn stdin_line(&mut self) -> Option<String> {
        let _ = self.output.flush();
        let mut bytes = Vec::new();
        match self.input.read_until(b'\n', &mut bytes) {
            Ok(0) | Err(_) => None,
            Ok(_) => {
                while matches!(bytes.last(), Some(b'\n' | b'\r')) {
                    bytes.pop();
                }
                Some(self.charset.decode(&bytes))
            }
        }
    }
}
