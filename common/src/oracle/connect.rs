//! How a SQL*Plus session logs on.

use std::fmt;

use crate::exit::{Exit, Failure};
use crate::secret::Secret;
use crate::settings;

/// Administrative privilege of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Sysdba,
    Sysoper,
    Sysbackup,
    Sysdg,
    Syskm,
    Sysasm,
}

impl Role {
    const ALL: [(Self, &'static str); 6] = [
        (Self::Sysdba, "SYSDBA"),
        (Self::Sysoper, "SYSOPER"),
        (Self::Sysbackup, "SYSBACKUP"),
        (Self::Sysdg, "SYSDG"),
        (Self::Syskm, "SYSKM"),
        (Self::Sysasm, "SYSASM"),
    ];

    fn named(word: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, name)| name.eq_ignore_ascii_case(word)).map(|(role, _)| *role)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::ALL.iter().find(|(role, _)| role == self).map_or("SYSDBA", |(_, name)| name);
        f.write_str(name)
    }
}

/// A logon. Its `Display` is for messages and never shows a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Connect {
    /// `/`: the operating system vouches for us (group dba).
    OsAuth { role: Option<Role> },
    /// `/@alias`: the password lies in a wallet.
    Wallet { alias: String, role: Option<Role> },
    /// User and password, locally or over `tns`.
    Password { user: String, password: Secret, tns: Option<String>, role: Option<Role> },
}

impl Connect {
    /// `/ as sysdba`.
    pub fn sysdba() -> Self {
        Self::OsAuth { role: Some(Role::Sysdba) }
    }

    /// Reads a connect string, or a whole call such as `sqlplus -s user/pw@db as sysdba`, of which the
    /// connection part is kept.
    ///
    /// Of several `@` outside quotes the last one begins the net service name.
    ///
    /// # Errors
    /// Status 64, without the text: no password, a `"` or line end in a part, nothing after the options.
    pub fn parse(text: &Secret) -> Result<Self, Failure> {
        let text = without_program(text.expose().trim())?;
        let (logon, role) = split_role(text)?;
        if logon == "/" {
            return Ok(Self::OsAuth { role });
        }
        if let Some(alias) = logon.strip_prefix("/@") {
            let alias = plain(alias, "the wallet alias")?.to_owned();
            return Ok(Self::Wallet { alias, role });
        }
        let (user, rest) = split_unquoted(logon, '/', false)
            .ok_or_else(|| usage("the connect string has no password: expected user/password@db"))?;
        let (password, tns) = match split_unquoted(rest, '@', true) {
            Some((password, tns)) => (password, Some(plain(tns, "the net service name")?.to_owned())),
            None => (rest, None),
        };
        let user = plain_or_quoted(user, "the user name")?.to_owned();
        let password = unquote(password);
        if password.is_empty() {
            return Err(usage("the connect string has no password: expected user/password@db"));
        }
        if password.contains(['"', '\n', '\r', '\0']) {
            return Err(usage("a password with a double quote or a line end cannot be given to SQL*Plus"));
        }
        Ok(Self::Password { user, password: Secret::new(password), tns, role })
    }

    /// The logon that a flag or its environment variable holds.
    ///
    /// # Errors
    /// As [`Connect::parse`]; status 64 for a password that was given by the flag.
    pub fn of_setting(text: &str, flag: &str, variable: &str) -> Result<Self, Failure> {
        let connect = Self::parse(&Secret::new(text))?;
        if connect.has_secret() && settings::on_command_line(flag) {
            let text = format!("{flag} has a password, and every user of this host can read arguments");
            return Err(Failure::new(Exit::Usage, text).hint(format!(
                "put it into {variable} in an env file with mode 600, or use a wallet (/@alias)"
            )));
        }
        Ok(connect)
    }

    /// Whether the CONNECT line must stay out of argv and logs.
    pub fn has_secret(&self) -> bool {
        matches!(self, Self::Password { .. })
    }

