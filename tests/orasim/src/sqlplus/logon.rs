//! Logging on: the command line, CONNECT, the prompts, glogin.sql and login.sql.

use super::args::{target, Target};
use super::{message, Client};
use crate::server::client::Connection;
use crate::server::home;
use crate::server::wire::{Logon, Request, Response};

const USAGE: &str = "SP2-0306: Invalid option.\nUsage: CONN[ECT] [{logon|/|proxy} [AS {SYSDBA|SYSOPER|SYSASM|SYSBACKUP|SYSDG|SYSKM|SYSRAC}] [edition=value]]\nwhere <logon> ::= <username>[/<password>][@<connect_identifier>]\n      <proxy> ::= <proxyuser>[<username>][/<password>][@<connect_identifier>]";

type Failure = Vec<(u32, String)>;

fn failure<T>(code: u32, text: &str) -> Result<T, Failure> {
    Err(vec![(code, text.into())])
}

impl Client<'_> {
    /// The logon of the command line; `Some` is the exit status when it failed for good.
    pub(super) fn first_logon(&mut self) -> Option<i32> {
        let mut wanted = self.args.target.clone();
        for attempt in 0..3 {
            let target = match wanted.take() {
                Some(target) => self.with_password(target),
                None => {
                    self.prompt(&message::say(message::USER_NAME, self.language(), &[]));
                    let Some(line) = self.stdin_line() else {
                        self.line("");
                        return Some(1);
                    };
                    match target(&line) {
                        Some(target) => self.with_password(target),
                        None => {
                            self.line(USAGE);
                            continue;
                        }
                    }
                }
            };
            match self.log_on(&target) {
                Ok(idle) => {
                    if !self.args.silent {
                        if idle {
                            self.say(message::IDLE, &[]);
                            self.line("");
                        } else {
                            let text = format!(
                                "\nConnected to:\nOracle Database {}c {} Release {}.0.0.0.0 - Production\nVersion {}\n",
                                self.front.major(), self.front.edition, self.front.major(), self.front.release
                            );
                            self.line(&text);
                        }
                    }
                    self.login_scripts();
                    return None;
                }
                Err(stack) => {
                    self.logon_error(&stack);
                    if self.args.once {
                        self.say(message::UNABLE, &[]);
                        return Some(1);
                    }
                    if attempt == 2 {
                        self.say(message::AFTER_THREE, &[]);
                    }
                }
            }
        }
        Some(1)
    }

    fn with_password(&mut self, mut target: Target) -> Target {
        if target.password.is_none() && !target.external {
            self.prompt(&message::say(message::PASSWORD, self.language(), &[]));
            target.password = Some(self.stdin_line().unwrap_or_default());
            self.line("");
        }
        target
    }

    fn logon_error(&mut self, stack: &Failure) {
        self.say(message::ERROR, &[]);
        self.stack_lines(stack);
        self.line("");
        self.line("");
    }

    /// CONNECT in a script: the old session goes first, whatever becomes of the new one.
    pub(super) fn connect(&mut self, text: &str) {
        if self.args.restrict > 3 {
            return;
        }
        let wanted = if text.trim().is_empty() {
            self.prompt(&message::say(message::USER_NAME, self.language(), &[]));
            let line = self.stdin_line().unwrap_or_default();
            target(&line)
        } else {
            target(text)
        };
        let Some(wanted) = wanted else {
            self.line(USAGE);
            return;
        };
        let wanted = self.with_password(wanted);
        let before = self.connected;
        self.connection = None;
        self.connected = false;
        match self.log_on(&wanted) {
            Ok(idle) => {
                self.say(if idle { message::IDLE } else { message::CONNECTED }, &[]);
                self.login_scripts();
            }
            Err(stack) => {
                self.logon_error(&stack);
                if before {
                    self.say(message::LOST, &[]);
                }
            }
        }
    }

    /// True: an idle instance.
    fn log_on(&mut self, target: &Target) -> Result<bool, Failure> {
        let process = self.process;
        self.dead = false;
        let dir = match &target.identifier {
            None => match process.local_dir() {
                Some(dir) => Some(dir),
                None if process.var("ORACLE_SID").is_none() => {
                    return failure(12162, "TNS:net service name is incorrectly specified")
                }
                None => None,
            },
            Some(identifier) if process.core.is_none() => {
                let home = process.home().unwrap_or_default();
                let admin = process.var("TNS_ADMIN").map_or_else(|| home.join("network/admin"), Into::into);
                let Some(sid) = home::resolve(&admin, identifier) else {
                    return failure(12154, "TNS:could not resolve the connect identifier specified");
                };
                Some(home::find(&home, &sid).ok_or_else(|| {
                    vec![(
                        12514,
                        "TNS:listener does not currently know of service requested in connect\ndescriptor"
                            .to_string(),
                    )]
                })?)
            }
            Some(_) => process.local_dir(),
        };
        let opened = match (&process.core, &dir) {
            (Some(core), _) => Some(Connection::local(core)),
            (None, Some(dir)) => {
                self.journal_call(dir);
                Connection::open(dir).ok()
            }
            (None, None) => None,
        };
        let mut user = target.user.clone();
        let mut password = target.password.clone().unwrap_or_default();
        if target.external && target.identifier.is_some() {
            match self.front.wallet.clone() {
                Some((name, secret)) => {
                    user = name;
                    password = secret;
                }
                None => return failure(1017, "invalid username/password; logon denied"),
            }
        }
        let Some(mut connection) = opened else {
            if target.identifier.is_some() {
                return failure(12541, "TNS:no listener");
            }
            if !target.sysdba {
                return failure(1034, "ORACLE not available\nORA-27101: shared memory realm does not exist\nLinux-x86_64 Error: 2: No such file or directory");
            }
            // No daemon: an instance that has never been started.
            self.connection = None;
            self.connected = true;
            self.user = "SYS".into();
            return Ok(true);
        };
        let lost = || vec![(12547, "TNS:lost contact".to_string())];
        connection.ask(Request::Call { id: self.id.clone() }).map_err(|_| lost())?;
        let logon = Logon {
            user: user.clone(),
            password,
            sysdba: target.sysdba,
            remote: target.identifier.is_some(),
            nls: self.nls_given.then(|| self.nls.clone()),
        };
        let _ = self.output.flush();
        let mut answer = connection.ask(Request::Logon(logon.clone())).map_err(|_| lost())?;
        if matches!(&answer, Response::Error { stack, .. } if stack.first().is_some_and(|s| s.0 == 28001)) {
            answer = self.change_password(&mut connection, &user, logon)?;
        }
        match answer {
            Response::Connected { user, idle, warning } => {
                if let Some(warning) = warning {
                    self.logon_error(&vec![warning]);
                }
                self.user = user;
                self.identifier = target.identifier.clone().unwrap_or_default();
                self.connection = Some(connection);
                self.connected = true;
                if self.settings.serveroutput {
                    self.enable_output();
                }
                Ok(idle)
            }
            Response::Error { stack, .. } => Err(stack),
            _ => Err(lost()),
        }
    }

    /// ORA-28001: the next two lines of standard input become the new password, whatever they were meant to be.
    fn change_password(
        &mut self,
        connection: &mut Connection,
        user: &str,
        logon: Logon,
    ) -> Result<Response, Failure> {
        let expired = vec![(28001, "the password has expired".to_string())];
        self.logon_error(&expired);
        self.line(&format!("Changing password for {user}"));
        self.prompt("New password: ");
        let first = self.stdin_line();
        self.line("");
        self.prompt("Retype new password: ");
        let second = self.stdin_line();
        self.line("");
        match (first, second) {
            (Some(a), Some(b)) if a == b && !a.is_empty() => {
                let lost = |_| vec![(12547, "TNS:lost contact".to_string())];
                connection.ask(Request::Password { user: user.into(), new: a.clone() }).map_err(lost)?;
                self.line("Password changed");
                let again = connection.ask(Request::Logon(Logon { password: a, ..logon })).map_err(lost)?;
                Ok(match again {
                    // The fault is "always expired": the change was for nothing.
                    Response::Error { stack, .. } => return Err(stack),
                    other => other,
                })
            }
            _ => {
                self.line("Passwords do not match");
                self.line("Password unchanged");
                Err(vec![(28001, "the password has expired".into())])
            }
        }
    }

    /// glogin.sql of the home, then login.sql: after the logon of the command line and again after each CONNECT.
    pub(super) fn login_scripts(&mut self) {
        let mut scripts = Vec::new();
        if let Some(home) = self.process.home() {
            scripts.push(home.join("sqlplus/admin/glogin.sql"));
        }
        if self.args.restrict < 3 {
            // 12.2 stopped reading login.sql from the current directory.
            let path =
                self.process.var("ORACLE_PATH").or(self.process.var("SQLPATH")).unwrap_or("").to_string();
            let mut dirs: Vec<std::path::PathBuf> = Vec::new();
            if !self.front.has_csv() {
                dirs.push(self.process.cwd.clone());
            }
            dirs.extend(path.split(':').filter(|d| !d.is_empty()).map(Into::into));
            scripts.extend(dirs.into_iter().map(|d| d.join("login.sql")).find(|f| f.is_file()));
        }
        for script in scripts {
            if let Ok(bytes) = std::fs::read(&script) {
                let text = self.charset.decode(&bytes);
                let depth = self.sources.len();
                self.push_script(&text, vec![]);
                self.interpret(depth);
            }
        }
    }
}
