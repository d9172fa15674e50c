//! From the input to commands, one after the other, and which part of RMAN does each.

use super::args::Args;
use super::ast::{Allocate, Command, Set};
use super::parse::{ParseError, Parser};
use super::session::{Channel, Done, Rman, Settings};
use super::source::Source;
use super::stack::{rman_lines, Failed};
use crate::pieces::api;
use crate::server::wire::Request;

/// What comes next.
enum Next {
    Command(Box<Command>, String),
    End,
    Error(ParseError),
}

impl Rman<'_> {
    fn parse_next(source: &mut Source<'_>) -> Next {
        source.restart();
        let mut parser = Parser::new(source);
        match parser.command() {
            Ok(Some(command)) => {
                let text = source.take_text();
                Next::Command(Box::new(command), text)
            }
            Ok(None) => Next::End,
            Err(error) => Next::Error(error),
        }
    }

    fn syntax(&mut self, error: &ParseError) {
        let mut lines = vec![(558, "error encountered while parsing input commands".to_string())];
        lines.extend(error.0.iter().cloned());
        let failed = Failed { lines: rman_lines(&lines), ..Failed::default() };
        self.out.line(&failed.text());
        self.failed = true;
    }

    /// Everything that the input has. False when RMAN itself died.
    pub fn script(&mut self, args: &Args) -> bool {
        let Some(mut source) = self.sources.pop() else { return true };
        if !source.is_file() {
            return self.interactive(&mut source);
        }
        // A command file is parsed whole before any of it runs.
        let mut commands = Vec::new();
        loop {
            match Self::parse_next(&mut source) {
                Next::End => break,
                Next::Command(command, _) if *command == Command::Exit => break,
                Next::Command(command, text) => commands.push((command, text)),
                Next::Error(error) => {
                    self.out.settle();
                    self.syntax(&error);
                    return true;
                }
            }
        }
        self.out.settle();
        if args.checksyntax {
            self.out.line("The cmdfile has no syntax errors");
            return true;
        }
        for (command, text) in commands {
            match self.perform(*command, &text) {
                Ok(()) => {}
                Err(failed) => {
                    self.failed = true;
                    return !failed.fatal;
                }
            }
        }
        true
    }

    /// Standard input: each command runs when it is complete, and an error ends only its own.
    fn interactive(&mut self, source: &mut Source<'_>) -> bool {
        loop {
            match Self::parse_next(source) {
                Next::End => return true,
                Next::Command(command, _) if *command == Command::Exit => return true,
                Next::Command(command, text) => {
                    if let Err(failed) = self.perform(*command, &text) {
                        self.failed = true;
                        if failed.fatal {
                            return false;
                        }
                    }
                }
                Next::Error(error) => {
                    source.take_text();
                    source.drop_line();
                    self.syntax(&error);
                }
            }
        }
    }

    /// `@file`: its commands are echoed and run one by one; the first error ends the file.
    fn include(&mut self, name: &str) -> Done {
        let text = self
            .read_script(name, &[])
            .map_err(|lines| Failed { lines: rman_lines(&lines), ..Failed::default() })?;
        let out = self.out.clone();
        let mut source = Source::file(&text, name, out);
        loop {
            match Self::parse_next(&mut source) {
                Next::End => break,
                Next::Command(command, _) if *command == Command::Exit => break,
                Next::Command(command, text) => self.perform(*command, &text)?,
                Next::Error(error) => {
                    let mut lines = vec![(558, "error encountered while parsing input commands".to_string())];
                    lines.extend(error.0);
                    return Err(Failed { lines: rman_lines(&lines), ..Failed::default() });
                }
            }
        }
        self.out.line("**end-of-file**");
        Ok(())
    }

    /// Runs a command, prints why it failed, and tells journal and V$RMAN_OUTPUT.
    fn perform(&mut self, command: Command, text: &str) -> Done {
        let n = self.journal_command(text);
        let result = self.execute(command);
        if let Err(failed) = &result {
            if !failed.lines.is_empty() {
                self.out.line(&failed.text());
            }
        }
        let code = result.as_ref().err().map_or(0, |f| {
            f.lines.iter().find_map(|l| l.split(['-', ':']).nth(1)?.parse().ok()).unwrap_or(3002)
        });
        self.journal_result(n, code);
        if !matches!(&result, Err(f) if f.fatal) {
            self.tell_output();
        }
        // It has been printed; whoever gets it further up must not print it again.
        result.map_err(|f| Failed { fatal: f.fatal, ..Failed::default() })
    }

    pub fn execute(&mut self, command: Command) -> Done {
        if !self.connected
            && !matches!(
                command,
                Command::Connect { .. } | Command::Set(_) | Command::SpoolLog { .. } | Command::Include(_)
            )
        {
            return Err(Failed::rman(name_of(&command), 6171, "not connected to target database"));
        }
        match command {
            Command::Run(commands) => self.run_block(commands),
            Command::Allocate(allocate) => self.allocate(allocate),
            Command::Release(name) => self.release(name.as_deref()),
            Command::Set(set) => self.set(set),
            Command::Backup(backup) => self.backup(&backup),
            Command::Restore(restore) => self.restore(&restore),
            Command::Recover(recover) => self.recover(&recover),
            Command::SwitchDatafile(files) => self.switch(files.as_deref()),
            Command::Catalog(catalog) => self.catalog(&catalog),
            Command::Change { objects, filter, to } => self.change(&objects, &filter, to),
            Command::Crosscheck(objects, filter) => self.crosscheck(&objects, &filter),
            Command::Delete { objects, filter, noprompt, force, expired } => {
                self.delete(&objects, &filter, noprompt, force, expired)
            }
            Command::DeleteObsolete { window, redundancy, noprompt } => {
                self.delete_obsolete(window, redundancy, noprompt)
            }
            Command::List(list) => self.list(&list),
            Command::ResetIncarnation(n) => self.reset_incarnation(n),
            Command::Report(report) => self.report(&report),
            Command::Validate { what, check_logical } => self.validate(&what, check_logical),
            Command::Configure(configure) => self.configure(&configure),
            Command::Show(name) => self.show(name.as_deref()),
            Command::Sql(text) => self.sql_command(&text),
            Command::Statement(text) => self.statement(&text),
            Command::Startup { mode, force } => self.startup(mode, force),
            Command::Shutdown(mode) => self.shutdown(mode),
            Command::SpoolLog { to, append } => self.spool(to.as_deref(), append),
            Command::Connect { what, to } => self.connect(&what, &to),
            Command::Include(path) => self.include(&path),
            Command::Refused { command, code: 0, text } => {
                Err(Failed::new(&command, None, vec![format!("ORA-03001: {text}")]))
            }
            Command::Refused { command, code, text } => Err(Failed::rman(&command, code, text)),
            Command::Exit => Ok(()),
        }
    }

    /// The block's own channels are released before its error is told, as RMAN does.
    fn run_block(&mut self, commands: Vec<Command>) -> Done {
        let format = self.autobackup_format.clone();
        self.in_run = true;
        let mut result = Ok(());
        let mut commands = commands.into_iter().peekable();
        while let Some(command) = commands.next() {
            self.autobackup_due = !matches!(commands.peek(), Some(Command::Backup(_)));
            result = self.execute(command);
            if result.is_err() {
                break;
            }
        }
        self.in_run = false;
        self.autobackup_due = true;
        self.settings = Settings::default();
        if self.autobackup_format != format {
            self.set_autobackup_format(format);
        }
        let channels = std::mem::take(&mut self.allocated);
        if !matches!(&result, Err(f) if f.fatal) {
            for channel in channels {
                self.out.line(&format!("released channel: {}", channel.name));
            }
        }
        result
    }

    fn allocate(&mut self, a: Allocate) -> Done {
        if let Some(what) = &a.refused {
            return Err(Failed::unimplemented("allocate", what));
        }
        let name = a.name.clone().unwrap_or_else(|| "ORA_MAINT_DISK_1".into());
        if !a.maintenance && !self.in_run {
            return Err(Failed::rman(
                "allocate",
                6453,
                "RMAN command ALLOCATE CHANNEL must be used within RUN",
            ));
        }
        self.repository();
        if self.allocated.iter().any(|c| c.name.eq_ignore_ascii_case(&name)) {
            return Err(Failed::rman("allocate", 6040, format!("channel \"{name}\" is already allocated")));
        }
        if a.device.starts_with("SBT") {
            let lines = vec![
                "ORA-19554: error allocating device, device type: SBT_TAPE, device name: ".to_string(),
                "ORA-27211: Failed to load Media Management Library".to_string(),
                "Additional information: 2".to_string(),
            ];
            return Err(Failed::new("allocate", Some(&name), lines));
        }
        if a.device != "DISK" {
            return Err(Failed::rman("allocate", 6015, format!("device type {} is not supported", a.device)));
        }
        // RMAN's own channels give way to those of the block.
        self.automatic.clear();
        self.say_allocated(&name, self.allocated.len());
        self.out.blank();
        let channel = Channel { name, format: a.format, maxpiecesize: a.maxpiecesize };
        if a.maintenance {
            self.maintenance = Some(channel);
        } else {
            self.allocated.push(channel);
        }
        Ok(())
    }

    fn release(&mut self, name: Option<&str>) -> Done {
        let released = match name {
            None => self.maintenance.take(),
            Some(name) => {
                let at = self.allocated.iter().position(|c| c.name.eq_ignore_ascii_case(name));
                at.map(|at| self.allocated.remove(at))
            }
        };
        match released {
            Some(channel) => {
                self.out.line(&format!("released channel: {}", channel.name));
                Ok(())
            }
            None => {
                let name = name.unwrap_or("maintenance");
                Err(Failed::rman("release", 6012, format!("channel: {name} not allocated")))
            }
        }
    }

    fn set(&mut self, set: Set) -> Done {
        let say = match set {
            Set::Until(until) => {
                self.settings.until = Some(until);
                "executing command: SET until clause"
            }
            Set::Newname { files, to } => {
                self.settings.newnames.push((files, to));
                "executing command: SET NEWNAME"
            }
            Set::CommandId(id) => {
                if self.connection.is_some() {
                    let _ = self.ask(Request::Rman(api::Request::CommandId(id)));
                }
                "executing command: SET COMMAND ID"
            }
            Set::Dbid(dbid) => {
                let current = self.one("SELECT TO_CHAR(dbid) FROM v$database");
                if let Some(current) = current.filter(|c| *c != dbid.to_string()) {
                    return Err(Failed::rman(
                        "set",
                        6189,
                        format!("current DBID {dbid} does not match target mounted database ({current})"),
                    ));
                }
                self.dbid = Some(dbid);
                "executing command: SET DBID"
            }
            Set::AutobackupFormat(format) => {
                if !format.contains("%F") {
                    return Err(Failed::rman("set", 6503, "CONTROLFILE AUTOBACKUP FORMAT must contain %F"));
                }
                let format = self.path(&format).to_string_lossy().into_owned();
                self.set_autobackup_format(Some(format));
                "executing command: SET CONTROLFILE AUTOBACKUP FORMAT"
            }
            Set::ArchivelogDestination(to) => {
                self.settings.destination = Some(self.process.cwd.join(to));
                "executing command: SET ARCHIVELOG DESTINATION"
            }
            Set::Maxcorrupt { files, to } => {
                for file in &files {
                    let number = self.file_number("set", file)?;
                    self.settings.max_corrupt.push((number, u32::try_from(to).unwrap_or(u32::MAX)));
                }
                "executing command: SET MAX CORRUPT"
            }
            Set::Echo(on) => {
                self.out.line(if on { "echo set on" } else { "echo set off" });
                return Ok(());
            }
        };
        self.out.paragraph(say);
        self.out.blank();
        Ok(())
    }

    fn set_autobackup_format(&mut self, format: Option<String>) {
        if self.connection.is_some() {
            let _ = self.ask(Request::Rman(api::Request::AutobackupFormat(format.clone())));
        }
        self.autobackup_format = format;
    }

    fn spool(&mut self, to: Option<&str>, append: bool) -> Done {
        let Some(to) = to else {
            self.out.spool(None);
            return Ok(());
        };
        let path = self.process.cwd.join(to);
        let opened = std::fs::OpenOptions::new()
            .create(true)
            .write(true)
            .append(append)
            .truncate(!append)
            .open(&path)
            .map_err(|e| {
                Failed::rman("spool", 3999, format!("cannot open spool log {}: {e}", path.display()))
            })?;
        self.out.line(&format!("Spooling started in log file: {to}"));
        self.out.spool(Some(opened));
        Ok(())
    }

    fn connect(&mut self, what: &str, to: &str) -> Done {
        if what != "target" {
            let text = format!("error from {what} database: ORA-12154: TNS:could not resolve the connect identifier specified");
            return Err(Failed { lines: rman_lines(&[(4004, text)]), ..Failed::default() });
        }
        if self.connected {
            return Err(Failed {
                lines: rman_lines(&[(6167, "already connected".into())]),
                ..Failed::default()
            });
        }
        self.log_on(to)
    }
}

/// The words after "failure of".
fn name_of(command: &Command) -> &'static str {
    match command {
        Command::Backup(_) => "backup",
        Command::Restore(_) => "restore",
        Command::Recover(_) => "recover",
        Command::Allocate(_) => "allocate",
        Command::Catalog(_) => "catalog",
        Command::Crosscheck(..) => "crosscheck",
        Command::Delete { .. } | Command::DeleteObsolete { .. } => "delete",
        Command::List(_) => "list",
        Command::Report(_) => "report",
        Command::Validate { .. } => "validate",
        Command::Configure(_) => "configure",
        Command::Show(_) => "show",
        Command::Startup { .. } => "startup",
        Command::Shutdown(_) => "shutdown",
        Command::Sql(_) | Command::Statement(_) => "sql statement",
        _ => "run",
    }
}
