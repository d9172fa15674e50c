//! Where the mail goes and how: decided from the settings before anything is done.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use common::exit::{Exit, Failure};
use common::secret::Secret;
use lettre::message::Mailbox;

use crate::cli::{Cli, Tls};

/// How a mail leaves this host.
#[derive(Debug, Clone)]
pub enum Transport {
    Smtp(Box<Smtp>),
    /// The program, and how long it may take.
    Sendmail(PathBuf, Duration),
}

/// A mail server and how to talk to it.
#[derive(Debug, Clone)]
pub struct Smtp {
    pub host: String,
    pub port: u16,
    pub tls: Tls,
    pub ca_file: Option<PathBuf>,
    pub login: Option<(String, Secret)>,
    /// For each step.
    pub timeout: Duration,
}

impl Transport {
    /// Where to, for records and messages.
    pub fn describe(&self) -> String {
        match self {
            Self::Smtp(smtp) => format!("{}:{}", smtp.host, smtp.port),
            Self::Sendmail(program, _) => program.display().to_string(),
        }
    }
}

/// What shall become of the mail.
#[derive(Debug, Clone)]
pub struct Delivery {
    pub from: Mailbox,
    pub to: Vec<Mailbox>,
    /// `None`: it is only written to files.
    pub transport: Option<Transport>,
}

/// Decides about the mail. `secret_in_argv`: a password was given on the command line.
///
/// # Errors
/// [`Exit::Usage`] or [`Exit::Refused`] with a hint for settings with which no mail can be sent.
pub fn delivery(cli: &Cli, host: &str, secret_in_argv: bool) -> anyhow::Result<Delivery> {
    if secret_in_argv {
        return Err(Failure::new(
            Exit::Refused,
            "--smtp-password: a password on the command line shows in the list of processes",
        )
        .hint(
            "set SMTP_PASSWORD in the environment or the env file, or name a file with --smtp-password-file",
        )
        .into());
    }
    let transport = transport(cli)?;
    let to = cli
        .to
        .iter()
        .map(|to| to.trim())
        .filter(|to| !to.is_empty())
        .map(|to| address(to, "EMAIL_TO"))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let user = std::env::var("LOGNAME").or_else(|_| std::env::var("USER")).unwrap_or_default();
    let user = if user.is_empty() { "orapipe".to_owned() } else { user };
    let from = match &cli.from {
        Some(from) => address(from, "EMAIL_FROM")?,
        None => address(&format!("{user}@{host}"), "EMAIL_FROM")
            .or_else(|_| address("orapipe@localhost", "EMAIL_FROM"))?,
    };
    if to.is_empty() && transport.is_some() && !cli.flush && !only_elsewhere(cli) {
        return Err(usage("nobody to send the mail to", "set EMAIL_TO or give --to"));
    }
    if !to.is_empty() && transport.is_none() && cli.output.is_none() && cli.html.is_none() {
        return Err(usage(
            "no way to send the mail",
            "set SMTP_SERVER, or give --sendmail, or write the mail with --output",
        ));
    }
    if to.is_empty() && transport.is_none() && !cli.reports_elsewhere() {
        return Err(usage(
            "neither a mail server nor an address is known, and no other report is asked for",
            "set SMTP_SERVER and EMAIL_TO, or give --output, --html, --prometheus, --nagios or --ping",
        ));
    }
    let transport = transport.filter(|_| !to.is_empty() || cli.flush);
    Ok(Delivery { from, to, transport })
}

/// A server may be set for others while this call only wants files.
fn only_elsewhere(cli: &Cli) -> bool {
    !cli.test && cli.reports_elsewhere()
}

fn transport(cli: &Cli) -> anyhow::Result<Option<Transport>> {
    if let Some(program) = &cli.sendmail {
        return Ok(Some(Transport::Sendmail(program.clone(), cli.smtp_timeout * 5)));
    }
    let Some(host) = cli.smtp_server.as_deref().map(str::trim) else {
        if cli.flush || cli.test {
            return Err(usage("no mail server is known", "set SMTP_SERVER or give --sendmail"));
        }
        return Ok(None);
    };
    let (host, port) = match host.rsplit_once(':') {
        Some((name, port)) if !name.contains(':') => match port.parse() {
            Ok(port) => (name, port),
            Err(_) => {
                return Err(usage(&format!("SMTP_SERVER: {host} is no host"), "give the port with SMTP_PORT"))
            }
        },
        _ => (host.trim_matches(['[', ']']), cli.smtp_port),
    };
    let tls = cli.smtp_tls.unwrap_or(match port {
        465 => Tls::Implicit,
        25 => Tls::None,
        _ => Tls::Starttls,
    });
    if cli.smtp_ca_file.is_some() && tls == Tls::None && cli.smtp_tls.is_none() {
        return Err(usage(
            "SMTP_CA_FILE is set, and port 25 is not encrypted unless SMTP_TLS says so",
            "set SMTP_TLS=starttls",
        ));
    }
    let login = login(cli)?;
    if login.is_some() && tls == Tls::None && !is_this_host(host) {
        return Err(Failure::new(
            Exit::Refused,
            format!("the password for {host} would cross the network unencrypted"),
        )
        .hint("set SMTP_TLS=starttls or implicit; without SMTP_USERNAME a relay may be used in plain text")
        .into());
    }
    Ok(Some(Transport::Smtp(Box::new(Smtp {
        host: host.to_owned(),
        port,
        tls,
        ca_file: cli.smtp_ca_file.clone(),
        login,
        timeout: cli.smtp_timeout,
    }))))
}

