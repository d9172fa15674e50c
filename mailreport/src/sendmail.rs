//! A mail to a local program that speaks as sendmail does.

use std::path::Path;
use std::time::Duration;

use common::process::{Cmd, Ended};

use crate::deliver::{Attempt, Gate};

/// Hands a mail over. `all`: the recipients of its header; when some of them have it already, the others are named.
pub fn send(
    program: &Path,
    limit: Duration,
    from: &str,
    (to, all): (&[String], &[String]),
    message: &[u8],
    gate: &Gate,
) -> Attempt {
    // The program reads lines as this host writes them.
    let mut text = Vec::with_capacity(message.len());
    let mut rest = message;
    while let Some(at) = rest.windows(2).position(|w| w == b"\r\n") {
        text.extend_from_slice(&rest[..at]);
        text.push(b'\n');
        rest = &rest[at + 2..];
    }
    text.extend_from_slice(rest);
    let mut cmd = Cmd::new(program, limit).stdin(text);
    cmd.env_remove = ["SMTP_PASSWORD", "SMTP_USERNAME"].map(str::to_owned).to_vec();
    cmd = if to == all {
        cmd.args(["-t", "-i", "-f", from])
    } else {
        cmd.args(["-i", "-f", from, "--"]).args(to)
    };
    if let Err(error) = gate.pass() {
        return Attempt::put_off(format!("{error:#}"), None, true);
    }
    let done = match cmd.run() {
        Ok(done) => done,
        Err(error) => {
            let hint = "name the program with --sendmail PROGRAM, or use SMTP_SERVER".to_owned();
            return Attempt::put_off(format!("{error:#}"), Some(hint), true);
        }
    };
    let said = done.describe();
    match done.ended {
        Ended::Exited(0) => Attempt { taken: true, ..Attempt::default() },
        // sysexits.h: EX_DATAERR, EX_NOUSER, EX_NOHOST.
        Ended::Exited(65 | 67 | 68) => Attempt::refused(to, &said),
        Ended::Exited(_) => Attempt::put_off(said, None, true),
        Ended::Signalled(_) | Ended::TimedOut(_) | Ended::Interrupted => {
            Attempt { doubtful: true, ..Attempt::put_off(said, None, true) }
        }
    }
}
