//! One mail to one server, step by step: at each step it is known what the server has promised so far.

use std::io::ErrorKind;
use std::time::Duration;

use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{
    Certificate, CertificateStore, SmtpConnection, TlsParameters, TlsParametersBuilder,
};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::ClientId;
use lettre::transport::smtp::Error;
use lettre::Address;

use crate::cli::Tls;
use crate::deliver::{Attempt, Bounce, Gate};
use crate::plan::Smtp;

/// How much longer than a step the server may take to answer the whole mail: RFC 5321 asks for ten minutes, because a
/// client that gives up early sends the mail twice.
pub const PATIENCE: u32 = 5;

/// Why a step failed.
struct Failed {
    reason: String,
    hint: Option<String>,
    /// A 5xx answer.
    permanent: bool,
    /// The server has closed the connection, or will.
    closed: bool,
}

/// Sends a mail and says what became of it. The connection is given back for its QUIT when there is one.
///
/// `gate` is passed before the last dot: from then on the server may have taken the mail.
pub fn send(
    smtp: &Smtp,
    from: &str,
    to: &[String],
    message: &[u8],
    gate: &Gate,
) -> (Attempt, Option<SmtpConnection>) {
    let mut connection = match open(smtp) {
        Ok(connection) => connection,
        Err(failed) => return (Attempt::put_off(failed.reason, failed.hint, true), None),
    };
    let attempt = transact(smtp, &mut connection, from, to, message, gate);
    (attempt, Some(connection))
}

/// Ends the dialogue politely, within a moment.
pub fn quit(mut connection: SmtpConnection) {
    let _closed = connection.set_timeout(Some(Duration::from_secs(2)));
    let _gone = connection.quit();
}

fn open(smtp: &Smtp) -> Result<SmtpConnection, Failed> {
    let server = format!("{}:{}", smtp.host, smtp.port);
    let parameters = match smtp.tls {
        Tls::None => None,
        Tls::Starttls | Tls::Implicit => Some(parameters(smtp)?),
    };
    let wrapped = parameters.as_ref().filter(|_| smtp.tls == Tls::Implicit);
    let name = client_name();
    let address = (smtp.host.as_str(), smtp.port);
    let mut connection = SmtpConnection::connect(address, Some(smtp.timeout), &name, wrapped, None)
        .map_err(|e| explain(&e, smtp, &format!("connect to {server}")))?;
    if let Some(parameters) = parameters.filter(|_| smtp.tls == Tls::Starttls) {
        if !connection.can_starttls() {
            quit(connection);
            return Err(Failed {
                reason: format!("{server} offers no STARTTLS"),
                hint: Some(
                    "set SMTP_TLS=none for a relay in the same network, or implicit if it expects TLS at once"
                        .to_owned(),
                ),
                permanent: false,
                closed: true,
            });
        }
        connection
            .starttls(&parameters, &name)
            .map_err(|e| explain(&e, smtp, &format!("STARTTLS with {server}")))?;
    }
    if let Some((user, password)) = &smtp.login {
        if connection.server_info().get_auth_mechanism(DEFAULT_MECHANISMS).is_none() {
            quit(connection);
            return Err(Failed {
                reason: format!("{server} offers no log-on by PLAIN or LOGIN"),
                hint: Some(match smtp.tls {
                    Tls::None => {
                        "many servers offer it only after STARTTLS: set SMTP_TLS=starttls; a relay that \
                                  needs no log-on wants no SMTP_USERNAME"
                            .to_owned()
                    }
                    _ => "a relay that needs no log-on wants no SMTP_USERNAME".to_owned(),
                }),
                permanent: false,
                closed: true,
            });
        }
        let credentials = Credentials::new(user.clone(), password.expose().to_owned());
        connection
            .auth(DEFAULT_MECHANISMS, &credentials)
            .map_err(|e| logon(&e, smtp, &format!("log on to {server} as {user}")))?;
    }
    Ok(connection)
}

