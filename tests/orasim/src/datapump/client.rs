//! `expdp`: logs on, starts a job or attaches to one, shows its log on standard error, ends with 0, 5 or 1.

use std::io::{BufRead, Write};

use chrono::Local;

use super::wire::{Answer, Request, Start};
use super::{parfile, text};
use crate::journal::{self, Event};
use crate::server::client::Connection;
use crate::server::front::Front;
use crate::server::home;
use crate::server::wire::{Logon, Request as Wire, Response};
use crate::sql::nls::Nls;
use crate::sqlplus::args::target as logon_target;
use crate::sqlplus::Process;

struct Client<'a> {
    process: &'a Process,
    front: Front,
    error: &'a mut dyn Write,
    id: String,
    connection: Option<Connection>,
    user: String,
}

/// Runs expdp to its end. A status beyond 255 is the signal that it dies of.
pub fn run(process: &Process, input: &mut dyn BufRead, error: &mut dyn Write) -> i32 {
    let dir = process.local_dir();
    let front = dir.as_deref().and_then(|d| Front::load(d).ok()).unwrap_or_default();
    let nanos =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_nanos());
    let id = format!("{}-{nanos}", process.pid);
    let mut client = Client { process, front, error, id: id.clone(), connection: None, user: String::new() };
    let status = client.session(input);
    if let Some(dir) = dir {
        // Without a journal there is nothing to tell; the call is missing there for everybody to see.
        let _ = journal::append(&dir, &Event::Exit { id, time: journal::now(), status });
    }
    status
}

