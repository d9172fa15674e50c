//! One run of RMAN: the connection, the channels, what SET has set, and how the engine is asked.

use std::path::PathBuf;

use chrono::NaiveDateTime;

use super::ast::{Newname, Until};
use super::out::Out;
use super::print::Printer;
use super::source::{Input, Source};
use super::stack::{ora_lines, Failed};
use crate::pieces::api::{self, Answer, Ended};
use crate::server::client::Connection;
use crate::server::front::Front;
use crate::server::wire::{Request, Response, Stack};
use crate::sql::format_date;
use crate::sql::nls::Nls;
use crate::sql::Cell;
use crate::sqlplus::Process;

/// A channel by its name; the engine knows it by its place in the list.
#[derive(Debug, Clone)]
pub struct Channel {
    pub name: String,
    pub format: Vec<String>,
    pub maxpiecesize: Option<u64>,
}

/// What SET has set; it ends with the RUN block, except for what may be set outside.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    pub until: Option<Until>,
    pub newnames: Vec<(Newname, String)>,
    pub destination: Option<PathBuf>,
    pub max_corrupt: Vec<(u32, u32)>,
}

pub struct Rman<'a> {
    pub process: &'a Process,
    pub out: Out<'a>,
    pub input: Input<'a>,
    /// Sources of commands, the innermost `@file` last.
    pub sources: Vec<Source<'a>>,
    /// `None`: nobody is at home there, an instance that was never started.
    pub connection: Option<Connection>,
    pub dir: Option<PathBuf>,
    pub front: Front,
    pub nls: Nls,
    pub call: String,
    /// Commands told to the journal.
    pub commands: u64,
    pub connected: bool,
    /// "using target database control file …" has been said.
    pub repository_said: bool,
    /// Channels that RMAN allocated by itself, kept from command to command.
    pub automatic: Vec<Channel>,
    /// Channels of the RUN block.
    pub allocated: Vec<Channel>,
    /// Channel for maintenance.
    pub maintenance: Option<Channel>,
    pub settings: Settings,
    pub in_run: bool,
    pub dbid: Option<u64>,
    /// SET CONTROLFILE AUTOBACKUP FORMAT, outside of RUN and in it.
    pub autobackup_format: Option<String>,
    /// The files of a restored control file have been looked for.
    pub crosschecked: bool,
    pub failed: bool,
    pub warned: bool,
    /// False for a BACKUP in a RUN block that is followed by another one: the autobackup comes with the last.
    pub autobackup_due: bool,
    /// V$RMAN_STATUS has this session.
    pub begun: bool,
    /// When the last tag of RMAN's own was made.
    pub last_tag: Option<NaiveDateTime>,
}

pub type Done = Result<(), Failed>;

