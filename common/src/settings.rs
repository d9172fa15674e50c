//! flag > environment variable > env file > default, and where each value came from.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::exit::{Exit, Failure};

/// The settings of all nine tools and scripts: what a line of an env file may set without being called a typo.
const KNOWN: &[&str] = &[
    "ORACLE_HOME",
    "ORACLE_SID",
    "ORACLE_BASE",
    "ORATAB",
    "TNS_ADMIN",
    "NLS_LANG",
    "PATH",
    "TZ",
    "LANG",
    "LC_ALL",
    "LD_LIBRARY_PATH",
    "DB_NAME",
    "ORAPIPE_ALLOW_ROOT",
    "ORAPIPE_ENV_FILE",
    "SQLPLUS_CONNECTION_STRING",
    "SOURCEBASEDIR",
    "DESTBASEDIR",
    "DEST_ARCHLOG_DIR",
    "DESTBASEDIR_U15",
    "DRSERVER",
    "DEST_HOST",
    "SSHUSER",
    "DEST_USER",
    "SSH_OPTIONS",
    "STANDBY_PROFILE",
    "STANDBY_ORACLE_HOME",
    "STANDBY_SID",
    "MAXWORKERS",
    "SEQ_FILTER_MIN",
    "SEQ_FILTER_MAX",
    "THREAD",
    "DISCOVER",
    "APPLIED",
    "SCN_CUTOFF",
    "SLEEP_INTERVAL",
    "PATH_MAP",
    "DEST_DATAFILE_BASE",
    "DEST_STANDBY_DIR",
    "DRILL_QUERIES",
    "DRILL_PFILE",
    "DRILL_MANUAL",
    "DRILL_LOCK_WAIT",
    "PROMETHEUS_DIR",
    "PARALLEL_WORKERS",
    "EXCLUDE_TS",
    "CORE_TS",
    "STATE_DIR",
    "LOG_DIR",
    "RMAN_TARGET_CONNECT_STRING",
    "RMAN_CATALOG_CONNECT_STRING",
    "TEMP_BACKUP_DIR",
    "RESTORE_SOURCE_DIR",
    "S3_BUCKET_NAME",
    "S3_BACKUP_PREFIX",
    "S3_LOG_PREFIX",
    "AWS_REGION",
    "AWS_PROFILE",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "ORACLE_USERS",
    "ORACLE_DIRECTORY",
    "ORACLE_SERVICE",
    "DB_FOLDER",
    "CLOUD_FOLDER",
    "RETENTION_DAYS",
    "KEEP_MINIMUM_BACKUPS",
    "MAX_TOTAL_BACKUPS",
    "ORACLE_SERVER",
    "REPLICATED_DATA_VOLUMES",
    "REPLICATED_ARCHIVE_VOLUMES",
    "SOURCE_INFINIBOX",
    "SOURCE_INFINIBOX_USER",
    "SOURCE_INFINIBOX_PASSWORD",
    "SOURCE_INFINIBOX_PASSWORD_FILE",
    "SOURCE_INFINIBOX_CA_FILE",
    "SMTP_SERVER",
    "SMTP_PORT",
    "SMTP_TLS",
    "SMTP_CA_FILE",
    "SMTP_USERNAME",
    "SMTP_PASSWORD",
    "SMTP_PASSWORD_FILE",
    "EMAIL_FROM",
    "EMAIL_TO",
    // Second names, what the AWS SDK reads, and what only the scripts read.
    "AWS_DEFAULT_REGION",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_S3",
    "SOURCE_INFINIBOX_CA_FILE",
    "SOURCE_INFINIBOX_PASSWORD_FILE",
    "DR_MONITOR_INTERVAL",
    "DR_SESSION",
    "DR_STOP_LIMIT",
    "ORAPIPE_BIN",
];

/// Every name that a line of an env file may set without being called a typo.
pub fn known() -> impl Iterator<Item = &'static str> {
    KNOWN.iter().copied()
}

/// What was read from `--env-file` or `ORAPIPE_ENV_FILE`.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct EnvFile {
    pub path: Option<PathBuf>,
    /// Names that the file set because the environment had not.
    pub used: BTreeSet<String>,
    pub warnings: Vec<String>,
}

