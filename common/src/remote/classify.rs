//! What a failed transfer means: try again, one file, or somebody has to mend something.

use std::fmt;

use crate::exit::{Exit, Failure};
use crate::process::Ended;

use super::target::Target;

/// What to do about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// The connection: the same again, later.
    Retry,
    /// Some of the files; the others went well.
    PerFile,
    /// Trying again changes nothing until a person mends the cause.
    Final,
    /// We were asked to stop.
    Interrupted,
}

/// A failed remote operation, told in the words of the program that noticed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransferError {
    pub class: Class,
    /// "rsync to dr1 exited 12: …".
    pub what: String,
    /// What a tired person can do now.
    pub hint: Option<String>,
    /// rsync's own status, when it was rsync.
    pub rsync_status: Option<i32>,
    /// The last lines of standard error.
    pub tail: String,
}

impl TransferError {
    pub fn new(class: Class, what: impl Into<String>) -> Self {
        Self { class, what: what.into(), hint: None, rsync_status: None, tail: String::new() }
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// "rsync 23", for `code` fields and `--explain`.
    pub fn code(&self) -> Option<String> {
        self.rsync_status.map(|s| format!("rsync {s}"))
    }

    /// As the failure of a whole run that has changed nothing yet: unreachable is [`Exit::TryAgain`].
    pub fn failure(&self) -> Failure {
        let exit = match self.class {
            Class::Retry => Exit::TryAgain,
            _ => Exit::Failed,
        };
        Failure { exit, message: self.what.clone(), hint: self.hint.clone(), code: self.code() }
    }
}

impl fmt::Display for TransferError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for TransferError {}

/// What is known of a program that failed.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'a> {
    /// `rsync` or `ssh`.
    pub program: &'a str,
    pub target: &'a Target,
    pub ended: Ended,
    pub stderr: &'a str,
}

struct Words {
    any: &'static [&'static str],
    class: Class,
    hint: &'static str,
}

/// First match wins: what is final is looked for before what a broken connection says as well.
const WORDS: &[Words] = &[
    Words {
        any: &["REMOTE HOST IDENTIFICATION HAS CHANGED"],
        class: Class::Final,
        hint: "the host key of {host} is not the known one: another machine, or it was installed anew; ask its owner, then ssh-keygen -R {host}",
    },
    Words {
        any: &["Host key verification failed", "host key is known for"],
        class: Class::Final,
        hint: "the host key of {host} is not known to this user: log in once by hand and compare the fingerprint",
    },
    Words {
        any: &["UNPROTECTED PRIVATE KEY FILE"],
        class: Class::Final,
        hint: "the private key may be read by others, so ssh does not use it: chmod 600",
    },
    Words {
        any: &["Permission denied (p", "Permission denied (k", "Permission denied (g", "Permission denied (h",
            "Too many authentication failures", "No supported authentication methods", "Permission denied, please"],
        class: Class::Final,
        hint: "{host} does not let this user in; this has to work without a question: {ssh}",
    },
    Words {
        any: &["Your account has expired", "password has expired", "account is currently not available",
            "Account locked", "System is booting up. Unprivileged users"],
        class: Class::Final,
        hint: "the account on {host} cannot log in",
    },
    Words {
        any: &["Temporary failure in name resolution"],
        class: Class::Retry,
        hint: "the name service does not answer",
    },
    Words {
        any: &["Could not resolve hostname", "Name or service not known", "nodename nor servname"],
        class: Class::Final,
        hint: "no such host: check the name {host}",
    },
    Words {
        any: &["Unable to negotiate with"],
        class: Class::Final,
        hint: "the two ssh have no algorithm in common",
    },
    Words {
        any: &["Bad configuration option", "Bad owner or permissions on", "terminating, ", "unknown option --",
            "illegal option --", "Bad number of arguments"],
        class: Class::Final,
        hint: "ssh refuses its configuration or our options: look at ~/.ssh/config and --ssh-option",
    },
    Words {
        any: &["Session open refused by peer", "open failed: administratively prohibited"],
        class: Class::Final,
        hint: "sshd on {host} allows too few sessions per connection: MaxSessions has to be 2 or more",
    },
    Words {
        any: &["is your shell clean?", "protocol version mismatch"],
        class: Class::Final,
        hint: "the login on {host} prints something: .bashrc and the like must be silent for: {ssh}",
    },
    Words {
        any: &["rsync: command not found", "rsync: not found", "rsync: Command not found",
            "rsync: No such file or directory", "rsync: inaccessible or not found", "Unknown command: rsync",
            "command not found: rsync", "run command 'rsync'", "run command \u{2018}rsync\u{2019}", "run command `rsync'"],
        class: Class::Final,
        hint: "install rsync on {host}, or put it into the PATH of a non-interactive login",
    },
    Words {
        any: &["No space left on device"],
        class: Class::Final,
        hint: "a disk on {host} is full: make space and run again",
    },
    Words {
        any: &["Disk quota exceeded"],
        class: Class::Final,
        hint: "the quota on {host} is used up",
    },
    Words {
        any: &["Read-only file system"],
        class: Class::Final,
        hint: "a file system on {host} is read-only: look at its mount and its kernel log",
    },
    Words {
        any: &["mkdir: cannot create directory"],
        class: Class::Final,
        hint: "make the directory on {host} for this user, or name another one; is its file system mounted?",
    },
    Words {
        any: &["Connection refused", "Connection timed out", "Operation timed out", "No route to host", "Network is unreachable"],
        class: Class::Retry,
        hint: "{host} cannot be reached: is it up, does sshd run there, is the port right (ssh -p), does a firewall stand between?",
    },
];

