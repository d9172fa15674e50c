//! The flags that name an array and how to talk to it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;

use super::client::Array;
use super::http::Connection;
use crate::exit::{Exit, Failure};
use crate::secret::Secret;
use crate::settings::on_command_line;
use crate::values::duration;

/// Where the array is and how to log on.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Array options")]
pub struct ArrayArgs {
    /// Management address of the array: HOST or HOST:PORT. With several, separated by commas, the next one is asked when
    /// one does not answer
    #[arg(long, value_name = "HOST[:PORT]", env = "SOURCE_INFINIBOX", value_delimiter = ',')]
    pub infinibox: Vec<String>,

    /// User of the array; the administrator of the pool is enough
    #[arg(long, value_name = "USER", env = "SOURCE_INFINIBOX_USER")]
    pub infinibox_user: Option<String>,

    /// The password; from the environment or the env file only, refused on the command line
    #[arg(long, value_name = "PASSWORD", env = "SOURCE_INFINIBOX_PASSWORD", hide_env_values = true)]
    pub infinibox_password: Option<String>,

    /// Read the password from the first line of FILE, which only its owner may read
    #[arg(long, value_name = "FILE", env = "SOURCE_INFINIBOX_PASSWORD_FILE")]
    pub infinibox_password_file: Option<PathBuf>,

    /// Trust the certificates in FILE (PEM), the array's own or that of its CA, instead of those of the system
    #[arg(long, value_name = "FILE", env = "SOURCE_INFINIBOX_CA_FILE")]
    pub ca_file: Option<PathBuf>,

    /// Talk plain HTTP: the password crosses the network in the clear and nobody checks who answers
    #[arg(long)]
    pub insecure_http: bool,

    /// Longest time to connect to the array
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration)]
    pub array_connect_timeout: Duration,

    /// Longest time for one request to the array, its answer included
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    pub array_timeout: Duration,
}

impl ArrayArgs {
    /// The array. Nothing is sent yet. `tool` names us to it.
    ///
    /// # Errors
    /// Status 64 for what is missing or wrong, 4 for a password file that others may read.
    pub fn open(&self, tool: &str) -> anyhow::Result<Array> {
        let addresses = self.addresses()?;
        let user = self.infinibox_user.clone().ok_or_else(|| {
            usage("no user for the array", "set SOURCE_INFINIBOX_USER, or give --infinibox-user")
        })?;
        if user.contains(':') || user.chars().any(char::is_control) {
            return Err(usage(
                "the user of the array has a colon or a control character",
                "look at SOURCE_INFINIBOX_USER",
            )
            .into());
        }
        let password = self.password()?;
        let connection = Connection {
            addresses,
            user,
            password,
            tool: tool.to_owned(),
            ca_file: self.ca_file.clone(),
            plain: self.insecure_http,
            connect: self.array_connect_timeout,
            request: self.array_timeout,
        };
        Array::new(connection)
    }

    /// The addresses in the order in which they are asked.
    ///
    /// # Errors
    /// Status 64: none, or one that is no address.
    pub fn addresses(&self) -> anyhow::Result<Vec<Address>> {
        // A password may hold the comma that parts addresses: none of the pieces is shown then.
        if self.infinibox.iter().any(|a| a.contains('@')) {
            return Err(usage(
                "there is a user or a password in the address of the array",
                "SOURCE_INFINIBOX is HOST or HOST:PORT; the user is SOURCE_INFINIBOX_USER, the password SOURCE_INFINIBOX_PASSWORD",
            )
            .into());
        }
        let found = self
            .named()
            .map(|text| Address::parse(text, self.insecure_http))
            .collect::<Result<Vec<_>, _>>()?;
        if found.is_empty() {
            return Err(usage("no array is named", "set SOURCE_INFINIBOX, or give --infinibox HOST").into());
        }
        Ok(found)
    }

    fn named(&self) -> impl Iterator<Item = &str> {
        self.infinibox.iter().map(|a| a.trim()).filter(|a| !a.is_empty())
    }

    /// Whether some address is given, right or wrong.
    pub fn is_named(&self) -> bool {
        self.named().next().is_some()
    }

    fn password(&self) -> anyhow::Result<Secret> {
        if on_command_line("--infinibox-password") {
            return Err(usage(
                "--infinibox-password on the command line: every user of this host can read arguments",
                "set SOURCE_INFINIBOX_PASSWORD in an env file with mode 600, or give --infinibox-password-file",
            )
            .into());
        }
        let text = match (&self.infinibox_password, &self.infinibox_password_file) {
            (Some(text), _) => text.clone(),
            (None, Some(file)) => password_file(file)?,
            (None, None) => {
                return Err(usage(
                    "no password for the array",
                    "set SOURCE_INFINIBOX_PASSWORD, or name a file with --infinibox-password-file",
                )
                .into());
            }
        };
        Ok(Secret::new(text))
    }
}

/// One management address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// As in a URL: an IPv6 address in brackets.
    pub host: String,
    pub port: u16,
}

impl Address {
    /// Reads `host`, `host:port`, `[v6]:port`, and forgives a scheme and a slash at the end.
    ///
    /// # Errors
    /// Status 64: what stands there is no address, or its scheme contradicts `plain`.
    pub fn parse(text: &str, plain: bool) -> Result<Self, Failure> {
        // What stands before an @ may be a password.
        let shown = text.rsplit('@').next().unwrap_or(text);
        let wrong = |why: &str| {
            usage(
                &format!("array {shown}: {why}"),
                "SOURCE_INFINIBOX is HOST or HOST:PORT, several with commas between",
            )
        };
        let rest = match text.split_once("://") {
            None => text,
            Some(("https", rest)) if !plain => rest,
            Some(("http", rest)) if plain => rest,
            Some(("http", _)) => {
                return Err(usage(
                    &format!("array {shown}: plain HTTP shows the password to the network"),
                    "name it without http://, or give --insecure-http if that is what you want",
                ))
            }
            Some(_) => return Err(wrong("not an address for this kind of connection")),
        };
        let rest = rest.trim_end_matches('/');
        if rest.contains(['@', '/', '?', '#']) || rest.contains(char::is_whitespace) {
            return Err(wrong("only a host and a port may stand there"));
        }
        let colons = rest.matches(':').count();
        let (host, port) = match rest.rsplit_once(':') {
            _ if colons > 1 && !rest.starts_with('[') => (format!("[{rest}]"), None),
            Some((host, port)) if !port.ends_with(']') => (host.to_owned(), Some(port)),
            _ => (rest.to_owned(), None),
        };
        let port = match port {
            None if plain => 80,
            None => 443,
            Some(port) => {
                port.parse().ok().filter(|p| *p > 0).ok_or_else(|| wrong("the port is no number"))?
            }
        };
        if host.is_empty() {
            return Err(wrong("there is no host"));
        }
        Ok(Self { host, port })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            80 | 443 => f.write_str(&self.host),
            port => write!(f, "{}:{port}", self.host),
        }
    }
}

pub(super) fn usage(message: &str, hint: &str) -> Failure {
    Failure::new(Exit::Usage, message).hint(hint)
}

fn password_file(file: &Path) -> anyhow::Result<String> {
    use std::os::unix::fs::PermissionsExt;
    let unreadable = |e: std::io::Error| {
        usage(
            &format!("read password file {}: {e}", file.display()),
            "name a readable file with --infinibox-password-file",
        )
    };
    let about = std::fs::metadata(file).map_err(unreadable)?;
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
            "write the password into its first line",
        )
        .into());
    }
    Ok(first.to_owned())
}