/// Loads the file that the arguments or the environment name into our own environment.
///
/// The environment wins over the file. Runs before clap, which then sees one environment, and before any thread.
///
/// # Errors
/// [`Exit::Usage`] for an unreadable file or a line that is none; [`Exit::Refused`] for a file with a secret that
/// others may read.
pub fn load_env_file(args: &[std::ffi::OsString]) -> anyhow::Result<EnvFile> {
    let named = named_by_args(args).or_else(|| std::env::var_os("ORAPIPE_ENV_FILE").map(PathBuf::from));
    let Some(path) = named.filter(|p| !p.as_os_str().is_empty()) else { return Ok(EnvFile::default()) };
    let text = std::fs::read(&path).map_err(|e| {
        Failure::new(Exit::Usage, format!("read env file {}: {e}", path.display()))
            .hint("name a readable file with --env-file or ORAPIPE_ENV_FILE")
    })?;
    let text = String::from_utf8_lossy(&text);
    let pairs = parse(&text).map_err(|(number, what)| {
        Failure::new(Exit::Usage, format!("env file {}: line {number}: {what}", path.display()))
            .hint("a line is NAME=value; quotes are allowed, $ is not expanded")
    })?;
    let mode = std::fs::metadata(&path)
        .with_context(|| format!("look at env file {}", path.display()))?
        .permissions()
        .mode();
    if let Some((name, _)) = pairs.iter().find(|(name, value)| holds_secret(name, value)) {
        if mode & 0o077 != 0 {
            return Err(Failure::new(
                Exit::Refused,
                format!("env file {} holds {name} and others may read it", path.display()),
            )
            .hint(format!("chmod 600 {}", path.display()))
            .into());
        }
    }
    let mut file = EnvFile { path: Some(path), ..EnvFile::default() };
    for (name, value) in pairs {
        if let Some(known) = typo_of(&name) {
            file.warnings.push(format!("env file: unknown setting {name}; did you mean {known}?"));
        }
        if std::env::var_os(&name).is_none() {
            std::env::set_var(&name, value);
            file.used.insert(name);
        }
    }
    Ok(file)
}

/// Whether a flag (`--connect`) was given as an argument, which every user of the host can read.
pub fn on_command_line(flag: &str) -> bool {
    // A path among the arguments may hold any bytes.
    std::env::args_os().skip(1).any(|argument| {
        let argument = argument.to_string_lossy();
        argument.strip_prefix(flag).is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
    })
}

/// Gives a setting the value of its second name where only that one is set, as the originals differ in names.
///
/// Runs before clap, as [`load_env_file`].
pub fn alias(from: &str, to: &str, file: &mut EnvFile) {
    if std::env::var_os(to).is_none() {
        if let Some(value) = std::env::var_os(from) {
            std::env::set_var(to, value);
            if file.used.contains(from) {
                file.used.insert(to.to_owned());
            }
        }
    }
}

/// Takes settings out of the environment that are there but empty: `DEST_HOST=` in an env file means "none".
///
/// Runs before clap, as [`load_env_file`].
pub fn unset_empty(command: &clap::Command) {
    for name in command.get_arguments().filter_map(clap::Arg::get_env) {
        if std::env::var_os(name).is_some_and(|value| value.is_empty()) {
            std::env::remove_var(name);
        }
    }
}

fn named_by_args(args: &[std::ffi::OsString]) -> Option<PathBuf> {
    let mut args = args.iter().skip(1);
    while let Some(arg) = args.next() {
        match arg.to_string_lossy().as_ref() {
            "--" => return None,
            "--env-file" => return args.next().map(PathBuf::from),
            text => {
                if let Some(path) = text.strip_prefix("--env-file=") {
                    return Some(PathBuf::from(path));
                }
            }
        }
    }
    None
}

/// `.env` syntax: `NAME=value`, `export`, single or double quotes, `#` comments, CRLF. Nothing is expanded.
fn parse(text: &str) -> Result<Vec<(String, String)>, (usize, &'static str)> {
    let mut pairs = Vec::new();
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let line = line.strip_prefix("export ").map_or(line, str::trim_start);
        let (name, value) = line.split_once('=').ok_or((index + 1, "no = in it"))?;
        let name = name.trim();
        let valid = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if name.is_empty() || !name.chars().all(valid) || name.starts_with(|c: char| c.is_ascii_digit()) {
            return Err((index + 1, "the name before = is not a variable name"));
        }
        let value = unquote(value.trim()).ok_or((index + 1, "a quote is not closed"))?;
        pairs.push((name.to_owned(), value));
    }
    Ok(pairs)
}

