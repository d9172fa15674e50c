//! Which schemas to export, and as whom.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use common::exit::{status_of, Exit, Failure};
use common::oracle::connect::Connect;
use common::secret::Secret;
use common::values::duration;
use serde::Deserialize;

/// One schema to export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// As in the dictionary: upper case unless it was quoted.
    pub schema: String,
    pub connect: Connect,
    pub timeout: Option<Duration>,
    /// Keys that mean nothing here: perhaps a misspelt `timeout`.
    pub unknown: Vec<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
struct Raw {
    user: Option<String>,
    schema: Option<String>,
    password: Option<String>,
    password_env: Option<String>,
    password_file: Option<PathBuf>,
    wallet: Option<String>,
    service: Option<String>,
    timeout: Option<Timeout>,
    #[serde(flatten)]
    unknown: BTreeMap<String, serde::de::IgnoredAny>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum Timeout {
    Seconds(u64),
    Text(String),
}

/// Whether a line carries a password in the clear, or may do so; such a line is not passed on.
///
/// A key that is misspelt, or a line that is no JSON (a piece of a list over several lines, a comma too many), holds it
/// as well.
pub fn has_password(line: &[u8]) -> bool {
    let secret = |text: &str| {
        let text = text.to_lowercase();
        ["passw", "pwd", "senha", "secret"].iter().any(|word| text.contains(word))
    };
    match serde_json::from_slice::<BTreeMap<String, serde::de::IgnoredAny>>(line) {
        Ok(object) => {
            object.keys().any(|k| !matches!(k.as_str(), "password_env" | "password_file") && secret(k))
        }
        Err(_) => secret(&String::from_utf8_lossy(line)),
    }
}

const EXAMPLE: &str = "for example {\"user\":\"GOLD\",\"password_env\":\"GOLD_PW\"}";

/// Shows what a line has to look like; the exit status stays.
pub fn with_example(error: anyhow::Error) -> anyhow::Error {
    let exit = status_of(&error);
    error.context(Failure::new(exit, "not a schema spec").hint(EXAMPLE))
}

/// Reads one line of standard input.
///
/// # Errors
/// Not a schema spec, or one with a password in it: the line would be passed on to the next tool and into its logs.
pub fn from_line(line: &[u8], service: Option<&str>) -> anyhow::Result<Spec> {
    // The error of the parser may quote what it has read; only the place is told.
    let raw: Raw = serde_json::from_slice(line).map_err(|e| {
        let what = format!("no schema spec: a value that was not expected, column {}", e.column());
        Failure::new(Exit::Failed, what).hint(EXAMPLE)
    })?;
    if raw.password.is_some() {
        return Err(Failure::new(Exit::Usage, "a schema spec on standard input has a password in the clear")
            .hint("use password_env, password_file (mode 600) or a wallet: lines travel on through the pipe")
            .into());
    }
    resolve(raw, service)
}

/// Reads the original's setting: a JSON list. Passwords are allowed in it, for the environment is where secrets live.
///
/// # Errors
/// Not such a list; names the position of a bad entry and never its text.
pub fn from_setting(text: &str, service: Option<&str>) -> anyhow::Result<Vec<anyhow::Result<Spec>>> {
    // The error of the parser may quote what it has read; only the place is told.
    let list: Vec<Raw> = serde_json::from_str(text).map_err(|e| {
        let what =
            format!("ORACLE_USERS is not a JSON list of schemas (line {}, column {})", e.line(), e.column());
        Failure::new(Exit::Usage, what)
            .hint("expected [{\"user\":\"GOLD\",\"password\":\"…\",\"schema\":\"GOLD\"}]")
    })?;
    let named =
        |(index, raw)| resolve(raw, service).with_context(|| format!("entry {} of ORACLE_USERS", index + 1));
    Ok(list.into_iter().enumerate().map(named).collect())
}

/// A schema named on the command line, exported by the connection of `--connect`.
pub fn from_name(schema: &str, connect: &Connect) -> anyhow::Result<Spec> {
    Ok(Spec {
        schema: dictionary_name(schema)?,
        connect: connect.clone(),
        timeout: None,
        unknown: Vec::new(),
    })
}

fn resolve(raw: Raw, service: Option<&str>) -> anyhow::Result<Spec> {
    let schema = raw.schema.as_deref().or(raw.user.as_deref()).ok_or_else(|| {
        Failure::new(Exit::Usage, "a schema spec without \"schema\" and without \"user\"").hint(EXAMPLE)
    })?;
    let schema = dictionary_name(schema)?;
    let timeout =
        raw.timeout.as_ref().map(limit).transpose().with_context(|| format!("schema {schema}: timeout"))?;
    let connect = connect(&raw, service).with_context(|| format!("schema {schema}"))?;
    Ok(Spec { schema, connect, timeout, unknown: raw.unknown.into_keys().collect() })
}

fn limit(timeout: &Timeout) -> anyhow::Result<Duration> {
    let text = match timeout {
        Timeout::Seconds(seconds) => seconds.to_string(),
        Timeout::Text(text) => text.clone(),
    };
    duration(&text).map_err(|e| Failure::new(Exit::Usage, format!("{text:?}: {e}")).into())
}

fn connect(raw: &Raw, service: Option<&str>) -> anyhow::Result<Connect> {
    let tns = raw.service.as_deref().or(service).filter(|s| !s.is_empty());
    let ways = [
        raw.password.is_some(),
        raw.password_env.is_some(),
        raw.password_file.is_some(),
        raw.wallet.is_some(),
    ];
    if ways.iter().filter(|w| **w).count() > 1 {
        return Err(Failure::new(
            Exit::Usage,
            "more than one of password, password_env, password_file, wallet",
        )
        .into());
    }
    if let Some(alias) = &raw.wallet {
        return Ok(Connect::parse(&Secret::new(format!("/@{alias}")))?);
    }
    let password = match (&raw.password, &raw.password_env, &raw.password_file) {
        (Some(password), _, _) => Secret::new(password),
        (_, Some(name), _) => from_environment(name)?,
        (_, _, Some(path)) => from_file(path)?,
        // The operating system vouches for the owner of the software, as it does for the other tools.
        (None, None, None) if raw.user.is_none() => return Ok(Connect::sysdba()),
        (None, None, None) => {
            let mut what = "a user without password_env, password_file or wallet".to_owned();
            let unknown: Vec<String> = raw.unknown.keys().map(|key| format!("{key:?}")).collect();
            if !unknown.is_empty() {
                what.push_str(&format!("; unknown key {} is ignored", unknown.join(", ")));
            }
            return Err(Failure::new(Exit::Usage, what)
                .hint("without \"user\" the export runs as / as sysdba")
                .into());
        }
    };
    let user = raw.user.as_deref().or(raw.schema.as_deref()).unwrap_or_default();
    let at = tns.map(|t| format!("@{t}")).unwrap_or_default();
    Ok(Connect::parse(&Secret::new(format!("{user}/\"{}\"{at}", password.expose())))?)
}

fn from_environment(name: &str) -> anyhow::Result<Secret> {
    match std::env::var(name) {
        Ok(text) if !text.is_empty() => Ok(Secret::new(text)),
        _ => Err(Failure::new(Exit::Usage, format!("environment variable {name} is not set"))
            .hint(format!("set {name}, for example in the file named by ORAPIPE_ENV_FILE"))
            .into()),
    }
}

fn from_file(path: &Path) -> anyhow::Result<Secret> {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(path)
        .map_err(|e| Failure::new(Exit::Usage, format!("read password file {}: {e}", path.display())))?
        .permissions()
        .mode();
    if mode & 0o077 != 0 {
        return Err(Failure::new(
            Exit::Refused,
            format!("password file {}: others may read it", path.display()),
        )
        .hint(format!("chmod 600 {}", path.display()))
        .into());
    }
    let text =
        std::fs::read_to_string(path).with_context(|| format!("read password file {}", path.display()))?;
    let text = text.trim_end_matches(['\n', '\r']);
    if text.is_empty() {
        return Err(Failure::new(Exit::Usage, format!("password file {} is empty", path.display())).into());
    }
    Ok(Secret::new(text))
}

/// The name as the dictionary has it: quoted as written, else in capitals.
fn dictionary_name(text: &str) -> anyhow::Result<String> {
    let name = match text.strip_prefix('"').and_then(|t| t.strip_suffix('"')) {
        Some(quoted) => quoted.to_owned(),
        None => text.trim().to_uppercase(),
    };
    let bad = |c: char| c == '"' || c.is_control();
    if name.is_empty() || name.len() > 128 || name.contains(bad) {
        return Err(Failure::new(Exit::Usage, format!("{text:?} is not the name of a schema")).into());
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_needs_no_more_than_a_schema() {
        let spec = from_line(br#"{"schema":"hr"}"#, Some("prod")).unwrap();
        assert_eq!(spec.schema, "HR");
        assert_eq!(spec.connect, Connect::sysdba());
    }

    #[test]
    fn the_user_is_the_schema_and_the_service_comes_from_the_setting() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pw");
        std::fs::write(&file, "tiger\n").unwrap();
        let line = format!(r#"{{"user":"gold","password_file":"{}","timeout":"3h"}}"#, file.display());
        let open = from_line(line.as_bytes(), Some("prod")).unwrap_err();
        assert!(open.to_string().contains("schema GOLD"), "{open:#}");
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let spec = from_line(line.as_bytes(), Some("prod")).unwrap();
        assert_eq!(spec.connect.to_string(), "gold/***@prod");
        assert_eq!(spec.timeout, Some(Duration::from_secs(3 * 3600)));
    }

    #[test]
    fn a_password_in_a_line_is_refused_and_not_shown() {
        let line = br#"{"user":"gold","password":"tiger"}"#;
        assert!(has_password(line));
        let error = format!("{:#}", from_line(line, None).unwrap_err());
        assert!(error.contains("password in the clear") && !error.contains("tiger"), "{error}");
    }

    #[test]
    fn what_may_hold_a_password_is_not_passed_on() {
        for line in [
            &br#"{"user":"gold","password":"tiger",}"#[..],
            br#"  "password": "tiger","#,
            br#"[{"user":"gold","password":"tiger"},{"user":"fin","password":"lion"}]"#,
            br#"{"password":"a","password":"tiger"}"#,
            br#"{"user":"gold","Passwd":"tiger"}"#,
            br#"{"user":"gold","senha":"tiger"}"#,
        ] {
            assert!(has_password(line), "{}", String::from_utf8_lossy(line));
        }
        for line in [
            &br#"{"user":"gold","password_env":"GOLD_PW"}"#[..],
            br#"{"user":"gold","password_file":"/x"}"#,
            br#"{"type":"log","message":"the password will expire"}"#,
            b"not json",
        ] {
            assert!(!has_password(line), "{}", String::from_utf8_lossy(line));
        }
        let error = format!("{:#}", from_line(br#"{"user":"gold","password":47111174}"#, None).unwrap_err());
        assert!(!error.contains("47111174"), "{error}");
    }

    #[test]
    fn the_originals_list_may_hold_passwords_and_never_shows_them() {
        let text = r#"[{"user":"GOLD","password":"ti\"ger","schema":"GOLD"},{"user":"IMG","password":"lion","schema":"IMG_HORIZONTE"}]"#;
        let specs = from_setting(text, Some("prod")).unwrap();
        assert!(specs[0].as_ref().unwrap_err().to_string().contains("entry 1"));
        assert_eq!(specs[1].as_ref().unwrap().schema, "IMG_HORIZONTE");
        let error =
            format!("{:#}", from_setting(r#"[{"user":"GOLD","password":"tiger",}]"#, None).unwrap_err());
        assert!(!error.contains("tiger"), "{error}");
    }

    #[test]
    fn a_misspelt_key_is_told_where_it_leaves_no_way_to_log_on() {
        let line = br#"{"user":"GOLD","pasword_file":"/x"}"#;
        let error = from_line(line, None).unwrap_err();
        assert!(format!("{error:#}").contains("unknown key \"pasword_file\""), "{error:#}");
        assert_eq!(status_of(&error), Exit::Usage);
    }

    #[test]
    fn a_line_that_is_no_json_gets_an_example_and_keeps_its_status() {
        let error = with_example(anyhow::anyhow!("line 1: not JSON"));
        assert_eq!(status_of(&error), Exit::Failed);
        let hint = common::exit::failure(&error).and_then(|f| f.hint.clone()).unwrap();
        assert_eq!(hint, "for example {\"user\":\"GOLD\",\"password_env\":\"GOLD_PW\"}");
        let error = from_line(br#"{"user":7}"#, None).unwrap_err();
        assert_eq!(status_of(&error), Exit::Failed);
        assert_eq!(common::exit::failure(&error).and_then(|f| f.hint.clone()).unwrap(), hint);
    }

    #[test]
    fn a_misspelt_key_is_told() {
        let spec = from_line(br#"{"schema":"hr","timeuot":"3h"}"#, None).unwrap();
        assert_eq!(spec.unknown, ["timeuot"]);
    }
}