    /// Whether the session goes to the instance named by ORACLE_SID.
    pub fn needs_sid(&self) -> bool {
        matches!(self, Self::OsAuth { .. } | Self::Password { tns: None, .. })
    }

    /// What must be blanked in whatever the session prints.
    pub fn secrets(&self) -> Vec<Secret> {
        match self {
            Self::Password { password, .. } => vec![password.clone()],
            Self::OsAuth { .. } | Self::Wallet { .. } => Vec::new(),
        }
    }

    /// The line for standard input, password quoted and in the clear.
    pub(crate) fn line(&self) -> Secret {
        Secret::new(format!("CONNECT {}", self.logon()))
    }

    /// The line `userid=…` of a Data Pump parameter file, password in the clear.
    pub fn userid(&self) -> Secret {
        let logon = self.logon();
        let role = match self {
            Self::OsAuth { role } | Self::Wallet { role, .. } | Self::Password { role, .. } => role,
        };
        // A blank or # would end the value; a quote in the password leaves only the form without quotes around it.
        let quoted = (role.is_some() || self.has_secret()) && !logon.contains('\'');
        Secret::new(if quoted { format!("userid='{logon}'") } else { format!("userid={logon}") })
    }

    fn logon(&self) -> String {
        let (logon, role) = match self {
            Self::OsAuth { role } => ("/".to_owned(), role),
            Self::Wallet { alias, role } => (format!("/@{alias}"), role),
            Self::Password { user, password, tns, role } => {
                let at = tns.as_ref().map(|t| format!("@{t}")).unwrap_or_default();
                (format!("{user}/\"{}\"{at}", password.expose()), role)
            }
        };
        let role = role.map(|r| format!(" AS {r}")).unwrap_or_default();
        format!("{logon}{role}")
    }
}

impl fmt::Display for Connect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let role = match self {
            Self::OsAuth { role } => {
                f.write_str("/")?;
                role
            }
            Self::Wallet { alias, role } => {
                write!(f, "/@{alias}")?;
                role
            }
            Self::Password { user, tns, role, .. } => {
                write!(f, "{user}/***")?;
                if let Some(tns) = tns {
                    write!(f, "@{tns}")?;
                }
                role
            }
        };
        role.map_or(Ok(()), |role| write!(f, " as {}", role.to_string().to_lowercase()))
    }
}

fn usage(message: &str) -> Failure {
    Failure::new(Exit::Usage, message).hint(
        "give \"/ as sysdba\", \"/@wallet_alias\" or \"user/password@db\" by the environment or a 0600 file",
    )
}

/// Drops `…/sqlplus -S -L` and the quotes around the rest.
fn without_program(text: &str) -> Result<&str, Failure> {
    let mut rest = text;
    let first = rest.split_whitespace().next().unwrap_or_default();
    if first.rsplit('/').next() == Some("sqlplus") && first != "/" {
        rest = rest[first.len()..].trim_start();
        while let Some(option) = rest.strip_prefix('-') {
            let word = option.split_whitespace().next().unwrap_or_default();
            rest = option[word.len()..].trim_start();
            let takes_value = matches!(word, "R" | "r" | "C" | "c" | "M" | "m");
            if takes_value {
                let value = rest.split_whitespace().next().unwrap_or_default();
                rest = rest[value.len()..].trim_start();
            }
        }
    }
    for quote in ['\'', '"'] {
        let inner = rest.strip_prefix(quote).and_then(|r| r.strip_suffix(quote));
        if let Some(inner) = inner.filter(|i| i.contains('/') && !i.contains(quote)) {
            rest = inner.trim();
        }
    }
    if rest.is_empty() || rest.eq_ignore_ascii_case("/nolog") {
        return Err(usage("the connect string is empty"));
    }
    Ok(rest)
}