/// Decides from the status and from ssh's own words, which are the only thing that tells 12 from 12.
pub fn classify(evidence: &Evidence<'_>) -> TransferError {
    let rsync_status = match evidence.ended {
        Ended::Exited(code) if evidence.program == "rsync" => Some(code),
        _ => None,
    };
    let (class, hint) = verdict(evidence, rsync_status);
    let mut what = format!("{} to {} {}", evidence.program, evidence.target.label(), evidence.ended);
    let tail = telling_lines(evidence.stderr);
    if !tail.is_empty() {
        what.push_str(": ");
        what.push_str(&tail.lines().collect::<Vec<_>>().join(" | "));
    }
    TransferError { class, what, hint, rsync_status, tail }
}

fn filled(hint: &str, target: &Target) -> String {
    hint.replace("{host}", target.label()).replace("{ssh}", &target.login_command())
}

fn verdict(evidence: &Evidence<'_>, rsync_status: Option<i32>) -> (Class, Option<String>) {
    if evidence.ended == Ended::Interrupted {
        return (Class::Interrupted, None);
    }
    if let Some(words) = WORDS.iter().find(|w| w.any.iter().any(|text| evidence.stderr.contains(text))) {
        return (words.class, Some(filled(words.hint, evidence.target)));
    }
    let hint = |text: &str| Some(filled(text, evidence.target));
    match (evidence.ended, rsync_status) {
        (Ended::TimedOut(_) | Ended::Signalled(_) | Ended::Interrupted, _) => (Class::Retry, None),
        (_, Some(10 | 12 | 20 | 30 | 35 | 255)) => (Class::Retry, None),
        (_, Some(23)) => (Class::PerFile, hint("the message names the files; look at their owner and mode")),
        (_, Some(24)) => (Class::PerFile, hint("a file was deleted at the source before its turn")),
        (_, Some(25)) => (Class::PerFile, None),
        (_, Some(11)) => (Class::Final, hint("rsync could not write at {host}: the message has the reason")),
        (_, Some(127)) => (Class::Final, hint("install rsync on {host}")),
        (_, Some(2)) => {
            (Class::Final, hint("the login on {host} prints something, or the two rsyncs are too far apart"))
        }
        (_, Some(22)) => (Class::Final, hint("not enough memory for the list of files")),
        (_, Some(_)) => (Class::Final, None),
        (Ended::Exited(255), None) => {
            (Class::Retry, hint("ssh itself failed; does this work for this user: {ssh}"))
        }
        (Ended::Exited(_), None) => (Class::Final, None),
    }
}