impl Rman<'_> {
    /// The answer of the instance, or an error as if it had given one.
    pub fn ask(&mut self, request: Request) -> Response {
        self.out.flush();
        match &mut self.connection {
            Some(connection) => connection.ask(request).unwrap_or_else(|_| Response::lost()),
            None => Response::error(crate::sql::not_available()),
        }
    }

    /// Rows as text, empty for NULL.
    pub fn rows(&mut self, sql: &str) -> Result<Vec<Vec<String>>, Stack> {
        let text = |cell| match cell {
            Cell::Null => String::new(),
            Cell::Text(t) | Cell::Number(t) => t,
        };
        match self.ask(Request::Sql { text: sql.into() }) {
            Response::Rows { rows, .. } => {
                Ok(rows.into_iter().map(|r| r.into_iter().map(text).collect()).collect())
            }
            Response::Error { stack, .. } => Err(stack),
            _ => Ok(vec![]),
        }
    }

    /// The first column of the first row; `None` when there is none or the view cannot be read.
    pub fn one(&mut self, sql: &str) -> Option<String> {
        self.rows(sql).ok()?.into_iter().next()?.into_iter().next().filter(|v| !v.is_empty())
    }

    fn channel_name(&self, n: u32) -> String {
        self.channels()
            .get(n as usize)
            .or(self.channels().last())
            .map_or_else(|| format!("ORA_DISK_{}", n + 1), |c| c.name.clone())
    }

    /// The channels that a command works with.
    pub fn channels(&self) -> &[Channel] {
        match (&self.maintenance, self.allocated.is_empty()) {
            (_, false) => &self.allocated,
            (Some(one), true) => std::slice::from_ref(one),
            (None, true) => &self.automatic,
        }
    }

    fn failed(&self, command: &str, f: api::Failure) -> Failed {
        let name = f.command.clone().unwrap_or_else(|| command.to_string());
        let channel = match (f.channel, &f.command) {
            (Some(n), _) => Some(self.channel_name(n)),
            (None, Some(_)) => Some(self.channel_name(0)),
            (None, None) => None,
        };
        let lines = f.lines.iter().map(super::stack::message).collect();
        let mut failed = Failed::new(&name, channel.as_deref(), lines);
        if !f.before.is_empty() {
            failed.before.push("Oracle Error:".into());
            failed.before.extend(f.before.iter().map(super::stack::message));
            failed.before.push(String::new());
        }
        // The log that is asked for is named before the stack too.
        if let Some(unknown) = f.lines.iter().find(|m| m.code == 6054) {
            let numbers: Vec<&str> =
                unknown.text.split(|c: char| !c.is_ascii_digit()).filter(|w| !w.is_empty()).collect();
            if let [thread, sequence, ..] = numbers.as_slice() {
                let lines = [
                    "unable to find archived log".to_string(),
                    format!("archived log thread={thread} sequence={sequence}"),
                ];
                failed.before.splice(0..0, lines);
            }
        }
        failed
    }

    /// A request that is answered at once.
    pub fn engine(&mut self, command: &str, request: api::Request) -> Result<Answer, Failed> {
        match self.ask(Request::Rman(request)) {
            Response::Rman(answer) => Ok(answer),
            Response::Error { dead: true, .. } => Err(self.lost()),
            Response::Error { stack, .. } => Err(Failed::ora(command, &stack)),
            other => {
                Err(Failed::new(command, None, vec![format!("RMAN-06900: unexpected answer {other:?}")]))
            }
        }
    }

    fn lost(&mut self) -> Failed {
        Failed::died(&self.channel_name(0))
    }

    /// A job to its end; what happens in it is printed as it is told.
    pub fn job(&mut self, command: &str, request: api::Request, printer: &mut Printer) -> Done {
        printer.name_channels(self.channels());
        let mut request = request;
        loop {
            let begun = matches!(request, api::Request::Next);
            let step = match self.ask(Request::Rman(request)) {
                Response::Rman(Answer::Step(step)) => step,
                Response::Rman(_) => return Ok(()),
                Response::Error { dead: true, .. } => {
                    printer.end(&self.out);
                    return Err(self.lost());
                }
                Response::Error { stack, .. } => {
                    printer.end(&self.out);
                    if stack.first().is_some_and(|s| s.0 == 3113) {
                        return Err(self.lost());
                    }
                    // In the middle of a job it is a channel that failed.
                    let channel = begun.then(|| self.channel_name(0));
                    return Err(Failed::new(command, channel.as_deref(), ora_lines(&stack)));
                }
                other => {
                    return Err(Failed::new(
                        command,
                        None,
                        vec![format!("RMAN-06900: unexpected answer {other:?}")],
                    ))
                }
            };
            for event in &step.events {
                printer.event(&self.out, event);
            }
            self.out.flush();
            self.warned |= printer.warned;
            if let Some(failure) = step.failure {
                printer.end(&self.out);
                return Err(self.failed(command, failure));
            }
            if step.done {
                printer.end(&self.out);
                return Ok(());
            }
            request = api::Request::Next;
        }
    }

    /// The session as V$RMAN_STATUS has it, as soon as there is an instance.
    pub fn begin_session(&mut self) {
        if self.connection.is_some() && !std::mem::replace(&mut self.begun, true) {
            let command_id = chrono::Local::now().format("%Y-%m-%dT%H:%M:%S").to_string();
            let _ = self.ask(Request::Rman(api::Request::Session { command_id }));
        }
    }

    /// V$RMAN_STATUS gets a row for the command, whatever becomes of it.
    pub fn recorded(
        &mut self,
        operation: &str,
        object: Option<&str>,
        work: impl FnOnce(&mut Self) -> Done,
    ) -> Done {
        let begin = api::Request::Begin { operation: operation.into(), object_type: object.map(Into::into) };
        let _ = self.ask(Request::Rman(begin));
        let before = std::mem::replace(&mut self.warned, false);
        let result = work(self);
        let ended = match (&result, self.warned) {
            (Err(_), _) => Ended::Failed,
            (Ok(()), true) => Ended::Warnings,
            (Ok(()), false) => Ended::Completed,
        };
        self.warned |= before;
        if !matches!(&result, Err(f) if f.fatal) {
            let _ = self.ask(Request::Rman(api::Request::End(ended)));
        }
        result
    }

    /// As NLS_DATE_FORMAT has it.
    pub fn date(&self, at: NaiveDateTime) -> String {
        format_date::to_char(at, &self.nls.date_format, &self.nls).unwrap_or_else(|_| at.to_string())
    }

    pub fn now(&self) -> String {
        self.date(crate::oratime::now())
    }

    /// A date literal by NLS_DATE_FORMAT, or an expression that the instance evaluates.
    pub fn time(&mut self, command: &str, text: &str) -> Result<NaiveDateTime, Failed> {
        let lower = text.to_ascii_lowercase();
        if !["sysdate", "to_date", "trunc", "systimestamp"].iter().any(|f| lower.contains(f)) {
            return format_date::to_date(text, &self.nls.date_format, &self.nls)
                .map_err(|e| Failed::ora(command, &e.stack));
        }
        let sql = format!("SELECT TO_CHAR({text}, 'YYYY-MM-DD HH24:MI:SS') FROM dual");
        let value = match self.rows(&sql) {
            Ok(rows) => rows.into_iter().flatten().next().unwrap_or_default(),
            Err(stack) => return Err(Failed::ora(command, &stack)),
        };
        NaiveDateTime::parse_from_str(&value, "%Y-%m-%d %H:%M:%S").map_err(|_| {
            Failed::new(command, None, vec!["ORA-01861: literal does not match format string".into()])
        })
    }

    pub fn until(&mut self, command: &str, own: Option<&Until>) -> Result<Option<api::Until>, Failed> {
        let Some(until) = own.or(self.settings.until.as_ref()).cloned() else { return Ok(None) };
        Ok(Some(match until {
            Until::Scn(scn) => api::Until::Scn(scn),
            Until::Time(text) => api::Until::Time(self.time(command, &text)?),
            Until::Sequence { sequence, thread } => api::Until::Sequence {
                thread: u16::try_from(thread.unwrap_or(1)).unwrap_or(u16::MAX),
                sequence: u32::try_from(sequence).unwrap_or(u32::MAX),
            },
        }))
    }

    /// Without a catalog the control file is the repository; RMAN says so once.
    pub fn repository(&mut self) {
        if !self.repository_said {
            self.repository_said = true;
            self.out.line("using target database control file instead of recovery catalog");
        }
    }

    fn parallelism(&mut self) -> usize {
        let Response::Rman(Answer::Facts(facts)) = self.ask(Request::Rman(api::Request::Show)) else {
            return 1;
        };
        facts
            .configuration
            .iter()
            .find(|(name, ..)| name == "DEVICE TYPE")
            .and_then(|(_, value, _)| {
                let mut words = value.split_whitespace().skip_while(|w| *w != "PARALLELISM");
                words.nth(1)?.parse().ok()
            })
            .unwrap_or(1)
    }

    /// A number like a session's; this one is only shown.
    fn sid(&self, n: usize) -> usize {
        (self.process.pid as usize) % 300 + 12 + n
    }

    pub fn say_allocated(&self, name: &str, n: usize) {
        self.out.line(&format!("allocated channel: {name}"));
        self.out.line(&format!("channel {name}: SID={} device type=DISK", self.sid(n)));
    }

    /// Channels for a command: those of the RUN block, or RMAN's own. The number that really work.
    pub fn use_channels(&mut self) -> u32 {
        self.repository();
        if self.allocated.is_empty() && self.maintenance.is_none() {
            if self.automatic.is_empty() {
                for n in 0..self.parallelism().max(1) {
                    let name = format!("ORA_DISK_{}", n + 1);
                    self.say_allocated(&name, n);
                    self.automatic.push(Channel { name, format: vec![], maxpiecesize: None });
                }
            } else {
                for channel in &self.automatic {
                    self.out.line(&format!("using channel {}", channel.name));
                }
            }
        }
        self.serial()
    }

    /// Standard Edition works with one channel, however many there are.
    fn serial(&mut self) -> u32 {
        let count = self.channels().len();
        if count < 2 || self.front.edition.starts_with("Enterprise") {
            return count as u32;
        }
        self.warned = true;
        self.out.line("RMAN-06908: warning: operation will not run in parallel on the allocated channels");
        self.out.line("RMAN-06909: warning: parallelism require Enterprise Edition");
        1
    }

    /// Asks for YES or NO; the next line of standard input is the answer, whatever it was meant to be.
    pub fn confirm(&mut self, question: &str) -> bool {
        loop {
            self.out.raw(&format!("\n{question} (enter YES or NO)? "));
            self.out.flush();
            let Some(answer) = self.input.line() else {
                self.out.raw("\n");
                return false;
            };
            self.out.raw("\n");
            match answer.trim().trim_end_matches(';').to_ascii_lowercase().as_str() {
                "y" | "yes" => return true,
                "n" | "no" => return false,
                _ => {
                    self.out.line(&format!("\"{}\" is an invalid response - please re-enter.", answer.trim()))
                }
            }
        }
    }
}
