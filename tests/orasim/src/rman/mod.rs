//! RMAN, the client: its command line, its language, and its words for what the instance does.
//!
//! `args` reads the command line, `source` the lines and tokens, `parse` makes [`ast`] of them, the modules named after commands
//! ask the instance (`pieces::api`) and `print` words what it tells. A command file is parsed whole before any of it
//! runs, and the first error ends it; standard input is read command by command, and goes on after errors.

mod args;
mod ast;
mod backup;
mod command;
mod configure;
mod convert;
mod list;
mod maintain;
mod out;
mod parse;
mod print;
mod recover;
mod report;
mod restore;
mod session;
mod source;
mod sql;
mod stack;

use std::io::{BufRead, Write};
use std::path::PathBuf;

use crate::journal::{self, Event};
use crate::pieces::api::{self, Ended};
use crate::server::client::Connection;
use crate::server::front::Front;
use crate::server::home;
use crate::server::wire::{Logon, Request, Response};
use crate::sql::nls::Nls;
use crate::sqlplus::Process;
use args::Args;
use out::Out;
use session::{Rman, Settings};
use source::{Input, Source};
use stack::{rman_lines, Failed};

/// Statements of the client itself are numbered from here in the journal; those of the instance count from 1.
const COMMANDS_FROM: u64 = 1_000_000;

/// Runs RMAN to its end; the exit status is 0 or 1.
pub fn run(process: &Process, input: &mut dyn BufRead, output: &mut dyn Write) -> i32 {
    let nanos =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_nanos());
    let id = format!("{}-{nanos}", process.pid);
    let args = args::parse(&process.argv);
    let dir = match &args {
        Ok(args) => args.target.as_deref().map_or_else(|| process.local_dir(), |t| instance_dir(process, t)),
        Err(_) => process.local_dir(),
    };
    let tell = |event: Event| {
        if let Some(dir) = &dir {
            // Without a journal there is nothing to tell; the calls are missing there for everybody to see.
            let _ = journal::append(dir, &event);
        }
    };
    tell(Event::Call {
        id: id.clone(),
        time: journal::now(),
        program: "rman".into(),
        argv: process.argv.clone(),
        env: process.env.keys().cloned().collect(),
        pid: process.pid,
        ppid: process.ppid,
    });
    let status = match args {
        Ok(args) => start(process, args, &id, dir.clone(), input, output),
        Err(lines) => {
            let mut all = vec![(552, "syntax error in command line arguments".to_string())];
            all.extend(lines);
            let failed = Failed { lines: rman_lines(&all), ..Failed::default() };
            let _ = writeln!(output, "{}\n", failed.text());
            1
        }
    };
    tell(Event::Exit { id, time: journal::now(), status });
    status
}

/// Where the instance of a connect string lives.
fn instance_dir(process: &Process, target: &str) -> Option<PathBuf> {
    let Some((_, identifier)) = target.rsplit_once('@') else { return process.local_dir() };
    if process.core.is_some() {
        return process.local_dir();
    }
    let home = process.home()?;
    let admin = process.var("TNS_ADMIN").map_or_else(|| home.join("network/admin"), Into::into);
    home::find(&home, &home::resolve(&admin, identifier)?)
}