fn parameters(smtp: &Smtp) -> Result<TlsParameters, Failed> {
    let broken = |reason: String, hint: &str| Failed {
        reason,
        hint: Some(hint.to_owned()),
        permanent: false,
        closed: true,
    };
    let mut builder = TlsParametersBuilder::new(smtp.host.clone());
    if let Some(path) = &smtp.ca_file {
        let hint = "SMTP_CA_FILE names a readable file with certificates in PEM form";
        let pem = std::fs::read(path)
            .map_err(|e| broken(format!("read the certificates in {}: {e}", path.display()), hint))?;
        let certificate = Certificate::from_pem(&pem)
            .map_err(|e| broken(format!("the certificates in {}: {e}", path.display()), hint))?;
        builder = builder.certificate_store(CertificateStore::None).add_root_certificate(certificate);
    }
    builder
        .build()
        .map_err(|e| broken(format!("prepare TLS: {e}"), "SMTP_CA_FILE must hold certificates in PEM form"))
}

/// A name without a dot is refused by many servers; an address in brackets by few.
fn client_name() -> ClientId {
    let host = common::app::host();
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
    if host.contains('.') && host.chars().all(plain) {
        ClientId::Domain(host)
    } else {
        ClientId::Ipv4(std::net::Ipv4Addr::LOCALHOST)
    }
}

fn transact(
    smtp: &Smtp,
    connection: &mut SmtpConnection,
    from: &str,
    to: &[String],
    message: &[u8],
    gate: &Gate,
) -> Attempt {
    let put_off = |failed: Failed| Attempt::put_off(failed.reason, failed.hint, failed.closed);
    let sender: Address = match from.parse() {
        Ok(sender) => sender,
        Err(e) => return Attempt::refused(to, &format!("the sender {from} is no address: {e}")),
    };
    if let Err(e) = connection.command(Mail::new(Some(sender), vec![])) {
        let failed = logon(&e, smtp, &format!("the sender {from} was not accepted"));
        return if failed.permanent { Attempt::refused(to, &failed.with_hint()) } else { put_off(failed) };
    }
    let mut attempt = Attempt::default();
    let mut accepted = false;
    for recipient in to {
        let address: Address = match recipient.parse() {
            Ok(address) => address,
            Err(e) => {
                attempt.refused.push(Bounce { to: recipient.clone(), reason: format!("no address: {e}") });
                continue;
            }
        };
        match connection.command(Rcpt::new(address, vec![])) {
            Ok(_) => accepted = true,
            Err(e) => {
                let failed = relay(&e, smtp, recipient);
                if failed.closed {
                    // Those that were refused before are asked about again with the others.
                    return put_off(failed);
                }
                if failed.permanent {
                    attempt.refused.push(Bounce { to: recipient.clone(), reason: failed.with_hint() });
                } else {
                    attempt.later.push(recipient.clone());
                    attempt.reason = Some(failed.reason);
                    attempt.hint = failed.hint;
                }
            }
        }
    }
    if !accepted {
        return attempt;
    }
    if let Err(e) = connection.command(Data) {
        let failed = explain(&e, smtp, "DATA was not accepted");
        return if failed.permanent { Attempt::refused(to, &failed.with_hint()) } else { put_off(failed) };
    }
    let _same = connection.set_timeout(Some(smtp.timeout * PATIENCE));
    if let Err(error) = gate.pass() {
        // The server waits for the mail; it gets none when the connection closes.
        return Attempt::put_off(format!("{error:#}"), None, true);
    }
    match connection.message(message) {
        Ok(_) => {
            attempt.taken = true;
            attempt
        }
        Err(e) if e.is_permanent() => {
            Attempt::refused(to, &explain(&e, smtp, "the mail was not accepted").with_hint())
        }
        Err(e) if e.is_transient() => put_off(explain(&e, smtp, "the mail was not accepted")),
        Err(e) => {
            let failed = explain(&e, smtp, "no answer to the whole mail");
            Attempt { doubtful: true, ..put_off(Failed { closed: true, ..failed }) }
        }
    }
}

