//! The last lines of the logs: of `log` records, and of the log files that the records name.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use common::secret::{redact, Secret};
use common::settings;
use serde::de::IgnoredAny;
use serde::Deserialize;

use crate::format;

/// Lines that a mail shows.
pub const LINES: usize = 100;
/// Log files of which the end is shown: the last ones that were named.
const FILES: usize = 5;
/// A log file is read only so far from its end.
const TAIL: u64 = 64 * 1024;
/// Longest line that is kept.
const WIDTH: usize = 400;

/// Lines as they come, the oldest forgotten.
#[derive(Debug, Default)]
pub struct Logs {
    lines: VecDeque<String>,
    forgotten: u64,
    files: VecDeque<String>,
}

impl Logs {
    pub fn line(&mut self, text: &str) {
        if self.lines.len() == LINES {
            self.lines.pop_front();
            self.forgotten += 1;
        }
        self.lines.push_back(format::clean(text, WIDTH));
    }

    /// A log file whose end shall be shown. It is read by [`Logs::finish`].
    pub fn file(&mut self, path: &str) {
        self.files.retain(|f| f != path);
        if self.files.len() == FILES {
            self.files.pop_front();
        }
        self.files.push_back(path.to_owned());
    }

    /// The last [`LINES`] lines of all: each file has an equal part of half of them, the records have the rest.
    pub fn finish(self, secrets: &[Secret]) -> Vec<String> {
        let part = if self.files.is_empty() { 0 } else { (LINES / 2 / self.files.len()).max(10) };
        let mut tails = Vec::new();
        for path in &self.files {
            tails.push(format!("== {path} =="));
            match tail(Path::new(path), part.saturating_sub(1)) {
                Ok(lines) => tails.extend(lines),
                Err(error) => tails.push(format!("({error})")),
            }
        }
        let room = LINES.saturating_sub(tails.len());
        let skip = self.lines.len().saturating_sub(room);
        let mut lines: Vec<String> = self.lines.into_iter().skip(skip).collect();
        lines.extend(tails);
        for line in &mut lines {
            let bytes = redact(line.as_bytes(), secrets);
            *line = format::clean(&String::from_utf8_lossy(&bytes), WIDTH);
        }
        lines
    }
}

/// The last lines of a regular file; a pipe or a device would hang or never end.
fn tail(path: &Path, lines: usize) -> std::io::Result<Vec<String>> {
    let about = std::fs::metadata(path)?;
    if !about.is_file() {
        return Err(std::io::Error::other("not a regular file"));
    }
    let mut file = File::open(path)?;
    let start = file.metadata()?.len().saturating_sub(TAIL);
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.take(TAIL).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let mut all: Vec<&str> = text.lines().filter(|l| !l.trim().is_empty()).collect();
    if start > 0 && all.len() > 1 {
        // The first is the end of a line.
        all.remove(0);
    }
    let skip = all.len().saturating_sub(lines);
    Ok(all[skip..].iter().map(|l| format::clean(l, WIDTH)).collect())
}

/// The secrets in our own environment: the env file is often shared by the whole pipeline. Short ones would blank
/// half of the words.
pub fn secrets() -> Vec<Secret> {
    let vars = std::env::vars_os();
    secrets_in(&vars.filter_map(|(n, v)| Some((n.into_string().ok()?, v.into_string().ok()?))).collect())
}

fn secrets_in(vars: &BTreeMap<String, String>) -> Vec<Secret> {
    let named = vars.iter().filter(|(name, value)| settings::holds_secret(name, value));
    let mut all: Vec<String> = named
        .flat_map(|(_, value)| {
            // A password may have a slash in it and look like a logon.
            let inside = settings::user_and_password(value).map(|(_, password)| password.to_owned());
            [Some(value.clone()), inside]
        })
        .flatten()
        .collect();
    all.extend(vars.get("ORACLE_USERS").into_iter().flat_map(|list| of_users(list, vars)));
    all.retain(|value| value.len() >= 4);
    // One that another begins with would leave the end of the longer one readable.
    all.sort_by_key(|value| std::cmp::Reverse(value.len()));
    all.dedup();
    all.into_iter().map(Secret::new).collect()
}

/// The value of a key in `ORACLE_USERS`; only texts matter.
#[derive(Deserialize)]
#[serde(untagged)]
enum Setting {
    Text(String),
    Other(IgnoredAny),
}

/// The passwords in the list of schemas that `dp-export` reads, also under a key that is misspelt, and those that it
/// names by `password_env`. The list as a whole stands in no log; its passwords may.
fn of_users(list: &str, vars: &BTreeMap<String, String>) -> Vec<String> {
    let Ok(users) = serde_json::from_str::<Vec<BTreeMap<String, Setting>>>(list) else { return Vec::new() };
    let mut found = Vec::new();
    for (key, value) in users.into_iter().flatten() {
        let Setting::Text(value) = value else { continue };
        let key = key.to_lowercase();
        match key.as_str() {
            "password_file" => {}
            "password_env" => found.extend(vars.get(&value).cloned()),
            _ if ["passw", "pwd", "senha", "secret"].iter().any(|word| key.contains(word)) => {
                found.push(value)
            }
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_of_records_and_files_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("expdp.log");
        let text: String = (0..5000).map(|i| format!("row {i} of a table with a long name\r\n")).collect();
        std::fs::write(&path, text).unwrap();
        let mut logs = Logs::default();
        (0..250).for_each(|i| logs.line(&format!("line {i}")));
        logs.file(path.to_str().unwrap());
        logs.file("/nonexistent/x.log");
        logs.file("/dev/zero");
        let lines = logs.finish(&[Secret::new("long name")]);
        assert_eq!(lines.len(), LINES);
        assert!(lines.contains(&"line 249".to_owned()) && !lines.contains(&"line 100".to_owned()));
        assert!(lines.contains(&"row 4999 of a table with a ***".to_owned()), "{lines:?}");
        assert!(lines.iter().any(|l| l.starts_with("(No such file")), "{lines:?}");
        assert!(lines.contains(&"(not a regular file)".to_owned()), "{lines:?}");
    }
    #[test]
    fn the_passwords_of_the_schemas_are_blanked_one_by_one() {
        let users = r#"[{"user":"GOLD","password":"gold\"1"},{"user":"FIN","password":"gold\"1234","timeout":60},
                       {"user":"HR","password_env":"HR_KEY"},{"user":"X","passwort":"m\u00fcller","password_file":"/etc/x"}]"#;
        let vars = [("ORACLE_USERS", users), ("HR_KEY", "hrhrhr"), ("HOME", "/home/oracle")];
        let vars = vars.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let secrets = secrets_in(&vars);
        let clean = redact("gold\"1 gold\"1234 hrhrhr müller GOLD /etc/x /home/oracle".as_bytes(), &secrets);
        assert_eq!(String::from_utf8(clean).unwrap(), "*** *** *** *** GOLD /etc/x /home/oracle");
    }
}