fn start(
    process: &Process,
    args: Args,
    id: &str,
    dir: Option<PathBuf>,
    input: &mut dyn BufRead,
    output: &mut dyn Write,
) -> i32 {
    let sink: Box<dyn Write + '_> = match &args.log {
        Some(path) => {
            let path = process.cwd.join(path);
            let opened = std::fs::OpenOptions::new()
                .create(true)
                .write(true)
                .append(args.append)
                .truncate(!args.append)
                .open(&path);
            match opened {
                Ok(file) => Box::new(file),
                Err(e) => {
                    let _ = writeln!(output, "RMAN-00571: ===========================================================\nRMAN-00569: =============== ERROR MESSAGE STACK FOLLOWS ===============\nRMAN-00571: ===========================================================\nRMAN-00550: parser package failed to load\nRMAN-03999: Oracle error occurred while opening file \"{}\": {e}", path.display());
                    return 1;
                }
            }
        }
        None => Box::new(output),
    };
    let out = Out::new(sink);
    let mut rman = Rman {
        process,
        out: out.clone(),
        input: Input::new(input),
        sources: vec![],
        connection: None,
        front: dir.as_deref().and_then(|d| Front::load(d).ok()).unwrap_or_default(),
        dir,
        nls: nls(process),
        call: id.to_string(),
        commands: COMMANDS_FROM,
        connected: false,
        repository_said: false,
        automatic: vec![],
        allocated: vec![],
        maintenance: None,
        settings: Settings::default(),
        in_run: false,
        dbid: None,
        autobackup_format: None,
        crosschecked: false,
        failed: false,
        warned: false,
        autobackup_due: true,
        begun: false,
        last_tag: None,
    };
    rman.banner();
    // Who cannot begin does not end either: the closing line is missing.
    if let Err(failed) = rman.begin(&args) {
        out.line(&failed.text());
        out.flush();
        return 1;
    }
    if !rman.script(&args) {
        out.flush();
        return 1;
    }
    let ended = match (rman.failed, rman.warned) {
        (true, _) => Ended::Failed,
        (false, true) => Ended::Warnings,
        (false, false) => Ended::Completed,
    };
    rman.tell_output();
    if rman.connection.is_some() {
        let _ = rman.ask(Request::Rman(api::Request::Finish(ended)));
    }
    out.blank();
    out.line("Recovery Manager complete.");
    out.flush();
    i32::from(rman.failed)
}

/// NLS_DATE_FORMAT of the environment counts only beside NLS_LANG.
fn nls(process: &Process) -> Nls {
    let Some(lang) = process.var("NLS_LANG") else { return Nls::american() };
    let mut nls = Nls::from_nls_lang(lang);
    // Messages stay English here, as on mixed installations; dates follow the territory.
    nls.language = crate::sql::nls::Language::American;
    if let Some(format) = process.var("NLS_DATE_FORMAT") {
        nls.date_format = format.to_string();
    }
    nls
}