fn unquote(value: &str) -> Option<String> {
    for quote in ['"', '\''] {
        if let Some(rest) = value.strip_prefix(quote) {
            let (inside, after) = rest.split_once(quote)?;
            let after = after.trim();
            // Text after the closing quote that is no comment belongs to a value that merely begins with a quote.
            return (after.is_empty() || after.starts_with('#')).then(|| inside.to_owned());
        }
    }
    let end = value.find(" #").unwrap_or(value.len());
    Some(value[..end].trim_end().to_owned())
}

/// Whether this setting is one that nobody else may read.
pub fn holds_secret(name: &str, value: &str) -> bool {
    let named = ["PASSWORD", "PASSWD", "SECRET", "TOKEN", "SENHA"].iter().any(|word| name.contains(word))
        || ["_PW", "_PWD"].iter().any(|end| name.ends_with(end))
        // The original's list of schemas with their passwords.
        || (name == "ORACLE_USERS" && value.contains("\"password\""));
    let file = name.ends_with("_FILE");
    let connect = name.contains("CONNECT") && user_and_password(value).is_some();
    (named && !file || connect) && !value.is_empty()
}

/// User and password of a connect string `user/password[@tns]`; `None` for `/`, `/@alias` and a user alone.
pub fn user_and_password(text: &str) -> Option<(&str, &str)> {
    let (user, rest) = text.trim().split_once('/')?;
    let password = if let Some(quoted) = rest.strip_prefix('"') {
        quoted.split_once('"')?.0
    } else {
        rest.split(['@', ' ']).next()?
    };
    (!user.is_empty() && !user.contains(' ') && !password.is_empty()).then_some((user, password))
}

/// Whether a password stands in an address, before its @: `user:password@host`.
fn has_userinfo(text: &str) -> bool {
    text.rsplit_once('@').is_some_and(|(before, _)| before.contains(':'))
}

/// Names of the settings that are set in our environment and hold a secret: what a child has no use for.
pub fn secrets_in_environment() -> Vec<String> {
    let value = |name: &str| Some(std::env::var_os(name)?.to_string_lossy().into_owned());
    let secret = known().filter(|name| value(name).is_some_and(|v| holds_secret(name, &v)));
    secret.map(str::to_owned).collect()
}

fn typo_of(name: &str) -> Option<&'static str> {
    if KNOWN.contains(&name) {
        return None;
    }
    KNOWN.iter().copied().filter(|k| k.len() > 4).find(|known| distance(known, name) <= 2)
}

/// Edits between two names, counted only as far as "more than two".
fn distance(a: &str, b: &str) -> usize {
    if a.len().abs_diff(b.len()) > 2 {
        return 3;
    }
    let (a, b): (Vec<_>, Vec<_>) = (a.bytes().collect(), b.bytes().collect());
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let cost = usize::from(x != y);
            let next = (diagonal + cost).min(row[j] + 1).min(row[j + 1] + 1);
            diagonal = row[j + 1];
            row[j + 1] = next;
        }
    }
    row[b.len()]
}

/// One line per setting for `--show-config`: name, value, source. Secrets show as `***`.
///
/// A setting that nobody gave shows its directory of `directories` (by id), else the default that its help names.
pub fn show(
    command: &clap::Command,
    matches: &clap::ArgMatches,
    file: &EnvFile,
    directories: &[(&str, PathBuf)],
) -> Vec<String> {
    let mut lines = Vec::new();
    for arg in command.get_arguments() {
        let Some(long) = arg.get_long() else { continue };
        let id = arg.get_id().as_str();
        if matches!(id, "help" | "version" | "show_config" | "explain") || arg.is_hide_set() {
            continue;
        }
        let env = arg.get_env().map(|e| e.to_string_lossy().into_owned());
        let values: Vec<String> = match matches.try_get_raw(id) {
            Ok(Some(values)) => values.map(|v| v.to_string_lossy().into_owned()).collect(),
            _ => Vec::new(),
        };
        let secret = arg.is_hide_env_values_set()
            || values.iter().any(|v| user_and_password(v).is_some())
            || has_userinfo(&values.join(","));
        let shown = match (values.is_empty(), secret) {
            (true, _) => match directories.iter().find(|(name, _)| *name == id) {
                Some((_, path)) => path.display().to_string(),
                None => default_in_help(arg).unwrap_or_else(|| "(none)".to_owned()),
            },
            (false, true) => "***".to_owned(),
            (false, false) => values.join(", "),
        };
        let source = match (matches.value_source(id), &env) {
            (Some(clap::parser::ValueSource::CommandLine), _) => "command line".to_owned(),
            (Some(clap::parser::ValueSource::EnvVariable), Some(env)) if file.used.contains(env) => {
                let path = file.path.as_deref().unwrap_or(Path::new(""));
                format!("{env} in {}", path.display())
            }
            (Some(clap::parser::ValueSource::EnvVariable), Some(env)) => format!("environment {env}"),
            _ => "default".to_owned(),
        };
        lines.push(format!("--{long} = {shown}  [{source}]"));
    }
    lines
}

