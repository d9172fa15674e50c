//! Why a command failed, and the frame that RMAN puts around it.

use crate::pieces::api::{Family, Message};
use crate::server::wire::Stack;

/// A failed command; nothing of it has been printed yet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Failed {
    /// An `Oracle Error:` block and the like, in front of the frame.
    pub before: Vec<String>,
    /// Lines in the frame, the outermost message first.
    pub lines: Vec<String>,
    /// The client ends here and now, without "Recovery Manager complete.".
    pub fatal: bool,
}

/// The date of an error stack is written like this whatever NLS_DATE_FORMAT says.
pub fn stamp() -> String {
    chrono::Local::now().format("%m/%d/%Y %H:%M:%S").to_string()
}

pub fn message(m: &Message) -> String {
    match m.family {
        Family::Rman => format!("RMAN-{:05}: {}", m.code, m.text),
        Family::Ora => format!("ORA-{:05}: {}", m.code, m.text),
    }
}

pub fn ora_lines(stack: &Stack) -> Vec<String> {
    stack.iter().map(|(code, text)| format!("ORA-{code:05}: {text}")).collect()
}

/// RMAN- messages under a heading of their own.
pub fn rman_lines(lines: &[(u32, String)]) -> Vec<String> {
    lines.iter().map(|(code, text)| format!("RMAN-{code:05}: {text}")).collect()
}

impl Failed {
    /// RMAN-03002, or RMAN-03009 when it happened in a channel.
    pub fn new(command: &str, channel: Option<&str>, lines: Vec<String>) -> Self {
        let at = stamp();
        let head = match channel {
            Some(channel) => {
                format!("RMAN-03009: failure of {command} command on {channel} channel at {at}")
            }
            None => format!("RMAN-03002: failure of {command} command at {at}"),
        };
        Self { before: vec![], lines: std::iter::once(head).chain(lines).collect(), fatal: false }
    }

    pub fn rman(command: &str, code: u32, text: impl std::fmt::Display) -> Self {
        Self::new(command, None, vec![format!("RMAN-{code:05}: {text}")])
    }

    pub fn ora(command: &str, stack: &Stack) -> Self {
        Self::new(command, None, ora_lines(stack))
    }

    /// Valid RMAN that the simulator has not.
    pub fn unimplemented(command: &str, what: &str) -> Self {
        Self::new(
            command,
            None,
            vec![format!("ORA-03001: unimplemented feature\norasim does not simulate {what}")],
        )
    }

    /// The session of a channel has gone: RMAN itself ends.
    pub fn died(channel: &str) -> Self {
        Self {
            before: vec![],
            lines: vec![
                "RMAN-00601: fatal error in recovery manager".into(),
                "RMAN-03004: fatal error during execution of command".into(),
                format!("RMAN-10038: database session for channel {channel} terminated unexpectedly"),
            ],
            fatal: true,
        }
    }

    /// With its frame, as it is printed.
    pub fn text(&self) -> String {
        let mut out = String::new();
        for line in &self.before {
            out.push_str(line);
            out.push('\n');
        }
        out.push_str(
            "RMAN-00571: ===========================================================\n\
             RMAN-00569: =============== ERROR MESSAGE STACK FOLLOWS ===============\n\
             RMAN-00571: ===========================================================",
        );
        for line in &self.lines {
            out.push('\n');
            out.push_str(line);
        }
        out
    }
}