impl Client<'_> {
    fn say(&mut self, line: &str) {
        // Nobody reads it any more: as Oracle's client it goes on.
        let _ = writeln!(self.error, "{line}").and_then(|()| self.error.flush());
    }

    fn banner(&self) -> Vec<String> {
        let major = self.front.major();
        vec![
            String::new(),
            format!(
                "Export: Release {major}.0.0.0.0 - Production on {}",
                text::stamp(Local::now().naive_local())
            ),
            format!("Version {}", self.front.release),
            String::new(),
            "Copyright (c) 1982, 2024, Oracle and/or its affiliates.  All rights reserved.".to_owned(),
        ]
    }

    fn session(&mut self, input: &mut dyn BufRead) -> i32 {
        for line in self.banner() {
            self.say(&line);
        }
        let parameters = match self.parameters() {
            Ok(parameters) => parameters,
            Err(text) => {
                self.say(&text);
                self.say("");
                return 1;
            }
        };
        let get = |name: &str| parameters.iter().rev().find(|(n, _)| n == name).map(|(_, v)| v.clone());
        if let Err(stack) = self.log_on(get("USERID").as_deref(), input) {
            for (code, text) in stack {
                self.say(&format!("UDE-{code:05}: operation generated ORACLE error {code}"));
                self.say(&format!("ORA-{code:05}: {text}"));
            }
            self.say("");
            return 1;
        }
        let edition = format!(
            "Connected to: Oracle Database {}c {} Release {}.0.0.0.0 - Production",
            self.front.major(),
            self.front.edition,
            self.front.major()
        );
        self.say("");
        self.say(&edition);
        if let Some(job) = get("ATTACH") {
            return self.attach(&job, input);
        }
        let start = match self.start(&parameters, &edition) {
            Ok(start) => start,
            Err(text) => {
                self.say(&text);
                return 1;
            }
        };
        match self.ask(Request::Start(start)) {
            Ok(Answer::Started { owner, job }) => self.follow(&owner, &job),
            Ok(Answer::Failed(stack)) => {
                for line in text::stack(&stack) {
                    self.say(&line);
                }
                self.say("");
                1
            }
            Ok(_) | Err(()) => self.lost(),
        }
    }

    fn parameters(&self) -> Result<Vec<parfile::Parameter>, String> {
        let mut parameters = Vec::new();
        for (n, word) in self.process.argv.iter().enumerate() {
            if n == 0 && !word.contains('=') {
                parameters.push(("USERID".to_owned(), word.clone()));
                continue;
            }
            let (name, value) = parfile::parameter(word)?;
            if name == "PARFILE" {
                parameters.extend(parfile::read(&self.process.cwd.join(value))?);
            } else {
                parameters.push((name, value));
            }
        }
        Ok(parameters)
    }

    fn ask(&mut self, request: Request) -> Result<Answer, ()> {
        let connection = self.connection.as_mut().ok_or(())?;
        match connection.ask(Wire::DataPump(request)) {
            Ok(Response::DataPump(answer)) => Ok(answer),
            Ok(Response::Error { stack, dead: false, .. }) => Ok(Answer::Failed(stack)),
            _ => Err(()),
        }
    }

    fn lost(&mut self) -> i32 {
        self.say("UDE-03113: operation generated ORACLE error 3113");
        self.say("ORA-03113: end-of-file on communication channel");
        1
    }

    /// Without a logon it asks for one, as at a terminal.
    fn log_on(&mut self, userid: Option<&str>, input: &mut dyn BufRead) -> Result<(), Vec<(u32, String)>> {
        let mut wanted = userid.map(str::to_owned);
        let mut last = Vec::new();
        for _ in 0..3 {
            let text = match wanted.take() {
                Some(text) => text,
                None => match self.asked("Username: ", input) {
                    Some(user) => format!("{user}/{}", self.asked("Password: ", input).unwrap_or_default()),
                    None => return Err(last),
                },
            };
            match self.try_logon(&text) {
                Ok(()) => return Ok(()),
                Err(stack) => {
                    for (code, text) in &stack {
                        self.say(&format!("UDE-{code:05}: operation generated ORACLE error {code}"));
                        self.say(&format!("ORA-{code:05}: {text}"));
                    }
                    self.say("");
                    last = vec![(1017, "maximum number of attempts".into())];
                }
            }
        }
        Err(last)
    }

    fn asked(&mut self, prompt: &str, input: &mut dyn BufRead) -> Option<String> {
        let _ = write!(self.error, "{prompt}").and_then(|()| self.error.flush());
        let mut line = String::new();
        let n = input.read_line(&mut line).unwrap_or(0);
        self.say("");
        (n > 0).then(|| line.trim().to_owned())
    }

    fn try_logon(&mut self, text: &str) -> Result<(), Vec<(u32, String)>> {
        let fail = |code: u32, text: &str| Err(vec![(code, text.to_owned())]);
        let Some(target) = logon_target(text) else {
            return fail(1017, "invalid username/password; logon denied");
        };
        let dir = match &target.identifier {
            Some(identifier) if self.process.core.is_none() => {
                let home = self.process.home().unwrap_or_default();
                let admin =
                    self.process.var("TNS_ADMIN").map_or_else(|| home.join("network/admin"), Into::into);
                let Some(sid) = home::resolve(&admin, identifier) else {
                    return fail(12154, "TNS:could not resolve the connect identifier specified");
                };
                home::find(&home, &sid)
            }
            _ => self.process.local_dir(),
        };
        let opened = match (&self.process.core, &dir) {
            (Some(core), _) => Some(Connection::local(core)),
            (None, Some(dir)) => {
                let event = Event::Call {
                    id: self.id.clone(),
                    time: journal::now(),
                    program: "expdp".into(),
                    argv: self.process.argv.clone(),
                    env: self.process.env.keys().cloned().collect(),
                    pid: self.process.pid,
                    ppid: self.process.ppid,
                };
                let _ = journal::append(dir, &event);
                Connection::open(dir).ok()
            }
            (None, None) => None,
        };
        let Some(mut connection) = opened else {
            return if target.identifier.is_some() {
                fail(12541, "TNS:no listener")
            } else {
                fail(1034, "ORACLE not available")
            };
        };
        let (mut user, mut password) = (target.user.clone(), target.password.clone().unwrap_or_default());
        if target.external && target.identifier.is_some() {
            match self.front.wallet.clone() {
                Some((name, secret)) => {
                    user = name;
                    password = secret;
                }
                None => return fail(1017, "invalid username/password; logon denied"),
            }
        }
        let logon = Logon {
            user,
            password,
            sysdba: target.sysdba,
            remote: target.identifier.is_some(),
            nls: Some(Nls::american()),
        };
        let lost = || vec![(12547, "TNS:lost contact".to_owned())];
        connection.ask(Wire::Call { id: self.id.clone() }).map_err(|_| lost())?;
        match connection.ask(Wire::Logon(logon)).map_err(|_| lost())? {
            Response::Connected { user, warning, .. } => {
                if let Some((code, text)) = warning {
                    self.say(&format!("UDE-{code:05}: operation generated ORACLE error {code}"));
                    self.say(&format!("ORA-{code:05}: {text}"));
                }
                self.user = user;
                self.connection = Some(connection);
                Ok(())
            }
            Response::Error { stack, .. } => Err(stack),
            _ => Err(lost()),
        }
    }

    fn start(&self, parameters: &[parfile::Parameter], edition: &str) -> Result<Start, String> {
        let mut start = Start { parallel: 1, directory: "DATA_PUMP_DIR".into(), ..Start::default() };
        start.dumpfile = "expdat.dmp".into();
        start.logfile = "export.log".into();
        let mut shown = Vec::new();
        for (name, value) in parameters {
            let number = || value.parse::<u64>().map_err(|_| format!("LRM-00116: syntax error at '{value}'"));
            match name.as_str() {
                "SCHEMAS" => start.schemas = value.split(',').map(schema).collect(),
                "DIRECTORY" => start.directory = value.to_uppercase(),
                "DUMPFILE" => start.dumpfile.clone_from(value),
                "LOGFILE" => start.logfile.clone_from(value),
                "JOB_NAME" => start.job = value.trim_matches('"').to_uppercase(),
                "FLASHBACK_SCN" => start.flashback_scn = Some(number()?),
                "FLASHBACK_TIME" => start.flashback_time = true,
                "FILESIZE" => start.filesize = Some(bytes(value)?),
                "PARALLEL" => start.parallel = number()?,
                "REUSE_DUMPFILES" => {
                    start.reuse = value.eq_ignore_ascii_case("yes") || value.eq_ignore_ascii_case("y")
                }
                "CONTENT" => start.metadata_only = value.eq_ignore_ascii_case("metadata_only"),
                _ => {}
            }
            if name != "USERID" {
                shown.push(format!("{}={value}", name.to_lowercase()));
            }
        }
        if start.schemas.is_empty() {
            start.schemas = vec![self.user.clone()];
        }
        if !start.dumpfile.contains('.') {
            start.dumpfile.push_str(".dmp");
        }
        start.shown = format!("{}/******** {}", self.user.to_lowercase(), shown.join(" "));
        start.banner = self.banner();
        start.banner.push(edition.to_owned());
        Ok(start)
    }

    fn follow(&mut self, owner: &str, job: &str) -> i32 {
        // The banner is in the server's log too; it was printed before.
        let mut from = self.banner().len() + 1;
        loop {
            let poll = Request::Poll { owner: owner.into(), job: job.into(), from };
            match self.ask(poll) {
                Ok(Answer::Lines { lines, ended, client_dies }) => {
                    from += lines.len();
                    for line in &lines {
                        self.say(line);
                    }
                    if let Some(signal) = client_dies {
                        return 256 + signal;
                    }
                    if let Some(status) = ended {
                        self.say("");
                        return status;
                    }
                }
                _ => return self.lost(),
            }
        }
    }

    fn attach(&mut self, name: &str, input: &mut dyn BufRead) -> i32 {
        let (owner, job) = match name.split_once('.') {
            Some((owner, job)) => {
                (owner.trim_matches('"').to_uppercase(), job.trim_matches('"').to_uppercase())
            }
            None => (self.user.clone(), name.trim_matches('"').to_uppercase()),
        };
        match self.ask(Request::Attach { owner: owner.clone(), job: job.clone() }) {
            Ok(Answer::Attached { state }) => {
                self.say(&format!("\nJob: {job}\n  Owner: {owner}\n  Operation: EXPORT\n  State: {state}"));
            }
            Ok(Answer::Failed(stack)) => {
                for line in text::stack(&stack) {
                    self.say(&line);
                }
                return 1;
            }
            _ => return self.lost(),
        }
        loop {
            let Some(command) = self.asked("Export> ", input) else { return 0 };
            let word = command.to_ascii_uppercase();
            let request = match word.split(['=', ' ']).next().unwrap_or_default() {
                "KILL_JOB" => Request::Kill { owner: owner.clone(), job: job.clone() },
                "STOP_JOB" => Request::Stop { owner: owner.clone(), job: job.clone() },
                "EXIT_CLIENT" | "EXIT" => return 0,
                "STATUS" => continue,
                _ => {
                    self.say(&format!("UDE-00053: unrecognized client command '{command}'"));
                    continue;
                }
            };
            let sure = self.asked("Are you sure you wish to stop this job ([yes]/no): ", input);
            match sure.as_deref().map(str::to_ascii_lowercase).as_deref() {
                // At the end of the input nobody has said yes.
                None => return 0,
                Some("" | "y" | "yes") => {}
                Some(_) => continue,
            }
            return match self.ask(request) {
                Ok(Answer::Done) => 0,
                Ok(Answer::Failed(stack)) => {
                    for line in text::stack(&stack) {
                        self.say(&line);
                    }
                    1
                }
                _ => self.lost(),
            };
        }
    }
}

fn schema(text: &str) -> String {
    let text = text.trim();
    match text.strip_prefix('"').and_then(|t| t.strip_suffix('"')) {
        Some(quoted) => quoted.to_owned(),
        None => text.to_uppercase(),
    }
}

fn bytes(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor = match text[digits.len()..].to_ascii_uppercase().as_str() {
        "" | "B" => 1,
        "K" | "KB" => 1 << 10,
        "M" | "MB" => 1 << 20,
        "G" | "GB" => 1 << 30,
        _ => return Err(format!("LRM-00116: syntax error at '{text}'")),
    };
    digits.parse::<u64>().map(|n| n * factor).map_err(|_| format!("LRM-00116: syntax error at '{text}'"))
}