fn login(cli: &Cli) -> anyhow::Result<Option<(String, Secret)>> {
    let Some(user) = &cli.smtp_username else { return Ok(None) };
    let password = match (&cli.smtp_password, &cli.smtp_password_file) {
        (Some(password), _) => password.clone(),
        (None, Some(file)) => password_file(file)?,
        (None, None) => {
            return Err(usage(
                "SMTP_USERNAME is set and there is no password",
                "set SMTP_PASSWORD, or name a file with --smtp-password-file",
            ));
        }
    };
    Ok(Some((user.clone(), Secret::new(password))))
}

fn password_file(file: &Path) -> anyhow::Result<String> {
    use std::os::unix::fs::PermissionsExt;
    let about =
        std::fs::metadata(file).with_context(|| format!("look at password file {}", file.display()))?;
    if about.permissions().mode() & 0o077 != 0 {
        return Err(Failure::new(Exit::Refused, format!("others may read password file {}", file.display()))
            .hint(format!("chmod 600 {}", file.display()))
            .into());
    }
    let text =
        std::fs::read_to_string(file).with_context(|| format!("read password file {}", file.display()))?;
    let first = text.lines().next().unwrap_or_default();
    if first.is_empty() {
        return Err(usage(
            &format!("password file {} is empty", file.display()),
            "write the password into it",
        ));
    }
    Ok(first.to_owned())
}

/// Whether a name is certainly this host's loopback interface.
fn is_this_host(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn address(text: &str, setting: &str) -> anyhow::Result<Mailbox> {
    let hint = "write it as user@example.com";
    let mailbox: Mailbox = text
        .trim()
        .parse()
        .map_err(|e| usage(&format!("{setting}: {text} is no mail address: {e}"), hint))?;
    let address: &str = mailbox.email.as_ref();
    if !address.is_ascii() {
        // SMTPUTF8 is offered by few servers, and a report that is refused for it helps nobody.
        return Err(usage(&format!("{setting}: {address} has letters that mail servers do not take"), hint));
    }
    Ok(mailbox)
}

fn usage(message: &str, hint: &str) -> anyhow::Error {
    Failure::new(Exit::Usage, message).hint(hint).into()
}

/// Whether the arguments hold a password.
pub fn secret_in(args: impl IntoIterator<Item = std::ffi::OsString>) -> bool {
    args.into_iter().any(|arg| {
        let arg = arg.to_string_lossy().into_owned();
        arg == "--smtp-password" || arg.starts_with("--smtp-password=")
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use common::exit::status_of;

    use super::*;

    fn plan(args: &[&str]) -> anyhow::Result<Delivery> {
        delivery(
            &Cli::try_parse_from(std::iter::once("mailreport").chain(args.iter().copied()))?,
            "db1",
            false,
        )
    }

    fn smtp(args: &[&str]) -> Smtp {
        match plan(args).unwrap().transport {
            Some(Transport::Smtp(smtp)) => *smtp,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn encryption_follows_the_port_unless_it_is_said() {
        let at = |port: &str| smtp(&["--to", "a@b.c", "--smtp-server", "mx", "--smtp-port", port]).tls;
        assert_eq!(
            (at("465"), at("587"), at("25"), at("2525")),
            (Tls::Implicit, Tls::Starttls, Tls::None, Tls::Starttls)
        );
        let said = smtp(&["--to", "a@b.c", "--smtp-server", "mx:465", "--smtp-tls", "starttls"]);
        assert_eq!((said.host.as_str(), said.port, said.tls), ("mx", 465, Tls::Starttls));
        assert_eq!(smtp(&["--to", "a@b.c", "--smtp-server", "::1"]).host, "::1");
    }

    #[test]
    fn a_password_never_crosses_the_network_in_plain_text() {
        let args = ["--to", "a@b.c", "--smtp-tls", "none", "--smtp-username", "u", "--smtp-password", "p"];
        let remote = [&args[..], &["--smtp-server", "mx.example.com"]].concat();
        assert_eq!(status_of(&plan(&remote).unwrap_err()), Exit::Refused);
        for host in ["localhost", "127.0.0.1", "::1"] {
            assert!(plan(&[&args[..], &["--smtp-server", host]].concat()).is_ok(), "{host}");
        }
        assert!(secret_in(["mailreport".into(), "--smtp-password=x".into()]));
        assert!(!secret_in(["mailreport".into(), "--smtp-password-file=x".into()]));
    }

    #[test]
    fn what_is_missing_is_named() {
        for (args, what) in [
            (&[][..], "neither a mail server"),
            (&["--to", "a@b.c"], "no way to send"),
            (&["--smtp-server", "mx"], "nobody to send"),
            (&["--to", "a b", "--smtp-server", "mx"], "no mail address"),
            (&["--to", "a@b.c", "--smtp-server", "mx", "--smtp-username", "u"], "no password"),
            (&["--flush"], "no mail server"),
        ] {
            let error = plan(args).unwrap_err().to_string();
            assert!(error.contains(what), "{error}");
        }
        for args in [&["--nagios"][..], &["--output", "/x.eml"], &["--nagios", "--smtp-server", "mx"]] {
            assert!(plan(args).unwrap().transport.is_none(), "{args:?}");
        }
    }

    #[test]
    fn names_and_lists_of_addresses_are_understood() {
        let found =
            plan(&["--to", "DBA <dba@b.c>,x@y.z,", "--sendmail", "--from", "Backup <b@c.d>"]).unwrap();
        assert_eq!(found.to.len(), 2);
        assert_eq!(found.from.email.to_string(), "b@c.d");
    }
}