impl Failed {
    fn with_hint(&self) -> String {
        match &self.hint {
            Some(hint) => format!("{}; {hint}", self.reason),
            None => self.reason.clone(),
        }
    }
}

/// The words of an error: the server's own where it has spoken.
fn explain(error: &Error, smtp: &Smtp, what: &str) -> Failed {
    let source = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
    let code = error.status().map(|c| c.to_string());
    let said = match &code {
        Some(code) => format!("{code} {}", source.trim()),
        None => match io_kind(error) {
            Some(ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                format!("no answer within {:?}", smtp.timeout)
            }
            _ if source.is_empty() => error.to_string(),
            _ if source == "incomplete response" => "the server closed the connection".to_owned(),
            _ => source.clone(),
        },
    };
    let kind = io_kind(error);
    // BadSignature: an authority of the same name with another key.
    let hint = if source.contains("UnknownIssuer") || source.contains("BadSignature") {
        Some("its certificate is of a CA that this host does not know: name the CA's certificate with SMTP_CA_FILE")
    } else if source.contains("NotValidForName") {
        Some("its certificate is for another name: use that name as SMTP_SERVER")
    } else if source.contains("Expired") {
        Some("its certificate has expired, or this host's clock is wrong")
    } else if source.contains("InvalidContentType") || source.contains("corrupt message") {
        Some("it does not speak TLS at once there: set SMTP_TLS=starttls, or another SMTP_PORT")
    } else if source.contains("lookup") {
        Some("look at SMTP_SERVER and at the name service of this host")
    } else if kind == Some(ErrorKind::ConnectionRefused) {
        Some("nothing listens there: look at SMTP_SERVER and SMTP_PORT")
    } else if code.is_none() && matches!(kind, Some(ErrorKind::WouldBlock | ErrorKind::TimedOut)) {
        Some("a firewall may be in the way, or the port speaks TLS at once (SMTP_TLS=implicit)")
    } else {
        None
    };
    Failed {
        reason: format!("{what}: {}", crate::format::clean(&said, 300)),
        hint: hint.map(str::to_owned),
        permanent: error.is_permanent(),
        closed: code.is_none() || code.as_deref() == Some("421"),
    }
}

/// A refusal that is about who we are keeps the mail waiting: the mail is good, the settings are not.
fn logon(error: &Error, smtp: &Smtp, what: &str) -> Failed {
    let failed = explain(error, smtp, what);
    let hint = match error.status().map(|c| c.to_string()).as_deref() {
        Some("535" | "534" | "538") => {
            "look at SMTP_USERNAME and SMTP_PASSWORD; some servers want an application password"
        }
        Some("530") => "the server wants a log-on or encryption first: SMTP_USERNAME, SMTP_TLS=starttls",
        Some("503" | "502" | "504" | "454") if what.starts_with("log on") => {
            "the server did not let us log on; try later"
        }
        _ => return failed,
    };
    Failed { hint: Some(hint.to_owned()), permanent: false, closed: true, ..failed }
}

fn relay(error: &Error, smtp: &Smtp, recipient: &str) -> Failed {
    let failed = logon(error, smtp, &format!("{recipient} was not accepted"));
    let relay = failed.reason.to_ascii_lowercase().contains("relay");
    if failed.permanent && relay && smtp.login.is_none() {
        let hint =
            "the server relays only for those that it knows: set SMTP_USERNAME and SMTP_PASSWORD, or have \
                    this host allowed";
        return Failed { hint: Some(hint.to_owned()), ..failed };
    }
    failed
}

fn io_kind(error: &Error) -> Option<ErrorKind> {
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        if let Some(io) = error.downcast_ref::<std::io::Error>() {
            return Some(io.kind());
        }
        source = error.source();
    }
    None
}