/// The last lines that say something: neither blank nor ssh's decoration.
fn telling_lines(stderr: &str) -> String {
    let lines: Vec<&str> = stderr
        .lines()
        .map(str::trim)
        .filter(|l| !l.is_empty() && !l.chars().all(|c| "@*#-=".contains(c)))
        .filter(|l| !(l.starts_with("xargs: ") && l.ends_with("aborting")))
        .collect();
    lines[lines.len().saturating_sub(8)..].join("\n")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn dr1() -> Target {
        Target { host: Some("dr1".to_owned()), ..Target::default() }
    }

    fn class(program: &str, ended: Ended, stderr: &str) -> Class {
        classify(&Evidence { program, target: &dr1(), ended, stderr }).class
    }

    #[test]
    fn ssh_words_decide_what_the_status_cannot() {
        let rows: &[(i32, &str, Class)] = &[
            (255, "ora@dr1: Permission denied (publickey,password).", Class::Final),
            (
                12,
                "ora@dr1: Permission denied (publickey).\r\nrsync: connection unexpectedly closed",
                Class::Final,
            ),
            (255, "@@@@@@\n@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @", Class::Final),
            (
                255,
                "No ED25519 host key is known for dr1 and you have requested strict checking.",
                Class::Final,
            ),
            (255, "ssh: Could not resolve hostname dr9: Name or service not known", Class::Final),
            (255, "ssh: Could not resolve hostname dr9: Temporary failure in name resolution", Class::Retry),
            (
                12,
                "bash: line 1: rsync: command not found\nrsync: connection unexpectedly closed",
                Class::Final,
            ),
            (127, "sh: 1: rsync: not found", Class::Final),
            (12, "timeout: failed to run command 'rsync': No such file or directory", Class::Final),
            (2, "protocol version mismatch -- is your shell clean?", Class::Final),
            (255, "ssh: connect to host dr1 port 22: Connection refused", Class::Retry),
            (255, "kex_exchange_identification: Connection closed by remote host", Class::Retry),
            (12, "rsync: connection unexpectedly closed (0 bytes received so far) [sender]", Class::Retry),
            (255, "Connection closed by UNKNOWN port 65535", Class::Retry),
            (30, "rsync error: timeout in data send/receive (code 30)", Class::Retry),
            (10, "", Class::Retry),
            (20, "rsync error: received SIGINT, SIGTERM, or SIGHUP (code 20)", Class::Retry),
            (35, "", Class::Retry),
            (11, "rsync: [receiver] write failed on \"/u15/x\": No space left on device (28)", Class::Final),
            (11, "rsync: mkdir \"/a/b\" failed: No such file or directory (2)", Class::Final),
            (
                12,
                "rsync: [receiver] write failed on \"/x\": No space left on device (28)\nconnection closed",
                Class::Final,
            ),
            (23, "rsync: mkstemp \"/u15/.x.Q\" failed: Read-only file system (30)", Class::Final),
            (23, "rsync: send_files failed to open \"/a\": Permission denied (13)", Class::PerFile),
            (23, "rsync: link_stat \"/a\" failed: No such file or directory (2)", Class::PerFile),
            (24, "file has vanished: \"/a\"", Class::PerFile),
            (3, "rsync: change_dir failed: Not a directory (20)", Class::Final),
            (1, "rsync: --zc: unknown option", Class::Final),
        ];
        for (status, stderr, want) in rows {
            assert_eq!(class("rsync", Ended::Exited(*status), stderr), *want, "{status} {stderr}");
        }
    }

    #[test]
    fn a_program_that_we_or_somebody_stopped_is_tried_again() {
        assert_eq!(class("rsync", Ended::Signalled(9), ""), Class::Retry);
        assert_eq!(class("rsync", Ended::TimedOut(Duration::from_secs(1)), ""), Class::Retry);
        assert_eq!(class("rsync", Ended::Interrupted, "No space left on device"), Class::Interrupted);
        assert_eq!(
            class("ssh", Ended::Exited(255), "mux_client_request_session: read from master failed"),
            Class::Retry
        );
    }

    #[test]
    fn the_message_names_program_host_status_and_words() {
        let error = classify(&Evidence {
            program: "rsync",
            target: &dr1(),
            ended: Ended::Exited(11),
            stderr: "\nrsync: write failed on \"/x\": No space left on device (28)\n",
        });
        assert_eq!(
            error.what,
            "rsync to dr1 exited 11: rsync: write failed on \"/x\": No space left on device (28)"
        );
        assert_eq!(error.hint.unwrap(), "a disk on dr1 is full: make space and run again");
        assert_eq!(error.rsync_status, Some(11));
        let refused = classify(&Evidence {
            program: "ssh",
            target: &dr1(),
            ended: Ended::Exited(255),
            stderr: "ssh: connect to host dr1 port 22: Connection refused",
        });
        assert!(refused.hint.is_some_and(|h| h.starts_with("dr1 cannot be reached: ")));
    }

    #[test]
    fn the_hint_is_the_command_to_type() {
        let options = ["-p 2222 -i '/a b/k'".to_owned()];
        let target = Target::new(Some("dr1"), Some("oracle"), &options).unwrap();
        let stderr = "oracle@dr1: Permission denied (publickey).";
        let error =
            classify(&Evidence { program: "ssh", target: &target, ended: Ended::Exited(255), stderr });
        assert_eq!(
            error.hint.unwrap(),
            "dr1 does not let this user in; this has to work without a question: \
             ssh -p 2222 -i '/a b/k' -l oracle -o BatchMode=yes dr1 true"
        );
    }
}