fn split_role(text: &str) -> Result<(&str, Option<Role>), Failure> {
    let words: Vec<&str> = text.split_whitespace().collect();
    if let [.., word, role] = words.as_slice() {
        let start = text.len() - role.len();
        let in_password = text[..start].matches('"').count() % 2 == 1;
        if word.eq_ignore_ascii_case("as") && !in_password {
            let known = Role::named(role).ok_or_else(|| {
                usage("the connect string ends in \"as\" and a privilege that is not known")
            })?;
            let logon = text[..start].trim_end();
            return Ok((logon[..logon.len() - word.len()].trim_end(), Some(known)));
        }
    }
    Ok((text, None))
}

/// Splits at the first or last `separator` that is not inside double quotes.
fn split_unquoted(text: &str, separator: char, last: bool) -> Option<(&str, &str)> {
    let mut quoted = false;
    let mut at = None;
    for (i, c) in text.char_indices() {
        match c {
            '"' => quoted = !quoted,
            c if c == separator && !quoted && (last || at.is_none()) => at = Some(i),
            _ => {}
        }
    }
    at.map(|i| (&text[..i], &text[i + separator.len_utf8()..]))
}

fn unquote(text: &str) -> &str {
    text.strip_prefix('"').and_then(|t| t.strip_suffix('"')).unwrap_or(text)
}

fn plain<'a>(text: &'a str, what: &str) -> Result<&'a str, Failure> {
    if text.is_empty() || text.contains(['"', '\n', '\r', '\0']) {
        return Err(usage(&format!("{what} in the connect string is empty or holds a quote or a line end")));
    }
    Ok(text)
}

fn plain_or_quoted<'a>(text: &'a str, what: &str) -> Result<&'a str, Failure> {
    plain(unquote(text), what).map(|_| text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Connect, Failure> {
        Connect::parse(&Secret::new(text))
    }

    fn line(text: &str) -> String {
        parse(text).unwrap().line().expose().to_owned()
    }

    #[test]
    fn connection_parts_of_calls() {
        for (text, expected) in [
            ("/ as sysdba", "CONNECT / AS SYSDBA"),
            ("/", "CONNECT /"),
            ("sqlplus -s / as sysdba", "CONNECT / AS SYSDBA"),
            ("sqlplus -S -L \"/ AS SYSBACKUP\"", "CONNECT / AS SYSBACKUP"),
            ("/u01/bin/sqlplus -R 3 -s '/@prod as sysdba'", "CONNECT /@prod AS SYSDBA"),
            ("/@prod", "CONNECT /@prod"),
            ("sys/manager@db as sysdba", "CONNECT sys/\"manager\"@db AS SYSDBA"),
            ("scott/tiger", "CONNECT scott/\"tiger\""),
            ("scott/p@ss/w@//h:1521/svc", "CONNECT scott/\"p@ss/w\"@//h:1521/svc"),
            ("scott/\"p@ss as x\"@db", "CONNECT scott/\"p@ss as x\"@db"),
            ("\"My User\"/pw@db", "CONNECT \"My User\"/\"pw\"@db"),
            ("proxy[app]/pw@db", "CONNECT proxy[app]/\"pw\"@db"),
        ] {
            assert_eq!(line(text), expected, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_given_safely_is_refused_without_showing_it() {
        for text in [
            "scott@db",
            "scott/@db",
            "scott/ti\"ger@db",
            "scott/ti\nger",
            "",
            "sqlplus -s /nolog",
            "a/b@d as king",
        ] {
            let failure = parse(text).unwrap_err();
            assert_eq!(failure.exit, Exit::Usage, "{text}");
            assert!(!failure.message.contains("ger"), "{}", failure.message);
        }
    }

    #[test]
    fn nothing_that_prints_shows_the_password() {
        let connect = parse("scott/tiger@db as sysdba").unwrap();
        assert_eq!(connect.to_string(), "scott/***@db as sysdba");
        assert!(!format!("{connect:?} {}", connect.line()).contains("tiger"));
        assert!(connect.has_secret() && !connect.needs_sid());
        assert!(!Connect::sysdba().has_secret() && Connect::sysdba().needs_sid());
    }
}