impl Rman<'_> {
    fn banner(&self) {
        let now = chrono::Local::now().format("%a %b %e %H:%M:%S %Y");
        let major = self.front.major();
        let (shown, version) = if major >= 18 {
            (format!("{major}.0.0.0.0"), format!("Version {}\n", self.front.release))
        } else {
            (self.front.release.clone(), String::new())
        };
        let year = match major {
            11 => 2009,
            12 => 2014,
            18 => 2018,
            21 => 2021,
            _ => 2019,
        };
        self.out.raw(&format!("\nRecovery Manager: Release {shown} - Production on {now}\n{version}\nCopyright (c) 1982, {year}, Oracle and/or its affiliates.  All rights reserved.\n\n"));
    }

    /// Logs on as the command line says; the error is for the frame.
    fn begin(&mut self, args: &Args) -> Result<(), Failed> {
        let failure = |lines: Vec<(u32, String)>| Failed { lines: rman_lines(&lines), ..Failed::default() };
        if let Some(path) = &args.cmdfile {
            // The file is opened before anything else is done.
            let text = self.read_script(path, &args.using).map_err(failure)?;
            let out = self.out.clone();
            self.sources.push(Source::file(&text, path, out));
        } else {
            self.sources.push(Source::stdin(self.input.clone(), self.out.clone()));
        }
        if let Some(target) = &args.target {
            self.log_on(target)?;
        }
        if args.auxiliary.is_some() {
            return Err(failure(vec![
                (554, "initialization of internal recovery manager package failed".into()),
                (4006, "error from auxiliary database: ORA-12154: TNS:could not resolve the connect identifier specified".into()),
            ]));
        }
        if args.catalog.is_some() {
            return Err(failure(vec![
                (554, "initialization of internal recovery manager package failed".into()),
                (4004, "error from recovery catalog database: ORA-12154: TNS:could not resolve the connect identifier specified".into()),
            ]));
        }
        if args.nocatalog {
            self.repository();
        }
        Ok(())
    }

    /// The text of a command file; a name without extension may lack `.rcv`.
    fn read_script(&self, name: &str, using: &[String]) -> Result<String, Vec<(u32, String)>> {
        let mut path = self.process.cwd.join(name);
        if !path.exists() && path.extension().is_none() {
            path.set_extension("rcv");
        }
        match std::fs::read(&path) {
            Ok(bytes) => Ok(args::substitute(&String::from_utf8_lossy(&bytes), using)),
            Err(_) => Err(vec![
                (558, "error encountered while parsing input commands".into()),
                (1006, "error signaled during parse".into()),
                (2010, format!("cannot open command file {name}")),
            ]),
        }
    }

    /// Connects to the target and says to what.
    pub fn log_on(&mut self, target: &str) -> Result<(), Failed> {
        let failure = |text: String| Failed {
            lines: rman_lines(&[
                (554, "initialization of internal recovery manager package failed".into()),
                (4005, format!("error from target database: \n{text}")),
            ]),
            ..Failed::default()
        };
        self.dir = instance_dir(self.process, target);
        let remote = target.contains('@');
        let opened = match (&self.process.core, &self.dir) {
            (Some(core), _) => Some(Connection::local(core)),
            (None, Some(dir)) => Connection::open(dir).ok(),
            (None, None) => None,
        };
        if opened.is_none() && remote {
            let text = if self.dir.is_none() {
                "ORA-12154: TNS:could not resolve the connect identifier specified"
            } else {
                "ORA-12541: TNS:no listener"
            };
            return Err(failure(text.into()));
        }
        if opened.is_none() && self.dir.is_none() && self.process.var("ORACLE_SID").is_none() {
            return Err(failure("ORA-12162: TNS:net service name is incorrectly specified".into()));
        }
        self.connection = opened;
        if self.connection.is_some() {
            let call = self.call.clone();
            self.ask(Request::Call { id: call });
            let credentials = target.rsplit_once('@').map_or(target, |(c, _)| c);
            let (mut user, mut password) = match credentials.split_once('/') {
                Some((user, password)) => (user.to_string(), password.trim_matches('"').to_string()),
                None => (credentials.to_string(), String::new()),
            };
            if user.is_empty() && remote {
                if let Some((name, secret)) = self.front.wallet.clone() {
                    user = name;
                    password = secret;
                }
            }
            let logon = Logon { user, password, sysdba: true, remote, nls: Some(Nls::american()) };
            match self.ask(Request::Logon(logon)) {
                Response::Error { stack, .. } => return Err(failure(stack::ora_lines(&stack).join("\n"))),
                Response::Connected { idle: false, .. } => self.begin_session(),
                _ => {}
            }
        }
        self.connected = true;
        self.say_target();
        Ok(())
    }

    pub fn say_target(&mut self) {
        let open = self
            .rows("SELECT name, TO_CHAR(dbid), DECODE(open_mode, 'MOUNTED', ', not open') FROM v$database");
        match open {
            Ok(rows) => {
                let row = rows.first().cloned().unwrap_or_else(|| vec![String::new(); 3]);
                self.out
                    .line(&format!("connected to target database: {} (DBID={}{})", row[0], row[1], row[2]));
            }
            Err(stack) if stack.first().is_some_and(|s| s.0 == 1507) => {
                let name = self
                    .one("SELECT UPPER(value) FROM v$parameter WHERE name = 'db_name'")
                    .unwrap_or_default();
                self.out.line(&format!("connected to target database: {name} (not mounted)"));
            }
            Err(_) => self.out.line("connected to target database (not started)"),
        }
    }

    /// What was printed goes to V$RMAN_OUTPUT.
    pub fn tell_output(&mut self) {
        let lines = self.out.take_lines();
        if !lines.is_empty() && self.connected && self.connection.is_some() {
            let _ = self.ask(Request::Rman(api::Request::Output(lines)));
        }
    }

    /// One command for the journal; its number, for the result.
    pub fn journal_command(&mut self, text: &str) -> u64 {
        self.commands += 1;
        if let Some(dir) = &self.dir {
            let event = Event::Statement {
                id: self.call.clone(),
                n: self.commands,
                time: journal::now(),
                text: format!("RMAN> {text}"),
            };
            let _ = journal::append(dir, &event);
        }
        self.commands
    }

    pub fn journal_result(&self, n: u64, code: u32) {
        if let Some(dir) = &self.dir {
            let _ = journal::append(dir, &Event::Result { id: self.call.clone(), n, code, backup: vec![] });
        }
    }
}
