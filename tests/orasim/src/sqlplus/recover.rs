//! RECOVER of SQL*Plus: the server's ORA-00279 becomes a prompt, and the prompt takes the next line of the script.

use super::{message, Client};
use crate::server::wire::{Request, Response};
use crate::sql::command;

impl Client<'_> {
    pub(super) fn recover(&mut self, tail: &str) {
        if !self.connected {
            self.say(message::NOT_CONNECTED, &[]);
            return;
        }
        if self.dead {
            self.stack_lines(&vec![(3114, "not connected to ORACLE".into())]);
            return;
        }
        if let Err(error) = command::recover_tail(tail) {
            self.stack_lines(&error.error.stack);
            return;
        }
        let mut text = tail.to_string();
        if self.settings.autorecovery && !tail.to_uppercase().starts_with("AUTOMATIC") {
            text = format!("AUTOMATIC {text}");
        }
        let source = self.settings.logsource.clone();
        if let (Some(dir), false) = (source, tail.to_uppercase().contains("FROM ")) {
            let at = usize::from(text.to_uppercase().starts_with("AUTOMATIC")) * "AUTOMATIC".len();
            text.insert_str(at, &format!(" FROM '{dir}' "));
        }
        let mut statement = format!("ALTER DATABASE RECOVER {text}");
        let mut auto = false;
        loop {
            match self.ask(Request::Sql { text: statement.clone() }) {
                Response::Done { notes, .. } => {
                    for note in notes.into_iter().filter(|n| !n.starts_with("Media recovery c")) {
                        self.wrapped(&note);
                    }
                    if statement.ends_with("RECOVER CANCEL") {
                        self.say(message::CANCELLED, &[]);
                    } else {
                        self.say(message::RECOVERED, &[]);
                    }
                    return;
                }
                Response::Error { stack, dead, .. } => {
                    self.stack_lines(&stack);
                    if dead {
                        self.dead = true;
                        self.connection = None;
                        return;
                    }
                    // The session in the server stays open as long as it asks for a log.
                    let open = stack.iter().any(|s| s.0 == 279)
                        || (statement.contains("LOGFILE") && stack.iter().any(|s| s.0 == 308));
                    let failed = stack.iter().any(|s| s.0 == 308 || s.0 == 283);
                    if !open {
                        return;
                    }
                    if auto && !failed {
                        statement = "ALTER DATABASE RECOVER CONTINUE DEFAULT".into();
                        continue;
                    }
                }
                _ => return,
            }
            self.line("");
            self.line("");
            self.say(message::SPECIFY, &[]);
            let Some(answer) = self.answer_line() else {
                // End of input at the prompt cancels.
                let _ = self.ask(Request::Sql { text: "ALTER DATABASE RECOVER CANCEL".into() });
                self.say(message::CANCELLED, &[]);
                return;
            };
            statement = match answer.trim() {
                "" => "ALTER DATABASE RECOVER CONTINUE DEFAULT".into(),
                word if word.eq_ignore_ascii_case("auto") => {
                    auto = true;
                    "ALTER DATABASE RECOVER CONTINUE DEFAULT".into()
                }
                word if word.eq_ignore_ascii_case("cancel") => "ALTER DATABASE RECOVER CANCEL".into(),
                file => format!("ALTER DATABASE RECOVER LOGFILE '{}'", file.replace('\'', "''")),
            };
        }
    }
}