/// The text of `[default: …]` in a flag's help, as far as the first semicolon; `None` for "none".
fn default_in_help(arg: &clap::Arg) -> Option<String> {
    let help = arg.get_help()?.to_string();
    let (text, _) = help.split_once("[default: ")?.1.split_once(']')?;
    let text = text.split(';').next().unwrap_or(text).trim();
    (text != "none" && !text.starts_with("none,")).then(|| format!("({text})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_syntax_that_shells_and_python_write() {
        let text =
            "\u{feff}# comment\r\nexport DEST_HOST=dr1 # the DR host\r\nSSH_OPTIONS=\"-p 2222 -i 'k y'\"\r\n\
                    A='x # y'\n  B =  $HOME/x \nC=\n";
        let pairs = parse(text).unwrap();
        let expected = [
            ("DEST_HOST", "dr1"),
            ("SSH_OPTIONS", "-p 2222 -i 'k y'"),
            ("A", "x # y"),
            ("B", "$HOME/x"),
            ("C", ""),
        ];
        assert_eq!(pairs, expected.map(|(n, v)| (n.to_owned(), v.to_owned())));
    }

    #[test]
    fn names_the_line_that_is_none() {
        assert_eq!(parse("A=1\nnonsense\n").unwrap_err(), (2, "no = in it"));
        assert_eq!(parse("1A=1").unwrap_err().0, 1);
        assert_eq!(parse("A=\"x").unwrap_err(), (1, "a quote is not closed"));
    }

    #[test]
    fn knows_what_is_secret() {
        assert!(holds_secret("SMTP_PASSWORD", "x"));
        assert!(
            holds_secret("GOLD_PW", "x") && !holds_secret("PWD", "/home") && !holds_secret("OLDPWD", "/")
        );
        assert!(holds_secret("ORACLE_USERS", r#"[{"user":"GOLD","password":"x"}]"#));
        assert!(!holds_secret("ORACLE_USERS", r#"[{"user":"GOLD","password_env":"GOLD_PW"}]"#));
        assert!(holds_secret("SQLPLUS_CONNECTION_STRING", "sys/oracle@prod as sysdba"));
        assert!(!holds_secret("SQLPLUS_CONNECTION_STRING", "/ as sysdba"));
        assert!(!holds_secret("SQLPLUS_CONNECTION_STRING", "/@prod"));
        assert!(!holds_secret("SMTP_PASSWORD", ""));
        assert!(!holds_secret("SMTP_PASSWORD_FILE", "/etc/x"));
    }

    #[test]
    fn a_typo_is_named_and_a_foreign_variable_is_not() {
        assert_eq!(typo_of("DEST_HOTS"), Some("DEST_HOST"));
        assert_eq!(typo_of("MAXWORKER"), Some("MAXWORKERS"));
        assert_eq!(typo_of("DEST_HOST"), None);
        assert_eq!(typo_of("MY_SITE_SETTING"), None);
    }

    #[test]
    fn the_env_file_is_found_in_the_arguments() {
        let args = |list: &[&str]| list.iter().map(Into::into).collect::<Vec<std::ffi::OsString>>();
        assert_eq!(named_by_args(&args(&["t", "--env-file", "/e"])), Some("/e".into()));
        assert_eq!(named_by_args(&args(&["t", "-v", "--env-file=/e"])), Some("/e".into()));
        assert_eq!(named_by_args(&args(&["t", "--", "--env-file=/e"])), None);
    }
}
